"""What one picture URL is: `classify`.

Where a picture comes from is read off its URL by the rule table (`toolkit.classification.rules`),
or, if no rule knows the host, off the identity that brought it. This is for one URL;
`toolkit.classification.columnwise` does the same for columns.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from urllib.parse import parse_qsl

from toolkit.classification.rules import (
    ENTERPRISE_STRATEGIES,
    OF_HOST,
    ON_WORD,
    RATING,
    RULES,
    SOCIAL_STRATEGIES,
    TOKEN_ONLY,
    Fallback,
    Rule,
    Source,
)
from toolkit.classification.times import at_milliseconds
from toolkit.classification.web_address import (
    BLANKS,
    NOBODY,
    Address,
    is_image,
    number,
    parsed,
    scheme_of,
    signed_until,
    unfilled,
)

__all__ = [
    "ENTERPRISE_STRATEGIES",
    "ON_WORD",
    "RATING",
    "RULES",
    "SOCIAL_STRATEGIES",
    "TOKEN_ONLY",
    "Evidence",
    "Fallback",
    "Rule",
    "Source",
    "Verdict",
    "addresses",
    "classify",
    "needs_token",
    "usable_override",
    "without_gravatar",
]


class Evidence(StrEnum):
    """What a verdict rests on."""

    URL = "url"
    IDENTITY = "identity"
    PROBE = "probe"
    PIXELS = "pixels"


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


_HASH = re.compile("[0-9a-fA-F]{64}|[0-9a-fA-F]{32}")
_TOKEN_ONLY = re.compile("|".join(TOKEN_ONLY), re.ASCII | re.IGNORECASE)
_LABELS = max(host.count(".") for host in OF_HOST) + 1  # of a host that a rule looks at

_KEYWORDS = {
    keyword: fallback
    for fallback, keywords in (
        (Fallback.NONE, "404 blank"),
        (Fallback.SILHOUETTE, "mp mm mystery"),
        (Fallback.GENERATED, "identicon monsterid wavatar retro robohash initials color"),
    )
    for keyword in keywords.split()
}


def _rule_for(address: Address) -> Rule | None:
    places: set[int] = set()
    above = ".".join(address.host.rsplit(".", _LABELS)[-_LABELS:])
    while above:
        places.update(OF_HOST.get(above, ()))
        _, _, above = above.partition(".")
    rules = (RULES[place] for place in sorted(places))
    return next((rule for rule in rules if re.match(rule.path, address.path)), None)


def addresses(rules: Iterable[Rule]) -> str:
    """Return a regular expression of the addresses that rules match, in upper or lower case.

    For RE2, too. It does not know the rules above them, ports or user names.
    """
    before = r"^(?:https?:)?//(?:i[0-2]\.wp\.com/)?(?:[^/?#]*\.)?"
    hosts = ((rule, "|".join(map(re.escape, rule.hosts))) for rule in rules)
    return "|".join(f"{before}(?:{host}){rule.path}" for rule, host in hosts)


def _fallback(parameters: dict[str, str]) -> Fallback:
    # Fact: docs.gravatar.com, "Images": `d` or `default` is a keyword or a URL; otherwise Gravatar
    # shows its own image.
    default = parameters.get("d", parameters.get("default", "")).strip()
    keyword = _KEYWORDS.get(default.lower())
    if keyword is not None:
        return keyword
    address = parsed(default)
    if address is None or not address.scheme:
        return Fallback.SILHOUETTE
    rule = _rule_for(address)
    return (rule.fallback if rule else None) or Fallback.CUSTOM


def without_gravatar(fallback: Fallback) -> Source:
    """Return what a Gravatar URL with this fallback is once no Gravatar shows."""
    return Source.INITIALS if fallback is Fallback.INITIALS else Source.PLACEHOLDER


def _expiry(rule: Rule | None, address: Address, parameters: dict[str, str]) -> datetime | None:
    seconds = None
    if rule is not None and rule.expires_in_path:
        found = re.match(rule.expires_in_path, address.path)
        seconds = number(found[1], 16) if found else None
    if seconds is None and rule is not None and rule.expires is not None:
        name, base = rule.expires
        seconds = number(parameters.get(name, ""), base)
    elif seconds is None:
        seconds = signed_until(address.query, parameters)
    return None if seconds is None else at_milliseconds(1000 * seconds)


def _plain(source: Source, reason: str) -> Verdict:
    return Verdict(source, source, None, None, Evidence.URL, None, None, reason)


def _by_identity(strategy: str, connection: str, what: str, alone: str) -> Verdict:
    if strategy in SOCIAL_STRATEGIES:
        source, kind = Source.SOCIAL, "a social"
    elif strategy in ENTERPRISE_STRATEGIES:
        source, kind = Source.ENTERPRISE, "an enterprise"
    else:
        return _plain(Source.CUSTOM, alone)
    # The name of these two says nothing about whose login it is: the connection's name does.
    provider = connection or strategy if strategy in {"oauth1", "oauth2"} else strategy
    reason = f"{what}, on {kind} identity ({provider})"
    return Verdict(source, source, provider, None, Evidence.IDENTITY, None, None, reason)


def _gravatar(rule: Rule, address: Address, parameters: dict[str, str]) -> Verdict:
    """Judge an address of which only Gravatar, or a service like it, knows what it shows."""
    if rule.fallback is not None:  # nothing in the address says what it may show
        return replace(_plain(rule.source, rule.why), provider=rule.provider)
    given = address.path if rule.hash_in is None else parameters.get(rule.hash_in, "")
    found = _HASH.search(given) if rule.hash_in is None else _HASH.fullmatch(given)
    if rule.hash_in is not None and (found is None or found[0].lower() in NOBODY):
        return _plain(Source.PLACEHOLDER, "a Gravatar URL without a hash: always its fallback")
    gravatar_hash = found[0].lower() if found and (rule.hashed or rule.hash_in) else None
    source, fallback = rule.source, _fallback(parameters)
    if parameters.get("f", parameters.get("forcedefault", "")).lower() in {"y", "yes"}:
        source = without_gravatar(fallback)
        reason = f"a Gravatar URL that forces its fallback ({fallback})"
    else:
        reason = f"{rule.why}; without one its fallback shows ({fallback})"
    return Verdict(source, source, None, fallback, Evidence.URL, None, gravatar_hash, reason)


def _root(picture: str, strategy: str, connection: str) -> Verdict:
    if not picture.strip(BLANKS):
        return _plain(Source.MISSING, "the profile holds no picture")
    address = parsed(picture)
    if address is not None:
        return _at(address, strategy, connection)
    if is_image(picture):
        what = "an image in the address itself (data:)"
        return _by_identity(strategy, connection, what, what)
    scheme = scheme_of(picture)
    what = f"a {scheme}: address" if scheme else "not an absolute URL"
    return _plain(Source.INVALID, f"{what}; browsers show http and https pictures only")


def _at(address: Address, strategy: str, connection: str) -> Verdict:
    rule = _rule_for(address)
    if unfilled(address):
        why = "a template that was filled with nothing: nobody's picture"
        found = _plain(Source.PLACEHOLDER if rule else Source.INVALID, why)
        return replace(found, provider=rule.provider if rule else None)
    parameters = dict(parse_qsl(address.query, keep_blank_values=True))
    if rule is None:
        what = "a host that no rule knows"
        found = _by_identity(strategy, connection, what, f"a well-formed URL of {what}")
    elif rule.source is Source.UNRESOLVED:
        return _gravatar(rule, address, parameters)
    else:
        found = replace(_plain(rule.source, rule.why), provider=rule.provider)
    return replace(found, expires_at=_expiry(rule, address, parameters))


def needs_token(picture: object) -> bool:
    """Whether an address answers only to requests with an access token."""
    return isinstance(picture, str) and _TOKEN_ONLY.search(picture) is not None


def usable_override(metadata_picture: object, at: datetime | None = None) -> bool:
    """Whether a `user_metadata.picture` may replace the profile's.

    Only an https URL may, and if it is signed, only until its time; without `at`, at any time.
    """
    address = parsed(metadata_picture) if isinstance(metadata_picture, str) else None
    if address is None or address.scheme != "https":
        return False
    if at is None:
        return True
    parameters = dict(parse_qsl(address.query, keep_blank_values=True))
    ends = _expiry(_rule_for(address), address, parameters)
    return ends is None or ends > at


def classify(
    picture: object,
    *,
    metadata_picture: object = None,
    strategy: str | None = None,
    connection: str | None = None,
    at: datetime | None = None,
) -> Verdict:
    """Return where one user's picture comes from. Never raises, whatever the profile holds.

    A Gravatar URL is `unresolved`: it does not say whether people see a Gravatar or its fallback.

    Args:
        picture: the root `picture` of the user object.
        metadata_picture: `user_metadata.picture`, or None.
        strategy: the primary identity's `provider` (`google-oauth2`, `samlp`, …).
        connection: the primary identity's `connection`.
        at: the time, with a timezone, at which people look: an override whose signature has ended
            by then does not count. Without it, every signature counts.
    """
    if picture is not None and not isinstance(picture, str):
        picture = json.dumps(picture, default=repr)  # and so no URL
    root = _root(picture or "", strategy or "", connection or "")
    if not usable_override(metadata_picture, at):
        return root
    why = f"user_metadata.picture overrides the profile, where the picture is {root.underlying}"
    return replace(root, source=Source.METADATA, evidence=Evidence.URL, reason=why)
