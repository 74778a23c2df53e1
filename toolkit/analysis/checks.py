"""The conditions of the findings: one table, with what each means.

A condition is DuckDB's SQL over the columns of a snapshot; `toolkit.findings` counts them all in
one pass.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from toolkit.analysis.tenant_wiring import RULES_END, Setter, Wiring
from toolkit.classification.sources import TOKEN_ONLY
from toolkit.formatting import visible

Severity = Literal["high", "medium", "low", "info"]
SEVERITIES: tuple[Severity, ...] = ("high", "medium", "low", "info")
"""From the most severe to the least."""

# A picture that so many users share, and one in a thousand users, is no picture of their own.
_SHARED, _SHARED_PART = 10, 1000
_SOON = 14  # days

# People see the root picture, unless a working override replaces it.
_ROOT_SHOWS = "(source <> 'metadata' OR NOT $overrides)"
_SHOWS_PLACEHOLDER = (
    "underlying IN ('initials', 'placeholder', 'missing', 'unresolved') AND " + _ROOT_SHOWS
)
_SOMEBODYS = "underlying IN ('social', 'enterprise', 'custom')"
# Pictures that no rule decided, and so may be on any host.
_UNRULED = "(underlying = 'custom' OR evidence = 'identity' OR source = 'metadata')"
_IS_SHARED = "hash(picture) IN (SELECT digest FROM shared)"
_TRIMMED = "lower(trim(email))"
_COPY = r"^https?://i[012]\.wp\.com/cdn\.auth0\.com/avatars/"

# Hashes need only a few bytes for each picture.
SHARED = f"""
    shared AS (
        SELECT hash(picture) AS digest FROM users WHERE {_SOMEBODYS}
        GROUP BY digest
        HAVING count(*) >= greatest({_SHARED}, (SELECT count(*) / {_SHARED_PART} FROM users))
    )
