"""The draft of an Action: what `POST` and `PATCH /actions/actions` write.

Facts: Auth0 Management API, "Create an action", "Update an Action"; Auth0 docs, "Actions
Limitations" (100 kB of code, 30 secrets, 10 dependencies); recordings of the API (a PATCH
replaces the properties that it names). INFERRED: that a trigger cannot be exchanged for
another one, that a secret without a value keeps the one it has, and that names and what a
dependency says have 255 characters at most.

Where Actions can run.

Facts: recordings of `GET /actions/triggers` (2023 and 2026); auth0-deploy-cli issue 988 (the
refusal to list the bindings of an entity-bound trigger). Not every trigger of Auth0 is here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from toolkit.sandbox.problem import invalid_body

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


_LONGEST_CODE = 100_000  # bytes
_MOST_SECRETS, _LONGEST_KEY, _LONGEST_VALUE = 30, 128, 4096
_MOST_DEPENDENCIES = 10
_LONGEST_NAME = 255
_DEPENDENCY = frozenset({"name", "version", "registry_url"})
_PROPERTIES = frozenset(
    {"name", "supported_triggers", "code", "runtime", "dependencies", "secrets"}
)


@dataclass(frozen=True)
class Secret:
    """A value that only the Action's code can read."""

    name: str
    value: str = field(repr=False)
    updated: float


@dataclass(frozen=True)
class Draft:
    """What an Action consists of; a version keeps the draft that it was made from."""

    name: str
    trigger: str = POST_LOGIN
    trigger_version: str = "v3"
    code: str = ""
    runtime: str = DEFAULT_RUNTIME
    dependencies: tuple[Mapping[str, str], ...] = ()
    secrets: tuple[Secret, ...] = ()

    @property
    def supported_triggers(self) -> list[dict[str, str]]:
        """The one trigger, in the API's form."""
        return [{"id": self.trigger, "version": self.trigger_version}]

    @property
    def size(self) -> int:
        """How many characters it takes up, about."""
        texts = [self.code, *(text for one in self.dependencies for text in one.values())]
        return sum(map(len, [*texts, *(secret.value for secret in self.secrets)]))


def read_draft(body: Mapping[str, Any], former: Draft | None, now: float) -> Draft:
    """Return the draft that a request's body makes, of a former one or from nothing.

    Raises:
        Problem: If the body is not one that Auth0 takes.
    """
    if body.keys() - _PROPERTIES or (former is None and "supported_triggers" not in body):
        raise invalid_body()
    name = body.get("name", former.name if former else None)
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME:
        raise invalid_body()
    draft = replace(former, name=name) if former else Draft(name)
    if "supported_triggers" in body:
        draft = _with_trigger(draft, body["supported_triggers"], former)
    changes: dict[str, Any] = {}
    if "code" in body:
        changes["code"] = _code(body["code"])
    if "dependencies" in body:
        changes["dependencies"] = _dependencies(body["dependencies"])
    if "secrets" in body:
        changes["secrets"] = _secrets(body["secrets"], former, now)
    if "runtime" in body:
        changes["runtime"] = body["runtime"]
    draft = replace(draft, **changes)
    if draft.runtime not in runtimes(draft.trigger, draft.trigger_version):
        raise invalid_body()
    return draft


def _with_trigger(draft: Draft, triggers: object, former: Draft | None) -> Draft:
    """Return the draft for another version of its trigger, in that one's default runtime."""
    if not isinstance(triggers, list) or len(triggers) != 1 or not isinstance(triggers[0], dict):
        raise invalid_body()
    name, version = triggers[0].get("id"), triggers[0].get("version")
    possible = runtimes(name, version)
    if not possible or (former and name != former.trigger):
        raise invalid_body()
    runtime = draft.runtime if draft.runtime in possible else possible[-1]
    return replace(draft, trigger=str(name), trigger_version=str(version), runtime=runtime)


def _code(code: object) -> str:
    if not isinstance(code, str) or len(code.encode("utf-8", "replace")) > _LONGEST_CODE:
        raise invalid_body()
    return code


def _dependencies(found: object) -> tuple[dict[str, str], ...]:
    if not isinstance(found, list) or len(found) > _MOST_DEPENDENCIES:
        raise invalid_body()
    for one in found:
        if not isinstance(one, dict) or one.keys() - _DEPENDENCY or "name" not in one:
            raise invalid_body()
        if not all(isinstance(text, str) and len(text) <= _LONGEST_NAME for text in one.values()):
            raise invalid_body()
    return tuple(found)


def _secrets(found: object, former: Draft | None, now: float) -> tuple[Secret, ...]:
    if not isinstance(found, list) or len(found) > _MOST_SECRETS:
        raise invalid_body()
    known = {secret.name: secret for secret in former.secrets} if former else {}
    return tuple(_secret(one, known, now) for one in found)


def _secret(found: object, known: Mapping[str, Secret], now: float) -> Secret:
    name = found.get("name") if isinstance(found, dict) else None
    if not isinstance(found, dict) or not isinstance(name, str) or len(name) > _LONGEST_KEY:
        raise invalid_body()
    if "value" not in found and name in known:
        return known[name]
    value = found.get("value")
    if not isinstance(value, str) or len(value) > _LONGEST_VALUE:
        raise invalid_body()
    return Secret(name, value, now)
