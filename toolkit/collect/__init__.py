"""Every user of a tenant, provably."""

from toolkit.collect.collection import collect, collecting

__all__ = ["collect", "collecting"]
