"""The answer in words: right for exact counts, for samples, and where nobody knows."""

import pandas as pd
import pytest

from toolkit.analysis.coverage_count import Coverage
from toolkit.analysis.estimate import Estimate, Interval, OwnEstimate, OwnStratum, Stratum
from toolkit.analysis.groups import Seen
from toolkit.analysis.headline_words import (
    between,
    difference,
    headline,
    people_see,
    problem,
    sampled,
)
from toolkit.classification.sources import Source


def counted(*rows, estimate=None, looked=None):
    """A coverage of rows (source, what people see, users)."""
    frame = pd.DataFrame(rows, columns=["source", "seen", "users"])
    return Coverage("source", frame.assign(group=frame["source"]), estimate, looked)


KNOWN = counted(("social", "own", 54), ("initials", "initials", 46))
UNRESOLVED = counted(("social", "own", 38), ("unresolved", "unknown", 35), ("missing", "none", 27))
# Of 1000 Gravatar URLs all were asked: 300 exist; the others show initials.
ASKED = Estimate((Stratum("pw", Source.INITIALS, 1000, 1000, 300),))
# Of 1000 a tenth was asked.
SAMPLE = Estimate((Stratum("pw", Source.INITIALS, 1000, 100, 30),))
ROWS = (
    ("social", "own", 900),
    ("unresolved", "unknown", 1000),
    ("initials", "initials", 90),
    ("metadata", "unknown", 10),
)


def test_an_exact_count_has_no_doubt():
    said = headline(KNOWN)
    assert str(said) == "54 %"
    assert said.people == "54 of 100 people"


def test_nobody_is_said_to_be_nobody():
    assert str(headline(Coverage.empty())) == "0 %"
    assert headline(Coverage.empty()).people == "nobody was counted"


def test_what_nobody_knows_is_a_range():
    said = headline(UNRESOLVED, digits=1)
    assert str(said) == "at least 38.0 %, up to 73.0 %"
    assert said.people == "38 of 100 people; 73 if all who are unknown have one"


def test_a_sample_says_its_interval_its_size_and_whom_it_does_not_speak_for():
    coverage = counted(*ROWS, estimate=SAMPLE)
    said = headline(coverage)
    assert said.share == "60 %"
    assert str(said).startswith("60 % ± ")
    assert "a sample of 100 probed Gravatars, and 10 people of whom nobody knows" in said.people
    without = headline(counted(*ROWS[:3], estimate=SAMPLE))
    assert without.people.endswith("a sample of 100 probed Gravatars")


def test_only_an_estimate_of_these_users_from_answers_is_a_sample():
    assert sampled(counted(*ROWS, estimate=SAMPLE)) == "a sample of 100 probed Gravatars"
    assert sampled(counted(*ROWS)) == ""
    nobody_asked = Estimate((Stratum("pw", Source.INITIALS, 1000, 0, 0),))
    assert sampled(counted(*ROWS, estimate=nobody_asked)) == ""
    of_others = Estimate((Stratum("pw", Source.INITIALS, 1001, 7, 7),))
    assert sampled(counted(*ROWS, estimate=of_others)) == ""


def test_what_nobody_has_looked_at_is_no_part_of_an_interval():
    rows = (("social", "own", 40), ("social", "on_word", 20), ("missing", "none", 40))
    said = headline(counted(*rows))
    assert str(said) == "at least 40 %, up to 60 %"
    assert said.people == (
        "40 of 100 people for certain, 20 more perhaps: nobody has looked at their pictures"
    )
    unknown = headline(counted(*rows, ("metadata", "unknown", 20)))
    assert "; 80 if all who are unknown have one" in unknown.people
    asked = headline(counted(*ROWS[:3], ("social", "on_word", 20), estimate=SAMPLE))
    assert (asked.share[:8], asked.doubt[:2]) == ("at least", "up")
    assert "a sample of 100 probed Gravatars" in asked.people


def test_people_without_a_gravatar_see_your_default_where_it_is_live():
    shown = people_see(counted(*ROWS, ("missing", "default", 5), estimate=ASKED))
    assert shown[Seen.DEFAULT] == Interval(705, 705, 705)
    assert shown[Seen.INITIALS] == Interval(90, 90, 90)


def test_a_sample_of_pictures_that_were_looked_at_is_the_answer_for_everybody():
    strata = (
        OwnStratum("pw", Source.UNRESOLVED, 1000, 100, 30),
        OwnStratum("google", Source.SOCIAL, 900, 900, 600),
    )
    looked = OwnEstimate(strata)
    rows = (*ROWS[:3], ("social", "on_word", 0))
    coverage = counted(("social", "on_word", 900), *rows[1:], estimate=SAMPLE, looked=looked)
    said = headline(coverage)
    assert (coverage.own, coverage.on_word) == (looked.own, 0)
    assert str(said).startswith("45 % ± ")
    assert said.people.endswith("a sample of 1,000 pictures that were looked at")
    seen = people_see(coverage)
    assert seen[Seen.OWN] == looked.own
    assert seen[Seen.PLACEHOLDER] == Interval(300, 300, 300)  # the others of Google's
    assert Seen.ON_WORD not in seen
    # Broken pictures were looked at, too: they count once.
    late = (("social", "on_word", 800), ("social", "broken", 100), *rows[1:])
    seen = people_see(counted(*late, estimate=SAMPLE, looked=looked))
    assert seen[Seen.PLACEHOLDER] == Interval(200, 200, 200)


