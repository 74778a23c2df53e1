r"""Times of users, as Auth0 and other tools write them.

A wrong time is worse than none: what may mean two times is not read, and counted.

- Texts in the form of ISO 8601, with `T` or a blank, with or without clock, fraction and offset;
  year, month and day also with `/` or `.` between them. Forms of BigQuery (`2024-03-01 10:00:00
  UTC`), Snowflake (`2024-03-01 10:00:00.000 +0000`), Postgres (`2024-03-01 10:00:00+00`), Go,
  pandas (`Timestamp('2024-03-01 10:00:00')`) and Mongo's shell (`ISODate("2024-03-01T10:00:00Z")`).
- Texts with an English name of the month: RFC 2822 (`Fri, 01 Mar 2024 10:00:00 +0000`),
  JavaScript's `Date.toString()` (`Fri Mar 01 2024 10:00:00 GMT+0000 (Coordinated Universal Time)`),
  C's `ctime`, Java, `March 1, 2024 at 10:00 AM`.
- Day, month, year as numbers: with `.` the day is first (`31.03.2024`). With `/` or `-` the order
  differs from country to country, also with AM and PM: read only if one of them is above 12 or
  both are equal. A year of two digits is not read.
- Without an offset, UTC. Of the names of zones, only UTC, GMT and Z: others have several meanings.
- Numbers, and texts of digits: seconds, milliseconds, microseconds or nanoseconds since 1970, or
  days since 1899-12-30 (Excel and Google Sheets), whichever gives a time from 1990 to 2099; no
  number gives two. Excel's days are rounded to the second. `20240301` and `20240301100000`.
- Mongo's `{"$date": …}`, `{"$numberLong": …}` and `{"$timestamp": …}`, also as a text.
- `NaT`, `NaN`, `null`, `None`, `\N` and the like are no time, as null is.

Sources: Python, `datetime.fromisoformat`. BigQuery, "Timestamp type". Snowflake, "Date and time
input and output formats". Postgres, "Date/Time Types". MongoDB, "Extended JSON (v2)". MDN,
"Date.prototype.toString()". Office Open XML part 4, "Date Representation".
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from numbers import Number
from typing import Final, Self

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

ABSENT: Final = frozenset(
    ("", "nat", "nan", "null", "none", r"\n", "<na>", "na", "n/a", "#n/a", "undefined")
)
"""Texts, in lower case, that stand for no time in tables."""

# Seconds since 1970 that a number may mean.
_FIRST, _END = 631_152_000, 4_102_444_800  # 1990, 2100
_UNITS = 1, 10**3, 10**6, 10**9  # in a second
_DAY = 24 * 60 * 60
_EXCEL = -25_569 * _DAY  # 1899-12-30
_LONGEST = 100  # characters; JavaScript's form has up to 75
_LAYERS = 4  # `$date`, `$numberLong`, and quotes round each

_NUMBER = re.compile(r"[0-9]+(?:[.,][0-9]+)?(?:[eE][+]?[0-9]{1,2})?")
_COMPACT = re.compile(r"((?:19|20)[0-9]{6})(?:[T ]?([0-9]{4}(?:[0-9]{2}.*)?))?")
# Around a time: a name of a type, and the name of a zone whose offset stands before it.
_CALL = re.compile(r"[A-Za-z.]+\((['\"])([^'\"]*)\1(?:, ?tz=[^()]*)?\)")
_ZONE_NAME = re.compile(r" \([^()]*\)$|(?<=[+-]0000) UTC$")
_CLOCK = re.compile(
    r"[T\s,]\s*(?:at\s+)?([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?"
    r"(?:\s?([AP])\.?M\.?)?(?:\s*(?:Z|UTC?|GMT))?(?:\s*([+-])([0-9]{2})(?::?([0-9]{2}))?)?(?!\S)",
    re.IGNORECASE,
)
_YEAR_FIRST = re.compile(r"([0-9]{4})([-/.])([0-9]{1,2})\2([0-9]{1,2})")
_YEAR_LAST = re.compile(r"([0-9]{1,2})([-/.])([0-9]{1,2})\2([0-9]{4})")
_NAMED = re.compile(
    r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,?\s+)?(?:([0-9]{1,2})[\s-]+)?"
    r"([a-z]{3,9})\.?[\s-]+(?:([0-9]{1,2}),?\s+)?([0-9]{4})",
    re.IGNORECASE,
)
_MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july"),
    *("august", "september", "october", "november", "december"),
)
_HALF_DAY = 12  # hours; and months of a year


def moment(value: object) -> datetime | None:
    """Return a value as a time, UTC to the millisecond, or None. Never raises."""
    value = _bare(value)
    if value is None:  # the most frequent
        return None
    try:
        if isinstance(value, str | Number):
            value = _of_text(str(value))
        elif isinstance(value, date) and not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day, tzinfo=UTC)
        if not isinstance(value, datetime):
            return None
        value = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return at_milliseconds(milliseconds(value))
    # No such day, a time within a day of year 1 or 9999, a number of thousands of digits, or
    # pandas' NaT, which is a datetime.
    except (ValueError, OverflowError):
        return None


def _bare(value: object) -> object:
    """Take a value out of what tools put round a time."""
    for _ in range(_LAYERS):
        if isinstance(value, str):
            value = value.strip()
            if len(value) > _LONGEST or value[:1].isdigit():
                break
            if match := _CALL.fullmatch(value):
                return match[2]
            if not value.startswith(('"', "{")):
                break
            try:
                value = json.loads(value.replace("'", '"'))
            except (ValueError, RecursionError):
                break
        elif isinstance(value, Mapping) and len(value) == 1:
            [(key, inner)] = value.items()
            if key == "$timestamp" and isinstance(inner, Mapping):
                inner = inner.get("t")  # seconds; beside it a counter
            elif key not in ("$date", "$numberLong"):
                break
            value = inner
        else:
            break
    return value


def _of_text(text: str) -> datetime | None:
    """Read a text; raise ValueError or OverflowError if it names a day or an hour that is none."""
    # Without this condition it takes 13 digits for a year, a month, a day and an hour.
    if text[4:5] == "-" and text[10:11] in ("T", " "):
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            pass
    if _NUMBER.fullmatch(text) and (found := _of_number(Decimal(text.replace(",", ".")))):
        return found
    if compact := _COMPACT.fullmatch(text):
        return datetime.fromisoformat(f"{compact[1]}T{compact[2] or '00'}")
    return _of_parts(_ZONE_NAME.sub("", text)) if len(text) <= _LONGEST else None


def _of_parts(text: str) -> datetime | None:
    """Read a text with a day and perhaps a clock, in any order; raise as `_of_text`."""
    clock = _CLOCK.search(text)
    rest = f"{text[: clock.start()]} {text[clock.end() :]}" if clock else text
    day = _day(rest.strip(" ,"))
    if day is None or clock is None:
        return day
    hour, minute, second, fraction, half, sign, hours, minutes = clock.groups()
    if half:
        if not 1 <= int(hour) <= _HALF_DAY:
            return None
        hour = int(hour) % _HALF_DAY + _HALF_DAY * (half in "pP")
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    return day.replace(
        hour=int(hour),
        minute=int(minute),
        second=int(second or 0),
        microsecond=int((fraction or "").ljust(6, "0")[:6]),
        tzinfo=timezone(-offset if sign == "-" else offset),
    )


def _day(text: str) -> datetime | None:
    """Read a day without a clock; raise ValueError if there is no such day or month."""
    if found := _YEAR_FIRST.fullmatch(text):
        return datetime(int(found[1]), int(found[3]), int(found[4]), tzinfo=UTC)
    if found := _YEAR_LAST.fullmatch(text):
        day, month = int(found[1]), int(found[3])
        if found[2] != "." and day <= _HALF_DAY and day != month:
            if month <= _HALF_DAY:
                return None
            day, month = month, day
        return datetime(int(found[4]), month, day, tzinfo=UTC)
    if (found := _NAMED.fullmatch(text)) and (found[1] is None) != (found[3] is None):
        name = found[2].lower()
        month = next((at for at, one in enumerate(_MONTHS, 1) if one.startswith(name)), 0)
        return datetime(int(found[4]), month, int(found[1] or found[3]), tzinfo=UTC)
    return None


def _of_number(number: Decimal) -> datetime | None:
    for unit in _UNITS:
        if _FIRST * unit <= number < _END * unit:
            return EPOCH + timedelta(microseconds=int(number * _UNITS[2] // unit))
    seconds = round(number * _DAY) + _EXCEL
    return EPOCH + timedelta(seconds=seconds) if _FIRST <= seconds < _END else None


def milliseconds(moment: datetime) -> int:
    """Return a time as milliseconds since 1970."""
    return (moment - EPOCH) // _MILLISECOND


def at_milliseconds(moment: int) -> datetime:
    """Return the time (UTC) so many milliseconds after 1970 began."""
    return EPOCH + moment * _MILLISECOND


_SHAPE = 40  # characters
_SHAPES = 20  # for an attribute


class UnreadTimes(Counter[tuple[str, str]]):
    """How many times could not be read, by attribute and shape; `+=` adds those of another.

    A shape is the text with 9 for each digit and a or A for each letter, so that it tells the form
    and not the value. For each attribute the first 20 shapes are kept; "" stands for the others.
    """

    def add(self, values: Mapping[str, object]) -> None:
        """Count values of attributes that `moment` cannot read; what is absent is none."""
        for name, value in values.items():
            if value is not None and (shape := _shape(value)):
                self._count(name, shape, 1)

    def __iadd__(self, other: Mapping[tuple[str, str], int]) -> Self:  # type: ignore[override,misc] # narrower
        """Add the counts of another."""
        for (name, shape), count in other.items():
            self._count(name, shape, count)
        return self

    def _count(self, name: str, shape: str, count: int) -> None:
        known = (name, shape) in self or sum(one == name for one, _ in self) < _SHAPES
        self[name, shape if known else ""] += count

    @property
    def notes(self) -> tuple[str, ...]:
        """One sentence for each attribute, with the count and the most frequent shape."""
        told: dict[str, tuple[int, str]] = {}
        for (name, shape), count in self.most_common():
            before, example = told.get(name, (0, ""))
            told[name] = before + count, example or shape
        return tuple(
            f"{count:,} {'time' if count == 1 else 'times'} of {name} could not be read, for "
            f"example of the shape {shape}."
            for name, (count, shape) in sorted(told.items())
        )


def _shape(value: object) -> str:
    """Return the shape of a value, or "" if it is absent."""
    value = _bare(value)
    if isinstance(value, Mapping | Sequence) and not isinstance(value, str):
        return "{…}" if isinstance(value, Mapping) else "[…]"
    try:
        text = str(value)
    except ValueError:  # thousands of digits
        text = _SHAPE * "9"
    if text.lower() in ABSENT:
        return ""
    return "".join(map(_form, text[:_SHAPE]))


def _form(one: str) -> str:
    if one.isalpha():
        return "A" if one.isupper() else "a"
    return "9" if one.isdigit() else one if " " <= one <= "~" else "?"
