import asyncio
import contextlib
import gc
import itertools
import logging
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.probing.simulated import PIXEL, Gravatar, answer, picture, probe
from toolkit.classification.sources import classify
from toolkit.errors import UnreachableError
from toolkit.probing import gravatar as module
from toolkit.probing.answers import Answer, Cache, Question
from toolkit.probing.gravatar import asking
from toolkit.sandbox.made_up.tenants import loadable, people
from toolkit.sandbox.server import Sandbox

QUICK = 2000.0
PATH = "/avatar/{name}"


def ended(generator):
    """Read a generator to its end; return its result and all that it yielded."""
    told = []
    while True:
        try:
            told.append(next(generator))
        except StopIteration as stop:
            return stop.value, told


def known_truth(count, seed):
    """Make users, and say what is true of each Gravatar URL among their pictures."""
    everybody = list(people(count, seed=seed))
    truth = {}
    for person in everybody:
        picture = person.record.get("picture")
        digest = classify(picture).gravatar_hash if isinstance(picture, str) else None
        if digest:
            rating = parse_qs(urlsplit(picture).query)["r"][0]
            truth[Question(digest, rating)] = Answer.PRESENT if person.gravatar else Answer.ABSENT
    return [loadable(person) for person in everybody], truth


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch):
    """Waits that nobody asked for are shorter than they are for people."""
    monkeypatch.setattr(module, "_FIRST_WAIT", 0.02)
    monkeypatch.setattr(module, "_WAIT_UNTOLD", 0.05)


@pytest.fixture(scope="module")
def crowd():
    return known_truth(450, seed=5)


@pytest.fixture
def few(crowd):
    """The truth about some of the crowd, where each question takes its time."""
    return dict(itertools.islice(crowd[1].items(), 100))


@pytest.fixture
def serving(crowd):
    with contextlib.ExitStack() as stack:
        yield lambda *faults: stack.enter_context(Sandbox(crowd[0], faults=faults))


@pytest.fixture
def cache(tmp_path):
    with Cache(tmp_path / "cache.sqlite3") as one:
        yield one


def pictures_asked(sandbox):
    return sum(n for (_, path, _), n in sandbox.requests.counts.items() if path == PATH)


def several(count, start=0):
    return [Question(f"{number:032x}", "pg") for number in range(start, start + count)]


# The truth


def test_every_answer_is_the_truth_of_the_sandbox():
    records, truth = known_truth(1500, seed=7)
    assert Counter(truth.values())[Answer.PRESENT] > 100
    assert {len(question.hash) for question in truth} == {32, 64}
    with Sandbox(records) as sandbox:
        answers, told = ended(asking(truth, base_url=sandbox.base_url, rate=QUICK))
    assert answers == truth
    assert (told[-1].done, told[-1].total) == (len(truth), len(truth))
    assert told[-1].note == "HEAD"
    assert told[-1].eta == 0
    assert told[-1].rate > 0


def test_a_rating_that_does_not_allow_the_picture_makes_it_absent():
    record = {"user_id": "auth0|1", "email": "ann@example.com", "_gravatar": "r"}
    digest = "37b8787fa93ef3e2f4d52c3a0d8e5e0f"
    record["picture"] = f"https://s.gravatar.com/avatar/{digest}"
    asked = [Question(digest, rating) for rating in ("g", "pg", "r", "x")]
    with Sandbox([record]) as sandbox:
        answers, _ = ended(asking(asked, base_url=sandbox.base_url, rate=QUICK))
    assert list(answers.values()) == [Answer.ABSENT] * 2 + [Answer.PRESENT] * 2


def test_a_second_run_asks_nothing(crowd, serving, cache):
    truth, sandbox = crowd[1], serving()
    asked = [*truth, *truth]
    first, _ = ended(asking(asked, base_url=sandbox.base_url, rate=QUICK, cache=cache))
    requests = sandbox.requests.total
    second, told = ended(asking(asked, base_url=sandbox.base_url, rate=QUICK, cache=cache))
    assert sandbox.requests.total == requests
    assert first == second == truth
    assert [(one.done, one.total) for one in told] == [(len(truth), len(truth))]
    assert told[0].note == f"{len(truth)} already known"


