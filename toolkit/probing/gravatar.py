"""Asks Gravatar which hashes have a picture, and checks that its answers are true.

Fact: Gravatar docs, "Images": with `d=404` a hash without a picture is answered with 404,
with `d=mp` by a silhouette. So there are control questions, whose answers are known: nobody has a
random hash, and every hash has a silhouette. They are asked before the first real question
and after each batch; a batch counts only between two rounds of right answers. Hosts,
proxies and captive portals that give everything the same answer lead to no verdict. No document
says whether HEAD is answered as truthfully as GET: it is tested at the start of each run.

All requests, retries too, wait for their turn at a steady rate. When the host refuses (429, 503),
all requests wait, not only the refused one.
"""

import asyncio
import logging
import math
import secrets
import threading
from collections.abc import Callable, Coroutine, Generator, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from queue import SimpleQueue
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import httpx
import stamina
from aiolimiter import AsyncLimiter

from toolkit.errors import UnreachableError
from toolkit.images.decode import kind_of
from toolkit.images.download import AGENT
from toolkit.images.network_settings import connection_failure
from toolkit.probing.answers import RATINGS, Answer, Cache, Question
from toolkit.progress import Progress
from toolkit.sandbox.picture_hosts import GRAVATAR
from toolkit.tenant.clock import read_date
from toolkit.tenant.host_transport import async_transport

_Result = TypeVar("_Result")
_Answers = Mapping[Question, Answer]

RATE = 5.0
"""Requests a second (Gravatar names no limit for pictures)."""

PATIENCE = 10.0
"""Seconds that one answer may take."""

BATCH = 50
"""Questions between two rounds of control questions."""

_SAMPLE = 3  # questions that HEAD and GET must answer alike
# Where the controls fail in the middle of a run, they are asked again after so many times
# the patience: a short disturbance does not end a run of hours.
_RECOVERY = (1, 3)
_LENGTHS = (32, 64)

LONGEST_WAIT = 60.0
"""Maximum seconds to wait after a refusal, whatever `Retry-After` says."""

_TRIES = 4  # of one request
_FIRST_WAIT, _LONGEST_BACKOFF = 0.25, 5.0  # seconds between them
_WAIT_UNTOLD = 2.0  # seconds, where a refusal does not say for how long
_FAILURES = 10  # tries in a row, after which nothing is sent any more
_CONCURRENCY = 16
_ENOUGH = 64 * 1024  # bytes of a body that are read at most
# A timer wakes late by a moment. The limiter may make up for so much of it: for 10 ms, or for a
# quarter of a request at slow rates. Over time the rate is never exceeded.
_LATENESS, _LEAST_CREDIT = 0.01, 0.25
_KINDS = frozenset({"png", "jpeg", "gif", "webp"})  # what Gravatar serves
_OK, _NOT_FOUND, _BROKEN = 200, 404, 500
_REFUSALS = frozenset({429, 503})

# stamina announces each retry as a warning, which would tear the progress line.
logging.getLogger("stamina").setLevel(logging.ERROR)


def asking(
    questions: Iterable[Question],
    *,
    base_url: str = GRAVATAR,
    rate: float = RATE,
    cache: Cache | None = None,
    known_as: str | None = None,
    patience: float = PATIENCE,
    batch: int = BATCH,
) -> Generator[Progress, None, _Answers]:
    """Ask each question once, unless the cache knows the answer.

    Nothing is guessed: where Gravatar gives no answer, or cannot be trusted, the answer is
    `UNCLEAR` and is not kept; the next run asks again. Closing the generator cancels; all batches
    so far are in the cache.

    Args:
        questions: they may be repeated.
        base_url: Gravatar, or the sandbox.
        rate: requests a second at most: questions, retries and controls together.
        cache: where answers are kept; the caller closes it.
        known_as: the host's name in the cache; its own, unless told.
        patience: seconds that one answer may take.
        batch: questions between two rounds of control questions.

    Raises:
        ValueError: a hash, a rating or the rate is none.
        UnreachableError: the host does not answer at all.
    """
    wanted = tuple(dict.fromkeys(questions))
    _check(wanted, rate)
    name = urlsplit(base_url).netloc
    known = cache.known(known_as or name, wanted) if cache else {}
    notes = [f"{len(known):,} already known"] if known else []
    notes += [cache.note] if cache and cache.note else []
    if len(known) == len(wanted):
        yield Progress(len(wanted), len(wanted), note=", ".join(notes))
        return known

    async def work(report: Callable[[Progress], None]) -> _Answers:
        keep = partial(cache.keep, known_as or name) if cache else lambda _: None
        async with Host(base_url, rate=rate, patience=patience) as host:
            run = Run(host, name, wanted, known=known, notes=notes, report=report)
            return await run.answers(keep, batch)

    return (yield from _in_thread(work))


