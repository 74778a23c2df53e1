"""What can go wrong at a real tenant, by name, for a sandbox that shall do the same.

Every fault but `job-fails` and `job-truncated-always` ends, or leaves a way round: a client
that does the right thing gets every user. The same seed makes the same faults for the same
requests in the same order. Those of Gravatar strike its pictures only, never the API.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from random import Random
from typing import Any

from starlette.types import ASGIApp

from toolkit.sandbox.api import jobs
from toolkit.sandbox.directory.stale_index import Index, Trouble
from toolkit.sandbox.directory.store import Store
from toolkit.sandbox.faults import network
from toolkit.sandbox.faults.churn import Churn

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
    "gravatar-503": "Gravatar refuses bursts of requests with 503 and Retry-After",
    "gravatar-429": "Gravatar refuses bursts of requests with 429 and Retry-After",
    "gravatar-hangs": "some of Gravatar's answers never come",
    "gravatar-lies": "Gravatar answers every HEAD with 200, as if there were a picture",
    "gravatar-blind": "Gravatar answers everything with 404, even where a picture must come",
    "gravatar-portal": "a captive portal's page comes instead of Gravatar's answers",
    "gravatar-turns": "Gravatar answers everything with 404 after 100 true answers",
}
"""Each fault's name and what it does."""


class Faults:
    """The faults of one sandbox: some names in `FAULTS`.

    Raises:
        ValueError: If a name is not in `FAULTS`; the message lists those that are.
    """

    def __init__(self, names: Iterable[str] = (), seed: int = 1) -> None:
        self.names = frozenset(names)
        self._seed = seed
        unknown = sorted(self.names - FAULTS.keys())
        if unknown:
            raise ValueError(f"no such fault: {', '.join(unknown)}; there are {', '.join(FAULTS)}")

    def store(self, users: Iterable[Mapping[str, Any]], monotonic: Callable[[], float]) -> Store:
        """Return a store of these users, searched as the faults have it."""
        trouble = Trouble(
            lag=2.0 if "lag" in self.names else 0,
            slow_over=400 if "503-slow" in self.names else None,
            uncapped="uncapped-total" in self.names,
            shuffle=self._random("shuffled-ties") if "shuffled-ties" in self.names else None,
        )
        return Store(users) if trouble == Trouble() else Index(users, trouble, monotonic)

    def churn(self, store: Store, clock: Callable[[], float]) -> Churn:
        """Return what changes the store; it does nothing unless that is a fault."""
        return Churn(store, self._random("churn"), clock, most=40 if "churn" in self.names else 0)

    def lifetime(self, seconds: int) -> int:
        """Return how long a token is good for where it would be this many seconds."""
        return min(seconds, 20) if "short-tokens" in self.names else seconds

    @property
    def jobs(self) -> jobs.Trouble:
        """What goes wrong with jobs."""
        once = 1.0 if "job-truncated" in self.names else 0.0
        return jobs.Trouble(
            fails="job-fails" in self.names,
            stalls=5 if "job-stalls" in self.names else 0,
            expired_links=2 if "job-expires" in self.names else 0,
            truncated=math.inf if "job-truncated-always" in self.names else once,
        )

    def around(self, application: ASGIApp, churn: Churn, clock: Callable[[], float]) -> ASGIApp:
        """Return the application with the faults that strike requests around it."""
        layers: Mapping[str, Callable[[ASGIApp, Random, network.Streak], ASGIApp]] = {
            "churn": lambda inner, *_: network.before_reads(inner, churn.step),
            "429-storm": partial(network.storm, clock=clock),
            "429-bare": partial(network.storm, clock=None),
            "503-flaky": network.flaky,
            "slow": network.slow,
            "reset": network.reset,
            "gravatar-503": partial(network.busy_pictures, status=503),
            "gravatar-429": partial(network.busy_pictures, status=429),
            "gravatar-hangs": network.silent_pictures,
            "gravatar-lies": network.lying_heads,
            "gravatar-blind": partial(network.blind_pictures, after=0),
            "gravatar-portal": network.portal,
            "gravatar-turns": partial(network.blind_pictures, after=100),
        }
        if self.names.isdisjoint(layers):
            return application
        streak = network.Streak()
        application = streak.ended_by(application)
        for name, layer in layers.items():
            if name in self.names:
                application = layer(application, self._random(name), streak)
        return application

    def _random(self, name: str) -> Random:
        """Return a generator of the fault's own, so that faults do not shift each other."""
        return Random(f"{self._seed} {name}")  # noqa: S311 - faults are to be repeated, not secret
