"""What this is built from: fixed by date, declared, used, and licensed."""

import ast
import re
import subprocess
import sys
import tomllib
from datetime import UTC, datetime, timedelta
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.licences import EXPLAINED, licence, parts, required

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PAGE = ROOT / "notebooks" / "guides" / "licences.md"

# Started as programs: `picture-audit lab` and the notebooks' kernel; httpx imports the last itself.
PROGRAMS = {"jupyterlab", "ipykernel", "socksio"}

PERMISSIVE = set(
    "0BSD Apache-2.0 BSD BSD-2-Clause BSD-3-Clause CC0-1.0 HPND ISC MIT MIT-0 MIT-CMU PSF-2.0 "
    "Unlicense Zlib".split()
)


def declared() -> set[str]:
    """Return the names of what the package says it needs, with its extras."""
    extras = PROJECT["project"]["optional-dependencies"].values()
    texts = [*PROJECT["project"]["dependencies"], *(text for extra in extras for text in extra)]
    # An extra that is asked for is called after what it brings: dask[distributed].
    needed = [Requirement(text) for text in texts]
    return {canonicalize_name(name) for one in needed for name in (one.name, *one.extras)}


def imported() -> set[str]:
    """Return the names of what is imported from elsewhere, wherever in a module it is."""
    modules = set()
    for file in (ROOT / "toolkit").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules.add(node.module.partition(".")[0])
    ours = modules - {"toolkit"} - set(sys.stdlib_module_names)
    known = packages_distributions()
    return {canonicalize_name(name) for module in ours for name in known[module]}


def test_what_is_declared_is_imported_and_what_is_imported_is_declared():
    assert declared() >= PROGRAMS
    assert declared() - PROGRAMS == imported() - PROGRAMS


def test_the_resolution_is_fixed_by_a_date_at_least_three_weeks_back():
    # Registries lag. This can only become more true as time passes.
    fixed = datetime.fromisoformat(PROJECT["tool"]["uv"]["exclude-newer"])
    assert fixed <= datetime.now(UTC) - timedelta(weeks=3)


def test_no_lock_file_is_kept():
    assert "uv.lock" in (ROOT / ".gitignore").read_text("utf-8").splitlines()
    command = ["git", "ls-files", "--", "uv.lock"]
    kept = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert kept.stdout == ""


def unexplained(licences: dict[str, str]) -> set[str]:
    """Return the packages whose licence is neither permissive nor explained, or not known."""
    return {
        name
        for name, said in licences.items()
        if name not in EXPLAINED and (not parts(said) or not parts(said) <= PERMISSIVE)
    }


def listed() -> dict[str, str]:
    """Return the packages that the page lists, with their licences."""
    return dict(re.findall(r"^\| `([^`]+)` \| (.*) \|$", PAGE.read_text("utf-8"), re.MULTILINE))


def test_every_installed_licence_is_known_and_permissive_or_explained():
    found = {canonicalize_name(one.name): licence(one) for one in required()}
    assert {"auth0-python", "jupyterlab", "voila", "distributed", "certifi"} <= found.keys()
    assert unexplained(found) == set()


@pytest.mark.parametrize("said", ["unknown", "", "GPL-3.0-only", "MIT AND GPL-3.0-only", "AND"])
def test_a_licence_that_is_not_known_or_not_permissive_is_found(said):
    assert unexplained({"one": said, "other": "MIT"}) == {"one"}


def test_every_licence_on_the_page_is_permissive_or_explained():
    assert unexplained(listed()) == set()
    assert EXPLAINED.keys() <= listed().keys()
    assert all(f"- `{name}`: {text}" in PAGE.read_text("utf-8") for name, text in EXPLAINED.items())


@pytest.mark.skipif(sys.platform != "linux", reason="the page lists what Linux installs")
def test_the_page_names_every_package_that_is_required():
    # Names only: what a package says of its licence depends on its version.
    needed = {canonicalize_name(one.name) for one in required()}
    assert needed <= listed().keys(), (
        "uv run python -m tests.licences > notebooks/guides/licences.md"
    )
