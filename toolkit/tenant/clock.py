"""What time it is at the tenant, by the `Date` of its answers."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import httpx

# Auth0 was founded in 2013. A Date outside these years is not the time.
_FIRST_YEAR, _LAST_YEAR = 2010, 2200
# An answer may be a minute on its way; what differs by more is worth a note.
_WORTH_SAYING = timedelta(minutes=1)


class _Heard(NamedTuple):
    """An answer's Date, and what this machine's clocks showed when it came, in seconds."""

    date: datetime
    monotonic: float
    wall: float


class TenantClock:
    """The time at the tenant. Used by several threads at once.

    `Date` is when an answer was made, in whole seconds (RFC 9110, section 6.6.1). Between answers
    this machine's monotonic clock goes on, which no correction of its time moves.

    Of answers that disagree the earliest time counts. A time that is too late would be taken for
    the past while users can still join it, and so hide users; one that is too early only costs
    requests. A later one counts where the wall clock says the same: then this machine has slept,
    and its monotonic clock stood still.

    Args:
        wall: this machine's time, UNIX seconds.
        monotonic: seconds that never run backwards.
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
        """Take in an answer; one without a `Date` that can be the time tells nothing."""
        dates = [date for text in response.headers.get_list("date") if (date := _date(text))]
        with self._lock:
            self.answered = True
            if dates:
                self._take(_Heard(min(dates), self._monotonic(), self._wall()))

    def now(self) -> datetime:
        """Return the time at the tenant (UTC); this machine's where no answer told it."""
        with self._lock:
            if self._heard is None:
                return datetime.fromtimestamp(self._wall(), UTC)
            passed = self._monotonic() - self._heard.monotonic
            return self._heard.date + timedelta(seconds=passed)

    @property
    def note(self) -> str | None:
        """What is to be said of the time, or None where all clocks agree."""
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
        old = self._heard
        if old is None:
            self._heard = new
            return
        by_monotonic = old.date + timedelta(seconds=new.monotonic - old.monotonic)
        by_wall = old.date + timedelta(seconds=new.wall - old.wall)
        if new.date <= max(by_monotonic, by_wall):
            self._heard = new
        elif new.date - by_monotonic > _WORTH_SAYING:
            self._disagreed = True


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
        date = date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date if _FIRST_YEAR <= date.year < _LAST_YEAR else None
