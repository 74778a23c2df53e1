"""Who changes and who does not, counted; pure."""

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest

from tests.change.conftest import ORDERS
from toolkit.change.decide import CANNOT, CHANGE, NEEDED, ROWS, STAY, Decider, Tally
from toolkit.change.plan_summary import Effect, Plan
from toolkit.change.policy import Policy, replaced, replaced_metadata, replaced_root
from toolkit.change.ways import CEILINGS, EXPLANATIONS, Way, plan_by, requests, seconds
from toolkit.classification.frames import audit, profiles
from toolkit.classification.sources import Fallback, without_gravatar
from toolkit.classification.user_profile import user
from toolkit.collection.exports.reader import user_objects
from toolkit.sandbox.made_up.tenants import NOW, people
from toolkit.tenant.models import Connection

DATA = Path(__file__).parents[2] / "data"
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
            "underlying": None,
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


def test_a_connection_that_nobody_knows_is_judged_by_its_strategy_or_not_at_all():
    (guessed,), _ = decided(frame(INITIALS, strategy="google-oauth2"), connections=None)
    assert "options were not read" in guessed["reason"]
    for known in (None, (), (SYNCING,)):
        (row,), _ = decided(frame(INITIALS, strategy=None), connections=known)
        assert row["reason"] == (
            "the connection is not known, so nobody knows whether Auth0 accepts a picture"
        )


@pytest.mark.parametrize("way", Way)
def test_who_signs_in_through_a_connection_out_of_scope_stays_by_every_way(way):
    (here,), _ = decided(frame(INITIALS), way, policy=Policy(NEW, connections=("db",)))
    assert here["outcome"] == CHANGE
    (row,), tally = decided(frame(INITIALS), way, policy=Policy(NEW, connections=("other",)))
    assert row["outcome"] == STAY
    assert "a connection that was not chosen" in row["reason"]
    assert not any(tally.ways.values())


def test_an_http_address_is_renewed_in_the_profile_and_never_put_into_metadata():
    users = frame(GRAVATAR.replace("https", "http", 1))
    assert outcomes(decided(users, Way.ROOT)[0]) == [CHANGE]
    rows, tally = decided(users, Way.METADATA)
    assert outcomes(rows) == [STAY]
    assert (tally.ways["root"], tally.ways["metadata"]) == (1, 0)


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
    odd = ('{"url": 1}', "[1]", "17", "-1.5", "true", "false", "NaN", "Infinity", "-Infinity")
    text = ("my photo", "undefined", '"quoted"', "{broken", "17 again", "none", "")
    path = ("/uploads/me.png", "me.png", "data:text/plain,x")
    users = frame(None, *odd, *text, *path, INITIALS)
    rows, tally = decided(users)
    assert outcomes(rows) == [CANNOT] * (len(users) - 1) + [CHANGE]
    assert tally.ways["root"] == 1
    reasons = {row["reason"] for row in rows if row["outcome"] == CANNOT}
    assert reasons == {
        "has no picture now: undo could not remove the new one",
        "the picture is no full web address: undo could not write it back",
    }
    sure, _ = decided(users, irreversible=True)
    assert outcomes(sure) == [CHANGE] * len(users)
    removable = Connection("db", "samlp", syncs=False)
    (row,), _ = decided(frame(None), connections=[removable])
    assert row["outcome"] == CHANGE
    metadata, _ = decided(users, Way.METADATA)
    assert outcomes(metadata) == [CHANGE] * len(users)


def probed(picture, found, **columns):
    return frame(picture, source=found, underlying=found, **columns)


@pytest.mark.parametrize(
    ("found", "outcome", "effect"),
    [
        ("gravatar", STAY, Effect(1, (0, 0), (0, 0))),
        ("unresolved", CHANGE, Effect(1, (0, 1), (0, 1))),
        ("initials", CHANGE, Effect(1, (1, 1), (0, 0))),
        ("placeholder", CHANGE, Effect(1, (1, 1), (0, 0))),
    ],
)
@pytest.mark.parametrize("way", [Way.ROOT, Way.METADATA])
def test_a_gravatar_is_written_unless_it_is_known_to_exist(way, found, outcome, effect):
    (row,), tally = decided(probed(GRAVATAR, found), way)
    assert row["outcome"] == outcome
    made = plan_of(tally, 1, way=way)
    assert made.effect() == effect
    assert made.effort()[way]["requests"] == 2 * (outcome == CHANGE)


