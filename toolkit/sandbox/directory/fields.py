"""What of a user can be searched, and the columns and facets that hold it.

Facts: Auth0 docs, "User Profile Structure" (which attributes can be searched; `picture`
cannot) and "User Search Query Syntax".
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from toolkit.sandbox.directory.timestamps import milliseconds

_LONGEST_VALUE = 8192  # no query is longer, so nothing longer can be asked for
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


@dataclass(frozen=True)
class Field:
    """A searchable field: its column (or its facet's name) and how it is compared."""

    column: str
    kind: Kind


FIELDS: Mapping[str, Field] = {
    "user_id": Field("user_id", Kind.ID),
    "email": Field("email", Kind.FOLDED),
    "email.domain": Field("email_domain", Kind.FOLDED),
    "name": Field("name", Kind.FOLDED),
    "nickname": Field("nickname", Kind.FOLDED),
    "given_name": Field("given_name", Kind.FOLDED),
    "family_name": Field("family_name", Kind.FOLDED),
    "username": Field("username", Kind.EXACT),
    "phone_number": Field("phone_number", Kind.EXACT),
    "created_at": Field("created_at", Kind.MOMENT),
    "updated_at": Field("updated_at", Kind.MOMENT),
    "last_login": Field("last_login", Kind.MOMENT),
    "logins_count": Field("logins_count", Kind.NUMBER),
    "blocked": Field("blocked", Kind.FLAG),
    "email_verified": Field("email_verified", Kind.FLAG),
    "identities.connection": Field("identities.connection", Kind.FACET),
    "identities.provider": Field("identities.provider", Kind.FACET),
    "identities.user_id": Field("identities.user_id", Kind.FACET),
}
"""Every searchable field but the metadata, which has no fixed list."""

COLUMNS: Mapping[str, Kind] = {
    field.column: field.kind
    for field in FIELDS.values()
    if field.kind not in {Kind.FACET, Kind.METADATA}
}
"""The columns of the store's table of users."""


def field_named(name: str) -> Field | None:
    """Return the searchable field of this name, or None."""
    if name.startswith(("user_metadata", "app_metadata")):
        root, _, rest = name.partition(".")
        is_metadata = root in {"user_metadata", "app_metadata"} and (rest != "" or name == root)
        return Field(searchable(name), Kind.METADATA) if is_metadata else None
    return FIELDS.get(name)


def searchable(text: str) -> str:
    """Return the text as the store can hold and compare it: valid Unicode, bounded."""
    return text[:_LONGEST_VALUE].encode("utf-8", "replace").decode("utf-8")


def identifier(user_id: object) -> str | None:
    """Return how a user_id is kept: as JSON text, which holds any string exactly."""
    return json.dumps(user_id) if isinstance(user_id, str) else None


def columns(user: Mapping[str, Any]) -> dict[str, str | int | None]:
    """Return the values of a user's columns; what has the wrong type does not exist."""
    email = user.get("email")
    domain = email.rpartition("@")[2] if isinstance(email, str) and "@" in email else None
    source = {**user, "email_domain": domain}
    return {column: _value(source.get(column), kind) for column, kind in COLUMNS.items()}


def _value(value: object, kind: Kind) -> str | int | None:
    if isinstance(value, str):
        if kind is Kind.MOMENT:
            return milliseconds(value)
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
    left = _MOST_TEXT
    for name, value in _all_facets(user):
        left -= len(name) + len(value)
        if left < 0:
            return
        yield name, value


def _all_facets(user: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for identity in identities(user):
        for key in ("connection", "provider", "user_id"):
            yield from _leaves(f"identities.{key}", identity.get(key))
    for root in ("user_metadata", "app_metadata"):
        if isinstance(user.get(root), Mapping):
            yield from _leaves(root, user[root])


def identities(user: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return those of a user's identities that are objects; the first is the primary one."""
    found = user.get("identities")
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []


def _leaves(field: str, value: object) -> Iterator[tuple[str, str]]:
    """Walk nested values without recursion, so that no nesting is too deep.

    Nulls, empty lists, empty objects and empty strings are not indexed (Auth0 docs: a query
    cannot find metadata fields that contain an empty array, an empty object or null).
    """
    todo: list[Iterator[tuple[str, object]]] = [iter([(field, value)])]
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
