"""Every user of a tenant by search, though no search gives more than 1,000.

Auth0 lets nobody page past 1,000 users of one query ("List and Search Users"),
and is known to stop counting there too. So the users are divided into windows
of `created_at`, which never changes and so holds still while people log in. Each
window is made to hold fewer than 1,000, judging by the one before, so that the
tenant counts it with every page. It is closed only when that count has not moved
between its pages and equals the number of distinct users read: while it holds,
nobody has left, and no page has shifted. Several spans are walked at once.
"""

import math
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from os.path import commonprefix
from typing import Protocol

from toolkit.answer import PAGE, Page
from toolkit.collect.window import Span, Window, escaped, milliseconds
from toolkit.errors import IncompleteError, QueryError, SlowQueryError
from toolkit.user import User, user

CAP = 1000
"""Users of one query that Auth0 gives at most, and counts at most."""

UNDATED = f"NOT _exists_:{Span().field}"
"""The query for users without `created_at`."""

# Users by which a window stays below the cap, at first, at least and at most: as much as
# the density of users is seen to vary.
_ROOM, _LEAST_ROOM, _MOST_ROOM = 100.0, 15.0, 200.0
# The page that shows where some 900 users end.
_ROOMY = 8
_ATTEMPTS = 6
_WORKERS = 8
# Dividing a span costs up to a page: not worth it for fewer users.
_WORTH_SHARING = 3000
MARGIN = 5 * 60 * 1000
"""Milliseconds by which clocks and the search index may be behind each other.

Auth0 calls the index "eventually consistent" and says nothing of how late it may be. Users who are
read once more for nothing cost a request for each hundred.
"""

_LAST = 253_402_300_799_999  # the last millisecond that a timestamp can name
_YEAR = 365 * 24 * 3600 * 1000  # milliseconds
# What tells users of one instant apart: text that seldom changes before times that do.
_TEXT_KEYS = ("email", "name", "nickname", "username")
_TIME_KEYS = ("updated_at", "last_login")
_CHARACTERS = " +-._0123456789@abcdefghijklmnopqrstuvwxyz"


class Searchable(Protocol):
    """What this module needs of a tenant."""

    def search(
        self, q: str, *, page: int = 0, per_page: int = PAGE, sort: str | None = None
    ) -> Page:
        """Read one page; see `toolkit.tenant.Tenant.search`."""


class _Cancelled(Exception):  # noqa: N818 - not an error: the reader went away
    """The reader went away; the walkers stop before their next request."""


class _Rows:
    """The distinct users of some pages, and their times in one field, in the order read."""

    def __init__(self, field: str | None) -> None:
        self._field = field
        self._users: dict[str, User] = {}
        self.times: list[int] = []

    def __len__(self) -> int:
        return len(self._users)

    def add(self, page: Page) -> None:
        for record in page.users:
            one = user(record)
            if one.key not in self._users:
                self._users[one.key] = one
                self.times += self._time(one)

    def all(self) -> tuple[User, ...]:
        return tuple(self._users.values())

    def _time(self, one: User) -> list[int]:
        moment = getattr(one, self._field) if self._field else None
        return [] if moment is None else [milliseconds(moment)]


