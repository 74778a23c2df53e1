"""The same users give the same snapshot, whatever file they come in."""

import gzip
import json
import re

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.collection import fuzz
from tests.collection.file_shapes import NOW, SHAPES, TOOLS, Shape, lines, made_up, sheet
from tests.conftest import FUZZ
from tests.pages import GUIDES
from tests.shell import ran
from toolkit.collection.exports import ingest_files
from toolkit.collection.exports.ingest_files import ingest
from toolkit.snapshots.snapshot import read_snapshot

USERS = made_up(1_000)
ROWS = re.findall(
    r"^\| (.+?) \| .+ \| `(uv run picture-audit ingest (\S+))` \|$",
    (GUIDES / "files.md").read_text("utf-8"),
    re.MULTILINE,
)


def table_of(folder, name, content):
    """Read one file; return its snapshot's rows, and what is known of them."""
    path, out = folder / name, folder / "out.parquet"
    path.write_bytes(content)
    told = ingest(path, out, taken_at=NOW, force=True).provenance
    path.unlink()
    return pq.read_table(out).replace_schema_metadata(None), told


def different(found, wanted):
    """Return the first rows that differ, for whoever reads the failure."""
    if found.equals(wanted):
        return None
    pairs = zip(found.to_pylist(), wanted.to_pylist(), strict=True)
    return next(
        {name: (one[name], two[name]) for name in two if one[name] != two[name]}
        for one, two in pairs
        if one != two
    )


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_each_shape_gives_the_snapshot_of_plain_ndjson(shape, tmp_path):
    found, told = table_of(tmp_path, shape.name, shape.write(USERS))
    wanted, plain = table_of(tmp_path, "plain.ndjson", lines(map(shape.carried, USERS)))
    assert different(found, wanted) is None
    assert told.complete
    assert told.users == len(USERS)
    assert told.absent == plain.absent
    assert re.search(shape.note, " ".join(told.notes))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    st.sampled_from(sorted(SHAPES)), st.integers(1, 40), st.integers(200, 5_000), st.integers(1, 9)
)
def test_the_size_of_what_is_read_at_once_changes_nothing(tmp_path, name, count, block, rows):
    shape: Shape = SHAPES[name]
    users = USERS[:count]
    wanted, _ = table_of(tmp_path, "plain.ndjson", lines(map(shape.carried, users)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ingest_files, "_BLOCK", block)
        patch.setattr(ingest_files, "_ROWS", rows)
        found, _ = table_of(tmp_path, shape.name, shape.write(users))
    assert different(found, wanted) is None


@pytest.mark.parametrize("reader", fuzz.READERS)
def test_a_damaged_file_loses_no_user_without_a_word(reader, tmp_path):
    wrong = [
        (result, name)
        for result, name in fuzz.run(reader, range(FUZZ or 8), "suite", tmp_path)
        if result.startswith("WRONG")
    ]
    assert wrong == []


def test_the_guide_and_the_makers_know_the_same_tools():
    assert [tool for tool, *_ in ROWS] == list(TOOLS)


@pytest.mark.parametrize(("tool", "command", "name"), ROWS, ids=[tool for tool, *_ in ROWS])
def test_what_the_guide_says_to_run_reads_the_file_of_that_tool(
    no_credentials, tmp_path, tool, command, name
):
    users, shape = USERS[:30], TOOLS[tool]
    assert name == shape.name
    (tmp_path / name).write_bytes(shape.write(users))
    answer = ran(command, {})
    assert answer.code == 0, answer.stderr
    (out,) = (tmp_path / "out").glob("*/*.parquet")
    assert str(out.relative_to(tmp_path)) in answer.stderr
    found = read_snapshot(out).users
    assert list(found["user_id"]) == [user["user_id"] for user in users]
    assert list(found["picture"].fillna("")) == [user["picture"] or "" for user in users]


def test_what_the_guide_says_of_other_names_works(no_credentials, tmp_path):
    shown = re.findall(r"^.*--map.*$", (GUIDES / "files.md").read_text("utf-8"), re.MULTILINE)
    ingested, explained = [line for line in shown if "picture-audit" in line]
    rows = [{"key": user["user_id"], "foto": user["picture"]} for user in USERS[:5]]
    (tmp_path / "people.csv").write_bytes(sheet(rows))
    (tmp_path / "people.csv.gz").write_bytes(gzip.compress(sheet(rows)))
    answer = ran(ingested, {})
    assert answer.code == 0, answer.stderr
    (out,) = (tmp_path / "out").glob("people/*.parquet")
    found = read_snapshot(out).users
    assert list(found["picture"]) == [user["picture"] for user in USERS[:5]]
    answer = ran(explained, {})
    assert answer.code == 0, answer.stderr
    told = [json.loads(line)["source"] for line in answer.stdout.splitlines()]
    assert told == list(found["source"])
