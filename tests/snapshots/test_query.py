import csv
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import pandas as pd
import pytest

from toolkit.analysis.coverage_count import coverage
from toolkit.analysis.duckdb_engine import engine_with
from toolkit.analysis.groups import NONE, Seen
from toolkit.analysis.selection import Selection
from toolkit.analysis.shown_picture import shared_pictures
from toolkit.analysis.tenant_wiring import Setter, Wiring
from toolkit.classification.frames import audit, profiles
from toolkit.classification.user_profile import User, user
from toolkit.errors import OutputError, SettingsError, UnreadableInputError
from toolkit.sandbox.made_up.tenants import people
from toolkit.snapshots.query import ORDERS, Roster
from toolkit.snapshots.snapshot import Provenance, Snapshot, read_snapshot

NOW = datetime(2026, 11, 1, tzinfo=UTC)
HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "=HYPERLINK(0)",
    "\u202eevil",
    "100%_sure\\",
    "x" * 10_000,
)


def one(number: int, **changes: object) -> User:
    values = {
        "user_id": f"auth0|{number:04}",
        "email": None,
        "name": None,
        "connection": None,
        "strategy": "auth0",
        "created_at": None,
        "updated_at": None,
        "last_login": None,
        "logins_count": 1,
        "picture": None,
        "metadata_picture": None,
    }
    return User(**(values | changes))


def provenance(users: int, **changes: object) -> Provenance:
    plain = Provenance("t.example", NOW, "search", True, users, 1, 1, 1.0, False, "0")
    return replace(plain, **changes)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    made_up = [user(person.record) for person in people(2000)]
    return audit(profiles([*made_up, *(one(n, name=name) for n, name in enumerate(HOSTILE))]))


@pytest.fixture(scope="module")
def snapshot(frame, tmp_path_factory) -> Snapshot:
    path = tmp_path_factory.mktemp("roster") / "a[1]*?.parquet"
    Snapshot(provenance(len(frame)), frame).write(path)
    return read_snapshot(path)


@pytest.fixture(scope="module")
def roster(snapshot):
    with Roster(snapshot) as roster:
        yield roster


def contains(frame: pd.DataFrame, text: str) -> "pd.Series[bool]":
    return pd.concat(
        [
            frame[name].str.lower().str.contains(text.lower(), regex=False, na=False)
            for name in ("user_id", "email", "name")
        ],
        axis=1,
    ).any(axis=1)


def months(frame: pd.DataFrame) -> "pd.Series[str]":
    return frame["created_at"].dt.strftime("%Y-%m")


CHOICES = {
    "everybody": (Selection(), lambda f: f["user_id"].notna()),
    "a connection": (
        Selection(connections=("google-oauth2", "github")),
        lambda f: f["connection"].isin(["google-oauth2", "github"]),
    ),
    "nobody's connection": (
        Selection(connections=(NONE,)),
        lambda f: f["connection"].fillna("") == "",
    ),
    "sources": (Selection(sources=("initials",)), lambda f: f["source"] == "initials"),
    "a provider": (Selection(providers=("github",)), lambda f: f["provider"] == "github"),
    "no provider": (Selection(providers=(NONE,)), lambda f: f["provider"].fillna("") == ""),
    "months": (
        Selection(joined_from="2020-03", joined_to="2021-02"),
        lambda f: months(f).between("2020-03", "2021-02"),
    ),
    "active": (
        Selection(activity=("30 days",)),
        lambda f: f["last_login"] >= NOW - pd.Timedelta(days=30),
    ),
    "never": (
        Selection(activity=("never",)),
        lambda f: f["last_login"].isna() & ~(f["logins_count"] > 0).fillna(value=False),
    ),
    "not known": (
        Selection(activity=("unknown",)),
        lambda f: f["last_login"].isna() & (f["logins_count"] > 0).fillna(value=False),
    ),
    "broken": (
        Selection(seen=("broken",)),
        lambda f: (
            (f["source"] == "invalid") | ((f["expires_at"] < NOW) & (f["source"] != "metadata"))
        ),
    ),
    "text": (Selection(text="An"), lambda f: contains(f, "An")),
    "a percent sign": (Selection(text="0%_S"), lambda f: contains(f, "0%_S")),
    "markup": (Selection(text="<IMG"), lambda f: contains(f, "<IMG")),
    "all at once": (
        Selection(connections=("google-oauth2",), sources=("social",), text="e"),
        lambda f: (
            (f["connection"] == "google-oauth2") & (f["source"] == "social") & contains(f, "e")
        ),
    ),
    "nobody": (Selection(text="nobody is called that"), lambda f: f["user_id"].isna()),
}


@pytest.mark.parametrize("name", CHOICES)
def test_a_selection_counts_and_lists_what_a_filtered_frame_holds(name, roster, frame):
    selection, mask = CHOICES[name]
    chosen = frame[mask(frame)]
    with engine_with(frame) as opened:
        shared = shared_pictures(opened)
    assert roster.users(selection) == len(chosen)
    for by in ("source", "connection", "provider", "cohort", "activity"):
        assert roster.coverage(by, selection) == coverage(chosen, by, as_of=NOW, shared=shared)
    listed = roster.page(selection, limit=5000)
    assert list(listed["user_id"]) == list(chosen["user_id"])


