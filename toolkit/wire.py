"""How requests leave this machine: through the system's proxy, checked by its certificates."""

import logging
from ipaddress import ip_address
from urllib.request import getproxies

import httpx

# httpx logs every address at INFO. Some of ours open a whole tenant (the link to an
# export), and some hold parts of e-mail addresses (searches).
logging.getLogger("httpx").setLevel(logging.WARNING)


def is_loopback(host: str | None) -> bool:
    """Whether a host name or address is this machine itself."""
    try:
        return host is not None and ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def transport(host: str) -> httpx.HTTPTransport:
    """Return an httpx transport to a host.

    httpx looks past the system's proxies where it is given a transport, and reads
    `.netrc` where it is not: so the proxy for https is named here. `SSL_CERT_FILE` and
    `SSL_CERT_DIR` name certificates to trust.
    """
    return httpx.HTTPTransport(proxy=None if is_loopback(host) else getproxies().get("https"))


def async_transport(host: str) -> httpx.AsyncHTTPTransport:
    """Return the same for an `httpx.AsyncClient`."""
    return httpx.AsyncHTTPTransport(proxy=None if is_loopback(host) else getproxies().get("https"))
