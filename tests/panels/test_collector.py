"""The collector against the sandbox, by the methods behind its buttons."""

import json
import threading
import time
from datetime import UTC, datetime

import pytest

from toolkit.collection.exports import ingest_files
from toolkit.errors import SettingsError, UnreadableInputError
from toolkit.panels.collector_panel import EMBEDDED, Collector, collector
from toolkit.panels.dashboard_frame import CHANGE, PEOPLE, Dashboard
from toolkit.sandbox.made_up.tenants import loadable, people
from toolkit.sandbox.server import Sandbox


@pytest.fixture
def tenant(no_credentials, monkeypatch):
    """A sandbox that the environment names as the tenant."""
    with Sandbox([loadable(person) for person in people(300)]) as sandbox:
        for name, value in sandbox.environment().items():
            monkeypatch.setenv(name, value)
        yield sandbox


@pytest.fixture
def panel(tenant, tmp_path):
    panel = collector(tmp_path / "snapshot.parquet")
    panel.method.value = "search"
    return panel


def ended(panel: Collector) -> None:
    for thread in threading.enumerate():
        if thread.name == "collector":
            thread.join(60)
    assert not panel.worker.working


def wait_for(true) -> None:
    until = time.monotonic() + 120
    while not true():
        assert time.monotonic() < until
        time.sleep(0.005)


def test_a_collection_hands_its_snapshot_over(panel, tenant, tmp_path):
    handed = []
    panel.observe(lambda change: handed.append(change.new), "snapshot")
    panel.start()
    ended(panel)
    assert panel.alert.value == ""
    assert "300 users, complete" in panel.status.value
    assert len(panel.snapshot) == 300
    assert handed == [panel.snapshot]
    assert panel.snapshot.path == tmp_path / "snapshot.parquet"
    assert not panel.start_button.disabled
    assert panel.cancel_button.disabled
    assert not panel.open_button.disabled


def test_no_secret_is_in_any_widget(panel, tenant):
    panel.start()
    ended(panel)
    secret = tenant.environment()["AUTH0_CLIENT_SECRET"]
    states = [str(widget.get_state()) for widget in (panel, *everything(panel))]
    assert not any(secret in state for state in states)


def everything(widget):
    for child in getattr(widget, "children", ()):
        yield child
        yield from everything(child)


def test_a_pause_lasts_until_somebody_goes_on(panel):
    # Paused before it begins, so that the collection stands still at its first step.
    panel.start()
    panel.pause()
    if panel.worker.paused:
        assert panel.pause_button.description == "Go on"
        assert panel.snapshot is None
        panel.pause()
    ended(panel)
    assert len(panel.snapshot) == 300


@pytest.mark.parametrize("named", [True, False])
def test_what_was_cancelled_goes_on_with_the_next_press(
    no_credentials, monkeypatch, tmp_path, named
):
    made_up = [loadable(person) for person in people(2500)]
    with Sandbox(made_up, plan="essentials") as sandbox:
        for name, value in sandbox.environment().items():
            monkeypatch.setenv(name, value)
        panel = collector(tmp_path / "snapshot.parquet" if named else None, folder=tmp_path)
        panel.method.value = "search"
        panel.start()
        wait_for(
            lambda: "windows reconciled" in panel.meter.words.value or not panel.worker.working
        )
        panel.cancel()
        ended(panel)
        assert "Cancelled" in panel.status.value
        assert panel.snapshot is None
        assert panel.alert.value == ""
        assert panel.start_button.description == "Resume"
    with Sandbox(made_up, port=int(sandbox.base_url.rpartition(":")[2])) as sandbox:
        for name, value in sandbox.environment().items():
            monkeypatch.setenv(name, value)
        panel.start()
        ended(panel)
    assert len(panel.snapshot) == 2500
    assert panel.start_button.description == "Collect"


def test_a_press_that_comes_too_late_leaves_what_was_said(panel):
    panel.start()
    ended(panel)
    panel.cancel()
    panel.pause()
    assert "300 users, complete" in panel.status.value
    assert not panel.worker.working


def test_a_name_that_no_file_can_have_is_a_visible_line(panel, tmp_path):
    panel.out.value = str(tmp_path / ("x" * 300))
    assert panel.alert.value == ""
    assert panel.open_button.disabled
    panel.start()
    ended(panel)
    assert "Cannot write" in panel.alert.value
    assert panel.cancel_button.disabled
    assert not panel.start_button.disabled


