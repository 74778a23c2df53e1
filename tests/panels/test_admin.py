"""The admin's panel without a browser: what each press does, and what it does not do."""

import re
import time
from datetime import UTC, datetime

import pytest

from tests.change.conftest import irreplaceable, journal_of, settled
from tests.change.test_action import login
from tests.conftest import settings_of
from tests.sandbox.conftest import person
from tests.sandbox.login import LoginSandbox
from toolkit.analysis.groups import Seen
from toolkit.change.apply_plan import apply
from toolkit.change.journal import State, journal_path, read_journal
from toolkit.change.undo_journal import undo
from toolkit.change.ways import Way, seconds
from toolkit.collection.collect_users import collect
from toolkit.collection.place import folder_name
from toolkit.errors import SettingsError
from toolkit.formatting import lasting
from toolkit.images.drawing import emblem
from toolkit.panels.choose.admin_panel import EXAMPLE, choose_default_picture
from toolkit.panels.dashboard_frame import Dashboard
from toolkit.sandbox.made_up import tenants
from toolkit.sandbox.made_up.tenants import loadable, people
from toolkit.sandbox.server import Sandbox
from toolkit.snapshots.redaction import redact
from toolkit.snapshots.snapshot import Snapshot
from toolkit.tenant.client import connect

NEW = "https://images.example.com/new.png"
PHOTO, FACE = "https://people.example/photo.png", "https://people.example/face.png"


@pytest.fixture(scope="module")
def made():
    """A sandbox and a snapshot of it, which tests put back as they found it."""
    users = map(loadable, people(300, seed=5))
    with (
        Sandbox(users, actions=tenants.ACTIONS, rules=tenants.RULES) as sandbox,
        connect(settings_of(sandbox)) as tenant,
    ):
        yield sandbox, tenant, collect(tenant, method="search")


@pytest.fixture
def panel_of(made, no_credentials, tmp_path):
    """Show the panel, wait until it shows a gallery, and close it in the end."""
    panels = []

    def panel_of(tenant=None, **options):
        panel = choose_default_picture(made[2], tenant or made[1], folder=tmp_path, **options)
        panels.append(panel)
        return panel

    yield panel_of
    for panel in panels:
        panel.close()


def shown(panel):
    """Wait for a gallery of what is chosen now."""
    until = time.monotonic() + 120
    while panel.gallery is None or panel.site is None or not panel.settled(30):
        assert time.monotonic() < until
        time.sleep(0.02)
    assert panel.settled(30)
    return panel.gallery


def ended(panel):
    assert panel.execution.settled(60)
    return panel.execution.status.value


def writes(sandbox) -> int:
    counts = sandbox.requests.counts.items()
    return sum(n for (method, where, _), n in counts if method != "GET" and "/api/v2/" in where)


def users(sandbox):
    """Return everybody, without what every write moves."""
    return {one["user_id"]: settled(one) for one in sandbox.users()}


def press(panel, way):
    panel.way.ways[way].index = 0


def test_it_begins_with_an_example_and_writes_nothing_by_itself(panel_of, made):
    sandbox = made[0]
    before = writes(sandbox)
    panel = panel_of()
    gallery = shown(panel)
    assert panel.candidate_view.url.value == EXAMPLE
    assert gallery.promise == "nobody loses a picture of their own"
    assert str(gallery.plan.effect()) in panel.gallery_view.headline.value
    assert "Add role to tokens" in panel.change.bindings.value
    assert (
        "Rule &#39;Placeholder for Gravatar&#39; set the picture until Rules ended"
        in panel.change.warnings.value
    )
    assert "what the host shows" in panel.gallery_view.table.value
    panel.execution.rehearse()
    assert "nothing was written" in ended(panel)
    assert writes(sandbox) == before
    assert panel.alert.error is None


