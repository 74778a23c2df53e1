import threading
from datetime import UTC, datetime

import pytest

from toolkit.classification.frames import audit, profiles
from toolkit.classification.user_profile import user
from toolkit.panels.explorer.explorer_panel import explore
from toolkit.panels.explorer.user_table import Thumbnails
from toolkit.sandbox.made_up.tenants import loadable, people
from toolkit.sandbox.server import Sandbox
from toolkit.snapshots.snapshot import Provenance, Snapshot

NOW = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def snapshot(no_credentials):
    made_up = list(people(60))
    with Sandbox([loadable(person) for person in made_up]) as sandbox:
        frame = audit(profiles(user(person.record) for person in made_up))
        domain = sandbox.base_url.removeprefix("http://")
        yield Snapshot(Provenance(domain, NOW, "search", True, 60, 1, 1, 1.0, True, "0"), frame)


def test_pictures_arrive_as_png_or_as_the_reason_why_not(snapshot):
    got, arrived, failures = {}, threading.Event(), []
    wanted = [*snapshot.users["picture"].dropna().unique()[:12], "http://10.0.0.1/a.png"]

    def deliver(pictures):
        got.update(pictures)
        if set(wanted) <= set(got):
            arrived.set()

    thumbnails = Thumbnails(snapshot.provenance, deliver, failures.append)
    thumbnails.ask(wanted)
    assert arrived.wait(30)
    thumbnails.stop()
    assert failures == []
    assert any(isinstance(one, bytes) and one.startswith(b"\x89PNG") for one in got.values())
    assert isinstance(got["http://10.0.0.1/a.png"], str)


def test_nobody_is_asked_before_the_switch_and_the_browser_never(snapshot):
    explorer = explore(snapshot)
    threads = {thread.name for thread in threading.enumerate()}
    assert "thumbnails" not in threads
    drawn = threading.Event()
    explorer.table.rows.observe(
        lambda change: "data:image/png" in change.new and drawn.set(), "value"
    )
    explorer.table.pictured.value = True
    assert drawn.wait(30)
    html = explorer.table.rows.value
    assert html.count("<img") == html.count('src="data:image/png;base64,')
    assert "://" not in html
    explorer.table.pictured.value = False
    assert "<img" not in explorer.table.rows.value
    explorer.close()


def test_that_nobody_can_be_asked_is_a_visible_line(snapshot):
    said = threading.Event()
    gone = Provenance("127.0.0.1:9", NOW, "search", True, 1, 1, 1, 1.0, True, "0")
    explorer = explore(Snapshot(gone, snapshot.users.head(1)))
    explorer.alert.observe(lambda _: said.set(), "value")
    explorer.table.pictured.value = True
    assert said.wait(30)
    assert "does not run any more" in explorer.alert.value
    explorer.close()
