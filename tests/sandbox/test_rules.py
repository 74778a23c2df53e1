import pytest
from auth0.management.client import Auth0

from toolkit.sandbox.made_up.tenants import RULES

PATH = "/api/v2/rules"
EMPTY = "function (user, context, callback) { callback(null, user, context); }"
REFUSED = {
    "statusCode": 403,
    "error": "Forbidden",
    "message": "Insufficient privileges to use this deprecated feature.",
    "errorCode": "rules_not_allowed",
}


@pytest.fixture
def client(serve):
    rules = [*RULES, {"name": "off", "script": EMPTY, "enabled": False}]
    return serve([], rules=rules, scopes="read:rules update:rules create:rules")


def rules_of(client):
    """Return the part of Auth0's own SDK that has Rules, pointed at the sandbox."""
    token = client.headers["Authorization"].removeprefix("Bearer ")
    base_url = f"{client.sandbox.base_url}/api/v2"
    return Auth0(base_url=base_url, token=token, httpx_client=client).rules


def test_the_sdk_reads_rules_in_their_order(client):
    rules = rules_of(client)
    found = list(rules.list(per_page=2))
    assert [rule.name for rule in found] == [*(rule["name"] for rule in RULES), "off"]
    assert [rule.order for rule in found] == [1, 2, 3]
    assert {rule.stage for rule in found} == {"login_success"}
    assert rules.get(found[0].id).script == RULES[0]["script"]
    assert [rule.name for rule in rules.list(enabled=False)] == ["off"]


def test_totals_and_fields_are_given_where_they_are_asked_for(client):
    assert len(client.get(PATH).json()) == 3
    asked = {"include_totals": "true", "fields": "name", "per_page": 1, "page": 2}
    assert client.get(PATH, params=asked).json() == {
        "total": 3,
        "start": 2,
        "limit": 1,
        "rules": [{"name": "off"}],
    }
    assert client.get(PATH, params={"per_page": 101}).status_code == 400
    assert client.get(PATH, params={"enabled": "maybe"}).status_code == 400
    refused = client.get(PATH, params={"name": "off"}).json()
    assert refused["message"] == (
        "Query validation error: 'Additional properties not allowed: name'."
    )


def test_a_rule_can_be_switched_and_nothing_else(client):
    rules = rules_of(client)
    first = next(iter(rules.list()))
    assert rules.update(first.id, enabled=False).enabled is False
    assert rules.get(first.id).enabled is False
    for body in ({"script": EMPTY}, {"enabled": True, "name": "new"}):
        assert client.patch(f"{PATH}/{first.id}", json=body).status_code == 403
    for body in ({}, {"enabled": "yes"}):
        assert client.patch(f"{PATH}/{first.id}", json=body).status_code == 400
    assert rules.get(first.id).script == first.script


def test_no_rule_can_be_created(client):
    answer = client.post(PATH, json={"name": "new", "script": EMPTY})
    assert answer.json() == REFUSED
    assert len(client.get(PATH).json()) == 3


def test_a_rule_that_is_not_there_is_not_found(client):
    assert client.get(f"{PATH}/rul_0000000000000000").json() == {
        "statusCode": 404,
        "error": "Not Found",
        "message": "The rule does not exist",
        "errorCode": "inexistent_rule",
    }


def test_a_new_tenant_has_no_right_to_have_rules(serve):
    client = serve([], rules=None, scopes="read:rules update:rules")
    answers = [client.get(PATH), client.get(f"{PATH}/1"), client.patch(f"{PATH}/1", json={})]
    assert [answer.json() for answer in answers] == [REFUSED] * 3


def test_to_read_and_to_switch_need_their_scopes(serve):
    client = serve([], rules=RULES, scopes="update:rules")
    answer = client.get(PATH)
    assert answer.status_code == 403
    assert answer.json()["message"] == "Insufficient scope, expected any of: read:rules"
    assert serve([], scopes="read:rules").patch(f"{PATH}/1", json={}).status_code == 403