def test_an_error_is_a_visible_line_and_the_button_works_again(panel, tmp_path):
    (tmp_path / "file").write_text("")
    panel.out.value = str(tmp_path / "file" / "snapshot.parquet")
    panel.start()
    ended(panel)
    assert "Cannot write" in panel.alert.value
    assert not panel.start_button.disabled
    panel.out.value = str(tmp_path / "snapshot.parquet")
    panel.start()
    ended(panel)
    assert panel.alert.value == ""


def test_wrong_credentials_are_told_without_them(panel, monkeypatch):
    monkeypatch.setenv("AUTH0_CLIENT_SECRET", "wrong-secret")
    panel.start()
    ended(panel)
    assert 'role="alert"' in panel.alert.value
    assert "wrong-secret" not in panel.alert.value


def test_without_credentials_the_embedded_tenant_is_what_there_is(no_credentials, tmp_path):
    panel = collector(tmp_path / "snapshot.parquet")
    assert panel.tenant.options == (EMBEDDED,)
    panel.start()
    ended(panel)
    assert panel.snapshot.provenance.sandbox


def test_connecting_says_what_the_credentials_may_do_and_what_a_change_lacks(
    no_credentials, monkeypatch, tmp_path
):
    with Sandbox([], scopes="read:users read:actions") as sandbox:
        for name, value in sandbox.environment().items():
            monkeypatch.setenv(name, value)
        panel = collector(folder=tmp_path)
        panel.connect()
        ended(panel)
        assert panel.alert.value == ""
        assert "can read all users" in panel.rights.value
        assert "lacks read:rules, read:flows, read:event_streams" in panel.rights.value
        assert "lacks create:actions, update:actions" in panel.rights.value
        assert "lacks update:users" in panel.rights.value
        assert "Nothing was read or written" in panel.status.value
        panel.tenant.value = EMBEDDED
        assert panel.rights.value == ""
    assert list(tmp_path.iterdir()) == []


def test_a_token_that_hides_its_scopes_is_not_said_to_lack_them(
    no_credentials, monkeypatch, tmp_path
):
    with Sandbox([]) as sandbox:
        monkeypatch.setenv("AUTH0_DOMAIN", sandbox.base_url)
        monkeypatch.setenv("AUTH0_TOKEN", "opaque")
        panel = collector(folder=tmp_path)
        panel.connect()
        ended(panel)
        assert "each step says what it lacks" in panel.rights.value


def test_settings_that_cannot_be_read_are_a_visible_line(no_credentials, monkeypatch, tmp_path):
    (tmp_path / ".env").write_bytes(b"AUTH0_DOMAIN=\xff")
    assert "UTF-8" in collector().alert.value


def test_a_file_that_is_there_is_opened_and_one_that_is_none_is_said(panel, tmp_path):
    panel.start()
    ended(panel)
    other = collector(tmp_path / "snapshot.parquet")
    other.open_file()
    assert len(other.snapshot) == 300
    (tmp_path / "other.parquet").write_text("no")
    other.out.value = str(tmp_path / "other.parquet")
    other.open_file()
    assert "not a Parquet file" in other.alert.value


def test_without_a_name_each_collection_is_a_new_file_and_the_newest_is_opened(tenant, tmp_path):
    panel = collector(folder=tmp_path / "kept")
    panel.method.value = "search"
    assert panel.out.value == ""
    assert panel.open_button.disabled
    for _ in range(2):
        panel.start()
        ended(panel)
        assert panel.alert.value == ""
    domain = tenant.base_url.removeprefix("http://")
    files = set((tmp_path / "kept" / domain.replace(":", "-")).iterdir())
    assert len(files) == 2
    assert panel.snapshot.path in files
    assert not panel.open_button.disabled
    newest = panel.snapshot.path
    panel.tenant.value = EMBEDDED
    assert panel.open_button.disabled
    panel.open_file()
    assert "no snapshot of the embedded tenant" in panel.alert.value
    other = collector(folder=tmp_path / "kept")
    other.open_file()
    assert other.snapshot.path == newest


