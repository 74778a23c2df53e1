"""The tenant's answers as values: users, connections, export jobs, Actions, Rules.

Also: for which connections Auth0 accepts a root `picture`, and which texts.

Facts: Auth0 Management API, "Update a User" (root attributes can be updated for database
users in Auth0's store, passwordless users, and users of connections that do not sync them
at each login; a null is refused for database and passwordless users), and "Configure
Identity Provider Connection for User Profile Updates" (`set_user_root_attributes`, whose
default is `on_each_login`).

Its error for other texts reads "Object didn't pass validation for format strict-uri: …"
(recordings). That is `isURL` of the JavaScript package validator: http, https or ftp, a host with a
top-level domain or an IP address, fewer than 2,083 characters, no white space, no `<` or `>`.
`isURL` also accepts `www.example.com/me.png` and, in old versions, `localhost`; Auth0's
documentation says "URL", and nobody recorded such a picture: they count as refused here.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, Self

from toolkit.errors import TenantError
from toolkit.tenant.refusals import ON_THE_WAY

PAGE = 100
"""Users a page: the most that Auth0 gives (Management API, GET /users, per_page)."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a user search: users as the tenant sent them, and how many match.

    The tenant's count stops at 1,000.
    """

    users: Sequence[object]
    total: int

    @classmethod
    def of(cls, answer: object, per_page: int) -> Self:
        """Read an answer to a search; raise TenantError if it is not such a page."""
        body: Mapping[str, Any] = answer if isinstance(answer, Mapping) else {}
        users, total = body.get("users"), body.get("total")
        if (
            not isinstance(users, list)
            or len(users) > per_page
            or isinstance(total, bool)
            or not isinstance(total, int | float)
            or not (total >= 0 and total == total // 1)
        ):
            raise TenantError(f"The answer to a user search is not a page of users: {ON_THE_WAY}")
        return cls(users, int(total))


@dataclass(frozen=True, slots=True)
class Job:
    """An export job.

    Its status is `pending`, `completed`, `failed`, or a name that means it is still running. The
    location of its file is valid for 60 seconds after completion. It gives access to every user, so
    it is left out of `repr`.
    """

    id: str
    status: str
    percentage: int | None = None
    location: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, answer: Any) -> Self:  # noqa: ANN401 - the SDK's models of two endpoints
        """Read an answer about a job; raise TenantError if it is none."""
        # The answer to a new job has no such fields.
        done: Any = getattr(answer, "percentage_done", None)
        location = getattr(answer, "location", None)
        named = isinstance(answer.id, str) and _JOB_ID.fullmatch(answer.id)
        if not (named and isinstance(answer.status, str) and isinstance(location, str | None)):
            raise TenantError(f"The answer about an export is not a job: {ON_THE_WAY}")
        possible = isinstance(done, int | float) and 0 <= done <= 100  # noqa: PLR2004 - percent
        return cls(answer.id, answer.status, int(done) if possible else None, location)


@dataclass(frozen=True, slots=True)
class Action:
    """An Action.

    Attributes:
        code: the draft, JavaScript.
        deployed: the code that runs, or None where none is deployed.
        status: `pending`, `building`, `packaged`, `built`, `retrying` or `failed`.
        settled: whether the deployment has ended; only then can it be bound.
        version: the id of the version that runs, or None; every deployment makes a new one.
        number: its number, one more with each deployment; None if not known.
        settings: a hash of the draft's runtime, dependencies, and names and times of secrets.
        running: the same for the version that runs; empty if none runs.
        trigger: `post-login`, `pre-user-registration`, …; empty if not known.
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
    trigger: str = ""

    @classmethod
    def of(cls, answer: Any) -> Self:  # noqa: ANN401 - the SDK's model
        """Read an answer about an Action."""
        triggers = answer.supported_triggers or ()
        version = answer.deployed_version
        runs = version is not None and bool(version.id)
        number = None if version is None else version.number
        return cls(
            str(answer.id),
            str(answer.name),
            str(answer.code or ""),
            str(version.code or "") if runs else None,
            str(answer.status),
            settled=version is None or version.deployed is not False,
            version=str(version.id) if runs else None,
            number=None if number is None else int(number),
            settings=_settings(answer),
            running=_settings(version) if runs else "",
            trigger=str(triggers[0].id) if triggers else "",
        )


def _settings(answer: Any) -> str:  # noqa: ANN401 - the SDK's model of a draft or version
    dependencies = sorted((str(one.name), str(one.version)) for one in answer.dependencies or ())
    secrets = sorted((str(one.name), str(one.updated_at)) for one in answer.secrets or ())
    text = json.dumps([str(answer.runtime), dependencies, secrets])
    return sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Binding:
    """An Action's place in the list of those that run after a login.

    The id is empty for a new binding. Every change of the list gives new ids.
    """

    id: str
    action_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A legacy Rule; its code is JavaScript."""

    name: str
    code: str
    enabled: bool


_JOB_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
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
    """Whether Auth0 certainly accepts a text as a root `picture`."""
    found = _ADDRESS.fullmatch(text) if len(text) <= _LONGEST else None
    return found is not None and 0 < int(found["port"] or 1) <= _MOST_PORT


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection.

    Attributes:
        strategy: `auth0` for databases, `google-oauth2`, `samlp`, …
        syncs: whether each login overwrites root attributes; None if the options were not read.
        imports: whether its users are in Auth0's own store; false for a custom database
            without import mode.
    """

    name: str
    strategy: str
    syncs: bool | None = None
    imports: bool = True

    @classmethod
    def of(cls, name: str, strategy: str, options: Mapping[str, Any] | None) -> Self:
        """Read only what is needed from a connection's options, which may contain secrets."""
        if options is None:
            return cls(name, strategy)
        custom = options.get("enabledDatabaseCustomization") is True
        imports = not custom or options.get("import_mode") is True
        sync = options.get("set_user_root_attributes") or "on_each_login"
        return cls(name, strategy, sync == "on_each_login", imports)

    @property
    def refusal(self) -> str | None:
        """Why Auth0 refuses to update the root picture of its users; None if it accepts."""
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
