"""Long work behind a panel: begun once, gone through step by step, with a pause and a way out."""

import threading
from collections.abc import Callable, Generator
from typing import TypeVar

import ipywidgets

from toolkit.progress import Progress

_T = TypeVar("_T")


class Run:
    """One piece of work at a time, which buttons pause and cancel; safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._going, self._cancelled = threading.Event(), threading.Event()
        self._idle = threading.Event()
        self._idle.set()

    @property
    def working(self) -> bool:
        """Whether something is under way, paused or not."""
        return not self._idle.is_set()

    @property
    def paused(self) -> bool:
        """Whether what is under way waits for somebody to go on."""
        return self.working and not self._going.is_set()

    def begin(self) -> bool:
        """Begin; return False, and do nothing, where something is under way already."""
        with self._lock:
            if self.working:
                return False
            self._cancelled.clear()
            self._going.set()
            self._idle.clear()
            return True

    def end(self) -> None:
        """Say that nothing is under way any more."""
        self._idle.set()

    def pause(self) -> bool:
        """Go no further, or go on; return whether it is paused now. What is cancelled ends."""
        with self._lock:
            if self._going.is_set() and not self._cancelled.is_set():
                self._going.clear()
            else:
                self._going.set()
            return not self._going.is_set()

    def cancel(self) -> None:
        """Stop before the next step, paused or not."""
        with self._lock:
            self._cancelled.set()
            self._going.set()

    def stop(self) -> None:
        """Cancel, and wait until nothing is under way: what a step has begun is finished."""
        self.cancel()
        self._idle.wait()

    def through(
        self, steps: Generator[Progress, None, _T], show: Callable[[Progress], None]
    ) -> _T | None:
        """Go through the steps, waiting where somebody paused.

        Returns:
            What they come to; None where somebody cancelled. They are closed in the end.
        """
        try:
            while True:
                self._going.wait()
                if self._cancelled.is_set():
                    return None
                show(next(steps))
        except StopIteration as end:
            result: _T = end.value
            return result
        finally:
            steps.close()

    def settled(self, seconds: float) -> bool:
        """Wait until nothing is under way; return whether it came to that."""
        return self._idle.wait(seconds)

    def settle(self, pause: ipywidgets.Button, cancel: ipywidgets.Button) -> None:
        """Let the two buttons be pressed while they mean something."""
        pause.disabled = cancel.disabled = not self.working
        pause.description = "Go on" if self.paused else "Pause"
