"""A window: a part of the tenant's users that one query names."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from toolkit.classification.user_profile import User, at_milliseconds, milliseconds

FIRST, LAST = -62_135_596_800_000, 253_402_300_799_999
"""The first and the last millisecond that a timestamp can name (years 1 and 9999), since 1970."""

TEXT_KEYS = ("email", "name", "nickname", "username")
TIME_KEYS = ("updated_at", "last_login")
"""Attributes that differ between users of one millisecond: text that rarely changes, then times."""

_SPECIAL = frozenset('+-&|!(){}[]^"~*?:\\/ ')


def _iso(moment: int) -> str:
    text = at_milliseconds(moment).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def escaped(text: str) -> str:
    """Return text as a literal of Auth0's query language (Lucene 2.9 query syntax)."""
    return "".join("\\" + character if character in _SPECIAL else character for character in text)


@dataclass(frozen=True, slots=True)
class Span:
    """Users whose time in `field` lies in [start, end), and to whom `base` applies.

    Attributes:
        field: `created_at`, or another key if users share the same `created_at`.
        start: milliseconds since 1970, or None for no lower end.
        end: milliseconds since 1970, exclusive, or None for no upper end.
        base: a further condition, or "".
        keys: attributes to divide users of one millisecond, in the order to try them.
    """

    field: str = "created_at"
    start: int | None = None
    end: int | None = None
    base: str = ""
    keys: tuple[str, ...] = TEXT_KEYS + TIME_KEYS

    @property
    def query(self) -> str:
        """The users of this span, in Auth0's query language."""
        start = "*" if self.start is None else _iso(self.start)
        end = "*" if self.end is None else _iso(self.end)
        closing = "]" if self.end is None else "}"
        span = f"{self.field}:[{start} TO {end}{closing}"
        return f"{self.base} AND {span}" if self.base else span

    @property
    def ends(self) -> tuple[int, int]:
        """The first millisecond of the span, and the one after its last."""
        return (
            FIRST if self.start is None else self.start,
            LAST + 1 if self.end is None else self.end,
        )

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
            wanted: where to divide it; at its start, the first millisecond is cut off. Outside the
                span, or None: the span is halved.
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
    """Users of a window, completely read: as many as the tenant counted, each once.

    Attributes:
        query: the query that finds them.
        users: the users, in no particular order.
        span: the part of all time that the window covers, or None for the users
            without `created_at`.
    """

    query: str
    users: tuple[User, ...]
    span: Span | None

    @property
    def strays(self) -> int:
        """How many users have a `created_at` outside the window that found them."""
        span = self.span
        times = [
            None if one.created_at is None else milliseconds(one.created_at) for one in self.users
        ]
        if span is None:
            return sum(time is not None for time in times)
        return sum(time is None or not span.holds(time) for time in times)


def remaining(closed: Iterable[Span | None]) -> list[Span | None]:
    """Return the spans that these complete windows do not cover.

    Args:
        closed: spans of `created_at` in any order, and None for the users without one.

    Returns:
        The gaps between them, in order of time; then None, if it is not in `closed`.
    """
    spans: list[Span] = []
    undated = True
    for one in closed:
        if one is None:
            undated = False
        else:
            spans.append(one)
    spans.sort(key=lambda span: -math.inf if span.start is None else span.start)
    gaps: list[Span | None] = []
    at: float = -math.inf
    for span in spans:
        start = -math.inf if span.start is None else span.start
        if start > at:
            gaps.append(Span(start=_finite(at), end=_finite(start)))
        at = max(at, math.inf if span.end is None else span.end)
    if at < math.inf:
        gaps.append(Span(start=_finite(at)))
    return [*gaps, None] if undated else gaps


def _finite(moment: float) -> int | None:
    return None if math.isinf(moment) else int(moment)
