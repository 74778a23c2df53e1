"""The sandbox's users and connections: a private SQLite database that disappears with it.

One connection behind one lock serves all threads. SQLite keeps the database in its page
cache and spills to a nameless temporary file, so that 100,000 users need little memory and
nothing is left behind. The JSON of a user is stored as text beside the columns that are
searched, and served as it is. A search has five seconds of one core, and a change makes no
user larger than a megabyte.

Facts: Auth0 docs, "User Search" (a query that takes too long answers 503), "User Profile
Structure" (1 MB of a profile is searched and returned). INFERRED: that a change which makes it
larger is refused.

The tenant's connections, derived from its users' identities.

Facts: Auth0 Management API, "Get all connections" (`options` needs the scope
`read:connections_options`); Auth0 docs, "Configure Identity Provider Connection for User
Profile Updates" (`set_user_root_attributes`, which passwordless connections do not have).
"""

import hashlib
import json
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

from toolkit.sandbox.directory.fields import (
    COLUMNS,
    FIELDS,
    columns,
    facets,
    identifier,
    identities,
)
from toolkit.sandbox.directory.sql_condition import Condition
from toolkit.sandbox.problem import too_large, too_slow

_DATABASE = "auth0"
_PASSWORDLESS = frozenset({"email", "sms"})
_ID_LENGTH = 16


@dataclass(frozen=True)
class Connection:
    """One way for people to log in."""

    name: str
    strategy: str

    @property
    def id(self) -> str:
        """`con_` and 16 characters, the same in every run."""
        digest = hashlib.sha256(f"{self.strategy} {self.name}".encode("utf-8", "replace"))
        return "con_" + digest.hexdigest()[:_ID_LENGTH]

    @property
    def syncs(self) -> bool:
        """Whether each login overwrites root attributes, which then cannot be patched."""
        return self.strategy != _DATABASE and self.strategy not in _PASSWORDLESS

    @property
    def options(self) -> dict[str, str]:
        """The part of the options that the sandbox knows."""
        if self.strategy in _PASSWORDLESS:
            return {}
        return {"set_user_root_attributes": "on_each_login" if self.syncs else "on_first_login"}

    def document(self, *, with_options: bool) -> dict[str, Any]:
        """Return the connection as the API shows it."""
        shown: dict[str, Any] = {
            "id": self.id,
            "name": self.name,
            "strategy": self.strategy,
            "realms": [self.name],
            "is_domain_connection": False,
            "enabled_clients": [],
        }
        if with_options:
            shown["options"] = self.options
        return shown


def connections_of(user: Mapping[str, Any]) -> Iterator[Connection]:
    """Yield the connections that a user's identities come from, the primary one first."""
    for identity in identities(user):
        name, provider = identity.get("connection"), identity.get("provider")
        if isinstance(name, str) and isinstance(provider, str) and name and provider:
            yield Connection(name, provider)


GRAVATAR_KEY = "_gravatar"
"""The extra key of a loaded user: true where the sandbox's Gravatar has a picture, or that
picture's rating (g, pg, r, x) where it is not suitable for everybody."""

RATINGS = ("g", "pg", "r", "x")
"""Ratings of Gravatar's pictures, mildest first."""

LARGEST = 1024 * 1024
"""Characters of a user's JSON after a change, unless it was as long before."""

_PATIENCE = 5.0  # seconds of a core, whatever else it does meanwhile
_STEPS = 1000  # of SQLite's machine, between two looks at the time
_BATCH = 2000
_CHUNK = 10_000
_PRIME = 2**31 - 1
_CACHE_KIB = 64 * 1024
_INDEXED = ("created_at", "updated_at", "last_login", "logins_count", "email", "name")
_HASH_PATH = re.compile(r"/avatar/([0-9a-f]{64}|[0-9a-f]{32})(?:\.\w+)?/?", re.IGNORECASE)


@dataclass(frozen=True)
class Order:
    """How a page is sorted: by a column (missing values last), ties by an internal key.

    Attributes:
        column: The column; `key` is the order of loading.
        descending: Whether the largest comes first.
        ties_descending: Whether equals come in the reverse of the order of loading.
        salt: Anything but 0 puts equals into an order of this number's own.
    """

    column: str = "key"
    descending: bool = False
    ties_descending: bool = False
    salt: int = 0


