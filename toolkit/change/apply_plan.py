"""Apply a plan: rehearsed by default, recorded in a journal, resumable."""

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

from toolkit.change.action import overwritten, preview, read_setup, recorded_change
from toolkit.change.action_steps import ChangedByOthersError, putting
from toolkit.change.javascript import action_code
from toolkit.change.journal import Header, Journal, State, journal_path
from toolkit.change.plan_file import checking, edits, read_plan
from toolkit.change.plan_summary import Plan
from toolkit.change.run import STOP_SHARE, WORKERS, Outcome, Run, path_of
from toolkit.change.scopes import scopes_of
from toolkit.change.ways import Way
from toolkit.change.writing import Writing
from toolkit.errors import IncompleteError, SettingsError, TenantError
from toolkit.progress import Progress, Show, long_job
from toolkit.tenant.client import Tenant

_ADVICE = "then undo what this plan did, or make a new plan"
_DONE = frozenset({"written", "deployed", "bound"})


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
        stop_share: the run stops if a larger share of writes fails, or if nearly all of the last
            twenty users are gone or failed. With 1, only errors of the first users stop it.
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
    made = plan if isinstance(plan, Plan) else read_plan(plan)
    if made.way is Way.RULE:
        raise SettingsError(
            "Rules are printed, never deployed: by Auth0's schedule they ended on 2026-11-18. Make "
            "a plan with --through action."
        )
    if execute and made.asks_again and limit is None and not agreed:
        raise SettingsError(
            f"The plan changes {made.changes:,} of {made.users:,} users ({made.share:.0%}). If "
            f"that many are meant, add --yes, or --limit {made.changes}."
        )
    header = Header(made.tenant, made.id, made.way.value)
    run = Run(tenant, header, execute, limit, canary, stop_share, workers)
    run.admit(confirm, scopes_of("apply", made.way))
    path = path_of(made)
    undo = journal_path(journal_path(path))
    if undo.exists():
        raise SettingsError(f"This plan was undone ({undo.name}): make a new plan.")
    yield from checking(made)
    with run.journal(path) as journal:
        if made.way is Way.ACTION:
            outcome = yield from _applying_action(run, made, journal)
        else:
            writing = Writing(run, journal, made.changes, reversible=not made.irreversible)
            yield from writing.write_all(edits(made))
            if journal.perhaps_unrecorded:
                run.notes.append(
                    f"{len(journal.perhaps_unrecorded):,} had it already, and an earlier run did "
                    "not say how it ended: undo does not know whether that run gave it to them"
                )
            outcome = run.outcome(journal, made.changes, writing.stopped)
        journal.record_end("complete" if outcome.complete else "incomplete")
        return outcome


def _applying_action(run: Run, plan: Plan, journal: Journal) -> Generator[Progress, None, Outcome]:
    code = action_code(plan.policy)
    # Auth0 deploys code that does not parse, too, and every login then fails.
    if plan.code != code:
        raise SettingsError(
            "Another version of picture-audit made this plan, and its Action decides otherwise: "
            "make the plan again."
        )
    recorded = recorded_change(journal.steps)
    now = read_setup(run.tenant, recorded.id if recorded else None)
    change = preview(now, code)
    if recorded is not None:
        former = recorded.former
        change = replace(
            change,
            before=former.deployed,
            bindings_before=former.names,
            created=former.action is None,
        )
        if found := recorded.changes_by_others(now):
            return run.left_as_it_is(change, found, _ADVICE)
        if recorded.steps >= _DONE:
            return run.action_outcome(change, State.HELD)
    else:
        run.notes += overwritten(now)
        if now.bound and now.deployed == code:
            return run.action_outcome(change, State.HELD)
    if not run.execute:
        return run.action_outcome(change, State.DONE)
    try:
        after = yield from run.heeding(putting(run.tenant, code, journal, now))
    except ChangedByOthersError as error:
        return run.left_as_it_is(change, [str(error)], _ADVICE)
    except TenantError as error:
        if not journal.steps:
            raise
        raise IncompleteError(
            f"{error} The Action is not in place yet; run the same command again to go on."
        ) from error
    return run.action_outcome(replace(change, bindings_after=after.names), State.DONE)
