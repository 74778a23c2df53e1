"""One page of what the Actions API lists.

Facts: recordings of the API: 20 a page unless told, 100 at most (SDKs ask for 50 and 100);
`page` is left out for the first page, and `total` where the page is empty.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from starlette.datastructures import QueryParams
from starlette.responses import Response

from toolkit.sandbox.asked import MOST_PER_PAGE, number
from toolkit.sandbox.problem import json_response

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