def _in_thread(
    work: Callable[[Callable[[Progress], None]], Coroutine[Any, Any, _Result]],
) -> Generator[Progress, None, _Result]:
    """Run a coroutine in a thread and yield what it reports; return or raise as it does.

    A notebook has a running event loop already, and asyncio allows only one in a thread. Closing
    the generator, or an interrupt while it waits, cancels the coroutine and waits for its thread.
    """
    events: SimpleQueue[Progress | None] = SimpleQueue()
    loop = asyncio.new_event_loop()
    task = loop.create_task(work(events.put))

    def run() -> None:
        try:
            loop.run_until_complete(asyncio.wait([task]))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.close()
            events.put(None)

    # A daemon: a generator that is never closed must not keep the program from ending.
    thread = threading.Thread(target=run, name="probe", daemon=True)
    thread.start()
    try:
        while (event := events.get()) is not None:
            yield event
    finally:
        with suppress(RuntimeError):  # the loop is closed if the work has ended
            loop.call_soon_threadsafe(task.cancel)
        thread.join()
    return task.result()


def _check(questions: Iterable[Question], rate: float) -> None:
    if not 0 < rate < math.inf:
        raise ValueError("the rate is a finite number of requests a second, more than 0")
    for digest, rating in questions:
        if len(digest) not in _LENGTHS or not set(digest) <= set("0123456789abcdef"):
            raise ValueError("a Gravatar hash is 32 or 64 lower-case hex digits")
        if rating not in RATINGS:
            raise ValueError(f"a rating is one of {', '.join(RATINGS)}")


class _Failure(Exception):  # noqa: N818 - it never leaves this module
    """One try that brought no answer; `wait` is the `Retry-After`, in seconds."""

    def __init__(self, wait: float | None = None) -> None:
        super().__init__()
        self.wait = wait


