"""The explorer: filters, a chart that can be pressed, and the users behind it."""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import accumulate, islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

import ipywidgets
import traitlets

from toolkit.analysis.coverage_count import Coverage
from toolkit.analysis.finding_checks import CHECKS
from toolkit.analysis.finding_counts import Finding
from toolkit.analysis.groups import ACTIVITY, UNKNOWN, Seen
from toolkit.analysis.headline_words import headline
from toolkit.analysis.selection import Selection
from toolkit.classification.sources import Source
from toolkit.formatting import render, shorten
from toolkit.panels.background import Worker
from toolkit.panels.explorer.explorer_charts import GROUPS, Part, Stacks, trend
from toolkit.panels.explorer.finding_list import FindingList
from toolkit.panels.explorer.user_table import SEEN, Table, Writer
from toolkit.panels.saved_files import SaveChart
from toolkit.panels.widgets import (
    MADE_UP,
    Alert,
    Printed,
    button,
    entrance,
    guarded,
    skip,
    stylesheet,
    title,
)
from toolkit.reporting.charts.month_charts import own_by_month
from toolkit.reporting.charts.source_charts import by_group
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
_VALUES: Mapping[str, Mapping[str, str]] = {"seen": SEEN}
_TITLES = {one.id: one.title for one in CHECKS}
_ORDER = {name: place for names in (Source, Seen, ACTIVITY) for place, name in enumerate(names)}


