"""What a plan does to each kind of user, held against the plan's own rows and against Python."""

import re
from datetime import UTC, datetime

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from toolkit.analysis.tenant_wiring import Setter, Wiring
from toolkit.change.policy import replaced
from toolkit.change.prepare import plan, policy_of
from toolkit.change.preview.gallery_data import bars, gallery
from toolkit.change.preview.portrait import Sight
from toolkit.classification.frames import audit
from toolkit.classification.user_profile import tabulated
from toolkit.classification.user_profile import user as profile
from toolkit.errors import UnreadableInputError
from toolkit.sandbox.made_up.tenants import loadable, people
from toolkit.snapshots.snapshot import Provenance, Snapshot

NEW = "https://images.example/new.png"
NOW = datetime.now(UTC)
GRAVATAR = "https://s.gravatar.com/avatar/324ad113b0ef6dabbb2c2c4cf8a8d108?s=480&r=pg&d="
OWN = "https://static-cdn.jtvnw.net/jtv_user_pictures/me.png"  # stock images are elsewhere
INITIALS = "https%3A%2F%2Fcdn.auth0.com%2Favatars%2Fab.png"


def wired(override: bool) -> Wiring:
    setter = Setter(
        "action", "own", on=True, runs=True, override=override, default=False, spares=True
    )
    return Wiring((setter,) if override else (), actions=True, rules=True, as_of=NOW)


def snapshot_of(users, wiring=None) -> Snapshot:
    rows = tabulated(map(profile, users))
    frame = audit(rows.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get))
    return Snapshot(
        Provenance(
            tenant="acme.eu.auth0.com",
            taken_at=NOW,
            method="search",
            complete=True,
            users=len(frame),
            windows=1,
            requests=1,
            seconds=1.0,
            sandbox=False,
            toolkit_version="0",
            wiring=wiring,
        ),
        frame,
    )


def user(number, picture, own=None):
    found = {
        "user_id": f"auth0|person{number:04}@example.org",
        "email": f"person{number}@example.org",
        "picture": picture,
        "identities": [{"connection": "db", "provider": "auth0", "user_id": str(number)}],
    }
    return found if own is None else {**found, "user_metadata": {"picture": own}}


@pytest.fixture
def shown_of(tmp_path):
    """Make a plan for a snapshot and show it."""

    def shown_of(snapshot, through="action", **choices):
        made = plan(
            snapshot, policy_of(NEW, **choices), through=through, out=tmp_path / f"{through}.plan"
        )
        return gallery(snapshot, made)

    return shown_of


def test_everybody_is_counted_once_and_as_the_plan_says(shown_of):
    snapshot = snapshot_of(map(loadable, people(800)))
    for way in ("action", "root", "metadata", "rule"):
        shown = shown_of(snapshot, way)
        assert sum(kind.users for kind in shown.kinds) == 800
        assert sum(kind.changes for kind in shown.kinds) == shown.plan.changes
        assert sum(shown.before.values()) == sum(shown.after.values()) == 800
        for kind in shown.kinds:
            assert sum(users for _, users in kind.why) == kind.users
            assert 1 <= len(kind.examples) <= 3


def test_an_example_is_what_the_decision_about_that_user_is(shown_of):
    snapshot = snapshot_of(map(loadable, people(600)))
    shown = shown_of(snapshot)
    frame = pd.DataFrame(pq.read_table(shown.plan.path).to_pandas())
    pictures = dict(zip(frame["picture"], frame["connection"], strict=True))
    checked = 0
    for example in (one for kind in shown.kinds for one in kind.examples):
        before = example.before.address
        if before is None or before.startswith("data:"):
            continue
        decided = replaced(
            before,
            connection=pictures[before],
            policy=shown.plan.policy,
            now=shown.plan.made_at,
        )
        assert example.after.address == (decided.after or before)
        checked += 1
    assert checked > 10


def test_who_examples_are_is_masked(shown_of):
    shown = shown_of(snapshot_of([user(1, None), user(2, GRAVATAR + INITIALS)]))
    texts = [repr(shown), shown._repr_html_(), *(repr(kind) for kind in shown.kinds)]
    for text in texts:
        assert "example.org" not in text
        assert "324ad113" not in text


