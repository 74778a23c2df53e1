"""One change of one user: the new value, the old value, and what must not have changed.

Facts: Auth0 Management API, "Update a User" (a null removes an attribute, and the picture of
database and passwordless users cannot be removed); recordings of the API (a key of
`user_metadata` is deleted by a null; `{}` wipes all of it, and is kept as `{}`). Which texts are
accepted as a root picture: `toolkit.tenant.models.takes_picture`.

It is not known what remains of `user_metadata` when its last key is removed: nothing, or `{}`. If
there was none before and the tenant keeps `{}`, it counts as restored, with a note
(`Edit.leaves_empty`). If it was empty before, nothing is written.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from toolkit.classification.user_profile import user
from toolkit.tenant.models import KEEPING, takes_picture

_NULL: Final = "its picture is an explicit null, which could not be put back"
_ODD: Final = "its picture is something that could not be put back as it is"
_EMPTY: Final = "its user_metadata is empty: whether an empty one could be put back is not known"
_NO_OBJECT: Final = "its user_metadata is no object, and could not be put back"
_KEPT: Final = "Auth0 does not remove the picture of such users"
_UNWRITABLE: Final = "Auth0 does not take such a picture"


class Field(StrEnum):
    """Where a user's picture is written; the names of the snapshot's columns."""

    ROOT = "picture"
    METADATA = "metadata_picture"

    def of(self, record: Mapping[str, Any]) -> object:
        """Return the value in an Auth0 user object, unchanged; None if there is none."""
        if self is Field.ROOT:
            return record.get("picture")
        metadata = record.get("user_metadata")
        return metadata.get("picture") if isinstance(metadata, Mapping) else None

    def change(self, value: object) -> dict[str, Any]:
        """Return the body that writes a value there; None removes it.

        Other keys of `user_metadata` stay: Auth0 merges its first level.
        """
        return {"picture": value} if self is Field.ROOT else {"user_metadata": {"picture": value}}

    def irreplaceable(self, record: Mapping[str, Any]) -> str | None:
        """Return why a user's value could not be restored exactly; None if it could."""
        if self is Field.METADATA and "user_metadata" not in record:
            return None
        holder = record if self is Field.ROOT else record["user_metadata"]
        if not isinstance(holder, Mapping):
            return _NO_OBJECT
        if not holder:
            return _EMPTY
        if "picture" not in holder:
            return None
        if holder["picture"] is None:
            return _NULL
        return None if self.takes(holder["picture"]) else _ODD

    def takes(self, value: object) -> bool:
        """Whether a value can be written there as it is; None means that it is removed.

        Metadata accepts any JSON, the root picture only an absolute address. A lone surrogate (no
        UTF-8), NaN (no JSON) and too many levels can be sent to neither.
        """
        is_picture = value is None or (isinstance(value, str) and takes_picture(value))
        if self is Field.ROOT and not is_picture:
            return False
        try:
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        except (ValueError, RecursionError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class Edit:
    """One change of one user.

    Attributes:
        number: its place in the plan, from 0.
        user_id: the user.
        connection: the primary identity's connection.
        strategy: that connection's strategy.
        field: where it is written.
        after: what is written; None removes what is there.
        expected: columns of the snapshot with their values. If the user has other values, somebody
            has changed the user, and nothing is written.
    """

    number: int
    user_id: str
    connection: str | None
    strategy: str | None
    field: Field
    after: object
    expected: tuple[tuple[str, str | None], ...]

    def is_as_expected(self, record: Mapping[str, Any]) -> bool:
        """Whether a user still has the expected values."""
        found = user(record)
        return all(getattr(found, name) == value for name, value in self.expected)

    def is_made(self, record: Mapping[str, Any]) -> bool:
        """Whether a user already has the value to write."""
        return self.field.of(record) == self.after

    @property
    def impossible(self) -> str | None:
        """Why Auth0 refuses this change for every user; None if it may accept it."""
        if self.after is None and self.field is Field.ROOT and self.strategy in KEEPING:
            return _KEPT
        return None if self.field.takes(self.after) else _UNWRITABLE

    def leaves_empty(self, record: Mapping[str, Any]) -> bool:
        """Whether this removed the last key of a user's `user_metadata` and left it empty."""
        empty = self.field is Field.METADATA and self.after is None
        return empty and record.get("user_metadata") == {}
