"""Lock a tenant for one change at a time, and remember the length of each journal.

Both are kept in the user's state folder, readable by the owner only. The lock uses `flock`: the
system releases it when the process ends in any way. The text in the lock's file is for people: it
says who holds it. The length of a journal is kept outside the journal, so that lines missing at its
end are noticed.
"""

import fcntl
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO
from urllib.parse import quote

import platformdirs

from toolkit.errors import OutputError, SettingsError, UnreadableInputError
from toolkit.snapshots.storage import private_opener, replacing

# A process that has just taken the lock may still be writing its name.
_UNTIL_NAMED = 0.1
_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Length:
    """The length of a journal.

    Attributes:
        lines: its number of lines.
        link: the link to its last line (`toolkit.change.journal.link_to`).
    """

    lines: int
    link: str


@contextmanager
def one_at_a_time(domain: str, kind: str, path: Path) -> Iterator[None]:
    """Prevent other processes of this user from changing a tenant in this block.

    Args:
        domain: the tenant's domain.
        kind: `apply` or `undo`.
        path: the plan or the journal, to be shown to other processes.

    Raises:
        SettingsError: another process is changing the tenant.
        OutputError: the state folder cannot be written.
    """
    place = _folder() / f"{quote(domain.lower(), safe='')}.lock"
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(place, "a+b", buffering=0, opener=private_opener) as file:
            os.fchmod(file.fileno(), 0o600)
            _take(file, domain)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            holder = {"pid": os.getpid(), "kind": kind, "path": str(path.resolve()), "since": now}
            file.truncate(0)
            file.write(json.dumps(holder).encode())
            yield
    except OSError as error:
        raise OutputError(f"Cannot write {place}: {error.strerror or error}.") from error


def last_length(journal_id: str) -> Length | None:
    """Return the length of a journal at the end of its last run; None if not known.

    Raises:
        UnreadableInputError: the saved length cannot be read.
    """
    place = _place(journal_id)
    try:
        found = json.loads(place.read_bytes())
        return Length(int(found["lines"]), str(found["link"]))
    except FileNotFoundError:
        return None  # from another machine, or no run has ended
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
        raise UnreadableInputError(
            f"{place} cannot be read: it says how long a journal is. Remove it, and look with "
            "picture-audit verify at what the tenant has."
        ) from error


def keep_length(journal_id: str, length: Length) -> None:
    """Save the current length of a journal.

    Raises:
        OutputError: the state folder cannot be written.
    """
    with replacing(_place(journal_id)) as file:
        file.write(json.dumps(asdict(length)).encode())


def is_id(journal_id: object) -> bool:
    """Whether this is a valid id of a journal, and so safe as a file name."""
    return isinstance(journal_id, str) and _ID.fullmatch(journal_id) is not None


def _folder() -> Path:
    return platformdirs.user_state_path("picture-audit")


def _place(journal_id: str) -> Path:
    return _folder() / "journals" / f"{journal_id}.json"


def _take(file: IO[bytes], domain: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(_UNTIL_NAMED)
        raise SettingsError(
            f"Another process changes {domain} at this moment: {_holder(file)}. Wait until it has "
            "ended, or stop it; then run the same command again."
        ) from None


def _holder(file: IO[bytes]) -> str:
    """Return who holds the lock, from the text in its file."""
    file.seek(0)
    try:
        found = json.loads(file.read(10_000))
        return (
            f"process {found['pid']:d}, {found['kind']} of {found['path']}, since {found['since']}"
        )
    except (ValueError, TypeError, LookupError):
        return "it does not say who it is"
