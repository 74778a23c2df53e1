"""Read many export files on many machines with Dask.

Every file becomes a part by the same code as on one machine. One process then writes the rows of
all parts, and removes repeated users as on one machine. The workers must see the files, and the
folder of the snapshot, under the same paths as this process.
"""

import shutil
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from functools import partial, reduce
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from toolkit.analysis.coverage_count import Coverage, combine, coverage
from toolkit.analysis.duckdb_engine import engine_with
from toolkit.analysis.shown_picture import NEEDED, shared_pictures
from toolkit.classification.times import UnreadTimes
from toolkit.collection.exports.duplicates import Repeats, without
from toolkit.collection.exports.folders import files_of
from toolkit.collection.exports.ingest_files import (
    Found,
    Origin,
    Reading,
    ensure_complete,
    open_database,
    ready,
    write_once,
)
from toolkit.collection.place import FOLDER
from toolkit.errors import OutputError, SettingsError
from toolkit.progress import Progress
from toolkit.snapshots.snapshot import Snapshot, read_snapshot, writing
from toolkit.snapshots.storage import folder_of_parts, held

if TYPE_CHECKING:
    from distributed import Client, Future, LocalCluster

LOCAL = "local"
"""A scheduler that is started for the one call, with a worker process for each core."""

_PATIENCE = 30  # seconds
# The versions of these packages decide the form of a part and the hashes of ids, so they must be
# the same everywhere.
_SAME = ("auth0-picture-audit", "duckdb", "pyarrow")
_COUNTED = [*NEEDED, "created_at", "last_login", "logins_count"]
_GROUPS = 20  # row groups that a worker counts at a time: about 500,000 users

_T = TypeVar("_T")


def ingest_on(  # noqa: PLR0913 - one for each documented option
    exports: Path | str | Iterable[Path | str],
    out: Path | str | None = None,
    *,
    folder: Path | str = FOLDER,
    scheduler: str = LOCAL,
    tenant: str | None = None,
    taken_at: datetime | None = None,
    force: bool = False,
    names: Mapping[str, str] | None = None,
    show: Callable[[Progress], None] | None = None,
) -> Snapshot:
    """Make a snapshot of Auth0 export files on a Dask cluster.

    The snapshot is the same as that of `toolkit.ingest`: the same rows in the same order, the same
    notes. If a worker is lost, another one repeats its work.

    Args:
        exports: the files, as for `toolkit.ingest`.
        out: as for `toolkit.ingest`; the parts are kept beside it until it is written.
        folder: as for `toolkit.ingest`.
        scheduler: the address of Dask's scheduler, "tcp://HOST:PORT" or "tls://HOST:PORT";
            "local" starts one worker process for each core of this machine.
        tenant: as for `toolkit.ingest`.
        taken_at: as for `toolkit.ingest`.
        force: as for `toolkit.ingest`.
        names: as for `toolkit.ingest`.
        show: called with a `Progress` for each file that is done, in bytes of the files.
            If it raises, the work ends, here and on the workers.

    Returns:
        The snapshot; it is complete, or an error is raised.

    Raises:
        SettingsError: Dask is not installed, the scheduler does not answer, its workers have
            other versions, or they were lost again and again.
        OutputError: as for `toolkit.ingest`, or the workers do not see the folder of `out`.
        UnreadableInputError, IncompleteError: as for `toolkit.ingest`.
    """
    _ensure_installed()
    paths = files_of(exports)
    started = time.monotonic()
    with (
        ready(paths, out, tenant, names, folder=folder, force=force) as named,
        _parts_of(place := named.absolute()) as parts_folder,
        _connected(scheduler) as client,
    ):
        sizes = [path.stat().st_size for path in paths]
        parts = [parts_folder / f"{number}.parquet" for number in range(len(paths))]
        done: dict[int, Found] = {}
        futures = [
            client.submit(_ingested, path.absolute(), part, names, pure=False)
            for path, part in zip(paths, parts, strict=True)
        ]
        for number, one in _results(client, futures):
            done[number] = one
            if show is not None:
                read = sum(sizes[number] for number in done)
                users = sum(one.users for one in done.values())
                seconds = time.monotonic() - started
                show(Progress.after(seconds, read, sum(sizes), f"{users:,} users"))
        if missing := [part for part in parts if not part.is_file()]:
            raise OutputError(
                f"{len(missing):,} parts that workers wrote do not arrive in {place.parent}: the "
                "workers need that folder under the same path as here."
            )

        def found() -> Found:
            unread = UnreadTimes()
            for number in range(len(paths)):
                unread += done[number].unread
            return Found(
                [one for number in range(len(paths)) for one in done[number].files],
                max(one.latest for one in done.values()),
                np.concatenate([np.load(_keys_of(part)) for part in parts]),
                unread,
            )

        origin = Origin(paths, tenant, taken_at, started)
        with open_database() as database:
            told = write_once(place, _rows_of(parts), found, origin, database, force=force)
    return ensure_complete(told, place)


