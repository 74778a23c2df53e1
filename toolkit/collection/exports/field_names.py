"""The names that tools give to the attributes of an Auth0 user, and where their values belong.

Facts: Auth0, "Bulk User Exports": a field may be exported by its path (`identities[0].connection`)
and under another name; the example there exports that path as `provider`. Auth0's extension "User
Import / Export" renames all fields (`Id`, `Given Name`, `Picture`, `Connection`, `Created At`, …).
turbot/steampipe-plugin-auth0: table `auth0_user` calls the user's id `id`. Singer's and Airbyte's
specifications: `{"type": "RECORD", "stream", "record"}`; Airbyte's raw tables: `_airbyte_data`.
PostHog: a person has `distinct_id` and `properties`. Other tools join paths with `_`, `.` or `/`.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import Any, NamedTuple

from toolkit.classification.held_elsewhere import THUMBNAIL, rank
from toolkit.collection.exports.nested_text import opened
from toolkit.collection.exports.not_users import kind_of
from toolkit.collection.exports.values_by_path import (
    BY_PATH,
    LINKED,
    METADATA,
    NESTED,
    NO_VALUES,
    TITLES,
    WORDS,
    has_parts,
    is_formed,
    is_spare,
    placed,
)
from toolkit.errors import SettingsError, UnreadableInputError
from toolkit.formatting import some_of

# Other names, the nearest first, in lower case and without blanks and punctuation.
_OTHERS = {
    "user_id": "userid auth0userid auth0id sub distinctid distinctids idoid id",
    "email": "email emailaddress",
    "name": "name fullname",
    "picture": "picture",
    "created_at": "createdat created",
    "updated_at": "updatedat updated",
    "last_login": "lastlogin lastloginat latestlogin",
    "logins_count": "loginscount logincount logins",
    "identities": "identities",
    "user_metadata": "usermetadata",
    THUMBNAIL: "thumbnailphotourl",
    "identities[0].connection": "identities0connection identitiesconnection connection",
    "identities[0].provider": "identities0provider identitiesprovider strategy",
    "user_metadata.picture": "usermetadatapicture metadatapicture",
    "provider": "provider",
}
_ORDER = {name: place for place, name in enumerate(_OTHERS)}
_CANONICAL = {title: titles[0] for titles in TITLES.values() for title in titles}
# Ranks of names: Auth0's own, a snapshot's, and others.
_OWN, _SNAPSHOT, _OTHER = range(3)
_BY_BARE = {
    bare: (name, _OTHER + place)
    for name, others in _OTHERS.items()
    for place, bare in enumerate(others.split())
}
_SHORT = {"identities[0].connection": "connection", "identities[0].provider": "strategy"}
# These are user ids only if they begin with a strategy.
_WITH_STRATEGY = frozenset({"sub", "distinctid", "distinctids"})
# These are names of many other ids, too, so there must be something that only users have.
_ANY_ID = frozenset({"distinctid", "distinctids", "idoid", "id"})
_EVIDENCE = frozenset(
    "email picture last_login logins_count identities user_metadata user_metadata.picture".split()
)
# By column of a snapshot, the attributes of which one is enough to fill it.
_COLUMNS = {
    name: name
    for name in "email name created_at updated_at last_login logins_count picture".split()
} | {
    "connection": "identities identities[0].connection provider",
    "strategy": "identities identities[0].provider provider user_id",
    "metadata_picture": "user_metadata user_metadata.picture",
}

_PUNCTUATION = re.compile(r"[\W_]+")
_METADATA_KEY = re.compile(r"(?i:user[\W_]*metadata)[\W_]*(\w.*?)\W*", re.DOTALL)
_LINKED_BARE = re.compile(r"identit(?:y|ies)([0-9]{1,2})(provider|connection|profiledatapicture)")
_STEP = re.compile(r"[^.\[\]]+")

# Keys under which tools put a user or users.
_AROUND = (
    *"_airbyte_data record data user users items results rows hits _source properties".split(),
    *"members records object payload after value values result response body".split(),
    *"edges node nodes documents".split(),
)
_DEEPEST = 8
_LONGEST = 256  # characters of a name that can mean something
_STREAM = re.compile(r"(?:users?|people|persons?|profiles?|accounts?)$")
# Lines of Singer and Airbyte that are no rows, with a key that each has.
_NO_ROWS = {
    "SCHEMA": "schema",
    "STATE": "value state",
    "ACTIVATE_VERSION": "version",
    "LOG": "log",
    "TRACE": "trace",
    "CATALOG": "catalog",
    "SPEC": "spec",
    "CONTROL": "control",
    "CONNECTION_STATUS": "connectionStatus",
}
_QUOTED_ID = re.compile(r"'[\w-]+\|")
_REMEMBERED = 4096


class FieldNames:
    """What the names in one file are taken for. To be used for one file only.

    Attributes:
        given: by Auth0's names, the names in the file that somebody says; they beat all others.
        is_table: whether `NO_VALUES` are no values, as in tables of other programs. Not for CSV:
            there `record_of_cells` has decided it, as after Auth0's quote they are texts.
        present: Auth0's names of the attributes that some record of the file has, by path:
            `picture`, `identities[0].connection`, `user_metadata.picture`.
        total: how many users there are at the tenant, as a page of the Management API says; or 0.
        short: how many users fewer pages hold than they say of themselves.
    """

    def __init__(self, given: Mapping[str, str] | None = None, *, is_table: bool = False) -> None:
        """Raise SettingsError if `given` has a name that is not Auth0's."""
        self.given = {_wanted(name): column for name, column in (given or {}).items()}
        self.is_table = is_table
        self.present: set[str] = set()
        self._plans: dict[tuple[str, ...], _Plan] = {}
        self._chosen: dict[str, str] = {}  # by attribute, the key that it is taken from
        self._unused: dict[str, str] = {}  # by key, the attribute that is taken from another key
        self.total = self.short = 0
        self._around: dict[str, None] = {}
        self._seen: dict[str, None] = {}
        self._unread: Counter[str] = Counter()
        self._is_titled = False
        self._sought = self.given  # what is to be found in records

    def titles(self, titles: Sequence[str]) -> list[str]:
        """Return Auth0's names, by path, for the column names of a table.

        A name that means nothing here stays. No two columns get the same name of Auth0's. Where
        the columns are not those of users, all names stay.
        """
        keys = [title.strip(" \t\ufeff") for title in titles]
        choice = self._choice(keys, None)
        if len(self._seen) < _REMEMBERED:
            self._seen |= dict.fromkeys(keys)
        is_other = "user_id" not in self.given and kind_of(frozenset(keys))
        if is_other or _claim(choice, keys, self.given) is not _Claim.USER:
            return keys
        self._is_titled = True
        self._sought = {}  # rows have Auth0's names already
        self._remember(keys, choice)
        names = dict(enumerate(keys))
        names |= {place: f"{keys[place]} (not used)" for place in choice.unused}
        return list((names | choice.used).values())

    def has_users(self, titles: Sequence[str]) -> bool:
        """Whether rows with these column names can be users, or hold them in a column."""
        claim = _claim(self._choice(titles, None), titles, self.given)
        return claim is not _Claim.NONE or bool(_around(titles))

    def users(self, record: object) -> Iterator[object]:
        """Yield the user objects in a record, in Auth0's form: usually one.

        What is no user, and holds none, is yielded as an object without `user_id`. For a line that
        is no row of users, such as Singer's SCHEMA, nothing is yielded.
        """
        if isinstance(record, dict):
            plan = self._plans.get(tuple(record))
            is_one = plan and plan.claim is _Claim.USER and not plan.around
            if plan and is_one and (one := self._user(record, plan)):
                return iter((one,))
        return self._opened(record, 0)

    def are_plain(self, record: Any) -> bool:  # noqa: ANN401 - any JSON
        """Whether a record is a user object in Auth0's own form, as a query can read it."""
        if not isinstance(record, Mapping) or not isinstance(record.get("user_id"), str):
            return False
        plan = self._plan(record)
        is_own = plan.claim is _Claim.USER and not (plan.moves or plan.drops or plan.paths)
        return is_own and is_formed(record) and not any(map(is_spare, record.keys() - {THUMBNAIL}))

    def ensure_given(self, name: str) -> None:
        """Raise UnreadableInputError if a given key was in no record of the file `name`."""
        for attribute, column in self.given.items():
            if attribute not in self.present:
                raise UnreadableInputError(
                    f"{name} has no {column}, so --map {_SHORT.get(attribute, attribute)}={column} "
                    f"cannot be used. It has: {self.seen}."
                )

    @property
    def seen(self) -> str:
        """The names in the file, the first of them."""
        return some_of(self._seen) or "no names"

    @property
    def absent(self) -> tuple[str, ...]:
        """The columns of a snapshot that no record had."""
        return tuple(
            column for column, names in _COLUMNS.items() if self.present.isdisjoint(names.split())
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What was taken for what where the name is another, and what was left out."""
        taken = [f"users from {key}" for key in self._around if key != "users"]
        taken += [
            f"{_SHORT.get(name, name)} from {key}"
            for name, key in sorted(self._chosen.items(), key=lambda one: _ORDER.get(one[0], 99))
            if name in self.given or _rank(key) >= _OTHER
        ]
        unused = [f"{key} ({_SHORT.get(name, name)})" for key, name in self._unused.items()]
        notes = [
            f"Taken from other names: {some_of(taken, 20)}." if taken else "",
            f"Not used, as another name is nearer to Auth0's: {some_of(unused)}." if unused else "",
            *(f"{name} of {count:,} users cannot be read." for name, count in self._unread.items()),
        ]
        return tuple(filter(None, notes))

    # What keys mean

    def _choice(self, keys: Sequence[str], record: Mapping[str, Any] | None) -> "_Choice":
        """Choose one key for each attribute."""
        used = {keys.index(one): name for name, one in self._sought.items() if one in keys}
        unused: dict[int, str] = {}
        claims: dict[str, list[tuple[int, int]]] = {}
        for place, key in enumerate(keys):
            if place not in used and (meaning := _meaning(key)):
                name, number = meaning
                claims.setdefault(name, []).append((number, place))
        for name, claimed in claims.items():
            claimed.sort()
            chosen = [] if name in self._sought else self._chosen_of(name, claimed, keys, record)
            for number, place in claimed:
                if place not in chosen:
                    unused[place] = name
                else:
                    used[place] = name if number >= _OTHER else keys[place]
        return _Choice(used, unused)

    def _chosen_of(
        self,
        name: str,
        claimed: list[tuple[int, int]],
        keys: Sequence[str],
        record: Mapping[str, Any] | None,
    ) -> list[int]:
        """Return the places of the keys to take, from all that could be meant.

        Usually one; Auth0's path and a snapshot's name both count, the first with a value.
        """
        if claimed[0][0] < _OTHER:
            own = {keys[place]: place for number, place in reversed(claimed) if number < _OTHER}
            return list(own.values())
        # In one file, an attribute is always taken from the same key.
        if (before := self._chosen.get(name)) is not None:
            return [place for _, place in claimed if keys[place] == before][:1]
        if name != "user_id" or record is None:
            return [claimed[0][1]]
        ids = [(place, _scalar(record.get(keys[place]))) for _, place in claimed]
        likely = [place for place, one in ids if isinstance(one, str) and "|" in one]
        likely += [
            place
            for place, one in ids
            if one in (None, "") or _bare(keys[place]) not in _WITH_STRATEGY
        ]
        return likely[:1]

    def _remember(self, keys: Sequence[str], choice: "_Choice") -> None:
        for place, name in choice.used.items():
            self.present.add(_CANONICAL.get(name, name))
            self._chosen.setdefault(_CANONICAL.get(name, name), keys[place])
        for place, name in choice.unused.items():
            self._unused.setdefault(keys[place], name)

    def _plan(self, record: Mapping[str, Any], depth: int = 0) -> "_Plan":
        """Return what to do with a record that has these keys."""
        keys = tuple(record)
        if (plan := self._plans.get(keys)) is not None:
            return plan
        choice = self._choice(keys, record)
        paths = {
            name: tuple(_STEP.findall(path))
            for name, path in self._sought.items()
            if path not in record and _at(record, _STEP.findall(path)) is not None
        }
        claim = _Claim.USER if "user_id" in paths else _claim(choice, keys, self._sought)
        kind = "user_id" not in self._sought and kind_of(frozenset(keys))
        if kind:
            claim = _Claim.NONE
        if claim is not _Claim.NONE and (depth or not self._is_titled):
            self._remember(keys, choice)
            self.present.update(paths)
            self._chosen |= {name: self._sought[name] for name in paths}
        if len(self._seen) < _REMEMBERED and not self._is_titled:
            self._seen |= dict.fromkeys(keys)
        moves = {keys[place]: name for place, name in choice.used.items() if keys[place] != name}
        drops = [keys[place] for place in choice.unused if _rank(keys[place]) < _OTHER]
        plan = _Plan(
            claim,
            next((keys[place] for place, name in choice.used.items() if name == "user_id"), ""),
            tuple(moves.items()),
            tuple(drops),
            tuple(paths.items()),
            () if kind else _around(keys),
            tuple(key for key in keys if (one := _meaning(key)) and one[0] == "user_id"),
            is_same=not (moves or drops or paths or has_parts(keys)),
        )
        if len(self._plans) >= _REMEMBERED:
            self._plans.clear()
        # A path may be in another record with the same keys.
        if self._sought.keys() <= {*choice.used.values(), *paths}:
            self._plans[keys] = plan
        return plan

    # From records to users

    def _user(self, record: Mapping[str, Any], plan: "_Plan") -> Mapping[str, Any] | None:
        """Return the record in Auth0's form, or None if its id cannot be one."""
        user_id = record.get(plan.id)
        is_text = type(user_id) is str and user_id[:1] != "'"
        if plan.is_same and is_text and not self.is_table and is_formed(record):
            return record
        values = dict(record)
        taken = [(name, values.pop(key)) for key, name in plan.moves]
        taken += [(name, _at(record, steps)) for name, steps in plan.paths]
        for key in plan.drops:
            del values[key]
        values |= taken
        if not is_text:
            user_id = values["user_id"] = _scalar(values.get("user_id"))
            if isinstance(user_id, list | Mapping):
                return None
            if isinstance(user_id, str) and _QUOTED_ID.match(user_id):
                # Auth0's CSV, saved again by another program: each text has a quote before it.
                values = {
                    key: one.removeprefix("'") if isinstance(one, str) else one
                    for key, one in values.items()
                }
        if self.is_table:
            values = {
                key: None if isinstance(one, str) and one in NO_VALUES and key not in WORDS else one
                for key, one in values.items()
            }
        values = placed(values)
        for name in NESTED:
            if isinstance(values.get(name), str):
                self._unread[name] += 1
        return values

    def _opened(self, record: object, depth: int) -> Iterator[object]:
        if isinstance(record, list) and depth < _DEEPEST:
            for one in record:
                yield from self._opened(one, depth + 1)
            return
        if not isinstance(record, Mapping):
            yield record
            return
        plan = self._plan(record, depth)
        if plan.claim is _Claim.USER and (one := self._user(record, plan)) is not None:
            yield one
            yield from self._others(record, plan, depth + 1)
            return
        if _is_no_row(record):
            return
        for key in plan.around if depth < _DEEPEST else ():
            if (inside := self._inside(record, key, plan, depth + 1)) is not None:
                self._around.setdefault(key)
                if isinstance(inside, list):
                    self._compare(record, len(inside))
                yield from self._opened(inside, depth + 1)
                return
        if plan.claim is _Claim.PERHAPS and (one := self._user(record, plan)) is not None:
            yield one
            return
        is_users = plan.claim is _Claim.USER and isinstance(record.get("identities"), list)
        is_other = "user_id" in record and not is_users
        yield {"not a user object": record} if is_other else record

    def _others(self, user: Mapping[str, Any], plan: "_Plan", depth: int) -> Iterator[object]:
        """Yield the users in a user: it is a page with an id, perhaps by damage."""
        for inside in map(user.get, plan.around):
            if isinstance(inside, list) and self._holds(inside, depth):
                yield from self._opened(inside, depth)

    def _compare(self, page: Mapping[str, Any], users: int) -> None:
        length, total = page.get("length"), page.get("total")
        if type(length) is int:
            self.short += max(length - users, 0)
        if type(total) is int:
            self.total = max(self.total, total)

    def _inside(self, record: Mapping[str, Any], key: str, plan: "_Plan", depth: int) -> object:
        """Return what stands under a key, if it is a user or users; otherwise None."""
        inside = opened(record[key])
        if not isinstance(inside, Mapping):
            is_page = inside == [] and len(record) > 1
            return inside if is_page or self._holds(inside, depth) else None
        # The id, and what was given, may stand outside.
        lent = {one: record[one] for one in self._sought.values() if one in record} | dict(inside)
        if self._holds(lent, depth):
            return lent
        ids = {one: record[one] for one in plan.ids} | lent
        return ids if len(ids) > len(lent) and self._holds(ids, depth) else None

    def _holds(self, value: object, depth: int) -> bool:
        """Whether a value is a user, or users are in it."""
        if depth > _DEEPEST:
            return False
        if isinstance(value, list):
            return any(self._holds(one, depth + 1) for one in value)
        if not isinstance(value, Mapping):
            return False
        plan = self._plan(value, depth)
        if plan.claim is _Claim.USER:
            return not isinstance(_scalar(value.get(plan.id)), list | Mapping)
        return any(self._inside(value, key, plan, depth + 1) is not None for key in plan.around)


class _Claim(Enum):
    """Whether keys are those of a user."""

    NONE = 0
    PERHAPS = 1  # unless a user stands under one of them
    USER = 2


class _Choice(NamedTuple):
    used: dict[int, str]  # by place of a key, the attribute that is taken from it
    unused: dict[int, str]  # by place of a key, the attribute that is taken from another one


class _Plan(NamedTuple):
    """What to do with records that have the same keys."""

    claim: _Claim
    id: str  # the key of the user's id, or ""
    moves: tuple[tuple[str, str], ...]  # key, Auth0's name
    drops: tuple[str, ...]
    paths: tuple[tuple[str, tuple[str, ...]], ...]  # Auth0's name, the way to its value
    around: tuple[str, ...]  # keys under which users may stand
    ids: tuple[str, ...]  # keys that may be ids
    is_same: bool  # whether all values have their places already


def names_of(pairs: Iterable[str]) -> dict[str, str]:
    """Read pairs such as `picture=avatar_url`: Auth0's name, then what a file calls it.

    Raises:
        SettingsError: one of them is no such pair.
    """
    parts = [one.partition("=") for one in pairs]
    for name, _, column in parts:
        if not (name.strip() and column.strip()):
            raise SettingsError("--map takes NAME=COLUMN, such as --map picture=avatar_url.")
    return {name.strip(): column.strip() for name, _, column in parts}


def _wanted(name: str) -> str:
    known = _CANONICAL.get(name, name)
    if known in _OTHERS or is_spare(known):
        return known
    raise SettingsError(
        f"--map {name}=…: no attribute of a user has this name. It may be "
        f"{', '.join(_SHORT.get(one, one) for one in _OTHERS if one != 'provider')}."
    )


def _bare(name: str) -> str:
    return _PUNCTUATION.sub("", name).casefold()


@lru_cache(_REMEMBERED)
def _meaning(key: str) -> tuple[str, int] | None:
    """Return the attribute that a key may mean, and how near its name is to Auth0's."""
    if key in BY_PATH:
        return _CANONICAL[key], _OWN if key in _OTHERS else _SNAPSHOT
    if key in _OTHERS or is_spare(key):
        return key, _OWN
    bare = _bare(key)
    if bare in _BY_BARE:
        return _BY_BARE[bare]
    if found := _LINKED_BARE.fullmatch(bare):
        number, part = int(found[1]), found[2].replace("profiledata", "profileData.")
        name = f"identities[{number}].{part}"
        return (name, _OTHER) if name in _OTHERS or LINKED.fullmatch(name) else None
    # On a very long key this pattern would take very long.
    if (found := _METADATA_KEY.fullmatch(key[:_LONGEST])) and rank(found[1]) is not None:
        return f"{METADATA}{found[1]}", _OTHER
    return None


def _rank(key: str) -> int:
    meaning = _meaning(key)
    return meaning[1] if meaning else _OTHER


def _claim(choice: _Choice, keys: Sequence[str], given: Iterable[str]) -> _Claim:
    names = set(choice.used.values())
    if "user_id" not in names:
        return _Claim.NONE
    key = next(keys[place] for place, name in choice.used.items() if name == "user_id")
    if "user_id" not in given:
        if _bare(key) not in _ANY_ID:
            return _Claim.USER
        if names.isdisjoint(_EVIDENCE):
            return _Claim.NONE
    return _Claim.USER if "picture" in names or not _around(keys) else _Claim.PERHAPS


def _around(keys: Sequence[str]) -> tuple[str, ...]:
    return tuple(key for one in _AROUND for key in keys if key.lower() == one)


def _is_no_row(record: Mapping[str, Any]) -> bool:
    """Whether a line of Singer or Airbyte is no row of users."""
    kind = record.get("type")
    if not isinstance(kind, str):
        return False
    if kind == "RECORD":
        inside = record.get("record")
        stream = record.get("stream") or (inside.get("stream") if isinstance(inside, dict) else "")
        return isinstance(stream, str) and bool(stream) and not _STREAM.search(_bare(stream))
    return any(key in record for key in _NO_ROWS.get(kind, "").split())


def _scalar(value: object) -> object:
    """Return an id out of MongoDB's form, or the likeliest of several."""
    if isinstance(value, Mapping) and value.keys() == {"$oid"}:
        return value["$oid"]
    several = opened(value)
    if isinstance(several, list) and several and all(isinstance(one, str) for one in several):
        return next((one for one in several if "|" in one), several[0])
    return value


def _at(record: object, steps: Iterable[str]) -> object:
    """Return the value at the end of a way, or None."""
    for step in steps:
        record = opened(record)
        if isinstance(record, list) and step.isdigit() and int(step) < len(record):
            record = record[int(step)]
        elif isinstance(record, Mapping):
            record = record.get(step)
        else:
            return None
    return record
