"""Fetching one picture whose address was typed by a user. A bad picture never raises.

For the first address and for each redirect:

- the address passes `toolkit.images.address`, and the connection goes to the IP address that was
  checked. The name is not resolved again, so a second, different answer of DNS has no effect;
- https only, and never from https back to http, unless told;
- one time limit and one size limit over everything;
- no cookies, no credentials, no referrer, nothing from `.netrc`;
- a redirect may stay at the excepted address, never lead to it from outside.

A proxy resolves names itself, so a checked IP address would mean nothing: a name could lead to a
host of the proxy's own network. Where the system names a proxy for an address, it is therefore not
asked, unless `NO_PROXY` names its host, or `direct=True` bypasses the proxy.
"""

import logging
import re
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from urllib.parse import urljoin

import httpcore

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
from toolkit.images.limited_stream import bounded, limited, time_left
from toolkit.images.network_settings import UnusableSettingError, proxy_for, trusted

# httpcore's debug log holds addresses of redirects, which are personal data.
logging.getLogger("httpcore").setLevel(logging.WARNING)

SECONDS = 10.0
"""How long one picture may take in all, redirects included, unless told."""
MOST_BYTES = 5_000_000
"""How large one picture may be, unless told."""
MOST_REDIRECTS = 5

_PROXIED = (
    "the system names a proxy, behind which no IP address can be checked; NO_PROXY with the "
    "picture's host, or direct=True, goes past it"
)
_OK = 200
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_FORBIDDEN = frozenset({401, 403, 407, 451})
_GONE = frozenset({404, 410})
AGENT = f"auth0-picture-audit/{version('auth0-picture-audit')}"
"""What hosts of pictures, and Gravatar, are told about who asks."""

_ACCEPT = "image/png,image/jpeg,image/gif,image/webp,image/avif,image/*;q=0.8"
_MEDIA_TYPE = re.compile(r"[a-z0-9.+-]{1,40}/[a-z0-9.+-]{1,60}")


@dataclass(frozen=True, slots=True)
class Fetched:
    """The result of asking for one picture. Addresses and bytes are left out of `repr`.

    Attributes:
        outcome: the verdict.
        reason: the verdict in words; never repeats the address or what was answered.
        url: the address that answered, after redirects and in its canonical spelling, or None.
        status: the HTTP status of the last answer, or None.
        media_type: its `Content-Type`, lower case, or None.
        kind: the result of `toolkit.images.decode.kind_of`.
        body: the bytes; empty unless all of them arrived.
        redirects: redirects followed.
    """

    outcome: Outcome
    reason: str
    url: str | None = field(default=None, repr=False)
    status: int | None = None
    media_type: str | None = None
    kind: str | None = None
    body: bytes = field(default=b"", repr=False)
    redirects: int = 0


