"""What the made-up people's pictures show: in believable shares, served so, and told so."""

import io
from collections import Counter

import httpx
import pytest
from PIL import Image

from toolkit.classification.sources import Source
from toolkit.images.candidate_checks import Level, candidate
from toolkit.images.content import Content, content_of
from toolkit.images.drawing import emblem
from toolkit.sandbox.embedded import embedded_sandbox
from toolkit.sandbox.made_up.contents import content_at, content_of_gravatar
from toolkit.sandbox.made_up.tenants import people
from toolkit.sandbox.picture_hosts import Hosts
from toolkit.sandbox.played_hosts import played
from toolkit.sandbox.server import Sandbox

DIGEST = "0123456789abcdef" * 2
GRAVATAR = f"https://s.gravatar.com/avatar/{DIGEST}?s=480&r=pg&d="


@pytest.fixture(scope="module")
def crowd():
    return list(people(3000, seed=7))


def provider(person):
    return person.record["identities"][0]["provider"]


@pytest.mark.parametrize(
    ("name", "content", "low", "high"),
    [
        ("google-oauth2", Content.LETTERS, 0.28, 0.40),
        ("github", Content.PATTERN, 0.20, 0.40),
        ("facebook", Content.SILHOUETTE, 0.02, 0.15),
    ],
)
def test_providers_serve_stand_ins_as_often_as_is_usual(crowd, name, content, low, high):
    counts = Counter(one.content for one in crowd if provider(one) == name)
    assert low <= counts[content] / counts.total() <= high


def test_what_is_no_picture_shows_nothing_and_what_is_one_shows_something(crowd):
    for person in crowd:
        nothing = person.truth in (Source.MISSING, Source.INVALID)
        assert (person.content is None) == nothing, person.record.get("picture")


@pytest.mark.parametrize(
    ("address", "content"),
    [
        ("https://cdn.auth0.com/avatars/ab.png", Content.LETTERS),
        (f"{GRAVATAR}https%3A%2F%2Fcdn.auth0.com%2Favatars%2Fab.png", Content.LETTERS),
        (f"{GRAVATAR}identicon", Content.PATTERN),
        (f"{GRAVATAR}mp", Content.SILHOUETTE),
        (f"{GRAVATAR}blank", Content.PLAIN),
        (f"{GRAVATAR}404", None),
        ("https://ssl.gstatic.com/s2/profiles/images/silhouette80.png", Content.SILHOUETTE),
        ("https://abs.twimg.com/sticky/default_profile_images/x.png", Content.SILHOUETTE),
        ("nonsense", None),
    ],
)
def test_a_stand_in_shows_what_its_address_says(address, content):
    assert content_at(address) is content


def test_a_fallback_of_ones_own_shows_what_that_address_shows():
    default = "https://static.acme.example/img/face.png"
    asked = default.replace(":", "%3A").replace("/", "%2F")
    assert content_at(f"{GRAVATAR}{asked}") is content_at(default)


def test_a_default_picture_to_try_out_is_a_star_without_a_warning_and_nobodys_face():
    """Fails if before and after look alike because the sandbox draws a person as the default."""
    with Sandbox([]) as sandbox:
        hosts = Hosts(sandbox.base_url)
        one, other = (
            candidate(f"https://{where}.png", exception=hosts.sandbox, at=hosts.address)
            for where in ("assets.example.com/avatars/default-2026", "a.example/default")
        )
    assert [verdict.level for verdict in one if verdict.level is not Level.OK] == []
    assert one.image == other.image == emblem()


def test_most_gravatars_are_photos_and_a_hash_in_capitals_is_the_same():
    counts = Counter(content_of_gravatar(f"{number:032x}") for number in range(1000))
    assert 0.9 < counts[Content.PHOTO] / 1000 < 0.97
    assert content_of_gravatar(DIGEST.upper()) is content_of_gravatar(DIGEST)


def test_the_hosts_serve_what_the_addresses_say(crowd):
    told = Counter()
    with embedded_sandbox(10, seed=7) as sandbox, httpx.Client(follow_redirects=True) as client:
        for person in crowd[:250]:
            address = person.record.get("picture")
            content = content_at(address) if isinstance(address, str) else None
            if content is None or not address.startswith("http"):
                continue
            answer = client.get(played(sandbox.base_url, address))
            if answer.status_code == 403:  # a signature has expired
                continue
            image = Image.open(io.BytesIO(answer.content))
            told[content, content_of(image) is content] += 1
    assert told.total() > 150
    assert {content for content, _ in told} >= {Content.PHOTO, Content.LETTERS, Content.SILHOUETTE}
    assert sum(n for (_, right), n in told.items() if right) / told.total() > 0.96, told
