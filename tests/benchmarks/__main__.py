"""Measure everything and draw it: `uv run python -m tests.benchmarks --help`."""

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

# Nothing large is imported here: see `tests.benchmarks.measure.cost`.
from tests.benchmarks.measure import cost, middle

PARTS = ("ingest", "small", "analysis", "start", "collection", "panel")
_WAYS = ("pager", "slide", "search", "export")
# Each takes as long as all others.
_SLOW = ("notebook, pandas.read_json", "notebook, json", "notebook, json, hosts only")
_ROOM = 2_000_000  # users beyond whom the rivals that hold all of them are left out
_PICTURE = "https://assets.example.com/default-2026.png"  # never loaded
_PYTHON = sys.executable


def main() -> None:
    """Measure what was asked for."""
    parser = _parser()
    given = parser.parse_args()
    if unknown := {*given.only} - {*PARTS}:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    given.out.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {
        "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}",
        "load_before": os.getloadavg()[0],
        "repeats": given.repeats,
        "left_out": [],
        "rows": [],
    }
    with TemporaryDirectory(prefix="picture-audit-benchmark-", dir=given.work) as folder:
        for row in _rows(given, Path(folder), results["left_out"]):
            results["rows"].append(row)
            _say(", ".join(f"{name} {_short(value)}" for name, value in row.items()))
    results["load_after"] = os.getloadavg()[0]
    file = given.out / "benchmark.json"
    file.write_text(json.dumps(results, indent=2) + "\n", "utf-8")
    subprocess.run([_PYTHON, "-m", "tests.benchmarks.figure", file], check=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "--users",
        type=lambda text: [int(one.replace("_", "")) for one in text.split(",")],
        default=[100_000, 1_000_000],
        help="sizes of the exports, with commas between; 10000000 takes a quarter of an hour",
    )
    parser.add_argument(
        "--only",
        type=lambda text: text.split(","),
        default=list(PARTS),
        help=f"which parts, with commas between: {', '.join(PARTS)}",
    )
    parser.add_argument("--tenant", type=int, default=5000, help="users of the tenant to collect")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each command; the median")
    parser.add_argument("--out", type=Path, default=Path("out/benchmark"), help="where to write")
    parser.add_argument("--work", type=Path, help="where files are kept meanwhile")
    parser.add_argument(
        "--exports", type=Path, help="keep made-up exports there, and take those that are there"
    )
    return parser


def _rows(given: argparse.Namespace, folder: Path, left_out: list[str]) -> Iterator[dict[str, Any]]:
    for users in sorted(given.users):
        export = (given.exports or folder) / f"{users}.json.gz"
        snapshot = folder / "snapshot.parquet"
        repeats = given.repeats if users <= _ROOM else 1
        if {"ingest", "analysis", "panel"} & {*given.only} and not export.exists():
            _say(f"Making {users:,} users up")
            cost(_module("export", str(users), str(export)))
        if "ingest" in given.only:
            commands = _ingestion(export, snapshot, users, left_out)
            yield from _measured("ingest", users, commands, repeats)
        if "small" in given.only:
            small = export.with_name(f"{users}-small.json.gz")
            yield from _measured("small", users, _small(small, folder, users), repeats)
        if "ingest" not in given.only and {"analysis", "panel"} & {*given.only}:
            cost(_ingest(export, snapshot))
        if "analysis" in given.only:
            yield from _measured("analysis", users, _analysis(snapshot), repeats)
        if "panel" in given.only:
            yield {"part": "panel", "users": users} | _told("panel", str(snapshot))
    if "start" in given.only:
        yield from _measured("start", 0, _start(), max(given.repeats, 5))
    if "collection" in given.only:
        yield from (
            {"part": "collection", "what": way} | _told("collection", way, str(given.tenant))
            for way in _WAYS
        )


def _ingestion(
    export: Path, snapshot: Path, users: int, left_out: list[str]
) -> dict[str, list[str]]:
    commands = {
        "gzip -dc": ["gzip", "-dc", str(export)],
        "picture-audit ingest": _ingest(export, snapshot),
        "DuckDB, reading only": _module("rival", "duckdb", str(export)),
        "polars, reading only": _module("rival", "polars", str(export)),
        "notebook, pandas.read_json": _module("rival", "read_json", str(export)),
        "notebook, json": _module("rival", "notebook", str(export)),
        "notebook, json, hosts only": _module("rival", "hosts", str(export)),
    }
    if importlib.util.find_spec("polars") is None:
        del commands["polars, reading only"]
        left_out.append("polars is not installed: uv sync --group benchmark")
    elif users > _ROOM:
        del commands["polars, reading only"]
        left_out.append(f"polars at {users:,} users, which it holds in memory")
    if users > _ROOM:
        for name in _SLOW:
            del commands[name]
        left_out.append(f"the notebooks at {users:,} users, which they hold in memory")
    return commands


def _small(export: Path, folder: Path, users: int) -> dict[str, list[str]]:
    if not export.exists():
        cost(_module("export", str(users), str(export), "small"))
    return {
        "gzip -dc": ["gzip", "-dc", str(export)],
        "picture-audit ingest": _ingest(export, folder / "small.parquet"),
    }


def _analysis(snapshot: Path) -> dict[str, list[str]]:
    file = str(snapshot)
    plan = ("--picture", _PICTURE, "--unseen", "--through", "root", "--out")
    return {
        "coverage --by connection": _command("coverage", file, "--by", "connection"),
        "findings": _command("findings", file),
        "compare, with itself": _command("compare", file, file),
        "plan --through root": _command("plan", file, *plan, str(snapshot.with_suffix(".plan"))),
    }


def _start() -> dict[str, list[str]]:
    return {
        "python -c pass": [_PYTHON, "-c", "pass"],
        "import toolkit": [_PYTHON, "-c", "import toolkit"],
        "picture-audit --help": _command("--help"),
    }


def _ingest(export: Path, snapshot: Path) -> list[str]:
    # One tenant for all sizes: another's snapshot would not be replaced.
    return _command("ingest", str(export), "--out", str(snapshot), "--tenant", "benchmark")


def _measured(
    part: str, users: int, commands: dict[str, list[str]], repeats: int
) -> Iterator[dict[str, Any]]:
    """Measure commands by turns, so that what else the machine does meets all of them."""
    costs: dict[str, list[Any]] = {name: [] for name in commands}
    for turn in range(repeats):
        for name, command in commands.items():
            if turn == 0 or name not in _SLOW:
                costs[name].append(cost(command, discard=True))
    for name, runs in costs.items():
        told = asdict(middle(runs))
        del told["output"]
        yield {"part": part, "users": users, "what": name} | told


def _told(module: str, *arguments: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(cost(_module(module, *arguments)).output)
    return told


def _module(name: str, *arguments: str) -> list[str]:
    return [_PYTHON, "-m", f"tests.benchmarks.{name}", *arguments]


def _command(*arguments: str) -> list[str]:
    return [str(Path(_PYTHON).parent / "picture-audit"), *arguments]


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    main()
