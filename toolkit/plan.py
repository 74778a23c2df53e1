"""A plan: who would get which picture, who would not and why, and what it would take.

Pure: `decided` turns users into rows, `Tally` counts them and adds up, and a `Plan` is what
is known of all rows together. `toolkit.change` makes plans and carries them out.
"""

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from html import escape
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import pandas as pd
import pyarrow as pa

from toolkit.classifier import alike
from toolkit.connection import KEEPING, Connection, takes_picture
from toolkit.header import flag, items, moment, text, texts
from toolkit.picture import RULES, Source
from toolkit.replacement import Policy, Replacement, replaced, replaced_metadata, replaced_root
from toolkit.way import CEILINGS, EXPLANATIONS, Way, requests, seconds
from toolkit.wording import harmless, visible

ROWS: Final = pa.schema(
    [
        ("user_id", pa.string()),
        ("connection", pa.string()),
        ("strategy", pa.string()),
        ("source", pa.string()),
        ("picture", pa.string()),
        ("metadata_picture", pa.string()),
        ("after", pa.string()),
        ("outcome", pa.string()),
        ("reason", pa.string()),
    ]
)
"""The columns of a plan's rows, one for each user of the snapshot.

`picture` and `metadata_picture` are what the snapshot holds, `after` is what `picture`, the
claim `picture` (ways `action` and `rule`) or `metadata_picture` becomes, null where it does
not change. `outcome` is `change`, `stay`, or `cannot` where it would change and must not.
"""

NEEDED: Final = (
    "user_id",
    "connection",
    "strategy",
    "source",
    "picture",
    "metadata_picture",
)
"""The columns of a snapshot that a plan is made from."""

_PICTURE: Final = NEEDED.index("picture")

CHANGE, STAY, CANNOT = "change", "stay", "cannot"

ASKS_AGAIN_ABOVE: Final = 2 / 3
"""The share of a tenant's users above which a change of users must be agreed to once more.

A default picture concerns everybody without a picture of their own, which is often half of a
tenant; where more than two thirds would change, a scope is more likely to be wrong.
"""

_MOST = 10**12  # beyond it nothing is a number of users, or of requests a second
_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
_ODD = "has a picture that is no absolute web address: Auth0 would not take it back"
_ABSENT = "has no picture now, and Auth0 would not remove one again: it could not be undone"
_UNKNOWN = "nobody knows their connection, so not whether Auth0 takes it"
_ROW = tuple[str | None, str, str]  # after, outcome, reason
_EPOCH, _UNIT = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)
_GRAVATARS = frozenset(place for place, one in enumerate(RULES) if one.source is Source.UNRESOLVED)
_REMEMBERED = 65_536


class _Decision(NamedTuple):
    """What was decided about a user, and so about all who are alike.

    Attributes:
        row: of the first of them.
        counted: the first of them, counted.
        after: what follows the first `?` of `after`, where what precedes it is everybody's own.
    """

    row: _ROW
    counted: "Tally"
    after: str | None


