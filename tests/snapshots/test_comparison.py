"""Comparing snapshots: who moved, who came, who went, from frames and files alike."""

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.classification.schema import SNAPSHOT
from toolkit.classification.sources import Source
from toolkit.errors import SettingsError, UnreadableInputError
from toolkit.snapshots.comparison import compare, users_moved
from toolkit.snapshots.history import series
from toolkit.snapshots.snapshot import Provenance, Snapshot, read_snapshot

NOW = datetime(2026, 11, 1, tzinfo=UTC)
SOURCES = [source.value for source in Source]


def snapshot(people, days=0, **changes):
    """Make a snapshot of (user_id, source) or (user_id, source, picture)."""
    rows = [(*one, "https://pictures.test/1.png")[:3] for one in people]
    frame = pd.DataFrame(rows, columns=["user_id", "source", "picture"], dtype="object")
    frame["underlying"] = frame["source"].replace("metadata", "social")
    frame = pa.Table.from_pylist(frame.to_dict("records"), SNAPSHOT).to_pandas()
    told = {
        "tenant": "tenant.example",
        "taken_at": NOW + timedelta(days=days),
        "method": "search",
        "complete": True,
        "users": len(rows),
        "windows": 1,
        "requests": 1,
        "seconds": 1.0,
        "sandbox": False,
        "toolkit_version": "0.1.0",
    }
    return Snapshot(Provenance(**told | changes), frame)


def filed(one, path):
    one.write(path)
    return read_snapshot(path)


OLD = snapshot([("a|1", "unresolved"), ("a|2", "unresolved"), ("a|3", "social"), ("a|4", "custom")])
NEW = snapshot(
    [("a|1", "initials"), ("a|2", "initials"), ("a|3", "social", "other"), ("a|5", "missing")], 20
)


def test_users_are_followed_from_source_to_source():
    one = compare(OLD, NEW)
    assert one.flow[["from", "to", "users"]].to_numpy().tolist() == [
        ["unresolved", "initials", 2],
        ["social", "social", 1],
    ]
    assert one.came[["source", "users"]].to_numpy().tolist() == [["missing", 1]]
    assert one.went[["source", "users"]].to_numpy().tolist() == [["custom", 1]]
    assert (one.matched, one.moved) == (3, 2)


def test_each_source_says_how_it_came_by_its_users():
    rows = compare(OLD, NEW).table().set_index("source").to_dict("index")
    assert list(rows) == [s for s in SOURCES if s in rows]
    assert rows["initials"] == {
        "before": 0,
        "after": 2,
        "change": 2,
        "came": 0,
        "went": 0,
        "moved_in": 2,
        "moved_out": 0,
        "stayed": 0,
        "changed": 0,
    }
    assert (rows["social"]["stayed"], rows["social"]["changed"]) == (1, 1)
    assert (rows["custom"]["went"], rows["missing"]["came"]) == (1, 1)


def test_the_picture_that_an_override_hides_does_not_count_as_changed():
    hidden = compare(
        snapshot([("a|1", "metadata", "old"), ("a|2", "social", "old")]),
        snapshot([("a|1", "metadata", "new"), ("a|2", "social", "new")]),
    )
    changed = hidden.table().set_index("source")["changed"].to_dict()
    assert changed == {"metadata": 0, "social": 1}


def test_coverage_before_and_after_is_that_of_the_snapshots():
    one = compare(OLD, NEW)
    assert (one.old.own, one.new.own) == (OLD.coverage().own, NEW.coverage().own)
    assert (one.old.own_low, one.old.own_high) == (0.0, 1.0)
    assert one.new.sources == NEW.coverage().sources


people = st.dictionaries(
    st.integers(0, 12).map(lambda n: f"auth0|{n:08}"), st.sampled_from(SOURCES), max_size=12
)


@settings(max_examples=12)
@given(people, people)
def test_every_user_is_counted_once_on_either_side(old, new):
    one = compare(snapshot(old.items()), snapshot(new.items()))
    pairs = Counter((old.get(name), new.get(name)) for name in {*old, *new})
    assert {(move.before, move.after): move.users for move in one.moves} == pairs
    table = one.table()
    assert (table["stayed"] + table["moved_in"] + table["came"] == table["after"]).all()
    assert (table["stayed"] + table["moved_out"] + table["went"] == table["before"]).all()