def test_the_estimate_stands_beside_everybody_only_as_in_the_snapshot(roster, snapshot):
    assert roster.coverage() == snapshot.coverage()


def test_what_the_files_lacked_is_not_known_and_last_in_the_list():
    users = profiles(
        [
            one(1, logins_count=3),
            one(2, logins_count=0),
            one(3, logins_count=None),
            one(4, last_login=NOW, logins_count=1),
        ]
    )
    content = Snapshot(provenance(4, absent=("last_login",)), audit(users))
    with Roster(content) as roster:
        counted = roster.coverage("activity")
        assert counted == content.coverage("activity")
        groups = dict(zip(counted.counts["group"], counted.counts["users"], strict=True))
        assert groups == {"unknown": 2, "never": 1, "30 days": 1}
        for descending in (False, True):
            listed = roster.page(order="last login", descending=descending)["user_id"]
            never, seen, unknown = ["auth0|0002"], ["auth0|0004"], ["auth0|0001", "auth0|0003"]
            expected = seen + unknown + never if descending else never + seen + unknown
            assert list(listed) == expected
    assert content.summary("activity")["notes"][-1] == counted.note != ""


def test_a_snapshot_in_memory_is_counted_like_one_in_a_file(frame, roster):
    with Roster(Snapshot(provenance(len(frame)), frame)) as other:
        assert other.coverage("connection") == roster.coverage("connection")


@pytest.mark.parametrize("override", [True, False])
def test_whether_overrides_work_decides_what_is_seen(override, frame):
    setter = Setter("action", "shows it", True, True, override, False, True)
    wired = provenance(len(frame), wiring=Wiring((setter,), True, True, NOW))
    with Roster(Snapshot(wired, frame)) as roster:
        assert roster.coverage() == coverage(frame, as_of=NOW, wiring=override)
        # Everybody's profile is replaced but for what an override is no picture for.
        shown = Selection(sources=("metadata",), seen=("own", "on_word", "initials", "broken"))
        everybody = int((frame["source"] == "metadata").sum())
        assert (roster.users(shown) == everybody) is override


def test_choices_count_what_each_filter_could_be_set_to(roster, frame):
    chosen = Selection(connections=("google-oauth2",), sources=("social",))
    choices = roster.choices(chosen)
    google = frame[frame["connection"] == "google-oauth2"]
    social = frame[frame["source"] == "social"]
    sources = google["source"].value_counts().to_dict()
    assert {name: n for name, n in choices["source"].items() if n} == sources
    assert choices["source"]["initials"] == sources.get("initials", 0)
    connections = social["connection"].fillna(NONE).value_counts().to_dict()
    assert {name: n for name, n in choices["connection"].items() if n} == connections
    assert list(choices["cohort"])[:-1] == sorted(list(choices["cohort"])[:-1])


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("order", ["", *ORDERS])
def test_pages_in_any_order_hold_everybody_once(order, descending, roster):
    chosen = Selection(sources=("social",))
    users = roster.users(chosen)
    pages = [
        roster.page(chosen, order=order, descending=descending, limit=100, offset=first)
        for first in range(0, users, 100)
    ]
    listed = pd.concat(pages)["user_id"]
    assert len(listed) == users
    assert listed.is_unique


FINDINGS = ("hash-mismatch", "expired", "missing", "photo-elsewhere", "expiring", "drawn")


@pytest.mark.parametrize("finding", FINDINGS)
def test_a_finding_lists_the_users_whom_it_concerns(finding, roster, snapshot):
    concerned = snapshot.users_of(finding)
    chosen = Selection(finding=finding)
    assert roster.users(chosen) == len(concerned)
    listed = roster.page(chosen, limit=5000)
    assert list(listed["user_id"]) == list(concerned["user_id"])
    assert list(listed["sight"]) == list(concerned["seen"])
    some = replace(chosen, connections=("google-oauth2",), text="e")
    both = (concerned["connection"] == "google-oauth2") & contains(concerned, "e")
    assert list(roster.page(some, limit=5000)["user_id"]) == list(concerned[both]["user_id"])
    assert roster.users(replace(chosen, excluding=("finding",))) == len(snapshot) - len(concerned)


def test_every_finding_counts_the_users_that_its_row_says(roster, snapshot):
    found = snapshot.findings()
    assert len(found) > 10
    for one in found:
        assert roster.users(Selection(finding=one.id)) == one.users, one.id


@pytest.mark.parametrize("override", [False, True])
def test_findings_about_actions_depend_on_those_of_the_tenant(override, frame):
    setter = Setter("action", "shows it", True, True, override, False, True)
    wired = Snapshot(provenance(len(frame), wiring=Wiring((setter,), True, True, NOW)), frame)
    overrides = int((frame["source"] == "metadata").sum())
    with Roster(wired) as roster:
        unwired = roster.users(Selection(finding="override-unwired"))
        assert unwired == (0 if override else overrides)
        found = {one.id: one.users for one in wired.findings()}
        assert unwired == found.get("override-unwired", 0)


