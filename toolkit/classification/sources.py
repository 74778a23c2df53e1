"""What one picture URL is: the sources, the one rule table, and `classify`.

Where a picture comes from is read off its URL, or, if no rule knows the host, off the identity that
brought it. `RULES` is the only place that knows hosts: documentation, charts and both classifiers
(this one for one URL, `toolkit.classification.columnwise` for a column) use it.
"""

import json
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from typing import NamedTuple, Self
from urllib.parse import parse_qsl, unquote


class Source(StrEnum):
    """What a person's picture is, in the order in which charts and tables list it."""

    meaning: str
    """One line of plain words, for legends and tables."""

    def __new__(cls, name: str, meaning: str = "") -> Self:
        """Make a member: its value, and what it means."""
        member = str.__new__(cls, name)
        member._value_, member.meaning = name, meaning
        return member

    SOCIAL = "social", "brought by a social login: Google, Facebook, GitHub, …"
    ENTERPRISE = "enterprise", "brought by an enterprise login"
    GRAVATAR = "gravatar", "a Gravatar that exists"
    METADATA = "metadata", "user_metadata.picture overrides the profile"
    CUSTOM = "custom", "a picture set by hand or by your application"
    UNRESOLVED = "unresolved", "a Gravatar or its fallback: nobody has asked"
    INITIALS = "initials", "Auth0's letters on a coloured square"
    PLACEHOLDER = "placeholder", "somebody's stock image"
    MISSING = "missing", "no picture at all"
    INVALID = "invalid", "not a URL that a browser could show"


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
    PIXELS = "pixels"


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the rule table; the first row that matches a URL decides.

    Attributes:
        source: the verdict.
        provider: whose picture it is, by Auth0's strategy name, or None.
        host: the host itself or any host below it.
        path: regular expression of the path's beginning, without lookaround: RE2 runs it, too.
        why: the reason, as shown to people.
        expires: query parameter with the UNIX time at which the URL stops working, and its base
            (10 or 16), or None.
    """

    source: Source
    provider: str | None
    host: str
    path: str
    why: str
    expires: tuple[str, int] | None = None


def _rule(
    source: Source,
    provider: str | None,
    address: str,
    why: str,
    expires: tuple[str, int] | None = None,
) -> Rule:
    """Return a rule; an address is its host and, from the first slash on, its path."""
    host, slash, path = address.partition("/")
    return Rule(source, provider, host, slash + path, why, expires)


_stock = partial(_rule, Source.PLACEHOLDER)
_social = partial(_rule, Source.SOCIAL)

# Sources of the rows: user objects recorded by Auth0's own SDK repositories, Auth0's documentation
# ("User Picture", "Sample user profiles") and payloads in public code. Rows marked (*) rest on
# general knowledge of the host: no Auth0 payload with it was found.
RULES: tuple[Rule, ...] = (
    _rule(Source.INITIALS, None, "cdn.auth0.com/avatars/", "Auth0's own initials image"),
    *(
        _rule(
            Source.INITIALS,
            None,
            rf"i{number}.wp.com/cdn\.auth0\.com/avatars/",
            "Auth0's initials image, as Gravatar's image proxy resolved it",
        )
        for number in range(3)
    ),
    _rule(
        Source.UNRESOLVED,
        None,
        r"gravatar.com/avatar/(?:[0-9a-fA-F]{64}|[0-9a-fA-F]{32})(?:[./]|$)",
        "a Gravatar URL: the URL alone does not say whether that Gravatar exists",
    ),
    _stock("twitter", "abs.twimg.com/sticky/default_profile_images/", "Twitter's stock image"),
    _stock(
        "google-oauth2",
        "googleusercontent.com/(?:a/default-user|-XdUIqdMkCWA/)",
        "Google's stock image (*)",
    ),
    _stock("google-oauth2", "ssl.gstatic.com/s2/profiles/images/silhouette", "Google's silhouette"),
    _stock("facebook", r"static.xx.fbcdn.net/rsrc\.php/", "Facebook's stock image (*)"),
    _stock("linkedin", "static.licdn.com/", "LinkedIn's stock image (*)"),
    _stock("discord", "cdn.discordapp.com/embed/avatars/", "Discord's stock image (*)"),
    _stock("slack", "a.slack-edge.com/.*/img/avatars/ava_", "Slack's stock image (*)"),
    _social("google-oauth2", "googleusercontent.com/", "served by Google (googleusercontent.com)"),
    _social(
        "github", "githubusercontent.com/u/", "served by GitHub (avatars.githubusercontent.com)"
    ),
    _social(
        "facebook",
        "platform-lookaside.fbsbx.com/",
        "served by Facebook, signed for 30 days (ext)",
        ("ext", 10),
    ),
    _social("facebook", "fbcdn.net/", "served by Facebook's CDN, signed (oe)", ("oe", 16)),
    _social(
        "facebook",
        "graph.facebook.com/",
        "Facebook's picture address for a person (graph.facebook.com)",
    ),
    _social("twitter", "pbs.twimg.com/profile_images/", "served by Twitter (pbs.twimg.com)"),
    _social("linkedin", "media.licdn.com/", "served by LinkedIn, signed (e)", ("e", 10)),
    _social("line", "line-scdn.net/", "served by LINE (line-scdn.net)"),
    _social("discord", "cdn.discordapp.com/avatars/", "served by Discord (cdn.discordapp.com)"),
    _social("slack", "slack-edge.com/", "served by Slack (slack-edge.com)"),
    _social("vkontakte", "userapi.com/", "served by VK (userapi.com) (*)"),
    _social("yandex", "avatars.yandex.net/", "served by Yandex (*)"),
    _social("windowslive", "apis.live.net/", "served by Microsoft (*)"),
    _social("spotify", "i.scdn.co/image/", "served by Spotify (i.scdn.co) (*)"),
)

RATING = r"(?i)[?&](?:r|rating)=(g|pg|r|x)(?:[&#]|$)"
"""The highest rating that a Gravatar URL asks for; without one, `g`.

