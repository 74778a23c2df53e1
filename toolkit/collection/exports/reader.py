"""Files of Auth0 users, read line by line: exports in NDJSON or CSV, and user objects.

Facts: Auth0 docs, "Bulk User Exports": a JSON export is NDJSON; each string of a CSV gets a
single quote before it, stands in double quotes, and its double quotes are doubled; a field may
be asked for by its path (`identities[0].connection`) and under another name.
INFERRED: a CSV begins with a line of titles, and a field without another name has its path as
its title, in NDJSON as well.
"""

import csv
import gzip
import json
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from isal import isal_zlib

from toolkit.errors import UnreadableInputError

_GZIP, BOM = b"\x1f\x8b", b"\xef\xbb\xbf"
_GZIP_BITS = 31  # zlib's way to say: a gzip header, and check the checksum and the length
_BLOCK = 65_536
_INFLATED = 8 * _BLOCK  # what a block rarely exceeds: its rest would be copied, block by block
# No profile of Auth0 comes near; without an end, a file of one line would have to fit in memory.
LONGEST = 32 * 1024 * 1024
_PER_LINE = 100  # what Python needs to keep a line, beside its text
_NAMED = 3
_DIGITS = 18

# Where a value belongs whose title is not the name of a root attribute: paths of Auth0, and
# the names that a snapshot has for them.
_PLACES = {
    "user_metadata.picture": ("user_metadata", "picture"),
    "metadata_picture": ("user_metadata", "picture"),
    "identities[0].connection": ("identities", "connection"),
    "connection": ("identities", "connection"),
    "identities[0].provider": ("identities", "provider"),
    "provider": ("identities", "provider"),
    "strategy": ("identities", "provider"),
}
_WHOLE = ("identities", "user_metadata")


