"""One picture host, asked politely: paced, patiently, and without a trace of who asks.

All requests, retries too, pass one gate that lets them through one by one at a steady
rate. When the host refuses (429, 503), everybody waits, not only the one refused.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib.metadata import version
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import httpx
import stamina
from aiolimiter import AsyncLimiter

from toolkit.images.decode import kind_of
from toolkit.tenant import http_transport

LONGEST_WAIT = 60.0
"""Seconds: a host that wants to be left alone for longer is asked again after these."""

_DISTRIBUTION = "auth0-picture-audit"
_TRIES = 4
_FIRST_WAIT, _LONGEST_BACKOFF = 0.25, 5.0
_WAIT_UNTOLD = 2.0  # seconds, where a refusal does not say for how long
_FAILURES = 10
_CONCURRENCY = 16
_ENOUGH = 64 * 1024  # bytes of a body that are read at most
# A timer wakes late by a moment. The gate may make up for so much of it, in requests: for
# 10 ms, and a quarter of a request at slow rates. Over time the rate is never exceeded.
_LATENESS, _LEAST_CREDIT = 0.01, 0.25
_KINDS = frozenset({"png", "jpeg", "gif", "webp"})  # what Gravatar serves
_REFUSALS = frozenset({429, 503})
_BROKEN = 500

# stamina announces each retry as a warning, which would tear the progress line.
logging.getLogger("stamina").setLevel(logging.ERROR)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a host said.

    Attributes:
        status: the HTTP status.
        is_image: whether it is an image: by its content type, and by its first bytes
            where it came with any (GET).
    """

    status: int
    is_image: bool


class _Failure(Exception):  # noqa: N818 - it never leaves this module
    """One try that brought no answer; `wait` is how long the host wants to be left alone."""

    def __init__(self, wait: float | None = None) -> None:
        super().__init__()
        self.wait = wait


class Host:
    """A host that serves Gravatars; an async context manager.

    Args:
        base_url: As in `https://gravatar.com`.
        rate: Requests a second, at most, whatever they are for.
        patience: Seconds that one answer may take.
        transport: What carries the requests; the system's proxy by default.

    Attributes:
        has_answered: whether anything ever came back.
        patience: as given.
        paused: called with the seconds that the host wants to be left alone.
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
            transport=transport
            or http_transport.async_transport(urlsplit(base_url).hostname or ""),
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
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._client.__aexit__(kind, error, traceback)

    @property
    def is_given_up(self) -> bool:
        """Whether so many tries in a row failed that nothing is sent any more."""
        return self._failures >= _FAILURES

    def hope_again(self) -> None:
        """Send again, after it was given up."""
        self._failures = 0

    async def reply(self, method: str, digest: str, *, default: str, rating: str) -> Reply | None:
        """Ask for the avatar of a hash, as small as it comes; again where there is no answer.

        A network error, a silence longer than `patience`, 429 and 5xx are no answer. The
        host is asked up to 4 times. `Retry-After` is honoured up to `LONGEST_WAIT`.

        Args:
            method: HEAD or GET.
            digest: The hash.
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
        """Let nobody ask for some seconds."""
        end = _now() + wait
        if end > self._resume_at:
            self._resume_at = end
            self.paused(wait)

    async def _turn(self) -> None:
        """Wait until one more request may go."""
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
        try:
            moment = parsedate_to_datetime(told)
        except ValueError:
            return _WAIT_UNTOLD
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        seconds = (aware - datetime.now(UTC)).total_seconds()
    # "nan" is a float, and smaller than nothing.
    return min(max(seconds, 0.0), LONGEST_WAIT) if seconds == seconds else _WAIT_UNTOLD  # noqa: PLR0124 - only nan differs from itself


async def _body(response: httpx.Response) -> bytes:
    """Return the body; its beginning, where it is longer than any picture of one pixel."""
    body = b""
    async for piece in response.aiter_raw():
        body += piece
        if len(body) >= _ENOUGH:
            break
    return body
