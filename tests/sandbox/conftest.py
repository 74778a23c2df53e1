"""A running sandbox, and the two kinds of client that talk to it."""

import json
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from toolkit.sandbox.server import Sandbox


def person(number: int, **changes: Any) -> dict[str, Any]:
    """Make a database user, as Auth0 returns one."""
    stamp = f"2024-01-{number // 86_400_000 % 28 + 1:02}T{number // 3_600_000 % 24:02}:"
    stamp += f"{number // 60_000 % 60:02}:{number // 1000 % 60:02}.{number % 1000:03}Z"
    user = {
        "user_id": f"auth0|{number:06}",
        "email": f"person{number}@example.com",
        "name": f"Person {number}",
        "picture": "https://cdn.auth0.com/avatars/pe.png",
        "created_at": stamp,
        "updated_at": stamp,
        "identities": [
            {
                "connection": "Username-Password-Authentication",
                "provider": "auth0",
                "user_id": f"{number:06}",
                "isSocial": False,
            }
        ],
    }
    return {**user, **changes}


def identity(provider: str, connection: str | None = None) -> list[dict[str, Any]]:
    """Make the identities of somebody who came through one connection."""
    return [{"connection": connection or provider, "provider": provider, "user_id": "1"}]


class Client(httpx.Client):
    """An HTTP client that holds a token of one sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        trusted = ssl.create_default_context(cafile=sandbox.ca_file) if sandbox.ca_file else True
        super().__init__(base_url=sandbox.base_url, verify=trusted, timeout=60)
        self.sandbox = sandbox

    def sign_in(self) -> None:
        """Take a token and use it from now on."""
        answer = self.patiently(self.token)
        self.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def token(self, **changes: Any) -> httpx.Response:
        """Ask for a token; a parameter that is None is left out."""
        asked = {
            "grant_type": "client_credentials",
            "client_id": self.sandbox.client_id,
            "client_secret": self.sandbox.client_secret,
            "audience": f"{self.sandbox.base_url}/api/v2/",
            **changes,
        }
        asked = {name: value for name, value in asked.items() if value is not None}
        headers = {"Content-Type": "application/json"}
        return self.post("/oauth/token", content=json.dumps(asked), headers=headers)

    def patiently(self, call: Callable[[], httpx.Response]) -> httpx.Response:
        """Try again where the sandbox's faults want it; return the last of nine answers."""
        for _ in range(8):
            try:
                answer = call()
            except httpx.TransportError:
                continue
            if answer.status_code not in (429, 502, 503):
                return answer
        return call()

    def export(self, **asked: Any) -> dict[str, Any]:
        """Start an export job of NDJSON with the user_id, unless told otherwise."""
        body = {"format": "json", "fields": [{"name": "user_id"}], **asked}
        answer = self.post("/api/v2/jobs/users-exports", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def poll(self, job: dict[str, Any]) -> dict[str, Any]:
        """Read a job."""
        return self.get(f"/api/v2/jobs/{job['id']}").json()

    def finish(self, job: dict[str, Any]) -> dict[str, Any]:
        """Poll a job until it is over."""
        for _ in range(2000):
            polled = self.poll(job)
            if polled["status"] in ("completed", "failed"):
                return polled
            time.sleep(0.01)
        raise AssertionError(polled)

    def fetch(self, location: str) -> httpx.Response:
        """Download an export, without the token."""
        return httpx.get(location, timeout=60)

    def users(self, **asked: Any) -> httpx.Response:
        """List users."""
        return self.get("/api/v2/users", params=asked)

    def ids(self, query: str) -> set[str]:
        """Return the ids of the users that a query finds."""
        answer = self.users(q=query, per_page=100)
        assert answer.status_code == 200, answer.text
        return {user["user_id"] for user in answer.json()}


def _serving() -> Iterator[Callable[..., Client]]:
    """Start a sandbox with these users and settings; return a client of it."""
    with ExitStack() as stack:

        def start(users: Any, kind: type[Sandbox] = Sandbox, **settings: Any) -> Client:
            sandbox = stack.enter_context(kind(users, **settings))
            client = stack.enter_context(Client(sandbox))
            client.sign_in()
            return client

        yield start


serve = pytest.fixture(_serving)
serve_once = pytest.fixture(scope="module")(_serving)


@pytest.fixture(name="person", scope="session")
def _person() -> Callable[..., dict[str, Any]]:
    return person


@pytest.fixture(name="identity")
def _identity() -> Callable[..., list[dict[str, Any]]]:
    return identity


class Hands:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.25

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hands() -> Hands:
    return Hands()
