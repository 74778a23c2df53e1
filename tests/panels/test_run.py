"""Work behind a panel: one at a time, paused, gone on with, cancelled."""

import threading

import ipywidgets
import pytest

from toolkit.panels.background import Run
from toolkit.progress import Progress


def counted(number, closed):
    try:
        for done in range(number):
            yield Progress(done, number)
        return "the end"
    finally:
        closed.append(True)


def test_it_goes_through_all_steps_to_what_they_come_to():
    run, shown, closed = Run(), [], []
    assert run.begin()
    assert not run.begin()
    assert run.through(counted(3, closed), lambda step: shown.append(step.done)) == "the end"
    assert (shown, closed) == ([0, 1, 2], [True])
    assert run.working
    run.end()
    assert run.settled(0)
    assert run.begin()


@pytest.mark.parametrize("ending", ["goes on", "is cancelled"])
def test_paused_it_takes_no_step_until_somebody_goes_on_or_cancels(ending):
    run, shown, closed, results = Run(), [], [], []
    second = threading.Event()

    def show(step):
        shown.append(step.done)
        if step.done == 1:
            assert run.pause()
            second.set()

    def work():
        results.append(run.through(counted(4, closed), show))
        run.end()

    run.begin()
    threading.Thread(target=work).start()
    assert second.wait(60)
    assert not run.settled(0.05)
    assert run.paused
    assert shown == [0, 1]
    if ending == "goes on":
        assert not run.pause()
    else:
        run.cancel()
    assert run.settled(10)
    assert (results, closed) == ([None] if ending == "is cancelled" else ["the end"], [True])
    assert shown == ([0, 1] if ending == "is cancelled" else [0, 1, 2, 3])
    assert not run.paused


def test_its_buttons_can_be_pressed_while_they_mean_something():
    run, pause, cancel = Run(), ipywidgets.Button(), ipywidgets.Button()

    def settled():
        run.settle(pause, cancel)
        return pause.disabled, cancel.disabled, pause.description

    assert settled() == (True, True, "Pause")
    run.begin()
    assert settled() == (False, False, "Pause")
    run.pause()
    assert settled() == (False, False, "Go on")
    run.cancel()
    assert settled() == (False, False, "Pause")
    assert not run.pause()
    assert settled() == (False, False, "Pause")
    run.end()
    assert settled() == (True, True, "Pause")
