"""Judges what the tool does to a tenant: it sees every request, and every state in between.

Each event (a request, an edit of somebody else) has a number. Of each user, and of all Actions
and bindings together, the oracle keeps what stood there from which event on, and who made it
so. It uses nothing of `toolkit.change`, except for the names of the fields.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tests.change.model_server import Exchange, WatchedSandbox
from toolkit.classification.user_profile import user as normal
from toolkit.sandbox.api.action_drafts import POST_LOGIN

TOOL = "run "
"""How the names of runs begin; all others who make changes are people."""

OVERWRITTEN = "an edit of somebody else is overwritten"
REVERTED = "undo writes what did not stand there before"
OTHER_DATA = "a write changes more than it says"
UNJOURNALED = "a write is not in the journal before it is sent"
UNTRUE = "a journal line is not true"
NOT_COMPLETE = "complete, and it is not"
BUDGET = "a command goes beyond its budget"
CRASH = "a command ends with an error that is not the tool's own"
NOT_RESTORED = "after undo the tenant is not as before"
STUCK = "a command does not finish, though nothing is in its way"
UNREAD = "a write without reading the same object right before"
EDITED_PLAN = "a plan that was edited is carried out in part"

ASLEEP = "colleague while the machine slept"
"""Who edits between a read and a write that are far apart: that is no single round trip."""

WRONG_WRITES = {OVERWRITTEN, REVERTED, OTHER_DATA, UNJOURNALED, UNREAD, EDITED_PLAN}


class Version(NamedTuple):
    """What stood somewhere from an event on."""

    since: int
    who: str
    text: str | None


@dataclass
class Plan:
    """A plan as the oracle knows it, whatever becomes of its file."""

    name: str
    way: str
    path: Path
    rows: dict[str, dict[str, Any]]
    code: str | None
    irreversible: bool = False
    edited: bool = False
    # What a cut journal does not say any more: everything, or something of these users.
    unknown: bool = False
    unnamed: set[str] = field(default_factory=set)
    # What stood there before this plan's first write, by user; and the Actions and bindings.
    first_write: int = 0
    original: dict[str, Any] = field(default_factory=dict)
    former: dict[str, Any] | None = None
    steps: set[str] = field(default_factory=set)
    action_id: str | None = None

    def journal(self, kind: str) -> Path:
        name = f"{self.path.name}.journal"
        return self.path.with_name(name if kind == "apply" else f"{name}.undo")


@dataclass
class Run:
    """One command: what it is, and what it has done so far."""

    name: str
    kind: str
    plan: Plan
    workers: int = 8
    execute: bool = True
    began: int = 0
    requests: int = 0
    faults: int = 0
    pid: int = 0
    dead: bool = False
    writes: int = 0
    unreported: list[str] = field(default_factory=list)
    slept: int = 0


ABSENT = "absent"


def value(text: str | None, way: str) -> Any:
    """Return a user's field as `[value]`, or ABSENT where there is none."""
    record = json.loads(text) if text else {}
    if way == "metadata":
        record = record.get("user_metadata")
    if not isinstance(record, dict) or "picture" not in record:
        return ABSENT
    return [record["picture"]]


def shown(found: Any) -> Any:
    """Return a field as a journal shows it."""
    return None if found == ABSENT else found[0]


def rest(text: str, way: str) -> Any:
    """Return a user without the field and without what every write moves."""
    record = json.loads(text)
    record.pop("updated_at", None)
    if way == "root":
        record.pop("picture", None)
        return record
    metadata = record.pop("user_metadata", None)
    if isinstance(metadata, dict):
        metadata.pop("picture", None)
    return [record, metadata or None]


