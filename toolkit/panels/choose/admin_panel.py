"""The admin's panel: choose a default picture, see before and after, and only then do it."""

import threading
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from html import escape
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryDirectory

import ipywidgets

from toolkit.change.plan_summary import Plan
from toolkit.change.prepare import plan, policy_of
from toolkit.change.preview.gallery_data import Gallery, gallery
from toolkit.errors import SettingsError
from toolkit.formatting import visible
from toolkit.panels.background import Latest
from toolkit.panels.choose.before_after_view import ChangeView, GalleryView
from toolkit.panels.choose.candidate_view import CandidateView
from toolkit.panels.choose.execution import Execution
from toolkit.panels.choose.tenant_site import Site, read_site
from toolkit.panels.choose.way_view import WayView
from toolkit.panels.style import admin_stylesheet, stylesheet
from toolkit.panels.widgets import Alert, guarded, text
from toolkit.sandbox.picture_hosts import Hosts, hosts_of
from toolkit.snapshots.snapshot import Snapshot
from toolkit.snapshots.storage import replacing
from toolkit.tenant.client import Tenant, connect
from toolkit.tenant.credentials import read_settings

EXAMPLE = "https://assets.example.com/avatars/default-2026.png"
"""The address to begin with for made-up people, whose sandbox answers for every host."""

_WRITTEN = "the tenant was written to since: who changed is skipped, or collect again"
_PAUSE = 0.25  # seconds without another choice, after which a plan is made


