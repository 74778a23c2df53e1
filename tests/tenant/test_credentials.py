"""AUTH0_DOMAIN and AUTH0_AUDIENCE in the forms that people paste, and credentials without them."""

import pytest

import toolkit
from toolkit.errors import SettingsError
from toolkit.tenant.client import Tenant, connect
from toolkit.tenant.credentials import Settings, read_settings

TENANT = "https://tenant.eu.auth0.com"


@pytest.fixture(autouse=True)
def clean(no_credentials):
    """No test here sees this machine's credentials."""


def settings(**values):
    return Settings(_env_file=None, **values)


REPAIRED = {
    "tenant.eu.auth0.com": TENANT,
    "https://tenant.eu.auth0.com": TENANT,
    "https://tenant.eu.auth0.com/": TENANT,
    "https://tenant.eu.auth0.com/api/v2/": TENANT,
    "tenant.eu.auth0.com/api/v2": TENANT,
    "HTTPS://Tenant.EU.Auth0.com": TENANT,
    "TENANT.eu.auth0.com.": TENANT,
    "  tenant.eu.auth0.com\t\n": TENANT,
    "\ufefftenant.eu.auth0.com\u00a0": TENANT,
    '"tenant.eu.auth0.com"': TENANT,
    "'https://tenant.eu.auth0.com/'": TENANT,
    "“tenant.eu.auth0.com”": TENANT,
    "<https://tenant.eu.auth0.com>": TENANT,
    "tenant.eu.auth0.com:443": TENANT,
    "https://tenant.eu.auth0.com/authorize?client_id=x#y": TENANT,
    "http://tenant.eu.auth0.com": TENANT,
    "//tenant.eu.auth0.com": TENANT,
    "https:/tenant.eu.auth0.com": TENANT,
    "https:tenant.eu.auth0.com": TENANT,
    "https//tenant.eu.auth0.com": TENANT,
    "https:\\\\tenant.eu.auth0.com\\": TENANT,
    "https://https://tenant.eu.auth0.com": TENANT,
    "AUTH0_DOMAIN=tenant.eu.auth0.com": TENANT,
    "export AUTH0_DOMAIN='tenant.eu.auth0.com'": TENANT,
    '$env:AUTH0_DOMAIN = "tenant.eu.auth0.com"': TENANT,
    '"domain": "tenant.eu.auth0.com",': TENANT,
    "Domain: tenant.eu.auth0.com": TENANT,
    "- tenant.eu.auth0.com": TENANT,
    "(tenant.eu.auth0.com)": TENANT,
    "[tenant.eu.auth0.com](https://tenant.eu.auth0.com)": TENANT,
    "tenant.eu.auth0.com/authorize?redirect_uri=https://a.example": TENANT,
    "https://manage.auth0.com/dashboard/eu/tenant/applications/abc/settings": TENANT,
    "manage.auth0.com/dashboard/eu/tenant": TENANT,
    "https://manage.auth0.com/dashboard/au/dev-1/": "https://dev-1.au.auth0.com",
    "tenant.auth0.com": "https://tenant.auth0.com",
    "tenant.us.auth0.com:8443": "https://tenant.us.auth0.com:8443",
    "login.bücher.example": "https://login.xn--bcher-kva.example",
    "login.example.com": "https://login.example.com",
    "https://localhost:3000/x": "https://localhost:3000",
    "http://127.0.0.1:3000/x/": "http://127.0.0.1:3000",
    "http://[::1]:3000": "http://[::1]:3000",
}


@pytest.mark.parametrize("domain", REPAIRED)
def test_a_domain_is_taken_in_the_forms_that_people_paste(domain):
    assert settings(domain=domain).base_url == REPAIRED[domain]


