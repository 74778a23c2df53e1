"""The routes of Actions, their versions, the triggers, and what is bound to them.

Facts: Auth0 Management API, "Get actions" to "Roll back to a previous action version", "Get
triggers", "Get trigger bindings", "Update trigger bindings"; Auth0 docs, "Entity Limit Policy"
(20 bindings of a trigger). Recordings of the API: a deployment is answered with 200 where the
documentation says 202; a page has 20 unless told and 100 at most (SDKs ask for 50 and 100),
`page` is left out for the first page, and `total` where the page is empty; entity-bound triggers
have bindings too, none; the body of a roll-back may be `null`.
INFERRED: that parameters which are not documented are refused as elsewhere, that two Actions may
have one name, that versions are listed the newest first, and the answers where there is no such
trigger, too many bindings, or an Action of another trigger.
"""

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from starlette.routing import BaseRoute

from toolkit.sandbox.api.action_drafts import TRIGGERS, Draft, read_draft
from toolkit.sandbox.api.action_library import Action, Library, no_such_action
from toolkit.sandbox.api.gate import ROOT, Answer, Call, Gate, Handler, query
from toolkit.sandbox.problem import Problem, invalid_body, json_response

_T = TypeVar("_T")
_PER_PAGE = 20
_MOST_BINDINGS = 20
_NULL = b"null"
_READING = "Cannot read properties of undefined (reading 'id')"
_NOT_RUN = {"message": _READING, "name": "TypeError", "stack": f"TypeError: {_READING}"}
_STATS = dict.fromkeys(
    (
        "total_request_duration_ms",
        "total_runtime_execution_duration_ms",
        "runtime_processing_duration_ms",
        "action_duration_ms",
        "runtime_external_call_duration_ms",
        "boot_duration_ms",
        "network_duration_ms",
    ),
    1,
)