def test_what_cannot_be_a_default_is_refused_while_it_is_typed(panel_of):
    panel = panel_of()
    shown(panel)
    panel.candidate_view.url.value = "https://images.example.com/new.svg"
    assert "it ends in .svg" in panel.candidate_view.verdicts.value
    assert panel.gallery is None
    assert panel.execution.rehearse_button.disabled
    assert panel.execution.apply_button.disabled
    assert panel.execution.apply_button.description == "Apply"  # and no number of another plan
    panel.candidate_view.url.value = '"><script>alert(1)</script>'
    assert "<script" not in panel.candidate_view.verdicts.value


def test_counts_and_gallery_follow_way_and_scope(panel_of):
    panel = panel_of()
    everybody = shown(panel).plan
    press(panel, Way.ROOT)
    assert panel.gallery is None
    root = shown(panel).plan
    assert root.way is Way.ROOT
    assert 0 < root.changes < everybody.changes
    assert f"{root.changes:,} writes" in panel.way.costs[Way.ROOT].value
    assert "cannot be changed" in panel.way.costs[Way.ROOT].value
    assert [way for way, radio in panel.way.ways.items() if radio.index == 0] == [Way.ROOT]
    panel.way.connections.value = ("google-oauth2",)
    panel.way.sources.value = ("placeholder",)
    press(panel, Way.ACTION)
    few = shown(panel).plan
    assert few.policy.connections == ("google-oauth2",)
    assert few.policy.sources == ("placeholder",)
    assert 0 < few.changes < root.changes
    panel.way.order.label = "own → elsewhere → default"
    panel.way.expired.value = False
    policy = shown(panel).plan.policy
    assert (policy.order, policy.expired) == (("own", "elsewhere"), False)


def test_apply_waits_for_a_rehearsal_and_for_the_domain(panel_of, made):
    sandbox, tenant, _ = made
    panel = panel_of()
    shown(panel)
    execution, before = panel.execution, writes(sandbox)
    execution.confirm.value = tenant.domain
    assert execution.apply_button.disabled
    execution.apply()
    ended(panel)
    assert "rehearse it" in execution.alert.value
    execution.rehearse()
    ended(panel)
    execution.confirm.value = "other.eu.auth0.com"
    assert execution.apply_button.disabled
    execution.apply()
    assert f"Type {tenant.domain}" in execution.alert.value
    assert writes(sandbox) == before


def test_the_action_is_applied_verified_seen_and_undone(panel_of, made):
    tenant = made[1]
    panel = panel_of(picture=NEW)
    shown(panel)
    execution, actions = panel.execution, len(tenant.actions())
    execution.rehearse()
    ended(panel)
    execution.confirm.value = tenant.domain
    assert not execution.apply_button.disabled
    execution.apply()
    assert "The Action was created" in ended(panel)
    assert re.search(r"Done at \d\d:\d\d UTC", execution.status.value)
    assert "see another picture, each from their next login on" in execution.status.value
    assert len(tenant.actions()) == actions + 1
    assert execution.confirm.value == ""
    execution.confirm.value = tenant.domain
    assert execution.apply_button.disabled
    execution.verify()
    assert "3 of 3 checked are in place" in ended(panel)
    again = panel_of(picture="https://images.example.com/newer.png")
    assert shown(again).plan.policy.former == (NEW,)
    assert "pa-removed" in again.change.details.value
    assert "Action runs already" in again.change.warnings.value
    assert again.execution.applied.value == execution.applied.value
    execution.rehearse_undo()
    assert "The Action would be removed" in ended(panel)
    assert execution.status.layout.order == "1"  # below the buttons of the undo
    assert execution.undo_button.description == f"Remove the default picture at {tenant.domain}"
    execution.confirm_undo.value = tenant.domain
    execution.undo()
    assert "The Action was removed" in ended(panel)
    assert len(tenant.actions()) == actions
    assert "action, new.png · undone at" in execution.applied.label
    # The next plan is made by itself: the same choice is no dead end.
    undone = execution._written
    assert shown(panel).plan.id not in undone.name
    execution.rehearse()
    assert "The Action would be created" in ended(panel)
    assert execution.status.layout.order is None  # above the undo again
    assert not execution.alert.value


