"""Frames of users are classified as each user would be, whatever they hold."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.classification.columnwise import with_verdicts
from toolkit.classification.frames import audit, profiles
from toolkit.classification.schema import CLASSIFICATION, ENCODED, PROFILE, SNAPSHOT
from toolkit.classification.sources import RULES, classify
from toolkit.classification.user_profile import tabulated, user

urls = st.one_of(
    st.none(),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.builds(
        "https://{}/{}?{}".format,
        st.sampled_from(sorted({host for rule in RULES for host in rule.hosts})),
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


ODD = [
    "\ud800",
    7,
    ["https://example.com/a.png"],
    {"url": "https://example.com/a.png"},
    float("nan"),
    None,
    "https://cdn.auth0.com/avatars/ab.png",
    "https://example.com/\udfff.png",
]


def test_values_that_no_text_column_can_hold_are_judged_one_by_one_in_their_place():
    url = "https://example.com/me.png"
    rows = [(picture, override) for picture in [*ODD, url] for override in [*ODD, url]]
    frame = pd.DataFrame(rows, columns=["picture", "metadata_picture"], dtype="object")
    frame["strategy"] = pd.Series(["samlp", 7, None] * (len(rows) // 3), dtype="object")
    audited = audit(frame).astype(object)
    for (picture, override), (_, found) in zip(rows, audited.iterrows(), strict=True):
        expected = classify(
            None if picture is ODD[4] else picture,
            metadata_picture=None if override is ODD[4] else override,
            strategy=found["strategy"] if isinstance(found["strategy"], str) else None,
        )
        for name in CLASSIFICATION.names:
            one, other = found[name], getattr(expected, name)
            assert (other is None and pd.isna(one)) or one == other


def test_a_lone_surrogate_does_not_spoil_a_column_of_text():
    urls = ["https://cdn.auth0.com/avatars/ab.png", "\ud800", None]
    sources = [audit(pd.DataFrame({"picture": urls}, dtype=kind))["source"] for kind in KINDS]
    assert [list(one) for one in sources] == [["initials", "invalid", "missing"]] * len(KINDS)


KINDS = ["object", "string[python]"]


def test_a_table_is_classified_as_its_frame():
    users = [
        user({"user_id": f"oauth2|{number}", "picture": picture})
        for number, picture in enumerate(ODD)
    ]
    encoded = with_verdicts(tabulated(users))
    assert encoded.schema == ENCODED
    table = encoded.cast(SNAPSHOT)
    assert table.schema == SNAPSHOT
    assert table.to_pandas()["source"].equals(audit(profiles(users))["source"])


@pytest.mark.parametrize("kind", ["str", "string", "category", "object"])
def test_columns_that_were_put_together_are_classified_as_whole_ones(kind):
    # In capitals, so that no shortcut is taken: it expires all the same.
    urls = [None, "https://MEDIA.licdn.com/x?e=1700000000", "https://cdn.auth0.com/avatars/a.png"]
    parts = [pd.Series([url], dtype=kind, name="picture") for url in urls]
    audited = audit(pd.concat(parts, ignore_index=True).to_frame())
    assert audited["source"].tolist() == ["missing", "social", "initials"]
    times = [classify(url).expires_at for url in urls]
    assert [None if pd.isna(one) else one for one in audited["expires_at"]] == times
