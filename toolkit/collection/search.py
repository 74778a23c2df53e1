"""Read every user of a tenant by search, although a search returns at most 1,000.

Auth0 returns at most 1,000 users of one query ("List and Search Users"), and stops counting there,
too. So the users are divided into windows of `created_at`, which never changes. The size of each
window is chosen from the one before, so that it has fewer than 1,000 users and the tenant counts it
with every page. A window is complete when that count did not change between its pages and equals
the number of different users read: then no user has left, and no page has shifted. Several spans
are read at the same time.

If a tenant's counts, pages and times contradict each other, a span is divided until they agree.
Each division makes it shorter, and the number of requests is limited in proportion to the users
read: so every walk ends.

A user may have a `created_at` outside the window that found them. Then the tenant's index decides,
and the user is kept.
"""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from itertools import pairwise
from os.path import commonprefix
from typing import Protocol

from toolkit.classification.user_profile import User, milliseconds, user
from toolkit.collection.window import TIME_KEYS, Span, Window, escaped
from toolkit.errors import IncompleteError, QueryError, SlowQueryError, TenantError
from toolkit.images.limited_stream import StoppedError, stopping
from toolkit.tenant.models import PAGE, Page

CAP = 1000
"""The most users of one query that Auth0 returns and counts."""

UNDATED = f"NOT _exists_:{Span().field}"
"""The query for users without `created_at`."""

# How far a window stays below the cap, in users: at first, at least, at most. It depends on how
# much the density of users varies.
_ROOM, _LEAST_ROOM, _MOST_ROOM = 100.0, 15.0, 200.0
# The page that shows the time of about the 900th user.
_ROOMY = 8
_ATTEMPTS = 6
_WORKERS = 8
_FREE_SEARCHES, _SEARCHES_PER_PAGE, _MOST_SEARCHES = 500, 40, 200_000
# Dividing a span costs up to a page: not worth it for fewer users.
_WORTH_SHARING = 3000
MARGIN = 5 * 60 * 1000
"""Milliseconds by which clocks and the search index may differ.

Auth0 calls the index "eventually consistent" and does not say how late it may be. Reading users
once more costs one request for each hundred.
"""

_CHARACTERS = " +-._0123456789@abcdefghijklmnopqrstuvwxyz"


class Searchable(Protocol):
    """The part of a tenant that this module uses."""

    def search(
        self, q: str, *, page: int = 0, per_page: int = PAGE, sort: str | None = None
    ) -> Page:
        """Read one page; see `toolkit.tenant.client.Tenant.search`."""

    def now(self) -> datetime:
        """Return the tenant's time (UTC); see `toolkit.tenant.client.Tenant.now`."""


