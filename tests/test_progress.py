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


def test_what_shows_the_steps_is_told_the_end():
    class Shown(list):
        def __call__(self, step):
            self.append(step.done)

        def done(self):
            self.append("the end")

    shown = Shown()
    assert run(work(), shown) == "done"
    assert shown == [1, 2, 3, "the end"]


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


def test_rate_and_time_left_come_from_the_work_since_it_began():
    assert Progress.after(2.0, 30, 50, "half", before=10) == Progress(30, 50, 10.0, 2.0, "half")
    assert Progress.after(2.0, 30, 20, estimated=True) == Progress(30, 30, 15.0, 0.0, "", True)
    assert Progress.after(2.0, 30, None) == Progress(30, None, 15.0)
    assert Progress.after(0.0, 30, 50) == Progress.after(2.0, 30, 50, before=30) == Progress(30, 50)


def test_progress_in_words():
    said = Progress(1_000, 2_000, 1_234.5, 61.9, estimated=True)
    assert (said.count, said.speed, said.left) == ("1,000 of ≈ 2,000", "1,234/s", "1:01 left")
    assert Progress(1, 2).count == "1 of 2"
    assert (Progress(1).count, Progress(1).speed, Progress(1).left) == ("1", "", "")
