"""Checks and totals of one apply or undo run."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from toolkit.change.exclusive import one_at_a_time
from toolkit.change.journal import Journal, State
from toolkit.change.outcome import ActionState, Outcome
from toolkit.change.ways import Way
from toolkit.errors import SettingsError
from toolkit.tenant.client import Tenant


@dataclass(slots=True)
class Errand:
    """One run at a tenant, with its costs.

    Attributes:
        tenant: the tenant.
        domain: the domain of the plan's tenant.
        way: the plan's way.
        execute: whether anything is written.
        kind: `apply` or `undo`.
        earlier: changes that earlier runs of the same journal have made.
        notes: notes for the end.
    """

    tenant: Tenant
    domain: str
    way: Way
    execute: bool
    kind: str = "apply"
    earlier: int = 0
    notes: list[str] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)
    _requests: int = 0
    _limited: int = 0

    def __post_init__(self) -> None:
        self._requests, self._limited = self.tenant.requests, self.tenant.refused

    def admit(self, confirm: str | None, reads: tuple[str, ...], writes: tuple[str, ...]) -> None:
        """Check tenant, confirmation and scopes before anything is done.

        Raises:
            SettingsError: it is another tenant, or was not confirmed.
            ScopeError: the token lacks a scope.
        """
        here = self.tenant.domain
        if here != self.domain:
            raise SettingsError(
                f"This is for {self.domain}, and the tenant is {here}: set AUTH0_DOMAIN, or make "
                "a plan for this tenant."
            )
        if self.execute:
            # For a sandbox, the form of AUTH0_DOMAIN is accepted, too.
            if (confirm or "").removeprefix("http://").rstrip("/") != here:
                raise SettingsError(f"To write to {here}, confirm its name: --confirm {here}")
            self.tenant.require(*reads, *writes)
            return
        self.tenant.require(*reads)
        lacking = [scope for scope in writes if self.tenant.granted(scope) is False]
        if lacking:
            self.notes.append(f"the token lacks {' '.join(lacking)}: --execute would not start")

    @contextmanager
    def alone(self, path: Path) -> Iterator[None]:
        """Lock the tenant for this change; a rehearsal does not lock it.

        Args:
            path: the plan or the journal.

        Raises:
            SettingsError: another process is changing the tenant.
            OutputError: the state folder cannot be written.
        """
        if not self.execute:
            yield
            return
        with one_at_a_time(self.domain, self.kind, path):
            yield

    def finished(self, journal: Journal, outcome: Outcome) -> Outcome:
        """Write the outcome to the journal.

        Raises:
            OutputError: the journal cannot be written.
        """
        journal.finish("complete" if outcome.complete else "incomplete")
        return outcome

    def outcome(self, journal: Journal, planned: int, stopped: str | None = None) -> Outcome:
        """Return the outcome of a change of users."""
        reasons = tuple(
            (state.value, reason, count) for (state, reason), count in journal.reasons.most_common()
        )
        counts = {state: journal.count(state) for state in State}
        return self._ended(counts, planned, stopped=stopped, reasons=reasons)

    def action_outcome(self, action: ActionState, state: State) -> Outcome:
        """Return the outcome of a change of an Action."""
        return replace(self._ended({state: 1}, 1), action=action)

    def _ended(
        self,
        counts: dict[State, int],
        planned: int,
        stopped: str | None = None,
        reasons: tuple[tuple[str, str, int], ...] = (),
    ) -> Outcome:
        return Outcome(
            kind=self.kind,
            way=self.way.value,
            tenant=self.domain,
            executed=self.execute,
            planned=planned,
            done=counts.get(State.DONE, 0),
            held=counts.get(State.HELD, 0),
            drifted=counts.get(State.DRIFTED, 0),
            refused=counts.get(State.REFUSED, 0),
            failed=counts.get(State.FAILED, 0),
            earlier=self.earlier,
            stopped=stopped,
            reasons=reasons,
            notes=(*self.notes, *self.tenant.notes),
            requests=self.tenant.requests - self._requests,
            limited=self.tenant.refused - self._limited,
            seconds=round(time.monotonic() - self._began, 3),
        )


STOP_SHARE: Final = 0.05
"""The run stops by itself if a larger share of writes fails or is refused."""

WORKERS: Final = 8
"""Requests under way at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Safeguards:
    """How carefully users are written; the defaults only rehearse.

    Attributes:
        execute: whether to write; otherwise everything but the writes is done.
        limit: the most users that this run writes, or None; the next run continues.
        canary: how many users to write and check first; None for a few, 0 for none.
        stop_share: the run stops if a larger share of writes fails, or if nearly all of the last
            twenty users are gone or failed. With 1 it never stops.
        workers: how many writes to send at once, within the tenant's rate limit.
    """

    execute: bool = False
    limit: int | None = None
    canary: int | None = None
    stop_share: float = STOP_SHARE
    workers: int = WORKERS
