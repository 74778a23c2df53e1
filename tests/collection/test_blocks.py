import csv
import gzip
import io
import json
import os
import threading
import time
from contextlib import closing, contextmanager
from datetime import UTC
from itertools import pairwise, product
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from toolkit.classification.times import UnreadTimes, moment
from toolkit.classification.user_profile import tabulated, user
from toolkit.collection.exports import blocks, ingest_files
from toolkit.collection.exports.blocks import MACROS, BlockReader, cells_of, end_of_rows, is_plain
from toolkit.collection.exports.field_names import FieldNames
from toolkit.collection.exports.reader import exports
from toolkit.errors import IncompleteError

SAMPLE = Path(__file__).parents[2] / "data" / "users.ndjson.gz"
NAMES = [
    "user_id",
    "email",
    "name",
    "identities",
    "created_at",
    "updated_at",
    "last_login",
    "logins_count",
    "picture",
    "user_metadata",
    "identities[0].connection",
    "connection",
    "identities[0].provider",
    "provider",
    "strategy",
    "user_metadata.picture",
    "metadata_picture",
    "app_metadata",
    "thumbnailPhotoUrl",
]


@contextmanager
def exported(source):
    """Open what holds one export."""
    with closing(exports(source)) as found:
        yield next(found)


DATABASE = duckdb.connect(config={"threads": 1})
TWO = ["created_at", "last_login"]
SESSION = DATABASE.cursor()
for macro in MACROS:
    SESSION.execute(f"CREATE TEMP MACRO {macro}")