def test_profiles_are_written_with_a_pause_and_a_way_out_and_put_back(panel_of, made):
    sandbox, tenant, _ = made
    before = users(sandbox)
    panel = panel_of(picture=NEW)
    press(panel, Way.METADATA)
    plan = shown(panel).plan
    left = len(irreplaceable(plan, before))
    changes = plan.changes - left
    assert left > 0
    execution = panel.execution
    execution.rehearse()
    assert f"{changes:,} of {plan.changes:,} users would be changed" in ended(panel)
    assert f"{left} its picture is an explicit null" in execution.status.value
    execution.confirm.value = tenant.domain
    execution.agreed.value = True
    began = writes(sandbox)
    execution.apply()
    while writes(sandbox) < began + 3:
        time.sleep(0.001)
    execution.pause()
    assert execution.pause_button.description == "Go on"
    execution.cancel()
    said = ended(panel)
    written = sum(before[who] != text for who, text in users(sandbox).items())
    assert re.search(r"Stopped at \d\d:\d\d UTC", said)
    assert f"{written:,} of {plan.changes:,} are changed. Apply again to do the other" in said
    assert f"or put the {written:,} back" in said
    assert not execution.alert.value
    execution.rehearse()
    ended(panel)
    execution.agreed.value = True
    execution.confirm.value = tenant.domain
    execution.apply()
    assert f"{changes:,} of {plan.changes:,} users changed" in ended(panel)
    assert sum(before[who] != text for who, text in users(sandbox).items()) == changes
    execution.verify()
    assert f"{changes:,} of {plan.changes:,} checked are in place" in ended(panel)
    execution.rehearse_undo()
    assert f"{changes:,} of {changes:,} users would be put back" in ended(panel)
    assert execution.undo_button.description == f"Put back {changes:,} people at {tenant.domain}"
    execution.confirm_undo.value = tenant.domain
    execution.undo()
    assert f"{changes:,} of {changes:,} users put back" in ended(panel)
    assert users(sandbox) == before


def test_undo_waits_for_its_rehearsal_and_names_whom_it_would_put_back(site_of):
    site = site_of([person(number) for number in range(6)])
    site.apply(site.plan("root"))
    newer = site.apply(site.plan("root", picture="https://images.example/b.png", name="newer"))
    assert newer.done == 0
    moved = {"picture": "https://mine.example/me.png"}
    site.sandbox.change("auth0|000003", moved)
    panel = choose_default_picture(site.snapshot, site.tenant, folder=site.folder)
    try:
        execution = panel.execution
        labels = [label for label, _ in execution.applied.options]
        assert [label.split(" · ")[1] for label in labels] == ["root, b.png", "root, new.png"]
        assert "0 of 6 people (6 skipped" in labels[0]
        assert "6 of 6 people (0 skipped" in labels[1]
        execution.applied.index = 1
        execution.confirm_undo.value = site.tenant.domain
        assert execution.undo_button.disabled
        execution.undo()
        assert "was not rehearsed" in execution.alert.value
        execution.rehearse_undo()
        assert "drifted: 1 changed since" in ended(panel)
        assert execution.undo_button.description == f"Put back 5 people at {site.tenant.domain}"
        assert execution.undo_button.disabled
        execution.confirm_undo.value = site.tenant.domain
        assert not execution.undo_button.disabled
        execution.confirm_undo.value = "elsewhere"
        assert execution.undo_button.disabled
        execution.applied.index = 0
        execution.confirm_undo.value = site.tenant.domain
        assert execution.undo_button.disabled
        execution.rehearse_undo()
        ended(panel)
        assert execution.undo_button.description == "Nothing to put back"
        assert execution.undo_button.disabled
        execution.applied.index = 1
        execution.rehearse_undo()
        ended(panel)
        execution.confirm_undo.value = site.tenant.domain
        execution.undo()
        assert "5 of 6 users put back" in ended(panel)
        assert site.user("auth0|000003")["picture"] == moved["picture"]
        assert re.search(r"root, new.png · undone at .*: 5 of 6 people", execution.applied.label)
    finally:
        panel.close()


