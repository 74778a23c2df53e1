"""Keep to the tenant's rate limit: every request waits here for its turn.

Auth0 limits requests by token buckets, and each answer describes the bucket that was asked:
`x-ratelimit-limit` (what it holds when full), `-remaining` (what it holds now) and `-reset`
(when it is full again, UNIX seconds; Auth0 documentation, "Rate Limit Policy"). How it works:

1. We keep a copy of each bucket, and every answer corrects it. Requests of other clients show in
   `remaining`, and slow us down, too.
2. A bucket refills at the rate that its headers name: (limit - remaining) / (reset - Date).
   `Date` is the tenant's own clock, so this machine's clock does not matter.
3. A request is sent when the copy holds one request more than a small part for other clients.
4. After a 429, no request uses that bucket for some time. The time doubles with each further 429,
   ends at the reset, and is at least `Retry-After` seconds.
5. No request waits longer than a minute, whatever the headers say; only `--rate` asks for more.
"""

import math
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import httpx

from toolkit.images.limited_stream import pause
from toolkit.tenant.clock import read_date
from toolkit.tenant.host_transport import Layer

LONGEST_WAIT = 60.0
"""Maximum seconds that a request waits for its turn."""

_TOO_MANY = 429
# This part of a bucket is left for other clients of the tenant, but not more requests than that.
_SHARE_OF_OTHERS, _MOST_FOR_OTHERS = 0.1, 5.0
# The largest bucket that Auth0 offers holds 5,000 requests ("Rate Limit Configurations").
_MAX_LIMIT = 100_000
# Auth0's limits are for a second or a minute; a longer time is a mistake.
_MAX_SECONDS = 3600.0
# `reset` and `Date` are whole seconds, and an answer may take a moment to arrive.
_SECOND, _LATE = 1.0, 5.0
# If no answer names a reset: requests a second at first, and the factors by which that is raised
# after each accepted request and lowered after each refused one.
_FIRST_REFILL, _FASTER, _SLOWER = 1.0, 1.1, 1.5
# After the first 429: seconds to wait at least, and how often that is doubled at most.
_FIRST_PAUSE, _MAX_DOUBLINGS = 0.25, 10
# After so many accepted requests whose answers say that nothing remains, with waits of more than
# `_SLOW` seconds, try twice the rate, until the waits are shorter. The second time gives a note.
_ZEROS, _SLOW, _NOTED_DOUBLING = 20, 1.0, 2
# A reserved turn that is not used for so many seconds is released: its thread has ended or failed.
_RESERVED_SECONDS = 30.0
# Seconds after which a thread that waits for others checks again.
_LOOK_AGAIN = 1.0

_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,15})?", re.ASCII)
_LIMIT, _REMAINING = "x-ratelimit-limit", "x-ratelimit-remaining"
_RESET, _AFTER = "x-ratelimit-reset", "retry-after"

Group = tuple[str, str]
"""Endpoints that share a rate limit: the method and the first part of the path."""
Turn = tuple[int, Group]
"""The turn of one thread's next request to a group of endpoints."""


class Told(NamedTuple):
    """What an answer says about its bucket; None where it says nothing possible."""

    limit: float | None  # requests that the full bucket holds
    remaining: float | None
    full_in: float | None  # seconds
    wait: float | None  # seconds, from `Retry-After`
    impossible: tuple[str, ...]  # headers that were ignored


def read_headers(headers: httpx.Headers, now: float) -> Told:
    """Read what an answer says about its bucket; `now` is the tenant's time, in UNIX seconds."""
    impossible: list[str] = []

    def number(name: str, least: float, most: float) -> float | None:
        text = headers.get(name, "").strip()
        if _NUMBER.fullmatch(text) and least <= float(text) <= most:
            return float(text)
        if name in headers:
            impossible.append(name)
        return None

    limit = number(_LIMIT, 1, _MAX_LIMIT)
    remaining = number(_REMAINING, 0, limit or _MAX_LIMIT)
    reset = number(_RESET, now - _LATE, now + _MAX_SECONDS)
    wait = number(_AFTER, 0, _MAX_SECONDS)
    if limit is None or remaining is None:
        limit = remaining = None
    full_in = None if reset is None else max(0.0, reset - now)
    return Told(limit, remaining, full_in, wait, tuple(impossible))


