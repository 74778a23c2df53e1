import json
import stat
from dataclasses import replace
from datetime import UTC, datetime

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from toolkit.classification.frames import audit, profiles
from toolkit.classification.user_profile import user
from toolkit.errors import OutputError, UnreadableInputError
from toolkit.snapshots.snapshot import Provenance, Snapshot, read_snapshot

RECORDS = [
    {
        "user_id": "auth0|1",
        "email": "bo@example.com",
        "created_at": "2024-01-02T03:04:05.678Z",
        "logins_count": 3,
        "identities": [{"provider": "auth0", "connection": "db"}],
    },
    {"user_id": "google-oauth2|2", "picture": "https://lh3.googleusercontent.com/a/x=s96-c"},
]


@pytest.fixture
def snapshot():
    provenance = Provenance(
        tenant="tenant.example",
        taken_at=datetime(2026, 11, 20, tzinfo=UTC),
        method="search",
        complete=True,
        users=2,
        windows=1,
        requests=2,
        seconds=0.5,
        sandbox=False,
        toolkit_version="0.1.0",
    )
    return Snapshot(provenance, audit(profiles(map(user, RECORDS))))


def test_what_is_written_is_read_back(snapshot, tmp_path):
    snapshot.write(tmp_path / "new" / "snapshot.parquet")
    again = read_snapshot(tmp_path / "new" / "snapshot.parquet")
    pd.testing.assert_frame_equal(again.users[snapshot.users.columns], snapshot.users)
    assert again.provenance == snapshot.provenance


def test_only_its_owner_may_read_it(snapshot, tmp_path):
    snapshot.write(tmp_path / "s.parquet")
    assert stat.S_IMODE((tmp_path / "s.parquet").stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no parquet at all", None])
def test_what_is_no_snapshot_is_said_to_be_none(tmp_path, content):
    path = tmp_path / "s.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnreadableInputError, match=r"s\.parquet"):
        read_snapshot(path)


def test_a_snapshot_with_a_column_of_another_type_is_none(snapshot, tmp_path):
    path = tmp_path / "s.parquet"
    snapshot.write(path)
    table = pq.read_table(path)
    where = table.schema.get_field_index("logins_count")
    odd = table.set_column(where, "logins_count", table["logins_count"].cast(pa.string()))
    pq.write_table(odd.replace_schema_metadata(pq.read_schema(path).metadata), path)
    with pytest.raises(UnreadableInputError, match="not a snapshot"):
        read_snapshot(path)


def test_another_parquet_file_is_no_snapshot(tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(UnreadableInputError, match="not a snapshot"):
        read_snapshot(tmp_path / "other.parquet")


def test_a_later_version_is_refused(snapshot, tmp_path):
    snapshot.write(tmp_path / "s.parquet")
    table = pq.read_table(tmp_path / "s.parquet")
    later = table.replace_schema_metadata(table.schema.metadata | {b"schema_version": b"2"})
    pq.write_table(later, tmp_path / "s.parquet")
    with pytest.raises(UnreadableInputError, match="later version"):
        read_snapshot(tmp_path / "s.parquet")


@pytest.mark.parametrize(
    "taken_at", ["0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59+00:00", "2026-11-01T00:00:00"]
)
def test_a_time_that_nobody_can_reckon_with_makes_it_unreadable(snapshot, tmp_path, taken_at):
    snapshot.write(tmp_path / "s.parquet")
    table = pq.read_table(tmp_path / "s.parquet")
    facts = json.loads(table.schema.metadata[b"provenance"]) | {"taken_at": taken_at}
    told = table.schema.metadata | {b"provenance": json.dumps(facts).encode()}
    pq.write_table(table.replace_schema_metadata(told), tmp_path / "s.parquet")
    with pytest.raises(UnreadableInputError, match=r"s\.parquet"):
        read_snapshot(tmp_path / "s.parquet")


def test_the_summary_is_what_coverage_json_promises(snapshot):
    summary = json.loads(json.dumps(snapshot.summary()))
    assert {"tenant", "taken_at", "users", "complete", "sources"} <= summary.keys()
    assert summary["sources"]["social"] == {"users": 1, "share": 0.5}
    assert sum(one["users"] for one in summary["sources"].values()) == summary["users"] == 2
    assert snapshot.summary("connection")["groups"]["db"]["users"] == 1


def of(snapshot, **changes):
    return Snapshot(replace(snapshot.provenance, **changes), snapshot.users)


def test_a_snapshot_takes_the_place_of_its_own_tenants(snapshot, tmp_path):
    path = tmp_path / "s.parquet"
    snapshot.write(path)
    of(snapshot, tenant="Tenant.Example", windows=7).write(path)
    assert read_snapshot(path).provenance.windows == 7


def test_another_tenants_snapshot_is_replaced_only_if_it_is_said(snapshot, tmp_path):
    path = tmp_path / "s.parquet"
    snapshot.write(path)
    kept = path.read_bytes()
    for other in (
        of(snapshot, tenant="other.example"),
        of(snapshot, tenant="127.0.0.1:8080", sandbox=True),
        of(snapshot, tenant="127.0.0.1:8080", sandbox=True, seed=1),
    ):
        with pytest.raises(OutputError, match=r"another tenant, tenant\.example.*--force"):
            other.write(path)
        assert path.read_bytes() == kept
        assert list(tmp_path.iterdir()) == [path]
        other.write(path, force=True)
        assert read_snapshot(path).provenance.tenant == other.provenance.tenant
        path.write_bytes(kept)


def test_one_of_a_later_version_is_another_tenants_all_the_same(snapshot, tmp_path):
    path = tmp_path / "s.parquet"
    snapshot.write(path)
    table = pq.read_table(path)
    later = table.replace_schema_metadata(table.schema.metadata | {b"schema_version": b"9"})
    pq.write_table(later, path)
    with pytest.raises(OutputError, match="another tenant"):
        of(snapshot, tenant="other.example").write(path)


def test_made_up_people_take_the_place_of_made_up_people(snapshot, tmp_path):
    path = tmp_path / "s.parquet"
    of(snapshot, tenant="127.0.0.1:1", sandbox=True, seed=1).write(path)
    of(snapshot, tenant="127.0.0.1:2", sandbox=True, seed=2).write(path)
    assert read_snapshot(path).provenance.seed == 2
    with pytest.raises(OutputError, match="another tenant"):
        snapshot.write(path)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no parquet at all"])
def test_what_is_no_snapshot_is_replaced(snapshot, tmp_path, content):
    path = tmp_path / "s.parquet"
    path.write_bytes(content)
    snapshot.write(path)
    assert len(read_snapshot(path)) == 2
