import re
import time
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.classification.shapes import (
    GRAVATAR,
    INITIALS,
    MD5,
    SHA256,
    SHAPES,
    SILHOUETTE,
    example_of,
    rule_of,
)
from toolkit.classification.sources import (
    ON_WORD,
    RULES,
    Evidence,
    Fallback,
    Rule,
    Source,
    addresses,
    classify,
    usable_override,
    without_gravatar,
)

AT_1700000000 = datetime.fromtimestamp(1700000000, UTC)
POLICY = b64encode(
    b'{"Statement": [{"Condition": {"DateLessThan": {"AWS:EpochTime": 1700000000}}}]}'
).decode()
UNFILLED = "a template that was filled with nothing: nobody's picture"


def verdict(url, strategy=None, connection=None, metadata_picture=None):
    return classify(
        url, strategy=strategy, connection=connection, metadata_picture=metadata_picture
    )


@pytest.mark.parametrize(("strategy", "url", "source", "provider"), SHAPES)
def test_every_shape_that_auth0_is_known_to_write_has_its_source(strategy, url, source, provider):
    found = verdict(url, strategy)
    assert (found.source, found.underlying, found.provider) == (source, source, provider)
    assert found.evidence == "url"


def test_every_rule_has_a_shape_that_it_decides():
    decided = [rule_of(url) for _, url, *_ in SHAPES]
    assert [rule for rule in RULES if rule not in decided] == []
    for rule, (strategy, url, *_) in zip(decided, SHAPES, strict=True):
        if rule is not None and rule.hash_in is None:
            assert verdict(url, strategy).reason.partition("; ")[0] == rule.why


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
        ("data:image/png;base64,AAAA", "custom"),
        ("DATA:image/svg+xml;utf8,<svg/>", "custom"),
        ("data:image/png,", "invalid"),
        ("data:image/png;base64", "invalid"),
        ("data:text/html,x", "invalid"),
        ("data:,x", "invalid"),
        ("javascript:alert(1)", "invalid"),
        ("/avatars/me.png", "invalid"),
        ("//s.gravatar.com/avatar/" + MD5, "unresolved"),
        ("\\\\cdn.auth0.com\\avatars\\ab.png", "initials"),
        ("/\t/pictures.example/a.png", "custom"),
        ("//", "invalid"),
        ("https://i1.wp.com/CDN.Auth0.com/avatars/ab.png", "initials"),
        ("https://i3.wp.com/cdn.auth0.com/avatars/ab.png", "custom"),
        ("https://i1.wp.com/i1.wp.com/cdn.auth0.com/avatars/ab.png", "custom"),
        ("https://i1.wp.com/avatars/ab.png", "custom"),
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
        ("https://gravatar.com/avatar/" + MD5 + "0", "placeholder"),
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


@pytest.mark.parametrize("strategy", ["oauth1", "oauth2"])
@pytest.mark.parametrize("picture", ["https://pictures.example/a.png", "data:image/png,x"])
def test_a_custom_social_connection_lends_its_name(picture, strategy):
    assert verdict(picture, strategy, "mastodon").provider == "mastodon"
    assert verdict(picture, strategy).provider == strategy


UNKNOWN_HOST = "https://pictures.example/a.png"
NO_RULE = "a host that no rule knows"
SHOWN_ONLY = "browsers show http and https pictures only"


