"""The routes of connections.

Facts: Auth0 Management API, "Get all connections", "Get a connection", "Get enabled
clients for a connection" (`options` needs the scope
`read:connections_options`); recordings of the API (what a connection shows, and what of it also
where `fields` does not name it; totals without a `length`; the error of one that is not there).
`enabled_clients` ended in July 2026 (Auth0 docs, "Deprecations and Migrations"). That `fields` has
an allow-list, without `realms` and `is_domain_connection`, is reported by a Kubernetes operator
(alethic/auth0-operator). INFERRED: the rest of that list.
"""

from dataclasses import dataclass
from typing import Any

from starlette.routing import BaseRoute

from toolkit.sandbox.api.gate import ROOT, Answer, Call, Gate, query
from toolkit.sandbox.api.lists import checkpoint, listed
from toolkit.sandbox.api.users import paging
from toolkit.sandbox.directory.store import Connection, Store
from toolkit.sandbox.problem import Problem
from toolkit.sandbox.validation import some_of

_SCOPE = "read:connections"
_FIELDS = some_of(
    "id,name,display_name,strategy,show_as_button,provisioning_ticket_url,options,metadata,"
    "authentication,connected_accounts",
    "A comma separated list of fields to include or exclude (depending on include_fields) from "
    "the result, empty to retrieve all fields",
)
_LISTED = query(
    "page per_page include_totals from take name include_fields",
    strategy={"type": "array"},
    fields=_FIELDS,
)
_SOME = query("from take")
_MOST = 100  # without pages
_ALWAYS = ("id", "is_domain_connection", "authentication", "connected_accounts")


@dataclass(frozen=True)
class Connections:
    """Answers for the connections that a store knows."""

    store: Store
    gate: Gate

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        every, one = f"{ROOT}/connections", query("include_fields", fields=_FIELDS)
        return [
            self.gate.route("GET", every, self.connections, _SCOPE, query=_LISTED),
            self.gate.route("GET", f"{every}/{{id}}", self.connection, _SCOPE, query=one),
            self.gate.route("GET", f"{every}/{{id}}/clients", self.clients, _SCOPE, query=_SOME),
        ]

    def connections(self, call: Call) -> Answer:
        """List connections: all, by offset (`page`), or by checkpoint (`from`, `take`)."""
        asked = call.asked
        documents = [
            _shown(connection, call)
            for connection in self.store.connections
            if asked.get("name", connection.name) == connection.name
            and connection.strategy in (asked.getlist("strategy") or [connection.strategy])
        ]
        if "from" in asked or "take" in asked:
            return checkpoint(call, "connections", documents)
        if "page" in asked or "per_page" in asked:
            paging(call)  # refuses to go too far
        return listed(call, "connections", documents, _MOST)

    def connection(self, call: Call) -> Answer:
        """Read one connection."""
        return _shown(self._found(call), call)

    def clients(self, call: Call) -> Answer:
        """List the applications that a connection is enabled for, of which there are none."""
        self._found(call)
        return checkpoint(call, "clients", [])

    def _found(self, call: Call) -> Connection:
        for connection in self.store.connections:
            if connection.id == call.path["id"]:
                return connection
        raise Problem(404, "The connection does not exist", "inexistent_connection")


def _shown(connection: Connection, call: Call) -> dict[str, Any]:
    """Return a connection with what `fields` leaves of it, and what is always there."""
    document = connection.document(with_options="read:connections_options" in call.scopes)
    shown = call.projected([document])[0]
    if call.flag("include_fields") is False:
        return shown
    return {key: value for key, value in document.items() if key in shown or key in _ALWAYS}