class Admin(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """A default picture in four steps. Made by `choose_default_picture`.

    Args:
        snapshot: the tenant's users.
        tenant: the tenant, which stays open; None for the one that the environment names.
        picture: the address to begin with.
        folder: where plans and journals are kept.

    Attributes:
        gallery: what is shown in step 3, or None.
    """

    def __init__(
        self, snapshot: Snapshot, tenant: Tenant | None, picture: str, folder: Path
    ) -> None:
        self.snapshot = snapshot
        self.gallery: Gallery | None = None
        self.site: Site | None = None
        self.alert = Alert()
        self._tenant, self._folder = tenant, folder
        self._lock = threading.RLock()
        self._opening, self._reading = threading.Lock(), threading.Lock()
        self._open_hosts: Hosts | None = None
        self._connecting = threading.Lock()
        self._closed = False
        self._stack = ExitStack()
        self._draft = Path(self._stack.enter_context(TemporaryDirectory(prefix="picture-audit-")))
        origin = snapshot.provenance
        self.latest = Latest("plan", self._failed)
        self.way = WayView(_users(snapshot, "connection"), _users(snapshot, "source"), self.alert)
        self.gallery_view = GalleryView(self._hosts, self.alert, sandbox=origin.sandbox)
        self.change = ChangeView()
        self.execution = Execution(
            origin.tenant, self._connected, self._keep, folder, self._written
        )
        self.candidate_view = CandidateView(self._hosts, self.alert, picture)
        left = ipywidgets.VBox([self.candidate_view, self.way.scope])
        left.add_class("pa-column")
        above = ipywidgets.HBox([left, self.way])
        above.add_class("pa-cards")
        above.add_class("pa-two")
        middle = ipywidgets.VBox([self.gallery_view, self.change])
        for card in (self.candidate_view, self.way.scope, self.way, middle, self.execution):
            card.add_class("pa-card")
        self.head = ipywidgets.HTML(_head(snapshot))
        super().__init__(
            [stylesheet(), admin_stylesheet(), self.head, above, self.alert, middle, self.execution]
        )
        self.add_class("pa-panel")
        self.candidate_view.observe(lambda _: self.plan(), "candidate")
        self.way.observe(lambda _: self.plan(), "choice")
        self.plan()
        threading.Thread(target=self._read_site, name="site", daemon=True).start()

    @guarded
    def plan(self) -> None:
        """Make a plan of what is chosen, in the background; nothing is written to the tenant."""
        with self._lock:
            self._drop()
            found = self.candidate_view.candidate
            if found is None:
                self.latest.ask(lambda: None)
                self.gallery_view.wait("Choose a picture in step 1: who would see it shows here.")
            elif not found.usable:
                self.latest.ask(lambda: None)
                self.gallery_view.wait("This picture will not do: see step 1.")
            else:
                self.latest.ask(self._make, wait=_PAUSE)

    def settled(self, seconds: float = 60.0) -> bool:
        """Wait until nothing is under way in the background; return whether it came to that."""
        every = (self.candidate_view.latest, self.latest, self.gallery_view.latest)
        return all(one.settled(seconds) for one in every)

    def close(self) -> None:
        """End what is under way, and let go of files, hosts and connections."""
        for part in (self.execution, self.candidate_view, self.gallery_view):
            part.close()
        self.latest.stop()
        # What makes a plan writes it into a folder that goes with the rest.
        self.latest.settled()
        # And what reads the tenant uses its connection.
        with self._reading, self._connecting, self._opening:
            self._closed = True
            self._stack.close()
        super().close()

    def _make(self) -> None:
        """Decide about everybody and show what comes of it; runs in a thread."""
        choice, found = self.way.choice, self.candidate_view.candidate
        site = self.site
        if found is None:
            return
        policy = policy_of(
            found.url or "",
            connections=choice.connections,
            sources=choice.sources,
            former=site.former if site else (),
            override=choice.override,
            expired=choice.expired,
        )
        draft = self._draft / "preview.plan"
        known = site.connections if site else None
        with self._lock:
            draft.unlink(missing_ok=True)
        steps = plan.steps(
            self.snapshot, policy, through=choice.way, out=draft, known=known, looked=found
        )
        try:
            while True:
                step = next(steps)
                with self._lock:
                    if self.latest.superseded:
                        return
                    self.gallery_view.wait(f"{text(step)} …")
        except StopIteration as end:
            made: Plan = end.value
        finally:
            steps.close()
        shown = gallery(self.snapshot, made, found.image)
        with self._lock:
            if self.latest.superseded:
                return
            self.gallery = shown
            self.alert.clear()
            self.way.show(made)
            self.gallery_view.show(shown)
            self.change.show(made, self.site, self.snapshot.provenance.wiring)
            self.execution.show(made)

    def _drop(self) -> None:
        """Take away what no longer belongs to what is chosen."""
        self.gallery = None
        self.way.show(None)
        self.change.show(None, None, None)
        self.execution.show(None)

    def _failed(self, error: BaseException) -> None:
        with self._lock:
            if not self.latest.superseded:
                self.gallery_view.wait("There is no plan: see above.")
                self.alert.show(error)

    def _keep(self) -> Plan:
        """Put the shown plan where plans are kept, beside which its journal will be."""
        with self._lock:
            if self.gallery is None or self.gallery.plan.path is None:
                raise SettingsError("There is no plan yet: choose a picture.")
            made = self.gallery.plan
            path = self._folder / f"default-picture-{made.way}-{made.id}.plan"
            if not path.exists():
                with self.gallery.plan.path.open("rb") as draft, replacing(path) as file:
                    copyfileobj(draft, file)
            return replace(made, path=path)

    def _written(self) -> None:
        """Read the tenant again once something was written there."""
        self.head.value = _head(self.snapshot, written=True)
        self._read_site()
        with self._lock:
            if self.gallery is not None:
                wired = self.snapshot.provenance.wiring
                self.change.show(self.gallery.plan, self.site, wired)

    def _read_site(self) -> None:
        try:
            with self._reading:  # or what was read before a change could come after it
                site = read_site(self._connected())
                with self._lock:
                    before, self.site = self.site, site
        except Exception as error:  # noqa: BLE001 - whatever it is, it is shown
            self.execution.alert.show(error)
            return
        if before is None:
            self.plan()

    def _connected(self) -> Tenant:
        """Return the tenant, connecting to it where nobody has.

        Raises:
            SettingsError: none is named, another one than the snapshot's, or it is too late.
        """
        with self._connecting:
            self._ensure_open()
            if self._tenant is None:
                settings = read_settings()
                if not settings.domain and self.snapshot.provenance.sandbox:
                    raise SettingsError(
                        "Nothing can be rehearsed or applied without a tenant: give it as "
                        "choose_default_picture(snapshot, tenant), or set AUTH0_DOMAIN."
                    )
                self._tenant = self._stack.enter_context(connect(settings))
            here, there = self._tenant.domain, self.snapshot.provenance.tenant
            if here != there:
                raise SettingsError(
                    f"The snapshot is of {there}, and the tenant is {here}: collect it again."
                )
            return self._tenant

    def _hosts(self) -> Hosts:
        with self._opening:
            self._ensure_open()
            if self._open_hosts is None:
                opened = hosts_of(self.snapshot.provenance)
                self._open_hosts = self._stack.enter_context(opened)
            return self._open_hosts

    def _ensure_open(self) -> None:
        """Make sure that nothing is opened that nobody would close again."""
        if self._closed:
            raise SettingsError("This panel is closed: show it again.")


def choose_default_picture(
    snapshot: Snapshot,
    tenant: Tenant | None = None,
    *,
    picture: str | None = None,
    folder: Path | str | None = None,
) -> Admin:
    """Choose a default picture, see who would see it, and bring it to people.

    Nothing is written to the tenant until its domain is typed and Apply is pressed.

    Args:
        snapshot: the tenant's users, as `toolkit.collect` returned them.
        tenant: the tenant, still open; by default the one that the environment names.
        picture: the address to begin with.
        folder: where plans and journals are kept; by default beside the snapshot, or here.

    Returns:
        The panel.

    Raises:
        UnreadableInputError: the snapshot cannot be read.
        SettingsError: it is redacted.
    """
    snapshot.provenance.require_people()
    beside = snapshot.path.parent if snapshot.path else Path.cwd()
    if picture is None:
        picture = EXAMPLE if snapshot.provenance.sandbox else ""
    return Admin(snapshot, tenant, picture, Path(folder) if folder else beside)


def _users(snapshot: Snapshot, by: str) -> dict[str, int]:
    counts = snapshot.coverage(by).counts
    sums: Counter[str] = Counter()
    for group, users in zip(counts["group"], counts["users"].tolist(), strict=True):
        sums[str(group)] += users
    return sums


def _head(snapshot: Snapshot, *, written: bool = False) -> str:
    origin = snapshot.provenance
    state = "" if origin.complete else " · NOT COMPLETE"
    return (
        '<div class="pa-big">Choose a default picture</div><div class="pa-muted">'
        f"{escape(visible(origin.tenant))}{' (made-up people)' if origin.sandbox else ''} · "
        f"snapshot of {origin.taken_at:%Y-%m-%d %H:%M} UTC, {len(snapshot):,} users{state} · "
        f"{_WRITTEN if written else 'nothing is written until you confirm in step 4'}</div>"
    )
