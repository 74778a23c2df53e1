"""The explorer by its methods: what handlers do, and what stands in the page afterwards."""

import base64
import json
import threading
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO

import pytest
from PIL import Image

from toolkit.analysis.selection import Selection
from toolkit.classification.frames import audit, profiles
from toolkit.classification.sources import Source
from toolkit.classification.user_profile import User, user
from toolkit.errors import UnreadableInputError
from toolkit.formatting import percent
from toolkit.panels.explorer.explorer_charts import Part
from toolkit.panels.explorer.explorer_panel import explore
from toolkit.panels.explorer.user_table import ROWS, in_dashboard
from toolkit.reporting.charts.source_charts import SAYS
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


def parts_of(explorer) -> list[Part]:
    """What can be pressed."""
    return list(explorer.stacks.parts.values())


def press_part(explorer, part: Part) -> None:
    """Press a part of a bar, as the page does."""
    explorer.stacks.press(next(key for key, one in explorer.stacks.parts.items() if one == part))


def drawn_parts(explorer):
    """The parts of all rows, as the page gets them."""
    return [part for row in explorer.stacks.bars.chart["rows"] for part in row["parts"]]


def users_of(snapshot, connection: str) -> int:
    return int((snapshot.users["connection"] == connection).sum())


def listed(explorer) -> str:
    """What stands in the table in the browser."""
    return json.dumps([explorer.table.people.page, explorer.table.people.opened], default=str)


def chips(explorer) -> list[str]:
    return [one.description for one in explorer.filters.chips.children]


def press(explorer, words: str) -> None:
    next(one for one in explorer.filters.chips.children if one.description == words).click()


def written(explorer) -> None:
    for thread in threading.enumerate():
        if thread.name == "writer":
            thread.join(30)


def test_everybody_is_shown_at_first(explorer, snapshot):
    assert f"{len(snapshot)} users" in explorer.headline.value
    assert len(explorer.table.people.page["people"]) == ROWS
    assert explorer.alert.value == ""


def test_the_title_counts_the_broken_pictures_of_a_source_too(explorer, snapshot):
    source, users = max(snapshot.coverage().sources.items(), key=lambda pair: pair[1])
    share = percent(users / len(snapshot))
    assert f"{share} of these pictures {SAYS[source]}<" in explorer.stacks._title.value


def test_groups_that_were_not_exported_are_said_below_the_title(snapshot, tmp_path):
    facts = replace(snapshot.provenance, absent=("last_login",))
    panel = explore(Snapshot(facts, snapshot.users), tmp_path)
    assert "exported without" not in panel.stacks._title.value
    panel.by.value = "activity"
    assert "The users were exported without last_login: last" in panel.stacks._title.value
    panel.close()


def test_a_filter_changes_headline_bars_and_table(explorer, snapshot):
    choose(explorer, "source", "social")
    social = int((snapshot.users["source"] == "social").sum())
    assert f"{social} users" in explorer.headline.value
    assert {part.source for part in parts_of(explorer)} == {Source.SOCIAL}
    assert explorer.table.people.page["words"] == f"1 to {ROWS} of {social}"
    assert {one["looks"] for one in explorer.table.people.page["people"]} == {"pa-social"}


def test_what_is_chosen_stays_while_its_numbers_change(explorer):
    choose(explorer, "source", "social")
    choose(explorer, "connection", "google-oauth2")
    assert explorer.filters.selection == Selection(
        connections=("google-oauth2",), sources=("social",)
    )
    assert chips(explorer) == ["connection is", "google-oauth2 ✕", "source is", "social ✕"]
    explorer.filters.clear()
    assert chips(explorer) == []
    assert explorer.filters.selection == Selection()


def test_months_and_text_filter(explorer):
    months = [value for _, value in explorer.filters.joined_from.options if value]
    explorer.filters.joined_from.value = explorer.filters.joined_to.value = months[3]
    assert set(explorer.roster.coverage("cohort", explorer.selection).counts["group"]) == {
        months[3]
    }
    explorer.filters.clear()
    explorer.filters.text.value = "=HYPER"
    assert explorer.table.people.page["words"] == "1 to 1 of 1"


def test_a_press_lists_the_users_of_that_part_and_another_press_all(explorer, snapshot):
    part = next(one for one in parts_of(explorer) if one.group == "facebook" and one.broken is True)
    press_part(explorer, part)
    listed = explorer.roster.page(explorer.selection, limit=1000)
    assert set(listed["connection"]) == {"facebook"}
    assert set(listed["source"]) == {"social"}
    assert (listed["expires_at"] < NOW).all()
    assert len(listed) == explorer.table._total > 0
    pressed = [one["told"] for one in drawn_parts(explorer) if one["picked"]]
    assert pressed == [
        f"social, but does not load: {len(listed)} users of facebook, "
        f"{len(listed) / users_of(snapshot, 'facebook'):.1%}. Press to list them.".replace(
            "%", " %"
        )
    ]
    press_part(explorer, part)
    assert explorer.selection == Selection()
    assert not any(one["picked"] for one in drawn_parts(explorer))


