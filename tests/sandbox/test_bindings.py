import pytest
from auth0.management.client import Auth0
from auth0.management.core.api_error import ApiError

PATH = "/api/v2/actions/triggers/post-login/bindings"
ACTIONS = "/api/v2/actions/actions"
CODE = "exports.onExecutePostLogin = async (event, api) => {};"
DRAFT = {"name": "draft", "code": CODE, "deployed": False}


@pytest.fixture
def start(serve):
    """Serve a tenant with these Actions deployed and bound."""

    def start(*names, **settings):
        actions = [{"name": name, "code": CODE} for name in names]
        return serve([], actions=[*actions, DRAFT], **settings)

    return start


@pytest.fixture(scope="module")
def unchanged(serve_once):
    """A tenant that every request to change it leaves as it is."""
    return serve_once([], actions=[{"name": "Foo", "code": CODE}])


def bindings_of(client):
    """Return the part of Auth0's own SDK that binds, pointed at the sandbox."""
    token = client.headers["Authorization"].removeprefix("Bearer ")
    base_url = f"{client.sandbox.base_url}/api/v2"
    return Auth0(base_url=base_url, token=token, httpx_client=client).actions.triggers.bindings


def by_name(*names):
    return [{"ref": {"type": "action_name", "value": name}} for name in names]


def names_of(client):
    return [one["action"]["name"] for one in client.sandbox.bindings()]


def test_the_sdk_replaces_the_whole_list_and_every_id_is_new(start):
    client = start("Foo", "Bar")
    bindings = bindings_of(client)
    before = list(bindings.list("post-login"))
    assert [one.display_name for one in before] == ["Foo", "Bar"]
    wanted = [
        {"ref": {"type": "action_id", "value": before[1].action.id}, "display_name": "second"},
        {"ref": {"type": "binding_id", "value": before[0].id}},
    ]
    after = bindings.update_many("post-login", bindings=wanted).bindings
    assert [(one.display_name, one.action.name) for one in after] == [
        ("second", "Bar"),
        ("Foo", "Foo"),
    ]
    assert not {one.id for one in before} & {one.id for one in after}
    assert [one.id for one in bindings.list("post-login")] == [one.id for one in after]
    bindings.update_many("post-login", bindings=by_name("Bar"))
    assert names_of(client) == ["Bar"]
    assert bindings.update_many("post-login", bindings=[]).bindings == []
    assert client.get(PATH).json() == {"bindings": [], "per_page": 20}


def test_a_binding_shows_its_action_as_deployed(start):
    answer = start("Foo").get(PATH).json()
    assert (answer["total"], answer["per_page"], "page" in answer) == (1, 20, False)
    (binding,) = answer["bindings"]
    assert binding["trigger_id"] == "post-login"
    assert binding["action"]["deployed_version"]["deployed"] is True
    assert binding["action"]["all_changes_deployed"] is False
    assert binding["action"]["current_version"]["status"] == "BUILT"
    assert "code" not in binding["action"]


def test_a_page_beyond_the_end_has_no_total(start):
    answer = start("Foo").get(PATH, params={"page": 1, "per_page": 100}).json()
    assert answer == {"bindings": [], "page": 1, "per_page": 100}


def test_what_is_not_deployed_cannot_be_bound(start, hands):
    client = start(clock=hands, monotonic=hands)
    bindings = bindings_of(client)
    (draft,) = client.sandbox.actions()
    with pytest.raises(ApiError) as refused:
        bindings.update_many("post-login", bindings=by_name("draft"))
    assert refused.value.body == {
        "statusCode": 400,
        "error": "Bad Request",
        "message": "Trying to create a binding for an action that has not been deployed yet",
    }
    client.post(f"{ACTIONS}/{draft['id']}/deploy")
    too_early = client.patch(PATH, json={"bindings": by_name("draft")})
    assert too_early.status_code == 400
    hands.now += 1
    assert client.patch(PATH, json={"bindings": by_name("draft")}).is_success
    assert names_of(client) == ["draft"]


def test_a_refused_list_leaves_the_old_one(start):
    client = start("Foo")
    before = client.sandbox.bindings()
    assert client.patch(PATH, json={"bindings": by_name("Foo", "draft")}).status_code == 400
    assert client.patch(PATH, json={"bindings": by_name("nobody")}).status_code == 404
    assert client.sandbox.bindings() == before


