"""DuckDB for one question: in bounded memory, with a private place for what does not fit."""

from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

import duckdb


@contextmanager
def engine(memory: str = "400MB", *, ordered: bool = True) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB that holds nothing yet.

    Left to itself, it would put what does not fit, which is personal data, into the folder that
    somebody works in.

    Args:
        memory: how much it may take, as DuckDB writes it.
        ordered: whether rows keep the order in which they were read.
    """
    with TemporaryDirectory(prefix="picture-audit-") as folder:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": memory,
            "temp_directory": folder,
            "preserve_insertion_order": ordered,
        }
        with duckdb.connect(config=settings) as opened:
            yield opened
