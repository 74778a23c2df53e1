"""Files of Auth0 users, read line by line: exports in NDJSON or CSV, and user objects.

Facts (Auth0, "Bulk User Exports"): a JSON export is NDJSON; each string of a CSV gets a single
quote before it, stands in double quotes, and its double quotes are doubled; a field may be asked
for by its path (`identities[0].connection`) and under another name.
INFERRED: a CSV begins with column names, and a field without another name is named by its path.
"""

import csv
import gzip
import json
import re
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from isal import isal_zlib

from toolkit.collection.exports.field_names import BY_PATH, rebuilt, record_of_cells
from toolkit.errors import UnreadableInputError

_GZIP, BOM = b"\x1f\x8b", b"\xef\xbb\xbf"
_GZIP_BITS = 31  # zlib's `wbits` for gzip, with checksum and length
_BLOCK = 65_536
_INFLATED = 8 * _BLOCK  # blocks are rarely larger; a larger rest would be copied each time
# No profile is nearly as long; without a limit, a file of one line would have to fit in memory.
LONGEST = 32 * 1024 * 1024
_PER_LINE = 100  # memory for a line in Python, besides its text
_NAMED = 3

# A text, or a comma before a closing bracket, which DuckDB accepts.
_COMMA = re.compile(rb'("[^"\\]*(?:\\.[^"\\]*)*")|,(?=\s*[}\]])', re.DOTALL)


