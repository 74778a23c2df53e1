"""The names that tools give to the attributes of an Auth0 user."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from toolkit.classification.held_elsewhere import rank

_DIGITS = 18
# The places of values that are not root attributes, by their names in a snapshot.
_PLACES = {
    "connection": ("identities", "connection"),
    "strategy": ("identities", "provider"),
    "metadata_picture": ("user_metadata", "picture"),
}
NESTED = frozenset(place for place, _ in _PLACES.values())
"""Attributes of a user that are lists or objects."""
TITLES = {
    "connection": ("identities[0].connection", "connection"),
    "strategy": ("identities[0].provider", "provider", "strategy"),
    "metadata_picture": ("user_metadata.picture", "metadata_picture"),
}
"""Names of these values if they are exported by path. The first with a value counts."""
BY_PATH = frozenset(chain.from_iterable(TITLES.values()))
# Columns of a CSV with pictures that nobody shows, or with who gave them.
_METADATA = "user_metadata."
_LINKED = re.compile(r"identities\[([1-9][0-9]?)\]\.(provider|profileData\.picture)")


class FieldNames:
    """What the names in one file are taken for.

    Attributes:
        present: Auth0's names of the attributes that some record of the file has, by path:
            `picture`, `identities[0].connection`, `user_metadata.picture`.
        notes: what was taken for what, in one sentence, where it is not Auth0's own name.
    """

    def __init__(self, given: Mapping[str, str] | None = None) -> None:
        self.given = dict(given or {})
        self.present: set[str] = set()
        self.notes: tuple[str, ...] = ()

    @property
    def absent(self) -> tuple[str, ...]:
        """The columns of a snapshot that no record had."""
        roots = "email name created_at updated_at last_login logins_count picture".split()
        return tuple(name for name in roots if name not in self.present)

    def titles(self, titles: Sequence[str]) -> list[str]:
        """Return Auth0's names, by path, for the column names of a table."""
        self.present.update(titles)
        return list(titles)

    def users(self, record: object) -> Iterator[object]:
        """Yield the user objects in a record, in Auth0's form: usually one."""
        if isinstance(record, Mapping):
            self.present.update(record)
        yield record

    def are_plain(self, record: Any) -> bool:  # noqa: ANN401 - any JSON
        """Whether a record is a user object in Auth0's own form."""
        return isinstance(record, Mapping) and "user_id" in record


def _value(title: str, cell: str) -> object:
    """Return the original JSON value of a cell, if a snapshot needs it."""
    if not cell:
        return None
    text = cell.removeprefix("'")
    if title == "logins_count" and text.isascii() and text.isdigit() and len(text) <= _DIGITS:
        return int(text)
    if title in NESTED:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):  # not JSON: keep the text
            return text
    return text


def is_spare(title: str) -> bool:
    """Whether a column of a CSV is part of a picture that the tenant holds and nobody shows."""
    begin, _, key = title.partition(_METADATA)
    return (not begin and rank(key) is not None) or _LINKED.fullmatch(title) is not None


def record_of_cells(titles: Iterable[str], cells: Iterable[str]) -> dict[str, Any]:
    """Return the record of a row of CSV."""
    pairs = zip(titles, cells, strict=True)
    values = {title: _value(title, cell) for title, cell in pairs}
    spare = {title: values.pop(title) for title in list(values) if is_spare(title)}
    record = rebuilt(values)
    metadata = {
        title.removeprefix(_METADATA): value
        for title, value in spare.items()
        if title.startswith(_METADATA) and value is not None
    }
    if metadata and isinstance(record.get("user_metadata") or {}, dict):
        record["user_metadata"] = metadata | (record.get("user_metadata") or {})
    identities: dict[int, dict[str, Any]] = {}
    for title, value in spare.items():
        if (match := _LINKED.fullmatch(title)) and value is not None:
            one = identities.setdefault(int(match[1]), {})
            one |= (
                {"provider": value}
                if match[2] == "provider"
                else {"profileData": {"picture": value}}
            )
    known = record.get("identities")
    if identities and (known is None or (isinstance(known, list) and len(known) == 1)):
        record["identities"] = [*(known or [{}]), *(one for _, one in sorted(identities.items()))]
    return record


def rebuilt(record: Mapping[str, Any]) -> dict[str, Any]:
    """Put values that were exported by path into their places, unless these have a value."""
    rebuilt = dict(record)
    parts: dict[str, dict[str, Any]] = {}
    for name, (place, key) in _PLACES.items():
        for title in TITLES[name]:
            value = rebuilt.pop(title, None)
            if value is not None:
                parts.setdefault(place, {}).setdefault(key, value)
    for place, part in parts.items():
        if rebuilt.get(place) is None:
            rebuilt[place] = [part] if place == "identities" else part
    return rebuilt
