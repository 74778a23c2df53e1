"""How a host is reached: the proxy on the way, the certificates, and limits on time and size."""

import asyncio
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import httpcore
import httpx

from toolkit.errors import SettingsError
from toolkit.images.limited_stream import limited
from toolkit.images.network_settings import UnusableSettingError, proxy_for, trusted


def transport(url: str) -> httpx.BaseTransport:
    """Return an httpx transport to a host, with the limits of `bounded`.

    `url` is the host's, or the host alone, which is then reached by https. Proxies and certificates
    are those of `toolkit.images.network_settings`.

    Raises:
        SettingsError: the environment names a proxy or certificate that cannot be used.
    """
    verify, proxy = _network_settings(url)
    made = httpx.HTTPTransport(verify=verify, proxy=proxy)
    pool = made._pool  # noqa: SLF001 - httpx offers no other way to set how httpcore connects
    pool._network_backend = limited(pool._network_backend)  # noqa: SLF001 - likewise
    return made if proxy is None else Proxied(made)


def async_transport(url: str) -> httpx.AsyncBaseTransport:
    """Return a transport for an `httpx.AsyncClient`, through the same proxy."""
    verify, proxy = _network_settings(url)
    made = httpx.AsyncHTTPTransport(verify=verify, proxy=proxy)
    pool = made._pool  # noqa: SLF001 - as above
    pool._network_backend = ClosingBackend(pool._network_backend)  # noqa: SLF001 - likewise
    return made if proxy is None else AsyncProxied(made)


def _network_settings(url: str) -> tuple[ssl.SSLContext, httpx.Proxy | None]:
    """Return the certificates and the proxy for a URL, or for a host that is reached by https."""
    url = url if "://" in url else f"https://{url}"
    try:
        proxy = proxy_for(url)
        # Without TLS no certificates are needed, which take time to read and may be set wrongly.
        plain = url.startswith("http:")
        verify = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else trusted()
        return verify, proxy.for_httpx() if proxy else None
    except UnusableSettingError as error:
        raise SettingsError(str(error)) from None


class ClosingBackend(httpcore.AsyncNetworkBackend):
    """Connects as another backend does, and closes a connection that nobody waits for any more.

    Fact (anyio 4, tried): a connection that is made in the moment of a cancellation stays open.
    """

    def __init__(self, backend: httpcore.AsyncNetworkBackend) -> None:
        self._backend = backend

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - as httpcore declares it
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect; if that is cancelled, wait for the connection, and close it."""
        connect = self._backend.connect_tcp(host, port, timeout, local_address, socket_options)
        connecting = asyncio.ensure_future(connect)
        try:
            return await asyncio.shield(connecting)
        except asyncio.CancelledError:
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                await (await connecting).aclose()
            raise

    async def sleep(self, seconds: float) -> None:
        """Wait before another try to connect."""
        await self._backend.sleep(seconds)


class Layer(httpx.BaseTransport):
    """A transport that sends through another one, `_transport`."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self._transport = inner

    def close(self) -> None:
        """Close the inner transport."""
        self._transport.close()


class Proxied(Layer):
    """Transport through a proxy: what fails before there is a tunnel becomes an httpx.ProxyError.

    To httpcore it is an error of the host, although the host was not asked.
    """

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, or raise ProxyError."""
        streams: list[httpcore.NetworkStream] = []
        with _tunnel(request, streams) as hear:
            outer = request.extensions.get("trace")

            def trace(event: str, info: Mapping[str, Any]) -> None:
                hear(event)
                if event == "socks.connect_tcp.complete":
                    streams.append(info["return_value"])
                if outer is not None:
                    outer(event, info)

            request.extensions = {**request.extensions, "trace": trace}
            return self._transport.handle_request(request)


class AsyncProxied(httpx.AsyncBaseTransport):
    """The same for an `httpx.AsyncClient`."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._transport = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, or raise ProxyError."""
        with _tunnel(request) as hear:

            async def trace(event: str, _: object) -> None:
                hear(event)

            request.extensions = {**request.extensions, "trace": trace}
            return await self._transport.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._transport.aclose()


@contextmanager
def _tunnel(
    request: httpx.Request, streams: Iterable[httpcore.NetworkStream] = ()
) -> Iterator[Callable[[str], None]]:
    """Turn errors of a proxy into ProxyError; yields what is to hear httpcore's events.

    `streams` are those that httpcore does not close if what answers is no SOCKS proxy.
    """
    with_proxy, extensions = False, request.extensions

    def hear(event: str) -> None:
        nonlocal with_proxy
        if event.endswith(".connect_tcp.started"):
            with_proxy = True
        elif event in {"proxy.start_tls.started", "socks.start_tls.started"}:
            with_proxy = False

    try:
        yield hear
    except Exception as error:
        # httpcore lets errors of socksio pass, which may not be installed.
        known = isinstance(error, httpx.TransportError) or "socksio" in type(error).__module__
        if not (with_proxy and known) or isinstance(error, httpx.ProxyError):
            raise
        for stream in streams:
            stream.close()
        raise httpx.ProxyError("no tunnel", request=request) from error
    finally:
        request.extensions = extensions
