"""Which changes stand in a folder, whatever process made them or makes them now."""

import json
import re
import shlex
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from typer.testing import CliRunner

from tests.change.conftest import NEW, as_killed, journal_of
from tests.change.test_action import FOREIGN, back
from toolkit.change.apply_plan import apply
from toolkit.change.changes_made import Stage, changes, live, told
from toolkit.change.journal import State, journal_path, read_journal
from toolkit.change.run import one_at_a_time
from toolkit.change.stop_request import Request, ask, asked, request_path
from toolkit.change.undo_journal import undo
from toolkit.cli import app
from toolkit.errors import IncompleteError

SHORT = {"execute": True, "canary": 0, "workers": 1}


@pytest.fixture
def site(site_of, person):
    # Most have a picture of their own: a plan that changes nearly everybody asks again.
    own = {"picture": "https://mine.example/me.png"}
    return site_of([person(number, **(own if number >= 30 else {})) for number in range(60)])


@pytest.fixture
def larger(site_of, person):
    """A site whose change takes a moment: there is time to stop it."""
    own = {"picture": "https://mine.example/me.png"}
    people = [person(number, **(own if number >= 150 else {})) for number in range(300)]
    return site_of(people)


def new(site):
    return sum(one.get("picture") == NEW for one in site.sandbox.users())


def only(site):
    (found,) = changes(site.folder, site.tenant.domain)
    return found


def run(site, command, monkeypatch):
    """Run a command that was told, as somebody who copies it."""
    for name, value in site.sandbox.environment().items():
        monkeypatch.setenv(name, value)
    program, *words = shlex.split(command)
    assert program == "picture-audit"
    return CliRunner().invoke(app, words)


def test_a_change_is_stopped_gone_on_with_complete_and_undone(site, monkeypatch):
    made = site.plan("root")
    assert changes(site.folder) == []
    assert list(told([], site.folder)) == [f"No plan was applied yet (folder: {site.folder})."]
    site.apply(made, limit=4, canary=0)
    stopped = only(site)
    assert (stopped.stage, stopped.done, stopped.untried) == (Stage.STOPPED, 4, 26)
    assert new(site) == 4
    assert re.fullmatch(
        r"stopped at \d\d:\d\d UTC at 4 of 30 people \(0 skipped, 0 refused, 26 not tried\)",
        stopped.words,
    )
    answer = run(site, stopped.next["go on"] + " --yes", monkeypatch)
    assert answer.exit_code == 0, answer.output
    complete = only(site)
    assert (complete.stage, complete.done, complete.untried) == (Stage.COMPLETE, 30, 0)
    assert new(site) == 30
    assert run(site, complete.next["check"], monkeypatch).exit_code == 0
    assert run(site, complete.next["put back"], monkeypatch).exit_code == 0  # a rehearsal
    assert new(site) == 30
    undo(site.tenant, journal_of(made), **SHORT, confirm=site.tenant.domain, limit=7)
    half = only(site)
    assert (half.stage, half.kind, half.done, half.planned) == (Stage.STOPPED, "undo", 7, 30)
    assert half.words.startswith("undo stopped")
    assert run(site, half.next["go on"], monkeypatch).exit_code == 0
    over = only(site)
    assert (over.stage, over.done, over.next) == (Stage.UNDONE, 30, {})
    assert new(site) == 0


def test_what_a_killed_process_left_is_said_from_its_journal(site, other):
    made = site.plan("root")
    other.run(site, "apply", made.path, kill=lambda: site.count("PATCH") > 5)
    found = only(site)
    journal = read_journal(journal_of(made))
    assert found.stage is Stage.STOPPED
    assert found.done == journal.count(State.DONE) <= new(site)
    assert found.done + found.untried == 30
    assert found.ended is not None


def test_an_action_is_created_found_live_and_undone(site_of, person):
    site = site_of([person(number) for number in range(3)], actions=FOREIGN)
    assert "no default picture of this tool is live" in str(live(site.tenant))
    made = site.plan("action")
    site.apply(made)
    found = only(site)
    assert (found.stage, found.done, found.picture) == (Stage.COMPLETE, 1, NEW)
    assert found.words.endswith(": the Action")
    now = live(site.tenant)
    assert (now.picture, now.bound, now.deployed) == (NEW, True, True)
    assert f"the default picture {NEW} is live" in str(now)
    ours = [one for one in site.tenant.bindings() if one.action_id != action_id(site)]
    site.tenant.bind(ours)
    assert "is not bound to a login" in str(live(site.tenant))
    back(site, made)
    assert only(site).stage is Stage.UNDONE
    assert live(site.tenant).action is None


def action_id(site):
    return next(one["id"] for one in site.sandbox.actions() if one["code"].count(NEW))


def test_an_action_stops_between_two_steps_and_is_gone_on_with(site_of, person):
    site = site_of([person(number) for number in range(3)], actions=FOREIGN)
    made = site.plan("action")
    steps = apply.steps(site.tenant, made, execute=True, confirm=site.tenant.domain)
    next(steps)
    ask(journal_of(made), Request.STOP)
    with pytest.raises(IncompleteError, match="Stopped, as you asked"):
        list(steps)
    assert live(site.tenant).picture is None
    found = only(site)
    assert (found.stage, found.count) == (Stage.STOPPED, "the Action, not finished")
    assert site.apply(made).complete
    assert live(site.tenant).picture == NEW


