"""What every API request passes: its token, rate limit and scope; and what it asks for.

Rate limits are token buckets, a set of them for each plan. A query parameter is one row of
`PARAMETERS`.

Facts: Auth0 docs, "Rate Limit Configurations": the buckets' sizes; headers
`x-ratelimit-limit`, `x-ratelimit-remaining` and `x-ratelimit-reset` (UNIX seconds); a recorded
refusal has none of them, and a recorded answer with a token has a limit of 100 (INFERRED: how
fast that comes back). No `Retry-After`: the API description of the 429 names only those three.
Recorded, too: a 204 has a content type, and no full stop ends a missing scope's message.
"""

import json
import math
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from toolkit.sandbox.api.tokens import Tokens
from toolkit.sandbox.problem import (
    Problem,
    invalid_body,
    json_response,
)
from toolkit.sandbox.validation import Refuse, Rules, Schema

ROOT = "/api/v2"


@dataclass(frozen=True)
class Size:
    """How many requests a bucket holds, and how many flow back each second."""

    burst: int
    rate: float


PLANS: Mapping[str, Mapping[str, Size]] = {
    "free": {"everything": Size(2, 2)},
    "essentials": {
        "read users": Size(40, 500 / 60),
        "write users": Size(20, 200 / 60),
        "read connections": Size(5, 50 / 60),
        "everything": Size(10, 150 / 60),
    },
    "enterprise": {"everything": Size(50, 16)},
    "enterprise-test": {"everything": Size(10, 2)},
    "unlimited": {},
}
"""Each plan's buckets; a request without a bucket of its own counts against "everything"."""

_TOKENS = Size(100, 100)
# Which bucket a request counts against.
_BUCKETS = (
    ("tokens", re.compile(r"POST /oauth/token\Z")),
    ("read users", re.compile(r"(GET|HEAD) /api/v2/users(/|-by-email|\Z)")),
    ("write users", re.compile(r"(PATCH|POST) /api/v2/users(/|-by-email|\Z)")),
    ("read connections", re.compile(r"(GET|HEAD) /api/v2/connections")),
    ("everything", re.compile(r"\S+ /api/v2/")),
)


