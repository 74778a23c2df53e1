"""Which addresses may be asked for a picture, when the address was typed by a user.

Anyone who can edit a profile could make this machine send a request, so only addresses on the
public internet are asked. An address is parsed once, as browsers parse it (WHATWG URL: backslashes
are slashes, hosts may be percent-encoded, in another script, or IPv4 numbers in decimal, octal or
hex). Every check and the request itself use the same parts.

One address may be excepted: the embedded tenant's own, on loopback.
"""

import queue
import re
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import quote, unquote

import idna

IP = IPv4Address | IPv6Address
Resolver = Callable[[str, int], Sequence[str]]
"""A host name and a port to every IP address of that name, as text. `OSError`: none."""


class Outcome(StrEnum):
    """The result of asking for one picture."""

    SHOWS = "shows"
    NOT_IMAGE = "not an image"
    GONE = "gone"
    FORBIDDEN = "forbidden"
    ERROR = "host error"
    TOO_LARGE = "too large"
    TOO_SLOW = "too slow"
    UNREACHABLE = "unreachable"
    INSECURE = "insecure"
    REFUSED = "refused address"
    NOT_URL = "not a URL"
    NOT_ASKED = "not asked"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an address is not asked; the reason in words never repeats the address."""

    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True)
class Address:
    """The parts of an http(s) URL, in ASCII and percent-encoded, as they would be sent.

    `host` is lower case, without a final dot or brackets; in `path`, `.` and `..` are resolved;
    `query` and `fragment` are None without `?` and `#`; `credentials` says whether there is an `@`.
    What may name a person is left out of `repr`.
    """

    scheme: str
    host: str
    port: int
    path: str = field(repr=False)
    query: str | None = field(repr=False)
    fragment: str | None = field(repr=False)
    credentials: bool

    @property
    def default_port(self) -> bool:
        """Whether the port is the scheme's own."""
        return self.port == PORTS[self.scheme]

    @property
    def authority(self) -> str:
        """Host and port as a Host header names them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.default_port else f"{host}:{self.port}"

    @property
    def target(self) -> str:
        """Path and query."""
        return self.path if self.query is None else f"{self.path}?{self.query}"

    @property
    def url(self) -> str:
        """The URL in its one canonical spelling, without credentials and fragment."""
        return f"{self.scheme}://{self.authority}{self.target}"


PORTS = {"http": 80, "https": 443}
_BLANKS = "".join(map(chr, range(0x21)))
_LINE_BREAKS = str.maketrans("", "", "\t\n\r")
_URL = re.compile(
    r"(https?):[/\\]{2}([^/?#\\]*)([^?#]*)(?:\?([^#]*))?(?:#(.*))?",
    re.ASCII | re.IGNORECASE | re.DOTALL,  # or the long s would be one of "https"
)
_PLACE = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::([0-9]*))?", re.DOTALL)
# Browsers would take quotes and braces in a host too; no host on the internet has any.
_NAME = re.compile(r"[a-z0-9._-]+")
_LONGEST_HOST, _LONGEST_LABEL = 253, 63
_PORT = re.compile(r"0*([0-9]{1,5})")
_LAST_PORT = 65535
# A host whose last label looks like a number is an IPv4 address or nothing (WHATWG URL).
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
# Quotes, backticks, braces and angle brackets are always encoded, so that an address cannot end a
# string or begin a tag.
_KEPT = "/%:@!$&()*+,;=~"

# Names of the local network, or that no public DNS server knows (RFC 6761, RFC 6762, RFC 8375,
# RFC 9476 and habit).
_LOCAL_NAMES = (
    "localhost local localdomain internal intranet private lan home corp home.arpa "
    "test invalid onion alt"
).split()

# IANA's special-purpose registries (RFC 6890 and its updates), smaller networks before the larger
# ones that contain them. `ipaddress.is_global` alone differs between Python releases and calls some
# wrapped private addresses global.
_REFUSED = tuple(
    (ip_network(network), why)
    for why, networks in {
        "is the unspecified address": "0.0.0.0/8 ::/128",
        "is private": "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7 fec0::/10",
        "is private to a provider's network": "100.64.0.0/10",
        "is this machine itself (loopback)": "127.0.0.0/8 ::1/128",
        "is a cloud's metadata service": "168.63.129.16/32",
        "is link-local, where clouds serve their credentials": "169.254.0.0/16",
        "is link-local": "fe80::/10",
        "is for documentation": (
            "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8::/32 3fff::/20"
        ),
        "is for benchmarks": "198.18.0.0/15",
        "is multicast": "224.0.0.0/4 ff00::/8",
        "is broadcast": "255.255.255.255/32",
        "wraps an IPv4 address in an IPv6 one": (
            "::ffff:0:0/96 ::/96 64:ff9b:1::/48 2001::/32 2002::/16"
        ),
        "is reserved": "192.0.0.0/24 192.88.99.0/24 240.0.0.0/4 2001::/23",
    }.items()
    for network in networks.split()
)
# Networks without IPv4 reach it through this prefix (RFC 6052): DNS64 answers with it.
_NAT64 = ip_network("64:ff9b::/96")
_UNICAST = ip_network("2000::/3")


def parsed(url: str) -> Address | Refusal:
    """Parse a URL as a browser would. Never raises."""
    match = _URL.fullmatch(url.strip(_BLANKS).translate(_LINE_BREAKS))
    if match is None:
        return Refusal(Outcome.NOT_URL, "it is not an absolute http or https URL")
    scheme, authority, path, query, fragment = match.groups()
    scheme = scheme.lower()
    _, at, place = authority.rpartition("@")
    parts = _PLACE.fullmatch(place)
    host = _host(parts[1]) if parts else None
    if parts is None or host is None:
        return Refusal(Outcome.NOT_URL, "its host is none that a browser could find")
    port = port_of(parts[2]) if parts[2] else PORTS[scheme]
    if not port:
        return Refusal(Outcome.NOT_URL, "its port is not a number from 1 to 65535")
    path = _resolved(quote(path.replace("\\", "/"), safe=_KEPT, errors="replace"))
    query = None if query is None else quote(query, safe=f"{_KEPT}?", errors="replace")
    return Address(scheme, host, port, path, query, fragment, bool(at))


def host_refusal(host: str) -> str | None:
    """Say why a host is refused, judging by its name or number; None if it is not."""
    with suppress(ValueError):
        return ip_refusal(ip_address(host))
    if any(host == name or host.endswith(f".{name}") for name in _LOCAL_NAMES):
        return "its host is a name of the local network"
    return None if "." in host else "its host has no domain: only a local network knows it"


def ip_refusal(ip: IP) -> str | None:
    """Say why an IP address is refused; None if it is one host on the public internet."""
    if isinstance(ip, IPv6Address) and ip in _NAT64:
        return ip_refusal(IPv4Address(int(ip) & 0xFFFF_FFFF))
    for network, why in _REFUSED:
        if ip in network:
            return f"its IP address {why}"
    public = ip.is_global and not ip.is_multicast and not ip.is_reserved
    if not public or (isinstance(ip, IPv6Address) and ip not in _UNICAST):
        return "its IP address is not on the public internet"
    return None


def excepted(address: Address, exception: str | None) -> bool:
    """Whether an address has exactly the scheme, host and port of the exception."""
    allowed = parsed(exception) if exception else None
    return isinstance(allowed, Address) and (
        (address.scheme, address.host, address.port) == (allowed.scheme, allowed.host, allowed.port)
    )


def askable(url: str, *, exception: str | None = None, insecure: bool = False) -> Address | Refusal:
    """Return the parts of a URL, or why it may not be asked, judging by its text.

    `exception` is the one base URL to which the rules of scheme, port and host do not apply: the
    embedded tenant's. `insecure` allows http.
    """
    address = parsed(url)
    if isinstance(address, Refusal):
        return address
    if address.credentials:
        return Refusal(Outcome.REFUSED, "it carries credentials (something before an @)")
    if excepted(address, exception):
        return address
    why = host_refusal(address.host)
    if why is None and not address.default_port:
        why = "its port is not the standard one"
    if why is not None:
        return Refusal(Outcome.REFUSED, why)
    if address.scheme == "http" and not insecure:
        return Refusal(Outcome.INSECURE, "it is http, which anybody on the way can read and change")
    return address


def by_dns(host: str, port: int) -> Sequence[str]:
    """Resolve a name as this machine does; raise OSError if there is no answer."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(place[0]) for *_, place in found))


