"""How requests are sent and answers received, with limits on time and size.

The system's proxy and certificates are used. An answer is complete or an error, and limited in time
and size. Only this module retries a request for the tenant, for a limited time. A write that
depends on a read is sent soon after the read, or not at all.
"""

import logging
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.request import getproxies

import httpcore
import httpx

from toolkit.errors import SlowQueryError, StaleError
from toolkit.images.address import is_loopback

# httpx logs every address at INFO. Some of them give access to all users (the link to an export) or
# contain parts of e-mail addresses (searches).
logging.getLogger("httpx").setLevel(logging.WARNING)

ONCE = "x-picture-audit-once"
"""A request with this header is sent only once; the header itself is not sent."""
ENCODINGS = "gzip, deflate"
"""How answers may be compressed: the forms that the standard library decompresses in pieces."""

_ZLIB = 15
_FORMS = {"gzip": 31, "x-gzip": 31, "deflate": 0}  # zlib's `wbits`; 0: depends on the first byte
_PIECE = 1 << 16
_SLICE = 0.5  # how often a thread that reads checks whether it should stop, in seconds
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 32.0  # seconds
_TIMEOUT, _TOO_MANY, _SERVER_ERROR, _UNAVAILABLE = 408, 429, 500, 503
_LENGTH, _ENCODING = "content-length", "content-encoding"
# Headers that are wrong after decompression.
_FRAMING = frozenset({_LENGTH, _ENCODING, "transfer-encoding"})


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how large one answer may be, and how often a request is retried.

    Attributes:
        seconds: for one answer, from the first byte of the request to the last of the answer.
        silence: seconds without any byte.
        connect: seconds until there is a connection.
        head: bytes until the answer's body begins, `100 Continue` and the like included.
        body: bytes of a body, compressed and decompressed.
        listed: bytes of all pages of a list together.
        attempts: how often a request is sent if no usable answer comes.
        patience: seconds after which it is no longer retried if no usable answer comes.
        refusals: the same if the tenant refuses it because of the rate limit (429).
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

    @property
    def timeout(self) -> httpx.Timeout:
        """The limits of single steps, for httpx."""
        return httpx.Timeout(self.silence, connect=self.connect)


class FreshWrites(httpx.BaseTransport):
    """Transport that sends a PATCH only if its thread sent a GET shortly before.

    It is the last layer before the network, so it notices every delay: for the rate limit, for a
    token, of a computer that slept or a process that was stopped.
    """

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self._transport = inner
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
        limit: float | None = getattr(self._thread, "seconds", None)
        if request.method == "GET":
            self._thread.read_at = _now()
        elif request.method == "PATCH" and limit is not None:
            wall, steady = _now()
            # Without a GET, nothing is known about the user: too late by definition.
            read_at = getattr(self._thread, "read_at", (0.0, 0.0))
            if max(abs(wall - read_at[0]), steady - read_at[1]) > limit:
                raise StaleError("Too much time passed between reading a user and writing it.")
        return self._transport.handle_request(request)

    def close(self) -> None:
        """Close the inner transport."""
        self._transport.close()


def _now() -> tuple[float, float]:
    """Return the time of two clocks: one stops while a computer sleeps, the other can be set."""
    return time.time(), time.monotonic()


class NeverAnsweredError(httpx.TransportError):
    """The host has never answered, so the request is not retried."""

    def __init__(self) -> None:
        super().__init__("no connection")


class _TooLargeError(httpcore.ReadError):
    """The answer is larger than allowed."""


class UnusableAnswerError(httpx.TransportError):
    """An answer is too slow, too large or compressed in another way; it is not retried."""


def transport(host: str) -> httpx.HTTPTransport:
    """Return an httpx transport to a host, with the limits of `bounded`.

    With a transport, httpx ignores the system's proxies; without one, it reads `.netrc`. So the
    proxy for https is set here. `SSL_CERT_FILE` and `SSL_CERT_DIR` name certificates to trust.
    """
    made = httpx.HTTPTransport(proxy=None if is_loopback(host) else getproxies().get("https"))
    pool = made._pool  # noqa: SLF001 - httpx offers no other way to set how httpcore connects
    pool._network_backend = _Backend(pool._network_backend)  # noqa: SLF001 - likewise
    return made


