import csv
import gzip
import io
import json
import re
from pathlib import Path

import pytest

from toolkit.sandbox.api.gate import Limits

EXPORTS = "/api/v2/jobs/users-exports"


@pytest.fixture
def client(serve, person, identity, hands):
    return serve(
        [
            *(person(number) for number in range(3)),
            person(
                900,
                user_id="google-oauth2|1",
                identities=identity("google-oauth2"),
                user_metadata={"picture": 'https://example.com/"x".png', "other": {"a": [1]}},
                logins_count=7,
                email_verified=True,
                nickname=None,
            ),
        ],
        clock=hands,
    )


def _lines(client, **asked):
    """Export users as NDJSON and return the objects."""
    location = client.finish(client.export(**asked))["location"]
    text = gzip.decompress(client.fetch(location).content).decode()
    return [json.loads(line) for line in text.splitlines()]


def _table(client, *names):
    fields = [{"name": name} for name in names]
    location = client.finish(client.export(format="csv", fields=fields))["location"]
    return gzip.decompress(client.fetch(location).content).decode()


def test_a_new_job_looks_as_recorded(client):
    connection = next(
        item
        for item in client.get("/api/v2/connections").json()
        if item["name"] == "Username-Password-Authentication"
    )
    fields = [{"name": "email"}, {"name": "identities[0].connection", "export_as": "provider"}]
    job = client.export(connection_id=connection["id"], limit=5, fields=fields)
    assert re.fullmatch("job_[A-Za-z0-9]{16}", job["id"])
    assert list(job.items()) == [
        ("type", "users_export"),
        ("status", "pending"),
        ("connection_id", connection["id"]),
        ("format", "json"),
        ("limit", 5),
        ("fields", fields),
        ("connection", "Username-Password-Authentication"),
        ("created_at", "2027-01-15T08:00:00.250Z"),
        ("id", job["id"]),
    ]


def test_a_job_polled_at_once_looks_as_recorded(client):
    answer = client.post(EXPORTS)
    assert answer.status_code == 200
    job = answer.json()
    assert job == {
        "type": "users_export",
        "status": "pending",
        "format": "csv",
        "created_at": "2027-01-15T08:00:00.250Z",
        "id": job["id"],
    }
    assert client.poll(job) == job


def test_a_job_goes_from_pending_through_processing_to_completed(client):
    job = client.export()
    assert client.poll(job)["status"] == "pending"
    processing = client.poll(job)
    assert processing["status"] == "processing"
    assert 0 <= processing["percentage_done"] < 100
    assert processing["time_left_seconds"] >= 0
    assert "location" not in processing
    completed = client.finish(job)
    assert completed["status"] == "completed"
    assert completed["percentage_done"] == 100
    assert completed["time_left_seconds"] == 0


def test_ndjson_has_one_user_a_line_with_the_asked_fields_that_are_there(client):
    names = ("user_id", "nickname", "user_metadata.picture", "logins_count", "identities")
    fields = [{"name": name} for name in names]
    fields.append({"name": "identities[0].connection", "export_as": "connection"})
    fields.append({"name": "identities[1].connection", "export_as": "second"})
    lines = _lines(client, fields=fields)
    assert lines[1] == {
        "user_id": "auth0|000001",
        "identities": [
            {
                "connection": "Username-Password-Authentication",
                "provider": "auth0",
                "user_id": "000001",
                "isSocial": False,
            }
        ],
        "connection": "Username-Password-Authentication",
    }
    assert lines[3] == {
        "user_id": "google-oauth2|1",
        "nickname": None,
        "user_metadata.picture": 'https://example.com/"x".png',
        "logins_count": 7,
        "identities": [
            {"connection": "google-oauth2", "provider": "google-oauth2", "user_id": "1"}
        ],
        "connection": "google-oauth2",
    }


def test_metadata_as_a_whole_can_be_exported_to_ndjson(client):
    assert _lines(client, fields=[{"name": "user_metadata"}])[3] == {
        "user_metadata": {"picture": 'https://example.com/"x".png', "other": {"a": [1]}}
    }


