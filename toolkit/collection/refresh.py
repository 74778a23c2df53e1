"""A refresh: update a snapshot at a cost in proportion to the changes.

New and changed users are searched by `updated_at`. Deleted users show only in counts: the known
users are divided into windows of `created_at` that cover all time, and a window is read again if
the tenant counts another number of users in it.

The search index is updated with a delay: what a refresh misses of the last minutes, the next finds.
"""

import time
from collections.abc import Collection, Generator
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import version

import numpy as np
import pandas as pd

from toolkit.classification.frames import audit, profiles
from toolkit.classification.schema import PROFILE, held
from toolkit.classification.sources import Evidence, Source
from toolkit.classification.times import milliseconds
from toolkit.classification.user_profile import User
from toolkit.collection.reconcile import ensure_different, inside, reread
from toolkit.collection.scripts import read_wiring
from toolkit.collection.search import MARGIN, Walk
from toolkit.collection.window import Span, Window, created
from toolkit.errors import SettingsError
from toolkit.formatting import plural
from toolkit.progress import Progress
from toolkit.snapshots.snapshot import WITHOUT_ELSEWHERE, Provenance, Snapshot
from toolkit.tenant.client import Tenant

_NO_TIME = np.iinfo(np.int64).min  # a `created_at` that is missing, in milliseconds


