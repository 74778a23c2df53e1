"""Compare two snapshots of a tenant: users are matched by their user_id, in one pass of DuckDB."""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import duckdb
import pandas as pd

from toolkit.analysis.duckdb_engine import engine, stored_users
from toolkit.analysis.headline_words import between
from toolkit.classification.schema import SNAPSHOT, to_frame
from toolkit.classification.sources import Source
from toolkit.errors import SettingsError, UnreadableInputError
from toolkit.formatting import html_table, mask, percent, render, visible
from toolkit.snapshots.history import UNNAMED, Moment, differ, ensure_same_tenant, moment_of
from toolkit.snapshots.snapshot import Provenance, Snapshot

_EXAMPLES = 3

# Users are compared by a 128-bit hash of their user_id, which is shorter: among ten million, the
# chance that two share it is about 1 in 10^24. A source takes one byte.
_SOURCE = f"ENUM {tuple(source.value for source in Source)}"
_USERS = f"""
    CREATE VIEW {{}} AS SELECT row, user_id::VARCHAR AS user_id, source::{_SOURCE} AS source,
        CASE WHEN user_id <> '' THEN hash(user_id::VARCHAR)::UHUGEINT * 18446744073709551616
            + hash(user_id || '#')::UHUGEINT END AS key,
        hash(CASE source WHEN 'metadata' THEN metadata_picture::VARCHAR
            ELSE picture::VARCHAR END) AS digest
    FROM {{}}
"""  # noqa: S608 - names of this module
_MATCHED = f"""
    CREATE TABLE matched AS SELECT old.source AS before, new.source AS after, count(*) AS users,
        count(*) FILTER (old.digest <> new.digest) AS changed,
        count(*) FILTER (coalesce(old.key, new.key) IS NULL) AS nameless,
        min(coalesce(old.key, new.key), {_EXAMPLES}) AS keys
    FROM old FULL OUTER JOIN new ON old.key = new.key
    GROUP BY ALL
"""  # noqa: S608 - a number of this module
_NAMED = """
    WITH named AS (
        SELECT DISTINCT key, user_id FROM (
            SELECT key, user_id FROM old UNION ALL SELECT key, user_id FROM new
        ) SEMI JOIN (SELECT unnest(keys) AS key FROM matched) USING (key)
    )
    SELECT before, after, users, changed, nameless,
        list_sort(list(user_id) FILTER (user_id IS NOT NULL))
    FROM matched LEFT JOIN named ON list_contains(keys, key)
    GROUP BY ALL
"""


