from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from auth0.management.client import Auth0
from auth0.management.errors import BadRequestError

from tests.collection.crowd import START, evenly, iso, member
from toolkit import collect as collect_users
from toolkit.collection.search import Walk
from toolkit.collection.window import Span, Window, remaining
from toolkit.errors import IncompleteError

collect = partial(collect_users, method="search")


def found(snapshot) -> list[str]:
    return sorted(snapshot.users["user_id"])


def ids(records) -> list[str]:
    return sorted(record["user_id"] for record in records)


def test_twenty_thousand_awkward_users_are_all_found(tenant_with):
    """3,000 in one millisecond, 500 without created_at, linked users, some of the future."""
    instant = START + timedelta(days=700, milliseconds=7)
    records = evenly(16_000)
    records += [member(100_000 + n, instant) for n in range(3_000)]
    records += [member(200_000 + n, None) for n in range(500)]
    linked = [
        {"connection": "db", "provider": "auth0", "user_id": "x"},
        {"connection": "google-oauth2", "provider": "google-oauth2", "user_id": "1"},
    ]
    records += [
        member(300_000 + n, START + timedelta(days=n), identities=linked) for n in range(450)
    ]
    records += [member(400_000 + n, datetime(2999, 1, 1 + n, tzinfo=UTC)) for n in range(25)]
    records += [member(500_000 + n, datetime(1955, 1, 1 + n, tzinfo=UTC)) for n in range(25)]
    snapshot = collect(tenant_with(records))
    assert snapshot.provenance.complete
    assert found(snapshot) == ids(records)


def test_evenly_spread_users_cost_little_more_than_one_request_per_hundred(tenant_with):
    tenant = tenant_with(evenly(20_000))
    snapshot = collect(tenant)
    assert len(snapshot) == 20_000
    assert tenant.requests <= 0.0115 * 20_000


def test_the_plain_pager_of_the_sdk_raises_where_the_collection_succeeds(tenant_with):
    records = evenly(1_500)
    tenant = tenant_with(records)
    sandbox = tenant._sandbox
    sdk = Auth0(base_url=f"{sandbox.base_url}/api/v2", token=tenant._token)
    with pytest.raises(BadRequestError) as refusal:
        list(sdk.users.list(per_page=100))
    assert refusal.value.body["errorCode"] == "invalid_paging"
    sdk._client_wrapper.httpx_client.httpx_client.close()
    assert found(collect(tenant)) == ids(records)


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 999, 1000, 1001])
def test_a_tenant_of_any_size_round_the_limits_is_read_whole(tenant_with, count):
    records = evenly(count) if count else []
    assert found(collect(tenant_with(records))) == ids(records)


def test_users_of_one_instant_are_told_apart_by_name_where_they_have_no_email(tenant_with):
    records = [
        {
            "user_id": f"sms|{n}",
            "name": f"+49 {n:05d}",
            "created_at": iso(START),
            "identities": [{"connection": "sms", "provider": "sms", "user_id": str(n)}],
        }
        for n in range(2_500)
    ]
    assert found(collect(tenant_with(records))) == ids(records)


