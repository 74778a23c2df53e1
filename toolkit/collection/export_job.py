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
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx

from toolkit.classification.user_profile import User, user
from toolkit.collection.place import State
from toolkit.errors import IncompleteError, MissingError, TenantError
from toolkit.images.address import PORTS, host_refusal, is_loopback
from toolkit.images.limited_stream import bounded
from toolkit.images.network_settings import connection_failure
from toolkit.progress import Progress
from toolkit.system import private_opener
from toolkit.tenant.client import Tenant
from toolkit.tenant.host_transport import transport
from toolkit.tenant.http_transport import Inflate
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
_REPEATS = 50
"""How often the first user of an export may come again: a file that has no end repeats itself."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How large (bytes) and how slow (seconds) a download may be."""

    size: int = 16 << 30  # compressed: some fifty million users
    ratio: int = 200  # how much larger it may be decompressed; normal exports grow about ten times
    slack: int = 64 << 20  # that it may always have when decompressed
    spare: int = 1 << 30  # of the disk to leave free; on a small disk a twentieth of it
    window: float = 60.0  # in which at least `least` bytes must come
    least: int = 64 << 10
    head: int = 1 << 20  # of the answer before the file begins


class _UselessError(IncompleteError):
    """The file is too large, or where nothing may be read; another download would not help."""


def exporting(
    tenant: Tenant,
    state: State,
    file: Path,
    *,
    deadline: float = DEADLINE,
    bounds: Bounds | None = None,
) -> Generator[Progress, None, None]:
    """Start an export at the tenant and download the complete file; yield percents, then bytes.

    Args:
        tenant: whose users.
        state: saves the job's id, so that another run can continue it.
        file: where to put the gzip file.
        deadline: seconds to wait for the job, and then as many to download its file.
        bounds: limits of the download.

    Raises:
        IncompleteError: the job failed or took too long, or its file is not complete, too large,
            or at an address that is not asked.
    """
    job = yield from _finished(tenant, state, deadline)
    until, bounds, why = time.monotonic() + deadline, bounds or Bounds(), [""]
    for _ in range(_DOWNLOADS):
        if job.location is None:
            raise TenantError("The export is completed, but the tenant names no file.")
        try:
            url = _address(job.location, sandbox=tenant.sandbox)
            whole = yield from _downloaded(url, file, until, bounds, why)
        except _UselessError:
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
        f"The export's file was cut short, refused or too slow {_DOWNLOADS} times. {why[-1]}Run "
        "the same command again for a new export, or with --method search."
    )


def _finished(tenant: Tenant, state: State, deadline: float) -> Generator[Progress, None, Job]:
    job = _started(tenant, state)
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


def _started(tenant: Tenant, state: State) -> Job:
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
    url: httpx.URL, file: Path, until: float, bounds: Bounds, why: list[str]
) -> Generator[Progress, None, bool]:
    """Download the file; return whether it is complete, or add to `why` it could not begin."""
    started, done, shown = time.monotonic(), 0, 0
    check = _Check(file.parent, bounds)
    # A separate client, so that the tenant's token is not sent to this address.
    with httpx.Client(transport=transport(str(url)), timeout=_TIMEOUT, trust_env=False) as client:
        request = client.build_request("GET", url, headers={"accept-encoding": "identity"})
        try:
            with bounded(bounds.window, bounds.head):
                answer = client.send(request, stream=True)
            with closing(answer):
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
        except (httpx.RequestError, zlib.error) as error:
            if words := connection_failure(error, str(url)):
                why.append(f"{words} ")
            return False
    return check.inflate.is_whole


def _address(location: str, *, sandbox: bool) -> httpx.URL:
    """Return the address of a file: https on the public internet; of a sandbox's, on loopback.

    An answer must not make this machine open its files, or ask servers of its own network.
    """
    try:
        url = httpx.URL(location)
        why = host_refusal(url.host) if url.host else "it names no host"
    except httpx.InvalidURL:
        url, why = httpx.URL(), "it is no address"
    if url.scheme in PORTS and sandbox and is_loopback(url.host):
        return url
    if url.scheme != "https":
        why = "it is no https address"
    if why is not None:
        raise _UselessError(
            f"The tenant's link to the export's file is not followed: {why}. Run the same command "
            "again for a new export, or with --method search."
        )
    return url


def _chunks(answer: httpx.Response, until: float, bounds: Bounds) -> Iterator[bytes]:
    """Yield the file in pieces; raise httpx.RequestError if it stopped early or is too slow."""
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
    """Checks a file while it arrives: complete, not too large, and not the same for ever."""

    def __init__(self, folder: Path, bounds: Bounds) -> None:
        self.inflate = Inflate()
        self._folder, self._bounds = folder, bounds
        self._packed = self._unpacked = self._line = self._room = 0
        self._first, self._is_first, self._times = b"", True, 0

    def announced(self, size: int) -> None:
        """Check the size that the answer announces."""
        self._ensure(size <= self._bounds.size)
        self._find_room(size)

    def chunk(self, chunk: bytes) -> None:
        """Check a part of the file before it is written; raise zlib.error if it is no gzip data."""
        bounds = self._bounds
        self._packed += len(chunk)
        self._ensure(self._packed <= bounds.size)
        self._room -= len(chunk)
        if self._room < 0:
            self._find_room(len(chunk))
        for piece in self.inflate.pieces(chunk):
            self._unpacked += len(piece)
            end = piece.rfind(b"\n")
            self._line = self._line + len(piece) if end < 0 else len(piece) - end - 1
            self._ensure(self._unpacked <= bounds.slack + bounds.ratio * self._packed)
            self._ensure(self._line <= _LINE)
            self._look_for_first(piece)

    def _look_for_first(self, piece: bytes) -> None:
        """Count how often the file's first line comes, where it is not cut between two pieces."""
        if self._is_first:
            head, end, piece = piece.partition(b"\n")
            self._first += head + end
            self._is_first = not (end and self._first.strip())
        if not self._is_first:
            self._times += piece.count(self._first)
            self._ensure(self._times <= _REPEATS)

    def _find_room(self, size: int) -> None:
        disk = shutil.disk_usage(self._folder)
        free = disk.free - min(self._bounds.spare, disk.total // 20)
        if free < size:
            raise _UselessError(
                "The export's file is larger than the disk can hold: make room, or run the same "
                "command again with --method search."
            )
        # Checked again when an eighth of it is used: other programs write, too.
        self._room = free // 8

    @staticmethod
    def _ensure(small: bool) -> None:
        if not small:
            raise _UselessError(
                "The export's file is larger than any tenant's users are, or repeats itself. Run "
                "the same command again for a new export, or with --method search."
            )


def exported_users(file: Path) -> Iterator[User]:
    """Read the users of a downloaded export; a line that is no user is kept as an invalid user."""
    with gzip.open(file) as lines:
        # A longer line was refused during the download.
        while line := lines.readline(_LINE + 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                record = line.decode("utf-8", "replace")
            yield user(record)