def test_a_connection_and_a_limit_choose_the_users(client):
    ids = {item["name"]: item["id"] for item in client.get("/api/v2/connections").json()}
    assert _lines(client, connection_id=ids["google-oauth2"]) == [{"user_id": "google-oauth2|1"}]
    assert len(_lines(client, connection_id=ids["Username-Password-Authentication"])) == 3
    assert len(_lines(client, limit=2)) == 2
    assert len(_lines(client)) == 4


def test_a_csv_protects_spreadsheets_from_what_users_typed(client):
    text = _table(client, "user_id", "user_metadata.picture", "logins_count", "email_verified")
    assert text.splitlines() == [
        '"user_id","user_metadata.picture","logins_count","email_verified"',
        '"\'auth0|000000",,,',
        '"\'auth0|000001",,,',
        '"\'auth0|000002",,,',
        '"\'google-oauth2|1","\'https://example.com/""x"".png",7,true',
    ]


def test_of_texts_in_a_csv_only_auth0s_own_times_have_no_quote_before_them(client):
    row = _table(client, "created_at", "updated_at", "name").splitlines()[1]
    assert row == '"2024-01-01T00:00:00.000Z","2024-01-01T00:00:00.000Z","\'Person 0"'


def test_what_is_no_text_stands_in_a_csv_as_json(client):
    rows = list(csv.DictReader(io.StringIO(_table(client, "identities"))))
    assert json.loads(rows[3]["identities"].removeprefix("'"))[0]["provider"] == "google-oauth2"


def test_text_that_is_no_unicode_can_be_exported(serve, person):
    client = serve([person(1, name="a\ud800b\nc")])
    assert _lines(client, fields=[{"name": "name"}]) == [{"name": "a\ud800b\nc"}]
    assert _table(client, "name").endswith('"\'a?b\nc"\n')


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "[]",
        '{"unknown":1}',
        '{"format":"xml"}',
        '{"format":null}',
        '{"limit":0}',
        '{"limit":true}',
        '{"limit":"5"}',
        '{"fields":{}}',
        '{"fields":["email"]}',
        '{"fields":[{}]}',
        '{"fields":[{"name":""}]}',
        '{"fields":[{"name":"email","export_as":null}]}',
        '{"fields":[{"name":"email","as":"e"}]}',
        json.dumps({"fields": [{"name": "n" * 101}]}),
        json.dumps({"format": "csv", "fields": [{"name": f"name{n}"} for n in range(31)]}),
        '{"format":"csv","fields":[{"name":"user_metadata"}]}',
        '{"fields":[{"name":"app_metadata"}]}',
        '{"connection_id":"nonsense"}',
        "[" * 99_999,
    ],
)
def test_a_body_that_makes_no_sense_starts_no_job(client, body):
    answer = client.post(EXPORTS, content=body)
    assert answer.status_code == 400
    assert answer.json()["error"] == "Bad Request"


def test_thirty_one_fields_are_fine_for_json(client):
    client.export(fields=[{"name": f"user_metadata.{n}"} for n in range(31)])


def test_a_connection_that_does_not_exist_is_refused_in_auth0s_words(client):
    answer = client.post(EXPORTS, json={"connection_id": "con_0123456789abcdef"})
    assert answer.status_code == 400
    assert answer.json()["message"] == "The connection does not exist."


def test_jobs_need_a_scope(serve, person):
    reader = serve([person(1)], scopes="read:connections create:users")
    answer = reader.post(EXPORTS, json={})
    assert answer.status_code == 403
    assert answer.json()["message"] == "Insufficient scope, expected any of: read:users"
    # Reading a job is open to those who may create users as well.
    assert reader.get("/api/v2/jobs/job_0123456789abcdef").status_code == 404


def test_a_job_that_does_not_exist_is_not_found(client):
    for path in ("job_0123456789abcdef", "x", "job_0123456789abcdef/errors"):
        answer = client.get(f"/api/v2/jobs/{path}")
        assert (answer.status_code, answer.json()["error"]) == (404, "Not Found")


