"""What the header of a file says: read strictly, because anybody could have written the file.

Every reader returns the value as it is, or raises TypeError or ValueError. None of them converts:
what is of another type than this tool writes was not written by it.
"""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NoReturn

MOST_BYTES = 1 << 24
"""How large a header may be. Read as JSON it takes some thirty times as much memory."""

_FIRST_YEAR, _LAST_YEAR = 1970, 9000
_MOST = 2**63


def header(data: bytes) -> dict[str, Any]:
    """Read a header that is a JSON object.

    Raises:
        TypeError, ValueError: it is none, is larger than `MOST_BYTES`, or nests too deeply.
    """
    if len(data) > MOST_BYTES:
        raise ValueError("a header of that size is not read")
    try:
        values = json.loads(data, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("a header that nests so deeply is not read") from None
    if not isinstance(values, dict):
        raise TypeError("not an object")
    return values


def text(value: object) -> str:
    """Read a text that can be written to a file."""
    if not isinstance(value, str):
        raise TypeError("not a text")
    value.encode()  # half a character has no UTF-8 form
    return value


def texts(values: object) -> tuple[str, ...]:
    """Read a list of texts."""
    return tuple(map(text, items(values)))


def items(values: object) -> Iterable[Any]:
    """Read a list of anything."""
    if not isinstance(values, list | tuple):
        raise TypeError("not a list")
    return values


def flag(value: object) -> bool:
    """Read a true or false."""
    if not isinstance(value, bool):
        raise TypeError("neither true nor false")
    return value


def count(value: object) -> int:
    """Read how many there are of something: 0 or more, and no more than Parquet can count."""
    if type(value) is not int or not 0 <= value < _MOST:
        raise ValueError("not a number of things")
    return value


def amount(value: object) -> float:
    """Read a finite number, 0 or more."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("not a number")
    if not 0 <= value < _MOST:  # which NaN is not either
        raise ValueError("not a number that can be")
    return value


def moment(value: object) -> datetime:
    """Read a time: with a zone, and far enough from the ends of time to reckon with."""
    time = datetime.fromisoformat(text(value))
    if time.tzinfo is None or not _FIRST_YEAR <= time.year <= _LAST_YEAR:
        raise ValueError("not a time")
    return time


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
