"""The table of findings: what can be wrong with pictures, whom it concerns, and what to do.

A condition is DuckDB's SQL over the columns of `toolkit.analysis.shown_picture.show`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from toolkit.analysis.own_action import Step
from toolkit.analysis.tenant_wiring import RULES_ENDED, Setter, Wiring
from toolkit.classification.sources import RULES, Fallback, Source, addresses
from toolkit.formatting import visible

Severity = Literal["high", "medium", "low", "info"]
SEVERITIES: tuple[Severity, ...] = ("high", "medium", "low", "info")
"""From the most severe to the least."""

SOON = 14
"""Days within which a link expires "soon"."""

_PROFILE = "from_profile"
_COPY = r"^https?://i[012]\.wp\.com/cdn\.auth0\.com/avatars/"
DRAWING = addresses(
    rule
    for rule in RULES
    if rule.source is Source.PLACEHOLDER
    and rule.fallback in (Fallback.GENERATED, Fallback.INITIALS)
)
"""Addresses at which a service draws letters or a pattern, as the rule table knows them."""
_DRAWN = (
    "(coalesce(content IN ('letters', 'pattern'), false) "
    f"OR coalesce(regexp_matches(picture, '{DRAWING}', 'i'), false))"
)
_STAND_IN = f"sight = 'placeholder' AND {_PROFILE} AND NOT is_shared AND gravatar_hash IS NULL"


def _where(cheap: str, dear: str) -> str:
    """Return `cheap AND dear`; a FILTER of DuckDB 2.0 would compute both parts for every row."""
    return f"CASE WHEN {cheap} THEN {dear} ELSE false END"


@dataclass(frozen=True, slots=True)
class Check:
    """A possible finding; its texts are those of `Finding`.

    `condition` says which users it concerns, in DuckDB's SQL over the columns of
    `toolkit.analysis.shown_picture.show`, and the values `$as_of` and `$soon`.
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
        f"late AND {_PROFILE}",
        "The provider signed the link for a limited time, and it has expired: people see a broken "
        "image until the user logs in again.",
        "Show the default for expired links: picture-audit plan … --through action",
    ),
    Check(
        "unshowable",
        "medium",
        "Pictures that no browser shows",
        f"below = 'invalid' AND {_PROFILE}",
        "The profile holds something that is not a picture's address (javascript:, a path, a "
        "number …): people see a broken image.",
        "Show the default instead: picture-audit plan … --through action",
    ),
    Check(
        "needs-token",
        "medium",
        "Pictures that need a token to load",
        f"needs_token AND {_PROFILE} AND NOT late",
        "These addresses answer only to requests that carry an access token, which an <img> never "
        "does: people see a broken image.",
        "Show the default instead: picture-audit plan … --through action. To keep these pictures, "
        "copy them to a host of yours at login.",
    ),
    Check(
        "missing",
        "medium",
        "Users without any picture",
        f"below = 'missing' AND {_PROFILE}",
        "The profile holds no picture: applications may fail, or show an empty place.",
        "Give them the default: picture-audit plan … --through action",
    ),
    Check(
        "override-broken",
        "medium",
        "Overrides that are broken",
        "override_is IN ('expired', 'token')",
        "user_metadata.picture holds a signed link that has expired, or an address that answers "
        "only with an access token: where an application shows it, people see a broken image.",
        "Store a copy of the picture on a host of yours, not the provider's link.",
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
        "Overrides that are placeholders",
        "override_is IN ('initials', 'placeholder')",
        "user_metadata.picture holds a copy of Auth0's initials image, a stock image or drawn "
        "letters: it stays when the user gets a picture or another name.",
        "Remove these overrides; an application stored what it was redirected to.",
    ),
    Check(
        "resolved-copy",
        "low",
        "Initials frozen in the profile",
        _where(
            f"below = 'initials' AND gravatar_hash IS NULL AND {_PROFILE}",
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
        f"is_shared AND {_PROFILE}",
        "The same image is used by many people: a default picture that somebody set. It is counted "
        "as a placeholder, not as their own.",
        "Name it as a former default: picture-audit plan … --former ADDRESS --through action",
    ),
    Check(
        "stock-image",
        "low",
        "Stock images of providers",
        _where(_STAND_IN, f"NOT {_DRAWN}"),
        "The provider had no picture of the user and gave its grey silhouette.",
        "Show the default instead: picture-audit plan … --through action",
    ),
    Check(
        "drawn",
        "low",
        "Letters and patterns that a service draws",
        _where(_STAND_IN, _DRAWN),
        "Nobody chose these pictures: a service draws them from a name or an address.",
        "Show the default instead: picture-audit plan … --through action. What was found by "
        "looking at the pictures stays, because an address alone does not tell.",
    ),
    Check(
        "on-word",
        "info",
        "Pictures that nobody has looked at",
        "sight = 'on_word'",
        "Their address does not tell a photo from drawn letters, a pattern or a silhouette: these "
        "people see a picture of their own only if it is a photo.",
        "Look at a sample: picture-audit probe SNAPSHOT --sample 400",
    ),
    Check(
        "default-live",
        "info",
        "Your default picture is live",
        "sight = 'default'",
        "The Action of this tool runs after a login and shows them your default picture.",
        "Nothing to do. To see which picture it is: picture-audit status",
    ),
    Check(
        "inline",
        "low",
        "Pictures inside the profile",
        _where(
            "NOT starts_with(picture, 'http') AND below <> 'invalid'",
            "lower(left(trim(picture), 11)) = 'data:image/'",
        ),
        "A data: address holds the whole image: every token and every profile carries it, and "
        "large tokens are refused.",
        "Store the image on a host of yours, and its address in the profile.",
    ),
    Check(
        "photo-elsewhere",
        "medium",
        "Photos that nobody shows",
        "elsewhere IS NOT NULL AND (sight IN ('initials', 'placeholder', 'none', 'broken') "
        "OR (sight = 'unknown' AND source = 'unresolved'))",
        "The tenant holds a photo of these users: a linked account brought it, a directory, or an "
        "application keeps it in user_metadata. People see a placeholder, a broken image, or a "
        "Gravatar of which nobody knows whether it exists.",
        "Show it before the default: picture-audit plan … --through action --elsewhere",
    ),
    Check(
        "foreign-default",
        "info",
        "Gravatars with another fallback",
        f"fallback <> 'initials' AND gravatar_hash IS NOT NULL AND {_PROFILE}",
        "Where there is no Gravatar these users show something other than Auth0's initials: a "
        "silhouette, a pattern, or an image of somebody's choice.",
        "Decide whether your default shall replace that too.",
    ),
    Check(
        "insecure",
        "low",
        "Pictures over plain http",
        _where(
            "NOT starts_with(picture, 'https:') AND below <> 'invalid'",
            "lower(left(trim(picture), 5)) = 'http:'",
        ),
        "On https pages browsers warn, load them over https instead, or block them. Anybody on the "
        "network in between can see or change them.",
        "Serve them over https; Auth0 and Gravatar do.",
    ),
    Check(
        "hash-mismatch",
        "low",
        "Gravatars of another e-mail address",
        _where(
            "gravatar_hash IS NOT NULL",
            "CASE WHEN trim(email) = '' THEN false "
            "WHEN length(gravatar_hash) = 32 THEN gravatar_hash <> md5(lower(trim(email))) "
            "ELSE gravatar_hash <> sha256(lower(trim(email))) END",
        ),
        "The Gravatar belongs to another address than the user has now: to a former one, or to "
        "somebody else.",
        "Create the Gravatar link again from the present address.",
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
        f"Provider pictures that expire within {SOON} days",
        "expires_at >= $as_of AND expires_at < $soon",
        "These links stop working soon, unless the users log in before.",
        "Nothing to do. Check again next month.",
    ),
    Check(
        "unresolved",
        "info",
        "Gravatars that may exist or not",
        "below = 'unresolved' AND evidence <> 'pixels'",  # asking again would not tell
        "The address alone does not tell whether people see a Gravatar or its fallback.",
        "Ask for a sample: picture-audit probe SNAPSHOT --sample 2000",
    ),
)
"""The findings that need only the profiles."""

