"""Times in each form that people's tools write, and what is left alone because it may be wrong."""

import pickle
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from email.utils import format_datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from toolkit.classification.times import EPOCH, UnreadTimes, at_milliseconds, milliseconds, moment
from toolkit.classification.user_profile import user

TEN = datetime(2024, 3, 1, 10, tzinfo=UTC)
MIDNIGHT = datetime(2024, 3, 1, tzinfo=UTC)
LAST = datetime(2024, 3, 31, 10, tzinfo=UTC)
EXACT = TEN.replace(microsecond=123_000)
ZONED = timezone(timedelta(hours=-5, minutes=-30))


def seconds(since):
    return (since - EPOCH) // timedelta(seconds=1)


@pytest.mark.parametrize(
    ("value", "time"),
    [
        # ISO 8601
        ("2024-03-01T10:00:00.123Z", EXACT),
        ("2024-03-01T10:00:00Z", TEN),
        ("2024-03-01t10:00:00z", TEN),
        ("2024-03-01 10:00:00", TEN),
        ("2024-03-01T10:00", TEN),
        ("2024-03-01", MIDNIGHT),
        ("2024-03-01T12:30:00.123+02:30", EXACT),
        ("2024-03-01T04:30:00-0530", TEN),
        ("2024-03-01 10:00:00 +0000", TEN),
        ("2024-03-01 12:00:00 +02", TEN),
        ("2024-03-01T10:00:00.1239999Z", EXACT),
        ("2024-03-01T10:00:00.123999999Z", EXACT),
        ("2024-03-01T10:00:00,123Z", EXACT),
        ("2024-03-01 10:00:00.1 UTC", TEN.replace(microsecond=100_000)),
        ("20240301T100000Z", TEN),
        ("20240301T100000.123+0000", EXACT),
        ("20240301T1000", TEN),
        ("20240301 100000", TEN),
        ("20240301100000", TEN),
        ("20240301", MIDNIGHT),
        (20240301, MIDNIGHT),
        (20240301100000, TEN),
        ("  2024-03-01T10:00:00Z\n", TEN),
        ("2024-3-1 9:05", datetime(2024, 3, 1, 9, 5, tzinfo=UTC)),
        ("2024/03/01 10:00:00", TEN),
        ("2024.03.01", MIDNIGHT),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        # Warehouses and databases
        ("2024-03-01 10:00:00 UTC", TEN),
        ("2024-03-01 10:00:00.123456 UTC", EXACT),
        ("2024-03-01 10:00:00.123 +0000", EXACT),
        ("2024-03-01 10:00:00.123 Z", EXACT),
        ("Fri, 01 Mar 2024 10:00:00 +0000", TEN),
        ("Fri, 01 Mar 2024 10:00:00 Z", TEN),
        ("Fri, 01 Mar 2024 02:00:00 -0800", TEN),
        ("2024-03-01 10:00:00.123+00", EXACT),
        ("2024-03-01 10:00:00 +0000 UTC", TEN),
        ({"$date": "2024-03-01T10:00:00.123Z"}, EXACT),
        ({"$date": 1709287200123}, EXACT),
        ({"$date": {"$numberLong": "1709287200123"}}, EXACT),
        ({"$timestamp": {"t": 1709287200, "i": 1}}, TEN),
        ('{"$date": {"$numberLong": "1709287200123"}}', EXACT),
        ("{'$date': '2024-03-01T10:00:00.123Z'}", EXACT),
        ('"2024-03-01T10:00:00.123Z"', EXACT),
        ('ISODate("2024-03-01T10:00:00.123Z")', EXACT),
        # Numbers
        (1709287200, TEN),
        (1709287200.123, EXACT),
        (1709287200123, EXACT),
        (1709287200123999, EXACT),
        (1709287200123999999, EXACT),
        (Decimal("1709287200.123999999"), EXACT),
        (np.int64(1709287200123), EXACT),
        ("1709287200", TEN),
        ("1709287200.123", EXACT),
        ("1.7092872E9", TEN),
        ("1709287200123", EXACT),
        # 13 digits that also look like 1612-01-01 and an hour
        ("1612010112000", datetime(2021, 1, 30, 12, 35, 12, tzinfo=UTC)),
        (631152000, datetime(1990, 1, 1, tzinfo=UTC)),
        (4102444799, datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (45352.4166667, TEN),
        (45352, MIDNIGHT),
        ("45352.4166667", TEN),
        ("45352,4166667", TEN),
        # Languages
        ("Fri, 01 Mar 2024 10:00:00 GMT", TEN),
        ("1 Mar 2024 10:00:00 +0000", TEN),
        ("Fri Mar 01 2024 10:00:00 GMT+0000 (Coordinated Universal Time)", TEN),
        ("Fri Mar 01 2024 11:00:00 GMT+0100 (Central European Standard Time)", TEN),
        ("Fri Mar  1 10:00:00 2024", TEN),
        ("Fri Mar 01 10:00:00 UTC 2024", TEN),
        ("March 1, 2024 at 10:00 AM", TEN),
        ("Mar 1, 2024, 10:00:00\u202fAM", TEN),
        ("01-Mar-2024 10:00", TEN),
        ("Friday, March 1, 2024", MIDNIGHT),
        ("Sept 1, 2024", datetime(2024, 9, 1, tzinfo=UTC)),
        ("Timestamp('2024-03-01 10:00:00.123000')", EXACT),
        ("Timestamp('2024-03-01 05:00:00-0500', tz='America/New_York')", TEN),
        ("2024-03-01 10:00:00.123000+00:00", EXACT),
        # Spreadsheets
        ("31.03.2024 10:00", LAST),
        ("01.03.2024 10:00", TEN),
        ("31/03/2024 10:00", LAST),
        ("3/31/2024 10:00", LAST),
        ("3/31/2024, 10:00:00 AM", LAST),
        ("31-03-2024", LAST.replace(hour=0)),
        ("3/3/2024", datetime(2024, 3, 3, tzinfo=UTC)),
        ("3/31/2024 12:00 PM", LAST.replace(hour=12)),
        ("3/31/2024 12:00 am", LAST.replace(hour=0)),
        ("3/31/2024 10:00 p.m.", LAST.replace(hour=22)),
        # Tables
        (EXACT.replace(tzinfo=None), EXACT),
        (EXACT.astimezone(ZONED), EXACT),
        (date(2024, 3, 1), MIDNIGHT),
        (pd.Timestamp("2024-03-01 10:00:00.123999999", tz="UTC"), EXACT),
    ],
)
def test_each_form_is_read_in_utc_to_the_millisecond(value, time):
    found = moment(value)
    assert found == time
    assert type(found) is datetime
    assert found.tzinfo is UTC


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        # Of two meanings
        ("3/4/2024", "9/9/9999"),
        ("03/04/2024 10:00", "99/99/9999 99:99"),
        ("3/4/2024 10:00 AM", "9/9/9999 99:99 AA"),
        ("3-4-2024", "9-9-9999"),
        ("24/3/14", "99/9/99"),
        ("31.03.24", "99.99.99"),
        ("2024-03-01 10:00 CST", "9999-99-99 99:99 AAA"),
        ("2024-03-01 10:00:00 +0200 UTC", "9999-99-99 99:99:99 +9999 AAA"),
        # Of none
        ("2024-02-30", "9999-99-99"),
        ("2024-02-30T10:00:00Z", "9999-99-99A99:99:99A"),
        ("20240230", "99999999"),
        ("2024-03-01 25:00", "9999-99-99 99:99"),
        ("2024-03-01 10:00 +99:00", "9999-99-99 99:99 +99:99"),
        ("3/31/2024 13:00 PM", "9/99/9999 99:99 AA"),
        ("13.13.2024", "99.99.9999"),
        ("32/13/2024", "99/99/9999"),
        ("1 Foo 2024", "9 Aaa 9999"),
        ("1 mars 2024", "9 aaaa 9999"),
        ("1 Mar 2 2024", "9 Aaa 9 9999"),
        ("Mar 2024", "Aaa 9999"),
        ("10:00", "99:99"),
        ("0001-01-01T00:00:00+14:00", "9999-99-99A99:99:99+99:99"),
        ("yesterday", "aaaaaaaaa"),
        ("anna@example.org, 5", "aaaa@aaaaaaa.aaa, 9"),
        ("Zo\u00eb \u5c71\u06f3\t\U0001f600\u202e", "Aaa a9???"),
        (0, "9"),
        (-1709287200, "-9999999999"),
        (32873, "99999"),
        (73051, "99999"),
        (631151999, "999999999"),
        (4102444800, "9999999999"),
        (float("inf"), "aaa"),
        pytest.param(10**5000, "9" * 40, id="5001 digits"),
        ("9" * 99, "9" * 40),
        ("2024-03-01 10:00:00 (" + "Z" * 99 + ")", "9999-99-99 99:99:99 (" + "A" * 19),
        (True, "Aaaa"),
        ([2024, 3, 1], "[…]"),
        ({}, "{…}"),
        ({"$date": {"at": "x"}}, "{…}"),
        ({"$timestamp": "1709287200"}, "{…}"),
        ({"seconds": 1709287200}, "{…}"),
        ('{"$date": ', '{"$aaaa":'),
        ('"' * 9, '"' * 9),
        (timedelta(1), "9 aaa, 9:99:99"),
    ],
)
def test_what_may_be_wrong_is_not_read_and_only_its_shape_is_told(value, shape):
    assert moment(value) is None
    unread = UnreadTimes()
    unread.add({"created_at": value})
    assert dict(unread) == {("created_at", shape): 1}


