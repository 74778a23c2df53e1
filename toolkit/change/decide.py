"""Who would get which picture, who would not, and why.

Pure: a `Decider` turns users into rows of a plan; a `Tally` counts them.
"""

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple, Self

import pandas as pd
import pyarrow as pa

from toolkit.analysis.file_header import items, text
from toolkit.analysis.own_action import Step
from toolkit.change.policy import Policy, Replacement, replaced, replaced_metadata, replaced_root
from toolkit.change.ways import Way
from toolkit.classification.columnwise import alike
from toolkit.classification.sources import RULES, Source, needs_token
from toolkit.classification.times import milliseconds
from toolkit.tenant.models import KEEPING, Connection, takes_picture

NEEDED: Final = (
    "user_id",
    "connection",
    "strategy",
    "source",
    "underlying",
    "picture",
    "metadata_picture",
    "elsewhere",
)
"""The columns of a snapshot that a plan needs."""

ROWS: Final = pa.schema([(name, pa.string()) for name in (*NEEDED, "after", "outcome", "reason")])
"""The columns of a plan's rows, one for each user of the snapshot.

`picture` and `metadata_picture` are from the snapshot. `after` is the new `picture`, claim
`picture` (ways `action` and `rule`) or `metadata_picture`; null if it does not change. `outcome` is
`change`, `stay`, or `cannot`: it should change, but that is not possible.
"""

_PICTURE: Final = NEEDED.index("picture")

CHANGE, STAY, CANNOT = "change", "stay", "cannot"

ANOTHER, FALLBACK, EITHER = "another", "fallback", "either"
"""What somebody who changes sees: another picture; the same one, and only what it shows where it
fails is another; or nobody knows which of the two."""

MOST_COUNTED = 10**12  # no number of users, or of requests a second, is larger
_ODD = "the picture is no full web address: undo could not write it back"
_ABSENT = "has no picture now: undo could not remove the new one"
_UNKNOWN = "the connection is not known, so nobody knows whether Auth0 accepts a picture"
_ROW = tuple[str | None, str, str]  # after, outcome, reason
_GRAVATARS = frozenset(place for place, one in enumerate(RULES) if one.source is Source.UNRESOLVED)
_REMEMBERED = 65_536


# A Gravatar that exists hides its fallback, and one that nobody has asked for may do so. Whether an
# override is shown, and then comes first, is not known here.
_SEEN: Final[Mapping[str, str]] = {
    Source.GRAVATAR: FALLBACK,
    Source.UNRESOLVED: EITHER,
    Source.METADATA: EITHER,
}


def seen_of(source: str | None) -> str:
    """Return what somebody who changes sees, by the source of the picture before."""
    return _SEEN.get(source or "", ANOTHER)


# Who is counted together: outcome, reason, connection, source, and the ways that change them,
# each with what they see then.
_Counted = tuple[str, str, str, str, tuple[tuple[Way, str], ...]]


class _Decision(NamedTuple):
    """The decision about a user, used for all users with the same values.

    If each of them has their own address before the first `?`, `rest` is what follows it.
    """

    row: _ROW
    counted: _Counted
    rest: str | None


