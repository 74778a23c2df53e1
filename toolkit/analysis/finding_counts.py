"""Findings: what is wrong with the pictures, for how many users and which, and what to do.

DuckDB counts all rows of `toolkit.analysis.finding_checks` in one pass over a frame or a file. No
request is sent.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa

from toolkit.analysis.duckdb_engine import engine_with
from toolkit.analysis.finding_checks import CHECKS, SEVERITIES, SOON, Severity, wired
from toolkit.analysis.shown_picture import show
from toolkit.analysis.tenant_wiring import Wiring
from toolkit.classification.schema import SNAPSHOT, held, to_frame
from toolkit.errors import SettingsError, UnreadableInputError
from toolkit.formatting import mask, percent, render, visible

_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know or to repair.

    Attributes:
        id: a word that scripts can rely on.
        severity: one of `SEVERITIES`.
        users: how many users it concerns; `share` is their share of all, 0 to 1.
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
        """Return one row for each finding; its columns are the fields of `Finding`.

        Examples are separated by blanks; `masked` hides the middle of them.
        """
        names = [one.name for one in fields(Finding)]
        rows = pd.DataFrame(self.as_dict(masked=masked)["findings"], columns=names)
        rows["examples"] = rows["examples"].map(" ".join)
        return rows.astype(dict.fromkeys(names, "str") | {"users": "int64", "share": "float64"})

    def as_dict(self, *, masked: bool = True) -> dict[str, Any]:
        """Return plain values for JSON: `users`, `notes` and `findings`, one object each."""
        rows = [
            asdict(one) | {"examples": [mask(name) if masked else name for name in one.examples]}
            for one in self.found
        ]
        return {"users": self.users, "notes": list(self.notes), "findings": rows}

    def __repr__(self) -> str:
        lines = [f"What is worth knowing about the pictures of {self.users:,} users"]
        lines += [
            f"{one.severity:<6}  {one.users:>9,}  {percent(one.share, 1):>7}  {one.title}"
            for one in self.found
        ]
        return "\n".join(map(visible, [*lines, *([] if self.found else ["nothing"]), *self.notes]))

    def _repr_html_(self) -> str:
        return render(
            "analysis/findings.html.j2", found=self.found, users=self.users, notes=self.notes
        )


def findings(
    users: pd.DataFrame | Path | str,
    *,
    as_of: datetime,
    wiring: Wiring | None = None,
    absent: Collection[str] = (),
) -> Findings:
    """Find what is wrong with the pictures, for how many users, and what to do.

    Args:
        users: one row per user with the columns of a snapshot, or a snapshot file.
        as_of: the time that decides whether signed URLs have expired (UTC).
        wiring: what sets the picture that applications see; None if it was not read.
        absent: columns that the users were exported without.

    Returns:
        The most severe findings first, then the most users. A user can be in several.

    Raises:
        UnreadableInputError: a column is missing, or the file is damaged.
    """
    checks = [*CHECKS, *wired(wiring)]
    # Each condition is computed once, below what is counted.
    conditions = ", ".join(f"{one.condition} AS c{place}" for place, one in enumerate(checks))
    columns = ", ".join(
        f"count(*) FILTER (c{place}), min(user_id, {_EXAMPLES}) FILTER (c{place})"
        for place in range(len(checks))
    )
    with _shown(users, as_of, wiring) as opened:
        # DuckDB 2 would look for half a second where to push so many counts to, and gain nothing
        # (tried with 1 and with a million users). Earlier versions do not know this.
        with suppress(duckdb.ParserException):
            opened.execute("SET disabled_optimizers = 'partial_aggregate_pushdown'")
        ((total, *counted),) = opened.execute(
            f"SELECT count(*), {columns} FROM (SELECT user_id, {conditions} FROM shown)",  # noqa: S608 - conditions of this package; values are bound
            _times(as_of),
        ).fetchall()
    found = [
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
        for check, number, examples in zip(checks, counted[::2], counted[1::2], strict=True)
        if number
    ]
    found.sort(key=lambda one: (SEVERITIES.index(one.severity), -one.users))
    return Findings(tuple(found), total, tuple(_unknown(wiring, absent)))


def users_of(
    users: pd.DataFrame | Path | str, finding: str, *, as_of: datetime, wiring: Wiring | None = None
) -> pd.DataFrame:
    """Return the users whom a finding concerns.

    Args:
        users: as for `findings`.
        finding: the `id` of a finding.
        as_of: as for `findings`.
        wiring: as for `findings`.

    Returns:
        Their rows, in the order of the users, with the columns of a snapshot and `seen`: what they
        see, a value of `toolkit.analysis.groups.Seen`.

    Raises:
        SettingsError: no finding has that id, or only for tenants with other Actions and Rules.
        UnreadableInputError: a column is missing, or the file is damaged.
    """
    checks = {one.id: one for one in (*CHECKS, *wired(wiring))}
    if finding not in checks:
        raise SettingsError(f"No finding is called {finding}. There are {', '.join(checks)}.")
    with _shown(users, as_of, wiring) as opened:
        condition = checks[finding].condition
        given = {name: time for name, time in _times(as_of).items() if f"${name}" in condition}
        found = opened.sql(
            f"SELECT {', '.join(SNAPSHOT.names)}, sight AS seen FROM shown WHERE {condition}",  # noqa: S608 - same
            params=given,
        ).to_arrow_table()
    return to_frame(found.cast(SNAPSHOT.append(pa.field("seen", pa.string()))))


@contextmanager
def _shown(
    users: pd.DataFrame | Path | str, as_of: datetime, wiring: Wiring | None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database with the view `shown`; raise UnreadableInputError if columns are missing."""
    names = users.columns if isinstance(users, pd.DataFrame) else SNAPSHOT.names
    if missing := [name for name in held(names) if name not in names]:
        raise UnreadableInputError(
            f"The frame lacks columns that toolkit.audit makes: {', '.join(missing)}."
        )
    with engine_with(users) as opened:
        show(opened, "shown", as_of=as_of.astimezone(UTC), wiring=wiring)
        yield opened


def _times(as_of: datetime) -> dict[str, datetime]:
    now = as_of.astimezone(UTC)
    return {"as_of": now, "soon": now + timedelta(days=SOON)}


_UNCHECKED = {
    "email": ("email", "whether a Gravatar is that of the present e-mail address is not known"),
    "metadata_picture": ("user_metadata.picture", "overrides were not checked"),
    "elsewhere": ("linked identities and other pictures", "photos that nobody shows are not known"),
}


def _unknown(wiring: Wiring | None, absent: Collection[str]) -> Iterator[str]:
    for column, (name, so) in _UNCHECKED.items():
        if column in absent:
            yield f"The users were exported without {name}: {so}."
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
