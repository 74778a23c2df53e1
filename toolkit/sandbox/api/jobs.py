"""Export jobs: started, polled, their files written, and downloaded by signed links.

Facts: Auth0 Management API, "Create export users job", "Get a job" and "Get job error
details" (204 where there are none); Auth0 docs, "Bulk User Exports" (NDJSON or CSV, gzip; at
most 30 fields and no whole metadata in CSV; each string of a CSV gets a single quote before
it, unless it is one of Auth0's own times, stands in double quotes, and its double quotes are
doubled; a link, `?Expires=…&Key-Pair-Id=…&Signature=…`, is good for 60 seconds, a job for 24
hours); recordings of the API (CSV where no format is asked for; a job polled at once is still
pending and looks as it did when it was made). The refusals of links are CloudFront's and S3's.
INFERRED, since no source says so: the errors' text, that of a missing job, and that there are
too many: this sandbox writes four at a time, and keeps the last sixteen; that 500 fields are
enough for JSON, which fields a file has where none are asked for, a CSV's header line, and
that a path without `export_as` keeps its name as the key.
"""

import base64
import gzip
import hmac
import json
import logging
import re
import secrets
import shutil
import string
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from toolkit.sandbox.api.gate import ROOT, Answer, Call, Gate
from toolkit.sandbox.directory.fields import iso
from toolkit.sandbox.directory.store import Connection, Store, connections_of
from toolkit.sandbox.problem import Problem, bad_body, on_property
from toolkit.sandbox.validation import Schema

_DAY = 86400
_MOST_KEPT = 16
_VALIDITY = 60  # seconds of a link
_LINES_AT_ONCE = 1000
_FASTEST = 1  # of gzip's levels
_ALPHABET = string.ascii_letters + string.digits
_FAILURE = "The export failed. Please create a new job."

_MOST_CSV_FIELDS = 30
_STEP = re.compile(r"([^.\[\]]+)|\[(\d{1,6})\]", re.ASCII)
_USUAL = (
    "user_id email email_verified name nickname picture created_at updated_at last_login "
    "logins_count"
)
_OWN_TIMES = frozenset({"created_at", "updated_at", "last_login", "last_password_reset"})
_MISSING = object()

_log = logging.getLogger(__name__)


_NAME = {"type": "string", "minLength": 1, "maxLength": 100}
_EXPORT = Schema(
    {
        "connection_id": {
            "type": "string",
            "pattern": "^con_[A-Za-z0-9]{16}$",
            "description": "connection_id of the connection from which users will be exported.",
        },
        "format": {"enum": ["json", "csv"], "description": "Format of the file."},
        "limit": {"type": "integer", "minimum": 1, "description": "Limit the number of records."},
        "fields": {
            "type": "array",
            "maxItems": 500,
            "items": {
                "type": "object",
                "properties": {"name": _NAME, "export_as": _NAME},
                "required": ["name"],
                "additionalProperties": False,
            },
            "description": "List of fields to be included in the CSV. Defaults to a predefined "
            "set of fields.",
        },
    }
)


@dataclass(frozen=True)
class Export:
    """What is to be exported: a request's valid body, and whose users (None: everybody)."""

    asked: Mapping[str, Any]
    connection: Connection | None

    @classmethod
    def of(cls, call: Call, connections: Iterable[Connection]) -> "Export":
        """Read a request; nothing at all asks for everything."""
        asked = {"format": "csv", **(call.document(bad_body) if call.body else {})}
        _EXPORT.check(asked)
        if asked["format"] == "csv":
            names = [one["name"] for one in asked.get("fields", ())]
            if len(names) > _MOST_CSV_FIELDS:
                wrong = f"Too many fields, maximum {_MOST_CSV_FIELDS} for csv"
                raise bad_body(on_property(wrong, "fields"))
            for name in names:
                if name in {"app_metadata", "user_metadata"}:
                    wrong = f"{name} cannot be exported as a whole to csv"
                    raise bad_body(on_property(wrong, "fields"))
        if "connection_id" not in asked:
            return cls(asked, None)
        for connection in connections:
            if connection.id == asked["connection_id"]:
                return cls(asked, connection)
        raise Problem(400, "The connection does not exist.", "inexistent_connection")

    def document(self, created: float, job_id: str) -> dict[str, Any]:
        """Return the job as the API shows it when it is new."""
        order = ("connection_id", "format", "limit", "fields")
        shown = {name: self.asked[name] for name in order if self.asked.get(name)}
        named = {"connection": self.connection.name} if self.connection else {}
        made = {"created_at": iso(created), "id": job_id}
        return {"type": "users_export", "status": "pending", **shown, **named, **made}

    def lines(self, bodies: Iterable[str]) -> Iterator[str]:
        """Yield the lines of the file for these users' JSON."""
        fields = self.asked.get("fields") or [{"name": name} for name in _USUAL.split()]
        columns = [(one.get("export_as", one["name"]), _steps(one["name"])) for one in fields]
        is_csv = self.asked["format"] == "csv"
        if is_csv:
            yield ",".join(_quoted(title) for title, _ in columns) + "\n"
        for user in islice(self._chosen(bodies), self.asked.get("limit")):
            found = {title: _at(user, steps) for title, steps in columns}
            if is_csv:
                names = (one["name"] for one in fields)
                yield ",".join(map(_cell, names, found.values())) + "\n"
            else:
                there = {title: value for title, value in found.items() if value is not _MISSING}
                yield json.dumps(there, separators=(",", ":")) + "\n"

    def _chosen(self, bodies: Iterable[str]) -> Iterator[Mapping[str, Any]]:
        for user in map(json.loads, bodies):
            if self.connection is None or self.connection in connections_of(user):
                yield user


