"""Whole runs at a tenant with faults: collect, probe, apply, undo, and an oracle of its users.

Whatever the tenant does, each command ends within its budget of requests, says what is missing,
and writes nothing that the plan does not say. By hand, all mixes, with a line for each:

    PICTURE_AUDIT_FAULT_SEEDS=50 uv run pytest -n0 -s tests/test_fault_mixes.py
"""

import os
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.change.conftest import NEW, journal_of
from tests.change.model_story import connections_of, snapshot_of
from tests.conftest import settings_of
from tests.sandbox.conftest import person
from toolkit import collect
from toolkit.change.apply_plan import apply
from toolkit.change.plan_summary import Plan
from toolkit.change.prepare import plan
from toolkit.change.undo_journal import undo
from toolkit.collection.search import budget
from toolkit.errors import PictureAuditError
from toolkit.probing import gravatar, snapshot_probe
from toolkit.probing.answers import Cache
from toolkit.sandbox.faults.catalogue import FAULTS, HOPELESS
from toolkit.sandbox.made_up.tenants import loadable, people
from toolkit.sandbox.server import Sandbox
from toolkit.snapshots.snapshot import Snapshot, read_snapshot
from toolkit.tenant import client
from toolkit.tenant.client import Tenant, connect

SEEDS = int(os.environ.get("PICTURE_AUDIT_FAULT_SEEDS", "6"))
OLD = frozenset(
    "429-storm 429-bare 503-slow 503-flaky reset slow lag uncapped-total churn shuffled-ties "
    "short-tokens job-fails job-expires job-stalls job-truncated job-truncated-always".split()
)
ADDED = [name for name in FAULTS if name not in OLD and not name.startswith("gravatar-")]
WAYS = ("root", "metadata", "action")
METHODS = ("search", "export", "auto")
# How often somebody starts the same command again, where it may never end well and where it must.
FEW_RUNS, RUNS = 3, 12
THEIRS = {"name": "theirs", "code": "exports.onExecutePostLogin = async () => {};"}
GROWTH = 300
"""Megabytes by which all of it, the sandbox included, may make this process grow."""


@pytest.fixture(autouse=True)
def hurried(in_a_hurry, monkeypatch):
    """So are those of changes and of the probe."""
    briefly = SimpleNamespace(sleep=lambda seconds: time.sleep(seconds / 50))
    monkeypatch.setattr(client, "time", briefly)
    monkeypatch.setattr(gravatar, "_FIRST_WAIT", 0.02)
    monkeypatch.setattr(gravatar, "_WAIT_UNTOLD", 0.05)


