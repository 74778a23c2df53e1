"""Changing users one by one: surveyed, journaled, written; the same path for a rehearsal.

A PATCH of a user writes the same however often it is sent, so the SDK's own retries are left
as they are: an answer that was lost is asked for again. Several threads write at once, over
the one pace of the tenant; the survey runs ahead of them by a few users, so that the time
between reading somebody and writing them stays short.
"""

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from toolkit.change.edit import Edit
from toolkit.change.journal import Journal, State
from toolkit.change.safeguards import Safeguards
from toolkit.change.survey import current, surveyed
from toolkit.connection import Connection
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
from toolkit.tenant import Tenant

CANARY: Final = 10
"""Users who are written first, and read back by id, before any other.

Of a small plan it is one in twenty, so that reading them back stays cheap.
"""

_JUDGED = 20  # writes before their errors say anything of the rest
_AHEAD = 4  # users a worker that are ready to be written
_GONE = "there is no such user any more"
_MOVED = "changed since: has another picture or connection"
_OTHER = "the tenant answered with another value than was written"


class Write(NamedTuple):
    """One change that is ready to be sent, and what stands there now."""

    edit: Edit
    before: object


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
        tag: what the tenant's logs show of each write.
        stopped: why the run stopped early, or None.
    """

    tenant: Tenant
    journal: Journal
    planned: int
    safeguards: Safeguards
    connections: dict[str, Connection] = field(default_factory=dict)
    reversible: bool = True
    tag: str | None = None
    stopped: str | None = None
    _tried: int = 0
    _bad: int = 0
    _started: float = field(default_factory=time.monotonic)
    _settled_before: int = 0

    def run(self, edits: Iterable[Edit]) -> Generator[Progress, None, None]:
        """Change users, those excepted that are settled already.

        Closing the generator stops: what is under way is finished and journaled.

        Yields:
            Progress in users.

        Raises:
            IncompleteError: the tenant stopped going along; the same again goes on.
            ScopeError, CredentialsError: the tenant does not let the first write through.
            OutputError: the journal cannot be written.
        """
        self._settled_before = self.journal.settled_count
        first = self._first_count()
        ready = self._ready(edits)
        pending: set[Future[State]] = set()
        with ThreadPoolExecutor(self.safeguards.workers, thread_name_prefix="write") as pool:
            try:
                if first:
                    yield from self._first_users(first, pool, ready, pending)
                for write in () if self.stopped else ready:
                    pending.add(pool.submit(self._write, write))
                    if len(pending) >= self.safeguards.workers * _AHEAD:
                        yield self._taken(pending)
                    if self.stopped:
                        break
                while pending:
                    yield self._taken(pending)
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

    def _first_count(self) -> int:
        if self.journal.count(State.DONE):
            return 0  # an earlier run has seen to that
        told = self.safeguards.canary
        return min(CANARY, max(1, self.planned // 20)) if told is None else told

    def _first_users(
        self,
        first: int,
        pool: ThreadPoolExecutor,
        ready: Iterator[Write],
        pending: set[Future[State]],
    ) -> Generator[Progress, None, None]:
        """Write a few users and read them back before any other is touched."""
        written = []
        for write in ready:
            written.append(write)
            pending.add(pool.submit(self._write, write))
            if len(written) == first:
                break
        while pending:
            yield self._taken(pending)
        if self._bad:
            self.stopped = "one of the first users could not be changed"
        for write in written if self.safeguards.execute and not self._bad else ():
            if self.journal.state(write.edit.number) is not State.DONE:
                continue  # gone before it was written
            record = current(self.tenant, write.edit.user_id)
            if record is None or not write.edit.held(record):
                self.stopped = "one of the first users does not have what was written"
                return
        yield self._progress()

    def _ready(self, edits: Iterable[Edit]) -> Iterator[Write]:
        """Yield what is to be written, in order; settle what is not."""
        limit = self.safeguards.limit
        for edit, record in surveyed(self.tenant, self._open(edits)):
            state, reason = State.DRIFTED, _MOVED
            if record is None:
                reason = _GONE
            elif edit.held(record):
                began = self.journal.state(edit.number) in {State.BEGUN, State.FAILED}
                # Whoever was killed while writing did write it.
                state, reason = (State.DONE if began else State.HELD), ""
            elif edit.stands(record):
                against = edit.impossible
                if against is None and self.reversible:
                    against = edit.field.irreplaceable(record)
                if against is None:
                    if limit is not None and self._tried >= limit:
                        self.stopped = f"after {limit:,} users, as the limit says"
                        return
                    self._tried += 1
                    yield Write(edit, edit.field.of(record))
                    continue
                state, reason = State.REFUSED, against
            self.journal.end(edit.number, state, reason)

    def _open(self, edits: Iterable[Edit]) -> Iterator[Edit]:
        return (edit for edit in edits if not self.journal.settled(edit.number))

    def _write(self, write: Write) -> State:
        edit = write.edit
        self.journal.begin(edit, write.before)
        send = self._sent if self.safeguards.execute else self._rehearsed
        try:
            state, reason = send(edit)
        except MissingError:
            state, reason = State.DRIFTED, _GONE
        except QueryError as error:
            state, reason = State.REFUSED, str(error)
        except (UnreachableError, CredentialsError, ScopeError):
            raise
        except TenantError as error:
            state, reason = State.FAILED, str(error)
        self.journal.end(edit.number, state, reason)
        return state

    def _sent(self, edit: Edit) -> tuple[State, str]:
        change = edit.field.change(edit.after)
        record = self.tenant.change_user(edit.user_id, change, tag=self.tag)
        return (State.DONE, "") if edit.held(record) else (State.FAILED, _OTHER)

    def _rehearsed(self, edit: Edit) -> tuple[State, str]:
        """Predict what the tenant would say."""
        if edit.field is not edit.field.ROOT:
            return State.DONE, ""
        named = self.connections.get(edit.connection or "")
        connection = named or Connection(edit.connection or "", edit.strategy or "")
        reason = connection.refusal
        return (State.REFUSED, reason) if reason else (State.DONE, "")

    def _taken(self, pending: set[Future[State]]) -> Progress:
        """Wait for some writes and judge them."""
        done, _ = wait(pending, return_when=FIRST_COMPLETED)
        pending -= done
        for one in done:
            self._bad += one.result() in {State.FAILED, State.REFUSED}
        ended = self._tried - len(pending)
        if ended >= _JUDGED and self._bad / ended > self.safeguards.stop_share and not self.stopped:
            self.stopped = f"{self._bad:,} of {ended:,} writes failed or were refused"
        return self._progress()

    def _progress(self) -> Progress:
        settled = self.journal.settled_count
        rate = (settled - self._settled_before) / max(time.monotonic() - self._started, 1e-6)
        left = (self.planned - settled) / rate if rate else None
        note = "writing" if self.safeguards.execute else "rehearsing: nothing is written"
        return Progress(settled, self.planned, rate or None, left, note)


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
