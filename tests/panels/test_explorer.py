"""The explorer by its methods: what handlers do, and what stands in the page afterwards."""

import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from toolkit.analysis.selection import Selection
from toolkit.classification.frames import audit, profiles
from toolkit.classification.sources import Source
from toolkit.classification.user_profile import User, user
from toolkit.errors import UnreadableInputError
from toolkit.panels.explorer.explorer_charts import Part
from toolkit.panels.explorer.explorer_panel import explore
from toolkit.panels.explorer.user_table import ROWS
from toolkit.sandbox.made_up.tenants import people
from toolkit.snapshots.snapshot import Provenance, Snapshot, read_snapshot

NOW = datetime(2026, 11, 1, tzinfo=UTC)
HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "=HYPERLINK(0)",
    "\u202eevil",
    "</script><b>",
    "x" * 10_000,
    "\ud800",
)


def named(number: int, text: str) -> User:
    record = {
        "user_id": f"auth0|{number}{text}",
        "email": f"{text}@x.test",
        "name": text,
        "identities": [{"connection": text, "provider": "auth0"}],
        "picture": f"https://x.test/{text}",
    }
    return user(record)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory):
    made_up = [user(person.record) for person in people(600)]
    frame = audit(profiles([*(named(*one) for one in enumerate(HOSTILE)), *made_up]))
    provenance = Provenance("t.example", NOW, "search", True, len(frame), 1, 1, 1.0, False, "0")
    path = tmp_path_factory.mktemp("explorer") / "snapshot.parquet"
    Snapshot(provenance, frame).write(path)
    return read_snapshot(path)


@pytest.fixture
def explorer(snapshot, tmp_path):
    explorer = explore(snapshot, tmp_path)
    yield explorer
    explorer.close()


def choose(explorer, by: str, value: str) -> None:
    explorer.filters.fields[by].value = value


def button_of(explorer, part: Part):
    return next(button for button, one in explorer.stacks._parts.items() if one == part)


def written(explorer) -> None:
    for thread in threading.enumerate():
        if thread.name == "writer":
            thread.join(30)


def test_everybody_is_shown_at_first(explorer, snapshot):
    assert f"{len(snapshot)} users" in explorer.headline.value
    assert explorer.table.rows.value.count("<tr>") == ROWS + 1
    assert explorer.alert.value == ""


def test_groups_that_were_not_exported_are_said_below_the_title(snapshot, tmp_path):
    facts = replace(snapshot.provenance, absent=("last_login",))
    panel = explore(Snapshot(facts, snapshot.users), tmp_path)
    assert "exported without" not in panel.stacks._title.value
    panel.by.value = "activity"
    assert "The users were exported without last_login: who" in panel.stacks._title.value
    panel.close()


def test_a_filter_changes_headline_bars_and_table(explorer, snapshot):
    choose(explorer, "source", "social")
    social = int((snapshot.users["source"] == "social").sum())
    assert f"{social} users" in explorer.headline.value
    assert {part.source for part in explorer.stacks._parts.values()} == {Source.SOCIAL}
    assert f"of {social}" in explorer.table.where.value
    assert "pa-initials" not in explorer.table.rows.value


def test_what_is_chosen_stays_while_its_numbers_change(explorer):
    choose(explorer, "source", "social")
    choose(explorer, "connection", "google-oauth2")
    assert explorer.filters.selection == Selection(
        connections=("google-oauth2",), sources=("social",)
    )
    assert explorer.filters.fields["source"].value == "social"
    explorer.filters.clear()
    assert explorer.filters.selection == Selection()


def test_months_and_text_filter(explorer):
    months = [value for _, value in explorer.filters.joined_from.options if value]
    explorer.filters.joined_from.value = explorer.filters.joined_to.value = months[3]
    assert set(explorer.roster.coverage("cohort", explorer.selection).counts["group"]) == {
        months[3]
    }
    explorer.filters.clear()
    explorer.filters.text.value = "=HYPER"
    assert "of 1<" in explorer.table.where.value


def test_a_press_lists_the_users_of_that_part_and_another_press_all(explorer):
    part = next(
        one
        for one in explorer.stacks._parts.values()
        if one.group == "facebook" and one.broken is True
    )
    button_of(explorer, part).click()
    listed = explorer.roster.page(explorer.selection, limit=1000)
    assert set(listed["connection"]) == {"facebook"}
    assert set(listed["source"]) == {"social"}
    assert (listed["expires_at"] < NOW).all()
    assert len(listed) == explorer.table._total > 0
    assert "pa-picked" in button_of(explorer, part)._dom_classes
    button_of(explorer, part).click()
    assert explorer.selection == Selection()


def test_the_parts_of_a_bar_are_all_its_users(explorer, snapshot):
    found = 0
    for part in list(explorer.stacks._parts.values()):
        if part.group == "facebook":
            explorer.pick(part)
            found += explorer.table._total
            explorer.pick(None)
    assert found == int((snapshot.users["connection"] == "facebook").sum())


def test_a_press_keeps_to_the_filters(explorer):
    choose(explorer, "seen", "own")
    explorer.pick(Part(None, Source.SOCIAL))
    assert explorer.selection == Selection(sources=("social",), seen=("own",))


