"""What the README says is what happens."""

import re

import pytest

from tests.pages import ROOT
from tests.pictures import FOLDER, drawn
from tests.shell import ran
from toolkit.sandbox.server import Sandbox

README = (ROOT / "README.md").read_text("utf-8")
IN_TABLE = [
    text.replace("\\|", "|") for text in re.findall(r"\| `(uv run .*?|gunzip .*?)` \|", README)
]
# These serve until they are stopped; their own tests do that.
SERVERS = ("picture-audit lab", "picture-audit dashboard", "picture-audit sandbox")
USER = {
    "user_id": "auth0|1",
    "created_at": "2024-01-01T00:00:00.000Z",
    "picture": "https://cdn.auth0.com/avatars/ab.png",
}


@pytest.fixture
def folder(tmp_path, no_credentials):
    """An empty folder with the sample tenant in it, and no credentials."""
    (tmp_path / "data").symlink_to(ROOT / "data")
    return tmp_path


def test_the_first_screen_holds_the_picture_and_the_two_commands():
    screen = README[: README.index("## ")]
    assert len(screen.splitlines()) <= 32
    assert "pip install uv\nuv run picture-audit demo" in screen
    assert "uv run pytest" in screen
    assert "coverage.svg" in screen


def test_the_demo_command_does_what_the_first_screen_says(folder):
    answer = ran("uv run picture-audit demo", {})
    assert answer.code == 0, answer.stderr
    assert "5,000 users" in answer.stdout


def test_the_commands_of_the_tables_work_in_their_order(folder):
    commands = [one for one in IN_TABLE if not any(server in one for server in SERVERS)]
    assert len(commands) >= 15
    with Sandbox([USER]) as sandbox:
        for command in commands:
            answer = ran(command, sandbox.environment())
            assert answer.code == 0, (command, answer.stderr)


def test_the_pictures_are_what_is_drawn():
    for name, chart in drawn().items():
        assert (FOLDER / name).read_text("utf-8") == chart.svg()
        assert f"![{chart.title}](notebooks/pictures/{name})" in README


def test_it_says_when_a_cluster_is_worth_it():
    section = README.partition("## When one machine is not enough")[2].partition("\n## ")[0]
    assert "worth it where" in section
    assert "notebooks/guides/scale.md" in section
