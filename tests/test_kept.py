"""Files are written as other versions read them, and those that earlier versions wrote still open.

Those are in `tests/kept`: in folder 1 from when plans and journals had version 1, in folder 2
from when they had version 2. `tests/keep.py` writes such a folder.
"""

import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import toolkit
from tests.keep import DOMAIN, KEPT, kept_tenant, steps
from tests.pinned import keys_of, pinned, table
from tests.shell import Answer, ran

MEANT = f"--execute --confirm {DOMAIN}"
ANOTHER_VERSION = "is of another version of picture-audit: make a new plan."
UNCHAINED = (
    "the journal is of an older version: its lines are not chained, so it does not show whether "
    "some are missing"
)
SOURCES = {
    "social": 2,
    "enterprise": 1,
    "gravatar": 0,
    "metadata": 1,
    "custom": 1,
    "unresolved": 2,
    "initials": 2,
    "placeholder": 1,
    "missing": 1,
    "invalid": 1,
}


COLUMNS = """
user_id: string
email: string
name: string
connection: string
strategy: string
created_at: timestamp[ms, tz=UTC]
updated_at: timestamp[ms, tz=UTC]
last_login: timestamp[ms, tz=UTC]
logins_count: int64
picture: string
metadata_picture: string
source: string
underlying: string
provider: string
fallback: string
evidence: string
expires_at: timestamp[ms, tz=UTC]
gravatar_hash: string
content: string
elsewhere: string
elsewhere_from: string
"""

PLAN_COLUMNS = """
user_id: string
connection: string
strategy: string
source: string
underlying: string
picture: string
metadata_picture: string
elsewhere: string
after: string
outcome: string
reason: string
"""

# The lines after the first: of users, how a run ended, and of an Action.
JOURNALS = """
user: after before connection field link n strategy user
state: link n reason state
end: at end lines link
step former: bindings code deployed draft id running settings step version
step written: id settings step
step deployed: id running step
step bound: id step
step begun: id step
step unbound: id step
step removed: id step
"""

STATE = """
line: window
line.window: query span users
"""
STATE_USER = [
    "sms|5eadd1e5ad146f963806adfd",
    None,
    "+12125550199",
    "sms",
    "sms",
    1588449765719,
    1588449769366,
    1588449769339,
    1,
    "https://cdn.auth0.com/avatars/12.png",
    None,
    None,
    None,
]


@pytest.fixture
def tenant(no_credentials) -> Iterator[toolkit.Sandbox]:
    with kept_tenant() as sandbox:
        yield sandbox


@pytest.fixture
def run(tenant) -> Callable[[str], Answer]:
    """Run a command at the tenant that the kept files name."""
    return lambda line: ran(f"uv run picture-audit {line}", tenant.environment())


@pytest.fixture
def lay(no_credentials, tmp_path) -> Callable[..., None]:
    """Lay kept files into the empty folder in which commands run."""

    def lay(version: int, *names: str) -> None:
        for name in names:
            shutil.copy(KEPT / str(version) / name, tmp_path)
            # A journal that others can write is not believed, and a checkout may allow that.
            (tmp_path / name).chmod(0o600)

    return lay


def values(answer: Answer) -> dict:
    assert answer.stdout, answer.stderr
    return json.loads(answer.stdout)


def pictures(tenant: toolkit.Sandbox) -> dict[str, str | None]:
    return {user["user_id"]: user.get("picture") for user in tenant.users()}


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """Return a folder with the files that are kept, as they are written now."""
    folder = tmp_path_factory.mktemp("written")
    with kept_tenant() as sandbox, pytest.MonkeyPatch.context() as patch:
        patch.delenv("AUTH0_TOKEN", raising=False)
        patch.chdir(folder)
        for step in steps():
            answer = ran(f"uv run picture-audit {step}", sandbox.environment())
            assert answer.code == 0, answer.stderr
    return folder


# What is written


