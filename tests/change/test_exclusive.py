"""One change at a time for a tenant, whatever plans they are of."""

import json
import os
import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import platformdirs
import pytest

from tests.change.conftest import NEW, journal_of
from toolkit.change.apply_plan import apply
from toolkit.change.run import one_at_a_time
from toolkit.change.undo_journal import undo
from toolkit.errors import OutputError, SettingsError

NEWER = "https://images.example/newer.png"


@pytest.fixture
def site(site_of, person):
    # Most have a picture of their own: a plan that changes nearly everybody asks again.
    own = {"picture": "https://mine.example/me.png"}
    return site_of([person(number, **(own if number >= 30 else {})) for number in range(150)])


def writing(site, made):
    """Begin to apply, as another process would, and stop in the middle."""
    steps = apply.steps(site.tenant, made, execute=True, confirm=site.tenant.domain, agreed=True)
    next(steps)
    return steps


def test_of_two_plans_at_once_one_runs_and_the_other_says_who_does(site, other):
    first, second = site.plan("root"), site.plan("metadata", NEWER)
    steps = writing(site, first)
    _, said = other.run(site, "apply", second.path)
    assert said.startswith(f"SettingsError: Another process changes {site.tenant.domain}")
    assert "apply of" in said
    assert str(first.path) in said
    assert "since 20" in said
    assert not journal_of(second).exists()
    for _ in steps:
        pass
    assert sum(one.get("picture") == NEW for one in site.sandbox.users()) == first.changes
    assert SettingsError.exit_code == 2


def test_two_processes_at_once_do_not_both_write(site, other, monkeypatch):
    first, second = site.plan("root"), site.plan("root", NEWER, name="newer")
    writing, count = threading.Event(), site.sandbox.requests.add

    def stop_at_the_first_write(method, path, status):
        # Before it gets its answer: however busy the machine is, it stands in the middle.
        if method == "PATCH" and not writing.is_set():
            os.kill(other.child, signal.SIGSTOP)
            writing.set()
        count(method, path, status)

    monkeypatch.setattr(site.sandbox.requests, "add", stop_at_the_first_write)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(other.run, site, "apply", first.path)
        try:
            assert writing.wait(60)
            with pytest.raises(SettingsError, match="Another process"):
                site.apply(second)
        finally:
            os.kill(other.child, signal.SIGCONT)
        _, said = running.result()
    assert f"{first.changes} of {first.changes} users changed" in said
    pictures = Counter(one.get("picture") for one in site.sandbox.users())
    assert (pictures[NEW], pictures[NEWER]) == (first.changes, 0)
    # What the other plan has changed meanwhile is settled by comparing.
    assert site.apply(second).drifted == second.changes


@pytest.mark.parametrize("kind", ["apply", "undo"])
def test_an_undo_waits_for_nobody_either(site, kind):
    first, second = site.plan("root"), site.plan("root", NEWER, name="newer")
    site.apply(first, limit=3)
    with one_at_a_time(site.tenant.domain, kind, second.path):
        with pytest.raises(SettingsError, match=f"{kind} of"):
            undo(site.tenant, journal_of(first), execute=True, confirm=site.tenant.domain)
        # Who only reads disturbs nobody.
        assert apply(site.tenant, second).done
        assert undo(site.tenant, journal_of(first)).done == 3
    assert undo(site.tenant, journal_of(first), execute=True, confirm=site.tenant.domain).complete


def test_a_process_that_is_killed_gives_the_tenant_back(site, other):
    made = site.plan("root")
    other.run(site, "apply", made.path, kill=lambda: site.count("PATCH") > 0)
    assert site.apply(made).complete


def test_tenants_do_not_wait_for_each_other(site, site_of, person):
    another = site_of([person(1)])
    steps = writing(site, site.plan("root"))
    assert another.apply(another.plan("root")).complete
    steps.close()


def test_only_its_owner_can_read_who_holds_the_lock(site):
    with one_at_a_time(site.tenant.domain, "apply", site.folder / "a.plan"):
        (place,) = platformdirs.user_state_path("picture-audit").glob(
            f"{site.tenant.domain.replace(':', '*')}.json"
        )
        assert place.stat().st_mode & 0o777 == 0o600
        assert json.loads(place.read_text())["kind"] == "apply"


def test_a_lock_whose_holder_says_nothing_is_a_lock_all_the_same(site):
    with one_at_a_time(site.tenant.domain, "apply", site.folder / "a.plan"):
        (place,) = platformdirs.user_state_path("picture-audit").glob(
            f"{site.tenant.domain.replace(':', '*')}.json"
        )
        place.write_text("nonsense")
        with pytest.raises(SettingsError, match="does not say who"):
            site.apply(site.plan("root"))


def test_where_the_lock_cannot_be_written_nothing_is_sent(site, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    made = site.plan("root")
    with pytest.raises(OutputError, match="Cannot write"):
        site.apply(made)
    assert site.count("PATCH") == 0