class Host:
    """A host that serves Gravatars; an async context manager.

    Args:
        base_url: as in `https://gravatar.com`.
        rate: requests a second at most, retries included.
        patience: seconds that one answer may take.
        transport: sends the requests; through the system's proxy by default.

    Attributes:
        has_answered: whether there was any answer.
        patience: as given.
        reason: why there was no connection the last time, in words, if that is known.
        paused: called with the seconds to wait after a refusal.
    """

    def __init__(
        self,
        base_url: str,
        *,
        rate: float,
        patience: float,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.has_answered = False
        self.reason: str | None = None
        self.patience = patience
        self.paused: Callable[[float], None] = lambda _: None
        self._failures = 0
        self._resume_at = 0.0
        burst = 1 + max(_LEAST_CREDIT, rate * _LATENESS)
        self._limiter = AsyncLimiter(burst, burst / rate)
        self._gate = asyncio.Lock()
        self._slots = asyncio.Semaphore(_CONCURRENCY)
        self._client = httpx.AsyncClient(
            base_url=base_url,
            transport=transport or async_transport(base_url),
            headers={
                "User-Agent": AGENT,
                "Accept": "image/*",
                # What is compressed does not show its first bytes.
                "Accept-Encoding": "identity",
            },
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            timeout=patience,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    @property
    def is_given_up(self) -> bool:
        """Whether too many tries in a row failed: nothing is sent any more."""
        return self._failures >= _FAILURES

    def reset_failures(self) -> None:
        """Send again, after it was given up."""
        self._failures = 0

    async def answer(self, method: str, question: Question, default: str = "404") -> Answer:
        """Ask for an avatar, as small as possible, by HEAD or GET.

        `default` is `d=`, what to show where there is no avatar. After a network error, a silence
        longer than `patience`, 429 or 5xx the host is asked again, up to 4 times in all.
        """
        path, asked = f"/avatar/{question.hash}", {"d": default, "s": "1", "r": question.rating}
        try:
            async for attempt in stamina.retry_context(
                on=self._retry,
                attempts=_TRIES,
                timeout=None,
                wait_initial=_FIRST_WAIT,
                wait_jitter=_FIRST_WAIT,
                wait_max=_LONGEST_BACKOFF,
            ):
                with attempt:
                    return await self._try(method, path, asked)
        except _Failure:
            pass
        return Answer.UNCLEAR

    def _retry(self, error: Exception) -> bool | float:
        """Tell stamina whether to try again, or after how many seconds."""
        if not isinstance(error, _Failure) or self.is_given_up:
            return False
        return True if error.wait is None else error.wait

    async def _try(self, method: str, path: str, asked: dict[str, str]) -> Answer:
        async with self._slots:
            await self._turn()
            if self.is_given_up:
                raise _Failure
            try:
                answer = await self._send(method, path, asked)
            except (httpx.TransportError, TimeoutError) as error:
                self._failures += 1
                self.reason = connection_failure(error, str(self._client.base_url))
                raise _Failure from None
            except _Failure:
                self._failures += 1
                raise
        self._failures = 0
        return answer

    async def _send(self, method: str, path: str, asked: dict[str, str]) -> Answer:
        async with (
            asyncio.timeout(self.patience),
            self._client.stream(method, path, params=asked) as response,
        ):
            self.has_answered = True
            status = response.status_code
            if status in _REFUSALS:
                wait = _wait(response.headers.get("retry-after", ""))
                end = _now() + wait
                if end > self._resume_at:
                    self._resume_at = end
                    self.paused(wait)
                raise _Failure(wait)
            if status >= _BROKEN:
                raise _Failure
            if status == _NOT_FOUND:
                return Answer.ABSENT
            is_image = response.headers.get("content-type", "").lower().startswith("image/")
            if method == "GET":
                is_image = kind_of(await _body(response)) in _KINDS and is_image
            return Answer.PRESENT if status == _OK and is_image else Answer.UNCLEAR

    async def _turn(self) -> None:
        """Wait until one more request may be sent."""
        async with self._gate:
            await self._limiter.acquire()
            while not self.is_given_up and (wait := self._resume_at - _now()) > 0:
                await asyncio.sleep(wait)
                # A turn from before the pause would let two go at once after it.
                await self._limiter.acquire()


class Run:
    """One run over all questions of which the answers are not `known` yet.

    `report` gets the progress, each with `notes`.
    """

    def __init__(
        self,
        host: Host,
        name: str,
        questions: Sequence[Question],
        *,
        known: dict[Question, Answer],
        notes: Sequence[str],
        report: Callable[[Progress], None],
    ) -> None:
        self._host = host
        self._name = name
        self._answers = dict.fromkeys(questions, Answer.UNCLEAR) | known
        self._open = [question for question in questions if question not in known]
        self._lengths = sorted({len(question.hash) for question in self._open})
        self._known_present: Question | None = None
        self._method = "GET"
        self._notes = notes
        self._report = report
        self._asked = 0
        self._started: float | None = None
        host.paused = lambda wait: self._tell(f"{name} asks to wait for {wait:.0f} s")

    async def answers(self, keep: Callable[[_Answers], object], size: int) -> _Answers:
        """Ask in batches of a size, keep the clear answers of each, and return all answers."""
        self._tell(f"checking that {self._name} answers truthfully")
        if not await self._holds("GET"):
            if not self._host.has_answered:
                raise UnreachableError(
                    self._host.reason
                    or f"{self._name} does not answer. Check the network, the proxy "
                    "(HTTPS_PROXY) and the certificates (SSL_CERT_FILE), and run again."
                )
            # Once more: it may have been a bad moment.
            if not await self._holds("GET"):
                self._tell(f"{self._name} does not answer truthfully from here: nothing was asked")
                return self._answers
        if await self._holds("HEAD") and await self._agree(self._open[:_SAMPLE]):
            self._method = "HEAD"
        self._started = _now()
        for start in range(0, len(self._open), size):
            batch = self._open[start : start + size]
            found = await self._batch(batch)
            if found is not None:
                self._answers |= found
                present = [one for one, answer in found.items() if answer is Answer.PRESENT]
                # The latest: people remove their pictures, too.
                self._known_present = present[-1] if present else self._known_present
                keep(found)
            elif start + size < len(self._open) and not await self._recovers():
                self._tell(f"{self._name} stopped answering truthfully: ended early, run again")
                break
        return self._answers

    async def _batch(self, questions: Sequence[Question]) -> dict[Question, Answer] | None:
        """Return the clear answers to a batch; None if the host cannot be trusted."""
        found = await asyncio.gather(*(self._ask_and_tell(question) for question in questions))
        if self._host.is_given_up or not await self._holds(self._method):
            return None
        pairs = zip(questions, found, strict=True)
        return {one: answer for one, answer in pairs if answer is not Answer.UNCLEAR}

    async def _holds(self, method: str) -> bool:
        """Ask the control questions; tell whether all answers are right."""
        controls = [
            (Question(secrets.token_hex(length // 2)), default, answer)
            for length in self._lengths
            for default, answer in (("404", Answer.ABSENT), ("mp", Answer.PRESENT))
        ]
        if self._known_present:
            controls.append((self._known_present, "404", Answer.PRESENT))
        found = await asyncio.gather(
            *(self._host.answer(method, one, default) for one, default, _ in controls)
        )
        return found == [answer for *_, answer in controls]

    async def _agree(self, questions: Sequence[Question]) -> bool:
        """Tell whether HEAD and GET have the same answers, and clear ones."""
        pairs = await asyncio.gather(
            *(self._host.answer(method, one) for one in questions for method in ("HEAD", "GET"))
        )
        return Answer.UNCLEAR not in pairs and pairs[::2] == pairs[1::2]

    async def _recovers(self) -> bool:
        """Wait until the host answers truthfully again; tell whether it does."""
        for times in _RECOVERY:
            self._tell(f"waiting for {self._name} to answer truthfully again")
            await asyncio.sleep(times * self._host.patience)
            self._host.reset_failures()
            if await self._holds(self._method):
                return True
        return False

    async def _ask_and_tell(self, question: Question) -> Answer:
        answer = await self._host.answer(self._method, question)
        self._asked += 1
        self._tell(self._method)
        return answer

    def _tell(self, note: str) -> None:
        total = len(self._answers)
        elapsed = _now() - self._started if self._started is not None else 0.0
        known, notes = total - len(self._open), ", ".join([note, *self._notes])
        self._report(Progress.after(elapsed, known + self._asked, total, notes, before=known))


def _now() -> float:
    return asyncio.get_running_loop().time()


def _wait(told: str) -> float:
    """Return the seconds that a `Retry-After` asks for (RFC 9110: seconds, or a date)."""
    try:
        seconds = float(told)
    except ValueError:
        moment = read_date(told)
        seconds = (moment - datetime.now(UTC)).total_seconds() if moment else math.nan
    return _WAIT_UNTOLD if math.isnan(seconds) else min(max(seconds, 0.0), LONGEST_WAIT)


async def _body(response: httpx.Response) -> bytes:
    """Return the body, or its beginning if it is too long for a picture of one pixel."""
    body = b""
    async for piece in response.aiter_raw():
        body += piece
        if len(body) >= _ENOUGH:
            break
    return body
