"""A piece of an NDJSON export: some megabytes of whole lines, made into a table of profiles.

DuckDB reads the lines, and only the attributes that a snapshot keeps. What it says is taken for
a row where it can only mean one thing; every other line is read again by itself, by
`toolkit.collect.files.record_of` and `toolkit.user.user`, which are the truth.

Fact (DuckDB 2.0, tried): strictly read, a wrong type, a repeated key, a lone surrogate and bytes
that are no UTF-8 are errors; leniently read, a line with any of these is a row of its own, null
where it has no meaning. Commas before a bracket are let through, so they are looked for here.
An error names the line that it is in, or the one behind it: that is read by itself, too, and the
strict reading begins again with `{}` in its place. The lenient reading takes several times as
long, so it is for pieces with many such lines.
What is let through beyond what Python calls JSON: vertical tabs between values and, in
attributes that nobody keeps, `nan` and `inf`, numbers of any length, and nesting of any depth.
"""

import mmap
import os
import re
import tempfile
from bisect import bisect_right
from dataclasses import dataclass
from typing import IO

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from toolkit.arrays import (
    array,
    first_bytes,
    flag,
    text,
    text_bytes,
    texts_with,
    values_of,
    whole,
)
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

# What was exported by its path counts where the attribute itself is missing.
_READ = """
    SELECT user_id, email, name, created_at, updated_at, last_login, picture, identities,
        CAST(logins_count AS VARCHAR) AS logins_count, user_metadata,
        coalesce("identities[0].connection", connection) AS connection,
        coalesce("identities[0].provider", provider, strategy) AS strategy,
        coalesce("user_metadata.picture", metadata_picture) AS metadata_picture"""
# What is longer is read exactly. DuckDB's buffers are twice that, and small ones stay warm.
_OBJECT = 2 * 1024 * 1024
_SOURCE = (
    f"read_json(?, format = 'newline_delimited', maximum_object_size = {_OBJECT}, "
    f"columns = {_COLUMNS}, ignore_errors = "
)
_STRICT = f"{_READ} FROM {_SOURCE}false)"
_LENIENT = f"{_READ} FROM {_SOURCE}true)"
# Keys that repeat, and types that are not what they seem: what the lenient reading does not tell.
# Each function goes through a whole line, so each is asked for all places at once.
_PLACES = "['$', '$.user_metadata', '$.identities', '$.identities[0]']"
_ODD = f"""
    SELECT coalesce(json IS NULL
        OR len(list_filter(keys, lambda k: len(list_distinct(k)) < len(k))) > 0
        OR types[2] NOT IN ('OBJECT', 'NULL') OR types[3] NOT IN ('ARRAY', 'NULL')
        OR types[4] <> 'OBJECT', false) AS odd
    FROM (SELECT json, json_keys(json, {_PLACES}) AS keys, json_type(json, {_PLACES}) AS types
        FROM read_json_objects(?, format = 'newline_delimited', ignore_errors = true,
            maximum_object_size = {_OBJECT}))"""  # noqa: S608 - made of constants
_LINE = re.compile(rb" in line (\d+)")
# So often it is begun again.
_AGAIN = 4
_NOTHING = b"{}"
_END = ord("\n")
_BLANK = np.zeros(256, np.bool_)
_BLANK[list(b" \t\r")] = True
# Up to so many places in a block are found one by one, which is quicker where they are rare.
_RARE = 200
# Fact (isal 1.9, numpy 2.4, on an AMD EPYC, measured): ISA-L leaves the upper halves of vector
# registers in use, and numpy compares half as fast until something clears them. Adding does.
_SOME = np.zeros(64, np.uint8)
# So many blanks between a comma and a bracket are looked through; lines with more are odd.
_FEW = 64

# DuckDB quotes the line in its message, and may cut it within a character; lines of a megabyte
# may take more memory than it is given.
_UNREADABLE = (
    duckdb.InvalidInputException,
    duckdb.ConversionException,
    duckdb.OutOfMemoryException,
    UnicodeDecodeError,
)

# Texts that JSON which is no text may have become: of these the shape is not kept.
_NO_TEXT = np.zeros(256, np.bool_)
_NO_TEXT[list(b"{[-0123456789nNiI")] = True
_DOUBTFUL = (
    r"^(?:[{\[]|-?[0-9]{19,}$|-?[0-9]+(?:\.[0-9]+)?[eE][+-]?[0-9]+$|-?[0-9]+\.[0-9]+$"
    r"|-?(?i:nan|inf|infinity)$)"
)
# A moment as Auth0 writes it.
_MOMENT = b"0000-00-00T00:00:00.000Z"
_T = _MOMENT.index(b"T")
_YEAR = slice(0, 4)
_YEAR_0 = np.frombuffer(_MOMENT[_YEAR], np.uint32)
_COUNT_DIGITS = 18
_NINE = 9


