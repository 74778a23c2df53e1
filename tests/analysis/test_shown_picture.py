"""What people see: nobody's picture is their own where something speaks against it."""

import os
from dataclasses import asdict, replace

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.change.conftest import ORDERS
from tests.truth import see_their_own
from toolkit.analysis.coverage_count import coverage
from toolkit.analysis.duckdb_engine import engine_with
from toolkit.analysis.finding_checks import CHECKS, wired
from toolkit.analysis.groups import Seen
from toolkit.analysis.headline_words import headline
from toolkit.analysis.own_action import LivePolicy, live_policy
from toolkit.analysis.shown_picture import show
from toolkit.analysis.tenant_wiring import Script, Setter, Wiring, wiring
from toolkit.change.javascript import action_code
from toolkit.change.policy import Policy, replaced
from toolkit.classification.frames import audit, profiles
from toolkit.classification.sources import Source, classify
from toolkit.classification.user_profile import user
from toolkit.sandbox.made_up.tenants import NOW, people

GOOGLE = "https://lh3.googleusercontent.com/a/{}=s96-c"
EXPIRED = "https://platform-lookaside.fbsbx.com/platform/profilepic/?asid=1&ext=1700000000&hash=A"
TOKEN = "https://graph.microsoft.com/v1.0/me/photo/$value"
TWITCH = "https://static-cdn.jtvnw.net/jtv_user_pictures/{}.png"  # stock images are elsewhere
CUSTOM = "https://example.com/me.png"
GRAVATAR = "https://s.gravatar.com/avatar/0bc83cb571cd1c50ba6f3e8a78ef1346?s=480&r=pg&d={}"
INITIALS = "https%3A%2F%2Fcdn.auth0.com%2Favatars%2Fab.png"
STOCK = "https://abs.twimg.com/sticky/default_profile_images/x.png"
LETTERS = "https://i1.wp.com/cdn.auth0.com/avatars/ab.png"
NEW = "https://assets.example.com/two.png"
OLD = "https://assets.example.com/one.png"
FACE = "https://uploads.example.com/face.png"
OWN = ("own", "on_word")
# The findings that say that people see something else than a picture of their own.
AGAINST = (
    *("expired", "unshowable", "needs-token", "missing", "hidden-default", "stock-image", "drawn"),
    *("resolved-copy", "default-for-everybody", "default-live"),
)
SHOWN_AGAINST = ("override-broken", "override-initials")  # of those to whom overrides are shown

PICTURES = (
    *(None, "", "/me.png", "javascript:alert(1)", EXPIRED, TOKEN, STOCK, LETTERS, NEW, OLD),
    *(GRAVATAR.format(text) for text in (INITIALS, "mp", "404", "https%3A%2F%2Fx.example%2Fa.png")),
    *("https://example.com/me.png", GOOGLE.format("one"), "https://media.licdn.com/dms/a?e=1"),
    *("https://avatars.githubusercontent.com/u/1", "http://idp.example/7.jpg", "data:image/png;,A"),
)
SCRIPTS = (
    "",
    (
        "if (event.user.user_metadata.picture) "
        "api.idToken.setCustomClaim('picture', event.user.user_metadata.picture)"
    ),
    "api.idToken.setCustomClaim('picture', event.user.user_metadata.picture || X)",
    "api.idToken.setCustomClaim('picture', X)",
    "if (!event.user.picture) api.idToken.setCustomClaim('picture', X)",
    "for (const k of ['picture']) api.idToken.setCustomClaim(k, x[k])",
    *(
        action_code(Policy(NEW, **choice))
        for choice in (
            {},
            {"order": ("override", "own"), "former": (OLD,)},
            {"expired": False, "connections": ("google-oauth2",)},
            {
                "sources": (Source.INITIALS, Source.MISSING),
                "order": ("own", "override"),
                "expired": False,
            },
            {"sources": (Source.UNRESOLVED, Source.SOCIAL), "former": (OLD,)},
        )
    ),
)


