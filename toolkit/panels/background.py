"""Work behind a panel: with a pause and a way out, or such that only the latest matters."""

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


class Latest:
    """Does what was asked for last, in a thread of its own, one thing at a time.

    Args:
        name: of the thread.
        failed: called from the thread with whatever the work raises.
    """

    def __init__(self, name: str, failed: Callable[[BaseException], None]) -> None:
        self._failed = failed
        self._changed = threading.Condition()
        self._job: Callable[[], None] | None = None
        self._wait = 0.0
        self._stopped = self._busy = False
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def ask(self, job: Callable[[], None], *, wait: float = 0.0) -> None:
        """Want this done, and nothing that was asked for before.

        Args:
            job: what to do.
            wait: seconds without anything else being asked for before it begins.
        """
        with self._changed:
            if not self._stopped:
                self._job, self._wait = job, wait
                self._changed.notify_all()

    @property
    def superseded(self) -> bool:
        """Whether something else is wanted by now, or nothing any more."""
        with self._changed:
            return self._stopped or self._job is not None

    def settled(self, seconds: float | None = None) -> bool:
        """Wait until nothing is wanted or under way; return whether it came to that.

        Args:
            seconds: how long to wait at most; None for as long as it takes.
        """
        with self._changed:
            return self._changed.wait_for(lambda: self._job is None and not self._busy, seconds)

    def stop(self) -> None:
        """Begin nothing any more; what is under way is superseded."""
        with self._changed:
            self._stopped, self._job = True, None
            self._changed.notify_all()

    def _run(self) -> None:
        while (job := self._next()) is not None:
            try:
                job()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is shown
                self._failed(error)
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            while not self._stopped:
                job = self._job
                if job is None:
                    self._changed.wait()
                # Once the time is up, something else may have been wanted before this goes on.
                elif not self._wait or not (self._changed.wait(self._wait) or self._job is not job):
                    self._job, self._busy = None, True
                    return job
            return None
