"""The tenant during a run: made-up users, what it is asked, and what it answered.

Facts: Auth0 Management API, "Create a User": without `email_verified: true` Auth0 sends a mail.
"""

import gzip
import secrets
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import httpx

from toolkit.errors import TenantError
from toolkit.images.address import is_loopback
from toolkit.sandbox.conformance.made_users import MadeUp, Run
from toolkit.sandbox.conformance.recording import Mask, exchange
from toolkit.tenant.client import Tenant
from toolkit.tenant.host_transport import transport
from toolkit.tenant.http_transport import CompleteAnswers, Inflate, Limits

MOST_USERS: Final = 100
"""A tenant with more users is no scratch tenant; the export of all is tried on none larger."""

_PATIENCE, _PAUSE = 60.0, 1.0  # seconds for a search to show users, or for an export
_OK, _CREATED, _FORBIDDEN, _TOO_MANY, _SERVER_ERROR = 200, 201, 403, 429, 500
_MOST_BYTES = 8 << 20
_CODE = "abcdefghijklmnopqrstuvwxyz_"


class CannotTellError(Exception):
    """This tenant, or this token, does not show whether a fact holds."""


@dataclass(frozen=True, slots=True)
class Export:
    """Two exports that were started one after the other, and where the file of the first is."""

    second: str  # what the tenant answered to the second one
    location: object
    limited: bool  # whether it was asked for some users only


def told(answer: httpx.Response) -> str:
    """Return an answer in short: `HTTP 400 invalid_body`."""
    code = content(answer).get("errorCode")
    known = isinstance(code, str) and set(code) <= set(_CODE)
    return f"HTTP {answer.status_code}{f' {code[:60]}' if known and code else ''}"


def content(answer: httpx.Response) -> dict[str, Any]:
    """Return the object that an answer holds; an empty one if it holds none."""
    try:
        found = answer.json()
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {}


