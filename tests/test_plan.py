"""Who changes and who does not, counted; pure."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from toolkit.audit import audit, profiles
from toolkit.connection import Connection
from toolkit.plan import CANNOT, CHANGE, NEEDED, ROWS, STAY, Decider, Plan, Tally
from toolkit.replacement import Policy, replaced, replaced_metadata
from toolkit.sandbox.people import NOW, people
from toolkit.user import user
from toolkit.way import CEILINGS, EXPLANATIONS, Way, requests, seconds

NEW = "https://images.example/new.png"
INITIALS = "https://cdn.auth0.com/avatars/te.png"
GRAVATAR = "https://s.gravatar.com/avatar/324ad113b0ef6dabbb2c2c4cf8a8d108?s=480&r=pg&d=https%3A%2F%2Fcdn.auth0.com%2Favatars%2Fte.png"
MINE = "https://mine.example/me.png"
DATABASE = Connection("db", "auth0")
SYNCING = Connection("google-oauth2", "google-oauth2", syncs=True)


def frame(*pictures, connection="db", strategy="auth0", **columns):
    rows = [
        {
            "user_id": f"{strategy}|{number}",
            "connection": connection,
            "strategy": strategy,
            "source": "initials",
            "picture": picture,
            "metadata_picture": None,
            **columns,
        }
        for number, picture in enumerate(pictures)
    ]
    return pd.DataFrame(rows, columns=list(NEEDED)).astype("str").where(lambda f: f.notna())


def decided(users, way=Way.ROOT, connections=(DATABASE, SYNCING), policy=None, **options):
    known = None if connections is None else {one.name: one for one in connections}
    decider = Decider(way, policy or Policy(NEW), NOW, known, **options)
    rows, tally = decider.decided(users)
    return rows.to_pylist(), tally


def outcomes(rows):
    return [row["outcome"] for row in rows]


def test_rows_say_what_each_user_gets_in_the_order_given():
    rows, tally = decided(frame(INITIALS, MINE, GRAVATAR))
    assert outcomes(rows) == [CHANGE, STAY, CHANGE]
    assert [row["user_id"] for row in rows] == ["auth0|0", "auth0|1", "auth0|2"]
    assert (rows[0]["after"], rows[1]["after"]) == (NEW, None)
    assert rows[2]["after"].startswith("https://s.gravatar.com/")
    assert rows[2]["after"].endswith("d=https%3A%2F%2Fimages.example%2Fnew.png")
    assert all(row["reason"] for row in rows)
    assert (tally.of(CHANGE), tally.of(STAY), tally.of(CANNOT)) == (2, 1, 0)


@pytest.mark.parametrize(
    ("connection", "strategy", "outcome"),
    [
        (DATABASE, "auth0", CHANGE),
        (Connection("db", "auth0", imports=False), "auth0", CANNOT),
        (Connection("db", "email"), "email", CHANGE),
        (Connection("db", "sms"), "sms", CHANGE),
        (Connection("db", "samlp", syncs=True), "samlp", CANNOT),
        (Connection("db", "samlp", syncs=False), "samlp", CHANGE),
        (Connection("db", "samlp"), "samlp", CANNOT),
        (None, "auth0", CHANGE),
        (None, "google-oauth2", CANNOT),
        (None, None, CANNOT),
    ],
)
def test_a_root_picture_is_only_written_where_the_connection_lets_it(connection, strategy, outcome):
    users = frame(INITIALS, strategy=strategy)
    known = None if connection is None else [connection]
    (row,), tally = decided(users, connections=known)
    assert row["outcome"] == outcome
    assert tally.ways == {
        "action": 1,
        "rule": 1,
        "metadata": 1,
        "root": int(outcome == CHANGE),
    }
    (elsewhere,), _ = decided(users, Way.METADATA, connections=known)
    assert elsewhere["outcome"] == CHANGE


def test_options_say_whether_a_connection_syncs():
    of = Connection.of
    assert of("a", "samlp", {}).syncs is True
    assert of("a", "samlp", {"set_user_root_attributes": "on_first_login"}).refusal is None
    assert of("a", "samlp", {"set_user_root_attributes": "never_on_login"}).refusal is None
    assert "not read" in (of("a", "samlp", None).refusal or "")
    custom = {"enabledDatabaseCustomization": True}
    assert of("a", "auth0", custom).refusal
    assert of("a", "auth0", {**custom, "import_mode": True}).refusal is None
    assert of("a", "samlp", {"client_secret": "s3cret"}) == Connection("a", "samlp", syncs=True)


def test_what_could_not_be_put_back_is_only_changed_where_that_is_said():
    users = frame(None, '{"url": 1}', "17", "true", "my photo", "undefined", INITIALS)
    rows, _ = decided(users)
    assert outcomes(rows) == [CANNOT] * 4 + [CHANGE] * 3
    sure, _ = decided(users, irreversible=True)
    assert outcomes(sure) == [CHANGE] * 7
    removable = Connection("db", "samlp", syncs=False)
    (row,), _ = decided(frame(None), connections=[removable])
    assert row["outcome"] == CHANGE
    metadata, _ = decided(users, Way.METADATA)
    assert outcomes(metadata) == [CHANGE] * 7


def test_who_has_no_id_is_in_no_plan():
    users = frame(INITIALS)
    users["user_id"] = ""
    (row,), tally = decided(users)
    assert row["outcome"] == STAY
    assert not any(tally.ways.values())


def test_counts_add_up_however_the_users_are_divided():
    records = [user(person.record) for person in people(400)]
    users = audit(profiles(records))
    whole_rows, whole = decided(users, policy=Policy(NEW, override=True))
    rows, tally = [], Tally()
    for start in range(0, len(users), 37):
        some, counted = decided(users.iloc[start : start + 37], policy=Policy(NEW, override=True))
        rows += some
        tally += counted
    assert rows == whole_rows
    assert tally == whole
    assert sum(tally.reasons.values()) == len(users)
    for counts in (tally.connections, tally.sources):
        assert sum(counts.values()) == len(users)
    assert Tally.from_dict(json.loads(json.dumps(tally.as_dict()))) == tally


@pytest.mark.parametrize("override", [False, True])
def test_each_row_is_what_the_replacement_of_its_way_says(override):
    users = audit(profiles([user(person.record) for person in people(1500, seed=8)]))
    policy = Policy(NEW, override=override)
    for way, of in ((Way.ACTION, replaced), (Way.METADATA, replaced_metadata)):
        for row in decided(users, way, policy=policy)[0]:
            given = {name: row[name] for name in ("metadata_picture", "connection")}
            expected = of(row["picture"], **given, policy=policy, now=NOW)
            assert (row["after"], row["reason"]) == (expected.after, expected.reason)


@pytest.mark.parametrize("override", [False, True])
def test_each_way_counts_what_it_would_change_itself(override):
    users = audit(profiles([user(person.record) for person in people(400)]))
    policy = Policy(NEW, override=override)
    tallies = {way: decided(users, way, policy=policy)[1] for way in Way}
    for tally in tallies.values():
        assert {way: tallies[way].of(CHANGE) for way in Way} == {
            way: tally.ways[way] for way in Way
        }


def test_nobody_at_all_is_an_empty_plan():
    rows, tally = decided(frame())
    assert rows == []
    assert tally == Tally()
    made = plan_of(tally, users=0)
    assert (made.changes, made.share, made.asks_again) == (0, 0.0, False)
    assert made.table("connection").empty


def plan_of(tally, users, **changes):
    made = Plan(
        id="0123456789abcdef",
        tenant="tenant.eu.auth0.com",
        sandbox=False,
        way=Way.ROOT,
        policy=Policy(NEW, connections=("db",), sources=("initials",)),
        made_at=datetime(2026, 11, 20, 12, tzinfo=UTC),
        taken_at=datetime(2026, 11, 20, 11, tzinfo=UTC),
        digest="0" * 64,
        users=users,
        tally=tally,
        connections_read=True,
        irreversible=False,
        verdicts=(("https", "ok", "https"),),
        code=None,
        rules=(),
        rate=None,
        notes=("a <note>",),
        toolkit_version="0",
    )
    return replace(made, **changes)


def test_a_plan_shows_itself_and_can_be_read_again():
    _, tally = decided(pd.concat([frame(INITIALS, MINE), frame(None)]))
    made = plan_of(tally, 3)
    assert Plan.from_dict(json.loads(json.dumps(made.as_dict()))) == made
    text = repr(made)
    assert "1 of 3 users change (33%), by root" in text
    assert "could not be undone" in text
    assert EXPLANATIONS[Way.ROOT].undo in text
    html = made._repr_html_()
    assert "a &lt;note&gt;" in html
    assert "<note>" not in html
    assert made.table()["users"].sum() == 3
    assert made.table("connection").to_dict("records") == [
        {"connection": "db", "change": 1, "cannot": 1, "stay": 1}
    ]
    assert made.table("source")["source"].tolist() == ["initials"]
    with pytest.raises(ValueError, match="no table"):
        made.table("colour")


def test_every_way_is_explained_and_compared():
    assert set(EXPLANATIONS) == set(Way)
    for one in EXPLANATIONS.values():
        assert all(getattr(one, name).endswith(".") for name in one.__slots__)
    tally = Tally(ways=decided(frame(*[INITIALS] * 10))[1].ways)
    effort = plan_of(tally, 10, rate=4.0).effort()
    assert set(effort) == set(Way)
    assert effort["root"]["requests"] == 11
    assert effort["root"]["seconds"]["free"] == 5.5
    assert effort["root"]["seconds"]["measured"] == 2.8
    assert set(effort["root"]["seconds"]) == {*CEILINGS, "measured"}
    assert effort["rule"]["requests"] == 0
    assert plan_of(tally, 10).table("way")["way"].tolist() == list(Way)


@pytest.mark.parametrize(
    ("plan", "hours"), [("free", 139), ("essentials", 83), ("enterprise", 17.4), ("private", 5.6)]
)
def test_a_million_writes_take_what_auth0s_limits_say(plan, hours):
    asked = timedelta(seconds=seconds(Way.ROOT, 1_000_000, CEILINGS[plan]))
    assert asked / timedelta(hours=1) == pytest.approx(hours, rel=0.03)
    assert requests(Way.ACTION, 1_000_000) == requests(Way.ACTION, 1) < 20


def test_above_two_thirds_of_a_tenant_a_change_of_users_asks_again():
    tally = decided(frame(*[INITIALS] * 7, *[MINE] * 3))[1]
    assert plan_of(tally, 10).asks_again
    assert not plan_of(tally, 11).asks_again
    assert not plan_of(tally, 10, way=Way.ACTION).asks_again


def test_rows_have_the_documented_columns():
    decider = Decider(Way.ROOT, Policy(NEW), NOW)
    assert decider.decided(frame(INITIALS))[0].schema == ROWS
    assert decider.decided(frame())[0].schema == ROWS
