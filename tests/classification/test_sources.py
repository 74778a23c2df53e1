import time
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from toolkit.classification.sources import (
    RULES,
    Evidence,
    Fallback,
    Rule,
    Source,
    classify,
    without_gravatar,
)

MD5 = "324ad113b0ef6dabbb2c2c4cf8a8d108"
SHA256 = "a" * 64
INITIALS = "d=https%3A%2F%2Fcdn.auth0.com%2Favatars%2Fte.png"
SILHOUETTE = "https%3A%2F%2Fssl.gstatic.com%2Fs2%2Fprofiles%2Fimages%2Fsilhouette80.png"
GRAVATAR = f"https://s.gravatar.com/avatar/{MD5}?s=480&r=pg&{INITIALS}"


def verdict(url, strategy=None, connection=None, metadata_picture=None):
    return classify(
        url, strategy=strategy, connection=connection, metadata_picture=metadata_picture
    )


# Shapes of URLs as Auth0's documentation and recordings of its API show them.
SHAPES = [
    ("auth0", GRAVATAR, "unresolved", None),
    ("auth0", GRAVATAR.replace("s.gravatar", "secure.gravatar"), "unresolved", None),
    ("waad", "https://cdn.auth0.com/avatars/mo.png", "initials", None),
    ("waad", "https://cdn.auth0.com/avatars/cs.png", "initials", None),
    ("auth0", "https://i0.wp.com/cdn.auth0.com/avatars/xx.png?ssl=1", "initials", None),
    ("auth0", "https://i2.wp.com/cdn.auth0.com/avatars/xx.png", "initials", None),
    (
        "office365",
        f"https://secure.gravatar.com/avatar/{MD5}?s=480&r=pg&d={SILHOUETTE}",
        "unresolved",
        None,
    ),
    (
        "google-oauth2",
        "https://lh3.googleusercontent.com/a/AEdFTpxyz=s96-c",
        "social",
        "google-oauth2",
    ),
    (
        "google-oauth2",
        "https://lh3.googleusercontent.com/a-/AOh14Gxyz=s96-c",
        "social",
        "google-oauth2",
    ),
    (
        "google-oauth2",
        "https://lh4.googleusercontent.com/-OdsbOXom9qE/AAAAAAAAAAI/AAAAAAAAADU/_j8S/photo.jpg",
        "social",
        "google-oauth2",
    ),
    ("github", "https://avatars.githubusercontent.com/u/1006420?v=3", "social", "github"),
    (
        "facebook",
        "https://platform-lookaside.fbsbx.com/platform/profilepic/?asid=1&ext=1673985032&hash=Ae",
        "social",
        "facebook",
    ),
    ("facebook", "https://graph.facebook.com/v2.5/1/picture?type=large", "social", "facebook"),
    ("twitter", "https://pbs.twimg.com/profile_images/1/x_normal.jpg", "social", "twitter"),
    (
        "twitter",
        "https://abs.twimg.com/sticky/default_profile_images/default_profile_normal.png",
        "placeholder",
        "twitter",
    ),
    (
        "linkedin",
        "https://media.licdn.com/dms/image/C4E03/profile-displayphoto-shrink_800_800/0/1?e=1677110400&v=beta&t=x",
        "social",
        "linkedin",
    ),
    ("line", "https://profile.line-scdn.net/0habc", "social", "line"),
    ("oauth2", "https://avatars.slack-edge.com/2020/x.png", "social", "slack"),
    ("oauth2", "https://cdn.discordapp.com/avatars/1/abc.png", "social", "discord"),
    ("auth0", "https://www.example.com/picture.jpg", "custom", None),
    ("waad", "https://i1.wp.com/cdn.auth0.com/avatars/xx.png", "initials", None),
    # Of these no Auth0 payload was found; they show what the rules marked (*) stand for.
    (
        "google-oauth2",
        "https://lh3.googleusercontent.com/a/default-user=s96-c",
        "placeholder",
        "google-oauth2",
    ),
    (
        "google-oauth2",
        "https://lh3.googleusercontent.com/-XdUIqdMkCWA/AAAAAAAAAAI/photo.jpg",
        "placeholder",
        "google-oauth2",
    ),
    (
        "office365",
        "https://ssl.gstatic.com/s2/profiles/images/silhouette80.png",
        "placeholder",
        "google-oauth2",
    ),
    ("facebook", "https://static.xx.fbcdn.net/rsrc.php/v1/x.gif", "placeholder", "facebook"),
    ("facebook", "https://scontent.xx.fbcdn.net/v/t1/x.jpg?oe=5FB9F3A0", "social", "facebook"),
    ("linkedin", "https://static.licdn.com/sc/h/x", "placeholder", "linkedin"),
    ("oauth2", "https://cdn.discordapp.com/embed/avatars/0.png", "placeholder", "discord"),
    (
        "oauth2",
        "https://a.slack-edge.com/80588/img/avatars/ava_0001-512.png",
        "placeholder",
        "slack",
    ),
    ("vkontakte", "https://sun9-1.userapi.com/x.jpg", "social", "vkontakte"),
    ("yandex", "https://avatars.yandex.net/get-yapic/1/islands-200", "social", "yandex"),
    ("windowslive", "https://apis.live.net/v5.0/1/picture", "social", "windowslive"),
    ("oauth2", "https://i.scdn.co/image/ab6775", "social", "spotify"),
]


