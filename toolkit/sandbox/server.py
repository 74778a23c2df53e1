"""The sandbox: a local tenant that answers HTTP as Auth0 does."""

import contextlib
import json
import logging
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import IPv4Address
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from toolkit.sandbox.api.action_drafts import POST_LOGIN
from toolkit.sandbox.api.actions import Actions
from toolkit.sandbox.api.connections import Connections
from toolkit.sandbox.api.event_streams import EventStreams
from toolkit.sandbox.api.gate import ROOT, Gate, Limits, read_body
from toolkit.sandbox.api.jobs import Jobs
from toolkit.sandbox.api.legacy_rules import Rules
from toolkit.sandbox.api.other_endpoints import SCOPES, OtherEndpoints
from toolkit.sandbox.api.tokens import Tokens
from toolkit.sandbox.api.user_flows import Flows
from toolkit.sandbox.api.users import Api
from toolkit.sandbox.asgi import Certificate, Protocol, Tally, door
from toolkit.sandbox.directory.fields import iso
from toolkit.sandbox.directory.store import Store
from toolkit.sandbox.faults.catalogue import Churn, Churned, Faults
from toolkit.sandbox.played_hosts import PlayedHosts
from toolkit.sandbox.problem import Problem
from toolkit.system import ENDING

DEFAULT_SCOPES = (
    "read:users create:users update:users delete:users read:connections read:connections_options "
    "read:rules read:actions create:actions update:actions delete:actions read:flows "
    "read:event_streams"
)
"""Every scope that the toolkit uses."""

# The sandboxes of this process that answer now, by host and port.
_answering: dict[str, "Sandbox"] = {}

_LOOPBACK = "127.0.0.1"
_MOMENT = 0.001  # seconds between two looks whether it has started
_GRACE = 5  # seconds for answers under way when the sandbox stops


