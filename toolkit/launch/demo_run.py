"""The demo: the main job from end to end, on the embedded tenant."""

import json
from collections.abc import Callable
from pathlib import Path

from toolkit.collection.collect_users import collect
from toolkit.probing.snapshot_probe import settle
from toolkit.progress import Progress
from toolkit.reporting.html_report import report
from toolkit.sandbox.embedded import embedded_tenant
from toolkit.sandbox.made_up.tenants import SEED, USERS
from toolkit.snapshots.snapshot import Snapshot
from toolkit.snapshots.storage import ensure_writable, replacing


def demo(
    out: Path | str = "out/demo",
    *,
    users: int = USERS,
    seed: int = SEED,
    force: bool = False,
    show: Callable[[Progress], None] | None = None,
) -> Snapshot:
    """Do the main job on the embedded tenant: collect, classify, settle, count, report.

    Its sandbox answers for Gravatar and for the hosts of pictures: nobody else is asked.

    Args:
        out: folder for `snapshot.parquet`, `coverage.json` and `report.html`.
        users: how many people to make up.
        seed: the same seed makes the same people.
        force: whether a real tenant's snapshot in that folder may be replaced.
        show: called with each `Progress`.

    Returns:
        The snapshot.

    Raises:
        OutputError: the folder cannot be written, or holds a real tenant's `snapshot.parquet`.
    """
    folder = Path(out)
    path = folder / "snapshot.parquet"
    ensure_writable(path)
    with embedded_tenant(users, seed=seed) as tenant:
        snapshot = collect(tenant, out=path, method="search", force=force, show=show)
        for found in settle(snapshot, show=show):
            snapshot = found
    with replacing(folder / "coverage.json") as file:
        file.write(json.dumps(snapshot.summary(), indent=2).encode())
    report(snapshot, folder / "report.html")
    return snapshot
