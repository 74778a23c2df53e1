"""The change that a finding names settles it."""

import re
from dataclasses import replace

import pytest

from toolkit.analysis.finding_checks import CHECKS, FIXES, IDS, wired
from toolkit.change.prepare import plan, policy_of
from toolkit.classification.schema import SNAPSHOT
from toolkit.collection.collect_users import collect
from toolkit.sandbox.embedded import embedded_tenant
from toolkit.snapshots.snapshot import Snapshot

PICTURE = "https://assets.example.com/default.png"
# The sandbox makes nobody up whom this concerns.
RARE = {"needs-token"}
# Some fallbacks stay, because somebody chose them; some photos are already shown.
LEAST = 0.95


@pytest.fixture(scope="module")
def snapshot():
    with embedded_tenant(2000) as tenant:
        yield collect(tenant, method="search")


def test_advice_and_fix_name_the_same_way(snapshot):
    """Fails if a finding's advice names a change, and *Fix* makes another one or none."""
    checks = {one.id: one for one in (*CHECKS, *wired(snapshot.provenance.wiring))}
    named = {
        one.id: re.search(r"picture-audit plan … (?:--former ADDRESS )?--through (\w+)", one.advice)
        for one in checks.values()
    }
    ways = {name: found[1] for name, found in named.items() if found}
    assert ways == {name: fix.way for name, fix in FIXES.items()}
    assert {*FIXES} <= {*IDS}


def test_a_fix_changes_those_whom_its_finding_concerns(snapshot):
    """Fails if *Fix* leads to a plan that leaves the users of the finding as they are."""
    found = {one.id for one in snapshot.findings()}
    assert {*FIXES} - RARE <= found
    for name in {*FIXES} & found:
        fix, users = FIXES[name], snapshot.users_of(name)[list(SNAPSHOT.names)]
        some = Snapshot(replace(snapshot.provenance, users=len(users)), users)
        former = users["picture"].unique() if fix.former else ()
        policy = policy_of(PICTURE, sources=fix.sources, order=fix.order, former=former)
        assert plan(some, policy, through=fix.way).changes >= LEAST * len(users), name
