"""How many pictures a second are judged on one core, beside decoding alone.

`uv run python -m tests.benchmarks.looking`
"""

import sys
import time
from collections.abc import Callable, Sequence

from toolkit.images.content import Content, content_of
from toolkit.images.decode import Unreadable, decoded
from toolkit.images.drawing import file_of

SIZES = (96, 200, 256)


def measured(many: int = 20, rounds: int = 5) -> dict[str, float]:
    """Return pictures a second, `judged` and `decoded`: the best of some rounds, CPU time."""
    bodies = [
        file_of(content, f"benchmark {number}", SIZES[number % 3], ("png", "jpeg")[number % 2])
        for content in Content
        for number in range(many)
    ]
    images = [one for one in map(decoded, bodies) if not isinstance(one, Unreadable)]
    return {
        "judged": len(images) / _best(content_of, images, rounds),
        "decoded": len(bodies) / _best(decoded, bodies, rounds),
    }


def _best(work: Callable[..., object], items: Sequence[object], rounds: int) -> float:
    found = []
    for _ in range(rounds):
        started = time.process_time()
        for item in items:
            work(item)
        found.append(time.process_time() - started)
    return min(found)


if __name__ == "__main__":
    told = measured()
    lines = (f"{name}: {value:,.0f} pictures a second and core" for name, value in told.items())
    sys.stdout.write("\n".join(lines) + "\n")
