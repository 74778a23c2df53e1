"""One file of an Auth0 user export, read line by line: NDJSON or CSV, gzip or plain.

Facts: Auth0 docs, "Bulk User Exports": a JSON export is NDJSON; each string of a CSV gets a
single quote before it, stands in double quotes, and its double quotes are doubled; a field may
be asked for by its path (`identities[0].connection`) and under another name.
INFERRED: a CSV begins with a line of titles, and a field without another name has its path as
its title, in NDJSON as well.
"""

import csv
import json
import os
import re
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from select import select
from typing import Any, BinaryIO

from isal import isal_zlib

from toolkit.errors import UnreadableInputError

_GZIP, BOM = b"\x1f\x8b", b"\xef\xbb\xbf"
_GZIP_BITS = 31  # zlib's way to say: a gzip header, and check the checksum and the length
_BLOCK = 65_536
_PATIENCE = 0.1  # seconds
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
_BLANK = re.compile(rb"(?:\r?\n)*")


class Export:
    """One export file: to be gone through once, then it tells what was lost.

    Going through it yields the number of the line that a record begins in, and the record:
    a user object as the Management API would return it, or whatever JSON stands there.
    What cannot be read is left out and told; it never ends the reading before it must.

    Args:
        file: the open file.
        name: what to call it.
        is_pipe: whether it is a file of the system that somebody else may still write.

    Attributes:
        name: what it is called.
        position: how many of its bytes were read, as they lie on the disk.
        lines: how many lines were read, the first is 1.
        rows: how many records were yielded.
        unreadable: how many lines were left out.
        ending: why the reading ended before the end, or "".
        wanted: asked now and then while a pipe is waited for: whether to wait on.
    """

    def __init__(self, file: BinaryIO, name: str, *, is_pipe: bool = False) -> None:
        self.name = name
        self._is_pipe = is_pipe
        self.position = self.lines = self.rows = self.unreadable = 0
        self.ending = ""
        self.wanted: Callable[[], bool] = lambda: True
        self._file = file
        self._first: list[int] = []
        self._text = self._unmarked()
        self._rest = b""  # what was taken of the text and is still to be read
        self._open = False  # whether the last line has no end
        self._titles: list[str] = []  # of a CSV whose first line was taken

    def __iter__(self) -> Iterator[tuple[int, object]]:
        """Yield each record with its line.

        Raises:
            UnreadableInputError: it is neither NDJSON nor CSV with a column `user_id`.
        """
        objects = self.is_ndjson()
        lines = self._numbered()
        first = next((one for one in lines if one[1].strip()), None)
        if first is None:
            return
        read = self._objects if objects else self._cells
        for number, record in read(chain([first], lines)):
            self.rows += 1
            yield number, record

    # The same for who reads many lines at a time: `fill`, and `account` in the same order, which
    # another thread may do meanwhile; then `last`.

    def is_ndjson(self) -> bool:
        """Whether its first line that is not blank begins an object."""
        while not self._rest.strip() and (block := next(self._text, b"")):
            self._rest += block
            if not self._rest.strip():
                self.lines += self._rest.count(b"\n")
                self._rest = self._rest[self._rest.rfind(b"\n") + 1 :]
        return self._rest.lstrip().startswith(b"{")

    def fill(self, write: Callable[[bytes], object], size: int) -> int:
        """Write what comes next: at least so many bytes of whole lines, if there are.

        Returns:
            How many bytes are whole lines; what was written beyond them is written again the
            next time.
        """
        written = whole = held = 0
        pieces: list[bytes] = []
        while whole < size and (block := self._block()):
            if cut := block.rfind(b"\n") + 1:
                whole = written + cut
                pieces, held = [block[cut:]], len(block) - cut
            elif held <= LONGEST:
                pieces.append(block)
                held += len(block)
            else:
                continue
            write(block)
            written += len(block)
        self._rest = b"".join(pieces)
        return whole

    def account(self, lines: int, rows: int, unreadable: Iterable[int]) -> None:
        """Count what came of lines that were filled; the first of them is 0."""
        for number in unreadable:
            self._leave_out(self.lines + number + 1)
        self.lines += lines
        self.rows += rows

    def last(self) -> Iterator[object]:
        """Yield the record of a last line without an end, if it is whole."""
        if self._rest:
            self.lines += 1
            self._open = True
            for _, record in self._objects([(self.lines, self._rest)]):
                self.rows += 1
                yield record

    # And of CSV: `titles`, then `take`, and `account` in the same order, which another thread may
    # do meanwhile; what is put back `records` reads.

    def titles(self) -> list[str]:
        """Take the line of titles; where it is more than one line, take and return nothing.

        Raises:
            UnreadableInputError: there is no column `user_id`.
        """
        begin = 0
        while len(self._rest) <= LONGEST:
            found = _BLANK.match(self._rest)
            begin = found.end() if found else 0
            if b"\n" in self._rest[begin:] or not (block := next(self._text, b"")):
                break
            self._rest += block
        line, end, rest = self._rest[begin:].partition(b"\n")
        try:
            cells = next(csv.reader([line.decode()], strict=True), [])
        except (csv.Error, UnicodeDecodeError):  # `records` tells
            return []
        if not end or not cells:
            return []
        self._titles = self._titles_of(cells)
        self.lines += self._rest[:begin].count(b"\n") + 1
        self._rest = rest
        return self._titles

    def take(self, size: int, cut: Callable[[bytes], int]) -> bytes:
        """Return the next whole rows, about so many bytes; nothing where that cannot be told.

        Args:
            size: how many bytes to read.
            cut: says where the last whole row of some bytes ends.
        """
        pieces = [self._block()]
        held = len(pieces[0])
        while held < size and (block := next(self._text, b"")):
            pieces.append(block)
            held += len(block)
        data = b"".join(pieces)
        end = cut(data)
        self._rest = data[end:]
        return data[:end]

    def put_back(self, pieces: Iterable[bytes]) -> None:
        """Give back what was taken last and not accounted for, in its order."""
        self._rest = b"".join([*pieces, self._rest])

    def records(self) -> Iterator[object]:
        """Yield the records of the rows that are left."""
        for _, record in self._cells(self._numbered()):
            self.rows += 1
            yield record

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
            while self._is_pipe and not select([self._file], [], [], _PATIENCE)[0]:
                if not self.wanted():
                    return
            try:
                # As much as there is of a pipe: for more it would wait.
                block = (
                    os.read(self._file.fileno(), _BLOCK)
                    if self._is_pipe
                    else self._file.read(_BLOCK)
                )
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

    def _block(self) -> bytes:
        block, self._rest = self._rest, b""
        return block or next(self._text, b"")

    def _numbered(self) -> Iterator[tuple[int, bytes]]:
        """Yield the lines with their ends; of one that is too long, only the beginning."""
        for line in _lines(iter(self._block, b"")):
            self.lines += 1
            self._open = not line.endswith(b"\n")
            yield self.lines, line

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
                yield number, _record(titles, cells)
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
        file = Path(source).open("rb")  # noqa: SIM115 - closed below: only the opening is tried
    except OSError as error:
        raise UnreadableInputError(f"{source} cannot be read: {error.strerror}.") from error
    with file:
        yield Export(file, name or Path(source).name, is_pipe=not file.seekable())


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


def _lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Cut bytes into lines with their ends; of one that is too long, keep the beginning."""
    pieces: list[bytes] = []
    size = 0
    for block in blocks:
        *ended, rest = block.split(b"\n")
        for line in ended:
            yield b"".join([*pieces, line, b"\n"])
            pieces, size = [], 0
        if size <= LONGEST:
            pieces.append(rest)
            size += len(rest)
    if last := b"".join(pieces):
        yield last


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


def _record(titles: Iterable[str], cells: Iterable[str]) -> dict[str, Any]:
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