def async_transport(host: str) -> httpx.AsyncHTTPTransport:
    """Return a transport for an `httpx.AsyncClient`, through the same proxy."""
    return httpx.AsyncHTTPTransport(proxy=None if is_loopback(host) else getproxies().get("https"))


# One limit over everything that a thread reads


class _Bound(threading.local):
    """Until when this thread may read, and how many bytes."""

    until: float | None = None
    octets: int = 0
    received: int = 0
    stop: threading.Event | None = None


_bound = _Bound()


def received() -> int:
    """Return how many decompressed bytes this thread has read by `CompleteAnswers`."""
    return _bound.received


class StoppedError(Exception):
    """The result that this thread waits for is no longer needed."""


@contextmanager
def stopping(stop: threading.Event) -> Iterator[None]:
    """Stop every wait of this thread for the tenant as soon as an event is set.

    Raises:
        StoppedError: it was set.
    """
    before, _bound.stop = _bound.stop, stop
    try:
        yield
    finally:
        _bound.stop = before


def pause(seconds: float) -> None:
    """Wait that many seconds.

    Raises:
        StoppedError: the event of `stopping` was set.
    """
    if _bound.stop is None:
        time.sleep(seconds)
    elif _bound.stop.wait(seconds):
        raise StoppedError


@contextmanager
def bounded(seconds: float, octets: int) -> Iterator[None]:
    """Limit everything that this thread sends and reads in this block, through `transport`.

    httpx limits single reads only. It never ends a head, a body or a series of `100 Continue` that
    arrives one byte at a time, or without end.

    Raises:
        httpx.TimeoutException: the time is over.
        httpx.ReadError: there are more bytes.
    """
    before = _bound.until, _bound.octets
    until = time.monotonic() + seconds
    _bound.until = until if before[0] is None else min(before[0], until)
    _bound.octets = octets
    try:
        yield
    finally:
        _bound.until, _bound.octets = before


def _left(timeout: float | None) -> float | None:
    if _bound.until is None:
        return timeout
    left = _bound.until - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the time is over")
    return left if timeout is None else min(timeout, left)


