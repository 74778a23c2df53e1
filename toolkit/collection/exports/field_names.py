"""The names that tools give to the attributes of an Auth0 user."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


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