NOTHING = [
    *(None, float("nan"), pd.NaT, pd.NA, Decimal("NaN"), {"$date": None}),
    *("", " ", "NaT", "nan", "NaN", "null", "NULL", "None", r"\N", "<NA>", "N/A", "#N/A", '""'),
]


@pytest.mark.parametrize("value", NOTHING)
def test_no_time_is_none_and_not_counted(value):
    assert moment(value) is None
    unread = UnreadTimes()
    unread.add({"created_at": value})
    assert not unread


# From 1990 to 2099
moments = st.integers(631_152_000_000, 4_102_444_799_999).map(at_milliseconds)
MILLISECONDS = [
    lambda time: f"{time:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z",
    lambda time: time.isoformat(" "),
    lambda time: time.astimezone(ZONED).isoformat(),
    lambda time: f"{time:%Y-%m-%d %H:%M:%S.%f UTC}",
    lambda time: f"{time.astimezone(ZONED):%Y-%m-%d %H:%M:%S.%f %z}",
    lambda time: f"{time:%Y%m%dT%H%M%S.%fZ}",
    lambda time: f"{time:%d.%m.%Y %H:%M:%S.%f}",
    milliseconds,
    lambda time: str(milliseconds(time)),
    lambda time: milliseconds(time) * 1000,
    lambda time: milliseconds(time) * 1_000_000,
    lambda time: milliseconds(time) / 1000,
    lambda time: Decimal(milliseconds(time)) / 1000,
    lambda time: {"$date": {"$numberLong": str(milliseconds(time))}},
    lambda time: {"$date": milliseconds(time)},
    lambda time: repr(pd.Timestamp(time)),
    pd.Timestamp,
    lambda time: time.replace(tzinfo=None),
]
SECONDS = [
    seconds,
    lambda time: {"$timestamp": {"t": seconds(time), "i": 3}},
    format_datetime,
    lambda time: format_datetime(time.astimezone(ZONED)),
    lambda time: f"{time:%a %b %d %Y %H:%M:%S} GMT+0000 (Coordinated Universal Time)",
    lambda time: time.ctime(),
    lambda time: f"{time:%B %d, %Y at %I:%M:%S %p}",
    lambda time: f"{time:%Y%m%d%H%M%S}",
    lambda time: (time - datetime(1899, 12, 30, tzinfo=UTC)) / timedelta(days=1),
]


