"""The bytes of a file, unpacked and as UTF-8, whatever it is packed in and written in.

What a file is, its first bytes tell, not its name. It may be packed several times: gzip in a zip.
Damage ends the reading; all data before it is given.

Facts: the first bytes of gzip (RFC 1952), zip (PKWARE, APPNOTE.TXT), zstd (RFC 8878), bzip2, xz.
"""

import bz2
import codecs
import lzma
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from typing import BinaryIO

from toolkit.collection.exports.containers import (
    BLOCK,
    Member,
    Unpack,
    gunzipped,
    members,
    pushed,
    to_damage,
    unzipped,
    zstd,
)
from toolkit.collection.exports.tables import is_table, is_workbook
from toolkit.errors import UnreadableInputError
from toolkit.formatting import shorten

BOM = b"\xef\xbb\xbf"

_DEPTH = 4  # so often a file may be packed
_HEAD = 16  # so many bytes tell what something is
_LONGEST_NAME = 100
_GZIP, _ZSTD, _XZ = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0"
_BZIP2 = (b"BZh", b"1AY&SY")  # a digit stands between them
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")

# The longer mark of UTF-32 begins like that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Without a mark: in which of the first four bytes the zero bytes of ASCII characters stand.
_ZEROS: dict[tuple[bool, ...], str] = {
    (False, True, False, True): "utf-16-le",
    (True, False, True, False): "utf-16-be",
    (False, True, True, True): "utf-32-le",
    (True, True, True, False): "utf-32-be",
}

_Blocks = Iterator[bytes]


class Content:
    """Some bytes with a name: of a file, or of what is packed in it.

    Attributes:
        name: where they are, for messages: `a.zip/users.json`.
        is_table: whether they are a table of another program, to be read with `file`.
        notes: what was assumed, in sentences.
    """

    def __init__(
        self,
        name: str,
        read: Callable[["Content"], _Blocks],
        *,
        file: BinaryIO | None = None,
        outer: "Content | None" = None,
    ) -> None:
        self.name = name
        self.is_table = False
        self.notes: list[str] = []
        self._taken = 0
        self._blocks: _Blocks = filter(None, read(self))
        self._file, self._outer, self._ending = file, outer, ""
        self._copy: BinaryIO | None = None

    @property
    def ending(self) -> str:
        """Why they end early, or ""."""
        return (self._outer.ending if self._outer else "") or self._ending

    def count(self, size: int) -> None:
        """Count bytes that were read."""
        self._taken += size

    @property
    def is_packed(self) -> bool:
        """Whether they were packed in something."""
        return self._outer is not None

    def end(self, why: str) -> None:
        """Say why they end early, if it is not yet said."""
        self._ending = self._ending or why

    @property
    def position(self) -> int:
        """How many bytes of the outermost file were read."""
        if self._outer is not None:
            return self._outer.position
        if self._file is None or self._file.closed:
            return self._taken
        return self._file.tell()

    def head(self, size: int) -> bytes:
        """Return the first bytes, at least so many if there are, without taking them."""
        head, rest = _begun(self._blocks, size)
        self._blocks = chain([head] if head else [], rest)
        return head

    def blocks(self) -> _Blocks:
        """Return the bytes; to be called once."""
        return self._blocks

    @property
    def is_seekable(self) -> bool:
        """Whether the bytes can be read again without a copy."""
        return self._file is not None

    def file(self) -> BinaryIO:
        """Return the bytes as a file at its beginning; a copy on disk, if needed."""
        if self._file is None:
            self._file = self._copy = tempfile.TemporaryFile()  # noqa: SIM115 - see `close`
            for block in self._blocks:
                self._copy.write(block)
        self._file.seek(0)
        return self._file

    def close(self) -> None:
        """Delete the copy on disk, if there is one."""
        if self._copy is not None:
            self._copy.close()

    def again(self) -> _Blocks:
        """Return the bytes from the beginning, again."""
        return _read(self.file(), self)


def content_of(file: BinaryIO, name: str) -> Content:
    """Return the bytes of a file as they are; a pipe is read once."""
    return Content(name, partial(_read, file), file=file if file.seekable() else None)


def unpacked(content: Content, depth: int = _DEPTH) -> Iterator[Content]:
    """Unpack: yield what is packed in some bytes, or they themselves, each to be read in turn.

    Raises:
        UnreadableInputError: it is encrypted, packed in an unknown way or too often, or a zip
            without files.
    """
    head = content.head(_HEAD)
    try:
        inner = _inner(content, head)
        if inner is None:
            content.is_table = is_table(head) or head.startswith(_ZIP)
            yield content
            return
        if not depth:
            raise UnreadableInputError(f"{content.name} is packed too often: unpack it first.")
        for one in inner:
            yield from unpacked(one, depth - 1)
    finally:
        content.close()