def piece(content):
    """Read lines at once: their users, and the lines that could not be read."""
    cuts = [0, len(content) // 3, len(content) // 2, len(content)]
    pieces = [content[begin:end] for begin, end in pairwise(cuts)]
    with BlockReader(DATABASE) as reader:
        found = reader.read_lines(pieces, FieldNames())
    assert found.lines == content.count(b"\n")
    return found.profiles.to_pylist(), list(found.unreadable)


def line_by_line(content):
    """Read lines as `Export` does: the truth."""
    rows, unreadable = [], []
    for number, line in enumerate(content.splitlines(keepends=True)):
        if line.isspace():
            continue
        # A line of its own, behind one that says what the file is.
        with exported(io.BytesIO(b"{}\n" + line)) as export:
            found = [record for _, record in export][1:]
        rows += found
        unreadable += [number] * export.unreadable
    return tabulated(map(user, rows)).to_pylist(), unreadable


times = st.sampled_from(
    [
        "2024-02-28T12:34:56.789Z",
        "2024-02-29T00:00:00.000Z",
        "2023-02-29T00:00:00.000Z",
        "2024-04-31T00:00:00.000Z",
        "2024-02-30T00:00:00.000Z",
        "2024-13-01T00:00:00.000Z",
        "2024-01-01T24:00:00.000Z",
        "2024-01-01T23:59:60.000Z",
        "0000-01-01T00:00:00.000Z",
        "0001-01-01T00:00:00.000Z",
        "9999-12-31T23:59:59.999Z",
        "2024-01-01x00:00:00.000Z",
        "2024-01-01 00:00:00.000Z",
        "2024-01-01T00:00:00.000z",
        "2024-01-01T00:00:00,000Z",
        "2024-01-01T00:00:00.00:Z",
        "2024-1-01T00:00:00.0000Z",
        "2024-01-01T00:00:00.123456Z",
        "2024-01-01T00:00:00Z",
        "2024-01-01T00:00:00+02:00",
        "2024-01-01",
        "2024-W01-1",
        "-024-01-01T00:00:00.000Z",
        "\uff12024-01-01T00:00:00.0Z",
        "infinity",
    ]
)
texts = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=12),
    st.sampled_from(["auth0|1", "|", "a|b|c", "", "5", "5.0", "1e5", "nan", "-Infinity", "{", "["]),
    st.sampled_from(["true", "null", "\x00", "'", "https://s.gravatar.com/avatar/x", ",}", ", ]"]),
    st.sampled_from(["9" * 18, "9" * 19, "9" * 30, "-1", "-0", "007", "1.", ".5", "1e400"]),
    st.sampled_from(["\ud800", "a\udfff", "\ud83d\ude00"]),
    times,
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(0, 500),
    st.sampled_from([2**63 - 1, 2**63, 2**64, 10**18, 10**30, -1, 3.7, 5.0, 1e300, -0.0]),
    st.floats(),
    texts,
    times,
)
keys = ["provider", "connection", "picture", "a", "profileData", "avatar", "photo_URL", "Picture"]
small = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(keys), inner, max_size=4)
    ),
    max_leaves=5,
)
pictures = st.sampled_from(
    [
        *(f"https://{host}/me.png" for host in ("a.example", "b.example", "c.example")),
        "http://a.example/me.png",
        "https://cdn.auth0.com/avatars/ab.png",
        "https://lh3.googleusercontent.com/a/x=s96-c",
        "https://platform-lookaside.fbsbx.com/x?ext=4000000000",
        "https://graph.microsoft.com/v1.0/me/photo/$value",
        "https://s.gravatar.com/avatar/" + "a" * 32,
        " HTTPS://d.example/me.png#x ",
        "https://e.example/\ud800",
    ]
)
shown = st.fixed_dictionaries({}, optional={"picture": pictures | scalars, "avatar": pictures})
parts = st.fixed_dictionaries(
    {},
    optional={
        "provider": st.sampled_from(["auth0", "google-oauth2", "oauth2"]) | scalars,
        "connection": scalars,
        "picture": pictures | scalars,
        "profileData": shown | scalars,
        "avatar": pictures | scalars,
        "profileImageUrl": pictures,
        "Picture": pictures,
        "x": scalars,
    },
)
records = st.one_of(
    st.fixed_dictionaries(
        {"user_id": texts},
        optional={
            "identities": st.lists(parts, max_size=3),
            "user_metadata": parts,
            "logins_count": st.integers(0, 500) | scalars,
            "created_at": times,
            "picture": pictures | texts,
            "thumbnailPhotoUrl": pictures | scalars,
        },
    ),
    st.dictionaries(st.sampled_from(NAMES), small, max_size=6),
)
odd_lines = st.sampled_from(
    [
        b'{"user_id":"a","user_id":"b"}',
        b'{"user_id":"a","u\\u0073er_id":"b"}',
        b'{"user_id":"a","user_metadata":{"picture":"a","picture":"b"}}',
        b'{"user_id":"a","identities":[{"provider":"a","connection":"c","provider":"b"}]}',
        b'{"user_id":"a","identities":["x",{"provider":"a","connection":"c"}]}',
        b'{"user_id":"a","identities":[null,{"provider":"a","connection":"c"}]}',
        b'{"user_id":"a","identities":[{"provider":"a"},{"x":1,"x":2}]}',
        b'{"user_id":"a","user_metadata":"x","metadata_picture":"y"}',
        b'{"user_id":"a","user_metadata":[],"metadata_picture":"y"}',
        b'{"user_id":"a","x":1,"x":2}',
        b'{"user_id":"a","user_metadata":{"av\\u0061tar":"https://a.example/a.png"}}',
        b'{"user_id":"a","user_metadata":{"photo"\t: "https://a.example/a.png","x":1}}',
        b'{"user_id":"a","user_metadata":{"x":{"avatar":"https://a.example/a.png"}}}',
        b'{"user_id":"a","identities":[{},null,{"profileData":{"picture":"https://a.example/"}}]}',
        b'{"user_id":"a","identities":[null,{},{"profileData":{"picture":"https://a.example/"}}]}',
        b'{"user_id":"a","identities":[{},{"profileData":{"picture":"a","picture":"b"}}]}',
        b'{"user_id":"a","identities":[{},{"profileData":[]}],"user_metadata":null}',
        b'{"user_id":"a",}',
        b'{"user_id":"a","x":[1, ]}',
        b'{"user_id":"a","x":",}"}',
        b'{"user_id":nan}',
        b'{"user_id":NaN}',
        b'{"user_id":Infinity,"picture":-Infinity}',
        b'{"user_id":"a"} {"user_id":"b"}',
        b'{"user_id":"a"}x',
        b'{"USER_ID":"a"}',
        b'{"user_id":"\xff"}',
        b'{"user_id":"a\x01"}',
        b'{"user_id":"\xed\xa0\x80"}',
        b'{"user_id":5.0,"picture":1.50,"email":1E5,"name":-0}',
        b'{"user_id":12345678901234567890123}',
        b'{"user_id":"a","picture":{"b": [1,2, {"c":"\\u00e9"}]}}',
        b'{"user_id":"a","logins_count":1e3}',
        b'{"user_id":"a","picture":' + b"[" * 3000 + b"]" * 3000 + b"}",
        b'{"user_id":"a"}\r',
        b'  {"user_id":"a"}\t',
        b"",
        b" \t\r",
        b"\x0b",
        b"null",
        b"7",
        b'"text"',
        b"[]",
        b"[1,{}]",
        b"{}",
        b"{",
        b"nonsense",
        b"\xef\xbb\xbf{}",
        b"\x00",
    ]
)
lines = st.one_of(
    st.builds(
        lambda record, ascii_, tight: json.dumps(
            record, ensure_ascii=ascii_, separators=(",", ":") if tight else None
        ).encode("utf-8", "surrogatepass"),
        records,
        st.booleans(),
        st.booleans(),
    ),
    st.just(b'{"user_id":"auth0|1","picture":"https://cdn.auth0.com/avatars/ab.png"}'),
    odd_lines,
)


