"""Every user of a tenant, provably.

What stands here is imported when it is first used: reading export files needs no tenant.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toolkit.collect.collection import METHODS, collect, collecting, unfinished

__all__ = ["METHODS", "collect", "collecting", "unfinished"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever bears that name
    """Import a public name when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module 'toolkit.collect' has no attribute {name!r}")
    value = getattr(import_module("toolkit.collect.collection"), name)
    globals()[name] = value
    return value
