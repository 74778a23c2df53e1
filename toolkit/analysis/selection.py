"""Which of a snapshot's users somebody wants to see, as a value.

A selection compiles to a condition in DuckDB's SQL with bound values: what people type is
never part of the SQL. The columns that the condition looks at are those of `derived`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from toolkit.analysis.groups import ACTIVITY, COHORT, NONE, Seen, activity, seen
from toolkit.classification.sources import Source


@dataclass(frozen=True, slots=True)
class Selection:
    """Users who meet all of this; an empty field lets everybody pass.

    Attributes:
        connections: any of these; `toolkit.analysis.groups.NONE` is who has none.
        sources: any of these, of `toolkit.classification.sources.Source`.
        providers: any of these; `toolkit.analysis.groups.NONE` is who has none.
        joined_from: not created before this month: "2024-03".
        joined_to: not created after this month.
        activity: any of these groups by last login, of `toolkit.analysis.groups.ACTIVITY`.
        seen: any of what people see, of `toolkit.analysis.groups.Seen`.
        text: is part of the user_id, the e-mail address, the name or the connection; case
            does not matter, and no character means anything but itself.
    """

    connections: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    joined_from: str | None = None
    joined_to: str | None = None
    activity: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    text: str = ""

    def condition(self, *, overrides: bool | None) -> tuple[str, dict[str, Any]]:
        """Return the condition, and the values that it binds by name.

        Args:
            overrides: whether `user_metadata.picture` reaches people; None where nobody
                knows.
        """
        groups = tuple(ACTIVITY)
        given: list[tuple[str, str, Any]] = [
            ("list_contains($connections, connection_group)", "connections", self.connections),
            ("list_contains($sources, source)", "sources", self.sources),
            ("list_contains($providers, provider_group)", "providers", self.providers),
            ("cohort >= $joined_from", "joined_from", _month(self.joined_from)),
            ("cohort <= $joined_to", "joined_to", _month(self.joined_to)),
            (
                "list_contains($activity, activity_group)",
                "activity",
                [groups.index(name) for name in self.activity],
            ),
            ("list_contains($sights, sight)", "sights", _sights(self.seen, overrides)),
            ("contains(searched, lower($text))", "text", self.text.strip()),
        ]
        asked = [(sql, name, value) for sql, name, value in given if value]
        values = {
            name: list(value) if isinstance(value, tuple) else value for _, name, value in asked
        }
        return " AND ".join(sql for sql, _, _ in asked) or "true", values


def derived(as_of: datetime) -> str:
    """Return SQL for the columns that a selection looks at, beside those of a snapshot.

    The columns are `connection_group`,
    `provider_group`, `cohort` (200412 is December 2004, or null), `activity_group` (the
    place in `ACTIVITY`), `sight` (what `seen` decides by) and `searched` (lower case).

    Args:
        as_of: the moment that activity is counted back from, and at which signed URLs
            have expired or not.
    """
    place = activity(lambda days: _sql(as_of - timedelta(days=days)))
    return f"""
        coalesce(nullif(connection, ''), '{NONE}') AS connection_group,
        coalesce(nullif(provider, ''), '{NONE}') AS provider_group,
        {COHORT} AS cohort,
        CAST(coalesce({place}, {len(ACTIVITY) - 1}) AS TINYINT) AS activity_group,
        concat(
            source, '/', coalesce(underlying, ''),
            CASE WHEN expires_at < {_sql(as_of)} THEN '/expired' ELSE '/' END
        ) AS sight,
        lower(concat_ws(chr(31), user_id, email, name, connection)) AS searched
    """


def sights(overrides: bool | None) -> dict[str, tuple[Source, Seen]]:
    """Return the source and what people see for each value that the column `sight` can have."""
    return {
        f"{source}/{below or ''}/{'expired' if expired else ''}": (
            source,
            seen(source, below, expired=expired, overrides=overrides),
        )
        for source in Source
        for below in (None, *Source)
        for expired in (False, True)
    }


def _sights(wanted: tuple[str, ...], overrides: bool | None) -> list[str]:
    return [sight for sight, (_, shown) in sights(overrides).items() if shown in wanted]


def _month(text: str | None) -> int | None:
    return int(text.replace("-", "")) if text else None


def _sql(moment: datetime) -> str:
    return f"TIMESTAMPTZ '{moment.isoformat()}'"
