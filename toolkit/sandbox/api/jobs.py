"""Export jobs: started, polled, and their files downloaded.

Facts: Auth0 Management API, "Create export users job", "Get a job" and "Get job error
details" (204 where there are none); Auth0 docs, "Bulk User Exports" (a link is good for 60
seconds, a job for 24 hours); recordings of the API (a job polled at once is still pending and
looks as it did when it was made). INFERRED: the errors' text, that of a missing job, and that
there are too many: this sandbox writes four at a time, and keeps the last sixteen.

Signed download links, as a content network checks them.

Facts: Auth0 docs, "Bulk User Exports" (`?Expires=…&Key-Pair-Id=…&Signature=…`; valid for 60
seconds); the refusals are CloudFront's and S3's.
"""

import base64
import gzip
import hmac
import logging
import secrets
import shutil
import string
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from json import dumps
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route

from toolkit.sandbox.api.export_files import Export, read_export
from toolkit.sandbox.api.gate import Call, Gate
from toolkit.sandbox.api.users import ROOT
from toolkit.sandbox.directory.fields import iso
from toolkit.sandbox.directory.store import Store
from toolkit.sandbox.problem import Problem, json_response

VALIDITY = 60
"""Seconds that a link is good for."""


@dataclass(frozen=True)
class Links:
    """Signs links to files and tells good ones from others.

    Attributes:
        base_url: Where the files are.
        clock: UNIX seconds.
    """

    base_url: str
    clock: Callable[[], float]
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    _key_id: str = field(default_factory=lambda: "K" + secrets.token_hex(7).upper())

    def sign(self, path: str, valid: int = VALIDITY) -> str:
        """Return a link to a path that is good for so many seconds."""
        expires = str(int(self.clock()) + valid)
        asked = {
            "Expires": expires,
            "Key-Pair-Id": self._key_id,
            "Signature": self._signature(path, expires),
        }
        return f"{self.base_url}{quote(path)}?{urlencode(asked)}"

    def allows(self, path: str, asked: QueryParams) -> bool:
        """Tell whether these parameters open this path now."""
        expires = asked.get("Expires", "")
        signature = self._signature(path, expires).encode()
        given = asked.get("Signature", "").encode("utf-8", "replace")
        # Nothing but digits is ever signed, so that a good signature makes a good number.
        return hmac.compare_digest(signature, given) and self.clock() < int(expires)

    def _signature(self, path: str, expires: str) -> str:
        message = f"{path}?{expires}".encode("utf-8", "replace")
        digest = hmac.digest(self._key, message, "sha256")
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def access_denied() -> Response:
    """Return the answer to a link that is wrong or too old."""
    return _xml(403, "AccessDenied", "Access Denied")


def two_proofs() -> Response:
    """Return the answer to a signed link that comes with an Authorization header as well."""
    text = "Only one auth mechanism allowed; use the signed URL or the Authorization header"
    return _xml(400, "InvalidArgument", text)


def _xml(status: int, code: str, message: str) -> Response:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n{body}'
    return Response(text, status, media_type="application/xml")


_DAY = 86400
_MOST_AT_ONCE = 4  # jobs that are written
_MOST_KEPT = 16
_ALPHABET = string.ascii_letters + string.digits
_LINES_AT_ONCE = 1000
_FASTEST = 1  # of gzip's levels
_FAILURE = "The export failed. Please create a new job."

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trouble:
    """What goes wrong with jobs; by default nothing.

    Attributes:
        fails: Whether every job fails.
        stalls: For how many polls the percentage stays the same.
        expired_links: How many of the first links have expired already.
        truncated: How many of the first downloads end early.
    """

    fails: bool = False
    stalls: int = 0
    expired_links: int = 0
    truncated: float = 0


@dataclass
class _Job:
    """One export, and how far it is."""

    id: str
    created: float
    export: Export
    total: int
    file: Path
    started: float = field(default_factory=time.monotonic)
    done: int = 0
    polls: int = 0
    is_written: bool = False
    has_failed: bool = False

    @property
    def path(self) -> str:
        """Where its file is downloaded; named after the tenant, as Auth0 names it."""
        return f"/exports/{self.id}/sandbox.{self.export.format}.gz"

    @property
    def time_left(self) -> int:
        """Seconds until it has probably been written."""
        if not self.done:
            return 1
        pace = (time.monotonic() - self.started) / self.done
        return round(pace * max(self.total - self.done, 0))


