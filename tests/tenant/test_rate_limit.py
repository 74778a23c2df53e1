"""The pace against a made-up tenant on a made-up clock: seconds here cost no time."""

import math
import threading
from email.utils import formatdate
from random import Random

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.tenant.rate_limit import LONGEST_WAIT, RateLimit


class Clock:
    def __init__(self):
        self.now = 1000.0
        self.longest = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        self.longest = max(self.longest, seconds)


class Limited(httpx.BaseTransport):
    """A token bucket as Auth0 keeps it; others may drain it too."""

    def __init__(self, clock, burst, rate, *, latency=0.02, others=0.0, headers=True):
        self.clock, self.burst, self.rate, self.latency = clock, burst, rate, latency
        self.others, self.headers = others, headers
        self.level, self.at = float(burst), clock()
        self.granted = self.refused = 0

    def handle_request(self, request):
        self.clock.sleep(self.latency)
        passed = self.clock() - self.at
        self.level = min(self.burst, self.level + passed * (self.rate - self.others))
        self.at = self.clock()
        allowed = self.level >= 1
        self.level -= allowed
        self.granted += allowed
        self.refused += not allowed
        headers = {
            "x-ratelimit-limit": str(self.burst),
            "x-ratelimit-remaining": str(math.floor(self.level)),
            "x-ratelimit-reset": str(math.ceil(self.at + (self.burst - self.level) / self.rate)),
        }
        return httpx.Response(200 if allowed else 429, headers=headers if self.headers else {})


def run(seconds, burst, rate, **options):
    clock = Clock()
    limited = Limited(clock, burst, rate, **options)
    pace = RateLimit(limited, clock=clock, wall=clock, sleep=clock.sleep)
    with httpx.Client(transport=pace) as client:
        begin = clock()
        while clock() - begin < seconds:
            client.get("https://tenant.example/api/v2/users")
    return limited, pace


@pytest.mark.parametrize(
    ("burst", "rate"), [(2, 2), (40, 500 / 60), (50, 16), (10, 2), (50, 50), (10, 2.5)]
)
def test_it_runs_at_nine_tenths_of_the_ceiling_and_is_hardly_ever_refused(burst, rate):
    seconds = 120
    limited, pace = run(seconds, burst, rate, latency=0.005)
    ceiling = burst + seconds * rate
    assert limited.granted >= 0.9 * ceiling
    assert limited.refused <= 0.01 * pace.requests


def test_it_gives_way_to_others_who_use_the_same_tenant():
    limited, pace = run(120, 50, 16, others=8, latency=0.005)
    assert 0.85 * 120 * 8 <= limited.granted <= 50 + 120 * 8
    assert limited.refused <= 0.01 * pace.requests


@pytest.mark.parametrize(("burst", "rate"), [(2, 2), (50, 16)])
def test_two_groups_of_endpoints_with_one_bucket_are_hardly_ever_refused(burst, rate):
    clock = Clock()
    limited = Limited(clock, burst, rate, latency=0.005)
    pace = RateLimit(limited, clock=clock, wall=clock, sleep=clock.sleep)
    with httpx.Client(transport=pace) as client:
        while clock() < 1000 + 120:
            client.patch("https://tenant.example/api/v2/users/1")
            client.get("https://tenant.example/api/v2/users/1")
    assert limited.granted >= 0.9 * (burst + 120 * rate)
    assert limited.refused <= 0.01 * pace.requests


def test_without_headers_it_does_not_hold_back():
    clock = Clock()
    free = Limited(clock, 10**9, 1, latency=0.01, headers=False)
    with httpx.Client(
        transport=RateLimit(free, clock=clock, wall=clock, sleep=clock.sleep)
    ) as client:
        for _ in range(100):
            client.get("https://tenant.example/api/v2/users")
    assert clock() - 1000 == pytest.approx(1.0)


def test_a_ceiling_is_never_exceeded():
    clock = Clock()
    limited = Limited(clock, 50, 50, latency=0.001)
    with httpx.Client(
        transport=RateLimit(limited, ceiling=4, clock=clock, wall=clock, sleep=clock.sleep)
    ) as client:
        for _ in range(41):
            client.get("https://tenant.example/api/v2/users")
    assert clock() - 1000 >= 10


