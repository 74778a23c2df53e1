"""Keep to the tenant's rate limit: every request waits here for its turn.

Auth0 limits requests by token buckets, and each answer describes the bucket that was asked:
`x-ratelimit-limit` (what it holds when full), `-remaining` (what it holds now) and `-reset`
(when it is full again, UNIX seconds; Auth0 documentation, "Rate Limit Policy"). How it works:

1. We keep a copy of each bucket, and every answer corrects it. Requests of other clients show in
   `remaining`, and slow us down, too.
2. A bucket refills at the rate that its headers name: (limit - remaining) / (reset - Date).
   `Date` is the tenant's own clock, so this machine's clock does not matter.
3. A request is sent when the copy holds one request more than a small reserve for other clients.
   Otherwise it waits until the copy has refilled, at most until the reset.
4. After a 429, no request uses that bucket for some time. The time doubles with each further 429,
   ends at the reset, and is at least `Retry-After` seconds.
5. No request waits longer than a minute, whatever the headers say; only `--rate` asks for more.
   Impossible headers are ignored, and `notes` says so, once for each kind.
"""

import math
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

import httpx

from toolkit.tenant.http_transport import pause

LONGEST_WAIT = 60.0
"""Maximum seconds that a request waits for its turn."""

_TOO_MANY, _UNAVAILABLE = 429, 503
# A part of the bucket is left for other clients of the tenant.
_RESERVE_SHARE = 0.1
_MAX_RESERVE = 5.0
# The largest bucket that Auth0 offers holds 5,000 requests ("Rate Limit Configurations").
_MAX_LIMIT = 100_000
# Auth0's limits are for a second or a minute; a longer time is a mistake.
_MAX_SECONDS = 3600.0
# `reset` and `Date` are whole seconds, and an answer may take a moment to arrive.
_SECOND, _LATE = 1.0, 5.0
_FIRST_REFILL, _FASTER, _SLOWER = 1.0, 1.1, 1.5
_FIRST_PAUSE, _MAX_DOUBLINGS = 0.25, 10
# After so many accepted requests whose answers say that nothing remains, with waits of more than a
# second, try twice the rate, until the waits are shorter.
_ZEROS, _SLOW = 20, 1.0
_DOUBTED = 2
# A turn that is not used for this long is released: its thread has ended or failed.
_KEPT_SECONDS = 30.0
_LOOK_AGAIN = 1.0

_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,15})?", re.ASCII)
_LIMIT, _REMAINING, _RESET, _AFTER = (
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "retry-after",
)

Group = tuple[str, str]
"""Endpoints that share a rate limit: the method and the first part of the path."""
Turn = tuple[int, Group]
"""The turn of one thread's next request to a group of endpoints."""


@dataclass(frozen=True, slots=True)
class Told:
    """What an answer says about its bucket; None where it says nothing possible.

    Attributes:
        limit: size of the full bucket, in requests.
        remaining: requests that are left now.
        full_in: seconds until it is full.
        wait: seconds to wait before the next request (`Retry-After`).
        doubtful: headers that were ignored, because they are impossible.
    """

    limit: float | None = None
    remaining: float | None = None
    full_in: float | None = None
    wait: float | None = None
    doubtful: tuple[str, ...] = ()


def read_headers(headers: httpx.Headers, now: float) -> Told:
    """Read what an answer says about its bucket.

    Args:
        headers: the answer's.
        now: UNIX seconds, by the tenant's clock.
    """
    values = {name: _number(headers.get(name)) for name in (_LIMIT, _REMAINING, _RESET, _AFTER)}
    limit, remaining, reset, wait = values.values()
    true = {
        _LIMIT: limit is not None and 1 <= limit <= _MAX_LIMIT,
        _REMAINING: remaining is not None and remaining <= (limit or _MAX_LIMIT),
        _AFTER: wait is not None and wait <= _MAX_SECONDS,
    }
    full_in = None if reset is None else reset - now
    true[_RESET] = full_in is not None and -_LATE <= full_in <= _MAX_SECONDS
    told = true[_LIMIT] and true[_REMAINING]
    return Told(
        limit if told else None,
        remaining if told else None,
        max(0.0, full_in) if true[_RESET] and full_in is not None else None,
        wait if true[_AFTER] else None,
        tuple(name for name in values if name in headers and not true[name]),
    )


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and _NUMBER.fullmatch(text.strip()) else None


