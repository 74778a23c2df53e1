"""Read many export files on many machines with Dask.

Every file becomes a part by the same code as on one machine. The rows of the parts are then written
one after another, in one process, which removes repeated users as on one machine.

The workers see the files, and the folder of the snapshot, under the same paths as this process.
"""

import shutil
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from functools import reduce
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from toolkit.analysis.coverage_count import Coverage, combine, coverage
from toolkit.collection.exports.duplicates import Repeats
from toolkit.collection.exports.ingest_files import (
    Assumed,
    Reading,
    ensure_possible,
    incomplete,
    open_database,
    provenance_of,
    write_once,
)
from toolkit.errors import IncompleteError, OutputError, SettingsError
from toolkit.progress import Progress
from toolkit.snapshots.snapshot import Provenance, Snapshot, read_snapshot, writing
from toolkit.snapshots.storage import folder_of_parts, held

if TYPE_CHECKING:
    from distributed import Client, Future, LocalCluster

LOCAL = "local"
"""The scheduler that is started for the one call, with a worker process for each core."""

_PATIENCE = 30  # seconds
# The versions of these packages decide the form of a part and the hashes of ids, so they must be
# the same everywhere.
_SAME = ("auth0-picture-audit", "duckdb", "pyarrow")
_COUNTED = [
    "source",
    "underlying",
    "expires_at",
    "connection",
    "provider",
    "created_at",
    "last_login",
]
_GROUPS = 20  # row groups that a worker counts at a time: about 500,000 users

_T = TypeVar("_T")


class _Part(NamedTuple):
    """The result of one export file.

    Attributes:
        users: how many rows it wrote.
        lost: what is missing from the file, in words.
        latest: the latest time in it, in milliseconds; 0 if there is none.
    """

    users: int
    lost: tuple[str, ...]
    latest: int


class _Places(NamedTuple):
    """Where the part of an export file is, and the hashes of its users' ids."""

    part: Path
    keys: Path


def ingest_on(
    exports: Sequence[Path | str],
    out: Path | str,
    *,
    scheduler: str = LOCAL,
    tenant: str | None = None,
    taken_at: datetime | None = None,
    force: bool = False,
    show: Callable[[Progress], None] | None = None,
) -> Snapshot:
    """Make a snapshot of Auth0 export files on a Dask cluster.

    The snapshot is the same as that of `toolkit.ingest`: the same rows in the same order, the same
    notes. If a worker is lost, another one repeats its work.

    Args:
        exports: the files, NDJSON or CSV, gzip or plain. If a user is in several of them, the first
            counts.
        out: where to write the snapshot; the parts are kept beside it until it is written.
        scheduler: the address of Dask's scheduler, "tcp://HOST:PORT" or "tls://HOST:PORT";
            "local" starts one worker process for each core of this machine.
        tenant: the tenant's domain; by default what the files' names begin with, if they
            agree.
        taken_at: when the users were exported; as for `toolkit.ingest`.
        force: whether the snapshot may replace another tenant's.
        show: called with a `Progress` for each file that is done, in bytes of the files.
            If it raises, the work ends, here and on the workers.

    Returns:
        The snapshot; it is complete, or an error is raised.

    Raises:
        SettingsError: Dask is not installed, the scheduler does not answer, its workers have
            other versions, or they were lost again and again.
        UnreadableInputError: a file cannot be opened, is no export, or holds no user; nothing
            was written.
        OutputError: `out` cannot be written or is another tenant's snapshot, or the workers do
            not see its folder.
        IncompleteError: a file is damaged, or users are repeated with other values; the
            snapshot was written with all that could be read, and says that it is not complete.
    """
    _ensure_installed()
    paths, out = [Path(one) for one in exports], Path(out).absolute()
    ensure_possible(paths, out, tenant, force=force)
    started = time.monotonic()
    sizes = [path.stat().st_size for path in paths]

    def provenance(found: Repeats) -> Provenance:
        latest = max(part.latest for part in parts.values())
        return provenance_of(
            paths,
            tenant=tenant,
            when=Assumed.of(paths, taken_at, latest),
            users=sum(part.users for part in parts.values()) - len(found.rows),
            lost=lost,
            found=found,
            seconds=time.monotonic() - started,
        )

    with _parts_of(out) as folder, _connected(scheduler) as client:
        places = [
            _Places(folder / f"{number}.parquet", folder / f"{number}.npy")
            for number in range(len(paths))
        ]
        parts: dict[int, _Part] = {}
        futures = [
            client.submit(_ingested, path.absolute(), *place, pure=False)
            for path, place in zip(paths, places, strict=True)
        ]
        for number, part in _results(client, futures):
            parts[number] = part
            if show is not None:
                done = sum(sizes[one] for one in parts)
                users = sum(one.users for one in parts.values())
                seconds = time.monotonic() - started
                show(Progress.after(seconds, done, sum(sizes), f"{users:,} users"))
        lost = [note for number in range(len(paths)) for note in parts[number].lost]
        written = [place.part for place in places]
        _ensure_arrived(written)

        def keys() -> npt.NDArray[np.uint64]:
            return np.concatenate([np.load(place.keys) for place in places])

        with open_database() as database:
            told = write_once(out, _rows_of(written), keys, provenance, database, force=force)
    if not told.complete:
        raise IncompleteError(incomplete(told.notes, told.users, out))
    return Snapshot(told, path=out)


