"""Where a collection goes that nobody named a file for."""

import json
import os
import re
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.conftest import settings_of
from toolkit import collect, latest_snapshot
from toolkit.collection.place import folder_name, latest_file, placed, state_path, unfinished_file
from toolkit.errors import OutputError, SettingsError, UnreadableInputError
from toolkit.sandbox.made_up.tenants import loadable, people
from toolkit.sandbox.server import Sandbox
from toolkit.tenant.client import connect

TENANT = "tenant.eu.auth0.com"
NAME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{4}(-\d+)?\.parquet")


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(map(loadable, people(1500, seed=3))) as sandbox:
        yield sandbox


@pytest.fixture
def tenant(sandbox, no_credentials):
    with connect(settings_of(sandbox)) as tenant:
        yield tenant


@pytest.mark.parametrize(
    ("domain", "name"),
    [
        (TENANT, TENANT),
        ("Tenant.EU.Auth0.com", TENANT),
        ("127.0.0.1:8080", "127.0.0.1-8080"),
        ("localhost", "localhost"),
    ],
)
def test_a_folder_is_called_after_the_tenant(domain, name):
    assert folder_name(domain) == name


ODD = r"[::1]:8080 .. . ../x a/b a\b nul NUL.auth0.com com1 x. a:b a*b? é.com -x".split()


@pytest.mark.parametrize("domain", [*ODD, "", "x ", "\0", "\ud800", "x" * 400])
def test_every_system_takes_the_name_of_a_folder(domain, tmp_path):
    name = folder_name(domain)
    assert re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", name)
    assert len(name) < 128
    assert name.partition(".")[0] not in {"nul", "con", "com1"}
    (tmp_path / name).mkdir()


def test_different_tenants_have_different_folders():
    domains = ["a:b", "a-b", "a/b", "a*b", "[::1]:80", "[::1]:81", "x" * 300, "x" * 301, "nul"]
    assert len({folder_name(one) for one in domains}) == len(domains)


def test_two_collections_in_one_minute_are_two_files(tenant, tmp_path):
    first, second = (collect(tenant, folder=tmp_path) for _ in range(2))
    third = collect(tenant, folder=tmp_path, since=second)
    folder = tmp_path / folder_name(tenant.domain)
    files = {one.path for one in (first, second, third)}
    assert files == set(folder.iterdir())
    assert len(files) == 3
    assert all(NAME.fullmatch(path.name) for path in files)
    assert folder.stat().st_mode & 0o077 == 0
    assert latest_snapshot(tenant.domain, tmp_path).path == third.path


