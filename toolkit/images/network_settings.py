"""What the environment says about the network: proxies, and certificates to trust.

Proxies are found by httpx's own rules: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` in
upper or lower case, else the settings of Windows or macOS. What httpx cannot read, but curl or an
office's settings have, is accepted, too: an address without a scheme, `socks://`, `*.example.com`,
blanks between hosts, ports, and networks such as `10.0.0.0/8` in `NO_PROXY`. Loopback never goes to
a proxy.

Certificates: those that the system trusts, and those of `SSL_CERT_FILE` and `SSL_CERT_DIR`.
"""

import os
import re
import socket
import ssl
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.request import getproxies

import httpcore
import httpx
import truststore

# httpx has no public name for its rules, and applies them only where it makes the transport.
from httpx._utils import URLPattern, get_environment_proxies

from toolkit import system
from toolkit.images.address import is_loopback

_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}  # as httpcore takes them
_LAST_PORT = 65535
_BETWEEN = re.compile(r"[\s,;]+")
_WITH_PORT = re.compile(r"([^:\[\]]+|\[[^\[\]]*\]):([0-9]{1,5})", re.ASCII)
_PROXY_HOST = re.compile(r"[a-z0-9._:-]+", re.ASCII)  # as httpx writes it
_FILE, _FOLDER = "SSL_CERT_FILE", "SSL_CERT_DIR"
_HASHED = re.compile(r"[0-9a-fA-F]{8}\.[0-9]+")  # how OpenSSL names files in such a folder
_STATUS = re.compile(r"([1-5][0-9]{2})\b")
_WANTS_PASSWORD, _SERVER_ERROR = 407, 500
_HEAD = 4096  # bytes of a file by which its form is told
_LONGEST_NAME = 60  # characters of an authority's name that are shown
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER", "UNEXPECTED_MESSAGE", "PACKET")
# OpenSSL's codes (x509_vfy.h): not yet valid, expired; for another name or address.
_EXPIRED, _OTHER_HOST = frozenset({9, 10}), frozenset({62, 64})


class UnusableSettingError(ValueError):
    """A proxy or certificate that the environment names cannot be used; says what to do."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, and the variable that names it.

    Attributes:
        name: of the variable; or in words, where the system's settings name the proxy.
        url: its address, with the password if there is one.
        place: host and port, to be shown.
        has_password: whether the address names a user.
    """

    name: str
    url: str = field(repr=False)
    place: str
    has_password: bool

    def for_httpx(self) -> httpx.Proxy:
        """Return it as httpx takes it; a proxy that is reached by https is checked as any host."""
        tls = trusted() if self.url.startswith("https:") else None
        return httpx.Proxy(self.url, ssl_context=tls)


def proxy_for(url: str) -> Proxy | None:
    """Return the proxy for a URL, or None.

    Raises:
        UnusableSettingError: the proxy's address cannot be used, or a package is missing.
    """
    address = httpx.URL(url)
    if is_loopback(address.host) or _is_excluded(address):
        return None
    patterns = []
    for text, proxy in get_environment_proxies().items():
        # What cannot be read in NO_PROXY names no host.
        with suppress(httpx.InvalidURL):
            patterns.append((URLPattern(text.replace("://**.", "://*.")), proxy))
    for pattern, proxy in sorted(patterns, key=lambda one: one[0]):
        if pattern.matches(address):
            return None if proxy is None else _proxy(_variable(pattern.scheme or "all"), proxy)
    return None


def _is_excluded(address: httpx.URL) -> bool:
    """Whether `NO_PROXY` names a URL's host in a form that curl reads, and httpx does not."""
    port = address.port or _PORTS.get(address.scheme)
    for entry in _BETWEEN.split(getproxies().get("no", "").lower()):
        text = entry.strip("\"'").removesuffix("/").rstrip(".")
        named = _WITH_PORT.fullmatch(text)
        if named and int(named[2]) == port:
            text = named[1]
        with suppress(ValueError):
            if ip_address(address.host) in ip_network(text.strip("[]"), strict=False):
                return True
        name = text.removeprefix("*").removeprefix(".")
        if name and f".{address.host}".endswith(f".{name}"):
            return True
    return False


