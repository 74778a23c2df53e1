"""A collection: every user of a tenant, reconciled and classified, in a file."""

import time
from array import array
from collections.abc import Generator, Iterable
from contextlib import ExitStack
from datetime import datetime, timedelta
from importlib.metadata import version
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory

from toolkit.classification.frames import audit, profiles
from toolkit.classification.times import milliseconds
from toolkit.classification.user_profile import User
from toolkit.collection.export_job import DEADLINE, exported_users, exporting
from toolkit.collection.place import State, open_state, placed, state_path
from toolkit.collection.reconcile import counted, ensure_different, inside, reread
from toolkit.collection.refresh import refreshing
from toolkit.collection.scripts import read_wiring
from toolkit.collection.search import CAP, MARGIN, Walk
from toolkit.collection.window import Span, Window, created, remaining
from toolkit.errors import (
    ForbiddenError,
    IncompleteError,
    JobLimitError,
    QueryError,
    SettingsError,
    SlowQueryError,
    TenantError,
    UnreachableError,
    UnreadableInputError,
)
from toolkit.progress import Progress, Show, long_job
from toolkit.snapshots.snapshot import (
    Provenance,
    Snapshot,
    Writer,
    ensure_replaceable,
    read_snapshot,
    writing,
)
from toolkit.snapshots.storage import discard_drafts, drafted, ensure_writable
from toolkit.tenant.client import Tenant

METHODS = ("auto", "export", "search")
"""How users can be read; `auto` uses the export, unless the tenant is small or allows none."""

# For how long the windows of an interrupted collection are not counted again.
_TRUSTED = timedelta(hours=1)
_ROWS = 50_000  # users classified at a time


@long_job
def collect(  # noqa: PLR0913 - one for each documented option
    tenant: Tenant,
    *,
    out: Path | str | None = None,
    folder: Path | str | None = None,
    method: str = "auto",
    since: Snapshot | None = None,
    deadline: float = DEADLINE,
    force: bool = False,
    show: Show | None = None,  # noqa: ARG001 - for `long_job`
    workers: int = 8,
) -> Generator[Progress, None, Snapshot]:
    """Read and classify every user of a tenant.

    Args:
        tenant: what `toolkit.connect` returned.
        out: where to write the snapshot. If the collection is interrupted, the same call continues
            it. Without `out` and `folder` the snapshot is in memory only.
        folder: where to write it instead, without naming a file: a new FOLDER/TENANT/
            YYYY-MM-DDTHHMM.parquet, or what is unfinished there. `toolkit.latest_snapshot` reads
            the newest.
        method: one of `METHODS`.
        since: a complete snapshot of the same tenant to update by search. The new snapshot's notes
            count new, changed and deleted users.
        deadline: seconds to wait for an export job.
        force: whether `out` may be another tenant's snapshot, which is then replaced.
        show: called with each `Progress`: in users; for an export in percent, then in bytes.
        workers: how many spans of time to search at once, within the tenant's rate limit.

    Returns:
        The snapshot: every user once, reconciled with the tenant's own counts.

    Raises:
        OutputError: `out` cannot be written, or is another tenant's snapshot.
        SettingsError: `method` is unknown, or is `export` together with `since`; `out` and `folder`
            are both given; or another collection into `out` is unfinished.
        IncompleteError: the tenant counts more users than it returns, or stopped answering.
        TenantError: the tenant refused or did not answer at the start.
    """
    with ExitStack() as stack:
        if folder is not None:
            if out is not None:
                raise SettingsError("Name a file or a folder for the snapshot, not both.")
            out = stack.enter_context(placed(tenant.domain, folder, resume=since is None))
            force = False
        if since is not None:
            if method == "export":
                raise SettingsError(
                    "What changed since a snapshot is searched for; an export holds everybody: "
                    "leave out --since, or --method export."
                )
            return (yield from _refreshed(tenant, since, out, workers, force=force))
        in_memory = out is None
        if out is None:
            folder = stack.enter_context(TemporaryDirectory(prefix="picture-audit-"))
            out = Path(folder) / "snapshot"
        snapshot = yield from _collected(
            tenant, Path(out), method=method, deadline=deadline, force=force, workers=workers
        )
        return Snapshot(snapshot.provenance, snapshot.users) if in_memory else snapshot