def located(
    address: Address,
    *,
    exception: str | None = None,
    resolve: Resolver = by_dns,
    seconds: float | None,
) -> tuple[IP, ...] | Refusal:
    """Resolve the host of an askable address, once, and check every IP address it has.

    One refused IP address refuses them all: a name with a public and a private address is an
    attack. Connect only to what is returned; resolving the name again may give another answer.
    The IP addresses of an `exception` must be loopback.
    """
    try:
        ips: tuple[IP, ...] | Refusal = (ip_address(address.host),)
    except ValueError:
        ips = _within(seconds, resolve, address)
    if isinstance(ips, Refusal):
        return ips
    if excepted(address, exception) and all(ip.is_loopback for ip in ips):
        return ips
    reasons = [why for ip in ips if (why := ip_refusal(ip))]
    return Refusal(Outcome.REFUSED, reasons[0]) if reasons else ips


def _within(seconds: float | None, resolve: Resolver, address: Address) -> tuple[IP, ...] | Refusal:
    """Resolve in a daemon thread: the system's resolver has no time limit, and may hang."""
    answers: queue.SimpleQueue[tuple[IP, ...] | Refusal] = queue.SimpleQueue()

    def ask() -> None:
        try:
            ips = tuple(ip_address(text) for text in resolve(address.host, address.port))
        except (OSError, ValueError):  # ValueError: labels that DNS cannot carry
            ips = ()
        answers.put(ips or Refusal(Outcome.UNREACHABLE, "DNS knows no such host"))

    threading.Thread(target=ask, name="resolve", daemon=True).start()
    try:
        return answers.get(timeout=seconds)
    except queue.Empty:
        return Refusal(Outcome.TOO_SLOW, "DNS did not answer in time")


