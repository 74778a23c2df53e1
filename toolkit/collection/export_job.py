"""Every user of a tenant by an export job: what Auth0 recommends for reading everybody.

Facts (Auth0, "Bulk User Exports"): one gzip file with a user a line; its link is valid for 60
seconds, and reading the job again within 24 hours gives a new one. The link gives access to every
user: it is never shown, and no token is sent with it.
"""

import gzip
import json
import shutil
import time
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from toolkit.classification.user_profile import User, user
from toolkit.collection.place import State
from toolkit.errors import IncompleteError, MissingError, TenantError
from toolkit.images.address import is_loopback
from toolkit.images.limited_stream import bounded
from toolkit.progress import Progress
from toolkit.snapshots.storage import private_opener
from toolkit.tenant.client import Tenant
from toolkit.tenant.http_transport import Inflate, transport
from toolkit.tenant.models import Job

DEADLINE = 8 * 3600.0
"""Seconds after which to give up on a job: Auth0 used to end exports after eight hours."""

_FIRST_WAIT, _LONGEST_WAIT, _BACKOFF = 0.25, 10.0, 1.5
_DOWNLOADS = 6
_SHOWN = 1 << 20
"""Bytes between two reports of progress."""
_TIMEOUT = httpx.Timeout(60.0, connect=10.0)
_LINE = 16 << 20
"""Maximum bytes of one user in an export; Auth0's limit is much lower."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How large and how slow a download may be.

    Attributes:
        size: bytes of the file at most, compressed: some fifty million users.
        ratio: how many times larger it may be decompressed; normal exports grow about ten times.
        slack: bytes that it may always have when decompressed.
        spare: bytes of the disk to leave free; on a small disk a twentieth of it.
        window: seconds in which at least `least` bytes must come.
        least: bytes.
        head: bytes of the answer before the file begins.
    """

    size: int = 16 << 30
    ratio: int = 200
    slack: int = 64 << 20
    spare: int = 1 << 30
    window: float = 60.0
    least: int = 64 << 10
    head: int = 1 << 20


class _TooLargeError(IncompleteError):
    """The file is too large; another download would not help."""


def exporting(
    tenant: Tenant,
    state: State,
    file: Path,
    *,
    deadline: float = DEADLINE,
    bounds: Bounds | None = None,
) -> Generator[Progress, None, None]:
    """Start an export at the tenant and download the complete file.

    Args:
        tenant: whose users.
        state: saves the job's id, so that another run can continue it.
        file: where to put the gzip file: a draft that the caller made and removes.
        deadline: seconds to wait for the job, and then as many to download its file.
        bounds: how large and how slow the download may be.

    Yields:
        Progress in percent while the job runs, then in bytes.

    Raises:
        IncompleteError: the job failed or took too long, or its file is never complete or too
            large.
        TenantError: the tenant refused or did not answer.
    """
    job = yield from _finished(tenant, state, deadline)
    until, bounds = time.monotonic() + deadline, bounds or Bounds()
    for _ in range(_DOWNLOADS):
        if job.location is None:
            raise TenantError("The export is completed, but the tenant names no file.")
        try:
            whole = yield from _downloaded(job.location, file, until, bounds)
        except _TooLargeError:
            state.note_job(None)
            raise
        if whole:
            return
        if time.monotonic() >= until:
            break
        # The link has expired, or the download stopped early: read a new link.
        job = tenant.export_job(job.id)
    state.note_job(None)
    raise IncompleteError(
        f"The export's file was cut short, refused or too slow {_DOWNLOADS} times. Run the same "
        "command again for a new export, or with --method search."
    )


def _finished(tenant: Tenant, state: State, deadline: float) -> Generator[Progress, None, Job]:
    """Wait for the job to end, until it fails or the time is over."""
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
        # Ask often while the percentage changes, rarely while it does not.
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


