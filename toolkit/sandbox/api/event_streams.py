"""The route of event streams, as far as they are read.

Facts: Auth0 Management API, "List event streams" (scope `read:event_streams`; pages by `from` and
`take`), and auth0-python 6.8.0: a stream has a `status`, `subscriptions` with an `event_type` each,
and a `destination` of the type `webhook`, `eventbridge` or `action`. INFERRED: the error of a plan
without them has the code that Auth0 was recorded to send for other features.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from starlette.routing import BaseRoute

from toolkit.sandbox.api.gate import ROOT, Answer, Call, Gate, query
from toolkit.sandbox.api.lists import checkpoint
from toolkit.sandbox.problem import Problem


class EventStreams:
    """The event streams of one tenant, loaded from mappings; None: its plan has none."""

    def __init__(self, loaded: Iterable[Mapping[str, Any]] | None) -> None:
        self._streams: list[dict[str, Any]] | None = None
        if loaded is not None:
            self._streams = [
                {"id": f"est_{number:016}", "status": "enabled", **one}
                for number, one in enumerate(loaded, start=1)
            ]

    def routes(self, gate: Gate) -> list[BaseRoute]:
        """Return the routes."""
        every = f"{ROOT}/event-streams"
        return [
            gate.route("GET", every, self.streams, "read:event_streams", query=query("from take"))
        ]

    def streams(self, call: Call) -> Answer:
        """List event streams."""
        if self._streams is None:
            raise Problem(403, "Event streams are not part of this plan.", "feature_not_enabled")
        return checkpoint(call, "eventStreams", self._streams)
