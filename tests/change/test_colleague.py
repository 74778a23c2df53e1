"""Somebody else changes users while a plan is applied or undone: what they wrote stays."""

import json
import os
import signal
import time
from urllib.parse import unquote

import httpx
import pytest

from tests.change.conftest import NEW, Other, journal_of
from toolkit.change.apply_plan import apply
from toolkit.change.undo_journal import undo
from toolkit.change.verify_plan import verify
from toolkit.tenant import http_transport

OWN = "https://own.example/me.png"


class Clock:
    """A made-up clock for tenant and toolkit: waiting costs no time, and things happen in it."""

    def __init__(self):
        self.now = time.time()
        self.due = []

    def __call__(self):
        return self.now

    def at(self, seconds, event):
        self.due.append((self.now + seconds, event))
        self.due.sort(key=lambda one: one[0])

    def sleep(self, seconds):
        until = self.now + seconds
        while self.due and self.due[0][0] <= until:
            self.now, event = self.due.pop(0)
            event()
        self.now = until


def slow_site(site_of, person, clock, users, **settings):
    """Start a tenant on a made-up clock; its client sends a request a second."""
    people = [person(number, user_metadata={"theme": "dark"}) for number in range(users)]
    site = site_of(people, clock=clock, monotonic=clock, **settings)
    pace = site.tenant._pace
    pace._clock, pace._wall, pace._sleep, pace._ceiling = clock, clock, clock.sleep, 1
    return site


def edit(site, way, number):
    changes = {"picture": OWN} if way == "root" else {"user_metadata": {"picture": OWN, "a": 1}}
    site.sandbox.change(f"auth0|{number:06}", changes)


def shown(user, way):
    return user["picture"] if way == "root" else user["user_metadata"].get("picture")


def watched(site, way):
    """Note what stands there whenever a user is written."""
    stood = []

    def look(request):
        if request.method == "PATCH":
            name = unquote(request.url.path.rpartition("/")[2])
            stood.append((name, shown(site.user(name), way)))

    site.tenant._client.event_hooks["request"].append(look)
    return stood


