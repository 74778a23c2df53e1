"""JSON in any layout, cut into blocks of any size, gives the records that are in it."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.collection.exports import documents
from toolkit.collection.exports.documents import DAMAGED, Documents


def user(number):
    """Make a user up, with identities that look like users."""
    one = {"user_id": str(number), "provider": "auth0", "connection": "db", "isSocial": False}
    return {
        "user_id": f"auth0|{number}",
        "email": f"{number}@people.example",
        "picture": f"https://pictures.example/{number}.png",
        "name": 'É "{[,]}" 😀',
        "identities": [one, one],
    }


PEOPLE = [user(number) for number in range(40)]


def read(text, size=65_536):
    """Return the records, and whether the text is cut."""
    content = text if isinstance(text, bytes) else text.encode()
    blocks = (content[place : place + size] for place in range(0, len(content), size))
    found = Documents(blocks, lambda record: "user_id" in str(record.get("users", record)))
    return list(found), found.is_cut


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
records = st.lists(st.dictionaries(st.text(max_size=4), values) | st.integers() | st.text())
indents = st.sampled_from([None, 0, 1, 2, "\t"])


@given(records, indents, st.booleans(), st.integers(1, 300))
def test_an_array_gives_its_elements(some, indent, is_ascii, size):
    text = json.dumps(some, indent=indent, ensure_ascii=is_ascii)
    assert read(text, size) == (some, False)


@given(
    records, indents, st.sampled_from(["\n", " ", ",\n", "\r\n\r\n", "\n\x1e"]), st.integers(1, 300)
)
def test_values_one_after_another_are_records(some, indent, between, size):
    text = between.join(json.dumps(one, indent=indent) for one in some)
    assert read(text, size) == (some, False)


@given(st.lists(records), indents, st.integers(1, 300))
def test_arrays_one_after_another_or_inside_of_another_give_their_elements(some, indent, size):
    expected = [one for few in some for one in few]
    lines = "\n".join(json.dumps(few, indent=indent) for few in some)
    assert read(lines, size) == (expected, False)
    assert read(json.dumps(some, indent=indent), size) == (expected, False)


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("size", [1, 1000])
def test_a_text_that_is_cut_keeps_every_whole_record(indent, size):
    text = json.dumps(PEOPLE, indent=indent)
    ends = [
        len(json.dumps(PEOPLE[:number], indent=indent).rstrip("\n]")) for number in range(1, 41)
    ]
    for cut in random.Random(1).sample(range(1, len(text) - 1), 60):
        found, is_cut = read(text[:cut], size)
        assert found == PEOPLE[: sum(end <= cut for end in ends)]
        assert is_cut


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("layout", ["array", "documents", "page"])
@pytest.mark.parametrize("odd", ["\x01", "}", "]", "\udc80", '"', ":", "{[", "x" * 50])
def test_damage_costs_one_record_and_is_told(indent, layout, odd):
    texts = [json.dumps(one, indent=indent) for one in PEOPLE]
    place = texts[20].index("people.example") + 14 if odd in ("\x01", "\udc80") else 1
    texts[20] = texts[20][:place] + odd + texts[20][place:]
    text = ("\n" if layout == "documents" else ", ").join(texts)
    if layout == "array":
        text = f"[{text}]"
    elif layout == "page":
        text = f'{{"start": 0, "users": [{text}], "total": 40}}'
    content = text.encode("utf-8", "surrogateescape")
    if layout == "page" and odd == "\udc80":
        assert read(content) == ([DAMAGED], False)  # the page is one record
        return
    for size in (7, 100_000):
        found, _ = read(content, size)
        # An object that is closed too early is one without keys.
        users = [
            one for few in found if few not in (DAMAGED, {}) for one in few.get("users", [few])
        ]
        assert users == PEOPLE[:20] + PEOPLE[21:]
        assert DAMAGED in found


def test_damage_in_the_first_record_costs_no_other():
    text = json.dumps(PEOPLE, indent=2).replace("auth0|0", "auth0|\x01")
    assert read(text) == ([DAMAGED, *PEOPLE[1:]], False)


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000, "nonsense", "{]", "\0"])
def test_what_is_no_json_is_damage(text):
    found, is_cut = read(text)
    assert set(found) <= {DAMAGED}
    assert found or is_cut


@pytest.fixture
def little(monkeypatch):
    """Read values of some characters only."""
    monkeypatch.setattr(documents, "LONGEST", 2000)


@pytest.mark.parametrize("size", [1, 300, 100_000])
@pytest.mark.parametrize("indent", [None, 2])
def test_a_page_that_is_too_long_gives_its_users_one_by_one(little, size, indent):
    page = {"start": 0, "length": 40, "users": PEOPLE, "total": 40}
    text = json.dumps([page, {"data": page}], indent=indent)
    found, is_cut = read(text, size)
    assert not is_cut
    if size < 2000:
        first, second = found[:40], found[40:]
        assert first == [{"start": 0, "length": 40, "users": [one]} for one in PEOPLE]
        assert [one["data"]["users"] for one in second] == [[one] for one in PEOPLE]


@pytest.mark.parametrize("name", ["app_metadata", "picture", "list"])
def test_a_user_that_is_too_long_is_told_and_nobody_else_is_lost(little, name):
    long = {
        "app_metadata": {"a": ["x"] * 3000},
        "picture": "x" * 9000,
        "list": [{"user_id": "b"}] * 900,
    }
    text = json.dumps([*PEOPLE[:5], PEOPLE[5] | {name: long[name]}, *PEOPLE[6:]])
    found, is_cut = read(text, 100)
    assert [one for one in found if one is not DAMAGED] == PEOPLE[:5] + PEOPLE[6:]
    assert DAMAGED in found
    assert not is_cut


def test_a_long_page_that_is_damaged_or_cut_keeps_its_other_users(little):
    text = json.dumps({"users": PEOPLE, "total": 40})
    found, is_cut = read(text.replace("auth0|9", "auth0|\x01"), 100)
    assert [one["users"][0] for one in found if one is not DAMAGED] == PEOPLE[:9] + PEOPLE[10:]
    assert not is_cut
    found, is_cut = read(text[: len(text) // 2], 100)
    assert [one["users"][0] for one in found] == PEOPLE[: len(found)]
    assert len(found) > 10
    assert is_cut
    assert read(text[:-12] + "x, 5: 7}", 100)[0].count(DAMAGED) == 1
