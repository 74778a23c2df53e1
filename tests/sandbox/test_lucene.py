import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from toolkit.sandbox.directory.lucene import QueryError, condition
from toolkit.sandbox.directory.store import Order, Store

PEOPLE = [
    {
        "user_id": "auth0|a",
        "email": "Ann@Example.com",
        "name": "Ann Lee",
        "username": "Annie",
        "created_at": "2025-12-01T00:00:00.000Z",
        "logins_count": 3,
        "blocked": True,
        "phone_verified": True,
        "last_ip": "192.0.2.7",
        "user_metadata": {"colour": "red", "size": 5, "empty": {}, "nested": {"deep": "x:y"}},
        "identities": [
            {"connection": "db", "provider": "auth0", "user_id": "a"},
            {"connection": "google-oauth2", "provider": "google-oauth2", "user_id": 12},
        ],
    },
    {
        "user_id": "auth0|b",
        "email": "bob@example.org",
        "name": "Bob [x]",
        "username": "bobby",
        "created_at": "2025-12-31T23:59:59.999Z",
        "logins_count": 40,
        "blocked": False,
        "identities": [{"connection": "db", "provider": "auth0", "user_id": "b"}],
    },
    {"user_id": "auth0|c", "name": "Cid", "created_at": "2026-01-01T00:00:00.000Z"},
    {"user_id": "auth0|d", "name": 7, "created_at": None, "user_metadata": "not an object"},
]


@pytest.fixture(scope="module")
def store():
    store = Store(PEOPLE)
    yield store
    store.close()


def _found(store, text):
    bodies = store.page(condition(text), Order(), 100, 0)
    return "".join(sorted(json.loads(body)["user_id"][-1] for body in bodies))


@pytest.mark.parametrize(
    ("text", "sql", "parameters"),
    [
        ("name:b", "name = ?", ("b",)),
        ('name:"b \\" c*"', "name = ?", ('b " c*',)),
        ("name:b\\:c\\*", "name = ?", ("b:c*",)),
        ("name:auth0|5", "name = ?", ("auth0|5",)),
        ("name:b*", "name GLOB ?", ("b*",)),
        ("name:\\*b*", "name GLOB ?", ("[*]b*",)),
        ("name:*", "name IS NOT NULL", ()),
        ("_exists_:email.domain", "email_domain IS NOT NULL", ()),
        ("logins_count:[1 TO 2}", "(logins_count >= ? AND logins_count < ?)", (1, 2)),
        ("created_at:{* TO 2026-08-17T20:25:34.048Z]", "created_at <= ?", (1786998334048,)),
        ('name:["x y" TO *]', "name >= ?", ("x y",)),
        (
            "name:1 AND email:2 OR username:3",
            "((name = ? AND email = ?) OR username = ?)",
            ("1", "2", "3"),
        ),
        (
            "name:1 && (email:2 || username:3)",
            "(name = ? AND (email = ? OR username = ?))",
            ("1", "2", "3"),
        ),
        ("name:1 email:2", "(name = ? OR email = ?)", ("1", "2")),
        ("name:1 -email:2", "(name = ? AND (email = ?) IS NOT TRUE)", ("1", "2")),
        ("NOT name:1", "(name = ?) IS NOT TRUE", ("1",)),
        ('name:(1 OR "2" email:3)', "(name = ? OR name = ? OR email = ?)", ("1", "2", "3")),
    ],
)
def test_a_query_is_understood(text, sql, parameters):
    found = condition(text)
    assert (found.sql, found.parameters) == (sql, parameters)