def test_twenty_can_be_bound_and_no_more(start):
    client = start(*(f"{number}" for number in range(20)), "x")
    assert client.patch(PATH, json={"bindings": by_name(*"0123")}).is_success
    twenty = by_name(*(f"{number}" for number in range(20)))
    assert client.patch(PATH, json={"bindings": twenty}).is_success
    assert client.patch(PATH, json={"bindings": [*twenty, *by_name("x")]}).status_code == 400
    assert len(client.sandbox.bindings()) == 20


def test_more_than_a_page_is_read_page_by_page(start):
    client = start("a", "b", "c")
    seen = bindings_of(client).list("post-login", per_page=2)
    assert [one.action.name for one in seen] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"bindings": {}},
        {"bindings": ["Foo"]},
        {"bindings": [{"display_name": "Foo"}]},
        {"bindings": [{"ref": {"type": "colour", "value": "Foo"}}]},
        {"bindings": [{"ref": {"type": "action_name", "value": 3}}]},
        {"bindings": [{**by_name("Foo")[0], "display_name": 3}]},
        {"bindings": by_name("Foo"), "other": 1},
    ],
)
def test_bodies_that_auth0_does_not_take_are_refused(unchanged, body):
    client = unchanged
    answer = client.patch(PATH, json=body)
    assert answer.status_code == 400
    assert answer.json()["message"] == "Invalid Request Body."
    assert names_of(client) == ["Foo"]


def test_an_action_of_another_trigger_cannot_be_bound(start, hands):
    client = start(clock=hands, monotonic=hands)
    other = [{"id": "credentials-exchange", "version": "v2"}]
    client.post(ACTIONS, json={"name": "m2m", "supported_triggers": other, "deploy": True})
    hands.now += 5
    assert client.patch(PATH, json={"bindings": by_name("m2m")}).status_code == 400
    there = PATH.replace("post-login", "credentials-exchange")
    assert client.patch(there, json={"bindings": by_name("m2m")}).is_success
    assert names_of(client) == []


def test_what_is_bound_is_only_deleted_by_force(start):
    client = start("Foo", "Bar")
    name = client.sandbox.actions()[0]["id"]
    answer = client.delete(f"{ACTIONS}/{name}")
    assert answer.status_code == 409
    assert answer.json()["message"] == "Unable to delete an action bound to a trigger."
    assert names_of(client) == ["Foo", "Bar"]
    assert client.delete(f"{ACTIONS}/{name}", params={"force": "true"}).status_code == 204
    assert names_of(client) == ["Bar"]


def test_triggers_are_listed_with_their_runtimes(start):
    client = start()
    token = client.headers["Authorization"].removeprefix("Bearer ")
    sdk = Auth0(base_url=f"{client.sandbox.base_url}/api/v2", token=token, httpx_client=client)
    found = {(one.id, one.version): one for one in sdk.actions.triggers.list().triggers}
    assert len(found) == 20
    current = found["post-login", "v3"]
    assert (current.status, current.default_runtime) == ("CURRENT", "node22")
    assert current.runtimes == ["node18-actions", "node22"]
    assert [one.version for one in current.compatible_triggers] == ["v2"]
    assert {found["post-login", version].status for version in ("v1", "v2")} == {"DEPRECATED"}
    # Recorded in August 2026: the default is no longer one of the runtimes.
    old = found["post-login", "v2"]
    assert (old.runtimes, old.default_runtime) == (["node18", "node22"], "node16")
    bound = {one.id for one in found.values() if one.binding_policy == "entity-bound"}
    assert bound == {
        "custom-token-exchange",
        "event-stream",
        "password-hash-migration",
        "mcp-tool",
    }


def test_to_every_other_trigger_nothing_is_bound(start):
    client = start("Foo")
    listed = client.get("/api/v2/actions/triggers").json()["triggers"]
    for trigger in {one["id"] for one in listed} - {"post-login"}:
        answer = client.get(PATH.replace("post-login", trigger))
        assert answer.json() == {"bindings": [], "per_page": 20}


def test_only_triggers_that_are_there_have_bindings(start):
    assert start().get(PATH.replace("post-login", "no-such")).status_code == 404


def test_to_read_and_to_bind_need_their_scopes(start):
    reader = start("Foo", scopes="read:actions")
    assert reader.get(PATH).is_success
    answer = reader.patch(PATH, json={"bindings": []})
    assert answer.json()["message"] == "Insufficient scope, expected any of: update:actions"
    assert start("Foo", scopes="update:actions").get(PATH).status_code == 403
