import gzip
import io
import json
from contextlib import closing
from pathlib import Path

import duckdb
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from toolkit.collect.files import exported
from toolkit.collect.piece import Sheet, read_piece
from toolkit.user import tabulated, user

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
]
DATABASE = duckdb.connect(config={"threads": 1})


def piece(content):
    """Read lines at once: their users, and the lines that could not be read."""
    sheet = Sheet()
    sheet.begin()
    sheet.write(content)
    sheet.end(len(content))
    try:
        found = read_piece(sheet, DATABASE)
    finally:
        sheet.close()
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
        unreadable += [] if found else [number]
    return tabulated(map(user, rows)).to_pylist(), unreadable


times = st.sampled_from(
    [
        "2024-02-28T12:34:56.789Z",
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
small = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["provider", "connection", "picture", "a"]), inner)
    ),
    max_leaves=5,
)
parts = st.dictionaries(st.sampled_from(["provider", "connection", "picture", "x"]), scalars)
records = st.one_of(
    st.fixed_dictionaries(
        {"user_id": texts},
        optional={
            "identities": st.lists(parts, max_size=2),
            "user_metadata": parts,
            "logins_count": st.integers(0, 500) | scalars,
            "created_at": times,
            "picture": texts,
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
    assert repr(rows) == repr(expected)


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


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_what_stands_behind_the_last_whole_line_is_forgotten(size):
    content = b'{"user_id":"a"}\n{"user_id":"b",}\n'
    begun = b'{"identities":[1,],"user_id":"c",'
    with closing(Sheet()) as sheet:
        for _ in range(2):
            sheet.begin()
            for begin in range(0, len(content + begun), size):
                sheet.write((content + begun)[begin : begin + size])
            sheet.end(len(content))
            assert sheet.with_commas() == [1]
            found = read_piece(sheet, DATABASE)
            assert found.profiles["user_id"].to_pylist() == ["a"]
            assert (found.lines, found.unreadable) == (2, (1,))


@pytest.mark.parametrize("often", [1, 150, 199, 200, 201, 5000])
def test_commas_before_brackets_are_found_among_few_others_and_among_many(often):
    numbers = b",1" * often
    line = b'{"user_id":"a","app_metadata":[0%s]}\n' % numbers
    odd = b'{"user_id":"b","app_metadata":[0%s,]}\n' % numbers
    rows, unreadable = piece(line + odd + line.replace(b"a", b"c"))
    assert [row["user_id"] for row in rows] == ["a", "c"]
    assert unreadable == [1]


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_lines_are_found_again_however_they_were_written(size):
    lines = [b"%d\n" % number * (number % 3 + 1) for number in range(40)]
    content = b"".join(lines)
    whole = content.splitlines(keepends=True)
    with closing(Sheet()) as sheet:
        for begin in range(0, len(content), size):
            sheet.write(content[begin : begin + size])
        sheet.end(len(content))
        assert [sheet.line(number) for number in range(sheet.lines)] == whole
        roomy = [number for number, line in enumerate(whole) if len(line) > 2]
        assert [number for number in range(-1, 99) if sheet.empty(number)] == roomy
        assert not any(map(sheet.empty, roomy))
        assert [sheet.line(number) for number in range(sheet.lines)] == whole
        with sheet.view() as view:
            emptied = view[:].splitlines(keepends=True)
    for number, (before, after) in enumerate(zip(whole, emptied, strict=True)):
        assert len(before) == len(after)
        assert after.strip() == (b"{}" if number in roomy else before.strip())


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
