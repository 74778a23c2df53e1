"""The package as a whole: its public names, and how little importing it costs."""

import subprocess
import sys
from importlib import import_module

import pytest

import toolkit

NAMES = """
Bar Candidate Comparison Coverage Estimate Finding Findings Gallery Interval Outcome
PictureAuditError Plan Policy Progress Sandbox Seen Series Snapshot Source Tenant Verdict Wiring
apply audit by_group by_source candidate choose_default_picture classify cohorts collect collector
combine compare connect coverage coverage_on dashboard demo embedded_tenant explain explore
findings flows gallery ingest ingest_on latest_snapshot open_tenant outcomes over_time own_by_month
plan probe reach read_plan read_snapshot redact report series undo verify what_people_see
""".split()


def test_the_public_names_are_these_and_sorted():
    assert sorted(toolkit.__all__) == sorted(NAMES)
    assert toolkit.__all__ == dir(toolkit)
    for name in NAMES:
        assert getattr(toolkit, name).__doc__


def test_a_function_keeps_its_name_beside_the_module_of_the_same_name():
    module = import_module("toolkit.coverage")

    assert callable(toolkit.coverage)
    assert module.coverage is toolkit.coverage


def test_importing_it_imports_nothing_heavy():
    script = "import sys, toolkit; print(sorted(sys.modules))"
    modules = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    for heavy in ("pandas", "matplotlib", "pyarrow", "auth0", "ipywidgets", "httpx"):
        assert f"'{heavy}'" not in modules


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nonsense"):
        _ = toolkit.nonsense
