import pytest

from toolkit.sandbox.api.gate import PARAMETERS
from toolkit.sandbox.problem import Problem
from toolkit.sandbox.validation import Schema, some_of

TEXT = {"type": "string", "minLength": 1, "maxLength": 3, "description": "Its name."}
GROUP = {"type": "object", "properties": {"email": {"type": "string", "format": "email"}}}
SCHEMA = Schema(
    {
        "name": TEXT,
        "picture": {"type": ["string", "null"], "format": "strict-uri"},
        "phone": {"type": "string", "pattern": "^\\+[0-9]{1,15}$"},
        "kind": {"enum": ["csv", "json"]},
        "count": {"type": "integer", "minimum": 1, "maximum": 5},
        "groups": {"type": "array", "minItems": 1, "maxItems": 2, "items": GROUP},
        "is_on": {"type": "boolean"},
    },
    hint=" (elsewhere)",
)


def _refusal(body, schema=SCHEMA):
    with pytest.raises(Problem) as caught:
        schema.check(body)
    assert (caught.value.status, caught.value.code) == (400, "invalid_body")
    return caught.value.message.removeprefix("Payload validation error: ")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"name": ""}, "'String is too short (0 chars), minimum 1' on property name (Its name)."),
        (
            {"name": "four"},
            "'String is too long (4 chars), maximum 3' on property name (Its name).",
        ),
        (
            {"name": 1.5},
            "'Expected type string but found type number' on property name (Its name).",
        ),
        (
            {"picture": "x y"},
            "'Object didn't pass validation for format strict-uri: x y' on property picture.",
        ),
        (
            {"picture": True},
            '\'Expected type ["string","null"] but found type boolean\' on property picture.',
        ),
        (
            {"phone": "1"},
            "'String does not match pattern ^\\+[0-9]{1,15}$: 1' on property phone.",
        ),
        ({"kind": "xml"}, "'No enum match for: xml' on property kind."),
        ({"count": 0}, "'Value 0 is less than minimum 1' on property count."),
        ({"count": 6}, "'Value 6 is greater than maximum 5' on property count."),
        ({"groups": []}, "'Array is too short (0), minimum 1' on property groups."),
        ({"groups": [{}] * 3}, "'Array is too long (3), maximum 2' on property groups."),
        (
            {"groups": [{"email": "nobody"}]},
            "'Object didn't pass validation for format email: nobody' on property groups[0].email.",
        ),
        ({"is_on": None}, "'Expected type boolean but found type null' on property is_on."),
        ({"b": 1, "a": 2}, "'Additional properties not allowed: b,a (elsewhere)'."),
    ],
)
def test_what_a_body_has_wrong_is_told_in_auth0s_words(body, told):
    assert _refusal(body) == told


def test_what_must_be_there_is_named():
    schema = Schema({"name": {}}, required=["name"])
    assert _refusal({}, schema) == "'Missing required property: name'."
    assert _refusal({}, Schema({}, least=1)) == "'Too few properties defined (0), minimum 1'."


def test_everything_wrong_is_told_at_once_the_last_property_first():
    assert _refusal({"name": "", "kind": "xml", "x": 1}) == (
        "'Additional properties not allowed: x (elsewhere)'. (also) Payload validation error: "
        "'No enum match for: xml' on property kind. (also) Payload validation error: "
        "'String is too short (0 chars), minimum 1' on property name (Its name)."
    )


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        ([("per_page", "1000")], "'Value 1000 is greater than maximum 100' on property per_page "),
        ([("page", "x")], "'Expected type integer but found type string' on property page "),
        ([("page", "")], "'Expected type integer but found type string' on property page "),
        ([("page", "9" * 99)], "'Expected type integer but found type string' on property page "),
        ([("include_totals", "1")], "'Expected type boolean but found type string' on property"),
        ([("other", "1")], "'Additional properties not allowed: other'."),
        (
            [("fields", "name,users")],
            "'String 'name,users' does not match pattern. Must be a comma separated list",
        ),
        ([("fields", "name\n")], "'String 'name\n' does not match pattern."),
    ],
)
def test_what_a_query_has_wrong_is_told_in_auth0s_words(pairs, told):
    schema = Schema(PARAMETERS | {"fields": some_of("name,email", "Which.")})
    with pytest.raises(Problem) as caught:
        schema.check_query(pairs)
    assert (caught.value.status, caught.value.code) == (400, "invalid_query_string")
    assert caught.value.message.startswith(f"Query validation error: {told}")


@pytest.mark.parametrize(
    "pairs",
    [
        [],
        [("page", "0"), ("per_page", "100"), ("include_totals", "true")],
        [("fields", "")],
        [("fields", "email,name")],
        [("strategy", "a"), ("strategy", "b")],
    ],
)
def test_a_query_that_is_as_it_should_be_passes(pairs):
    listed = {"type": "array", "items": {"enum": ["a", "b"]}}
    Schema(PARAMETERS | {"fields": some_of("name,email", ""), "strategy": listed}).check_query(
        pairs
    )


def test_the_values_that_a_list_may_have_are_told():
    with pytest.raises(Problem, match="of the following values: name,email' on property fields"):
        Schema({"fields": some_of("name,email", "")}).check_query([("fields", "users")])
