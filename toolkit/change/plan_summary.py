"""The summary of a plan; `toolkit.change.plan_file` reads and writes the rows."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

import pandas as pd

from toolkit.analysis.file_header import read, text
from toolkit.analysis.own_action import FLAGS
from toolkit.change.decide import (
    ANOTHER,
    CANNOT,
    CHANGE,
    EITHER,
    FALLBACK,
    MOST_COUNTED,
    STAY,
    Tally,
    seen_of,
    user_count,
)
from toolkit.change.policy import Policy
from toolkit.change.ways import CEILINGS, EXPLANATIONS, Way, requests, seconds
from toolkit.formatting import harmless, lasting, render, visible

ASKS_AGAIN_ABOVE: Final = 2 / 3
"""If a larger share of the users would be written, the admin must agree once more.

Often half of a tenant has no picture of its own. Above two thirds, the choice of users is probably
wrong.
"""
_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Effect:
    """What people see of a change, in three numbers of users.

    Where it is not known whether a Gravatar exists, or whether an override is shown, the first two
    have bounds: whoever does not see another picture has only another fallback.

    Attributes:
        users: all users; `untouched` is how many of them keep everything as it is.
        another: how many see another picture, at least and at most.
        fallback: how many keep what they see, and only what shows without it is another.
    """

    users: int
    another: tuple[int, int]
    fallback: tuple[int, int]

    @property
    def untouched(self) -> int:
        """How many users keep everything as it is."""
        return self.users - self.another[0] - self.fallback[1]

    @property
    def first(self) -> str:
        """The first number: how many see another picture."""
        return f"{_between(self.another)} of {self.users:,} people see another picture"

    def __str__(self) -> str:
        fallback = f"{_between(self.fallback)} only another fallback"
        return f"{self.first} · {fallback} · {self.untouched:,} untouched"

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        ranges = {"another": self.another, "fallback": self.fallback}
        told = {name: {"low": low, "high": high} for name, (low, high) in ranges.items()}
        return told | {"untouched": self.untouched}


def _between(bounds: tuple[int, int]) -> str:
    low, high = bounds
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


@dataclass(frozen=True, slots=True, repr=False)
class Plan:
    """What would be done to one tenant, from one snapshot, at one time.

    Attributes:
        id: 16 hex digits; a journal contains the id of its plan.
        tenant: the tenant's domain; `sandbox` says whether it is one.
        made_at: when the plan was made (UTC); `taken_at` when its snapshot was begun.
        digest: SHA-256 of the users in the snapshot, 64 hex digits.
        users: users of the snapshot; `tally` counts them by kind.
        connections_read: whether the tenant's connections were read, and not guessed.
        irreversible: whether to change users who could not be restored.
        verdicts: the checks of the picture: name, `ok`, `warn` or `fail`, and why.
        code: the Action's JavaScript (way `action`), or None.
        rules: the two Rules' JavaScript (way `rule`), or nothing.
        rate: requests a second that were measured at the tenant, or None.
        path: its file, or None if it was only counted.
    """

    id: str
    tenant: str
    sandbox: bool
    way: Way
    policy: Policy
    made_at: datetime
    taken_at: datetime
    digest: str
    users: int
    tally: Tally
    connections_read: bool
    irreversible: bool
    verdicts: tuple[tuple[str, str, str], ...]
    code: str | None
    rules: tuple[str, ...]
    rate: float | None
    notes: tuple[str, ...]
    toolkit_version: str
    path: Path | None = None

    @property
    def changes(self) -> int:
        """How many users change."""
        return self.tally.of(CHANGE)

    @property
    def share(self) -> float:
        """The share of the tenant that changes, 0 to 1."""
        return self.changes / self.users if self.users else 0.0

    def effect(self, way: Way | None = None) -> Effect:
        """Return what people see of a way, in three numbers; without one, of the plan's."""
        way = way or self.way
        seen = {name: self.tally.seen[way, name] for name in (ANOTHER, FALLBACK, EITHER)}
        if not self.tally.seen:  # a plan made before these were counted knows its own way's
            for (source, outcome), users in self.tally.sources.items():
                if way is self.way and outcome == CHANGE:
                    seen[seen_of(source)] += users
        sure, kept, either = (seen[name] for name in (ANOTHER, FALLBACK, EITHER))
        return Effect(self.users, (sure, sure + either), (kept, kept + either))

    @property
    def asks_again(self) -> bool:
        """Whether the admin must agree once more, because so many users are written."""
        return self.way.writes_users and self.share > ASKS_AGAIN_ABOVE

    def effort(self) -> dict[str, dict[str, Any]]:
        """Return, for each way, users, requests, and seconds at Auth0's plans and as `measured`."""
        plans: dict[str, str | float] = {name: name for name in CEILINGS}
        if self.rate:
            plans["measured"] = self.rate
        found = {}
        for way in Way:
            users = self.tally.ways[way]
            times = {name: round(seconds(way, users, one), 1) for name, one in plans.items()}
            found[way.value] = {"users": users, "requests": requests(way, users), "seconds": times}
        return found

    def table(self, by: str = "reason") -> pd.DataFrame:
        """Return how many users change, stay, or cannot: by reason, connection, source or way.

        Raises:
            ValueError: there is no such table.
        """
        counts = self.tally.as_dict()
        if by == "reason":
            return pd.DataFrame(counts["reasons"], columns=["outcome", "reason", "users"])
        if by == "way":
            rows = [{"way": way, **one, **one["seconds"]} for way, one in self.effort().items()]
            return pd.DataFrame(rows).drop(columns="seconds")
        if by not in {"connection", "source"}:
            raise ValueError(f"no table by {by!r}: choose reason, connection, source or way")
        rows = [{by: name, **one} for name, one in counts[f"{by}s"].items()]
        frame = pd.DataFrame(rows, columns=[by, CHANGE, CANNOT, STAY])
        frame = frame.fillna(0).astype(dict.fromkeys([CHANGE, CANNOT, STAY], "int64"))
        return frame.sort_values([CHANGE, by], ascending=[False, True], ignore_index=True)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values; times as ISO 8601."""
        snapshot = {"taken_at": self.taken_at.isoformat(), "users": self.users}
        elsewhere = {"path", "digest", *snapshot}
        names = [one.name for one in fields(self) if one.name not in elsewhere]
        return {name: getattr(self, name) for name in names} | {
            "policy": asdict(self.policy) | {name: name in self.policy.order for name in FLAGS},
            "made_at": self.made_at.isoformat(),
            "snapshot": snapshot | {"digest": self.digest},
            "changes": self.changes,
            "effect": self.effect().as_dict(),
            "share": self.share,
            "cannot": self.tally.of(CANNOT),
            "asks_again": self.asks_again,
            "tally": self.tally.as_dict(),
            "effort": self.effort(),
            "explanation": asdict(EXPLANATIONS[self.way]),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], path: Path | None = None) -> Self:
        """Read what `as_dict` wrote.

        Raises:
            KeyError, TypeError, ValueError, SettingsError: it was something else.
        """
        plan = read(
            cls,
            {**values, **values["snapshot"], "path": None},
            id=_id,
            policy=Policy.from_dict,
            users=user_count,
            tally=Tally.from_dict,
            rate=_rate,
        )
        return replace(plan, path=path)

    def _facts(self) -> list[str]:
        """Return the plan in lines: the numbers first, then why, cost and undo."""
        order = ", ".join((*self.policy.order, "default"))
        stay, cannot = self.tally.of(STAY), self.tally.of(CANNOT)
        return [
            str(self.effect()),
            f"{self.changes:,} users change ({self.share:.0%}), by {self.way}",
            f"the first usable picture is shown: {order}",
            f"{stay:,} stay as they are, {cannot:,} cannot be changed",
            *(
                f"cannot: {users:,} users: {reason}"
                for (outcome, reason), users in self.tally.reasons.most_common()
                if outcome == CANNOT
            ),
            *(f"{name}: {text}" for name, text in asdict(EXPLANATIONS[self.way]).items()),
            *(f"note: {note}" for note in self.notes),
        ]

    def _times(self) -> list[str]:
        return [
            f"{way}: {one['users']:,} users, {one['requests']:,} requests, "
            + ", ".join(f"{lasting(time)} at {name}" for name, time in one["seconds"].items())
            for way, one in self.effort().items()
            if way != Way.RULE
        ]

    def __repr__(self) -> str:
        head = (
            f"Plan {self.id} for {self.tenant}, of its users of {self.taken_at:%Y-%m-%d %H:%M} UTC"
        )
        rest = [*self._facts(), *self._times(), f"picture: {self.policy.picture}", *self.rules]
        return harmless("\n  ".join([visible(head), *"\n".join(rest).split("\n")]))

    def _repr_html_(self) -> str:
        answer, *facts = self._facts()
        return render(
            "change/plan.html.j2", plan=self, answer=answer, facts=facts, times=self._times()
        )


def _id(value: object) -> str:
    """Read a plan's id, which is used in names and in headers of requests."""
    if not _ID.fullmatch(text(value)):
        raise ValueError("not a plan's id")
    return text(value)


def _rate(value: object) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or not 0 < value < MOST_COUNTED:
        raise ValueError("not a rate")
    return float(value)
