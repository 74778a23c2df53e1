"""Reading what sets the picture that applications see, as far as the token may."""

import pytest

from toolkit.collection.collect_users import collect
from toolkit.collection.scripts import read_wiring
from toolkit.sandbox.made_up import tenants
from toolkit.snapshots.snapshot import read_snapshot

OVERRIDE = {
    "name": "Own pictures",
    "code": "exports.onExecutePostLogin = async (event, api) => {"
    " const own = event.user.user_metadata?.picture;"
    " if (own) api.idToken.setCustomClaim('picture', own); };",
}
USERS = [{"user_id": "auth0|1", "picture": "https://example.com/a.png"}]


def test_the_sample_tenants_picture_rules_have_stopped_and_no_action_replaces_them(tenant_with):
    tenant = tenant_with(USERS, actions=tenants.ACTIONS, rules=tenants.RULES)
    wiring, notes = read_wiring(tenant)
    # Nobody knows more than Auth0's schedule: the tenant still lists them.
    assert notes == ("by Auth0's schedule Rules ended on 2026-11-18; this tenant still lists 2",)
    assert [one.kind for one in wiring.stopped] == ["rule", "rule"]
    assert wiring.running == ()
    assert wiring.override is False
    assert wiring.default is False


def test_an_action_counts_once_it_is_deployed_and_bound(tenant_with):
    for changes, reaches in (
        ({}, True),
        ({"bound": False}, False),
        ({"deployed": False, "bound": False}, False),
    ):
        wiring, _ = read_wiring(tenant_with(USERS, actions=[OVERRIDE | changes]))
        assert wiring.override is reaches


def test_more_actions_than_fit_a_page_are_all_read(tenant_with):
    many = [
        {"name": f"Harmless {n}", "code": "exports.onExecutePostLogin = async () => {};"}
        | {"bound": False}
        for n in range(99)
    ]
    tenant = tenant_with(USERS, actions=[*many, OVERRIDE])
    assert len(tenant.actions()) == 100
    assert read_wiring(tenant)[0].override is True


@pytest.mark.parametrize(
    ("scopes", "read", "said"),
    [
        ("read:users", (None, None), ["Actions", "legacy Rules", "Flows", "Event streams"]),
        ("read:users read:actions", (True, False), ["legacy Rules", "Flows", "Event streams"]),
        ("read:users read:rules", (False, True), ["Actions", "Flows", "Event streams"]),
    ],
)
def test_what_the_token_may_not_read_is_noted_and_not_asked_for(tenant_with, scopes, read, said):
    tenant = tenant_with(USERS, actions=[OVERRIDE], scopes=scopes)
    wiring, notes = read_wiring(tenant)
    assert [note.partition(" were")[0] for note in notes] == said
    assert all("lacks read:" in note for note in notes)
    assert ((wiring.actions, wiring.rules) if wiring else (None, None)) == read
    assert not [key for key in tenant._sandbox.requests.counts if key[2] == 403]


def test_a_tenant_that_gives_no_answer_about_scripts_is_collected_all_the_same(
    tenant_with, tmp_path
):
    tenant = tenant_with(USERS)

    def broken():
        return tenant._api.actions.get("no such action")

    tenant.bindings = broken_by(tenant, broken)
    snapshot = collect(tenant, out=tmp_path / "s.parquet")
    assert len(snapshot) == 1
    assert snapshot.provenance.wiring.actions is False
    assert any("Actions were not read" in note for note in snapshot.provenance.notes)


def broken_by(tenant, call):
    return lambda: tenant._send(call)


def test_the_wiring_stays_with_the_snapshot(tenant_with, tmp_path):
    tenant = tenant_with(USERS, actions=[OVERRIDE], rules=tenants.RULES)
    snapshot = collect(tenant, out=tmp_path / "s.parquet")
    assert read_snapshot(tmp_path / "s.parquet").provenance == snapshot.provenance
    assert snapshot.overrides is True
    assert snapshot.provenance.wiring.as_of.tzinfo is not None


