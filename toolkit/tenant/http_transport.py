"""How requests leave this machine and answers arrive, and how much of either is borne.

Through the system's proxy, checked by its certificates. An answer comes whole or not at all,
and has a limit on its time and on its size. What may be sent again is sent again, here and
nowhere else, and that ends, too. A write that rests on what was read is sent soon after the
reading, or not at all.
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

# httpx logs every address at INFO. Some of ours open a whole tenant (the link to an
# export), and some hold parts of e-mail addresses (searches).
logging.getLogger("httpx").setLevel(logging.WARNING)

ONCE = "x-picture-audit-once"
"""A request with this header is sent only once; the header itself is not sent."""
ENCODINGS = "gzip, deflate"
"""How answers may be compressed: what the standard library unpacks, piece by piece."""

_ZLIB = 15
_FORMS = {"gzip": 31, "x-gzip": 31, "deflate": 0}  # zlib's numbers; 0: told by the first byte
_PIECE = 1 << 16
_SLICE = 0.5  # seconds after which a thread that reads looks whether it is to stop
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 32.0  # seconds
_TIMEOUT, _TOO_MANY, _SERVER_ERROR, _UNAVAILABLE = 408, 429, 500, 503
_LENGTH, _ENCODING = "content-length", "content-encoding"
# What is no longer true of an answer that was unpacked.
_FRAMING = frozenset({_LENGTH, _ENCODING, "transfer-encoding"})


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how large one answer may be, and how often it is asked for.

    Attributes:
        seconds: for one answer, from the first byte of the request to the last of the answer.
        silence: seconds without a byte of it.
        connect: seconds until there is a connection.
        head: bytes until the answer's body begins, `100 Continue` and the like included.
        body: bytes of a body, before and after it is unpacked.
        listed: bytes of all pages of a list together.
        attempts: how often a request is sent where no usable answer comes.
        patience: seconds after which it is not sent again where no usable answer comes.
        refusals: the same where the tenant refuses it for its rate limit (429).
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
        """The limits on single steps, as httpx takes them."""
        return httpx.Timeout(self.silence, connect=self.connect)


class Fresh(httpx.BaseTransport):
    """Sends a PATCH only where its thread has sent a GET shortly before.

    It is the last thing before the network, so that it sees every wait: for the pace, for a
    token, of a machine that slept or a process that was stopped.
    """

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self._transport = inner
        self._thread = threading.local()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Have each PATCH of this thread sent so soon after the last GET, or not at all.

        What is not sent for that reason raises StaleError.
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
            # Without a GET there is nothing that the write could rest on.
            read_at = getattr(self._thread, "read_at", (0.0, 0.0))
            if max(abs(wall - read_at[0]), steady - read_at[1]) > limit:
                raise StaleError("Too much time passed between reading a user and writing it.")
        return self._transport.handle_request(request)

    def close(self) -> None:
        """Close what really sends."""
        self._transport.close()


def _now() -> tuple[float, float]:
    """Return the time by both clocks: one stands still while a machine sleeps, one can be set."""
    return time.time(), time.monotonic()


class NeverAnsweredError(httpx.TransportError):
    """No connection could be made from the start; that is not tried again."""

    def __init__(self) -> None:
        super().__init__("no connection")


class _TooLargeError(httpcore.ReadError):
    """There is more to read than may be read."""


class UnusableAnswerError(httpx.TransportError):
    """An answer takes too long, is too large or is packed otherwise; it is not asked for again."""


def transport(host: str) -> httpx.HTTPTransport:
    """Return an httpx transport to a host, whose reads obey `bounded`.

    httpx looks past the system's proxies where it is given a transport, and reads
    `.netrc` where it is not: so the proxy for https is named here. `SSL_CERT_FILE` and
    `SSL_CERT_DIR` name certificates to trust.
    """
    made = httpx.HTTPTransport(proxy=None if is_loopback(host) else getproxies().get("https"))
    pool = made._pool  # noqa: SLF001 - httpx has no other way to say how httpcore connects
    pool._network_backend = _Backend(pool._network_backend)  # noqa: SLF001 - likewise
    return made


def async_transport(host: str) -> httpx.AsyncHTTPTransport:
    """Return a transport for an `httpx.AsyncClient`, through the same proxy."""
    return httpx.AsyncHTTPTransport(proxy=None if is_loopback(host) else getproxies().get("https"))


# One limit over everything that a thread reads


class _Bound(threading.local):
    """When all that this thread reads must be over, and how many bytes it may still read."""

    until: float | None = None
    octets: int = 0
    received: int = 0
    stop: threading.Event | None = None


_bound = _Bound()


def received() -> int:
    """Return how many bytes of answers this thread has read by `Whole`, unpacked."""
    return _bound.received


class StoppedError(Exception):
    """Nobody waits any more for what this thread waits for."""


@contextmanager
def stopping(stop: threading.Event) -> Iterator[None]:
    """Let all waiting of this thread for the tenant end as soon as an event is set.

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
    """Limit all that this thread connects, sends and reads meanwhile, by `transport`.

    Single reads have limits of their own in httpx, but nothing there ends a head, a body or
    a row of `100 Continue` that comes a byte at a time, or never ends.

    Raises:
        httpx.TimeoutException: the time is over.
        httpx.ReadError: there is more to read than that.
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
    """A connection that obeys `bounded`."""

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
            self.close()  # httpcore closes it only where the handshake itself fails
            raise
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - as httpcore declares it
        return self._stream.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    """Connects as another backend does; the connections obey `bounded`."""

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


class Whole(httpx.BaseTransport):
    """Answers that are whole, unpacked and within the limits; anything else is an error."""

    def __init__(self, inner: httpx.BaseTransport, limits: Limits) -> None:
        self._transport = inner
        self._limits = limits

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and read its answer whole.

        Raises:
            UnusableAnswerError: it takes too long, is too large, or is packed otherwise.
            httpx.TransportError: it did not come, or not whole.
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
        """Close what really sends."""
        self._transport.close()

    def _pieces(self, response: httpx.Response) -> Iterator[bytes]:
        """Yield the body piece by piece, as long as it is not too large."""
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
    """Unpacks data that arrives in chunks; no more than a small piece of it at a time.

    Args:
        form: zlib's number for the form of the data (`wbits`); 31 is gzip.
    """

    def __init__(self, form: int = 31) -> None:
        self._form = form
        self._data: Any = None  # zlib's type has no public name

    @property
    def is_whole(self) -> bool:
        """Whether the data has come to its end, and to the checksum that goes with it."""
        return self._data is not None and bool(self._data.eof)

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """Yield what a chunk unpacks to; gzip data may follow gzip data.

        Raises:
            zlib.error: it is no such data.
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
    # HTTP's "deflate" is zlib's form; some servers leave its two first bytes out.
    return _ZLIB if chunk[0] & 0x0F == zlib.DEFLATED else -_ZLIB


