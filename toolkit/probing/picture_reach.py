"""Which pictures load, and what they show: many addresses, at a limited rate, each asked once.

A host that answers HTTP 429 is not asked again in this run.
"""

import hashlib
import heapq
import threading
import time
from collections import defaultdict, deque
from collections.abc import Generator, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from toolkit.images.address import Outcome, Refusal, Resolver, askable, by_dns
from toolkit.images.content import Content, content_of
from toolkit.images.decode import Unreadable, decoded
from toolkit.images.download import MOST_BYTES, SECONDS, fetch
from toolkit.progress import Progress

_TOO_MANY = 429
_DECODING = threading.Lock()


@dataclass(frozen=True, slots=True)
class ReachSettings:
    """At which rate, and by which rules, pictures are asked for.

    Attributes:
        rate: requests a second at most, all hosts together.
        rate_per_host: requests a second at most to one host. Where a picture redirects,
            the host it redirects to is not counted.
        workers: requests under way at once at most.
        seconds: as for `toolkit.images.download.fetch`, and so are the others.
        most_bytes: the limit on one picture's size.
        exception: the one base URL that may be on loopback.
        insecure: whether http may be asked too.
        resolve: what resolves names.
    """

    rate: float = 5.0
    rate_per_host: float = 2.0
    workers: int = 8
    seconds: float = SECONDS
    most_bytes: int = MOST_BYTES
    exception: str | None = None
    insecure: bool = False
    resolve: Resolver = by_dns


class Reach(NamedTuple):
    """Whether one picture loads, and why not: in words, without the address.

    `content` is what it shows, or None if it does not load or cannot be decoded here; `digest`
    tells pictures of other bytes apart.
    """

    outcome: Outcome
    reason: str
    content: Content | None = None
    digest: bytes = b""


_SPARED = Reach(Outcome.NOT_ASKED, "its host said that it was asked too often")


def reaching(
    pictures: Iterable[str], settings: ReachSettings | None = None
) -> Generator[Progress, None, list[Reach]]:
    """Check which pictures load; return the result of each address, in order.

    Each is asked for once; progress counts different addresses. If the generator is closed,
    requests under way end first, within `seconds`.
    """
    settings = settings or ReachSettings()
    found: dict[str, Reach] = {}
    urls: list[str] = []  # of each picture, in its canonical spelling where it may be asked
    hosts: dict[str, str] = {}
    for text in pictures:
        address = askable(text, exception=settings.exception, insecure=settings.insecure)
        if isinstance(address, Refusal):
            urls.append(text)
            found[text] = Reach(address.outcome, address.reason)
        else:
            urls.append(address.url)
            hosts[address.url] = address.authority
    found |= yield from _asked(hosts, settings)
    return [found[url] for url in urls]


def _asked(
    hosts: Mapping[str, str], settings: ReachSettings
) -> Generator[Progress, None, dict[str, Reach]]:
    """Ask for every address; return the result of each."""
    yield Progress(0, len(hosts))
    load = partial(
        _seen,
        exception=settings.exception,
        insecure=settings.insecure,
        seconds=settings.seconds,
        most_bytes=settings.most_bytes,
        resolve=settings.resolve,
    )
    turns = _Turns(hosts, settings)
    found: dict[str, Reach] = {}
    pending: dict[Future[tuple[Reach, int | None]], str] = {}
    started = time.monotonic()
    with ThreadPoolExecutor(settings.workers, "reach") as pool:
        while len(found) < len(hosts):
            full = len(pending) == settings.workers
            turn = None if full else turns.take(time.monotonic())
            if isinstance(turn, str):
                pending[pool.submit(load, turn)] = turn
                continue
            if not pending:
                time.sleep(turn or 0.0)
            for future in wait(pending, turn, FIRST_COMPLETED).done:
                url, (found[url], status) = pending.pop(future), future.result()
                if status == _TOO_MANY:
                    found |= dict.fromkeys(turns.give_up(hosts[url]), _SPARED)
                seconds = time.monotonic() - started
                yield Progress.after(seconds, len(found), len(hosts), "asking for pictures")
    return found


def _seen(url: str, **rules: Any) -> tuple[Reach, int | None]:  # noqa: ANN401 - those of `fetch`
    """Load a picture and judge what it shows; return that and the HTTP status."""
    fetched = fetch(url, **rules)
    if fetched.outcome is not Outcome.SHOWS:
        return Reach(fetched.outcome, fetched.reason), fetched.status
    digest = hashlib.sha256(fetched.body).digest()
    return Reach(Outcome.SHOWS, fetched.reason, judged(fetched.body), digest), fetched.status


def judged(body: bytes) -> Content | None:
    """Tell what the picture in a file shows; None if it cannot be decoded here. Never raises."""
    # One at a time: a large picture takes 100 MB once decoded.
    with _DECODING:
        image = decoded(body)
        return None if isinstance(image, Unreadable) else content_of(image)


class _Turns:
    """The order of requests, within the rates of each host and of all together."""

    def __init__(self, hosts: Mapping[str, str], settings: ReachSettings) -> None:
        self._waiting: dict[str, deque[str]] = defaultdict(deque)
        for url, host in hosts.items():
            self._waiting[host].append(url)
        self._ready = [(0.0, number, host) for number, host in enumerate(self._waiting)]
        self._next = 0.0
        self._every = 1 / settings.rate
        self._every_at_host = 1 / settings.rate_per_host

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
        """Remove the addresses of a host that were not asked yet, and return them."""
        left = list(self._waiting[host])
        self._waiting[host].clear()
        return left
