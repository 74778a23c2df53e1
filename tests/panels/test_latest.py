import threading
import time

from toolkit.panels.background import Latest


def test_only_the_latest_of_what_waits_is_done():
    done, begun, go = [], threading.Event(), threading.Event()
    latest = Latest("test", done.append)

    def first() -> None:
        begun.set()
        assert go.wait(60)
        done.append(("first", latest.superseded))

    latest.ask(first)
    assert begun.wait(60)
    latest.ask(lambda: done.append("second"))
    latest.ask(lambda: done.append("third"))
    go.set()
    assert latest.settled(60)
    assert done == [("first", True), "third"]
    latest.stop()


def test_what_is_asked_again_in_time_begins_once():
    done = []
    latest = Latest("test", done.append)
    for number in range(5):
        latest.ask(lambda number=number: done.append(number), wait=0.2)
    assert latest.settled(60)
    assert done == [4]
    latest.stop()


def test_what_is_wanted_at_the_moment_the_time_is_up_is_what_is_done():
    done = []
    latest = Latest("test", done.append)
    latest.ask(lambda: done.append("first"), wait=0.2)
    time.sleep(0.05)
    with latest._changed:  # the time is up meanwhile, but nobody can go on
        time.sleep(0.4)
        latest.ask(lambda: done.append("second"))
    assert latest.settled(60)
    assert done == ["second"]
    latest.stop()


def test_what_it_raises_is_handed_over_and_the_next_is_done():
    failed, done = [], []
    latest = Latest("test", failed.append)
    latest.ask(lambda: 1 / 0)
    assert latest.settled(60)
    latest.ask(lambda: done.append(1))
    assert latest.settled(60)
    assert [type(error) for error in failed] == [ZeroDivisionError]
    assert done == [1]
    latest.stop()
    latest.ask(lambda: done.append(2))
    assert latest.superseded


def test_stopped_it_begins_nothing_that_waits_and_settles_once_the_last_has_ended():
    done, begun, go = [], threading.Event(), threading.Event()
    latest = Latest("test", done.append)

    def first() -> None:
        begun.set()
        assert go.wait(60)
        done.append("first")

    latest.ask(first)
    assert begun.wait(60)
    latest.ask(lambda: done.append("second"))
    latest.stop()
    assert not latest.settled(0)
    go.set()
    assert latest.settled(60)
    latest.ask(lambda: done.append("third"))
    assert latest.settled(0)
    assert done == ["first"]
