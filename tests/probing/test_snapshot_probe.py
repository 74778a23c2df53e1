"""Probing snapshots: right verdicts, honest samples, nobody asked twice."""

import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from tests.conftest import settings_of
from toolkit.classification.sources import Source
from toolkit.cli import main
from toolkit.collection.collect_users import collect
from toolkit.errors import IncompleteError, SettingsError
from toolkit.probing.answers import Cache
from toolkit.probing.picture_probe import notice_of_pictures, outcomes, reach
from toolkit.probing.snapshot_probe import ensure_clear, notice, probe
from toolkit.sandbox.embedded import embedded_tenant
from toolkit.sandbox.made_up.tenants import loadable, people
from toolkit.sandbox.server import Sandbox
from toolkit.snapshots.snapshot import Snapshot, read_snapshot
from toolkit.tenant.client import connect

USERS = 600


@pytest.fixture(scope="module")
def crowd():
    return list(people(USERS, seed=5))


@pytest.fixture
def sandbox_of(no_credentials, crowd):
    """A running sandbox with the crowd, and a way to collect it."""
    with Sandbox([loadable(one) for one in crowd]) as sandbox:
        yield sandbox


@pytest.fixture
def snapshot(sandbox_of, tmp_path):
    with connect(settings_of(sandbox_of)) as tenant:
        return collect(tenant, out=tmp_path / "s.parquet", method="search")


@pytest.fixture
def cache(tmp_path):
    with Cache(tmp_path / "cache" / "answers.sqlite3") as kept:
        yield kept


def avatars(sandbox):
    counts = sandbox.requests.counts
    return sum(n for (_, path, _), n in counts.items() if path == "/avatar/{name}")


def test_everybody_is_what_the_ground_truth_says(snapshot, crowd, cache):
    truth = {one.record["user_id"]: one.truth for one in crowd}
    users = probe(snapshot, cache=cache).users
    assert dict(zip(users["user_id"], users["source"], strict=True)) == truth
    probed = users[users["evidence"] == "probe"]
    assert set(probed["source"]) == {"gravatar", "initials", "placeholder"}
    assert "unresolved" not in set(users["underlying"])


def test_the_snapshot_is_changed_in_its_file_and_nothing_else_of_it(snapshot, cache):
    before = read_snapshot(snapshot.path)
    old = before.users
    probe(snapshot, cache=cache)
    after = read_snapshot(snapshot.path)
    kept = [name for name in old.columns if name not in {"source", "underlying", "evidence"}]
    assert after.users[kept].equals(old[kept])
    assert after.provenance.probed_at is not None
    assert "0 unclear" in after.provenance.notes[-1]
    same = old["underlying"] != Source.UNRESOLVED
    assert after.users[same].equals(old[same])


def test_a_second_probe_asks_nobody(snapshot, sandbox_of, cache):
    first = probe(snapshot, cache=cache)
    asked = avatars(sandbox_of)
    assert asked > 100
    second = probe(first, cache=cache)
    assert avatars(sandbox_of) == asked
    assert second.users.equals(first.users)


def test_answers_that_nobody_knows_any_more_are_asked_for_again_override_or_not(
    snapshot, cache, tmp_path
):
    users = probe(snapshot, cache=cache).users
    overridden = (users["source"] == "metadata") & (users["underlying"] == "gravatar")
    probed = users["evidence"] == "probe"
    assert min(overridden.sum(), probed.sum()) > 0
    once = users.assign(
        underlying=users["underlying"].mask(probed | overridden, "initials"),
        source=users["source"].mask(probed, "initials"),
    )
    with Cache(tmp_path / "empty.sqlite3") as empty:
        again = probe(Snapshot(snapshot.provenance, once), cache=empty)
    assert again.users.equals(users)


