"""A file that is being written: it takes the place of another once it is whole.

Whoever writes a draft holds a lock on it, which the system takes back where the process is killed.
So a draft that nobody holds was left behind, and goes.
"""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import IO

from toolkit.errors import OutputError

# Without these nothing could be undone; `toolkit.change.journal` names them.
_JOURNALS = (".journal", ".journal.undo")
_DIGITS = "[0-9a-f]" * 8
_LETTERS = "[a-z0-9_]" * 8  # of `tempfile`


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that takes the place of `path` only once it is whole and on disk.

    The new file is readable by its owner only.

    Raises:
        OutputError: the folder cannot be made or written, the disk is full, or the name is that
            of a journal, without which nothing could be undone.
    """
    _ensure_no_journal(path)
    draft = draft_of(path)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(draft, "xb", opener=private_opener) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
            file.flush()
            os.fsync(file.fileno())
            draft.replace(path)
    except OSError as error:
        raise OutputError(
            f"Cannot write {path}: {error.strerror or error}. Make room, or choose another place."
        ) from error
    finally:
        _discard(draft)


def draft_of(path: Path) -> Path:
    """Name a draft beside `path`; nobody else names it so."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Keep a file or folder from being taken for one that was left behind."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def discard_drafts(path: Path) -> None:
    """Remove what processes that were killed left of their attempts to write `path`.

    That are drafts, drafts of drafts, and folders of parts.

    Raises:
        OutputError: one cannot be removed.
    """
    name = escape(path.name)
    for pattern in (
        f".{name}.{_DIGITS}",
        f"..{name}.{_DIGITS}.{_DIGITS}",
        f".{name}.parts-{_LETTERS}",
    ):
        for draft in path.parent.glob(pattern):
            if not _is_held(draft):
                _discard(draft)


def _is_held(draft: Path) -> bool:
    try:
        descriptor = os.open(draft, os.O_RDONLY)
    except OSError:  # whoever may not read it may still remove it
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def _discard(draft: Path) -> None:
    try:
        if draft.is_dir():
            shutil.rmtree(draft)
        else:
            draft.unlink(missing_ok=True)
    except OSError as error:
        # Where the folder itself is out of reach there is no draft in it either.
        if draft.parent.is_dir():
            raise OutputError(f"Cannot remove {draft}: {error.strerror or error}.") from error


def private_opener(path: str, flags: int) -> int:
    """Open a file that only its owner may read; an `opener` for `open`."""
    return os.open(path, flags, 0o600)


def ensure_writable(path: Path) -> None:
    """Find out before long work whether its result can be written.

    Raises:
        OutputError: it cannot.
    """
    try:
        is_folder = path.is_dir()
    except OSError as error:  # a name too long, or a folder that nobody may look into
        raise OutputError(f"Cannot write {path}: {error.strerror or error}.") from error
    if is_folder:
        raise OutputError(f"Cannot write {path}: it is a folder. Name a file.")
    _ensure_no_journal(path)
    probe = draft_of(path)
    with replacing(probe):
        pass
    probe.unlink()


def is_same(path: Path, other: Path) -> bool:
    """Whether both names are those of one file; not where one cannot be looked at."""
    try:
        return path.samefile(other)
    except OSError:
        return False


def _ensure_no_journal(path: Path) -> None:
    if path.name.endswith(_JOURNALS):
        raise OutputError(f"Cannot write {path}: journals are called that. Name another file.")