def test_at_a_login_who_has_a_gravatar_gets_only_another_fallback():
    (row,), tally = decided(probed(GRAVATAR, "gravatar"), Way.ACTION)
    assert row["outcome"] == CHANGE
    assert plan_of(tally, 1, way=Way.ACTION).effect() == Effect(1, (0, 0), (1, 1))
    assert plan_of(tally, 1).effect() == Effect(1, (0, 0), (0, 0))


def test_initials_in_metadata_that_hide_a_gravatar_are_replaced_by_it():
    users = frame(GRAVATAR, source="metadata", underlying="gravatar", metadata_picture=INITIALS)
    (row,), tally = decided(users, Way.METADATA)
    assert row["after"].startswith("https://s.gravatar.com/")
    assert plan_of(tally, 1, way=Way.METADATA).effect() == Effect(1, (0, 1), (0, 1))
    assert outcomes(decided(users, Way.ROOT)[0]) == [STAY]


def test_what_people_see_is_said_in_three_numbers_that_add_up():
    users = [probed(GRAVATAR, one) for one in ("gravatar", "unresolved", "initials")]
    _, tally = decided(pd.concat([*users, frame(MINE, None)]), Way.ACTION)
    effect = plan_of(tally, 5, way=Way.ACTION).effect()
    assert str(effect) == (
        "2 to 3 of 5 people see another picture · 1 to 2 only another fallback · 1 untouched"
    )
    assert effect.as_dict() == {
        "another": {"low": 2, "high": 3},
        "fallback": {"low": 1, "high": 2},
        "untouched": 1,
    }
    for seen in range(effect.another[0], effect.another[1] + 1):
        assert seen + (effect.fallback[1] + effect.another[0] - seen) + effect.untouched == 5


def asked_about(users):
    """Return the sample tenant's users as they are once Gravatar was asked about all of them."""
    truth = pd.read_csv(DATA / "truth.csv", index_col="user_id")["gravatar"]
    found, unresolved = users["user_id"].map(truth), users["underlying"] == "unresolved"
    without = users["fallback"].map(
        lambda one: without_gravatar(Fallback(one)).value, na_action="ignore"
    )
    known = users["underlying"].mask(unresolved, without.mask(found, "gravatar"))
    return users.assign(
        underlying=known, source=users["source"].mask(users["source"] == "unresolved", known)
    )


@pytest.mark.parametrize("way", [Way.ACTION, Way.ROOT])
def test_of_the_sample_tenant_fewer_see_another_picture_than_addresses_are_rewritten(way):
    """Fails if who keeps a Gravatar that exists counts among those who see a change."""
    users = asked_about(audit(profiles(map(user, user_objects(DATA / "users.ndjson.gz", "users")))))
    rows, tally = decided(users, way, connections=None)
    # What was said before: everybody whose address would be another, with each Gravatar's.
    before = [row for row in rows if rewritten(row, way)]
    effect = plan_of(tally, len(users), way=way).effect()
    # The profile's picture is written whether an override is shown before it or not.
    column = "source" if way is Way.ACTION else "underlying"
    gravatars = sum(row[column] == "gravatar" for row in before)
    assert gravatars > 500
    assert effect.another[1] == len(before) - gravatars
    assert effect.fallback[0] == (gravatars if way is Way.ACTION else 0)
    assert effect.another[1] + effect.fallback[0] + effect.untouched == len(users)
    assert effect.another[0] + effect.fallback[1] + effect.untouched == len(users)


def rewritten(row, way):
    if row["outcome"] == CANNOT:
        return False
    about = {"policy": Policy(NEW), "now": NOW}
    if way is Way.ROOT:
        return replaced_root(row["picture"], **about).after is not None
    override = row["metadata_picture"]
    return replaced(row["picture"], metadata_picture=override, **about).after is not None


def test_a_plan_made_before_what_people_see_was_counted_takes_it_from_the_sources():
    found = ("gravatar", "unresolved", "initials", "placeholder")
    users = [probed(GRAVATAR, one) for one in found]
    for way in Way:
        _, tally = decided(pd.concat(users), way)
        written = tally.as_dict()
        del written["seen"]
        old = plan_of(Tally.from_dict(written), 4, way=way)
        assert old.effect() == plan_of(tally, 4, way=way).effect()


