"""A copy to share names nobody, and says the same of their pictures."""

import hashlib
import re
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from itertools import product

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.analysis.groups import Seen
from toolkit.analysis.tenant_wiring import Script, wiring
from toolkit.change.javascript import action_code
from toolkit.change.policy import Policy
from toolkit.change.prepare import plan
from toolkit.classification.frames import audit, profiles
from toolkit.classification.sources import TOKEN_ONLY
from toolkit.classification.user_profile import user
from toolkit.collection.collect_users import collect
from toolkit.errors import OutputError, SettingsError
from toolkit.probing.snapshot_probe import notice, notice_of_pictures, probe, reach
from toolkit.sandbox.embedded import embedded_tenant
from toolkit.snapshots.comparison import compare
from toolkit.snapshots.redaction import _Hashes, key_name, key_path, own_key, redact
from toolkit.snapshots.snapshot import Provenance, Snapshot, read_snapshot

KEY = bytes(range(32))
NOW = datetime(2026, 11, 20, 13, 37, 21, 123_456, UTC)
FACTS = Provenance("t.eu.auth0.com", NOW, "search", True, 0, 1, 1, 1.0, False, "0")
CANARY = "kanarienvogel"
DAY = pd.Timedelta(days=1)


@pytest.fixture(scope="module")
def sample():
    """The embedded tenant of 5,000 people."""
    with embedded_tenant(5000) as tenant:
        return collect(tenant, method="search")


@pytest.fixture(scope="module")
def copy(sample):
    return redact(sample, key=KEY)


def matched(snapshot, key=KEY):
    """The users of the original in the order in which the copy has them."""
    hashed = snapshot.users["user_id"].map(_Hashes(key).user_id)
    return snapshot.users.iloc[hashed.argsort(kind="stable")].reset_index(drop=True)


def snapshot_of(*records, **changes):
    frame = audit(profiles(map(user, records)))
    return Snapshot(replace(FACTS, users=len(records), **changes), frame)


def one(**record):
    """Redact one user; return the row."""
    (row,) = redact(snapshot_of(record), key=KEY).users.to_dict("records")
    return row


def replaced(picture):
    return one(user_id="auth0|1", picture=picture)["picture"]


def found(snapshot):
    return [(one.id, one.users) for one in snapshot.findings()]


@pytest.mark.parametrize("by", ["source", "connection", "provider", "cohort", "activity"])
def test_the_coverage_of_the_sample_stays_what_it_is(sample, copy, by):
    assert copy.coverage(by).as_dict() == sample.coverage(by).as_dict()
    assert copy.coverage(by).own == sample.coverage(by).own


def test_the_findings_of_the_sample_stay_what_they_are(sample, copy):
    before, after = found(sample), found(copy)
    assert after == before
    assert {"hidden-default", "hash-mismatch", "insecure", "override-unusable"} <= dict(
        after
    ).keys()


def test_the_classification_stays_what_it_is(sample, copy):
    before, taken_at = matched(sample), pd.Timestamp(sample.provenance.taken_at)
    for name in ("source", "underlying", "provider", "fallback", "evidence"):
        assert copy.users[name].equals(before[name])
    moved = copy.users["expires_at"] - before["expires_at"]
    assert moved.isna().equals(before["expires_at"].isna())
    assert moved.dropna().abs().max() <= pd.Timedelta(days=1)
    assert (copy.users["expires_at"] < taken_at).equals(before["expires_at"] < taken_at)
    assert (
        (copy.users["expires_at"] - taken_at.floor("s")).dropna() % DAY == pd.Timedelta(0)
    ).all()


