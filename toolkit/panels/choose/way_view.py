"""Step 2, how: the four ways with what to know of each, and whom it concerns."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import permutations

import ipywidgets
import traitlets

from toolkit.analysis.finding_checks import Fix
from toolkit.analysis.own_action import Step
from toolkit.change.decide import CANNOT
from toolkit.change.plan_summary import Plan
from toolkit.change.policy import REPLACEABLE
from toolkit.change.ways import CEILINGS, EXPLANATIONS, Way, requests, seconds
from toolkit.classification.sources import Source
from toolkit.formatting import lasting, plural, render, shorten
from toolkit.panels.widgets import Alert, check, guarded, muted, title

NAMES: Mapping[Way, str] = {
    Way.ACTION: "At login, by an Action (recommended)",
    Way.ROOT: "Write it into each profile",
    Way.METADATA: "Write it into user_metadata.picture",
    Way.RULE: "By Rules (printed only)",
}
"""What each way is called where it is chosen."""

_CALLED = {
    "social": "links that have expired",
    "unresolved": "shown without a Gravatar",
    "placeholder": "stock images",
    "missing": "no picture at all",
    "invalid": "no usable address",
}
_ORDERS = {
    " → ".join((*order, "default")): order
    for count in range(1, len(Step) + 1)
    for order in permutations(Step, count)
    if Step.OWN in order
}
_STEPS = (
    "The first usable picture is shown. own: the profile's · override: what people uploaded "
    "(user_metadata.picture) · elsewhere: a photo that the tenant holds in another place."
)
_LONGEST = 36
_ROWS = 6


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen: the way, and whom it concerns as `toolkit.change.policy.Policy` says."""

    way: Way = Way.ACTION
    connections: tuple[str, ...] = ()  # none means all, here and below
    sources: tuple[str, ...] = ()
    order: tuple[Step, ...] = (Step.OWN,)
    expired: bool = True
    former: tuple[str, ...] = ()


