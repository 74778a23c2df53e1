"""Step 4, do it: rehearse, confirm, apply, verify, undo, in a thread that can be paused."""

import threading
from collections.abc import Callable, Generator
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets

from toolkit.change import applying, journal_path, read_plan, undoing, verifying
from toolkit.coverage import visible
from toolkit.errors import IncompleteError, PictureAuditError, SettingsError, UnreadableInputError
from toolkit.panels.alert import Alert, guarded
from toolkit.panels.bar import Meter
from toolkit.plan import Plan
from toolkit.progress import Progress
from toolkit.tenant import Tenant
from toolkit.way import Way

SAMPLE = 2_000
"""Users who are read back, evenly spread, where there are more; what comes of it says so."""

_Steps = Callable[[Tenant], Generator[Progress, None, Any]]


class Execution(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """Buttons that carry a plan out, and what came of it.

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
        self._lock = threading.Lock()
        self._going, self._cancelled = threading.Event(), threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._plan: Plan | None = None
        self._rehearsed: str | None = None
        self.rehearse_button = _button(
            "Rehearse", "go through everything, and write nothing", "92px"
        )
        self.confirm = ipywidgets.Text(placeholder=f"type {domain} to confirm")
        self.confirm.add_class("pa-confirm")
        self.agreed = ipywidgets.Checkbox(indent=False, value=False)
        self.agreed.add_class("pa-check")
        self.apply_button = _button("Apply", "write to the tenant", "184px")
        self.apply_button.add_class("pa-danger")
        self.pause_button = _button("Pause", "write nobody else for now")
        self.cancel_button = _button("Cancel", "stop; Apply goes on where it stopped")
        self.done = ipywidgets.Dropdown(description="change", layout={"width": "440px"})
        self.done.style.description_width = "initial"
        self.verify_button = _button("Verify", "read the tenant back and say what holds")
        self.undo_button = _button("Undo", "put back what was changed; the domain confirms it")
        self.meter = Meter("")
        self.meter.layout.display = "none"
        self.said = ipywidgets.HTML()
        handlers = {
            self.rehearse_button: self.rehearse,
            self.apply_button: self.apply,
            self.pause_button: self.pause,
            self.cancel_button: self.cancel,
            self.verify_button: self.verify,
            self.undo_button: self.undo,
        }
        for button, handle in handlers.items():
            button.on_click(lambda _, handle=handle: handle())
        for field in (self.confirm, self.agreed, self.done):
            field.observe(lambda _: self._settle(), "value")
        title = ipywidgets.HTML('<div class="pa-title">4 · Do it</div>')
        above = ipywidgets.HBox(
            [
                title,
                self.rehearse_button,
                self.confirm,
                self.apply_button,
                self.pause_button,
                self.cancel_button,
            ]
        )
        below = ipywidgets.HBox([self.done, self.verify_button, self.undo_button])
        for row in (above, below):
            row.add_class("pa-row")
            row.add_class("pa-doing")
        super().__init__([above, self.agreed, self.alert, self.meter, self.said, below])
        self._list()
        self.show(None)

    def show(self, plan: Plan | None) -> None:
        """Offer to carry this plan out; None where there is none yet."""
        with self._lock:
            self._plan = plan
            self._rehearsed = None
        self.agreed.value = False
        if plan is not None and plan.way is Way.RULE:
            self._say("Rules are printed in step 3: there is nothing to rehearse or to apply.")
        self._settle()

    def settled(self, seconds: float) -> bool:
        """Wait until nothing is under way; return whether it came to that."""
        return self._idle.wait(seconds)

    @guarded
    def rehearse(self) -> None:
        """Go through everything, and write nothing."""

        def steps(tenant: Tenant) -> Generator[Progress, None, str]:
            plan = self._keep()
            outcome = yield from applying(tenant, plan)
            with self._lock:
                self._rehearsed = plan.id
            kept = f"The plan is kept in {plan.path}."
            return f"{outcome._repr_html_()}{_muted(kept)}"

        self._start("Rehearsing", steps)

    @guarded
    def apply(self) -> None:
        """Write to the tenant what was rehearsed."""
        self._ensure_confirmed()
        confirmed, agreed = self.confirm.value.strip(), self.agreed.value

        def steps(tenant: Tenant) -> Generator[Progress, None, str]:
            plan = self._keep()
            if plan.id != self._rehearsed:
                raise SettingsError("The plan has changed since it was rehearsed: rehearse it.")
            try:
                outcome = yield from applying(
                    tenant, plan, execute=True, confirm=confirmed, agreed=agreed
                )
            finally:
                self._list(plan.path)
            return str(outcome._repr_html_())

        self._start("Applying", steps, writes=True)

    @guarded
    def verify(self) -> None:
        """Read the tenant back and say what holds."""
        path = self._chosen()

        def steps(tenant: Tenant) -> Generator[Progress, None, str]:
            found = yield from verifying(tenant, path, sample=SAMPLE)
            return str(found._repr_html_())

        self._start("Verifying", steps)

    @guarded
    def undo(self) -> None:
        """Put back what was changed."""
        self._ensure_confirmed()
        path, confirmed = self._chosen(), self.confirm.value.strip()

        def steps(tenant: Tenant) -> Generator[Progress, None, str]:
            try:
                outcome = yield from undoing(
                    tenant, journal_path(path), execute=True, confirm=confirmed, sample=SAMPLE
                )
            finally:
                self._list(path)
            return str(outcome._repr_html_())

        self._start("Undoing", steps, writes=True)

    @guarded
    def pause(self) -> None:
        """Go no further, or go on."""
        if self._going.is_set():
            self._going.clear()
            self._say("Paused: what is under way is finished, and nobody else is touched.")
        else:
            self._going.set()
            self._say("")
        self._settle()

    @guarded
    def cancel(self) -> None:
        """Stop cleanly."""
        self._cancelled.set()
        self._going.set()
        self._say("Cancelling …")
        self._settle()

    def _start(self, what: str, steps: _Steps, *, writes: bool = False) -> None:
        with self._lock:
            if not self._idle.is_set():
                return
            self._idle.clear()
        self._cancelled.clear()
        self._going.set()
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
        try:
            said = self._run(steps(self._tenant()))
            if said is None:
                said = _muted(f"Cancelled: {what.lower()} again goes on where it stopped.")
            else:
                self.meter.done()
            self.alert.clear()
            self.said.value = f'<div role="status"><b>{what} has ended.</b> {said}</div>'
        except PictureAuditError as error:
            self.alert.show(error)
            self._say("")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is shown
            self.alert.show(_unforeseen(error) if writes else error)
            self._say("")
        finally:
            self.meter.layout.display = "none"
            if writes:
                self.confirm.value = ""
            self._idle.set()
            self._settle()
        if writes:
            self._changed()

    def _run(self, steps: Generator[Progress, None, str]) -> str | None:
        """Go through the steps, waiting where somebody paused; None where somebody cancelled."""
        try:
            while True:
                self._going.wait()
                if self._cancelled.is_set():
                    return None
                self.meter.show(next(steps))
        except StopIteration as end:
            said: str = end.value
            return said
        finally:
            steps.close()

    def _ensure_confirmed(self) -> None:
        if self.confirm.value.strip() != self._domain:
            raise SettingsError(f"Type {self._domain} into the field to confirm.")

    def _chosen(self) -> Path:
        if self.done.value is None:
            raise SettingsError("Nothing was applied yet.")
        return Path(self.done.value)

    def _list(self, chosen: Path | None = None) -> None:
        """List what was applied from plans in the folder, the newest first."""
        found: list[tuple[str, str]] = []
        for path in self._folder.glob("*.plan"):
            if not journal_path(path).exists():
                continue
            try:
                plan = read_plan(path)
            except UnreadableInputError:
                continue  # other people's files
            if plan.tenant == self._domain:
                undone = journal_path(journal_path(path)).exists()
                found.append((_label(plan, undone=undone), str(path)))
        found.sort(reverse=True)
        self.done.options = found
        paths = [path for _, path in found]
        if paths:
            self.done.value = str(chosen) if str(chosen) in paths else paths[0]

    def _settle(self) -> None:
        """Let exactly those buttons be pressed that mean something now."""
        idle, plan = self._idle.is_set(), self._plan
        deployable = idle and plan is not None and plan.way is not Way.RULE
        confirmed = self.confirm.value.strip() == self._domain
        rehearsed = deployable and plan is not None and plan.id == self._rehearsed
        asks = plan is not None and plan.asks_again
        self.rehearse_button.disabled = not deployable
        self.apply_button.disabled = not (
            rehearsed and confirmed and (self.agreed.value or not asks)
        )
        self.pause_button.disabled = self.cancel_button.disabled = idle
        self.pause_button.description = "Pause" if idle or self._going.is_set() else "Go on"
        self.done.disabled = self.verify_button.disabled = not idle or self.done.value is None
        self.undo_button.disabled = self.verify_button.disabled or not confirmed
        self.done.layout.display = None if self.done.options else "none"
        self.agreed.layout.display = None if asks else "none"
        if plan is not None:
            self.apply_button.description = f"Apply to {plan.changes:,} people"
            self.agreed.description = (
                f"{plan.changes:,} of {plan.users:,} users ({plan.share:.0%}) are meant"
            )

    def _say(self, words: str) -> None:
        self.said.value = f'<div role="status">{_muted(words)}</div>'


def _label(plan: Plan, *, undone: bool) -> str:
    state = ", undone" if undone else ""
    return f"{plan.made_at:%Y-%m-%d %H:%M} UTC · {plan.way} · {plan.changes:,} people{state}"


def _unforeseen(error: Exception) -> PictureAuditError:
    return IncompleteError(
        f"Something unforeseen happened ({type(error).__name__}), which is an error of this "
        "program: please report it. The journal holds what was done: Verify says what holds."
    )


def _muted(words: str) -> str:
    return f'<div class="pa-muted">{escape(visible(words))}</div>'


def _button(words: str, tooltip: str, width: str = "76px") -> ipywidgets.Button:
    return ipywidgets.Button(
        description=words, tooltip=tooltip, layout=ipywidgets.Layout(width=width)
    )