@dataclass(frozen=True, slots=True)
class Move:
    """Users by the source of their picture, before and after.

    Attributes:
        before: the source in the old snapshot; None for new users.
        after: the source in the new snapshot; None for deleted users.
        users: how many they are.
        changed: how many of them have another picture address; signed ones change with each login.
        examples: up to three of their user_ids, in order, with the middle hidden.
    """

    before: Source | None
    after: Source | None
    users: int
    changed: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Comparison:
    """The comparison of two snapshots of a tenant; notebooks show it as a table.

    `moves` has each pair of sources that occurs, the most users first, with those who stayed;
    `notes` tell how to read the numbers.
    """

    old: Moment
    new: Moment
    moves: tuple[Move, ...]
    notes: tuple[str, ...] = ()

    @property
    def flow(self) -> pd.DataFrame:
        """Users who are in both snapshots, the most first; where `from` is `to`, they stayed.

        Columns `from`, `to`, `users` (int64) and `examples` (masked user_ids between blanks).
        """
        both = [one for one in self.moves if one.before and one.after]
        return _listed(both, {"from": "before", "to": "after"})

    @property
    def came(self) -> pd.DataFrame:
        """Users who are only in the new snapshot: columns `source`, `users`, `examples`."""
        return _listed([one for one in self.moves if not one.before], {"source": "after"})

    @property
    def went(self) -> pd.DataFrame:
        """Users who are only in the old snapshot: columns `source`, `users`, `examples`."""
        return _listed([one for one in self.moves if not one.after], {"source": "before"})

    @property
    def moved(self) -> int:
        """How many users are in both snapshots, with different sources."""
        return sum(one.users for one in self.changes if one.before and one.after)

    @property
    def matched(self) -> int:
        """How many users are in both snapshots."""
        return sum(one.users for one in self.moves if one.before and one.after)

    @property
    def changes(self) -> tuple[Move, ...]:
        """New users, deleted users and users with another source, the most users first."""
        return tuple(one for one in self.moves if one.before is not one.after)

    def table(self) -> pd.DataFrame:
        """Return the changes of each source.

        Returns:
            One row for each source that occurs, in the order of `Source`: `source`, and in users
            (int64) `before`, `after`, `change`, `came`, `went`, `moved_in`, `moved_out`, `stayed`
            and `changed` (those of `stayed` who have another picture).
        """
        sums: Counter[tuple[Source | None, str]] = Counter()
        for one in self.moves:
            if one.before is one.after:
                sums[one.after, "stayed"] += one.users
                sums[one.after, "changed"] += one.changed
            else:
                sums[one.after, "moved_in" if one.before else "came"] += one.users
                sums[one.before, "moved_out" if one.after else "went"] += one.users
        names = "came went moved_in moved_out stayed changed".split()
        rows = []
        for source in Source:
            before, after = self.old.sources.get(source, 0), self.new.sources.get(source, 0)
            if before or after:
                counts = (sums[source, name] for name in names)
                rows.append((source, before, after, after - before, *counts))
        return _frame(rows, ["source", "before", "after", "change", *names])

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: the attributes and frames, one object a row."""
        table = self.table().set_index("source")
        return {
            "old": self.old.as_dict(),
            "new": self.new.as_dict(),
            "matched": self.matched,
            "moved": self.moved,
            "came": self.new.users - self.matched,
            "went": self.old.users - self.matched,
            "sources": {str(name): row for name, row in table.to_dict("index").items()},
            "flow": self.flow.to_dict("records"),
            "came_by_source": self.came.to_dict("records"),
            "went_by_source": self.went.to_dict("records"),
            "notes": list(self.notes),
        }

    def lines(self) -> list[str]:
        """Return in sentences what it is, and what has changed."""
        return [_caption(self), *_sums(self)]

    def tables(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return two tables for people to read: who moved, and the changes of each source."""
        return _moves_in_words(self), _words(self.table())

    def __repr__(self) -> str:
        moves, table = (one.to_string(index=False) for one in self.tables())
        notes = map(visible, self.notes)
        return "\n".join([*self.lines(), *([moves] if self.changes else ()), table, *notes])

    def _repr_html_(self) -> str:
        moves = html_table(_moves_in_words(self), "Whose pictures come from another source")
        return render(
            "snapshots/comparison.html.j2",
            sources=html_table(_words(self.table()), _caption(self)),
            sums=_sums(self),
            moves=moves if self.changes else "",
            notes=self.notes,
        )


