"""The admin's panel: choose a default picture, see before and after, and only then do it."""

import threading
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryDirectory

import ipywidgets

from toolkit.analysis.finding_checks import FIXES
from toolkit.analysis.finding_counts import Finding
from toolkit.change.journal import journal_path
from toolkit.change.plan_summary import Plan
from toolkit.change.prepare import plan, policy_of
from toolkit.change.preview.gallery_data import Gallery, gallery
from toolkit.classification.sources import Source
from toolkit.errors import SettingsError
from toolkit.formatting import render
from toolkit.images.candidate_checks import NOT_HOSTED, Candidate
from toolkit.panels.background import Worker
from toolkit.panels.choose.before_after_view import ChangeView, GalleryView, Site, read_site
from toolkit.panels.choose.candidate_view import CandidateView
from toolkit.panels.choose.execution import Execution
from toolkit.panels.choose.way_view import WayView
from toolkit.panels.widgets import MADE_UP, Alert, Printed, guarded, muted, stylesheet, text
from toolkit.progress import Progress
from toolkit.sandbox.picture_hosts import Hosts, hosts_of
from toolkit.snapshots.snapshot import Snapshot
from toolkit.snapshots.storage import replacing
from toolkit.tenant.client import Tenant, connect
from toolkit.tenant.credentials import read_settings

EXAMPLE = "https://assets.example.com/avatars/default-2026.png"
"""The address to begin with for made-up people, whose sandbox answers for every host."""

_PUBLISH = "This is only a look: publish the picture, and paste its address to make a plan."
_PAUSE = 0.25  # seconds without another choice, after which a plan is made