def test_what_people_see_stays_what_it_is_for_overrides_and_under_the_own_action():
    new = "https://assets.example.com/new.png"
    code = action_code(Policy(new, order=("override", "own"), connections=("auth0", "Räume")))
    wired = wiring([Script("action", "ours", code, on=True)], NOW)
    overrides = (
        "https://lh3.googleusercontent.com/a/one",
        "https://media.licdn.com/dms/image/one",
        "https://abs.twimg.com/sticky/default_profile_images/x.png",
        "https://s.gravatar.com/avatar/0bc83cb571cd1c50ba6f3e8a78ef1346",
        "https://platform-lookaside.fbsbx.com/platform/?ext=1700000000",
        "https://platform-lookaside.fbsbx.com/platform/?ext=4700000000",
        "https://graph.microsoft.com/v1.0/me/photo/$value",
        *("https://cdn.auth0.com/avatars/ab.png", "https://example.com/me.png", new, "me.png", ""),
    )
    pictures = (None, new, "https://media.licdn.com/dms/image/{}")
    people = [
        {
            "user_id": f"auth0|{number}",
            "picture": picture and picture.format(number),
            "user_metadata": {"picture": override},
            "identities": [{"provider": "auth0", "connection": connection, "user_id": "1"}],
        }
        for number, (override, connection, picture) in enumerate(
            product(overrides, ("auth0", "Räume", "other"), pictures)
        )
    ]
    original = snapshot_of(*people, wiring=wired)
    copy = redact(original, key=KEY)
    assert copy.coverage().seen == original.coverage().seen
    assert {*original.coverage().seen} > {Seen.OWN, Seen.ON_WORD, Seen.DEFAULT}
    assert found(copy) == found(original)
    assert "assets.example" not in str(copy.provenance)


def test_the_order_of_the_rows_says_nothing_of_the_original(sample, copy):
    assert copy.users["user_id"].is_monotonic_increasing
    backwards = Snapshot(sample.provenance, sample.users[::-1].reset_index(drop=True))
    assert redact(backwards, key=KEY).users.equals(copy.users)


def test_notes_that_may_quote_a_file_are_left_out():
    noted = snapshot_of({"user_id": "auth0|1"}, notes=("jane.doe@corp.example.ndjson: line 3",))
    assert redact(noted, key=KEY).provenance.notes == ()


@pytest.mark.parametrize("absent", [(), ("last_login",)])
def test_who_logged_in_at_a_time_that_is_not_known_stays_so(absent):
    records = [{"user_id": f"auth0|{n}", "logins_count": n or None} for n in (0, 1, 700)]
    content = snapshot_of(*records, {"user_id": "auth0|x", "logins_count": 0}, absent=absent)
    copy = redact(content, key=KEY)
    assert copy.provenance.absent == absent
    assert copy.coverage("activity") == content.coverage("activity")
    assert set(copy.users["logins_count"].dropna()) == {0, 1}


def test_nobody_of_the_sample_can_be_read_in_the_copy(sample, copy, tmp_path):
    copy.write(tmp_path / "copy.parquet")
    read = read_snapshot(tmp_path / "copy.parquet").users.to_csv()
    assert "@" not in read
    some, read = sample.users.head(400), copy.users.head(400).to_csv()
    for name in ("email", "name", "gravatar_hash", "metadata_picture"):
        for value in some[name].dropna().unique():
            if len(value) > 8:  # what is shorter stands in some hash by chance
                assert value not in read, value
    for user_id in some["user_id"]:
        assert user_id.partition("|")[2] not in read
    assert copy.users["name"].isna().all()
    assert copy.users["logins_count"][copy.users["last_login"].notna()].isna().all()


def test_people_stay_as_many_and_as_different(sample, copy):
    original = matched(sample)
    for name in ("user_id", "email", "picture", "gravatar_hash", "metadata_picture"):
        before, after = original[name], copy.users[name]
        if name in ("picture", "metadata_picture"):  # of initials the letters are gone
            theirs = original["underlying"].isin(["social", "enterprise", "custom"])
            before, after = before[theirs], after[theirs]
        assert after.nunique() == before.nunique()
        assert after.isna().equals(before.isna())


def test_a_gravatar_belongs_to_the_address_that_it_belonged_to():
    for digest in (hashlib.md5, hashlib.sha256):
        url = f"https://s.gravatar.com/avatar/{digest(b'a@example.com').hexdigest()}"
        row = one(user_id="auth0|1", email=" A@example.com ", picture=url)
        assert digest(row["email"].encode()).hexdigest() == row["gravatar_hash"]
        assert row["gravatar_hash"] not in url
        assert (
            one(user_id="1", email="b@example.com", picture=url)["gravatar_hash"]
            == (row["gravatar_hash"])
        )


