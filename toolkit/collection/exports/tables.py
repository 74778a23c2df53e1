"""Users in tables of other programs: Parquet, Arrow (file and stream), Excel and OpenDocument.

Facts (Apache Parquet and Arrow, "Format"; tried with pyarrow 26): a Parquet file begins and ends
with `PAR1`, or `PARE` if its footer is encrypted. An Arrow file is `ARROW1`, two bytes, an Arrow
stream, and a footer: without the footer the stream can still be read.
"""

import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import time, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any, BinaryIO
from uuid import UUID
from xml.parsers import expat
from zipfile import BadZipFile, ZipFile

import pyarrow as pa
import pyarrow.parquet as pq
from python_calamine import (
    CalamineError,
    CalamineSheet,
    CalamineWorkbook,
    SheetTypeEnum,
)

from toolkit.analysis.duckdb_engine import ARROW_DAMAGE
from toolkit.collection.exports.field_names import FieldNames
from toolkit.errors import UnreadableInputError
from toolkit.formatting import some_of

LARGEST_WORKBOOK = 50 * 1024 * 1024
"""Bytes. A workbook is read into memory, and takes about twenty times as much there."""

_PARQUET, _ARROW, _STREAM = (b"PAR1", b"PARE"), b"ARROW1", b"\xff\xff\xff\xff"
_OLD_WORKBOOK = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # xls, and workbooks with a password
_INSIDE_ARROW = 8  # where the stream begins
_ROWS = 2_000  # turned into Python at a time
_BUFFER = 1024 * 1024
# pyarrow raises these for some damaged files, too.
_DAMAGE = (*ARROW_DAMAGE, ValueError, KeyError, OverflowError, MemoryError)
_BINARY_WORKBOOK = "xl/workbook.bin"
_WORKBOOKS = frozenset({"xl/workbook.xml", _BINARY_WORKBOOK})
_OTHER_WORKBOOK = (
    "{} is a workbook of another format (xls, xlsb), or has a password: save it as xlsx or CSV, "
    "without one."
)
_OPEN_DOCUMENT = b"application/vnd.oasis.opendocument.spreadsheet"
_ZIP_DAMAGE = (
    *(BadZipFile, OSError, EOFError, ValueError, RuntimeError, zlib.error),
    expat.ExpatError,
)
_SEARCHED = 100  # rows in which a sheet's column names are looked for
_NEEDED = frozenset({"user_id", "picture"})
# What a workbook of this size may hold when it is unpacked: bytes, and cells in the rectangle that
# a sheet's cells span, because the library keeps all of them.
_UNPACKED, _MOST_CELLS = 1024 * 1024 * 1024, 50_000_000
_PLACE = re.compile(rb"""\br=["']([A-Z]{1,3})([0-9]{1,7})["']""")
_LONGEST_PLACE = 16


def is_table(head: bytes) -> bool:
    """Whether a file that begins so is Parquet, Arrow, or an old workbook (xls)."""
    return head.startswith((*_PARQUET, _ARROW, _STREAM, _OLD_WORKBOOK))


def is_workbook(file: BinaryIO) -> bool:
    """Whether a seekable file is a workbook in a zip: xlsx, xlsm or ods, or one to be refused."""
    try:
        with ZipFile(file) as content:
            names = content.namelist()
            if "mimetype" not in names:
                return not _WORKBOOKS.isdisjoint(names)
            with content.open("mimetype") as kind:
                return kind.read(len(_OPEN_DOCUMENT)) == _OPEN_DOCUMENT
    except _ZIP_DAMAGE:
        return False