def compare(old: Snapshot, new: Snapshot, *, anyway: bool = False) -> Comparison:
    """Compare two snapshots: who has another source, who is new and who is gone.

    Args:
        old: the earlier snapshot.
        new: the later snapshot.
        anyway: also compare snapshots of different tenants, for example after a migration.

    Returns:
        The comparison. Users without a user_id cannot be matched: they count as deleted and new.

    Raises:
        SettingsError: they are of different tenants, and `anyway` is not set.
        UnreadableInputError: a file is damaged, or contains a user twice.
    """
    notes = list(_doubts(old.provenance, new.provenance, anyway=anyway))
    if len({"metadata_picture" in one.provenance.absent for one in (old, new)}) > 1:
        notes.append(
            "Only one of the two has user_metadata.picture: moves from or to metadata only show "
            "what was exported, not what changed."
        )
    before, after = moment_of(old), moment_of(new)
    rows = _matched(old, new)
    # A user_id that occurs twice is matched twice.
    for place, (name, moment) in enumerate((("old", before), ("new", after))):
        if sum(row[2] for row in rows if row[place]) != moment.users:
            raise UnreadableInputError(
                f"A user_id occurs more than once in the {name} snapshot, or in both: "
                "collect again."
            )
    if nameless := sum(row[4] for row in rows):
        notes.append(
            f"{nameless:,} users without a user_id cannot be matched: they count as deleted and "
            "new."
        )
    moves = []
    for source, target, users, changed, _, ids in rows:
        ends = (source and Source(source), target and Source(target))
        moves.append(Move(*ends, users, changed, tuple(map(mask, ids or ()))))
    moves.sort(key=lambda one: (-one.users, one.before or "", one.after or ""))
    return Comparison(before, after, tuple(moves), tuple(notes))


def users_moved(
    old: Snapshot, new: Snapshot, before: str | None, after: str | None, *, anyway: bool = False
) -> pd.DataFrame:
    """Return the users of one of the moves of `compare`.

    Args:
        old: the earlier snapshot.
        new: the later snapshot.
        before: their source in the old snapshot; None for new users.
        after: their source in the new one; None for deleted users.
        anyway: as for `compare`.

    Returns:
        Their rows of the new snapshot, or of the old one if they are deleted: the columns of
        `toolkit.classification.schema.SNAPSHOT`.

    Raises:
        SettingsError: a source does not exist, both are None, or as for `compare`.
        UnreadableInputError: a file is damaged.
    """
    known = [*Source, None]
    if before not in known or after not in known or before is after is None:
        raise SettingsError(
            f"Users move from one of {', '.join(Source)} to another: {before} to {after} is no "
            "such move."
        )
    deque(_doubts(old.provenance, new.provenance, anyway=anyway), 0)
    here = "old" if after is None else "new"
    columns = ", ".join(f"{here}_users.{name}" for name in SNAPSHOT.names)
    with _opened(old, new) as opened:
        found = opened.sql(
            f"""SELECT {columns} FROM old FULL OUTER JOIN new ON old.key = new.key
            JOIN {here}_users ON {here}_users.row = {here}.row
            WHERE old.source IS NOT DISTINCT FROM $before
                AND new.source IS NOT DISTINCT FROM $after
            ORDER BY {here}.row""",  # noqa: S608 - names of this package; values are bound
            params={"before": before, "after": after},
        ).to_arrow_table()
    return to_frame(found.cast(SNAPSHOT))


def _matched(old: Snapshot, new: Snapshot) -> list[tuple[Any, ...]]:
    """Return rows of source before and after, users, changed, users without an id, examples."""
    with _opened(old, new) as opened:
        opened.execute(_MATCHED)
        return opened.execute(_NAMED).fetchall()


