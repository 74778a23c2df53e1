"""The record of a change: a file beside the plan, append-only, one JSON document in each line.

The first line names tenant and plan. For each user there is a line before the request is sent (old
and new value) and a line after it (the result); each is on disk before the next step. If the
process is killed, at most the last line is incomplete, and is then ignored.

Each line contains a hash of the line before, its link, and each run writes an end line. So lines
that were removed, moved or changed are noticed. If the end line is missing, either the run was
killed or the last lines are missing. To tell these apart, the length of the journal at the end of
each run is also saved in the user's state folder. Journals of version 1 have neither links nor end
lines.

It contains old pictures, which are personal data: only its owner can read it.
"""

import hashlib
import json
import os
import re
import secrets
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, Final

import platformdirs

from toolkit.analysis.file_header import text
from toolkit.change.edit import Edit, Field
from toolkit.change.ways import Way
from toolkit.errors import OutputError, SettingsError, UnreadableInputError
from toolkit.snapshots.storage import ensure_own, lock_of, replacing
from toolkit.system import (
    locked,
    make_private,
    others_may,
    private_opener,
    sync_folder,
)

FORMAT: Final = "auth0-picture-audit journal"
VERSION: Final = 2
_UNCHAINED: Final = 1
_OTHERS = 0o022  # mode bits that let other users write a file
_ID = re.compile(r"[0-9a-f]{16}")


class State(StrEnum):
    """The state of a change."""

    BEGUN = "begun"
    DONE = "done"
    HELD = "held"
    DRIFTED = "drifted"
    REFUSED = "refused"
    FAILED = "failed"


# The state of a user takes one byte of memory: its place here.
_STATES: Final = (None, *State)
_FINAL: Final = frozenset({State.DONE, State.HELD, State.DRIFTED, State.REFUSED})
_FIELDS: Final = {Way.ROOT: Field.ROOT, Way.METADATA: Field.METADATA}
# The most changes of one plan, more than any tenant has: a number takes memory.
_MOST: Final = 100_000_000


@dataclass(frozen=True, slots=True)
class Header:
    """The plan and tenant of a journal, in the order of its first line.

    Attributes:
        tenant: the tenant's domain.
        plan: the plan's id.
        way: the plan's way.
        kind: `apply`, or `undo` of one.
    """

    tenant: str
    plan: str
    way: str
    kind: str = "apply"


