"""One run of apply or undo: what is checked before it, the lock of its tenant, and its outcome."""

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote, unquote

import platformdirs

from toolkit.change.journal import Header, Journal, State, journal_path, open_journal
from toolkit.change.plan_summary import Plan
from toolkit.change.scopes import Scopes
from toolkit.change.stop_request import Request, asked, forget
from toolkit.errors import (
    ForbiddenError,
    IncompleteError,
    OutputError,
    SettingsError,
    UnreadableInputError,
)
from toolkit.formatting import render, visible
from toolkit.progress import Progress
from toolkit.system import is_locked, locked, private_opener
from toolkit.tenant.client import Tenant
from toolkit.tenant.models import Connection

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

STOP_SHARE: Final = 0.05
"""The run stops by itself if a larger share of writes fails or is refused."""

WORKERS: Final = 8
"""Requests under way at once."""

_VERBS: Final = {"apply": "changed", "undo": "put back"}
# By whether the Action was not there before.
_ACTION_VERBS: Final = {
    ("apply", True): "created",
    ("apply", False): "updated",
    ("undo", True): "removed",
    ("undo", False): "put back as it was before",
}
_AHEAD = 4  # waiting users for each worker
_LOOK = 0.2  # seconds between two looks whether a pause has ended


@dataclass(frozen=True, slots=True)
class ActionState:
    """What a change does, or did, to an Action and its binding.

    Attributes:
        name: the Action's name.
        before: the code that ran before, or None.
        after: the code that runs afterwards, or None if it is removed.
        bindings_before: names of the Actions that ran after a login before, in order.
        bindings_after: the same afterwards; once something was written, as they were read then.
        created: whether the plan's change creates the Action, so that its undo removes it.
    """

    name: str
    before: str | None
    after: str | None
    bindings_before: tuple[str, ...]
    bindings_after: tuple[str, ...]
    created: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class Outcome:
    """The outcome of applying or undoing a plan. Numbers are users, or 1 for an Action.

    Attributes:
        kind: `apply` or `undo`.
        way: the plan's way.
        tenant: the tenant's domain.
        executed: whether it was executed; otherwise it was a rehearsal, and `done` counts what
            would be changed.
        planned: how many should be changed.
        done: changed by this run and earlier runs of the same journal.
        held: already had the new value.
        drifted: skipped, because they have changed or are gone.
        refused: left as they are, because the tenant refuses the change or their value could not be
            restored.
        failed: an error; the same command tries them again.
        lost: written, but without the new value when they were checked.
        earlier: changed by earlier runs.
        unlisted: have the new value but are not in the journal: its lines may be missing, so they
            cannot be restored.
        unsettled: lines of the journal may be missing, and the users could not be searched.
        stopped: why it stopped early, or None.
        reasons: (state, reason, how many).
        notes: what else is worth knowing.
        requests: requests sent by this run.
        limited: how many of them were answered 429.
        seconds: how long this run took.
        at: when it ended, in UTC, as ISO 8601.
        action: what becomes of the Action, for the way `action`.
    """

    kind: str
    way: str
    tenant: str
    executed: bool
    planned: int
    done: int
    held: int = 0
    drifted: int = 0
    refused: int = 0
    failed: int = 0
    lost: int = 0
    earlier: int = 0
    unlisted: int = 0
    unsettled: bool = False
    stopped: str | None = None
    reasons: tuple[tuple[str, str, int], ...] = ()
    notes: tuple[str, ...] = ()
    requests: int = 0
    limited: int = 0
    seconds: float = 0.0
    at: str = ""
    action: ActionState | None = None

    @property
    def remaining(self) -> int:
        """How many are still to be tried, including those that failed."""
        return self.planned - self.done - self.held - self.drifted - self.refused

    @property
    def complete(self) -> bool:
        """Whether the whole plan is in place: nothing skipped, refused, failed, left or lost."""
        doubt = self.lost or self.unlisted or self.unsettled
        return self.done + self.held == self.planned and not doubt

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self) | {"remaining": self.remaining, "complete": self.complete}

    @property
    def answer(self) -> str:
        """What was done, in one sentence."""
        verb = _VERBS[self.kind]
        if self.action is None:
            would = "" if self.executed else "would be "
            return f"{self.done:,} of {self.planned:,} users {would}{verb}"
        would = "was" if self.executed else "would be"
        if self.done:
            return f"The Action {would} {_ACTION_VERBS[self.kind, self.action.created]}"
        if self.held:
            place = "in place" if self.kind == "apply" else "taken back"
            return f"The Action is {place} already: nothing {would} changed"
        if self.failed:
            return "The Action could not be put back completely"
        return f"The Action {would} left as it is: somebody else changed it"

    def _lines(self) -> list[str]:
        verb = _VERBS[self.kind]
        lines = [self.answer]
        if self.action is None:
            untried = self.remaining - self.failed
            shown = (
                (self.held, "have it already"),
                (self.drifted, "skipped (changed or deleted meanwhile)"),
                (self.refused, f"cannot be {verb}"),
                (untried, "not tried"),
            )
            lines.append(", ".join(f"{number:,} {text}" for number, text in shown))
        named = (
            (self.earlier, "of them by earlier runs"),
            (self.failed, "failed"),
            (self.lost, "were written, but did not have the new value when checked"),
            (self.unlisted, "changed, but not in the journal"),
        )
        lines += [f"{number:,} {text}" for number, text in named if number]
        lines += [f"{state}: {count:,} {reason}" for state, reason, count in self.reasons if reason]
        lines += [f"stopped: {self.stopped}"] if self.stopped else []
        if self.action is not None:
            before = ", ".join(self.action.bindings_before) or "nothing"
            after = ", ".join(self.action.bindings_after) or "nothing"
            first, then = (
                ("Before, each login ran", "It runs now")
                if self.executed
                else ("Each login runs today", "From then on")
            )
            lines.append(f"{first}: {before}. {then}: {after}.")
        lines += [f"note: {note}" for note in self.notes]
        return lines if self.executed else [*lines, "a rehearsal: nothing was written"]

    def __repr__(self) -> str:
        time = f", {self.at[:16].replace('T', ' ')} UTC" if self.at else ""
        lines = [f"{self.kind} of {self.way} at {self.tenant}{time}", *self._lines()]
        return "\n  ".join(map(visible, lines))

    def _repr_html_(self) -> str:
        answer, *rest = self._lines()
        return render("change/answer.html.j2", answer=answer, lines=rest)


