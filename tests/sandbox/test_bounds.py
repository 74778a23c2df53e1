"""A sandbox that is left running keeps no more than it may, whatever it is asked."""

import threading
from pathlib import Path

import pytest

from toolkit.sandbox.api.action_drafts import Draft
from toolkit.sandbox.api.action_library import Action
from toolkit.sandbox.directory import store
from toolkit.sandbox.directory.fields import facets

USER = "/api/v2/users/auth0%7C000001"
POST_LOGIN = [{"id": "post-login", "version": "v3"}]


@pytest.fixture
def client(serve, person):
    return serve([person(1)])


def test_methods_that_nobody_knows_are_counted_as_one(client):
    for number in range(50):
        client.request(f"X{number}", "/avatars/ab.png")
    counts = client.sandbox.requests.counts
    assert sum(counts.values()) == 51
    assert [key for key in counts if key[0] == "(other)"] == [("(other)", "/avatars/{name}", 405)]
    assert len(counts) == 2


def test_only_the_last_sixteen_exports_are_kept_with_their_files(serve, person):
    client = serve([person(1)], faults=["job-truncated-always"])
    jobs = []
    for _ in range(20):
        jobs.append(client.finish(client.export()))
        client.fetch(jobs[-1]["location"])
    kept = client.sandbox._jobs
    assert list(kept._jobs) == [job["id"] for job in jobs[-16:]]
    files = {file.name for file in Path(kept._folder.name).iterdir()}
    assert files == {f"{job['id']}{half}" for job in jobs[-16:] for half in ("", ".half")}
    assert client.get(f"/api/v2/jobs/{jobs[0]['id']}").status_code == 404


def test_exports_that_nobody_asks_for_are_forgotten_too(client):
    for _ in range(20):
        client.export()
        for thread in client.sandbox._jobs._threads:
            thread.join()
    assert len(client.sandbox._jobs._jobs) == 16


def test_four_exports_are_written_at_a_time(client):
    writing = client.sandbox._jobs._threads
    writing.extend([threading.current_thread()] * 4)
    answer = client.post("/api/v2/jobs/users-exports", json={})
    client.sandbox._jobs._threads.clear()
    assert (answer.status_code, answer.json()["errorCode"]) == (429, "too_many_requests")
    assert client.post("/api/v2/jobs/users-exports", json={}).status_code == 200


def test_a_user_grows_to_a_megabyte_and_no_further(client):
    text = "x" * 300_000
    answers = [client.patch(USER, json={"user_metadata": {f"k{n}": text}}) for n in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 400, 400]
    assert "too large" in answers[-1].json()["message"]
    assert client.patch(USER, json={"user_metadata": {"k0": None}}).status_code == 200
    assert client.patch(USER, json={"user_metadata": {"k4": text}}).status_code == 200


def test_somebody_loaded_too_large_can_shrink_but_not_grow(serve, person):
    loaded = {"old": "x" * 2_000_000, "other": "x" * 2_000_000}
    client = serve([person(1, user_metadata=loaded)])
    assert client.patch(USER, json={"user_metadata": {"new": "x"}}).status_code == 400
    assert client.patch(USER, json={"user_metadata": {"other": None}}).status_code == 200
    assert client.patch(USER, json={"user_metadata": {"old": "x" * 500_000}}).status_code == 200


def test_what_is_searched_of_one_user_is_bounded_however_it_is_nested():
    value: object = dict.fromkeys(map(str, range(20_000)), "x")
    for _ in range(40):
        value = {"k" * 200: value}
    found = list(facets({"user_metadata": value}))
    assert 0 < sum(len(name) + len(text) for name, text in found) <= 1024 * 1024