class Scratch:
    """A tenant with made-up users in it.

    Attributes:
        tenant: the tenant.
        run: the run whose users they are.
        users_before: how many users there were before, as far as the tenant counts.
        exchanges: what was asked and answered, masked.
        answered: whether every request to make a user was answered.
    """

    def __init__(self, tenant: Tenant, run: Run, connection: str, mask: Mask) -> None:
        self.tenant, self.run = tenant, run
        self.users_before = 0
        self.exchanges: list[dict[str, Any]] = []
        self.answered = True
        self._connection, self._mask = connection, mask
        self._people: dict[str, MadeUp] = {}
        self._made: dict[str, dict[str, Any]] = {}

    @property
    def made(self) -> list[dict[str, Any]]:
        """The users as they were when they were made, in order."""
        return list(self._made.values())

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: object = None,
        refusal: bool = False,
    ) -> httpx.Response:
        """Ask the tenant and keep what it answered.

        Raises CannotTellError for answers that say nothing about a fact: a missing scope, too
        many requests (unless such a `refusal` is wanted), an error of the tenant.
        """
        answer = self._asked(method, path, query, body)
        status = answer.status_code
        is_scope = content(answer).get("errorCode") == "insufficient_scope"
        if status == _FORBIDDEN and is_scope:
            raise CannotTellError("the token lacks a scope for that")
        if status >= _SERVER_ERROR or (status == _TOO_MANY and not refusal):
            raise CannotTellError(f"the tenant answered HTTP {status}")
        return answer

    def _asked(
        self, method: str, path: str, query: Mapping[str, str | int] | None, body: object
    ) -> httpx.Response:
        again = method != "POST"
        answer = self.tenant.ask(method, path, query=query, body=body, again=again)
        self.exchanges.append(exchange(self._mask, method, path, query, body, answer))
        return answer

    def make(self, key: str, profile: Mapping[str, Any]) -> None:
        """Make a user; nobody gets a mail, and nobody can log in as it.

        Raises:
            TenantError: the tenant does not take it, or made another one.
        """
        person = self.run.user(len(self._people) + 1)
        body = {
            "connection": self._connection,
            "user_id": person.own_id,
            "email": person.email,
            # Of no policy's kinds one is missing, and no three characters in a row are the same.
            "password": f"aA1!{'-'.join(secrets.token_hex(14))}",
            "email_verified": True,
            "verify_email": False,
            "blocked": True,
            **profile,
        }
        self._people[key] = person
        self.run.note_request()
        self.answered = False
        answer = self._asked("POST", "users", None, body)
        self.answered = answer.status_code < _SERVER_ERROR
        if answer.status_code != _CREATED:
            raise TenantError(
                f"{self.tenant.domain} does not take a made-up user ({told(answer)}): name a "
                "database connection that takes users with an e-mail address and a password, with "
                "--connection."
            )
        user = content(answer)
        if not person.is_it(user):
            raise TenantError(
                f"{self.tenant.domain} made a user with another id or address than was asked for. "
                "Nothing more was tried: look there for users whose id or address has "
                f"{person.own_id} in it, and remove them."
            )
        self._made[key] = user

    def user(self, key: str) -> dict[str, Any]:
        """Return a user as it was when it was made."""
        return self._made[key]

    def email(self, key: str, *, other: bool = False) -> str:
        """Return the address of a user, or the one that it may get."""
        person = self._people[key]
        return person.other_email if other else person.email

    def change(self, key: str, changes: Mapping[str, Any]) -> httpx.Response:
        """Change a user."""
        return self.ask("PATCH", self._people[key].path, body=changes)

    def read(self, key: str) -> dict[str, Any]:
        """Read a user."""
        answer = self.ask("GET", self._people[key].path)
        if answer.status_code != _OK:
            raise CannotTellError(f"a made-up user could not be read ({told(answer)})")
        return content(answer)

    def search(self, q: str, **more: str | int) -> httpx.Response:
        """Search users; only ids and times are asked for."""
        fields = {"fields": "user_id,created_at", "include_fields": "true"}
        usual = {"q": q, "include_totals": "true", "search_engine": "v3", **fields}
        return self.ask("GET", "users", query={**usual, **more})

    def until(self, ready: Callable[[], bool], what: str) -> None:
        """Wait until something is so; CannotTellError if it takes too long."""
        end = time.monotonic() + _PATIENCE
        while not ready():
            if time.monotonic() > end:
                raise CannotTellError(f"{what} within {_PATIENCE:.0f} s")
            time.sleep(_PAUSE)

    @cached_property
    def export(self) -> Export:
        """Export the ids of all users, or of some in a larger tenant; a second export beside it."""
        limited = self.users_before > MOST_USERS
        body: dict[str, Any] = {"format": "json", "fields": [{"name": "user_id"}]}
        first = self.ask(
            "POST", "jobs/users-exports", body=body | ({"limit": MOST_USERS} if limited else {})
        )
        name = content(first).get("id")
        if not (first.is_success and isinstance(name, str) and name.replace("_", "").isalnum()):
            raise CannotTellError(f"no export was started ({told(first)})")
        second = self.ask("POST", "jobs/users-exports", body=body | {"limit": 1}, refusal=True)
        job: dict[str, Any] = {}

        def ended() -> bool:
            job.update(content(self.ask("GET", f"jobs/{name}")))
            return job.get("status") in {"completed", "failed"}

        self.until(ended, "the export was not finished")
        if job["status"] == "failed":
            raise CannotTellError("the export failed")
        return Export(told(second), job.get("location"), limited)

    @cached_property
    def exported(self) -> bytes:
        """The file of the export; the token is not sent with it, and nothing of it is kept."""
        location = self.export.location
        try:
            url = httpx.URL(location) if isinstance(location, str) else httpx.URL()
        except httpx.InvalidURL:
            url = httpx.URL()
        if not (url.scheme == "https" or (self.tenant.sandbox and is_loopback(url.host))):
            raise CannotTellError("the export's file is at no https address")
        complete = CompleteAnswers(transport(url.host), Limits(body=_MOST_BYTES))
        headers = {"accept-encoding": "identity"}
        try:
            with httpx.Client(transport=complete, headers=headers, trust_env=False) as client:
                answer = client.get(url)
        except httpx.HTTPError:
            raise CannotTellError("the export's file did not come") from None
        if not answer.is_success:
            raise CannotTellError(f"the export's file did not come (HTTP {answer.status_code})")
        return answer.content


def lines_in(data: bytes) -> int:
    """Count the lines of a file that may be packed; of a large one only the first."""
    if data[:2] != gzip.compress(b"")[:2]:
        return data.count(b"\n")
    lines = size = 0
    try:
        for piece in Inflate().pieces(data):
            lines, size = lines + piece.count(b"\n"), size + len(piece)
            if size > _MOST_BYTES:
                break
    except zlib.error:
        raise CannotTellError("the export's file is damaged") from None
    return lines
