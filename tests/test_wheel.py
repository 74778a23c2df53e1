"""The wheel: what is in it, and that it works where there is nothing else."""

import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Build the wheel of this checkout; uv does so by itself, without a registry."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [os.environ.get("UV", "uv"), "build", "--wheel", "--offline", "--quiet"]
    subprocess.run([*command, "--out-dir", folder, ROOT], check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture
def run(wheel, tmp_path, no_credentials):
    """Run Python in an empty folder, with the wheel's content instead of the checkout's."""
    installed, empty = tmp_path / "installed", tmp_path / "empty"
    ZipFile(wheel).extractall(installed)
    empty.mkdir()

    def run(program, *arguments):
        done = subprocess.run(
            [sys.executable, "-P", "-c", program, *arguments],
            cwd=empty,
            env=os.environ | {"PYTHONPATH": str(installed)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run.installed, run.folder = installed, empty
    return run


def test_it_has_every_file_of_the_package_and_no_other(wheel):
    with ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    about = {name for name in names if ".dist-info/" in name}
    there = {
        file.relative_to(ROOT).as_posix()
        for file in (ROOT / "toolkit").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert names - about == there
    assert "toolkit/py.typed" in names
    assert any(name.endswith("/licenses/LICENSE") for name in about)


def test_its_demo_works_in_an_empty_folder(run):
    program = "import toolkit; from toolkit.cli import main; print(toolkit.__file__); main()"
    text = run(program, "demo", "--users", "50", "--no-progress")
    assert text.startswith(str(run.installed))
    assert "50 users" in text
    written = {file.name for file in (run.folder / "out" / "demo").iterdir()}
    assert written == {"coverage.json", "report.html", "report.json", "snapshot.parquet"}


def test_it_brings_the_notebooks_along(run):
    program = "from toolkit.launch.notebook_pages import notebook_folder; print(notebook_folder())"
    assert run(program).strip() == str(run.folder / "notebooks")
    brought = {file.name: file.read_bytes() for file in (run.folder / "notebooks").iterdir()}
    assert brought == {file.name: file.read_bytes() for file in ROOT.glob("notebooks/*.ipynb")}


def test_a_notebook_that_is_there_already_stays_as_it_is(run):
    folder = run.folder / "notebooks"
    folder.mkdir()
    (folder / "2_default_picture.ipynb").write_text("mine")
    run("from toolkit.launch.notebook_pages import notebook_folder; notebook_folder()")
    assert (folder / "2_default_picture.ipynb").read_text() == "mine"
    assert (folder / "1_avatar_coverage.ipynb").is_file()
