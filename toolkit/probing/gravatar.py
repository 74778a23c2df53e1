"""Asks Gravatar which hashes have a picture, and believes it only while it can be checked.

Fact: Gravatar docs, "Images": with `d=404` a hash without a picture is answered with 404,
with `d=mp` by a silhouette. So there are questions whose answers are known: nobody has a
random hash, and every hash has a silhouette. They are asked before the first real question
and after each batch; a batch counts only between two rounds of right answers. Hosts,
proxies and captive portals that answer everything alike fail them, and lead to no verdict
at all instead of wrong ones.

Whether HEAD is answered as truthfully as GET is documented nowhere: it is found out at the
start of each run.
"""

import asyncio
import math
import secrets
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from urllib.parse import urlsplit

from toolkit.errors import UnreachableError
from toolkit.probing.answers import RATINGS, Answer, Cache, Question
from toolkit.probing.event_loop import driven
from toolkit.probing.host import Host
from toolkit.progress import Progress
from toolkit.sandbox.picture_hosts import GRAVATAR

RATE = 5.0
"""Requests a second that are polite (Gravatar sets no limit for pictures, but has bad days)."""

PATIENCE = 10.0
"""Seconds that one answer may take."""

BATCH = 50
"""Questions between two rounds of control questions."""

_SAMPLE = 3
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
) -> Generator[Progress, None, Mapping[Question, Answer]]:
    """Ask about each question once, those that the cache knows not at all.

    Nothing is guessed: where Gravatar gives no answer, or cannot be trusted, the answer is
    `UNCLEAR` and is not kept. Asking again asks about those alone. Closing the generator
    cancels; all batches so far are in the cache.

    Args:
        questions: in any number and order, with repeats.
        base_url: Gravatar, or whoever answers for it.
        rate: requests a second at most: questions, retries and controls together.
        cache: where answers are kept; the caller closes it.
        known_as: by which name the cache knows the host; its own, unless told.
        patience: seconds that one answer may take.
        batch: questions between two rounds of control questions. As many are lost if the
            process is killed.

    Yields:
        Progress in distinct questions; the note of the last one says so if it ended early.

    Returns:
        An answer to each distinct question.

    Raises:
        ValueError: A hash, a rating or the rate is none.
        UnreachableError: The host does not answer at all.
        OutputError: The cache cannot be used.
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

    async def work(report: Callable[[Progress], None]) -> Mapping[Question, Answer]:
        async with Host(base_url, rate=rate, patience=patience) as host:
            run = Run(host, name, wanted, known=known, notes=notes, report=report)
            return await run.answers(cache, batch, known_as)

    return (yield from driven(work))


def _check(questions: Iterable[Question], rate: float) -> None:
    if not 0 < rate < math.inf:
        raise ValueError("the rate is a finite number of requests a second, more than 0")
    for digest, rating in questions:
        if len(digest) not in _LENGTHS or not set(digest) <= set("0123456789abcdef"):
            raise ValueError("a Gravatar hash is 32 or 64 lower-case hex digits")
        if rating not in RATINGS:
            raise ValueError(f"a rating is one of {', '.join(RATINGS)}")


class Run:
    """One run over the questions that nobody knows the answers to yet.

    Args:
        host: whom to ask.
        name: its name, for the cache and for people.
        questions: all questions, without repeats.
        known: the answers that need not be asked for.
        notes: what each progress shall say besides.
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

    async def answers(
        self, cache: Cache | None, size: int, known_as: str | None = None
    ) -> Mapping[Question, Answer]:
        """Ask, a batch at a time, and return an answer to each question.

        Args:
            cache: where answers are kept, batch by batch.
            size: questions in a batch.
            known_as: by which name the cache knows the host; by its own, unless told.

        Raises:
            UnreachableError: The host does not answer at all.
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
                self._settle(found)
                if cache:
                    cache.keep(known_as or self._name, _clear(found))
            elif start + size < len(self._open) and not await self._recovers():
                self._tell(f"{self._name} stopped answering truthfully: ended early, run again")
                break
        return self._answers

    async def _batch(self, questions: Sequence[Question]) -> dict[Question, Answer] | None:
        """Ask a batch; None if the host cannot be believed."""
        found = await asyncio.gather(*(self._ask_and_tell(question) for question in questions))
        if self._host.is_given_up or not await self._holds(self._method):
            return None
        return dict(zip(questions, found, strict=True))

    def _settle(self, found: Mapping[Question, Answer]) -> None:
        """Believe answers."""
        clear = _clear(found)
        self._answers |= clear
        present = [one for one, answer in clear.items() if answer is Answer.PRESENT]
        # The latest: people remove their pictures, too.
        self._witness = present[-1] if present else self._witness

    async def _holds(self, method: str) -> bool:
        """Ask what is known; tell whether all of the answers are right."""
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
        """Report how far it has come."""
        total = len(self._answers)
        elapsed = _now() - self._started if self._started is not None else 0.0
        known, notes = total - len(self._open), ", ".join([note, *self._notes])
        self._report(Progress.after(elapsed, known + self._asked, total, notes, before=known))


def _clear(found: Mapping[Question, Answer]) -> dict[Question, Answer]:
    return {one: answer for one, answer in found.items() if answer is not Answer.UNCLEAR}


def _now() -> float:
    return asyncio.get_running_loop().time()
