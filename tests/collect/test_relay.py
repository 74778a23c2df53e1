import signal
import threading
import time
from itertools import count

import pytest

from toolkit.collect.relay import Relay


def relay(pieces, *, work=lambda _, piece: piece, give=None):
    """A relay of some pieces, and what it gives."""
    source, given = iter(pieces), []

    def keep(done):
        given.append(done)
        return True

    return Relay(lambda _: next(source, None), work, give or keep), given


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_what_was_taken_first_is_given_first(threads):
    def work(_, piece):
        time.sleep(0.001 * (piece % 3))
        return piece * 2

    made, given = relay(range(40), work=work)
    assert len(list(made.run(range(threads)))) == 40
    assert given == list(range(0, 80, 2))
    assert made.left == []


def test_nothing_to_take_is_no_error():
    made, given = relay([])
    assert list(made.run(range(3))) == given == made.left == []


def test_work_is_done_by_all_at_once_each_at_a_desk_of_its_own():
    together = threading.Barrier(3, timeout=30)
    desks = {}

    def work(desk, piece):
        if piece < 3:
            together.wait()
        desks.setdefault(desk, set()).add(threading.current_thread().name)
        return piece

    made, given = relay(range(9), work=work)
    list(made.run("abc"))
    assert given == list(range(9))
    assert sorted(desks) == ["a", "b", "c"]
    assert all(len(names) == 1 for names in desks.values())


def test_taking_and_giving_are_for_one_at_a_time():
    inside = {"take": 0, "give": 0}
    most = dict(inside)
    numbers = count()

    def alone(what):
        inside[what] += 1
        most[what] = max(most[what], inside[what])
        time.sleep(0.001)
        inside[what] -= 1

    def take(_):
        alone("take")
        number = next(numbers)
        return number if number < 30 else None

    def give(_):
        alone("give")
        return True

    list(Relay(take, lambda _, piece: piece, give).run(range(4)))
    assert most == {"take": 1, "give": 1}


@pytest.mark.parametrize("fails", ["take", "work", "give"])
@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_ends_all_threads_and_is_raised(fails, threads):
    numbers = count()

    def maybe(what, piece):
        if what == fails and piece == 7:
            raise OSError(28, "No space left on device")
        return piece

    given = []

    def give(piece):
        given.append(maybe("give", piece))
        return True

    made = Relay(
        lambda _: maybe("take", next(numbers)), lambda _, piece: maybe("work", piece), give
    )
    before = threading.active_count()
    with pytest.raises(OSError, match="No space left"):
        list(made.run(range(threads)))
    assert threading.active_count() == before
    assert given == list(range(len(given)))
    assert len(given) <= 7


def test_it_ends_soon_where_the_wait_for_its_end_is_interrupted():
    giving, interrupted, given = threading.Event(), threading.Event(), []

    def give(piece):
        given.append(piece)
        if piece == 3:
            giving.set()
            assert interrupted.wait(60)
        return True

    def interrupt(*_):
        interrupted.set()
        raise KeyboardInterrupt

    made, _ = relay(range(10_000), give=give)
    running = made.run(range(2))
    next(running)
    assert giving.wait(60)
    former = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        running.close()
    except KeyboardInterrupt:
        assert interrupted.is_set()
    finally:
        signal.signal(signal.SIGALRM, former)
    assert len(given) < 10


def test_closing_it_ends_all_threads():
    numbers, given = count(), []

    def give(piece):
        given.append(piece)
        return True

    made = Relay(lambda _: next(numbers), lambda _, piece: piece, give)
    before = threading.active_count()
    running = made.run(range(3))
    next(running)
    running.close()
    assert threading.active_count() == before
    assert given == list(range(len(given)))
    assert made.left == list(range(len(given), next(numbers)))


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_what_is_not_wanted_is_left_in_its_order_with_all_that_was_taken_after_it(threads):
    given = []

    def give(piece):
        if piece == 5:
            return False
        given.append(piece)
        return True

    made, _ = relay(range(50), give=give)
    assert len(list(made.run(range(threads)))) == 5
    assert given == [0, 1, 2, 3, 4]
    assert made.left == list(range(5, 5 + len(made.left)))
    assert 1 <= len(made.left) <= threads
