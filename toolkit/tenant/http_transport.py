"""How requests are sent and answers received, with limits on time and size.

An answer is complete or an error. Requests that may be repeated are retried here, for a limited
time; a write is only repeated by those who first read again. A write that depends on a read is sent
soon after the read, or not at all.
"""

import html
import logging
import re
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx

from toolkit.errors import SlowQueryError, StaleError
from toolkit.images.limited_stream import TooLargeError, bounded, pause
from toolkit.tenant.host_transport import Layer
from toolkit.tenant.refusals import is_job_limit, quoted

# httpx logs every address at INFO. Some of them give access to all users (the link to an export) or
# contain parts of e-mail addresses (searches).
logging.getLogger("httpx").setLevel(logging.WARNING)

# Without any set-up, logging writes warnings to stderr.
_log = logging.getLogger(__name__)
_WAITING = "%s has had too many requests for tokens (HTTP 429): asking again for up to %.0f s."
_TOKEN = "/oauth/token"  # noqa: S105 - a path

ONCE = "x-picture-audit-once"
"""A request with this header is sent only once; the header itself is not sent."""
ENCODINGS = "gzip, deflate"
"""How answers may be compressed: the forms that the standard library decompresses in pieces."""

_GZIP = 31  # zlib's `wbits`
# 0: HTTP's "deflate" is zlib's format (15), but some servers omit its first two bytes (-15).
_FORMS = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": 0}
_PIECE = 1 << 16  # bytes that are decompressed at a time
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 32.0  # seconds before a request is sent again
_TIMEOUT, _TOO_MANY, _SERVER_ERROR, _UNAVAILABLE = 408, 429, 500, 503
_PROXY_PASSWORD, _SIGN_IN = 407, 511  # "Proxy", "Network Authentication Required" (RFC 9110, 6585)
_TITLE = re.compile(r"<title[^<>]{0,200}>([^<]{1,1000})", re.IGNORECASE)
_HEAD = 1 << 14  # bytes of a page in which its title is looked for
# Headers that are wrong after decompression.
_FRAMING = frozenset({"content-length", "content-encoding", "transfer-encoding"})


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how large one answer may be, and how often a request is retried.

    Attributes:
        seconds: for one answer, from the first byte of the request to the last of the answer.
        silence: seconds without any byte.
        connect: seconds until there is a connection.
        head: bytes before the answer's body, `100 Continue` and the like included.
        body: bytes of a body, compressed and decompressed.
        listed: bytes of all pages of a list together.
        attempts: how often a request is sent if no usable answer comes.
        patience: seconds after which it is no longer retried if no usable answer comes.
        refusals: the same after answers 429.
        token: the same after answers 429 to a request for a token, during which nothing is shown.
    """

    seconds: float = 120.0
    silence: float = 60.0
    connect: float = 10.0
    head: int = 1 << 20
    body: int = 32 << 20
    listed: int = 64 << 20
    attempts: int = 8
    patience: float = 180.0
    refusals: float = 300.0
    token: float = 60.0


class UnusableAnswerError(httpx.TransportError):
    """An answer is too slow, too large or compressed in another way; it is not retried."""


class ForeignAnswerError(httpx.TransportError):
    """Something else than the tenant answered, such as a page; says what, and what to do."""


_MAY_PASS = (
    httpx.TimeoutException,
    httpx.NetworkError,
    httpx.RemoteProtocolError,
    httpx.ProxyError,
    ForeignAnswerError,
)


class FreshWrites(Layer):
    """Transport that refuses, inside of `within`, a PATCH too long after its thread's last GET.

    It checks right before the bytes leave, so it notices every delay: for the rate limit, for a
    token, of a computer that slept or a process that was stopped.
    """

    def __init__(self, inner: httpx.BaseTransport) -> None:
        super().__init__(inner)
        self._thread = threading.local()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Send each PATCH of this thread only within so many seconds after its last GET.

        A later PATCH is not sent and raises StaleError.
        """
        self._thread.seconds = seconds
        try:
            yield
        finally:
            self._thread.seconds = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, or raise StaleError."""
        if request.method == "GET":
            self._thread.read_at = _now()
        elif request.method == "PATCH":
            self._ensure_fresh()
            request.extensions = {**request.extensions, "trace": self._before_sending}
        return self._transport.handle_request(request)

    def _before_sending(self, event: str, _: object) -> None:
        # Before it sends, httpcore may have to connect, and a process can be stopped at any time.
        # Without the body, which comes last, the tenant writes nothing.
        if event in {"http11.send_request_headers.started", "http11.send_request_body.started"}:
            self._ensure_fresh()

    def _ensure_fresh(self) -> None:
        limit: float | None = getattr(self._thread, "seconds", None)
        wall, steady = _now()
        # Without a GET, nothing is known about the user: always too late.
        read_at = getattr(self._thread, "read_at", (0.0, 0.0))
        late = max(abs(wall - read_at[0]), steady - read_at[1])
        if limit is not None and late > limit:
            raise StaleError("Too much time passed between reading a user and writing it.")


def _now() -> tuple[float, float]:
    """Return the time of two clocks: one stops while a computer sleeps, the other can be set."""
    return time.time(), time.monotonic()


class CompleteAnswers(Layer):
    """Transport that reads complete, decompressed answers within the limits, or raises an error."""

    def __init__(self, inner: httpx.BaseTransport, limits: Limits) -> None:
        super().__init__(inner)
        self._limits = limits
        self._thread = threading.local()

    @property
    def received(self) -> int:
        """How many decompressed bytes this thread has read."""
        return getattr(self._thread, "received", 0)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and read the complete answer."""
        limits = self._limits
        until = time.monotonic() + limits.seconds
        try:
            with bounded(limits.seconds, limits.head):
                response = self._transport.handle_request(request)
            try:
                with bounded(until - time.monotonic(), limits.body + limits.head):
                    content = b"".join(self._pieces(response))
            finally:
                response.close()
        except httpx.TransportError as error:
            if isinstance(error.__cause__, TooLargeError):
                raise UnusableAnswerError("larger than it may be") from error
            if time.monotonic() < until:
                raise
            raise UnusableAnswerError(f"not whole within {limits.seconds:,.0f} s") from error
        except zlib.error as error:
            raise httpx.RemoteProtocolError("the answer cannot be unpacked") from error
        self._thread.received = self.received + len(content)
        told = response.headers.multi_items()
        return httpx.Response(
            response.status_code,
            headers=[(name, text) for name, text in told if name not in _FRAMING],
            content=content,
            extensions=response.extensions,
        )

    def _pieces(self, response: httpx.Response) -> Iterator[bytes]:
        """Yield the body in pieces, as long as it is not too large."""
        most, raw, size = self._limits.body, 0, 0
        encoding = response.headers.get("content-encoding", "").strip().lower() or "identity"
        if encoding != "identity" and encoding not in _FORMS:
            raise UnusableAnswerError("packed in a way that was not asked for")
        inflate = Inflate(_FORMS[encoding]) if encoding in _FORMS else None
        for chunk in response.iter_raw():
            raw += len(chunk)
            for piece in inflate.pieces(chunk) if inflate else (chunk,):
                size += len(piece)
                if max(raw, size) > most:
                    raise UnusableAnswerError(f"larger than {most:,} bytes")
                yield piece
        if inflate and raw and not inflate.is_whole:
            raise httpx.RemoteProtocolError("the answer did not come whole")


