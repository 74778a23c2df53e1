"""The routes of the Management API that the sandbox has: users and connections.

Facts: Auth0 Management API v2 ("List or Search Users", "Get a User", "Update a User",
"Search Users by Email", "Get all connections") and Auth0 docs, "View Search Results by Page".
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from toolkit.sandbox.asked import MOST_PER_PAGE, flag, number, projection
from toolkit.sandbox.condition import condition
from toolkit.sandbox.gate import Call, Gate
from toolkit.sandbox.problem import (
    Problem,
    bad_paging,
    bad_query,
    json_response,
    no_such_user,
    not_found,
)
from toolkit.sandbox.profile import updated
from toolkit.sandbox.query import LONGEST_QUERY, QueryError
from toolkit.sandbox.rest import REST
from toolkit.sandbox.store import Order, Store, sortable

ROOT = "/api/v2"
REACHABLE = 1000
"""Only the first 1,000 records of a search can be paged through, and are counted."""

_DEFAULT_PER_PAGE = 50
_METHODS = ("DELETE", "GET", "OPTIONS", "PATCH", "POST", "PUT")
_UPDATE_SCOPES = ("update:users", "update:users_app_metadata", "update:current_user_metadata")


def _unknown_path(_: Request) -> Response:
    return not_found().response()


@dataclass(frozen=True)
class Api:
    """The Management API over one store of users."""

    store: Store
    gate: Gate
    clock: Callable[[], float]

    def routes(self) -> list[BaseRoute]:
        """Return the routes, the most particular first."""
        gate = self.gate
        return [
            gate.route("GET", f"{ROOT}/users", self.users, "read:users"),
            gate.route("GET", f"{ROOT}/users-by-email", self.users_by_email, "read:users"),
            gate.route("GET", f"{ROOT}/users/{{id:{REST}}}", self.user, "read:users"),
            gate.route("PATCH", f"{ROOT}/users/{{id:{REST}}}", self.update_user, *_UPDATE_SCOPES),
            gate.route("GET", f"{ROOT}/connections", self.connections, "read:connections"),
            gate.route("GET", f"{ROOT}/connections/{{id}}", self.connection, "read:connections"),
            Route(f"{ROOT}/{{rest:{REST}}}", _unknown_path, methods=list(_METHODS)),
        ]

    def users(self, call: Call) -> Response:
        """List or search users, one page of them."""
        asked = call.request.query_params
        text = asked.get("q", "")
        if len(text) > LONGEST_QUERY:
            raise Problem(414, "Request-URI Too Large")
        if asked.get("search_engine", "v3") != "v3":
            raise bad_query("only search_engine v3 is available.")
        page, per_page = _paging(asked)
        order = _order(asked, page)
        try:
            wanted = condition(text)
        except QueryError as error:
            raise bad_query(str(error)) from error
        start = page * per_page
        # One search answers with its users and their total: they are of one moment.
        with self.store.instant():
            found = self.store.page(wanted, order, per_page, start)
            total = self.store.total(wanted, REACHABLE)
        users = "[" + ",".join(_projected(found, asked)) + "]"
        if not flag(asked, "include_totals", default=False):
            return json_response(users)
        return json_response(
            f'{{"start":{start},"limit":{per_page},"length":{len(found)},'
            f'"users":{users},"total":{total}}}'
        )

    def user(self, call: Call) -> Response:
        """Read one user; immediately consistent, as Auth0's is."""
        body = self.store.user(_user_id(call.request))
        if body is None:
            raise no_such_user()
        return json_response(_projected([body], call.request.query_params)[0])

    def users_by_email(self, call: Call) -> Response:
        """Read the users with one e-mail address."""
        asked = call.request.query_params
        if not asked.get("email"):
            raise bad_query("'Missing required property: email'.")
        return json_response(
            f"[{','.join(_projected(self.store.by_email(asked['email']), asked))}]"
        )

    def update_user(self, call: Call) -> Response:
        """Update a user's root attributes and metadata."""

        def change(user: dict[str, Any]) -> dict[str, Any]:
            return updated(user, call.body, self.store.connection, self.clock())

        body = self.store.change(_user_id(call.request), change)
        if body is None:
            raise no_such_user()
        return json_response(body)

    def connections(self, call: Call) -> Response:
        """List connections: all, by offset (`page`), or by checkpoint (`from`, `take`)."""
        asked = call.request.query_params
        with_options = "read:connections_options" in call.scopes
        found = [
            connection
            for connection in self.store.connections
            if asked.get("name", connection.name) == connection.name
            and connection.strategy in (asked.getlist("strategy") or [connection.strategy])
        ]
        documents = [item.document(with_options=with_options) for item in found]
        if "from" in asked or "take" in asked:
            return _checkpoint(documents, asked)
        is_paged = "page" in asked or "per_page" in asked
        page, per_page = _paging(asked) if is_paged else (0, max(len(documents), 1))
        shown = documents[page * per_page : (page + 1) * per_page]
        bodies = list(map(projection(asked) or dict, shown))
        if not flag(asked, "include_totals", default=False):
            return json_response(json.dumps(bodies))
        summary = {"start": page * per_page, "limit": per_page, "length": len(bodies)}
        answer = {**summary, "connections": bodies, "total": len(documents)}
        return json_response(json.dumps(answer))

    def connection(self, call: Call) -> Response:
        """Read one connection. INFERRED: the error of one that is not there."""
        wanted = call.request.path_params["id"]
        found = next((one for one in self.store.connections if one.id == wanted), None)
        if found is None:
            raise Problem(404, "The connection does not exist", "inexistent_connection")
        document = found.document(with_options="read:connections_options" in call.scopes)
        project = projection(call.request.query_params) or dict
        return json_response(json.dumps(project(document)))


