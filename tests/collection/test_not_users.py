import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from toolkit.classification.user_profile import user
from toolkit.collection.exports.field_names import FieldNames
from toolkit.collection.exports.not_users import refuse_if_no_users
from toolkit.errors import UnreadableInputError

KEPT = Path(__file__).parents[1] / "kept" / "2"
DATES = {"date": "2024-03-01T10:00:00.000Z", "type": "s"}
LOG = DATES | {"client_id": "c", "client_name": "n", "ip": "192.0.2.1", "user_id": "auth0|1"}
JOB = {"type": "users_export", "status": "pending", "created_at": "2024", "id": "job_1"}
KINDS = {
    "an error": (
        {"statusCode": 401, "error": "Unauthorized", "message": "secret", "attributes": {}},
        "an error of Auth0's API (keys `statusCode`, `error`, `message`)",
        "repeat it",
    ),
    "an error of the token endpoint": (
        {"error": "access_denied", "error_description": "secret"},
        "an error of Auth0's API",
        "repeat it",
    ),
    "an error as HTTP clients keep it": (
        {"status": 403, "body": {"statusCode": 403, "error": "Forbidden", "message": "secret"}},
        "an error of Auth0's API",
        "repeat it",
    ),
    "a token": (
        {"access_token": "secret", "expires_in": 86400, "token_type": "Bearer"},
        "an answer with an access token",
        "delete it",
    ),
    "a job": (JOB | {"connection_id": "con_1", "format": "csv"}, "the answer of a job", "location"),
    "an import's job": (
        JOB | {"type": "users_import", "summary": {}},
        "the answer of a job",
        "job",
    ),
    "errors of an import": (
        {"user": {"email": "secret", "user_id": "1"}, "errors": [{"code": "DUPLICATED_USER"}]},
        "error file of an import",
        "export the users",
    ),
    "password hashes": (
        {"_id": {"$oid": "5d"}, "email": "secret", "passwordHash": "$2b$10$", "connection": "db"},
        "password hashes (keys `_id`, `email`, `passwordHash`)",
        "no pictures",
    ),
    "logs": (LOG, "Auth0's log export (keys `date`, `type`", "export the users"),
    "logs of the API": (
        DATES | {"_id": "9", "log_id": "9", "user_id": "a|1"},
        "log export",
        "users",
    ),
    "a log stream": ({"log_id": "9", "data": LOG | {"log_id": "9"}}, "a log stream", "users"),
    "a client": ({"client_id": "c", "name": "n", "app_type": "spa"}, "a list of clients", "users"),
    "a connection": (
        {"id": "con_1", "name": "n", "strategy": "s"},
        "a list of connections",
        "users",
    ),
    "a role": ({"id": "rol_1", "name": "n", "description": "d"}, "a list of roles", "users"),
    "an organization": (
        {"id": "org_1", "name": "n", "display_name": "N", "branding": {"logo_url": "x"}},
        "a list of organizations",
        "users",
    ),
    "a page of connections": (
        {"start": 0, "limit": 50, "total": 1, "connections": [{"id": "con_1"}]},
        "a list of connections (keys `connections`)",
        "users",
    ),
    "pandas by column": (
        {"user_id": {"0": "auth0|1", "1": "b"}, "picture": {"0": "x", "1": "y"}},
        "column by column (keys `user_id`, `picture`)",
        'orient="records", lines=True',
    ),
    "a frame, row by row": (
        {"0": {"user_id": "auth0|1", "picture": "secret"}, "1": {"user_id": "", "picture": None}},
        "a DataFrame's to_json(orient='index')",
        'orient="records"',
    ),
    "pandas split": (
        {"columns": ["user_id"], "index": [0], "data": [["auth0|1"]]},
        "orient='split'",
        'orient="records", lines=True',
    ),
    "a plan": (pq.read_table(KEPT / "root.plan").to_pylist()[0], "a plan of this tool", "show"),
    "a journal": (
        json.loads((KEPT / "root.plan.journal").read_text().splitlines()[0]),
        "a journal of this tool",
        "show",
    ),
    "coverage": (
        {"tenant": "t", "taken_at": "2024", "complete": True, "users": 3, "sources": {}},
        "a report or coverage of this tool",
        "the export that it was made of",
    ),
    "a report": (
        {"provenance": {}, "users": 3, "sources": {}, "findings": []},
        "a report or coverage of this tool",
        "the export that it was made of",
    ),
}


def refused(*records):
    with pytest.raises(UnreadableInputError) as error:
        refuse_if_no_users(records, "users.json")
    message = str(error.value)
    assert message.startswith("users.json ")
    assert message.endswith(".")
    assert "secret" not in message
    assert len(message) < 400
    return message


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_another_kind_is_named_with_its_keys_and_what_to_do(kind):
    record, name, advice = KINDS[kind]
    for records in ([record], [record] * 3, [[record]]):
        message = refused(*records)
        assert name in message
        assert advice in message
    for found in FieldNames().users(record):
        assert user(found).user_id == ""


def test_keys_that_nobody_knows_are_named_and_how_to_say_which_one_is_the_id():
    message = refused({"customer": "secret", "avatar": "x"}, {"avatar": "y", "mail": "z"})
    assert "no user ids (keys `customer`, `avatar`, `mail`)" in message
    assert "--map user_id=COLUMN" in message
    message = refused({f"{number}" * 99: 1 for number in range(9)})
    assert "and 3 more" in message
    assert "empty objects" in refused({})


@pytest.mark.parametrize("records", [[], [[]], [{"users": [], "total": 0}]])
def test_an_empty_list_is_one(records):
    assert "an empty list" in refused(*records)


@pytest.mark.parametrize("text", ["<!DOCTYPE html><p>secret", "\ufeff\n <HTML>secret", "<?xml?>"])
def test_a_web_page_is_one(text):
    assert "is a web page" in refused(text)


@pytest.mark.parametrize(
    "line",
    [
        "exports.onExecutePostLogin = async (event",
        "module.exports = (user",
        "const one = (user) => {",
        "function (user",
        "async function rule(user",
        "// shows the picture",
    ],
)
def test_the_code_of_an_action_or_a_rule_is_one(line):
    message = refused({line: "secret", " api) {": ""})
    assert "seems to be a program, such as the code of an Action" in message
    assert "picture-audit collect" in message


@pytest.mark.parametrize("records", [["secret"], [7, None], [["a"], []]])
def test_what_has_no_names_is_said_to_have_none(records):
    assert "no objects with names" in refused(*records)


def test_users_are_of_no_kind():
    people = [
        {"user_id": "auth0|1", "picture": "x", "type": "s", "date": "1", "status": "a", "ip": "b"},
        {"user_id": "auth0|1", "email": "a", "name": "b", "strategy": "c", "id": "7"},
        {"id": "auth0|1", "email": "a", "name": "b", "description": "c"},
        {"user_id": "auth0|1", "email": "a", "logs": [], "roles": [], "actions": []},
    ]
    for one in people:
        (found,) = FieldNames().users(one)
        assert user(found).user_id == "auth0|1"