def coverage_on(snapshot: Path | str, by: str = "source", *, scheduler: str = LOCAL) -> Coverage:
    """Return `Snapshot.coverage` of a snapshot, counted on a Dask cluster.

    Args:
        snapshot: the file; the workers see it under the same path.
        by: "source", "connection", "provider", "cohort" or "activity".
        scheduler: as for `ingest_on`.

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
        # What many share is known only among all users.
        with engine_with(path) as opened:
            shared = shared_pictures(opened)
        futures = [client.submit(_counted, path, share, by, shared, pure=False) for share in shares]
        counted = reduce(combine, (one for _, one in _results(client, futures)), counted)
    facts = content.provenance
    return replace(counted, estimate=facts.estimate, looked=facts.own_sample)


@contextmanager
def _parts_of(out: Path) -> Iterator[Path]:
    """Make a hidden folder beside `out`, for its owner only."""
    folder = folder_of_parts(out)
    with held(folder):
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            # Workers may still write. After renaming, no file is added while it is emptied. Where
            # Windows renames nothing, as one is open, the next run removes it.
            with suppress(PermissionError):
                shutil.rmtree(folder.rename(folder_of_parts(out)))


# What workers do


def _ingested(export: Path, part: Path, names: Mapping[str, str] | None = None) -> Found:
    """Classify one export file into a part, and save the hashes of its users beside it."""
    _ensure_shared(part.parent)
    with open_database() as database, writing(part) as writer:
        reading = Reading([export], database, names)
        with closing(reading.tables()) as tables:
            for table in tables:
                # If the folder is gone, the part is no longer needed.
                _ensure_shared(part.parent)
                writer.add(table)
    found = reading.found()
    np.save(_keys_of(part), found.keys)
    return found._replace(keys=found.keys[:0])


def _keys_of(part: Path) -> Path:
    return part.with_suffix(".npy")


def _counted(path: Path, groups: range, by: str, shared: list[int]) -> Coverage:
    content = read_snapshot(path)
    counted, told = Coverage.empty(by), content.provenance
    count = partial(coverage, as_of=told.taken_at, wiring=told.wiring, absent=told.absent)
    for frame in content.chunks(_COUNTED, groups=groups):
        counted += count(frame, by, shared=shared)
    return counted


def _ensure_shared(folder: Path) -> None:
    if not folder.is_dir():
        raise OutputError(
            f"A worker cannot see {folder.parent}: the workers need the exports and the folder "
            "of --out under the same paths as here."
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
    """Connect to a scheduler whose workers have the same versions as this process."""
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
    """Yield the results of tasks as they arrive, with the task's number."""
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


def _rows_of(parts: Sequence[Path]) -> Generator[pa.Table]:
    for part in parts:
        yield from without(part, Repeats().rows)
