"""DuckDB for one question, and what it and Arrow say of damaged files, in our words.

An answer takes bounded memory, with a private place for what does not fit.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pyarrow as pa

from toolkit.errors import UnreadableInputError


@contextmanager
def engine(memory: str = "400MB", *, ordered: bool = True) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB that holds nothing yet.

    Left to itself, it would put what does not fit, which is personal data, into the folder that
    somebody works in.

    Args:
        memory: how much it may take, as DuckDB writes it.
        ordered: whether rows keep the order in which they were read.

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
                # Fact (DuckDB 2.0, tried): in the main thread it takes the interrupt for itself.
                if str(error) == "Query interrupted":
                    raise KeyboardInterrupt from error
                raise


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
