"""Every user of a tenant, provably."""

from toolkit.collect.collection import METHODS, collect, collecting, unfinished

__all__ = ["METHODS", "collect", "collecting", "unfinished"]
