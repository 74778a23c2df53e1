"""Users changed one by one: exactly the plan, whatever happens meanwhile."""

import json
import os
from random import Random
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.change.conftest import NEW, as_killed, changed_ids, irreplaceable, journal_of
from toolkit.change.apply_plan import apply
from toolkit.change.journal import journal_path
from toolkit.change.plan_file import read_plan, writing_rows
from toolkit.change.undo_journal import undo
from toolkit.change.undo_journal import undone as is_undone
from toolkit.change.verify_plan import verify
from toolkit.errors import (
    IncompleteError,
    OutputError,
    ScopeError,
    SettingsError,
    UnreadableInputError,
)
from toolkit.sandbox.directory.store import Connection
from toolkit.tenant import client

WAYS = ("root", "metadata")


def expected(made, way):
    """Return what the plan says that each of its users gets."""
    rows = pq.read_table(made.path).to_pylist()
    return {one["user_id"]: one["after"] for one in rows if one["outcome"] == "change"}


def shown(user, way):
    return user["picture"] if way == "root" else user["user_metadata"]["picture"]


def assert_as_planned(site, made, way, before):
    """The users of the plan have what it says and nothing else new; all others are untouched."""
    left = irreplaceable(made, before)
    wanted = {name: after for name, after in expected(made, way).items() if name not in left}
    for user_id, text in site.raw().items():
        if user_id not in wanted:
            assert text == before[user_id]
            continue
        user, old = json.loads(text), json.loads(before[user_id])
        assert shown(user, way) == wanted[user_id]
        for one in (user, old):
            del one["updated_at"]
            if way == "root":
                one.pop("picture", None)
            else:
                metadata = one.pop("user_metadata", {})
                metadata.pop("picture", None)
                one["others"] = metadata
        assert user == old


@pytest.mark.parametrize("way", WAYS)
def test_a_tenant_becomes_the_plan_and_by_undo_what_it_was(site_of, way):
    site = site_of(380)
    before, raw = site.users(), site.raw()
    made = site.plan(way)
    left = len(irreplaceable(made, raw))
    assert bool(left) == (way == "metadata")
    outcome = site.apply(made)
    assert (outcome.done, outcome.refused) == (made.changes - left, left)
    assert outcome.done > 80
    assert_as_planned(site, made, way, raw)
    checked = verify(site.tenant, made)
    assert (checked.holds, checked.open, checked.checked) == (outcome.done, left, made.changes)
    undone = undo(site.tenant, journal_of(made), execute=True, confirm=site.tenant.domain)
    assert undone.complete
    assert undone.done == outcome.done
    assert undone.notes == (
        f"{outcome.done:,} of the {outcome.done:,} that were checked are restored",
    )
    assert site.users() == before


@pytest.mark.parametrize("way", WAYS)
def test_a_rehearsal_says_what_would_happen_and_sends_no_write(site_of, way):
    site = site_of()
    before = site.raw()
    made = site.plan(way)
    rehearsed = apply(site.tenant, made)
    assert not rehearsed.executed
    left = len(irreplaceable(made, before))
    assert (rehearsed.done, rehearsed.refused) == (made.changes - left, left)
    assert (site.count("PATCH"), site.count("GET", "/users/")) == (0, made.changes)
    assert not journal_of(made).exists()
    site.apply(made)
    written = site.raw()
    patches = site.count("PATCH")
    back = undo(site.tenant, journal_of(made))
    assert (back.done, back.executed) == (made.changes - left, False)
    assert site.count("PATCH") == patches
    assert site.raw() == written != before


def test_nothing_is_written_without_the_tenants_name(site_of):
    site = site_of()
    made = site.plan("root")
    for confirm in (None, "", "127.0.0.1", "another.eu.auth0.com"):
        with pytest.raises(SettingsError, match="--confirm"):
            site.apply(made, confirm=confirm)
    assert site.count("PATCH") == 0
    assert not journal_of(made).exists()


def test_a_plan_is_for_one_tenant(site_of):
    site, other = site_of(20), site_of(20)
    made = site.plan("root")
    with pytest.raises(SettingsError, match="This is for"):
        apply(other.tenant, made)
    site.apply(made)
    with pytest.raises(SettingsError, match="This is for"):
        undo(other.tenant, journal_of(made))


