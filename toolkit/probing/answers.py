"""What Gravatar is asked about a picture, and its answers, kept on disk.

An SQLite database in the user's cache folder. It holds hashes of e-mail addresses, which
are personal data: only its owner may read it. Each batch of answers is one transaction, so
a killed process loses no earlier batch, and two processes may use it at once.
"""

import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

import platformdirs

from toolkit.errors import OutputError
from toolkit.system import locked, private_opener

RATINGS = ("g", "pg", "r", "x")
"""Ratings of pictures, mildest first (Gravatar docs, "Images")."""


class Question(NamedTuple):
    """Whether Gravatar has a picture for this hash (hex digits) that may be shown at this rating.

    The rating is that of the user's own URL: a picture rated higher counts as none.
    """

    hash: str
    rating: str = "g"


class Answer(StrEnum):
    """The answer to a question."""

    PRESENT = "present"
    ABSENT = "absent"
    UNCLEAR = "unclear"


LIFETIME = timedelta(days=30)
"""How long an answer is good for: people seldom add or remove a Gravatar."""

_NAME = "gravatar.sqlite3"
_BUSY = 30.0  # seconds to wait for another process's batch
# The version of the table; a table of another version is emptied.
_FORM = 1
# What SQLite's own files begin with, and where this tool marks its own (SQLite, "Database File
# Format", 1.2 and 1.3.18).
_HEAD, _MARK_AT, _MARK = b"SQLite format 3\0", 68, b"PAuG"
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_TABLE = """
CREATE TABLE IF NOT EXISTS answers (
    host TEXT NOT NULL,
    hash TEXT NOT NULL,
    rating TEXT NOT NULL,
    present INTEGER NOT NULL CHECK (present IN (0, 1)),
    asked_at REAL NOT NULL,
    PRIMARY KEY (host, hash, rating)
) WITHOUT ROWID
"""

_Result = TypeVar("_Result")


class Cache:
    """Answers by host and question; a context manager. Several threads may use it.

    Expired answers are removed when it opens. A damaged file is replaced by an empty one, and
    `note` says so. A file that is no database gets another name; a database of another program is
    an error. Each method may raise OutputError.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        lifetime: timedelta = LIFETIME,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = path or platformdirs.user_cache_path("picture-audit") / _NAME
        self.note = ""
        self._lifetime = lifetime.total_seconds()
        self._clock = clock
        self._lock = threading.Lock()
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._database = self._opened()
        except OSError as error:
            raise self._unusable(error.strerror or str(error)) from error
        except sqlite3.Error as error:
            raise self._unusable(str(error)) from error

    def known(self, host: str, questions: Iterable[Question]) -> dict[Question, Answer]:
        """Return the answers of a host (and port) to these questions that are still good."""
        sql = "SELECT hash, rating, present FROM answers WHERE host = ? AND asked_at > ?"
        wanted = set(questions)

        def read(database: sqlite3.Connection) -> dict[Question, Answer]:
            rows = database.execute(sql, (host, self._clock() - self._lifetime))
            return {
                question: Answer.PRESENT if present else Answer.ABSENT
                for digest, rating, present in rows
                if (question := Question(digest, rating)) in wanted
            }

        return self._do(read)

    def keep(self, host: str, answers: Mapping[Question, Answer]) -> None:
        """Keep answers, none of them unclear, for the lifetime; all of them or none."""
        if Answer.UNCLEAR in answers.values():
            raise ValueError("an unclear answer is never kept")
        now = self._clock()
        rows = [
            (host, question.hash, question.rating, answer is Answer.PRESENT, now)
            for question, answer in answers.items()
        ]

        def write(database: sqlite3.Connection) -> None:
            with database:
                sql = "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?)"
                database.executemany(sql, rows)

        self._do(write)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _do(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        with self._lock:
            try:
                try:
                    return work(self._database)
                except sqlite3.DatabaseError as error:
                    if not _is_damage(error):
                        raise
                    self._database.close()
                    self._database = self._opened()
                    return work(self._database)
            except sqlite3.Error as error:
                raise self._unusable(str(error)) from error

    def _opened(self) -> sqlite3.Connection:
        # No other process may open or replace the file meanwhile.
        with locked(self.path.with_name(f"{self.path.name}.lock"), wait=True):
            try:
                return self._connected()
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise
            self._make_room()
            return self._connected()

    def _make_room(self) -> None:
        """Remove a damaged cache; any other file only gets another name."""
        with self.path.open("rb") as file:
            ours = file.read(len(_HEAD)) == _HEAD and file.seek(_MARK_AT) and file.read(4) == _MARK
        if ours:
            for suffix in ("-wal", "-shm", ""):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
            self.note = f"{self.path} was damaged and starts empty again"
        else:
            kept = self.path.with_name(f"{self.path.name}.{secrets.token_hex(4)}")
            self.path.rename(kept)
            self.note = f"{self.path} was damaged and starts empty again; it is kept as {kept.name}"

    def _connected(self) -> sqlite3.Connection:
        mark = int.from_bytes(_MARK)
        # SQLite gives its other files the same mode as this one.
        # Closed before SQLite opens it: closing it later would release SQLite's locks.
        open(self.path, "ab", opener=private_opener).close()
        database = sqlite3.connect(self.path, timeout=_BUSY, check_same_thread=False)
        try:
            _ensure_usable(database)
            self.path.chmod(0o600)
            database.execute("PRAGMA journal_mode = WAL")
            # A crash of the machine may lose the last answers, but damages nothing.
            database.execute("PRAGMA synchronous = NORMAL")
            with database:
                if database.execute("PRAGMA application_id").fetchone() != (mark,):
                    database.execute(f"PRAGMA application_id = {mark}")
                if database.execute("PRAGMA user_version").fetchone() != (_FORM,):
                    database.execute("DROP TABLE IF EXISTS answers")
                    database.execute(f"PRAGMA user_version = {_FORM}")
                database.execute(_TABLE)
                expired = self._clock() - self._lifetime
                database.execute("DELETE FROM answers WHERE asked_at <= ?", (expired,))
        except BaseException:
            database.close()
            raise
        return database

    def _unusable(self, reason: str) -> OutputError:
        return OutputError(
            f"Cannot use {self.path}, where Gravatar's answers are kept: {reason}.\n"
            "Free it, or name another cache folder in XDG_CACHE_HOME (except on Windows)."
        )


def _ensure_usable(database: sqlite3.Connection) -> None:
    """Raise OSError if a database is another program's, and not a cache, marked or older."""
    (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise _DamageError(found)
    (mark,) = database.execute("PRAGMA application_id").fetchone()
    names = {name for (name,) in database.execute("SELECT name FROM sqlite_schema")}
    if mark != int.from_bytes(_MARK) and (mark or names - {"answers"}):
        raise OSError("it is a database of another program")


class _DamageError(sqlite3.DatabaseError):
    """SQLite's own check found damage."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    # The lowest byte says what it is, the others where it was found.
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _DAMAGED
