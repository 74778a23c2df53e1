"""Change users one by one: read, compare, write to the journal, write; a rehearsal does the same.

Several threads do it at once, within the tenant's rate limit. Each reads a user by id, which shows
every write at once (Auth0, "User Search"), compares it with the plan, records the old value in the
journal, and writes. `Tenant.revise_user` keeps the time between read and write at about one round
trip. If the answer to a write was lost, the user is read to see whether it was written.
"""

import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final, Self

from toolkit.change.edit import Edit, Field
from toolkit.change.journal import Journal, State
from toolkit.change.run import Run, in_threads
from toolkit.change.stop_request import Request
from toolkit.errors import (
    CredentialsError,
    ForbiddenError,
    IncompleteError,
    MissingError,
    QueryError,
    TenantError,
    UnreachableError,
)
from toolkit.progress import Progress
from toolkit.tenant.models import Connection

CANARY: Final = 10
"""Users who are written and checked before any other.

In a small plan it is one in twenty, so that the check stays cheap.
"""

_JUDGED = 20  # users before the share of errors is judged
_NEARLY_ALL = 18  # of the last twenty
_LOST = "does not have what was written when it is read back"
_OTHER = "the tenant answered with another value than was written"
_NO_VALUE = "invalid_body"  # Auth0's errorCode for a value of a form that it refuses
_GONE = (State.DRIFTED, "there is no such user any more")
_CHANGED = (State.DRIFTED, "changed since: has another picture or connection")


