"""The tenant's connections, derived from its users' identities.

Facts: Auth0 Management API, "Get all connections" (`options` needs the scope
`read:connections_options`); Auth0 docs, "Configure Identity Provider Connection for User
Profile Updates" (`set_user_root_attributes`, which passwordless connections do not have).
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from toolkit.sandbox.fields import identities

_DATABASE = "auth0"
_PASSWORDLESS = frozenset({"email", "sms"})
_ID_LENGTH = 16


@dataclass(frozen=True)
class Connection:
    """One way for people to log in."""

    name: str
    strategy: str

    @property
    def id(self) -> str:
        """`con_` and 16 characters, the same in every run."""
        digest = hashlib.sha256(f"{self.strategy} {self.name}".encode("utf-8", "replace"))
        return "con_" + digest.hexdigest()[:_ID_LENGTH]

    @property
    def syncs(self) -> bool:
        """Whether each login overwrites root attributes, which then cannot be patched."""
        return self.strategy != _DATABASE and self.strategy not in _PASSWORDLESS

    @property
    def options(self) -> dict[str, str]:
        """The part of the options that the sandbox knows."""
        if self.strategy in _PASSWORDLESS:
            return {}
        return {"set_user_root_attributes": "on_each_login" if self.syncs else "on_first_login"}

    def document(self, *, with_options: bool) -> dict[str, Any]:
        """Return the connection as the API shows it."""
        shown: dict[str, Any] = {
            "id": self.id,
            "name": self.name,
            "strategy": self.strategy,
            "realms": [self.name],
            "is_domain_connection": False,
            "enabled_clients": [],
        }
        if with_options:
            shown["options"] = self.options
        return shown


def connections_of(user: Mapping[str, Any]) -> Iterator[Connection]:
    """Yield the connections that a user's identities come from, the primary one first."""
    for identity in identities(user):
        name, provider = identity.get("connection"), identity.get("provider")
        if isinstance(name, str) and isinstance(provider, str) and name and provider:
            yield Connection(name, provider)