def _host(text: str) -> str | None:
    """Return a host in its canonical spelling, or None if browsers would not accept it."""
    return _ipv6(text[1:-1]) if text.startswith("[") else _name(unquote(text))


def _ipv6(text: str) -> str | None:
    try:
        return None if "%" in text else IPv6Address(text).compressed  # a zone is no part of it
    except ValueError:
        return None


def _name(name: str) -> str | None:
    if len(name) > _LONGEST_HOST:
        return None
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except UnicodeError:
            return None
    name = name.lower().removesuffix(".")
    fits = all(0 < len(label) <= _LONGEST_LABEL for label in name.split("."))
    if not fits or not _NAME.fullmatch(name):
        return None
    if not _NUMBER.fullmatch(name.rpartition(".")[2]):
        return name
    try:
        # One to four numbers, each decimal, octal or hex; the last fills what is left.
        return str(IPv4Address(socket.inet_aton(name)))
    except OSError:
        return None


def _resolved(path: str) -> str:
    """Resolve `.` and `..`, percent-encoded or not, as browsers do before they ask."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for number, segment in enumerate(segments):
        plain = segment.lower().replace("%2e", ".")
        if plain == "..":
            del kept[-1:]
        elif plain != ".":
            kept.append(segment)
            continue
        if number == len(segments) - 1:
            kept.append("")
    return "/" + "/".join(kept)


def port_of(text: str) -> int | None:
    """Read a port, 0 to 65535, as browsers do; None where it is none, as with a sign or blank."""
    digits = _PORT.fullmatch(text)
    port = int(digits[1]) if digits else _LAST_PORT + 1
    return port if port <= _LAST_PORT else None


def split(authority: str) -> tuple[str, int | None] | None:
    """Divide `host` or `host:port`, without brackets of IPv6; None where it is neither.

    The host is not checked otherwise. The port is None where there is none.
    """
    parts = _PLACE.fullmatch(authority)
    host, digits = parts.groups() if parts else ("", None)
    if host.startswith("["):
        host = host[1:-1] if _ipv6(host[1:-1]) else ""
    port = None if digits is None else port_of(digits)
    return None if not host or (digits is not None and port is None) else (host, port)


def is_loopback(host: str | None) -> bool:
    """Whether a host name or address, with brackets or without, is this machine itself."""
    if host is None or "%" in host:  # a zone is no part of an address
        return False
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