class Actions:
    """Answers for the Actions of one tenant; each handler holds the library's lock."""

    def __init__(self, library: Library, gate: Gate) -> None:
        self._library = library
        self._gate = gate

    def routes(self) -> list[BaseRoute]:
        """Return the routes; to deploy and to roll back are things that are created."""

        def route(
            method: str, path: str, handler: Handler, scope: str, parameters: str = ""
        ) -> BaseRoute:
            def locked(call: Call) -> Answer:
                with self._library.lock:
                    return handler(call)

            asked = query(parameters)
            return self._gate.route(method, f"{ROOT}/actions/{path}", locked, scope, query=asked)

        one, version = "actions/{id}", "actions/{id}/versions/{version}"
        bindings, pages = "triggers/{trigger}/bindings", "page per_page"
        filters = f"actionName triggerId deployed installed {pages}"
        return [
            route("GET", "actions", self.actions, "read:actions", filters),
            route("POST", "actions", self.create, "create:actions"),
            route("GET", one, self.get, "read:actions"),
            route("PATCH", one, self.update, "update:actions"),
            route("DELETE", one, self.delete, "delete:actions", "force"),
            route("POST", f"{one}/deploy", self.deploy, "create:actions"),
            route("POST", f"{one}/test", self.test, "create:actions"),
            route("GET", f"{one}/versions", self.versions, "read:actions", pages),
            route("GET", version, self.version, "read:actions"),
            route("POST", f"{version}/deploy", self.roll_back, "create:actions"),
            route("GET", "triggers", lambda _: {"triggers": TRIGGERS}, "read:actions"),
            route("GET", bindings, self.bindings, "read:actions", pages),
            route("PATCH", bindings, self.bind, "update:actions"),
        ]

    def actions(self, call: Call) -> Answer:
        """List Actions, by name, trigger or being deployed where that is asked for."""
        now = self._library.clock()
        deployed = call.flag("deployed")

        def is_wanted(action: Action) -> bool:
            return (
                call.asked.get("actionName", action.draft.name) == action.draft.name
                and call.asked.get("triggerId", action.draft.trigger) == action.draft.trigger
                and deployed in (None, action.deployed(now) is not None)
            )

        return _page(call, "actions", list(filter(is_wanted, self._library.actions())), self._read)

    def create(self, call: Call) -> Answer:
        """Create an Action, and with `deploy` its first version."""
        body = call.document()
        deploy = _popped_flag(body, "deploy")
        now = self._library.clock()
        action = self._library.add(read_draft(body, None, now))
        if deploy:
            action.deploy(action.draft, now, with_creation=True)
        return json_response(json.dumps(action.document(now)), 201)

    def get(self, call: Call) -> Answer:
        """Read one Action."""
        return self._read(self._action(call))

    def update(self, call: Call) -> Answer:
        """Change the draft of an Action; what is deployed stays as it is."""
        body = call.document()
        now = self._library.clock()
        action = self._action(call)
        action.change(read_draft(body, action.draft, now), now)
        return action.document(now)

    def delete(self, call: Call) -> Answer:
        """Delete an Action."""
        force = call.flag("force") is True
        self._library.remove(self._action(call), force=force)
        return None

    def deploy(self, call: Call) -> Answer:
        """Make a version of the draft; where the Action is bound, it runs from now on."""
        action = self._action(call)
        if action.status(self._library.clock()) != "built":
            raise Problem(400, "A draft must be in the 'built' state before it can be deployed.")
        return self._deploy(action, action.draft)

    def test(self, call: Call) -> Answer:
        """Answer as recorded where the payload is not a whole event: nothing runs code here."""
        body = call.document()
        payload = body.pop("payload", None)
        if body or not isinstance(payload, dict):
            raise invalid_body()
        self._action(call)
        return {"payload": {"error": _NOT_RUN, "stats": _STATS}}

    def versions(self, call: Call) -> Answer:
        """List the versions of an Action."""
        action = self._action(call)
        action.look()
        show = partial(action.version_document, now=self._library.clock())
        return _page(call, "versions", action.versions[::-1], show)

    def version(self, call: Call) -> Answer:
        """Read one version of an Action."""
        action = self._action(call)
        version = action.version(call.path["version"])
        action.look()
        return action.version_document(version, self._library.clock())

    def roll_back(self, call: Call) -> Answer:
        """Make a new version that is the same as an old one, and with `update_draft` the draft."""
        body = call.document() if call.body.strip() not in {b"", _NULL} else {}
        update_draft = _popped_flag(body, "update_draft")
        if body:
            raise invalid_body()
        action = self._action(call)
        draft = action.version(call.path["version"]).draft
        answer = self._deploy(action, draft)
        if update_draft:
            action.change(draft, self._library.clock())
        return answer

    def bindings(self, call: Call) -> Answer:
        """List what is bound to a trigger, in the order in which it runs."""
        now = self._library.clock()
        bindings = self._library.bindings(_trigger(call))
        return _page(call, "bindings", bindings, lambda binding: binding.document(now))

    def bind(self, call: Call) -> Answer:
        """Bind other Actions to a trigger, all of them with new ids."""
        trigger = _trigger(call)
        body = call.document()
        wanted = body.pop("bindings", None)
        if body or not isinstance(wanted, list) or len(wanted) > _MOST_BINDINGS:
            raise invalid_body()
        self._library.bind(trigger, [self._wanted(one, trigger) for one in wanted])
        now = self._library.clock()
        return {"bindings": [one.document(now) for one in self._library.bindings(trigger)]}

    def _action(self, call: Call) -> Action:
        return self._library.action(call.path["id"])

    def _read(self, action: Action) -> dict[str, Any]:
        action.look()
        return action.document(self._library.clock())

    def _deploy(self, action: Action, draft: Draft) -> Answer:
        now = self._library.clock()
        return action.version_document(action.deploy(draft, now), now)

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


def _trigger(call: Call) -> str:
    """Return the trigger in the path."""
    trigger = call.path["trigger"]
    if trigger not in {one["id"] for one in TRIGGERS}:
        raise Problem(404, "That trigger does not exist.")
    return trigger


def _popped_flag(body: dict[str, Any], name: str) -> bool:
    """Take a boolean out of a body; false where it is not there."""
    found = body.pop(name, False)
    if not isinstance(found, bool):
        raise invalid_body()
    return found


def _page(
    call: Call, name: str, items: Sequence[_T], show: Callable[[_T], dict[str, Any]]
) -> dict[str, Any]:
    """Return one page of a list; only what is on it is shown."""
    page, per_page = call.number("page"), call.number("per_page", _PER_PAGE)
    shown = [show(item) for item in items[page * per_page : (page + 1) * per_page]]
    total = {"total": len(items)} if shown else {}
    return {name: shown, **total, **({"page": page} if page else {}), "per_page": per_page}
