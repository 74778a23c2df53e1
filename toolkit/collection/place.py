"""The default file of a collection: `out/TENANT/YYYY-MM-DDTHHMM.parquet`.

Each collection gets a new file, named after the minute (UTC) in which it began, so nothing is
replaced. An interrupted collection is found by its state beside the file.
"""

import fcntl
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from toolkit.collection.checkpoint import state_path
from toolkit.errors import OutputError, UnreadableInputError
from toolkit.snapshots.snapshot import Snapshot, read_snapshot
from toolkit.snapshots.storage import private_opener

FOLDER = Path("out")
"""The default folder of the tenants' folders."""

_NAME = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{4})(?:-(\d+))?\.parquet")
# Windows accepts none of these as a folder name, with any ending.
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
_LONGEST = 100


def folder_name(tenant: str) -> str:
    """Return a folder name for a tenant that every system accepts: its domain, if possible.

    A loopback tenant, `127.0.0.1:PORT`, becomes `127.0.0.1-PORT`. If a domain has to be changed,
    digits of its hash keep the name unique.
    """
    lower = tenant.lower()
    name = re.sub(r":(\d{1,5})$", r"-\1", lower)
    safe = re.sub(r"[^a-z0-9.-]", "-", name)[:_LONGEST].strip(".-")
    if safe and safe == name and not _RESERVED.fullmatch(safe):
        return safe
    return f"tenant-{safe}-{hashlib.sha256(lower.encode('utf-8', 'replace')).hexdigest()[:8]}"


def latest_file(tenant: str, folder: Path | str = FOLDER) -> Path | None:
    """Return the newest snapshot file of a tenant, or None.

    Args:
        tenant: the tenant's domain.
        folder: where the folders of the tenants are.
    """
    found = _numbered(Path(folder) / folder_name(tenant), "")
    return max(found, key=lambda path: found[path], default=None)


def latest_snapshot(tenant: str, folder: Path | str = FOLDER) -> Snapshot:
    """Read the newest snapshot of a tenant that was collected without naming a file.

    Args:
        tenant: the tenant's domain, such as `Tenant.domain`.
        folder: where the folders of the tenants are.

    Returns:
        The snapshot; its users are read when they are needed.

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
    """Return the file of the newest collection of a tenant that can be continued, or None.

    Collections that have ended, or that a process is running, are skipped.

    Args:
        tenant: the tenant's domain.
        folder: where the folders of the tenants are.
    """
    found = _numbered(Path(folder) / folder_name(tenant), ".part")
    for path in sorted(found, key=lambda path: found[path], reverse=True):
        if not path.exists() and _is_unfinished(state_path(path), tenant):
            return path
    return None


@contextmanager
def placed(tenant: str, folder: Path | str = FOLDER, *, resume: bool = True) -> Iterator[Path]:
    """Choose the file for a collection of a tenant: of the unfinished one, or a new one.

    Args:
        tenant: the tenant's domain.
        folder: where the folders of the tenants are.
        resume: whether to continue an unfinished collection.

    Yields:
        The file; its name is reserved for this collection.

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
    """Choose a new file name, and reserve it by an empty state."""
    minute = f"{datetime.now(UTC):%Y-%m-%dT%H%M}"
    number = 1
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            path = folder / f"{minute}{f'-{number}' if number > 1 else ''}.parquet"
            number += 1
            if path.exists():
                continue
            try:
                open(state_path(path), "x", opener=private_opener).close()
            except FileExistsError:
                continue
            if not path.exists():
                return path
            # Another collection with this name has ended meanwhile.
            _release(state_path(path))
    except OSError as error:
        raise OutputError(
            f"Cannot write to {folder}: {error.strerror or error}. Choose another place with --out."
        ) from error


def _release(state: Path) -> None:
    """Remove an empty state."""
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
    """Whether a state belongs to this tenant and is not in use."""
    try:
        with state.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            header = json.loads(file.readline())
    except (OSError, ValueError):  # unreadable, damaged in its first line, or in use
        return False
    return isinstance(header, dict) and header.get("tenant") == tenant
