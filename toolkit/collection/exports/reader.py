"""Files of users, record by record: exports of Auth0, and what other tools write.

Facts (Auth0, "Bulk User Exports"): a JSON export is NDJSON; each string of a CSV gets a single
quote before it, stands in double quotes, and its double quotes are doubled; a field may be asked
for by its path (`identities[0].connection`) and under another name.
INFERRED: a CSV begins with column names, and a field without another name is named by its path.
"""

import csv
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, Literal

from toolkit.collection.exports.documents import DAMAGED, LONGEST, Documents, record_of
from toolkit.collection.exports.field_names import FieldNames
from toolkit.collection.exports.file_content import Content, content_of, unpacked, utf8, western
from toolkit.collection.exports.layouts import (
    delimiter_of,
    first_cells,
    is_ndjson,
    is_object,
    refuse_others,
    said_delimiter,
)
from toolkit.collection.exports.not_users import refuse_if_no_users
from toolkit.collection.exports.tables import table_records
from toolkit.collection.exports.values_by_path import record_of_cells
from toolkit.errors import UnreadableInputError
from toolkit.formatting import plural

_PER_LINE = 100  # memory for a line in Python, besides its text
_NAMED = 3
# So much is looked at, to tell what a file is.
_RECORDS = 1000
_TEXT = 4 * 1024 * 1024
_BEGINNING = 65_536


