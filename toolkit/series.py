"""What many snapshots of a tenant say of everybody, by time: a value that shows itself."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from toolkit.markup import html_table
from toolkit.moment import Moment, ensure_same_tenant, moment_of
from toolkit.picture import Source
from toolkit.snapshot import Snapshot
from toolkit.wording import percent, visible


@dataclass(frozen=True, slots=True, repr=False)
class Series:
    """What many snapshots of a tenant say of everybody, by time; a value that shows itself.

    Attributes:
        moments: one for each snapshot, the earliest first.
    """

    moments: tuple[Moment, ...]

    def __iter__(self) -> Iterator[Moment]:
        return iter(self.moments)

    def __len__(self) -> int:
        return len(self.moments)

    @property
    def sources(self) -> tuple[Source, ...]:
        """The sources that occur, in the order of `Source`."""
        return tuple(s for s in Source if any(s in moment.sources for moment in self.moments))

    def table(self) -> pd.DataFrame:
        """Return one row for each snapshot, the earliest first.

        Returns:
            Columns `taken_at` (UTC), `complete`, `users` (int64), `own_low` and `own_high`
            (the share, 0 to 1, that sees a picture of their own: from those known to, up to
            those of whom nobody knows; or the 95 % interval of a sample), and the share of
            each source that occurs in any of them.
        """
        rows = [
            (
                moment.taken_at,
                moment.complete,
                moment.users,
                moment.own_low,
                moment.own_high,
                *(moment.sources.get(source, 0) / max(moment.users, 1) for source in self.sources),
            )
            for moment in self.moments
        ]
        shares = ["own_low", "own_high", *(source.value for source in self.sources)]
        types = {"complete": "bool", "users": "int64"} | dict.fromkeys(shares, "float64")
        frame = pd.DataFrame(rows, columns=["taken_at", "complete", "users", *shares])
        frame["taken_at"] = pd.to_datetime(frame["taken_at"], utc=True)
        return frame.astype(types)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: `moments`, one object each (`Moment.as_dict`)."""
        return {"moments": [moment.as_dict() for moment in self.moments]}

    def __repr__(self) -> str:
        """Draw the table as text."""
        return f"{_span(self)}\n{_over_time(self).to_string(index=False)}"

    def _repr_html_(self) -> str:
        """Draw the table as HTML for a notebook."""
        return html_table(_over_time(self), _span(self))


def series(snapshots: Iterable[Snapshot], *, anyway: bool = False) -> Series:
    """Put snapshots of a tenant in the order of time; one at a time is looked at.

    Args:
        snapshots: any number, in any order.
        anyway: take snapshots of different tenants too.

    Returns:
        The series, a value that shows itself.

    Raises:
        SettingsError: they are of different tenants, and `anyway` is not set.
        UnreadableInputError: a file is damaged.
    """
    moments, first = [], None
    for snapshot in snapshots:
        first = first or snapshot.provenance
        if not anyway:
            ensure_same_tenant(first, snapshot.provenance)
        moments.append(moment_of(snapshot))
    return Series(tuple(sorted(moments, key=lambda moment: moment.taken_at)))


def _span(one: Series) -> str:
    if not one.moments:
        return "No snapshots"
    days = [f"{one.moments[i].taken_at:%Y-%m-%d}" for i in (0, -1)]
    return visible(
        f"The pictures of {one.moments[-1].tenant} in {len(one)} "
        f"snapshot{'s' if len(one) > 1 else ''} from {days[0]} to {days[1]}"
    )


def _over_time(one: Series) -> pd.DataFrame:
    table = one.table()
    rows = table.astype("object")
    rows["taken_at"] = [f"{moment.taken_at:%Y-%m-%d %H:%M}" for moment in one]
    rows["complete"] = ["yes" if moment.complete else "no" for moment in one]
    rows["users"] = [f"{moment.users:,}" for moment in one]
    for name in rows.columns[3:]:
        rows[name] = [percent(share, 1) for share in table[name]]
    return rows.rename(columns=lambda name: name.replace("_", " "))