def test_a_damaged_journal_is_listed_and_says_what_is_wrong(site_of):
    site = site_of([person(number) for number in range(6)])
    made = site.plan("root")
    site.apply(made)
    undo(site.tenant, journal_of(made), execute=True, confirm=site.tenant.domain)
    journal_path(journal_of(made)).write_text("torn\n")
    panel = choose_default_picture(site.snapshot, site.tenant, folder=site.folder)
    try:
        execution = panel.execution
        execution.rehearse_undo()
        ended(panel)
        assert "damaged" in execution.alert.value
        assert "root, new.png · unusable: " in execution.applied.options[-1][0]
    finally:
        panel.close()


def test_the_first_n_people_only_and_then_the_others(site_of):
    site = site_of([person(number) for number in range(9)])
    panel = choose_default_picture(site.snapshot, site.tenant, picture=NEW, folder=site.folder)
    try:
        execution = panel.execution
        shown(panel)
        assert execution._first.layout.display == "none"
        press(panel, Way.ROOT)
        shown(panel)
        assert execution._first.layout.display is None
        assert not execution.only_first.value
        assert execution.limit.description == "the first"  # a field without a name says nothing
        execution.limit.value = -3
        assert execution.limit.value == 1  # and never everybody
        execution.only_first.value = True
        execution.limit.value = 2
        assert execution.apply_button.description == "Apply to at most 2 of 9 people"
        execution.rehearse()
        assert "2 of 9 users would be changed" in ended(panel)
        execution.confirm.value = site.tenant.domain
        execution.apply()
        assert "after 2 users, as the limit says" in ended(panel)
        assert sum(one["picture"] == NEW for one in site.sandbox.users()) == 2
        assert "2 of 9 people" in execution.applied.label
        execution.only_first.value = False
        execution.confirm.value = site.tenant.domain
        assert execution.apply_button.disabled
        execution.rehearse()
        ended(panel)
        execution.confirm.value = site.tenant.domain
        execution.agreed.value = True
        execution.apply()
        assert "9 of 9 users changed" in ended(panel)
        assert "2 of them by earlier runs" in execution.status.value
    finally:
        panel.close()


def test_what_was_rehearsed_for_some_is_not_rehearsed_for_all(site_of):
    site = site_of([person(number) for number in range(9)])
    panel = choose_default_picture(site.snapshot, site.tenant, picture=NEW, folder=site.folder)
    try:
        execution = panel.execution
        shown(panel)
        press(panel, Way.ROOT)
        shown(panel)
        execution.only_first.value = True
        execution.limit.value = 2
        execution.rehearse()
        execution.only_first.value = (
            False  # pressed before the browser knew that the field is disabled
        )
        assert "2 of 9 users would be changed" in ended(panel)
        execution.confirm.value = site.tenant.domain
        execution.agreed.value = True
        assert execution.apply_button.disabled
        before = writes(site.sandbox)
        execution.apply()
        ended(panel)
        assert "rehearse it" in execution.alert.value
        assert writes(site.sandbox) == before
        execution.only_first.value = True
        execution.rehearse()
        said = ended(panel)
        execution.cancel()
        execution.pause()
        assert execution.status.value == said
    finally:
        panel.close()


def test_where_the_plan_cannot_be_kept_nothing_is_written(made, no_credentials, tmp_path):
    sandbox, tenant, snapshot = made
    (tmp_path / "file").write_text("")
    panel = choose_default_picture(snapshot, tenant, folder=tmp_path / "file")
    try:
        shown(panel)
        before = writes(sandbox)
        execution = panel.execution
        execution._rehearsed = panel.gallery.plan.id, None
        execution.confirm.value = tenant.domain
        assert not execution.apply_button.disabled
        execution.apply()
        ended(panel)
        assert "Cannot write" in execution.alert.value
        assert writes(sandbox) == before
    finally:
        panel.close()


