"""Answers that are too slow, too large, endless or untrue, over real connections."""

import asyncio
import gzip
import itertools
import json
import subprocess
import sys
import threading
import time
import tracemalloc
import zlib
from contextlib import suppress
from dataclasses import replace

import httpcore
import httpx
import pytest

from tests.lying import TOKEN, Liar, head, whole
from toolkit.errors import CredentialsError, StaleError, TenantError, UnreachableError
from toolkit.images.limited_stream import StoppedError, pause, stopping
from toolkit.tenant.client import Tenant
from toolkit.tenant.credentials import Settings
from toolkit.tenant.host_transport import ClosingBackend, transport
from toolkit.tenant.http_transport import CompleteAnswers, FreshWrites, Limits, Retries
from toolkit.tenant.rate_limit import Bucket, RateLimit

CALM = Limits(head=1 << 16, body=1 << 20, listed=4 << 20, attempts=2, patience=20.0, refusals=0.5)
QUICK = replace(CALM, seconds=0.8, silence=0.4)
PAGE = json.dumps({"start": 0, "limit": 100, "length": 0, "total": 0, "users": []})


def tenant_of(liar, limits=CALM, **changes):
    values = {"domain": liar.base_url, "client_id": "id", "client_secret": "secret"} | changes
    return Tenant(Settings(_env_file=None, **values), limits=limits)


@pytest.fixture(autouse=True)
def clean(no_credentials):
    """No test here sees this machine's credentials."""


def answering(*pieces, forever=()):
    """Give a token, and these bytes as the answer to everything else."""

    def answer(request):
        if "/oauth/token" in request:
            return [TOKEN]
        return itertools.chain(pieces, itertools.cycle(forever))

    return answer


def dripping(liar_box, *first, byte=b"x"):
    def answer(request):
        if "/oauth/token" in request:
            return [TOKEN]
        return itertools.chain(first, liar_box[0].drip(itertools.repeat(byte)))

    return answer


CHUNKED = head("transfer-encoding: chunked")
SLOW = {
    "a body with a length": (head("content-length: 1000000"), b" "),
    "a body without a length": (head(), b" "),
    "the size of a chunk": (CHUNKED, b"0"),
    "the head": (b"HTTP/1.1 200 OK\r\nx: ", b"y"),
    "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "early hints": (b"", b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n"),
    "what was packed": (head("content-encoding: gzip"), b"\x1f"),
}


@pytest.mark.parametrize("what", SLOW)
def test_an_answer_that_drips_a_byte_at_a_time_ends_and_says_what_was_asked_for(what):
    first, byte = SLOW[what]
    box = []
    with Liar(dripping(box, first, byte=byte)) as liar, tenant_of(liar, QUICK, token="t") as tenant:
        box.append(liar)
        with pytest.raises(TenantError) as raised:
            tenant.search("name:Bo")
    assert "users" in str(raised.value)
    assert len(liar.requests) <= QUICK.attempts


ENDLESS = {
    "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "a header": (b"HTTP/1.1 200 OK\r\nx: ", b"y" * 10_000),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n" * 1000),
    "a body": (head(), b" " * 60_000),
    "chunks": (CHUNKED, b"4\r\nabcd\r\n" * 1000),
    "a chunk": (CHUNKED + b"ffffffffff\r\n", b" " * 60_000),
    "trailers": (CHUNKED + b"0\r\n", b"x: y\r\n" * 1000),
    "a length": (head("content-length: " + "9" * 18), b" " * 60_000),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_an_endless_answer_ends_and_says_what_was_asked_for(what):
    first, more = ENDLESS[what]
    limits = replace(CALM, body=1 << 16)
    with (
        Liar(answering(first, forever=(more,))) as liar,
        tenant_of(liar, limits) as tenant,
        pytest.raises(TenantError, match="users"),
    ):
        tenant.search("name:Bo")


