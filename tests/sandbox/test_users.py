import json
import logging
import os
import signal
import socket
import threading
from urllib.parse import quote

import pytest
from auth0.management.client import Auth0
from auth0.management.core.api_error import ApiError

from toolkit.sandbox.directory.store import Store
from toolkit.sandbox.server import Sandbox


@pytest.fixture
def client(serve, person, identity):
    return serve(
        [
            *(person(number) for number in range(120)),
            person(900, user_id="google-oauth2|1", identities=identity("google-oauth2")),
            person(901, user_id="oauth2|a/b c|ü", identities=identity("oauth2", "line")),
        ]
    )


def _sdk(client, **settings):
    token = client.headers["Authorization"].removeprefix("Bearer ")
    return Auth0(
        base_url=f"{client.sandbox.base_url}/api/v2", token=token, httpx_client=client, **settings
    )


def test_without_totals_users_are_a_list_of_fifty(client):
    users = client.users().json()
    assert len(users) == 50
    assert users[0]["email"] == "person0@example.com"


def test_with_totals_users_are_an_object(client):
    answer = client.users(include_totals="true", per_page=100, page=1).json()
    assert {key: answer[key] for key in answer if key != "users"} == {
        "start": 100,
        "limit": 100,
        "length": 22,
        "total": 122,
    }
    assert len(answer["users"]) == 22


def test_more_than_100_users_a_page_are_refused(client):
    answer = client.users(per_page=1000)
    assert answer.status_code == 400
    assert answer.json() == {
        "statusCode": 400,
        "error": "Bad Request",
        "message": "Query validation error: 'Value 1000 is greater than maximum 100' on property "
        "per_page (Number of results per page).",
        "errorCode": "invalid_query_string",
    }


@pytest.mark.parametrize(("page", "per_page"), [(10, 100), (20, 50), (33, 30), (10**14, 1)])
def test_a_page_past_the_first_1000_users_is_refused_with_auth0s_own_words(client, page, per_page):
    answer = client.users(page=page, per_page=per_page)
    assert answer.status_code == 400
    assert answer.json() == {
        "statusCode": 400,
        "error": "Bad Request",
        "message": "You can only page through the first 1000 records. See "
        "https://auth0.com/docs/users/search/v3/view-search-results-by-page#limitation",
        "errorCode": "invalid_paging",
    }


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"email": "a@example.com"}, "'Additional properties not allowed: email'."),
        ({"from": "x", "take": "5"}, "'Additional properties not allowed: from,take'."),
        ({"fields": "user_id,multifactor"}, "'String 'user_id,multifactor' does not match"),
        ({"fields": "email, name"}, "'String 'email, name' does not match pattern."),
        ({"include_fields": "1"}, "'Expected type boolean but found type string' on property"),
    ],
)
@pytest.mark.parametrize("path", ["", "/auth0%7C000001"])
def test_what_a_query_cannot_ask_for_is_named(client, path, asked, told):
    answer = client.get(f"/api/v2/users{path}", params=asked)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith(f"Query validation error: {told}")


