"""How many users each source of pictures has, and how many see a picture of their own.

The coverage of a whole snapshot is exactly the sum of the coverages of its chunks, so pages, export
files and partitions can be counted apart and added with `+`.
"""

import glob
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, cast

import pandas as pd

from toolkit.analysis.duckdb_engine import engine, one_line_for_damage
from toolkit.analysis.estimate import Estimate, Interval, Stratum
from toolkit.analysis.groups import (
    ACTIVITY,
    COHORT,
    DAYS,
    UNKNOWN,
    Seen,
    activity,
    ensure_choice,
    named,
    seen,
)
from toolkit.classification.sources import Source
from toolkit.errors import SettingsError, UnreadableInputError
from toolkit.formatting import html_table, percent, shorten, visible

_ORDER = {name.value: place for names in (Source, Seen) for place, name in enumerate(names)}
_KEYS = ["group", "source", "seen"]

# SQL for the key of each kind of group; `_name` turns keys into names.
_GROUPS = {
    "source": "source",
    "connection": "connection",
    "provider": "provider",
    "cohort": COHORT,
    "activity": activity("$day_{}".format),
}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Coverage:
    """Users counted by group, source and what people see; a value that can be added.

    `counts` is always summed and sorted, so that equal coverages are equal DataFrames.

    Attributes:
        by: the kind of groups, one of `toolkit.analysis.groups.CHOICES`.
        counts: columns `group` (str; the source itself where `by` is "source"),
            `source` (str), `seen` (str, of `toolkit.analysis.groups.Seen`; where the column is
            missing, what the source alone says) and `users` (int64); one row for each
            triple that occurs, sorted by group, then in the order of `Source` and `Seen`.
        estimate: the result of a sample of the unresolved users, or None.

    Raises:
        SettingsError: `by` is not one of them.
        UnreadableInputError: a source is none of `Source`.
    """

    by: str
    counts: pd.DataFrame
    estimate: Estimate | None = None

    def __post_init__(self) -> None:
        ensure_choice(self.by)
        unknown = sorted(set(self.counts["source"]) - {*Source}, key=str)
        if unknown:
            raise UnreadableInputError(
                f"{visible(str(unknown[0]))!r} is not a source of pictures; "
                "classify the snapshot again with this version"
            )
        rows = self.counts
        if "seen" not in rows.columns:
            alone = {s: seen(Source(s), None, expired=False, overrides=None) for s in {*Source}}
            rows = rows.assign(seen=[str(alone[Source(name)]) for name in rows["source"]])
        rows = rows.astype(dict.fromkeys(_KEYS, "str") | {"users": "int64"})
        rows = rows.groupby(_KEYS)["users"].sum().reset_index()
        rows = rows[rows["users"] > 0]
        rows = rows.sort_values(_KEYS, key=_place, ignore_index=True)
        object.__setattr__(self, "counts", rows)

    @classmethod
    def empty(cls, by: str = "source") -> Self:
        """Return the coverage of no users, the zero of addition."""
        return cls(by, pd.DataFrame({"group": [], "source": [], "users": []}))

    @property
    def whole(self) -> "Coverage":
        """The same users, by source."""
        counts = self.counts.assign(group=self.counts["source"])
        return self if self.by == "source" else Coverage("source", counts, self.estimate)

    @property
    def users(self) -> int:
        """How many users were counted."""
        return int(self.counts["users"].sum())

    @property
    def sources(self) -> dict[Source, int]:
        """Users of each source that occurs, in all groups, in the order of `Source`."""
        sums = self.counts.groupby("source")["users"].sum().to_dict()
        return {source: int(sums[source]) for source in Source if source in sums}

    @property
    def seen(self) -> dict[Seen, int]:
        """Users by what people see, in the order of `Seen`; kinds without users are left out."""
        sums = self.counts.groupby("seen")["users"].sum().to_dict()
        return {name: int(sums[name]) for name in Seen if name in sums}

    @property
    def broken(self) -> dict[Source, int]:
        """Users by source whose picture is a broken image; sources without any are left out."""
        rows = self.counts[self.counts["seen"] == Seen.BROKEN]
        sums = rows.groupby("source")["users"].sum().to_dict()
        return {source: int(sums[source]) for source in Source if source in sums}

    @property
    def own(self) -> Interval:
        """How many users see a picture of their own.

        `low` counts users who certainly do, `high` also all unknown users. With a sample, its 95 %
        interval is used for the unresolved users.
        """
        unresolved = self.sources.get(Source.UNRESOLVED, 0)
        return _own(self.seen, unresolved, self.estimate)

    @property
    def estimated(self) -> dict[Source, Interval]:
        """The sources as the sample estimates them; empty without an estimate.

        The sample divides the unresolved users: `gravatar` gets those whose Gravatar exists,
        `initials` and `placeholder` the others.
        """
        unresolved = self.sources.get(Source.UNRESOLVED, 0)
        if self.estimate is None or not unresolved or self.estimate.users != unresolved:
            return {}
        shares: dict[Source, Interval] = {Source.GRAVATAR: self.estimate.gravatars}
        for source in (Source.INITIALS, Source.PLACEHOLDER):
            part = self.estimate.where(lambda one, source=source: one.otherwise is source)  # type: ignore[misc] # bound at once
            if part.users:
                found = part.gravatars
                rest = (part.users - n for n in (found.high, found.low, found.middle))
                shares[source] = Interval(*rest)
        return {source: part + self.sources.get(source, 0) for source, part in shares.items()}

    def table(self) -> pd.DataFrame:
        """Return the counts as a table.

        Returns:
            Where `by` is "source": columns `source`, `users`, `share` (0 to 1), the
            largest first; where a sample was asked for, the unresolved are shared out by
            its best guess, and `low` and `high` are the ends of the 95 % interval in users.
            Otherwise one row for each group: `group`, `users`, `share`, `own_low` and
            `own_high` (the share of the group, 0 to 1, that sees a picture of their own:
            from those known to, up to those of whom nobody knows; or the 95 % interval
            of a sample), and a column of users for each source that occurs; the largest
            first, but cohorts by date and activity from recent to never.
        """
        total = max(self.users, 1)
        if self.by == "source":
            return self._by_source(total)
        wide = self.counts.pivot_table(
            index="group", columns="source", values="users", aggfunc="sum", fill_value=0
        )
        wide = wide.reindex(columns=[source.value for source in self.sources]).astype("int64")
        wide.columns.name = None
        users = wide.sum(axis="columns").astype("int64")
        own = self._own_by_group()
        wide.insert(0, "users", users)
        wide.insert(1, "share", users / total)
        wide.insert(2, "own_low", pd.Series({name: one.low for name, one in own.items()}) / users)
        wide.insert(3, "own_high", pd.Series({name: one.high for name, one in own.items()}) / users)
        rows = wide.reset_index().astype({"group": "str"})
        if self.by in {"cohort", "activity"}:
            return rows.sort_values("group", key=_in_time, ignore_index=True)
        return rows.sort_values("users", ascending=False, kind="stable", ignore_index=True)

    def _by_source(self, total: int) -> pd.DataFrame:
        known: dict[Source, float] = dict(self.sources)
        if self.estimated:
            del known[Source.UNRESOLVED]
            known |= {source: round(part.middle) for source, part in self.estimated.items()}
        rows = pd.DataFrame(known.items(), columns=["source", "users"])
        rows = rows.astype({"source": "str", "users": "int64"})
        rows["share"] = rows["users"] / total
        if self.estimated:
            exact = {s: Interval(n, n, n) for s, n in self.sources.items()} | self.estimated
            rows["low"] = [exact[Source(name)].low for name in rows["source"]]
            rows["high"] = [exact[Source(name)].high for name in rows["source"]]
        return rows.sort_values("users", ascending=False, kind="stable", ignore_index=True)

    def _own_by_group(self) -> dict[str, Interval]:
        """How many users of each group see a picture of their own."""
        known: dict[str, dict[Seen, int]] = {}
        unresolved: dict[str, int] = {}
        for group, source, seen_, users in self.counts.itertuples(index=False, name=None):
            mine = known.setdefault(group, {})
            mine[Seen(seen_)] = mine.get(Seen(seen_), 0) + users
            unresolved[group] = unresolved.get(group, 0) + users * (source == Source.UNRESOLVED)
        parts: dict[str, list[Stratum]] = {}
        if self.estimate is not None and self.by == "connection":
            for stratum in self.estimate.strata:
                parts.setdefault(_name(self.by, stratum.connection), []).append(stratum)
        return {
            group: _own(mine, unresolved[group], Estimate(tuple(parts.get(group, ()))))
            for group, mine in known.items()
        }

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """Return the table as plain values for JSON.

        Returns:
            `{SOURCE: {"users", "share"}}`, or for groups
            `{GROUP: {"users", "share", "own": {"low", "high"}, "sources": {SOURCE:
            {"users", "share"}}}}` with shares of the group. Sources without users are left
            out; a sample does not change what was counted.
        """
        if self.by == "source":
            return _shares(self.sources, self.users)
        groups = {}
        for row in self.table().to_dict("records"):
            mine = {s.value: int(row[s.value]) for s in self.sources if row[s.value]}
            groups[str(row["group"])] = {
                "users": int(row["users"]),
                "share": float(row["share"]),
                "own": {"low": float(row["own_low"]), "high": float(row["own_high"])},
                "sources": _shares(mine, int(row["users"])),
            }
        return groups

    def __add__(self, other: object) -> "Coverage":
        return combine(self, other) if isinstance(other, Coverage) else NotImplemented

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Coverage):
            return NotImplemented
        mine, theirs = (self.by, self.estimate), (other.by, other.estimate)
        return mine == theirs and self.counts.equals(other.counts)

    def __hash__(self) -> int:
        return hash((self.by, *self.counts.itertuples(index=False, name=None)))

    def __repr__(self) -> str:
        """Draw the table as text; long names are cut, and control characters are shown as text."""
        return f"{self._caption()}\n{self._words().to_string(index=False)}"

    def _repr_html_(self) -> str:
        """Draw the table as HTML for a notebook, with all values escaped."""
        return html_table(self._words(), self._caption())

    def _caption(self) -> str:
        return f"Where the pictures of {self.users:,} users come from, by {self.by}"

    def _words(self) -> pd.DataFrame:
        """Return the table with every value as text."""
        rows = self.table().astype("object")
        for name in rows.columns:
            if name in {"group", "source"}:
                rows[name] = [shorten(str(value), 60) for value in rows[name]]
            elif name in {"share", "own_low", "own_high"}:
                rows[name] = [percent(value, 1) for value in rows[name]]
            else:
                rows[name] = [f"{value:,.0f}" for value in rows[name]]
        return rows


