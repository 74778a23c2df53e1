"""What one picture URL is: the sources, the one rule table, and `classify`.

Where a picture comes from is read off its URL, and where the URL is of an
unknown host, off the identity that brought it. `RULES` is the only place that
knows hosts: the documentation, the chart legend and both classifiers (this one
for one URL, `toolkit.classification.frames.audit` for a column) take them from here.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from urllib.parse import parse_qsl, unquote


class Source(StrEnum):
    """What a person's picture is, in the order in which charts and tables list it."""

    SOCIAL = "social"
    ENTERPRISE = "enterprise"
    GRAVATAR = "gravatar"
    METADATA = "metadata"
    CUSTOM = "custom"
    UNRESOLVED = "unresolved"
    INITIALS = "initials"
    PLACEHOLDER = "placeholder"
    MISSING = "missing"
    INVALID = "invalid"

    @property
    def meaning(self) -> str:
        """One line of plain words, for legends and tables."""
        return _MEANINGS[self]


class Fallback(StrEnum):
    """What a Gravatar URL shows where there is no Gravatar."""

    INITIALS = "initials"
    SILHOUETTE = "silhouette"
    GENERATED = "generated"
    CUSTOM = "custom"
    NONE = "none"


class Evidence(StrEnum):
    """What a verdict rests on."""

    URL = "url"
    IDENTITY = "identity"
    PROBE = "probe"


