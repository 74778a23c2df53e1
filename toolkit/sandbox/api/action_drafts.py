"""The triggers of Actions, and the draft that `POST` and `PATCH /actions/actions` write.

Facts: Auth0 Management API, "Create an action", "Update an Action"; Auth0 docs, "Actions
Limitations" (100 kB of code, 30 secrets, 10 dependencies); recordings of the API (a PATCH
replaces the properties that it names, and leaves secrets that it names again in their order; the
triggers of August 2026; runtimes that no trigger lists any more are taken). INFERRED: that a
trigger cannot be exchanged for another one, that a secret without a value keeps the one it has,
and that names and what a dependency says have 255 characters at most.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from toolkit.sandbox.problem import invalid_body
from toolkit.sandbox.validation import Schema

POST_LOGIN = "post-login"
DEFAULT_RUNTIME = "node22"


_NOW = ("node18-actions", DEFAULT_RUNTIME)
_RUNTIMES = frozenset({"node12", "node16", "node18", *_NOW})


def _trigger(
    name: str,
    version: str = "v1",
    runtimes: Sequence[str] = _NOW,
    default: str = DEFAULT_RUNTIME,
    compatible: Sequence[str] = (),
    binding_policy: str = "trigger-bound",
) -> dict[str, Any]:
    return {
        "id": name,
        "version": version,
        "status": "CURRENT" if default == DEFAULT_RUNTIME else "DEPRECATED",
        "runtimes": list(runtimes),
        "default_runtime": default,
        "binding_policy": binding_policy,
        "compatible_triggers": [{"id": name, "version": other} for other in compatible],
    }


_entity_bound = partial(_trigger, runtimes=[DEFAULT_RUNTIME], binding_policy="entity-bound")

TRIGGERS: list[dict[str, Any]] = [
    _trigger(POST_LOGIN, "v3", compatible=["v2"]),
    _trigger(POST_LOGIN, "v1", [DEFAULT_RUNTIME], "node12"),
    _trigger(POST_LOGIN, "v2", ["node18", DEFAULT_RUNTIME], "node16"),
    *(
        trigger
        for name in (
            "credentials-exchange",
            "pre-user-registration",
            "post-user-registration",
            "post-change-password",
            "send-phone-message",
        )
        for trigger in (_trigger(name, "v2"), _trigger(name, "v1", [DEFAULT_RUNTIME], "node12"))
    ),
    _trigger("password-reset-post-challenge"),
    _trigger("custom-phone-provider"),
    _trigger("custom-email-provider"),
    _entity_bound("custom-token-exchange", runtimes=["node18", DEFAULT_RUNTIME]),
    _entity_bound("event-stream"),
    _entity_bound("password-hash-migration"),
    _entity_bound("mcp-tool"),
]
"""Every trigger and version, as the API listed them in August 2026."""


def _default_runtime(name: object, version: object) -> str | None:
    """Return the Node runtime that a trigger has unless told; None: there is no such trigger."""
    found = (one for one in TRIGGERS if (one["id"], one["version"]) == (name, version))
    return next((str(one["default_runtime"]) for one in found), None)


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
    modules: tuple[Mapping[str, str], ...] = ()

    @property
    def supported_triggers(self) -> list[dict[str, str]]:
        """The one trigger, in the API's form."""
        return [{"id": self.trigger, "version": self.trigger_version}]

    @property
    def size(self) -> int:
        """How many characters it takes up, about."""
        texts = [self.code, *(text for one in self.dependencies for text in one.values())]
        return sum(map(len, [*texts, *(secret.value for secret in self.secrets)]))


_LONGEST_CODE = 100_000  # bytes


def _text(most: int, least: int = 0) -> dict[str, Any]:
    return {"type": "string", "minLength": least, "maxLength": most}


def _objects(most: int, properties: Mapping[str, Any], *required: str) -> dict[str, Any]:
    """Return the rules of a list of so many objects with these properties only."""
    one = {"type": "object", "properties": properties, "required": [*required]}
    return {"type": "array", "maxItems": most, "items": one | {"additionalProperties": False}}


_NAME, _PLAIN = _text(255), {"type": "string"}
_DEPENDENCY = dict.fromkeys(("name", "version", "registry_url"), _NAME)
_MODULE = dict.fromkeys(("module_id", "module_version_id"), _NAME)
_SECRET = {"name": _text(128), "value": _text(4096), "updated_at": _PLAIN}
_DRAFT = {
    "name": _text(255, least=1),
    "code": _PLAIN,
    "runtime": _PLAIN,
    "supported_triggers": {
        "type": "array",
        "minItems": 1,
        "maxItems": 1,
        "items": {"type": "object"},
    },
    "dependencies": _objects(10, _DEPENDENCY, "name"),
    "modules": _objects(10, _MODULE, *_MODULE),
    "secrets": _objects(30, _SECRET, "name"),
}
_NEW, _CHANGED = Schema(_DRAFT, required=("name", "supported_triggers")), Schema(_DRAFT)


def read_draft(body: Mapping[str, Any], former: Draft | None, now: float) -> Draft:
    """Return the draft that a request's body makes, of a former one or from nothing."""
    (_CHANGED if former else _NEW).check(body, invalid_body)
    if len(body.get("code", "").encode("utf-8", "replace")) > _LONGEST_CODE:
        raise invalid_body()
    draft = former or Draft(body["name"])
    changes = {name: body[name] for name in ("name", "code", "runtime") if name in body}
    for name in ("dependencies", "modules"):
        if name in body:
            changes[name] = tuple(body[name])
    if "secrets" in body:
        changes["secrets"] = _secrets(body["secrets"], draft, now)
    if "supported_triggers" in body:
        trigger, version = (body["supported_triggers"][0].get(key) for key in ("id", "version"))
        usual = _default_runtime(trigger, version)
        if usual is None or (former and trigger != former.trigger):
            raise invalid_body()
        runtime = former.runtime if former else usual
        changes = {"trigger": trigger, "trigger_version": version, "runtime": runtime} | changes
    draft = replace(draft, **changes)
    if draft.runtime not in _RUNTIMES:
        raise invalid_body()
    return draft


def _secrets(asked: Sequence[Mapping[str, str]], draft: Draft, now: float) -> tuple[Secret, ...]:
    """Return the secrets that a body names; those that the draft has stay in their order."""
    found = {one["name"]: _secret(one, draft, now) for one in asked}
    known = [secret.name for secret in draft.secrets if secret.name in found]
    return tuple(found[name] for name in dict.fromkeys([*known, *found]))


def _secret(asked: Mapping[str, str], draft: Draft, now: float) -> Secret:
    """Return a secret; without a value it keeps the one that the draft has."""
    if "value" in asked:
        return Secret(asked["name"], asked["value"], now)
    for secret in reversed(draft.secrets):
        if secret.name == asked["name"]:
            return secret
    raise invalid_body()
