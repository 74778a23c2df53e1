"""The groups that users are counted by, and what people see where a picture belongs.

A group is known by its key: a value of the column, of a cohort the number 202403 for March
2024, of an activity its place in `ACTIVITY`; None where a user has none.
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
"""The cohort of users whose date of creation is not known."""

ACTIVITY: Mapping[str, str] = MappingProxyType(
    {
        "30 days": "seen in the last 30 days",
        "90 days": "seen 31 to 90 days ago",
        "365 days": "seen 91 to 365 days ago",
        "older": "last seen over a year ago",
        "never": "never logged in",
    }
)
"""The groups by last login, most recent first, and what each says of its users."""

DAYS = (30, 90, 365)
"""The upper ends of the first groups of `ACTIVITY`, in days."""

# Made of the number: the calendar of a time zone takes several times as long.
COHORT = (
    "year(make_timestamp(epoch_us(created_at))) * 100 + month(make_timestamp(epoch_us(created_at)))"
)
"""DuckDB's SQL for the key of a cohort, whatever the engine's time zone."""


def activity(before: Callable[[int], str]) -> str:
    """Return DuckDB's SQL for the key of an activity.

    Args:
        before: gives SQL for the moment so many days ago.
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
    """Make sure that users can be grouped by this.

    Raises:
        SettingsError: `by` is not one of `CHOICES`.
    """
    if by not in CHOICES:
        raise SettingsError(f"cannot count by {by!r}; choose one of {', '.join(CHOICES)}")


class Seen(StrEnum):
    """What people see, from a picture of the user's own to nothing at all."""

    OWN = "own"
    UNKNOWN = "unknown"
    INITIALS = "initials"
    PLACEHOLDER = "placeholder"
    BROKEN = "broken"
    NONE = "none"

    @property
    def meaning(self) -> str:
        """One line of plain words, for legends and tables."""
        return _MEANINGS[self]


_MEANINGS = {
    Seen.OWN: "a picture of their own",
    Seen.UNKNOWN: "nobody has asked what",
    Seen.INITIALS: "Auth0's initials",
    Seen.PLACEHOLDER: "a stock image",
    Seen.BROKEN: "a broken image: expired, or no URL that a browser could show",
    Seen.NONE: "nothing",
}

# What a root picture of each source shows while its URL works.
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
    """Say what people see.

    Args:
        source: what the person's picture is.
        underlying: what the root picture is, override or not; None where nobody knows.
        expired: whether the root picture's signed URL has stopped working.
        overrides: whether anything makes `user_metadata.picture` reach people
            (`toolkit.analysis.tenant_wiring.Wiring.override`); None where nobody knows.
    """
    if source is not Source.METADATA:
        return _root(source, expired=expired)
    if overrides:
        return Seen.OWN
    below = _root(underlying, expired=expired)
    # With or without the override they see a picture of their own, or else it depends.
    return below if overrides is False or below is Seen.OWN else Seen.UNKNOWN


def _root(source: Source | None, *, expired: bool) -> Seen:
    if source is None or source is Source.METADATA:
        return Seen.UNKNOWN
    shown = _SHOWS[source]
    return Seen.BROKEN if expired and shown is Seen.OWN else shown