def test_only_what_is_not_known_yet_is_asked(crowd, serving, cache):
    truth, sandbox = crowd[1], serving()
    half = list(truth)[: len(truth) // 2]
    ended(asking(half, base_url=sandbox.base_url, rate=QUICK, cache=cache))
    before = pictures_asked(sandbox)
    answers, told = ended(asking(truth, base_url=sandbox.base_url, rate=QUICK, cache=cache))
    assert answers == truth
    assert told[-1].note == f"HEAD, {len(half)} already known"
    assert told[0].done == len(half)
    new = len(truth) - len(half)
    # Each round of controls is five requests at most; the decision takes two rounds and six.
    assert new <= pictures_asked(sandbox) - before <= new + 16 + 5 * (new // 50 + 1)


def test_nothing_to_ask_is_answered_without_a_request():
    answers, told = ended(asking([], base_url="http://127.0.0.1:9"))
    assert answers == {}
    assert (told[0].done, told[0].total) == (0, 0)


@pytest.mark.parametrize(
    ("question", "rate"),
    [
        (Question("A" * 32), 5),
        (Question("a" * 33), 5),
        (Question("../../x"), 5),
        (Question("a" * 32, "pg-13"), 5),
        (Question("a" * 32), 0),
        (Question("a" * 32), float("nan")),
        (Question("a" * 32), float("inf")),
    ],
)
def test_what_is_no_question_is_refused_and_not_repeated(question, rate):
    with pytest.raises(ValueError, match="is") as caught:
        ended(asking([question], base_url="http://127.0.0.1:9", rate=rate))
    assert question.hash not in str(caught.value)


def test_it_runs_where_an_event_loop_runs_already(crowd, serving):
    truth = dict(itertools.islice(crowd[1].items(), 10))
    sandbox = serving()

    async def cell():
        return ended(asking(truth, base_url=sandbox.base_url, rate=QUICK))[0]

    assert asyncio.run(cell()) == truth


# A host that misbehaves


@pytest.mark.parametrize("fault", ["gravatar-503", "gravatar-429", "gravatar-lies"])
def test_refusals_and_lies_cost_time_but_no_answer(few, serving, cache, fault):
    truth, sandbox = few, serving(fault)
    asked = asking(truth, base_url=sandbox.base_url, rate=QUICK, cache=cache)
    answers, told = ended(asked)
    assert answers == truth
    assert ("GET" if fault == "gravatar-lies" else "HEAD") in told[-1].note
    if fault != "gravatar-lies":
        assert any("asks to wait for 1 s" in one.note for one in told)


def test_silence_is_unclear_at_most(few, serving, cache):
    truth, sandbox = few, serving("gravatar-hangs")
    answers, _ = ended(
        asking(truth, base_url=sandbox.base_url, rate=QUICK, cache=cache, patience=0.5)
    )
    assert all(found in (truth[one], Answer.UNCLEAR) for one, found in answers.items())
    assert sum(found is Answer.UNCLEAR for found in answers.values()) <= 50
    clear = {one: found for one, found in answers.items() if found is not Answer.UNCLEAR}
    assert cache.known(urlsplit(sandbox.base_url).netloc, truth) == clear


@pytest.mark.parametrize("fault", ["gravatar-blind", "gravatar-portal"])
def test_a_host_that_answers_everything_alike_is_not_asked_about_anybody(
    crowd, serving, cache, fault
):
    truth, sandbox = crowd[1], serving(fault)
    answers, told = ended(asking(truth, base_url=sandbox.base_url, rate=QUICK, cache=cache))
    assert set(answers.values()) == {Answer.UNCLEAR}
    assert answers.keys() == truth.keys()
    assert "does not answer truthfully" in told[-1].note
    assert pictures_asked(sandbox) <= 4
    assert cache.known(urlsplit(sandbox.base_url).netloc, truth) == {}


def test_a_host_that_turns_ends_the_run_and_what_came_before_stands(crowd, serving, cache):
    truth, sandbox = crowd[1], serving("gravatar-turns")
    answers, told = ended(
        asking(truth, base_url=sandbox.base_url, rate=QUICK, cache=cache, patience=1.0)
    )
    assert all(found in (truth[one], Answer.UNCLEAR) for one, found in answers.items())
    clear = {one: found for one, found in answers.items() if found is not Answer.UNCLEAR}
    assert len(clear) == 50
    assert cache.known(urlsplit(sandbox.base_url).netloc, truth) == clear
    assert "ended early" in told[-1].note
    assert pictures_asked(sandbox) < 150


@pytest.mark.parametrize("seed", range(2))
def test_faults_of_every_kind_together_lead_to_no_wrong_answer(crowd, few, seed):
    faults = ["reset", "slow", "503-flaky", "gravatar-hangs"]
    with Sandbox(crowd[0], faults=faults, fault_seed=seed) as sandbox:
        answers, _ = ended(asking(few, base_url=sandbox.base_url, rate=QUICK, patience=0.4))
    assert all(found in (few[one], Answer.UNCLEAR) for one, found in answers.items())
    assert answers.keys() == few.keys()


def _free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_a_host_that_cannot_be_reached_is_an_error_that_names_it_and_what_to_do():
    address = f"127.0.0.1:{_free_port()}"
    with pytest.raises(UnreachableError, match=f"{address} does not answer. Check the network"):
        ended(asking(several(1), base_url=f"http://{address}", rate=QUICK))


def test_a_host_that_accepts_and_says_nothing_cannot_be_reached_either():
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        address = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        with pytest.raises(UnreachableError):
            ended(asking(several(1), base_url=address, rate=QUICK, patience=0.05))


@pytest.fixture
def proxy(monkeypatch):
    """A system's proxy that answers nothing; yields where it listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            address = f"http://127.0.0.1:{listener.getsockname()[1]}"
            monkeypatch.setenv(name, address)
            monkeypatch.setenv(name.lower(), address)
        yield listener


def test_the_systems_proxy_is_used(proxy):
    generator = asking(several(1), base_url="https://gravatar.invalid", patience=5)
    next(generator)
    connection, _ = proxy.accept()
    with connection:
        assert connection.recv(100).startswith(b"CONNECT gravatar.invalid:443 ")
    generator.close()


def test_a_sandbox_is_never_asked_through_a_proxy(proxy, few, serving):
    answers, _ = ended(asking(few, base_url=serving().base_url, rate=QUICK))
    assert answers == few


# Cancelled and killed


@pytest.mark.parametrize("stop", [GeneratorExit, KeyboardInterrupt])
def test_a_cancelled_run_leaves_nothing_but_whole_batches_in_the_cache(crowd, serving, cache, stop):
    truth, sandbox = crowd[1], serving()
    generator = asking(truth, base_url=sandbox.base_url, rate=100, cache=cache)
    while next(generator).done < 120:
        pass
    assert any(one.name == "probe" for one in threading.enumerate())
    with pytest.raises(stop):
        generator.throw(stop)
    assert not any(one.name == "probe" for one in threading.enumerate())
    requests = sandbox.requests.total
    gc.collect()  # a socket left open would be a warning, and so an error
    found = cache.known(urlsplit(sandbox.base_url).netloc, truth)
    assert 100 <= len(found) < len(truth)
    assert len(found) % 50 == 0
    assert found == {one: truth[one] for one in found}
    answers, _ = ended(asking(truth, base_url=sandbox.base_url, rate=QUICK, cache=cache))
    assert answers == truth
    assert sandbox.requests.total > requests


def test_a_run_that_is_closed_before_it_begins_is_no_run():
    asking(several(5), base_url="http://127.0.0.1:9").close()


def test_a_run_that_is_closed_at_once_ends_at_once(serving):
    generator = asking(several(5), base_url=serving().base_url)
    next(generator)
    generator.close()
    assert not any(one.name == "probe" for one in threading.enumerate())


KILLED = textwrap.dedent("""
    import sys
    from pathlib import Path
    from toolkit.probing.answers import Cache, Question
    from toolkit.probing.gravatar import asking

    questions = [Question(*line.split()) for line in sys.stdin]
    with Cache(Path(sys.argv[2])) as cache:
        for progress in asking(questions, base_url=sys.argv[1], rate=300, cache=cache):
            print(progress.done, flush=True)
""")


def test_a_killed_run_goes_on_where_it_was_and_repeats_one_batch_at_most(crowd, serving, tmp_path):
    truth, sandbox = crowd[1], serving()
    path = tmp_path / "cache.sqlite3"
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, sandbox.base_url, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as killed:
        killed.stdin.writelines(f"{digest} {rating}\n" for digest, rating in truth)
        killed.stdin.close()
        done = 0
        while done < 130:
            done = int(killed.stdout.readline())
        killed.send_signal(signal.SIGKILL)
    with Cache(path) as cache:
        found = cache.known(urlsplit(sandbox.base_url).netloc, truth)
        assert done - 50 <= len(found)
        assert found == {one: truth[one] for one in found}
        answers, told = ended(asking(truth, base_url=sandbox.base_url, rate=QUICK, cache=cache))
    assert answers == truth
    assert told[0].done == len(found)
    # Two runs, each with a decision and, for each batch, a round of at most five controls.
    besides = 2 * 14 + 5 * (len(truth) // 50 + 3)
    assert pictures_asked(sandbox) <= len(truth) + 50 + besides


# In simulated time


def most_in_a_second(seconds):
    return max(sum(start <= one < start + 1 for one in seconds) for start in seconds)


@pytest.mark.parametrize("latency", [0.01, 0.15])
def test_the_rate_is_kept_and_used(latency):
    asked = several(200)
    gravatar = Gravatar(asked[::3], latency)
    answers, _ = probe(gravatar, asked, rate=5)
    assert Answer.UNCLEAR not in answers.values()
    seconds = gravatar.seconds
    assert len(seconds) >= 200
    took = seconds[-1] - seconds[0]
    assert len(seconds[1:]) / 5 - 0.05 <= took <= len(seconds[1:]) / 5 / 0.95
    assert most_in_a_second(seconds) <= 6
    # Evenly: never two at once.
    assert min(after - before for before, after in itertools.pairwise(seconds)) >= 0.14


@pytest.mark.parametrize("rate", [0.5, 2, 50])
def test_other_rates_are_kept_and_used_as_well(rate):
    gravatar = Gravatar(latency=0.01)
    probe(gravatar, several(120), rate=rate)
    seconds = gravatar.seconds
    took = seconds[-1] - seconds[0]
    assert len(seconds[1:]) / rate * 0.99 <= took <= len(seconds[1:]) / rate / 0.95
    assert most_in_a_second(seconds) <= rate + 1


@pytest.mark.parametrize("status", [429, 503])
def test_a_refusal_stops_everybody_for_as_long_as_it_says(status):
    refused = []

    def twist(request, second):
        if second > 4 and not refused:
            refused.append(second)
            return answer(status, retry_after="30")
        return None

    asked = several(150)
    gravatar = Gravatar(asked[::2], twist=twist)
    answers, told = probe(gravatar, asked, rate=20)
    assert Answer.UNCLEAR not in answers.values()
    told_at = refused[0] + gravatar.latency
    assert not [one for one in gravatar.seconds if told_at < one < told_at + 30]
    assert most_in_a_second([one for one in gravatar.seconds if one >= told_at + 30]) <= 21
    assert "gravatar.test asks to wait for 30 s" in {one.note for one in told}


@pytest.mark.parametrize(
    ("told", "wait"),
    [
        ("7", 7),
        ("0", 0),
        ("-5", 0),
        ("86400", module.LONGEST_WAIT),
        ("inf", module.LONGEST_WAIT),
        ("nan", 0.05),
        ("", 0.05),
        ("soon", 0.05),
        ("Mon, 01 Jan 2024 00:00:00 GMT", 0),
        ("Fri, 01 Jan 2999 00:00:00 GMT", module.LONGEST_WAIT),
    ],
)
def test_what_a_refusal_says_is_honoured_within_bounds(told, wait):
    assert module._wait(told) == wait


def test_who_asks_leaves_no_trace_but_an_honest_name(caplog):
    caplog.set_level(logging.INFO)

    def twist(request, _):
        reply = Gravatar().truth(request)
        reply.headers["set-cookie"] = "who=you; Path=/"
        return reply

    asked = several(60)
    gravatar = Gravatar(twist=twist)
    probe(gravatar, asked)
    for _, request in gravatar.log:
        assert request.headers.keys() == {
            "host", "accept", "accept-encoding", "connection", "user-agent",
        }  # fmt: skip
        assert request.headers["user-agent"].startswith("auth0-picture-audit/")
        assert dict(request.url.params) == {
            "d": request.url.params["d"],
            "s": "1",
            "r": "pg" if request.url.path[-32:] in {one.hash for one in asked} else "g",
        }
    assert not [record for record in caplog.records if "avatar" in record.getMessage()]


def _for(questions, reply, method=None):
    """Give these questions another answer."""
    hashes = {question.hash for question in questions}

    def twist(request, _):
        struck = request.url.path[-32:] in hashes and method in (None, request.method)
        return reply() if struck else None

    return twist


def _get_only(request, _):
    return answer(405) if request.method == "HEAD" else None


@pytest.mark.parametrize(
    "reply",
    [
        lambda: answer(302, location="https://i0.wp.com/cdn.auth0.com/avatars/te.png"),
        lambda: answer(200, "text/html", b"<html>Sign in</html>"),
        lambda: answer(200, "image/png", b"<html>Sign in</html>"),
        lambda: answer(200, "image/png"),
        lambda: answer(200, "text/html", PIXEL),
        lambda: answer(206, "image/png", PIXEL),
        lambda: answer(204),
        lambda: answer(403),
        lambda: answer(410),
        lambda: answer(500),
    ],
)
def test_an_odd_answer_is_unclear_and_the_others_stand(reply):
    asked = several(30)
    odd = _for(asked[7:9], reply)
    gravatar = Gravatar(asked[::2], twist=lambda *told: _get_only(*told) or odd(*told))
    answers, _ = probe(gravatar, asked)
    unclear = [one for one, found in answers.items() if found is Answer.UNCLEAR]
    assert unclear == asked[7:9]


@pytest.mark.parametrize(
    "error", [httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError, httpx.ConnectTimeout]
)
def test_an_error_of_the_network_is_tried_four_times_and_then_unclear(error):
    asked = several(30)

    def fail():
        raise error("broken")

    gravatar = Gravatar(asked[::2], twist=_for(asked[9:10], fail))
    answers, _ = probe(gravatar, asked)
    assert [one for one, found in answers.items() if found is Answer.UNCLEAR] == asked[9:10]
    assert gravatar.asked("HEAD", asked[9:10]) == 4


def test_head_is_used_where_it_is_as_true_as_get():
    asked = several(60)
    gravatar = Gravatar(asked[:30])
    probe(gravatar, asked)
    assert gravatar.asked("GET", asked) == 3
    assert gravatar.asked("HEAD", asked[:49]) >= 49


@pytest.mark.parametrize(
    "twist",
    [
        _get_only,
        _for(several(30), lambda: answer(404), "HEAD"),
        _for(several(1), lambda: answer(403), "HEAD"),
        lambda request, _: picture() if request.method == "HEAD" else None,
    ],
    ids=["refused", "never a picture", "unclear once", "always a picture"],
)
def test_get_is_used_where_head_is_not_as_true(twist):
    asked = several(60)
    gravatar = Gravatar(asked[:30], twist=twist)
    answers, told = probe(gravatar, asked)
    assert Answer.UNCLEAR not in answers.values()
    assert told[-1].note == "GET"
    assert gravatar.asked("HEAD", asked) <= 3


def test_a_host_that_forgets_the_people_is_found_out_by_one_that_was_there():
    asked = several(150)

    def twist(request, second):
        return answer(404) if second > 20 and request.url.params["d"] == "404" else None

    answers, told = probe(Gravatar(asked, twist=twist), asked)
    assert list(answers.values()).count(Answer.PRESENT) == 50
    assert list(answers.values()).count(Answer.UNCLEAR) == 100
    assert "ended early" in told[-1].note


def test_a_short_outage_costs_one_batch():
    asked = several(300)

    def twist(_, second):
        if 25 < second < 40:
            raise httpx.ConnectError("down")

    answers, told = probe(Gravatar(asked[::2], twist=twist), asked)
    assert list(answers.values()).count(Answer.UNCLEAR) == 50
    assert told[-1].note == "HEAD"
    assert told[-1].done == 300
    assert any("waiting for gravatar.test" in one.note for one in told)


def test_a_host_that_is_gone_is_not_asked_about_everybody():
    asked = several(5000)

    def twist(_, second):
        if second > 25:
            raise httpx.ReadTimeout("gone")

    gravatar = Gravatar(asked[::2], twist=twist)
    answers, told = probe(gravatar, asked)
    assert list(answers.values()).count(Answer.UNCLEAR) > 4800
    assert "ended early" in told[-1].note
    assert len([one for one in gravatar.seconds if one > 25]) < 60


def test_a_host_that_answers_drop_by_drop_is_given_up_on():
    class Dripping(httpx.AsyncByteStream):
        async def __aiter__(self):
            while True:
                yield b"x"
                await asyncio.sleep(1)

    class Flooding(httpx.AsyncByteStream):
        async def __aiter__(self):
            while True:
                yield PIXEL * 1000

    asked = several(30)
    image = {"content-type": "image/png"}
    drip = _for(asked[5:6], lambda: httpx.Response(200, headers=image, stream=Dripping()))
    flood = _for(asked[6:7], lambda: httpx.Response(200, headers=image, stream=Flooding()))
    gravatar = Gravatar(
        asked[6:], twist=lambda *told: _get_only(*told) or drip(*told) or flood(*told)
    )
    answers, _ = probe(gravatar, asked)
    assert [one for one, found in answers.items() if found is Answer.UNCLEAR] == asked[5:6]
