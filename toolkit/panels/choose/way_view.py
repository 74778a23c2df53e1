"""Step 2, how: the four ways with what to know of each, and whom it concerns."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape

import ipywidgets
import traitlets

from toolkit.change.decide import CANNOT
from toolkit.change.plan_summary import Plan
from toolkit.change.policy import REPLACEABLE
from toolkit.change.ways import CEILINGS, EXPLANATIONS, Way, requests, seconds
from toolkit.classification.sources import Source
from toolkit.formatting import lasting, shorten
from toolkit.panels.widgets import Alert, check, guarded, muted

NAMES: Mapping[Way, str] = {
    Way.ACTION: "At login, by an Action (recommended)",
    Way.ROOT: "In the profile (root picture)",
    Way.METADATA: "In user_metadata.picture",
    Way.RULE: "By Rules (printed only)",
}
"""What each way is called where it is chosen."""

_QUESTIONS = {
    "changes": "what changes",
    "shows": "where it shows",
    "whom": "for whom",
    "when": "from when",
    "lasts": "how long",
    "undo": "undo",
}
_CALLED = {
    "social": "pictures past their time",
    "unresolved": "what Gravatar falls back to",
    "placeholder": "stock images",
    "missing": "no picture at all",
    "invalid": "no usable address",
}
_LONGEST = 26
_ROWS = 6


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen.

    Attributes:
        way: how the picture is brought to people.
        connections: names of connections; all without any.
        sources: what is replaced; everything replaceable without any.
        override: whether `user_metadata.picture` comes first.
        expired: whether expired pictures are replaced.
    """

    way: Way = Way.ACTION
    connections: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    override: bool = False
    expired: bool = True


class WayView(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """Ways, and beside them whom they concern.

    Args:
        connections: users of each connection.
        sources: users of each source.
        alert: the line for what goes wrong.

    Attributes:
        choice: what is chosen now.
        scope: the fields that say for whom; stands elsewhere on the page.
    """

    choice = traitlets.Instance(Choice, args=())

    def __init__(
        self, connections: Mapping[str, int], sources: Mapping[str, int], alert: Alert
    ) -> None:
        self.alert = alert
        self._settling = False
        self._plan: Plan | None = None
        self.ways = {way: _radio(name) for way, name in NAMES.items()}
        self.costs = {way: ipywidgets.HTML() for way in Way}
        self.facts = {way: ipywidgets.HTML(_facts(way)) for way in Way}
        self.speed = ipywidgets.Dropdown(
            options=[*CEILINGS], value="essentials", description="your Auth0 plan"
        )
        self.connections = _many("connections", connections)
        replaceable = {str(one): sources[one] for one in REPLACEABLE if sources.get(one)}
        if Source.SOCIAL in replaceable:
            replaceable[Source.SOCIAL] = 0  # how many of them are past their time, nobody counted
        self.sources = _many("what is replaced", replaceable)
        self.override = check("user_metadata.picture comes first")
        self.expired = check("replace expired pictures", value=True)
        blocks = []
        for way in Way:
            block = ipywidgets.VBox([self.ways[way], self.costs[way], self.facts[way]])
            block.add_class("pa-way")
            blocks.append(block)
        fields = ipywidgets.HBox([self.connections, self.sources])
        switches = ipywidgets.VBox([self.override, self.expired])
        for field in (self.connections, self.sources, self.speed):
            field.add_class("pa-field")
        fields.add_class("pa-row")
        note = muted("nothing marked means all; Ctrl or ⌘ marks several")
        whom = ipywidgets.HTML('<div class="pa-title">For whom</div>')
        self.scope = ipywidgets.VBox([whom, fields, ipywidgets.HTML(note), switches])
        title = ipywidgets.HTML('<div class="pa-title">2 · How</div>')
        super().__init__([title, *blocks, self.speed])
        for way, radio in self.ways.items():
            radio.observe(lambda change, way=way: self._pressed(way, change["new"]), "index")
        for field in (self.connections, self.sources, self.override, self.expired):
            field.observe(lambda _: self._chosen(), "value")
        self.speed.observe(lambda _: self._cost(), "value")
        self.choose(Way.ACTION)

    @guarded
    def choose(self, way: Way) -> None:
        """Choose a way."""
        self._settling = True
        try:
            for one, radio in self.ways.items():
                radio.index = 0 if one is way else None
                self.facts[one].layout.display = None if one is way else "none"
        finally:
            self._settling = False
        self._chosen()

    def show(self, plan: Plan | None) -> None:
        """Show what each way would take, by a plan with this scope; None while none is known."""
        self._plan = plan
        self._cost()

    def _pressed(self, way: Way, index: int | None) -> None:
        if not self._settling and index == 0:
            self.choose(way)

    @guarded
    def _chosen(self) -> None:
        way = next((one for one, radio in self.ways.items() if radio.index == 0), Way.ACTION)
        self.choice = Choice(
            way,
            tuple(self.connections.value),
            tuple(self.sources.value),
            self.override.value,
            self.expired.value,
        )

    @guarded
    def _cost(self) -> None:
        plan = self._plan  # another thread may drop it
        for way, cost in self.costs.items():
            words = "…" if plan is None else _cost(way, plan, self.speed.value)
            cost.value = muted(words)


def _cost(way: Way, plan: Plan, speed: str) -> str:
    users = plan.tally.ways[way]
    if way is Way.RULE:
        return "nothing is deployed; Rules no longer run"
    took = lasting(max(seconds(way, users, speed), 1))
    if way is Way.ACTION:
        return (
            f"one change, about {requests(way, users)} requests ≈ {took} · {users:,} people, "
            "each from their next login"
        )
    cannot = plan.tally.of(CANNOT) if plan.way is way else 0
    refused = f" · {cannot:,} cannot be changed" if cannot else ""
    asked = f"{requests(way, users):,} requests"
    return f"{users:,} writes and as many reads, {asked} ≈ {took}{refused}"


def _facts(way: Way) -> str:
    rows = "".join(
        f'<div class="pa-fact"><span>{_QUESTIONS[name]}</span><span>{_marked(text)}</span></div>'
        for name, text in asdict(EXPLANATIONS[way]).items()
    )
    return f'<div class="pa-facts">{rows}</div>'


def _marked(text: str) -> str:
    """Write what stands between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _radio(name: str) -> ipywidgets.RadioButtons:
    # One of each, so that what to know of a way stands right below it.
    radio = ipywidgets.RadioButtons(options=[name], index=None)
    radio.add_class("pa-radio")
    return radio


def _many(name: str, counts: Mapping[str, int]) -> ipywidgets.SelectMultiple:
    ordered: Sequence[tuple[str, int]] = sorted(counts.items(), key=lambda pair: -pair[1])
    options = [
        (shorten(_CALLED.get(one, one), _LONGEST) + (f" · {users:,}" if users else ""), one)
        for one, users in ordered
    ]
    return ipywidgets.SelectMultiple(options=options, description=name, rows=_ROWS)
