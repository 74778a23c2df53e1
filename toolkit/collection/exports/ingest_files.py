"""Turn export files into a snapshot.

One thread decompresses, classifies and writes; another reads the blocks of lines. Memory holds a
few blocks, and eight bytes for each user. Repeated users are searched at the end.
"""

import re
import tempfile
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from toolkit.classification.arrow import array
from toolkit.classification.columnwise import with_verdicts
from toolkit.classification.times import UnreadTimes, at_milliseconds
from toolkit.classification.user_profile import TIMES, tabulated, user
from toolkit.collection.exports.blocks import BlockReader, Piece, cells_of, end_of_rows, is_plain
from toolkit.collection.exports.duplicates import Repeats, repeated_keys, repeats, without
from toolkit.collection.exports.folders import files_of
from toolkit.collection.exports.reader import Export, exports
from toolkit.collection.place import FOLDER, placed
from toolkit.errors import IncompleteError, OutputError, UnreadableInputError
from toolkit.formatting import plural
from toolkit.progress import Progress
from toolkit.snapshots.snapshot import Provenance, Snapshot, ensure_replaceable, writing
from toolkit.snapshots.storage import discard_drafts, drafted, ensure_writable, is_same
from toolkit.system import take_place

# Bytes of lines to read at a time, and rows if they are read one by one.
_BLOCK = 24 * 1024 * 1024
_ROWS = 25_000
# Rows to classify together, at least: each call takes some milliseconds, however few they are.
_TOGETHER = 120_000
# So many blocks wait to be read, so that the reading thread has work while others are classified.
_AHEAD = 4
ENDINGS = re.compile(
    r"(?<=.)(\.(gz|zip|zst|bz2|xz|json|jsonl|ndjson|csv|tsv|txt|parquet|arrow|feather|xlsx))+$",
    re.IGNORECASE,
)
"""How the names of files with data end."""
_TOLD = 3
_CLOSE = timedelta(days=1)
# DuckDB's memory when many users are repeated; a block needs a tenth of it.
_MEMORY = "256MB"

_T = TypeVar("_T")


def ingest(
    exports: Path | str | Iterable[Path | str],
    out: Path | str | None = None,
    *,
    folder: Path | str = FOLDER,
    tenant: str | None = None,
    taken_at: datetime | None = None,
    force: bool = False,
    names: Mapping[str, str] | None = None,
    show: Callable[[Progress], None] | None = None,
) -> Snapshot:
    """Make a snapshot of files with users: exports of Auth0, and what other tools write.

    The content of a file decides what it is: NDJSON, other JSON, CSV, Parquet, Arrow or Excel,
    plain or packed. NDJSON, CSV, Parquet and arrays of JSON may be of any size.

    Args:
        exports: a file, a folder, a pattern such as `exports/*.json`, or several of these. If a
            user is in several files, the first counts.
        out: where to write the snapshot; None makes a new file, as `toolkit.collect` does:
            FOLDER/TENANT/YYYY-MM-DDTHHMM.parquet (UTC).
        folder: where those files are.
        tenant: the tenant's domain; by default what the files' names begin with, if they agree.
        taken_at: when the users were exported; by default when the newest file was last changed,
            or the latest time in the files. An export does not say it.
        force: whether the snapshot may replace another tenant's.
        names: for Auth0's names of attributes those in the files, where other names than usual
            are used: `{"picture": "avatar_url"}`.
        show: called with each `Progress`, in bytes of the files; at last when all is written.
            If it raises before, nothing is written.

    Returns:
        The snapshot; it is complete, or an error is raised.

    Raises:
        UnreadableInputError: a file cannot be opened, holds no users, or was written without
            their pictures.
        OutputError: `out` cannot be written, or is another tenant's snapshot.
        IncompleteError: a file is damaged, or users are repeated with other values; the
            snapshot was written with all that could be read, and says that it is not complete.
    """
    paths = files_of(exports)
    started = time.monotonic()

    def tell(users: int) -> None:
        if show is not None:
            seconds, read = time.monotonic() - started, reading.position
            show(Progress.after(seconds, read, sizes, f"{users:,} users"))

    def tables() -> Generator[pa.Table]:
        with closing(reading.tables()) as read:
            for table in read:
                yield table
                tell(reading.users)

    with (
        ready(paths, out, tenant, names, folder=folder, force=force) as place,
        open_database() as database,
    ):
        sizes = sum(path.stat().st_size for path in paths)
        reading = Reading(paths, database, names)
        origin = Origin(paths, tenant, taken_at, started)
        told = write_once(place, tables(), reading.found, origin, database, force=force)
        tell(told.users)
    return ensure_complete(told, place)


