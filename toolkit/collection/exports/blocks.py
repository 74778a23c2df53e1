"""Turn blocks of an export file, some megabytes each, into tables of profiles.

DuckDB reads lines of NDJSON, Arrow cuts rows of CSV into cells, and one query does for both what
`toolkit.classification.user_profile.user` does for one record. Where these may read a line
differently from `record_of`, `csv.reader` and `user`, those read it.

Facts about NDJSON (DuckDB 2.0, tried): wrong types, repeated keys, lone surrogates and bytes that
are not UTF-8 are errors, so a block with one of these is cut in half until the rest can be read.
DuckDB turns a number, an object or an array into text: this is detected here. In other attributes
it accepts what Python refuses.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple, Self

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from toolkit.classification.arrow import array, first_bytes, flag, texts, values_of, whole
from toolkit.classification.columnwise import are_own
from toolkit.classification.held_elsewhere import STRATEGIES, THUMBNAIL, linked, rank
from toolkit.classification.schema import ADDED, PROFILE, completed
from toolkit.classification.times import ABSENT, UnreadTimes
from toolkit.classification.user_profile import TIMES, User, tabulated, user
from toolkit.collection.exports.documents import record_of
from toolkit.collection.exports.duplicates import keys_of
from toolkit.collection.exports.field_names import FieldNames
from toolkit.collection.exports.file_content import BOM
from toolkit.collection.exports.values_by_path import (
    NESTED,
    NO_VALUES,
    TITLES,
    WORDS,
    is_spare,
    record_of_cells,
)
from toolkit.system import ReadableMemory

_Mask = npt.NDArray[np.bool_]
_Rows = npt.NDArray[np.int64]

_TEXTS = ("user_id", "email", "name", "connection", "strategy", "picture", "metadata_picture")
_WITHOUT_ZONE = dict.fromkeys(TIMES, pa.timestamp("ms"))
_SPARE = ("metadata", "linked", "thumbnail")  # where pictures stand that nobody shows
_NAMES = [name for name in PROFILE.names if name not in ADDED.names]
_ASKED = [*_NAMES, "provider"]
_ANY_WORD = WORDS | {*TIMES, "logins_count"}
# What a cell without a value holds, and the greatest length of these.
_NONE = ", ".join(f"'{one}'" for one in ("", *NO_VALUES))
_SHORT = max(map(len, NO_VALUES))
_TYPES = dict.fromkeys([*_NAMES, *sum(TITLES.values(), ()), THUMBNAIL], "VARCHAR") | {
    "identities": "STRUCT(provider VARCHAR, connection VARCHAR, "
    "profileData STRUCT(picture VARCHAR))[]",
    "user_metadata": "MAP(VARCHAR, VARCHAR)",
    "logins_count": "JSON",  # a text keeps its quotes and so differs from a number
}
# A longer line is read alone. DuckDB takes twice as much memory for each reader.
_LONGEST_LINE = 2 * 1024 * 1024
_NO_TIMES = ", ".join(f"'{one}'" for one in sorted(ABSENT))
# SQL that reads the most frequent forms of a time as `toolkit.classification.times` does; other
# forms give null. `auth0_time` reads only Auth0's own form, and a file in half the time.
# Facts (DuckDB 2.0, tried): `try_strptime` accepts blanks before a time, and the year 0; a cast to
# TIMESTAMP ignores an offset, one to TIMESTAMPTZ takes a time without an offset for local, and one
# to TIMESTAMP_MS rounds; `//` rounds up before 1970, so years before 1990 are left out.
MACROS = (
    """auth0_time(t) AS CASE WHEN length(t) = 24 AND t > '1'
        THEN try_strptime(t, '%Y-%m-%dT%H:%M:%S.%gZ') END""",
    rf"""bare_time(t) AS CASE WHEN lower(trim(t)) IN ({_NO_TIMES}) THEN NULL
        WHEN starts_with(t, '{{"$date":"') THEN regexp_extract(t, '^.{{10}}([^"\\{{}}]*)"}}$', 1)
        WHEN starts_with(t, '{{"$date":{{')
            THEN regexp_extract(t, '^.{{9}}{{"\$numberLong":"([0-9]+)"}}}}$', 1)
        WHEN starts_with(t, '{{') THEN regexp_extract(t, '^{{"\$date":([0-9]+)}}$', 1)
        ELSE t END""",
    """time_of(parts) AS make_timestamp_ms(epoch_us(TRY_CAST(
        parts.day || ' ' || coalesce(nullif(parts.clock, ''), '00:00')
        || coalesce(nullif(parts.zone, ''), 'Z') AS TIMESTAMPTZ)) // 1000)""",
    r"""any_time(t) AS CASE
        WHEN regexp_full_match(t, '[1-3][0-9]{9}') THEN make_timestamp_ms(t::BIGINT * 1000)
        WHEN regexp_full_match(t, '[1-3][0-9]{12}') THEN make_timestamp_ms(t::BIGINT)
        ELSE time_of(regexp_extract(t, '^((?:199|20[0-9])[0-9]-[0-9]{2}-[0-9]{2})'
            '(?:[T ]((?:[01][0-9]|2[0-3]):[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?)'
            '(?:Z| ?UTC| ?([+-][01][0-9](?::?[0-5][0-9])?))?)?$', ['day', 'clock', 'zone'])) END""",
)


