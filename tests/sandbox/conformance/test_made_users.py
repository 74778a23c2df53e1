"""Whatever happens to a run, its users are removed, and nobody else ever is."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import Future

import pytest

from tests.sandbox.conftest import person
from toolkit import conform
from toolkit.errors import UnreadableInputError
from toolkit.sandbox.conformance import made_users
from toolkit.sandbox.conformance.conform_run import remove_left
from toolkit.sandbox.conformance.facts import PEOPLE
from toolkit.sandbox.conformance.made_users import MadeUp, Removal, left_behind, new_run, remove

# Runs each line {"argv", "environment"} as the command, in a process of its own that has
# everything imported already.
PROGRAM = """
import json, os, sys
import toolkit.sandbox.conformance.conform_run, toolkit.reporting.terminal
from toolkit.cli import main
from toolkit.sandbox.conformance import made_users, scratch_tenant

scratch_tenant._PAUSE = 0.01
made_users._SETTLED = 1.0
for line in sys.stdin:
    task = json.loads(line)
    child = os.fork()
    if child == 0:
        os.environ.update(task["environment"])
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(os.open("stderr", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 2)
        sys.argv = ["picture-audit", *task["argv"]]
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        os._exit(code)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """Return a function that starts the command, says its process id, and how it ended.

    Its attribute `told` is the file of what the last one wrote to stderr.
    """
    folder = tmp_path_factory.mktemp("conform")
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=folder,
        text=True,
    )

    def run(tenant, *argv, pid=None):
        environment = tenant._sandbox.environment()
        environment["XDG_STATE_HOME"] = os.environ["XDG_STATE_HOME"]
        task = {"argv": ["conform", *argv], "environment": environment}
        print(json.dumps(task), file=process.stdin, flush=True)
        child = int(process.stdout.readline())
        if pid is not None:
            pid.set_result(child)
        return int(process.stdout.readline())

    run.told = folder / "stderr"
    yield run
    process.stdin.close()
    process.wait()
    process.stdout.close()


def struck(pid, number, at):
    """Send a signal to a process at its request of this number, which is still carried out."""
    seen = iter(range(1, 1000))

    def before(asked):
        if next(seen) == at:
            os.kill(pid.result(60), number)
        return True

    return before


# In the first request, at the first user and at later ones, between facts, while users are removed.
@pytest.mark.parametrize("at", [1, 3, 4, 8, 11, 14, 30, 45, 52])
def test_killed_at_any_moment_nothing_is_left_after_cleaning(scratch, command, journals, at):
    pid = Future()
    tenant = scratch(before=struck(pid, signal.SIGKILL, at))
    before = list(tenant._sandbox.users())
    assert command(tenant, "--yes", pid=pid) == -signal.SIGKILL
    tenant._sandbox.settle()
    left = tenant._sandbox.user_count - len(before)
    assert remove_left(tenant) == Removal(removed=left)
    assert list(tenant._sandbox.users()) == before
    assert journals() == []


def test_the_moments_of_the_kills_are_within_a_run_that_leaves_users(scratch, command):
    count = []
    tenant = scratch(before=lambda _: count.append(1) or True)
    assert command(tenant, "--yes", "--format", "json") == 0
    assert 52 < len(count) <= 60


def test_the_next_run_removes_what_a_killed_one_left(scratch, command, journals):
    pid = Future()
    tenant = scratch(before=struck(pid, signal.SIGKILL, 20))
    command(tenant, "--yes", pid=pid)
    tenant._sandbox.settle()
    assert tenant._sandbox.user_count == 12 + len(PEOPLE)
    assert conform(tenant, agreed=True).removal == Removal(removed=2 * len(PEOPLE))
    assert tenant._sandbox.user_count == 12
    assert journals() == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("at", [5, 25])
def test_interrupted_it_removes_its_users_before_it_ends(
    scratch, command, journals, number, code, at
):
    pid = Future()
    tenant = scratch(before=struck(pid, number, at))
    assert command(tenant, "--yes", pid=pid) == code
    assert command.told.read_text().splitlines()[-1] == (
        "Interrupted. To remove what may be left: picture-audit conform --clean"
    )
    assert tenant._sandbox.user_count == 12
    assert journals() == []


