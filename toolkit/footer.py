"""The footer of a Parquet file, so that files can be put end to end without reading their rows.

Facts: Apache Parquet, `parquet.thrift` (the numbers of the fields) and Apache Thrift, "Compact
protocol" (how they are written). A footer says at which byte of the file each piece of a column
begins: where a file is appended to another, only these numbers change.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import IO, Any

from toolkit.errors import UnreadableInputError

_MAGIC = b"PAR1"
_BLOCK = 1 << 20
_END = 8  # the length of the footer and the magic word
# Types of the compact protocol.
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 12
_WHOLE = frozenset({4, 5, 6})
_LONG, _NEXT = 15, 15
# Fields of `FileMetaData`.
_SCHEMA, _ROWS, _GROUPS = 2, 3, 4
# Fields of `RowGroup`, `ColumnChunk` and `ColumnMetaData`; which of them are places in the file.
_COLUMNS, _GROUP_PLACES, _ORDINAL = 1, (5,), 7
_COLUMN, _CHUNK_PLACES, _INDEX = 3, (2,), range(4, 8)
_COLUMN_PLACES = (9, 10, 11, 14)


@dataclass(slots=True)
class _Struct:
    """The fields of a struct: number, type, value."""

    fields: list[tuple[int, int, Any]]

    def __getitem__(self, number: int) -> Any:  # noqa: ANN401 - of whatever type the field is
        return next(value for known, _, value in self.fields if known == number)

    def put(self, number: int, value: object) -> None:
        """Replace the value of a field that is there."""
        self.fields = [(n, kind, value if n == number else old) for n, kind, old in self.fields]

    def drop(self, numbers: Collection[int]) -> None:
        """Remove those of these fields that are there."""
        self.fields = [field for field in self.fields if field[0] not in numbers]

    def move(self, numbers: Collection[int], by: int) -> None:
        """Add to those of these places that are there; 0 is none."""
        self.fields = [
            (n, kind, value + by if n in numbers and value else value)
            for n, kind, value in self.fields
        ]


def join(head: Path, parts: Sequence[Path], out: IO[bytes]) -> None:
    """Write a Parquet file of the rows of several.

    Args:
        head: a file without rows: its schema and metadata are those of the result.
        parts: files with the same schema, in the order of the rows.
        out: where to write, from its present position, which must be its beginning.

    Raises:
        UnreadableInputError: a file is damaged, or of another schema.
    """
    footer, _ = _read(head)
    groups: list[_Struct] = []
    out.write(_MAGIC)
    for path in parts:
        part, size = _read(path)
        if part[_SCHEMA] != footer[_SCHEMA]:
            raise UnreadableInputError(f"{path} has other columns than {head}.")
        moved = list(_moved(part, out.tell() - len(_MAGIC)))
        groups += moved
        with path.open("rb") as file:
            file.seek(len(_MAGIC))
            left = size - len(_MAGIC)
            while data := file.read(min(left, _BLOCK)):
                out.write(data)
                left -= len(data)
    footer.put(_GROUPS, (_STRUCT, groups))
    footer.put(_ROWS, sum(group[3] for group in groups))
    end = bytearray()
    _write(end, _STRUCT, footer)
    out.write(end + len(end).to_bytes(4, "little") + _MAGIC)


def _read(path: Path) -> tuple[_Struct, int]:
    """Return the footer of a file, and where it begins."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - _END))
        end = file.read()
        begin = size - _END - int.from_bytes(end[:4], "little")
        if end[4:] != _MAGIC or begin < len(_MAGIC):
            raise UnreadableInputError(f"{path} is not a whole Parquet file.")
        file.seek(begin)
        footer: _Struct = _value(BytesIO(file.read()), _STRUCT)
    return footer, begin


def _moved(footer: _Struct, by: int) -> Iterator[_Struct]:
    """Yield the row groups of a file as they are where it begins so many bytes later."""
    for group in footer[_GROUPS][1]:
        group.move(_GROUP_PLACES, by)
        group.drop((_ORDINAL,))  # optional, and too small a number for a large file
        for chunk in group[_COLUMNS][1]:
            chunk.move(_CHUNK_PLACES, by)
            chunk.drop(_INDEX)  # optional, and the places in it would be wrong
            chunk[_COLUMN].move(_COLUMN_PLACES, by)
        yield group


# The compact protocol


def _value(data: BytesIO, kind: int) -> Any:  # noqa: ANN401 - of the type that `kind` says
    if kind in _WHOLE:
        number = _number(data)
        return (number >> 1) ^ -(number & 1)
    if kind == _BINARY:
        return data.read(_number(data))
    if kind == _STRUCT:
        return _Struct(list(_fields(data)))
    if kind in (_LIST, _SET):
        head = data.read(1)[0]
        size = head >> 4
        inner = head & 0xF
        return inner, [_value(data, inner) for _ in range(_number(data) if size == _LONG else size)]
    return data.read({_DOUBLE: 8, _BYTE: 1, _TRUE: 1, _FALSE: 1}[kind])


def _fields(data: BytesIO) -> Iterator[tuple[int, int, Any]]:
    number = 0
    while head := data.read(1)[0]:
        kind = head & 0xF
        number = number + (head >> 4) if head >> 4 else _value(data, 4)
        yield number, kind, None if kind in (_TRUE, _FALSE) else _value(data, kind)


def _number(data: BytesIO) -> int:
    """Read a number of any length, seven bits at a time."""
    number = 0
    for shift in count(0, 7):
        byte = data.read(1)[0]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the bit that says that more follows
            break
    return number


def _write(out: bytearray, kind: int, value: Any) -> None:  # noqa: ANN401 - see `_value`
    if kind in _WHOLE:
        _write_number(out, (value << 1) ^ (value >> 63))
    elif kind == _BINARY:
        _write_number(out, len(value))
        out += value
    elif kind == _STRUCT:
        _write_fields(out, value)
    elif kind in (_LIST, _SET):
        inner, values = value
        out.append(min(len(values), _LONG) << 4 | inner)
        if len(values) >= _LONG:
            _write_number(out, len(values))
        for one in values:
            _write(out, inner, one)
    else:
        out += value


def _write_fields(out: bytearray, struct: _Struct) -> None:
    before = 0
    for number, kind, value in struct.fields:
        step = number - before
        out.append((step if 0 < step <= _NEXT else 0) << 4 | kind)
        if not 0 < step <= _NEXT:
            _write(out, 4, number)
        if value is not None:
            _write(out, kind, value)
        before = number
    out.append(0)


def _write_number(out: bytearray, number: int) -> None:
    while number > 0x7F:  # noqa: PLR2004 - seven bits
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