def budget(users: int) -> int:
    """Return how many searches may be sent to read so many users.

    A normal tenant needs up to 3 for each hundred users, and up to 20 if it cannot finish searches
    for more than 400 users; 40 are allowed. 500 more are allowed to find where a few users are. No
    walk sends more than 200,000, enough for about 18 million users; for more, use the export job.
    """
    return min(_MOST_SEARCHES, _FREE_SEARCHES + _SEARCHES_PER_PAGE * users // PAGE)


def users_of(page: Page) -> list[User]:
    """Return the users of a page, with any profile.

    Raises:
        TenantError: the page has records, and none of them has a `user_id`.
    """
    users = [user(record) for record in page.users]
    if users and not any(one.user_id for one in users):
        raise TenantError(
            f"The tenant answered a user search with {len(users)} records, and none of them is a "
            "user: none has a user_id. Check AUTH0_DOMAIN, and what stands between you and it."
        )
    return users


class _Cancelled(Exception):  # noqa: N818 - not an error: the reader has stopped
    """The reader has stopped; the workers stop before their next request."""


class Walk:
    """One pass over all users.

    Iterating yields every page when it is read, for progress, and every complete window, for the
    result.

    Args:
        tenant: the tenant; several threads call `search`.
        workers: how many spans to walk at a time.
        spans: the spans to read instead of all users, to continue an earlier walk; None means the
            users without `created_at`.
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
        self._present = 0  # milliseconds: about now
        self._searches = 0
        self._read_users: set[str] = set()
        self._events: queue.SimpleQueue[Page | Window | BaseException | None] = queue.SimpleQueue()
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
            IncompleteError: a window could not be reconciled or divided, or more searches were
                needed than `budget` allows.
            TenantError: the tenant refused or did not answer.
        """
        # It does not move: a span that is cut at a moving time would never get shorter.
        self._present = self._now()
        self._todo = [self._begin, self._undated] if self._spans is None else []
        self._go_on(self._spans or ())
        with ThreadPoolExecutor(self._workers, thread_name_prefix="collect") as pool:
            for _ in range(self._workers):
                pool.submit(self._work)
            try:
                for _ in range(self._workers):
                    while (event := self._events.get()) is not None:
                        if isinstance(event, BaseException):
                            raise event
                        yield event
            finally:
                self._stop.set()
                with self._jobs:
                    self._jobs.notify_all()

    @property
    def expected(self) -> int | None:
        """Estimated number of users, from the time read so far; None at first."""
        parts = [self._walked, *list(self._walking.values())]
        walked, users = (sum(column) for column in zip(*parts, strict=True))
        return round(users / walked * self._ahead) if walked and self._ahead else None

    # The workers

    def _work(self) -> None:
        try:
            with stopping(self._stop):
                while (job := self._next_job()) is not None:
                    for window in job():
                        self._events.put(window)
        except (_Cancelled, StoppedError):
            pass
        except BaseException as error:  # noqa: BLE001 - the reader raises it
            self._events.put(error)
        self._events.put(None)

    def _next_job(self) -> Callable[[], Iterable[Window]] | None:
        with self._jobs:
            self._idle += 1
            if self._idle == self._workers and not self._todo:
                self._stop.set()  # no worker is left to add a job
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
        with self._jobs:
            if self._stop.is_set():
                raise _Cancelled
            self._searches += 1
            read = len(self._read_users)
            exhausted = self._searches > budget(read)
        if exhausted:
            raise IncompleteError(
                f"After {self._searches - 1:,} searches {read:,} users were read, and no end is in "
                "sight: the tenant's counts and pages contradict each other, or it has too many "
                f"users to be searched. Given up at {_named(q)}: use an export job instead."
            )
        answer = self._tenant.search(q, page=page, per_page=per_page, sort=sort)
        if answer.total >= CAP and not page and not answer.users:
            raise IncompleteError(
                f"The tenant counts {CAP:,} users or more and shows none of them: {_named(q)}. "
                "Try again later."
            )
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
        """Read all of a query of fewer than 1,000 users; if that fails, divide it.

        Pages shift if a user is deleted meanwhile, and users of one millisecond may change places
        between pages. Then fewer different users are read than the tenant counts, and the window is
        read again. No user can join a window of the past, so if its count stays the same, no user
        has left it, and the results of several readings can be added.
        """
        past = span is not None and span.end is not None and span.end <= self._now() - MARGIN
        total = -1
        rows: dict[str, User] = {}
        before: set[User] | None = None
        for _ in range(_ATTEMPTS):
            try:
                page = first or self._page(query, sort)
                if not past or page.total != total:
                    rows = {}
                first, total = None, page.total
                if total >= CAP:
                    break
                steady = self._read_pages(query, sort, page, rows)
            except SlowQueryError:
                total = CAP
                break
            if steady and len(rows) == total:
                users = tuple(rows.values())
                # One page shows one moment. Between two pages one user may leave and another come:
                # then the next reading differs.
                if past or total <= PAGE or before == set(users):
                    with self._jobs:
                        self._read_users |= rows.keys()
                    yield Window(query, users, span)
                    return
                before = set(users)
        if total <= PAGE:
            raise IncompleteError(
                f"The tenant counts {total} users in a window and gives {len(rows)} of them, "
                f"however often it is asked: {_named(query)}."
            )
        if divide is not None:
            yield from divide()
        elif span is not None:
            yield from self._halved(span, rows.values())
        else:
            yield from self._by_key(query)

    def _read_pages(self, query: str, sort: str | None, page: Page, rows: dict[str, User]) -> bool:
        """Add all pages to the rows; return whether the count stayed the same."""
        total, steady = page.total, True
        rows |= _by_id(page)
        # If the last page is full, the next one must be empty.
        for number in range(1, total // PAGE + 1):
            page = self._page(query, sort, number)
            steady = steady and page.total == total
            rows |= _by_id(page)
        return steady

    # Spans of time

    def _begin(self) -> Iterator[Window]:
        """Read a small tenant directly; divide the years of a larger one among the workers."""
        whole = Span()
        now = self._now() - MARGIN
        self._walk_later(whole.since(now))
        former = whole.until(now)
        begin, end = 0, now
        try:
            first = self._page(former.query, _sort(former))
            if first.total < CAP:
                yield from self._read_span(former, first)
                return
            last = self._page(former.query, f"{former.field}:-1", per_page=1)
            begin, *_ = _times(former, first) or [begin]
            end = max([begin, *(_times(former, last) or [end])])
        except SlowQueryError:
            pass  # the spans are equal parts of all years since 1970, and divided further
        self._years, self._ahead = (begin, end), end - begin
        step = (end - begin) / self._workers
        cuts = sorted({begin + round(step * part) for part in range(1, self._workers)})
        for start, stop in pairwise([None, *cuts, now]):
            self._walk_later(Span(start=start, end=stop))

    def _undated(self) -> Iterator[Window]:
        """Read the users without `created_at`."""
        yield from self._read(UNDATED, None, lambda: [self._gathered(UNDATED, None)])

    def _go_on(self, spans: Sequence[Span | None]) -> None:
        """Read these spans, whose ends are known from an earlier walk."""
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
        return self._read(span.query, _sort(span), None, first, span)

    def _gathered(self, query: str, span: Span | None) -> Window:
        """Read users with the same `created_at`, as one window."""
        keys = span.keys if span else Span().keys
        try:
            users = [user for part in self._by_key(query, keys) for user in part.users]
        except SlowQueryError as error:
            raise IncompleteError(
                f"The tenant does not finish a search in time: {_named(query)}. It cannot be "
                "divided further: use an export job instead."
            ) from error
        except (QueryError, RecursionError) as error:
            # Their names and addresses begin with the same few hundred characters.
            raise IncompleteError(
                f"Users who are alike cannot be told apart by search: {_named(query)}. Use an "
                "export job instead."
            ) from error
        return Window(query, tuple(users), span)

    def _walk(self, span: Span) -> Iterator[Window]:
        """Read a span from its beginning to its end, window by window."""
        rest: Span | None = span
        density, room = 0.0, _ROOM  # users a millisecond; users to stay below the cap by
        while rest is not None:
            window, first, start = self._next_window(rest, density, CAP - room)
            self._note(window, first.total if first else CAP)
            users = 0
            for part in self._read_span(window, first) if first else self._halved(window):
                yield part
                users += len(part.users)
                self._count(window, len(part.users))
            rest = _rest(rest, window)
            if rest is not None and rest.start is not None:
                # Assume that the next window is about as dense as this one.
                length = max(1, rest.start - start)
                missed = abs(users - density * length) if density else 0
                room = min(_MOST_ROOM, max(_LEAST_ROOM, missed, room / 2))
                # After a very dense or empty window, the next density is unknown.
                density = users / length if users >= PAGE and length > 1 else 0.0
                rest = self._shared(rest, density)

    def _next_window(
        self, span: Span, density: float, users: float
    ) -> tuple[Span, Page | None, int]:
        """Find a window at the beginning of a span that has fewer users than the cap.

        Args:
            span: what is left to read.
            density: expected users a millisecond, or 0 if not known.
            users: how many the window should have.

        Returns:
            The window, its first page, and the time at which its users begin. The page is None if
            the window must be divided further: one millisecond with more users than the tenant
            counts, or a search that takes too long.
        """
        window = span
        start, end = span.ends
        try:
            if not density:
                page = self._page(span.query, _sort(span))
                if page.total < CAP:
                    return span, page, start
                if times := _times(span, page):
                    # A span may be empty for years before its first user.
                    start = times[0]
                    density = len(times) / max(1, times[-1] - start)
            if density and (until := start + max(1, round(users / density))) < end:
                window = span.until(until)
            while True:
                page = self._page(window.query, _sort(window))
                if page.total < CAP:
                    return window, page, start
                if window.instant:
                    return window, None, start
                # More users than expected: end at the time of a user below the cap.
                roomy = self._page(window.query, _sort(window), _ROOMY)
                window = window.until(self._cut(window, _times(window, roomy)[-1:]))
        except SlowQueryError:
            return window, None, start

    def _cut(self, span: Span, times: Sequence[int]) -> int:
        """Return where to divide a span: at the median of these times, if there are any."""
        return span.cut(times[len(times) // 2] if times else None, self._present)

    def _halved(self, span: Span, users: Iterable[User] = ()) -> Iterator[Window]:
        """Read a span in two parts with half of the users each; one millisecond by another key."""
        if span.instant:
            yield self._gathered(span.query, span)
            return
        cut = self._cut(span, sorted(_inside(span, users)))
        yield from self._walk(span.until(cut))
        yield from self._walk(span.since(cut))

    def _now(self) -> int:
        return milliseconds(self._tenant.now())

    def _note(self, window: Span, users: int) -> None:
        """Remember a window that is being read, for `expected`."""
        if window.field == Span().field and not window.base:
            self._walking[threading.get_ident()] = (self._length(window), users)

    def _count(self, window: Span, users: int) -> None:
        """Remember a complete window, or a part of it, for `expected`."""
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
        """Give half of the rest to an idle worker, if it is large enough."""
        end = self._years[1] if rest.end is None else rest.end
        if rest.start is None or rest.base or rest.instant:
            return rest
        with self._jobs:
            wanted = self._idle > len(self._todo)
        if not wanted or (end - rest.start) * density < _WORTH_SHARING:
            return rest
        middle = rest.cut((rest.start + end) // 2, end)
        self._walk_later(rest.since(middle))
        return rest.until(middle)

    # Users with the same created_at

    def _by_key(self, base: str, keys: Sequence[str] = Span().keys) -> Iterator[Window]:
        """Divide a query by another attribute than the time of creation.

        Users with the same value of one attribute are divided by the next attribute.
        """
        for number, key in enumerate(keys):
            having = f"{base} AND _exists_:{key}"
            try:
                ends = [self._page(having, f"{key}:{way}", per_page=1) for way in (1, -1)]
            except QueryError:  # some tenants do not allow every attribute in searches
                continue
            if not ends[0].total:
                continue
            rest = tuple(keys[number + 1 :])
            lacking = f"{base} AND NOT _exists_:{key}"
            yield from self._read(lacking, None, partial(self._by_key, lacking, rest))
            if key in TIME_KEYS:
                yield from self._walk(Span(key, base=base, keys=rest))
            else:
                yield from self._by_text(base, having, key, "", rest)
            return
        together = "lack created_at" if base.startswith(UNDATED) else "share the same millisecond"
        raise IncompleteError(
            f"Users who {together} cannot be read: nothing that a search can use tells them apart "
            f"({_named(base)}). Use an export job instead."
        )

    def _by_text(
        self, base: str, query: str, key: str, prefix: str, keys: Sequence[str]
    ) -> Iterator[Window]:
        """Divide a query by the first characters of an attribute."""

        def deeper() -> Iterator[Window]:
            low, high = (self._text_edge(query, key, way) for way in (1, -1))
            shared = commonprefix([low, high])  # noqa: RUF071 - by character on purpose
            if low == high or not shared.startswith(prefix):
                yield from self._by_key(query, keys)
                return
            first, last = (end[len(shared) : len(shared) + 1] for end in (low, high))
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


def _named(query: str) -> str:
    """Return the part of a query without personal data: the time, in Auth0's syntax."""
    return query.partition(" AND ")[0]


def _by_id(page: Page) -> dict[str, User]:
    return {one.key: one for one in users_of(page)}


def _inside(span: Span, users: Iterable[User]) -> list[int]:
    """Return those times of users that lie in a span, in milliseconds since 1970."""
    moments = (getattr(one, span.field) for one in users)
    return [time for one in moments if one is not None and span.holds(time := milliseconds(one))]


def _times(span: Span, page: Page) -> list[int]:
    """Return the times of a page that lie in its span; none if the page is not sorted."""
    times = _inside(span, users_of(page))
    return times if times == sorted(times) else []


def _rest(span: Span, window: Span) -> Span | None:
    if window.end is None or (span.end is not None and window.end >= span.end):
        return None
    return span.since(window.end)