@dataclass(frozen=True, slots=True)
class Tally:
    """How many users of each kind. Tallies can be added, so users can be counted in pieces."""

    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)  # (outcome, reason)
    connections: Counter[tuple[str, str]] = field(default_factory=Counter)  # (connection, outcome)
    sources: Counter[tuple[str, str]] = field(default_factory=Counter)  # (source, outcome)
    ways: Counter[str] = field(default_factory=Counter)  # users whom each way would change
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)  # (way, what they see)

    def __add__(self, other: Self) -> "Tally":
        return Tally(
            self.reasons + other.reasons,
            self.connections + other.connections,
            self.sources + other.sources,
            self.ways + other.ways,
            self.seen + other.seen,
        )

    def of(self, outcome: str) -> int:
        """Return how many users have this outcome."""
        return sum(users for (one, _), users in self.reasons.items() if one == outcome)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "reasons": [
                {"outcome": outcome, "reason": reason, "users": users}
                for (outcome, reason), users in self.reasons.most_common()
            ],
            "connections": nested(self.connections),
            "sources": nested(self.sources),
            "ways": dict(self.ways),
            "seen": {
                way.value: {one: self.seen[way, one] for one in (ANOTHER, FALLBACK, EITHER)}
                for way in Way
            },
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `as_dict` wrote; raises KeyError, TypeError or ValueError if it did not."""
        reasons = {
            (text(one["outcome"]), text(one["reason"])): user_count(one["users"])
            for one in items(values["reasons"])
        }
        connections, sources = (_flat(values[name]) for name in ("connections", "sources"))
        ways = {name: user_count(users) for name, users in values["ways"].items()}
        seen = _flat(values.get("seen", {}))  # plans made before lack it
        return cls(Counter(reasons), connections, sources, Counter(ways), seen)


def user_count(value: object) -> int:
    """Read a number of users; raises ValueError if it is none."""
    if type(value) is not int or not 0 <= value < MOST_COUNTED:
        raise ValueError("not a number of users")
    return value


def nested(counts: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    """Return users by (name, outcome) as users by outcome, by name."""
    found: dict[str, dict[str, int]] = {}
    for (name, outcome), users in sorted(counts.items()):
        found.setdefault(name, {})[outcome] = users
    return found


def _flat(nested: Mapping[str, Mapping[str, int]]) -> Counter[tuple[str, str]]:
    return Counter(
        {
            (name, outcome): user_count(users)
            for name, one in nested.items()
            for outcome, users in one.items()
        }
    )


@dataclass(frozen=True, slots=True)
class Decider:
    """Decides about users, one DataFrame at a time.

    Attributes:
        now: the time of the decision, because signed pictures expire.
        connections: the tenant's connections by name, or None if they were not read.
        irreversible: whether to change users who could not be restored.
    """

    way: Way
    policy: Policy
    now: datetime
    connections: Mapping[str, Connection] | None = None
    irreversible: bool = False
    # Cache of decisions; emptied when it grows too large.
    _known: dict[Hashable, _Decision] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def decided(self, users: pd.DataFrame) -> tuple[pa.Table, Tally]:
        """Return rows with the columns `ROWS` for users with the columns `NEEDED`, and counts."""
        columns = [_texts(users[name]) for name in NEEDED]
        arrays = [pa.array(values, pa.string()) for values in columns]
        kinds = self._kinds(columns, arrays[_PICTURE])
        found: Counter[_Counted] = Counter()
        rows: list[_ROW] = []
        for kind, values in zip(kinds, zip(*columns, strict=True), strict=True):
            row, counted, rest = self._decision(kind, values)
            found[counted] += 1
            if rest is not None:
                row = (f"{str(values[_PICTURE]).partition('?')[0]}?{rest}", *row[1:])
            rows.append(row)
        decisions = list(zip(*rows, strict=True)) or [(), (), ()]
        arrays += [pa.array(values, pa.string()) for values in decisions]
        return pa.table(arrays, schema=ROWS), _tally(found)

    def _kinds(
        self, columns: Sequence[Sequence[str | None]], pictures: pa.StringArray
    ) -> Iterator[Hashable]:
        """Yield the key of each user's decision, or None if there is none."""
        rules, expiry = alike(pictures)
        late = (expiry > 0) & (expiry <= milliseconds(self.now))
        meant = {self.policy.picture, *self.policy.former}
        told = zip(rules.tolist(), late.tolist(), *columns, strict=True)
        for rule, expired, user_id, connection, strategy, source, root, *rest in told:
            picture, metadata_picture, elsewhere = rest
            who = (connection, strategy, source, root, bool(user_id))
            spare = Step.ELSEWHERE in self.policy.order and elsewhere is not None
            if metadata_picture is not None or picture in meant or spare:
                yield None
            elif picture is None:
                yield who
            elif not takes_picture(picture) or rule < 0:
                yield None
            elif rule in _GRAVATARS:
                before, mark, query = picture.partition("?")
                yield *who, rule, before.startswith("https:"), mark, query
            else:
                yield *who, rule, expired, needs_token(picture)

    def _decision(self, kind: Hashable, values: Sequence[str | None]) -> _Decision:
        decision = self._known.get(kind)
        if decision is None:
            decision = self._decided(values)
            if kind is None:
                return decision
            after = decision.row[0]
            if after is not None and after != self.policy.picture:
                decision = decision._replace(rest=after.partition("?")[2])
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[kind] = decision
        return decision

    def _decided(self, values: Sequence[str | None]) -> _Decision:
        user_id, connection, strategy, source, underlying, *rest = values
        picture, metadata_picture, elsewhere = rest
        policy, now = self.policy, self.now
        given: dict[str, Any] = {"connection": connection, "policy": policy, "now": now}
        given["elsewhere"] = elsewhere
        root = replaced_root(picture, **given, underlying=underlying)
        claim = metadata = root
        given["metadata_picture"] = metadata_picture
        found = underlying == Source.GRAVATAR
        # Each is as expensive, so skip those that cannot change the result.
        if found or (Step.OVERRIDE in policy.order and metadata_picture is not None):
            claim = replaced(picture, **given)
        if metadata_picture is not None or root.after is not None:
            metadata = replaced_metadata(picture, **given, underlying=underlying)
        decisions = {Way.ACTION: claim, Way.RULE: claim, Way.ROOT: root, Way.METADATA: metadata}
        rows = {way: _as_row(one) for way, one in decisions.items()}
        if root.after and (against := self._against(connection, strategy, picture)):
            rows[Way.ROOT] = None, CANNOT, against
        if not user_id:
            rows = dict.fromkeys(rows, (None, STAY, "has no user_id, so it cannot be written"))
        row = rows[self.way]
        hides = source == Source.METADATA  # an override that perhaps is shown
        ways = tuple(
            (way, seen_of(source if after != elsewhere or (hides and way.writes_users) else None))
            for way, (after, outcome, _) in rows.items()
            if outcome == CHANGE
        )
        return _Decision(row, (row[1], row[2], connection or "", source or "", ways), None)

    def _against(self, name: str | None, strategy: str | None, picture: str | None) -> str | None:
        """Return why the root picture of a user must not be written; None if it may."""
        connection = (self.connections or {}).get(name or "")
        if connection is None:
            if not strategy:
                return _UNKNOWN
            connection = Connection(name or "", strategy)
        if connection.refusal or self.irreversible:
            return connection.refusal
        if picture is None:
            return _ABSENT if connection.strategy in KEEPING else None
        return None if takes_picture(picture) else _ODD


def _tally(users: Counter[_Counted]) -> Tally:
    tally = Tally()
    for (outcome, reason, connection, source, ways), number in users.items():
        tally.reasons[outcome, reason] += number
        tally.connections[connection, outcome] += number
        tally.sources[source, outcome] += number
        changing = dict(ways)
        for way in Way:
            tally.ways[way] += number * (way in changing)
        for one in ways:
            tally.seen[one] += number
    return tally


def _texts(column: pd.Series) -> list[str | None]:
    texts: list[str | None] = column.astype(object).where(column.notna(), None).tolist()
    return texts


def _as_row(one: Replacement) -> _ROW:
    return one.after, STAY if one.after is None else CHANGE, one.reason
