"""The tasks of the dashboard: the answer and how to settle it, kept snapshots, the report."""

import time
from dataclasses import replace
from datetime import timedelta

import pandas as pd
import pytest

from toolkit.analysis.finding_checks import FIXES
from toolkit.analysis.selection import Selection
from toolkit.collection.collect_users import collect
from toolkit.errors import OutputError
from toolkit.panels import collector_panel, report_panel
from toolkit.panels.answer_panel import Answer
from toolkit.panels.dashboard_frame import ANSWER, COLLECT, COMPARE, PEOPLE, REPORT, Dashboard
from toolkit.panels.explorer.explorer_panel import explore
from toolkit.panels.kept_panel import Kept
from toolkit.panels.report_panel import ReportPanel
from toolkit.sandbox.embedded import embedded_tenant
from toolkit.snapshots.comparison import Move
from toolkit.snapshots.snapshot import Snapshot, read_snapshot


@pytest.fixture(scope="module")
def tenant():
    with embedded_tenant(300) as tenant:
        yield tenant


@pytest.fixture
def snapshot(tenant, tmp_path):
    return collect(tenant, folder=tmp_path, method="search")


def test_asking_settles_the_answer_and_says_so(snapshot):
    panel = Answer(snapshot)
    assert "up to" in panel.chart.value
    assert "nothing leaves it" in panel.notice.value
    panel.size.value = 0
    panel.start()
    assert panel.settled(120)
    assert panel.alert.value == ""
    assert "Asked: " in panel.status.value
    assert panel.snapshot is not snapshot
    own = read_snapshot(snapshot.path).coverage().own
    assert own.high - own.low < 10
    panel.close()


def test_the_embedded_tenant_is_settled_as_soon_as_it_is_collected(
    no_credentials, monkeypatch, tmp_path
):
    monkeypatch.setattr(collector_panel, "embedded_tenant", lambda: embedded_tenant(300))
    shown = Dashboard(folder=tmp_path)
    shown.collector.method.value = "search"
    shown.collector.start()
    assert shown.collector.settled(120)
    assert shown.answer.settled(120)
    own = shown.snapshot.coverage().own
    assert own.high - own.low < 10
    assert "Asked: " in shown.answer.status.value
    assert shown.answer.settling.layout.display == "none"
    shown.go_to(COMPARE)
    assert (
        "Gravatar asked about everyone" in shown._page(COMPARE).list.children[0].children[0].value
    )
    shown.close()


def test_hashes_of_real_people_are_sent_only_after_a_tick(no_credentials, tmp_path, snapshot):
    path = tmp_path / "real.parquet"
    origin = replace(snapshot.provenance, tenant="t.eu.auth0.com", sandbox=False, seed=None)
    Snapshot(origin, snapshot.users).write(path)
    panel = Answer(read_snapshot(path))
    assert panel.teller.settled(60)
    assert "Hashes of e-mail addresses are personal data" in panel.notice.value
    panel.size.value = 0
    assert panel.teller.settled(60)
    assert "loads up to" in panel.notice.value
    assert r"\n" not in panel.notice.value
    assert "MADE-UP" not in panel.head.value
    assert panel.start_button.disabled
    shown = Dashboard(folder=tmp_path)
    shown.collector.out.value = str(path)
    shown.collector.open_file()
    assert not shown.answer.worker.working
    shown.close()
    panel.agreed.value = True
    assert not panel.start_button.disabled
    panel.close()


def test_two_kept_snapshots_are_compared_and_one_is_deleted(
    tenant, snapshot, tmp_path, monkeypatch
):
    second = collect(tenant, folder=tmp_path, method="search")
    shown = []
    panel = Kept(second, tmp_path, shown.append)
    assert [len(row.children) for row in panel.list.children] == [2, 3]
    panel.compare()
    assert panel.settled(60)
    assert panel.alert.value == ""
    assert "not enough is known" in panel.sentence.value
    assert "Nobody moved" in panel.chart.value
    sent = []
    monkeypatch.setattr(panel.save.download, "send", lambda *told: sent.append(told))
    panel.save.svg.click()
    ((message, (drawn,)),) = sent
    assert message == {"save": "what-changed.svg"}
    assert b"<svg" in drawn
    _, show, delete = panel.list.children[1].children
    show.click()
    assert [one.path for one in shown] == [snapshot.path]
    delete.click()
    assert snapshot.path.exists()
    sure, keep = panel.list.children[1].children[1:]
    keep.click()
    assert panel.list.children[1].children[1:] == (show, delete)
    sure.click()
    assert not snapshot.path.exists()
    assert "Collect once more" in panel.status.value
    assert second.provenance.tenant in panel.status.value
    assert panel.compare_button.disabled
    panel.close()


