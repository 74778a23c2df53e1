"""Fetching one picture whose address was typed by a user. A bad picture never raises.

What holds on every hop, the first and each redirect:

- the address passes `toolkit.images.address`, and the connection goes to the very IP
  address that was checked. The name is not resolved again, so a name that answers
  differently the second time gains nothing. TLS and the Host header keep the name;
- https only, and never from https back to http, unless told;
- one time limit over everything, so that nobody can hold the line by sending a byte now
  and then, and one size limit, at which reading stops;
- no cookies, no credentials, no referrer, nothing from `.netrc`; the environment says only
  which certificates to trust and whether there is a proxy;
- a redirect may stay at the excepted address, never lead to it from outside.

Behind a proxy the proxy resolves names, so a checked IP address would mean nothing. Where
the system names a proxy for an address, it is therefore not asked, and the reason says so,
unless `direct=True`: then the connection goes past the proxy, to the checked IP address.
"""

import logging
import os
import re
import ssl
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.metadata import version
from typing import Any
from urllib.parse import urljoin
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx

from toolkit.images.address import (
    IP,
    Address,
    Outcome,
    Refusal,
    Resolver,
    askable,
    by_dns,
    excepted,
    located,
)
from toolkit.images.decode import kind_of

# httpcore's debug log holds addresses of redirects, which are personal data.
logging.getLogger("httpcore").setLevel(logging.WARNING)

SECONDS = 10.0
"""How long one picture may take in all, redirects included, unless told."""
MOST_BYTES = 5_000_000
"""How large one picture may be, unless told."""
MOST_REDIRECTS = 5

_PROXIED = (
    "the system names a proxy, behind which no IP address can be checked; direct=True goes past it"
)
_OK = 200
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_FORBIDDEN = frozenset({401, 403, 407, 451})
_GONE = frozenset({404, 410})
_ACCEPT = "image/png,image/jpeg,image/gif,image/webp,image/avif,image/*;q=0.8"
_MEDIA_TYPE = re.compile(r"[a-z0-9.+-]{1,40}/[a-z0-9.+-]{1,60}")


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came of asking for one picture. Addresses and bytes are left out of `repr`.

    Attributes:
        outcome: the verdict.
        reason: the verdict in words; never repeats the address or what was answered.
        url: the address that answered, after redirects and in its canonical spelling; or
            None if none did.
        status: the HTTP status of the last answer, or None.
        media_type: what the answer says it is, lower case, or None.
        kind: what its first bytes say it is: `png`, `jpeg`, `gif`, `webp`, `avif`,
            `heic`, `bmp`, `ico`, `svg`; or None.
        body: the bytes; empty unless all of them arrived.
        redirects: redirects followed.
        elapsed: seconds it took.
    """

    outcome: Outcome
    reason: str
    url: str | None = field(default=None, repr=False)
    status: int | None = None
    media_type: str | None = None
    kind: str | None = None
    body: bytes = field(default=b"", repr=False)
    redirects: int = 0
    elapsed: float = 0.0

    @property
    def size(self) -> int:
        """Bytes received."""
        return len(self.body)


def fetch(
    url: str,
    *,
    exception: str | None = None,
    insecure: bool = False,
    any_port: bool = False,
    direct: bool = False,
    seconds: float = SECONDS,
    most_bytes: int = MOST_BYTES,
    resolve: Resolver = by_dns,
) -> Fetched:
    """Fetch one picture, by the rules at the head of this module.

    Args:
        url: what the user typed.
        exception: the one base URL that may be on loopback: the embedded tenant's.
        insecure: whether http may be asked too.
        any_port: whether ports other than 443 and 80 may be asked too.
        direct: whether to go past the system's proxy where it names one.
        seconds: the limit over everything, redirects included.
        most_bytes: the limit on the picture's size.
        resolve: what resolves names.

    Returns:
        The picture, or in words why there is none.
    """
    errand = _Errand(exception, insecure, any_port, direct, most_bytes, resolve, _Clock(seconds))
    fetched = errand.run(url)
    return replace(fetched, elapsed=errand.clock.elapsed)


class _Clock:
    """The time left of one limit over everything."""

    def __init__(self, seconds: float) -> None:
        self._started = time.monotonic()
        self._seconds = seconds

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._started

    def left(self) -> float:
        """Return the seconds left.

        Raises:
            httpcore.TimeoutException: There are none.
        """
        left = self._seconds - self.elapsed
        if left <= 0:
            raise httpcore.TimeoutException
        return left


class _DistrustError(httpcore.ConnectError):
    """The host's certificate does not vouch for its name."""


