import gzip
import itertools
import socket
import sys
import time

import pytest

from tests.images.webhost import face, host, said, saved, shown
from toolkit.images import download
from toolkit.images.address import Outcome
from toolkit.images.download import fetch
from toolkit.sandbox.server import Sandbox

PNG = saved(face(64))


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name.upper()}_PROXY", raising=False)


class Watch:
    """Sees every connection and name look-up of this process; lets none out of loopback."""

    def __init__(self):
        self.on = False
        self.connected = []
        self.looked_up = []

    def __call__(self, event, arguments):
        if not self.on:
            return
        if event == "socket.connect":
            place = arguments[1][0]
            self.connected.append(place)
            if not place.startswith("127."):
                raise ConnectionRefusedError(place)
        elif event == "socket.getaddrinfo":
            self.looked_up.append(arguments[0])


WATCH = Watch()
sys.addaudithook(WATCH)  # a hook cannot be taken off again: it is switched


@pytest.fixture
def watch():
    WATCH.connected.clear()
    WATCH.looked_up.clear()
    WATCH.on = True
    yield WATCH
    WATCH.on = False


def test_a_picture_of_the_embedded_tenant_is_fetched():
    with Sandbox([]) as sandbox:
        fetched = fetch(f"{sandbox.base_url}/avatars/ab.png", exception=sandbox.base_url)
    assert fetched.outcome is Outcome.SHOWS
    assert (fetched.status, fetched.media_type, fetched.kind) == (200, "image/png", "png")
    assert len(fetched.body) > 0
    assert fetched.url == f"{sandbox.base_url}/avatars/ab.png"


def test_a_picture_of_the_embedded_tenant_is_fetched_over_tls(monkeypatch):
    with Sandbox([], tls=True) as sandbox:
        url = f"{sandbox.base_url}/avatars/ab.png"
        distrusted = fetch(url, exception=sandbox.base_url)
        monkeypatch.setenv("SSL_CERT_FILE", sandbox.ca_file)
        trusted = fetch(url, exception=sandbox.base_url)
    assert distrusted.outcome is Outcome.UNREACHABLE
    assert "certificate" in distrusted.reason
    assert trusted.outcome is Outcome.SHOWS


def test_a_certificate_must_vouch_for_the_name_and_not_for_the_address(monkeypatch):
    with Sandbox([], tls=True) as sandbox:
        monkeypatch.setenv("SSL_CERT_FILE", sandbox.ca_file)
        base = sandbox.base_url.replace("127.0.0.1", "pictures.example.com")
        fetched = fetch(f"{base}/avatars/ab.png", exception=base, resolve=lambda *_: ["127.0.0.1"])
    assert fetched.outcome is Outcome.UNREACHABLE
    assert "certificate" in fetched.reason


def test_only_the_address_that_was_checked_is_connected_to(watch):
    answers = iter([["1.1.1.1"], ["127.0.0.1"], ["127.0.0.1"]])
    fetched = fetch("https://rebound.example.com/a.png", resolve=lambda *_: next(answers))
    assert fetched.outcome is Outcome.UNREACHABLE
    assert watch.connected == ["1.1.1.1"]
    assert "rebound.example.com" not in watch.looked_up
    assert next(answers) == ["127.0.0.1"]  # it was resolved once


def test_a_name_that_leads_to_a_metadata_service_is_not_connected_to(watch):
    fetched = fetch("https://pictures.example.com/", resolve=lambda *_: ["169.254.169.254"])
    assert fetched.outcome is Outcome.REFUSED
    assert watch.connected == []


def test_the_name_stays_in_the_host_header_and_is_not_resolved_again(watch):
    with host({"/a.png": shown(PNG)}) as there:
        base = f"http://pictures.example.com:{there.port}"
        fetched = fetch(f"{base}/a.png", exception=base, resolve=lambda *_: ["127.0.0.1"])
    assert fetched.outcome is Outcome.SHOWS
    assert f"Host: pictures.example.com:{there.port}\r\n" in there.requests[0]
    assert "pictures.example.com" not in watch.looked_up


def test_the_next_checked_address_is_tried_where_the_first_does_not_answer(watch):
    with host({"/a.png": shown(PNG)}) as there:
        base = f"http://pictures.example.com:{there.port}"
        places = ["127.0.0.2", "127.0.0.1"]
        fetched = fetch(f"{base}/a.png", exception=base, resolve=lambda *_: places)
    assert fetched.outcome is Outcome.SHOWS
    assert watch.connected == places