@pytest.mark.parametrize(("strategy", "url", "source", "provider"), SHAPES)
def test_every_shape_that_auth0_is_known_to_write_has_its_source(strategy, url, source, provider):
    found = verdict(url, strategy)
    assert (found.source, found.underlying, found.provider) == (source, source, provider)
    assert found.evidence == "url"


def test_every_rule_has_a_shape_that_it_decides():
    decided = {
        (verdict(url).source, verdict(url).reason.partition(";")[0]) for _, url, *_ in SHAPES
    }
    assert decided >= {(rule.source, rule.why) for rule in RULES}
    assert all(any(rule.host in url for _, url, *_ in SHAPES) for rule in RULES)


@pytest.mark.parametrize(
    ("url", "source"),
    [
        (None, "missing"),
        ("", "missing"),
        (" \n", "missing"),
        (42, "invalid"),
        (False, "invalid"),
        ({"url": "https://example.com/a.png"}, "invalid"),
        (["https://example.com/a.png"], "invalid"),
        ("data:image/png;base64,AAAA", "invalid"),
        ("javascript:alert(1)", "invalid"),
        ("/avatars/me.png", "invalid"),
        ("//s.gravatar.com/avatar/x", "invalid"),
        ("me.png", "invalid"),
        ("ftp://example.com/a.png", "invalid"),
        ("https://", "invalid"),
        ("https:///a.png", "invalid"),
        ("https://exa mple.com/a.png", "invalid"),
        ("https://example.com:99999/a.png", "invalid"),
        ("https://example.com:x/a.png", "invalid"),
        ("https://[::1/a.png", "invalid"),
        ("HTTPS://CDN.AUTH0.COM/avatars/ab.png", "initials"),
        (" https://cdn.auth0.com/avatars/ab.png\n", "initials"),
        ("https://cdn.auth0.com./avatars/ab.png", "initials"),
        ("https://cdn.auth0.com:443/avatars/ab.png", "initials"),
        ("https:\\\\cdn.auth0.com\\avatars\\ab.png", "initials"),
        ("https://evil.wp.com/cdn.auth0.com/avatars/ab.png", "custom"),
        ("https://raw.githubusercontent.com/o/r/main/logo.png", "custom"),
        ("https://cdn.auth0.com\\avatars\\ab.png", "initials"),
        ("https://cdn%2Eauth0.com/avatars/ab.png", "initials"),
        ("https://cdn.auth0.com@example.com/avatars/ab.png", "custom"),
        ("https://cdn.auth0.com.example.com/avatars/ab.png", "custom"),
        ("https://evilgravatar.com/avatar/" + MD5, "custom"),
        ("https://gravatar.com/avatar/" + MD5, "unresolved"),
        ("https://gravatar.com/avatar/" + MD5 + ".jpg?s=80", "unresolved"),
        ("https://gravatar.com/avatar/" + SHA256, "unresolved"),
        ("https://gravatar.com/avatar/" + MD5 + "0", "custom"),
        ("https://gravatar.com/about", "custom"),
        ("https://münchen.example/a.png", "custom"),
        ("http://[::1]:8080/a.png", "custom"),
        ("https://example.com/%zz%\ud800.png", "custom"),
        ("https://example.com:65535/a.png", "custom"),
        ("https://example.com:65536/a.png", "invalid"),
        ("https://example.com:000065535/a.png", "custom"),
        ("https://example.com:000065536/a.png", "invalid"),
        ("https://example.com:000/a.png", "custom"),
        ("https://static.licdn.com", "placeholder"),
        ("https://static.licdn.com?x", "placeholder"),
        # Browsers drop control characters and blanks, but no other white space.
        ("\x00\x1f", "missing"),
        ("\xa0", "invalid"),
        ("\x00https://cdn.auth0.com/avatars/ab.png\x1f", "initials"),
        ("\xa0https://cdn.auth0.com/avatars/ab.png", "invalid"),
    ],
)
def test_odd_values_have_a_source_too(url, source):
    assert verdict(url).source == source