@given(st.lists(lines, min_size=1, max_size=8))
@example([b"{}", b'{"created_at":[]}'])
@example([b'{"identities":{"connection":"000000\\u001f\\u0007\xc2\x80"},"user_id":null}'])
@example([b'{"created_at":""}', b'{"created_at":"' + b"-" * 48 + b'"}'])
@example([b'{"user_id":"a"}', b'{"user_id":"a","created_at":"2024-02-30T00:00:00.000Z"}'])
def test_lines_are_read_together_as_each_would_be_alone(some):
    content = b"".join(line + b"\n" for line in some)
    rows, unreadable = piece(content)
    expected, lost = line_by_line(content)
    assert unreadable == lost
    assert sorted(map(repr, rows)) == sorted(map(repr, expected))


COMMON = [
    "2024-03-01T10:00:00.123Z",
    "2024-03-01T10:00:00Z",
    "2024-03-01T10:00:00.123999999Z",
    "2024-03-01T12:30:00.999999+02:30",
    "2024-03-01 04:30:00-0530",
    "2024-03-01 10:00:00 +0000",
    "2024-03-01 10:00:00.5+00",
    "2024-03-01 10:00:00 UTC",
    "2024-03-01 10:00:00",
    "2024-03-01 10:00",
    "2024-03-01",
    "1709287200",
    "1709287200123",
    '{"$date":"2024-03-01T10:00:00.123Z"}',
    '{"$date":1709287200123}',
    '{"$date":{"$numberLong":"1709287200123"}}',
]
ODD = [
    "2024-02-30",
    "2024-02-30T00:00:00Z",
    "2024-03-01T24:00:00Z",
    "2024-03-01T23:59:60Z",
    "2024-03-01T10:00:00.Z",
    "2024-03-01T10:00:00.1234567890Z",
    "2024-03-01T10:00:00+00:60",
    "2024-03-01T10:00:00+19:59",
    "2024-03-01T10:00:00\n",
    "2024-03-01Z",
    "1989-12-31T23:59:59.9999Z",
    "1990-01-01T00:00:00.0009+14:00",
    "2099-12-31T23:59:59.9999-14:00",
    "2024-3-1 10:00",
    "3/4/2024",
    "3999999999",
    "4102444799",
    "1000000000123",
    "infinity",
    "epoch",
    "2024-03-01 10:00:00 Europe/Paris",
    '{"$date":"2024-03-01T10:00:00Z"}}',
    '{"$date":2024-03-01}',
    '{"$date":"2024-03-01',
    '{"$date":{"$numberLong":1709287200123}}',
    '{"$date":""}',
    '{"$date":"NaT"}',
    '{"$oid":"2024-03-01"}',
    "NaT",
    " NULL ",
    r"\N",
    "",
    '""',
]
clocks = st.builds(
    "{}{}{}{}{}".format,
    st.dates().map(str) | st.from_regex(r"(199|20[0-9])[0-9]-[01][0-9]-[0-3][0-9]", fullmatch=True),
    st.sampled_from(["T", " ", "", "t", "  "]),
    st.times().map(lambda time: time.isoformat("milliseconds")) | st.times().map(str),
    st.sampled_from(["", "9", "999", "9999", ","]),
    st.sampled_from(
        ["Z", "z", "", " UTC", "UTC", " +0000", "+02", "-11:30", "+1959", "+25", " -07:0"]
    ),
)
mutated = st.builds(
    lambda text, at, char: text[: at % (len(text) + 1)] + char + text[at % (len(text) + 1) + 1 :],
    st.sampled_from(COMMON + ODD) | clocks,
    st.integers(0, 50),
    st.characters(codec="utf-8") | st.sampled_from("0123456789-+:.TZ {}\"$'"),
)
wrapped = st.builds(
    str.format, st.sampled_from(['{{"$date":"{}"}}', "{{'$date':{}}}", '"{}"', " {} "]), clocks
)


