import threading
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import quote

import pytest

from toolkit.analysis.tenant_wiring import Script, wiring
from toolkit.change.action import action_code
from toolkit.change.policy import Policy
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
    explorer.table.people.observe(
        lambda change: "data:image/png" in str(change.new) and drawn.set(), "page"
    )
    explorer.table.pictured.value = True
    assert drawn.wait(30)
    assert explorer.table.people.page["heads"][0] == "picture"
    assert "://" not in str(explorer.table.people.page)
    explorer.table.pictured.value = False
    assert not [one for one in explorer.table.people.page["people"] if "drawn" in one]
    explorer.close()


def test_each_thumbnail_is_of_the_picture_that_people_see(no_credentials):
    """Fails if the profile's picture is drawn where this tool's Action shows another one."""
    default, upload = (f"https://pictures.example/{name}.png" for name in "du")
    ours = wiring(
        [Script("action", "ours", action_code(Policy(default, ("override", "own"))), on=True)], NOW
    )
    theirs = Script("action", "theirs", 'api.idToken.setCustomClaim("picture", "x");', on=True)
    initials = "https://cdn.auth0.com/avatars/ab.png"
    gravatar = f"https://s.gravatar.com/avatar/{'b' * 32}?d={quote(initials, safe='')}"
    own = "https://lh3.googleusercontent.com/a/x=s96-c"
    records = [
        {"user_id": f"auth0|{number}", "picture": picture, "user_metadata": {"picture": override}}
        for number, (picture, override) in enumerate(
            [
                (default, None),
                *((one, None) for one in (initials, gravatar, None, own)),
                *((one, upload) for one in (initials, own)),
                (upload, None),
            ]
        )
    ]
    frame = audit(profiles(map(user, records)))
    with Sandbox([]) as sandbox:
        domain = sandbox.base_url.removeprefix("http://")
        about = Provenance(
            domain, NOW, "search", True, len(frame), 1, 1, 1.0, True, "0", wiring=ours
        )
        drawn = drawn_in(Snapshot(about, frame))
        careless = wiring([theirs], NOW)
        other = drawn_in(Snapshot(replace(about, wiring=careless), frame))
    d, u, o = drawn[0], drawn[7], drawn[4]
    assert drawn == [d, d, d, d, o, u, u, u]
    assert len({d, u, o}) == 3
    assert "nobody knows" in other[4]


def drawn_in(snapshot):
    """Return what is drawn for each user, once all of them are there."""
    explorer, complete = explore(snapshot), threading.Event()

    def drawn():
        return [one.get("drawn", "…") for one in explorer.table.people.page["people"]]

    explorer.table.people.observe(lambda _: "…" not in drawn() and complete.set(), "page")
    explorer.table.pictured.value = True
    assert complete.wait(30)
    cells = drawn()
    explorer.close()
    return cells


def test_that_nobody_can_be_asked_is_a_visible_line(snapshot):
    said = threading.Event()
    gone = Provenance("127.0.0.1:9", NOW, "search", True, 1, 1, 1, 1.0, True, "0")
    explorer = explore(Snapshot(gone, snapshot.users.head(1)))
    explorer.alert.observe(lambda _: said.set(), "value")
    explorer.table.pictured.value = True
    assert said.wait(30)
    assert "does not run any more" in explorer.alert.value
    explorer.close()
