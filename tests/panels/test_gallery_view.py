import pandas as pd
import pytest

from toolkit.change.prepare import plan
from toolkit.change.preview.gallery_data import gallery
from toolkit.classification.frames import audit
from toolkit.classification.user_profile import tabulated
from toolkit.classification.user_profile import user as profile
from toolkit.images.candidate_checks import DARK
from toolkit.panels.choose.before_after_view import GalleryView
from toolkit.panels.widgets import Alert
from toolkit.sandbox.picture_hosts import Hosts
from toolkit.sandbox.server import Sandbox
from toolkit.snapshots.snapshot import Provenance, Snapshot

PHOTO = "https://people.example.com/me.png"


@pytest.fixture
def preview(tmp_path):
    users = [{"user_id": "auth0|1", "picture": PHOTO}, {"user_id": "auth0|2"}]
    rows = tabulated(map(profile, users)).to_pandas().astype({"logins_count": pd.Int64Dtype()})
    now = pd.Timestamp.now("UTC").to_pydatetime()
    origin = Provenance("a.eu.auth0.com", now, "search", True, 2, 1, 1, 1.0, False, "0")
    snapshot = Snapshot(origin, audit(rows))
    made = plan(snapshot, "https://images.example/n.png", through="action", out=tmp_path / "p")
    return gallery(snapshot, made)


def test_nobody_is_asked_for_real_people_s_pictures_until_somebody_says_so(preview):
    asked = []
    with Sandbox([]) as sandbox:

        def hosts() -> Hosts:
            asked.append(1)
            return Hosts(sandbox.base_url)

        view = GalleryView(hosts, Alert(), sandbox=False)
        view.show(preview)
        assert view.worker.settled(30)
        assert asked == []
        assert "what the host shows" not in view.table.value
        assert "perhaps own, not looked at (custom)" in view.table.value
        view.asked.value = True
        assert view.worker.settled(30)
        assert asked == [1]
        assert "what the host shows" in view.table.value
        view.asked.value = False
        assert "what the host shows" not in view.table.value
        view.close()


def test_pictures_are_shown_at_the_size_and_on_the_page_that_are_chosen(preview):
    view = GalleryView(Hosts, Alert(), sandbox=False)
    view.show(preview)
    assert 'width="64"' in view.table.value
    view.size.value, view.page.value = 480, DARK
    assert 'width="480"' in view.table.value
    assert f"background:{DARK}" in view.table.value
    view.wait("nothing")
    view.draw()
    assert "nothing" in view.headline.value
    view.close()
