"""The routes of triggers and what is bound to them.

Facts: Auth0 Management API, "Get triggers", "Get trigger bindings", "Update trigger bindings";
recordings of the API. INFERRED: the answers where there is no such trigger, too many bindings,
or an Action of another trigger.
"""

import json
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from toolkit.sandbox.action import Action
from toolkit.sandbox.api import ROOT
from toolkit.sandbox.gate import Call, Gate
from toolkit.sandbox.library import Binding, Library, no_such_action
from toolkit.sandbox.listing import listing
from toolkit.sandbox.problem import Problem, invalid_body, json_response
from toolkit.sandbox.triggers import BINDING_POLICY, TRIGGERS

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
