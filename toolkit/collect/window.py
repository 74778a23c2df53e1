"""A window: a part of the tenant's users that one query names."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from toolkit.user import User

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SPECIAL = frozenset('+-&|!(){}[]^"~*?:\\/ ')


def milliseconds(moment: datetime) -> int:
    """Return a UTC time as milliseconds since 1970."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _iso(moment: int) -> str:
    text = (_EPOCH + timedelta(milliseconds=moment)).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def escaped(text: str) -> str:
    """Return text as a literal of Auth0's query language (Lucene 2.9 query syntax)."""
    return "".join("\\" + character if character in _SPECIAL else character for character in text)


@dataclass(frozen=True, slots=True)
class Span:
    """Users whose time in `field` lies in [start, end), and to whom `base` applies.

    Attributes:
        field: `created_at`, or where that does not tell users apart, a second key.
        start: milliseconds since 1970, or None for no lower end.
        end: milliseconds since 1970, exclusive, or None for no upper end.
        base: a further condition, or "".
    """

    field: str = "created_at"
    start: int | None = None
    end: int | None = None
    base: str = ""

    @property
    def query(self) -> str:
        """The users of this span, in Auth0's query language."""
        start = "*" if self.start is None else _iso(self.start)
        end = "*" if self.end is None else _iso(self.end)
        closing = "]" if self.end is None else "}"
        span = f"{self.field}:[{start} TO {end}{closing}"
        return f"{self.base} AND {span}" if self.base else span

    @property
    def instant(self) -> bool:
        """Whether this is a single millisecond, which time cannot divide."""
        return self.start is not None and self.end is not None and self.end - self.start <= 1

    def until(self, end: int) -> "Span":
        """Return the part before `end`."""
        return replace(self, end=end)

    def since(self, start: int) -> "Span":
        """Return the part from `start` on."""
        return replace(self, start=start)


@dataclass(frozen=True, slots=True)
class Window:
    """Users that were read whole: as many as the tenant counted, each once.

    Attributes:
        query: what names them.
        users: the users, in no particular order.
    """

    query: str
    users: tuple[User, ...]
