"""A Gravatar in memory, and an event loop whose clock jumps instead of waiting."""

import asyncio
import selectors

import httpx

from toolkit.probing.answers import Answer
from toolkit.probing.gravatar import Host, Run

PIXEL = b"\x89PNG\r\n\x1a\n and so on"


class _Jumping(selectors.DefaultSelector):
    """Moves the clock on where a real one would wait."""

    now = 0.0

    def select(self, timeout=None):
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "nothing will ever happen"
            # A microsecond more: floating-point sums must not fall short of a deadline.
            self.now += max(timeout, 0) + 1e-6
        return ready


def run(coroutine):
    """Run a coroutine to its end in simulated time."""

    def loop():
        selector = _Jumping()
        made = asyncio.SelectorEventLoop(selector)
        made.time = lambda: selector.now
        return made

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(coroutine)


class _Body(httpx.AsyncByteStream):
    def __init__(self, content):
        self._content = content

    async def __aiter__(self):
        yield self._content


def answer(status, kind="text/html", body=b"", **headers):
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, headers={"content-type": kind, **told}, stream=_Body(body))


def picture():
    return answer(200, "image/png", PIXEL)


class Gravatar(httpx.AsyncBaseTransport):
    """Tells the truth after a moment.

    `twist(request, second)` may return another answer, or raise; `log` holds (second,
    request) of all that came.
    """

    def __init__(self, present=(), latency=0.05, twist=None):
        self.present = {question.hash for question in present}
        self.latency = latency
        self.twist = twist or (lambda *_: None)
        self.log = []

    async def handle_async_request(self, request):
        second = asyncio.get_running_loop().time()
        self.log.append((second, request))
        await asyncio.sleep(self.latency)
        return self.twist(request, second) or self.truth(request)

    def truth(self, request):
        digest = request.url.path.removeprefix("/avatar/")
        shows = digest in self.present or request.url.params["d"] == "mp"
        return picture() if shows else answer(404)

    @property
    def seconds(self):
        return [second for second, _ in self.log]

    def asked(self, method, questions):
        hashes = {question.hash for question in questions}
        return sum(
            request.method == method and request.url.path[-32:] in hashes for _, request in self.log
        )


def probe(gravatar, questions, *, rate=5.0, patience=10.0, batch=50):
    """Ask a simulated Gravatar; return the answers and the progress."""
    told = []

    async def work():
        async with Host(
            "https://gravatar.test", rate=rate, patience=patience, transport=gravatar
        ) as host:
            one = Run(host, "gravatar.test", questions, known={}, notes=[], report=told.append)
            return await one.answers(lambda _: None, batch)

    answers = run(work())
    wrong = {
        question: found
        for question, found in answers.items()
        if found is not Answer.UNCLEAR
        and (found is Answer.PRESENT) != (question.hash in gravatar.present)
    }
    assert wrong == {}
    return answers, told
