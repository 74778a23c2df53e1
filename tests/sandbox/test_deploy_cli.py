"""Auth0's own deploy tool exports all there is, with the Action that this tool deployed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import settings_of
from tests.npm import installed, without
from toolkit.change.action import NAME
from toolkit.change.apply_plan import apply
from toolkit.change.prepare import plan
from toolkit.collection.collect_users import collect
from toolkit.tenant.client import connect

WANTED = Path(__file__).with_name("deploy_cli") / "package.json"
FOREIGN = "exports.onExecutePostLogin = async () => { /* somebody's */ };"


@pytest.fixture(scope="module")
def deploy_tool(request, tmp_path_factory):
    """The program; installed from npm once and kept between runs."""
    if shutil.which("node") is None:
        without("auth0-deploy-cli", "node is not found")
    fallback = tmp_path_factory.mktemp("deploy")
    folder = installed(request.config, "auth0-deploy-cli", WANTED, fallback)
    return folder / "node_modules" / ".bin" / "a0deploy"


@pytest.fixture
def deployed(serve, person, tmp_path, monkeypatch):
    """A sandbox over TLS at which a plan was applied, and that plan."""
    foreign = [{"name": "somebody's", "code": FOREIGN}]
    sandbox = serve([person(1)], actions=foreign, tls=True).sandbox
    monkeypatch.setenv("SSL_CERT_FILE", sandbox.ca_file)
    with connect(settings_of(sandbox)) as tenant:
        snapshot = collect(tenant, method="search")
        picture = "https://images.example/new.png"
        made = plan(snapshot, picture, through="action", out=tmp_path / "p.plan")
        assert apply(tenant, made, execute=True, confirm=tenant.domain).complete
    return sandbox, made


def test_the_deploy_tool_exports_all_with_the_action_and_its_binding(
    deployed, deploy_tool, tmp_path
):
    sandbox, made = deployed
    out = tmp_path / "exported"
    environment = {
        **os.environ,
        **sandbox.environment(),
        "AUTH0_AUDIENCE": f"https://{sandbox.domain}/api/v2/",
        "NODE_EXTRA_CA_CERTS": sandbox.ca_file,
        "NO_UPDATE_NOTIFIER": "1",
    }
    done = subprocess.run(
        [str(deploy_tool), "export", "--format", "directory", "--output_folder", str(out)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    codes = {path.read_text() for path in out.glob("actions/*/code.js")}
    assert codes == {made.code, FOREIGN}
    described = "".join(path.read_text() for path in out.glob("actions/*.json"))
    assert NAME in described
    assert '"deployed": true' in described
    bound = (out / "triggers" / "triggers.json").read_text()
    assert bound.index("somebody's") < bound.index(NAME)
    assert (out / "clients" / "Sandbox.json").exists()
    assert (out / "tenant.json").exists()
    assert "Cannot retrieve roles due to missing scopes" in done.stdout + done.stderr
