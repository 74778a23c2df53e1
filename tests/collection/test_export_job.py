"""Exports: the job, the link, the file, and what is counted against it."""

import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from tests.conftest import settings_of
from toolkit import collect, read_snapshot
from toolkit.collection import export_job
from toolkit.errors import IncompleteError
from toolkit.sandbox.directory.store import Store
from toolkit.sandbox.made_up.tenants import loadable, people
from toolkit.sandbox.server import Sandbox
from toolkit.tenant.client import connect

RECORDS = [loadable(person) for person in people(1_500, seed=9)]
COMMAND = [sys.executable, "-c", "from toolkit.cli import main; main()", "collect"]
IDS = sorted(record["user_id"] for record in RECORDS)


@pytest.fixture(autouse=True)
def in_a_hurry(no_credentials, monkeypatch):
    monkeypatch.setattr(export_job, "_FIRST_WAIT", 0.02)
    monkeypatch.setattr(export_job, "_LONGEST_WAIT", 0.1)


@pytest.fixture
def sandbox():
    with Sandbox(RECORDS) as sandbox:
        yield sandbox


def test_an_export_finds_what_a_search_finds(sandbox, monkeypatch):
    # Polling the job often would send more requests than the search needs.
    monkeypatch.setattr(export_job, "_FIRST_WAIT", 0.5)
    with connect(settings_of(sandbox)) as tenant:
        exported, searched = (collect(tenant, method=name) for name in ("export", "search"))
    assert exported.users.sort_values("user_id", ignore_index=True).equals(searched.users)
    assert exported.provenance.complete
    assert exported.provenance.requests < searched.provenance.requests / 2
    assert sandbox.leaks == 0


def test_auto_takes_the_export_of_a_large_tenant_and_says_why(sandbox):
    with connect(settings_of(sandbox)) as tenant:
        snapshot = collect(tenant)
    assert snapshot.provenance.method == "export"
    assert "as Auth0 recommends" in snapshot.provenance.notes[0]


def test_auto_searches_a_small_tenant_and_says_why():
    with Sandbox(RECORDS[:900]) as sandbox, connect(settings_of(sandbox)) as tenant:
        snapshot = collect(tenant)
    assert snapshot.provenance.method == "search"
    assert "fewer than 1,000" in snapshot.provenance.notes[0]


def test_users_who_change_between_export_and_count_are_read_again(sandbox, tmp_path):
    gone, now = IDS[7], datetime.now(UTC).isoformat(timespec="milliseconds")
    fresh = {"user_id": "auth0|new", "created_at": now.replace("+00:00", "Z")}
    with connect(settings_of(sandbox)) as tenant:
        steps = collect.steps(tenant, out=tmp_path / "s.parquet", method="export")
        notes = []
        for progress in steps:
            if progress.note == "reading the export" and progress.note not in notes:
                sandbox.delete(gone)
                sandbox.create(fresh)
            notes.append(progress.note)
    found = sorted(read_snapshot(tmp_path / "s.parquet").users["user_id"])
    assert "reading the windows that differ" in notes
    assert found == sorted({*IDS, "auth0|new"} - {gone})


def test_a_job_that_takes_too_long_is_given_up_and_gone_on_with_later(tmp_path):
    with Sandbox(RECORDS, faults=["job-stalls"]) as sandbox:
        with connect(settings_of(sandbox)) as tenant:
            with pytest.raises(IncompleteError, match="within"):
                collect(tenant, out=tmp_path / "s.parquet", method="export", deadline=0.05)
            snapshot = collect(tenant, out=tmp_path / "s.parquet", method="export")
        assert len(snapshot) == len(IDS)
        created = [key for key in sandbox.requests.counts if key[0] == "POST" and "jobs" in key[1]]
        assert sum(sandbox.requests.counts[key] for key in created) == 1


def test_a_failed_job_is_said_and_another_method_is_free_to_begin(tmp_path):
    out = tmp_path / "s.parquet"
    with Sandbox(RECORDS, faults=["job-fails"]) as sandbox, connect(settings_of(sandbox)) as tenant:
        with pytest.raises(IncompleteError, match="failed"):
            collect(tenant, out=out, method="export")
        assert list(tmp_path.iterdir()) == []
        assert len(collect(tenant, out=out, method="search")) == len(IDS)


def test_a_file_of_somebodys_beside_the_snapshot_stays(sandbox, tmp_path):
    (tmp_path / "s.gz").write_text("mine")
    (tmp_path / "s.parquet.gz").write_text("mine")
    with connect(settings_of(sandbox)) as tenant:
        collect(tenant, out=tmp_path / "s.parquet", method="export")
    assert {path.name for path in tmp_path.iterdir()} == {"s.gz", "s.parquet.gz", "s.parquet"}
    assert (tmp_path / "s.parquet.gz").read_text() == "mine"


def test_the_link_shows_nowhere(sandbox, caplog):
    caplog.set_level("INFO")
    with connect(settings_of(sandbox)) as tenant:
        job = tenant.start_export()
        while job.location is None:
            job = tenant.export_job(job.id)
        collect(tenant, method="export")
    assert "Signature" in job.location
    assert "Signature" not in repr(job) + str(job) + caplog.text


def test_over_https_an_export_trusts_the_certificates_that_it_is_told_to(no_credentials, tmp_path):
    with Sandbox(RECORDS, tls=True) as sandbox:
        for trusted in (True, False):
            environment = sandbox.environment()
            if not trusted:
                del environment["SSL_CERT_FILE"]
            command = [*COMMAND, "--method", "export", "--out", str(tmp_path / "s.parquet")]
            ended = subprocess.run(
                command, env=os.environ | environment, capture_output=True, text=True, check=False
            )
            assert ended.returncode == (0 if trusted else 2), ended.stderr
        assert sandbox.leaks == 0
    assert "this computer does not trust" in ended.stderr


@pytest.mark.parametrize("method", ["export", "search"])
@pytest.mark.parametrize("created", ["2020-01-01T00:00:00.000Z", "now"])
def test_users_whose_ids_come_to_the_same_text_are_never_called_complete(tmp_path, method, created):
    if created == "now":
        created = datetime.now(UTC).isoformat(timespec="milliseconds")
    former = {"user_id": float("nan"), "created_at": "2019-05-05T00:00:00.000Z"}
    users = [*RECORDS[:300], former, {"user_id": "NaN", "created_at": created}]
    out = tmp_path / "s.parquet"
    with (
        Sandbox(users) as sandbox,
        connect(settings_of(sandbox)) as tenant,
        pytest.raises(IncompleteError) as raised,
    ):
        collect(tenant, out=out, method=method)
    assert "The tenant counts" in str(raised.value)
    assert "kept" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_whoever_stands_twice_in_an_export_is_read_again(sandbox, tmp_path, monkeypatch):
    whole = Store.records

    def twice(store):
        yield from whole(store)
        yield next(whole(store))

    monkeypatch.setattr(Store, "records", twice)
    with connect(settings_of(sandbox)) as tenant:
        snapshot = collect(tenant, method="export")
    assert sorted(snapshot.users["user_id"]) == IDS