@given(moments)
def test_a_time_written_in_any_form_is_read_back(time):
    for form in MILLISECONDS:
        assert moment(form(time)) == time, form(time)
    whole = time.replace(microsecond=0)
    for form in SECONDS:
        assert moment(form(whole)) == whole, form(whole)
    day = whole.replace(hour=0, minute=0, second=0)
    for form in ("%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%d.%m.%Y", "%d-%b-%Y"):
        assert moment(day.strftime(form)) == day
    assert moment(day.date()) == day


@given(moments)
def test_an_order_of_day_and_month_is_never_guessed(time):
    day = time.replace(hour=0, minute=0, second=0, microsecond=0)
    for form in ("%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y"):
        found = moment(day.strftime(form))
        assert found == (None if day.day <= 12 and day.day != day.month else day)


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.decimals()
    | st.text()
    | st.text("0123456789-/.:,TZ +PMAarUCGt()'\"{}$", max_size=30)
    | st.binary()
    | st.datetimes()
    | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["$date", "$timestamp", "$numberLong", "t", "x"]), inner, max_size=2
        )
    ),
    max_leaves=6,
)


@given(ANYTHING)
@example({"$date": {"$date": {"$date": {"$date": {"$date": 1709287200}}}}})
def test_whatever_is_given_is_read_or_counted_or_absent(value):
    found = moment(value)
    assert found is None or (found.tzinfo is UTC and found.microsecond % 1000 == 0)
    unread = UnreadTimes()
    kept = user({"user_id": "auth0|1", "last_login": value}, unread)
    assert kept.last_login == found
    assert unread.total() <= (found is None)
    assert all(len(shape) <= 40 and name == "last_login" for name, shape in unread)


