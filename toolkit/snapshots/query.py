"""Count, list, search and export the users of a snapshot, fast enough for a panel.

Users who are equal in everything that is counted are one row of a small table in memory, which
answers every filter. Names, dates and findings are loaded when they are first needed. Pages and
files are read from the snapshot's Parquet.
"""

import threading
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import duckdb
import pandas as pd
import pyarrow as pa

from toolkit.analysis.coverage_count import Coverage
from toolkit.analysis.duckdb_engine import one_line_for_damage, stored_users
from toolkit.analysis.finding_counts import Findings, findings
from toolkit.analysis.groups import ACTIVITY, Seen, ensure_choice, lacking, named
from toolkit.analysis.selection import Selection, derived
from toolkit.analysis.shown_picture import show
from toolkit.classification.schema import SNAPSHOT, to_frame
from toolkit.errors import UnreadableInputError
from toolkit.formatting import csv
from toolkit.snapshots.snapshot import Snapshot, writing
from toolkit.snapshots.storage import replacing

_PLACES = ", ".join(f"'{seen}'" for seen in Seen)
ORDERS: Mapping[str, str] = {
    "user": "searched",
    "connection": "connection_group",
    "source": "source",
    "people see": f"list_position([{_PLACES}], sight)",
    "joined": "created_at",
    "last login": "last_login",
    "expires": "expires_at",
}
"""The columns that a page can be sorted by. Who never logged in comes before the first login."""

_MEMORY = "1GB"
_ROWS = 50_000  # users written at a time
# The column that holds the groups of each kind, and the field of a selection that filters it.
_GROUPS = {
    "connection": ("connection_group", "connections"),
    "source": ("source", "sources"),
    "provider": ("provider_group", "providers"),
    "cohort": ("cohort", ""),
    "activity": ("activity_group", "activity"),
    "seen": ("sight", "seen"),
}
_COUNTED = ", ".join(column for column, _ in _GROUPS.values())
_KIND = f"hash({_COUNTED}) AS kind"  # the users who are counted together
_NAMES = ", ".join(SNAPSHOT.names)
_PAGE = pa.schema([*SNAPSHOT, pa.field("shows", pa.string()), pa.field("sight", pa.string())])
_VIEW = """
    CREATE VIEW listed AS
        SELECT * EXCLUDE file_row_number, file_row_number AS row_number, {} FROM shown
"""
_EVERYBODY = f"""
    CREATE TABLE everybody AS SELECT {_COUNTED}, {_KIND}, count(*) AS users FROM listed GROUP BY ALL
"""  # noqa: S608 - names of this module
# What is loaded once, for searches and sorted pages.
_LOADED = {
    "people": f"{_KIND}, searched, created_at, last_login, expires_at",
    "concerned": "concerns",
    "named": "user_id",
}
_FOUND = """
    CREATE OR REPLACE TEMP TABLE counted AS
        SELECT everybody.* REPLACE (met.users AS users) FROM everybody
        JOIN (SELECT kind, count(*) AS users FROM found GROUP BY kind) AS met USING (kind)
"""
# The fields of a selection that `everybody` cannot answer, and the table that has what they need.
_SEARCHED = {"text": "people", "finding": "concerned", "user_ids": "named"}