def _inner(content: Content, head: bytes) -> Iterable[Content] | None:
    """Return what is packed in some bytes, or None if nothing is."""
    if head.startswith(_ZIP):
        return None if is_workbook(content.file()) else _members(content)
    if head.startswith(_GZIP):
        read: Callable[[Content], _Blocks] = partial(_gunzipped, content)
    elif head.startswith(_ZSTD):
        read = partial(_unpacked, content, zstd, "zstd")
    elif head.startswith(_BZIP2[0]) and head[4:].startswith(_BZIP2[1]):
        read = partial(_unpacked, content, partial(pushed, bz2.BZ2Decompressor), "bzip2")
    elif head.startswith(_XZ):
        read = partial(_unpacked, content, partial(pushed, lzma.LZMADecompressor), "xz")
    else:
        return None
    return [Content(content.name, read, outer=content)]


def _gunzipped(outer: Content, inner: Content) -> _Blocks:
    again = outer.again if outer.is_seekable else None
    return gunzipped(outer.blocks(), again, inner.end)


def _unpacked(outer: Content, unpack: Unpack, kind: str, inner: Content) -> _Blocks:
    return to_damage(outer.again, unpack, kind, inner.end)


def _members(content: Content) -> Iterator[Content]:
    """Yield the files in a zip."""
    file = content.file()
    found, is_whole = members(file)
    if not found:
        what = "holds no file" if is_whole else "is a damaged zip in which no file can be found"
        raise UnreadableInputError(f"{content.name} {what}: pack it again.")
    for number, one in enumerate(found, 1):
        name = f"{content.name}/{shorten(one.name, _LONGEST_NAME)}"
        if one.hindrance:
            raise UnreadableInputError(f"{name} {one.hindrance}: unpack it, and name what it held.")

        def read(inner: Content, one: Member = one) -> _Blocks:
            return unzipped(file, one, inner.end)

        inner = Content(name, read, outer=content)
        if not is_whole and number == len(found):
            inner.end("the zip is cut short")
        yield inner


def utf8(content: Content) -> _Blocks:
    """Yield text as UTF-8, without a byte order mark; line ends of old Macs become usual ones."""
    head = content.head(len(codecs.BOM_UTF32_LE))
    blocks = content.blocks()
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return _with_line_ends(_recoded(_without(blocks, len(mark)), encoding, content))
    if head.startswith(BOM):
        return _with_line_ends(_without(blocks, len(BOM)))
    if encoding := _ZEROS.get(tuple(byte == 0 for byte in head[:4]), ""):
        return _with_line_ends(_recoded(blocks, encoding, content))
    return _with_line_ends(blocks)


def western(blocks: Iterable[bytes], content: Content) -> _Blocks:
    """Yield text as UTF-8 that may be Windows-1252, as Excel writes CSV in Western Europe.

    It is, if its first bytes that are not ASCII are not UTF-8.
    """
    blocks, held = iter(blocks), b""
    for block in blocks:
        data, held = held + block, b""
        if data.isascii():
            yield data
            continue
        try:
            text, taken = codecs.utf_8_decode(data, "strict", False)
            is_utf8 = not text.isascii()
        except UnicodeDecodeError as error:
            is_utf8, taken = not data[: error.start].isascii(), -1
        if is_utf8:
            yield data
            yield from blocks
            return
        if taken < 0:
            yield from _windows(chain([data], blocks), content)
            return
        yield data[:taken]
        held = data[taken:]  # the first bytes of a character
    if held:
        yield from _windows([held], content)


def _windows(blocks: Iterable[bytes], content: Content) -> _Blocks:
    content.notes.append(f"{content.name} is not UTF-8 and was read as Windows-1252.")
    for block in blocks:
        # The few bytes without a meaning stay as they are; so their line cannot be read.
        yield block.decode("cp1252", "surrogateescape").encode("utf-8", "surrogateescape")


def _recoded(blocks: Iterable[bytes], encoding: str, content: Content) -> _Blocks:
    # A lone surrogate becomes bytes that are not UTF-8, so its line cannot be read.
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
    try:
        for block in blocks:
            yield decoder.decode(block).encode("utf-8", "surrogatepass")
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        content.end(f"the {encoding[:6].upper()} text is cut short or damaged")


def _without(blocks: _Blocks, size: int) -> _Blocks:
    head, rest = _begun(blocks, size)
    return chain([head[size:]], rest)


def _with_line_ends(blocks: _Blocks) -> _Blocks:
    """Replace carriage returns by line feeds, if lines end with them alone."""
    blocks, held = filter(None, blocks), b""
    for block in blocks:
        data, held = held + block, b""
        place = data.find(b"\r")
        if b"\n" in data:
            yield data
            yield from blocks
            return
        if place < 0:
            yield data
        elif place == len(data) - 1:  # a line feed may follow
            held = data
        else:
            for one in chain([data], blocks):
                yield one.replace(b"\r", b"\n")
            return
    if held:
        yield held.replace(b"\r", b"\n")


def _begun(blocks: _Blocks, size: int) -> tuple[bytes, _Blocks]:
    """Return the first bytes, at least so many if there are, and the blocks after them."""
    head = b""
    while len(head) < size and (block := next(blocks, b"")):
        head += block
    return head, blocks


def _read(file: BinaryIO, content: Content) -> _Blocks:
    while True:
        try:
            block = file.read(BLOCK)
        except OSError as error:
            content.end(f"the file cannot be read on ({error.strerror or error})")
            return
        if not block:
            return
        content.count(len(block))
        yield block
