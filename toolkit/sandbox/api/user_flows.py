"""The routes of Flows, as far as they are read.

Facts: Auth0 Management API, "List flows" and "Get a flow" (scope `read:flows`); an action of a
flow that updates a user has the type `AUTH0`, the action `UPDATE_USER`, and `changes` among its
`params` (auth0/terraform-provider-auth0, `auth0_flow`). A list has no actions in it.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from starlette.routing import BaseRoute

from toolkit.sandbox.api.gate import ROOT, Answer, Call, Gate, query
from toolkit.sandbox.api.lists import listed
from toolkit.sandbox.problem import Problem

_SINCE = "2025-01-01T00:00:00.000Z"
_LISTED = ("id", "name", "created_at", "updated_at")


class Flows:
    """The Flows of one tenant, loaded from mappings: `name` and `actions`."""

    def __init__(self, loaded: Iterable[Mapping[str, Any]]) -> None:
        self._flows: dict[str, dict[str, Any]] = {}
        for number, one in enumerate(loaded, start=1):
            # The same ids in every run.
            name = "af_" + hashlib.sha256(f"flow {number}".encode()).hexdigest()[:20]
            self._flows[name] = {"id": name, "created_at": _SINCE, "updated_at": _SINCE, **one}

    def routes(self, gate: Gate) -> list[BaseRoute]:
        """Return the routes."""
        every = f"{ROOT}/flows"
        listed = query("page per_page include_totals hydrate synchronous")
        return [
            gate.route("GET", every, self.flows, "read:flows", query=listed),
            gate.route("GET", f"{every}/{{id}}", self.flow, "read:flows", query=query("hydrate")),
        ]

    def flows(self, call: Call) -> Answer:
        """List Flows, without what they do."""
        shown = [{name: one[name] for name in _LISTED} for one in self._flows.values()]
        return listed(call, "flows", shown)

    def flow(self, call: Call) -> Answer:
        """Read one Flow."""
        found = self._flows.get(call.path["id"])
        if found is None:
            raise Problem(404, "The flow does not exist.", "inexistent_flow")
        return found