def test_nesting_of_any_depth_is_stored_or_refused(client):
    for depth in (10, 100, 500, 900, 960, 980, 1000, 5000, 100_000):
        body = '{"user_metadata": ' + '{"a": ' * depth + "1" + "}" * depth + "}"
        answer = client.patch(USER, content=body)
        assert answer.status_code in (200, 400), depth
        assert client.get(USER, params={"fields": "user_metadata"}).status_code == 200
        assert client.users(q="user_metadata.a:1", fields="user_id").status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        "name:xx*x*z",
        " OR ".join(["name:*xxxxxxxxxxxxxxxy*z"] * 20),
        " OR ".join(["(NOT user_metadata.a:x)"] * 150),
    ],
)
def test_a_search_that_takes_too_long_ends(serve_once, person, monkeypatch, query):
    client = serve_once([person(n, name="x" * 4000) for n in range(20)])
    assert client.users(q=query, per_page=1).status_code == 200
    monkeypatch.setattr(store, "_PATIENCE", 0.0)
    monkeypatch.setattr(store, "_STEPS", 1)
    answer = client.users(q=query)
    assert answer.status_code == 503
    assert "timeout" in answer.json()["message"]
    assert client.get(USER).status_code == 200
    monkeypatch.undo()
    assert client.users(q="name:a*").status_code == 200


def test_an_index_that_lags_forgets_writes_once_they_are_settled(serve, person, hands):
    client = serve([person(1)], faults=["lag"], clock=hands, monotonic=hands)
    for number in range(20):
        hands.now += 1
        assert client.patch(USER, json={"name": f"{number}"}).status_code == 200
    assert len(client.sandbox._store._late) <= 3


def test_the_versions_of_an_action_are_no_more_than_a_megabyte():
    action = Action.of(Draft("one"), 0)
    for number in range(40):
        action.deploy(Draft("one", code="x" * 100_000), number)
    assert [version.number for version in action.versions] == list(range(31, 41))


@pytest.mark.parametrize(
    "change",
    [
        {"name": "x" * 256},
        {"code": "x" * 100_001},
        {"dependencies": [{"name": "x" * 256, "version": "1"}]},
        {"secrets": [{"name": "x" * 129, "value": "x"}]},
    ],
)
def test_an_action_has_no_text_without_end(client, change):
    body = {"name": "one", "code": "", "supported_triggers": POST_LOGIN, **change}
    assert client.post("/api/v2/actions/actions", json=body).status_code == 400


def test_an_export_has_no_fields_without_end(client):
    fields = [{"name": "user_id", "export_as": f"{number}"} for number in range(501)]
    body = {"format": "json", "fields": fields}
    assert client.post("/api/v2/jobs/users-exports", json=body).status_code == 400
    body["fields"].pop()
    assert client.post("/api/v2/jobs/users-exports", json=body).status_code == 200


def test_every_kind_of_request_ten_times_leaves_as_many_items_as_once(client):
    def everything():
        action = {"name": "one", "code": "", "supported_triggers": POST_LOGIN}
        made = client.post("/api/v2/actions/actions", json=action).json()["id"]
        client.delete(f"/api/v2/actions/actions/{made}")
        client.patch(USER, json={"user_metadata": {"a": "b"}})
        for path in ("/avatars/ab.png", "/hosts/https%3A%2F%2Fa.example%2Fb.png", "/none", USER):
            client.get(path)
        client.users(q="name:p*", include_totals="true")
        client.token()

    everything()
    before = kept(client.sandbox)
    for _ in range(10):
        everything()
    assert kept(client.sandbox) == before


def kept(sandbox):
    """Count what a sandbox holds."""
    tables = {
        table: sandbox._store._rows(f"SELECT count(*) FROM {table}")[0][0]
        for table in ("users", "bodies", "facets", "gravatars")
    }
    library = sandbox._library
    return tables | {
        "actions": len(library.actions()),
        "bindings": sum(map(len, library._bindings.values())),
        "jobs": len(sandbox._jobs._jobs),
        "threads": len(sandbox._jobs._threads),
        "counts": len(sandbox.requests.counts),
        "rules": len(sandbox._rules._rules),
    }
