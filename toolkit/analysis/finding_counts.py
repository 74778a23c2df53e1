"""Findings: what is wrong with the pictures, for how many users, and what to do.

The conditions are a table in `toolkit.analysis.checks`. DuckDB counts all of them in one pass over
a DataFrame or a snapshot file of any size. No request is sent: only the profiles are used.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from glob import escape
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from toolkit.analysis.checks import CHECKS, SEVERITIES, SHARED, Check, Severity, bound, wired
from toolkit.analysis.duckdb_engine import engine, one_line_for_damage
from toolkit.analysis.tenant_wiring import Wiring
from toolkit.classification.schema import SNAPSHOT
from toolkit.errors import UnreadableInputError
from toolkit.formatting import mask, percent, render, visible

_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know or to repair.

    Attributes:
        id: a word that scripts can rely on.
        severity: one of `toolkit.analysis.checks.SEVERITIES`.
        title: a short name.
        users: how many users it concerns.
        share: their share of all users, 0 to 1.
        meaning: what it means for them.
        advice: what to do.
        examples: up to three of their user_ids, in order.
    """

    id: str
    severity: Severity
    title: str
    users: int
    share: float
    meaning: str
    advice: str
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Findings:
    """All findings, the most severe first; notebooks show it as a table.

    Attributes:
        found: the findings with at least one user.
        users: how many users were checked.
        notes: what could not be checked.
    """

    found: tuple[Finding, ...]
    users: int
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.found)

    def __len__(self) -> int:
        return len(self.found)

    def table(self, *, masked: bool = True) -> pd.DataFrame:
        """Return one row for each finding.

        Args:
            masked: hide the middle of user_ids in `examples`.

        Returns:
            Columns `id`, `severity`, `title`, `users` (int64), `share` (0 to 1),
            `meaning`, `advice` and `examples` (user_ids, separated by blanks).
        """
        rows = [
            (
                one.id,
                one.severity,
                one.title,
                one.users,
                one.share,
                one.meaning,
                one.advice,
                " ".join(map(mask, one.examples) if masked else one.examples),
            )
            for one in self.found
        ]
        names = ["id", "severity", "title", "users", "share", "meaning", "advice", "examples"]
        types = dict.fromkeys(names, "str") | {"users": "int64", "share": "float64"}
        return pd.DataFrame(rows, columns=names).astype(types)

    def as_dict(self, *, masked: bool = True) -> dict[str, Any]:
        """Return plain values for JSON: `users`, `notes` and `findings`, one object each."""
        rows = self.table(masked=masked).drop(columns="examples").to_dict("records")
        for row, one in zip(rows, self.found, strict=True):
            row["examples"] = [mask(name) if masked else name for name in one.examples]
        return {"users": self.users, "notes": list(self.notes), "findings": rows}

    def __repr__(self) -> str:
        """Draw the findings as text, one line each."""
        lines = [f"What is worth knowing about the pictures of {self.users:,} users"]
        lines += [
            f"{one.severity:<6}  {one.users:>9,}  {percent(one.share, 1):>7}  {one.title}"
            for one in self.found
        ]
        lines += [] if self.found else ["nothing"]
        return "\n".join(map(visible, [*lines, *self.notes]))

    def _repr_html_(self) -> str:
        """Draw the findings as HTML for a notebook; what people typed stays text."""
        return render(
            "analysis/findings.html.j2", found=self.found, users=self.users, notes=self.notes
        )


def findings(
    users: pd.DataFrame | Path | str,
    *,
    as_of: datetime,
    wiring: Wiring | None = None,
) -> Findings:
    """Find what is wrong with the pictures, for how many users, and what to do.

    Args:
        users: one row per user with the columns of a snapshot, or a snapshot file.
        as_of: the time that decides whether signed URLs have expired (UTC).
        wiring: what sets the picture that applications see; None if it was not read.

    Returns:
        The findings with at least one user, the most severe first, then the most users. A user can
        be in several findings.

    Raises:
        UnreadableInputError: a column is missing, or the file is damaged.
    """
    overrides = wiring.override if wiring else None
    checks = [*CHECKS, *wired(wiring)]
    values = bound(as_of, overrides)
    with engine() as opened:
        if isinstance(users, Path | str):
            with one_line_for_damage(users):
                opened.from_parquet(escape(str(users))).create_view("users")
                total, *counted = _counted(opened, checks, values)
        else:
            _ensure_columns(users)
            opened.register("users", users)
            total, *counted = _counted(opened, checks, values)
    found = []
    for check, number, examples in zip(checks, counted[::2], counted[1::2], strict=True):
        if number:
            found.append(
                Finding(
                    check.id,
                    check.severity,
                    check.title,
                    number,
                    number / total,
                    check.meaning,
                    check.advice,
                    tuple(examples or ()),
                )
            )
    found.sort(key=lambda one: (SEVERITIES.index(one.severity), -one.users))
    return Findings(tuple(found), total, tuple(_unknown(wiring)))


def _ensure_columns(users: pd.DataFrame) -> None:
    missing = [name for name in SNAPSHOT.names if name not in users.columns]
    if missing:
        raise UnreadableInputError(
            f"The frame lacks columns that toolkit.audit makes: {', '.join(missing)}."
        )


def _counted(
    opened: duckdb.DuckDBPyConnection, checks: list[Check], values: dict[str, Any]
) -> tuple[Any, ...]:
    columns = ", ".join(
        f"count(*) FILTER ({check.condition}), min(user_id, {_EXAMPLES}) FILTER ({check.condition})"
        for check in checks
    )
    row: tuple[Any, ...]
    (row,) = opened.execute(
        f"WITH {SHARED} SELECT count(*), {columns} FROM users",  # noqa: S608 - the table's own conditions; values are bound
        values,
    ).fetchall()
    return row


def _unknown(wiring: Wiring | None) -> Iterator[str]:
    if wiring is None:
        yield (
            "Nobody has read the tenant's Actions: whether user_metadata.picture reaches anybody "
            "is unknown. Collect with read:actions and read:rules."
        )
    elif wiring.override is None:
        yield (
            "Whether user_metadata.picture reaches anybody is not clear from the tenant's Actions "
            "and Rules, as far as they were read."
        )
