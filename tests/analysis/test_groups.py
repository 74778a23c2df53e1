"""The groups that users are counted by: names, keys, and the SQL that gives keys."""

from datetime import UTC, datetime, timedelta

import duckdb
import pytest

from toolkit.analysis.groups import ACTIVITY, CHOICES, COHORT, activity, ensure_choice, named
from toolkit.errors import SettingsError

NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    ("by", "key", "name"),
    [
        ("cohort", 202403, "2024-03"),
        ("cohort", 98712, "0987-12"),
        ("cohort", None, "(unknown)"),
        ("activity", 0, "30 days"),
        ("activity", 3, "older"),
        ("activity", None, "never"),
        ("connection", "pw", "pw"),
        ("provider", None, "(none)"),
    ],
)
def test_a_group_is_named_by_its_key(by, key, name):
    assert named(by, key) == name


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "America/Los_Angeles"])
def test_a_cohort_is_a_month_of_utc_wherever_the_engine_is(zone):
    with duckdb.connect() as engine:
        engine.execute(f"SET TimeZone = '{zone}'")
        asked = "SELECT {} FROM (SELECT $moment::TIMESTAMPTZ AS created_at)"
        for moment, key in (
            (datetime(2024, 3, 1, tzinfo=UTC), 202403),
            (datetime(2024, 1, 1, tzinfo=UTC), 202401),
            (datetime(2023, 12, 31, 23, 59, 59, tzinfo=UTC), 202312),
            (None, None),
        ):
            found = engine.execute(asked.format(COHORT), {"moment": moment}).fetchone()
            assert found == (key,)


@pytest.mark.parametrize(
    ("days", "name"),
    [
        (-1, "30 days"),
        (30, "30 days"),
        (31, "90 days"),
        (91, "365 days"),
        (366, "older"),
        (None, "never"),
    ],
)
def test_an_activity_is_told_by_the_days_since_the_last_login(days, name):
    place = activity(f"TIMESTAMPTZ '{NOW.isoformat()}'")
    login = None if days is None else NOW - timedelta(days)
    with duckdb.connect() as engine:
        asked = f"SELECT {place} FROM (SELECT $login::TIMESTAMPTZ AS last_login)"
        ((key,),) = engine.execute(asked, {"login": login}).fetchall()
    assert named("activity", key) == name
    assert name in ACTIVITY


def test_what_nobody_can_be_grouped_by_is_refused():
    for by in CHOICES:
        ensure_choice(by)
    with pytest.raises(SettingsError, match="cannot count by 'name'; choose one of source, "):
        ensure_choice("name")
