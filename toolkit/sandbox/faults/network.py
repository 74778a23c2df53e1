"""Bad weather between a client and a host: refusals, gateways that fail, lost connections.

Each kind is one ASGI middleware. It strikes in bursts that a seed decides on, and has a
budget: a client that tries again gets through.
"""

import asyncio
import math
from collections.abc import Callable, Mapping
from itertools import count
from random import Random

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from toolkit.sandbox.problem import Problem

HANG_UP = "hang_up"
"""Where a request's state keeps the connection's transport."""

_API = "/api/v2/"
_PICTURES = "/avatar/"
_GATEWAY = (
    "<html><head><title>502 Bad Gateway</title></head>"
    "<body><center><h1>502 Bad Gateway</h1></center></body></html>"
)
_PORTAL = "<html><head><title>Welcome</title></head><body>Sign in to go online</body></html>"
_CALM = 49
_LONGEST_STREAK = 4
_SHORTEST, _LONGEST = 0.05, 0.3  # seconds of a delay


class Streak:
    """How many requests in a row were struck, by whatever; no more than four are."""

    def __init__(self) -> None:
        self.length = 0

    @property
    def is_over(self) -> bool:
        """Whether the next request must get through."""
        return self.length >= _LONGEST_STREAK

    def ended_by(self, application: ASGIApp) -> ASGIApp:
        """Return the application; a request that reaches it ends the streak."""

        async def reached(scope: Scope, receive: Receive, send: Send) -> None:
            self.length = 0
            await application(scope, receive, send)

        return reached


class Bursts:
    """Decides which requests are struck: some in a row, then none for a while.

    Args:
        random: Where the decisions come from.
        streak: What all kinds of weather did to the last requests.
        gap: The fewest and the most requests between two bursts; the first comes earlier.
        length: The fewest and the most requests in a burst.
        budget: How many are struck in all.
    """

    def __init__(
        self,
        random: Random,
        streak: Streak,
        *,
        gap: tuple[int, int],
        length: tuple[int, int],
        budget: int,
    ) -> None:
        self._streak = streak
        self._random = random
        self._gap = gap
        self._length = length
        self._budget = budget
        self._calm = random.randint(1, gap[0])
        self._left = random.randint(*length)

    def strikes(self) -> bool:
        """Tell whether the next request is struck."""
        if self._calm > 0:
            self._calm -= 1
            return False
        if self._budget <= 0 or self._streak.is_over:
            return False
        self._budget -= 1
        self._streak.length += 1
        self._left -= 1
        if self._left == 0:
            self._calm = self._random.randint(*self._gap)
            self._left = self._random.randint(*self._length)
        return True


def bare_storm(application: ASGIApp, random: Random, streak: Streak) -> ASGIApp:
    """Refuse bursts of API requests with 429 and nothing that says for how long."""
    return _storm(application, random, streak, dict)


def storm(
    application: ASGIApp, random: Random, streak: Streak, clock: Callable[[], float]
) -> ASGIApp:
    """Refuse bursts of API requests with 429; wait until the next full second, it says."""

    def headers(remaining: int) -> dict[str, str]:
        return {
            "x-ratelimit-limit": "50",
            "x-ratelimit-remaining": str(remaining),
            "x-ratelimit-reset": str(math.floor(clock()) + 1),
        }

    async def telling(scope: Scope, receive: Receive, send: Send) -> None:
        """Tell the limit with every other answer too: a tenant that has one always does."""

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                told = MutableHeaders(scope=message)
                if "x-ratelimit-limit" not in told:
                    told.update(headers(_CALM))
            await send(message)

        await application(scope, receive, tell if scope["path"].startswith(_API) else send)

    return _storm(telling, random, streak, lambda: headers(0))


def _storm(
    application: ASGIApp,
    random: Random,
    streak: Streak,
    headers: Callable[[], Mapping[str, str]],
) -> ASGIApp:
    # A refusal costs a client seconds: there are few.
    bursts = Bursts(random, streak, gap=(10, 25), length=(2, 4), budget=12)

    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        text = "Global limit has been reached"
        refusal = Problem(429, text, "too_many_requests", headers=headers()).response()
        await refusal(scope, receive, send)

    def strikes(scope: Scope) -> bool:
        return scope["path"].startswith(_API) and bursts.strikes()

    return _either(application, refuse, strikes)


def flaky(application: ASGIApp, random: Random, streak: Streak) -> ASGIApp:
    """Answer some requests, of whatever kind, with 502 (HTML) or 503 (JSON)."""
    bursts = Bursts(random, streak, gap=(6, 14), length=(1, 2), budget=12)

    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        answer: Response = HTMLResponse(_GATEWAY, 502)
        if random.random() < 0.5:  # noqa: PLR2004 - one half
            answer = Problem(503, "Service Unavailable").response()
        await answer(scope, receive, send)

    return _either(application, fail, lambda _: bursts.strikes())