def coverage_on(snapshot: Path | str, by: str = "source", *, scheduler: str = LOCAL) -> Coverage:
    """Count the users of a snapshot on a Dask cluster.

    The same as `Snapshot.coverage`: workers count row groups, and `toolkit.combine` adds them.

    Args:
        snapshot: the file; the workers see it under the same path.
        by: "source", "connection", "provider", "cohort" or "activity".
        scheduler: as for `ingest_on`.

    Returns:
        The coverage, the same as on one machine.

    Raises:
        SettingsError: as for `ingest_on`, or `by` is none of these.
        UnreadableInputError: the file is no snapshot.
    """
    _ensure_installed()
    path = Path(snapshot).absolute()
    content = read_snapshot(path)
    counted = Coverage.empty(by)  # raises an error if `by` is unknown
    with pq.ParquetFile(path) as file:
        groups = range(file.num_row_groups)
    shares = [groups[begin : begin + _GROUPS] for begin in groups[::_GROUPS]]
    with _connected(scheduler) as client:
        futures = [client.submit(_counted, path, share, by, pure=False) for share in shares]
        counted = reduce(combine, (one for _, one in _results(client, futures)), counted)
    return Coverage(by, counted.counts, content.provenance.estimate)


@contextmanager
def _parts_of(out: Path) -> Iterator[Path]:
    """Make a folder beside `out`, with a name that begins with a dot, for its owner only.

    Workers may still write when it is removed, so it is renamed first: then no file is added while
    it is emptied.
    """
    folder = folder_of_parts(out)
    with held(folder):
        try:
            yield folder
        finally:
            shutil.rmtree(folder.rename(folder_of_parts(out)))


# What workers do


def _ingested(export: Path, part: Path, keys: Path) -> _Part:
    """Classify one export file into a part, and save the hashes of its users."""
    _ensure_shared(part.parent)
    with open_database() as database, writing(part) as writer:
        reading = Reading([export], database)
        with closing(reading.tables()) as tables:
            for table in tables:
                # If the folder is gone, the part is no longer needed.
                _ensure_shared(part.parent)
                writer.add(table)
    np.save(keys, reading.keys())
    return _Part(reading.users, tuple(reading.lost), reading.latest)


def _counted(path: Path, groups: range, by: str) -> Coverage:
    content = read_snapshot(path)
    counted = Coverage.empty(by)
    for frame in content.chunks(_COUNTED, groups=groups):
        counted += coverage(
            frame, by, as_of=content.provenance.taken_at, overrides=content.overrides
        )
    return counted


