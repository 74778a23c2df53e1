"""The record of a change: a file beside the plan, append-only, one JSON document in each line.

The first line names tenant and plan. For each user there is a line before the request is sent (old
and new value) and a line after it (the result); each is on disk before the next step. If the
process is killed, at most the last line is incomplete, and is then ignored: if a change was begun
and has no result, the user is read to see whether it was made.

Each line contains a hash of the line before, its link, and each run writes an end line. So lines
that were removed, moved or changed are noticed. If the end line is missing, either the run was
killed or the last lines are missing; the journal alone does not show which. So its length at the
end of each run is saved elsewhere, too (`toolkit.change.exclusive`). Journals of version 1 have
neither links nor end lines.

It contains old pictures, which are personal data: only its owner can read it.
"""

import fcntl
import hashlib
import json
import os
import secrets
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, Final

from toolkit.analysis.file_header import text
from toolkit.change.edit import Edit, Field
from toolkit.change.exclusive import Length, is_id, keep_length, last_length
from toolkit.change.ways import Way
from toolkit.errors import OutputError, SettingsError, UnreadableInputError
from toolkit.snapshots.storage import ensure_own, private_opener

FORMAT: Final = "auth0-picture-audit journal"
VERSION: Final = 2
_UNCHAINED: Final = 1
_OTHERS = 0o022  # mode bits that let other users write a file


class State(StrEnum):
    """The state of a change."""

    BEGUN = "begun"
    DONE = "done"
    HELD = "held"
    DRIFTED = "drifted"
    REFUSED = "refused"
    FAILED = "failed"


# The state of a user takes one byte of memory.
_CODES: Final = {state: number for number, state in enumerate(State, 1)}
_STATES: Final = {number: state for state, number in _CODES.items()}
_FINAL: Final = frozenset({State.DONE, State.HELD, State.DRIFTED, State.REFUSED})
_KINDS: Final = frozenset({"apply", "undo"})
_FIELDS: Final = {Way.ROOT: Field.ROOT, Way.METADATA: Field.METADATA}
# The most changes of one plan, more than any tenant has: a number takes memory.
_MOST: Final = 100_000_000


