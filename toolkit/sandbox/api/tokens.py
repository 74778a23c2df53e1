"""Access tokens: the client credentials grant, and the check of what comes back.

Facts: Auth0 docs, "Get Management API Access Tokens for Production" (audience
`https://{tenant}/api/v2/`, 24 hours); the error bodies are those of Auth0's
Authentication API and Management API.
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

from toolkit.sandbox.problem import Problem, json_response

_ALGORITHM = "HS256"
_GRANT = "client_credentials"
_OTHER_GRANTS = frozenset({"password", "authorization_code", "refresh_token", "implicit"})


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
        asked = _parameters(content_type, body)
        grant = asked.get("grant_type")
        needed = ["grant_type", "client_id"]
        if grant == _GRANT:
            needed += ["client_secret", "audience"]
        for name in needed:
            if not asked.get(name):
                return _refuse(400, "invalid_request", f"Missing required parameter: {name}")
        if grant in _OTHER_GRANTS:
            text = f"Grant type '{grant}' not allowed for the client."
            return _refuse(403, "unauthorized_client", text)
        if grant != _GRANT:
            return _refuse(403, "unsupported_grant_type", "Unsupported grant type")
        known = {"client_id": self.client_id, "client_secret": self.client_secret}
        for name, value in known.items():
            if not hmac.compare_digest(asked[name].encode("utf-8", "replace"), value.encode()):
                return _refuse(401, "access_denied", "Unauthorized")
        if asked["audience"] not in self.audiences:
            return _refuse(403, "access_denied", f"Service not found: {asked['audience']}")
        wanted = asked.get("scope", "").split()
        granted = [scope for scope in self.scopes if not wanted or scope in wanted]
        return json_response(json.dumps(self._issue(asked["audience"], " ".join(granted))))

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


def _refuse(status: int, error: str, description: str) -> Response:
    body = {"error": error, "error_description": description}
    return json_response(json.dumps(body), status)