@pytest.mark.parametrize(
    ("url", "strategy", "reason"),
    [
        (None, None, "the profile holds no picture"),
        (" ", None, "the profile holds no picture"),
        ("data:text/plain,x", None, f"a data: address; {SHOWN_ONLY}"),
        ("data:image/png,x", None, "an image in the address itself (data:)"),
        (
            "data:image/png,x",
            "oidc",
            "an image in the address itself (data:), on an enterprise identity (oidc)",
        ),
        ("https://pictures.example/undefined.png", "yahoo", UNFILLED),
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
        (
            "https://x.cdninstagram.com/vp/544a75b94c5fbe0ed6cc7d0ce6343edb/5CA4F5B5/t51.2885-19/x.jpg",
            datetime(2019, 4, 3, 18, 4, 37, tzinfo=UTC),
        ),
        ("https://p16.tiktokcdn.com/x?x-expires=1", datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)),
        ("https://tvax4.sinaimg.cn/x?Expires=1&ssig=x", datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)),
        *(
            (f"https://files.example/a.png?{query}", ends)
            for query, ends in (
                (
                    "X-Amz-Date=20250101T000000Z&X-Amz-Expires=604800",
                    datetime(2025, 1, 8, tzinfo=UTC),
                ),
                (
                    "x-amz-expires=60&x-amz-date=20250101T000000Z",
                    datetime(2025, 1, 1, 0, 1, tzinfo=UTC),
                ),
                (
                    "X-Goog-Date=20250101T000000Z&X-Goog-Expires=60",
                    datetime(2025, 1, 1, 0, 1, tzinfo=UTC),
                ),
                ("X-Amz-Date=20250230T000000Z&X-Amz-Expires=60", None),
                ("X-Amz-Date=20250101T000000Z", None),
                ("X-Amz-Date=20250101T000000Z&X-Amz-Expires=x", None),
                ("Expires=1700000000&AWSAccessKeyId=A&Signature=x", AT_1700000000),
                ("Expires=1700000000&GoogleAccessId=a%40b&Signature=x", AT_1700000000),
                ("Expires=1700000000&Signature=x&Key-Pair-Id=K", AT_1700000000),
                ("Expires=1700000000", None),
                (f"Policy={POLICY}&Signature=x&Key-Pair-Id=K", AT_1700000000),
                (f"Policy={POLICY}", None),
                ("Policy=x&Key-Pair-Id=K", None),
                ("Policy=!&Key-Pair-Id=K", None),
                ("sv=2022&se=2025-01-08T00%3A00%3A00Z&sig=x", datetime(2025, 1, 8, tzinfo=UTC)),
                ("se=2025-01-08&sig=x", datetime(2025, 1, 8, tzinfo=UTC)),
                ("se=2025-01-08T00:00Z", None),
                ("se=soon&sig=x", None),
            )
        ),
    ],
)
def test_signed_urls_say_when_they_expire(url, expires_at):
    assert verdict(url).expires_at == expires_at


@pytest.mark.parametrize(
    ("url", "strategy", "source", "provider"),
    [
        ("https://graph.facebook.com/undefined/picture?width=250", None, "placeholder", "facebook"),
        ("https://cdn.discordapp.com/avatars/1/null.png", None, "placeholder", "discord"),
        ("https://avatars.githubusercontent.com/u/None?v=4", "github", "placeholder", "github"),
        ("https://pictures.example/u/NaN", "auth0", "invalid", None),
        ("https://pictures.example/[object%20Object]", "yahoo", "invalid", None),
        ("https://pictures.example/{{user.id}}.png", None, "invalid", None),
        ("https://pictures.example/%7B%7Bid%7D%7D.png", None, "invalid", None),
        ("https://pictures.example/${id}/a.png", None, "invalid", None),
        ("https://undefined/a.png", None, "invalid", None),
        ("https://pictures.example/nullable/none-of-it.png", None, "custom", None),
        ("https://pictures.example/a.png?v=undefined", None, "custom", None),
        ("https://null.example/a.png", None, "custom", None),
    ],
)
def test_a_template_filled_with_nothing_is_nobodys_picture(url, strategy, source, provider):
    found = verdict(url, strategy)
    assert (found.source, found.provider) == (source, provider)


@pytest.mark.parametrize(
    ("default", "fallback"),
    [
        ("https://identicons.github.com/x.png", "generated"),
        ("https://ui-avatars.com/api/A+Example/128", "generated"),
        ("https://i0.wp.com/ui-avatars.com/api/A+Example/128", "generated"),
        ("https://x.prod.public.atl-paas.net/initials/KV-1.png", "initials"),
        ("https://a.slack-edge.com/df10d/img/avatars/ava_0010-512.png", "silhouette"),
        ("https://avatars.githubusercontent.com/u/1", "custom"),
        (f"https://gravatar.com/avatar/{MD5}", "custom"),
    ],
)
def test_a_drawn_picture_behind_a_gravatar_is_told_as_one(default, fallback):
    found = verdict(f"https://secure.gravatar.com/avatar/{MD5}?d={quote(default, safe='')}")
    assert (found.source, found.fallback) == ("unresolved", fallback)


