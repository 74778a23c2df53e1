"""Applying a plan: rehearsed by default, by the same path; journaled, resumable."""

from collections.abc import Callable, Generator
from pathlib import Path

from toolkit.action_code import action_code
from toolkit.change.action import edited, former_of, preview, putting, standing
from toolkit.change.errand import Errand
from toolkit.change.journal import Header, Journal, State, journal_path, open_journal
from toolkit.change.node import check
from toolkit.change.outcome import ActionState, Outcome
from toolkit.change.rows import edits, read_plan
from toolkit.change.safeguards import REHEARSAL, STOP_SHARE, WORKERS, Safeguards
from toolkit.change.writing import Writing, predicted
from toolkit.errors import IncompleteError, SettingsError, TenantError, UnreadableInputError
from toolkit.plan import Plan
from toolkit.progress import Progress, run
from toolkit.scopes import scopes_of
from toolkit.tenant import Tenant
from toolkit.way import Way


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
    show: Callable[[Progress], None] | None = None,
) -> Outcome:
    """Carry a plan out, or rehearse it.

    Args:
        tenant: what `toolkit.connect` returned.
        plan: a plan, or its file.
        execute: whether anything is written; else everything but the writes is done.
        confirm: the tenant's domain, typed once more; needed to execute.
        limit: users that this run writes at most; the next run goes on.
        agreed: that so many users are meant, where the plan asks again
            (`Plan.asks_again`). A `limit` agrees, too.
        canary: users who are written and read back first; None for a few, 0 for nobody.
        stop_share: the share of writes that may fail before it stops.
        workers: how many writes are under way at once; the pace is the tenant's anyhow.
        show: called with each `Progress`.

    Returns:
        How it ended. Drift, refusals and failures are in it; they raise nothing.

    Raises:
        SettingsError: plan, tenant, confirmation or journal do not belong together.
        ScopeError: the token may not do this; found out before the first write.
        IncompleteError: it ended in the middle; the same call goes on.
        UnreadableInputError, OutputError: plan or journal cannot be read or written.
        TenantError: the tenant did not go along from the start.
    """
    safeguards = Safeguards(
        execute=execute,
        confirm=confirm,
        limit=limit,
        canary=canary,
        stop_share=stop_share,
        workers=workers,
    )
    return run(applying(tenant, plan, safeguards, agreed=agreed), show)


def applying(
    tenant: Tenant,
    plan: Plan | Path | str,
    safeguards: Safeguards = REHEARSAL,
    *,
    agreed: bool = False,
) -> Generator[Progress, None, Outcome]:
    """Do what `apply` does, step by step.

    Args:
        tenant: as for `apply`.
        plan: as for `apply`.
        safeguards: its other arguments.
        agreed: as for `apply`.

    Yields:
        Progress in users, or in steps of an Action. Not asking for the next step pauses: what
        is under way (a few users) still ends. Closing the generator stops cleanly.

    Returns:
        How it ended.

    Raises:
        As `apply`.
    """
    made = plan if isinstance(plan, Plan) else read_plan(plan)
    if made.path is None:
        raise UnreadableInputError("The plan was only counted: make it again with a file.")
    if made.way is Way.RULE:
        raise SettingsError(
            "Rules are printed, never deployed: Auth0 stopped running them on 2026-11-18. Make a "
            "plan with --through action."
        )
    asks = made.asks_again and safeguards.limit is None
    if safeguards.execute and asks and not agreed:
        raise SettingsError(
            f"The plan changes {made.changes:,} of {made.users:,} users ({made.share:.0%}). If "
            f"that many are meant, say --limit {made.changes}."
        )
    errand = Errand(tenant, made.tenant, made.way, execute=safeguards.execute)
    needs = scopes_of("apply", made.way)
    errand.admit(safeguards.confirm, needs.reads, needs.writes)
    path = journal_path(made.path)
    if journal_path(path).exists():
        raise SettingsError(f"This plan was undone ({journal_path(path).name}): make a new plan.")
    header = Header(made.tenant, made.id, made.way.value)
    with open_journal(path, header, write=safeguards.execute) as journal:
        if made.way is Way.ACTION:
            return (yield from _applying_action(errand, made, journal))
        errand.earlier = journal.count(State.DONE)
        writing = Writing(
            tenant,
            journal,
            made.changes,
            safeguards,
            connections={} if safeguards.execute else predicted(tenant, errand.notes.append),
            reversible=not made.irreversible,
            tag=f"picture-audit-{made.id}",
        )
        yield from writing.run(edits(made))
        return errand.outcome(journal, made.changes, writing.stopped)


def _applying_action(
    errand: Errand, plan: Plan, journal: Journal
) -> Generator[Progress, None, Outcome]:
    code = action_code(plan.policy)
    if plan.code != code:
        raise SettingsError(
            "The plan's code is not what this version makes of its policy: make a new plan."
        )
    if not check(code):
        errand.notes.append("the code was not checked: there is no Node.js on this machine")
    now = standing(errand.tenant)
    change = preview(now, code)
    if edited(now):
        errand.notes.append("somebody edited the Action by hand; its code is kept in the journal")
    former = former_of(journal.steps)
    if former is not None:
        change = ActionState(
            change.name, former.deployed, code, _names(former.bindings), change.bindings_after
        )
        if now.action is not None and not (
            {now.action.code, now.action.deployed} <= {code, former.draft, former.deployed, None}
        ):
            errand.notes.append(
                "somebody changed the Action's code since: it is left as it is; make a new plan"
            )
            return errand.action_outcome(change, State.DRIFTED)
    stands = now.bound and now.action is not None and now.action.deployed == code
    if stands and former is None:
        return errand.action_outcome(change, State.HELD)
    if not errand.execute:
        return errand.action_outcome(change, State.DONE)
    try:
        after = yield from putting(errand.tenant, code, journal, now)
    except TenantError as error:
        if former_of(journal.steps) is None:
            raise
        raise IncompleteError(
            f"{error} The Action is not in place yet; run the same command again to go on."
        ) from error
    done = ActionState(change.name, change.before, code, change.bindings_before, after.names)
    return errand.action_outcome(done, State.DONE)


def _names(bindings: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    return tuple(name for _, name in bindings)