def test_groups_of_endpoints_have_buckets_of_their_own():
    clock = Clock()
    pace = RateLimit(Limited(clock, 2, 0.1), clock=clock, wall=clock, sleep=clock.sleep)
    with httpx.Client(transport=pace) as client:
        for path in ("users", "users", "users/auth0%7C1"):
            client.get(f"https://tenant.example/api/v2/{path}")
        client.get("https://tenant.example/api/v2/connections")
        client.patch("https://tenant.example/api/v2/users/1")
    assert set(pace._buckets) == {("GET", "users"), ("GET", "connections"), ("PATCH", "users")}


def test_it_counts_what_it_sends_and_what_is_refused():
    limited, pace = run(20, 3, 1)
    assert pace.requests == limited.granted + limited.refused
    assert pace.refused == limited.refused


@pytest.mark.parametrize(("burst", "rate"), [(2, 2), (20, 200 / 60)])
def test_a_turn_that_was_kept_goes_at_once_and_no_other_request_takes_it(burst, rate):
    clock = Clock()
    limited = Limited(clock, burst, rate, latency=0.005)
    pace = RateLimit(limited, clock=clock, wall=clock, sleep=clock.sleep)
    windows = []
    with httpx.Client(transport=pace) as client:
        for _ in range(60):
            pace.wait_for_turn("PATCH", "users/1")
            client.get("https://tenant.example/api/v2/users/1")
            begin = clock()
            client.patch("https://tenant.example/api/v2/users/1")
            windows.append(clock() - begin)
    assert max(windows) == pytest.approx(0.005)
    assert limited.refused == 0


def test_threads_do_not_keep_more_turns_than_the_bucket_holds():
    clock = Clock()
    limited = Limited(clock, 2, 1000.0, latency=0.0)
    pace = RateLimit(limited, clock=clock, wall=clock, sleep=clock.sleep)
    with httpx.Client(transport=pace) as client:
        client.patch("https://tenant.example/api/v2/users/1")
        pace.wait_for_turn("PATCH", "users/1")
        other = threading.Thread(target=pace.wait_for_turn, args=("PATCH", "users/2"))
        other.start()
        client.get("https://tenant.example/api/v2/users/1")
        assert len(pace._turns) == 1
        client.patch("https://tenant.example/api/v2/users/1")
        other.join(10)
    assert limited.refused == 0
    assert len(pace._turns) == 1


def test_one_thread_reserves_a_read_and_a_write_of_the_smallest_bucket_without_long_waits():
    clock = Clock()
    limited = Limited(clock, 2, 2, latency=0.005)
    pace = RateLimit(limited, clock=clock, wall=clock, sleep=clock.sleep)
    with httpx.Client(transport=pace) as client:
        # As collecting does: the limit is known before the first turn.
        client.get("https://tenant.example/api/v2/users")
        client.patch("https://tenant.example/api/v2/users/0")
        begin = clock()
        for number in range(10):
            pace.wait_for_turn("PATCH", f"users/{number}")
            pace.wait_for_turn("GET", f"users/{number}")
            client.get(f"https://tenant.example/api/v2/users/{number}")
            client.patch(f"https://tenant.example/api/v2/users/{number}")
    assert clock() - begin < 25  # seconds; 30 each before, until the unused turn was released
    assert limited.refused == 0


def test_a_turn_that_nobody_uses_is_given_up():
    clock = Clock()
    pace = RateLimit(Limited(clock, 2, 0.5), clock=clock, wall=clock, sleep=clock.sleep)
    with httpx.Client(transport=pace) as client:
        client.get("https://tenant.example/api/v2/users")
        pace.wait_for_turn("GET", "/api/v2/users/1")
        pace.wait_for_turn("GET", "users/1")
        assert clock() - 1000 < 5
        clock.sleep(120)
        begin = clock()
        client.get("https://tenant.example/api/v2/users")
        client.get("https://tenant.example/api/v2/users")
        assert clock() - begin < 1
    assert not pace._turns
    assert all(bucket.reserved == 0 for bucket in pace._buckets.values())


# Another client keeps the bucket nearly empty


class Hogged(httpx.BaseTransport):
    """A bucket from which others take all but a few requests, whatever we do."""

    def __init__(self, clock, limit, rate, left, seed=1):
        self.clock, self.limit, self.rate, self.left = clock, limit, rate, left
        self.random = Random(seed)
        self.granted = self.refused = 0

    def handle_request(self, request):
        self.clock.sleep(0.05)
        left = min(self.random.choice(self.left), self.limit)
        allowed = left >= 1
        left -= allowed
        self.granted += allowed
        self.refused += not allowed
        headers = {
            "date": formatdate(self.clock(), usegmt=True),
            "x-ratelimit-limit": str(self.limit),
            "x-ratelimit-remaining": str(left),
            "x-ratelimit-reset": str(math.ceil(self.clock() + (self.limit - left) / self.rate)),
        }
        return httpx.Response(200 if allowed else 429, headers=headers)