def test_a_job_without_errors_says_nothing(client):
    job = client.export()
    client.finish(job)
    answer = client.get(f"/api/v2/jobs/{job['id']}/errors")
    assert (answer.status_code, answer.content) == (204, b"")


def test_a_link_is_good_for_a_minute_and_a_new_poll_gives_a_new_one(client, hands):
    job = client.export()
    location = client.finish(job)["location"]
    assert re.search(
        rf"/exports/{job['id']}/sandbox\.json\.gz\?Expires=\d+&Key-Pair-Id=\w+&Signature=[\w-]+$",
        location,
    )
    hands.now += 59
    assert client.fetch(location).status_code == 200
    hands.now += 1
    late = client.fetch(location)
    assert late.status_code == 403
    assert late.headers["content-type"].startswith("application/xml")
    assert "<Code>AccessDenied</Code>" in late.text
    again = client.poll(job)["location"]
    assert again != location
    assert client.fetch(again).status_code == 200


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Expires=1", "Expires=2"),
        ("Expires=1", "Expires=x"),
        ("Signature=", "Signature=x"),
        ("Signature=", "Sig="),
        ("sandbox.json.gz", "other.json.gz"),
        ("/job_", "/job_x"),
    ],
)
def test_a_link_that_was_changed_opens_nothing(client, old, new):
    location = client.finish(client.export())["location"]
    assert old in location
    assert client.fetch(location.replace(old, new, 1)).status_code == 403


def test_a_token_sent_to_the_download_is_noticed(client):
    location = client.finish(client.export())["location"]
    assert client.sandbox.leaks == 0
    leaking = client.get(location)
    assert leaking.status_code == 400
    assert client.sandbox.leaks == 1


def test_the_content_is_a_gzip_and_not_an_encoding_of_something_else(client):
    answer = client.fetch(client.finish(client.export())["location"])
    assert "content-encoding" not in answer.headers
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert answer.content.startswith(b"\x1f\x8b")


def test_a_job_is_gone_after_a_day_and_its_file_too(client, hands):
    job = client.export()
    location = client.finish(job)["location"]
    folder = client.sandbox._jobs._folder.name
    hands.now += 86_399
    location = client.poll(job)["location"]
    hands.now += 1
    client.sign_in()
    assert client.get(f"/api/v2/jobs/{job['id']}").status_code == 404
    assert client.fetch(location).status_code == 403
    assert not list(Path(folder).iterdir())


def test_an_export_has_the_users_as_of_its_completion(client):
    client.sandbox.create({"user_id": "auth0|early"})
    client.sandbox.delete("auth0|000000")
    job = client.export()
    location = client.finish(job)["location"]
    client.sandbox.create({"user_id": "auth0|late"})
    text = gzip.decompress(client.fetch(location).content).decode()
    assert "auth0|early" in text
    assert "auth0|000000" not in text
    assert "auth0|late" not in text


def test_an_empty_tenant_is_an_empty_file(serve):
    assert _lines(serve([])) == []


def test_20000_users_are_all_exported(serve, person):
    client = serve(person(number) for number in range(20_000))
    assert [line["user_id"] for line in _lines(client)] == [f"auth0|{n:06}" for n in range(20_000)]


def test_jobs_count_against_all_other_endpoints(hands):
    limits = Limits("essentials", clock=hands, monotonic=hands)
    for asked in (("POST", EXPORTS), ("GET", "/api/v2/jobs/job_0123456789abcdef")):
        assert limits.take(*asked)["x-ratelimit-limit"] == "10"


def test_a_job_that_breaks_has_failed_and_says_so_in_the_log(client, caplog):
    client.sandbox._store.records = None
    assert client.finish(client.export())["status"] == "failed"
    assert "TypeError" in caplog.text


def test_stopping_in_the_middle_of_an_export_leaves_nothing_behind(serve, person):
    client = serve(person(number) for number in range(20_000))
    client.export()
    folder = Path(client.sandbox._jobs._folder.name)
    client.sandbox.stop()
    assert not folder.exists()
