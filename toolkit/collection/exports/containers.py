"""What packs files: gzip, zip, zstd, bzip2, xz. Each is unpacked up to the first damage.

Facts: gzip (RFC 1952); headers in a zip (PKWARE, APPNOTE.TXT 6.3.10, 4.3.7). A program that stops
while it writes a zip leaves it without the directory at its end.
"""

import bz2
import io
import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice, pairwise
from typing import Any, BinaryIO, NamedTuple

from isal import isal_zlib

BLOCK = 65_536
"""How many bytes are read at a time."""
_INFLATED = 8 * BLOCK  # blocks are rarely larger; a larger rest would be copied each time
_GZIP_BITS = 31  # zlib's `wbits` for gzip, with checksum and length
_RAW_BITS = -15  # for the data alone, as in a zip
_LOCAL = struct.Struct("<4s5H3I2H")  # what stands before a file in a zip
_LOCAL_SIGN = b"PK\x03\x04"
_ENCRYPTED, _SIZES_FOLLOW, _UTF8_NAME = 1, 8, 0x800
_STORED, _DEFLATED, _BZIP2, _ZSTD = 0, 8, 12, 93
_UNKNOWN = 0xFFFFFFFF  # a size that stands elsewhere
_DAMAGE = (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError)

_Blocks = Iterator[bytes]
Unpack = Callable[[_Blocks, int | None], _Blocks]
"""Unpacks blocks; the number is how many bytes of the result are known, if it is not None."""


def pushed(new: Callable[[], Any], blocks: _Blocks, _: int | None) -> _Blocks:
    """Decompress any number of streams, one after another, with decompressors like those of bz2.

    Raises:
        OSError, lzma.LZMAError: the data is damaged.
        EOFError: it is cut short.
    """
    one = None
    for block in blocks:
        rest = block
        while rest or (one and not one.needs_input):
            if one is None:
                # Zero bytes fill up files of xz.
                if not (rest := rest.lstrip(b"\0")):
                    break
                one = new()
            yield one.decompress(rest, _INFLATED)
            rest = one.unused_data if one.eof else b""
            one = None if one.eof else one
    if one is not None:
        raise EOFError


def zstd(blocks: _Blocks, given: int | None) -> _Blocks:
    """Decompress zstd; after so many bytes, if `given` is a number, byte by byte.

    Raises:
        OSError: it is damaged, or cut short.
    """
    import pyarrow as pa  # noqa: PLC0415 - slow to import, and few files are zstd

    with pa.input_stream(pa.PythonFile(_Stream(blocks), mode="r"), compression="zstd") as stream:
        while True:
            size = _INFLATED if given is None else min(_INFLATED, max(1, given))
            if not (data := stream.read(size)):
                return
            given = None if given is None else max(0, given - len(data))
            yield data


