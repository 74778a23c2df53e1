"""How many users each source of pictures has, and how many see a picture of their own.

The coverages of a snapshot's chunks add up to its own: pages, files and partitions can be counted
apart.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Self, TypeVar

import pandas as pd
import pyarrow as pa

from toolkit.analysis.duckdb_engine import engine_with
from toolkit.analysis.estimate import Estimate, Interval, OwnEstimate, OwnStratum, Stratum
from toolkit.analysis.groups import (
    ACTIVITY,
    UNKNOWN,
    Seen,
    ensure_choice,
    key_of,
    lacking,
    named,
)
from toolkit.analysis.shown_picture import NEEDED, show
from toolkit.analysis.tenant_wiring import Wiring
from toolkit.classification.schema import SNAPSHOT
from toolkit.classification.sources import Source
from toolkit.errors import SettingsError, UnreadableInputError
from toolkit.formatting import html_table, percent, shorten, visible

_Name = TypeVar("_Name", bound=StrEnum)
_Part = TypeVar("_Part", Stratum, OwnStratum)

_ORDER = {
    column: {name.value: place for place, name in enumerate(names)}
    for column, names in (("source", Source), ("seen", Seen))
}
_KEYS = ["group", "source", "seen"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Coverage:
    """Users counted by group, source and what people see; a value that can be added.

    `counts` is always summed and sorted, so that equal coverages are equal DataFrames.

    Attributes:
        by: the kind of groups, one of `toolkit.analysis.groups.CHOICES`.
        counts: columns `group` (str; the source itself where `by` is "source"), `source` (str),
            `seen` (str, of `toolkit.analysis.groups.Seen`) and `users` (int64); one row for each
            triple that occurs, sorted by group, then in the order of `Source` and `Seen`.
        estimate: the result of a sample of the unresolved users, or None.
        looked: the result of a sample of all pictures that may be people's own, or None.
        note: a sentence if the groups are not known, of `toolkit.analysis.groups.lacking`.
        made_up: whether these are the people of the embedded tenant; charts say so.

    Raises:
        SettingsError: `by` is not one of them.
        UnreadableInputError: a source is none of `Source`.
    """

    by: str
    counts: pd.DataFrame
    estimate: Estimate | None = None
    looked: OwnEstimate | None = None
    note: str = ""
    made_up: bool = False

    def __post_init__(self) -> None:
        ensure_choice(self.by)
        unknown = sorted(set(self.counts["source"]) - {*Source}, key=str)
        if unknown:
            raise UnreadableInputError(
                f"{visible(str(unknown[0]))!r} is not a source of pictures; "
                "classify the snapshot again with this version"
            )
        rows = self.counts.astype(dict.fromkeys(_KEYS, "str") | {"users": "int64"})
        rows = rows.groupby(_KEYS)["users"].sum().reset_index()
        rows = rows[rows["users"] > 0]
        rows = rows.sort_values(_KEYS, key=_place, ignore_index=True)
        object.__setattr__(self, "counts", rows)

    @classmethod
    def empty(cls, by: str = "source") -> Self:
        """Return the coverage of no users, the zero of addition."""
        return cls(by, pd.DataFrame(columns=[*_KEYS, "users"]))

    @property
    def whole(self) -> "Coverage":
        """The same users, by source."""
        if self.by == "source":
            return self
        counts = self.counts.assign(group=self.counts["source"])
        return replace(self, by="source", counts=counts, note="")

    @property
    def users(self) -> int:
        """How many users were counted."""
        return int(self.counts["users"].sum())

    @property
    def sources(self) -> dict[Source, int]:
        """Users of each source that occurs, in all groups, in the order of `Source`."""
        return _sums(self.counts, "source", Source)

    @property
    def seen(self) -> dict[Seen, int]:
        """Users by what people see, in the order of `Seen`; kinds without users are left out."""
        return _sums(self.counts, "seen", Seen)

    @property
    def broken(self) -> dict[Source, int]:
        """Users by source whose picture is a broken image; sources without any are left out."""
        return _sums(self.counts[self.counts["seen"] == Seen.BROKEN], "source", Source)

    @property
    def own(self) -> Interval:
        """How many users see a picture of their own.

        `low` counts users who certainly do, `high` also those who perhaps do (nobody has looked)
        and all unknown users. With a sample, its 95 % interval is used: of the unresolved users,
        or of everybody, if pictures were looked at.
        """
        if self.looked is not None:
            return self.looked.own
        return _own(self.seen, self.sources.get(Source.UNRESOLVED, 0), self.estimate)

    @property
    def on_word(self) -> int:
        """How many of them perhaps do: nobody has looked at their pictures.

        Nobody, if a sample of these pictures was looked at.
        """
        return 0 if self.looked else self.seen.get(Seen.ON_WORD, 0)

    @property
    def estimated(self) -> dict[Source, Interval]:
        """The sources as the sample estimates them; empty without an estimate.

        The sample divides the unresolved users: `gravatar` gets those whose Gravatar exists,
        `initials` and `placeholder` the others.
        """
        estimate = _fitting(self.estimate, self.sources.get(Source.UNRESOLVED, 0))
        if estimate is None:
            return {}
        shares = {Source.GRAVATAR: estimate.gravatars}
        if left := self.sources[Source.UNRESOLVED] - estimate.users:
            shares[Source.UNRESOLVED] = Interval(left, left, left)
        for source in (Source.INITIALS, Source.PLACEHOLDER):
            part = estimate.where(lambda one, source=source: one.otherwise is source)  # type: ignore[misc] # bound at once
            if part.users:
                found = part.gravatars
                rest = (part.users - n for n in (found.high, found.low, found.middle))
                shares[source] = Interval(*rest)
        return {
            source: part + (0 if source is Source.UNRESOLVED else self.sources.get(source, 0))
            for source, part in shares.items()
        }

    def table(self) -> pd.DataFrame:
        """Return the counts as a table.

        Returns:
            By source: columns `source`, `users`, `share` (0 to 1), the largest first. A sample
            divides the unresolved by its best estimate; `low` and `high` are the ends of its 95 %
            interval in users.
            Otherwise by group: `group`, `users`, `share`, `own_low` and `own_high` (the ends of
            `own`, as shares of the group), `own_on_word` (the share who perhaps do: nobody has
            looked), and users of each source that occurs; the largest first, but cohorts by date
            and activity from recent to never.
        """
        total = max(self.users, 1)
        if self.by == "source":
            return self._by_source(total)
        wide = self._wide("source").reindex(columns=[source.value for source in self.sources])
        users = wide.sum(axis="columns").astype("int64")
        own = self._own_by_group()
        head = pd.DataFrame({"users": users, "share": users / total})
        head["own_low"] = pd.Series({name: one.low for name, one in own.items()}) / users
        head["own_high"] = pd.Series({name: one.high for name, one in own.items()}) / users
        seen = self._wide("seen").reindex(columns=[Seen.ON_WORD.value], fill_value=0)
        sampled = self.looked is not None and self.by == "connection"
        head["own_on_word"] = 0.0 if sampled else seen[Seen.ON_WORD.value] / users
        rows = head.join(wide).reset_index().astype({"group": "str"})
        if self.by in {"cohort", "activity"}:
            return rows.sort_values("group", key=_in_time, ignore_index=True)
        return rows.sort_values("users", ascending=False, kind="stable", ignore_index=True)

    def _wide(self, column: str) -> pd.DataFrame:
        """Return users by group (rows) and the values of a column (columns)."""
        wide = self.counts.pivot_table(
            index="group", columns=column, values="users", aggfunc="sum", fill_value=0
        )
        wide.columns.name = None
        return wide.astype("int64")

    def _by_source(self, total: int) -> pd.DataFrame:
        estimated = self.estimated
        known = {name: Interval(n, n, n) for name, n in self.sources.items()} | estimated
        if estimated and Source.UNRESOLVED not in estimated:
            del known[Source.UNRESOLVED]
        rows = pd.DataFrame(
            [(name, round(one.middle), one.low, one.high) for name, one in known.items()],
            columns=["source", "users", "low", "high"],
        ).astype({"source": "str", "users": "int64"})
        rows.insert(2, "share", rows["users"] / total)
        rows = rows if estimated else rows.drop(columns=["low", "high"])
        return rows.sort_values("users", ascending=False, kind="stable", ignore_index=True)

    def _own_by_group(self) -> dict[str, Interval]:
        unresolved = self.counts[self.counts["source"] == Source.UNRESOLVED]
        undecided = unresolved.groupby("group")["users"].sum().to_dict()
        groups = self._wide("seen").to_dict("index")
        if self.looked is not None and self.by == "connection":
            looked = self._by_group(self.looked.strata)
            return {str(group): OwnEstimate((*looked.get(str(group), ()),)).own for group in groups}
        asked = self.estimate.strata if self.estimate and self.by == "connection" else ()
        strata = self._by_group(asked)
        return {
            str(group): _own(
                known, undecided.get(group, 0), Estimate((*strata.get(str(group), ()),))
            )
            for group, known in groups.items()
        }

    def _by_group(self, strata: Iterable[_Part]) -> dict[str, list[_Part]]:
        """Return the strata of a sample by the name of their connection."""
        found: dict[str, list[_Part]] = {}
        for one in strata:
            found.setdefault(_name(self.by, one.connection), []).append(one)
        return found

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """Return the counts as plain values for JSON; a sample changes `own` alone, by connection.

        Returns:
            `{SOURCE: {"users", "share"}}`, or `{GROUP: {"users", "share", "own": {"low", "high",
            "on_word"}, "sources": {SOURCE: {"users", "share"}}}}` with shares of the group. Sources
            without users are left out.
        """
        if self.by == "source":
            return _shares(self.sources, self.users)
        groups, sources = {}, self.sources
        for row in self.table().to_dict("records"):
            mine = {s.value: int(row[s.value]) for s in sources if row[s.value]}
            groups[str(row["group"])] = {
                "users": int(row["users"]),
                "share": float(row["share"]),
                "own": {name: float(row[f"own_{name}"]) for name in ("low", "high", "on_word")},
                "sources": _shares(mine, int(row["users"])),
            }
        return groups

    def __add__(self, other: object) -> "Coverage":
        return combine(self, other) if isinstance(other, Coverage) else NotImplemented

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Coverage):
            return NotImplemented
        mine = (self.by, self.estimate, self.looked, self.note)
        theirs = (other.by, other.estimate, other.looked, other.note)
        return mine == theirs and self.counts.equals(other.counts)

    def __hash__(self) -> int:
        return hash((self.by, *self.counts.itertuples(index=False, name=None)))

    def __repr__(self) -> str:
        return f"{self._caption()}\n{self._words().to_string(index=False)}"

    def _repr_html_(self) -> str:
        return html_table(self._words(), self._caption())

    def _caption(self) -> str:
        caption = f"Where the pictures of {self.users:,} users come from, by {self.by}"
        return f"{caption}. {self.note}" if self.note else caption

    def _words(self) -> pd.DataFrame:
        """Return the table with every value as text."""
        names = ("share", "own_low", "own_high", "own_on_word")
        shares = dict.fromkeys(names, lambda value: percent(value, 1))
        words = dict.fromkeys(("group", "source"), lambda value: shorten(value, 60)) | shares
        rows = self.table().astype("object")
        for name in rows.columns:
            rows[name] = rows[name].map(words.get(name, "{:,.0f}".format))
        return rows.rename(columns=_HEADS)


_HEADS = {
    "own_low": "own at least",
    "own_high": "own at most",
    "own_on_word": "perhaps own",
}
"""How columns of `Coverage.table` are called where people read them."""


def coverage(
    users: pd.DataFrame | Path | str,
    by: str = "source",
    *,
    as_of: datetime | pd.Timestamp | None = None,
    wiring: Wiring | bool | None = None,
    shared: Sequence[int] | None = None,
    absent: Collection[str] = (),
) -> Coverage:
    """Count the users of each source, by group.

    Args:
        users: a snapshot file of any size; or a frame, one row for each user, with `source`, the
            column that `by` needs (`created_at` for "cohort", `last_login` for "activity"), and
            those of `toolkit.analysis.shown_picture.NEEDED` and `logins_count` that it has. The
            dtypes do not matter.
        by: "source", "connection", "provider", "cohort" (the month of creation, "2024-03") or
            "activity" (the time since the last login, see `toolkit.analysis.groups.ACTIVITY`).
        as_of: the time from which activity is counted back, and at which signed URLs have expired
            or not; UTC if it has no zone. A later login counts as recent. Without it no URL counts
            as expired.
        wiring: what sets the picture that applications see; or only whether it is
            `user_metadata.picture`; None if nothing is known.
        shared: what `toolkit.analysis.shown_picture.shared_pictures` returned for all users, if
            these are only some of them.
        absent: columns that the users were exported without: null is not known there.

    Returns:
        The counts; users without a group are under `NONE`, `UNKNOWN` (of
        `toolkit.analysis.groups`), "never" or, if they have logged in or that is not known,
        "unknown".

    Raises:
        SettingsError: `by` is none of these, or is activity without `as_of`.
        UnreadableInputError: a column is missing, a source is none of `Source`, or the file
            cannot be read.
    """
    ensure_choice(by)
    now = None if as_of is None or pd.isna(as_of) else pd.to_datetime(as_of, utc=True)
    if by == "activity" and now is None:
        raise SettingsError("activity needs a date to count back from: pass as_of")
    table = users if isinstance(users, Path | str) else _columns(users, by)
    with engine_with(table) as opened:
        show(opened, "shown", as_of=now and now.to_pydatetime(), wiring=wiring, shared=shared)
        counted = opened.execute(
            f"SELECT {key_of(by, absent)} AS key, source, sight, count(*) FROM shown GROUP BY ALL",  # noqa: S608 - an expression of this package
            {"now": now.to_pydatetime()} if by == "activity" and now else {},
        ).fetchall()
    rows = [(_name(by, key), _text(source), *told) for key, source, *told in counted]
    counts = pd.DataFrame(rows, columns=[*_KEYS, "users"])
    return Coverage(by, counts, note=lacking(by, absent))


def _columns(frame: pd.DataFrame, by: str) -> pa.Table:
    """Return the columns that are counted, with the types that they have in a file."""
    needed = ["source", {"cohort": "created_at", "activity": "last_login"}.get(by, by)]
    for name in needed:
        if name not in frame.columns:
            raise UnreadableInputError(
                f"the snapshot has no column {name!r}; collect or classify it again"
            )
    names = [*dict.fromkeys([*needed, "logins_count", *NEEDED])]
    # A column without a value has no type of its own.
    return pa.table(
        {
            name: pa.nulls(len(frame), SNAPSHOT.field(name).type)
            if name not in frame.columns or frame[name].isna().all()
            else pa.array(_typed(frame[name]), from_pandas=True)
            for name in names
        }
    )


def _typed(values: "pd.Series[Any]") -> "pd.Series[Any]":
    if values.name in {"created_at", "last_login", "expires_at"}:
        return pd.to_datetime(values, utc=True, errors="coerce", format="ISO8601")
    if values.name == "logins_count":
        return pd.to_numeric(values, errors="coerce")
    # DuckDB keeps text as UTF-8, which a lone surrogate does not have.
    return values.map(_text, na_action="ignore") if values.dtype == "object" else values


def combine(first: Coverage, second: Coverage) -> Coverage:
    """Return the sum of two coverages of different users; the order does not matter.

    An estimate is for all users together: at most one of the two may have one.

    Args:
        first: of some users.
        second: of other users, by the same groups.

    Raises:
        SettingsError: they have different kinds of groups.
    """
    if first.by != second.by:
        raise SettingsError(
            f"coverage by {first.by} and coverage by {second.by} do not add up; "
            "count both by the same"
        )
    counts = pd.concat([first.counts, second.counts])
    estimate, looked = first.estimate or second.estimate, first.looked or second.looked
    note, made_up = first.note or second.note, first.made_up or second.made_up
    return Coverage(first.by, counts, estimate, looked, note, made_up)


def _sums(counts: pd.DataFrame, column: str, kinds: type[_Name]) -> dict[_Name, int]:
    """Return users by the names in a column that occur, in the order of these names."""
    sums = counts.groupby(column)["users"].sum().to_dict()
    return {name: int(sums[name]) for name in kinds if name in sums}


def _fitting(estimate: Estimate | None, unresolved: int) -> Estimate | None:
    """Return the estimate if it can be about these unresolved users.

    It may be about some of them only: not every one has an address that Gravatar can be asked for.
    """
    return estimate if estimate is not None and 0 < estimate.users <= unresolved else None


def _own(shown: Mapping[Any, int], unresolved: int, estimate: Estimate | None) -> Interval:
    """Return how many see a picture of their own, from counts by `Seen` and a sample."""
    known, unknown = shown.get(Seen.OWN, 0), shown.get(Seen.UNKNOWN, 0)
    on_word = shown.get(Seen.ON_WORD, 0)
    sample = _fitting(estimate, unresolved)
    found, asked = Interval(0, 0, 0), 0
    if sample is not None:
        found, asked = sample.gravatars, sample.users
    others = on_word + unknown - asked
    return Interval(
        known + found.low, known + found.high + others, known + found.middle + others / 2
    )


def _text(value: object) -> str:
    return str(value).encode("utf-8", "backslashreplace").decode("utf-8")


def _name(by: str, key: Any) -> str:  # noqa: ANN401 - whatever the column holds
    """Name a group by its key, of any type."""
    if pd.isna(key) or key == "":
        return named(by, None)
    return named(by, int(key) if by in {"cohort", "activity"} else _text(key))


def _place(names: "pd.Series[Any]") -> "pd.Series[Any]":
    return names.map(_ORDER[names.name]) if names.name in _ORDER else names


def _in_time(names: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return sort keys: activity from recent to never, cohorts by date with unknown last."""
    buckets = {name: str(place) for place, name in enumerate(ACTIVITY)}
    return names.map(lambda name: buckets.get(name, name.replace(UNKNOWN, "~")))


def _shares(users: Mapping[Any, int], total: int) -> dict[str, dict[str, Any]]:
    """Return users and share by source, the largest first."""
    largest = sorted(users.items(), key=lambda pair: -pair[1])
    return {str(name): {"users": n, "share": n / total} for name, n in largest}