@pytest.mark.parametrize("way", WAYS)
def test_it_takes_two_requests_a_user(site_of, way, monkeypatch):
    # On a busy machine a user who waits longer than this for the write is read again.
    monkeypatch.setattr(client, "_FRESH", 60.0)
    site = site_of(500)
    made = site.plan(way)
    left = len(irreplaceable(made, site.raw()))
    before = site.sandbox.requests.total
    outcome = site.apply(made)
    assert outcome.done == made.changes - left > 180
    canary = 10
    assert site.sandbox.requests.total - before == made.changes + outcome.done + canary


def test_who_changed_since_the_plan_is_skipped_and_reported(site_of):
    site = site_of(60)
    made = site.plan("root")
    names = sorted(changed_ids(made))
    mine = "https://mine.example/me.png"
    site.sandbox.change(names[0], {"picture": mine})
    site.sandbox.change(names[1], {"user_metadata": {"picture": mine}})
    identities = site.user(names[2])["identities"]
    moved = [{**identities[0], "connection": "elsewhere"}, *identities[1:]]
    site.sandbox.change(names[2], {"identities": moved})
    site.sandbox.delete(names[3])
    site.sandbox.change(names[4], {"logins_count": 99})  # a login is no drift
    before = site.users()
    assert apply(site.tenant, made).drifted == 4
    outcome = site.apply(made)
    assert (outcome.drifted, outcome.done) == (4, made.changes - 4)
    assert not outcome.complete
    assert outcome.remaining == 0
    after = site.users()
    assert all(after[name] == before[name] for name in names[:3])
    assert shown(site.user(names[4]), "root") != json.loads(before[names[4]])["picture"]
    reasons = {reason: count for state, reason, count in outcome.reasons if state == "drifted"}
    assert sorted(reasons.values()) == [1, 3]
    checked = verify(site.tenant, made)
    assert (checked.holds, checked.open, checked.gone) == (made.changes - 4, 3, 1)


def test_undo_leaves_alone_what_somebody_changed_since(site_of):
    site = site_of(60)
    before = site.users()
    made = site.plan("root")
    site.apply(made)
    moved, gone, *_ = sorted(changed_ids(made))
    site.sandbox.change(moved, {"picture": "https://mine.example/me.png"})
    site.sandbox.delete(gone)
    undone = undo(site.tenant, journal_of(made), execute=True, confirm=site.tenant.domain)
    assert (undone.drifted, undone.done) == (2, made.changes - 2)
    assert site.user(moved)["picture"] == "https://mine.example/me.png"
    after = site.users()
    assert gone not in after
    assert {k: v for k, v in after.items() if k != moved} == {
        k: v for k, v in before.items() if k not in (moved, gone)
    }


def test_an_undo_that_does_not_hold_is_not_called_complete(site_of, person):
    site = site_of([person(number) for number in range(30)])
    made = site.plan("root")
    site.apply(made)

    def spoil(response):
        if response.request.method == "PATCH" and "000029" in response.request.url.path:
            site.sandbox.change("auth0|000029", {"picture": "https://else.example/x.png"})

    site.tenant._client.event_hooks["response"].append(spoil)
    undone = undo(site.tenant, journal_of(made), execute=True, confirm=site.tenant.domain)
    assert (undone.done, undone.lost, undone.complete) == (30, 1, False)
    assert "29 of the 30 that were checked are restored" in undone.notes[-1]