REFUSED = {
    "tenant": r"not complete: did you mean tenant\.REGION\.auth0\.com",
    "tenant.eu": r"not complete: did you mean tenant\.eu\.auth0\.com\?",
    "tenant.eu.auth0": r"did you mean tenant\.eu\.auth0\.com\?",
    "bo@example.com": "contains an @",
    "https://id:secret@tenant.eu.auth0.com": "contains an @",
    "https://manage.auth0.com/": "address of Auth0's dashboard",
    "https://manage.auth0.com/#/applications": "address of Auth0's dashboard",
    "https://manage.auth0.com/dashboard/us/tenant/": r"\.us\.auth0\.com, or tenant\.auth0\.com",
    "auth0.com": "no tenant's domain",
    "https://eu.auth0.com": "no tenant's domain",
    "htps://tenant.eu.auth0.com": "cannot be read",
    "your_tenant.auth0.com": "no tenant's domain",
    "{yourDomain}": "cannot be read",
    "tenant . eu.auth0.com": "cannot be read",
    "ftp://tenant.eu.auth0.com": "cannot be read",
    "tenant.eu.auth0.com:99999": "cannot be read",
    "https://": "cannot be read",
    "http://10.0.0.1": "only for a sandbox on loopback",
    "": "is not set",
    " \t": "is not set",
    '""': "is not set",
}


@pytest.mark.parametrize("domain", REFUSED)
def test_what_is_no_domain_is_told_with_what_to_write(domain):
    with pytest.raises(SettingsError, match=REFUSED[domain]) as raised:
        _ = settings(domain=domain).base_url
    assert "secret" not in str(raised.value)
    assert "bo@" not in str(raised.value)


def test_quotes_and_blanks_are_no_part_of_a_secret():
    given = settings(client_id=' "a" ', client_secret="'b'\n", token="c\t")
    assert given.client_id == "a"
    assert given.client_secret.get_secret_value() == "b"
    assert given.token.get_secret_value() == "c"
    assert settings(token='""').token is None


def test_a_custom_domain_of_two_parts_is_taken_with_an_audience():
    short = settings(domain="acme.eu", audience="acme.eu.auth0.com")
    assert short.base_url == "https://acme.eu"


AUDIENCES = [
    "https://tenant.eu.auth0.com/api/v2/",
    "https://tenant.eu.auth0.com/api/v2",
    " https://tenant.eu.auth0.com ",
    "tenant.eu.auth0.com",
    "'https://TENANT.eu.auth0.com/'",
]


@pytest.mark.parametrize("audience", AUDIENCES)
def test_an_audience_names_the_management_api_and_the_domain_where_it_is_reached(audience):
    given = settings(domain="login.example.com", audience=audience)
    assert given.api == f"{TENANT}/api/v2/"
    assert given.base_url == "https://login.example.com"
    assert settings(domain="tenant.eu.auth0.com").api == f"{TENANT}/api/v2/"


@pytest.mark.parametrize(
    "audience", ["https://tenant.eu.auth0.com/userinfo", "urn:x", "a@b.example"]
)
def test_what_is_no_management_api_is_no_audience(audience):
    with pytest.raises(SettingsError, match="AUTH0_AUDIENCE must be"):
        _ = settings(domain="login.example.com", audience=audience).api


def test_a_tenant_that_is_reached_through_this_machine_is_no_sandbox():
    given = {"domain": "http://127.0.0.1:9", "token": "t"}
    with Tenant(settings(**given)) as tenant:
        assert tenant.sandbox
    with Tenant(settings(**given, audience="tenant.eu.auth0.com")) as tenant:
        assert not tenant.sandbox


def test_a_token_is_asked_for_the_audience_that_is_named(monkeypatch):
    with toolkit.Sandbox([]) as sandbox:
        for name, value in sandbox.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AUTH0_AUDIENCE", f"{sandbox.base_url}/api/v2/")
        with connect() as tenant:
            assert tenant.search("name:Bo").total == 0
        monkeypatch.setenv("AUTH0_AUDIENCE", "other.eu.auth0.com")
        with pytest.raises(toolkit.PictureAuditError, match="AUTH0_AUDIENCE is not this tenant's"):
            connect()


@pytest.mark.parametrize("name", ["CLIENT_ID", "CLIENT_SECRET", "TOKEN"])
def test_credentials_without_a_domain_are_an_error_and_no_made_up_users(monkeypatch, name):
    monkeypatch.setenv(f"AUTH0_{name}", "x")
    told = f"AUTH0_DOMAIN is not set, although AUTH0_{name} is"
    with pytest.raises(SettingsError, match=told):
        toolkit.open_tenant()
    with pytest.raises(SettingsError, match=told):
        connect(read_settings())