class Oracle:
    """Keeps the history of one sandbox, and what was found to be wrong."""

    def __init__(self, sandbox: WatchedSandbox, plans: list[Plan]) -> None:
        self.sandbox = sandbox
        self.plans = plans
        self.event = 0
        self.problems: list[tuple[str, str]] = []
        self.counts: Counter[str] = Counter()
        self.runs: dict[str, Run] = {}
        self.users: dict[str, list[Version]] = {}
        self.library = [Version(0, "start", self.library_now())]
        self._reads: dict[tuple[str, str], int] = {}  # no write was tried since
        self._gaps: dict[tuple[str, str], int] = {}
        self._looked: dict[tuple[str, str], int] = {}
        self._contacts: dict[tuple[str, str, str], tuple[int, str | None]] = {}
        self._seen: dict[Path, int] = {}
        self._polled = 0
        self._begun: dict[tuple[Path, str], list[Any]] = {}
        self._befores: dict[tuple[str, str], Any] = {}
        self._numbers: dict[tuple[Path, int], str] = {}
        self._before: str | None = None
        self._trail: list[str] = []
        for record in sandbox.users():
            self.observe_user(record["user_id"], "start")
        self.start = {name: history[-1].text for name, history in self.users.items()}

    # --- what stands there ---

    @property
    def store(self) -> Any:
        return self.sandbox._store

    def user_now(self, user_id: str) -> str | None:
        return self.store.user(user_id)

    def library_now(self) -> str:
        library = self.sandbox._library
        with library.lock:
            actions = {
                one.id: {
                    "name": one.draft.name,
                    "draft": one.draft.code,
                    "live": one.live.draft.code if one.live else None,
                    "ready": _ready(one),
                }
                for one in library.actions()
            }
            bindings = [[one.action.id, one.display_name] for one in library.bindings(POST_LOGIN)]
        return json.dumps({"actions": actions, "bindings": bindings})

    def observe_user(self, user_id: str, who: str) -> None:
        text = self.user_now(user_id)
        history = self.users.setdefault(user_id, [])
        if not history or history[-1].text != text:
            history.append(Version(self.event, who, text))

    def observe_library(self, who: str) -> None:
        text = self.library_now()
        if self.library[-1].text != text:
            self.library.append(Version(self.event, who, text))

    def since(self, history: list[Version], event: int) -> list[Version]:
        """Return what stood there at an event, and all that came after it."""
        start = 0
        for place, one in enumerate(history):
            if one.since <= event:
                start = place
        return history[start:]

    def values(self, user_id: str, event: int) -> list[str | None]:
        history = self.users.get(user_id, [Version(0, "start", None)])
        return [one.text for one in self.since(history, event)]

    # --- people who change things ---

    def edit(self, who: str, what: str, user_ids: tuple[str, ...] = ()) -> None:
        """Take in what somebody else has just done."""
        self.event += 1
        self.counts["edits"] += 1
        self._trail.append(f"{self.event} {who}: {what}")
        for user_id in user_ids:
            self.observe_user(user_id, who)
        self.observe_library(who)

    # --- requests ---

    def arrived(self, exchange: Exchange) -> None:
        """Take in a request before it is handled, and before anybody edits anything."""
        self.event += 1
        run = self.runs[exchange.run]
        run.requests += 1
        self.counts["requests"] += 1
        self.poll()

    def key(self, exchange: Exchange) -> str | None:
        """Name the object that a request is about."""
        parts = exchange.path.split("/")
        if exchange.path.startswith("users/"):
            return "user " + exchange.path.removeprefix("users/")
        if parts[:2] == ["actions", "actions"]:
            return "action " + parts[2] if len(parts) > 2 else "actions"
        return "bindings" if parts[:2] == ["actions", "triggers"] else None

    def is_read(self, exchange: Exchange) -> bool:
        return exchange.method == "GET"

    def handling(self, exchange: Exchange) -> None:
        """Look at the object of a write before it is done."""
        key = self.key(exchange)
        self._trail.append(
            f"{self.event} {exchange.run}: {exchange.method} {exchange.path} "
            f"{'' if exchange.body is None else json.dumps(exchange.body)[:160]} {exchange.what}"
        )
        self._before = None
        if key and exchange.method == "PATCH" and key.startswith("user "):
            self._before = self.user_now(key.removeprefix("user "))

    def handled(self, exchange: Exchange) -> None:
        """Judge a request that the tenant has just handled."""
        run, key = self.runs[exchange.run], self.key(exchange)
        status = exchange.status or 500
        self._trail[-1] += f" -> {status}{'' if exchange.delivered else ' not delivered'}"
        if key is None:
            return
        if exchange.method == "GET":
            self._read(run, key, exchange)
            return
        if key.startswith("user "):
            user_id = key.removeprefix("user ")
            if status < 300:
                self._written_user(run, user_id, exchange.body)
            self.observe_user(user_id, run.name)
            if exchange.delivered:
                self._contact(run, user_id)
        else:
            before = self.library[-1].text
            self.observe_library(run.name)
            if status < 300:
                self._written_library(run, key, exchange, json.loads(before or "{}"))
            if exchange.delivered:
                self._contacts[run.plan.name, run.kind, "library"] = (
                    self.event,
                    self.library[-1].text,
                )

    def tried(self, exchange: Exchange) -> None:
        """Take in, last of all, that a request was tried: what was read is used up by a write."""
        run, key = self.runs[exchange.run], self.key(exchange)
        if exchange.what:
            run.faults += 1
        for (name, other), gap in list(self._gaps.items()):
            if name == run.name and other != key and exchange.path != "oauth/token":
                self._gaps[name, other] = gap + 1
        if key and exchange.method != "GET":
            self._reads.pop((run.name, key), None)

    def _contact(self, run: Run, user_id: str) -> None:
        text = self.user_now(user_id)
        self._contacts[run.plan.name, run.kind, user_id] = (self.event, text)

    def _read(self, run: Run, key: str, exchange: Exchange) -> None:
        if exchange.delivered:
            keys = [key]
            if key == "actions":
                keys = [
                    f"action {one}" for one in json.loads(self.library[-1].text or "")["actions"]
                ]
            for one in keys:
                self._reads[run.name, one] = self._looked[run.name, one] = self.event
                self._gaps[run.name, one] = 0
            if key.startswith("user "):
                self._contact(run, key.removeprefix("user "))
            else:
                self._contacts[run.plan.name, run.kind, "library"] = (
                    self.event,
                    self.library[-1].text,
                )
        self.observe_library(run.name)  # a build goes on while it is read

    def problem(self, kind: str, text: str) -> None:
        self.problems.append((kind, f"[event {self.event}] {text}"))

    def _count_write(self, run: Run) -> None:
        run.writes += 1
        self.counts["writes"] += 1
        run.plan.first_write = run.plan.first_write or self.event

    # --- users ---

    def _written_user(self, run: Run, user_id: str, body: dict[str, Any]) -> None:
        """Judge a write that the tenant took."""
        self._count_write(run)
        plan = run.plan
        before, after = self._before or "{}", self.user_now(user_id) or "{}"
        stood = value(before, plan.way)
        sent = body.get("picture") if plan.way == "root" else body["user_metadata"].get("picture")
        what = f"{run.name} writes {sent!r} to {user_id} over {stood!r}"
        row = plan.rows.get(user_id)
        if plan.edited or row is None:
            self.problem(EDITED_PLAN if plan.edited else OVERWRITTEN, f"{what}: not in the plan")
        if row is None:
            return
        if rest(before, plan.way) != rest(after, plan.way) and not plan.irreversible:
            self.problem(OTHER_DATA, what)
        begun = self._begun.get((plan.journal(run.kind), user_id))
        if begun is None or begun[1] != sent or begun[2]:
            self.problem(UNJOURNALED, f"{what}: {begun}")
        self._judge_read(run, user_id, what)
        if run.kind == "apply":
            column = "picture" if plan.way == "root" else "metadata_picture"
            entitled = getattr(normal(json.loads(before)), column) == row[column]
            if sent != row["after"]:
                self.problem(OVERWRITTEN, f"{what}: the plan says {row['after']!r}")
        else:
            entitled = shown(stood) == row["after"]
            original = plan.original.get(user_id)
            if original is None or shown(original) != sent:
                self.problem(REVERTED, f"{what}: before apply there was {original!r}")
        if not entitled:
            # Where somebody has just set the same, nobody can tell it from this write.
            same = shown(stood) == sent
            read = self._as_read(run, user_id)
            stood = read if same else self._judge_user(run, user_id, stood, what)
        if run.kind == "apply":
            plan.original.setdefault(user_id, stood)

    def _judge_read(self, run: Run, user_id: str, what: str) -> None:
        key = run.name, f"user {user_id}"
        if key not in self._reads:
            self.problem(UNREAD, f"{what}: not read by id")
        elif self._gaps[key] > (1 if run.workers == 1 else 6 * run.workers):
            self.problem(UNREAD, f"{what}: {self._gaps[key]} requests after reading")

    def _judge_user(self, run: Run, user_id: str, stood: Any, what: str) -> Any:
        """Judge that what stood there was not expected; return what undo shall put back."""
        read = self._reads.get((run.name, f"user {user_id}"))
        history = self.users[user_id]
        made = _made(history, lambda one: value(one.text, run.plan.way))
        if self._overwritten(run, read, made, what):
            return stood
        return self._as_read(run, user_id)

    def _as_read(self, run: Run, user_id: str) -> Any:
        """Return what stood there when it was read: all that anybody can know."""
        read = self._reads.get((run.name, f"user {user_id}"))
        return value(self.values(user_id, read or 0)[0], run.plan.way)

    def _overwritten(
        self, run: Run, read: int | None, made: Version, what: str, *, shows: bool = False
    ) -> bool:
        """Judge an edit that a write took away; tell whether that is a wrong write.

        Args:
            run: what wrote.
            read: the event at which it had read the same object last.
            made: the edit.
            what: in words.
            shows: whether the tenant's answers show afterwards that there was an edit.
        """
        what += f", made by {made.who} at event {made.since}; read at {read}"
        others = made.who != ASLEEP and not made.who.startswith(TOOL)
        if read is not None and made.since > read and others:
            # Within the one round trip: nobody can prevent that.
            self.counts["edits within one round trip, overwritten"] += 1
            if shows:
                run.unreported.append(what)
            return False
        self.problem(OVERWRITTEN, what)
        return True

    # --- Actions and bindings ---

    def _written_library(
        self, run: Run, key: str, exchange: Exchange, before: dict[str, Any]
    ) -> None:
        """Judge a write that the tenant took."""
        plan = run.plan
        self._count_write(run)
        what = f"{run.name}: {exchange.method} {exchange.path}"
        if plan.former is None:
            self.problem(UNJOURNALED, what)
        if key == "bindings":
            self._written_bindings(run, before["bindings"], what)
        action_id = key.removeprefix("action ")
        old = before["actions"].get(action_id)
        if old is None:
            return  # bindings, or a new Action, which overwrites nothing
        former = plan.former or {}
        known = {plan.code, former.get("draft"), former.get("deployed"), None}
        parts = ["draft", "live"] if exchange.method == "DELETE" else ["draft"]
        if exchange.path.endswith("/deploy"):
            parts = ["live"]
            self._deployed(run, action_id, old, exchange.path)
        for part in parts:
            if old[part] not in known:
                self._judge_library(run, action_id, part, f"{what} over {old[part]!r} ({part})")

    def _deployed(self, run: Run, action_id: str, old: dict[str, Any], path: str) -> None:
        """Judge what was deployed: our draft, or a former version."""
        former = run.plan.former or {}
        wanted = run.plan.code if run.kind == "apply" else former.get("deployed")
        if "/versions/" not in path:
            if old["draft"] != wanted:
                self._judge_library(run, action_id, "draft", f"{run.name}: deploys another's draft")
            return
        live = json.loads(self.library[-1].text or "")["actions"][action_id]["live"]
        if live != wanted:
            self.problem(REVERTED, f"{run.name}: deploys {live!r}, which did not run before")

    def _judge_library(self, run: Run, action_id: str, part: str, what: str) -> None:
        def seen(one: Version) -> Any:
            return json.loads(one.text or "")["actions"].get(action_id, {}).get(part)

        # The last version is the one that this write has made, if it changed anything.
        history = [one for one in self.library if one.since < self.event or one.who != run.name]
        self._overwritten(
            run,
            self._reads.get((run.name, f"action {action_id}")),
            _made(history, seen),
            what,
            shows=part == "live",
        )

    def _written_bindings(self, run: Run, old: list[list[str]], what: str) -> None:
        plan = run.plan
        new = json.loads(self.library[-1].text or "")["bindings"]
        ours = plan.action_id
        old_others, new_others = ([one for one in some if one[0] != ours] for some in (old, new))
        was, is_bound = (any(one[0] == ours for one in some) for some in (old, new))

        def seen(one: Version) -> Any:
            return json.loads(one.text or "")["bindings"]

        history = [one for one in self.library if one.since < self.event or one.who != run.name]
        wrong = ""
        if old_others != new_others:
            wrong = f"{what}: others were {old_others}, are {new_others}"
        elif was and is_bound and old != new:
            wrong = f"{what}: moved to another place"
        elif run.kind == "apply" and not was and is_bound and "bound" in plan.steps:
            wrong = f"{what}: binds again what somebody unbound"
        if wrong:
            read = self._reads.get((run.name, "bindings"))
            self._overwritten(run, read, _made(history, seen), wrong, shows=True)

    # --- journals ---

    def forget(self, path: Path) -> None:
        """Take a journal as it is now: the test itself has cut it."""
        self._seen[path] = path.stat().st_size if path.exists() else 0

    def poll(self) -> None:
        """Judge the lines that were written since the last event."""
        for plan in self.plans:
            for kind in ("apply", "undo"):
                path = plan.journal(kind)
                if not path.exists():
                    continue
                with path.open("rb") as file:
                    file.seek(self._seen.get(path, 0))
                    found = file.read()
                whole = found[: found.rfind(b"\n") + 1]
                self._seen[path] = self._seen.get(path, 0) + len(whole)
                for line in whole.splitlines():
                    self._line(plan, kind, path, json.loads(line))
        self._polled = self.event

    def _interval(self, plan: Plan, kind: str, key: str) -> int:
        """Return the event from which on a line that was just written may be true."""
        looks = [
            self._looked.get((run.name, key), self._polled)
            for run in self.runs.values()
            if run.plan is plan and run.kind == kind and not run.dead
        ]
        return min([self._polled, *looks])

    def _line(self, plan: Plan, kind: str, path: Path, line: dict[str, Any]) -> None:
        self.counts["journal lines"] += 1
        if "user" in line:
            self._begin(plan, kind, path, line)
        elif "step" in line:
            step = line["step"]
            if isinstance(step, dict):
                self._step(plan, kind, step)
        elif "state" in line and "n" in line:
            self._end(plan, kind, path, line)

    def _begin(self, plan: Plan, kind: str, path: Path, line: dict[str, Any]) -> None:
        user_id, before, after = line["user"], line["before"], line["after"]
        start = self._interval(plan, kind, f"user {user_id}")
        stood = [shown(value(one, plan.way)) for one in self.values(user_id, start)]
        if before not in stood:
            self.problem(UNTRUE, f"{kind} {user_id}: before is {before!r}, there was {stood!r}")
        self._numbers[path, line["n"]] = user_id
        if kind == "apply":
            self._befores.setdefault((plan.name, user_id), before)
        first = self._begun.get((path, user_id), [self.event])[0]
        self._begun[path, user_id] = [first, after, False, self.event]

    def _end(self, plan: Plan, kind: str, path: Path, line: dict[str, Any]) -> None:
        user_id = self._numbers.get((path, line["n"]))
        begun = self._begun.get((path, user_id)) if user_id is not None else None
        if begun:
            begun[2] = True
        if user_id is None:
            # Held, drifted or refused without being begun: the plan says who it is.
            user_id = next((n for n, row in plan.rows.items() if row["n"] == line["n"]), None)
        row = plan.rows.get(user_id or "")
        if user_id is None or row is None:
            if not plan.edited:
                self.problem(UNTRUE, f"{kind} line for nobody: {line}")
            return
        start = self._interval(plan, kind, f"user {user_id}")
        if line["state"] == "done" and begun:
            start = begun[0]
        now = self.values(user_id, start)
        stood = [shown(value(one, plan.way)) for one in now]
        if begun:
            target = begun[1]
        elif kind == "apply":
            target = row["after"]
        else:
            target = self._befores.get((plan.name, user_id))
        true = {
            "done": target in stood,
            "held": target in stood,
            "drifted": any(self._drifted(plan, kind, row, one) for one in now),
            "refused": not self._took(user_id, begun, now),
        }
        if not true.get(line["state"], True):
            what = f"{kind} {user_id} {line['state']} ({line['reason']})"
            self.problem(UNTRUE, f"{what}: there was {stood!r}, written {target!r}")

    def _took(self, user_id: str, begun: list[Any] | None, now: list[str | None]) -> bool:
        """Whether the tenant took a write that was begun, and it stands there."""
        last = self.users[user_id][-1]
        way = next(plan.way for plan in self.plans if user_id in plan.rows)
        stands = begun is not None and shown(value(last.text, way)) == begun[1]
        return stands and last.who.startswith(TOOL) and len(now) > 1

    def _drifted(self, plan: Plan, kind: str, row: dict[str, Any], text: str | None) -> bool:
        if text is None:
            return True
        record = normal(json.loads(text))
        if kind == "undo":
            return shown(value(text, plan.way)) != row["after"]
        watched = ("connection", "picture", "metadata_picture")
        return any(getattr(record, name) != row[name] for name in watched)

    def _step(self, plan: Plan, kind: str, step: dict[str, Any]) -> None:
        name, one = step.get("step"), step.get("id")
        keys = ["bindings", f"action {one}"]
        start = min(self._interval(plan, kind, key) for key in keys)
        states = [json.loads(found.text or "") for found in self.since(self.library, start)]
        every = [json.loads(found.text or "") for found in self.library]
        true = True
        if kind == "apply":
            plan.steps.add(str(name))
        if name == "former":
            plan.former = step
            plan.action_id = one or plan.action_id
            true = any(_is_former(step, state) for state in states)
        elif name == "written":
            plan.action_id = one
            true = any(state["actions"].get(one, {}).get("draft") == plan.code for state in every)
        elif name == "deployed":
            true = any(state["actions"].get(one, {}).get("live") == plan.code for state in every)
        elif name == "bound":
            true = any(_bound(state, one) for state in every)
        elif name == "unbound":
            true = any(not _bound(state, one) for state in states)
        elif name == "removed":
            true = any(one not in state["actions"] for state in states)
        elif name == "restored" and plan.former:
            wanted = plan.former["draft"], plan.former["deployed"]
            true = any(
                state["actions"].get(one, {}).get("draft") == wanted[0]
                and wanted[1] in {None, state["actions"].get(one, {}).get("live")}
                for state in every
            )
        if not true:
            self.problem(UNTRUE, f"{kind} step {json.dumps(step)[:200]}")

    # --- the end of a run ---

    def ended(self, run: Run, result: dict[str, Any]) -> None:
        """Judge how a command ended."""
        self.poll()
        run.dead = True
        self.counts["commands"] += 1
        if result.get("hung"):
            self.problem(BUDGET, f"{run.name} did not end")
        elif result.get("killed"):
            self.counts["killed"] += 1
        else:
            self._ended_by_itself(run, result)

    def _ended_by_itself(self, run: Run, result: dict[str, Any]) -> None:
        if result.get("crash"):
            self.problem(CRASH, f"{run.name}: {result['error'][1]}")
        # Two requests for a user, and one to read it back.
        most = 3 * len(run.plan.rows) + 25 if run.plan.rows else 80
        if run.requests > most + 20 * run.faults:
            self.problem(BUDGET, f"{run.name}: {run.requests} requests, not {most}")
        longest = 120 + 70 * run.faults + run.slept
        if result["seconds"] > longest:
            self.problem(BUDGET, f"{run.name}: {result['seconds']:.0f} s, not {longest}")
        outcome = result.get("outcome")
        if outcome is None or not outcome["complete"]:
            return
        self.counts["complete"] += 1
        for what in run.unreported:
            self.problem(NOT_COMPLETE, f"says nothing of: {what}")
        if not run.execute and run.kind != "verify":
            return
        if run.plan.way == "action":
            self._complete_action(run)
        elif run.kind == "undo":
            self._complete_undo(run)
        else:
            self._complete_apply(run)

    def _complete_apply(self, run: Run) -> None:
        plan = run.plan
        for user_id, row in plan.rows.items():
            contact = self._contacts.get((plan.name, run.kind, user_id))
            texts = [contact[1]] if contact else self.values(user_id, run.began)
            if not any(text and value(text, plan.way) == [row["after"]] for text in texts):
                self.problem(NOT_COMPLETE, f"{run.name} of {user_id}: {texts!r:.200}")

    def _complete_undo(self, run: Run) -> None:
        plan = run.plan
        for user_id, original in plan.original.items():
            history = self.users[user_id]
            now = value(history[-1].text, plan.way)
            # A null is as good as nothing: what is written as null is removed.
            if history[-1].text is not None and shown(now) == shown(original):
                continue
            made = _made(history, lambda one: value(one.text, plan.way))
            contact = self._contacts.get((plan.name, "undo", user_id))
            if user_id in plan.unnamed:
                contact = None  # that nothing of this plan stands there is all one can find out
            what = f"{run.name} of {user_id}: {now!r}, before apply {original!r}, by {made.who}"
            if made.who.startswith(TOOL) and self.runs[made.who].plan is plan:
                self.problem(NOT_COMPLETE, f"{what}: still changed")
            elif contact and (
                contact[1] is None or shown(value(contact[1], plan.way)) != shown(original)
            ):
                self.problem(NOT_COMPLETE, f"{what}: had drifted")

    def _complete_action(self, run: Run) -> None:
        plan = run.plan
        contact = self._contacts.get((plan.name, run.kind, "library"))
        if contact is None:
            return
        state = json.loads(contact[1] or "")
        if run.kind != "undo":
            ours = [one for one, found in state["actions"].items() if found["live"] == plan.code]
            if not any(_bound(state, one) for one in ours):
                self.problem(NOT_COMPLETE, f"{run.name}: the Action does not run: {state}")
            return
        former = plan.former
        if not plan.first_write or former is None or plan.action_id is None or plan.unknown:
            return
        found = state["actions"].get(plan.action_id)
        if former["id"] is None:
            if found is not None:
                self.problem(NOT_COMPLETE, f"{run.name}: the Action is still there")
        elif found is None or (found["draft"], found["live"]) != (
            former["draft"],
            former["deployed"] or found["live"],
        ):
            self.problem(NOT_COMPLETE, f"{run.name}: not its former code")

    def trail(self) -> str:
        return "\n".join(self._trail)


def _made(history: list[Version], seen: Any) -> Version:
    """Return who made what stands there last."""
    made = history[-1]
    for one in reversed(history):
        if seen(one) != seen(history[-1]):
            return made
        made = one
    return made


def _ready(action: Any) -> str | None:
    """Return the code that is said to be deployed."""
    for version in reversed(action.versions):
        if version.with_creation or version.rollout.reads >= 2:
            return version.draft.code
    return None


def _bound(state: dict[str, Any], action_id: object) -> bool:
    return any(one[0] == action_id for one in state["bindings"])


def _is_former(step: dict[str, Any], state: dict[str, Any]) -> bool:
    if step["bindings"] != state["bindings"]:
        return False
    if step["id"] is None:
        return True
    found = state["actions"].get(step["id"])
    if found is None or found["draft"] != step["draft"]:
        return False
    return step["deployed"] in {found["live"], found["ready"]}
