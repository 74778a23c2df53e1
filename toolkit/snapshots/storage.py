"""A file that is being written: it takes the place of another once it is whole.

Whoever writes a draft holds a lock on it, which the system takes back where the process is killed.
So a draft that nobody holds was left behind, and goes.

Names alone show nothing: what is truncated, replaced or removed is a regular file of this user,
never a link or a device, and where this tool goes on with a file that is there, its first line
must say that it is of this tool (`ensure_own`).
"""

import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import IO

from toolkit.errors import OutputError

# Without these nothing could be undone; `toolkit.change.journal` names them.
_JOURNALS = (".journal", ".journal.undo")
_LINK = "it is a symbolic link; name the file that it points to"
_TOOL = "picture-audit"
# What only this tool calls its drafts, and the folders of parts of
# `toolkit.collection.exports.cluster`.
_DRAFT = re.compile(rf"\.(.+)\.{_TOOL}-[0-9a-f]{{8}}", re.DOTALL)
_FOLDER = re.compile(rf"\.(.+)\.{_TOOL}-parts-[a-z0-9_]{{8}}", re.DOTALL)
_PART = re.compile(r"[0-9]+\.(?:parquet|npy)")
# How the first line of each file begins that this tool appends to, and how much of it tells.
_BEGINNING, _TELLING = b'{"format":"auth0-picture-audit ', 17


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that takes the place of `path` only once it is whole and on disk.

    The new file is readable by its owner only.

    Raises:
        OutputError: the folder cannot be made or written, the disk is full, or what stands
            there must not be replaced (`_ensure_replaceable`).
    """
    _ensure_replaceable(path)
    draft = draft_of(path)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(draft, "xb", opener=private_opener) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            _ensure_same_owner(path, file)
            yield file
            file.flush()
            os.fsync(file.fileno())
            # It may have been put there meanwhile.
            _ensure_replaceable(path)
            draft.replace(path)
    except OSError as error:
        raise OutputError(
            f"Cannot write {path}: {error.strerror or error}. Make room, or choose another place."
        ) from error
    finally:
        _discard(draft)


def draft_of(path: Path) -> Path:
    """Name a draft beside `path`; nobody else names it so."""
    return path.with_name(f".{path.name}.{_TOOL}-{secrets.token_hex(4)}")


@contextmanager
def drafted(path: Path) -> Iterator[Path]:
    """Make a draft beside `path` that is removed again: it takes no other file's place."""
    draft = draft_of(path)
    try:
        with open(draft, "xb", opener=private_opener) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield draft
    finally:
        _discard(draft)


def folder_of_parts(path: Path) -> Path:
    """Make a folder for parts of `path`, beside it, that only its owner may see."""
    return Path(mkdtemp(prefix=f".{path.name}.{_TOOL}-parts-", dir=path.parent))


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

    That are drafts, drafts of drafts, and folders of parts. What only has such a name, and is a
    link, is another user's or holds anything else than parts, stays.

    Raises:
        OutputError: one cannot be removed.
    """
    try:
        beside = list(path.parent.iterdir())
    except OSError:  # where the folder is out of reach there is no draft in it either
        return
    for one in beside:
        if _is_left(one, path.name) and not _is_held(one):
            _discard(one)


def _is_left(place: Path, name: str) -> bool:
    """Whether this is a draft of a file with this name, a draft of one, or a folder of parts."""
    draft, folder = _DRAFT.fullmatch(place.name), _FOLDER.fullmatch(place.name)
    inner = _DRAFT.fullmatch(draft[1]) if draft else None
    if name not in {found[1] for found in (draft, inner, folder) if found}:
        return False
    try:
        found = place.lstat()
        if found.st_uid != os.geteuid():
            return False
        if stat.S_ISDIR(found.st_mode):
            return folder is not None and all(map(_is_part, place.iterdir()))
    except OSError:  # gone meanwhile, or nothing that may be looked into
        return False
    return draft is not None and stat.S_ISREG(found.st_mode)


def _is_part(place: Path) -> bool:
    draft = _DRAFT.fullmatch(place.name)
    return bool(_PART.fullmatch(draft[1] if draft else place.name)) and not place.is_symlink()


def _is_held(draft: Path) -> bool:
    try:
        descriptor = os.open(draft, os.O_RDONLY | os.O_NOFOLLOW)
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


def ensure_own(file: IO[bytes], path: Path) -> None:
    """Make sure that a file to go on with is of this tool, before anything about it is changed.

    Its first line begins with a format of this tool, or with as much of that as was written
    before the process was killed. An empty file is nobody's.

    Args:
        file: the file, open for reading; its position moves.
        path: what it is called.

    Raises:
        OutputError: it is a device or the like, another user's, or of something else.
    """
    found = os.fstat(file.fileno())
    if not stat.S_ISREG(found.st_mode):
        raise OutputError(f"Cannot write {path}: it is no regular file. Name another file.")
    file.seek(0)
    beginning = file.read(len(_BEGINNING))
    whole = beginning == _BEGINNING
    torn = _BEGINNING.startswith(beginning) and len(beginning) >= _TELLING
    if beginning and not (whole or torn):
        raise OutputError(
            f"{path} is there and was not written by picture-audit: it stays as it is. Move it "
            "away, or name another file."
        )
    if found.st_uid != os.geteuid():
        raise OutputError(f"Cannot write {path}: it belongs to another user. Name another file.")


def private_opener(path: str, flags: int) -> int:
    """Open a file that only its owner may read, and never through a link; for `open`."""
    try:
        return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, _LINK) from error
        raise


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
    _ensure_replaceable(path)
    probe = draft_of(path)
    with replacing(probe) as file:
        _ensure_same_owner(path, file)
    probe.unlink()


def is_same(path: Path, other: Path) -> bool:
    """Whether both names are those of one file; not where one cannot be looked at."""
    try:
        return path.samefile(other)
    except OSError:
        return False


def _ensure_replaceable(path: Path) -> None:
    """Make sure that no name of a journal is taken, and nothing but a regular file is replaced.

    Raises:
        OutputError: it is a link, a device or the like, or what this tool would go on with.
    """
    if path.name.endswith(_JOURNALS):
        raise OutputError(f"Cannot write {path}: journals are called that. Name another file.")
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            raise OutputError(f"Cannot write {path}: {_LINK}.")
        if not stat.S_ISREG(mode):
            raise OutputError(f"Cannot write {path}: it is no regular file. Name another file.")
        with path.open("rb") as file:
            resumable = file.read(len(_BEGINNING)) == _BEGINNING
    except OSError:  # nothing is there, or it may not be read: then it is none of these
        return
    if resumable:
        raise OutputError(
            f"Cannot write {path}: it is a journal or an unfinished collection of picture-audit. "
            "Name another file."
        )


def _ensure_same_owner(path: Path, file: IO[bytes]) -> None:
    """Make sure that nothing of another user is replaced; a new file tells whose ours are.

    Raises:
        OutputError: it is another user's.
    """
    try:
        owner = path.lstat().st_uid
    except OSError:
        return
    if owner != os.fstat(file.fileno()).st_uid:
        raise OutputError(f"Cannot write {path}: it belongs to another user. Name another file.")
