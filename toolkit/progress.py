"""Progress of long work, as a value that any face can draw."""

import functools
import inspect
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, ParamSpec, Protocol, Self, TypeAlias, TypeVar, cast, get_args

_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)
_P = ParamSpec("_P")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far long work has come.

    Attributes:
        done: units finished so far (users, requests, bytes: the work says which).
        total: units expected, or None while unknown.
        rate: units a second over the work so far, or None at the start.
        eta: seconds left at that rate, or None while unknown.
        note: one short line for people: what is going on.
        estimated: whether `total` is an estimate, which may change.
    """

    done: int
    total: int | None = None
    rate: float | None = None
    eta: float | None = None
    note: str = ""
    estimated: bool = False

    @classmethod
    def after(
        cls,
        seconds: float,
        done: int,
        total: int | None,
        note: str = "",
        *,
        before: int = 0,
        estimated: bool = False,
    ) -> Self:
        """Calculate the rate and the time left from the seconds since the work began.

        `before` units were finished when it began.
        """
        rate = (done - before) / seconds if done > before and seconds > 0 else None
        total = None if total is None else max(done, total)
        eta = (total - done) / rate if rate and total is not None else None
        return cls(done, total, rate, eta, note, estimated)

    @property
    def count(self) -> str:
        """How many of how many, in words."""
        if self.total is None:
            return f"{self.done:,}"
        return f"{self.done:,} of {'≈ ' if self.estimated else ''}{self.total:,}"

    @property
    def speed(self) -> str:
        """The rate in words; "" while unknown."""
        return f"{self.rate:,.0f}/s" if self.rate else ""

    @property
    def left(self) -> str:
        """The time left in words; "" while unknown."""
        return "" if self.eta is None else f"{int(self.eta) // 60}:{int(self.eta) % 60:02d} left"


Show: TypeAlias = Callable[[Progress], None]
"""Draws a `Progress`."""


def run(steps: Generator[Progress, None, _T], show: Show | None) -> _T:
    """Do long work to its end, showing each step, and return its result.

    What shows them is told the end, too, if it has a method `done`.
    """
    while True:
        try:
            progress = next(steps)
        except StopIteration as end:
            if done := getattr(show, "done", None):
                done()
            result: _T = end.value
            return result
        if show is not None:
            show(progress)


class LongJob(Protocol[_P, _T_co]):
    """A function that does long work to its end, and the same work step by step."""

    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _T_co:
        """Do the work, calling `show` with each step."""

    @property
    def steps(self) -> Callable[_P, Generator[Progress, None, _T_co]]:
        """The work as a generator, with the same arguments; `show` is ignored.

        Not asking for the next step pauses: what is under way still ends. Closing the generator
        stops cleanly.
        """


def long_job(steps: Callable[_P, Generator[Progress, None, _T]]) -> LongJob[_P, _T]:
    """Make a function that runs a generator to its end, and calls its argument `show`."""

    @functools.wraps(steps)
    def job(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        return run(steps(*args, **kwargs), cast("Show | None", kwargs.get("show")))

    signature = inspect.signature(steps)
    result = get_args(signature.return_annotation)[-1]
    made: Any = job
    made.__signature__ = signature.replace(return_annotation=result)
    made.steps = steps
    return cast("LongJob[_P, _T]", made)
