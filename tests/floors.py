"""Hold what is pure to full branch coverage by tests of its own.

`uv run python -m tests.floors` runs the tests of the rooms and files below, and nothing else;
it fails where one of their lines or branches is left out. `--others` prints what makes pytest run
all other tests.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]

# What does no input and output, and the tests that cover it. In `analysis`, DuckDB counts.
PURE = {
    "classification": "tests/classification",
    "analysis": "tests/analysis",
    "formatting.py": "tests/formatting",
    "progress.py": "tests/test_progress.py",
    "errors.py": "tests/test_errors.py",
    "change/decide.py": "tests/change/test_plan.py",
    "change/plan_summary.py": "tests/change/test_plan.py",
    "change/policy.py": "tests/change/test_policy.py",
    "change/ways.py": "tests/change/test_plan.py",
    "change/javascript.py": "tests/change/test_javascript.py",
    "change/scopes.py": "tests/change/test_scopes.py",
    "reporting/palette.py": "tests/reporting/test_charts.py",
    "reporting/charts/chart.py": "tests/reporting/test_charts.py",
    "reporting/charts/month_charts.py": "tests/reporting/test_charts.py",
    "reporting/charts/source_charts.py": "tests/reporting/test_charts.py",
    "tenant/models.py": "tests/tenant/test_models.py",
}


def main() -> int:
    """Run their tests and print what they leave out; return the exit code."""
    tests = sorted({*PURE.values()})
    if sys.argv[1:] == ["--others"]:
        sys.stdout.write(" ".join(f"--ignore={one}" for one in tests))
        return 0
    # -P: of the toolkit that is installed, which may be the built wheel, and not of the checkout.
    python = [sys.executable, "-P"]
    asked = [*python, "-c", "import toolkit; print(toolkit.__path__[0])"]
    folder = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    places = ",".join(f"{folder}/{one}{'' if one.endswith('.py') else '/*'}" for one in PURE)
    with tempfile.TemporaryDirectory() as data:
        environment = os.environ | {"COVERAGE_FILE": f"{data}/coverage"}
        for command in (
            ["pytest", "-q", "--cov", "--cov-report=", *tests],
            ["coverage", "report", f"--include={places}", "--fail-under=100"],
        ):
            done = subprocess.run([*python, "-m", *command], cwd=ROOT, env=environment, check=False)
            if done.returncode:
                return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
