"""Time that passes at once while somebody sleeps: for the processes of the model test."""

import threading
import time


class Clock:
    """Takes the place of the system's clocks in a process.

    Attributes:
        slept: seconds that passed while somebody slept.
    """

    def __init__(self) -> None:
        self.slept = 0.0
        self._lock = threading.Lock()
        self._sleep, self._time, self._monotonic = time.sleep, time.time, time.monotonic

    def install(self) -> None:
        """Take their place; before anything is imported that keeps them."""
        time.sleep, time.time, time.monotonic = self.sleep, self.time, self.monotonic

    def sleep(self, seconds: float) -> None:
        # Who sleeps at the same time wakes at the same time.
        until = self.slept + max(0.0, seconds)
        self._sleep(0.0002)  # others go first, as in a real sleep
        with self._lock:
            self.slept = max(self.slept, until)

    def time(self) -> float:
        return self._time() + self.slept

    def monotonic(self) -> float:
        return self._monotonic() + self.slept
