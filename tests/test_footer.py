from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from toolkit.audit import audit, profiles
from toolkit.errors import UnreadableInputError
from toolkit.footer import join
from toolkit.sandbox.people import people
from toolkit.snapshot import Provenance, Snapshot, read_snapshot, writing
from toolkit.user import user

FRAME = audit(profiles(user(person.record) for person in people(300)))
TOLD = Provenance(
    tenant="tenant.example",
    taken_at=datetime(2026, 11, 1, tzinfo=UTC),
    method="ingest",
    complete=True,
    users=300,
    windows=1,
    requests=0,
    seconds=1.0,
    sandbox=False,
    toolkit_version="0",
)


def joined(head, parts):
    out = BytesIO()
    join(head, parts, out)
    return out.getvalue()


@pytest.fixture
def head(tmp_path):
    with writing(tmp_path / "head") as writer:
        writer.finish(replace(TOLD, notes=("put together",)))
    return tmp_path / "head"


def test_parts_put_end_to_end_are_one_snapshot(head, tmp_path):
    parts = []
    for begin, end in ((0, 100), (100, 100), (100, 101), (101, 300)):
        parts.append(tmp_path / str(begin + end))
        with writing(parts[-1]) as writer:
            for row in range(begin, end, 30):  # several row groups in one part
                writer.add(FRAME.iloc[row : min(row + 30, end)])
            writer.finish(TOLD)
    (tmp_path / "s.parquet").write_bytes(joined(head, parts))
    snapshot = read_snapshot(tmp_path / "s.parquet")
    assert snapshot.provenance.notes == ("put together",)
    pd.testing.assert_frame_equal(snapshot.users, FRAME)
    found = duckdb.sql(f"SELECT count(*), count(picture) FROM '{snapshot.path}'").fetchall()
    assert found == [(300, FRAME["picture"].count())]


def test_any_parquet_file_can_be_a_part(tmp_path):
    table = pa.table(
        {
            "a": pa.array([1, None, 3]),
            "b": pa.array([[True], [], None]),
            "c": pa.array([{"d": 1.5}, None, {"d": None}]),
            "e": pa.array([b"\0", b"", None]),
        }
        | {f"column {number}": [number] * 3 for number in range(20)}
    )
    options = {"write_page_index": True, "write_page_checksum": True, "store_schema": False}
    pq.write_table(table, tmp_path / "part", row_group_size=2, **options)
    pq.write_table(table[:0], tmp_path / "head", **options)
    data = joined(tmp_path / "head", [tmp_path / "part"] * 20)
    assert pq.read_table(BytesIO(data)).equals(pa.concat_tables([table] * 20))


def test_no_parts_are_nobody(head):
    assert pq.read_table(BytesIO(joined(head, []))).num_rows == 0


def test_what_does_not_fit_together_is_said(head, tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other")
    with pytest.raises(UnreadableInputError, match="has other columns than"):
        joined(head, [tmp_path / "other"])
    Snapshot(TOLD, FRAME).write(tmp_path / "part")
    whole = (tmp_path / "part").read_bytes()
    for damaged in (b"", b"PAR1", whole[:-9], whole[8:][-100:]):
        (tmp_path / "part").write_bytes(damaged)
        with pytest.raises(UnreadableInputError, match="is not a whole Parquet file"):
            joined(head, [tmp_path / "part"])