IDS = (
    *(one.id for one in CHECKS),
    *("override-unwired", "default-stopped", "default-for-everybody"),
)
"""The ids of all findings, those of `wired` last."""


@dataclass(frozen=True, slots=True)
class Fix:
    """The change that settles a finding, as far as the finding says it.

    Attributes:
        way: a value of `toolkit.change.ways.Way`.
        sources: as in `toolkit.change.policy.Policy`; none means all.
        order: as there.
        former: whether the pictures of its users are named as former defaults.
    """

    way: str = "action"
    sources: tuple[Source, ...] = ()
    order: tuple[Step, ...] = (Step.OWN,)
    former: bool = False


FIXES: Mapping[str, Fix] = {
    "expired": Fix(sources=(Source.SOCIAL, Source.ENTERPRISE, Source.CUSTOM)),
    "unshowable": Fix(sources=(Source.INVALID,)),
    "needs-token": Fix(sources=(Source.INVALID,)),
    "missing": Fix(sources=(Source.MISSING,)),
    "resolved-copy": Fix("root", (Source.INITIALS,)),
    "hidden-default": Fix(former=True),
    "stock-image": Fix(sources=(Source.PLACEHOLDER,)),
    "drawn": Fix(sources=(Source.PLACEHOLDER,)),
    "photo-elsewhere": Fix(order=(Step.OWN, Step.ELSEWHERE)),
    "override-unwired": Fix(order=(Step.OVERRIDE, Step.OWN)),
    "default-stopped": Fix(),
}
"""The change of each finding that one settles, as its advice says it."""


