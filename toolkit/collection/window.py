"""A window: a part of the tenant's users that one query names."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from toolkit.classification.times import at_milliseconds, milliseconds
from toolkit.classification.user_profile import User

FIRST, LAST = -62_135_596_800_000, 253_402_300_799_999
"""The first and the last millisecond that a timestamp can name (years 1 and 9999), since 1970."""

TEXT_KEYS = ("email", "name", "nickname", "username")
TIME_KEYS = ("updated_at", "last_login")
"""Attributes that differ between users of one millisecond: text that rarely changes, then times."""

_SPECIAL = frozenset('+-&|!(){}[]^"~*?:\\/ ')


def _iso(moment: int | None) -> str:
    if moment is None:
        return "*"
    return at_milliseconds(moment).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def escaped(text: str) -> str:
    """Return text as a literal of Auth0's query language (Lucene 2.9 query syntax)."""
    return "".join("\\" + character if character in _SPECIAL else character for character in text)


def created(one: User) -> int | None:
    """Return a user's `created_at` in milliseconds since 1970, or None."""
    return None if one.created_at is None else milliseconds(one.created_at)


@dataclass(frozen=True, slots=True)
class Span:
    """Users whose time in `field` lies in [start, end), and to whom `base` applies."""

    field: str = "created_at"  # another key if users share the same `created_at`
    start: int | None = None  # milliseconds since 1970; None: no lower end
    end: int | None = None
    base: str = ""  # a further condition
    keys: tuple[str, ...] = TEXT_KEYS + TIME_KEYS  # to divide users of one millisecond, in order

    @property
    def query(self) -> str:
        """The users of this span, in Auth0's query language."""
        closing = "]" if self.end is None else "}"
        span = f"{self.field}:[{_iso(self.start)} TO {_iso(self.end)}{closing}"
        return f"{self.base} AND {span}" if self.base else span

    @property
    def sort(self) -> str:
        """The order of its users: by time."""
        return f"{self.field}:1"

    @property
    def ends(self) -> tuple[int, int]:
        """The first millisecond of the span, and the one after its last."""
        end = LAST + 1 if self.end is None else self.end
        return FIRST if self.start is None else self.start, end

    @property
    def instant(self) -> bool:
        """Whether this is a single millisecond, which time cannot divide."""
        low, high = self.ends
        return high - low <= 1

    def holds(self, moment: int) -> bool:
        """Whether a time (milliseconds since 1970) lies in the span."""
        low, high = self.ends
        return low <= moment < high

    def cut(self, wanted: int | None, now: int) -> int:
        """Return a time that divides the span into two shorter parts.

        Args:
            wanted: where to divide it; if that is outside the span or None, the span is halved.
            now: an open end is cut here first, because most users are older.
        """
        low, high = self.ends
        if wanted is not None and self.holds(wanted):
            return max(wanted, low + 1)
        usual = [0] if self.start is None else []
        usual += [now] if self.end is None else []
        return next((one for one in usual if low < one < high), (low + high) // 2)

    def until(self, end: int) -> "Span":
        """Return the part before `end`."""
        return replace(self, end=end)

    def since(self, start: int) -> "Span":
        """Return the part from `start` on."""
        return replace(self, start=start)


@dataclass(frozen=True, slots=True)
class Window:
    """Users of a window, completely read: as many as the tenant counted, each once."""

    query: str
    users: tuple[User, ...]  # in no particular order
    span: Span | None  # None: the users without `created_at`

    @property
    def strays(self) -> int:
        """How many users have a `created_at` outside the window that found them."""
        times = [created(one) for one in self.users]
        if self.span is None:
            return sum(moment is not None for moment in times)
        return sum(moment is None or not self.span.holds(moment) for moment in times)


def remaining(closed: Iterable[Span | None]) -> list[Span | None]:
    """Return the spans of `created_at` that these do not cover, in order of time.

    None stands for the users without `created_at`.
    """
    closed = list(closed)
    gaps: list[Span | None] = []
    at, last = FIRST, LAST + 1
    for start, end in [*sorted(span.ends for span in closed if span), (last, last)]:
        if start > at:
            gap = Span(end=None if start == last else start)
            gaps.append(gap if at == FIRST else gap.since(at))
        at = max(at, end)
    return gaps if None in closed else [*gaps, None]
