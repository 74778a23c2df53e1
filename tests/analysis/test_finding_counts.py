"""Findings: each condition by users who meet it and users who nearly do."""

import hashlib
from datetime import UTC, datetime

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from toolkit.analysis.finding_checks import SEVERITIES
from toolkit.analysis.finding_counts import Findings, findings, users_of
from toolkit.analysis.tenant_wiring import Script, wiring
from toolkit.classification.frames import audit, profiles
from toolkit.classification.schema import SNAPSHOT, completed
from toolkit.classification.user_profile import user
from toolkit.errors import SettingsError, UnreadableInputError

NOW = datetime(2026, 11, 23, tzinfo=UTC)
OVERRIDE = "api.idToken.setCustomClaim('picture', event.user.user_metadata.picture)"
OLD_OVERRIDE = "if (user.user_metadata.picture) user.picture = user.user_metadata.picture;"
OLD_DEFAULT = "if (user.picture.indexOf('cdn.auth0.com') > -1) user.picture = swapped;"
CAREFUL = "api.idToken.setCustomClaim('picture', event.user.picture || D)"
GOOGLE = "https://lh3.googleusercontent.com/a/one=s96-c"
FACEBOOK = "https://platform-lookaside.fbsbx.com/platform/profilepic/?asid=1&ext={}&hash=A"
LATE, SOON, FAR = (int(datetime(2026, m, 25, tzinfo=UTC).timestamp()) for m in (10, 11, 12))


def digest(email, kind="md5"):
    return hashlib.new(kind, email.encode(), usedforsecurity=False).hexdigest()


def gravatar(email, kind="md5", default="https%3A%2F%2Fcdn.auth0.com%2Favatars%2Fab.png"):
    return f"https://s.gravatar.com/avatar/{digest(email, kind)}?s=480&r=pg&d={default}"


def someone(number=0, provider="auth0", **record):
    return {
        "user_id": f"{provider}|{number:08}",
        "email": f"person{number}@example.com",
        "identities": [{"provider": provider, "connection": provider, "user_id": "1"}],
        **record,
    }


def frame_of(*records):
    return audit(profiles(user(record) for record in records))


def found(*records, wired=None):
    return {one.id: one for one in findings(frame_of(*records), as_of=NOW, wiring=wired)}


def wired_by(code="", kind="action"):
    return wiring([Script(kind, "Pictures", code, on=True)], NOW)


