"""A sandbox at which people can log in: what tests of Actions need.

`POST /sandbox/login` logs somebody in, which real tenants have no API for. Rules and Actions
run in real Node, and the answer has the claims of the ID token. It needs a token of this
tenant, whatever its scopes, and is not counted against any rate limit. The body is
`{"user_id": …}`; `request` may say what `event.request` has, such as
`{"geoip": {"countryCode": "AT"}}`.

What a login does to the user: `last_login` and `updated_at` move, `logins_count` grows, and
what Actions set of the metadata is merged. Connections that sync root attributes at each
login write again what the identity provider gave; as nothing else could change these users'
root attributes, they stay as they are.

Facts: Auth0 docs, "Actions Triggers: post-login" (event and API objects), "Rules" (enabled
Rules run before deployed Actions), "Deprecations and Migrations" (the day on which Rules stop).
INFERRED: a script that throws fails the login (400) and one that denies it forbids it (403),
both without a trace in the user; Actions see the user as stored, not as Rules left it;
`user_metadata` and `app_metadata` are empty objects in `event.user` where the user has none;
the first moment at which no Rule runs; what the test of an Action answers where its code does
not throw.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from tests.sandbox.node_runner import Node, Outcome
from toolkit.sandbox.api.action_drafts import POST_LOGIN, Draft
from toolkit.sandbox.api.action_library import Library
from toolkit.sandbox.api.gate import ROOT, Call, Gate
from toolkit.sandbox.api.legacy_rules import Rule, Rules
from toolkit.sandbox.api.tokens import Tokens
from toolkit.sandbox.api.user_writes import merged
from toolkit.sandbox.directory.fields import iso
from toolkit.sandbox.directory.store import Store, connections_of
from toolkit.sandbox.problem import bad_body, invalid_body, json_response, no_such_user
from toolkit.sandbox.server import Sandbox

RULES_END = datetime(2026, 11, 18, tzinfo=UTC).timestamp()
"""UNIX seconds from which on no Rule runs."""

_LIFETIME = 36_000  # seconds of an ID token
_USER = frozenset(
    "app_metadata created_at email email_verified family_name given_name identities "
    "last_password_reset multifactor name nickname phone_number phone_verified picture "
    "updated_at user_id user_metadata username".split()
)
"""What `event.user` can have."""


class LoginSandbox(Sandbox):
    """A sandbox with two more routes: to log in, and to test an Action's draft."""

    def _routes(self, store: Store, tokens: Tokens, gate: Gate) -> list[BaseRoute]:
        node = Node()
        login = Login(
            store=store,
            library=self._library,
            rules=self._rules,
            node=node,
            issuer=tokens.issuer,
            client_id=self.client_id,
            clock=self._clock,
        )

        def test(call: Call) -> Response:
            return _tested(self._library, node, call)

        return [
            gate.route("POST", "/sandbox/login", login.login),
            gate.route("POST", f"{ROOT}/actions/actions/{{id}}/test", test, "create:actions"),
            *super()._routes(store, tokens, gate),
        ]


def _tested(library: Library, node: Node, call: Call) -> Response:
    """Run a draft with a made-up event; how it ends is the answer, nothing is kept."""
    payload = call.document().get("payload")
    if not isinstance(payload, dict):
        raise invalid_body()
    with library.lock:
        draft = library.action(call.request.path_params["id"]).draft
    outcome = node.run({"actions": [_step(draft)], "event": payload.get("event", payload)})
    stats = {"action_duration_ms": outcome.milliseconds}
    result = {"id_token": outcome.id_token, "logs": outcome.logs, "stats": stats}
    if outcome.failure:
        result = {"error": outcome.failure, "stats": stats}
    return json_response(json.dumps({"payload": result}))