def by_sql(function, texts):
    """Read texts as times in DuckDB; None for each that it leaves to Python."""
    query = f"SELECT {function} FROM (SELECT unnest($1::VARCHAR[]) AS t)"
    read = SESSION.execute(query, [list(texts)]).fetchall()
    return [found and found.replace(tzinfo=UTC) for (found,) in read]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
def test_the_most_frequent_times_are_read_in_sql_wherever_the_machine_stands(zone):
    SESSION.execute(f"SET TimeZone = '{zone}'")
    read = by_sql("any_time(bare_time(t))", COMMON)
    assert read == [moment(one) for one in COMMON]
    assert None not in read
    assert by_sql("auth0_time(t)", COMMON)[:2] == [moment(COMMON[0]), None]


@given(st.lists(clocks | mutated | wrapped | st.text(), min_size=1, max_size=40))
@example(ODD)
@example(COMMON)
def test_what_sql_reads_as_a_time_python_reads_as_the_same(texts):
    for function in ("any_time(bare_time(t))", "auth0_time(t)"):
        for text, found in zip(texts, by_sql(function, texts), strict=True):
            assert found is None or found == moment(text), text
    absent = SESSION.execute(
        "SELECT t FROM (SELECT unnest($1::VARCHAR[]) AS t) WHERE bare_time(t) IS NULL",
        [list(texts)],
    ).fetchall()
    unread = UnreadTimes()
    for (text,) in absent:
        unread.add({"created_at": text})
        assert moment(text) is None
    assert not unread


@pytest.mark.parametrize("form", COMMON[1:])
def test_a_file_in_another_common_form_is_not_read_line_by_line(form, monkeypatch):
    value = json.loads(form) if form[0] == "{" else form
    records = [{"user_id": f"auth0|{n}", "created_at": value, "last_login": None} for n in range(9)]
    content = b"".join(json.dumps(one).encode() + b"\n" for one in records)
    rows = "".join(f'auth0|{n},"{form.replace(chr(34), chr(34) * 2)}",NaT\n' for n in range(9))
    cells = cells_of(rows.encode(), ["user_id", "created_at", "last_login"])
    with BlockReader(DATABASE) as reader:
        # Lines that DuckDB refuses become rows of the same types.
        assert len(reader.read_lines([content * 100, b"7\n"], FieldNames()).profiles) == 901
        monkeypatch.setattr(blocks, "user", None)
        for found in (reader.read_lines([content], FieldNames()), reader.read_cells(cells, 9)):
            assert found.profiles["created_at"].to_pylist() == [moment(form)] * 9
            assert found.profiles["last_login"].null_count == 9
            assert not found.unread


@pytest.mark.parametrize("size", range(24, 500, 7))
def test_where_the_beginning_of_a_block_ends_does_not_decide_how_times_are_read(size, monkeypatch):
    line = b'{"user_id":"auth0|1","created_at":"2024-03-01T10:00:00.123Z","last_login":null}\n'
    monkeypatch.setattr(blocks, "_HEAD", size)
    monkeypatch.setitem(blocks._READ_LINES, True, "SELECT 'not needed'")
    rows, _ = piece(line * 9)
    assert [row["created_at"] for row in rows] == [moment("2024-03-01T10:00:00.123Z")] * 9


