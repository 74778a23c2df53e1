"""Work in the background of which only the latest matters: older work that waits is dropped."""

import threading
from collections.abc import Callable


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
