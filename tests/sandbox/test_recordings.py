import re

import pytest

from tests.sandbox.recorded import Recorded, compared, read
from tests.sandbox.replay import HERE, measured, replayed, total


@pytest.fixture(scope="module")
def rows():
    return replayed(read(HERE))


def test_the_sandbox_answers_recorded_requests_as_auth0_did(rows):
    result = measured(rows)
    numbers = total(result["endpoints"])
    assert numbers["replayed"] > 300
    assert numbers["same status"] >= 0.995 * numbers["replayed"], result["left"]
    assert numbers["nothing wrong"] >= 0.99 * numbers["replayed"], result["left"]
    assert numbers["same shape"] >= 0.95 * numbers["replayed"], result["left"]
    assert numbers["same errors"] == numbers["errors"] > 5, result["left"]
    assert numbers["same headers"] == numbers["replayed"], result["left"]


def test_every_endpoint_that_has_been_recorded_is_among_them(rows):
    there = {row.one.endpoint for row in rows}
    assert {"users", "users/{id}", "jobs/users-exports", "connections/{id}", "oauth/token"} <= there
    assert {"actions/triggers/{trigger}/bindings", "rules/{id}", "users-by-email"} <= there


def test_the_recordings_hold_nobodys_address_and_no_secret():
    for path in HERE.glob("*.jsonl"):
        text = path.read_text("utf-8")
        assert set(re.findall(r"(?:@|%40)([\w-]+\.[\w.-]+)", text)) <= {
            f"example.{end}" for end in ("com", "net", "org")
        }
        assert not re.search(r"eyJ[\w-]{9}|BEGIN [A-Z]+|(?<!cdn)\.auth0\.com", text)
        assert set(
            re.findall(r'"(?:password|client_secret|access_token)\\?": \\?"(\w*)', text)
        ) <= {"masked"}


def _row(there, here, *, status=200, path="/api/v2/connections"):
    one = Recorded("x", "x", "GET", path, "", "", None, 200, there)
    return compared(one, status, here, {})


@pytest.mark.parametrize(
    ("there", "here", "told"),
    [
        ({"a": 1}, {"a": 2}, ""),
        ({"a": 1}, {"a": "1"}, ".a: number there, string here"),
        ({"a": 1}, {"a": None}, ".a: number there, null here"),
        ({"a": {"b": 1}}, {}, "only there: .a"),
        ([{"a": 1}], [{"a": 1, "b": {"c": 1}}], "only here: [].b"),
        ([], [{"a": 1}], ""),  # of an empty list nothing can be said
        ({"options": {"a": 1}}, {"options": {}}, ""),
        ({"enabled_clients": []}, {"authentication": {"active": True}}, ""),
        ({"authentication": {}}, {"authentication": {"x": 1}}, "only here: .authentication.x"),
        ({}, {"enabled_clients": []}, "only here: .enabled_clients"),
    ],
)
def test_what_differs_is_said(there, here, told):
    row = _row(there, here)
    assert row.told == told
    assert row.same_shape == (told == "")
    assert row.nothing_wrong == (not told or told.startswith("only there"))


def test_another_status_and_another_error_text_are_said():
    assert _row({}, {}, status=404).told == "200 there, 404 here"
    one = Recorded("x", "x", "GET", "/api/v2/rules/x", "", "", None, 404, {"message": "No"})
    assert compared(one, 404, {"message": "No."}, {}).told == "another error text"
    assert compared(one, 404, {"message": "No"}, {}).told == ""
