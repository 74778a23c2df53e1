"""The routes of users: search, read, create, update, delete.

Facts: Auth0 Management API v2 ("List or Search Users", "Get a User", "Create a User", "Update a
User", "Delete a User", "Search Users by Email") and Auth0 docs, "View Search Results by Page".
Documented only: which `fields` can be asked for (the pattern in "Search Users by Email").
What a write makes of a user: `toolkit.sandbox.api.user_writes`.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.routing import BaseRoute

from toolkit.sandbox.api.gate import REST, ROOT, Answer, Call, Gate, query
from toolkit.sandbox.api.user_writes import (
    DATABASE,
    check_changes,
    check_connection,
    check_new,
    check_size,
    new_user,
    updated,
)
from toolkit.sandbox.directory.fields import iso
from toolkit.sandbox.directory.lucene import LONGEST_QUERY, QueryError, condition
from toolkit.sandbox.directory.store import Connection, Order, Store, connections_of, sortable
from toolkit.sandbox.problem import Problem, bad_body, bad_query, json_response, no_such_user
from toolkit.sandbox.validation import some_of

REACHABLE = 1000
"""Only the first 1,000 records of a search can be paged through, and are counted."""

_PAGING = (
    "You can only page through the first 1000 records. See "
    "https://auth0.com/docs/users/search/v3/view-search-results-by-page#limitation"
)
_UPDATE_SCOPES = ("update:users", "update:users_app_metadata", "update:current_user_metadata")


# In Auth0's own order, which its refusal repeats.
_FIELDS = (
    "phone_number,email,email_verified,picture,username,user_id,name,nickname,created_at,"
    "identities,app_metadata,user_metadata,last_ip,last_login,logins_count,updated_at,blocked,"
    "family_name,given_name"
)
_SHOWN = some_of(
    _FIELDS,
    "Comma-separated list of fields to include or exclude (based on value provided for "
    "include_fields) in the result. Leave empty to retrieve all fields.",
)
_ONE = query("include_fields", fields=_SHOWN)
_BY_EMAIL = query("email include_fields", required="email", fields=_SHOWN)
_SEARCH = query(
    "page per_page include_totals sort connection include_fields q search_engine",
    primary_order={"type": "boolean"},
    fields=_SHOWN,
)


@dataclass(frozen=True)
class Api:
    """The Management API over one store of users."""

    store: Store
    gate: Gate
    clock: Callable[[], float]

    def routes(self) -> list[BaseRoute]:
        """Return the routes, the most particular first."""
        route, one = self.gate.route, f"{ROOT}/users/{{id:{REST}}}"
        return [
            route("GET", f"{ROOT}/users", self.users, "read:users", query=_SEARCH),
            route("POST", f"{ROOT}/users", self.create_user, "create:users"),
            route("GET", f"{ROOT}/users-by-email", self.by_email, "read:users", query=_BY_EMAIL),
            route("GET", one, self.user, "read:users", query=_ONE),
            route("PATCH", one, self.update_user, *_UPDATE_SCOPES),
            route("DELETE", one, self.delete_user, "delete:users"),
        ]

    def users(self, call: Call) -> Answer:
        """List or search users, one page of them."""
        text = call.asked.get("q", "")
        if len(text) > LONGEST_QUERY:
            raise Problem(414, "Request-URI Too Large")
        if call.asked.get("search_engine", "v3") != "v3":
            raise bad_query("only search_engine v3 is available.")
        page, per_page = paging(call)
        order = _order(call, page)
        try:
            wanted = condition(text)
        except QueryError as error:
            raise bad_query(str(error)) from error
        start = page * per_page
        # One search answers with its users and their total: they are of one moment.
        with self.store.instant():
            found = self.store.page(wanted, order, per_page, start)
            total = self.store.total(wanted, REACHABLE)
        return _listed(call, "users", _projected(call, found), start, per_page, total)

    def user(self, call: Call) -> Answer:
        """Read one user; immediately consistent, as Auth0's is."""
        body = self.store.user(_user_id(call))
        if body is None:
            raise no_such_user()
        return _projected(call, [body])[0]

    def by_email(self, call: Call) -> Answer:
        """Read the users with one e-mail address."""
        return f"[{','.join(_projected(call, self.store.by_email(call.asked['email'])))}]"

    def create_user(self, call: Call) -> Answer:
        """Make a user in a database or a passwordless connection."""
        body = call.document(bad_body)
        check_new(body)
        connection = self.store.connection(body["connection"])
        if connection is None and body["connection"] == DATABASE:
            connection = Connection(DATABASE, "auth0")
        user = new_user(body, connection, iso(self.clock()))
        made = json.dumps(user)
        check_size(len(made), self.store.largest)
        with self.store.instant():
            same = self.store.by_email(user["email"]) if "email" in user else []
            names = {one.name for text in same for one in connections_of(json.loads(text))}
            if body["connection"] in names or self.store.user(user["user_id"]) is not None:
                raise Problem(409, "The user already exists.", "auth0_idp_error")
            self.store.create(user)
        return json_response(made, 201)

    def update_user(self, call: Call) -> Answer:
        """Update a user's root attributes and metadata."""
        changes = call.document(bad_body)
        check_changes(changes)

        def change(user: dict[str, Any]) -> dict[str, Any]:
            primary = next(connections_of(user), None)
            check_connection(self.store.connection(primary.name) if primary else None, changes)
            return updated(user, changes, iso(self.clock()))

        body = self.store.change(_user_id(call), change)
        if body is None:
            raise no_such_user()
        return body

    def delete_user(self, call: Call) -> Answer:
        """Remove a user; nothing tells whether there was one."""
        self.store.delete(_user_id(call))
        return None