def _inflate(encoding: str) -> Inflate | None:
    named = encoding.strip().lower()
    if named in {"", "identity"}:
        return None
    if named not in _FORMS:
        raise UnusableAnswerError("packed in a way that was not asked for")
    return Inflate(_FORMS[named])


# What is sent again


class Again(httpx.BaseTransport):
    """Sends a request again where that may help: the only place that does so for the tenant.

    That is where no whole answer came, and where the tenant answered 408, 429 or 5xx. A query
    that the tenant gave up on is not asked again as it is (Auth0: "refine your search
    criteria"). For how long to wait after a 429 is the pace's business.

    Args:
        inner: what sends, at the tenant's pace.
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
        """Send a request until there is a usable answer, or as often as the limits allow.

        Raises:
            NeverAnsweredError: no connection could be made from the start.
            SlowQueryError: the tenant gave up on a query.
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
                    continue  # the pace waits
                if not self._may_fail(begun, failures):
                    return response
            self._sleep(_pause(failures))
            failures += 1

    def close(self) -> None:
        """Close what really sends."""
        self._transport.close()

    def _sent(self, request: httpx.Request) -> httpx.Response:
        try:
            response = self._transport.handle_request(request)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            # Who has never answered is not there: to try again would only take longer to say so.
            if self._answered:
                raise
            raise NeverAnsweredError from error
        self._answered = True
        if response.status_code == _UNAVAILABLE and b"exceeded the timeout" in response.content:
            raise SlowQueryError("The tenant did not finish a query in time (HTTP 503).")
        return response

    def _may_fail(self, begun: float, failures: int) -> bool:
        """Whether a request that failed is sent once more."""
        elapsed = self._clock() - begun + _pause(failures)
        return failures + 1 < self._limits.attempts and elapsed < self._limits.patience


def _is_passing(response: httpx.Response) -> bool:
    status = response.status_code
    return status in (_TIMEOUT, _TOO_MANY) or status >= _SERVER_ERROR


def _pause(failures: int) -> float:
    return float(min(_FIRST_PAUSE * 2**failures, _LONGEST_PAUSE))