def test_a_strategy_stays_in_a_user_id_and_nothing_else():
    for kept, user_id in (
        ("auth0|", "auth0|5f7c8ec7c33c6c004bbafe82"),
        ("samlp|", "samlp|acme|anna@acme.example"),
        ("", "anna|1"),
        ("", "anna@acme.example"),
    ):
        new = one(user_id=user_id)["user_id"]
        assert re.fullmatch(re.escape(kept) + "[0-9a-f]{32}", new)
    assert one(user_id="")["user_id"] == ""


def test_what_is_no_name_of_a_connection_is_hashed_too():
    row = one(
        user_id="x|1",
        picture="https://unknown.example/a.png",
        identities=[{"connection": "anna@acme.example", "provider": "oauth2"}],
    )
    assert re.fullmatch("[0-9a-f]{32}", row["connection"])
    assert row["provider"] == row["connection"]
    row = one(user_id="x|1", identities=[{"connection": "acme-ad", "provider": "anna"}])
    assert row["connection"] == "acme-ad"
    assert re.fullmatch("[0-9a-f]{32}", row["strategy"])


def test_times_are_cut_to_days():
    row = one(
        user_id="auth0|1",
        created_at="2024-02-29T23:59:59.999Z",
        updated_at="2024-02-29T00:00:00.000Z",
        last_login=(NOW - timedelta(days=30, seconds=1)).isoformat(),
    )
    assert row["created_at"] == row["updated_at"] == datetime(2024, 2, 29, tzinfo=UTC)
    assert timedelta(days=31) - (NOW - row["last_login"]) < timedelta(milliseconds=1)


@pytest.mark.parametrize("seconds", [-0.002, -0.001, 0, 0.001, 0.002])
def test_nobody_moves_into_another_group_of_activity(seconds):
    login = NOW - timedelta(days=30) + timedelta(seconds=seconds)
    whole = snapshot_of({"user_id": "auth0|1", "last_login": login.isoformat()})
    copy = redact(whole, key=KEY)
    assert copy.coverage("activity").as_dict() == whole.coverage("activity").as_dict()


KNOWN = [
    "https://lh3.googleusercontent.com/a/kanarienvogel=s96-c",
    "https://kanarienvogel.googleusercontent.com/a/x",
    "https://cdn.auth0.com/avatars/kanarienvogel.png",
    "https://i2.wp.com/cdn.auth0.com/avatars/kanarienvogel.png?ssl=1",
    f"https://s.gravatar.com/avatar/{'a1' * 16}.jpg?r=pg&d=https://cdn.auth0.com/avatars/{CANARY}.png",
    f"https://s.gravatar.com/avatar/{'a1' * 32}?d=https%3A%2F%2Fkanarienvogel.example%2Fx.png&f=y",
    f"https://s.gravatar.com/avatar/{'a1' * 16}?d=retro&kanarienvogel=1&s=kanarienvogel",
    f"https://s.gravatar.com/avatar/{'a1' * 16}?d=kanarienvogel",
    f"https://s.gravatar.com/avatar/{'a1' * 16}?d=404&r=X",
    f"HTTPS://kanarienvogel@S.GRAVATAR.COM/avatar/{'A1' * 16}?forcedefault=y&default=blank#k",
    f"http://s.gravatar.com\\avatar\\{'a1' * 16}?d=http:%2f%2fa:80/kanarienvogel",
    "https://platform-lookaside.fbsbx.com/platform/profilepic/?asid=kanarienvogel&ext=1723553523",
    "https://scontent.xx.fbcdn.net/v/kanarienvogel_n.jpg?oh=9&oe=5AD9B3DC",
    "https://scontent.xx.fbcdn.net/v/kanarienvogel_n.jpg?oh=9&oe=nonsense",
    "https://media.licdn.com:443/dms/kanarienvogel?e=1789853317",
    "https://a.slack-edge.com/kanarienvogel/img/avatars/ava_0004-192.png",
    "https://static.xx.fbcdn.net/rsrc.php/kanarienvogel.gif",
    "https://abs.twimg.com/sticky/default_profile_images/kanarienvogel.png",
    "https://kanarienvogel.example/people/1.PNG?size=3#top",
    "http://kanarienvogel.example",
    "https://kanarienvogel:secret@host.example:8443/1.png",
    "https://kanarienvogel.sharepoint.com/_layouts/15/userphoto.aspx?size=L",
    "\thttp://kanarienvogel.example/x",
    "ht\ntps://kanarienvogel.example/x",
    "data:image/png;base64,kanarienvogel",
    "kanarienvogel:alert(1)",
    "javascript:kanarienvogel",
    "https://kanarienvogel example/",
    "kanarienvogel.jpg",
    " ",
]