@dataclass(slots=True)
class Writing:
    """One run over the changes of users.

    Attributes:
        run: tenant and safeguards.
        journal: the record of the run; in a rehearsal it is not on disk.
        planned: how many changes there are.
        reversible: whether to write only users whose value could be restored exactly.
        connections: the tenant's connections by name; a rehearsal predicts refusals from them.
        stopped: why the run stopped early, or None.
    """

    run: Run
    journal: Journal
    planned: int
    reversible: bool
    connections: dict[str, Connection] = field(init=False)
    stopped: str | None = None
    _tried: int = 0
    _judged: int = 0
    _errors: int = 0
    _last: deque["_Change"] = field(default_factory=lambda: deque(maxlen=_JUDGED))
    _started: float = field(default_factory=time.monotonic)
    _settled_before: int = 0

    def write_all(self, edits: Iterable[Edit]) -> Generator[Progress, None, None]:
        """Change the users who are not settled yet.

        Closing the generator stops after the users under way, which are recorded in the journal.

        Raises:
            IncompleteError: the tenant refused or stopped answering; the same call continues.
            TenantError: the same, before any user was settled.
        """
        self._settled_before = self.journal.settled_count
        self.connections = self.run.connections()
        limit = self.run.limit
        ready = (edit for edit in edits if not self.journal.settled(edit.number))
        first = self.run.canary
        if first is None:
            first = min(CANARY, max(1, self.planned // 20))
        try:
            # If an earlier run has changed users, it has checked the first ones.
            if first and not self.journal.count(State.DONE):
                yield from self._first_users(ready, first if limit is None else min(first, limit))
            yield from self._change(ready, limit)
        except TenantError as error:
            # At the start, the tenant's own error says most.
            if not (self.run.execute and self.journal.settled_count):
                raise
            raise IncompleteError(
                f"{error} {self.journal.settled_count:,} of {self.planned:,} users are settled, as "
                f"{self.journal.path.name} says; run the same command again to go on."
            ) from error
        if limit is not None and self._tried >= limit and not self.stopped and next(ready, None):
            self.stopped = f"after {limit:,} users, as the limit says"

    def _first_users(self, ready: Iterator[Edit], most: int) -> Generator[Progress, None, None]:
        """Write and check a few users before any other."""
        written: list[Edit] = []
        yield from self._change(ready, most, written)
        if self._errors:
            self.stopped = "one of the first users could not be changed"
        elif self.run.execute:
            for edit in written:
                record = self.run.tenant.find_user(edit.user_id)
                if record is None or not edit.is_made(record):
                    # The next run checks again; this one is not complete.
                    self.journal.record_result(edit.number, State.FAILED, _LOST)
                    self.stopped = "one of the first users does not have what was written"
                    return
        yield self._progress()

    def _change(
        self, ready: Iterator[Edit], most: int | None, written: list[Edit] | None = None
    ) -> Generator[Progress, None, None]:
        """Change users until so many were tried, none is left, or the run stops."""
        asked: Request | None = None

        def next_edit(pending: int) -> Edit | None:
            nonlocal asked
            # Each user under way may be written and count against the limit.
            full = most is not None and self._tried + pending >= most
            asked = asked or self.run.request
            return None if full or self.stopped or asked else next(ready, None)

        def change(edit: Edit) -> _Change:
            return _Change(self, edit).settle()

        while True:
            with closing(in_threads(change, next_edit, self.run.workers)) as results:
                for changes in results:
                    for one in changes:
                        self._tried += one.begun
                        self._judged += one.begun or one.is_error
                        self._errors += one.is_error
                        self._last.append(one)
                        if written is not None and one.begun and one.state is State.DONE:
                            written.append(one.edit)
                    self.stopped = self.stopped or self._too_many_errors()
                    yield self._progress()
            if asked is None:
                return
            # What was under way is finished, and recorded.
            yield from self.run.waiting(self._progress())
            asked = self.run.request
            if asked is Request.STOP:
                if self.journal.settled_count < self.planned:
                    self.stopped = self.stopped or "as you asked"
                return

    def _too_many_errors(self) -> str | None:
        """Return why the run must stop because of errors; None if it may continue."""
        if self._judged >= _JUDGED and self._errors / self._judged > self.run.stop_share:
            return f"{self._errors:,} of {self._judged:,} writes failed or were refused"
        missed = sum(one.is_error or one.unwritten == _GONE for one in self._last)
        # A few deleted users are normal, but not when nearly all are gone.
        if self.run.stop_share < 1 and missed >= _NEARLY_ALL:
            return (
                f"{missed} of the last {len(self._last)} users are gone or could not be written: "
                "make sure that this is the tenant, and the plan, that you mean; the same command "
                "goes on"
            )
        return None

    def _progress(self) -> Progress:
        settled = self.journal.settled_count
        seconds = time.monotonic() - self._started
        note = "writing" if self.run.execute else "rehearsing: nothing is written"
        return Progress.after(seconds, settled, self.planned, note, before=self._settled_before)


@dataclass(slots=True)
class _Change:
    """The change of one user, from reading the user to the result in the journal.

    Attributes:
        state: the result; FAILED also if the user could not be read.
        is_error: whether it is an error of the kind that stops the run if there are many.
        begun: whether the old value is in the journal: the user was or may have been written; in a
            rehearsal, would be.
        before: that value.
        unwritten: state and reason of a user who must not be written; None if it must be.
    """

    writing: Writing
    edit: Edit
    state: State = State.FAILED
    is_error: bool = False
    begun: bool = False
    before: object = None
    unwritten: tuple[State, str] | None = None

    def settle(self) -> Self:
        """Read the user, write it if it is as planned, and record the result."""
        self.state, reason, self.is_error = self._try()
        if self.begun or self.state is not State.FAILED:
            self.writing.journal.record_result(self.edit.number, self.state, reason)
        else:
            # Nothing was begun, so there is nothing to undo; the next run tries again.
            self.writing.journal.count_reason(self.state, reason)
        return self

    def _try(self) -> tuple[State, str, bool]:
        """Return the result, the reason, and whether it counts as an error."""
        run, edit = self.writing.run, self.edit
        is_undo = run.header.kind == "undo"
        tag = f"picture-audit-{run.header.plan}{'-undo' if is_undo else ''}"
        try:
            if run.execute:
                answer = run.tenant.revise_user(edit.user_id, self._body, tag=tag)
                is_made = answer is not None and edit.is_made(answer)
                state, reason = (State.DONE, "") if is_made else (State.FAILED, _OTHER)
            else:
                self._body(run.tenant.find_user(edit.user_id))
                refusal = self._predicted_refusal()
                state, reason = (State.REFUSED, refusal) if refusal else (State.DONE, "")
        except MissingError:
            # The user was there when it was read: this counts as an error, too.
            return *_GONE, True
        except QueryError as error:
            # A refused old value says nothing about the values of other users.
            return State.REFUSED, str(error), not (is_undo and error.code == _NO_VALUE)
        except (UnreachableError, CredentialsError, ForbiddenError):
            raise
        except TenantError as error:
            return State.FAILED, str(error), True
        if self.unwritten is not None:
            return *self.unwritten, False
        return state, reason, state is not State.DONE

    def _body(self, record: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """Return what to write to this user, or None; record it in the journal first."""
        self.unwritten = self._reason_not_to_write(record)
        if record is None or self.unwritten is not None:
            return None
        before = self.edit.field.of(record)
        if not self.begun:
            self.writing.journal.record_begin(self.edit, before)
            self.begun, self.before = True, before
        elif self.before != before:
            # The text is as planned, but the value differs from that in the journal.
            self.unwritten = _CHANGED
            return None
        return self.edit.field.change(self.edit.after)

    def _reason_not_to_write(self, record: Mapping[str, Any] | None) -> tuple[State, str] | None:
        edit = self.edit
        if record is None:
            return _GONE
        if edit.is_made(record):
            # The write may have been made before a kill, or its answer was lost.
            begun = self.writing.journal.state(edit.number) in {State.BEGUN, State.FAILED}
            return (State.DONE if begun else State.HELD), ""
        if not edit.is_as_expected(record):
            return _CHANGED
        reason = edit.impossible
        if reason is None and self.writing.reversible:
            reason = edit.field.irreplaceable(record)
        return None if reason is None else (State.REFUSED, reason)

    def _predicted_refusal(self) -> str | None:
        if self.edit.field is not Field.ROOT:
            return None
        name = self.edit.connection or ""
        guess = Connection(name, self.edit.strategy or "")
        return self.writing.connections.get(name, guess).refusal
