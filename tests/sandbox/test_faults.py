import gzip
import json
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from toolkit.sandbox.faults.catalogue import FAULTS, Faults
from toolkit.sandbox.server import Sandbox

NARROW = "created_at:[2024-01-01T00:00:00.000Z TO 2024-01-01T00:00:00.099Z]"
TIMEOUT = (
    "The query exceeded the timeout. Please try refining your search criteria. "
    "See https://auth0.com/docs/best-practices/search-best-practices."
)


@pytest.fixture
def crowd(person):
    return [person(number) for number in range(500)]


def _statuses(client, count=150, **asked):
    """Ask again and again; 0 stands for a connection that was lost."""
    found = []
    for _ in range(count):
        try:
            found.append(client.users(per_page=1, **asked).status_code)
        except httpx.TransportError:
            found.append(0)
    return found


def _longest_run(statuses, bad):
    longest = run = 0
    for status in statuses:
        run = run + 1 if status in bad else 0
        longest = max(longest, run)
    return longest


def _ids(client, **asked):
    answer = client.patiently(lambda: client.users(per_page=100, **asked))
    assert answer.status_code == 200, answer.text
    return [user["user_id"] for user in answer.json()]


def test_a_fault_that_does_not_exist_is_refused_with_a_list_of_those_that_do():
    with pytest.raises(ValueError, match="no such fault: rain; there are 429-storm, 429-bare, "):
        Sandbox([], faults=["lag", "rain"])


def test_every_fault_has_one_line_that_says_what_it_does():
    assert all(line and "\n" not in line for line in FAULTS.values())


def test_without_faults_nothing_is_in_the_way():
    async def application(scope, receive, send):
        pass

    assert Faults().around(application, None, time.time) is application


@pytest.mark.parametrize("fault", ["429-storm", "429-bare"])
def test_a_storm_refuses_some_requests_in_a_row_and_then_ends(serve, crowd, fault):
    client = serve(crowd, faults=[fault])
    statuses = _statuses(client, 400)
    assert set(statuses) == {200, 429}
    assert 2 <= _longest_run(statuses, {429}) <= 4
    assert statuses.count(429) == 12
    assert set(statuses[-50:]) == {200}
    assert client.sandbox.requests.limited == 12


@pytest.mark.parametrize(("fault", "tells"), [("429-storm", True), ("429-bare", False)])
def test_only_the_bare_refusal_has_no_headers(serve, crowd, hands, fault, tells):
    client = serve(crowd, faults=[fault], clock=hands)
    first = client.users()
    assert ("x-ratelimit-remaining" in first.headers) == tells
    refusal = next(answer for answer in iter(client.users, None) if answer.status_code == 429)
    assert refusal.json()["message"] == "Global limit has been reached"
    assert "retry-after" not in refusal.headers
    told = {name: text for name, text in refusal.headers.items() if name.startswith("x-rate")}
    assert told == (
        {
            "x-ratelimit-limit": "50",
            "x-ratelimit-remaining": "0",
            "x-ratelimit-reset": "1800000001",
        }
        if tells
        else {}
    )


def test_a_storm_is_over_the_management_api_only(serve, crowd):
    client = serve(crowd, faults=["429-storm", "429-bare"])
    assert all(client.token().is_success for _ in range(30))


