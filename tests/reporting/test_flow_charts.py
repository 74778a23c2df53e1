"""Comparisons as charts: they state the largest change, and say all of it in words."""

import re
from datetime import UTC, datetime, timedelta
from itertools import combinations
from xml.etree import ElementTree as ET

import pytest

from toolkit.analysis.estimate import Interval
from toolkit.classification.sources import Source
from toolkit.reporting.charts.flow_charts import FOLDED, flows, over_time
from toolkit.snapshots.comparison import Comparison, Move
from toolkit.snapshots.history import Moment, Series

NOW = datetime(2026, 11, 1, tzinfo=UTC)
_CURVED = 9  # points of a band's outline


def moment(days, sources, own=(0.4, 0.7), *, complete=True):
    users = sum(sources.values())
    low, high = (share * users for share in own)
    between = Interval(low, high, (low + high) / 2)
    return Moment("t.example", NOW + timedelta(days=days), complete, users, between, sources)


def made(users, **changes):
    sides = ({}, {})
    for pair, n in users.items():
        for side, source in zip(sides, pair, strict=True):
            if source:
                side[Source(source)] = side.get(Source(source), 0) + n
    moves = [Move(a and Source(a), b and Source(b), n, 0) for (a, b), n in users.items()]
    moves.sort(key=lambda one: -one.users)
    old, new = moment(0, sides[0]), moment(20, sides[1], **changes)
    return Comparison(old, new, tuple(moves))


def texts(chart):
    return [text.get_text() for text in chart.figure.axes[0].texts]


def bands(chart):
    """The shapes that curve from one side to the other."""
    patches = chart.figure.axes[0].patches
    return [p for p in patches if len(p.get_path().vertices) == _CURVED]


PROBED = made(
    {
        ("social", "social"): 1912,
        ("unresolved", "initials"): 1204,
        ("unresolved", "gravatar"): 498,
        ("custom", "placeholder"): 3,
        (None, "social"): 140,
        ("social", None): 121,
    }
)
EVERY = made(
    {(a.value, b.value): 50 + 3 * i + j for i, a in enumerate(Source) for j, b in enumerate(Source)}
)


def test_the_title_states_the_largest_move():
    assert flows(PROBED).title == "1,204 people moved from unresolved to initials"
    one = made({("custom", "social"): 1, ("social", "social"): 9})
    assert flows(one).title == "1 person moved from custom to social"


def test_the_title_states_who_came_or_went_where_that_is_the_largest_change():
    came = made({(None, "social"): 300, ("custom", "social"): 20})
    went = made({("missing", None): 300, ("custom", "social"): 20})
    assert flows(came).title == "300 new people, whose pictures come from a social login"
    assert flows(went).title == "300 deleted people, whose pictures are missing"


def test_no_change_at_all_is_stated():
    still = flows(made({("social", "social"): 10}))
    assert still.title == "Nobody moved to another source, is new or was deleted"
    assert flows(made({})).title == "There are no users"
    assert flows(made({})).svg()


def test_all_of_it_is_in_the_words():
    alt = flows(PROBED).alt
    assert "Moved: unresolved to initials 1,204; unresolved to gravatar 498" in alt
    assert "custom to placeholder 3" in alt
    assert "New: social 140" in alt
    assert "Deleted: social 121" in alt
    assert "Stayed: social 1,912" in alt


def test_both_sides_are_named_with_their_users_and_the_change():
    written = texts(flows(PROBED))
    assert written.count("social") == 2
    assert {"new", "deleted", "140", "121", "2,033", "2,052 (+19)"} <= set(written)
    assert {"2026-11-01", "2026-11-21"} <= set(written)


def test_moves_have_their_number_on_them():
    assert {"1,204", "498"} <= set(texts(flows(PROBED)))


def test_thin_moves_are_folded_and_summed_up():
    moved = {("custom", "social"): 1000, ("missing", "social"): 5, ("invalid", "social"): 4}
    chart = flows(made(moved))
    assert "Grey stubs: 2 more moves, of 9 people together." in texts(chart)
    assert max(5, 4) < FOLDED * 1009 < 1000
    assert len(bands(chart)) == 1
    assert "Grey stubs: 1 more move, of 3 people." in texts(flows(PROBED))


def test_nothing_is_folded_where_all_moves_are_of_a_size():
    moved = {("custom", "social"): 10, ("missing", "social"): 8}
    assert not [text for text in texts(flows(made(moved))) if "stubs" in text]