def _variable(scheme: str) -> str:
    """Return the name of the variable that names the proxy for a scheme."""
    wanted = f"{scheme}_proxy"
    names = [name for name, text in os.environ.items() if name.lower() == wanted and text]
    return max(names, default="the system's settings")  # lower case decides, and is the greatest


def _proxy(name: str, text: str) -> Proxy:
    # httpx puts http:// before what has no scheme, blanks and quotation marks included.
    text = re.sub(r"\A(https?://)?[\s\"']+|[\s\"']+\Z", r"\1", text)
    text = re.sub(r"\Asocks://", "socks5://", text, flags=re.IGNORECASE)
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL()
    port = url.port or _PORTS.get(url.scheme, 0)
    # A scheme as the host is a mistyped address, such as http:/proxy.
    wrong = url.host in _PORTS or not _PROXY_HOST.fullmatch(url.raw_host.decode())
    if wrong or url.scheme not in _PORTS or port > _LAST_PORT:
        raise UnusableSettingError(
            f"{name} is not the address of a proxy: write http://HOST:PORT, with a password "
            "http://NAME:PASSWORD@HOST:PORT (special characters as %40), or socks5://HOST:PORT."
        )
    if url.scheme.startswith("socks") and find_spec("socksio") is None:
        raise UnusableSettingError(
            f"{name} names a SOCKS proxy, which needs one more package: run "
            "`uv run --extra socks picture-audit …`, or pip install 'auth0-picture-audit[socks]'."
        )
    host = f"[{url.host}]" if ":" in url.host else url.host
    return Proxy(name, text, f"{host}:{port}", bool(url.userinfo))


def trusted() -> ssl.SSLContext:
    """Return the certificates to trust.

    Raises:
        UnusableSettingError: where `SSL_CERT_FILE` or `SSL_CERT_DIR` leads is no certificate.
    """
    # A truststore.SSLContext does one handshake at a time: each thread has its own.
    thread = 0 if _by_openssl() else threading.get_ident()
    return _certificates(os.environ.get(_FILE), os.environ.get(_FOLDER), thread)


@lru_cache(maxsize=64)
def _certificates(file: str | None, folder: str | None, _: int) -> ssl.SSLContext:
    context = _of_system()
    if file := _bare(file):
        what = f"{_FILE} names {file}"
        if os.path.isdir(file):  # noqa: PTH112 - Path's raises an error for a name that is too long
            raise UnusableSettingError(f"{what}, a folder: {_FOLDER} is the variable for folders.")
        _add(context, [Path(file)], what)
    if folder := _bare(folder):
        what, parts = f"{_FOLDER} names {folder}", folder.split(os.pathsep)
        if os.path.isfile(folder):  # noqa: PTH113 - likewise
            raise UnusableSettingError(f"{what}, a file: {_FILE} is the variable for one file.")
        _add(context, [one for part in parts for one in _files(Path(part))], what)
    return context


class _Handshake:
    """A handshake whose error about a certificate has the unknown authority's name, `authority`."""

    def do_handshake(self, *arguments: bool) -> None:
        try:
            super().do_handshake(*arguments)  # type: ignore[misc] # the other base class has it
        except ssl.SSLCertVerificationError as error:
            # Python has no public way to the certificates that were not trusted.
            shown = getattr(getattr(self, "_sslobj", None), "get_unverified_chain", list)() or [
                None
            ]
            described: dict[str, Any] = getattr(shown[-1], "get_info", dict)()
            error.authority = _name_of(described.get("issuer", ()))  # type: ignore[attr-defined]
            raise


class _Socket(_Handshake, ssl.SSLSocket):
    """A connection of a thread."""


class _Object(_Handshake, ssl.SSLObject):
    """A connection of asyncio, or inside of another one."""


