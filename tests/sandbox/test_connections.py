import re

import pytest
from auth0.management.client import Auth0

STRATEGIES = {"Users": "auth0", "acme": "samlp", "email": "email", "google-oauth2": "google-oauth2"}
PATH = "/api/v2/connections"


@pytest.fixture
def users(person, identity):
    found = [
        person(number, identities=identity(strategy, name))
        for number, (name, strategy) in enumerate(STRATEGIES.items())
    ]
    return [*found, person(9, identities=None), person(10, identities=[{"connection": 3}])]


def test_connections_come_from_the_users_identities(serve, users):
    found = serve(users).get(PATH).json()
    assert {item["name"]: item["strategy"] for item in found} == STRATEGIES
    assert all(re.fullmatch(r"con_[A-Za-z0-9]{16}", item["id"]) for item in found)


def test_only_social_and_enterprise_connections_sync_at_each_login(serve, users):
    found = serve(users).get(PATH).json()
    assert {item["name"]: item["options"].get("set_user_root_attributes") for item in found} == {
        "Users": "on_first_login",
        "acme": "on_each_login",
        "email": None,
        "google-oauth2": "on_each_login",
    }


def test_options_need_a_scope_of_their_own(serve, users):
    client = serve(users, scopes="read:connections")
    assert all("options" not in item for item in client.get(PATH).json())


def test_connections_can_be_chosen_paged_and_projected(serve, users):
    client = serve(users)

    def names(**asked):
        return [item["name"] for item in client.get(PATH, params=asked).json()]

    assert names(strategy=["auth0", "email"]) == ["Users", "email"]
    assert names(name="acme") == ["acme"]
    assert names(page=1, per_page=3) == ["google-oauth2"]
    totals = client.get(PATH, params={"include_totals": "true", "page": 0, "per_page": 3}).json()
    assert {**totals, "connections": len(totals["connections"])} == {
        "total": 4,
        "start": 0,
        "limit": 3,
        "connections": 3,
    }


def test_some_fields_are_there_though_nobody_asked_for_them(serve, users):
    client = serve(users)
    acme = next(one for one in client.get(PATH).json() if one["name"] == "acme")
    for path, asked in ((PATH, {"name": "acme"}), (f"{PATH}/{acme['id']}", {})):
        found = client.get(path, params={"fields": "name", **asked}).json()
        shown = found[0] if isinstance(found, list) else found
        assert shown.keys() == {
            "id",
            "name",
            "is_domain_connection",
            "authentication",
            "connected_accounts",
        }
    without = {"fields": "name,id", "include_fields": "false"}
    shown = client.get(f"{PATH}/{acme['id']}", params=without).json()
    assert shown.keys() == acme.keys() - {"name", "id"}


def test_a_connection_shows_what_auth0_shows(serve, users):
    found = {one["name"]: one for one in serve(users).get(PATH).json()}
    usual = {
        "id",
        "name",
        "strategy",
        "options",
        "realms",
        "is_domain_connection",
        "authentication",
        "connected_accounts",
    }
    assert found["Users"].keys() == found["google-oauth2"].keys() == usual
    assert found["acme"].keys() == usual | {"show_as_button", "provisioning_ticket_url"}
    assert (found["Users"]["authentication"], found["Users"]["connected_accounts"]) == (
        {"active": True},
        {"active": False},
    )


def test_a_sandbox_can_have_more_connections_and_know_more_of_them(serve, users):
    acme = {"name": "acme", "strategy": "samlp", "options": {"set_user_root_attributes": "never"}}
    other = {"name": "other", "strategy": "okta", "display_name": "Other", "metadata": {"a": "b"}}
    client = serve(users, connections=[acme, other])
    found = {one["name"]: one for one in client.get(PATH).json()}
    assert found.keys() == {*STRATEGIES, "other"}
    assert found["acme"]["options"]["set_user_root_attributes"] == "never"
    assert (found["other"]["display_name"], found["other"]["metadata"]) == ("Other", {"a": "b"})
    path = "/api/v2/users/auth0%7C000001"
    assert client.patch(path, json={"picture": "https://example.com/x.png"}).is_success


def test_a_connection_that_is_not_there_is_not_found(serve):
    answer = serve([]).get(f"{PATH}/con_0000000000000000")
    assert answer.json() == {
        "statusCode": 404,
        "error": "Not Found",
        "message": "The connection does not exist",
        "errorCode": "inexistent_connection",
    }


def test_the_sdk_reads_all_connections_from_checkpoint_to_checkpoint(serve, users):
    client = serve(users)
    token = client.headers["Authorization"].removeprefix("Bearer ")
    sdk = Auth0(base_url=f"{client.sandbox.base_url}/api/v2", token=token, httpx_client=client)
    assert {item.name: item.strategy for item in sdk.connections.list(take=3)} == STRATEGIES


@pytest.mark.parametrize("asked", [{"fields": "name,realms"}, {"colour": "red"}])
def test_parameters_that_auth0_does_not_take_are_refused(serve, asked):
    client = serve([])
    answer = client.get(PATH, params=asked)
    assert answer.status_code == 400
    assert answer.json()["errorCode"] == "invalid_query_string"
    assert client.get(PATH, params={"fields": "name,options"}).json() == []