_MEANINGS = {
    Source.SOCIAL: "brought by a social login: Google, Facebook, GitHub, …",
    Source.ENTERPRISE: "brought by an enterprise login",
    Source.GRAVATAR: "a Gravatar that exists",
    Source.METADATA: "user_metadata.picture overrides the profile",
    Source.CUSTOM: "a picture set by hand or by your application",
    Source.UNRESOLVED: "a Gravatar or its fallback: nobody has asked",
    Source.INITIALS: "Auth0's letters on a coloured square",
    Source.PLACEHOLDER: "somebody's stock image",
    Source.MISSING: "no picture at all",
    Source.INVALID: "not a URL that a browser could show",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the rule table; the first row that matches a URL decides.

    Attributes:
        source: the verdict.
        provider: whose picture it is, by Auth0's strategy name, or None.
        host: the host itself or any host below it (`gravatar.com` matches
            `s.gravatar.com`, never `evilgravatar.com`).
        path: regular expression that the path must begin with (kept to what
            RE2 understands too, so that column engines can run it).
        why: the reason, as shown to people.
        expires: query parameter with the UNIX time at which the URL stops
            working, and its base (10 or 16), or None.
    """

    source: Source
    provider: str | None
    host: str
    path: str
    why: str
    expires: tuple[str, int] | None = None


# Sources of the rows: user objects recorded by Auth0's own SDK repositories,
# Auth0's documentation ("User Picture", "Sample user profiles") and payloads in
# public code. Rows marked (*) rest on general knowledge of the host: no Auth0
# payload with it was found.
RULES: tuple[Rule, ...] = (
    Rule(Source.INITIALS, None, "cdn.auth0.com", r"/avatars/", "Auth0's own initials image"),
    *(
        Rule(
            Source.INITIALS,
            None,
            f"i{number}.wp.com",
            r"/cdn\.auth0\.com/avatars/",
            "Auth0's initials image, as Gravatar's image proxy resolved it",
        )
        for number in range(3)
    ),
    Rule(
        Source.UNRESOLVED,
        None,
        "gravatar.com",
        r"/avatar/(?:[0-9a-fA-F]{64}|[0-9a-fA-F]{32})(?:[./]|$)",
        "a Gravatar URL: the URL alone does not say whether that Gravatar exists",
    ),
    Rule(
        Source.PLACEHOLDER,
        "twitter",
        "abs.twimg.com",
        r"/sticky/default_profile_images/",
        "Twitter's stock image",
    ),
    Rule(
        Source.PLACEHOLDER,
        "google-oauth2",
        "googleusercontent.com",
        r"/(?:a/default-user|-XdUIqdMkCWA/)",
        "Google's stock image (*)",
    ),
    Rule(
        Source.PLACEHOLDER,
        "google-oauth2",
        "ssl.gstatic.com",
        r"/s2/profiles/images/silhouette",
        "Google's silhouette",
    ),
    Rule(
        Source.PLACEHOLDER,
        "facebook",
        "static.xx.fbcdn.net",
        r"/rsrc\.php/",
        "Facebook's stock image (*)",
    ),
    Rule(
        Source.PLACEHOLDER,
        "linkedin",
        "static.licdn.com",
        r"/",
        "LinkedIn's stock image (*)",
    ),
    Rule(
        Source.PLACEHOLDER,
        "discord",
        "cdn.discordapp.com",
        r"/embed/avatars/",
        "Discord's stock image (*)",
    ),
    Rule(
        Source.PLACEHOLDER,
        "slack",
        "a.slack-edge.com",
        r"/.*/img/avatars/ava_",
        "Slack's stock image (*)",
    ),
    Rule(
        Source.SOCIAL,
        "google-oauth2",
        "googleusercontent.com",
        r"/",
        "served by Google (googleusercontent.com)",
    ),
    Rule(
        Source.SOCIAL,
        "github",
        "githubusercontent.com",
        r"/u/",
        "served by GitHub (avatars.githubusercontent.com)",
    ),
    Rule(
        Source.SOCIAL,
        "facebook",
        "platform-lookaside.fbsbx.com",
        r"/",
        "served by Facebook, signed for 30 days (ext)",
        expires=("ext", 10),
    ),
    Rule(
        Source.SOCIAL,
        "facebook",
        "fbcdn.net",
        r"/",
        "served by Facebook's CDN, signed (oe)",
        expires=("oe", 16),
    ),
    Rule(
        Source.SOCIAL,
        "facebook",
        "graph.facebook.com",
        r"/",
        "Facebook's picture address for a person (graph.facebook.com)",
    ),
    Rule(
        Source.SOCIAL,
        "twitter",
        "pbs.twimg.com",
        r"/profile_images/",
        "served by Twitter (pbs.twimg.com)",
    ),
    Rule(
        Source.SOCIAL,
        "linkedin",
        "media.licdn.com",
        r"/",
        "served by LinkedIn, signed (e)",
        expires=("e", 10),
    ),
    Rule(Source.SOCIAL, "line", "line-scdn.net", r"/", "served by LINE (line-scdn.net)"),
    Rule(
        Source.SOCIAL,
        "discord",
        "cdn.discordapp.com",
        r"/avatars/",
        "served by Discord (cdn.discordapp.com)",
    ),
    Rule(Source.SOCIAL, "slack", "slack-edge.com", r"/", "served by Slack (slack-edge.com)"),
    Rule(Source.SOCIAL, "vkontakte", "userapi.com", r"/", "served by VK (userapi.com) (*)"),
    Rule(Source.SOCIAL, "yandex", "avatars.yandex.net", r"/", "served by Yandex (*)"),
    Rule(Source.SOCIAL, "windowslive", "apis.live.net", r"/", "served by Microsoft (*)"),
    Rule(Source.SOCIAL, "spotify", "i.scdn.co", r"/image/", "served by Spotify (i.scdn.co) (*)"),
)

RATING = r"(?i)[?&](?:r|rating)=(g|pg|r|x)(?:[&#]|$)"
"""Where a Gravatar URL names the rating up to which pictures are shown; without one, `g`.

Fact: docs.gravatar.com, "Images": `r` or `rating`.
"""

TOKEN_ONLY = (
    r"^https?://graph\.microsoft\.com/.*/photos?/",
    r"^https?://outlook\.office(?:365)?\.com/.*photo",
    r"^https?://(?:www|people)\.googleapis\.com/",
    r"^https?://api\.linkedin\.com/",
    r"^https?://files\.slack\.com/",
    r"^https?://[^/]+\.sharepoint\.com/_layouts/15/userphoto\.aspx",
)
"""Addresses that answer only to requests with an access token, which no `<img>` sends.

Regular expressions that RE2 understands too. They rest on general knowledge of these
interfaces: no Auth0 payload with one of them was found.
"""

# Auth0's connection strategies by kind (Management API, ConnectionStrategyEnum).
ENTERPRISE_STRATEGIES = frozenset(
    "ad adfs auth0-adldap auth0-oidc google-apps ip office365 oidc okta pingfederate samlp "
    "sharepoint waad".split()
)
SOCIAL_STRATEGIES = frozenset(
    "amazon aol apple baidu bitbucket bitly box daccount dropbox dwolla evernote evernote-sandbox "
    "exact facebook fitbit flickr github google-oauth2 google-openid instagram line linkedin "
    "miicard oauth1 oauth2 paypal paypal-sandbox planningcenter renren salesforce "
    "salesforce-community salesforce-sandbox shop shopify soundcloud thecity thecity-sandbox "
    "thirtysevensignals twitter untappd vkontakte weibo windowslive wordpress yahoo yammer "
    "yandex".split()
)
# Strategies whose name says nothing about whose login it is: the connection's name does.
_GENERIC_STRATEGIES = frozenset({"oauth1", "oauth2"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one user's picture is.

    `provider`, `fallback`, `expires_at` and `gravatar_hash` describe the root
    `picture`, whether or not `user_metadata.picture` overrides it.

    Attributes:
        source: what the person's picture is; `metadata` where an override is usable.
        underlying: what the root `picture` is; never `metadata`.
        provider: whose picture, by Auth0's strategy name, or None.
        fallback: for a Gravatar URL, what shows when there is no Gravatar.
        evidence: what `source` rests on.
        expires_at: when a signed provider URL stops working (UTC), or None.
        gravatar_hash: 32 or 64 lower-case hex digits, or None.
        reason: why, in words; never repeats the URL.
    """

    source: Source
    underlying: Source
    provider: str | None
    fallback: Fallback | None
    evidence: Evidence
    expires_at: datetime | None
    gravatar_hash: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class _Address:
    """The parts of an http(s) URL that rules look at."""

    scheme: str
    host: str
    path: str
    query: str


# How browsers read a URL (WHATWG URL): outer blanks and inner line breaks are
# dropped, a backslash is a slash, everything before the last @ is credentials.
_BLANKS = "".join(map(chr, range(0x21)))
_LINE_BREAKS = str.maketrans("", "", "\t\n\r")
_URL = re.compile(
    r"(https?):[/\\]{2}([^/?#\\]*)([^?#]*)(?:\?([^#]*))?", re.ASCII | re.IGNORECASE | re.DOTALL
)
# 0 to 65535, with leading zeros, as browsers take it.
_PORT = r"0*(?:[1-5]?[0-9]{1,4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])?"
_HOST = re.compile(rf"(?:(\[[0-9a-f:.]+\])|([^:]*))(?::{_PORT})?", re.ASCII | re.IGNORECASE)
_FORBIDDEN_IN_HOST = re.compile(r"[\x00-\x20#/:<>?@\\\[\]^|%\x7f]")
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]{0,20}):", re.IGNORECASE)
_HASH = re.compile(r"/avatar/([0-9a-fA-F]{64}|[0-9a-fA-F]{32})")
# Later than any signature in use; keeps nonsense out of the timestamps.
_MAX_EXPIRY = 2**33