def test_a_report_that_cannot_be_written_is_not_said_to_be_on_its_way(snapshot, monkeypatch):
    panel = ReportPanel(snapshot)
    said = []

    def refuse(*_, **__):
        said.append(panel.link.value)
        raise OutputError("Cannot write it.")

    monkeypatch.setattr(report_panel, "report", refuse)
    panel.make()
    assert "Writing" in said[0]
    assert panel.link.value == ""
    assert "Cannot write it." in panel.alert.value
    panel.close()


def test_the_report_is_a_link_that_needs_no_file(snapshot):
    panel = ReportPanel(snapshot)
    panel.make()
    assert panel.alert.value == ""
    assert 'href="data:text/html;base64,' in panel.link.value
    assert (snapshot.path.parent / f"report-{snapshot.path.stem}.html").exists()
    panel.close()


def test_all_tasks_follow_what_gravatar_answered(no_credentials, tenant, snapshot, tmp_path):
    shown = Dashboard(folder=tmp_path)
    shown.go_to(PEOPLE)
    assert "There is no snapshot yet" in shown.alert.value
    shown.take(snapshot)
    second = collect(tenant, folder=tmp_path, method="search")
    for name in (PEOPLE, COMPARE, ANSWER):
        shown.go_to(name)
    kept = shown._page(COMPARE)
    assert kept.compared is None
    kept.compare()
    assert kept.settled(60)
    assert kept.compared == (snapshot.path, second.path)
    before = shown.explorer
    before.show(Selection(sources=("initials",)))
    shown.answer.size.value = 0
    shown.answer.start()
    assert shown.answer.settled(120)
    assert "Nothing is running in this page." in shown.running.value
    assert shown.snapshot is shown.answer.snapshot is not snapshot
    shown.go_to(PEOPLE)
    assert shown.explorer is not before
    assert shown.explorer.filters.selection == Selection(sources=("initials",))
    again = shown._page(COMPARE)
    assert again is not kept
    assert again.settled(60)
    assert again.below.layout.display is None
    assert again.compared == kept.compared
    assert shown.alert.value == ""
    shown.close()


def ticked(shown):
    return {name for name, step in shown.steps.items() if "pa-done" in step._dom_classes}


def test_a_tick_says_that_a_step_is_done_and_not_that_it_was_opened(snapshot, tenant, tmp_path):
    shown = Dashboard(folder=tmp_path)
    assert ticked(shown) == set()
    shown.take(snapshot)
    for name in shown.steps:
        shown.go_to(name)
    assert shown.alert.value == ""
    assert ticked(shown) == {COLLECT}
    shown._page(REPORT).make()
    collect(tenant, folder=tmp_path, method="search")
    shown.go_to(COMPARE)
    shown._page(COMPARE).compare()
    assert shown._page(COMPARE).settled(60)
    assert ticked(shown) == {COLLECT, REPORT, COMPARE}
    shown.answer.settle()
    assert shown.answer.settled(120)
    assert ticked(shown) >= {COLLECT, ANSWER}
    shown.close()


def test_a_page_that_is_loaded_again_shows_what_it_showed(snapshot, tmp_path):
    shown = Dashboard(folder=tmp_path, remember=True)
    shown.take(snapshot)
    shown.go_to(PEOPLE)
    shown.explorer.show(Selection(sources=("initials",), text="ann@example.com"))
    shown.go_to(ANSWER)
    kept = shown.memory.kept
    assert "ann" not in kept
    shown.close()
    again = Dashboard(folder=tmp_path, remember=True)
    again.memory.found = kept
    assert again.alert.value == ""
    assert again.snapshot.path == snapshot.path
    assert again._now == ANSWER
    assert again.explorer.filters.selection == Selection(sources=("initials",))
    again.memory.found = "{}"
    assert "cannot be read" in again.alert.value
    again.close()
    snapshot.path.unlink()
    late = Dashboard(folder=tmp_path, remember=True)
    late.memory.found = kept
    assert "does not exist" in late.alert.value
    late.close()