def test_other_metadata_survives_and_what_was_there_comes_back_as_it_was(site_of, person):
    former = {"picture": {"not": ["a", "text", 1.5, None, True]}, "theme": "dark"}
    users = [
        person(1, user_metadata=dict(former)),
        person(2, user_metadata={"theme": "dark", "picture": "http://insecure.example/x.png"}),
        person(3, user_metadata={"deep": {"a": {"b": 1}}}),
        person(4),
    ]
    site = site_of(users)
    before = site.raw()
    made = site.plan("metadata")
    assert site.apply(made).done == 4
    assert {shown(site.user(f"auth0|00000{n}"), "metadata") for n in range(1, 5)} == {NEW}
    assert site.user("auth0|000001")["user_metadata"]["theme"] == "dark"
    assert site.user("auth0|000003")["user_metadata"]["deep"] == {"a": {"b": 1}}
    undo(site.tenant, journal_of(made), execute=True, confirm=site.tenant.domain)
    for name in ("auth0|000001", "auth0|000002", "auth0|000003", "auth0|000004"):
        restored, old = site.user(name), json.loads(before[name])
        del restored["updated_at"], old["updated_at"]
        assert json.dumps(restored) == json.dumps(old)


def test_a_root_picture_that_could_not_be_put_back_is_not_touched(site_of, person):
    odd = "https://x.example/\ud800.png"
    users = [
        person(1, picture=None),
        person(2, picture={"url": "https://x.example/me.png"}),
        person(3, picture=17),
        person(4),
        person(5, picture="data:" + odd),
    ]
    del users[0]["picture"]
    site = site_of(users)
    before = site.raw()
    made = site.plan("root")
    cannot = made.table().query("outcome == 'cannot'")
    assert cannot["users"].tolist() == [3, 1]
    outcome = site.apply(made)
    assert (outcome.done, outcome.refused) == (1, 0)
    after = site.raw()
    assert {name for name in before if before[name] != after[name]} == {"auth0|000004"}
    sure = site.plan("root", name="sure", irreversible=True)
    assert site.apply(sure).done == 4
    assert all(one["picture"] == NEW for one in site.sandbox.users())


def test_a_limit_ends_a_run_and_the_next_goes_on(site_of):
    site = site_of()
    made = site.plan("root")
    first = site.apply(made, limit=12)
    assert (first.done, first.remaining) == (12, made.changes - 12)
    assert "12 users" in first.stopped
    assert site.count("PATCH") == 12
    second = site.apply(made, limit=20)
    assert (second.done, site.count("PATCH")) == (32, 32)
    last = site.apply(made)
    assert last.complete
    assert last.stopped is None
    assert site.count("PATCH") == made.changes
    again = site.apply(made)
    assert again.complete
    assert site.count("PATCH") == made.changes


def test_a_plan_for_most_of_a_tenant_must_be_agreed_to_once_more(site_of, person):
    site = site_of([person(number) for number in range(20)])
    made = site.plan("root")
    assert made.asks_again
    assert apply(site.tenant, made).done == 20
    with pytest.raises(SettingsError, match="--limit 20"):
        site.apply(made, agreed=False)
    assert site.count("PATCH") == 0
    assert site.apply(made, agreed=False, limit=20).complete


def begins_to_sync(site, name):
    """From now on each login overwrites the pictures of a connection, so Auth0 takes no other."""
    site.sandbox._store._connections[name] = Connection(name, "google-oauth2")


def test_where_one_of_the_first_users_is_refused_no_other_is_touched(site_of, person):
    site = site_of([person(number) for number in range(60)])
    made = site.plan("root")
    begins_to_sync(site, "Username-Password-Authentication")
    rehearsed = apply(site.tenant, made, canary=7)
    assert (rehearsed.refused, site.count("PATCH")) == (7, 0)
    outcome = site.apply(made, canary=7)
    assert (outcome.done, outcome.refused, outcome.remaining) == (0, 7, 53)
    assert "first users" in outcome.stopped
    assert site.count("PATCH") == 7
    assert any("operation_not_supported" in reason for _, reason, _ in outcome.reasons)


def test_where_the_first_users_do_not_keep_what_was_written_no_other_is_touched(site_of, person):
    site = site_of([person(number) for number in range(60)])
    made = site.plan("root")

    def spoil(response):
        if response.request.method == "PATCH":
            name = unquote(response.request.url.path.rpartition("/")[2])
            site.sandbox.change(name, {"picture": "https://else.example/x.png"})

    site.tenant._client.event_hooks["response"].append(spoil)
    outcome = site.apply(made, canary=5)
    assert "does not have what was written" in outcome.stopped
    assert site.count("PATCH") == 5
    assert not outcome.complete
    # One of them is noted as failed, so that the next run looks at it again.
    noted = [json.loads(line) for line in journal_of(made).read_text().splitlines()]
    assert [line.get("state") for line in noted].count("failed") == 1