@dataclass(slots=True)
class Bucket:
    """Our copy of one of the tenant's token buckets."""

    level: float | None = None  # requests that may be sent now; None until an answer tells
    refill: float = 0.0  # requests a second that it regains
    limit: float = 0.0  # requests that it holds when full
    in_flight: int = 0  # requests that were not answered yet
    known: bool = False  # whether a request to it has ended, with or without success
    level_at: float = 0.0  # when `level` was right
    not_before: float = 0.0  # after a 429 or `Retry-After`: when the next request may be sent
    reserved: int = 0  # turns that are reserved for later requests of a thread
    _newest: float = 0.0  # when the newest request that was answered was sent
    _refusals: int = 0  # 429s in a row; those of the same time count once
    _refused_at: float | None = None
    _zeros: int = 0  # accepted requests in a row whose answers say that nothing remains
    _most_zeros: int = _ZEROS
    _doublings: int = 0  # how often the rate was doubled because of them

    @property
    def _for_others(self) -> float:
        """Requests that are left in the bucket for other clients."""
        left = min(_MOST_FOR_OTHERS, self.limit * _SHARE_OF_OTHERS)
        return left if self.limit > left + 1 else 0.0

    @property
    def _most(self) -> float:
        # Reserved turns count as sent.
        return max(1.0, self.limit - self.reserved)

    @property
    def can_reserve(self) -> bool:
        """Whether one more turn may be reserved and requests to read are still left."""
        if not self.known or self.level is not None:
            return not self.reserved or (self.known and self.reserved + 1 < self.limit)
        return True  # no limit is known

    @property
    def _rate(self) -> float:
        return self.refill * float(1 << self._doublings)

    def delay(self, now: float) -> float:
        """Seconds until the next request may be sent; 0 if at once."""
        wait = 0.0
        if self.level is not None:
            self._add((now - self.level_at) * self._rate)
            self.level_at = now
            wait = (min(1.0 + self._for_others, self._most) - self.level) / self._rate
        return min(LONGEST_WAIT, max(0.0, wait, self.not_before - now))

    def take(self) -> None:
        """Count a request that is sent now."""
        self._add(-1.0)

    def release(self) -> None:
        """Release a reserved turn that is not used."""
        self.reserved -= 1
        self._add(1.0)

    def learn(self, now: float, told: Told, *, refused: bool, sent_at: float) -> tuple[str, ...]:
        """Update the bucket from the answer to a request; return the headers to ignore."""
        self._learn_level(now, told, sent_at, granted=not refused)
        if refused:
            self._learn_refusal(now, told, sent_at)
            return told.impossible
        if told.wait is not None:
            self.not_before = max(self.not_before, now + told.wait)
        if self._refused_at is None or sent_at > self._refused_at:
            self._refusals = 0
        if told.remaining != 0:
            self._zeros = self._doublings = 0
        elif self._rate < (1.0 + self._for_others) / _SLOW:
            self._zeros += 1
            if self._zeros >= self._most_zeros:
                self._zeros, self._doublings = 0, self._doublings + 1
                if self._doublings == _NOTED_DOUBLING:
                    return (*told.impossible, _REMAINING)
        return told.impossible

    def _add(self, requests: float) -> None:
        if self.level is not None:
            self.level = min(self._most, self.level + requests)

    def _learn_level(self, now: float, told: Told, sent_at: float, *, granted: bool) -> None:
        if told.limit is None or told.remaining is None:
            return
        if told.limit != self.limit:
            self.limit, self.refill = told.limit, 0.0
        # Assume that the tenant has not yet counted the requests under way.
        level = told.remaining - self.in_flight - self.reserved
        self._add((now - self.level_at) * self._rate)
        # Answers may arrive out of order: an older one may count fewer requests.
        if self.level is None or sent_at >= self._newest or level < self.level:
            self.level = level
        self.level_at, self._newest = now, max(sent_at, self._newest)
        if told.full_in is not None and told.limit > told.remaining:
            # Both times are whole seconds, so this is rarely too high: use the highest.
            named = (told.limit - told.remaining) / max(_SECOND, told.full_in)
            self.refill = max(self.refill, named)
        elif told.full_in is None and granted:
            self.refill = min(told.limit, self.refill * _FASTER)
        self.refill = self.refill or _FIRST_REFILL

    def _learn_refusal(self, now: float, told: Told, sent_at: float) -> None:
        if self._refused_at is None or sent_at > self._refused_at:
            self._refusals = min(self._refusals + 1, _MAX_DOUBLINGS)
            self._refused_at = now
            if self._doublings:
                self._most_zeros *= 2
        self._zeros = self._doublings = 0
        if told.full_in is None:
            self.refill = max(self.refill / _SLOWER, _FIRST_REFILL)
        first = _SECOND if self.level is None else (1.0 + self._for_others) / self._rate
        wait = max(first, _FIRST_PAUSE) * 2 ** (self._refusals - 1)
        if told.full_in is not None:
            wait = min(wait, max(told.full_in, _SECOND))
        wait = max(wait, told.wait or 0.0)
        self.not_before = max(self.not_before, now + min(wait, LONGEST_WAIT))


