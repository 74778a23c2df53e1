"""What a command costs: a fresh process, its time, and the most memory that it held."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes; macOS and Linux differ


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run cost.

    Attributes:
        seconds: from its start to its end.
        cpu: seconds of all cores.
        peak: the most bytes of memory that it held.
        output: what it wrote to stdout.
    """

    seconds: float
    cpu: float
    peak: int
    output: str


def cost(command: Sequence[str], *, discard: bool = False) -> Cost:
    """Run a command to its end.

    This process must be small: what a child holds before it becomes the command counts, too.
    Python keeps the byte code of what it imports, as it does unless it is told not to: else
    every start would compile all that is imported again.

    Args:
        command: the words of it.
        discard: throw its output away, like `> /dev/null`.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    out = subprocess.DEVNULL if discard else subprocess.PIPE
    with subprocess.Popen(command, stdout=out, text=True, env=kept) as process:
        output = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, output)
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * _UNIT, output)


def middle(costs: Sequence[Cost]) -> Cost:
    """Return the median of the times, and the most memory."""
    return Cost(
        median(one.seconds for one in costs),
        median(one.cpu for one in costs),
        max(one.peak for one in costs),
        costs[-1].output,
    )