def test_it_stops_by_itself_where_too_much_is_refused(site_of, person):
    users = [person(number) for number in range(200)]
    for one in users[50:]:
        one["identities"] = [{**one["identities"][0], "connection": "second"}]
    site = site_of(users)
    made = site.plan("root")
    begins_to_sync(site, "second")
    outcome = site.apply(made)
    assert "were refused" in outcome.stopped
    assert outcome.done == 50
    assert 3 <= outcome.refused <= 50
    assert outcome.remaining == 150 - outcome.refused
    assert site.apply(made, canary=0, stop_share=1).refused == 150


def test_a_token_that_only_reads_fails_before_the_first_write(site_of):
    for way in ("root", "metadata"):
        site = site_of(20, scopes="read:users read:connections read:connections_options")
        made = site.plan(way)
        assert "update:users" in " ".join(apply(site.tenant, made).notes)
        with pytest.raises(ScopeError, match="update:users"):
            site.apply(made)
        assert site.count("PATCH") == 0
        assert not journal_of(made).exists()


def test_without_the_scope_for_connections_it_is_guessed_and_said(site_of):
    site = site_of(100, scopes="read:users update:users")
    made = site.plan("root", known=None)
    assert "is a guess" in " ".join(made.notes)
    known = site_of(100).plan("root")
    assert changed_ids(made) == changed_ids(known)
    assert "read:connections" in " ".join(apply(site.tenant, made).notes)
    assert site.apply(made).complete


FAULTS = ("429-storm", "503-flaky", "reset", "short-tokens", "503-slow", "lag", "shuffled-ties")


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_is_lost_where_the_tenant_is_out_of_order(site_of, fault):
    site = site_of(24, faults=[fault], token_lifetime=1 if fault == "short-tokens" else 86_400)
    before, raw = site.users(), site.raw()
    made = site.plan("root")
    assert persistently(lambda: site.apply(made)).complete
    assert_as_planned(site, made, "root", raw)
    undone = persistently(
        lambda: undo(site.tenant, journal_of(made), execute=True, confirm=site.tenant.domain)
    )
    assert undone.complete
    assert site.users() == before


def persistently(run):
    """Run the same again where it says so, as a person would."""
    for _ in range(8):
        try:
            outcome = run()
        except IncompleteError as error:
            said = str(error)
            continue
        if not outcome.failed and not outcome.remaining:
            return outcome
    raise AssertionError(said)


# The promise is for 5,000 users and ten moments; fewer do for every day.
USERS = int(os.environ.get("PICTURE_AUDIT_CHANGE_USERS", "120"))
MOMENTS = int(os.environ.get("PICTURE_AUDIT_CHANGE_MOMENTS", "3"))


@pytest.mark.parametrize("way", WAYS)
def test_killed_at_any_moment_it_goes_on_and_ends_the_same(site_of, other, way):
    random = Random(way)
    site = site_of(USERS, plan="unlimited")
    before, raw = site.users(), site.raw()
    made = site.plan(way)
    left = len(irreplaceable(made, raw))
    kill_repeatedly(site, other, "apply", made.path, made.changes - left, random)
    outcome = site.apply(made)
    assert (outcome.done, outcome.refused) == (made.changes - left, left)
    assert_as_planned(site, made, way, raw)
    kill_repeatedly(site, other, "undo", journal_of(made), outcome.done, random)
    undone = undo(site.tenant, journal_of(made), execute=True, confirm=site.tenant.domain)
    assert undone.complete
    assert undone.done == outcome.done
    assert site.users() == before


