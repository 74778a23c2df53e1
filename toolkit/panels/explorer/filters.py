"""The filters of the explorer: one field each, and what they add up to as a selection."""

from collections.abc import Mapping
from itertools import islice

import ipywidgets
import traitlets

from toolkit.analysis.groups import ACTIVITY, UNKNOWN, Seen
from toolkit.analysis.selection import Selection
from toolkit.classification.sources import Source
from toolkit.formatting import shorten
from toolkit.panels.widgets import button

_LONGEST = 34
_MOST = 200  # choices that a page's field takes and a person looks through; search finds the rest
_FIELDS = {
    "connection": "connections",
    "source": "sources",
    "provider": "providers",
    "seen": "seen",
    "activity": "activity",
}
_LABELS = {"seen": "people see", "activity": "last login"}
_ORDER = {name: place for names in (Source, Seen, ACTIVITY) for place, name in enumerate(names)}


class Filters(ipywidgets.HBox):  # type: ignore[misc] # ipywidgets has no types
    """Fields for connection, source, provider, what people see, last login, months and text.

    Args:
        choices: users of each value that occurs, as `toolkit.snapshots.query.Roster.choices`
            counts.

    Attributes:
        selection: what the fields add up to; follows them.
    """

    selection = traitlets.Instance(Selection, args=())

    def __init__(self, choices: Mapping[str, Mapping[str, int]]) -> None:
        self._updating = False
        self.fields = {by: _field(_LABELS.get(by, by)) for by in _FIELDS}
        self.joined_from, self.joined_to = _field("joined from"), _field("joined until")
        self.text = ipywidgets.Text(
            description="search",
            placeholder="id, e-mail, name or connection, then Enter",
            continuous_update=False,
        )
        self.text.add_class("pa-field")
        self.reset = button("Clear", "Clear all filters", "70px")
        every = [*self.fields.values(), self.joined_from, self.joined_to, self.text]
        super().__init__([*every, self.reset])
        self.add_class("pa-row")
        self.update(choices)
        for field in every:
            field.observe(self._changed, "value")
        self.reset.on_click(lambda _: self.clear())

    def update(self, choices: Mapping[str, Mapping[str, int]]) -> None:
        """Show how many users each choice has now; what is chosen stays."""
        months = {name: n for name, n in choices["cohort"].items() if name != UNKNOWN}
        self._updating = True
        try:
            for by, field in self.fields.items():
                ordered = sorted(choices[by].items(), key=lambda pair: _place(*pair))
                _offer(field, dict(ordered))
            _offer(self.joined_from, months)
            _offer(self.joined_to, months)
        finally:
            self._updating = False

    def clear(self) -> None:
        """Let everybody pass."""
        self._updating = True
        try:
            for field in (*self.fields.values(), self.joined_from, self.joined_to):
                field.value = ""
            self.text.value = ""
        finally:
            self._updating = False
        self._changed()

    def _changed(self, _: object = None) -> None:
        if self._updating:
            return
        chosen = {
            name: (self.fields[by].value,) for by, name in _FIELDS.items() if self.fields[by].value
        }
        self.selection = Selection(
            **chosen,
            joined_from=self.joined_from.value or None,
            joined_to=self.joined_to.value or None,
            text=self.text.value.strip(),
        )


def _field(label: str) -> ipywidgets.Dropdown:
    field = ipywidgets.Dropdown(options=[("all", "")], description=label)
    field.add_class("pa-field")
    return field


def _offer(field: ipywidgets.Dropdown, users: Mapping[str, int]) -> None:
    listed = dict(islice(users.items(), _MOST))
    if field.value in users:
        listed[field.value] = users[field.value]
    more = len(users) - len(listed)
    offered = [
        (f"all (search finds {more:,} smaller ones)" if more else "all", ""),
        *((f"{shorten(name, _LONGEST)} · {n:,}", name) for name, n in listed.items()),
    ]
    if offered != list(field.options):
        chosen = field.value
        with field.hold_sync():  # the page sees one change, and not that nothing was chosen
            field.options = offered
            field.value = chosen


def _place(name: str, users: int) -> tuple[int, int, str]:
    """Sort by the order that a name has in words, or else the most users first."""
    return (_ORDER[name], 0, "") if name in _ORDER else (0, -users, name)
