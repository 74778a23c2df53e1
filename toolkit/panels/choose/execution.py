"""Step 4, do it: rehearse, confirm, apply, verify, undo, in a thread that can be paused."""

from collections.abc import Callable, Generator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, TypeAlias

import ipywidgets

from toolkit.change.apply_plan import apply
from toolkit.change.journal import journal_path
from toolkit.change.plan_file import read_plan
from toolkit.change.plan_summary import Plan
from toolkit.change.undo_journal import undo, undone
from toolkit.change.verify_plan import verify
from toolkit.change.ways import Way
from toolkit.errors import SettingsError, UnreadableInputError
from toolkit.formatting import shorten
from toolkit.panels.background import JobPanel
from toolkit.panels.widgets import button, check, guarded, muted, title
from toolkit.progress import Progress
from toolkit.tenant.client import Tenant

SAMPLE = 2_000
"""How many users are read back at most; the result says that it is a sample."""

_WIDTH = "76px"
_LONGEST_NAME = 80
_JOURNAL = "The journal lists what was done. Press Verify to compare it with the tenant."

_Steps: TypeAlias = Generator[Progress, None, str]


class _RehearsedUndo(NamedTuple):
    plan: Path
    words: str  # on the button
    changes: int


class Execution(JobPanel):
    """Buttons that carry a plan out and take it back, each rehearsed first, and the outcome.

    Args:
        domain: the tenant's, which is typed to confirm.
        tenant: opens the tenant. `tenant`, `keep` and `changed` are called from a thread.
        keep: saves the shown plan and returns it, with its file.
        folder: where plans and journals are.
        changed: called once something was written.
    """

    def __init__(
        self,
        domain: str,
        tenant: Callable[[], Tenant],
        keep: Callable[[], Plan],
        folder: Path,
        changed: Callable[[], None],
    ) -> None:
        super().__init__(
            "change",
            "",
            pausing="write nobody else for now",
            paused="Paused: what is under way is finished, and nobody else is touched.",
            cancelling="stop; doing the same again goes on where it stopped",
            width=_WIDTH,
        )
        self._domain, self._tenant, self._keep = domain, tenant, keep
        self._folder, self._changed = folder, changed
        self._plan: Plan | None = None
        self._rehearsed: tuple[str, int | None] | None = None  # a plan's id, and how many at most
        self._rehearsed_undo: _RehearsedUndo | None = None
        self._written: Path | None = None  # the plan that was applied or undone last
        self._short_domain = shorten(domain, _LONGEST_NAME)
        self.confirm = ipywidgets.Text(placeholder=f"type {self._short_domain} to confirm")
        self.confirm.add_class("pa-confirm")
        self.limit = ipywidgets.BoundedIntText(
            description="first N people only (0: all)", min=0, max=2**31, layout={"width": "252px"}
        )
        self.agreed = check()
        self.applied = ipywidgets.Dropdown(description="applied", layout={"width": "560px"})
        for field in (self.limit, self.applied):
            field.style.description_width = "initial"
        self.rehearse_button = button(
            "Rehearse", "go through everything, and write nothing", "92px", self.rehearse
        )
        self.apply_button = button("Apply", "write to the tenant", "auto", self.apply)
        self.verify_button = button(
            "Verify", "read the tenant back and say what holds", _WIDTH, self.verify
        )
        self.rehearse_undo_button = button(
            "Rehearse undo",
            "say who would be put back and who not, and write nothing",
            "120px",
            self.rehearse_undo,
        )
        self.undo_button = button("Undo", "write back what stood there before", "auto", self.undo)
        for one in (self.apply_button, self.undo_button):
            one.add_class("pa-danger")
        self.meter.layout.display = "none"
        for field in (self.confirm, self.agreed):
            field.observe(lambda _: self.update_buttons(), "value")
        self.limit.observe(lambda _: self.show(self._plan), "value")
        self.applied.observe(lambda _: self._choose_applied(), "value")
        heading = ipywidgets.HTML(title("4 · Do it"))
        rows = (
            [heading, self.confirm, self.limit, self.pause_button, self.cancel_button],
            [self.rehearse_button, self.apply_button],
            [self.applied, self.verify_button, self.rehearse_undo_button, self.undo_button],
        )
        above, middle, below = (
            ipywidgets.HBox(row).add_class("pa-row").add_class("pa-doing") for row in rows
        )
        self.children = [above, middle, self.agreed, self.alert, self.meter, self.status, below]
        self._list_applied()
        self.show(None)

    def show(self, plan: Plan | None) -> None:
        """Offer to carry this plan out; None where there is none yet."""
        with self._lock:
            self._plan, self._rehearsed = plan, None
            self.agreed.value = False
            if plan is not None and plan.way is Way.RULE:
                self._say("Rules are printed in step 3: there is nothing to rehearse or to apply.")
            self.update_buttons()

    @guarded
    def rehearse(self) -> None:
        """Go through everything, and write nothing."""
        limit = self._limit

        def steps(tenant: Tenant) -> _Steps:
            plan = self._keep()
            outcome = yield from apply.steps(tenant, plan, limit=limit)
            self._rehearsed = plan.id, limit
            return f"{outcome._repr_html_()}{muted(f'The plan is kept in {plan.path}.')}"

        self._start("Rehearsing", steps)

    @guarded
    def apply(self) -> None:
        """Write to the tenant what was rehearsed."""
        confirmed, agreed, limit = self._confirmed(), self.agreed.value, self._limit

        def steps(tenant: Tenant) -> _Steps:
            plan = self._keep()
            if (plan.id, limit) != self._rehearsed:
                raise SettingsError("This plan was not rehearsed with this limit: rehearse it.")
            self._written = plan.path
            outcome = yield from apply.steps(
                tenant, plan, execute=True, confirm=confirmed, limit=limit, agreed=agreed
            )
            self._rehearsed = None
            return outcome._repr_html_()

        self._start("Applying", steps, writes=True)

    @guarded
    def verify(self) -> None:
        """Read the tenant back and say what holds."""
        path = self._chosen()

        def steps(tenant: Tenant) -> _Steps:
            found = yield from verify.steps(tenant, path, sample=SAMPLE)
            return found._repr_html_()

        self._start("Verifying", steps)

    @guarded
    def rehearse_undo(self) -> None:
        """Say who would be put back and who would not, and write nothing."""
        path = self._chosen()

        def steps(tenant: Tenant) -> _Steps:
            outcome = yield from undo.steps(tenant, journal_path(path))
            changes = outcome.done - outcome.earlier
            what = f"{changes:,} people" if outcome.action is None else "the Action"
            words = f"Put back {what} at {self._short_domain}" if changes else "Nothing to put back"
            self._rehearsed_undo = _RehearsedUndo(path, words, changes)
            return outcome._repr_html_()

        self._start("Rehearsing the undo", steps)

    @guarded
    def undo(self) -> None:
        """Put back what was rehearsed."""
        confirmed, path = self._confirmed(), self._chosen()
        if self._rehearsed_undo is None or self._rehearsed_undo.plan != path:
            raise SettingsError("This undo was not rehearsed: rehearse it.")

        def steps(tenant: Tenant) -> _Steps:
            self._written = path
            outcome = yield from undo.steps(
                tenant, journal_path(path), execute=True, confirm=confirmed, sample=SAMPLE
            )
            return outcome._repr_html_()

        self._start("Undoing", steps, writes=True)

    @property
    def _limit(self) -> int | None:
        """How many people this run writes at most, or None for all: an Action is for everybody."""
        writes = self._plan is not None and self._plan.way.writes_users
        return (self.limit.value or None) if writes else None

    def _start(self, what: str, steps: Callable[[Tenant], _Steps], *, writes: bool = False) -> None:
        with self._lock:
            if not self.worker.working:
                self.meter.bar.description = what
                self.meter.layout.display = None
                self.begin(lambda: self._work(what, steps, writes=writes), "")

    def _work(self, what: str, steps: Callable[[Tenant], _Steps], *, writes: bool) -> None:
        outcome = ""
        try:
            ended = self.worker.through(steps(self._tenant()), self.meter.show)
            outcome = (
                f"<b>{what} has ended.</b> {ended}"
                if ended
                else muted(f"Cancelled: {what.lower()} again goes on where it stopped.")
            )
            self.alert.clear()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is shown
            self.alert.show(error, advice=_JOURNAL if writes else "")
        if writes:
            self._list_applied()
        with self._lock:
            self.status.value = f'<div role="status">{outcome}</div>'
            self.meter.layout.display = "none"
            if writes:
                self.confirm.value = ""
                self._rehearsed_undo = None
        if writes:
            self._changed()

    def _choose_applied(self) -> None:
        self._rehearsed_undo = None  # it was of another change
        self.update_buttons()

    def _confirmed(self) -> str:
        """Return the domain that was typed; raise SettingsError if it is not the tenant's."""
        confirmed: str = self.confirm.value.strip()
        if confirmed != self._domain:
            raise SettingsError(f"Type {self._short_domain} into the field to confirm.")
        return confirmed

    def _chosen(self) -> Path:
        if self.applied.value is None:
            raise SettingsError("Nothing was applied yet.")
        return Path(self.applied.value)

    def _list_applied(self) -> None:
        """List what was applied from plans in the folder, the newest first."""
        found: list[tuple[datetime, str, str]] = []
        for path in self._folder.glob("*.plan"):
            if journal_path(path).exists():
                with suppress(UnreadableInputError):  # other people's files
                    plan = read_plan(path)
                    if plan.tenant == self._domain:
                        found.append((plan.made_at, _label(plan, journal_path(path)), str(path)))
        found.sort(reverse=True)
        self.applied.options = [(label, path) for _, label, path in found]
        if found:
            paths = [path for _, _, path in found]
            self.applied.value = str(self._written) if str(self._written) in paths else paths[0]

    def update_buttons(self) -> None:
        """Show and enable exactly those buttons and fields that mean something now."""
        with self._lock:
            super().update_buttons()
            idle, plan = not self.worker.working, self._plan
            confirmed = self.confirm.value.strip() == self._domain
            if plan is None:
                deployable = rehearsed = asks = writes_users = False
            else:
                deployable = idle and plan.way is not Way.RULE
                rehearsed = deployable and (plan.id, self._limit) == self._rehearsed
                asks, writes_users = plan.asks_again, plan.way.writes_users
                limit = self._limit
                few = f"at most {limit:,} of " if limit is not None and limit < plan.changes else ""
                self.apply_button.description = f"Apply to {few}{plan.changes:,} people"
                self.agreed.description = (
                    f"{plan.changes:,} of {plan.users:,} users ({plan.share:.0%}) are meant"
                )
            agreed = self.agreed.value or self._limit is not None or not asks
            self.rehearse_button.disabled = not deployable
            self.apply_button.disabled = not (rehearsed and confirmed and agreed)
            self.limit.disabled = not idle
            chosen = idle and self.applied.value is not None
            for widget in (self.applied, self.verify_button, self.rehearse_undo_button):
                widget.disabled = not chosen
            found = self._rehearsed_undo
            self.undo_button.disabled = not (chosen and confirmed and found and found.changes)
            self.undo_button.description = found.words if found else "Undo"
            for widget, is_shown in (
                (self.limit, writes_users),
                (self.agreed, asks),
                (self.applied, self.applied.options),
            ):
                widget.layout.display = None if is_shown else "none"


def _label(plan: Plan, journal: Path) -> str:
    """Name an applied plan so that it is told from others; a list cuts off the end."""
    try:
        if undone(journal):
            state = ", undone"
        else:
            state = ", partly undone" if journal_path(journal).exists() else ""
    except (UnreadableInputError, SettingsError):  # Undo says why
        state = ", with an unusable journal"
    return (
        f"{plan.made_at:%Y-%m-%d %H:%M:%S} UTC · {plan.way} for {plan.changes:,} people{state} · "
        f"{plan.policy.picture.rpartition('/')[2]}"
    )