def _ensure_shared(folder: Path) -> None:
    if not folder.is_dir():
        raise OutputError(
            f"A worker cannot see {folder.parent}: the workers need the exports and the folder "
            "of --out under the same paths as here."
        )


def _ensure_arrived(parts: Sequence[Path]) -> None:
    if missing := [part for part in parts if not part.is_file()]:
        raise OutputError(
            f"{len(missing):,} parts that workers wrote do not arrive in "
            f"{parts[0].parent.parent}: the workers need that folder under the same path as here."
        )


def _versions() -> dict[str, str]:
    return {name: version(name) for name in _SAME}


# The cluster


def _ensure_installed() -> None:
    try:
        import distributed  # noqa: F401, PLC0415 - an extra, and slow to import
    except ModuleNotFoundError:
        raise SettingsError(
            "A cluster needs Dask, which is not installed: uv sync --extra cluster, or "
            "pip install 'auth0-picture-audit[cluster]'."
        ) from None


@contextmanager
def _connected(scheduler: str) -> Iterator["Client"]:
    """Connect to a scheduler whose workers have the same versions as this process.

    Raises:
        SettingsError: it does not answer, has no workers, or they are of other versions.
    """
    from distributed import Client  # noqa: PLC0415 - see above

    if scheduler == LOCAL:
        with _workers_here() as cluster, Client(cluster) as client:
            yield client
        return
    try:
        client = Client(scheduler, timeout=_PATIENCE)
    except (OSError, TimeoutError, ValueError, TypeError) as error:
        raise SettingsError(
            f"No Dask scheduler answers at {scheduler}: start one with `dask scheduler`, and name "
            "it as tcp://HOST:PORT."
        ) from error
    with client:
        _ensure_same(client, scheduler)
        yield client


def _workers_here() -> "LocalCluster":
    """Start a worker process for each core, and a scheduler that only this process can use."""
    from distributed import LocalCluster  # noqa: PLC0415 - see above

    try:
        # New keys for this call, so that other users of this machine cannot submit work. The web
        # page uses a free port, or Dask would warn that 8787 is taken.
        return LocalCluster(
            threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0", security=True
        )
    except RuntimeError as error:
        raise SettingsError(
            "Worker processes do not start here. A script that calls this keeps the call under "
            "`if __name__ == '__main__':`, since each of them reads the script."
        ) from error


def _ensure_same(client: "Client", scheduler: str) -> None:
    here = _versions()
    try:
        client.wait_for_workers(1, timeout=_PATIENCE)
        there = client.run(_versions)
    except TimeoutError as error:
        raise SettingsError(
            f"The scheduler at {scheduler} has no workers: start some with `dask worker "
            f"{scheduler} --nthreads 1`."
        ) from error
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"The workers of {scheduler} lack {error.name}: install auth0-picture-audit[cluster] "
            f"{here[_SAME[0]]} on each."
        ) from error
    for address, found in there.items():
        if found != here:
            differing = next(name for name in _SAME if found[name] != here[name])
            raise SettingsError(
                f"The worker {address} has {differing} {found[differing]}, and here is "
                f"{here[differing]}: install the same everywhere."
            )


def _results(client: "Client", futures: Sequence["Future[_T]"]) -> Iterator[tuple[int, _T]]:
    """Yield the results of tasks as they arrive, with the task's number.

    Raises:
        SettingsError: workers were lost repeatedly during the same task.
    """
    from distributed import KilledWorker, as_completed  # noqa: PLC0415 - see above

    numbers: dict[Any, int] = {future: number for number, future in enumerate(futures)}
    try:
        for future in as_completed(futures):
            yield numbers[future], future.result()
    except KilledWorker as error:
        raise SettingsError(
            "Workers were lost again and again over the same file: give them more memory "
            "(`dask worker --memory-limit`), or fewer threads."
        ) from error
    finally:
        client.cancel(list(futures))


# From parts to a snapshot


def _rows_of(parts: Sequence[Path]) -> Generator[pa.Table]:
    for part in parts:
        with pq.ParquetFile(part) as file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group, use_threads=False)
