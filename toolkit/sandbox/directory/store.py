"""The sandbox's users and connections: a private SQLite database that disappears with it.

One connection behind one lock serves all threads. SQLite keeps the database in its page
cache and spills to a nameless temporary file, so that 100,000 users need little memory and
nothing is left behind. The JSON of a user is stored as text beside the columns that are
searched, and served as it is. The connections are those of the users' identities.

Facts: Auth0 docs, "User Search" (a query that takes too long answers 503), "User Profile
Structure" (1 MB of a profile is searched and returned), "Configure Identity Provider Connection
for User Profile Updates" (`set_user_root_attributes`, which passwordless connections do not
have); Auth0 Management API, "Get all connections" (`options` needs the scope
`read:connections_options`). INFERRED: a change that makes a profile larger is refused.
"""

import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from toolkit.classification.sources import classify
from toolkit.sandbox.directory.fields import (
    COLUMNS,
    FIELDS,
    columns,
    facets,
    identifier,
    identities,
)
from toolkit.sandbox.directory.lucene import Condition
from toolkit.sandbox.problem import too_large, too_slow

_ENTERPRISE = frozenset(
    {"ad", "adfs", "google-apps", "oidc", "okta", "pingfederate", "samlp", "waad"}
)
_TICKETED = _ENTERPRISE - {"oidc", "okta"}  # their identity provider's admin gets a ticket
_SYNC = "set_user_root_attributes"
_EACH_LOGIN = "on_each_login"


@dataclass(frozen=True)
class Connection:
    """One way for people to log in, with what else is known of it, as the API shows it."""

    name: str
    strategy: str
    known: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """`con_` and 16 characters, the same in every run."""
        return "con_" + self._digest[:16]

    @property
    def syncs(self) -> bool:
        """Whether each login overwrites root attributes, which then cannot be patched."""
        return self._options.get(_SYNC) == _EACH_LOGIN

    @property
    def _digest(self) -> str:
        named = f"{self.strategy} {self.name}".encode("utf-8", "replace")
        return hashlib.sha256(named).hexdigest()

    @property
    def _options(self) -> Mapping[str, Any]:
        if self.strategy in {"email", "sms"}:
            usual = {}
        else:
            usual = {_SYNC: "on_first_login" if self.strategy == "auth0" else _EACH_LOGIN}
        return {**usual, **self.known.get("options", {})}

    def document(self, *, with_options: bool) -> dict[str, Any]:
        """Return the connection as the API shows it."""
        shown: dict[str, Any] = {
            "id": self.id,
            "strategy": self.strategy,
            "name": self.name,
            "is_domain_connection": False,
            "authentication": {"active": True},
            "connected_accounts": {"active": False},
            "realms": [self.name],
        }
        if self.strategy in _TICKETED:
            ticket = f"https://tenant.example/p/{self.strategy}/{self._digest[-8:]}"
            shown["provisioning_ticket_url"] = ticket
        if self.strategy in _ENTERPRISE:
            shown["show_as_button"] = False
        shown |= self.known
        if with_options:
            return {**shown, "options": self._options}
        shown.pop("options", None)
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
"""What `Store.largest` is."""

_PATIENCE = 5.0  # seconds of processor time for a search
_STEPS = 1000  # of SQLite's virtual machine, between two checks of the time
_CHUNK = 10_000
_INDEXED = ("created_at", "updated_at", "last_login", "logins_count", "email", "name")


@dataclass(frozen=True)
class Order:
    """How a page is sorted: by a column (missing values last), equals by an internal key."""

    column: str = "key"  # `key` is the order of loading
    descending: bool = False
    ties_descending: bool = False  # equals in the reverse of the order of loading
    salt: int = 0  # each number but 0 puts equals into another order


