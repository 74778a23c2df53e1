"""The pace against a made-up tenant on a made-up clock: seconds here cost no time."""

import math

import httpx
import pytest

from toolkit.pace import Pace


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


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
    pace = Pace(limited, clock=clock, wall=clock, sleep=clock.sleep)
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
    pace = Pace(limited, clock=clock, wall=clock, sleep=clock.sleep)
    with httpx.Client(transport=pace) as client:
        while clock() < 1000 + 120:
            client.patch("https://tenant.example/api/v2/users/1")
            client.get("https://tenant.example/api/v2/users/1")
    assert limited.granted >= 0.9 * (burst + 120 * rate)
    assert limited.refused <= 0.01 * pace.requests


def test_without_headers_it_does_not_hold_back():
    clock = Clock()
    free = Limited(clock, 10**9, 1, latency=0.01, headers=False)
    with httpx.Client(transport=Pace(free, clock=clock, wall=clock, sleep=clock.sleep)) as client:
        for _ in range(100):
            client.get("https://tenant.example/api/v2/users")
    assert clock() - 1000 == pytest.approx(1.0)


def test_a_ceiling_is_never_exceeded():
    clock = Clock()
    limited = Limited(clock, 50, 50, latency=0.001)
    with httpx.Client(
        transport=Pace(limited, ceiling=4, clock=clock, wall=clock, sleep=clock.sleep)
    ) as client:
        for _ in range(41):
            client.get("https://tenant.example/api/v2/users")
    assert clock() - 1000 >= 10


def test_groups_of_endpoints_have_buckets_of_their_own():
    clock = Clock()
    pace = Pace(Limited(clock, 2, 0.1), clock=clock, wall=clock, sleep=clock.sleep)
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
