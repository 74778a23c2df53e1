"""Tenants whose counts, pages and times cannot be true: every run ends, and nobody is lost."""

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from typing import Any

import pytest

from tests.collection.counting import Counting
from tests.collection.crowd import START, evenly, iso, member
from tests.collection.liar import lying
from tests.conftest import settings_of
from toolkit.collection import search
from toolkit.collection.collect_users import collect
from toolkit.collection.refresh import refreshing
from toolkit.collection.search import CAP, Walk, budget
from toolkit.collection.window import FIRST, LAST, Span, Window
from toolkit.errors import IncompleteError, PictureAuditError, QueryError, SlowQueryError
from toolkit.sandbox.server import Sandbox
from toolkit.tenant.client import connect
from toolkit.tenant.models import PAGE, Page

Lie = Callable[["Lying", str, int, int, str | None], Page]


class Lying(Counting):
    """A tenant that changes its true answers.

    Args:
        lie: makes an answer of what was asked; `true` has the answer that would be true.
        users: Auth0 user objects.
    """

    domain, sandbox, seed, notes = "liar.example", True, None, ()

    def __init__(self, lie: Lie, users: list[dict[str, Any]]) -> None:
        super().__init__(users)
        self._lie = lie
        self.random = Random(1)
        self.number = count(1)

    def true(self, q: str, page: int, per_page: int, sort: str | None) -> Page:
        return super().answer(q, page, per_page, sort)

    def answer(self, q: str, page: int, per_page: int, sort: str | None) -> Page:
        return self._lie(self, q, page, per_page, sort)

    def granted(self, scope: str) -> bool:
        return False


def counted(change: Callable[[Lying, int], int]) -> Lie:
    """Change the total."""

    def lie(tenant: Lying, *asked: Any) -> Page:
        page = tenant.true(*asked)
        return Page(page.users, change(tenant, page.total))

    return lie


def shown(change: Callable[[Lying, Mapping[str, Any]], object]) -> Lie:
    """Change the `created_at` that users show; that by which they are found stays."""

    def lie(tenant: Lying, *asked: Any) -> Page:
        page = tenant.true(*asked)
        return Page([one | {"created_at": change(tenant, one)} for one in page.users], page.total)

    return lie


def moved(**by: float) -> Lie:
    return shown(lambda _, one: iso(datetime.fromisoformat(one["created_at"]) + timedelta(**by)))


def new_users(users: int, total: int) -> Lie:
    """Invent new users for each answer."""

    def lie(tenant: Lying, q: str, page: int, per_page: int, sort: str | None) -> Page:
        rows = [member(next(tenant.number), START) for _ in range(min(users, per_page))]
        return Page(rows, total)

    return lie


def failing(error: PictureAuditError) -> Lie:
    def lie(*_: Any) -> Page:
        raise error

    return lie


# Everybody is read all the same: the tenant's index decides, whatever the users show.
HARMLESS: dict[str, Lie] = {
    "created in year 9999": shown(lambda *_: iso(datetime(9999, 12, 31, tzinfo=UTC))),
    "created in year 1": shown(lambda *_: "0001-01-01T00:00:00.000Z"),
    "created in 1970": shown(lambda *_: "1970-01-01T00:00:00.000Z"),
    "created a day later": moved(days=1),
    "created a millisecond earlier": moved(milliseconds=-1),
    "created at any time": shown(lambda t, _: iso(START + timedelta(days=t.random.random() * 9e3))),
    "created at no time": shown(lambda *_: None),
    "created at no time, oddly": shown(lambda *_: {"a": ["time"]}),
    "pages without order": lambda t, q, page, per_page, _: t.true(q, page, per_page, None),
    "pages in the wrong order": lambda t, q, page, per_page, sort: t.true(
        q, page, per_page, sort and sort.split(":")[0] + (":1" if ":-1" in sort else ":-1")
    ),
    "more users than asked for": lambda t, q, page, per_page, sort: Page(
        [one for n in range(10) for one in t.true(q, n, PAGE, sort).users],
        t.true(q, 0, 1, sort).total,
    ),
}