def bomb(form, times=200):
    """Compress so many MiB of spaces; the end is missing, which nobody should get to see."""
    packer = zlib.compressobj(9, zlib.DEFLATED, form)
    first, other = (
        packer.compress(b" " * (1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2)
    )
    return first + other * (times - 1)


@pytest.mark.parametrize(("encoding", "form"), [("gzip", 31), ("deflate", 15), ("deflate", -15)])
def test_a_bomb_is_not_unpacked_beyond_the_limit(encoding, form):
    body = bomb(form)
    with (
        Liar(answering(whole(body, f"content-encoding: {encoding}"))) as liar,
        httpx.Client(transport=CompleteAnswers(transport("127.0.0.1"), CALM)) as client,
    ):
        tracemalloc.start()
        with pytest.raises(httpx.TransportError, match="larger than"):
            client.get(liar.base_url)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 8 * CALM.body


@pytest.mark.parametrize("encoding", ["gzip, gzip", "br", "zstd", "gzip,deflate", "compress", "x"])
def test_what_is_packed_in_a_way_that_was_not_asked_for_is_an_error(encoding):
    with (
        Liar(answering(whole(bomb(31, 1), f"content-encoding: {encoding}"))) as liar,
        tenant_of(liar) as tenant,
        pytest.raises(TenantError, match="packed in a way"),
    ):
        tenant.search("name:Bo")


@pytest.mark.parametrize("encoding", ["identity", "gzip", "x-gzip", "deflate", "GZIP"])
def test_what_is_packed_as_it_may_be_is_unpacked(encoding):
    data = PAGE.encode()
    packed = {"identity": data, "deflate": zlib.compress(data)}.get(encoding, gzip.compress(data))
    answer = answering(whole(packed, f"content-encoding: {encoding}"))
    with Liar(answer) as liar, tenant_of(liar) as tenant:
        assert tenant.search("name:Bo").total == 0


def test_raw_deflate_and_several_gzip_parts_are_unpacked():
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    raw = packer.compress(PAGE.encode()) + packer.flush()
    parts = gzip.compress(PAGE[:5].encode()) + gzip.compress(PAGE[5:].encode())
    for encoding, body in (("deflate", raw), ("gzip", parts)):
        answer = answering(whole(body, f"content-encoding: {encoding}"))
        with Liar(answer) as liar, tenant_of(liar) as tenant:
            assert tenant.search("name:Bo").total == 0


@pytest.mark.parametrize(
    "body", [gzip.compress(PAGE.encode())[:-9], b"no gzip"], ids=["cut", "none"]
)
def test_what_is_not_whole_when_unpacked_is_asked_for_again_and_then_an_error(body):
    with Liar(answering(whole(body, "content-encoding: gzip"))) as liar, tenant_of(liar) as tenant:
        with pytest.raises(UnreachableError, match="users"):
            tenant.search("name:Bo")
        assert len(liar.requests) == 1 + CALM.attempts


def test_a_silent_tenant_is_an_error_within_the_budget():
    box = []

    def answer(request):
        return [TOKEN] if "/oauth/token" in request else box[0].drip(itertools.repeat(b""), 0.05)

    with Liar(answer) as liar, tenant_of(liar, QUICK, token="t") as tenant:
        box.append(liar)
        with pytest.raises(UnreachableError, match="does not answer a request for users"):
            tenant.search("name:Bo")
        assert len(liar.requests) == QUICK.attempts


def test_whoever_waits_for_the_tenant_is_free_as_soon_as_nobody_wants_it_any_more():
    box, stop, ended = [], threading.Event(), []

    def answer(_):
        return box[0].drip(itertools.repeat(b""), 0.05)

    def wait_for(call):
        with stopping(stop):
            try:
                call()
            except StoppedError:
                ended.append(call)

    with Liar(answer) as liar, tenant_of(liar, token="t") as tenant:
        box.append(liar)
        pace = RateLimit(Failing(Clock(), 0, 429))
        pace._by_limit[50.0] = bucket = Bucket(level=-1e6, refill=1.0, limit=50.0, known=True)
        pace._buckets["GET", "users"] = bucket
        calls = [
            lambda: tenant.search("name:Bo"),
            lambda: pause(30),
            lambda: pace.wait_for_turn("GET", "users"),
        ]
        threads = [threading.Thread(target=wait_for, args=(call,)) for call in calls]
        for thread in threads:
            thread.start()
        while not liar.requests:
            time.sleep(0.01)
        stop.set()
        for thread in threads:
            thread.join(10)
    assert len(ended) == 3


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class Failing(httpx.BaseTransport):
    """Takes a while for each request and then fails, or answers with a status."""

    def __init__(self, clock, seconds, outcome):
        self.clock, self.seconds, self.outcome = clock, seconds, outcome
        self.sent = 0

    def handle_request(self, request):
        self.sent += 1
        self.clock.sleep(self.seconds)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return httpx.Response(self.outcome, content=b"{}")


@pytest.mark.parametrize("method", ["GET", "PATCH", "POST", "DELETE"])
@pytest.mark.parametrize(
    ("seconds", "outcome", "most"),
    [
        (60.0, httpx.ReadTimeout(""), 190),
        (119.0, httpx.ReadError(""), 300),
        (0.1, httpx.RemoteProtocolError(""), 70),
        (10.0, httpx.PoolTimeout(""), 190),
        (0.1, 500, 70),
        (30.0, 503, 200),
        (1.0, 408, 80),
        (1.0, 429, 310),
    ],
)
def test_by_default_no_call_takes_longer_than_five_minutes(method, seconds, outcome, most):
    clock = Clock()
    failing = Failing(clock, seconds, outcome)
    again = Retries(failing, Limits(), clock=clock, sleep=clock.sleep)
    with httpx.Client(transport=again) as client:
        if isinstance(outcome, Exception):
            with pytest.raises(type(outcome)):
                client.request(method, "http://127.0.0.1/api/v2/users")
        else:
            answer = client.request(method, "http://127.0.0.1/api/v2/users")
            assert answer.status_code == outcome
    assert clock() - 1000 <= most
    assert failing.sent > 1


@pytest.mark.parametrize("outcome", [httpx.ReadTimeout(""), 429, 503])
def test_what_is_marked_is_sent_once_and_the_mark_is_not_sent(outcome):
    seen = []

    class Watching(Failing):
        def handle_request(self, request):
            seen.append(dict(request.headers))
            return super().handle_request(request)

    clock = Clock()
    again = Retries(Watching(clock, 0.1, outcome), Limits(), clock=clock, sleep=clock.sleep)
    with httpx.Client(transport=again, headers={"x-picture-audit-once": "1"}) as client:
        try:
            client.patch("http://127.0.0.1/")
        except httpx.TransportError:
            assert isinstance(outcome, Exception)
    assert len(seen) == 1
    assert "x-picture-audit-once" not in seen[0]


def test_429_for_a_token_ends_after_a_minute_and_says_at_once_what_it_waits_for(caplog):
    clock = Clock()
    pace = RateLimit(Failing(clock, 0.1, 429), clock=clock, sleep=clock.sleep)
    again = Retries(pace, Limits(), clock=clock, sleep=clock.sleep)
    with httpx.Client(transport=again) as client:
        assert client.get("http://127.0.0.1/api/v2/users").status_code == 429
        assert not caplog.messages
        begun = clock()
        assert client.post("http://127.0.0.1/oauth/token").status_code == 429
    assert 60 <= clock() - begun <= 125
    assert caplog.messages == [
        "127.0.0.1 has had too many requests for tokens (HTTP 429): asking again for up to 60 s."
    ]


def test_who_never_answered_is_not_waited_for():
    clock = Clock()
    for error in (httpx.ConnectError(""), httpx.ConnectTimeout(""), httpx.ProxyError("")):
        failing = Failing(clock, 1.0, error)
        again = Retries(failing, Limits(), clock=clock, sleep=clock.sleep)
        with httpx.Client(transport=again) as client, pytest.raises(httpx.TransportError):
            client.get("http://127.0.0.1/")
        assert failing.sent == 1


def test_a_request_marked_by_the_tenant_is_sent_once():
    busy = whole("{}", status="429 Too Many Requests")
    with Liar(answering(busy)) as liar, tenant_of(liar) as tenant:
        with pytest.raises(TenantError, match="HTTP 429"):
            tenant.change_user("auth0|1", {"picture": "https://a/b.png"})
        with pytest.raises(TenantError, match="HTTP 429"):
            tenant.create_action("name", "code")
    assert [one.split()[0] for one in liar.requests] == ["POST", "PATCH", "POST"]


FAR = {
    "a reset in the year 3000": "x-ratelimit-reset: 32503680000",
    "a date": "retry-after: Fri, 31 Dec 9999 23:59:59 GMT",
    "a year": "retry-after: 31536000",
    "nothing": "x: y",
    "at once": "retry-after: 0",
    "milliseconds": "retry-after-ms: 99999999999",
}


@pytest.mark.parametrize("what", FAR)
def test_429_for_ever_ends_within_the_budget_and_is_no_flood(what):
    busy = whole(
        "{}",
        FAR[what],
        "x-ratelimit-limit: 1",
        "x-ratelimit-remaining: 0",
        status="429 Too Many Requests",
    )
    with Liar(answering(busy)) as liar, tenant_of(liar) as tenant:
        started = time.monotonic()
        with pytest.raises(TenantError, match="too many requests"):
            tenant.search("name:Bo")
        assert time.monotonic() - started < 30
        assert len(liar.requests) < 10


def test_a_write_that_comes_late_to_its_connection_is_not_sent(monkeypatch):
    times = itertools.count(1000.0, 5.0)
    monkeypatch.setattr("toolkit.tenant.http_transport._now", lambda: (next(times), 0.0))
    fresh = FreshWrites(transport("127.0.0.1"))
    with Liar(answering(whole("{}"))) as liar, httpx.Client(transport=fresh) as client:
        with fresh.within(7):
            client.get(liar.base_url)  # at 1000
            with pytest.raises(
                StaleError
            ):  # 1005, when it is asked for, is early enough; 1010 is not
                client.patch(liar.base_url, json={"picture": "https://a/b.png"})
        client.patch(liar.base_url, json={})  # is not limited
        assert [one.split()[0] for one in liar.requests] == ["GET", "PATCH"]


class Connection(httpcore.AsyncNetworkStream):
    closed = False

    async def aclose(self):
        self.closed = True


def test_a_connection_that_is_made_as_a_request_is_cancelled_is_closed():
    made = Connection()

    class Slow(httpcore.AsyncNetworkBackend):
        async def connect_tcp(self, *_):
            await asyncio.sleep(0.05)
            return made

    async def cancelled():
        connecting = asyncio.ensure_future(ClosingBackend(Slow()).connect_tcp("127.0.0.1", 9))
        await asyncio.sleep(0.01)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting

    asyncio.run(cancelled())
    assert made.closed


# Lists


def listing(items_of):
    """Answer lists of Actions, bindings, Rules and connections with what a function gives."""
    numbers = itertools.count()

    def answer(request):
        if "/oauth/token" in request:
            return [TOKEN]
        items, extra = items_of(next(numbers))
        name = "bindings" if "bindings" in request else request.split("/")[3].split("?")[0]
        return [whole(json.dumps({name: items, **extra}))]

    return answer


def actions(first, count=100):
    return [{"id": f"a{number}", "name": "x"} for number in range(first, first + count)]


LISTS = {
    "Actions": lambda tenant: tenant.actions(),
    "bindings": lambda tenant: tenant.bindings(),
    "Rules": lambda tenant: tenant.rules(),
    "connections": lambda tenant: tenant.connections(),
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_that_repeats_itself_is_an_error(name):
    repeating = listing(lambda _: (actions(0), {"next": "same"}))
    with Liar(repeating) as liar, tenant_of(liar) as tenant:
        with pytest.raises(TenantError, match=f"list of {name} that does not end"):
            LISTS[name](tenant)
        assert len(liar.requests) <= 4


@pytest.mark.parametrize("name", LISTS)
def test_a_list_that_does_not_end_is_an_error(name, monkeypatch):
    monkeypatch.setattr("toolkit.tenant.management_api._MOST_PAGES", 5)
    endless = listing(lambda number: (actions(100 * number), {"next": str(number)}))
    with Liar(endless) as liar, tenant_of(liar) as tenant:
        with pytest.raises(TenantError, match=f"list of {name} that does not end"):
            LISTS[name](tenant)
        assert len(liar.requests) <= 7


@pytest.mark.parametrize("name", LISTS)
def test_a_list_whose_pages_are_large_is_an_error(name):
    def large(number):
        items = [one | {"name": "n" * 9000} for one in actions(100 * number)]
        return items, {"next": str(number)}

    limits = Limits(body=2 << 20, listed=4 << 20)
    with Liar(listing(large)) as liar, tenant_of(liar, limits) as tenant:
        with pytest.raises(TenantError, match=f"list of {name} that does not end"):
            LISTS[name](tenant)
        assert len(liar.requests) <= 8


def test_a_list_that_takes_too_long_is_an_error(monkeypatch):
    monkeypatch.setattr("toolkit.tenant.management_api._LIST_SECONDS", 0.1)
    endless = listing(lambda number: (actions(100 * number), {}))
    with (
        Liar(endless) as liar,
        tenant_of(liar) as tenant,
        pytest.raises(TenantError, match="list of Actions that does not end"),
    ):
        tenant.actions()


def test_a_tenant_that_gives_smaller_pages_than_asked_for_is_read_whole():
    def small(number):
        return actions(50 * number, 50 if number < 2 else 20), {"total": 120}

    with Liar(listing(small)) as liar, tenant_of(liar) as tenant:
        assert [one.id for one in tenant.actions()] == [f"a{number}" for number in range(120)]


def test_a_page_with_more_users_than_were_asked_for_is_an_error():
    body = json.dumps({"total": 5, "users": [{"user_id": str(number)} for number in range(5)]})
    with (
        Liar(answering(whole(body))) as liar,
        tenant_of(liar) as tenant,
        pytest.raises(TenantError, match="not a page of users"),
    ):
        tenant.search("name:Bo", per_page=4)


@pytest.mark.parametrize("number", ["9" * 5000, "1e999", "-" + "9" * 5000])
def test_numbers_that_python_does_not_take_are_an_error(number):
    body = f'{{"total": {number}, "users": []}}'
    with (
        Liar(answering(whole(body))) as liar,
        tenant_of(liar) as tenant,
        pytest.raises(TenantError),
    ):
        tenant.search("name:Bo")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("id", 5),
        ("id", None),
        ("id", "../users/auth0|1"),
        ("id", ["job"]),
        ("status", None),
        ("status", {"a": 1}),
        ("location", 7),
        ("location", ["https://a"]),
    ],
)
def test_a_job_that_is_no_job_is_an_error(key, value):
    job = {"id": "job_1", "status": "completed", "type": "users_export", "location": "https://a"}
    with (
        Liar(answering(whole(json.dumps(job | {key: value})))) as liar,
        tenant_of(liar) as tenant,
        pytest.raises(TenantError),
    ):
        tenant.export_job("job_1")


