"""Which changes stand in a folder, how far each has come, and what to do next.

It is read from plans, journals and the lock of a tenant, and says the same in every process.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from toolkit.change.action import read_setup, recorded_change
from toolkit.change.javascript import recognised
from toolkit.change.journal import Journal, State, journal_path, plan_path, read_journal
from toolkit.change.plan_file import read_plan
from toolkit.change.plan_summary import Plan
from toolkit.change.run import Holder, holders
from toolkit.change.stop_request import Request, asked
from toolkit.change.undo_journal import TO_RESTORE, undone
from toolkit.change.ways import Way
from toolkit.errors import PictureAuditError, SettingsError, UnreadableInputError
from toolkit.formatting import visible
from toolkit.system import command_line
from toolkit.tenant.client import Tenant

_PROGRAM = "picture-audit"


class Stage(StrEnum):
    """How far a change has come."""

    RUNNING = "running"
    STOPPED = "stopped"
    COMPLETE = "complete"
    UNDONE = "undone"
    UNUSABLE = "unusable"


@dataclass(frozen=True, slots=True)
class Change:
    """A plan that was applied, at least in part. Numbers are users, or 1 for an Action.

    Attributes:
        plan: the plan's file, which may be gone.
        tenant, way: the tenant's domain, and the plan's way.
        picture: the default picture; empty if the plan cannot be read.
        stage: running, stopped, complete, undone; unusable if the journal cannot be read.
        kind: what is running, stopped or complete: `apply`, or `undo` once that was begun.
        planned: how many should be changed, or put back.
        done: how many are.
        held: had the value already.
        skipped: left as they are, because somebody changed them.
        refused: left as they are, because the tenant refuses the change.
        untried: not tried yet, or failed.
        began: when it was first applied, in UTC; None if not known.
        ended: when it ended last, in UTC; None while it runs.
        request: what the running change is asked for: `pause`, `stop`, or None.
        holder: which process runs it, or None.
        note: why it is unusable; empty otherwise.
    """

    plan: Path
    tenant: str
    way: str
    picture: str = ""
    stage: Stage = Stage.UNUSABLE
    kind: str = "apply"
    planned: int = 0
    done: int = 0
    held: int = 0
    skipped: int = 0
    refused: int = 0
    untried: int = 0
    began: datetime | None = None
    ended: datetime | None = None
    request: Request | None = None
    holder: Holder | None = None
    note: str = ""

    @property
    def journal(self) -> Path:
        """The journal of the change, which its undo reads."""
        return journal_path(self.plan)

    @property
    def written_journal(self) -> Path:
        """The journal that is being written, or was written last."""
        return journal_path(self.journal) if self.kind == "undo" else self.journal

    @property
    def when(self) -> str:
        """The time by which people know it."""
        time = self.began or self.ended
        return f"{time:%Y-%m-%d %H:%M} UTC" if time else "an unknown time"

    @property
    def what(self) -> str:
        """What it brings, in a few words."""
        name = self.picture.rpartition("/")[2] or self.plan.name
        return f"{self.way}, {name}"

    @property
    def count(self) -> str:
        """How many of how many."""
        if self.way == Way.ACTION:
            return "the Action" if self.done else "the Action, not finished"
        return f"{self.done:,} of {self.planned:,} people"

    @property
    def words(self) -> str:
        """How far it has come, in one sentence."""
        left = f"{self.skipped:,} skipped, {self.refused:,} refused, {self.untried:,} not tried"
        numbers = "" if self.way == Way.ACTION else f" ({left})"
        undoing = "undo " if self.kind == "undo" else ""
        ended = f" at {self.ended:%H:%M} UTC" if self.ended else ""
        match self.stage:
            case Stage.RUNNING:
                paused = {Request.PAUSE: ", asked to pause", Request.STOP: ", asked to stop"}
                since = f", started {self.holder.since:%H:%M} UTC" if self.holder else ""
                asked_for = paused[self.request] if self.request else ""
                return f"{undoing}running: {self.count}{since}{asked_for}"
            case Stage.STOPPED:
                return f"{undoing}stopped{ended} at {self.count}{numbers}"
            case Stage.COMPLETE:
                return f"in place{ended.replace(' at ', ' since ')}: {self.count}{numbers}"
            case Stage.UNDONE:
                return f"undone{ended}: {self.count}{numbers}"
        return f"unusable: {self.note}"

    @property
    def next(self) -> Mapping[str, str]:
        """What can be done now, and the exact command for it."""
        plan, journal = str(self.plan), str(self.journal)
        sure = ("--execute", "--confirm", self.tenant)
        match self.stage:
            case Stage.RUNNING:
                folder = str(self.plan.parent)
                rest = "resume" if self.request is Request.PAUSE else "pause"
                return {
                    rest: _command("status", "--folder", folder, f"--{rest}"),
                    "stop": _command("status", "--folder", folder, "--stop"),
                }
            case Stage.STOPPED if self.kind == "undo":
                return {"go on": _command("undo", journal, *sure)}
            case Stage.STOPPED:
                return {
                    "go on": _command("apply", plan, *sure),
                    "put back": _command("undo", journal, *sure),
                }
            case Stage.COMPLETE:
                return {"check": _command("verify", plan), "put back": _command("undo", journal)}
        return {}

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        found = asdict(self) | {"plan": str(self.plan), "journal": str(self.journal)}
        for name in ("began", "ended"):
            time = found[name]
            found[name] = time and time.isoformat(timespec="seconds")
        found["pid"] = self.holder.pid if self.holder else None
        del found["holder"]
        return found | {"words": self.words, "next": dict(self.next)}


def changes(folder: Path | str, tenant: str | None = None, *, deep: bool = False) -> list[Change]:
    """Find the changes in a folder, the newest first.

    Args:
        folder: where plans and their journals are.
        tenant: a tenant's domain, whose changes are meant; None for all. What runs at this moment
            is found wherever it stands.
        deep: whether to look in the folders of this folder, too.
    """
    running = {_plan_of(one): one for one in holders() if tenant in {None, one.tenant}}
    look = Path(folder).rglob if deep else Path(folder).glob
    plans = {plan_path(one).resolve() for one in look("*.journal")}
    found = [_change(plan, running.get(plan)) for plan in plans | running.keys()]
    mine = [one for one in found if tenant in {None, one.tenant, ""}]
    oldest = datetime.min.replace(tzinfo=UTC)
    return sorted(mine, key=lambda one: (one.began or one.ended or oldest, one.plan), reverse=True)


def told(found: Sequence[Change], folder: Path | str) -> Iterator[str]:
    """Yield lines: how far each change has come, and the commands for what is next."""
    if not found:
        yield f"No plan was applied yet (folder: {folder})."
    for one in found:
        yield f"{one.when} · {one.what}{f' · {one.tenant}' if one.tenant else ''}: {one.words}"
        yield from (f"    {what}: {command}" for what, command in one.next.items())


@dataclass(frozen=True, slots=True)
class Live:
    """What this tool's Action does at a tenant at this moment.

    Attributes:
        tenant: the tenant's domain.
        picture: the default picture that logins get; None if there is none.
        action: the Action's name, or None if there is none.
        deployed: whether any version of it is deployed.
        bound: whether it runs at each login.
    """

    tenant: str
    picture: str | None = None
    action: str | None = None
    deployed: bool = False
    bound: bool = False

    def __str__(self) -> str:
        if self.picture:
            said = f"the default picture {self.picture} is live, by the Action {self.action}."
        elif self.action:
            why = "is not bound to a login" if self.deployed else "is not deployed"
            said = f"no default picture of this tool is live: its Action {self.action} {why}."
        else:
            said = "no default picture of this tool is live."
        return visible(f"At {self.tenant} now: {said}")


def live(tenant: Tenant) -> Live:
    """Read what is live at a tenant (scope `read:actions`).

    Raises:
        SettingsError: there are several Actions of this tool.
        TenantError: the tenant refused or did not answer.
    """
    now = read_setup(tenant)
    if now.action is None:
        return Live(tenant.domain)
    policy = recognised(now.deployed)
    picture = policy.picture if policy and now.bound else None
    return Live(tenant.domain, picture, now.action.name, now.deployed is not None, now.bound)


def _command(*words: str) -> str:
    return command_line((_PROGRAM, *words))


def _plan_of(holder: Holder) -> Path:
    return plan_path(holder.path) if holder.kind == "undo" else holder.path


def _change(plan: Path, holder: Holder | None) -> Change:
    """Read one change; what cannot be read says why."""
    try:
        made: Plan | None = read_plan(plan)
    except UnreadableInputError:
        made = None
    known = (made.tenant, made.way.value, made.policy.picture) if made else ("", "", "")
    try:
        if holder is not None and not journal_path(plan).exists():
            # It is about to write its first line.
            return Change(plan, holder.tenant, *known[1:], Stage.RUNNING, holder=holder)
        done = read_journal(journal_path(plan))
        picture = made.policy.picture if made else ""
        about = (plan, done.header.tenant, done.header.way, picture)
        back = journal_path(done.path)
        own = read_journal(back) if back.exists() else None
        return _read(about, made, done, own, holder)
    except (PictureAuditError, OSError) as error:
        return Change(plan, *known, note=str(error))


def _read(
    about: tuple[Path, str, str, str],
    made: Plan | None,
    done: Journal,
    own: Journal | None,
    holder: Holder | None,
) -> Change:
    written = done if own is None else own
    kind = written.header.kind
    counts = {one: written.count(one) for one in State}
    if done.header.way == Way.ACTION:
        planned, finished = 1, int(_is_finished(done, own))
        counts[State.DONE] = finished
    else:
        planned = _planned(made, done, own)
    settled = sum(counts[one] for one in (State.DONE, State.HELD, State.DRIFTED, State.REFUSED))
    if holder is not None:
        stage = Stage.RUNNING
    elif own is not None:
        stage = Stage.UNDONE if undone(done.path) else Stage.STOPPED
    else:
        stage = Stage.COMPLETE if settled >= planned else Stage.STOPPED
    return Change(
        *about,
        stage=stage,
        kind=kind,
        planned=planned,
        done=counts[State.DONE],
        held=counts[State.HELD],
        skipped=counts[State.DRIFTED],
        refused=counts[State.REFUSED],
        untried=max(planned - settled, 0),
        began=done.began or (made.made_at if made else None),
        ended=None if holder else written.ended or written.last_written,
        request=asked(written.path) if holder else None,
        holder=holder,
    )


def _is_finished(done: Journal, own: Journal | None) -> bool:
    if own is not None:
        return undone(done.path)
    change = recorded_change(done.steps)
    return change is not None and change.finished


def _planned(made: Plan | None, done: Journal, own: Journal | None) -> int:
    if own is not None:
        return sum(map(done.count, TO_RESTORE))
    # Without the plan, the journal knows only those that were begun.
    return made.changes if made else sum(map(done.count, State))


def running(folder: Path | str, tenant: str | None = None) -> Iterator[Change]:
    """Yield the changes that run at this moment.

    Raises:
        SettingsError: none does.
    """
    found = [one for one in changes(folder, tenant, deep=True) if one.stage is Stage.RUNNING]
    if not found:
        raise SettingsError("No change is running.")
    yield from found