@pytest.mark.parametrize("way", [Way.ACTION, Way.ROOT, Way.METADATA])
@pytest.mark.parametrize("now", [INITIALS, NEW, GRAVATAR, None])
def test_a_picture_held_elsewhere_comes_before_the_default_if_the_policy_says_so(way, now):
    users = frame(now, source="unresolved", elsewhere=MINE)
    (row,), tally = decided(
        users, way, policy=Policy(NEW, order=("own", "elsewhere")), irreversible=True
    )
    assert (row["after"], row["outcome"]) == (MINE, CHANGE)
    assert plan_of(tally, 1, way=way).effect() == Effect(1, (1, 1), (0, 0))
    (row,), _ = decided(users, way, irreversible=True)
    assert row["after"] != MINE


@pytest.mark.parametrize(
    ("way", "another"), [(Way.ACTION, (1, 1)), (Way.ROOT, (0, 1)), (Way.METADATA, (0, 0))]
)
def test_whether_an_override_hides_a_written_picture_is_not_known(way, another):
    users = frame(f"{MINE}?2", source="metadata", metadata_picture=f"{MINE}?3", elsewhere=MINE)
    _, tally = decided(users, way, policy=Policy(NEW, order=("elsewhere", "own")))
    assert plan_of(tally, 1, way=way).effect().another == another


@pytest.mark.parametrize("own", ["https://lh3.googleusercontent.com/a/x=s96-c", f"{MINE}?2"])
@pytest.mark.parametrize("way", list(Way))
def test_a_picture_of_ones_own_comes_before_one_held_elsewhere(way, own):
    policy = Policy(NEW, order=("override", "own", "elsewhere"))
    (row,), _ = decided(frame(own, elsewhere=MINE), way, policy=policy)
    assert row["outcome"] == STAY
    users = frame(INITIALS, elsewhere=MINE, metadata_picture=own)
    (row,), _ = decided(users, Way.ACTION, policy=policy)
    assert row["after"] == own
    (row,), _ = decided(probed(GRAVATAR, "gravatar", elsewhere=MINE), Way.ROOT, policy=policy)
    assert row["outcome"] == STAY


def test_a_default_picture_that_is_held_elsewhere_is_none_of_anybodys():
    old = "https://images.example/old.png"
    policy = Policy(NEW, order=("own", "elsewhere"), former=(old,))
    for spare in (NEW, old):
        (row,), _ = decided(frame(INITIALS, elsewhere=spare), policy=policy)
        assert row["after"] == NEW


def test_who_has_no_id_is_in_no_plan():
    users = frame(INITIALS)
    users["user_id"] = ""
    (row,), tally = decided(users)
    assert (row["outcome"], row["after"]) == (STAY, None)
    assert row["reason"] == "has no user_id, so it cannot be written"
    assert not any(tally.ways.values())


def test_who_has_no_connection_and_no_source_is_counted_under_an_empty_name():
    users = frame(INITIALS, connection=None, source=None)
    made = plan_of(decided(users, Way.ACTION)[1], 1)
    assert made.table("connection").to_dict("records") == [
        {"connection": "", "change": 1, "cannot": 0, "stay": 0}
    ]
    assert made.table("source")["source"].tolist() == [""]


def test_counts_add_up_however_the_users_are_divided():
    records = [user(person.record) for person in people(400)]
    users = audit(profiles(records))
    whole_rows, whole = decided(users, policy=Policy(NEW, order=("override", "own")))
    rows, tally = [], Tally()
    for start in range(0, len(users), 37):
        some, counted = decided(
            users.iloc[start : start + 37], policy=Policy(NEW, order=("override", "own"))
        )
        rows += some
        tally += counted
    assert rows == whole_rows
    assert tally == whole
    assert sum(tally.reasons.values()) == len(users)
    for counts in (tally.connections, tally.sources):
        assert sum(counts.values()) == len(users)
    assert Tally.from_dict(json.loads(json.dumps(tally.as_dict()))) == tally


@pytest.mark.parametrize("order", ORDERS)
def test_each_row_is_what_the_replacement_of_its_way_says(order):
    users = audit(profiles([user(person.record) for person in people(1500, seed=8)]))
    policy = Policy(NEW, order=order)
    for way, of in ((Way.ACTION, replaced), (Way.METADATA, replaced_metadata)):
        for row in decided(users, way, policy=policy)[0]:
            given = {name: row[name] for name in ("metadata_picture", "elsewhere", "connection")}
            expected = of(row["picture"], **given, policy=policy, now=NOW)
            assert (row["after"], row["reason"]) == (expected.after, expected.reason)


