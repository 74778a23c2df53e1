"""The groups that users are counted by: what they are called, and how SQL tells them apart.

A group is known by its key: a value of the column, of a cohort the number 202403 for March
2024, of an activity its place in `ACTIVITY`; None where a user has none.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

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
