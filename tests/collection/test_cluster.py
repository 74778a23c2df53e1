import gzip
import json
import os
import signal
import sys
import threading
from contextlib import suppress
from itertools import count

import pandas as pd
import pytest
from dask.dataframe import from_pandas
from distributed import LocalCluster

from toolkit.analysis.groups import CHOICES
from toolkit.classification.frames import audit, profiles
from toolkit.classification.user_profile import user
from toolkit.collection.exports.cluster import _ingested, _parts_of, coverage_on, ingest_on
from toolkit.collection.exports.ingest_files import ingest
from toolkit.errors import IncompleteError, OutputError, SettingsError, UnreadableInputError
from toolkit.sandbox.made_up.tenants import loadable, people
from toolkit.snapshots.snapshot import read_snapshot

LINES = [json.dumps(loadable(person)).encode() + b"\n" for person in people(400)]


@pytest.fixture(scope="module")
def cluster():
    """Two worker processes, which are started again where they are lost."""
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0"
    ) as cluster:
        yield cluster


@pytest.fixture
def scheduler(cluster):
    return cluster.scheduler_address


@pytest.fixture
def exports(tmp_path):
    """Write lines into several files, some of them gzip."""

    def exports(*contents, name="export"):
        paths = []
        for number, lines in enumerate(contents):
            paths.append(tmp_path / f"{name}{number}" / "tenant.json")
            paths[-1].parent.mkdir()
            data = b"".join(lines)
            paths[-1].write_bytes(gzip.compress(data) if number % 2 else data)
        return paths

    return exports


def same(one, two):
    """Assert that two snapshots differ in nothing but the time they took."""
    first, second = one.provenance.as_dict(), two.provenance.as_dict()
    assert first | {"seconds": 0} == second | {"seconds": 0}
    pd.testing.assert_frame_equal(one.users, two.users)
    for by in CHOICES:
        assert one.coverage(by) == two.coverage(by)


def test_worker_processes_of_this_machine_give_what_it_gives_alone(exports, tmp_path):
    paths = exports(LINES[:150], LINES[150:160], LINES[160:])
    alone = ingest(paths, tmp_path / "alone.parquet")
    told = []
    ingest_on(paths, tmp_path / "out" / "s.parquet", show=told.append)
    same(alone, read_snapshot(tmp_path / "out" / "s.parquet"))
    assert [one.name for one in (tmp_path / "out").iterdir()] == ["s.parquet"]
    assert (tmp_path / "out" / "s.parquet").stat().st_mode & 0o777 == 0o600
    assert len(told) == 3
    assert told[-1].done == told[-1].total == sum(path.stat().st_size for path in paths)
    assert told[-1].note == "400 users"


def test_users_in_several_files_are_counted_once_as_on_one_machine(exports, tmp_path, scheduler):
    paths = exports(LINES[:200], LINES[100:300], LINES[:20] + LINES[250:])
    alone = ingest(paths, tmp_path / "alone.parquet")
    found = ingest_on(paths, tmp_path / "s.parquet", scheduler=scheduler)
    same(alone, found)
    assert found.provenance.users == 400
    assert "170 rows repeat" in found.provenance.notes[0]


def test_what_is_lost_and_what_contradicts_is_told_as_on_one_machine(
    exports, tmp_path, scheduler, monkeypatch
):
    changed = json.dumps(json.loads(LINES[0]) | {"picture": "https://a.example/b.png"}).encode()
    # Times that cannot be read, in both files
    odd = [json.dumps({"user_id": n, "created_at": "3/4/2024"}).encode() + b"\n" for n in "abc"]
    exports(
        [*LINES[:9], b"garbage\n", *odd[:2]],
        [changed, b"\n", changed, b"\n", *LINES[9:20], odd[2]],
    )
    monkeypatch.chdir(tmp_path)
    paths = ["export0/tenant.json", "export1/tenant.json"]
    with pytest.raises(IncompleteError) as alone:
        ingest(paths, "s.parquet")
    before = read_snapshot("s.parquet")
    users = before.users
    with pytest.raises(IncompleteError) as found:
        ingest_on(paths, "s.parquet", scheduler=scheduler)
    assert str(found.value).replace(str(tmp_path / "s"), "s") == str(alone.value)
    after = read_snapshot("s.parquet")
    assert before.provenance.notes == after.provenance.notes
    assert any(one.startswith("3 times of created_at") for one in after.provenance.notes)
    assert not after.provenance.complete
    pd.testing.assert_frame_equal(users, after.users)


def test_a_frame_of_dask_is_audited_as_a_frame_of_pandas():
    frame = profiles(user(json.loads(line)) for line in LINES)
    parts = from_pandas(frame, npartitions=3)
    audited = parts.map_partitions(audit, meta=audit(parts._meta)).compute(scheduler="sync")
    assert audited.astype("str").equals(audit(frame).astype("str"))