@dataclass(slots=True)
class Run:
    """One run of apply or undo.

    Attributes:
        tenant: the tenant.
        header: the plan, its tenant and way, and `apply` or `undo`.
        execute, limit, canary, stop_share, workers: as in `toolkit.change.apply_plan.apply`.
        earlier: changes that earlier runs of the same journal have made.
        notes: notes for the outcome.
    """

    tenant: Tenant
    header: Header
    execute: bool
    limit: int | None
    canary: int | None
    stop_share: float
    workers: int
    earlier: int = 0
    notes: list[str] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)
    _requests: int = 0
    _limited: int = 0
    _asked: Path | None = None  # the journal beside which requests stand

    def __post_init__(self) -> None:
        self._requests, self._limited = self.tenant.requests, self.tenant.refused

    def admit(self, confirm: str | None, needs: Scopes) -> None:
        """Check tenant, confirmation and scopes before anything is done.

        Raises:
            SettingsError: it is another tenant, or was not confirmed.
            ScopeError: the token lacks a scope.
        """
        here = self.tenant.domain
        if here != self.header.tenant:
            raise SettingsError(
                f"This is for {self.header.tenant}, and the tenant is {here}: set AUTH0_DOMAIN, or "
                "make a plan for this tenant."
            )
        if self.execute:
            # The form of AUTH0_DOMAIN is accepted, too.
            named = (confirm or "").strip().lower().rstrip("/")
            if named.removeprefix("http://").removeprefix("https://") != here:
                raise SettingsError(f"To write to {here}, confirm its name: --confirm {here}")
            self.tenant.require(*needs.reads, *needs.writes)
            return
        self.tenant.require(*needs.reads)
        lacking = [scope for scope in needs.writes if self.tenant.granted(scope) is False]
        if lacking:
            self.notes.append(f"the token lacks {' '.join(lacking)}: --execute would not start")

    @contextmanager
    def journal(self, path: Path) -> Iterator[Journal]:
        """Open the journal beside a plan, or beside a journal that of its undo; lock the tenant."""
        header = self.header
        place = journal_path(path)
        lock = one_at_a_time(header.tenant, header.kind, path) if self.execute else nullcontext()
        with lock, open_journal(place, header, write=self.execute) as journal:
            self.earlier = journal.count(State.DONE)
            if not self.execute:
                yield journal
                return
            forget(place)  # it was meant for an earlier run
            self._asked = place
            try:
                yield journal
            finally:
                forget(place)

    @property
    def request(self) -> Request | None:
        """What somebody asks this run for; None for nothing, and for a rehearsal."""
        return asked(self._asked) if self._asked else None

    def waiting(self, progress: Progress) -> Generator[Progress, None, None]:
        """Wait as long as somebody asks for a pause."""
        while self.request is Request.PAUSE:
            yield replace(progress, rate=None, eta=None, note="paused")
            time.sleep(_LOOK)

    def heeding(
        self, steps: Generator[Progress, None, _Result]
    ) -> Generator[Progress, None, _Result]:
        """Go through the steps of an Action, and between them do what somebody asks for.

        Raises:
            IncompleteError: somebody asked to stop.
        """
        with closing(steps):
            while True:
                try:
                    progress = next(steps)
                except StopIteration as end:
                    result: _Result = end.value
                    return result
                yield progress
                if progress.done == progress.total:
                    continue
                yield from self.waiting(progress)
                if self.request is Request.STOP:
                    raise IncompleteError(
                        "Stopped, as you asked. The journal says what was done; run the same "
                        "command again to go on."
                    )

    def connections(self) -> dict[str, Connection]:
        """Read the connections by name, to predict refusals in a rehearsal, if the token may."""
        if self.execute:
            return {}
        if self.tenant.granted("read:connections") is False:
            self.notes.append(
                "the token lacks read:connections: refusals are predicted by strategy"
            )
            return {}
        try:
            return {one.name: one for one in self.tenant.connections()}
        except ForbiddenError as error:
            self.notes.append(f"refusals are predicted by strategy: {error}")
            return {}

    def outcome(self, journal: Journal, planned: int, stopped: str | None = None) -> Outcome:
        """Return the outcome of a change of users."""
        reasons = tuple(
            (state.value, reason, count) for (state, reason), count in journal.reasons.most_common()
        )
        counts = Counter({state: journal.count(state) for state in State})
        return replace(self._outcome(counts), planned=planned, stopped=stopped, reasons=reasons)

    def action_outcome(self, action: ActionState, state: State) -> Outcome:
        """Return the outcome of a change of an Action."""
        return replace(self._outcome(Counter([state])), action=action)

    def left_as_it_is(self, action: ActionState, changes: Iterable[str], advice: str) -> Outcome:
        """Return the outcome for an Action that somebody else changed."""
        self.notes.append(
            f"somebody else changed it since: {'; '.join(changes)}. That is left as it is: look at "
            f"it in Auth0's dashboard; {advice}"
        )
        # What was planned is not what there is: say what runs at this moment.
        names = tuple(one.name for one in self.tenant.bindings())
        return self.action_outcome(replace(action, bindings_after=names), State.DRIFTED)

    def _outcome(self, counts: Counter[State]) -> Outcome:
        return Outcome(
            kind=self.header.kind,
            way=self.header.way,
            tenant=self.header.tenant,
            executed=self.execute,
            planned=1,
            done=counts[State.DONE],
            held=counts[State.HELD],
            drifted=counts[State.DRIFTED],
            refused=counts[State.REFUSED],
            failed=counts[State.FAILED],
            earlier=self.earlier,
            notes=(*self.notes, *self.tenant.notes),
            requests=self.tenant.requests - self._requests,
            limited=self.tenant.refused - self._limited,
            seconds=round(time.monotonic() - self._began, 3),
            at=datetime.now(UTC).isoformat(timespec="seconds"),
        )


