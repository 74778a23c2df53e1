"""Collections from a tenant that misbehaves: whole, or an error that says so; nobody is lost."""

from random import Random

import pytest

from tests.conftest import settings_of
from toolkit import collect
from toolkit.collection.place import state_path
from toolkit.errors import PictureAuditError
from toolkit.sandbox.faults.catalogue import FAULTS, HOPELESS
from toolkit.sandbox.made_up.tenants import loadable, people
from toolkit.sandbox.server import Sandbox
from toolkit.tenant.client import connect

# Those of Gravatar strike nobody who collects.
API_FAULTS = [fault for fault in FAULTS if not fault.startswith("gravatar-")]
MIXES = 30
# How often somebody starts the same command again, where it may never end well and where it must.
FEW_RUNS, RUNS = 4, 12


pytestmark = pytest.mark.usefixtures("in_a_hurry")


@pytest.fixture(scope="module")
def records():
    return [loadable(person) for person in people(1_600, seed=3)]


def some(records, faults):
    """Return fewer users where each page of them costs many searches."""
    return records[:300] if "repeated-page" in faults else records


def collected(records, faults, seed, method, out):
    """Collect, again and again as a person would, and return what was found and what is true."""
    with Sandbox(records, faults=faults, fault_seed=seed) as sandbox:
        found = None
        for _ in range(FEW_RUNS if HOPELESS["export"] & set(faults) else RUNS):
            try:
                with connect(settings_of(sandbox)) as tenant:
                    snapshot = collect(tenant, out=out, method=method)
                    found = set(snapshot.users["user_id"])
                    break
            except PictureAuditError:
                pass
        churned = sandbox.churned if "churn" in faults else None
        assert sandbox.leaks == 0
    return found, churned


def check(records, found, churned):
    everybody = {record["user_id"] for record in records}
    if churned is None:
        assert found == everybody
    else:
        # Who was there all the time is there; who came or went meanwhile may be or not.
        assert everybody - set(churned.deleted) <= found <= everybody | set(churned.created)


@pytest.mark.parametrize("method", ["search", "export"])
@pytest.mark.parametrize("fault", API_FAULTS)
def test_each_fault_alone_loses_nobody(records, tmp_path, fault, method):
    records = some(records, [fault])
    found, churned = collected(records, [fault], 1, method, tmp_path / "s.parquet")
    if found is None:
        assert fault in HOPELESS[method]
        assert not (tmp_path / "s.parquet").exists()
    else:
        check(records, found, churned)
        assert not state_path(tmp_path / "s.parquet").exists()


@pytest.mark.parametrize("seed", range(MIXES))
def test_mixes_of_faults_lose_nobody_or_say_so(records, tmp_path, seed):
    random = Random(seed)
    faults = random.sample(sorted(API_FAULTS), random.randint(2, 4))
    method = random.choice(["search", "export", "auto"])
    records = some(records, faults)
    found, churned = collected(records, faults, seed, method, tmp_path / "s.parquet")
    if found is not None:
        check(records, found, churned)
    else:
        assert HOPELESS["export"] & set(faults), f"{faults} by {method} should end well"