def test_a_request_carries_nothing_but_what_it_must(monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login alice password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    answers = {
        "/a.png": said(302, Location="/b.png", Set_Cookie="track=1"),
        "/b.png": shown(PNG),
    }
    with host(answers) as there:
        fetch(f"{there.base_url}/a.png", exception=there.base_url)
    names = [line.partition(":")[0].lower() for line in there.requests[1].split("\r\n")[1:-2]]
    assert sorted(names) == ["accept", "accept-encoding", "connection", "host", "user-agent"]
    assert "Accept-Encoding: identity" in there.requests[1]
    assert "auth0-picture-audit/" in there.requests[1]


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1:{other}/a.png",
        "//127.0.0.1:{other}/a.png",
        "http://localhost:{port}/a.png",
        "http://2130706433:{other}/a.png",
        "http://[::1]:{port}/a.png",
        "http://169.254.169.254/latest/meta-data/",
        "https://user@127.0.0.1:{port}/a.png",
        "https://rebound.example.com/a.png",
    ],
)
def test_a_redirect_to_another_place_on_loopback_is_refused(target):
    with host({"/a.png": shown(PNG)}) as other, host({}) as there:
        place = target.format(other=other.port, port=there.port)
        there.answers["/start.png"] = said(302, Location=place)
        fetched = fetch(
            f"{there.base_url}/start.png",
            exception=there.base_url,
            insecure=True,
            resolve=lambda *_: ["127.0.0.1"],
        )
    assert fetched.outcome is Outcome.REFUSED
    assert fetched.redirects == 1
    assert other.requests == []
    assert len(there.requests) == 1


def test_no_redirect_leads_from_outside_to_the_exception(monkeypatch):
    inside = "http://127.0.0.1:54321"
    visited = []

    def visit(address, *_):
        """Stand for a public host that redirects inside: none is to be had."""
        visited.append(address.host)
        return f"{inside}/a.png"

    monkeypatch.setattr(download, "_visit", visit)
    fetched = fetch("https://pictures.example.com/a.png", exception=inside)
    assert fetched.outcome is Outcome.REFUSED
    assert fetched.redirects == 1
    assert visited == ["pictures.example.com"]


def test_after_leaving_the_exception_what_follows_is_checked_as_any_other(watch):
    with host({}) as there:
        there.answers["/a.png"] = said(302, Location="https://public.example.com/a.png")
        fetched = fetch(
            f"{there.base_url}/a.png", exception=there.base_url, resolve=lambda *_: ["1.1.1.1"]
        )
    assert fetched.outcome is Outcome.UNREACHABLE
    assert watch.connected == ["127.0.0.1", "1.1.1.1"]


def test_a_redirect_to_http_is_refused():
    with host({"/a.png": said(301, Location="http://pictures.example.com/a.png")}) as there:
        fetched = fetch(f"{there.base_url}/a.png", exception=there.base_url)
    assert fetched.outcome is Outcome.INSECURE
    assert fetched.reason.startswith("it redirects")


def test_redirects_are_followed_within_the_exception():
    answers = {
        "/dir/a.png": said(302, Location="b.png"),
        "/dir/b.png": said(307, Location="/c.png?x=1"),
        "/c.png?x=1": shown(PNG),
    }
    with host(answers) as there:
        fetched = fetch(f"{there.base_url}/dir/a.png", exception=there.base_url)
    assert fetched.outcome is Outcome.SHOWS
    assert fetched.redirects == 2
    assert fetched.url == f"{there.base_url}/c.png?x=1"


def test_redirects_in_a_circle_end():
    with host({"/a.png": said(302, Location="/a.png")}) as there:
        fetched = fetch(f"{there.base_url}/a.png", exception=there.base_url)
    assert fetched.outcome is Outcome.ERROR
    assert len(there.requests) == 6


@pytest.mark.parametrize("target", ["http://[", "https://exa mple/", "data:image/png,x"])
def test_a_redirect_to_what_is_no_address_is_an_answer_too(target):
    with host({"/a.png": said(302, Location=target)}) as there:
        fetched = fetch(f"{there.base_url}/a.png", exception=there.base_url)
    assert fetched.outcome in {Outcome.ERROR, Outcome.NOT_URL}


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (shown(PNG), Outcome.SHOWS),
        (said(200, PNG, Content_Type="text/plain"), Outcome.SHOWS),
        (said(200, PNG), Outcome.SHOWS),
        (said(200, b"<html>not found</html>", Content_Type="image/png"), Outcome.NOT_IMAGE),
        (said(200, b"", Content_Type="image/png"), Outcome.NOT_IMAGE),
        (said(200, b"<svg xmlns=''/>", Content_Type="image/svg+xml"), Outcome.SHOWS),
        (said(200, b"<svg xmlns=''/>", Content_Type="text/xml"), Outcome.NOT_IMAGE),
        (said(200, b"\0\0\0\x18ftypheic\0\0", Content_Type="image/heic"), Outcome.NOT_IMAGE),
        (said(404), Outcome.GONE),
        (said(410), Outcome.GONE),
        (said(401), Outcome.FORBIDDEN),
        (said(403), Outcome.FORBIDDEN),
        (said(429), Outcome.ERROR),
        (said(500), Outcome.ERROR),
        (said(302), Outcome.ERROR),
        (said(304), Outcome.ERROR),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Outcome.ERROR),
        (b"", Outcome.ERROR),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", Outcome.ERROR),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 40_000, Outcome.ERROR),
    ],
)
def test_every_answer_has_an_outcome(answer, outcome):
    with host({"/a.png": answer}) as there:
        fetched = fetch(f"{there.base_url}/a.png", exception=there.base_url)
    assert fetched.outcome is outcome
    assert fetched.reason


