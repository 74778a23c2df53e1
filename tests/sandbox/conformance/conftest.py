"""Tenants to try things at: as the sandbox is, or with deviations planted in their answers."""

import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import pytest
from starlette.types import ASGIApp, Message

from tests.conftest import settings_of
from tests.sandbox.conftest import Hands, person
from toolkit.sandbox.conformance import made_users, scratch_tenant
from toolkit.sandbox.faults.network import HANG_UP
from toolkit.sandbox.server import Sandbox
from toolkit.tenant import http_transport
from toolkit.tenant.client import connect


class Asked:
    """A request, and the answer that a deviation may change."""

    def __init__(self, scope: Any, body: bytes) -> None:
        self.method, self.path = scope["method"], scope["path"].removeprefix("/api/v2/")
        self.query = {
            name: one[0] for name, one in parse_qs(scope["query_string"].decode()).items()
        }
        self.body = json.loads(body) if body.startswith(b"{") else {}
        self.status, self.data = 0, b""

    def is_(self, method: str, path: str, **body: Any) -> bool:
        """Whether it is this request: what its path begins with, and what is in its body."""
        same = self.method == method and self.path.startswith(path)
        return same and body.items() <= self.body.items()

    @property
    def answer(self) -> Any:
        return json.loads(self.data)

    def say(self, status: int, value: Any) -> None:
        self.status, self.data = status, json.dumps(value).encode()


Layer = Callable[[Asked], None]


class Odd(Sandbox):
    """A sandbox whose answers pass some functions.

    `before` is called with each request of the API, and may return False: then the connection
    ends, and nothing is done.
    """

    deviations: tuple[Layer, ...] = ()
    before: Callable[[Asked], bool] = staticmethod(lambda _: True)
    under_way = 0

    def settle(self) -> None:
        """Wait until every request is carried out, those of killed processes, too."""
        while self.under_way:
            time.sleep(0.001)

    def _application(self, store: Any) -> ASGIApp:
        application = super()._application(store)

        async def odd(scope: Any, receive: Any, send: Any) -> None:
            body = b""
            while True:
                message = await receive()
                body += message.get("body", b"")
                if not message.get("more_body"):
                    break
            asked = Asked(scope, body)
            if scope["path"].startswith("/api/v2/") and not self.before(asked):
                scope["state"][HANG_UP].abort()
                return
            head: Message = {}

            read = iter([{"type": "http.request", "body": body}])

            async def again() -> Message:
                return next(read, None) or await receive()

            async def keep(message: Message) -> None:
                if message["type"] == "http.response.start":
                    head.update(message)
                asked.data += message.get("body", b"")

            self.under_way += 1
            try:
                await application(scope, again, keep)
            finally:
                self.under_way -= 1
            asked.status = head["status"]
            for deviation in self.deviations:
                deviation(asked)
            length = (b"content-length", str(len(asked.data)).encode())
            headers = [one for one in head["headers"] if one[0] != b"content-length"]
            await send({**head, "status": asked.status, "headers": [*headers, length]})
            await send({"type": "http.response.body", "body": asked.data})

        return odd


@pytest.fixture(autouse=True)
def _quick(monkeypatch, no_credentials, tmp_path):
    """Nobody waits, and the files of runs are this test's own."""
    monkeypatch.setattr(scratch_tenant, "_PAUSE", 0.01)
    monkeypatch.setattr(scratch_tenant, "_PATIENCE", 5)
    monkeypatch.setattr(made_users, "_SETTLED", 0.1)
    monkeypatch.setattr(http_transport, "_LONGEST_PAUSE", 0.02)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def hands():
    return Hands()


@pytest.fixture
def journals(tmp_path):
    """Return a function that lists the files of runs."""
    return lambda: sorted((tmp_path / "state" / "picture-audit" / "conform").glob("*.json"))


@pytest.fixture
def scratch(request):
    """Start a tenant of twelve, or of others, and connect to it."""

    def start(users=None, *, deviations=(), before=None, **options):
        kind = type("Sandbox", (Odd,), {"deviations": tuple(deviations)})
        if before is not None:
            kind.before = staticmethod(before)
        users = [person(number) for number in range(12)] if users is None else users
        sandbox = kind(users, **options)
        sandbox.start()
        request.addfinalizer(sandbox.stop)
        tenant = connect(settings_of(sandbox), scopes=())
        request.addfinalizer(tenant.close)
        tenant._sandbox = sandbox
        return tenant

    return start