class FoundFile(NamedTuple):
    """The content of one file, or of a file in a zip."""

    name: str
    users: int  # rows
    lost: tuple[str, ...]  # what is missing, in words
    notes: tuple[str, ...]  # what was assumed, in sentences
    absent: tuple[str, ...]  # columns of a snapshot that no record had
    total: int  # users of the tenant, if pages say it, or 0


class Found(NamedTuple):
    """The content of export files."""

    files: Sequence[FoundFile]
    latest: int  # time in milliseconds; 0 if there is none
    keys: npt.NDArray[np.uint64]  # hashes of the users' ids
    unread: UnreadTimes
    without_id: int = 0  # rows

    @property
    def users(self) -> int:
        """How many rows all files have."""
        return sum(one.users for one in self.files)

    @property
    def lost(self) -> list[str]:
        """What is missing, in words."""
        lost = [lost for one in self.files for lost in one.lost]
        total = max(one.total for one in self.files)
        if total > self.users:
            lost.append(f"of {total:,} users, so the pages say, {self.users:,} are in them")
        return lost

    @property
    def absent(self) -> tuple[str, ...]:
        """The columns that no file has."""
        first, *others = self.files
        return tuple(name for name in first.absent if all(name in other.absent for other in others))

    @property
    def notes(self) -> list[str]:
        """What was assumed, and which columns some files do not have, in sentences."""
        notes = [note for one in self.files for note in one.notes]
        lacking: dict[str, list[FoundFile]] = {}
        for one in self.files:
            names = ", ".join(name for name in one.absent if name not in self.absent)
            lacking.setdefault(names, []).append(one)
        for names, files in lacking.items():
            if names:
                users = plural(sum(one.users for one in files), "user")
                notes.append(f"{plural(len(files), 'file')} with {users} did not have {names}.")
        if self.without_id:
            notes.append(
                f"Rows without a user_id: {self.without_id:,}. A file may be damaged there, and "
                "other users may be lost inside of such a row."
            )
        return list(dict.fromkeys(notes))


class Origin(NamedTuple):
    """Where the users of a snapshot come from."""

    paths: Sequence[Path]
    tenant: str | None  # None: the names of the files tell it
    taken_at: datetime | None
    started: float  # `time.monotonic`

    def provenance(self, found: Found, repeated: Repeats) -> Provenance:
        """Return the provenance of a snapshot with this content."""
        taken_at, note = self._time(found.latest)
        notes = (
            *(f"{one}." for one in found.lost),
            *repeated.notes,
            *found.notes,
            *found.unread.notes,
            note,
        )
        return Provenance(
            tenant=self.tenant or tenant_of(self.paths),
            taken_at=taken_at,
            method="ingest",
            complete=not (found.lost or repeated.conflicting),
            users=found.users - len(repeated.rows),
            windows=len(self.paths),
            requests=0,
            seconds=round(time.monotonic() - self.started, 3),
            sandbox=False,
            toolkit_version=version("auth0-picture-audit"),
            notes=tuple(filter(None, notes)),
            absent=found.absent,
        )

    def _time(self, latest: int) -> tuple[datetime, str]:
        """Return when the files were made (UTC), and a note if that is assumed.

        An export does not contain its time. A file's time is usually that of the download; every
        time in it is earlier than the export. So the later of both is used.
        """
        if self.taken_at is not None:
            return self.taken_at.astimezone(UTC), ""
        changed = datetime.fromtimestamp(max(path.stat().st_mtime for path in self.paths), UTC)
        inside = at_milliseconds(latest)
        if not latest or timedelta(0) <= changed - inside <= _CLOSE:
            return changed, ""
        within = f"the latest time in the files is {inside:%Y-%m-%d %H:%M} UTC"
        if changed < inside:
            return inside, f"When they were exported is not known: {within}, taken for that."
        return changed, (
            f"When they were exported is not known: {changed:%Y-%m-%d %H:%M} UTC, when the newest "
            f"file was changed, is taken for that; {within}. --taken-at says it."
        )


