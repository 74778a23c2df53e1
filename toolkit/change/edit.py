"""One change of one user: what is written, what stood there, and what must not have moved."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from toolkit.user import user


class Field(StrEnum):
    """Where a user's picture is written; the names of the snapshot's columns."""

    ROOT = "picture"
    METADATA = "metadata_picture"

    def of(self, record: Mapping[str, Any]) -> object:
        """Return what an Auth0 user object holds there, as it is; None where it holds nothing."""
        if self is Field.ROOT:
            return record.get("picture")
        metadata = record.get("user_metadata")
        return metadata.get("picture") if isinstance(metadata, Mapping) else None

    def change(self, value: object) -> dict[str, Any]:
        """Return the body that writes a value there; None removes it.

        Other keys of `user_metadata` survive: Auth0 merges it at its first level.
        """
        return {"picture": value} if self is Field.ROOT else {"user_metadata": {"picture": value}}

    def restorable(self, value: object) -> bool:
        """Whether a value could be written back as it is.

        Metadata takes any JSON, the root picture only text (or nothing); what has no UTF-8
        form (a lone surrogate) can be sent to neither.
        """
        if isinstance(value, str):
            return not any("\ud800" <= character <= "\udfff" for character in value)
        if value is None or self is Field.ROOT:
            return value is None
        if isinstance(value, Mapping):
            return all(self.restorable(one) for pair in value.items() for one in pair)
        if isinstance(value, list):
            return all(map(self.restorable, value))
        return isinstance(value, bool | int | float)


@dataclass(frozen=True, slots=True)
class Edit:
    """One change of one user.

    Attributes:
        number: its place in the plan, from 0.
        user_id: whom.
        connection: the primary identity's connection.
        strategy: and its strategy.
        field: where it is written.
        after: what is written; None removes what is there.
        expected: snapshot columns and their values: where the user has others, somebody
            changed the user since, and nothing is written.
    """

    number: int
    user_id: str
    connection: str | None
    strategy: str | None
    field: Field
    after: object
    expected: tuple[tuple[str, str | None], ...]

    def stands(self, record: Mapping[str, Any]) -> bool:
        """Whether a user is still as expected."""
        found = user(record)
        return all(getattr(found, name) == value for name, value in self.expected)

    def held(self, record: Mapping[str, Any]) -> bool:
        """Whether a user has what would be written already."""
        return self.field.of(record) == self.after