def path_of(plan: Plan) -> Path:
    """Return the file of a plan.

    Raises:
        UnreadableInputError: it has no file.
    """
    if plan.path is None:
        raise UnreadableInputError("The plan was only counted: make it again with a file.")
    return plan.path


@contextmanager
def one_at_a_time(domain: str, kind: str, path: Path) -> Iterator[None]:
    """Prevent other processes of this user from changing a tenant in this block.

    The lock is a file in the user's state folder. The system releases it when the process ends in
    any way. A file beside it says to people who holds it: apply or undo (`kind`) of which file.

    Raises:
        SettingsError: another process is changing the tenant.
        OutputError: the state folder cannot be written.
    """
    folder = platformdirs.user_state_path("picture-audit")
    name = quote(domain.lower(), safe="")
    place, holder = folder / f"{name}.lock", folder / f"{name}.json"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(place):
            now = datetime.now(UTC).isoformat(timespec="seconds")
            told = {"pid": os.getpid(), "kind": kind, "path": str(path.resolve()), "since": now}
            with open(holder, "wb", opener=private_opener) as file:
                file.write(json.dumps(told).encode())
            try:
                yield
            finally:
                holder.unlink(missing_ok=True)
    except BlockingIOError:
        raise SettingsError(
            f"Another process changes {domain} at this moment: "
            f"{_holder(holder) or 'it does not say who it is'}. Wait until it has ended, or stop "
            "it (picture-audit status --stop); then run the same command again."
        ) from None
    except OSError as error:
        raise OutputError(f"Cannot write {place}: {error.strerror or error}.") from error