def write_once(
    out: Path,
    tables: Generator[pa.Table],
    found: Callable[[], Found],
    origin: Origin,
    database: duckdb.DuckDBPyConnection,
    *,
    force: bool,
) -> Provenance:
    """Write a snapshot with each user once, from their first row.

    `found` is called after the last table. `database` finds repeats. If `force`, the snapshot may
    replace another tenant's.
    """
    with drafted(out) as draft:  # with rows that may still have repeats
        with writing(draft) as writer, closing(tables):
            for table in tables:
                writer.add(table)
            content = found()
            doubtful = repeated_keys(content.keys)
            without_id = content.users - len(content.keys)
            # All keys may take much memory.
            content = content._replace(keys=doubtful, without_id=without_id)
            told = origin.provenance(content, Repeats())
            if not len(doubtful):
                writer.finish(told)
        if not len(doubtful):
            ensure_replaceable(out, told.tenant, force=force)
            take_place(draft, out)
            return told
        # The pool: see `Reading.tables`.
        with writing(out, force=force) as writer, ThreadPoolExecutor(1) as pool:
            repeated = pool.submit(repeats, draft, doubtful, database).result()
            for table in without(draft, repeated.rows):
                writer.add(table)
            told = origin.provenance(content, repeated)
            writer.finish(told)
    return told


class Reading:
    """The classified users of some files; `users` counts them."""

    def __init__(
        self,
        paths: Sequence[Path],
        database: duckdb.DuckDBPyConnection,
        names: Mapping[str, str] | None = None,
    ) -> None:
        self._paths = paths
        self._database = database
        self._names = names
        self._keys: list[npt.NDArray[np.uint64]] = []
        self._files: list[FoundFile] = []
        self._export: Export | None = None  # the one that is read
        self._read = 0  # bytes of the files before it
        self._unread = UnreadTimes()
        self._latest = self.users = 0
        self._filled: set[str] = set()  # columns of the export with a value
        self._now = round(time.time() * 1000)

    def tables(self) -> Generator[pa.Table]:
        """Read the files and yield the users in the order of the lines, in blocks."""
        # DuckDB computes in the pool's thread: in this thread, Ctrl-C would raise RuntimeError.
        with BlockReader(self._database) as reader, ThreadPoolExecutor(1) as pool:
            for path in self._paths:
                with closing(exports(path, names=self._names)) as found:
                    for export in found:
                        self._export = export
                        self._filled.clear()
                        held: list[Piece] = []
                        for piece in _results(pool, self._blocks(export, reader)):
                            export.account(piece.lines, len(piece.profiles), piece.unreadable)
                            held.append(piece)
                            if sum(len(one.profiles) for one in held) >= _TOGETHER:
                                yield self._classified(held)
                                held = []
                        if held:
                            yield self._classified(held)
                        for piece in _results(pool, self._rest(export, reader)):
                            yield self._classified([piece])
                        self._files.append(self._found(export))
                        position = self.position
                self._export = None
                # A zip is not read to its end.
                self._read = max(position, self._read + path.stat().st_size)

    def _blocks(self, export: Export, reader: BlockReader) -> Iterator[Callable[[], Piece]]:
        """Yield a task for each block; what is to be read one by one stays in the export."""
        if export.is_plain:
            for pieces in export.blocks(_BLOCK):
                yield partial(reader.read_lines, pieces, export.names)
        if export.layout != "cells":
            return
        titles = export.titles()
        if "user_id" not in titles or not is_plain(titles):
            return
        for data in map(b"".join, export.blocks(_BLOCK)):
            end = end_of_rows(data)
            cells = cells_of(data[:end], titles, export.delimiter) if end else None
            if cells is None:
                export.put_back(data)
                return
            export.put_back(data[end:])
            yield partial(reader.read_cells, cells, data.count(b"\n", 0, end))

    @staticmethod
    def _rest(export: Export, reader: BlockReader) -> Iterator[Callable[[], Piece]]:
        unread = UnreadTimes()
        users = (user(one, unread) for _, one in export)
        while some := list(islice(users, _ROWS)):
            yield partial(reader.keyed, tabulated(some), unread)
            unread = UnreadTimes()

    @property
    def position(self) -> int:
        """How many bytes of all files on disk were read."""
        return self._read + (self._export.position if self._export else 0)

    def found(self) -> Found:
        """Return the content of the files."""
        return Found(
            self._files,
            self._latest,
            np.concatenate([np.zeros(0, np.uint64), *self._keys]),
            self._unread,
        )

    def _found(self, export: Export) -> FoundFile:
        export.ensure_users()
        export.names.ensure_given(export.name)
        absent = tuple(one for one in export.names.absent if one not in self._filled)
        if "picture" in absent:
            raise UnreadableInputError(
                f"No user in {export.name} has a field picture: export it, too. If it is called "
                f"otherwise there, add --map picture=NAME. The file has: {export.names.seen}."
            )
        told = (export.troubles, export.notes, absent, export.names.total)
        return FoundFile(export.name, export.rows, *told)

    def _classified(self, pieces: Sequence[Piece]) -> pa.Table:
        users = pa.concat_tables(piece.profiles for piece in pieces).combine_chunks()
        self.users += len(users)
        for piece in pieces:
            self._keys.append(piece.keys)
            self._unread += piece.unread
        self._latest = max(self._latest, _latest(users, self._now))
        self._filled.update(
            name for name in users.column_names if users[name].null_count < len(users)
        )
        return with_verdicts(users, at_milliseconds(self._now))