@dataclass(frozen=True, slots=True)
class Tally:
    """How many users of each kind; adds up, so that users can be counted piece by piece.

    Attributes:
        reasons: users by (outcome, reason).
        connections: users by (connection, outcome).
        sources: users by (source, outcome).
        ways: users whom each way would change.
    """

    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    connections: Counter[tuple[str, str]] = field(default_factory=Counter)
    sources: Counter[tuple[str, str]] = field(default_factory=Counter)
    ways: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: Self) -> "Tally":
        return Tally(
            self.reasons + other.reasons,
            self.connections + other.connections,
            self.sources + other.sources,
            self.ways + other.ways,
        )

    def add(self, other: Self, times: int) -> None:
        """Add another, so many times, to this one."""
        for mine, further in (
            (self.reasons, other.reasons),
            (self.connections, other.connections),
            (self.sources, other.sources),
            (self.ways, other.ways),
        ):
            for key, users in further.items():
                mine[key] += users * times  # type: ignore[index] # of the same kind

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
            "connections": _nested(self.connections),
            "sources": _nested(self.sources),
            "ways": dict(self.ways),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `as_dict` wrote.

        Raises:
            KeyError, TypeError, ValueError: a value is missing or of another type.
        """
        reasons = Counter(
            {
                (text(one["outcome"]), text(one["reason"])): _count(one["users"])
                for one in items(values["reasons"])
            }
        )
        connections, sources = (_flat(values[name]) for name in ("connections", "sources"))
        ways = Counter({name: _count(users) for name, users in values["ways"].items()})
        return cls(reasons, connections, sources, ways)


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value < _MOST:
        raise ValueError("not a number of users")
    return value


def _nested(counts: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    nested: dict[str, dict[str, int]] = {}
    for (name, outcome), users in sorted(counts.items()):
        nested.setdefault(name, {})[outcome] = users
    return nested


def _flat(nested: Mapping[str, Mapping[str, int]]) -> Counter[tuple[str, str]]:
    return Counter(
        {
            (name, outcome): _count(users)
            for name, one in nested.items()
            for outcome, users in one.items()
        }
    )


@dataclass(frozen=True, slots=True)
class Decider:
    """Decides about users, one frame at a time.

    Attributes:
        way: how the picture is brought to people.
        policy: what was decided.
        now: the time of the decision: signed pictures expire.
        connections: the tenant's connections by name, or None where they were not read.
        irreversible: whether users are changed who could not be changed back.
    """

    way: Way
    policy: Policy
    now: datetime
    connections: Mapping[str, Connection] | None = None
    irreversible: bool = False
    # What was decided already; it is forgotten when it grows.
    _known: dict[Hashable, _Decision] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def decided(self, users: pd.DataFrame) -> tuple[pa.Table, Tally]:
        """Decide about users.

        Args:
            users: rows with the columns `NEEDED`.

        Returns:
            As many rows with the columns `ROWS`, in the same order, and their counts.
        """
        columns = [_texts(users[name]) for name in NEEDED]
        arrays = [pa.array(values, pa.string()) for values in columns]
        kinds = self._kinds(columns, arrays[_PICTURE])
        tally = Tally()
        found: Counter[Hashable] = Counter()
        decided: dict[Hashable, _Decision] = {}
        rows: list[_ROW] = []
        for kind, values in zip(kinds, zip(*columns, strict=True), strict=True):
            if kind is None:
                rows.append(self._row(tally, *values))
                continue
            decision = decided.get(kind)
            if decision is None:
                decision = decided[kind] = self._decision(kind, values)
            found[kind] += 1
            row, after = decision.row, decision.after
            if after is not None:
                row = (f"{str(values[_PICTURE]).partition('?')[0]}?{after}", *row[1:])
            rows.append(row)
        for kind, users_alike in found.items():
            tally.add(decided[kind].counted, users_alike)
        decisions = list(zip(*rows, strict=True)) or [(), (), ()]
        arrays += [pa.array(values, pa.string()) for values in decisions]
        return pa.table(arrays, schema=ROWS), tally

    def _kinds(
        self, columns: Sequence[Sequence[str | None]], pictures: pa.StringArray
    ) -> Iterator[Hashable]:
        """Yield for each user what decides about them, or None where that is not known."""
        rules, expiry = alike(pictures)
        late = (expiry > 0) & (expiry <= (self.now - _EPOCH) // _UNIT)
        meant = {self.policy.picture, *self.policy.former}
        told = zip(rules.tolist(), late.tolist(), *columns, strict=True)
        for rule, expired, user_id, connection, strategy, source, picture, metadata_picture in told:
            who = (connection, strategy, source, bool(user_id))
            if metadata_picture is not None or picture in meant:
                yield None
            elif picture is None:
                yield who
            elif not takes_picture(picture) or rule < 0:
                yield None
            elif rule in _GRAVATARS:
                before, mark, query = picture.partition("?")
                yield *who, rule, before.startswith("https:"), mark, query
            else:
                yield *who, rule, expired

    def _decision(self, kind: Hashable, values: Sequence[str | None]) -> _Decision:
        known = self._known.get(kind)
        if known is None:
            counted = Tally()
            row = self._row(counted, *values)
            rest = (row[0] or "").partition("?")[2]
            own = row[0] != self.policy.picture and row[0] is not None
            known = _Decision(row, counted, rest if own else None)
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[kind] = known
        return known

    def _row(
        self,
        tally: Tally,
        user_id: str | None,
        connection: str | None,
        strategy: str | None,
        source: str | None,
        picture: str | None,
        metadata_picture: str | None,
    ) -> _ROW:
        policy, now = self.policy, self.now
        root = replaced_root(picture, connection=connection, policy=policy, now=now)
        claim = metadata = root
        given = {"metadata_picture": metadata_picture, "connection": connection}
        # Each costs as much again, so none is asked that cannot decide otherwise.
        if policy.override and metadata_picture is not None:
            claim = replaced(picture, **given, policy=policy, now=now)
        if metadata_picture is not None or root.after is not None:
            metadata = replaced_metadata(picture, **given, policy=policy, now=now)
        where = self._connection(connection, strategy)
        rows = {
            Way.ACTION: _as_row(claim),
            Way.RULE: _as_row(claim),
            Way.ROOT: _as_row(root, lambda: self._against(where, picture)),
            Way.METADATA: _as_row(metadata),
        }
        if not user_id:
            rows = dict.fromkeys(rows, (None, STAY, "without a user_id nobody can be written"))
        for way, (_, outcome, _) in rows.items():
            tally.ways[way] += outcome == CHANGE
        after, outcome, reason = rows[self.way]
        tally.reasons[outcome, reason] += 1
        tally.connections[connection or "", outcome] += 1
        tally.sources[source or "", outcome] += 1
        return after, outcome, reason

    def _connection(self, name: str | None, strategy: str | None) -> Connection | None:
        if name and self.connections and name in self.connections:
            return self.connections[name]
        return Connection(name or "", strategy) if strategy else None

    def _against(self, connection: Connection | None, picture: str | None) -> str | None:
        """Say why the root picture of a user must not be written; None where it may be."""
        if connection is None:
            return _UNKNOWN
        if connection.refusal or self.irreversible:
            return connection.refusal
        if picture is None:
            return _ABSENT if connection.strategy in KEEPING else None
        return None if takes_picture(picture) else _ODD


def _texts(column: pd.Series) -> list[str | None]:
    texts: list[str | None] = column.astype(object).where(column.notna(), None).tolist()
    return texts


def _as_row(replacement: Replacement, against: Callable[[], str | None] = lambda: None) -> _ROW:
    if replacement.after is None:
        return None, STAY, replacement.reason
    reason = against()
    if reason is not None:
        return None, CANNOT, reason
    return replacement.after, CHANGE, replacement.reason


@dataclass(frozen=True, slots=True, repr=False)
class Plan:
    """What would be done to a tenant, bound to it, to a snapshot of it, and to a time.

    Attributes:
        id: 16 hex, by which a journal knows its plan.
        tenant: the tenant's domain.
        sandbox: whether that is a sandbox.
        way: how the picture is brought to people.
        policy: what was decided.
        made_at: when the plan was made (UTC).
        taken_at: when its snapshot was begun (UTC).
        digest: SHA-256 of what the snapshot holds of its users, 64 hex.
        users: users of the snapshot.
        tally: how many users of each kind.
        connections_read: whether the tenant's connections were asked, and not guessed.
        irreversible: whether users are changed who could not be changed back.
        verdicts: what was found about the picture: name, `ok`, `warn` or `fail`, and why.
        code: the Action's JavaScript (way `action`), or None.
        rules: the two Rules' JavaScript (way `rule`), or nothing.
        rate: requests a second that were measured at the tenant, or None.
        notes: what else is worth knowing.
        toolkit_version: the version that made it.
        path: the file that holds it and its rows, or None where it was only counted.
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
        """What share of the tenant that is, 0 to 1."""
        return self.changes / self.users if self.users else 0.0

    @property
    def asks_again(self) -> bool:
        """Whether so many users are written that it must be agreed to once more."""
        return self.way.writes_users and self.share > ASKS_AGAIN_ABOVE

    def effort(self) -> dict[str, dict[str, Any]]:
        """Return, for each way, users, requests, and seconds at each of Auth0's plans.

        Where a rate was measured, `seconds` has `measured`, too.
        """
        plans: dict[str, str | float] = {name: name for name in CEILINGS}
        if self.rate:
            plans["measured"] = self.rate
        return {
            way.value: {
                "users": self.tally.ways[way],
                "requests": requests(way, self.tally.ways[way]),
                "seconds": {
                    name: round(seconds(way, self.tally.ways[way], plan), 1)
                    for name, plan in plans.items()
                },
            }
            for way in Way
        }

    def table(self, by: str = "reason") -> pd.DataFrame:
        """Return how many users change, stay, or cannot be changed.

        Args:
            by: `reason`, `connection`, `source` or `way`.

        Raises:
            ValueError: there is no such table.
        """
        if by == "reason":
            return pd.DataFrame(
                self.tally.as_dict()["reasons"], columns=["outcome", "reason", "users"]
            )
        if by == "way":
            rows = [
                {"way": way, "users": one["users"], "requests": one["requests"], **one["seconds"]}
                for way, one in self.effort().items()
            ]
            return pd.DataFrame(rows)
        if by not in {"connection", "source"}:
            raise ValueError(f"no table by {by!r}: choose reason, connection, source or way")
        counts = self.tally.connections if by == "connection" else self.tally.sources
        rows = [
            {by: name, CHANGE: 0, CANNOT: 0, STAY: 0, **one}
            for name, one in _nested(counts).items()
        ]
        frame = pd.DataFrame(rows, columns=[by, CHANGE, CANNOT, STAY])
        return frame.sort_values([CHANGE, by], ascending=[False, True], ignore_index=True)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values; times as ISO 8601."""
        return {
            "id": self.id,
            "tenant": self.tenant,
            "sandbox": self.sandbox,
            "way": self.way.value,
            "policy": asdict(self.policy),
            "made_at": self.made_at.isoformat(),
            "snapshot": {
                "taken_at": self.taken_at.isoformat(),
                "users": self.users,
                "digest": self.digest,
            },
            "changes": self.changes,
            "share": self.share,
            "cannot": self.tally.of(CANNOT),
            "asks_again": self.asks_again,
            "tally": self.tally.as_dict(),
            "connections_read": self.connections_read,
            "irreversible": self.irreversible,
            "verdicts": [list(one) for one in self.verdicts],
            "effort": self.effort(),
            "explanation": asdict(EXPLANATIONS[self.way]),
            "code": self.code,
            "rules": list(self.rules),
            "rate": self.rate,
            "notes": list(self.notes),
            "toolkit_version": self.toolkit_version,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], path: Path | None = None) -> Self:
        """Read what `as_dict` wrote.

        Raises:
            KeyError, TypeError, ValueError, SettingsError: a value is missing or of another
                type, or the policy could not be carried out.
        """
        policy, snapshot = dict(values["policy"]), values["snapshot"]
        for name, kind in (("former", str), ("connections", str), ("sources", Source)):
            if policy[name] is not None:
                policy[name] = tuple(map(kind, texts(policy[name])))
        text(policy["picture"])
        flag(policy["override"])
        flag(policy["expired"])
        return cls(
            id=_id(values["id"]),
            tenant=text(values["tenant"]),
            sandbox=flag(values["sandbox"]),
            way=Way(values["way"]),
            policy=Policy(**policy),
            made_at=moment(values["made_at"]),
            taken_at=moment(snapshot["taken_at"]),
            digest=text(snapshot["digest"]),
            users=_count(snapshot["users"]),
            tally=Tally.from_dict(values["tally"]),
            connections_read=flag(values["connections_read"]),
            irreversible=flag(values["irreversible"]),
            verdicts=tuple((text(a), text(b), text(c)) for a, b, c in items(values["verdicts"])),
            code=None if values["code"] is None else text(values["code"]),
            rules=texts(values["rules"]),
            rate=None if values["rate"] is None else _rate(values["rate"]),
            notes=texts(values["notes"]),
            toolkit_version=text(values["toolkit_version"]),
            path=path,
        )

    def _facts(self) -> list[str]:
        """Return the plan in lines: the answer first, then why, cost and undo."""
        cannot = self.tally.of(CANNOT)
        lines = [
            f"{self.changes:,} of {self.users:,} users change ({self.share:.0%}), by {self.way}",
            f"{self.tally.of(STAY):,} stay as they are, {cannot:,} cannot be changed",
        ]
        lines += [
            f"cannot: {users:,} users: {reason}"
            for (outcome, reason), users in self.tally.reasons.most_common()
            if outcome == CANNOT
        ]
        lines += [f"{name}: {text}" for name, text in asdict(EXPLANATIONS[self.way]).items()]
        return lines + [f"note: {note}" for note in self.notes]

    def _times(self) -> list[str]:
        return [
            f"{way}: {one['users']:,} users, {one['requests']:,} requests, "
            + ", ".join(f"{_lasting(time)} at {name}" for name, time in one["seconds"].items())
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
        """Say the same as `repr`, with the table of reasons."""
        answer, *facts = self._facts()
        tenant, picture = escape(visible(self.tenant)), escape(visible(self.policy.picture))
        rows = "".join(
            f"<tr><td>{escape(visible(outcome))}</td><td>{escape(visible(reason))}</td>"
            f'<td style="text-align:right">{users:,}</td></tr>'
            for (outcome, reason), users in self.tally.reasons.most_common()
        )
        code = "".join(f"<pre>{escape(harmless(text))}</pre>" for text in self.rules)
        return (
            f"<div><p><b>{escape(visible(answer))}</b><br>{tenant}, snapshot of "
            f"{self.taken_at:%Y-%m-%d %H:%M} UTC; <code>{picture}</code></p>"
            f"<ul>{_items(facts)}</ul><table><thead><tr><th>outcome</th><th>why</th><th>users</th>"
            f"</tr></thead><tbody>{rows}</tbody></table><ul>{_items(self._times())}</ul>{code}</div>"
        )


def _id(value: object) -> str:
    """Read a plan's id, which stands in names and in headers of requests."""
    if not _ID.fullmatch(text(value)):
        raise ValueError("not a plan's id")
    return text(value)


def _rate(value: object) -> float:
    if not isinstance(value, int | float) or not 0 < value < _MOST:
        raise ValueError("not a rate")
    return float(value)


def _items(lines: Iterable[str]) -> str:
    return "".join(f"<li>{escape(visible(line))}</li>" for line in lines)


def _lasting(span: float) -> str:
    """Return a span of time as people say it."""
    minutes = timedelta(seconds=span) / timedelta(minutes=1)
    if minutes < 1:
        return f"{span:.0f} s"
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"  # noqa: PLR2004 - up to there minutes read better