def coverage(
    users: pd.DataFrame | Path | str,
    by: str = "source",
    *,
    as_of: datetime | pd.Timestamp | None = None,
    overrides: bool | None = None,
) -> Coverage:
    """Count the users of each source, by group.

    Args:
        users: a snapshot file, which may be larger than memory; or a frame, one row per
            user, with the snapshot's columns. Of a frame it needs
            `source` and the one that `by` looks at (`created_at` for "cohort",
            `last_login` for "activity"), and looks at `underlying` and `expires_at`
            where they are there, to say what people see. The dtypes do not matter.
        by: "source", "connection", "provider", "cohort" (the month of creation,
            "2024-03") or "activity" (the time since the last login, see
            `toolkit.analysis.groups.ACTIVITY`).
        as_of: the moment that activity is counted back from, and at which signed URLs
            have expired or not; UTC where it names no zone. A later login counts as
            recent. Without it no URL counts as expired.
        overrides: whether the tenant shows `user_metadata.picture`; None if not known.

    Returns:
        The counts; users without a group are under `NONE`, `UNKNOWN` (of
        `toolkit.analysis.groups`) or "never".

    Raises:
        SettingsError: `by` is none of these, or is activity without `as_of`.
        UnreadableInputError: a column is missing, a source is none of `Source`, or the file
            cannot be read.
    """
    ensure_choice(by)
    now = None if as_of is None or pd.isna(as_of) else _utc(as_of)
    if by == "activity" and now is None:
        raise SettingsError("activity needs a date to count back from: pass as_of")
    if isinstance(users, Path | str):
        sizes = _stored_sizes(users, by, now)
    else:
        sizes = _sizes(users, by, now)
    rows = [
        (_name(by, key), _text(named), _shown(named, below, bool(late), overrides), number)
        for key, named, below, late, number in sizes
    ]
    return Coverage(by, pd.DataFrame(rows, columns=[*_KEYS, "users"]))


