"""What an export job is asked for, and the lines of its file.

Facts: Auth0 docs, "Bulk User Exports" (NDJSON or CSV, gzip; at most 30 fields and no whole
metadata in CSV; each string of a CSV gets a single quote before it, stands in double quotes,
and its double quotes are doubled); recordings of the API (CSV where no format is asked for).
INFERRED, since no source says so: that 500 fields are enough for JSON, which fields a file has
where none are asked for, a CSV's header line, and that a path without `export_as` keeps its
name as the key.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from toolkit.sandbox.directory.store import Connection, connections_of
from toolkit.sandbox.problem import Problem, bad_body

_FORMATS = ("json", "csv")
_METADATA = ("app_metadata", "user_metadata")
_MOST_CSV_FIELDS = 30
_MOST_FIELDS = 500
_LONGEST_NAME = 100
_CONNECTION_ID = re.compile(r"con_[A-Za-z0-9]{16}", re.ASCII)
_STEP = re.compile(r"([^.\[\]]+)|\[(\d{1,6})\]", re.ASCII)
_USUAL = (
    "user_id email email_verified name nickname picture created_at updated_at last_login "
    "logins_count"
)
_MISSING = object()


@dataclass(frozen=True)
class Column:
    """One field of an export: where its value is, and what it is called in the file."""

    name: str
    export_as: str | None = None

    @property
    def title(self) -> str:
        """What it is called in the file."""
        return self.export_as or self.name

    @property
    def path(self) -> tuple[str | int, ...]:
        """The keys and positions that lead to the value: `identities[0].connection`."""
        steps = _STEP.findall(self.name)
        return tuple(int(place) if place else key for key, place in steps)

    def document(self) -> dict[str, str]:
        """Return the field as it was asked for."""
        return {"name": self.name} | ({"export_as": self.export_as} if self.export_as else {})


@dataclass(frozen=True)
class Export:
    """What is to be exported.

    Attributes:
        format: `json` or `csv`.
        limit: The most users, or None.
        connection: Whose users; None for everybody.
        columns: The fields that were asked for; empty for the usual ones.
    """

    format: str
    limit: int | None
    connection: Connection | None
    columns: tuple[Column, ...]

    def document(self, created_at: str, job_id: str) -> dict[str, Any]:
        """Return the job as the API shows it when it is new."""
        shown: dict[str, Any] = {"type": "users_export", "status": "pending"}
        if self.connection:
            shown["connection_id"] = self.connection.id
        shown["format"] = self.format
        if self.limit is not None:
            shown["limit"] = self.limit
        if self.columns:
            shown["fields"] = [column.document() for column in self.columns]
        if self.connection:
            shown["connection"] = self.connection.name
        return {**shown, "created_at": created_at, "id": job_id}

    def lines(self, bodies: Iterable[str]) -> Iterator[str]:
        """Yield the lines of the file for these users' JSON."""
        columns = self.columns or tuple(Column(name) for name in _USUAL.split())
        paths = [(column.title, column.path) for column in columns]
        if self.format == "csv":
            yield ",".join(_quoted(column.title) for column in columns) + "\n"
        for user in islice(self._chosen(bodies), self.limit):
            found = {title: _at(user, path) for title, path in paths}
            if self.format == "csv":
                yield ",".join(map(_cell, found.values())) + "\n"
            else:
                there = {key: value for key, value in found.items() if value is not _MISSING}
                yield json.dumps(there, separators=(",", ":")) + "\n"

    def _chosen(self, bodies: Iterable[str]) -> Iterator[Mapping[str, Any]]:
        for body in bodies:
            user = json.loads(body)
            if self.connection is None or self.connection in connections_of(user):
                yield user


def read_export(body: bytes, connections: Callable[[], Iterable[Connection]]) -> Export:
    """Read the body of a request to export users.

    Args:
        body: The request's JSON; nothing at all asks for everything.
        connections: The tenant's connections.

    Raises:
        Problem: If the body is not valid, or the connection does not exist.
    """
    asked = _object(body)
    unknown = sorted(asked.keys() - {"connection_id", "format", "limit", "fields"})
    if unknown:
        raise bad_body(f"'Additional properties not allowed: {','.join(unknown)}'.")
    form = asked.get("format", "csv")
    if form not in _FORMATS:
        raise bad_body("'No enum match' on property format (Format of the file).")
    limit = asked.get("limit")
    if "limit" in asked and (type(limit) is not int or limit < 1):
        raise bad_body("'Expected a whole number from 1' on property limit.")
    columns = _columns(asked.get("fields", []))
    if form == "csv":
        _check_csv(columns)
    return Export(form, limit, _connection(asked, connections), columns)


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        asked = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise Problem(400, "Invalid request payload JSON format") from error
    if not isinstance(asked, dict):
        raise bad_body("'Expected type object'.")
    return asked


def _columns(asked: object) -> tuple[Column, ...]:
    if not isinstance(asked, list):
        raise bad_body("'Expected type array' on property fields.")
    if len(asked) > _MOST_FIELDS:
        raise bad_body(f"'Too many fields, maximum {_MOST_FIELDS}' on property fields.")
    return tuple(map(_column, asked))


def _column(asked: object) -> Column:
    where = "on property fields (name, and export_as if it shall be called otherwise)."
    if not isinstance(asked, dict) or asked.keys() - {"name", "export_as"}:
        raise bad_body(f"'Expected type object with known properties' {where}")
    texts = [asked.get("name"), asked.get("export_as", asked.get("name"))]
    if not all(isinstance(text, str) and 0 < len(text) <= _LONGEST_NAME for text in texts):
        raise bad_body(f"'Expected type string of 1 to {_LONGEST_NAME} characters' {where}")
    return Column(asked["name"], asked.get("export_as"))


def _check_csv(columns: tuple[Column, ...]) -> None:
    if len(columns) > _MOST_CSV_FIELDS:
        raise bad_body(f"'Too many fields, maximum {_MOST_CSV_FIELDS} for csv' on property fields.")
    whole = [column.name for column in columns if column.name in _METADATA]
    if whole:
        raise bad_body(f"'{whole[0]} cannot be exported as a whole to csv' on property fields.")


def _connection(
    asked: Mapping[str, Any], connections: Callable[[], Iterable[Connection]]
) -> Connection | None:
    if "connection_id" not in asked:
        return None
    wanted = asked["connection_id"]
    if not (isinstance(wanted, str) and _CONNECTION_ID.fullmatch(wanted)):
        raise bad_body("'String does not match pattern' on property connection_id.")
    found = next((item for item in connections() if item.id == wanted), None)
    if found is None:
        raise Problem(400, "The connection does not exist.", "inexistent_connection")
    return found


def _at(value: Any, path: tuple[str | int, ...]) -> Any:  # noqa: ANN401 - any JSON
    """Return what is at a path, or `_MISSING`."""
    for step in path:
        is_held = isinstance(value, dict if isinstance(step, str) else list)
        try:
            value = value[step] if is_held else _MISSING
        except (KeyError, IndexError):
            return _MISSING
    return value


def _cell(value: object) -> str:
    if value is None or value is _MISSING:
        return ""
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return _quoted("'" + (value if isinstance(value, str) else json.dumps(value)))


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