def _date(headers: httpx.Headers) -> float | None:
    """Return the tenant's clock in UNIX seconds, if the answer contains it."""
    with suppress(ValueError, TypeError, IndexError, OverflowError):
        told = parsedate_to_datetime(headers.get("date", ""))
        return (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()
    return None


@dataclass(slots=True)
class Bucket:
    """Our copy of one of the tenant's token buckets.

    Attributes:
        level: requests that may be sent now, as far as we know; None until an answer has rate-limit
            headers.
        refill: requests a second that the bucket regains.
        limit: requests that a full bucket holds.
        known: whether a request to it has ended, with or without success.
        kept: turns that are reserved for later requests of a thread.
    """

    level: float | None = None
    refill: float = 0.0
    limit: float = 0.0
    in_flight: int = 0
    known: bool = False
    level_at: float = 0.0
    not_before: float = 0.0
    kept: int = 0
    _newest: float = 0.0  # when the newest request that was answered was sent
    _refusals: int = 0
    _refused_at: float | None = None
    _zeros: int = 0
    _most_zeros: int = _ZEROS
    _doubt: int = 0

    @property
    def reserve(self) -> float:
        """Requests that are left in the bucket for other clients."""
        reserve = min(_MAX_RESERVE, self.limit * _RESERVE_SHARE)
        return reserve if self.limit > reserve + 1 else 0.0

    @property
    def _most(self) -> float:
        # Reserved turns count as sent.
        return max(1.0, self.limit - self.kept)

    @property
    def may_keep(self) -> bool:
        """Whether one more turn may be reserved and requests to read are still left."""
        if not self.known or self.level is not None:
            return not self.kept or (self.known and self.kept + 1 < self.limit)
        return True  # no limit is known

    @property
    def _rate(self) -> float:
        return self.refill * float(1 << self._doubt)

    def delay(self, now: float) -> float:
        """Seconds until the next request may be sent; 0 if at once."""
        wait = 0.0
        if self.level is not None:
            self._add((now - self.level_at) * self._rate)
            self.level_at = now
            wait = (min(1.0 + self.reserve, self._most) - self.level) / self._rate
        return min(LONGEST_WAIT, max(0.0, wait, self.not_before - now))

    def take(self) -> None:
        """Count a request that is sent now."""
        self._add(-1.0)

    def give_back(self) -> None:
        """Release a reserved turn that is not used."""
        self.kept -= 1
        self._add(1.0)

    def learn(self, now: float, told: Told, *, refused: bool, sent_at: float) -> str | None:
        """Update the bucket from the answer to a request.

        Returns:
            A note, or None.
        """
        self._learn_level(now, told, sent_at, granted=not refused)
        if refused:
            self._learn_refusal(now, told, sent_at)
            return None
        if told.wait is not None:
            self.not_before = max(self.not_before, now + told.wait)
        if self._refused_at is None or sent_at > self._refused_at:
            self._refusals = 0
        if told.remaining == 0:
            return self._learn_doubt()
        self._trust()
        return None

    def _add(self, requests: float) -> None:
        if self.level is not None:
            self.level = min(self._most, self.level + requests)

    def _learn_level(self, now: float, told: Told, sent_at: float, *, granted: bool) -> None:
        if told.limit is None or told.remaining is None:
            return
        if told.limit != self.limit:
            self.limit, self.refill = told.limit, 0.0
        # Assume that the tenant has not yet counted the requests under way.
        level = told.remaining - self.in_flight - self.kept
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
            # The refill rate is not known: raise it until a request is refused.
            self.refill = min(told.limit, self.refill * _FASTER)
        self.refill = self.refill or _FIRST_REFILL

    def _learn_refusal(self, now: float, told: Told, sent_at: float) -> None:
        if self._refused_at is None or sent_at > self._refused_at:
            # Several requests that are refused at the same time count as one refusal.
            self._refusals = min(self._refusals + 1, _MAX_DOUBLINGS)
            self._refused_at = now
            if self._doubt:
                self._most_zeros *= 2
        self._trust()
        if told.full_in is None:
            self.refill = max(self.refill / _SLOWER, _FIRST_REFILL)
        first = _SECOND if self.level is None else (1.0 + self.reserve) / self._rate
        wait = max(first, _FIRST_PAUSE) * 2 ** (self._refusals - 1)
        if told.full_in is not None:
            wait = min(wait, max(told.full_in, _SECOND))
        wait = max(wait, told.wait or 0.0)
        self.not_before = max(self.not_before, now + min(wait, LONGEST_WAIT))

    def _learn_doubt(self) -> str | None:
        """Try a higher rate if answers always say 0 remaining but are never refused."""
        if self._rate >= (1.0 + self.reserve) / _SLOW:
            return None
        self._zeros += 1
        if self._zeros < self._most_zeros:
            return None
        self._zeros, self._doubt = 0, self._doubt + 1
        return _REMAINING if self._doubt == _DOUBTED else None

    def _trust(self) -> None:
        self._zeros = self._doubt = 0


class RateLimit(httpx.BaseTransport):
    """An httpx transport that sends each request when its bucket allows it.

    All threads share one.

    Attributes:
        requests: number of requests sent.
        refused: how many of them got a 429.

    Args:
        transport: the transport that sends.
        ceiling: requests a second never to exceed, or None.
        clock: seconds, monotonic.
        wall: UNIX seconds, for answers that do not tell the tenant's clock.
        sleep: waits that many seconds.
    """

    def __init__(
        self,
        transport: httpx.BaseTransport,
        *,
        ceiling: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = pause,
    ) -> None:
        self._transport = transport
        self._ceiling = ceiling
        self._clock = clock
        self._wall = wall
        self._sleep = sleep
        self._buckets: dict[Group, Bucket] = {}
        self._by_limit: dict[float, Bucket] = {}
        self._turns: dict[Turn, tuple[Bucket, float]] = {}  # reserved turns: bucket and time
        self._doubtful: list[str] = []
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
                for name in self._doubtful
            )

    def wait_for_turn(self, method: str, path: str) -> None:
        """Wait until a request may be sent at once, and reserve its turn for this thread.

        The thread's next request to the same group of endpoints then needs no waiting, so data that
        was read in between is only one round trip old. A turn that is not used within half a minute
        is released.

        Args:
            method: the request's HTTP method.
            path: its path, such as `/api/v2/users/auth0|1`.
        """
        self._wait(_group(method, path), keep=True)

    def give_up_turns(self) -> None:
        """Release the turns that are reserved for this thread.

        Otherwise other threads would wait for half a minute.
        """
        with self._lock:
            for turn in [turn for turn in self._turns if turn[0] == threading.get_ident()]:
                self._turns.pop(turn)[0].give_back()
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

    def close(self) -> None:
        """Close the inner transport."""
        self._transport.close()

    def _tenant_time(self, headers: httpx.Headers) -> float:
        """Return UNIX seconds by the tenant's clock, as exactly as known."""
        date, now = _date(headers), self._clock()
        if date is None:
            return self._wall()
        # `Date` has no fractions of seconds: the largest difference is the most exact.
        self._ahead = max(self._ahead, date - now)
        return min(now + self._ahead, date + _SECOND)

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
        doubted = bucket.learn(self._clock(), told, refused=refused, sent_at=sent_at)
        for name in (*told.doubtful, *([doubted] if doubted else [])):
            if name not in self._doubtful:
                self._doubtful.append(name)

    def _wait(self, group: Group, *, keep: bool = False) -> tuple[Bucket, float]:
        """Wait for a turn; return its bucket and the time."""
        turn = (threading.get_ident(), group)
        asked = self._clock()
        while True:
            with self._lock:
                now = self._clock()
                self._give_back_turns(now)
                if turn in self._turns:
                    bucket, _ = self._turns[turn]
                    if not keep:
                        del self._turns[turn]
                        bucket.kept -= 1
                        self._changed.notify_all()
                        self._count(bucket)
                    return bucket, now
                bucket = self._buckets.setdefault(group, Bucket())
                left = LONGEST_WAIT - (now - asked)
                # The limit is not known before the first answer, and the smallest plan allows two
                # requests: send the first one alone.
                is_first = not bucket.known and bucket.in_flight
                if left > 0 and (is_first or (keep and not bucket.may_keep)):
                    self._changed.wait(min(left, _LOOK_AGAIN))
                    continue
                delay = max(min(bucket.delay(now), left), self._next - now)
                if delay <= 0:
                    bucket.take()
                    if self._ceiling:
                        self._next = now + 1 / self._ceiling
                    if keep:
                        bucket.kept += 1
                        self._turns[turn] = bucket, now
                    else:
                        self._count(bucket)
                    return bucket, now
            # A shorter sleep may end before the clock changes.
            self._sleep(max(delay, 0.001))

    def _give_back_turns(self, now: float) -> None:
        for turn, (bucket, at) in list(self._turns.items()):
            if now - at >= _KEPT_SECONDS:
                del self._turns[turn]
                bucket.give_back()

    def _count(self, bucket: Bucket) -> None:
        bucket.in_flight += 1
        self.requests += 1


def _group(method: str, path: str) -> Group:
    return method, path.removeprefix("/").removeprefix("api/v2/").split("/", 1)[0]
