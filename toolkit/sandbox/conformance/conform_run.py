"""Try what we believe about Auth0 at a real tenant, with made-up users, and remove them again."""

from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from toolkit.errors import IncompleteError, SettingsError, TenantError, UnreachableError
from toolkit.progress import Progress, long_job
from toolkit.sandbox.conformance.facts import FACTS, PEOPLE, Fact
from toolkit.sandbox.conformance.made_users import PREFIX, Removal, left_behind, new_run, remove
from toolkit.sandbox.conformance.recording import Mask, lines
from toolkit.sandbox.conformance.scratch_tenant import (
    MOST_USERS,
    CannotTellError,
    Scratch,
    content,
    told,
)
from toolkit.snapshots.storage import ensure_writable, replacing
from toolkit.tenant.client import Tenant

if TYPE_CHECKING:
    from pandas import DataFrame

NEEDED: Final = (
    "read:users",
    "create:users",
    "update:users",
    "delete:users",
    "read:connections",
    "read:connections_options",
)
"""Scopes without which nothing is tried; `toolkit.change.scopes` says the same to people."""

TO_REMOVE: Final = ("read:users", "delete:users")
"""Scopes without which nothing can be removed."""

_FORM = 1  # of the recording


class Answer(StrEnum):
    """How a tenant compares with the sandbox."""

    SAME = "same"
    DIFFERS = "differs"
    COULD_NOT_TELL = "could not tell"


@dataclass(frozen=True, slots=True)
class Compared:
    """One fact at one tenant.

    Attributes:
        id: the fact's name.
        answer: how the tenant compares.
        belief: what we believe.
        source: what that rests on.
        sandbox: what the sandbox does; empty if nothing was tried.
        tenant: what this tenant did, or why that could not be told.
    """

    id: str
    answer: Answer
    belief: str
    source: str
    sandbox: str
    tenant: str


@dataclass(frozen=True, slots=True)
class Conformance:
    """Every fact, compared; it names no tenant and nobody.

    Attributes:
        facts: one for each fact, in order.
        removal: the made-up users that were removed, those of earlier runs included.
        recording: where the recording is, or None.
    """

    facts: tuple[Compared, ...]
    removal: Removal
    recording: Path | None

    def count(self, answer: Answer) -> int:
        """Return how many facts compare so."""
        return Counter(one.answer for one in self.facts)[answer]

    def __str__(self) -> str:
        counts = ", ".join(f"{self.count(answer)} {answer}" for answer in Answer)
        return f"{counts}. {self.removal}"

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "counts": {answer.value: self.count(answer) for answer in Answer},
            **asdict(self.removal),
            "facts": [asdict(one) for one in self.facts],
        }

    def table(self) -> "DataFrame":
        """Return one row for each fact: answer, what we believe, sandbox, tenant."""
        import pandas as pd  # noqa: PLC0415 - heavy

        return pd.DataFrame(
            [(one.answer.value, one.belief, one.sandbox, one.tenant) for one in self.facts],
            columns=["answer", "what we believe", "the sandbox", "this tenant"],
        )


def notice() -> str:
    """Say what a run does to a tenant, before it is agreed to."""
    return (
        f"This makes {len(PEOPLE)} made-up users in a database connection of the tenant "
        f"({PREFIX}…@example.com; blocked, and no mail is sent to them), changes them, searches "
        "for them, starts two exports of ids, and removes the users again. What your tenant does "
        "by itself for new users (Actions at registration, event and log streams) happens for "
        "them, too. No other user is changed. Nothing is sent to anybody but the tenant. Take one "
        f"that nobody uses: with more than {MOST_USERS} users it is refused."
    )