class Admin(Printed, ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """A default picture in four steps. Made by `choose_default_picture`."""

    def __init__(
        self, snapshot: Snapshot, tenant: Tenant | None, picture: str, folder: Path
    ) -> None:
        self.snapshot = snapshot
        self.gallery: Gallery | None = None  # what step 3 shows
        self.site: Site | None = None
        self.alert = Alert()
        self._tenant, self._folder = tenant, folder
        self._open_hosts: Hosts | None = None
        self._lock, self._opening = threading.RLock(), threading.RLock()
        self._closed = False
        self._stack = ExitStack()
        self._draft = Path(self._stack.enter_context(TemporaryDirectory(prefix="picture-audit-")))
        origin = snapshot.provenance
        self.planner = Worker("plan", self._failed)
        self.way = WayView(_users(snapshot, "connection"), _users(snapshot, "source"), self.alert)
        self.gallery_view = GalleryView(self._hosts, self.alert, sandbox=origin.sandbox)
        self.change = ChangeView()
        self.execution = Execution(
            origin.tenant, self._connected, self._keep, folder, self._written, self.settled
        )
        self.site_reader = Worker("site", self.execution.alert.show)
        self.candidate_view = CandidateView(self._hosts, self.alert, picture)
        left = ipywidgets.VBox([self.candidate_view, self.way.scope]).add_class("pa-column")
        above = ipywidgets.HBox([left, self.way]).add_class("pa-cards").add_class("pa-two")
        middle = ipywidgets.VBox([self.gallery_view, self.change])
        for card in (self.candidate_view, self.way.scope, self.way, middle, self.execution):
            card.add_class("pa-card")
        self.head, self.reason = ipywidgets.HTML(self._head()), ipywidgets.HTML()
        banner = self.execution.banner
        super().__init__(
            [
                stylesheet(),
                self.head,
                banner,
                self.reason,
                above,
                self.alert,
                middle,
                self.execution,
            ]
        )
        self.add_class("pa-panel")
        self.candidate_view.observe(lambda _: self.plan(), "candidate")
        self.way.observe(lambda _: self.plan(), "choice")
        self.plan()
        self.site_reader.ask(self._read_site)

    @guarded
    def fix(self, finding: Finding) -> None:
        """Choose the way and the scope that settle a finding; the picture stays."""
        fix = FIXES[finding.id]
        former: tuple[str, ...] = ()
        if fix.former:
            former = tuple(self.snapshot.users_of(finding.id)["picture"].unique())
        self.way.take(fix, former)
        self.reason.value = muted(
            f"Chosen below for “{finding.title}”: the way, and for whom. Change what you like.",
            status=True,
        )

    @guarded
    def plan(self) -> None:
        """Make a plan of what is chosen, in the background; nothing is written to the tenant."""
        with self._lock:
            self._drop()
            found = self.candidate_view.candidate
            if found is not None and found.usable:
                self.planner.ask(lambda: self._make(found), wait=_PAUSE)
                return
            self.planner.ask(lambda: None)
            if found is None:
                self.gallery_view.wait()
            else:
                self.gallery_view.wait("This picture cannot be used: see step 1.")

    def settled(self, seconds: float = 60.0) -> bool:
        """Wait until nothing is under way in the background; return whether nothing is."""
        workers = (
            self.site_reader,
            self.candidate_view.worker,
            self.planner,
            self.gallery_view.worker,
        )
        return all(worker.settled(seconds) for worker in workers)

    def static(self) -> tuple[str, dict[Source, int]]:
        """Return what was chosen, the verdicts on it, before and after, and what was done."""
        shown = (
            self.head,
            self.candidate_view.verdicts,
            self.gallery_view.headline,
            self.gallery_view.bars,
            self.execution.status,
        )
        return "".join(one.value for one in shown), {}

    def close(self) -> None:
        """End what is under way, and close files, hosts and connections."""
        for part in (self.execution, self.candidate_view, self.gallery_view):
            part.close()
        # These use the folder of drafts and the connection, which are closed below.
        for worker in (self.planner, self.site_reader):
            worker.stop()
            worker.settled()
        with self._opening:
            self._closed = True
            self._stack.close()
        super().close()

    def _make(self, found: Candidate) -> None:
        """Decide about everybody and show the plan; runs in a thread."""
        choice, site = self.way.choice, self.site
        policy = policy_of(
            found.url or "",
            connections=choice.connections,
            sources=choice.sources,
            former=(*choice.former, *(site.former if site else ())),
            order=choice.order,
            expired=choice.expired,
        )
        draft = self._draft / "preview.plan"
        with self._lock:
            draft.unlink(missing_ok=True)
        steps = plan.steps(
            self.snapshot,
            policy,
            through=choice.way,
            out=draft,
            known=site.connections if site else None,
            looked=found,
        )
        made = self.planner.through(steps, self._show_progress)
        if made is None:
            return
        shown = gallery(self.snapshot, made, found.image)
        with self._lock:
            if self.planner.superseded:
                return
            self.gallery = shown
            self.alert.clear()
            self.way.show(made)
            self.gallery_view.show(shown)
            if found.url == NOT_HOSTED:
                self.execution.show(None)
                self.execution.resumed.value = muted(_PUBLISH, status=True)
                return
            self._show_change()
            self.execution.show(made)

    def _show_progress(self, progress: Progress) -> None:
        with self._lock:
            if not self.planner.superseded:
                self.gallery_view.wait(f"{text(progress)} …")

    def _show_change(self) -> None:
        if self.gallery is not None and self.gallery.plan.policy.picture != NOT_HOSTED:
            self.change.show(self.gallery.plan, self.site, self.snapshot.provenance.wiring)

    def _drop(self) -> None:
        """Remove the plan that no longer belongs to what is chosen."""
        self.gallery = None
        self.way.show(None)
        self.change.show(None, None, None)
        self.execution.show(None)

    def _failed(self, error: BaseException) -> None:
        with self._lock:
            if not self.planner.superseded:
                self.gallery_view.wait("There is no plan: see above.")
                self.alert.show(error)

    def _keep(self) -> Plan:
        """Copy the shown plan into the folder of plans, where its journal will be, too."""
        with self._lock:
            made = self.gallery.plan if self.gallery else None
            if made is None or made.path is None:
                raise SettingsError("There is no plan yet: choose a picture.")
            if made.policy.picture == NOT_HOSTED:
                raise SettingsError(_PUBLISH)
            path = self._kept(made)
            if not path.exists():
                with made.path.open("rb") as draft, replacing(path) as file:
                    copyfileobj(draft, file)
            return replace(made, path=path)

    def _kept(self, made: Plan) -> Path:
        return self._folder / f"default-picture-{made.way}-{made.id}.plan"

    def _head(self, *, written: bool = False) -> str:
        origin, users = self.snapshot.provenance, len(self.snapshot)
        values = {"origin": origin, "users": users, "written": written, "badge": MADE_UP}
        return render("panels/choose/head.html.j2", **values)

    def _written(self) -> None:
        """Say that the tenant was written to, and read it again; plan anew what was undone."""
        self.head.value = self._head(written=True)
        self.site_reader.ask(self._read_site)
        with self._lock:
            made = self.gallery.plan if self.gallery else None
            if made is not None and journal_path(journal_path(self._kept(made))).exists():
                self.plan()

    def _read_site(self) -> None:
        site = read_site(self._connected())
        with self._lock:
            is_first, self.site = self.site is None, site
            self.way.time_by(site.plan)
            self._show_change()
        if is_first:
            self.plan()

    def _connected(self) -> Tenant:
        """Return the tenant, and connect to it first if needed; it must be the snapshot's."""
        with self._opening:
            self._ensure_open()
            if self._tenant is None:
                settings = read_settings()
                if not settings.domain and self.snapshot.provenance.sandbox:
                    raise SettingsError(
                        "These are made-up people, and their tenant has ended: collect again to "
                        "rehearse and apply. For a tenant of your own, set AUTH0_DOMAIN."
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
        """Raise an error once the panel is closed: nobody would close what is opened then."""
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
    sums = snapshot.coverage(by).counts.groupby("group")["users"].sum()
    return {str(group): int(users) for group, users in sums.items()}
