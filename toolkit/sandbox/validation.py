"""Bodies and query parameters held to a JSON schema, and refused in Auth0's words.

Auth0 validates with z-schema, whose texts these are. Besides the keywords in `_TEXTS` a property
has a `description`, which Auth0 repeats.

The few keywords that occur are checked here. `jsonschema` knows all, but where Jupyter is installed
importing it takes two seconds (4.26, tried): it builds a parser that nothing here needs.

Facts: errors in recordings of the API and in public issues ("Value 1000 is greater than maximum
100", node-auth0#648; "Must be a comma separated list of the following values", `APIException` of
auth0-java; several errors in one message, the body's last property first: a body of seven empty
texts in public code); Auth0's API description (lengths, formats, patterns).
INFERRED: the text for another type where null is allowed, and what is an e-mail address.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from toolkit.sandbox.problem import Problem, bad_body, bad_query, on_property
from toolkit.tenant.models import takes_picture

Rules = Mapping[str, Any]
"""What holds for one property: keywords of JSON Schema."""

Refuse = Callable[..., Problem]
"""Makes the refusal from what is wrong, one text for each error."""

_TEXTS = {
    "type": "Expected type {wanted} but found type {found}",
    "enum": "No enum match for: {value}",
    "minLength": "String is too short ({length} chars), minimum {limit}",
    "maxLength": "String is too long ({length} chars), maximum {limit}",
    "pattern": "String does not match pattern {limit}: {value}",
    "format": "Object didn't pass validation for format {limit}: {value}",
    "minimum": "Value {value} is less than minimum {limit}",
    "maximum": "Value {value} is greater than maximum {limit}",
    "minItems": "Array is too short ({length}), minimum {limit}",
    "maxItems": "Array is too long ({length}), maximum {limit}",
    "minProperties": "Too few properties defined ({length}), minimum {limit}",
    "required": "Missing required property: {missing}",
    "additionalProperties": "Additional properties not allowed: {unknown}{hint}",
}
_ONE_OF_THESE = (
    "String '{value}' does not match pattern. Must be a comma separated list of the following "
    "values: {values}"
)
_TYPES = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer"}
_TYPES |= {float: "number", type(None): "null"}

_ADDRESS = re.compile(r"[^\s@]+@[^\s@.]+(?:\.[^\s@.]+)+")
_FORMATS: Mapping[str, Callable[[str], object]] = {
    "strict-uri": takes_picture,
    "email": _ADDRESS.fullmatch,
}
_KINDS = {name: kind for kind, name in _TYPES.items()}
_NUMBERS = (int, float)
# Keywords that say something about a value alone: of which types, and whether it fits.
_FITS: Mapping[str, tuple[type | tuple[type, ...], Callable[[Any, Any], object]]] = {
    "type": (object, lambda value, kinds: any(_is_of(value, kind) for kind in _listed(kinds))),
    "enum": (object, lambda value, known: value in known),
    "minLength": (str, lambda value, least: len(value) >= least),
    "maxLength": (str, lambda value, most: len(value) <= most),
    "pattern": (str, lambda value, pattern: re.search(pattern, value)),
    "format": (str, lambda value, name: _FORMATS[name](value)),
    "minimum": (_NUMBERS, lambda value, least: isinstance(value, bool) or value >= least),
    "maximum": (_NUMBERS, lambda value, most: isinstance(value, bool) or value <= most),
    "minItems": (list, lambda value, least: len(value) >= least),
    "maxItems": (list, lambda value, most: len(value) <= most),
    "minProperties": (dict, lambda value, least: len(value) >= least),
}

_WHOLE_NUMBER = re.compile(r"-?\d{1,15}", re.ASCII)
_WORDS = {"true": True, "false": False}


def some_of(values: str, about: str) -> Rules:
    """Return the rules of a comma-separated list of some of these values."""
    one = "|".join(f"({value})" for value in values.split(","))
    pattern = rf"\A({one})(,({one}))*\Z"
    return {"type": "string", "pattern": pattern, "x-values": values, "description": about}


class Schema:
    """An object that has these properties and no others.

    `required` are the names of those that cannot be left out, `least` how many there must be at
    all; `hint` follows the names of unknown properties.
    """

    def __init__(
        self,
        properties: Mapping[str, Rules],
        *,
        required: Iterable[str] = (),
        least: int = 0,
        hint: str = "",
    ) -> None:
        self.properties = properties
        schema = {
            "type": "object",
            "properties": properties,
            "additionalProperties": False,
            "required": [*required],
            "minProperties": least,
            "x-hint": hint,
        }
        self._rules = schema

    def check(self, body: Mapping[str, Any], refuse: Refuse = bad_body) -> None:
        """Raise what `refuse` makes of all that is wrong with a body."""
        # What is wrong with the whole comes first, then the properties from the last one on.
        places = {name: -place for place, name in enumerate(body)}
        errors = sorted(
            _errors(body, self._rules),
            key=lambda error: places.get(str([*error.path, ""][0]), -len(places)),
        )
        if errors:
            raise refuse(*map(_told, errors))

    def check_query(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Raise the refusal of query parameters, all of which are texts.

        One that is a number or a boolean is read as such, one that is an array can be there
        several times, and an empty text is as if it were not there.
        """
        found: dict[str, Any] = {}
        for name, text in pairs:
            rules = self.properties.get(name, {})
            if rules.get("type") == "array":
                found.setdefault(name, []).append(text)
            elif text or rules.get("type") != "string":
                found[name] = read(text, rules)
        self.check(found, bad_query)