class Store:
    """All users of one sandbox, searchable. Safe to use from several threads."""

    def __init__(self, users: Iterable[Mapping[str, Any]]) -> None:
        self._lock = threading.RLock()
        self._database = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._connections: dict[str, Connection] = {}
        try:
            self._create()
            self._load(users)
        except BaseException:
            self._database.close()
            raise

    def close(self) -> None:
        """Forget everything."""
        with self._lock:
            self._database.close()

    @property
    def connections(self) -> list[Connection]:
        """The connections that the loaded users' identities come from, by name."""
        return [self._connections[name] for name in sorted(self._connections)]

    def connection(self, name: object) -> Connection | None:
        """Return the connection of this name, if any user came from it."""
        return self._connections.get(name) if isinstance(name, str) else None

    def instant(self) -> AbstractContextManager[object]:
        """Return a context in which all that is read is of one moment: nobody writes meanwhile."""
        return self._lock

    def count(self) -> int:
        """Return how many users there are."""
        return int(self._rows("SELECT count(*) FROM users")[0][0])

    def total(self, condition: Condition, most: int) -> int:
        """Return how many users meet the condition, counting no further than `most`.

        Raises:
            Problem: If that takes too long.
        """
        sql = f"SELECT count(*) FROM (SELECT 1 FROM users WHERE {condition.sql} LIMIT ?)"  # noqa: S608 - built from a fixed table of columns, values are bound
        return int(self._found(sql, (*condition.parameters, most))[0][0])

    def page(self, condition: Condition, order: Order, limit: int, offset: int) -> list[str]:
        """Return the JSON of the users that meet the condition, sorted, from an offset on.

        Raises:
            Problem: If that takes too long.
        """
        by = f"users.{order.column} {'DESC' if order.descending else 'ASC'} NULLS LAST"
        ties = f"users.key * {order.salt} % {_PRIME}, " if order.salt else ""
        ties += f"users.key {'DESC' if order.ties_descending else 'ASC'}"
        sorting = ties if order.column == "key" else f"{by}, {ties}"
        # CROSS JOIN keeps users as the outer loop, so that its index does the sorting.
        sql = f"""
            SELECT body FROM users CROSS JOIN bodies ON bodies.key = users.key
            WHERE {condition.sql} ORDER BY {sorting} LIMIT ? OFFSET ?
        """  # noqa: S608 - built from a fixed table of columns, values are bound
        return [body for (body,) in self._found(sql, (*condition.parameters, limit, offset))]

    def user(self, user_id: str) -> str | None:
        """Return the JSON of one user, or None."""
        with self._lock:
            return self._read(user_id)

    def records(self) -> Iterator[str]:
        """Yield the JSON of every user, in the order of loading, in bounded memory.

        Up to 10,000 users are read at one instant; others can write between two such chunks.
        """
        key = 0
        sql = "SELECT key, body FROM bodies WHERE key > ? ORDER BY key LIMIT ?"
        while rows := self._rows(sql, (key, _CHUNK)):
            yield from (body for _, body in rows)
            key = rows[-1][0]

    def somebody(self, share: float) -> str | None:
        """Return the JSON of the user at this share (0 to 1) of the order of loading, or None."""
        sql = """
            SELECT body FROM bodies
            WHERE key >= (SELECT CAST(max(key) * ? AS INTEGER) FROM bodies) ORDER BY key LIMIT 1
        """
        with self._lock:
            row = self._database.execute(sql, (share,)).fetchone()
        return str(row[0]) if row else None

    def by_email(self, email: str) -> list[str]:
        """Return the JSON of all users with this e-mail address, upper and lower case alike."""
        return self.page(Condition("email = ?", (email.lower(),)), Order(), 100, 0)

    def change(
        self, user_id: str, change: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> str | None:
        """Replace one user by what `change` makes of it; return its JSON, or None.

        Nobody else reads or writes in between. Whatever `change` raises leaves the user as
        it was.

        Raises:
            Problem: If the user would be too large.
        """
        with self._lock:
            body = self._read(user_id)
            if body is None:
                return None
            user = change(json.loads(body))
            text = _text(user)
            if len(text) > max(LARGEST, len(body)):
                raise too_large()
            self._write(user_id, user)
        return text

    def create(self, user: Mapping[str, Any]) -> None:
        """Add a user.

        Raises:
            ValueError: If it has no user_id, or there is such a user already.
        """
        user_id = user.get("user_id")
        if not isinstance(user_id, str):
            raise ValueError("a user needs a user_id")  # noqa: TRY004 - the value is at fault
        with self._lock:
            if self._read(user_id) is not None:
                raise ValueError("there is a user with this user_id already")
            self._write(user_id, user)

    def delete(self, user_id: str) -> bool:
        """Remove a user; tell whether there was one."""
        with self._lock:
            if self._read(user_id) is None:
                return False
            self._write(user_id, None)
        return True

    def gravatar(self, digest: str) -> str | None:
        """Return the rating of the picture for this MD5 or SHA-256, or None without one."""
        rows = self._rows("SELECT rating FROM gravatars WHERE hash = ?", (digest.lower(),))
        return rows[0][0] if rows else None

    # --- reading ---

    def _found(self, sql: str, parameters: tuple[str | int, ...]) -> list[tuple[Any, ...]]:
        """Return what a search finds.

        Raises:
            Problem: If it takes too long.
        """
        with self._lock:
            end = time.thread_time() + _PATIENCE
            self._database.set_progress_handler(lambda: time.thread_time() > end, _STEPS)
            try:
                return self._rows(sql, parameters)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                    raise
                raise too_slow() from error
            finally:
                self._database.set_progress_handler(None, _STEPS)

    def _rows(self, sql: str, parameters: tuple[str | int, ...] = ()) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._database.execute(sql, parameters).fetchall()

    def _read(self, user_id: str) -> str | None:
        """Return the JSON of one user; the caller holds the lock."""
        found = self._find(user_id)
        return found[1] if found else None

    def _find(self, user_id: str) -> tuple[int, str] | None:
        sql = "SELECT key, body FROM users JOIN bodies USING (key) WHERE user_id = ?"
        found: tuple[int, str] | None = self._database.execute(
            sql, (identifier(user_id),)
        ).fetchone()
        return found

    # --- writing ---

    def _write(self, user_id: str, user: Mapping[str, Any] | None) -> None:
        """Add, replace or (None) remove one user as a whole; the caller holds the lock."""
        found = self._find(user_id)
        self._database.execute("BEGIN")
        try:
            if found is None:
                self._append(user)
            elif user is None:
                self._remove(*found)
            else:
                self._replace(*found, user)
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def _append(self, user: Mapping[str, Any] | None) -> None:
        if user is not None:
            sql = "SELECT coalesce(max(key), 0) + 1 FROM bodies"
            self._insert([(self._database.execute(sql).fetchone()[0], user)])

    def _replace(self, key: int, old: str, user: Mapping[str, Any]) -> None:
        # The user_id that finds it stays, whatever the record says.
        values = {name: value for name, value in columns(user).items() if name != "user_id"}
        assignments = ", ".join(f"{column} = ?" for column in values)
        self._database.execute(
            f"UPDATE users SET {assignments} WHERE key = ?",  # noqa: S608 - fixed columns
            (*values.values(), key),
        )
        self._database.execute("UPDATE bodies SET body = ? WHERE key = ?", (_text(user), key))
        self._remove_facets(key, old)
        self._add_facets((*facet, key) for facet in facets(user))

    def _remove(self, key: int, old: str) -> None:
        self._remove_facets(key, old)
        self._database.execute("DELETE FROM users WHERE key = ?", (key,))
        self._database.execute("DELETE FROM bodies WHERE key = ?", (key,))

    def _remove_facets(self, key: int, body: str) -> None:
        self._database.executemany(
            "DELETE FROM facets WHERE field = ? AND value = ? AND user = ?",
            ((*facet, key) for facet in facets(json.loads(body))),
        )

    # --- loading ---

    def _create(self) -> None:
        typed = ", ".join(f"{column} {'UNIQUE' * (column == 'user_id')}" for column in COLUMNS)
        self._database.executescript(f"""
            PRAGMA journal_mode = MEMORY;
            PRAGMA synchronous = OFF;
            PRAGMA cache_size = -{_CACHE_KIB};
            CREATE TABLE users (key INTEGER PRIMARY KEY, {typed});
            CREATE TABLE bodies (key INTEGER PRIMARY KEY, body TEXT NOT NULL);
            CREATE TABLE facets (
                field TEXT, value TEXT, user INTEGER, PRIMARY KEY (field, value, user)
            ) WITHOUT ROWID;
            CREATE TABLE gravatars (hash TEXT PRIMARY KEY, rating TEXT) WITHOUT ROWID;
        """)

    def _load(self, users: Iterable[Mapping[str, Any]]) -> None:
        numbered = enumerate(users, start=1)
        replaced = 0
        self._database.execute("BEGIN")
        while batch := list(islice(numbered, _BATCH)):
            replaced += self._insert(batch)
        if replaced:
            self._database.execute("DELETE FROM bodies WHERE key NOT IN (SELECT key FROM users)")
            self._database.execute("DELETE FROM facets WHERE user NOT IN (SELECT key FROM users)")
        for column in _INDEXED:
            self._database.execute(f"CREATE INDEX users_{column} ON users ({column})")
        self._database.execute("COMMIT")

    def _insert(self, batch: list[tuple[int, Mapping[str, Any]]]) -> int:
        """Insert users; a later one replaces an earlier one with the same user_id."""
        before = self._database.execute("SELECT count(*) FROM users").fetchone()[0]
        rows, bodies = [], []
        found: list[tuple[str, str, int]] = []
        hashes: list[tuple[str, str]] = []
        for key, loaded in batch:
            user = {name: value for name, value in loaded.items() if name != GRAVATAR_KEY}
            rows.append((key, *columns(user).values()))
            bodies.append((key, _text(user)))
            found.extend((*facet, key) for facet in facets(user))
            mark = loaded.get(GRAVATAR_KEY)
            rating = RATINGS[0] if mark is True else mark
            if rating in RATINGS:
                hashes.extend((digest, rating) for digest in _hashes(user))
            for connection in connections_of(user):
                self._connections.setdefault(connection.name, connection)
        places = ", ".join("?" * (len(COLUMNS) + 1))
        database = self._database
        database.executemany(f"INSERT OR REPLACE INTO users VALUES ({places})", rows)  # noqa: S608 - question marks only
        database.executemany("INSERT INTO bodies VALUES (?, ?)", bodies)
        self._add_facets(found)
        database.executemany("INSERT OR IGNORE INTO gravatars VALUES (?, ?)", hashes)
        after = database.execute("SELECT count(*) FROM users").fetchone()[0]
        return int(before + len(batch) - after)

    def _add_facets(self, rows: Iterable[tuple[str, str, int]]) -> None:
        self._database.executemany("INSERT OR IGNORE INTO facets VALUES (?, ?, ?)", rows)


def sortable(field: str) -> str | None:
    """Return the column that `sort=field` sorts by, or None where the field cannot be sorted."""
    known = FIELDS.get(field)
    return known.column if known and known.column in COLUMNS else None


def _text(user: Mapping[str, Any]) -> str:
    return json.dumps(user, separators=(",", ":"))


def _hashes(user: Mapping[str, Any]) -> set[str]:
    """Return the hashes that Gravatar would know this person by."""
    found = set()
    if isinstance(user.get("email"), str):
        address = user["email"].strip().lower().encode("utf-8", "replace")
        found.add(hashlib.md5(address, usedforsecurity=False).hexdigest())
        found.add(hashlib.sha256(address).hexdigest())
    if isinstance(user.get("picture"), str):
        try:
            path = urlsplit(user["picture"]).path
        except ValueError:  # not a URL at all
            return found
        if match := _HASH_PATH.fullmatch(path):
            found.add(match[1].lower())
    return found
