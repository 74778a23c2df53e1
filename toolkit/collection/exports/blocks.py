"""Turn blocks of an export file, some megabytes each, into tables of profiles.

DuckDB reads lines of NDJSON, Arrow reads rows of CSV. If they may read a line differently from
`record_of`, `csv.reader` and `toolkit.classification.user_profile.user`, these read it.

Facts about NDJSON (DuckDB 2.0, tried): wrong types, repeated keys, lone surrogates and bytes that
are not UTF-8 are errors, so a block with one of these is cut in half until the rest can be read.
DuckDB turns a number, an object or an array into text, and accepts a comma before a closing
bracket: both are detected here. In other attributes it accepts what Python refuses.
"""

import os
import tempfile
from collections.abc import Mapping, Sequence
from typing import IO, NamedTuple, Self

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from toolkit.classification.arrow import array, first_bytes, flag, text, values_of, whole
from toolkit.classification.schema import PROFILE
from toolkit.classification.user_profile import User, tabulated, user
from toolkit.collection.exports.duplicates import keys_of
from toolkit.collection.exports.reader import BOM, NESTED, TITLES, record_of, record_of_cells

_Mask = npt.NDArray[np.bool_]

_TEXTS = ("user_id", "email", "name", "connection", "strategy", "picture", "metadata_picture")
_TIMES = ("created_at", "updated_at", "last_login")
_TYPES = dict.fromkeys([*PROFILE.names, *sum(TITLES.values(), ())], "VARCHAR") | {
    "identities": "STRUCT(provider VARCHAR, connection VARCHAR)[]",
    "user_metadata": "STRUCT(picture VARCHAR)",
    "logins_count": "JSON",  # a text keeps its quotes and so differs from a number
}


def _first(name: str) -> str:
    return "coalesce(" + ", ".join(f'"{title}"' for title in TITLES[name]) + ")"


# A longer line is read alone. DuckDB takes twice as much memory for each reader.
_LONGEST_LINE = 2 * 1024 * 1024
_READ = f"""
    SELECT user_id, email, name,
        CASE WHEN identities IS NULL THEN {_first("connection")}
            ELSE identities[1].connection END AS connection,
        CASE WHEN identities IS NULL THEN {_first("strategy")}
            ELSE identities[1].provider END AS strategy,
        created_at, updated_at, last_login, logins_count::VARCHAR AS logins_count, picture,
        CASE WHEN user_metadata IS NULL THEN {_first("metadata_picture")}
            ELSE user_metadata.picture END AS metadata_picture,
        len(identities) > 0 AND identities[1] IS NULL AS unsure
    FROM read_json(?, format = 'newline_delimited', maximum_object_size = {_LONGEST_LINE},
        columns = {_TYPES})"""  # noqa: S608 - made of constants
_COLUMNS = pa.schema([*((name, pa.string()) for name in PROFILE.names), ("unsure", pa.bool_())])
# DuckDB's message quotes the line, and may cut it inside a character.
_ODD = (
    duckdb.InvalidInputException,
    duckdb.ConversionException,
    duckdb.OutOfMemoryException,
    UnicodeDecodeError,
)
# So few lines are read one at a time if one of them is unusual.
_FEW = 64
_COMMA = r",\s*[}\]]"
# Texts that may come from JSON of another type.
_NO_TEXT = r"^(?:[{\[]|-?[0-9][0-9.eE+-]*$|-?(?i:nan|inf|infinity)$)"
# Their first characters: few texts begin so, and checking a byte is faster than a pattern.
_MAYBE_NO_TEXT = np.isin(np.arange(256), list(b"{[-0123456789nNiI"))
# Times in Auth0's form. A 29th of February is read by Python.
_TIME = (
    r"^[1-9][0-9]{3}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)"
    r"|(?:0[13578]|1[02])-31)T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{3}Z$"
)
_COUNT = r"^[0-9]{1,18}$"
_QUOTE = ord('"')
_BEFORE, _AFTER = list(b'",\n'), list(b'",\n\r')