def _listed(call: Call, name: str, bodies: list[str], start: int, limit: int, total: int) -> str:
    """Return the JSON of a list, with its numbers where these are asked for."""
    items = f"[{','.join(bodies)}]"
    if not call.flag("include_totals"):
        return items
    return (
        f'{{"start":{start},"limit":{limit},"length":{len(bodies)},'
        f'"{name}":{items},"total":{total}}}'
    )


def _not_found() -> Problem:
    return Problem(404, "Not Found")


def _user_id(call: Call) -> str:
    """The id in the path; a slash belongs to it only where it came encoded."""
    scope = call.request.scope
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    if b"/" in raw.removeprefix(f"{ROOT}/users/".encode()):
        raise _not_found()
    return call.path["id"]


def paging(call: Call) -> tuple[int, int]:
    """Return `page` and `per_page`, which cannot reach beyond the first 1,000."""
    page, per_page = call.number("page"), call.number("per_page")
    if page * per_page >= REACHABLE or (page + 1) * per_page > REACHABLE:
        raise Problem(400, _PAGING, "invalid_paging")
    return page, per_page


def _order(call: Call, page: int) -> Order:
    """How to sort. Without `primary_order` equals may be in another order on the next page."""
    shuffled = page % 2 == 1 and call.flag("primary_order") is False
    if not call.asked.get("sort"):
        # The sandbox's own order; Auth0 promises none.
        return Order("created_at", ties_descending=shuffled)
    name, _, direction = call.asked["sort"].partition(":")
    column = sortable(name)
    if column is None or direction not in {"1", "-1"}:
        raise bad_query("sort is one field and a direction, field:1 or field:-1, not metadata.")
    descending = direction == "-1"
    return Order(column, descending, ties_descending=descending != shuffled)


def _projected(call: Call, bodies: list[str]) -> list[str]:
    """The users' JSON with the asked fields only; untouched where all are asked for."""
    if not call.asked.get("fields"):
        return bodies
    return [json.dumps(one) for one in call.projected([json.loads(one) for one in bodies])]
