"""Asynchronous work in a thread of its own, read as an ordinary generator.

A notebook has a running event loop already, and asyncio lets nobody run a second one in
the same thread.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Final, TypeVar

_Event = TypeVar("_Event")
_Result = TypeVar("_Result")


class _End:
    """Comes after the last event."""


_END: Final = _End()


def driven(
    work: Callable[[Callable[[_Event], None]], Coroutine[Any, Any, _Result]],
) -> Generator[_Event, None, _Result]:
    """Run a coroutine in the background and yield what it reports.

    Closing the generator, or an interrupt while it waits, cancels the coroutine and
    returns when its thread has ended.

    Args:
        work: called with a function that takes each event; returns the coroutine.

    Returns:
        What the coroutine returns. What it raises is raised here.
    """
    events: SimpleQueue[_Event | _End] = SimpleQueue()
    loop = asyncio.new_event_loop()
    task = loop.create_task(work(events.put))

    def run() -> None:
        try:
            loop.run_until_complete(asyncio.wait([task]))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.close()
            events.put(_END)

    # A daemon: a generator that somebody forgot must not keep the program from ending.
    thread = threading.Thread(target=run, name="probe", daemon=True)
    thread.start()
    try:
        while not isinstance(event := events.get(), _End):
            yield event
    finally:
        with suppress(RuntimeError):  # the loop is closed where the work has ended by itself
            loop.call_soon_threadsafe(task.cancel)
        thread.join()
    return task.result()