def test_made_up_people_never_take_the_place_of_real_ones(panel, tenant, tmp_path):
    panel.start()
    ended(panel)
    kept = (tmp_path / "snapshot.parquet").read_bytes()
    panel.tenant.value = EMBEDDED
    panel.start()
    ended(panel)
    assert "another tenant" in panel.alert.value
    assert (tmp_path / "snapshot.parquet").read_bytes() == kept
    panel.out.value = ""
    panel._folder = tmp_path / "kept"
    panel.start()
    ended(panel)
    assert panel.alert.value == ""
    assert panel.snapshot.provenance.seed is not None
    assert (tmp_path / "snapshot.parquet").read_bytes() == kept
    panel.close()


def test_a_domain_that_is_no_host_name_is_a_visible_line(no_credentials, monkeypatch):
    monkeypatch.setenv("AUTH0_DOMAIN", "http://tenant.example")
    assert "host name" in collector().alert.value


def test_credentials_without_a_domain_are_a_visible_line(no_credentials, monkeypatch):
    monkeypatch.setenv("AUTH0_TOKEN", "t")
    assert "AUTH0_DOMAIN is not set" in collector().alert.value


def test_the_dashboard_shows_what_was_collected(tenant, tmp_path):
    shown = Dashboard(tmp_path / "snapshot.parquet")
    assert shown.explorer is None
    shown.collector.start()
    ended(shown.collector)
    assert "MADE-UP PEOPLE" in shown.answer.head.value
    shown.go_to(PEOPLE)
    first = shown.explorer
    assert "300 users" in first.headline.value
    shown.collector.open_file()
    assert shown.explorer is None
    shown.go_to(PEOPLE)
    assert shown.explorer is not first
    assert shown.alert.value == ""
    shown.close()


def test_a_snapshot_that_cannot_be_shown_leaves_all_tasks_as_they_are(
    tenant, tmp_path, monkeypatch
):
    shown = Dashboard(tmp_path / "snapshot.parquet")
    shown.collector.start()
    ended(shown.collector)
    shown.go_to(PEOPLE)
    first, explorer = shown.collector.snapshot, shown.explorer

    def damaged(*_):
        raise UnreadableInputError("It is damaged.")

    monkeypatch.setattr("toolkit.panels.dashboard_frame.Answer", damaged)
    shown.collector.open_file()
    assert "It is damaged" in shown.collector.alert.value
    assert "Opened" not in shown.collector.status.value
    assert shown.collector.snapshot is not first
    shown.go_to(CHANGE)
    assert shown.explorer is explorer
    assert shown.admin.snapshot is first
    shown.close()


def test_another_snapshot_waits_for_a_change_that_is_under_way(tenant, tmp_path):
    shown = Dashboard(tmp_path / "snapshot.parquet")
    shown.collector.start()
    ended(shown.collector)
    shown.go_to(CHANGE)
    admin = shown.admin
    go = threading.Event()
    admin.execution.worker.ask(go.wait)
    shown.collector.open_file()
    assert "under way" in shown.collector.alert.value
    assert shown.admin is admin
    shown.answer.start()
    assert "under way" in shown.answer.alert.value
    go.set()
    assert admin.execution.settled(60)
    shown.collector.open_file()
    assert shown.admin is None
    assert shown.collector.alert.value == ""
    shown.close()


def test_the_dashboard_lets_an_admin_choose_for_the_embedded_tenant_too(no_credentials, tmp_path):
    shown = Dashboard(tmp_path / "snapshot.parquet")
    shown.collector.start()
    ended(shown.collector)
    assert shown.admin is None
    shown.go_to(CHANGE)
    assert shown.admin.settled()
    assert shown.admin._connected() is shown.collector.embedded
    assert shown.alert.value == ""
    shown.close()


def test_a_closed_dashboard_collects_no_further_and_shows_nothing(
    no_credentials, monkeypatch, tmp_path
):
    made_up = [loadable(person) for person in people(2500)]
    with Sandbox(made_up, plan="essentials") as sandbox:
        for name, value in sandbox.environment().items():
            monkeypatch.setenv(name, value)
        shown = Dashboard(tmp_path / "snapshot.parquet")
        shown.collector.method.value = "search"
        shown.collector.start()
        wait_for(lambda: "windows reconciled" in shown.collector.meter.words.value)
        shown.close()
        assert not shown.collector.worker.working
        assert shown.collector.snapshot is None
    # Whoever hands a snapshot over too late opens no file that nobody would close.
    shown.collector.snapshot = "anything"
    assert shown.explorer is None
    assert shown.alert.value == ""