@pytest.mark.parametrize("way", list(Way))
def test_users_who_are_alike_are_decided_about_as_each_would_be_alone(way):
    signed = "https://platform-lookaside.fbsbx.com/x?asid=1&ext={}&hash=A"
    pictures = [None, "", " ", "x", "[1]", NEW, f"{NEW}?a=1", MINE, f"{MINE}?d=1", INITIALS]
    pictures += [signed.format(1), signed.format(2), signed.format(4_000_000_000)]
    pictures += ["https://files.slack.com/a.png", "https://people.googleapis.com/a.png"]
    for scheme in ("https", "http", "HTTPS"):
        for digit in "ab":
            plain = f"{scheme}://s.gravatar.com/avatar/{digit * 32}"
            pictures += [plain, f"{plain}?", f"{plain}?s=1?2&d=mp", f"{plain}?d=mp&f=y&d=x#d=1"]
            pictures += [f" {plain}", f"{plain}?d={MINE}", f"{plain}?d={NEW}"]
            pictures += [f"{plain}?d=https%3A%2F%2Fcdn.auth0.com%2Favatars%2F{digit}b.png"]
    users = pd.concat(
        [
            frame(*pictures),
            frame(*pictures, metadata_picture=MINE),
            frame(*pictures, strategy="google-oauth2", connection="google-oauth2"),
            frame(*pictures, user_id=""),
        ],
        ignore_index=True,
    )
    policy = Policy(NEW, former=(MINE,))
    rows, tally = decided(pd.concat([users, users]), way, policy=policy)
    one_by_one = [decided(users.iloc[[at]], way, policy=policy) for at in range(len(users))]
    assert rows == 2 * [row for some, _ in one_by_one for row in some]
    assert tally == sum((counted for _, counted in 2 * one_by_one), Tally())


def test_users_who_look_alike_are_told_apart_by_all_that_counts():
    """Against the function that decides about one picture, and not against itself."""
    plain = "https://s.gravatar.com/avatar/" + "a" * 32
    signed = "https://platform-lookaside.fbsbx.com/x?asid=1&hash=A&ext={}"
    moment = int(NOW.timestamp())
    pictures = [f"{plain}?s=1?2&d=mp", f"{plain}?s=9?2&d=mp", f"{plain}?s=9?2&d=retro"]
    pictures += [signed.format(moment + after) for after in (-1, 0, 1)]
    pictures += [MINE, "https://files.slack.com/a.png"]
    policy = Policy(NEW)
    rows, _ = decided(frame(*pictures), Way.ROOT, policy=policy)
    each = [replaced_root(one, connection="db", policy=policy, now=NOW) for one in pictures]
    assert [row["after"] for row in rows] == [one.after for one in each]
    assert [one.after is None for one in each] == [False] * 5 + [True, True, False]


@pytest.mark.parametrize("remembered", [1, 7, 65_536])
def test_what_a_decider_remembers_of_one_frame_decides_the_next_no_otherwise(
    remembered, monkeypatch
):
    monkeypatch.setattr(import_module("toolkit.change.decide"), "_REMEMBERED", remembered)
    users = audit(profiles([user(person.record) for person in people(400)]))
    decider = Decider(Way.ROOT, Policy(NEW), NOW, {"db": DATABASE})
    for some in (users, users.iloc[::-1], users):
        rows, tally = decider.decided(some)
        alone, counted = Decider(Way.ROOT, Policy(NEW), NOW, {"db": DATABASE}).decided(some)
        assert rows.equals(alone)
        assert tally == counted
        assert len(decider._known) <= remembered


@pytest.mark.parametrize("order", ORDERS)
def test_each_way_counts_what_it_would_change_itself(order):
    users = audit(profiles([user(person.record) for person in people(400)]))
    policy = Policy(NEW, order=order)
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


def full_plan():
    """A plan in which everything occurs: three reasons, two connections, code and Rules."""
    known = (Connection("a", "samlp", syncs=False), DATABASE)
    users = [frame(None, INITIALS), frame(INITIALS, MINE, connection="a", strategy="samlp")]
    _, tally = decided(pd.concat(users), connections=known)
    return plan_of(
        tally,
        4,
        sandbox=True,
        irreversible=True,
        connections_read=False,
        code="// code",
        rules=("// one\n<two>", "// three"),
        rate=4.0,
        policy=Policy(NEW, former=("https://images.example/old.png",)),
    )


def test_a_plan_can_be_read_again_as_it_was_written(tmp_path):
    for made in (full_plan(), plan_of(Tally(), 0)):
        written = json.loads(json.dumps(made.as_dict()))
        assert Plan.from_dict(written) == made
        assert Plan.from_dict(written, tmp_path) == replace(made, path=tmp_path)


