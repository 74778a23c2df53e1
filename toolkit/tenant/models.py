"""What a tenant answers, as values: users, connections, export jobs, Actions, Rules.

Whether Auth0 takes a root `picture`: for the users of a connection, and as a text.

Facts: Auth0 Management API, "Update a User" (root attributes can be updated for database
users in Auth0's store, passwordless users, and users of connections that do not sync them
at each login; a null is refused for database and passwordless users), and "Configure
Identity Provider Connection for User Profile Updates" (`set_user_root_attributes`, whose
default is `on_each_login`).

Which texts it takes as a picture: its refusal reads "Object didn't pass validation for format
strict-uri: …" (recordings; a published answer to an empty text). These are the words of the
JavaScript package z-schema, and its format `strict-uri` is `isURL` of the package validator:
http, https or ftp, a host with a top-level domain or an IP address, fewer than 2,083
characters, no white space, no `<` or `>`. So `data:`, `mailto:`, a path, a file's name are
refused. `isURL` takes `www.example.com/me.png` and, in old versions, `localhost`; Auth0's
documentation says "URL", and nobody recorded such a picture: they count as refused here.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

PAGE = 100
"""Users a page: the most that Auth0 gives (Management API, GET /users, per_page)."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a user search.

    Attributes:
        users: Auth0 user objects, as the tenant gave them (whatever it gave).
        total: users that match, as the tenant counts: at 1,000 it stops counting.
    """

    users: Sequence[object]
    total: int


@dataclass(frozen=True, slots=True)
class Job:
    """An export job, as the tenant describes it.

    Attributes:
        id: its id.
        status: `pending`, `completed`, `failed`, or a name that means it is still running.
        percentage: how far it says it is, or None.
        location: where its file is, for 60 seconds, once it is completed. Whoever knows
            it can read every user: it is left out of the text form.
    """

    id: str
    status: str
    percentage: int | None = None
    location: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Action:
    """An Action of the post-login trigger.

    Attributes:
        id: its id.
        name: what the tenant calls it.
        code: the draft, JavaScript.
        deployed: the code that runs, or None where none is deployed.
        status: `pending`, `building`, `packaged`, `built`, `retrying` or `failed`.
        settled: whether the deployment is over; only then can it be bound.
        version: the id of the version that runs, or None; every deployment makes a new one.
        number: its number, which grows by one with each deployment; None where it is not told.
        settings: 16 hex of a hash of what else the draft consists of: runtime, dependencies,
            and the names and times of secrets.
        running: the same of the version that runs; empty where none does.
    """

    id: str
    name: str
    code: str
    deployed: str | None
    status: str
    settled: bool = True
    version: str | None = None
    number: int | None = None
    settings: str = ""
    running: str = ""


@dataclass(frozen=True, slots=True)
class Binding:
    """An Action's place among those that run after a login.

    Attributes:
        id: its id, by which the list that was read is known again: every change of the list
            gives new ones. Empty for one that is to be bound.
        action_id: the Action.
        name: what the list calls it.
    """

    id: str
    action_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A legacy Rule.

    Attributes:
        name: what the tenant calls it.
        code: JavaScript.
        enabled: whether it is switched on.
    """

    name: str
    code: str
    enabled: bool


_PASSWORDLESS: Final = frozenset({"email", "sms"})
_DATABASE: Final = "auth0"
KEEPING: Final = frozenset({_DATABASE, *_PASSWORDLESS})
"""Strategies whose users' root picture Auth0 overwrites and never removes."""

_LONGEST: Final = 2_082  # characters
_MOST_PORT: Final = 65_535
_LETTER: Final = "a-z\u00a1-\uff00"
_LABEL: Final = rf"[{_LETTER}0-9](?:[{_LETTER}0-9-]{{0,61}}[{_LETTER}0-9])?"
_TOP: Final = rf"(?:[{_LETTER}]{{2,63}}|xn[a-z0-9-]{{2,61}})"
_BYTE: Final = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_REST: Final = r"[^\s<>\ufeff\x00-\x1f\x7f]*"
_ADDRESS: Final = re.compile(
    r"(?:https?|ftp)://"
    r"(?:[^\s<>/?#@:]*(?::[^\s<>/?#@:]*)?@)?"
    rf"(?:(?:{_LABEL}\.)+{_TOP}|{_BYTE}(?:\.{_BYTE}){{3}}|\[[0-9a-f:.]{{2,45}}\])"
    rf"(?::(?P<port>[0-9]{{1,5}}))?(?:[/?#]{_REST})?",
    re.IGNORECASE,
)


def takes_picture(text: str) -> bool:
    """Whether Auth0 is known to take a text as somebody's root `picture`."""
    found = _ADDRESS.fullmatch(text) if len(text) <= _LONGEST else None
    return found is not None and 0 < int(found["port"] or 1) <= _MOST_PORT


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection.

    Attributes:
        name: what the tenant calls it.
        strategy: `auth0` for databases, `google-oauth2`, `samlp`, …
        syncs: whether each login overwrites root attributes; None where the options could
            not be read.
        imports: whether its users are in Auth0's own store; false for a custom database
            without import mode.
    """

    name: str
    strategy: str
    syncs: bool | None = None
    imports: bool = True

    @classmethod
    def of(cls, name: str, strategy: str, options: Mapping[str, Any] | None) -> Self:
        """Read what matters off a connection's options, which may hold secrets; keep no more."""
        if options is None:
            return cls(name, strategy)
        custom = options.get("enabledDatabaseCustomization") is True
        imports = not custom or options.get("import_mode") is True
        sync = options.get("set_user_root_attributes") or "on_each_login"
        return cls(name, strategy, sync == "on_each_login", imports)

    @property
    def refusal(self) -> str | None:
        """Why Auth0 refuses to update the root picture of its users; None where it does not."""
        if self.strategy in _PASSWORDLESS:
            return None
        if self.strategy == _DATABASE:
            return None if self.imports else "their custom database keeps the profile itself"
        if self.syncs is None:
            return (
                "each login overwrites it, as far as the strategy says: the connection's options "
                "were not read"
            )
        return (
            "each login overwrites it: the connection syncs root attributes" if self.syncs else None
        )