class Export:
    """One export file: to be gone through once, then it tells what was lost.

    Going through it yields the number of the line that a record begins in, and the record:
    a user object as the Management API would return it, or whatever JSON stands there.
    What cannot be read is left out and told; it never ends the reading before it must.

    Who reads many lines at a time takes `blocks` and says of each what came of it (`account`).
    Going through the export then yields what is left.

    Args:
        file: the open file.
        name: what to call it.

    Attributes:
        name: what it is called.
        position: how many of its bytes were read, as they lie on the disk.
        lines: how many lines were read, the first is 1.
        rows: how many records were yielded.
        unreadable: how many lines were left out.
        ending: why the reading ended before the end, or "".
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.name = name
        self.position = self.lines = self.rows = self.unreadable = 0
        self.ending = ""
        self._file = file
        self._first: list[int] = []
        self._text = self._unmarked()
        self._rest = b""  # what was taken of the text and is still to be read
        self._open = False  # whether the last line has no end
        self._objects_follow: bool | None = None
        self._titles: list[str] = []  # of a CSV whose first line was taken

    def __iter__(self) -> Iterator[tuple[int, object]]:
        """Yield each record with its line.

        Raises:
            UnreadableInputError: it is neither NDJSON nor CSV with a column `user_id`.
        """
        read = self._objects if self.is_ndjson() else self._cells
        for number, record in read(self._numbered()):
            self.rows += 1
            yield number, record

    def is_ndjson(self) -> bool:
        """Whether its first line that is not blank begins an object; blank lines are skipped."""
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
        """Yield whole lines, at least so many bytes at a time where there are as many.

        A line without an end is left. Of one that is too long, only the beginning is kept.
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
        """Give back the end of what `blocks` yielded last."""
        self._rest = data + self._rest

    def account(self, lines: int, rows: int, unreadable: Iterable[int]) -> None:
        """Count what came of the lines that follow; the first of them is 0."""
        for number in unreadable:
            self._leave_out(self.lines + number + 1)
        self.lines += lines
        self.rows += rows

    def titles(self) -> list[str]:
        """Take the line of titles of a CSV; where it is no plain line, take and return nothing.

        Raises:
            UnreadableInputError: there is no column `user_id`.
        """
        while b"\n" not in self._rest and len(self._rest) <= LONGEST:
            if not (block := next(self._text, b"")):
                break
            self._rest += block
        line, end, rest = self._rest.partition(b"\n")
        try:
            cells = next(csv.reader([line.decode()], strict=True), [])
        except (csv.Error, UnicodeDecodeError):  # going through it tells
            return []
        if not end or not cells:
            return []
        self._titles = self._titles_of(cells)
        self.lines += 1
        self._rest = rest
        return self._titles

    @property
    def troubles(self) -> tuple[str, ...]:
        """What was lost, in words without an end mark; empty where nothing was."""
        told = []
        if self.unreadable:
            numbers = ", ".join(f"{number:,}" for number in self._first)
            further = self.unreadable - len(self._first)
            more = f" and {further:,} more" if further else ""
            what = "line" if self.unreadable == 1 else "lines"
            told.append(f"{self.name}: {what} {numbers}{more} could not be read")
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
        """Yield the file's bytes, inflated where they are gzip, whatever its name says."""
        blocks = self._blocks()
        head = b""
        while len(head) < len(_GZIP) and (block := next(blocks, b"")):
            head += block
        whole = chain([head], blocks)
        return self._inflated(whole) if head.startswith(_GZIP) else whole

    def _inflated(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """Inflate gzip of any number of members, and everything that stands before damage.

        ISA-L is several times faster than zlib, but does not tell what stands before damage:
        where it finds some, zlib reads the file again, for what is still missing.
        """
        if not self._file.seekable():
            yield from self._exactly_inflated(blocks)
            return
        given = 0
        try:
            for data in _quickly_inflated(blocks):
                given += len(data)
                yield data
        except (isal_zlib.error, EOFError):  # type: ignore[misc] # it is one, whatever the stub says
            self._file.seek(0)
            self.position = 0
            for data in self._exactly_inflated(self._blocks()):
                fresh = data[given:]
                given -= len(data) - len(fresh)
                yield fresh

    def _exactly_inflated(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        inflater = None
        begun = False
        for block in blocks:
            rest = block
            while rest:
                if inflater is None:
                    rest = rest.lstrip(b"\0")  # a member may be padded with these
                    inflater = zlib.decompressobj(_GZIP_BITS) if rest else None
                    continue
                before = inflater.copy()
                try:
                    data = inflater.decompress(rest, _INFLATED)
                except zlib.error as error:
                    yield from _rescued(before, rest)
                    self.ending = _reason(error, begun=begun)
                    return
                yield data
                begun = True
                rest = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
                inflater = None if inflater.eof else inflater
        if inflater is not None:
            yield inflater.flush()
            self.ending = self.ending or "the gzip data is cut short"

    def _unmarked(self) -> Iterator[bytes]:
        """Yield the content without the mark that some programs put before UTF-8."""
        blocks = filter(None, self._content())
        head = b""
        while len(head) < len(BOM) and (block := next(blocks, b"")):
            head += block
        yield from filter(None, chain([head.removeprefix(BOM)], blocks))

    def _numbered(self) -> Iterator[tuple[int, bytes]]:
        """Yield the lines with their ends; of one that is too long, only the beginning."""
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

    def _objects(self, lines: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, object]]:
        for number, line in lines:
            if line.isspace():
                continue
            try:
                value = record_of(line)
            except (ValueError, RecursionError):
                self._leave_out(number)
                continue
            # A number may have been cut: 12 of 123.
            if isinstance(value, dict) or not (self.ending and self._open):
                yield number, value

    def _cells(self, lines: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, object]]:
        titles = self._titles
        for number, cells in self._rows(lines):
            if not titles:
                titles = self._titles_of(cells)
            elif len(cells) == len(titles):
                yield number, record_of_cells(titles, cells)
            else:
                self._leave_out(number)

    def _titles_of(self, cells: Iterable[str]) -> list[str]:
        titles = [_plain(cell).strip() for cell in cells]
        if "user_id" not in titles:
            raise UnreadableInputError(
                f"{self.name} is neither NDJSON (a user object a line) nor CSV with a "
                "column user_id: export the users again, with user_id."
            )
        return titles

    def _rows(self, lines: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, list[str]]]:
        # The limit is one for the whole process, so it is only ever raised.
        csv.field_size_limit(max(LONGEST, csv.field_size_limit()))
        taken = _Taken(self._uncut(lines))
        rows = csv.reader(taken, strict=True)
        while True:
            taken.begin()
            try:
                cells = next(rows, None)
            except csv.Error:
                if taken.at_end:
                    # The row was still open: nothing after its beginning can be trusted.
                    self.ending = self.ending or "the file is cut short"
                    return
                self._leave_out(taken.number)
                taken.put_back()
                continue
            if cells is None:
                return
            if cells:
                yield taken.number, cells

    def _uncut(self, lines: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
        """Leave out the line in which a file was cut: its last cell may be a part of one."""
        for number, line in lines:
            if not (self.ending and self._open and number == self.lines):
                yield number, line


class _Taken:
    """Lines as text, for `csv.reader`; those after the first of a row can be put back."""

    def __init__(self, lines: Iterator[tuple[int, bytes]]) -> None:
        self._source = lines
        self._again: deque[tuple[int, bytes]] = deque()
        self._size = 0
        self.lines: list[tuple[int, bytes]] = []
        self.at_end = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        try:
            line = self._again.popleft() if self._again else next(self._source)
        except StopIteration:
            self.at_end = True
            raise
        self.lines.append(line)
        self._size += len(line[1]) + _PER_LINE
        if self._size > LONGEST:
            raise csv.Error("a row without an end")
        try:
            return line[1].decode()
        except UnicodeDecodeError as error:
            raise csv.Error("not UTF-8") from error

    @property
    def number(self) -> int:
        """The line that the row begins in."""
        return self.lines[0][0]

    def begin(self) -> None:
        """Begin a new row."""
        self.lines.clear()
        self._size = 0

    def put_back(self) -> None:
        """Read all lines but the row's first again."""
        self._again.extendleft(reversed(self.lines[1:]))


@contextmanager
def exported(source: Path | str | BinaryIO, name: str | None = None) -> Iterator[Export]:
    """Open an export file; what it is, is told by its content and not by its name.

    Memory holds one block and one line of it at a time.

    Args:
        source: the file's path, or a stream of its bytes.
        name: what to call it where something is wrong; by default its path.

    Raises:
        UnreadableInputError: it cannot be opened, or is no export at all.
    """
    if not isinstance(source, str | Path):
        yield Export(source, name or "the export")
        return
    try:
        # Without a buffer, or a pipe would be waited for until it is full.
        file = Path(source).open("rb", buffering=0)  # noqa: SIM115 - closed below
    except OSError as error:
        raise UnreadableInputError(f"{source} cannot be read: {error.strerror}.") from error
    with file:
        yield Export(file, name or Path(source).name)


def _quickly_inflated(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Inflate gzip of any number of members.

    Raises:
        isal_zlib.error, EOFError: it is damaged or cut short.
    """
    inflater = None
    for block in blocks:
        rest = block
        while rest:
            if inflater is None:
                rest = rest.lstrip(b"\0")
                inflater = isal_zlib.decompressobj(_GZIP_BITS) if rest else None
                continue
            yield inflater.decompress(rest, _INFLATED)
            rest = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
            inflater = None if inflater.eof else inflater
    if inflater is not None:
        raise EOFError


def _rescued(inflater: "zlib._Decompress", data: bytes) -> Iterator[bytes]:
    """Yield what stands before damage: zlib itself gives nothing of a block that has some."""
    for place in range(len(data)):
        try:
            yield inflater.decompress(data[place : place + 1])
        except zlib.error:  # the damage that is being told already
            return


def _reason(error: zlib.error, *, begun: bool) -> str:
    if "header" in str(error):
        return "what follows is not gzip" if begun else "the gzip header is damaged"
    if "incorrect" in str(error):
        return "the gzip checksum does not match, so rows may be wrong, seen"
    return "the gzip data is damaged"


def record_of(line: bytes) -> Any:  # noqa: ANN401 - any JSON
    """Return what a line of NDJSON holds, values that were exported by their path in place.

    Raises:
        ValueError, RecursionError: it is no JSON.
    """
    if len(line) > LONGEST:
        raise ValueError("too long")
    value = json.loads(line.decode())
    return _rebuilt(value) if isinstance(value, dict) and value.keys() & _PLACES.keys() else value


def _plain(cell: str) -> str:
    return cell.removeprefix("'")


def _value(title: str, cell: str) -> object:
    """Return the JSON value that a cell was made of, as far as a snapshot needs it."""
    if not cell:
        return None
    text = _plain(cell)
    if title == "logins_count" and text.isascii() and text.isdigit() and len(text) <= _DIGITS:
        return int(text)
    if title in _WHOLE:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):  # what is no JSON is kept as the text it is
            return text
    return text


def record_of_cells(titles: Iterable[str], cells: Iterable[str]) -> dict[str, Any]:
    """Return what a row of CSV holds, values that were exported by their path in place."""
    pairs = zip(titles, cells, strict=True)
    return _rebuilt({title: _value(title, cell) for title, cell in pairs})


def _rebuilt(record: Mapping[str, Any]) -> dict[str, Any]:
    """Put values that were exported by their path back where they came from.

    A whole `identities` or `user_metadata` that is there too is left as it is.
    """
    rebuilt = dict(record)
    parts: dict[str, dict[str, Any]] = {}
    for title, (place, key) in _PLACES.items():
        value = rebuilt.pop(title, None)
        if value is not None:
            parts.setdefault(place, {}).setdefault(key, value)
    for place, part in parts.items():
        if rebuilt.get(place) is None:
            rebuilt[place] = [part] if place == "identities" else part
    return rebuilt


def parse(lines: Iterable[str | bytes], name: str) -> Iterator[dict[str, Any]]:
    """Read user objects, one a line; blank lines are skipped.

    Args:
        lines: the lines.
        name: what to call the input in an error.

    Raises:
        UnreadableInputError: a line is no JSON object; the message names the line.
    """
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
    """Read a file of user objects; gzip is told by its content, whatever the name.

    Raises:
        UnreadableInputError: the file cannot be opened or is not of this form.
    """
    try:
        with Path(path).open("rb") as file:
            packed = file.read(len(_GZIP)) == _GZIP
        with gzip.open(path) if packed else Path(path).open("rb") as lines:
            yield from parse(lines, str(path))
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or "the gzip data is cut short or damaged"
        raise UnreadableInputError(f"{path} cannot be read: {reason}.") from error
