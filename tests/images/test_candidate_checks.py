import io
import re
from html.parser import HTMLParser

import pytest
from PIL import Image, ImageDraw

from tests.images.webhost import face, host, said, saved, shown
from toolkit.images.candidate_checks import (
    NEVER_REFRESHED,
    NOT_HOSTED,
    Level,
    candidate,
    checked,
    from_disk,
)
from toolkit.images.download import MOST_BYTES
from toolkit.images.drawing import emblem
from toolkit.sandbox.server import Sandbox

GOOD = "https://assets.example.com/avatars/default-2026.png"


def levels(found):
    return {verdict.name: verdict.level for verdict in found}


def looked_at(body, name="a.png", kind="png"):
    with host({f"/{name}": shown(body, kind)}) as there:
        return candidate(f"{there.base_url}/{name}", exception=there.base_url)


def test_a_good_address_passes_at_once_and_unchanged():
    found = checked(GOOD)
    assert found.usable
    assert found.url == GOOD
    assert set(levels(found).values()) == {Level.OK}
    assert found.image is None
    assert found.thumbnail(32) is None


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://assets.example.com/a.png", "https"),
        ("https://assets.example.com:8443/a.png", "port"),
        ("https://127.0.0.1/a.png", "host"),
        ("https://2130706433/a.png", "host"),
        ("https://localhost/a.png", "host"),
        ("https://intranet/a.png", "host"),
        ("https://assets.example.com/a.svg", "extension"),
        ("https://assets.example.com/a.webp", "extension"),
        ("https://assets.example.com/a", "extension"),
        ("https://assets.example.com/png", "extension"),
        ("https://assets.example.com/a.png/", "extension"),
        ("https://assets.example.com/a.png?v=2", "query"),
        ("https://assets.example.com/a.png?", "query"),
        ("https://assets.example.com/a.png#x", "fragment"),
        ("https://user:secret@assets.example.com/a.png", "credentials"),
        ("https://good.example.com@127.0.0.1/a.png", "host"),
        ("assets.example.com/a.png", "url"),
        ("data:image/png;base64,AAAA", "url"),
        ("javascript:alert(1)//a.png", "url"),
        ("", "url"),
    ],
)
def test_an_address_that_gravatar_would_not_take_fails(url, name):
    found = checked(url)
    assert found.verdict(name).level is Level.FAIL
    assert not found.usable
    assert "secret" not in repr(found)


@pytest.mark.parametrize("ending", ["jpg", "JPEG", "gif", "PNG", "heic"])
def test_every_ending_that_gravatar_takes_passes(ending):
    assert checked(f"https://assets.example.com/a.{ending}").usable


@pytest.mark.parametrize(
    "trick",
    ["'", '"', "`", "${x}", "\n", "\r", "\u2028", "\u2029", "</script>", "\\", "\0", " ", "\ud800"],
)
def test_a_hostile_address_fails_or_is_written_harmlessly(trick):
    for url in (
        f"https://assets.example.com/a{trick}b.png",
        f"https://a{trick}b.example.com/a.png",
    ):
        found = checked(url)
        if found.url is None:
            assert not found.usable
            continue
        assert re.fullmatch(r"https://[a-z0-9.-]+/[A-Za-z0-9._~%$/-]*", found.url)
        assert "${" not in found.url
        if found.usable:
            assert found.verdict("spelling").level is Level.WARN


def test_a_different_spelling_is_said():
    found = checked("https://Assets.example.com/ä b.png")
    assert found.url == "https://assets.example.com/%C3%A4%20b.png"
    assert levels(found)["spelling"] is Level.WARN


def test_a_good_picture_passes_in_everything():
    found = looked_at(saved(face(512)))
    assert set(levels(found).values()) == {Level.OK}, repr(found)
    assert found.usable
    assert {
        "reachable",
        "image",
        "square",
        "pixels",
        "bytes",
        "small",
        "circle",
        "light",
        "dark",
    } < (set(levels(found)))