class Inflate:
    """Decompresses data that arrives in chunks, in small pieces to save memory."""

    def __init__(self, form: int = _GZIP) -> None:
        self._form = form  # zlib's `wbits`; 0 depends on the first byte
        self._data: Any = None  # zlib's type has no public name

    @property
    def is_whole(self) -> bool:
        """Whether the data is complete, including its checksum."""
        return self._data is not None and bool(self._data.eof)

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the decompressed chunk; several gzip files may follow one another."""
        while chunk:
            if self._data is None or self._data.eof:
                bare = 15 if chunk[0] & 0x0F == zlib.DEFLATED else -15
                self._data = zlib.decompressobj(self._form or bare)
            while True:
                piece = self._data.decompress(chunk, _PIECE)
                chunk = self._data.unconsumed_tail
                if piece:
                    yield piece
                if not chunk and len(piece) < _PIECE:
                    break
            chunk = self._data.unused_data


class Retries(Layer):
    """Transport that retries requests; the only place that does so for the tenant.

    It retries if no complete answer came, or if the tenant answered 408, 429 or 5xx; and, once the
    tenant has answered, where a proxy or its page answers instead. It does not retry a query that
    the tenant could not finish (Auth0: "refine your search criteria"). After a 429, the rate limit
    decides how long to wait.
    """

    def __init__(
        self,
        inner: httpx.BaseTransport,
        limits: Limits,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = pause,
    ) -> None:
        super().__init__(inner)
        self._limits = limits
        self._clock = clock
        self._sleep = sleep
        self._answered = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request until a usable answer comes, within the limits."""
        once = request.headers.pop(ONCE, None) is not None
        begun, failures = self._clock(), 0
        is_for_token, told = request.url.path == _TOKEN, False
        refusals = self._limits.token if is_for_token else self._limits.refusals
        while True:
            try:
                response = self._sent(request)
            except _MAY_PASS as error:
                # At the start, a proxy that refuses is a wrong setting, which does not pass.
                usable = self._answered or not isinstance(
                    error, httpx.ProxyError | ForeignAnswerError
                )
                if once or not (usable and self._may_fail(begun, failures)):
                    raise
            else:
                if once or not _may_be_repeated(response):
                    return response
                if response.status_code == _TOO_MANY:
                    if self._clock() - begun >= refusals:
                        return response
                    if is_for_token and not told:
                        told = True
                        _log.warning(_WAITING, request.url.host, refusals)
                    continue  # the rate limit waits
                if not self._may_fail(begun, failures):
                    return response
            self._sleep(_pause(failures))
            failures += 1

    def _sent(self, request: httpx.Request) -> httpx.Response:
        try:
            response = self._transport.handle_request(request)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            if self._answered:
                raise
            # The host has never answered: this error is not retried.
            raise httpx.TransportError("no connection") from error
        if words := _foreign(response):
            raise ForeignAnswerError(words)
        self._answered = True
        if response.status_code == _UNAVAILABLE and b"exceeded the timeout" in response.content:
            raise SlowQueryError("The tenant did not finish a query in time (HTTP 503).")
        return response

    def _may_fail(self, begun: float, failures: int) -> bool:
        """Whether a failed request is sent again."""
        elapsed = self._clock() - begun + _pause(failures)
        return failures + 1 < self._limits.attempts and elapsed < self._limits.patience