@pytest.mark.parametrize("users", [-1, 1.5, "3", True, None, 10**12])
def test_a_count_that_is_no_number_of_users_is_refused(users):
    written = json.loads(json.dumps(full_plan().tally.as_dict()))
    written["reasons"][0]["users"] = users
    with pytest.raises(ValueError, match=r"^not a number of users$"):
        Tally.from_dict(written)
    whole = full_plan().as_dict()
    with pytest.raises(ValueError, match=r"^not a number of users$"):
        Plan.from_dict(whole | {"snapshot": whole["snapshot"] | {"users": users}})


@pytest.mark.parametrize("rate", [0, -1.0, "4", 10**12, float("inf"), float("nan")])
def test_a_rate_at_which_nothing_would_be_done_is_refused(rate):
    with pytest.raises(ValueError, match=r"^not a rate$"):
        Plan.from_dict(full_plan().as_dict() | {"rate": rate})
    assert Plan.from_dict(full_plan().as_dict() | {"rate": 0.5}).rate == 0.5


def test_a_policy_that_leaves_out_whom_it_means_is_refused():
    written = full_plan().as_dict()
    policy = written["policy"]
    less = {name: value for name, value in policy.items() if name != "connections"}
    for changed in (policy | {"later": 1}, less):
        with pytest.raises(ValueError, match="a policy of another version"):
            Plan.from_dict(written | {"policy": changed})


@pytest.mark.parametrize("name", ["", "../p", "a\r\nX: 1", "a" * 65, "é"])
def test_an_id_that_is_no_name_is_refused(name):
    with pytest.raises(ValueError, match=r"^not a plan's id$"):
        Plan.from_dict(full_plan().as_dict() | {"id": name})


def test_the_json_of_a_plan_says_what_it_comes_to():
    made = full_plan()
    values = made.as_dict()
    effect = {
        "another": {"low": 2, "high": 2},
        "fallback": {"low": 0, "high": 0},
        "untouched": 2,
    }
    derived = {"changes": 2, "share": 0.5, "cannot": 1, "asks_again": False, "effect": effect}
    assert {name: values[name] for name in derived} == derived
    assert values["effort"] == made.effort()
    assert values["explanation"]["undo"] == EXPLANATIONS[Way.ROOT].undo
    fields = set(Plan.__dataclass_fields__) - {"taken_at", "digest", "users", "path"}
    assert set(values) == fields | {*derived, "snapshot", "effort", "explanation"}
    assert set(values["snapshot"]) == {"taken_at", "users", "digest"}


def test_the_text_of_a_plan_has_the_answer_first_then_why_cost_and_undo():
    known = EXPLANATIONS[Way.ROOT]
    assert repr(full_plan()).split("\n  ") == [
        "Plan 0123456789abcdef for tenant.eu.auth0.com, of its users of 2026-11-20 11:00 UTC",
        "2 of 4 people see another picture · 0 only another fallback · 2 untouched",
        "2 users change (50%), by root",
        "the first usable picture is shown: own, default",
        "1 stay as they are, 1 cannot be changed",
        "cannot: 1 users: has no picture now: undo could not remove the new one",
        *(f"{name}: {getattr(known, name)}" for name in known.__slots__),
        "note: a <note>",
        (
            "action: 3 users, 12 requests, 6 s at free, 4 s at essentials, 1 s at enterprise, "
            "0 s at private, 3 s at measured"
        ),
        (
            "root: 2 users, 4 requests, 2 s at free, 1 s at essentials, 0 s at enterprise, "
            "0 s at private, 1 s at measured"
        ),
        (
            "metadata: 3 users, 6 requests, 3 s at free, 1 s at essentials, 0 s at enterprise, "
            "0 s at private, 2 s at measured"
        ),
        f"picture: {NEW}",
        "// one",
        "<two>",
        "// three",
    ]


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (59, "59 s"),
        (60, "1 min"),
        (99 * 60, "99 min"),
        (100 * 60, "1.7 h"),
        (5 * 60 * 60, "5.0 h"),
    ],
)
def test_times_are_told_as_people_say_them(span, text):
    made = plan_of(Tally(ways=Counter({"root": 50})), 50, rate=100 / span)
    assert f", {text} at measured\n" in repr(made)