def test_a_snapshot_has_the_same_columns_in_order(written):
    schema = pq.read_schema(written / "snapshot.parquet")
    found = {field.name: str(field.type) for field in schema}
    pinned("A column of a snapshot", found, table(COLUMNS))
    order = {"order": " ".join(table(COLUMNS))}
    pinned("The order of a snapshot's columns", {"order": " ".join(found)}, order)
    head = {"keys": {b"schema_version", b"provenance"}, "version": b"1"}
    found = {"keys": schema.metadata.keys(), "version": schema.metadata[b"schema_version"]}
    pinned("The header of a snapshot", found, head)


@pytest.mark.parametrize("way", ["root", "action"])
def test_a_plan_has_the_same_columns_and_header(written, way):
    schema = pq.read_schema(written / f"{way}.plan")
    found = {field.name: str(field.type) for field in schema}
    pinned("A column of a plan", found, table(PLAN_COLUMNS))
    head = {"keys": {b"plan_version", b"plan", b"plan_digest"}, "version": b"2"}
    found = {"keys": schema.metadata.keys(), "version": schema.metadata[b"plan_version"]}
    pinned("The header of a plan", found, head)


@pytest.mark.parametrize("kind", ["apply", "undo"])
@pytest.mark.parametrize("way", ["root", "action"])
def test_a_journal_begins_the_same_way(written, way, kind):
    name = f"{way}.plan.journal" + (".undo" if kind == "undo" else "")
    head = json.loads((written / name).read_text().splitlines()[0])
    journal_id = head.pop("id")
    assert datetime.fromisoformat(head.pop("at")).tzinfo
    expected = {
        "format": "auth0-picture-audit journal",
        "version": 2,
        "tenant": DOMAIN,
        "plan": toolkit.read_plan(written / f"{way}.plan").id,
        "way": way,
        "kind": kind,
    }
    pinned("The first line of a journal", head, expected)
    assert re.fullmatch(r"[0-9a-f]{16}", journal_id)
    # Kept apart from it, so that lines missing from its end are noticed.
    kept = Path(os.environ["XDG_STATE_HOME"]) / "picture-audit" / "journals" / f"{journal_id}.json"
    assert json.loads(kept.read_text()).keys() == {"lines", "link"}


def test_the_lines_of_journals_have_the_same_keys(written):
    found = {}
    for path in written.glob("*.journal*"):
        for line in map(json.loads, path.read_text().splitlines()[1:]):
            name = next(one for one in ("step", "user", "state", "end") if one in line)
            if name == "step":
                step = line.pop("step")
                assert line.keys() == {"link"}
                name, line = f"step {step['step']}", step  # noqa: PLW2901 - what is in it
            found[name] = " ".join(sorted(line))
    pinned("A line of a journal", found, table(JOURNALS))


@pytest.mark.parametrize("method", ["search", "export"])
def test_an_unfinished_collection_is_kept_in_the_same_way(tenant, tmp_path, monkeypatch, method):
    lines = []

    def show(_: object) -> None:
        lines[:] = map(json.loads, (tmp_path / "s.parquet.part").read_text().splitlines())

    for name, value in tenant.environment().items():
        monkeypatch.setenv(name, value)
    with toolkit.connect() as connected:
        toolkit.collect(connected, out=tmp_path / "s.parquet", method=method, show=show)
    head, first, *_ = lines
    assert datetime.fromisoformat(head.pop("taken_at")).tzinfo
    expected = {
        "format": "auth0-picture-audit collection",
        "version": 1,
        "tenant": DOMAIN,
        "method": method,
    }
    pinned("The first line of an unfinished collection", head, expected)
    if method == "export":
        assert first.keys() == {"job"}
    else:
        # Several threads read windows: which one is the first line, nobody knows.
        filled = next(line for line in lines if line.get("window", {}).get("users"))
        pinned("A line of an unfinished collection", keys_of({"line": [filled]}), table(STATE))
        # The first columns of a snapshot, in their order; times are milliseconds since 1970.
        assert STATE_USER in filled["window"]["users"]


