"""Verify: check at the tenant, by id, whether a plan is in place.

Unlike a search, reading a user by id shows every write at once (Auth0, "User Search"). It takes one
request for each user; for a large plan, an evenly spread sample can be checked.
"""

from collections import Counter
from collections.abc import Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from toolkit.change.action import read_setup, recorded_change
from toolkit.change.edit import Edit
from toolkit.change.journal import (
    Header,
    Journal,
    State,
    journal_path,
    open_journal,
    read_journal,
)
from toolkit.change.plan_file import checking, edits, read_plan
from toolkit.change.plan_summary import Plan
from toolkit.change.run import WORKERS, in_threads, path_of
from toolkit.change.scopes import scopes_of
from toolkit.change.ways import Way
from toolkit.errors import SettingsError
from toolkit.formatting import render, visible
from toolkit.progress import Progress, Show, long_job
from toolkit.tenant.client import Tenant

_MADE = frozenset({State.DONE, State.HELD})
_LEFT: Final[Mapping[State | None, str]] = {State.DRIFTED: "skipped", State.REFUSED: "refused"}
_EMPTIED = (
    "keep an empty user_metadata where its last key was removed: as good as none, and counted as "
    "put back"
)


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
        open: are still as before, `skipped` and `refused` among them; the others failed or were
            not tried yet.
        undone: were put back by the undo of this plan.
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
    undone: int = 0
    skipped: int = 0
    refused: int = 0
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
        if self.way == Way.ACTION:
            return [*lines, *self.lines]
        untried = self.open - self.skipped - self.refused
        left = f"{self.skipped:,} skipped (changed meanwhile), {self.refused:,} refused"
        named = (
            (self.differs, "have another value, because somebody changed them"),
            (self.gone, "are gone"),
            (self.undone, "were put back by your undo"),
            (self.open, f"are still as before: {left}, {untried:,} not tried"),
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
        SettingsError: the plan is for another tenant.
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
    path = journal_path(path_of(made))
    back = journal_path(path)
    undone = read_journal(back) if back.exists() else None
    if made.way is Way.ACTION:
        yield Progress(0, 3, note="reading Actions")
        return _verified_action(tenant, made, path, undone)
    header = Header(made.tenant, made.id, made.way.value)
    with open_journal(path, header, write=False) as journal:
        recorded = journal if path.exists() else None
        found = yield from reading_back(
            tenant, made.way, edits(made), made.changes, sample, recorded, undone
        )
        if undone is not None:
            found = replace(found, lines=(*found.lines, _undone_at(undone)))
        left = (
            f"{state}: {count:,} {reason}"
            for (state, reason), count in journal.reasons.most_common()
            if state in {State.DRIFTED, State.REFUSED}
        )
        return replace(found, lines=(*found.lines, *left))


def _verified_action(
    tenant: Tenant, plan: Plan, path: Path, undone: Journal | None
) -> Verification:
    """Check code, deployment and binding of a plan's Action."""
    now = read_setup(tenant)
    is_there = now.action is not None and now.action.code == plan.code
    is_deployed = now.action is not None and now.action.settled and now.deployed == plan.code
    checks = {
        "the Action is there, with the plan's code": is_there,
        "it is deployed": is_deployed,
        "it runs at each login": now.bound and is_deployed,
    }
    holds, count = sum(checks.values()), len(checks)
    lines = [f"{name}: {'yes' if good else 'no'}" for name, good in checks.items()]
    if undone is not None:
        lines.append(_undone_at(undone))
    elif not path.exists():
        lines.append("this plan was not applied: it has no journal")
    elif now.action is None:
        lines.append("the Action is gone: somebody deleted it")
    elif holds < count:
        was_put = recorded_change(read_journal(path).steps)
        lines.append(
            "somebody changed it since"
            if was_put is not None and was_put.finished
            else "it was not put in place completely: apply the plan again to go on"
        )
    return Verification(
        plan.way.value, tenant.domain, count, count, holds, count - holds, lines=tuple(lines)
    )


def _undone_at(undone: Journal) -> str:
    when = undone.ended or undone.began
    at = f" at {when:%H:%M} UTC on {when:%Y-%m-%d}" if when else ""
    return (
        f"you undid this plan{at}"
        if undone.last_end == "complete"
        else (f"you began to undo this plan{at}, and not all of it is undone")
    )


def reading_back(
    tenant: Tenant,
    way: str,
    expected: Iterable[Edit],
    planned: int,
    sample: int | None,
    journal: Journal | None = None,
    undone: Journal | None = None,
) -> Generator[Progress, None, Verification]:
    """Read users by id, and compare each with the planned value.

    There are so many changes `planned`, of which a sample or all are read. The journal says which
    were not made; without it, only the user's values show that. `undone` is that of an undo.
    """
    counts: Counter[str] = Counter()
    size = planned if sample is None else min(sample, planned)
    # They are spread evenly over the plan.
    chosen = (
        edit
        for place, edit in enumerate(expected)
        if place * size // planned != (place + 1) * size // planned
    )

    def found(edit: Edit) -> str:
        record = tenant.find_user(edit.user_id)
        if record is None:
            return "gone"
        restored = undone is not None and undone.state(edit.number) in _MADE
        if restored and edit.is_as_expected(record):
            return "undone"
        if edit.is_made(record):
            return "emptied" if edit.leaves_empty(record) else "holds"
        if journal is None:
            return "open" if edit.is_as_expected(record) else "differs"
        state = journal.state(edit.number)
        return "differs" if state in _MADE else _LEFT.get(state, "open")

    with closing(in_threads(found, lambda _: next(chosen, None), WORKERS)) as results:
        for some in results:
            counts.update(some)
            yield Progress(counts.total(), size, note="reading back")
    return Verification(
        str(way),
        tenant.domain,
        planned,
        counts.total(),
        counts["holds"] + counts["emptied"],
        counts["differs"],
        counts["gone"],
        counts["open"] + counts["skipped"] + counts["refused"],
        counts["undone"],
        counts["skipped"],
        counts["refused"],
        (f"{counts['emptied']:,} {_EMPTIED}",) if counts["emptied"] else (),
    )