class Export:
    """What stands in one file, to be read once; afterwards it knows what was lost.

    Iterating yields where a record stands (its line, or its number), and a user object as in the
    Management API, or what stands there instead. What cannot be read is left out and counted;
    reading continues as long as possible. Or call `begin`, take `blocks`, and call `account` for
    each: iterating afterwards yields the rest.

    Attributes:
        name: its name in messages.
        names: what the names in it are taken for.
        delimiter: what stands between cells, if it is CSV.
        lines: how many lines, or records, were read.
        rows: how many users were yielded.
        unreadable: how many lines, or records, were left out.
    """

    def __init__(self, content: Content, names: Mapping[str, str] | None = None) -> None:
        self.name = content.name
        self.names = FieldNames(names, is_table=content.is_table)
        # To look at records that will be read again, so that nothing is counted twice.
        self._trial = FieldNames(names, is_table=content.is_table)
        self.delimiter = ","
        self.lines = self.rows = self.unreadable = 0
        self._content = content
        self._text: Iterator[bytes] = iter(()) if content.is_table else utf8(content)
        self._rest = b""  # text that was taken and must still be read
        self._open = False  # whether the last line has no line end
        self._first: list[int] = []
        self._ahead: list[tuple[int, object]] = []  # records that were looked at
        self._cells: tuple[list[str], list[str]] = [], []  # column names, as they are and Auth0's
        self._titles: list[str] = []  # column names of a CSV, if its first line was taken

    def __iter__(self) -> Iterator[tuple[int, object]]:
        """Yield each user with the line, or number, of the record."""
        for number, record in chain(self._ahead, self._records):
            for one in self.names.users(record):
                self.rows += 1
                yield number, one

    @cached_property
    def _records(self) -> Iterator[tuple[int, object]]:
        if self.layout == "lines":
            return self._objects(self._numbered())
        if self.layout == "cells":
            return self._rows_of_cells(self._numbered())
        return self._values() if self.layout == "documents" else self._table()

    @cached_property
    def layout(self) -> Literal["lines", "documents", "cells", "table"]:
        """What it is: NDJSON, other JSON, CSV, or a table of another program."""
        if self._content.is_table:
            return "table"
        self._skip_blank_lines()
        begin = self._rest.lstrip(b" \t\r\n\x1e")  # the last one: RFC 7464
        if begin.startswith(b"["):
            return "documents"
        if begin.startswith(b"{"):
            return "lines" if self._is_ndjson() else "documents"
        self._fill(lambda size, _: size >= _BEGINNING)
        refuse_others(self._rest.lstrip(), self.name)
        self._text, self._rest = western(chain([self._rest], self._text), self._content), b""
        self._find_delimiter()
        return "cells"

    @cached_property
    def is_plain(self) -> bool:
        """Whether the first records of NDJSON are user objects in Auth0's own form.

        Raises:
            UnreadableInputError: the first records, of whatever form, are no users.
        """
        records = self._looked_at()
        if records and not any(map(self._holds_users, records)):
            if self._content.is_packed:  # damage that shows later may be why
                deque(self._text, 0)
            if self.ending:
                self.ensure_users()
            if b"\0" in self._rest[:_BEGINNING]:
                raise UnreadableInputError(f"{self.name} is a file of a program, not text.")
            refuse_if_no_users(records, self.name)
        if not (records and self.layout == "lines" and all(map(self._trial.are_plain, records))):
            return False
        for record in records:  # queries do not tell which names there are
            deque(self.names.users(record), 0)
        return True

    def titles(self) -> list[str]:
        """Take the column names of a CSV, and return Auth0's names for them, by path.

        If the line is unusual, take and return nothing.
        """
        self._fill(lambda _, ends: ends > 0)
        line, end, rest = self._rest.partition(b"\n")
        try:
            cells = next(csv.reader([line.decode()], delimiter=self.delimiter, strict=True), [])
        except (csv.Error, UnicodeDecodeError):  # iterating tells the damage
            return []
        if not end or not cells:
            return []
        self._titles = self._named(cells)
        self.lines += 1
        self._rest = rest
        return self._titles

    def blocks(self, size: int) -> Iterator[list[bytes]]:
        """Yield complete lines in pieces, at least so many bytes at a time if possible.

        A line without an end is left. Of a line that is too long, only the beginning is kept.
        """
        pieces, held = [self._rest], len(self._rest)
        self._rest = b""
        for block in self._text:
            end = block.rfind(b"\n") + 1
            if end and held + end >= size:
                self._rest = block[end:]
                yield [*pieces, block[:end]]
                pieces, held = [self._rest], len(self._rest)
                self._rest = b""
            elif end or held <= size + LONGEST:
                pieces.append(block)
                held += len(block)
        data = b"".join(pieces)
        end = data.rfind(b"\n") + 1
        self._rest = data[end:]
        if end:
            yield [data[:end]]

    def put_back(self, data: bytes) -> None:
        """Return the end of the last block to the export, to be read again."""
        self._rest = data + self._rest

    def account(self, lines: int, rows: int, unreadable: Iterable[int]) -> None:
        """Count the results of the next lines; the first of them is 0."""
        for number in unreadable:
            self.leave_out(self.lines + number + 1)
        self.lines += lines
        self.rows += rows

    @property
    def position(self) -> int:
        """How many bytes on disk were read."""
        return self._content.position

    @property
    def ending(self) -> str:
        """Why reading ended early, or ""."""
        return self._content.ending

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed, in sentences."""
        return (*self._content.notes, *self.names.notes)

    def ensure_users(self) -> None:
        """Raise UnreadableInputError if no user was found."""
        if self.rows:
            return
        why = "".join(f" {one}." for one in self.troubles)
        if not why:
            why = " It has column names only." if self._cells[0] else " It is empty."
        raise UnreadableInputError(f"{self.name} holds no user that can be read.{why}")

    @property
    def troubles(self) -> tuple[str, ...]:
        """What was lost, in words without a full stop; empty if nothing was."""
        told = []
        in_lines = self.layout in ("lines", "cells")
        what = "line" if in_lines else "record"
        if self.unreadable:
            numbers = ", ".join(f"{number:,}" for number in self._first)
            further = self.unreadable - len(self._first)
            more = f" and {further:,} more" if further else ""
            ending = "s" * (self.unreadable > 1)
            # How many records are lost in damaged JSON is not known.
            part = "" if in_lines else f"part{ending} of the file at "
            told.append(f"{self.name}: {part}{what}{ending} {numbers}{more} could not be read")
        if short := self.names.short:
            told.append(f"{self.name}: its pages hold {plural(short, 'user')} fewer than they say")
        if self.ending:
            where = "in" if self._open else "after"
            told.append(f"{self.name}: {self.ending} {where} {what} {self.lines:,}")
        return tuple(told)

    def leave_out(self, number: int) -> None:
        """Count a line, or record, that cannot be read."""
        if self._open and number == self.lines:
            self._content.end("the file is cut short")
            return
        self.unreadable += 1
        if len(self._first) < _NAMED:
            self._first.append(number)

    # What it is

    def _fill(self, is_enough: Callable[[int, int], bool]) -> None:
        """Take text until there is enough, by its size and its number of line ends."""
        parts, size, ends = [self._rest], len(self._rest), self._rest.count(b"\n")
        while size <= LONGEST and not is_enough(size, ends):
            if not (block := next(self._text, b"")):
                break
            parts.append(block)
            size += len(block)
            ends += block.count(b"\n")
        self._rest = b"".join(parts)

    def _skip_blank_lines(self) -> None:
        while not self._rest.strip() and (block := next(self._text, b"")):
            self._rest += block
            blank = len(self._rest) - len(self._rest.lstrip())
            begin = self._rest.rfind(b"\n", 0, blank) + 1
            self.lines += self._rest.count(b"\n", 0, begin)
            self._rest = self._rest[begin:]

    def _is_ndjson(self) -> bool:
        self._fill(lambda _, ends: ends > 0)
        if is_object(self._rest.partition(b"\n")[0]):
            return True
        wanted = len(self._rest) + _BEGINNING
        self._fill(lambda size, _: size >= wanted)
        return is_ndjson(self._rest)

    def _find_delimiter(self) -> None:
        """Find what stands between cells, and take the line in which Excel says it."""
        self._skip_blank_lines()
        self._fill(lambda _, ends: ends > 0)
        line, _, rest = self._rest.partition(b"\n")
        if said := said_delimiter(line):
            self.delimiter = said
            self.lines += 1
            self._rest = rest
            self._skip_blank_lines()
            return
        self.delimiter = delimiter_of(line)

    def _looked_at(self) -> Sequence[object]:
        """Return the first records, which stay to be read."""
        if self.layout in ("documents", "table"):
            for number, record in islice(self._records, _RECORDS):
                self._ahead.append((number, record))
                if self._holds_users(record):
                    break
            return [record for _, record in self._ahead]
        self._fill(lambda size, ends: ends >= _RECORDS or (size >= _TEXT and ends > 0))
        if self.layout == "cells":
            return self._first_rows()
        records = []
        for line in islice(filter(bytes.strip, self._rest.split(b"\n")), _RECORDS):
            try:
                records.append(record_of(line))
            except (ValueError, RecursionError):
                continue
        return records

    def _holds_users(self, record: object) -> bool:
        return any(map(_has_id, self._trial.users(record)))

    def _first_rows(self) -> list[dict[str, Any]]:
        rows = list(
            islice(first_cells(self._rest.decode("utf-8", "replace"), self.delimiter), _RECORDS)
        )
        if not rows:
            return []
        titles = self._named(rows[0])
        records = [record_of_cells(titles, row) for row in rows[1:] if len(row) == len(titles)]
        # Without a row, the column names tell what it is.
        return records or ([] if "user_id" in titles else [dict.fromkeys(titles)])

    def _numbered(self) -> Iterator[tuple[int, bytes]]:
        """Yield the lines with their ends; if a line is too long, only its beginning."""
        for pieces in self.blocks(1):
            for line in b"".join(pieces)[:-1].split(b"\n"):
                self.lines += 1
                yield self.lines, line + b"\n"
        if self._rest:
            self.lines += 1
            self._open = True
            yield self.lines, self._rest
            self._rest = b""

    # Records

    def _objects(self, lines: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, object]]:
        for number, line in lines:
            if line.isspace():
                continue
            try:
                value = record_of(line)
            except (ValueError, RecursionError):
                self.leave_out(number)
                continue
            # A number may be cut: 12 instead of 123.
            if isinstance(value, dict) or not (self.ending and self._open):
                yield number, value

    def _values(self) -> Iterator[tuple[int, object]]:
        documents = Documents(chain([self._rest], self._text), self._holds_users)
        for record in documents:
            self.lines += 1
            if record is DAMAGED:
                self.leave_out(self.lines)
            else:
                yield self.lines, record
        if documents.is_cut:
            self._content.end("the JSON is cut short")

    def _table(self) -> Iterator[tuple[int, object]]:
        try:
            told = self._content.notes
            for record in table_records(self._content.file(), self.name, self.names, told):
                self.lines += 1
                yield self.lines, record
        except UnreadableInputError:
            if not self.lines:
                raise
            self._content.end("the table is damaged")

    def _rows_of_cells(self, lines: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, object]]:
        titles = self._titles
        for number, cells in self._rows(lines):
            if not titles:
                titles = self._named(cells)
            elif len(cells) == len(titles):
                yield number, record_of_cells(titles, cells)
            else:
                self.leave_out(number)

    def _named(self, cells: Iterable[str]) -> list[str]:
        titles = [cell.removeprefix("'").strip() for cell in cells]
        if self._cells[0] != titles:
            self._cells = titles, self.names.titles(titles)
            self._trial.titles(titles)
        return self._cells[1]

    def _rows(self, lines: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, list[str]]]:
        # The limit is global in the process, so it is only raised, never lowered.
        csv.field_size_limit(max(LONGEST, csv.field_size_limit()))
        again: deque[tuple[int, bytes]] = deque()
        row: list[tuple[int, bytes]] = []  # the lines of a row
        size, at_end = 0, False

        def texts() -> Iterator[str]:
            nonlocal size, at_end
            while line := again.popleft() if again else next(lines, None):
                number, content = line
                # The last cell of the line in which a file was cut may be incomplete.
                if self.ending and self._open and number == self.lines:
                    continue
                row.append(line)
                size += len(content) + _PER_LINE
                if size > LONGEST:
                    raise csv.Error("a row without an end")
                yield content.decode()
            at_end = True

        rows = csv.reader(texts(), delimiter=self.delimiter, strict=True)
        while True:
            row.clear()
            size = 0
            try:
                cells = next(rows, None)
            except (csv.Error, UnicodeDecodeError):
                if at_end:
                    # The row has no end: nothing after its beginning can be trusted.
                    self._content.end("the file is cut short")
                    return
                # Read the lines after the first one again.
                self.leave_out(row[0][0])
                again.extendleft(reversed(row[1:]))
                rows = csv.reader(texts(), delimiter=self.delimiter, strict=True)
                continue
            if cells is None:
                return
            if cells:
                yield row[0][0], cells


def exports(
    source: Path | str | BinaryIO,
    name: str | None = None,
    names: Mapping[str, str] | None = None,
) -> Generator[Export]:
    """Open a file or a stream of bytes, and yield what is in it, each to be read in turn.

    The content decides what it is, not the name: NDJSON, other JSON, CSV, Parquet, Arrow, Excel;
    packed or not. A zip may hold several.

    Args:
        source: the file.
        name: its name in messages.
        names: for Auth0's names those in the file, where they are known.

    Raises:
        UnreadableInputError: it cannot be opened or unpacked.
    """
    if not isinstance(source, str | Path):
        for content in unpacked(content_of(source, name or "the export")):
            yield Export(content, names)
        return
    try:
        # Without a buffer, because otherwise reading a pipe waits until the buffer is full.
        file = Path(source).open("rb", buffering=0)  # noqa: SIM115 - closed below
    except OSError as error:
        raise UnreadableInputError(f"{source} cannot be read: {error.strerror}.") from error
    with file:
        for content in unpacked(content_of(file, name or Path(source).name)):
            yield Export(content, names)


def user_objects(
    source: Path | BinaryIO, name: str, names: Mapping[str, str] | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the user objects in a file of any form, as the Management API would return them.

    Args:
        source: the file, or a stream.
        name: its name in messages.
        names: for Auth0's names those in the file, where they are known.

    Raises:
        UnreadableInputError: it holds no users; or, after all that could be read, something could
            not be read.
    """
    troubles: list[str] = []
    with closing(exports(source, name, names)) as found:
        for export in found:
            waiting: list[dict[str, Any]] | None = []  # until it is clear that there are users
            for number, one in export:
                if not isinstance(one, dict):
                    export.leave_out(number)
                    continue
                if waiting is not None:
                    waiting.append(one)
                    if _has_id(one) or "picture" in one:
                        yield from waiting
                        waiting = None
                    elif len(waiting) >= _RECORDS:
                        refuse_if_no_users(waiting, export.name)
                else:
                    yield one
            if waiting:
                refuse_if_no_users(waiting, export.name)
            troubles += export.troubles
    if troubles:
        raise UnreadableInputError(f"{'; '.join(troubles)}.")


def _has_id(one: object) -> bool:
    return (
        isinstance(one, dict) and isinstance(one.get("user_id"), str | int) and one["user_id"] != ""
    )
