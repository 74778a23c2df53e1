"""A refresh: update a snapshot at a cost in proportion to the changes.

New and changed users are searched by `updated_at`. Deleted users show only in counts: the known
users are divided into windows of `created_at` that cover all time, and each count is compared with
the tenant's. One request counts a window and reads its middle page. If the counts differ, the page
shows on which side of it a user is missing, because its number says how many users come before it.
If pages and counts contradict each other, the whole window is read again.

The search index is updated with a delay, so a refresh can miss the last minutes; the next refresh
begins early enough to find them.
"""

import math
import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.metadata import version
from itertools import count
from typing import NamedTuple

import numpy as np
import pandas as pd

from toolkit.classification.frames import audit, profiles
from toolkit.classification.schema import PROFILE, SNAPSHOT
from toolkit.classification.sources import Evidence, Source
from toolkit.classification.user_profile import User, milliseconds
from toolkit.collection.scripts import read_wiring
from toolkit.collection.search import CAP, MARGIN, UNDATED, Walk, budget, users_of
from toolkit.collection.window import Span, Window
from toolkit.errors import IncompleteError, SettingsError, SlowQueryError
from toolkit.progress import Progress
from toolkit.snapshots.snapshot import Provenance, Snapshot
from toolkit.tenant.client import Tenant
from toolkit.tenant.models import PAGE, Page

# Users in a window: below the cap, because the tenant may have more users in it.
_WINDOW = 950


@dataclass(frozen=True, slots=True, repr=False)
class Changes:
    """New, changed and deleted users since a snapshot: user ids, sorted.

    Attributes:
        added: not in the old snapshot.
        changed: in both, with a difference in the profile.
        deleted: in the old snapshot only.
    """

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()

    def __str__(self) -> str:
        return (
            f"{len(self.added):,} added, {len(self.changed):,} changed, "
            f"{len(self.deleted):,} deleted"
        )

    def __repr__(self) -> str:
        # Ids may contain names and addresses, and this text ends up in logs.
        return f"<Changes: {self}>"


def refreshing(
    tenant: Tenant, since: Snapshot, *, workers: int = 8
) -> Generator[Progress, None, tuple[Snapshot, Changes]]:
    """Update a snapshot, with progress.

    Args:
        tenant: where to read.
        since: a complete snapshot of the same tenant; it is not changed.
        workers: how many windows to compare at once, within the tenant's rate limit.

    Yields:
        Progress in users. Closing the generator stops the refresh.

    Returns:
        The new snapshot, equal to that of a full collection, and the changes. Results of a probe
        are kept for unchanged pictures.

    Raises:
        SettingsError: the snapshot is of another tenant, or not complete.
        IncompleteError: the tenant counts other numbers of users than it returns.
        TenantError: the tenant refused or did not answer.
    """
    _require_whole(since, tenant.domain)
    started, before = time.monotonic(), tenant.requests
    taken_at = tenant.now()
    known = since.users
    fresh: dict[str, User] = {}
    for users in _touched(tenant, _beginning(since)):
        fresh |= {one.user_id: one for one in users}
        yield Progress(len(fresh), note="users who came or changed")
    parts = _parts(known, fresh)
    total = sum(len(part.ids) for part in parts)
    comparison = _Comparison(tenant)
    for _ in comparison.run(parts, workers):
        seconds, note = time.monotonic() - started, f"{comparison.windows} windows compared"
        yield Progress.after(seconds, comparison.users, total, note, estimated=True)
    fresh |= comparison.seen
    gone = comparison.gone - comparison.seen.keys()
    frame, changes = _applied(known, {i: one for i, one in fresh.items() if i not in gone}, gone)
    _reconcile(frame, comparison.totals)
    wired, unread = read_wiring(tenant)
    provenance = Provenance(
        tenant=tenant.domain,
        taken_at=taken_at,
        method="refresh",
        complete=True,
        users=len(frame),
        windows=comparison.windows,
        requests=tenant.requests - before,
        seconds=round(time.monotonic() - started, 3),
        sandbox=tenant.sandbox,
        toolkit_version=version("auth0-picture-audit"),
        notes=(f"{changes} since {since.provenance.taken_at.isoformat()}", *unread, *tenant.notes),
        wiring=wired,
        # A sample is about the users it was drawn from, and they have changed.
        probed_at=None if since.provenance.estimate else since.provenance.probed_at,
        seed=tenant.seed,
    )
    return Snapshot(provenance, frame), changes


