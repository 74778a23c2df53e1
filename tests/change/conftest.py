"""What tests of changes share: a sandbox with a snapshot of it, and a plan."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import platformdirs
import pyarrow.parquet as pq
import pytest

from tests.conftest import settings_of
from tests.sandbox.conftest import person as made_person
from toolkit.change.apply_plan import apply
from toolkit.change.journal import journal_path
from toolkit.change.plan_summary import Plan
from toolkit.change.prepare import plan
from toolkit.change.ways import Way
from toolkit.collection.collect_users import collect
from toolkit.sandbox.made_up.tenants import loadable, people
from toolkit.sandbox.server import Sandbox
from toolkit.snapshots.snapshot import Snapshot
from toolkit.tenant.client import Tenant, connect

NEW = "https://images.example/new.png"

STEPS = ("override", "own", "elsewhere")
ORDERS = [one for count in (1, 2, 3) for one in permutations(STEPS, count) if "own" in one]
"""Every order that a policy may have."""

# Imports once, then forks for each line: {"environment": …, "kind": …, "path": …, "file_size": …}.
# Says the child's process id; told to with one more line, waits for its end, then says how it ended
# and what it said. Until then the process id is the child's, even after its end.
PROGRAM = """
import json, os, resource, sys
from toolkit.change.apply_plan import apply; from toolkit.change.undo_journal import undo
from toolkit.errors import PictureAuditError
from toolkit.tenant.client import connect

def work(kind, path, file_size=None, **_):
    if file_size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
    with connect() as tenant:
        do = {"apply": apply, "undo": undo}[kind]
        try:
            return repr(do(tenant, path, execute=True, confirm=tenant.domain))
        except PictureAuditError as error:
            return f"{type(error).__name__}: {error}"

for line in sys.stdin:
    task = json.loads(line)
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        os.environ.update(task["environment"])
        os.write(into, work(**task).encode())
        os._exit(0)
    os.close(into)
    print(child, flush=True)
    sys.stdin.readline()
    _, status = os.waitpid(child, 0)
    with open(out, "rb") as said:
        print(json.dumps([status, said.read().decode()]), flush=True)
"""


class Other:
    """Another process, which changes tenants and can be killed while it does."""

    def __init__(self, folder: Path) -> None:
        self.child = 0  # the process id of whoever works at this moment
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=folder,
            text=True,
        )

    def run(
        self,
        site: "Site",
        kind: str,
        path: Path,
        *,
        kill: Callable[[], bool] | None = None,
        file_size: int | None = None,
    ) -> tuple[int, str]:
        """Apply a plan or undo a journal; return how the process ended and what it said.

        It is killed as soon as `kill` is true; no file may outgrow `file_size` bytes.
        """
        task = {"environment": site.sandbox.environment(), "kind": kind, "path": str(path)}
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(task | {"file_size": file_size}) + "\n")
        stdin.flush()
        child = self.child = int(stdout.readline())
        while kill is not None and _alive(child):
            if kill():
                os.kill(child, signal.SIGKILL)
                break
            time.sleep(0.0005)
        stdin.write("wait\n")
        stdin.flush()
        status, said = json.loads(stdout.readline())
        return status, said

    def close(self) -> None:
        self._process.communicate()


def _alive(child: int) -> bool:
    state = Path(f"/proc/{child}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    return state != "Z"


@pytest.fixture(scope="session")
def other(tmp_path_factory) -> Iterator[Other]:
    process = Other(tmp_path_factory.mktemp("other"))
    yield process
    process.close()


def settled(user: dict[str, Any]) -> str:
    """Return a user as JSON text, byte for byte, without the one thing that every write moves."""
    kept = {name: value for name, value in user.items() if name != "updated_at"}
    return json.dumps(kept, sort_keys=True)


def irreplaceable(made: Plan, users: dict[str, str]) -> set[str]:
    """Return whom a plan means and leaves alone, as their metadata could not be put back."""
    if made.way is not Way.METADATA:
        return set()
    found = {name: json.loads(users[name]).get("user_metadata", {"some": 1}) for name in users}
    return {name for name in changed_ids(made) if not _exact(found[name])}


def _exact(metadata: Any) -> bool:
    is_object = isinstance(metadata, dict) and bool(metadata)
    return is_object and metadata.get("picture", "") is not None


@dataclass
class Site:
    """A sandbox, somebody connected to it, and a folder for plans."""

    sandbox: Sandbox
    tenant: Tenant
    folder: Path
    snapshot: Snapshot

    def users(self) -> dict[str, str]:
        """Return every user by id, as JSON text, without what every write moves."""
        return {one["user_id"]: settled(one) for one in self.sandbox.users()}

    def raw(self) -> dict[str, str]:
        """Return every user by id, as JSON text, byte for byte."""
        return {one["user_id"]: json.dumps(one) for one in self.sandbox.users()}

    def user(self, user_id: str) -> dict[str, Any]:
        return next(one for one in self.sandbox.users() if one["user_id"] == user_id)

    def plan(self, through: str, picture: Any = NEW, name: str = "new", **options: Any) -> Plan:
        out = self.folder / f"{name}-{through}.plan"
        if "known" not in options:
            options["known"] = self.tenant.connections()
        return plan(self.snapshot, picture, through=through, out=out, **options)

    def apply(self, made: Plan, **options: Any) -> Any:
        given = {"execute": True, "confirm": self.tenant.domain, "agreed": True, **options}
        return apply(self.tenant, made, **given)

    def count(self, method: str, path: str = "") -> int:
        """Return how many requests of this kind were answered."""
        counts = self.sandbox.requests.counts.items()
        return sum(n for (one, where, _), n in counts if one == method and path in where)


@pytest.fixture(name="person")
def _person() -> Callable[..., dict[str, Any]]:
    return made_person


@pytest.fixture
def site_of(no_credentials, tmp_path) -> Iterator[Callable[..., Site]]:
    """Start a sandbox, with made-up people or with these users, and take a snapshot of it."""
    with ExitStack() as stack:

        def start(users: Any = 200, kind: type[Sandbox] = Sandbox, **settings: Any) -> Site:
            if isinstance(users, int):
                users = map(loadable, people(users, seed=3))
            sandbox = stack.enter_context(kind(users, **settings))
            tenant = stack.enter_context(connect(settings_of(sandbox)))
            folder = tmp_path / sandbox.domain.replace(":", "-")
            folder.mkdir()
            return Site(sandbox, tenant, folder, collect(tenant, method="search"))

        yield start


def as_killed(journal: Path, lines: Sequence[bytes]) -> None:
    """Leave a journal as a run leaves it that was killed after these lines."""
    journal.write_bytes(b"".join(lines))
    kept = platformdirs.user_state_path("picture-audit") / "journals"
    (kept / f"{json.loads(lines[0])['id']}.json").unlink(missing_ok=True)


def journal_of(made: Plan) -> Path:
    assert made.path is not None
    return journal_path(made.path)


def changed_ids(made: Plan) -> set[str]:
    """Return the ids of the users whom a plan changes."""
    table = pq.read_table(made.path)
    return {one["user_id"] for one in table.to_pylist() if one["outcome"] == "change"}
