import jwt
import pytest


@pytest.fixture
def client(serve, person, hands):
    return serve([person(1)], clock=hands, token_lifetime=600)


def test_a_token_says_who_may_do_what_for_how_long(client, hands):
    answer = client.token().json()
    claims = jwt.decode(answer["access_token"], options={"verify_signature": False})
    sandbox = client.sandbox
    assert answer["token_type"] == "Bearer"
    assert answer["expires_in"] == 600
    assert "read:users" in answer["scope"].split()
    assert claims["iss"] == f"{sandbox.base_url}/"
    assert claims["aud"] == f"{sandbox.base_url}/api/v2/"
    assert claims["sub"] == f"{sandbox.client_id}@clients"
    assert claims["exp"] - claims["iat"] == 600
    assert claims["gty"] == "client-credentials"


def test_the_credentials_can_come_as_a_form(client):
    sandbox = client.sandbox
    form = {
        "grant_type": "client_credentials",
        "client_id": sandbox.client_id,
        "client_secret": sandbox.client_secret,
        "audience": f"https://{sandbox.domain}/api/v2/",
    }
    token = client.post("/oauth/token", data=form).json()["access_token"]
    assert client.get("/api/v2/users", headers={"Authorization": f"Bearer {token}"}).is_success


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"client_secret": "wrong"}, 401, "access_denied"),
        ({"client_id": "wrong"}, 401, "access_denied"),
        ({"client_id": "\ud800"}, 401, "access_denied"),
        ({"audience": "https://elsewhere/api/v2/"}, 403, "access_denied"),
        ({"grant_type": "refresh_token"}, 403, "unauthorized_client"),
        ({"grant_type": "magic"}, 403, "unsupported_grant_type"),
        ({"grant_type": None}, 400, "invalid_request"),
        ({"client_secret": None}, 400, "invalid_request"),
        ({"audience": 5}, 400, "invalid_request"),
    ],
)
def test_credentials_that_are_not_good_are_refused(client, changes, status, error):
    answer = client.token(**changes)
    assert (answer.status_code, answer.json()["error"]) == (status, error)


def test_no_password_is_right_because_nobody_has_one(client):
    asked = {"grant_type": "password", "username": "person1@example.com", "password": "x"}
    answer = client.token(**asked)
    assert (answer.status_code, answer.json()) == (
        403,
        {"error": "invalid_grant", "error_description": "Wrong email or password."},
    )
    answer = client.token(**asked, audience="https://elsewhere/")
    assert (answer.status_code, answer.json()) == (
        400,
        {
            "error": "invalid_request",
            "error_description": "invalid audience specified for password grant exchange",
        },
    )


@pytest.mark.parametrize("changes", [{}, {"client_secret": "wrong"}])
def test_an_answer_about_a_token_tells_its_limit_and_no_character_set(client, changes):
    answer = client.token(**changes)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-ratelimit-limit"] == "100"
    assert int(answer.headers["x-ratelimit-remaining"]) < 100
    assert int(answer.headers["x-ratelimit-reset"]) > 1_800_000_000


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 99_999])
def test_a_body_that_is_no_request_is_refused(client, body):
    headers = {"Content-Type": "application/json"}
    assert client.post("/oauth/token", content=body, headers=headers).status_code == 400


def test_the_audience_that_does_not_exist_is_named(client):
    answer = client.token(audience="https://x/").json()
    assert answer["error_description"] == "Service not found: https://x/"


@pytest.mark.parametrize(
    ("header", "message"),
    [("", "Missing authentication"), ("Bearer nonsense", "Invalid token")],
)
def test_without_a_good_token_nothing_is_told(client, header, message):
    answer = client.get("/api/v2/users", headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.json()["message"] == message
    assert answer.json()["error"] == "Unauthorized"


def test_a_token_of_somebody_else_is_refused(client):
    token = client.headers["Authorization"].removeprefix("Bearer ")
    claims = jwt.decode(token, options={"verify_signature": False})
    for key, algorithm in (("k" * 32, "HS256"), (None, "none")):
        forged = jwt.encode(claims, key, algorithm)
        answer = client.get("/api/v2/users", headers={"Authorization": f"Bearer {forged}"})
        assert answer.json()["attributes"] == {"error": "Invalid token"}


def test_a_token_expires(client, hands):
    hands.now += 599
    assert client.users().is_success
    hands.now += 1
    answer = client.users()
    assert answer.status_code == 401
    assert answer.json()["message"] == "Expired token received for JSON Web Token validation"


def test_a_token_with_a_narrower_scope_may_do_less(client):
    token = client.token(scope="read:connections nothing:else").json()
    assert token["scope"] == "read:connections"
    client.headers["Authorization"] = f"Bearer {token['access_token']}"
    answer = client.users()
    assert answer.status_code == 403
    assert answer.json() == {
        "statusCode": 403,
        "error": "Forbidden",
        "message": "Insufficient scope, expected any of: read:users",
        "errorCode": "insufficient_scope",
    }
    patch = client.patch("/api/v2/users/auth0%7C000001", json={"name": "x"})
    assert "update:users" in patch.json()["message"]
    assert client.get("/api/v2/connections").is_success