def _profiles(
    records: str, more: Sequence[str] = (), *, any_time: bool = False, provider: bool = False
) -> str:
    """Return a query that makes profiles of records.

    Args:
        records: a query for the columns `_NAMES`, all of them texts, and `unsure`.
        more: columns of it that stay as they are.
        any_time: whether to read other times than Auth0's, too, which takes longer.
        provider: whether `records` has a column `provider`, which holds strategies or connections.

    Returns:
        A query for the columns `_NAMES`, with times without zone, and `unsure`: whether `user` must
        read the row.
    """
    if any_time:
        bare = ", ".join(f"bare_time({name}) AS {name}" for name in TIMES)
        records = f"SELECT * REPLACE ({bare}) FROM ({records})"  # noqa: S608 - made of constants
    read = "any_time" if any_time else "auth0_time"
    values = {name: f"{read}(one.{name})::TIMESTAMP_MS" for name in TIMES}
    values["logins_count"] = (
        "CASE WHEN regexp_full_match(one.logins_count, '[0-9]{1,18}') "
        "THEN TRY_CAST(one.logins_count AS BIGINT) "
        r"WHEN regexp_full_match(one.logins_count, '[0-9]{1,18}\.0*') "
        "THEN TRY_CAST(split_part(one.logins_count, '.', 1) AS BIGINT) END"
    )
    unusual = " OR ".join(f"(one.{name} IS NOT NULL AND {values[name]} IS NULL)" for name in values)
    prefix = "CASE WHEN contains(one.user_id, '|') THEN split_part(one.user_id, '|', 1) END"
    values["strategy"] = f"coalesce(nullif(one.strategy, ''), {prefix})"
    if provider:
        # As `placed` does it: what the id says, and a connection that is known, count more.
        strategies = ", ".join(f"'{one}'" for one in sorted(STRATEGIES))
        known = f"one.provider IN ({strategies})"
        values["strategy"] = (
            f"coalesce(nullif(one.strategy, ''), {prefix}, CASE WHEN {known} THEN one.provider END)"
        )
        values["connection"] = (
            f"CASE WHEN one.connection IS NULL AND one.provider <> '' AND NOT {known} "
            f"AND one.provider IS DISTINCT FROM ({prefix}) "
            "THEN one.provider ELSE one.connection END"
        )
    columns = ", ".join(f"{values.get(name, f'one.{name}')} AS {name}" for name in _NAMES)
    further = "".join(f", one.{name}" for name in more)
    return (
        f"SELECT {columns}, one.user_id IS NULL OR one.unsure OR {unusual} AS unsure{further} "  # noqa: S608 - made of constants
        f"FROM ({records}) AS one"
    )


def _first(name: str) -> str:
    return "coalesce(" + ", ".join(f'"{title}"' for title in TITLES[name]) + ")"


_LINES = f"""SELECT user_id, email, name,
        CASE WHEN identities IS NULL THEN {_first("connection")}
            ELSE identities[1].connection END AS connection,
        CASE WHEN identities IS NULL THEN {_first("strategy")}
            ELSE identities[1].provider END AS strategy,
        created_at, updated_at, last_login, logins_count::VARCHAR AS logins_count, picture,
        CASE WHEN user_metadata IS NULL THEN {_first("metadata_picture")}
            ELSE user_metadata['picture'] END AS metadata_picture,
        coalesce(len(identities), 0) > 0 AND identities[1] IS NULL
            OR identities IS NULL AND "provider" IS NOT NULL AS unsure,
        user_metadata AS metadata, CASE WHEN len(identities) > 1 THEN identities[2:] END AS linked,
        "{THUMBNAIL}" AS thumbnail
    FROM read_json($path, format = 'newline_delimited', maximum_object_size = {_LONGEST_LINE},
        columns = {_TYPES})"""  # noqa: S608 - made of constants
