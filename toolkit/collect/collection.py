"""A collection: every user of a tenant, reconciled and classified."""

import time
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from toolkit.audit import audit, profiles
from toolkit.collect.search import Walk
from toolkit.collect.window import Window
from toolkit.errors import IncompleteError
from toolkit.progress import Progress
from toolkit.snapshot import Provenance, Snapshot, ensure_writable
from toolkit.tenant import Tenant
from toolkit.user import User


def collecting(tenant: Tenant, *, workers: int = 8) -> Generator[Progress, None, Snapshot]:
    """Read and classify every user, telling how far it has come.

    Args:
        tenant: where to read.
        workers: how many spans of time to read at once; the pace is the tenant's in any case.

    Yields:
        Progress in users. Closing the generator stops the collection.

    Returns:
        The snapshot; it is complete, or an error is raised.

    Raises:
        IncompleteError: the tenant counts more users than it gives.
        TenantError: the tenant did not go along.
    """
    taken_at, started, before = datetime.now(UTC), time.monotonic(), tenant.requests
    walk = Walk(tenant, workers=workers)
    users: dict[str, User] = {}
    read = counted = windows = 0
    for event in walk:
        if isinstance(event, Window):
            windows += 1
            counted += len(event.users)
            users |= {one.user_id or repr(one): one for one in event.users}
        else:
            read += len(event.users)
        yield _progress(max(read, counted), walk.expected, time.monotonic() - started, windows)
    # Windows are disjoint, so their counts add up to the tenant's users.
    if counted != len(users):
        raise IncompleteError(
            f"The tenant counts {counted:,} users and {len(users):,} were read. Nothing was "
            "written; try again later."
        )
    frame = audit(profiles(sorted(users.values(), key=lambda one: one.user_id)))
    return Snapshot(
        Provenance(
            tenant=tenant.domain,
            taken_at=taken_at,
            method="search",
            complete=True,
            users=len(frame),
            windows=windows,
            requests=tenant.requests - before,
            seconds=round(time.monotonic() - started, 3),
            sandbox=tenant.sandbox,
            toolkit_version=version("auth0-picture-audit"),
        ),
        frame,
    )


def _progress(done: int, expected: int | None, seconds: float, windows: int) -> Progress:
    rate = done / seconds if seconds > 0 else None
    total = max(done, expected) if expected is not None else None
    eta = (total - done) / rate if rate and total is not None else None
    note = f"{windows} windows reconciled"
    return Progress(done, total, rate, eta, note, estimated=True)


def collect(
    tenant: Tenant,
    *,
    out: Path | str | None = None,
    show: Callable[[Progress], None] | None = None,
    workers: int = 8,
) -> Snapshot:
    """Read and classify every user of a tenant, by search.

    Args:
        tenant: what `toolkit.connect` returned.
        out: where to write the snapshot, or None to keep it in memory only.
        show: called with each `Progress`.
        workers: how many spans of time to read at once.

    Returns:
        The snapshot: every user once, reconciled with the tenant's own counts.

    Raises:
        OutputError: `out` cannot be written; found out before anything is read.
        IncompleteError: the tenant counts more users than it gives.
        TenantError: the tenant did not go along.
    """
    if out is not None:
        ensure_writable(Path(out))
    steps = collecting(tenant, workers=workers)
    while True:
        try:
            progress = next(steps)
        except StopIteration as end:
            snapshot: Snapshot = end.value
            break
        if show is not None:
            show(progress)
    if out is not None:
        snapshot.write(out)
    return snapshot