@pytest.mark.parametrize("way", ["root", "metadata"])
@pytest.mark.parametrize("faults", [[], ["lag"]])
def test_an_edit_at_any_second_of_a_slow_apply_survives(site_of, person, way, faults):
    users, clock = 69, Clock()
    site = slow_site(site_of, person, clock, users, faults=faults)
    made = site.plan(way)
    former = shown(site.user("auth0|000000"), way)
    edited = []

    def happens(number):
        edited.append(number)
        edit(site, way, number)

    # Before the start, and at each third second while it runs: users whose turn is near, too.
    happens(0)
    for place, second in enumerate(range(1, 150, 3)):
        number = (second // 2 + place * 7 % 5) % users
        clock.at(second, lambda number=number: number in edited or happens(number))
    stood = watched(site, way)
    began = clock.now
    outcome = site.apply(made, workers=1)
    assert clock.now - began > 110
    clock.due.clear()
    assert len(edited) > 30
    assert all(shown(site.user(f"auth0|{n:06}"), way) == OWN for n in edited)
    assert all(picture != OWN for _, picture in stood)
    assert outcome.drifted > 10
    assert outcome.done + outcome.drifted == users
    begun = [json.loads(line) for line in journal_of(made).read_bytes().splitlines()]
    journaled = [(one["user"], one["before"]) for one in begun if "user" in one]
    assert journaled == stood
    checked = verify(site.tenant, made)
    assert checked.holds == users - len(edited)
    # And the same while it is undone.
    more = [n for n in range(users) if n not in edited][:20]
    for place, number in enumerate(more):
        clock.at(3 + 2 * place, lambda number=number: edit(site, way, number))
    stood.clear()
    sure = {"execute": True, "confirm": site.tenant.domain}
    undone = undo(site.tenant, journal_of(made), **sure, workers=1, canary=0)
    assert undone.drifted > 10
    assert all(picture == NEW for _, picture in stood)
    for number in range(users):
        mine = number in edited or number in more
        assert shown(site.user(f"auth0|{number:06}"), way) == (OWN if mine else former)


def test_a_machine_that_slept_reads_again_before_it_writes(site_of, person, monkeypatch):
    site = site_of([person(number) for number in range(30)])
    made = site.plan("root")
    offset, steady = [0.0], []
    monkeypatch.setattr(
        http_transport,
        "_now",
        lambda: (time.time() + offset[0], steady.append(1) or time.monotonic()),
    )

    def sleep(response):
        request = response.request
        if request.method == "GET" and request.url.path.endswith("000012") and not offset[0]:
            offset[0] = 70.0
            for number in range(12, 30):
                edit(site, "root", number)

    site.tenant._client.event_hooks["response"].append(sleep)
    outcome = site.apply(made, workers=1)
    assert offset[0]
    assert (outcome.done, outcome.drifted) == (12, 18)
    assert all(site.user(f"auth0|{n:06}")["picture"] == OWN for n in range(12, 30))
    assert site.count("PATCH") == 12


def test_a_process_that_was_stopped_reads_again_before_it_writes(site_of, person, other: Other):
    people = [person(number) for number in range(60)]
    people += [person(number, picture=OWN) for number in range(60, 100)]
    site = site_of(people, faults=["slow"])
    made = site.plan("root")
    edited = []

    def stop():
        if edited or site.count("PATCH") < 8:
            return False
        os.kill(other.child, signal.SIGSTOP)
        time.sleep(2)  # what it had sent arrives, on a busy machine, too
        left = [one for one in site.sandbox.users() if one["picture"] not in {NEW, OWN}]
        for name in (one["user_id"] for one in left):
            edited.append(name)
            site.sandbox.change(name, {"picture": OWN})
        time.sleep(1.1)
        os.kill(other.child, signal.SIGCONT)
        return False

    status, said = other.run(site, "apply", made.path, kill=stop)
    assert (status, len(edited) > 20) == (0, True), said
    assert {site.user(name)["picture"] for name in edited} == {OWN}
    assert f"{len(edited):,} changed since" in said


class Odd(httpx.BaseTransport):
    """Does something in place of the first PATCH of a user, and then it is out of the way."""

    def __init__(self, tenant, name, act):
        self.inner, self.name, self.act = tenant._fresh._transport, name, act
        tenant._fresh._transport = self

    def handle_request(self, request):
        if request.method == "PATCH" and self.name in unquote(request.url.path) and self.act:
            act, self.act = self.act, None
            return act(lambda: self.inner.handle_request(request))
        return self.inner.handle_request(request)

    def close(self):
        self.inner.close()


def answering(status, **headers):
    return lambda _send: httpx.Response(status, headers=headers, json={})


def lost(_send):
    raise httpx.ReadError("lost before it arrived")


def lost_after(send):
    send().read()
    raise httpx.ReadTimeout("lost after it arrived")


NOT_WRITTEN = {
    "503": answering(503),
    "429": answering(429),
    "500": answering(500),
    "409": answering(409),
    "401": answering(401),
    "lost": lost,
}


@pytest.mark.parametrize("kind", NOT_WRITTEN)
def test_before_a_write_is_sent_again_the_user_is_read_again(site_of, person, kind):
    site = site_of([person(number) for number in range(3)])
    made = site.plan("root")

    def act(send):
        edit(site, "root", 1)
        return NOT_WRITTEN[kind](send)

    Odd(site.tenant, "000001", act)
    outcome = site.apply(made)
    assert (outcome.done, outcome.drifted, outcome.failed) == (2, 1, 0)
    assert site.user("auth0|000001")["picture"] == OWN
    undo(site.tenant, journal_of(made), execute=True, confirm=site.tenant.domain)
    assert site.user("auth0|000001")["picture"] == OWN


@pytest.mark.parametrize("kind", NOT_WRITTEN)
def test_what_did_not_work_once_works_the_second_time(site_of, person, kind):
    site = site_of([person(number) for number in range(3)])
    Odd(site.tenant, "000001", NOT_WRITTEN[kind])
    outcome = site.apply(site.plan("root"))
    assert outcome.complete
    assert site.count("PATCH") == 3


def test_a_write_whose_answer_was_lost_is_settled_by_reading(site_of, person):
    site = site_of([person(number) for number in range(3)])
    before = site.users()
    made = site.plan("root")
    Odd(site.tenant, "000001", lost_after)
    assert site.apply(made).complete
    assert site.count("PATCH") == 3  # it is not sent again
    undone = undo(site.tenant, journal_of(made), execute=True, confirm=site.tenant.domain)
    assert undone.complete
    assert site.users() == before


def test_an_edit_after_a_write_whose_answer_was_lost_survives(site_of, person):
    site = site_of([person(number) for number in range(3)])
    made = site.plan("root")

    def act(send):
        send().read()
        edit(site, "root", 1)
        raise httpx.ReadTimeout("lost")

    Odd(site.tenant, "000001", act)
    outcome = site.apply(made)
    assert (outcome.done, outcome.drifted) == (2, 1)
    assert site.count("PATCH") == 3
    assert site.user("auth0|000001")["picture"] == OWN


def test_a_tenant_that_is_always_slow_is_written_all_the_same(site_of, person, monkeypatch):
    site = site_of([person(1)])
    # Each look at the clock is 1.25 s after the one before; a write takes three of them.
    ticks = iter(range(1000))
    monkeypatch.setattr(http_transport, "_now", lambda: (1.25 * next(ticks),) * 2)
    assert site.apply(site.plan("root"), canary=0).complete
    assert site.count("PATCH") == 1


def test_where_reading_takes_minutes_nothing_is_written(site_of, person, monkeypatch):
    site = site_of([person(1)])
    ticks = iter(range(0, 100_000, 100))
    monkeypatch.setattr(http_transport, "_now", lambda: (float(next(ticks)),) * 2)
    outcome = site.apply(site.plan("root"))
    assert (outcome.done, outcome.failed) == (0, 1)
    assert any("Too much time" in reason for _, reason, _ in outcome.reasons)
    assert site.count("PATCH") == 0


def test_a_limit_counts_who_is_written_and_nobody_else(site_of, person):
    site = site_of([person(number) for number in range(60)])
    made = site.plan("root")
    for number in range(0, 40, 2):
        edit(site, "root", number)
    outcome = site.apply(made, limit=25, canary=4)
    assert (outcome.done, site.count("PATCH")) == (25, 25)
    assert "25 users" in outcome.stopped
    last = site.apply(made, limit=15)
    assert (last.done, last.drifted, last.remaining, last.stopped) == (40, 20, 0, None)


def test_a_user_who_cannot_be_read_does_not_hold_up_the_others(site_of, person, monkeypatch):
    site = site_of([person(number) for number in range(40)])
    made = site.plan("root")
    odd = [True]

    def spoil(response):
        if response.request.method == "GET" and "000007" in response.request.url.path and odd:
            response.read()
            response._content = b"[]"

    site.tenant._client.event_hooks["response"].append(spoil)
    outcome = site.apply(made)
    assert (outcome.done, outcome.remaining, outcome.complete) == (39, 1, False)
    assert any(state == "failed" and count == 1 for state, _, count in outcome.reasons)
    odd.clear()
    assert site.apply(made).complete
    undone = undo(site.tenant, journal_of(made), execute=True, confirm=site.tenant.domain)
    assert (undone.done, undone.planned) == (40, 40)


def test_where_nearly_everybody_is_gone_it_stops_by_itself(site_of, person):
    site = site_of([person(number) for number in range(60)])
    made = site.plan("root")
    for number in range(60):
        site.sandbox.delete(f"auth0|{number:06}")
    for outcome in (apply(site.tenant, made), site.apply(made)):
        assert "gone" in outcome.stopped
        assert outcome.remaining > 0
        assert outcome.drifted < 60
    assert site.count("PATCH") == 0


def test_where_somebody_is_gone_now_and_then_it_goes_on(site_of, person):
    site = site_of([person(number) for number in range(60)])
    made = site.plan("root")
    for number in range(0, 60, 2):
        site.sandbox.delete(f"auth0|{number:06}")
    outcome = site.apply(made)
    assert (outcome.stopped, outcome.done, outcome.drifted) == (None, 30, 30)


def test_where_everybody_is_gone_in_the_middle_it_stops_too(site_of, person):
    site = site_of([person(number) for number in range(300)])
    made = site.plan("root")
    for number in range(100, 300):
        site.sandbox.delete(f"auth0|{number:06}")
    outcome = site.apply(made, workers=1)
    assert outcome.done == 100
    assert "20 users are gone" in outcome.stopped
    assert outcome.drifted < 30


@pytest.mark.parametrize("status", [404, 400, 500, 418])
def test_where_no_write_works_it_stops_by_itself(site_of, person, status, monkeypatch):
    site = site_of([person(number) for number in range(60)])
    made = site.plan("root")
    monkeypatch.setattr("toolkit.tenant.client.time.sleep", lambda _: None)
    sent = []

    class Refusing(Odd):
        def handle_request(self, request):
            if request.method != "PATCH":
                return self.inner.handle_request(request)
            sent.append(request)
            return httpx.Response(status, json={})

    Refusing(site.tenant, "", None)
    for canary in (None, 0):
        outcome = site.apply(made, canary=canary)
        assert outcome.stopped
        assert outcome.done == 0
        assert outcome.remaining > 0


@pytest.mark.parametrize("status", [404, 500])
def test_where_no_undo_works_it_stops_by_itself(site_of, person, status, monkeypatch):
    site = site_of([person(number) for number in range(60)])
    made = site.plan("root")
    site.apply(made)
    for number in range(60):
        site.sandbox.delete(f"auth0|{number:06}")
    undone = undo(site.tenant, journal_of(made), execute=True, confirm=site.tenant.domain)
    assert "gone" in undone.stopped


def test_a_former_value_that_is_refused_holds_up_nobody_while_it_is_undone(site_of, person):
    site = site_of([person(number) for number in range(60)])
    made = site.plan("root")
    site.apply(made)

    class Strict(Odd):
        """Takes from the first forty of these users no former picture."""

        def handle_request(self, request):
            strict = request.method == "PATCH" and request.url.path[-6:] < "000040"
            if not strict:
                return self.inner.handle_request(request)
            text = (
                "Payload validation error: 'Object didn't pass validation for format strict-uri: "
                "https://cdn.auth0.com/avatars/pe.png' on property picture."
            )
            body = {"statusCode": 400, "message": text, "errorCode": "invalid_body"}
            return httpx.Response(400, json=body)

    Strict(site.tenant, "", None)
    undone = undo(
        site.tenant, journal_of(made), execute=True, confirm=site.tenant.domain, canary=10
    )
    assert (undone.done, undone.refused, undone.stopped) == (20, 40, None)
    assert not undone.complete
