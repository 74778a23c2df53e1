"""The outcome of a change of a tenant, as a value."""

from dataclasses import asdict, dataclass
from typing import Any

from toolkit.formatting import render, visible


@dataclass(frozen=True, slots=True)
class ActionState:
    """What a change does, or did, to an Action and its binding.

    Attributes:
        name: the Action's name.
        before: the code that ran before, or None.
        after: the code that runs afterwards, or None if it is removed.
        bindings_before: names of the Actions that ran after a login before, in order.
        bindings_after: the same afterwards.
    """

    name: str
    before: str | None
    after: str | None
    bindings_before: tuple[str, ...]
    bindings_after: tuple[str, ...]


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
        earlier: changed by earlier runs.
        held: already had the new value.
        drifted: skipped, because they have changed or are gone.
        refused: left as they are, because the tenant refuses the change or their value could not be
            restored.
        failed: an error; the same command tries them again.
        lost: written, but without the new value when they were checked.
        unlisted: have the new value but are not in the journal: its lines may be missing, so they
            cannot be restored.
        unsettled: lines of the journal may be missing, and the users could not be searched.
        stopped: why it stopped early, or None.
        reasons: (state, reason, how many).
        notes: what else is worth knowing.
        requests: requests sent by this run.
        limited: how many of them were answered 429.
        seconds: how long this run took.
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

    def _lines(self) -> list[str]:
        verb = {"apply": "changed", "undo": "put back"}[self.kind]
        would = "" if self.executed else "would be "
        what = "users" if self.action is None else "Action"
        lines = [f"{self.done:,} of {self.planned:,} {what} {would}{verb}"]
        named = (
            (self.earlier, "of them by earlier runs"),
            (self.held, "have it already"),
            (self.drifted, "skipped, because somebody changed them"),
            (self.refused, f"cannot be {verb}"),
            (self.failed, "failed"),
            (self.lost, "do not have the new value when checked"),
            (self.unlisted, "changed, but not in the journal"),
            (self.remaining, "remain"),
        )
        lines += [f"{number:,} {text}" for number, text in named if number]
        lines += [f"{state}: {count:,} {reason}" for state, reason, count in self.reasons if reason]
        lines += [f"stopped: {self.stopped}"] if self.stopped else []
        if self.action is not None:
            before, after = (
                ", ".join(names) or "nothing"
                for names in (self.action.bindings_before, self.action.bindings_after)
            )
            lines.append(f"Actions at each login before: {before}; afterwards: {after}")
        lines += [f"note: {note}" for note in self.notes]
        if not self.executed:
            lines.append("a rehearsal: nothing was written")
        return lines

    def __repr__(self) -> str:
        return "\n  ".join(
            map(visible, [f"{self.kind} of {self.way} at {self.tenant}", *self._lines()])
        )

    def _repr_html_(self) -> str:
        answer, *rest = self._lines()
        return render("change/answer.html.j2", answer=answer, lines=rest)