def _require_whole(since: Snapshot, domain: str) -> None:
    since.provenance.require_people()
    if since.provenance.tenant != domain:
        raise SettingsError(
            f"The snapshot is of {since.provenance.tenant}, and the tenant is {domain}: name a "
            "snapshot of the same tenant, or collect anew."
        )
    if not since.provenance.complete:
        raise SettingsError("The snapshot is not complete, so nothing builds on it: collect anew.")
    if since.provenance.method == "ingest":
        # For an export file, the time of its start is not known.
        raise SettingsError("The snapshot is of export files, not of a tenant: collect anew.")


# New and changed users


def _beginning(since: Snapshot) -> int:
    """Return the `updated_at` from which users may have changed since the snapshot."""
    begun = since.provenance.taken_at
    newest = since.users["updated_at"].max()
    if pd.notna(newest):
        # If the tenant's time was not known, our clock may have been ahead. The newest user in the
        # snapshot limits how far.
        begun = min(begun, newest - timedelta(seconds=since.provenance.seconds))
    return milliseconds(begun) - MARGIN


def _touched(tenant: Tenant, since: int) -> Iterator[Sequence[User]]:
    """Yield the users whose `updated_at` is not before a time; some come twice.

    Each request is for the first page from the last time seen. No change meanwhile can shift that
    page, and a user who changes moves to the end and is read again there.

    Raises:
        IncompleteError: it does not end: users change faster than they are read, or the tenant
            repeats the same users.
    """
    span = Span("updated_at", start=since)
    met: set[str] = set()
    for searches in count():
        if searches > budget(len(met)):
            raise IncompleteError(
                f"After {searches:,} searches for users who changed, {len(met):,} were found, and "
                f"there is no end to them. Given up at {span.query}: collect anew."
            )
        try:
            page = tenant.search(span.query, sort=f"{span.field}:1")
        except SlowQueryError:
            yield from (window.users for window in _walked(tenant, [span], 1))
            return
        users = users_of(page)
        yield users
        if len(users) >= page.total:
            return
        met.update(one.key for one in users)
        times = [milliseconds(one.updated_at) for one in users if one.updated_at]
        if not times or times != sorted(times) or not all(map(span.holds, times)):
            # The page does not match the query: read the rest by counting.
            yield from (window.users for window in _walked(tenant, [span], 1))
            return
        latest = times[-1]
        if latest == span.start:
            # A whole page of one millisecond: divide it by another key than time.
            if span.instant:
                yield from (window.users for window in _walked(tenant, [span], 1))
                return
            instant = span.until(latest + 1)
            yield from (window.users for window in _walked(tenant, [instant], 1))
            latest += 1
        span = span.since(latest)


def _walked(tenant: Tenant, spans: Sequence[Span | None], workers: int) -> Iterator[Window]:
    for event in Walk(tenant, workers=workers, spans=spans):
        if isinstance(event, Window):
            yield event


# Deleted users


class _Known(NamedTuple):
    """A known user: an id, and milliseconds since 1970."""

    user_id: str
    created: int


@dataclass(frozen=True, slots=True)
class _Part:
    """The known users of one window, in order of creation.

    Attributes:
        span: the part of time, or None for users without `created_at`.
        ids: the users.
        times: their `created_at` in milliseconds; empty where the span is None.
    """

    span: Span | None
    ids: Sequence[str]
    times: Sequence[int] = ()

    def cut(self, size: int) -> "list[_Part]":
        """Divide into windows of at most `size` users, or of one millisecond."""
        if self.span is None:
            return [self]
        cuts = [0]
        while len(self.ids) - cuts[-1] > size:
            begin = cuts[-1]
            end = bisect_left(self.times, self.times[begin + size])
            if end <= begin:
                end = bisect_right(self.times, self.times[begin])
            if end == len(self.ids):
                break
            cuts.append(end)
        parts = []
        for begin, end in zip(cuts, [*cuts[1:], len(self.ids)], strict=True):
            span = self.span.since(self.times[begin]) if begin else self.span
            span = span.until(self.times[end]) if end < len(self.ids) else span
            parts.append(_Part(span, self.ids[begin:end], self.times[begin:end]))
        return parts


