import hashlib

import pytest

DATABASE = "Username-Password-Authentication"
ONE = "/api/v2/users/auth0%7C000001"
SCOPES = "read:users update:users create:users delete:users"
NEW = {"connection": DATABASE, "email": "Ada.Example@example.com", "password": "x"}


@pytest.fixture
def client(serve, person, identity, hands):
    users = [
        person(1),
        person(2, user_id="google-oauth2|1", identities=identity("google-oauth2")),
        person(3, user_id="sms|1", identities=identity("sms")),
    ]
    return serve(users, clock=hands, scopes=SCOPES)


def _created(client, **changes):
    body = {name: value for name, value in {**NEW, **changes}.items() if value is not None}
    return client.post("/api/v2/users", json=body)


def _message(answer):
    assert answer.status_code == 400, answer.text
    return answer.json()["message"].removeprefix("Payload validation error: ")


def test_a_new_user_looks_as_auth0_makes_one(client):
    answer = _created(client, user_id="ada", verify_email=False, user_metadata={"a": 1})
    assert answer.status_code == 201
    digest = hashlib.md5(b"ada.example@example.com").hexdigest()
    now = "2027-01-15T08:00:00.250Z"
    assert answer.json() == {
        "user_id": "auth0|ada",
        "email": "ada.example@example.com",
        "email_verified": False,
        "name": "ada.example@example.com",
        "nickname": "ada.example",
        "picture": f"https://s.gravatar.com/avatar/{digest}?s=480&r=pg&d="
        "https%3A%2F%2Fcdn.auth0.com%2Favatars%2Fad.png",
        "identities": [
            {"connection": DATABASE, "user_id": "ada", "provider": "auth0", "isSocial": False}
        ],
        "created_at": now,
        "updated_at": now,
        "user_metadata": {"a": 1},
    }
    assert client.get("/api/v2/users/auth0%7Cada").json() == answer.json()
    assert client.ids('email:"ada.example@example.com"') == {"auth0|ada"}


def test_what_a_new_user_brings_is_kept_and_an_id_is_made(client):
    user = _created(
        client,
        name="Ada Example",
        username="ada",
        picture="https://example.com/a.png",
        email_verified=True,
        blocked=False,
        app_metadata={},
    ).json()
    kept = {"name": "Ada Example", "nickname": "Ada Example", "username": "ada"}
    kept |= {"picture": "https://example.com/a.png", "email_verified": True, "blocked": False}
    assert {name: user[name] for name in kept} == kept
    assert "app_metadata" not in user
    assert len(user["user_id"]) == len("auth0|") + 24


def test_without_an_email_address_the_picture_is_auth0s_letters(client):
    user = _created(client, email=None, username="grace").json()
    assert user["picture"] == "https://cdn.auth0.com/avatars/gr.png"
    phone = {"connection": "sms", "email": None, "password": None, "phone_number": "+15550100"}
    assert _created(client, **phone).json()["user_id"].startswith("sms|")


@pytest.mark.parametrize("changes", [{}, {"email": "other@example.com", "user_id": "ada"}])
def test_nobody_is_made_twice(client, changes):
    assert _created(client, user_id="ada").status_code == 201
    answer = _created(client, **changes)
    assert (answer.status_code, answer.json()) == (
        409,
        {
            "statusCode": 409,
            "error": "Conflict",
            "message": "The user already exists.",
            "errorCode": "auth0_idp_error",
        },
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"connection": None}, "'Missing required property: connection'."),
        ({"password": None}, "'Missing required property: password'."),
        ({"email": None}, "'Missing required property: email'."),
        ({"connection": "nowhere"}, "The connection does not exist."),
        (
            {"connection": "google-oauth2"},
            "Users cannot be created in the connection (google-oauth2).",
        ),
        (
            {"picture": "me.png"},
            "'Object didn't pass validation for format strict-uri: me.png' on property picture",
        ),
        ({"user_id": "a b"}, "'String does not match pattern ^\\S*$: a b' on property user_id "),
    ],
)
def test_a_user_who_cannot_be_made_is_refused(client, changes, told):
    assert _message(_created(client, **changes)).startswith(told)
    assert client.sandbox.user_count == 3


