"""What a snapshot keeps of one Auth0 user object."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from toolkit.classification.arrow import array, texts
from toolkit.classification.held_elsewhere import THUMBNAIL, elsewhere
from toolkit.classification.schema import PROFILE
from toolkit.classification.times import UnreadTimes, milliseconds, moment

_MAX_COUNT = 2**63
_COUNT = re.compile(r"[0-9]{1,18}(?:\.0*)?")
_NUMBERS = frozenset({"$numberInt", "$numberLong", "$numberDouble"})

TIMES = ("created_at", "updated_at", "last_login")
"""The attributes of a user that are times."""

# What is asked of the tenant. `identities` may hold identity-provider tokens for a client with
# `read:user_idp_tokens`: only connection, provider and `profileData.picture` of an identity ever
# reach the disk.
FIELDS = (
    *"user_id email name identities created_at updated_at last_login logins_count".split(),
    *("picture", "user_metadata", THUMBNAIL),
)


class User(NamedTuple):
    """One user, cut down to the first columns of a snapshot.

    Times are UTC, to the millisecond, as Auth0 keeps them. A value of the wrong type is kept as
    its JSON text.
    """

    user_id: str
    email: str | None
    name: str | None
    connection: str | None
    strategy: str | None
    created_at: datetime | None
    updated_at: datetime | None
    last_login: datetime | None
    logins_count: int | None
    picture: str | None
    metadata_picture: str | None
    elsewhere: str | None = None
    elsewhere_from: str | None = None

    @property
    def key(self) -> str:
        """The user_id, or without one the whole profile as text."""
        return self.user_id or repr(self)


def _text(value: object) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, default=repr)
    # A lone surrogate has no UTF-8 form, so no file and no table can hold it.
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _held(value: object) -> str | None:
    # pandas writes NaN where there is no value.
    return None if value != value else _text(value)  # noqa: PLR0124 - only NaN differs from itself


def _count(value: object) -> int | None:
    # BigQuery and MongoDB write numbers as texts, pandas with a decimal point.
    if isinstance(value, Mapping) and value.keys() <= _NUMBERS:
        value = next(iter(value.values()), None)
    if isinstance(value, str):
        return int(value.partition(".")[0]) if _COUNT.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value < _MAX_COUNT else None


def user(record: object, unread: UnreadTimes | None = None) -> User:
    """Cut an Auth0 user object down to what a snapshot keeps. Never raises.

    Args:
        record: one user object of the Management API or of an export file.
        unread: counts the times of it that cannot be read.

    Returns:
        The user; `user_id` is empty where the object has none. What is no object at all is kept
        as a user whose picture is its JSON text, and so is invalid.
    """
    if not isinstance(record, Mapping):
        record = {"picture": {"not a user object": record}}
    # Fact: Auth0, "User Account Linking": the root profile is that of the first identity.
    listed = record.get("identities")
    identities = listed if isinstance(listed, list) else []
    primary = next((one for one in identities if isinstance(one, Mapping)), {})
    user_id = _text(record.get("user_id")) or ""
    metadata = record.get("user_metadata")
    override = metadata.get("picture") if isinstance(metadata, Mapping) else None
    # Without identities the id still names the strategy, but not the connection.
    strategy = _held(primary.get("provider")) or (
        user_id.partition("|")[0] if "|" in user_id else None
    )
    picture, metadata_picture = _held(record.get("picture")), _held(override)
    spare, place = elsewhere(record, picture, metadata_picture)
    times = {name: moment(record.get(name)) for name in TIMES}
    if unread is not None:
        unread.add({name: record.get(name) for name in TIMES if times[name] is None})
    return User(
        user_id,
        _held(record.get("email")),
        _held(record.get("name")),
        _held(primary.get("connection")),
        strategy,
        times["created_at"],
        times["updated_at"],
        times["last_login"],
        _count(record.get("logins_count")),
        picture,
        metadata_picture,
        _text(spare),
        place,
    )


def tabulated(users: Iterable[User]) -> pa.Table:
    """Put users into a table: one row each, in the order given, the columns of `PROFILE`."""
    columns: Sequence[Sequence[Any]] = list(zip(*users, strict=True)) or [()] * len(PROFILE)
    arrays = [_array(column, field.type) for column, field in zip(columns, PROFILE, strict=True)]
    return pa.table(arrays, schema=PROFILE)


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return what `pyarrow.array`, which loads pandas, would return."""
    if kind == pa.string():
        return texts(values)
    if kind == pa.int64():
        numbers = [value or 0 for value in values]
    else:
        numbers = [0 if value is None else milliseconds(value) for value in values]
    absent = np.fromiter((value is None for value in values), np.bool_, len(values))
    return array(np.array(numbers, np.int64), absent).cast(kind)
