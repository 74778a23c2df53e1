"""A test that holds a sandbox changes its users itself, past every rule of the API."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from toolkit.sandbox.server import Sandbox


def test_a_change_is_seen_everywhere_and_moves_updated_at(serve, person, hands):
    client = serve([person(1)], clock=hands)
    user = client.sandbox.change("auth0|000001", {"picture": 7, "user_metadata": {"a": "b"}})
    assert user == {
        **person(1),
        "picture": 7,
        "user_metadata": {"a": "b"},
        "updated_at": "2027-01-15T08:00:00.250Z",
    }
    assert client.get("/api/v2/users/auth0%7C000001").json() == user
    assert client.ids("user_metadata.a:b AND updated_at:2027-01-15") == {"auth0|000001"}
    assert client.sandbox.change("auth0|000001", {"updated_at": None})["updated_at"] is None


def test_users_come_and_go(serve, person):
    client = serve([person(1), person(2)])
    sandbox = client.sandbox
    sandbox.delete("auth0|000001")
    sandbox.create(person(3, user_metadata={"a": "b"}, identities=[]))
    assert client.ids("") == {"auth0|000002", "auth0|000003"}
    assert client.ids("identities.user_id:000001") == set()
    assert client.ids("user_metadata.a:b") == {"auth0|000003"}
    assert sandbox.user_count == 2
    assert [user["email"] for user in sandbox.users()] == [
        "person2@example.com",
        "person3@example.com",
    ]


def test_somebody_new_can_bring_a_new_connection(serve, person, identity):
    client = serve([person(1)])
    client.sandbox.create(person(2, identities=identity("github")))
    names = [item["name"] for item in client.get("/api/v2/connections").json()]
    assert names == ["Username-Password-Authentication", "github"]


def test_what_cannot_be_done_is_refused(person):
    with Sandbox([person(1)]) as sandbox:
        with pytest.raises(KeyError):
            sandbox.change("nobody", {})
        with pytest.raises(KeyError):
            sandbox.delete("nobody")
        with pytest.raises(ValueError, match="already"):
            sandbox.create(person(1))
        with pytest.raises(ValueError, match="needs a user_id"):
            sandbox.create({"name": "nobody"})
    with pytest.raises(RuntimeError, match="does not run"):
        sandbox.delete("auth0|000001")


def test_threads_can_change_users_while_others_read(serve, person):
    client = serve([person(number) for number in range(200)])
    with ThreadPoolExecutor(8) as pool:
        pool.map(lambda number: client.sandbox.create(person(number)), range(1000, 1100))
        pool.map(lambda number: client.sandbox.delete(f"auth0|{number:06}"), range(100))
        answers = list(pool.map(lambda _: client.users().status_code, range(50)))
    assert set(answers) == {200}
    assert client.sandbox.user_count == len(list(client.sandbox.users())) == 200
