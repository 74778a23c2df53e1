"""The whole job without code: its steps on the left, and one task at a time on the right."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import ipywidgets

from toolkit.analysis.finding_counts import Finding
from toolkit.analysis.selection import Selection
from toolkit.change.changes_made import Change
from toolkit.classification.sources import Source
from toolkit.collection.place import FOLDER, folder_name, latest_snapshot
from toolkit.errors import SettingsError
from toolkit.panels.answer_panel import Answer
from toolkit.panels.background import JobPanel
from toolkit.panels.choose.admin_panel import Admin, choose_default_picture
from toolkit.panels.choose.changes_banner import ChangesBanner
from toolkit.panels.choose.execution import Execution
from toolkit.panels.collector_panel import Collector
from toolkit.panels.explorer.explorer_panel import Explorer, explore
from toolkit.panels.kept_panel import Kept
from toolkit.panels.page_memory import PageMemory, Shown
from toolkit.panels.report_panel import ReportPanel
from toolkit.panels.widgets import (
    Alert,
    Printed,
    button,
    entrance,
    guarded,
    muted,
    skip,
    stylesheet,
)
from toolkit.snapshots.snapshot import Snapshot, read_snapshot
from toolkit.tenant.client import Tenant

COLLECT, ANSWER, PEOPLE, COMPARE, REPORT, CHANGE = (
    "Connect and collect",
    "Answer",
    "People",
    "Compare",
    "Report",
    "Default picture",
)
"""The steps, in their order; `CHANGE` has those of a change: choose, rehearse, apply, undo."""

_FIRST = """
<div class="pa-big">Where do your users' pictures come from?</div>
<p style="margin:6px 0 12px;max-width:760px">Collect reads every user of your Auth0 tenant into a
file on this computer, and changes nothing there. Then you see how many people have a picture of
their own, who has none, and what a default picture would change. The credentials come from the
variables AUTH0_DOMAIN, AUTH0_CLIENT_ID and AUTH0_CLIENT_SECRET, or from the file <code>.env</code>
in the folder in which this was started; they never enter this page. Without credentials, press
<b>A file</b>: an export of the users is enough.</p>
"""

_Page = Explorer | Admin | Answer | Kept | ReportPanel


class Dashboard(Printed, ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """Steps, the task that was chosen, and what is running. Made by `dashboard`.

    A task is made when it is first opened, and again when there is another snapshot.

    Args:
        out: the file to propose, as for `toolkit.collector`.
        folder: where snapshots go without one.
        remember: whether a page that is loaded again shows what it showed.
    """

    def __init__(
        self, out: Path | None = None, folder: Path = FOLDER, *, remember: bool = False
    ) -> None:
        self.collector = Collector(out, folder)
        self.alert = Alert()
        self.snapshot: Snapshot | None = None  # which the tasks are about
        self._folder = folder
        self._lock = threading.RLock()
        self._closed = False
        self._now = COLLECT
        self._made: dict[str, tuple[Snapshot, _Page]] = {}
        self.head, self.running = ipywidgets.HTML(), ipywidgets.HTML().add_class("pa-running")
        self._first = ipywidgets.VBox([ipywidgets.HTML(_FIRST), self.collector])
        self.entry = entrance(COLLECT)
        self.stage = ipywidgets.VBox([self.entry, self._first]).add_class("pa-stage")
        self.steps = {name: self._button(name) for name in (*_TASKS, CHANGE)}
        nav = ipywidgets.VBox(
            [
                skip("Skip to the task", self.entry),
                ipywidgets.HTML('<div class="pa-part">Find out</div>'),
                *(self.steps[name] for name in _TASKS),
                ipywidgets.HTML('<div class="pa-part">Change</div>'),
                self.steps[CHANGE],
                ipywidgets.HTML('<div class="pa-part">Running</div>'),
                self.running,
            ]
        ).add_class("pa-steps")
        desk = ipywidgets.HBox([nav, self.stage]).add_class("pa-desk")
        self.memory = PageMemory()
        tenant = self.collector.real or ""
        self.banner = ChangesBanner(
            tenant,
            folder / folder_name(tenant),
            self._go_on,
            self._put_back,
            everywhere=True,
        )
        kept = [self.memory] if remember else []
        super().__init__([stylesheet(), *kept, self.head, self.alert, self.banner, desk])
        self.add_class("pa-panel").add_class("pa-frame")
        self._watch(self.collector)
        self.collector.tenant.observe(self._tell, "value")
        self.collector.origin.observe(self._tell, "value")
        self._tell()
        self._mark()
        self.collector.observe(self._collected, "snapshot")
        self.memory.observe(lambda change: self._back(change["new"]), "found")

    @property
    def explorer(self) -> Explorer | None:
        """The task `PEOPLE`, if it was opened."""
        return self._page(PEOPLE)

    @property
    def admin(self) -> Admin | None:
        """The task `CHANGE`, if it was opened: it reads the tenant."""
        return self._page(CHANGE)

    @property
    def answer(self) -> Answer | None:
        """The task `ANSWER`, if there is a snapshot."""
        return self._page(ANSWER)

    @guarded
    def go_to(self, name: str) -> None:
        """Show the task of a step."""
        with self._lock:
            if self._closed:
                return
            if name != COLLECT:
                self._make(name)
            self._now = name
            self._mark()
            self._enter()

    def _enter(self) -> None:
        """Let whoever pressed a key go on in the task."""
        self.entry.value = self._now
        self.entry.focus()

    def fix(self, finding: Finding) -> None:
        """Show the task `CHANGE`, with the change chosen that settles a finding."""
        self.go_to(CHANGE)
        if self.admin is not None and self._now == CHANGE:
            self.admin.fix(finding)

    @guarded
    def take(self, snapshot: Snapshot) -> None:
        """Take another snapshot, and show its answer."""
        self._take(snapshot)

    def close(self) -> None:
        """End all that is under way, and close files and connections."""
        with self._lock:
            self._closed = True
            self.banner.close()
            for _, page in self._made.values():
                page.close()
        # Afterwards, because the parts use its embedded tenant.
        self.collector.close()
        super().close()

    def _page(self, name: str) -> _Page | None:
        return self._made[name][1] if name in self._made else None

    def static(self) -> tuple[str, Mapping[Source, int]]:
        """Return what the collector and the open explorer show."""
        explorer = self._page(PEOPLE)
        part = explorer if isinstance(explorer, Explorer) else self.collector
        head, sources = part.static()
        return f"{_FIRST}{head}", sources

    def _button(self, name: str) -> ipywidgets.Button:
        return button(name, f"step: {name}", "auto", lambda: self.go_to(name))

    def _collected(self, _: object) -> None:
        # On the collector's line: there people look when they press Open.
        try:
            self._take(self.collector.snapshot)
            self._settle()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is shown
            self.collector.alert.show(error)

    def _take(self, snapshot: Snapshot) -> None:
        with self._lock:
            if self._closed:
                return
            self._ensure_still()
            former, self.snapshot = self.snapshot, snapshot
            try:
                self._make(ANSWER)
            except BaseException:
                self.snapshot = former
                raise
            self._now = ANSWER
            self._tidy()
            self._mark()
            self._enter()  # the button that was pressed is hidden now
            # Where `choose_default_picture` keeps plans.
            beside = snapshot.path.parent if snapshot.path else Path.cwd()
            self.banner.about(snapshot.provenance.tenant, beside)

    def _settle(self) -> None:
        """Ask about everybody of the embedded tenant: nobody but its own sandbox is asked."""
        answer = self.answer
        if answer is None or answer.snapshot.provenance.probed_at is not None:
            return
        if self._embedded(answer.snapshot) is not None:
            answer.settle()

    def _embedded(self, snapshot: Snapshot) -> Tenant | None:
        """Return the embedded tenant while it runs here and the snapshot is of it."""
        tenant = self.collector.embedded
        is_of_it = tenant is not None and tenant.domain == snapshot.provenance.tenant
        return tenant if is_of_it else None

    def _ensure_still(self) -> None:
        """Raise an error while a change is under way: its snapshot must stay."""
        if self.admin is not None and not self.admin.execution.settled(0):
            raise SettingsError("A change is under way: go on here once it has ended.")

    def _make(self, name: str) -> None:
        """Make the page of a step for the snapshot, unless it is there."""
        snapshot = self.snapshot
        if snapshot is None:
            raise SettingsError("There is no snapshot yet: collect one, or open one.")
        former = self._made.get(name)
        if former is not None and former[0] is snapshot:
            if isinstance(former[1], Kept):
                former[1].refresh()
            return
        if name == CHANGE and former is not None:
            self._ensure_still()
        page = self._makers[name](snapshot)
        self._made[name] = snapshot, page
        if isinstance(page, Answer):
            page.observe(self._settled, "snapshot")
            self._watch(page)
        elif isinstance(page, Admin):
            self._watch(page.execution)
        elif isinstance(page, Explorer):
            page.filters.observe(self._remember, "selection")
        if (job := _job(page)) is not None:
            job.observe(self._mark, "done")
        if former is not None:
            former[1].close()
        self._place()

    @property
    def _makers(self) -> dict[str, Callable[[Snapshot], _Page]]:
        return {
            ANSWER: lambda snapshot: Answer(snapshot, self._ensure_still),
            PEOPLE: lambda snapshot: explore(snapshot, fix=self.fix),
            COMPARE: self._kept,
            REPORT: ReportPanel,
            CHANGE: self._choose,
        }

    def _kept(self, snapshot: Snapshot) -> Kept:
        former = self._page(COMPARE)
        pair = former.compared if isinstance(former, Kept) else None
        return Kept(snapshot, self._folder, self.take, pair)

    def _choose(self, snapshot: Snapshot) -> Admin:
        return choose_default_picture(snapshot, self._embedded(snapshot))

    def _settled(self, change: dict[str, Snapshot]) -> None:
        """Let all tasks be about what Gravatar has answered."""
        with self._lock:
            if not self._closed and (page := self._page(ANSWER)) is not None:
                self.snapshot = change["new"]
                self._made[ANSWER] = self.snapshot, page
                # What somebody has filtered, or compared, is shown again with the answers.
                former = self.explorer
                for name in {PEOPLE, COMPARE} & self._made.keys():
                    self._make(name)
                if former is not None and self.explorer is not None:
                    self.explorer.show(former.filters.selection)
                self._tidy()
                if self._now not in {COLLECT, *self._made}:
                    self._make(self._now)
                self._mark()

    @guarded
    def _back(self, kept: str) -> None:
        """Show what the page showed before it was loaded again."""
        shown = Shown.from_json(kept)
        if self.snapshot is None and not self.collector.worker.working:
            self._take(read_snapshot(shown.snapshot))
            self.go_to(PEOPLE)
            if self.explorer is not None:
                self.explorer.show(shown.filters)
            self.go_to(shown.step)

    def _remember(self, _: object = None) -> None:
        if self.snapshot is not None and self.snapshot.path is not None:
            filters = self.explorer.filters.selection if self.explorer else Selection()
            self.memory.kept = Shown(self.snapshot.path, self._now, filters).as_json()

    @guarded
    def _go_on(self, change: Change) -> None:
        """Go on with a change that stopped."""
        self._open_tasks(change.tenant)
        if self.admin is not None:
            self.admin.execution.go_on(change)

    @guarded
    def _put_back(self, change: Change) -> None:
        """Rehearse the undo of a change that stopped."""
        self._open_tasks(change.tenant)
        if self.admin is not None:
            self.admin.execution.put_back(change)

    def _open_tasks(self, tenant: str) -> None:
        """Show the task `CHANGE`, with the newest snapshot of a tenant if there is no other."""
        if self.snapshot is None or self.snapshot.provenance.tenant != tenant:
            self._take(latest_snapshot(tenant, self._folder))
        self.go_to(CHANGE)

    def _tidy(self) -> None:
        """Close the pages of another snapshot, except a change that is under way."""
        for name, (snapshot, page) in list(self._made.items()):
            busy = isinstance(page, Admin) and not page.execution.settled(0)
            if snapshot is not self.snapshot and not busy:
                del self._made[name]
                page.close()
        self._place()

    def _place(self) -> None:
        pages = (one for _, one in self._made.values())
        self.stage.children = [self.entry, self._first, *pages]

    def _mark(self, _: object = None) -> None:
        """Show the chosen task, and which steps are done."""
        jobs = {name: _job(page) for name, (_, page) in self._made.items()}
        done = {name for name, job in jobs.items() if job is not None and job.done}
        done |= {COLLECT} if self.snapshot is not None else set()
        for name, step in self.steps.items():
            step.disabled = name != COLLECT and self.snapshot is None
            for style, is_so in (("pa-now", name == self._now), ("pa-done", name in done)):
                (step.add_class if is_so else step.remove_class)(style)
        pages = {COLLECT: self._first} | {name: page for name, (_, page) in self._made.items()}
        for name, page in pages.items():
            page.layout.display = None if name == self._now else "none"
        # That step has the lines of its tenant itself.
        self.banner.layout.display = "none" if self._now == CHANGE else None
        self._remember()

    def _watch(self, job: JobPanel) -> None:
        job.meter.words.observe(self._tell, "value")
        job.cancel_button.observe(self._tell, "disabled")

    def _tell(self, _: object = None) -> None:
        """Say what is running, and whether the people are made up."""
        self.running.value = "".join(
            f"<b>{job.meter.bar.description}</b> {muted(job.meter.words.value)}"
            for job in self._jobs
            if job.worker.working
        ) or muted("Nothing is running in this page.")

    @property
    def _jobs(self) -> list[JobPanel]:
        pages = [self._page(ANSWER), self.admin.execution if self.admin else None]
        return [self.collector, *(page for page in pages if isinstance(page, JobPanel))]


def _job(page: _Page) -> Answer | Kept | ReportPanel | Execution | None:
    """Return the part of a page that says whether its step is done, if it has an end."""
    if isinstance(page, Explorer):
        return None
    return page.execution if isinstance(page, Admin) else page


_TASKS = (COLLECT, ANSWER, PEOPLE, COMPARE, REPORT)


def dashboard(
    out: Path | str | None = None, *, folder: Path | str = FOLDER, remember: bool = False
) -> Dashboard:
    """Show the whole job in a notebook cell: collect, look around, report, choose a default.

    `picture-audit dashboard` shows the same in the browser.

    Args:
        out: the file to propose, as for `toolkit.collector`.
        folder: where snapshots go without one.
        remember: whether a page that is loaded again shows the same snapshot, step and filters:
            for Voilà, where it has another kernel then.

    Returns:
        The panel.
    """
    return Dashboard(None if out is None else Path(out), Path(folder), remember=remember)