def test_a_change_of_most_of_a_tenant_is_agreed_to_once_more(no_credentials, tmp_path):
    nobody = [{"user_id": f"auth0|{number}", "email": f"{number}@example.org"} for number in "123"]
    with Sandbox(nobody) as sandbox, connect(settings_of(sandbox)) as tenant:
        panel = choose_default_picture(collect(tenant, method="search"), tenant, folder=tmp_path)
        press(panel, Way.METADATA)
        shown(panel)
        execution = panel.execution
        execution.rehearse()
        ended(panel)
        execution.confirm.value = tenant.domain
        assert execution.apply_button.disabled
        assert execution.agreed.description == "3 of 3 users (100%) are meant"
        execution.agreed.value = True
        assert not execution.apply_button.disabled
        panel.close()


def test_rules_are_printed_and_never_deployed(panel_of):
    panel = panel_of()
    shown(panel)
    press(panel, Way.RULE)
    shown(panel)
    assert panel.change.details.value.count("A Rule, to copy") == 2
    assert panel.execution.rehearse_button.disabled
    assert "Rules are printed" in panel.execution.status.value


def test_without_a_tenant_everything_but_the_doing_works(made, no_credentials, tmp_path):
    panel = choose_default_picture(made[2], folder=tmp_path)
    try:
        until = time.monotonic() + 120
        while panel.execution.alert.error is None or not panel.change.warnings.value:
            assert time.monotonic() < until
            time.sleep(0.02)
        assert "AUTH0_DOMAIN" in panel.execution.alert.value
        assert "Placeholder for Gravatar" in panel.change.warnings.value
        panel.execution.rehearse()
        ended(panel)
        assert "AUTH0_DOMAIN" in panel.execution.alert.value
    finally:
        panel.close()


def test_a_redacted_snapshot_is_refused_before_anything_is_asked(made):
    copy = redact(made[2], key=bytes(32))
    asked = made[0].requests.total
    with pytest.raises(SettingsError, match="redacted"):
        choose_default_picture(copy, made[1])
    assert made[0].requests.total == asked


def test_the_chosen_order_is_what_people_see_after_their_login(site_of):
    spare = {"user_metadata": {"avatar": FACE}}
    people = [person(0, picture=PHOTO, **spare), person(1, **spare), person(2)]
    site = site_of([*people, person(3, picture=PHOTO)], LoginSandbox)
    panel = choose_default_picture(site.snapshot, site.tenant, picture=NEW, folder=site.folder)
    try:
        assert shown(panel).plan.changes == 2
        panel.way.order.label = "elsewhere → own → default"
        gallery = shown(panel)
        assert gallery.plan.changes == 3
        assert gallery.promise == "nobody loses a picture of their own"
        assert "a picture that the tenant has elsewhere is shown" in repr(gallery)
        assert {FACE, NEW} <= {view.address for view in gallery.views}
        panel.execution.rehearse()
        ended(panel)
        panel.execution.confirm.value = site.tenant.domain
        panel.execution.apply()
        assert "The Action was created" in ended(panel)
    finally:
        panel.close()
    assert [login(site, f"auth0|{n:06}") for n in range(4)] == [FACE, FACE, NEW, PHOTO]
    after = collect(site.tenant, method="search")
    (setter,) = after.provenance.wiring.setters
    assert setter.policy.order == ("elsewhere", "own")
    assert after.coverage().seen == {Seen.ON_WORD: 3, Seen.DEFAULT: 1}
    again = choose_default_picture(after, site.tenant, picture=NEW, folder=site.folder)
    try:
        again.way.order.label = "elsewhere → own → default"
        views = [kind.examples[0] for kind in shown(again).kinds]
        assert all(one.before.address == one.after.address for one in views if FACE in repr(one))
    finally:
        again.close()