@given(st.text(min_size=1, max_size=60))
def test_a_shape_shows_no_letter_and_no_digit_of_a_value(text):
    unread = UnreadTimes()
    unread.add({"created_at": text})
    for _, shape in unread:
        assert set(filter(str.isalnum, shape)) <= {"a", "A", "9"}
        assert shape.isascii()
        assert shape.isprintable()


def test_a_note_for_each_attribute_tells_the_count_and_the_most_frequent_shape():
    unread = UnreadTimes()
    for day in range(1, 13):
        unread.add({"created_at": f"{day}/{day % 12 + 1}/2024", "updated_at": None})
    unread.add({"last_login": "soon"})
    assert unread.notes == (
        "12 times of created_at could not be read, for example of the shape 9/9/9999.",
        "1 time of last_login could not be read, for example of the shape aaaa.",
    )
    assert UnreadTimes().notes == ()


def test_counts_are_added_and_cross_processes():
    one, two = UnreadTimes(), UnreadTimes()
    one.add({"created_at": "3/4/2024", "last_login": "3/4/2024"})
    two.add({"created_at": "5/4/2024"})
    one += pickle.loads(pickle.dumps(two))
    assert type(one) is UnreadTimes
    assert one == {("created_at", "9/9/9999"): 2, ("last_login", "9/9/9999"): 1}


def test_however_many_shapes_there_are_a_few_are_kept_and_everything_is_counted():
    unread, other = UnreadTimes(), UnreadTimes()
    for length in range(1, 40):
        unread.add({"created_at": "x" * length})
        other.add({"created_at": "X" * length})
    unread += other
    assert len(unread) == 21
    assert unread.total() == 78
    assert unread.notes == (
        "78 times of created_at could not be read, for example of the shape a.",
    )


def test_a_user_keeps_what_can_be_read_and_counts_the_rest():
    unread = UnreadTimes()
    record = {"created_at": 1709287200, "updated_at": "3/4/2024", "last_login": "NaT"}
    kept = user(record, unread)
    assert (kept.created_at, kept.updated_at, kept.last_login) == (TEN, None, None)
    assert unread == {("updated_at", "9/9/9999"): 1}
    assert user(record) == kept