@pytest.fixture
def two_days(tenant, tmp_path):
    """A snapshot, and a later one: some have another source, one has come and one has gone."""
    folder = tmp_path / "days"
    old = collect(tenant, folder=folder, method="search")
    users = old.users.copy()
    some = users.index[users["source"] == "initials"][:3]
    users.loc[some, "source"] = "gravatar"
    gone, come = users.iloc[[5]], users.iloc[[6]].assign(user_id="auth0|new", source="custom")
    users = pd.concat([users.drop(gone.index), come], ignore_index=True)
    later = old.provenance.taken_at + timedelta(days=30)
    path = old.path.with_name("later.parquet")
    Snapshot(replace(old.provenance, taken_at=later), users).write(path)
    return old, read_snapshot(path), gone


def move_of(panel: Kept, before: str | None, after: str | None) -> Move:
    return next(one for one in panel.moves.buttons if (one.before, one.after) == (before, after))


def test_a_move_shows_and_downloads_its_people(two_days, monkeypatch):
    old, new, _ = two_days
    panel = Kept(new, old.path.parents[1])
    panel.compare()
    assert panel.settled(60)
    moved = panel.moves.buttons[move_of(panel, "initials", "gravatar")]
    assert moved.description == "Show the 3"
    moved.click()
    assert panel.settled(60)
    assert panel.alert.value == ""
    assert "The 3 users of “initials → gravatar”" in panel.moves.said.value
    shown = panel.moves.table.people.page["people"]
    assert [one["cells"][2] for one in shown] == ["gravatar"] * 3
    sent = []
    monkeypatch.setattr(panel.moves.writer.download, "send", lambda *told: sent.append(told))
    panel.moves.writer.start(".csv")
    assert panel.moves.writer.settled(60)
    ((message, (content,)),) = sent
    assert message == {"save": f"{new.path.stem}-initials-gravatar-selection.csv"}
    assert content.count(b"\n") == 4
    names = {}
    exec(panel.moves.table.code, names)
    assert len(names["users"]) == 3
    panel.close()


def test_every_move_can_be_listed(two_days, monkeypatch):
    monkeypatch.setattr("toolkit.panels.moves_view._LISTED", 1)
    old, new, _ = two_days
    panel = Kept(new, old.path.parents[1])
    panel.compare()
    assert panel.settled(60)
    assert len(panel.moves.buttons) == 3
    *listed, more = panel.moves.rows.children
    assert (len(listed), more.description) == (2, "Show 2 smaller moves")  # the title is one
    more.click()
    assert len(panel.moves.rows.children) == 4
    panel.close()


def test_who_is_gone_is_listed_from_the_earlier_snapshot(two_days):
    old, new, gone = two_days
    panel = Kept(new, old.path.parents[1])
    panel.compare()
    assert panel.settled(60)
    panel.moves.buttons[move_of(panel, gone["source"].iloc[0], None)].click()
    assert panel.settled(60)
    panel.moves.table.named.value = True
    (person,) = panel.moves.table.people.page["people"]
    assert gone["user_id"].iloc[0] in person["who"]
    panel.moves.buttons[move_of(panel, None, "custom")].click()
    assert panel.settled(60)
    assert "The 1 user of" in panel.moves.said.value
    panel.compare()
    assert panel.settled(60)
    assert panel.moves.people.children == ()
    panel.close()


def test_people_of_a_move_whose_file_is_gone_are_a_visible_line(two_days):
    old, new, _ = two_days
    panel = Kept(new, old.path.parents[1])
    panel.compare()
    assert panel.settled(60)
    old.path.unlink()
    panel.moves.buttons[move_of(panel, "initials", "gravatar")].click()
    assert panel.settled(60)
    assert "cannot be" in panel.alert.value
    assert panel.moves.said.value == ""
    panel.close()


def test_fix_leads_from_a_finding_to_the_change_that_settles_it(no_credentials, snapshot, tmp_path):
    shown = Dashboard(folder=tmp_path)
    shown.take(snapshot)
    shown.go_to(PEOPLE)
    until = time.monotonic() + 60
    while len(shown.explorer.findings.children) < 2:
        assert time.monotonic() < until
        time.sleep(0.02)
    rows = shown.explorer.findings
    assert {*rows.fixes} == {*FIXES} & {*rows.buttons}
    rows.fixes["missing"].click()
    assert shown.alert.value == ""
    assert shown.admin.layout.display is None
    assert shown.admin.way.choice.sources == ("missing",)
    assert "Users without any picture" in shown.admin.reason.value
    shown.close()


def test_without_a_place_to_fix_there_is_no_such_button(snapshot):
    panel = explore(snapshot)
    panel.findings.fill(snapshot.findings())
    assert panel.findings.buttons
    assert panel.findings.fixes == {}
    panel.close()