def read(text: str, rules: Rules) -> object:
    """Return the value of a query parameter; the text itself where it is of another type."""
    if rules.get("type") == "integer" and _WHOLE_NUMBER.fullmatch(text):
        return int(text)
    return _WORDS.get(text, text) if rules.get("type") == "boolean" else text


class _Error(NamedTuple):
    """What is wrong: a keyword of the rules for a value, the value, and the steps to it."""

    keyword: str
    rules: Rules
    value: Any
    path: tuple[str | int, ...]
    missing: str = ""


def _errors(value: object, rules: Rules, path: tuple[str | int, ...] = ()) -> Iterator[_Error]:
    """Yield all that is wrong with a value and what is inside it, in the order of the rules."""
    for keyword in rules:
        for step, inner, about in _inside(keyword, value, rules):
            yield from _errors(inner, about, (*path, step))
        for missing in _breaches(keyword, value, rules):
            yield _Error(keyword, rules, value, path, missing)


def _inside(keyword: str, value: object, rules: Rules) -> Iterator[tuple[str | int, object, Rules]]:
    """Yield what a keyword gives rules for inside a value: the step to it, it, and its rules."""
    if keyword == "properties" and isinstance(value, dict):
        known = rules[keyword]
        yield from ((name, value[name], known[name]) for name in known if name in value)
    if keyword == "items" and isinstance(value, list):
        yield from ((place, item, rules[keyword]) for place, item in enumerate(value))


def _breaches(keyword: str, value: object, rules: Rules) -> Iterator[str]:
    """Yield "" if a value breaks a rule, or the name of each property that it lacks."""
    if keyword in _FITS:
        kind, fits = _FITS[keyword]
        if isinstance(value, kind) and not fits(value, rules[keyword]):
            yield ""
    elif isinstance(value, dict):
        if keyword == "required":
            yield from (name for name in rules[keyword] if name not in value)
        if keyword == "additionalProperties" and value.keys() - rules["properties"].keys():
            yield ""


def _listed(kinds: str | list[str]) -> list[str]:
    return [kinds] if isinstance(kinds, str) else kinds


def _is_of(value: object, kind: str) -> bool:
    """Whether a value is of a type of JSON, in which 1.0 is an integer and true is no number."""
    if kind == "integer":
        return type(value) is int or (type(value) is float and value.is_integer())
    return isinstance(value, _KINDS[kind])


def _told(error: _Error) -> str:
    """Return one error in Auth0's words."""
    rules, value, limit = error.rules, error.value, error.rules[error.keyword]
    sized = value if isinstance(value, str | list | dict) else ""
    known = rules.get("properties", {})
    text = _TEXTS[error.keyword]
    if error.keyword == "pattern" and "x-values" in rules:
        text = _ONE_OF_THESE
    text = text.format(
        value=value,
        limit=limit,
        length=len(sized),
        found=_TYPES[type(value)],
        wanted=limit if isinstance(limit, str) else json.dumps(limit, separators=(",", ":")),
        missing=error.missing,
        unknown=",".join(str(name) for name in sized if str(name) not in known),
        hint=rules.get("x-hint", ""),
        values=rules.get("x-values", ""),
    )
    steps = [f"[{one}]" if isinstance(one, int) else f".{one}" for one in error.path]
    return on_property(text, "".join(steps).removeprefix("."), rules.get("description", ""))
