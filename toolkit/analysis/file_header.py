"""Read the header of a file strictly, because anybody could have written the file.

`as_json` writes a dataclass, `read` reads it again. Every reader returns the value unchanged, or
raises KeyError, TypeError or ValueError. A value of another type was not written by this tool, so
nothing is converted.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

_T = TypeVar("_T")

MOST_BYTES = 1 << 24
"""Largest size of a header. As JSON it takes about thirty times as much memory."""

_FIRST_YEAR, _LAST_YEAR = 1970, 9000
_MOST = 2**63


def header(data: bytes) -> dict[str, Any]:
    """Read a header that is a JSON object.

    Raises:
        TypeError, ValueError: it is none, is larger than `MOST_BYTES`, or is nested too deeply.
    """
    if len(data) > MOST_BYTES:
        raise ValueError("a header of that size is not read")
    try:
        values = json.loads(data, parse_constant=int)  # ValueError for NaN and Infinity
    except RecursionError:
        raise ValueError("a header that nests so deeply is not read") from None
    if not isinstance(values, dict):
        raise TypeError("not an object")
    return values


def as_json(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any dataclass
    """Return a dataclass as plain JSON values; times as ISO 8601."""
    return asdict(
        value,
        dict_factory=lambda pairs: {
            name: one.isoformat() if isinstance(one, datetime) else one for name, one in pairs
        },
    )


def read(kind: type[_T], values: Mapping[str, Any], **readers: Callable[[Any], Any]) -> _T:
    """Read a dataclass by the types of its fields from what `as_json` returned.

    Every field must be there; other keys are ignored. `readers` are for fields of which more is
    known than their type says.

    Raises:
        KeyError, TypeError, ValueError: a value is missing or of another type.
    """
    return kind(
        **{
            name: readers[name](values[name]) if name in readers else _value(of, values[name])
            for name, of in get_type_hints(kind).items()
        }
    )


def _value(kind: Any, value: Any) -> Any:  # noqa: ANN401 - a type, and what JSON holds
    if type(None) in get_args(kind):
        return None if value is None else _value(get_args(kind)[0], value)
    if kind in _READERS:
        return _READERS[kind](value)
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ValueError("none of the values that there are")
        return value
    if get_origin(kind) is tuple:
        first, *rest = get_args(kind)
        if rest == [...]:
            return tuple(_value(first, one) for one in items(value))
        pairs = zip((first, *rest), items(value), strict=True)
        return tuple(_value(of, one) for of, one in pairs)
    return read(kind, value) if hasattr(kind, "__dataclass_fields__") else kind(value)


def text(value: object) -> str:
    """Read a text that can be written to a file."""
    if not isinstance(value, str):
        raise TypeError("not a text")
    value.encode()  # a lone surrogate has no UTF-8 form
    return value


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
    """Read a count: 0 or more, and no more than Parquet can count."""
    if type(value) is not int or not 0 <= value < _MOST:
        raise ValueError("not a number of things")
    return value


def amount(value: object) -> float:
    """Read a finite number, 0 or more."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("not a number")
    if not 0 <= value < _MOST:  # false for NaN, too
        raise ValueError("not a number that can be")
    return value


def moment(value: object) -> datetime:
    """Read a time with a zone, not too near the ends of the calendar to calculate with."""
    time = datetime.fromisoformat(text(value))
    if time.tzinfo is None or not _FIRST_YEAR <= time.year <= _LAST_YEAR:
        raise ValueError("not a time")
    return time


_READERS: Mapping[Any, Callable[[Any], Any]] = {
    str: text,
    bool: flag,
    int: count,
    float: amount,
    datetime: moment,
}