# What was written


@pytest.mark.parametrize("version", [1, 2])
def test_a_kept_snapshot_opens(lay, run, version):
    lay(version, "snapshot.parquet")
    counted = values(run("coverage snapshot.parquet --format json"))
    assert (counted["tenant"], counted["users"], counted["complete"]) == (DOMAIN, 12, True)
    assert {name: one["users"] for name, one in counted["sources"].items()} == SOURCES
    found = values(run("findings snapshot.parquet --format json"))
    assert found["users"] == 12
    assert {"missing", "stock-image", "unshowable"} <= {one["id"] for one in found["findings"]}
    assert run("report snapshot.parquet --out report.html").code == 0
    same = values(run("compare snapshot.parquet snapshot.parquet --format json"))
    assert (same["matched"], same["moved"], same["came"], same["went"]) == (12, 0, 0, 0)


def test_a_kept_snapshot_is_brought_up_to_date(lay, run, tenant):
    lay(2, "snapshot.parquet")
    answer = run("collect --since snapshot.parquet --out new.parquet")
    assert answer.code == 0, answer.stderr
    assert len(toolkit.read_snapshot("new.parquet")) == 12


@pytest.mark.parametrize(("way", "changes"), [("root", 4), ("action", 8)])
def test_a_kept_plan_opens(lay, run, way, changes):
    lay(2, f"{way}.plan")
    plan = toolkit.read_plan(f"{way}.plan")
    assert (plan.tenant, plan.way, plan.changes) == (DOMAIN, way, changes)


def test_a_kept_plan_of_profiles_is_applied(lay, run):
    lay(2, "root.plan")
    rehearsed = values(run("apply root.plan --format json"))
    assert (rehearsed["executed"], rehearsed["complete"]) == (False, True)
    assert rehearsed["done"] == rehearsed["planned"] == 4


def test_a_kept_plan_of_an_action_that_decided_otherwise_is_to_be_made_again(lay, run):
    lay(2, "action.plan")
    answer = run("apply action.plan")
    assert answer.code == 2
    assert answer.stderr == (
        "Error: Another version of picture-audit made this plan, and its Action decides otherwise: "
        "make the plan again.\n"
    )


@pytest.mark.parametrize("way", ["root", "action"])
@pytest.mark.parametrize("command", ["apply", "verify"])
def test_a_plan_of_version_1_is_refused_in_words(lay, run, way, command):
    lay(1, f"{way}.plan")
    answer = run(f"{command} {way}.plan")
    assert answer.code == 2
    assert ANOTHER_VERSION in answer.stderr


def test_a_kept_journal_is_verified_and_undone(lay, run, tenant):
    before = pictures(tenant)
    lay(2, "root.plan")
    assert run(f"apply root.plan {MEANT}").code == 0
    applied = pictures(tenant)
    lay(2, "root.plan.journal")
    verified = values(run("verify root.plan --format json"))
    assert (verified["holds"], verified["checked"], verified["complete"]) == (4, 4, True)
    rehearsed = values(run("undo root.plan.journal --format json"))
    assert (rehearsed["executed"], rehearsed["done"], rehearsed["notes"]) == (False, 4, [])
    assert pictures(tenant) == applied != before
    undone = values(run(f"undo root.plan.journal {MEANT} --format json"))
    assert (undone["done"], undone["complete"], undone["stopped"]) == (4, True, None)
    assert pictures(tenant) == before


def test_a_kept_journal_without_an_end_is_gone_on_with(lay, run, tenant, tmp_path):
    lay(2, "root.plan", "root.plan.journal")
    journal = tmp_path / "root.plan.journal"
    killed = "".join(journal.read_text().splitlines(keepends=True)[:-2])
    journal.write_text(killed)
    ended = values(run(f"apply root.plan {MEANT} --format json"))
    assert (ended["done"] + ended["held"], ended["earlier"]) == (4, 3)
    assert journal.read_text().startswith(killed)
    line = json.loads(journal.read_text().removeprefix(killed).splitlines()[0])
    found = {"line": " ".join(sorted(line))}
    pinned("A journal's line about a run without an end", found, {"line": "link missing resumed"})


