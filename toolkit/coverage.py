"""How many users each source of pictures has: counted in chunks, added up exactly.

`coverage` of a whole snapshot and the sum of the coverages of its chunks are the
same value, so that pages, export files and partitions all reduce with `+`.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from types import MappingProxyType
from typing import Any, Self, cast

import pandas as pd

from toolkit.errors import SettingsError, UnreadableInputError
from toolkit.picture import Source

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

_LIMITS = (30, 90, 365)  # days; the upper ends of the first groups of ACTIVITY
_ORDER = {source.value: place for place, source in enumerate(Source)}
_PERCENT = 100


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Coverage:
    """Users counted by group and source; a value that can be added.

    Whatever order and repetition `counts` comes in, it is kept summed up and
    sorted, so that equal coverages are equal frames.

    Attributes:
        by: what the groups are: one of `CHOICES`.
        counts: columns `group` (str; the source itself where `by` is "source"),
            `source` (str) and `users` (int64); one row for each pair that occurs,
            sorted by group, then in the order of `Source`.

    Raises:
        SettingsError: `by` is not one of `CHOICES`.
        UnreadableInputError: a source is none of `Source`.
    """

    by: str
    counts: pd.DataFrame

    def __post_init__(self) -> None:
        _check(self.by)
        unknown = sorted(set(self.counts["source"]) - _ORDER.keys(), key=str)
        if unknown:
            raise UnreadableInputError(
                f"{visible(str(unknown[0]))!r} is not a source of pictures; "
                "classify the snapshot again with this version"
            )
        rows = self.counts.astype({"group": "str", "source": "str", "users": "int64"})
        rows = rows.groupby(["group", "source"])["users"].sum().reset_index()
        rows = rows[rows["users"] > 0]
        rows = rows.sort_values(["group", "source"], key=_place, ignore_index=True)
        object.__setattr__(self, "counts", rows)

    @classmethod
    def empty(cls, by: str = "source") -> Self:
        """Return the coverage of nobody: what adds nothing."""
        return cls(by, pd.DataFrame({"group": [], "source": [], "users": []}))

    @property
    def users(self) -> int:
        """How many users were counted."""
        return int(self.counts["users"].sum())

    @property
    def sources(self) -> dict[Source, int]:
        """Users of each source that occurs, whatever the groups, in the order of `Source`."""
        sums = self.counts.groupby("source")["users"].sum().to_dict()
        return {source: int(sums[source]) for source in Source if source in sums}

    def table(self) -> pd.DataFrame:
        """Return the counts as people read them.

        Returns:
            Where `by` is "source": columns `source`, `users`, `share` (0 to 1), the
            largest first. Otherwise one row for each group: `group`, `users`, `share`,
            and a column of users for each source that occurs; the largest first, but
            cohorts by date and activity from recent to never.
        """
        total = max(self.users, 1)
        if self.by == "source":
            rows = pd.DataFrame(self.sources.items(), columns=["source", "users"])
            rows = rows.astype({"source": "str", "users": "int64"})
            rows["share"] = rows["users"] / total
            return rows.sort_values("users", ascending=False, kind="stable", ignore_index=True)
        wide = self.counts.pivot_table(
            index="group", columns="source", values="users", aggfunc="sum", fill_value=0
        )
        wide = wide.reindex(columns=[source.value for source in self.sources]).astype("int64")
        wide.columns.name = None
        users = wide.sum(axis="columns").astype("int64")
        wide.insert(0, "users", users)
        wide.insert(1, "share", users / total)
        rows = wide.reset_index().astype({"group": "str"})
        if self.by in {"cohort", "activity"}:
            return rows.sort_values("group", key=_in_time, ignore_index=True)
        return rows.sort_values("users", ascending=False, kind="stable", ignore_index=True)

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """Return the table as plain values for JSON.

        Returns:
            `{SOURCE: {"users", "share"}}`, or for groups
            `{GROUP: {"users", "share", "sources": {SOURCE: {"users", "share"}}}}` with
            shares of the group. Sources without users are left out.
        """
        if self.by == "source":
            return _shares(dict(self.table().set_index("source")["users"]), self.users)
        groups = {}
        for row in self.table().to_dict("records"):
            mine = {s.value: int(row[s.value]) for s in self.sources if row[s.value]}
            groups[str(row["group"])] = {
                "users": int(row["users"]),
                "share": float(row["share"]),
                "sources": _shares(mine, int(row["users"])),
            }
        return groups

    def __add__(self, other: object) -> "Coverage":
        return combine(self, other) if isinstance(other, Coverage) else NotImplemented

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Coverage):
            return NotImplemented
        return self.by == other.by and self.counts.equals(other.counts)

    def __hash__(self) -> int:
        return hash((self.by, *self.counts.itertuples(index=False, name=None)))

    def __repr__(self) -> str:
        """Draw the table as text; what people typed is cut and cannot move the cursor."""
        return f"{self._caption()}\n{self._words().to_string(index=False)}"

    def _repr_html_(self) -> str:
        """Draw the table as HTML for a notebook; what people typed stays text."""
        words = self._words()
        head = "".join(f'<th scope="col">{escape(name)}</th>' for name in words.columns)
        body = "".join(
            f'<tr><th scope="row">{escape(first)}</th>'
            + "".join(f"<td>{escape(value)}</td>" for value in rest)
            + "</tr>"
            for first, *rest in words.itertuples(index=False, name=None)
        )
        return (
            f"<table><caption>{escape(self._caption())}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )

    def _caption(self) -> str:
        return f"Where the pictures of {self.users:,} users come from, by {self.by}"

    def _words(self) -> pd.DataFrame:
        """Return the table with every value as the text that people read."""
        rows = self.table().astype("object")
        for name in rows.columns:
            if name in {"group", "source"}:
                rows[name] = [shorten(str(value), 60) for value in rows[name]]
            elif name == "share":
                rows[name] = [percent(value, 1) for value in rows[name]]
            else:
                rows[name] = [f"{value:,}" for value in rows[name]]
        return rows


def coverage(
    frame: pd.DataFrame, by: str = "source", *, as_of: datetime | pd.Timestamp | None = None
) -> Coverage:
    """Count the users of each source, by group.

    Args:
        frame: one row per user, with the snapshot's columns; of these it needs
            `source` and the one that `by` looks at (`created_at` for "cohort",
            `last_login` for "activity"). The dtypes do not matter.
        by: "source", "connection", "provider", "cohort" (the month of creation,
            "2024-03") or "activity" (the time since the last login, see `ACTIVITY`).
        as_of: the moment that activity is counted back from; UTC where it names no
            zone. A later login counts as recent.

    Returns:
        The counts; users without a group are under `NONE`, `UNKNOWN` or "never".

    Raises:
        SettingsError: `by` is none of these, or activity is asked for without `as_of`.
        UnreadableInputError: a column is missing, or a source is none of `Source`.
    """
    _check(by)
    source = _column(frame, "source")
    if by == "cohort":
        created = _moments(_column(frame, "created_at"))
        group = created.dt.year * 100 + created.dt.month
    elif by == "activity":
        if as_of is None or pd.isna(as_of):
            raise SettingsError("activity needs a date to count back from: pass as_of")
        now = pd.Timestamp(as_of)
        now = now.tz_localize(UTC) if now.tzinfo is None else now.tz_convert(UTC)
        seen = _moments(_column(frame, "last_login"))
        past = pd.concat([seen < now - pd.Timedelta(days=days) for days in _LIMITS], axis=1)
        group = past.sum(axis=1).where(seen.notna())
    else:
        group = _column(frame, by)
    # Counting first and naming after makes the dtypes that a column arrives in (str,
    # object, Arrow, categorical) a matter of a few keys instead of a million values.
    keys = pd.DataFrame({"group": group, "source": source})
    sizes = keys.groupby(["group", "source"], dropna=False, observed=True, sort=False).size()
    rows = [
        (_name(by, pair[0]), _text(pair[1]), users)
        for pair, users in cast("dict[tuple[Any, Any], int]", sizes.to_dict()).items()
    ]
    return Coverage(by, pd.DataFrame(rows, columns=["group", "source", "users"]))


def combine(first: Coverage, second: Coverage) -> Coverage:
    """Add two coverages of different users; the order and the grouping do not matter.

    Raises:
        SettingsError: they are counted by different things.
    """
    if first.by != second.by:
        raise SettingsError(
            f"coverage by {first.by} and coverage by {second.by} do not add up; "
            "count both by the same"
        )
    return Coverage(first.by, pd.concat([first.counts, second.counts], ignore_index=True))


def percent(share: float, digits: int = 0) -> str:
    """Write a share (0 to 1) as people read it: never 0 % of somebody, nor 100 % of not all.

    Args:
        share: 0 to 1.
        digits: digits after the point.
    """
    least = 10.0**-digits
    value = share * _PERCENT
    text = f"{value:.{digits}f}"
    if share > 0 and float(text) == 0:
        text = f"<{least:.{digits}f}"
    elif share < 1 and float(text) == _PERCENT:
        text = f">{_PERCENT - least:.{digits}f}"
    return f"{text} %"


def visible(text: str) -> str:
    r"""Write what would not be seen, or would move other text, as an escape such as `\u202e`.

    That is: control and format characters (bidi overrides, joiners, line breaks), lone
    surrogates, private and unassigned characters. It is not escaped for HTML.
    """
    return "".join(_seen(character) for character in text)


def shorten(text: str, limit: int) -> str:
    """Make a name visible and cut it to `limit` characters, ending in an ellipsis."""
    seen = visible(text[: limit + 1])
    return seen if len(seen) <= limit else seen[: limit - 1] + "…"


def _seen(character: str) -> str:
    kind = unicodedata.category(character)
    if kind[0] == "C" or kind in {"Zl", "Zp"}:
        return character.encode("unicode_escape").decode("ascii")
    return character


def _check(by: str) -> None:
    if by not in CHOICES:
        raise SettingsError(f"cannot count by {by!r}; choose one of {', '.join(CHOICES)}")


def _column(frame: pd.DataFrame, name: str) -> "pd.Series[Any]":
    if name not in frame.columns:
        raise UnreadableInputError(
            f"the snapshot has no column {name!r}; collect or classify it again"
        )
    values = frame[name]
    if values.dtype == "object" and name not in {"created_at", "last_login"}:
        # A lone surrogate has no UTF-8 form, which pandas keeps text in.
        return values.map(_text, na_action="ignore")
    return values


def _moments(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return UTC timestamps, with NaT for what is none."""
    return pd.to_datetime(values, utc=True, errors="coerce", format="ISO8601")


def _text(value: object) -> str:
    return str(value).encode("utf-8", "backslashreplace").decode("utf-8")


def _name(by: str, key: Any) -> str:  # noqa: ANN401 - whatever the column holds
    """Name a group by its key: a number for cohort and activity, a value of the column else."""
    null = pd.isna(key) or key == ""
    if by == "cohort":
        return UNKNOWN if null else f"{int(key) // 100:04d}-{int(key) % 100:02d}"
    if by == "activity":
        return "never" if null else tuple(ACTIVITY)[int(key)]
    return NONE if null else _text(key)


def _place(names: "pd.Series[Any]") -> "pd.Series[Any]":
    return names.map(_ORDER) if names.name == "source" else names


def _in_time(names: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return keys that sort activity from recent to never, and cohorts by date, unknown last."""
    buckets = {name: str(place) for place, name in enumerate(ACTIVITY)}
    return names.map(lambda name: buckets.get(name, name.replace(UNKNOWN, "~")))


def _shares(users: Mapping[str, int], total: int) -> dict[str, dict[str, Any]]:
    return {name: {"users": int(n), "share": int(n) / total} for name, n in users.items()}