def test_a_service_like_gravatar_has_a_fallback_and_no_hash_to_ask_gravatar_about():
    found = verdict(f"https://cravatar.cn/avatar/{MD5}?d=identicon")
    assert (found.source, found.fallback, found.gravatar_hash) == ("unresolved", "generated", None)
    old = verdict(f"http://gravatar.com/avatar.php?gravatar_id={MD5.upper()}&default=identicon")
    assert (old.source, old.fallback, old.gravatar_hash) == ("unresolved", "generated", MD5)
    # The parameter is the hash, and does not only hold one.
    odd = verdict(f"http://gravatar.com/avatar.php?gravatar_id={MD5}.png")
    assert (odd.source, odd.gravatar_hash) == ("placeholder", None)
    assert odd.reason == "a Gravatar URL without a hash: always its fallback"
    nobody = verdict("http://gravatar.com/avatar.php?gravatar_id=D41D8CD98F00B204E9800998ECF8427E")
    assert (nobody.source, nobody.gravatar_hash) == ("placeholder", None)


def test_the_addresses_of_a_rule_are_found_and_those_of_other_hosts_are_not():
    for rule in RULES:
        found, path = re.compile(addresses([rule]), re.IGNORECASE), example_of(rule)
        for host in rule.hosts:
            for before in ("https://", "HTTP://", "//", "https://cdn.", "https://i0.wp.com/"):
                assert found.search(f"{before}{host}{path}")
            for before in ("https://example.com/", "https://example.com/?from=", "data:"):
                assert not found.search(f"{before}{host}{path}")
        assert not found.search(f"https://not.example{path}")


def test_every_provider_whose_addresses_do_not_tell_has_pictures():
    assert {rule.provider for rule in RULES if rule.source is Source.SOCIAL} > ON_WORD


def test_an_override_whose_signature_has_ended_does_not_count():
    signed = "https://files.example/a.png?X-Amz-Date=20250101T000000Z&X-Amz-Expires=3600"
    ends = datetime(2025, 1, 1, 1, tzinfo=UTC)
    given = {"metadata_picture": signed, "strategy": "samlp"}
    assert classify(GRAVATAR, **given, at=ends) == verdict(GRAVATAR, "samlp")
    for at in (None, ends - timedelta(microseconds=1)):
        assert classify(GRAVATAR, **given, at=at).source is Source.METADATA
    facebook = f"{SHAPES[11][1]}"
    assert not usable_override(facebook, datetime.now(UTC))
    assert usable_override(facebook)
    # A signature without a value is one, as where the profile's picture is judged.
    empty = "https://files.example/a.png?se=2025-01-01T00%3A00%3A00Z&sig="
    assert not usable_override(empty, ends)
    assert verdict(empty).expires_at == ends - timedelta(hours=1)


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
        assert all(re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", host) for host in rule.hosts)
        assert len(set(rule.hosts)) == len(rule.hosts)
        assert rule.path.startswith("/")
        for pattern in (rule.path, rule.expires_in_path or ""):
            assert not re.search(r"\(\?[^:]", pattern), "RE2 knows no lookaround"


def test_no_rule_is_shadowed_by_an_earlier_one():
    for number, rule in enumerate(RULES):
        for earlier in RULES[:number]:
            if earlier.path == "/":
                left = [
                    host
                    for host in rule.hosts
                    if not any(f".{host}".endswith(f".{above}") for above in earlier.hosts)
                ]
                assert left, f"{rule} is never reached"


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
        st.sampled_from([host for rule in RULES for host in rule.hosts]) | st.text(),
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
    assert found.gravatar_hash is None or found.fallback is not None


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