def frame_of(*users):
    """A frame of (picture, override, connection) with as many users as there are."""
    records = [
        {
            "user_id": f"{connection}|{number}",
            "email": "a@example.com",
            "picture": picture,
            "user_metadata": {} if override is None else {"picture": override},
            "identities": [{"provider": connection, "connection": connection, "user_id": "1"}],
        }
        for number, (picture, override, connection) in enumerate(users)
    ]
    return audit(profiles(user(record) for record in records))


def shown(frame, wired_by=None, columns="sight, shows"):
    with engine_with(frame) as opened:
        show(opened, "shown", as_of=NOW, wiring=wired_by)
        return opened.execute(f"SELECT {columns} FROM shown").fetchall()


def sees(picture, override=None, connection="auth0", wired_by=None, **columns):
    frame = frame_of((picture, override, connection)).assign(**columns)
    ((sight, _),) = shown(frame, wired_by)
    return sight


def running(*codes):
    return wiring([Script("action", str(n), code, on=True) for n, code in enumerate(codes)], NOW)


@pytest.mark.parametrize(
    ("picture", "sight"),
    [
        (GOOGLE.format("x"), "on_word"),
        (CUSTOM, "on_word"),
        (TWITCH.format("x"), "own"),
        (EXPIRED, "broken"),
        (TOKEN, "broken"),
        (STOCK, "placeholder"),
        (LETTERS, "initials"),
        (GRAVATAR.format(INITIALS), "unknown"),
        (None, "none"),
        ("/me.png", "broken"),
    ],
)
def test_an_override_is_judged_as_a_profiles_picture_is(picture, sight):
    assert sees(picture) == sight
    if picture is not None and picture.startswith("https:"):
        assert sees(None, picture, wired_by=running(SCRIPTS[1])) == sight
        assert sees(TWITCH.format(1), picture, wired_by=running()) == "own"


def test_looking_decides_where_the_address_leaves_it_open():
    for content in ("letters", "pattern", "silhouette", "plain"):
        for picture in (GOOGLE.format("x"), CUSTOM):
            assert sees(picture, content=content) == "placeholder"
            assert sees(picture, content="photo") == "own"
            # A photo that many have is nobody's own.
            many = frame_of(*[(picture, None, "auth0")] * 10).assign(content="photo")
            assert {sight for sight, _ in shown(many)} == {"placeholder"}
        # What somebody uploaded is theirs, whatever it shows.
        assert sees(TWITCH.format(1), content=content) == "own"
        exists = {"source": "gravatar", "underlying": "gravatar", "evidence": "probe"}
        assert sees(GRAVATAR.format("mp"), content=content, **exists) == "own"
        # Gravatar is asked whether it exists: it may hold letters, too.
        assert sees(GRAVATAR.format(INITIALS), content=content) == "unknown"
    assert sees(EXPIRED, content="photo") == "broken"
    slack = "https://ca.slack-edge.com/T0ACME-U1-g0bc83cb571c-512"
    # Nobody can ask Gravatar about these, so looking is all that the verdict rests on.
    seen = [sees(slack, content=one, evidence="pixels") for one in ("silhouette", "photo")]
    assert [sees(slack), *seen] == ["unknown", "placeholder", "own"]


def test_on_an_unknown_host_only_the_login_says_that_it_is_a_providers():
    moved = "https://pictures.example.com/1.png"
    assert sees(moved, None, "twitch") == "on_word"
    # Below an override, too, where `evidence` is of the override.
    assert sees(moved, CUSTOM, "twitch", wired_by=running()) == "on_word"
    assert sees(TWITCH.format(1), CUSTOM, "twitch", wired_by=running()) == "own"


def test_what_was_seen_is_of_the_picture_that_shows():
    override = running(SCRIPTS[1])
    assert sees(STOCK, CUSTOM, wired_by=override, content="photo") == "own"
    assert sees(STOCK, CUSTOM, wired_by=override, content="letters") == "placeholder"
    # Where nobody knows whether the override shows, the profile's picture was looked at.
    assert sees(GOOGLE.format(1), CUSTOM, content="photo") == "on_word"
    assert sees(GOOGLE.format(1), CUSTOM, content="letters") == "unknown"
    assert sees(GOOGLE.format(1), CUSTOM, wired_by=running(), content="photo") == "own"


