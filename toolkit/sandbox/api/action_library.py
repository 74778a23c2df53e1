"""The tenant's Actions, their versions, and what is bound to its triggers.

Facts: recordings of the API. A draft is pending, then building, then built, whatever its code
is: that its JavaScript parses is nowhere checked. To deploy makes a version, which is said
not to be deployed in that answer and a moment later is; an Action that is created with
`deploy` has its version at once. A new list of bindings replaces the old one and has new ids.
Auth0 docs, "Entity Limit Policy" (100 Actions). Reported against Auth0's Terraform provider
and deploy CLI: the refusals to bind what is not deployed, and to delete what is bound. That not
all changes are deployed is what recordings of bindings and versions say even where they are; a
draft that was built does not say where its dependencies come from. The sandbox keeps no modules:
each that an Action names has its id for a name. INFERRED: the text for one Action too many (that
of other entities), and that the oldest of more than 50 versions, or of more than a megabyte of
them, goes.
"""

import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from toolkit.sandbox.api.action_drafts import POST_LOGIN, Draft, Secret
from toolkit.sandbox.problem import Problem

_MOST_ACTIONS = 100
_MOST_VERSIONS = 50
_MOST_TEXT = 1024 * 1024  # characters of all versions of an Action
_BUILD, _ROLLOUT = 5.0, 1.0  # seconds
_READS = 2
_LOADED = frozenset({"name", "code", "trigger", "deployed", "bound", "secrets"})


def _new_id() -> str:
    return str(uuid.uuid4())