def test_collections_at_the_same_time_are_different_files(tmp_path):
    ready, chosen = threading.Barrier(8), []

    def choose():
        ready.wait(60)
        with placed(TENANT, tmp_path) as path:
            chosen.append(path)
            path.touch()

    threads = [threading.Thread(target=choose) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(set(chosen)) == 8
    assert sorted(chosen) == sorted((tmp_path / TENANT).iterdir())


def test_the_newest_is_found_by_its_name_and_not_by_the_time_of_the_file(tmp_path):
    folder = tmp_path / TENANT
    folder.mkdir()
    names = ["2026-11-29T0905-10", "2026-11-29T0905-2", "2026-11-29T0905", "2025-12-31T2359"]
    for age, name in enumerate(names):
        path = folder / f"{name}.parquet"
        path.touch()
        os.utime(path, (age, age))
    for other in ("2027-01-01T0000.parquet.part", "report.parquet", "2027-01-01T0000.csv"):
        (folder / other).touch()
    assert latest_file(TENANT, tmp_path) == folder / "2026-11-29T0905-10.parquet"


def test_where_there_is_none_it_is_said(tmp_path):
    assert latest_file(TENANT, tmp_path) is None
    with pytest.raises(UnreadableInputError, match=TENANT):
        latest_snapshot(TENANT, tmp_path)


def interrupted(tenant, folder):
    """Begin a collection and stop it when something of it is kept."""
    with placed(tenant.domain, folder) as path:
        steps = collect.steps(tenant, out=path, method="search", workers=1)
        while b'"window"' not in (state_path(path).read_bytes() if path.parent.exists() else b""):
            next(steps)
        steps.close()
    return path


def test_an_unfinished_collection_goes_on_without_its_name(tenant, tmp_path):
    path = interrupted(tenant, tmp_path)
    assert not path.exists()
    assert unfinished_file(tenant.domain, tmp_path) == path
    snapshot = collect(tenant, folder=tmp_path, method="search")
    assert snapshot.path == path
    assert len(snapshot) == 1500
    assert "continued an interrupted collection" in snapshot.provenance.notes
    assert unfinished_file(tenant.domain, tmp_path) is None
    assert collect(tenant, folder=tmp_path, method="search").path != path


def test_a_state_of_the_former_version_goes_on(tenant, tmp_path):
    path = interrupted(tenant, tmp_path)
    lines = [json.loads(line) for line in state_path(path).read_text().splitlines()]
    for line in lines:
        if "window" in line:
            line["window"]["users"] = [one[:11] for one in line["window"]["users"]]
    state_path(path).write_text(
        "".join(f"{json.dumps(line, separators=(',', ':'))}\n" for line in lines)
    )
    snapshot = collect(tenant, folder=tmp_path, method="search")
    assert len(snapshot) == 1500
    assert "continued an interrupted collection" in snapshot.provenance.notes


def test_a_collection_at_which_somebody_works_is_left_alone(tenant, tmp_path):
    with placed(tenant.domain, tmp_path) as path:
        steps = collect.steps(tenant, out=path, method="search", workers=1)
        next(steps)
        snapshot = collect(tenant, folder=tmp_path, method="search")
        assert snapshot.path != path
        steps.close()


def test_what_is_finished_is_not_gone_on_with(tenant, tmp_path):
    """A process that was killed after its last step leaves its state beside the snapshot."""
    path = interrupted(tenant, tmp_path)
    path.write_bytes(b"finished")
    assert unfinished_file(tenant.domain, tmp_path) is None
    assert collect(tenant, folder=tmp_path).path != path
    assert path.read_bytes() == b"finished"


@pytest.mark.parametrize(
    "content", [b"", b"nonsense\n", b"[1]\n", b'{"tenant": "other"}\n', b"\xff"]
)
def test_a_state_that_is_nobodys_or_another_tenants_is_left_alone(tenant, tmp_path, content):
    folder = tmp_path / folder_name(tenant.domain)
    folder.mkdir()
    state = folder / "2026-11-01T0000.parquet.part"
    state.write_bytes(content)
    collect(tenant, folder=tmp_path)
    assert state.read_bytes() == content


def test_a_collection_that_fails_at_once_leaves_no_file(no_credentials, tmp_path):
    with Sandbox([]) as sandbox, connect(settings_of(sandbox)) as tenant:
        sandbox.stop()
        with pytest.raises(Exception, match="answer"):
            collect(tenant, folder=tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_folder_that_cannot_be_written_is_said(tenant, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="Cannot write"):
        collect(tenant, folder=tmp_path / "file")


def test_a_file_and_a_folder_are_not_both_taken(tenant, tmp_path):
    with pytest.raises(SettingsError, match="not both"):
        collect(tenant, out=tmp_path / "s.parquet", folder=tmp_path)


def test_a_file_is_named_after_the_minute_in_utc(tmp_path, monkeypatch):
    class Clock(datetime):
        @classmethod
        def now(cls, zone):
            assert zone is UTC
            return cls(2026, 12, 31, 23, 59, 59, tzinfo=UTC)

    monkeypatch.setattr(sys.modules["toolkit.collection.place"], "datetime", Clock)
    with placed(TENANT, tmp_path) as path:
        assert path == Path(tmp_path, TENANT, "2026-12-31T2359.parquet")