class RateLimit(Layer):
    """An httpx transport that sends each request when its bucket allows it, for all threads.

    It counts its requests and the refused ones (429). `ceiling` is requests a second at most,
    `clock` is monotonic, `wall` are UNIX seconds for answers without a `Date`.
    """

    def __init__(
        self,
        inner: httpx.BaseTransport,
        *,
        ceiling: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = pause,
    ) -> None:
        super().__init__(inner)
        self._ceiling = ceiling
        self._clock = clock
        self._wall = wall
        self._sleep = sleep
        self._buckets: dict[Group, Bucket] = {}
        self._by_limit: dict[float, Bucket] = {}
        self._turns: dict[Turn, tuple[Bucket, float]] = {}  # reserved: bucket and time
        self._ignored: dict[str, None] = {}  # headers, in order
        self._ahead = -math.inf  # the tenant's clock minus ours
        self._next = 0.0
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self.requests = 0
        self.refused = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """One note for each header that was ignored."""
        with self._lock:
            return tuple(
                f"the tenant's header {name} had an impossible value and was ignored"
                for name in self._ignored
            )

    def limit_of(self, method: str, path: str) -> float | None:
        """Return how many requests the full bucket of an endpoint holds; None if nothing told."""
        with self._lock:
            bucket = self._buckets.get(_group(method, path))
            return (bucket.limit or None) if bucket else None

    def wait_for_turn(self, method: str, path: str) -> None:
        """Wait until a request may be sent at once, and reserve its turn for this thread.

        The thread's next request to the same group of endpoints then needs no waiting. A turn that
        is not used within half a minute is released.
        """
        self._wait(_group(method, path), reserve=True)

    def give_up_turns(self) -> None:
        """Release the turns of this thread; otherwise others would wait for half a minute."""
        with self._lock:
            for turn in [turn for turn in self._turns if turn[0] == threading.get_ident()]:
                self._turns.pop(turn)[0].release()
            self._changed.notify_all()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request when its turn has come."""
        group = _group(request.method, request.url.path)
        bucket, sent_at = self._wait(group)
        response: httpx.Response | None = None
        try:
            response = self._transport.handle_request(request)
        finally:
            with self._lock:
                bucket.in_flight -= 1
                bucket.known = True
                if response is not None:
                    self._learn(group, bucket, response, sent_at)
                self._changed.notify_all()
        return response

    def _tenant_time(self, headers: httpx.Headers) -> float:
        """Return UNIX seconds by the tenant's clock, as exactly as known."""
        date = read_date(headers.get("date", ""))
        if date is None:
            return self._wall()
        now, seconds = self._clock(), date.timestamp()
        # `Date` has no fractions of seconds: the largest difference is the most exact.
        self._ahead = max(self._ahead, seconds - now)
        return min(now + self._ahead, seconds + _SECOND)

    def _learn(
        self, group: Group, bucket: Bucket, response: httpx.Response, sent_at: float
    ) -> None:
        told = read_headers(response.headers, self._tenant_time(response.headers))
        if told.limit is not None:
            # Some plans have one bucket for all endpoints, others one for each group. In those, the
            # groups that this package uses have different sizes, so buckets of the same size are
            # the same bucket.
            bucket = self._by_limit.setdefault(
                told.limit, bucket if bucket.level is None else Bucket(known=True)
            )
            self._buckets[group] = bucket
        refused = response.status_code == _TOO_MANY
        self.refused += refused
        ignored = bucket.learn(self._clock(), told, refused=refused, sent_at=sent_at)
        self._ignored |= dict.fromkeys(ignored)

    def _wait(self, group: Group, *, reserve: bool = False) -> tuple[Bucket, float]:
        """Wait for a turn; return its bucket and the time."""
        turn = (threading.get_ident(), group)
        asked = self._clock()
        while True:
            with self._lock:
                now = self._clock()
                self._release_unused(now)
                if turn in self._turns:
                    bucket, _ = self._turns[turn]
                    if not reserve:
                        del self._turns[turn]
                        bucket.reserved -= 1
                        self._changed.notify_all()
                        self._count(bucket)
                    return bucket, now
                bucket = self._buckets.setdefault(group, Bucket())
                left = LONGEST_WAIT - (now - asked)
                # The limit is not known before the first answer, and the smallest plan allows two
                # requests: send the first one alone.
                is_first = not bucket.known and bucket.in_flight
                if left > 0 and (is_first or (reserve and not self._can_reserve(bucket))):
                    self._changed.wait(min(left, _LOOK_AGAIN))
                    continue
                delay = max(min(bucket.delay(now), left), self._next - now)
                if delay <= 0:
                    bucket.take()
                    if self._ceiling:
                        self._next = now + 1 / self._ceiling
                    if reserve:
                        bucket.reserved += 1
                        self._turns[turn] = bucket, now
                    else:
                        self._count(bucket)
                    return bucket, now
            # A shorter sleep may end before the clock changes.
            self._sleep(max(delay, 0.001))

    def _can_reserve(self, bucket: Bucket) -> bool:
        # A read and a write of one thread fill the smallest bucket: no other thread gets between.
        own = threading.get_ident()
        more = any(turn[0] == own and held is bucket for turn, (held, _) in self._turns.items())
        return bucket.can_reserve or (more and bucket.reserved < bucket.limit)

    def _release_unused(self, now: float) -> None:
        for turn, (bucket, at) in list(self._turns.items()):
            if now - at >= _RESERVED_SECONDS:
                del self._turns[turn]
                bucket.release()

    def _count(self, bucket: Bucket) -> None:
        bucket.in_flight += 1
        self.requests += 1


def _group(method: str, path: str) -> Group:
    return method, path.removeprefix("/").removeprefix("api/v2/").split("/", 1)[0]