def _refreshed(
    tenant: Tenant, since: Snapshot, out: Path | str | None, workers: int, *, force: bool
) -> Generator[Progress, None, Snapshot]:
    if out is not None:
        ensure_writable(Path(out))
        ensure_replaceable(Path(out), tenant.domain, seed=tenant.seed, force=force)
        if unfinished(Path(out)):
            raise SettingsError(
                f"{state_path(Path(out))} is an unfinished collection: finish it without --since, "
                "or delete the file."
            )
    try:
        snapshot, _ = yield from refreshing(tenant, since, workers=workers)
    except UnreachableError as error:
        raise IncompleteError(
            f"{error} Nothing was written; run the same command again."
        ) from error
    if out is not None:
        snapshot.write(out, force=force)
        snapshot.path = Path(out)
    return snapshot


def _collected(
    tenant: Tenant, out: Path, *, method: str, deadline: float, force: bool, workers: int
) -> Generator[Progress, None, Snapshot]:
    if method not in METHODS:
        raise SettingsError(f"Cannot collect by {method!r}: choose one of {', '.join(METHODS)}.")
    ensure_writable(out)
    ensure_replaceable(out, tenant.domain, seed=tenant.seed, force=force)
    started, before, why = time.monotonic(), tenant.requests, ""

    def choose() -> str:
        nonlocal why
        chosen, why = _choice(tenant) if method == "auto" else (method, "")
        return chosen

    with open_state(
        out,
        tenant=tenant.domain,
        method=method,
        choose=choose,
        now=tenant.now,
        finished=_finish_time(out),
    ) as state:
        discard_drafts(out)
        yield Progress(0, note=f"by {state.method}: {why}" if why else f"by {state.method}")
        try:
            with writing(out, force=force) as writer:
                try:
                    users, windows = yield from (
                        _by_search(tenant, state, writer, workers=workers)
                        if state.method == "search"
                        else _by_export(tenant, state, writer, deadline=deadline, workers=workers)
                    )
                except JobLimitError:
                    if method != "auto":
                        raise
                    why = "other jobs of the tenant keep an export from starting"
                    state.change_method("search")
                    yield Progress(0, note=f"by search: {why}")
                    users, windows = yield from _by_search(tenant, state, writer, workers=workers)
                notes = [f"by {state.method}: {why}"] if why else []
                notes += ["continued an interrupted collection"] if state.resumed else []
                if strays := sum(window.strays for window in state.windows):
                    notes += [f"{strays:,} users show another created_at than they are found by"]
                wired, unread = read_wiring(tenant)
                writer.finish(
                    Provenance(
                        tenant=tenant.domain,
                        taken_at=state.taken_at,
                        method=state.method,
                        complete=True,
                        users=users,
                        windows=windows,
                        requests=tenant.requests - before,
                        seconds=round(
                            max(0.0, (tenant.now() - state.taken_at).total_seconds())
                            if state.resumed
                            else time.monotonic() - started,
                            3,
                        ),
                        sandbox=tenant.sandbox,
                        toolkit_version=version("auth0-picture-audit"),
                        notes=(*notes, *unread, *tenant.notes),
                        wiring=wired,
                        seed=tenant.seed,
                    )
                )
        except (TenantError, IncompleteError) as error:
            kept = sum(len(window.users) for window in state.windows)
            if not kept and state.job is None:
                state.remove()
                raise
            raise IncompleteError(
                f"{error} Not every user was read: {kept:,} are kept in {state.path.name}; run "
                "the same command again to go on."
            ) from error
        state.remove()
    return read_snapshot(out)


def _choice(tenant: Tenant) -> tuple[str, str]:
    """Choose how to read a tenant, and say why."""
    try:
        if tenant.search(Span().query, per_page=1).total < CAP:
            return "search", f"the tenant has fewer than {CAP:,} users"
    except SlowQueryError:
        pass  # that is a large tenant
    try:
        tenant.check_export()
    except (ForbiddenError, QueryError):
        return "search", "the tenant does not allow exports"
    return "export", "as Auth0 recommends"