def _parts(known: pd.DataFrame, fresh: dict[str, User]) -> list[_Part]:
    """Divide the known users into windows that together cover all users."""
    old = ~known["user_id"].isin(fresh.keys())
    dated = old & known["created_at"].notna()
    new_undated = [one.user_id for one in fresh.values() if one.created_at is None]
    undated = [*known["user_id"][old & ~dated], *new_undated]
    new = [(i, milliseconds(one.created_at)) for i, one in fresh.items() if one.created_at]
    ids = np.array([*known["user_id"][dated], *(i for i, _ in new)], dtype=object)
    times = np.concatenate(
        [_created(known[dated]), np.array([time for _, time in new], dtype=np.int64)]
    )
    order = np.argsort(times, kind="stable")
    everybody = _Part(Span(), ids[order].tolist(), times[order].tolist())
    return [*everybody.cut(_WINDOW), _Part(None, undated)]


def _created(frame: pd.DataFrame) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """Return `created_at` in milliseconds since 1970; no value is null."""
    moments = frame["created_at"].dt.tz_convert(None).to_numpy("datetime64[ms]")
    return np.asarray(moments.astype(np.int64))


class _Contradiction(Exception):  # noqa: N818 - not an error: the window is then read whole
    """Pages and counts of a window contradict each other, or do not show who is missing."""