_KEYWORDS = {
    "404": Fallback.NONE,
    "blank": Fallback.NONE,
    "mp": Fallback.SILHOUETTE,
    "mm": Fallback.SILHOUETTE,
    "mystery": Fallback.SILHOUETTE,
    "identicon": Fallback.GENERATED,
    "monsterid": Fallback.GENERATED,
    "wavatar": Fallback.GENERATED,
    "retro": Fallback.GENERATED,
    "robohash": Fallback.GENERATED,
    "initials": Fallback.GENERATED,
    "color": Fallback.GENERATED,
}


def _parse(url: str) -> _Address | None:
    """Split an http(s) URL as a browser would, or return None if none could load it."""
    match = _URL.match(url.strip(_BLANKS).translate(_LINE_BREAKS))
    if match is None:
        return None
    scheme, authority, path, query = match.groups()
    parts = _HOST.fullmatch(authority.rpartition("@")[2])
    if parts is None:
        return None
    number, name = parts.groups()
    host = (number or unquote(name).removesuffix(".")).lower()
    if not number and (not host or _FORBIDDEN_IN_HOST.search(host)):
        return None
    return _Address(scheme.lower(), host, path.replace("\\", "/") or "/", query or "")


def _rule_for(address: _Address) -> Rule | None:
    for rule in RULES:
        below = address.host == rule.host or address.host.endswith("." + rule.host)
        if below and re.match(rule.path, address.path):
            return rule
    return None


def _parameters(address: _Address) -> dict[str, str]:
    return dict(parse_qsl(address.query, keep_blank_values=True))


def _fallback(parameters: dict[str, str]) -> Fallback:
    """What Gravatar shows for these query parameters where there is no Gravatar.

    Fact: docs.gravatar.com, "Images": `d` or `default` is a keyword or a URL; without
    one, or with one that it does not know, Gravatar shows its own image.
    """
    default = parameters.get("d", parameters.get("default", "")).strip()
    keyword = _KEYWORDS.get(default.lower())
    if keyword is not None:
        return keyword
    address = _parse(default)
    if address is None:
        return Fallback.SILHOUETTE
    rule = _rule_for(address)
    if rule is not None and rule.source is Source.INITIALS:
        return Fallback.INITIALS
    if rule is not None and rule.source is Source.PLACEHOLDER:
        return Fallback.SILHOUETTE
    return Fallback.CUSTOM


