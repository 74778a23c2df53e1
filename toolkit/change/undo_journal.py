"""Undo: restore what a journal says was changed, except where somebody has changed it since.

Like any change it is rehearsed by default, reads each user before the write, is recorded in a
journal (`….journal.undo` beside the first) and can be resumed; then it checks the result.
"""

from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from toolkit.change.action import NAME, RecordedChange, Setup, read_setup, recorded_change
from toolkit.change.action_steps import ChangedByOthersError, restoring
from toolkit.change.edit import Edit
from toolkit.change.journal import (
    Journal,
    State,
    journal_path,
    locked_journal,
    plan_path,
    read_journal,
)
from toolkit.change.plan_file import edits, read_plan
from toolkit.change.run import STOP_SHARE, WORKERS, ActionState, Outcome, Run
from toolkit.change.scopes import scopes_of
from toolkit.change.verify_plan import reading_back
from toolkit.change.ways import Way
from toolkit.change.writing import Writing
from toolkit.errors import IncompleteError, SettingsError, TenantError, UnreadableInputError
from toolkit.progress import Progress, Show, long_job
from toolkit.tenant.client import Tenant

_ADVICE = (
    "to stop it, unbind it there under Actions > Triggers > post-login; the state before is in "
    "the journal"
)
TO_RESTORE: Final = (State.DONE, State.BEGUN, State.FAILED)
"""States of changes that undo restores: one without a recorded result may have been made."""


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
    path = Path(journal)
    # Prevent that the plan is applied at the same time.
    with locked_journal(path):
        done = read_journal(path)
        if done.header.kind != "apply":
            raise SettingsError(f"{path} is the journal of an undo: make a new plan instead.")
        way = Way(done.header.way)
        change = recorded_change(done.steps) if way is Way.ACTION else None
        header = replace(done.header, kind="undo")
        run = Run(tenant, header, execute, limit, canary, stop_share, workers)
        created = change is not None and change.former.action is None
        run.admit(confirm, scopes_of("undo", way, created=created))
        with run.journal(path) as own:
            if way is Way.ACTION:
                outcome = yield from _undoing_action(run, done, own, change)
            else:
                planned = sum(map(done.count, TO_RESTORE))
                writing = Writing(run, own, planned, reversible=False)
                yield from writing.write_all(_inverse(done))
                lost = 0
                if execute:
                    made = (one for one in _inverse(done) if own.state(one.number) is State.DONE)
                    count = own.count(State.DONE)
                    found = yield from reading_back(tenant, way, made, count, sample)
                    lost = found.checked - found.holds
                    checked = (
                        f"{found.holds:,} of the {found.checked:,} that were checked are restored"
                    )
                    run.notes += [*found.lines, checked]
                unlisted = yield from _unlisted(run, done)
                outcome = replace(
                    run.outcome(own, planned, writing.stopped),
                    lost=lost,
                    unlisted=unlisted or 0,
                    unsettled=unlisted is None,
                )
            own.record_end("complete" if outcome.complete else "incomplete")
            return outcome


def undone(journal: Path) -> bool:
    """Whether every change of a journal was undone, or cannot be.

    Raises:
        UnreadableInputError: the journal, or that of its undo, cannot be read.
    """
    if not journal_path(journal).exists():
        return False
    done, own = read_journal(journal), read_journal(journal_path(journal))
    if done.header.way == Way.ACTION:
        return _is_restored_by(own)
    if done.may_lack_changes and own.last_end != "complete":
        return False
    return own.settled_count >= sum(map(done.count, TO_RESTORE))


def _is_restored_by(own: Journal) -> bool:
    return any(step.get("step") in {"removed", "restored"} for step in own.steps)


def _inverse(done: Journal) -> Iterator[Edit]:
    """Yield the changes that restore the old values."""
    for edit, before in done.entries(*TO_RESTORE):
        after = edit.after if isinstance(edit.after, str) else None
        yield replace(edit, after=before, expected=((edit.field.value, after),))


