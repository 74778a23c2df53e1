"""Times of users, as Auth0 and other tools write them."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def moment(value: object) -> datetime | None:
    """Return a value as a time, UTC to the millisecond, or None."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    try:
        value = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:  # within a day of year 1 or 9999: no such user, no such time
        return None
    return value.replace(microsecond=value.microsecond // 1000 * 1000)


def milliseconds(moment: datetime) -> int:
    """Return a time as milliseconds since 1970."""
    return (moment - EPOCH) // _MILLISECOND


def at_milliseconds(moment: int) -> datetime:
    """Return the time (UTC) so many milliseconds after 1970 began."""
    return EPOCH + moment * _MILLISECOND


class UnreadTimes(Counter[tuple[str, str]]):
    """How many times could not be read, by attribute and shape; a value that can be added."""

    def add(self, values: Mapping[str, object]) -> None:
        """Count values of attributes that `moment` cannot read; null and blank are none."""
        for name, value in values.items():
            if value not in (None, ""):
                self[name, str(value)] += 1

    @property
    def notes(self) -> tuple[str, ...]:
        """One sentence for each attribute, with the count and an example shape."""
        return tuple(
            f"{count:,} times of {name} like {shape} could not be read."
            for (name, shape), count in self.items()
        )
