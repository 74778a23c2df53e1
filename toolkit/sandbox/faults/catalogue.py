"""What can go wrong at a real tenant, by name; a sandbox does it on request.

Every fault that is not in `HOPELESS` ends, or leaves a way round: a client that does the right
thing gets every user. The same seed makes the same faults for the same requests in the same
order. Those of Gravatar strike its pictures only, never the API.
"""

import hashlib
import json
import math
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp

from toolkit.sandbox.api import jobs
from toolkit.sandbox.api.action_library import Library
from toolkit.sandbox.directory.fields import iso
from toolkit.sandbox.directory.stale_index import Index, Trouble
from toolkit.sandbox.directory.store import Store
from toolkit.sandbox.faults import network

FAULTS: Mapping[str, str] = {
    "429-storm": "bursts of 429 with rate-limit headers and without Retry-After",
    "429-bare": "bursts of 429 without any rate-limit header",
    "503-slow": "searches that match more than 400 users time out: only splitting them helps",
    "503-flaky": "now and then 502 or 503, whatever was asked",
    "reset": "connections close before the answer, or in the middle of it",
    "slow": "some answers take 50 to 300 ms longer",
    "lag": "searches see a write only after 2 seconds",
    "uncapped-total": "a search's total counts on past 1,000",
    "churn": "40 users come, 40 log in and 40 leave while users and jobs are read",
    "shuffled-ties": "users with the same sort value come in another order on each page",
    "short-tokens": "access tokens are good for 20 seconds",
    "job-fails": "every export job fails",
    "job-expires": "the first two download links of an export have expired already",
    "job-stalls": "an export's percentage stays the same for five polls",
    "job-truncated": "the first download of an export ends early",
    "job-truncated-always": "every download of an export ends early",
    "endless-export": "an export's file never ends: its users come again and again",
    "link-file": "an export's link names a file of this machine",
    "link-inside": "an export's link leads into the network of whoever follows it",
    "link-elsewhere": "an export's link leads to another host",
    "absurd-totals": "a search's total is any number, up to a trillion",
    "absurd-pages": "a page of a search has any number of users, up to twice what was asked for",
    "repeated-page": "every page of a search is the first one again",
    "unsorted": "searches ignore the order that is asked for",
    "strange-times": "searches show times that were not asked for, and some that cannot be",
    "redirects": "now and then a redirect to another host, whatever was asked",
    "portal": "for a while a captive portal's page comes instead of Auth0's answers",
    "proxy-407": "for a while a proxy refuses all requests with a page and 407",
    "reset-3000": "bursts of 429; rate-limit headers say to wait until the year 3000",
    "bind-lag": "an Action cannot be bound until 5 seconds after its first deployment",
    "profile-limit": "a change that makes a profile larger than 10 KB is refused",
    "strict": "where nobody knows, refusals: a second export at a time, a second Action of a name",
    "gravatar-503": "Gravatar refuses bursts of requests with 503 and Retry-After",
    "gravatar-429": "Gravatar refuses bursts of requests with 429 and Retry-After",
    "gravatar-hangs": "some of Gravatar's answers never come",
    "gravatar-lies": "Gravatar answers every HEAD with 200, as if there were a picture",
    "gravatar-blind": "Gravatar answers everything with 404, even where a picture must come",
    "gravatar-portal": "a captive portal's page comes instead of Gravatar's answers",
    "gravatar-turns": "Gravatar answers everything with 404 after 100 true answers",
}
"""Each fault's name and what it does."""

HOPELESS: Mapping[str, frozenset[str]] = {
    "search": frozenset({"absurd-totals", "absurd-pages"}),
    "export": frozenset(
        "job-fails job-truncated-always endless-export link-file link-inside absurd-totals "
        "absurd-pages".split()
    ),
}
"""The faults with which perhaps nobody can read all users, by how they are read."""

_LINKS: Mapping[str, Callable[[str], str]] = {
    "link-file": lambda _: "file:///etc/passwd",
    "link-inside": lambda _: "https://169.254.169.254/latest/meta-data/",
    "link-elsewhere": lambda link: (
        urlsplit(link)._replace(netloc=network.other_name(urlsplit(link).netloc)).geturl()
    ),
}
_YEAR_3000 = 32_503_680_000.0
_PROFILE = 10 * 1024


@dataclass(frozen=True)
class Churned:
    """The user_ids of all who came, changed or left so far; nobody is in two of the lists."""

    created: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()