def _unlisted(run: Run, done: Journal) -> Generator[Progress, None, int | None]:
    """Count users with the plan's new value whom the journal does not name.

    Lines of the journal may be missing, so every other user of the plan is read.

    Returns:
        How many there are; None if not known, because the plan is missing.
    """
    if not done.may_lack_changes:
        return 0
    note = run.notes.append
    if done.incomplete_reason:
        note(done.incomplete_reason)
    path = plan_path(done.path)
    try:
        plan = read_plan(path) if path.exists() else None
    except UnreadableInputError as error:
        # Users are restored already, so a failure here must not hide that.
        note(str(error))
        return None
    header = done.header
    if plan is None or (plan.id, plan.tenant, plan.way) != (header.plan, header.tenant, header.way):
        note(
            "put the plan beside the journal and run undo again: it then looks for users who were "
            "changed and are not in the journal"
        )
        return None
    count = sum(done.may_lack(edit.number) for edit in edits(plan))
    chosen = (edit for edit in edits(plan) if done.may_lack(edit.number))
    found = yield from reading_back(run.tenant, header.way, chosen, count, None)
    note(
        f"{found.checked:,} users of the plan who are not in the journal were checked, and "
        f"{found.holds:,} of them have the new picture"
    )
    if found.holds:
        note(
            "their old pictures are in the plan: restore them by hand, or collect again and "
            "make a new plan"
        )
    return found.holds


def _undoing_action(
    run: Run, done: Journal, own: Journal, change: RecordedChange | None
) -> Generator[Progress, None, Outcome]:
    now = read_setup(run.tenant, change.id if change else None)
    shown = _preview(now, change.former if change else None)
    if done.incomplete_reason:
        run.notes.append(done.incomplete_reason)
    state = _without_writing(run, done, own, change, now)
    if change is None or now.action is None or state is not None:
        return run.action_outcome(shown, state or State.DONE)
    found = change.changes_by_others(now, undoing=True)
    if found and (change.former.action is None or not run.execute):
        return run.left_as_it_is(shown, found, _ADVICE)
    if not run.execute:
        return run.action_outcome(shown, State.DONE)
    try:
        own.record_step({"step": "begun", "id": now.action.id})
        left = yield from run.heeding(restoring(run.tenant, change, now.action.id, own))
        after = read_setup(run.tenant, now.action.id)
    except ChangedByOthersError as error:
        return run.left_as_it_is(shown, [str(error)], _ADVICE)
    except TenantError as error:
        raise IncompleteError(
            f"{error} The Action is not taken back yet; run the same command again to go on."
        ) from error
    is_restored = _is_restored(change.former, after)
    run.notes.append(
        f"the old state is {'back' if is_restored else 'not back'}, as a check at the tenant shows"
    )
    found = tuple(dict.fromkeys((*left, *change.changes_by_others(after, undoing=True))))
    if found:
        return run.left_as_it_is(shown, found, _ADVICE)
    shown = replace(shown, after=after.deployed, bindings_after=after.names)
    return run.action_outcome(shown, State.DONE if is_restored else State.FAILED)


def _without_writing(
    run: Run, done: Journal, own: Journal, change: RecordedChange | None, now: Setup
) -> State | None:
    """Return the outcome if nothing must be written; None otherwise."""
    if change is None:
        # Nothing was recorded: nothing was written, or the lines are missing.
        if done.incomplete_reason is None or (now.action is None and not done.missing):
            return State.HELD
        # Missing lines may contain the old state.
        if now.action is not None:
            run.notes.append(
                "an Action of this tool is at the tenant, and the journal does not name it: if "
                "nobody else put it there, remove it in Auth0's dashboard"
            )
        return State.DRIFTED
    if _is_restored_by(own):
        run.notes.append("it was taken back already")
        return State.HELD if _is_restored(change.former, now) else State.DRIFTED
    if now.action is None and change.former.action is not None:
        run.notes.append("the Action was removed since: its former code is in the journal")
        return State.DRIFTED
    if now.action is None:
        # Nothing was written, or it is gone already, perhaps by an undo that was killed.
        return State.DONE if own.steps else State.HELD
    return None


def _preview(now: Setup, former: Setup | None) -> ActionState:
    if former is None or former.bound or now.action is None:
        after = now.names
    else:
        after = tuple(one.name for one in now.bindings if one.action_id != now.action.id)
    code, is_new = former.deployed if former else None, former is None or former.action is None
    return ActionState(NAME, now.deployed, code, now.names, after, is_new)


def _is_restored(former: Setup, now: Setup) -> bool:
    if former.action is None or now.action is None:
        return former.action is None and now.action is None and not now.bound
    return (
        former.bound == now.bound
        and former.deployed in {None, now.deployed}
        and former.action.code == now.action.code
    )
