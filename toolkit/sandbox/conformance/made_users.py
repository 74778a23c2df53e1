"""The made-up users of one run: who they are, the file that remembers the run, their removal.

Id and addresses of a user follow from the run's name and a number, so the file of a run names
nobody: whatever stands in it, no other user can be meant. It is written before the first user is
made. The process that made it locks it; a file that no process holds was left behind.

Facts: Auth0 Management API, "Create a User" (a `user_id` that is asked for gets the strategy before
it; also recorded), "Get a User" (shows every write at once). example.com is reserved (RFC 2606).
"""

import json
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import platformdirs

from toolkit.errors import OutputError, TenantError, UnreadableInputError
from toolkit.formatting import plural
from toolkit.snapshots.storage import ensure_own, held, lock_of
from toolkit.system import is_locked, private_opener
from toolkit.tenant.client import Tenant

PREFIX: Final = "picture-audit-conform-"
"""What the ids and addresses of all made-up users begin with, after the strategy."""

MOST: Final = 20
"""Made-up users of one run at most."""

_FORMAT, _VERSION = "auth0-picture-audit conform", 1
_RUN = re.compile(r"[0-9a-f]{12}")
# A request that was under way when its process was killed may still be carried out.
_SETTLED = 10.0  # seconds after the last request
_OK, _NOT_FOUND, _REFUSED = 200, 404, 300


@dataclass(frozen=True, slots=True)
class MadeUp:
    """One made-up user."""

    run: str
    number: int

    @property
    def own_id(self) -> str:
        """The id without the strategy, and the address without its domain."""
        return f"{PREFIX}{self.run}-{self.number:02}"

    @property
    def path(self) -> str:
        """Where the tenant's API has this user."""
        return f"users/{quote(f'auth0|{self.own_id}', safe='')}"

    @property
    def email(self) -> str:
        """The address."""
        return f"{self.own_id}@example.com"

    @property
    def other_email(self) -> str:
        """The address that it may get later."""
        return f"{self.own_id}-moved@example.com"

    def is_it(self, user: object) -> bool:
        """Whether this is what a tenant calls a user: the id and one of the addresses."""
        return (
            isinstance(user, dict)
            and user.get("user_id") == f"auth0|{self.own_id}"
            and user.get("email") in (self.email, self.other_email)
        )


@dataclass(frozen=True, slots=True)
class Run:
    """One run at a tenant, and the file that remembers it."""

    name: str
    tenant: str
    count: int
    path: Path

    def user(self, number: int) -> MadeUp:
        """Return one of its users, from 1 on."""
        return MadeUp(self.name, number)

    @property
    def users(self) -> list[MadeUp]:
        """All of its users."""
        return [self.user(number) for number in range(1, self.count + 1)]

    def note_request(self) -> None:
        """Note the time of a request that makes a user."""
        self.path.touch()

    def forget(self) -> None:
        """Remove the file: none of its users is left."""
        self.path.unlink(missing_ok=True)


def _folder() -> Path:
    return platformdirs.user_state_path("picture-audit") / "conform"


@contextmanager
def new_run(tenant: str, count: int) -> Iterator[Run]:
    """Write the file of a new run and hold it, so that no other process takes it for left behind.

    Args:
        tenant: the tenant's domain.
        count: how many users it makes, `MOST` at most.

    Raises:
        OutputError: it cannot be written.
    """
    name = secrets.token_hex(6)
    run = Run(name, tenant, count, _folder() / f"{name}.json")
    head = {"format": _FORMAT, "version": _VERSION, "tenant": tenant, "run": name, "users": count}
    with ExitStack() as stack:
        try:
            run.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Until it is held it is empty: other processes leave an empty file alone.
            open(run.path, "xb", opener=private_opener).close()
            stack.enter_context(held(run.path))
            run.path.write_text(json.dumps(head, separators=(",", ":")) + "\n", "utf-8")
        except OSError as error:
            raise OutputError(f"Cannot write {run.path}: {error.strerror or error}.") from error
        yield run


def left_behind(tenant: str) -> list[Run]:
    """Return the runs at a tenant whose process was killed, or could not remove its users.

    Raises:
        UnreadableInputError: a file is damaged.
    """
    found = []
    for path in sorted(_folder().glob("*.json")):
        if path.stat().st_size and not is_locked(lock_of(path)):
            run = _read(path)
            if run.tenant == tenant:
                found.append(run)
    return found


def _read(path: Path) -> Run:
    try:
        with path.open("rb") as file:
            ensure_own(file, path)
            file.seek(0)
            head: Any = json.loads(file.read(4096))
        known = head["format"] == _FORMAT and head["version"] == _VERSION
        run = Run(head["run"], head["tenant"], head["users"], path)
        named = _RUN.fullmatch(run.name) and isinstance(run.tenant, str)
        if known and named and type(run.count) is int and 1 <= run.count <= MOST:
            return run
    except (OSError, ValueError, TypeError, LookupError, RecursionError, OutputError):
        pass
    raise UnreadableInputError(
        f"{path} should name a run of picture-audit conform, and does not. Look for users whose "
        f"id has {PREFIX} in it at your tenant, remove them there, and delete the file."
    )


@dataclass(frozen=True, slots=True)
class Removal:
    """How many made-up users were removed, and how many were left alone: no longer as made."""

    removed: int = 0
    others: int = 0

    def __str__(self) -> str:
        left = f"; {self.others} left alone: another address" if self.others else ""
        return f"{plural(self.removed, 'made-up user')} removed{left}."

    def __add__(self, other: "Removal") -> "Removal":
        return Removal(self.removed + other.removed, self.others + other.others)


def remove(
    tenant: Tenant,
    run: Run,
    *,
    answered: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> Removal:
    """Remove the users of a run, and then its file.

    Each is read first, and removed only if its id and its address are those of the run.

    Args:
        tenant: where they are.
        run: the run.
        answered: whether every request to make a user was answered; otherwise those that are not
            there are looked for again when the last request is ten seconds old.
        sleep: waits.

    Raises:
        TenantError: the tenant did not do it; the file stays.
    """
    age = max(0.0, time.time() - run.path.stat().st_mtime)
    removed = {user: _remove_one(tenant, user) for user in run.users}
    if not answered and None in removed.values() and age < _SETTLED:
        sleep(_SETTLED - age)
        removed |= {user: _remove_one(tenant, user) for user, one in removed.items() if not one}
    run.forget()
    return sum((one for one in removed.values() if one), Removal())


def _remove_one(tenant: Tenant, user: MadeUp) -> Removal | None:
    """Remove one user; None if it is not there."""
    fields = {"fields": "user_id,email", "include_fields": "true"}
    answer = tenant.ask("GET", user.path, query=fields)
    if answer.status_code == _NOT_FOUND:
        return None
    if answer.status_code == _OK:
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not user.is_it(found):
            return Removal(others=1)
        answer = tenant.ask("DELETE", user.path)
        if answer.status_code < _REFUSED:
            return Removal(removed=1)
    raise TenantError(
        f"{tenant.domain} does not let made-up users be removed (HTTP {answer.status_code})."
    )