def test_another_tenant_than_the_snapshot_s_is_refused(panel_of, made):
    with Sandbox([]) as other, connect(settings_of(other)) as tenant:
        panel = panel_of(tenant)
        until = time.monotonic() + 120
        while panel.execution.alert.error is None:
            assert time.monotonic() < until
            time.sleep(0.02)
        assert f"the tenant is {tenant.domain}" in panel.execution.alert.value


def test_what_goes_wrong_in_a_handler_is_a_visible_line(panel_of, made, tmp_path):
    panel = panel_of()
    made_plan = shown(panel).plan
    made_plan.path.unlink()
    panel.execution.rehearse()
    ended(panel)
    assert "FileNotFoundError" in panel.execution.alert.value


def test_no_secret_and_no_name_enters_the_page(panel_of, made):
    sandbox, _, snapshot = made
    panel = panel_of()
    shown(panel)
    state = repr([widget.get_state() for widget in every(panel)])
    assert sandbox.client_secret not in state
    emails = snapshot.users["email"].dropna().head(50)
    assert not any(email in state for email in emails)


def every(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from every(child)


def test_a_closed_panel_writes_to_nobody_else_and_what_it_wrote_can_be_gone_on_with(site_of):
    site = site_of([person(number) for number in range(60)], plan="essentials")
    panel = choose_default_picture(site.snapshot, site.tenant, picture=NEW, folder=site.folder)
    shown(panel)
    press(panel, Way.ROOT)
    shown(panel)
    execution = panel.execution
    execution.rehearse()
    ended(panel)
    execution.confirm.value = site.tenant.domain
    execution.agreed.value = True
    execution.apply()
    until = time.monotonic() + 120
    while writes(site.sandbox) < 5:
        assert time.monotonic() < until
        time.sleep(0.005)
    panel.close()
    assert execution.settled(0)
    written = [one["user_id"] for one in site.sandbox.users() if one["picture"] == NEW]
    assert 0 < len(written) < 60
    (journal,) = site.folder.glob("*.journal")
    assert read_journal(journal).count(State.DONE) == len(written)
    assert read_journal(journal).count(State.BEGUN) == 0


def lines(panel):
    """Return what the banner says, once it has looked again."""
    banner = panel.execution.banner
    banner.show(panel.execution._changes())
    return [row.children[0].value for row in banner.children[:-1]]


def pressed(panel, words):
    """Press the button of the banner that is called so."""
    rows = panel.execution.banner.children[:-1]
    (found,) = [one for row in rows for one in row.children[1:] if one.description == words]
    found.click()


def test_one_rehearsal_arms_one_button_and_disarms_the_other(site_of):
    site = site_of([person(number) for number in range(6)])
    site.apply(site.plan("root"), limit=2)
    panel = choose_default_picture(site.snapshot, site.tenant, picture=NEW, folder=site.folder)
    try:
        execution = panel.execution
        shown(panel)
        execution.rehearse()
        ended(panel)
        execution.confirm.value = site.tenant.domain
        assert not execution.apply_button.disabled
        assert execution.undo_button.disabled
        execution.rehearse_undo()
        ended(panel)
        execution.confirm_undo.value = site.tenant.domain
        assert not execution.undo_button.disabled
        assert execution.apply_button.disabled
        assert execution.confirm.value == ""
        execution.rehearse()
        ended(panel)
        assert execution.undo_button.disabled
        assert execution.apply_button.disabled  # the confirmation was for another act
        before = writes(site.sandbox)
        execution.undo()
        execution.apply()
        assert writes(site.sandbox) == before
    finally:
        panel.close()


def test_a_change_that_stopped_is_announced_and_gone_on_with_by_a_new_panel(site_of):
    site = site_of([person(number) for number in range(9)])
    made = site.plan("root")
    site.apply(made, limit=3)
    panel = choose_default_picture(site.snapshot, site.tenant, picture=NEW, folder=site.folder)
    try:
        (line,) = lines(panel)
        assert "stopped at 3 of 9 people" in line
        execution = panel.execution
        # At once: the page's own plan, which comes later, must not take its place.
        pressed(panel, "Go on")
        assert "9 of 9 users would be changed" in ended(panel)
        shown(panel)
        assert "goes on with the change of" in execution.resumed.value
        assert execution.apply_button.disabled
        execution.confirm.value = site.tenant.domain
        execution.agreed.value = True
        execution.apply()
        assert "9 of 9 users changed" in ended(panel)
        pictures = [one["picture"] for one in site.sandbox.users()]
        assert pictures == [made.policy.picture] * 9
        assert len(list(site.folder.glob("*.plan"))) == 1
        assert lines(panel) == []
    finally:
        panel.close()


def test_the_dashboard_announces_a_change_at_its_first_step(site_of, monkeypatch):
    site = site_of([person(number) for number in range(9)])
    folder = site.folder / folder_name(site.tenant.domain)
    folder.mkdir()
    Snapshot(site.snapshot.provenance, site.snapshot.users).write(
        folder / "2026-01-01T0000.parquet"
    )
    site.apply(site.plan("root"), limit=3)
    for path in site.folder.glob("*.plan*"):
        path.rename(folder / path.name)
    for name, value in site.sandbox.environment().items():
        monkeypatch.setenv(name, value)
    frame = Dashboard(folder=site.folder)
    try:
        until = time.monotonic() + 60
        while len(frame.banner.children) < 2:
            assert time.monotonic() < until
            time.sleep(0.05)
        row = frame.banner.children[0]
        assert f"at {site.tenant.domain} stopped at 3 of 9 people" in row.children[0].value
        (go_on,) = [one for one in row.children[1:] if one.description == "Go on"]
        go_on.click()
        assert frame.alert.value == ""
        assert "9 of 9 users would be changed" in ended(frame.admin)
        assert frame.banner.layout.display == "none"  # the step has its own line
    finally:
        frame.close()


def test_a_change_that_stopped_is_put_back_by_a_new_panel(site_of):
    site = site_of([person(number) for number in range(9)])
    before = users(site.sandbox)
    site.apply(site.plan("root"), limit=3)
    panel = choose_default_picture(site.snapshot, site.tenant, picture=NEW, folder=site.folder)
    try:
        lines(panel)
        pressed(panel, "Put the 3 back")
        assert "3 of 3 users would be put back" in ended(panel)
        panel.execution.confirm_undo.value = site.tenant.domain
        panel.execution.undo()
        assert "3 of 3 users put back" in ended(panel)
        assert users(site.sandbox) == before
        assert lines(panel) == []
    finally:
        panel.close()


def test_what_runs_elsewhere_is_shown_paused_and_stopped_from_here(site_of):
    site = site_of([person(number) for number in range(60)])
    made = site.plan("root")
    running = apply.steps(
        site.tenant, made, execute=True, confirm=site.tenant.domain, agreed=True, workers=1
    )
    next(running)
    panel = choose_default_picture(site.snapshot, site.tenant, picture=NEW, folder=site.folder)
    try:
        (line,) = lines(panel)
        assert re.search(r"Running: \d+ of 60 people, started \d\d:\d\d UTC by another", line)
        pressed(panel, "Pause")
        while next(running).note != "paused":
            pass
        written = writes(site.sandbox)
        next(running)
        assert writes(site.sandbox) == written
        (line,) = lines(panel)
        assert "It is paused." in line
        assert f"Running: {written} of 60 people" in line
        pressed(panel, "Stop")
        assert len(list(running)) < 3
        assert writes(site.sandbox) == written
        (line,) = lines(panel)
        assert f"stopped at {written} of 60 people" in line
        row = panel.execution.banner.children[0]
        panel.execution.banner.ask(made_change(panel), None)
        assert "has ended meanwhile" in panel.execution.banner.alert.value
        assert row is panel.execution.banner.children[0]
    finally:
        panel.close()


def made_change(panel):
    (found,) = panel.execution._changes()
    return found


def test_a_finding_chooses_the_way_and_the_scope_that_settle_it(panel_of, made):
    panel = panel_of()
    panel.way.connections.value = ("google-oauth2",)
    shown(panel)
    findings = {one.id: one for one in made[2].findings()}
    panel.fix(findings["resolved-copy"])
    root = shown(panel).plan
    assert (root.way, root.policy.sources) == (Way.ROOT, ("initials",))
    assert root.policy.connections is None
    assert "Initials frozen in the profile" in panel.reason.value
    panel.fix(findings["photo-elsewhere"])
    action = shown(panel).plan
    assert (action.way, action.policy.order) == (Way.ACTION, ("own", "elsewhere"))
    assert action.policy.sources is None
    assert panel.way.former.layout.display == "none"
    assert panel.alert.value == ""


def test_a_hidden_default_is_named_as_a_former_one(made, no_credentials, tmp_path):
    _, tenant, snapshot = made
    held = "https://assets.example.com/house.png"
    users = snapshot.users.copy()
    some = users.index[users["source"] == "unresolved"][:60]
    users.loc[some, ["source", "underlying"]] = "custom"
    users.loc[some, ["picture", "gravatar_hash", "fallback"]] = [held, None, None]
    copy = Snapshot(snapshot.provenance, users)
    (finding,) = (one for one in copy.findings() if one.id == "hidden-default")
    panel = choose_default_picture(copy, tenant, folder=tmp_path)
    panel.fix(finding)
    assert panel.way.former.layout.display is None
    assert shown(panel).plan.policy.former == (held,)
    panel.way.former.value = False
    assert shown(panel).plan.policy.former == ()
    panel.close()


@pytest.mark.parametrize("plan", ["free", "essentials", "enterprise"])
def test_the_tenants_own_headers_say_how_long_it_takes(site_of, plan):
    """Fails if the admin is asked for what the tenant says itself."""
    site = site_of(20, plan=plan)
    panel = choose_default_picture(site.snapshot, site.tenant, folder=site.folder)
    made = shown(panel).plan
    took = lasting(max(seconds(Way.ROOT, made.tally.ways[Way.ROOT], plan), 1))
    assert panel.way.speed.layout.display == "none"
    assert f"≈ {took}" in panel.way.costs[Way.ROOT].value
    assert "this tenant" in panel.way.timed.value
    panel.close()


def test_where_no_header_tells_the_plan_is_asked(panel_of):
    panel = panel_of()
    shown(panel)
    assert panel.way.speed.layout.display is None
    assert panel.way.timed.value == ""


def test_a_picture_from_disk_is_looked_at_and_planned_only_once_it_is_published(panel_of):
    """Fails if a file cannot be tried, or if what is not published could be applied."""
    panel = panel_of()
    everybody = shown(panel).plan
    file = {"name": "mine.png", "type": "image/png", "size": 1, "content": memoryview(emblem())}
    panel.candidate_view.upload.value = ({**file, "last_modified": datetime.now(UTC)},)
    assert panel.candidate_view.upload.value == ()
    look = shown(panel)
    assert panel.candidate_view.url.value == ""
    assert "publish it before" in panel.candidate_view.verdicts.value
    assert look.image == emblem()
    assert look.plan.changes == everybody.changes
    assert "publish the picture" in panel.execution.resumed.value
    assert panel.execution.rehearse_button.disabled
    assert panel.change.details.value == ""
    with pytest.raises(SettingsError, match="publish the picture"):
        panel._keep()
    panel.candidate_view.url.value = NEW
    assert shown(panel).plan.policy.picture == NEW
    assert panel.execution.resumed.value == ""
    assert not panel.execution.rehearse_button.disabled
    assert panel.alert.value == ""
