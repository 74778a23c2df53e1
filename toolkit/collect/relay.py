"""A relay: threads that each do a whole piece of work, and never wait for more than their turn.

Each takes a piece, works on it, and gives what came of it. Pieces are taken one at a time and
given one at a time in the same order; only the work between is done by all at once. What a
thread has taken stays in its core's caches until it has given it, and no thread is there but to
hand things on.
"""

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from threading import Condition, Lock
from typing import Generic, TypeVar

Desk = TypeVar("Desk")
Taken = TypeVar("Taken")
Done = TypeVar("Done")


class Relay(Generic[Desk, Taken, Done]):
    """Some threads at work. Used once.

    Args:
        take: takes the next piece with a thread's own desk; None where there is none.
        work: works on it.
        give: gives what came of it; False where nothing more shall be given.

    Attributes:
        abandoned: whether it was closed or has failed, so that all that is taken is lost; who waits
            for something to take looks at it meanwhile.
    """

    def __init__(
        self,
        take: Callable[[Desk], Taken | None],
        work: Callable[[Desk, Taken], Done],
        give: Callable[[Done], bool],
    ) -> None:
        self._take, self._work, self._give = take, work, give
        self._taking, self._turn = Lock(), Condition()
        self._numbers = self._given = 0
        self._taken: dict[int, Taken] = {}  # by number, until it is given
        self._ended = self._stopped = self.abandoned = False
        self._told: SimpleQueue[bool] = SimpleQueue()

    def run(self, desks: Sequence[Desk]) -> Generator[None]:
        """Work with one thread a desk; yield whenever something was given.

        No thread works any more once this has ended or was closed. What any of the functions
        raises is raised here.
        """
        running: list[Future[None]] = []
        with ThreadPoolExecutor(len(desks)) as pool:
            try:
                running.extend(pool.submit(self._run, desk) for desk in desks)
                working = len(running)
                while working:
                    if self._told.get():
                        yield
                    else:
                        working -= 1
            except BaseException:
                self._abandon()
                raise
        for one in running:
            one.result()

    @property
    def left(self) -> list[Taken]:
        """What was taken and not given, in its order."""
        return [self._taken[number] for number in sorted(self._taken)]

    def _run(self, desk: Desk) -> None:
        try:
            while self._step(desk):
                self._told.put(True)
        except BaseException:
            self._abandon()
            raise
        finally:
            self._told.put(False)

    def _step(self, desk: Desk) -> bool:
        """Take one, work on it and give it; return whether there was one and more are wanted."""
        number = self._next(desk)
        if number is None:
            return False
        done = self._work(desk, self._taken[number])
        with self._turn:
            self._turn.wait_for(partial(self._is_next, number))
            if self._stopped:
                return False
            if self._give(done):
                del self._taken[number]
                self._given += 1
            else:
                self._stopped = True
            self._turn.notify_all()
        return not self._stopped

    def _next(self, desk: Desk) -> int | None:
        with self._taking:
            if self._ended or self._stopped:
                return None
            self._ended = True  # also where it fails: what comes next would be out of order
            taken = self._take(desk)
            if taken is None:
                return None
            self._ended = False
            number, self._numbers = self._numbers, self._numbers + 1
            self._taken[number] = taken
            return number

    def _is_next(self, number: int) -> bool:
        return self._stopped or self._given == number

    def _abandon(self) -> None:
        self.abandoned = self._stopped = True  # before anything that may have to be waited for
        with self._turn:
            self._turn.notify_all()
