"""A recording can be sent to others: nobody and no tenant is in it."""

import json

import jwt
import pytest

from tests.sandbox.conftest import identity, person
from tests.test_secrets import forms
from toolkit import conform
from toolkit.sandbox.api import tokens
from toolkit.sandbox.conformance.recording import Mask

CANARY = "kanarienvogel-7f3a"
TOKEN = jwt.encode({"scope": "read:users", "sub": CANARY}, "k" * 32, "HS256")
ECHO = (
    f"{CANARY}@acme-people.example of acme-{CANARY}.eu.auth0.com, "
    f"login.acme-people.example:8443 (con_A1b2C3d4E5f6G7h8, auth0|65f0c0ffee0123456789abcd, "
    f"google-oauth2|104857600123) {TOKEN} "
    f"2026-12-01T01:02:03.456Z 0123456789abcdef0123456789abcdef"
)


IDS = ["65f0c0ffee0123456789abcd", "A1b2C3d4E5f6G7h8", "104857600123", "acme"]


def echo(asked):
    """Repeat to the client what it should not pass on, in every place that an answer has."""
    more = {"app_metadata": {f"{CANARY}_plan": CANARY}, CANARY: [CANARY, 104857600123]}
    if asked.is_("POST", "users"):
        asked.say(201, asked.answer | more | {"last_ip": "203.0.113.77"})
    elif asked.is_("PATCH", "users/", picture=None):
        asked.say(400, {"statusCode": 400, "message": ECHO, "errorCode": CANARY, "error": ECHO})
    elif asked.is_("GET", "users") and "sort" in asked.query:
        users = [one | more | {"email": ECHO} for one in asked.answer["users"]]
        asked.say(200, asked.answer | {"users": users})
    elif asked.is_("GET", "rules"):
        asked.say(200, [{"id": "rul_1", "name": CANARY, "script": f"// {CANARY}"}])
    elif asked.is_("GET", "connections/"):
        asked.status, asked.data = 502, f"<html>{ECHO}</html>".encode()


def test_nothing_of_the_tenant_or_of_people_is_in_a_recording(scratch, monkeypatch, tmp_path):
    secrets, issue = [CANARY, TOKEN, "203.0.113.77", *IDS], tokens.Tokens._issue

    def issued(self, *about):
        answer = issue(self, *about)
        secrets.append(answer["access_token"].rpartition(".")[2])
        return answer

    def noted(asked):
        if "password" in asked.body:
            secrets.extend([asked.body["password"], asked.body["user_id"][22:34]])
        return True

    monkeypatch.setattr(tokens.Tokens, "_issue", issued)
    connection = f"staff-{CANARY}"
    users = [
        person(
            number,
            email=f"{CANARY}{number}@acme.example",
            name=CANARY,
            user_metadata={CANARY: CANARY},
            identities=identity("auth0", connection),
        )
        for number in range(5)
    ]
    tenant = scratch(
        users, deviations=[echo], before=noted, client_secret=f"secret-{CANARY}/+", client_id=CANARY
    )
    secrets += [tenant.domain, f"secret-{CANARY}/+", connection]
    found = conform(tenant, agreed=True, out=tmp_path / "sent.ndjson")
    told = (tmp_path / "sent.ndjson").read_bytes() + json.dumps(found.as_dict()).encode()
    assert len(secrets) > 25
    for secret in secrets:
        for form in forms(secret):
            # Of a short text there is no middle that is the same wherever it stands in base64.
            assert len(form) < 4 or form.lower() not in told.lower(), form


def test_a_recording_tells_what_was_asked_and_answered(scratch, tmp_path):
    conform(scratch(), agreed=True, out=tmp_path / "sent.ndjson")
    head, *rest = map(json.loads, (tmp_path / "sent.ndjson").read_text().splitlines())
    assert head["recording"] == "auth0-picture-audit conform"
    assert [one["fact"]["id"] for one in rest if "fact" in one][:1] == ["new-user-picture"]
    asked = [one for one in rest if "method" in one]
    assert {*asked[0]} == {*"method path query request status headers response".split()}
    made = next(one for one in asked if (one["request"] or {}).get("name") == "Anna Berta Clara")
    assert made["request"]["email"] == "picture-audit-conform-RUN-02@example.com"
    assert made["request"]["password"] == "<password>"
    assert made["status"] == 201
    assert "content-type" in made["headers"]
    assert made["response"]["picture"] == (
        "https://s.gravatar.com/avatar/<hash>?s=480&r=pg"
        "&d=https%3A%2F%2Fcdn.auth0.com%2Favatars%2Fab.png"
    )
    refused = next(one for one in asked if one["request"] == {"picture": None})
    assert refused["response"]["message"].startswith("The following user attributes cannot be rem")
    assert "(<connection>)" in refused["response"]["message"]
    assert (tmp_path / "sent.ndjson").stat().st_mode & 0o777 == 0o600


def test_a_second_recording_replaces_the_first(scratch, tmp_path):
    tenant = scratch()
    for _ in range(2):
        conform(tenant, agreed=True, out=tmp_path / "sent.ndjson")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["sent.ndjson"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Acme-Prod.eu.auth0.com said no", "<tenant> said no"),
        ("the tenant acme-prod", "the tenant <tenant>"),
        ("https://acme-prod.eu.auth0.com/api/v2/", "https://<tenant>/api/v2/"),
        ("login.acme.example:8443", "<host>"),
        ("anna.b+c@example.com", "<address>"),
        ("auth0|5f7c8ec7c33c6c004bbafe82 is gone", "<id> is gone"),
        ("samlp|acme|anna", "<id>"),
        ("con_A1b2C3d4E5f6G7h8", "<id>"),
        ("at 2026-12-01T01:02:03.456Z", "at <time>"),
        ("auth0|picture-audit-conform-0123456789ab-07", "auth0|picture-audit-conform-RUN-07"),
        ("picture-audit-conform-0123456789ab-07@acme.example", "<address>"),
        ("see https://auth0.com/docs/users", "see https://auth0.com/docs/users"),
        ("Insufficient scope, expected any of: read:users.", None),
        ("(Username-Password-Authentication)", "(<connection>)"),
    ],
)
def test_a_text_keeps_its_words_and_loses_its_names(text, shown):
    hidden = {"acme-prod.eu.auth0.com": "<tenant>", "acme-prod": "<tenant>"}
    hidden["Username-Password-Authentication"] = "<connection>"
    assert Mask("0123456789ab", hidden).text(text) == (text if shown is None else shown)


def test_of_an_answer_only_what_is_on_the_list_is_kept():
    mask = Mask("0123456789ab", {})
    answer = {
        "user_id": "auth0|1",
        "logins_count": 7,
        "secret_number": 7,
        "blocked": True,
        "identities": [{"user_id": number} for number in range(5)],
        "picture": "https://cdn.acme.example/anna.png",
        "created_at": "2026-12-01T01:02:03.456Z",
    }
    assert mask.answered(answer) == {
        "user_id": "<text>",
        "logins_count": 7,
        "<name 3>": "<number>",
        "blocked": True,
        "identities": [*[{"user_id": "<number>"}] * 3, "<2 more>"],
        "picture": "<another picture>",
        "created_at": "<time>",
    }
