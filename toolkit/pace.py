"""As fast as the tenant allows, and no faster: one gate under every request.

Auth0 limits requests by token buckets and describes the bucket that it
consulted in every answer (`x-ratelimit-limit`, `-remaining`, `-reset`; Auth0
documentation, "Rate Limit Policy"). The gate keeps a mirror of each bucket: it
spends a burst at once, then sends at the rate at which the tenant is seen to
refill, and so seldom meets a 429. What others consume of the same bucket shows
in the same headers, and slows us down with it.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx

_TOO_MANY = 429
# A share of the burst is left to whoever else works with the tenant.
_RESERVE_SHARE = 0.1
_MAX_RESERVE = 5.0
# Over a shorter time the refill rate is not worth measuring: answers overtake each other.
_MEASURE_SECONDS = 1.0
_FIRST_REFILL = 1.0


@dataclass(slots=True)
class Bucket:
    """Our mirror of one of the tenant's token buckets.

    Attributes:
        level: requests that may go now, as far as we know; None before the first answer,
            and for as long as answers carry no rate-limit headers.
        refill: requests a second that the bucket regains, as measured.
        limit: requests that a full bucket holds.
    """

    level: float | None = None
    refill: float = _FIRST_REFILL
    limit: float = 0.0
    in_flight: int = 0
    answered: int = 0
    not_before: float = 0.0
    known: bool = False
    level_at: float = 0.0
    measured: bool = False
    anchor: tuple[float, float, int] | None = None  # time, remaining, answered then

    @property
    def reserve(self) -> float:
        """Requests that are left in the bucket for others."""
        return min(_MAX_RESERVE, self.limit * _RESERVE_SHARE)

    def delay(self, now: float) -> float:
        """Seconds until the next request may go; 0 if it may go now."""
        blocked = max(0.0, self.not_before - now)
        if self.level is None:
            return blocked
        self.level = min(self.limit, self.level + (now - self.level_at) * self.refill)
        self.level_at = now
        short = 1.0 + (self.reserve if self.limit > self.reserve + 1 else 0.0) - self.level
        return max(blocked, short / self.refill if short > 0 else 0.0)

    def sent(self) -> None:
        """Count a request that goes out now."""
        self.in_flight += 1
        if self.level is not None:
            self.level -= 1.0

    def learned(
        self, now: float, headers: httpx.Headers | None, *, refused: bool, wall: float
    ) -> None:
        """Take in an answer; `headers` is None where there was none, `wall` is UNIX seconds."""
        self.in_flight -= 1
        if headers is None:
            return
        self.known = True
        if not refused:
            self.answered += 1
        limit = _number(headers.get("x-ratelimit-limit"))
        remaining = _number(headers.get("x-ratelimit-remaining"))
        if refused:
            self._refused(now, headers)
        if limit is None or remaining is None or limit < 1:
            return
        self.limit = limit
        # What is in flight may or may not be in the tenant's count already: say it is not.
        self.level = remaining - self.in_flight - (1.0 if refused else 0.0)
        self.level_at = now
        reset = _number(headers.get("x-ratelimit-reset"))
        if not self.measured and reset is not None and limit > remaining:
            # What the tenant says itself, a second off at most: full again by then.
            self.refill = max(_FIRST_REFILL, (limit - remaining) / max(1.0, reset - wall + 1.0))
        self._measure(now, remaining)

    def _measure(self, now: float, remaining: float) -> None:
        if self.anchor is None:
            self.anchor = (now, remaining, self.answered)
            return
        then, before, answered = self.anchor
        if now - then < _MEASURE_SECONDS:
            return
        measured = (remaining - before + self.answered - answered) / (now - then)
        full = remaining >= self.limit - 1
        if measured > 0 and (not full or measured > self.refill):
            # A bucket that is full hides part of its refill: then the measure is a lower bound.
            self.refill = (self.refill + measured) / 2 if self.measured else measured
            self.measured = True
        self.anchor = (now, remaining, self.answered)

    def _refused(self, now: float, headers: httpx.Headers) -> None:
        if self.measured:
            self.refill = max(0.1, self.refill * 0.8)
        wait = _number(headers.get("retry-after"))
        if wait is None and "x-ratelimit-remaining" not in headers:
            wait = 1.0  # nothing to go by
        self.not_before = max(self.not_before, now + min(wait or 0.0, 60.0))
        self.anchor = None


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


class Pace(httpx.BaseTransport):
    """An httpx transport that lets each request through when its bucket allows it.

    One is shared by all threads. `requests` and `refused` count what was sent
    and what was answered 429.

    Args:
        transport: what really sends.
        ceiling: requests a second never to exceed, or None.
        clock: seconds, monotonic.
        wall: UNIX seconds, to read the tenant's headers by.
        sleep: waits that many seconds.
    """

    def __init__(
        self,
        transport: httpx.BaseTransport,
        *,
        ceiling: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._transport = transport
        self._ceiling = ceiling
        self._clock = clock
        self._wall = wall
        self._sleep = sleep
        self._buckets: dict[tuple[str, str], Bucket] = {}
        self._next = 0.0
        self._lock = threading.Lock()
        self._first_answer = threading.Condition(self._lock)
        self.requests = 0
        self.refused = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request when its time has come."""
        bucket = self._bucket(request)
        self._wait(bucket)
        headers, refused = None, False
        try:
            response = self._transport.handle_request(request)
            headers, refused = response.headers, response.status_code == _TOO_MANY
        finally:
            with self._lock:
                self.refused += refused
                now, wall = self._clock(), self._wall()
                bucket.learned(now, headers, refused=refused, wall=wall)
                self._join(bucket)
                self._first_answer.notify_all()
        return response

    def close(self) -> None:
        """Close what really sends."""
        self._transport.close()

    def _bucket(self, request: httpx.Request) -> Bucket:
        # Auth0 limits groups of endpoints: the method and the first part of the
        # path ("GET users", "PATCH users", "GET connections") tell them apart.
        path = request.url.path.removeprefix("/api/v2/")
        key = (request.method, path.split("/", 1)[0])
        with self._lock:
            return self._buckets.setdefault(key, Bucket())

    def _join(self, bucket: Bucket) -> None:
        """Make one of this bucket and another of the same size.

        Some plans have one bucket for all endpoints, others one for each group of them;
        those are of different sizes where this package sends to both.
        """
        if bucket.level is None:
            return
        for twin in self._buckets.values():
            if twin is not bucket and twin.level is not None and twin.limit == bucket.limit:
                twin.level = min(twin.level, bucket.level)
                self._buckets = {
                    key: twin if one is bucket else one for key, one in self._buckets.items()
                }
                return

    def _wait(self, bucket: Bucket) -> None:
        while True:
            with self._lock:
                # Nobody knows the limit before the first answer, and the smallest
                # plan allows two requests: the first one goes alone.
                while not bucket.known and bucket.in_flight:
                    self._first_answer.wait()
                now = self._clock()
                delay = max(bucket.delay(now), self._next - now)
                if delay <= 0:
                    bucket.sent()
                    self.requests += 1
                    if self._ceiling:
                        self._next = now + 1 / self._ceiling
                    return
            # Less than a millisecond may be too little to move the clock on.
            self._sleep(max(delay, 0.001))
