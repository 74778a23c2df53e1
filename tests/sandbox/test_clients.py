"""Auth0's own clients, as anybody would use them, against the sandbox over TLS."""

import gzip
import json
import os
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.npm import installed, without

NODE = Path(__file__).with_name("node")

# Each reads the tenant and prints what it saw as one JSON object.
SYNC = """
import json, os, time
from auth0.management import ManagementClient
from auth0.management.core.api_error import ApiError
client = ManagementClient(
    domain=os.environ["AUTH0_DOMAIN"],
    client_id=os.environ["AUTH0_CLIENT_ID"],
    client_secret=os.environ["AUTH0_CLIENT_SECRET"],
)
page = client.users.list(per_page=100, sort="created_at:1")
seen = [user.user_id for user in page]
changed = client.users.update(seen[0], user_metadata={"picture": "https://example.com/x.png"})
def refused(call, *args, **named):
    try:
        call(*args, **named)
    except ApiError as error:
        return [error.status_code, error.body["errorCode"]]
refusal = refused(client.users.get, "auth0|nobody")
paging = refused(client.users.list, page=10, per_page=100)
job = client.jobs.users_exports.create(format="json", fields=[{"name": "user_id"}])
statuses = []
while statuses[-1:] != ["completed"]:
    polled = client.jobs.get(job.id)
    statuses.append(polled.status)
assert client.jobs.errors.get(job.id) is None
print(json.dumps({
    "total": page.response.total,
    "seen": seen,
    "email": client.users.get(seen[0]).email,
    "picture": changed.user_metadata["picture"],
    "refusal": refusal,
    "paging": paging,
    "connections": [item.name for item in client.connections.list(take=1)],
    "statuses": [statuses[0], statuses[-1]],
    "location": polled.location,
}))
"""
ASYNC = """
import asyncio, json, os
from auth0.management import AsyncManagementClient
from auth0.management.core.api_error import ApiError
async def refused(awaitable):
    try:
        await awaitable
    except ApiError as error:
        return [error.status_code, error.body["errorCode"]]
async def main():
    client = AsyncManagementClient(
        domain=os.environ["AUTH0_DOMAIN"],
        client_id=os.environ["AUTH0_CLIENT_ID"],
        client_secret=os.environ["AUTH0_CLIENT_SECRET"],
    )
    page = await client.users.list(per_page=100, sort="created_at:1")
    seen = [user.user_id async for user in page]
    changed = await client.users.update(
        seen[0], user_metadata={"picture": "https://example.com/x.png"}
    )
    job = await client.jobs.users_exports.create(format="json", fields=[{"name": "user_id"}])
    statuses = []
    while statuses[-1:] != ["completed"]:
        polled = await client.jobs.get(job.id)
        statuses.append(polled.status)
    assert await client.jobs.errors.get(job.id) is None
    print(json.dumps({
        "total": page.response.total,
        "seen": seen,
        "email": (await client.users.get(seen[0])).email,
        "picture": changed.user_metadata["picture"],
        "refusal": await refused(client.users.get("auth0|nobody")),
        "paging": await refused(client.users.list(page=10, per_page=100)),
        "connections": [item.name async for item in await client.connections.list(take=1)],
        "statuses": [statuses[0], statuses[-1]],
        "location": polled.location,
    }))
asyncio.run(main())
"""


@pytest.fixture
def sandbox(serve, person, identity):
    people = [person(number) for number in range(250)]
    people.append(person(900, user_id="google-oauth2|1", identities=identity("google-oauth2")))
    return serve(people, tls=True).sandbox


def _run(sandbox, *command, **environment):
    """Run a program that prints one JSON object, pointed at the sandbox."""
    found = {**os.environ, **sandbox.environment(), **environment}
    done = subprocess.run(
        command, env=found, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _check(sandbox, saw):
    expected = [user["user_id"] for user in sandbox.users()]
    assert saw["total"] == 251
    assert saw["seen"] == expected
    assert saw["email"] == "person0@example.com"
    assert saw["picture"] == "https://example.com/x.png"
    assert saw["refusal"] == [404, "inexistent_user"]
    assert saw["paging"] == [400, "invalid_paging"]
    assert saw["connections"] == ["Username-Password-Authentication", "google-oauth2"]
    assert saw["statuses"] == ["pending", "completed"]
    if "location" in saw:
        lines = gzip.decompress(httpx.get(saw["location"], verify=_trusted(sandbox)).content)
        saw["exported"] = [json.loads(line)["user_id"] for line in lines.splitlines()]
    assert saw["exported"] == expected
    assert sandbox.leaks == 0


def _trusted(sandbox):
    return ssl.create_default_context(cafile=sandbox.ca_file)


@pytest.mark.parametrize("program", [SYNC, ASYNC], ids=["sync", "async"])
def test_auth0s_python_client_works_as_in_its_readme(sandbox, program):
    _check(sandbox, _run(sandbox, sys.executable, "-c", program))


@pytest.fixture(scope="module")
def node_sdk(request, tmp_path_factory):
    """The folder that Auth0's SDK for Node is installed in; kept between runs."""
    if shutil.which("node") is None:
        without("auth0-node", "node is not found")
    fallback = tmp_path_factory.mktemp("auth0-node")
    return installed(request.config, "auth0-node", NODE / "package.json", fallback)


@pytest.mark.parametrize("major", [4, 5, 6, 7])
def test_auth0s_node_client_works_as_in_its_readme(sandbox, node_sdk, major):
    walk = NODE / ("walk-4.mjs" if major == 4 else "walk.mjs")
    sdk = {"SDK_FOLDER": str(node_sdk), "SDK_NAME": "auth0" if major == 7 else f"auth0-{major}"}
    trust = {"NODE_EXTRA_CA_CERTS": sandbox.ca_file}
    _check(sandbox, _run(sandbox, shutil.which("node"), str(walk), **sdk, **trust))
