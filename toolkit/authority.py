"""A host and a port as people, URLs and files write them, read in one way.

Facts: the WHATWG URL standard ("port state": ASCII digits, any number of leading zeros, at most
65535) and RFC 3986, 3.2 (an IPv6 address stands in brackets; a zone is no part of a URL).
"""

from ipaddress import IPv6Address, ip_address

_DIGITS = frozenset("0123456789")
_LAST_PORT = 65535


def port_of(text: str) -> int | None:
    """Read a port: 0 to 65535, or None where it is none.

    Leading zeros count for nothing, as in browsers. Signs, blanks, underscores and digits of
    other scripts, all of which `int` takes, are not read.
    """
    if not text or not _DIGITS.issuperset(text):
        return None
    digits = text.lstrip("0") or "0"
    # int() would take long for a million digits.
    port = int(digits) if len(digits) <= len(str(_LAST_PORT)) else _LAST_PORT + 1
    return port if port <= _LAST_PORT else None


def split(authority: str) -> tuple[str, int | None] | None:
    """Divide `host` or `host:port` into host and port; None where it is neither.

    The host comes without the brackets of an IPv6 address, and is not looked at otherwise; the
    port is None where none is written.
    """
    if authority.startswith("["):
        host, bracket, rest = authority[1:].partition("]")
        if not bracket or not _is_ipv6(host) or (rest and not rest.startswith(":")):
            return None
        colon, digits = rest[:1], rest[1:]
    else:
        host, colon, digits = authority.partition(":")
    port = port_of(digits) if colon else None
    return None if not host or (colon and port is None) else (host, port)


def is_loopback(host: str | None) -> bool:
    """Whether a host name or address, with brackets or without, is this machine itself."""
    if host is None or "%" in host:  # a zone is no part of an address
        return False
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _is_ipv6(text: str) -> bool:
    try:
        return "%" not in text and IPv6Address(text) is not None
    except ValueError:
        return False
