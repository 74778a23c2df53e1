"""Whatever stands in a file or a query, it is read, or refused in words; nothing else happens.

Hypothesis makes the same examples in every run that has imported the same modules: it tries the
constants that stand in them, too. To look for new ones, and for longer:
`PICTURE_AUDIT_FUZZ=5000 uv run pytest -n0 tests/test_fuzz.py` tries so many for each test, other
ones each time, and prints what breaks.

Hypothesis alone, without atheris: what is ours here is Python that Hypothesis steers well by
structure (lines, keys, types), and the bytes end in the C of DuckDB, Arrow, zlib and `json`,
which atheris could only follow if they were built for it.
"""

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.conftest import FUZZ
from tests.hostile import BROKEN, LINES, LONG, TEXTS
from tests.sandbox.conftest import Client, person
from toolkit.analysis.selection import Selection
from toolkit.change.decide import ROWS
from toolkit.change.journal import Header, State, link_to, open_journal, read_journal
from toolkit.change.plan_file import edits, read_plan
from toolkit.change.plan_summary import Plan
from toolkit.change.prepare import plan
from toolkit.change.preview.gallery_data import gallery
from toolkit.classification.frames import audit, profiles
from toolkit.classification.user_profile import user
from toolkit.collection.exports.ingest_files import ingest
from toolkit.collection.exports.reader import user_objects
from toolkit.collection.place import open_state, state_path
from toolkit.errors import PictureAuditError, UnreadableInputError
from toolkit.reporting.html_report import report
from toolkit.sandbox.made_up.tenants import people
from toolkit.sandbox.server import Sandbox
from toolkit.snapshots.comparison import compare
from toolkit.snapshots.query import Roster
from toolkit.snapshots.redaction import redact
from toolkit.snapshots.snapshot import Provenance, Snapshot, read_snapshot