def _sizes(frame: pd.DataFrame, by: str, now: pd.Timestamp | None) -> Iterable[tuple[Any, ...]]:
    """Count users with the same values: key of the group, source, underlying, expired, users."""
    source = _column(frame, "source")
    if by == "cohort":
        created = _moments(_column(frame, "created_at"))
        group = created.dt.year * 100 + created.dt.month
    elif by == "activity":
        login = _moments(_column(frame, "last_login"))
        past = pd.concat([login < _before(now, days) for days in DAYS], axis=1)
        group = past.sum(axis=1).where(login.notna())
    else:
        group = _column(frame, by)
    nobody = pd.Series(None, index=frame.index, dtype="str")
    underlying = _column(frame, "underlying") if "underlying" in frame.columns else nobody
    expired = pd.Series(False, index=frame.index)
    if now is not None and "expires_at" in frame.columns:
        expired = _moments(frame["expires_at"]) < now
    # Count first and name afterwards: then only a few keys, and not a million values, depend on the
    # dtype of the column (str, object, Arrow, categorical).
    keys = pd.DataFrame(
        {"group": group, "source": source, "underlying": underlying, "expired": expired}
    )
    sizes = keys.groupby([*keys], dropna=False, observed=True, sort=False).size()
    counts = cast("dict[tuple[Any, ...], int]", sizes.to_dict())
    return [(*key, number) for key, number in counts.items()]


