"""What of a user can be searched, and the columns and facets that hold it.

Facts: Auth0 docs, "User Profile Structure" (which attributes can be searched; `picture`
cannot) and "User Search Query Syntax". Timestamps are ISO 8601 in UTC with milliseconds.
"""

import calendar
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Any

SECOND = 1000
DAY = 86_400 * SECOND
"""Lengths of time, in milliseconds."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PARTIAL = re.compile(
    r"\d{4}(?:-\d\d)?"
    r"|\d{4}-\d\d-\d\d(?:T(?P<time>\d\d(?::\d\d(?::\d\d(?:\.\d{1,9})?)?)?)(?:Z|[+-]\d\d:\d\d)?)?",
    re.ASCII,
)
_LENGTHS = {len("10"): 3600 * SECOND, len("10:00"): 60 * SECOND, len("10:00:00"): SECOND}
_LONGEST_VALUE = 8192  # no query is longer, so nothing longer can be asked for
_METADATA = ("user_metadata", "app_metadata")
_LARGEST_NUMBER = 2**53
_MOST_TEXT = 1024 * 1024  # characters of names and values of one user


class Kind(Enum):
    """How a field is compared."""

    ID = auto()  # exact; no wildcards, no ranges
    FOLDED = auto()  # upper and lower case are the same
    EXACT = auto()
    MOMENT = auto()
    NUMBER = auto()
    FLAG = auto()
    FACET = auto()  # several values a user
    METADATA = auto()  # several values a user; exact terms and existence only


def iso(seconds: float) -> str:
    """Return UNIX seconds as Auth0 writes a timestamp: ``2026-08-17T20:25:34.048Z``."""
    moment = _EPOCH + timedelta(seconds=seconds)  # Windows knows no earlier time otherwise
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def since_1970(moment: datetime) -> int:
    """Return a time with a timezone as milliseconds since 1970."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _milliseconds(text: str) -> int | None:
    """Return milliseconds since 1970 for a date in ISO 8601, or None for anything else."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return since_1970(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def span(text: str) -> tuple[int, int] | None:
    """Return the first and the last millisecond of a (possibly partial) date; None for no date.

    ``2025-12-01`` covers the whole day, ``2025-12`` the month,
    ``2025-12-01T10:00:00.000Z`` one millisecond.
    """
    match = _PARTIAL.fullmatch(text)
    first = _milliseconds(text + "-01-01"[len(text) - len("2025") :]) if match else None
    if match is None or first is None:
        return None
    length = DAY
    if time := match["time"]:
        # The more digits a fraction of a second has, the shorter it is.
        length = _LENGTHS.get(len(time)) or 10 ** max(0, len("10:00:00.000") - len(time))
    elif len(text) == len("2025"):
        length = (365 + calendar.isleap(int(text))) * DAY
    elif len(text) == len("2025-12"):
        length = calendar.monthrange(int(text[:4]), int(text[5:]))[1] * DAY
    return first, first + length - 1


@dataclass(frozen=True)
class Field:
    """A searchable field: its column (or its facet's name) and how it is compared."""

    column: str
    kind: Kind


_NAMES = {
    Kind.ID: "user_id",
    Kind.FOLDED: "email email.domain name nickname given_name family_name",
    Kind.EXACT: "username phone_number last_ip",
    Kind.MOMENT: "created_at updated_at last_login",
    Kind.NUMBER: "logins_count",
    Kind.FLAG: "blocked email_verified phone_verified",
    Kind.FACET: "identities.connection identities.provider identities.user_id",
}
FIELDS: Mapping[str, Field] = {
    name: Field(name if kind is Kind.FACET else name.replace(".", "_"), kind)
    for kind, names in _NAMES.items()
    for name in names.split()
}
"""Every searchable field but the metadata, which has no fixed list."""

COLUMNS: Mapping[str, Kind] = {
    field.column: field.kind for field in FIELDS.values() if field.kind is not Kind.FACET
}
"""The columns of the store's table of users."""


def field_named(name: str) -> Field | None:
    """Return the searchable field of this name, or None."""
    root, dot, rest = name.partition(".")
    if root in _METADATA and bool(dot) == bool(rest):
        return Field(searchable(name), Kind.METADATA)
    return FIELDS.get(name)


def searchable(text: str) -> str:
    """Return the text as the store can hold and compare it: valid Unicode, bounded."""
    return text[:_LONGEST_VALUE].encode("utf-8", "replace").decode("utf-8")


def identifier(user_id: str) -> str:
    """Return how a user_id is kept: as JSON text, which holds any string exactly."""
    return json.dumps(user_id)


def columns(user: Mapping[str, Any]) -> dict[str, str | int | None]:
    """Return the values of a user's columns; what has the wrong type does not exist."""
    email = user.get("email")
    domain = email.rpartition("@")[2] if isinstance(email, str) and "@" in email else None
    source = {**user, "email_domain": domain}
    return {column: _value(source.get(column), kind) for column, kind in COLUMNS.items()}


def _value(value: object, kind: Kind) -> str | int | None:
    if isinstance(value, str):
        if kind is Kind.MOMENT:
            return _milliseconds(value)
        if kind is Kind.ID:
            return identifier(value)
        if kind in {Kind.FOLDED, Kind.EXACT}:
            return searchable(value.lower() if kind is Kind.FOLDED else value)
    if isinstance(value, int) and abs(value) < _LARGEST_NUMBER:
        wanted = Kind.FLAG if isinstance(value, bool) else Kind.NUMBER
        return int(value) if kind is wanted else None
    return None


def facets(user: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (field, value) for all that a user can have several of.

    No more than a megabyte of them: what comes later in a profile cannot be searched.
    """
    found: list[tuple[str, object]] = [
        (f"identities.{key}", identity.get(key))
        for identity in identities(user)
        for key in ("connection", "provider", "user_id")
    ]
    found += [(root, user[root]) for root in _METADATA if isinstance(user.get(root), Mapping)]
    left = _MOST_TEXT
    for name, value in _leaves(found):
        left -= len(name) + len(value)
        if left < 0:
            return
        yield name, value


def identities(user: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return those of a user's identities that are objects; the first is the primary one."""
    found = user.get("identities")
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []


def _leaves(named: Iterable[tuple[str, object]]) -> Iterator[tuple[str, str]]:
    """Walk nested values without recursion, so that no nesting is too deep.

    Nulls, empty lists, empty objects and empty strings are not indexed (Auth0 docs: a query
    cannot find metadata fields that contain an empty array, an empty object or null).
    """
    todo: list[Iterator[tuple[str, object]]] = [iter(named)]
    while todo:
        found = next(todo[-1], None)
        if found is None:
            todo.pop()
            continue
        name, item = found
        if isinstance(item, Mapping | list):
            todo.append(_inner(name, item))
        elif isinstance(item, str):
            if item:
                yield searchable(name), searchable(item)
        elif item is not None:
            yield searchable(name), json.dumps(item)


def _inner(name: str, item: Mapping[str, Any] | list[Any]) -> Iterator[tuple[str, object]]:
    """Yield the names and values of what is in an object or a list, one at a time."""
    if isinstance(item, Mapping):
        return ((f"{name}.{key}"[:_LONGEST_VALUE], inner) for key, inner in item.items())
    return ((name, inner) for inner in item)
