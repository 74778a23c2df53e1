import contextlib
import socket

import pytest

from toolkit.sandbox import asgi
from toolkit.sandbox.server import Sandbox

HEAD = b"GET /avatars/ab.png HTTP/1.1\r\nHost: %s\r\n"


@pytest.fixture
def sandbox():
    with Sandbox([]) as sandbox:
        yield sandbox


@pytest.fixture
def hasty(monkeypatch):
    """A sandbox that does not wait long; uvicorn's own wait between requests is longer."""
    monkeypatch.setattr(asgi, "PATIENCE", 0.2)
    with Sandbox([]) as sandbox:
        yield sandbox


def connected(sandbox):
    host, _, port = sandbox.domain.partition(":")
    return socket.create_connection((host, int(port)), timeout=20)


def heard(connection):
    """Return what comes until the other side closes."""
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while more := connection.recv(65536):
            found += more
    return found


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost",
        b"POST /oauth/token HTTP/1.1\r\nHost: %s\r\nContent-Length: 9",
    ],
)
def test_who_never_ends_a_request_is_hung_up_on(hasty, beginning):
    said = beginning.replace(b"%s", hasty.domain.encode())
    body = b"\r\n\r\n{" if b"POST" in said else b""
    with connected(hasty) as connection:
        connection.sendall(said + body)
        assert heard(connection) == b""


def test_a_second_request_has_no_more_time_than_the_first(hasty):
    head = HEAD % hasty.domain.encode()
    with connected(hasty) as connection:
        connection.sendall(head + b"\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        connection.sendall(head)
        assert b"HTTP/1.1" not in heard(connection)


def test_who_takes_nothing_in_is_hung_up_on(hasty):
    path = b"/avatar/324ad113b0ef6dabbb2c2c4cf8a8d108?s=2048&d=blank"
    one = b"GET %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (path, hasty.domain.encode())
    with connected(hasty) as connection, contextlib.suppress(ConnectionError):
        for _ in range(100_000):
            connection.sendall(one * 100)
        pytest.fail("all that was asked for was taken in")


def test_a_head_without_end_is_refused(sandbox):
    with connected(sandbox) as connection:
        connection.sendall(HEAD % sandbox.domain.encode() + b"X: " + b"x" * 100_000)
        assert heard(connection).startswith(b"HTTP/1.1 400 ")


def test_one_connection_too_many_is_closed_and_the_others_go_on(monkeypatch):
    monkeypatch.setattr(asgi, "MOST_CONNECTIONS", 3)
    with Sandbox([]) as sandbox, contextlib.ExitStack() as stack:
        few = [stack.enter_context(connected(sandbox)) for _ in range(3)]
        with connected(sandbox) as one_more:
            assert heard(one_more) == b""
        for connection in few:
            connection.sendall(HEAD % sandbox.domain.encode() + b"Connection: close\r\n\r\n")
            assert heard(connection).startswith(b"HTTP/1.1 200 ")