def test_an_override_that_may_be_shown_is_known_only_where_both_pictures_are_alike():
    own, google = TWITCH.format(1), GOOGLE.format("x")
    assert sees(own, own) == "own"
    assert sees(google, own) == "on_word"
    assert sees(STOCK, own) == "unknown"
    assert sees(own, STOCK) == "unknown"
    assert (
        sees(STOCK, "https://ssl.gstatic.com/s2/profiles/images/silhouette9.png") == "placeholder"
    )


def test_the_last_script_decides():
    override, ours = SCRIPTS[1], action_code(Policy(NEW))
    assert sees(None, CUSTOM, wired_by=running(override, ours)) == "default"
    assert sees(None, CUSTOM, wired_by=running(ours, override)) == "on_word"
    assert sees(CUSTOM, wired_by=running(ours, SCRIPTS[3])) == "unknown"
    (seen,) = shown(frame_of((GRAVATAR.format("mp"), None, "auth0")), running(SCRIPTS[3]))
    assert seen == ("unknown", "careless")


def test_an_action_of_this_tool_with_other_wording_is_read_by_its_policy():
    policy = Policy(NEW, order=("override", "own"), former=(OLD,), connections=("a", "b'; --"))
    code = action_code(policy)
    assert live_policy(code) == LivePolicy(**asdict(policy))
    early = code.replace('"order": ["override", "own"]', '"override": true')
    assert live_policy(early) == live_policy(code)
    (setter,) = running(code).setters
    assert (setter.override, setter.default, setter.spares) == (True, True, True)
    assert sees(None, wired_by=running(code)) == "none"
    for damaged in (code.replace('"picture": "', '"picture": 7, "x": "'), code[:300], None, "x"):
        assert live_policy(damaged) is None


users = st.lists(
    st.tuples(
        st.sampled_from(PICTURES),
        st.none() | st.sampled_from(PICTURES),
        st.sampled_from(["auth0", "google-oauth2", "waad", "github"]),
    ),
    min_size=1,
    max_size=30,
)
contents = st.sampled_from([None, "photo", "letters", "pattern", "silhouette", "plain"])
tenants = st.sampled_from([None, *((code,) for code in SCRIPTS)]) | st.permutations(SCRIPTS).map(
    lambda codes: tuple(codes[:3])
)


@settings(max_examples=60)
@given(users, st.lists(contents, min_size=30, max_size=30), tenants, st.integers(1, 12))
def test_nobody_sees_an_own_picture_whom_a_finding_denies_one(some, seen, codes, times):
    frame = frame_of(*some * times)
    frame["content"] = pd.Series((seen * times)[: len(frame)] * 1, dtype="object").reindex(
        frame.index
    )
    wired_by = None if codes is None else running(*codes)
    checks = {one.id: one for one in (*CHECKS, *wired(wired_by))}
    denied = [
        *(f"({checks[name].condition})" for name in AGAINST if name in checks),
        *(f"(({checks[name].condition}) AND shows = 'override')" for name in SHOWN_AGAINST),
    ]
    with engine_with(frame) as opened:
        show(opened, "shown", as_of=NOW, wiring=wired_by)
        found = opened.execute(
            f"SELECT picture, metadata_picture, content, sight, shows FROM shown "
            f"WHERE sight IN {OWN} AND ({' OR '.join(denied)})"
        ).fetchall()
        kinds = {
            sight for (sight,) in opened.execute("SELECT DISTINCT sight FROM shown").fetchall()
        }
    assert found == []
    assert kinds <= {*Seen}


