from dataclasses import asdict
from datetime import timedelta
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.change.conftest import ORDERS
from toolkit.analysis.own_action import LivePolicy
from toolkit.change.policy import (
    REPLACEABLE,
    Policy,
    Replacement,
    replaced,
    replaced_metadata,
    replaced_root,
    shown_address,
)
from toolkit.classification.sources import Fallback, Source, classify
from toolkit.classification.user_profile import user
from toolkit.errors import SettingsError
from toolkit.sandbox.made_up.tenants import NOW, people

DEFAULT = "https://images.example/new.png"
FORMER = "https://images.example/old.png"
OWN = "https://images.example/me.png"
FIRST = ("override", "own")
MINE = "https://people.example/me.png"
TOKEN = "https://graph.microsoft.com/v1.0/me/photo/$value"
MD5 = "324ad113b0ef6dabbb2c2c4cf8a8d108"
BASE = f"https://s.gravatar.com/avatar/{MD5}"
D = "d=https%3A%2F%2Fimages.example%2Fnew.png"
INITIALS = "https://cdn.auth0.com/avatars/te.png"
RESOLVED = "https://i0.wp.com/cdn.auth0.com/avatars/te.png?ssl=1"
GRAVATAR = f"{BASE}?s=480&r=pg&d={quote(INITIALS, safe='')}"
SWAPPED = f"{BASE}?s=480&r=pg&{D}"
PHOTO = "https://lh3.googleusercontent.com/a/AEdFTpxyz=s96-c"
STOCK = "https://abs.twimg.com/sticky/default_profile_images/default_profile_normal.png"
SIGNED = "https://platform-lookaside.fbsbx.com/platform/profilepic/?asid=1&ext="
PAST, FUTURE = f"{SIGNED}{int(NOW.timestamp()) - 1}", f"{SIGNED}{int(NOW.timestamp()) + 1}"


def decided(picture, metadata_picture=None, connection="Users", **policy):
    return replaced(
        picture,
        metadata_picture=metadata_picture,
        connection=connection,
        policy=Policy(DEFAULT, **policy),
        now=NOW,
    )


def after(*arguments, **policy):
    return decided(*arguments, **policy).after


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        # Initials, stock images, nothing, and what no browser shows.
        (INITIALS, DEFAULT),
        (RESOLVED, DEFAULT),
        (STOCK, DEFAULT),
        (None, DEFAULT),
        ("", DEFAULT),
        (" \n", DEFAULT),
        ("data:image/png;base64,AAAA", None),
        ("data:text/html,x", DEFAULT),
        ("javascript:alert(1)", DEFAULT),
        ("/me.png", DEFAULT),
        (42, DEFAULT),
        ([OWN], DEFAULT),
        (TOKEN, DEFAULT),
        (TOKEN.upper(), DEFAULT),
        ({"url": OWN}, DEFAULT),
        # Pictures of people's own.
        (OWN, None),
        (f"  {OWN}", None),
        (PHOTO, None),
        ("http://images.example/me.png", None),
        (DEFAULT, None),
        # Gravatar URLs: only what shows without a Gravatar is exchanged.
        (GRAVATAR, SWAPPED),
        (BASE, f"{BASE}?{D}"),
        (f"{BASE}?", f"{BASE}?{D}"),
        (f"{BASE}.jpg?s=80#top", f"{BASE}.jpg?s=80&{D}#top"),
        (f"{BASE}?d=mp&s=80&r=x", f"{BASE}?{D}&s=80&r=x"),
        (f"{BASE}?d=identicon", f"{BASE}?{D}"),
        (f"{BASE}?d=404", f"{BASE}?{D}"),
        (f"{BASE}?d=nonsense", f"{BASE}?{D}"),
        (f"{BASE}?d={quote(STOCK, safe='')}", f"{BASE}?{D}"),
        (f"{BASE}?d={quote(RESOLVED, safe='')}", f"{BASE}?{D}"),
        (f"{BASE}?default=mp&s=80", f"{BASE}?{D}&s=80"),
        (f"{BASE}?%64=mp&s=80", f"{BASE}?{D}&s=80"),
        (f"{BASE}?d=mp&s=80&d=404&default=retro", f"{BASE}?s=80&{D}"),
        (f"{BASE}?s=%zz&x&&d=mp", f"{BASE}?s=%zz&x&&{D}"),
        (f"{BASE}?d=mp&f=y", f"{BASE}?{D}&f=y"),
        (f" {BASE}?d=\nmp\t", f"{BASE}?{D}"),
        (f"http://u@GRAVATAR.com:80/avatar/{MD5}", f"http://u@GRAVATAR.com:80/avatar/{MD5}?{D}"),
        # A fallback that somebody chose, or that is the default already.
        (f"{BASE}?d={quote(OWN, safe='')}", None),
        (f"{BASE}?d=mp&d={quote(OWN, safe='')}", None),
        (f"{BASE}?default=mp&d={quote(OWN, safe='')}", None),
        (f"{BASE}?d={quote(OWN, safe='')}&default=mp&f=y", None),
        (SWAPPED, None),
        (f"{BASE}?d={DEFAULT}", None),
    ],
)
def test_placeholders_give_way_and_pictures_stay(picture, expected):
    assert after(picture) == expected
    policy = Policy(DEFAULT, order=FIRST)
    assert replaced_root(picture, connection="Users", policy=policy, now=NOW).after == expected