class Piece(NamedTuple):
    """The result of reading some lines."""

    profiles: pa.Table  # the columns of `toolkit.classification.schema.PROFILE`
    keys: npt.NDArray[np.uint64]  # of `keys_of`
    lines: int = 0
    unreadable: Sequence[int] = ()  # numbers of lines; the first is 0


class LineReader:
    """Reads lines of NDJSON. A context manager; used by one thread at a time."""

    def __init__(self, database: duckdb.DuckDBPyConnection) -> None:
        self._database = database.cursor()
        # DuckDB reads files only; use one in memory if the system allows.
        if hasattr(os, "memfd_create"):
            self._file: IO[bytes] = os.fdopen(os.memfd_create("lines"), "wb")
            self._path = f"/proc/self/fd/{self._file.fileno()}"
        else:
            self._file = tempfile.NamedTemporaryFile()  # noqa: SIM115 - closed at the exit
            self._path = self._file.name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._database.close()

    def keyed(self, profiles: pa.Table, lines: int = 0, unreadable: Sequence[int] = ()) -> Piece:
        """Return profiles with the hashes of their ids."""
        keys = keys_of(profiles["user_id"], self._database)
        return Piece(profiles, keys, lines, unreadable)

    def read(self, data: bytes) -> Piece:
        """Read complete lines of NDJSON, each with its end."""
        ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n")) + 1
        places = np.concatenate([[0], ends]).astype(np.int32)
        lines = pa.Array.from_buffers(
            pa.binary(), len(ends), [None, pa.py_buffer(places), pa.py_buffer(data)]
        )
        read = pa.concat_tables(self._strictly(data, places)).combine_chunks()
        columns = {name: whole(read[name]) for name in read.column_names}
        unsure = _holds(columns.pop("unsure")) | _matches(lines, _COMMA)
        unsure |= ~values_of(columns["user_id"].is_valid())
        for name in _TEXTS:
            few = np.flatnonzero(_MAYBE_NO_TEXT[first_bytes(columns[name])])
            unsure[few] |= _matches(columns[name].take(array(few)), _NO_TEXT)
        profiles = _typed(columns, unsure)
        users, unreadable = {}, []
        for row in np.flatnonzero(unsure).tolist():
            line = lines[row].as_py()
            if line.isspace():
                continue
            try:
                users[row] = user(record_of(line))
            except (ValueError, RecursionError):
                unreadable.append(row)
        return self.keyed(_patched(profiles, unsure, users), len(lines), unreadable)

    def _strictly(self, data: bytes, places: npt.NDArray[np.int32]) -> list[pa.Table]:
        """Read one row for each line; it is null if DuckDB refuses the line or one near it."""
        count = len(places) - 1
        self._file.seek(0)
        self._file.write(data[places[0] : places[-1]])
        self._file.truncate()
        try:
            table = self._database.sql(_READ, params=[self._path]).to_arrow_table()
        except _ODD:
            table = None
        if table is not None and len(table) == count:  # no line is blank
            return [table]
        if count <= _FEW:
            return [pa.table([pa.nulls(count, field.type) for field in _COLUMNS], schema=_COLUMNS)]
        half = count // 2
        halves = places[: half + 1], places[half:]
        return [one for some in halves for one in self._strictly(data, some)]


def is_plain(titles: Sequence[str]) -> bool:
    """Whether `read_rows` can read rows with these titles."""
    return len(set(titles)) == len(titles) and NESTED.isdisjoint(titles)


def end_of_rows(data: bytes) -> int:
    """Return where the last complete row of some CSV ends (a line end outside quotes), or 0."""
    quotes = np.flatnonzero(np.frombuffer(data, np.uint8) == _QUOTE)
    place = len(data)
    while place := data.rfind(b"\n", 0, place) + 1:
        before = int(np.searchsorted(quotes, place))
        if before % 2 == 0:
            return place
        # Inside a cell: continue before that cell.
        place = int(quotes[before - 1])
    return 0


