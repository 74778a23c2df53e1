"""The routes of Actions and their versions.

Facts: Auth0 Management API, "Get actions" to "Roll back to a previous action version";
recordings of the API, which answer a deployment with 200 where the documentation says 202.
INFERRED: that two Actions may have one name, and that versions are listed the newest first.
"""

import json
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from toolkit.sandbox.api.action_drafts import Draft, read_draft
from toolkit.sandbox.api.action_library import Library
from toolkit.sandbox.api.action_versions import Action, Version
from toolkit.sandbox.api.gate import Call, Gate, flag, listing
from toolkit.sandbox.api.users import ROOT
from toolkit.sandbox.problem import Problem, invalid_body, json_response


class Actions:
    """Answers for the Actions of one tenant."""

    def __init__(self, library: Library, gate: Gate) -> None:
        self._library = library
        self._gate = gate

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        route, every = self._gate.route, f"{ROOT}/actions/actions"
        one = f"{every}/{{id}}"
        version = f"{one}/versions/{{version}}"
        # To deploy and to roll back are things that are created.
        return [
            route("GET", every, self.list, "read:actions"),
            route("POST", every, self.create, "create:actions"),
            route("GET", one, self.get, "read:actions"),
            route("PATCH", one, self.update, "update:actions"),
            route("DELETE", one, self.delete, "delete:actions"),
            route("POST", f"{one}/deploy", self.deploy, "create:actions"),
            route("GET", f"{one}/versions", self.versions, "read:actions"),
            route("GET", version, self.version, "read:actions"),
            route("POST", f"{version}/deploy", self.roll_back, "create:actions"),
        ]

    def list(self, call: Call) -> Response:
        """List Actions, by name, trigger or being deployed where that is asked for."""
        asked = call.request.query_params
        now = self._library.clock()
        deployed = flag(asked, "deployed", default=False) if "deployed" in asked else None

        def is_wanted(action: Action) -> bool:
            return (
                asked.get("actionName", action.draft.name) == action.draft.name
                and asked.get("triggerId", action.draft.trigger) == action.draft.trigger
                and deployed in (None, action.deployed(now) is not None)
            )

        with self._library.lock:
            found = [action for action in self._library.actions() if is_wanted(action)]
            return listing("actions", found, self._read, asked)

    def create(self, call: Call) -> Response:
        """Create an Action, and with `deploy` its first version."""
        body = call.document()
        deploy = body.pop("deploy", False)
        if not isinstance(deploy, bool):
            raise invalid_body()
        now = self._library.clock()
        draft = read_draft(body, None, now)
        with self._library.lock:
            action = self._library.add(draft)
            if deploy:
                action.deploy(draft, now, with_creation=True)
            return _answer(action.document(now), 201)

    def get(self, call: Call) -> Response:
        """Read one Action."""
        with self._library.lock:
            return _answer(self._read(self._action(call)))

    def update(self, call: Call) -> Response:
        """Change the draft of an Action; what is deployed stays as it is."""
        body = call.document()
        now = self._library.clock()
        with self._library.lock:
            action = self._action(call)
            action.change(read_draft(body, action.draft, now), now)
            return _answer(action.document(now))

    def delete(self, call: Call) -> Response:
        """Delete an Action."""
        force = flag(call.request.query_params, "force", default=False)
        with self._library.lock:
            self._library.remove(self._action(call), force=force)
        return Response(status_code=204)

    def deploy(self, call: Call) -> Response:
        """Make a version of the draft; where the Action is bound, it runs from now on."""
        with self._library.lock:
            action = self._action(call)
            if action.status(self._library.clock()) != "built":
                text = "A draft must be in the 'built' state before it can be deployed."
                raise Problem(400, text)
            return self._deploy(action, action.draft)

    def versions(self, call: Call) -> Response:
        """List the versions of an Action."""
        with self._library.lock:
            action = self._action(call)

            def show(version: Version) -> dict[str, Any]:
                return action.version_document(version, self._library.clock())

            action.look()
            newest_first = action.versions[::-1]
            return listing("versions", newest_first, show, call.request.query_params)

    def version(self, call: Call) -> Response:
        """Read one version of an Action."""
        with self._library.lock:
            action, version = self._version(call)
            action.look()
            return _answer(action.version_document(version, self._library.clock()))

    def roll_back(self, call: Call) -> Response:
        """Make a new version that is the same as an old one, and with `update_draft` the draft."""
        body = call.document() if call.body.strip() else {}
        update_draft = body.pop("update_draft", False)
        if body or not isinstance(update_draft, bool):
            raise invalid_body()
        with self._library.lock:
            action, version = self._version(call)
            answer = self._deploy(action, version.draft)
            if update_draft:
                action.change(version.draft, self._library.clock())
            return answer

    def _action(self, call: Call) -> Action:
        return self._library.action(call.request.path_params["id"])

    def _version(self, call: Call) -> tuple[Action, Version]:
        action = self._action(call)
        return action, action.version(call.request.path_params["version"])

    def _read(self, action: Action) -> dict[str, Any]:
        action.look()
        return action.document(self._library.clock())

    def _deploy(self, action: Action, draft: Draft) -> Response:
        now = self._library.clock()
        return _answer(action.version_document(action.deploy(draft, now), now))


def _answer(document: dict[str, Any], status: int = 200) -> Response:
    return json_response(json.dumps(document), status)