@pytest.mark.parametrize(
    ("body", "name", "kind", "failed"),
    [
        (saved(face(512), "JPEG"), "a.png", "jpeg", "image"),
        (saved(face(512)), "a.jpg", "png", "image"),
        (saved(face(512), "WEBP"), "a.webp", "webp", "image"),
        (b"<svg/>", "a.svg", "svg+xml", "image"),
        (b"<html>no</html>", "a.png", "png", "image"),
        (saved(face(512))[:-500], "a.png", "png", "look"),
        (saved(face(16)), "a.png", "png", "pixels"),
    ],
)
def test_what_is_not_really_such_a_picture_fails(body, name, kind, failed):
    found = looked_at(body, name, kind)
    assert found.verdict(failed).level is Level.FAIL
    assert not found.usable


def text_in_the_corners():
    image = Image.new("RGB", (512, 512), "#2f6fb0")
    draw = ImageDraw.Draw(image)
    for x in (10, 462):
        for y in (10, 462):
            draw.rectangle((x, y, x + 40, y + 40), fill="#fff")
    return image


def hairlines():
    image = Image.new("RGB", (512, 512), "#2f6fb0")
    draw = ImageDraw.Draw(image)
    for x in range(0, 512, 6):
        draw.line((x, 0, x, 512), fill="#fff", width=2)
    return image


@pytest.mark.parametrize(
    ("image", "warned"),
    [
        (face(512).resize((512, 300)), "square"),
        (face(200), "pixels"),
        (face(512, "#f4f4f4"), "light"),
        (face(512, "#1b2230"), "dark"),
        (text_in_the_corners(), "circle"),
        (hairlines(), "small"),
        (Image.new("RGB", (512, 512), "#2f6fb0"), "small"),
    ],
)
def test_a_picture_that_will_do_with_flaws_warns(image, warned):
    found = looked_at(saved(image))
    assert found.verdict(warned).level is Level.WARN
    assert found.usable


def test_a_transparent_rim_is_said():
    image = Image.new("RGBA", (512, 512))
    ImageDraw.Draw(image).ellipse((150, 150, 362, 362), fill="#000")
    found = looked_at(saved(image))
    assert "transparent" in found.verdict("light").reason
    assert found.verdict("dark").level is Level.WARN


def test_a_heavy_picture_warns_and_a_huge_one_fails():
    noise = saved(Image.effect_noise((700, 700), 90))
    assert looked_at(noise).verdict("bytes").level is Level.WARN
    with host({"/a.png": shown(noise)}) as there:
        url = f"{there.base_url}/a.png"
        found = candidate(url, exception=there.base_url, most_bytes=1000)
    assert found.verdict("reachable").level is Level.FAIL
    assert found.image is None


def test_a_heic_picture_warns_that_it_cannot_be_looked_at():
    found = looked_at(b"\0\0\0\x18ftypheic\0\0", "a.heic", "heic")
    assert found.usable
    assert found.verdict("look").level is Level.WARN


def test_what_the_host_says_of_the_picture_is_compared():
    with host({"/a.png": said(200, saved(face()), Content_Type="text/plain")}) as there:
        found = candidate(f"{there.base_url}/a.png", exception=there.base_url)
    assert found.verdict("image").level is Level.WARN


def test_a_picture_that_redirects_warns_and_one_that_is_gone_fails():
    answers = {"/a.png": said(302, Location="/b.png"), "/b.png": shown(saved(face()))}
    with host(answers) as there:
        moved = candidate(f"{there.base_url}/a.png", exception=there.base_url)
        gone = candidate(f"{there.base_url}/c.png", exception=there.base_url)
    assert moved.verdict("reachable").level is Level.WARN
    assert gone.verdict("reachable").level is Level.FAIL
    assert "404" in gone.verdict("reachable").reason


