"""The tenant to work with: the one that the environment names, or the embedded one."""

import json
from collections.abc import Callable
from pathlib import Path

from pydantic import SecretStr

from toolkit.collect import collect
from toolkit.draft import ensure_writable, replacing
from toolkit.progress import Progress
from toolkit.report import report
from toolkit.sandbox import scripts
from toolkit.sandbox.people import SEED, USERS, loadable, people
from toolkit.sandbox.server import Sandbox
from toolkit.settings import Settings, read_settings
from toolkit.snapshot import Snapshot
from toolkit.tenant import Tenant, connect


def embedded_tenant(users: int = USERS, *, seed: int = SEED) -> Tenant:
    """Start the embedded tenant with made-up users and connect to it.

    Args:
        users: how many people to make up.
        seed: the same seed makes the same people.

    Returns:
        A tenant that stops when it is closed.
    """
    sandbox = embedded_sandbox(users, seed=seed)
    sandbox.start()
    try:
        tenant = connect(settings_of(sandbox))
    except BaseException:
        sandbox.stop()
        raise
    tenant.on_close(sandbox.stop)
    tenant.seed = seed
    return tenant


def embedded_sandbox(users: int = USERS, *, seed: int = SEED) -> Sandbox:
    """Return the sandbox behind the embedded tenant, which is still to be started.

    Args:
        users: how many people to make up.
        seed: the same seed makes the same people.
    """
    made_up = (loadable(person) for person in people(users, seed=seed))
    return Sandbox(made_up, actions=scripts.ACTIONS, rules=scripts.RULES)


def settings_of(sandbox: Sandbox) -> Settings:
    """Return the settings that reach a sandbox, whatever the environment says."""
    return Settings.model_construct(
        domain=sandbox.base_url,
        client_id=sandbox.client_id,
        client_secret=SecretStr(sandbox.client_secret),
    )


def open_tenant() -> Tenant:
    """Connect to the tenant that the environment or `.env` names, or else to the embedded one.

    Which one it is shows in the tenant's `sandbox` and in its text.

    Returns:
        The tenant, a context manager; the embedded one stops when it is closed.

    Raises:
        SettingsError, TenantError: a tenant is named, but it cannot be reached.
    """
    settings = read_settings()
    return connect(settings) if settings.domain else embedded_tenant()


def demo(
    out: Path | str = "out/demo",
    *,
    users: int = USERS,
    seed: int = SEED,
    force: bool = False,
    show: Callable[[Progress], None] | None = None,
) -> Snapshot:
    """Do the main job on the embedded tenant: collect, classify, count, report.

    Args:
        out: folder for `snapshot.parquet`, `coverage.json` and `report.html`.
        users: how many people to make up.
        seed: the same seed makes the same people.
        force: whether a real tenant's snapshot in that folder may be replaced.
        show: called with each `Progress`.

    Returns:
        The snapshot.

    Raises:
        OutputError: the folder cannot be written, or holds a real tenant's `snapshot.parquet`.
    """
    folder = Path(out)
    ensure_writable(folder / "snapshot.parquet")
    with embedded_tenant(users, seed=seed) as tenant:
        path = folder / "snapshot.parquet"
        snapshot = collect(tenant, out=path, method="search", force=force, show=show)
    with replacing(folder / "coverage.json") as file:
        file.write(json.dumps(snapshot.summary(), indent=2).encode())
    report(snapshot, folder / "report.html")
    return snapshot
