"""A sandbox that handles one request at a time, and asks a watcher before and after each.

So the order of all that happens at the tenant is known, and something can be done exactly
between two requests: a colleague's edit, a fault of the network, the end of the process.
"""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote

from toolkit.sandbox.faults.network import HANG_UP
from toolkit.sandbox.problem import Problem
from toolkit.sandbox.server import Sandbox

RUN_HEADER = "x-model-run"
"""Names the run that a request belongs to, and its process id: `run/4711`."""

SLEEP_HEADER = "x-model-sleep"
"""Says for how many seconds the machine sleeps that gets this answer."""

API = "/api/v2/"

REFUSED = ("429", "429-bare", "502", "503")
"""Faults that answer a request instead of the tenant."""

BROKEN = ("unheard", "lost", "cut")
"""Faults that break a connection: before the request is heard, after it, in the answer."""

FAULTS = (*REFUSED, *BROKEN)
KILL_BEFORE, KILL_AFTER = "kill before", "kill after"


@dataclass
class Exchange:
    """One request of a run, and its answer.

    Attributes:
        run: the run's name.
        pid: the process that sent it.
        method: as in HTTP.
        path: below `/api/v2/`, decoded; of `/oauth/token` it is `oauth/token`.
        query: of the address.
        body: of the request, read as JSON; None without one.
        what: what shall happen to it, or "" for nothing special.
        status: of the tenant's own answer, or None where the request did not reach it.
        answer: the body of that answer.
        sleep: seconds for which the machine of the process sleeps once it has the answer.
    """

    run: str
    pid: int
    method: str
    path: str
    query: dict[str, list[str]]
    body: Any
    what: str = ""
    status: int | None = None
    answer: bytes = field(default=b"", repr=False)
    sleep: int = 0

    @property
    def delivered(self) -> bool:
        """Whether the process got the tenant's own answer."""
        return self.status is not None and not self.what


class Watcher(Protocol):
    """Told of each request by the server, in the server's thread."""

    def before(self, exchange: Exchange) -> None:
        """Do something before a request is handled; set `exchange.what`."""

    def after(self, exchange: Exchange) -> None:
        """Look at what was done; the answer is not sent yet."""

    def kill(self, exchange: Exchange) -> None:
        """End the process that sent a request."""


class WatchedSandbox(Sandbox):
    """A sandbox with a watcher around what it answers; requests of no run pass by."""

    def __init__(self, users: Any, watcher: Watcher, **settings: Any) -> None:
        super().__init__(users, **settings)
        self._watcher = watcher

    def _application(self, store: Any) -> Any:
        return _Watched(super()._application(store), self._watcher)


class _Watched:
    def __init__(self, application: Any, watcher: Watcher) -> None:
        self._application = application
        self._watcher = watcher
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        named = dict(scope.get("headers", ())).get(RUN_HEADER.encode())
        if named is None:
            await self._application(scope, receive, send)
            return
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        async with self._one_at_a_time:
            exchange = _exchange(scope, named.decode(), body)
            messages = await self._handled(exchange, scope, body)
            for message in messages:
                await send(message)
        if exchange.what and exchange.what not in REFUSED:
            transport = scope["state"][HANG_UP]
            # What was sent of an answer still goes out; a connection without any breaks.
            (transport.close if exchange.what == "cut" else transport.abort)()
            while (await receive())["type"] != "http.disconnect":
                pass

    async def _handled(self, exchange: Exchange, scope: Any, body: bytes) -> list[Any]:
        """Return the messages to send."""
        watcher = self._watcher
        watcher.before(exchange)
        if exchange.what == KILL_BEFORE:
            watcher.kill(exchange)
        if exchange.what in {KILL_BEFORE, "unheard"}:
            return []
        if exchange.what in REFUSED:
            return await _answered(_refusal(exchange.what), scope, body)
        messages = await _answered(self._application, scope, body)
        exchange.status = messages[0]["status"]
        exchange.answer = b"".join(one.get("body", b"") for one in messages)
        watcher.after(exchange)
        if exchange.what == KILL_AFTER:
            watcher.kill(exchange)
        if exchange.what in {KILL_AFTER, "lost"}:
            return []
        if exchange.what == "cut":
            half = exchange.answer[: len(exchange.answer) // 2]
            messages[1:] = [{"type": "http.response.body", "body": half, "more_body": True}]
        if exchange.sleep:
            slept = (SLEEP_HEADER.encode(), str(exchange.sleep).encode())
            messages[0]["headers"] = [*messages[0]["headers"], slept]
        return messages


async def _answered(application: Any, scope: Any, body: bytes) -> list[Any]:
    messages: list[Any] = []

    async def replay() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def keep(message: Any) -> None:
        messages.append(message)

    await application(scope, replay, keep)
    return messages


def _refusal(what: str) -> Any:
    status = int(what.partition("-")[0])
    headers = {}
    if what == "429":
        # The limit is full again at once, as a reset in the past says.
        headers = {"x-ratelimit-limit": "50", "x-ratelimit-remaining": "0"}
        headers["x-ratelimit-reset"] = "1"
    return Problem(status, "Refused", headers=headers).response()


def _exchange(scope: Any, named: str, body: bytes) -> Exchange:
    raw = (scope.get("raw_path") or scope["path"].encode()).decode().partition("?")[0]
    path = unquote(raw.removeprefix(API).removeprefix("/"))
    run, _, pid = named.rpartition("/")
    try:
        document = json.loads(body) if body else None
    except ValueError:
        document = None  # the form that asks for a token
    query = parse_qs(scope.get("query_string", b"").decode(), keep_blank_values=True)
    return Exchange(run, int(pid), scope["method"], path, query, document)
