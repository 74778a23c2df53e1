"""The groups that users are counted by, and what people see as their picture.

The key of a group is a value of the column; for a cohort a number such as 202403 (March 2024); for
an activity its position in `ACTIVITY`; None if a user has no group.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from toolkit.classification.sources import Source
from toolkit.errors import SettingsError

CHOICES = ("source", "connection", "provider", "cohort", "activity")
"""What users can be grouped by."""

NONE = "(none)"
"""The group of users who have no connection, or whose picture has no provider."""

UNKNOWN = "(unknown)"
"""The cohort of users without a date of creation."""

ACTIVITY: Mapping[str, str] = MappingProxyType(
    {
        "30 days": "seen in the last 30 days",
        "90 days": "seen 31 to 90 days ago",
        "365 days": "seen 91 to 365 days ago",
        "older": "last seen over a year ago",
        "never": "never logged in",
    }
)
"""The groups by last login, most recent first, with their descriptions."""

DAYS = (30, 90, 365)
"""The upper ends of the first groups of `ACTIVITY`, in days."""

# Calculated from the number: the calendar of a time zone is several times slower.
COHORT = (
    "year(make_timestamp(epoch_us(created_at))) * 100 + month(make_timestamp(epoch_us(created_at)))"
)
"""DuckDB's SQL for the key of a cohort, in any time zone of the engine."""


def activity(before: Callable[[int], str]) -> str:
    """Return DuckDB's SQL for the key of an activity.

    Args:
        before: returns SQL for the time so many days ago.
    """
    return " + ".join(f"CAST(last_login < {before(days)} AS TINYINT)" for days in DAYS)


def named(by: str, key: Any) -> str:  # noqa: ANN401 - a name or a number
    """Name a group by its key.

    Args:
        by: one of `CHOICES`.
        key: the group's, or None.
    """
    if by == "cohort":
        return UNKNOWN if key is None else f"{key // 100:04d}-{key % 100:02d}"
    if by == "activity":
        return tuple(ACTIVITY)[-1 if key is None else key]
    return NONE if key is None else str(key)


def ensure_choice(by: str) -> None:
    """Check that users can be grouped by this.

    Raises:
        SettingsError: `by` is not one of `CHOICES`.
    """
    if by not in CHOICES:
        raise SettingsError(f"cannot count by {by!r}; choose one of {', '.join(CHOICES)}")


class Seen(StrEnum):
    """What people see, from a picture of the user's own to nothing."""

    OWN = "own"
    UNKNOWN = "unknown"
    INITIALS = "initials"
    PLACEHOLDER = "placeholder"
    BROKEN = "broken"
    NONE = "none"

    @property
    def meaning(self) -> str:
        """A short description for legends and tables."""
        return _MEANINGS[self]


_MEANINGS = {
    Seen.OWN: "a picture of their own",
    Seen.UNKNOWN: "nobody has asked what",
    Seen.INITIALS: "Auth0's initials",
    Seen.PLACEHOLDER: "a stock image",
    Seen.BROKEN: "a broken image: expired, or no URL that a browser could show",
    Seen.NONE: "nothing",
}

# What a root picture of each source shows if its URL works.
_SHOWS = {
    Source.SOCIAL: Seen.OWN,
    Source.ENTERPRISE: Seen.OWN,
    Source.GRAVATAR: Seen.OWN,
    Source.CUSTOM: Seen.OWN,
    Source.UNRESOLVED: Seen.UNKNOWN,
    Source.INITIALS: Seen.INITIALS,
    Source.PLACEHOLDER: Seen.PLACEHOLDER,
    Source.MISSING: Seen.NONE,
    Source.INVALID: Seen.BROKEN,
}


def seen(
    source: Source, underlying: Source | None, *, expired: bool, overrides: bool | None
) -> Seen:
    """Return what people see.

    Args:
        source: what the person's picture is.
        underlying: the source of the root picture, without any override; None if not known.
        expired: whether the root picture's signed URL has stopped working.
        overrides: whether the tenant shows `user_metadata.picture`
            (`toolkit.analysis.tenant_wiring.Wiring.override`); None if not known.
    """
    if source is not Source.METADATA:
        return _root(source, expired=expired)
    if overrides:
        return Seen.OWN
    below = _root(underlying, expired=expired)
    # The same with and without the override, or else it depends on the override.
    return below if overrides is False or below is Seen.OWN else Seen.UNKNOWN


def _root(source: Source | None, *, expired: bool) -> Seen:
    if source is None or source is Source.METADATA:
        return Seen.UNKNOWN
    shown = _SHOWS[source]
    return Seen.BROKEN if expired and shown is Seen.OWN else shown