# Nothing of it can be true.
HOPELESS: dict[str, Lie] = {
    "10^12 users": counted(lambda *_: 10**12),
    "one more each time": counted(lambda t, total: total + next(t.number)),
    "twice as many each time": counted(lambda t, total: total * 2 ** min(60, next(t.number))),
    "any number of users": counted(lambda t, _: t.random.randrange(2 * CAP)),
    "one more than it gives": counted(lambda _, total: total + 1),
    "fewer than it gives": counted(lambda _, total: total // 2),
    "0 users": counted(lambda *_: 0),
    "10^12 users and nobody": lambda *_: Page([], 10**12),
    "one user for ever": lambda *_: Page([member(1, START)] * PAGE, CAP),
    "one user in each window": lambda *_: Page([member(1, START)] * PAGE, 500),
    "new users for ever": new_users(PAGE, CAP),
    "new users on each page": new_users(PAGE, 500),
    "pages half full": lambda t, q, page, per_page, sort: t.true(q, page, min(50, per_page), sort),
    "the same for every search": lambda t, _, page, per_page, sort: t.true(
        "user_id:*", page, per_page, sort
    ),
    "too slow, whatever is asked": failing(SlowQueryError("HTTP 503")),
    "refused, whatever is asked": failing(QueryError("HTTP 400")),
}

# Read whole, where the budget is enough to divide everybody into single pages.
COSTLY: dict[str, Lie] = {
    "the first page for ever": lambda t, q, _, per_page, sort: t.true(q, 0, per_page, sort),
}
EVERY = HARMLESS | HOPELESS | COSTLY


@pytest.mark.parametrize("lie", HARMLESS.values(), ids=HARMLESS)
@pytest.mark.parametrize("users", [250, 3_000])
def test_users_who_show_other_times_than_they_are_found_by_are_all_kept(lie, users):
    tenant = Lying(lie, evenly(users))
    windows = [one for one in Walk(tenant) if isinstance(one, Window)]
    found = [user.user_id for window in windows for user in window.users]
    assert len(found) == len(set(found)) == users
    assert tenant.requests <= 40 + 5 * users / 100


@pytest.mark.parametrize("users", [250, 1_500])
@pytest.mark.parametrize("lie", COSTLY.values(), ids=COSTLY)
def test_a_tenant_that_gives_one_page_only_is_divided_into_single_pages(lie, users):
    windows = [one for one in Walk(Lying(lie, evenly(users))) if isinstance(one, Window)]
    assert len({user.user_id for window in windows for user in window.users}) == users


@pytest.mark.parametrize("lie", HOPELESS.values(), ids=HOPELESS)
def test_a_tenant_whose_answers_contradict_each_other_is_an_error_within_the_budget(lie):
    tenant = Lying(lie, evenly(3_000))
    with pytest.raises(PictureAuditError) as error:
        list(Walk(tenant))
    assert tenant.requests <= budget(3_000)
    assert len(str(error.value)) < 320
    assert isinstance(error.value, QueryError) or "created_at" in str(error.value)


@pytest.fixture(scope="module")
def refreshable():
    """A snapshot of 1,100 users."""
    with Sandbox(evenly(1_100)) as sandbox, connect(settings_of(sandbox)) as tenant:
        return collect(tenant, method="search")


def refreshed(tenant, since) -> set[str] | None:
    """Return whom a refresh finds, or None where it ends with an error."""
    steps = refreshing(tenant, since)
    try:
        while True:
            next(steps)
    except StopIteration as end:
        return set(end.value[0].users["user_id"])
    except PictureAuditError:
        return None


@pytest.mark.parametrize("lie", EVERY.values(), ids=EVERY)
def test_a_refresh_of_such_a_tenant_ends_with_everybody_or_an_error(lie, refreshable, monkeypatch):
    monkeypatch.setattr(search, "_MOST_SEARCHES", 1_500)
    tenant = Lying(lie, evenly(1_100))
    tenant.domain = refreshable.provenance.tenant
    found = refreshed(tenant, refreshable)
    assert found in (None, set(refreshable.users["user_id"]))
    assert tenant.requests <= 2 * budget(10**9)


def test_the_budget_grows_with_the_users_and_ends():
    assert budget(0) == 500
    assert budget(10_000) == 4_500
    assert budget(10**9) == 200_000


def test_the_error_names_the_time_that_could_not_be_read_and_no_person():
    def lie(tenant: Lying, q: str, page: int, per_page: int, sort: str | None) -> Page:
        answer = tenant.true(q, page, per_page, sort)
        return Page(answer.users, answer.total * 7 if "2022" in q else answer.total)

    with pytest.raises(IncompleteError, match=r"created_at:\[.*2022") as error:
        list(Walk(Lying(lie, evenly(3_000))))
    assert "example.com" not in str(error.value)


@pytest.mark.parametrize(
    "users",
    [["a", "b"], [1], [None], [{}], [[]], [{"client_id": "c"}], [{"user_id": None, "name": "Bo"}]],
)
@pytest.mark.parametrize("total", [None, 0, 5])
def test_a_page_of_things_that_are_no_users_is_an_error(users, total):
    answer = {"users": users, "total": len(users) if total is None else total}
    with (
        lying(lambda *_: answer) as tenant,
        pytest.raises(PictureAuditError, match="none of them is a user"),
    ):
        collect(tenant, method="search")


def test_one_record_without_an_id_stops_nothing(tenant_with):
    odd = {"name": "Nobody", "created_at": iso(START)}
    answers = {"users": [*evenly(3), odd], "total": 4}
    empty = {"users": [], "total": 0}
    with lying(lambda q, *_: answers if q.startswith("created_at:[* TO") else empty) as tenant:
        assert len(collect(tenant, method="search")) == 4


@pytest.mark.parametrize(
    "body",
    [
        *({"users": [], "total": total} for total in (-1, None, [], 1.5, "NaN", 10**12, 1e300)),
        b'{"users": [], "total": NaN}',
        b'{"users": [], "total": -Infinity}',
        {"users": {}, "total": 0},
        {"clients": [], "total": 0},
        {},
        [],
        None,
        b"",
    ],
    ids=str,
)
def test_an_answer_that_is_no_page_of_users_is_an_error_at_once(body):
    with lying(lambda *_: body) as tenant:
        with pytest.raises(PictureAuditError) as error:
            collect(tenant, method="search")
        assert tenant.requests < 10
    assert len(str(error.value)) < 300


def test_a_page_that_stands_in_the_tenants_place_for_good_is_told_after_some_tries():
    with lying(lambda *_: b"<html>Sign in to go online</html>") as tenant:
        with pytest.raises(PictureAuditError, match=r"HTML|web page"):
            collect(tenant, method="search")
        assert tenant.requests < 60


@pytest.mark.parametrize("method", ["search", "export"])
def test_a_snapshot_says_how_many_users_show_other_times_than_they_are_found_by(
    tenant_with, method, monkeypatch
):
    tenant = tenant_with(evenly(40))
    whole = tenant.search

    def answer(q, **options):
        page = whole(q, **options)
        late = [one | {"created_at": "2999-01-01T00:00:00.000Z"} for one in page.users[:2]]
        return Page([*late, *page.users[2:]], page.total)

    monkeypatch.setattr(tenant, "search", answer)
    snapshot = collect(tenant, method=method)
    assert len(snapshot) == 40
    said = any("2 users show another created_at" in note for note in snapshot.provenance.notes)
    assert said == (method == "search")


@pytest.mark.parametrize(
    "span",
    [
        Span(),
        Span(end=0),
        Span(start=0),
        Span(start=FIRST, end=FIRST + 2),
        Span(start=LAST - 1),
        Span(start=7, end=9),
    ],
)
@pytest.mark.parametrize("wanted", [None, FIRST, -1, 0, 7, 8, LAST, LAST + 1, 10**18, -(10**18)])
def test_each_cut_makes_both_parts_of_a_span_shorter(span, wanted):
    cut = span.cut(wanted, 1_800_000_000_000)
    low, high = span.ends
    assert low < cut < high
    assert span.until(cut).query != span.query != span.since(cut).query


def test_a_span_of_any_length_is_an_instant_after_fewer_than_fifty_cuts():
    for side in (Span.until, Span.since):
        span, cuts = Span(), 0
        while not span.instant:
            span = side(span, span.cut(None, 1_800_000_000_000))
            cuts += 1
        assert cuts < math.log2(LAST - FIRST) + 4
