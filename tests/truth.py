"""Whose picture is their own, from how people were made up: not from what the toolkit finds."""

import re
from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from toolkit.classification.sources import ON_WORD, TOKEN_ONLY, Source, classify
from toolkit.images.content import Content
from toolkit.sandbox.made_up.tenants import Person

_MANY = 10  # who have one picture: nobody's own


def see_their_own(made: Iterable[Person], *, override: bool, now: datetime) -> list[bool]:
    """Say of each person whether they see a picture of their own.

    That is a Gravatar that exists, a picture of a provider whose addresses tell stock images, or
    a photo. `override`: whether the tenant shows `user_metadata.picture`.
    """
    made = list(made)
    # Few profiles hold an object in the place of the address.
    many = Counter(str(one.record.get("picture")) for one in made)
    return [_sees(one, override=override, now=now, many=many) for one in made]


def content_of(person: Person, *, override: bool) -> Content | None:
    """Return what the picture that people see shows: of the override, or of the profile."""
    shown = Source.METADATA if _overridden(person, override=override) else Source.CUSTOM
    return Person(person.record, person.gravatar, shown).content


def _overridden(person: Person, *, override: bool) -> bool:
    return override and person.truth is Source.METADATA


def _sees(person: Person, *, override: bool, now: datetime, many: Counter[str]) -> bool:
    address = person.record.get("picture")
    if _overridden(person, override=override):
        address = person.record["user_metadata"]["picture"]
    elif person.gravatar:
        return True
    if not isinstance(address, str) or many[address] >= _MANY:
        return False
    verdict = classify(address)
    late = verdict.expires_at is not None and verdict.expires_at < now
    if late or any(re.search(one, address, re.IGNORECASE) for one in TOKEN_ONLY):
        return False
    uploaded = verdict.source is Source.SOCIAL and verdict.provider not in ON_WORD
    return uploaded or content_of(person, override=override) is Content.PHOTO
