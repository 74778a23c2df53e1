"""The circle closes: what was applied is known to the next audit, and advised by none."""

import re
import shlex

import pyarrow.parquet as pq
import pytest

from tests.change.conftest import NEW
from tests.sandbox.conftest import identity, person
from tests.shell import ran
from toolkit.analysis.duckdb_engine import engine_with
from toolkit.analysis.finding_checks import CHECKS, wired
from toolkit.analysis.groups import Seen
from toolkit.analysis.shown_picture import show
from toolkit.analysis.tenant_wiring import Script, wiring
from toolkit.change.apply_plan import apply
from toolkit.change.plan_file import read_plan
from toolkit.change.policy import Policy
from toolkit.change.prepare import plan
from toolkit.collection.collect_users import collect
from toolkit.sandbox.made_up import tenants
from toolkit.sandbox.made_up.tenants import NOW
from toolkit.snapshots.snapshot import read_snapshot

# What the Action settles, as far as nothing but the profile's picture is wrong.
SETTLED = {"expired", "unshowable", "missing", "stock-image", "resolved-copy", "default-stopped"}
SETTLED |= {"needs-token"}


def sights(snapshot):
    with engine_with(snapshot.users) as opened:
        told = snapshot.provenance
        show(opened, "shown", as_of=told.taken_at, wiring=told.wiring)
        rows = opened.execute("SELECT user_id, sight, shows FROM shown").fetchall()
    return {who: (sight, shows) for who, sight, shows in rows}


@pytest.mark.parametrize("override", [False, True])
def test_after_the_action_is_applied_the_next_audit_finds_it(site_of, override):
    site = site_of(600, actions=tenants.ACTIONS, rules=tenants.RULES)
    before = site.snapshot
    policy = Policy(NEW, order=("override", "own") if override else ("own",))
    made = plan(before, policy, through="action", out=site.folder / "p.plan")
    apply(site.tenant, made, execute=True, confirm=site.tenant.domain)
    after = collect(site.tenant, method="search")

    rows = pq.read_table(made.path).to_pylist()
    changed = {row["user_id"] for row in rows if row["after"] == NEW}
    now, then = sights(after), sights(before)
    assert {who for who, (sight, _) in now.items() if sight == "default"} == changed
    assert after.coverage().seen[Seen.DEFAULT] == len(changed) > 20
    if not override:
        assert after.summary()["own"]["low"] == before.summary()["own"]["low"]
        for who, (sight, _) in then.items():
            assert now[who][0] == sight or who in changed
    else:
        assert after.overrides is True
        assert {shows for _, shows in now.values()} >= {"override", "fallback", "default"}

    found = {one.id: one for one in after.findings()}
    assert {one.id for one in before.findings()} & SETTLED > {"expired", "missing"}
    assert not SETTLED & found.keys()
    assert found["default-live"].users == len(changed)
    # What is left to advise is something else than what was done.
    done = "--through action --override" if override else "--through action$"
    for one in found.values():
        assert not re.search(done, one.advice), one
    assert ("override-unwired" in found) is not override


PHOTO, UPLOAD = "https://people.example/photo.png", "https://people.example/upload.png"
FACE, LINKED = "https://people.example/face.png", "https://people.example/linked.png"
TOKEN = "https://graph.microsoft.com/v1.0/me/photo/$value"
INITIALS = "https://cdn.auth0.com/avatars/pe.png"


def people_with_pictures_in_several_places():
    """Yield users by number: see `SHOWN`."""
    spare = {"user_metadata": {"avatar": FACE}}
    linked = identity("auth0", "Username-Password-Authentication")
    linked += [identity("github")[0] | {"profileData": {"picture": LINKED}}]
    yield person(0, picture=PHOTO, **spare, identities=linked)
    yield person(1, **spare, identities=linked)
    yield person(2)
    yield person(3, picture=PHOTO)
    yield person(4, user_metadata={"picture": UPLOAD, "avatar": FACE})
    yield person(5, picture=TOKEN)


