"""One connection to the sandbox: who is slow is not waited for, and there are only so many.

A client has 30 seconds to send a request, its body included, and as long to take in what is
sent; between two requests uvicorn waits for 5. Heads of more than 64 KiB are refused by h11.
"""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from toolkit.sandbox.weather import HANG_UP

PATIENCE = 30.0
"""Seconds that a client has for a request, and for taking in some of an answer."""

MOST_CONNECTIONS = 256
"""Connections at a time; one more is closed at once."""


class Protocol(H11Protocol):
    """HTTP over one connection, which a request can also hang up (see the fault `reset`)."""

    _sending: asyncio.TimerHandle | None = None
    _taking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, unless there are too many."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, HANG_UP: transport}
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
        else:
            self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        _cancel(self._sending)
        _cancel(self._taking)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; the time that a request has begins with its first byte."""
        super().data_received(data)
        self._expect()

    def pause_writing(self) -> None:
        """Wait for a client that does not take in what is sent, but not for ever."""
        super().pause_writing()
        self._taking = self.loop.call_later(PATIENCE, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on with a client that does."""
        super().resume_writing()
        _cancel(self._taking)

    def _expect(self) -> None:
        """Set the time for the request that is under way, or drop it where it is complete."""
        if self.conn.their_state in {h11.IDLE, h11.SEND_BODY}:
            if self._sending is None:
                self._sending = self.loop.call_later(PATIENCE, self.transport.abort)
        else:
            _cancel(self._sending)
            self._sending = None


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer:
        timer.cancel()
