"""A piece of an NDJSON export: some megabytes of whole lines, made into a table of profiles.

DuckDB reads the lines, and only the attributes that a snapshot keeps. What it says is taken for
a row where it can only mean one thing; every other line is read again by itself, by
`toolkit.collect.files.record_of` and `toolkit.user.user`, which are the truth.

Fact (DuckDB 2.0, tried): strictly read, a wrong type, a repeated key, a lone surrogate and bytes
that are no UTF-8 are errors; leniently read, a line with any of these is a row of its own, null
where it has no meaning. Commas before a bracket are let through, so they are looked for here.
What is let through beyond what Python calls JSON: vertical tabs between values and, in
attributes that nobody keeps, `nan` and `inf`, numbers of any length, and nesting of any depth.
"""

import mmap
import os
import tempfile
from dataclasses import dataclass
from typing import IO

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from toolkit.arrays import array, flag, text, values_of
from toolkit.classifier import first_bytes, text_bytes
from toolkit.collect.files import record_of
from toolkit.columns import PROFILE
from toolkit.user import User, moment, tabulated, user

_Mask = npt.NDArray[np.bool_]

_TEXTS = ("user_id", "email", "name", "connection", "strategy", "picture", "metadata_picture")
_TIMES = ("created_at", "updated_at", "last_login")
_ATTRIBUTES = {
    "user_id": "VARCHAR",
    "email": "VARCHAR",
    "name": "VARCHAR",
    "identities": "STRUCT(provider VARCHAR, connection VARCHAR)[]",
    "created_at": "VARCHAR",
    "updated_at": "VARCHAR",
    "last_login": "VARCHAR",
    "logins_count": "JSON",
    "picture": "VARCHAR",
    "user_metadata": "STRUCT(picture VARCHAR)",
    # What was exported by its path, or bears the name that it has in a snapshot.
    "identities[0].connection": "VARCHAR",
    "connection": "VARCHAR",
    "identities[0].provider": "VARCHAR",
    "provider": "VARCHAR",
    "strategy": "VARCHAR",
    "user_metadata.picture": "VARCHAR",
    "metadata_picture": "VARCHAR",
}
_COLUMNS = "{" + ", ".join(f"\"{name}\": '{kind}'" for name, kind in _ATTRIBUTES.items()) + "}"

# The same as `toolkit.user.user` makes of a record, where the types are as they should be.
_PROFILE = """
    SELECT user_id, email, name,
        CASE WHEN identities IS NULL THEN coalesce("identities[0].connection", connection)
            ELSE first.connection END AS connection,
        CASE WHEN provided <> '' THEN provided
            WHEN contains(user_id, '|') THEN split_part(user_id, '|', 1) END AS strategy,
        created_at, updated_at, last_login, CAST(logins_count AS VARCHAR) AS logins_count, picture,
        CASE WHEN user_metadata IS NULL THEN coalesce("user_metadata.picture", metadata_picture)
            ELSE user_metadata.picture END AS metadata_picture,
        user_id IS NULL OR (first IS NULL AND len(identities) > 0) AS unsure
    FROM (SELECT *,
        CASE WHEN identities IS NULL THEN coalesce("identities[0].provider", provider, strategy)
            ELSE first.provider END AS provided
        FROM (SELECT *, identities[1] AS first {source}))"""
# What is longer is read exactly. DuckDB's buffers are twice that, and small ones stay warm.
_OBJECT = 2 * 1024 * 1024
_SOURCE = (
    f"read_json(?, format = 'newline_delimited', maximum_object_size = {_OBJECT}, "
    f"columns = {_COLUMNS}, ignore_errors = "
)
_STRICT = _PROFILE.format(source=f"FROM {_SOURCE}false)")
_LENIENT = _PROFILE.format(source=f"FROM {_SOURCE}true)")
_REPEATS = " OR ".join(
    f"len(list_distinct(json_keys(json, '{path}'))) < len(json_keys(json, '{path}'))"
    for path in ("$", "$.user_metadata", "$.identities[0]")
)
_COMMA = r",[ \t\r]*[}\]]"
# What the lenient reading does not tell: keys that repeat, and types that are not what they seem.
_ODD = f"""
    SELECT coalesce(json IS NULL OR {_REPEATS}
        OR json_type(json, '$.user_metadata') NOT IN ('OBJECT', 'NULL')
        OR json_type(json, '$.identities') NOT IN ('ARRAY', 'NULL')
        OR json_type(json, '$.identities[0]') <> 'OBJECT'
        OR regexp_matches(CAST(json AS VARCHAR), '{_COMMA}'), false) AS odd
    FROM read_json_objects(?, format = 'newline_delimited', ignore_errors = true)"""  # noqa: S608 - made of constants

# The last: DuckDB quotes the line in its message, and may cut it within a character.
_UNREADABLE = (duckdb.InvalidInputException, duckdb.ConversionException, UnicodeDecodeError)

