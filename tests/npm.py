"""Packages of the npm registry that tests need: installed once, kept between runs."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

_SWITCH = "PICTURE_AUDIT_NODE"
_OPTIONS = ("--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts")


def installed(config: pytest.Config, name: str, package: Path, fallback: Path) -> Path:
    """Return the folder in which what a package.json names is installed.

    Args:
        config: pytest's; its cache folder keeps what was installed.
        name: what to call the folder.
        package: the package.json.
        fallback: where to install it if there is no cache.
    """
    npm = shutil.which("npm")
    if npm is None:
        without(name, "npm is not found")
    wanted = package.read_text(encoding="utf-8")
    folder = config.cache.mkdir(name) if config.cache else fallback
    copy, complete = folder / "package.json", folder / "complete"
    if not (complete.exists() and copy.read_text() == wanted):
        complete.unlink(missing_ok=True)
        copy.write_text(wanted)
        command = [npm, "install", *_OPTIONS]
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120, check=False)
        if done.returncode:
            without(name, "npm could not install it")
        complete.touch()
    return folder


def without(name: str, reason: str) -> None:
    """Skip loudly, or fail where it must be there."""
    text = f"NOT TESTED WITH {name.upper()}: {reason}; {_SWITCH}=required makes this a failure"
    if os.environ.get(_SWITCH) == "required":
        pytest.fail(text)
    pytest.skip(text)