class Journal:
    """A journal. Made by `open_journal` or `read_journal`; several threads may write to it.

    Attributes:
        path: the file.
        header: its plan and tenant.
        chained: whether its lines have links; false for version 1.
        lines: how many lines it has.
        last_end: how the last run ended; None without an end line.
        began, ended: when the first run began and the last one ended, in UTC; None if not known.
        missing: how many lines it lost since a run ended last.
        perhaps_unrecorded: changes that an earlier run may have made without a line about them:
            they were found made after a run without an end line.
        reasons: how often a change ended in a state for a reason.
        steps: the recorded steps of an Action, in order.
    """

    header: Header

    def __init__(
        self, path: Path, expected: Header | None = None, file: IO[bytes] | None = None
    ) -> None:
        """Read a journal, or prepare a new one.

        It must have or gets the header `expected`; None accepts any journal. `file` is the same
        file, locked and open to append; None writes nothing.
        """
        self.path = path
        self.chained = True
        self.lines = self.missing = self._synced = 0
        self.last_end: str | None = None
        self.began: datetime | None = None
        self.ended: datetime | None = None
        self.perhaps_unrecorded: set[int] = set()
        self.reasons: Counter[tuple[State, str]] = Counter()
        self.steps: list[dict[str, Any]] = []
        self._states = bytearray()
        self._counts: Counter[State] = Counter()
        self._file = file
        self._id = self._link = ""
        self._resumed = False  # an earlier run has no end line
        self._broken: OSError | None = None
        self._writing, self._syncing = threading.Lock(), threading.Lock()
        if expected is not None:
            self.header = expected
        if expected is None or path.exists():
            self._load(expected)

    @property
    def last_written(self) -> datetime:
        """When the file was written last (UTC): early journals hold no times."""
        return datetime.fromtimestamp(self.path.stat().st_mtime, UTC)

    @property
    def settled_count(self) -> int:
        """How many changes are settled."""
        return sum(self._counts[state] for state in _FINAL)

    @property
    def incomplete_reason(self) -> str | None:
        """Why lines may be missing; None if certainly none is."""
        if not self.chained:
            return (
                "the journal is of an older version: its lines are not chained, so it does not "
                "show whether some are missing"
            )
        if self.missing:
            return f"{self.missing:,} lines at the end of the journal are missing"
        if self.last_end is None:
            return "the journal has no end: apply was interrupted, or lines are missing"
        return None

    @property
    def may_lack_changes(self) -> bool:
        """Whether missing lines may be about changes that were made."""
        return self.incomplete_reason is not None or bool(self.perhaps_unrecorded)

    def may_lack(self, number: int) -> bool:
        """Whether missing lines may be about this change."""
        unknown = self.state(number) is None and self.incomplete_reason is not None
        return unknown or number in self.perhaps_unrecorded

    def state(self, number: int) -> State | None:
        """Return the state of the change with this number; None if it was not begun."""
        return _STATES[self._states[number]] if number < len(self._states) else None

    def settled(self, number: int) -> bool:
        """Whether this change needs nothing more."""
        return self.state(number) in _FINAL

    def count(self, state: State) -> int:
        """Return how many changes are in a state."""
        return self._counts[state]

    def count_reason(self, state: State, reason: str) -> None:
        """Count a result that is not recorded."""
        with self._writing:
            self.reasons[state, reason] += 1

    def record_begin(self, edit: Edit, before: object) -> None:
        """Record the new and the old value before a write; on disk when this returns."""
        self._append(
            {
                "n": edit.number,
                "user": edit.user_id,
                "connection": edit.connection,
                "strategy": edit.strategy,
                "field": edit.field.value,
                "before": before,
                "after": edit.after,
            }
        )
        self._mark(edit.number, State.BEGUN)

    def record_result(self, number: int, state: State, reason: str = "") -> None:
        """Record the result of a change; on disk when this returns."""
        self._append({"n": number, "state": state.value, "reason": reason})
        self._mark(number, state)
        self.count_reason(state, reason)

    def record_step(self, step: Mapping[str, Any]) -> None:
        """Record a step of an Action's change; on disk when this returns."""
        self._append({"step": dict(step)})
        self.steps.append(dict(step))

    def record_end(self, how: str) -> None:
        """Record the end of this run; on disk when this returns."""
        if self._file is None or not self.chained or self.last_end == how:
            return
        self.ended = datetime.now(UTC)
        self._append({"end": how, "lines": self.lines, "at": _written(self.ended)})
        self.last_end, self.missing = how, 0
        self._save_length()

    def start_run(self) -> None:
        """Write the first line, or a line about an earlier run without an end."""
        if not self.lines:
            self._id = secrets.token_hex(8)
            self.began = datetime.now(UTC)
            about = {**asdict(self.header), "id": self._id, "at": _written(self.began)}
            self._append({"format": FORMAT, "version": VERSION, **about})
            # The file's name must be on disk, too.
            sync_folder(self.path.parent)
        elif self.chained and self.incomplete_reason is not None:
            self._append({"resumed": self.lines, "missing": self.missing})
            self._resumed = True
            if self.missing:
                # The next run compares with the length as it is now.
                self._save_length()
                self.missing = 0

    def stop_run(self) -> None:
        """Record the end of a run that was stopped by an error, or from outside."""
        if self.last_end is None and self._broken is None:
            self.record_end("stopped")

    def entries(self, *states: State) -> Iterator[tuple[Edit, object]]:
        """Yield each change in a state and the old value, in the order in which they were begun."""
        seen = bytearray(len(self._states))
        for document, _ in self._documents():
            if "user" in document and not seen[document["n"]]:
                # The first recorded "before" is the old value, which undo restores.
                seen[document["n"]] = 1
                if self.state(document["n"]) in states:
                    yield _edit(document), document["before"]

    def _mark(self, number: int, state: State) -> None:
        with self._writing:
            former = self.state(number)
            if former is not None:
                self._counts[former] -= 1
            self._counts[state] += 1
            if number >= len(self._states):
                self._states.extend(bytes(number + 1 - len(self._states)))
            self._states[number] = _STATES.index(state)
            if self._resumed and state is State.HELD:
                self.perhaps_unrecorded.add(number)

    def _append(self, document: Mapping[str, Any]) -> None:
        """Write a line and wait for the disk; threads share one wait."""
        file = self._file
        if file is None:
            return  # a rehearsal saves nothing
        try:
            with self._writing:
                self._write_line(file, document)
                number = self.lines
            with self._syncing:
                if self._synced < number:
                    written = self.lines
                    os.fsync(file.fileno())
                    self._synced = written
        except OSError as error:
            self._broken = self._broken or error
            raise OutputError(
                f"Cannot write {self.path}: {error.strerror or error}. Every write that was "
                "sent is in it. Make room, and run the same command again."
            ) from error

    def _write_line(self, file: IO[bytes], document: Mapping[str, Any]) -> None:
        if self._broken is not None:
            raise self._broken
        link = {"link": self._link} if self._link else {}
        line = json.dumps({**document, **link}, separators=(",", ":")).encode() + b"\n"
        size, written = os.fstat(file.fileno()).st_size, 0
        try:
            while written < len(line):
                written += file.write(line[written:])
        except OSError as error:
            # Remove the partial line, or it would damage the next one.
            self._broken = error
            os.ftruncate(file.fileno(), size)
            raise
        self._count_line(line)
        self.last_end = None

    def _count_line(self, line: bytes) -> None:
        """Count a line, and keep the link for the next one."""
        self.lines += 1
        if self.chained:
            self._link = link_to(line)

    def _save_length(self) -> None:
        with replacing(_length_path(self._id)) as file:
            file.write(json.dumps({"lines": self.lines, "link": self._link}).encode())

    def _saved_length(self) -> tuple[int, str] | None:
        """Return the lines at the end of the last run, and the link to them; None if not known."""
        place = _length_path(self._id)
        try:
            found = json.loads(place.read_bytes())
            return int(found["lines"]), str(found["link"])
        except FileNotFoundError:
            return None  # from another machine, or no run has ended
        except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
            raise UnreadableInputError(
                f"{place} cannot be read: it holds the length of a journal. Delete it, then run "
                "picture-audit verify to see what the tenant has."
            ) from error

    def _load(self, expected: Header | None) -> None:
        """Read all complete lines, and compare them with the saved length."""
        if self.path.exists() and others_may(self.path.stat(), _OTHERS):
            raise SettingsError(
                f"Others can change {self.path}, and undo writes what is in it: look at it, "
                "and chmod 600 it."
            )
        documents = self._documents()
        head, line = next(documents, ({}, b""))
        size = len(line)
        if line or self._file is None:
            self._take_head(head, expected)
            self._count_line(line)
        saved = self._saved_length() if self._id else None
        for document, line in documents:
            if self.chained and document.get("link") != self._link:
                what = f"line {self.lines + 1} does not follow the line before it"
                raise self._damaged(f"{what}: lines were removed, moved or changed")
            try:
                self._take_line(document)
            except (KeyError, TypeError, ValueError):
                raise self._damaged(f"line {self.lines + 1} has no valid content") from None
            self._count_line(line)
            size += len(line)
            if saved and saved[0] == self.lines and saved[1] != self._link:
                raise self._damaged("its lines are not those that it had when a run ended last")
        if saved:
            self.missing = max(0, saved[0] - self.lines)
        if self._file is not None:
            self._file.truncate(size)

    def _take_head(self, head: Mapping[str, Any], expected: Header | None) -> None:
        version = head.get("version")
        if head.get("format") != FORMAT or version not in (_UNCHAINED, VERSION):
            raise UnreadableInputError(
                f"{self.path} is no journal of this version of picture-audit."
            )
        self.header = Header(*(str(head.get(one.name)) for one in fields(Header)))
        self.chained, self.began = version != _UNCHAINED, _moment(head.get("at"))
        if self.chained:
            self._id = str(head.get("id"))
        known = self.header.way in {*Way} and self.header.kind in {"apply", "undo"}
        if not known or (self.chained and not _ID.fullmatch(self._id)):
            raise self._damaged("its first line has no valid content")
        if expected not in {None, self.header}:
            raise SettingsError(
                f"{self.path} is the journal of another plan or tenant: undo that one first, or "
                "keep the plans apart."
            )

    def _take_line(self, document: Mapping[str, Any]) -> None:
        """Use the content of any other line; KeyError, TypeError, ValueError if it has none."""
        self.last_end = None
        if "user" in document:
            edit = _edit(document)
            if edit.field is not _FIELDS.get(Way(self.header.way)):
                raise ValueError(edit.field)
            _ = document["before"]
            self._mark(edit.number, State.BEGUN)
        elif "step" in document:
            self.steps.append(dict(document["step"]))
        elif "end" in document:
            self.last_end, self.ended = text(document["end"]), _moment(document.get("at"))
            if document["lines"] != self.lines and self.chained:
                raise ValueError(document["lines"])
        elif "resumed" in document:
            self._resumed = True
        else:
            state, reason = State(document["state"]), str(document["reason"])
            self._mark(_number(document["n"]), state)
            # Failed changes are tried again, and counted then.
            if state in _FINAL:
                self.count_reason(state, reason)

    def _documents(self) -> Iterator[tuple[dict[str, Any], bytes]]:
        """Yield the complete lines, parsed and as bytes."""
        try:
            with self.path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    if not line.endswith(b"\n"):
                        return  # incomplete: the process was killed during this write
                    try:
                        document = json.loads(line)
                    except (ValueError, RecursionError):
                        document = None
                    if not isinstance(document, dict):
                        raise self._damaged(f"line {number} cannot be read")
                    yield document, line
        except OSError as error:
            raise UnreadableInputError(
                f"{self.path} cannot be read: {error.strerror or error}."
            ) from error

    def _damaged(self, what: str) -> UnreadableInputError:
        return UnreadableInputError(
            f"{self.path} is damaged: {what}. Keep the file: it holds the state before the change. "
            "Take a copy of it from a backup; without one, see the what-if guide."
        )


