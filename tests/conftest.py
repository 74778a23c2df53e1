"""What all tests share: the sandbox tenant, and a way to connect to it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from toolkit.sandbox.server import Sandbox
from toolkit.settings import Settings
from toolkit.tenant import Tenant, connect


@pytest.fixture
def no_credentials(monkeypatch, tmp_path):
    """Nothing of this machine's environment or `.env` reaches the test."""
    for name in ("DOMAIN", "CLIENT_ID", "CLIENT_SECRET", "TOKEN"):
        monkeypatch.delenv(f"AUTH0_{name}", raising=False)
    monkeypatch.chdir(tmp_path)


def settings_of(sandbox: Sandbox, **changes: str) -> Settings:
    values = sandbox.environment() | {f"AUTH0_{k.upper()}": v for k, v in changes.items()}
    return Settings(
        domain=values["AUTH0_DOMAIN"],
        client_id=values["AUTH0_CLIENT_ID"],
        client_secret=values["AUTH0_CLIENT_SECRET"],
        token=values.get("AUTH0_TOKEN"),
        _env_file=None,
    )


@pytest.fixture
def tenant_with(no_credentials) -> Iterator[Callable[..., Tenant]]:
    """Start a sandbox with these users and connect to it through the real SDK.

    The sandbox itself is at the tenant's attribute `_sandbox`.
    """
    with ExitStack() as stack:

        def start(users, **options) -> Tenant:
            sandbox = stack.enter_context(Sandbox(users, **options))
            tenant = stack.enter_context(connect(settings_of(sandbox)))
            tenant._sandbox = sandbox
            return tenant

        yield start