REQUEST = httpx.Request("GET", "https://tenant.example/api/v2/users")


@pytest.mark.parametrize("requests", [20, 50, 500])
@pytest.mark.parametrize("left", [(0, 1, 2), (1, 2, 3), (1,), (0, 0, 1)])
@pytest.mark.parametrize(
    ("limit", "rate"), [(2, 2), (40, 500 / 60), (20, 200 / 60), (10, 2.5), (50, 16), (10, 2)]
)
def test_a_bucket_that_others_keep_nearly_empty_costs_a_few_seconds_a_request(
    limit, rate, left, requests
):
    clock = Clock()
    hogged = Hogged(clock, limit, rate, left)
    pace = RateLimit(hogged, clock=clock, wall=clock, sleep=clock.sleep)
    while hogged.granted < requests:
        pace.handle_request(REQUEST)
    # The bucket would be full again after limit / rate seconds; one request in three is granted.
    assert clock() - 1000 <= 3 * requests * (limit / rate + 1)
    assert clock.longest <= limit / rate + 2
    assert hogged.refused <= 3 * requests
    assert pace.notes == ()


@pytest.mark.parametrize("full_in", [1, 60, 3000])
@pytest.mark.parametrize("limit", [1, 2, 50, 5000])
def test_a_gateway_that_always_says_that_nothing_remains_is_found_out(limit, full_in):
    clock = Clock()

    class Gateway(httpx.BaseTransport):
        def handle_request(self, request):
            headers = {
                "x-ratelimit-limit": str(limit),
                "x-ratelimit-remaining": "0",
                "x-ratelimit-reset": str(int(clock() + full_in)),
            }
            return httpx.Response(200, headers=headers)

    pace = RateLimit(Gateway(), clock=clock, wall=clock, sleep=clock.sleep)
    begin = clock()
    for _ in range(1000):
        pace.handle_request(REQUEST)
    assert clock.longest <= LONGEST_WAIT
    # A request a second in the end; at first one a minute.
    assert clock() - begin <= 1000 + 10_000
    slow = full_in > 1 and limit < 5000
    assert not slow or any("x-ratelimit-remaining" in note for note in pace.notes)


def test_an_enterprise_plan_in_which_remaining_is_seldom_more_than_nothing_is_believed():
    limited, pace = run(300, 2, 2, latency=0.005)
    assert limited.refused <= 0.01 * pace.requests
    assert pace.notes == ()


# Headers that cannot be true

LIMIT, REMAINING, RESET, AFTER = (
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "retry-after",
)
NOW = 1_800_000_000
UNTRUE = {
    LIMIT: ["0", "-1", "1000000000", "1e308", "inf", "-inf", "nan", "0x10", "fifty", "", "1_0"],
    REMAINING: ["-1", "51", "1e308", "-inf", "nan", "0x1", "none", "", "٣"],
    RESET: [
        "32503680000",
        "253402300799",
        "-62135596800",
        "0",
        "-1",
        "-inf",
        "inf",
        "nan",
        "1e308",
        "0x6b49d200",
        str(NOW - 60),
        str(NOW + 4000),
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "9" * 400,
    ],
    AFTER: [
        "31536000",
        "-1",
        "nan",
        "inf",
        "1e3",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Mon, 01 Jan 0001 00:00:00 GMT",
        "soon",
        "",
    ],
}
TRUE = {LIMIT: "50", REMAINING: "10", RESET: str(NOW + 3), AFTER: "1"}


class Saying(httpx.BaseTransport):
    """Answers with the same headers each time; refuses some requests."""

    def __init__(self, clock, headers, refuses=lambda number: number % 3 == 0):
        self.clock, self.headers, self.refuses = clock, headers, refuses
        self.sent = 0

    def handle_request(self, request):
        self.clock.sleep(0.05)
        self.sent += 1
        return httpx.Response(429 if self.refuses(self.sent) else 200, headers=self.headers)


def said(headers, requests=60, **options):
    clock = Clock()
    clock.now = float(NOW)
    pace = RateLimit(Saying(clock, headers, **options), clock=clock, wall=clock, sleep=clock.sleep)
    for _ in range(requests):
        pace.handle_request(REQUEST)
    return clock, pace


