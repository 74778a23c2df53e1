"""Auth0's user search without HTTP: the sandbox's own index, and every request is counted.

Thousands of requests take a second here, so that tests can say how many a collection needs.
"""

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from random import Random
from typing import Any

from toolkit.errors import QueryError, SlowQueryError
from toolkit.sandbox.directory.lucene import LONGEST_QUERY, condition
from toolkit.sandbox.directory.stale_index import Index, Trouble
from toolkit.sandbox.directory.store import Order
from toolkit.sandbox.problem import Problem
from toolkit.tenant.models import PAGE, Page

REACHABLE = 1_000


class EndlessError(AssertionError):
    """More requests than any test allows."""


class Counting:
    """A tenant that answers searches as Auth0 does and counts.

    Args:
        users: Auth0 user objects.
        slow_over: searches that match more users time out, but for one block of an instant.
        shuffled: whether users of one instant come in another order on each page.
        most: requests after which a test gives up.
        clock: UNIX seconds of the tenant.
    """

    def __init__(
        self,
        users: Iterable[Mapping[str, Any]],
        *,
        slow_over: int | None = None,
        shuffled: bool = False,
        most: int = 20_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        shuffle = Random(1) if shuffled else None
        self.store = Index(users, Trouble(slow_over=slow_over, shuffle=shuffle), time.monotonic)
        self.most = most
        self.requests = 0
        self._clock = clock
        self._lock = threading.Lock()

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def search(
        self, q: str, *, page: int = 0, per_page: int = PAGE, sort: str | None = None
    ) -> Page:
        with self._lock:
            self.requests += 1
            if self.requests > self.most:
                raise EndlessError(f"{self.requests:,} requests")
        assert per_page <= PAGE
        assert page * per_page < REACHABLE, "Auth0 refuses pages past 1,000 users"
        if len(q) > LONGEST_QUERY:
            raise QueryError("HTTP 414")
        return self.answer(q, page, per_page, sort)

    def answer(self, q: str, page: int, per_page: int, sort: str | None) -> Page:
        order = Order()
        if sort is not None:
            field, _, way = sort.partition(":")
            order = Order(field, way == "-1")
        wanted = condition(q)
        try:
            with self.store.instant():
                found = self.store.page(wanted, order, per_page, page * per_page)
                total = self.store.total(wanted, REACHABLE)
        except Problem:
            raise SlowQueryError("HTTP 503") from None
        return Page([json.loads(body) for body in found], total)
