import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import time

import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.collection.crowd import START, evenly, iso, member
from toolkit.collection.collect_users import collect
from toolkit.collection.refresh import Changes, refreshing
from toolkit.errors import IncompleteError, SettingsError
from toolkit.snapshots.snapshot import Snapshot, read_snapshot
from toolkit.tenant.models import Page

GRAVATAR = "https://s.gravatar.com/avatar/0123456789abcdef0123456789abcdef?d=https%3A%2F%2Fcdn.auth0.com%2Favatars%2Fab.png"


def newcomer(number: int, **more):
    return member(10_000_000 + number, datetime.now(UTC), **more)


def old_id(number: int) -> str:
    return f"auth0|{number:08d}"


def collected(tenant) -> Snapshot:
    return collect(tenant, method="search")


def run(steps):
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


class Case:
    """A tenant with a snapshot, to be changed and refreshed."""

    def __init__(self, tenant, since=None):
        self.tenant = tenant
        self.sandbox = tenant._sandbox
        self.since = since or collected(tenant)
        self.requests = 0

    def refresh(self) -> tuple[Snapshot, Changes]:
        before = self.tenant.requests
        snapshot, changes = run(refreshing(self.tenant, self.since))
        self.requests = self.tenant.requests - before
        assert snapshot.provenance.requests == self.requests
        return snapshot, changes

    def refresh_and_compare(self) -> Changes:
        """Refresh, and make sure that a full collection gives the same."""
        snapshot, changes = self.refresh()
        pd.testing.assert_frame_equal(snapshot.users, collected(self.tenant).users)
        then, now = set(self.since.users["user_id"]), set(snapshot.users["user_id"])
        assert set(changes.added) == now - then
        assert set(changes.deleted) == then - now
        return changes

    def delete(self, numbers) -> list[str]:
        ids = [old_id(number) for number in numbers]
        for one in ids:
            self.sandbox.delete(one)
        return ids


@pytest.fixture
def case_of(tenant_with):
    return lambda records, **options: Case(tenant_with(records, **options))


def test_eighty_changes_among_twenty_thousand_users_take_fewer_than_140_requests(case_of):
    case = case_of(evenly(20_000))
    numbers = random.Random(7).sample(range(20_000), 60)
    changed = [old_id(number) for number in numbers[:50]]
    for one in changed:
        case.sandbox.change(one, {"picture": GRAVATAR})
    created = [newcomer(number) for number in range(20)]
    for record in created:
        case.sandbox.create(record)
    deleted = case.delete(numbers[50:])
    changes = case.refresh_and_compare()
    assert changes.added == tuple(record["user_id"] for record in created)
    assert changes.changed == tuple(sorted(changed))
    assert changes.deleted == tuple(sorted(deleted))
    assert case.requests < 140


def test_where_nothing_changed_a_request_a_window_is_all_it_takes(case_of):
    case = case_of(evenly(20_000))
    snapshot, changes = case.refresh()
    assert changes == Changes()
    assert case.requests <= 25 + 5  # five read Actions, their order, Rules, Flows and streams
    pd.testing.assert_frame_equal(snapshot.users, case.since.users)


def test_the_result_is_a_complete_snapshot_that_says_what_changed(case_of, tmp_path):
    case = case_of(evenly(300))
    case.delete([5])
    case.sandbox.change(old_id(6), {"name": "Somebody else"})
    case.sandbox.create(newcomer(1))
    snapshot, changes = case.refresh()
    provenance = snapshot.provenance
    assert (provenance.method, provenance.complete, provenance.users) == ("refresh", True, 300)
    since = case.since.provenance.taken_at
    assert provenance.notes == (f"1 added, 1 changed, 1 deleted since {since.isoformat()}",)
    assert since < provenance.taken_at
    assert "auth0|" not in repr(changes)
    snapshot.write(tmp_path / "new.parquet")
    again = run(refreshing(case.tenant, read_snapshot(tmp_path / "new.parquet")))[0]
    pd.testing.assert_frame_equal(again.users, snapshot.users)


@pytest.mark.parametrize(
    "numbers",
    [[0], [2_999], [0, 2_999], range(950), range(949, 1_901), range(2_850, 3_000), range(3_000)],
    ids=["first", "last", "both ends", "first window", "across windows", "last window", "all"],
)
def test_whoever_left_is_found_wherever_they_were(case_of, numbers):
    case = case_of(evenly(3_000))
    deleted = case.delete(numbers)
    assert case.refresh_and_compare().deleted == tuple(sorted(deleted))


def test_three_hundred_random_deletions_are_all_found(case_of):
    case = case_of(evenly(20_000))
    deleted = case.delete(random.Random(3).sample(range(20_000), 300))
    assert case.refresh_and_compare().deleted == tuple(sorted(deleted))


