"""Apply a plan: rehearsed by default, recorded in a journal, resumable."""

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

from toolkit.change.action import (
    ChangedByOthersError,
    by_hand,
    former_of,
    made_of,
    moved,
    preview,
    putting,
    standing,
)
from toolkit.change.javascript import action_code
from toolkit.change.journal import Header, Journal, State, journal_path, open_journal
from toolkit.change.outcome import ActionState, Outcome
from toolkit.change.plan_file import checking, edits, read_plan
from toolkit.change.plan_summary import Plan
from toolkit.change.run import STOP_SHARE, WORKERS, Errand, Safeguards
from toolkit.change.scopes import scopes_of
from toolkit.change.ways import Way
from toolkit.change.writing import Writing, predicted
from toolkit.errors import IncompleteError, SettingsError, TenantError, UnreadableInputError
from toolkit.progress import Progress, Show, long_job
from toolkit.tenant.client import Tenant


@long_job
def apply(  # noqa: PLR0913 - one for each safeguard
    tenant: Tenant,
    plan: Plan | Path | str,
    *,
    execute: bool = False,
    confirm: str | None = None,
    limit: int | None = None,
    agreed: bool = False,
    canary: int | None = None,
    stop_share: float = STOP_SHARE,
    workers: int = WORKERS,
    show: Show | None = None,  # noqa: ARG001 - for `long_job`
) -> Generator[Progress, None, Outcome]:
    """Apply a plan, or rehearse it.

    Args:
        tenant: what `toolkit.connect` returned.
        plan: a plan, or its file.
        execute: whether to write; otherwise everything but the writes is done.
        confirm: the tenant's domain, typed once more; needed to execute.
        limit: the most users that this run writes; the next run continues.
        agreed: agrees to a plan for most of the tenant (`Plan.asks_again`). A `limit` agrees, too.
        canary: how many users to write and check first; None for a few, 0 for none.
        stop_share: the run stops if a larger share of writes fails.
        workers: how many writes to send at once, within the tenant's rate limit.
        show: called with each `Progress`, in users or in steps of an Action.

    Returns:
        The outcome, including skipped, refused and failed users; these raise no error.

    Raises:
        SettingsError: plan, tenant, confirmation or journal do not belong together.
        ScopeError: the token lacks a scope; checked before the first write.
        IncompleteError: it ended early; the same call continues.
        UnreadableInputError, OutputError: plan or journal cannot be read or written.
        TenantError: the tenant refused or did not answer at the start.
    """
    safeguards = Safeguards(
        execute=execute,
        limit=limit,
        canary=canary,
        stop_share=stop_share,
        workers=workers,
    )
    made = plan if isinstance(plan, Plan) else read_plan(plan)
    if made.path is None:
        raise UnreadableInputError("The plan was only counted: make it again with a file.")
    if made.way is Way.RULE:
        raise SettingsError(
            "Rules are printed, never deployed: Auth0 stopped running them on 2026-11-18. Make a "
            "plan with --through action."
        )
    asks = made.asks_again and limit is None
    if execute and asks and not agreed:
        raise SettingsError(
            f"The plan changes {made.changes:,} of {made.users:,} users ({made.share:.0%}). If "
            f"that many are meant, say --limit {made.changes}."
        )
    errand = Errand(tenant, made.tenant, made.way, execute=execute)
    needs = scopes_of("apply", made.way)
    errand.admit(confirm, needs.reads, needs.writes)
    path = journal_path(made.path)
    if journal_path(path).exists():
        raise SettingsError(f"This plan was undone ({journal_path(path).name}): make a new plan.")
    yield from checking(made)
    header = Header(made.tenant, made.id, made.way.value)
    with (
        errand.alone(made.path),
        open_journal(path, header, write=execute) as journal,
    ):
        if made.way is Way.ACTION:
            outcome = yield from _applying_action(errand, made, journal)
            return errand.finished(journal, outcome)
        errand.earlier = journal.count(State.DONE)
        writing = Writing(
            tenant,
            journal,
            made.changes,
            safeguards,
            connections={} if execute else predicted(tenant, errand.notes.append),
            reversible=not made.irreversible,
            tag=f"picture-audit-{made.id}",
        )
        yield from writing.run(edits(made))
        if journal.doubtful:
            errand.notes.append(
                f"{len(journal.doubtful):,} had it already, after a run that did not say how it "
                "ended: undo cannot tell whether that run gave it to them"
            )
        return errand.finished(journal, errand.outcome(journal, made.changes, writing.stopped))


def _applying_action(
    errand: Errand, plan: Plan, journal: Journal
) -> Generator[Progress, None, Outcome]:
    code = action_code(plan.policy)
    # Auth0 deploys code that does not parse, too, and every login then fails.
    if plan.code != code:
        raise SettingsError(
            "The plan's code is not what this version makes of its policy: make a new plan."
        )
    made = made_of(journal.steps)
    now = standing(errand.tenant, made.id if made else None)
    change = preview(now, code)
    if made is not None:
        former = made.former
        names = tuple(name for _, name in former.bindings)
        change = replace(change, before=former.deployed, bindings_before=names)
        if found := moved(made, now):
            return _left_alone(errand, change, "; ".join(found))
    else:
        errand.notes += by_hand(now)
        if now.bound and now.action is not None and now.action.deployed == code:
            return errand.action_outcome(change, State.HELD)
    if not errand.execute:
        return errand.action_outcome(change, State.DONE)
    try:
        after = yield from putting(errand.tenant, code, journal, now)
    except ChangedByOthersError as error:
        return _left_alone(errand, change, str(error))
    except TenantError as error:
        if former_of(journal.steps) is None:
            raise
        raise IncompleteError(
            f"{error} The Action is not in place yet; run the same command again to go on."
        ) from error
    done = replace(change, after=code, bindings_after=after.names)
    return errand.action_outcome(done, State.DONE)


def _left_alone(errand: Errand, change: ActionState, what: str) -> Outcome:
    errand.notes.append(
        f"somebody else changed it since: {what}. It is left as it is: look at it in Auth0's "
        "dashboard; then undo what this plan did, or make a new plan"
    )
    return errand.action_outcome(change, State.DRIFTED)
