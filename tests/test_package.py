"""The package as a whole: its public names, and how little importing it costs."""

import inspect
import pkgutil
import subprocess
import sys
from collections import Counter
from importlib import import_module

import pytest

import toolkit

NAMES = """
Bar Candidate Comparison Conformance Coverage Estimate Finding Findings Gallery Interval Outcome
OwnEstimate PictureAuditError Plan Policy Progress Sandbox Seen Series Snapshot Source Tenant
Verdict Wiring apply audit by_group by_source candidate choose_default_picture classify cohorts
collect collector combine compare conform connect coverage coverage_on dashboard demo
embedded_tenant explain explore findings flows gallery ingest ingest_on latest_snapshot look
open_tenant outcomes over_time own_by_month plan probe reach read_plan read_snapshot redact report
series undo users_moved verify what_people_see
""".split()


def test_the_public_names_are_these_and_sorted():
    assert sorted(toolkit.__all__) == sorted(NAMES)
    assert toolkit.__all__ == dir(toolkit)
    for name in NAMES:
        assert getattr(toolkit, name).__doc__


def modules() -> dict[str, str]:
    """Return the name of each module and each package, by its dotted name."""
    found = (one.name for one in pkgutil.walk_packages(toolkit.__path__, "toolkit."))
    return {dotted: dotted.rpartition(".")[2] for dotted in found}


def test_no_two_modules_have_one_name():
    names = Counter(modules().values())
    assert [name for name, times in names.items() if times > 1] == []


def test_no_module_has_the_name_of_a_public_function_or_of_one_of_its_own():
    """Importing `toolkit.coverage` would put a module in the place of the function."""
    for dotted, name in modules().items():
        assert name not in toolkit.__all__, dotted
        assert not inspect.isfunction(getattr(import_module(dotted), name, None)), dotted


def test_no_module_has_the_name_of_one_of_the_standard_library():
    assert sys.stdlib_module_names.isdisjoint(modules().values())


def test_what_a_room_hands_on_is_there():
    probing = import_module("toolkit.probing")
    assert probing.__all__ == ["look", "notice", "outcomes", "probe", "reach", "settle"]
    assert all(callable(getattr(probing, name)) for name in probing.__all__)


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
