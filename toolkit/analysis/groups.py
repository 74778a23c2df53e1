"""The groups that users are counted by, and what people see as their picture.

The key of a group is a value of the column; for a cohort a number such as 202403 (March 2024); for
an activity its position in `ACTIVITY`; None if a user has no group.

A file may have been exported without a column: what is not known is never counted as what is not
there. `lacking` says so in words.
"""

from collections.abc import Collection, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any

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
        "unknown": "last login not known",
    }
)
"""The groups by last login, most recent first, with their descriptions."""

_DAYS = (30, 90, 365)  # the ends of the first groups of `ACTIVITY`

# Calculated from the number: the calendar of a time zone is several times slower.
COHORT = (
    "year(make_timestamp(epoch_us(created_at))) * 100 + month(make_timestamp(epoch_us(created_at)))"
)
"""DuckDB's SQL for the key of a cohort, in any time zone of the engine."""


def activity(now: str, absent: Collection[str] = ()) -> str:
    """Return DuckDB's SQL for the key of an activity.

    Args:
        now: SQL for the time to count back from.
        absent: columns that the users were exported without.
    """
    # In hours: in some time zones, not every day has 24.
    ends = (f"{now} - INTERVAL {24 * days} HOURS" for days in _DAYS)
    seen = " + ".join(f"CAST(last_login < {end} AS TINYINT)" for end in ends)
    # Auth0 leaves both attributes out for users who never logged in.
    logins = "logins_count" if "last_login" in absent else "coalesce(logins_count, 0)"
    never, unknown = (tuple(ACTIVITY).index(name) for name in ("never", "unknown"))
    otherwise = f"CASE WHEN {logins} = 0 THEN {never} ELSE {unknown} END"
    return f"CAST(coalesce({seen}, {otherwise}) AS TINYINT)"


def key_of(by: str, absent: Collection[str] = ()) -> str:
    """Return DuckDB's SQL for the key of a kind of group; `$now` is the time to count back from."""
    return {"cohort": COHORT, "activity": activity("$now", absent)}.get(by, by)


_LACKING = {
    "source": ("metadata_picture", "user_metadata.picture", "overrides are not counted"),
    "connection": ("connection", "connection", f"everybody is in the group {NONE}"),
    "cohort": ("created_at", "created_at", "nobody's month of joining is known"),
    "activity": ("last_login", "last_login", "last logins are not known"),
}


def lacking(by: str, absent: Collection[str]) -> str:
    """Say in a sentence that groups of this kind are not known; "" if they are.

    `absent`: columns of a snapshot that the users were exported without.
    """
    column, name, so = _LACKING.get(by, ("", "", ""))
    return f"The users were exported without {name}: {so}." if column in absent else ""


def named(by: str, key: Any) -> str:  # noqa: ANN401 - a name or a number
    """Name a group of a kind, one of `CHOICES`, by its key or None."""
    if by == "cohort":
        return UNKNOWN if key is None else f"{key // 100:04d}-{key % 100:02d}"
    if by == "activity":
        return tuple(ACTIVITY)[-1 if key is None else key]
    return NONE if key is None else str(key)


def ensure_choice(by: str) -> None:
    """Check that `by` is one of `CHOICES`; raises SettingsError if not."""
    if by not in CHOICES:
        raise SettingsError(f"cannot count by {by!r}; choose one of {', '.join(CHOICES)}")


class Seen(StrEnum):
    """What people see, from a picture of the user's own to nothing."""

    OWN = "own"
    ON_WORD = "on_word"
    UNKNOWN = "unknown"
    DEFAULT = "default"
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
    Seen.ON_WORD: "perhaps a picture of their own: nobody has looked",
    Seen.UNKNOWN: "not known",
    Seen.DEFAULT: "your default picture",
    Seen.INITIALS: "Auth0's initials",
    Seen.PLACEHOLDER: "a placeholder: a stock image, or drawn letters or patterns",
    Seen.BROKEN: "a broken image: expired, or nothing that a browser could show",
    Seen.NONE: "nothing",
}
