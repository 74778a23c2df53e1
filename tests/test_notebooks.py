"""The notebooks, run from top to bottom through a real kernel."""

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from toolkit.snapshots.snapshot import read_snapshot

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
# The kernel is another process: what it runs is tested here, what its own packages warn of is not.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:zmq|jupyter_client|nbclient")


@pytest.fixture
def run(tmp_path, no_credentials, monkeypatch):
    """Run a notebook in a copy of its folder, with no credentials about."""
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name))

    def run(path: Path):
        folder = tmp_path / "notebooks"
        folder.mkdir()
        notebook = nbformat.read(path, as_version=4)
        NotebookClient(notebook, timeout=300, resources={"metadata": {"path": folder}}).execute()
        return notebook

    return run


def shown(notebook) -> str:
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    return "\n".join(
        text
        for out in outputs
        for kind, text in out.get("data", {}).items()
        if kind.startswith("text/") or kind.endswith("svg+xml")
    )


def test_there_are_notebooks():
    assert NOTEBOOKS


def test_the_first_notebook_tells_the_whole_story_without_credentials(run, tmp_path):
    notebook = run(FOLDER / "1_avatar_coverage.ipynb")
    text = shown(notebook)
    assert "the embedded tenant" in text
    assert "5,000 users, complete" in text
    assert "unresolved" in text
    assert text.count('alt="') >= 4
    assert "What is worth knowing about the pictures of 5,000 users" in text
    assert "never" in text
    widgets = notebook.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    assert "5,000 users" in str(widgets)
    (written,) = (tmp_path / "out").glob("127.0.0.1-*/????-??-??T????.parquet")
    people = read_snapshot(written).users.head(25)
    assert "•••@" in str(widgets)
    assert not any(email in str(widgets) for email in people["email"].dropna())
    assert (tmp_path / "out" / "report.html").exists()
    assert len(nbformat.writes(notebook)) < 1_000_000


def test_the_second_notebook_plans_and_rehearses_a_default_picture(run):
    notebook = run(FOLDER / "2_default_picture.ipynb")
    text = shown(notebook)
    assert "see another picture" in text
    assert "a rehearsal: nothing was written" in text
    assert len(nbformat.writes(notebook)) < 1_000_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_few_and_short_cells_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) <= 12
    for cell in code:
        assert cell.outputs == []
        assert cell.execution_count is None
        assert len(cell.source.splitlines()) <= 6
    assert os.fspath(Path.home()) not in path.read_text()