@pytest.mark.parametrize(
    "asked",
    [
        {"page": "-1"},
        {"page": "x"},
        {"per_page": "9" * 5000},
        {"sort": "created_at"},
        {"sort": "picture:1"},
        {"sort": "user_metadata.a:1"},
        {"search_engine": "v2"},
        {"include_totals": "yes"},
        {"q": "picture:x"},
        {"q": "name:"},
        {"q": "\0"},
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused(client, asked):
    answer = client.users(**asked)
    assert answer.status_code == 400
    assert answer.json()["errorCode"] == "invalid_query_string"


def test_a_query_that_is_too_long_is_refused_as_such(client):
    assert client.users(q="name:" + "a" * 8000).status_code == 414


def test_20000_users_page_through_windows_and_the_total_is_capped(serve, person):
    client = serve(person(number) for number in range(20_000))
    assert client.sandbox.user_count == 20_000
    seen, low = [], "2024-01-01T00:00:00.000Z"
    while True:
        query = f"created_at:[{low} TO *]"
        asked = {"q": query, "sort": "created_at:1", "per_page": 100, "include_totals": "true"}
        pages = [client.users(page=page, **asked).json() for page in range(10)]
        users = [user for page in pages for user in page["users"]]
        assert pages[0]["total"] == min(1000, 20_000 - len(seen) + bool(seen))
        seen += [user["user_id"] for user in users][bool(seen) :]
        if len(users) < 1000:
            break
        low = users[-1]["created_at"]
    assert seen == [f"auth0|{number:06}" for number in range(20_000)]


def test_equals_keep_their_order_unless_primary_order_is_given_up(serve, person):
    same = "2024-01-01T00:00:00.000Z"
    client = serve(person(number, created_at=same) for number in range(60))

    def second_page(**asked):
        users = client.users(sort="created_at:1", per_page=30, page=1, **asked).json()
        return [user["user_id"] for user in users]

    assert second_page() == [f"auth0|{number:06}" for number in range(30, 60)]
    assert second_page(primary_order="false") != second_page()


def test_fields_choose_what_is_shown(client):
    some = client.users(fields="user_id,email,last_login", per_page=1).json()[0]
    rest = client.users(fields="user_id,email", include_fields="false", per_page=1).json()[0]
    assert some == {"user_id": "auth0|000000", "email": "person0@example.com"}
    assert sorted(rest) == ["created_at", "identities", "name", "picture", "updated_at"]


def test_the_extra_gravatar_key_is_never_served(serve, person):
    assert "_gravatar" not in serve([person(1, _gravatar=True)]).users().json()[0]


@pytest.mark.parametrize("user_id", ["auth0|000001", "oauth2|a/b c|ü"])
def test_a_user_is_found_by_an_encoded_id(client, user_id):
    answer = client.get(f"/api/v2/users/{quote(user_id, safe='')}")
    assert answer.json()["user_id"] == user_id


@pytest.mark.parametrize("user_id", ["auth0|a\nb", "auth0|end\n", "auth0|\u2028\r\n"])
def test_a_user_whose_id_has_line_breaks_is_read_and_changed_by_it(serve, person, user_id):
    client = serve([person(1, user_id=user_id), person(2, user_id=user_id.split()[0])])
    where = f"/api/v2/users/{quote(user_id, safe='')}"
    assert client.get(where).json()["email"] == "person1@example.com"
    assert client.patch(where, json={"nickname": "x"}).json()["user_id"] == user_id


def test_a_user_who_does_not_exist_is_not_found_in_auth0s_words(client):
    answer = client.get("/api/v2/users/auth0%7Cnobody")
    assert answer.status_code == 404
    assert answer.json() == {
        "statusCode": 404,
        "error": "Not Found",
        "message": "The user does not exist.",
        "errorCode": "inexistent_user",
    }


@pytest.mark.parametrize("path", ["/api/v2/nothing", "/api/v2/users/auth0%7C000001/roles"])
def test_an_unknown_path_is_not_found(client, path):
    answer = client.get(path)
    assert answer.json() == {"statusCode": 404, "error": "Not Found", "message": "Not Found"}
    assert answer.status_code == 404


def test_users_are_found_by_email_whatever_its_case(client):
    users = client.get("/api/v2/users-by-email", params={"email": "PERSON7@example.com"}).json()
    assert [user["user_id"] for user in users] == ["auth0|000007"]
    assert client.get("/api/v2/users-by-email").status_code == 400


def _patch(client, body, user_id="auth0%7C000001"):
    return client.patch(f"/api/v2/users/{user_id}", json=body)


def test_the_picture_of_a_database_user_can_be_changed(serve, person, hands):
    client = serve([person(1)], clock=hands)
    user = _patch(client, {"picture": "https://example.com/new.png"}).json()
    assert user["picture"] == "https://example.com/new.png"
    assert user["updated_at"] == "2027-01-15T08:00:00.250Z"
    assert client.get("/api/v2/users/auth0%7C000001").json() == user
    assert client.ids("updated_at:[2027-01-15 TO *]") == {"auth0|000001"}


def test_the_picture_of_a_user_whose_connection_syncs_cannot_be_changed(client):
    answer = _patch(client, {"picture": "https://example.com/new.png"}, "google-oauth2%7C1")
    assert answer.status_code == 400
    assert answer.json() == {
        "statusCode": 400,
        "error": "Bad Request",
        "message": "The following user attributes cannot be updated: picture. The connection "
        "(google-oauth2) must either be a database connection (using the Auth0 store), a "
        "passwordless connection (email or sms) or has disabled 'Sync user profile attributes "
        "at each login'. For more information, see "
        "https://auth0.com/docs/dashboard/guides/connections/configure-connection-sync",
        "errorCode": "operation_not_supported",
    }


def test_the_picture_of_a_database_user_cannot_be_removed(client):
    answer = _patch(client, {"picture": None})
    assert answer.status_code == 400
    assert answer.json()["message"] == (
        "The following user attributes cannot be removed: picture. The connection "
        "(Username-Password-Authentication) must either be a custom database connection with "
        "import mode disabled, a social or enterprise connection."
    )


def test_metadata_is_merged_at_its_first_level_only(client):
    one = "google-oauth2%7C1"
    _patch(client, {"user_metadata": {"a": 1, "b": {"c": 2}}}, one)
    assert _patch(client, {"user_metadata": {"b": {"d": 3}}}, one).json()["user_metadata"] == {
        "a": 1,
        "b": {"d": 3},
    }
    assert _patch(client, {"user_metadata": {"b": None}}, one).json()["user_metadata"] == {"a": 1}
    assert _patch(client, {"user_metadata": {}}, one).json()["user_metadata"] == {}


@pytest.mark.parametrize(
    "body",
    ["", "{", "[]", "{}", '{"unknown":1}', '{"picture":1}', '{"user_metadata":1}', "[" * 99_999],
)
def test_a_body_that_makes_no_sense_changes_nothing(client, body):
    before = client.get("/api/v2/users/auth0%7C000001").json()
    answer = client.patch("/api/v2/users/auth0%7C000001", content=body)
    assert answer.status_code == 400
    assert client.get("/api/v2/users/auth0%7C000001").json() == before


ODD_PICTURES = [
    "",
    "/uploads/me.png",
    "my photo",
    "//x.example/me.png",
    "data:image/png;base64,AA==",
]


@pytest.mark.parametrize("picture", ODD_PICTURES)
@pytest.mark.parametrize("user_id", ["auth0%7C000001", "google-oauth2%7C1"])
def test_a_picture_that_is_no_absolute_address_is_refused_in_auth0s_words(client, picture, user_id):
    before = client.get(f"/api/v2/users/{user_id}").json()
    answer = client.patch(f"/api/v2/users/{user_id}", json={"picture": picture})
    assert answer.status_code == 400
    body = answer.json()
    assert body["errorCode"] == "invalid_body"
    assert body["message"].startswith(
        "Payload validation error: 'Object didn't pass validation for format strict-uri: "
        f"{picture}' on property picture"
    )
    assert client.get(f"/api/v2/users/{user_id}").json() == before


def test_in_metadata_any_picture_is_taken(client):
    body = {"user_metadata": {"picture": "my photo"}}
    answer = client.patch("/api/v2/users/auth0%7C000001", json=body)
    assert answer.json()["user_metadata"]["picture"] == "my photo"


def test_a_body_of_more_than_a_megabyte_is_refused(client):
    answer = client.patch("/api/v2/users/auth0%7C000001", content=b" " * (1024 * 1024 + 1))
    assert answer.status_code == 413


def test_the_sdk_lists_reads_and_updates_users(client):
    sdk = _sdk(client)
    page = sdk.users.list(q="created_at:[* TO *]", sort="created_at:1", per_page=100)
    assert len(page.items) == 100
    assert page.response.total == 122
    assert len(list(page)) == 122
    assert sdk.users.get("oauth2|a/b c|ü").identities[0].connection == "line"
    user = sdk.users.update("auth0|000002", user_metadata={"picture": "https://example.com/x.png"})
    assert user.user_metadata["picture"] == "https://example.com/x.png"
    with pytest.raises(ApiError) as refusal:
        sdk.users.update("google-oauth2|1", picture="https://example.com/x.png")
    assert refusal.value.body["errorCode"] == "operation_not_supported"


def test_a_foreign_host_header_is_turned_away(client):
    for host in ("evil.example", "127.0.0.1:1", ""):
        assert client.get("/avatars/ab.png", headers={"Host": host}).status_code == 421
    port = client.sandbox.domain.rpartition(":")[2]
    assert client.get("/avatars/ab.png", headers={"Host": f"localhost:{port}"}).status_code == 200


def test_every_answer_is_counted_by_the_kind_of_its_path(client):
    client.users()
    client.get("/api/v2/users/auth0%7C000001")
    counts = client.sandbox.requests.counts
    assert counts["GET", "/api/v2/users", 200] == 1
    assert counts["GET", "/api/v2/users/{id:rest}", 200] == 1
    assert client.sandbox.requests.total == 3
    assert client.sandbox.requests.limited == 0


def test_a_bug_of_the_sandbox_is_a_500_in_json_and_in_the_log(client, caplog):
    client.sandbox._store.page = None
    with caplog.at_level(logging.ERROR):
        answer = client.users()
        client.sandbox.stop()  # the answer comes before the log
    assert (answer.status_code, answer.json()["statusCode"]) == (500, 500)
    assert "TypeError" in caplog.text


def test_the_description_holds_all_that_a_client_needs(client):
    sandbox = client.sandbox
    described = json.loads(json.dumps(sandbox.describe()))
    assert sorted(described) == ["base_url", "client_id", "client_secret", "domain", "users"]
    assert described["base_url"] == f"http://{described['domain']}"
    assert described["users"] == 122
    assert sandbox.environment()["AUTH0_DOMAIN"] == sandbox.base_url


def test_nothing_is_left_behind_when_it_stops():
    before = threading.active_count()
    with Sandbox([]) as sandbox:
        host, _, port = sandbox.domain.partition(":")
    assert threading.active_count() == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)))
    with pytest.raises(RuntimeError, match="starts once"):
        sandbox.start()