def test_a_closed_dashboard_has_closed_its_parts(no_credentials, tmp_path):
    shown = Dashboard(tmp_path / "snapshot.parquet")
    shown.collector.start()
    ended(shown.collector)
    shown.go_to(PEOPLE)
    shown.go_to(CHANGE)
    tenant = shown.collector.embedded
    shown.close()
    with pytest.raises(SettingsError, match="closed"):
        shown.admin._connected()
    with pytest.raises(SettingsError, match="closed"):
        shown.admin._hosts()
    with pytest.raises(RuntimeError, match="client has been closed"):
        tenant.search("user_id:x")
    assert all(part.comm is None for part in (shown, shown.explorer, shown.admin))


# Files


def lines(count: int) -> bytes:
    return b"".join(json.dumps(loadable(one)).encode() + b"\n" for one in people(count))


@pytest.fixture
def of_file(no_credentials, tmp_path):
    """A panel that reads a file, with one of 300 users in the working folder."""
    (tmp_path / "acme.ndjson").write_bytes(lines(300))
    panel = collector(folder=tmp_path / "kept")
    panel.origin.value = "A file"
    yield panel
    panel.close()


def upload(panel: Collector, name: str, content: bytes, changed: datetime | None = None) -> None:
    """Do what the browser does when somebody has chosen a file."""
    told = {"name": name, "type": "", "size": len(content), "content": memoryview(content)}
    panel.file.upload.value = (told | {"last_modified": changed or datetime.now(UTC)},)


def test_a_file_goes_on_into_the_other_panels_as_a_collection_does(no_credentials, tmp_path):
    (tmp_path / "acme.ndjson").write_bytes(lines(300))
    shown = Dashboard(folder=tmp_path / "kept")
    shown.collector.origin.value = "A file"
    shown.collector.file.file.value = "acme.ndjson"
    shown.collector.start()
    ended(shown.collector)
    assert shown.alert.value == ""
    assert shown.entry.value == "Answer"
    shown.go_to("People")
    assert "300 users" in shown.explorer.headline.value
    shown.close()


def test_a_file_is_proposed_read_and_kept_in_a_new_snapshot(of_file, tmp_path):
    (tmp_path / "notes.docx").write_text("no")
    of_file.origin.value = "A tenant"
    assert of_file.file.layout.display == "none"
    of_file.origin.value = "A file"
    assert of_file.file.file.options == ("acme.ndjson",)
    assert of_file.tenant.layout.display == of_file.method.layout.display == "none"
    assert of_file.start_button.description == "Read"
    assert of_file.open_button.disabled
    of_file.file.file.value = "acme.ndjson"
    of_file.start()
    ended(of_file)
    assert "Read 300 users, complete." in of_file.status.value
    assert of_file.snapshot.path.parent == tmp_path / "kept" / "acme"
    assert of_file.snapshot.provenance.tenant == "acme"
    assert not of_file.open_button.disabled
    before = of_file.snapshot
    of_file.open_file()
    assert of_file.snapshot.path == before.path


def test_names_of_columns_and_the_time_of_an_export_are_taken_from_fields(of_file, tmp_path):
    rows = "Kundennummer;Bild Adresse\nauth0|1;https://example.com/1.png\n"
    (tmp_path / "kunden.csv").write_text(rows, "utf-8")
    of_file.file.file.value = "kunden.csv"
    of_file.start()
    ended(of_file)
    assert "--map" in of_file.alert.value
    of_file.names.value = "user_id=Kundennummer; picture=Bild Adresse"
    of_file.taken_at.value = datetime(2026, 5, 6, 7, 8, tzinfo=UTC)
    of_file.start()
    ended(of_file)
    assert of_file.alert.value == ""
    assert list(of_file.snapshot.users["picture"]) == ["https://example.com/1.png"]
    assert of_file.snapshot.provenance.taken_at == of_file.taken_at.value
    of_file.names.value = "picture"
    of_file.start()
    assert "takes NAME=COLUMN" in of_file.alert.value
    of_file.origin.value = "A tenant"
    assert of_file.names.layout.display == of_file.taken_at.layout.display == "none"