@dataclass(slots=True)
class _Outcome:
    """The result of reading pages of a window.

    Attributes:
        total: how many users the tenant counts in the window.
        seen: the users on the pages that were read.
        gone: known users whom the tenant no longer has.
    """

    total: int
    seen: dict[str, User] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Gap:
    """Ranks in the tenant's order that were not read yet, and the users expected there.

    Attributes:
        start: the first rank, counted from 0.
        stop: the rank after the last.
        known: the known users whose times lie between the pages around the gap.
    """

    start: int
    stop: int
    known: Sequence[_Known]

    @property
    def middle(self) -> int:
        """The number of the page in the middle."""
        return (self.start // PAGE + math.ceil(self.stop / PAGE)) // 2

    def split(self, number: int, rows: Sequence[User], gone: set[str]) -> "tuple[_Gap, _Gap]":
        """Return the gaps that remain before and after a page.

        Args:
            number: the page's number.
            rows: its users.
            gone: collects the users who should be on the page and are not.

        Raises:
            _Contradiction: the page does not fit into the gap, or does not show on which side of it
                users of the same millisecond are.
        """
        begin = number * PAGE
        end = begin + len(rows)
        if len(rows) != max(0, min(PAGE, self.stop - begin)):
            raise _Contradiction
        if not rows:
            return self, _Gap(self.stop, self.stop, ())
        times = [-1 if one.created_at is None else milliseconds(one.created_at) for one in rows]
        if any(one.created_at is None for one in rows) or times != sorted(times):
            raise _Contradiction
        low, high = times[0], times[-1]
        shown = {one.user_id for one in rows}
        before: list[_Known] = []
        after: list[_Known] = []
        for one in self.known:
            if one.user_id in shown:
                continue
            if low < one.created < high:
                gone.add(one.user_id)
            elif low == high == one.created and begin > self.start and end < self.stop:
                raise _Contradiction
            elif one.created < low or (one.created == low and begin > self.start):
                before.append(one)
            elif one.created > high or (one.created == high and end < self.stop):
                after.append(one)
            else:
                gone.add(one.user_id)
        return _Gap(self.start, begin, before), _Gap(end, self.stop, after)


class _Comparison:
    """The comparison of all windows with the tenant.

    Attributes:
        totals: the windows that were compared, and the tenant's count of each.
        seen: users that were read during the comparison.
        gone: known users whom the tenant no longer has.
        users: how many users are in the windows compared so far.
    """

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._stop = threading.Event()
        self.totals: dict[Span | None, int] = {}
        self.seen: dict[str, User] = {}
        self.gone: set[str] = set()
        self.users = 0

    @property
    def windows(self) -> int:
        """How many windows were compared so far."""
        return len(self.totals)

    def run(self, parts: Iterable[_Part], workers: int) -> Iterator[None]:
        """Compare these windows, which cover all users; yield after each."""
        again: list[_Part] = []
        with ThreadPoolExecutor(workers, thread_name_prefix="refresh") as pool:
            todo = {pool.submit(self._compared, part): part for part in parts}
            try:
                while todo:
                    done, _ = wait(todo, return_when=FIRST_COMPLETED)
                    for future in done:
                        part = todo.pop(future)
                        smaller = self._settle(part, future, again)
                        todo |= {pool.submit(self._compared, one): one for one in smaller}
                        yield
            finally:
                self._stop.set()
        if again:
            yield from self._read_whole(again, workers)

    def _settle(
        self, part: _Part, future: "Future[_Outcome]", again: list[_Part]
    ) -> Sequence[_Part]:
        """Use the result of a window; return smaller windows to compare instead."""
        try:
            outcome = future.result()
        except SlowQueryError:
            smaller = part.cut(max(PAGE, len(part.ids) // 2))
            if len(smaller) > 1:
                return smaller
            again.append(part)
        except _Contradiction:
            again.append(part)
        else:
            self._close(part.span, outcome.total)
            self.seen |= outcome.seen
            self.gone |= outcome.gone
        return ()

    def _close(self, span: Span | None, total: int) -> None:
        self.totals[span] = total
        self.users += total

    def _read_whole(self, parts: Sequence[_Part], workers: int) -> Iterator[None]:
        """Read whole windows by search, which also reconciles them."""
        read: set[str] = set()
        for window in _walked(self._tenant, [part.span for part in parts], workers):
            self._close(window.span, len(window.users))
            self.seen |= {one.user_id: one for one in window.users}
            read.update(one.user_id for one in window.users)
            yield
        self.gone.update(one for part in parts for one in part.ids if one not in read)

    # One window, in its own thread

    def _compared(self, part: _Part) -> _Outcome:
        """Compare one window with the tenant.

        Raises:
            _Contradiction: the whole window must be read.
        """
        if len(part.ids) >= CAP:
            raise _Contradiction  # one millisecond with more users than the tenant counts
        if part.span is None:
            return self._compared_undated(part)
        known = [_Known(*one) for one in zip(part.ids, part.times, strict=True)]
        number = _Gap(0, len(known), known).middle
        page = self._page(part.span, number)
        outcome = _Outcome(page.total)
        if page.total >= CAP:
            raise _Contradiction
        gaps = self._take(part.span, outcome, _Gap(0, page.total, known), number, page)
        while gaps:
            gap = gaps.pop()
            if gap.start == gap.stop:
                outcome.gone.update(one.user_id for one in gap.known)
            elif gap.stop - gap.start != len(gap.known):
                page = self._page(part.span, gap.middle)
                gaps += self._take(part.span, outcome, gap, gap.middle, page)
        return outcome

    def _take(
        self, span: Span, outcome: _Outcome, gap: _Gap, number: int, page: Page
    ) -> list[_Gap]:
        """Use a page of a span; return the gaps that remain."""
        rows = users_of(page)
        shown = {one.user_id: one for one in rows}
        # A user with a time outside the span cannot be compared by time.
        if any(one.created_at and not span.holds(milliseconds(one.created_at)) for one in rows):
            raise _Contradiction
        # A user who appears twice hides another user.
        if page.total != outcome.total or len(shown) < len(rows) or shown.keys() & outcome.seen:
            raise _Contradiction
        outcome.seen |= shown
        return list(gap.split(number, rows, outcome.gone))

    def _compared_undated(self, part: _Part) -> _Outcome:
        """Compare the users without `created_at`; they have no order."""
        page = self._page(None, 0)
        seen = {one.user_id: one for one in users_of(page)}
        known = set(part.ids)
        if len(seen) == page.total:
            return _Outcome(page.total, seen, known - seen.keys())
        if page.total >= CAP or page.total != len(known) or not known.issuperset(seen):
            raise _Contradiction
        return _Outcome(page.total, seen)

    def _page(self, span: Span | None, number: int) -> Page:
        if self._stop.is_set():
            raise _Contradiction  # the outcome is no longer needed
        if span is None:
            return self._tenant.search(UNDATED, page=number)
        return self._tenant.search(span.query, page=number, sort=f"{span.field}:1")


# The result


def _applied(
    known: pd.DataFrame, fresh: dict[str, User], gone: Collection[str]
) -> tuple[pd.DataFrame, Changes]:
    """Return the users as they are now, sorted by id, and what changed."""
    new = profiles(fresh.values()).set_index("user_id", drop=False)
    old = known[known["user_id"].isin(new.index)].set_index("user_id", drop=False)
    same = _same(old, new.loc[old.index])
    changed = old.index[~same]
    added = new.index[~new.index.isin(old.index)]
    deleted = known["user_id"][known["user_id"].isin(gone)]
    renewed = audit(new.loc[[*changed, *added]])
    renewed = _with_probe(old.reindex(renewed.index), renewed)
    kept = known[~known["user_id"].isin([*changed, *deleted])]
    frame = pd.concat([kept, renewed]) if len(renewed) else kept
    frame = frame[SNAPSHOT.names].sort_values("user_id", kind="stable", ignore_index=True)
    return frame, Changes(*(tuple(sorted(ids)) for ids in (added, changed, deleted)))


def _same(old: pd.DataFrame, new: pd.DataFrame) -> "pd.Series[bool]":
    """Return for each user whether the whole profile is the same."""
    same = pd.Series(data=True, index=old.index, dtype=bool)
    for name in PROFILE.names:
        equal = (old[name] == new[name]).fillna(value=False).astype(bool)
        same &= equal | (old[name].isna() & new[name].isna())
    return same


def _with_probe(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Return classified users with the results of an earlier probe of the same picture.

    For a user with an override, `evidence` is about the override, and only `underlying` shows a
    probe.
    """
    asked = (
        ((old["evidence"] == Evidence.PROBE) | (old["source"] == Source.METADATA))
        & (old["picture"] == new["picture"])
        & (old["gravatar_hash"] == new["gravatar_hash"])
        & (new["underlying"] == Source.UNRESOLVED)
        & (old["underlying"] != Source.UNRESOLVED)
    )
    shown = asked & (new["source"] != Source.METADATA)
    return new.assign(
        underlying=new["underlying"].mask(asked, old["underlying"]),
        source=new["source"].mask(shown, old["underlying"]),
        evidence=new["evidence"].mask(shown, Evidence.PROBE.value),
    )


def _reconcile(frame: pd.DataFrame, totals: dict[Span | None, int]) -> None:
    """Check that every window has as many users as the tenant counted last.

    Raises:
        IncompleteError: a window has not.
    """
    spans = sorted((span for span in totals if span is not None), key=_start)
    dated = frame["created_at"].notna()
    starts = [_start(span) for span in spans]
    places = np.searchsorted(starts, _created(frame[dated]), side="right") - 1
    held = [*np.bincount(places, minlength=len(spans)).tolist(), int((~dated).sum())]
    counted = [totals[span] for span in (*spans, None)]
    differing = sum(one != other for one, other in zip(held, counted, strict=True))
    if differing:
        raise IncompleteError(
            f"In {differing} of {len(held)} windows the tenant counts other numbers of users "
            f"than were read: {sum(counted):,} and {sum(held):,} in all. Nothing was written; "
            "try again later, or collect anew."
        )


def _start(span: Span) -> float:
    return -math.inf if span.start is None else span.start