@contextmanager
def _opened(old: Snapshot, new: Snapshot) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database with the views `old` and `new`, and the columns `old_users`, `new_users`.

    Raises:
        UnreadableInputError: a file is damaged.
    """
    with engine(ordered=False) as opened:
        try:
            for name, snapshot in (("old", old), ("new", new)):
                if snapshot.path is None:
                    rows = range(len(snapshot.users))
                    opened.register(f"{name}_users", snapshot.users.assign(row=rows))
                else:
                    stored = stored_users(opened, snapshot.path, numbered=True)
                    stored.project("*, file_row_number AS row").create_view(f"{name}_users")
                opened.execute(_USERS.format(name, f"{name}_users"))
            yield opened
        except (duckdb.Error, UnicodeDecodeError) as error:  # see `one_line_for_damage`
            raise UnreadableInputError(
                "The snapshots cannot be compared: one of them is damaged, or the folder for "
                "temporary files is full. Collect again, or set TMPDIR to a larger place."
            ) from error


def _doubts(old: Provenance, new: Provenance, *, anyway: bool) -> Iterator[str]:
    if old.redacted != new.redacted:
        raise SettingsError(
            "These snapshots are not redacted with the same key, so nobody is in both: redact both "
            "with one key."
        )
    if not anyway:
        ensure_same_tenant(old, new)
    elif differ(old, new):
        yield "These are snapshots of different tenants: users are matched by user_id all the same."
    if UNNAMED in {old.tenant, new.tenant}:
        yield "It is not known of which tenant the snapshots are: the files' names do not say."
    if old.taken_at > new.taken_at:
        yield (
            f"The first snapshot ({old.taken_at:%Y-%m-%d %H:%M}) is later than the second "
            f"({new.taken_at:%Y-%m-%d %H:%M}): swap them to read forward in time."
        )
    for name, one, seem in (("old", old, "new"), ("new", new, "deleted")):
        if not one.complete:
            yield (
                f"The {name} snapshot is not complete: users who seem to be {seem} may only "
                "have been missed."
            )
    if old.probed_at != new.probed_at:
        yield (
            "Gravatar was asked between the two: moves from or to unresolved only show what is "
            "known now, not that people see another picture."
        )
    if old.toolkit_version != new.toolkit_version:
        yield (
            f"Different versions classified them ({old.toolkit_version}, {new.toolkit_version}): "
            "moves without a new picture may be a new rule."
        )


def _listed(moves: Sequence[Move], sides: dict[str, str]) -> pd.DataFrame:
    """Return moves as a frame with some of their sides, by the names of the columns."""
    rows = [
        (*(getattr(one, side) for side in sides.values()), one.users, " ".join(one.examples))
        for one in moves
    ]
    return _frame(rows, [*sides, "users", "examples"])


def _frame(rows: list[tuple[Any, ...]], names: list[str]) -> pd.DataFrame:
    words = dict.fromkeys(["from", "to", "source", "examples"], "str")
    return pd.DataFrame(rows, columns=names).astype(
        {name: words.get(name, "int64") for name in names}
    )


def _caption(one: Comparison) -> str:
    days = [f"{moment.taken_at:%Y-%m-%d}" for moment in (one.old, one.new)]
    if days[0] == days[1]:
        days = [f"{moment.taken_at:%Y-%m-%d %H:%M}" for moment in (one.old, one.new)]
    return visible(f"What changed in {one.new.tenant} from {days[0]} to {days[1]}")


def _sums(one: Comparison) -> list[str]:
    came, went = one.new.users - one.matched, one.old.users - one.matched
    changed = sum(move.changed for move in one.moves if move.before is move.after)
    part = percent(one.moved / max(one.matched, 1), 1)
    own = [between(moment.own_low, moment.own_high, 1) for moment in (one.old, one.new)]
    return [
        f"{one.old.users:,} users became {one.new.users:,}: {came:,} new, {went:,} deleted.",
        f"{one.moved:,} of the {one.matched:,} in both ({part}) moved to another source.",
        f"{changed:,} have a new picture from the same source."
        if changed
        else "Nobody exchanged their picture for another from the same source.",
        f"A picture of their own: before {own[0]}, after {own[1]} of people.",
    ]


def _moves_in_words(one: Comparison) -> pd.DataFrame:
    rows = [(m.before or "(new user)", m.after or "(deleted)", f"{m.users:,}") for m in one.changes]
    return pd.DataFrame(rows, columns=["from", "to", "users"], dtype="str")


def _words(table: pd.DataFrame) -> pd.DataFrame:
    rows = table.astype("object")
    for name in rows.columns[1:]:
        sign = "+" if name == "change" else ""
        rows[name] = [f"{n:{sign if n else ''},d}" for n in table[name]]
    return rows.rename(columns=_COLUMNS)


_COLUMNS = {
    "came": "new users",
    "went": "deleted users",
    "moved_in": "from another source",
    "moved_out": "to another source",
    "stayed": "same source",
    "changed": "new picture",
}
