"""What a request asks for in its path and query, and one page of what it lists.

One page of what the Actions API lists.

Facts: recordings of the API: 20 a page unless told, 100 at most (SDKs ask for 50 and 100);
`page` is left out for the first page, and `total` where the page is empty.

The rest of a path, as a parameter of a route: whatever was sent, line breaks too.

Starlette's own `path` parameter takes no line break, so that nobody whose id has one would be
found.
"""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from starlette.convertors import PathConvertor, register_url_convertor
from starlette.datastructures import QueryParams
from starlette.responses import Response

from toolkit.sandbox.problem import bad_query, json_response

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


_DEFAULT_PER_PAGE = 20
_T = TypeVar("_T")


def listing(
    name: str, items: Sequence[_T], show: Callable[[_T], dict[str, Any]], asked: QueryParams
) -> Response:
    """Answer with the page that is asked for; only what is on it is shown."""
    page = number(asked, "page", 0, None)
    per_page = number(asked, "per_page", _DEFAULT_PER_PAGE, MOST_PER_PAGE)
    shown = [show(item) for item in items[page * per_page : (page + 1) * per_page]]
    answer: dict[str, Any] = {name: shown}
    if shown:
        answer["total"] = len(items)
    if page:
        answer["page"] = page
    return json_response(json.dumps({**answer, "per_page": per_page}))


REST: Final = "rest"
"""What a route calls it: `{name:rest}`."""


class _Rest(PathConvertor):
    regex = r"[\s\S]*"


register_url_convertor(REST, _Rest())