def test_bars_by_something_else(explorer):
    for by in ("provider", "activity"):
        explorer.by.value = by
        groups = [part.group for part in explorer.stacks._parts.values() if part.group]
        explorer.pick(explorer.stacks._parts[next(iter(explorer.stacks._parts))])
        assert groups
        assert explorer.alert.value == ""


def test_pages_turn_and_stop_at_both_ends(explorer):
    choose(explorer, "source", "custom")
    total = explorer.table._total
    for _ in range(total // ROWS + 2):
        explorer.table.turn(1)
    assert f"to {total:,} of {total:,}" in explorer.table.where.value
    assert explorer.table.on.disabled
    for _ in range(total // ROWS + 2):
        explorer.table.turn(-1)
    assert explorer.table.where.value.count("1 to ") == 1
    assert explorer.table.back.disabled


def test_nobody_is_said_and_not_an_error(explorer):
    explorer.filters.text.value = "nobody is called that"
    assert "0 users" in explorer.headline.value
    assert ">nobody<" in explorer.table.rows.value
    assert explorer.alert.value == ""


def test_who_users_are_is_masked_until_somebody_asks(explorer, snapshot):
    explorer.filters.text.value = "google-oauth2|"
    first = explorer.roster.page(explorer.selection, limit=1).iloc[0]
    for text in (first["user_id"], first["email"], first["name"]):
        assert text not in explorer.table.rows.value
    explorer.table.named.value = True
    for text in (first["user_id"], first["email"], first["name"]):
        assert text in explorer.table.rows.value
    explorer.table.named.value = False
    assert first["email"] not in explorer.table.rows.value


@pytest.mark.parametrize("shown", [False, True])
def test_hostile_names_are_text_everywhere_and_never_long(explorer, shown):
    explorer.table.named.value = shown
    page = "".join(
        (
            explorer.headline.value,
            explorer.table.rows.value,
            explorer.trend.value,
            explorer.chosen.value,
            *(name.value for name in explorer.stacks._names),
        )
    )
    assert "<img" not in page
    assert "</script>" not in page
    assert "\u202e" not in page
    assert "\ud800" not in page
    assert "x" * 200 not in page
    labels = [label for label, _ in explorer.filters.fields["connection"].options]
    assert all(len(label) < 60 and label.isprintable() for label in labels)
    for hostile in HOSTILE[:-1]:
        choose(explorer, "connection", hostile)
        assert explorer.table._total == 1
        assert explorer.alert.value == ""


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_listed_users_are_written_beside_and_never_over_anything(explorer, tmp_path, suffix):
    explorer.pick(Part(None, Source.CUSTOM))
    for name in ("snapshot-selection", "snapshot-selection-2"):
        explorer.writer.start(suffix)
        written(explorer)
        path = tmp_path / f"{name}{suffix}"
        assert str(path) in explorer.writer.status.value
        assert path.stat().st_mode & 0o777 == 0o600
    assert len(read_snapshot(path)) if suffix == ".parquet" else b"custom" in path.read_bytes()


def test_a_file_that_cannot_be_written_is_a_visible_line(snapshot, tmp_path):
    (tmp_path / "file").write_text("")
    explorer = explore(snapshot, tmp_path / "file")
    explorer.writer.start(".csv")
    written(explorer)
    assert "Cannot write" in explorer.alert.value
    assert not explorer.writer.csv.disabled
    explorer.close()


def test_a_snapshot_that_is_gone_is_a_visible_line(snapshot, tmp_path):
    path = tmp_path / "other.parquet"
    snapshot.write(path)
    explorer = explore(read_snapshot(path))
    path.unlink()
    choose(explorer, "source", "social")
    assert "is gone" in explorer.alert.value
    explorer.close()


def test_a_title_stands_above_the_rows_that_it_names(explorer, monkeypatch):
    title, rows = explorer.chosen.value, explorer.table.rows.value

    def damaged(*_, **__):
        raise UnreadableInputError("It is damaged.")

    monkeypatch.setattr(explorer.roster, "page", damaged)
    choose(explorer, "source", "social")
    assert "It is damaged" in explorer.alert.value
    assert (explorer.chosen.value, explorer.table.rows.value) == (title, rows)
    assert explorer.writer.selection == Selection()


def test_of_a_thousand_connections_the_largest_are_offered_and_search_finds_the_others(tmp_path):
    many = [
        user(
            {
                "user_id": f"samlp|{number}",
                "identities": [{"connection": f"org-{number % 1000:04d}", "provider": "samlp"}],
            }
        )
        for number in range(1003)
    ]
    frame = audit(profiles(many))
    provenance = Provenance("t.example", NOW, "search", True, len(frame), 1, 1, 1.0, False, "0")
    Snapshot(provenance, frame).write(tmp_path / "many.parquet")
    explorer = explore(read_snapshot(tmp_path / "many.parquet"), tmp_path)
    offered = explorer.filters.fields["connection"].options
    assert offered[0] == ("all (search finds 800 smaller ones)", "")
    assert [value for _, value in offered[1:4]] == ["org-0000", "org-0001", "org-0002"]
    assert len(offered) == 201
    explorer.filters.text.value = "ORG-0999"
    assert ">1 users<" in explorer.headline.value
    explorer.close()