@pytest.mark.parametrize(
    ("query", "fallback", "resolved"),
    [
        (INITIALS, "initials", "initials"),
        ("d=https%3A%2F%2Fi1.wp.com%2Fcdn.auth0.com%2Favatars%2Fte.png", "initials", "initials"),
        (f"default=https%3A%2F%2Fcdn.auth0.com%2Favatars%2Fte.png", "initials", "initials"),  # noqa: F541
        (f"d={SILHOUETTE}", "silhouette", "placeholder"),
        ("", "silhouette", "placeholder"),
        ("d=mp", "silhouette", "placeholder"),
        ("d=MM", "silhouette", "placeholder"),
        ("d=identicon", "generated", "placeholder"),
        ("d=robohash", "generated", "placeholder"),
        ("d=404", "none", "placeholder"),
        ("d=blank", "none", "placeholder"),
        ("d=nonsense", "silhouette", "placeholder"),
        ("d=&default=404", "silhouette", "placeholder"),
        ("default=404&d=", "silhouette", "placeholder"),
        ("default=404", "none", "placeholder"),
        ("d=https%3A%2F%2Fexample.com%2Fdefault.png", "custom", "placeholder"),
        (
            "d=https%3A%2F%2Fevil.example%2F%3Fcdn.auth0.com%2Favatars%2Fte.png",
            "custom",
            "placeholder",
        ),
    ],
)
def test_a_gravatar_url_tells_what_shows_where_there_is_no_gravatar(query, fallback, resolved):
    found = verdict(f"https://s.gravatar.com/avatar/{MD5.upper()}?{query}")
    assert (found.source, found.fallback, found.gravatar_hash) == ("unresolved", fallback, MD5)
    assert without_gravatar(found.fallback) == resolved


def test_a_gravatar_url_that_forces_its_fallback_needs_no_probe():
    assert verdict(GRAVATAR + "&f=y").source == "initials"
    assert verdict(f"https://gravatar.com/avatar/{MD5}?d=mp&forcedefault=y").source == "placeholder"
    assert verdict(GRAVATAR + "&f=YES").source == "initials"
    assert verdict(GRAVATAR + "&f=n").source == "unresolved"


