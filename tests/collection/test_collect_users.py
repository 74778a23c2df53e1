"""How a tenant is read where nobody says how."""

import pytest

from toolkit.collection.collect_users import collect
from toolkit.sandbox.api.jobs import Jobs
from toolkit.sandbox.made_up.tenants import loadable, people
from toolkit.sandbox.problem import Problem


@pytest.mark.parametrize("status", [400, 403])
def test_a_tenant_that_does_not_allow_exports_is_searched(tenant_with, monkeypatch, status):
    def refused(jobs, call):
        raise Problem(status, "Exports are not allowed here.", "not_allowed")

    monkeypatch.setattr(Jobs, "job", refused)
    tenant = tenant_with([loadable(person) for person in people(1_100)])
    snapshot = collect(tenant)
    assert snapshot.provenance.method == "search"
    assert "does not allow exports" in snapshot.provenance.notes[0]
    assert len(snapshot) == 1_100
