"""Estimates: intervals that hold what is true, as often as they promise."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.analysis.estimate import Estimate, OwnEstimate, OwnStratum, Stratum, allocated
from toolkit.analysis.file_header import as_json, read
from toolkit.classification.sources import Source
from toolkit.sandbox.made_up.tenants import people


def sampled(population, size, seed):
    """Ask a random sample of a population: {stratum: [whether each has a Gravatar]}."""
    chance = Random(seed)
    sizes = allocated([len(some) for some in population.values()], size)
    return Estimate(
        tuple(
            Stratum(*key, len(some), n, sum(chance.sample(some, n)))
            for (key, some), n in zip(population.items(), sizes, strict=True)
        )
    )


@pytest.fixture(scope="module")
def sample_tenant():
    """The sample tenant's users with a Gravatar URL, by connection."""
    population = {}
    for person in people(5000, seed=1):
        if "/avatar/" in str(person.record.get("picture")):
            connection = person.record["identities"][0]["connection"]
            population.setdefault((connection, Source.INITIALS), []).append(person.gravatar)
    return population


def test_the_interval_of_400_holds_the_truth_in_at_least_93_of_100_samples(sample_tenant):
    truth = sum(sum(some) for some in sample_tenant.values())
    intervals = [sampled(sample_tenant, 400, seed).gravatars for seed in range(100)]
    assert sum(one.low <= truth <= one.high for one in intervals) >= 93
    assert all(one.low <= one.middle <= one.high for one in intervals)
    # It would be no use if it held everything.
    users = sum(map(len, sample_tenant.values()))
    assert max(one.high - one.low for one in intervals) < 0.11 * users


def test_the_interval_of_pictures_looked_at_holds_the_truth_as_often():
    """Many small strata, as connections and sources are, with the shares of ordinary providers."""
    shares = {"google": (1250, 0.65), "github": (250, 0.7), "facebook": (450, 0.2), "line": (20, 1)}
    shares |= {"pw": (1900, 0.31), "saml": (70, 0.6), "slack": (15, 0.9), "discord": (30, 0.95)}
    population = {
        (name, Source.SOCIAL): [number < users * share for number in range(users)]
        for name, (users, share) in shares.items()
    }
    truth = sum(map(sum, population.values()))
    held = 0
    for seed in range(100):
        strata = sampled(population, 400, seed).strata
        own = OwnEstimate(
            tuple(OwnStratum(one.connection, Source.SOCIAL, one.users, one.asked, one.present)
                  for one in strata)
        ).own  # fmt: skip
        held += own.low <= truth <= own.high
    assert held >= 93


def test_what_was_looked_at_is_counted_and_read_back():
    known = OwnStratum("pw", Source.GRAVATAR, 30, 0, 0, certain=True)
    seen = OwnStratum(None, Source.CUSTOM, 100, 10, 6, unclear=2)
    sample = OwnEstimate((known, seen))
    assert (sample.users, sample.asked, sample.unclear, sample.blind) == (130, 10, 2, 0)
    assert 36 <= sample.own.low < sample.own.middle < sample.own.high <= 128
    assert "of 130 users" in repr(sample)
    assert OwnEstimate.from_dict(as_json(sample)) == sample
    former = [{"connection": None, "source": "custom", "users": 9, "asked": 2, "present": 1}]
    (one,) = OwnEstimate.from_dict({"strata": [former[0] | {"unclear": 0}]}).strata
    assert one == OwnStratum(None, Source.CUSTOM, 9, 2, 1)
    with pytest.raises(ValueError, match="more answers"):
        OwnStratum("pw", Source.CUSTOM, 5, 6, 1)


def test_a_stratum_that_was_asked_for_whole_leaves_no_doubt():
    estimate = Estimate((Stratum("pw", Source.INITIALS, 50, 50, 20),))
    found = estimate.gravatars
    assert (found.low, found.middle, found.high) == (20, 20, 20)


def test_an_unclear_answer_counts_as_absent_below_and_present_above():
    estimate = Estimate((Stratum("pw", Source.INITIALS, 10, 10, 4, unclear=3),))
    found = estimate.gravatars
    assert (found.low, found.high) == (4, 7)
    assert estimate.unclear == 3


def test_users_who_were_not_asked_for_at_all_may_be_anything():
    asked = Stratum("pw", Source.INITIALS, 10, 10, 4)
    blind = Stratum("apple", Source.INITIALS, 5, 0, 0)
    found = Estimate((asked, blind)).gravatars
    assert (found.low, found.high) == (4, 9)
    assert Estimate((blind,)).gravatars.high == 5
    assert Estimate(()).gravatars.high == 0


def test_none_found_is_not_none_there():
    found = Estimate((Stratum("pw", Source.INITIALS, 10_000, 100, 0),)).gravatars
    assert found.low == found.middle == 0
    assert 200 < found.high < 500


@given(st.lists(st.integers(0, 500), max_size=8), st.integers(1, 600))
def test_a_sample_is_divided_whole_and_no_stratum_gives_more_than_it_has(users, size):
    drawn = allocated(users, size)
    assert sum(drawn) == min(size, sum(users))
    assert all(0 <= n <= m for n, m in zip(drawn, users, strict=True))


def test_a_small_stratum_is_heard_too():
    assert allocated([10_000, 30, 1], 100)[1:] == [2, 1]


def test_an_estimate_survives_being_written_down():
    estimate = Estimate(
        (
            Stratum(None, Source.PLACEHOLDER, 9, 4, 1, 1),
            Stratum("pw", Source.INITIALS, 90, 40, 10),
        )
    )
    assert read(Estimate, as_json(estimate)) == estimate
    assert "(95 %:" in repr(estimate)
    assert estimate.where(lambda one: one.connection == "pw").users == 90


@pytest.mark.parametrize(
    "changes",
    [
        {"users": 1},
        {"present": 3},
        {"unclear": 2},
        {"asked": -1},
        {"users": 2.5},
        {"connection": 1},
    ],
)
def test_a_file_can_hold_no_sample_that_cannot_be(changes):
    stratum = {"connection": "c", "otherwise": "initials"}
    stratum |= {"users": 3, "asked": 2, "present": 1, "unclear": 0}
    assert read(Estimate, {"strata": [stratum]}).users == 3
    assert read(Estimate, {"strata": [stratum | {"connection": None}]}).asked == 2
    with pytest.raises((TypeError, ValueError)):
        read(Estimate, {"strata": [stratum | changes]})
    del stratum["unclear"]
    with pytest.raises(KeyError):
        read(Estimate, {"strata": [stratum]})