def test_a_sample_is_kept_with_the_snapshot_and_asks_for_no_more_than_it_says(
    snapshot, sandbox_of, cache, crowd
):
    sampled = probe(snapshot, sample=60, cache=cache)
    estimate = read_snapshot(snapshot.path).provenance.estimate
    assert estimate == sampled.provenance.estimate
    assert estimate.asked == 60
    assert estimate.users == sampled.coverage().sources[Source.UNRESOLVED]
    assert avatars(sandbox_of) < 60 + 40  # and what is asked to know that it can be believed
    truth = sum(one.truth is Source.GRAVATAR for one in crowd)
    found = sampled.coverage().estimated[Source.GRAVATAR]
    assert found.low <= truth <= found.high
    asked = avatars(sandbox_of)
    probe(sampled, sample=60, cache=cache)
    # The same sample again: only pictures are loaded, never kept, some of them Gravatars.
    strata = sampled.provenance.own_sample.strata
    looked = sum(one.asked for one in strata if one.source is not Source.UNRESOLVED)
    assert avatars(sandbox_of) - asked <= looked


def test_everybody_asked_leaves_no_estimate(snapshot, cache):
    sampled = probe(snapshot, sample=30, cache=cache)
    assert probe(sampled, cache=cache).provenance.estimate is None


def test_a_snapshot_in_memory_is_probed_too(snapshot, cache):
    snapshot = type(snapshot)(snapshot.provenance, snapshot.users)
    assert Source.UNRESOLVED not in probe(snapshot, cache=cache).coverage().sources
    assert Source.UNRESOLVED in snapshot.coverage().sources


@pytest.mark.parametrize(
    "asked",
    [{"sample": 0}, {"rate": 0}, {"rate": -1}, {"rate": float("inf")}, {"rate": float("nan")}],
)
def test_no_sample_and_no_rate_are_refused(snapshot, cache, asked):
    with pytest.raises(SettingsError):
        probe(snapshot, cache=cache, **asked)
    with pytest.raises(SettingsError):
        reach(snapshot, **asked)


def test_a_gravatar_that_cannot_be_believed_leaves_everybody_unresolved(
    no_credentials, crowd, tmp_path, cache
):
    records = [loadable(one) for one in crowd[:80]]
    with Sandbox(records, faults=["gravatar-blind"]) as sandbox:
        with connect(settings_of(sandbox)) as tenant:
            snapshot = collect(tenant, out=tmp_path / "s.parquet", method="search")
        before = snapshot.users
        after = probe(snapshot, cache=cache)
        assert after.users.equals(before)
        with pytest.raises(IncompleteError, match="no clear answer"):
            ensure_clear(after)


def test_a_sandbox_that_stopped_is_started_again_where_its_people_are_known(
    no_credentials, tmp_path, cache
):
    with embedded_tenant(60, seed=1) as tenant:
        snapshot = collect(tenant, out=tmp_path / "s.parquet", method="search")
    assert snapshot.provenance.seed == 1
    truth = {one.record["user_id"]: one.truth for one in people(60, seed=1)}
    users = probe(snapshot, cache=cache).users
    assert dict(zip(users["user_id"], users["source"], strict=True)) == truth
    # The next one has another port, and nobody is asked about twice.
    told = []
    again = probe(read_snapshot(tmp_path / "s.parquet"), cache=cache, show=told.append)
    assert again.users["source"].equals(users["source"])
    assert len(told) == 1
    assert "already known" in told[0].note


def test_a_sandbox_of_unknown_people_that_stopped_is_an_error(snapshot, sandbox_of, cache):
    sandbox_of.stop()
    with pytest.raises(SettingsError, match="start it again"):
        probe(snapshot, cache=cache)


def test_what_is_sent_to_whom_is_said_but_of_made_up_people_nothing_is_sent(snapshot):
    assert notice(snapshot) == notice_of_pictures(snapshot) == ""
    real = type(snapshot)(replace(snapshot.provenance, sandbox=False), snapshot.users)
    said = notice(real, sample=50)
    assert "gravatar.com" in said
    assert "50 hashes" in said
    assert "20 pictures" in notice_of_pictures(real, sample=20)


