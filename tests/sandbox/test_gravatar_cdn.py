import hashlib
import io

import httpx
import pytest
from PIL import Image

from toolkit.sandbox.faults.catalogue import FAULTS

MD5 = hashlib.md5(b"ann@example.com").hexdigest()
SHA256 = hashlib.sha256(b"ann@example.com").hexdigest()
NOBODY = "0" * 32


@pytest.fixture(scope="module")
def client(serve_once, person):
    return serve_once([person(1, email="Ann@example.com", _gravatar=True), person(2)])


def _image(answer):
    assert answer.status_code == 200
    return Image.open(io.BytesIO(answer.content))


@pytest.mark.parametrize("digest", [MD5, SHA256, MD5.upper()])
def test_a_known_hash_has_a_picture(client, digest):
    answer = client.get(f"/avatar/{digest}", params={"d": "404"})
    assert answer.headers["content-type"] == "image/png"
    assert _image(answer).size == (80, 80)


def test_the_extension_chooses_the_format(client):
    answer = client.get(f"/avatar/{MD5}.jpg")
    assert answer.headers["content-type"] == "image/jpeg"
    assert _image(answer).format == "JPEG"


@pytest.mark.parametrize(
    ("asked", "size"),
    [("?s=1", 1), ("?size=200", 200), ("?s=0", 1), ("?s=99999", 2048), ("?s=x", 80)],
)
def test_the_size_stays_between_1_and_2048(client, asked, size):
    assert _image(client.get(f"/avatar/{MD5}{asked}")).size == (size, size)


def test_the_same_hash_always_has_the_same_picture(client):
    assert client.get(f"/avatar/{MD5}").content == client.get(f"/avatar/{MD5}").content


def test_an_unknown_hash_is_a_404_where_that_is_asked_for(client):
    assert client.get(f"/avatar/{NOBODY}?d=404").status_code == 404
    assert client.head(f"/avatar/{NOBODY}?default=404").status_code == 404
    assert client.head(f"/avatar/{MD5}?d=404").status_code == 200


@pytest.mark.parametrize(
    "default",
    ["", "mp", "mm", "identicon", "monsterid", "wavatar", "retro", "robohash", "blank"],
)
def test_an_unknown_hash_has_a_generated_picture(client, default):
    assert _image(client.get(f"/avatar/{NOBODY}", params={"d": default})).size == (80, 80)


@pytest.mark.parametrize(
    ("default", "target"),
    [
        ("https://cdn.auth0.com/avatars/te.png", "/photon/cdn.auth0.com/avatars/te.png?ssl=1"),
        ("http://example.com/a%20b.JPG", "/photon/example.com/a%20b.JPG"),
        (
            "https://example.com:443//evil.example/x.png",
            "/photon/example.com//evil.example/x.png?ssl=1",
        ),
    ],
)
def test_a_default_url_redirects_to_the_sandboxs_own_proxy(client, default, target):
    answer = client.get(f"/avatar/{NOBODY}", params={"d": default})
    assert answer.status_code == 302
    assert answer.headers["location"] == target
    assert _image(client.get(target)).format == ("JPEG" if target.endswith(".JPG") else "PNG")


@pytest.mark.parametrize(
    "default",
    [
        "https://example.com/x.svg",
        "https://example.com/x.png?v=2",
        "https://example.com:8443/x.png",
        "https://example.com:bad/x.png",
        "https://[/x.png",
        "ftp://example.com/x.png",
        "javascript:x.png",
        "https:///x.png",
        "https://ex\r\nample.com/\r\nx.svg",
    ],
)
def test_a_default_url_that_gravatar_would_not_take_is_ignored(client, default):
    answer = client.get(f"/avatar/{NOBODY}", params={"d": default})
    assert answer.content == client.get(f"/avatar/{NOBODY}").content


def test_a_forced_default_shows_even_for_a_known_hash(client):
    assert client.get(f"/avatar/{MD5}?f=y&d=404").status_code == 404
    assert client.get(f"/avatar/{MD5}?forcedefault=y&d=404").status_code == 404


