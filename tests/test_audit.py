import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.audit import audit, profiles
from toolkit.columns import CLASSIFICATION, PROFILE
from toolkit.picture import RULES, classify
from toolkit.user import user

urls = st.one_of(
    st.none(),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.builds(
        "https://{}/{}?{}".format,
        st.sampled_from(sorted({rule.host for rule in RULES})),
        st.sampled_from(["avatar/" + "0" * 32, "avatars/ab.png", "a/b", "profile_images/1"]),
        st.sampled_from(["", "d=mp", "ext=1700000000", "e=1700000000", "oe=5FB9F3A0"]),
    ),
)
strategies = st.sampled_from([None, "auth0", "google-oauth2", "samlp", "oauth2", ""])
rows = st.lists(st.tuples(urls, urls, strategies, st.sampled_from([None, "db", "discord"])))


@given(rows)
def test_a_column_is_classified_as_each_url_would_be(rows):
    names = ["picture", "metadata_picture", "strategy", "connection"]
    frame = pd.DataFrame({n: [row[i] for row in rows] for i, n in enumerate(names)})
    for kind in ("object", "str"):
        audited = audit(frame.astype(kind)).astype(object)
        for row, (_, found) in zip(rows, audited.iterrows(), strict=True):
            expected = classify(row[0], metadata_picture=row[1], strategy=row[2], connection=row[3])
            for name in CLASSIFICATION.names:
                one, other = found[name], getattr(expected, name)
                assert (other is None and pd.isna(one)) or one == other


def test_the_other_columns_and_the_order_stay_as_they_are():
    frame = pd.DataFrame({"user_id": ["b", "a"], "picture": ["", None]}, index=[7, 3])
    audited = audit(frame)
    assert list(audited["user_id"]) == ["b", "a"]
    assert list(audited.index) == [7, 3]
    assert list(audited["source"]) == ["missing", "missing"]
    assert audit(audited).equals(audited)


def test_no_users_are_a_frame_all_the_same():
    frame = audit(profiles([]))
    assert list(frame.columns) == PROFILE.names + CLASSIFICATION.names
    assert len(frame) == 0


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"user_id": 7, "email": ["x"], "identities": {}, "created_at": 5},
        {"user_id": "auth0|1", "identities": [{"provider": 1, "connection": None}]},
        {"created_at": "0001-01-01T00:00:00+14:00", "last_login": "9999-12-31T23:59:59-14:00"},
        {"created_at": "2024-02-30", "logins_count": float("nan")},
        {"logins_count": float("inf")},
        {"logins_count": 2**80},
        {"picture": "\ud800", "name": "\udfff", "email": "a\x00b"},
        {"user_metadata": {"picture": {"deep": [1, {"er": None}]}}},
    ],
)
def test_a_record_of_any_shape_becomes_a_row(record):
    frame = audit(profiles([user(record)]))
    assert len(frame) == 1
    assert frame["source"].notna().all()


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
