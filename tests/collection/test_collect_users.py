"""How a tenant is read where nobody says how."""

import pytest

from toolkit.collection import collect_users
from toolkit.collection.collect_users import collect
from toolkit.errors import JobLimitError, SettingsError
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


@pytest.mark.parametrize("status", [429, 403])
def test_a_tenant_whose_jobs_are_all_taken_is_searched_and_the_snapshot_says_why(
    tenant_with, monkeypatch, tmp_path, status
):
    def busy(jobs, call):
        raise Problem(status, "There are 2 active export jobs: wait.", "too_many_requests")

    monkeypatch.setattr(Jobs, "export_users", busy)
    monkeypatch.setattr(collect_users, "CAP", 10)
    tenant = tenant_with([loadable(person) for person in people(30)])
    said = []
    snapshot = collect(tenant, out=tmp_path / "a.parquet", show=said.append)
    assert snapshot.provenance.method == "search"
    assert snapshot.provenance.complete
    assert "other jobs of the tenant keep an export from starting" in snapshot.provenance.notes[0]
    assert any("other jobs of the tenant" in progress.note for progress in said)
    with pytest.raises(JobLimitError, match="--method search"):
        collect(tenant, method="export")


def test_once_it_searches_instead_it_goes_on_so_after_an_interruption(
    tenant_with, monkeypatch, tmp_path
):
    def busy(jobs, call):
        raise Problem(429, "There are 2 active export jobs: wait.", "too_many_requests")

    monkeypatch.setattr(Jobs, "export_users", busy)
    monkeypatch.setattr(collect_users, "CAP", 10)
    tenant = tenant_with([loadable(person) for person in people(30)])
    out = tmp_path / "a.parquet"
    steps = collect.steps(tenant, out=out)
    for progress in steps:
        if "windows reconciled" in progress.note:
            break
    steps.close()
    with pytest.raises(SettingsError, match="an unfinished collection by search"):
        collect(tenant, out=out, method="export")
    snapshot = collect(tenant, out=out)
    assert snapshot.provenance.method == "search"
    assert "continued an interrupted collection" in snapshot.provenance.notes
    assert len(snapshot) == 30
