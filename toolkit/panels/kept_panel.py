"""The snapshots that are kept: open one, compare two, delete what is no longer needed."""

from collections.abc import Callable
from html import escape
from pathlib import Path

import ipywidgets
import traitlets

from toolkit.analysis.headline_words import difference
from toolkit.collection.place import FOLDER, kept_files
from toolkit.errors import OutputError, PictureAuditError, SettingsError
from toolkit.formatting import visible
from toolkit.panels.background import Worker
from toolkit.panels.moves_view import MovesView
from toolkit.panels.saved_files import SaveChart
from toolkit.panels.widgets import Alert, button, drawn, guarded, heading, muted, stylesheet, title
from toolkit.reporting.charts.chart import Chart
from toolkit.reporting.charts.flow_charts import flows
from toolkit.snapshots.comparison import compare
from toolkit.snapshots.snapshot import Provenance, Snapshot, read_snapshot

_LISTED = 30  # the newest ones; older files are still on disk


class Kept(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """The snapshot files of a tenant, and what changed between two of them.

    Args:
        snapshot: the one that is shown now.
        folder: of the tenants' folders.
        show: called with a snapshot that shall be shown instead.
        compared: two of the files, to compare at once.

    Attributes:
        compared: the two files that were compared last, or None.
        done: whether two were compared; observe it.
    """

    done = traitlets.Bool(default_value=False)

    def __init__(
        self,
        snapshot: Snapshot,
        folder: Path = FOLDER,
        show: Callable[[Snapshot], None] | None = None,
        compared: tuple[Path, Path] | None = None,
    ) -> None:
        self.snapshot, self.compared = snapshot, compared
        self._folder, self._open = folder, show
        self._kept: dict[Path, Snapshot] = {}
        self.alert, self.status, self.list = Alert(), ipywidgets.HTML(), ipywidgets.VBox()
        self.sentence, self.chart = ipywidgets.HTML(), ipywidgets.HTML()
        self.moves = MovesView(self.alert)
        self._flows: Chart | None = None
        self.save = SaveChart(self._compared, "what-changed", self.alert)
        self.earlier, self.later = (
            ipywidgets.Dropdown(description=name).add_class("pa-field").add_class("pa-wide")
            for name in ("earlier", "later")
        )
        self.worker = Worker("compare", self._failed, self._update_buttons)
        self.compare_button = button("Compare", "say what changed", "96px", self.compare)
        self.compare_button.add_class("pa-primary")
        choice = ipywidgets.HBox([self.earlier, self.later, self.compare_button])
        above = ipywidgets.VBox(
            [
                ipywidgets.HTML(heading("Compare two days", snapshot.provenance)),
                ipywidgets.HTML(
                    muted(
                        "Each collection makes a file of its own, and none is overwritten. "
                        "They are personal data: delete what you no longer need."
                    )
                ),
                self.list,
                choice.add_class("pa-row"),
                self.alert,
                self.status,
            ]
        ).add_class("pa-card")
        self.below = ipywidgets.VBox([self.sentence, self.chart, self.save, self.moves]).add_class(
            "pa-card"
        )
        super().__init__([stylesheet(), above, self.below])
        self.add_class("pa-panel")
        self.refresh()
        if compared is not None and self._kept.keys() >= {*compared}:
            self.earlier.value, self.later.value = compared
            self.compare()

    @guarded
    def refresh(self) -> None:
        """List the files that are there now."""
        paths = kept_files(self.snapshot.provenance.tenant, self._folder)
        shown = self.snapshot.path
        if shown is not None and shown.resolve() not in {one.resolve() for one in paths}:
            paths.insert(0, shown)
        self._kept = {}
        for path in paths[:_LISTED]:
            try:
                self._kept[path] = read_snapshot(path)
            except PictureAuditError:  # no snapshot, or gone meanwhile
                continue
        rows = [self._row(path, kept.provenance) for path, kept in self._kept.items()]
        more = len(paths) - len(rows)
        note = [ipywidgets.HTML(muted(f"{more:,} more files are not listed."))] if more > 0 else []
        self.list.children = [*rows, *note]
        choices = [(_words(kept.provenance), path) for path, kept in self._kept.items()]
        for field, place in ((self.earlier, 1), (self.later, 0)):
            field.options = choices
            if choices:
                field.value = choices[min(place, len(choices) - 1)][1]
        one = len(choices) < 2  # noqa: PLR2004 - two are compared
        again = "Collect once more to compare. For a file, choose as its tenant: "
        again += self.snapshot.provenance.tenant
        self.status.value = muted(again) if one else ""
        self.below.layout.display = "none"
        self._update_buttons()

    @guarded
    def compare(self) -> None:
        """Say what changed between the two that are chosen."""
        first, second = self.earlier.value, self.later.value
        if first == second:
            raise SettingsError("Choose two different snapshots.")
        old, new = sorted(
            (self._kept[one] for one in (first, second)), key=lambda one: one.provenance.taken_at
        )
        self.compared = first, second
        self.status.value = muted("Comparing …", status=True)
        self.worker.ask(lambda: self._compare(old, new))
        self._update_buttons()

    def delete(self, path: Path) -> None:
        """Remove a file for good."""
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"Cannot delete {path}: {error.strerror or error}.") from error
        self.refresh()

    def settled(self, seconds: float = 60.0) -> bool:
        """Wait until nothing is compared or looked for; return whether that was reached."""
        return all(one.settled(seconds) for one in (self.worker, self.moves.worker))

    def close(self) -> None:
        """End what is under way, and close the panel."""
        self.worker.stop()
        self.worker.settled()
        self.moves.close()
        super().close()

    def _row(self, path: Path, origin: Provenance) -> ipywidgets.HBox:
        here = self.snapshot.path is not None and path.resolve() == self.snapshot.path.resolve()
        said = f"<b>{escape(_words(origin))}</b>{muted(visible(str(path)))}"
        row = ipywidgets.HBox([ipywidgets.HTML(said)]).add_class("pa-kept")
        if here:
            row.children = [*row.children, ipywidgets.HTML(muted("shown now"))]
            return row

        def asked(*buttons: ipywidgets.Button) -> None:
            row.children = [row.children[0], *buttons]

        def ask() -> None:
            asked(sure, back)

        really = guarded(lambda panel: panel.delete(path))
        show = button("Open", "show this snapshot", "70px", lambda: self._show(path))
        delete = button("Delete …", "asks once more", "80px", ask)
        sure = button("Delete for good", "remove the file", "130px", lambda: really(self))
        back = button("Keep", "do not delete it", "70px", lambda: asked(show, delete))
        asked(*([show] if self._open else []), delete)
        sure.add_class("pa-danger")
        return row

    @guarded
    def _show(self, path: Path) -> None:
        if self._open is not None:
            self._open(read_snapshot(path))

    def _compare(self, old: Snapshot, new: Snapshot) -> None:
        found = compare(old, new)
        self.sentence.value = title(difference(old.coverage(), new.coverage())) + "".join(
            map(muted, found.notes)
        )
        self._flows = flows(found)
        self.chart.value = drawn(self._flows, "flows")
        self.moves.fill(found, old, new)
        self.below.layout.display = None
        self.status.value = ""
        self.done = True

    def _compared(self) -> Chart:
        if self._flows is None:  # the button is hidden until then
            raise SettingsError("Nothing is compared yet.")
        return self._flows

    def _failed(self, error: BaseException) -> None:
        self.status.value = ""
        self.alert.show(error)

    def _update_buttons(self) -> None:
        few = len(self._kept) < 2  # noqa: PLR2004 - two are compared
        self.compare_button.disabled = few or self.worker.working


def _words(origin: Provenance) -> str:
    """Name a snapshot by what tells it from others."""
    asked = "Gravatar not asked"
    if origin.estimate is not None and origin.estimate.asked:
        asked = f"Gravatar asked about {origin.estimate.asked:,} people"
    elif origin.probed_at is not None:
        asked = "Gravatar asked about everyone"
    state = "complete" if origin.complete else "NOT COMPLETE"
    return f"{origin.taken_at:%Y-%m-%d %H:%M} UTC · {origin.users:,} users · {state} · {asked}"