class Run:
    """All commands, one after the other, at one tenant.

    Attributes:
        said: how each command ended: "complete", or what it says is missing.
    """

    def __init__(
        self, folder: Path, faults: list[str], seed: int, method: str, way: str, users: int
    ) -> None:
        self.folder, self.faults, self.method, self.way = folder, faults, method, way
        self.people = list(people(users, seed=seed))
        records = map(loadable, self.people)
        self.sandbox = Sandbox(records, actions=[THEIRS], faults=faults, fault_seed=seed)
        self.said: dict[str, str] = {}
        self.requests: dict[str, int] = {}

    def tell(self) -> None:
        """Run every command; AssertionError: one of them did what it must not."""
        with self.sandbox:
            self.before = {one["user_id"]: _kept(one) for one in self.sandbox.users()}
            snapshot = self._collected()
            snapshot = self._probed(snapshot)
            made = plan(
                snapshot,
                NEW,
                through=self.way,
                out=self.folder / "a.plan",
                known=connections_of(self.sandbox),
            )
            self._applied(made)
            self._undone(made)
            assert self.sandbox.leaks == 0

    @property
    def _hopeless(self) -> bool:
        """Whether perhaps nobody can collect all users of this tenant in this way."""
        # `auto` may choose either way.
        return bool(HOPELESS.get(self.method, HOPELESS["export"]) & set(self.faults))

    def _persistently(
        self, command: str, most: int, do: Callable[[Tenant], Any], check: Callable[[Any], None]
    ) -> Any:
        """Run a command until it is complete, as a person would; return what came of it last."""
        outcome, said = None, ""
        for _ in range(FEW_RUNS if command == "collect" and self._hopeless else RUNS):
            before, said = said, "complete"
            tally = self.sandbox.requests.total
            try:
                with connect(settings_of(self.sandbox)) as tenant:
                    outcome = do(tenant)
                    if not getattr(outcome, "complete", True):
                        said = str(outcome.reasons) + str(outcome.stopped) + str(outcome.notes)
            except PictureAuditError as error:
                outcome, said = None, str(error)
                assert 10 < len(said) < 700
            sent = self.sandbox.requests.total - tally
            self.requests[command] = max(sent, self.requests.get(command, 0))
            assert sent <= most, f"{command} sent {sent} requests"
            check(outcome)
            if said == "complete" or (outcome is not None and said == before):
                break  # nobody tries again what has left the same users twice
        self.said[command] = said
        return outcome

    def _collected(self) -> Snapshot:
        everybody = set(self.before)

        def check(snapshot: Snapshot | None) -> None:
            if snapshot is not None:
                churned, found = self.sandbox.churned, set(snapshot.users["user_id"])
                assert everybody - set(churned.deleted) <= found
                assert found <= everybody | set(churned.created)

        out = self.folder / "s.parquet"
        most = budget(len(everybody)) + 100
        found = self._persistently(
            "collect", most, lambda tenant: collect(tenant, out=out, method=self.method), check
        )
        if found is None:
            assert not out.exists()
            assert self._hopeless, self.said
            snapshot_of(self.sandbox).write(out)
        return found or read_snapshot(out)

    def _probed(self, snapshot: Snapshot) -> Snapshot:
        """Probe, without the API; each verdict is true, or none."""
        tally = self.sandbox.requests.total
        # Where some answers never come, nobody needs to wait for long.
        patience = 0.5 if "gravatar-hangs" in self.faults else gravatar.PATIENCE
        asking = partial(gravatar.asking, patience=patience)
        with Cache(self.folder / "answers.sqlite3") as cache, pytest.MonkeyPatch.context() as patch:
            patch.setattr(snapshot_probe, "asking", asking)
            try:
                probed = snapshot_probe.probe(snapshot, cache=cache)
            except PictureAuditError as error:
                self.said["probe"] = str(error)
                return snapshot
        assert self.sandbox.requests.total - tally <= 4 * len(self.before) + 100
        users = probed.users
        assert set(users["user_id"]) == set(snapshot.users["user_id"])
        truth = {one.record["user_id"]: one.truth for one in self.people}
        asked = users[users["evidence"] == "probe"]
        for user_id, source in zip(asked["user_id"], asked["source"], strict=True):
            assert source == truth.get(user_id, source)
        self.said["probe"] = probed.provenance.notes[-1]
        return probed

    def _applied(self, made: Plan) -> None:
        options = {"execute": True, "confirm": self.sandbox.domain, "agreed": True}

        def check(outcome: Any) -> None:
            written = self._written(made)
            if outcome is not None and self.way != "action":
                gone = len(_planned(made).keys() & set(self.sandbox.churned.deleted))
                assert outcome.done <= len(written) + gone

        outcome = self._persistently(
            "apply", 8 * made.changes + 150, lambda tenant: apply(tenant, made, **options), check
        )
        # Whatever the tenant does, it passes: in the end everybody is settled.
        assert outcome is not None, self.said
        assert not outcome.remaining, outcome

    def _undone(self, made: Plan) -> None:
        journal = journal_of(made)
        if not journal.exists():
            return
        options = {"execute": True, "confirm": self.sandbox.domain}

        def check(outcome: Any) -> None:
            written = self._written(made)
            if outcome is not None and outcome.complete:
                assert not written

        outcome = self._persistently(
            "undo", 12 * made.changes + 150, lambda tenant: undo(tenant, journal, **options), check
        )
        assert outcome is not None, self.said
        assert not outcome.remaining, outcome

    def _written(self, made: Plan) -> set[str]:
        """Return what has the plan's value now; AssertionError: anything else was written."""
        actions = {one["name"]: one for one in self.sandbox.actions()}
        bound = [one["action"]["name"] for one in self.sandbox.bindings()]
        assert actions[THEIRS["name"]]["code"] == THEIRS["code"]
        assert bound[0] == THEIRS["name"]
        assert len(bound) <= 2
        planned = _planned(made) if self.way != "action" else {}
        written = set() if self.way != "action" else set(actions) - {THEIRS["name"]}
        here = self.sandbox.churned
        for user in self.sandbox.users():
            user_id, now = user["user_id"], _kept(user)
            before = self.before.get(user_id)
            if before is None:
                # Who came before the snapshot was taken may be in the plan, too.
                assert user_id in here.created
                if _new_value(now, self.way) == planned.get(user_id, object()):
                    written.add(user_id)
            elif now != before:
                assert user_id in planned
                assert _new_value(now, self.way) == planned[user_id]
                assert _without(now, self.way) == _without(before, self.way)
                written.add(user_id)
        return written


