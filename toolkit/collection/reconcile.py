"""Compare the users that were read with the tenant's counts."""

from array import array
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from toolkit.collection.search import CAP, UNDATED, Searchable
from toolkit.collection.window import Span
from toolkit.errors import SlowQueryError

# Users in a window: below the number at which the tenant stops counting.
_FULL = 900
_WORKERS = 8


def differing(
    tenant: Searchable, times: Sequence[int], undated: int, *, since: int
) -> Iterator[tuple[Span | None, bool]]:
    """Count the tenant's users window by window, and say which windows differ.

    No user can be created in the past, so in a past window equal counts mean the same users. Since
    the reading began, a new user may replace a deleted one: that window always counts as differing.

    Args:
        tenant: the tenant, which counts.
        times: `created_at` of every user that was read, milliseconds since 1970, in any order.
        undated: how many of the users have none.
        since: when the reading began, milliseconds since 1970.

    Yields:
        Every window, in no particular order, and whether it differs. Together the windows
        cover all of time, and with None the users without `created_at`.
    """
    former = array("q", sorted(time for time in times if time < since))
    jobs = [(None, undated), *_windows(former, since)]
    yield Span(start=since), True
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="count") as pool:
        yield from pool.map(lambda job: (job[0], not counted(tenant, *job)), jobs)


def _windows(times: "array[int]", since: int) -> Iterator[tuple[Span, int]]:
    cuts = [0]
    at = _FULL
    while at < len(times):
        # Users of the same millisecond stay in one window.
        while at < len(times) and times[at] == times[at - 1]:
            at += 1
        if at < len(times):
            cuts.append(at)
        at += _FULL
    for first, end in pairwise([*cuts, len(times)]):
        start = times[first] if first else None
        yield Span(start=start, end=times[end] if end < len(times) else since), end - first


def counted(tenant: Searchable, span: Span | None, users: int) -> bool:
    """Whether the tenant counts so many users in a window; None: users without times."""
    if users >= CAP:
        return False  # one millisecond with more users than the tenant counts: read it again
    try:
        page = tenant.search(span.query if span else UNDATED, per_page=1)
    except SlowQueryError:
        return False  # reading it again divides it
    return page.total == users
