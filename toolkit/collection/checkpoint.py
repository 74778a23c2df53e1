"""The checkpoint of an unfinished collection: a file beside its result.

Append-only, one JSON document in each line. The first line names the collection; each further line
is a complete window, or a note, and is on disk before the collection continues. If the process is
killed, at most the last line is incomplete, and is then ignored.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from toolkit.analysis.file_header import text
from toolkit.classification.user_profile import User, at_milliseconds, milliseconds
from toolkit.collection.window import Span, Window
from toolkit.errors import OutputError, SettingsError
from toolkit.snapshots.storage import ensure_own, private_opener

_FORMAT = "auth0-picture-audit collection"
_VERSION = 1
_METHODS = frozenset({"search", "export"})


def state_path(out: Path) -> Path:
    """Return the path of the checkpoint of a collection into `out`."""
    return out.with_name(f"{out.name}.part")


@dataclass(slots=True)
class State:
    """The state of one collection. Made by `open_state`.

    Attributes:
        method: how it reads: `search` or `export`.
        taken_at: when it began, by the tenant's clock (UTC).
        windows: the complete windows.
        job: the id of the export job that was started, or None.
        resumed: whether it continues an earlier run.
    """

    path: Path
    method: str
    taken_at: datetime
    windows: list[Window] = field(default_factory=list)
    job: str | None = None
    resumed: bool = False
    _file: IO[bytes] | None = None

    def close_window(self, window: Window) -> None:
        """Save a window; it is on disk when this returns."""
        span = None if window.span is None else [window.span.start, window.span.end]
        users = [[_plain(value) for value in user] for user in window.users]
        self._append({"window": {"query": window.query, "span": span, "users": users}})

    def note_job(self, job: str | None) -> None:
        """Save the id of the export job, or None."""
        self.job = job
        self._append({"job": job})

    def discard(self) -> None:
        """Remove the file: the collection is finished."""
        self.path.unlink()

    def _append(self, document: dict[str, Any]) -> None:
        if self._file is None:
            raise ValueError("the state is not open")
        try:
            self._file.write(json.dumps(document, separators=(",", ":")).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise OutputError(f"Cannot write {self.path}: {error.strerror or error}.") from error


@contextmanager
def open_state(
    out: Path,
    *,
    tenant: str,
    method: str,
    choose: Callable[[], str],
    now: Callable[[], datetime],
    finished: datetime | None = None,
) -> Iterator[State]:
    """Open the state of a collection into `out`, of an earlier run or new.

    Args:
        out: the file that the collection will write.
        tenant: the tenant of the users.
        method: `search`, `export`, or `auto` for whatever the earlier run used.
        choose: returns the method of a new collection.
        now: the tenant's time (UTC), at which a new collection begins.
        finished: when the collection in `out` began. If it is the same collection, the process was
            killed after its last step, and a new collection begins.

    Raises:
        SettingsError: the file belongs to another tenant, version or method, is damaged, or is in
            use by another process.
        OutputError: it cannot be written, or was not made by this tool.
    """
    path = state_path(out)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(path, "a+b", opener=private_opener) as file:
            _lock(file, path)
            ensure_own(file, path)
            os.fchmod(file.fileno(), 0o600)
            state = _read(file, path, tenant, method, choose, now)
            if state.resumed and state.taken_at == finished:
                file.truncate(0)
                state = _read(file, path, tenant, method, choose, now)
            state._file = file  # noqa: SLF001 - the one place that opens it
            yield state
    except OSError as error:
        raise OutputError(f"Cannot write {path}: {error.strerror or error}.") from error


def _lock(file: IO[bytes], path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SettingsError(f"Another collection is writing {path} at this moment.") from None


def _read(
    file: IO[bytes],
    path: Path,
    tenant: str,
    method: str,
    choose: Callable[[], str],
    now: Callable[[], datetime],
) -> State:
    file.seek(0)
    whole = 0
    documents = []
    for number, line in enumerate(file, 1):
        if not line.endswith(b"\n"):
            break  # incomplete: the process was killed during this write
        whole += len(line)
        try:
            documents.append(json.loads(line))
        except (ValueError, RecursionError):
            raise SettingsError(
                f"{path}, line {number}, is damaged: delete the file to begin anew."
            ) from None
    file.truncate(whole)
    if not documents:
        taken_at = now()
        state = State(path, choose(), taken_at)
        header = {
            "format": _FORMAT,
            "version": _VERSION,
            "tenant": tenant,
            "method": state.method,
            "taken_at": state.taken_at.isoformat(),
        }
        state._file = file  # noqa: SLF001 - as above
        state._append(header)  # noqa: SLF001 - as above
        return state
    return _resumed(path, documents, tenant, method)


def _resumed(path: Path, documents: list[Any], tenant: str, method: str) -> State:
    begin_anew = "finish that one, or delete the file to begin anew."
    header = documents[0] if isinstance(documents[0], dict) else {}
    if header.get("format") != _FORMAT or header.get("version") != _VERSION:
        raise SettingsError(f"{path} is not of this version of picture-audit: {begin_anew}")
    if header.get("tenant") != tenant:
        raise SettingsError(f"{path} is an unfinished collection of another tenant: {begin_anew}")
    if method not in ("auto", header.get("method")):
        raise SettingsError(
            f"{path} is an unfinished collection by {header.get('method')}: {begin_anew}"
        )
    try:
        taken_at = datetime.fromisoformat(header["taken_at"])
        state = State(path, header["method"], taken_at, resumed=True)
        if taken_at.tzinfo is None or state.method not in _METHODS:
            raise ValueError("no time, or no method")  # noqa: TRY301 - damaged, as below
        for document in documents[1:]:
            if "window" in document:
                state.windows.append(_window(document["window"]))
            else:
                state.job = _text(document["job"])
    except (KeyError, TypeError, ValueError, IndexError, OverflowError):
        raise SettingsError(f"{path} is damaged: delete the file to begin anew.") from None
    return state


def _plain(value: object) -> object:
    return milliseconds(value) if isinstance(value, datetime) else value


def _window(values: dict[str, Any]) -> Window:
    start, end = (None, None) if values["span"] is None else values["span"]
    for one in (start, end):
        _moment(one)
    span = None if values["span"] is None else Span(start=start, end=end)
    return Window(text(values["query"]), tuple(map(_user, values["users"])), span)


def _user(values: list[Any]) -> User:
    named = zip(User._fields, values, strict=True)
    read: Any = {name: _READ.get(name, _text)(value) for name, value in named}
    text(read["user_id"])
    return User(**read)


def _text(value: object) -> str | None:
    return None if value is None else text(value)


def _moment(value: object) -> datetime | None:
    return None if value is None else at_milliseconds(_number(value))


def _count(value: object) -> int | None:
    return None if value is None else _number(value)


def _number(value: object) -> int:
    if type(value) is not int or not -_MOST <= value < _MOST:
        raise ValueError("no number that is written here")
    return value


_MOST = 2**63
_READ: Mapping[str, Callable[[object], object]] = {
    "created_at": _moment,
    "updated_at": _moment,
    "last_login": _moment,
    "logins_count": _count,
}
