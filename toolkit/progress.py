"""Progress of long work, as a value that any face can draw."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far long work has come.

    Attributes:
        done: units finished so far (users, requests, bytes: the work says which).
        total: units expected, or None while nobody can know. Where it is an
            estimate, `estimated` is true and it may move.
        rate: units a second over the work so far, or None at the start.
        eta: seconds left at that rate, or None while unknown.
        note: one short line for people: what is going on.
        estimated: whether `total` is an estimate.
    """

    done: int
    total: int | None = None
    rate: float | None = None
    eta: float | None = None
    note: str = ""
    estimated: bool = False


def run(steps: Generator[Progress, None, _T], show: Callable[[Progress], None] | None) -> _T:
    """Do long work to its end, showing each step, and return what it comes to."""
    while True:
        try:
            progress = next(steps)
        except StopIteration as end:
            result: _T = end.value
            return result
        if show is not None:
            show(progress)