@dataclass(frozen=True, slots=True)
class Header:
    """The plan and tenant of a journal.

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


@dataclass(frozen=True, slots=True)
class Entry:
    """A journal's record of one change of a user.

    Attributes:
        number: its place in the plan.
        user_id: the user.
        field: where it was written.
        before: the old value, unchanged.
        after: the new value.
        connection: the primary identity's connection at that time.
        strategy: that connection's strategy.
    """

    number: int
    user_id: str
    field: Field
    before: object
    after: object
    connection: str | None
    strategy: str | None


@dataclass(slots=True)
class Journal:
    """A journal. Made by `open_journal`; safe to write to from several threads.

    Attributes:
        path: the file.
        header: its plan and tenant.
        reasons: how often a change ended in a state for a reason.
        steps: the recorded steps of an Action, in order.
        version: its format's version.
        lines: how many lines it has.
        ending: how the last run ended; None without an end line.
        missing: how many lines it lost since a run ended last.
        doubtful: changes that were found done after a run without an end line: missing lines may be
            about them.
    """

    path: Path
    header: Header
    version: int = VERSION
    lines: int = 0
    ending: str | None = None
    missing: int = 0
    doubtful: set[int] = field(default_factory=set)
    reasons: Counter[tuple[State, str]] = field(default_factory=Counter)
    steps: list[dict[str, Any]] = field(default_factory=list)
    _codes: bytearray = field(default_factory=bytearray)
    _counts: Counter[State] = field(default_factory=Counter)
    _file: IO[bytes] | None = None
    _id: str = ""
    _link: str = ""
    _gap: bool = False
    _good: int = 0
    _synced: int = 0
    _broken: OSError | None = None
    _writing: threading.Lock = field(default_factory=threading.Lock)
    _syncing: threading.Lock = field(default_factory=threading.Lock)

    @property
    def settled_count(self) -> int:
        """How many changes are settled."""
        return sum(self._counts[state] for state in _FINAL)

    @property
    def whole(self) -> bool:
        """Whether certainly no line is missing."""
        return self.version != _UNCHAINED and self.ending is not None and not self.missing

    @property
    def doubt(self) -> str | None:
        """Return why lines may be missing; None if none is."""
        if self.version == _UNCHAINED:
            return (
                "the journal is of an older version: its lines are not chained, so it does not "
                "show whether some are missing"
            )
        if self.missing:
            return f"{self.missing:,} lines at the end of the journal are missing"
        if self.ending is None:
            return "the journal has no end: apply was interrupted, or lines are missing"
        return None

    def unnamed(self, number: int) -> bool:
        """Whether missing lines may be about this change."""
        return number in self.doubtful or (not self.whole and self.state(number) is None)

    def state(self, number: int) -> State | None:
        """Return the state of the change with this number; None if it was not begun."""
        code = self._codes[number] if number < len(self._codes) else 0
        return _STATES.get(code)

    def settled(self, number: int) -> bool:
        """Whether this change needs nothing more."""
        return self.state(number) in _FINAL

    def count(self, state: State) -> int:
        """Return how many changes are in a state."""
        return self._counts[state]

    def begin(self, edit: Edit, before: object) -> None:
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

    def end(self, number: int, state: State, reason: str = "") -> None:
        """Record the result of a change; on disk when this returns."""
        self._append({"n": number, "state": state.value, "reason": reason})
        self._mark(number, state, reason)

    def note(self, step: Mapping[str, Any]) -> None:
        """Record a step of an Action's change; on disk when this returns."""
        self._append({"step": dict(step)})
        self.steps.append(dict(step))

    def finish(self, how: str) -> None:
        """Record the end of this run; on disk when this returns.

        Raises:
            OutputError: it cannot be written.
        """
        if self._file is None or self.version == _UNCHAINED or self.ending == how:
            return
        self._append({"end": how, "lines": self.lines})
        self.ending, self.missing = how, 0
        keep_length(self._id, Length(self.lines, self._link))

    def entries(self, *states: State) -> Iterator[Entry]:
        """Yield the changes in a state, in the order in which they were first begun."""
        seen = bytearray(len(self._codes))
        for document, _ in _documents(self.path):
            if "user" in document and not seen[document["n"]]:
                # The first recorded "before" is the old value, which undo restores.
                seen[document["n"]] = 1
                if self.state(document["n"]) in states:
                    yield _entry(document)

    def _mark(self, number: int, state: State, reason: str | None = None) -> None:
        with self._writing:
            former = self.state(number)
            if former is not None:
                self._counts[former] -= 1
            self._counts[state] += 1
            if number >= len(self._codes):
                self._codes.extend(bytes(number + 1 - len(self._codes)))
            self._codes[number] = _CODES[state]
            if self._gap and state is State.HELD:
                self.doubtful.add(number)
            if reason is not None:
                self.reasons[state, reason] += 1

    def _start(self) -> None:
        """Begin a run: with the first line, or with a line about an earlier run without an end."""
        if not self.lines:
            self._id = secrets.token_hex(8)
            self._append(_head(self.header, self._id))
            _sync_folder(self.path.parent)
        elif self.version != _UNCHAINED and not self.whole:
            self._append({"resumed": self.lines, "missing": self.missing})
            self._gap = True
            if self.missing:
                # From now on its length is compared with the current one.
                keep_length(self._id, Length(self.lines, self._link))
                self.missing = 0

    def _leave(self) -> None:
        """End a run that was stopped by an error, or from outside."""
        if self.ending is None and self._broken is None:
            self.finish("stopped")

    def _append(self, document: Mapping[str, Any]) -> None:
        """Write a line and wait for the disk; threads share one wait."""
        if self._file is None:
            return  # a rehearsal saves nothing
        try:
            with self._writing:
                chained = {"link": self._link} if self._link else {}
                line = json.dumps({**document, **chained}, separators=(",", ":")).encode() + b"\n"
                self._write(line)
                self._read(line)
                self.ending = None
                mine = self._good
            with self._syncing:
                if self._synced < mine:
                    upto = self._good
                    os.fsync(self._file.fileno())
                    self._synced = upto
        except OSError as error:
            self._broken = self._broken or error
            raise OutputError(
                f"Cannot write {self.path}: {error.strerror or error}. All that was sent is in it; "
                "make room and run the same command again."
            ) from error

    def _read(self, line: bytes) -> None:
        """Count a line, and link the next one to it."""
        self.lines += 1
        if self.version != _UNCHAINED:
            self._link = link_to(line)

    def _write(self, line: bytes) -> None:
        if self._file is None or self._broken:
            raise self._broken or OSError("it is not open")
        try:
            written = 0
            while written < len(line):
                written += self._file.write(line[written:])
        except OSError as error:
            # Remove the partial line, or it would damage the next one.
            self._broken = error
            os.ftruncate(self._file.fileno(), self._good)
            raise
        self._good += len(line)


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
    """Open the journal of a plan, of an earlier run or new.

    Args:
        path: the file.
        header: the plan and tenant that it must have.
        write: whether to write it; a rehearsal only reads an existing one.

    Raises:
        SettingsError: it belongs to another plan or tenant, or is in use by another process.
        UnreadableInputError: it is damaged.
        OutputError: it cannot be written.
    """
    if not write:
        yield _loaded(path, header) if path.exists() else Journal(path, header)
        return
    try:
        with open(path, "a+b", buffering=0, opener=private_opener) as file:
            _lock(file, path)
            ensure_own(file, path)
            os.fchmod(file.fileno(), 0o600)
            whole = _whole(file)
            file.truncate(whole)
            journal = _loaded(path, header) if whole else Journal(path, header)
            journal._file = file  # noqa: SLF001 - the one place that opens it
            journal._good = journal._synced = whole  # noqa: SLF001 - as above
            journal._start()  # noqa: SLF001 - as above
            try:
                yield journal
            finally:
                journal._leave()  # noqa: SLF001 - as above
    except OSError as error:
        raise OutputError(f"Cannot write {path}: {error.strerror or error}.") from error


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Prevent other processes from writing a journal in this block.

    Raises:
        SettingsError: it is in use by another process.
        UnreadableInputError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            _lock(file, path)
            yield
    except OSError as error:
        raise UnreadableInputError(f"{path} cannot be read: {error.strerror or error}.") from error