@pytest.mark.parametrize(
    "wrap",
    [str, lambda url: f"{BASE}?d={quote(url, safe='')}", lambda url: f"{BASE}?d=%20{url}%C2%85"],
)
def test_a_former_default_gives_way_once_it_is_named(wrap):
    assert after(wrap(FORMER)) is None
    expected = DEFAULT if wrap is str else f"{BASE}?{D}"
    assert after(wrap(FORMER), former=(FORMER,)) == expected
    assert after(wrap(OWN), former=(FORMER,)) is None
    assert after(wrap(FORMER), former=(FORMER,), sources=(Source.PLACEHOLDER,)) == expected
    assert after(wrap(FORMER), former=(FORMER,), sources=(Source.INITIALS,)) is None


def test_a_signed_address_gives_way_at_the_second_of_its_expiry_and_never_before():
    now = f"{SIGNED}{int(NOW.timestamp())}"
    assert (after(PAST), after(now), after(FUTURE)) == (DEFAULT, DEFAULT, None)
    assert (after(PAST, expired=False), after(now, expired=False)) == (None, None)
    assert after(f"https://images.example/?ext={1}") is None
    assert after(PAST, sources=(Source.SOCIAL,)) == DEFAULT
    assert after(PAST, sources=(Source.INITIALS,)) is None
    assert after(PHOTO, sources=(Source.SOCIAL,)) is None


@pytest.mark.parametrize(
    ("override", "wins"),
    [
        (OWN, True),
        (PHOTO, True),
        (FUTURE, True),
        ("http://images.example/me.png", False),
        ("data:image/png,x", False),
        ("", False),
        (7, False),
        (None, False),
        ([OWN], False),
        (INITIALS, False),
        (RESOLVED, False),
        (STOCK, False),
        (f"{GRAVATAR}&f=y", False),
        (PAST, False),
        (TOKEN, False),
        (DEFAULT, False),
        (FORMER, False),
    ],
)
def test_an_override_comes_first_where_it_is_a_picture_somebody_could_mean(override, wins):
    policy = {"order": FIRST, "former": (FORMER,)}
    assert after(PHOTO + "2", override, **policy) == (override if wins else None)
    assert after(INITIALS, override, **policy) == (override if wins else DEFAULT)
    assert after(INITIALS, override, former=(FORMER,)) == DEFAULT


def test_an_override_that_the_profile_shows_already_changes_nothing():
    assert after(OWN, OWN, order=FIRST) is None


def test_an_override_counts_even_past_its_time_where_expiry_is_not_looked_at():
    assert after(PHOTO, PAST, order=FIRST, expired=False) == PAST


def test_the_fallback_of_an_override_is_exchanged_like_any_other():
    assert after(PHOTO, GRAVATAR, order=FIRST) == SWAPPED


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("own", [PHOTO, INITIALS, None, DEFAULT, TOKEN, GRAVATAR])
def test_the_first_usable_picture_of_the_order_is_shown(order, own):
    default = {DEFAULT: None, GRAVATAR: SWAPPED}.get(own, DEFAULT)
    policy = Policy(DEFAULT, order=order)
    for override in (OWN, STOCK, None):
        for elsewhere in (MINE, DEFAULT, None):
            held = {"elsewhere": elsewhere, "policy": policy, "now": NOW}
            usable = {
                "own": own == PHOTO,
                "override": override == OWN,
                "elsewhere": elsewhere == MINE,
            }
            shows = {"own": None, "override": OWN, "elsewhere": MINE}
            at_login = [shows[step] for step in order if usable[step]]
            found = replaced(own, metadata_picture=override, **held)
            assert found.after == [*at_login, default][0]
            written = [shows[step] for step in order if usable[step] and step != "override"]
            assert replaced_root(own, **held).after == [*written, default][0]
            into = replaced_metadata(own, metadata_picture=override, **held).after
            kept_there = override == OWN
            assert into == (None if kept_there else [*written, default][0])


