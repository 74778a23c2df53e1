"""Everything for people who do not read code: collect above; look around and choose below."""

import threading
from pathlib import Path

import ipywidgets

from toolkit.collection.place import FOLDER
from toolkit.errors import SettingsError
from toolkit.panels.choose.admin_panel import Admin, choose_default_picture
from toolkit.panels.collector_panel import Collector
from toolkit.panels.explorer.explorer_panel import Explorer, explore
from toolkit.panels.widgets import guarded
from toolkit.snapshots.snapshot import Snapshot


class Dashboard(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """A collector, and below it two tabs about what it collected or opened last.

    Args:
        out: the file to propose, as for `toolkit.collector`.
        folder: where snapshots go without one.
    """

    def __init__(self, out: Path | None = None, folder: Path = FOLDER) -> None:
        self.collector = Collector(out, folder)
        self.alert = self.collector.alert
        self._lock = threading.RLock()
        self._closed = False
        self.explorer: Explorer | None = None  # before there is a snapshot
        self.admin: Admin | None = None  # until its tab is opened: it reads the tenant
        self._snapshot: Snapshot | None = None  # which the tabs are about
        title = ipywidgets.HTML(
            "<h1 style='font-size:22px;margin:8px 0'>Where do your users' pictures come from?</h1>"
        )
        self.tabs = ipywidgets.Tab()
        self._above = [title, self.collector]
        super().__init__(self._above)
        self.collector.observe(self._show, "snapshot")
        self.tabs.observe(self._choose, "selected_index")

    def close(self) -> None:
        """End all that is under way, and close files and connections."""
        with self._lock:
            self._closed = True
            for part in self._parts:
                part.close()
        # Afterwards, because the parts use its embedded tenant.
        self.collector.close()
        super().close()

    @property
    def _parts(self) -> list[Explorer | Admin]:
        return [part for part in (self.explorer, self.admin) if part is not None]

    @guarded
    def _show(self, _: object) -> None:
        with self._lock:
            if self._closed:
                return
            if self.admin is not None and not self.admin.execution.settled(0):
                raise SettingsError(
                    "A change is under way in the other tab: open this snapshot once it has ended."
                )
            before, snapshot = self._parts, self.collector.snapshot
            self.explorer, self.admin, self._snapshot = explore(snapshot), None, snapshot
            self.tabs.children = [self.explorer, ipywidgets.VBox()]
            # Titles of tabs that do not exist yet would be dropped.
            self.tabs.titles = ("Explore", "Default picture")
            self.tabs.selected_index = 0
            self.children = [*self._above, self.tabs]
            for part in before:
                part.close()

    @guarded
    def _choose(self, _: object) -> None:
        with self._lock:
            if self._closed or self.tabs.selected_index != 1 or self.admin is not None:
                return
            snapshot, embedded = self._snapshot, self.collector.embedded
            if snapshot is None:
                return
            of_embedded = embedded is not None and embedded.domain == snapshot.provenance.tenant
            self.admin = choose_default_picture(snapshot, embedded if of_embedded else None)
            self.tabs.children = [self.tabs.children[0], self.admin]
