"""What every API request passes: token, rate limit, scope; and what it asks for in its query.

Rate limits of the Management API are token buckets, a set of them for each plan.

Facts: Auth0 docs, "Rate Limit Configurations": the buckets' sizes; headers
`x-ratelimit-limit`, `x-ratelimit-remaining` and `x-ratelimit-reset` (UNIX seconds). No
`Retry-After`: the API description of the 429 names only those three. Recordings of the API,
for Actions: 20 a page unless told, 100 at most (SDKs ask for 50 and 100); `page` is left out
for the first page, and `total` where the page is empty.
"""

import json
import math
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from toolkit.sandbox.api.tokens import Tokens
from toolkit.sandbox.problem import Problem, bad_query, invalid_body, json_response

_T = TypeVar("_T")


@dataclass(frozen=True)
class Size:
    """How many requests a bucket holds, and how many flow back each second."""

    burst: int
    rate: float


_API = "/api/v2/"
_EVERYTHING = "everything"
_READ_USERS = "read users"
_WRITE_USERS = "write users"
_READ_CONNECTIONS = "read connections"

PLANS: Mapping[str, Mapping[str, Size]] = {
    "free": {_EVERYTHING: Size(2, 2)},
    "essentials": {
        _READ_USERS: Size(40, 500 / 60),
        _WRITE_USERS: Size(20, 200 / 60),
        _READ_CONNECTIONS: Size(5, 50 / 60),
        _EVERYTHING: Size(10, 150 / 60),
    },
    "enterprise": {_EVERYTHING: Size(50, 16)},
    "unlimited": {},
}
"""Each plan's buckets; a request without a bucket of its own counts against "everything"."""


@dataclass(frozen=True)
class Reading:
    """What one request found in its bucket."""

    allowed: bool
    limit: int
    remaining: int
    reset: int

    @property
    def headers(self) -> dict[str, str]:
        """The headers that tell the caller."""
        return {
            "x-ratelimit-limit": str(self.limit),
            "x-ratelimit-remaining": str(self.remaining),
            "x-ratelimit-reset": str(self.reset),
        }


