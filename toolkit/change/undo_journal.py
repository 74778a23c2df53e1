"""Undo: restore what a journal says was changed, except where somebody has changed it since.

Like any change it is rehearsed by default, reads each user before the write, is recorded in a
journal (`….journal.undo` beside the first) and can be resumed; then it checks the result.
"""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from toolkit.change.action import (
    NAME,
    ChangedByOthersError,
    Former,
    Made,
    Standing,
    former_of,
    made_of,
    moved,
    restoring,
    standing,
)
from toolkit.change.edit import Edit
from toolkit.change.journal import (
    Header,
    Journal,
    State,
    journal_path,
    locked,
    open_journal,
    plan_path,
    read_journal,
)
from toolkit.change.outcome import ActionState, Outcome
from toolkit.change.plan_file import edits, read_plan
from toolkit.change.run import STOP_SHARE, WORKERS, Errand, Safeguards
from toolkit.change.scopes import scopes_of
from toolkit.change.verify_plan import reading_back
from toolkit.change.ways import Way
from toolkit.change.writing import Writing, predicted
from toolkit.errors import IncompleteError, SettingsError, TenantError, UnreadableInputError
from toolkit.progress import Progress, Show, long_job
from toolkit.tenant.client import Tenant

# A change without a recorded result may have been made: users with the new value are restored.
_TOUCHED = (State.DONE, State.BEGUN, State.FAILED)


@long_job
def undo(  # noqa: PLR0913 - one for each safeguard
    tenant: Tenant,
    journal: Path | str,
    *,
    execute: bool = False,
    confirm: str | None = None,
    limit: int | None = None,
    canary: int | None = None,
    stop_share: float = STOP_SHARE,
    workers: int = WORKERS,
    sample: int | None = None,
    show: Show | None = None,  # noqa: ARG001 - for `long_job`
) -> Generator[Progress, None, Outcome]:
    """Undo the changes of a journal, or rehearse that.

    Args:
        tenant: what `toolkit.connect` returned.
        journal: the journal of an applied plan.
        execute: whether to write; otherwise everything but the writes is done.
        confirm: the tenant's domain, typed once more; needed to execute.
        limit: the most users that this run writes; the next run continues.
        canary: how many users to write and check first; None for a few, 0 for none.
        stop_share: the run stops if a larger share of writes fails.
        workers: how many writes to send at once.
        sample: how many users to check at the end; None for all.
        show: called with each `Progress`, in users or in steps of an Action.

    Returns:
        The outcome; its notes say if a check at the end failed.

    Raises:
        SettingsError, ScopeError, IncompleteError, UnreadableInputError, OutputError,
        TenantError: as `toolkit.change.apply_plan.apply`.
    """
    safeguards = Safeguards(
        execute=execute,
        limit=limit,
        canary=canary,
        stop_share=stop_share,
        workers=workers,
    )
    path = Path(journal)
    # Prevent that the plan is applied at the same time.
    with locked(path):
        done = read_journal(path)
        if done.header.kind != "apply":
            raise SettingsError(f"{path} is the journal of an undo: make a new plan instead.")
        way = Way(done.header.way)
        errand = Errand(tenant, done.header.tenant, way, execute=execute, kind="undo")
        needs = scopes_of("undo", way, created=_created(way, done))
        errand.admit(confirm, needs.reads, needs.writes)
        header = Header(done.header.tenant, done.header.plan, way.value, "undo")
        with (
            errand.alone(path),
            open_journal(journal_path(path), header, write=execute) as mine,
        ):
            if way is Way.ACTION:
                return errand.finished(mine, (yield from _undoing_action(errand, done, mine)))
            planned = sum(map(done.count, _TOUCHED))
            errand.earlier = mine.count(State.DONE)
            writing = Writing(
                tenant,
                mine,
                planned,
                safeguards,
                connections={} if execute else predicted(tenant, errand.notes.append),
                reversible=False,
                restoring=True,
                tag=f"picture-audit-{done.header.plan}-undo",
            )
            yield from writing.run(_inverse(done, *_TOUCHED))
            lost = (yield from _verifying(errand, done, mine, sample)) if execute else 0
            unlisted = yield from _unlisted(errand, done)
            outcome = replace(
                errand.outcome(mine, planned, writing.stopped),
                lost=lost,
                unlisted=unlisted or 0,
                unsettled=unlisted is None,
            )
            return errand.finished(mine, outcome)


def undone(journal: Path) -> bool:
    """Whether every change of a journal was undone, or cannot be.

    Raises:
        UnreadableInputError: the journal, or that of its undo, cannot be read.
    """
    if not journal_path(journal).exists():
        return False
    done, mine = read_journal(journal), read_journal(journal_path(journal))
    if done.header.way == Way.ACTION:
        return _taken_back(mine)
    if (not done.whole or done.doubtful) and mine.ending != "complete":
        return False
    return mine.settled_count >= sum(map(done.count, _TOUCHED))


def _taken_back(mine: Journal) -> bool:
    return any(step.get("step") in {"removed", "restored"} for step in mine.steps)


def _inverse(done: Journal, *states: State) -> Iterator[Edit]:
    """Yield the changes that restore the old values."""
    for entry in done.entries(*states):
        after = entry.after if isinstance(entry.after, str) else None
        yield Edit(
            entry.number,
            entry.user_id,
            entry.connection,
            entry.strategy,
            entry.field,
            entry.before,
            ((entry.field.value, after),),
        )