def test_a_user_that_is_made_after_its_process_was_killed_is_waited_for(
    scratch, journals, monkeypatch
):
    monkeypatch.setattr(made_users, "_SETTLED", 60.0)
    tenant = scratch()
    written(journals, tenant)
    (run,) = left_behind(tenant.domain)
    one, waits = run.user(2), []

    def carry_out(seconds):
        waits.append(seconds)
        tenant._sandbox.create(person(1, user_id=f"auth0|{one.own_id}", email=one.email))

    assert remove(tenant, run, sleep=carry_out) == Removal(removed=1)
    assert len(waits) == 1
    assert 0 < waits[0] <= made_users._SETTLED
    assert tenant._sandbox.user_count == 12


# Nobody else


def written(journals, at, **changes):
    """Write the file of a run that was left behind at a tenant."""
    with new_run(at.domain, 3) as made:
        head = json.loads(made.path.read_text()) | {"run": "0123456789ab"} | changes
    made.path.write_text(json.dumps(head, separators=(",", ":")) + "\n")
    assert journals() == [made.path]
    return made.path


def test_whoever_only_looks_like_one_of_ours_is_left_alone(scratch, journals):
    one, two, three, four = (MadeUp("0123456789ab", number) for number in range(1, 5))
    users = [
        person(1, user_id=f"auth0|{one.own_id}", email="boss@acme.example"),
        person(2, user_id="auth0|boss", email=two.email),
        person(3, user_id=f"auth0|{three.own_id}", email=three.other_email),
        person(4, user_id=f"auth0|{four.own_id}", email=four.email),  # the run has three
    ]
    tenant = scratch(users)
    written(journals, tenant)
    assert remove_left(tenant) == Removal(removed=1, others=1)
    assert list(tenant._sandbox.users()) == [users[0], users[1], users[3]]
    assert journals() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"run": "../../users/auth0|1"},
        {"run": "0123456789AB"},
        {"run": ["0123456789ab"]},
        {"users": 1_000_000},
        {"users": True},
        {"users": "3"},
        {"tenant": None},
        {"version": 2},
        {"format": "auth0-picture-audit journal"},
    ],
)
def test_the_file_of_a_run_that_was_edited_names_nobody_else(scratch, journals, changes):
    tenant = scratch()
    path = written(journals, tenant, **changes)
    with pytest.raises(UnreadableInputError, match=r"should name a run of picture-audit conform"):
        remove_left(tenant)
    assert tenant._sandbox.user_count == 12
    assert path.exists()


def test_runs_of_other_tenants_and_of_other_processes_stay(scratch, journals):
    tenant = scratch()
    path = written(journals, tenant, tenant="other.eu.auth0.com")
    with new_run(tenant.domain, 3) as running:
        assert left_behind(tenant.domain) == []
        assert remove_left(tenant) == Removal()
    assert {*journals()} == {path, running.path}
    assert [one.name for one in left_behind(tenant.domain)] == [running.name]
    running.path.write_bytes(b"")  # killed before the first word of it was written
    assert left_behind(tenant.domain) == []


def test_the_file_of_a_run_is_its_owners_and_names_no_user(scratch):
    tenant = scratch()
    with new_run(tenant.domain, 3) as run:
        assert run.path.stat().st_mode & 0o777 == 0o600
        assert set(json.loads(run.path.read_text())) == {
            *("format", "version", "tenant", "run", "users")
        }


def test_users_that_the_tenant_does_not_let_go_are_kept_in_mind(scratch, journals):
    def refuse(asked):
        if asked.method == "DELETE":
            asked.say(403, {"errorCode": "insufficient_scope"})

    tenant = scratch(deviations=[refuse])
    run = written(journals, tenant)
    one = MadeUp("0123456789ab", 1)
    tenant._sandbox.create(person(1, user_id=f"auth0|{one.own_id}", email=one.email))
    with pytest.raises(Exception, match=r"does not let made-up users be removed \(HTTP 403\)"):
        remove_left(tenant)
    assert run.exists()