def _steps(name: str) -> list[str | int]:
    """Return the keys and positions that lead to a value: `identities[0].connection`."""
    return [int(place) if place else key for key, place in _STEP.findall(name)]


def _at(value: Any, steps: Iterable[str | int]) -> Any:  # noqa: ANN401 - any JSON
    """Return what is there, or `_MISSING`."""
    for step in steps:
        is_held = isinstance(value, dict if isinstance(step, str) else list)
        try:
            value = value[step] if is_held else _MISSING
        except (KeyError, IndexError):
            return _MISSING
    return value


def _cell(name: str, value: object) -> str:
    if value is None or value is _MISSING:
        return ""
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    protection = "" if name in _OWN_TIMES else "'"
    return _quoted(protection + (value if isinstance(value, str) else json.dumps(value)))


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


@dataclass(frozen=True)
class Links:
    """Signs links to files and tells good ones from others; the clock has UNIX seconds."""

    base_url: str
    clock: Callable[[], float]
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    _key_id: str = field(default_factory=lambda: "K" + secrets.token_hex(7).upper())

    def sign(self, path: str, valid: int) -> str:
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
        digest = hmac.digest(self._key, f"{path}?{expires}".encode("utf-8", "replace"), "sha256")
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")


@dataclass(frozen=True)
class Trouble:
    """What goes wrong with jobs."""

    fails: bool  # every job
    stalls: int  # so many polls, at which the percentage stays the same
    expired_links: int  # so many of the first links
    truncated: float  # so many of the first downloads, which end early
    endless: bool  # whether a download begins again when it is over
    link: Callable[[str], str]  # makes the link that is told of the true one
    at_once: int  # jobs that are written


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
    status: str = "processing"  # then "completed" or "failed"

    @property
    def path(self) -> str:
        """Where its file is downloaded; named after the tenant, as Auth0 names it."""
        return f"/exports/{self.id}/sandbox.{self.export.asked['format']}.gz"

    @property
    def half(self) -> Path:
        """The file with the first half of it, which is sent where downloads end early."""
        return self.file.with_suffix(".half")

    @property
    def time_left(self) -> int:
        """Seconds until it has probably been written."""
        if not self.done:
            return 1
        pace = (time.monotonic() - self.started) / self.done
        return round(pace * max(self.total - self.done, 0))


