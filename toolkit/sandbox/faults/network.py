"""Faults between a client and a host: refusals, gateways that fail, lost connections.

Each kind is one ASGI middleware. It strikes in bursts that a seed decides on, and only so
often: a client that tries again gets through.
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from itertools import count
from random import Random
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from toolkit.sandbox.problem import Problem

HANG_UP = "hang_up"
"""Where a request's state keeps the connection's transport."""

_API = "/api/v2/"
_AUTH0 = (_API, "/oauth/")
_ELSEWHERE = "/elsewhere"  # where paths of the other host begin
_PICTURES = "/avatar/"
_GATEWAY = (
    "<html><head><title>502 Bad Gateway</title></head>"
    "<body><center><h1>502 Bad Gateway</h1></center></body></html>"
)
PORTAL = HTMLResponse(
    "<html><head><title>Welcome</title></head><body>Sign in to go online</body></html>"
)
PROXY = HTMLResponse(
    "<html><head><title>407</title></head><body>Proxy Authentication Required</body></html>",
    407,
    {"proxy-authenticate": 'Basic realm="office"'},
)
NO_PICTURE = PlainTextResponse("404 Not Found", 404)
A_PICTURE = Response(media_type="image/png")
_LONGEST_STREAK = 4


@dataclass
class Streak:
    """How many requests in a row were struck, by any fault; no more than four are."""

    application: ASGIApp
    length: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on; one that comes so far ends the streak."""
        self.length = 0
        await self.application(scope, receive, send)


@dataclass
class Bursts:
    """Decides which requests are struck: some in a row, then none for a while."""

    random: Random
    streak: Streak
    _: KW_ONLY
    gap: tuple[int, int]  # fewest and most requests between two bursts; the first comes earlier
    length: tuple[int, int]  # fewest and most requests in a burst
    budget: int  # how many are struck in all

    def __post_init__(self) -> None:
        self._calm = self.random.randint(1, self.gap[0])
        self._left = self.random.randint(*self.length)

    def strike(self, _: Scope) -> bool:
        """Tell whether the next request is struck."""
        if self._calm > 0:
            self._calm -= 1
            return False
        if self.budget <= 0 or self.streak.length >= _LONGEST_STREAK:
            return False
        self.budget -= 1
        self.streak.length += 1
        self._left -= 1
        if self._left == 0:
            self._calm = self.random.randint(*self.gap)
            self._left = self.random.randint(*self.length)
        return True


def storm(
    application: ASGIApp, random: Random, streak: Streak, clock: Callable[[], float] | None
) -> ASGIApp:
    """Refuse bursts of API requests with 429.

    With a clock, all answers of the API tell the limit, and a refusal says to wait until the
    next full second.
    """
    # A refusal costs a client seconds: there are few.
    bursts = Bursts(random, streak, gap=(10, 25), length=(2, 4), budget=12)

    def limit(remaining: int) -> dict[str, str]:
        if clock is None:
            return {}
        return {
            "x-ratelimit-limit": "50",
            "x-ratelimit-remaining": str(remaining),
            "x-ratelimit-reset": str(math.floor(clock()) + 1),
        }

    async def telling(scope: Scope, receive: Receive, send: Send) -> None:
        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                told = MutableHeaders(scope=message)
                if "x-ratelimit-limit" not in told:
                    told.update(limit(49))
            await send(message)

        await application(scope, receive, tell if scope["path"].startswith(_API) else send)

    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        text = "Global limit has been reached"
        refusal = Problem(429, text, "too_many_requests", headers=limit(0)).response()
        await refusal(scope, receive, send)

    return _either(telling, refuse, bursts.strike, _API)


def flaky(application: ASGIApp, random: Random, streak: Streak) -> ASGIApp:
    """Answer some requests, of whatever kind, with 502 (HTML) or 503 (JSON)."""
    bursts = Bursts(random, streak, gap=(6, 14), length=(1, 2), budget=12)

    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        answer: Response = HTMLResponse(_GATEWAY, 502)
        if random.random() < 0.5:  # noqa: PLR2004 - one half
            answer = Problem(503, "Service Unavailable").response()
        await answer(scope, receive, send)

    return _either(application, fail, bursts.strike)


