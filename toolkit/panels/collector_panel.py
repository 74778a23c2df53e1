"""The collector: choose a tenant, read everybody, with a bar, a pause and a way out."""

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from urllib.parse import urlsplit

import ipywidgets
import traitlets

from toolkit.collection.collect_users import METHODS, collect, unfinished
from toolkit.collection.place import FOLDER, latest_file, placed, unfinished_file
from toolkit.errors import IncompleteError, UnreadableInputError
from toolkit.panels.background import Run
from toolkit.panels.style import stylesheet
from toolkit.panels.widgets import Alert, Meter, button, guarded, muted
from toolkit.progress import Progress
from toolkit.sandbox.embedded import embedded_tenant
from toolkit.snapshots.snapshot import Snapshot, read_snapshot
from toolkit.tenant.client import Tenant, connect
from toolkit.tenant.credentials import read_settings

EMBEDDED = "the embedded tenant (made-up people)"
"""The choice that needs no credentials."""

_WIDTH = "96px"


class Collector(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """Reads every user of a tenant into a snapshot file. Made by `collector`.

    Credentials come from the environment or `.env` and never enter the page.

    Args:
        out: the file to propose; None proposes none, and each collection goes to a new file,
            FOLDER/TENANT/YYYY-MM-DDTHHMM.parquet.
        folder: where those files are.

    Attributes:
        snapshot: what was collected or opened last, or None; observe it.
        embedded: the embedded tenant once it was collected from; it stays open, so that its
            people can be changed and collected again.
    """

    snapshot = traitlets.Any(allow_none=True)

    def __init__(self, out: Path | None = None, folder: Path = FOLDER) -> None:
        self._run, self._lock = Run(), threading.RLock()
        self._folder = folder
        self._real: str | None = None  # the domain of the tenant that the environment names
        self.alert = Alert()
        self.embedded: Tenant | None = None
        self.tenant = ipywidgets.Dropdown(description="tenant", options=[EMBEDDED])
        self.method = ipywidgets.Dropdown(description="method", options=METHODS)
        self.out = ipywidgets.Text(
            description="snapshot file",
            value="" if out is None else str(out),
            placeholder="a new one each time",
        )
        self.start_button = button("Collect", "read every user of the tenant", _WIDTH)
        self.pause_button = button("Pause", "stop asking, and go on later", _WIDTH)
        self.cancel_button = button("Cancel", "stop; what was read is kept", _WIDTH)
        self.open_button = button(
            "Open", "show this file, or the tenant's newest snapshot if none is named", _WIDTH
        )
        self.meter = Meter()
        self.said = ipywidgets.HTML()
        self.start_button.on_click(lambda _: self.start())
        self.pause_button.on_click(lambda _: self.pause())
        self.cancel_button.on_click(lambda _: self.cancel())
        self.open_button.on_click(lambda _: self.open_file())
        self.out.observe(self._chosen, "value")
        self.tenant.observe(self._chosen, "value")
        fields = ipywidgets.HBox([self.tenant, self.method, self.out])
        for field in fields.children:
            field.add_class("pa-field")
        buttons = ipywidgets.HBox(
            [self.start_button, self.pause_button, self.cancel_button, self.open_button]
        )
        for row in (fields, buttons):
            row.add_class("pa-row")
        super().__init__([stylesheet(), fields, buttons, self.alert, self.meter, self.said])
        self.add_class("pa-panel")
        self.add_class("pa-card")
        self._offer()
        self._settle()

    @guarded
    def _chosen(self, _: object) -> None:
        """Look what is there now that another file or tenant is named."""
        self._settle()

    @guarded
    def start(self) -> None:
        """Begin to collect, or go on with a collection that was cancelled."""
        out = self._named()
        if not self._run.begin():
            return
        self.meter.start()
        self._say("Connecting …")
        self._settle()
        threading.Thread(
            target=self._work,
            args=(self.tenant.value, self.method.value, out),
            name="collector",
            daemon=True,
        ).start()

    @guarded
    def pause(self) -> None:
        """Stop asking the tenant, or go on."""
        with self._lock:
            if not self._run.working:
                return  # it ended while this was pressed
            paused = self._run.pause()
            self._say("Paused. A job that the tenant does meanwhile goes on." if paused else "")
            self._settle()

    @guarded
    def cancel(self) -> None:
        """Stop; the next start with the same tenant and file goes on."""
        with self._lock:
            if not self._run.working:
                return
            self._say("Cancelling …")
            self._run.cancel()
            self._settle()

    @guarded
    def open_file(self) -> None:
        """Show the snapshot that the file holds, or the tenant's newest if none is named."""
        path = self._standing()
        if path is None:
            raise UnreadableInputError(
                f"There is no snapshot of {self.tenant.value} in {self._folder}: collect one, or "
                "name a file."
            )
        self.snapshot = read_snapshot(path)
        if self.alert.error is None:  # whoever observes it may not have been able to show it
            self._say(f"Opened {len(self.snapshot):,} users.")

    @guarded
    def _offer(self) -> None:
        """Offer the tenant that the environment names first."""
        settings = read_settings()
        if settings.domain:
            self._real = urlsplit(settings.base_url).netloc
            self.tenant.options = [settings.domain, EMBEDDED]
            self.tenant.value = settings.domain

    def _named(self) -> Path | None:
        """Return the file that is named, or None."""
        text = self.out.value.strip()
        return Path(text) if text else None

    def _domain(self) -> str | None:
        """Return the domain of the chosen tenant; None of an embedded one that was not started."""
        if self.tenant.value == EMBEDDED:
            return self.embedded.domain if self.embedded else None
        return self._real

    def _standing(self) -> Path | None:
        """Return the file that can be opened, or None."""
        if named := self._named():
            return named
        domain = self._domain()
        return latest_file(domain, self._folder) if domain else None

    def _resumable(self) -> bool:
        """Whether the next start goes on with a collection that was interrupted."""
        if named := self._named():
            return bool(named.name) and unfinished(named)
        domain = self._domain()
        return domain is not None and unfinished_file(domain, self._folder) is not None

    def _work(self, tenant: str, method: str, out: Path | None) -> None:
        """Collect; runs in a thread of its own."""
        snapshot, words = None, ""
        try:
            with self._connected(tenant) as connected, self._placed(connected, out) as path:
                steps = collect.steps(connected, out=path, method=method)
                snapshot = self._run.through(steps, self._show)
            if snapshot is None:
                kept = "What was read is kept: press Resume to go on."
                words = f"Cancelled. {kept if unfinished(path) else 'Nothing was kept.'}"
            else:
                self.meter.done()
                words = f"Collected {len(snapshot):,} users, complete."
        except Exception as error:  # noqa: BLE001 - whatever it is, it is shown
            self.alert.show(error)
            words = "Press Resume to go on." if isinstance(error, IncompleteError) else ""
        finally:
            with self._lock:
                self._say(words)
                self._run.end()
                self._settle()
        if snapshot is not None:
            self._hand_over(snapshot)

    def _show(self, progress: Progress) -> None:
        self.meter.show(progress)
        if not self._run.paused:
            self._say("Reading …")

    def _placed(self, tenant: Tenant, out: Path | None) -> AbstractContextManager[Path]:
        """Return the file to write: the one that was named, or one of the tenant's own."""
        return placed(tenant.domain, self._folder) if out is None else nullcontext(out)

    @contextmanager
    def _connected(self, tenant: str) -> Iterator[Tenant]:
        if tenant == EMBEDDED:
            self.embedded = self.embedded or embedded_tenant()
            yield self.embedded
        else:
            with connect(read_settings()) as connected:
                yield connected

    def close(self) -> None:
        """Stop collecting, and let go of the page and of the embedded tenant."""
        self._run.stop()
        if self.embedded is not None:
            self.embedded.close()
        super().close()

    @guarded
    def _hand_over(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    def _settle(self) -> None:
        """Let exactly those buttons be pressed that mean something now."""
        with self._lock:
            working = self._run.working
            for widget in (self.tenant, self.method, self.out, self.start_button):
                widget.disabled = working
            path = self._standing()
            stands = path is not None and os.path.isfile(path)  # noqa: PTH113 - Path.is_file fails where no file can be
            self.open_button.disabled = working or not stands
            self._run.settle(self.pause_button, self.cancel_button)
            self.start_button.description = (
                "Resume" if not working and self._resumable() else "Collect"
            )

    def _say(self, words: str) -> None:
        self.said.value = muted(words, status=True)


def collector(out: Path | str | None = None, *, folder: Path | str = FOLDER) -> Collector:
    """Show a panel that collects a tenant's users into a snapshot file.

    Args:
        out: the file to propose; None proposes none, and each collection goes to a new file,
            FOLDER/TENANT/YYYY-MM-DDTHHMM.parquet.
        folder: where those files are.

    Returns:
        The panel; its trait `snapshot` is what was collected or opened, or None.
    """
    return Collector(None if out is None else Path(out), Path(folder))