def without_gravatar(fallback: Fallback) -> Source:
    """Return what a Gravatar URL with this fallback is once no Gravatar shows."""
    return Source.INITIALS if fallback is Fallback.INITIALS else Source.PLACEHOLDER


def _expiry(rule: Rule, parameters: dict[str, str]) -> datetime | None:
    if rule.expires is None:
        return None
    name, base = rule.expires
    digits = "0123456789abcdef"[:base]
    text = parameters.get(name, "").lower()
    if not text or len(text) > len("8589934592") or text.strip(digits):
        return None
    seconds = int(text, base)
    return datetime.fromtimestamp(seconds, UTC) if 0 < seconds < _MAX_EXPIRY else None


def _text(value: object) -> str:
    """Return what the profile holds as text: a value that is no string is no URL either."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, default=repr)


def _plain(source: Source, reason: str) -> Verdict:
    return Verdict(source, source, None, None, Evidence.URL, None, None, reason)


def _by_identity(strategy: str, connection: str) -> Verdict:
    """Judge a well-formed URL of a host that no rule knows."""
    for source, strategies, kind in (
        (Source.SOCIAL, SOCIAL_STRATEGIES, "a social"),
        (Source.ENTERPRISE, ENTERPRISE_STRATEGIES, "an enterprise"),
    ):
        if strategy in strategies:
            provider = (connection or strategy) if strategy in _GENERIC_STRATEGIES else strategy
            reason = f"a host that no rule knows, on {kind} identity ({provider})"
            return Verdict(source, source, provider, None, Evidence.IDENTITY, None, None, reason)
    return _plain(Source.CUSTOM, "a well-formed URL of a host that no rule knows")


def _root(picture: str, strategy: str, connection: str) -> Verdict:
    if not picture.strip(_BLANKS):
        return _plain(Source.MISSING, "the profile holds no picture")
    address = _parse(picture)
    if address is None:
        scheme = _SCHEME.match(picture.strip(_BLANKS))
        what = f"a {scheme.group(1).lower()}: address" if scheme else "not an absolute URL"
        return _plain(Source.INVALID, f"{what}; browsers show http and https pictures only")
    rule = _rule_for(address)
    if rule is None:
        return _by_identity(strategy, connection)
    source, reason, fallback, gravatar_hash = rule.source, rule.why, None, None
    parameters = _parameters(address)
    if rule.source is Source.UNRESOLVED:
        found = _HASH.match(address.path)
        gravatar_hash = found.group(1).lower() if found else None
        fallback = _fallback(parameters)
        if parameters.get("f", parameters.get("forcedefault", "")).lower() in {"y", "yes"}:
            source = without_gravatar(fallback)
            reason = f"a Gravatar URL that forces its fallback ({fallback})"
        else:
            reason = f"{reason}; without one its fallback shows ({fallback})"
    return Verdict(
        source,
        source,
        rule.provider,
        fallback,
        Evidence.URL,
        _expiry(rule, parameters),
        gravatar_hash,
        reason,
    )


def usable_override(metadata_picture: object) -> bool:
    """Whether a `user_metadata.picture` may stand in for the profile's picture.

    Only an https URL may: it ends up in tokens, and pages are served over https.
    """
    address = _parse(metadata_picture) if isinstance(metadata_picture, str) else None
    return address is not None and address.scheme == "https"


def classify(
    picture: object,
    *,
    metadata_picture: object = None,
    strategy: str | None = None,
    connection: str | None = None,
) -> Verdict:
    """Say where one user's picture comes from. Never raises, whatever the profile holds.

    Args:
        picture: the root `picture` of the user object.
        metadata_picture: `user_metadata.picture`, or None.
        strategy: the primary identity's `provider` (`google-oauth2`, `samlp`, …).
        connection: the primary identity's `connection`.

    Returns:
        The verdict. A Gravatar URL is `unresolved`: the URL alone never says
        whether people see a Gravatar or its fallback.
    """
    root = _root(_text(picture), strategy or "", connection or "")
    if not usable_override(metadata_picture):
        return root
    return Verdict(
        Source.METADATA,
        root.underlying,
        root.provider,
        root.fallback,
        Evidence.URL,
        root.expires_at,
        root.gravatar_hash,
        f"user_metadata.picture overrides the profile, where the picture is {root.underlying}",
    )