CASES = {
    "expired": (
        someone(picture=FACEBOOK.format(LATE)),
        someone(picture=FACEBOOK.format(SOON)),
    ),
    "expiring": (
        someone(picture=FACEBOOK.format(SOON)),
        someone(picture=FACEBOOK.format(FAR)),
    ),
    "unshowable": (someone(picture="javascript:alert(1)"), someone(picture=GOOGLE)),
    "on-word": (
        someone(picture="https://lh3.googleusercontent.com/a/two=s96-c"),
        someone(picture="https://static-cdn.jtvnw.net/jtv_user_pictures/one.png"),
    ),
    "override-broken": (
        someone(user_metadata={"picture": FACEBOOK.format(LATE)}),
        someone(user_metadata={"picture": FACEBOOK.format(SOON)}),
    ),
    "needs-token": (
        someone(picture="https://graph.microsoft.com/v1.0/me/photo/$value", provider="waad"),
        someone(picture="https://graph.microsoft.com/v1.0/me"),
    ),
    "missing": (someone(picture=None), someone(picture=GOOGLE)),
    "photo-elsewhere": (
        someone(picture=gravatar("a@b.example"), user_metadata={"avatar_url": GOOGLE}),
        someone(picture=GOOGLE, user_metadata={"avatar_url": f"{GOOGLE}2"}),
    ),
    "override-unusable": (
        someone(picture=GOOGLE, user_metadata={"picture": "http://example.com/me.png"}),
        someone(picture=GOOGLE, user_metadata={"picture": "https://example.com/me.png"}),
    ),
    "override-initials": (
        someone(user_metadata={"picture": "https://i2.wp.com/cdn.auth0.com/avatars/ab.png?ssl=1"}),
        someone(user_metadata={"picture": "https://i2.wp.com/example.com/ab.png"}),
    ),
    "resolved-copy": (
        someone(picture="https://i0.wp.com/cdn.auth0.com/avatars/ab.png?ssl=1"),
        someone(picture="https://cdn.auth0.com/avatars/ab.png"),
    ),
    "stock-image": (
        someone(picture="https://abs.twimg.com/sticky/default_profile_images/x.png"),
        someone(picture=gravatar("a@b.c", default="mp") + "&f=y"),
    ),
    "drawn": (
        someone(picture="https://i0.wp.com/UI-avatars.com/api/Me/128?ssl=1"),
        someone(picture="https://abs.twimg.com/sticky/default_profile_images/dicebear.com/x.png"),
    ),
    "inline": (
        someone(picture="data:image/png;base64,iVBORw0KGgo="),
        someone(picture="data:text/html,x"),
    ),
    "foreign-default": (
        someone(picture=gravatar("person0@example.com", default="mp")),
        someone(picture=gravatar("person0@example.com")),
    ),
    "insecure": (
        someone(picture=" HTTP://example.com/me.png"),
        someone(picture="https://example.com/http:/me.png"),
    ),
    "hash-mismatch": (
        someone(picture=gravatar("former@example.com")),
        someone(email=" Person0@Example.com ", picture=gravatar("person0@example.com")),
    ),
    "email-hash-exposed": (someone(picture=gravatar("a@b.c", "sha256")), someone(picture=GOOGLE)),
    "unresolved": (
        someone(picture=gravatar("a@b.c")),
        someone(picture="https://cdn.auth0.com/avatars/ab.png"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_finding_concerns_those_who_meet_it_and_not_those_who_nearly_do(name):
    guilty, innocent = CASES[name]
    other = someone(9, picture="https://static-cdn.jtvnw.net/jtv_user_pictures/nine.png")
    one = found(guilty, other)[name]
    assert (one.users, one.share, one.examples) == (1, 0.5, (guilty["user_id"],))
    assert one.meaning
    assert one.advice
    assert name not in found(innocent)


def test_a_hash_of_the_users_own_address_is_no_mismatch_whatever_its_kind():
    for kind in ("md5", "sha256"):
        assert "hash-mismatch" not in found(someone(picture=gravatar("person0@example.com", kind)))
    assert "hash-mismatch" not in found(someone(email=None, picture=gravatar("a@b.c")))


def test_a_frame_that_lacks_columns_is_told_which():
    frame = audit(profiles([])).drop(columns=["email", "picture"])
    with pytest.raises(UnreadableInputError, match="makes: email, picture"):
        findings(frame, as_of=NOW)


@pytest.mark.parametrize(("users", "shown"), [(9, False), (10, True)])
def test_one_picture_of_ten_people_is_a_hidden_default(users, shown):
    shared = [someone(n, picture="https://static.example/new.png") for n in range(users)]
    own = [someone(100 + n, picture=f"https://static.example/{n}.png") for n in range(30)]
    assert ("hidden-default" in found(*shared, *own)) is shown


def test_initials_that_many_share_are_no_hidden_default():
    initials = [someone(n, picture="https://cdn.auth0.com/avatars/ab.png") for n in range(20)]
    assert "hidden-default" not in found(*initials)


OVERRIDDEN = someone(
    picture=FACEBOOK.format(LATE), user_metadata={"picture": "https://example.com/me.png"}
)


def test_an_override_that_nothing_shows_is_a_finding_and_names_the_rule_that_stopped():
    one = found(OVERRIDDEN, wired=wired_by(OLD_OVERRIDE, "rule"))["override-unwired"]
    assert one.severity == "high"
    assert one.users == 1
    assert (
        "By Auth0's schedule Rules ended on 2026-11-18; this tenant still lists Rule “Pictures”."
        in one.meaning
    )
    assert "override-unwired" not in found(OVERRIDDEN, wired=wired_by(OVERRIDE))


def test_an_expired_picture_below_an_override_that_works_is_nobodys_trouble():
    assert "expired" in found(OVERRIDDEN)
    assert "expired" in found(OVERRIDDEN, wired=wired_by())
    assert "expired" not in found(OVERRIDDEN, wired=wired_by(OVERRIDE))


def test_a_default_that_stopped_concerns_those_without_a_picture_of_their_own():
    people = (someone(1, picture=gravatar("a@b.c")), someone(2), someone(3, picture=GOOGLE))
    one = found(*people, wired=wired_by(OLD_DEFAULT, "rule"))["default-stopped"]
    assert one.users == 2
    both = wiring(
        [
            Script("rule", "Old", OLD_DEFAULT, on=True),
            Script("action", "New", CAREFUL, on=True),
        ],
        NOW,
    )
    assert "default-stopped" not in found(*people, wired=both)


def test_an_action_that_sets_a_picture_for_everybody_is_a_finding():
    careless = wired_by("api.idToken.setCustomClaim('picture', D)")
    assert found(someone(picture=GOOGLE), wired=careless)["default-for-everybody"].users == 1
    careful = wired_by("if (!event.user.picture) api.idToken.setCustomClaim('picture', D)")
    assert "default-for-everybody" not in found(someone(picture=GOOGLE), wired=careful)


def test_what_nobody_has_read_is_said():
    assert "unknown" in findings(frame_of(someone()), as_of=NOW).notes[0]
    unclear = wired_by("for (const k of ['picture']) api.idToken.setCustomClaim(k, x[k])")
    assert findings(frame_of(someone()), as_of=NOW, wiring=unclear).notes == ()
    blind = wiring([], NOW, actions=False)
    assert "not clear" in findings(frame_of(someone()), as_of=NOW, wiring=blind).notes[0]


def test_what_was_not_exported_is_not_checked_and_said_so():
    wiring = wired_by()
    absent = ("email", "metadata_picture", "elsewhere", "last_login")
    notes = findings(frame_of(someone()), as_of=NOW, wiring=wiring, absent=absent).notes
    found = [note for note in notes if note.startswith("The users were exported without ")]
    assert [note.split("without ")[1].split(":")[0] for note in found] == [
        "email",
        "user_metadata.picture",
        "linked identities and other pictures",
    ]


def test_a_file_and_its_frame_have_the_same_findings(tmp_path):
    frame = frame_of(*(guilty for guilty, _ in CASES.values()), OVERRIDDEN)
    table = completed(pa.Table.from_pandas(frame, preserve_index=False)).cast(SNAPSHOT)
    pq.write_table(table, tmp_path / "s.parquet")
    from_file = findings(tmp_path / "s.parquet", as_of=NOW, wiring=wired_by())
    assert from_file == findings(frame, as_of=NOW, wiring=wired_by())


def test_nobody_has_no_findings():
    none = findings(frame_of(), as_of=NOW, wiring=wired_by())
    assert (len(none), none.users) == (0, 0)
    assert "nothing" in repr(none)
    assert none.table().empty


def test_the_most_severe_come_first():
    everything = findings(
        frame_of(*(guilty for guilty, _ in CASES.values()), OVERRIDDEN),
        as_of=NOW,
        wiring=wired_by(),
    )
    order = [(SEVERITIES.index(one.severity), -one.users) for one in everything]
    assert order == sorted(order)
    assert len(set(everything.table()["id"])) == len(everything)


def test_the_table_masks_user_ids_unless_told():
    everything = findings(frame_of(someone(12345678, picture=None)), as_of=NOW)
    assert everything.table()["examples"].tolist() == ["auth0|12…78"]
    assert everything.table(masked=False)["examples"].tolist() == ["auth0|12345678"]
    assert everything.as_dict()["findings"][0]["examples"] == ["auth0|12…78"]


def test_what_people_typed_stays_text():
    name = "<img src=x onerror=alert(1)>\u202e"
    bad = wiring([Script("rule", name, OLD_OVERRIDE, on=True)], NOW)
    everything = findings(frame_of(OVERRIDDEN), as_of=NOW, wiring=bad)
    assert "<img" not in everything._repr_html_()
    assert "\u202e" not in everything._repr_html_() + repr(everything)


def test_every_dtype_of_a_frame_does():
    frame = frame_of(*(guilty for guilty, _ in CASES.values()))
    as_objects = frame.astype({"picture": "object", "source": "category", "email": "string"})
    assert findings(as_objects, as_of=NOW) == findings(frame, as_of=NOW)


def test_an_empty_set_of_findings_is_a_value():
    assert Findings((), 0) == Findings((), 0)
    assert list(Findings((), 3)) == []
    assert isinstance(Findings((), 3).table(), pd.DataFrame)


@pytest.mark.parametrize("as_file", [False, True])
def test_the_users_of_a_finding_are_those_that_it_counts(as_file, tmp_path):
    frame = frame_of(*(one for pair in CASES.values() for one in pair))
    users = frame
    if as_file:
        users = tmp_path / "users.parquet"
        table = pa.Table.from_pandas(frame, preserve_index=False)
        pq.write_table(completed(table).cast(SNAPSHOT), users)
    counted = {one.id: one for one in findings(users, as_of=NOW, wiring=wired_by())}
    assert counted.keys() >= CASES.keys() - {"default-live"}
    for name, one in counted.items():
        those = users_of(users, name, as_of=NOW, wiring=wired_by())
        assert len(those) == one.users
        assert set(one.examples) <= set(those["user_id"])
        assert list(those.columns) == [*SNAPSHOT.names, "seen"]
    broken = users_of(users, "unshowable", as_of=NOW)
    assert set(broken["seen"]) == {"broken"}


def test_a_finding_that_does_not_exist_is_told_with_those_that_do():
    with pytest.raises(SettingsError, match=r"called mising\. There are expired, .*missing"):
        users_of(frame_of(someone()), "mising", as_of=NOW)
    with pytest.raises(SettingsError, match="called override-unwired"):  # nothing is known of that
        users_of(frame_of(someone()), "override-unwired", as_of=NOW)
