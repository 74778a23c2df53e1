"""One seed of the model test: a tenant, plans, commands, and what happens meanwhile."""

import json
import os
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.change import model_oracle as judge
from tests.change.model_oracle import Oracle, Plan, Run
from tests.change.model_people import INITIALS, NEW, OTHER, Colleagues, actions, users
from tests.change.model_process import Child, Crew
from tests.change.model_server import FAULTS, KILL_AFTER, KILL_BEFORE, Exchange, WatchedSandbox
from tests.sandbox.conftest import person
from toolkit.change.plan_summary import Plan as ToolPlan
from toolkit.change.prepare import plan as make_plan
from toolkit.classification.columnwise import with_verdicts
from toolkit.classification.schema import to_frame
from toolkit.classification.user_profile import tabulated, user
from toolkit.snapshots.snapshot import Provenance, Snapshot
from toolkit.tenant.models import Connection

PATIENCE = 30.0
"""Real seconds that a command may take."""

LONGEST_STREAK = 3
WAYS = ("root", "metadata", "action")


class Story:
    """Tells what happens from one seed; a watcher of its sandbox.

    Every fourth seed is quiet: nobody edits anything, and after undo all is as before. In every
    fifth of the others people edit within the one round trip between reading and writing, too.
    """

    def __init__(self, seed: int, crew: Crew, folder: Path) -> None:
        self.seed, self.folder = seed, folder
        self._state = folder / "state"
        self._crew = crew
        self._random = Random(seed)
        self._quiet = seed % 4 == 0
        self._in_window = not self._quiet and seed % 5 == 0
        self._workers = 1 if self._random.random() < 0.5 else 8
        self._lags = self._random.random() < 0.3
        self._ticks = 0.0
        self._current: Exchange | None = None
        self._settings: dict[str, dict[str, Any]] = {}
        self._number = 0
        self._synced = False
        self._asleep = False
        self.seconds = 0.0
        self.oracle: Oracle
        self.colleagues: Colleagues

    # --- the tenant ---

    def tell(self) -> list[tuple[str, str]]:
        """Do it all; return what was found to be wrong."""
        began = time.monotonic()
        random = self._random
        sandbox = WatchedSandbox(
            users(random),
            self,
            actions=actions(random),
            faults=["lag"] if self._lags else [],
            monotonic=lambda: self._ticks,
        )
        with sandbox:
            self._sandbox = sandbox
            plans = self._plans(snapshot_of(sandbox), connections_of(sandbox))
            self.oracle = Oracle(sandbox, plans)
            self.colleagues = Colleagues(sandbox, self._told, self._may_edit)
            self._tell(plans)
        self.seconds = time.monotonic() - began
        return self.oracle.problems

    def _plans(self, snapshot: Snapshot, known: Any) -> list[Plan]:
        random = self._random
        way = WAYS[self.seed // 4 % 3] if self._quiet else random.choice(WAYS)
        plans = [self._plan(snapshot, known, way, NEW, "first")]
        if random.random() < 0.25:
            other = random.choice((way, way, *WAYS))
            plans.append(self._plan(snapshot, known, other, OTHER, "second"))
        return plans

    def _plan(self, snapshot: Snapshot, known: Any, way: str, picture: str, name: str) -> Plan:
        irreversible = not self._quiet and self._random.random() < 0.15
        path = self.folder / f"{name}.plan"
        made = make_plan(
            snapshot, picture, through=way, out=path, known=known, irreversible=irreversible
        )
        return oracle_plan(made, name, irreversible=irreversible)

    # --- the story ---

    def _tell(self, plans: list[Plan]) -> None:
        random = self._random
        first, second = plans[0], plans[-1]
        self._edits(2)
        if random.random() < 0.1 and first.rows:
            self._edited_plan(first)
        if second is not first and random.random() < 0.7:
            self._both(first, second)
        self._applying(first)
        if second is not first:
            self._run("apply", second, rough=True)
        if not self._quiet and random.random() < 0.25:
            self._cut(first)
        self._taking_back(plans)

    def _applying(self, plan: Plan) -> None:
        random = self._random
        for _ in range(random.randint(1, 3)):
            self._run("apply", plan, rough=True)
            self._edits(2)
            if random.random() < 0.15:
                self._run("verify", plan)
        if random.random() < 0.7:
            self._until_settled("apply", plan)
            if random.random() < 0.3:
                self._run("verify", plan)
            self._edits(2)

    def _taking_back(self, plans: list[Plan]) -> None:
        last: dict[str, Any] = {}
        # Who changed the tenant last is taken back first.
        for plan in sorted(plans, key=lambda plan: -plan.first_write):
            for _ in range(self._random.randint(0, 2)):
                self._run("undo", plan, rough=True)
                self._edits(1)
            last = self._until_settled("undo", plan)
        if self._quiet:
            self._compare(last)

    def _until_settled(self, kind: str, plan: Plan) -> dict[str, Any]:
        """Run a command with nothing in its way; more than once where somebody edits."""
        result: dict[str, Any] = {}
        for _ in range(2):
            result = self._run(kind, plan)
            if not result:
                return result  # there is no journal
            outcome = result.get("outcome")
            if outcome and not outcome["failed"] and not outcome["remaining"]:
                return result
        if self._quiet and (result.get("error") or [""])[0] != "SettingsError":
            self.oracle.problem(judge.STUCK, f"{kind} of {plan.name}: {result}")
        return result

    def _compare(self, last: dict[str, Any]) -> None:
        """After apply and undo without anybody else: byte for byte as before."""
        oracle = self.oracle
        for user_id, text in oracle.start.items():
            now = oracle.user_now(user_id)
            if _settled(text) != _settled(now):
                oracle.problem(judge.NOT_RESTORED, f"{user_id}: was {text}, is {now}; {last}")
        if oracle.library[0].text != oracle.library_now():
            was, now = json.loads(oracle.library[0].text or ""), json.loads(oracle.library_now())
            for one, later in zip(was["actions"].values(), now["actions"].values(), strict=False):
                del one["ready"], later["ready"]
                # What was deployed once cannot be taken back, only unbound.
                one["live"] = one["live"] or later["live"]
            if was != now:
                oracle.problem(judge.NOT_RESTORED, f"Actions were {was}, are {now}; {last}")

    def _edits(self, most: int) -> None:
        """Between two commands people edit what they like."""
        if self._quiet:
            return
        self._current = None
        for _ in range(self._random.randint(0, most)):
            self._edit_something(self._random)
        if self._random.random() < 0.5:
            self._ticks += 10

    def _edit_something(self, random: Random) -> None:
        plan = random.choice(self.oracle.plans)
        if random.random() < 0.01 and not self._synced:
            self._synced = True
            self.colleagues.switch_sync_on()
        elif random.random() < (0.8 if plan.way == "action" else 0.05):
            self.colleagues.edit_library(random, plan.action_id)
        else:
            known = [*plan.rows] if plan.rows and random.random() < 0.8 else [*self.oracle.users]
            self.colleagues.edit_users(random, known)

    def _edited_plan(self, plan: Plan) -> None:
        """Somebody edits the plan's file; then it is applied."""
        data = plan.path.read_bytes()
        table = pq.read_table(plan.path)
        random = self._random
        rows = table.to_pylist()
        changed = random.choice([n for n, one in enumerate(rows) if one["outcome"] == "change"])
        column, value = random.choice(
            (
                ("after", "https://evil.example/x.png"),
                ("user_id", random.choice([*self.oracle.users, "auth0|nobody"])),
                ("picture", "https://own.example/edited.png"),
                ("connection", "elsewhere"),
                ("outcome", "stay"),
            )
        )
        if rows[changed][column] == value:
            return
        rows[changed][column] = value
        metadata = pq.read_schema(plan.path).metadata
        edited = pa.Table.from_pylist(rows, schema=table.schema)
        pq.write_table(edited.replace_schema_metadata(metadata), plan.path)
        plan.edited = True
        self._run("apply", plan)
        plan.edited = False
        plan.path.write_bytes(data)

    def _cut(self, plan: Plan) -> None:
        """Cut the end of a journal off: at any byte, or between two lines."""
        path = plan.journal("apply")
        if not path.exists() or plan.journal("undo").exists():
            return
        data = path.read_bytes()
        lines = data.splitlines(keepends=True)
        end = self._random.randint(1, len(data))
        if self._random.random() < 0.6:
            end = len(b"".join(lines[: self._random.randint(1, len(lines))]))
        if end == len(data):
            return
        path.write_bytes(data[:end])
        kept = data[: data.rfind(b"\n", 0, end) + 1]
        plan.unnamed = {one for one in plan.rows if json.dumps(one).encode() not in kept}
        what = f"cuts the journal of {plan.name} to {end} bytes"
        if self._random.random() < 0.3:
            shutil.rmtree(self._state, ignore_errors=True)
            what += ", on another machine"
            # As if apply had been killed before it did anything: nobody can know better.
            plan.unknown = b'"former"' not in kept
        self.oracle.forget(path)
        self.oracle.edit("somebody", what)

    # --- commands ---

    def _run(self, kind: str, plan: Plan, *, rough: bool = False) -> dict[str, Any]:
        run, child = self._start(kind, plan, rough=rough)
        if child is None:
            return {}
        return self._ended(run, child)

    def _both(self, first: Plan, second: Plan) -> None:
        """Two commands at once."""
        started = [self._start("apply", one, rough=True) for one in (first, second)]
        for run, child in started:
            if child is not None:
                self._ended(run, child)

    def _start(self, kind: str, plan: Plan, *, rough: bool) -> tuple[Run, Child | None]:
        self._number += 1
        run = Run(f"{judge.TOOL}{self._number} {kind} {plan.name}", kind, plan, self._workers)
        path = plan.journal("apply") if kind == "undo" else plan.path
        if not path.exists():
            return run, None
        options = {} if kind == "verify" else self._options(kind, plan, rough=rough)
        run.execute = options.get("execute", False)
        run.began = self.oracle.event
        self.oracle.runs[run.name] = run
        self._settings[run.name] = self._setting(plan, rough=rough)
        task = {"run": run.name, "kind": kind, "path": str(path), "options": options}
        task["workers"] = self._workers
        environment = self._sandbox.environment() | {"XDG_STATE_HOME": str(self._state)}
        return run, self._crew.start(environment, task)

    def _options(self, kind: str, plan: Plan, *, rough: bool) -> dict[str, Any]:
        """Choose how a command is called."""
        random = self._random
        options: dict[str, Any] = {"execute": True, "workers": self._workers, "stop_share": 1.0}
        if kind == "apply":
            options["agreed"] = True
        if rough:
            options["execute"] = random.random() > 0.05
            options["stop_share"] = random.choice((0.05, 1.0))
            if random.random() < 0.3:
                options["limit"] = random.randint(1, len(plan.rows) + 1)
        if random.random() < 0.3:
            options["canary"] = random.choice((0, 3))
        if not rough and not self._quiet:
            options["canary"] = 0
        return options

    def _setting(self, plan: Plan, *, rough: bool) -> dict[str, Any]:
        """Choose what happens during a command."""
        random = self._random
        # The numbers of a command are its own: two at once do not change each other's.
        setting: dict[str, Any] = {"random": Random(f"{self.seed} {self._number}"), "streak": 0}
        setting |= {"kill": 0, "faults": 0.0, "edits": 0.0, "sleeps": 0.0}
        expected = 30 if plan.way == "action" else 2 * len(plan.rows) + 4
        if rough:
            if random.random() < 0.6:
                setting["kill"] = random.randint(1, expected)
                setting["how"] = random.choice((KILL_BEFORE, KILL_AFTER))
            if random.random() < 0.3:
                setting["faults"] = random.choice((0.03, 0.1, 0.25))
            if random.random() < 0.05:
                setting["outage"] = random.randint(1, expected)
        if not self._quiet:
            setting["edits"] = random.choice((0.0, 0.05, 0.15, 0.4))
            if rough and random.random() < 0.25:
                setting["sleeps"] = 0.1
        return setting

    def _ended(self, run: Run, child: Child) -> dict[str, Any]:
        result = child.result(PATIENCE)
        self.oracle.ended(run, result)
        return result

    # --- the watcher ---

    def before(self, exchange: Exchange) -> None:
        self._ticks += 0.1
        oracle = self.oracle
        run, setting = oracle.runs[exchange.run], self._settings[exchange.run]
        if run.dead:
            exchange.what = "unheard"
            return
        oracle.arrived(exchange)
        self._current = exchange
        if setting["random"].random() < setting["edits"]:
            self._edit_at(exchange, run, setting["random"])
        exchange.what = self._what_happens(run, setting)
        oracle.handling(exchange)
        if exchange.what and exchange.what not in {KILL_AFTER, "lost", "cut"}:
            oracle.tried(exchange)

    def after(self, exchange: Exchange) -> None:
        self.oracle.handled(exchange)
        self.oracle.tried(exchange)
        setting = self._settings[exchange.run]
        if exchange.delivered and self._sleeps(exchange, setting):
            exchange.sleep = 70
            self.oracle.runs[exchange.run].slept += exchange.sleep
            self._asleep, self._current = True, None
            self._edit_at(exchange, self.oracle.runs[exchange.run], setting["random"])
            self._asleep = False

    def _sleeps(self, exchange: Exchange, setting: dict[str, Any]) -> bool:
        return exchange.method == "GET" and setting["random"].random() < setting["sleeps"]

    def kill(self, exchange: Exchange) -> None:
        self.oracle.runs[exchange.run].dead = True
        os.kill(exchange.pid, 9)
        while _lives(exchange.pid):
            time.sleep(0.0003)

    def _what_happens(self, run: Run, setting: dict[str, Any]) -> str:
        if run.requests == setting["kill"]:
            return str(setting["how"])
        if run.requests >= setting.get("outage", 10**9):
            return setting["random"].choice(FAULTS)
        random = setting["random"]
        if setting["streak"] < LONGEST_STREAK and random.random() < setting["faults"]:
            setting["streak"] += 1
            return random.choice(FAULTS)
        setting["streak"] = 0
        return ""

    def _edit_at(self, exchange: Exchange, run: Run, random: Random) -> None:
        """Somebody edits something right before a request is handled."""
        key = self.oracle.key(exchange)
        if key and random.random() < 0.5:
            if key.startswith("user "):
                self.colleagues.edit_users(random, [key.removeprefix("user ")])
            else:
                self.colleagues.edit_library(random, run.plan.action_id)
            return
        self._edit_something(random)

    def _may_edit(self, key: str) -> bool:
        """Whether an edit of an object now is one that the tool can see before it writes."""
        oracle, exchange = self.oracle, self._current
        if exchange is None or self._in_window:
            return True
        now = oracle.key(exchange)
        if exchange.method == "GET" and (now == key or (now == "actions" and key[:7] == "action ")):
            return True
        return not any(
            (name, key) in oracle._reads for name, run in oracle.runs.items() if not run.dead
        )

    def _told(self, who: str, what: str, user_ids: tuple[str, ...]) -> None:
        self.oracle.edit(judge.ASLEEP if self._asleep else who, what, user_ids)


def snapshot_of(sandbox: WatchedSandbox) -> Snapshot:
    """Return what a collection would find, without the time that it takes."""
    profiles = tabulated([user(one) for one in sandbox.users()])
    frame = to_frame(with_verdicts(profiles))
    told: dict[str, Any] = {"method": "search", "windows": 1, "requests": 1, "seconds": 1.0}
    told |= {"tenant": sandbox.domain, "users": len(frame), "sandbox": True, "complete": True}
    return Snapshot(Provenance(**told, taken_at=datetime.now(UTC), toolkit_version="0"), frame)


def connections_of(sandbox: WatchedSandbox) -> list[Connection]:
    """Return the connections as the tenant shows them."""
    return [
        Connection.of(one.name, one.strategy, one.document(with_options=True)["options"])
        for one in sandbox._store.connections
    ]


def oracle_plan(made: ToolPlan, name: str, *, irreversible: bool = False) -> Plan:
    """Return a plan as the oracle keeps it."""
    assert made.path is not None
    changes = [one for one in pq.read_table(made.path).to_pylist() if one["outcome"] == "change"]
    writes = made.way.value != "action"
    rows = {one["user_id"]: one | {"n": n} for n, one in enumerate(changes)} if writes else {}
    return Plan(name, made.way.value, made.path, rows, made.code, irreversible)


def warm(crew: Crew, folder: Path) -> None:
    """Have the process do each kind of command once, so that all is loaded."""
    with WatchedSandbox([person(n, picture=INITIALS) for n in range(3)], None) as sandbox:  # type: ignore[arg-type]
        snapshot = snapshot_of(sandbox)
        tasks = []
        for way in WAYS:
            path = folder / f"warm-{way}.plan"
            make_plan(snapshot, NEW, through=way, out=path)
            for kind in ("apply", "verify", "undo"):
                options = {} if kind == "verify" else {"execute": True}
                if kind == "apply":
                    options["agreed"] = True
                where = f"{path}.journal" if kind == "undo" else str(path)
                tasks.append({"kind": kind, "path": where, "options": options})
        found = crew.warm(sandbox.environment() | {"XDG_STATE_HOME": str(folder)}, tasks)
    assert all("outcome" in one for one in found), found


def _settled(text: str | None) -> str | None:
    if text is None:
        return None
    record = json.loads(text)
    record.pop("updated_at", None)
    return json.dumps(record)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"