def test_who_is_changed_by_hand_between_a_kill_and_the_next_run_is_left_alone(site_of, person):
    site = site_of([person(number) for number in range(30)])
    made = site.plan("root")
    site.apply(made, limit=10)
    journal = journal_of(made)
    lines = journal.read_bytes().splitlines(keepends=True)
    # As if it had been killed after the tenant took this write, and before that was noted.
    unsure = json.loads(lines[-2])["n"]
    as_killed(journal, lines[:-2])
    by_hand = {f"auth0|{number:06}" for number in (unsure, 27)}
    for name in by_hand:
        site.sandbox.change(name, {"picture": "https://mine.example/me.png"})
    outcome = site.apply(made)
    assert (outcome.done, outcome.drifted, outcome.remaining) == (28, 2, 0)
    pictures = {one["user_id"]: one["picture"] for one in site.sandbox.users()}
    assert {name for name, picture in pictures.items() if picture != NEW} == by_hand
    undone = undo(site.tenant, journal, execute=True, confirm=site.tenant.domain)
    assert (undone.done, undone.planned) == (28, 28)
    assert all(site.user(name)["picture"] == "https://mine.example/me.png" for name in by_hand)


@pytest.mark.parametrize("way", WAYS)
def test_applied_again_after_an_undo_it_is_undone_again(site_of, way):
    site = site_of(80)
    before = site.users()
    for name in ("first", "second"):
        made = site.plan(way, name=name)
        done = site.apply(made).done
        assert done > 20
        assert site.users() != before
        assert not is_undone(journal_of(made))
        undo(site.tenant, journal_of(made), execute=True, confirm=site.tenant.domain, limit=9)
        assert not is_undone(journal_of(made))
        last = undo(site.tenant, journal_of(made), execute=True, confirm=site.tenant.domain)
        assert (last.done, last.earlier, last.complete) == (done, 9, True)
        assert is_undone(journal_of(made))
        assert site.users() == before


@pytest.mark.parametrize("kind", ["apply", "undo"])
def test_where_the_journal_cannot_be_written_nothing_is_sent(site_of, person, kind):
    site = site_of([person(number) for number in range(5)])
    made = site.plan("root")
    if kind == "undo":
        site.apply(made)
    path = journal_of(made) if kind == "apply" else journal_path(journal_of(made))
    path.mkdir()
    before, patches = site.raw(), site.count("PATCH")
    do, what = (apply, made) if kind == "apply" else (undo, journal_of(made))
    agreed = {"agreed": True} if kind == "apply" else {}
    with pytest.raises(OutputError, match="Cannot write"):
        do(site.tenant, what, execute=True, confirm=site.tenant.domain, **agreed)
    assert (site.raw(), site.count("PATCH")) == (before, patches)


def kill_repeatedly(site, other, kind, path, writes, random):
    """Have another process do it, killed each time after some more of its writes."""
    start = site.count("PATCH")
    for moment in sorted(random.randint(1, writes) for _ in range(MOMENTS)):
        other.run(site, kind, path, kill=lambda m=moment: site.count("PATCH") - start >= m)
    assert site.count("PATCH") > start


def test_closed_in_the_middle_it_stops_cleanly_and_goes_on(site_of):
    site = site_of()
    raw = site.raw()
    made = site.plan("root")
    steps = apply.steps(site.tenant, made, execute=True, confirm=site.tenant.domain)
    for progress in steps:
        if progress.done >= 30:
            break
    steps.close()
    lines = [json.loads(line) for line in journal_of(made).read_bytes().splitlines()]
    begun = {line["n"] for line in lines if "user" in line}
    ended = {line["n"] for line in lines if "state" in line}
    assert begun == ended
    assert len(begun) < made.changes
    written = site.count("PATCH")
    assert site.apply(made).complete
    assert site.count("PATCH") == made.changes
    assert written < made.changes
    assert_as_planned(site, made, "root", raw)


def test_two_runs_of_one_plan_do_not_meet(site_of):
    site = site_of(60)
    made = site.plan("root")
    steps = apply.steps(site.tenant, made, execute=True, confirm=site.tenant.domain)
    next(steps)
    with pytest.raises(SettingsError, match="Another process"):
        site.apply(made)
    with pytest.raises(SettingsError, match="Another process"):
        undo(site.tenant, journal_of(made))
    steps.close()
    assert site.apply(made).complete


