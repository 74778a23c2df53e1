"""Where a collection goes that nobody named a file for: `out/TENANT/YYYY-MM-DDTHHMM.parquet`.

Each collection gets a file of its own, named after the minute (UTC) in which it began, so that
nothing is replaced. One that was interrupted is found again by its state beside it.
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
"""Where the folders of the tenants are unless told."""

_NAME = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{4})(?:-(\d+))?\.parquet")
# Windows takes none of these for a folder, with whatever ending.
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
_LONGEST = 100


def folder_name(tenant: str) -> str:
    """Return a name for a tenant's folder that every system takes: its domain, where that does.

    A loopback tenant, `127.0.0.1:PORT`, becomes `127.0.0.1-PORT`. Of a domain that no system
    takes as it is, what had to be changed is told apart by some digits of its hash.
    """
    lower = tenant.lower()
    name = re.sub(r":(\d{1,5})$", r"-\1", lower)
    safe = re.sub(r"[^a-z0-9.-]", "-", name)[:_LONGEST].strip(".-")
    if safe and safe == name and not _RESERVED.fullmatch(safe):
        return safe
    return f"tenant-{safe}-{hashlib.sha256(lower.encode('utf-8', 'replace')).hexdigest()[:8]}"


def latest_file(tenant: str, folder: Path | str = FOLDER) -> Path | None:
    """Return the newest snapshot file of a tenant, or None where there is none.

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
        The snapshot; its users are read as they are asked for.

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
    """Return the file of the newest collection of a tenant that can be gone on with, or None.

    Passed over are those at which a process is working, and those that ended.

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
        resume: whether an unfinished collection goes on.

    Yields:
        The file. Its name is kept free for this collection.

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
    """Name a file that is not there, and keep that name: its state is made, empty."""
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
            # Another collection has ended meanwhile, and this was its name.
            _release(state_path(path))
    except OSError as error:
        raise OutputError(
            f"Cannot write to {folder}: {error.strerror or error}. Choose another place with --out."
        ) from error


def _release(state: Path) -> None:
    """Remove a state in which nothing is."""
    try:
        if state.stat().st_size == 0:
            state.unlink()
    except FileNotFoundError:
        pass  # the collection is finished


def _numbered(folder: Path, ending: str) -> dict[Path, tuple[str, int]]:
    """Return the snapshots in a folder, or those whose state is there, and when each began."""
    found = {}
    for path in folder.glob(f"*.parquet{ending}"):
        if match := _NAME.fullmatch(path.name.removesuffix(ending)):
            found[path.with_name(match[0])] = (match[1], int(match[2] or 1))
    return found


def _is_unfinished(state: Path, tenant: str) -> bool:
    """Whether a state is one of this tenant's, with which no process is working."""
    try:
        with state.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            header = json.loads(file.readline())
    except (OSError, ValueError):  # nobody's, damaged in its first line, or somebody is at it
        return False
    return isinstance(header, dict) and header.get("tenant") == tenant
