"""Coverage: counting, adding up, and the tables people read."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.analysis.coverage_count import Coverage, combine, coverage
from toolkit.analysis.estimate import Estimate, Interval, OwnEstimate, OwnStratum, Stratum
from toolkit.analysis.groups import ACTIVITY, CHOICES, Seen
from toolkit.classification.schema import SNAPSHOT
from toolkit.classification.sources import Source
from toolkit.errors import SettingsError, UnreadableInputError

NOW = datetime(2026, 11, 22, tzinfo=UTC)
PAST, FUTURE = "2026-11-21T00:00:00Z", "2026-12-01T00:00:00Z"

moments = st.none() | st.datetimes(
    datetime(2015, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    datetime(2026, 12, 31),  # noqa: DTZ001 - same
    timezones=st.just(UTC),
)
names = st.none() | st.sampled_from(["pw", "google", "(none)", "", "\ud800", "$x$"])
people = st.lists(
    st.tuples(st.sampled_from([s.value for s in Source]), names, names, moments, moments),
    max_size=25,
)


def frame_of(rows):
    columns = ["source", "connection", "provider", "created_at", "last_login"]
    return pd.DataFrame(rows, columns=columns, dtype="object")


def counted(rows, by="source"):
    return coverage(frame_of(rows), by, as_of=NOW)


@settings(max_examples=12)
@given(people, st.lists(st.integers(0, 25), max_size=4), st.sampled_from(CHOICES))
def test_chunks_add_up_to_the_whole_however_they_are_cut(rows, cuts, by):
    total = Coverage.empty(by)
    edges = [0, *sorted(cuts), len(rows)]
    for start, end in pairwise(edges):
        total = counted(rows[start:end], by) + total
    whole = counted(rows, by)
    assert total == whole
    assert hash(total) == hash(whole)
    assert whole.users == len(rows)
    assert whole.whole == counted(rows)


@settings(max_examples=12)
@given(people, people, people, st.sampled_from(CHOICES))
def test_adding_is_associative_and_commutative_and_nobody_adds_nothing(a, b, c, by):
    x, y, z = (counted(rows, by) for rows in (a, b, c))
    assert (x + y) + z == x + (y + z)
    assert x + y == y + x
    assert x + Coverage.empty(by) == x == Coverage.empty(by) + x


def test_a_coverage_is_equal_to_and_added_to_coverages_only():
    assert Coverage.empty() == Coverage.empty()
    assert Coverage.empty() != Coverage.empty("cohort")
    assert Coverage.empty() != 0
    with pytest.raises(TypeError):
        Coverage.empty() + 0


@settings(max_examples=20)
@given(people, st.sampled_from(CHOICES))
def test_shares_add_to_one_and_users_to_the_total(rows, by):
    table = counted(rows, by).table()
    assert table["users"].sum() == len(rows)
    if rows:
        assert table["share"].sum() == pytest.approx(1)
    if by != "source":
        named = [s.value for s in Source if s.value in table.columns]
        assert (table[named].sum(axis="columns") == table["users"]).all()


@pytest.mark.parametrize("dtype", ["object", "str", "string[pyarrow]", "string", "category"])
def test_every_dtype_of_a_column_counts_the_same(dtype):
    frame = pd.DataFrame(
        {
            "source": pd.Series(["social", "social", "missing"], dtype=dtype),
            "connection": pd.Series(["google", None, None], dtype=dtype),
        }
    )
    got = coverage(frame, "connection").counts
    assert got.to_dict("list") == {
        "group": ["(none)", "(none)", "google"],
        "source": ["social", "missing", "social"],
        "seen": ["on_word", "none", "on_word"],
        "users": [1, 1, 1],
    }
    texts = dict.fromkeys(["group", "source", "seen"], "str")
    assert got.dtypes.astype(str).to_dict() == texts | {"users": "int64"}


def test_a_category_that_nobody_has_is_no_group():
    source = pd.Categorical(["social"], categories=["social", "custom"])
    assert coverage(pd.DataFrame({"source": source})).sources == {Source.SOCIAL: 1}


@pytest.mark.parametrize("dtype", ["datetime64[us, UTC]", "object", "str"])
def test_cohorts_are_months_of_creation_in_order_and_the_unknown_come_last(dtype):
    created = pd.Series(["2024-03-31T23:59:59.999Z", None, "2019-12-01T00:00:00Z"], dtype="str")
    stamps = pd.to_datetime(created, utc=True, format="ISO8601")
    moments = created if dtype == "str" else stamps.astype(dtype)
    frame = pd.DataFrame({"source": ["social"] * 3, "created_at": moments})
    table = coverage(frame, "cohort").table()
    assert list(table["group"]) == ["2019-12", "2024-03", "(unknown)"]


@pytest.mark.parametrize(
    ("last_login", "group"),
    [
        ("2026-11-25T00:00:00Z", "30 days"),
        ("2026-11-22T00:00:00Z", "30 days"),
        ("2026-10-23T00:00:00Z", "30 days"),
        ("2026-10-22T23:59:59Z", "90 days"),
        ("2026-08-24T00:00:00Z", "90 days"),
        ("2026-08-23T23:59:59Z", "365 days"),
        ("2025-11-22T00:00:00Z", "365 days"),
        ("2025-11-21T23:59:59Z", "older"),
        (None, "never"),
    ],
)
def test_activity_counts_back_from_a_given_moment(last_login, group):
    frame = pd.DataFrame({"source": ["social"], "last_login": [last_login]})
    for as_of in (NOW, pd.Timestamp("2026-11-22"), pd.Timestamp("2026-11-22T01:00:00+01:00")):
        assert coverage(frame, "activity", as_of=as_of).table()["group"].item() == group


@pytest.mark.parametrize("dtype", ["object", "Int64", "str", "float64"])
def test_activity_is_listed_from_recent_to_never_and_not_known(dtype):
    logins = [None, "2020-01-01", None, "2026-01-01", "2026-09-01", "2026-11-21"]
    counts = pd.Series([5, 1, None, 1, 1, 1], dtype="Int64").astype(dtype)
    frame = pd.DataFrame({"source": ["social"] * 6, "last_login": logins, "logins_count": counts})
    assert list(coverage(frame, "activity", as_of=NOW).table()["group"]) == list(ACTIVITY)


def test_a_column_that_was_not_exported_is_not_known_and_said_so():
    frame = pd.DataFrame({"source": ["social"], "last_login": [None], "created_at": [None]})
    absent = ("last_login", "created_at")
    counted = coverage(frame, "activity", as_of=NOW, absent=absent)
    assert counted.table()["group"].item() == "unknown"
    note = "The users were exported without last_login: last logins are not known."
    assert counted.note == note
    assert note in repr(counted)
    assert note in counted._repr_html_()
    assert (counted + coverage(frame, "activity", as_of=NOW)).note == note
    assert (Coverage.empty("activity") + counted) == counted
    assert counted != coverage(frame.assign(logins_count=2), "activity", as_of=NOW)
    assert "created_at" in coverage(frame, "cohort", absent=absent).note
    assert coverage(frame, absent=absent).note == ""


def test_the_table_by_source_has_the_largest_first_and_ties_in_the_order_of_sources():
    frame = pd.DataFrame({"source": ["missing", "custom", "initials", "initials", "social"]})
    table = coverage(frame).table()
    assert list(table["source"]) == ["initials", "social", "custom", "missing"]
    assert list(table["share"]) == [0.4, 0.2, 0.2, 0.2]


def test_the_dictionary_holds_plain_numbers_for_json():
    frame = pd.DataFrame({"source": ["social", "missing"], "connection": ["google", "google"]})
    half = {"users": 1, "share": 0.5}
    assert coverage(frame).as_dict() == {"social": half, "missing": half}
    assert coverage(frame, "connection").as_dict() == {
        "google": {
            "users": 2,
            "share": 1.0,
            "own": {"low": 0.0, "high": 0.5, "on_word": 0.5},
            "sources": {"social": half, "missing": half},
        }
    }
    value = coverage(frame).as_dict()["social"]
    assert type(value["users"]) is int
    assert type(value["share"]) is float


def test_an_unknown_choice_names_the_choices():
    with pytest.raises(SettingsError, match="source, connection, provider, cohort, activity"):
        coverage(frame_of([]), "colour")


def test_activity_without_a_date_to_count_from_is_refused():
    with pytest.raises(SettingsError, match="as_of"):
        coverage(frame_of([]), "activity")


def test_coverages_by_different_things_do_not_add():
    with pytest.raises(SettingsError, match="do not add up"):
        combine(Coverage.empty("source"), Coverage.empty("cohort"))


@pytest.mark.parametrize("source", ["selfie", None, ""])
def test_a_source_that_is_none_is_refused(source):
    with pytest.raises(UnreadableInputError, match="not a source"):
        coverage(pd.DataFrame({"source": [source]}))


def test_a_missing_column_is_named():
    with pytest.raises(UnreadableInputError, match="'connection'"):
        coverage(pd.DataFrame({"source": ["social"]}), "connection")


def test_what_people_typed_stays_text_in_both_drawings():
    name = "<script>\u202e\n" + "x" * 10_000
    drawn = coverage(pd.DataFrame({"source": ["social"], "connection": [name]}), "connection")
    html, text = drawn._repr_html_(), repr(drawn)
    assert "<script>" not in html
    assert "&lt;script&gt;\\u202e\\nxxx" in html
    assert "<script>\\u202e\\nxxx" in text
    assert len(text.splitlines()) == 3
    assert max(map(len, text.splitlines())) < 120


def seen_of(source, underlying=None, expires_at=None, overrides=None):
    frame = pd.DataFrame(
        {
            "source": [source],
            "underlying": [underlying or source],
            "expires_at": pd.Series([expires_at], dtype="str"),
        }
    )
    (name,) = coverage(frame, as_of=NOW, wiring=overrides).seen
    return name


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("social", Seen.ON_WORD),  # of nobody knows which provider
        ("enterprise", Seen.ON_WORD),
        ("gravatar", Seen.OWN),
        ("custom", Seen.ON_WORD),
        ("unresolved", Seen.UNKNOWN),
        ("initials", Seen.INITIALS),
        ("placeholder", Seen.PLACEHOLDER),
        ("missing", Seen.NONE),
        ("invalid", Seen.BROKEN),
    ],
)
def test_what_people_see_follows_from_the_source(source, shown):
    assert seen_of(source) is shown
    assert seen_of(source, expires_at=FUTURE) is shown
    # An override that is known to reach nobody leaves the profile's picture.
    assert seen_of("metadata", source, overrides=False) is shown


def test_an_expired_picture_is_a_broken_image():
    assert seen_of("social", expires_at=PAST) is Seen.BROKEN
    assert seen_of("metadata", "social", PAST, overrides=False) is Seen.BROKEN
    assert seen_of("metadata", "social", PAST, overrides=True) is Seen.ON_WORD


def test_an_override_may_be_an_own_picture_where_it_is_wired_and_is_unknown_where_nobody_knows():
    assert seen_of("metadata", "missing", overrides=True) is Seen.ON_WORD
    assert seen_of("metadata", "missing", overrides=None) is Seen.UNKNOWN
    assert seen_of("metadata", "custom", overrides=None) is Seen.ON_WORD


def test_nothing_counts_as_expired_without_a_date():
    frame = pd.DataFrame({"source": ["social"], "expires_at": [PAST]})
    assert coverage(frame).broken == {}
    assert coverage(frame, as_of=NOW).broken == {Source.SOCIAL: 1}


def unresolved_by_connection():
    return pd.DataFrame(
        {
            "source": ["unresolved"] * 40 + ["gravatar", "initials", "gravatar", "metadata"],
            "connection": ["pw"] * 30 + ["apple"] * 10 + ["pw"] * 4,
        }
    )


def test_own_pictures_lie_between_what_is_known_and_what_nobody_denies():
    counted = coverage(unresolved_by_connection())
    assert counted.own == Interval(2, 43, 22.5)
    assert counted.estimated == {}
    table = coverage(unresolved_by_connection(), "connection").table().set_index("group")
    assert table.loc["apple", ["own_low", "own_high"]].tolist() == [0, 1]
    assert table.loc["pw", ["own_low", "own_high"]].tolist() == [2 / 34, 33 / 34]


def test_a_sample_narrows_what_nobody_knows():
    estimate = Estimate(
        (
            Stratum("pw", Source.INITIALS, 30, 30, 12),
            Stratum("apple", Source.PLACEHOLDER, 10, 5, 1),
        )
    )
    counted = replace(coverage(unresolved_by_connection()), estimate=estimate)
    assert counted.own.low >= 2 + 13
    assert counted.own.high <= 2 + 12 + 9 + 1
    found = counted.estimated
    assert found[Source.INITIALS] == Interval(19, 19, 19)  # the others of 30, and one
    assert 1 + 13 <= found[Source.GRAVATAR].low < found[Source.GRAVATAR].high <= 1 + 12 + 9
    table = counted.table()
    assert "unresolved" not in set(table["source"])
    assert (table["low"] <= table["users"]).all()
    assert (table["users"] <= table["high"]).all()
    groups = replace(coverage(unresolved_by_connection(), "connection"), estimate=estimate)
    rows = groups.table().set_index("group")
    assert rows.loc["pw", ["own_low", "own_high"]].tolist() == [14 / 34, 15 / 34]
    # What was counted stays what was counted.
    assert counted.sources[Source.UNRESOLVED] == 40
    assert counted + Coverage.empty() == counted


def test_pictures_that_were_looked_at_count_for_their_connection():
    frame = pd.DataFrame({"source": ["social"] * 4, "connection": ["a", "a", "b", "b"]})
    strata = (OwnStratum("a", Source.SOCIAL, 2, 2, 1), OwnStratum("b", Source.SOCIAL, 2, 2, 0))
    assert coverage(frame, "connection").table()["own_on_word"].tolist() == [1, 1]
    counted = replace(coverage(frame, "connection"), looked=OwnEstimate(strata))
    table = counted.table().set_index("group")
    assert table.loc["a", ["own_low", "own_high"]].tolist() == [0.5, 0.5]
    assert table.loc["b", ["own_low", "own_high"]].tolist() == [0, 0]
    assert table["own_on_word"].tolist() == [0, 0]
    assert counted.own.low == 1
    assert counted.whole.own == counted.own


def test_an_estimate_of_other_users_says_nothing():
    estimate = Estimate((Stratum("pw", Source.INITIALS, 41, 41, 7),))
    counted = replace(coverage(unresolved_by_connection()), estimate=estimate)
    assert counted.own == Interval(2, 43, 22.5)
    assert counted.estimated == {}


def test_an_estimate_of_some_of_the_users_leaves_the_others_unknown():
    estimate = Estimate((Stratum("pw", Source.INITIALS, 30, 30, 12),))
    counted = replace(coverage(unresolved_by_connection()), estimate=estimate)
    assert counted.own == Interval(14, 25, 19.5)
    assert counted.estimated[Source.UNRESOLVED] == Interval(10, 10, 10)
    assert counted.table()["users"].sum() == 44


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    # Nothing in a path is a pattern.
    return tmp_path_factory.mktemp("coverage") / "of [all] users.parquet"


stored_names = st.none() | st.sampled_from(["pw", "google", "(none)", "", "$x$"])
near = st.sampled_from(
    [timedelta(days=days, milliseconds=ms) for days in (0, 30, 90, 365) for ms in (-1, 0, 1)]
)
stored_moments = moments | near.map(lambda age: NOW - age)
sources = st.sampled_from([s.value for s in Source])
stored = st.lists(
    st.tuples(
        *(sources, st.none() | sources, stored_names, stored_names),
        *(stored_moments, stored_moments, stored_moments),
    ),
    max_size=25,
)


@settings(max_examples=25)
@given(stored, st.sampled_from(CHOICES), st.sampled_from([True, False, None]))
def test_a_file_counts_as_its_users_do(file, rows, by, overrides):
    names = "source underlying connection provider created_at last_login expires_at".split()
    users = [dict(zip(names, row, strict=True)) for row in rows]
    table = pa.Table.from_pylist(users, SNAPSHOT)
    pq.write_table(table, file, row_group_size=10)
    expected = coverage(table.to_pandas(), by, as_of=NOW, wiring=overrides)
    assert coverage(file, by, as_of=NOW, wiring=overrides) == expected
    if by != "activity":
        assert coverage(str(file), by) == coverage(table.to_pandas(), by)


def test_a_file_that_is_damaged_or_holds_an_unknown_source_is_said_to(tmp_path):
    path = tmp_path / "users.parquet"
    with pytest.raises(UnreadableInputError, match="collect again"):
        coverage(path)
    pq.write_table(pa.Table.from_pylist([{"source": "magic"}], SNAPSHOT), path)
    with pytest.raises(UnreadableInputError, match="'magic' is not a source"):
        coverage(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UnreadableInputError, match="collect again"):
        coverage(path)
    with pytest.raises(SettingsError, match="as_of"):
        coverage(path, "activity")
