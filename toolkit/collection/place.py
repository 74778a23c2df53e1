"""Where a collection is kept: its file, and its checkpoint while it is unfinished.

By default the file is `out/TENANT/YYYY-MM-DDTHHMM.parquet`, named after the minute (UTC) in which
the collection began, so nothing is replaced.

The checkpoint, a file beside it, is append-only, with one JSON document in each line. The first
line names the collection; each further line is a complete window, or a note, and is on disk before
the collection continues. An incomplete last line is ignored: the process was killed.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from toolkit.analysis.file_header import count, text
from toolkit.classification.times import at_milliseconds, milliseconds
from toolkit.classification.user_profile import User
from toolkit.collection.window import Span, Window
from toolkit.errors import OutputError, SettingsError, UnreadableInputError
from toolkit.snapshots.snapshot import Snapshot, read_snapshot
from toolkit.snapshots.storage import ensure_own, lock_of
from toolkit.system import locked, make_private, private_opener

FOLDER = Path("out")
"""The default folder of the tenants' folders."""

FORMAT = "auth0-picture-audit collection"
_VERSION = 1
_NAME = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{4})(?:-(\d+))?\.parquet")
# Windows accepts none of these as a folder name, with any ending.
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
_LONGEST = 100


def folder_name(tenant: str) -> str:
    """Return a folder name for a tenant that every system accepts: its domain, if possible.

    If a domain has to be changed, digits of its hash keep the name unique.
    """
    lower = tenant.lower()
    name = re.sub(r":(\d{1,5})$", r"-\1", lower)
    safe = re.sub(r"[^a-z0-9.-]", "-", name)[:_LONGEST].strip(".-")
    if safe and safe == name and not _RESERVED.fullmatch(safe):
        return safe
    return f"tenant-{safe}-{hashlib.sha256(lower.encode('utf-8', 'replace')).hexdigest()[:8]}"


def kept_files(tenant: str, folder: Path | str = FOLDER) -> list[Path]:
    """Return the snapshot files of a tenant (its domain) in its folder, the newest first."""
    found = _numbered(Path(folder) / folder_name(tenant), "")
    return sorted(found, key=lambda path: found[path], reverse=True)


def latest_file(tenant: str, folder: Path | str = FOLDER) -> Path | None:
    """Return the newest snapshot file of a tenant (its domain) in its folder, or None."""
    return next(iter(kept_files(tenant, folder)), None)


def latest_snapshot(tenant: str, folder: Path | str = FOLDER) -> Snapshot:
    """Return the newest snapshot of a tenant that was collected without naming a file.

    Args:
        tenant: the tenant's domain, such as `Tenant.domain`.
        folder: where the folders of the tenants are.

    Raises:
        UnreadableInputError: there is none, or it cannot be read.
    """
    path = latest_file(tenant, folder)
    if path is None:
        raise UnreadableInputError(
            f"There is no snapshot of {tenant} in {Path(folder) / folder_name(tenant)}: collect "
            "one, or name a file."
        )
    return read_snapshot(path)


def unfinished_file(tenant: str, folder: Path | str = FOLDER) -> Path | None:
    """Return the file of the newest collection of a tenant that can be continued, or None."""
    found = _numbered(Path(folder) / folder_name(tenant), ".part")
    for path in sorted(found, key=lambda path: found[path], reverse=True):
        if not path.exists() and _is_unfinished(state_path(path), tenant):
            return path
    return None


@contextmanager
def placed(tenant: str, folder: Path | str = FOLDER, *, resume: bool = True) -> Iterator[Path]:
    """Choose and reserve the file for a collection of a tenant.

    If `resume`, it is the file of an unfinished collection, if there is one.

    Raises:
        OutputError: the folder cannot be written.
    """
    path = unfinished_file(tenant, folder) if resume else None
    path = path or _new(Path(folder) / folder_name(tenant))
    try:
        yield path
    finally:
        _release(state_path(path))


def _new(folder: Path) -> Path:
    """Choose a new file name, and reserve it by an empty checkpoint."""
    minute = f"{datetime.now(UTC):%Y-%m-%dT%H%M}"
    path, number = folder / f"{minute}.parquet", 1
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        while not _reserve(path):
            number += 1
            path = folder / f"{minute}-{number}.parquet"
    except OSError as error:
        raise OutputError(
            f"Cannot write to {folder}: {error.strerror or error}. Choose another place with --out."
        ) from error
    return path


def _reserve(path: Path) -> bool:
    if path.exists():
        return False
    try:
        open(state_path(path), "xb", opener=private_opener).close()
    except FileExistsError:
        return False
    if ended := path.exists():  # another collection with this name, meanwhile
        _release(state_path(path))
    return not ended


def _release(state: Path) -> None:
    """Remove an empty checkpoint."""
    try:
        if state.stat().st_size == 0:
            state.unlink()
    except FileNotFoundError:
        pass  # the collection is finished


def _numbered(folder: Path, ending: str) -> dict[Path, tuple[str, int]]:
    """Return the snapshots or unfinished collections in a folder, with their starts."""
    found = {}
    for path in folder.glob(f"*.parquet{ending}"):
        if match := _NAME.fullmatch(path.name.removesuffix(ending)):
            found[path.with_name(match[0])] = (match[1], int(match[2] or 1))
    return found


def _is_unfinished(state: Path, tenant: str) -> bool:
    """Whether a checkpoint belongs to this tenant and is not in use."""
    try:
        with locked(lock_of(state)), state.open("rb") as file:
            header = json.loads(file.readline())
    except (OSError, ValueError):  # unreadable, damaged in its first line, or in use
        return False
    return isinstance(header, dict) and header.get("tenant") == tenant