@dataclass(frozen=True, slots=True, repr=False)
class Changes:
    """New, changed and deleted users since a snapshot: user ids, sorted."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()

    def __str__(self) -> str:
        added, changed, deleted = (len(ids) for ids in (self.added, self.changed, self.deleted))
        return f"{added:,} added, {changed:,} changed, {deleted:,} deleted"

    def __repr__(self) -> str:
        # Ids may contain names and addresses, and this text ends up in logs.
        return f"<Changes: {self}>"


def refreshing(
    tenant: Tenant, old: Snapshot, *, workers: int = 8
) -> Generator[Progress, None, tuple[Snapshot, Changes]]:
    """Update a snapshot, with progress in users; closing the generator stops it.

    Args:
        tenant: where to read.
        old: a complete snapshot of the same tenant; it is not changed.
        workers: how many windows to compare at once, within the tenant's rate limit.

    Returns:
        The new snapshot, equal to that of a full collection, and the changes. Results of a probe
        are kept for unchanged pictures.

    Raises:
        SettingsError: the snapshot is of another tenant, or not complete.
        IncompleteError: the tenant counts other numbers of users than it returns.
    """
    _require_whole(old, tenant.domain)
    started, before = time.monotonic(), tenant.requests
    taken_at = tenant.now()
    known = old.users
    fresh: dict[str, User] = {}
    # One worker reads in order of time: a user who changes meanwhile moves to the end.
    for event in Walk(tenant, workers=1, spans=[Span("updated_at", start=_beginning(old))]):
        if isinstance(event, Window):
            fresh |= {one.user_id: one for one in event.users}
            yield Progress(len(fresh), note="users who came or changed")
    rest = known[~known["user_id"].isin(fresh.keys())]
    moments = [*_created(rest), *map(created, fresh.values())]
    times = [moment for moment in moments if moment is not None]
    began, undated = milliseconds(taken_at) - MARGIN, len(moments) - len(times)
    again, read, windows = yield from reread(tenant, times, undated, since=began, workers=workers)
    is_read = inside(again)
    replaced = [
        user_id
        for user_id, moment in zip([*rest["user_id"], *fresh], moments, strict=True)
        if is_read(moment)
    ]
    fresh |= {one.user_id: one for one in read}
    gone = set(replaced).difference(one.user_id for one in read)
    frame, changes = _applied(
        known, {i: one for i, one in fresh.items() if i not in gone}, gone, taken_at
    )
    ensure_different(len(moments) - len(replaced) + len(read), len(frame))
    wired, unread = read_wiring(tenant)
    kept = frame[~frame["user_id"].isin([*changes.added, *changes.changed])]
    since = f"{changes} since {old.provenance.taken_at.isoformat()}"
    provenance = Provenance(
        tenant=tenant.domain,
        taken_at=taken_at,
        method="refresh",
        complete=True,
        users=len(frame),
        windows=windows,
        requests=tenant.requests - before,
        seconds=round(time.monotonic() - started, 3),
        sandbox=tenant.sandbox,
        toolkit_version=version("auth0-picture-audit"),
        notes=(since, *_unfilled(old, kept), *unread, *tenant.notes),
        wiring=wired,
        # A sample is about the users it was drawn from, and they have changed.
        probed_at=None if old.provenance.estimate else old.provenance.probed_at,
        seed=tenant.seed,
    )
    return Snapshot(provenance, frame), changes


def _require_whole(old: Snapshot, domain: str) -> None:
    old.provenance.require_people()
    if old.provenance.tenant != domain:
        raise SettingsError(
            f"The snapshot is of {old.provenance.tenant}, and the tenant is {domain}: name a "
            "snapshot of the same tenant, or collect anew."
        )
    if not old.provenance.complete:
        raise SettingsError("The snapshot is not complete, so nothing builds on it: collect anew.")
    if old.provenance.method == "ingest":
        # For an export file, the time of its start is not known.
        raise SettingsError("The snapshot is of export files, not of a tenant: collect anew.")


def _beginning(old: Snapshot) -> int:
    """Return the `updated_at` from which users may have changed since the snapshot."""
    begun = old.provenance.taken_at
    newest = old.users["updated_at"].max()
    if pd.notna(newest):
        # If the tenant's time was not known, our clock may have been ahead. The newest user in the
        # snapshot limits how far.
        begun = min(begun, newest - timedelta(seconds=old.provenance.seconds))
    return milliseconds(begun) - MARGIN


def _unfilled(old: Snapshot, kept: pd.DataFrame) -> tuple[str, ...]:
    """Say of users who were not read again that they may lack what the old snapshot lacks."""
    empty = int(kept["elsewhere"].isna().sum())
    if not empty or not any(WITHOUT_ELSEWHERE in note for note in old.provenance.notes):
        return ()
    users = plural(empty, "user was", "users were")
    return (
        f"up to {users} taken over from {WITHOUT_ELSEWHERE}: collect without --since to fill it",
    )


def _created(frame: pd.DataFrame) -> list[int | None]:
    """Return `created_at` in milliseconds since 1970, or None."""
    moments = frame["created_at"].dt.tz_convert(None).to_numpy("datetime64[ms]").astype(np.int64)
    return [None if moment == _NO_TIME else moment for moment in moments.tolist()]


def _applied(
    known: pd.DataFrame, fresh: dict[str, User], gone: Collection[str], at: datetime
) -> tuple[pd.DataFrame, Changes]:
    """Return the users as they are now, sorted by id, and what changed."""
    new = profiles(fresh.values()).set_index("user_id", drop=False)
    old = known[known["user_id"].isin(new.index)].set_index("user_id", drop=False)
    same = _same(old, new.loc[old.index])
    changed = old.index[~same]
    added = new.index[~new.index.isin(old.index)]
    deleted = known["user_id"][known["user_id"].isin(gone)]
    renewed = audit(new.loc[[*changed, *added]], at)
    renewed = _with_probe(old.reindex(renewed.index), renewed)
    kept = _judged_again(known[~known["user_id"].isin([*changed, *deleted])], at)
    frame = pd.concat([kept, renewed]) if len(renewed) else kept
    frame = frame[held(frame.columns)].sort_values("user_id", kind="stable", ignore_index=True)
    return frame, Changes(*(tuple(sorted(ids)) for ids in (added, changed, deleted)))


def _judged_again(kept: pd.DataFrame, at: datetime) -> pd.DataFrame:
    """Return unchanged users with their verdict at a time.

    Overrides may have ended since, and an older version knew fewer addresses. What somebody looked
    at stays.
    """
    looked = kept["evidence"].isin([Evidence.PROBE, Evidence.PIXELS])
    judged = _with_probe(kept[~looked], audit(kept[~looked], at))
    return pd.concat([kept[looked], judged[kept.columns]]) if looked.any() else judged


def _same(old: pd.DataFrame, new: pd.DataFrame) -> "pd.Series[bool]":
    """Return for each user whether the whole profile is the same."""
    same = pd.Series(data=True, index=old.index, dtype=bool)
    for name in PROFILE.names:
        equal = (old[name] == new[name]).fillna(value=False).astype(bool)
        same &= equal | (old[name].isna() & new[name].isna())
    return same


def _with_probe(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Return classified users with the results of an earlier probe of the same picture."""
    # If a user has an override, `evidence` is about that, and only `underlying` shows a probe.
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