def _verifying(
    errand: Errand, done: Journal, mine: Journal, sample: int | None
) -> Generator[Progress, None, int]:
    """Check the restored users by id; return how many are not restored."""
    restored = (edit for edit in _inverse(done, *_TOUCHED) if mine.state(edit.number) is State.DONE)
    count = mine.count(State.DONE)
    found = yield from reading_back(errand.tenant, errand.way.value, restored, count, sample)
    errand.notes += [*found.lines, f"checked: {found.holds:,} of {found.checked:,} are restored"]
    return found.checked - found.holds


def _unlisted(errand: Errand, done: Journal) -> Generator[Progress, None, int | None]:
    """Count users with the plan's new value whom the journal does not name.

    Lines of the journal may be missing, so every other user of the plan is read.

    Returns:
        How many there are; None if not known, because the plan is missing.
    """
    if done.whole and not done.doubtful:
        return 0
    note = errand.notes.append
    if done.doubt:
        note(done.doubt)
    path = plan_path(done.path)
    plan = None
    try:
        plan = read_plan(path) if path.exists() else None
    except UnreadableInputError as error:
        # Users are restored already, so a failure here must not hide that.
        note(str(error))
        return None
    if plan is None or (plan.id, plan.tenant, plan.way) != (
        done.header.plan,
        done.header.tenant,
        errand.way,
    ):
        note(
            "put the plan beside the journal and run undo again: it then looks for users who were "
            "changed and are not in the journal"
        )
        return None
    doubtful = [edit.number for edit in edits(plan) if done.unnamed(edit.number)]
    chosen = (edit for edit in edits(plan) if done.unnamed(edit.number))
    found = yield from reading_back(errand.tenant, errand.way.value, chosen, len(doubtful), None)
    note(
        f"checked: of {found.checked:,} users of the plan who are not in the journal, "
        f"{found.holds:,} have the new picture"
    )
    if found.holds:
        note(
            "their old pictures are in the plan: restore them by hand, or collect again and "
            "make a new plan"
        )
    return found.holds


def _created(way: Way, done: Journal) -> bool:
    """Whether applying created the Action, so that undo removes it."""
    former = former_of(done.steps) if way is Way.ACTION else None
    return former is not None and former.id is None


def _undoing_action(
    errand: Errand, done: Journal, mine: Journal
) -> Generator[Progress, None, Outcome]:
    made = made_of(done.steps)
    now = standing(errand.tenant, made.id if made else None)
    change = _preview(now, made.former if made else None)
    if done.doubt:
        errand.notes.append(done.doubt)
    found = moved(made, now, undoing=True) if made else ()
    told = _without_writing(errand, done, mine, made, now)
    if told is None and found and (not errand.execute or (made and made.former.id is None)):
        told = _drifted(errand, found)
    if told is not None or made is None or now.action is None or not errand.execute:
        return errand.action_outcome(change, told or State.DONE)
    try:
        mine.note({"step": "begun", "id": now.action.id})
        left = yield from restoring(errand.tenant, made, now.action.id, mine)
        after = standing(errand.tenant, now.action.id)
    except ChangedByOthersError as error:
        return errand.action_outcome(change, _drifted(errand, (str(error),)))
    except TenantError as error:
        raise IncompleteError(
            f"{error} The Action is not taken back yet; run the same command again to go on."
        ) from error
    stands = _restored(made, after)
    errand.notes.append(f"checked: the old state is {'back' if stands else 'not back'}")
    found = tuple(dict.fromkeys((*left, *moved(made, after, undoing=True))))
    state = State.DONE if stands else State.FAILED
    return errand.action_outcome(change, _drifted(errand, found) if found else state)


def _without_writing(
    errand: Errand, done: Journal, mine: Journal, made: Made | None, now: Standing
) -> State | None:
    """Return the outcome if nothing must be written; None otherwise."""
    if made is None:
        # Nothing was recorded: nothing was written, or the lines are missing.
        if done.whole or (now.action is None and not done.missing):
            return State.HELD
        # Missing lines may contain the old state.
        if now.action is not None:
            errand.notes.append(
                "an Action of this tool is at the tenant, and the journal does not name it: if "
                "nobody else put it there, remove it in Auth0's dashboard"
            )
        return State.DRIFTED
    if _taken_back(mine):
        errand.notes.append("it was taken back already")
        return State.HELD if _restored(made, now) else State.DRIFTED
    if now.action is None and made.former.id is not None:
        errand.notes.append("the Action was removed since: its former code is in the journal")
        return State.DRIFTED
    if now.action is None:
        # Nothing was written, or it is gone already, perhaps by an undo that was killed.
        return State.DONE if mine.steps else State.HELD
    return None


def _drifted(errand: Errand, found: Iterable[str]) -> State:
    errand.notes.append(
        f"somebody else changed it since: {'; '.join(found)}. That is left as it is: look at it "
        "in Auth0's dashboard; what stood there before is in the journal"
    )
    return State.DRIFTED


def _preview(now: Standing, former: Former | None) -> ActionState:
    ours = now.action.id if now.action else None
    stays = former is None or former.bound
    left = tuple(one.name for one in now.bindings if stays or one.action_id != ours)
    runs = now.action.deployed if now.action else None
    return ActionState(NAME, runs, former.deployed if former else None, now.names, left)


def _restored(made: Made, after: Standing) -> bool:
    former = made.former
    if former.id is None:
        return after.action is None and not after.bound
    return (
        after.action is not None
        and former.bound == after.bound
        and former.deployed in {None, after.action.deployed}
        and former.draft == after.action.code
    )