def test_files_and_frames_give_the_same(tmp_path):
    filed_old, filed_new = filed(OLD, tmp_path / "o"), filed(NEW, tmp_path / "n")
    expected = compare(OLD, NEW)
    assert compare(filed_old, filed_new) == expected
    assert compare(filed_old, NEW) == expected


def test_the_dtypes_of_a_frame_do_not_matter():
    plain = Snapshot(OLD.provenance, OLD.users.astype("object").assign(metadata_picture=None))
    assert compare(plain, NEW) == compare(OLD, NEW)


def test_users_without_an_id_come_and_go():
    nobody = [("", "invalid"), (None, "invalid"), ("a|1", "social")]
    one = compare(snapshot(nobody), snapshot(nobody))
    assert one.flow["users"].tolist() == [1]
    assert one.came["users"].tolist() == one.went["users"].tolist() == [2]
    assert any(note.startswith("4 users without a user_id") for note in one.notes)


@pytest.mark.parametrize("first", [True, False])
def test_a_user_who_is_there_twice_is_refused_instead_of_counted_twice(first):
    twice = snapshot([("a|1", "social"), ("a|1", "social")])
    once = snapshot([("a|1", "social")])
    with pytest.raises(UnreadableInputError, match="more than once"):
        compare(twice, once) if first else compare(once, twice)


def test_examples_are_masked_wherever_they_show():
    one = compare(
        snapshot([("auth0|5f7c8ec7c33c6c004bbafe82", "social")]),
        snapshot([("auth0|5f7c8ec7c33c6c004bbafe82", "custom")]),
    )
    assert one.flow["examples"].tolist() == ["auth0|5f…82"]
    assert "c33c6c" not in f"{one!r}{one._repr_html_()}{one.as_dict()}{one.moves}"


def test_at_most_three_examples_are_kept():
    many = [(f"auth0|{n:08}", "social") for n in range(50)]
    (move,) = compare(snapshot(many), snapshot(many)).moves
    assert len(move.examples) == 3


def test_snapshots_of_different_tenants_are_refused_unless_told():
    other = replace(NEW.provenance, tenant="other.example")
    other = Snapshot(other, NEW.users)
    with pytest.raises(SettingsError, match=r"different tenants .*anyway"):
        compare(OLD, other)
    with pytest.raises(SettingsError, match="different tenants"):
        series([OLD, other])
    assert compare(OLD, other, anyway=True).moves == compare(OLD, NEW).moves
    assert "different tenants" in compare(OLD, other, anyway=True).notes[0]
    assert len(series([OLD, other], anyway=True)) == 2


def test_the_embedded_tenant_is_known_by_its_seed_and_not_by_its_port():
    first = snapshot([], sandbox=True, tenant="127.0.0.1:1", seed=7)
    again = snapshot([], sandbox=True, tenant="127.0.0.1:2", seed=7)
    others = snapshot([], sandbox=True, tenant="127.0.0.1:1", seed=8)
    assert compare(first, again).notes == ()
    with pytest.raises(SettingsError, match="seed 7"):
        compare(first, others)


def test_a_tenant_that_exports_do_not_name_is_said_and_not_refused():
    (note,) = compare(snapshot([], tenant="unknown"), NEW).notes
    assert "not known" in note


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ({"complete": False}, {}, "to be new may only have been missed"),
        ({}, {"complete": False}, "to be deleted may only have been missed"),
        ({"days": 9}, {}, "swap them"),
        ({}, {"probed_at": NOW}, "Gravatar was asked"),
        ({}, {"toolkit_version": "0.2.0"}, "Different versions"),
    ],
)
def test_what_makes_numbers_doubtful_is_noted(old, new, words):
    (note,) = compare(snapshot([], **old), snapshot([], **new)).notes
    assert words in note
    assert note in repr(compare(snapshot([], **old), snapshot([], **new)))


def test_a_comparison_without_doubts_has_no_notes():
    assert compare(OLD, NEW).notes == ()


def test_a_file_that_is_damaged_is_an_error_and_not_a_wrong_number(tmp_path):
    many = snapshot([(f"auth0|{n:08}", "social", f"{n * 7919}") for n in range(5000)])
    broken = filed(many, tmp_path / "broken")
    column = SNAPSHOT.names.index("picture")
    place = pq.ParquetFile(broken.path).metadata.row_group(0).column(column)
    data = bytearray(broken.path.read_bytes())
    start = place.dictionary_page_offset or place.data_page_offset
    data[start : start + place.total_compressed_size] = bytes(place.total_compressed_size)
    broken.path.write_bytes(data)
    with pytest.raises(UnreadableInputError):
        compare(broken, many)