@long_job
def conform(
    tenant: Tenant,
    *,
    agreed: bool = False,
    connection: str | None = None,
    out: Path | str | None = None,
    anyway: bool = False,
    show: Callable[[Progress], None] | None = None,  # noqa: ARG001 - called by `long_job`
) -> Generator[Progress, None, Conformance]:
    """Compare a tenant with what this package believes about Auth0, by made-up users.

    They are removed again at the end, and after an error, Ctrl-C or SIGTERM. If the process is
    killed, the next run, or `picture-audit conform --clean`, removes them.

    Args:
        tenant: a tenant to try things at, best one that nobody uses.
        agreed: whether that may be done; without it nothing is.
        connection: the name of the database connection to make users in; by default the only one.
        out: where to write a recording without names, ids and addresses, as NDJSON.
        anyway: whether the tenant may have more than 100 users.
        show: called with each `Progress`.

    Returns:
        Every fact, with what the sandbox does and what the tenant did.

    Raises:
        SettingsError: nobody agreed, no connection can be used, or the tenant has too many users.
        ScopeError: the token lacks a scope.
        IncompleteError: made-up users may be left; `--clean` removes them.
        TenantError: the tenant did not take the users, or stopped to answer.
        OutputError: a file cannot be written.
    """
    if not agreed:
        raise SettingsError("This makes users at the tenant: agree to that first (agreed=True).")
    path = None if out is None else Path(out)
    if path is not None:
        ensure_writable(path)
    tenant.require(*NEEDED)
    removal = Removal()
    for run in left_behind(tenant.domain):
        removal += remove(tenant, run)
    name = _connection(tenant, connection)
    before = _users_before(tenant, anyway=anyway)
    total = len(PEOPLE) + len(FACTS)
    compared: list[Compared] = []
    with new_run(tenant.domain, len(PEOPLE)) as run:
        mask = Mask(run.name, _hidden(tenant, name))
        scratch = Scratch(tenant, run, name, mask)
        scratch.users_before = before
        gone: list[Removal] = []
        with _removed_at_the_end(tenant, scratch, gone):
            for done, (key, profile) in enumerate(PEOPLE.items()):
                yield Progress(done, total, note="making users")
                scratch.make(key, profile)
            for done, fact in enumerate(FACTS, len(PEOPLE)):
                yield Progress(done, total, note=fact.id)
                compared.append(_compare(fact, scratch))
        removal = sum(gone, removal)
    yield Progress(total, total)
    ended = Conformance(tuple(compared), removal, path)
    if path is not None:
        head = {"recording": "auth0-picture-audit conform", "form": _FORM}
        head |= {"version": version("auth0-picture-audit")}
        facts = ({"fact": asdict(one)} for one in ended.facts)
        with replacing(path) as file:
            file.write(lines([head, *facts, *scratch.exchanges]))
    return ended


def remove_left(tenant: Tenant) -> Removal:
    """Remove the made-up users that earlier runs left at a tenant.

    Raises:
        ScopeError, TenantError: the tenant does not let them be removed.
        UnreadableInputError: the file of a run is damaged.
    """
    tenant.require(*TO_REMOVE)
    return sum((remove(tenant, run) for run in left_behind(tenant.domain)), Removal())


@contextmanager
def _removed_at_the_end(tenant: Tenant, scratch: Scratch, removal: list[Removal]) -> Iterator[None]:
    """Remove the users of a run, however it ends."""
    try:
        yield
    finally:
        try:
            removal.append(remove(tenant, scratch.run, answered=scratch.answered))
        except TenantError as error:
            raise IncompleteError(
                "Made-up users may be left at the tenant. To remove them: picture-audit conform "
                f"--clean. What happened: {error}"
            ) from None


def _compare(fact: Fact, scratch: Scratch) -> Compared:
    """Look at one fact; an error of the tenant is no answer, unless it no longer answers."""
    answer, seen = Answer.COULD_NOT_TELL, fact.reason
    if fact.check is not None:
        try:
            seen = fact.check(scratch)
        except CannotTellError as error:
            seen = str(error)
        except UnreachableError:
            raise
        except TenantError as error:
            seen = f"{type(error).__name__.removesuffix('Error')}: not answered in a usable way"
        else:
            answer = Answer.SAME if seen == fact.expected else Answer.DIFFERS
    return Compared(fact.id, answer, fact.belief, fact.source, fact.expected, seen)


def _connection(tenant: Tenant, wanted: str | None) -> str:
    """Return the database connection to make users in, in Auth0's own store only."""
    usable = [
        one.name
        for one in tenant.connections()
        if one.strategy == "auth0" and one.imports and one.syncs is not None
    ]
    if wanted is None and len(usable) == 1:
        return usable[0]
    if wanted is not None and wanted in usable:
        return wanted
    if not usable:
        raise SettingsError(
            f"{tenant.domain} has no database connection with Auth0's own store: make one in the "
            "dashboard, under Authentication → Database."
        )
    what = "several database connections" if wanted is None else "no such database connection"
    raise SettingsError(
        f"{tenant.domain} has {what}: name one with Auth0's own store, with --connection NAME."
    )


def _users_before(tenant: Tenant, *, anyway: bool) -> int:
    """Count the users; raise SettingsError if they are too many for a scratch tenant."""
    query: dict[str, str | int] = {"per_page": 1, "include_totals": "true"}
    query |= {"fields": "user_id", "include_fields": "true"}
    answer = tenant.ask("GET", "users", query=query)
    total = content(answer).get("total")
    if not answer.is_success or isinstance(total, bool) or not isinstance(total, int):
        raise TenantError(f"{tenant.domain} does not say how many users it has ({told(answer)}).")
    if total > MOST_USERS and not anyway:
        raise SettingsError(
            f"{tenant.domain} has more than {MOST_USERS} users, so it is no tenant to try things "
            "at: take another one, or add --anyway."
        )
    return total


def _hidden(tenant: Tenant, connection: str) -> dict[str, str]:
    """Return the words that a recording must not have, and what stands for them."""
    label = tenant.domain.partition(".")[0]
    return {tenant.domain: "<tenant>", label: "<tenant>", connection: "<connection>"}