@pytest.mark.parametrize(
    ("text", "users"),
    [
        ("", "abcd"),
        ("user_id:auth0|a", "a"),
        ('email:"ann@example.COM"', "a"),
        ("email.domain:example.org", "b"),
        ('name:"ann lee"', "a"),
        ("name:b*", "b"),
        ("name:*\\[x\\]", "b"),
        ("username:annie", ""),
        ("username:Annie", "a"),
        ("blocked:true", "a"),
        ("phone_verified:true", "a"),
        ('last_ip:"192.0.2.7"', "a"),
        ("NOT blocked:true", "bcd"),
        ("logins_count:[3 TO 39]", "a"),
        ("logins_count:{3 TO *}", "b"),
        ("_exists_:logins_count", "ab"),
        ("NOT _exists_:logins_count", "cd"),
        ("_exists_:created_at", "abc"),
        ("created_at:[2025-12-01 TO 2025-12-31]", "ab"),
        ("created_at:[2025-12-01 TO 2025-12-31}", "a"),
        ("created_at:{2025-12-01 TO *]", "bc"),
        ("created_at:{2025-12-01T00:00:00.000Z TO 2025-12-31T23:59:59.999Z]", "b"),
        ("created_at:2025-12", "ab"),
        ("created_at:[2026-01-01T01:00:00+01:00 TO *]", "c"),
        ("name:[b TO c]", "b"),
        ('identities.connection:"google-oauth2"', "a"),
        ("identities.user_id:12", "a"),
        ("identities.provider:google*", "a"),
        ("user_metadata.colour:red", "a"),
        ("user_metadata.colour:RED", ""),
        ("user_metadata.size:5", "a"),
        ('user_metadata.nested.deep:"x:y"', "a"),
        ("_exists_:user_metadata.nested", "a"),
        ("user_metadata.colour:*", "a"),
        ("_exists_:user_metadata.empty", ""),
        ("NOT _exists_:user_metadata.colour", "bcd"),
        ("user_id:auth0|a user_id:auth0|b", "ab"),
        ("identities.connection:db -blocked:true", "b"),
    ],
)
def test_a_query_finds_who_it_should(store, text, users):
    assert _found(store, text) == users


@pytest.mark.parametrize(
    "text",
    [
        "picture:x",
        "_exists_:picture",
        "nobody:x",
        "john",
        '"john"',
        "a:b^2",
        "a:b~",
        "+name:b",
        "name:b?b",
        "name:*ab",
        "name:a*b*c*d",
        "user_id:auth0*",
        "user_id:[a TO b]",
        "user_metadata.colour:[a TO b]",
        "user_metadata.colour:r*",
        "blocked:maybe",
        "logins_count:many",
        "logins_count:" + "9" * 50,
        "created_at:[yesterday TO *]",
        "created_at:2025-02-30",
        "created_at:[2025 2026]",
        "created_at:[2025 TO 2026",
        "(name:a",
        "name:a)",
        "name:",
        ":a",
        "name:a AND",
        "OR",
        "name:AND",
        'name:"a',
        "name:a\\",
        "(" * 1000,
        "NOT " * 1000 + "name:a",
        "name:a " * 1000,
        "name:" + "a" * 9000,
    ],
)
def test_a_query_that_auth0_would_not_take_is_refused(text):
    with pytest.raises(QueryError):
        condition(text)


def test_a_query_with_as_many_clauses_as_allowed_still_runs(store):
    assert _found(store, " OR ".join(["name:cid"] * 200)) == "c"
    assert _found(store, "(" * 40 + "name:cid" + ")" * 40) == "c"


_PIECES = [
    "name:",
    "created_at:",
    "user_metadata.x:",
    "_exists_:",
    "[",
    "]",
    "{",
    "}",
    "(",
    ")",
    " TO ",
]
_PIECES += [
    " AND ",
    " OR ",
    " NOT ",
    "-",
    "*",
    "?",
    '"',
    "\\",
    "2025-12-01",
    "abc",
    " ",
    "||",
    "&&",
    "\0",
]


@settings(max_examples=500)
@given(st.one_of(st.text(), st.lists(st.sampled_from(_PIECES)).map("".join)))
@example("created_at:0000-01-01")
@example("created_at:[9999-12 TO 9999]")
@example("name:\ud800*")
def test_no_query_raises_anything_but_a_query_error(store, text):
    try:
        wanted = condition(text)
    except QueryError:
        return
    store.page(wanted, Order("created_at"), 100, 0)
    store.total(wanted, 1000)
