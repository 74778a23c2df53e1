"""Open DuckDB for one query, and translate its errors and Arrow's about damaged files.

A query uses limited memory, and a private folder for what does not fit.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from toolkit.classification.schema import ADDED
from toolkit.errors import UnreadableInputError

if TYPE_CHECKING:
    import pandas as pd


@contextmanager
def engine(memory: str = "400MB", *, ordered: bool = True) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an empty DuckDB with a memory limit; `ordered` says whether rows keep their order.

    By default it would write temporary files, which contain personal data, into the current folder.

    Raises:
        KeyboardInterrupt: the user interrupted a query.
    """
    with TemporaryDirectory(prefix="picture-audit-") as folder:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": memory,
            "temp_directory": folder,
            "preserve_insertion_order": ordered,
        }
        with duckdb.connect(config=settings) as opened:
            try:
                yield opened
            except RuntimeError as error:
                # Fact (DuckDB 2.0, tried): in the main thread it raises this for Ctrl-C.
                if str(error) == "Query interrupted":
                    raise KeyboardInterrupt from error
                raise


@contextmanager
def engine_with(
    users: "pd.DataFrame | pa.Table | Path | str",
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open DuckDB with a table `users`: a frame, a table, or a snapshot file of any size.

    Raises:
        UnreadableInputError: the file cannot be read.
    """
    with engine() as opened:
        if isinstance(users, Path | str):
            with one_line_for_damage(users):
                stored_users(opened, users).create_view("users")
                yield opened
        else:
            opened.register("given", users)
            _completed(opened.table("given")).create_view("users")
            yield opened


def stored_users(
    opened: duckdb.DuckDBPyConnection, path: Path | str, *, numbered: bool = False
) -> duckdb.DuckDBPyRelation:
    """Return the users in a snapshot file; `numbered` adds `file_row_number`."""
    return _completed(opened.from_parquet(escape(str(path)), file_row_number=numbered))


def _completed(users: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """Add the columns that a snapshot of the former version lacks, as nulls."""
    lacking = (name for name in ADDED.names if name not in users.columns)
    return users.project(", ".join(["*", *(f"NULL::VARCHAR AS {name}" for name in lacking)]))


ARROW_DAMAGE = (OSError, pa.ArrowException, UnicodeDecodeError)
"""The errors of Arrow for a damaged file (tried with pyarrow 26), and for names that are not UTF-8.

Values that are not UTF-8 raise no error until they are used, or by `RecordBatch.validate`.
"""


@contextmanager
def one_line_for_damage(path: Path | str) -> Iterator[None]:
    """Turn an error of DuckDB into one line that says that a snapshot is damaged.

    Fact (DuckDB 2.0, tried): damage is found when a column is read. DuckDB then raises plain
    `duckdb.Error`, whose text may quote a profile; if that is not UTF-8, it is another error.

    Raises:
        UnreadableInputError: DuckDB could not read the file at `path`.
    """
    try:
        yield
    except (duckdb.ConnectionException, duckdb.InterruptException):  # closed or interrupted
        raise
    except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
        raise UnreadableInputError(
            f"{path} is gone or damaged, or the folder for temporary files is full: collect again, "
            "or set TMPDIR to a larger place."
        ) from error
    except (duckdb.Error, *ARROW_DAMAGE) as error:
        raise UnreadableInputError(f"{path} is damaged: collect again.") from error