def test_what_no_look_tells_stays_unknown():
    some = (SAMPLE.strata[0].as_own(), OwnStratum("pw", Source.SOCIAL, 100, 0, 0, certain=True))
    looked = OwnEstimate((*some, OwnStratum("pw", Source.METADATA, 50, 0, 0)))
    rows = (("social", "own", 100), ("unresolved", "unknown", 1000), ("metadata", "unknown", 50))
    coverage = counted(*rows, estimate=SAMPLE, looked=looked)
    assert headline(coverage).people.endswith("and 50 people of whom nobody knows")
    seen = people_see(coverage)
    assert seen[Seen.UNKNOWN] == Interval(50, 50, 50)
    assert Seen.PLACEHOLDER not in seen
    # A script may replace the Gravatars, so that they say nothing about what people see.
    replaced = OwnEstimate((OwnStratum("pw", Source.UNRESOLVED, 1000, 0, 0), *some[1:]))
    seen = people_see(counted(*rows[:2], estimate=SAMPLE, looked=replaced))
    assert seen == {Seen.OWN: Interval(100, 1100, 600), Seen.UNKNOWN: Interval(1000, 1000, 1000)}


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(0.38, 0.73, "38 to 73 %"), (0.38, 0.3801, "38 %"), (0.0, 1.0, "0 to 100 %")],
)
def test_a_range_is_written_once_where_its_ends_read_alike(low, high, text):
    assert between(low, high) == text


def test_what_people_see_is_exact_without_a_sample():
    assert people_see(UNRESOLVED) == {
        Seen.OWN: Interval(38, 38, 38),
        Seen.UNKNOWN: Interval(35, 35, 35),
        Seen.NONE: Interval(27, 27, 27),
    }


def test_what_people_see_has_the_unresolved_shared_out_by_a_sample():
    assert people_see(counted(*ROWS, estimate=ASKED)) == {
        Seen.OWN: Interval(1200, 1200, 1200),
        Seen.UNKNOWN: Interval(10, 10, 10),
        Seen.INITIALS: Interval(790, 790, 790),
    }
    # Where the sample speaks for all who were unknown, nobody is.
    assert Seen.UNKNOWN not in people_see(counted(*ROWS[:3], estimate=ASKED))


@pytest.mark.parametrize(
    ("rows", "overrides", "sentence"),
    [
        ([("social", "own", 9)], None, ""),
        (
            [("social", "own", 8), ("missing", "none", 1)],
            None,
            "1 in 9 people has no picture at all.",
        ),
        (
            [("social", "own", 3), ("missing", "none", 7)],
            None,
            "7 in 10 people have no picture at all.",
        ),
        (
            [("social", "own", 10), ("invalid", "broken", 2), ("missing", "none", 1)],
            None,
            "1 in 6 people has a picture that no browser shows.",
        ),
        (
            [("social", "own", 3), ("social", "broken", 7), ("missing", "none", 1)],
            None,
            "7 in 10 social pictures show as a broken image.",
        ),
        (
            [("social", "own", 16), ("social", "broken", 4), ("custom", "own", 80)],
            None,
            "1 in 5 social pictures shows as a broken image.",
        ),
        (
            [("metadata", "broken", 1200), ("missing", "none", 7)],
            False,
            "1,200 pictures in user_metadata are shown by nothing.",
        ),
        ([("metadata", "unknown", 12)], None, ""),
        ([("metadata", "own", 12)], True, ""),
    ],
)
def test_what_is_wrong_for_most_people_is_one_sentence(rows, overrides, sentence):
    assert problem(counted(*rows), overrides=overrides) == sentence


def test_nobody_has_no_problem():
    assert problem(Coverage.empty(), overrides=None) == ""


def sampled_own(share: float):
    """A tenant of 1,000 whose pictures are all unresolved, of whom 400 were asked about."""
    stratum = Stratum("pw", Source.INITIALS, 1000, 400, round(400 * share))
    return counted(("unresolved", "unknown", 1000), estimate=Estimate((stratum,)))


FEWER = counted(("social", "own", 50), ("initials", "initials", 50))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (FEWER, KNOWN, "+4.0 points. Everybody was counted"),
        (KNOWN, KNOWN, "54.0 % before, 54.0 % now: unchanged"),
        (sampled_own(0.3), sampled_own(0.5), "that is more than chance."),
        (sampled_own(0.3), sampled_own(0.37), "that is more than chance."),
        (sampled_own(0.3), sampled_own(0.32), "a difference below 5.1 points can be chance."),
        (UNRESOLVED, KNOWN, "not enough is known to say whether it changed."),
        (Coverage.empty(), KNOWN, "Nobody was counted on one of these days."),
    ],
)
def test_a_difference_is_told_from_chance(old, new, said):
    assert said in difference(old, new)
