"""Which scopes of a tenant's token each command needs, in one table.

Facts: Auth0 Management API reference (the scopes of each endpoint), "Auth0 Management API
Endpoints: Users". A token of the client credentials grant has all scopes that its application
was granted: the request "does not take a scope parameter" (Auth0 Authentication API, see
auth0/auth0.net#301), so none is sent. For a token that can only read, grant its application
nothing else: two applications, one to read and one to write, are the safe default.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from toolkit.change.ways import Way

_USERS: Final = (Way.ROOT, Way.METADATA)
_CONNECTIONS: Final = ("read:connections", "read:connections_options")


@dataclass(frozen=True, slots=True)
class Scopes:
    """The scopes that one command needs, with Auth0's names.

    Attributes:
        case: when this row applies, in words; empty if always.
        ways: the ways to change a picture that this row is about; all of them if empty.
        reads: without one of these, the command ends before it reads anything.
        writes: what `--execute` also needs; without one of these, the command ends before the
            first write, and a rehearsal says so.
        extras: what else is read, if the token may; `without` names the consequence.
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
        reads, writes, extras = map(", ".join, (self.reads, self.writes, self.extras))
        parts = [reads] if reads else []
        parts += [f"with --execute also {writes}"] if writes else []
        parts += [f"if granted also {extras} (without them: {self.without})"] if extras else []
        return f"{f'{self.case}: ' if self.case else ''}{'; '.join(parts) or 'none'}"


_ANY_STEP: Final = "the same as collect; each step of a change: the same as its command"


def _reading(command: str, case: str = "") -> Scopes:
    return Scopes(
        command,
        case,
        reads=("read:users",),
        extras=("read:actions", "read:rules", "read:flows", "read:event_streams"),
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


_ACTION: Final = (Way.ACTION,)
_READ_ACTIONS: Final = ("read:actions",)

SCOPES: Final = (
    Scopes("demo"),
    Scopes("sandbox"),
    _reading("collect"),
    *map(
        Scopes, ("ingest", "explain", "coverage", "findings", "compare", "report", "redact", "show")
    ),
    Scopes("probe"),
    Scopes(
        "plan", extras=_CONNECTIONS, without="the plan can only guess which users can be written"
    ),
    Scopes("apply", "action", _ACTION, _READ_ACTIONS, ("create:actions", "update:actions")),
    _writing_users("apply"),
    Scopes("verify", "action", _ACTION, _READ_ACTIONS),
    Scopes("verify", "root, metadata", _USERS, ("read:users",)),
    Scopes(
        "undo",
        "an Action that existed before",
        _ACTION,
        _READ_ACTIONS,
        ("create:actions", "update:actions"),
    ),
    Scopes(
        "undo",
        "an Action that apply created",
        _ACTION,
        _READ_ACTIONS,
        ("update:actions", "delete:actions"),
    ),
    _writing_users("undo"),
    Scopes("status", extras=_READ_ACTIONS, without="it does not say what is live"),
    _reading("lab", _ANY_STEP),
    _reading("dashboard", _ANY_STEP),
    Scopes(
        "conform",
        reads=(
            "read:users",
            "create:users",
            "update:users",
            "delete:users",
            *_CONNECTIONS,
        ),
        extras=("read:rules",),
        without="nobody knows whether Rules are still listed",
    ),
)
"""One row for each command, and for each case of it, in the order of the help."""


def rows_of(command: str) -> tuple[Scopes, ...]:
    """Return the rows of a command; raises KeyError if there are none."""
    rows = tuple(row for row in SCOPES if row.command == command)
    if not rows:
        raise KeyError(command)
    return rows


def scopes_of(command: str, way: Way, *, created: bool = False) -> Scopes:
    """Return what `apply`, `verify` or `undo` needs for a plan's way; no scope for Rules.

    `created` says, for `undo`, whether the change created the Action.
    """
    rows = [row for row in rows_of(command) if way in row.ways]
    return rows[-1 if created else 0] if rows else Scopes(command)


@dataclass(frozen=True, slots=True)
class Right:
    """What a token may do, or what it lacks for that, with Auth0's names of scopes."""

    what: str
    lacking: tuple[str, ...]


def rights(granted: Callable[[str], bool | None]) -> tuple[Right, ...]:
    """Say what a token may do; nothing if it does not tell its scopes.

    Args:
        granted: whether it has a scope; None if it does not tell.
    """
    (reading,) = rows_of("collect")
    action, users = scopes_of("apply", Way.ACTION), scopes_of("apply", Way.ROOT)
    if granted(reading.reads[0]) is None:
        return ()
    return tuple(
        Right(what, tuple(one for one in scopes if not granted(one)))
        for what, scopes in (
            ("read all users", reading.reads),
            ("see what else sets a picture", reading.extras),
            ("set a default picture by an Action", (*action.reads, *action.writes)),
            ("write a picture into profiles", (*users.reads, *users.writes)),
        )
    )


def help_of(command: str) -> str:
    """Return what the help of a command says about its scopes; raises KeyError without a row."""
    rows = rows_of(command)
    if not any(row.every for row in rows):
        return "Scopes: none."
    return "\n\n".join(f"Scopes: {row.words()}." for row in rows)