def tried(examples: int):
    """Try so many examples, or as many as somebody asks for who looks for new ones."""
    return settings(
        max_examples=FUZZ or examples,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


@pytest.fixture
def folder(tmp_path) -> Iterator[Path]:
    """Return a folder that each example empties for itself."""
    return tmp_path


def emptied(folder: Path) -> Path:
    for file in folder.iterdir():
        file.unlink()
    return folder


@contextmanager
def said() -> Iterator[None]:
    """Let through what the package says of a file, in a line or two; anything else is a bug."""
    refused = None
    try:
        yield
    except PictureAuditError as error:
        refused = str(error)
    assert refused is None or (len(refused) < 2000 and refused.count("\n") <= 2)


# What damages a text: a piece is taken out, put in, repeated, or moved.
bytes_of_trouble = st.one_of(
    st.binary(max_size=20),
    st.sampled_from(
        [
            b"\x00",
            b"\n",
            b"\r\n",
            b"\xff\xfe",
            b"\x1f\x8b",
            b"\xef\xbb\xbf",
            b'"',
            b"{",
            b"}",
            b"[" * 2000,
        ]
    ),
)
damages = st.lists(
    st.tuples(
        st.sampled_from(["cut", "insert", "repeat", "swap"]), st.floats(0, 1), bytes_of_trouble
    ),
    max_size=4,
)


def damaged(content: bytes, some: list[tuple[str, float, bytes]]) -> bytes:
    for how, where, what in some:
        place = int(where * len(content))
        lines = content.splitlines(keepends=True)
        if how == "cut":
            content = content[:place] + content[place + 1 + len(what) :]
        elif how == "insert":
            content = content[:place] + what + content[place:]
        elif lines and how == "repeat":
            content += lines[int(where * (len(lines) - 1))]
        elif lines:
            lines.insert(0, lines.pop(int(where * (len(lines) - 1))))
            content = b"".join(lines)
    return content


texts = st.one_of(
    st.text(max_size=20),
    st.sampled_from([text for text in TEXTS.values() if len(text) < LONG // 8]),
)
values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.integers(-(10**20), 10**20),
        st.floats(),
        texts,
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)

# --- export files ---

good_lines = st.integers(0, 999).map(lambda number: json.dumps(person(number)).encode())
odd_lines = st.one_of(
    st.sampled_from([line for line in [*LINES.values(), *BROKEN.values()] if len(line) < 20_000]),
    st.binary(max_size=30).map(lambda data: data.replace(b"\n", b"")),
    st.dictionaries(
        st.sampled_from(
            ["user_id", "name", "picture", "identities", "user_metadata", "logins_count"]
        ),
        values,
    ).map(lambda found: json.dumps(found).encode()),
)


@tried(60)
@given(st.lists(st.tuples(good_lines, odd_lines), min_size=1, max_size=5))
def test_a_good_line_is_never_lost_to_a_bad_neighbour(folder, pairs):
    out = emptied(folder) / "out.parquet"
    path = folder / "t.ndjson"
    path.write_bytes(b"".join(b"%s\n%s\n" % pair for pair in pairs))
    with said():
        ingest([path], out)
    found = read_snapshot(out)
    assert {json.loads(line)["user_id"] for line, _ in pairs} <= set(found.users["user_id"])
    assert len(found.users) == found.provenance.users


@tried(80)
@given(st.one_of(st.binary(max_size=200), st.just(b'user_id,picture\n"\'a","\'b"\n')), damages)
def test_any_bytes_are_an_export_or_refused(folder, content, some):
    out = emptied(folder) / "out.parquet"
    path = folder / "t.csv"
    path.write_bytes(damaged(content, some))
    with said():
        ingest([path], out)
    if out.exists():
        read_snapshot(out).users  # noqa: B018 - it is read


GOOD = [json.dumps(person(number)).encode() + b"\n" for number in range(60)]
PACKED = gzip.compress(b"".join(GOOD[:30]), 1) + gzip.compress(b"".join(GOOD[30:]), 1)


@tried(60)
@given(st.integers(0, len(PACKED)), damages)
def test_a_gzip_that_is_cut_or_damaged_keeps_what_stands_before(folder, length, some):
    out = emptied(folder) / "out.parquet"
    path = folder / "t.gz"
    path.write_bytes(damaged(PACKED[:length], some))
    with said():
        ingest([path], out)
    if not some and length < len(PACKED) and out.exists():
        assert not read_snapshot(out).provenance.complete
    whole = gzip_begin(PACKED[:length])
    if not some and whole.count(b"\n"):
        assert len(read_snapshot(out).users) >= whole.count(b"\n")


def gzip_begin(data: bytes) -> bytes:
    """Return what of the first member of gzip data can be inflated."""
    return zlib.decompressobj(31).decompress(data)


@tried(200)
@given(st.lists(st.one_of(odd_lines, good_lines), max_size=3))
def test_lines_on_stdin_are_read_or_refused(lines):
    with said():
        for record in user_objects(io.BytesIO(b"".join(lines)), "stdin"):
            user(record)


# --- the sandbox's queries ---


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with Sandbox([person(number) for number in range(20)]) as sandbox, Client(sandbox) as client:
        client.sign_in()
        yield client


words = st.sampled_from(
    [
        *"name: email: user_id: user_metadata.a: _exists_: created_at:".split(),
        *' ( ) [ ] { } " \\ * ? ~ ^ - ! + / : && ||'.split(),
        *[
            " AND ",
            " OR ",
            " NOT ",
            " TO ",
            "auth0|000001",
            "2024-01-01",
            "*",
            "per",
            "\x00",
            "\ud800",
        ],
    ]
)
queries = st.one_of(st.text(max_size=60), st.lists(words, max_size=30).map("".join))


@tried(250)
@given(queries)
@example("(" * 4000)
@example("name:" + "a*" * 3000)
@example("-" * 8000)
@example(" OR ".join(["name:a*"] * 700))
@example("name:[" + "a" * 4000 + " TO *]")
def test_every_query_is_answered_or_refused(client, query):
    answer = client.users(q=query.encode("utf-8", "replace").decode())
    assert answer.status_code in {200, 400}, (answer.status_code, query)
    if answer.status_code == 400:
        assert answer.json()["errorCode"] == "invalid_query_string"


# --- journals ---

HEADER = Header("tenant.example", "0123456789abcdef", "root")
NUMBERS = st.one_of(
    st.integers(-3, 5),
    st.sampled_from([10**7, 2**31, 2**63, 10**30, -1, 0.5, None, "1", True, 1e400]),
)
entries = st.fixed_dictionaries(
    {},
    optional={
        "n": NUMBERS,
        "user": values,
        "connection": values,
        "strategy": values,
        "field": st.sampled_from(["picture", "metadata_picture", "email", "app_metadata", 1, None]),
        "before": values,
        "after": values,
        "state": st.one_of(st.sampled_from([*State]), values),
        "reason": values,
        "step": values,
        "format": values,
    },
)


def compact(line: dict) -> bytes:
    """Return a line of a journal as the tool writes it."""
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"


def journal_lines() -> bytes:
    lines = [
        {"format": "auth0-picture-audit journal", "version": 1, "tenant": HEADER.tenant}
        | {"plan": HEADER.plan, "way": "root", "kind": "apply"}
    ]
    for number in range(4):
        begun = {"n": number, "user": f"auth0|{number}", "connection": "db", "strategy": "auth0"}
        lines.append(
            begun | {"field": "picture", "before": "https://a.b/c", "after": "https://a.b/d"}
        )
        lines.append({"n": number, "state": "done", "reason": ""})
    return b"".join(compact(line) for line in lines)


def chained(content: bytes) -> bytes:
    """Return a journal of version 1 as one of version 2: linked, and with an end."""
    first, *others = map(json.loads, content.splitlines())
    lines = [compact(first | {"version": 2, "id": "0123456789abcdef"})]
    for one in [*others, {"end": "complete", "lines": len(others) + 1}]:
        lines.append(compact(one | {"link": link_to(lines[-1])}))
    return b"".join(lines)


JOURNAL = journal_lines()
CHAINED = chained(JOURNAL)


def read_all(path: Path) -> None:
    journal = read_journal(path)
    found = list(journal.entries(*State))
    assert len(found) <= path.read_bytes().count(b"\n")
    assert all(isinstance(one.user_id, str) and one.field == "picture" for one, _ in found)
    assert all(0 <= one.number < 2**27 for one, _ in found)


@tried(200)
@given(
    st.one_of(st.sampled_from([JOURNAL, CHAINED]), st.binary(max_size=100)),
    damages,
    st.lists(entries, max_size=3),
)
@example(CHAINED, [], [])
@example(CHAINED, [], [{"end": [], "lines": 10}])
@example(JOURNAL, [], [{"n": 10**12, "state": "done", "reason": ""}])
@example(JOURNAL, [], [{"n": -9, "state": "done", "reason": ""}])
@example(JOURNAL, [("insert", 0.5, b"\n" + b"[" * 100_000 + b"\n")], [])
def test_a_journal_is_read_or_refused(folder, content, some, added):
    path = emptied(folder) / "p.journal"
    written = damaged(content, some)
    if added and not written.endswith(b"\n"):
        written += b"\n"
    path.write_bytes(written + b"".join(json.dumps(one).encode() + b"\n" for one in added))
    with said():
        read_all(path)
    with said(), open_journal(path, HEADER, write=False) as journal:
        journal.settled(0)


def test_a_journal_that_is_linked_is_read(tmp_path):
    path = tmp_path / "p.journal"
    path.write_bytes(CHAINED)
    read_all(path)
    assert read_journal(path).incomplete_reason is None


def test_a_number_below_zero_says_nothing_of_the_last_change(tmp_path):
    path = tmp_path / "p.journal"
    path.write_bytes(JOURNAL + b'{"n":-1,"state":"failed","reason":""}\n')
    with pytest.raises(UnreadableInputError, match="damaged"):
        read_journal(path)


BEGUN = {"n": 9, "user": "auth0|9", "connection": None, "strategy": None}
BEGUN |= {"field": "picture", "before": "a", "after": "b"}


@pytest.mark.parametrize(
    "line",
    [
        json.dumps(BEGUN | {"field": "metadata_picture"}).encode(),
        json.dumps(BEGUN | {"field": "app_metadata"}).encode(),
        json.dumps(BEGUN | {"user": ["auth0|9"]}).encode(),
        json.dumps(BEGUN | {"connection": {}}).encode(),
        json.dumps(BEGUN | {"n": 1.0}).encode(),
        b'{"user":null,"step":[]}',
        b'{"n":true,"state":"done","reason":""}',
        b'{"n":100000000000,"state":"done","reason":""}',
        b"[" * 100_000,
    ],
)
def test_a_line_that_no_run_wrote_is_refused_and_the_file_stays(tmp_path, line):
    path = tmp_path / "p.journal"
    path.write_bytes(JOURNAL + line + b"\n")
    with pytest.raises(UnreadableInputError, match="damaged"):
        read_journal(path)
    with pytest.raises(UnreadableInputError), open_journal(path, HEADER, write=True):
        pass
    assert path.read_bytes() == JOURNAL + line + b"\n"


@pytest.mark.parametrize("head", [{"way": "x"}, {"way": "root", "kind": "x"}, {"way": None}])
def test_a_journal_of_no_known_way_is_refused(tmp_path, head):
    path = tmp_path / "p.journal"
    first = json.loads(JOURNAL.partition(b"\n")[0]) | head
    path.write_bytes(json.dumps(first).encode() + b"\n")
    with pytest.raises(UnreadableInputError, match="first line"):
        read_journal(path)


# --- states of unfinished collections ---

STATE = b"".join(
    json.dumps(one).encode() + b"\n"
    for one in (
        {"format": "auth0-picture-audit collection", "version": 1, "tenant": "t.example"}
        | {"method": "search", "taken_at": "2026-11-20T00:00:00+00:00"},
        {
            "window": {
                "query": "q",
                "span": [0, 9],
                "users": [list(user(person(1)))[:5] + [1] * 3 + [1, "p", None]],
            }
        },
        {"job": "job_1"},
    )
)
window_values = st.fixed_dictionaries(
    {},
    optional={
        "window": st.one_of(
            values,
            st.fixed_dictionaries(
                {
                    "query": values,
                    "span": st.one_of(st.none(), st.lists(NUMBERS, max_size=3)),
                    "users": st.one_of(
                        values,
                        st.lists(
                            st.lists(st.one_of(NUMBERS, values), min_size=11, max_size=11),
                            max_size=2,
                        ),
                    ),
                }
            ),
        ),
        "job": values,
        "tenant": values,
        "taken_at": values,
    },
)


@tried(200)
@given(
    st.one_of(st.just(STATE), st.binary(max_size=60)), damages, st.lists(window_values, max_size=3)
)
@example(STATE + b"[" * 100_000 + b"\n", [], [])
@example(STATE, [], [{"window": {"query": "q", "span": [0, 10**40], "users": []}}])
@example(
    STATE,
    [],
    [{"window": {"query": "q", "span": None, "users": [["a"] * 5 + [10**40] + [None] * 5]}}],
)
@example(STATE, [], [{"window": {"query": "q", "span": None, "users": [[None] * 11]}}])
@example(STATE.replace(b"+00:00", b""), [], [])
def test_the_state_of_a_collection_is_read_or_refused(folder, content, some, added):
    out = emptied(folder) / "out.parquet"
    written = damaged(content, some)
    if added and not written.endswith(b"\n"):
        written += b"\n"
    state_path(out).write_bytes(
        written + b"".join(json.dumps(one).encode() + b"\n" for one in added)
    )
    with (
        said(),
        open_state(
            out,
            tenant="t.example",
            method="auto",
            choose=lambda: "search",
            now=lambda: datetime(2026, 11, 20, tzinfo=UTC),
        ) as state,
    ):
        assert state.method in {"search", "export"}
        assert state.taken_at.utcoffset() is not None
        assert state.job is None or isinstance(state.job, str)
        for window in state.windows:
            assert isinstance(window.query, str)
            audit(profiles(window.users))


# --- plans and snapshots ---


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> tuple[Path, Path]:
    """A snapshot and a plan, as files."""
    folder = tmp_path_factory.mktemp("kept")
    frame = audit(profiles(user(person(number)) for number in range(9)))
    now = datetime(2026, 11, 20, tzinfo=UTC)
    provenance = Provenance("t.example", now, "search", True, 9, 1, 1, 1.0, False, "0")
    Snapshot(provenance, frame).write(folder / "s.parquet")
    whole = read_snapshot(folder / "s.parquet")
    plan(whole, "https://images.example/new.png", through="root", out=folder / "p.plan")
    return folder / "s.parquet", folder / "p.plan"


def use_plan(path: Path) -> None:
    made = read_plan(path)
    repr(made)
    made._repr_html_()
    assert json.dumps(made.as_dict())
    for edit in edits(made):
        assert edit.after == made.policy.picture


def use_snapshot(path: Path) -> None:
    whole = read_snapshot(path)
    repr(whole)
    assert json.dumps(whole.summary())
    repr(whole.findings())
    assert len(whole.users) < 100


ODD = [None, True, -1, 0, 10**40, float("inf"), float("nan"), "", "x", "\ud800", [], {}, [[]]]
ODD += [[None], {"a": None}, {"a": {"b": "c"}}, {"a": {"change": -3}}, ["a"], [["a", "b", "c"]]]
ODD += ["2026-01-01T00:00:00", [{"outcome": "change", "reason": None, "users": 10**30}], 0.5]


def edited(document):
    """Yield a document again and again, each time with one odd value in one place."""
    for path in paths(document):
        for value in ODD:
            copy = json.loads(json.dumps(document))
            at = copy
            for key in path[:-1]:
                at = at[key]
            at[path[-1]] = value
            yield copy


def paths(document, above=()):
    for key, value in document.items() if isinstance(document, dict) else enumerate(document):
        yield (*above, key)
        if isinstance(value, dict | list):
            yield from paths(value, (*above, key))


# What their readers turn into a refusal, in one place each.
_REFUSED = (AttributeError, KeyError, TypeError, ValueError, PictureAuditError)


def test_a_plan_whose_header_was_edited_is_refused_or_can_be_shown(kept):
    taken = 0
    whole = read_plan(kept[1]).as_dict()
    del whole["effort"], whole["explanation"]  # not read back
    for document in edited(whole):
        try:
            made = Plan.from_dict(document)
        except _REFUSED:
            continue
        taken += 1
        assert made.changes >= 0
        assert repr(made)
        assert made._repr_html_()
        assert json.dumps(made.as_dict())
        assert len(made.table("way")) == 4
    assert taken > 100


def test_a_snapshot_whose_header_was_edited_is_refused_or_can_be_shown(kept):
    whole = read_snapshot(kept[0])
    for document in edited(whole.provenance.as_dict()):
        try:
            origin = Provenance.from_dict(document)
        except _REFUSED:
            continue
        assert repr(Snapshot(origin, whole.users))
        assert json.dumps(origin.as_dict())


@tried(80)
@given(st.sampled_from([0, 1]), damages, st.floats(0, 1))
def test_a_damaged_parquet_is_refused_or_read(kept, folder, which, some, end):
    content = damaged(kept[which].read_bytes(), some)
    path = emptied(folder) / "file"
    path.write_bytes(content if some else content[: int(end * len(content))])
    with said():
        (use_snapshot, use_plan)[which](path)


def use_roster(path: Path) -> None:
    with Roster(read_snapshot(path)) as roster:
        roster.choices()
        roster.page(Selection(text="an"))
        roster.write_csv(path.with_suffix(".csv"))


# What reads snapshots, each in its own way: DuckDB or Arrow, some columns or all of them.
READERS = {
    "summary": lambda path: read_snapshot(path).summary("connection"),
    "findings": lambda path: repr(read_snapshot(path).findings()),
    "users": lambda path: read_snapshot(path).users.to_dict("records"),
    "write": lambda path: read_snapshot(path).write(path.with_suffix(".copy")),
    "compare": lambda path: compare(read_snapshot(path), read_snapshot(path)),
    "plan": lambda path: plan(
        read_snapshot(path), "https://images.example/new.png", through="root"
    ),
    "redact": lambda path: redact(read_snapshot(path), path.with_suffix(".red"), key=b"k" * 32),
    "roster": use_roster,
}
PLAN_READERS = {
    "edits": lambda crowd, path: list(edits(read_plan(path))),
    "gallery": lambda crowd, path: gallery(read_snapshot(crowd), read_plan(path))._repr_html_(),
}


@pytest.fixture(scope="module")
def crowd(tmp_path_factory) -> Path:
    """A snapshot of so many that most of it is pages, and not the footer; a plan beside it."""
    path = tmp_path_factory.mktemp("crowd") / "s.parquet"
    frame = audit(profiles(user(one.record) for one in islice(people(), 500)))
    now = datetime(2026, 11, 20, tzinfo=UTC)
    provenance = Provenance("t.example", now, "search", True, 500, 1, 1, 1.0, False, "0")
    Snapshot(provenance, frame).write(path)
    through = {"through": "root", "out": path.with_suffix(".plan")}
    plan(read_snapshot(path), "https://images.example/new.png", **through)
    return path


flips = st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=3)


def flipped(file: Path, folder: Path, some: list[tuple[float, int]]) -> Path:
    """Write a copy of a file with some of its bytes changed."""
    content = bytearray(file.read_bytes())
    for where, value in some:
        content[int(where * len(content))] = value
    path = emptied(folder) / "copy.parquet"
    path.write_bytes(content)
    return path


@tried(25)
@given(flips)
@pytest.mark.parametrize("reader", READERS)
def test_a_snapshot_with_bytes_of_its_pages_changed_is_refused_or_read(crowd, folder, reader, some):
    path = flipped(crowd, folder, some)
    with said():
        READERS[reader](path)


@tried(8)  # it reads as those above do; the rest is drawing, half a second each time
@given(flips)
def test_a_report_of_a_snapshot_with_bytes_changed_is_refused_or_written(crowd, folder, some):
    path = flipped(crowd, folder, some)
    with said():
        report(read_snapshot(path), path.with_suffix(".html"), personal=True)


@tried(25)
@given(flips)
@pytest.mark.parametrize("reader", PLAN_READERS)
def test_a_plan_with_bytes_of_its_pages_changed_is_refused_or_read(crowd, folder, reader, some):
    path = flipped(crowd.with_suffix(".plan"), folder, some)
    with said():
        PLAN_READERS[reader](crowd, path)


@pytest.mark.parametrize("column", ["after", "user_id", "picture", "outcome"])
def test_a_row_that_was_edited_is_never_written(kept, tmp_path, column):
    table = pq.read_table(kept[1])
    values = table[column].to_pylist()
    values[0] = {"after": "https://evil.example/x.png", "picture": "https://a.b/own.png"}.get(
        column
    )
    where = table.schema.get_field_index(column)
    edited = table.set_column(where, ROWS.field(column), pa.array(values, pa.string()))
    pq.write_table(
        edited.replace_schema_metadata(pq.read_schema(kept[1]).metadata),
        tmp_path / "p.plan",
        store_schema=False,
    )
    written = []
    with said():
        written += edits(read_plan(tmp_path / "p.plan"))
    assert all(one.after == "https://images.example/new.png" for one in written)
    assert all(isinstance(one.user_id, str) for one in written)