def _results(pool: ThreadPoolExecutor, tasks: Iterable[Callable[[], _T]]) -> Iterator[_T]:
    """Yield the results of tasks in order, while later tasks run."""
    waiting: deque[Future[_T]] = deque()
    try:
        for task in tasks:
            waiting.append(pool.submit(task))
            if len(waiting) > _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _latest(users: pa.Table, now: int) -> int:
    """Return the latest time in some users that is not after `now`; both in milliseconds."""
    times = [users[name].cast(pa.int64()) for name in TIMES]
    known = [pc.max(time) for time in times]
    if any((one.as_py() or 0) > now for one in known):
        limit = array(np.array([now]))[0]
        known = [pc.max(time.filter(pc.less_equal(time, limit))) for time in times]
    return max(0, *(one.as_py() or 0 for one in known))


@contextmanager
def open_database() -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB that computes in the calling thread and loads nothing from the network."""
    with tempfile.TemporaryDirectory() as folder:  # temporary data about repeated users
        settings: dict[str, str | bool | int | float | list[str]] = {
            "threads": 1,
            "memory_limit": _MEMORY,
            "temp_directory": folder,
            "enable_external_file_cache": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
        with duckdb.connect(config=settings) as database:
            yield database


def ensure_complete(told: Provenance, out: Path) -> Snapshot:
    """Return the snapshot that was written; raise IncompleteError if it is not complete."""
    if told.complete:
        return Snapshot(told, path=out)
    further = len(told.notes) - _TOLD
    more = f" And {further:,} more notes in the snapshot." if further > 0 else ""
    raise IncompleteError(
        f"{' '.join(told.notes[:_TOLD])}{more}\n{told.users:,} users were saved in {out}, as not "
        "complete: export the rest again."
    )


@contextmanager
def ready(
    paths: Sequence[Path],
    out: Path | str | None,
    tenant: str | None,
    names: Mapping[str, str] | None,
    *,
    folder: Path | str,
    force: bool,
) -> Iterator[Path]:
    """Check before long work that it is possible; yield where the snapshot goes.

    What a killed run left there is removed.
    """
    if not paths:
        raise UnreadableInputError("No export file was named.")
    for path in paths:
        # Bytes that were read from a pipe here would be missing later.
        if path.exists() and not path.is_file() and not path.is_dir():
            continue
        with closing(exports(path, names=names)) as found:
            for export in found:
                if not export.is_plain:
                    next(iter(export), None)
                    export.ensure_users()
    whose = tenant or tenant_of(paths)
    with placed(whose, folder, resume=False) if out is None else nullcontext(Path(out)) as place:
        if any(is_same(place, path) for path in paths):
            raise OutputError(
                f"Cannot write {place}: it is one of the exports. Choose another --out."
            )
        ensure_writable(place)
        ensure_replaceable(place, whose, force=force)
        discard_drafts(place)
        yield place


def tenant_of(paths: Sequence[Path]) -> str:
    """Return the tenant in the names of export files, or `unknown` if they differ."""
    names = {ENDINGS.sub("", path.name) for path in paths}
    return names.pop() if len(names) == 1 else "unknown"