@pytest.mark.parametrize(
    ("keywords", "fallback"),
    [
        ("404 blank", "none"),
        ("mp mm mystery", "silhouette"),
        ("identicon monsterid wavatar retro robohash initials color", "generated"),
    ],
)
def test_every_keyword_that_gravatar_knows_is_known(keywords, fallback):
    for keyword in keywords.split():
        assert verdict(f"https://gravatar.com/avatar/{MD5}?d={keyword}").fallback == fallback


@pytest.mark.parametrize(
    ("strategy", "source", "provider", "evidence"),
    [
        ("windowslive", "social", "windowslive", "identity"),
        ("samlp", "enterprise", "samlp", "identity"),
        ("waad", "enterprise", "waad", "identity"),
        ("auth0", "custom", None, "url"),
        ("sms", "custom", None, "url"),
        ("something-new", "custom", None, "url"),
        (None, "custom", None, "url"),
    ],
)
def test_an_unknown_host_is_judged_by_the_identity(strategy, source, provider, evidence):
    found = verdict("https://pictures.example/a.png", strategy, "the-connection")
    assert (found.source, found.provider, found.evidence) == (source, provider, evidence)
    assert found.underlying == source


def test_a_custom_social_connection_lends_its_name():
    assert verdict("https://pictures.example/a.png", "oauth2", "mastodon").provider == "mastodon"
    assert verdict("https://pictures.example/a.png", "oauth2").provider == "oauth2"


UNKNOWN_HOST = "https://pictures.example/a.png"
NO_RULE = "a host that no rule knows"
SHOWN_ONLY = "browsers show http and https pictures only"


@pytest.mark.parametrize(
    ("url", "strategy", "reason"),
    [
        (None, None, "the profile holds no picture"),
        (" ", None, "the profile holds no picture"),
        ("data:image/png,x", None, f"a data: address; {SHOWN_ONLY}"),
        ("\x00JavaScript:x", None, f"a javascript: address; {SHOWN_ONLY}"),
        ("me.png", None, f"not an absolute URL; {SHOWN_ONLY}"),
        ({"url": UNKNOWN_HOST}, None, f"not an absolute URL; {SHOWN_ONLY}"),
        (UNKNOWN_HOST, None, f"a well-formed URL of {NO_RULE}"),
        (UNKNOWN_HOST, "yahoo", f"{NO_RULE}, on a social identity (yahoo)"),
        (UNKNOWN_HOST, "samlp", f"{NO_RULE}, on an enterprise identity (samlp)"),
        (
            f"https://gravatar.com/avatar/{MD5}?d=mp",
            None,
            (
                "a Gravatar URL: the URL alone does not say whether that Gravatar exists; "
                "without one its fallback shows (silhouette)"
            ),
        ),
        (GRAVATAR + "&f=y", None, "a Gravatar URL that forces its fallback (initials)"),
    ],
)
def test_the_reason_says_why_in_words(url, strategy, reason):
    assert verdict(url, strategy).reason == reason


def test_a_rule_gives_its_own_reason():
    found = {verdict(url).reason for _, url, *_ in SHAPES}
    assert {"Auth0's own initials image", "served by LINE (line-scdn.net)"} <= found


@pytest.mark.parametrize(
    ("url", "expires_at"),
    [
        (SHAPES[11][1], datetime(2023, 1, 17, 19, 50, 32, tzinfo=UTC)),
        (SHAPES[15][1], datetime(2023, 2, 23, tzinfo=UTC)),
        (
            "https://scontent.xx.fbcdn.net/v/t1/x.jpg?oh=1&oe=5FB9F3A0",
            datetime(2020, 11, 22, 5, 14, 8, tzinfo=UTC),
        ),
        ("https://media.licdn.com/x?e=99999999999999999999", None),
        ("https://media.licdn.com/x?e=-1", None),
        ("https://media.licdn.com/x?e=", None),
        ("https://media.licdn.com/x", None),
        ("https://media.licdn.com/x?e=0", None),
        ("https://media.licdn.com/x?e=1", datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)),
        ("https://media.licdn.com/x?e=8589934591", datetime(2242, 3, 16, 12, 56, 31, tzinfo=UTC)),
        ("https://media.licdn.com/x?e=8589934592", None),
        ("https://x.fbcdn.net/x?oe=ffffffffff", None),
        ("https://media.licdn.com/x?e=1_0", None),
        ("https://media.licdn.com/x?e=٣", None),
        ("https://example.com/x?ext=1673985032", None),
    ],
)
def test_signed_urls_say_when_they_expire(url, expires_at):
    assert verdict(url).expires_at == expires_at


