"""Find users who are in a draft of a snapshot more than once; the first row counts."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from toolkit.classification.arrow import array
from toolkit.classification.schema import PROFILE

_PROFILE = ", ".join(PROFILE.names)
_KEYS = "SELECT hash(user_id) AS key FROM users WHERE user_id <> ''"
_REPEATS = f"""
    SELECT row, differs FROM (
        SELECT row, row_number() OVER one > 1 AS again,
            profile <> first_value(profile) OVER one AS differs
        FROM (
            SELECT file_row_number AS row, user_id, hash(row({_PROFILE})) AS profile
            FROM read_parquet($draft, file_row_number = true)
            WHERE user_id <> '' AND hash(user_id) IN (SELECT key FROM doubtful))
        WINDOW one AS (PARTITION BY user_id ORDER BY row))
    WHERE again ORDER BY row"""  # noqa: S608 - made of constants


@dataclass(frozen=True, slots=True)
class Repeats:
    """Rows of users who already have an earlier row: numbers in ascending order, from 0."""

    rows: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    conflicting: int = 0  # how many of them differ from the first row of their user

    @property
    def notes(self) -> tuple[str, ...]:
        """The rows that were left out, in sentences."""
        if not len(self.rows):
            return ()
        differing = f", {self.conflicting:,} of them with other values" * bool(self.conflicting)
        what = f"{len(self.rows):,} rows repeat a user of an earlier row{differing}"
        return (f"{what}: the first row of each user counts.",)


def keys_of(
    user_ids: pa.ChunkedArray, database: duckdb.DuckDBPyConnection
) -> npt.NDArray[np.uint64]:
    """Return a hash of each id, except empty ones, which identify no user."""
    database.register("users", pa.table([user_ids], ["user_id"]))
    try:
        return np.asarray(database.execute(_KEYS).fetchnumpy()["key"], np.uint64)
    finally:
        database.unregister("users")


def repeated_keys(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return the hashes that occur more than once, for one user or, by chance, several."""
    keys.sort()
    return np.unique(keys[1:][keys[1:] == keys[:-1]])


def repeats(
    draft: Path, keys: npt.NDArray[np.uint64], database: duckdb.DuckDBPyConnection
) -> Repeats:
    """Find the repeats in a snapshot's draft among the users whose ids have one of these hashes."""
    database.register("doubtful", pa.table([array(keys)], ["key"]))
    found = database.execute(_REPEATS, {"draft": escape(str(draft))}).fetchnumpy()
    database.unregister("doubtful")
    return Repeats(np.asarray(found["row"], np.int64), int(np.count_nonzero(found["differs"])))


def without(draft: Path, rows: npt.NDArray[np.int64]) -> Iterator[pa.Table]:
    """Yield the rows of a Parquet file without these, one row group at a time."""
    begin = 0
    with pq.ParquetFile(draft) as file:
        for number in range(file.num_row_groups):
            group = file.read_row_group(number, use_threads=False)
            first, end = np.searchsorted(rows, [begin, begin + len(group)])
            kept = np.ones(len(group), np.bool_)
            kept[rows[first:end] - begin] = False
            if kept.all():
                yield group
            elif kept.any():
                yield group.filter(array(kept)).combine_chunks()
            begin += len(group)