@pytest.mark.parametrize("order", ORDERS)
def test_a_gravatar_that_a_probe_found_is_usable_where_profiles_are_written(order):
    found = {"policy": Policy(DEFAULT, order=order), "now": NOW, "underlying": Source.GRAVATAR}
    comes_first = "elsewhere" in order and order.index("elsewhere") < order.index("own")
    for decide in (replaced_root, replaced_metadata):
        assert decide(GRAVATAR, elsewhere=MINE, **found).after == (MINE if comes_first else None)
        assert decide(GRAVATAR, **found).after is None


def test_sources_do_not_narrow_the_override():
    assert after(PHOTO, OWN, order=FIRST, sources=(Source.INITIALS,)) == OWN


def test_only_the_named_connections_are_touched():
    for picture, override in ((INITIALS, None), (None, OWN)):
        assert after(picture, override, "A", connections=("A", "B"), order=FIRST) is not None
        assert after(picture, override, "C", connections=("A", "B"), order=FIRST) is None
        assert after(picture, override, None, connections=("A", "B"), order=FIRST) is None
    policy = Policy(DEFAULT, connections=("A",))
    assert replaced_root(INITIALS, connection="B", policy=policy, now=NOW).after is None
    assert replaced_metadata(INITIALS, connection="B", policy=policy, now=NOW).after is None
    assert replaced_metadata(INITIALS, connection="A", policy=policy, now=NOW).after == DEFAULT


@pytest.mark.parametrize(
    ("picture", "meant_by"),
    [
        (INITIALS, {"initials"}),
        (RESOLVED, {"initials"}),
        (STOCK, {"placeholder"}),
        (None, {"missing"}),
        ("me.png", {"invalid"}),
        (TOKEN, {"invalid"}),
        (GRAVATAR, {"unresolved", "initials"}),
        (f"{BASE}?d=mp", {"unresolved", "placeholder"}),
        (f"{GRAVATAR}&f=y", {"initials"}),
        (f"{BASE}?d=mp&forcedefault=Yes", {"placeholder"}),
        (PAST, {"social"}),
    ],
)
def test_each_picture_is_replaced_for_the_sources_that_mean_it(picture, meant_by):
    found = {source for source in REPLACEABLE if after(picture, sources=(source,)) is not None}
    assert found == meant_by


def metadata_after(picture, metadata_picture=None, **policy):
    return replaced_metadata(
        picture, metadata_picture=metadata_picture, policy=Policy(DEFAULT, **policy), now=NOW
    ).after


@pytest.mark.parametrize(
    ("picture", "metadata_picture", "expected"),
    [
        (INITIALS, None, DEFAULT),
        (None, None, DEFAULT),
        (INITIALS, "data:image/png,x", DEFAULT),
        (INITIALS, RESOLVED, DEFAULT),
        (INITIALS, TOKEN, DEFAULT),
        (INITIALS, OWN, None),
        (INITIALS, DEFAULT, None),
        (INITIALS, FORMER, DEFAULT),
        (PHOTO, None, None),
        (PHOTO, RESOLVED, None),
        (PHOTO, FORMER, DEFAULT),
        (GRAVATAR, None, SWAPPED),
        (GRAVATAR, SWAPPED, None),
        (GRAVATAR.replace("https://s.", "http://s."), None, None),
        (OWN, OWN, None),
    ],
)
def test_metadata_is_written_for_those_who_would_see_a_placeholder_and_have_none(
    picture, metadata_picture, expected
):
    assert metadata_after(picture, metadata_picture, former=(FORMER,)) == expected


