"""Values of a header that somebody else may have written."""

from datetime import UTC, datetime

import pytest

from toolkit.analysis.file_header import (
    MOST_BYTES,
    amount,
    count,
    flag,
    header,
    items,
    moment,
    text,
    texts,
)

ALL = (text, texts, items, flag, count, amount, moment)
BAD = {
    text: [None, 1, True, b"a", ["a"], "\ud800"],
    texts: [None, "ab", {"a": 1}, [1], [None], ["\udfff"]],
    items: [None, "ab", {"a": 1}, 1, True],
    flag: [None, 0, 1, "true", []],
    count: [None, True, -1, 2**63, 10**400, 1.0, "1"],
    amount: [None, False, -0.1, float("nan"), float("inf"), 2.0**63, "1"],
    moment: [
        None,
        0,
        "",
        "yesterday",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "1969-12-31T23:59:59+00:00",
        "9001-01-01T00:00:00+00:00",
        "12000-01-01T00:00:00+00:00",
    ],
}


@pytest.mark.parametrize(("read", "value"), [(read, one) for read in ALL for one in BAD[read]])
def test_a_value_of_another_kind_is_an_error(read, value):
    with pytest.raises((TypeError, ValueError)):
        read(value)


def test_a_value_stays_as_it_is():
    assert text("a\x1b<b>") == "a\x1b<b>"
    assert texts(["a", ""]) == ("a", "")
    assert list(items(([], 1))) == [[], 1]
    assert flag(False) is False
    assert (count(0), count(2**63 - 1)) == (0, 2**63 - 1)
    assert (amount(0), amount(1.5)) == (0, 1.5)
    assert moment("2026-01-01T00:00:00Z") == datetime(2026, 1, 1, tzinfo=UTC)


def test_a_header_is_an_object():
    assert header(b'{"a": [1.5, null, "\\u00e9"]}') == {"a": [1.5, None, "é"]}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b'"a"',
        b"{",
        b"\xff",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": ' + b"9" * 5_000 + b"}",
        b"[" * 200_000 + b"]" * 200_000,
        b'{"a":' * 200_000 + b"1" + b"}" * 200_000,
        b'{"a": "' + b"x" * MOST_BYTES + b'"}',
    ],
    ids=lambda data: data[:12],
)
def test_anything_else_is_no_header(data):
    with pytest.raises((TypeError, ValueError)):
        header(data)