class Login:
    """Logs people in.

    Args:
        store: The tenant's users.
        library: Its Actions.
        rules: Its Rules.
        node: What runs both.
        issuer: The `iss` of ID tokens.
        client_id: The application that people log in to.
        clock: UNIX seconds.
    """

    def __init__(
        self,
        *,
        store: Store,
        library: Library,
        rules: Rules,
        node: Node,
        issuer: str,
        client_id: str,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._library = library
        self._rules = rules
        self._node = node
        self._issuer = issuer
        self._client_id = client_id
        self._clock = clock

    def login(self, call: Call) -> Response:
        """Log somebody in."""
        asked = call.document()
        user_id, request = asked.get("user_id"), asked.get("request", {})
        if not isinstance(user_id, str) or not isinstance(request, dict):
            raise bad_body("'user_id is a string and request an object'.")
        body = self._store.user(user_id)
        if body is None:
            raise no_such_user()
        now = self._clock()
        user = json.loads(body)
        if user.get("blocked") is True:
            return _refused(401, "unauthorized", "user is blocked")
        outcome = self._node.run(self._program(user, request, now))
        if outcome.failure:
            error = "{name}: {message}".format_map(outcome.failure)
            answer = {"error": error, "script": outcome.failure["script"]}
            return json_response(json.dumps(answer), 400)
        if outcome.denied is not None:
            return _refused(403, "access_denied", outcome.denied)
        if self._store.change(user_id, lambda stored: _after(stored, outcome, now)) is None:
            raise no_such_user()
        tokens = {"id_token": outcome.id_token, "access_token": outcome.access_token}
        notes = {"errors": outcome.errors, "logs": outcome.logs}
        return json_response(json.dumps({**tokens, **notes}))

    def _program(
        self, stored: Mapping[str, Any], request: Mapping[str, Any], now: float
    ) -> dict[str, Any]:
        """Return what Node runs for this login."""
        user = {**stored, **_moved(stored, now)}
        connection = next(connections_of(user), None)
        names = {"name": connection.name, "strategy": connection.strategy} if connection else {}
        return {
            "claims": {
                "iss": self._issuer,
                "sub": user["user_id"],
                "aud": self._client_id,
                "iat": int(now),
                "exp": int(now) + _LIFETIME,
            },
            "user": user,
            "context": {
                "clientID": self._client_id,
                "connection": names.get("name"),
                "connectionStrategy": names.get("strategy"),
                "protocol": "oidc-basic-profile",
                "stats": {"loginsCount": user["logins_count"]},
                "request": request,
                "idToken": {},
                "accessToken": {},
            },
            "rules": [{"name": one.name, "script": one.script} for one in self._running(now)],
            "actions": [_step(draft) for draft in self._live()],
            "event": {
                "user": {"user_metadata": {}, "app_metadata": {}, **_known(user)},
                "connection": {**names, "id": connection.id} if connection else {},
                "client": {"client_id": self._client_id, "name": "Sandbox"},
                "request": {"ip": "127.0.0.1", "method": "POST", **request},
                "stats": {"logins_count": user["logins_count"]},
                "tenant": {"id": "sandbox"},
                "transaction": {"protocol": "oidc-basic-profile"},
            },
        }

    def _running(self, now: float) -> list[Rule]:
        """Return the Rules that run now, in order."""
        with self._rules._lock:
            enabled = [rule for rule in self._rules._rules.values() if rule.enabled]
        return enabled if now < RULES_END else []

    def _live(self) -> list[Draft]:
        """Return the deployed drafts that run after a login, in order."""
        with self._library.lock:
            found = [binding.action.live for binding in self._library.bindings(POST_LOGIN)]
        return [version.draft for version in found if version]


def _step(draft: Draft) -> dict[str, Any]:
    """Return an Action for run.js."""
    secrets = {secret.name: secret.value for secret in draft.secrets}
    return {"name": draft.name, "code": draft.code, "secrets": secrets}


def _known(user: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an Action sees of a user."""
    return {key: value for key, value in user.items() if key in _USER and value is not None}


def _moved(user: Mapping[str, Any], now: float) -> dict[str, Any]:
    """Return what a login changes of every user."""
    count = user.get("logins_count")
    logins = count + 1 if isinstance(count, int) else 1
    return {"last_login": iso(now), "updated_at": iso(now), "logins_count": logins}


def _after(user: Mapping[str, Any], outcome: Outcome, now: float) -> dict[str, Any]:
    """Return a user after a login."""
    result = {**user, **_moved(user, now)}
    changes = {"user_metadata": outcome.user_metadata, "app_metadata": outcome.app_metadata}
    for kind, change in changes.items():
        if change:
            result[kind] = merged(user.get(kind), change)
    return result


def _refused(status: int, error: str, description: str) -> Response:
    answer = {"error": error, "error_description": description}
    return json_response(json.dumps(answer), status)
