"""The tenant's time, from the `Date` header of its answers."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import httpx

# Auth0 was founded in 2013. A Date outside these years is not the time.
_FIRST_YEAR, _LAST_YEAR = 2010, 2200
# An answer may take a minute to arrive; a larger difference gets a note.
_WORTH_SAYING = timedelta(minutes=1)


class _Heard(NamedTuple):
    """An answer's Date, and this machine's clocks when it arrived, in seconds."""

    date: datetime
    monotonic: float
    wall: float


class TenantClock:
    """The tenant's time. Several threads may use it.

    `Date` is when an answer was made, in whole seconds (RFC 9110, section 6.6.1). Between answers
    this machine's monotonic clock counts. If answers disagree, the earliest time counts: a time
    that is too late would miss users; a time that is too early only costs requests. A later time
    counts if the wall clock agrees: then this machine has slept, and its monotonic clock stopped.
    """

    def __init__(
        self,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._heard: _Heard | None = None
        self._disagreed = False
        self.answered = False

    def hear(self, response: httpx.Response) -> None:
        """Use the `Date` of an answer; an answer without a possible `Date` is ignored."""
        dates = [
            date
            for text in response.headers.get_list("date")
            if (date := read_date(text)) and _FIRST_YEAR <= date.year < _LAST_YEAR
        ]
        with self._lock:
            self.answered = True
            if dates:
                self._take(_Heard(min(dates), self._monotonic(), self._wall()))

    def now(self) -> datetime:
        """Return the tenant's time (UTC); this machine's time if no answer had one."""
        with self._lock:
            if self._heard is None:
                return datetime.fromtimestamp(self._wall(), UTC)
            passed = self._monotonic() - self._heard.monotonic
            return self._heard.date + timedelta(seconds=passed)

    @property
    def note(self) -> str | None:
        """A note about the time, or None if all clocks agree."""
        with self._lock:
            heard, disagreed = self._heard, self._disagreed
        if heard is None:
            return (
                "the tenant's answers do not tell its time (no usable Date header): this machine's "
                "clock was used, and must be right"
            )
        if disagreed:
            return "the tenant's answers disagree about its time: the earliest was used"
        ahead = datetime.fromtimestamp(heard.wall, UTC) - heard.date
        if abs(ahead) <= _WORTH_SAYING:
            return None
        way = "ahead of" if ahead > timedelta(0) else "behind"
        whole = timedelta(seconds=round(abs(ahead).total_seconds()))
        return f"this machine's clock is {whole} {way} the tenant's: the tenant's was used"

    def _take(self, new: _Heard) -> None:
        old = self._heard or new
        by_monotonic = old.date + timedelta(seconds=new.monotonic - old.monotonic)
        by_wall = old.date + timedelta(seconds=new.wall - old.wall)
        if new.date <= max(by_monotonic, by_wall):
            self._heard = new
        elif new.date - by_monotonic > _WORTH_SAYING:
            self._disagreed = True


def read_date(text: str) -> datetime | None:
    """Read a date of HTTP (UTC); None where it is none."""
    try:
        date = parsedate_to_datetime(text)
        return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