class Store:
    """All users of one sandbox, searchable. Safe to use from several threads.

    Searches raise `Problem` if they take too long.

    Attributes:
        largest: characters of a user's JSON after a change, unless it was as long before.
    """

    def __init__(self, users: Iterable[Mapping[str, Any]]) -> None:
        self.largest = LARGEST
        self._lock = threading.RLock()
        self._database = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._connections: dict[str, Connection] = {}
        try:
            self._load(users)
        except BaseException:
            self._database.close()
            raise

    def close(self) -> None:
        """Forget everything."""
        with self._lock:
            self._database.close()

    def add_connection(self, known: Mapping[str, Any]) -> None:
        """Add a connection, or say more of one: its name, its strategy and what else it shows."""
        name, strategy = known["name"], known["strategy"]
        self._connections[name] = Connection(name, strategy, known)

    @property
    def connections(self) -> list[Connection]:
        """The connections that were added or that users' identities come from, by name."""
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
        """Return how many users meet the condition, counting no further than `most`."""
        sql = f"SELECT count(*) FROM (SELECT 1 FROM users WHERE {condition.sql} LIMIT ?)"  # noqa: S608 - built from a fixed table of columns, values are bound
        return int(self._found(sql, (*condition.parameters, most))[0][0])

    def page(self, condition: Condition, order: Order, limit: int, offset: int) -> list[str]:
        """Return the JSON of the users that meet the condition, sorted, from an offset on."""
        by = f"users.{order.column} {'DESC' if order.descending else 'ASC'} NULLS LAST"
        # Modulo a prime, so that no two keys become the same.
        ties = f"users.key * {order.salt} % 2147483647, " if order.salt else ""
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

        Others can write between two chunks of 10,000 users.
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
        rows = self._rows(sql, (share,))
        return rows[0][0] if rows else None

    def by_email(self, email: str) -> list[str]:
        """Return the JSON of all users with this e-mail address, upper and lower case alike."""
        return self.page(Condition("email = ?", (email.lower(),)), Order(), 100, 0)

    def change(
        self, user_id: str, change: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> str | None:
        """Replace one user by what `change` makes of it; return its JSON, or None.

        Nobody else reads or writes in between. If `change` raises, the user stays as it was.

        Raises:
            Problem: If the user would be too large.
        """
        with self._lock:
            body = self._read(user_id)
            if body is None:
                return None
            user = change(json.loads(body))
            text = _text(user)
            if len(text) > max(self.largest, len(body)):
                raise too_large()
            self._write(user_id, user)
        return text

    def create(self, user: Mapping[str, Any]) -> None:
        """Add a user with a new user_id; without one this raises ValueError."""
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

    def _found(self, sql: str, parameters: tuple[str | int, ...]) -> list[tuple[Any, ...]]:
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

    def _rows(self, sql: str, parameters: tuple[float | str, ...] = ()) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._database.execute(sql, parameters).fetchall()

    def _read(self, user_id: str) -> str | None:
        found = self._find(user_id)
        return found[1] if found else None

    def _find(self, user_id: str) -> tuple[int, str] | None:
        """Return the key and the JSON of one user as they are stored."""
        sql = "SELECT key, body FROM users JOIN bodies USING (key) WHERE user_id = ?"
        rows = self._rows(sql, (identifier(user_id),))
        return rows[0] if rows else None

    def _write(self, user_id: str, user: Mapping[str, Any] | None) -> None:
        """Add, replace or (None) remove one user as a whole; the caller holds the lock."""
        found = self._find(user_id)
        with self._database:  # commits, or rolls back
            self._database.execute("BEGIN")
            key = self._rows("SELECT coalesce(max(key), 0) + 1 FROM bodies")[0][0]
            if found is not None:
                key, body = found
                former = ((*facet, key) for facet in facets(json.loads(body)))
                sql = "DELETE FROM facets WHERE field = ? AND value = ? AND user = ?"
                self._database.executemany(sql, former)
                self._database.execute("DELETE FROM users WHERE key = ?", (key,))
                self._database.execute("DELETE FROM bodies WHERE key = ?", (key,))
            if user is not None:
                self._insert([(key, user)])

    def _load(self, users: Iterable[Mapping[str, Any]]) -> None:
        typed = ", ".join(f"{column} {'UNIQUE' * (column == 'user_id')}" for column in COLUMNS)
        self._database.executescript(f"""
            PRAGMA journal_mode = MEMORY;
            PRAGMA synchronous = OFF;
            PRAGMA cache_size = -65536;  -- KiB
            CREATE TABLE users (key INTEGER PRIMARY KEY, {typed});
            CREATE TABLE bodies (key INTEGER PRIMARY KEY, body TEXT NOT NULL);
            CREATE TABLE facets (
                field TEXT, value TEXT, user INTEGER, PRIMARY KEY (field, value, user)
            ) WITHOUT ROWID;
            CREATE TABLE gravatars (hash TEXT PRIMARY KEY, rating TEXT) WITHOUT ROWID;
        """)
        numbered = enumerate(users, start=1)
        with self._database:
            self._database.execute("BEGIN")
            while batch := list(islice(numbered, 2000)):
                self._insert(batch)
            # A later user has replaced an earlier one with the same user_id.
            counts = self._rows("SELECT count(*) FROM users UNION ALL SELECT count(*) FROM bodies")
            if counts[0] != counts[1]:
                for table, key in (("bodies", "key"), ("facets", "user")):
                    sql = f"DELETE FROM {table} WHERE {key} NOT IN (SELECT key FROM users)"  # noqa: S608 - fixed words
                    self._database.execute(sql)
            for column in _INDEXED:
                self._database.execute(f"CREATE INDEX users_{column} ON users ({column})")

    def _insert(self, batch: list[tuple[int, Mapping[str, Any]]]) -> None:
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
        insert = self._database.executemany
        insert(f"INSERT OR REPLACE INTO users VALUES ({places})", rows)  # noqa: S608 - question marks only
        insert("INSERT INTO bodies VALUES (?, ?)", bodies)
        insert("INSERT OR IGNORE INTO facets VALUES (?, ?, ?)", found)
        insert("INSERT OR IGNORE INTO gravatars VALUES (?, ?)", hashes)


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
    if digest := classify(user.get("picture")).gravatar_hash:
        found.add(digest)
    return found