_READ_LINES = {any_time: _profiles(_LINES, _SPARE, any_time=any_time) for any_time in (False, True)}
_IDENTITY = pa.struct(
    [
        ("provider", pa.string()),
        ("connection", pa.string()),
        ("profileData", pa.struct([("picture", pa.string())])),
    ]
)
# What it returns; a line that DuckDB refuses is a row of nulls.
_RETURNED = pa.schema(
    [
        *((name, _WITHOUT_ZONE.get(name, PROFILE.field(name).type)) for name in _NAMES),
        ("unsure", pa.bool_()),
        ("metadata", pa.map_(pa.string(), pa.string())),
        ("linked", pa.list_(_IDENTITY)),
        ("thumbnail", pa.string()),
    ]
)
# DuckDB's message quotes the line, and may cut it inside a character.
_ODD = (
    duckdb.InvalidInputException,
    duckdb.ConversionException,
    duckdb.OutOfMemoryException,
    UnicodeDecodeError,
)
# So few lines are read one at a time if one of them is unusual.
_FEW = 64
# Whether the times at the beginning of a block are all in Auth0's form, which decides the query.
_HEAD = 65_536  # bytes
_AUTH0_TIME = r"^'?\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$|^$"
_OTHER_TIME = re.compile(
    rb'"(?:created_at|updated_at|last_login)":'
    rb'(?!\s*(?:null|"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"))'
)
# Texts that may come from JSON of another type.
_NO_TEXT = r"^(?:[{\[]|-?[0-9][0-9.eE+-]*$|-?(?i:nan|inf|infinity)$)"
# Their first characters: few texts begin so, and checking a byte is faster than a pattern.
_MAYBE_NO_TEXT = np.isin(np.arange(256), list(b"{[-0123456789nNiI"))
_QUOTE = ord('"')
_BEFORE, _AFTER = list(b'"\n'), list(b'"\n\r')


class Piece(NamedTuple):
    """The result of reading some lines."""

    profiles: pa.Table  # the columns of `toolkit.classification.schema.PROFILE`
    keys: npt.NDArray[np.uint64]  # of `keys_of`
    unread: UnreadTimes
    lines: int = 0
    unreadable: Sequence[int] = ()  # numbers of lines; the first is 0


