"""The Action: put in place, seen by people who log in, and taken back."""

import json
from dataclasses import replace
from functools import partial

import httpx
import pytest

from tests.change.conftest import NEW, journal_of
from tests.conftest import settings_of
from tests.keep import KEPT
from tests.sandbox.login import LoginSandbox
from toolkit.change import apply_plan, javascript
from toolkit.change.action import NAME
from toolkit.change.action_steps import putting
from toolkit.change.apply_plan import apply
from toolkit.change.javascript import action_code, recognised
from toolkit.change.policy import Policy
from toolkit.change.undo_journal import undo, undone
from toolkit.change.verify_plan import verify
from toolkit.errors import IncompleteError, ScopeError, SettingsError
from toolkit.sandbox.api.action_library import Library
from toolkit.sandbox.problem import Problem
from toolkit.tenant.client import connect
from toolkit.tenant.models import Binding

NEWER = "https://images.example/newer.png"
FOREIGN = [
    {"name": name, "code": f"exports.onExecutePostLogin = async () => {{ /* {name} */ }};"}
    for name in ("zebra", "apple", "mango", "fig", "banana")
]
NAMES = tuple(one["name"] for one in FOREIGN)


def login(site, user_id="auth0|000001"):
    """Log somebody in; return the picture in their ID token."""
    token = site.tenant._token()
    answer = httpx.post(
        f"{site.sandbox.base_url}/sandbox/login",
        json={"user_id": user_id},
        headers={"Authorization": f"Bearer {token}"},
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["id_token"].get("picture")


def bound(site):
    return tuple(one["display_name"] for one in site.sandbox.bindings())


def library(site):
    """Return what the tenant's Actions are, without ids and times."""
    return sorted(
        (one["name"], one["code"], one.get("deployed_version", {}).get("code"))
        for one in site.sandbox.actions()
    )


def back(site, made, **options):
    given = {"execute": True, "confirm": site.tenant.domain, **options}
    return undo(site.tenant, journal_of(made), **given)


@pytest.fixture
def site_of(site_of):
    """Start a sandbox at which people can log in."""
    return partial(site_of, kind=LoginSandbox)


@pytest.fixture
def site(site_of, person):
    return site_of([person(1), person(2, picture="https://mine.example/me.png")], actions=FOREIGN)


def test_after_apply_a_login_shows_the_new_picture_and_after_undo_the_old_one(site):
    before, profiles = library(site), site.raw()
    assert login(site).startswith("https://cdn.auth0.com/avatars/")
    made = site.plan("action")
    outcome = site.apply(made)
    assert outcome.complete
    assert outcome.action.bindings_after == (*NAMES, NAME)
    assert login(site) == NEW
    assert login(site, "auth0|000002") == "https://mine.example/me.png"
    assert bound(site) == (*NAMES, NAME)
    assert verify(site.tenant, made).complete
    undone = back(site, made)
    assert undone.complete
    assert undone.notes[-1] == "the old state is back, as a check at the tenant shows"
    assert login(site).startswith("https://cdn.auth0.com/avatars/")
    assert (library(site), bound(site)) == (before, NAMES)
    assert not verify(site.tenant, made).complete
    # A login moves what logins move; the Action wrote to no profile.
    for user_id, text in site.raw().items():
        assert json.loads(text)["picture"] == json.loads(profiles[user_id])["picture"]


def test_a_rehearsal_shows_code_and_bindings_and_writes_nothing(site):
    before = library(site)
    made = site.plan("action")
    rehearsed = apply(site.tenant, made)
    assert (rehearsed.done, rehearsed.executed) == (1, False)
    assert rehearsed.action.before is None
    assert rehearsed.action.after == made.code == action_code(Policy(NEW))
    assert rehearsed.action.bindings_before == NAMES
    assert rehearsed.action.bindings_after == (*NAMES, NAME)
    assert site.count("PATCH") == 0
    assert site.count("POST", "/actions/") == 0
    assert library(site) == before
    assert not journal_of(made).exists()
    site.apply(made)
    written = library(site)
    assert back(site, made, execute=False).action.bindings_after == NAMES
    assert library(site) == written


def test_a_second_policy_updates_the_action_and_undo_brings_the_first_back(site):
    first, second = site.plan("action"), site.plan("action", NEWER, name="newer")
    site.apply(first)
    ids = {one["id"] for one in site.sandbox.actions()}
    rehearsed = apply(site.tenant, second)
    assert rehearsed.action.before == first.code
    assert rehearsed.action.bindings_after == (*NAMES, NAME)
    assert site.apply(second).complete
    assert {one["id"] for one in site.sandbox.actions()} == ids
    assert bound(site) == (*NAMES, NAME)
    assert login(site) == NEWER
    assert back(site, second).complete
    assert login(site) == NEW
    assert verify(site.tenant, first).complete
    assert back(site, first).complete
    assert bound(site) == NAMES


def test_the_same_again_finds_it_in_place(site):
    made = site.plan("action")
    site.apply(made)
    written = site.count("PATCH") + site.count("POST", "/actions/")
    assert site.apply(made).complete
    again = site.apply(site.plan("action", name="again"))
    assert (again.held, again.done) == (1, 0)
    assert site.count("PATCH") + site.count("POST", "/actions/") == written


def test_what_others_bound_since_stays_where_it_is(site):
    made = site.plan("action")
    site.apply(made)
    listed = site.tenant.bindings()
    site.tenant.bind([listed[5], *reversed(listed[1:5])])  # one is unbound, the order is another
    assert bound(site) == (NAME, *reversed(NAMES[1:]))
    assert back(site, made).complete
    assert bound(site) == tuple(reversed(NAMES[1:]))


class Meanwhile(httpx.BaseTransport):
    """What really sends, but for the first change of the bindings: that is answered 429.

    Before the answer somebody else does something at the tenant.
    """

    def __init__(self, site, act):
        self.pace, self.act, self.refused = site.tenant._pace, act, 0
        self.inner, self.pace._transport = self.pace._transport, self

    def handle_request(self, request):
        if request.method == "PATCH" and "/bindings" in request.url.path and not self.refused:
            self.refused += 1
            self.act()
            return httpx.Response(429, json={"statusCode": 429}, request=request)
        return self.inner.handle_request(request)

    def close(self):
        self.inner.close()


@pytest.mark.parametrize("kind", ["apply", "undo"])
def test_what_somebody_binds_while_the_tenant_is_busy_survives(site, kind):
    made = site.plan("action")
    with connect(settings_of(site.sandbox)) as colleague:
        ids = {one.name: one.id for one in colleague.actions()}
        listed = colleague.bindings()
        colleague.bind([one for one in listed if one.name != "fig"])
        if kind == "undo":
            site.apply(made)

        def bind_another():
            there = colleague.bindings()
            colleague.bind([*there[:2], Binding("", ids["fig"], "fig"), *there[2:]])

        busy = Meanwhile(site, bind_another)
        outcome = site.apply(made) if kind == "apply" else back(site, made)
    assert busy.refused == 1
    assert outcome.complete
    others = ("zebra", "apple", "fig", "mango", "banana")
    assert bound(site) == ((*others, NAME) if kind == "apply" else others)


def test_applied_again_after_an_undo_it_is_undone_again(site):
    before = library(site)
    first = site.plan("action")
    site.apply(first)
    back(site, first)
    with pytest.raises(SettingsError, match="undone"):
        site.apply(first)
    second = site.plan("action", name="second")
    assert site.apply(second).complete
    assert login(site) == NEW
    assert verify(site.tenant, second).complete
    assert back(site, second).complete
    assert (library(site), bound(site)) == (before, NAMES)
    assert undone(journal_of(second))
    again = back(site, second)
    assert (again.held, again.complete) == (1, True)


def test_an_undo_after_which_somebody_put_the_action_back_is_not_called_complete(site):
    first, second = site.plan("action"), site.plan("action", NEWER, name="newer")
    site.apply(first)
    site.apply(second)
    assert back(site, second).complete
    ours = next(one for one in site.tenant.actions() if one.name == NAME)
    site.tenant.update_action(ours.id, second.code)
    again = back(site, second)
    assert (again.drifted, again.complete) == (1, False)
    assert next(one for one in site.tenant.actions() if one.name == NAME).code == second.code


@pytest.mark.parametrize("by_hand", ["removed", "unbound"])
def test_an_action_that_somebody_took_away_by_hand_is_no_hindrance_to_undo(site, by_hand):
    before = library(site)
    made = site.plan("action")
    site.apply(made)
    ours = next(one for one in site.tenant.actions() if one.name == NAME)
    site.tenant.bind([one for one in site.tenant.bindings() if one.action_id != ours.id])
    if by_hand == "removed":
        site.tenant.delete_action(ours.id)
    written = site.count("PATCH", "/bindings")
    taken_back = back(site, made)
    assert taken_back.complete
    assert (taken_back.held, taken_back.done) == ((1, 0) if by_hand == "removed" else (0, 1))
    assert (library(site), bound(site)) == (before, NAMES)
    assert site.count("PATCH", "/bindings") == written


def test_a_former_action_that_somebody_removed_by_hand_is_said_to_be_gone(site):
    first, second = site.plan("action"), site.plan("action", NEWER, name="newer")
    site.apply(first)
    site.apply(second)
    ours = next(one for one in site.tenant.actions() if one.name == NAME)
    site.tenant.bind([one for one in site.tenant.bindings() if one.action_id != ours.id])
    site.tenant.delete_action(ours.id)
    taken_back = back(site, second)
    assert (taken_back.drifted, taken_back.complete) == (1, False)
    assert "its former code is in the journal" in taken_back.notes[-1]
    assert bound(site) == NAMES


def test_a_former_action_that_somebody_unbound_gets_its_code_back_and_stays_unbound(site):
    first, second = site.plan("action"), site.plan("action", NEWER, name="newer")
    site.apply(first)
    site.apply(second)
    ours = next(one for one in site.tenant.actions() if one.name == NAME)
    site.tenant.bind([one for one in site.tenant.bindings() if one.action_id != ours.id])
    taken_back = back(site, second)
    assert (taken_back.drifted, taken_back.complete) == (1, False)
    assert any("the Action was unbound" in note for note in taken_back.notes)
    assert bound(site) == NAMES
    assert [one.deployed for one in site.tenant.actions() if one.name == NAME] == [first.code]
    # It runs no more as it did, so nobody says that it does.
    again = back(site, second)
    assert (again.drifted, again.complete) == (1, False)


def test_an_action_that_was_there_unbound_is_unbound_again(site_of, person):
    old = action_code(Policy(NEWER))
    site = site_of([person(1)], actions=[{"name": "pictures", "code": old, "bound": False}])
    made = site.plan("action")
    assert site.apply(made).complete
    assert login(site) == NEW
    assert [one["name"] for one in site.sandbox.actions()] == ["pictures"]
    assert back(site, made).complete
    assert bound(site) == ()
    assert library(site) == [("pictures", old, old)]


def test_a_draft_that_was_not_deployed_comes_back_as_a_draft(site_of, person):
    old, draft = action_code(Policy(NEWER)), action_code(Policy("https://images.example/d.png"))
    site = site_of([person(1)], actions=[{"name": "pictures", "code": old}])
    site.tenant.update_action(site.sandbox.actions()[0]["id"], draft)
    made = site.plan("action")
    site.apply(made)
    assert back(site, made).complete
    assert library(site) == [("pictures", draft, old)]
    assert login(site) == NEWER


def test_code_that_somebody_edited_since_is_left_alone(site):
    made = site.plan("action")
    site.apply(made)
    one = next(one for one in site.tenant.actions() if one.name == NAME)
    site.tenant.update_action(one.id, "exports.onExecutePostLogin = async () => {};")
    site.tenant.action(one.id)
    site.tenant.action(one.id)
    site.tenant.deploy_action(one.id)
    before = library(site)
    undone = back(site, made)
    assert (undone.drifted, undone.complete) == (1, False)
    assert "left as it is" in undone.notes[-1]
    assert library(site) == before
    assert bound(site) == (*NAMES, NAME)


def test_a_change_by_hand_is_said_before_it_is_overwritten_and_kept(site_of, person):
    by_hand = action_code(Policy(NEWER)).replace('"use strict";', '"use strict"; // by hand')
    site = site_of([person(1)], actions=[{"name": "pictures", "code": by_hand}])
    assert recognised(by_hand)
    made = site.plan("action")
    assert "by hand" in " ".join(apply(site.tenant, made).notes)
    site.apply(made)
    back(site, made)
    assert library(site) == [("pictures", by_hand, by_hand)]


@pytest.mark.parametrize("folder", [1, 2])
def test_an_action_of_an_early_version_is_not_called_edited(site_of, person, folder):
    lines = (KEPT / str(folder) / "action.plan.journal").read_text().splitlines()
    early = json.loads(lines[1])["step"]["code"]
    site = site_of([person(1)], actions=[{"name": NAME, "code": early}])
    assert recognised(early) == Policy(NEW)
    (note,) = apply(site.tenant, site.plan("action")).notes
    assert "early version of picture-audit, whose code does not show whether" in note


def test_an_action_of_another_version_is_told_from_one_that_was_edited(site_of, person):
    with pytest.MonkeyPatch.context() as patch:
        twin = javascript._twin().replace("pictureAfter", "pictureThen")
        patch.setattr(javascript, "_twin", lambda: twin)
        patch.setattr(javascript, "_ACTION", javascript._ACTION.replace("After(", "Then("))
        other = action_code(Policy(NEW))
    site = site_of([person(1)], actions=[{"name": NAME, "code": other}])
    (note,) = apply(site.tenant, site.plan("action")).notes
    assert note == (
        "the Action is of another version of picture-audit; its code is kept in the journal"
    )
    assert site.apply(site.plan("action", name="newer")).complete


def test_an_action_of_the_same_name_that_is_not_ours_is_not_touched(site_of, person):
    other = {"name": NAME, "code": "exports.onExecutePostLogin = async () => {};"}
    site = site_of([person(1)], actions=[other])
    made = site.plan("action")
    with pytest.raises(SettingsError, match="rename"):
        site.apply(made)
    assert library(site) == [(NAME, other["code"], other["code"])]


def test_where_twenty_run_already_it_says_so_before_anything_is_written(site_of, person):
    actions = [{**FOREIGN[0], "name": f"a{number}"} for number in range(20)]
    site = site_of([person(1)], actions=actions)
    before = library(site)
    with pytest.raises(SettingsError, match="20 Actions"):
        site.apply(site.plan("action"))
    assert library(site) == before


def test_a_token_that_only_reads_fails_before_the_first_write(site_of, person):
    site = site_of([person(1)], scopes="read:users read:actions read:connections")
    made = site.plan("action", known=None)
    assert "create:actions" in " ".join(apply(site.tenant, made).notes)
    with pytest.raises(ScopeError, match="create:actions"):
        site.apply(made)
    assert library(site) == []
    assert not journal_of(made).exists()


@pytest.mark.parametrize("requests", [3, 8, 12])
def test_killed_at_any_step_it_goes_on_and_undo_takes_everything_back(
    site_of, person, other, requests
):
    site = site_of([person(1)], actions=FOREIGN)
    before = library(site)
    made = site.plan("action")
    for kind, path in (("apply", made.path), ("undo", journal_of(made))):
        start = site.sandbox.requests.total
        other.run(
            site, kind, path, kill=lambda s=start: site.sandbox.requests.total - s >= requests
        )
        if kind == "apply":
            assert site.apply(made).complete
            assert login(site) == NEW
            assert bound(site) == (*NAMES, NAME)
            assert len(site.sandbox.actions()) == 6
        else:
            assert back(site, made).complete
    assert (library(site), bound(site)) == (before, NAMES)


@pytest.mark.parametrize("fault", ["503-flaky", "reset"])
def test_it_gets_in_place_and_away_where_the_tenant_is_out_of_order(site_of, person, fault):
    site = site_of([person(1)], actions=FOREIGN, faults=[fault])
    made = site.plan("action")
    assert site.apply(made).complete
    assert [one["name"] for one in site.sandbox.actions()].count(NAME) == 1
    assert bound(site) == (*NAMES, NAME)
    assert back(site, made).complete
    assert bound(site) == NAMES


@pytest.mark.parametrize("code", ["exports.onExecutePostLogin = async () => {;", "throw 1;", ""])
def test_code_that_the_policy_does_not_make_is_not_sent(site, code):
    made = replace(site.plan("action"), code=code)
    with pytest.raises(SettingsError, match="make a new plan"):
        site.apply(made)
    assert site.count("POST", "/actions/") == 0


def test_rules_are_shown_and_never_deployed(site):
    made = site.plan("rule")
    assert "user_metadata?.picture" in repr(made)
    assert NEW in made._repr_html_()
    for execute in (False, True):
        with pytest.raises(SettingsError, match="printed, never deployed"):
            site.apply(made, execute=execute)
    with pytest.raises(SettingsError, match="nothing to verify"):
        verify(site.tenant, made)
    assert site.count("POST", "/rules") == 0


class MovedClock:
    """Time that passes only while somebody sleeps."""

    def __init__(self):
        self.now = 0.0

    def sleep(self, seconds):
        self.now += seconds


def lagging(monkeypatch, refusals):
    """Let the tenant refuse to bind, so often, as if nothing were deployed; return the clock."""
    bind, left = Library.bind, [refusals]

    def refused(library, trigger, wanted):
        if left[0] > 0:
            left[0] -= 1
            text = "Trying to create a binding for an action that has not been deployed yet"
            raise Problem(400, text)
        bind(library, trigger, wanted)

    clock = MovedClock()
    moved = partial(putting, clock=lambda: clock.now, sleep=clock.sleep)
    monkeypatch.setattr(Library, "bind", refused)
    monkeypatch.setattr(apply_plan, "putting", moved)
    return clock


def test_a_binding_that_is_refused_right_after_the_deployment_is_waited_for(site, monkeypatch):
    lagging(monkeypatch, 7)
    made, said = site.plan("action"), []
    outcome = site.apply(made, show=said.append)
    assert outcome.complete
    assert bound(site) == (*NAMES, NAME)
    waits = [one for one in said if "waiting until Auth0 binds" in one.note]
    assert len(waits) == 7
    assert site.count("PATCH", "/bindings") == 8


def test_a_binding_that_is_refused_for_a_minute_is_told_and_the_same_command_goes_on(
    site, monkeypatch
):
    made = site.plan("action")
    with monkeypatch.context() as patch:
        clock = lagging(patch, 1000)
        with pytest.raises(IncompleteError, match="still refuses to bind it") as raised:
            site.apply(made)
    assert "run the same command again" in str(raised.value)
    assert clock.now == 60.0
    assert bound(site) == NAMES
    assert site.apply(made).complete
    assert bound(site) == (*NAMES, NAME)
    assert back(site, made).complete
    assert bound(site) == NAMES