def test_a_port_that_is_taken_is_an_error_of_the_system():
    with Sandbox([]) as first, pytest.raises(OSError, match="in use"):
        Sandbox([], port=int(first.domain.partition(":")[2])).start()


def test_users_that_cannot_be_read_keep_it_from_starting():
    with pytest.raises(ZeroDivisionError):
        Sandbox({"user_id": str(1 / 0)} for _ in range(1)).start()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serving_in_the_foreground_ends_with_a_signal(number):
    described = []

    def announce(description):
        described.append(description)
        os.kill(os.getpid(), number)

    sandbox = Sandbox([{"user_id": "a"}])
    before = signal.getsignal(number)
    sandbox.serve_forever(announce)
    assert described[0]["users"] == 1
    assert signal.getsignal(number) is before


def test_a_page_and_its_total_are_of_one_moment(serve, person, monkeypatch):
    client = serve(person(number) for number in range(3))
    read = Store.page
    leaving = []

    def page_and_somebody_leaves(store, *asked):
        found = read(store, *asked)
        leaving.append(threading.Thread(target=store.delete, args=("auth0|000001",)))
        leaving[-1].start()
        leaving[-1].join(0.05)  # they would be gone by now
        return found

    monkeypatch.setattr(Store, "page", page_and_somebody_leaves)
    answer = client.users(include_totals="true").json()
    leaving[0].join()
    assert (len(answer["users"]), answer["total"]) == (3, 3)
    assert client.sandbox.user_count == 2
