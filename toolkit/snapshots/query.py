"""Count, list, search and export the users of a snapshot, fast enough for a panel.

Users who are equal in everything that is counted are one row of a small table in memory, which
answers every filter. The first search loads names into memory. Pages and files are read from the
snapshot's Parquet.
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
from toolkit.analysis.groups import ACTIVITY, ensure_choice, lacking, named
from toolkit.analysis.selection import Selection, derived
from toolkit.analysis.shown_picture import show
from toolkit.classification.schema import SNAPSHOT, to_frame
from toolkit.errors import UnreadableInputError
from toolkit.formatting import csv
from toolkit.snapshots.snapshot import Snapshot, writing
from toolkit.snapshots.storage import replacing

ORDERS: Mapping[str, str] = {
    "as stored": "",
    "newest first": "ORDER BY created_at DESC NULLS LAST, row_number",
    "oldest first": "ORDER BY created_at ASC NULLS LAST, row_number",
    "last seen first": "ORDER BY last_login DESC NULLS LAST, row_number",
    "longest away first": (
        f"ORDER BY activity_group = {tuple(ACTIVITY).index('unknown')}, "
        "last_login ASC NULLS FIRST, row_number"
    ),
    "expired first": "ORDER BY expires_at ASC NULLS LAST, row_number",
}
"""How a page can be sorted."""

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
_PAGE = SNAPSHOT.append(pa.field("shows", pa.string()))
_VIEW = """
    CREATE VIEW listed AS
        SELECT * EXCLUDE file_row_number, file_row_number AS row_number, {} FROM shown
"""
_EVERYBODY = f"""
    CREATE TABLE everybody AS SELECT {_COUNTED}, {_KIND}, count(*) AS users FROM listed GROUP BY ALL
"""  # noqa: S608 - names of this module
_FOUND = """
    CREATE OR REPLACE TEMP VIEW matching AS
        SELECT * FROM listed WHERE row_number IN (SELECT row_number FROM found);
    CREATE OR REPLACE TEMP TABLE counted AS
        SELECT everybody.* REPLACE (met.users AS users) FROM everybody
        JOIN (SELECT kind, count(*) AS users FROM found GROUP BY kind) AS met USING (kind)
"""


class Roster:
    """The users of one snapshot. Threads may share it.

    Searching for text keeps about 120 bytes a user in memory from the first search on.

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
        self._naming, self._streaming = threading.Lock(), threading.Lock()
        self._has_names = False
        # DuckDB reports an error if a process ends while a connection is open.
        weakref.finalize(self, self._engine.close)
        self._found = ""
        try:
            with one_line_for_damage(self._path):
                self._engine.execute("SET TimeZone = 'UTC'")
                stored_users(self._engine, self._path, numbered=True).create_view("users")
                taken_at, wiring = self.provenance.taken_at, self.provenance.wiring
                absent = self.provenance.absent
                show(self._engine, "shown", as_of=taken_at, wiring=wiring)
                self._engine.execute(_VIEW.format(derived(taken_at, absent)))
                self._engine.execute(_EVERYBODY)
        except UnreadableInputError:
            self.close()
            raise

    def close(self) -> None:
        """Release memory and files after the writes under way."""
        with self._naming, self._streaming, self._lock:
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
        counted = Coverage(by, counts, note=lacking(by, self.provenance.absent))
        if chosen != Selection():
            return counted
        facts = self.provenance
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

    def page(
        self,
        selection: Selection | None = None,
        *,
        order: str = "as stored",
        limit: int = 25,
        offset: int = 0,
    ) -> pd.DataFrame:
        """Read at most `limit` users of a selection behind the first ones, in one of `ORDERS`.

        Also the column `shows` of `toolkit.analysis.shown_picture`.
        """
        chosen = selection or Selection()
        if chosen.text:
            self.prepare_search()
        with self._lock, one_line_for_damage(self._path):
            _, users, condition, values = self._where(chosen)
            # What is shown is worked out for one page only: for everybody it takes twice as long.
            page = f"SELECT row_number FROM {users} WHERE {condition} {ORDERS[order]}"  # noqa: S608 - names of this package; values are bound
            rows = self._engine.sql(
                f"SELECT {_NAMES}, shows FROM listed "  # noqa: S608 - same
                f"WHERE row_number IN ({page} LIMIT $limit OFFSET $offset) "
                f"{ORDERS[order] or 'ORDER BY row_number'}",
                params=values | {"limit": limit, "offset": offset},
            )
            return to_frame(rows.to_arrow_table().cast(_PAGE))

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
        if selection.text:
            self.prepare_search()
        with self._lock, one_line_for_damage(self._path):
            counted, _, condition, values = self._where(selection)
            return self._engine.execute(
                f"SELECT {columns}, sum(users) FROM {counted} WHERE {condition} "  # noqa: S608 - names of this module; values are bound
                f"GROUP BY ALL {order}",
                values,
            ).fetchall()

    def _where(self, selection: Selection) -> tuple[str, str, str, dict[str, Any]]:
        """Return the tables to count and to read, and the condition and its values for both."""
        self._ensure_unchanged()
        rest = replace(selection, text="")
        condition, values = rest.condition()
        if rest == selection:
            return "everybody", "listed", condition, values
        self._search(selection.text)
        return "counted", "matching", condition, values

    def prepare_search(self) -> None:
        """Load names into memory before the first search. Other threads may ask meanwhile."""
        with self._naming:
            if self._has_names:
                return
            with self._cursor() as engine, one_line_for_damage(self._path):
                engine.execute(
                    f"CREATE TABLE names AS SELECT row_number, searched, {_KIND} FROM listed"  # noqa: S608 - names of this module
                )
            self._has_names = True

    def _search(self, text: str) -> None:
        if text == self._found:
            return
        condition, values = Selection(text=text).condition()
        self._engine.execute(
            "CREATE OR REPLACE TEMP TABLE found AS "  # noqa: S608 - a selection's condition; values are bound
            f"SELECT row_number, kind FROM names WHERE {condition}",
            values,
        )
        self._engine.execute(_FOUND)
        self._found = text

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