def _name_of(issuer: Iterable[Iterable[tuple[str, str]]]) -> str:
    """Return the name in a certificate, of which anybody can have written anything; or ""."""
    parts = {name: text for some in issuer for name, text in some}
    names = (parts.get("commonName"), parts.get("organizationName"))
    text = next((one for one in names if one), "")
    return " ".join(re.sub(r"[^\w .,:()&*/'-]", " ", text[:_LONGEST_NAME]).split())


def _bare(path: str | None) -> str:
    """Return a path without what is copied along; no shell replaces the ~ in a file of settings."""
    return os.path.expanduser((path or "").strip(" \t\r\n\"'"))  # noqa: PTH111 - never an error


@lru_cache(maxsize=1)
def _by_openssl() -> bool:
    """Whether OpenSSL itself finds the system's certificates, as on most Linux systems.

    truststore would do the same, but read them again for each connection, some 20 ms each time.
    """
    places = ssl.get_default_verify_paths()
    folder = Path(places.openssl_capath)
    hashed = any(_HASHED.fullmatch(one.name) for one in _files(folder))
    found = hashed or Path(places.openssl_cafile).is_file()
    return found and system.CERTIFICATES_IN_FILES


def _of_system() -> ssl.SSLContext:
    """Return the system's certificates; to OpenSSL, the environment's would replace them."""
    if not _by_openssl():
        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context, places = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.get_default_verify_paths()
    context.sslsocket_class, context.sslobject_class = _Socket, _Object
    with suppress(OSError):
        context.load_verify_locations(places.openssl_cafile)
    with suppress(OSError):
        context.load_verify_locations(capath=places.openssl_capath)
    return context


def _files(folder: Path) -> list[Path]:
    with suppress(OSError):
        return [one for one in sorted(folder.iterdir()) if one.is_file()]
    return []


def _add(context: ssl.SSLContext, files: list[Path], what: str) -> None:
    """Trust the certificates in some files; some of the files may hold none."""
    if not any(os.path.exists(one) for one in files):  # noqa: PTH110 - never an error
        raise UnusableSettingError(
            f"{what}, where there is no file: correct the path, or unset it."
        )
    good = 0
    for one in files:
        with suppress(OSError):  # also ssl.SSLError: no certificate in it
            context.load_verify_locations(one)
            good += 1
    if not good:
        raise UnusableSettingError(
            f"{what}, where no certificate can be read: {_wrong_form(files)}"
        )


def _wrong_form(files: list[Path]) -> str:
    """Say what files without a readable certificate are, and what to do."""
    begins = b""
    with suppress(OSError), files[0].open("rb") as file:
        begins = file.read(_HEAD)
    if not begins.strip():
        return "the file is empty."
    if begins.startswith(b"\x30"):  # ASN.1: a sequence
        return (
            "it seems to be in the form DER. Convert it with `openssl x509 -inform der -in FILE "
            "-out NEW.pem` (.p12 or .pfx: `openssl pkcs12 -nokeys -in FILE -out NEW.pem`)."
        )
    if b"PRIVATE KEY-----" in begins and b"BEGIN CERTIFICATE-----" not in begins:
        return "it is a private key. Name the file with the authority's certificate instead."
    if b"BEGIN PKCS7-----" in begins:
        return "convert it with `openssl pkcs7 -print_certs -in FILE -out NEW.pem`."
    return "it must be PEM, complete, with lines -----BEGIN CERTIFICATE-----."


