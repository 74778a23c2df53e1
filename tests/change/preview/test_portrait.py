"""Pictures of a preview, over real HTTP from the sandbox that plays every host."""

import hashlib
import io

import pytest
from PIL import Image

from toolkit.change.preview.portrait import Sight, View, drawn, portraits
from toolkit.classification.sources import Source
from toolkit.images.decode import initials
from toolkit.sandbox.picture_hosts import Hosts
from toolkit.sandbox.server import Sandbox

NEW = "https://images.example.com/new.png"
DEFAULT = "d=https%3A%2F%2Fimages.example.com%2Fnew.png"
IMAGE = initials("N", 480)


def digest(email: str) -> str:
    return hashlib.md5(email.encode(), usedforsecurity=False).hexdigest()


def gravatar(email: str, default: str = DEFAULT) -> str:
    return f"https://s.gravatar.com/avatar/{digest(email)}?s=480&r=pg&{default}"


@pytest.fixture
def sandbox():
    users = [
        {"user_id": f"auth0|{name}", "email": f"{name}@example.org", "_gravatar": name == "has"}
        for name in ("has", "lacks")
    ]
    with Sandbox(users) as sandbox:
        yield sandbox


def shown(sandbox, *views):
    hosts = Hosts(sandbox.base_url)
    return dict(portraits(views, hosts, picture=NEW, image=IMAGE))


def test_a_gravatar_that_exists_stays_and_the_default_stands_in_for_one_that_does_not(sandbox):
    has = View(gravatar("has@example.org"), Sight.EITHER, Source.UNRESOLVED)
    lacks = View(gravatar("lacks@example.org"), Sight.EITHER, Source.UNRESOLVED)
    found = shown(sandbox, has, lacks)
    assert found[has].fetched
    assert found[lacks].words == "your default"
    assert found[lacks].png == drawn(View(None, Sight.DEFAULT, Source.MISSING), IMAGE).png
    assert found[has].png != found[lacks].png


def test_gravatar_is_never_asked_with_the_new_picture(sandbox):
    shown(sandbox, View(gravatar("lacks@example.org"), Sight.EITHER, Source.UNRESOLVED))
    paths = [where for _, where, _ in sandbox.requests.counts]
    assert any("avatar" in path for path in paths)
    assert not any("photon" in path for path in paths)


def test_what_has_expired_is_a_cross_with_its_reason(sandbox):
    late = "https://platform-lookaside.fbsbx.com/platform/profilepic/?asid=1&ext=1500000000&hash=x"
    view = View(late, Sight.BROKEN, Source.SOCIAL)
    found = shown(sandbox, view)[view]
    assert found.words.startswith("broken image: ")
    assert found.png == drawn(view, None).png


def test_an_address_that_is_never_asked_is_drawn_and_says_so(sandbox):
    view = View("https://10.0.0.1/me.png", Sight.OWN, Source.CUSTOM)
    found = shown(sandbox, view)[view]
    assert not found.fetched
    assert "not asked" in found.words


@pytest.mark.parametrize("sight", Sight)
def test_everything_can_be_drawn_without_asking_anybody(sight):
    view = View(gravatar("has@example.org", "d=mp"), sight, Source.SOCIAL)
    for image in (None, IMAGE, b"no picture"):
        portrait = drawn(view, image)
        with Image.open(io.BytesIO(portrait.png)) as picture:
            assert picture.width == picture.height > 0
        assert not portrait.fetched
        assert "gravatar.com" not in f"{portrait.words}{portrait!r}{view!r}"


def test_initials_are_those_that_the_address_names():
    address = gravatar("has@example.org", "d=https%3A%2F%2Fcdn.auth0.com%2Favatars%2Fcs.png")
    for sight in (Sight.UNKNOWN, Sight.INITIALS):
        assert drawn(View(address, sight, Source.UNRESOLVED), None).png == initials("cs", 480)
