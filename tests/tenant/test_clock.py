"""The tenant's time, by answers that tell it right, wrong, or not at all."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from toolkit.tenant.clock import TenantClock

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)


class Machine:
    """A machine's two clocks, and the tenant's clock on it."""

    def __init__(self, ahead: timedelta = timedelta()) -> None:
        self.wall = (NOON + ahead).timestamp()
        self.monotonic = 1_000.0
        self.clock = TenantClock(wall=lambda: self.wall, monotonic=lambda: self.monotonic)

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds

    def hear(self, date: datetime | str | None) -> None:
        text = format_datetime(date, usegmt=True) if isinstance(date, datetime) else date
        self.clock.hear(httpx.Response(200, headers={} if text is None else {"date": text}))


@pytest.mark.parametrize(
    "ahead",
    [timedelta(minutes=10), timedelta(minutes=-10), timedelta(days=9 * 365), timedelta(-9 * 365)],
)
def test_the_tenants_time_counts_whatever_this_machines_is(ahead):
    machine = Machine(ahead)
    machine.hear(NOON)
    machine.pass_by(90)
    assert machine.clock.now() == NOON + timedelta(seconds=90)
    way = "ahead of" if ahead > timedelta(0) else "behind"
    assert f"{way} the tenant's" in machine.clock.note


def test_nothing_is_said_where_the_clocks_agree():
    machine = Machine(timedelta(seconds=3))
    machine.hear(NOON)
    assert machine.clock.note is None


@pytest.mark.parametrize(
    "date",
    [
        None,
        "",
        "yesterday",
        "Sun, 99 Nov 2026 12:00:00 GMT",
        "Mon, 01 Jan 0001 00:00:00 GMT",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "Wed, 01 Jan 3000 00:00:00 GMT",
        "9" * 5_000,
        "Sun, 29 Nov 2026 12:00:00 +99999999999",
    ],
)
def test_a_date_that_cannot_be_the_time_is_as_good_as_none_and_is_noted(date):
    machine = Machine()
    machine.hear(date)
    assert machine.clock.answered
    assert machine.clock.now() == NOON
    assert "no usable Date" in machine.clock.note
    machine.hear(NOON - timedelta(hours=1))
    assert machine.clock.now() == NOON - timedelta(hours=1)


@pytest.mark.parametrize("jump", [-3_600, 3_600])
def test_a_correction_of_this_machines_time_does_not_move_the_tenants(jump):
    machine = Machine()
    machine.hear(NOON)
    machine.pass_by(10)
    machine.wall += jump
    assert machine.clock.now() == NOON + timedelta(seconds=10)
    machine.hear(NOON + timedelta(seconds=10))
    assert machine.clock.now() == NOON + timedelta(seconds=10)


def test_after_a_sleep_the_next_answer_tells_the_time_again():
    machine = Machine()
    machine.hear(NOON)
    machine.wall += 8 * 3_600  # the monotonic clock stands still meanwhile
    assert machine.clock.now() == NOON
    machine.hear(NOON + timedelta(hours=8))
    assert machine.clock.now() == NOON + timedelta(hours=8)
    assert machine.clock.note is None


def test_of_answers_that_disagree_the_earliest_time_counts():
    machine = Machine()
    machine.hear(NOON + timedelta(days=400))
    machine.hear(NOON)
    machine.hear(NOON + timedelta(hours=1))
    machine.pass_by(5)
    assert machine.clock.now() == NOON + timedelta(seconds=5)
    assert "disagree" in machine.clock.note


def test_an_answer_that_took_long_is_no_contradiction():
    machine = Machine()
    machine.hear(NOON)
    machine.pass_by(50)
    machine.hear(NOON)
    machine.hear(NOON + timedelta(seconds=50))
    assert machine.clock.note is None
    assert machine.clock.now() == NOON
