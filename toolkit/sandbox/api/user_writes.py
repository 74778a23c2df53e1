"""What may be written to a user, and what becomes of the user.

Facts: Auth0's API description, "Create a User" and "Update a User" (which attributes, their
lengths and formats; error texts of attributes that a connection owns); recordings of the API
(metadata is merged at its first level, a null deletes a key, `{}` wipes all, and `app_metadata`
is gone then; a new password sets `last_password_reset`; what a new user looks like); public code
and answers (the hint after unknown properties; "The user already exists."). Documented only:
Auth0's support article about names of metadata with a dot. Which pictures are taken:
`toolkit.tenant.models.takes_picture`.
INFERRED: the refusals of a new user without e-mail address or password, and of a connection in
which nobody can be made; that a `$` in a name of metadata is refused like a dot.
"""

import hashlib
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from toolkit.sandbox.directory.store import Connection
from toolkit.sandbox.made_up.names import initials
from toolkit.sandbox.problem import Problem, bad_body, on_property, too_large
from toolkit.sandbox.validation import Rules, Schema

DATABASE = "Username-Password-Authentication"
"""The database that every tenant has."""

_METADATA = ("app_metadata", "user_metadata")
_ROOT = frozenset(
    "email family_name given_name name nickname phone_number picture username".split()
)
_PASSING = frozenset(
    "client_id connection password verify_email verify_phone_number".split()
)  # say how to write, and are not part of the user


def _text(about: str, least: int | None = None, most: int | None = None, **more: str) -> Rules:
    limits = {"minLength": least, "maxLength": most}
    limits = {name: limit for name, limit in limits.items() if limit is not None}
    return {"type": "string", "description": about, **limits, **more}


def _or_null(rules: Rules) -> Rules:
    return {**rules, "type": [rules["type"], "null"]}


_PHONE = r"^\+[0-9]{1,15}$"
_HINT = (
    ' (consider storing them in app_metadata or user_metadata. See "Users Metadata" in '
    "https://auth0.com/docs/api/v2/changes for more details)"
)
_FLAG = {"type": "boolean"}
_OBJECT = {"type": ["object", "null"]}
_CREATED = Schema(
    {
        "email": _text("The user's email.", format="email"),
        "phone_number": _text(
            "The user's phone number (following the E.164 recommendation).", pattern=_PHONE
        ),
        "user_metadata": _OBJECT,
        "blocked": _FLAG,
        "email_verified": _FLAG,
        "phone_verified": _FLAG,
        "app_metadata": _OBJECT,
        "given_name": _text("The user's given name(s).", 1, 150),
        "family_name": _text("The user's family name(s).", 1, 150),
        "name": _text("The user's full name.", 1, 300),
        "nickname": _text("The user's nickname.", 1, 300),
        "picture": _text("A URI pointing to the user's picture.", format="strict-uri"),
        "user_id": _text(
            "The external user's id provided by the identity provider.", 0, 255, pattern=r"^\S*$"
        ),
        "connection": _text("Name of the connection this user should be created in.", 1),
        "password": _text(
            "Initial password for this user. Only valid for auth0 connection strategy.", 1
        ),
        "verify_email": _FLAG,
        "username": _text(
            "The user's username. Only valid if the connection requires a username.", 1, 128
        ),
    },
    required=["connection"],
    hint=_HINT,
)
_UPDATED = Schema(
    {
        "blocked": _FLAG,
        "email_verified": _FLAG,
        "email": _or_null(_text("Email address of this user.", format="email")),
        "phone_number": _or_null(
            _text("The user's phone number (following the E.164 recommendation).", pattern=_PHONE)
        ),
        "phone_verified": _FLAG,
        "user_metadata": _OBJECT,
        "app_metadata": _OBJECT,
        "given_name": _or_null(_text("Given name/first name/forename of this user.", 1, 150)),
        "family_name": _or_null(_text("Family name/last name/surname of this user.", 1, 150)),
        "name": _or_null(_text("Name of this user.", 1, 300)),
        "nickname": _or_null(_text("Preferred nickname or alias of this user.", 1, 300)),
        "picture": _or_null(
            _text("URL to picture, photo, or avatar of this user.", format="strict-uri")
        ),
        "verify_email": _FLAG,
        "verify_phone_number": _FLAG,
        "password": _or_null(
            _text("New password for this user. Only valid for database connections.", 1)
        ),
        "connection": _text("Name of the connection to target for this user update.", 1),
        "client_id": _text("Auth0 client ID. Only valid when updating email address.", 1),
        "username": _or_null(
            _text("The user's username. Only valid if the connection requires a username.", 1, 128)
        ),
    },
    least=1,
    hint=_HINT,
)
_MADE_HERE = frozenset({"auth0", "email", "sms"})
"""Strategies in which the API can make users; they also lose no attribute."""

