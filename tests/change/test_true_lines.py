"""What is said after a run is what the tenant holds then."""

import re

import pytest

from tests.change.conftest import NEW, journal_of
from tests.change.test_action import FOREIGN, NAMES, back, bound
from toolkit.change.action import NAME
from toolkit.change.apply_plan import apply
from toolkit.change.undo_journal import undo
from toolkit.change.verify_plan import verify

ALL = ", ".join((*NAMES, NAME))
NEWER = "https://images.example/newer.png"
OWN = {"picture": "https://mine.example/me.png"}


@pytest.fixture
def site(site_of, person):
    return site_of([person(number) for number in range(6)], actions=FOREIGN)


def ours(site):
    return [one for one in site.sandbox.actions() if one["name"] == NAME]


def test_the_first_apply_creates_the_action_and_says_so(site):
    made = site.plan("action")
    rehearsed = repr(apply(site.tenant, made))
    assert "The Action would be created" in rehearsed
    assert f"Each login runs today: {', '.join(NAMES)}. From then on: {ALL}." in rehearsed
    assert ours(site) == []
    said = repr(site.apply(made))
    assert "The Action was created" in said
    assert f"It runs now: {ALL}." in said
    assert len(ours(site)) == 1
    assert bound(site) == (*NAMES, NAME)
    second = repr(site.apply(site.plan("action", NEWER, name="newer")))
    assert "The Action was updated" in second
    assert len(ours(site)) == 1


def test_what_is_in_place_would_not_be_changed_and_was_not(site):
    made = site.plan("action")
    site.apply(made)
    written, before = site.count("PATCH") + site.count("POST", "/actions/"), ours(site)
    rehearsed = apply(site.tenant, made)
    assert "The Action is in place already: nothing would be changed" in repr(rehearsed)
    again = site.apply(made)
    assert "The Action is in place already: nothing was changed" in repr(again)
    assert (again.held, again.done, again.complete) == (1, 0, True)
    assert site.count("PATCH") + site.count("POST", "/actions/") == written
    assert ours(site) == before


def test_an_undo_that_a_colleague_s_edit_stops_says_what_still_runs(site):
    made = site.plan("action")
    site.apply(made)
    (action,) = ours(site)
    site.tenant.update_action(action["id"], action["code"] + "\n// a colleague's line")
    for execute in (False, True):
        stopped = back(site, made, execute=execute)
        assert "left as it is: somebody else changed it" in repr(stopped)
        shown = "It runs now" if execute else "From then on"
        assert f"{shown}: {', '.join(bound(site))}." in repr(stopped)
        assert bound(site) == (*NAMES, NAME)
        assert "unbind it there under Actions > Triggers > post-login" in repr(stopped)


def test_an_apply_that_a_colleague_s_edit_stops_says_what_runs(site):
    made = site.plan("action")
    site.apply(made)
    site.tenant.bind([one for one in site.tenant.bindings() if one.name != NAME])
    stopped = repr(site.apply(made))
    assert "left as it is" in stopped
    assert f"It runs now: {', '.join(NAMES)}." in stopped
    assert bound(site) == NAMES


def test_verify_tells_your_undo_from_somebody_s_deletion_and_edit(site):
    made = site.plan("action")
    assert "this plan was not applied" in repr(verify(site.tenant, made))
    site.apply(made)
    assert "it runs at each login: yes" in repr(verify(site.tenant, made))
    (action,) = ours(site)
    site.tenant.bind([one for one in site.tenant.bindings() if one.name != NAME])
    said = repr(verify(site.tenant, made))
    assert "somebody changed it since" in said
    assert "it runs at each login: no" in said
    site.tenant.delete_action(action["id"])
    said = repr(verify(site.tenant, made))
    assert "the Action is gone: somebody deleted it" in said
    assert ours(site) == []
    other = site.plan("action", NEWER, name="newer")
    site.apply(other)
    undone = back(site, other)
    assert "The Action was removed" in repr(undone)
    assert f"It runs now: {', '.join(NAMES)}." in repr(undone)
    said = repr(verify(site.tenant, other))
    assert re.search(r"you undid this plan at \d\d:\d\d UTC on 20\d\d-", said)
    assert "somebody" not in said


@pytest.mark.parametrize("way", ["root", "metadata"])
def test_verify_tells_whom_you_put_back_from_whom_somebody_changed(site_of, person, way):
    users = [person(number, user_metadata={"theme": "dark"}) for number in range(6)]
    site = site_of(users)
    made = site.plan(way)
    site.apply(made)
    edit = OWN if way == "root" else {"user_metadata": OWN}
    site.sandbox.change("auth0|000002", edit)
    found = verify(site.tenant, made)
    assert (found.holds, found.differs, found.undone) == (5, 1, 0)
    back(site, made, limit=2, canary=0)
    found = verify(site.tenant, made)
    assert (found.holds, found.differs, found.undone) == (3, 1, 2)
    assert "2 were put back by your undo" in repr(found)
    assert "you began to undo this plan" in repr(found)
    back(site, made)
    found = verify(site.tenant, made)
    assert (found.holds, found.differs, found.undone) == (0, 1, 5)
    assert "1 have another value, because somebody changed them" in repr(found)


def test_who_is_done_skipped_and_not_tried_are_numbers_of_the_tenant(site_of, person):
    site = site_of([person(number) for number in range(9)])
    made = site.plan("root")
    site.sandbox.change("auth0|000001", OWN)
    said = repr(site.apply(made, limit=4, canary=0, workers=1))
    pictures = [one["picture"] for one in site.sandbox.users()]
    assert pictures.count(NEW) == 4
    assert re.search(r"apply of root at \S+, 20\d\d-\d\d-\d\d \d\d:\d\d UTC", said)
    assert "4 of 9 users changed" in said
    assert "0 have it already, 1 skipped (changed or deleted meanwhile)" in said
    assert "0 cannot be changed, 4 not tried" in said
    said = repr(verify(site.tenant, made))
    assert "4 of 9 checked are in place" in said
    assert "5 are still as before: 1 skipped (changed meanwhile), 0 refused, 4 not tried" in said
    said = repr(undo(site.tenant, journal_of(made)))
    assert "4 of 4 users would be put back" in said
    assert "0 not tried" in said
