"""A store whose search has the faults of a real search index.

Facts: Auth0 docs, "User Search" (eventually consistent; a query of more than two seconds
answers 503; reading a user by id or by e-mail is immediately consistent).
"""

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from toolkit.sandbox.directory.lucene import Condition
from toolkit.sandbox.directory.store import Order, Store
from toolkit.sandbox.problem import too_slow

_ANY_ORDER = 1_500_000_001  # an `Order.salt`
_STRANGE_TIMES = (
    None,
    0,
    "yesterday",
    "0001-01-01T00:00:00.000+23:59",
    "1970-01-01T00:00:00.000Z",
    "2024-02-30T00:00:00.000Z",
    "9999-12-31T23:59:59.999Z",
    "10000-01-01T00:00:00.000Z",
)


@dataclass(frozen=True)
class Trouble:
    """What is wrong with the index; by default nothing."""

    lag: float = 0  # seconds until a write can be seen in searches
    # A search that more users match times out, unless they were all created in the same
    # millisecond, because such a block cannot be split.
    slow_over: int | None = None
    uncapped: bool = False  # whether totals count on past 1,000
    shuffle: Random | None = None  # puts equals into another order for each page
    totals: Random | None = None  # makes each total any number
    sizes: Random | None = None  # makes each page of any length, up to twice what is asked for
    times: Random | None = None  # makes users show other times than they are found by
    repeats: bool = False  # whether each page is the first one
    unsorted: bool = False  # whether the order that is asked for is ignored


class Index(Store):
    """A store that is searched through a troubled index; `monotonic` is seconds, for the lag."""

    def __init__(
        self, users: Iterable[Mapping[str, Any]], trouble: Trouble, monotonic: Callable[[], float]
    ) -> None:
        super().__init__(users)
        self._trouble = trouble
        self._monotonic = monotonic
        # The writes that no search sees yet, with the time from which one does.
        self._late: deque[tuple[float, str, Mapping[str, Any] | None]] = deque()
        # The newest state of users with late writes, and how many of their writes are late.
        self._fresh: dict[str, tuple[int, str | None]] = {}

    def count(self) -> int:
        """Return how many users there are, those included that no search finds yet."""
        with self._lock:
            known = [self._find(user_id) is not None for user_id in self._fresh]
            alive = [body is not None for _, body in self._fresh.values()]
        return super().count() - sum(known) + sum(alive)

    def total(self, condition: Condition, most: int) -> int:
        """Return how many users meet the condition, as the index counts."""
        total = super().total(condition, 2**62 if self._trouble.uncapped else most)
        if self._trouble.totals:
            return self._trouble.totals.choice((0, total // 2, total + 1, most, 10**12))
        return total

    def page(self, condition: Condition, order: Order, limit: int, offset: int) -> list[str]:
        """Return users as the index has them; raise `Problem` if it is slow for this search."""
        self._settle()
        if self._is_slow(condition):
            raise too_slow()
        trouble = self._trouble
        if trouble.unsorted:
            order = Order(salt=_ANY_ORDER)
        if trouble.shuffle:
            order = replace(order, salt=trouble.shuffle.randrange(2**20, 2**30))
        if trouble.sizes:
            limit = trouble.sizes.randint(0, 2 * limit)
        found = super().page(condition, order, limit, 0 if trouble.repeats else offset)
        return [_at_other_times(body, trouble.times) for body in found] if trouble.times else found

    def by_email(self, email: str) -> list[str]:
        """Return the users with this e-mail address as they are now."""
        fresh = self._now()
        settled = [body for body in super().by_email(email) if _of(body, "user_id") not in fresh]
        wanted = email.lower()
        late = [body for body in fresh.values() if body]
        return settled + [body for body in late if str(_of(body, "email")).lower() == wanted]

    def records(self) -> Iterator[str]:
        """Yield every user as it is now; those that changed lately come last."""
        fresh = self._now()
        for body in super().records():
            if not fresh or _of(body, "user_id") not in fresh:
                yield body
        yield from filter(None, fresh.values())

    def _now(self) -> dict[str, str | None]:
        """Return what the users with late writes are now."""
        with self._lock:
            return {user_id: body for user_id, (_, body) in self._fresh.items()}

    def _is_slow(self, condition: Condition) -> bool:
        most = self._trouble.slow_over
        if most is None or super().total(condition, most + 1) <= most:
            return False
        sql = f"""
            SELECT count(*), count(created_at), min(created_at), max(created_at)
            FROM users WHERE {condition.sql}
        """  # noqa: S608 - built from a fixed table of columns, values are bound
        users, dated, first, last = self._found(sql, condition.parameters)[0]
        is_one_block = first == last and dated in {0, users}
        return not is_one_block

    def _read(self, user_id: str) -> str | None:
        if user_id in self._fresh:
            return self._fresh[user_id][1]
        return super()._read(user_id)

    def _write(self, user_id: str, user: Mapping[str, Any] | None) -> None:
        if not self._trouble.lag:
            super()._write(user_id, user)
            return
        self._settle()  # so that late writes do not pile up if nobody searches
        late, _ = self._fresh.get(user_id, (0, None))
        self._fresh[user_id] = late + 1, None if user is None else json.dumps(user)
        self._late.append((self._monotonic() + self._trouble.lag, user_id, user))

    def _settle(self) -> None:
        """Write to the index what is old enough."""
        with self._lock:
            while self._late and self._late[0][0] <= self._monotonic():
                _, user_id, user = self._late.popleft()
                super()._write(user_id, user)
                late, body = self._fresh.pop(user_id)
                if late > 1:
                    self._fresh[user_id] = late - 1, body


def _at_other_times(body: str, random: Random) -> str:
    user = json.loads(body)
    for name in ("created_at", "updated_at"):
        user[name] = random.choice((user.get(name), *_STRANGE_TIMES))
    return json.dumps(user)


def _of(body: str, key: str) -> object:
    return json.loads(body).get(key)