def test_pictures_of_every_source_are_loaded_and_judged(snapshot):
    reached = reach(snapshot)
    table = outcomes(reached).set_index("source")
    assert table["users"].sum() == len(reached)
    assert set(reached.columns) == {"user_id", "source", "outcome", "reason", "content"}
    assert table.loc["social", "shows"] > 0
    assert table.loc["social", "forbidden"] > 0  # signed addresses that have expired
    assert set(reached.loc[reached["source"] == "invalid", "outcome"]) == {"not a URL"}
    users = snapshot.users.set_index("user_id")
    plain = users.index[users["picture"].str.startswith("http:").fillna(value=False)]
    assert set(reached.loc[reached["user_id"].isin(plain), "outcome"]) == {"insecure"}
    some = snapshot.users[snapshot.users["user_id"].isin(plain)]
    assert set(reach(Snapshot(snapshot.provenance, some), insecure=True)["outcome"]) == {"shows"}


def test_a_sample_of_pictures_is_a_sample(snapshot):
    assert len(reach(snapshot, sample=25)) == 25
    assert reach(snapshot, sample=25).equals(reach(snapshot, sample=25))


HOSTILE = [
    "http://169.254.169.254/latest/meta-data/",
    "https://169.254.169.254/latest/meta-data/",
    "https://[::1]/x.png",
    "https://2130706433/x.png",
    "https://0177.0.0.1/x.png",
    "https://good.example@127.0.0.1/x.png",
    "https://localhost/x.png",
]


def test_addresses_inside_a_network_are_never_asked_not_even_at_the_sandbox(
    no_credentials, tmp_path
):
    users = [{"user_id": f"auth0|{n}", "picture": url} for n, url in enumerate(HOSTILE)]
    with Sandbox(users) as sandbox:
        with connect(settings_of(sandbox)) as tenant:
            snapshot = collect(tenant, out=tmp_path / "s.parquet")
        reached = reach(snapshot, insecure=True)
        assert set(reached["outcome"]) == {"refused address"}
        assert not [key for key in sandbox.requests.counts if "hosts" in key[1]]


@pytest.fixture
def cli(monkeypatch, capsys, tmp_path):
    """Run the command with a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "kept"))

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["picture-audit", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        said = capsys.readouterr()
        return SimpleNamespace(returncode=code, stdout=said.out, stderr=said.err)

    return run


def test_the_command_asks_before_it_sends_and_says_what(snapshot, cli):
    neither = cli("probe", snapshot.path)
    assert neither.returncode == 2
    assert "--sample N or --all" in neither.stderr
    done = cli("probe", snapshot.path, "--sample", 50, "--format", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["estimated"]["gravatar"]["low"] > 0
    found = cli("findings", snapshot.path, "--format", "json")
    assert found.returncode == 0, found.stderr
    assert "unresolved" in {one["id"] for one in json.loads(found.stdout)["findings"]}


def test_nothing_is_sent_to_gravatar_without_a_yes(snapshot, cli, tmp_path):
    real = type(snapshot)(
        replace(snapshot.provenance, sandbox=False, tenant="real.example"), snapshot.users
    )
    real.write(tmp_path / "real.parquet")
    refused = cli("probe", tmp_path / "real.parquet", "--all")
    assert refused.returncode == 2
    assert "gravatar.com" in refused.stderr
    assert "--yes" in refused.stderr


def test_a_picture_of_blanks_is_none_and_is_not_asked_for(snapshot):
    users = snapshot.users.head(3).assign(picture=["", "  ", None], metadata_picture=None)
    assert reach(type(snapshot)(snapshot.provenance, users)).empty


def test_a_snapshot_that_was_collected_anew_meanwhile_is_left_alone(
    snapshot, sandbox_of, cache, tmp_path
):
    stale = type(snapshot)(snapshot.provenance, path=snapshot.path)
    with connect(settings_of(sandbox_of)) as tenant:
        collect(tenant, out=snapshot.path, method="search")
    before = snapshot.path.read_bytes()
    with pytest.raises(IncompleteError, match="anew meanwhile"):
        probe(stale, cache=cache, sample=10)
    assert snapshot.path.read_bytes() == before