class Jobs:
    """The export jobs of one tenant.

    A job is written by a thread of its own, from the tenant's users in the order of loading,
    and is complete no earlier than at its third poll, so that every client meets `pending`
    and `processing`. Its file has the users as they are while it is written; what changes
    after that is not in it.

    Args:
        store: The tenant's users.
        gate: Who may call.
        base_url: Where downloads are.
        clock: UNIX seconds, for the age of jobs and links.
        trouble: What goes wrong.
    """

    def __init__(
        self,
        store: Store,
        gate: Gate,
        base_url: str,
        clock: Callable[[], float],
        trouble: Trouble | None = None,
    ) -> None:
        self.leaks = 0
        self._store = store
        self._gate = gate
        self._clock = clock
        self._links = Links(base_url, clock)
        self._trouble = trouble or Trouble()
        self._lock = threading.Lock()
        self._jobs: dict[str, _Job] = {}
        self._threads: list[threading.Thread] = []
        self._is_closing = False
        self._signed = 0
        self._downloads = 0
        self._folder = tempfile.TemporaryDirectory(prefix="sandbox-exports-")

    def close(self) -> None:
        """Stop writing and remove all files."""
        self._is_closing = True
        for thread in self._threads:
            thread.join()
        self._folder.cleanup()

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        route, one = self._gate.route, f"{ROOT}/jobs/{{id}}"
        # Auth0's description names both scopes for reading a job.
        reading = ("create:users", "read:users")
        return [
            route("POST", f"{ROOT}/jobs/users-exports", self.export_users, "read:users"),
            route("GET", f"{one}/errors", self.errors, *reading),
            route("GET", one, self.job, *reading),
            Route("/exports/{id}/{name}", self.download, methods=["GET"]),
        ]

    def export_users(self, call: Call) -> Response:
        """Start to export users."""
        export = read_export(call.body, lambda: self._store.connections)
        name = "job_" + "".join(secrets.choice(_ALPHABET) for _ in range(16))
        file = Path(self._folder.name) / name
        job = _Job(name, self._clock(), export, self._store.count(), file)
        thread = threading.Thread(target=self._run, args=(job,), name="sandbox-export")
        with self._lock:
            self._threads = [one for one in self._threads if one.is_alive()]
            if len(self._threads) >= _MOST_AT_ONCE:
                text = f"There are {_MOST_AT_ONCE} active export jobs: wait until one is finished."
                raise Problem(429, text, "too_many_requests")
            self._forget(self._clock() - _DAY, _MOST_KEPT - 1)
            self._jobs[name] = job
            self._threads.append(thread)
            thread.start()
        return json_response(dumps(export.document(iso(job.created), job.id)))

    def job(self, call: Call) -> Response:
        """Tell how far a job is."""
        with self._lock:
            job = self._found(call.request)
            job.polls += 1
            shown = job.export.document(iso(job.created), job.id)
            return json_response(dumps({**shown, **self._progress(job)}))

    def errors(self, call: Call) -> Response:
        """Tell why a job failed; nothing where it did not."""
        with self._lock:
            if self._status(self._found(call.request)) != "failed":
                return Response(status_code=204)
        return json_response(dumps([{"errors": [{"code": "EXPORT_FAILED", "message": _FAILURE}]}]))

    def download(self, request: Request) -> Response:
        """Send a job's file to whoever has a good link."""
        if "authorization" in request.headers:
            with self._lock:
                self.leaks += 1
            return two_proofs()
        if not self._links.allows(request.url.path, request.query_params):
            return access_denied()
        with self._lock:
            try:
                job = self._found(request)
            except Problem:
                return access_denied()
            self._downloads += 1
            is_torn = self._downloads <= self._trouble.truncated
        file = _beginning(job.file) if is_torn else job.file
        # The content is the gzip itself: a Content-Encoding would make clients unpack it.
        return FileResponse(file, media_type="application/octet-stream")

    def _found(self, request: Request) -> _Job:
        """Return the job that is asked for, and forget those that are too old."""
        self._forget(self._clock() - _DAY, _MOST_KEPT)
        found = self._jobs.get(request.path_params["id"])
        if found is None:
            raise Problem(404, "The job does not exist.", "inexistent_job")
        return found

    def _forget(self, too_old: float, most: int) -> None:
        """Remove jobs from before a time, and the oldest that are over until so many are left."""
        for job in list(self._jobs.values()):
            is_over = job.is_written or job.has_failed
            if job.created <= too_old or (is_over and len(self._jobs) > most):
                del self._jobs[job.id]
                job.file.unlink(missing_ok=True)
                _half(job.file).unlink(missing_ok=True)

    def _status(self, job: _Job) -> str:
        if job.polls <= 1:
            return "pending"
        if job.polls <= 2 + self._trouble.stalls or not (job.is_written or job.has_failed):
            return "processing"
        return "failed" if job.has_failed else "completed"

    def _progress(self, job: _Job) -> dict[str, Any]:
        """Return what the API says about a job beyond how it was made."""
        status = self._status(job)
        if status == "pending":
            return {}
        if status == "failed":
            return {"status": status, "status_details": _FAILURE}
        if status == "processing":
            share = 50 if job.is_written else min(99, 100 * job.done // max(job.total, 1))
            return {
                "status": status,
                "percentage_done": share,
                "time_left_seconds": job.time_left,
            }
        self._signed += 1
        is_good = self._signed > self._trouble.expired_links
        location = self._links.sign(job.path) if is_good else self._links.sign(job.path, 0)
        return {
            "status": status,
            "percentage_done": 100,
            "time_left_seconds": 0,
            "location": location,
        }

    def _run(self, job: _Job) -> None:
        """Write a job's file."""
        try:
            if not self._trouble.fails:
                self._write(job)
                job.is_written = True
        except Exception:  # noqa: BLE001 - whatever it is, it is logged and the job has failed
            _log.exception("an export failed")
        job.has_failed = not job.is_written

    def _write(self, job: _Job) -> None:
        lines = job.export.lines(self._store.records())
        with gzip.open(job.file, "wb", _FASTEST) as file:
            while batch := list(islice(lines, _LINES_AT_ONCE)):
                if self._is_closing:
                    return
                # What is no valid Unicode can only be in a CSV; JSON escapes it.
                file.write("".join(batch).encode("utf-8", "replace"))
                job.done += len(batch)


def _beginning(file: Path) -> Path:
    """Return a file with the first half of another one."""
    half = _half(file)
    if not half.exists():
        with file.open("rb") as whole, half.open("wb") as part:
            shutil.copyfileobj(whole, part)
            part.truncate(file.stat().st_size // 2)
    return half


def _half(file: Path) -> Path:
    return file.with_suffix(".half")
