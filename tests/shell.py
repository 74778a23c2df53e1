"""A line of a page, run as a shell would run it, in this process."""

import gzip
import io
import shlex
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest

from toolkit.cli import main

COMMAND = ["uv", "run", "picture-audit"]
# What stands in pages for the domain of the reader's own tenant.
DOMAIN = "your-tenant.eu.auth0.com"


class Answer(NamedTuple):
    code: int
    stdout: str
    stderr: str


def ran(line: str, environment: Mapping[str, str]) -> Answer:
    """Run `uv run picture-audit …`, maybe behind `gunzip -c FILE |`, in the current folder."""
    before, _, last = line.rpartition(" | ")
    words = [environment["AUTH0_DOMAIN"] if word == DOMAIN else word for word in shlex.split(last)]
    assert words[:3] == COMMAND, f"{line}: only this command is run"
    assert not before or before.startswith("gunzip -c "), f"{line}: only gunzip stands in front"
    text = gzip.decompress(Path(before.removeprefix("gunzip -c ")).read_bytes()) if before else b""
    said, told = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(told):
        patch.setattr(sys, "argv", words[2:])
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text), encoding="utf-8"))
        # Keys and answers that are kept go here, and not to the one who runs the tests.
        kept = {name: str(Path.cwd() / "kept") for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME")}
        for name, value in {**environment, **kept}.items():
            patch.setenv(name, value)
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
    return Answer(code, said.getvalue(), told.getvalue())
