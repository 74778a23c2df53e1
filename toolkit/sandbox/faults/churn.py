"""People who come, log in and leave while somebody reads the tenant.

The changes are driven by the requests that are served, not by time, so that a run can be
repeated; they end after a fixed number, so that a collection can catch up.
"""

import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from toolkit.sandbox.directory.fields import iso
from toolkit.sandbox.directory.store import Store

_TRIES = 20


@dataclass(frozen=True)
class Churned:
    """The user_ids of all who came, changed or left so far; nobody is in two of the lists."""

    created: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()


class Churn:
    """Changes a store a little at each step, until so many have come, changed and left.

    `random` decides who changes and who leaves; `clock` is UNIX seconds.
    """

    def __init__(self, store: Store, random: Random, clock: Callable[[], float], most: int) -> None:
        self.record = Churned()
        self._store = store
        self._random = random
        self._clock = clock
        self._most = most
        self._steps = 0
        self._lock = threading.Lock()

    def step(self) -> None:
        """One person logs in, one leaves, one comes."""
        with self._lock:
            if self._steps >= self._most:
                return
            self._steps += 1
            if user_id := self._untouched():
                self._store.change(user_id, self._after_login)
                self.record = replace(self.record, changed=(*self.record.changed, user_id))
            if user_id := self._untouched():
                self._store.delete(user_id)
                self.record = replace(self.record, deleted=(*self.record.deleted, user_id))
            newcomer = self._newcomer()
            self._store.create(newcomer)
            created = (*self.record.created, newcomer["user_id"])
            self.record = replace(self.record, created=created)

    def _untouched(self) -> str | None:
        """Choose somebody to whom nothing happened yet; None if some tries find nobody."""
        touched = {*self.record.created, *self.record.changed, *self.record.deleted}
        for _ in range(_TRIES):
            body = self._store.somebody(self._random.random())
            user_id = json.loads(body).get("user_id") if body else None
            if isinstance(user_id, str) and user_id not in touched:
                return user_id
        return None

    def _after_login(self, user: dict[str, Any]) -> dict[str, Any]:
        now = iso(self._clock())
        count = user.get("logins_count")
        logins = count + 1 if isinstance(count, int) else 1
        return {**user, "last_login": now, "updated_at": now, "logins_count": logins}

    def _newcomer(self) -> dict[str, Any]:
        now = iso(self._clock())
        local = f"newcomer-{self._steps:04}"
        email = f"{local}@example.com"
        digest = hashlib.md5(email.encode(), usedforsecurity=False).hexdigest()
        return {
            "user_id": f"auth0|{local}",
            "email": email,
            "email_verified": False,
            "name": email,
            "nickname": local,
            "picture": f"https://s.gravatar.com/avatar/{digest}?s=480&r=pg"
            "&d=https%3A%2F%2Fcdn.auth0.com%2Favatars%2Fne.png",
            "created_at": now,
            "updated_at": now,
            "identities": [
                {
                    "connection": "Username-Password-Authentication",
                    "provider": "auth0",
                    "user_id": local,
                    "isSocial": False,
                }
            ],
        }
