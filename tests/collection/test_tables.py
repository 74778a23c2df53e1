"""Parquet, Arrow and workbooks become records: every type of column, damage, odd sheets."""

import io
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zipfile import ZIP_DEFLATED, ZipFile

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xlsxwriter

from tests.snapshots.test_query import provenance
from toolkit.classification.schema import SNAPSHOT, to_frame
from toolkit.classification.user_profile import user
from toolkit.collection.exports import tables
from toolkit.collection.exports.field_names import FieldNames
from toolkit.collection.exports.tables import is_table, is_workbook, table_records
from toolkit.errors import UnreadableInputError
from toolkit.snapshots.snapshot import Snapshot

MOMENT = datetime(2024, 3, 1, 12, 30, 5, 123000, tzinfo=UTC)
PICTURE = "https://images.example/{}.png"


def made_up(count: int) -> pa.Table:
    """Return made-up users, a row each, with nested identities."""
    numbers = range(count)
    return pa.table(
        {
            "user_id": [f"auth0|{n:05d}" for n in numbers],
            "picture": [PICTURE.format(n) for n in numbers],
            "last_login": [MOMENT + timedelta(days=n % 99) for n in numbers],
            "identities": [
                [{"provider": "auth0", "connection": f"pw-{n % 3}", "isSocial": False}]
                for n in numbers
            ],
        }
    )


def parquet(table: pa.Table, **how: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file, **how)
    return file.getvalue()


def arrow_file(table: pa.Table, rows: int = 1000, **how: Any) -> bytes:
    file = io.BytesIO()
    with pa.ipc.new_file(file, table.schema, **how) as writer:
        writer.write_table(table, rows)
    return file.getvalue()


def arrow_stream(table: pa.Table, rows: int = 1000) -> bytes:
    file = io.BytesIO()
    with pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, rows)
    return file.getvalue()


WRITERS = {"parquet": parquet, "arrow file": arrow_file, "arrow stream": arrow_stream}


def read(data: bytes, **more: Any) -> list[dict[str, Any]]:
    return list(table_records(io.BytesIO(data), "users", **more))


def read_until_damage(data: bytes) -> tuple[list[dict[str, Any]], str]:
    records: list[dict[str, Any]] = []
    with pytest.raises(UnreadableInputError) as caught:
        records.extend(table_records(io.BytesIO(data), "users"))
    return records, str(caught.value)


# Parquet and Arrow


@pytest.mark.parametrize("kind", WRITERS)
def test_each_row_is_a_record_whatever_the_size_of_the_batches(kind):
    table = made_up(4_500)
    data = WRITERS[kind](table)
    assert is_table(data[:16])
    assert read(data) == table.to_pylist()


def test_a_compressed_arrow_file_is_read():
    table = made_up(10)
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    assert read(arrow_file(table, options=options)) == table.to_pylist()


