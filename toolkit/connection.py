"""One connection of a tenant: whether the root `picture` of its users can be written.

Facts: Auth0 Management API, "Update a User" (root attributes can be updated for database
users in Auth0's store, passwordless users, and users of connections that do not sync them
at each login; a null is refused for database and passwordless users), and "Configure
Identity Provider Connection for User Profile Updates" (`set_user_root_attributes`, whose
default is `on_each_login`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

_PASSWORDLESS: Final = frozenset({"email", "sms"})
_DATABASE: Final = "auth0"
KEEPING: Final = frozenset({_DATABASE, *_PASSWORDLESS})
"""Strategies whose users' root picture Auth0 overwrites and never removes."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection.

    Attributes:
        name: what the tenant calls it.
        strategy: `auth0` for databases, `google-oauth2`, `samlp`, …
        syncs: whether each login overwrites root attributes; None where the options could
            not be read.
        imports: whether its users are in Auth0's own store; false for a custom database
            without import mode.
    """

    name: str
    strategy: str
    syncs: bool | None = None
    imports: bool = True

    @classmethod
    def of(cls, name: str, strategy: str, options: Mapping[str, Any] | None) -> Self:
        """Read what matters off a connection's options, which may hold secrets; keep no more."""
        if options is None:
            return cls(name, strategy)
        custom = options.get("enabledDatabaseCustomization") is True
        imports = not custom or options.get("import_mode") is True
        sync = options.get("set_user_root_attributes") or "on_each_login"
        return cls(name, strategy, sync == "on_each_login", imports)

    @property
    def refusal(self) -> str | None:
        """Why Auth0 refuses to update the root picture of its users; None where it does not."""
        if self.strategy in _PASSWORDLESS:
            return None
        if self.strategy == _DATABASE:
            return None if self.imports else "their custom database keeps the profile itself"
        if self.syncs is None:
            return (
                "each login overwrites it, as far as the strategy says: the connection's options "
                "were not read"
            )
        return (
            "each login overwrites it: the connection syncs root attributes" if self.syncs else None
        )