def slow(application: ASGIApp, random: Random, streak: Streak) -> ASGIApp:
    """Let some requests wait a moment."""
    bursts = Bursts(random, streak, gap=(3, 8), length=(1, 2), budget=40)

    async def slowed(scope: Scope, receive: Receive, send: Send) -> None:
        if bursts.strikes():
            await asyncio.sleep(random.uniform(_SHORTEST, _LONGEST))
        await application(scope, receive, send)

    return slowed


def reset(application: ASGIApp, random: Random, streak: Streak) -> ASGIApp:
    """Close some connections: before the request is heard, after it, or in the answer's body."""
    bursts = Bursts(random, streak, gap=(8, 20), length=(1, 2), budget=12)

    async def hang_up(scope: Scope, receive: Receive, send: Send) -> None:
        transport: asyncio.Transport = scope["state"][HANG_UP]
        how = random.choice((_unheard, _lost, _torn))
        streak_so_far = streak.length
        await how(application, scope, receive, send)
        streak.length = streak_so_far
        # What was sent of a torn answer still goes out; a connection without any breaks.
        (transport.close if how is _torn else transport.abort)()
        while (await receive())["type"] != "http.disconnect":
            pass

    return _either(application, hang_up, lambda _: bursts.strikes())


async def _unheard(_: ASGIApp, __: Scope, ___: Receive, ____: Send) -> None:
    """Do nothing at all."""


async def _lost(application: ASGIApp, scope: Scope, receive: Receive, _: Send) -> None:
    """Do what is asked, and answer nothing."""

    async def drop(_: Message) -> None:
        pass

    await application(scope, receive, drop)


async def _torn(application: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Do what is asked, and send the answer's head and half of the first piece of its body."""
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

    await application(scope, receive, tear)


def before_reads(application: ASGIApp, action: Callable[[], None]) -> ASGIApp:
    """Do something before each time that users or jobs are read."""

    async def acting(scope: Scope, receive: Receive, send: Send) -> None:
        reads = scope["path"].startswith((f"{_API}users", f"{_API}jobs"))
        if reads and scope["method"] == "GET":
            await run_in_threadpool(action)
        await application(scope, receive, send)

    return acting


def busy_pictures(application: ASGIApp, random: Random, streak: Streak, status: int) -> ASGIApp:
    """Refuse bursts of requests for Gravatars; come back in a second, it says."""
    bursts = Bursts(random, streak, gap=(20, 60), length=(1, 3), budget=6)
    refusal = PlainTextResponse("Try again later", status, {"retry-after": "1"})
    return _for_pictures(application, refusal, lambda _: bursts.strikes())


def silent_pictures(application: ASGIApp, random: Random, streak: Streak) -> ASGIApp:
    """Never answer some requests for Gravatars."""
    bursts = Bursts(random, streak, gap=(15, 40), length=(1, 2), budget=8)

    async def silence(_: Scope, receive: Receive, __: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    return _for_pictures(application, silence, lambda _: bursts.strikes())


def lying_heads(application: ASGIApp, _: Random, __: Streak) -> ASGIApp:
    """Say that there is a picture, to whoever asks for a Gravatar with HEAD."""
    lie = Response(media_type="image/png")
    return _for_pictures(application, lie, lambda scope: scope["method"] == "HEAD")


def portal(application: ASGIApp, _: Random, __: Streak) -> ASGIApp:
    """Answer all requests for Gravatars with somebody else's page."""
    return _for_pictures(application, HTMLResponse(_PORTAL), lambda _: True)


def blind_pictures(application: ASGIApp, _: Random, __: Streak, after: int) -> ASGIApp:
    """Find no Gravatar any more, and no silhouette either, after some requests."""
    numbers = count(1)
    return _for_pictures(
        application, PlainTextResponse("404 Not Found", 404), lambda _: next(numbers) > after
    )


def _for_pictures(
    application: ASGIApp, other: ASGIApp, strikes: Callable[[Scope], bool]
) -> ASGIApp:
    """Answer some requests for Gravatars by another application."""
    return _either(
        application, other, lambda scope: scope["path"].startswith(_PICTURES) and strikes(scope)
    )


def _either(application: ASGIApp, other: ASGIApp, strikes: Callable[[Scope], bool]) -> ASGIApp:
    """Answer some requests by another application."""

    async def either(scope: Scope, receive: Receive, send: Send) -> None:
        await (other if strikes(scope) else application)(scope, receive, send)

    return either
