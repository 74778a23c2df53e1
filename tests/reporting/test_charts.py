"""Charts: they say what they show, draw anything without a warning, and twice the same."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from itertools import cycle
from xml.etree import ElementTree as ET

import pandas as pd
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from toolkit.analysis.coverage_count import Coverage, coverage
from toolkit.analysis.estimate import Estimate, Stratum
from toolkit.classification.sources import Source
from toolkit.errors import SettingsError
from toolkit.reporting.charts.chart import Card
from toolkit.reporting.charts.month_charts import cohorts, own_by_month
from toolkit.reporting.charts.source_charts import by_group, by_source, largest, what_people_see
from toolkit.reporting.palette import COLOURS, ON_TAG, TAG

HOSTILE = [
    "<script>alert(1)</script>",
    '=HYPERLINK("http://example.com")',
    "\u202egnp.exe",
    "x" * 10_000,
    "$\\frac{1}{0}$ $",
    "會社 😀🏳️‍🌈",
    "שלום مرحبا",
    "\x00\n\t\ud800",
    "a & b \"c\" 'd'",
    "\u0301\u0301",
]


def made(pairs, by="connection"):
    seen = {"unresolved": "unknown", "metadata": "unknown", "missing": "none", "invalid": "broken"}
    seen |= {name: name for name in ("initials", "placeholder")}
    rows = [
        (group, source, seen.get(source, "own"), users) for (group, source), users in pairs.items()
    ]
    return Coverage(by, pd.DataFrame(rows, columns=["group", "source", "seen", "users"]))


def hostile():
    """Ten connections with names that nobody should be able to choose, read as from a tenant."""
    sources = cycle([s.value for s in Source])
    rows = [(name, next(sources)) for name in HOSTILE for _ in range(3)]
    return coverage(
        pd.DataFrame(rows, columns=["connection", "source"], dtype="object"), "connection"
    )


EVERY = made({("pw", s.value): 1 + n for n, s in enumerate(Source)})


MONTHS = made(
    {
        ("2019-11", "social"): 90,
        ("2020-02", "unresolved"): 10,
        ("2026-10", "unresolved"): 80,
        ("2026-10", "social"): 15,
        ("2026-10", "custom"): 5,
        ("(unknown)", "missing"): 7,
    },
    "cohort",
)


def told(rows, by="connection", estimate=None):
    """A coverage of rows (group, source, what people see, users)."""
    frame = pd.DataFrame(rows, columns=["group", "source", "seen", "users"])
    return Coverage(by, frame, estimate)


EXPIRED = told(
    [
        ("facebook", "social", "own", 66),
        ("facebook", "social", "broken", 34),
        ("pw", "invalid", "broken", 10),
        ("pw", "initials", "initials", 90),
    ]
)
SAMPLED = told(
    [
        ("pw", "unresolved", "unknown", 1000),
        ("pw", "initials", "initials", 100),
        ("google", "social", "own", 900),
    ],
    estimate=Estimate((Stratum("pw", Source.INITIALS, 1000, 100, 30),)),
)


def ids(svg):
    return re.findall(r' id="([^"]+)"', svg)


@pytest.mark.parametrize("draw", [by_source, what_people_see])
def test_a_chart_of_made_up_people_says_so(draw):
    real, made_up = draw(EVERY.whole), draw(replace(EVERY, made_up=True).whole)
    assert made_up.alt == f"Made-up people. {real.alt}"
    assert (TAG.lower() in real.svg(), TAG.lower() in made_up.svg()) == (False, True)


def test_every_source_has_a_colour_of_its_own():
    assert list(COLOURS) == list(Source)
    assert len(set(COLOURS.values())) == len(Source)


def test_the_title_states_the_two_largest_sources():
    chart = by_source(made({("a", "social"): 382, ("a", "unresolved"): 347, ("b", "custom"): 271}))
    assert chart.title == "38 % of pictures come from a social login; 35 % may be Gravatars"
    assert "social 382 users, 38.2 %" in chart.alt


def test_the_title_states_what_the_groups_differ_by_most():
    chart = by_group(
        made({("pw", "unresolved"): 96, ("google", "social"): 80, ("google", "unresolved"): 4})
    )
    assert chart.title == "100 % of social pictures are on google"


def test_groups_beyond_the_largest_are_folded_and_said():
    chart = by_group(made({(f"c{n:02d}", "social"): 100 - n for n in range(20)}), top=12)
    assert "the 12 largest of 20 connections" in chart.alt
    assert "8 others, 676 users" in chart.alt
    assert "c11, 89 users" in chart.alt
    assert "c12" not in chart.alt


def test_one_group_too_many_is_shown_instead_of_one_other():
    chart = by_group(made({(f"c{n:02d}", "social"): 100 - n for n in range(13)}), top=12)
    assert "c12, 88 users" in chart.alt
    assert "other" not in chart.alt


def test_groups_that_do_not_differ_are_not_made_to():
    same = made({(g, s): 10 for g in "ab" for s in ("social", "missing")})
    assert by_group(same).title == "The sources hardly differ between connections"


def test_one_group_alone_is_not_compared():
    alone = made({("facebook", "social"): 18, ("facebook", "missing"): 2})
    assert by_group(alone).title == "90 % of pictures of facebook users come from a social login"


@pytest.mark.parametrize(
    ("by", "groups", "title"),
    [
        # All of a source are of one group: the group is where they are.
        ("connection", ("google", "pw"), "100 % of social pictures are on google"),
        ("connection", ("(none)", "pw"), "100 % of social pictures have no connection"),
        ("provider", ("github", "auth0"), "100 % of social pictures are of the provider github"),
        ("provider", ("(none)", "auth0"), "100 % of social pictures have no provider"),
        (
            "cohort",
            ("2024-01", "2025-01"),
            "100 % of social pictures are of people who joined in 2024-01",
        ),
        (
            "activity",
            ("never", "older"),
            "100 % of social pictures are of people who never logged in",
        ),
    ],
)
def test_the_title_says_where_a_source_is(by, groups, title):
    here, there = groups
    assert by_group(made({(here, "social"): 50, (there, "custom"): 50}, by)).title == title


@pytest.mark.parametrize(
    ("by", "groups", "title"),
    [
        ("connection", ("google", "pw"), "90 % of pictures of google users come from a social"),
        ("connection", ("(none)", "pw"), "90 % of pictures of users without a connection come"),
        ("provider", ("github", "auth0"), "90 % of pictures of the provider github come from"),
    ],
)
def test_the_title_says_what_a_group_has(by, groups, title):
    here, there = groups
    counts = {(here, "social"): 45, (here, "custom"): 5}
    counts |= {(there, "social"): 20, (there, "custom"): 80}
    counts |= {("another", "social"): 20, ("another", "custom"): 80}
    assert by_group(made(counts, by)).title.startswith(title)


def test_users_without_a_picture_are_named_as_such():
    counts = {("pw", "missing"): 50, ("google", "social"): 50, ("apple", "social"): 50}
    assert by_group(made(counts)).title == "100 % of users without a picture are on pw"


def test_folding_leaves_a_sample_to_the_connections_that_it_asked():
    rows = [(f"c{n:02d}", "unresolved", "unknown", 100 - n) for n in range(20)]
    strata = tuple(Stratum(f"c{n:02d}", Source.INITIALS, 100 - n, 10, 10) for n in range(20))
    kept, rest = largest(told(rows, estimate=Estimate(strata)), 12)
    assert [one.connection for one in kept.estimate.strata] == [f"c{n:02d}" for n in range(12)]
    assert rest.estimate is None
    assert kept.users + rest.users == sum(100 - n for n in range(20))


def test_a_legend_that_is_wider_than_the_card_goes_on_below():
    every = [(f"g{n}", s.value, "own", 10) for n, s in enumerate(Source)]
    chart = by_group(told([*every, ("g0", "social", "broken", 1)]))
    axes = chart.figure.axes[0]
    places = {text.get_text(): text.get_position() for text in axes.texts}
    first, last = places[Source.SOCIAL.value], places["a broken image"]
    assert last[0] == first[0]
    assert last[1] > first[1]


def test_activity_is_told_in_words():
    groups = made({("30 days", "social"): 50, ("never", "missing"): 50}, "activity")
    assert "never logged in, 50 users: missing 100 %" in by_group(groups).alt
    assert (
        by_group(groups).title == "100 % of social pictures are of people seen in the last 30 days"
    )


def test_cohorts_that_hardly_change_say_so():
    counts = {(month, s): 10 for month in ("2024-01", "2026-01") for s in ("social", "custom")}
    assert cohorts(made(counts, "cohort")).title == (
        "The sources have hardly changed between 2024-01 and 2026-01"
    )


def test_cohorts_state_the_largest_change_and_who_is_left_out():
    chart = cohorts(MONTHS)
    assert chart.title == (
        "Social pictures fell from 90 % in the first 12 months to 15 % in the last"
    )
    assert "7 without a date are left out" in chart.alt


def test_sixty_years_of_months_become_years():
    chart = cohorts(made({("1970-01", "social"): 5, ("2026-01", "custom"): 5}, "cohort"))
    assert "by year of joining" in chart.alt


@pytest.mark.parametrize("by", ["connection", "provider", "cohort", "activity"])
def test_nobody_at_all_is_drawn_without_a_fuss(by):
    assert by_group(Coverage.empty(by)).title == "There are no users"
    assert by_source(Coverage.empty(by)).svg()
    assert cohorts(Coverage.empty("cohort")).svg()


def test_one_month_and_one_source_are_drawn():
    assert (
        cohorts(made({("2026-01", "social"): 1}, "cohort")).title == "All users joined in 2026-01"
    )
    assert by_source(made({("a", "missing"): 1})).title == "All pictures are missing"


def test_a_chart_of_the_wrong_coverage_is_refused():
    with pytest.raises(SettingsError, match="connection"):
        by_group(Coverage.empty("source"))
    with pytest.raises(SettingsError, match="cohort"):
        cohorts(Coverage.empty("connection"))


def test_hostile_names_are_drawn_without_a_warning_and_without_mathematics():
    chart = by_group(hostile())
    root = ET.fromstring(chart.svg())
    assert root.tag.endswith("svg")
    assert not root.findall(".//{*}script")
    assert "\\u202egnp.exe" in chart.alt
    assert "x" * 100 not in chart.alt


def test_names_in_the_drawing_are_cut_to_the_room_there_is():
    figure = by_group(hostile()).figure
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert any(text.startswith("xxxxxxxx") and text.endswith("…") for text in texts)
    assert max(map(len, texts)) < 120
    assert all(not text.get_parse_math() for text in figure.axes[0].texts)


def test_unresolved_is_striped_wherever_it_is_drawn():
    for chart in (by_source(EVERY), by_group(EVERY), cohorts(MONTHS), what_people_see(EVERY)):
        hatched = {patch.get_hatch() for patch in chart.figure.axes[0].patches}
        assert "////" in hatched


def test_the_same_chart_is_the_same_svg_without_a_date():
    first, second = by_group(EVERY).svg(), by_group(EVERY).svg()
    assert first == second
    assert "<dc:date>" not in first
    assert "Matplotlib" not in first


def test_two_charts_in_one_page_share_no_identifier():
    first, second = by_group(EVERY).inline_svg("a"), by_group(EVERY).inline_svg("b")
    assert len(ids(first)) == len(set(ids(first)))
    assert not set(ids(first)) & set(ids(second))
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', first))
    assert used <= set(ids(first))


def test_an_inline_chart_has_words_and_takes_the_colours_of_the_page():
    svg = by_group(hostile()).inline_svg("a")
    root = ET.fromstring(svg)
    assert root.get("role") == "img"
    assert root.find("{*}title").text == by_group(hostile()).title
    assert root.find("{*}desc").text == by_group(hostile()).alt
    assert "var(--card, #ffffff)" in svg
    assert "var(--ink, #1f2328)" in svg
    assert not re.search(r": #(?:ffffff|1f2328|59636e|d1d9e0)", svg)


def test_the_words_of_a_tag_stay_dark_on_dark_pages():
    assert f": {ON_TAG}" in Card("", "", 1, made_up=True).chart().inline_svg("a")


def test_a_notebook_shows_one_image_with_its_words():
    tags = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            tags.append((tag, dict(attrs)))

    chart = by_group(hostile())
    Reader().feed(chart._repr_html_())
    assert [tag for tag, _ in tags] == ["figure", "img"]
    assert tags[1][1]["alt"] == chart.alt
    assert tags[1][1]["src"].startswith("data:image/svg+xml;base64,")


def texts(chart):
    return [text.get_text() for text in chart.figure.axes[0].texts]


def test_what_has_expired_is_striped_in_the_colour_of_its_source_and_labelled():
    for chart in (by_source(EXPIRED), by_group(EXPIRED)):
        striped = [p for p in chart.figure.axes[0].patches if p.get_hatch() == r"\\\\"]
        assert {to_hex(p.get_facecolor()).upper() for p in striped} == {COLOURS[Source.SOCIAL]}
    assert "34 broken" in texts(by_source(EXPIRED))
    assert "34 % broken" in texts(by_group(EXPIRED))
    assert "social 100 users, 50.0 %, of which 34 broken" in by_source(EXPIRED).alt
    assert "facebook, 100 users: social 100 % (34 % broken)" in by_group(EXPIRED).alt


def test_what_is_no_url_at_all_has_not_expired():
    chart = by_group(told([("pw", "invalid", "broken", 3), ("pw", "social", "own", 7)]))
    assert "broken" not in chart.alt
    assert "a broken image" not in texts(chart)


def test_a_sample_shares_out_the_unresolved_and_says_how_sure_that_is():
    chart = by_source(SAMPLED)
    assert "from a sample of 100 probed Gravatars, 95 % interval" in chart.alt
    assert "unresolved" not in chart.alt
    low, high = SAMPLED.estimated[Source.GRAVATAR].low, SAMPLED.estimated[Source.GRAVATAR].high
    assert f"gravatar 300 users, 15.0 %, 95 % interval {low:,.0f} to {high:,.0f}" in chart.alt
    assert any(text.startswith("300 ± ") for text in texts(chart))
    assert chart.title.startswith("About ")


def test_what_people_see_is_one_bar_with_all_its_parts_named():
    chart = what_people_see(EXPIRED)
    assert chart.title == "33 % of people see a picture of their own"
    assert "own picture 33 %" in texts(chart)
    assert "broken image" in texts(chart)
    assert "22.0 %" in texts(chart)
    assert "initials (Auth0's initials) 90 people, 45.0 %" in chart.alt


def test_what_is_on_a_providers_word_is_dotted_and_no_part_of_at_least():
    rows = [("a", "social", "own", 40), ("a", "social", "on_word", 20)]
    chart = what_people_see(told([*rows, ("a", "missing", "none", 40)]))
    assert chart.title == "At least 40 %, up to 60 % of people see a picture of their own"
    assert "url(#" in chart.svg()


def test_your_default_has_a_pattern_of_its_own_in_bar_and_legend():
    """Fails if only its hue tells the default picture from own pictures."""
    shown = what_people_see(told([("a", "initials", "default", 60), ("a", "social", "own", 40)]))
    without = what_people_see(told([("a", "social", "own", 100)]))
    assert shown.svg().count("fill: url(#") == 2
    assert "fill: url(#" not in without.svg()


def test_a_chart_is_a_picture_for_slides_too():
    chart = what_people_see(told([("a", "social", "own", 1)]))
    with Image.open(BytesIO(chart.png())) as drawn:
        assert (drawn.format, drawn.width) == ("PNG", 2160)


def test_what_nobody_knows_is_in_the_title():
    rows = [("a", "social", "own", 38), ("a", "unresolved", "unknown", 35)]
    chart = what_people_see(told([*rows, ("a", "initials", "initials", 27)]))
    assert chart.title == "At least 38 %, up to 73 % of people see a picture of their own"
    assert what_people_see(SAMPLED).title.startswith("60 % ± ")


def by_month(first, last, unknown=0):
    """Two years in which the share with a picture of their own goes from one to another."""
    rows = []
    for year, own in (("2024", first), ("2025", last)):
        for month in range(1, 13):
            name = f"{year}-{month:02d}"
            rows += [(name, "social", "own", own), (name, "unresolved", "unknown", unknown)]
            rows.append((name, "initials", "initials", 100 - own - unknown))
    return told(rows, "cohort")


@pytest.mark.parametrize(
    ("first", "last", "unknown", "title"),
    [
        (72, 41, 0, "Coverage has fallen since 2024: from 72 % to 41 % of those who join"),
        (41, 72, 0, "Coverage has risen since 2024: from 41 % to 72 % of those who join"),
        (50, 51, 0, "Coverage has hardly changed since 2024: 50 %, and now 51 %"),
        (
            40,
            30,
            30,
            (
                "Not enough is known to say whether coverage changed "
                "(2024: 40 to 70 %, now: 30 to 60 %)"
            ),
        ),
        (
            80,
            30,
            20,
            "Coverage has fallen since 2024: from 80 to 100 % to 30 to 50 % of those who join",
        ),
    ],
)
def test_the_title_states_the_change_only_where_it_is_known(first, last, unknown, title):
    chart = own_by_month(by_month(first, last, unknown))
    assert chart.title == title
    striped = [p for p in chart.figure.axes[0].patches if p.get_hatch() == "////"]
    assert bool(striped) is bool(unknown)


def test_first_and_last_value_stand_at_the_line():
    assert {"72 %", "41 %"} <= set(texts(own_by_month(by_month(72, 41))))


def test_few_and_no_months_are_drawn_too():
    assert own_by_month(Coverage.empty("cohort")).title == "No user's date of joining is known"
    one = told([("2026-01", "social", "own", 1), ("2026-01", "missing", "none", 1)], "cohort")
    assert (
        own_by_month(one).title == "50 % of those who joined in 2026-01 see a picture of their own"
    )
    assert own_by_month(one).svg()
    gap = told([("2020-01", "social", "own", 1), ("2026-01", "social", "own", 1)], "cohort")
    assert len(own_by_month(gap).figure.axes[0].lines) == 2
    with pytest.raises(SettingsError, match="cohort"):
        own_by_month(Coverage.empty("connection"))


def test_thousands_of_groups_are_folded_before_they_are_drawn():
    chart = by_group(made({(f"c{n}", "social"): 1 + n for n in range(5000)}))
    assert "the 12 largest of 5,000 connections" in chart.alt


def test_a_sample_of_nobody_is_no_sample():
    nobody = told([("pw", "social", "own", 7)], estimate=Estimate(()))
    assert by_source(nobody).alt == by_source(told([("pw", "social", "own", 7)])).alt
    assert what_people_see(nobody).title == "100 % of people see a picture of their own"
