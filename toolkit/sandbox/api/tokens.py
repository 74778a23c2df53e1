"""Access tokens: the client credentials grant, and the check of what comes back.

Facts: Auth0 docs, "Get Management API Access Tokens for Production" (audience
`https://{tenant}/api/v2/`, 24 hours); the error bodies are those of Auth0's
Authentication API and Management API. Recorded: the content type, which has no character set, and
the refusals of passwords. No user of the sandbox has a password, so none is right.
"""

import hmac
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import jwt
from starlette.responses import Response

from toolkit.sandbox.problem import Problem

_ALGORITHM = "HS256"
_PASSWORD = "password"  # noqa: S105 - the name of a grant
# The grants that the client has, and the parameters that each needs besides its name.
_NEEDED = {
    "client_credentials": ("client_secret", "audience"),
    _PASSWORD: ("client_secret", "username", "password"),
}
_OTHER_GRANTS = frozenset({"authorization_code", "refresh_token", "implicit"})


class _Refusal(Exception):  # noqa: N818 - it is an answer before it is an error
    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(error, description)
        self.status = status


@dataclass(frozen=True)
class Tokens:
    """Gives out tokens to the one client that exists and reads them again.

    `issuer` is the tenant's address, `audiences` are the names of the Management API that a
    client may ask for, `scopes` what it may do. A token is good for `lifetime` seconds by the
    clock (UNIX seconds).
    """

    issuer: str
    audiences: tuple[str, ...]
    client_id: str
    client_secret: str = field(repr=False)
    scopes: tuple[str, ...]
    lifetime: int
    clock: Callable[[], float]
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def exchange(self, content_type: str, body: bytes) -> Response:
        """Answer `POST /oauth/token`."""
        try:
            return _answer(self._granted(_parameters(content_type, body)))
        except _Refusal as refusal:
            error, description = refusal.args
            return _answer({"error": error, "error_description": description}, refusal.status)

    def _granted(self, asked: Mapping[str, str]) -> dict[str, Any]:
        grant = asked.get("grant_type")
        for name in ("grant_type", "client_id", *_NEEDED.get(str(grant), ())):
            if not asked.get(name):
                raise _Refusal(400, "invalid_request", f"Missing required parameter: {name}")
        if grant in _OTHER_GRANTS:
            text = f"Grant type '{grant}' not allowed for the client."
            raise _Refusal(403, "unauthorized_client", text)
        if grant not in _NEEDED:
            raise _Refusal(403, "unsupported_grant_type", "Unsupported grant type")
        known = {"client_id": self.client_id, "client_secret": self.client_secret}
        for name, value in known.items():
            if not hmac.compare_digest(asked[name].encode("utf-8", "replace"), value.encode()):
                raise _Refusal(401, "access_denied", "Unauthorized")
        is_known = asked.get("audience", self.audiences[0]) in self.audiences
        if grant == _PASSWORD:
            if is_known:
                raise _Refusal(403, "invalid_grant", "Wrong email or password.")
            text = "invalid audience specified for password grant exchange"
            raise _Refusal(400, "invalid_request", text)
        if not is_known:
            raise _Refusal(403, "access_denied", f"Service not found: {asked['audience']}")
        wanted = asked.get("scope", "").split()
        granted = [scope for scope in self.scopes if not wanted or scope in wanted]
        return self._issue(asked["audience"], " ".join(granted))

    def read(self, authorization: str | None) -> frozenset[str]:
        """Return the scopes of the good token in an Authorization header."""
        kind, _, token = (authorization or "").partition(" ")
        if kind.lower() != "bearer":
            raise Problem(401, "Missing authentication")
        try:
            # The sandbox's own clock judges the times, see below.
            claims = jwt.decode(
                token.strip(),
                self._key,
                algorithms=[_ALGORITHM],
                audience=self.audiences,
                issuer=self.issuer,
                options={"verify_exp": False, "verify_iat": False},
            )
        except jwt.InvalidTokenError as error:
            raise Problem(401, "Invalid token") from error
        if self.clock() >= claims["exp"]:
            raise Problem(401, "Expired token received for JSON Web Token validation")
        return frozenset(str(claims["scope"]).split())

    def _issue(self, audience: str, scope: str) -> dict[str, Any]:
        now = int(self.clock())
        claims = {
            "iss": self.issuer,
            "sub": f"{self.client_id}@clients",
            "aud": audience,
            "iat": now,
            "exp": now + self.lifetime,
            "scope": scope,
            "gty": "client-credentials",
            "azp": self.client_id,
        }
        return {
            "access_token": jwt.encode(claims, self._key, _ALGORITHM),
            "scope": scope,
            "expires_in": self.lifetime,
            "token_type": "Bearer",
        }


def _parameters(content_type: str, body: bytes) -> Mapping[str, str]:
    """Read the request's parameters from JSON or from a form; what is not text is not there."""
    text = body.decode("utf-8", "replace")
    if "json" not in content_type.lower():
        return {name: values[-1] for name, values in parse_qs(text).items()}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    items = found.items() if isinstance(found, dict) else ()
    return {name: value for name, value in items if isinstance(value, str)}


def _answer(body: Mapping[str, Any], status: int = 200) -> Response:
    headers = {"cache-control": "no-store"}
    return Response(json.dumps(body), status, headers, "application/json")
