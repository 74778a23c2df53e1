"""What a request asks for in its query: numbers, flags and fields, checked as Auth0 does."""

import re
from collections.abc import Callable
from typing import Any

from starlette.datastructures import QueryParams

from toolkit.sandbox.problem import bad_query

MOST_PER_PAGE = 100

_WHOLE_NUMBER = re.compile(r"-?\d{1,15}", re.ASCII)
_ABOUT = {
    "page": "Page index of the results to return. First page is 0.",
    "per_page": "Number of results per page.",
    "take": "Number of results per page. Defaults to 50.",
}


def number(asked: QueryParams, name: str, default: int, most: int | None) -> int:
    """Return a whole number from 0 to `most`.

    Raises:
        Problem: If it is anything else.
    """
    text = asked.get(name, str(default))
    where = f"on property {name} ({_ABOUT[name]})."
    if not _WHOLE_NUMBER.fullmatch(text):
        raise bad_query(f"'Expected type integer but found type string' {where}")
    found = int(text)
    if found < 0:
        raise bad_query(f"'Value {found} is less than minimum 0' {where}")
    if most is not None and found > most:
        raise bad_query(f"'Value {found} is greater than maximum {most}' {where}")
    return found


def flag(asked: QueryParams, name: str, *, default: bool) -> bool:
    """Return a boolean.

    Raises:
        Problem: If it is anything else.
    """
    text = asked.get(name, "true" if default else "false")
    if text not in {"true", "false"}:
        raise bad_query(f"'Expected type boolean but found type string' on property {name}.")
    return text == "true"


def projection(asked: QueryParams) -> Callable[[dict[str, Any]], dict[str, Any]] | None:
    """Return what leaves the asked fields of a document, or None where all are asked for."""
    if not asked.get("fields"):
        return None
    names = {name.strip() for name in asked["fields"].split(",")}
    if flag(asked, "include_fields", default=True):
        return lambda document: {key: document[key] for key in document if key in names}
    return lambda document: {key: document[key] for key in document if key not in names}
