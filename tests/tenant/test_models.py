"""Which pictures Auth0 is known to take."""

import pytest

from toolkit.tenant.models import takes_picture

TAKEN = [
    "https://images.example/me.png",
    "HTTPS://IMAGES.EXAMPLE",
    "http://x.example?size=1",
    "ftp://x.example/me.png",
    "https://user:word@x.example:8443/me.png#top",
    "https://127.0.0.1:54321/new.png",
    "https://[2001:db8::1]/me.png",
    "https://münchen.example/José.png",
    "https://xn--mnchen-3ya.example/me.png",
    "https://s.gravatar.com/avatar/00?s=480&r=pg&d=https%3A%2F%2Fcdn.auth0.com%2Favatars%2Fte.png",
    "https://x.example/" + "a" * (2082 - 18),
]
REFUSED = [
    "",
    " ",
    "my photo",
    "me.png",
    "/uploads/me.png",
    "../me.png",
    "?me",
    "//x.example/me.png",
    "www.example.com/me.png",
    "x.example",
    "https:",
    "https://",
    "https:///me.png",
    "https:/x.example/me.png",
    "https:x.example/me.png",
    "https://localhost/me.png",
    "https://images/me.png",
    "https://-x.example/me.png",
    "https://x_y.example/me.png",
    "https://x..example/me.png",
    "https://x.example./me.png",
    "https://x.example:/me.png",
    "https://x.example:0/me.png",
    "https://x.example:65536/me.png",
    "https://300.1.1.1/me.png",
    "https://x.example/my photo.png",
    "https://x.example/<me>.png",
    "https://x.example/me.png\n",
    "\nhttps://x.example/me.png",
    "https://x.example/\x00",
    "https://x.example/\ufeff",
    "https://x.example/" + "a" * (2083 - 18),
    "data:image/png;base64,AA==",
    "mailto:me@x.example",
    "javascript:alert(1)",
    "urn:uuid:0",
    "file:///me.png",
    "ws://x.example/me.png",
    "cid:me@x.example",
    "null",
    '{"url": "https://x.example/me.png"}',
]


@pytest.mark.parametrize("text", TAKEN)
def test_an_absolute_web_address_is_taken(text):
    assert takes_picture(text)


@pytest.mark.parametrize("text", REFUSED)
def test_anything_else_counts_as_refused(text):
    assert not takes_picture(text)


def test_a_long_text_is_judged_at_once():
    assert not takes_picture("https://" + "a." * 500_000)
    assert not takes_picture("https://" + "a-" * 1000 + "!")