def test_a_lost_worker_is_survived(exports, tmp_path, scheduler, cluster):
    paths = exports(*(LINES[begin : begin + 40] for begin in range(0, 400, 40)))
    alone = ingest(paths, tmp_path / "alone.parquet")
    lost = []

    def kill(progress):
        if not lost:
            lost.append(next(iter(cluster.workers.values())).process.pid)
            os.kill(lost[0], signal.SIGKILL)

    same(alone, ingest_on(paths, tmp_path / "s.parquet", scheduler=scheduler, show=kill))
    assert lost


def test_what_the_caller_raises_ends_the_work_and_leaves_nothing(exports, tmp_path, scheduler):
    paths = exports(LINES[:200], LINES[200:])

    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest_on(paths, tmp_path / "out" / "s.parquet", scheduler=scheduler, show=stop)
    assert not list((tmp_path / "out").iterdir())


def test_parts_are_removed_even_while_a_worker_still_writes_some(tmp_path):
    begun = threading.Event()

    def write(folder):
        with suppress(FileNotFoundError):  # the folder is gone
            for number in count():
                (folder / str(number)).touch()
                begun.set()

    with _parts_of(tmp_path / "s.parquet") as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        worker = threading.Thread(target=write, args=(folder,))
        worker.start()
        assert begun.wait(60)
    worker.join(60)
    assert not worker.is_alive()
    assert not [*tmp_path.iterdir()]


def test_a_cluster_counts_what_one_machine_counts(exports, tmp_path, scheduler):
    ingest(exports(LINES), tmp_path / "s.parquet")
    snapshot = read_snapshot(tmp_path / "s.parquet")
    for by in ("source", "connection", "activity"):
        assert coverage_on(tmp_path / "s.parquet", by, scheduler=scheduler) == snapshot.coverage(by)
    with pytest.raises(SettingsError, match="cannot count by"):
        coverage_on(tmp_path / "s.parquet", "shoe size", scheduler=scheduler)


def test_a_scheduler_that_does_not_answer_is_said(exports, tmp_path, monkeypatch):
    monkeypatch.setattr("toolkit.collection.exports.cluster._PATIENCE", 0.2)
    paths = exports(LINES[:2])
    for address in ("tcp://127.0.0.1:9", "nonsense://x"):
        with pytest.raises(SettingsError, match="No Dask scheduler answers at"):
            ingest_on(paths, tmp_path / "s.parquet", scheduler=address)
    assert not (tmp_path / "s.parquet").exists()


def test_a_scheduler_without_workers_is_said(exports, tmp_path, monkeypatch):
    monkeypatch.setattr("toolkit.collection.exports.cluster._PATIENCE", 0.2)
    with (
        LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0") as empty,
        pytest.raises(SettingsError, match="has no workers: start some with `dask worker tcp://"),
    ):
        ingest_on(exports(LINES[:2]), tmp_path / "s.parquet", scheduler=empty.scheduler_address)


def test_other_versions_on_the_workers_are_said(exports, tmp_path, scheduler, monkeypatch):
    monkeypatch.setattr("toolkit.collection.exports.cluster.version", lambda name: "0.0.1")
    with pytest.raises(SettingsError, match=r"has auth0-picture-audit .*, and here is 0\.0\.1"):
        ingest_on(exports(LINES[:2]), tmp_path / "s.parquet", scheduler=scheduler)


def test_files_are_looked_at_before_any_worker_is_asked(exports, tmp_path):
    with pytest.raises(UnreadableInputError, match="holds no user"):
        ingest_on(exports([b"\n"]), tmp_path / "s.parquet", scheduler="tcp://127.0.0.1:9")
    paths = exports(LINES[:2], name="other")
    with pytest.raises(OutputError, match="it is one of the exports"):
        ingest_on(paths, paths[0], scheduler="tcp://127.0.0.1:9")


def test_without_a_place_the_snapshot_is_a_new_file(exports, tmp_path, scheduler, no_credentials):
    found = ingest_on(exports(LINES[:9]), scheduler=scheduler, tenant="acme")
    assert found.path.parent == tmp_path / "out" / "acme"
    assert len(found) == 9


def test_without_dask_it_says_how_to_get_it(exports, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    for call in (ingest_on, lambda paths, out: coverage_on(out)):
        with pytest.raises(SettingsError, match="uv sync --extra cluster, or pip install 'auth0"):
            call([tmp_path / "x"], tmp_path / "s.parquet")


def test_workers_that_do_not_see_the_folder_are_said(exports, tmp_path):
    path, *_ = exports(LINES[:2])
    with pytest.raises(OutputError, match="A worker cannot see"):
        _ingested(path, tmp_path / "gone" / "0.parquet")
    assert not (tmp_path / "gone").exists()