class _Stream(io.RawIOBase):
    """Blocks as a file; reading gives a block at a time, whatever size is asked for."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)

    def readable(self) -> bool:
        return True

    def read(self, _: int = -1) -> bytes:
        return next(self._blocks, b"")


def to_damage(
    start: Callable[[], _Blocks], unpack: Unpack, kind: str, damaged: Callable[[str], None]
) -> _Blocks:
    """Unpack, and give all data before the first damage.

    Decompressors give nothing of a block with damage. So the data is then unpacked again, that
    block byte by byte.

    Args:
        start: returns the packed blocks from the beginning, the same at each call.
        unpack: unpacks blocks; its second argument is how much of the result is known.
        kind: what the data is, in a word.
        damaged: called with the reason in words, if it is damaged or cut short.
    """
    given = fed = 0

    def counted() -> _Blocks:
        nonlocal fed
        for block in start():
            fed += 1
            yield block

    try:
        for data in unpack(counted(), None):
            given += len(data)
            yield data
    except _DAMAGE as error:
        is_cut = isinstance(error, EOFError) or "runcated" in str(error)  # Arrow's word
        damaged(f"the {kind} data is {'cut short' if is_cut else 'damaged'}")
    else:
        return
    blocks = start()
    whole = islice(blocks, max(0, fed - 1))
    last = (bytes([byte]) for block in islice(blocks, 1) for byte in block)
    try:
        for data in unpack(chain(whole, last), given):
            fresh = data[given:]
            given -= len(data) - len(fresh)
            yield fresh
    except _DAMAGE:
        return


def gunzipped(
    blocks: _Blocks, again: Callable[[], _Blocks] | None, damaged: Callable[[str], None]
) -> _Blocks:
    """Decompress gzip up to the first damage.

    ISA-L is several times faster than zlib, but does not return the data before damage: then
    zlib reads the file again for the missing part.

    Args:
        blocks: the packed data.
        again: returns it from the beginning, if that is possible.
        damaged: called with the reason in words, if it is damaged or cut short.
    """
    given, begun = 0, False
    if again is not None:
        try:
            for data in _members_of_gzip(blocks, isal_zlib.decompressobj):
                given += len(data)
                yield data
        except (isal_zlib.error, EOFError):  # type: ignore[misc] # it is one, whatever the stub says
            blocks = again()
        else:
            return
    try:
        for data in _members_of_gzip(blocks, zlib.decompressobj):
            fresh = data[given:]
            given -= len(data) - len(fresh)
            begun = True
            yield fresh
    except EOFError:
        damaged("the gzip data is cut short")
    except zlib.error as error:
        damaged(_reason(error, begun=begun))


def _members_of_gzip(blocks: Iterable[bytes], new: Callable[[int], Any]) -> _Blocks:
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
                # Zero bytes fill up archives on tapes and disks.
                if not (rest := rest.lstrip(b"\0")):
                    break
                inflater = new(_GZIP_BITS)
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


def _rescued(inflater: Any, data: bytes) -> _Blocks:  # noqa: ANN401 - of zlib
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


# zip


class Member(NamedTuple):
    """A file in a zip."""

    name: str
    method: int
    is_encrypted: bool
    start: int  # where its data begins
    size: int  # of its data
    crc: int | None  # None: not known

    @property
    def hindrance(self) -> str:
        """Why it cannot be unpacked, or ""."""
        if self.is_encrypted:
            return "is encrypted"
        return "" if self.method in _WAYS else f"is packed by method {self.method}"


def members(file: BinaryIO) -> tuple[list[Member], bool]:
    """Return the files in a zip, and whether its directory is there; without it they are searched.

    Directories are left out, and what systems add: hidden files, and macOS's `__MACOSX`.
    """
    try:
        with zipfile.ZipFile(file) as packed:
            found = [_listed(file, one) for one in packed.infolist()]
        is_whole = True
    except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError, OSError):
        found, is_whole = list(_searched(file)), False
    return [one for one in found if not _is_of_system(one.name)], is_whole


def _is_of_system(name: str) -> bool:
    folder, _, last = name.rpartition("/")
    return not last or last.startswith(".") or "__MACOSX" in folder.split("/")


def _listed(file: BinaryIO, one: zipfile.ZipInfo) -> Member:
    file.seek(one.header_offset)
    *_, name, extra = _LOCAL.unpack(file.read(_LOCAL.size))
    start = one.header_offset + _LOCAL.size + name + extra
    is_encrypted = bool(one.flag_bits & _ENCRYPTED)
    return Member(one.filename, one.compress_type, is_encrypted, start, one.compress_size, one.CRC)


def _searched(file: BinaryIO) -> Iterator[Member]:
    """Find files in a zip by what stands before each; the data of one ends before the next."""
    places = list(_places(file, _LOCAL_SIGN))
    end = file.seek(0, io.SEEK_END)
    after = 0
    for place, following in pairwise([*places, end]):
        file.seek(place)
        header = file.read(_LOCAL.size)
        if place < after or len(header) < _LOCAL.size:
            continue
        _, _, flags, method, _, _, crc, size, _, length, extra = _LOCAL.unpack(header)
        name = file.read(length).decode("utf-8" if flags & _UTF8_NAME else "cp437", "replace")
        start = place + _LOCAL.size + length + extra
        is_told = not flags & _SIZES_FOLLOW and size != _UNKNOWN
        # A zip may hold a zip, whose files are not those of the outer one.
        after = start + size if is_told else start
        told = size if is_told else max(0, following - start)
        yield Member(name, method, bool(flags & _ENCRYPTED), start, told, crc if is_told else None)


def _places(file: BinaryIO, sign: bytes) -> Iterator[int]:
    file.seek(0)
    before, held = 0, b""
    while block := file.read(BLOCK):
        data = held + block
        for match in re.finditer(re.escape(sign), data):
            yield before + match.start()
        held = data[-(len(sign) - 1) :]
        before += len(data) - len(held)


def unzipped(file: BinaryIO, one: Member, damaged: Callable[[str], None]) -> _Blocks:
    """Yield the data of a file in a zip, for which `hindrance` is "".

    Args:
        file: the zip.
        one: which of its files.
        damaged: called with the reason in words, if it is damaged or cut short.
    """
    is_whole = True

    def say(why: str) -> None:
        nonlocal is_whole
        is_whole = False
        damaged(why)

    crc = 0
    for data in to_damage(partial(_part, file, one), _WAYS[one.method], "zip", say):
        crc = zlib.crc32(data, crc)
        yield data
    if is_whole and one.crc not in (None, crc):
        damaged("the zip checksum does not match, so rows may be wrong, seen")


def _part(file: BinaryIO, one: Member) -> _Blocks:
    """Yield the packed data of a file in a zip; raise EOFError if the zip ends before."""
    place, end = one.start, one.start + one.size
    while place < end:
        file.seek(place)
        if not (data := file.read(min(BLOCK, end - place))):
            raise EOFError
        place += len(data)
        yield data


def _stored(blocks: _Blocks, _: int | None) -> _Blocks:
    return blocks


def _deflated(blocks: _Blocks, _: int | None) -> _Blocks:
    one = zlib.decompressobj(_RAW_BITS)
    for block in blocks:
        rest = block
        while rest and not one.eof:
            yield one.decompress(rest, _INFLATED)
            rest = one.unconsumed_tail
    yield one.flush()
    if not one.eof:
        raise EOFError


_WAYS: dict[int, Unpack] = {
    _STORED: _stored,
    _DEFLATED: _deflated,
    _BZIP2: partial(pushed, bz2.BZ2Decompressor),
    _ZSTD: zstd,
}