COLUMNS = {
    "large text": (pa.array(["a|1", None], pa.large_string()), ["a|1", None]),
    "a view of text": (pa.array(["a|1", None], pa.string_view()), ["a|1", None]),
    "a dictionary": (pa.array(["a|1", None]).dictionary_encode(), ["a|1", None]),
    "bytes of text": (pa.array(["é".encode(), b"\xff"], pa.binary()), ["é", "\\xff"]),
    "whole decimals": (pa.array([Decimal(12), None], pa.decimal128(38, 0)), [12, None]),
    "decimals": (pa.array([Decimal("1.5"), None], pa.decimal128(9, 2)), [1.5, None]),
    "days": (pa.array([date(2024, 3, 1), None]), [date(2024, 3, 1), None]),
    "times without a zone": (
        pa.array([MOMENT.replace(tzinfo=None), None], pa.timestamp("ms")),
        [MOMENT.replace(tzinfo=None), None],
    ),
    "nanoseconds": (
        pa.array([1_709_296_205_123_000_789, None], pa.timestamp("ns", "UTC")),
        [MOMENT, None],
    ),
    "a zone nobody knows": (
        pa.array([MOMENT, None], pa.timestamp("us", "Nowhere/City")),
        [MOMENT, None],
    ),
    "another zone": (
        pa.array([MOMENT.astimezone(timezone(timedelta(hours=2))), None]),
        [MOMENT, None],
    ),
    "a time after all calendars": (
        pa.array([10**15, None], pa.timestamp("ms")),
        ["1000000000000000 (timestamp[ms])", None],
    ),
    "a map": (
        pa.array([[("picture", "x"), ("picture", "y")], []], pa.map_(pa.string(), pa.string())),
        [{"picture": "y"}, []],
    ),
    "a map of bytes": (
        pa.array([[(b"picture", b"x")], None], pa.map_(pa.binary(), pa.binary())),
        [{"picture": "x"}, None],
    ),
    "lists of objects": (
        pa.array([[{"provider": b"auth0"}, {"provider": None}], None]),
        [[{"provider": "auth0"}, {"provider": None}], None],
    ),
    "an object with a time after all calendars": (
        pa.array([{"at": 10**15}, None], pa.struct([("at", pa.timestamp("ms"))])),
        ["unreadable (struct<at: timestamp[ms]>)", None],
    ),
    "nothing": (pa.nulls(2), [None, None]),
    "truths": (pa.array([True, None]), [True, None]),
    "identifiers": (pa.array([UUID(int=7).bytes, None], pa.uuid()), [str(UUID(int=7)), None]),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_column_becomes_what_json_has_and_times(kind):
    column, values = COLUMNS[kind]
    table = pa.table({"user_id": ["a|1", "a|2"], "value": column})
    read_back = {name: write(table) for name, write in WRITERS.items()}
    for name, data in read_back.items():
        assert [one["value"] for one in read(data)] == values, name


def not_text(*values: bytes) -> pa.Array:
    """Return a column of text with bytes that are not UTF-8, as a careless writer makes it."""
    column = pa.array(values, pa.binary())
    return pa.Array.from_buffers(pa.string(), len(values), column.buffers())


@pytest.mark.parametrize("encoded", [True, False])
def test_text_in_parquet_that_is_not_utf_8_loses_no_user(encoded):
    column = not_text(b"auth0|\xe9", b"auth0|\xe8", b"auth0|1")
    table = pa.table({"user_id": column.dictionary_encode() if encoded else column})
    names = [one["user_id"] for one in read(parquet(table))]
    assert names == ["auth0|\\xe9", "auth0|\\xe8", "auth0|1"]


def test_what_pandas_writes_with_the_id_as_index_has_the_id():
    frame = pd.DataFrame({"user_id": ["a|1"], "logins_count": [5.0], "last_login": [MOMENT]})
    file = io.BytesIO()
    frame.set_index("user_id").to_parquet(file)
    (record,) = read(file.getvalue())
    found = user(record)
    assert (found.user_id, found.logins_count, found.last_login) == ("a|1", 5, MOMENT)


@pytest.mark.parametrize("kind", ["arrow file", "arrow stream"])
def test_rows_before_the_end_of_a_cut_arrow_file_are_kept(kind):
    table = made_up(4_000)
    data = WRITERS[kind](table)
    records, told = read_until_damage(data[: len(data) // 2])
    assert 0 < len(records) < 4_000
    assert records == table.to_pylist()[: len(records)]
    assert told == f"users is damaged after row {len(records):,}: copy or export it again."


def test_rows_before_a_damaged_page_of_parquet_are_kept():
    table = made_up(20_000)
    whole = parquet(table, row_group_size=5_000, compression="zstd", write_page_checksum=True)
    place = pq.ParquetFile(io.BytesIO(whole)).metadata.row_group(2).column(0).data_page_offset
    data = bytearray(whole)
    data[place : place + 400] = b"\xee" * 400
    records, told = read_until_damage(bytes(data))
    assert records == table.to_pylist()[:10_000]
    assert "damaged after row 10,000" in told


@pytest.mark.parametrize(
    "data",
    [b"PAR1", b"PAR1" * 9, parquet(made_up(9))[:-9], b"ARROW1", b"ARROW1\0\0" * 9, b"\xff" * 40],
)
def test_a_file_that_is_cut_at_once_is_one_line(data):
    assert read_until_damage(data) == (
        [],
        "users is damaged after row 0: copy or export it again.",
    )


def test_arrow_data_that_points_outside_of_it_is_damage():
    data = bytearray(arrow_stream(pa.table({"user_id": ["abcd", "efgh"]})))
    place = data.index(b"\0\0\0\0\4\0\0\0\x08\0\0\0")
    data[place + 8 : place + 12] = b"\xff\xff\xff\x7f"
    assert "damaged after row 0" in read_until_damage(bytes(data))[1]


def test_a_snapshot_is_refused_because_it_is_one_already(tmp_path):
    path = tmp_path / "snapshot.parquet"
    Snapshot(provenance(0), to_frame(SNAPSHOT.empty_table())).write(path)
    data = path.read_bytes()
    metadata = pq.read_schema(path).metadata
    table = made_up(3).replace_schema_metadata(metadata)
    for copy in (data, arrow_file(table), arrow_stream(table)):
        with pytest.raises(UnreadableInputError, match="users is a snapshot already: use it as"):
            read(copy)


# Workbooks


def workbook(*sheets: Sequence[Sequence[Any]], **names: Sequence[Sequence[Any]]) -> bytes:
    """Return a workbook (xlsx) of sheets of cells; None is an empty cell."""
    file = io.BytesIO()
    with xlsxwriter.Workbook(file, {"in_memory": True, "strings_to_urls": False}) as book:
        moment = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        day = book.add_format({"num_format": "yyyy-mm-dd"})
        span = book.add_format({"num_format": "[h]:mm"})
        for name, rows in {**{f"Sheet{n}": s for n, s in enumerate(sheets, 1)}, **names}.items():
            sheet = book.add_worksheet(name)
            for place, row in enumerate(rows):
                for column, cell in enumerate(row):
                    if isinstance(cell, datetime):
                        sheet.write_datetime(place, column, cell, moment)
                    elif isinstance(cell, date):
                        sheet.write_datetime(place, column, cell, day)
                    elif isinstance(cell, timedelta):
                        sheet.write_datetime(place, column, cell, span)
                    elif cell is not None:
                        sheet.write(place, column, cell)
    return file.getvalue()


TITLES = ["user_id", "picture", "logins_count"]


def test_the_rows_of_a_sheet_are_records_with_excels_dates_as_times():
    at = MOMENT.replace(tzinfo=None)
    rows = [
        ["user_id", "picture", "last_login", "created_at", "logins_count", "score", "ok", "took"],
        ["a|1", "p", at, date(2024, 3, 1), 5, 1.5, True, timedelta(hours=30)],
    ]
    data = workbook(rows)
    assert is_workbook(io.BytesIO(data))
    (record,) = read(data)
    assert record == {
        "user_id": "a|1",
        "picture": "p",
        "last_login": at,
        "created_at": date(2024, 3, 1),
        "logins_count": 5,
        "score": 1.5,
        "ok": True,
        "took": "1 day, 6:00:00",
    }
    assert user(record).last_login == at.replace(tzinfo=UTC)


def test_lines_above_the_column_names_blank_rows_and_columns_without_a_name_are_skipped():
    rows = [
        [],
        ["Users of the shop, March"],
        [None, "made by", "somebody"],
        [],
        [None, " user_id ", None, "picture"],
        [None, "a|1", "a remark", "p"],
        [],
        ["a remark alone"],
        [None, "a|2", None, None],
    ]
    assert read(workbook(rows)) == [
        {"user_id": "a|1", "picture": "p"},
        {"user_id": "a|2", "picture": None},
    ]


def test_a_merged_cell_counts_for_all_of_its_rows_and_columns():
    file = io.BytesIO()
    with xlsxwriter.Workbook(file, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        sheet.merge_range(0, 0, 0, 3, "A title over everything")
        sheet.write_row(1, 0, ["user_id", "picture", "connection", "group"])
        for place in range(2, 6):
            sheet.write_row(place, 0, [f"a|{place}", "p"])
        sheet.merge_range(2, 2, 3, 3, "pw")
        sheet.merge_range(4, 2, 4, 3, "google")
    found = [(one["connection"], one["group"]) for one in read(file.getvalue())]
    assert found == [("pw", "pw"), ("pw", "pw"), ("google", "google"), (None, None)]


def test_every_sheet_with_users_is_read_and_the_others_are_named():
    told: list[str] = []
    data = workbook(
        Legend=[["colour", "meaning"], ["red", "gone"]],
        One=[TITLES, ["a|1", "p", 1]],
        Empty=[],
        Clients=[["user_id", "name"], ["c1", "x"]],
        Two=[["a title"], TITLES, ["a|2", "p", 2]],
    )
    assert [one["user_id"] for one in read(data, told=told)] == ["a|1", "a|2"]
    assert told == ["users: sheets without user ids and pictures were not read: Legend, Clients."]


def test_without_a_sheet_of_users_the_likeliest_shows_what_lacks():
    legend, ids = [["colour"], ["red"]], [["a title"], ["user_id", "name"], ["a|1", "x"]]
    assert read(workbook(Legend=legend, Ids=ids)) == [{"user_id": "a|1", "name": "x"}]
    assert read(workbook([], Legend=legend)) == [{"colour": "red"}]
    assert read(workbook([])) == []


def test_the_names_that_were_given_find_the_row_of_column_names(monkeypatch):
    class Mapped(FieldNames):
        def titles(self, titles: Sequence[str]) -> list[str]:
            back = {column: name for name, column in self.given.items()}
            return [back.get(one, one) for one in titles]

    rows = [["title"], ["Kennung", "Bild"], ["a|1", "p"]]
    names = FieldNames({"user_id": "Kennung", "picture": "Bild"})
    monkeypatch.setattr(tables, "FieldNames", Mapped)
    assert read(workbook(rows), names=names) == [{"Kennung": "a|1", "Bild": "p"}]


def test_the_quotes_of_auth0s_csv_are_taken_off_where_all_texts_of_a_row_have_one():
    rows = [
        ["'user_id", "'picture", "logins_count", "'name"],
        ["'a|1", "'p", 3, "''s Hertog"],
        ["a|2", "p", 3, "'s Hertog"],
    ]
    assert read(workbook(rows)) == [
        {"user_id": "a|1", "picture": "p", "logins_count": 3, "name": "'s Hertog"},
        {"user_id": "a|2", "picture": "p", "logins_count": 3, "name": "'s Hertog"},
    ]


SPACES = "urn:oasis:names:tc:opendocument:xmlns"
CELL = '<table:table-cell office:value-type="string"><text:p>{}</text:p></table:table-cell>'


def open_document(rows: Sequence[Sequence[str]]) -> bytes:
    cells = "".join(
        f"<table:table-row>{''.join(map(CELL.format, row))}</table:table-row>" for row in rows
    )
    spaces = " ".join(f'xmlns:{one}="{SPACES}:{one}:1.0"' for one in ("office", "table", "text"))
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    file = io.BytesIO()
    with ZipFile(file, "w") as content:
        content.writestr("mimetype", kind)
        content.writestr(
            "META-INF/manifest.xml",
            f'<m:manifest xmlns:m="{SPACES}:manifest:1.0">'
            f'<m:file-entry m:full-path="/" m:media-type="{kind}"/></m:manifest>',
        )
        content.writestr(
            "content.xml",
            f"<office:document-content {spaces}><office:body><office:spreadsheet>"
            f'<table:table table:name="Users">{cells}</table:table>'
            "</office:spreadsheet></office:body></office:document-content>",
        )
    return file.getvalue()


def test_an_open_document_sheet_is_read():
    data = open_document([TITLES, ["a|1", "p", "5"]])
    assert is_workbook(io.BytesIO(data))
    assert read(data) == [{"user_id": "a|1", "picture": "p", "logins_count": "5"}]


def zipped(**parts: bytes) -> bytes:
    file = io.BytesIO()
    with ZipFile(file, "w", ZIP_DEFLATED) as content:
        for name, part in parts.items():
            content.writestr(name, part)
    return file.getvalue()


@pytest.mark.parametrize("data", [b"", b"PK\3\4", zipped(users=b"{}"), parquet(made_up(1))])
def test_other_files_are_no_workbook(data):
    assert not is_workbook(io.BytesIO(data))


def edited(data: bytes, part: str, old: bytes, new: bytes) -> bytes:
    """Return a workbook in which a text of one part is another."""
    file = io.BytesIO()
    with ZipFile(io.BytesIO(data)) as before, ZipFile(file, "w", ZIP_DEFLATED) as after:
        for one in before.namelist():
            content = before.read(one)
            if one == part:
                assert old in content
                content = content.replace(old, new)
            after.writestr(one, content)
    return file.getvalue()


SHEET = "xl/worksheets/sheet1.xml"


def damaged() -> Iterator[tuple[str, bytes]]:
    good = workbook([TITLES, ["a|1", "p", 5]])
    yield "cut", good[:-200]
    yield "an open tag", edited(good, SHEET, b"</sheetData>", b"<sheetData")
    yield "a text is gone", edited(good, SHEET, b"<v>3</v>", b"<v>99</v>")
    yield "a zip of something else", zipped(users=b"{}")
    yield "no file at all", b""


DAMAGED = dict(damaged())


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_workbook_is_one_line(name):
    records, told = read_until_damage(DAMAGED[name])
    assert records == []
    assert told == "users is damaged, or is no workbook: save it again, or save the sheet as CSV."


def test_a_workbook_that_would_fill_the_memory_is_refused(monkeypatch):
    good = workbook([TITLES, ["a|1", "p", 5]])
    far = edited(good, SHEET, b'r="C2"', b'r="XFD1048576"')
    for data in (far, edited(good, SHEET, b'r="C2"', b"r='XFD1048576'")):
        assert "is too large for a workbook" in read_until_damage(data)[1]
    monkeypatch.setattr(tables, "_UNPACKED", 1_000)
    assert "is too large for a workbook" in read_until_damage(good)[1]
    monkeypatch.undo()
    monkeypatch.setattr(tables, "LARGEST_WORKBOOK", 1_000)
    assert "is too large for a workbook" in read_until_damage(good)[1]


@pytest.mark.parametrize(
    "data", [tables._OLD_WORKBOOK + bytes(2000), zipped(**{"xl/workbook.bin": b""})]
)
def test_workbooks_of_other_formats_are_refused_by_name(data):
    assert is_table(data) or is_workbook(io.BytesIO(data))
    assert "is a workbook of another format (xls, xlsb), or has" in read_until_damage(data)[1]


def test_an_open_document_that_ends_too_early_is_damage_and_not_an_endless_loop():
    data = open_document([TITLES, ["a|1", "p", "5"]])
    cut = edited(data, "content.xml", b"</office:spreadsheet></office:body>", b"")
    assert "is damaged, or is no workbook" in read_until_damage(cut)[1]


@pytest.mark.parametrize(("name", "width"), [(b"", 0), (b"A", 1), (b"Z", 26), (b"XFD", 16384)])
def test_the_width_of_a_sheet_is_told_by_its_last_column(name, width):
    assert tables._width({b"", name}) == width
