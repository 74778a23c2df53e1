"""Values of a user that were exported by path, and their places in a user object.

Fact: Auth0, "Bulk User Exports": a field may be exported by its path (`identities[0].connection`).
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple

from toolkit.classification.held_elsewhere import STRATEGIES, rank
from toolkit.collection.exports.nested_text import opened

NESTED = frozenset({"identities", "user_metadata"})
"""Attributes of a user that are lists or objects."""
TITLES = {
    "connection": ("identities[0].connection", "connection"),
    "strategy": ("identities[0].provider", "strategy"),
    "metadata_picture": ("user_metadata.picture", "metadata_picture"),
    "provider": ("provider",),
}
"""Names of values that are no root attributes. The first with a value counts.

`provider` holds a strategy or a connection: see `placed`.
"""
BY_PATH = frozenset(chain.from_iterable(TITLES.values()))
NO_VALUES = (*"NaN nan NULL Null null None NaT <NA> #N/A".split(), r"\N")
"""What tools write into a table where there is no value."""
WORDS = frozenset({"user_id", "email", "name"})
"""Attributes for which these are values: somebody may be called None."""

METADATA = "user_metadata."
LINKED = re.compile(r"identities\[([1-9][0-9]?)\]\.(provider|profileData\.picture)")
"""A part of an identity that is not the first, if a snapshot can need it."""
_REMEMBERED = 4096


def is_spare(title: str) -> bool:
    """Whether a path is part of a picture that the tenant holds and nobody shows."""
    begin, _, key = title.partition(METADATA)
    return (not begin and rank(key) is not None) or LINKED.fullmatch(title) is not None


def record_of_cells(titles: Iterable[str], cells: Iterable[str]) -> dict[str, Any]:
    """Return the record of a row of CSV whose titles are Auth0's names by path."""
    return placed({title: _value(title, cell) for title, cell in zip(titles, cells, strict=True)})


def _value(title: str, cell: str) -> str | None:
    if cell.startswith("'"):
        return cell[1:]
    is_none = not cell or (cell in NO_VALUES and title not in WORDS)
    return None if is_none else cell


class _Parts(NamedTuple):
    """Keys that are paths, with the places of their values."""

    first: tuple[tuple[str, str], ...]  # of the first identity
    linked: tuple[tuple[str, int, str], ...]  # of the others, by their number
    metadata: tuple[tuple[str, str], ...]
    provider: bool


@lru_cache(_REMEMBERED)
def _parts(keys: tuple[str, ...]) -> _Parts | None:
    first = [("connection", one) for one in TITLES["connection"] if one in keys]
    first += [("provider", one) for one in TITLES["strategy"] if one in keys]
    metadata = [("picture", one) for one in TITLES["metadata_picture"] if one in keys]
    metadata += [
        (key.removeprefix(METADATA), key)
        for key in keys
        if key.startswith(METADATA) and is_spare(key)
    ]
    linked = [(key, int(one[1]), one[2]) for key in keys if (one := LINKED.fullmatch(key))]
    if not (first or metadata or linked or "provider" in keys):
        return None
    return _Parts(
        tuple((key, part) for part, key in first),
        tuple(sorted(linked, key=lambda one: one[1])),
        tuple((key, part) for part, key in metadata),
        "provider" in keys,
    )


def has_parts(keys: tuple[str, ...]) -> bool:
    """Whether some keys are paths."""
    return _parts(keys) is not None


def placed(record: dict[str, Any]) -> dict[str, Any]:
    """Open nested values that are texts, and put values by path into their places.

    A whole `identities` or `user_metadata` beats its parts, but one identity may be the first of
    several. `provider` beats nothing that the
    user's id says: it is the strategy only if the id has none, and the connection if it is no
    strategy's name and no connection is known.

    Returns:
        The record itself if there is nothing to do.
    """
    parts = _parts(tuple(record))
    if parts is None and is_formed(record):
        return record
    values = dict(record)
    if (identities := values.get("identities")) is not None:
        values["identities"] = _listed(identities)
    if isinstance(values.get("user_metadata"), str):
        values["user_metadata"] = opened(values["user_metadata"])
    if parts is None:
        return values
    first = _filled(values, parts.first)
    metadata = _filled(values, parts.metadata)
    linked = _linked(values, parts.linked)
    if parts.provider:
        _tell(first, values.pop("provider"), values.get("user_id"))
    whole = values.get("identities")
    begin = whole if isinstance(whole, list) else [first]
    if (linked and len(begin) == 1) or (first and begin is not whole):
        values["identities"] = [*begin, *linked.values()]
    if metadata and not isinstance(values.get("user_metadata"), Mapping):
        values["user_metadata"] = metadata
    return values


def _tell(first: dict[str, Any], provider: object, user_id: object) -> None:
    """Put the value of `provider` into the first identity, where it tells something."""
    if provider in (None, ""):
        return
    strategy, bar, _ = user_id.partition("|") if isinstance(user_id, str) else ("", "", "")
    if not isinstance(provider, str) or not (
        provider in STRATEGIES or (bar and provider == strategy)
    ):
        first.setdefault("connection", provider)
    elif not bar and not first.get("provider"):
        first["provider"] = provider


def _linked(
    values: dict[str, Any], parts: Iterable[tuple[str, int, str]]
) -> dict[int, dict[str, Any]]:
    """Take what is told of linked identities out of a record."""
    found: dict[int, dict[str, Any]] = {}
    for key, number, part in parts:
        if (value := values.pop(key)) is not None:
            told = {part: value} if part == "provider" else {"profileData": {"picture": value}}
            found[number] = found.get(number, {}) | told
    return found


def _filled(values: dict[str, Any], parts: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Take values by path out of a record, the first that is not null for each part."""
    found: dict[str, Any] = {}
    for key, part in parts:
        if (value := values.pop(key)) is not None:
            found.setdefault(part, value)
    return found


def is_formed(record: Mapping[str, Any]) -> bool:
    """Whether the nested values of a record have Auth0's form."""
    identities, metadata = record.get("identities"), record.get("user_metadata")
    return (identities is None or (type(identities) is list and not _is_renamed(identities))) and (
        metadata is None or type(metadata) is dict
    )


def _is_renamed(identities: list[Any]) -> bool:
    return any(isinstance(one, dict) and "profile_data" in one for one in identities)


def _listed(value: object) -> object:
    """Return identities as a list of objects with Auth0's names, if they can be read.

    Facts: BigQuery and Spark write a list into Parquet as `{"list": [{"element": …}]}`; the SDK
    for Python calls `profileData` `profile_data`.
    """
    value = opened(value)
    if isinstance(value, Mapping):
        inner = value.get("list", value)
        if isinstance(inner, list):
            value = [one.get("element", one) if isinstance(one, Mapping) else one for one in inner]
        elif all(str(key).isdigit() for key in value):
            value = list(value.values())
        else:
            value = [value]
    if isinstance(value, list) and _is_renamed(value):
        return [
            {"profileData" if key == "profile_data" else key: part for key, part in one.items()}
            if isinstance(one, Mapping)
            else one
            for one in value
        ]
    return value
