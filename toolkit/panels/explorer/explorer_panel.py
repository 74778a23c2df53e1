"""The explorer: filters, a chart that can be pressed, and the users behind it."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import ipywidgets
import traitlets

from toolkit.analysis.coverage_count import Coverage
from toolkit.analysis.groups import ACTIVITY, UNKNOWN, Seen
from toolkit.analysis.headline_words import headline
from toolkit.analysis.selection import Selection
from toolkit.classification.sources import Source
from toolkit.formatting import render, shorten
from toolkit.panels.background import Worker
from toolkit.panels.explorer.explorer_charts import GROUPS, Part, Stacks, trend
from toolkit.panels.explorer.user_table import Table, Writer
from toolkit.panels.widgets import Alert, button, guarded, stylesheet, title
from toolkit.snapshots.query import Roster
from toolkit.snapshots.snapshot import Snapshot

_LONGEST = 34
_MOST = 200  # choices that a page's field takes and a person looks through; search finds the rest
# The fields of a `Selection`, and what the filters are called if not by their group.
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

    Their choices are what `toolkit.snapshots.query.Roster.choices` returns.
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
        ).add_class("pa-field")
        self.reset = button("Clear", "Clear all filters", "70px", self.clear)
        self._every = [*self.fields.values(), self.joined_from, self.joined_to, self.text]
        super().__init__([*self._every, self.reset])
        self.add_class("pa-row")
        self.update(choices)
        for field in self._every:
            field.observe(self._select, "value")

    def update(self, choices: Mapping[str, Mapping[str, int]]) -> None:
        """Show how many users each choice has now; what is chosen stays."""
        months = {name: n for name, n in choices["cohort"].items() if name != UNKNOWN}
        with self._all_at_once():
            for by, field in self.fields.items():
                _offer(field, dict(sorted(choices[by].items(), key=_place)))
            _offer(self.joined_from, months)
            _offer(self.joined_to, months)

    def clear(self) -> None:
        """Choose all users."""
        with self._all_at_once():
            for field in self._every:
                field.value = ""
        self._select()

    @contextmanager
    def _all_at_once(self) -> Iterator[None]:
        """Leave the selection as it is while several fields change."""
        self._updating = True
        try:
            yield
        finally:
            self._updating = False

    def _select(self, _: object = None) -> None:
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
    return ipywidgets.Dropdown(options=[("all", "")], description=label).add_class("pa-field")


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


def _place(choice: tuple[str, int]) -> tuple[int, int]:
    """Sort by the order that a name has in words, or else the most users first."""
    name, users = choice
    return (_ORDER[name], 0) if name in _ORDER else (0, -users)


class Explorer(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """A snapshot to look around in. Made by `explore`; the roster is closed with it."""

    def __init__(self, roster: Roster, folder: Path, stem: str) -> None:
        self._lock = threading.RLock()
        self._picked: Part | None = None
        self.roster = roster
        self.alert = Alert()
        self.filters = Filters(roster.choices())
        self.headline, self.trend, self.chosen = (ipywidgets.HTML() for _ in range(3))
        self.by = ipywidgets.Dropdown(
            options=[(f"by {name}", by) for by, name in GROUPS.items()],
            layout=ipywidgets.Layout(width="150px"),
        )
        self.stacks = Stacks(self.pick)
        self.table = Table(roster, self.alert)
        self.everybody = button(
            "Show all", "Undo the press on a bar", "90px", lambda: self.pick(None)
        )
        self.writer = Writer(roster, folder, stem, self.alert)
        self.filters.observe(self._filter, "selection")
        self.by.observe(self._filter, "value")
        left, right = ipywidgets.VBox([self.by, self.stacks]), ipywidgets.VBox([self.trend])
        cards = ipywidgets.HBox([left, right]).add_class("pa-cards")
        picked = ipywidgets.HBox([self.chosen, self.everybody]).add_class("pa-between")
        below = ipywidgets.VBox([picked, self.table, self.writer])
        for card in (left, right, below):
            card.add_class("pa-card")
        super().__init__([stylesheet(), self.headline, self.filters, self.alert, cards, below])
        self.add_class("pa-panel")
        self.refresh()
        # A search is made ready while somebody looks at what is there.
        Worker("names", self.alert.show).ask(roster.prepare_search)

    @property
    def selection(self) -> Selection:
        """Whom the table lists: the filters, and the part of a bar that was pressed."""
        chosen: Selection = self.filters.selection
        part = self._picked
        if part is None:
            return chosen
        narrow: dict[str, Any] = {"sources": (str(part.source),)}
        if part.group is not None:
            narrow[_FIELDS[self.by.value]] = (part.group,)
        if part.broken is not None:
            kinds = {seen for seen in Seen if (seen is Seen.BROKEN) == part.broken}
            kinds &= {Seen(name) for name in chosen.seen} or {*Seen}
            narrow["seen"] = tuple(sorted(kinds))
        return replace(chosen, **narrow)

    def refresh(self) -> None:
        """Draw everything again by the filters."""
        with self._lock:
            chosen = self.filters.selection
            coverage = self._draw_bars()
            self.headline.value = render(
                "panels/explorer/head.html.j2",
                users=coverage.users,
                provenance=self.roster.provenance,
                answer=headline(coverage),
            )
            self.trend.value = trend(self.roster.coverage("cohort", chosen))
            self.filters.update(self.roster.choices(chosen))
            self._list()

    @guarded
    def pick(self, part: Part | None) -> None:
        """List the users of a part of a bar; of all bars again if it is pressed once more."""
        with self._lock:
            self._picked = None if part == self._picked else part
            self._draw_bars()
            self._list()

    def close(self) -> None:
        """Close the files, and free the memory."""
        self.table.close()
        self.roster.close()
        super().close()

    @guarded
    def _filter(self, _: object) -> None:
        with self._lock:
            self._picked = None
            self.refresh()

    def _draw_bars(self) -> Coverage:
        coverage = self.roster.coverage(self.by.value, self.filters.selection)
        self.stacks.show(coverage, self._picked)
        return coverage

    def _list(self) -> None:
        selection, part = self.selection, self._picked
        users = self.roster.users(selection)
        # First what may fail: title and files are of those whose rows are shown.
        self.table.show(selection, users)
        which = "" if part is None else f"{part.whose} whose picture is {part.what}"
        self.chosen.value = title(f"The {users:,} users{which}")
        self.everybody.layout.display = "none" if part is None else None
        self.writer.selection = selection


def explore(snapshot: Snapshot, folder: Path | str | None = None) -> Explorer:
    """Look around in a snapshot: filter, press bars, list users, write them to files.

    Args:
        snapshot: of anybody.
        folder: where files are written; by default beside the snapshot, or here.

    Returns:
        The panel.

    Raises:
        UnreadableInputError: the snapshot cannot be read.
    """
    beside = snapshot.path.parent if snapshot.path else Path.cwd()
    stem = snapshot.path.stem if snapshot.path else "snapshot"
    return Explorer(Roster(snapshot), Path(folder) if folder else beside, stem)