class Sheet:
    """Whole lines that DuckDB can read like a file; they stay in memory where the system can.

    Attributes:
        path: what DuckDB finds it by.
        size: how many bytes it holds.
        lines: how many ends of lines.
    """

    def __init__(self) -> None:
        if hasattr(os, "memfd_create"):
            self._file: IO[bytes] = os.fdopen(os.memfd_create("lines"), "w+b", buffering=0)
            self.path = f"/proc/self/fd/{self._file.fileno()}"
        else:
            self._file = tempfile.NamedTemporaryFile(buffering=0)  # noqa: SIM115 - closed by close
            self.path = self._file.name
        # Room for what is found out of each byte: new room each time costs more than finding out.
        self._room = bytearray()
        self._first = self._second = np.zeros(0, np.bool_)
        self.begin()

    def write(self, data: bytes) -> None:
        """Append some bytes, and notice while they are at hand what `read_piece` needs to know."""
        np.add(_SOME, _SOME)
        seen = np.frombuffer(data, np.uint8)
        self._lines.append(self.lines)
        self._places.append(self.size)
        self._commas.append(self.size + self._suspect(seen))
        self.size += len(data)
        self.lines += int(np.count_nonzero(np.equal(seen, _END, out=self._first[: len(seen)])))
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    def begin(self) -> None:
        """Write over what is there; `end` forgets the rest of it."""
        self._file.seek(0)
        self.size = self.lines = 0
        # Of each block that was written: how many lines and bytes stand before it.
        self._lines: list[int] = []
        self._places: list[int] = []
        self._ends: dict[int, npt.NDArray[np.int64]] = {}  # in blocks that were looked into
        self._commas: list[npt.NDArray[np.int64]] = []  # where one may stand before a bracket
        self._kept: dict[int, bytes] = {}  # lines that were emptied

    def end(self, size: int) -> None:
        """Say that all is written, and how many bytes of it are whole lines; drop the others."""
        self.size = size
        self._file.truncate(size)

    def close(self) -> None:
        """Forget the lines."""
        self._file.close()

    def view(self) -> mmap.mmap:
        """Return the bytes, uncopied; to be closed."""
        return mmap.mmap(self._file.fileno(), self.size, access=mmap.ACCESS_READ)

    def line(self, number: int) -> bytes:
        """Return a line with its end, as it was written; the first is 0."""
        if number in self._kept:
            return self._kept[number]
        begin = self._begin(number)
        return os.pread(self._file.fileno(), self._begin(number + 1) - begin, begin)

    def empty(self, number: int) -> bool:
        """Put an empty object in the place of a line, for DuckDB to read; `line` remembers it.

        Returns:
            Whether there is such a line, not blank, with room for one.
        """
        if not 0 <= number < self.lines or number in self._kept:
            return False
        line = self.line(number)
        if len(line) <= len(_NOTHING) or line.isspace():
            return False
        os.pwrite(self._file.fileno(), _NOTHING.ljust(len(line) - 1), self._begin(number))
        self._kept[number] = line
        return True

    def with_commas(self) -> list[int]:
        """Return the lines in which a comma stands before a bracket, or a long blank."""
        places = np.concatenate([np.zeros(0, np.int64), *self._commas])
        places = places[places < self.size]
        if not len(places):
            return []
        with self.view() as view:
            seen = np.frombuffer(view, np.uint8)
            after = np.minimum(places + 1, self.size - 1)  # where a line ends: no blank
            for _ in range(_FEW):
                further = _BLANK[seen[after]]
                if not further.any():
                    break
                after += further
            last = seen[after]
            found = places[(last | 0x20 == ord("}")) | _BLANK[last]]
            del seen  # or the view could not be closed
        return sorted({self._number(place) for place in found.tolist()})

    def _suspect(self, seen: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
        """Return where a comma stands before a bracket, a blank or the end."""
        last = len(seen) - 1
        if last >= len(self._first):
            self._room = bytearray(len(seen))
            self._first = np.frombuffer(self._room, np.bool_)
            self._second = np.empty(len(seen), np.bool_)
        # Before anything but a key or a text, first: that leaves few.
        odd = np.equal(seen[:-1], ord(","), out=self._first[:last])
        odd &= np.not_equal(seen[1:], ord('"'), out=self._second[:last])
        found = self._marked(last)
        after = seen[found + 1]
        found = found[((after | 0x20) == ord("}")) | (after <= ord(" "))]
        return np.append(found, last) if seen[-1] == ord(",") else found

    def _marked(self, size: int) -> npt.NDArray[np.int64]:
        """Return which of so many bytes `_first` marks."""
        found: list[int] = []
        while len(found) < _RARE:
            place = self._room.find(True, found[-1] + 1 if found else 0, size)
            if place < 0:
                return np.array(found, np.int64)
            found.append(place)
        return np.flatnonzero(self._first[:size])

    def _number(self, place: int) -> int:
        """Return the number of the line in which a byte stands."""
        block = bisect_right(self._places, place) - 1
        return self._lines[block] + int(np.searchsorted(self._ends_of(block), place))

    def _begin(self, number: int) -> int:
        """Return where a line begins."""
        if not number:
            return 0
        block = bisect_right(self._lines, number - 1) - 1
        return int(self._ends_of(block)[number - 1 - self._lines[block]]) + 1

    def _ends_of(self, block: int) -> npt.NDArray[np.int64]:
        """Return where lines end in a block."""
        ends = self._ends.get(block)
        if ends is None:
            begin, *rest = self._places[block : block + 2]
            data = os.pread(self._file.fileno(), (*rest, self.size)[0] - begin, begin)
            ends = begin + np.flatnonzero(np.frombuffer(data, np.uint8) == _END)
            self._ends[block] = ends
        return ends


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
    for number in sheet.with_commas():
        sheet.empty(number)
    table = _read_strictly(sheet, database)
    if table is not None and len(table) == sheet.lines:
        return _finished(sheet, *_columns(table), np.arange(sheet.lines))
    places = _places(sheet)
    if table is not None and len(table) == len(places):
        return _finished(sheet, *_columns(table), places)
    return _finished(sheet, *_read_leniently(sheet, database, len(places)), places)


def _read_strictly(sheet: Sheet, database: duckdb.DuckDBPyConnection) -> pa.Table | None:
    """Read what DuckDB is sure of, lines that it refuses emptied; None where they are many."""
    for _ in range(_AGAIN):
        try:
            return database.sql(_STRICT, params=[sheet.path]).to_arrow_table()
        except _UNREADABLE as error:
            named = _LINE.search(_message(error))
        if not named:
            break
        number = int(named[1])
        # Both: which of them it is depends on what is wrong.
        if not [sheet.empty(number - 1), sheet.empty(number - 2)].count(True):
            break
    return None


def _message(error: Exception) -> bytes:
    return error.object if isinstance(error, UnicodeDecodeError) else str(error).encode()


def _places(sheet: Sheet) -> npt.NDArray[np.int64]:
    """Return the numbers of the lines that are not blank."""
    with sheet.view() as view:
        numbered = enumerate(view[:].split(b"\n"))
        return np.array([number for number, line in numbered if line.strip()], np.int64)


def _read_leniently(
    sheet: Sheet, database: duckdb.DuckDBPyConnection, rows: int
) -> tuple[dict[str, pa.Array], _Mask]:
    """Read what can be read of each line, and say what is unsure: all, where rows are missing."""
    try:
        table = database.sql(_LENIENT, params=[sheet.path]).to_arrow_table()
        odd = database.sql(_ODD, params=[sheet.path]).to_arrow_table()["odd"]
    except _UNREADABLE:  # a line is longer than DuckDB takes
        return _nothing(rows)
    if not len(table) == len(odd) == rows:
        return _nothing(rows)
    columns, unsure = _columns(table)
    return columns, unsure | values_of(whole(odd))


def _nothing(rows: int) -> tuple[dict[str, pa.Array], _Mask]:
    texts = {name: pa.nulls(rows, pa.string()) for name in PROFILE.names}
    return texts, np.ones(rows, np.bool_)


def _columns(read: pa.Table) -> tuple[dict[str, pa.Array], _Mask]:
    """Do with columns what `toolkit.user.user` does with a record of the right types.

    Args:
        read: what `_READ` yields.

    Returns:
        The columns of `toolkit.columns.PROFILE`, all of them texts; and which rows are unsure.
    """
    columns = {name: whole(read[name]) for name in read.schema.names}
    identities = columns.pop("identities")
    begins = values_of(identities.offsets)
    there = (np.diff(begins) > 0) & values_of(identities.is_valid())
    first = identities.values
    if len(first) != len(read) or not there.all():
        first = first.take(array(begins[:-1], ~there))
    metadata = columns.pop("user_metadata")
    within = {
        "connection": (identities, first, "connection"),
        "strategy": (identities, first, "provider"),
        "metadata_picture": (metadata, metadata, "picture"),
    }
    for name, (attribute, struct, field) in within.items():
        told, columns[name] = columns[name], _field(struct, field)
        if told.null_count < len(read):
            columns[name] = pc.if_else(attribute.is_null(), told, columns[name])
    columns["strategy"] = strategy_of(columns["strategy"], columns["user_id"])
    unsure = ~values_of(columns["user_id"].is_valid()) | (there & ~values_of(first.is_valid()))
    return columns, unsure


def _field(struct: pa.StructArray, name: str) -> pa.StringArray:
    """Return a field of a column of structs, null where the struct is."""
    return struct.flatten()[struct.type.get_field_index(name)]


def strategy_of(provider: pa.StringArray, user_id: pa.StringArray) -> pa.StringArray:
    """Return the strategy of each user, which the id names where nothing else does."""
    told = pc.fill_null(pc.not_equal(provider, text("")), flag(False))
    if values_of(told).all():
        return provider
    parts = pc.split_pattern(user_id.fill_null(text("")), "|", max_splits=1)
    begins = values_of(parts.offsets)
    named = parts.values.take(array(begins[:-1], np.diff(begins) != len("ab")))
    return pc.if_else(told, provider, named)


def _finished(
    sheet: Sheet, columns: dict[str, pa.Array], unsure: _Mask, places: npt.NDArray[np.int64]
) -> Piece:
    """Give the columns their types, and read the lines of the rows that are unsure exactly."""
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
        return Piece(table, sheet.lines, ())
    users: list[User] = []
    taken: list[int] = []
    unreadable: list[int] = []
    for row, place in zip(again.tolist(), places[again].tolist(), strict=True):
        try:
            users.append(user(record_of(sheet.line(place))))
        except (ValueError, RecursionError):
            unreadable.append(place)
        else:
            taken.append(row)
    return Piece(_patched(table, again, taken, users), sheet.lines, tuple(unreadable))


def _patched(
    table: pa.Table, again: npt.NDArray[np.int64], taken: list[int], users: list[User]
) -> pa.Table:
    """Put users in the place of some rows; of `again`, those that are not `taken` are left out."""
    exact = tabulated(users)
    places = np.full(len(table), -1, np.int64)
    places[taken] = np.arange(len(exact))
    pieces: list[pa.Table] = []
    begin = 0
    for row in again.tolist():
        pieces.append(table.slice(begin, row - begin))
        if places[row] >= 0:
            pieces.append(exact.slice(int(places[row]), 1))
        begin = row + 1
    return pa.concat_tables([*pieces, table.slice(begin)]).combine_chunks()


def _doubtful(column: pa.StringArray) -> _Mask:
    """Whether each text may have been something else in JSON, so that its form is not known."""
    doubtful = _NO_TEXT.take(first_bytes(column))
    at = np.flatnonzero(doubtful)
    texts = column.take(array(at))
    matches = pc.match_substring_regex(texts, _DOUBTFUL).fill_null(flag(False))
    doubtful[at] = values_of(matches)
    return doubtful


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
    marks = data.reshape(-1, len(_MOMENT))
    # Arrow reads the digits and knows the marks but these; and there is no year 0 to Python.
    alike = (marks[:, _T] == ord("T")) & (marks[:, -1] == ord("Z"))
    alike &= marks[:, _YEAR].view(np.uint32)[:, 0] != _YEAR_0
    if not alike.all():
        odd[np.flatnonzero(there & ~odd)[~alike]] = True
        held = _without(held, odd)
    try:
        return held.cast(kind), odd
    except pa.ArrowInvalid:  # letters, or a 30th of February: looked for one by one
        odd |= [text is not None and not _is_plain(text) for text in held.to_pylist()]
        return _without(held, odd).cast(kind), odd


def _is_plain(text: str) -> bool:
    """Whether a text is what Auth0 would write for the moment that it stands for."""
    found = moment(text)
    written = found.isoformat(timespec="milliseconds") if found else ""
    return written.replace("+00:00", "Z") == text


def counts_of(column: pa.StringArray) -> tuple[pa.Array, _Mask]:
    """Return whole numbers of at most 18 digits, and which rows hold something else."""
    places, data = text_bytes(column)
    sizes = np.diff(places)
    there = values_of(column.is_valid())
    odd = there & ((sizes == 0) | (sizes > _COUNT_DIGITS))
    odd[texts_with(data - np.uint8(ord("0")) > _NINE, places)] = True
    odd &= there
    return (_without(column, odd) if odd.any() else column).cast(pa.int64()), odd