class Limits:
    """The buckets of one tenant.

    Args:
        plan: A name in `PLANS`.
        clock: UNIX seconds, for the reset header.
        monotonic: Seconds that never run backwards, for the refill.
    """

    def __init__(
        self,
        plan: str,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if plan not in PLANS:
            raise ValueError(f"no such plan: {plan}; there are {', '.join(PLANS)}")
        self._clock = clock
        self._monotonic = monotonic
        self._sizes = PLANS[plan]
        self._lock = threading.Lock()
        now = monotonic()
        self._levels = {group: (float(size.burst), now) for group, size in self._sizes.items()}

    def take(self, method: str, path: str) -> Reading | None:
        """Count one request against its bucket; None where it has no limit.

        That is so in a plan without limits, and for what is no part of the Management API.
        """
        if not path.startswith(_API):
            return None
        group = _group(method, path)
        group = group if group in self._sizes else _EVERYTHING
        if group not in self._sizes:
            return None
        size = self._sizes[group]
        with self._lock:
            now = self._monotonic()
            level, since = self._levels[group]
            level = min(float(size.burst), level + (now - since) * size.rate)
            allowed = level >= 1
            level -= allowed
            self._levels[group] = (level, now)
        until_full = (size.burst - level) / size.rate
        return Reading(
            allowed, size.burst, math.floor(level), math.ceil(self._clock() + until_full)
        )


def _group(method: str, path: str) -> str:
    """Name the group of endpoints that a request belongs to."""
    is_read = method in {"GET", "HEAD"}
    if path.startswith(("/api/v2/users/", "/api/v2/users-by-email")) or path == "/api/v2/users":
        if is_read:
            return _READ_USERS
        return _WRITE_USERS if method in {"PATCH", "POST"} else _EVERYTHING
    if path.startswith("/api/v2/connections") and is_read:
        return _READ_CONNECTIONS
    return _EVERYTHING


_LONGEST_BODY = 1024 * 1024  # Auth0 docs, "Management API": 1 MB for each request


@dataclass(frozen=True)
class Call:
    """A request that was let in."""

    request: Request
    body: bytes
    scopes: frozenset[str]

    def document(self) -> dict[str, Any]:
        """Return the body's JSON object.

        Raises:
            Problem: If the body is anything else.
        """
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise Problem(400, "Invalid request payload JSON format") from error
        if not isinstance(found, dict):
            raise invalid_body()
        return found


Handler = Callable[[Call], Response]


@dataclass(frozen=True)
class Gate:
    """Makes routes that only let in who may come in."""

    tokens: Tokens
    limits: Limits

    def route(self, method: str, path: str, handler: Handler, *scopes: str) -> Route:
        """Return a route whose handler runs in a worker thread; one of the scopes is needed."""

        async def endpoint(request: Request) -> Response:
            body = await read_body(request)
            return await run_in_threadpool(self._answer, request, body, handler, scopes)

        return Route(path, endpoint, methods=[method])

    def _answer(
        self, request: Request, body: bytes, handler: Handler, expected: tuple[str, ...]
    ) -> Response:
        headers: dict[str, str] = {}
        try:
            scopes = self.tokens.read(request.headers.get("authorization"))
            headers.update(self._count(request))
            _require(scopes, expected)
            response = handler(Call(request, body, scopes))
        except Problem as problem:
            response = problem.response()
        response.headers.update(headers)
        return response

    def _count(self, request: Request) -> Mapping[str, str]:
        """Count the request against its limit; return the headers that tell the caller."""
        reading = self.limits.take(request.method, request.scope["path"])
        if reading is None:
            return {}
        if not reading.allowed:
            text = "Global limit has been reached"
            raise Problem(429, text, "too_many_requests", headers=reading.headers)
        return reading.headers


def _require(scopes: frozenset[str], expected: tuple[str, ...]) -> None:
    if expected and scopes.isdisjoint(expected):
        text = f"Insufficient scope, expected any of: {','.join(expected)}."
        raise Problem(403, text, "insufficient_scope")


async def read_body(request: Request) -> bytes:
    """Return a request's body.

    Raises:
        Problem: If the body is longer than Auth0 takes.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST_BODY:
            text = f"Payload content length greater than maximum allowed: {_LONGEST_BODY}"
            raise Problem(413, text)
    return bytes(body)


MOST_PER_PAGE = 100
_PER_PAGE = 20  # of what the Actions API lists

_WHOLE_NUMBER = re.compile(r"-?\d{1,15}", re.ASCII)
_ABOUT = {
    "page": "Page index of the results to return. First page is 0.",
    "per_page": "Number of results per page.",
    "take": "Number of results per page. Defaults to 50.",
}


def number(asked: QueryParams, name: str, default: int, most: int | None) -> int:
    """Return a whole number from 0 to `most`.

    Raises:
        Problem: If it is anything else.
    """
    text = asked.get(name, str(default))
    where = f"on property {name} ({_ABOUT[name]})."
    if not _WHOLE_NUMBER.fullmatch(text):
        raise bad_query(f"'Expected type integer but found type string' {where}")
    found = int(text)
    if found < 0:
        raise bad_query(f"'Value {found} is less than minimum 0' {where}")
    if most is not None and found > most:
        raise bad_query(f"'Value {found} is greater than maximum {most}' {where}")
    return found


def flag(asked: QueryParams, name: str, *, default: bool) -> bool:
    """Return a boolean.

    Raises:
        Problem: If it is anything else.
    """
    text = asked.get(name, "true" if default else "false")
    if text not in {"true", "false"}:
        raise bad_query(f"'Expected type boolean but found type string' on property {name}.")
    return text == "true"


def projection(asked: QueryParams) -> Callable[[dict[str, Any]], dict[str, Any]] | None:
    """Return what leaves the asked fields of a document, or None where all are asked for."""
    if not asked.get("fields"):
        return None
    names = {name.strip() for name in asked["fields"].split(",")}
    if flag(asked, "include_fields", default=True):
        return lambda document: {key: document[key] for key in document if key in names}
    return lambda document: {key: document[key] for key in document if key not in names}


def listing(
    name: str, items: Sequence[_T], show: Callable[[_T], dict[str, Any]], asked: QueryParams
) -> Response:
    """Answer with one page of what the Actions API lists; only what is on it is shown."""
    page = number(asked, "page", 0, None)
    per_page = number(asked, "per_page", _PER_PAGE, MOST_PER_PAGE)
    shown = [show(item) for item in items[page * per_page : (page + 1) * per_page]]
    answer: dict[str, Any] = {name: shown}
    if shown:
        answer["total"] = len(items)
    if page:
        answer["page"] = page
    return json_response(json.dumps({**answer, "per_page": per_page}))


REST: Final = "rest"
"""What a route calls the rest of a path, `{name:rest}`: whatever was sent.

Starlette's own `path` parameter takes no line break, so that nobody whose id has one would be
found.
"""


class _Rest(PathConvertor):
    regex = r"[\s\S]*"


register_url_convertor(REST, _Rest())
