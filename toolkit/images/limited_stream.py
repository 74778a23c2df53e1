"""Connections of httpcore with one limit on time and size over all that a thread sends and reads.

httpx limits single reads only. It never ends a head, a body or a series of `100 Continue` that
arrives one byte at a time, or without end.
"""

import math
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpcore

_SLICE = 0.5  # how often a thread that reads checks whether it should stop, in seconds


class TooLargeError(httpcore.ReadError):
    """The answer is larger than allowed."""


class StoppedError(Exception):
    """The result that this thread waits for is no longer needed."""


class _Bound(threading.local):
    """Until when this thread may read, and how many bytes."""

    until: float | None = None
    octets: float = 0
    stop: threading.Event | None = None


_bound = _Bound()


@contextmanager
def bounded(seconds: float, octets: float = math.inf) -> Iterator[None]:
    """Limit all that this thread sends and reads in this block, through a backend of `limited`.

    After that time httpx raises TimeoutException, after so many bytes ReadError.
    """
    before = _bound.until, _bound.octets
    until = time.monotonic() + seconds
    _bound.until = until if before[0] is None else min(before[0], until)
    _bound.octets = octets
    try:
        yield
    finally:
        _bound.until, _bound.octets = before


@contextmanager
def stopping(stop: threading.Event) -> Iterator[None]:
    """Raise StoppedError in each wait of this thread as soon as an event is set."""
    before, _bound.stop = _bound.stop, stop
    try:
        yield
    finally:
        _bound.stop = before


def pause(seconds: float) -> None:
    """Wait that many seconds; raise StoppedError if the event of `stopping` is set."""
    if _bound.stop is None:
        time.sleep(seconds)
    elif _bound.stop.wait(seconds):
        raise StoppedError


def time_left(timeout: float | None = None) -> float | None:
    """Return the seconds that this thread may still use, at most `timeout`; None for no limit.

    Raises ReadTimeout if there are none.
    """
    if _bound.until is None:
        return timeout
    left = _bound.until - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the time is over")
    return left if timeout is None else min(timeout, left)


class _Stream(httpcore.NetworkStream):
    """A connection with the limits of `bounded`.

    `silence` is the timeout of what is read without one: httpcore has none for a SOCKS proxy.
    """

    def __init__(self, stream: httpcore.NetworkStream, silence: float | None = None) -> None:
        self._stream = stream
        self._silence = silence

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        timeout = self._silence if timeout is None else timeout
        data = self._read(max_bytes, time_left(timeout))
        if _bound.until is not None:
            _bound.octets -= len(data)
            if _bound.octets < 0:
                raise TooLargeError
        return data

    def _read(self, max_bytes: int, timeout: float | None) -> bytes:
        if _bound.stop is None or timeout is None:
            return self._stream.read(max_bytes, timeout)
        until = time.monotonic() + timeout
        while True:
            left = max(0.001, until - time.monotonic())
            try:
                return self._stream.read(max_bytes, min(_SLICE, left))
            except httpcore.ReadTimeout:
                if time.monotonic() >= until:
                    raise
            if _bound.stop.is_set():
                raise StoppedError

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, time_left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        try:
            left = time_left(timeout)
        except httpcore.TimeoutException:
            self.close()  # httpcore closes it only if the handshake itself fails
            raise
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - as httpcore declares it
        return self._stream.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
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
        left = time_left(timeout)
        stream = self._backend.connect_tcp(host, port, left, local_address, socket_options)
        return _Stream(stream, silence=timeout)


def limited(backend: httpcore.NetworkBackend) -> httpcore.NetworkBackend:
    """Return a backend that connects as this one does, with the limits of `bounded`."""
    return _Backend(backend)
