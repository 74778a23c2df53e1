"""The routes of users.

Facts: Auth0 Management API v2 ("List or Search Users", "Get a User", "Update a User",
"Search Users by Email") and Auth0 docs, "View Search Results by Page".
What `PATCH /api/v2/users/{id}` makes of a user: "Update a User" (which attributes; their error
texts) and recordings of the API (metadata is merged at its first level, a null deletes a key,
`{}` wipes all; the text that refuses a picture). Which pictures are taken:
`toolkit.tenant.models.takes_picture`.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.routing import BaseRoute, Route

from toolkit.sandbox.api.gate import REST, ROOT, Answer, Call, Check, Gate, check
from toolkit.sandbox.directory.fields import iso
from toolkit.sandbox.directory.lucene import LONGEST_QUERY, QueryError, condition
from toolkit.sandbox.directory.store import Order, Store, connections_of, sortable
from toolkit.sandbox.problem import Problem, bad_body, bad_query, no_such_user
from toolkit.tenant.models import takes_picture

REACHABLE = 1000
"""Only the first 1,000 records of a search can be paged through, and are counted."""

_PAGING = (
    "You can only page through the first 1000 records. See "
    "https://auth0.com/docs/users/search/v3/view-search-results-by-page#limitation"
)
_METHODS = ("DELETE", "GET", "OPTIONS", "PATCH", "POST", "PUT")
_UPDATE_SCOPES = ("update:users", "update:users_app_metadata", "update:current_user_metadata")

_PROFILE = "family_name given_name name nickname picture email phone_number username"
_METADATA = "app_metadata user_metadata"
_CHECKS = (
    Check(_PROFILE, lambda value: isinstance(value, str | None), "Expected type string"),
    Check(_METADATA, lambda value: isinstance(value, dict | None), "Expected type object"),
    Check(
        "blocked email_verified phone_verified",
        lambda value: isinstance(value, bool),
        "Expected type boolean",
    ),
    Check(
        "picture",
        lambda value: value is None or takes_picture(value),
        "Object didn't pass validation for format strict-uri: {value}",
        "URL to picture, photo, or avatar of this user",
    ),
)
_KEEPING = frozenset({"auth0", "email", "sms"})  # strategies that lose no attribute
_UPDATABLE = (
    "a database connection (using the Auth0 store), a passwordless connection (email or sms) or "
    "has disabled 'Sync user profile attributes at each login'. For more information, see "
    "https://auth0.com/docs/dashboard/guides/connections/configure-connection-sync"
)
_REMOVABLE = (
    "a custom database connection with import mode disabled, a social or enterprise connection."
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
            route("GET", f"{ROOT}/users", self.users, "read:users"),
            route("GET", f"{ROOT}/users-by-email", self.users_by_email, "read:users"),
            route("GET", one, self.user, "read:users"),
            route("PATCH", one, self.update_user, *_UPDATE_SCOPES),
            Route(f"{ROOT}/{{rest:{REST}}}", lambda _: _not_found().response(), methods=_METHODS),
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

    def users_by_email(self, call: Call) -> Answer:
        """Read the users with one e-mail address."""
        if not call.asked.get("email"):
            raise bad_query("'Missing required property: email'.")
        return f"[{','.join(_projected(call, self.store.by_email(call.asked['email'])))}]"

    def update_user(self, call: Call) -> Answer:
        """Update a user's root attributes and metadata."""
        body = self.store.change(_user_id(call), lambda user: self._updated(user, call))
        if body is None:
            raise no_such_user()
        return body

    def _updated(self, user: Mapping[str, Any], call: Call) -> dict[str, Any]:
        """Return a user after the change that the body asks for."""
        changes = call.document(bad_body)
        if not changes:
            raise bad_body("'Too few properties defined (0), minimum 1'.")
        check(changes, _CHECKS)
        self._check_connection(user, changes)
        result = dict(user)
        for name, value in changes.items():
            if name in _METADATA.split():
                result[name] = merged(user.get(name), value)
                if value and not result[name]:
                    del result[name]  # its last key went: nobody recorded what stays (INFERRED)
            elif value is None:
                result.pop(name, None)
            else:
                result[name] = value
        return {**result, "updated_at": iso(self.clock())}

    def _check_connection(self, user: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
        """Refuse root attributes that the primary identity's connection owns."""
        attributes = sorted(changes.keys() & set(_PROFILE.split()))
        primary = next(connections_of(user), None)
        connection = self.store.connection(primary.name) if primary else None
        if connection is None:
            return
        if connection.syncs:
            what, kinds = "updated", _UPDATABLE
        elif connection.strategy in _KEEPING:
            what, kinds = "removed", _REMOVABLE
            attributes = [name for name in attributes if changes[name] is None]
        else:
            return
        if attributes:
            text = (
                f"The following user attributes cannot be {what}: {', '.join(attributes)}. "
                f"The connection ({connection.name}) must either be {kinds}"
            )
            raise Problem(400, text, "operation_not_supported")


def merged(old: object, change: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return metadata with a change merged at its first level; `{}` (or None) wipes it."""
    if not change:
        return {}
    merged = {**old, **change} if isinstance(old, Mapping) else dict(change)
    return {key: value for key, value in merged.items() if value is not None or key not in change}


def checkpoint(call: Call, name: str, documents: list[dict[str, Any]]) -> Answer:
    """Return one page from a checkpoint on; a `next` only where there is more."""
    ids = [document["id"] for document in documents]
    start = ids.index(call.asked["from"]) if call.asked.get("from") in ids else 0
    end = start + call.number("take")
    answer: dict[str, Any] = {name: call.projected(documents[start:end])}
    return answer | ({"next": ids[end]} if end < len(ids) else {})


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