def _kept(user: dict[str, Any]) -> dict[str, Any]:
    """Return a user without what every write and login moves, and without empty metadata."""
    moved = {"updated_at", "last_login", "logins_count"}
    kept = {name: value for name, value in user.items() if name not in moved}
    # Nobody recorded what stays where the last key of the metadata is removed.
    return {name: value for name, value in kept.items() if (name, value) != ("user_metadata", {})}


def _planned(made: Plan) -> dict[str, str]:
    """Return the new value of each user whom a plan changes."""
    rows = pq.read_table(made.path).to_pylist()
    return {one["user_id"]: one["after"] for one in rows if one["outcome"] == "change"}


def _new_value(user: dict[str, Any], way: str) -> object:
    return (user if way == "root" else user.get("user_metadata", {})).get("picture")


def _without(user: dict[str, Any], way: str) -> dict[str, Any]:
    if way == "root":
        return {**user, "picture": None}
    metadata = {**(user.get("user_metadata") or {})}
    metadata.pop("picture", None)
    return {**user, "user_metadata": metadata}


def grown() -> int:
    """Return how many megabytes this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


# A lag of bindings has a test of its own, below.
@pytest.mark.parametrize("fault", [one for one in ADDED if one != "bind-lag"])
def test_with_each_fault_alone_all_ends_well_or_says_why_not(tmp_path, fault):
    seed = ADDED.index(fault)
    way, method = WAYS[seed % 3], "search"
    if fault in HOPELESS["export"] - HOPELESS["search"]:
        method = "export"
    if fault == "strict":
        way = "action"
    if fault == "profile-limit":
        way = "metadata"
    run = Run(tmp_path, [fault], seed, method, way, 60)
    run.tell()
    left = {name: said for name, said in run.said.items() if said != "complete" and name != "probe"}
    assert left.keys() <= ({"collect"} if fault in HOPELESS[method] else set()), left


@pytest.mark.parametrize("seed", range(SEEDS))
def test_mixes_of_faults_end_within_their_budget_and_write_nothing_wrong(tmp_path, seed):
    random = Random(f"mix {seed}")
    faults = random.sample(ADDED, random.randint(1, 2))
    faults += random.sample(sorted(FAULTS.keys() - set(faults)), random.randint(1, 3))
    users = 1_100 if seed % 10 == 9 else 150
    before, began = grown(), time.monotonic()
    run = Run(tmp_path, faults, seed, random.choice(METHODS), random.choice(WAYS), users)
    run.tell()
    told = f"{seed} {faults} {run.method} {run.way} {users} users, requests {run.requests}, "
    told += f"{run.said}, {grown()} MB, {time.monotonic() - began:.1f} s\n"
    sys.stdout.write(told)
    assert grown() - before < GROWTH


def test_users_whose_profile_would_grow_too_large_are_left_alone_and_reported(tmp_path):
    large = {"user_metadata": {"about": "x" * 9_900}}
    users = [person(number, **(large if number % 10 == 0 else {})) for number in range(40)]
    with Sandbox(users, faults=["profile-limit"]) as sandbox:
        before = list(sandbox.users())
        with connect(settings_of(sandbox)) as tenant:
            made = plan(snapshot_of(sandbox), NEW, through="metadata", out=tmp_path / "a.plan")
            options = {"execute": True, "confirm": tenant.domain}
            outcome = apply(tenant, made, agreed=True, stop_share=1, canary=0, **options)
            assert (outcome.done, outcome.refused, outcome.remaining) == (36, 4, 0)
            assert not outcome.complete
            assert undo(tenant, journal_of(made), **options).complete
        assert list(map(_kept, sandbox.users())) == list(map(_kept, before))


def test_a_binding_that_is_refused_for_some_seconds_is_waited_for(tmp_path):
    with Sandbox([person(1, picture=None)], faults=["bind-lag"]) as sandbox:
        made = plan(snapshot_of(sandbox), NEW, through="action", out=tmp_path / "a.plan")
        with connect(settings_of(sandbox)) as tenant:
            options = {"execute": True, "confirm": tenant.domain, "agreed": True}
            assert apply(tenant, made, **options).complete
        assert len(sandbox.bindings()) == 1
