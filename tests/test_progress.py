"""Long work is done to its end, watched or not."""

import inspect
from collections.abc import Generator

import pytest

from toolkit.progress import Progress, long_job, run


def work():
    for done in (1, 2, 3):
        yield Progress(done, 3)
    return "done"


def test_each_step_is_shown_and_the_outcome_returned():
    shown = []
    assert run(work(), shown.append) == "done"
    assert [step.done for step in shown] == [1, 2, 3]


def test_work_that_nobody_watches_is_done_all_the_same():
    assert run(work(), None) == "done"


def test_who_stops_watching_stops_the_work():
    def stop(step):
        if step.done == 2:
            raise KeyboardInterrupt

    steps = work()
    with pytest.raises(KeyboardInterrupt):
        run(steps, stop)
    assert next(steps).done == 3


@long_job
def doubled(number: int, *, show=None) -> Generator[Progress, None, int]:
    """Double it."""
    yield Progress(0)
    return 2 * number


def test_a_long_job_is_a_function_and_its_steps():
    shown = []
    assert doubled(4, show=shown.append) == 8
    assert shown == [Progress(0)]
    assert doubled(4) == 8
    steps = doubled.steps(4)
    assert next(steps) == Progress(0)
    assert doubled.__doc__ == "Double it."
    assert str(inspect.signature(doubled)) == "(number: int, *, show=None) -> int"