def _may_be_repeated(response: httpx.Response) -> bool:
    """Whether the same request, sent again, may get another answer."""
    status = response.status_code
    if status == _TOO_MANY:
        # If too many jobs run, it is not about the requests.
        with suppress(ValueError, RecursionError):
            return not is_job_limit(response.json())
    return status in (_TIMEOUT, _TOO_MANY) or status >= _SERVER_ERROR


def _foreign(response: httpx.Response) -> str:
    """Say in words what answered instead of the tenant, whose API sends JSON; "" if it answered."""
    status, body = response.status_code, response.content.lstrip(b"\xef\xbb\xbf \t\r\n")
    told = f"(HTTP {status})"
    if status == _PROXY_PASSWORD:
        return (
            f"a proxy on the way wants a name and password {told}: set HTTPS_PROXY to "
            "http://NAME:PASSWORD@HOST:PORT"
        )
    if response.has_redirect_location:
        return (
            f"a redirect to another address came back {told}: sign in to this network in a browser "
            "(captive portal), and check AUTH0_DOMAIN"
        )
    said = response.headers.get("content-type", "").lower()
    is_page = body.startswith(b"<") or ("html" in said and body and body[:1] not in b'{["')
    if is_page and (status < _SERVER_ERROR or status == _SIGN_IN):
        titled = _TITLE.search(body[:_HEAD].decode("utf-8", "replace"))
        title = quoted(html.unescape(titled[1])) if titled else ""
        return (
            f"a web page came back instead of data (HTTP {status}{title and f', {title}'}): sign "
            "in to this network in a browser (captive portal), ask whether a firewall blocks the "
            "address, set HTTPS_PROXY if the network needs a proxy, and check AUTH0_DOMAIN"
        )
    return ""


def _pause(failures: int) -> float:
    return float(min(_FIRST_PAUSE * 2**failures, _LONGEST_PAUSE))