def _stamp(seconds: float) -> str:
    """Return UNIX seconds as this part of the API writes them: with nanoseconds."""
    moment = datetime.fromtimestamp(int(seconds), tz=UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{int(seconds % 1 * 1_000_000_000):09}Z"


def _stamps(created: float) -> dict[str, str]:
    return {"created_at": _stamp(created), "updated_at": _stamp(created)}


@dataclass
class Progress:
    """How far something is that Auth0 does in the background.

    It is over when it was read for the second time, or when its time has passed: no client
    ever finds it over at once, and none has to wait long.
    """

    since: float
    seconds: float
    reads: int = 0

    def is_over(self, now: float) -> bool:
        """Tell whether it is over."""
        return self.reads >= _READS or now - self.since >= self.seconds


@dataclass
class Version:
    """An Action as it was deployed once."""

    number: int
    draft: Draft
    created: float
    rollout: Progress
    with_creation: bool
    id: str = field(default_factory=_new_id)

    def is_deployed(self, now: float) -> bool:
        """Tell whether it can be bound."""
        return self.rollout.is_over(now)

    def document(self, now: float, *, deployed: bool) -> dict[str, Any]:
        """Return the version as the API shows it, without its Action."""
        built = {"built_at": _stamp(self.created)} if self.is_deployed(now) else {}
        return {
            **_content(self.draft, is_built=True),
            "id": self.id,
            "deployed": deployed,
            "number": self.number,
            **built,
            "status": self._status(now),
            **_stamps(self.created),
            "supported_triggers": self.draft.supported_triggers,
        }

    def older_document(self, now: float) -> dict[str, Any]:
        """Return the version in an older form that the API still shows."""
        built = {"build_time": _stamp(self.created)} if self.is_deployed(now) else {}
        return {
            "id": self.id,
            "code": self.draft.code,
            "runtime": self.draft.runtime,
            "status": self._status(now).upper(),
            "number": self.number,
            **built,
            **_stamps(self.created),
        }

    def _status(self, now: float) -> str:
        return "pending" if self.with_creation and not self.is_deployed(now) else "built"


@dataclass
class Action:
    """An Action of the tenant."""

    draft: Draft
    created: float
    updated: float
    build: Progress
    id: str = field(default_factory=_new_id)
    versions: list[Version] = field(default_factory=list)

    @classmethod
    def of(cls, draft: Draft, now: float) -> "Action":
        """Return a new Action, the draft of which is about to be built."""
        return cls(draft, now, now, Progress(now, _BUILD))

    def change(self, draft: Draft, now: float) -> None:
        """Replace the draft, which is then built anew; what is deployed stays."""
        self.draft, self.updated, self.build = draft, now, Progress(now, _BUILD)

    def deploy(self, draft: Draft, now: float, *, with_creation: bool = False) -> Version:
        """Make a version of a draft; it is what runs from now on."""
        number = self.versions[-1].number + 1 if self.versions else 1
        version = Version(number, draft, now, Progress(now, _ROLLOUT), with_creation)
        self.versions = [*self.versions, version][-_MOST_VERSIONS:]
        while len(self.versions) > 1 and sum(one.draft.size for one in self.versions) > _MOST_TEXT:
            self.versions = self.versions[1:]
        return version

    def settle(self) -> None:
        """Have all that goes on in the background be over."""
        self.look(_READS)

    def look(self, times: int = 1) -> None:
        """Count reads: what goes on in the background goes on."""
        self.build.reads += times
        for version in self.versions:
            version.rollout.reads += times

    @property
    def live(self) -> Version | None:
        """The version that runs where the Action is bound."""
        return self.versions[-1] if self.versions else None

    def status(self, now: float) -> str:
        """Return the status of the draft."""
        if self.build.is_over(now):
            return "built"
        return "building" if self.build.reads else "pending"

    def deployed(self, now: float) -> Version | None:
        """Return the version that is said to be deployed."""
        said = (one for one in reversed(self.versions) if one.with_creation or one.is_deployed(now))
        return next(said, None)

    def version(self, name: str) -> Version:
        """Return the version with this id. INFERRED: the text where there is none."""
        for version in self.versions:
            if version.id == name:
                return version
        raise Problem(404, "That action version does not exist.")

    def document(self, now: float) -> dict[str, Any]:
        """Return the Action as the API shows it."""
        return {
            **self._head(),
            "updated_at": _stamp(self.updated),
            **_content(self.draft, is_built=self.status(now) == "built"),
            "status": self.status(now),
            **self._deployment(now),
        }

    def brief(self, now: float) -> dict[str, Any]:
        """Return the Action as a binding shows it."""
        return {**self._head(), **self._deployment(now), "all_changes_deployed": False}

    def version_document(self, version: Version, now: float) -> dict[str, Any]:
        """Return a version as the API shows it, with its Action."""
        deployed = version is self.deployed(now)
        action = {**self._head(), "all_changes_deployed": False}
        return {**version.document(now, deployed=deployed), "action": action}

    def _head(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.draft.name,
            "supported_triggers": self.draft.supported_triggers,
            **_stamps(self.created),
        }

    def _deployment(self, now: float) -> dict[str, Any]:
        deployed = self.deployed(now)
        if deployed is None:
            return {"all_changes_deployed": False}
        return {
            "current_version": deployed.older_document(now),
            "deployed_version": deployed.document(now, deployed=True),
            "all_changes_deployed": deployed.draft == self.draft,
        }


def _content(draft: Draft, *, is_built: bool) -> dict[str, Any]:
    """Return what a draft consists of, with the secrets' names instead of their values."""
    hidden = "registry_url" if is_built else None
    dependencies = [
        {key: text for key, text in one.items() if key != hidden} for one in draft.dependencies
    ]
    modules = [
        {**one, "module_name": one["module_id"], "module_version_number": 1}
        for one in draft.modules
    ]
    return {
        "code": draft.code,
        "dependencies": dependencies,
        "runtime": draft.runtime,
        "secrets": [
            {"name": secret.name, "updated_at": _stamp(secret.updated)} for secret in draft.secrets
        ],
        **({"modules": modules} if modules else {}),
    }


@dataclass(frozen=True)
class Binding:
    """An Action's place at a trigger."""

    action: Action
    display_name: str
    created: float
    id: str = field(default_factory=_new_id)

    def document(self, now: float) -> dict[str, Any]:
        """Return the binding as the API shows it."""
        return {
            "id": self.id,
            "trigger_id": self.action.draft.trigger,
            "action": self.action.brief(now),
            **_stamps(self.created),
            "display_name": self.display_name,
        }


class Library:
    """All Actions of one sandbox and their bindings; what the API refuses raises Problem.

    Whoever reads or changes Actions holds `lock` meanwhile. The clock has UNIX seconds.

    `loaded` are Actions that are there from the start: mappings with `name`, `code` and, unless
    they are as usual, `trigger` (post-login), `deployed` (true), `bound` (true where it is
    deployed) and `secrets` (a mapping from names to values). ValueError: an Action has other keys,
    or is bound without being deployed.

    An Action can be bound when its first deployment is `bind_lag` seconds old; `unique` refuses a
    second Action of a name.
    """

    def __init__(
        self,
        loaded: Iterable[Mapping[str, Any]],
        clock: Callable[[], float],
        *,
        bind_lag: float = 0.0,
        unique: bool = False,
    ) -> None:
        self._bind_lag, self._unique = bind_lag, unique
        self.lock = threading.RLock()
        self.clock = clock
        self._actions: dict[str, Action] = {}
        self._bindings: dict[str, list[Binding]] = {}
        for one in loaded:
            self._load(one)

    def actions(self) -> list[Action]:
        """Return all Actions, the oldest first."""
        return list(self._actions.values())

    def action(self, name: str) -> Action:
        """Return the Action with this id."""
        if name not in self._actions:
            raise no_such_action()
        return self._actions[name]

    def add(self, draft: Draft) -> Action:
        """Create an Action, unless there are too many already."""
        if len(self._actions) >= _MOST_ACTIONS:
            text = "You reached the limit of entities of this type for this tenant."
            raise Problem(403, text, "too_many_entities")
        if self._unique and any(one.draft.name == draft.name for one in self.actions()):
            raise Problem(409, "An action with this name already exists.")
        action = Action.of(draft, self.clock())
        self._actions[action.id] = action
        return action

    def remove(self, action: Action, *, force: bool) -> None:
        """Delete an Action that is not bound, or with `force` its bindings as well."""
        trigger = action.draft.trigger
        bindings = self.bindings(trigger)
        others = [binding for binding in bindings if binding.action is not action]
        if len(others) < len(bindings) and not force:
            raise Problem(409, "Unable to delete an action bound to a trigger.")
        self._bindings[trigger] = others
        del self._actions[action.id]

    def bindings(self, trigger: str) -> list[Binding]:
        """Return what is bound to a trigger, in the order in which it runs."""
        return list(self._bindings.get(trigger, ()))

    def bind(self, trigger: str, wanted: Sequence[tuple[Action, str]]) -> None:
        """Replace what is bound to a trigger, by deployed Actions and the names to show."""
        now = self.clock()
        bound = [one.action for one in self.bindings(trigger)]
        for action, _ in wanted:
            old = [one for one in action.versions if now - one.created >= self._bind_lag]
            if action not in bound and not any(version.is_deployed(now) for version in old):
                text = "Trying to create a binding for an action that has not been deployed yet"
                raise Problem(400, text)
        self._bindings[trigger] = [Binding(action, name, now) for action, name in wanted]

    def _load(self, one: Mapping[str, Any]) -> None:
        unknown = sorted(one.keys() - _LOADED)
        deployed = one.get("deployed", True)
        bound = one.get("bound", deployed)
        if unknown or (bound and not deployed):
            raise ValueError(f"no such Action can be loaded: {unknown or 'bound, not deployed'}")
        now = self.clock()
        found = one.get("secrets", {})
        secrets = tuple(Secret(name, value, now) for name, value in found.items())
        trigger = one.get("trigger", POST_LOGIN)
        version = "v3" if trigger == POST_LOGIN else "v2"
        action = self.add(Draft(one["name"], trigger, version, one["code"], secrets=secrets))
        if deployed:
            action.deploy(action.draft, now)
        action.settle()
        if bound:
            self._bindings.setdefault(trigger, []).append(Binding(action, one["name"], now))


def no_such_action() -> Problem:
    """Return the refusal to find an Action."""
    return Problem(404, "That action does not exist.")
