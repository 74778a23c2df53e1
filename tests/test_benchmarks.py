import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks import looking
from tests.benchmarks.collection import measured
from tests.benchmarks.export import Template, write_export
from tests.benchmarks.figure import chart, table
from tests.benchmarks.measure import cost
from toolkit.collection.exports.ingest_files import ingest

ROOT = Path(__file__).parent.parent


def test_the_one_command_measures_and_writes_a_table_and_a_picture(tmp_path):
    command = [sys.executable, "-m", "tests.benchmarks", "--users", "500", "--repeats", "1"]
    command += ["--only", "ingest,small,analysis", "--out", str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "benchmark.md").read_text() == run.stdout
    names = (
        "From an export to a snapshot",
        "small records",
        "gzip -dc",
        "picture-audit ingest",
        "notebook",
    )
    for name in (*names, "compare", "plan"):
        assert name in run.stdout
    assert "<svg" in (tmp_path / "benchmark.svg").read_text()
    rows = json.loads((tmp_path / "benchmark.json").read_text())["rows"]
    assert all(row["seconds"] > 0 and row["peak"] > 0 for row in rows)


def test_the_pager_loses_users_and_the_others_do_not():
    found = {way: measured(way, 1100) for way in ("pager", "slide", "search", "export")}
    assert [found[way]["found"] for way in found] == [1000, 1100, 1100, 1100]
    assert found["search"]["requests"] > found["export"]["requests"] > 0
    assert all(0 < one["share"] <= 1 for one in found.values())


def test_copies_of_people_are_other_people_of_the_same_kinds(tmp_path):
    write_export(tmp_path / "t.json.gz", 300)
    lines = gzip.decompress((tmp_path / "t.json.gz").read_bytes()).splitlines()
    assert len(lines) == len({json.loads(line)["user_id"] for line in lines}) == 300
    template = Template(40)
    text = b"".join(template.copies(3 * template.people))
    (tmp_path / "u.json").write_bytes(text)
    users = ingest([tmp_path / "u.json"], tmp_path / "u.parquet").users
    assert users["user_id"].is_unique
    assert users["email"].dropna().is_unique
    sources = users["source"].tolist()
    assert sources[: template.people] * 3 == sources


def test_the_same_seed_makes_the_same_export(tmp_path):
    for name in ("one", "two"):
        write_export(tmp_path / name, 100)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    with pytest.raises(ValueError, match="can be told apart"):
        write_export(tmp_path / "three", 10**9)


def test_what_fails_is_not_measured():
    assert cost([sys.executable, "-c", "print('done')"]).output == "done\n"
    with pytest.raises(subprocess.CalledProcessError):
        cost([sys.executable, "-c", "raise SystemExit(3)"])


def test_the_picture_says_what_was_measured():
    def row(what, seconds):
        return {"part": "ingest", "users": 1000, "what": what, "seconds": seconds, "cpu": 1.0} | {
            "peak": 5_000_000
        }

    fewer = [one | {"users": 100, "seconds": 0.5} for one in (row("gzip -dc", 2.0),)]
    results = {
        "taken_at": "2026-11-20",
        "machine": "Linux",
        "load_before": 1.0,
        "load_after": 1.0,
        "repeats": 1,
        "left_out": ["polars is not installed"],
        "rows": [
            row("gzip -dc", 2.0),
            row("picture-audit ingest", 2.5),
            row("notebook, json", 30.0),
            row("notebook, pandas.read_json", 50.0),
        ],
    }
    drawn = chart(results)
    assert drawn.title == (
        "1,000 users are a snapshot after 2.5 s, 1.2 times gzip -dc; "
        "notebooks take 12 to 20 times as long"
    )
    assert "notebook: json, DataFrame, apply: 30.0 s   5 MB" in drawn.alt
    assert "| 1,000 | picture-audit ingest | 2.50 | 1.00 | 5 MB | 1.25 | 1.00 |" in table(results)
    assert "polars is not installed" in table(results)
    assert "| gzip -dc | 4.0 times, memory 1.0 times |" in table(
        results | {"rows": [*results["rows"], *fewer]}
    )
    assert chart(results | {"rows": []}) is None


def test_judging_a_picture_takes_at_most_eight_times_as_long_as_decoding_it():
    found = looking.measured(many=8)
    assert found["judged"] > found["decoded"] / 8