class Limits:
    """The buckets of one tenant.

    The clock (UNIX seconds) is for the reset header, `monotonic` (seconds) for the refill.
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
        self._sizes = {"tokens": _TOKENS, **PLANS[plan]}
        self._lock = threading.Lock()
        now = monotonic()
        self._levels = {name: (float(size.burst), now) for name, size in self._sizes.items()}

    def take(self, method: str, path: str) -> dict[str, str]:
        """Count one request against its bucket; return the headers that tell the caller.

        Problem: the bucket is empty. No headers: the plan or the path has no bucket.
        """
        asked = f"{method} {path}"
        buckets = (name for name, pattern in _BUCKETS if pattern.match(asked))
        bucket = next((name for name in buckets if name in self._sizes), None)
        if bucket is None:
            return {}
        size = self._sizes[bucket]
        with self._lock:
            now = self._monotonic()
            level, since = self._levels[bucket]
            level = min(float(size.burst), level + (now - since) * size.rate)
            allowed = level >= 1
            level -= allowed
            self._levels[bucket] = (level, now)
        full_at = self._clock() + (size.burst - level) / size.rate
        headers = {
            "x-ratelimit-limit": str(size.burst),
            "x-ratelimit-remaining": str(math.floor(level)),
            "x-ratelimit-reset": str(math.ceil(full_at)),
        }
        if not allowed:
            text = "Global limit has been reached"
            raise Problem(429, text, "too_many_requests", headers=headers)
        return headers


_LONGEST_BODY = 1024 * 1024  # Auth0 docs, "Management API": 1 MB for each request
# Query parameters that several endpoints have: their rules, and what holds without them.
PARAMETERS: Mapping[str, Rules] = {
    "page": {
        "type": "integer",
        "minimum": 0,
        "default": 0,
        "description": "Page index of the results to return. First page is 0.",
    },
    "per_page": {
        "type": "integer",
        "minimum": 0,
        "maximum": 100,
        "default": 50,
        "description": "Number of results per page.",
    },
    "take": {
        "type": "integer",
        "minimum": 0,
        "maximum": 100,
        "default": 50,
        "description": "Number of results per page. Defaults to 50.",
    },
    "include_totals": {
        "type": "boolean",
        "description": "Return results inside an object that contains the total result count "
        "(true) or as a direct array of results (false, default).",
    },
    "include_fields": {
        "type": "boolean",
        "description": "Whether specified fields are to be included (true) or excluded (false).",
    },
    "deployed": {"type": "boolean"},
    "enabled": {"type": "boolean"},
    "force": {"type": "boolean"},
}


def query(names: str, *, required: str = "", **own: Rules) -> Schema:
    """Return the schema of the query parameters with these names, separated by spaces.

    Those that are not in `PARAMETERS` are texts, unless they have rules of their `own`.
    """
    text = {"type": "string"}
    known = {name: PARAMETERS.get(name, text) for name in names.split()}
    return Schema(known | own, required=required.split())


_NOTHING = query("")


@dataclass(frozen=True)
class Call:
    """A request that was let in; its methods raise Problem where it is not valid."""

    request: Request
    body: bytes
    scopes: frozenset[str]

    @property
    def asked(self) -> QueryParams:
        """The query parameters."""
        return self.request.query_params

    @property
    def path(self) -> Mapping[str, str]:
        """The parameters in the path."""
        return self.request.path_params

    def document(self, refuse: Refuse = invalid_body) -> dict[str, Any]:
        """Return the body's JSON object; `refuse` makes the refusal of other JSON."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise Problem(400, "Invalid request payload JSON format") from error
        if not isinstance(found, dict):
            raise refuse("'Expected type object'.")
        return found

    def number(self, name: str, default: int | None = None) -> int:
        """Return a whole number of `PARAMETERS`."""
        usual = PARAMETERS[name]["default"] if default is None else default
        return int(self.asked.get(name, usual))

    def flag(self, name: str) -> bool | None:
        """Return a parameter that is true or false, or None where it is left out."""
        text = self.asked.get(name)
        return None if text is None else text == "true"

    def projected(self, documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return documents with what `fields` and `include_fields` leave of them."""
        if not self.asked.get("fields"):
            return documents
        names = {name.strip() for name in self.asked["fields"].split(",")}
        kept = self.flag("include_fields") is not False
        return [
            {key: value for key, value in document.items() if (key in names) == kept}
            for document in documents
        ]


Answer = Response | str | Mapping[str, Any] | list[Any] | None
"""What a handler returns: JSON as text or as values, or None for 204."""

Handler = Callable[[Call], Answer]


@dataclass(frozen=True)
class Gate:
    """Makes routes that only let in who may come in."""

    tokens: Tokens
    limits: Limits

    def route(
        self, method: str, path: str, handler: Handler, *scopes: str, query: Schema = _NOTHING
    ) -> Route:
        """Return a route whose handler runs in a worker thread; one of the scopes is needed.

        A query that its schema does not allow is refused; by default there are no parameters.
        """

        def answered(request: Request, body: bytes) -> Response:
            try:
                granted = self.tokens.read(request.headers.get("authorization"))
                headers = self.limits.take(request.method, request.scope["path"])
                _require(granted, scopes)
                query.check_query(request.query_params.multi_items())
                response = _response(handler(Call(request, body, granted)))
            except Problem as problem:
                return problem.response()  # of refusals, only a 429 tells the limits
            response.headers.update(headers)
            return response

        async def endpoint(request: Request) -> Response:
            return await run_in_threadpool(answered, request, await read_body(request))

        return Route(path, endpoint, methods=[method])


def _require(scopes: frozenset[str], expected: tuple[str, ...]) -> None:
    if expected and scopes.isdisjoint(expected):
        text = f"Insufficient scope, expected any of: {','.join(expected)}"
        raise Problem(403, text, "insufficient_scope")


def _response(answer: Answer) -> Response:
    if answer is None:
        return json_response("", 204)
    if isinstance(answer, Response):
        return answer
    return json_response(answer if isinstance(answer, str) else json.dumps(answer))


async def read_body(request: Request) -> bytes:
    """Return a request's body, unless it is longer than Auth0 takes."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST_BODY:
            text = f"Payload content length greater than maximum allowed: {_LONGEST_BODY}"
            raise Problem(413, text)
    return bytes(body)


REST: Final = "rest"
"""What a route calls the rest of a path, `{name:rest}`: whatever was sent.

Starlette's own `path` takes no line break, which an id can have.
"""


class _Rest(PathConvertor):
    regex = r"[\s\S]*"


register_url_convertor(REST, _Rest())
