"""What the made-up people's pictures truly show, so that looking at them can be checked.

`content_at` is the one function from an address to the truth; the hosts that the sandbox plays draw
what it says, so a row for a new kind of address, in `RARE` or in `_OF_PROVIDERS` or `_DRAWN`,
changes both. An address decides it alone: no dice, so that the same people have it with or without
it. How often providers serve letters or patterns instead of photos is a guess at what is usual;
that Google and Microsoft draw letters, and GitHub patterns, for people without a photo is known.
"""

import hashlib
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

from toolkit.classification.sources import Fallback, Source, Verdict, classify
from toolkit.images.content import Content
from toolkit.sandbox.made_up.rare_pictures import RARE

_Shares = Mapping[Content, int]  # percent; the rest is photos

_OTHERS: _Shares = {Content.LETTERS: 4, Content.SILHOUETTE: 3, Content.PLAIN: 1}
_GRAVATARS: _Shares = {Content.LETTERS: 3, Content.PATTERN: 2, Content.SILHOUETTE: 1}
_OF_PROVIDERS: Mapping[str | None, _Shares] = {
    "google-oauth2": {Content.LETTERS: 35},
    "github": {Content.PATTERN: 30},
    "windowslive": {Content.LETTERS: 60, Content.SILHOUETTE: 5},
    "facebook": {Content.SILHOUETTE: 4},
    "twitter": {Content.SILHOUETTE: 2, Content.PATTERN: 1},
    "linkedin": {Content.SILHOUETTE: 3},
    "discord": {Content.PATTERN: 2},
    "slack": {},
    "line": {},
}
_STAFF: _Shares = {Content.SILHOUETTE: 12, Content.LETTERS: 8}
# Services that draw a picture from a name or a number, and what they draw.
_DRAWN = (
    (r"ui-avatars|initials|/letter/|avatar-management--avatars", Content.LETTERS),
    (r"dicebear|robohash|multiavatar|boringavatars|vercel|identicon|embed/|/ava_", Content.PATTERN),
)
# What Gravatar is asked for where there is none: no picture.
_NOT_FOUND = re.compile(r"[?&](?:d|default)=404(?:&|$)")
DEFAULT = re.compile(r"https?://[^?#]*/default[^/?#]*\.png")
"""Addresses of a default picture to try out; a star is drawn for them, and nobody's face."""

_STAFF_HOST = "people.acme.example"
_FALLBACKS = {
    Fallback.INITIALS: Content.LETTERS,
    Fallback.GENERATED: Content.PATTERN,
    Fallback.SILHOUETTE: Content.SILHOUETTE,
}


def content_at(address: str, verdict: Verdict | None = None) -> Content | None:
    """Tell what the picture at an address truly shows, if it loads; None where there is none.

    Of a Gravatar address this is what shows where the hash has no Gravatar; for the other case
    there is `content_of_gravatar`.

    Args:
        address: of a made-up person's picture, of any host.
        verdict: of that address, where it is known already.
    """
    verdict = verdict or classify(address)
    if verdict.source in (Source.INVALID, Source.MISSING) or _NOT_FOUND.search(address):
        return None
    for rare in RARE:
        if re.match(rare.pattern, address):
            return None if rare.kind == "nothing" else Content(rare.kind)
    if verdict.fallback is not None:
        return _fallback(address, verdict.fallback)
    if verdict.source in (Source.INITIALS, Source.PLACEHOLDER):
        letters = verdict.source is Source.INITIALS
        return Content.LETTERS if letters else _drawn(address, Content.SILHOUETTE)
    if DEFAULT.fullmatch(address):
        return Content.PATTERN
    staff = urlsplit(address).hostname == _STAFF_HOST
    return _share(address, _STAFF if staff else _OF_PROVIDERS.get(verdict.provider, _OTHERS))


def content_of_gravatar(digest: str) -> Content:
    """Tell what the Gravatar of a hash shows: people upload what they like."""
    return _share(digest.lower(), _GRAVATARS)


def _fallback(address: str, fallback: Fallback) -> Content | None:
    asked = dict(parse_qsl(urlsplit(address).query))
    default = asked.get("d") or asked.get("default") or ""
    if fallback is Fallback.NONE:
        return Content.PLAIN if default == "blank" else None
    return content_at(default) if fallback is Fallback.CUSTOM else _FALLBACKS[fallback]


def _drawn(address: str, otherwise: Content) -> Content:
    return next((kind for shape, kind in _DRAWN if re.search(shape, address)), otherwise)


def _share(seed: str, shares: _Shares) -> Content:
    """Return a kind by chance, but for the same seed always the same."""
    digest = hashlib.sha256(f"shows {seed}".encode("utf-8", "replace")).digest()
    left = int.from_bytes(digest[:4]) % 100
    for content, share in shares.items():
        if left < share:
            return content
        left -= share
    return Content.PHOTO
