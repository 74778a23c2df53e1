"""Read every user of a tenant by search, although a search returns at most 1,000.

Auth0 returns at most 1,000 users of one query ("List and Search Users"), and stops counting there,
too. So the users are divided into windows of `created_at`, which never changes, with fewer than
1,000 users each. A window is complete when its count did not change between its pages and equals
the number of different users read: then no user has left, and no page has shifted.

If a tenant's counts, pages and times contradict each other, a span is divided until they agree.
Each division makes it shorter, and the number of requests is limited in proportion to the users
read: so every walk ends. A user with a `created_at` outside the window that found them is kept.
"""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from os.path import commonprefix

from toolkit.classification.times import milliseconds
from toolkit.classification.user_profile import User, user
from toolkit.collection.window import TIME_KEYS, Span, Window, escaped
from toolkit.errors import IncompleteError, QueryError, SlowQueryError, TenantError
from toolkit.images.limited_stream import StoppedError, stopping
from toolkit.tenant.client import Tenant
from toolkit.tenant.models import PAGE, Page

CAP = 1000
"""The most users of one query that Auth0 returns and counts."""

UNDATED = f"NOT _exists_:{Span().field}"
"""The query for users without `created_at`."""

# How far a window stays below the cap, in users: at first, at least, at most.
_ROOM, _LEAST_ROOM, _MOST_ROOM = 100.0, 15.0, 200.0
# The page that shows the time of about the 900th user.
_ROOMY = 8
_ATTEMPTS = 6
_FREE_SEARCHES, _SEARCHES_PER_PAGE, _MOST_SEARCHES = 500, 40, 200_000
# Dividing a span costs up to a page: not worth it for fewer users.
_WORTH_SHARING = 3000
MARGIN = 5 * 60 * 1000
"""Milliseconds by which clocks and the search index may differ; Auth0 names no limit."""

_CHARACTERS = " +-._0123456789@abcdefghijklmnopqrstuvwxyz"