# Texts that JSON which is no text may have become: of these the shape is not kept.
_NO_TEXT = np.zeros(256, np.bool_)
_NO_TEXT[list(b"{[-0123456789nNiI")] = True
_DOUBTFUL = (
    r"^(?:[{\[]|-?[0-9]{19,}$|-?[0-9]+(?:\.[0-9]+)?[eE][+-]?[0-9]+$|-?[0-9]+\.[0-9]+$"
    r"|-?(?i:nan|inf|infinity)$)"
)
_WHOLE_NUMBER = r"^[0-9]{1,18}$"
# A moment as Auth0 writes it: eight bytes at a time, where the digits and where the marks stand.
_MOMENT = b"0000-00-00T00:00:00.000Z"
_SHAPE = np.frombuffer(_MOMENT, np.uint64)
_HIGH = np.frombuffer(bytes(0xF0 if b == ord("0") else 0xFF for b in _MOMENT), np.uint64)
_SIX = np.frombuffer(bytes(6 if b == ord("0") else 0 for b in _MOMENT), np.uint64)


class Sheet:
    """Whole lines that DuckDB can read like a file; they stay in memory where the system can.

    Attributes:
        path: what DuckDB finds it by.
        size: how many bytes it holds.
        lines: how many ends of lines.
        suspect: whether a comma stands before a bracket, a blank, or what was written next.
    """

    def __init__(self) -> None:
        if hasattr(os, "memfd_create"):
            self._file: IO[bytes] = os.fdopen(os.memfd_create("lines"), "w+b", buffering=0)
            self.path = f"/proc/self/fd/{self._file.fileno()}"
        else:
            self._file = tempfile.NamedTemporaryFile(buffering=0)  # noqa: SIM115 - closed by close
            self.path = self._file.name
        self.size = self.lines = 0
        self.suspect = False

    def write(self, data: bytes) -> None:
        """Append some bytes, and notice while they are at hand what `read_piece` needs to know."""
        self.size += len(data)
        self.lines += data.count(b"\n")
        self.suspect = self.suspect or _is_suspect(data)
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    def begin(self) -> None:
        """Write over what is there; `end` forgets the rest of it."""
        self._file.seek(0)
        self.size = self.lines = 0
        self.suspect = False

    def end(self) -> None:
        """Say that all is written."""
        self._file.truncate(self.size)

    def close(self) -> None:
        """Forget the lines."""
        self._file.close()

    def view(self) -> mmap.mmap:
        """Return the bytes, uncopied; to be closed."""
        return mmap.mmap(self._file.fileno(), self.size, access=mmap.ACCESS_READ)


@dataclass(frozen=True, slots=True)
class Piece:
    """What some lines held.

    Attributes:
        profiles: one row a user, the columns of `toolkit.columns.PROFILE`.
        lines: how many lines there were.
        unreadable: which of them could not be read; the first is 0.
    """

    profiles: pa.Table
    lines: int
    unreadable: tuple[int, ...]


def read_piece(sheet: Sheet, database: duckdb.DuckDBPyConnection) -> Piece:
    """Read the users of some whole lines of NDJSON, each with its end.

    Args:
        sheet: the lines.
        database: where to compute; not used by another thread meanwhile.
    """
    lines = sheet.lines
    comma = False
    if sheet.suspect:
        with sheet.view() as view:
            comma = pc.match_substring_regex(one(view), _COMMA)[0].as_py()
    if not comma:
        try:
            table = database.sql(_STRICT, params=[sheet.path]).to_arrow_table()
        except _UNREADABLE:
            pass  # some line is odd: below it is found out which
        else:
            if len(table) == lines:
                return _finished(sheet, table, np.arange(lines), lines)
    with sheet.view() as view:
        numbered = enumerate(view[:].split(b"\n"))
        places = np.array([number for number, line in numbered if line.strip()], np.int64)
    return _finished(sheet, _read_leniently(sheet, database, len(places)), places, lines)


def _read_leniently(sheet: Sheet, database: duckdb.DuckDBPyConnection, rows: int) -> pa.Table:
    """Read what can be read of each line, and mark what is unsure: all, where rows are missing."""
    try:
        table = database.sql(_LENIENT, params=[sheet.path]).to_arrow_table()
        odd = database.sql(_ODD, params=[sheet.path]).to_arrow_table()
    except _UNREADABLE:  # a line is longer than DuckDB takes
        return _unsure(rows)
    if not len(table) == len(odd) == rows:
        return _unsure(rows)
    unsure = pc.or_kleene(table["unsure"], odd["odd"])
    return table.set_column(table.schema.get_field_index("unsure"), "unsure", unsure)


