import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from toolkit.sandbox.directory.lucene import ALL, condition
from toolkit.sandbox.directory.store import Order, Store

ODD = [
    {"user_id": "x|null", "created_at": None, "picture": None},
    {"user_id": "x|future", "created_at": "2999-01-01T00:00:00.000Z", "picture": 7},
    {"user_id": "x|types", "email": 5, "name": [], "identities": "none", "picture": {"a": 1}},
    {"user_id": "x|identities", "identities": [None, 3, {"connection": 4, "provider": {}}]},
    {
        "user_id": "x|\ud800",
        "name": "\ud800",
        "email": "\udfff@x",
        "user_metadata": {"\ud800": "\ud800"},
    },
    {"user_id": "x|picture", "picture": "http://[", "_gravatar": True},
    {"user_id": 12, "logins_count": 2**70},
    {"email": "nobody@example.com"},
    {"email": "nobody@example.com", "blocked": "yes", "app_metadata": [1, [2, {"a": None}]]},
    {},
]


@pytest.fixture
def load():
    stores = []

    def load(users):
        stores.append(Store(users))
        return stores[-1]

    yield load
    for store in stores:
        store.close()


def _all(store):
    return [json.loads(body) for body in store.page(ALL, Order(), 1000, 0)]


def test_any_json_is_kept_and_served_as_it_came(load):
    store = load(ODD)
    expected = [{key: user[key] for key in user if key != "_gravatar"} for user in ODD]
    assert _all(store) == expected
    assert store.count() == len(ODD)
    assert json.loads(store.user("x|\ud800")) == ODD[4]


def test_a_later_user_with_the_same_id_replaces_the_earlier_one(load):
    store = load([{"user_id": "a", "name": "old", "user_metadata": {"a": "old"}}, {"user_id": "a"}])
    assert _all(store) == [{"user_id": "a"}]
    assert store.total(condition("user_metadata.a:old"), 10) == 0


def test_users_are_read_as_a_stream(load):
    def users():
        yield {"user_id": "a"}
        yield {"user_id": "b"}

    assert load(users()).count() == 2


def test_the_gravatar_key_makes_every_hash_of_the_person_known(load):
    other = "0" * 31 + "f"
    picture = f"https://s.gravatar.com/avatar/{other}?s=480&r=pg"
    store = load([{"email": " AB@Example.com ", "picture": picture, "_gravatar": True}])
    address = b"ab@example.com"
    assert store.gravatar(hashlib.md5(address).hexdigest()) == "g"
    assert store.gravatar(hashlib.sha256(address).hexdigest()) == "g"
    assert store.gravatar(other) == "g"
    assert store.gravatar("0" * 32) is None


def test_without_the_key_nobody_has_a_gravatar(load):
    store = load([{"picture": "https://s.gravatar.com/avatar/" + "0" * 32}])
    assert store.gravatar("0" * 32) is None


def test_a_change_is_searchable_and_its_failure_leaves_all_as_it_was(load):
    store = load([{"user_id": "a", "name": "old", "user_metadata": {"a": "old"}}])
    store.change("a", lambda user: {**user, "name": "new", "user_metadata": {"a": "new"}})
    assert store.total(condition("name:new AND user_metadata.a:new"), 10) == 1
    assert store.total(condition("name:old OR user_metadata.a:old"), 10) == 0
    with pytest.raises(ZeroDivisionError):
        store.change("a", lambda user: 1 / 0)
    assert json.loads(store.user("a"))["name"] == "new"


def test_missing_values_sort_last_in_both_directions(load):
    store = load(
        [{"user_id": "none"}, {"user_id": "b", "name": "b"}, {"user_id": "a", "name": "a"}]
    )
    up = [json.loads(body)["user_id"] for body in store.page(ALL, Order("name"), 9, 0)]
    down = [json.loads(body)["user_id"] for body in store.page(ALL, Order("name", True), 9, 0)]
    assert (up, down) == (["a", "b", "none"], ["b", "a", "none"])


def test_threads_lose_no_change(load):
    store = load([{"user_id": "a", "logins_count": 0}])

    def login(_):
        store.change("a", lambda user: {**user, "logins_count": user["logins_count"] + 1})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(login, range(200)))
    assert store.total(condition("logins_count:200"), 10) == 1