def test_what_is_unusable_says_why_and_hides_nothing_else(site):
    made, second = site.plan("root"), site.plan("metadata", name="second")
    site.apply(made, limit=2, canary=0)
    site.apply(second)
    journal_of(made).write_text("torn\n")
    found = {one.plan: one for one in changes(site.folder)}
    assert found[made.path.resolve()].stage is Stage.UNUSABLE
    assert "damaged" in found[made.path.resolve()].words
    assert found[second.path.resolve()].stage is Stage.COMPLETE


def test_without_its_plan_and_without_times_a_journal_says_what_it_knows(site):
    made = site.plan("root")
    site.apply(made, limit=3, canary=0, workers=1)
    path = journal_of(made)
    as_killed(path, [re.sub(rb',"at":"[^"]*"', b"", path.read_bytes().splitlines(True)[0])])
    made.path.unlink()
    found = only(site)
    assert (found.picture, found.planned, found.began) == ("", 0, None)
    assert found.ended is not None
    assert path.name.removesuffix(".journal") in found.what


def test_of_two_tenants_only_the_asked_one_is_listed(site, site_of, person):
    another = site_of([person(1)])
    another.apply(another.plan("root"))
    site.apply(site.plan("root"))
    folder = site.folder.parent
    assert {one.tenant for one in changes(folder, deep=True)} == {
        site.tenant.domain,
        another.tenant.domain,
    }
    assert changes(folder, "x.example", deep=True) == changes(folder) == []


@pytest.mark.parametrize("then", ["stop", "resume"])
def test_another_process_is_seen_paused_and_stopped_and_nothing_is_lost_or_written_twice(
    larger, other, tmp_path, monkeypatch, then
):
    site = larger
    made = site.plan("root")
    writes = []
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(other.run, site, "apply", made.path)
        until(lambda: site.count("PATCH") > 2)
        # From any folder: what runs is found by the lock of its tenant.
        (found,) = changes(tmp_path / "elsewhere", site.tenant.domain)
        assert found.stage is Stage.RUNNING
        assert (found.plan, found.holder.pid) == (made.path, other.child)
        assert found.words.startswith("running: ")
        assert run(site, found.next["pause"], monkeypatch).exit_code == 0
        until(lambda: settled_for(site, writes))
        paused = only(site)
        assert "asked to pause" in paused.words
        assert 0 < paused.done == new(site) < 150
        answer = run(site, paused.next[then], monkeypatch)
        assert answer.exit_code == 0, answer.output
        status, said = running.result()
    assert status == 0
    ended = only(site)
    assert f"{ended.done} of 150 users changed" in said
    assert ended.done == new(site) == site.count("PATCH")
    assert not request_path(journal_of(made)).exists()
    if then == "stop":
        assert "stopped: as you asked" in said
        assert (ended.stage, ended.done) == (Stage.STOPPED, paused.done)
        assert site.apply(made).complete
    assert only(site).stage is Stage.COMPLETE
    assert site.count("PATCH") == new(site) == 150


def until(true):
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.001)


def settled_for(site, writes):
    """Whether no write has come for a while: what was under way is finished."""
    writes.append(site.count("PATCH"))
    return len(writes) > 300 and writes[-1] == writes[-300]


def test_an_undo_in_another_process_can_be_stopped_too(larger, other):
    site = larger
    made = site.plan("root")
    site.apply(made)
    written = site.count("PATCH")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(other.run, site, "undo", journal_of(made))
        until(lambda: site.count("PATCH") > written + 2)
        found = only(site)
        assert (found.stage, found.kind) == (Stage.RUNNING, "undo")
        ask(found.written_journal, Request.STOP)
        _, said = running.result()
    assert "stopped: as you asked" in said
    assert only(site).done == 150 - new(site) < 150
    assert undo(site.tenant, journal_of(made), execute=True, confirm=site.tenant.domain).complete
    assert site.count("PATCH") == written + 150


def test_what_was_asked_of_an_earlier_run_stops_no_later_one(site):
    made = site.plan("root")
    ask(journal_of(made), Request.STOP)
    assert asked(journal_of(made)) is Request.STOP
    # A rehearsal neither heeds nor removes it.
    assert apply(site.tenant, made).done == 30
    assert site.apply(made).complete
    request_path(journal_of(made)).write_text("nonsense")
    assert asked(journal_of(made)) is None
    ask(journal_of(made), None)
    assert not request_path(journal_of(made)).exists()


def test_status_says_what_is_live_and_what_to_do_next(site, monkeypatch, tmp_path):
    made = site.plan("root")
    site.apply(made, limit=4, canary=0)
    command = f"picture-audit status --folder {site.folder}"
    said = run(site, command, monkeypatch).output
    assert f"At {site.tenant.domain} now: no default picture of this tool is live." in said
    assert f"    go on: picture-audit apply {made.path} --execute --confirm" in said
    found = json.loads(run(site, f"{command} --format json", monkeypatch).stdout)
    (one,) = found["changes"]
    assert (one["stage"], one["done"], one["planned"], one["kind"]) == ("stopped", 4, 30, "apply")
    assert found["live"]["picture"] is None
    with one_at_a_time(site.tenant.domain, "undo", journal_of(made)):
        running = json.loads(run(site, f"{command} --format json", monkeypatch).stdout)
        assert running["changes"][0]["stage"] == "running"
        journal_path(journal_of(made)).unlink(missing_ok=True)
    for name in site.sandbox.environment():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    said = CliRunner().invoke(app, ["status"]).output
    assert "The environment names no tenant" in said
    assert "No plan was applied yet (folder: out)." in said
    refused = CliRunner().invoke(app, ["status", "--stop"])
    assert "No change is running." in str(refused.exception)
    refused = CliRunner().invoke(app, ["status", "--stop", "--pause"])
    assert "exclude each other" in str(refused.exception)
