"""What `PATCH /api/v2/users/{id}` makes of a user.

Facts: Auth0 Management API, "Update a User" (which attributes; their error texts); recordings
of the API (metadata is merged at its first level, a null deletes a key, `{}` wipes all; the
text that refuses a picture). Which pictures are taken: `toolkit.connection.takes_picture`.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from toolkit.connection import takes_picture
from toolkit.sandbox.connections import Connection, connections_of
from toolkit.sandbox.moment import iso
from toolkit.sandbox.problem import Problem, bad_body

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
