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
    assert client.get(PATH, params={"fields": "name", "name": "acme"}).json() == [{"name": "acme"}]
    totals = client.get(PATH, params={"include_totals": "true", "page": 0, "per_page": 3}).json()
    assert (totals["total"], totals["length"], totals["limit"]) == (4, 3, 3)


def test_the_sdk_reads_all_connections_from_checkpoint_to_checkpoint(serve, users):
    client = serve(users)
    token = client.headers["Authorization"].removeprefix("Bearer ")
    sdk = Auth0(base_url=f"{client.sandbox.base_url}/api/v2", token=token, httpx_client=client)
    assert {item.name: item.strategy for item in sdk.connections.list(take=3)} == STRATEGIES