def test_every_decision_says_why_and_never_repeats_a_url():
    reasons = {
        decided(*case, order=FIRST, former=(FORMER,), connections=("Users",)).reason
        for case in (
            (INITIALS,),
            (GRAVATAR,),
            (f"{BASE}?d=mp",),
            (f"{BASE}?d={FORMER}",),
            (f"{BASE}?d={OWN}",),
            (OWN,),
            (PAST,),
            (FUTURE,),
            (None,),
            ("me.png",),
            (FORMER,),
            (DEFAULT,),
            (INITIALS, OWN),
            (INITIALS, None, "elsewhere"),
        )
    }
    reasons |= {
        decided(INITIALS, sources=(Source.MISSING,)).reason,
        replaced_metadata(INITIALS, metadata_picture=OWN, policy=Policy(DEFAULT), now=NOW).reason,
    }
    assert len(reasons) == 16
    assert not any("/" in reason or not reason for reason in reasons)


def test_equal_decisions_are_equal_values():
    one = Policy(DEFAULT, former=("b", "a", DEFAULT), connections=("y", "x", "y"))
    assert one == Policy(DEFAULT, former=("a", "b"), connections=("x", "y"))
    assert (one.former, one.connections) == (("a", "b"), ("x", "y"))


@pytest.mark.parametrize(
    ("flags", "order"),
    [
        ({"override": False}, ("own",)),
        ({"override": True}, FIRST),
        ({"override": False, "elsewhere": True}, ("own", "elsewhere")),
        ({"override": True, "elsewhere": True}, (*FIRST, "elsewhere")),
    ],
)
def test_a_policy_that_a_former_version_wrote_opens(flags, order):
    policy = Policy(DEFAULT, order=order, sources=(Source.INITIALS,))
    written = asdict(policy)
    assert Policy.from_dict(written) == Policy.from_dict(written | flags) == policy
    del written["order"]
    assert Policy.from_dict(written | flags) == policy
    for odd in ({}, {"override": 1}, {**flags, "more": 1}, {**flags, "order": ["elsewhere", "x"]}):
        with pytest.raises((KeyError, TypeError, ValueError)):
            Policy.from_dict(written | odd)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"picture": "http://images.example/a.png"}, "https URL"),
        ({"picture": ""}, "https URL"),
        ({"picture": "https://images.example/\ud800.png"}, "not valid text"),
        ({"former": ("\udfff",)}, "not valid text"),
        ({"connections": ("\ud800",)}, "not valid text"),
        ({"picture": GRAVATAR}, "itself"),
        ({"picture": RESOLVED}, "itself"),
        ({"picture": STOCK}, "itself"),
        ({"connections": ()}, "empty list"),
        ({"sources": ()}, "empty list"),
        ({"order": ("own", "default")}, "no step 'default' .* choose among override, own, else"),
        ({"order": ("own", "own")}, "own,own names a step twice"),
        ({"order": ("override",)}, "hide pictures that people chose. Name it, too: override,own"),
        ({"order": ()}, "Name it, too: own$"),
        *(
            ({"sources": (source,)}, f"{source} are never")
            for source in Source
            if source not in REPLACEABLE
        ),
    ],
)
def test_what_could_not_be_carried_out_is_no_policy(fields, said):
    with pytest.raises(SettingsError, match=said) as caught:
        Policy(**{"picture": DEFAULT} | fields)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("source", [Source.SOCIAL, Source.ENTERPRISE, Source.CUSTOM])
def test_a_picture_of_somebodys_own_is_replaceable_only_once_its_address_has_ended(source):
    signed = "X-Amz-Date=20250101T000000Z&X-Amz-Expires=60"
    address = {
        Source.SOCIAL: "https://media.licdn.com/a?e=1700000000",
        Source.ENTERPRISE: f"https://files.example/a.png?{signed}",
        Source.CUSTOM: f"https://lh3.googleusercontent.com/d/a?{signed}",
    }[source]
    policy = Policy(DEFAULT, sources=(source,))
    assert replaced(address, policy=policy, now=NOW).after in {DEFAULT, None}
    if source is not Source.ENTERPRISE:  # the policy does not see the identity
        assert replaced(address, policy=policy, now=NOW).after == DEFAULT
    kept = address.partition("?")[0]
    assert replaced(kept, policy=policy, now=NOW).after is None


