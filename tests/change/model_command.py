"""A program that forks one child for each command, so that a command can be killed alone.

It reads one JSON document a line and answers each with one line:

- `{"do": "warm", "environment": …, "tasks": […]}` does the tasks itself, so that all modules
  are loaded before the first fork;
- `{"do": "start", "environment": …, "task": …}` forks; the answer is the child's process id;
- `{"do": "wait", "pid": …}` waits for a child; the answer is how it ended.

Started by `model_process`, once the clock of `model_clock` is in place.
"""

import gc
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from tests.change.model_clock import Clock
from tests.change.model_server import RUN_HEADER, SLEEP_HEADER
from toolkit.change.apply_plan import apply
from toolkit.change.undo_journal import undo
from toolkit.change.verify_plan import verify
from toolkit.errors import PictureAuditError
from toolkit.tenant.client import connect

COMMANDS: dict[str, Callable[..., Any]] = {"apply": apply, "undo": undo, "verify": verify}


def work(clock: Clock, task: dict[str, Any]) -> dict[str, Any]:
    """Do one command; return how it ended, as JSON."""
    began = clock.monotonic()
    found: dict[str, Any] = {}
    try:
        with connect() as tenant:
            options = dict(task["options"])
            if task["kind"] != "verify":
                options["confirm"] = tenant.domain
            found["outcome"] = COMMANDS[task["kind"]](tenant, task["path"], **options).as_dict()
    except PictureAuditError as error:
        found["error"] = [type(error).__name__, str(error)]
    except Exception as error:  # noqa: BLE001 - the test says what came out
        found["error"] = [type(error).__name__, traceback.format_exc()]
        found["crash"] = True
    return found | {"seconds": clock.monotonic() - began}


def name_requests(clock: Clock, run: str) -> None:
    """From now on each request says which run it is of, and answers make the machine sleep."""
    plain = httpx.HTTPTransport.handle_request

    def naming(self: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        request.headers[RUN_HEADER] = f"{run}/{os.getpid()}"
        response = plain(self, request)
        # As where a lid is closed: time has passed when the process goes on.
        clock.slept += float(response.headers.get(SLEEP_HEADER, "0"))
        return response

    httpx.HTTPTransport.handle_request = naming  # type: ignore[method-assign]


def forked(clock: Clock, asked: dict[str, Any]) -> int:
    """Do a command in a child; return its process id."""
    gc.freeze()  # so that the child copies less
    pid = os.fork()
    if pid:
        return pid
    gc.disable()
    os.environ.update(asked["environment"])
    task, clock.slept = asked["task"], 0.0
    # Where one request is under way at a time, reading back keeps to that, too.
    sys.modules[verify.__module__].WORKERS = task["workers"]  # type: ignore[attr-defined]
    name_requests(clock, task["run"])
    Path(task["out"]).write_text(json.dumps(work(clock, task)), encoding="utf-8")
    os._exit(0)


def main(clock: Clock) -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        answer: Any
        if asked["do"] == "wait":
            answer = os.waitpid(asked["pid"], 0)[1]
        elif asked["do"] == "start":
            answer = forked(clock, asked)
        else:
            os.environ.update(asked["environment"])
            answer = [work(clock, one) for one in asked["tasks"]]
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
