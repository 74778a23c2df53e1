"""The gate before every API request: the token, then the rate limit, then the scope."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from toolkit.sandbox.limits import Limits
from toolkit.sandbox.problem import Problem, invalid_body
from toolkit.sandbox.tokens import Tokens

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
