import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from toolkit.sandbox.directory.lucene import (
    And,
    Exists,
    Not,
    Or,
    QueryError,
    Range,
    Term,
    Wildcard,
    parse,
)
from toolkit.sandbox.directory.sql_condition import condition
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
    ("text", "tree"),
    [
        ("a:b", Term("a", "b")),
        ('a:"b \\" c*"', Term("a", 'b " c*')),
        ("a:b\\:c\\*", Term("a", "b:c*")),
        ("a:auth0|5", Term("a", "auth0|5")),
        ("a:b*", Wildcard("a", ("b", ""))),
        ("a:*", Exists("a")),
        ("_exists_:a.b", Exists("a.b")),
        ("a:[1 TO 2}", Range("a", "1", "2", with_low=True, with_high=False)),
        (
            "a:{* TO 2026-08-17T20:25:34.048Z]",
            Range("a", None, "2026-08-17T20:25:34.048Z", False, True),
        ),
        ('a:["x y" TO *]', Range("a", "x y", None, with_low=True, with_high=True)),
        ("a:1 AND b:2 OR c:3", Or((And((Term("a", "1"), Term("b", "2"))), Term("c", "3")))),
        ("a:1 && (b:2 || c:3)", And((Term("a", "1"), Or((Term("b", "2"), Term("c", "3")))))),
        ("a:1 b:2", Or((Term("a", "1"), Term("b", "2")))),
        ("a:1 -b:2", And((Term("a", "1"), Not(Term("b", "2"))))),
        ("NOT a:1", Not(Term("a", "1"))),
        ('a:(1 OR "2" b:3)', Or((Term("a", "1"), Term("a", "2"), Term("b", "3")))),
    ],
)
def test_a_query_is_understood(text, tree):
    assert parse(text) == tree


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
