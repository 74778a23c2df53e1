"""Shares and names as people read them."""

import pytest

from toolkit.formatting import lasting, percent, plural, shorten, some_of, visible


@pytest.mark.parametrize(
    ("share", "digits", "text"),
    [
        (0, 0, "0 %"),
        (0.38, 0, "38 %"),
        (0.3824, 1, "38.2 %"),
        (0.0001, 0, "<1 %"),
        (0.0001, 1, "<0.1 %"),
        (0.99999, 1, ">99.9 %"),
        (1, 0, "100 %"),
    ],
)
def test_percentages_never_hide_somebody(share, digits, text):
    assert percent(share, digits) == text


def test_one_is_named_otherwise_than_several():
    assert [plural(number, "user") for number in (0, 1, 2_000)] == [
        "0 users",
        "1 user",
        "2,000 users",
    ]
    assert [plural(number, "person", "people") for number in (1, 2)] == ["1 person", "2 people"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.2, "0 s"), (59.4, "59 s"), (60, "1 min"), (5_900, "98 min"), (6_000, "1.7 h")],
)
def test_a_time_is_written_in_the_unit_that_reads_best(seconds, text):
    assert lasting(seconds) == text


def test_what_cannot_be_seen_is_written_out():
    assert visible("a\u202eb\x00\ud800é") == "a\\u202eb\\x00\\ud800é"


@pytest.mark.parametrize("character", ["\u200d", "\n", "\u2028", "\u2029", "\ue000", "\u0378"])
def test_nothing_that_hides_or_breaks_a_line_is_left(character):
    shown = visible(f"a{character}b")
    assert character not in shown
    assert shown.encode("ascii").decode("unicode_escape") == f"a{character}b"


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        ("abcd", 4, "abcd"),
        ("abcde", 4, "abc…"),
        ("", 1, ""),
        ("a\u202e", 7, "a\\u202e"),
        ("a\u202e", 6, "a\\u20…"),
    ],
)
def test_a_name_is_cut_after_it_was_made_visible(text, limit, shown):
    assert shorten(text, limit) == shown
    assert len(shown) <= limit


def test_of_many_or_long_names_the_beginning_is_shown():
    assert some_of([]) == ""
    assert some_of({"email": None, "name": None}) == "email, name"
    assert some_of(["a\n", "b" * 99]) == f"a\\n, {'b' * 59}…"
    assert some_of([f"c{number}" for number in range(1_006)], 4) == "c0, c1, c2, c3 and 1,002 more"