@pytest.mark.parametrize(("name", "value"), [(k, v) for k in UNTRUE for v in UNTRUE[k]])
def test_a_header_that_cannot_be_true_is_ignored_and_noted_once(name, value):
    clock, pace = said({**TRUE, name: value.encode()})
    assert sum(name in note for note in pace.notes) == 1
    assert clock.longest <= LONGEST_WAIT
    # Nothing but a wait of a few seconds for each request comes of it.
    assert clock() - NOW <= 60 * 10


def test_headers_that_are_true_are_not_noted():
    _, pace = said(TRUE, requests=1, refuses=lambda _: False)
    assert pace.notes == ()


@given(
    st.dictionaries(
        st.sampled_from([LIMIT, REMAINING, RESET, AFTER, "date"]),
        st.one_of(
            st.text(st.characters(min_codepoint=32, max_codepoint=126)),
            st.integers(-(10**20), 10**20).map(str),
            st.floats().map(repr),
            st.integers(-100, 5000).map(lambda seconds: str(NOW + seconds)),
            st.datetimes().map(lambda one: one.strftime("%a, %d %b %Y %H:%M:%S GMT")),
        ),
    ),
    st.integers(1, 5),
)
def test_no_header_makes_anybody_wait_longer_than_a_minute(headers, every):
    clock, pace = said(headers, requests=40, refuses=lambda number: number % every == 0)
    assert clock.longest <= LONGEST_WAIT
    assert clock() - NOW <= 40 * (LONGEST_WAIT + 1)
    assert pace.requests == 40
    assert len(pace.notes) <= 4


@pytest.mark.parametrize("skew", [-86400, -600, 600, 86400])
def test_the_tenants_clock_counts_and_not_this_machines(skew):
    clock = Clock()
    limited = Hogged(clock, 50, 16, (0, 1, 2))
    pace = RateLimit(limited, clock=clock, wall=lambda: clock() + skew, sleep=clock.sleep)
    for _ in range(100):
        pace.handle_request(REQUEST)
    assert pace.notes == ()
    assert clock() - 1000 <= 200


def test_a_request_waits_until_the_reset_and_not_longer():
    clock, _ = said({**TRUE, REMAINING: "0", RESET: str(NOW + 20)}, requests=2)
    assert clock() - NOW <= 20 + 1


@pytest.mark.parametrize(
    ("after", "seconds"), [("7", 7), ("59", 59), ("600", 60), ("3600", 60), ("0", 1)]
)
def test_retry_after_is_waited_for_up_to_a_minute(after, seconds):
    clock, pace = said({AFTER: after}, requests=2, refuses=lambda number: number == 1)
    assert clock() - NOW == pytest.approx(seconds + 0.1, abs=0.2)
    assert pace.notes == ()


@pytest.mark.parametrize(
    "date", ["", "yesterday", "Fri, 99 Dec 9999 99:99:99 GMT", "Mon, 01 Jan 99999 00:00:00"]
)
def test_a_date_that_is_none_leaves_this_machines_clock(date):
    clock, pace = said({**TRUE, REMAINING: "0", RESET: str(NOW + 20), "date": date}, requests=2)
    assert clock() - NOW <= 20 + 1
    assert pace.notes == ()


def test_requests_that_are_refused_together_count_as_one_refusal():
    clock = Clock()
    together = threading.Barrier(8)

    class Refusing(httpx.BaseTransport):
        def __init__(self):
            self.sent = 0

        def handle_request(self, request):
            self.sent += 1
            if self.sent == 1:
                return httpx.Response(200)
            together.wait(5)
            return httpx.Response(429)

    pace = RateLimit(Refusing(), clock=clock, wall=clock, sleep=clock.sleep)
    pace.handle_request(REQUEST)
    threads = [threading.Thread(target=pace.handle_request, args=(REQUEST,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pace.refused == 8
    (bucket,) = pace._buckets.values()
    assert bucket.not_before - clock() <= 1.0


def test_a_thread_that_sends_nothing_after_all_keeps_nobody_waiting():
    clock = Clock()
    pace = RateLimit(Limited(clock, 50, 16), clock=clock, wall=clock, sleep=clock.sleep)
    pace.wait_for_turn("PATCH", "/api/v2/users/a")
    pace.give_up_turns()
    assert not pace._turns
    # The limit of this bucket is not known yet: only one turn of it is kept at a time.
    waited = threading.Thread(target=pace.wait_for_turn, args=("PATCH", "/api/v2/users/b"))
    waited.start()
    waited.join(5)
    assert not waited.is_alive()
