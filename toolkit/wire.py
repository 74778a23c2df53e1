"""How requests leave this machine and answers arrive.

Through the system's proxy, checked by its certificates; and answers come whole, or not at all.
"""

import logging
from ipaddress import ip_address
from urllib.request import getproxies

import httpx

from toolkit.errors import SlowQueryError

# httpx logs every address at INFO. Some of ours open a whole tenant (the link to an
# export), and some hold parts of e-mail addresses (searches).
logging.getLogger("httpx").setLevel(logging.WARNING)

# What makes a request to be made twice no different from one to be made once.
_IDEMPOTENT = frozenset({"GET", "PATCH"})
_UNAVAILABLE = 503


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


class NeverAnsweredError(httpx.TransportError):
    """No connection could be made from the start; the SDK does not try that again."""

    def __init__(self) -> None:
        super().__init__("no connection")


class Whole(httpx.BaseTransport):
    """Answers that are whole when the SDK gets them.

    The SDK tries again where a connection breaks before the answer, and not where it
    breaks in the middle or takes too long. For requests that only read, and for those that
    write the same however often they are sent (PATCH), all of these are one thing: the
    answer did not come. And a query that the tenant gave up on is not to
    be tried again as it is (Auth0: "refine your search criteria").
    """

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self._transport = inner
        self._answered = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and read its answer whole."""
        try:
            response = self._transport.handle_request(request)
            response.read()
        except httpx.ConnectError as error:
            # Who has never answered is not there: to try again would only take longer to say so.
            if self._answered:
                raise
            raise NeverAnsweredError from error
        except (httpx.RequestError, httpx.StreamError) as error:
            if request.method not in _IDEMPOTENT:
                raise
            raise httpx.RemoteProtocolError("the answer did not come whole") from error
        self._answered = True
        if response.status_code == _UNAVAILABLE and b"exceeded the timeout" in response.content:
            raise SlowQueryError("The tenant did not finish a query in time (HTTP 503).")
        return response

    def close(self) -> None:
        """Close what really sends."""
        self._transport.close()