def _stored_sizes(path: Path | str, by: str, now: pd.Timestamp | None) -> Iterable[tuple[Any, ...]]:
    """Do the same with a file, without holding its users in memory."""
    moments = {} if now is None else {"now": now.to_pydatetime()}
    if by == "activity":
        moments = moments | {f"day_{days}": _before(now, days).to_pydatetime() for days in DAYS}
    query = f"""
        SELECT {_GROUPS[by]} AS key, source, underlying,
            {"coalesce(expires_at < $now, false)" if now else "false"} AS expired, count(*)
        FROM read_parquet($path) GROUP BY ALL"""  # noqa: S608 - expressions of this module
    with engine() as opened, one_line_for_damage(path):
        return opened.execute(query, {"path": glob.escape(str(path)), **moments}).fetchall()


def combine(first: Coverage, second: Coverage) -> Coverage:
    """Add two coverages of different users; the order and the grouping do not matter.

    An estimate is for all users together: at most one of the two may have one.

    Args:
        first: of some users.
        second: of other users, by the same groups.

    Returns:
        The coverage of all of them.

    Raises:
        SettingsError: they have different kinds of groups.
    """
    if first.by != second.by:
        raise SettingsError(
            f"coverage by {first.by} and coverage by {second.by} do not add up; "
            "count both by the same"
        )
    counts = pd.concat([first.counts, second.counts], ignore_index=True)
    return Coverage(first.by, counts, first.estimate or second.estimate)


def _column(frame: pd.DataFrame, name: str) -> "pd.Series[Any]":
    if name not in frame.columns:
        raise UnreadableInputError(
            f"the snapshot has no column {name!r}; collect or classify it again"
        )
    values = frame[name]
    if values.dtype == "object" and name not in {"created_at", "last_login"}:
        # pandas keeps text as UTF-8, which a lone surrogate does not have.
        return values.map(_text, na_action="ignore")
    return values


def _before(now: pd.Timestamp | None, days: int) -> pd.Timestamp:
    return cast("pd.Timestamp", now) - pd.Timedelta(days=days)


def _utc(moment: datetime | pd.Timestamp) -> pd.Timestamp:
    stamp = pd.Timestamp(moment)
    return stamp.tz_localize(UTC) if stamp.tzinfo is None else stamp.tz_convert(UTC)


def _shown(source: Any, underlying: Any, expired: bool, overrides: bool | None) -> str:  # noqa: ANN401 - whatever the columns hold
    try:
        below = None if pd.isna(underlying) else Source(underlying)
        return seen(Source(source), below, expired=expired, overrides=overrides).value
    except ValueError:
        return Seen.UNKNOWN.value  # Coverage raises the error


def _own(seen_: Mapping[Seen, int], unresolved: int, estimate: Estimate | None) -> Interval:
    """Return how many see a picture of their own, from counts and a sample."""
    known, unknown = seen_.get(Seen.OWN, 0), seen_.get(Seen.UNKNOWN, 0)
    if estimate is None or not unresolved or estimate.users != unresolved:
        return Interval(known, known + unknown, known + unknown / 2)
    found, others = estimate.gravatars, unknown - unresolved
    return Interval(
        known + found.low, known + found.high + others, known + found.middle + others / 2
    )


def _moments(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return UTC timestamps, with NaT for other values."""
    return pd.to_datetime(values, utc=True, errors="coerce", format="ISO8601")


def _text(value: object) -> str:
    return str(value).encode("utf-8", "backslashreplace").decode("utf-8")


def _name(by: str, key: Any) -> str:  # noqa: ANN401 - whatever the column holds
    """Name a group by its key, of any type."""
    if pd.isna(key) or key == "":
        return named(by, None)
    return named(by, int(key) if by in {"cohort", "activity"} else _text(key))


def _place(names: "pd.Series[Any]") -> "pd.Series[Any]":
    return names if names.name == "group" else names.map(_ORDER)


def _in_time(names: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return sort keys: activity from recent to never, cohorts by date with unknown last."""
    buckets = {name: str(place) for place, name in enumerate(ACTIVITY)}
    return names.map(lambda name: buckets.get(name, name.replace(UNKNOWN, "~")))


def _shares(users: Mapping[Any, int], total: int) -> dict[str, dict[str, Any]]:
    """Return users and share by source, the largest first."""
    largest = sorted(users.items(), key=lambda pair: -pair[1])
    return {str(name): {"users": n, "share": n / total} for name, n in largest}