@pytest.mark.parametrize("percentage", [-5, 1e308, 101, "half", float("nan"), float("inf"), None])
def test_a_percentage_that_cannot_be_true_is_not_said(percentage):
    job = {"id": "job_1", "status": "processing", "type": "x", "percentage_done": percentage}
    with (
        Liar(answering(whole(json.dumps(job)))) as liar,
        tenant_of(liar) as tenant,
        suppress(TenantError),  # from the SDK's model
    ):
        assert tenant.export_job("job_1").percentage is None


# Tokens


def tokens(body, users=PAGE):
    return lambda request: [whole(body if "/oauth/token" in request else users)]


LIFETIMES = ["0", "-1", "NaN", "1e308", '"never"', "null", "[]", "9" * 400, "1e-300", "true"]


@pytest.mark.parametrize("lifetime", LIFETIMES)
def test_a_lifetime_of_a_token_that_cannot_be_true_neither_fails_nor_floods(lifetime):
    with (
        Liar(tokens(f'{{"access_token": "t", "expires_in": {lifetime}}}')) as liar,
        tenant_of(liar) as tenant,
    ):
        for _ in range(5):
            assert tenant.search("name:Bo").total == 0
    assert sum("oauth" in one for one in liar.requests) <= 5


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        "[]",
        "null",
        '"t"',
        "<html>sign in</html>",
        '{"access_token": 5, "expires_in": 9}',
        '{"access_token": "a\\r\\nx: y", "expires_in": 9}',
        '{"access_token": "", "expires_in": 9}',
        json.dumps({"access_token": "t" * 100_000, "expires_in": 9}),
        "[" * 100_000,
    ],
)
def test_what_is_no_token_is_an_error_of_the_tenant(body):
    with (
        Liar(tokens(body)) as liar,
        tenant_of(liar) as tenant,
        pytest.raises(TenantError, match=r"something else|a web page") as raised,
    ):
        tenant.require("read:users")
    assert not isinstance(raised.value, CredentialsError)