class Roster:
    """The users of one snapshot. Threads may share it.

    The first search, finding or order loads about 150 bytes a user into memory.

    Args:
        snapshot: any snapshot; if it is in memory only, it is written to a private file first.

    Raises:
        UnreadableInputError: the file cannot be read, or has changed since; every method that
            reads it raises it, too.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.provenance = snapshot.provenance
        self._lock = threading.RLock()
        # DuckDB's temporary files contain personal data, too.
        self._folder = TemporaryDirectory(prefix="picture-audit-")
        self._path = snapshot.path or Path(self._folder.name) / "snapshot.parquet"
        if snapshot.path is None:
            snapshot.write(self._path)
        self._stood = self._state()
        self._engine = duckdb.connect(
            config={"memory_limit": _MEMORY, "temp_directory": self._folder.name}
        )
        # Lock order: these before the lock above, or without it.
        self._loading, self._streaming = threading.Lock(), threading.Lock()
        self._loaded: set[str] = set()
        # DuckDB reports an error if a process ends while a connection is open.
        weakref.finalize(self, self._engine.close)
        self._found = Selection()
        try:
            with one_line_for_damage(self._path):
                self._engine.execute("SET TimeZone = 'UTC'")
                stored_users(self._engine, self._path, numbered=True).create_view("users")
                taken_at, wiring = self.provenance.taken_at, self.provenance.wiring
                absent = self.provenance.absent
                show(self._engine, "shown", as_of=taken_at, wiring=wiring)
                self._engine.execute(_VIEW.format(derived(taken_at, absent, wiring)))
                self._engine.execute(_EVERYBODY)
        except UnreadableInputError:
            self.close()
            raise

    def close(self) -> None:
        """Release memory and files after the writes under way."""
        with self._loading, self._streaming, self._lock:
            self._engine.close()
            self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def users(self, selection: Selection | None = None) -> int:
        """Count the users of a selection."""
        return sum(int(users) for _, users in self._sums("source", selection or Selection()))

    def coverage(self, by: str = "source", selection: Selection | None = None) -> Coverage:
        """Count the users of a selection, as `toolkit.analysis.coverage_count.coverage` does."""
        ensure_choice(by)
        chosen = selection or Selection()
        column, _ = _GROUPS[by]
        rows = [
            (named(by, group), *told)
            for group, *told in self._sums(f"{column} AS grouped, source, sight", chosen)
        ]
        counts = pd.DataFrame(rows, columns=["group", "source", "seen", "users"])
        facts = self.provenance
        counted = Coverage(by, counts, note=lacking(by, facts.absent), made_up=facts.sandbox)
        if chosen != Selection():
            return counted
        return replace(counted, estimate=facts.estimate, looked=facts.own_sample)

    def choices(self, selection: Selection | None = None) -> dict[str, dict[str, int]]:
        """Count, for each kind of `_GROUPS`, the users of each value while other filters stay."""
        chosen = selection or Selection()
        found = {}
        for by, (_, field) in _GROUPS.items():
            lifted = {field: ()} if field else {"joined_from": None, "joined_to": None}
            some = self._choices(by, replace(chosen, **lifted))
            found[by] = {name: some.get(name, 0) for name in self._choices(by, Selection())}
        return found

    def _choices(self, by: str, selection: Selection) -> dict[str, int]:
        rows = self._sums(_GROUPS[by][0], selection, "ORDER BY ALL")
        return {named(by, key): int(users) for key, users in rows}

    def findings(self) -> Findings:
        """Return what is wrong with the pictures of all users, as `Snapshot.findings` does."""
        facts = self.provenance
        self._ensure_unchanged()
        return findings(self._path, as_of=facts.taken_at, wiring=facts.wiring, absent=facts.absent)

    def page(
        self,
        selection: Selection | None = None,
        *,
        order: str = "",
        descending: bool = False,
        limit: int = 25,
        offset: int = 0,
    ) -> pd.DataFrame:
        """Read at most `limit` users of a selection behind the first ones.

        By one of `ORDERS`, those without a value last, or as they are stored. Also the columns
        `shows` and `sight` of `toolkit.analysis.shown_picture`.
        """
        chosen = selection or Selection()
        rows = self._rows(chosen, order, descending=descending, limit=limit, offset=offset)
        with self._lock, one_line_for_damage(self._path):
            self._ensure_unchanged()
            # What is shown is worked out for one page only: for everybody it takes seconds.
            numbers = ", ".join(map(str, rows)) or "NULL"
            found = self._engine.sql(
                f"SELECT {_NAMES}, shows, sight FROM listed WHERE row_number IN ({numbers}) "  # noqa: S608 - numbers, and names of this package
                f"ORDER BY list_position([{numbers}], row_number)"
            )
            return to_frame(found.to_arrow_table().cast(_PAGE))

    def write_csv(self, path: Path, selection: Selection | None = None) -> int:
        """Write the users of a selection as `csv` does, for spreadsheets; returns how many."""
        written = 0
        with replacing(path) as file:
            file.write(csv(to_frame(SNAPSHOT.empty_table())).encode())
            for frame in self._frames(selection or Selection()):
                file.write(csv(frame).partition("\n")[2].encode())
                written += len(frame)
        return written

    def write_parquet(self, path: Path, selection: Selection | None = None) -> int:
        """Write the users of a selection as a snapshot marked as not complete; returns how many."""
        chosen, written = selection or Selection(), 0
        with writing(path) as writer:
            for frame in self._frames(chosen):
                writer.add(frame)
                written += len(frame)
            told = replace(self.provenance, users=written)
            if chosen != Selection():
                note = f"a selection: {written:,} of {self.provenance.users:,} users"
                notes = (*told.notes, note)
                told = replace(told, complete=False, estimate=None, own_sample=None, notes=notes)
            writer.finish(told)
        return written

    def _frames(self, selection: Selection) -> Iterator[pd.DataFrame]:
        """Read a selection in pieces, while other threads ask."""
        condition, values = selection.condition()
        with self._streaming, self._cursor() as engine, one_line_for_damage(self._path):
            rows = engine.sql(
                f"SELECT {_NAMES} FROM listed WHERE {condition}",  # noqa: S608 - names of this package; values are bound
                params=values,
            )
            for batch in rows.to_arrow_reader(_ROWS):
                yield to_frame(pa.Table.from_batches([batch]).cast(SNAPSHOT))

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        with self._lock:
            self._ensure_unchanged()
            engine = self._engine.cursor()
        return engine.execute("SET TimeZone = 'UTC'")

    def _sums(self, columns: str, selection: Selection, order: str = "") -> list[tuple[Any, ...]]:
        searched, rest = self._parted(selection)
        with self._lock, one_line_for_damage(self._path):
            self._ensure_unchanged()
            self._search(searched)
            condition, values = rest.condition()
            counted = "everybody" if searched == Selection() else "counted"
            return self._engine.execute(
                f"SELECT {columns}, sum(users) FROM {counted} WHERE {condition} "  # noqa: S608 - names of this module; values are bound
                f"GROUP BY ALL {order}",
                values,
            ).fetchall()

    def _rows(
        self, selection: Selection, order: str, *, descending: bool, limit: int, offset: int
    ) -> list[int]:
        """Return the numbers of the rows of a page, in its order."""
        if selection == Selection() and not order:
            return list(range(offset, min(offset + limit, self.provenance.users)))
        searched, rest = self._parted(selection)
        self.prepare("people")
        with self._lock, one_line_for_damage(self._path):
            self._ensure_unchanged()
            self._search(searched)
            condition, values = rest.condition()
            if searched != Selection():
                condition += " AND row_number IN (SELECT row_number FROM found)"
            first = (
                f"{ORDERS[order]} {'DESC' if descending else 'ASC'} NULLS LAST, " if order else ""
            )
            if order == "last login":
                # At one end who has never logged in, at the other of whom it is not known.
                never = tuple(ACTIVITY).index("never")
                end = "ASC" if descending else "DESC"
                first = f"activity_group = {never} {end}, {first}"
            return [
                number
                for (number,) in self._engine.execute(
                    "SELECT row_number FROM people JOIN everybody USING (kind) "  # noqa: S608 - names of this module; values are bound
                    f"WHERE {condition} ORDER BY {first}row_number LIMIT $limit OFFSET $offset",
                    values | {"limit": limit, "offset": offset},
                ).fetchall()
            ]

    def _parted(self, selection: Selection) -> tuple[Selection, Selection]:
        """Return what is searched for in the people, which is loaded, and what `everybody` has."""
        given = {name: getattr(selection, name) for name in _SEARCHED if getattr(selection, name)}
        if not given:
            return Selection(), selection
        for table in ("people", *(_SEARCHED[name] for name in given)):
            self.prepare(table)
        without = replace(selection, **{name: type(value)() for name, value in given.items()})
        return Selection(**given, excluding=selection.excluding), without

    def prepare(self, table: str) -> None:
        """Load "people" (to search and sort) or "concerned" (findings), if not there yet.

        Other threads may ask meanwhile.
        """
        if table in self._loaded:
            return  # without waiting for another one
        with self._loading:
            if table in self._loaded:
                return
            with self._cursor() as engine, one_line_for_damage(self._path):
                engine.execute(
                    f"CREATE TABLE {table} AS SELECT row_number, {_LOADED[table]} FROM listed"  # noqa: S608 - names of this module
                )
            self._loaded.add(table)

    def _search(self, searched: Selection) -> None:
        if searched in (self._found, Selection()):
            return
        condition, values = searched.condition()
        others = {table for name, table in _SEARCHED.items() if getattr(searched, name)}
        joined = " ".join(f"JOIN {table} USING (row_number)" for table in others - {"people"})
        self._engine.execute(
            "CREATE OR REPLACE TEMP TABLE found AS "  # noqa: S608 - a selection's condition; values are bound
            f"SELECT row_number, kind FROM people {joined} WHERE {condition}",
            values,
        )
        self._engine.execute(_FOUND)
        self._found = searched

    def _state(self) -> tuple[int, int, int]:
        try:
            now = self._path.stat()
        except OSError as error:
            raise UnreadableInputError(f"{self._path} is gone: collect again.") from error
        return now.st_ino, now.st_size, now.st_mtime_ns

    def _ensure_unchanged(self) -> None:
        if self._state() != self._stood:
            raise UnreadableInputError(
                f"{self._path} has changed since it was opened: read it and show it again."
            )