def journal_path(plan: Path) -> Path:
    """Return the journal's path for a plan; for a journal, that of its undo."""
    suffix = "undo" if plan.name.endswith(".journal") else "journal"
    return plan.with_name(f"{plan.name}.{suffix}")


def plan_path(journal: Path) -> Path:
    """Return the path of a journal's plan."""
    return journal.with_name(journal.name.removesuffix(".journal"))


def link_to(line: bytes) -> str:
    """Return the link to a line: 16 hex digits of its SHA-256."""
    return hashlib.sha256(line).hexdigest()[:16]


@contextmanager
def open_journal(path: Path, header: Header, *, write: bool) -> Iterator[Journal]:
    """Open the journal of a plan, of an earlier run or new; a rehearsal only reads it.

    Raises:
        SettingsError: it belongs to another plan or tenant, or is in use by another process.
        UnreadableInputError: it is damaged.
        OutputError: it cannot be written.
    """
    if not write:
        yield Journal(path, header)
        return
    try:
        with _alone(path), open(path, "a+b", buffering=0, opener=private_opener) as file:
            ensure_own(file, path)
            make_private(file)
            journal = Journal(path, header, file)
            journal.start_run()
            try:
                yield journal
            finally:
                journal.stop_run()
    except OSError as error:
        raise OutputError(f"Cannot write {path}: {error.strerror or error}.") from error


