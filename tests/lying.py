"""A small HTTP server on loopback that answers with whatever bytes a test wants, true or not."""

import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress

Answer = Callable[[str], Iterable[bytes]]


def head(*lines: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


def whole(body: str | bytes, *lines: str, status: str = "200 OK") -> bytes:
    data = body if isinstance(body, bytes) else body.encode()
    length = f"content-length: {len(data)}"
    # The server closes each connection, so the client must not use it again.
    fixed = ("content-type: application/json", "connection: close", length)
    return head(*fixed, *lines, status=status) + data


TOKEN = whole('{"access_token": "token", "expires_in": 86400, "token_type": "Bearer"}')


class Liar:
    """Answers each request, named by its first line, with what a function yields.

    A connection is closed when that ends. The function may yield for ever.
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests: list[str] = []
        self.closing = threading.Event()

    def __enter__(self):
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.closing.set()
        # A thread that waits in accept() does not notice that its socket is closed.
        socket.create_connection(self._listener.getsockname()).close()
        self._thread.join()
        self._listener.close()

    def drip(self, data: Iterable[bytes], seconds: float = 0.02) -> Iterable[bytes]:
        """Yield pieces with a pause after each, until the test is over."""
        for piece in data:
            yield piece
            if self.closing.wait(seconds):
                return

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self.closing.is_set():
                connection.close()
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):  # the client has had enough
            request = b""
            while b"\r\n\r\n" not in request:
                if not (data := connection.recv(65536)):
                    return
                request += data
            first = request.split(b"\r\n", 1)[0].decode().removesuffix(" HTTP/1.1")
            self.requests.append(first)
            for piece in self._answer(first):
                connection.sendall(piece)
                if self.closing.is_set():
                    return
            connection.shutdown(socket.SHUT_WR)
            # What the client still sends is read, so that it gets the answer and no reset.
            connection.settimeout(0.2)
            while connection.recv(65536):
                pass
