"""The routes of connections.

Facts: Auth0 Management API, "Get all connections", "Get a connection" (`options` needs the scope
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
from toolkit.sandbox.api.users import checkpoint, paging
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
        is_paged = "page" in asked or "per_page" in asked
        page, per_page = paging(call) if is_paged else (0, _MOST)
        start = page * per_page
        shown = documents[start : start + per_page]
        if not call.flag("include_totals"):
            return shown
        total = len(documents)
        return {"total": total, "start": start, "limit": per_page, "connections": shown}

    def connection(self, call: Call) -> Answer:
        """Read one connection."""
        for connection in self.store.connections:
            if connection.id == call.path["id"]:
                return _shown(connection, call)
        raise Problem(404, "The connection does not exist", "inexistent_connection")


def _shown(connection: Connection, call: Call) -> dict[str, Any]:
    """Return a connection with what `fields` leaves of it, and what is always there."""
    document = connection.document(with_options="read:connections_options" in call.scopes)
    shown = call.projected([document])[0]
    if call.flag("include_fields") is False:
        return shown
    return {key: value for key, value in document.items() if key in shown or key in _ALWAYS}
