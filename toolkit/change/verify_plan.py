"""Verify: check at the tenant, by id, whether a plan is in place.

Unlike a search, reading a user by id shows every write at once (Auth0, "User Search"). It takes one
request for each user; for a large plan, an evenly spread sample can be checked.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from toolkit.change.action import standing
from toolkit.change.edit import Edit
from toolkit.change.journal import Header, Journal, State, journal_path, open_journal
from toolkit.change.plan_file import checking, edits, read_plan
from toolkit.change.plan_summary import Plan
from toolkit.change.run import WORKERS
from toolkit.change.scopes import scopes_of
from toolkit.change.ways import Way
from toolkit.errors import SettingsError
from toolkit.formatting import render, visible
from toolkit.progress import Progress, Show, long_job
from toolkit.tenant.client import Tenant

_AHEAD = 4
_EMPTIED = (
    "keep an empty user_metadata where its last key was removed: as good as none, and counted as "
    "put back"
)


class Found(StrEnum):
    """The result of checking one user, or the Action."""

    HOLDS = "holds"
    EMPTY = "holds, and leaves an empty user_metadata"
    DIFFERS = "differs"
    GONE = "gone"
    OPEN = "open"


@dataclass(frozen=True, slots=True, repr=False)
class Verification:
    """The result of a check at the tenant. Numbers are users, or checks of an Action.

    Attributes:
        way: the plan's way.
        tenant: the tenant's domain.
        planned: how many should be changed.
        checked: how many were read.
        holds: have the value of the plan.
        differs: have another value, because somebody has changed them.
        gone: no longer exist.
        open: were not changed: skipped, refused, failed, or not tried yet.
        lines: what was found, in words.
    """

    way: str
    tenant: str
    planned: int
    checked: int
    holds: int
    differs: int = 0
    gone: int = 0
    open: int = 0
    lines: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether everything that was checked is in place."""
        return self.holds == self.checked

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self) | {"complete": self.complete}

    def _lines(self) -> list[str]:
        lines = [f"{self.holds:,} of {self.checked:,} checked are in place"]
        named = (
            (self.differs, "have another value, because somebody changed them"),
            (self.gone, "are gone"),
            (self.open, "were not changed: skipped, refused, or not tried yet"),
            (self.planned - self.checked, "were not checked: this is a sample"),
        )
        return [*lines, *(f"{count:,} {text}" for count, text in named if count), *self.lines]

    def __repr__(self) -> str:
        return "\n  ".join(map(visible, [f"{self.way} at {self.tenant}", *self._lines()]))

    def _repr_html_(self) -> str:
        answer, *rest = self._lines()
        return render("change/answer.html.j2", answer=answer, lines=rest)


@long_job
def verify(
    tenant: Tenant,
    plan: Plan | Path | str,
    *,
    sample: int | None = None,
    show: Show | None = None,  # noqa: ARG001 - for `long_job`
) -> Generator[Progress, None, Verification]:
    """Check at the tenant whether a plan is in place.

    Args:
        tenant: what `toolkit.connect` returned.
        plan: a plan, or its file. If it was applied, its journal is beside it.
        sample: how many users to read, spread evenly over the plan; None for all.
        show: called with each `Progress`, in users.

    Returns:
        The result; differences raise no error.

    Raises:
        SettingsError: the plan is for another tenant, or was undone.
        UnreadableInputError: plan or journal cannot be read.
        TenantError: the tenant refused or did not answer.
    """
    made = plan if isinstance(plan, Plan) else read_plan(plan)
    if made.tenant != tenant.domain:
        raise SettingsError(f"The plan is for {made.tenant}, and this is {tenant.domain}.")
    if made.way is Way.RULE:
        raise SettingsError("Rules are printed, never deployed: there is nothing to verify.")
    tenant.require(*scopes_of("verify", made.way).reads)
    yield from checking(made)
    if made.way is Way.ACTION:
        yield Progress(0, 3, note="reading Actions")
        return action_verified(tenant, made)
    path = journal_path(made.path) if made.path else None
    if path is None:
        return (yield from reading_back(tenant, made.way.value, edits(made), made.changes, sample))
    if journal_path(path).exists():
        raise SettingsError(f"This plan was undone ({journal_path(path).name}): make a new plan.")
    header = Header(made.tenant, made.id, made.way.value)
    with open_journal(path, header, write=False) as journal:
        opened = _unfinished(journal) if path.exists() else None
        found = yield from reading_back(
            tenant, made.way.value, edits(made), made.changes, sample, opened=opened
        )
        return replace(found, lines=(*found.lines, *_left_alone(journal)))


