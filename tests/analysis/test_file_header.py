"""Values of a header that somebody else may have written."""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal

import pytest

from toolkit.analysis.file_header import (
    MOST_BYTES,
    amount,
    as_json,
    count,
    flag,
    header,
    items,
    moment,
    read,
    text,
)

ALL = (text, items, flag, count, amount, moment)
BAD = {
    text: [None, 1, True, b"a", ["a"], "\ud800"],
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
    assert list(items(([], 1))) == [[], 1]
    assert flag(False) is False
    assert (count(0), count(2**63 - 1)) == (0, 2**63 - 1)
    assert (amount(0), amount(1.5)) == (0, 1.5)
    assert moment("2026-01-01T00:00:00Z") == datetime(2026, 1, 1, tzinfo=UTC)


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Part:
    names: tuple[str, ...]
    pair: tuple[str, int]


@dataclass(frozen=True)
class Whole:
    at: datetime
    colour: Colour | None
    kind: Literal["a", "b"]
    parts: tuple[Part, ...]
    share: float = 0.0


WHOLE = Whole(datetime(2026, 1, 1, tzinfo=UTC), Colour.RED, "a", (Part(("x", "y"), ("z", 1)),))


def test_a_dataclass_is_read_as_it_was_written():
    for one in (WHOLE, replace(WHOLE, colour=None, parts=())):
        assert read(Whole, json.loads(json.dumps(as_json(one)))) == one
    assert read(Whole, as_json(WHOLE) | {"later": 1}, share=lambda _: 0.5).share == 0.5


@pytest.mark.parametrize(
    "changes",
    [
        {"at": None},
        {"colour": "blue"},
        {"kind": "c"},
        {"parts": None},
        {"parts": [None]},
        {"parts": [{"names": "x", "pair": ["z", 1]}]},
        {"parts": [{"names": ["\udfff"], "pair": ["z", 1]}]},
        {"parts": [{"names": [], "pair": ["z"]}]},
        {"parts": [{"names": []}]},
    ],
)
def test_a_dataclass_with_a_value_of_another_kind_is_an_error(changes):
    with pytest.raises((KeyError, TypeError, ValueError)):
        read(Whole, as_json(WHOLE) | changes)


def test_a_field_that_is_missing_is_an_error():
    values = as_json(WHOLE)
    del values["share"]
    with pytest.raises(KeyError):
        read(Whole, values)


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
