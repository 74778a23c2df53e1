from secrets import token_hex

import pytest

from toolkit.errors import CredentialsError, QueryError, ScopeError, SettingsError
from toolkit.sandbox.server import Sandbox
from toolkit.tenant.client import connect
from toolkit.tenant.credentials import Settings, read_settings


def settings(sandbox, **changes):
    values = {
        "domain": sandbox.base_url,
        "client_id": sandbox.client_id,
        "client_secret": sandbox.client_secret,
    }
    return Settings(_env_file=None, **(values | changes))


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox([{"user_id": "auth0|1", "name": "Bo"}]) as sandbox:
        yield sandbox


@pytest.fixture(autouse=True)
def clean(no_credentials):
    """No test here sees this machine's credentials."""


def test_connecting_asks_for_one_token_and_says_whose_tenant_it_is(sandbox):
    with connect(settings(sandbox)) as tenant:
        assert tenant.requests == 1
        assert repr(tenant) == f"<the embedded tenant {sandbox.domain}>"


def test_secrets_show_in_no_text(sandbox):
    canary = token_hex()
    values = settings(sandbox, client_secret=canary, token=canary)
    assert canary not in repr(values) + str(values)
    with pytest.raises(CredentialsError) as refusal:
        connect(settings(sandbox, client_secret=canary))
    assert canary not in str(refusal.getrepr(chain=True))


def test_a_missing_scope_is_named_before_anything_is_read(sandbox):
    before = sandbox.requests.total
    with pytest.raises(ScopeError, match="lacks read:logs"):
        connect(settings(sandbox), scopes=("read:users", "read:logs"))
    assert sandbox.requests.total == before + 1


def test_a_token_that_does_not_tell_its_scopes_is_left_to_the_tenant(sandbox):
    with (
        connect(settings(sandbox, token="opaque")) as tenant,
        pytest.raises(CredentialsError, match="AUTH0_TOKEN"),
    ):
        tenant.search("name:Bo")


def test_credentials_that_are_missing_are_asked_for(sandbox):
    with pytest.raises(SettingsError, match="AUTH0_CLIENT_SECRET"):
        connect(Settings(_env_file=None, domain=sandbox.base_url, client_id="x"))


def test_a_query_that_the_tenant_refuses_is_its_own_error(sandbox):
    with connect(settings(sandbox)) as tenant, pytest.raises(QueryError, match="HTTP 400"):
        tenant.search('picture:"x"')


def test_a_file_of_settings_is_read_and_the_environment_wins(sandbox, tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("AUTH0_DOMAIN=file.example\nAUTH0_TOKEN=t\nOTHER=1\n")
    assert read_settings().base_url == "https://file.example"
    monkeypatch.setenv("AUTH0_DOMAIN", "environment.example")
    assert read_settings().base_url == "https://environment.example"
    (tmp_path / "notebooks").mkdir()
    monkeypatch.delenv("AUTH0_DOMAIN")
    monkeypatch.chdir(tmp_path / "notebooks")
    assert read_settings().domain == "file.example"


def test_what_was_put_off_until_closing_is_done_once(sandbox):
    done = []
    tenant = connect(settings(sandbox))
    tenant.on_close(lambda: done.append(1))
    tenant.close()
    tenant.close()
    assert done == [1]