@pytest.mark.parametrize("status", ["301 A", "302 A", "303 A", "307 A", "308 A"])
def test_no_redirect_is_followed_with_or_without_the_token(status):
    with Liar(lambda _: [whole("{}")]) as other:
        answer = whole("", f"location: {other.base_url}/api/v2/users", status=status)
        with Liar(lambda _: [answer]) as liar:
            for given in ({"token": "t"}, {}):
                with tenant_of(liar, **given) as tenant, pytest.raises(TenantError):
                    tenant.search("name:Bo")
        assert other.requests == []


def test_a_token_that_drips_ends_and_says_so():
    box = []

    def answer(_):
        return itertools.chain([head()], box[0].drip(itertools.repeat(b" ")))

    with Liar(answer) as liar, tenant_of(liar, QUICK) as tenant:
        box.append(liar)
        with pytest.raises(TenantError, match="a token"):
            tenant.require("read:users")


def test_threads_that_wait_for_one_token_are_told_no_together():
    box = []

    def answer(_):
        return box[0].drip(itertools.repeat(b""), 0.05)

    errors = []
    with Liar(answer) as liar, tenant_of(liar, QUICK) as tenant:
        box.append(liar)

        def ask():
            try:
                tenant.search("name:Bo")
            except TenantError as error:
                errors.append(error)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(errors) == 8
        assert len(liar.requests) <= 2 * QUICK.attempts


MEMORY = """
import resource, sys
from toolkit.tenant.credentials import Settings
from toolkit.tenant.client import Tenant
from toolkit.errors import TenantError
values = {"domain": sys.argv[1], "client_id": "id", "client_secret": "secret"}
with Tenant(Settings(_env_file=None, **values)) as tenant:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        tenant.search("name:Bo")
    except TenantError as error:
        print(error, file=sys.stderr)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_bomb_of_a_gigabyte_takes_little_memory(tmp_path):
    body = bomb(31, 1024)
    with Liar(answering(whole(body, "content-encoding: gzip"))) as liar:
        ended = subprocess.run(
            [sys.executable, "-c", MEMORY, liar.base_url],
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
        )
    assert "larger than" in ended.stderr
    assert int(ended.stdout) < 200 * 1024  # KiB
