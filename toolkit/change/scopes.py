"""Which scopes each command asks of a tenant's token: the one table of them.

Facts: Auth0 Management API reference (the scopes of each endpoint), "Auth0 Management API
Endpoints: Users". A token of the client credentials grant holds everything that its
application was granted: that request "does not take a scope parameter" (Auth0 Authentication
API, as auth0/auth0.net#301 answers), so none is sent. Who wants a token that can only read
grants its application nothing else: two applications, one to read and one to write, are the
safe default.
"""

from dataclasses import dataclass
from typing import Final

from toolkit.change.ways import Way

_USERS: Final = (Way.ROOT, Way.METADATA)
_CONNECTIONS: Final = ("read:connections", "read:connections_options")


@dataclass(frozen=True, slots=True)
class Scopes:
    """What one command needs, by Auth0's names.

    Attributes:
        command: its name.
        case: when this row holds, in words; empty where it always does.
        ways: the ways to change a picture that this row is about; all of them if empty.
        reads: without one of these it ends before anything is read.
        writes: what `--execute` needs besides; without one of these it ends before the first
            write, and a rehearsal says so.
        extras: what else is read where the token may.
        without: what is missing without `extras`, in words.
    """

    command: str
    case: str = ""
    ways: tuple[Way, ...] = ()
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    without: str = ""

    @property
    def every(self) -> tuple[str, ...]:
        """All of them: what an application can be granted at most."""
        return (*self.reads, *self.writes, *self.extras)

    def words(self) -> str:
        """Say it in one sentence, for the help of a command."""
        parts = [_listed(self.reads)] if self.reads else []
        parts += [f"with --execute {_listed(self.writes)} too"] if self.writes else []
        if self.extras:
            parts.append(f"where granted {_listed(self.extras)} (without: {self.without})")
        return f"{f'{self.case}: ' if self.case else ''}{'; '.join(parts) or 'none'}"


_ANY_STEP: Final = "as collect; each step of a change as its command"


def _reading(command: str, case: str = "") -> Scopes:
    return Scopes(
        command,
        case,
        reads=("read:users",),
        extras=("read:actions", "read:rules"),
        without="whether overrides reach anybody stays unknown",
    )


def _writing_users(command: str) -> Scopes:
    return Scopes(
        command,
        "root, metadata",
        _USERS,
        reads=("read:users",),
        writes=("update:users",),
        extras=_CONNECTIONS,
        without="a rehearsal guesses who would be refused",
    )


SCOPES: Final = (
    Scopes("demo"),
    Scopes("sandbox"),
    _reading("collect"),
    Scopes("ingest"),
    Scopes("explain"),
    Scopes("coverage"),
    Scopes("findings"),
    Scopes("compare"),
    Scopes("report"),
    Scopes("redact"),
    Scopes("probe"),
    Scopes("plan", extras=_CONNECTIONS, without="who can be written is guessed"),
    Scopes(
        "apply",
        "action",
        (Way.ACTION,),
        reads=("read:actions",),
        writes=("create:actions", "update:actions"),
    ),
    _writing_users("apply"),
    Scopes("verify", "action", (Way.ACTION,), reads=("read:actions",)),
    Scopes("verify", "root, metadata", _USERS, reads=("read:users",)),
    Scopes(
        "undo",
        "an Action that stood there before",
        (Way.ACTION,),
        reads=("read:actions",),
        writes=("create:actions", "update:actions"),
    ),
    Scopes(
        "undo",
        "an Action that apply created",
        (Way.ACTION,),
        reads=("read:actions",),
        writes=("update:actions", "delete:actions"),
    ),
    _writing_users("undo"),
    _reading("lab", _ANY_STEP),
    _reading("dashboard", _ANY_STEP),
)
"""One row for each command, and for each case of it, in the order of the help."""


def rows_of(command: str) -> tuple[Scopes, ...]:
    """Return the rows of a command.

    Raises:
        KeyError: it has none.
    """
    rows = tuple(row for row in SCOPES if row.command == command)
    if not rows:
        raise KeyError(command)
    return rows


def scopes_of(command: str, way: Way, *, created: bool = False) -> Scopes:
    """Return what a command needs for one way to change a picture.

    Args:
        command: `apply`, `verify` or `undo`.
        way: the plan's way.
        created: of `undo`, whether the Action was created by what is undone.

    Returns:
        The row; one without any scope for a way that asks no tenant.
    """
    rows = [row for row in rows_of(command) if way in row.ways]
    return rows[-1 if created else 0] if rows else Scopes(command)


def help_of(command: str) -> str:
    """Return what the help of a command says of its scopes.

    Raises:
        KeyError: the table has no row for it.
    """
    rows = rows_of(command)
    if not any(row.every for row in rows):
        return "Scopes: none."
    return "\n\n".join(f"Scopes: {row.words()}." for row in rows)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names)
