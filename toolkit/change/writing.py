"""Change users one by one: read, compare, write to the journal, write; a rehearsal does the same.

Several threads do it at once, within the tenant's rate limit. Each reads a user by id, which shows
every write at once (Auth0, "User Search"), compares it with the plan, records the old value in the
journal, and writes. `Tenant.revise_user` keeps the time between read and write at about one round
trip. If the answer to a write was lost, the user is read to see whether it was written.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from toolkit.change.edit import Edit
from toolkit.change.journal import Journal, State
from toolkit.change.run import Safeguards
from toolkit.errors import (
    CredentialsError,
    IncompleteError,
    MissingError,
    QueryError,
    ScopeError,
    TenantError,
    UnreachableError,
)
from toolkit.progress import Progress
from toolkit.tenant.client import Tenant
from toolkit.tenant.models import Connection

CANARY: Final = 10
"""Users who are written and checked before any other.

In a small plan it is one in twenty, so that the check stays cheap.
"""

_JUDGED = 20  # users before the share of errors is judged
_NEARLY_ALL = 18  # of the last twenty
_AHEAD = 4  # waiting users for each worker
_GONE = "there is no such user any more"
_MOVED = "changed since: has another picture or connection"
_LOST = "does not have what was written when it is read back"
_OTHER = "the tenant answered with another value than was written"
_NO_VALUE = "invalid_body"  # Auth0's errorCode for a value of a form that it refuses


class _Ended(NamedTuple):
    """The result of one user.

    Attributes:
        edit: the change.
        state: the result; FAILED also if the user could not be read.
        tried: whether it was or may have been written; in a rehearsal, would be.
        bad: whether it is an error of the kind that stops the run if there are many.
        gone: whether there is no such user.
    """

    edit: Edit
    state: State
    tried: bool
    bad: bool
    gone: bool


@dataclass(slots=True)
class Writing:
    """One run over the changes of users.

    Attributes:
        tenant: where.
        journal: the record of the run; in a rehearsal it is not on disk.
        planned: how many changes there are.
        safeguards: whether to write, and how carefully.
        connections: the tenant's connections by name; a rehearsal predicts refusals from them.
        reversible: whether to write only users whose value could be restored exactly.
        restoring: whether each user gets their own old value back: then a refusal says nothing
            about the other users.
        tag: shown in the tenant's logs with each write.
        stopped: why the run stopped early, or None.
    """

    tenant: Tenant
    journal: Journal
    planned: int
    safeguards: Safeguards
    connections: dict[str, Connection] = field(default_factory=dict)
    reversible: bool = True
    restoring: bool = False
    tag: str | None = None
    stopped: str | None = None
    _tried: int = 0
    _judged: int = 0
    _bad: int = 0
    _last: deque[_Ended] = field(default_factory=lambda: deque(maxlen=_JUDGED))
    _first: list[Edit] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _started: float = field(default_factory=time.monotonic)
    _settled_before: int = 0

    def run(self, edits: Iterable[Edit]) -> Generator[Progress, None, None]:
        """Change the users who are not settled yet.

        Closing the generator stops after the users under way, which are recorded in the journal.

        Yields:
            Progress in users.

        Raises:
            IncompleteError: the tenant refused or stopped answering; the same call continues.
            ScopeError, CredentialsError: the tenant refuses the first write.
            OutputError: the journal cannot be written.
        """
        self._settled_before = self.journal.settled_count
        limit, first = self.safeguards.limit, self._first_count()
        ready = (edit for edit in edits if not self.journal.settled(edit.number))
        pending: set[Future[_Ended]] = set()
        with ThreadPoolExecutor(self.safeguards.workers, thread_name_prefix="write") as pool:
            try:
                if first:
                    most = first if limit is None else min(first, limit)
                    yield from self._first_users(ready, pool, pending, most)
                yield from self._settling(ready, pool, pending, limit)
            except TenantError as error:
                # At the start, the tenant's own error says most.
                if not (self.safeguards.execute and self.journal.settled_count):
                    raise
                raise IncompleteError(
                    f"{error} {self.journal.settled_count:,} of {self.planned:,} users are "
                    f"settled, as {self.journal.path.name} says; run the same command again to "
                    "go on."
                ) from error
            finally:
                for one in pending:
                    one.cancel()
                wait(pending)
        if limit is not None and self._tried >= limit and not self.stopped and next(ready, None):
            self.stopped = f"after {limit:,} users, as the limit says"

    def _first_count(self) -> int:
        if self.journal.count(State.DONE):
            return 0  # an earlier run has done that
        told = self.safeguards.canary
        return min(CANARY, max(1, self.planned // 20)) if told is None else told

    def _first_users(
        self,
        ready: Iterator[Edit],
        pool: ThreadPoolExecutor,
        pending: set[Future[_Ended]],
        most: int,
    ) -> Generator[Progress, None, None]:
        """Write and check a few users before any other."""
        self._first = []
        yield from self._settling(ready, pool, pending, most)
        written, self._first = self._first, None
        if self._bad:
            self.stopped = "one of the first users could not be changed"
        for edit in written if self.safeguards.execute and not self._bad else ():
            record = self.tenant.find_user(edit.user_id)
            if record is None or not edit.held(record):
                # The next run checks again; this one is not complete.
                self.journal.end(edit.number, State.FAILED, _LOST)
                self.stopped = "one of the first users does not have what was written"
                return
        yield self._progress()

    def _settling(
        self,
        ready: Iterator[Edit],
        pool: ThreadPoolExecutor,
        pending: set[Future[_Ended]],
        most: int | None,
    ) -> Generator[Progress, None, None]:
        """Settle users until so many were tried, none is left, or the run stops."""
        while not self.stopped:
            room = len(pending) < self.safeguards.workers * _AHEAD
            # Each user under way may be written and count against the limit.
            if room and (most is None or self._tried + len(pending) < most):
                edit = next(ready, None)
                if edit is not None:
                    pending.add(pool.submit(self._settle, edit))
                    continue
            if not pending:
                return
            yield self._taken(pending)
        while pending:
            yield self._taken(pending)

    def _settle(self, edit: Edit) -> _Ended:
        """Read a user, write it if it is as planned, and record the result."""
        look = _Look(self, edit)
        state, reason, bad = self._ended(edit, look)
        if look.begun or state is not State.FAILED:
            self.journal.end(edit.number, state, reason)
        else:
            # Nothing was begun, so there is nothing to undo; the next run tries again.
            with self._lock:
                self.journal.reasons[state, reason] += 1
        return _Ended(edit, state, bool(look.begun), bad, look.gone)

    def _ended(self, edit: Edit, look: "_Look") -> tuple[State, str, bool]:
        """Return the result, the reason, and whether it counts as an error."""
        try:
            if self.safeguards.execute:
                answer = self.tenant.revise_user(edit.user_id, look, tag=self.tag)
                holds = answer is not None and edit.held(answer)
                state, reason = (State.DONE, "") if holds else (State.FAILED, _OTHER)
            else:
                look(self.tenant.find_user(edit.user_id))
                state, reason = self._rehearsed(edit)
        except MissingError:
            # The user existed a moment ago, so it was not deleted since the plan.
            return State.DRIFTED, _GONE, True
        except QueryError as error:
            # A refused old value says nothing about the values of other users.
            ours = self.restoring and error.code == _NO_VALUE
            return State.REFUSED, str(error), not ours
        except (UnreachableError, CredentialsError, ScopeError):
            raise
        except TenantError as error:
            return State.FAILED, str(error), True
        if look.verdict is not None:
            return *look.verdict, False
        return state, reason, state is not State.DONE

    def verdict(self, edit: Edit, record: Mapping[str, Any] | None) -> tuple[State, str] | None:
        """Return the result of a user who must not be written; None if it must be."""
        if record is None:
            return State.DRIFTED, _GONE
        if edit.held(record):
            began = self.journal.state(edit.number) in {State.BEGUN, State.FAILED}
            # The write was made, but the run was killed or the answer was lost.
            return (State.DONE if began else State.HELD), ""
        if not edit.stands(record):
            return State.DRIFTED, _MOVED
        against = edit.impossible
        if against is None and self.reversible:
            against = edit.field.irreplaceable(record)
        return None if against is None else (State.REFUSED, against)

    def _rehearsed(self, edit: Edit) -> tuple[State, str]:
        """Predict the tenant's answer."""
        if edit.field is not edit.field.ROOT:
            return State.DONE, ""
        named = self.connections.get(edit.connection or "")
        connection = named or Connection(edit.connection or "", edit.strategy or "")
        reason = connection.refusal
        return (State.REFUSED, reason) if reason else (State.DONE, "")

    def _taken(self, pending: set[Future[_Ended]]) -> Progress:
        """Wait for some users and count their errors."""
        done, _ = wait(pending, return_when=FIRST_COMPLETED)
        pending -= done
        for ended in (one.result() for one in done):
            self._tried += ended.tried
            self._judged += ended.tried or ended.bad
            self._bad += ended.bad
            self._last.append(ended)
            if self._first is not None and ended.tried and ended.state is State.DONE:
                self._first.append(ended.edit)
        self.stopped = self.stopped or self._against_going_on()
        return self._progress()

    def _against_going_on(self) -> str | None:
        """Return why the run must stop because of errors; None if it may continue."""
        share = self.safeguards.stop_share
        if self._judged >= _JUDGED and self._bad / self._judged > share:
            return f"{self._bad:,} of {self._judged:,} writes failed or were refused"
        missed = sum(one.bad or one.gone for one in self._last)
        # A few deleted users are normal, but not when nearly all are gone.
        if share < 1 and missed >= _NEARLY_ALL:
            return (
                f"{missed} of the last {len(self._last)} users are gone or could not be written: "
                "make sure that this is the tenant, and the plan, that you mean; the same command "
                "goes on"
            )
        return None

    def _progress(self) -> Progress:
        settled = self.journal.settled_count
        seconds = time.monotonic() - self._started
        note = "writing" if self.safeguards.execute else "rehearsing: nothing is written"
        return Progress.after(seconds, settled, self.planned, note, before=self._settled_before)