@pytest.mark.parametrize(("moved", "said"), [(500, None), (100, "5 times"), (1, "20 times")])
def test_those_who_stayed_are_narrowed_only_as_far_as_needed_and_that_is_said(moved, said):
    alt = flows(made({("social", "social"): 1000, ("custom", "social"): moved})).alt
    found = re.search(r"drawn (\d+ times) narrower", alt)
    assert (found and found[1]) == said


def test_bars_are_as_high_as_their_bands_together():
    chart = flows(made({("social", "social"): 100, ("custom", "social"): 100}))
    first, second = (band.get_path().vertices for band in bands(chart))
    heights = [points[7][1] - points[0][1] for points in (first, second)]
    assert heights[0] == pytest.approx(heights[1])
    ends = sorted((points[3][1], points[4][1]) for points in (first, second))
    assert ends[0][1] == pytest.approx(ends[1][0])


def test_a_snapshot_that_is_not_complete_is_said():
    assert "The new snapshot is not complete" in flows(made({}, complete=False)).alt


def test_unresolved_is_striped_and_not_only_grey():
    striped = [band for band in bands(flows(PROBED)) if band.get_hatch() == "////"]
    assert len(striped) == 2


def test_every_pair_of_sources_fits_the_card_and_no_two_numbers_overlap():
    chart = flows(EVERY)
    chart.svg()
    renderer = chart.figure._get_renderer()
    boxes = [text.get_window_extent(renderer) for text in chart.figure.axes[0].texts]
    card = chart.figure.bbox
    assert all(box.x0 >= 0 and box.x1 <= card.x1 for box in boxes)
    assert all(box.y0 >= 0 and box.y1 <= card.y1 for box in boxes)
    assert not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]


def test_charts_draw_the_same_twice_and_stand_in_a_page():
    for make in (lambda: flows(EVERY), lambda: over_time(SERIES)):
        assert make().svg() == make().svg()
        root = ET.fromstring(make().inline_svg("a"))
        assert root.find("{*}desc").text == make().alt
        assert "var(--ink, #1f2328)" in make().inline_svg("a")


SERIES = Series(
    (
        moment(0, {Source.SOCIAL: 1000}, (0.38, 0.45)),
        moment(30, {Source.SOCIAL: 1000}, (0.40, 0.45), complete=False),
        moment(90, {Source.SOCIAL: 1200}, (0.61, 0.66)),
    )
)


@pytest.mark.parametrize(
    ("owns", "title"),
    [
        ([(0.38, 0.45), (0.61, 0.66)], "Coverage has risen since 2026-11-01: from 38 to 45 % to"),
        ([(0.61, 0.66), (0.38, 0.45)], "Coverage has fallen since 2026-11-01: from 61 to 66 % to"),
        ([(0.40, 0.40), (0.41, 0.42)], "Coverage has hardly changed since 2026-11-01: 40 %, and"),
        ([(0.38, 0.73), (0.61, 0.66)], "Not enough is known to say whether coverage changed (202"),
    ],
)
def test_the_title_states_a_change_only_as_far_as_it_is_known(owns, title):
    moments = [moment(30 * i, {Source.SOCIAL: 100}, own) for i, own in enumerate(owns)]
    assert over_time(Series(tuple(moments))).title.startswith(title)


def test_coverage_over_time_says_each_snapshot_and_labels_the_ends():
    chart = over_time(SERIES)
    assert "2026-12-01, 1,000 users: 40.0 to 45.0 %" in chart.alt
    assert "1 of 3 snapshots are not complete" in chart.alt
    assert {"38 to 45 %", "61 to 66 %", "2026-11-01", "2027-01-30"} <= set(texts(chart))


def test_the_time_between_snapshots_is_drawn_to_scale():
    lines = over_time(SERIES).figure.axes[0].lines
    xs = max((line.get_xdata() for line in lines), key=len)
    assert (xs[1] - xs[0]) / (xs[2] - xs[0]) == pytest.approx(1 / 3)


def test_one_snapshot_and_none_are_drawn():
    one = over_time(Series(SERIES.moments[:1]))
    assert one.title == "38 to 45 % of people see a picture of their own"
    assert [patch for patch in one.figure.axes[0].patches if patch.get_hatch() == "////"]
    assert over_time(Series(())).title == "There are no snapshots"
    assert over_time(Series(())).svg()
