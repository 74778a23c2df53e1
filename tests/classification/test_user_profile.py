"""What is kept of one user object, whatever it holds."""

import json

import pytest

from toolkit.classification.schema import PROFILE
from toolkit.classification.user_profile import tabulated, user


def test_the_first_identity_is_the_primary_one():
    record = {
        "user_id": "auth0|1",
        "identities": [
            {"provider": "auth0", "connection": "db", "access_token": "secret"},
            {"provider": "google-oauth2", "connection": "google-oauth2"},
        ],
    }
    assert (user(record).strategy, user(record).connection) == ("auth0", "db")
    assert "secret" not in repr(user(record))


def test_without_identities_the_id_still_names_the_strategy():
    assert user({"user_id": "google-oauth2|1"}).strategy == "google-oauth2"
    assert user({"user_id": "odd"}).strategy is None


@pytest.mark.parametrize("record", [None, 7, "auth0|1", [{"user_id": "auth0|1"}]])
def test_what_is_no_user_object_is_kept_as_a_picture_that_is_its_json(record):
    kept = user(record)
    assert kept.user_id == ""
    assert json.loads(kept.picture) == {"not a user object": record}


def test_users_without_an_id_are_told_apart_by_their_profiles():
    assert user({"user_id": "auth0|1", "name": "Ann"}).key == "auth0|1"
    ann, again, ben = (user({"name": name}) for name in ("Ann", "Ann", "Ben"))
    assert ann.key == again.key != ben.key


@pytest.mark.parametrize(
    ("value", "count"),
    [
        *((0, 0), (3, 3), (3.0, 3), (-1, None), (True, None), (2**63, None), (float("nan"), None)),
        *(("3", 3), ("3.0", 3), ("3.5", None), ("-1", None), ("three", None), ("9" * 19, None)),
        *(({"$numberLong": "3"}, 3), ({"$numberInt": 3}, 3), ({}, None), ({"n": 3}, None)),
    ],
)
def test_a_count_of_logins_is_a_number_that_a_column_holds(value, count):
    assert user({"logins_count": value}).logins_count == count


def test_no_users_are_a_table_all_the_same():
    assert tabulated([]).schema == PROFILE
    assert tabulated([user({}), user({"user_id": "auth0|1"})])["user_id"].to_pylist() == [
        "",
        "auth0|1",
    ]
