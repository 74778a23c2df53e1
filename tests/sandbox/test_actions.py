import pytest
from auth0.management.client import Auth0
from auth0.management.core.api_error import ApiError

PATH = "/api/v2/actions/actions"
POST_LOGIN = [{"id": "post-login", "version": "v3"}]
CODE = "exports.onExecutePostLogin = async (event, api) => {};"


@pytest.fixture
def client(serve, hands):
    return serve([], clock=hands, monotonic=hands)


@pytest.fixture(scope="module")
def unchanged(serve_once):
    """A tenant that every request to change it leaves as it is."""
    return serve_once([])


@pytest.fixture(scope="module")
def without_scopes(serve_once):
    return serve_once([], scopes="read:users")


def sdk_of(client):
    """Return Auth0's own SDK, pointed at the sandbox."""
    token = client.headers["Authorization"].removeprefix("Bearer ")
    return Auth0(base_url=f"{client.sandbox.base_url}/api/v2", token=token, httpx_client=client)


def made(client, **changes):
    """Create an Action; return it."""
    body = {"name": "one", "supported_triggers": POST_LOGIN, "code": CODE, **changes}
    answer = client.post(PATH, json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def built(client, **changes):
    """Create an Action and wait until it is built; return its id."""
    name = made(client, **changes)["id"]
    client.get(f"{PATH}/{name}")
    assert client.get(f"{PATH}/{name}").json()["status"] == "built"
    return name


def deployed(client, **changes):
    """Create an Action, build and deploy it; return its id."""
    name = built(client, **changes)
    assert client.post(f"{PATH}/{name}/deploy").status_code == 200
    client.get(f"{PATH}/{name}")
    assert client.get(f"{PATH}/{name}").json()["deployed_version"]["deployed"] is True
    return name


def test_the_sdk_takes_an_action_through_its_life(client):
    actions = sdk_of(client).actions
    action = actions.create(name="one", supported_triggers=POST_LOGIN, code=CODE)
    assert (action.status, action.all_changes_deployed, action.deployed_version) == (
        "pending",
        False,
        None,
    )
    assert [actions.get(action.id).status for _ in range(3)] == ["building", "built", "built"]
    version = actions.deploy(action.id)
    assert (version.deployed, version.number, version.status) == (False, 1, "built")
    assert actions.get(action.id).deployed_version is None
    after = actions.get(action.id)
    assert (after.deployed_version.id, after.deployed_version.deployed) == (version.id, True)
    assert after.all_changes_deployed is True
    assert after.runtime == "node22"
    assert after.created_at.timestamp() == pytest.approx(1_800_000_000.25)
    actions.delete(action.id)
    with pytest.raises(ApiError) as refused:
        actions.get(action.id)
    assert refused.value.body == {
        "statusCode": 404,
        "error": "Not Found",
        "message": "That action does not exist.",
    }


def test_time_builds_and_deploys_too(client, hands):
    name = made(client)["id"]
    hands.now += 5
    assert client.post(f"{PATH}/{name}/deploy").json()["deployed"] is False
    hands.now += 1
    assert client.get(f"{PATH}/{name}").json()["deployed_version"]["deployed"] is True


@pytest.mark.parametrize("reads", [0, 1])
def test_what_is_not_built_cannot_be_deployed(client, reads):
    name = made(client)["id"]
    for _ in range(reads):
        client.get(PATH)
    answer = client.post(f"{PATH}/{name}/deploy")
    assert answer.status_code == 400
    assert answer.json()["message"] == (
        "A draft must be in the 'built' state before it can be deployed."
    )


def test_code_that_does_not_parse_is_built_all_the_same(client):
    assert deployed(client, code='exports.onExecutePostLogin = async () => {};"')


def test_with_deploy_the_first_version_is_there_at_once(client):
    action = made(client, deploy=True)
    assert action["status"] == action["deployed_version"]["status"] == "pending"
    assert action["current_version"]["status"] == "PENDING"
    assert action["deployed_version"]["deployed"] is action["all_changes_deployed"] is True
    client.get(PATH)
    later = client.get(f"{PATH}/{action['id']}").json()
    assert later["status"] == later["deployed_version"]["status"] == "built"


def test_a_change_leaves_what_is_deployed_as_it_is(client):
    name = deployed(client)
    changed = client.patch(f"{PATH}/{name}", json={"code": "// new"}).json()
    assert (changed["code"], changed["deployed_version"]["code"]) == ("// new", CODE)
    assert (changed["status"], changed["all_changes_deployed"]) == ("pending", False)
    assert changed["name"] == "one"


def test_secrets_can_be_written_and_not_read(client):
    body = made(client, secrets=[{"name": "key", "value": "hush"}])
    assert [secret["name"] for secret in body["secrets"]] == ["key"]
    path = f"{PATH}/{body['id']}"
    kept = client.patch(path, json={"secrets": [{"name": "key"}]})
    assert kept.status_code == 200
    assert "hush" not in str(body) + kept.text
    assert client.patch(path, json={"secrets": [{"name": "new"}]}).status_code == 400


def test_secrets_stay_in_their_order(client):
    path = f"{PATH}/{made(client, secrets=[{'name': 'foo', 'value': '1'}])['id']}"
    wanted = [{"name": name, "value": "2"} for name in ("new", "foo")]
    changed = client.patch(path, json={"secrets": wanted}).json()
    assert [secret["name"] for secret in changed["secrets"]] == ["foo", "new"]


def test_the_same_code_again_is_no_change(client):
    name = deployed(client)
    changed = client.patch(f"{PATH}/{name}", json={"code": CODE}).json()
    assert (changed["status"], changed["all_changes_deployed"]) == ("pending", True)


def test_once_built_an_action_does_not_say_where_its_dependencies_come_from(client):
    known = {"name": "lodash", "version": "4.0.0"}
    dependency = {**known, "registry_url": "https://registry.example/lodash"}
    action = made(client, dependencies=[dependency])
    assert action["dependencies"] == [dependency]
    client.get(f"{PATH}/{action['id']}")
    assert client.get(f"{PATH}/{action['id']}").json()["dependencies"] == [known]
    version = client.post(f"{PATH}/{action['id']}/deploy").json()
    assert version["dependencies"] == [known]


def test_an_action_names_its_modules(client):
    module = {"module_id": "m", "module_version_id": "v"}
    shown = {**module, "module_name": "m", "module_version_number": 1}
    name = deployed(client, modules=[module])
    assert client.get(f"{PATH}/{name}").json()["modules"] == [shown]
    assert "modules" not in made(client)


@pytest.mark.parametrize("runtime", ["node16", "node18"])
def test_runtimes_that_are_no_longer_listed_are_taken(client, runtime):
    assert made(client, runtime=runtime)["runtime"] == runtime
    usual = made(client, supported_triggers=[{"id": "post-login", "version": "v2"}])
    assert usual["runtime"] == "node16"


def test_a_test_answers_as_it_was_recorded(client):
    path = f"{PATH}/{made(client)['id']}/test"
    answer = client.post(path, json={"payload": {"event": {"user": {}}}}).json()
    assert answer["payload"]["error"]["name"] == "TypeError"
    assert answer["payload"]["stats"]["action_duration_ms"] > 0
    assert client.post(path, json={"event": {}}).status_code == 400
    assert client.post(f"{PATH}/nope/test", json={"payload": {}}).status_code == 404


def test_actions_are_found_by_name_trigger_and_deployment(client):
    here = deployed(client, name="here")
    made(client, name="there", supported_triggers=[{"id": "credentials-exchange", "version": "v2"}])

    def names(**asked):
        return [one["name"] for one in client.get(PATH, params=asked).json()["actions"]]

    assert names() == ["here", "there"]
    assert names(actionName="there") == names(triggerId="credentials-exchange") == ["there"]
    assert names(deployed="true") == ["here"]
    assert names(deployed="false") == ["there"]
    assert names(actionName="her") == []
    assert [one.id for one in sdk_of(client).actions.list(action_name="here")] == [here]


def test_a_page_has_twenty_unless_told_and_what_is_nothing_is_left_out(client):
    for number in range(21):
        made(client, name=f"{number}")
    first, second, third = (client.get(PATH, params={"page": page}).json() for page in range(3))
    assert {**first, "actions": len(first["actions"])} == {
        "actions": 20,
        "total": 21,
        "per_page": 20,
    }
    assert {**second, "actions": len(second["actions"])} == {
        "actions": 1,
        "total": 21,
        "page": 1,
        "per_page": 20,
    }
    assert third == {"actions": [], "page": 2, "per_page": 20}
    assert client.get(PATH, params={"per_page": 101}).status_code == 400
    assert len(list(sdk_of(client).actions.list(per_page=5))) == 21


def test_versions_are_listed_and_an_old_one_can_be_deployed_again(client):
    name = deployed(client)
    client.patch(f"{PATH}/{name}", json={"code": "// new"})
    for _ in range(2):
        client.get(f"{PATH}/{name}")
    client.post(f"{PATH}/{name}/deploy")
    versions = sdk_of(client).actions.versions
    client.get(f"{PATH}/{name}")
    new, old = versions.list(name)
    assert [(one.number, one.deployed, one.code) for one in (new, old)] == [
        (2, True, "// new"),
        (1, False, CODE),
    ]
    again = versions.deploy(name, old.id)
    assert (again.number, again.code, again.deployed) == (3, CODE, False)
    assert versions.get(name, again.id).code == CODE
    after = client.get(f"{PATH}/{name}").json()
    assert (after["deployed_version"]["number"], after["code"]) == (3, "// new")
    assert after["all_changes_deployed"] is False
    as_it_is = client.post(f"{PATH}/{name}/versions/{old.id}/deploy", content="null").json()
    assert (as_it_is["number"], as_it_is["code"]) == (4, CODE)
    client.post(f"{PATH}/{name}/versions/{old.id}/deploy", json={"update_draft": True})
    assert client.get(f"{PATH}/{name}").json()["code"] == CODE
    assert client.get(f"{PATH}/{name}/versions/nope").status_code == 404


def test_only_fifty_versions_are_kept(client, hands):
    name = made(client, deploy=True)["id"]
    hands.now += 5
    for _ in range(50):
        client.post(f"{PATH}/{name}/deploy")
    numbers = [one.number for one in sdk_of(client).actions.versions.list(name)]
    assert numbers == list(range(51, 1, -1))


@pytest.mark.parametrize(
    "changes",
    [
        {"name": None},
        {"name": ""},
        {"code": 3},
        {"code": "x" * 100_001},
        {"supported_triggers": []},
        {"supported_triggers": [*POST_LOGIN, *POST_LOGIN]},
        {"supported_triggers": [{"id": "no-such", "version": "v1"}]},
        {"runtime": "node99"},
        {"dependencies": [{"version": "1"}]},
        {"dependencies": [{"name": f"p{n}", "version": "1"} for n in range(11)]},
        {"modules": [{"module_id": "m"}]},
        {"secrets": [{"name": "x"}]},
        {"secrets": [{"name": "x", "value": "y" * 4097}]},
        {"secrets": [{"name": f"s{n}", "value": ""} for n in range(31)]},
        {"deploy": "yes"},
        {"colour": "red"},
    ],
)
def test_bodies_that_auth0_does_not_take_are_refused(unchanged, changes):
    client = unchanged
    body = {"name": "one", "supported_triggers": POST_LOGIN, "code": CODE, **changes}
    answer = client.post(PATH, json=body)
    assert answer.status_code == 400
    assert answer.json()["message"] == "Invalid Request Body."
    assert client.sandbox.actions() == []


@pytest.mark.parametrize("path", [PATH, f"{PATH}/1/versions", "/api/v2/actions/triggers"])
def test_parameters_that_auth0_does_not_have_are_refused(unchanged, path):
    answer = unchanged.get(path, params={"include_totals": "true"})
    assert answer.json()["message"] == (
        "Query validation error: 'Additional properties not allowed: include_totals'."
    )


def test_what_is_no_json_object_is_refused(client):
    for content in ("", "[]", "{", "[" * 100_000):
        assert client.post(PATH, content=content).status_code == 400


def test_there_are_a_hundred_actions_at_most(client):
    for number in range(100):
        made(client, name=f"{number}")
    body = {"name": "one", "supported_triggers": POST_LOGIN}
    assert client.post(PATH, json=body).status_code == 403


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", PATH, "read:actions"),
        ("POST", PATH, "create:actions"),
        ("PATCH", f"{PATH}/1", "update:actions"),
        ("DELETE", f"{PATH}/1", "delete:actions"),
        ("POST", f"{PATH}/1/deploy", "create:actions"),
        ("POST", f"{PATH}/1/versions/1/deploy", "create:actions"),
    ],
)
def test_each_call_needs_its_scope(without_scopes, method, path, scope):
    answer = without_scopes.request(method, path, json={})
    assert answer.status_code == 403
    assert answer.json()["message"] == f"Insufficient scope, expected any of: {scope}"


def test_actions_count_against_the_limit_of_all_other_endpoints(serve, hands):
    client = serve([], plan="essentials", clock=hands, monotonic=hands)
    assert client.get(PATH).headers["x-ratelimit-limit"] == "10"


def test_a_sandbox_can_have_actions_from_the_start(serve):
    client = serve(
        [],
        actions=[
            {"name": "on", "code": CODE, "secrets": {"key": "hush"}},
            {"name": "off", "code": CODE, "bound": False},
            {"name": "draft", "code": CODE, "deployed": False},
        ],
    )
    sandbox = client.sandbox
    states = {one["name"]: one["all_changes_deployed"] for one in sandbox.actions()}
    assert states == {"on": True, "off": True, "draft": False}
    assert {one["status"] for one in sandbox.actions()} == {"built"}
    assert [one["display_name"] for one in sandbox.bindings()] == ["on"]
    assert client.get(PATH).json()["total"] == 3


@pytest.mark.parametrize("wrong", [{"colour": "red"}, {"deployed": False, "bound": True}])
def test_an_action_that_cannot_be_is_not_loaded(serve, wrong):
    with pytest.raises(ValueError, match="no such Action"):
        serve([], actions=[{"name": "one", "code": CODE, **wrong}])
