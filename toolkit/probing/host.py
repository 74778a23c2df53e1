"""One host of Gravatars, asked at a limited rate and without personal data.

All requests, retries too, wait for their turn at a steady rate. When the host refuses (429, 503),
all requests wait, not only the refused one.
"""

import asyncio
import logging
import math
from collections.abc import Callable
from datetime import UTC, datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib.metadata import version
from typing import NamedTuple, Self
from urllib.parse import urlsplit

import httpx
import stamina
from aiolimiter import AsyncLimiter

from toolkit.images.decode import kind_of
from toolkit.tenant.clock import read_date
from toolkit.tenant.http_transport import async_transport

LONGEST_WAIT = 60.0
"""Maximum seconds to wait after a refusal, whatever `Retry-After` says."""

_DISTRIBUTION = "auth0-picture-audit"
_TRIES = 4  # of one request
_FIRST_WAIT, _LONGEST_BACKOFF = 0.25, 5.0  # seconds between them
_WAIT_UNTOLD = 2.0  # seconds, where a refusal does not say for how long
_FAILURES = 10  # tries in a row, after which nothing is sent any more
_CONCURRENCY = 16
_ENOUGH = 64 * 1024  # bytes of a body that are read at most
# A timer wakes late by a moment. The limiter may make up for so much of it: for 10 ms, or for a
# quarter of a request at slow rates. Over time the rate is never exceeded.
_LATENESS, _LEAST_CREDIT = 0.01, 0.25
_KINDS = frozenset({"png", "jpeg", "gif", "webp"})  # what Gravatar serves
_REFUSALS = frozenset({429, 503})
_BROKEN = 500

# stamina announces each retry as a warning, which would tear the progress line.
logging.getLogger("stamina").setLevel(logging.ERROR)


class Reply(NamedTuple):
    """An answer: its HTTP status, and whether it is an image.

    That is so by its content type, and by its first bytes if it has any (GET).
    """

    status: int
    is_image: bool


class _Failure(Exception):  # noqa: N818 - it never leaves this module
    """One try that brought no answer; `wait` is the `Retry-After`, in seconds."""

    def __init__(self, wait: float | None = None) -> None:
        super().__init__()
        self.wait = wait


class Host:
    """A host that serves Gravatars; an async context manager.

    Args:
        base_url: as in `https://gravatar.com`.
        rate: requests a second at most, retries included.
        patience: seconds that one answer may take.
        transport: sends the requests; through the system's proxy by default.

    Attributes:
        has_answered: whether there was any answer.
        patience: as given.
        paused: called with the seconds to wait after a refusal.
    """

    def __init__(
        self,
        base_url: str,
        *,
        rate: float,
        patience: float,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.has_answered = False
        self.patience = patience
        self.paused: Callable[[float], None] = lambda _: None
        self._failures = 0
        self._resume_at = 0.0
        burst = 1 + max(_LEAST_CREDIT, rate * _LATENESS)
        self._limiter = AsyncLimiter(burst, burst / rate)
        self._gate = asyncio.Lock()
        self._slots = asyncio.Semaphore(_CONCURRENCY)
        self._client = httpx.AsyncClient(
            base_url=base_url,
            transport=transport or async_transport(urlsplit(base_url).hostname or ""),
            headers={
                "User-Agent": f"{_DISTRIBUTION}/{version(_DISTRIBUTION)}",
                "Accept": "image/*",
                # What is compressed does not show its first bytes.
                "Accept-Encoding": "identity",
            },
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            timeout=patience,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    @property
    def is_given_up(self) -> bool:
        """Whether too many tries in a row failed: nothing is sent any more."""
        return self._failures >= _FAILURES

    def hope_again(self) -> None:
        """Send again, after it was given up."""
        self._failures = 0

    async def reply(self, method: str, digest: str, *, default: str, rating: str) -> Reply | None:
        """Ask for the avatar of a hash, as small as possible.

        A network error, a silence longer than `patience`, 429 and 5xx are no answer. The
        host is asked up to 4 times. `Retry-After` is honoured up to `LONGEST_WAIT`.

        Args:
            method: HEAD or GET.
            digest: the hash.
            default: `d=`, what to show where there is no avatar.
            rating: `r=`, the highest rating to show.

        Returns:
            The reply, or None if there was none.
        """
        asked = {"d": default, "s": "1", "r": rating}
        try:
            async for attempt in stamina.retry_context(
                on=self._retry,
                attempts=_TRIES,
                timeout=None,
                wait_initial=_FIRST_WAIT,
                wait_jitter=_FIRST_WAIT,
                wait_max=_LONGEST_BACKOFF,
            ):
                with attempt:
                    return await self._try(method, f"/avatar/{digest}", asked)
        except _Failure:
            return None
        raise AssertionError("the last try returns or raises")

    def _retry(self, error: Exception) -> bool | float:
        """Tell stamina whether to try again, or after how many seconds."""
        if not isinstance(error, _Failure) or self.is_given_up:
            return False
        return True if error.wait is None else error.wait

    async def _try(self, method: str, path: str, asked: dict[str, str]) -> Reply:
        async with self._slots:
            await self._turn()
            if self.is_given_up:
                raise _Failure
            try:
                reply = await self._send(method, path, asked)
            except (httpx.TransportError, TimeoutError):
                self._failures += 1
                raise _Failure from None
            except _Failure:
                self._failures += 1
                raise
        self._failures = 0
        return reply

    async def _send(self, method: str, path: str, asked: dict[str, str]) -> Reply:
        async with (
            asyncio.timeout(self.patience),
            self._client.stream(method, path, params=asked) as response,
        ):
            self.has_answered = True
            status = response.status_code
            if status in _REFUSALS:
                wait = _wait(response.headers.get("retry-after", ""))
                self._pause(wait)
                raise _Failure(wait)
            if status >= _BROKEN:
                raise _Failure
            is_image = response.headers.get("content-type", "").lower().startswith("image/")
            if method == "GET":
                is_image = kind_of(await _body(response)) in _KINDS and is_image
            return Reply(status, is_image)

    def _pause(self, wait: float) -> None:
        """Send nothing for some seconds."""
        end = _now() + wait
        if end > self._resume_at:
            self._resume_at = end
            self.paused(wait)

    async def _turn(self) -> None:
        """Wait until one more request may be sent."""
        async with self._gate:
            await self._limiter.acquire()
            while not self.is_given_up and (wait := self._resume_at - _now()) > 0:
                await asyncio.sleep(wait)
                # A turn from before the pause would let two go at once after it.
                await self._limiter.acquire()


def _now() -> float:
    return asyncio.get_running_loop().time()


def _wait(told: str) -> float:
    """Return the seconds that a `Retry-After` asks for (RFC 9110: seconds, or a date)."""
    try:
        seconds = float(told)
    except ValueError:
        moment = read_date(told)
        seconds = (moment - datetime.now(UTC)).total_seconds() if moment else math.nan
    return _WAIT_UNTOLD if math.isnan(seconds) else min(max(seconds, 0.0), LONGEST_WAIT)


async def _body(response: httpx.Response) -> bytes:
    """Return the body, or its beginning if it is too long for a picture of one pixel."""
    body = b""
    async for piece in response.aiter_raw():
        body += piece
        if len(body) >= _ENOUGH:
            break
    return body