class _Line(httpcore.NetworkStream):
    """A connection on which no single read or write waits past the limit."""

    def __init__(self, stream: httpcore.NetworkStream, clock: _Clock) -> None:
        self._stream = stream
        self._clock = clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - the clock's holds
        return self._stream.read(max_bytes, self._clock.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002 - the clock's holds
        self._stream.write(buffer, self._clock.left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002 - the clock's holds
    ) -> httpcore.NetworkStream:
        try:
            left = self._clock.left()
        except httpcore.TimeoutException:
            self.close()  # httpcore closes it only where the handshake itself fails
            raise
        try:
            stream = self._stream.start_tls(ssl_context, server_hostname, left)
        except httpcore.ConnectError as error:
            # httpcore's pool cuts the cause off before the error arrives.
            if isinstance(error.__cause__, ssl.SSLCertVerificationError):
                raise _DistrustError from error
            raise
        return _Line(stream, self._clock)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - as httpcore declares it
        return self._stream.get_extra_info(info)


class _Checked(httpcore.NetworkBackend):
    """Connects to the IP addresses that were checked, whatever name is asked for."""

    def __init__(self, ips: Sequence[IP], clock: _Clock) -> None:
        self._ips = ips
        self._clock = clock

    def connect_tcp(
        self,
        host: str,  # noqa: ARG002 - resolving it again is what must not happen
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the clock's holds
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        backend = httpcore.SyncBackend()
        failure: Exception | None = None
        for number, ip in enumerate(self._ips):
            # One silent address must not use up the time of the others.
            share = self._clock.left() / (len(self._ips) - number)
            try:
                stream = backend.connect_tcp(str(ip), port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _Line(stream, self._clock)
        raise failure or httpcore.ConnectError


@dataclass(frozen=True, slots=True)
class _Moved:
    """Where an answer redirects to, as it says."""

    target: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Errand:
    """One picture being fetched."""

    exception: str | None
    insecure: bool
    any_port: bool
    direct: bool
    most_bytes: int
    resolve: Resolver
    clock: _Clock

    def run(self, url: str) -> Fetched:
        exception = self.exception
        for redirects in range(MOST_REDIRECTS + 1):
            address = askable(
                url, exception=exception, insecure=self.insecure, any_port=self.any_port
            )
            if isinstance(address, Refusal):
                return _refused(address, redirects)
            if not excepted(address, exception):
                exception = None  # whoever is outside cannot send us back in
            answer = self._visit(address, exception, redirects)
            if isinstance(answer, Fetched):
                return replace(answer, redirects=redirects)
            try:
                url = urljoin(address.url, answer.target)
            except ValueError:
                return Fetched(
                    Outcome.ERROR, "it redirects to what is no address", redirects=redirects
                )
        reason = f"more than {MOST_REDIRECTS} redirects"
        return Fetched(Outcome.ERROR, reason, redirects=MOST_REDIRECTS)

    def _visit(self, address: Address, exception: str | None, redirects: int) -> Fetched | _Moved:
        if exception is None and not self.direct and _proxied(address):
            return Fetched(Outcome.NOT_ASKED, _PROXIED)
        try:
            ips = located(
                address, exception=exception, resolve=self.resolve, seconds=self.clock.left()
            )
            return _refused(ips, redirects) if isinstance(ips, Refusal) else self._ask(address, ips)
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
            return _failed(error)

    def _ask(self, address: Address, ips: Sequence[IP]) -> Fetched | _Moved:
        url = httpcore.URL(
            scheme=address.scheme.encode(),
            host=address.host.encode(),
            port=address.port,
            target=address.target.encode(),
        )
        headers: dict[bytes | str, bytes | str] = {
            "Host": address.authority,
            "User-Agent": f"auth0-picture-audit/{version('auth0-picture-audit')}",
            "Accept": _ACCEPT,
            "Accept-Encoding": "identity",
            "Connection": "close",
        }
        tls = _tls() if address.scheme == "https" else None
        backend = _Checked(ips, self.clock)
        with (
            httpcore.ConnectionPool(ssl_context=tls, network_backend=backend) as pool,
            pool.stream(b"GET", url, headers=headers) as response,
        ):
            return self._read(address, response)

    def _read(self, address: Address, response: httpcore.Response) -> Fetched | _Moved:
        headers = {name.lower(): value for name, value in response.headers}
        status = response.status
        if status in _REDIRECTS and b"location" in headers:
            return _Moved(headers[b"location"].decode("utf-8", "replace"))
        said = headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
        heard = Fetched(
            *_by_status(status),
            url=address.url,
            status=status,
            media_type=said if _MEDIA_TYPE.fullmatch(said) else None,
        )
        if heard.outcome is not Outcome.SHOWS:
            return heard
        if headers.get(b"content-encoding", b"identity").strip().lower() not in {b"", b"identity"}:
            reason = "it came compressed, though that was not asked for; it was not unpacked"
            return replace(heard, outcome=Outcome.ERROR, reason=reason)
        body = self._body(headers.get(b"content-length", b""), response)
        if body is None:
            reason = f"it is larger than {self.most_bytes:,} bytes"
            return replace(heard, outcome=Outcome.TOO_LARGE, reason=reason)
        heard = replace(heard, body=body, kind=kind_of(body))
        outcome, reason = _by_content(heard)
        return replace(heard, outcome=outcome, reason=reason)

    def _body(self, length: bytes, response: httpcore.Response) -> bytes | None:
        """Read the body, or stop and return None once it is too large."""
        if length.isdigit() and int(length[:20]) > self.most_bytes:
            return None
        body = bytearray()
        for chunk in response.iter_stream():
            body += chunk
            if len(body) > self.most_bytes:
                return None
        return bytes(body)


def _failed(error: Exception) -> Fetched:
    if isinstance(error, httpcore.TimeoutException):
        return Fetched(Outcome.TOO_SLOW, "it did not arrive in time")
    if isinstance(error, _DistrustError):
        return Fetched(Outcome.UNREACHABLE, "its certificate does not vouch for the host")
    if isinstance(error, httpcore.ProtocolError):
        return Fetched(Outcome.ERROR, "the host's answer is not HTTP, or broke off")
    return Fetched(Outcome.UNREACHABLE, "no connection to the host, or it broke off")


def _by_status(status: int) -> tuple[Outcome, str]:
    if status == _OK:
        return Outcome.SHOWS, "it loads"
    if status in _GONE:
        return Outcome.GONE, f"the host no longer has it (HTTP {status})"
    if status in _FORBIDDEN:
        return Outcome.FORBIDDEN, f"the host gives it only to some (HTTP {status})"
    return Outcome.ERROR, f"the host answered HTTP {status}"


def _by_content(heard: Fetched) -> tuple[Outcome, str]:
    said = heard.media_type or "no content type"
    if heard.kind is None:
        return Outcome.NOT_IMAGE, f"what it returns is not an image ({said})"
    if heard.kind == "heic":
        return Outcome.NOT_IMAGE, "it is HEIC, which few browsers show"
    if heard.kind == "svg" and heard.media_type != "image/svg+xml":
        return Outcome.NOT_IMAGE, f"it is SVG, which browsers show as image/svg+xml only ({said})"
    return Outcome.SHOWS, f"it loads ({heard.kind.upper()}, {heard.size:,} bytes)"


def _refused(refusal: Refusal, redirects: int = 0) -> Fetched:
    reason = f"it redirects, and there {refusal.reason}" if redirects else refusal.reason
    return Fetched(refusal.outcome, reason, redirects=redirects)


def _proxied(address: Address) -> bool:
    proxies = getproxies()
    named = proxies.get(address.scheme) or proxies.get("all")
    return bool(named) and not proxy_bypass(address.host)


def _tls() -> ssl.SSLContext:
    """Trust what the rest of the toolkit trusts."""
    return _trusting(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@lru_cache(maxsize=4)
def _trusting(_file: str | None, _directory: str | None) -> ssl.SSLContext:
    # httpx reads both variables itself; they are named so that a change is noticed.
    return httpx.create_ssl_context()