class Lines:
    """Complete lines in several pieces: copying them together would take as long as unpacking."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces
        self._starts = list(accumulate(map(len, pieces), initial=0))
        ends = [
            start + 1 + np.flatnonzero(np.frombuffer(piece, np.uint8) == ord("\n"))
            for start, piece in zip(self._starts, pieces, strict=False)
        ]
        self._begins = np.concatenate([[0], *ends])

    def __len__(self) -> int:
        return len(self._begins) - 1

    def between(self, first: int, last: int) -> Iterator[bytes]:
        """Yield the lines from `first` to before `last`, in pieces."""
        begin, end = self._begins[first], self._begins[last]
        number = bisect_right(self._starts, begin) - 1
        while self._starts[number] < end:
            start = self._starts[number]
            yield self._pieces[number][max(0, begin - start) : end - start]
            number += 1

    def head(self, size: int) -> bytes:
        """Return the lines that are complete in the first bytes."""
        return b"".join(self.between(0, int(np.searchsorted(self._begins, size, "right")) - 1))


class BlockReader:
    """Reads blocks of NDJSON or CSV. A context manager; used by one thread at a time."""

    def __init__(self, database: duckdb.DuckDBPyConnection) -> None:
        self._database = database.cursor()
        for macro in MACROS:
            self._database.execute(f"CREATE TEMP MACRO {macro}")
        self._file = ReadableMemory()  # DuckDB reads files only

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._database.close()

    def keyed(
        self,
        profiles: pa.Table,
        unread: UnreadTimes,
        lines: int = 0,
        unreadable: Sequence[int] = (),
    ) -> Piece:
        """Return profiles with the hashes of their ids."""
        keys = keys_of(profiles["user_id"], self._database)
        return Piece(profiles, keys, unread, lines, unreadable)

    def read_lines(self, pieces: Sequence[bytes], names: FieldNames) -> Piece:
        """Read complete lines of NDJSON, each with its end; `names` are those of their file.

        Of a line with several users, the first takes its place; the others come last.
        """
        lines = Lines(pieces)
        any_time = _OTHER_TIME.search(lines.head(_HEAD)) is not None
        read = pa.concat_tables(self._strictly(lines, 0, len(lines), any_time)).combine_chunks()
        unsure = _unsure(read)
        for name, column in _elsewhere(read).items():
            read = read.append_column(name, column)
        for name in _TEXTS:
            column = whole(read[name])
            few = np.flatnonzero(_MAYBE_NO_TEXT[first_bytes(column)])
            no_text = pc.match_substring_regex(column.take(array(few)), _NO_TEXT)
            unsure[few] |= _holds(no_text)
        users: dict[int, User] = {}
        more: list[User] = []
        unread, unreadable = UnreadTimes(), []
        for row in np.flatnonzero(unsure).tolist():
            line = b"".join(lines.between(row, row + 1))
            if line.isspace():
                continue
            try:
                found = [user(one, unread) for one in names.users(record_of(line))]
            except (ValueError, RecursionError):
                unreadable.append(row)
                continue
            users.update((row, one) for one in found[:1])
            more += found[1:]
        profiles = _patched(read, unsure, users)
        if more:
            profiles = pa.concat_tables([profiles, tabulated(more)])
        return self.keyed(profiles, unread, len(lines), unreadable)

    def _strictly(self, lines: Lines, first: int, last: int, any_time: bool) -> list[pa.Table]:
        """Read one row for each line; it is null if DuckDB refuses the line or one near it."""
        count = last - first
        self._file.hold(lines.between(first, last))
        try:
            query = _READ_LINES[any_time]
            table = self._database.sql(query, params={"path": self._file.path}).to_arrow_table()
        except _ODD:
            table = None
        if table is not None and len(table) == count:  # no line is blank
            return [table]
        if count <= _FEW:
            return [pa.table([pa.nulls(count, one.type) for one in _RETURNED], schema=_RETURNED)]
        half = first + count // 2
        halves = (first, half), (half, last)
        return [one for some in halves for one in self._strictly(lines, *some, any_time)]

    def read_cells(self, cells: pa.Table, lines: int) -> Piece:
        """Read what `cells_of` returns of so many lines."""
        kept = cells.column_names
        provider = "provider" in kept
        names = _ASKED if provider else _NAMES
        columns = ", ".join(f"{_cell(name, kept)} AS {name}" for name in names)
        times = [cells[name].slice(0, _FEW) for name in TIMES if name in kept]
        any_time = any(
            pc.any(pc.invert(pc.match_substring_regex(one, _AUTH0_TIME))).as_py() for one in times
        )
        self._database.register("cells", cells)
        try:
            records = f"SELECT {columns}, false AS unsure FROM cells"  # noqa: S608 - names of this package
            query = _profiles(records, any_time=any_time, provider=provider)
            read = self._database.sql(query).to_arrow_table().combine_chunks()
        finally:
            self._database.unregister("cells")
        unsure = _unsure(read)
        unread = UnreadTimes()
        users = {
            row: user(record_of_cells(kept, (cells[title][row].as_py() for title in kept)), unread)
            for row in np.flatnonzero(unsure).tolist()
        }
        return self.keyed(_patched(read, unsure, users), unread, lines)


def _cell(name: str, titles: Sequence[str]) -> str:
    """Return the expression for a value: null, or the text without Auth0's leading quote."""
    cells = (f'"{one}"' for one in TITLES.get(name, (name,)) if one in titles)
    # Times and counts that cannot be read are `unsure`, so `user` looks at these words.
    some = f"strlen({{0}}) > {_SHORT} THEN {{0}} WHEN {{0}} NOT IN ({_NONE})"
    none = "{0} <> ''" if name in _ANY_WORD else some
    texts = (
        f"CASE WHEN starts_with({one}, '''') THEN substr({one}, 2) "
        f"WHEN {none.format(one)} THEN {one} END"
        for one in cells
    )
    return f"coalesce({', '.join(['NULL::VARCHAR', *texts])})"