@pytest.mark.parametrize("picture", KNOWN)
def test_nothing_of_an_address_stays_and_its_findings_do(picture):
    for record in ({"picture": picture}, {"user_metadata": {"picture": picture}}):
        whole = snapshot_of({"user_id": "auth0|1", "email": "a@example.com"} | record)
        copy = redact(whole, key=KEY)
        told = copy.users.to_csv()
        assert CANARY not in told
        assert "a1" * 16 not in told.lower()
        assert found(copy) == found(whole)
        assert redact(whole, key=KEY).users.equals(copy.users)


def test_different_pictures_stay_different_but_for_initials():
    some = [url for url in KNOWN if url.strip() and "com/avatars/kan" not in url]
    assert len({replaced(url) for url in some}) == len(some)
    assert replaced("https://cdn.auth0.com/avatars/qx.png").endswith("/avatars/xx.png")


@pytest.mark.parametrize("pattern", TOKEN_ONLY)
def test_what_needs_a_token_to_load_still_does(pattern):
    known = {
        "graph": "https://graph.microsoft.com/v1.0/users/kanarienvogel/photo/$value",
        "outlook": "https://outlook.office365.com/kanarienvogel/photo",
        "www": "https://people.googleapis.com/kanarienvogel",
        "api": "https://api.linkedin.com/kanarienvogel",
        "files": "https://files.slack.com/kanarienvogel",
        "[^/]": "https://kanarienvogel.sharepoint.com/_layouts/15/userphoto.aspx?accountname=k",
    }
    picture = next(url for url in known.values() if re.search(pattern, url))
    assert re.search(pattern, replaced(picture))
    assert CANARY not in replaced(picture)


@settings(max_examples=20)
@given(
    st.lists(
        st.one_of(
            st.text(max_size=60),
            st.builds(
                "{}{}{}{}".format,
                st.sampled_from(
                    ["https://", "http://", " HTTP://", "http:\\", "\thttps://", "//", "ftp://"]
                ),
                st.sampled_from(
                    [
                        "cdn.auth0.com",
                        "CDN.auth0.com",
                        "i1.wp.com",
                        "graph.microsoft.com",
                        "files.slack.com",
                        "x.sharepoint.com",
                        "x.example",
                        "s.gravatar.com",
                    ]
                ),
                st.sampled_from(
                    [
                        "",
                        "/",
                        "/avatars/",
                        "/cdn.auth0.com/avatars/",
                        "/me/photo/",
                        "/_layouts/15/",
                        f"/avatar/{'b' * 32}",
                        "/_layouts/15/userphoto.aspx",
                    ]
                ),
                st.text(alphabet="?&=/.dfesxt0123456789%:#abk\\ \n", max_size=40),
            ),
        ),
        max_size=20,
    )
)
def test_whatever_stands_there_has_the_same_findings(pictures):
    records = [{"picture": one, "user_metadata": {"picture": one[::-1]}} for one in pictures]
    records += [{"user_metadata": {"picture": one}} for one in pictures]
    whole = snapshot_of(*records)
    assert found(redact(whole, key=KEY)) == found(whole)


def test_one_key_makes_one_copy_and_another_key_another(sample):
    first, again = (redact(sample, key=KEY).users for _ in range(2))
    other = redact(sample, key=KEY[::-1]).users
    assert first.equals(again)
    for name in ("user_id", "gravatar_hash", "email"):
        assert set(first[name].dropna()) & set(other[name].dropna()) <= {""}


def test_copies_with_one_key_can_be_compared_and_others_cannot():
    anna = {"user_id": "auth0|1", "picture": "https://cdn.auth0.com/avatars/an.png"}
    old = snapshot_of(anna, {"user_id": "auth0|2"})
    new = snapshot_of(anna | {"picture": "https://lh3.googleusercontent.com/a/x"})
    moved = compare(redact(old, key=KEY), redact(new, key=KEY))
    assert [(one["from"], one["to"], one["users"]) for one in moved.as_dict()["flow"]] == [
        (one["from"], one["to"], one["users"]) for one in compare(old, new).as_dict()["flow"]
    ]
    for pair in (
        (redact(old, key=KEY), redact(new, key=KEY[::-1])),
        (old, redact(new, key=KEY)),
    ):
        with pytest.raises(SettingsError, match="same key"):
            compare(*pair, anyway=True)