def _downloaded(
    location: str, file: Path, until: float, bounds: Bounds
) -> Generator[Progress, None, bool]:
    """Download the file; return whether it is complete.

    Raises:
        _TooLargeError: it is too large for the limits or the disk.
    """
    url = _address(location)
    started, done, shown = time.monotonic(), 0, 0
    check = _Check(file.parent, bounds)
    # A separate client, so that the tenant's token is not sent to this address.
    with httpx.Client(transport=transport(url.host), timeout=_TIMEOUT, trust_env=False) as client:
        request = client.build_request("GET", url, headers={"accept-encoding": "identity"})
        try:
            with bounded(bounds.window, bounds.head):
                answer = client.send(request, stream=True)
            try:
                if not answer.is_success:
                    return False
                length = answer.headers.get("content-length", "")
                size = int(length) if length.isdecimal() and len(length) < 20 else None  # noqa: PLR2004 - digits
                check.announced(size or 0)
                with open(file, "wb", opener=private_opener) as target:
                    for chunk in _chunks(answer, until, bounds):
                        check.chunk(chunk)
                        target.write(chunk)
                        done += len(chunk)
                        if done - shown >= _SHOWN:
                            shown = done
                            seconds = time.monotonic() - started
                            yield Progress.after(seconds, done, size, "downloading the export")
            finally:
                answer.close()
        except (httpx.RequestError, zlib.error):
            return False
    return check.is_whole


def _address(location: str) -> httpx.URL:
    try:
        url = httpx.URL(location)
    except httpx.InvalidURL:
        raise TenantError("The export's file is at no address that can be used.") from None
    if not url.host or (url.scheme != "https" and not is_loopback(url.host)):
        raise TenantError("The export's file is not at an https address.")
    return url


def _chunks(answer: httpx.Response, until: float, bounds: Bounds) -> Iterator[bytes]:
    """Yield the file in pieces, as they arrive.

    Raises:
        httpx.RequestError: it stopped early, or is too slow.
    """
    pieces = answer.iter_raw()
    began, came = time.monotonic(), 0
    while True:
        # Each read is small; the limit is for bytes that are not part of the file.
        left = min(bounds.window, until - time.monotonic())
        with bounded(left, bounds.head):
            piece = next(pieces, None)
        if piece is None:
            return
        yield piece
        came += len(piece)
        now = time.monotonic()
        if now - began >= bounds.window:
            if came < bounds.least:
                raise httpx.ReadTimeout("it comes too slowly")
            began, came = now, 0


class _Check:
    """Checks a file while it arrives: complete, and not too large."""

    def __init__(self, folder: Path, bounds: Bounds) -> None:
        self._folder = folder
        self._bounds = bounds
        self._inflate = Inflate()
        self._packed = self._unpacked = self._line = 0
        self._room = 0

    @property
    def is_whole(self) -> bool:
        """Whether the gzip data is complete, with its checksum."""
        return self._inflate.is_whole

    def announced(self, size: int) -> None:
        """Check the size that the answer announces."""
        if size > self._bounds.size:
            raise self._too_large()
        self._find_room(size)

    def chunk(self, chunk: bytes) -> None:
        """Check a part of the file before it is written.

        Raises:
            _TooLargeError: it is too large.
            zlib.error: it is no gzip data.
        """
        bounds = self._bounds
        self._packed += len(chunk)
        if self._packed > bounds.size:
            raise self._too_large()
        self._room -= len(chunk)
        if self._room < 0:
            self._find_room(len(chunk))
        for piece in self._inflate.pieces(chunk):
            self._unpacked += len(piece)
            end = piece.rfind(b"\n")
            self._line = self._line + len(piece) if end < 0 else len(piece) - end - 1
            if self._unpacked > bounds.slack + bounds.ratio * self._packed or self._line > _LINE:
                raise self._too_large()

    def _find_room(self, size: int) -> None:
        disk = shutil.disk_usage(self._folder)
        free = disk.free - min(self._bounds.spare, disk.total // 20)
        if free < size:
            raise _TooLargeError(
                "The export's file is larger than the disk can hold: make room, or run the same "
                "command again with --method search."
            )
        # Checked again when an eighth of it is used: other programs write, too.
        self._room = free // 8

    def _too_large(self) -> _TooLargeError:
        return _TooLargeError(
            "The export's file is larger than any tenant's users are. Run the same command again "
            "for a new export, or with --method search."
        )


def exported_users(file: Path) -> Iterator[User]:
    """Read the users of a downloaded export, one at a time.

    A line that is no user object is kept as an invalid user, like any odd profile.
    """
    with gzip.open(file) as lines:
        # A longer line was refused during the download.
        while line := lines.readline(_LINE + 1):
            if line.strip():
                yield user(_record(line))


def _record(line: bytes) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return line.decode("utf-8", "replace")
