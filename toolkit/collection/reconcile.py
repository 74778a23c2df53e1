"""Compare the users that were read with the tenant's counts, and read again where they differ."""

import time
from bisect import bisect_right
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from toolkit.classification.user_profile import User
from toolkit.collection.search import CAP, UNDATED, Walk
from toolkit.collection.window import LAST, Span, Window
from toolkit.errors import IncompleteError, SlowQueryError
from toolkit.progress import Progress
from toolkit.tenant.client import Tenant

# Users in a window: below the number at which the tenant stops counting, because it may have more.
_FULL = 950


def reread(
    tenant: Tenant, times: Sequence[int], undated: int, *, since: int, workers: int
) -> Generator[Progress, None, tuple[list[Span | None], list[User], int]]:
    """Count the tenant's users window by window, and read the windows whose counts differ.

    No user can be created in the past, so in a past window equal counts mean the same users. Since
    the reading began, a new user may replace a deleted one: that window is always read again.

    Args:
        tenant: the tenant, which counts.
        times: `created_at` of every user that was read, milliseconds since 1970, in any order.
        undated: how many of the users have none.
        since: when the reading began, milliseconds since 1970.
        workers: how many requests to send at once.

    Returns:
        The windows that were read, all users in them, and how many windows were counted.
    """
    started, total = time.monotonic(), len(times) + undated
    past = np.sort(np.asarray(times, np.int64))
    jobs = [(None, undated), *_windows(past[past < since], since)]
    spans: list[Span | None] = [Span(start=since)]
    done = 0
    pool = ThreadPoolExecutor(workers, thread_name_prefix="count")
    try:
        equal = pool.map(lambda job: counted(tenant, *job), jobs)
        for number, ((span, count), same) in enumerate(zip(jobs, equal, strict=True), 1):
            done += count if same else 0
            spans += [] if same else [span]
            note = f"{number} windows compared"
            yield Progress.after(time.monotonic() - started, done, total, note, estimated=True)
    finally:
        pool.shutdown(cancel_futures=True)
    users: list[User] = []
    note = "reading the windows that differ"
    for event in Walk(tenant, workers=workers, spans=spans):
        users += event.users if isinstance(event, Window) else ()
        seconds = time.monotonic() - started
        yield Progress.after(seconds, done + len(users), total, note, estimated=True)
    return spans, users, len(jobs) + 1


def _windows(times: npt.NDArray[np.int64], since: int) -> Iterator[tuple[Span, int]]:
    """Yield windows that cover all time before `since`, and how many of these users they have."""
    begin, start = 0, None
    while len(times) - begin > _FULL:
        # Users of the same millisecond stay in one window.
        end = int(np.searchsorted(times, times[begin + _FULL]))
        if end == begin:
            end = int(np.searchsorted(times, times[begin], side="right"))
        if end == len(times):
            break
        yield Span(start=start, end=int(times[end])), end - begin
        begin, start = end, int(times[end])
    yield Span(start=start, end=since), len(times) - begin


def counted(tenant: Tenant, span: Span | None, users: int) -> bool:
    """Whether the tenant counts so many users in a window; None: users without times."""
    if users >= CAP:
        return False  # one millisecond with more users than the tenant counts: read it again
    try:
        page = tenant.search(span.query if span else UNDATED, per_page=1)
    except SlowQueryError:
        return False  # reading it again divides it
    return page.total == users


def inside(spans: Collection[Span | None]) -> Callable[[int | None], bool]:
    """Return a test whether a `created_at` (milliseconds since 1970) is in one of these windows."""
    ends = sorted(span.ends for span in spans if span is not None)

    def is_inside(moment: int | None) -> bool:
        if moment is None:
            return None in spans
        place = bisect_right(ends, (moment, LAST + 1)) - 1
        return place >= 0 and moment < ends[place][1]

    return is_inside


def ensure_different(counts: int, users: int) -> None:
    """Raise IncompleteError if users that the tenant counts share an id.

    Two ids may become the same text, or a user comes back in another window.
    """
    if counts != users:
        raise IncompleteError(
            f"The tenant counts {counts:,} users, and {users:,} can be told from each other. "
            "Nothing was written; try again later."
        )
