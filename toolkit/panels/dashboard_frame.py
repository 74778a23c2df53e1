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

_TITLES = ("Explore", "Default picture")


class Dashboard(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """A collector, and below it two tabs about what it collected or opened last.

    Args:
        out: the file to propose for the snapshot; None proposes none, and each collection goes to
            a new file, FOLDER/TENANT/YYYY-MM-DDTHHMM.parquet.
        folder: where those files are.

    Attributes:
        explorer: the analyst's tab, or None before there is a snapshot.
        admin: the admin's tab, or None until somebody looks at it: it reads the tenant.
    """

    def __init__(self, out: Path | None = None, folder: Path = FOLDER) -> None:
        self.collector = Collector(out, folder)
        self.alert = self.collector.alert
        self._lock = threading.RLock()
        self._closed = False
        self.explorer: Explorer | None = None
        self.admin: Admin | None = None
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
        """End all that is under way, and let go of files and connections."""
        with self._lock:
            self._closed = True
            for part in self._parts:
                part.close()
        # After those who use its embedded tenant.
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
            self.tabs.titles = _TITLES  # those of tabs that are not there yet are dropped
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