def test_users_of_one_instant_and_one_name_are_told_apart_by_time(tenant_with):
    records = [
        {
            "user_id": f"auth0|{n}",
            "name": "Bo",
            "created_at": iso(START),
            "updated_at": iso(START + timedelta(milliseconds=n // 2)),
            "identities": [],
        }
        for n in range(2_500)
    ]
    assert found(collect(tenant_with(records))) == ids(records)


def test_users_whom_nothing_tells_apart_are_an_error_and_never_a_quiet_success(tenant_with):
    records = [{"user_id": f"auth0|{n}", "created_at": iso(START)} for n in range(1_200)]
    with pytest.raises(IncompleteError, match="same millisecond"):
        collect(tenant_with(records))


def test_two_thousand_users_without_created_at_are_found(tenant_with):
    records = evenly(50) + [member(1_000_000 + n, None) for n in range(2_000)]
    assert found(collect(tenant_with(records))) == ids(records)


def test_no_profile_however_odd_stops_the_run_or_gets_lost(tenant_with):
    odd = [
        {"picture": 42},
        {"picture": {"a": 1}},
        {"name": ["x"]},
        {"user_metadata": "text"},
        {"user_metadata": {"picture": 7}},
        {"identities": "none"},
        {"identities": [None, 3]},
        {"logins_count": "many"},
        {"last_login": "yesterday"},
        {"email": None, "name": None},
        {"name": "\ud800 half a pair"},
        {"name": "x" * 100_000},
    ]
    records = [member(n, START + timedelta(days=n), **more) for n, more in enumerate(odd)]
    snapshot = collect(tenant_with(records))
    assert found(snapshot) == ids(records)
    assert list(snapshot.users.sort_values("user_id")["source"][:2]) == ["invalid", "invalid"]


def test_a_gap_between_what_is_counted_and_what_is_given_is_an_error(tenant_with):
    class Forgetful:
        """A tenant that counts one user more than it gives."""

        def __init__(self, tenant):
            self.tenant, self.now = tenant, tenant.now

        def search(self, q, **options):
            page = self.tenant.search(q, **options)
            return type(page)(page.users[:-1], page.total)

    walk = Walk(Forgetful(tenant_with(evenly(40))))
    with pytest.raises(IncompleteError, match="counts 40"):
        list(walk)


class Interfering:
    """A tenant where something happens before each of its answers."""

    def __init__(self, tenant, event):
        self.tenant, self.event, self.answers = tenant, event, 0
        self.now = tenant.now

    def search(self, q, **options):
        self.answers += 1
        self.event(self.answers, q, options.get("page", 0))
        return self.tenant.search(q, **options)


@pytest.mark.parametrize("count", [500, 5_000])
@pytest.mark.parametrize("moment", range(2, 40, 3))
def test_somebody_who_leaves_between_two_pages_takes_nobody_along(tenant_with, count, moment):
    records = evenly(count, years=1)
    tenant = tenant_with(records)

    def leave(answers, query, page):
        if answers == moment:
            with suppress(KeyError):
                tenant._sandbox.delete(records[5 * moment]["user_id"])

    windows = [
        one for one in Walk(Interfering(tenant, leave), workers=1) if isinstance(one, Window)
    ]
    read = {user.user_id for window in windows for user in window.users}
    assert set(ids(records)) - read <= {records[5 * moment]["user_id"]}


def test_somebody_who_leaves_while_another_comes_takes_nobody_along(tenant_with):
    now = datetime.now(UTC) - timedelta(seconds=90)
    records = [member(n, now + timedelta(milliseconds=n)) for n in range(500)]
    tenant = tenant_with(records)
    done = []

    def swap(answers, query, page):
        if page == 3 and not done:
            done.append(page)
            tenant._sandbox.delete(records[10]["user_id"])
            tenant._sandbox.create(member(999, datetime.now(UTC)))

    windows = [one for one in Walk(Interfering(tenant, swap)) if isinstance(one, Window)]
    read = {user.user_id for window in windows for user in window.users}
    assert done
    assert set(ids(records)) - read <= {records[10]["user_id"]}


def test_windows_are_disjoint_and_add_up(tenant_with):
    windows = [one for one in Walk(tenant_with(evenly(7_000))) if isinstance(one, Window)]
    everybody = [user.user_id for window in windows for user in window.users]
    assert len(everybody) == len(set(everybody)) == 7_000
    assert len({window.query for window in windows}) == len(windows)


def test_nobody_in_an_instant_is_a_window_too(tenant_with):
    spans = [Span(start=5, end=6)]
    events = list(Walk(tenant_with(evenly(3)), spans=spans))
    assert [one.users for one in events if isinstance(one, Window)] == [()]


def test_blocks_of_one_instant_are_read_though_their_order_changes(tenant_with):
    moments = [START + timedelta(days=number // 150) for number in range(1_500)]
    records = [member(number, moment) for number, moment in enumerate(moments)]
    tenant = tenant_with(records, faults=["shuffled-ties"])
    assert found(collect(tenant)) == ids(records)
    assert tenant.requests < 600


def test_what_is_left_to_read_is_what_lies_between_closed_windows():
    spans = [Span(start=10, end=20), Span(end=10), None, Span(start=30, end=40)]
    assert remaining(spans) == [Span(start=20, end=30), Span(start=40)]
    assert remaining([Span()]) == [None]
    assert remaining([]) == [Span(), None]
    assert remaining([Span(), None]) == []


def test_closing_the_reader_stops_the_walkers(tenant_with):
    tenant = tenant_with(evenly(9_000))
    events = iter(Walk(tenant))
    next(events)
    events.close()
    assert tenant.requests < 40


def test_only_the_needed_fields_are_asked_for(tenant_with):
    records = [member(1, START, app_metadata={"secret": 1}, phone_number="+49")]
    page = tenant_with(records).search("created_at:[* TO *]")
    assert "app_metadata" not in page.users[0]
    assert "phone_number" not in page.users[0]
