"""Plans: made from a snapshot, kept in a file, refused where the picture will not do."""

from dataclasses import replace
from datetime import timedelta

import pyarrow.parquet as pq
import pytest

from tests.change.conftest import NEW, changed_ids
from toolkit.change.decide import ROWS
from toolkit.change.plan_file import edits, read_plan
from toolkit.change.policy import Policy
from toolkit.change.prepare import plan, policy_of
from toolkit.errors import OutputError, SettingsError, UnreadableInputError
from toolkit.snapshots.snapshot import Snapshot, read_snapshot
from toolkit.tenant.models import Connection


def test_a_plan_is_a_file_bound_to_tenant_snapshot_and_time(site_of):
    site = site_of(150)
    made = site.plan("root")
    again = read_plan(made.path)
    assert again == made
    assert again.tenant == site.tenant.domain
    assert again.taken_at == site.snapshot.provenance.taken_at
    assert again.made_at > again.taken_at
    assert again.path.stat().st_mode & 0o777 == 0o600
    table = pq.read_table(made.path)
    assert table.schema.names == ROWS.names
    assert len(table) == 150 == made.users
    assert len(changed_ids(made)) == made.changes
    assert [edit.user_id for edit in edits(made)] == [
        one["user_id"] for one in table.to_pylist() if one["outcome"] == "change"
    ]
    assert [edit.number for edit in edits(made)] == list(range(made.changes))
    assert site.count("PATCH") == 0


def test_the_digest_knows_a_snapshot_from_another(site_of, tmp_path):
    site = site_of(150)
    path = tmp_path / "s.parquet"
    site.snapshot.write(path)
    first, second = (plan(one, NEW, through="root") for one in (site.snapshot, read_snapshot(path)))
    assert first.digest == second.digest
    assert first.id != second.id
    users = site.snapshot.users.copy()
    users.loc[7, "picture"] = "https://mine.example/other.png"
    other = plan(Snapshot(site.snapshot.provenance, users), NEW, through="root")
    assert other.digest != first.digest


def test_scope_narrows_who_changes(site_of):
    site = site_of(150)
    everybody = site.plan("metadata", name="all")
    initials = site.plan("metadata", name="initials", sources=["initials"])
    one = site.plan("metadata", name="one", connections=["Username-Password-Authentication"])
    assert 0 < initials.changes < everybody.changes
    assert 0 < one.changes < everybody.changes
    table = one.table("connection").query("change > 0")
    assert table["connection"].tolist() == ["Username-Password-Authentication"]
    reasons = set(one.table()["reason"])
    assert "logs in through a connection that was not chosen" in reasons


def test_a_plan_without_a_file_is_only_counted(site_of):
    site = site_of(30)
    made = plan(site.snapshot, Policy(NEW), through="metadata")
    assert made.path is None
    assert made.changes > 0
    with pytest.raises(UnreadableInputError, match="only counted"):
        site.apply(made)


@pytest.mark.parametrize(
    ("picture", "why"),
    [
        ("http://images.example/new.png", "https"),
        ("https://images.example/new.webp", "webp"),
        ("https://images.example/new.png?v=2", "query"),
        ("https://images.example/new.png#x", "fragment"),
        ("https://me:secret@images.example/new.png", "credentials"),
        ("https://images.example:8443/new.png", "port"),
        ("https://localhost/new.png", "default"),
        ("https://10.0.0.1/new.png", "default"),
        ("https://cdn.auth0.com/avatars/aa.png", "placeholder"),
        ("new.png", "https"),
        ("`${1}`", "https"),
    ],
)
def test_a_picture_that_will_not_do_makes_no_plan(site_of, tmp_path, picture, why):
    snapshot = site_of(3).snapshot
    out = tmp_path / "p.plan"
    with pytest.raises(SettingsError, match=why) as refused:
        plan(snapshot, picture, through="action", out=out)
    assert "secret" not in str(refused.value)
    assert not out.exists()


def test_an_address_is_written_in_its_one_spelling(site_of):
    snapshot = site_of(3).snapshot
    made = plan(snapshot, " HTTPS://Images.Example/new file.png", through="root")
    assert made.policy.picture == "https://images.example/new%20file.png"
    with pytest.raises(SettingsError, match="one spelling"):
        plan(snapshot, Policy("https://Images.example/new.png"), through="root")


def test_unknown_words_are_said(site_of):
    snapshot = site_of(3).snapshot
    with pytest.raises(SettingsError, match="no way 'email'"):
        plan(snapshot, NEW, through="email")
    with pytest.raises(SettingsError, match="no source 'nonsense'"):
        policy_of(NEW, sources=["nonsense"])
    with pytest.raises(SettingsError, match="never replaced"):
        policy_of(NEW, sources=["metadata"])
    with pytest.raises(SettingsError, match="no step 'gravatar'"):
        policy_of(NEW, order=["gravatar", "own"])
    with pytest.raises(SettingsError, match="change it there"):
        plan(snapshot, Policy(NEW), through="root", connections=["a"])


def test_what_is_no_plan_is_not_taken_for_one(site_of, tmp_path):
    site = site_of(3)
    path = tmp_path / "s.parquet"
    site.snapshot.write(path)
    with pytest.raises(UnreadableInputError, match="not a plan"):
        read_plan(path)
    with pytest.raises(OutputError, match="the snapshot itself"):
        plan(read_snapshot(path), NEW, through="root", out=path)
    with pytest.raises(UnreadableInputError, match="does not exist"):
        read_plan(tmp_path / "nothing")
    path.write_text("hello")
    with pytest.raises(UnreadableInputError, match="is not a plan"):
        read_plan(path)
    made = site.plan("root")
    made.path.write_bytes(made.path.read_bytes()[:-40])
    with pytest.raises(UnreadableInputError):
        site.apply(made)


def test_closed_in_the_middle_a_plan_leaves_what_stood_there(site_of, tmp_path):
    out = tmp_path / "p.plan"
    out.write_text("before")
    steps = plan.steps(site_of(30).snapshot, Policy(NEW), through="root", out=out)
    next(steps)
    steps.close()
    assert out.read_text() == "before"
    assert not list(tmp_path.glob(".p.plan*"))


def test_notes_say_what_a_plan_rests_on(site_of):
    site = site_of(30)
    origin = site.snapshot.provenance
    old = replace(origin, taken_at=origin.taken_at - timedelta(days=3), complete=False, wiring=None)
    snapshot = Snapshot(old, site.snapshot.users)
    notes = " ".join(plan(snapshot, NEW, through="metadata").notes)
    for words in ("not complete", "older than a day", "only the address", "perhaps nobody sees it"):
        assert words in notes
    assert "is a guess" in " ".join(plan(snapshot, NEW, through="root").notes)
    known = [Connection("Username-Password-Authentication", "auth0")]
    assert "is a guess" not in " ".join(plan(snapshot, NEW, through="root", known=known).notes)
