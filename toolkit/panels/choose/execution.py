"""Step 4, do it: rehearse, confirm, apply, verify, undo, in a thread that can be paused."""

import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import ipywidgets

from toolkit.change.apply_plan import apply
from toolkit.change.journal import journal_path
from toolkit.change.plan_file import read_plan
from toolkit.change.plan_summary import Plan
from toolkit.change.undo_journal import undo, undone
from toolkit.change.verify_plan import verify
from toolkit.change.ways import Way
from toolkit.errors import IncompleteError, PictureAuditError, SettingsError, UnreadableInputError
from toolkit.formatting import shorten
from toolkit.panels.background import Run
from toolkit.panels.widgets import Alert, Meter, button, check, guarded, muted
from toolkit.progress import Progress
from toolkit.tenant.client import Tenant

SAMPLE = 2_000
"""Users who are read back, evenly spread, where there are more; what comes of it says so."""

_WIDTH = "76px"

_Steps = Callable[[Tenant], Generator[Progress, None, Any]]

_LONGEST_NAME = 80


class Execution(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """Buttons that carry a plan out and take it back, each rehearsed first, and what came of it.

    Args:
        domain: the tenant's, which is typed to confirm.
        tenant: opens the tenant; called from a thread.
        keep: puts the shown plan into a file and returns it with that; called from a thread.
        folder: where plans and journals are.
        changed: called from a thread once something was written.
    """

    def __init__(
        self,
        domain: str,
        tenant: Callable[[], Tenant],
        keep: Callable[[], Plan],
        folder: Path,
        changed: Callable[[], None],
    ) -> None:
        self.alert = Alert()
        self._domain, self._tenant, self._keep = domain, tenant, keep
        self._folder, self._changed = folder, changed
        self._run, self._lock = Run(), threading.RLock()
        self._plan: Plan | None = None
        self._rehearsed: tuple[str, int | None] | None = None  # a plan's id, and how many at most
        self._rehearsed_undo: _RehearsedUndo | None = None
        self.rehearse_button = button(
            "Rehearse", "go through everything, and write nothing", "92px"
        )
        self._shown = shorten(domain, _LONGEST_NAME)
        self.confirm = ipywidgets.Text(placeholder=f"type {self._shown} to confirm")
        self.confirm.add_class("pa-confirm")
        self.limit = ipywidgets.BoundedIntText(
            description="first N people only (0: all)", min=0, max=2**31, layout={"width": "252px"}
        )
        self.limit.style.description_width = "initial"
        self.agreed = check()
        self.apply_button = button("Apply", "write to the tenant", "auto")
        self.pause_button = button("Pause", "write nobody else for now", _WIDTH)
        self.cancel_button = button(
            "Cancel", "stop; doing the same again goes on where it stopped", _WIDTH
        )
        self.done = ipywidgets.Dropdown(description="applied", layout={"width": "560px"})
        self.done.style.description_width = "initial"
        self.verify_button = button("Verify", "read the tenant back and say what holds", _WIDTH)
        self.rehearse_undo_button = button(
            "Rehearse undo", "say who would be put back and who not, and write nothing", "120px"
        )
        self.undo_button = button("Undo", "write back what stood there before", "auto")
        for one in (self.apply_button, self.undo_button):
            one.add_class("pa-danger")
        self.meter = Meter("")
        self.meter.layout.display = "none"
        self.said = ipywidgets.HTML()
        handlers = {
            self.rehearse_button: self.rehearse,
            self.apply_button: self.apply,
            self.pause_button: self.pause,
            self.cancel_button: self.cancel,
            self.verify_button: self.verify,
            self.rehearse_undo_button: self.rehearse_undo,
            self.undo_button: self.undo,
        }
        for one, handle in handlers.items():
            one.on_click(lambda _, handle=handle: handle())
        for field in (self.confirm, self.agreed):
            field.observe(lambda _: self._settle(), "value")
        self.limit.observe(lambda _: self.show(self._plan), "value")
        self.done.observe(lambda _: self._chose(), "value")
        title = ipywidgets.HTML('<div class="pa-title">4 · Do it</div>')
        rows = (
            [title, self.confirm, self.limit, self.pause_button, self.cancel_button],
            [self.rehearse_button, self.apply_button],
            [self.done, self.verify_button, self.rehearse_undo_button, self.undo_button],
        )
        above, middle, below = map(ipywidgets.HBox, rows)
        for row in (above, middle, below):
            row.add_class("pa-row")
            row.add_class("pa-doing")
        super().__init__([above, middle, self.agreed, self.alert, self.meter, self.said, below])
        self._list()
        self.show(None)

    def show(self, plan: Plan | None) -> None:
        """Offer to carry this plan out; None where there is none yet."""
        with self._lock:
            self._plan, self._rehearsed = plan, None
            self.agreed.value = False
            if plan is not None and plan.way is Way.RULE:
                self._say("Rules are printed in step 3: there is nothing to rehearse or to apply.")
            self._settle()

    def settled(self, seconds: float) -> bool:
        """Wait until nothing is under way; return whether it came to that."""
        return self._run.settled(seconds)

    def close(self) -> None:
        """Stop what is under way: what is being written is finished and journaled."""
        self._run.stop()
        super().close()

    @guarded
    def rehearse(self) -> None:
        """Go through everything, and write nothing."""
        limit = self._limit

        def steps(tenant: Tenant) -> Generator[Progress, None, str]:
            plan = self._keep()
            outcome = yield from apply.steps(tenant, plan, limit=limit)
            self._rehearsed = plan.id, limit
            kept = f"The plan is kept in {plan.path}."
            return f"{outcome._repr_html_()}{muted(kept)}"

        self._start("Rehearsing", steps)

    @guarded
    def apply(self) -> None:
        """Write to the tenant what was rehearsed."""
        self._ensure_confirmed()
        confirmed, agreed, limit = self.confirm.value.strip(), self.agreed.value, self._limit

        def steps(tenant: Tenant) -> Generator[Progress, None, str]:
            plan = self._keep()
            if (plan.id, limit) != self._rehearsed:
                raise SettingsError("This plan was not rehearsed with this limit: rehearse it.")
            try:
                outcome = yield from apply.steps(
                    tenant, plan, execute=True, confirm=confirmed, limit=limit, agreed=agreed
                )
            finally:
                self._list(plan.path)
            self._rehearsed = None
            return str(outcome._repr_html_())

        self._start("Applying", steps, writes=True)

    @guarded
    def verify(self) -> None:
        """Read the tenant back and say what holds."""
        path = self._chosen()

        def steps(tenant: Tenant) -> Generator[Progress, None, str]:
            found = yield from verify.steps(tenant, path, sample=SAMPLE)
            return str(found._repr_html_())

        self._start("Verifying", steps)

    @guarded
    def rehearse_undo(self) -> None:
        """Say who would be put back and who would not, and write nothing."""
        path = self._chosen()

        def steps(tenant: Tenant) -> Generator[Progress, None, str]:
            outcome = yield from undo.steps(tenant, journal_path(path))
            self._rehearsed_undo = _RehearsedUndo(
                path, outcome.done - outcome.earlier, is_action=outcome.action is not None
            )
            return str(outcome._repr_html_())

        self._start("Rehearsing the undo", steps)

    @guarded
    def undo(self) -> None:
        """Put back what was rehearsed."""
        self._ensure_confirmed()
        path, confirmed = self._chosen(), self.confirm.value.strip()
        if self._rehearsed_undo is None or self._rehearsed_undo.path != path:
            raise SettingsError("This undo was not rehearsed: rehearse it.")

        def steps(tenant: Tenant) -> Generator[Progress, None, str]:
            try:
                outcome = yield from undo.steps(
                    tenant, journal_path(path), execute=True, confirm=confirmed, sample=SAMPLE
                )
            finally:
                self._list(path)
            return str(outcome._repr_html_())

        self._start("Undoing", steps, writes=True)

    @guarded
    def pause(self) -> None:
        """Go no further, or go on."""
        with self._lock:
            if not self._run.working:
                return  # it ended while this was pressed
            paused = self._run.pause()
            words = "Paused: what is under way is finished, and nobody else is touched."
            self._say(words if paused else "")
            self._settle()

    @guarded
    def cancel(self) -> None:
        """Stop cleanly."""
        with self._lock:
            if not self._run.working:
                return
            self._say("Cancelling …")
            self._run.cancel()
            self._settle()

    @property
    def _limit(self) -> int | None:
        """How many people this run writes at most, or None for all: an Action is for everybody."""
        writes = self._plan is not None and self._plan.way.writes_users
        return (self.limit.value or None) if writes else None

    def _start(self, what: str, steps: _Steps, *, writes: bool = False) -> None:
        if not self._run.begin():
            return
        self.meter.bar.description = what
        self.meter.start()
        self.meter.layout.display = None
        self._say("")
        self._settle()
        threading.Thread(
            target=self._work, args=(what, steps, writes), name="change", daemon=True
        ).start()

    def _work(self, what: str, steps: _Steps, writes: bool) -> None:
        """Do it step by step; runs in a thread of its own."""
        outcome = ""
        try:
            said = self._run.through(steps(self._tenant()), self.meter.show)
            if said is None:
                said = muted(f"Cancelled: {what.lower()} again goes on where it stopped.")
            else:
                self.meter.done()
            self.alert.clear()
            outcome = f"<b>{what} has ended.</b> {said}"
        except PictureAuditError as error:
            self.alert.show(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is shown
            self.alert.show(_unforeseen(error) if writes else error)
        finally:
            with self._lock:
                self.said.value = f'<div role="status">{outcome}</div>'
                self.meter.layout.display = "none"
                if writes:
                    self.confirm.value = ""
                    self._rehearsed_undo = None
                self._run.end()
                self._settle()
        if writes:
            self._changed()

    def _chose(self) -> None:
        """Another change is chosen: its undoing was not rehearsed."""
        self._rehearsed_undo = None
        self._settle()

    def _ensure_confirmed(self) -> None:
        if self.confirm.value.strip() != self._domain:
            raise SettingsError(f"Type {self._shown} into the field to confirm.")

    def _chosen(self) -> Path:
        if self.done.value is None:
            raise SettingsError("Nothing was applied yet.")
        return Path(self.done.value)

    def _list(self, chosen: Path | None = None) -> None:
        """List what was applied from plans in the folder, the newest first."""
        found: list[tuple[datetime, str, str]] = []
        for path in self._folder.glob("*.plan"):
            if not journal_path(path).exists():
                continue
            try:
                plan = read_plan(path)
            except UnreadableInputError:
                continue  # other people's files
            if plan.tenant == self._domain:
                label = _label(plan, _undo_state(journal_path(path)))
                found.append((plan.made_at, label, str(path)))
        found.sort(reverse=True)
        paths = [path for _, _, path in found]
        self.done.options = [(label, path) for _, label, path in found]
        if paths:
            self.done.value = str(chosen) if str(chosen) in paths else paths[0]

    def _settle(self) -> None:
        """Let exactly those buttons be pressed that mean something now."""
        with self._lock:
            self._offer()

    def _offer(self) -> None:
        idle, plan = not self._run.working, self._plan
        confirmed = self.confirm.value.strip() == self._domain
        deployable = idle and plan is not None and plan.way is not Way.RULE
        rehearsed = deployable and plan is not None and (plan.id, self._limit) == self._rehearsed
        asks = plan is not None and plan.asks_again
        agreed = self.agreed.value or self._limit is not None or not asks
        self.rehearse_button.disabled = not deployable
        self.apply_button.disabled = not (rehearsed and confirmed and agreed)
        self.limit.disabled = not idle
        self.limit.layout.display = None if plan is not None and plan.way.writes_users else "none"
        self._run.settle(self.pause_button, self.cancel_button)
        chosen = idle and self.done.value is not None
        self.done.disabled = self.verify_button.disabled = not chosen
        self.rehearse_undo_button.disabled = not chosen
        undo = self._rehearsed_undo
        self.undo_button.disabled = not (chosen and confirmed and undo and undo.changes)
        self.undo_button.description = undo.words(self._shown) if undo else "Undo"
        self.done.layout.display = None if self.done.options else "none"
        self.agreed.layout.display = None if asks else "none"
        if plan is not None:
            self.apply_button.description = _words(plan, self._limit)
            self.agreed.description = (
                f"{plan.changes:,} of {plan.users:,} users ({plan.share:.0%}) are meant"
            )

    def _say(self, words: str) -> None:
        self.said.value = f'<div role="status">{muted(words)}</div>'


@dataclass(frozen=True, slots=True)
class _RehearsedUndo:
    """What rehearsing an undo has shown.

    Attributes:
        path: the plan that would be undone.
        changes: how many people would be put back, or 1 for an Action.
        is_action: whether it is an Action that would be taken back.
    """

    path: Path
    changes: int
    is_action: bool

    def words(self, domain: str) -> str:
        """Say on a button what pressing it does."""
        if not self.changes:
            return "Nothing to put back"
        what = "the Action" if self.is_action else f"{self.changes:,} people"
        return f"Put back {what} at {domain}"


def _words(plan: Plan, limit: int | None) -> str:
    """Say on a button what applying a plan does."""
    if limit is not None and limit < plan.changes:
        return f"Apply to at most {limit:,} of {plan.changes:,} people"
    return f"Apply to {plan.changes:,} people"


def _undo_state(journal: Path) -> str:
    """Say whether a change was undone; where that cannot be read, Undo says why."""
    try:
        if undone(journal):
            return ", undone"
    except (UnreadableInputError, SettingsError):
        return ", with an unusable journal"
    return ", partly undone" if journal_path(journal).exists() else ""


def _label(plan: Plan, state: str) -> str:
    """Name a plan so that it is told from others, what matters most first: a list cuts it off."""
    picture = plan.policy.picture.rpartition("/")[2]
    return (
        f"{plan.made_at:%Y-%m-%d %H:%M:%S} UTC · {plan.way} for {plan.changes:,} people{state} · "
        f"{picture}"
    )


def _unforeseen(error: Exception) -> PictureAuditError:
    return IncompleteError(
        f"Something unforeseen happened ({type(error).__name__}), which is an error of this "
        "program: please report it. The journal holds what was done: Verify says what holds."
    )