def read_rows(data: bytes, titles: Sequence[str]) -> pa.Table | None:
    """Read complete rows of CSV with these column names, for which `is_plain` is true.

    Returns:
        The profiles; None if `csv.reader` may read the rows differently.
    """
    if not _is_regular(data):
        return None
    kept = [one for name in PROFILE.names for one in TITLES.get(name, (name,)) if one in titles]
    try:
        read = csv.read_csv(
            pa.BufferReader(data),
            csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=titles),
            csv.ParseOptions(newlines_in_values=True),
            csv.ConvertOptions(column_types=dict.fromkeys(kept, pa.string()), include_columns=kept),
        )
    except pa.ArrowInvalid:  # a row of another length
        return None
    cells = {title: _text_of(whole(read[title])) for title in kept}
    nothing = pa.nulls(len(read), pa.string())
    columns = {
        name: pc.coalesce(
            nothing, *(cells[one] for one in TITLES.get(name, (name,)) if one in cells)
        )
        for name in PROFILE.names
    }
    unsure = ~values_of(columns["user_id"].is_valid())
    profiles = _typed(columns, unsure)
    users = {
        row: user(record_of_cells(kept, (read[title][row].as_py() for title in kept)))
        for row in np.flatnonzero(unsure).tolist()
    }
    return _patched(profiles, unsure, users)


def _is_regular(data: bytes) -> bool:
    """Whether the data is UTF-8 and the meaning of every quote is clear."""
    # Arrow would remove a byte order mark.
    if b"\0" in data or data.startswith(BOM) or data.count(b"\r") != data.count(b"\r\n"):
        return False
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    marks = np.frombuffer(b"\n" + data, np.uint8)
    quotes = np.flatnonzero(marks == _QUOTE)
    begins, ends = quotes[::2], quotes[1::2]
    return (
        len(begins) == len(ends)
        and bool(np.isin(marks[begins - 1], _BEFORE).all())
        and bool(np.isin(marks[ends + 1], _AFTER).all())
    )


def _text_of(cells: pa.StringArray) -> pa.StringArray:
    """Return the values of cells: null, or the text without Auth0's leading quote."""
    held = pc.if_else(pc.equal(cells, text("")), text(None), cells)
    quoted = pc.starts_with(held, "'")
    return pc.if_else(quoted, pc.utf8_slice_codeunits(held, 1), held)


def _typed(columns: dict[str, pa.Array], unsure: _Mask) -> pa.Table:
    """Do for columns of texts what `user_profile.user` does for each record.

    Rows with unusual values, which must be read again one by one, are added to `unsure`.
    """
    for name, pattern in (*((time, _TIME) for time in _TIMES), ("logins_count", _COUNT)):
        column = columns[name]
        usual = _matches(column, pattern)
        unsure |= values_of(column.is_valid()) & ~usual
        known = pc.if_else(array(usual), column, text(None))
        columns[name] = known.cast(PROFILE.field(name).type)
    told = columns["strategy"]
    columns["strategy"] = told = pc.if_else(pc.equal(told, text("")), text(None), told)
    if told.null_count:  # then use the first part of the id
        named = pc.extract_regex(columns["user_id"], r"^(?P<strategy>[^|]*)\|")
        columns["strategy"] = pc.coalesce(told, pc.struct_field(named, [0]))
    return pa.table([columns[name] for name in PROFILE.names], schema=PROFILE)


def _patched(profiles: pa.Table, unsure: _Mask, users: Mapping[int, User]) -> pa.Table:
    """Replace the unsure rows by users; rows without a user are left out."""
    found = np.zeros(len(profiles), np.bool_)
    found[list(users)] = True
    exact = tabulated(users.values())
    columns = [
        pc.replace_with_mask(whole(column), array(found), whole(told))
        for column, told in zip(profiles.columns, exact.columns, strict=True)
    ]
    table = pa.table(columns, schema=PROFILE)
    return table.filter(array(found | ~unsure)) if (unsure & ~found).any() else table


def _matches(column: pa.Array, pattern: str) -> _Mask:
    return _holds(pc.match_substring_regex(column, pattern))


def _holds(column: pa.BooleanArray) -> _Mask:
    found: _Mask = values_of(column.fill_null(flag(False)))
    return found