@pytest.mark.parametrize("name", ["x", "0" * 31, "0" * 33, "g" * 32, NOBODY + ".exe"])
def test_what_is_no_hash_is_not_found(client, name):
    assert client.get(f"/avatar/{name}").status_code == 404


def test_initials_are_a_picture_as_auth0s_cdn_has_it(client):
    direct = client.get("/avatars/te.png")
    assert _image(direct).size == (128, 128)
    assert client.get("/photon/cdn.auth0.com/avatars/te.png?ssl=1").content == direct.content
    assert client.get("/avatars/ab.png").content != direct.content


@pytest.mark.parametrize("name", ["toolong.png", "t-.png", "te.jpg", "é.png"])
def test_initials_that_do_not_exist_are_denied_as_s3_does(client, name):
    answer = client.get(f"/avatars/{name}")
    assert answer.status_code == 403
    assert "<Code>AccessDenied</Code>" in answer.text
    assert answer.headers["content-type"].startswith("application/xml")


@pytest.mark.parametrize(
    ("mark", "asked", "status"),
    [
        (True, "", 200),
        ("g", "&r=g", 200),
        ("pg", "", 404),
        ("pg", "&r=g", 404),
        ("pg", "&r=pg", 200),
        ("pg", "&rating=R", 200),
        ("r", "&r=pg", 404),
        ("x", "&r=x", 200),
        ("x", "&r=nonsense", 404),
        ("nonsense", "&r=x", 404),
        (False, "&r=x", 404),
    ],
)
def test_a_picture_shows_only_where_its_rating_may(serve, person, mark, asked, status):
    client = serve([person(1, email="Ann@example.com", _gravatar=mark)])
    assert client.get(f"/avatar/{MD5}?d=404{asked}").status_code == status


def _asked(client, method, digest, count=1, *, timeout=60, **more):
    return [
        client.request(method, f"/avatar/{digest}", params={"d": "404", **more}, timeout=timeout)
        for _ in range(count)
    ]


@pytest.fixture
def struck(serve, person):
    """Start a sandbox with one Gravatar and these faults."""
    return lambda *faults: serve(
        [person(1, email="Ann@example.com", _gravatar=True)], faults=faults
    )


@pytest.mark.parametrize("status", [503, 429])
def test_gravatar_can_refuse_bursts_and_say_for_how_long(struck, status):
    client = struck(f"gravatar-{status}")
    answers = _asked(client, "HEAD", NOBODY, 400)
    refusals = [answer for answer in answers if answer.status_code != 404]
    assert {answer.status_code for answer in refusals} == {status}
    assert {answer.headers["retry-after"] for answer in refusals} == {"1"}
    assert len(refusals) == 6


def test_gravatar_can_fall_silent(struck):
    client = struck("gravatar-hangs")
    silent = 0
    for _ in range(60):
        try:
            _asked(client, "GET", NOBODY, timeout=0.5)
        except httpx.ReadTimeout:
            silent += 1
    assert 1 <= silent <= 8


def test_gravatar_can_lie_to_head_only(struck):
    client = struck("gravatar-lies")
    (lie,) = _asked(client, "HEAD", NOBODY)
    assert (lie.status_code, lie.headers["content-type"]) == (200, "image/png")
    assert _asked(client, "GET", NOBODY)[0].status_code == 404


def test_gravatar_can_be_blind_from_the_start_or_after_a_while(struck):
    assert _asked(struck("gravatar-blind"), "GET", MD5, d="mp")[0].status_code == 404
    answers = _asked(struck("gravatar-turns"), "GET", MD5, 105)
    assert [answer.status_code for answer in answers] == [200] * 100 + [404] * 5


def test_a_portal_can_stand_before_gravatar(struck):
    (page,) = _asked(struck("gravatar-portal"), "GET", NOBODY)
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")


def test_faults_of_gravatar_leave_the_api_alone(struck):
    client = struck(*(fault for fault in FAULTS if fault.startswith("gravatar-")))
    assert all(client.users().is_success for _ in range(120))
