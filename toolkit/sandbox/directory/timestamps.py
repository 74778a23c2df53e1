"""Points in time as Auth0 writes them: ISO 8601 in UTC with milliseconds."""

import re
from datetime import UTC, datetime, timedelta

SECOND = 1000
DAY = 86_400 * SECOND
"""Lengths of time, in milliseconds."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_DECEMBER = 12
_PARTIAL = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d)"
    r"(?:T(?P<hour>\d\d)(?::(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.(?P<fraction>\d{1,9}))?)?)?"
    r"(?P<zone>Z|[+-]\d\d:\d\d)?)?)?)?",
    re.ASCII,
)


def milliseconds(value: object) -> int | None:
    """Return milliseconds since 1970 (UTC) for an ISO 8601 string, or None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return since_1970(moment)


def since_1970(moment: datetime) -> int:
    """Return a time with a timezone as milliseconds since 1970."""
    return (moment - _EPOCH) // _MILLISECOND


def iso(seconds: float) -> str:
    """Return UNIX seconds as Auth0 writes a timestamp: ``2026-08-17T20:25:34.048Z``."""
    moment = datetime.fromtimestamp(seconds, tz=UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def span(text: str) -> tuple[int, int]:
    """Return the first and the last millisecond that a (possibly partial) date covers.

    ``2025-12-01`` covers the whole day, ``2025-12`` the month,
    ``2025-12-01T10:00:00.000Z`` one millisecond.

    Raises:
        ValueError: If the text is not a date.
    """
    match = _PARTIAL.fullmatch(text)
    if match is None:
        raise ValueError("not a date")
    part = match.groupdict()
    start = datetime(
        int(part["year"]),
        int(part["month"] or 1),
        int(part["day"] or 1),
        int(part["hour"] or 0),
        int(part["minute"] or 0),
        int(part["second"] or 0),
        int((part["fraction"] or "0").ljust(6, "0")[:3]) * 1000,
        tzinfo=UTC,
    )
    first = since_1970(start) - _offset(part["zone"])
    return first, first + _length(start, part) - 1


def _length(start: datetime, part: dict[str, str | None]) -> int:
    """Return how many milliseconds the written precision stands for."""
    if part["fraction"]:
        return int(10 ** max(0, 3 - len(part["fraction"])))
    for unit, length in (("second", 1), ("minute", 60), ("hour", 3600), ("day", 86400)):
        if part[unit]:
            return length * SECOND
    if part["month"] and start.month != _DECEMBER:
        return (start.replace(month=start.month + 1) - start) // _MILLISECOND
    if part["month"]:
        return 31 * DAY
    leap = start.year % 4 == 0 and (start.year % 100 != 0 or start.year % 400 == 0)
    return (366 if leap else 365) * DAY


def _offset(zone: str | None) -> int:
    """Return a zone's distance from UTC in milliseconds."""
    if zone is None or zone == "Z":
        return 0
    sign = -1 if zone[0] == "-" else 1
    return sign * (int(zone[1:3]) * 60 + int(zone[4:6])) * 60 * SECOND
