"""Where Actions can run.

Facts: recordings of `GET /actions/triggers` (2023 and 2026); auth0-deploy-cli issue 988 (the
refusal to list the bindings of an entity-bound trigger). Not every trigger of Auth0 is here.
"""

from collections.abc import Mapping
from typing import Any

POST_LOGIN = "post-login"
DEFAULT_RUNTIME = "node22"

_RUNTIMES = ["node18-actions", DEFAULT_RUNTIME]
_OLD_RUNTIMES = {"v1": ["node12"], "v2": ["node12", "node16", "node18"]}
_CURRENT = {
    "credentials-exchange": "v2",
    "pre-user-registration": "v2",
    "post-user-registration": "v2",
    "post-change-password": "v2",
    "send-phone-message": "v2",
    "custom-email-provider": "v1",
}
_ENTITY_BOUND = frozenset({"custom-email-provider"})


def _current(name: str, version: str, *compatible: str) -> dict[str, Any]:
    return {
        "id": name,
        "version": version,
        "status": "CURRENT",
        "runtimes": _RUNTIMES,
        "default_runtime": DEFAULT_RUNTIME,
        "binding_policy": "entity-bound" if name in _ENTITY_BOUND else "trigger-bound",
        "compatible_triggers": [{"id": name, "version": version} for version in compatible],
    }


def _deprecated(name: str, version: str) -> dict[str, Any]:
    return {
        "id": name,
        "version": version,
        "status": "DEPRECATED",
        "runtimes": _OLD_RUNTIMES[version],
        "default_runtime": _OLD_RUNTIMES[version][0],
        "binding_policy": "trigger-bound",
        "compatible_triggers": [],
    }


TRIGGERS: list[dict[str, Any]] = [
    _deprecated(POST_LOGIN, "v1"),
    _deprecated(POST_LOGIN, "v2"),
    _current(POST_LOGIN, "v3", "v2"),
    *(_current(name, version) for name, version in _CURRENT.items()),
]
"""Every trigger and version, as the API lists them."""

BINDING_POLICY: Mapping[str, str] = {one["id"]: one["binding_policy"] for one in TRIGGERS}
"""Each trigger's id, and whether Actions are bound to it or to something else."""


def runtimes(name: object, version: object) -> list[str]:
    """Return the Node runtimes of a trigger; none where there is no such trigger."""
    for trigger in TRIGGERS:
        if (trigger["id"], trigger["version"]) == (name, version):
            found: list[str] = trigger["runtimes"]
            return found
    return []
