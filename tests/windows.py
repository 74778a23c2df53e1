"""The command, run as if this were Windows, as far as that can be done on Linux.

`python -m tests.windows` reads lines from stdin, a command's arguments as JSON in each, runs them
one after the other, and ends what each prints with a NUL, on stdout with its exit code before it.

To `toolkit`, not to libraries, which have branches of their own for Windows:

- modules and names that only POSIX has are missing, and `os.name` is "nt";
- files and folders are made without regard to modes, and folders cannot be opened;
- a file that names no encoding is an error.

To everybody in this process:

- what is open or mapped cannot be removed, renamed or replaced, and nothing that is there is
  replaced by renaming;
- names that Windows refuses are refused.

What it cannot show: the libraries' own code for Windows, other programs that have a file open,
drives, consoles, and Windows' own signals.
"""

import builtins
import io
import json
import os
import re
import shutil
import signal
import socket
import sys
import time
import traceback
import types
import warnings
from importlib import import_module
from pathlib import Path

from filelock import UnixFileLock

MODULES = frozenset("fcntl grp posix pty pwd resource syslog termios tty".split())
MISSING = {
    os: """
        O_ACCMODE O_ASYNC O_CLOEXEC O_DIRECT O_DIRECTORY O_DSYNC O_LARGEFILE O_NDELAY O_NOATIME
        O_NOCTTY O_NOFOLLOW O_NONBLOCK O_PATH O_RSYNC O_SYNC O_TMPFILE WNOHANG chown chroot
        confstr fchdir fchmod fchown fork forkpty fpathconf fwalk getegid geteuid getgid getgroups
        getloadavg getpgid getpgrp getpriority getresuid getsid getuid initgroups killpg lchown
        lockf major makedev memfd_create minor mkfifo mknod nice openpty pathconf pidfd_open
        posix_fadvise posix_fallocate posix_spawn pread preadv pwrite pwritev readv
        register_at_fork sched_getaffinity sched_yield sendfile setegid seteuid setgid setpgid
        setsid setuid splice statvfs sync sysconf tcgetpgrp ttyname uname wait wait3 wait4 waitid
        writev
    """,
    signal: """
        ITIMER_REAL SIGALRM SIGBUS SIGCHLD SIGCONT SIGHUP SIGIO SIGKILL SIGPIPE SIGQUIT SIGSTOP
        SIGTSTP SIGTTIN SIGTTOU SIGURG SIGUSR1 SIGUSR2 SIGWINCH alarm getitimer pause pthread_kill
        pthread_sigmask setitimer siginterrupt sigpending sigtimedwait sigwait
    """,
    socket: "AF_UNIX SO_REUSEPORT recv_fds send_fds",
    time: "clock_getres clock_gettime clock_settime pthread_getcpuclockid tzset",
}
# Microsoft, "Naming Files, Paths, and Namespaces".
REFUSED = re.compile(
    r'.*[<>:"|?*\\\x00-\x1f].*|.*[. ]|(con|prn|aux|nul|com\d|lpt\d)(\..*)?',
    re.IGNORECASE | re.DOTALL,
)


def main() -> None:
    """Pretend, then run command after command."""
    pretend()
    run = import_module("toolkit.cli").main
    for line in sys.stdin:
        sys.argv = ["picture-audit", *json.loads(line)]
        try:
            run()
            code = 0
        except SystemExit as end:
            code = end.code
        except BaseException as error:  # noqa: BLE001 - the test says what it was
            traceback.print_exception(error)
            code = -1
        sys.stdout.flush()
        sys.stdout.buffer.write(f"\n{code}\0".encode())
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stderr.buffer.write(b"\0")
        sys.stderr.flush()


def pretend() -> None:
    """Take away what Windows has not, and refuse what it refuses."""
    warnings.filterwarnings("error", category=EncodingWarning, module=r"toolkit\b")
    os.umask(0)  # everybody may do everything, as modes say on Windows
    real_import = builtins.__import__
    windows = {module: _Lacking(module, names.split()) for module, names in MISSING.items()}
    windows[os].__dict__.update(name="nt", open=_opened)
    windows[sys] = _Lacking(sys, ())
    windows[sys].__dict__["platform"] = "win32"

    def imported(name, *others, **named):
        importer = (others[0] if others else named.get("globals")) or {}
        ours = str(importer.get("__name__", "")).partition(".")[0] == "toolkit"
        if ours and name.partition(".")[0] in MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        module = real_import(name, *others, **named)
        return windows.get(module, module) if ours else module

    def named(function):
        def opened(file, mode="r", *arguments, **named):
            if isinstance(file, str | os.PathLike) and not set(mode).isdisjoint("wax+"):
                _ensure_name(file)
            importer = sys._getframe(1).f_globals.get("__name__", "")
            if "b" not in mode and importer.partition(".")[0] == "toolkit":
                assert named.get("encoding") or len(arguments) > 1, f"{file}: no encoding"
            return function(file, mode, *arguments, **named)

        return opened

    builtins.__import__ = imported
    builtins.open, io.open = named(builtins.open), named(io.open)
    shutil._use_fd_functions = False
    for name in ("remove", "unlink", "rmdir", "replace", "rename", "mkdir"):
        setattr(os, name, _refusing(name, getattr(os, name)))
    release = UnixFileLock._release

    def released(self):
        release(self)
        # As the library does on Windows.
        Path(self.lock_file).unlink(missing_ok=True)

    UnixFileLock._release = released


class _Lacking(types.ModuleType):
    """A module without some of its names."""

    def __init__(self, module, names):
        super().__init__(module.__name__)
        self.__dict__.update(_module=module, _names=frozenset(names))

    def __getattr__(self, name):
        if name in self._names:
            raise AttributeError(f"Windows has no {self.__name__}.{name}")
        return getattr(self._module, name)


def _opened(path, flags, mode=0o777, **named):
    if Path(path).is_dir():
        raise PermissionError(13, "Permission denied", str(path))
    if flags & os.O_CREAT:
        _ensure_name(path)
    return os.open(path, flags, 0o666, **named)


def _refusing(name, function):
    def done(path, *others, **named):
        if name == "mkdir":
            _ensure_name(path)
            return function(path, 0o777)
        if name in {"replace", "rename"}:
            _ensure_name(others[0])
            if Path(others[0]).is_dir() or (name == "rename" and Path(others[0]).exists()):
                raise FileExistsError(17, "it exists", str(others[0]))
        for one in (path, *others):
            if _in_use(one):
                raise PermissionError(13, "another process is using this file", str(one))
        return function(path, *others, **named)

    return done


def _ensure_name(path):
    for part in Path(path).parts:
        if part not in {"/", ".", ".."} and REFUSED.fullmatch(part):
            raise OSError(22, "Windows refuses this name", str(path))


def _in_use(path) -> bool:
    """Whether this process has a file, or anything in a folder, open or mapped."""
    place = os.path.realpath(path)
    for one in Path("/proc/self/fd").iterdir():
        try:
            target = str(one.readlink())
        except OSError:
            continue
        if target == place or target.startswith(f"{place}/"):
            return True
    maps = Path("/proc/self/maps").read_text("utf-8")
    return any(line.endswith(f" {place}") for line in maps.splitlines())


if __name__ == "__main__":
    main()
