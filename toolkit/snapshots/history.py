"""The history of a tenant from many snapshots."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from toolkit.analysis.estimate import Interval
from toolkit.classification.sources import Source
from toolkit.errors import SettingsError
from toolkit.formatting import html_table, percent, plural, visible
from toolkit.snapshots.snapshot import Provenance, Snapshot

UNNAMED = "unknown"
"""The tenant of exports whose file names do not contain it."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The totals of one snapshot: `own`, `on_word`, `made_up` of `Coverage`, `sources` in order."""

    tenant: str
    taken_at: datetime
    complete: bool
    users: int
    own: Interval
    sources: Mapping[Source, int]
    on_word: int = 0
    made_up: bool = False

    @property
    def own_low(self) -> float:
        """The share (0 to 1) that certainly sees a picture of their own; 0 without users."""
        return self.own.low / max(self.users, 1)

    @property
    def own_high(self) -> float:
        """The share (0 to 1) that may see a picture of their own; 0 without users."""
        return self.own.high / max(self.users, 1)

    @property
    def own_on_word(self) -> float:
        """The share (0 to 1) that perhaps does: nobody has looked; 0 without users."""
        return self.on_word / max(self.users, 1)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: shares are 0 to 1, the time is ISO 8601."""
        return {
            "tenant": self.tenant,
            "taken_at": self.taken_at.isoformat(),
            "complete": self.complete,
            "users": self.users,
            "own": {"low": self.own_low, "high": self.own_high, "on_word": self.own_on_word},
            "sources": {source.value: users for source, users in self.sources.items()},
        }


def moment_of(snapshot: Snapshot) -> Moment:
    """Count a snapshot."""
    told, counted = snapshot.provenance, snapshot.coverage()
    sums = (counted.users, counted.own, counted.sources, counted.on_word)
    return Moment(told.tenant, told.taken_at, told.complete, *sums, made_up=told.sandbox)


def ensure_same_tenant(old: Provenance, new: Provenance) -> None:
    """Raise SettingsError if two snapshots are known to be of different tenants."""
    if differ(old, new):
        both = [f"{one.tenant}, seed {one.seed}" if one.seed else one.tenant for one in (old, new)]
        raise SettingsError(
            f"These are snapshots of different tenants ({visible(both[0])}; {visible(both[1])}): "
            "choose two of one tenant, or insist with anyway=True (--anyway)."
        )


def differ(old: Provenance, new: Provenance) -> bool:
    """Whether two snapshots are known to be of different tenants."""
    if old.sandbox and new.sandbox:
        # The embedded tenant has another port each time: its seed identifies its people.
        return None not in {old.seed, new.seed} and old.seed != new.seed
    names = {old.tenant.casefold(), new.tenant.casefold()}
    return UNNAMED not in names and len(names) > 1


@dataclass(frozen=True, slots=True, repr=False)
class Series:
    """Many snapshots of a tenant, the earliest first; notebooks show it as a table."""

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
            Columns `taken_at` (UTC), `complete`, `users` (int64), `own_low` and `own_high` (the
            share, 0 to 1, that sees a picture of their own: from those known to, up to those of
            whom nobody knows; or the 95 % interval of a sample), and the share of each source that
            occurs in any of them.
        """
        plain = ["taken_at", "complete", "users", "own_low", "own_high"]
        frame = pd.DataFrame(
            [[getattr(one, name) for name in plain] for one in self], columns=plain
        )
        for source in self.sources:
            frame[source.value] = [one.sources.get(source, 0) / max(one.users, 1) for one in self]
        frame["taken_at"] = pd.to_datetime(frame["taken_at"], utc=True)
        types = {"complete": "bool", "users": "int64", "own_low": "float64", "own_high": "float64"}
        return frame.astype(types)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: `moments`, one object each (`Moment.as_dict`)."""
        return {"moments": [moment.as_dict() for moment in self.moments]}

    def __repr__(self) -> str:
        return f"{_span(self)}\n{_over_time(self).to_string(index=False)}"

    def _repr_html_(self) -> str:
        return html_table(_over_time(self), _span(self))


def series(snapshots: Iterable[Snapshot], *, anyway: bool = False) -> Series:
    """Return the series of a tenant's snapshots; memory holds one at a time.

    Args:
        snapshots: any number, in any order.
        anyway: also accept snapshots of different tenants.

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
        f"The pictures of {one.moments[-1].tenant} in "
        f"{plural(len(one), 'snapshot')} from {days[0]} to {days[1]}"
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
