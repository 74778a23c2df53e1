"""What the README says is what happens."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pictures import FOLDER, drawn
from toolkit.cli import app
from toolkit.picture import Source
from toolkit.sandbox.faults import FAULTS
from toolkit.sandbox.server import Sandbox

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
IN_TABLE = [
    text.replace("\\|", "|") for text in re.findall(r"\| `(uv run .*?|gunzip .*?)` \|", README)
]
# These serve until they are stopped; their own tests do that.
SERVERS = ("picture-audit lab", "picture-audit dashboard", "picture-audit sandbox")


@pytest.fixture
def run(tmp_path, no_credentials):
    """Run a shell command of the README in a copy of what it needs, with this environment."""
    (tmp_path / "data").symlink_to(ROOT / "data")

    def run(command, environment=None):
        python = shlex.quote(sys.executable)
        own = f"{python} -c 'from toolkit.cli import main; main()'"
        command = command.replace("uv run picture-audit", own)
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=tmp_path,
            env=os.environ | (environment or {}),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def test_the_first_screen_holds_the_picture_and_the_two_commands():
    screen = README[: README.index("## ")]
    assert len(screen.splitlines()) <= 32
    assert "pip install uv && uv run picture-audit demo" in screen
    assert "uv run pytest" in screen
    assert "coverage.svg" in screen


def test_the_demo_command_does_what_the_first_screen_says(run):
    command = next(text for kind, text in BLOCKS if kind == "sh" and "demo" in text)
    answer = run(command.replace("pip install uv && ", ""))
    assert answer.returncode == 0, answer.stderr
    assert "5,000 users" in answer.stdout


def test_the_commands_of_the_table_work_in_their_order(run):
    commands = [one for one in IN_TABLE if not any(server in one for server in SERVERS)]
    assert len(commands) >= 6
    with Sandbox([{"user_id": "auth0|1", "created_at": "2024-01-01T00:00:00.000Z"}]) as sandbox:
        for command in commands:
            answer = run(command, sandbox.environment())
            assert answer.returncode == 0, (command, answer.stderr)


def test_the_python_block_runs(run, tmp_path):
    (tmp_path / "block.py").write_text(next(text for kind, text in BLOCKS if kind == "python"))
    answer = run(f"{shlex.quote(sys.executable)} block.py")
    assert answer.returncode == 0, answer.stderr
    assert "unresolved" in answer.stdout


def test_links_lead_somewhere():
    for target in re.findall(r"\]\((?!https:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_table_of_sources_is_the_one_of_the_code():
    for source in Source:
        row = re.search(rf"^\| `{source}` \| (.*) \|$", README, re.MULTILINE)
        assert row, source
    assert len(re.findall(r"^\| `\w+` \| ", README, re.MULTILINE)) == len(Source)


def test_the_pictures_are_what_is_drawn():
    for name, chart in drawn().items():
        assert (FOLDER / name).read_text("utf-8") == chart.svg()
        assert f"![{chart.title}](notebooks/pictures/{name})" in README


def test_every_command_is_documented():
    for command in app.registered_commands:
        name = command.name or command.callback.__name__
        assert f"picture-audit {name}" in README


def test_every_fault_of_the_sandbox_is_in_the_table_of_promises():
    table = README[README.index("| what goes wrong |") :].partition("\n\n")[0]
    for fault in FAULTS:
        assert f"`{fault}`" in table
    for name in re.findall(r"`(tests/[^`]+)`", table):
        assert (ROOT / name).is_file()
