"""The triggers of Actions, and the draft that `POST` and `PATCH /actions/actions` write.

Facts: Auth0 Management API, "Create an action", "Update an Action"; Auth0 docs, "Actions
Limitations" (100 kB of code, 30 secrets, 10 dependencies); recordings of the API (a PATCH
replaces the properties that it names, and leaves secrets that it names again in their order; the
triggers of August 2026; runtimes that no trigger lists any more are taken). INFERRED: that a
trigger cannot be exchanged for another one, that a secret without a value keeps the one it has,
and that names and what a dependency says have 255 characters at most.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from toolkit.sandbox.api.gate import Check, check
from toolkit.sandbox.problem import invalid_body

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
_LONGEST_NAME, _LONGEST_KEY, _LONGEST_VALUE = 255, 128, 4096
_MOST_DEPENDENCIES, _MOST_SECRETS = 10, 30
_DEPENDENCY = frozenset({"name", "version", "registry_url"})
_MODULE = frozenset({"module_id", "module_version_id"})


def _is_text(value: object, most: int) -> bool:
    return isinstance(value, str) and len(value) <= most


def _is_dependency(value: Mapping[str, Any]) -> bool:
    texts = all(_is_text(text, _LONGEST_NAME) for text in value.values())
    return texts and "name" in value and not value.keys() - _DEPENDENCY


def _is_module(value: Mapping[str, Any]) -> bool:
    texts = all(_is_text(text, _LONGEST_NAME) for text in value.values())
    return texts and value.keys() == _MODULE


def _is_secret(value: Mapping[str, Any]) -> bool:
    given = _is_text(value.get("value", ""), _LONGEST_VALUE)
    return given and _is_text(value.get("name"), _LONGEST_KEY)


def _are_objects(value: object, most: int, holds: Callable[[Mapping[str, Any]], bool]) -> bool:
    """Tell whether a value is a list of at most so many objects that hold."""
    if not isinstance(value, list) or len(value) > most:
        return False
    return all(isinstance(one, dict) and holds(one) for one in value)


_CHECKS = (
    Check("name", lambda name: _is_text(name, _LONGEST_NAME) and name != ""),
    Check("code runtime", lambda text: isinstance(text, str)),
    Check("code", lambda code: len(code.encode("utf-8", "replace")) <= _LONGEST_CODE),
    Check(
        "supported_triggers", lambda found: _are_objects(found, 1, lambda _: True) and found != []
    ),
    Check("dependencies", lambda found: _are_objects(found, _MOST_DEPENDENCIES, _is_dependency)),
    Check("modules", lambda found: _are_objects(found, _MOST_DEPENDENCIES, _is_module)),
    Check("secrets", lambda found: _are_objects(found, _MOST_SECRETS, _is_secret)),
)


def read_draft(body: Mapping[str, Any], former: Draft | None, now: float) -> Draft:
    """Return the draft that a request's body makes, of a former one or from nothing."""
    check(body, _CHECKS, invalid_body)
    if former is None and not body.keys() >= {"name", "supported_triggers"}:
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