def test_a_name_that_leads_inside_fails():
    found = candidate(GOOD, resolve=lambda *_: ["169.254.169.254"], direct=True)
    assert found.verdict("reachable").level is Level.FAIL
    assert "link-local" in found.verdict("reachable").reason


def test_an_address_that_is_none_is_not_asked():
    def resolve(name, port):
        raise AssertionError(name)

    assert not candidate("nonsense", resolve=resolve).usable


def test_the_embedded_tenants_own_picture_can_be_tried_out():
    with Sandbox([]) as sandbox:
        found = candidate(f"{sandbox.base_url}/avatars/ab.png", exception=sandbox.base_url)
        elsewhere = candidate(f"{sandbox.base_url}/avatars/ab.png")
    assert found.usable
    assert "trying out" in found.verdict("host").reason
    assert found.verdict("pixels").level is Level.WARN
    assert not elsewhere.usable


def opened(png):
    return Image.open(io.BytesIO(png)).convert("RGBA")


def test_a_thumbnail_is_cut_to_a_circle_on_its_background():
    found = looked_at(saved(face(512)))
    clear, dark = found.thumbnail(56), found.thumbnail(56, background="#111827")
    square = found.thumbnail(56, circle=False)
    assert opened(clear).size == (56, 56)
    assert opened(clear).getpixel((0, 0))[3] == 0
    assert opened(dark).getpixel((0, 0)) == (0x11, 0x18, 0x27, 255)
    assert opened(square).getpixel((0, 0))[:3] == (0x2F, 0x6F, 0xB0)


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def read(html):
    parser = Tags()
    parser.feed(html)
    return parser


def test_the_page_and_the_text_say_the_same():
    found = looked_at(saved(face(512, "#f4f4f4")))
    page = read(found._repr_html_())
    for verdict in found:
        assert verdict.reason in page.text
        assert verdict.reason in repr(found)
    assert NEVER_REFRESHED in page.text
    assert NEVER_REFRESHED in repr(found)
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 3
    assert all(image["alt"] and image["src"].startswith("data:image/png;") for image in images)


@pytest.mark.parametrize("trick", ["<img src=x onerror=alert(1)>", "\"'><script>alert(1)</script>"])
def test_nothing_typed_or_answered_becomes_markup(trick):
    for url in (
        trick,
        f"https://assets.example.com/{trick}.png",
        f"https://x.example.com/a.{trick}",
    ):
        page = read(checked(url)._repr_html_())
        assert {tag for tag, _ in page.tags} <= {"div", "p", "code", "ul", "li", "b"}
    with host({"/a.png": said(200, saved(face()), Content_Type=trick)}) as there:
        found = candidate(f"{there.base_url}/a.png", exception=there.base_url)
    assert {tag for tag, _ in read(found._repr_html_()).tags} <= {
        "div",
        "p",
        "code",
        "ul",
        "li",
        "b",
        "img",
    }
    assert "onerror" not in repr(found)


@pytest.mark.parametrize(
    ("name", "body", "fault"),
    [
        ("face.png", b"GIF89a", "its name says PNG"),
        ("face.webp", b"RIFF0000WEBPVP8 ", "Gravatar takes"),
        ("face.png", b"no picture", "no picture"),
        ("face.png", bytes(MOST_BYTES + 1), "too large"),
    ],
)
def test_a_file_that_will_not_do_is_refused_before_it_is_published(name, body, fault):
    found = from_disk(name, body)
    assert not found.usable
    assert fault in repr(found)


def test_a_file_is_judged_as_a_published_picture_is_and_is_said_not_to_be_one():
    found = from_disk("mine.png", emblem())
    assert found.usable
    assert found.url == NOT_HOSTED
    assert found.image == emblem()
    assert found.verdict("hosted").level is Level.WARN
    assert found.verdict("reachable") is None
    assert found.verdict("circle").level is Level.OK