@dataclass(frozen=True, slots=True)
class Holder:
    """Who changes a tenant: a process, `apply` or `undo` of which file, and since when (UTC)."""

    tenant: str
    pid: int
    kind: str
    path: Path
    since: datetime

    def __str__(self) -> str:
        since = self.since.isoformat(timespec="seconds")
        return f"process {self.pid}, {self.kind} of {self.path}, since {since}"


def holders() -> Iterator[Holder]:
    """Yield who changes a tenant at this moment, as this user."""
    for place in platformdirs.user_state_path("picture-audit").glob("*.json"):
        if is_locked(place.with_suffix(".lock")) and (found := _holder(place)):
            yield found


def _holder(place: Path) -> Holder | None:
    """Return who holds a lock, from the file beside it; None if it does not say so."""
    try:
        found = json.loads(place.read_bytes())
        since = datetime.fromisoformat(found["since"]).astimezone(UTC)
        kind, path = str(found["kind"]), Path(found["path"])
        return Holder(unquote(place.stem), int(found["pid"]), kind, path, since)
    except (OSError, ValueError, TypeError, LookupError):
        return None


def in_threads(
    work: Callable[[_Item], _Result], next_item: Callable[[int], _Item | None], workers: int
) -> Generator[list[_Result], None, None]:
    """Do work on items in several threads, and yield results as they come.

    `next_item` is called with the number of items under way and returns an item, or None for none
    now; if none is under way then, it ends. Closing it waits for the items under way.
    """
    pending: set[Future[_Result]] = set()
    with ThreadPoolExecutor(workers) as pool:
        try:
            while True:
                item = next_item(len(pending)) if len(pending) < workers * _AHEAD else None
                if item is not None:
                    pending.add(pool.submit(work, item))
                elif pending:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    yield [one.result() for one in done]
                else:
                    return
        finally:
            pool.shutdown(cancel_futures=True)
