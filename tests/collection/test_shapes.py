"""How many searches a collection needs, whenever a tenant's users were created."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.collection.counting import Counting
from tests.collection.crowd import START, evenly, iso, member
from toolkit.collection.search import Walk, budget
from toolkit.collection.window import Window
from toolkit.errors import IncompleteError

SECOND = 1_000
DAY = 86_400 * SECOND
YEAR = 365 * DAY
FEW = [part * YEAR // 11 for part in range(10)]
"""Ten users of a tenant's first year."""


def created(times) -> list[dict[str, Any]]:
    """Make users, each created so many milliseconds after the crowd's start."""
    return [
        member(number, START + timedelta(milliseconds=time)) for number, time in enumerate(times)
    ]


def imported(length: float, count: int = 5_000, after: int = 4 * YEAR) -> list[int]:
    """Return the times of a bulk import, spread over so many milliseconds."""
    return [after + round(number * length / count) for number in range(count)]


def bursts(every: int, number: int, count: int, length: int) -> list[int]:
    random = Random(1)
    return [n * every + random.randrange(length) for n in range(number) for _ in range(count)]


def alone(year: int, count: int = 1) -> list[dict[str, Any]]:
    """Make users of the last seconds of a year far from the others."""
    last = datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC)
    return [member(90_000 + n, last + timedelta(milliseconds=n // 2)) for n in range(count)]


SHAPES: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "evenly": lambda: evenly(5_000),
    "one a day": lambda: created(range(0, 3_000 * DAY, DAY)),
    "a gap, then an import of an hour": lambda: created(FEW + imported(3_600 * SECOND)),
    "a gap, then an import of a minute": lambda: created(FEW + imported(60 * SECOND)),
    "a gap, then an import of a second": lambda: created(FEW + imported(SECOND)),
    "a gap, then an import of 100 ms": lambda: created(FEW + imported(100)),
    "a gap, then an import of one ms": lambda: created(FEW + imported(1)),
    "an import, then a gap": lambda: created(imported(60 * SECOND) + [5 * YEAR + t for t in FEW]),
    "two far imports": lambda: created(imported(SECOND, 2_500, 0) + imported(SECOND, 2_500)),
    "many a day": lambda: created(bursts(DAY, 60, 100, SECOND)),
    "weekly imports": lambda: created(bursts(7 * DAY, 5, 1_200, 60 * SECOND)),
    "weekly imports of nearly a window": lambda: created(bursts(7 * DAY, 6, 990, SECOND)),
    "blocks of one millisecond": lambda: created(bursts(30 * DAY, 10, 450, 1)),
    "ever fewer": lambda: created(1.005**number for number in range(5_000)),
    "ever more": lambda: created(5 * YEAR - 1.005**number for number in range(5_000)),
    "one of 1970": lambda: [*created(imported(60 * SECOND)), *alone(1970)],
    "one of year 1": lambda: [*created(imported(60 * SECOND)), *alone(1)],
    "one of year 9999": lambda: [*created(imported(60 * SECOND)), *alone(9999)],
    "an import of year 9999": lambda: [*created(FEW), *alone(9999, 1_990)],
}


def read(tenant: Counting, workers: int = 8) -> set[str]:
    windows = [one for one in Walk(tenant, workers=workers) if isinstance(one, Window)]
    assert sum(len(window.users) for window in windows) == tenant.store.count()
    return {user.user_id for window in windows for user in window.users}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_users_of_any_shape_take_searches_in_proportion(shape):
    users = shape()
    tenant = Counting(users)
    assert read(tenant) == {one["user_id"] for one in users}
    assert tenant.requests <= 40 + 3 * len(users) / 100


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_tenant_that_gives_up_on_large_searches_is_divided_in_proportion(shape):
    users = shape()
    tenant = Counting(users, slow_over=400)
    assert read(tenant) == {one["user_id"] for one in users}
    assert tenant.requests <= 100 + 17 * len(users) / 100
    assert tenant.requests <= budget(len(users)) / 2


@pytest.mark.parametrize(
    "name", ["blocks of one millisecond", "weekly imports of nearly a window", "one of year 1"]
)
def test_ties_that_come_in_another_order_on_each_page_are_read_in_proportion(name):
    users = SHAPES[name]()
    tenant = Counting(users, shuffled=True)
    # Chance decides how often a window is read again: one worker, so that each run draws the same.
    assert read(tenant, workers=1) == {one["user_id"] for one in users}
    assert tenant.requests <= 50 + 15 * len(users) / 100


groups = st.lists(
    st.tuples(
        st.one_of(st.integers(-50 * YEAR, 50 * YEAR), st.integers(0, DAY)),  # after the start
        st.sampled_from([0, 1, 40, SECOND, 60 * SECOND, DAY, YEAR]),  # for how long
        st.sampled_from([1, 3, 99, 100, 101, 400, 401, 999, 1_000, 1_001]),
    ),
    max_size=4,
)


@settings(max_examples=15)
@given(groups, st.sampled_from([None, 400]), st.booleans())
def test_any_mixture_of_bursts_gaps_and_imports_is_read_in_proportion(groups, slow_over, shuffled):
    random = Random(1)
    times = [after + random.randint(0, long) for after, long, count in groups for _ in range(count)]
    tenant = Counting(created(times), slow_over=slow_over, shuffled=shuffled)
    assert len(read(tenant)) == len(times)
    free, for_each_hundred = (400, 20) if slow_over or shuffled else (60, 3)
    assert tenant.requests <= free + for_each_hundred * len(times) / 100


def test_users_of_the_future_are_divided_though_time_goes_on():
    seconds = count(datetime(2026, 11, 29, tzinfo=UTC).timestamp())
    users = [*created(FEW), *alone(2999, 900), *alone(9999, 900)]
    for number, one in enumerate(users):
        one["user_id"] = f"auth0|{number}"
    tenant = Counting(users, slow_over=400, clock=lambda: next(seconds))
    assert len(read(tenant)) == len(users)
    assert tenant.requests <= 400


ALIKE = {
    "ids only": {},
    "one name": {"name": "Bo"},
    "one name, changed at once": {"name": "Bo", "updated_at": iso(START)},
    "one address": {"email": "a@example.com", "name": "Bo", "updated_at": iso(START)},
    "nothing different": {
        **dict.fromkeys(("email", "name", "nickname", "username"), "bo"),
        **dict.fromkeys(("updated_at", "last_login"), iso(START)),
    },
    "texts that begin alike": {"name": "x" * 5_000},
}


@pytest.mark.parametrize("alike", ALIKE.values(), ids=ALIKE)
@pytest.mark.parametrize("slow_over", [None, 400])
@pytest.mark.parametrize("dated", [True, False])
def test_users_whom_nothing_tells_apart_are_the_promised_error_soon(alike, slow_over, dated):
    shared = alike | ({"created_at": iso(START)} if dated else {})
    tenant = Counting(
        [{"user_id": f"auth0|{n}"} | shared for n in range(1_200)], slow_over=slow_over
    )
    with pytest.raises(IncompleteError, match="nothing that a search can use tells them apart"):
        list(Walk(tenant))
    assert tenant.requests < 120


def test_names_that_differ_only_after_hundreds_of_characters_end_with_an_error():
    names = ["a" * number + "b" for number in range(1_300)]
    users = [{"user_id": name, "name": name, "created_at": iso(START)} for name in names]
    with pytest.raises(IncompleteError, match="created_at:"):
        list(Walk(Counting(users, most=50_000)))