def test_in_a_whole_tenant_real_pictures_stay_and_placeholders_go():
    policy = Policy(DEFAULT)
    real = {Source.SOCIAL, Source.ENTERPRISE, Source.CUSTOM}
    changed = 0
    for someone in people(2000):
        kept = user(someone.record)
        found = replaced(kept.picture, connection=kept.connection, policy=policy, now=NOW)
        verdict = classify(kept.picture)
        changed += found.after is not None
        if verdict.source in real and not (verdict.expires_at and verdict.expires_at <= NOW):
            assert found.after is None
        elif verdict.fallback not in {None, Fallback.CUSTOM}:
            assert found.after is not None
            assert classify(found.after).gravatar_hash == verdict.gravatar_hash
            assert dict(parse_qsl(urlsplit(found.after).query))["d"] == DEFAULT
        elif verdict.fallback is None and verdict.source is Source.UNRESOLVED:
            assert found.after is None  # Slack's copy of a Gravatar: perhaps somebody's own
        elif verdict.fallback is None:
            assert found.after == DEFAULT
    assert 500 < changed < 2000


queries = st.lists(
    st.sampled_from(
        ["d=mp", "d=404", "default=retro", "%64=x", "D=1", "s=480", "f=y", "r=pg", "a=%26&", "d"]
    )
    | st.text(max_size=4),
    max_size=5,
).map("&".join)


@given(st.sampled_from(["", " ", "\t"]), queries, st.sampled_from(["", "#x", "\n"]))
def test_what_became_of_a_picture_stays_and_keeps_its_other_parameters(start, query, end):
    policy = Policy(DEFAULT, order=FIRST, former=(FORMER,))
    before = f"{start}{BASE}?{query}{end}"
    found = replaced_root(before, policy=policy, now=NOW)
    if found.after is None:
        assert classify(before).fallback is Fallback.CUSTOM
        return
    assert replaced_root(found.after, policy=policy, now=NOW).after is None
    assert classify(found.after).fallback is Fallback.CUSTOM
    assert found == replaced(before, policy=policy, now=NOW)
    assert isinstance(found, Replacement)

    def others(url):
        text = "".join(url.strip("".join(map(chr, range(33)))).split("\t")).replace("\n", "")
        pairs = parse_qsl(text.replace("\r", "").partition("#")[0].partition("?")[2], True)
        return [pair for pair in pairs if pair[0] not in {"d", "default"}]

    assert others(found.after) == others(before)


def test_time_moves_a_signed_address_and_nothing_else():
    policy = Policy(DEFAULT)
    later = NOW + timedelta(days=400)
    assert replaced(FUTURE, policy=policy, now=later).after == DEFAULT
    assert replaced(PHOTO, policy=policy, now=later).after is None


def test_a_gravatar_that_a_probe_found_stays_where_nothing_hides_it():
    policy = Policy(DEFAULT)
    found = {"policy": policy, "now": NOW, "underlying": Source.GRAVATAR}
    assert replaced_metadata(GRAVATAR, **found).after is None
    assert replaced_root(GRAVATAR, **found).after is None
    hidden = replaced_metadata(GRAVATAR, metadata_picture=INITIALS, **found)
    assert hidden.after == SWAPPED


@pytest.mark.parametrize(
    ("shows", "picture", "address"),
    [
        ("profile", PHOTO, PHOTO),
        ("profile", None, ""),
        ("override", PHOTO, OWN),
        ("elsewhere", INITIALS, "https://images.example/held.png"),
        ("default", INITIALS, DEFAULT),
        ("default", None, DEFAULT),
        ("fallback", GRAVATAR, SWAPPED),
        ("either", PHOTO, None),
        ("careless", PHOTO, None),
        (None, PHOTO, None),
    ],
)
def test_the_address_of_what_people_see_is_that_of_what_is_shown(shows, picture, address):
    user = {"shows": shows, "picture": picture, "metadata_picture": OWN, "connection": "Users"}
    user["elsewhere"] = "https://images.example/held.png"
    assert shown_address(user, [LivePolicy(DEFAULT)], NOW) == address


def test_of_several_actions_the_last_that_replaces_a_picture_gives_its_address():
    user = {"shows": "default", "picture": INITIALS, "metadata_picture": None, "elsewhere": None}
    user["connection"] = "Users"
    other = LivePolicy(FORMER, connections=("Others",))
    assert shown_address(user, [LivePolicy(FORMER), LivePolicy(DEFAULT), other], NOW) == DEFAULT
    # As somebody may have edited it at the tenant.
    edited = LivePolicy(INITIALS)
    assert shown_address(user, [LivePolicy(DEFAULT), edited], NOW) is None
