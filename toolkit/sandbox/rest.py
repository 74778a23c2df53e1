"""The rest of a path, as a parameter of a route: whatever was sent, line breaks too.

Starlette's own `path` parameter takes no line break, so that nobody whose id has one would be
found.
"""

from typing import Final

from starlette.convertors import PathConvertor, register_url_convertor

REST: Final = "rest"
"""What a route calls it: `{name:rest}`."""


class _Rest(PathConvertor):
    regex = r"[\s\S]*"


register_url_convertor(REST, _Rest())
