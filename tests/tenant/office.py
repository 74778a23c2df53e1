"""What stands between an office and the internet: a proxy, and servers with odd certificates."""

import base64
import datetime as dt
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import trustme

from tests.lying import TOKEN, Liar, whole

PAGE = '{"start": 0, "limit": 1, "length": 0, "total": 0, "users": []}'
AUTHORITY = trustme.CA()
_OPEN = b"HTTP/1.1 200 Connection established\r\n\r\n"


def tenant_server():
    """Return a server that gives a token, and an empty page of users."""
    return Liar(lambda asked: [TOKEN if "/oauth/token" in asked else whole(PAGE)])


def tls(*names: str, authority: trustme.CA = AUTHORITY, expired: bool = False) -> ssl.SSLContext:
    """Return what a server needs to show a certificate for these names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ended = dt.datetime(2020, 1, 2, tzinfo=dt.UTC) if expired else None
    begun = dt.datetime(2020, 1, 1, tzinfo=dt.UTC) if expired else None
    authority.issue_cert(*names, not_before=begun, not_after=ended).configure_cert(context)
    return context


class Server:
    """Accepts connections on loopback, each in a thread, until the block ends."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._closing = False

    def __enter__(self):
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._closing = True
        socket.create_connection(self._listener.getsockname()).close()
        self._thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self._closing:
                connection.close()
                return
            threading.Thread(target=self._guarded, args=(connection,), daemon=True).start()

    def _guarded(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            self.serve(connection)

    def serve(self, connection: socket.socket) -> None:
        raise NotImplementedError


class TLSServer(Server):
    """A server whose certificate is wrong, or that does not speak TLS; it answers nothing else."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        super().__init__()
        self._context = context

    def serve(self, connection: socket.socket) -> None:
        if self._context is None:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        else:
            self._context.wrap_socket(connection, server_side=True).close()


class Proxy(Server):
    """A proxy, by HTTP's CONNECT or SOCKS5, that writes down each request.

    Every tunnel leads to one server, `to`, whose host is played by a certificate; without it, or
    without the `password`, it answers with `refusal`.
    """

    def __init__(
        self,
        to: Liar | None = None,
        context: ssl.SSLContext | None = None,
        *,
        password: str = "",
        refusal: bytes = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n",
    ) -> None:
        super().__init__()
        self._to, self._context, self._refusal = to, context, refusal
        self._password = base64.b64encode(password.encode())
        self.requests: list[str] = []

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    def serve(self, connection: socket.socket) -> None:
        data = connection.recv(1)
        if data == b"\x05":
            self._socks(connection)
        else:
            self._connect(connection, data)

    def _socks(self, connection: socket.socket) -> None:
        connection.recv(64)
        if self._to is None:
            connection.sendall(self._refusal)
            return
        connection.sendall(b"\x05\x00")
        head = connection.recv(5)
        name, port = connection.recv(head[4]).decode(), connection.recv(2)
        self.requests.append(f"SOCKS {name}:{int.from_bytes(port)}")
        connection.sendall(b"\x05\x00\x00\x01" + bytes(6))
        self._pass_on(connection)

    def _connect(self, connection: socket.socket, data: bytes) -> None:
        while b"\r\n\r\n" not in data:
            if not (more := connection.recv(65536)):
                return
            data += more
        self.requests.append(data.split(b"\r\n")[0].decode().removesuffix(" HTTP/1.1"))
        if self._to is None or self._password not in data:
            connection.sendall(self._refusal)
            return
        connection.sendall(_OPEN)
        self._pass_on(connection)

    def _pass_on(self, connection: socket.socket) -> None:
        host, _, port = self._to.base_url.removeprefix("http://").partition(":")
        with (
            self._context.wrap_socket(connection, server_side=True) as client,
            socket.create_connection((host, int(port))) as server,
        ):
            back = threading.Thread(target=_copy, args=(server, client), daemon=True)
            back.start()
            _copy(client, server)
            back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


@contextmanager
def tenant_behind(name: str, **options: object) -> Iterator[tuple[Proxy, Liar]]:
    """Serve a tenant of that name behind a proxy; yields both."""
    with tenant_server() as liar, Proxy(liar, tls(name), **options) as proxy:
        yield proxy, liar