def _left_alone(journal: Journal) -> Iterator[str]:
    """Return from the journal who was not written, and why."""
    for (state, reason), count in journal.reasons.most_common():
        if state in {State.DRIFTED, State.REFUSED} and count:
            yield f"{state}: {count:,} {reason}"


def _unfinished(journal: Journal) -> Callable[[Edit], bool]:
    """Return a test for changes that are not done according to the journal."""
    return lambda edit: journal.state(edit.number) not in {State.DONE, State.HELD}


def action_verified(tenant: Tenant, plan: Plan) -> Verification:
    """Check code, deployment and binding of a plan's Action.

    Raises:
        TenantError: the tenant refused or did not answer.
    """
    now = standing(tenant)
    code = now.action is not None and now.action.code == plan.code
    deployed = now.action is not None and now.action.deployed == plan.code and now.action.settled
    checks = {"its code": code, "its deployment": deployed, "its binding": now.bound}
    holds = sum(checks.values())
    lines = tuple(
        f"{name}: {'in place' if good else 'not in place'}" for name, good in checks.items()
    )
    differs = len(checks) - holds
    return Verification(
        plan.way.value, tenant.domain, len(checks), len(checks), holds, differs, lines=lines
    )


def reading_back(
    tenant: Tenant,
    way: str,
    expected: Iterable[Edit],
    planned: int,
    sample: int | None,
    *,
    opened: Callable[[Edit], bool] | None = None,
) -> Generator[Progress, None, Verification]:
    """Read users by id, and compare each with the planned value.

    Args:
        tenant: the tenant.
        way: the plan's way.
        expected: the changes.
        planned: how many there are.
        sample: how many to read, or None for all.
        opened: a test for changes that were not made.

    Yields:
        Progress in users.

    Raises:
        TenantError: the tenant refused or did not answer.
    """
    counts = dict.fromkeys(Found, 0)
    pending: set[Future[Found]] = set()

    def found(edit: Edit) -> Found:
        record = tenant.find_user(edit.user_id)
        if record is None:
            return Found.GONE
        if edit.held(record):
            return Found.EMPTY if edit.leaves_empty(record) else Found.HOLDS
        return (
            Found.OPEN
            if (opened is None and edit.stands(record)) or (opened is not None and opened(edit))
            else Found.DIFFERS
        )

    def taken() -> Progress:
        done, _ = wait(pending, return_when=FIRST_COMPLETED)
        pending.difference_update(done)
        for one in done:
            counts[one.result()] += 1
        size = planned if sample is None else min(sample, planned)
        return Progress(sum(counts.values()), size, note="reading back")

    with ThreadPoolExecutor(WORKERS, thread_name_prefix="verify") as pool:
        try:
            for edit in _spread(expected, planned, sample):
                pending.add(pool.submit(found, edit))
                if len(pending) >= WORKERS * _AHEAD:
                    yield taken()
            while pending:
                yield taken()
        finally:
            for one in pending:
                one.cancel()
    return Verification(
        way,
        tenant.domain,
        planned,
        sum(counts.values()),
        counts[Found.HOLDS] + counts[Found.EMPTY],
        counts[Found.DIFFERS],
        counts[Found.GONE],
        counts[Found.OPEN],
        (f"{counts[Found.EMPTY]:,} {_EMPTIED}",) if counts[Found.EMPTY] else (),
    )


def _spread(expected: Iterable[Edit], planned: int, sample: int | None) -> Iterator[Edit]:
    """Yield all, or so many, evenly spread."""
    if sample is None or sample >= planned:
        yield from expected
        return
    for place, edit in enumerate(expected):
        if place * sample // planned != (place + 1) * sample // planned:
            yield edit