def concerns(as_of: datetime, wiring: Wiring | None) -> str:
    """Return SQL for the findings that concern a user: the sum of 2 ** its position in `IDS`.

    A finding of `wired` that a tenant with this wiring cannot have concerns nobody.
    """
    parts = " + ".join(
        f"CASE WHEN {one.condition} THEN {1 << IDS.index(one.id)} ELSE 0 END"
        for one in (*CHECKS, *wired(wiring))
    )
    for name, moment in (("$as_of", as_of), ("$soon", as_of + timedelta(days=SOON))):
        parts = parts.replace(name, f"TIMESTAMPTZ '{moment.isoformat()}'")
    return f"CAST({parts} AS BIGINT)"


def wired(wiring: Wiring | None) -> Iterator[Check]:
    """Yield the findings that depend on the tenant's Actions and Rules."""
    if wiring is None:
        return
    if wiring.override is False:
        stopped = [one for one in wiring.stopped if one.override]
        ended = f"{RULES_ENDED[0].upper()}{RULES_ENDED[1:]}"
        why = f"{ended}; this tenant still lists {_names(stopped)}. " if stopped else ""
        yield Check(
            "override-unwired",
            "high",
            "Overrides that nothing shows",
            "source = 'metadata'",
            f"No Action puts user_metadata.picture into the ID token. {why}People see the "
            "profile's picture, unless the application reads user_metadata itself.",
            "Deploy the Action that does: picture-audit plan … --through action --override",
        )
    stopped = [one for one in wiring.stopped if one.default is not False]
    if stopped and not wiring.default:
        yield Check(
            "default-stopped",
            "high",
            "A default picture that stopped",
            f"below IN ('initials', 'placeholder', 'missing', 'unresolved') AND {_PROFILE}",
            f"{_names(stopped)} set a default picture, and {RULES_ENDED}: since then these users "
            "are back to Auth0's initials, unless they have a Gravatar. A login at the tenant "
            "shows whether it still runs.",
            "Deploy the Action that replaces it: picture-audit plan … --through action",
        )
    careless = [one for one in wiring.running if one.careless]
    if careless:
        yield Check(
            "default-for-everybody",
            "high",
            "A default picture in place of real ones",
            "shows = 'careless' OR below = 'unresolved'",
            f"{_names(careless)} sets a picture without looking at the one that the user has: it "
            "may replace photos that people chose.",
            "Look at its code; the Action of picture-audit plan … spares real pictures.",
        )


def _names(setters: list[Setter]) -> str:
    kind = setters[0].kind.capitalize()
    names = ", ".join(f"“{visible(one.name)[:60]}”" for one in setters)
    return f"{kind} {names}" if len(setters) == 1 else f"{kind}s {names}"
