"""Writes the kept files anew, with the version of the toolkit that is installed.

    uv run python -m tests.keep tests/kept/FOLDER

A folder is never written again: it holds what one version of the formats wrote. The next one is
written, in a folder of its own, by the last version before a format changes.

The tenant has a fixed address, as snapshots, plans and journals name the tenant they belong to.
"""

import fcntl
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toolkit import Sandbox

KEPT = Path(__file__).parent / "kept"
# Of this machine, and used by nothing else; below the ports that the system gives out itself.
ADDRESS, PORT = "127.0.14.14", 14114
DOMAIN = f"{ADDRESS}:{PORT}"
PICTURE = "https://images.example/new.png"
# Test runs on one machine take turns with it.
LOCK = Path(tempfile.gettempdir()) / f"picture-audit-{PORT}.lock"


@contextmanager
def kept_tenant() -> Iterator[Sandbox]:
    """Serve the tenant of the kept files; wait until no other test run does."""
    users = [json.loads(line) for line in (KEPT / "users.ndjson").read_text().splitlines()]
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with Sandbox(users, address=ADDRESS, port=PORT) as sandbox:
            yield sandbox


def steps() -> Iterator[str]:
    """Yield the commands that write a snapshot, and for two ways a plan and its journals."""
    meant = f"--execute --confirm {DOMAIN}"
    yield "collect --method search --out snapshot.parquet"
    for way in ("root", "action"):
        wish = f"--picture {PICTURE} --unseen --through {way} --out {way}.plan"
        yield f"plan snapshot.parquet {wish}"
        yield f"apply {way}.plan {meant}"
        yield f"undo {way}.plan.journal {meant}"


def keep(folder: Path) -> None:
    """Write all of them into a new folder."""
    folder.mkdir(parents=True)
    with kept_tenant() as sandbox:
        environment = os.environ | sandbox.environment()
        for step in steps():
            command = ["picture-audit", *step.split(), "--no-progress"]
            subprocess.run(command, cwd=folder, env=environment, check=True)


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