_UPDATABLE = (
    "a database connection (using the Auth0 store), a passwordless connection (email or sms) or "
    "has disabled 'Sync user profile attributes at each login'. For more information, see "
    "https://auth0.com/docs/dashboard/guides/connections/configure-connection-sync"
)
_REMOVABLE = (
    "a custom database connection with import mode disabled, a social or enterprise connection."
)


def check_new(body: Mapping[str, Any]) -> None:
    """Refuse a body from which no user can be made."""
    _CREATED.check(body)
    _check_names(body)


def check_changes(body: Mapping[str, Any]) -> None:
    """Refuse a body that no user can be changed by."""
    _UPDATED.check(body)
    _check_names(body)


def check_size(size: int, most: int) -> None:
    """Refuse a user whose JSON would have more characters than `most`."""
    if size > most:
        raise too_large()


def check_connection(connection: Connection | None, changes: Mapping[str, Any]) -> None:
    """Refuse root attributes that the primary identity's connection owns."""
    if connection is None:
        return
    attributes = sorted(changes.keys() & _ROOT)
    if connection.syncs:
        what, kinds = "updated", _UPDATABLE
    elif connection.strategy in _MADE_HERE:
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


def updated(user: Mapping[str, Any], changes: Mapping[str, Any], now: str) -> dict[str, Any]:
    """Return a user after a change that was checked; `now` is the time as Auth0 writes it."""
    result = {**user, "updated_at": now}
    if changes.get("password"):
        result["last_password_reset"] = now
    for name, value in changes.items():
        if name in _METADATA:
            result[name] = merged(user.get(name), value)
            # Recorded for `{}`, which keeps an empty `user_metadata`. Nobody recorded what stays
            # when the last key goes (INFERRED).
            if not result[name] and (value or name == "app_metadata"):
                del result[name]
        elif value is None:
            result.pop(name, None)
        elif name not in _PASSING:
            result[name] = value
    return result


def new_user(body: Mapping[str, Any], connection: Connection | None, now: str) -> dict[str, Any]:
    """Return the user that a checked body makes in a connection."""
    if connection is None:
        raise Problem(400, "The connection does not exist.", "inexistent_connection")
    if connection.strategy not in _MADE_HERE:
        text = f"Users cannot be created in the connection ({connection.name})."
        raise Problem(400, text, "operation_not_supported")
    needed = {"auth0": ("email", "password"), "email": ("email",), "sms": ("phone_number",)}
    for name in needed[connection.strategy]:
        if name not in body and not (name == "email" and "username" in body):
            raise bad_body(on_property(f"Missing required property: {name}"))
    own = body.get("user_id") or secrets.token_hex(12)
    email = body["email"].lower() if "email" in body else None
    shown = body.get("name") or email or body.get("username") or body["phone_number"]
    identity = {
        "connection": connection.name,
        "user_id": own,
        "provider": connection.strategy,
        "isSocial": False,
    }
    kept = {name: value for name, value in body.items() if name not in _PASSING}
    return {
        "created_at": now,
        "email_verified": False,
        "name": shown,
        "nickname": shown.partition("@")[0],
        "picture": _drawn(shown, email),
        **{name: value for name, value in kept.items() if value or name not in _METADATA},
        **({"email": email} if email else {}),
        "identities": [identity],
        "updated_at": now,
        "user_id": f"{connection.strategy}|{own}",
    }


def _drawn(shown: str, email: str | None) -> str:
    """Return the picture that Auth0 gives to somebody who brings none."""
    letters = f"https://cdn.auth0.com/avatars/{initials(shown, email)}.png"
    if email is None:
        return letters
    digest = hashlib.md5(email.encode(), usedforsecurity=False).hexdigest()
    return f"https://s.gravatar.com/avatar/{digest}?s=480&r=pg&d={quote(letters, safe='')}"


def merged(old: object, change: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return metadata with a change merged at its first level; `{}` (or None) wipes it."""
    if not change:
        return {}
    merged = {**old, **change} if isinstance(old, Mapping) else dict(change)
    return {key: value for key, value in merged.items() if value is not None or key not in change}


def _check_names(body: Mapping[str, Any]) -> None:
    """Refuse names in metadata, however deep, with a dot or a dollar sign."""
    todo: list[object] = [body.get(name) for name in _METADATA]
    while todo:
        item = todo.pop()
        if isinstance(item, Mapping):
            for sign in (".", "$"):
                if any(sign in name for name in item):
                    text = f'Fields with "{sign}" are not allowed, please remove all dotted fields.'
                    raise Problem(400, text, "invalid_body")
            todo.extend(item.values())
        elif isinstance(item, list):
            todo.extend(item)
