import json
import ssl
import stat
from pathlib import Path

import httpx
import pytest

from toolkit.sandbox.server import Sandbox


@pytest.fixture
def client(serve, person):
    return serve([person(1)], tls=True)


def test_it_answers_https_with_a_certificate_that_its_ca_file_vouches_for(client):
    sandbox = client.sandbox
    assert sandbox.base_url == f"https://{sandbox.domain}"
    assert client.users().is_success
    trusted = ssl.create_default_context(cafile=sandbox.ca_file)
    local = sandbox.base_url.replace("127.0.0.1", "localhost")
    assert httpx.get(f"{local}/avatars/ab.png", verify=trusted).is_success


def test_nobody_else_trusts_it(client):
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(client.sandbox.base_url, verify=ssl.create_default_context())


def test_the_description_names_the_ca_file(client):
    described = json.loads(json.dumps(client.sandbox.describe()))
    assert sorted(described) == [
        "base_url",
        "ca_file",
        "client_id",
        "client_secret",
        "domain",
        "users",
    ]
    assert client.sandbox.environment() == {
        "AUTH0_DOMAIN": described["domain"],
        "AUTH0_CLIENT_ID": described["client_id"],
        "AUTH0_CLIENT_SECRET": described["client_secret"],
        "SSL_CERT_FILE": described["ca_file"],
    }


def test_without_tls_there_is_no_ca_file(serve):
    sandbox = serve([]).sandbox
    assert sandbox.ca_file is None
    assert "ca_file" not in sandbox.describe()


def test_the_ca_file_holds_no_key_is_private_and_goes_with_the_sandbox():
    with Sandbox([], tls=True) as sandbox:
        file = Path(sandbox.ca_file)
        assert "PRIVATE KEY" not in file.read_text(encoding="utf-8")
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert not file.parent.exists()
    assert sandbox.ca_file is None


def test_a_sandbox_that_cannot_start_leaves_no_ca_file_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ZeroDivisionError):
        Sandbox(({"user_id": 1 / 0} for _ in range(1)), tls=True).start()
    assert list(tmp_path.iterdir()) == []


def test_the_audience_is_that_of_the_domain(client):
    assert client.token(audience=f"https://{client.sandbox.domain}/api/v2/").is_success
    assert client.token(audience=f"http://{client.sandbox.domain}/api/v2/").status_code == 403


def test_downloads_are_https_too(client):
    location = client.finish(client.export())["location"]
    assert location.startswith(client.sandbox.base_url)
    trusted = ssl.create_default_context(cafile=client.sandbox.ca_file)
    assert httpx.get(location, verify=trusted).is_success