class Churn:
    """People who come, log in and leave while somebody reads the tenant.

    The requests that are served drive the changes, and not time, so that a run can be repeated;
    they end after a fixed number, so that a collection can catch up. `random` decides who changes
    and who leaves, `clock` is UNIX seconds.
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
        for _ in range(20):
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
        identity = {"provider": "auth0", "user_id": local, "isSocial": False}
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
            "identities": [{"connection": "Username-Password-Authentication", **identity}],
        }


class Faults:
    """The faults of one sandbox: some names in `FAULTS`.

    Raises:
        ValueError: If a name is not in `FAULTS`; the message lists those that are.
    """

    def __init__(self, names: Iterable[str] = (), seed: int = 1) -> None:
        self.names = frozenset(names)
        self.other_host = network.OtherHost()
        self._seed = seed
        unknown = sorted(self.names - FAULTS.keys())
        if unknown:
            raise ValueError(f"no such fault: {', '.join(unknown)}; there are {', '.join(FAULTS)}")

    def store(self, users: Iterable[Mapping[str, Any]], monotonic: Callable[[], float]) -> Store:
        """Return a store of these users, with the faults of searches."""
        trouble = Trouble(
            lag=2.0 if "lag" in self.names else 0,
            slow_over=400 if "503-slow" in self.names else None,
            uncapped="uncapped-total" in self.names,
            shuffle=self._random_of("shuffled-ties"),
            totals=self._random_of("absurd-totals"),
            sizes=self._random_of("absurd-pages"),
            times=self._random_of("strange-times"),
            repeats="repeated-page" in self.names,
            unsorted="unsorted" in self.names,
        )
        store = Store(users) if trouble == Trouble() else Index(users, trouble, monotonic)
        if "profile-limit" in self.names:
            store.largest = _PROFILE
        return store

    def churn(self, store: Store, clock: Callable[[], float]) -> Churn:
        """Return what changes the store; it does nothing unless that is a fault."""
        return Churn(store, self._random("churn"), clock, most=40 if "churn" in self.names else 0)

    def lifetime(self, seconds: int) -> int:
        """Return how long a token is good for where it would be this many seconds."""
        return min(seconds, 20) if "short-tokens" in self.names else seconds

    def library(self, actions: Iterable[Mapping[str, Any]], clock: Callable[[], float]) -> Library:
        """Return a library of these Actions, with the faults of Actions."""
        lag = 5.0 if "bind-lag" in self.names else 0.0
        return Library(actions, clock, bind_lag=lag, unique="strict" in self.names)

    @property
    def jobs(self) -> jobs.Trouble:
        """The faults of jobs."""
        once = 1.0 if "job-truncated" in self.names else 0.0
        return jobs.Trouble(
            fails="job-fails" in self.names,
            stalls=5 if "job-stalls" in self.names else 0,
            expired_links=2 if "job-expires" in self.names else 0,
            truncated=math.inf if "job-truncated-always" in self.names else once,
            endless="endless-export" in self.names,
            link=next((_LINKS[name] for name in _LINKS if name in self.names), str),
            at_once=1 if "strict" in self.names else 4,
        )

    def around(self, application: ASGIApp, churn: Churn, clock: Callable[[], float]) -> ASGIApp:
        """Return the application with the faults of requests around it."""
        layers: Mapping[str, Callable[[ASGIApp, Random, network.Streak], ASGIApp]] = {
            "churn": lambda inner, *_: network.before_reads(inner, churn.step),
            "429-storm": partial(network.storm, clock=clock),
            "429-bare": partial(network.storm, clock=None),
            "reset-3000": partial(network.storm, clock=lambda: _YEAR_3000),
            "503-flaky": network.flaky,
            "redirects": self.other_host.around,
            "portal": partial(network.strangers, answer=network.PORTAL),
            "proxy-407": partial(network.strangers, answer=network.PROXY),
            "slow": network.slow,
            "reset": network.reset,
            "gravatar-503": partial(network.busy_pictures, status=503),
            "gravatar-429": partial(network.busy_pictures, status=429),
            "gravatar-hangs": network.silent_pictures,
            "gravatar-lies": partial(
                network.false_pictures, answer=network.A_PICTURE, method="HEAD"
            ),
            "gravatar-blind": partial(network.false_pictures, answer=network.NO_PICTURE),
            "gravatar-portal": partial(network.false_pictures, answer=network.PORTAL),
            "gravatar-turns": partial(network.false_pictures, answer=network.NO_PICTURE, after=100),
        }
        if self.names.isdisjoint(layers):
            return application
        application = streak = network.Streak(application)
        for name, layer in layers.items():
            if name in self.names:
                application = layer(application, self._random(name), streak)
        return application

    def _random_of(self, name: str) -> Random | None:
        return self._random(name) if name in self.names else None

    def _random(self, name: str) -> Random:
        """Return a generator of the fault's own, so that faults do not shift each other."""
        return Random(f"{self._seed} {name}")  # noqa: S311 - faults are to be repeated, not secret
