"""The process that forks the commands of the model test, seen from the test."""

import json
import os
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

PROGRAM = """
from tests.change.model_clock import Clock
clock = Clock()
clock.install()
from tests.change.model_command import main
main(clock)
"""


class Crew:
    """Starts commands and waits for them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        root = Path(__file__).parent.parent.parent
        environment = {**os.environ, "PYTHONPATH": str(root)}
        for name in ("DOMAIN", "CLIENT_ID", "CLIENT_SECRET", "TOKEN"):
            environment.pop(f"AUTH0_{name}", None)
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=folder,
            env=environment,
            text=True,
        )

    def warm(self, environment: dict[str, str], tasks: list[dict[str, Any]]) -> Any:
        return self._asked({"do": "warm", "environment": environment, "tasks": tasks}, 120)

    def start(self, environment: dict[str, str], task: dict[str, Any]) -> "Child":
        self._number += 1
        out = self._folder / f"result-{self._number}.json"
        task = task | {"out": str(out)}
        pid = self._asked({"do": "start", "environment": environment, "task": task}, 30)
        return Child(self, pid, out)

    def wait(self, pid: int, seconds: float) -> int | None:
        """Wait for a child; None where it had to be killed because it took too long."""
        self._send({"do": "wait", "pid": pid})
        answer = self._answer(seconds)
        if answer is None:
            os.kill(pid, 9)
            self._answer(30)
        return answer

    def close(self) -> None:
        self._process.communicate()

    def _asked(self, document: dict[str, Any], seconds: float) -> Any:
        self._send(document)
        answer = self._answer(seconds)
        assert answer is not None, "the process that forks does not answer"
        return answer

    def _send(self, document: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(document) + "\n")
        self._process.stdin.flush()

    def _answer(self, seconds: float) -> Any:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        return json.loads(self._process.stdout.readline()) if ready else None


class Child:
    """One command under way."""

    def __init__(self, crew: Crew, pid: int, out: Path) -> None:
        self._crew, self.pid, self._out = crew, pid, out

    def result(self, seconds: float) -> dict[str, Any]:
        """Wait for the end; return what came of it, with `killed` and `hung`."""
        status = self._crew.wait(self.pid, seconds)
        try:
            found = json.loads(self._out.read_text())
            self._out.unlink()
        except FileNotFoundError:
            found = {"killed": True}
        except ValueError:
            found = {"killed": True}
            self._out.unlink()
        return found | {"hung": status is None, "status": status}