# The checkpoint


def state_path(out: Path) -> Path:
    """Return the path of the checkpoint of a collection into `out`."""
    return out.with_name(f"{out.name}.part")


@dataclass(slots=True)
class State:
    """The state of one collection. Made by `open_state`."""

    path: Path
    file: IO[bytes]
    method: str  # `search` or `export`
    taken_at: datetime  # when it began, by the tenant's clock (UTC)
    windows: list[Window] = field(default_factory=list)  # the complete ones
    job: str | None = None  # the id of the export job that was started
    resumed: bool = False  # whether it continues an earlier run

    def close_window(self, window: Window) -> None:
        """Save a window; it is on disk when this returns."""
        span = None if window.span is None else [window.span.start, window.span.end]
        self.append({"window": {"query": window.query, "span": span, "users": window.users}})

    def note_job(self, job: str | None) -> None:
        """Save the id of the export job, or None."""
        self.job = job
        self.append({"job": job})

    def change_method(self, method: str) -> None:
        """Go on by another method, in this run and in those that continue it."""
        self.method = method
        self.append({"method": method})

    def append(self, document: dict[str, Any]) -> None:
        """Save a line; it is on disk when this returns."""
        try:
            line = json.dumps(document, separators=(",", ":"), default=milliseconds)
            self.file.write(line.encode() + b"\n")
            self.file.flush()
            os.fsync(self.file.fileno())
        except OSError as error:
            raise OutputError(f"Cannot write {self.path}: {error.strerror or error}.") from error

    def remove(self) -> None:
        """Remove the file: the collection is finished, or nothing of it is worth keeping."""
        self.file.close()  # Windows removes no open file
        self.path.unlink()


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
        now: returns the tenant's time (UTC).
        finished: when the collection in `out` began. If that is the same one, the process was
            killed after its last step, and a new collection begins.

    Raises:
        SettingsError: the file is of another tenant, version or method, damaged, or in use.
        OutputError: it cannot be written, or was not made by this tool.
    """
    path = state_path(out)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(lock_of(path)), open(path, "a+b", opener=private_opener) as file:
            ensure_own(file, path)
            make_private(file)
            documents = _documents(file, path)
            state = _resumed(path, file, documents, tenant, method) if documents else None
            if state is None or state.taken_at == finished:
                file.truncate(0)
                taken_at = now()
                state = State(path, file, choose(), taken_at)
                header = {"format": FORMAT, "version": _VERSION, "tenant": tenant}
                begun = {"method": state.method, "taken_at": taken_at.isoformat()}
                state.append(header | begun)
            yield state
    except BlockingIOError:
        raise SettingsError(f"Another collection is writing {path} at this moment.") from None
    except OSError as error:
        raise OutputError(f"Cannot write {path}: {error.strerror or error}.") from error


def _documents(file: IO[bytes], path: Path) -> list[Any]:
    """Read the lines, and remove an incomplete one: the process was killed while writing it."""
    file.seek(0)
    complete, documents = 0, []
    for number, line in enumerate(file, 1):
        if not line.endswith(b"\n"):
            break
        complete += len(line)
        try:
            documents.append(json.loads(line))
        except (ValueError, RecursionError):
            raise SettingsError(
                f"{path}, line {number}, is damaged: delete the file to begin anew."
            ) from None
    file.truncate(complete)
    return documents


def _resumed(path: Path, file: IO[bytes], documents: list[Any], tenant: str, method: str) -> State:
    begin_anew = "finish that one, or delete the file to begin anew."
    header = documents[0] if isinstance(documents[0], dict) else {}
    if header.get("format") != FORMAT or header.get("version") != _VERSION:
        raise SettingsError(f"{path} is not of this version of picture-audit: {begin_anew}")
    if header.get("tenant") != tenant:
        raise SettingsError(f"{path} is an unfinished collection of another tenant: {begin_anew}")
    try:
        taken_at = datetime.fromisoformat(header["taken_at"])
        state = State(path, file, header["method"], taken_at, resumed=True)
        for document in documents[1:]:
            if "window" in document:
                state.windows.append(_window(document["window"]))
            elif "method" in document:
                state.method = text(document["method"])
            else:
                state.job = None if document["job"] is None else text(document["job"])
        if taken_at.tzinfo is None or state.method not in ("search", "export"):
            raise ValueError("no time, or no method")  # noqa: TRY301 - damaged, as below
    except (KeyError, TypeError, ValueError, OverflowError):
        raise SettingsError(f"{path} is damaged: delete the file to begin anew.") from None
    if method not in ("auto", state.method):
        raise SettingsError(f"{path} is an unfinished collection by {state.method}: {begin_anew}")
    return state


def _window(values: dict[str, Any]) -> Window:
    span = values["span"]
    if span is not None:
        start, end = (None if one is None else milliseconds(_moment(one)) for one in span)
        span = Span(start=start, end=end)
    return Window(text(values["query"]), tuple(map(_user, values["users"])), span)


def _user(values: list[Any]) -> User:
    if len(values) not in {len(User._fields), len(User._fields) - len(User._field_defaults)}:
        raise ValueError("other columns than of this version and the former one")
    read: Any = {
        name: None if value is None else _READERS.get(name, text)(value)
        for name, value in zip(User._fields, values, strict=False)
    }
    text(read["user_id"])
    return User(**read)


def _moment(value: object) -> datetime:
    if type(value) is not int:
        raise TypeError("no time that is written here")
    return at_milliseconds(value)


_READERS: Mapping[str, Callable[[object], object]] = {
    "created_at": _moment,
    "updated_at": _moment,
    "last_login": _moment,
    "logins_count": count,
}