class WayView(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """The ways; the fields that say for whom, `scope`, are placed elsewhere on the page.

    Args:
        connections: users of each connection.
        sources: users of each source.
        alert: shows what goes wrong.
    """

    choice = traitlets.Instance(Choice, args=())

    def __init__(
        self, connections: Mapping[str, int], sources: Mapping[str, int], alert: Alert
    ) -> None:
        self.alert = alert
        self._plan: Plan | None = None
        # One radio button each, so that what to know of a way stands right below it.
        self.ways = {
            way: ipywidgets.RadioButtons(options=[name], index=None).add_class("pa-radio")
            for way, name in NAMES.items()
        }
        self.costs = {way: ipywidgets.HTML() for way in Way}
        self.facts = {
            way: ipywidgets.HTML(render("panels/choose/facts.html.j2", answers=asdict(answers)))
            for way, answers in EXPLANATIONS.items()
        }
        self.speed = ipywidgets.Dropdown(
            options=[*CEILINGS], value="essentials", description="your Auth0 plan"
        )
        self.timed = ipywidgets.HTML()
        self.connections = _many("connections", connections)
        replaceable = {str(one): sources[one] for one in REPLACEABLE if sources.get(one)}
        if Source.SOCIAL in replaceable:
            replaceable[Source.SOCIAL] = 0  # how many of them are past their time, nobody counted
        self.sources = _many("replace …", replaceable)
        wide = ipywidgets.Layout(max_width="none")
        self.order = ipywidgets.Dropdown(
            options=_ORDERS, description="order of pictures", layout=wide
        )
        self.expired = check("replace expired pictures", value=True)
        self._former: tuple[str, ...] = ()
        self.former = check("replace the hidden default")
        self.former.layout.display = "none"
        blocks = [
            ipywidgets.VBox([self.ways[way], self.costs[way], self.facts[way]]).add_class("pa-way")
            for way in Way
        ]
        for field in (self.connections, self.sources, self.order, self.speed):
            field.add_class("pa-field")
        self.scope = ipywidgets.VBox(
            [
                ipywidgets.HTML(title("For whom")),
                ipywidgets.HBox([self.connections, self.sources]).add_class("pa-row"),
                ipywidgets.HTML(muted("Nothing chosen = all. Hold Ctrl (⌘) to choose several.")),
                ipywidgets.HBox([self.order]).add_class("pa-row"),
                ipywidgets.HTML(muted(_STEPS)),
                self.expired,
                self.former,
            ]
        )
        super().__init__([ipywidgets.HTML(title("2 · How")), *blocks, self.speed, self.timed])
        for way, radio in self.ways.items():
            radio.observe(
                lambda change, way=way: self.choose(way) if change["new"] == 0 else None, "index"
            )
        for field in (self.connections, self.sources, self.order, self.expired, self.former):
            field.observe(lambda _: self._choose(), "value")
        self.speed.observe(lambda _: self._show_costs(), "value")
        self.choose(Way.ACTION)

    def take(self, fix: Fix, former: tuple[str, ...] = ()) -> None:
        """Choose the way and the scope of a change that settles a finding.

        Args:
            fix: the change.
            former: addresses of hidden default pictures, which are replaced, too.
        """
        with self.hold_trait_notifications():  # one choice, one plan
            self._former = former
            addresses = plural(len(former), "address", "addresses")
            self.former.description = f"replace the hidden default, too ({addresses})"
            self.former.value = bool(former)
            self.former.layout.display = None if former else "none"
            offered = [name for _, name in self.sources.options]
            self.sources.value = [str(one) for one in fix.sources if one in offered]
            self.connections.value = ()
            self.order.value = fix.order
            self.expired.value = True
            self.choose(Way(fix.way))

    @guarded
    def choose(self, way: Way) -> None:
        """Choose a way."""
        for one, radio in self.ways.items():
            radio.index = 0 if one is way else None
            self.facts[one].layout.display = None if one is way else "none"
        self._choose()

    def show(self, plan: Plan | None) -> None:
        """Show the effort of each way, by a plan with this scope; None while none is known."""
        self._plan = plan
        self._show_costs()

    def time_by(self, plan: str | None) -> None:
        """Reckon with the rate limits that the tenant says it has; None: let somebody choose."""
        if plan is not None:
            self.speed.value = plan
        self.speed.layout.display = None if plan is None else "none"
        said = "Times: by the rate limit that this tenant's answers state."
        self.timed.value = "" if plan is None else muted(said)

    @guarded
    def _choose(self) -> None:
        way = next((one for one, radio in self.ways.items() if radio.index == 0), Way.ACTION)
        self.choice = Choice(
            way,
            tuple(self.connections.value),
            tuple(self.sources.value),
            self.order.value,
            self.expired.value,
            self._former if self.former.value else (),
        )

    @guarded
    def _show_costs(self) -> None:
        plan = self._plan  # another thread may drop it
        for way, cost in self.costs.items():
            words = "…" if plan is None else _cost(way, plan, self.speed.value)
            cost.value = muted(words)


def _cost(way: Way, plan: Plan, speed: str) -> str:
    users = plan.tally.ways[way]
    if way is Way.RULE:
        return "nothing is deployed; by Auth0's schedule Rules no longer run"
    took = lasting(max(seconds(way, users, speed), 1))
    if way is Way.ACTION:
        return (
            f"one change, about {requests(way, users)} requests ≈ {took} · "
            f"{plan.effect(way).first}, each from their next login"
        )
    cannot = plan.tally.of(CANNOT) if plan.way is way else 0
    refused = f" · {cannot:,} others cannot be changed" if cannot else ""
    asked = f"{requests(way, users):,} requests"
    return f"{users:,} writes and as many reads, {asked} ≈ {took}{refused}"


def _many(name: str, counts: Mapping[str, int]) -> ipywidgets.SelectMultiple:
    options = [
        ((f"{users:,} · " if users else "") + shorten(_CALLED.get(one, one), _LONGEST), one)
        for one, users in sorted(counts.items(), key=lambda pair: -pair[1])
    ]
    return ipywidgets.SelectMultiple(options=options, description=name, rows=_ROWS)
