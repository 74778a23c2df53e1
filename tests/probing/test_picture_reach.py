import itertools
import logging
import socket
import threading
from collections import Counter

import pytest

from tests.images.webhost import face, host, said, saved, shown
from toolkit.images.address import Outcome
from toolkit.probing.picture_reach import ReachSettings, _Turns, reaching
from toolkit.progress import Progress

PNG = saved(face(16))


def quick(there, **changes):
    return ReachSettings(
        **{"exception": there.base_url, "rate": 1e4, "rate_per_host": 1e4, **changes}
    )


def counted(reached):
    return Counter(reach.outcome for reach in reached)


def walked(work):
    """Run a generator to its end; return its progress and its result."""
    steps = []
    while True:
        try:
            steps.append(next(work))
        except StopIteration as end:
            return steps, end.value


def test_each_picture_has_its_outcome_and_the_reason():
    def hang(connection: socket.socket):
        connection.recv(1)

    answers = {
        "/shows.png": shown(PNG),
        "/page.png": said(200, b"<html>", Content_Type="text/html"),
        "/gone.png": said(410),
        "/private.png": said(403),
        "/broken.png": said(500),
        "/large.png": shown(PNG + b"\0" * 100_000),
        "/slow.png": hang,
        "/away.png": said(302, Location="http://169.254.169.254/latest/meta-data/"),
    }
    with host(answers) as there:
        pictures = {name: f"{there.base_url}{name}" for name in answers}
        pictures |= {
            "data": "data:image/png;base64,AAAA",
            "http": "http://pictures.example.com/a.png",
            "loopback": "https://[::1]/a.png",
            "nobody": "https://nobody.example.com/a.png",
        }
        settings = quick(there, seconds=0.5, most_bytes=50_000, resolve=lambda *_: [])
        steps, reached = walked(reaching(pictures.values(), settings))
    outcomes = [reach.outcome for reach in reached]
    assert dict(zip(pictures, outcomes, strict=True)) == {
        "/shows.png": Outcome.SHOWS,
        "/page.png": Outcome.NOT_IMAGE,
        "/gone.png": Outcome.GONE,
        "/private.png": Outcome.FORBIDDEN,
        "/broken.png": Outcome.ERROR,
        "/large.png": Outcome.TOO_LARGE,
        "/slow.png": Outcome.TOO_SLOW,
        "/away.png": Outcome.REFUSED,
        "data": Outcome.NOT_URL,
        "http": Outcome.INSECURE,
        "loopback": Outcome.REFUSED,
        "nobody": Outcome.UNREACHABLE,
    }
    assert all(reach.reason for reach in reached)
    assert steps[-1].total == 9


def test_pictures_at_one_address_are_asked_for_once():
    with host({"/a.png": shown(PNG)}) as there:
        spellings = [
            f"{there.base_url}/a.png",
            f"{there.base_url}/x/../a.png#b",
            f" {there.base_url}/a.png",
        ]
        _, reached = walked(reaching(spellings * 10, quick(there)))
    assert there.paths == ["/a.png"]
    assert counted(reached) == {Outcome.SHOWS: 30}


def test_no_pictures_need_no_requests():
    steps, reached = walked(reaching([]))
    assert steps == [Progress(0, 0)]
    assert reached == []


def test_progress_counts_addresses_up_to_all_of_them():
    with host({}) as there:
        pictures = [f"{there.base_url}/{number}.png" for number in range(20)]
        steps, _ = walked(reaching(pictures, quick(there)))
    assert [step.done for step in steps] == list(range(21))
    assert {step.total for step in steps} == {20}


def test_closing_the_generator_ends_it():
    asked = itertools.count()

    def gone(connection):
        next(asked)
        connection.sendall(said(404))

    before = threading.active_count()
    with host({f"/{number}.png": gone for number in range(500)}) as there:
        pictures = [f"{there.base_url}/{number}.png" for number in range(500)]
        work = reaching(pictures, quick(there, rate=50, workers=4))
        while next(work).done < 3:
            pass
        work.close()
        requests = len(there.requests)
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("reach")]
    assert len(there.requests) == requests < 20
    assert threading.active_count() <= before


def test_a_host_that_has_had_enough_is_left_alone():
    with host({}) as there:
        there.answers |= {f"/{number}.png": said(429) for number in range(50)}
        pictures = [f"{there.base_url}/{number}.png" for number in range(50)]
        _, reached = walked(reaching(pictures, quick(there, workers=1)))
    assert len(there.requests) == 1
    assert counted(reached) == {Outcome.ERROR: 1, Outcome.NOT_ASKED: 49}


def test_an_error_of_ours_is_not_taken_for_an_outcome():
    with host({}) as there:
        settings = quick(there, seconds="soon")
        with pytest.raises(TypeError):
            walked(reaching([f"{there.base_url}/a.png"], settings))


def test_turns_keep_the_rate_of_each_host_and_of_all():
    hosts = {f"{host}{number}": host for number in range(5) for host in "abc"}
    turns = _Turns(hosts, ReachSettings(rate=10, rate_per_host=2))
    now, taken = 0.0, []
    while (turn := turns.take(now)) is not None:
        if isinstance(turn, float):
            now += turn
        else:
            taken.append((now, turn))
    assert sorted(url for _, url in taken) == sorted(hosts)
    times = [at for at, _ in taken]
    assert min(later - earlier for earlier, later in itertools.pairwise(times)) > 0.0999
    for one in "abc":
        mine = [at for at, url in taken if url.startswith(one)]
        assert min(later - earlier for earlier, later in itertools.pairwise(mine)) > 0.499
    assert times[-1] < 2.5  # and hosts do not wait for each other


def test_no_log_names_an_address(caplog):
    caplog.set_level(logging.DEBUG)
    with host({"/alice.png": said(302, Location="/alice2.png")}) as there:
        walked(reaching([f"{there.base_url}/alice.png"], quick(there)))
    assert "alice" not in caplog.text