def _finished(sheet: Sheet, read: pa.Table, places: npt.NDArray[np.int64], lines: int) -> Piece:
    """Give the columns their types, and read the lines of the rows that are unsure exactly."""
    columns = {name: _column(read, name) for name in read.schema.names}
    unsure = values_of(columns.pop("unsure").fill_null(flag(False))).copy()
    for name in _TEXTS:
        unsure |= _doubtful(columns[name])
    for name in _TIMES:
        columns[name], odd = moments_of(columns[name])
        unsure |= odd
    columns["logins_count"], odd = counts_of(columns["logins_count"])
    unsure |= odd
    table = pa.table([columns[name] for name in PROFILE.names], schema=PROFILE)
    again = np.flatnonzero(unsure)
    if not len(again):
        return Piece(table, lines, ())
    users: list[User] = []
    taken: list[int] = []
    unreadable: list[int] = []
    with sheet.view() as view:
        ends = np.flatnonzero(np.frombuffer(view[:], np.uint8) == ord("\n"))
        for row, place in zip(again.tolist(), places[again].tolist(), strict=True):
            begin = int(ends[place - 1]) + 1 if place else 0
            try:
                users.append(user(record_of(view[begin : int(ends[place]) + 1])))
            except (ValueError, RecursionError):
                unreadable.append(place)
            else:
                taken.append(row)
    sure = np.flatnonzero(~unsure)
    order = np.argsort(np.concatenate([sure, np.array(taken, np.int64)]))
    both = pa.concat_tables([table.take(array(sure)), tabulated(users)])
    return Piece(both.take(array(order)).combine_chunks(), lines, tuple(unreadable))


def _column(table: pa.Table, name: str) -> pa.Array:
    chunks = table[name].chunks
    kind = pa.bool_() if name == "unsure" else pa.string()
    if len(chunks) == 1:
        return chunks[0].cast(kind)
    return pa.concat_arrays([chunk.cast(kind) for chunk in chunks] or [pa.nulls(0, kind)])


def _unsure(rows: int) -> pa.Table:
    names = [*PROFILE.names, "unsure"]
    nothing = pa.nulls(rows, pa.string())
    return pa.table([nothing] * len(PROFILE) + [array(np.ones(rows, np.bool_))], names)


def one(view: mmap.mmap | bytes) -> pa.LargeBinaryArray:
    """Return some bytes, uncopied, as the only value of an array."""
    size = np.array([0, len(view)], np.int64)
    return pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), 1, [None, pa.py_buffer(size), pa.py_buffer(view)]
    )


def _doubtful(column: pa.StringArray) -> _Mask:
    """Whether each text may have been something else in JSON, so that its form is not known."""
    doubtful = _NO_TEXT[first_bytes(column)]
    at = np.flatnonzero(doubtful)
    texts = column.take(array(at))
    matches = pc.match_substring_regex(texts, _DOUBTFUL).fill_null(flag(False))
    doubtful[at] = values_of(matches)
    return doubtful


def _is_suspect(data: bytes) -> bool:
    """Whether a comma stands before a bracket, a blank or the end."""
    seen = np.frombuffer(data, np.uint8)
    after = seen[1:]
    # Before anything but a key or a text, first: that is one look less at nearly every byte.
    odd = (seen[:-1] == ord(",")) & (after != ord('"'))
    if odd.any():
        odd &= ((after | 0x20) == ord("}")) | (after <= ord(" "))
    return bool(odd.any()) or data.endswith(b",")


def _without(column: pa.StringArray, odd: _Mask) -> pa.StringArray:
    return pc.if_else(array(odd), text(None), column)


def moments_of(column: pa.StringArray) -> tuple[pa.Array, _Mask]:
    """Return the times that are written as Auth0 writes them, and which rows are not."""
    kind = PROFILE.field(_TIMES[0]).type
    places, data = text_bytes(column)
    there = values_of(column.is_valid())
    odd = there & (np.diff(places) != len(_MOMENT))
    held = _without(column, odd) if odd.any() else column
    # Nulls may hide bytes.
    if odd.any() or len(data) != len(_MOMENT) * np.count_nonzero(there):
        _, data = text_bytes(held.drop_null())
    words = data.view(np.uint64).reshape(-1, len(_SHAPE))
    shaped = ((words & _HIGH) == _SHAPE) & (((words + _SIX) & _HIGH) == _SHAPE)
    year_0 = words[:, 0] & 0xFFFFFFFF == _SHAPE[0] & 0xFFFFFFFF  # no year to Python
    if not shaped.all() or year_0.any():
        odd[np.flatnonzero(there & ~odd)[~shaped.all(axis=1) | year_0]] = True
        held = _without(held, odd)
    try:
        return held.cast(kind), odd
    except pa.ArrowInvalid:  # a 30th of February: looked for one by one
        odd |= [text is not None and moment(text) is None for text in held.to_pylist()]
        return _without(held, odd).cast(kind), odd


def counts_of(column: pa.StringArray) -> tuple[pa.Array, _Mask]:
    """Return whole numbers of at most 18 digits, and which rows hold something else."""
    plain = pc.match_substring_regex(column, _WHOLE_NUMBER)
    odd = ~values_of(plain.fill_null(flag(True)))
    return _without(column, odd).cast(pa.int64()), odd