@settings(max_examples=40)
@given(
    users,
    st.sampled_from(range(6, len(SCRIPTS))),
    st.sampled_from(ORDERS),
    st.lists(st.sampled_from([None, FACE, OLD]), min_size=30, max_size=30),
)
def test_the_own_action_is_said_to_show_what_its_policy_decides(some, script, order, spare):
    policy = replace(Policy.from_dict(asdict(live_policy(SCRIPTS[script]))), order=order)
    frame = frame_of(*some)
    frame = frame.assign(elsewhere=spare[: len(frame)], elsewhere_from="metadata:avatar")
    columns = "picture, metadata_picture, elsewhere, connection, sight, shows"
    told = shown(frame, running(action_code(policy)), columns)
    for picture, override, elsewhere, connection, sight, shows in told:
        held = {"metadata_picture": override, "elsewhere": elsewhere, "connection": connection}
        after = replaced(picture, **held, policy=policy, now=NOW).after
        said = (picture, held, policy, sight)
        if after == NEW:
            assert shows == "default", said
        elif after is None:
            # An override may be the same picture.
            assert shows == "profile" or picture == override, said
        elif after == override:
            assert shows == "override", said
        elif after == elsewhere:
            assert (shows, sight) == ("elsewhere", "on_word"), said
        elif shows == "override":  # a Gravatar, with another fallback
            assert classify(after).gravatar_hash == classify(override).gravatar_hash, said
        else:
            assert (shows, sight) == ("fallback", "unknown"), said


def test_the_own_action_shows_pictures_held_elsewhere_where_its_policy_does():
    code = action_code(Policy(NEW, order=("own", "elsewhere")))
    face, other = FACE, GOOGLE.format(7)
    frame = frame_of(
        *((one, None, "auth0") for one in (STOCK, STOCK, STOCK, STOCK, GOOGLE.format(1)))
    )
    frame = frame.assign(
        elsewhere=[face, other, NEW, None, face],
        elsewhere_from=["metadata:avatar", "linked:google-oauth2", "metadata:avatar", None, "x"],
    )
    assert shown(frame, running(code), "shows, sight") == [
        ("elsewhere", "on_word"),
        ("elsewhere", "on_word"),
        ("default", "default"),
        ("default", "default"),
        ("profile", "on_word"),
    ]
    without = action_code(Policy(NEW))
    assert {shows for (shows,) in shown(frame, running(without), "shows")} == {"default", "profile"}


@pytest.mark.parametrize("override", [True, None])
@pytest.mark.parametrize("default", [True, None])
def test_thirty_scripts_of_a_kind_show_what_one_does(override, default):
    setter = Setter("action", "x", True, True, override, default, False)
    frame = frame_of(
        *(
            (one, "https://example.com/mine.png", "auth0")
            for one in (STOCK, LETTERS, GOOGLE.format(1), EXPIRED)
        )
    )
    one, many = (Wiring((setter,) * count, True, True, NOW) for count in (1, 30))
    assert shown(frame, many) == shown(frame, one)
    unread = Wiring((), False, False, NOW)
    assert unread.override is None
    assert shown(frame, unread) == shown(frame, None)


def test_a_tenant_of_stock_and_drawn_pictures_has_at_least_nothing():
    stock = frame_of(*((one, None, "auth0") for one in (STOCK, LETTERS, TOKEN, EXPIRED)))
    assert headline(coverage(stock, as_of=NOW)).share == "0 %"
    google = frame_of(*((GOOGLE.format(n), None, "google-oauth2") for n in range(5)))
    said = headline(coverage(google, as_of=NOW))
    assert (said.share, said.doubt) == ("at least 0 %", "up to 100 %")
    drawn = coverage(google.assign(content="letters"), as_of=NOW)
    assert headline(drawn).share == "0 %"


SEEDS = int(os.environ.get("PICTURE_AUDIT_BOUND_SEEDS", "3"))


@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
@pytest.mark.parametrize("override", [True, False, None])
def test_the_truth_about_made_up_people_lies_within_the_bounds(seed, override):
    made = list(people(400, seed=seed))
    frame = audit(profiles(user(one.record) for one in made), at=NOW)
    sights = shown(frame, override, "sight")
    # Where nobody knows which picture shows, the truth may be either.
    ways = {True, False} if override is None else {override}
    truths = zip(*(see_their_own(made, override=way, now=NOW) for way in ways), strict=True)
    least = most = 0
    for one, (sight,), truth in zip(made, sights, truths, strict=True):
        least, most = least + all(truth), most + any(truth)
        assert all(truth) or sight != "own", one.record
        assert not any(truth) or sight in {"own", "on_word", "unknown"}, one.record
    counted = coverage(frame, as_of=NOW, wiring=override).own
    assert 0 < counted.low <= least <= most <= counted.high < len(made)
