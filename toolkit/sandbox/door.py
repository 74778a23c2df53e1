"""The door before everything that the sandbox answers: who calls under which name.

A page anywhere can have a browser send requests to this machine. Where it lets its own name
mean this machine (DNS rebinding), the Host header tells; where it writes, the Origin header.
"""

from collections.abc import Callable, Sequence
from email.utils import formatdate

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from toolkit.sandbox.problem import Problem
from toolkit.sandbox.tally import Tally

_READING = frozenset({"GET", "HEAD", "OPTIONS"})


def door(
    application: ASGIApp, hosts: Sequence[str], tally: Tally, clock: Callable[[], float]
) -> ASGIApp:
    """Return the application behind a door that counts and dates every answer.

    Args:
        application: What answers.
        hosts: The names that it answers to, each with the port.
        tally: Counts the answers.
        clock: UNIX seconds, for the header `Date`.
    """
    known = {host.encode() for host in hosts}
    origins = {f"{scheme}://{host}".encode() for host in hosts for scheme in ("http", "https")}

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                path = getattr(scope.get("route"), "path", "(none)")
                tally.add(scope["method"], path, message["status"])
                MutableHeaders(scope=message)["date"] = formatdate(clock(), usegmt=True)
            await send(message)

        named = [value.lower() for name, value in scope["headers"] if name == b"host"]
        origin = [value.lower() for name, value in scope["headers"] if name == b"origin"]
        if len(named) != 1 or named[0] not in known:
            refusal = Problem(421, "This host is not served here").response()
            await refusal(scope, receive, counting)
        elif scope["method"] not in _READING and not origins.issuperset(origin):
            refusal = Problem(403, "Pages of other origins cannot write here").response()
            await refusal(scope, receive, counting)
        else:
            await application(scope, receive, counting)

    return guarded