class Filters(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """Fields for connection, source, provider, what people see, last login, months and text.

    A choice in a field is added to those before it, or removed if it is one of them; the buttons
    below remove it, too, or turn the filter into its contrary. The choices are what
    `toolkit.snapshots.query.Roster.choices` returns.
    """

    selection = traitlets.Instance(Selection, args=())

    def __init__(self, choices: Mapping[str, Mapping[str, int]]) -> None:
        self._updating = False
        self._usual = choices
        self.fields = {by: _field(_LABELS.get(by, by)) for by in _FIELDS}
        self.joined_from, self.joined_to = _field("joined from"), _field("joined until")
        self.text = ipywidgets.Text(
            description="search",
            placeholder="id, e-mail, name or connection, then Enter",
            continuous_update=False,
        ).add_class("pa-field")
        self.reset = button("Clear", "Clear all filters", "70px", self.clear)
        self.chips = ipywidgets.HBox().add_class("pa-chips")
        plain = [self.joined_from, self.joined_to, self.text]
        fields = ipywidgets.HBox([*self.fields.values(), *plain, self.reset]).add_class("pa-row")
        super().__init__([fields, self.chips])
        self.update(choices)
        for by, field in self.fields.items():
            field.observe(lambda change, by=by: self._add(by, change["new"]), "value")
        for field in plain:
            field.observe(self._select, "value")

    def update(self, choices: Mapping[str, Mapping[str, int]]) -> None:
        """Show how many users each choice would leave or add now; what is chosen stays."""
        months = {name: n for name, n in choices["cohort"].items() if name != UNKNOWN}
        first, last = self.joined_from.value, self.joined_to.value
        # What is left from a month on, and up to a month, while the other end stays.
        since = {one: n for one, n in months.items() if not last or one <= last}
        until = {one: n for one, n in months.items() if not first or one >= first}
        with self._all_at_once():
            for by, field in self.fields.items():
                usual = self._usual[by] if len(choices[by]) <= _MOST else choices[by]
                # In one order, so that a choice is the one that was seen when it was made.
                names = sorted(choices[by], key=lambda name: _place(name, usual.get(name, 0)))
                chosen = getattr(self.selection, _FIELDS[by])
                users = {name: choices[by][name] for name in names}
                _offer(field, users, chosen, _VALUES.get(by, {}))
            counted = accumulate(reversed(since.values()))
            _offer(self.joined_from, dict(zip(since, reversed([*counted]), strict=True)))
            _offer(self.joined_to, dict(zip(until, accumulate(until.values()), strict=True)))

    def clear(self) -> None:
        """Choose all users."""
        self.choose(Selection())

    def choose(self, selection: Selection) -> None:
        """Show a selection in the fields, and make it the selection."""
        with self._all_at_once():
            for field, value in (
                (self.joined_from, selection.joined_from),
                (self.joined_to, selection.joined_to),
            ):
                if value and value not in dict(field.options).values():
                    field.options = [*field.options, (value, value)]
                field.value = value or ""
            self.text.value = selection.text
        self._tell(selection)

    def _add(self, by: str, value: str) -> None:
        if self._updating or not value:
            return
        with self._all_at_once():
            self.fields[by].value = ""
        name = _FIELDS[by]
        if value in getattr(self.selection, name):
            self._remove(name, value)
            return
        added: dict[str, Any] = {name: (*getattr(self.selection, name), value)}
        self._tell(replace(self.selection, **added))

    def _remove(self, name: str, value: str) -> None:
        left: Any = ""
        if name != "finding":
            left = tuple(one for one in getattr(self.selection, name) if one != value and value)
        self._tell(replace(self.selection, **{name: left}))

    def _turn(self, name: str) -> None:
        """Turn a filter into its contrary, or back."""
        self._tell(replace(self.selection, excluding=tuple({*self.selection.excluding} ^ {name})))

    def _select(self, _: object = None) -> None:
        if not self._updating:
            self._tell(
                replace(
                    self.selection,
                    joined_from=self.joined_from.value or None,
                    joined_to=self.joined_to.value or None,
                    text=self.text.value.strip(),
                )
            )

    def _tell(self, selection: Selection) -> None:
        filled = tuple(sorted(one for one in selection.excluding if getattr(selection, one)))
        told = replace(selection, excluding=filled)
        self.chips.children = list(self._drawn(told))
        self.selection = told

    def _drawn(self, selection: Selection) -> Iterator[ipywidgets.Button]:
        chosen: dict[str, list[tuple[str, str]]] = {
            name: [(one, _said(one, _VALUES.get(name, {}))) for one in getattr(selection, name)]
            for name in _FIELDS.values()
        }
        if selection.finding:
            chosen["finding"] = [
                (selection.finding, _TITLES.get(selection.finding, selection.finding))
            ]
        if selection.user_ids:
            chosen["user_ids"] = [("", f"one of {len(selection.user_ids):,} in a list")]
        names = {name: _LABELS.get(by, by) for by, name in _FIELDS.items()} | {"user_ids": "user"}
        for name, values in chosen.items():
            is_not = " not" if name in selection.excluding else ""
            if values:
                label = f"{names.get(name, name)} is{is_not}"
                turned = "these users instead of all others" if is_not else "all others instead"
                whose = button(label, turned, "auto", partial(self._turn, name))
                yield whose.add_class("pa-whose")
            for value, words in values:
                remove = partial(self._remove, name, value)
                yield button(f"{words} ✕", f"remove {words}", "auto", remove)

    @contextmanager
    def _all_at_once(self) -> Iterator[None]:
        """Leave the selection as it is while several fields change."""
        before, self._updating = self._updating, True
        try:
            yield
        finally:
            self._updating = before


def _field(label: str) -> ipywidgets.Dropdown:
    return ipywidgets.Dropdown(options=[("all", "")], description=label).add_class("pa-field")


def _offer(
    field: ipywidgets.Dropdown,
    users: Mapping[str, int],
    ticked: Collection[str] = (),
    words: Mapping[str, str] = MappingProxyType({}),
) -> None:
    listed = dict(islice(users.items(), _MOST))
    if field.value:
        listed[field.value] = users.get(field.value, 0)
    left, first = max(len(users) - len(listed), 0), "add another" if ticked else "all"
    offered = [
        (f"{first} (search finds {left:,} smaller ones)" if left else first, ""),
        *(
            (f"{'✓ ' if name in ticked else ''}{_said(name, words)} · {n:,}", name)
            for name, n in listed.items()
        ),
    ]
    if offered != list(field.options):
        chosen = field.value
        with field.hold_sync():  # the page sees one change, and not that nothing was chosen
            field.options = offered
            field.value = chosen


def _said(value: str, words: Mapping[str, str]) -> str:
    return words.get(value) or shorten(value, _LONGEST)


def _place(name: str, users: int) -> tuple[int, int]:
    """Sort by the order that a name has in words, or else the most users first."""
    return (_ORDER[name], 0) if name in _ORDER else (0, -users)


class Explorer(Printed, ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """A snapshot to look around in. Made by `explore`; the roster is closed with it."""

    def __init__(
        self,
        roster: Roster,
        folder: Path,
        stem: str,
        *,
        path: Path | None = None,
        fix: Callable[[Finding], object] | None = None,
    ) -> None:
        self._lock = threading.RLock()
        self._picked: Part | None = None
        self._words = (Selection(), "")
        self.roster = roster
        self.alert = Alert()
        self.filters = Filters(roster.choices())
        self.headline, self.trend, self.chosen = (ipywidgets.HTML() for _ in range(3))
        self.by = ipywidgets.Dropdown(
            options=[(f"by {name}", by) for by, name in GROUPS.items()],
            description="bars",  # a field without a name is read as nothing
            style={"description_width": "initial"},
            layout=ipywidgets.Layout(width="190px"),
        )
        self.stacks = Stacks(self.pick)
        self.findings = FindingList(self._show_finding, fix)
        self.table = Table(roster, self.alert, path=path)
        self.everybody = button("Show all", "list everybody again", "90px", lambda: self.pick(None))
        self.writer = Writer(roster, folder, stem, self.alert)
        self.filters.observe(self._filter, "selection")
        self.by.observe(self._filter, "value")
        self.save_bars = SaveChart(
            lambda: by_group(roster.coverage(self.by.value, self.filters.selection)),
            f"{stem}-by-group",
            self.alert,
        )
        self.save_trend = SaveChart(
            lambda: own_by_month(roster.coverage("cohort", self.filters.selection)),
            f"{stem}-by-month",
            self.alert,
        )
        left = ipywidgets.VBox([self.by, self.stacks, self.save_bars])
        right = ipywidgets.VBox([self.trend, self.save_trend])
        cards = ipywidgets.HBox([left, right]).add_class("pa-cards")
        picked = ipywidgets.HBox([self.chosen, self.everybody]).add_class("pa-between")
        below = ipywidgets.VBox([picked, self.table, self.writer])
        for card in (left, right, self.findings, below):
            card.add_class("pa-card")
        wrong, people = entrance("What is wrong"), entrance("The people")
        past = [skip("Skip to what is wrong", wrong), skip("Skip to the people", people)]
        above = [self.headline, *past, self.filters, self.alert, cards]
        shown = [*above, wrong, skip("Skip to the people", people), self.findings, people, below]
        super().__init__([stylesheet(), *shown])
        self.add_class("pa-panel")
        self.refresh()
        # Searches, orders and findings are made ready while somebody looks at what is there.
        self._worker = Worker("loading", self._failed)
        self._worker.ask(self._load)

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

    @guarded
    def show(self, selection: Selection, words: str = "") -> None:
        """Show the users of a selection, as if its filters were chosen.

        Args:
            selection: such as `Selection(finding="expired")`.
            words: who they are, for the title, to stand after "The 66 users".
        """
        with self._lock:
            self.filters.choose(selection)
            self._words = (self.filters.selection, words)
            self._list()

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
                badge=MADE_UP,
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

    def static(self) -> tuple[str, Mapping[Source, int]]:
        """Return the headline, and users by source as far as the filters choose them."""
        chosen = self.roster.coverage("source", self.filters.selection)
        return self.headline.value, chosen.sources

    def close(self) -> None:
        """Close the files, and free the memory."""
        self._worker.stop()
        self.table.close()
        self.roster.close()
        super().close()

    def _load(self) -> None:
        work: tuple[Callable[[], None], ...] = (
            partial(self.roster.prepare, "people"),
            self._find,
            partial(self.roster.prepare, "concerned"),
        )
        for part in work:
            if not self._worker.superseded:
                part()

    def _find(self) -> None:
        self.findings.fill(self.roster.findings())

    def _failed(self, error: BaseException) -> None:
        if not self._worker.superseded:  # the panel may have been closed meanwhile
            self.alert.show(error)

    def _show_finding(self, finding: Finding) -> None:
        self.show(Selection(finding=finding.id), f" of “{finding.title}”")

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
        shown, words = self._words
        chosen = self.filters.selection
        # Of a finding, whatever else narrows it.
        same = shown == chosen or (chosen.finding and shown.finding == chosen.finding)
        which = words if same else ""
        which += "" if part is None else f"{part.whose} whose picture is {part.what}"
        self.chosen.value = title(f"The {users:,} users{which}")
        self.everybody.layout.display = "none" if part is None else None
        self.writer.selection = selection


def explore(
    snapshot: Snapshot,
    folder: Path | str | None = None,
    *,
    fix: Callable[[Finding], object] | None = None,
) -> Explorer:
    """Look around in a snapshot: filter, press bars, list users, write them to files.

    Args:
        snapshot: of anybody.
        folder: where files are written; by default beside the snapshot, or here.
        fix: called with a finding that a change would settle, when *Fix →* is pressed; without it
            there is no such button.

    Returns:
        The panel.

    Raises:
        UnreadableInputError: the snapshot cannot be read.
    """
    beside = snapshot.path.parent if snapshot.path else Path.cwd()
    stem = snapshot.path.stem if snapshot.path else "snapshot"
    where = Path(folder) if folder else beside
    return Explorer(Roster(snapshot), where, stem, path=snapshot.path, fix=fix)
