"""The hosts of pictures, as the sandbox plays them."""

import io

import httpx
import pytest
from PIL import Image

from toolkit.sandbox.played_hosts import played


@pytest.fixture(scope="module")
def base_url(serve_once, person_once):
    return serve_once([person_once(0)]).sandbox.base_url


@pytest.fixture(scope="module")
def person_once():
    return lambda number: {"user_id": f"auth0|{number}", "_gravatar": True}


def asked(base_url, address):
    return httpx.get(played(base_url, address), follow_redirects=True)


@pytest.mark.parametrize(
    "address",
    [
        "https://lh3.googleusercontent.com/a/x=s96-c",
        "https://platform-lookaside.fbsbx.com/p?asid=1&ext=4102444800&hash=x",
        "https://assets.example.com/people/ä%20b.png?x=1#y",
        "https://assets.example.com/people/a\nb.png",
        "https://abs.twimg.com/sticky/default_profile_images/x.png",
        "https://cdn.auth0.com/avatars/ab.png",
        "https://i0.wp.com/cdn.auth0.com/avatars/ab.png?ssl=1",
        f"https://s.gravatar.com/avatar/{'0' * 32}?d=mp",
    ],
)
def test_a_picture_is_a_picture(base_url, address):
    answer = asked(base_url, address)
    assert answer.status_code == 200
    assert Image.open(io.BytesIO(answer.content)).size[0] > 0


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("https://platform-lookaside.fbsbx.com/p?asid=1&ext=1500000000&hash=x", 403),
        ("data:image/png;base64,AAAA", 404),
        ("nonsense", 404),
        (f"https://s.gravatar.com/avatar/{'0' * 32}?d=404", 404),
    ],
)
def test_what_would_not_load_does_not(base_url, address, status):
    assert asked(base_url, address).status_code == status


def test_two_people_have_two_faces_and_one_has_one(base_url):
    one, two = (asked(base_url, f"https://a.example/{n}.png").content for n in (1, 2))
    assert one != two
    assert one == asked(base_url, "https://a.example/1.png").content
