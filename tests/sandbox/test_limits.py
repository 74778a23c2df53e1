import pytest

from toolkit.sandbox.api.gate import Limits
from toolkit.sandbox.problem import Problem

USERS = ("GET", "/api/v2/users")


@pytest.fixture
def limits(hands):
    return lambda plan: Limits(plan, clock=hands, monotonic=hands)


def _burst(limits, method, path):
    for count in range(100):
        try:
            limits.take(method, path)
        except Problem:
            return count
    raise AssertionError(count)


@pytest.mark.parametrize(
    ("plan", "method", "path", "burst"),
    [
        ("free", *USERS, 2),
        ("enterprise", *USERS, 50),
        ("enterprise-test", *USERS, 10),
        ("essentials", *USERS, 40),
        ("essentials", "GET", "/api/v2/users/auth0|1", 40),
        ("essentials", "GET", "/api/v2/users-by-email", 40),
        ("essentials", "PATCH", "/api/v2/users/auth0|1", 20),
        ("essentials", "GET", "/api/v2/connections", 5),
        ("essentials", "GET", "/api/v2/rules", 10),
    ],
)
def test_each_plan_lets_its_burst_through(limits, plan, method, path, burst):
    assert _burst(limits(plan), method, path) == burst


def test_an_unlimited_plan_says_nothing(limits):
    assert limits("unlimited").take(*USERS) == {}


def test_a_plan_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="no such plan: gold"):
        Limits("gold")


def test_groups_do_not_share_a_bucket(limits):
    bucket = limits("essentials")
    _burst(bucket, *USERS)
    assert bucket.take("GET", "/api/v2/connections")


def test_what_flows_back_can_be_used_again(limits, hands):
    bucket = limits("free")
    _burst(bucket, *USERS)
    hands.now += 0.49
    assert _burst(bucket, *USERS) == 0
    hands.now += 0.02
    assert bucket.take(*USERS)
    hands.now += 1000
    assert _burst(bucket, *USERS) == 2


def test_the_headers_say_when_the_bucket_is_full_again(limits, hands):
    assert limits("free").take(*USERS) == {
        "x-ratelimit-limit": "2",
        "x-ratelimit-remaining": "1",
        "x-ratelimit-reset": "1800000001",
    }


def test_over_the_limit_the_answer_is_auth0s_429(serve, person, hands):
    client = serve([person(1)], plan="free", clock=hands, monotonic=hands)
    good = [client.users() for _ in range(2)]
    assert [answer.headers["x-ratelimit-remaining"] for answer in good] == ["1", "0"]
    over = client.users()
    assert over.status_code == 429
    assert over.json() == {
        "statusCode": 429,
        "error": "Too Many Requests",
        "message": "Global limit has been reached",
        "errorCode": "too_many_requests",
    }
    assert over.headers["x-ratelimit-remaining"] == "0"
    assert over.headers["x-ratelimit-reset"] == "1800000002"
    assert "retry-after" not in over.headers
    assert client.sandbox.requests.limited == 1
    hands.now += 1
    assert client.users().is_success


def test_a_refusal_says_nothing_of_the_limits_but_counts(serve, person, hands):
    client = serve([person(1)], plan="enterprise", clock=hands, monotonic=hands)
    for answer in (client.users(q="picture:x"), client.get("/api/v2/users/auth0%7Cnobody")):
        assert answer.status_code in {400, 404}
        assert not [name for name in answer.headers if name.startswith("x-ratelimit")]
    assert client.users().headers["x-ratelimit-remaining"] == "47"


def test_tokens_and_pictures_are_not_limited(serve, hands):
    client = serve([], plan="free", clock=hands, monotonic=hands)
    for _ in range(5):
        assert client.token().is_success
        assert client.get("/avatars/ab.png").is_success