def test_a_usable_override_wins_and_what_is_beneath_stays_known():
    for url in (GRAVATAR, SHAPES[11][1], None, UNKNOWN_HOST):
        below = verdict(url, "samlp")
        found = verdict(url, "samlp", metadata_picture="https://example.com/me.png")
        assert (found.source, found.evidence) == ("metadata", "url")
        for name in ("underlying", "provider", "fallback", "expires_at", "gravatar_hash"):
            assert getattr(found, name) == getattr(below, name)
        assert found.reason == (
            f"user_metadata.picture overrides the profile, where the picture is {below.source}"
        )


@pytest.mark.parametrize(
    "override",
    [None, "", " ", 7, {}, "http://example.com/me.png", "data:image/png,x", "me.png", "https://"],
)
def test_an_unusable_override_changes_nothing(override):
    assert verdict(GRAVATAR, metadata_picture=override) == verdict(GRAVATAR)


def test_the_rule_table_is_data_that_every_engine_can_run():
    for rule in RULES:
        assert isinstance(rule, Rule)
        assert rule.host == rule.host.lower()
        assert rule.path.startswith("/")
        assert not set("?<=!").intersection(rule.path.replace("(?:", "(")), (
            "RE2 knows no lookaround"
        )


def test_no_rule_is_shadowed_by_an_earlier_one():
    for number, rule in enumerate(RULES):
        for earlier in RULES[:number]:
            below = rule.host == earlier.host or rule.host.endswith("." + earlier.host)
            assert not (below and earlier.path == "/"), f"{rule} is never reached"


def test_every_source_has_a_meaning():
    assert all(source.meaning for source in Source)


anything = st.one_of(
    st.none(),
    st.text(),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.binary(),
    st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)),
    st.builds(
        "{}://{}{}/{}?{}".format,
        st.sampled_from(["https", "HTTP", "data", ""]),
        st.sampled_from(["", "u:p@", "@", "\ud800@"]),
        st.sampled_from([rule.host for rule in RULES]) | st.text(),
        st.sampled_from(["avatar/" + MD5, "avatars/x.png", "platform/"]) | st.text(),
        st.sampled_from(["d=404&f=y", "ext=1", "oe=zz", "d=https://", "e=" + "9" * 5000])
        | st.text(),
    ),
)


@given(anything, anything, st.none() | st.text(), st.none() | st.text())
@example("https://[" + "a" * 10, None, "\ud800", None)
def test_nothing_that_a_profile_can_hold_makes_it_raise(picture, override, strategy, connection):
    found = verdict(picture, strategy, connection, override)
    assert found.underlying is not Source.METADATA
    assert isinstance(found.source, Source)
    assert found.evidence in Evidence
    assert found.fallback is None or found.fallback in Fallback
    assert found.reason
    assert (found.gravatar_hash is None) == (found.fallback is None)


def test_a_long_row_of_at_signs_does_not_hold_up_an_audit():
    began = time.process_time()
    assert classify("https://" + "@" * 200_000 + ":x").source is Source.INVALID
    # Trying every one of them against every other would take minutes.
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "url", ["http\u017f://example.com/a.png", "https://[abc/", "https://[xyz]/a"]
)
def test_what_only_looks_like_a_scheme_or_an_address_is_invalid(url):
    assert classify(url).source is Source.INVALID