class Jobs:
    """The export jobs of one tenant, with downloads below `base_url`.

    A job is written by a thread of its own, from the tenant's users in the order of loading,
    and is complete no earlier than at its third poll, so that every client meets `pending`
    and `processing`. Its file has the users as they are while it is written; what changes
    after that is not in it. The clock (UNIX seconds) is for the age of jobs and links.
    """

    def __init__(
        self, store: Store, gate: Gate, base_url: str, clock: Callable[[], float], trouble: Trouble
    ) -> None:
        self.leaks = 0
        self._store = store
        self._gate = gate
        self._clock = clock
        self._links = Links(base_url, clock)
        self._trouble = trouble
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

    def export_users(self, call: Call) -> Answer:
        """Start to export users."""
        export = Export.of(call, self._store.connections)
        name = "job_" + "".join(secrets.choice(_ALPHABET) for _ in range(16))
        job = _Job(name, self._clock(), export, self._store.count(), Path(self._folder.name, name))
        thread = threading.Thread(target=self._run, args=(job,), name="sandbox-export")
        with self._lock:
            self._threads = [one for one in self._threads if one.is_alive()]
            if len(self._threads) >= (most := self._trouble.at_once):
                text = f"There are {most} active export jobs: wait until one is finished."
                raise Problem(429, text, "too_many_requests")
            self._forget(_MOST_KEPT - 1)
            self._jobs[name] = job
            self._threads.append(thread)
            thread.start()
        return export.document(job.created, name)

    def job(self, call: Call) -> Answer:
        """Tell how far a job is."""
        with self._lock:
            job = self._found(call.path["id"])
            job.polls += 1
            return {**job.export.document(job.created, job.id), **self._progress(job)}

    def errors(self, call: Call) -> Answer:
        """Tell why a job failed; nothing where it did not."""
        with self._lock:
            if self._status(self._found(call.path["id"])) != "failed":
                return None
        return [{"errors": [{"code": "EXPORT_FAILED", "message": _FAILURE}]}]

    def download(self, request: Request) -> Response:
        """Send a job's file to whoever has a good link."""
        if "authorization" in request.headers:
            with self._lock:
                self.leaks += 1
            text = "Only one auth mechanism allowed; use the signed URL or the Authorization header"
            return _xml(400, "InvalidArgument", text)
        denied = _xml(403, "AccessDenied", "Access Denied")
        if not self._links.allows(request.url.path, request.query_params):
            return denied
        with self._lock:
            try:
                job = self._found(request.path_params["id"])
            except Problem:
                return denied
            self._downloads += 1
            is_torn = self._downloads <= self._trouble.truncated
        if is_torn and not job.half.exists():
            with job.file.open("rb") as whole, job.half.open("wb") as part:
                shutil.copyfileobj(whole, part)
                part.truncate(job.file.stat().st_size // 2)
        # The content is the gzip itself: a Content-Encoding would make clients unpack it.
        kind = "application/octet-stream"
        if self._trouble.endless:
            return StreamingResponse(_again_and_again(job.file), media_type=kind)
        return FileResponse(job.half if is_torn else job.file, media_type=kind)

    def _found(self, name: str) -> _Job:
        """Return the job of this id, and forget those that are too old."""
        self._forget(_MOST_KEPT)
        if name not in self._jobs:
            raise Problem(404, "The job does not exist.", "inexistent_job")
        return self._jobs[name]

    def _forget(self, most: int) -> None:
        """Remove jobs of yesterday, and the oldest that are over until so many are left."""
        too_old = self._clock() - _DAY
        for job in list(self._jobs.values()):
            is_over = job.status != "processing"
            if job.created <= too_old or (is_over and len(self._jobs) > most):
                del self._jobs[job.id]
                job.file.unlink(missing_ok=True)
                job.half.unlink(missing_ok=True)

    def _status(self, job: _Job) -> str:
        if job.polls <= 1:
            return "pending"
        return "processing" if job.polls <= 2 + self._trouble.stalls else job.status

    def _progress(self, job: _Job) -> dict[str, Any]:
        """Return what the API says about a job beyond how it was made."""
        status = self._status(job)
        if status == "pending":
            return {}
        if status == "failed":
            return {"status": status, "status_details": _FAILURE}
        if status == "processing":
            is_written = job.status == "completed"
            share = 50 if is_written else min(99, 100 * job.done // max(job.total, 1))
            return {"status": status, "percentage_done": share, "time_left_seconds": job.time_left}
        self._signed += 1
        valid = _VALIDITY if self._signed > self._trouble.expired_links else 0
        return {
            "status": status,
            "percentage_done": 100,
            "time_left_seconds": 0,
            "location": self._trouble.link(self._links.sign(job.path, valid)),
        }

    def _run(self, job: _Job) -> None:
        """Write a job's file."""
        status = "failed"
        try:
            if not self._trouble.fails:
                self._write(job)
                status = "completed"
        except Exception:  # noqa: BLE001 - whatever it is, it is logged and the job has failed
            _log.exception("an export failed")
        job.status = status

    def _write(self, job: _Job) -> None:
        lines = job.export.lines(self._store.records())
        with gzip.open(job.file, "wb", _FASTEST) as file:
            while batch := list(islice(lines, _LINES_AT_ONCE)):
                if self._is_closing:
                    return
                # What is no valid Unicode can only be in a CSV; JSON escapes it.
                file.write("".join(batch).encode("utf-8", "replace"))
                job.done += len(batch)


def _again_and_again(path: Path) -> Iterator[bytes]:
    while True:
        with path.open("rb") as file:
            yield from iter(partial(file.read, 1 << 16), b"")


def _xml(status: int, code: str, message: str) -> Response:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n{body}'
    return Response(text, status, media_type="application/xml")