def read_journal(path: Path | str) -> Journal:
    """Read any journal; the result cannot be written to.

    Raises:
        UnreadableInputError: it does not exist, is no journal, or is damaged.
    """
    return _loaded(Path(path), None)


def _lock(file: IO[bytes], path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SettingsError(f"Another process is at work with {path} at this moment.") from None


def _sync_folder(folder: Path) -> None:
    """Make sure that the file's name is on disk, too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _whole(file: IO[bytes]) -> int:
    """Return how many bytes of a file are complete lines."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - 65_536)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _documents(path: Path) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Yield the complete lines of a journal, parsed and as bytes."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    return  # incomplete: the process was killed during this write
                try:
                    document = json.loads(line)
                except (ValueError, RecursionError):
                    document = None
                if not isinstance(document, dict):
                    raise _damaged(path, f"line {number} cannot be read")
                yield document, line
    except OSError as error:
        raise UnreadableInputError(f"{path} cannot be read: {error.strerror or error}.") from error


def _damaged(path: Path, what: str) -> UnreadableInputError:
    return UnreadableInputError(
        f"{path} is damaged: {what}. Keep the file: it holds what stood there before. Take a copy "
        "of it from a backup; without one, see the what-if guide."
    )


def _head(header: Header, journal_id: str) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "tenant": header.tenant,
        "plan": header.plan,
        "way": header.way,
        "kind": header.kind,
        "id": journal_id,
    }