def budget(users: int) -> int:
    """Return how many searches may be sent to read so many users.

    For each hundred users a normal tenant needs up to 3, and up to 20 if it cannot finish searches
    for more than 400 users. No walk sends more than 200,000, enough for about 18 million users.
    """
    return min(_MOST_SEARCHES, _FREE_SEARCHES + _SEARCHES_PER_PAGE * users // PAGE)


def _users_of(page: Page) -> list[User]:
    """Return the users of a page; raise TenantError if none of its records has a `user_id`."""
    users = [user(record) for record in page.users]
    if users and not any(one.user_id for one in users):
        raise TenantError(
            f"The tenant answered a user search with {len(users)} records, and none of them is a "
            "user: none has a user_id. Check AUTH0_DOMAIN, and what stands between you and it."
        )
    return users


class Walk:
    """One pass over all users.

    Iterating yields every page when it is read, for progress, and every complete window.

    Args:
        tenant: the tenant; several threads call `search`.
        workers: how many spans to read at a time.
        spans: the spans to read instead of all users; None means those without `created_at`.
    """

    def __init__(
        self, tenant: Tenant, *, workers: int = 8, spans: Sequence[Span | None] | None = None
    ) -> None:
        self._tenant, self._workers, self._spans = tenant, workers, spans
        self._began = 0  # milliseconds since 1970
        self._searches = 0
        self._read_users: set[str] = set()
        self._events: queue.SimpleQueue[Page | Window | BaseException | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="collect")
        self._lock = threading.Lock()
        self._jobs = 0  # running or waiting
        # For `expected`, in milliseconds: the first and last `created_at`, the time to read, and
        # the time whose users were counted.
        self._years = (0, 0)
        self._length = self._counted_length = self._counted_users = 0

    def __iter__(self) -> Iterator[Page | Window]:
        """Yield pages and windows until every user is in one.

        Raises:
            IncompleteError: a window cannot be read, or `budget` does not allow so many searches.
            TenantError: the tenant refused or did not answer.
        """
        # It does not move: a span that is cut at a moving time would never get shorter.
        self._began = self._now()
        with self._pool:
            try:
                self._add(self._read_years if self._spans is None else self._read_spans)
                while (event := self._events.get()) is not None:
                    if isinstance(event, BaseException):
                        raise event
                    yield event
            finally:
                self._stop.set()

    @property
    def expected(self) -> int | None:
        """Estimated number of users, from the time read so far; None at first."""
        if not self._counted_length or not self._length:
            return None
        return round(self._counted_users / self._counted_length * self._length)

    # The workers

    def _add(self, job: Callable[[], Iterable[Window]]) -> None:
        with self._lock:
            self._jobs += 1
        self._pool.submit(self._run, job)

    def _run(self, job: Callable[[], Iterable[Window]]) -> None:
        try:
            with stopping(self._stop):
                for window in job():
                    self._events.put(window)
        except StoppedError:
            pass
        except BaseException as error:  # noqa: BLE001 - the reader raises it
            self._events.put(error)
        with self._lock:
            self._jobs -= 1
            if not self._jobs:
                self._events.put(None)

    def _page(self, q: str, sort: str | None, page: int = 0, per_page: int = PAGE) -> Page:
        if self._stop.is_set():
            raise StoppedError
        with self._lock:
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
        sort: str | None,
        divide: Callable[[Iterable[User]], Iterable[Window]],
        span: Span | None = None,
        first: Page | None = None,
    ) -> Iterator[Window]:
        """Read all of a query of fewer than 1,000 users; if that fails, divide it.

        Pages shift if a user is deleted meanwhile, and users of one millisecond may change places
        between pages. Then fewer different users are read than the tenant counts, and the window is
        read again. No user can join a window of the past, so if its count stays the same, no user
        has left it, and the results of several readings can be added.

        `divide` reads the query in parts, and is given the users that were read. `first` is the
        first page, if it was read already.
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
                steady = True
                rows |= _by_id(page)
                # If the last page is full, the next one must be empty.
                for number in range(1, total // PAGE + 1):
                    page = self._page(query, sort, number)
                    steady = steady and page.total == total
                    rows |= _by_id(page)
            except SlowQueryError:
                total = CAP
                break
            if steady and len(rows) == total:
                users = tuple(rows.values())
                # One page shows one moment. Between two pages one user may leave and another come:
                # then the next reading differs.
                if past or total <= PAGE or before == set(users):
                    with self._lock:
                        self._read_users |= rows.keys()
                    yield Window(query, users, span)
                    return
                before = set(users)
        if total <= PAGE:
            raise IncompleteError(
                f"The tenant counts {total} users in a window and gives {len(rows)} of them, "
                f"however often it is asked: {_named(query)}."
            )
        yield from divide(rows.values())

    # Spans of time

    def _read_years(self) -> Iterator[Window]:
        """Read a small tenant directly; divide the years of a larger one among the workers."""
        self._add(self._read_undated)
        now = self._now() - MARGIN
        self._add_span(Span(start=now))
        past = Span(end=now)
        begin, end = 0, now
        try:
            first = self._page(past.query, past.sort)
            if first.total < CAP:
                yield from self._read_span(past, first)
                return
            last = self._page(past.query, f"{past.field}:-1", per_page=1)
            begin = min(_times(past, first), default=begin)
            end = max(begin, *(_times(past, last) or [end]))
        except SlowQueryError:
            pass  # the spans are equal parts of all years since 1970, and divided further
        self._years, self._length = (begin, end), end - begin
        step = (end - begin) / self._workers
        cuts = sorted({begin + round(step * part) for part in range(1, self._workers)})
        for start, stop in pairwise([None, *cuts, now]):
            self._add_span(Span(start=start, end=stop))

    def _read_undated(self) -> Iterator[Window]:
        return self._read(UNDATED, None, lambda _: [self._gathered(UNDATED, None)])

    def _read_spans(self) -> Iterable[Window]:
        """Read the given spans, whose ends are known from an earlier walk."""
        spans = self._spans or ()
        dated = [span for span in spans if span is not None]
        if len(dated) < len(spans):
            self._add(self._read_undated)
        ends = [end for span in dated for end in (span.start, span.end) if end is not None]
        self._years = (min([*ends, self._began]), max([*ends, self._began]))
        self._length = sum(map(self._length_of, dated))
        for span in dated:
            self._add_span(span)
        return ()

    def _add_span(self, span: Span) -> None:
        self._add(partial(self._read_in_windows, span))

    def _read_span(self, span: Span, first: Page | None = None) -> Iterator[Window]:
        return self._read(span.query, span.sort, partial(self._halved, span), span, first)

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

    def _read_in_windows(self, span: Span) -> Iterator[Window]:
        """Read a span from its beginning to its end, window by window."""
        rest: Span | None = span
        density, room = 0.0, _ROOM  # users a millisecond; users to stay below the cap by
        while rest is not None:
            window, first, start = self._next_window(rest, density, CAP - room)
            if first:
                self._note(window, first.total)
            users = 0
            for part in self._read_span(window, first) if first else self._halved(window):
                yield part
                users += len(part.users)
            if window.end is None or window.end == rest.end:
                return
            # Assume that the next window is about as dense as this one.
            length = max(1, window.end - start)
            missed = abs(users - density * length) if density else 0
            room = min(_MOST_ROOM, max(_LEAST_ROOM, missed, room / 2))
            # After a very dense or empty window, the next density is unknown.
            density = users / length if users >= PAGE and length > 1 else 0.0
            rest = self._shared_with_idle(rest.since(window.end), density)

    def _next_window(
        self, span: Span, density: float, users: float
    ) -> tuple[Span, Page | None, int]:
        """Find a window at the beginning of a span that has fewer users than the cap.

        Args:
            span: the time that must still be read.
            density: expected users a millisecond, or 0 if not known.
            users: how many the window should have.

        Returns:
            The window, its first page (None: it must be divided), and when its users begin.
        """
        window = span
        start, end = span.ends
        try:
            if not density:
                page = self._page(span.query, span.sort)
                if page.total < CAP:
                    return span, page, start
                if times := _times(span, page):
                    # A span may be empty for years before its first user.
                    start = times[0]
                    density = len(times) / max(1, times[-1] - start)
            if density and (until := start + max(1, round(users / density))) < end:
                window = span.until(until)
            while True:
                page = self._page(window.query, window.sort)
                if page.total < CAP:
                    return window, page, start
                if window.instant:
                    return window, None, start
                # More users than expected: end at the time of a user below the cap.
                roomy = self._page(window.query, window.sort, _ROOMY)
                window = window.until(self._cut(window, _times(window, roomy)[-1:]))
        except SlowQueryError:
            return window, None, start

    def _cut(self, span: Span, times: Sequence[int]) -> int:
        """Return where to divide a span: at the median of these times, if there are any."""
        return span.cut(times[len(times) // 2] if times else None, self._began)

    def _halved(self, span: Span, users: Iterable[User] = ()) -> Iterator[Window]:
        """Read a span in two parts with half of the users each; one millisecond by another key."""
        if span.instant:
            window = self._gathered(span.query, span)
            self._note(span, len(window.users))
            yield window
            return
        cut = self._cut(span, sorted(_inside(span, users)))
        yield from self._read_in_windows(span.until(cut))
        yield from self._read_in_windows(span.since(cut))

    def _now(self) -> int:
        return milliseconds(self._tenant.now())

    def _note(self, window: Span, users: int) -> None:
        """Remember how many users are in a window, for `expected`."""
        if window.field == Span().field and not window.base:
            with self._lock:
                self._counted_length += self._length_of(window)
                self._counted_users += users

    def _length_of(self, span: Span) -> int:
        first, last = self._years
        start = first if span.start is None else span.start
        return max(0, (last if span.end is None else span.end) - start)

    def _shared_with_idle(self, rest: Span, density: float) -> Span:
        """Give half of a span to an idle worker, if it is large enough; return the other half."""
        if rest.start is None or rest.base or rest.instant or self._jobs >= self._workers:
            return rest
        end = self._years[1] if rest.end is None else rest.end
        if (end - rest.start) * density < _WORTH_SHARING:
            return rest
        middle = rest.cut((rest.start + end) // 2, end)
        self._add_span(rest.since(middle))
        return rest.until(middle)

    # Users with the same created_at

    def _by_key(self, base: str, keys: Sequence[str]) -> Iterator[Window]:
        """Divide a query by the first of these attributes that users have, then by the next."""
        for key in keys:
            having = f"{base} AND _exists_:{key}"
            try:
                if self._page(having, f"{key}:1", per_page=1).total:
                    break
            except QueryError:  # some tenants do not allow every attribute in searches
                pass
        else:
            shared = "lack created_at" if base.startswith(UNDATED) else "share the same millisecond"
            raise IncompleteError(
                f"Users who {shared} cannot be read: nothing that a search can use tells them "
                f"apart ({_named(base)}). Use an export job instead."
            )
        rest = tuple(keys[keys.index(key) + 1 :])
        lacking = f"{base} AND NOT _exists_:{key}"
        yield from self._read(lacking, None, lambda _: self._by_key(lacking, rest))
        if key in TIME_KEYS:
            yield from self._read_in_windows(Span(key, base=base, keys=rest))
        else:
            yield from self._by_text(base, having, key, "", rest)

    def _by_text(
        self, base: str, query: str, key: str, prefix: str, keys: Sequence[str]
    ) -> Iterator[Window]:
        """Divide a query by the first characters of an attribute."""

        def deeper(_: object) -> Iterator[Window]:
            low, high = (self._text_edge(query, key, way) for way in (1, -1))
            common = commonprefix([low, high])  # noqa: RUF071 - by character on purpose
            if low == high or not common.startswith(prefix):
                yield from self._by_key(query, keys)
                return
            first, last = (end[len(common) : len(common) + 1] for end in (low, high))
            starts = [common + one for one in _CHARACTERS if first <= one <= last]
            others = [f"{key}:{escaped(start)}*" for start in starts]
            for start, other in zip(starts, others, strict=True):
                yield from self._by_text(base, f"{base} AND {other}", key, start, keys)
            rest = f"{query} AND NOT ({' OR '.join(others)})" if others else query
            yield from self._read(rest, None, lambda _: self._by_key(rest, keys))

        yield from self._read(query, f"{key}:1", deeper)

    def _text_edge(self, query: str, key: str, way: int) -> str:
        page = self._page(query, f"{key}:{way}", per_page=1)
        first = page.users[0] if page.users else None
        return str(first.get(key, "")).lower() if isinstance(first, Mapping) else ""


def _named(query: str) -> str:
    """Return the part of a query without personal data: the time, in Auth0's syntax."""
    return query.partition(" AND ")[0]


def _by_id(page: Page) -> dict[str, User]:
    return {one.key: one for one in _users_of(page)}


def _inside(span: Span, users: Iterable[User]) -> list[int]:
    """Return those times of users that lie in a span, in milliseconds since 1970."""
    moments = (getattr(one, span.field) for one in users)
    return [time for one in moments if one is not None and span.holds(time := milliseconds(one))]


def _times(span: Span, page: Page) -> list[int]:
    """Return the times of a page that lie in its span; none if the page is not sorted."""
    times = _inside(span, _users_of(page))
    return times if times == sorted(times) else []