def table_records(
    file: BinaryIO, name: str, names: FieldNames | None = None, told: list[str] | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table, a record each, with the names that stand in the file.

    Parquet and Arrow are read batch by batch. Of a workbook, all sheets with a column of user ids
    are read; the column names may stand below other lines.

    Args:
        file: a seekable file.
        name: its name in messages.
        names: what the names in the file are taken for.
        told: gets a sentence if sheets were left out.

    Raises:
        UnreadableInputError: it is no such file, is damaged, too large, or a snapshot of this
            tool. The rows before the damage were yielded.
    """
    file.seek(0)
    head = file.read(len(_OLD_WORKBOOK))
    file.seek(0)
    if head.startswith((*_PARQUET, _ARROW, _STREAM)):
        yield from _columnar(file, name, head)
    else:
        yield from _workbook(file, name, names or FieldNames(), [] if told is None else told)


# Parquet and Arrow


def _columnar(file: BinaryIO, name: str, head: bytes) -> Iterator[dict[str, Any]]:
    rows = 0
    try:
        for batch in _batches(file, name, head):
            for start in range(0, len(batch), _ROWS):
                for record in _records(batch.slice(start, _ROWS)):
                    rows += 1
                    yield record
    except _DAMAGE as error:
        raise UnreadableInputError(
            f"{name} is damaged after row {rows:,}: copy or export it again."
        ) from error


def _batches(file: BinaryIO, name: str, head: bytes) -> Iterator[pa.RecordBatch]:
    if head.startswith(_PARQUET):
        # Otherwise Arrow reads whole columns of a row group into memory.
        with pq.ParquetFile(file, buffer_size=_BUFFER, pre_buffer=False) as parquet:
            _ensure_no_snapshot(parquet.schema_arrow, name)
            yield from parquet.iter_batches(_ROWS)
        return
    if not head.startswith(_ARROW):
        yield from _streamed(pa.ipc.open_stream(file), name)
        return
    try:
        whole = pa.ipc.open_file(file)
    except _DAMAGE:
        file.seek(_INSIDE_ARROW)
        yield from _streamed(pa.ipc.open_stream(file), name)
        raise
    _ensure_no_snapshot(whole.schema, name)
    yield from map(_checked, map(whole.get_batch, range(whole.num_record_batches)))


def _streamed(stream: pa.RecordBatchStreamReader, name: str) -> Iterator[pa.RecordBatch]:
    _ensure_no_snapshot(stream.schema, name)
    yield from map(_checked, stream)


def _checked(batch: pa.RecordBatch) -> pa.RecordBatch:
    batch.validate(full=True)  # otherwise damage could lead outside of the memory
    return batch


def _ensure_no_snapshot(schema: pa.Schema, name: str) -> None:
    if {b"schema_version", b"provenance"} <= (schema.metadata or {}).keys():
        raise UnreadableInputError(
            f"{name} is a snapshot already: use it as it is (picture-audit coverage {name})."
        )


def _records(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    for row in zip(*map(_cells, batch.columns), strict=True):
        yield dict(zip(batch.schema.names, row, strict=True))


def _cells(column: pa.Array) -> list[Any]:
    kind = column.type
    if pa.types.is_timestamp(kind):
        # Nanoseconds would be values of pandas; a zone may have a name that Python does not know.
        unit = "us" if kind.unit == "ns" else kind.unit
        column = column.cast(pa.timestamp(unit, kind.tz and "UTC"), safe=False)
    try:
        values = column.to_pylist()
    except (ValueError, OverflowError):
        values = [_cell(one) for one in column]
    return list(map(_plain, values))


def _cell(cell: pa.Scalar) -> object:
    """Return a cell of a column in which some cannot become values of Python."""
    if isinstance(cell, pa.DictionaryScalar):
        cell = cell.dictionary[cell.index.as_py()] if cell.is_valid else cell
    try:
        return cell.as_py()
    except UnicodeDecodeError:
        if hasattr(cell, "as_buffer"):
            return cell.as_buffer().to_pybytes()
    except (ValueError, OverflowError):
        pass
    return f"{getattr(cell, 'value', 'unreadable')} ({cell.type})"


def _plain(value: Any) -> Any:  # noqa: ANN401, PLR0911 - any value of Arrow, one result for each type
    """Return a value as JSON has it, but for times."""
    match value:
        case bytes():
            return value.decode("utf-8", "backslashreplace")
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case UUID():
            return str(value)
        case dict():
            return {key: _plain(one) for key, one in value.items()}
        case [tuple(), *_]:  # a map
            return {str(_plain(key)): _plain(one) for key, one in value}
        case list():
            return list(map(_plain, value))
    return value


# Workbooks


def _workbook(
    file: BinaryIO, name: str, names: FieldNames, told: list[str]
) -> Iterator[dict[str, Any]]:
    left: list[tuple[int, str, int]] = []  # what is known of sheets in which something lacks
    found = False
    try:
        _ensure_readable(file, name)
        book = CalamineWorkbook.from_filelike(file)
        sheets = [one.name for one in book.sheets_metadata if one.typ == SheetTypeEnum.WorkSheet]
        for one in sheets:
            sheet = book.get_sheet_by_name(one)
            known, place = _titles(sheet, names)
            if known == len(_NEEDED):
                found = True
                yield from _sheet(sheet, place)
            elif sheet.height:
                left.append((known, one, place))
        if left and not found:
            # Whoever takes the records says what lacks.
            _, one, place = max(left, key=lambda sheet: sheet[0])
            yield from _sheet(book.get_sheet_by_name(one), place)
            return
    except (CalamineError, *_ZIP_DAMAGE) as error:
        raise UnreadableInputError(
            f"{name} is damaged, or is no workbook: save it again, or save the sheet as CSV."
        ) from error
    if left:
        listed = some_of([one for _, one, _ in left])
        told.append(f"{name}: sheets without user ids and pictures were not read: {listed}.")


def _ensure_readable(file: BinaryIO, name: str) -> None:
    """Raise an error for a workbook that is damaged, too large or of another format.

    For damaged ones the library may run forever, and large ones fill the memory.
    """
    large, unpacked = file.seek(0, 2) > LARGEST_WORKBOOK, 0
    file.seek(0)
    if file.read(len(_OLD_WORKBOOK)) == _OLD_WORKBOOK:
        raise UnreadableInputError(_OTHER_WORKBOOK.format(name))
    with ZipFile(file) as content:
        parts = [] if large else content.namelist()
        if _BINARY_WORKBOOK in parts:
            raise UnreadableInputError(_OTHER_WORKBOOK.format(name))
        for one in parts:
            columns, last, rest, parser = {b""}, 0, b"", expat.ParserCreate()
            with content.open(one) as part:
                while not large and (block := part.read(_BUFFER)):
                    if one.endswith(".xml"):
                        parser.Parse(block)
                    places = _PLACE.findall(rest + block)
                    columns.update(column for column, _ in places)
                    last = max(last, *(int(row) for _, row in places), 0)
                    rest, unpacked = block[-_LONGEST_PLACE:], unpacked + len(block)
                    large = unpacked > _UNPACKED or _width(columns) * last > _MOST_CELLS
            if one.endswith(".xml") and not large:
                parser.Parse(b"", True)
    file.seek(0)
    if large:
        raise UnreadableInputError(
            f"{name} is too large for a workbook (50 MB, 50 million cells): save the sheet with "
            "the users as CSV (UTF-8), and name that."
        )


def _width(columns: Iterable[bytes]) -> int:
    """Return how many columns a sheet has, from names such as `A` and `AB`."""
    last = max(columns, key=lambda one: (len(one), one))
    width = 0
    for letter in last:
        width = width * 26 + letter - ord("A") + 1
    return width


def _titles(sheet: CalamineSheet, names: FieldNames) -> tuple[int, int]:
    """Find the row of column names: how many of `_NEEDED` it has, and its number from 0.

    If no row has any, it is the first row that is not blank.
    """
    best = -1, 0
    for number, cells in enumerate(islice(sheet.iter_rows(), _SEARCHED)):
        if any(titles := _named(cells)):
            known = len(_NEEDED.intersection(FieldNames(names.given).titles(titles)))
            best = (known, number) if known > best[0] else best
    return best


def _named(cells: Sequence[Any]) -> list[str]:
    return [str(one).removeprefix("'").strip() for one in cells]


def _sheet(sheet: CalamineSheet, place: int) -> Iterator[dict[str, Any]]:
    """Yield the records below the row of column names."""
    rows = _filled(sheet, place)
    titles = _named(next(rows))
    for cells in rows:
        row = {title: one for title, one in zip(titles, _values(cells), strict=True) if title}
        if any(one is not None for one in row.values()):
            yield row


def _filled(sheet: CalamineSheet, place: int) -> Iterator[list[Any]]:
    """Yield the rows from a place on; below it, merged cells all have the value of the first."""
    begin: dict[int, list[tuple[int, int, int]]] = {}
    for (top, left), (bottom, right) in sheet.merged_cell_ranges or ():
        begin.setdefault(top, []).append((bottom, left, right))
    merged: list[tuple[int, int, int, Any]] = []
    for number, cells in enumerate(islice(sheet.iter_rows(), place, None), place):
        if number > place:
            merged = [one for one in merged if one[0] >= number]
            merged += [(*one, cells[one[1]]) for one in begin.get(number, ())]
            for _, left, right, value in merged:
                cells[left : right + 1] = [value] * len(cells[left : right + 1])
        yield cells


def _values(cells: Sequence[Any]) -> list[Any]:
    """Return the cells of a row as JSON has them, but for times; None for an empty one."""
    texts = [one for one in cells if isinstance(one, str) and one]
    # A CSV of Auth0, opened and saved: it has a quote before each text.
    quoted = bool(texts) and all(one.startswith("'") for one in texts)
    return [
        _value(one.removeprefix("'") if quoted and isinstance(one, str) else one) for one in cells
    ]


def _value(cell: Any) -> Any:  # noqa: ANN401 - any value of a workbook
    if isinstance(cell, float) and cell.is_integer():  # Excel has no whole numbers
        return int(cell)
    if isinstance(cell, time | timedelta):
        return str(cell)
    return None if cell == "" else cell
