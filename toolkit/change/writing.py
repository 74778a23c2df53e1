"""Changing users one by one: read, compared, journaled, written; the same path for a rehearsal.

Several threads do it at once, over the one pace of the tenant. Each reads a user by id, which
is consistent at once (Auth0, "User Search": only searches are not), compares it with the plan,
notes in the journal what stands there, and writes; `Tenant.revise_user` keeps the time from
reading to writing at about one round trip. A write whose answer was lost is settled by reading.
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
"""Users who are written first, and read back by id, before any other.

Of a small plan it is one in twenty, so that reading them back stays cheap.
"""

_JUDGED = 20  # users before their errors say anything of the rest
_NEARLY_ALL = 18  # of the last so many
_AHEAD = 4  # users a worker that wait for it
_GONE = "there is no such user any more"
_MOVED = "changed since: has another picture or connection"
_LOST = "does not have what was written when it is read back"
_OTHER = "the tenant answered with another value than was written"
_NO_VALUE = "invalid_body"  # Auth0's errorCode where a value is of a form that it does not take


class _Ended(NamedTuple):
    """How one user ended.

    Attributes:
        edit: the change.
        state: how it ended; FAILED where the user could not be read, too.
        tried: whether it was written, or may have been; in a rehearsal, would be.
        bad: whether that is an error that makes the run stop where there are many.
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
        journal: what is done is kept there; a rehearsal's is not on disk.
        planned: how many changes there are.
        safeguards: whether anything is sent, and how carefully.
        connections: the tenant's connections by name, by which a rehearsal predicts refusals.
        reversible: whether a user is only written whose value could be put back exactly.
        restoring: whether each user gets back a value of their own: where the tenant does not
            take it, that says nothing of the others.
        tag: what the tenant's logs show of each write.
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
        """Change users, those excepted that are settled already.

        Closing the generator stops: what is under way is finished and journaled.

        Yields:
            Progress in users.

        Raises:
            IncompleteError: the tenant refused or stopped answering; the same again goes on.
            ScopeError, CredentialsError: the tenant does not let the first write through.
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
                # At the very start it is what the tenant says that matters.
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
            return 0  # an earlier run has seen to that
        told = self.safeguards.canary
        return min(CANARY, max(1, self.planned // 20)) if told is None else told

    def _first_users(
        self,
        ready: Iterator[Edit],
        pool: ThreadPoolExecutor,
        pending: set[Future[_Ended]],
        most: int,
    ) -> Generator[Progress, None, None]:
        """Write a few users and read them back before any other is touched."""
        self._first = []
        yield from self._settling(ready, pool, pending, most)
        written, self._first = self._first, None
        if self._bad:
            self.stopped = "one of the first users could not be changed"
        for edit in written if self.safeguards.execute and not self._bad else ():
            record = self.tenant.find_user(edit.user_id)
            if record is None or not edit.held(record):
                # The next run looks again; and this one is not complete.
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
        """Settle users until this run has tried so many, none is left, or it stops."""
        while not self.stopped:
            room = len(pending) < self.safeguards.workers * _AHEAD
            # Each that is under way may be one more that is written.
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
        """Read a user, and write it where it is as planned; note how that ended."""
        look = _Look(self, edit)
        state, reason, bad = self._ended(edit, look)
        if look.begun or state is not State.FAILED:
            self.journal.end(edit.number, state, reason)
        else:
            # Nothing was begun, so undo has nothing to look at; the next run tries again.
            with self._lock:
                self.journal.reasons[state, reason] += 1
        return _Ended(edit, state, bool(look.begun), bad, look.gone)

    def _ended(self, edit: Edit, look: "_Look") -> tuple[State, str, bool]:
        """Return how it ended, why, and whether that speaks against going on."""
        try:
            if self.safeguards.execute:
                answer = self.tenant.revise_user(edit.user_id, look, tag=self.tag)
                holds = answer is not None and edit.held(answer)
                state, reason = (State.DONE, "") if holds else (State.FAILED, _OTHER)
            else:
                look(self.tenant.find_user(edit.user_id))
                state, reason = self._rehearsed(edit)
        except MissingError:
            # It was there a moment ago: that is no user who left since the plan was made.
            return State.DRIFTED, _GONE, True
        except QueryError as error:
            # A former value that is not taken says nothing of the others' values.
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
        """Say how a user ends who is not to be written; None for who is."""
        if record is None:
            return State.DRIFTED, _GONE
        if edit.held(record):
            began = self.journal.state(edit.number) in {State.BEGUN, State.FAILED}
            # Whoever was killed while writing, or whose answer was lost, did write it.
            return (State.DONE if began else State.HELD), ""
        if not edit.stands(record):
            return State.DRIFTED, _MOVED
        against = edit.impossible
        if against is None and self.reversible:
            against = edit.field.irreplaceable(record)
        return None if against is None else (State.REFUSED, against)

    def _rehearsed(self, edit: Edit) -> tuple[State, str]:
        """Predict what the tenant would say."""
        if edit.field is not edit.field.ROOT:
            return State.DONE, ""
        named = self.connections.get(edit.connection or "")
        connection = named or Connection(edit.connection or "", edit.strategy or "")
        reason = connection.refusal
        return (State.REFUSED, reason) if reason else (State.DONE, "")

    def _taken(self, pending: set[Future[_Ended]]) -> Progress:
        """Wait for some users and judge them."""
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
        """Say why so many errors speak against going on; None where they do not."""
        share = self.safeguards.stop_share
        if self._judged >= _JUDGED and self._bad / self._judged > share:
            return f"{self._bad:,} of {self._judged:,} writes failed or were refused"
        missed = sum(one.bad or one.gone for one in self._last)
        # Some who left since are no error, but hardly anybody left is none of chance.
        if share < 1 and missed >= _NEARLY_ALL:
            return (
                f"{missed} of the last {len(self._last)} users are gone or could not be written: "
                "make sure that this is the tenant, and the plan, that you mean; the same command "
                "goes on"
            )
        return None

    def _progress(self) -> Progress:
        settled = self.journal.settled_count
        rate = (settled - self._settled_before) / max(time.monotonic() - self._started, 1e-6)
        left = (self.planned - settled) / rate if rate else None
        note = "writing" if self.safeguards.execute else "rehearsing: nothing is written"
        return Progress(settled, self.planned, rate or None, left, note)


@dataclass(slots=True)
class _Look:
    """Decides about one user, each time that it was read.

    Attributes:
        writing: the run.
        edit: the change.
        begun: what stood there when the write was journaled; empty before that.
        verdict: how it ends without a write; None where it is written.
        gone: whether there is no such user.
    """

    writing: Writing
    edit: Edit
    begun: list[object] = field(default_factory=list)
    verdict: tuple[State, str] | None = None
    gone: bool = False

    def __call__(self, record: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """Return what to write to this user, or None; journal it before."""
        self.gone = record is None
        self.verdict = self.writing.verdict(self.edit, record)
        if record is None or self.verdict is not None:
            return None
        before = self.edit.field.of(record)
        if not self.begun:
            self.writing.journal.begin(self.edit, before)
            self.begun.append(before)
        elif self.begun != [before]:
            # As text it is as planned, and still another value than the journal holds.
            self.verdict = State.DRIFTED, _MOVED
            return None
        return self.edit.field.change(self.edit.after)


def predicted(tenant: Tenant, note: Callable[[str], None]) -> dict[str, Connection]:
    """Read a tenant's connections, to predict what it would refuse; without the scope, nothing."""
    if tenant.granted("read:connections") is False:
        note("the token lacks read:connections: refusals are predicted by strategy")
        return {}
    try:
        return {one.name: one for one in tenant.connections()}
    except ScopeError as error:
        note(f"refusals are predicted by strategy: {error}")
        return {}