def test_a_port_where_nobody_listens_is_unreachable():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        base = f"http://127.0.0.1:{closed.getsockname()[1]}"
    fetched = fetch(f"{base}/a.png", exception=base)
    assert fetched.outcome is Outcome.UNREACHABLE


def test_a_picture_said_to_be_too_large_is_not_read():
    sent = []

    def large(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n")
        while connection.recv(1):
            sent.append(1)

    with host({"/a.png": large}) as there:
        fetched = fetch(f"{there.base_url}/a.png", exception=there.base_url)
    assert fetched.outcome is Outcome.TOO_LARGE
    assert fetched.body == b""


def test_reading_stops_at_the_size_limit_however_much_is_sent():
    sent = itertools.count()

    def endless(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n" + PNG)
        while True:
            connection.sendall(b"\0" * 65536)
            next(sent)

    with host({"/a.png": endless}) as there:
        fetched = fetch(f"{there.base_url}/a.png", exception=there.base_url, most_bytes=1_000_000)
    assert fetched.outcome is Outcome.TOO_LARGE
    assert fetched.body == b""
    assert next(sent) * 65536 < 20_000_000  # what the system holds between two sockets


def test_a_compressed_answer_is_never_unpacked():
    bomb = gzip.compress(PNG + b"\0" * 20_000_000)
    answer = said(200, bomb, Content_Type="image/png", Content_Encoding="gzip")
    with host({"/a.png": answer}) as there:
        fetched = fetch(f"{there.base_url}/a.png", exception=there.base_url)
    assert fetched.outcome is Outcome.ERROR
    assert "compressed" in fetched.reason


def dripping(beginning, drop):
    def drip(connection):
        connection.sendall(beginning)
        while True:
            time.sleep(0.02)
            connection.sendall(drop)

    return drip


@pytest.mark.parametrize(
    "answer",
    [
        dripping(b"", b"H"),
        dripping(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        dripping(b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
        dripping(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        lambda connection: connection.recv(1),
    ],
)
def test_nobody_holds_the_line_past_the_time_limit(answer):
    with host({"/a.png": answer}) as there:
        fetched = fetch(f"{there.base_url}/a.png", exception=there.base_url, seconds=0.3)
    assert fetched.outcome is Outcome.TOO_SLOW


def test_the_time_limit_is_over_all_redirects_together():
    def late(connection):
        time.sleep(1)
        connection.sendall(said(302, Location="/a.png"))

    with host({"/a.png": late}) as there:
        fetched = fetch(f"{there.base_url}/a.png", exception=there.base_url, seconds=1.7)
    assert fetched.outcome is Outcome.TOO_SLOW
    assert len(there.requests) == 2


def test_behind_a_proxy_nothing_outside_is_asked_unless_told(monkeypatch, watch):
    with host({}) as proxy:
        monkeypatch.setenv("https_proxy", proxy.base_url)
        url = "https://pictures.example.com/a.png"
        refused = fetch(url, resolve=lambda *_: ["1.1.1.1"])
        assert refused.outcome is Outcome.NOT_ASKED
        assert "proxy" in refused.reason
        assert watch.connected == []
        assert (
            fetch(url, resolve=lambda *_: ["1.1.1.1"], direct=True).outcome is Outcome.UNREACHABLE
        )
        assert watch.connected == ["1.1.1.1"]
        assert proxy.requests == []


def test_the_embedded_tenant_is_asked_past_the_proxy(monkeypatch):
    with host({}) as proxy, host({"/a.png": shown(PNG)}) as there:
        monkeypatch.setenv("http_proxy", proxy.base_url)
        fetched = fetch(f"{there.base_url}/a.png", exception=there.base_url)
    assert fetched.outcome is Outcome.SHOWS
    assert proxy.requests == []


@pytest.mark.parametrize("url", ["http://[::1]/a.png", "https://good@127.0.0.1/", "x", ""])
def test_an_address_that_is_refused_is_a_value(url, watch):
    fetched = fetch(url, insecure=True)
    assert fetched.outcome in {Outcome.REFUSED, Outcome.NOT_URL}
    assert watch.connected == []


def test_what_was_fetched_does_not_show_its_address():
    with host({"/alice.png": shown(PNG)}) as there:
        fetched = fetch(f"{there.base_url}/alice.png", exception=there.base_url)
    assert "alice" not in repr(fetched)