# What each of them has then, in the field that is written.
SHOWN = {
    ("root", "elsewhere,own"): (FACE, FACE, NEW, PHOTO, FACE, NEW),
    ("root", "override, own, elsewhere"): (PHOTO, FACE, NEW, PHOTO, FACE, NEW),
    ("metadata", "elsewhere,own,override"): (FACE, FACE, NEW, None, UPLOAD, NEW),
    ("metadata", "own,elsewhere"): (None, FACE, NEW, None, UPLOAD, NEW),
}


@pytest.mark.parametrize(("way", "order"), SHOWN)
def test_profiles_follow_the_order_and_the_next_plan_finds_nothing_to_do(
    way, order, site_of, monkeypatch
):
    site = site_of(list(people_with_pictures_in_several_places()))
    monkeypatch.chdir(site.folder)
    tenant, environment = site.sandbox.domain, site.sandbox.environment()
    plan_it = f"plan s.parquet --picture {NEW} --unseen --through {way} --order '{order}' --out"
    for line in (
        "collect --method search --out s.parquet",
        f"{plan_it} p.plan",
        f"apply p.plan --execute --confirm {tenant} --yes",
        "collect --method search --out s.parquet --force",
        f"{plan_it} again.plan",
        "apply p.plan",
    ):
        answer = ran(f"uv run picture-audit {line}", environment)
        assert answer.code == 0, (line, answer.stderr)
    field = {"root": "picture", "metadata": "metadata_picture"}[way]
    users = read_snapshot("s.parquet").users.sort_values("user_id")
    assert tuple(users[field].astype(object).where(users[field].notna(), None)) == SHOWN[way, order]
    again = read_plan("again.plan")
    assert again.changes == 0
    assert ",".join(again.policy.order) == order.replace(" ", "")
    if way == "root":
        assert any("override is left out" in note for note in again.notes) == ("over" in order)
    else:
        assert any("stays, wherever override" in note for note in again.notes)


def test_pictures_that_need_a_token_give_way_as_their_finding_says(site_of):
    site = site_of(list(people_with_pictures_in_several_places()))
    (finding,) = (one for one in site.snapshot.findings() if one.id == "needs-token")
    assert (finding.users, "--through action" in finding.advice) == (1, True)
    site.apply(site.plan("action"))
    after = collect(site.tenant, method="search")
    assert "needs-token" not in {one.id for one in after.findings()}
    assert sights(after)["auth0|000005"] == ("default", "default")


EVERY = {
    one.id: one
    for one in (
        *CHECKS,
        *wired(wiring([], NOW)),
        *wired(wiring([Script("rule", "old", "user.picture = X", on=True)], NOW)),
        *wired(wiring([Script("action", "all", "setCustomClaim('picture', X)", on=True)], NOW)),
    )
}


@pytest.mark.parametrize(
    "name", [name for name, one in EVERY.items() if "picture-audit plan" in one.advice]
)
def test_what_a_finding_advises_can_be_planned(name, site_of, monkeypatch):
    shared = "https://images.example/same.png"
    site = site_of([*({"user_id": f"auth0|{n}", "picture": shared} for n in range(10))])
    monkeypatch.chdir(site.folder)
    site.snapshot.write("s.parquet")
    (words,) = re.findall(r"picture-audit (plan …[^.;]*)", EVERY[name].advice)
    line = words.replace("…", f"s.parquet --picture {NEW} --unseen --out p.plan")
    line = line.replace("ADDRESS", shared).partition(" spares")[0]
    if "--through" not in line:
        line += " --through action"
    answer = ran(shlex.join(["uv", "run", "picture-audit", *shlex.split(line)]), {})
    assert answer.code == 0, answer.stderr
    if "--former" in line:
        assert {row["after"] for row in pq.read_table("p.plan").to_pylist()} == {NEW}