Fact: docs.gravatar.com, "Images".
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

Regular expressions without lookaround, for RE2. They rest on general knowledge of these
interfaces: no Auth0 payload with one of them was found.
"""

ON_WORD = frozenset({"google-oauth2", "github", "facebook", "windowslive"})
"""Providers that serve drawn letters or patterns under the same addresses as photos."""

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


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one user's picture is.

    All but `source`, `evidence` and `reason` describe the root `picture`, also where
    `user_metadata.picture` overrides it.

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


class _Address(NamedTuple):
    scheme: str
    host: str
    path: str
    query: str


# How browsers read a URL (WHATWG URL): outer blanks and inner line breaks are dropped, a backslash
# is a slash, everything before the last @ is credentials.
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
# Later than any signature in use; keeps nonsense out of the timestamps.
_MAX_EXPIRY = 2**33

_KEYWORDS = {
    keyword: fallback
    for fallback, keywords in (
        (Fallback.NONE, "404 blank"),
        (Fallback.SILHOUETTE, "mp mm mystery"),
        (Fallback.GENERATED, "identicon monsterid wavatar retro robohash initials color"),
    )
    for keyword in keywords.split()
}


def _parse(url: str) -> _Address | None:
    """Split an http(s) URL as browsers do, or return None if they could not load it."""
    match = _URL.match(url.strip(_BLANKS).translate(_LINE_BREAKS))
    parts = _HOST.fullmatch(match[2].rpartition("@")[2]) if match else None
    if match is None or parts is None:
        return None
    scheme, _, path, query = match.groups()
    number, name = parts.groups()
    host = (number or unquote(name).removesuffix(".")).lower()
    if not number and (not host or _FORBIDDEN_IN_HOST.search(host)):
        return None
    return _Address(scheme.lower(), host, path.replace("\\", "/") or "/", query or "")


def _rule_for(address: _Address) -> Rule | None:
    for rule in RULES:
        if f".{address.host}".endswith(f".{rule.host}") and re.match(rule.path, address.path):
            return rule
    return None


def _fallback(parameters: dict[str, str]) -> Fallback:
    # Fact: docs.gravatar.com, "Images": `d` or `default` is a keyword or a URL; otherwise Gravatar
    # shows its own image.
    default = parameters.get("d", parameters.get("default", "")).strip()
    keyword = _KEYWORDS.get(default.lower())
    if keyword is not None:
        return keyword
    address = _parse(default)
    if address is None:
        return Fallback.SILHOUETTE
    rule = _rule_for(address)
    shown = {Source.INITIALS: Fallback.INITIALS, Source.PLACEHOLDER: Fallback.SILHOUETTE}
    return shown.get(rule.source, Fallback.CUSTOM) if rule else Fallback.CUSTOM


def without_gravatar(fallback: Fallback) -> Source:
    """Return what a Gravatar URL with this fallback is once no Gravatar shows."""
    return Source.INITIALS if fallback is Fallback.INITIALS else Source.PLACEHOLDER


def _expiry(rule: Rule, parameters: dict[str, str]) -> datetime | None:
    if rule.expires is None:
        return None
    name, base = rule.expires
    digits = "0123456789abcdef"[:base]
    text = parameters.get(name, "").lower()
    if not text or len(text) > len(str(_MAX_EXPIRY)) or text.strip(digits):
        return None
    seconds = int(text, base)
    return datetime.fromtimestamp(seconds, UTC) if 0 < seconds < _MAX_EXPIRY else None


def _plain(source: Source, reason: str) -> Verdict:
    return Verdict(source, source, None, None, Evidence.URL, None, None, reason)


def _by_identity(strategy: str, connection: str) -> Verdict:
    if strategy in SOCIAL_STRATEGIES:
        source, kind = Source.SOCIAL, "a social"
    elif strategy in ENTERPRISE_STRATEGIES:
        source, kind = Source.ENTERPRISE, "an enterprise"
    else:
        return _plain(Source.CUSTOM, "a well-formed URL of a host that no rule knows")
    # The name of these two says nothing about whose login it is: the connection's name does.
    provider = connection or strategy if strategy in {"oauth1", "oauth2"} else strategy
    reason = f"a host that no rule knows, on {kind} identity ({provider})"
    return Verdict(source, source, provider, None, Evidence.IDENTITY, None, None, reason)


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
    parameters = dict(parse_qsl(address.query, keep_blank_values=True))
    if source is Source.UNRESOLVED:
        gravatar_hash = re.split("[./]", address.path.removeprefix("/avatar/"))[0].lower()
        fallback = _fallback(parameters)
        if parameters.get("f", parameters.get("forcedefault", "")).lower() in {"y", "yes"}:
            source = without_gravatar(fallback)
            reason = f"a Gravatar URL that forces its fallback ({fallback})"
        else:
            reason = f"{reason}; without one its fallback shows ({fallback})"
    expires_at = _expiry(rule, parameters)
    return Verdict(
        source, source, rule.provider, fallback, Evidence.URL, expires_at, gravatar_hash, reason
    )


def usable_override(metadata_picture: object) -> bool:
    """Whether a `user_metadata.picture` may replace the profile's: only if it is an https URL."""
    address = _parse(metadata_picture) if isinstance(metadata_picture, str) else None
    return address is not None and address.scheme == "https"


def classify(
    picture: object,
    *,
    metadata_picture: object = None,
    strategy: str | None = None,
    connection: str | None = None,
) -> Verdict:
    """Return where one user's picture comes from. Never raises, whatever the profile holds.

    A Gravatar URL is `unresolved`: it does not say whether people see a Gravatar or its fallback.

    Args:
        picture: the root `picture` of the user object.
        metadata_picture: `user_metadata.picture`, or None.
        strategy: the primary identity's `provider` (`google-oauth2`, `samlp`, …).
        connection: the primary identity's `connection`.
    """
    if picture is not None and not isinstance(picture, str):
        picture = json.dumps(picture, default=repr)  # and so no URL
    root = _root(picture or "", strategy or "", connection or "")
    if not usable_override(metadata_picture):
        return root
    why = f"user_metadata.picture overrides the profile, where the picture is {root.underlying}"
    return replace(root, source=Source.METADATA, evidence=Evidence.URL, reason=why)
