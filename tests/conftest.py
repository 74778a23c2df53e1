"""What all tests share: the sandbox tenant, and a way to connect to it."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as examples

import toolkit
from toolkit.collection import export_job
from toolkit.sandbox.server import Sandbox
from toolkit.tenant import http_transport, rate_limit
from toolkit.tenant.client import Tenant, connect
from toolkit.tenant.credentials import Settings

ROOT = Path(__file__).parent.parent
# At the end: `tests` is found in the checkout, `toolkit` where it is installed, which in CI is
# the built wheel.
sys.path.append(str(ROOT))


# How many examples somebody wants to try who looks for new ones.
FUZZ = int(os.environ.get("PICTURE_AUDIT_FUZZ", "0"))
# No test fails because a machine is slow.
examples.register_profile(
    "unhurried",
    max_examples=FUZZ or 100,
    derandomize=not FUZZ,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
examples.load_profile("unhurried")

# A shell that starts this in its background has interrupts ignored, here and in all that tests
# start, and some of them interrupt what they started.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _hurry() -> Iterator[None]:
    """Waits between two tries are a fraction of what they are for people."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http_transport, "_FIRST_PAUSE", 0.02)
        patch.setattr(export_job, "_FIRST_WAIT", 0.02)
        yield


@pytest.fixture(scope="session", autouse=True)
def _state(tmp_path_factory) -> Iterator[None]:
    """Locks and lengths of journals are kept apart from those of who runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


def pytest_report_header() -> str:
    return f"toolkit: {_tested()}"


def pytest_configure() -> None:
    if os.environ.get("UV_NO_EDITABLE") and _tested().is_relative_to(ROOT / "toolkit"):
        raise pytest.UsageError("The built wheel should be tested, but the checkout would be.")


def _tested() -> Path:
    """Return the folder of the package that is tested: of the checkout, or of a wheel."""
    return Path(toolkit.__file__).parent


@pytest.fixture
def no_credentials(monkeypatch, tmp_path):
    """Nothing of this machine's environment or `.env` reaches the test."""
    for name in ("DOMAIN", "CLIENT_ID", "CLIENT_SECRET", "TOKEN", "AUDIENCE"):
        monkeypatch.delenv(f"AUTH0_{name}", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def in_a_hurry(no_credentials, monkeypatch):
    """Waits between tries of a collection are a twentieth of what they are for people."""
    monkeypatch.setattr(rate_limit, "_FIRST_PAUSE", 0.02)
    monkeypatch.setattr(rate_limit, "_SECOND", 0.02)
    monkeypatch.setattr(rate_limit, "_FIRST_REFILL", 50.0)
    monkeypatch.setattr(export_job, "_LONGEST_WAIT", 0.2)


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
