"""What one snapshot says of everybody together, and whether two are of the same tenant."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from toolkit.errors import SettingsError
from toolkit.estimate import Interval
from toolkit.picture import Source
from toolkit.snapshot import Provenance, Snapshot
from toolkit.wording import visible

UNNAMED = "unknown"
"""The tenant of exports whose files' names do not tell it."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What a snapshot says of everybody together.

    Attributes:
        tenant: the tenant's domain.
        taken_at: when the collection began (UTC).
        complete: whether the snapshot is known to be whole.
        users: how many users there were.
        own: how many of them see a picture of their own (`toolkit.coverage.Coverage.own`).
        sources: users of each source that occurs, in the order of `Source`.
    """

    tenant: str
    taken_at: datetime
    complete: bool
    users: int
    own: Interval
    sources: Mapping[Source, int]

    @property
    def own_low(self) -> float:
        """The share (0 to 1) known to see a picture of their own; 0 where there is nobody."""
        return self.own.low / max(self.users, 1)

    @property
    def own_high(self) -> float:
        """The share (0 to 1) of whom nobody knows that they do not; 0 where there is nobody."""
        return self.own.high / max(self.users, 1)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: shares are 0 to 1, the time is ISO 8601."""
        return {
            "tenant": self.tenant,
            "taken_at": self.taken_at.isoformat(),
            "complete": self.complete,
            "users": self.users,
            "own": {"low": self.own_low, "high": self.own_high},
            "sources": {source.value: users for source, users in self.sources.items()},
        }


def moment_of(snapshot: Snapshot) -> Moment:
    """Count a snapshot.

    Raises:
        UnreadableInputError: its file is damaged.
    """
    told, counted = snapshot.provenance, snapshot.coverage()
    return Moment(
        told.tenant, told.taken_at, told.complete, counted.users, counted.own, counted.sources
    )


def ensure_same_tenant(old: Provenance, new: Provenance) -> None:
    """Make sure that two snapshots are of one tenant, as far as that is known.

    Raises:
        SettingsError: they are not.
    """
    if differ(old, new):
        both = [f"{one.tenant}, seed {one.seed}" if one.seed else one.tenant for one in (old, new)]
        raise SettingsError(
            f"These are snapshots of different tenants ({visible(both[0])}; {visible(both[1])}): "
            "choose two of one tenant, or insist with anyway=True (--anyway)."
        )


def differ(old: Provenance, new: Provenance) -> bool:
    """Whether two snapshots are known to be of different tenants."""
    if old.sandbox and new.sandbox:
        # The embedded tenant has another port each time: its seed tells its people.
        return None not in {old.seed, new.seed} and old.seed != new.seed
    names = {old.tenant.casefold(), new.tenant.casefold()}
    return UNNAMED not in names and len(names) > 1