def test_the_parts_of_a_bar_are_all_its_users(explorer, snapshot):
    found = 0
    for part in parts_of(explorer):
        if part.group == "facebook":
            explorer.pick(part)
            found += explorer.table._total
            explorer.pick(None)
    assert found == users_of(snapshot, "facebook")


def test_a_press_keeps_to_the_filters(explorer):
    choose(explorer, "seen", "own")
    assert "own picture ✕" in chips(explorer)
    assert any("perhaps their own · " in one for one, _ in explorer.filters.fields["seen"].options)
    explorer.pick(Part(None, Source.SOCIAL))
    assert explorer.selection == Selection(sources=("social",), seen=("own",))


def test_bars_by_something_else(explorer):
    for by in ("provider", "activity"):
        explorer.by.value = by
        assert any(part.group for part in parts_of(explorer))
        press_part(explorer, parts_of(explorer)[0])
        assert explorer.alert.value == ""


def test_pages_turn_and_stop_at_both_ends(explorer):
    choose(explorer, "source", "custom")
    total = explorer.table._total
    for _ in range(total // ROWS + 2):
        explorer.table.answer({"want": "turn", "pages": 1})
    assert f"to {total:,} of {total:,}" in explorer.table.people.page["words"]
    assert explorer.table.people.page["last"]
    for _ in range(total // ROWS + 2):
        explorer.table.answer({"want": "turn", "pages": -1})
    assert explorer.table.people.page["words"].startswith("1 to ")
    assert explorer.table.people.page["first"]


def test_the_parts_of_bars_stand_in_the_same_order_in_every_row(explorer):
    for by in ("connection", "provider", "activity"):
        explorer.by.value = by
        rows = [
            [part["looks"] for part in row["parts"]] for row in explorer.stacks.bars.chart["rows"]
        ]
        assert len(rows) > 3
        assert all(row == sorted(row, key=rows[0].index) for row in rows)


def test_numbers_beside_months_are_the_users_who_would_be_left(explorer):
    def offered(field):
        return {value: label.rpartition("· ")[2] for label, value in field.options if value}

    months = sorted(offered(explorer.filters.joined_from))
    for field in (explorer.filters.joined_from, explorer.filters.joined_to):
        for month in (months[5], months[-3]):
            said = offered(field)[month]
            field.value = month
            assert explorer.table._total == int(said.replace(",", "")) > 0
            field.value = ""
    explorer.filters.joined_from.value = months[5]
    assert min(offered(explorer.filters.joined_to)) == months[5]
    said = offered(explorer.filters.joined_to)[months[8]]
    explorer.filters.joined_to.value = months[8]
    assert explorer.table._total == int(said.replace(",", ""))


def test_a_filter_takes_several_values_and_their_contrary(explorer, snapshot):
    connections = snapshot.users["connection"].fillna("(none)")
    for value in ("facebook", "linkedin"):
        choose(explorer, "connection", value)
    some = int(connections.isin(["facebook", "linkedin"]).sum())
    assert explorer.table._total == some > 0
    offered = [label for label, _ in explorer.filters.fields["connection"].options]
    ticked = [label.split()[1] for label in offered if label.startswith("✓")]
    assert ticked == ["facebook", "linkedin"]
    assert explorer.filters.fields["connection"].options[0] == ("add another", "")
    press(explorer, "connection is")
    assert explorer.table._total == len(snapshot) - some
    assert chips(explorer) == ["connection is not", "facebook ✕", "linkedin ✕"]
    press(explorer, "facebook ✕")
    assert explorer.table._total == int((connections != "linkedin").sum())
    choose(explorer, "connection", "linkedin")  # once more removes it
    assert explorer.filters.selection == Selection()


def test_choices_keep_their_order_whatever_is_filtered(explorer):
    def names():
        return [value for _, value in explorer.filters.fields["connection"].options]

    before = names()
    choose(explorer, "source", "enterprise")
    assert names() == before


def test_a_finding_shows_its_users(explorer, snapshot):
    explorer._worker.settled(60)
    for one in snapshot.findings():
        explorer.findings.buttons[one.id].click()
        assert explorer.table._total == one.users
        assert one.title in explorer.chosen.value
        assert explorer.findings.buttons[one.id].description == f"Show the {one.users:,}"
    assert chips(explorer)[0] == "finding is"
    choose(explorer, "connection", connection := snapshot.users_of(one.id)["connection"].iloc[0])
    assert one.title in explorer.chosen.value
    press(explorer, f"{connection} ✕")
    press(explorer, chips(explorer)[1])
    assert explorer.filters.selection == Selection()
    assert one.title not in explorer.chosen.value


def test_a_list_of_users_is_shown_with_its_words_until_a_filter_changes(explorer, snapshot):
    wanted = tuple(snapshot.users["user_id"][7:17])
    explorer.show(Selection(user_ids=wanted, joined_from="2019-01"), " who moved")
    assert "users who moved" in explorer.chosen.value
    assert chips(explorer) == ["user is", "one of 10 in a list ✕"]
    assert explorer.filters.joined_from.value == "2019-01"
    explorer.filters.joined_from.value = ""
    assert explorer.table._total == 10
    assert "moved" not in explorer.chosen.value
    press(explorer, "one of 10 in a list ✕")
    assert explorer.filters.selection == Selection()


def test_an_unknown_finding_is_a_visible_line(explorer):
    explorer.show(Selection(finding="it"))
    assert "No finding is called it" in explorer.alert.value


def test_a_head_sorts_and_goes_back_to_the_first_page(explorer):
    explorer.table.answer({"want": "turn", "pages": 1})
    for name, column in (("joined", 3), ("expires", 5), ("connection", 0)):
        for descending in (False, True):
            explorer.table.people.sort = [name, descending]
            values = [one["cells"][column] for one in explorer.table.people.page["people"]]
            given = [value for value in values if value]
            if column:
                assert given == sorted(given, reverse=descending)
            assert explorer.table.people.page["first"]


def test_a_row_opens_and_says_why(explorer, snapshot):
    choose(explorer, "seen", "broken")
    explorer.table.named.value = True
    explorer.table.answer({"want": "open", "place": 1})
    user = explorer.roster.page(explorer.selection).iloc[1]
    facts = {one["name"]: one["words"] for one in explorer.table.people.opened["facts"]}
    assert facts["people see"].startswith("a broken image")
    assert f"counts as {user['source']}" in facts["why"]
    assert explorer.table.people.page["people"][1]["cells"][1] == "broken image"
    explorer.table.answer({"want": "open", "place": 1})
    assert explorer.table.people.opened == {}
    explorer.table.answer({"want": "open", "place": 99})
    assert explorer.table.people.opened == {}


def test_the_python_that_is_copied_lists_the_same_users(explorer):
    choose(explorer, "source", "social")
    explorer.show(replace(explorer.filters.selection, excluding=("sources",)))
    explorer.table.people.sort = ["joined", True]
    names = {}
    exec(explorer.table.code, names)
    some = names["users"]
    assert len(some) == explorer.table._total
    first = explorer.roster.page(explorer.selection, order="joined", descending=True)
    assert list(some["user_id"][:ROWS]) == list(first["user_id"])


@pytest.mark.parametrize(
    ("tenant", "address"),
    [
        ("acme.eu.auth0.com", "https://manage.auth0.com/dashboard/eu/acme/users/"),
        ("acme.auth0.com", "https://manage.auth0.com/dashboard/us/acme/users/"),
        ("login.acme.com", ""),
        ("127.0.0.1:8080", ""),
    ],
)
def test_a_user_of_a_real_tenant_has_an_address_in_auth0s_dashboard(tenant, address, snapshot):
    origin = replace(snapshot.provenance, tenant=tenant)
    found = in_dashboard(origin, "auth0|5f7c8ec7")
    assert found.startswith(address)
    assert bool(found) is bool(address)
    if found:
        name = found.rpartition("/")[2]
        assert base64.urlsafe_b64decode(name + "==").decode() == "auth0%7C5f7c8ec7"
    assert in_dashboard(replace(origin, seed=1), "auth0|5f7c8ec7") == ""
    assert in_dashboard(replace(origin, redacted="key"), "auth0|5f7c8ec7") == ""


def test_nobody_is_said_and_not_an_error(explorer):
    explorer.filters.text.value = "nobody is called that"
    assert "0 users" in explorer.headline.value
    assert "<b>Nobody</b> matches all filters" in explorer.headline.value
    assert "Nobody is left" in explorer.trend.value
    assert "joining" not in explorer.trend.value
    assert explorer.table.people.page["people"] == []
    assert explorer.table.people.page["words"] == "0 of 0"
    assert explorer.alert.value == ""


def test_who_users_are_is_masked_until_somebody_asks(explorer, snapshot):
    explorer.filters.text.value = "google-oauth2|"
    first = explorer.roster.page(explorer.selection, limit=1).iloc[0]
    for text in (first["user_id"], first["email"], first["name"]):
        assert text not in listed(explorer)
    explorer.table.answer({"want": "open", "place": 0})
    assert "show names and e-mail addresses to see it" in listed(explorer)
    assert first["picture"] not in listed(explorer)
    explorer.table.named.value = True
    assert first["picture"] in listed(explorer)
    for text in (first["user_id"], first["email"], first["name"]):
        assert text in listed(explorer)
    explorer.table.named.value = False
    assert first["email"] not in listed(explorer)


@pytest.mark.parametrize("shown", [False, True])
def test_hostile_names_are_text_everywhere_and_never_long(explorer, shown):
    explorer.table.named.value = shown
    page = f"{explorer.headline.value}{explorer.trend.value}{explorer.chosen.value}"
    assert "<img" not in page
    assert "</script>" not in page
    assert "\u202e" not in page
    assert "\ud800" not in page
    assert "x" * 200 not in page
    # Bars and table set text as text; what cannot be seen, or moves other text, is written out.
    table = json.loads(listed(explorer))[0]["people"]
    cells = [text for one in table for text in (one["who"], *one["cells"])]
    cells += [row["name"] for row in explorer.stacks.bars.chart["rows"]]
    cells += [part["told"] for part in drawn_parts(explorer)]
    assert all(text.isprintable() and len(text) < 200 for text in cells)
    labels = [label for label, _ in explorer.filters.fields["connection"].options]
    assert all(len(label) < 60 and label.isprintable() for label in labels)
    for hostile in HOSTILE[:-1]:
        explorer.filters.clear()
        choose(explorer, "connection", hostile)
        assert explorer.table._total == 1
        assert explorer.alert.value == ""


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_listed_users_are_downloaded_and_leave_no_file(
    explorer, tmp_path, suffix, monkeypatch, snapshot
):
    sent = []
    monkeypatch.setattr(explorer.writer.download, "send", lambda *told: sent.append(told))
    explorer.pick(Part(None, Source.CUSTOM))
    explorer.writer.start(suffix)
    written(explorer)
    ((message, (content,)),) = sent
    custom = int((snapshot.users["source"] == "custom").sum())
    assert message == {"save": f"snapshot-selection{suffix}"}
    assert f"Downloaded {custom} users" in explorer.writer.status.value
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "got").write_bytes(content)
    users = read_snapshot(tmp_path / "got").users if suffix == ".parquet" else None
    assert set(users["source"]) == {"custom"} if users is not None else b"custom" in content


def test_charts_are_saved_for_the_users_who_are_chosen(explorer, monkeypatch):
    choose(explorer, "source", "social")
    sent = []
    for saver in (explorer.save_bars, explorer.save_trend):
        monkeypatch.setattr(saver.download, "send", lambda *told: sent.append(told))
        saver.svg.click()
        saver.png.click()
    assert explorer.alert.value == ""
    names = [message["save"] for message, _ in sent]
    assert names == [
        f"snapshot-by-{what}.{kind}" for what in ("group", "month") for kind in ("svg", "png")
    ]
    for place in (0, 2):
        svg, png = (sent[place + one][1][0] for one in (0, 1))
        assert b"<svg" in svg
        with Image.open(BytesIO(png)) as drawn:
            assert (drawn.format, drawn.width) == ("PNG", 2160)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_more_are_written_beside_and_never_over_anything(explorer, tmp_path, suffix, monkeypatch):
    monkeypatch.setattr("toolkit.panels.explorer.user_table._DOWNLOADED", 3)
    explorer.pick(Part(None, Source.CUSTOM))
    for name in ("snapshot-selection", "snapshot-selection-2"):
        explorer.writer.start(suffix)
        written(explorer)
        path = tmp_path / f"{name}{suffix}"
        assert str(path) in explorer.writer.status.value
        assert path.stat().st_mode & 0o777 == 0o600
    assert len(read_snapshot(path)) if suffix == ".parquet" else b"custom" in path.read_bytes()


def test_a_file_that_cannot_be_written_is_a_visible_line(snapshot, tmp_path, monkeypatch):
    monkeypatch.setattr("toolkit.panels.explorer.user_table._DOWNLOADED", 3)
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
    title, rows = explorer.chosen.value, listed(explorer)

    def damaged(*_, **__):
        raise UnreadableInputError("It is damaged.")

    monkeypatch.setattr(explorer.roster, "page", damaged)
    choose(explorer, "source", "social")
    assert "It is damaged" in explorer.alert.value
    assert (explorer.chosen.value, listed(explorer)) == (title, rows)
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