class _Stream(httpcore.NetworkStream):
    """A connection with the limits of `bounded`."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = self._read(max_bytes, _left(timeout))
        if _bound.until is not None:
            _bound.octets -= len(data)
            if _bound.octets < 0:
                raise _TooLargeError
        return data

    def _read(self, max_bytes: int, timeout: float | None) -> bytes:
        if _bound.stop is None or timeout is None:
            return self._stream.read(max_bytes, timeout)
        until = time.monotonic() + timeout
        while True:
            try:
                return self._stream.read(
                    max_bytes, min(_SLICE, max(0.001, until - time.monotonic()))
                )
            except httpcore.ReadTimeout:
                if time.monotonic() >= until:
                    raise
            if _bound.stop.is_set():
                raise StoppedError

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        try:
            left = _left(timeout)
        except httpcore.TimeoutException:
            self.close()  # httpcore closes it only if the handshake itself fails
            raise
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - as httpcore declares it
        return self._stream.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    """Connects like another backend; its connections have the limits of `bounded`."""

    def __init__(self, backend: httpcore.NetworkBackend) -> None:
        self._backend = backend

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        return _Stream(
            self._backend.connect_tcp(host, port, _left(timeout), local_address, socket_options)
        )


# One answer


class CompleteAnswers(httpx.BaseTransport):
    """Transport that reads complete, decompressed answers within the limits, or raises an error."""

    def __init__(self, inner: httpx.BaseTransport, limits: Limits) -> None:
        self._transport = inner
        self._limits = limits

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and read the complete answer.

        Raises:
            UnusableAnswerError: it is too slow, too large, or compressed in another way.
            httpx.TransportError: it did not arrive, or not completely.
        """
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
            if isinstance(error.__cause__, _TooLargeError):
                raise UnusableAnswerError("larger than it may be") from error
            if time.monotonic() < until:
                raise
            raise UnusableAnswerError(f"not whole within {limits.seconds:,.0f} s") from error
        except zlib.error as error:
            raise httpx.RemoteProtocolError("the answer cannot be unpacked") from error
        _bound.received += len(content)
        told = response.headers.multi_items()
        return httpx.Response(
            response.status_code,
            headers=[(name, text) for name, text in told if name not in _FRAMING],
            content=content,
            extensions=response.extensions,
        )

    def close(self) -> None:
        """Close the inner transport."""
        self._transport.close()

    def _pieces(self, response: httpx.Response) -> Iterator[bytes]:
        """Yield the body in pieces, as long as it is not too large."""
        most, raw, size = self._limits.body, 0, 0
        inflate = _inflate(response.headers.get(_ENCODING, ""))
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
    """Decompresses data that arrives in chunks, in small pieces to save memory.

    Args:
        form: zlib's `wbits`; 31 is gzip.
    """

    def __init__(self, form: int = 31) -> None:
        self._form = form
        self._data: Any = None  # zlib's type has no public name

    @property
    def is_whole(self) -> bool:
        """Whether the data is complete, including its checksum."""
        return self._data is not None and bool(self._data.eof)

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the decompressed chunk; several gzip files may follow one another.

        Raises:
            zlib.error: it is not compressed in this form.
        """
        while chunk:
            if self._data is None or self._data.eof:
                self._data = zlib.decompressobj(_form_of(chunk) if not self._form else self._form)
            while True:
                piece = self._data.decompress(chunk, _PIECE)
                chunk = self._data.unconsumed_tail
                if piece:
                    yield piece
                if not chunk and len(piece) < _PIECE:
                    break
            chunk = self._data.unused_data


def _form_of(chunk: bytes) -> int:
    # HTTP's "deflate" is zlib's format; some servers omit its first two bytes.
    return _ZLIB if chunk[0] & 0x0F == zlib.DEFLATED else -_ZLIB


def _inflate(encoding: str) -> Inflate | None:
    named = encoding.strip().lower()
    if named in {"", "identity"}:
        return None
    if named not in _FORMS:
        raise UnusableAnswerError("packed in a way that was not asked for")
    return Inflate(_FORMS[named])


# Retries


class Retries(httpx.BaseTransport):
    """Transport that retries requests; the only place that does so for the tenant.

    It retries if no complete answer came, or if the tenant answered 408, 429 or 5xx. It does not
    retry a query that the tenant could not finish (Auth0: "refine your search criteria"). After a
    429, the rate limit decides how long to wait.

    Args:
        inner: the transport that sends, within the rate limit.
        limits: how often and how long.
        clock: seconds, monotonic.
        sleep: waits that many seconds.
    """

    def __init__(
        self,
        inner: httpx.BaseTransport,
        limits: Limits,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = pause,
    ) -> None:
        self._transport = inner
        self._limits = limits
        self._clock = clock
        self._sleep = sleep
        self._answered = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request until a usable answer comes, within the limits.

        Raises:
            NeverAnsweredError: the host has never answered.
            SlowQueryError: the tenant could not finish a query.
            httpx.TransportError: no answer came.
        """
        once = request.headers.pop(ONCE, None) is not None
        begun, failures = self._clock(), 0
        while True:
            try:
                response = self._sent(request)
            except (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError):
                if once or not self._may_fail(begun, failures):
                    raise
            else:
                if once or not _is_passing(response):
                    return response
                if response.status_code == _TOO_MANY:
                    if self._clock() - begun >= self._limits.refusals:
                        return response
                    continue  # the rate limit waits
                if not self._may_fail(begun, failures):
                    return response
            self._sleep(_pause(failures))
            failures += 1

    def close(self) -> None:
        """Close the inner transport."""
        self._transport.close()

    def _sent(self, request: httpx.Request) -> httpx.Response:
        try:
            response = self._transport.handle_request(request)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            # A host that has never answered is unreachable: fail at once instead of retrying.
            if self._answered:
                raise
            raise NeverAnsweredError from error
        self._answered = True
        if response.status_code == _UNAVAILABLE and b"exceeded the timeout" in response.content:
            raise SlowQueryError("The tenant did not finish a query in time (HTTP 503).")
        return response

    def _may_fail(self, begun: float, failures: int) -> bool:
        """Whether a failed request is sent again."""
        elapsed = self._clock() - begun + _pause(failures)
        return failures + 1 < self._limits.attempts and elapsed < self._limits.patience


def _is_passing(response: httpx.Response) -> bool:
    status = response.status_code
    return status in (_TIMEOUT, _TOO_MANY) or status >= _SERVER_ERROR


def _pause(failures: int) -> float:
    return float(min(_FIRST_PAUSE * 2**failures, _LONGEST_PAUSE))
