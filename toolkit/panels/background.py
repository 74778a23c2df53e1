"""Work in the background of a panel: one job at a time, which can be paused and cancelled."""

import threading
from collections.abc import Callable, Generator
from typing import TypeVar

import ipywidgets

from toolkit.panels.widgets import Alert, Meter, button, guarded, muted
from toolkit.progress import Progress

_T = TypeVar("_T")


class Worker:
    """Does one job at a time in a thread, which exists only while there is work.

    All methods can be called from any thread.

    Args:
        name: of the thread.
        failed: called from the thread with whatever a job raises.
        ended: called from the thread after each job, when `working` is false or the next job waits.
    """

    def __init__(
        self,
        name: str,
        failed: Callable[[BaseException], None],
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self._name, self._failed, self._ended = name, failed, ended
        self._changed = threading.Condition()
        self._job: Callable[[], None] | None = None  # the next one
        self._wait = 0.0
        self._running = self._busy = False  # whether the thread exists; whether it does a job
        self._paused = self._cancelled = self._stopped = False

    @property
    def working(self) -> bool:
        """Whether a job is under way or waits, paused or not."""
        with self._changed:
            return self._busy or self._job is not None

    @property
    def paused(self) -> bool:
        """Whether the job under way waits for somebody to go on."""
        return self._paused and self.working

    @property
    def superseded(self) -> bool:
        """Whether the job under way shall end: it was cancelled, or something else is wanted."""
        with self._changed:
            return self._stopped or self._cancelled or self._job is not None

    def ask(self, job: Callable[[], None], *, wait: float = 0.0) -> None:
        """Do a job after the one that is under way, instead of any other job that waits.

        It begins after `wait` seconds in which nothing else was asked for.
        """
        with self._changed:
            if self._stopped:
                return
            self._job, self._wait = job, wait
            self._paused = self._cancelled = False
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name=self._name, daemon=True).start()
            self._changed.notify_all()

    def pause(self) -> bool:
        """Pause before the next step, or go on; return whether it is paused now."""
        with self._changed:
            self._paused = not (self._paused or self._cancelled)
            self._changed.notify_all()
            return self._paused

    def cancel(self) -> None:
        """End the job before its next step, paused or not."""
        with self._changed:
            self._cancelled, self._paused = True, False
            self._changed.notify_all()

    def stop(self, last: Callable[[], None] = lambda: None) -> None:
        """Cancel the job under way; only `last` is done after it, and never in a new thread."""
        with self._changed:
            self._stopped, self._paused, self._wait = True, False, 0.0
            self._job = last if self._running else None
            self._changed.notify_all()
            if not self._running:
                last()

    def settled(self, seconds: float | None = None) -> bool:
        """Wait, at most for some seconds, until the thread has ended; return whether it has."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._running, seconds)

    def through(
        self, steps: Generator[Progress, None, _T], show: Callable[[Progress], None]
    ) -> _T | None:
        """Go through the steps of the job under way, wait during a pause, and close them.

        Returns:
            What the steps return; None if the job was cancelled or superseded.
        """
        try:
            while self.goes_on():
                show(next(steps))
        except StopIteration as end:
            result: _T = end.value
            return result
        else:
            return None
        finally:
            steps.close()

    def goes_on(self) -> bool:
        """Wait during a pause; return whether the job under way shall take its next step."""
        with self._changed:
            self._changed.wait_for(lambda: not self._paused or self.superseded)
            return not self.superseded

    def _run(self) -> None:
        while (job := self._next()) is not None:
            for call in (job, self._end):
                try:
                    call()
                except Exception as error:  # noqa: BLE001 - whatever it is, it is shown
                    self._failed(error)

    def _end(self) -> None:
        with self._changed:
            self._busy = False
        self._ended()

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            while (job := self._job) is not None:
                # After the wait, another job may have been asked for before this goes on.
                if not self._wait or not (self._changed.wait(self._wait) or self._job is not job):
                    self._job, self._busy = None, True
                    return job
            self._running = False
            self._changed.notify_all()
            return None


class JobPanel(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """A panel with one long job at a time, its progress, and buttons to pause and to cancel it.

    Args:
        name: of the thread.
        what: the job, in a word.
        pausing: what pressing Pause does.
        paused: what is said during a pause.
        cancelling: what pressing Cancel does.
        width: of these buttons, in CSS.
    """

    def __init__(
        self, name: str, what: str, *, pausing: str, paused: str, cancelling: str, width: str
    ) -> None:
        super().__init__()
        self._lock = threading.RLock()
        self._said_while_paused = paused
        self.alert, self.meter, self.status = Alert(), Meter(what), ipywidgets.HTML()
        self.meter.layout.display = "none"  # until there is work
        self.worker = Worker(name, self._failed, self.update_buttons)
        self.pause_button = button("Pause", pausing, width, self.pause)
        self.cancel_button = button("Cancel", cancelling, width, self.cancel)

    def begin(self, job: Callable[[], None], words: str, what: str = "") -> None:
        """Do a job and say these words first; do nothing if another job is under way.

        `what` is the job in a word, if the panel has several.
        """
        with self._lock:
            if not self.worker.working:
                self.meter.bar.description = what or self.meter.bar.description
                self.meter.start()
                self.meter.layout.display = None
                self._say(words)
                self.worker.ask(job)
                self.update_buttons()

    @guarded
    def pause(self) -> None:
        """Pause, or go on."""
        with self._lock:
            if self.worker.working:  # or it ended while this was pressed
                self._say(self._said_while_paused if self.worker.pause() else "")
                self.update_buttons()

    @guarded
    def cancel(self) -> None:
        """End the job before its next step; the same job goes on there when it is started again."""
        with self._lock:
            if self.worker.working:
                self._say("Cancelling …")
                self.worker.cancel()
                self.update_buttons()

    def update_buttons(self) -> None:
        """Enable exactly those buttons that mean something now."""
        self.pause_button.disabled = self.cancel_button.disabled = not self.worker.working
        self.pause_button.description = "Go on" if self.worker.paused else "Pause"

    def settled(self, seconds: float) -> bool:
        """Wait until no job is under way; return whether that was reached."""
        return self.worker.settled(seconds)

    def close(self) -> None:
        """Cancel the job, wait for the end of the step that it has begun, and close the panel."""
        self.worker.stop()
        self.worker.settled()
        super().close()

    def _failed(self, error: BaseException) -> None:
        self.alert.show(error)

    def _say(self, words: str) -> None:
        self.status.value = muted(words, status=True)