def test_a_later_file_of_another_name_is_kept_with_the_first_one(of_file, tmp_path):
    of_file.file.file.value = "acme.ndjson"
    of_file.start()
    ended(of_file)
    first = of_file.snapshot.path
    of_file.origin.value = "A tenant"
    of_file.origin.value = "A file"
    assert of_file.whose.options == ("acme",)
    upload(of_file, "acme (1).ndjson", lines(20))
    assert of_file.open_button.disabled
    of_file.whose.value = "acme"
    assert not of_file.open_button.disabled
    of_file.start()
    ended(of_file)
    assert of_file.alert.value == ""
    assert of_file.snapshot.provenance.tenant == "acme"
    assert of_file.snapshot.path != first
    assert of_file.snapshot.path.parent == first.parent
    (tmp_path / "kept" / "other").mkdir()
    (tmp_path / "kept" / "other" / "2026-01-01T0000.parquet").write_text("no snapshot")
    of_file.origin.value = "A tenant"
    of_file.origin.value = "A file"
    assert of_file.whose.options == ("acme",)


def test_an_upload_has_the_time_that_its_file_had(of_file):
    upload(of_file, "mailed.ndjson", lines(20), datetime(2026, 11, 25, tzinfo=UTC))
    of_file.start()
    ended(of_file)
    assert of_file.snapshot.provenance.taken_at == datetime(2026, 11, 25, tzinfo=UTC)


def test_the_notes_of_a_file_are_said_as_the_command_says_them(of_file):
    of_file.file.file.value = "acme.ndjson"
    of_file.start()
    ended(of_file)
    assert of_file.snapshot.provenance.notes
    assert all(note in of_file.status.value for note in of_file.snapshot.provenance.notes)


def test_an_upload_is_read_and_nothing_of_it_stays_in_the_page(of_file):
    upload(of_file, "../mailed.ndjson", lines(20))
    path = of_file.file.path
    assert path.read_bytes() == lines(20)
    assert path.parent.stat().st_mode & 0o077 == 0
    assert of_file.file.upload.value == ()
    of_file.start()
    ended(of_file)
    assert of_file.alert.value == ""
    assert len(of_file.snapshot) == 20
    upload(of_file, "again.ndjson", lines(30))
    assert not path.exists()
    assert len(list(of_file.file.path.parent.iterdir())) == 1
    of_file.file.file.value = "acme.ndjson"  # somebody changes their mind
    assert of_file.file.path.name == "acme.ndjson"
    of_file.close()
    assert not path.parent.exists()


def test_a_file_that_is_not_there_or_not_named_is_a_visible_line(of_file, capsys):
    of_file.start()
    assert "Name the file" in of_file.alert.value
    of_file.file.file.value = "other.ndjson"
    of_file.start()
    ended(of_file)
    assert "other.ndjson cannot be read: No such file or directory." in of_file.alert.value
    of_file.open_file()
    assert "no snapshot of other.ndjson" in of_file.alert.value


def test_a_file_with_damage_is_said_and_what_could_be_read_can_be_opened(of_file, tmp_path):
    (tmp_path / "cut.ndjson").write_bytes(lines(20) + b'{"user_id')
    of_file.file.file.value = "cut.ndjson"
    of_file.start()
    ended(of_file)
    assert "cut short" in of_file.alert.value
    assert "Press Open" in of_file.status.value
    of_file.open_file()
    assert len(of_file.snapshot) == 20
    assert not of_file.snapshot.provenance.complete


def test_reading_a_file_can_be_cancelled_and_leaves_nothing(of_file, monkeypatch, tmp_path):
    monkeypatch.setattr(ingest_files, "_ROWS", 100)
    (tmp_path / "acme.json").write_text(json.dumps([loadable(one) for one in people(300)]))
    begun, go = threading.Event(), threading.Event()
    monkeypatch.setattr(of_file.meter, "show", lambda _: (begun.set(), go.wait(60)))
    of_file.file.file.value = "acme.json"
    of_file.start()
    assert begun.wait(60)
    of_file.cancel()
    go.set()
    ended(of_file)
    assert "Cancelled. Nothing was kept." in of_file.status.value
    assert of_file.alert.value == ""
    assert of_file.snapshot is None
    assert list((tmp_path / "kept").rglob("*.*")) == []