class Cells(HTMLParser):
    """Collects the texts of a page by their element."""

    def __init__(self):
        super().__init__()
        self.open, self.texts = [], {}

    def handle_starttag(self, tag, attrs):
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.setdefault(self.open[-1], []).append(data)


def test_the_page_of_a_plan_says_the_same_as_its_text_and_its_table():
    made = full_plan()
    page = Cells()
    page.feed(made._repr_html_())
    assert page.open == []
    assert set(page.texts) == {"b", "p", "code", "li", "th", "td", "pre"}
    lines = repr(made).split("\n  ")
    assert page.texts["b"] == lines[1:2]
    assert page.texts["li"] == lines[2:-4]
    assert page.texts["pre"] == list(made.rules)
    assert page.texts["code"] == [NEW]
    table = made.table()
    cells = [str(cell) for row in table.itertuples(index=False) for cell in row]
    assert page.texts["td"] == cells
    assert len(table) == 3


def test_the_tables_of_a_plan():
    made = full_plan()
    reasons = made.table()
    assert list(reasons.columns) == ["outcome", "reason", "users"]
    assert reasons["users"].tolist() == [2, 1, 1]
    assert list(plan_of(Tally(), 0).table().columns) == ["outcome", "reason", "users"]
    assert made.table("connection").to_dict("records") == [
        {"connection": "a", "change": 1, "cannot": 0, "stay": 1},
        {"connection": "db", "change": 1, "cannot": 1, "stay": 0},
    ]
    assert made.table("source")["source"].tolist() == ["initials"]
    ways = made.table("way").set_index("way")
    assert ways.index.tolist() == list(Way)
    assert ways.loc["root"].to_dict() == {
        "users": 2,
        "requests": 4,
        **made.effort()["root"]["seconds"],
    }
    with pytest.raises(ValueError, match="no table"):
        made.table("colour")


def test_a_table_has_whom_it_changes_most_first_and_equals_by_name():
    outcomes = {("d", CHANGE): 2, ("c", CHANGE): 9, ("b", STAY): 7, ("a", CHANGE): 2}
    table = plan_of(Tally(connections=Counter(outcomes)), 20).table("connection")
    assert table.to_dict("split") == {
        "index": [0, 1, 2, 3],
        "columns": ["connection", "change", "cannot", "stay"],
        "data": [["c", 9, 0, 0], ["a", 2, 0, 0], ["d", 2, 0, 0], ["b", 0, 0, 7]],
    }
    # Whole numbers, although outcomes without users were filled in.
    assert set(table.dtypes.astype(str)[1:]) == {"int64"}


@pytest.mark.parametrize(
    ("limit", "plan"),
    [(2, "free"), (5, "essentials"), (10, "free"), (50, "enterprise"), (250, "private")],
)
def test_the_limit_that_a_tenant_states_says_how_fast_it_is(limit, plan):
    assert plan_by(limit) == plan
    assert plan in CEILINGS


@pytest.mark.parametrize("limit", [None, 20, 100])
def test_of_another_limit_the_admin_is_asked(limit):
    assert plan_by(limit) is None


def test_every_way_is_explained_and_compared():
    assert set(EXPLANATIONS) == set(Way)
    for one in EXPLANATIONS.values():
        assert all(getattr(one, name).endswith(".") for name in one.__slots__)
    tally = Tally(ways=decided(frame(*[INITIALS] * 10))[1].ways)
    effort = plan_of(tally, 10, rate=4.0).effort()
    assert set(effort) == set(Way)
    assert effort["root"]["requests"] == 20
    assert effort["root"]["seconds"]["free"] == 10.0
    assert effort["root"]["seconds"]["essentials"] == 3.0
    assert effort["root"]["seconds"]["measured"] == 5.0
    assert effort["action"]["seconds"]["essentials"] == 3.6
    third = plan_of(Tally(ways=Counter(root=1)), 1, rate=3.0).effort()
    assert third["root"]["seconds"]["measured"] == 0.7  # to a tenth
    assert set(effort["root"]["seconds"]) == {*CEILINGS, "measured"}
    assert effort["rule"]["requests"] == 0
    assert plan_of(tally, 10).table("way")["way"].tolist() == list(Way)


@pytest.mark.parametrize(
    ("plan", "hours"), [("free", 278), ("essentials", 83), ("enterprise", 34.7), ("private", 11.1)]
)
def test_a_million_users_take_what_auth0s_limits_say(plan, hours):
    """Each is read and written; only some plans limit reads and writes apart."""
    asked = timedelta(seconds=seconds(Way.ROOT, 1_000_000, plan))
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
