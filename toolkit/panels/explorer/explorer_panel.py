"""The explorer: filters, a chart that can be pressed, and the users behind it."""

import threading
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets

from toolkit.analysis.coverage_count import Coverage
from toolkit.analysis.groups import Seen
from toolkit.analysis.headline_words import headline
from toolkit.analysis.selection import Selection
from toolkit.formatting import shorten, visible
from toolkit.panels.explorer.explorer_charts import GROUPS, LONGEST, Part, Stacks, trend
from toolkit.panels.explorer.filters import Filters
from toolkit.panels.explorer.user_table import Table, Writer
from toolkit.panels.style import stylesheet
from toolkit.panels.widgets import Alert, button, guarded
from toolkit.snapshots.query import Roster
from toolkit.snapshots.snapshot import Snapshot

_FIELDS = {"connection": "connections", "provider": "providers", "activity": "activity"}


class Explorer(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """A snapshot to look around in. Made by `explore`.

    Args:
        roster: the users; closed with this.
        folder: where files are written.
        stem: what their names begin with.
    """

    def __init__(self, roster: Roster, folder: Path, stem: str) -> None:
        self._lock = threading.RLock()
        self._picked: Part | None = None
        self.roster = roster
        self.alert = Alert()
        self.filters = Filters(self.roster.choices())
        self.headline = ipywidgets.HTML()
        self.by = ipywidgets.Dropdown(
            options=[(f"by {name}", by) for by, name in GROUPS.items()],
            layout=ipywidgets.Layout(width="150px"),
        )
        self.stacks = Stacks(self.pick)
        self.trend = ipywidgets.HTML()
        self.table = Table(self.roster, self.alert)
        self.chosen = ipywidgets.HTML()
        self.everybody = button("Show all", "Undo the press on a bar", "90px")
        self.writer = Writer(roster, folder, stem, self.alert)
        self.filters.observe(self._filtered, "selection")
        self.by.observe(self._filtered, "value")
        self.everybody.on_click(lambda _: self.pick(None))
        left, right = ipywidgets.VBox([self.by, self.stacks]), ipywidgets.VBox([self.trend])
        cards = ipywidgets.HBox([left, right])
        cards.add_class("pa-cards")
        picked = ipywidgets.HBox([self.chosen, self.everybody])
        picked.add_class("pa-between")
        below = ipywidgets.VBox([picked, self.table, self.writer])
        for card in (left, right, below):
            card.add_class("pa-card")
        super().__init__([stylesheet(), self.headline, self.filters, self.alert, cards, below])
        self.add_class("pa-panel")
        self.refresh()
        threading.Thread(target=self._prepare, name="names", daemon=True).start()

    @property
    def selection(self) -> Selection:
        """Whom the table lists: the filters, and the part of a bar that was pressed."""
        chosen: Selection = self.filters.selection
        return chosen if self._picked is None else _narrowed(chosen, self._picked, self.by.value)

    def refresh(self) -> None:
        """Draw everything again by the filters."""
        with self._lock:
            chosen = self.filters.selection
            by = self.by.value
            coverage = self.roster.coverage(by, chosen)
            self.headline.value = _headline(coverage, self.roster)
            self.stacks.show(coverage, self._picked)
            self.trend.value = trend(self.roster.coverage("cohort", chosen))
            self.filters.update(self.roster.choices(chosen))
            self._list()

    @guarded
    def pick(self, part: Part | None) -> None:
        """List the users of a part of a bar; of all bars again if it is pressed once more."""
        with self._lock:
            self._picked = None if part == self._picked else part
            coverage = self.roster.coverage(self.by.value, self.filters.selection)
            self.stacks.show(coverage, self._picked)
            self._list()

    def _prepare(self) -> None:
        """Make ready for a search while somebody looks at what is there."""
        try:
            self.roster.prepare_search()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is shown
            self.alert.show(error)

    @guarded
    def _filtered(self, _: object) -> None:
        with self._lock:
            self._picked = None
            self.refresh()

    def _list(self) -> None:
        selection = self.selection
        users = self.roster.users(selection)
        # First what may fail: whose rows are shown, theirs is the title, and theirs are written.
        self.table.show(selection, users)
        self.chosen.value = f'<div class="pa-title">{escape(_words(self._picked, users))}</div>'
        self.everybody.layout.display = "none" if self._picked is None else None
        self.writer.selection = selection

    def close(self) -> None:
        """Let go of files and memory."""
        self.table.close()
        self.roster.close()
        super().close()


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


def _narrowed(selection: Selection, part: Part, by: str) -> Selection:
    narrow: dict[str, Any] = {"sources": (str(part.source),)}
    if part.group is not None:
        narrow[_FIELDS[by]] = (part.group,)
    if part.broken is not None:
        kinds = {seen for seen in Seen if (seen is Seen.BROKEN) == part.broken}
        kinds &= {Seen(name) for name in selection.seen} or {*Seen}
        narrow["seen"] = tuple(sorted(kinds))
    return replace(selection, **narrow)


def _words(part: Part | None, users: int) -> str:
    if part is None:
        return f"The {users:,} users"
    whose = f" of {shorten(part.group, LONGEST)}" if part.group is not None else ""
    broken = ", a broken image" if part.broken else ""
    return f"The {users:,} users{whose} whose picture is {part.source}{broken}"


def _headline(coverage: Coverage, roster: Roster) -> str:
    provenance = roster.provenance
    state = "complete" if provenance.complete else "NOT COMPLETE"
    answer = headline(coverage)
    return (
        f'<div><span class="pa-big">{coverage.users:,} users</span> '
        f'<span class="pa-muted">of {provenance.users:,} · {escape(visible(provenance.tenant))} · '
        f"{provenance.taken_at:%Y-%m-%d %H:%M} UTC · {state}</span></div>"
        f"<div><b>{escape(str(answer))}</b> see a picture of their own "
        f'<span class="pa-muted">({escape(answer.people)})</span></div>'
    )
