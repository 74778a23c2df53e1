"""Work in the background of a panel: one job at a time, paused, cancelled, replaced."""

import threading
import time

import pytest

from toolkit.errors import OutputError
from toolkit.panels.background import JobPanel, Worker
from toolkit.progress import Progress


@pytest.fixture
def done():
    return []


@pytest.fixture
def worker(done):
    worker = Worker("test", done.append)
    yield worker
    worker.stop()


def counted(number, closed):
    try:
        for done in range(number):
            yield Progress(done, number)
        return "the end"
    finally:
        closed.append(True)


def held(worker, done):
    """Begin a job that lasts until somebody lets it go on."""
    begun, go = threading.Event(), threading.Event()

    def first() -> None:
        begun.set()
        assert go.wait(60)
        done.append(("first", worker.superseded))

    worker.ask(first)
    assert begun.wait(60)
    return go


def test_only_the_latest_of_what_waits_is_done(worker, done):
    go = held(worker, done)
    worker.ask(lambda: done.append("second"))
    worker.ask(lambda: done.append("third"))
    go.set()
    assert worker.settled(60)
    assert done == [("first", True), "third"]


def test_what_is_asked_again_in_time_begins_once(worker, done):
    for number in range(5):
        worker.ask(lambda number=number: done.append(number), wait=0.2)
    assert worker.settled(60)
    assert done == [4]


def test_what_is_wanted_at_the_moment_the_time_is_up_is_what_is_done(worker, done):
    worker.ask(lambda: done.append("first"), wait=0.2)
    time.sleep(0.05)
    with worker._changed:  # the time is up meanwhile, but nobody can go on
        time.sleep(0.4)
        worker.ask(lambda: done.append("second"))
    assert worker.settled(60)
    assert done == ["second"]


def test_what_it_raises_is_handed_over_and_the_next_is_done(worker, done):
    worker.ask(lambda: 1 / 0)
    assert worker.settled(60)
    worker.ask(lambda: done.append(1))
    assert worker.settled(60)
    assert [type(one) for one in done] == [ZeroDivisionError, int]
    worker.stop()
    worker.ask(lambda: done.append(2))
    assert worker.superseded


def test_stopped_it_begins_nothing_that_waits_and_settles_once_the_last_has_ended(worker, done):
    go = held(worker, done)
    worker.ask(lambda: done.append("second"))
    worker.stop(lambda: done.append("closed"))
    assert not worker.settled(0)
    go.set()
    assert worker.settled(60)
    worker.ask(lambda: done.append("third"))
    assert worker.settled(0)
    assert done == [("first", True), "closed"]
    worker.stop(lambda: done.append("closed again"))
    assert done[2:] == ["closed again"]


def test_its_end_is_told_once_nothing_is_under_way_and_an_error_there_stops_nothing(done):
    def ended() -> None:
        done.append(worker.working)
        raise OutputError("no")

    worker = Worker("test", lambda error: done.append(str(error)), ended)
    for _ in range(2):
        worker.ask(lambda: None)
        assert worker.settled(60)
    assert done == [False, "no"] * 2


def test_it_goes_through_all_steps_to_what_they_come_to(worker, done):
    shown, closed = [], []

    def job() -> None:
        done.append(worker.through(counted(3, closed), lambda step: shown.append(step.done)))
        done.append(worker.working)

    worker.ask(job)
    assert worker.settled(60)
    assert (shown, closed, done) == ([0, 1, 2], [True], ["the end", True])
    assert not worker.working


@pytest.mark.parametrize("ending", ["goes on", "is cancelled", "is stopped", "is replaced"])
def test_paused_it_takes_no_step_until_somebody_goes_on_or_ends_it(worker, done, ending):
    shown, closed, second = [], [], threading.Event()

    def show(step):
        shown.append(step.done)
        if step.done == 1:
            assert worker.pause()
            second.set()

    worker.ask(lambda: done.append(worker.through(counted(4, closed), show)))
    assert second.wait(60)
    assert not worker.settled(0.05)
    assert worker.paused
    assert shown == [0, 1]
    if ending == "goes on":
        assert not worker.pause()
    elif ending == "is cancelled":
        worker.cancel()
    elif ending == "is stopped":
        worker.stop()
    else:
        worker.ask(lambda: None)
    assert worker.settled(10)
    assert (done, closed) == (["the end"] if ending == "goes on" else [None], [True])
    assert shown == ([0, 1, 2, 3] if ending == "goes on" else [0, 1])
    assert not worker.paused


def test_its_buttons_can_be_pressed_while_they_mean_something():
    panel = JobPanel("test", "", pausing="", paused="It waits.", cancelling="", width="")
    go = threading.Event()

    def buttons():
        pause, cancel = panel.pause_button, panel.cancel_button
        return pause.disabled, cancel.disabled, pause.description

    panel.update_buttons()
    assert buttons() == (True, True, "Pause")
    panel.begin(go.wait, "It begins.")
    assert "It begins." in panel.status.value
    panel.begin(go.clear, "Another one.")
    assert "It begins." in panel.status.value
    assert buttons() == (False, False, "Pause")
    panel.pause()
    assert "It waits." in panel.status.value
    assert buttons() == (False, False, "Go on")
    panel.cancel()
    assert "Cancelling" in panel.status.value
    assert buttons() == (False, False, "Pause")
    panel.pause()
    assert buttons() == (False, False, "Pause")
    go.set()
    assert panel.settled(60)
    assert buttons() == (True, True, "Pause")
    panel.close()