class Export:
    """One export file, to be read once; afterwards it knows what was lost.

    Iterating yields the line number and the record: a user object as in the Management API, or
    other JSON. Unreadable lines are left out and counted; reading continues as long as possible.
    Or take `blocks`, and call `account` for each: iterating afterwards yields the rest.

    Attributes:
        name: its name in messages.
        position: how many of its bytes on disk were read.
        lines: how many lines were read.
        rows: how many records were yielded.
        unreadable: how many lines were left out.
        ending: why reading ended early, or "".
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.name = name
        self.position = self.lines = self.rows = self.unreadable = 0
        self.ending = ""
        self._file = file
        self._first: list[int] = []
        self._text = self._content()
        self._rest = b""  # text that was taken and must still be read
        self._open = False  # whether the last line has no line end
        self._objects_follow: bool | None = None
        self._titles: list[str] = []  # column names of a CSV, if its first line was taken

    def __iter__(self) -> Iterator[tuple[int, object]]:
        """Yield each record with its line; raise UnreadableInputError if it is no export."""
        read = self._objects if self.is_ndjson() else self._cells
        for number, record in read(self._numbered()):
            self.rows += 1
            yield number, record

    def is_ndjson(self) -> bool:
        """Whether the first line that is not blank begins an object; blank lines are skipped."""
        if self._objects_follow is None:
            while not self._rest.strip() and (block := next(self._text, b"")):
                self._rest += block
                blank = len(self._rest) - len(self._rest.lstrip())
                begin = self._rest.rfind(b"\n", 0, blank) + 1
                self.lines += self._rest.count(b"\n", 0, begin)
                self._rest = self._rest[begin:]
            self._objects_follow = self._rest.lstrip().startswith(b"{")
        return self._objects_follow

    def blocks(self, size: int) -> Iterator[bytes]:
        """Yield complete lines, at least so many bytes at a time if possible.

        A line without an end is left. Of a line that is too long, only the beginning is kept.
        """
        pieces, held = [self._rest], len(self._rest)
        self._rest = b""
        for block in self._text:
            end = block.rfind(b"\n") + 1
            if end and held + end >= size:
                self._rest = block[end:]
                yield b"".join([*pieces, block[:end]])
                pieces, held = [self._rest], len(self._rest)
                self._rest = b""
            elif end or held <= size + LONGEST:
                pieces.append(block)
                held += len(block)
        data = b"".join(pieces)
        end = data.rfind(b"\n") + 1
        self._rest = data[end:]
        if end:
            yield data[:end]

    def put_back(self, data: bytes) -> None:
        """Return the end of the last block to the export, to be read again."""
        self._rest = data + self._rest

    def account(self, lines: int, rows: int, unreadable: Iterable[int]) -> None:
        """Count the results of the next lines; the first of them is 0."""
        for number in unreadable:
            self._leave_out(self.lines + number + 1)
        self.lines += lines
        self.rows += rows

    def titles(self) -> list[str]:
        """Take the column names of a CSV; if the line is unusual, take and return nothing."""
        while b"\n" not in self._rest and len(self._rest) <= LONGEST:
            if not (block := next(self._text, b"")):
                break
            self._rest += block
        line, end, rest = self._rest.partition(b"\n")
        try:
            cells = next(csv.reader([line.decode()], strict=True), [])
        except (csv.Error, UnicodeDecodeError):  # iterating raises the error
            return []
        if not end or not cells:
            return []
        self._titles = self._titles_of(cells)
        self.lines += 1
        self._rest = rest
        return self._titles

    @property
    def troubles(self) -> tuple[str, ...]:
        """What was lost, in words without a full stop; empty if nothing was."""
        told = []
        if self.unreadable:
            numbers = ", ".join(f"{number:,}" for number in self._first)
            further = self.unreadable - len(self._first)
            more = f" and {further:,} more" if further else ""
            plural = "s" * (self.unreadable > 1)
            told.append(f"{self.name}: line{plural} {numbers}{more} could not be read")
        if self.ending:
            where = "in" if self._open else "after"
            told.append(f"{self.name}: {self.ending} {where} line {self.lines:,}")
        return tuple(told)

    def _leave_out(self, number: int) -> None:
        if self._open and number == self.lines:
            self.ending = self.ending or "the file is cut short"
            return
        self.unreadable += 1
        if len(self._first) < _NAMED:
            self._first.append(number)

    # From bytes to lines

    def _blocks(self) -> Iterator[bytes]:
        while True:
            try:
                block = self._file.read(_BLOCK)
            except OSError as error:
                self.ending = f"the file cannot be read on ({error.strerror or error})"
                return
            if not block:
                return
            self.position += len(block)
            yield block

    def _content(self) -> Iterator[bytes]:
        """Yield the content: decompressed if it is gzip, and without a byte order mark."""
        head, rest = _begun(self._blocks(), len(_GZIP))
        blocks: Iterator[bytes] = chain([head], rest)
        if head.startswith(_GZIP):
            blocks = self._inflated(blocks)
        head, rest = _begun(filter(None, blocks), len(BOM))
        yield from filter(None, chain([head.removeprefix(BOM)], rest))

    def _inflated(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """Decompress gzip up to the first damage.

        ISA-L is several times faster than zlib, but does not return the data before damage: then
        zlib reads the file again for the missing part.
        """
        given, begun = 0, False
        if self._file.seekable():
            try:
                for data in _inflated(blocks, isal_zlib.decompressobj):
                    given += len(data)
                    yield data
            except (isal_zlib.error, EOFError):  # type: ignore[misc] # it is one, whatever the stub says
                self._file.seek(0)
                self.position = 0
                blocks = self._blocks()
            else:
                return
        try:
            for data in _inflated(blocks, zlib.decompressobj):
                fresh = data[given:]
                given -= len(data) - len(fresh)
                begun = True
                yield fresh
        except EOFError:
            self.ending = self.ending or "the gzip data is cut short"
        except zlib.error as error:
            self.ending = _reason(error, begun=begun)

    def _numbered(self) -> Iterator[tuple[int, bytes]]:
        """Yield the lines with their ends; if a line is too long, only its beginning."""
        for data in self.blocks(1):
            for line in data[:-1].split(b"\n"):
                self.lines += 1
                yield self.lines, line + b"\n"
        if self._rest:
            self.lines += 1
            self._open = True
            yield self.lines, self._rest
            self._rest = b""

    # From lines to records

    def _objects(self, lines: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, object]]:
        for number, line in lines:
            if line.isspace():
                continue
            try:
                value = record_of(line)
            except (ValueError, RecursionError):
                self._leave_out(number)
                continue
            # A number may be cut: 12 instead of 123.
            if isinstance(value, dict) or not (self.ending and self._open):
                yield number, value

    def _cells(self, lines: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, object]]:
        titles = self._titles
        for number, cells in self._rows(lines):
            if not titles:
                titles = self._titles_of(cells)
            elif len(cells) == len(titles):
                yield number, record_of_cells(titles, cells)
            else:
                self._leave_out(number)

    def _titles_of(self, cells: Iterable[str]) -> list[str]:
        titles = [cell.removeprefix("'").strip() for cell in cells]
        if "user_id" not in titles:
            raise UnreadableInputError(
                f"{self.name} is neither NDJSON (a user object a line) nor CSV with a "
                "column user_id: export the users again, with user_id."
            )
        return titles

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

        rows = csv.reader(texts(), strict=True)
        while True:
            row.clear()
            size = 0
            try:
                cells = next(rows, None)
            except (csv.Error, UnicodeDecodeError):
                if at_end:
                    # The row has no end: nothing after its beginning can be trusted.
                    self.ending = self.ending or "the file is cut short"
                    return
                # Read the lines after the first one again.
                self._leave_out(row[0][0])
                again.extendleft(reversed(row[1:]))
                rows = csv.reader(texts(), strict=True)
                continue
            if cells is None:
                return
            if cells:
                yield row[0][0], cells


@contextmanager
def exported(source: Path | str | BinaryIO, name: str | None = None) -> Iterator[Export]:
    """Open an export file or a stream of its bytes; its content decides its format, not its name.

    Memory holds one block and one line of it at a time.

    Raises:
        UnreadableInputError: it cannot be opened.
    """
    if not isinstance(source, str | Path):
        yield Export(source, name or "the export")
        return
    try:
        # Without a buffer, because otherwise reading a pipe waits until the buffer is full.
        file = Path(source).open("rb", buffering=0)  # noqa: SIM115 - closed below
    except OSError as error:
        raise UnreadableInputError(f"{source} cannot be read: {error.strerror}.") from error
    with file:
        yield Export(file, name or Path(source).name)


def _begun(blocks: Iterator[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    """Return the first bytes, at least so many if there are, and the blocks after them."""
    head = b""
    while len(head) < size and (block := next(blocks, b"")):
        head += block
    return head, blocks


def _inflated(blocks: Iterable[bytes], new: Callable[[int], Any]) -> Iterator[bytes]:
    """Decompress gzip with any number of members; `new` makes a decompressor for each.

    Raises:
        zlib.error: it is damaged; the data before the damage was yielded.
        isal_zlib.error: it is damaged.
        EOFError: it is cut short.
    """
    inflater, before = None, None
    for block in blocks:
        rest = block
        while rest:
            if inflater is None:
                rest = rest.lstrip(b"\0")  # a member may be padded with zero bytes
                inflater = new(_GZIP_BITS) if rest else None
                continue
            before = inflater.copy() if new is zlib.decompressobj else None
            try:
                data = inflater.decompress(rest, _INFLATED)
            except zlib.error:
                yield from _rescued(before, rest)
                raise
            yield data
            rest = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
            inflater = None if inflater.eof else inflater
    if inflater is not None:
        yield inflater.flush()
        raise EOFError


def _rescued(inflater: Any, data: bytes) -> Iterator[bytes]:  # noqa: ANN401 - of zlib
    """Yield the data before damage: zlib returns nothing of a block with damage."""
    for place in range(len(data)):
        try:
            inflated = inflater.decompress(data[place : place + 1])
        except zlib.error:  # the damage is reported already
            return
        if inflated:
            yield inflated


def _reason(error: zlib.error, *, begun: bool) -> str:
    if "header" in str(error):
        return "what follows is not gzip" if begun else "the gzip header is damaged"
    if "incorrect" in str(error):
        return "the gzip checksum does not match, so rows may be wrong, seen"
    return "the gzip data is damaged"


def record_of(line: bytes) -> Any:  # noqa: ANN401 - any JSON
    """Return the value of a line of NDJSON; raise ValueError or RecursionError if it is none.

    A comma before a closing bracket changes nothing, as in DuckDB.
    """
    if len(line) > LONGEST:
        raise ValueError("too long")
    try:
        value = json.loads(line.decode())
    except json.JSONDecodeError:
        value = json.loads(_COMMA.sub(rb"\1", line).decode())
    by_path = isinstance(value, dict) and not BY_PATH.isdisjoint(value)
    return rebuilt(value) if by_path else value


def parse(lines: Iterable[str | bytes], name: str) -> Iterator[dict[str, Any]]:
    """Read user objects, one in each line; UnreadableInputError names a line that is none."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict):
            raise UnreadableInputError(f"{name}, line {number}: not a JSON object.")
        yield record


def read_records(path: Path | str) -> Iterator[dict[str, Any]]:
    """Read a file of user objects, gzip or not; UnreadableInputError if it is no such file."""
    try:
        with Path(path).open("rb") as file:
            packed = file.read(len(_GZIP)) == _GZIP
        with gzip.open(path) if packed else Path(path).open("rb") as lines:
            yield from parse(lines, str(path))
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or "the gzip data is cut short or damaged"
        raise UnreadableInputError(f"{path} cannot be read: {reason}.") from error