"""  # noqa: S608 - numbers of this module
"""The table of pictures that many people share, which some conditions use."""


def _where(cheap: str, dear: str) -> str:
    """Return the condition `cheap AND dear`, computing `dear` only if `cheap` is true.

    Fact (DuckDB 2.0, tried): in a FILTER, `cheap AND dear` computes both for every row.
    """
    return f"CASE WHEN {cheap} THEN {dear} ELSE false END"


@dataclass(frozen=True, slots=True)
class Check:
    """A possible finding.

    Attributes:
        id: a word that scripts can rely on.
        severity: one of `SEVERITIES`.
        title: a short name.
        condition: which users it concerns, in DuckDB's SQL over a snapshot's columns, the values of
            `bound` and the table `SHARED`.
        meaning: what it means for them.
        advice: what to do.
    """

    id: str
    severity: Severity
    title: str
    condition: str
    meaning: str
    advice: str


CHECKS = (
    Check(
        "expired",
        "medium",
        "Expired provider pictures",
        f"expires_at < $as_of AND {_ROOT_SHOWS}",
        "The provider signed the link for a limited time, which is over: people see a broken "
        "image until the user logs in again.",
        "Show the default for expired links: picture-audit plan … --through action",
    ),
    Check(
        "unshowable",
        "medium",
        "Pictures that no browser shows",
        "underlying = 'invalid'",
        "The profile holds something that is not an http(s) URL (data:, javascript:, a path, a "
        "number …): people see a broken image.",
        "Replace them by the default: picture-audit plan … --through root",
    ),
    Check(
        "needs-token",
        "medium",
        "Pictures that need a token to load",
        _where(
            f"{_UNRULED} AND {_SOMEBODYS}",
            f"regexp_matches(picture, '{'|'.join(TOKEN_ONLY)}', 'i')",
        ),
        "These addresses answer only to requests that carry an access token, which an <img> never "
        "does: people see a broken image.",
        "Copy the picture to a host of yours at login, or show the default.",
    ),
    Check(
        "missing",
        "medium",
        "Users without any picture",
        "underlying = 'missing' AND " + _ROOT_SHOWS,
        "The profile holds no picture; applications that expect one break or show a hole.",
        "Give them the default: picture-audit plan … --through action",
    ),
    Check(
        "override-unusable",
        "medium",
        "Overrides that cannot be used",
        _where(
            "source <> 'metadata' AND metadata_picture IS NOT NULL", "trim(metadata_picture) <> ''"
        ),
        "user_metadata.picture holds something other than an https URL; where an application "
        "shows it anyway it is broken or insecure.",
        "Check what your application writes there; let only https URLs through.",
    ),
    Check(
        "override-initials",
        "low",
        "Overrides that are initials",
        _where(
            "metadata_picture IS NOT NULL",
            "metadata_picture LIKE 'https://cdn.auth0.com/avatars/%' OR "
            f"regexp_matches(metadata_picture, '{_COPY}', 'i')",
        ),
        "user_metadata.picture holds a copy of Auth0's initials image: it stays when the user "
        "gets a picture or another name.",
        "Remove these overrides; an application stored what Gravatar redirected it to.",
    ),
    Check(
        "resolved-copy",
        "low",
        "Initials from the image proxy",
        _where(
            "underlying = 'initials' AND gravatar_hash IS NULL",
            f"regexp_matches(picture, '{_COPY}', 'i')",
        ),
        "An application saved the address to which Gravatar redirected: these users keep their "
        "initials, even if they get a Gravatar.",
        "Replace them by the default: picture-audit plan … --through root",
    ),
    Check(
        "hidden-default",
        "medium",
        "Hidden default pictures",
        f"{_SOMEBODYS} AND {_ROOT_SHOWS} AND {_IS_SHARED}",
        "Many people have the same image: probably a default picture. It is counted as their own.",
        "Treat it as a placeholder when you choose a default.",
    ),
    Check(
        "stock-image",
        "low",
        "Stock images of providers",
        f"underlying = 'placeholder' AND gravatar_hash IS NULL AND {_ROOT_SHOWS}",
        "The provider had no picture of the user and gave its grey silhouette.",
        "Show the default instead: picture-audit plan … --through action",
    ),
    Check(
        "foreign-default",
        "info",
        "Gravatars with another fallback",
        "fallback IS NOT NULL AND fallback <> 'initials'",
        "Where there is no Gravatar these users show something other than Auth0's initials: a "
        "silhouette, a pattern, or an image of somebody's choice.",
        "Decide whether your default shall replace that too.",
    ),
    Check(
        "insecure",
        "low",
        "Pictures over plain http",
        _where(
            "NOT starts_with(picture, 'https:') AND underlying <> 'invalid'",
            "lower(left(trim(picture), 5)) = 'http:'",
        ),
        "Browsers warn of them, upgrade them or block them on https pages, and anybody on the way "
        "can see or change them.",
        "Serve them over https; Auth0 and Gravatar do.",
    ),
    Check(
        "hash-mismatch",
        "low",
        "Gravatars of another e-mail address",
        _where(
            "gravatar_hash IS NOT NULL",
            f"CASE WHEN trim(email) = '' THEN false "
            f"WHEN length(gravatar_hash) = 32 THEN gravatar_hash <> md5({_TRIMMED}) "
            f"ELSE gravatar_hash <> sha256({_TRIMMED}) END",
        ),
        "The Gravatar belongs to another address than the user has now: to a former one, or to "
        "somebody else.",
        "Have the picture computed again from the present address.",
    ),
    Check(
        "email-hash-exposed",
        "info",
        "E-mail hashes in picture addresses",
        "gravatar_hash IS NOT NULL",
        "Whoever sees the picture's address, Gravatar included, can test it against a list of "
        "e-mail addresses: an unsalted hash is personal data.",
        "Mention Gravatar in your privacy notice, or show pictures through a host of your own.",
    ),
    Check(
        "expiring",
        "info",
        f"Provider pictures that expire within {_SOON} days",
        "expires_at >= $as_of AND expires_at < $soon",
        "These links stop working soon, unless the users log in before.",
        "Nothing to do. Check again next month.",
    ),
    Check(
        "unresolved",
        "info",
        "Gravatars that may exist or not",
        "underlying = 'unresolved'",
        "The address alone does not tell whether people see a Gravatar or its fallback.",
        "Ask for a sample: picture-audit probe SNAPSHOT --sample 2000",
    ),
)
"""The findings that need only the profiles."""


def bound(as_of: datetime, overrides: bool | None) -> dict[str, Any]:
    """Return the bound values of the conditions by name.

    Args:
        as_of: the time that decides whether signed URLs have expired.
        overrides: whether the tenant shows `user_metadata.picture`; None if not known.
    """
    now = as_of.astimezone(UTC)
    return {"as_of": now, "soon": now + timedelta(days=_SOON), "overrides": bool(overrides)}


def wired(wiring: Wiring | None) -> Iterator[Check]:
    """Yield the findings that depend on the tenant's Actions and Rules."""
    if wiring is None:
        return
    if wiring.override is False:
        stopped = [one for one in wiring.stopped if one.override]
        why = f"{_names(stopped)} stopped on {RULES_END:%Y-%m-%d}. " if stopped else ""
        yield Check(
            "override-unwired",
            "high",
            "Overrides that nothing shows",
            "source = 'metadata'",
            f"No Action puts user_metadata.picture into the token. {why}People see the profile's "
            "picture, unless the application reads user_metadata itself.",
            "Deploy the Action that does: picture-audit plan … --through action",
        )
    stopped = [one for one in wiring.stopped if one.default is not False]
    if stopped and not wiring.default:
        yield Check(
            "default-stopped",
            "high",
            "A default picture that stopped",
            _SHOWS_PLACEHOLDER,
            f"{_names(stopped)} set a default picture until Rules ended on "
            f"{RULES_END:%Y-%m-%d}; since then these users are back to Auth0's initials, unless "
            "they have a Gravatar.",
            "Deploy the Action that replaces it: picture-audit plan … --through action",
        )
    careless = [one for one in wiring.running if one.default and not one.spares]
    if careless:
        yield Check(
            "default-for-everybody",
            "high",
            "A default picture in place of real ones",
            "underlying IN ('social', 'enterprise', 'custom', 'gravatar', 'unresolved')",
            f"{_names(careless)} sets a picture without looking at the one that the user has: it "
            "may replace photos that people chose.",
            "Look at its code; the Action of picture-audit plan … spares real pictures.",
        )


def _names(setters: list[Setter]) -> str:
    kind = setters[0].kind.capitalize()
    names = ", ".join(f"“{visible(one.name)[:60]}”" for one in setters)
    return f"{kind} {names}" if len(setters) == 1 else f"{kind}s {names}"