SIGN_UP = "exports.onExecutePreUserRegistration = async (event, api) => {"
WRITERS = [
    {
        "name": "Draw letters",
        "trigger": "pre-user-registration",
        "code": SIGN_UP + " api.user.setUserMetadata('picture', letters(event.user.name)); };",
    },
    {
        "name": "Theme",
        "trigger": "pre-user-registration",
        "code": SIGN_UP + " api.user.setUserMetadata('theme', 'dark'); };",
    },
]
FLOWS = [
    {
        "name": name,
        "actions": [{"id": "u", "type": "AUTH0", "action": action, "params": {"changes": changes}}],
    }
    for name, action, changes in (
        ("Ask for a photo", "UPDATE_USER", {"user_metadata": {"picture": "{{fields.photo}}"}}),
        ("Set it", "UPDATE_USER", {"picture": "{{fields.photo}}"}),
        ("Ask for a name", "UPDATE_USER", {"user_metadata": {"full_name": "{{fields.name}}"}}),
        ("Look", "GET_USER", {"picture": "x"}),
    )
]


def test_what_writes_pictures_into_profiles_is_named_and_decides_nothing(tenant_with):
    tenant = tenant_with(USERS, actions=[*WRITERS, OVERRIDE], flows=FLOWS)
    wiring, notes = read_wiring(tenant)
    assert notes == ()
    assert wiring.writers == (
        "Action “Draw letters” (pre-user-registration)",
        "Flow “Ask for a photo”",
        "Flow “Set it”",
    )
    assert (wiring.override, wiring.flows, len(wiring.setters)) == (True, True, 1)
    assert [one.name for one in tenant.actions()] == ["Own pictures"]


def test_flows_that_may_not_be_read_change_nothing(tenant_with):
    scopes = "read:users read:actions read:rules read:event_streams"
    wiring, notes = read_wiring(tenant_with(USERS, flows=FLOWS, scopes=scopes))
    assert (wiring.flows, wiring.writers) == (False, ())
    assert notes == ("Flows were not read: the token lacks read:flows",)


CONFIGURATIONS = {
    "webhook": {
        "webhook_endpoint": "https://crm.example/users",
        "webhook_authorization": {"method": "bearer"},
    },
    "eventbridge": {"aws_account_id": "123456789012", "aws_region": "eu-west-1"},
    "action": {"action_id": "0b0b0b0b-0000-4000-8000-000000000000"},
}


def stream(name, event="user.updated", kind="webhook", **more):
    return {
        "name": name,
        "subscriptions": [{"event_type": "organization.created"}, {"event_type": event}],
        "destination": {"type": kind, "configuration": CONFIGURATIONS[kind]},
        **more,
    }


STREAMS = [
    stream("CRM"),
    stream("Archive", kind="eventbridge"),
    stream("Letters", kind="action"),
    stream("Off", status="disabled"),
    stream("Groups", event="group.created"),
    *(stream(f"Other {number}", event="role.created") for number in range(100)),
    stream("Last"),
]


def test_event_streams_that_send_users_away_may_write_pictures(tenant_with):
    wiring, notes = read_wiring(tenant_with(USERS, event_streams=STREAMS))
    assert notes == ()
    assert [one.partition(" (perhaps")[0] for one in wiring.writers] == [
        "Event stream “CRM”",
        "Event stream “Archive”",
        "Event stream “Last”",
    ]
    assert (wiring.streams, wiring.override) == (True, False)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"scopes": "read:users read:actions read:rules read:flows"}, "lacks read:event_streams"),
        ({"event_streams": None}, "refuses (HTTP 403"),
    ],
)
def test_a_tenant_without_event_streams_is_read_without_them(tenant_with, options, why):
    wiring, notes = read_wiring(tenant_with(USERS, **options))
    assert (wiring.streams, wiring.writers, wiring.override) == (False, (), False)
    (note,) = notes
    assert note.startswith("Event streams were not read")
    assert why in note
