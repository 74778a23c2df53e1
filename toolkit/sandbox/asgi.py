"""Between the network and what the sandbox answers: connections, names, a certificate.

A client has 30 seconds to send a request, its body included, and as long to take in what is
sent; between two requests uvicorn waits for 5. Heads of more than 64 KiB are refused by h11.

A page anywhere can have a browser send requests to this machine. If its own name stands for
this machine (DNS rebinding), the Host header shows it; if it writes, the Origin header does.
"""

import asyncio
import ssl
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path

import h11
import trustme
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from toolkit.sandbox.faults.network import HANG_UP
from toolkit.sandbox.problem import Problem

PATIENCE = 30.0
"""Seconds that a client has for a request, and for taking in some of an answer."""

MOST_CONNECTIONS = 256
"""Connections at a time; one more is closed at once."""


class Protocol(H11Protocol):
    """HTTP over one connection, which a request can also hang up (see the fault `reset`)."""

    _sending: asyncio.TimerHandle | None = None
    _taking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, unless there are too many."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, HANG_UP: transport}
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
        else:
            self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        _cancel(self._sending)
        _cancel(self._taking)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; the time that a request has begins with its first byte."""
        super().data_received(data)
        self._expect()

    def pause_writing(self) -> None:
        """Wait for a client that does not take in what is sent, but not for ever."""
        super().pause_writing()
        self._taking = self.loop.call_later(PATIENCE, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on with a client that does."""
        super().resume_writing()
        _cancel(self._taking)

    def _expect(self) -> None:
        """Set the time for the request that is under way, or drop it where it is complete."""
        if self.conn.their_state in {h11.IDLE, h11.SEND_BODY}:
            if self._sending is None:
                self._sending = self.loop.call_later(PATIENCE, self.transport.abort)
        else:
            _cancel(self._sending)
            self._sending = None


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer:
        timer.cancel()


# A client can make up others, as many as it likes.
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


class Tally:
    """Counts answers by (method, path template, status), for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str, int]] = Counter()

    def add(self, method: str, path: str, status: int) -> None:
        """Count one answer; methods that HTTP does not know are counted as one, "(other)"."""
        with self._lock:
            self._counts[method if method in _METHODS else "(other)", path, status] += 1

    @property
    def counts(self) -> Counter[tuple[str, str, int]]:
        """A copy of the counts so far."""
        with self._lock:
            return Counter(self._counts)

    @property
    def total(self) -> int:
        """All answers."""
        return self.counts.total()

    @property
    def limited(self) -> int:
        """Answers that said "too many requests"."""
        return sum(
            n for (_, _, status), n in self.counts.items() if status == HTTPStatus.TOO_MANY_REQUESTS
        )


_READING = frozenset({"GET", "HEAD", "OPTIONS"})


def door(
    application: ASGIApp, hosts: Sequence[str], tally: Tally, clock: Callable[[], float]
) -> ASGIApp:
    """Return the application, which then answers to these hosts (`name:port`) only.

    Every answer is counted, and dated by the clock (UNIX seconds).
    """
    known = {host.encode() for host in hosts}
    origins = {f"{scheme}://{host}".encode() for host in hosts for scheme in ("http", "https")}

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                path = getattr(scope.get("route"), "path", "(none)")
                tally.add(scope["method"], path, message["status"])
                MutableHeaders(scope=message)["date"] = formatdate(clock(), usegmt=True)
            await send(message)

        named = [value.lower() for name, value in scope["headers"] if name == b"host"]
        origin = [value.lower() for name, value in scope["headers"] if name == b"origin"]
        if len(named) != 1 or named[0] not in known:
            answer: ASGIApp = Problem(421, "This host is not served here").response()
        elif scope["method"] not in _READING and not origins.issuperset(origin):
            answer = Problem(403, "Pages of other origins cannot write here").response()
        else:
            answer = application
        await answer(scope, receive, counting)

    return guarded


class Certificate:
    """A certificate for an IP address and localhost, and the authority that vouches for it.

    `context` is how a server speaks TLS with it; `ca_file` is the authority's certificate
    (PEM), in a private folder. No key is on disk.
    """

    def __init__(self, address: str) -> None:
        authority = trustme.CA()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(address, "localhost").configure_cert(self.context)
        self._folder = tempfile.TemporaryDirectory(prefix="sandbox-ca-")
        self.ca_file = Path(self._folder.name) / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca_file))

    def close(self) -> None:
        """Remove the authority's file."""
        self._folder.cleanup()
