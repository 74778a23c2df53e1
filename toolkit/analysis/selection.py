"""A choice of users of a snapshot, as a value.

A selection becomes a condition in DuckDB's SQL with bound values: typed text is never part of the
SQL. The condition uses the columns of `derived`, and `sight` of `toolkit.analysis.shown_picture`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from toolkit.analysis.finding_checks import IDS, concerns
from toolkit.analysis.groups import ACTIVITY, COHORT, NONE, activity
from toolkit.analysis.tenant_wiring import Wiring
from toolkit.errors import SettingsError


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
        finding: the id of a finding, of `toolkit.analysis.finding_checks.IDS`, that concerns them.
        user_ids: any of these, such as those of a move of `toolkit.users_moved`.
        excluding: names of the fields above that say who is left out instead: with
            `connections=("github",), excluding=("connections",)`, all but those of GitHub.
    """

    connections: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    joined_from: str | None = None
    joined_to: str | None = None
    activity: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    text: str = ""
    finding: str = ""
    user_ids: tuple[str, ...] = ()
    excluding: tuple[str, ...] = ()

    def condition(self) -> tuple[str, dict[str, Any]]:
        """Return the condition and its bound values by name.

        Raises:
            SettingsError: no finding has the id.
        """
        if self.finding and self.finding not in IDS:
            raise SettingsError(f"No finding is called {self.finding}. There are {', '.join(IDS)}.")
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
            "finding": (
                "(concerns & $finding) <> 0",
                self.finding and 1 << IDS.index(self.finding),
            ),
            "user_ids": ("user_id IN (SELECT unnest($user_ids))", [*self.user_ids]),
        }
        asked = {name: (sql, value) for name, (sql, value) in given.items() if value}
        conditions = [
            f"NOT coalesce({sql}, false)" if name in self.excluding else sql
            for name, (sql, _) in asked.items()
        ]
        condition = " AND ".join(conditions) or "true"
        return condition, {name: value for name, (_, value) in asked.items()}


def derived(as_of: datetime, absent: Collection[str] = (), wiring: Wiring | None = None) -> str:
    """Return SQL for the columns that a selection uses besides those of a snapshot and `sight`.

    Activity is counted back from `as_of`. A `cohort` such as 200412 is December 2004;
    `activity_group` is a position in `ACTIVITY`; `concerns` is as in
    `toolkit.analysis.finding_checks.concerns`. `absent`: as for `activity`.
    """
    now = f"TIMESTAMPTZ '{as_of.isoformat()}'"
    return f"""
        coalesce(nullif(connection, ''), '{NONE}') AS connection_group,
        coalesce(nullif(provider, ''), '{NONE}') AS provider_group,
        {COHORT} AS cohort,
        {activity(now, absent)} AS activity_group,
        lower(concat_ws(chr(31), user_id, email, name, connection)) AS searched,
        {concerns(as_of, wiring)} AS concerns
    """


def _month(text: str | None) -> int | None:
    return int(text.replace("-", "")) if text else None