def test_the_same_seed_makes_the_same_faults_and_another_one_others(serve, crowd):
    faults = ["429-storm", "503-flaky", "reset"]
    runs = [_statuses(serve(crowd, faults=faults, fault_seed=seed), 60) for seed in (1, 1, 2)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_a_search_that_matches_too_many_times_out_until_it_is_split(serve, crowd):
    client = serve(crowd, faults=["503-slow"])
    for _ in range(3):
        answer = client.users()
        assert answer.status_code == 503
        assert answer.json() == {
            "statusCode": 503,
            "error": "Service Unavailable",
            "message": TIMEOUT,
        }
    assert len(_ids(client, q=NARROW)) == 100
    assert client.get("/api/v2/users/auth0%7C000001").is_success


def test_a_block_that_cannot_be_split_does_not_time_out(serve, person):
    same = "2024-01-01T00:00:00.000Z"
    block = [person(number, created_at=same) for number in range(450)]
    dateless = [person(number, created_at=None) for number in range(1000, 1450)]
    client = serve([*block, *dateless], faults=["503-slow"])
    assert client.users().status_code == 503
    assert client.users(q=f"created_at:[{same} TO {same}]").status_code == 200
    assert client.users(q="NOT _exists_:created_at").status_code == 200


def test_gateways_fail_now_and_then_whatever_is_asked(serve, crowd):
    client = serve(crowd, faults=["503-flaky"])
    answers = [client.users(per_page=1) for _ in range(60)]
    answers += [client.token() for _ in range(60)]
    failed = [answer for answer in answers if not answer.is_success]
    assert {answer.status_code for answer in failed} == {502, 503}
    assert any(answer.headers["content-type"].startswith("text/html") for answer in failed)
    assert any(not answer.is_success for answer in answers[60:])
    assert _longest_run([answer.status_code for answer in answers], {502, 503}) <= 2
    assert set(_statuses(client, 500)[-20:]) == {200}


@pytest.mark.parametrize("tls", [False, True])
def test_connections_are_lost_before_and_within_answers(serve, crowd, caplog, tls):
    client = serve(crowd, faults=["reset"], tls=tls)
    errors = set()
    for _ in range(400):
        try:
            client.users(per_page=1)
        except httpx.TransportError as error:
            errors.add(str(error).partition("(")[0])
    assert any("without sending complete message body" in error for error in errors)
    assert len(errors) > 1
    assert set(_statuses(client, 20)) == {200}
    # Nothing of it is a mistake of the server's.
    assert "callable" not in caplog.text


def test_a_write_can_succeed_although_its_answer_is_lost(serve, crowd):
    client = serve(crowd, faults=["reset"], fault_seed=3)
    lost = set()
    for number in range(200):
        try:
            client.patch(f"/api/v2/users/auth0%7C{number:06}", json={"name": "new"})
        except httpx.TransportError:
            lost.add(f"auth0|{number:06}")
    changed = {user["user_id"] for user in client.sandbox.users() if user["name"] == "new"}
    assert lost & changed
    assert lost - changed


def test_slow_answers_are_slow_but_not_for_long(serve, crowd):
    client = serve(crowd, faults=["slow"])
    times = []
    for _ in range(20):
        start = time.monotonic()
        client.users(per_page=1)
        times.append(time.monotonic() - start)
    assert sum(taken > 0.05 for taken in times) >= 2
    assert min(times) < 0.05


def test_searches_lag_behind_writes_that_reads_see_at_once(serve, crowd, hands):
    client = serve(crowd, faults=["lag"], monotonic=hands)
    sandbox = client.sandbox

    def read(user_id):
        return client.get(f"/api/v2/users/{user_id}")

    def named(name):
        return client.ids(f'name:"{name}"')

    client.patch("/api/v2/users/auth0%7C000001", json={"name": "first"})
    client.patch("/api/v2/users/auth0%7C000001", json={"name": "second"})
    sandbox.create({"user_id": "auth0|new", "name": "new", "email": "new@example.com"})
    sandbox.delete("auth0|000002")
    assert read("auth0%7C000001").json()["name"] == "second"
    assert read("auth0%7Cnew").status_code == 200
    assert read("auth0%7C000002").status_code == 404
    by_email = client.get("/api/v2/users-by-email", params={"email": "NEW@example.com"}).json()
    assert [user["user_id"] for user in by_email] == ["auth0|new"]
    assert sandbox.user_count == 500
    assert {user["user_id"] for user in sandbox.users()} >= {"auth0|new", "auth0|000001"}
    assert named("Person 1") == {"auth0|000001"}
    assert named("Person 2") == {"auth0|000002"}
    assert named("new") == set()
    hands.now += 2
    assert named("Person 1") == named("first") == named("Person 2") == set()
    assert named("second") == {"auth0|000001"}
    assert named("new") == {"auth0|new"}
    assert sandbox.user_count == len(list(sandbox.users())) == 500
    assert json.loads(sandbox._store.user("auth0|000001"))["name"] == "second"


def test_a_total_can_go_past_1000(serve, person):
    people = [person(number) for number in range(1500)]
    for faults, total in (((), 1000), (("uncapped-total",), 1500)):
        client = serve(people, faults=faults)
        assert client.users(include_totals="true").json()["total"] == total


def test_equals_come_in_another_order_on_each_page_and_the_rest_does_not(serve, person):
    same = "2024-01-01T00:00:00.000Z"
    client = serve(
        [person(number, created_at=same) for number in range(60)] + [person(10**6)],
        faults=["shuffled-ties"],
    )
    pages = [_ids(client, sort="created_at:1") for _ in range(3)]
    assert pages[0] != pages[1] != pages[2]
    assert len({frozenset(page) for page in pages}) == 1
    assert {page[-1] for page in pages} == {"auth0|1000000"}


def test_people_come_log_in_and_leave_while_the_tenant_is_read(serve, crowd):
    client = serve(crowd, faults=["churn"])
    before = {user["user_id"]: user for user in client.sandbox.users()}
    for _ in range(10):
        client.users()
    assert [len(ids) for ids in vars(client.sandbox.churned).values()] == [10, 10, 10]
    for _ in range(60):
        client.users()
    churned = client.sandbox.churned
    after = {user["user_id"]: user for user in client.sandbox.users()}
    assert [len(ids) for ids in vars(churned).values()] == [40, 40, 40]
    assert after.keys() - before.keys() == set(churned.created)
    assert before.keys() - after.keys() == set(churned.deleted)
    moved = {one for one in before.keys() & after.keys() if before[one] != after[one]}
    assert moved == set(churned.changed)
    one = after[churned.changed[0]]
    assert one["updated_at"] == one["last_login"] > before[one["user_id"]]["updated_at"]
    assert one["created_at"] == before[one["user_id"]]["created_at"]


def test_the_same_people_come_and_leave_in_each_run_with_any_number_of_threads(serve, crowd):
    found = []
    for threads in (1, 6):
        client = serve(crowd, faults=["churn"])
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda _, client=client: client.users(), range(50)))
        found.append(client.sandbox.churned)
    assert found[0] == found[1]


