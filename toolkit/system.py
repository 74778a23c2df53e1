"""What differs between Windows, macOS and Linux: locks, owners and modes of files, console text.

No other module uses what only some of them have: ruff's list of banned names in `pyproject.toml`
checks it.
"""

import codecs
import errno
import io
import os
import shlex
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Final

_IS_WINDOWS: Final = os.name == "nt"
_BRIEFLY: Final = 0.2  # seconds: who only looks whether a lock is held has it for a moment
_PAUSES: Final = (0.05, 0.1, 0.2, 0.4, 0.4)  # seconds, between tries to replace a file

CERTIFICATES_IN_FILES: Final = sys.platform not in {"win32", "darwin"}
"""Whether OpenSSL finds the certificates that this system trusts by itself, in files."""

LINK: Final = "it is a symbolic link; name the file that it points to"

ENDING: Final = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGBREAK") if hasattr(signal, name)
)
"""The signals that ask a process to end; on Windows also when its window is closed."""

PRIVATE_SOCKETS: Final = not _IS_WINDOWS
"""Whether a socket can stand in a folder, so that only those who may enter it can connect."""


# Files


@contextmanager
def locked(place: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a lock in this block: a file at `place`, which is removed at the end.

    The system releases it when the process ends in any way; then the file stays, and locks nobody
    out. It is never the file that it protects: Windows would let nobody else read that one.

    Raises:
        BlockingIOError: another process or thread holds it, and this one should not `wait`.
        OSError: the file cannot be made.
    """
    from filelock import FileLock, Timeout  # noqa: PLC0415 - slow to import, and --help needs none

    place.parent.stat()  # the library would make the folder
    # Steps of long work may run in several threads.
    lock = FileLock(place, mode=0o600, timeout=-1 if wait else _BRIEFLY, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise BlockingIOError(errno.EWOULDBLOCK, "it is in use", str(place)) from None
    try:
        yield
    finally:
        # On Windows the library removes it, as an open file cannot be removed there.
        with suppress(OSError):
            place.unlink()
        lock.release()


def is_locked(place: Path) -> bool:
    """Whether a process holds this lock; false if none can be made there."""
    if not place.exists():
        return False
    try:
        with locked(place):
            return False
    except BlockingIOError:
        return True
    except OSError:
        return False


def private_opener(path: str, flags: int) -> int:
    """Open a file for its owner only, and never through a link; for `open`.

    Windows has no modes: a file there can be read by those who can read its folder.
    """
    unfollowed = getattr(os, "O_NOFOLLOW", 0)
    if not unfollowed and Path(path).is_symlink():
        raise OSError(errno.ELOOP, LINK)
    try:
        return os.open(path, flags | unfollowed | getattr(os, "O_CLOEXEC", 0), 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, LINK) from error
        raise


def make_private(file: IO[bytes]) -> None:
    """Let only its owner read and write an open file, where files have modes."""
    if not _IS_WINDOWS:
        os.fchmod(file.fileno(), 0o600)


def is_ours(found: os.stat_result) -> bool:
    """Whether a file belongs to the user of this process; true where no file says whose it is."""
    return _IS_WINDOWS or found.st_uid == os.geteuid()


def others_may(found: os.stat_result, mode: int) -> bool:
    """Whether other users have one of these mode bits; false where files have no modes."""
    return not _IS_WINDOWS and bool(stat.S_IMODE(found.st_mode) & mode)


def take_place(draft: Path, path: Path) -> None:
    """Let a complete file, which is closed, take the place of another one.

    Windows refuses it while anybody has one of them open, as virus scanners have for a moment:
    there it is tried again for about a second.
    """
    for pause in _PAUSES if _IS_WINDOWS else ():
        try:
            draft.replace(path)
        except PermissionError:
            time.sleep(pause)
        else:
            return
    draft.replace(path)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on disk, where the system can be asked to."""
    if not _IS_WINDOWS:
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


class ReadableMemory:
    """Bytes that a library which only reads files can read; private, and removed by `close`."""

    path: str

    def __init__(self) -> None:
        self._folder: TemporaryDirectory[str] | None = None
        if hasattr(os, "memfd_create"):
            self._memory = os.fdopen(os.memfd_create("readable"), "wb")
            self.path = f"/proc/self/fd/{self._memory.fileno()}"
        else:
            self._folder = TemporaryDirectory(prefix="picture-audit-")
            self.path = str(Path(self._folder.name) / "readable")

    def hold(self, pieces: Iterable[bytes]) -> None:
        """Replace the bytes."""
        if self._folder is not None:
            # Closed at once: on Windows who reads a file may demand that nobody writes it.
            with Path(self.path).open("wb") as file:
                file.writelines(pieces)
            return
        self._memory.seek(0)
        self._memory.writelines(pieces)
        self._memory.truncate()

    def close(self) -> None:
        """Forget them."""
        if self._folder is not None:
            self._folder.cleanup()
        else:
            self._memory.close()


# Consoles

# What stands for characters that an encoding lacks: the first one that it has.
_ALIKE: Final = {
    **dict.fromkeys("█▉▊▋", ("█", "#")),
    **dict.fromkeys("▌▍▎▏", ("▌", "|")),
    "░": (".",),
    "▒": (":",),
    "…": ("...",),
    "→": ("->",),
    "←": ("<-",),
    "±": ("+-",),
    "≈": ("~",),
    "≥": (">=",),
    "≤": ("<=",),
    "·": ("-",),
    "•": ("*",),
    **dict.fromkeys("─━\N{EN DASH}\N{EM DASH}\N{MINUS SIGN}\N{NON-BREAKING HYPHEN}", ("-",)),
    **dict.fromkeys("\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}", ("'",)),
    **dict.fromkeys("“”", ('"',)),
    **dict.fromkeys("\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}", (" ",)),
}


def print_anywhere() -> None:
    """Make text on stdout and stderr printable in any encoding, such as cp1252 and cp437."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            name = f"picture-audit-{stream.encoding}"
            codecs.register_error(name, partial(_alike, stream.encoding))
            stream.reconfigure(errors=name)


def _alike(encoding: str, error: UnicodeError) -> tuple[str, int]:
    """Replace what an encoding lacks by what looks like it, or by an escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_written(one, encoding) for one in lacking), error.end


def _written(character: str, encoding: str) -> str:
    for one in _ALIKE.get(character, ()):
        with suppress(UnicodeEncodeError):
            one.encode(encoding)
            return one
    return character.encode("ascii", "backslashreplace").decode("ascii")


def write_data(text: str) -> None:
    """Write text for programs to stdout: UTF-8, with its line ends as they are."""
    sys.stdout.flush()
    binary = getattr(sys.stdout, "buffer", None)
    if binary is None:  # a notebook's, or another that takes text only
        sys.stdout.write(text)
    else:
        binary.write(text.encode("utf-8", "backslashreplace"))
        binary.flush()


def command_line(words: Iterable[str]) -> str:
    """Write a command so that it can be pasted into this system's shell."""
    return subprocess.list2cmdline(words) if _IS_WINDOWS else shlex.join(words)