def test_what_was_undone_is_not_applied_again_by_the_same_plan(site_of):
    site = site_of(40)
    made = site.plan("root")
    site.apply(made, limit=5)
    undo(site.tenant, journal_of(made), execute=True, confirm=site.tenant.domain)
    with pytest.raises(SettingsError, match="undone"):
        site.apply(made)
    assert "you undid this plan" in repr(verify(site.tenant, made))


def test_a_write_names_the_picture_and_nothing_else(site_of):
    site = site_of(60)
    bodies = []
    site.tenant._client.event_hooks["request"].append(
        lambda request: bodies.append(json.loads(request.content)) if patches(request) else None
    )
    root, metadata = site.plan("root"), site.plan("metadata")
    site.apply(root)
    assert bodies
    assert all(body.keys() == {"picture"} and body["picture"] for body in bodies)
    bodies.clear()
    done = site.apply(metadata).done
    undo(site.tenant, journal_of(metadata), execute=True, confirm=site.tenant.domain)
    assert len(bodies) == 2 * done > 10
    for body in bodies:
        assert body.keys() == {"user_metadata"}
        assert body["user_metadata"].keys() == {"picture"}
    with pytest.raises(ValueError, match="wipes"):
        site.tenant.change_user("auth0|1", {"user_metadata": {}})


def patches(request):
    return request.method == "PATCH"


def test_at_a_plans_ceiling_hardly_a_write_is_refused(site_of, person):
    site = site_of([person(number) for number in range(90)], plan="enterprise")
    outcome = site.apply(site.plan("root"))
    assert outcome.complete
    assert outcome.limited <= 0.01 * outcome.requests


def test_each_write_carries_the_plans_tag(site_of, person):
    site = site_of([person(1)])
    made = site.plan("root")
    sent = []
    site.tenant._client.event_hooks["request"].append(
        lambda request: sent.append((request.method, request.headers.get("X-Correlation-ID")))
    )
    site.apply(made)
    assert ("PATCH", f"picture-audit-{made.id}") in sent