def test_a_small_tenant_survives_the_churn(serve, person):
    client = serve([person(1), {"name": "nobody"}], faults=["churn"])
    for _ in range(60):
        assert client.users().is_success
    churned = client.sandbox.churned
    assert (len(churned.created), len(churned.changed), len(churned.deleted)) == (40, 1, 0)
    empty = serve([], faults=["churn"])
    assert empty.users().is_success


def test_short_tokens_expire_after_20_seconds_or_less(serve, crowd, hands):
    client = serve(crowd, faults=["short-tokens"], clock=hands)
    assert client.token().json()["expires_in"] == 20
    hands.now += 20
    assert client.users().status_code == 401
    client.sign_in()
    assert client.users().is_success
    assert serve([], faults=["short-tokens"], token_lifetime=2).token().json()["expires_in"] == 2


def test_a_job_can_fail(serve, crowd):
    client = serve(crowd, faults=["job-fails"])
    job = client.export()
    errors = f"/api/v2/jobs/{job['id']}/errors"
    assert client.get(errors).status_code == 204
    failed = client.finish(job)
    assert failed["status"] == "failed"
    assert "location" not in failed
    assert client.get(errors).json() == [
        {"errors": [{"code": "EXPORT_FAILED", "message": failed["status_details"]}]}
    ]


def test_the_first_links_have_expired_and_the_next_one_is_good(serve, crowd):
    client = serve(crowd, faults=["job-expires"])
    job = client.export()
    client.finish(job)
    statuses = [client.fetch(client.poll(job)["location"]).status_code for _ in range(3)]
    assert statuses == [403, 200, 200]


def test_a_job_stands_still_for_a_while_and_then_goes_on(serve, crowd):
    client = serve(crowd, faults=["job-stalls"])
    job = client.export()
    assert client.poll(job)["status"] == "pending"
    while client.sandbox._jobs._jobs[job["id"]].status != "completed":
        time.sleep(0.01)
    polls = [client.poll(job) for _ in range(7)]
    assert [poll["status"] for poll in polls] == ["processing"] * 6 + ["completed"]
    assert {poll["percentage_done"] for poll in polls[:6]} == {50}


def _rows(answer):
    """How many whole lines a download has, or None where its gzip ends early."""
    try:
        return gzip.decompress(answer.content).count(b"\n")
    except (EOFError, zlib.error):
        return None


@pytest.mark.parametrize(
    ("fault", "rows"),
    [("job-truncated", [None, 500, 500]), ("job-truncated-always", [None, None, None])],
)
def test_a_download_can_end_early(serve, crowd, fault, rows):
    client = serve(crowd, faults=[fault])
    location = client.finish(client.export())["location"]
    answers = [client.fetch(location) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {200}
    assert list(map(_rows, answers)) == rows


def test_a_patient_client_gets_every_user_through_all_faults_that_end(serve, crowd):
    faults = FAULTS.keys() - {"503-slow", "lag", "churn", "job-fails", "job-truncated-always"}
    client = serve(crowd, faults=faults)
    seen = set()
    for page in range(5):
        seen.update(_ids(client, page=page, sort="user_id:1"))
    assert len(seen) == 500
    job = client.patiently(lambda: client.post("/api/v2/jobs/users-exports", json={})).json()
    for _ in range(100):
        done = client.patiently(lambda: client.get(f"/api/v2/jobs/{job['id']}")).json()
        if done["status"] != "completed":
            continue
        download = client.patiently(lambda link=done["location"]: client.fetch(link))
        if download.is_success and _rows(download) == 501:
            return
    raise AssertionError(done)