def fetch(
    url: str,
    *,
    exception: str | None = None,
    insecure: bool = False,
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
        direct: whether to bypass the system's proxy.
        seconds: the limit over everything, redirects included.
        most_bytes: the limit on the picture's size.
        resolve: what resolves names.
    """
    with bounded(seconds):
        for redirects in range(MOST_REDIRECTS + 1):
            address = askable(url, exception=exception, insecure=insecure)
            if isinstance(address, Refusal):
                found: Fetched | Refusal | str = address
            else:
                # Once outside, no redirect leads back to the exception.
                exception = exception if excepted(address, exception) else None
                found = _visit(address, exception, direct, most_bytes, resolve)
            if isinstance(found, Refusal):
                reason = f"it redirects, and there {found.reason}" if redirects else found.reason
                found = Fetched(found.outcome, reason)
            if isinstance(found, Fetched):
                return replace(found, redirects=redirects)
            url = found
    reason = f"more than {MOST_REDIRECTS} redirects"
    return Fetched(Outcome.ERROR, reason, redirects=MOST_REDIRECTS)


def _visit(
    address: Address, exception: str | None, direct: bool, most_bytes: int, resolve: Resolver
) -> Fetched | Refusal | str:
    """Ask one address; return the result, or the URL that it redirects to."""
    if why := _hindrance(address, bypass=direct or exception is not None):
        return Fetched(Outcome.NOT_ASKED, why)
    try:
        ips = located(address, exception=exception, resolve=resolve, seconds=time_left())
        return ips if isinstance(ips, Refusal) else _ask(address, ips, most_bytes)
    except httpcore.TimeoutException:
        return Fetched(Outcome.TOO_SLOW, "it did not arrive in time")
    except httpcore.ProtocolError:
        return Fetched(Outcome.ERROR, "the host's answer is not HTTP, or broke off")
    except httpcore.NetworkError as error:
        # httpcore's pool removes the cause, but not the argument.
        if any(isinstance(one, ssl.SSLCertVerificationError) for one in error.args):
            return Fetched(Outcome.UNREACHABLE, "its certificate is not valid for the host")
        return Fetched(Outcome.UNREACHABLE, "no connection to the host, or it broke off")


def _hindrance(address: Address, *, bypass: bool) -> str:
    """Say which setting of this machine keeps an address from being asked; "" if none."""
    try:
        if address.scheme == "https":
            trusted()
        return _PROXIED if not bypass and proxy_for(address.url) is not None else ""
    except UnusableSettingError as error:
        return str(error)


class _Checked(httpcore.NetworkBackend):
    """Connects to the IP addresses that were checked, whatever name is asked for."""

    def __init__(self, ips: Sequence[IP]) -> None:
        self._ips = ips

    def connect_tcp(
        self,
        host: str,  # noqa: ARG002 - it must not be resolved again
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        failure: Exception | None = None
        for number, ip in enumerate(self._ips):
            # One silent address must not use up the time of the others.
            left = time_left(timeout)
            share = None if left is None else left / (len(self._ips) - number)
            try:
                return httpcore.SyncBackend().connect_tcp(
                    str(ip), port, share, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore.ConnectError


def _ask(address: Address, ips: Sequence[IP], most_bytes: int) -> Fetched | str:
    url = httpcore.URL(
        scheme=address.scheme.encode(),
        host=address.host.encode(),
        port=address.port,
        target=address.target.encode(),
    )
    headers: dict[bytes | str, bytes | str] = {
        "Host": address.authority,
        "User-Agent": AGENT,
        "Accept": _ACCEPT,
        "Accept-Encoding": "identity",
        "Connection": "close",
    }
    tls = trusted() if address.scheme == "https" else None
    with (
        httpcore.ConnectionPool(ssl_context=tls, network_backend=limited(_Checked(ips))) as pool,
        pool.stream(b"GET", url, headers=headers) as response,
    ):
        return _read(address, response, most_bytes)


def _read(address: Address, response: httpcore.Response, most_bytes: int) -> Fetched | str:
    headers = {name.lower(): value for name, value in response.headers}
    if response.status in _REDIRECTS and b"location" in headers:
        try:
            return urljoin(address.url, headers[b"location"].decode("utf-8", "replace"))
        except ValueError:
            return Fetched(Outcome.ERROR, "it redirects to what is no address")
    said = headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
    media_type = said if _MEDIA_TYPE.fullmatch(said) else None
    answered = partial(Fetched, url=address.url, status=response.status, media_type=media_type)
    outcome, reason = _by_status(response.status)
    if outcome is not Outcome.SHOWS:
        return answered(outcome, reason)
    if headers.get(b"content-encoding", b"").strip().lower() not in {b"", b"identity"}:
        reason = "it came compressed, though that was not asked for; it was not unpacked"
        return answered(Outcome.ERROR, reason)
    body = _body(headers.get(b"content-length", b""), response, most_bytes)
    if body is None:
        return answered(Outcome.TOO_LARGE, f"it is larger than {most_bytes:,} bytes")
    kind = kind_of(body)
    outcome, reason = _by_content(kind, media_type, len(body))
    return answered(outcome, reason, kind=kind, body=body)


def _body(length: bytes, response: httpcore.Response, most_bytes: int) -> bytes | None:
    """Read the body, or stop and return None once it is too large."""
    if length.isdigit() and int(length[:20]) > most_bytes:
        return None
    body = bytearray()
    for chunk in response.iter_stream():
        body += chunk
        if len(body) > most_bytes:
            return None
    return bytes(body)


def _by_status(status: int) -> tuple[Outcome, str]:
    if status == _OK:
        return Outcome.SHOWS, "it loads"
    if status in _GONE:
        return Outcome.GONE, f"the host no longer has it (HTTP {status})"
    if status in _FORBIDDEN:
        return Outcome.FORBIDDEN, f"the host gives it only to some (HTTP {status})"
    return Outcome.ERROR, f"the host answered HTTP {status}"


def _by_content(kind: str | None, media_type: str | None, size: int) -> tuple[Outcome, str]:
    said = media_type or "no content type"
    if kind is None:
        return Outcome.NOT_IMAGE, f"what it returns is not an image ({said})"
    if kind == "heic":
        return Outcome.NOT_IMAGE, "it is HEIC, which few browsers show"
    if kind == "svg" and media_type != "image/svg+xml":
        return Outcome.NOT_IMAGE, f"it is SVG, which browsers show as image/svg+xml only ({said})"
    return Outcome.SHOWS, f"it loads ({kind.upper()}, {size:,} bytes)"
