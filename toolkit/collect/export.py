"""Every user of a tenant by an export job: what Auth0 recommends for reading everybody.

Facts (Auth0, "Bulk User Exports"): one gzip file with a user a line; its link is good for
60 seconds, and asking for the job again within 24 hours gives another. The link opens
every user to whoever holds it: it is never shown, and nothing of ours is sent along.
"""

import gzip
import json
import time
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path

import httpx

from toolkit.answer import Job
from toolkit.collect.state import State
from toolkit.draft import private_opener
from toolkit.errors import IncompleteError, MissingError, TenantError
from toolkit.progress import Progress
from toolkit.tenant import Tenant
from toolkit.user import User, user
from toolkit.wire import is_loopback, transport

DEADLINE = 8 * 3600.0
"""Seconds after which to give up on a job: Auth0 used to end exports after eight hours."""

_FIRST_WAIT, _LONGEST_WAIT, _BACKOFF = 0.25, 10.0, 1.5
_DOWNLOADS = 6
_CHUNK = 1 << 20
_TIMEOUT = httpx.Timeout(60.0, connect=10.0)


def exporting(
    tenant: Tenant, state: State, file: Path, *, deadline: float = DEADLINE
) -> Generator[Progress, None, None]:
    """Have the tenant export its users and download the file, whole.

    Args:
        tenant: whose users.
        state: remembers the job, so that another run goes on with it.
        file: where to put the gzip file; private, to be deleted by the caller.
        deadline: seconds to wait for the job.

    Yields:
        Progress in percent while the job runs, then in bytes.

    Raises:
        IncompleteError: the job failed, took too long, or its file is never whole.
        TenantError: the tenant did not go along.
    """
    job = yield from _finished(tenant, state, deadline)
    for _ in range(_DOWNLOADS):
        if job.location is None:
            raise TenantError("The export is completed, but the tenant names no file.")
        if (yield from _downloaded(job.location, file)):
            return
        # The link has run out, or the file broke off: ask for a fresh one.
        job = tenant.export_job(job.id)
    state.note_job(None)
    raise IncompleteError(
        f"The export's file was cut short or refused {_DOWNLOADS} times. Run the same command "
        "again for a new export, or with --method search."
    )


def _finished(tenant: Tenant, state: State, deadline: float) -> Generator[Progress, None, Job]:
    """Wait for the job to end; give up only where it says so, or where the time is up."""
    job = _running(tenant, state)
    until, wait, seen = time.monotonic() + deadline, _FIRST_WAIT, None
    while job.status != "completed":
        if job.status == "failed":
            state.note_job(None)
            raise IncompleteError(
                "The tenant says that the export failed. Run the same command again for a new "
                "one, or with --method search."
            )
        if time.monotonic() >= until:
            raise IncompleteError(
                f"The export was not finished within {deadline:,.0f} s; it goes on at the tenant. "
                "Run the same command again to go on with it."
            )
        yield Progress(job.percentage or 0, 100, note=f"export job {job.status}")
        time.sleep(min(wait, max(0.0, until - time.monotonic())))
        # Ask often while it moves, seldom while it does not.
        wait = _FIRST_WAIT if job.percentage != seen else min(wait * _BACKOFF, _LONGEST_WAIT)
        seen = job.percentage
        job = tenant.export_job(job.id)
    return job


def _running(tenant: Tenant, state: State) -> Job:
    """Return the job of an earlier run, or a new one."""
    if state.job is not None:
        try:
            return tenant.export_job(state.job)
        except MissingError:
            pass  # jobs are gone after 24 hours
    job = tenant.start_export()
    state.note_job(job.id)
    return job


def _downloaded(location: str, file: Path) -> Generator[Progress, None, bool]:
    """Download the file; return whether it came whole."""
    try:
        url = httpx.URL(location)
    except httpx.InvalidURL:
        raise TenantError("The export's file is at no address that can be used.") from None
    if url.scheme != "https" and not is_loopback(url.host):
        raise TenantError("The export's file is not at an https address.")
    started, done = time.monotonic(), 0
    file.unlink(missing_ok=True)  # of a run that was killed
    # A client of its own: what the tenant is sent (the token above all) is not sent here.
    with httpx.Client(transport=transport(url.host), timeout=_TIMEOUT, trust_env=False) as client:
        try:
            with (
                client.stream("GET", url, headers={"accept-encoding": "identity"}) as answer,
                open(file, "xb", opener=private_opener) as target,
            ):
                if not answer.is_success:
                    return False
                length = answer.headers.get("content-length", "")
                size = int(length) if length.isdecimal() else None
                for chunk in answer.iter_raw(_CHUNK):
                    target.write(chunk)
                    done += len(chunk)
                    rate = done / max(time.monotonic() - started, 1e-6)
                    eta = (size - done) / rate if size else None
                    yield Progress(done, size, rate, eta, "downloading the export")
        except httpx.RequestError:
            return False
    return _is_whole(file)


def _is_whole(file: Path) -> bool:
    """Whether gzip data has its end and the checksum that goes with it."""
    try:
        with gzip.open(file) as data:
            while data.read(_CHUNK):
                pass
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return False
    return True


def exported_users(file: Path) -> Iterator[User]:
    """Read the users of a downloaded export, one at a time.

    A line that is no user object is kept as an invalid user, like any odd profile.
    """
    with gzip.open(file) as lines:
        for line in lines:
            if line.strip():
                yield user(_record(line))


def _record(line: bytes) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return line.decode("utf-8", "replace")