def test_one_deletion_takes_the_requests_of_one_window_more(case_of):
    case = case_of(evenly(2_850))
    case.refresh()
    nothing = case.requests
    for number in random.Random(5).sample(range(2_850), 5):
        case.since, _ = case.refresh()
        case.delete([number])
        assert len(case.refresh_and_compare().deleted) == 1
        assert case.requests <= nothing + 10


def test_users_of_one_millisecond_are_found_and_missed_like_any_others(case_of):
    instant = START + timedelta(days=400, milliseconds=3)
    records = evenly(1_500) + [member(50_000 + number, instant) for number in range(3_000)]
    case = case_of(records)
    deleted = case.delete([7, 50_000, 50_001, 51_700, 52_999])
    assert case.refresh_and_compare().deleted == tuple(sorted(deleted))


@pytest.mark.parametrize("size", [2, 60, 99, 100, 101, 250, 700, 949, 951, 999, 1_000])
def test_ties_of_any_size_hide_nobody(case_of, size):
    """Blocks of one millisecond, so that they lie across the edges of pages and windows."""
    moments = [START + timedelta(hours=number // size) for number in range(2_100)]
    case = case_of([member(number, moment) for number, moment in enumerate(moments)])
    deleted = case.delete(random.Random(size).sample(range(2_100), 25))
    assert case.refresh_and_compare().deleted == tuple(sorted(deleted))


def test_ties_that_come_in_another_order_on_each_page_hide_nobody(case_of):
    moments = [START + timedelta(hours=number // 3) for number in range(2_100)]
    records = [member(number, moment) for number, moment in enumerate(moments)]
    case = case_of(records, faults=["shuffled-ties"])
    deleted = case.delete(random.Random(1).sample(range(2_100), 25))
    assert case.refresh_and_compare().deleted == tuple(sorted(deleted))


@pytest.mark.parametrize("undated", [50, 100, 450, 1_200])
def test_users_without_created_at_come_and_go_too(case_of, undated):
    records = evenly(150) + [member(70_000 + number, None) for number in range(undated)]
    case = case_of(records)
    deleted = case.delete([70_003, 70_007])
    case.sandbox.create(member(80_000, None))
    changes = case.refresh_and_compare()
    assert changes.deleted == tuple(sorted(deleted))
    assert changes.added == (old_id(80_000),)


def test_one_who_comes_does_not_hide_one_who_leaves(case_of):
    case = case_of(evenly(1_000))
    case.delete([990])
    case.sandbox.create(newcomer(1))
    changes = case.refresh_and_compare()
    assert (len(changes.added), len(changes.deleted)) == (1, 1)


def test_one_who_left_and_came_back_under_the_same_id_is_changed(case_of):
    case = case_of(evenly(2_500))
    case.delete([100])
    case.sandbox.create(member(100, datetime.now(UTC)))
    changes = case.refresh_and_compare()
    assert changes == Changes(changed=(old_id(100),))


def test_users_whom_only_the_count_tells_of_are_added(case_of):
    """As where the search for changes lags behind: nothing says that they are new."""
    case = case_of(evenly(2_000))
    places = [3, 777, 1_499, 1_996]
    step = timedelta(days=365 * 5) / 2_000
    moments = [START + step * place + timedelta(seconds=1) for place in places]
    for number, moment in enumerate(moments):
        case.sandbox.create(member(90_000 + number, moment))
    assert case.refresh_and_compare().added == tuple(old_id(90_000 + n) for n in range(4))


def test_far_more_users_than_a_window_takes_are_added_by_its_count(case_of):
    case = case_of(evenly(500))
    for number in range(1_500):
        moment = START + timedelta(days=30, seconds=number)
        case.sandbox.create(member(90_000 + number, moment))
    assert len(case.refresh_and_compare().added) == 1_500


def test_many_changes_of_one_moment_are_all_found(case_of):
    """As after an import: every page of the search for changes shows the same time."""
    case = case_of(evenly(1_600))
    moment = iso(datetime.now(UTC))
    for number in range(1_250):
        case.sandbox.change(old_id(number), {"name": "New", "updated_at": moment})
    assert len(case.refresh_and_compare().changed) == 1_250


@pytest.mark.parametrize("count", [0, 1, 100, 999, 1_000, 1_001])
def test_a_tenant_of_any_size_is_refreshed(case_of, count):
    case = case_of(evenly(count))
    assert case.refresh_and_compare() == Changes()
    assert case.requests <= 5 + 5  # five read Actions, their order, Rules, Flows and streams
    case.sandbox.create(newcomer(1))
    deleted = case.delete([count // 2] if count else [])
    changes = case.refresh_and_compare()
    assert (len(changes.added), changes.deleted) == (1, tuple(deleted))


@pytest.mark.parametrize("fault", ["503-slow", "uncapped-total"])
def test_a_troubled_tenant_is_refreshed_like_any_other(case_of, fault):
    case = case_of(evenly(2_300), faults=[fault])
    deleted = case.delete([0, 700, 701, 1_500])
    case.sandbox.change(old_id(1_000), {"name": "New"})
    case.sandbox.create(newcomer(1))
    changes = case.refresh_and_compare()
    assert changes.deleted == tuple(sorted(deleted))
    assert (len(changes.added), len(changes.changed)) == (1, 1)


def test_while_people_come_and_go_nobody_who_stayed_is_lost(tenant_with):
    records = evenly(4_000)
    still = tenant_with(records)
    since = collected(still)
    tenant = tenant_with(records, faults=["churn"])
    since.provenance = replace(since.provenance, tenant=tenant.domain)
    case = Case(tenant, since)
    snapshot, _ = case.refresh()
    churned = tenant._sandbox.churned
    found = set(snapshot.users["user_id"])
    assert {record["user_id"] for record in records} - found <= set(churned.deleted)
    # What came too late for this refresh is found by the next.
    case.since = snapshot
    for _ in range(3):
        case.since, _ = case.refresh()
    pd.testing.assert_frame_equal(case.since.users, collected(tenant).users)


def test_what_a_probe_found_out_stays_with_the_picture(case_of):
    pictures = {"picture": GRAVATAR}
    case = case_of([member(n, START + timedelta(days=n), **pictures) for n in range(5)])
    probed = case.since.users.assign(source="gravatar", underlying="gravatar", evidence="probe")
    case.since = Snapshot(case.since.provenance, probed)
    case.sandbox.change(old_id(1), {"name": "Renamed"})
    case.sandbox.change(old_id(2), {"picture": GRAVATAR.replace("0123", "9999")})
    override = "https://example.com/me.png"
    case.sandbox.change(old_id(3), {"user_metadata": {"picture": override}})
    case.sandbox.create(newcomer(1, **pictures))
    snapshot, changes = case.refresh()
    verdicts = snapshot.users[["source", "underlying", "evidence"]].to_numpy().tolist()
    assert len(changes.changed) == 3
    assert verdicts == [
        ["gravatar", "gravatar", "probe"],
        ["gravatar", "gravatar", "probe"],
        ["unresolved", "unresolved", "url"],
        ["metadata", "gravatar", "url"],
        ["gravatar", "gravatar", "probe"],
        ["unresolved", "unresolved", "url"],
    ]
    case.since = snapshot
    case.sandbox.change(old_id(3), {"user_metadata": {}})
    snapshot, _ = case.refresh()
    assert snapshot.users.loc[3, ["source", "underlying", "evidence"]].tolist() == verdicts[0]


def test_who_did_not_change_is_judged_again_as_their_override_may_have_ended(case_of):
    ends = datetime.now(UTC) - timedelta(seconds=60)
    signed = f"https://x.example/a.png?Expires={ends.timestamp():.0f}&AWSAccessKeyId=A&Signature=b"
    overridden = {"picture": GRAVATAR, "user_metadata": {"picture": signed}}
    case = case_of([member(n, START + timedelta(days=n), **overridden) for n in range(2)])
    assert case.since.users["source"].tolist() == ["unresolved"] * 2
    # As both were before the end of the first one, whose Gravatar a probe found.
    before = case.since.users.assign(source="metadata")
    before.loc[0, "underlying"] = "gravatar"
    case.since = Snapshot(case.since.provenance, before)
    snapshot, changes = case.refresh()
    assert changes == Changes()
    verdicts = snapshot.users[["source", "underlying", "evidence"]].to_numpy().tolist()
    assert verdicts == [["gravatar", "gravatar", "probe"], ["unresolved", "unresolved", "url"]]


def test_who_is_taken_over_from_a_snapshot_without_later_columns_is_counted(case_of, tmp_path):
    photo = {"user_metadata": {"avatar": "https://photos.example/one.jpg"}}
    case = case_of([member(n, START + timedelta(days=n), **photo) for n in range(4)])
    path = tmp_path / "old.parquet"
    case.since.write(path)
    assert case.since.users["elsewhere"].notna().all()
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["elsewhere", "elsewhere_from"]), path)
    copy = tmp_path / "copy.parquet"  # has the columns, and nothing in them
    read_snapshot(path).write(copy)
    case.since = read_snapshot(copy)
    # The newest user is always read again.
    for number, told in [(1, "2 users were taken over"), (2, "1 user was taken over")]:
        case.sandbox.change(old_id(number), {"name": "Renamed"})
        case.since, _ = case.refresh()
        [note] = [one for one in case.since.provenance.notes if "elsewhere" in one]
        assert told in note
        assert "collect without --since" in note
    assert case.since.users["elsewhere"].isna().tolist() == [True, False, False, False]
    case.sandbox.change(old_id(0), {"name": "Renamed"})
    case.since, _ = case.refresh()
    assert not any("elsewhere" in one for one in case.since.provenance.notes)


def test_changes_are_found_where_our_clock_is_ahead_of_the_tenants(tenant_with):
    ahead = timedelta(hours=3)
    tenant = tenant_with(
        [*evenly(200), member(900, datetime.now(UTC) - ahead)],
        clock=lambda: time() - ahead.total_seconds(),
    )
    case = Case(tenant)
    case.sandbox.change(old_id(7), {"name": "New"})
    assert case.refresh_and_compare().changed == (old_id(7),)


def test_a_snapshot_of_another_tenant_is_refused_by_name(case_of, tenant_with):
    case, other = case_of(evenly(3)), tenant_with(evenly(3))
    with pytest.raises(SettingsError) as refusal:
        run(refreshing(other, case.since))
    assert case.tenant.domain in str(refusal.value)
    assert other.domain in str(refusal.value)


def test_a_snapshot_that_is_not_complete_is_refused(case_of):
    case = case_of(evenly(3))
    case.since.provenance = replace(case.since.provenance, complete=False)
    with pytest.raises(SettingsError, match="collect anew"):
        case.refresh()


def test_what_a_search_does_not_see_yet_is_found_by_the_next_refresh(case_of):
    now = 0.0
    case = case_of(evenly(1_200), faults=["lag"], monotonic=lambda: now)
    deleted = case.delete([3])
    case.sandbox.change(old_id(500), {"name": "New"})
    case.sandbox.create(newcomer(1))
    case.since, changes = case.refresh()
    assert changes == Changes()
    now += 3
    changes = case.refresh_and_compare()
    assert changes.deleted == tuple(deleted)
    assert (len(changes.added), changes.changed) == (1, (old_id(500),))


def test_one_who_comes_back_during_the_refresh_is_not_counted_twice(case_of):
    class Moving(Through):
        """A tenant where somebody leaves and comes back between two windows."""

        def search(self, q, **options) -> Page:
            page = self.tenant.search(q, **options)
            if q.startswith("created_at:[* TO"):
                case.delete([0])
                case.sandbox.create(member(0, datetime.now(UTC)))
            return page

    case = case_of(evenly(1_200))
    with pytest.raises(IncompleteError, match="counts 1,201 users, and 1,200"):
        run(refreshing(Moving(case.tenant), case.since, workers=1))
    assert case.refresh_and_compare() == Changes(changed=(old_id(0),))


class Through:
    """A tenant whose answers pass through a test."""

    sandbox, requests, notes = True, 0, ()

    def __init__(self, tenant):
        self.tenant, self.now = tenant, tenant.now
        self.domain = tenant.domain


class Miscounting(Through):
    """A tenant that counts one user more in every window than it has."""

    def search(self, q, **options) -> Page:
        page = self.tenant.search(q, **options)
        return Page(page.users, page.total + q.startswith("created_at"))


def test_a_tenant_that_counts_more_than_it_gives_is_an_error(case_of):
    case = case_of(evenly(40))
    with pytest.raises(IncompleteError, match="counts 1 users in a window and gives 0"):
        run(refreshing(Miscounting(case.tenant), case.since, workers=1))


def test_closing_the_reader_stops_the_refresh(case_of):
    case = case_of(evenly(9_000))
    before = case.tenant.requests
    steps = refreshing(case.tenant, case.since, workers=2)
    next(steps)
    next(steps)
    steps.close()
    assert case.tenant.requests - before < 8


def test_progress_reaches_its_total(case_of):
    case = case_of(evenly(3_000))
    steps = list(refreshing(case.tenant, case.since))
    assert (steps[-1].done, steps[-1].total) == (3_000, 3_000)
    assert Counter(step.total for step in steps)[3_000] == len(steps) - 1


def test_an_export_of_what_changed_is_refused_instead_of_passed_over(case_of):
    case = case_of(evenly(3))
    before = case.tenant.requests
    with pytest.raises(SettingsError, match="leave out --since, or --method export"):
        collect(case.tenant, method="export", since=case.since)
    assert case.tenant.requests == before
    assert len(collect(case.tenant, method="search", since=case.since)) == 3