def test_all_that_is_empty_is_told_at_once_the_last_first(client):
    empty = dict.fromkeys(
        ["phone_number", "given_name", "family_name", "name", "nickname", "picture", "username"], ""
    )
    assert _message(_created(client, **empty)) == (
        "'String is too short (0 chars), minimum 1' on property username (The user's username. "
        "Only valid if the connection requires a username). (also) Payload validation error: "
        "'Object didn't pass validation for format strict-uri: ' on property picture (A URI "
        "pointing to the user's picture). (also) Payload validation error: "
        "'String is too short (0 chars), minimum 1' on property nickname (The user's nickname). "
        "(also) Payload validation error: "
        "'String is too short (0 chars), minimum 1' on property name (The user's full name). "
        "(also) Payload validation error: 'String is too short (0 chars), minimum 1' on property "
        "family_name (The user's family name(s)). (also) Payload validation error: "
        "'String is too short (0 chars), minimum 1' on property given_name (The user's given "
        "name(s)). (also) Payload validation error: 'String does not match pattern "
        "^\\+[0-9]{1,15}$: ' on property phone_number (The user's phone number (following the "
        "E.164 recommendation))."
    )


def test_a_deleted_user_is_gone_and_nobody_is_missed(client):
    for _ in range(2):
        answer = client.delete(ONE)
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert client.get(ONE).status_code == 404
    assert client.sandbox.user_count == 2


def test_to_make_and_to_remove_users_needs_scopes(serve, person):
    client = serve([person(1)], scopes="read:users update:users")
    assert _created(client).json()["message"].endswith("expected any of: create:users")
    assert client.delete(ONE).json()["message"].endswith("expected any of: delete:users")
    assert client.sandbox.user_count == 1


@pytest.mark.parametrize(
    "how",
    [
        {"connection": DATABASE, "password": "new"},
        {"verify_email": False, "client_id": "x", "verify_phone_number": False},
    ],
)
def test_what_says_how_to_write_is_taken_and_not_kept(client, how):
    user = client.patch(ONE, json={**how, "nickname": "ada"}).json()
    assert user["nickname"] == "ada"
    assert not user.keys() & how.keys()
    changed = "2027-01-15T08:00:00.250Z" if "password" in how else None
    assert user.get("last_password_reset") == changed


def test_of_metadata_that_was_wiped_only_user_metadata_stays(client):
    client.patch(ONE, json={"user_metadata": {"a": 1}, "app_metadata": {"a": 1}})
    user = client.patch(ONE, json={"user_metadata": {}, "app_metadata": {}}).json()
    assert user["user_metadata"] == {}
    assert "app_metadata" not in user


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"name": "x" * 301}, "'String is too long (301 chars), maximum 300' on property name "),
        ({"given_name": "x" * 151}, "'String is too long (151 chars), maximum 150' on property "),
        ({"username": ""}, "'String is too short (0 chars), minimum 1' on property username "),
        ({"email": "nobody"}, "'Object didn't pass validation for format email: nobody' on "),
        ({"phone_number": "1"}, "'String does not match pattern ^\\+[0-9]{1,15}$: 1' on property "),
        ({"blocked": "yes"}, "'Expected type boolean but found type string' on property blocked."),
        (
            {"zoneinfo": "x", "user_id": "y"},
            "'Additional properties not allowed: zoneinfo,user_id (consider storing them in",
        ),
        ({}, "'Too few properties defined (0), minimum 1'."),
    ],
)
def test_a_change_that_auth0_does_not_take_is_refused(client, body, told):
    before = client.get(ONE).json()
    assert _message(client.patch(ONE, json=body)).startswith(told)
    assert client.get(ONE).json() == before


@pytest.mark.parametrize("metadata", [{"a.b": 1}, {"a": [{"$b": 1}]}, {"a": {"b": {"c.": None}}}])
@pytest.mark.parametrize("name", ["user_metadata", "app_metadata"])
def test_a_name_in_metadata_with_a_dot_or_a_dollar_is_refused(client, name, metadata):
    for answer in (client.patch(ONE, json={name: metadata}), _created(client, **{name: metadata})):
        assert "are not allowed, please remove all dotted fields" in _message(answer)
    assert client.patch(ONE, json={name: {"a": "b.c$"}}).is_success


def test_no_write_makes_a_user_larger_than_the_sandbox_holds(client):
    client.sandbox._store.largest = 10_240
    large = {"user_metadata": {"a": "x" * 10_240}}
    for answer in (client.patch(ONE, json=large), _created(client, **large)):
        assert _message(answer) == "'The user would be too large'."
    assert client.patch(ONE, json={"user_metadata": {"a": "x" * 9000}}).is_success
