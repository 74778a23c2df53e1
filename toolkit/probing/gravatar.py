"""Asks Gravatar which hashes have a picture, and checks that its answers are true.

Fact: Gravatar docs, "Images": with `d=404` a hash without a picture is answered with 404,
with `d=mp` by a silhouette. So there are control questions, whose answers are known: nobody has a
random hash, and every hash has a silhouette. They are asked before the first real question
and after each batch; a batch counts only between two rounds of right answers. Hosts,
proxies and captive portals that give everything the same answer fail them, and lead to no verdict
instead of wrong ones.

Whether HEAD is answered as truthfully as GET is documented nowhere: it is tested at the
start of each run.
"""

import asyncio
import math
import secrets
import threading
from collections.abc import Callable, Coroutine, Generator, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar
from urllib.parse import urlsplit

from toolkit.errors import UnreachableError
from toolkit.probing.answers import RATINGS, Answer, Cache, Question
from toolkit.probing.host import Host
from toolkit.progress import Progress
from toolkit.sandbox.picture_hosts import GRAVATAR

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
_OK, _NOT_FOUND = 200, 404


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
        questions: in any number and order, with repeats.
        base_url: Gravatar, or the sandbox.
        rate: requests a second at most: questions, retries and controls together.
        cache: where answers are kept; the caller closes it.
        known_as: the host's name in the cache; its own, unless told.
        patience: seconds that one answer may take.
        batch: questions between two rounds of control questions. As many are lost if the
            process is killed.

    Yields:
        Progress in distinct questions; the note of the last one says so if it ended early.

    Returns:
        An answer to each distinct question.

    Raises:
        ValueError: a hash, a rating or the rate is none.
        UnreachableError: the host does not answer at all.
        OutputError: the cache cannot be used.
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
        keep = partial(cache.keep, known_as or name) if cache else None
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


class Run:
    """One run over the questions whose answers are not known yet.

    Args:
        host: where to ask.
        name: its name, for people.
        questions: all questions, without repeats.
        known: the answers that need not be asked for.
        notes: more notes for each progress.
        report: takes the progress.
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
        self._witness: Question | None = None
        self._method = "GET"
        self._notes = notes
        self._report = report
        self._asked = 0
        self._started: float | None = None
        host.paused = lambda wait: self._tell(f"{name} asks to wait for {wait:.0f} s")

    async def answers(self, keep: Callable[[_Answers], object] | None, size: int) -> _Answers:
        """Ask, a batch at a time, and return an answer to each question.

        Args:
            keep: stores the clear answers of a batch.
            size: questions in a batch.

        Raises:
            UnreachableError: the host does not answer at all.
        """
        self._tell(f"checking that {self._name} answers truthfully")
        if not await self._holds("GET"):
            if not self._host.has_answered:
                raise UnreachableError(
                    f"{self._name} does not answer. Check the network, the proxy "
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
                self._witness = present[-1] if present else self._witness
                if keep:
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
        if self._witness:
            controls.append((self._witness, "404", Answer.PRESENT))
        found = await asyncio.gather(
            *(self._ask(method, question, default) for question, default, _ in controls)
        )
        return found == [answer for *_, answer in controls]

    async def _agree(self, questions: Sequence[Question]) -> bool:
        """Tell whether HEAD and GET have the same answers, and clear ones."""
        pairs = await asyncio.gather(
            *(self._ask(method, question) for question in questions for method in ("HEAD", "GET"))
        )
        return Answer.UNCLEAR not in pairs and pairs[::2] == pairs[1::2]

    async def _recovers(self) -> bool:
        """Wait until the host answers truthfully again; tell whether it does."""
        for times in _RECOVERY:
            self._tell(f"waiting for {self._name} to answer truthfully again")
            await asyncio.sleep(times * self._host.patience)
            self._host.hope_again()
            if await self._holds(self._method):
                return True
        return False

    async def _ask_and_tell(self, question: Question) -> Answer:
        answer = await self._ask(self._method, question)
        self._asked += 1
        self._tell(self._method)
        return answer

    async def _ask(self, method: str, question: Question, default: str = "404") -> Answer:
        reply = await self._host.reply(
            method, question.hash, default=default, rating=question.rating
        )
        if reply and reply.status == _NOT_FOUND:
            return Answer.ABSENT
        if reply and reply.status == _OK and reply.is_image:
            return Answer.PRESENT
        return Answer.UNCLEAR

    def _tell(self, note: str) -> None:
        total = len(self._answers)
        elapsed = _now() - self._started if self._started is not None else 0.0
        known, notes = total - len(self._open), ", ".join([note, *self._notes])
        self._report(Progress.after(elapsed, known + self._asked, total, notes, before=known))


def _now() -> float:
    return asyncio.get_running_loop().time()
