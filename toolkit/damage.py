"""What the readers of Parquet files say of damaged ones, in our words."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from toolkit.errors import UnreadableInputError

ARROW_DAMAGE = (OSError, pa.ArrowException, UnicodeDecodeError)
"""What Arrow raises (pyarrow 26, tried): the last of names in a footer that are no UTF-8.

Texts that are none are let through, until something looks at them: `RecordBatch.validate` does.
"""


@contextmanager
def damage_told(path: Path | str) -> Iterator[None]:
    """Say in one line that a snapshot is damaged, wherever in it DuckDB finds that out.

    Fact (DuckDB 2.0, tried): damage is found column by column, when they are read; of a damaged
    page the error is of no nearer kind than `duckdb.Error`. Its text quotes a profile; where that
    is no UTF-8, it becomes another error.

    Args:
        path: the file that is read within.

    Raises:
        UnreadableInputError: DuckDB could not read it.
    """
    import duckdb  # noqa: PLC0415 - who reads with Arrow needs none of it

    try:
        yield
    except (duckdb.ConnectionException, duckdb.InterruptException):  # closed, or told to stop
        raise
    except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
        raise UnreadableInputError(
            f"{path} is gone or damaged, or the folder for temporary files is full: collect again, "
            "or set TMPDIR to a larger place."
        ) from error
    except (duckdb.Error, *ARROW_DAMAGE) as error:
        raise UnreadableInputError(f"{path} is damaged: collect again.") from error
