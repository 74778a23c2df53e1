import socket

import httpx
import pytest

from toolkit.sandbox.server import Sandbox

# One of each part that answers, and of what nobody answers.
REQUESTS = [
    ("POST", "/oauth/token"),
    ("GET", "/api/v2/users"),
    ("PATCH", "/api/v2/users/auth0%7C000001"),
    ("POST", "/api/v2/jobs/users-exports"),
    ("GET", "/exports/job_1/sandbox.json.gz"),
    ("GET", "/api/v2/actions/actions"),
    ("PATCH", "/api/v2/actions/triggers/post-login/bindings"),
    ("GET", "/api/v2/rules"),
    ("GET", "/api/v2/nothing"),
    ("GET", "/avatar/324ad113b0ef6dabbb2c2c4cf8a8d108"),
    ("HEAD", "/avatars/ab.png"),
    ("GET", "/photon/example.com/a.png"),
    ("GET", "/hosts/https%3A%2F%2Fexample.com%2Fa.png"),
    ("GET", "/nothing"),
    ("OPTIONS", "*"),
]
HOSTS = ["evil.example", "evil.example:PORT", "127.0.0.1", "127.0.0.1:1", "127.0.0.2:PORT", ""]


@pytest.fixture(scope="module")
def client(serve_once, person):
    return serve_once([person(1)])


def port_of(client):
    return client.sandbox.domain.rpartition(":")[2]


@pytest.mark.parametrize(("method", "path"), REQUESTS)
def test_no_part_answers_to_a_foreign_host(client, method, path):
    for host in HOSTS:
        named = host.replace("PORT", port_of(client))
        answer = client.request(method, path, headers={"Host": named, "X-Forwarded-Host": "x"})
        assert answer.status_code == 421, host


def test_two_hosts_or_none_are_turned_away(client):
    host = b"Host: %s\r\n" % client.sandbox.domain.encode()
    twice = b"GET /api/v2/users HTTP/1.1\r\n" + host + host + b"Connection: close\r\n\r\n"
    assert spoken(client, twice).startswith(b"HTTP/1.1 400 ")
    none = b"GET /api/v2/users HTTP/1.0\r\n\r\n"
    assert spoken(client, none).startswith(b"HTTP/1.1 421 ")


def spoken(client, request):
    """Return what comes back for these bytes until the connection closes."""
    address = ("127.0.0.1", int(port_of(client)))
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "", "http://127.0.0.1:1"])
def test_a_page_of_another_origin_writes_nothing(client, origin):
    before = list(client.sandbox.users())
    for method, path in REQUESTS:
        if method in ("POST", "PATCH"):
            answer = client.request(method, path, json={"name": "x"}, headers={"Origin": origin})
            assert answer.status_code == 403
            assert "origins" in answer.json()["message"]
    assert list(client.sandbox.users()) == before


def test_pictures_can_be_shown_on_a_page_of_another_origin(client):
    shown = client.get("/avatars/ab.png", headers={"Origin": "http://localhost:8888"})
    assert shown.status_code == 200


def test_its_own_origin_can_write(client):
    path = "/api/v2/users/auth0%7C000001"
    own = {"Origin": client.sandbox.base_url}
    assert client.patch(path, json={"name": "Somebody"}, headers=own).status_code == 200


@pytest.mark.parametrize("address", ["0.0.0.0", "192.0.2.1", "::", "::1", "", "example.com"])
def test_others_than_this_machine_cannot_be_served(address):
    with pytest.raises(ValueError, match="loopback only"):
        Sandbox([], address=address)


def test_nothing_listens_on_another_address_of_this_machine():
    with Sandbox([], address="127.0.0.2") as sandbox:
        assert sandbox.domain.startswith("127.0.0.2:")
        assert httpx.get(f"{sandbox.base_url}/avatars/ab.png").status_code == 200
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{sandbox.base_url.replace('127.0.0.2', '127.0.0.1')}/avatars/ab.png")
