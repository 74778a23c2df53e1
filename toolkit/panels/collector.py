"""The collector: choose a tenant, read everybody, with a bar, a pause and a way out."""

import threading
from pathlib import Path

import ipywidgets
import traitlets

from toolkit.collect.collection import METHODS, collecting, unfinished
from toolkit.embedded import embedded_tenant
from toolkit.errors import IncompleteError, SettingsError
from toolkit.panels.alert import Alert, guarded
from toolkit.panels.bar import Meter
from toolkit.panels.style import stylesheet
from toolkit.settings import read_settings
from toolkit.snapshot import Snapshot, read_snapshot
from toolkit.tenant import Tenant, connect

EMBEDDED = "the embedded tenant (made-up people)"
"""The choice that needs no credentials."""


class Collector(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """Reads every user of a tenant into a snapshot file. Made by `collector`.

    Credentials come from the environment or `.env` and never enter the page.

    Args:
        out: the file to propose.

    Attributes:
        snapshot: what was collected or opened last, or None; observe it.
    """

    snapshot = traitlets.Any(allow_none=True)

    def __init__(self, out: Path) -> None:
        self._lock = threading.Lock()
        self._going, self._cancelled = threading.Event(), threading.Event()
        self._working = False
        self.alert = Alert()
        self.tenant = ipywidgets.Dropdown(description="tenant", options=[EMBEDDED])
        self.method = ipywidgets.Dropdown(description="method", options=METHODS)
        self.out = ipywidgets.Text(description="snapshot file", value=str(out))
        self.start_button = _button("Collect", "read every user of the tenant")
        self.pause_button = _button("Pause", "stop asking, and go on later")
        self.cancel_button = _button("Cancel", "stop; what was read is kept")
        self.open_button = _button("Open", "show the snapshot that this file holds already")
        self.meter = Meter()
        self.said = ipywidgets.HTML()
        self.start_button.on_click(lambda _: self.start())
        self.pause_button.on_click(lambda _: self.pause())
        self.cancel_button.on_click(lambda _: self.cancel())
        self.open_button.on_click(lambda _: self.open_file())
        self.out.observe(self._typed, "value")
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
    def _typed(self, _: object) -> None:
        """Look what stands where the name now points."""
        self._settle()

    @guarded
    def start(self) -> None:
        """Begin to collect, or go on with a collection that was cancelled."""
        with self._lock:
            if self._working:
                return
            out = self._path()
            self._working = True
        self._cancelled.clear()
        self._going.set()
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
        if self._going.is_set():
            self._going.clear()
            self._say("Paused. A job that the tenant does meanwhile goes on.")
        else:
            self._going.set()
            self._say("")
        self._settle()

    @guarded
    def cancel(self) -> None:
        """Stop; the next start with the same file goes on."""
        self._cancelled.set()
        self._going.set()
        self._say("Cancelling …")
        self._settle()

    @guarded
    def open_file(self) -> None:
        """Show the snapshot that the file holds already."""
        self.snapshot = read_snapshot(self._path())
        self._say(f"Opened {len(self.snapshot):,} users.")

    @guarded
    def _offer(self) -> None:
        """Offer the tenant that the environment names first."""
        settings = read_settings()
        if settings.domain:
            self.tenant.options = [settings.domain, EMBEDDED]
            self.tenant.value = settings.domain

    def _path(self) -> Path:
        text = self.out.value.strip()
        if not text:
            raise SettingsError("Name a file for the snapshot, such as out/snapshot.parquet.")
        return Path(text)

    def _work(self, tenant: str, method: str, out: Path) -> None:
        """Collect; runs in a thread of its own."""
        try:
            with _connected(tenant) as connected:
                snapshot = self._collect(connected, method, out)
            if snapshot is None:
                self._cancelled_words(out)
            else:
                self.meter.done()
                self._say(f"Collected {len(snapshot):,} users, complete.")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is shown
            self.alert.show(error)
            self._say("Press Resume to go on." if isinstance(error, IncompleteError) else "")
            snapshot = None
        finally:
            self._working = False
            self._settle()
        if snapshot is not None:
            self._hand_over(snapshot)

    def _collect(self, tenant: Tenant, method: str, out: Path) -> Snapshot | None:
        """Collect step by step, waiting where somebody paused; None where somebody cancelled."""
        steps = collecting(tenant, out, method=method)
        try:
            while True:
                self._going.wait()
                if self._cancelled.is_set():
                    return None
                self.meter.show(next(steps))
                if not self._paused:
                    self._say("Reading …")
        except StopIteration as end:
            snapshot: Snapshot = end.value
            return snapshot
        finally:
            steps.close()

    @guarded
    def _hand_over(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    def _cancelled_words(self, out: Path) -> None:
        kept = "What was read is kept: press Resume to go on."
        self._say(f"Cancelled. {kept if unfinished(out) else 'Nothing was kept.'}")

    @property
    def _paused(self) -> bool:
        return self._working and not self._going.is_set()

    def _settle(self) -> None:
        """Let exactly those buttons be pressed that mean something now."""
        working = self._working
        path = Path(self.out.value.strip() or ".")
        for widget in (self.tenant, self.method, self.out, self.start_button):
            widget.disabled = working
        self.open_button.disabled = working or not path.is_file()
        self.pause_button.disabled = self.cancel_button.disabled = not working
        self.pause_button.description = "Go on" if self._paused else "Pause"
        self.start_button.description = (
            "Resume" if not working and path.name and unfinished(path) else "Collect"
        )

    def _say(self, words: str) -> None:
        self.said.value = f'<div class="pa-muted" role="status">{words}</div>'


def collector(out: Path | str = "out/snapshot.parquet") -> Collector:
    """Show a panel that collects a tenant's users into a snapshot file.

    Args:
        out: the file to propose.
    """
    return Collector(Path(out))


def _connected(tenant: str) -> Tenant:
    return embedded_tenant() if tenant == EMBEDDED else connect(read_settings())


def _button(words: str, tooltip: str) -> ipywidgets.Button:
    return ipywidgets.Button(
        description=words, tooltip=tooltip, layout=ipywidgets.Layout(width="96px")
    )
