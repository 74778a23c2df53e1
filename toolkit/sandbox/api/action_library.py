"""The tenant's Actions, what is bound to its triggers, and the routes of what is bound.

Facts: Auth0 docs, "Entity Limit Policy" (100 Actions, 20 bindings of a trigger); recordings
of the API (a new list of bindings replaces the old one and has new ids). Reported against
Auth0's Terraform provider and deploy CLI: the refusals to bind what is not deployed, and to
delete what is bound. INFERRED: the text for one Action too many (that of other entities).

The routes of triggers and what is bound to them.

Facts: Auth0 Management API, "Get triggers", "Get trigger bindings", "Update trigger bindings";
recordings of the API. INFERRED: the answers where there is no such trigger, too many bindings,
or an Action of another trigger.
"""

import json
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from toolkit.sandbox.api.action_drafts import BINDING_POLICY, POST_LOGIN, TRIGGERS, Draft, Secret
from toolkit.sandbox.api.action_versions import Action, stamp
from toolkit.sandbox.api.gate import Call, Gate, listing
from toolkit.sandbox.api.users import ROOT
from toolkit.sandbox.problem import Problem, invalid_body, json_response

_MOST_ACTIONS = 100
_LOADED = frozenset({"name", "code", "deployed", "bound", "secrets"})


@dataclass(frozen=True)
class Binding:
    """An Action's place at a trigger."""

    action: Action
    display_name: str
    created: float
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def document(self, now: float) -> dict[str, Any]:
        """Return the binding as the API shows it."""
        return {
            "id": self.id,
            "trigger_id": self.action.draft.trigger,
            "action": self.action.brief(now),
            "created_at": stamp(self.created),
            "updated_at": stamp(self.created),
            "display_name": self.display_name,
        }


class Library:
    """All Actions of one sandbox and their bindings.

    Whoever reads or changes Actions holds `lock` meanwhile.

    Args:
        loaded: Post-login Actions that are there from the start: mappings with `name`, `code`
            and, unless they are as usual, `deployed` (true), `bound` (true where it is
            deployed) and `secrets` (a mapping from names to values).
        clock: UNIX seconds.

    Raises:
        ValueError: If an Action has other keys, or is bound without being deployed.
    """

    def __init__(self, loaded: Iterable[Mapping[str, Any]], clock: Callable[[], float]) -> None:
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
        """Return the Action with this id.

        Raises:
            Problem: If there is none.
        """
        if name not in self._actions:
            raise no_such_action()
        return self._actions[name]

    def add(self, draft: Draft) -> Action:
        """Create an Action.

        Raises:
            Problem: If there are too many already.
        """
        if len(self._actions) >= _MOST_ACTIONS:
            text = "You reached the limit of entities of this type for this tenant."
            raise Problem(403, text, "too_many_entities")
        action = Action.of(draft, self.clock())
        self._actions[action.id] = action
        return action

    def remove(self, action: Action, *, force: bool) -> None:
        """Delete an Action, and with `force` its bindings first.

        Raises:
            Problem: If it is bound.
        """
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

    def bind(self, trigger: str, wanted: Sequence[tuple[Action, str]]) -> list[Binding]:
        """Replace what is bound to a trigger, by Actions with the names to show for them.

        Raises:
            Problem: If one of them is not deployed yet.
        """
        now = self.clock()
        for action, _ in wanted:
            if not any(version.is_deployed(now) for version in action.versions):
                text = "Trying to create a binding for an action that has not been deployed yet"
                raise Problem(400, text)
        self._bindings[trigger] = [Binding(action, name, now) for action, name in wanted]
        return self.bindings(trigger)

    def _load(self, one: Mapping[str, Any]) -> None:
        unknown = sorted(one.keys() - _LOADED)
        deployed = one.get("deployed", True)
        bound = one.get("bound", deployed)
        if unknown or (bound and not deployed):
            raise ValueError(f"no such Action can be loaded: {unknown or 'bound, not deployed'}")
        now = self.clock()
        found = one.get("secrets", {})
        secrets = tuple(Secret(name, value, now) for name, value in found.items())
        action = self.add(Draft(one["name"], code=one["code"], secrets=secrets))
        if deployed:
            action.deploy(action.draft, now)
        action.settle()
        if bound:
            self._bindings.setdefault(POST_LOGIN, []).append(Binding(action, one["name"], now))


def no_such_action() -> Problem:
    """Return the refusal to find an Action."""
    return Problem(404, "That action does not exist.")


_MOST_BINDINGS = 20


class Bindings:
    """Answers for the triggers of one tenant."""

    def __init__(self, library: Library, gate: Gate) -> None:
        self._library = library
        self._gate = gate

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        route, every = self._gate.route, f"{ROOT}/actions/triggers"
        bound = f"{every}/{{trigger}}/bindings"
        return [
            route("GET", every, _triggers, "read:actions"),
            route("GET", bound, self.list, "read:actions"),
            route("PATCH", bound, self.replace, "update:actions"),
        ]

    def list(self, call: Call) -> Response:
        """List what is bound to a trigger, in the order in which it runs."""
        with self._library.lock:
            bindings = self._library.bindings(_trigger(call))
            return listing("bindings", bindings, self._shown, call.request.query_params)

    def replace(self, call: Call) -> Response:
        """Bind other Actions to a trigger, all of them with new ids."""
        trigger = _trigger(call)
        body = call.document()
        wanted = body.pop("bindings", None)
        if body or not isinstance(wanted, list) or len(wanted) > _MOST_BINDINGS:
            raise invalid_body()
        with self._library.lock:
            pairs = [self._wanted(one, trigger) for one in wanted]
            bindings = self._library.bind(trigger, pairs)
            answer = {"bindings": [self._shown(binding) for binding in bindings]}
        return json_response(json.dumps(answer))

    def _wanted(self, one: object, trigger: str) -> tuple[Action, str]:
        """Return an Action that is to be bound, and the name to show for it."""
        if not isinstance(one, dict) or one.keys() - {"ref", "display_name"}:
            raise invalid_body()
        action = self._referred(one.get("ref"), trigger)
        name = one.get("display_name", action.draft.name)
        if not isinstance(name, str) or action.draft.trigger != trigger:
            raise invalid_body()
        return action, name

    def _referred(self, ref: object, trigger: str) -> Action:
        """Return the Action that a reference means."""
        if not isinstance(ref, dict) or not isinstance(ref.get("value"), str):
            raise invalid_body()
        kind, value = ref.get("type"), ref["value"]
        if kind == "action_id":
            return self._library.action(value)
        if kind == "action_name":
            found = [one for one in self._library.actions() if one.draft.name == value]
        elif kind == "binding_id":
            found = [one.action for one in self._library.bindings(trigger) if one.id == value]
        else:
            raise invalid_body()
        if not found:
            raise no_such_action()
        return found[0]

    def _shown(self, binding: Binding) -> dict[str, Any]:
        return binding.document(self._library.clock())


def _triggers(_: Call) -> Response:
    """List the triggers."""
    return json_response(json.dumps({"triggers": TRIGGERS}))


def _trigger(call: Call) -> str:
    """Return the trigger in the path, to which Actions can be bound."""
    trigger: str = call.request.path_params["trigger"]
    if trigger not in BINDING_POLICY:
        raise Problem(404, "That trigger does not exist.")
    if BINDING_POLICY[trigger] == "entity-bound":
        raise Problem(400, "cannot list action bindings for an entity-bound trigger")
    return trigger
