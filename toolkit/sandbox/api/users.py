"""The routes of the Management API that the sandbox has: users and connections.

Facts: Auth0 Management API v2 ("List or Search Users", "Get a User", "Update a User",
"Search Users by Email", "Get all connections") and Auth0 docs, "View Search Results by Page".

What `PATCH /api/v2/users/{id}` makes of a user.

Facts: Auth0 Management API, "Update a User" (which attributes; their error texts); recordings
of the API (metadata is merged at its first level, a null deletes a key, `{}` wipes all; the
text that refuses a picture). Which pictures are taken: `toolkit.tenant.models.takes_picture`.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from toolkit.sandbox.api.gate import MOST_PER_PAGE, REST, Call, Gate, flag, number, projection
from toolkit.sandbox.directory.fields import iso
from toolkit.sandbox.directory.lucene import LONGEST_QUERY, QueryError, condition
from toolkit.sandbox.directory.store import Connection, Order, Store, connections_of, sortable
from toolkit.sandbox.problem import (
    Problem,
    bad_body,
    bad_paging,
    bad_query,
    json_response,
    no_such_user,
    not_found,
)
from toolkit.tenant.models import takes_picture

_TEXTS = frozenset({"family_name", "given_name", "name", "nickname", "picture"})
_CONTACTS = frozenset({"email", "phone_number", "username"})
_FLAGS = frozenset({"blocked", "email_verified", "phone_verified"})
_METADATA = frozenset({"app_metadata", "user_metadata"})
_KEEPING = frozenset({"auth0", "email", "sms"})
_SYNC_DOCS = "https://auth0.com/docs/dashboard/guides/connections/configure-connection-sync"


def updated(
    user: Mapping[str, Any],
    body: bytes,
    connection_named: Callable[[object], Connection | None],
    now: float,
) -> dict[str, Any]:
    """Return the user after a change.

    Args:
        user: The user as stored.
        body: The request's JSON.
        connection_named: Finds the tenant's connection of a name.
        now: UNIX seconds, the new `updated_at`.

    Raises:
        Problem: If the body is no valid change, or Auth0 refuses it for this user.
    """
    changes = _read(body)
    _check_connection(user, changes, connection_named)
    result = dict(user)
    for name, value in changes.items():
        if name in _METADATA:
            result[name] = merged(user.get(name), value)
            if value and not result[name]:
                del result[name]  # its last key went: nobody recorded what stays (INFERRED)
        elif value is None:
            result.pop(name, None)
        else:
            result[name] = value
    result["updated_at"] = iso(now)
    return result


def _read(body: bytes) -> dict[str, Any]:
    try:
        changes = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Problem(400, "Invalid request payload JSON format") from error
    if not isinstance(changes, dict):
        raise bad_body("'Expected type object'.")
    if not changes:
        raise bad_body("'Too few properties defined (0), minimum 1'.")
    unknown = sorted(changes.keys() - _TEXTS - _CONTACTS - _FLAGS - _METADATA)
    if unknown:
        raise bad_body(f"'Additional properties not allowed: {','.join(unknown)}'.")
    for name, value in changes.items():
        kind = str if name in _TEXTS | _CONTACTS else bool if name in _FLAGS else dict
        is_unset = value is None and name not in _FLAGS
        if not (isinstance(value, kind) or is_unset):
            raise bad_body(f"'Expected type {_NAMES[kind]}' on property {name}.")
    picture = changes.get("picture")
    if picture is not None and not takes_picture(picture):
        raise bad_body(
            f"'Object didn't pass validation for format strict-uri: {picture}' on property "
            "picture (URL to picture, photo, or avatar of this user)."
        )
    return changes


_NAMES: Mapping[type, str] = {str: "string", bool: "boolean", dict: "object"}


def _check_connection(
    user: Mapping[str, Any],
    changes: Mapping[str, Any],
    connection_named: Callable[[object], Connection | None],
) -> None:
    """Refuse root attributes that the primary identity's connection owns."""
    attributes = sorted(changes.keys() & (_TEXTS | _CONTACTS))
    primary = next(connections_of(user), None)
    connection = connection_named(primary.name) if primary else None
    if not attributes or connection is None:
        return
    if connection.syncs:
        text = (
            f"The following user attributes cannot be updated: {', '.join(attributes)}. "
            f"The connection ({connection.name}) must either be a database connection (using "
            "the Auth0 store), a passwordless connection (email or sms) or has disabled "
            "'Sync user profile attributes at each login'. For more information, see "
            f"{_SYNC_DOCS}"
        )
        raise Problem(400, text, "operation_not_supported")
    removed = [name for name in attributes if changes[name] is None]
    if removed and connection.strategy in _KEEPING:
        text = (
            f"The following user attributes cannot be removed: {', '.join(removed)}. "
            f"The connection ({connection.name}) must either be a custom database connection "
            "with import mode disabled, a social or enterprise connection."
        )
        raise Problem(400, text, "operation_not_supported")


def merged(old: object, change: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return metadata with a change merged at its first level; `{}` (or None) wipes it."""
    if not change:
        return {}
    merged = {**old, **change} if isinstance(old, Mapping) else dict(change)
    return {key: value for key, value in merged.items() if value is not None or key not in change}


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