def test_only_data_addresses_are_in_the_page_and_names_stay_text(shown_of):
    users = [user(1, None), user(2, "https://img.example/<script>.png"), user(3, GRAVATAR + "mp")]
    page = shown_of(snapshot_of(users))._repr_html_()
    assert "<script" not in page
    sources = page.split('src="')[1:]
    assert sources
    assert all(one.startswith("data:image/png;base64,") for one in sources)


def test_a_gravatar_nobody_asked_about_shows_itself_or_the_default(shown_of):
    shown = shown_of(snapshot_of([user(1, GRAVATAR + INITIALS), user(2, GRAVATAR + "404")]))
    assert shown.after == {Sight.EITHER: 2}
    assert shown.promise == "nobody loses a picture of their own"


def test_own_pictures_stay_and_that_is_said(shown_of):
    shown = shown_of(snapshot_of([user(1, OWN), user(2, None)]))
    assert shown.before == {Sight.OWN: 1, Sight.NONE: 1}
    assert shown.after == {Sight.OWN: 1, Sight.DEFAULT: 1}
    assert shown.headline == (
        "1 of 2 people see another picture · 0 only another fallback · 1 untouched · "
        "nobody loses a picture of their own"
    )
    assert shown.headline in repr(shown)
    assert (("unchanged: a picture of their own", 1),) in [kind.why for kind in shown.kinds]


def test_an_upload_that_people_see_and_would_not_any_more_is_a_loss(shown_of):
    users = [user(1, GRAVATAR + INITIALS, own=OWN), user(2, None)]
    shown = shown_of(snapshot_of(users, wired(override=True)))
    assert shown.lost == 1
    assert "1 person would lose a picture of their own" in shown.headline
    kept = shown_of(snapshot_of(users, wired(override=True)), order=("override", "own"))
    assert (kept.lost, kept.doubtful) == (0, 0)
    assert kept.after[Sight.OWN] == 1


def test_where_nobody_knows_what_shows_an_upload_a_loss_is_doubted(shown_of):
    users = [user(1, None, own="https://uploads.example/me.png")]
    assert shown_of(snapshot_of(users)).doubtful == 1
    assert shown_of(snapshot_of(users, wired(override=False))).doubtful == 0


def test_a_root_picture_behind_an_upload_is_seen_by_nobody(shown_of):
    users = [user(1, GRAVATAR + INITIALS, own=OWN)]
    shown = shown_of(snapshot_of(users, wired(override=True)), "root")
    assert shown.plan.changes == 1
    assert shown.after == {Sight.OWN: 1}
    assert shown.lost == 0


def test_a_plan_of_another_snapshot_is_refused(shown_of, tmp_path):
    one, other = snapshot_of([user(1, None)]), snapshot_of([user(1, None), user(2, None)])
    made = plan(one, NEW, through="action", out=tmp_path / "one.plan")
    with pytest.raises(UnreadableInputError, match="another snapshot"):
        gallery(other, made)
    with pytest.raises(UnreadableInputError, match="only counted"):
        gallery(one, plan(one, NEW, through="action"))


def test_an_empty_tenant_has_an_empty_gallery(shown_of):
    shown = shown_of(snapshot_of([]))
    assert shown.kinds == ()
    assert "0 of 0 people see another picture" in repr(shown)
    assert "<table" in shown._repr_html_()


def test_each_part_of_a_bar_is_as_wide_as_its_share_and_said_in_words():
    page = bars({Sight.OWN: 300, Sight.INITIALS: 100}, {Sight.OWN: 300, Sight.DEFAULT: 100})
    assert re.findall(r"flex:(\d+) 1 0", page) == ["300", "100", "300", "100"]
    assert 'aria-label="before: own picture 75.0 %; initials 25.0 %"' in page
    assert 'aria-label="after: own picture 75.0 %; your default 25.0 %"' in page


def test_a_narrow_part_has_no_letters_but_a_title():
    page = bars({Sight.OWN: 990, Sight.NONE: 10}, {})
    assert "nothing: 10 people, 1.0 %" in page
    assert page.count(">1 %<") == 0


def test_your_default_has_lines_of_its_own_in_bars_and_legend():
    """Fails if only its hue tells the default picture from own pictures."""
    drawn = bars({Sight.OWN: 3}, {Sight.DEFAULT: 3})
    fills = re.findall(r"background:([^;\"]*gradient[^;\"]*)", drawn)
    assert len(fills) == 2  # the part and its key
    assert all(one.startswith("repeating-linear-gradient(#") for one in fills)
