"""Collections where this machine's clock and the tenant's differ."""

import json
from datetime import UTC, datetime, timedelta
from time import time

import pytest

from tests.collection.crowd import evenly, member
from tests.collection.liar import lying
from toolkit.collection.collect_users import collect
from toolkit.collection.place import state_path
from toolkit.collection.refresh import refreshing
from toolkit.collection.search import Walk
from toolkit.collection.window import Window

SKEWS = {
    "ten minutes ahead": timedelta(minutes=10),
    "ten minutes behind": timedelta(minutes=-10),
    "years ahead": timedelta(days=7 * 365),
    "years behind": timedelta(days=-7 * 365),
}


def tenant_of_another_time(tenant_with, records, ahead, **options):
    """Start a tenant whose clock is behind this machine's by so much."""
    return tenant_with(records, clock=lambda: time() - ahead.total_seconds(), **options)


@pytest.mark.parametrize("ahead", SKEWS.values(), ids=SKEWS)
def test_somebody_who_leaves_while_another_comes_hides_nobody_whatever_our_clock_says(
    tenant_with, ahead
):
    then = datetime.now(UTC) - ahead
    records = [
        member(n, then - timedelta(seconds=90) + timedelta(milliseconds=n)) for n in range(500)
    ]
    tenant = tenant_of_another_time(tenant_with, records, ahead)
    done = []

    class Swapping:
        """A tenant where one leaves and one comes before the fourth page is read."""

        now = tenant.now

        def search(self, q, **options):
            if options.get("page") == 3 and not done:
                done.append(q)
                tenant._sandbox.delete(records[10]["user_id"])
                tenant._sandbox.create(member(999, datetime.now(UTC) - ahead))
            return tenant.search(q, **options)

    windows = [one for one in Walk(Swapping()) if isinstance(one, Window)]
    read = {user.user_id for window in windows for user in window.users}
    assert done
    assert {one["user_id"] for one in records} - read <= {records[10]["user_id"]}


@pytest.mark.parametrize("ahead", SKEWS.values(), ids=SKEWS)
@pytest.mark.parametrize("method", ["search", "export"])
def test_a_snapshot_says_when_it_was_taken_by_the_tenants_clock(tenant_with, ahead, method):
    tenant = tenant_of_another_time(tenant_with, evenly(120), ahead)
    snapshot = collect(tenant, method=method)
    provenance = snapshot.provenance
    assert abs(datetime.now(UTC) - ahead - provenance.taken_at) < timedelta(minutes=1)
    assert provenance.complete
    assert len(snapshot) == 120
    assert any("the tenant's was used" in note for note in provenance.notes)


def test_changes_since_a_snapshot_are_found_whatever_our_clock_says(tenant_with):
    ahead = timedelta(minutes=10)
    tenant = tenant_of_another_time(tenant_with, evenly(150), ahead)
    since = collect(tenant, method="search")
    tenant._sandbox.change("auth0|00000007", {"name": "New"})
    steps = refreshing(tenant, since)
    try:
        while True:
            next(steps)
    except StopIteration as end:
        snapshot, changes = end.value
    assert changes.changed == ("auth0|00000007",)
    assert snapshot.provenance.taken_at < datetime.now(UTC) - timedelta(minutes=9)


def test_the_state_of_a_collection_keeps_the_tenants_time(tenant_with, tmp_path):
    ahead = timedelta(days=30)
    tenant = tenant_of_another_time(tenant_with, evenly(1_200), ahead)
    out = tmp_path / "s.parquet"
    steps = collect.steps(tenant, out=out, method="search")
    next(steps)
    steps.close()
    header = json.loads(state_path(out).read_bytes().splitlines()[0])
    taken_at = datetime.fromisoformat(header["taken_at"])
    assert abs(datetime.now(UTC) - ahead - taken_at) < timedelta(minutes=1)
    snapshot = collect(tenant, out=out, method="search")
    assert snapshot.provenance.taken_at == taken_at
    assert 0 <= snapshot.provenance.seconds < 60
    assert len(snapshot) == 1_200


@pytest.mark.parametrize("date", [None, "soon", "Wed, 01 Jan 3000 00:00:00 GMT"])
def test_a_tenant_that_does_not_tell_its_time_is_read_by_our_clock_with_a_note(date):
    headers = {} if date is None else {"Date": date}
    with lying(lambda *_: {"users": [], "total": 0}, headers) as tenant:
        provenance = collect(tenant, method="search").provenance
    assert any("no usable Date" in note for note in provenance.notes)
    assert abs(datetime.now(UTC) - provenance.taken_at) < timedelta(minutes=1)


def test_a_tenant_that_never_answered_is_asked_once_for_its_time(tenant_with):
    ahead = timedelta(hours=5)
    tenant = tenant_of_another_time(tenant_with, evenly(3), ahead)
    tenant._clock.__init__()  # as with a token of one's own: nothing was asked for yet
    before = tenant.requests
    assert datetime.now(UTC) - tenant.now() > timedelta(hours=4)
    tenant.now()
    assert tenant.requests == before + 1