def _loaded(path: Path, expected: Header | None) -> Journal:
    if path.exists() and path.stat().st_mode & _OTHERS:
        raise SettingsError(
            f"Others can change {path}, and undo writes what stands there: look at it, and "
            "chmod 600 it."
        )
    documents = _documents(path)
    head, first = next(documents, ({}, b""))
    version = head.get("version")
    if head.get("format") != FORMAT or version not in {_UNCHAINED, VERSION}:
        raise UnreadableInputError(f"{path} is no journal of this version of picture-audit.")
    found = Header(*(str(head.get(name)) for name in ("tenant", "plan", "way", "kind")))
    if found.way not in {*Way} or found.kind not in _KINDS:
        raise _damaged(path, "its first line says nothing")
    journal = Journal(path, found, version=version)
    if version != _UNCHAINED:
        if not is_id(head.get("id")):
            raise _damaged(path, "its first line says nothing")
        journal._id = head["id"]  # noqa: SLF001 - reading back
    if expected is not None and found != expected:
        raise SettingsError(
            f"{path} is the journal of another plan or tenant: undo that one first, or keep the "
            "plans apart."
        )
    _take_in(journal, first, documents)
    return journal


def _take_in(
    journal: Journal, first: bytes, documents: Iterator[tuple[dict[str, Any], bytes]]
) -> None:
    """Read all lines after the first, and compare them with the saved length."""
    known = last_length(journal._id) if journal._id else None  # noqa: SLF001 - reading back
    journal._read(first)  # noqa: SLF001 - as above
    try:
        for document, line in documents:
            if known is not None and journal.lines == known.lines:
                _compare(journal, known)
            link = journal._link or None  # noqa: SLF001 - as above
            if journal.version != _UNCHAINED and document.get("link") != link:
                what = f"line {journal.lines + 1} does not follow the line before it"
                raise _damaged(journal.path, f"{what}: lines were removed, moved or changed")
            _take_line(journal, document)
            journal._read(line)  # noqa: SLF001 - as above
    except (KeyError, TypeError, ValueError):
        raise _damaged(journal.path, "a line of it says nothing") from None
    if known is not None and journal.lines <= known.lines:
        journal.missing = known.lines - journal.lines
        if not journal.missing:
            _compare(journal, known)


def _compare(journal: Journal, known: Length) -> None:
    if journal._link != known.link:  # noqa: SLF001 - reading back
        what = "its lines are not those that it had when a run ended last"
        raise _damaged(journal.path, what)


def _take_line(journal: Journal, document: Mapping[str, Any]) -> None:
    """Use the content of a line.

    Raises:
        KeyError, TypeError, ValueError: it has no meaning.
    """
    journal.ending = None
    if "user" in document:
        entry = _entry(document)
        if entry.field is not _FIELDS.get(Way(journal.header.way)):
            raise ValueError(entry.field)
        journal._mark(entry.number, State.BEGUN)  # noqa: SLF001 - reading back
    elif "step" in document:
        journal.steps.append(dict(document["step"]))
    elif "end" in document:
        journal.ending = text(document["end"])
        if document["lines"] != journal.lines and journal.version != _UNCHAINED:
            raise ValueError(document["lines"])
    elif "resumed" in document:
        journal._gap = True  # noqa: SLF001 - reading back
    else:
        state, reason = State(document["state"]), str(document["reason"])
        # Failed changes are tried again, and counted then.
        told = reason if state in _FINAL else None
        journal._mark(_number(document["n"]), state, told)  # noqa: SLF001 - reading back


def _entry(document: Mapping[str, Any]) -> Entry:
    return Entry(
        _number(document["n"]),
        text(document["user"]),
        Field(document["field"]),
        document["before"],
        document["after"],
        *(None if document[name] is None else text(document[name]) for name in _NAMES),
    )


_NAMES: Final = ("connection", "strategy")


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value < _MOST:
        raise ValueError("no number of a change")
    return value