# By search


def _by_search(
    tenant: Tenant, state: State, writer: Writer, *, workers: int
) -> Generator[Progress, None, tuple[int, int]]:
    """Read windows until every user is in one; returns users and windows."""
    if state.resumed:
        state.windows = list(_still_valid(tenant, state))
    spans = remaining(window.span for window in state.windows) if state.windows else None
    kept = sum(len(window.users) for window in state.windows)
    started, read = time.monotonic(), 0
    for event in (walk := Walk(tenant, workers=workers, spans=spans)):
        if isinstance(event, Window):
            state.windows.append(event)
            state.close_window(event)
        else:
            read += len(event.users)
        expected = walk.expected
        yield Progress.after(
            time.monotonic() - started,
            kept + read,
            None if expected is None else kept + expected,
            f"{len(state.windows)} windows reconciled",
            before=kept,
            estimated=True,
        )
    users = {one.key: one for window in state.windows for one in window.users}
    # Windows are disjoint, so their counts add up to the tenant's users.
    counts = sum(len(window.users) for window in state.windows)
    _require_everybody(state, counts, len(users))
    _write(writer, sorted(users.values(), key=lambda one: one.user_id), state.taken_at)
    return len(users), len(state.windows)


def _require_everybody(state: State, counts: int, users: int) -> None:
    """Check `ensure_different`; if it fails, nothing that was read is used."""
    if counts != users:
        state.windows.clear()
        state.note_job(None)
    ensure_different(counts, users)


def _still_valid(tenant: Tenant, state: State) -> Iterable[Window]:
    """Yield the windows of an interrupted run whose counts are still right."""
    # Before it began, by the clock: then one of the two times is wrong.
    old = not timedelta(0) <= tenant.now() - state.taken_at <= _TRUSTED
    limit = milliseconds(state.taken_at) - MARGIN
    for window in state.windows:
        past = window.span is not None and window.span.end is not None and window.span.end <= limit
        if past and (not old or counted(tenant, window.span, len(window.users))):
            yield window


def _finish_time(out: Path) -> datetime | None:
    """Return when the collection in `out` began, or None if there is none."""
    try:
        return read_snapshot(out).provenance.taken_at
    except UnreadableInputError:
        return None


# By an export job


def _by_export(
    tenant: Tenant, state: State, writer: Writer, *, deadline: float, workers: int
) -> Generator[Progress, None, tuple[int, int]]:
    """Read an export, then search the windows with other counts; returns users and windows."""
    with drafted(state.path.with_suffix("")) as file:
        yield from exporting(tenant, state, file, deadline=deadline)
        times, undated = array("q"), 0
        # Count every line: a repeated user then makes the window differ.
        for number, one in enumerate(exported_users(file)):
            moment = created(one)
            if moment is None:
                undated += 1
            else:
                times.append(moment)
            if number % _ROWS == 0:
                yield Progress(number, note="reading the export")
        began = milliseconds(state.taken_at) - MARGIN
        again, fresh, windows = yield from reread(
            tenant, times, undated, since=began, workers=workers
        )
        is_read, counts = inside(again), len(fresh)

        def unchanged() -> Iterable[User]:
            nonlocal counts
            for one in exported_users(file):
                if not is_read(created(one)):
                    counts += 1
                    yield one

        users = _write(writer, _distinct(chain(unchanged(), fresh)), state.taken_at)
        _require_everybody(state, counts, users)
    return users, windows


def _distinct(users: Iterable[User]) -> Iterable[User]:
    seen: set[str] = set()
    for one in users:
        if one.key not in seen:
            seen.add(one.key)
            yield one


def _write(writer: Writer, users: Iterable[User], at: datetime) -> int:
    """Classify users as of a time and write them, some at once; returns how many."""
    rest, written = iter(users), 0
    while some := list(islice(rest, _ROWS)):
        writer.add(audit(profiles(some), at))
        written += len(some)
    return written


def unfinished(out: Path) -> bool:
    """Whether an interrupted collection into `out` can be continued."""
    try:
        path = state_path(out)
        return path.is_file() and path.stat().st_size > 0
    except OSError:  # the name is impossible, or access is denied
        return False