@dataclass(slots=True)
class _Look:
    """Decides about one user each time it is read.

    Attributes:
        writing: the run.
        edit: the change.
        begun: the old value in the journal; empty before that.
        verdict: the result without a write; None if it is written.
        gone: whether there is no such user.
    """

    writing: Writing
    edit: Edit
    begun: list[object] = field(default_factory=list)
    verdict: tuple[State, str] | None = None
    gone: bool = False

    def __call__(self, record: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """Return what to write to this user, or None; record it in the journal first."""
        self.gone = record is None
        self.verdict = self.writing.verdict(self.edit, record)
        if record is None or self.verdict is not None:
            return None
        before = self.edit.field.of(record)
        if not self.begun:
            self.writing.journal.begin(self.edit, before)
            self.begun.append(before)
        elif self.begun != [before]:
            # The text is as planned, but the value differs from that in the journal.
            self.verdict = State.DRIFTED, _MOVED
            return None
        return self.edit.field.change(self.edit.after)


def predicted(tenant: Tenant, note: Callable[[str], None]) -> dict[str, Connection]:
    """Read a tenant's connections to predict refusals; without the scope, none."""
    if tenant.granted("read:connections") is False:
        note("the token lacks read:connections: refusals are predicted by strategy")
        return {}
    try:
        return {one.name: one for one in tenant.connections()}
    except ScopeError as error:
        note(f"refusals are predicted by strategy: {error}")
        return {}
