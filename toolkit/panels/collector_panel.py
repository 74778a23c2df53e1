"""The collector: read all users of a tenant, or of a file, with progress, Pause and Cancel."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import ipywidgets
import traitlets

from toolkit.change.scopes import rights
from toolkit.classification.sources import Source
from toolkit.collection.collect_users import METHODS, collect, unfinished
from toolkit.collection.exports.field_names import names_of
from toolkit.collection.exports.ingest_files import ingest, tenant_of
from toolkit.collection.place import FOLDER, latest_file, placed, unfinished_file
from toolkit.errors import IncompleteError, PictureAuditError, UnreadableInputError
from toolkit.formatting import render
from toolkit.panels.background import JobPanel
from toolkit.panels.file_choice import FileChoice
from toolkit.panels.widgets import MADE_UP, Printed, button, guarded, stylesheet
from toolkit.progress import Progress
from toolkit.sandbox.embedded import embedded_tenant
from toolkit.snapshots.snapshot import Snapshot, read_snapshot
from toolkit.tenant.client import Tenant, connect
from toolkit.tenant.credentials import read_settings

EMBEDDED = "the embedded tenant (made-up people)"
"""The choice that needs no credentials."""

_WIDTH = "96px"
_TENANT, _FILE = "A tenant", "A file"
_PAUSED = {_TENANT: "Paused. A job that the tenant does meanwhile goes on.", _FILE: "Paused."}


class _CancelledError(Exception):
    """Somebody pressed Cancel while a file was read."""


class Collector(Printed, JobPanel):
    """Reads every user of a tenant or of a file into a snapshot file. Made by `collector`.

    Credentials come from the environment or `.env` and never enter the page.

    Attributes:
        snapshot: what was collected or opened last, or None; observe it.
        real: the domain of the tenant that the environment names, or None.
        embedded: the embedded tenant once it was collected from; it stays open, so that its
            people can be changed and collected again.
    """

    snapshot = traitlets.Any(allow_none=True)

    def __init__(self, out: Path | None = None, folder: Path = FOLDER) -> None:
        super().__init__(
            "collector",
            "Collecting",
            pausing="stop, and go on later",
            paused=_PAUSED[_TENANT],
            cancelling="stop; what was read from a tenant is kept",
            width=_WIDTH,
        )
        self._folder = folder
        self.real: str | None = None
        self.embedded: Tenant | None = None
        self.origin = ipywidgets.ToggleButtons(
            options=[_TENANT, _FILE],
            tooltips=["read a tenant's users from Auth0", "read users from a file that you have"],
        ).add_class("pa-toggle")
        self.file = FileChoice(self.alert, self.update_buttons)
        self.tenant = ipywidgets.Dropdown(description="tenant", options=[EMBEDDED])
        self.whose = ipywidgets.Combobox(
            description="tenant of the file",
            placeholder="as the file is called",
            ensure_option=False,
        )
        self.taken_at = ipywidgets.DatetimePicker(
            description="exported at", tooltip="by default when the file was last changed"
        )
        self.names = ipywidgets.Text(
            description="columns (--map)",
            placeholder="picture=Avatar; user_id=Id",
            tooltip="what the file calls Auth0's attributes, where they are not found",
        )
        self.method = ipywidgets.Dropdown(description="method", options=METHODS)
        self.out = ipywidgets.Text(
            description="snapshot file",
            value="" if out is None else str(out),
            placeholder="a new one each time",
        )
        self.badge = ipywidgets.HTML(MADE_UP)
        self.start_button = button("Collect", "read every user", _WIDTH, self.start)
        self.start_button.add_class("pa-primary")
        self.open_button = button(
            "Open",
            "show this snapshot file, or the newest one of the tenant or file if none is named",
            _WIDTH,
            self.open_file,
        )
        for field in (self.tenant, self.whose, self.out):
            field.observe(self._chosen, "value")
        self.tenant.observe(lambda _: self._forget_rights(), "value")
        self.origin.observe(self._choose_origin, "value")
        self.connect_button = button(
            "Connect", "say what the credentials may do; no user is read", _WIDTH, self.connect
        )
        self.rights = ipywidgets.HTML()
        named = (self.tenant, self.whose, self.taken_at, self.names, self.method, self.out)
        fields = [field.add_class("pa-field") for field in named]
        buttons = [self.connect_button, self.start_button, self.pause_button, self.cancel_button]
        buttons.append(self.open_button)
        rows = [ipywidgets.HBox(one).add_class("pa-row") for one in (fields, buttons)]
        rows.insert(0, self.file)
        above = ipywidgets.HBox([self.origin, self.badge]).add_class("pa-between")
        said = [self.alert, self.meter, self.status, self.rights]
        self.children = [stylesheet(), above, *rows, *said]
        self.add_class("pa-panel").add_class("pa-card")
        self._offer_tenant()
        self.update_buttons()

    @guarded
    def _chosen(self, _: object) -> None:
        self.update_buttons()

    @guarded
    def _choose_origin(self, _: object) -> None:
        self._said_while_paused = _PAUSED[self.origin.value]
        if self._of_file:
            self.file.propose()
            self.whose.options = _kept_tenants(self._folder)
        self.update_buttons()

    @guarded
    def connect(self) -> None:
        """Say what the token of the tenant may do, and what a change would need besides."""
        chosen = self.tenant.value
        self.begin(lambda: self._connect(chosen), "Connecting …", "Connecting")

    @guarded
    def start(self) -> None:
        """Begin to collect, or go on with a collection that was cancelled; or read the file."""
        out = self._file()
        if self._of_file:
            path = self.file.path
            if path is None:
                raise UnreadableInputError("Name the file of users, or upload it.")
            tenant = self._named(path)
            read = partial(
                ingest,
                path,
                tenant=tenant,
                taken_at=self.taken_at.value,
                names=names_of(one for one in self.names.value.split(";") if one.strip()),
            )
            self.begin(lambda: self._ingest(read, tenant, out), "Reading …", "Reading")
        else:
            tenant, method = self.tenant.value, self.method.value
            self.begin(lambda: self._collect(tenant, method, out), "Connecting …", "Collecting")

    @guarded
    def open_file(self) -> None:
        """Show the snapshot that the file holds, or the tenant's newest if none is named."""
        path = self._file(latest_file)
        if path is None:
            of_file = self.whose.value.strip() or self.file.file.value
            whose = of_file if self._of_file else self.tenant.value
            raise UnreadableInputError(
                f"There is no snapshot of {whose} in {self._folder}: collect one, or name a file."
            )
        self.snapshot = read_snapshot(path)
        if self.alert.error is None:  # an observer may not have been able to show it
            self._say(f"Opened {len(self.snapshot):,} users.")

    def update_buttons(self) -> None:
        """Enable exactly those buttons and fields that mean something now."""
        with self._lock:
            super().update_buttons()
            working, of_file = self.worker.working, self._of_file
            of_a_file = (self.whose, self.taken_at, self.names)
            choices = (self.origin, self.tenant, *of_a_file, self.method, self.out)
            buttons = (self.connect_button, self.start_button)
            for widget in (*choices, *buttons, self.file.file, self.file.upload):
                widget.disabled = working
            for widget, shown in (
                (self.tenant, not of_file),
                *((field, of_file) for field in of_a_file),
                (self.method, not of_file),
                (self.connect_button, not of_file),
                (self.rights, not of_file),
                (self.file, of_file),
                (self.badge, not of_file and self.tenant.value == EMBEDDED),
            ):
                widget.layout.display = None if shown else "none"
            path = self._file(latest_file)
            exists = path is not None and os.path.isfile(path)  # noqa: PTH113 - Path.is_file fails where no file can be
            self.open_button.disabled = working or not exists
            path = None if of_file else self._file(unfinished_file)
            resumes = path is not None and path.name and unfinished(path) and not working
            again = "Resume" if resumes else "Collect"
            self.start_button.description = "Read" if of_file else again

    def static(self) -> tuple[str, dict[Source, int]]:
        """Return what was collected, and its users by source."""
        if self.snapshot is None:
            return "<div>Reads the users of a tenant, or of a file, into a snapshot.</div>", {}
        return self.status.value, self.snapshot.coverage().sources

    def close(self) -> None:
        """Stop collecting, and close the panel and the embedded tenant."""
        super().close()
        self.file.close()
        if self.embedded is not None:
            self.embedded.close()

    @guarded
    def _offer_tenant(self) -> None:
        """Choose the tenant that the environment names, if it names one."""
        settings = read_settings()
        # Credentials without a domain are an error, which reading the address raises.
        if settings.domain or settings.given:
            self.real = urlsplit(settings.base_url).netloc
            self.tenant.options = [settings.domain, EMBEDDED]
            self.tenant.value = settings.domain

    def _file(self, of_tenant: Callable[[str, Path], Path | None] | None = None) -> Path | None:
        """Return the snapshot file that is named, or else one of the chosen tenant, or None."""
        if self.out.value.strip():
            return Path(self.out.value.strip())
        domain = self.real
        if self._of_file:
            domain = self._named(self.file.path)
        elif self.tenant.value == EMBEDDED:
            domain = self.embedded.domain if self.embedded else None
        return of_tenant(domain, self._folder) if of_tenant and domain else None

    def _named(self, file: Path | None) -> str:
        """Return the tenant whose users a file holds: as it is named here, or by the file."""
        return self.whose.value.strip() or (tenant_of([file]) if file else "")

    @property
    def _of_file(self) -> bool:
        return bool(self.origin.value == _FILE)

    def _forget_rights(self) -> None:
        self.rights.value = ""

    def _connect(self, chosen: str) -> None:
        with self._connected(chosen, ()) as tenant:
            self._tell(tenant)
            self._say(f"Connected to {tenant.domain}. Nothing was read or written.")
        self.meter.done()

    def _tell(self, tenant: Tenant) -> None:
        """Say what the token may do."""
        found = rights(tenant.granted)
        self.rights.value = render("panels/rights.html.j2", rights=found)

    def _collect(self, chosen: str, method: str, out: Path | None) -> None:
        with self._connected(chosen) as tenant:
            self._tell(tenant)
            place = placed(tenant.domain, self._folder) if out is None else nullcontext(out)
            with place as path:
                steps = collect.steps(tenant, out=path, method=method)
                snapshot = self.worker.through(steps, self._show)
        if snapshot is None:
            kept = "What was read is kept: press Resume to go on."
            self._say(f"Cancelled. {kept if unfinished(path) else 'Nothing was kept.'}")
        else:
            self.meter.done()
            self._say(f"Collected {len(snapshot):,} users, complete.")
            self._publish(snapshot)

    def _ingest(self, read: Callable[..., Snapshot], tenant: str, out: Path | None) -> None:
        def show(progress: Progress) -> None:
            if not self.worker.goes_on() and _version(place) == before:
                raise _CancelledError
            self._show(progress)

        new = placed(tenant, self._folder, resume=False)
        with new if out is None else nullcontext(out) as place:
            before = _version(place)
            try:
                snapshot = read(out=place, show=show)
            except _CancelledError:
                self._say("Cancelled. Nothing was kept.")
                return
        self.meter.done()
        self._say(
            " ".join([f"Read {len(snapshot):,} users, complete.", *snapshot.provenance.notes])
        )
        self._publish(snapshot)

    def _show(self, progress: Progress) -> None:
        self.meter.show(progress)
        if not self.worker.paused:
            self._say("Reading …")

    def _failed(self, error: BaseException) -> None:
        super()._failed(error)
        advice = (
            "Press Open to see what could be read." if self._of_file else "Press Resume to go on."
        )
        self._say(advice if isinstance(error, IncompleteError) else "")

    @guarded
    def _publish(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    @contextmanager
    def _connected(
        self, chosen: str, scopes: tuple[str, ...] = ("read:users",)
    ) -> Iterator[Tenant]:
        if chosen == EMBEDDED:
            self.embedded = self.embedded or embedded_tenant()
            yield self.embedded
        else:
            with connect(read_settings(), scopes=scopes) as tenant:
                yield tenant


def _kept_tenants(folder: Path) -> tuple[str, ...]:
    """Return the tenants, and files of users, of which there are snapshots; none made up."""
    found = set()
    for place in folder.iterdir() if folder.is_dir() else ():
        path = latest_file(place.name, folder)
        if path is not None:
            with suppress(PictureAuditError):  # no snapshot
                origin = read_snapshot(path).provenance
                if not origin.sandbox:
                    found.add(origin.tenant)
    return tuple(sorted(found))


def _version(path: Path) -> tuple[int, int] | None:
    """Return what differs once another file has taken the place of this one."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def collector(out: Path | str | None = None, *, folder: Path | str = FOLDER) -> Collector:
    """Show a panel that reads a tenant's users, or those of a file, into a snapshot file.

    Args:
        out: the file to propose; None proposes none, and each collection goes to a new file,
            FOLDER/TENANT/YYYY-MM-DDTHHMM.parquet.
        folder: where those files are.

    Returns:
        The panel; its trait `snapshot` is what was collected or opened, or None.
    """
    return Collector(None if out is None else Path(out), Path(folder))
