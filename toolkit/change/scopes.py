"""Which scopes of a tenant's token each command needs, in one table.

Facts: Auth0 Management API reference (the scopes of each endpoint), "Auth0 Management API
Endpoints: Users". A token of the client credentials grant has all scopes that its application
was granted: the request "does not take a scope parameter" (Auth0 Authentication API, see
auth0/auth0.net#301), so none is sent. For a token that can only read, grant its application
nothing else: two applications, one to read and one to write, are the safe default.
"""

from dataclasses import dataclass
from typing import Final

from toolkit.change.ways import Way

_USERS: Final = (Way.ROOT, Way.METADATA)
_CONNECTIONS: Final = ("read:connections", "read:connections_options")


@dataclass(frozen=True, slots=True)
class Scopes:
    """The scopes that one command needs, with Auth0's names.

    Attributes:
        command: its name.
        case: when this row applies, in words; empty if always.
        ways: the ways to change a picture that this row is about; all of them if empty.
        reads: without one of these, the command ends before it reads anything.
        writes: what `--execute` also needs; without one of these, the command ends before the
            first write, and a rehearsal says so.
        extras: what else is read, if the token may.
        without: the consequence of missing `extras`, in words.
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
        """All scopes of the row: an application needs no others."""
        return (*self.reads, *self.writes, *self.extras)

    def words(self) -> str:
        """Say it in one sentence, for the help of a command."""
        parts = [_listed(self.reads)] if self.reads else []
        parts += [f"with --execute also {_listed(self.writes)}"] if self.writes else []
        if self.extras:
            parts.append(f"if granted also {_listed(self.extras)} (without them: {self.without})")
        return f"{f'{self.case}: ' if self.case else ''}{'; '.join(parts) or 'none'}"


_ANY_STEP: Final = "the same as collect; each step of a change: the same as its command"


def _reading(command: str, case: str = "") -> Scopes:
    return Scopes(
        command,
        case,
        reads=("read:users",),
        extras=("read:actions", "read:rules"),
        without="nobody knows whether overrides are shown",
    )


def _writing_users(command: str) -> Scopes:
    return Scopes(
        command,
        "root, metadata",
        _USERS,
        reads=("read:users",),
        writes=("update:users",),
        extras=_CONNECTIONS,
        without="a rehearsal can only guess which users Auth0 would refuse",
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
    Scopes(
        "plan", extras=_CONNECTIONS, without="the plan can only guess which users can be written"
    ),
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
        "an Action that existed before",
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
        KeyError: there are none.
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
        created: for `undo`, whether the change created the Action.

    Returns:
        The row; without any scope if the way sends no request.
    """
    rows = [row for row in rows_of(command) if way in row.ways]
    return rows[-1 if created else 0] if rows else Scopes(command)


def help_of(command: str) -> str:
    """Return what the help of a command says about its scopes.

    Raises:
        KeyError: the table has no row for the command.
    """
    rows = rows_of(command)
    if not any(row.every for row in rows):
        return "Scopes: none."
    return "\n\n".join(f"Scopes: {row.words()}." for row in rows)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names)