def slow(application: ASGIApp, random: Random, streak: Streak) -> ASGIApp:
    """Let some requests wait a moment."""
    bursts = Bursts(random, streak, gap=(3, 8), length=(1, 2), budget=40)

    async def slowed(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(random.uniform(0.05, 0.3))
        await application(scope, receive, send)

    return _either(application, slowed, bursts.strike)


def reset(application: ASGIApp, random: Random, streak: Streak) -> ASGIApp:
    """Close some connections: before the request is heard, after it, or in the answer's body."""
    bursts = Bursts(random, streak, gap=(8, 20), length=(1, 2), budget=12)

    async def hang_up(scope: Scope, receive: Receive, send: Send) -> None:
        transport: asyncio.Transport = scope["state"][HANG_UP]
        how = random.choice(("unheard", "lost", "torn"))
        streak_so_far = streak.length
        if how != "unheard":
            await application(scope, receive, _torn(send) if how == "torn" else _send_nothing)
        streak.length = streak_so_far
        # What was sent of a torn answer still goes out; a connection without any breaks.
        (transport.close if how == "torn" else transport.abort)()
        await _silence(scope, receive, send)

    return _either(application, hang_up, bursts.strike)


async def _silence(_: Scope, receive: Receive, __: Send) -> None:
    """Wait until the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_nothing(_: Message) -> None:
    pass


def _torn(send: Send) -> Send:
    """Send the answer's head and half of the first piece of its body."""
    is_torn = False

    async def tear(message: Message) -> None:
        nonlocal is_torn
        if message["type"] == "http.response.start":
            await send(message)
        elif not is_torn:
            is_torn = True
            body = message.get("body", b"")
            half = body[: len(body) // 2]
            await send({"type": "http.response.body", "body": half, "more_body": True})

    return tear


def before_reads(application: ASGIApp, action: Callable[[], None]) -> ASGIApp:
    """Do something before each time that users or jobs are read."""

    async def acting(scope: Scope, receive: Receive, send: Send) -> None:
        reads = scope["path"].startswith((f"{_API}users", f"{_API}jobs"))
        if reads and scope["method"] == "GET":
            await run_in_threadpool(action)
        await application(scope, receive, send)

    return acting


def busy_pictures(application: ASGIApp, random: Random, streak: Streak, status: int) -> ASGIApp:
    """Refuse bursts of requests for Gravatars, with a Retry-After of one second."""
    bursts = Bursts(random, streak, gap=(20, 60), length=(1, 3), budget=6)
    refusal = PlainTextResponse("Try again later", status, {"retry-after": "1"})
    return _either(application, refusal, bursts.strike, _PICTURES)


def silent_pictures(application: ASGIApp, random: Random, streak: Streak) -> ASGIApp:
    """Never answer some requests for Gravatars."""
    bursts = Bursts(random, streak, gap=(15, 40), length=(1, 2), budget=8)
    return _either(application, _silence, bursts.strike, _PICTURES)


def false_pictures(
    application: ASGIApp, _: Random, __: Streak, answer: ASGIApp, method: str = "", after: int = 0
) -> ASGIApp:
    """Give requests for Gravatars a false answer: of one method, or after some true answers."""
    numbers = count(1)

    def is_struck(scope: Scope) -> bool:
        return scope["method"].startswith(method) and next(numbers) > after

    return _either(application, answer, is_struck, _PICTURES)


def strangers(application: ASGIApp, random: Random, streak: Streak, answer: ASGIApp) -> ASGIApp:
    """Have somebody else answer some requests for the API or a token, a few in a row."""
    bursts = Bursts(random, streak, gap=(15, 40), length=(2, 4), budget=8)
    return _either(application, answer, bursts.strike, _AUTH0)


def other_name(host: str) -> str:
    """Return another name or address of this machine, in place of the one in `host:port`."""
    name, colon, port = host.rpartition(":")
    return ("127.0.0.1" if name == "localhost" else "localhost") + colon + port


@dataclass
class OtherHost:
    """Another host, to which some requests for the API or a token are redirected.

    It is this sandbox by another name, and counts the requests that bring a secret along.
    """

    leaks: int = 0

    def around(self, application: ASGIApp, random: Random, streak: Streak) -> ASGIApp:
        """Return the application with the redirects, and the host that they lead to."""

        async def redirect(scope: Scope, receive: Receive, send: Send) -> None:
            host = Headers(scope=scope)["host"]
            place = f"{scope['scheme']}://{other_name(host)}{_ELSEWHERE}{quote(scope['path'])}"
            answer = RedirectResponse(place, random.choice((301, 302, 307, 308)))
            await answer(scope, receive, send)

        async def arrive(scope: Scope, receive: Receive, send: Send) -> None:
            # The form that asks for a token is sent with POST, and holds the client's secret.
            self.leaks += "authorization" in Headers(scope=scope) or scope["method"] == "POST"
            await NO_PICTURE(scope, receive, send)

        struck = strangers(application, random, streak, redirect)
        return _either(struck, arrive, lambda _: True, f"{_ELSEWHERE}/")


def _either(
    application: ASGIApp,
    other: ASGIApp,
    strikes: Callable[[Scope], bool],
    path: str | tuple[str, ...] = "",
) -> ASGIApp:
    """Let another application answer some of the requests for paths that begin like this."""

    async def either(scope: Scope, receive: Receive, send: Send) -> None:
        is_struck = scope["path"].startswith(path) and strikes(scope)
        await (other if is_struck else application)(scope, receive, send)

    return either