def test_a_kept_journal_of_an_action_is_verified_and_undone(lay, run, tenant, monkeypatch):
    lay(2, "action.plan")
    lines = (KEPT / "2" / "action.plan.journal").read_text().splitlines()
    action_id = json.loads(lines[2])["step"]["id"]
    # Applied by the version that made it; a later one asks to make the plan again.
    code = toolkit.read_plan("action.plan").code
    monkeypatch.setattr("toolkit.change.apply_plan.action_code", lambda _: code)
    # The tenant gives the Action the id that the kept journal names.
    monkeypatch.setattr(uuid, "uuid4", lambda: action_id)
    assert run(f"apply action.plan {MEANT}").code == 0
    assert [one["id"] for one in tenant.actions()] == [action_id]
    lay(2, "action.plan.journal")
    verified = values(run("verify action.plan --format json"))
    assert (verified["holds"], verified["checked"], verified["complete"]) == (3, 3, True)
    undone = values(run(f"undo action.plan.journal {MEANT} --format json"))
    assert (undone["done"], undone["complete"], undone["stopped"]) == (1, True, None)
    assert (tenant.actions(), tenant.bindings()) == ([], [])


def test_a_kept_journal_of_an_undoing_says_that_the_plan_was_undone(lay, run):
    lay(2, "root.plan", "root.plan.journal", "root.plan.journal.undo")
    answer = run("apply root.plan")
    assert answer.code == 2
    assert "This plan was undone (root.plan.journal.undo)" in answer.stderr
    assert "you undid this plan" in run("verify root.plan").stdout


def test_a_kept_journal_of_an_undoing_is_gone_on_with(lay, run, tenant):
    before = pictures(tenant)
    lay(2, "root.plan", "root.plan.journal", "root.plan.journal.undo")
    undone = values(run(f"undo root.plan.journal {MEANT} --format json"))
    assert (undone["done"], undone["earlier"], undone["complete"]) == (4, 4, True)
    assert pictures(tenant) == before


def apply_as_version_1(tenant: toolkit.Sandbox) -> None:
    for line in (KEPT / "1" / "root.plan.journal").read_text().splitlines():
        entry = json.loads(line)
        if "user" in entry:
            tenant.change(entry["user"], {"picture": entry["after"]})


def test_a_journal_of_version_1_is_undone(lay, run, tenant):
    before = pictures(tenant)
    apply_as_version_1(tenant)
    lay(1, "root.plan.journal")
    undone = values(run(f"undo root.plan.journal {MEANT} --format json"))
    assert (undone["planned"], undone["done"], undone["refused"]) == (6, 4, 2)
    assert UNCHAINED in undone["notes"]
    left = {before[user] for user, now in pictures(tenant).items() if now != before[user]}
    # Auth0 takes neither; version 1 changed such users all the same.
    assert left == {"", "https://"}


def test_a_journal_of_version_1_is_undone_with_its_plan_beside_it(lay, run, tenant):
    apply_as_version_1(tenant)
    lay(1, "root.plan", "root.plan.journal")
    undone = values(run(f"undo root.plan.journal {MEANT} --format json"))
    assert (undone["planned"], undone["done"], undone["refused"]) == (6, 4, 2)


def test_a_journal_of_version_1_of_an_action_and_of_its_undoing_open(lay, run):
    lay(1, "action.plan", "action.plan.journal", "action.plan.journal.undo")
    undone = values(run("undo action.plan.journal --format json"))
    assert (undone["way"], undone["held"], undone["complete"]) == ("action", 1, True)
    assert UNCHAINED in undone["notes"]
