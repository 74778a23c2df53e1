"""An ingestion: export files that somebody already has, as a snapshot."""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import islice
from pathlib import Path

from toolkit.audit import audit, profiles
from toolkit.collect.files import Export, exported
from toolkit.errors import IncompleteError, OutputError, UnreadableInputError
from toolkit.progress import Progress
from toolkit.snapshot import Provenance, Snapshot, ensure_writable, writing
from toolkit.user import User, user

# Rows that are classified and written at a time.
_CHUNK = 25_000
_SUFFIXES = frozenset({".gz", ".json", ".jsonl", ".ndjson", ".csv"})
_TOLD = 3


class _Reading:
    """The users of some export files in their order, each once.

    The ids of all users are kept in memory, with a hash of what was read of each:
    about 200 bytes a user. Everything else passes through.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._seen: dict[str, int] = {}
        self._before = 0
        self._export: Export | None = None
        self.repeated = self.conflicting = 0
        self.lost: list[str] = []

    def __iter__(self) -> Iterator[User]:
        for path in self._paths:
            with exported(path) as export:
                self._export = export
                for _, record in export:
                    one = user(record)
                    if self._is_new(one):
                        yield one
                _ensure_users(export)
            self._before, self._export = self.position, None
            self.lost += export.troubles

    @property
    def position(self) -> int:
        """How many bytes of all files were read, as they lie on the disk."""
        return self._before + (self._export.position if self._export else 0)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is missing or was left out, in sentences."""
        notes = [f"{one}." for one in self.lost]
        if self.repeated:
            what = f"{self.repeated:,} rows repeat a user of an earlier row"
            differing = f", {self.conflicting:,} of them with other values" * bool(self.conflicting)
            notes.append(f"{what}{differing}: the first row of each user counts.")
        return tuple(notes)

    def _is_new(self, one: User) -> bool:
        if not one.user_id:  # nobody can tell whether it stands for somebody else
            return True
        first = self._seen.get(one.user_id)
        if first is None:
            self._seen[one.user_id] = hash(one)
            return True
        self.repeated += 1
        self.conflicting += first != hash(one)
        return False


def ingest(
    exports: Sequence[Path | str],
    out: Path | str,
    *,
    tenant: str | None = None,
    show: Callable[[Progress], None] | None = None,
) -> Snapshot:
    """Make a snapshot of Auth0 export files, whatever their size.

    Args:
        exports: the files, NDJSON or CSV, gzip or plain. Where a user is in more than one
            of them, the first counts.
        out: where to write the snapshot.
        tenant: the tenant's domain; by default what the files' names begin with, if they
            agree, since Auth0 names an export after its tenant.
        show: called with each `Progress`, in bytes of the files.

    Returns:
        The snapshot; it is complete, or an error is raised.

    Raises:
        UnreadableInputError: a file cannot be opened, is no export, or holds no user; nothing
            was written.
        OutputError: `out` cannot be written; found out before anything else is read.
        IncompleteError: a file is damaged, or users are repeated with other values; the
            snapshot was written with all that could be read, and says that it is not complete.
    """
    paths, out = [Path(one) for one in exports], Path(out)
    _ensure_readable(paths)
    if any(out.exists() and out.samefile(path) for path in paths):
        raise OutputError(f"Cannot write {out}: it is one of the exports. Choose another --out.")
    ensure_writable(out)
    started = time.monotonic()
    reading, users = _Reading(paths), 0
    sizes = sum(path.stat().st_size for path in paths)
    newest = max(path.stat().st_mtime for path in paths)
    with writing(out) as writer:
        rows = iter(reading)
        while chunk := list(islice(rows, _CHUNK)):
            writer.add(audit(profiles(chunk)))
            users += len(chunk)
            if show is not None:
                show(_progress(reading.position, sizes, time.monotonic() - started, users))
        complete = not (reading.lost or reading.conflicting)
        provenance = Provenance(
            tenant=tenant or _tenant(paths),
            taken_at=datetime.fromtimestamp(newest, UTC),
            method="ingest",
            complete=complete,
            users=users,
            windows=len(paths),
            requests=0,
            seconds=round(time.monotonic() - started, 3),
            sandbox=False,
            toolkit_version=version("auth0-picture-audit"),
            notes=reading.notes,
        )
        writer.finish(provenance)
    if not complete:
        raise IncompleteError(_incomplete(reading.notes, users, out))
    return Snapshot(provenance, path=out)


def _ensure_readable(paths: Sequence[Path]) -> None:
    """Find out before long work whether every file can be opened and holds a user."""
    if not paths:
        raise UnreadableInputError("No export file was named.")
    for path in paths:
        # What is read here of a pipe would be missing later.
        if path.exists() and not (path.is_file() or path.is_dir()):
            continue
        with exported(path) as export:
            next(iter(export), None)
            _ensure_users(export)


def _ensure_users(export: Export) -> None:
    if not export.rows:
        why = "".join(f" {one}." for one in export.troubles)
        raise UnreadableInputError(f"{export.name} holds no user that can be read.{why}")


def _progress(done: int, total: int, seconds: float, users: int) -> Progress:
    rate = done / seconds if seconds > 0 else None
    total = max(done, total)
    return Progress(done, total, rate, (total - done) / rate if rate else None, f"{users:,} users")


def _tenant(paths: Sequence[Path]) -> str:
    stems = {_stem(Path(path.name)) for path in paths}
    return stems.pop() if len(stems) == 1 else "unknown"


def _stem(name: Path) -> str:
    while name.suffix.lower() in _SUFFIXES:
        name = name.with_suffix("")
    return name.name


def _incomplete(notes: Sequence[str], users: int, out: Path) -> str:
    further = len(notes) - _TOLD
    more = f" And {further:,} more notes in the snapshot." if further > 0 else ""
    return (
        f"{' '.join(notes[:_TOLD])}{more}\n{users:,} users were saved in {out}, as not complete: "
        "export the rest again."
    )
