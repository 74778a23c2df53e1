"""Which pictures load: many addresses, a few at a time, gently, each asked once.

A host that says it has had enough (HTTP 429) is asked no more in this run.
"""

import heapq
import queue
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Generator, Hashable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from toolkit.images.address import Outcome, Refusal, Resolver, askable, by_dns
from toolkit.images.download import MOST_BYTES, SECONDS, fetch
from toolkit.progress import Progress

if TYPE_CHECKING:
    import pandas as pd

_TOO_MANY = 429


@dataclass(frozen=True, slots=True)
class Manners:
    """How gently, and by which rules, pictures are asked for.

    Attributes:
        rate: requests a second at most, all hosts together.
        rate_per_host: requests a second at most to one host. Where a picture redirects,
            the host it redirects to is not counted.
        workers: requests under way at once at most.
        seconds: as for `toolkit.images.download.fetch`, and so are the others.
        most_bytes: the limit on one picture's size.
        exception: the one base URL that may be on loopback.
        insecure: whether http may be asked too.
        direct: whether to go past the system's proxy.
        resolve: what resolves names.
    """

    rate: float = 5.0
    rate_per_host: float = 2.0
    workers: int = 8
    seconds: float = SECONDS
    most_bytes: int = MOST_BYTES
    exception: str | None = None
    insecure: bool = False
    direct: bool = False
    resolve: Resolver = by_dns


@dataclass(frozen=True, slots=True)
class Reach:
    """Whether one picture loads.

    Attributes:
        outcome: the verdict.
        reason: the verdict in words, without the address.
    """

    outcome: Outcome
    reason: str


_SPARED = Reach(Outcome.NOT_ASKED, "its host said that it was asked too often")


@dataclass(frozen=True, slots=True)
class Reached:
    """Whether each of many pictures loads. Addresses are not kept.

    Attributes:
        pictures: each key to what became of its picture, in the order given.
        requests: different addresses that were asked, redirects not counted.
    """

    pictures: Mapping[Hashable, Reach] = field(repr=False)
    requests: int

    @property
    def counts(self) -> dict[Outcome, int]:
        """How many pictures had each outcome; outcomes that nobody had are left out."""
        counted = Counter(reach.outcome for reach in self.pictures.values())
        return {outcome: counted[outcome] for outcome in Outcome if counted[outcome]}

    def frame(self) -> "pd.DataFrame":
        """Return one row for each picture: `key`, `outcome`, `reason`."""
        import pandas as pd  # noqa: PLC0415 - heavy, and the work itself needs none of it

        rows = [(key, reach.outcome.value, reach.reason) for key, reach in self.pictures.items()]
        return pd.DataFrame(rows, columns=["key", "outcome", "reason"])


def reaching(
    pictures: Iterable[tuple[Hashable, str]], manners: Manners | None = None
) -> Generator[Progress, None, Reached]:
    """Check which pictures load. Closing the generator ends it.

    Nothing new is asked from then on; what is under way is waited for, `seconds` at most.

    Args:
        pictures: pairs of a key (a user's id, a row's number) and an address. Keys differ;
            pictures at one address are asked for once.
        manners: how gently, and by which rules.

    Yields:
        Progress, in addresses; the first before anything is asked.

    Returns:
        What became of each picture.
    """
    manners = manners or Manners()
    wanted: dict[str, list[Hashable]] = defaultdict(list)
    hosts: dict[str, str] = {}
    found: dict[Hashable, Reach | None] = {}
    for key, text in pictures:
        address = askable(text, exception=manners.exception, insecure=manners.insecure)
        if isinstance(address, Refusal):
            found[key] = Reach(address.outcome, address.reason)
            continue
        found[key] = None  # holds the place, so that the order is the one given
        wanted[address.url].append(key)
        hosts[address.url] = address.authority
    answers = yield from _Round(hosts, manners).walk()
    for url, reach in answers.items():
        found |= dict.fromkeys(wanted[url], reach)
    asked = sum(reach is not _SPARED for reach in answers.values())
    return Reached({key: reach for key, reach in found.items() if reach}, asked)


class _Turns:
    """Whose turn it is: no host, and not all together, more often than their rates."""

    def __init__(self, hosts: Mapping[str, str], manners: Manners) -> None:
        self._waiting: dict[str, deque[str]] = defaultdict(deque)
        for url, host in hosts.items():
            self._waiting[host].append(url)
        self._ready = [(0.0, number, host) for number, host in enumerate(self._waiting)]
        self._next = 0.0
        self._every = 1 / manners.rate
        self._every_at_host = 1 / manners.rate_per_host

    def take(self, now: float) -> str | float | None:
        """Return the next address, or seconds to wait for it, or None at the end."""
        while self._ready and not self._waiting[self._ready[0][2]]:
            heapq.heappop(self._ready)
        if not self._ready:
            return None
        ready_at, number, host = self._ready[0]
        wait = max(ready_at, self._next) - now
        if wait > 0:
            return wait
        heapq.heapreplace(self._ready, (now + self._every_at_host, number, host))
        self._next = now + self._every
        return self._waiting[host].popleft()

    def give_up(self, host: str) -> list[str]:
        """Return what was still wanted of a host, and want it no more."""
        left = list(self._waiting[host])
        self._waiting[host].clear()
        return left


class _Round:
    """A few threads that take turns until all addresses are answered."""

    def __init__(self, hosts: Mapping[str, str], manners: Manners) -> None:
        self._hosts = hosts
        self._manners = manners
        self._turns = _Turns(hosts, manners)
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self._answers: queue.SimpleQueue[tuple[str, Reach] | None] = queue.SimpleQueue()

    def walk(self) -> Generator[Progress, None, dict[str, Reach]]:
        """Ask for every address; return what became of each."""
        total = len(self._hosts)
        answers: dict[str, Reach] = {}
        yield Progress(0, total)
        started = time.monotonic()
        running = min(self._manners.workers, total)
        with ThreadPoolExecutor(max(1, running), "reach") as pool:
            workers = [pool.submit(self._work) for _ in range(running)]
            try:
                while running:
                    answer = self._answers.get()
                    if answer is None:
                        running -= 1
                        continue
                    answers[answer[0]] = answer[1]
                    seconds = time.monotonic() - started
                    yield Progress.after(seconds, len(answers), total, "asking for pictures")
            finally:
                self._cancelled.set()
        for worker in workers:
            worker.result()
        return answers

    def _work(self) -> None:
        try:
            while (url := self._turn()) is not None:
                self._ask(url)
        except BaseException:
            self._cancelled.set()
            raise
        finally:
            self._answers.put(None)

    def _turn(self) -> str | None:
        """Wait for the next turn; None at the end."""
        wait = 0.0
        while not self._cancelled.wait(wait):
            with self._lock:
                turn = self._turns.take(time.monotonic())
            if not isinstance(turn, float):
                return turn
            wait = turn
        return None

    def _ask(self, url: str) -> None:
        manners = self._manners
        fetched = fetch(
            url,
            exception=manners.exception,
            insecure=manners.insecure,
            direct=manners.direct,
            seconds=manners.seconds,
            most_bytes=manners.most_bytes,
            resolve=manners.resolve,
        )
        self._answers.put((url, Reach(fetched.outcome, fetched.reason)))
        if fetched.status == _TOO_MANY:
            with self._lock:
                spared = self._turns.give_up(self._hosts[url])
            for other in spared:
                self._answers.put((other, _SPARED))