def test_no_finding_of_that_name_is_an_error(roster):
    with pytest.raises(SettingsError, match="No finding is called it"):
        roster.users(Selection(finding="it"))


def test_listed_user_ids_are_a_selection_like_any_other(roster, frame, tmp_path):
    wanted = (*frame["user_id"][10:60:2], "nobody|0")
    chosen = Selection(user_ids=wanted, excluding=("sources",), sources=("initials",))
    expected = frame[frame["user_id"].isin(wanted) & (frame["source"] != "initials")]
    assert roster.users(chosen) == len(expected) > 5
    assert list(roster.page(chosen, limit=99)["user_id"]) == list(expected["user_id"])
    assert roster.write_parquet(tmp_path / "some.parquet", chosen) == len(expected)
    assert roster.users(Selection(user_ids=("nobody|0",))) == 0


def test_what_is_excluded_is_all_the_others(roster, frame):
    chosen = Selection(connections=("google-oauth2", "github"), excluding=("connections",))
    others = ~frame["connection"].isin(["google-oauth2", "github"])
    assert list(roster.page(chosen, limit=5000)["user_id"]) == list(frame[others]["user_id"])
    assert roster.users(chosen) == int(others.sum())


def test_what_nobody_counts_by_is_said(roster):
    with pytest.raises(SettingsError, match="cannot count by 'mood'"):
        roster.coverage("mood")


def test_threads_may_ask_at_once(snapshot):
    choices = [selection for selection, _ in CHOICES.values()] * 3
    with Roster(snapshot) as alone:
        expected = [alone.users(one) for one in choices]
    with Roster(snapshot) as shared, ThreadPoolExecutor(6) as pool:
        assert list(pool.map(shared.users, choices)) == expected


def test_an_order_sorts(roster):
    newest = roster.page(order="joined", descending=True, limit=50)["created_at"]
    assert newest.is_monotonic_decreasing
    expired = roster.page(order="expires", limit=50)["expires_at"]
    assert expired.is_monotonic_increasing
    seen = roster.page(order="people see", limit=5000)["sight"]
    assert list(dict.fromkeys(seen)) == [one for one in Seen if one in set(seen)]


def test_csv_holds_the_selection_and_no_formula(roster, frame, tmp_path):
    path = tmp_path / "some.csv"
    assert roster.write_csv(path) == len(frame)
    assert path.stat().st_mode & 0o777 == 0o600
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["user_id"] for row in rows] == list(frame["user_id"])
    names = [row["name"] for row in rows][-len(HOSTILE) :]
    assert names == ["'" + name if name[0] == "=" else name for name in HOSTILE]


def test_csv_of_many_pieces_has_one_head(roster, tmp_path, monkeypatch):
    monkeypatch.setattr("toolkit.snapshots.query._ROWS", 100)
    path = tmp_path / "some.csv"
    written = roster.write_csv(path, Selection(sources=("social",)))
    assert path.read_text("utf-8").count("user_id,") == 1
    assert len(pd.read_csv(path)) == written > 200


def test_csv_of_nobody_has_its_head(roster, tmp_path):
    assert roster.write_csv(tmp_path / "none.csv", Selection(text="nobody at all")) == 0
    assert (tmp_path / "none.csv").read_text("utf-8").startswith("user_id,")


def test_parquet_is_a_snapshot_that_says_it_is_not_whole(roster, frame, tmp_path):
    path = tmp_path / "some.parquet"
    written = roster.write_parquet(path, Selection(text="an", sources=("social",)))
    part = read_snapshot(path)
    assert len(part) == written == len(part.users) > 0
    assert set(part.users["source"]) == {"social"}
    assert not part.provenance.complete
    assert "a selection" in part.provenance.notes[-1]
    assert path.stat().st_mode & 0o777 == 0o600
    assert roster.write_parquet(path) == len(frame)
    assert read_snapshot(path).provenance.complete


def test_what_cannot_be_written_leaves_nothing_behind(roster, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="Cannot write"):
        roster.write_csv(tmp_path / "file" / "some.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_that_changed_meanwhile_is_not_mixed_with_what_was_counted(frame, tmp_path):
    path = tmp_path / "snapshot.parquet"
    Snapshot(provenance(len(frame)), frame).write(path)
    with Roster(read_snapshot(path)) as roster:
        Snapshot(provenance(10), frame.head(10)).write(path)
        with pytest.raises(UnreadableInputError, match="has changed"):
            roster.users()
        path.unlink()
        with pytest.raises(UnreadableInputError, match="is gone"):
            roster.page()


def test_a_damaged_file_is_said(frame, tmp_path):
    path = tmp_path / "snapshot.parquet"
    Snapshot(provenance(len(frame)), frame).write(path)
    snapshot = read_snapshot(path)
    body = bytearray(path.read_bytes())
    body[4 : len(body) // 2] = bytes(len(body) // 2 - 4)
    path.write_bytes(body)
    with pytest.raises(UnreadableInputError, match="damaged"):
        Roster(snapshot)
