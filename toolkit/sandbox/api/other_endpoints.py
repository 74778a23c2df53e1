"""What other clients of the Management API ask for, and this toolkit does not.

Auth0's deploy tool, its SDKs and connectors read the applications, the tenant's settings and the
organizations. Every other endpoint answers as Auth0 does to a client without the scope for it, so
that a client which reads all there is can go on.

Facts: recordings of the API (an application's and the settings' properties; `tenant` and
`client_id` are there whatever `fields` says); Auth0 Management API, "Get clients", "Get tenant
settings", "Get organizations" (parameters, scopes); the endpoints of auth0-python 6.8.0.
INFERRED: what the global application has, and that the scope of an endpoint that is not here is
named after the first part of its path.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.routing import BaseRoute, Route

from toolkit.sandbox.api.gate import REST, ROOT, Answer, Call, Gate, query
from toolkit.sandbox.api.lists import checkpoint, listed
from toolkit.sandbox.problem import Problem

SCOPES: Final = "read:clients read:tenant_settings read:organizations"
"""What is read here."""

_METHODS = ("DELETE", "GET", "OPTIONS", "PATCH", "POST", "PUT")
_TENANT = "sandbox"
_PAGES = "page per_page include_totals from take"
_FIELDS = "fields include_fields"
_GLOBAL_ID = "0" * 32
_GLOBAL: Mapping[str, Any] = {
    "global": True,
    "name": "All Applications",
    "callbacks": [],
    "is_first_party": True,
    "is_token_endpoint_ip_header_trusted": False,
    "oidc_conformant": False,
    "sso_disabled": False,
    "cross_origin_auth": False,
    "custom_login_page_on": True,
}
_CLIENT: Mapping[str, Any] = {
    **_GLOBAL,
    "global": False,
    "name": "Sandbox",
    "oidc_conformant": True,
    "app_type": "non_interactive",
    "grant_types": ["client_credentials"],
    "jwt_configuration": {"lifetime_in_seconds": 36000, "secret_encoded": False},
    "token_endpoint_auth_method": "client_secret_post",
}
_SETTINGS: Mapping[str, Any] = {
    "enabled_locales": ["en"],
    "flags": {
        "allow_changing_enable_sso": False,
        "disable_impersonation": True,
        "enable_sso": True,
        "universal_login": True,
        "revoke_refresh_token_grant": False,
        "disable_clickjack_protection_headers": False,
    },
    "friendly_name": "Sandbox",
    "idle_session_lifetime": 72,
    "sandbox_version": "22",
    "session_lifetime": 168,
    "session_cookie": {"mode": "persistent"},
    "sandbox_versions_available": ["22", "18"],
}
# The first part of a path, and the resource that its scope is named after if not by that.
_ELSEWHERE: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "agents anomaly attack-protection branding client-grants client-profiles "
            "connection-profiles custom-domains device-credentials email-templates events "
            "experimentation forms grants groups hooks log-streams logs network-acls prompts "
            "rate-limit-policies refresh-tokens resource-servers risk-assessments roles "
            "rules-configs self-service-profiles sessions stats supplemental-signals tickets "
            "token-exchange-profiles user-attribute-profiles user-blocks verifiable-credentials"
        ).split(),
        "",
    ),
    "actions/modules": "actions_modules",
    "connections-directory-provisionings": "directory_provisionings",
    "connections-scim-configurations": "scim_config",
    "flows/vault": "flows_vault_connections",
    "emails": "email_provider",
    "guardian": "guardian_factors",
    "keys": "signing_keys",
}


@dataclass(frozen=True)
class OtherEndpoints:
    """Answers of a tenant with one application, through which everybody comes here."""

    gate: Gate
    client_id: str

    def routes(self) -> list[BaseRoute]:
        """Return the routes; they go last, because one of them takes every path."""
        route, every = self.gate.route, f"{ROOT}/clients"
        clients = query(
            f"{_PAGES} {_FIELDS} is_first_party app_type external_client_id q",
            is_global={"type": "boolean"},
        )
        fields, pages = query(_FIELDS), query(f"{_PAGES} sort")
        settings, organizations = f"{ROOT}/tenants/settings", f"{ROOT}/organizations"
        return [
            route("GET", every, self.clients, "read:clients", query=clients),
            route("GET", f"{every}/{{id}}", self.client, "read:clients", query=fields),
            route("GET", settings, self.settings, "read:tenant_settings", query=fields),
            route("GET", organizations, self.organizations, "read:organizations", query=pages),
            *(
                route("GET", f"{ROOT}/{part}{{rest:{REST}}}", _missing, f"read:{resource}")
                for part, name in _ELSEWHERE.items()
                for resource in [name or part.replace("-", "_")]
            ),
            Route(f"{ROOT}/{{rest:{REST}}}", lambda _: _not_found().response(), methods=_METHODS),
        ]

    def clients(self, call: Call) -> Answer:
        """List applications: the one that asks, and the tenant's global one."""
        wanted = call.flag("is_global")
        found = [
            _shown(name, document, call)
            for name, document in self._clients.items()
            if wanted in (None, document["global"])
        ]
        if "from" in call.asked or "take" in call.asked:
            return checkpoint(call, "clients", found, "client_id")
        return listed(call, "clients", found)

    def client(self, call: Call) -> Answer:
        """Read one application."""
        name = call.path["id"]
        if name not in self._clients:
            raise Problem(404, "The client does not exist", "inexistent_client")
        return _shown(name, self._clients[name], call)

    def settings(self, call: Call) -> Answer:
        """Read the tenant's settings."""
        return call.projected([dict(_SETTINGS)])[0]

    def organizations(self, call: Call) -> Answer:
        """List organizations, of which there are none."""
        if "from" in call.asked or "take" in call.asked:
            return checkpoint(call, "organizations", [])
        return listed(call, "organizations", [])

    @property
    def _clients(self) -> Mapping[str, Mapping[str, Any]]:
        return {_GLOBAL_ID: _GLOBAL, self.client_id: _CLIENT}


def _shown(name: str, document: Mapping[str, Any], call: Call) -> dict[str, Any]:
    return {"tenant": _TENANT, "client_id": name} | call.projected([dict(document)])[0]


def _missing(_: Call) -> Answer:
    raise _not_found()


def _not_found() -> Problem:
    return Problem(404, "Not Found")