def _checkpoint(documents: list[dict[str, Any]], asked: QueryParams) -> Response:
    """One page from a checkpoint on; a `next` only where there is more."""
    ids = [document["id"] for document in documents]
    start = ids.index(asked["from"]) if asked.get("from") in ids else 0
    end = start + number(asked, "take", _DEFAULT_PER_PAGE, MOST_PER_PAGE)
    bodies = list(map(projection(asked) or dict, documents[start:end]))
    answer: dict[str, Any] = {"connections": bodies}
    if end < len(documents):
        answer["next"] = ids[end]
    return json_response(json.dumps(answer))


def _user_id(request: Request) -> str:
    """The id in the path; a slash belongs to it only where it came encoded."""
    raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    if b"/" in raw.removeprefix(f"{ROOT}/users/".encode()):
        raise not_found()
    return str(request.path_params["id"])


def _paging(asked: QueryParams) -> tuple[int, int]:
    page = number(asked, "page", 0, None)
    per_page = number(asked, "per_page", _DEFAULT_PER_PAGE, MOST_PER_PAGE)
    if page * per_page >= REACHABLE or (page + 1) * per_page > REACHABLE:
        raise bad_paging()
    return page, per_page


def _order(asked: QueryParams, page: int) -> Order:
    """How to sort. Without `primary_order` equals may be in another order on the next page."""
    shuffled = page % 2 == 1 and not flag(asked, "primary_order", default=True)
    if not asked.get("sort"):
        # The sandbox's own order; Auth0 promises none.
        return Order("created_at", ties_descending=shuffled)
    name, _, direction = asked["sort"].partition(":")
    column = sortable(name)
    if column is None or direction not in {"1", "-1"}:
        raise bad_query("sort is one field and a direction, field:1 or field:-1, not metadata.")
    descending = direction == "-1"
    return Order(column, descending, ties_descending=descending != shuffled)


def _projected(bodies: list[str], asked: QueryParams) -> list[str]:
    """The users' JSON with the asked fields only; untouched where all are asked for."""
    project = projection(asked)
    return bodies if project is None else [json.dumps(project(json.loads(one))) for one in bodies]