@contextmanager
def locked_journal(path: Path) -> Iterator[None]:
    """Prevent other processes from writing an existing journal in this block."""
    try:
        with _alone(path):
            yield
    except OSError as error:
        raise UnreadableInputError(f"{path} cannot be read: {error.strerror or error}.") from error


def read_journal(path: Path | str) -> Journal:
    """Read any journal, without writing to it; UnreadableInputError if it is none or damaged."""
    return Journal(Path(path))


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    try:
        with locked(lock_of(path)):
            yield
    except BlockingIOError:
        raise SettingsError(f"Another process is at work with {path} at this moment.") from None


def _length_path(journal_id: str) -> Path:
    return platformdirs.user_state_path("picture-audit") / "journals" / f"{journal_id}.json"


def _written(time: datetime) -> str:
    return time.isoformat(timespec="seconds")


def _moment(value: object) -> datetime | None:
    """Read a time; None if there is none, as in journals of earlier versions."""
    with suppress(ValueError, TypeError):
        found = datetime.fromisoformat(value)  # type: ignore[arg-type] # or it raises
        return found if found.tzinfo else None
    return None


def _edit(document: Mapping[str, Any]) -> Edit:
    names = (document["connection"], document["strategy"])
    connection, strategy = (None if name is None else text(name) for name in names)
    field, number = Field(document["field"]), _number(document["n"])
    return Edit(number, text(document["user"]), connection, strategy, field, document["after"], ())


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value < _MOST:
        raise ValueError("no number of a change")
    return value