def test_nothing_is_left_in_the_folder_for_temporary_files(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    compare(OLD, NEW)
    assert not list(tmp_path.iterdir())


def test_json_has_all_of_it():
    told = json.loads(json.dumps(compare(OLD, NEW).as_dict()))
    assert told["old"]["own"] == {"low": 0.0, "high": 1.0, "on_word": 0.5}
    assert told["old"]["taken_at"] == "2026-11-01T00:00:00+00:00"
    assert (told["matched"], told["moved"], told["came"], told["went"]) == (3, 2, 1, 1)
    assert told["sources"]["unresolved"]["change"] == -2
    assert told["flow"][0] == {
        "from": "unresolved",
        "to": "initials",
        "users": 2,
        "examples": "a|… a|…",
    }
    assert told["came_by_source"][0]["source"] == "missing"


def test_text_states_the_numbers():
    text = repr(compare(OLD, NEW))
    assert "What changed in tenant.example from 2026-11-01 to 2026-11-21" in text
    assert "4 users became 4: 1 new, 1 deleted." in text
    assert "2 of the 3 in both (66.7 %) moved to another source." in text
    assert "before 0.0 to 100.0 %, after 0.0 to 25.0 %" in text


class Tags(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_html_is_tables_with_captions_and_heads_and_hostile_names_stay_text():
    name = "<img src=x onerror=alert(1)>\u202e"
    hostile = snapshot([("a|1", "social")], 30, tenant=name)
    one = compare(hostile, NEW, anyway=True)
    swapped = compare(NEW, hostile, anyway=True)
    many = series([hostile])
    for html in (one._repr_html_(), swapped._repr_html_(), many._repr_html_()):
        read = Tags(html)
        names = [tag for tag, _ in read.tags]
        assert names.count("table") == names.count("caption") >= 1
        assert "img" not in names
        assert {attrs["scope"] for tag, attrs in read.tags if tag == "th"} == {"col", "row"}
        assert "\u202e" not in html
    assert name[:-1] in Tags(swapped._repr_html_()).text


def test_nobody_against_nobody_is_shown():
    one = compare(snapshot([]), snapshot([]))
    assert one.moves == ()
    assert one.table().empty
    assert "0 users became 0" in repr(one)
    assert one._repr_html_().startswith("<table>")


def test_overrides_that_only_one_of_the_two_has_are_said():
    lacking = snapshot([], absent=("metadata_picture",))
    for pair in ((lacking, NEW), (OLD, lacking)):
        assert any("has user_metadata.picture: moves" in note for note in compare(*pair).notes)
    both = compare(lacking, snapshot([], days=1, absent=("metadata_picture",)))
    assert not any("user_metadata" in note for note in both.notes)


@settings(max_examples=12)
@given(people, people)
def test_the_users_of_each_move_are_those_that_it_counts(old, new):
    old, new = snapshot(old.items()), snapshot(new.items(), 20)
    for move in compare(old, new).moves:
        users = users_moved(old, new, move.before, move.after)
        assert len(users) == move.users
        assert set(users["source"]) == {move.after or move.before}


def test_the_users_of_a_move_are_read_from_the_later_file_in_its_order(tmp_path):
    old, new = filed(OLD, tmp_path / "old.parquet"), filed(NEW, tmp_path / "new.parquet")
    assert list(users_moved(old, new, "unresolved", "initials")["user_id"]) == ["a|1", "a|2"]
    assert list(users_moved(old, new, "social", "social")["picture"]) == ["other"]
    assert list(users_moved(old, new, "custom", None)["user_id"]) == ["a|4"]
    assert list(users_moved(old, new, None, "missing")["user_id"]) == ["a|5"]
    assert list(users_moved(old, new, None, "missing").columns) == SNAPSHOT.names


@pytest.mark.parametrize("sides", [("initials", "x"), ("x", None), (None, None)])
def test_a_move_that_cannot_be_is_told(sides):
    with pytest.raises(SettingsError, match="is no such move"):
        users_moved(OLD, NEW, *sides)
    with pytest.raises(SettingsError, match="tenants"):
        users_moved(OLD, snapshot([], 20, tenant="another.example"), "social", "custom")
