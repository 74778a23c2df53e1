"""The groups that users are counted by: names, keys, and the SQL that gives keys."""

from datetime import UTC, datetime, timedelta

import duckdb
import pytest

from toolkit.analysis.groups import (
    ACTIVITY,
    CHOICES,
    COHORT,
    activity,
    ensure_choice,
    lacking,
    named,
)
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
        ("activity", 4, "never"),
        ("activity", None, "unknown"),
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
    ("days", "logins", "absent", "name"),
    [
        (-1, 1, (), "30 days"),
        (30, None, (), "30 days"),
        (31, 0, (), "90 days"),
        (91, 1, (), "365 days"),
        (366, 1, ("last_login",), "older"),
        (None, None, (), "never"),
        (None, 0, (), "never"),
        (None, 5, (), "unknown"),
        (None, None, ("last_login",), "unknown"),
        (None, 5, ("last_login",), "unknown"),
        (None, 0, ("last_login",), "never"),
        (None, None, ("logins_count",), "never"),
    ],
)
def test_an_activity_is_told_by_the_last_login_and_whether_there_was_one(
    days, logins, absent, name
):
    place = activity(f"TIMESTAMPTZ '{NOW.isoformat()}'", absent)
    login = None if days is None else NOW - timedelta(days)
    with duckdb.connect() as engine:
        asked = (
            f"SELECT {place} FROM "
            "(SELECT $login::TIMESTAMPTZ AS last_login, $logins::BIGINT AS logins_count)"
        )
        ((key,),) = engine.execute(asked, {"login": login, "logins": logins}).fetchall()
    assert named("activity", key) == name
    assert name in ACTIVITY


def test_groups_that_were_not_exported_are_said_in_a_sentence():
    absent = ("last_login", "created_at", "connection", "metadata_picture", "email")
    for by in CHOICES:
        assert lacking(by, ()) == ""
        sentence = "The users were exported without "
        assert lacking(by, absent).startswith(sentence) is (by != "provider")
    assert lacking("activity", absent) == (
        "The users were exported without last_login: last logins are not known."
    )


def test_what_nobody_can_be_grouped_by_is_refused():
    for by in CHOICES:
        ensure_choice(by)
    with pytest.raises(SettingsError, match="cannot count by 'name'; choose one of source, "):
        ensure_choice("name")
