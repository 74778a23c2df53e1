"""A choice of users of a snapshot, as a value.

A selection becomes a condition in DuckDB's SQL with bound values: typed text is never part of the
SQL. The condition uses the columns of `derived`, and `sight` of `toolkit.analysis.shown_picture`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from toolkit.analysis.groups import ACTIVITY, COHORT, NONE, activity


@dataclass(frozen=True, slots=True)
class Selection:
    """Users who match all fields; an empty field matches everybody.

    Attributes:
        connections: any of these, or `toolkit.analysis.groups.NONE`.
        sources: any of these, of `toolkit.classification.sources.Source`.
        providers: any of these, or `toolkit.analysis.groups.NONE`.
        joined_from: first month of creation: "2024-03".
        joined_to: last month of creation.
        activity: any of `toolkit.analysis.groups.ACTIVITY`.
        seen: any of `toolkit.analysis.groups.Seen`.
        text: part of the user_id, the e-mail address, the name or the connection; upper and lower
            case are equal, and there are no special characters.
    """

    connections: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    joined_from: str | None = None
    joined_to: str | None = None
    activity: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    text: str = ""

    def condition(self) -> tuple[str, dict[str, Any]]:
        """Return the condition and its bound values by name."""
        places = [tuple(ACTIVITY).index(name) for name in self.activity]
        given: dict[str, tuple[str, Any]] = {
            "connections": ("list_contains($connections, connection_group)", [*self.connections]),
            "sources": ("list_contains($sources, source)", [*self.sources]),
            "providers": ("list_contains($providers, provider_group)", [*self.providers]),
            "joined_from": ("cohort >= $joined_from", _month(self.joined_from)),
            "joined_to": ("cohort <= $joined_to", _month(self.joined_to)),
            "activity": ("list_contains($activity, activity_group)", places),
            "seen": ("list_contains($seen, sight)", [*self.seen]),
            "text": ("contains(searched, lower($text))", self.text.strip()),
        }
        asked = {name: (sql, value) for name, (sql, value) in given.items() if value}
        condition = " AND ".join(sql for sql, _ in asked.values()) or "true"
        return condition, {name: value for name, (_, value) in asked.items()}


def derived(as_of: datetime, absent: Collection[str] = ()) -> str:
    """Return SQL for the columns that a selection uses besides those of a snapshot and `sight`.

    Activity is counted back from `as_of`. A `cohort` such as 200412 is December 2004;
    `activity_group` is a position in `ACTIVITY`. `absent`: as for `activity`.
    """
    now = f"TIMESTAMPTZ '{as_of.isoformat()}'"
    return f"""
        coalesce(nullif(connection, ''), '{NONE}') AS connection_group,
        coalesce(nullif(provider, ''), '{NONE}') AS provider_group,
        {COHORT} AS cohort,
        {activity(now, absent)} AS activity_group,
        lower(concat_ws(chr(31), user_id, email, name, connection)) AS searched
    """


def _month(text: str | None) -> int | None:
    return int(text.replace("-", "")) if text else None