def test_a_sample_is_spread_over_the_plan(site_of):
    site = site_of()
    made = site.plan("root")
    site.apply(made, limit=made.changes // 2)
    before = site.sandbox.requests.total
    sampled = verify(site.tenant, read_plan(made.path), sample=20)
    assert site.sandbox.requests.total - before == 20
    assert sampled.checked == 20
    assert sampled.open == 20 - sampled.holds
    assert 9 <= sampled.holds <= 11
    assert not sampled.complete
    assert "sample" in repr(sampled)


EDITS = {
    "what is written": {"after": "https://evil.example/x.png"},
    "who changes": {"outcome": "change"},
    "what stands there": {"picture": "https://own.example/me.png"},
    "where somebody signs in": {"connection": "elsewhere"},
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_plan_whose_rows_were_edited_is_not_carried_out(site_of, person, edit):
    users = [person(1), person(2, picture="https://own.example/me.png")]
    site = site_of(users)
    made = site.plan("root", connections=["Username-Password-Authentication"])
    table = pq.read_table(made.path)
    for column, value in EDITS[edit].items():
        values = pa.array([value] * len(table), pa.string())
        place = table.schema.get_field_index(column)
        table = table.set_column(place, table.field(column), values)
    pq.write_table(table, made.path)
    before = site.raw()
    with pytest.raises(UnreadableInputError, match="was edited"):
        site.apply(read_plan(made.path))
    assert site.raw() == before


def test_a_plan_whose_picture_was_edited_is_not_carried_out(site_of, person):
    site = site_of([person(1)])
    made = site.plan("root")
    table = pq.read_table(made.path)
    metadata = pq.read_schema(made.path).metadata
    forged = metadata[b"plan"].replace(b"images.example/new.png", b"evil.example/x.png")
    pq.write_table(table.replace_schema_metadata({**metadata, b"plan": forged}), made.path)
    before = site.raw()
    with pytest.raises(UnreadableInputError, match="was edited"):
        site.apply(read_plan(made.path))
    assert site.raw() == before


def rewritten(made, **changes):
    """Write a plan's file anew with some columns changed, each by a function of its list."""
    table = pq.read_table(made.path)
    for column, change in changes.items():
        values = pa.array(change(table[column].to_pylist()), pa.string())
        table = table.set_column(table.schema.get_field_index(column), column, values)
    pq.write_table(table, made.path)


LATE_EDITS = {
    "the last one's picture": {"after": lambda v: [*v[:-1], "https://evil.example/x.png"]},
    "the last one's id": {"user_id": lambda v: [*v[:-1], "auth0|999999"]},
    "two ids are exchanged": {"user_id": lambda v: [*v[:-2], v[-1], v[-2]]},
    "the last one stays": {"outcome": lambda v: [*v[:-1], "stay"]},
    "a reason": {"reason": lambda v: [*v[:-1], "because"]},
}


@pytest.mark.parametrize("edit", LATE_EDITS)
def test_an_edited_plan_is_noticed_before_anything_is_done(site_of, person, edit):
    site = site_of([person(number) for number in range(300)])
    made = site.plan("root")
    rewritten(made, **LATE_EDITS[edit])
    before = site.sandbox.requests.total
    for do in (lambda: site.apply(made), lambda: apply(site.tenant, made)):
        with pytest.raises(UnreadableInputError, match="was edited"):
            do()
    with pytest.raises(UnreadableInputError, match="was edited"):
        verify(site.tenant, read_plan(made.path))
    assert site.count("GET", "/users/") + site.count("PATCH") == 0
    assert site.sandbox.requests.total == before
    assert not journal_of(made).exists()


@pytest.mark.parametrize("way", ["root", "action"])
@pytest.mark.parametrize("change", [("irreversible", True), ("rate", 9.5), ("users", 7)])
def test_a_plan_whose_header_was_edited_is_not_carried_out(site_of, person, way, change):
    site = site_of([person(number) for number in range(6)])
    made = site.plan(way)
    data = made.path.read_bytes()
    metadata = pq.read_schema(made.path).metadata
    header = json.loads(metadata[b"plan"])
    place = header["snapshot"] if change[0] == "users" else header
    place[change[0]] = change[1]
    table = pq.read_table(made.path)
    forged = {**metadata, b"plan": json.dumps(header).encode()}
    pq.write_table(table.replace_schema_metadata(forged), made.path)
    with pytest.raises(UnreadableInputError, match="was edited"):
        site.apply(read_plan(made.path))
    made.path.write_bytes(data)
    assert site.apply(read_plan(made.path)).done


def test_a_plan_that_lost_a_row_and_says_so_itself_is_noticed_first(site_of, person):
    """Whoever makes up the digest as well must still agree with the policy, row by row."""
    site = site_of([person(number) for number in range(200)])
    made = site.plan("root")
    table = pq.read_table(made.path)
    values = [*table["after"].to_pylist()[:-1], "https://evil.example/x.png"]
    table = table.set_column(
        table.schema.get_field_index("after"), "after", pa.array(values, pa.string())
    )
    for rows in (table, table.slice(0, 199)):
        with writing_rows(made.path) as writer:
            writer.add(rows)
            writer.finish(made)
        with pytest.raises(UnreadableInputError, match="was edited"):
            site.apply(read_plan(made.path))
    assert site.count("GET", "/users/") + site.count("PATCH") == 0


def test_another_plan_in_the_place_of_one_is_noticed(site_of, person):
    site = site_of([person(number) for number in range(6)])
    made = site.plan("root")
    site.plan("root", picture="https://images.example/other.png")  # into the same file
    with pytest.raises(SettingsError, match="not the one"):
        site.apply(made)


@pytest.mark.parametrize("damage", ["cut short", "gone", "no file of ours"])
def test_a_plan_that_was_damaged_since_it_was_read_is_an_error(site_of, person, damage):
    site = site_of([person(number) for number in range(6)])
    made = site.plan("root")
    data = made.path.read_bytes()
    if damage == "gone":
        made.path.unlink()
    else:
        made.path.write_bytes(data[: len(data) // 2] if damage == "cut short" else b"PAR1")
    with pytest.raises(UnreadableInputError):
        site.apply(made)
    assert site.count("PATCH") == 0
