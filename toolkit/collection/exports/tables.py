"""Users in tables of other programs: Parquet, Arrow, Excel."""

from collections.abc import Iterator
from typing import Any, BinaryIO


def table_records(file: BinaryIO, name: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table, a record each, with the names that stand in the file.

    Args:
        file: a seekable file.
        name: its name in messages.

    Raises:
        UnreadableInputError: it is no such file, or damaged.
    """
    raise NotImplementedError


def is_table(head: bytes) -> bool:
    """Whether a file that begins so is a table."""
    return head.startswith((b"PAR1", b"ARROW1"))


def is_workbook(file: BinaryIO) -> bool:
    """Whether a zip is a workbook."""
    del file
    return False