class Sandbox:
    """A local tenant; a context manager that serves while it is open.

    Args:
        users: Auth0 user objects, as the API returns them; an extra key `_gravatar: true`
            means that the sandbox's Gravatar has a picture for that person.
        actions: Post-login Actions that it has from the start, in the order in which they
            run: mappings with `name`, `code` and, unless they are as usual, `deployed`,
            `bound` and `secrets` (see `toolkit.sandbox.api.action_library.Library`).
        rules: Legacy Rules, in order: mappings with `name`, `script` and maybe `enabled`;
            None if the tenant is too new to have any.
        flows: Flows, as the API returns them; at least `name` and `actions`.
        event_streams: event streams, likewise; None if the plan has none.
        connections: connections besides those that the users came from, or more about these:
            `name`, `strategy` and what else they show.
        plan: Whose rate limits hold: free, essentials, enterprise, enterprise-test (one that is
            not for production) or unlimited.
        address: Where it listens: an IPv4 address of loopback.
        port: The port there; 0 takes a free one.
        token_lifetime: Seconds that an access token is good for.
        scopes: What the client may do, separated by spaces.
        client_id: The one client's id; random unless given.
        client_secret: The one client's secret; random unless given.
        faults: What shall go wrong, names in `toolkit.sandbox.faults.catalogue.FAULTS`.
        fault_seed: The same seed makes the same faults.
        tls: Whether it answers https, with a certificate that `ca_file` vouches for.
        clock: UNIX seconds, for tokens, headers, jobs and `updated_at`.
        monotonic: Seconds that never run backwards, for the rate limits and the lag.

    Raises:
        ValueError: If there is no such plan or fault, an Action cannot be as it is said, or
            others than this machine could reach the address.
    """

    def __init__(  # noqa: PLR0913 - everything that a test may want to hold fixed
        self,
        users: Iterable[Mapping[str, Any]],
        *,
        actions: Iterable[Mapping[str, Any]] = (),
        rules: Iterable[Mapping[str, Any]] | None = (),
        flows: Iterable[Mapping[str, Any]] = (),
        event_streams: Iterable[Mapping[str, Any]] | None = (),
        connections: Iterable[Mapping[str, Any]] = (),
        plan: str = "unlimited",
        address: str = _LOOPBACK,
        port: int = 0,
        token_lifetime: int = 86400,
        scopes: str = f"{DEFAULT_SCOPES} {SCOPES}",
        client_id: str | None = None,
        client_secret: str | None = None,
        faults: Iterable[str] = (),
        fault_seed: int = 1,
        tls: bool = False,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.client_id = client_id or secrets.token_urlsafe(24)
        self.client_secret = client_secret or secrets.token_urlsafe(48)
        self.requests = Tally()
        self._limits = Limits(plan, clock=clock, monotonic=monotonic)
        self._faults = Faults(faults, fault_seed)
        self._library = self._faults.library(actions, clock)
        self._rules = Rules(rules)
        self._flows = Flows(flows)
        self._event_streams = EventStreams(event_streams)
        self._connections = tuple(connections)
        self._clock = clock
        self._monotonic = monotonic
        self._scopes = tuple(scopes.split())
        self._lifetime = self._faults.lifetime(token_lifetime)
        self._address = _private(address)
        self._port = port
        self._users = users
        self._tls = tls
        self._certificate: Certificate | None = None
        self._store: Store | None = None
        self._churn: Churn | None = None
        self._jobs: Jobs | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._asked_to_stop = threading.Event()

    @property
    def domain(self) -> str:
        """Host and port, as in `127.0.0.1:54321`; the port is known once it has started."""
        return f"{self._address}:{self._port}"

    @property
    def base_url(self) -> str:
        """Where it answers, as in `http://127.0.0.1:54321`."""
        return f"{'https' if self._tls else 'http'}://{self.domain}"

    @property
    def ca_file(self) -> str | None:
        """The file that vouches for its certificate while it runs with TLS, or None."""
        return str(self._certificate.ca_file) if self._certificate else None

    @property
    def user_count(self) -> int:
        """How many users it has."""
        return self._store.count() if self._store else 0

    @property
    def churned(self) -> Churned:
        """Who came, changed and left by the fault `churn` so far."""
        return self._churn.record if self._churn else Churned()

    @property
    def leaks(self) -> int:
        """How many requests brought a secret where it does not belong.

        These are downloads with an Authorization header, and requests that followed a redirect.
        """
        return (self._jobs.leaks if self._jobs else 0) + self._faults.other_host.leaks

    def users(self) -> Iterator[dict[str, Any]]:
        """Yield every user as it is now, in the order of loading."""
        yield from map(json.loads, self._running().records())

    def actions(self) -> list[dict[str, Any]]:
        """Return every Action as the API shows it now, the oldest first."""
        with self._library.lock:
            return [one.document(self._clock()) for one in self._library.actions()]

    def bindings(self) -> list[dict[str, Any]]:
        """Return what is bound to post-login, as the API shows it, in the order of running."""
        with self._library.lock:
            return [one.document(self._clock()) for one in self._library.bindings(POST_LOGIN)]

    def change(self, user_id: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Set root attributes of a user, past every rule of the API; return the user.

        `updated_at` moves, unless it is one of the changes. KeyError: there is no such user.
        """
        moved = {"updated_at": iso(self._clock()), **changes}
        body = self._running().change(user_id, lambda user: {**user, **moved})
        if body is None:
            raise KeyError(user_id)
        return dict(json.loads(body))

    def create(self, user: Mapping[str, Any]) -> None:
        """Add a user, as it is. ValueError: it has no user_id, or one that there is already."""
        self._running().create(user)

    def delete(self, user_id: str) -> None:
        """Remove a user. KeyError: there is no such user."""
        if not self._running().delete(user_id):
            raise KeyError(user_id)

    def _running(self) -> Store:
        if self._store is None:
            raise RuntimeError("the sandbox does not run")
        return self._store

    def describe(self) -> dict[str, str | int]:
        """Return what a client needs to know: address, credentials, number of users."""
        return {
            **({"ca_file": self.ca_file} if self.ca_file else {}),
            "base_url": self.base_url,
            "domain": self.domain,
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "users": self.user_count,
        }

    def environment(self) -> dict[str, str]:
        """Return the environment variables that point the toolkit at this sandbox."""
        return {
            **({"SSL_CERT_FILE": self.ca_file} if self.ca_file else {}),
            # With TLS a host name will do, as for a real tenant.
            "AUTH0_DOMAIN": self.domain if self._tls else self.base_url,
            "AUTH0_CLIENT_ID": self.client_id,
            "AUTH0_CLIENT_SECRET": self.client_secret,
        }

    def start(self) -> None:
        """Load the users and serve in a background thread; return once it answers.

        RuntimeError: it has been started before. OSError: the port is taken.
        """
        if self._server is not None or self._asked_to_stop.is_set():
            raise RuntimeError("a sandbox starts once")
        # The protocol is named because asyncio sends small answers at once only where it is.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            # Where there is the other one, on Windows, this one would let two servers share a port.
            reuse = getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR)
            listener.setsockopt(socket.SOL_SOCKET, reuse, 1)
            listener.bind((self._address, self._port))
            self._port = listener.getsockname()[1]
            self._certificate = Certificate(self._address) if self._tls else None
            self._store = self._faults.store(self._users, self._monotonic)
            self._users = ()
            for connection in self._connections:
                self._store.add_connection(connection)
            self._churn = self._faults.churn(self._store, self._clock)
            application = self._application(self._store)
            application = self._faults.around(application, self._churn, self._clock)
            hosts = [f"{name}:{self._port}" for name in (self._address, "localhost")]
            guarded = door(application, hosts, self.requests, self._clock)
            self._server = uvicorn.Server(_config(guarded, self._certificate))
        except BaseException:
            listener.close()
            self.stop()
            raise
        self._thread = threading.Thread(target=self._server.run, args=([listener],), name="sandbox")
        self._thread.start()
        while self._thread.is_alive() and not self._server.started:
            time.sleep(_MOMENT)
        if not self._server.started:
            listener.close()
            self.stop()
            raise RuntimeError("the sandbox's server did not start")
        _answering[self.domain] = self

    def stop(self) -> None:
        """Stop serving and forget all users; nothing happens where it does not run."""
        self._asked_to_stop.set()
        if _answering.get(self.domain) is self:
            del _answering[self.domain]
        if self._server and self._thread:
            self._server.should_exit = True
            self._thread.join()
            self._thread = None
        if self._jobs:
            self._jobs.close()
        if self._certificate:
            self._certificate.close()
            self._certificate = None
        if self._store:
            self._store.close()
            self._store = None

    def serve_forever(self, announce: Callable[[dict[str, str | int]], None] | None = None) -> None:
        """Serve until SIGINT, SIGTERM or `stop()`.

        Args:
            announce: Called with `describe()` once it answers and signals are caught.
        """
        with contextlib.ExitStack() as stack:
            if threading.current_thread() is threading.main_thread():
                for number in (signal.SIGINT, *ENDING):
                    before = signal.signal(number, lambda *_: self._asked_to_stop.set())
                    stack.callback(signal.signal, number, before)
            stack.callback(self.stop)
            if self._server is None:
                self.start()
            if announce:
                announce(self.describe())
            # Not one long wait: on Windows, Python before 3.14 would not hear Ctrl-C in it.
            while not self._asked_to_stop.wait(1):
                pass

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _application(self, store: Store) -> ASGIApp:
        """Put the parts together."""
        tokens = Tokens(
            issuer=f"{self.base_url}/",
            audiences=(f"{self.base_url}{ROOT}/", f"https://{self.domain}{ROOT}/"),
            client_id=self.client_id,
            client_secret=self.client_secret,
            scopes=self._scopes,
            lifetime=self._lifetime,
            clock=self._clock,
        )
        routes = self._routes(store, tokens, Gate(tokens, self._limits))
        refused = (Problem, HTTPException, Exception)
        return Starlette(routes=routes, exception_handlers=dict.fromkeys(refused, _refusal))

    def _routes(self, store: Store, tokens: Tokens, gate: Gate) -> list[BaseRoute]:
        """Return every route; a subclass can add its own."""

        async def token(request: Request) -> Response:
            body = await read_body(request)
            content_type = request.headers.get("content-type", "")
            headers = self._limits.take("POST", "/oauth/token")
            response = await run_in_threadpool(tokens.exchange, content_type, body)
            response.headers.update(headers)
            return response

        self._jobs = Jobs(store, gate, self.base_url, self._clock, self._faults.jobs)
        return [
            Route("/oauth/token", token, methods=["POST"]),
            *self._jobs.routes(),
            *Actions(self._library, gate).routes(),
            *self._rules.routes(gate),
            *self._flows.routes(gate),
            *self._event_streams.routes(gate),
            *Connections(store, gate).routes(),
            *Api(store, gate, self._clock).routes(),
            *OtherEndpoints(gate, self.client_id).routes(),
            *PlayedHosts(store.gravatar, self._clock).routes(),
        ]


def sandbox_at(domain: str) -> Sandbox | None:
    """Return the sandbox of this process that answers at a host and port, or None."""
    return _answering.get(domain)


def _config(application: ASGIApp, certificate: Certificate | None) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        http=Protocol,
        ssl_context_factory=(lambda *_: certificate.context) if certificate else None,
        access_log=False,
        log_config=None,
        log_level=logging.WARNING,
        lifespan="off",
        ws="none",
        proxy_headers=False,
        date_header=False,  # the door sets it, by the sandbox's clock
        timeout_graceful_shutdown=_GRACE,
    )


def _private(address: str) -> str:
    """Return an address that only this machine can reach; refuse any other."""
    with contextlib.suppress(ValueError):
        if IPv4Address(address).is_loopback:
            return address
    raise ValueError(
        f"the sandbox listens on loopback only, as on 127.0.0.1, and not on {address}: "
        "it runs scripts for whoever has its token (from elsewhere, use an SSH tunnel)"
    )


def _refusal(_: Request, error: Exception) -> Response:
    """Answer in Auth0's form; a bug of the sandbox is raised again by Starlette, and logged."""
    if isinstance(error, HTTPException):
        error = Problem(error.status_code, error.detail)
    elif not isinstance(error, Problem):
        error = Problem(500, "Internal server error", "internal_error")
    return error.response()
