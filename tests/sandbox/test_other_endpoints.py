import pytest

ROOT = "/api/v2"


@pytest.fixture(scope="module")
def client(serve_once):
    return serve_once([])


def test_the_application_that_asks_and_the_global_one_are_listed(client):
    mine, all_of_them = client.sandbox.client_id, client.get(f"{ROOT}/clients").json()
    assert [one["name"] for one in all_of_them] == ["All Applications", "Sandbox"]
    asked = {"is_global": "false", "include_totals": "true", "fields": "name"}
    assert client.get(f"{ROOT}/clients", params=asked).json() == {
        "total": 1,
        "start": 0,
        "limit": 50,
        "clients": [{"tenant": "sandbox", "client_id": mine, "name": "Sandbox"}],
    }
    first = client.get(f"{ROOT}/clients", params={"take": 1}).json()
    rest = client.get(f"{ROOT}/clients", params={"take": 1, "from": first["next"]}).json()
    assert [*first["clients"], *rest["clients"]] == all_of_them
    assert client.get(f"{ROOT}/clients/{mine}").json()["app_type"] == "non_interactive"
    assert client.get(f"{ROOT}/clients/nobody").json()["errorCode"] == "inexistent_client"


def test_the_settings_are_those_of_a_tenant(client):
    settings = client.get(f"{ROOT}/tenants/settings").json()
    assert settings["flags"]["universal_login"] is True
    fields = {"fields": "friendly_name"}
    assert client.get(f"{ROOT}/tenants/settings", params=fields).json() == {
        "friendly_name": "Sandbox"
    }


def test_there_are_no_organizations(client):
    assert client.get(f"{ROOT}/organizations", params={"page": 0}).json() == []
    assert client.get(f"{ROOT}/organizations", params={"take": 50}).json() == {"organizations": []}


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        ("roles", "read:roles"),
        ("client-grants", "read:client_grants"),
        ("guardian/factors/sms/templates", "read:guardian_factors"),
        ("emails/provider", "read:email_provider"),
        ("actions/modules", "read:actions_modules"),
        ("flows/vault/connections", "read:flows_vault_connections"),
    ],
)
def test_what_is_not_played_is_refused_as_without_its_scope(client, path, scope):
    answer = client.get(f"{ROOT}/{path}")
    assert answer.status_code == 403
    assert scope in answer.json()["message"]
    assert answer.json()["errorCode"] == "insufficient_scope"


def test_what_is_not_played_is_not_found_with_its_scope(serve):
    client = serve([], scopes="read:roles")
    assert client.get(f"{ROOT}/roles").status_code == 404
    assert client.get(f"{ROOT}/no-such").status_code == 404
    assert client.get(f"{ROOT}/clients").status_code == 403


def test_airbytes_connector_reads_what_it_always_reads(serve, person):
    # The requests of source-auth0 4.3.2, as the tool itself was seen to send them.
    client = serve([person(number, updated_at="2024-01-05T00:00:00.000Z") for number in range(60)])
    token = client.token(grant_type="client_credentials")
    assert token.json()["token_type"] == "Bearer"
    since = "updated_at:{2024-01-01T00:00:00.000000Z  TO 2024-12-31T23:59:59.999000Z]"
    asked = {"q": since, "sort": "updated_at:1", "include_totals": "false", "per_page": 50}
    pages = [client.get(f"{ROOT}/users", params=asked | more) for more in ({}, {"page": 1})]
    found = [user["user_id"] for page in pages for user in page.json()]
    assert len(found) == len(set(found)) == 60
    assert len(client.get(f"{ROOT}/clients", params={"per_page": 50}).json()) == 2
    assert client.get(f"{ROOT}/organizations", params={"per_page": 50}).json() == []