def _elsewhere(read: pa.Table) -> dict[str, pa.Array]:
    """Do what `toolkit.classification.held_elsewhere.elsewhere` does."""
    count = len(read)
    metadata, identities, thumbnail = (whole(read[name]) for name in _SPARE)
    # Addresses in the order in which they count: where they stand, whose they are, and they.
    parts: list[tuple[pa.StringArray, _Rows, pa.StringArray]] = []
    owners = np.repeat(np.arange(count), np.diff(values_of(metadata.offsets)))
    keys = metadata.keys.dictionary_encode()
    ranked = [(rank(key), key, code) for code, key in enumerate(keys.dictionary.to_pylist())]
    for _, key, code in sorted((one, key, code) for one, key, code in ranked if one is not None):
        at = np.flatnonzero(values_of(keys.indices) == code)
        names = texts([f"metadata:{key}"]).take(array(np.zeros(len(at), np.int64)))
        parts.append((names, owners[at], metadata.items.take(array(at))))
    flat = identities.flatten()
    provider = pc.struct_field(flat, [0]).dictionary_encode(null_encoding="encode")
    names = texts([linked(one) for one in provider.dictionary.to_pylist()]).take(provider.indices)
    owners = values_of(pc.list_parent_indices(identities))
    parts.append((names, owners, pc.struct_field(flat, [2, 0])))
    at = np.flatnonzero(values_of(thumbnail.is_valid()))
    names = texts([THUMBNAIL]).take(array(np.zeros(len(at), np.int64)))
    parts.append((names, at, thumbnail.take(array(at))))

    rows = np.concatenate([owners for _, owners, _ in parts])
    found = pa.concat_arrays([addresses for *_, addresses in parts])
    picture, override = (
        _holds(pc.equal(found, whole(read[name]).take(array(rows))))
        for name in ("picture", "metadata_picture")
    )
    chosen = np.flatnonzero(are_own(found) & ~override)
    rows, first = np.unique(rows[chosen], return_index=True)
    place, absent = np.zeros(count, np.int64), np.ones(count, np.bool_)
    place[rows], absent[rows] = chosen[first], picture[chosen[first]]
    names = pa.concat_arrays([names for names, *_ in parts])
    at_last = array(place, absent)
    return {"elsewhere": found.take(at_last), "elsewhere_from": names.take(at_last)}


def is_plain(titles: Sequence[str]) -> bool:
    """Whether `cells_of` can read rows with these titles."""
    spare = THUMBNAIL in titles or any(map(is_spare, titles))
    return len(set(titles)) == len(titles) and NESTED.isdisjoint(titles) and not spare


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


def cells_of(data: bytes, titles: Sequence[str], delimiter: str = ",") -> pa.Table | None:
    """Cut complete rows of CSV with these column names, for which `is_plain` is true, into cells.

    Returns:
        The columns that profiles need, as texts; None if `csv.reader` may read the rows
        differently.
    """
    if not _is_regular(data, delimiter):
        return None
    kept = [one for name in _ASKED for one in TITLES.get(name, (name,)) if one in titles]
    try:
        return csv.read_csv(
            pa.BufferReader(data),
            csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=titles),
            csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            csv.ConvertOptions(column_types=dict.fromkeys(kept, pa.string()), include_columns=kept),
        )
    except pa.ArrowInvalid:  # a row of another length
        return None


def _is_regular(data: bytes, delimiter: str) -> bool:
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
        and bool(np.isin(marks[begins - 1], [*_BEFORE, ord(delimiter)]).all())
        and bool(np.isin(marks[ends + 1], [*_AFTER, ord(delimiter)]).all())
    )


def _holds(column: pa.BooleanArray) -> _Mask:
    found: _Mask = values_of(column.fill_null(flag(False)))
    return found


def _unsure(read: pa.Table) -> _Mask:
    """Whether `user` must read each row; null where DuckDB refused the line."""
    unsure: _Mask = values_of(whole(read["unsure"]).fill_null(flag(True)))
    return unsure


def _patched(read: pa.Table, unsure: _Mask, users: Mapping[int, User]) -> pa.Table:
    """Return the profiles, unsure rows replaced by users; those without a user are left out.

    `users` are in the order of their rows.
    """
    profiles = completed(read, PROFILE).cast(PROFILE)
    exact, rows = tabulated(users.values()), np.fromiter(users, np.int64, len(users))
    pieces: list[pa.Table] = []
    place = 0
    # Where each run of unsure rows begins and ends: the others are not copied.
    edges = np.flatnonzero(np.diff(unsure, prepend=False, append=False)).reshape(-1, 2)
    for (begin, end), (first, last) in zip(edges, np.searchsorted(rows, edges), strict=True):
        pieces += profiles.slice(place, begin - place), exact.slice(first, last - first)
        place = end
    return pa.concat_tables([*pieces, profiles.slice(place)])
