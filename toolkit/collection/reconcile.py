"""What was read against what the tenant counts."""

from array import array
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from toolkit.collection.search import CAP, UNDATED, Searchable
from toolkit.collection.window import Span
from toolkit.errors import SlowQueryError

# Users a window: as many as leaves room for some more before the tenant stops counting.
_FULL = 900
_WORKERS = 8


def differing(
    tenant: Searchable, times: Sequence[int], undated: int, *, since: int
) -> Iterator[tuple[Span | None, bool]]:
    """Count the tenant's users window by window, and say which windows differ.

    Nobody can be created in the past, so where as many users are left as were read they
    are the same. Only among those created since the reading began may one have come for
    one who went: that window always counts as differing.

    Args:
        tenant: what counts.
        times: `created_at` of every user that was read, milliseconds since 1970, in any order.
        undated: how many users were read that have none.
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
        # Users of one instant stay together.
        while at < len(times) and times[at] == times[at - 1]:
            at += 1
        if at < len(times):
            cuts.append(at)
        at += _FULL
    for first, end in pairwise([*cuts, len(times)]):
        start = times[first] if first else None
        yield Span(start=start, end=times[end] if end < len(times) else since), end - first


def counted(tenant: Searchable, span: Span | None, users: int) -> bool:
    """Whether the tenant counts so many users in a window; None is the one without times."""
    if users >= CAP:
        return False  # of one instant, and more than the tenant counts: to be read again
    try:
        page = tenant.search(span.query if span else UNDATED, per_page=1)
    except SlowQueryError:
        return False  # reading it again divides it
    return page.total == users