def test_times_that_cannot_be_read_are_counted_in_lines_and_in_cells():
    content = b"".join(
        json.dumps({"user_id": f"auth0|{n}", "created_at": time}).encode() + b"\n"
        for n, time in enumerate(["2024-03-01T10:00:00.123Z", "3/4/2024", "NaT", "5/4/2024", 5])
    )
    cells = cells_of(b"auth0|1,3/4/2024,\nauth0|2,,NaT\nauth0|3,5/4/2024,5\n", ["user_id", *TWO])
    with BlockReader(DATABASE) as reader:
        assert reader.read_lines([content], FieldNames()).unread == {
            ("created_at", "9/9/9999"): 2,
            ("created_at", "9"): 1,
        }
        assert reader.read_cells(cells, 3).unread == {
            ("created_at", "9/9/9999"): 2,
            ("last_login", "9"): 1,
        }


@pytest.mark.parametrize("odd", [b"", b"\n", b'{"user_id":"x","user_id":"y"}\n', b"garbage\n"])
def test_the_embedded_tenant_is_read_as_each_of_its_lines_would_be(odd):
    content = gzip.decompress(SAMPLE.read_bytes())
    people = [json.loads(line) for line in content.splitlines()]
    cut = content.index(b"\n", len(content) // 2) + 1
    rows, unreadable = piece(content[:cut] + odd + content[cut:])
    expected = tabulated(user(one) for one in people).to_pylist()
    rows = [row for row in rows if row["user_id"] not in ("x", "y")]
    assert rows == expected
    assert len(unreadable) == (odd == b"garbage\n")


def test_a_line_longer_than_the_reader_can_hold_is_read_or_told():
    picture = "data:image/png;base64," + "A" * 20_000_000
    long, longer = ({"user_id": "a", "picture": picture * turns} for turns in (1, 2))
    content = b"".join(json.dumps(one).encode() + b"\n" for one in (long, longer, {"user_id": "b"}))
    rows, unreadable = piece(content)
    assert [(row["user_id"], row["picture"]) for row in rows] == [("a", picture), ("b", None)]
    assert unreadable == [1]


@pytest.mark.parametrize("often", [1, 5000])
def test_commas_before_brackets_change_nothing_among_few_others_and_among_many(often):
    numbers = b",1" * often
    line = b'{"user_id":"a","app_metadata":[0%s]}\n' % numbers
    odd = b'{"user_id":"b","app_metadata":[0%s,]}\n' % numbers
    rows, unreadable = piece(line + odd + line.replace(b"a", b"c"))
    assert [row["user_id"] for row in rows] == ["a", "b", "c"]
    assert not unreadable
    assert line_by_line(odd) == piece(odd)


@pytest.mark.parametrize("often", [2, 40, 400])
@pytest.mark.parametrize(
    "odd",
    [
        b'{"user_id":"a|1","user_id":"a|2"}',
        b'{"user_id":"a|1","user_metadata":"\xc3\xa4"}',
        b'{"user_id":"a|1","name":"\\ud800"}',
        b'{"user_id":"a|1","email":"x"',
        b'{"user_id":"a|1","identities":[{"provider":"p"},  \t ]}',
        b'{"user_id":"a|1","email":",%s]"}' % (b" " * 99),
        b"",
        b"7",
    ],
)
def test_an_odd_line_changes_nothing_about_the_others(odd, often):
    lines = [
        b'{"user_id":"auth0|%d","picture":"https://a.example/%d"}' % (n, n) for n in range(800)
    ]
    lines[::often] = [odd] * len(lines[::often])
    content = b"".join(line + b"\n" for line in lines)
    assert piece(content) == line_by_line(content)


@pytest.mark.parametrize("size", [1, 90, 5000, 100_000])
@pytest.mark.parametrize("end", [b"", b"\n", b"\n{", b"\n7"])
def test_lines_of_many_blocks_are_read_or_told_as_one_at_a_time(size, end, tmp_path, monkeypatch):
    lines = [b'{"user_id":"a|%d","picture":""}' % number for number in range(200)]
    for place in (9, 90, 91, 180):
        lines[place:place] = [b"garbage", b"", b'{"user_id":"a","user_id":"b|%d"}' % place]
    path, out = tmp_path / "t.json", tmp_path / "out.parquet"
    path.write_bytes(b"\n \n" + b"\n".join(lines) + end)
    with exported(path) as export:
        users = [user(record) for _, record in export]
        troubles = export.troubles
    assert troubles
    monkeypatch.setattr(ingest_files, "_BLOCK", size)
    with pytest.raises(IncompleteError) as error:
        ingest_files.ingest([path], out)
    assert all(one in str(error.value) for one in troubles)
    names = tabulated(users).column_names
    assert pq.read_table(out).select(names).to_pylist() == tabulated(users).to_pylist()


# CSV

TITLES = [
    *("user_id", "email", "name", "created_at", "last_login", "logins_count", "picture"),
    *("identities[0].connection", "connection", "identities[0].provider", "strategy"),
    *("user_metadata.picture", "nobody keeps this"),
]
TEXTS = [
    *("", "'", "''", "'x", "a|b", "|", "x", "é", "7", "'007", "-1", "1" * 18, "1" * 19, "1.5"),
    *("2024-02-03T04:05:06.789Z", "2024-02-30T00:00:00.000Z", "2024-02-03", "null", " ", "\x0b"),
    *('a"b', "a,b", "a\nb", "a\r\nb", "\ufeff", "https://x.example/a.png"),
]

csv_texts = st.sampled_from(TEXTS) | st.text(max_size=4)
rows = st.lists(st.lists(csv_texts, min_size=len(TITLES), max_size=len(TITLES)), max_size=5)
raw = st.lists(
    st.sampled_from(["a", "'", '"', '""', ",", "\n", "\r", "\r\n", "é", "\0", " ", "\ufeff", "7"])
    | st.binary(max_size=1)
)


def written(rows):
    """Write rows as programs write CSV, quoted where it must be."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue().encode("utf-8", "replace")


def exactly(data, titles):
    """Read rows one by one; and say whether every one could be read."""
    with exported(io.BytesIO(",".join(titles).encode() + b"\n" + data)) as export:
        table = tabulated(user(record) for _, record in export)
        return table, not export.troubles


def read_rows(data, titles):
    """Read rows at once, or return None."""
    cells = cells_of(data, titles)
    if cells is None:
        return None
    with BlockReader(DATABASE) as reader:
        return reader.read_cells(cells, 0).profiles


@given(rows)
def test_rows_mean_what_they_mean_one_by_one(rows):
    data = written(rows)
    table = read_rows(data, TITLES)
    expected, whole = exactly(data, TITLES)
    if table is None:  # a single carriage return, which csv leaves unquoted, or a NUL, or a mark
        assert not data or any(one in data for one in (b"\r", b"\0", b"\xef\xbb\xbf"))
    else:
        assert whole
        assert table.equals(expected)


@given(raw, st.sampled_from([["user_id"], ["user_id", "name"]]))
def test_what_is_read_at_once_is_what_is_read_one_by_one(parts, titles):
    data = b"".join(one.encode() if isinstance(one, str) else one for one in parts) + b"\n"
    table = read_rows(data, titles)
    if table is not None:
        expected, whole = exactly(data, titles)
        assert whole
        assert table.equals(expected)


@given(rows, st.integers(0, 200))
def test_rows_are_cut_between_rows(rows, size):
    data = written(rows)[:size]
    end = end_of_rows(data)
    whole = data[:end].count(b'"') % 2 == 0
    assert whole
    assert end == 0 or data[end - 1 : end] == b"\n"
    later = [at for at in range(end, len(data)) if data[at : at + 1] == b"\n"]
    assert all(data[: at + 1].count(b'"') % 2 for at in later)


def test_titles_that_stand_for_json_or_stand_twice_are_not_plain():
    assert is_plain(TITLES)
    assert not is_plain(["user_id", "identities"])
    assert not is_plain(["user_id", "user_metadata"])
    assert not is_plain(["user_id", "name", "name"])


SPARE = "https://people.example/{}.png"


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"thumbnailPhotoUrl": SPARE.format(1)}, "thumbnailPhotoUrl"),
        ({"user_metadata.avatar": SPARE.format(1)}, "metadata:avatar"),
        ({"user_metadata.photoURL": SPARE.format(1), "connection": "db"}, "metadata:photoURL"),
        ({"identities[1].profileData.picture": SPARE.format(1)}, "linked:other"),
        (
            {
                "identities[0].provider": "auth0",
                "identities[1].profileData.picture": SPARE.format(1),
                "identities[1].provider": "github",
            },
            "linked:github",
        ),
        (
            {
                "identities": '[{"provider":"auth0","connection":"db"}]',
                "identities[2].profileData.picture": SPARE.format(1),
                "identities[1].profileData.picture": "https://cdn.auth0.com/avatars/ab.png",
                "identities[2].provider": "line",
            },
            "linked:line",
        ),
    ],
)
def test_a_picture_that_nobody_shows_is_found_in_columns_named_by_path(columns, expected, tmp_path):
    path, out = tmp_path / "t.csv", tmp_path / "out.parquet"
    titles = ["user_id", "picture", *columns]
    path.write_bytes(
        written([titles, ["auth0|1", "", *(f"'{value}" for value in columns.values())]])
    )
    (found,) = ingest_files.ingest([path], out).users.to_dict("records")
    assert (found["elsewhere"], found["elsewhere_from"]) == (SPARE.format(1), expected)
    assert found["strategy"] == "auth0"


ODD_ROWS = [b"'odd,x,y\n", b'"odd"x,y\n', b'od"d,y\n', b"\xff,y\n", b'"odd\n', b"odd\rx,y\n"]


@pytest.mark.parametrize(("odd", "size"), list(product(ODD_ROWS, [40, 100_000])))
def test_an_odd_row_among_many_pieces_costs_nobody_else_anything(odd, size, tmp_path, monkeypatch):
    lines = [f'"\'auth0|{n}","\'N\n{n}"\n'.encode() for n in range(60)]
    content = b"".join([b"\n\nuser_id,picture\n", *lines[:30], odd, *lines[30:]])
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with exported(path) as export:
        users = [user(record) for _, record in export]
        troubles = export.troubles
    monkeypatch.setattr(ingest_files, "_BLOCK", size)
    out = tmp_path / "out.parquet"
    if troubles:
        with pytest.raises(IncompleteError) as error:
            ingest_files.ingest([path], out)
        assert troubles[0] in str(error.value)
    else:
        ingest_files.ingest([path], out)
    names = tabulated(users).column_names
    found = pq.read_table(out).select(names)
    assert found.to_pylist() == tabulated(users).to_pylist()


@pytest.mark.parametrize("size", [40, 4000])
def test_a_pipe_is_waited_for_behind_an_odd_row(size, tmp_path, monkeypatch):
    monkeypatch.setattr(ingest_files, "_BLOCK", size)
    lines = [b"a|%d,x\n" % number for number in range(2000)]
    pipe, out = tmp_path / "pipe", tmp_path / "out.parquet"
    os.mkfifo(pipe)

    def write():
        with pipe.open("wb", buffering=0) as file:
            for piece in (b'user_id,picture\nb,od"d\n', *lines[:3], b"".join(lines[3:])):
                file.write(piece)
                time.sleep(0.4)  # several times as long as is waited at once
            file.write(b"c,last\n")

    writer = threading.Thread(target=write)
    writer.start()
    users = ingest_files.ingest([pipe], out).users
    writer.join()
    assert users["user_id"].tolist() == ["b", *(f"a|{number}" for number in range(2000)), "c"]


def test_a_file_that_ends_without_a_line_end_is_whole(tmp_path):
    path, out = tmp_path / "t.csv", tmp_path / "out.parquet"
    path.write_bytes(b'user_id,picture,logins_count\na|1,,5\n"a|2",,7')
    users = ingest_files.ingest([path], out).users
    assert users["user_id"].tolist() == ["a|1", "a|2"]
    assert users["logins_count"].tolist() == [5, 7]


def test_json_in_cells_is_read_as_json(tmp_path):
    path, out = tmp_path / "t.csv", tmp_path / "out.parquet"
    identities = json.dumps([{"provider": "google-oauth2", "connection": "google"}])
    path.write_bytes(b"user_id,picture,identities\n" + written([["a|1", "", identities]]))
    assert ingest_files.ingest([path], out).users["connection"].tolist() == ["google"]
