"""The tenant to work with: the one that the environment names, or the embedded one."""

from contextlib import ExitStack

from pydantic import SecretStr

from toolkit.sandbox.made_up import tenants
from toolkit.sandbox.made_up.tenants import SEED, USERS, loadable, people
from toolkit.sandbox.server import Sandbox
from toolkit.tenant.client import Tenant, connect
from toolkit.tenant.credentials import Settings, read_settings


def embedded_tenant(users: int = USERS, *, seed: int = SEED) -> Tenant:
    """Start the embedded tenant with made-up users and connect to it.

    Args:
        users: how many people to make up.
        seed: the same seed makes the same people.

    Returns:
        The tenant; closing it stops the sandbox.
    """
    with ExitStack() as stack:
        sandbox = stack.enter_context(embedded_sandbox(users, seed=seed))
        tenant = connect(settings_of(sandbox))
        tenant.on_close(stack.pop_all().close)
    tenant.seed = seed
    return tenant


def embedded_sandbox(users: int = USERS, *, seed: int = SEED) -> Sandbox:
    """Return a sandbox with so many made-up people; it is still to be started."""
    made_up = (loadable(person) for person in people(users, seed=seed))
    return Sandbox(made_up, actions=tenants.ACTIONS, rules=tenants.RULES)


def settings_of(sandbox: Sandbox) -> Settings:
    """Return the settings that reach a sandbox, whatever the environment says."""
    return Settings.model_construct(
        domain=sandbox.base_url,
        client_id=sandbox.client_id,
        client_secret=SecretStr(sandbox.client_secret),
    )


def open_tenant() -> Tenant:
    """Connect to the tenant that the environment or `.env` names, or else to the embedded one.

    Returns:
        The tenant, a context manager; its `sandbox` and its text tell which one it is. The
        embedded one stops when it is closed.

    Raises:
        SettingsError, TenantError: a tenant is named, but it cannot be reached; or there are
            credentials, and no tenant is named.
    """
    settings = read_settings()
    # Whoever gives credentials means a tenant: made-up users in its place would mislead.
    return connect(settings) if settings.domain or settings.given else embedded_tenant()
