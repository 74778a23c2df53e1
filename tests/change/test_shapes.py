"""What a profile may hold where the picture goes: put back exactly, or left alone and why."""

import json

import pytest

from tests.change.conftest import NEW, journal_of, settled
from tests.sandbox.conftest import identity
from toolkit.change.apply_plan import apply
from toolkit.change.undo_journal import undo
from toolkit.change.verify_plan import verify

ABSENT = object()
MOVED = "https://x.example/moved.png"


def back(site, made, **options):
    return undo(site.tenant, journal_of(made), execute=True, confirm=site.tenant.domain, **options)


METADATA = {
    "none": (ABSENT, None),
    "another key": ({"theme": "dark"}, None),
    "a null beside it": ({"theme": None}, None),
    "an unusable picture": ({"picture": "http://x.example/a.png"}, None),
    "no text": ({"picture": {"not": ["a", "text", 1.5, None, True]}, "a": 1}, None),
    "an empty text": ({"picture": ""}, None),
    "an explicit null": ({"picture": None}, "explicit null"),
    "an explicit null beside another": ({"picture": None, "theme": "dark"}, "explicit null"),
    "empty": ({}, "user_metadata is empty"),
    "null": (None, "no object"),
    "a list": (["a"], "no object"),
    "half a character": ({"picture": "\ud800"}, "put back as it is"),
}


@pytest.mark.parametrize("shape", METADATA)
def test_metadata_are_put_back_exactly_or_left_alone_and_why(site_of, person, shape):
    held, why = METADATA[shape]
    someone = person(1, user_metadata=held)
    if held is ABSENT:
        del someone["user_metadata"]
    site = site_of([someone, person(2)])
    before, raw = site.users(), site.raw()
    made = site.plan("metadata")
    assert made.changes == 2
    rehearsed, outcome = apply(site.tenant, made, canary=0), site.apply(made, canary=0)
    for one in (rehearsed, outcome):
        assert (one.done, one.refused, one.remaining) == ((2, 0, 0) if why is None else (1, 1, 0))
        assert why is None or any(why in reason for _, reason, _ in one.reasons)
    checked = verify(site.tenant, made)
    if why is None:
        assert checked.complete
        assert site.user("auth0|000001")["user_metadata"]["picture"] == NEW
    else:
        assert site.raw()["auth0|000001"] == raw["auth0|000001"]
        assert (checked.holds, checked.open) == (1, 1)
        assert "refused: 1 " in repr(checked)
        assert why in repr(checked)
    assert back(site, made).complete
    assert site.users() == before


@pytest.mark.parametrize("shape", [name for name, (_, why) in METADATA.items() if why])
def test_who_cannot_be_put_back_is_changed_where_that_is_meant(site_of, person, shape):
    site = site_of([person(1, user_metadata=METADATA[shape][0])])
    made = site.plan("metadata", irreversible=True)
    assert site.apply(made).complete
    assert site.user("auth0|000001")["user_metadata"]["picture"] == NEW


# Its later logins overwrite no picture.
SYNCS_ONCE = {
    "name": "github",
    "strategy": "github",
    "options": {"set_user_root_attributes": "on_first_login"},
}


def root_of(person, number, picture, strategy):
    ours = {} if strategy == "auth0" else {"identities": identity(strategy)}
    someone = person(number, picture=picture, **ours)
    if picture is ABSENT:
        del someone["picture"]
    return someone


ROOT = {
    "a text": ("https://cdn.auth0.com/avatars/aa.png", "auth0", None),
    "of a social user": ("https://cdn.auth0.com/avatars/aa.png", "github", None),
    "an empty text": ("", "auth0", "no full web address"),
    "a path": ("/uploads/me.png", "auth0", "no full web address"),
    "words": ("my photo", "github", "no full web address"),
    "no scheme": ("x.example/me.png", "auth0", "no full web address"),
    "data": ("data:text/plain,me", "auth0", "no full web address"),
    "none of a social user": (ABSENT, "github", None),
    "an explicit null of a social user": (None, "github", "explicit null"),
    "no text": ({"url": "x"}, "github", "no full web address"),
    "none of a database user": (ABSENT, "auth0", "could not remove"),
    "an explicit null of a database user": (None, "auth0", "could not remove"),
}


@pytest.mark.parametrize("shape", ROOT)
def test_a_root_picture_is_put_back_exactly_or_left_alone_and_why(site_of, person, shape):
    picture, strategy, why = ROOT[shape]
    site = site_of([root_of(person, 1, picture, strategy), person(2)])
    site.sandbox._store.add_connection(SYNCS_ONCE)
    before, raw = site.users(), site.raw()
    made = site.plan("root")
    outcome = site.apply(made, canary=0)
    if why is None:
        assert (made.changes, outcome.done) == (2, 2)
    else:
        if picture is not None or strategy != "github":
            assert made.table().query("outcome == 'cannot'")["users"].tolist() == [1]
        assert outcome.done == 1
        assert site.raw()["auth0|000001"] == raw["auth0|000001"]
        assert why in repr(made) + repr(outcome)
    assert back(site, made).complete
    assert site.users() == before


@pytest.mark.parametrize("irrevocable", [None, {"url": "x"}, "", "/uploads/me.png"])
def test_what_auth0_does_not_take_back_does_not_hold_up_the_others(site_of, person, irrevocable):
    users = [person(number, picture=irrevocable) for number in range(30)]
    users += [person(number) for number in range(30, 60)]
    site = site_of(users)
    before = site.users()
    made = site.plan("root", irreversible=True)
    assert site.apply(made).done == 60
    patches = site.count("PATCH")
    rehearsed = undo(site.tenant, journal_of(made))
    undone = back(site, made)
    for one in (rehearsed, undone):
        assert (one.done, one.refused, one.stopped) == (30, 30, None)
        assert any("Auth0 does not" in reason for _, reason, _ in one.reasons)
    assert "30 cannot be put back" in repr(undone)
    assert site.count("PATCH") == patches + 30
    after = site.users()
    assert {name for name in before if after[name] == before[name]} == {
        f"auth0|{number:06}" for number in range(30, 60)
    }


def test_where_the_tenant_keeps_empty_metadata_that_is_put_back_and_said(site_of, person):
    site = site_of([person(1), person(2, user_metadata={"theme": "dark"})])
    before = {one["user_id"]: one for one in site.sandbox.users()}
    made = site.plan("metadata")
    site.apply(made)

    def keep_empty(response):
        if response.request.method == "PATCH" and "000001" in response.request.url.path:
            site.sandbox.change("auth0|000001", {"user_metadata": {}})

    site.tenant._client.event_hooks["response"].append(keep_empty)
    undone = back(site, made)
    assert (undone.done, undone.lost, undone.complete) == (2, 0, True)
    (said,) = [note for note in undone.notes if "empty user_metadata" in note]
    assert said.startswith("1 keep")
    assert json.loads(settled(site.user("auth0|000001"))) == json.loads(
        settled(before["auth0|000001"] | {"user_metadata": {}})
    )