class Walk:
    """One reading of all users.

    Iterating it yields every page as it is read, to show progress by, and every
    window as it closes: what the result is made of.

    Args:
        tenant: where to read; `search` is called by several threads at once.
        workers: how many spans to walk at a time.
        spans: what to read instead of everybody, to go on where an earlier walk ended;
            None among them stands for the users without `created_at`.
    """

    def __init__(
        self,
        tenant: Searchable,
        *,
        workers: int = _WORKERS,
        spans: Sequence[Span | None] | None = None,
    ) -> None:
        self._tenant = tenant
        self._workers = workers
        self._spans = spans
        self._events: queue.SimpleQueue[Page | Window | Exception | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._jobs = threading.Condition()
        self._todo: list[Callable[[], Iterable[Window]]] = []
        self._idle = 0
        self._years = (0, 0)  # first and last created_at, milliseconds
        self._ahead = 0  # milliseconds to walk
        self._walked = (0, 0)  # milliseconds, and users in them
        self._walking: dict[int, tuple[int, int]] = {}  # the same, of open windows by thread

    def __iter__(self) -> Iterator[Page | Window]:
        """Yield pages and windows until every user is in one.

        Raises:
            IncompleteError: a window could not be reconciled, or not be divided.
            TenantError: the tenant did not go along.
        """
        self._todo = [self._begin, self._undated] if self._spans is None else []
        self._go_on(self._spans or ())
        with ThreadPoolExecutor(self._workers, thread_name_prefix="collect") as pool:
            for _ in range(self._workers):
                pool.submit(self._work)
            try:
                for _ in range(self._workers):
                    while (event := self._events.get()) is not None:
                        if isinstance(event, Exception):
                            raise event
                        yield event
            finally:
                self._stop.set()
                with self._jobs:
                    self._jobs.notify_all()

    @property
    def expected(self) -> int | None:
        """How many users there are to read, judging by the time walked so far; None at first."""
        parts = [self._walked, *list(self._walking.values())]
        walked, users = (sum(column) for column in zip(*parts, strict=True))
        return round(users / walked * self._ahead) if walked and self._ahead else None

    # The workers

    def _work(self) -> None:
        try:
            while (job := self._next_job()) is not None:
                for window in job():
                    self._events.put(window)
        except _Cancelled:
            pass
        except Exception as error:  # noqa: BLE001 - handed to the reader, who raises it
            self._events.put(error)
        self._events.put(None)

    def _next_job(self) -> Callable[[], Iterable[Window]] | None:
        with self._jobs:
            self._idle += 1
            if self._idle == self._workers and not self._todo:
                self._stop.set()  # nobody is left who could add a job
                self._jobs.notify_all()
            while not self._todo and not self._stop.is_set():
                self._jobs.wait()
            if self._stop.is_set():
                return None
            self._idle -= 1
            return self._todo.pop(0)

    def _walk_later(self, span: Span) -> None:
        with self._jobs:
            self._todo.append(lambda: self._walk(span))
            self._jobs.notify()

    def _page(self, q: str, sort: str | None, page: int = 0, per_page: int = PAGE) -> Page:
        if self._stop.is_set():
            raise _Cancelled
        answer = self._tenant.search(q, page=page, per_page=per_page, sort=sort)
        self._events.put(answer)
        return answer

    # One window

    def _read(
        self,
        query: str,
        sort: str | None = None,
        divide: Callable[[], Iterable[Window]] | None = None,
        first: Page | None = None,
        span: Span | None = None,
    ) -> Iterator[Window]:
        """Read a query of fewer than 1,000 users whole; where that cannot be done, divide it.

        The pages of a query shift when somebody is deleted meanwhile, and users
        of one instant may change places between pages. Then the count of
        distinct users falls short of the tenant's, and the window is read again. Nobody
        can join a window of the past, so a count that holds means that nobody left it
        either, and what several readings show of it adds up.
        """
        divide = divide or (lambda: self._by_key(query))
        past = span is not None and span.end is not None and span.end < self._now() - MARGIN
        total, got, rows = -1, 0, _Rows(None)
        before: set[User] | None = None
        for _ in range(_ATTEMPTS):
            try:
                page = first or self._page(query, sort)
                if not past or page.total != total:
                    rows = _Rows(None)
                first, total = None, page.total
                if total >= CAP:
                    break
                rows.add(page)
                steady = True
                for number in range(1, math.ceil(total / PAGE)):
                    page = self._page(query, sort, number)
                    steady = steady and page.total == total
                    rows.add(page)
            except SlowQueryError:
                total = CAP
                break
            got = len(rows)
            if steady and got == total:
                users = rows.all()
                # One page is read at one moment. Of more, somebody may have gone and
                # somebody come between two: then the next reading differs.
                if past or total <= PAGE or before == set(users):
                    yield Window(query, users, span)
                    return
                before = set(users)
        if total <= PAGE:
            raise IncompleteError(
                f"The tenant counts {total} users in a window and gives {got} of them, however "
                "often it is asked."
            )
        yield from divide()

    # Spans of time

    def _begin(self) -> Iterator[Window]:
        """Read a small tenant at once; divide the years of a larger one among the workers."""
        whole = Span()
        now = self._now() - MARGIN
        self._walk_later(whole.since(now))
        former = whole.until(now)
        try:
            first = self._page(former.query, _sort(former))
        except SlowQueryError:
            begin, end = 0, now
        else:
            if first.total < CAP:
                yield from self._read_span(former, first)
                return
            begin, end = self._edge(former, first), self._edge(former)
        self._years, self._ahead = (begin, end), end - begin
        step = (end - begin) / self._workers
        cuts = sorted({begin + round(step * part) for part in range(1, self._workers)})
        for start, stop in pairwise([None, *cuts, now]):
            self._walk_later(Span(start=start, end=stop))

    def _undated(self) -> Iterator[Window]:
        """Read the users without `created_at`."""
        yield from self._read(UNDATED, None, lambda: [self._gathered(UNDATED, None)])

    def _go_on(self, spans: Sequence[Span | None]) -> None:
        """Walk these spans, whose ends are known from an earlier walk."""
        dated = [span for span in spans if span is not None]
        if len(dated) < len(spans):
            self._todo.append(self._undated)
        ends = [end for span in dated for end in (span.start, span.end) if end is not None]
        last = max([*ends, self._now()])
        self._years = (min([*ends, last]), last)
        for span in dated:
            start = self._years[0] if span.start is None else span.start
            self._ahead += (last if span.end is None else span.end) - start
            self._walk_later(span)

    def _read_span(self, span: Span, first: Page | None = None) -> Iterator[Window]:
        return self._read(span.query, _sort(span), lambda: self._halved(span), first, span)

    def _gathered(self, query: str, span: Span | None) -> Window:
        """Read users whom `created_at` does not tell apart, as one window."""
        users = [user for part in self._by_key(query) for user in part.users]
        return Window(query, tuple(users), span)

    def _edge(self, span: Span, first: Page | None = None) -> int:
        """Return the first time of a span, given its first page, or else its last time."""
        page = first or self._page(span.query, f"{span.field}:-1", per_page=1)
        return self._times(span, page)[0]

    def _walk(self, span: Span) -> Iterator[Window]:
        """Slide over a span from its beginning to its end, a window at a time."""
        rest: Span | None = span
        density, room = 0.0, _ROOM  # users a millisecond; users to stay below the cap by
        while rest is not None:
            try:
                window, first, start = self._next_window(rest, density, CAP - room)
            except SlowQueryError:
                yield from self._halved(rest)
                return
            users = first.total if first else CAP
            self._note(window, users)
            windows = self._read_span(window, first) if first else self._walk_instant(window)
            for part in windows:
                yield part
                self._count(window, len(part.users))
            rest = _rest(rest, window)
            if rest is not None and rest.start is not None:
                # As dense as this window will the next one be, give or take as much again.
                length = max(1, rest.start - start)
                missed = abs(users - density * length) if density else 0
                room = min(_MOST_ROOM, max(_LEAST_ROOM, missed, room / 2))
                # After a crowd or a gap, what comes next is anybody's guess.
                density = users / length if users >= PAGE and length > 1 else 0.0
                rest = self._shared(rest, density)

    def _next_window(
        self, span: Span, density: float, users: float
    ) -> tuple[Span, Page | None, int]:
        """Find a window at the beginning of a span that the tenant counts to its end.

        Args:
            span: what is left to read.
            density: users a millisecond to expect, or 0 where nobody knows.
            users: how many the window shall hold.

        Returns:
            The window, its first page, and the time at which its users begin. There is no
            page where the window is one instant with more users than the tenant counts.
        """
        start = span.start or 0
        if not density:
            page = self._page(span.query, _sort(span))
            if page.total < CAP:
                return span, page, start
            first, last = self._times(span, page)
            start = first if span.start is None else start
            density = len(page.users) / max(1, last - first)
        end = start + max(1, round(users / density))
        while True:
            last_end = _LAST if span.end is None else span.end
            window = span if end >= last_end else span.until(end)
            page = self._page(window.query, _sort(window))
            if page.total < CAP:
                return window, page, start
            if window.instant:
                return window, None, start
            # More than expected: end where the tenant shows that there is room up to.
            _, last = self._times(window, self._page(window.query, _sort(window), _ROOMY))
            end = last if window.start != last else last + 1

    def _times(self, span: Span, page: Page) -> tuple[int, int]:
        """Return the first and the last time of a page."""
        rows = _Rows(span.field)
        rows.add(page)
        if not rows.times:
            raise IncompleteError(f"The tenant finds users by {span.field}, but shows none.")
        return min(rows.times), max(rows.times)

    def _walk_instant(self, span: Span) -> Iterator[Window]:
        yield self._gathered(span.query, span)

    def _halved(self, span: Span) -> Iterator[Window]:
        """Walk a span in two parts, or an instant by another key."""
        if span.instant:
            yield from self._walk_instant(span)
            return
        start, end = self._ends(span)
        middle = max(start + 1, (start + end) // 2)
        if span.start is None and end - start <= 1:
            middle = start
        yield from self._walk(span.until(middle))
        yield from self._walk(span.since(middle))

    def _ends(self, span: Span) -> tuple[int, int]:
        """Return the times between which a span's users lie, as far as the tenant tells."""
        start, end = span.start, span.end
        try:
            if start is None:
                start = self._edge(span, self._page(span.query, _sort(span), per_page=1))
            if end is None:
                end = self._edge(span) + 1
        except SlowQueryError:
            start = start or 0
            end = max(self._now(), start + _YEAR) if end is None else end
        return start, end

    def _now(self) -> int:
        return round(time.time() * 1000)

    def _note(self, window: Span, users: int) -> None:
        """Remember a window that is being read, for `expected`."""
        if window.field == Span().field and not window.base:
            self._walking[threading.get_ident()] = (self._length(window), users)

    def _count(self, window: Span, users: int) -> None:
        """Remember a window, or a part of it, that is closed, for `expected`."""
        if window.field == Span().field and not window.base:
            noted, _ = self._walking.pop(threading.get_ident(), (0, 0))
            with self._jobs:
                time, before = self._walked
                self._walked = (time + noted, before + users)

    def _length(self, span: Span) -> int:
        first, last = self._years
        start = first if span.start is None else span.start
        return max(0, (last if span.end is None else span.end) - start)

    def _shared(self, rest: Span, density: float) -> Span:
        """Give half of what is left to a worker who has nothing to do, if that is worth it."""
        end = self._years[1] if rest.end is None else rest.end
        if rest.start is None or rest.base:
            return rest
        with self._jobs:
            wanted = self._idle > len(self._todo)
        if not wanted or (end - rest.start) * density < _WORTH_SHARING:
            return rest
        middle = (rest.start + end) // 2
        self._walk_later(rest.since(middle))
        return rest.until(middle)

    # Users whom created_at does not tell apart

    def _by_key(self, base: str, keys: Sequence[str] = _TEXT_KEYS + _TIME_KEYS) -> Iterator[Window]:
        """Divide a query by another attribute than the time of creation."""
        for number, key in enumerate(keys):
            having = f"{base} AND _exists_:{key}"
            try:
                ends = [self._page(having, f"{key}:{way}", per_page=1) for way in (1, -1)]
            except QueryError:  # not every tenant lets every attribute be searched or sorted
                continue
            if not ends[0].total:
                continue
            rest = keys[number + 1 :]
            lacking = f"{base} AND NOT _exists_:{key}"
            yield from self._read(lacking, None, partial(self._by_key, lacking, rest))
            if key in _TIME_KEYS:
                yield from self._walk(Span(key, base=base))
            else:
                yield from self._by_text(base, having, key, "", rest)
            return
        raise IncompleteError(
            f"{CAP:,} or more users were created in the same millisecond, and nothing that a "
            "search can use tells them apart. Use an export job instead."
        )

    def _by_text(
        self, base: str, query: str, key: str, prefix: str, keys: Sequence[str]
    ) -> Iterator[Window]:
        """Divide a query by the first characters of an attribute."""

        def deeper() -> Iterator[Window]:
            low, high = (self._text_edge(query, key, way) for way in (1, -1))
            shared = commonprefix([low, high])  # noqa: RUF071 - by character is what is meant
            if low == high or not shared.startswith(prefix):
                yield from self._by_key(query, keys)
                return
            first, last = low[len(shared) : len(shared) + 1], high[len(shared)]
            starts = [shared + one for one in _CHARACTERS if first <= one <= last]
            others = [f"{key}:{escaped(start)}*" for start in starts]
            for start, other in zip(starts, others, strict=True):
                yield from self._by_text(base, f"{base} AND {other}", key, start, keys)
            rest = f"{query} AND NOT ({' OR '.join(others)})" if others else query
            yield from self._read(rest, None, lambda: self._by_key(rest, keys))

        yield from self._read(query, f"{key}:1", deeper)

    def _text_edge(self, query: str, key: str, way: int) -> str:
        page = self._page(query, f"{key}:{way}", per_page=1)
        first = page.users[0] if page.users else None
        return str(first.get(key, "")).lower() if isinstance(first, Mapping) else ""


def _sort(span: Span) -> str:
    return f"{span.field}:1"


def _rest(span: Span, window: Span) -> Span | None:
    if window.end is None or (span.end is not None and window.end >= span.end):
        return None
    return span.since(window.end)
