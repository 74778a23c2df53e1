"""Hold each pure floor to full branch coverage by tests of its own.

`uv run python -m tests.floors` runs the tests that mirror the pure modules, and nothing else;
it fails where one of their lines or branches is left out. Which modules are pure is read off
the layers in pyproject.toml: all of those below the floor that does input and output.
"""

import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
_LOWEST_IMPURE = "toolkit.provenance : toolkit.draft"


def pure() -> list[str]:
    """Return the names of the pure modules, without the package's."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (layers,) = (
        contract["layers"]
        for contract in settings["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers"
    )
    below = layers[layers.index(_LOWEST_IMPURE) + 1 :]
    return [name.strip().removeprefix("toolkit.") for layer in below for name in layer.split(":")]


def main() -> int:
    """Run their tests and print what they leave out; return the exit code."""
    modules = pure()
    tests = [path for name in modules if (path := ROOT / f"tests/test_{name}.py").exists()]
    # -P: of the toolkit that is installed, which may be the built wheel, and not of the checkout.
    python = [sys.executable, "-P"]
    asked = [*python, "-c", "import toolkit; print(toolkit.__path__[0])"]
    folder = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    places = ",".join(f"{folder}/{name}{end}" for name in modules for end in (".py", "/*.py"))
    with tempfile.TemporaryDirectory() as data:
        environment = os.environ | {"COVERAGE_FILE": f"{data}/coverage"}
        for command in (
            ["pytest", "-q", "--cov", "--cov-report=", *map(str, tests)],
            ["coverage", "report", f"--include={places}", "--fail-under=100"],
        ):
            done = subprocess.run([*python, "-m", *command], cwd=ROOT, env=environment, check=False)
            if done.returncode:
                return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
