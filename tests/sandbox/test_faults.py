import gzip
import json
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from toolkit.sandbox.api.jobs import Jobs
from toolkit.sandbox.faults.catalogue import FAULTS, HOPELESS, Faults
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


def test_an_export_can_have_no_end(serve, crowd):
    client = serve(crowd, faults=["endless-export"])
    location = client.finish(client.export())["location"]
    inflate, got = zlib.decompressobj(31), b""
    with client.stream("GET", location, headers={"authorization": ""}) as answer:
        assert answer.status_code == 400  # as always, where a token comes along
    with httpx.stream("GET", location) as answer:
        for chunk in answer.iter_raw():
            got += chunk
            if got.count(got[:100]) > 2:
                break
    assert inflate.decompress(got).count(b"\n") == 500
    assert inflate.unused_data[:100] == got[:100]


@pytest.mark.parametrize(
    ("fault", "begins"),
    [
        ("link-file", "file:///"),
        ("link-inside", "https://169.254."),
        ("link-elsewhere", "http://localhost:"),
    ],
)
def test_the_link_of_an_export_can_lead_anywhere(serve, crowd, fault, begins):
    client = serve(crowd, faults=[fault])
    location = client.finish(client.export())["location"]
    assert location.startswith(begins)
    if fault == "link-elsewhere":
        assert _rows(client.fetch(location)) == 500


def test_totals_and_pages_can_be_any_number(serve, crowd):
    client = serve(crowd, faults=["absurd-totals"])
    totals = {client.users(include_totals="true").json()["total"] for _ in range(40)}
    assert totals == {0, 250, 501, 1000, 10**12}
    client = serve(crowd, faults=["absurd-pages"])
    sizes = {len(client.users(per_page=10).json()) for _ in range(60)}
    assert min(sizes) < 5
    assert 15 < max(sizes) <= 20


def test_every_page_can_be_the_first(serve, crowd):
    pages = [_ids(serve(crowd, faults=["repeated-page"]), page=page) for page in range(3)]
    assert pages[0] == pages[1] == pages[2]


def test_the_order_that_is_asked_for_can_be_ignored_and_is_the_same_on_each_page(serve, crowd):
    client = serve(crowd, faults=["unsorted"])
    found = [one for page in range(5) for one in _ids(client, page=page, sort="user_id:1")]
    assert found != sorted(found)
    assert len(set(found)) == 500


def test_searches_can_show_times_that_cannot_be_and_reads_do_not(serve, crowd):
    client = serve(crowd, faults=["strange-times"])
    found = client.users(q=NARROW, per_page=100).json()
    assert len({str(user["created_at"]) for user in found if "2024-01-01" not in str(user)}) > 3
    one = client.get(f"/api/v2/users/{found[0]['user_id']}").json()
    assert one["created_at"].startswith("2024-01-01")


@pytest.mark.parametrize(
    ("fault", "statuses"),
    [("redirects", {301, 302, 307, 308}), ("portal", {200}), ("proxy-407", {407})],
)
def test_somebody_else_answers_for_a_while_whatever_is_asked(serve, crowd, fault, statuses):
    client = serve(crowd, faults=[fault])
    answers = [client.users(per_page=1) for _ in range(100)]
    answers += [client.token() for _ in range(100)]
    struck = ["application/json" not in one.headers.get("content-type", "") for one in answers]
    assert {one.status_code for one, hit in zip(answers, struck, strict=True) if hit} <= statuses
    assert 2 <= _longest_run(struck, {True}) <= 4
    assert sum(struck) == 8
    assert client.sandbox.leaks == 0


def test_who_follows_a_redirect_with_a_secret_is_counted(serve, crowd):
    client = serve(crowd, faults=["redirects"])
    struck = (client.users() for _ in range(100))
    places = [one.headers["location"] for one in struck if one.is_redirect]
    assert all(place.startswith("http://localhost:") for place in places)
    assert httpx.get(places[0]).status_code == 404
    assert client.sandbox.leaks == 0
    client.get(places[0])
    client.post(places[0], data={"client_secret": "secret"})
    assert client.sandbox.leaks == 2


def test_rate_limits_can_be_of_the_year_3000(serve, crowd):
    client = serve(crowd, faults=["reset-3000"])
    answers = [client.users(per_page=1) for _ in range(60)]
    assert {one.status_code for one in answers} == {200, 429}
    assert {one.headers["x-ratelimit-reset"] for one in answers} == {"32503680001"}


def test_an_action_cannot_be_bound_right_after_its_first_deployment(serve, hands):
    client = serve([], faults=["bind-lag"], clock=hands, actions=[{"name": "old", "code": ""}])
    bindings, actions = "/api/v2/actions/triggers/post-login/bindings", "/api/v2/actions/actions"
    made = client.post(
        actions,
        json={
            "name": "new",
            "code": "",
            "supported_triggers": [{"id": "post-login", "version": "v3"}],
        },
    ).json()
    hands.now += 10
    assert client.post(f"{actions}/{made['id']}/deploy").is_success
    hands.now += 4.5
    assert "deployed_version" in client.get(f"{actions}/{made['id']}").json()
    names = [{"ref": {"type": "action_name", "value": name}} for name in ("old", "new")]
    refusal = client.patch(bindings, json={"bindings": names})
    assert refusal.status_code == 400
    assert "has not been deployed yet" in refusal.json()["message"]
    assert client.patch(bindings, json={"bindings": names[:1]}).is_success
    hands.now += 1
    assert client.patch(bindings, json={"bindings": names}).is_success


def test_a_profile_cannot_grow_past_10_kilobytes(serve, person):
    client = serve([person(1), person(2, nickname="x" * 11_000)], faults=["profile-limit"])
    path = "/api/v2/users/auth0%7C00000"
    long = {"user_metadata": {"about": "x" * 10_240}}
    assert client.patch(f"{path}1", json=long).status_code == 400
    assert client.patch(f"{path}1", json={"user_metadata": {"about": "x" * 9_000}}).is_success
    assert client.patch(f"{path}2", json={"user_metadata": {"about": "x"}}).status_code == 400
    assert client.patch(f"{path}2", json={"nickname": "short"}).is_success


def test_a_strict_tenant_refuses_what_nobody_knows(serve, crowd, monkeypatch):
    is_over = threading.Event()
    monkeypatch.setattr(Jobs, "_write", lambda *_: is_over.wait())
    triggers = [{"id": "post-login", "version": "v3"}]
    asked = {"name": "mine", "code": "", "supported_triggers": triggers}
    for faults, export, action in (((), 200, 201), (("strict",), 429, 409)):
        client = serve(crowd, faults=faults, actions=[{"name": "mine", "code": ""}])
        assert client.post("/api/v2/actions/actions", json=asked).status_code == action
        codes = [client.post("/api/v2/jobs/users-exports", json={}).status_code for _ in "ab"]
        assert codes == [200, export]
    is_over.set()


def test_a_patient_client_gets_every_user_through_all_faults_that_end(serve, crowd):
    untrue = {"repeated-page", "unsorted", "portal", "redirects", "proxy-407"}
    faults = FAULTS.keys() - {"503-slow", "lag", "churn", *HOPELESS["export"], *untrue}
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
