"""Write a file as a draft that replaces an older file only when it is complete.

The process that writes a draft locks it by a file beside it, and the system releases the lock if
the process is killed. So an unlocked draft was left behind, and is removed.

Only regular files of this user are truncated, replaced or removed, never links or devices. A file
is continued only if its first line shows that this tool made it (`ensure_own`).
"""

import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO

from toolkit.errors import OutputError
from toolkit.system import LINK, is_locked, is_ours, locked, private_opener, take_place

# Endings of journals (`toolkit.change.journal`): without them nothing could be undone.
_JOURNALS = (".journal", ".journal.undo")
_NOT_REGULAR = "Cannot write {}: it is no regular file. Name another file."
_NOT_OURS = "Cannot write {}: it belongs to another user. Name another file."
_TOOL = "picture-audit"
# Names of drafts, and of the folders of parts of `toolkit.collection.exports.cluster`.
_DRAFT = re.compile(rf"\.(.+)\.{_TOOL}-[0-9a-f]{{8}}", re.DOTALL)
_FOLDER = re.compile(rf"\.(.+)\.{_TOOL}-parts-[a-z0-9_]{{8}}", re.DOTALL)
_LOCK = ".lock"  # the end of a lock's name
_PART = re.compile(r"[0-9]+\.(?:parquet|npy)")
# The beginnings of the first line of files that this tool appends to, and their length.
_BEGINNING, _TELLING = b'{"format":"auth0-picture-audit ', 17


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that replaces `path` only when it is complete and on disk; for its owner only.

    Raises:
        OutputError: it cannot be written, or the existing file must not be replaced.
    """
    _ensure_replaceable(path)
    draft = draft_of(path)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with held(draft):
            with open(draft, "xb", opener=private_opener) as file:
                _ensure_same_owner(path, file)
                yield file
                file.flush()
                os.fsync(file.fileno())
            _ensure_replaceable(path)  # again: the file may be new
            take_place(draft, path)
    except OSError as error:
        raise OutputError(
            f"Cannot write {path}: {error.strerror or error}. Make room, or choose another place."
        ) from error
    finally:
        _discard(draft)


def draft_of(path: Path) -> Path:
    """Choose a unique name for a draft beside `path`."""
    return path.with_name(f".{path.name}.{_TOOL}-{secrets.token_hex(4)}")


@contextmanager
def drafted(path: Path) -> Iterator[Path]:
    """Make a temporary draft beside `path`; it replaces no file and is removed."""
    draft = draft_of(path)
    try:
        with held(draft):
            open(draft, "xb", opener=private_opener).close()
            yield draft
    finally:
        _discard(draft)


def folder_of_parts(path: Path) -> Path:
    """Choose a unique name for a folder of parts beside `path`."""
    return path.with_name(f".{path.name}.{_TOOL}-parts-{secrets.token_hex(4)}")


def held(draft: Path) -> AbstractContextManager[None]:
    """Lock a draft or folder, made or not yet, so that it does not count as left behind."""
    return locked(lock_of(draft), wait=True)


def lock_of(path: Path) -> Path:
    """Return the path of a file's lock, which is beside it."""
    return path.with_name(f"{path.name}{_LOCK}")


def discard_drafts(path: Path) -> None:
    """Remove drafts, drafts of drafts and folders of parts that killed processes left of `path`.

    A link, a file of another user, or a folder with other content stays.

    Raises:
        OutputError: one cannot be removed.
    """
    try:
        beside = list(path.parent.iterdir())
    except OSError:  # without access to the folder there is no draft to remove
        return
    for one in beside:
        if _is_left(one, path.name) and not is_locked(
            lock_of(one.with_name(one.name.removesuffix(_LOCK)))
        ):
            _discard(one)


def _is_left(place: Path, name: str) -> bool:
    of = place.name.removesuffix(_LOCK)
    draft, folder = _DRAFT.fullmatch(of), _FOLDER.fullmatch(of)
    inner = _DRAFT.fullmatch(draft[1]) if draft else None
    if name not in {found[1] for found in (draft, inner, folder) if found}:
        return False
    try:
        found = place.lstat()
        if not is_ours(found):
            return False
        if stat.S_ISDIR(found.st_mode):
            return folder is not None and all(map(_is_part, place.iterdir()))
    except OSError:  # already gone, or not readable
        return False
    return (draft is not None or of != place.name) and stat.S_ISREG(found.st_mode)


def _is_part(place: Path) -> bool:
    of = place.name.removesuffix(_LOCK)
    draft = _DRAFT.fullmatch(of)
    return bool(_PART.fullmatch(draft[1] if draft else of)) and not place.is_symlink()


def _discard(draft: Path) -> None:
    try:
        if draft.is_dir():
            shutil.rmtree(draft)
        else:
            draft.unlink(missing_ok=True)
    except OSError as error:
        # Without access to the folder there is no draft to remove.
        if draft.parent.is_dir():
            raise OutputError(f"Cannot remove {draft}: {error.strerror or error}.") from error


def ensure_own(file: IO[bytes], path: Path) -> None:
    """Raise OutputError if an open file is not regular, of this user, and made by this tool.

    Its first line must begin with a format of this tool, or with a part of it, if the process was
    killed. An empty file is accepted.
    """
    found = os.fstat(file.fileno())
    if not stat.S_ISREG(found.st_mode):
        raise OutputError(_NOT_REGULAR.format(path))
    file.seek(0)
    beginning = file.read(len(_BEGINNING))
    enough = len(beginning) >= _TELLING or not beginning
    if not (enough and _BEGINNING.startswith(beginning)):
        raise OutputError(
            f"{path} is there and was not written by picture-audit: it stays as it is. Move it "
            "away, or name another file."
        )
    if not is_ours(found):
        raise OutputError(_NOT_OURS.format(path))


def ensure_writable(path: Path) -> None:
    """Raise OutputError, before long work, if its result cannot be written."""
    try:
        is_folder = path.is_dir()
    except OSError as error:  # the name is too long, or the folder is not readable
        raise OutputError(f"Cannot write {path}: {error.strerror or error}.") from error
    if is_folder:
        raise OutputError(f"Cannot write {path}: it is a folder. Name a file.")
    _ensure_replaceable(path)
    probe = draft_of(path)
    with replacing(probe) as file:
        _ensure_same_owner(path, file)
    probe.unlink()


def is_same(path: Path, other: Path) -> bool:
    """Whether both names are the same file; false if one cannot be read."""
    try:
        return path.samefile(other)
    except OSError:
        return False


def _ensure_replaceable(path: Path) -> None:
    """Raise OutputError for a journal's name, a link, a device, or a file to be continued."""
    if path.name.endswith(_JOURNALS):
        raise OutputError(f"Cannot write {path}: journals are called that. Name another file.")
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            raise OutputError(f"Cannot write {path}: {LINK}.")
        if not stat.S_ISREG(mode):
            raise OutputError(_NOT_REGULAR.format(path))
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
    """Raise OutputError for another user's file; the new one tells whose ours are."""
    try:
        owner = path.lstat().st_uid
    except OSError:
        return
    if owner != os.fstat(file.fileno()).st_uid:
        raise OutputError(_NOT_OURS.format(path))
