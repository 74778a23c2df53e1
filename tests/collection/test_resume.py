"""Collections that are killed, and go on."""

import json
import os
import signal
import subprocess
import sys
import time
from random import Random

import pytest

from tests.conftest import settings_of
from toolkit import collect, read_snapshot
from toolkit.collection.place import state_path
from toolkit.errors import SettingsError
from toolkit.sandbox.made_up.tenants import loadable, people
from toolkit.sandbox.server import Sandbox
from toolkit.tenant.client import connect

# The promise is for 20,000 users; fewer do for every day, as the moments are spread alike.
USERS = int(os.environ.get("PICTURE_AUDIT_KILL_USERS", "4000"))
COMMAND = [sys.executable, "-c", "from toolkit.cli import main; main()", "collect", "--out"]


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(map(loadable, people(USERS, seed=5))) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def undisturbed(sandbox):
    with connect(settings_of(sandbox)) as tenant:
        return collect(tenant, method="search")


@pytest.fixture
def tenant(sandbox, no_credentials):
    with connect(settings_of(sandbox)) as tenant:
        yield tenant


def killed(sandbox, out, method, moment):
    """Start the command and kill it when the tenant has answered so much of the whole."""
    before = sandbox.requests.total
    environment = os.environ | sandbox.environment()
    command = [*COMMAND, str(out), "--method", method]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        requests, pause = moment
        while sandbox.requests.total - before < requests and process.poll() is None:
            time.sleep(0.001)
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
    return sandbox.requests.total - before


@pytest.mark.parametrize("seed", range(20))
def test_killed_at_any_moment_a_search_goes_on_and_ends_the_same(
    sandbox, tenant, undisturbed, tmp_path, seed
):
    random = Random(seed)
    needed = undisturbed.provenance.requests
    out = tmp_path / "s.parquet"
    moment = (random.randint(1, needed + 1), random.choice([0, 0, random.random() / 2]))
    killed(sandbox, out, "search", moment)
    before = tenant.requests
    resumed = collect(tenant, out=out, method="search")
    assert resumed.users.equals(undisturbed.users)
    assert resumed.provenance.complete
    assert tenant.requests - before <= needed + 20
    assert not state_path(out).exists()
    assert [path.name for path in tmp_path.iterdir()] == ["s.parquet"]


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_moment_an_export_goes_on_and_ends_the_same(
    sandbox, tenant, undisturbed, tmp_path, seed
):
    out = tmp_path / "s.parquet"
    random = Random(seed)
    killed(sandbox, out, "export", (random.randint(1, 6), random.random() / 4))
    resumed = collect(tenant, out=out)
    assert resumed.users.sort_values("user_id", ignore_index=True).equals(undisturbed.users)


def test_what_is_closed_is_not_read_again(sandbox, tenant, undisturbed, tmp_path):
    out = tmp_path / "s.parquet"
    # In the middle: near its end it may be finished before it is killed.
    killed(sandbox, out, "search", (undisturbed.provenance.requests // 2, 0))
    closed = [json.loads(line)["window"]["users"] for line in lines(out) if b'"window"' in line]
    resumed = collect(tenant, out=out, method="search")
    spared = undisturbed.provenance.requests - resumed.provenance.requests
    assert spared >= sum(map(len, closed)) // 100 - 10
    assert "continued" in " ".join(resumed.provenance.notes)


def lines(out):
    return state_path(out).read_bytes().splitlines(keepends=True)


def unfinished(sandbox, out):
    killed(sandbox, out, "search", (40, 0.05))
    assert state_path(out).exists()


def test_a_torn_last_line_is_ignored(sandbox, tenant, tmp_path):
    out = tmp_path / "s.parquet"
    unfinished(sandbox, out)
    with state_path(out).open("ab") as file:
        file.write(b'{"window": {"query": "created_at:[* TO')
    assert len(collect(tenant, out=out)) == USERS


def test_a_damaged_line_is_said_and_nothing_is_lost(sandbox, tenant, tmp_path):
    out = tmp_path / "s.parquet"
    unfinished(sandbox, out)
    with state_path(out).open("ab") as file:
        file.write(b"nonsense\n")
    content = state_path(out).read_bytes()
    with pytest.raises(SettingsError, match="damaged"):
        collect(tenant, out=out)
    assert state_path(out).read_bytes() == content


def test_the_state_of_another_tenant_or_method_or_version_is_refused(sandbox, tenant, tmp_path):
    out = tmp_path / "s.parquet"
    unfinished(sandbox, out)
    with pytest.raises(SettingsError, match="by search"):
        collect(tenant, out=out, method="export")
    with (
        Sandbox([]) as other,
        connect(settings_of(other)) as elsewhere,
        pytest.raises(SettingsError, match="another tenant"),
    ):
        collect(elsewhere, out=out)
    state = state_path(out).read_bytes()
    state_path(out).write_bytes(state.replace(b'"version":1', b'"version":2', 1))
    with pytest.raises(SettingsError, match="version"):
        collect(tenant, out=out)


def test_the_state_is_private_and_an_interruption_says_how_to_go_on(sandbox, tmp_path):
    out = tmp_path / "s.parquet"
    environment = os.environ | sandbox.environment()
    before = sandbox.requests.total
    command = [*COMMAND, str(out), "--method", "search", "--rate", "20"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        while sandbox.requests.total - before < 12:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert f"collect --out {out}" in said
    assert "Traceback" not in said
    assert state_path(out).stat().st_mode & 0o777 == 0o600


def test_killed_after_its_last_step_a_collection_is_finished_and_the_next_begins_anew(
    sandbox, tenant, tmp_path
):
    out = tmp_path / "s.parquet"
    unfinished(sandbox, out)
    state = state_path(out).read_bytes()
    collect(tenant, out=out, method="search")
    state_path(out).write_bytes(state)
    again = collect(tenant, out=out, method="search")
    assert "continued" not in " ".join(again.provenance.notes)
    assert len(again) == USERS


def test_an_unfinished_collection_stands_in_the_way_of_a_refresh(
    sandbox, tenant, undisturbed, tmp_path
):
    out = tmp_path / "s.parquet"
    unfinished(sandbox, out)
    with pytest.raises(SettingsError, match="unfinished"):
        collect(tenant, out=out, since=undisturbed)


def test_two_collections_into_one_file_do_not_meet(tenant, tmp_path):
    out = tmp_path / "s.parquet"
    first = collect.steps(tenant, out=out, method="search")
    next(first)
    with pytest.raises(SettingsError, match="Another collection"):
        collect(tenant, out=out, method="search")
    first.close()
    assert len(read_snapshot(out) if out.exists() else collect(tenant, out=out)) == USERS
