"""A picture of somebody that the tenant holds, and that is neither their picture nor an override.

Facts: Auth0, "User Account Linking" and the recordings of its SDKs: a linked identity keeps its own
picture in `identities[i].profileData.picture`, and the profile's is that of the first identity.
Auth0, "Directory Sync": its default map fills `thumbnailPhotoUrl`, and nothing fills `picture`.
Actions get the same: `event.user` is documented with `user_metadata` and with the `profileData` of
`identities`, "populated with the associated user info for secondary accounts", and may hold more.
Which keys of `user_metadata` applications use is general knowledge: their usual names.

What counts is an https address that shows a picture of somebody's own to every browser, as far as
the rules know, for as long as nobody replaces it. So these do not: stock images, initials, links
with an expiry (they break, and nobody renews them here), addresses that need a token, and Gravatars
(whether they exist is not known). `toolkit/change/policy.js` finds the same in an Action.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from toolkit.classification.sources import (
    ENTERPRISE_STRATEGIES,
    SOCIAL_STRATEGIES,
    Source,
    classify,
    needs_token,
    usable_override,
)

WORDS: Final = ("avatar", "photo", "picture", "image", "pic", "headshot", "thumbnail")
_WORD, _MORE = f"(?:{'|'.join(WORDS)})", "[_-]?(?:image|url|uri|link)"
KEY: Final = (
    rf"(?:(?:user|profile|display)[_-]?{_WORD}(?:{_MORE})?"
    rf"|{_WORD.replace('picture|', '')}(?:{_MORE})?|picture{_MORE})"
)
"""The keys of `user_metadata`, in upper or lower case: `avatar`, `photoURL`, `profile_picture` …

Not `picture`, which is the override. A regular expression for RE2 and JavaScript, too. Of several
keys, the one with the first word of `WORDS` counts, then the first in the order of their letters.
"""

THUMBNAIL: Final = "thumbnailPhotoUrl"
"""A root attribute of users of Directory Sync."""

STRATEGIES: Final = frozenset({"auth0", "email", "sms"}) | SOCIAL_STRATEGIES | ENTERPRISE_STRATEGIES
"""Linked identities are named by these; any other text could be somebody's, so it is `other`."""

OWN: Final = (Source.SOCIAL, Source.ENTERPRISE, Source.CUSTOM)
"""What a picture that the tenant holds may be."""

_KEY = re.compile(KEY, re.ASCII | re.IGNORECASE)
_REMEMBERED = 65_536


def rank(key: str) -> int | None:
    """Return the place of a key's word in `WORDS`; None if applications keep no picture there."""
    if not _KEY.fullmatch(key):
        return None
    return next(place for place, word in enumerate(WORDS) if word in key.lower())


def linked(provider: object) -> str:
    """Return where the picture of a linked identity stands."""
    known = isinstance(provider, str) and provider in STRATEGIES
    return f"linked:{provider if known else 'other'}"


def elsewhere(
    record: Mapping[str, Any], picture: str | None, override: str | None
) -> tuple[str | None, str | None]:
    """Return a picture of a user that is neither of these, and where it stands; or twice None.

    In this order: `user_metadata`, linked identities, `thumbnailPhotoUrl`. Where it stands is
    `metadata:KEY`, `linked:STRATEGY`, or the attribute's name. If the first one is the profile's
    picture already, no other one counts: a plan that writes the first would then write the next.
    """
    for place, address in _places(record):
        if isinstance(address, str) and address != override and is_own(address):
            return (None, None) if address == picture else (address, place)
    return None, None


def _places(record: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    metadata = record.get("user_metadata")
    if isinstance(metadata, Mapping):
        ranked = [(rank(key), key) for key in metadata if isinstance(key, str)]
        for _, key in sorted((place, key) for place, key in ranked if place is not None):
            yield f"metadata:{key}", metadata[key]
    identities = record.get("identities")
    if isinstance(identities, list):
        for one in [one for one in identities if isinstance(one, Mapping)][1:]:
            profile = one.get("profileData")
            if isinstance(profile, Mapping):
                yield linked(one.get("provider")), profile.get("picture")
    yield THUMBNAIL, record.get(THUMBNAIL)


@lru_cache(_REMEMBERED)
def is_own(address: str) -> bool:
    """Whether an address alone shows somebody's own picture, as the module says."""
    if not usable_override(address) or needs_token(address):
        return False
    verdict = classify(address)
    return verdict.source in OWN and verdict.expires_at is None