def connection_failure(error: BaseException, url: str) -> str | None:
    """Say in words why there is no connection to a URL, and what to do; None if it is not known."""
    host, errors = httpx.URL(url).host, list(_causes(error))
    proxy = proxy_for(url)
    through = next((one for one in errors if isinstance(one, httpx.ProxyError)), None)
    at_proxy = proxy if through is not None else None
    reached = not any(isinstance(one, httpx.ConnectError | httpx.ConnectTimeout) for one in errors)
    for one in errors:
        if isinstance(one, ssl.SSLCertVerificationError):
            return _certificate_words(one, at_proxy.place if at_proxy else host)
    if at_proxy is not None:
        is_silent = any(isinstance(one, httpcore.ReadTimeout) for one in errors)
        return _proxy_words(str(through), at_proxy, host, reached=reached, silent=is_silent)
    if broken := next((one for one in errors if isinstance(one, ssl.SSLError)), None):
        return _tls_words(broken.reason or "", host, proxy)
    if any(isinstance(one, socket.gaierror) for one in errors):
        return (
            f"No host {host} is known here: check the name, its region included, and whether this "
            "network needs a proxy (HTTPS_PROXY)."
        )
    if proxy is not None and not reached:
        return _tls_words("CONNECTION_LOST", host, proxy)
    return None


def _tls_words(reason: str, host: str, proxy: Proxy | None) -> str:
    what = "something answers, but not with TLS"
    if reason and not any(one in reason for one in _NO_TLS):
        what = f"the TLS connection cannot be made ({reason[:60]})"
    if proxy is not None:
        return (
            f"Through the proxy {proxy.place} ({proxy.name}), in place of {host} {what}: ask those "
            f"who run the proxy, or name {host} in NO_PROXY if it can be reached without."
        )
    return (
        f"At {host} {what}: check the address, its port included, and whether this network needs a "
        "proxy (HTTPS_PROXY)."
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that led to it; httpcore keeps some only as an argument."""
    seen: list[BaseException] = []
    waiting = [error]
    while waiting:
        one = waiting.pop(0)
        if not any(one is other for other in seen):
            seen.append(one)
            yield one
            led = (one.__cause__, one.__context__, *one.args)
            waiting += [other for other in led if isinstance(other, BaseException)]


def _certificate_words(error: ssl.SSLCertVerificationError, host: str) -> str:
    code, text = getattr(error, "verify_code", 0), str(error).lower()
    if code in _EXPIRED or "expired" in text:
        return (
            f"The certificate of {host} has expired, or is not valid yet: check this computer's "
            f"clock; if it is right, those who run {host} must renew the certificate."
        )
    if code in _OTHER_HOST or "mismatch" in text:
        return (
            f"The certificate that {host} shows is for another host: check the address; if it is "
            "right, something else answers in its place."
        )
    named = getattr(error, "authority", "")
    who = f"“{named}”, an authority" if named else "an authority"
    return (
        f"The certificate of {host} is signed by {who} that this computer does not trust: "
        f"if an office's proxy signs it, set {_FILE} to that authority's certificate (PEM)"
        f"{'; the one named there now did not sign it' if os.environ.get(_FILE) else ''}."
    )


def _proxy_words(text: str, proxy: Proxy, host: str, *, reached: bool, silent: bool) -> str:
    found = _STATUS.match(text)
    status = int(found[1]) if found else 0
    name = f"The proxy {proxy.place} ({proxy.name})"
    if status == _WANTS_PASSWORD and proxy.has_password:
        return (
            f"{name} does not accept the name and password that stand there (HTTP 407): check "
            "them; special characters are written as %40. A sign-in by NTLM or Kerberos cannot be "
            "used: ask those who run it for another way."
        )
    if status == _WANTS_PASSWORD:
        return (
            f"{name} wants a name and password (HTTP 407): write it as "
            f"http://NAME:PASSWORD@{proxy.place}."
        )
    if status >= _SERVER_ERROR:
        return f"{name} cannot reach {host} now (HTTP {status}): check the address, or try later."
    if status:
        return (
            f"{name} does not let anybody reach {host} (HTTP {status}): ask those who run it to "
            "allow that host, or name it in NO_PROXY if it can be reached without."
        )
    what = "does not answer as a proxy does" if reached else "cannot be reached"
    if silent:
        what = "takes connections, but does not answer"
    if proxy.url.startswith("https:"):
        what += " (https:// is right only where the proxy itself speaks TLS; most want http://)"
    return (
        f"{name} {what}: check its address, or name {host} in NO_PROXY if that can be reached "
        "without."
    )