def test_it_says_that_it_is_redacted_and_with_which_key_but_not_the_key(tmp_path):
    copy = redact(snapshot_of({"user_id": "auth0|1"}), tmp_path / "c.parquet", key=KEY)
    assert copy.provenance.redacted == key_name(KEY) != key_name(KEY[::-1])
    assert read_snapshot(tmp_path / "c.parquet").summary()["redacted"] == key_name(KEY)
    assert KEY not in (tmp_path / "c.parquet").read_bytes()
    assert stat.S_IMODE((tmp_path / "c.parquet").stat().st_mode) == 0o600


def test_what_has_to_find_people_refuses_a_copy(tmp_path):
    copy = redact(snapshot_of({"user_id": "auth0|1", "picture": KNOWN[4]}), key=KEY)
    refreshing = import_module("toolkit.collection.refresh")._require_whole
    for work in (
        lambda: redact(copy, key=KEY),
        lambda: plan(copy, "https://assets.example.com/x.png", through="root"),
        lambda: probe(copy, sample=1),
        lambda: reach(copy, sample=1),
        lambda: notice(copy),
        lambda: notice_of_pictures(copy),
        lambda: refreshing(copy, "t.eu.auth0.com"),
    ):
        with pytest.raises(SettingsError, match="redacted") as refusal:
            work()
        assert "\n" not in str(refusal.value)


def test_an_empty_snapshot_is_redacted_too(tmp_path):
    assert len(redact(snapshot_of(), tmp_path / "c.parquet", key=KEY).users) == 0


def test_the_copy_never_takes_the_place_of_the_snapshot(tmp_path):
    whole = snapshot_of({"user_id": "auth0|1"})
    whole.write(tmp_path / "s.parquet")
    with pytest.raises(OutputError, match="the snapshot itself"):
        redact(read_snapshot(tmp_path / "s.parquet"), tmp_path / "s.parquet", key=KEY)


def test_progress_is_told_in_users(sample, tmp_path):
    told = []
    redact(sample, tmp_path / "c.parquet", key=KEY, show=told.append)
    assert (told[-1].done, told[-1].total) == (5000, 5000)


def test_a_key_is_made_once_and_only_its_owner_can_read_it(tmp_path):
    place = tmp_path / "own" / "key"
    key = own_key(place)
    assert len(key) == 32
    assert own_key(place) == key
    assert own_key(tmp_path / "another") != key
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700


def test_a_key_that_is_none_or_that_others_can_read_is_refused(tmp_path):
    (tmp_path / "short").write_text("abcd\n")
    (tmp_path / "open").write_text("00" * 32)
    (tmp_path / "text").write_text("no key, just words")
    for name in ("short", "text"):
        with pytest.raises(SettingsError, match="is no key"):
            own_key(tmp_path / name)
    (tmp_path / "open").chmod(0o640)
    with pytest.raises(SettingsError, match="chmod 600"):
        own_key(tmp_path / "open")
    with pytest.raises(OutputError, match="--key-file"):
        own_key(tmp_path / "text" / "folder" / "key")
    with pytest.raises(SettingsError, match="16 bytes"):
        redact(snapshot_of(), key=b"short")


def test_without_a_key_the_users_own_is_taken(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    whole = snapshot_of({"user_id": "auth0|1"})
    copy = redact(whole)
    assert key_path() == tmp_path / "picture-audit" / "redaction.key"
    assert copy.provenance.redacted == key_name(bytes.fromhex(key_path().read_text()))


def test_a_copy_replaces_only_a_copy_of_made_up_people(tmp_path):
    path, made_up = tmp_path / "copy.parquet", {"sandbox": True, "seed": 1}
    redact(snapshot_of({}, tenant="127.0.0.1:1", **made_up), path, key=KEY)
    redact(snapshot_of({}, tenant="127.0.0.1:2", **made_up), path, key=KEY)
    with pytest.raises(OutputError, match="another tenant"):
        redact(snapshot_of({}, tenant="real.example"), path, key=KEY)
