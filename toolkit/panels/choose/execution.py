"""Step 4, do it: rehearse, confirm, apply, check; and the undo below, with its own confirmation.

One button at most is armed: a confirmation belongs to one act, and each rehearsal disarms what was
rehearsed before.
"""

from collections.abc import Callable, Generator, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import NamedTuple, TypeAlias

import ipywidgets
import traitlets

from toolkit.change.apply_plan import apply
from toolkit.change.changes_made import Change, Stage, changes
from toolkit.change.journal import journal_path
from toolkit.change.plan_file import read_plan
from toolkit.change.plan_summary import Plan
from toolkit.change.run import Outcome, path_of
from toolkit.change.undo_journal import undo
from toolkit.change.verify_plan import verify
from toolkit.change.ways import Way
from toolkit.errors import SettingsError
from toolkit.formatting import shorten
from toolkit.panels.background import JobPanel
from toolkit.panels.choose.changes_banner import ChangesBanner
from toolkit.panels.widgets import button, check, guarded, muted, title
from toolkit.progress import Progress
from toolkit.tenant.client import Tenant

SAMPLE = 2_000
"""How many users are read back at most; the result says that it is a sample."""

_WIDTH = "76px"
_LONGEST_NAME, _LONGEST_LABEL = 80, 160
_JOURNAL = "The journal lists what was done. Press Check to compare it with the tenant."

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
        ready: waits for the plan that the page makes itself: it would take the place of one with
            which somebody goes on.

    Attributes:
        done: whether a change of the tenant is in place; observe it.
    """

    done = traitlets.Bool(default_value=False)

    def __init__(
        self,
        domain: str,
        tenant: Callable[[], Tenant],
        keep: Callable[[], Plan],
        folder: Path,
        changed: Callable[[], None],
        ready: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__(
            "change",
            "",
            pausing="change nobody else for now",
            paused="Paused. Users under way are finished; nobody else is changed.",
            cancelling="stop; you can go on later",
            width=_WIDTH,
        )
        self._domain, self._tenant, self._keep = domain, tenant, keep
        self._folder, self._changed, self._ready = folder, changed, ready
        self._plan: Plan | None = None
        self._resumed: Plan | None = None  # which is gone on with, instead of the shown one
        self._rehearsed: tuple[str, int | None] | None = None  # a plan's id, and how many at most
        self._rehearsed_undo: _RehearsedUndo | None = None
        self._written: Path | None = None  # the plan that was applied or undone last
        self._short_domain = shorten(domain, _LONGEST_NAME)
        self.confirm, self.confirm_undo = (self._field() for _ in range(2))
        self.only_first = check("try with some people only")
        self.limit = ipywidgets.BoundedIntText(
            value=10, min=1, max=2**31, description="the first", layout={"width": "auto"}
        )
        self.limit.style.description_width = "initial"
        self.agreed = check()
        self.applied = ipywidgets.Dropdown(
            description="the change", layout={"width": "820px", "max_width": "100%"}
        )
        self.applied.style.description_width = "initial"
        self.rehearse_button = button(
            "Rehearse", "go through everything, and write nothing", "92px", self.rehearse
        )
        self.apply_button = button("Apply", "write to the tenant", "auto", self.apply)
        self.verify_button = button(
            "Check", "read the tenant, and compare it with the plan", _WIDTH, self.verify
        )
        self.rehearse_undo_button = button(
            "Rehearse undo",
            "say who would be put back and who not, and write nothing",
            "120px",
            self.rehearse_undo,
        )
        self.undo_button = button("Undo", "write back what was there before", "auto", self.undo)
        for one in (self.apply_button, self.undo_button):
            one.add_class("pa-danger")
        self.meter.layout.display = "none"
        for field in (self.confirm, self.confirm_undo, self.agreed):
            field.observe(lambda _: self.update_buttons(), "value")
        for field in (self.limit, self.only_first):
            field.observe(lambda _: self._disarm(), "value")
        self.applied.observe(lambda _: self._choose_applied(), "value")
        self.banner = ChangesBanner(domain, folder, self.go_on, self.put_back, is_own=self._is_own)
        self._first = ipywidgets.HBox([self.only_first, self.limit]).add_class("pa-row")
        self.resumed = ipywidgets.HTML()
        name = f"Type {self._short_domain} to say that you mean it"
        doing = (
            ("Rehearse: nothing is written", [self.rehearse_button, self._first]),
            (name, [self.confirm, self.agreed]),
            ("Write to the tenant", [self.apply_button]),
            (
                "Check that it is in place, and log in as a test user to see it",
                [self.verify_button],
            ),
        )
        undoing = (
            ("Choose", [self.applied]),
            ("Rehearse: nothing is written", [self.rehearse_undo_button]),
            (name, [self.confirm_undo]),
            ("Put back", [self.undo_button]),
        )
        self._undoing = ipywidgets.VBox([_heading("5 · Undo"), *_numbered(undoing)])
        self._undoing.layout.grid_gap = "6px"
        self._controls = ipywidgets.HBox([self.meter, self.pause_button, self.cancel_button])
        self._controls.add_class("pa-row").add_class("pa-doing")
        self.children = [
            _heading("4 · Do it"),
            self.resumed,
            *_numbered(doing),
            self.alert,
            self._controls,
            self.status,
            self._undoing,
        ]
        self._list_applied()
        self.show(None)

    def close(self) -> None:
        """Cancel what is under way, and look for changes no more."""
        self.banner.close()
        super().close()

    def _field(self) -> ipywidgets.Text:
        field = ipywidgets.Text(placeholder=f"type {self._short_domain} to confirm")
        return field.add_class("pa-confirm")

    def show(self, plan: Plan | None) -> None:
        """Offer to carry this plan out; None where there is none yet."""
        with self._lock:
            self._plan, self._resumed = plan, None
            self.resumed.value = ""
            self._disarm_apply()  # an undo is of another plan
            if plan is not None and plan.way is Way.RULE:
                self._say("Rules are printed in step 3: there is nothing to rehearse or to apply.")
            self.update_buttons()

    def _disarm(self) -> None:
        """Take back what was rehearsed and confirmed: each act needs its own."""
        with self._lock:
            self._rehearsed_undo = None
            self.confirm_undo.value = ""
            self._disarm_apply()
            self.update_buttons()

    def _disarm_apply(self) -> None:
        self._rehearsed = None
        self.confirm.value = ""
        self.agreed.value = False

    def _is_own(self, change: Change) -> bool:
        written = self._written
        return self.worker.working and written is not None and written.resolve() == change.plan

    @guarded
    def go_on(self, change: Change) -> None:
        """Rehearse the rest of a change that stopped."""
        if change.kind == "undo":
            self.put_back(change)
            return
        plan = read_plan(change.plan)
        with self._lock:
            if self.worker.working:
                raise SettingsError("Something else is under way: wait until it has ended.")

        def steps(tenant: Tenant) -> _Steps:
            self._ready()
            with self._lock:
                self.only_first.value = False
                self.show(plan)
                self._resumed = plan
                self.resumed.value = muted(f"This goes on with the change of {change.when}.")
            return (yield from self._rehearsing(tenant, plan, None))

        self._start("Rehearsing", steps)

    @guarded
    def put_back(self, change: Change) -> None:
        """Rehearse the undo of a change."""
        self._list_applied()
        self.applied.value = str(change.plan)
        self.rehearse_undo()

    def _shown_plan(self) -> Plan:
        return self._resumed or self._keep()

    @guarded
    def rehearse(self) -> None:
        """Go through everything, and write nothing."""
        limit = self._limit

        def steps(tenant: Tenant) -> _Steps:
            return (yield from self._rehearsing(tenant, self._shown_plan(), limit))

        self._start("Rehearsing", steps)

    def _rehearsing(self, tenant: Tenant, plan: Plan, limit: int | None) -> _Steps:
        outcome = yield from apply.steps(tenant, plan, limit=limit)
        self._rehearsed = plan.id, limit
        kept = muted(f"The plan is kept in {plan.path}.")
        return f"{_said('Rehearsed', outcome)}{kept}"

    @guarded
    def apply(self) -> None:
        """Write to the tenant what was rehearsed."""
        confirmed, agreed, limit = self._confirmed(), self.agreed.value, self._limit

        def steps(tenant: Tenant) -> _Steps:
            plan = self._shown_plan()
            if (plan.id, limit) != self._rehearsed:
                raise SettingsError("This plan was not rehearsed with this limit: rehearse it.")
            self._written = plan.path
            outcome = yield from apply.steps(
                tenant, plan, execute=True, confirm=confirmed, limit=limit, agreed=agreed
            )
            said = _said("Done", outcome)
            if plan.way is Way.ACTION and outcome.complete:
                said += muted(f"{plan.effect().first}, each from their next login on.")
            return f"{said}{muted(f'What was done is in {journal_path(path_of(plan))}.')}"

        self._start("Applying", steps, writes=True)

    @guarded
    def verify(self) -> None:
        """Read the tenant back and say what holds."""
        path = self._chosen()

        def steps(tenant: Tenant) -> _Steps:
            found = yield from verify.steps(tenant, path, sample=SAMPLE)
            return f"{_ended('Checked')} {found._repr_html_()}"

        self._start("Checking", steps)

    @guarded
    def rehearse_undo(self) -> None:
        """Say who would be put back and who would not, and write nothing."""
        path = self._chosen()

        def steps(tenant: Tenant) -> _Steps:
            outcome = yield from undo.steps(tenant, journal_path(path))
            changes = outcome.done - outcome.earlier
            words = "Nothing to put back"
            if changes and outcome.action is None:
                words = f"Put back {changes:,} people at {self._short_domain}"
            elif changes:
                words = f"Remove the default picture at {self._short_domain}"
            self._rehearsed_undo = _RehearsedUndo(path, words, changes)
            return _said("Undo rehearsed", outcome)

        self._start("Rehearsing the undo", steps, below=True)

    @guarded
    def undo(self) -> None:
        """Put back what was rehearsed."""
        confirmed, path = self._confirmed(self.confirm_undo), self._chosen()
        if self._rehearsed_undo is None or self._rehearsed_undo.plan != path:
            raise SettingsError("This undo was not rehearsed: rehearse it.")

        def steps(tenant: Tenant) -> _Steps:
            self._written = path
            outcome = yield from undo.steps(
                tenant, journal_path(path), execute=True, confirm=confirmed, sample=SAMPLE
            )
            return _said("Undone", outcome)

        self._start("Undoing", steps, writes=True, below=True)

    @property
    def _limit(self) -> int | None:
        """How many people this run writes at most, or None for all: an Action is for everybody."""
        writes = self._plan is not None and self._plan.way.writes_users
        return self.limit.value if writes and self.only_first.value else None

    def _start(
        self,
        what: str,
        steps: Callable[[Tenant], _Steps],
        *,
        writes: bool = False,
        below: bool = False,
    ) -> None:
        """Begin; what comes of it is said above the undo, or `below` it."""
        with self._lock:
            if not self.worker.working:
                # By CSS: a child that moves is drawn anew, and its button would lose the focus.
                for one in (self.alert, self._controls, self.status):
                    one.layout.order = "1" if below else None
                if not writes and what != "Checking":
                    self._disarm()
                self.begin(lambda: self._work(steps, writes=writes), "", what)

    def _work(self, steps: Callable[[Tenant], _Steps], *, writes: bool) -> None:
        outcome = ""
        try:
            ended = self.worker.through(steps(self._tenant()), self.meter.show)
            outcome = ended or f"{_ended('Stopped')} {muted(self._left(writes=writes))}"
            self.alert.clear()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is shown
            self.alert.show(error, advice=_JOURNAL if writes else "")
        if writes:
            self._list_applied()
        with self._lock:
            self.status.value = f'<div role="status">{outcome}</div>'
            self.meter.layout.display = "none"
            if writes:
                self._disarm()
        if writes:
            self._changed()
            self.banner.look()

    def _left(self, *, writes: bool) -> str:
        """Say what stopping left, as the journal has it."""
        if not writes:
            return "Nothing was written."
        mine = [
            one for one in self._changes() if self._written and one.plan == self._written.resolve()
        ]
        if not mine:
            return "Nothing was written."
        if mine[0].stage is not Stage.STOPPED:
            return "The journal has what was done."
        (one,) = mine
        if one.way == Way.ACTION:
            return f"The change of {one.count}. Do the same again to go on."
        done, again = ("put back", "Undo") if one.kind == "undo" else ("changed", "Apply")
        rest = f"{again} again to do the other {one.untried:,}"
        back = "" if one.kind == "undo" else f", or put the {one.done:,} back"
        return f"{one.done:,} of {one.planned:,} are {done}. {rest}{back}."

    def _changes(self) -> list[Change]:
        return changes(self._folder, self._domain)

    def _choose_applied(self) -> None:
        self._disarm()  # it was of another change

    def _confirmed(self, field: ipywidgets.Text | None = None) -> str:
        """Return the domain that was typed; raise SettingsError if it is not the tenant's."""
        confirmed: str = (field or self.confirm).value.strip()
        if confirmed != self._domain:
            raise SettingsError(f"Type {self._short_domain} into the field to confirm.")
        return confirmed

    def _chosen(self) -> Path:
        if self.applied.value is None:
            raise SettingsError("Nothing was applied yet.")
        return Path(self.applied.value)

    def _list_applied(self) -> None:
        """List what was applied from plans in the folder, the newest first."""
        made = self._changes()
        self.done = any(one.stage is Stage.COMPLETE for one in made)
        found = [(_label(one), str(one.plan)) for one in made]
        if found == list(self.applied.options):
            return
        chosen = self.applied.value
        self.applied.options = found
        paths = [path for _, path in found]
        written = str(self._written.resolve()) if self._written else chosen
        if paths:
            self.applied.value = written if written in paths else paths[0]

    def update_buttons(self) -> None:
        """Show and enable exactly those buttons and fields that mean something now."""
        with self._lock:
            super().update_buttons()
            idle, plan = not self.worker.working, self._plan
            confirmed = self.confirm.value.strip() == self._domain
            meant = self.confirm_undo.value.strip() == self._domain
            if plan is None:
                deployable = rehearsed = asks = writes_users = False
                self.apply_button.description = "Apply"
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
            self.confirm.disabled = self.agreed.disabled = not rehearsed
            for field in (self.only_first, self.limit):
                field.disabled = not idle
            for one in (self.pause_button, self.cancel_button):
                one.layout.display = "none" if idle else None
            chosen = idle and self.applied.value is not None
            for widget in (self.applied, self.verify_button, self.rehearse_undo_button):
                widget.disabled = not chosen
            found = self._rehearsed_undo
            undoable = chosen and found is not None and found.changes > 0
            self.confirm_undo.disabled = not undoable
            self.undo_button.disabled = not (undoable and meant)
            self.undo_button.description = found.words if found else "Undo"
            for widget, is_shown in (
                (self._first, writes_users),
                (self.agreed, asks),
                (self._undoing, self.applied.options),
            ):
                widget.layout.display = None if is_shown else "none"


def _label(change: Change) -> str:
    """Name a change so that it is told from others; a list cuts off the end."""
    return shorten(f"{change.when} · {change.what} · {change.words}", _LONGEST_LABEL)


def _heading(words: str) -> ipywidgets.HTML:
    return ipywidgets.HTML(title(words))


def _numbered(steps: Sequence[tuple[str, Sequence[ipywidgets.Widget]]]) -> list[ipywidgets.HBox]:
    """Return a row for each step, in the order in which they are taken."""
    return [
        ipywidgets.HBox([ipywidgets.HTML(f"<b>{number}</b>&ensp;{escape(words)}"), *widgets])
        .add_class("pa-row")
        .add_class("pa-doing")
        for number, (words, widgets) in enumerate(steps, 1)
    ]


def _ended(word: str) -> str:
    return f"<b>{word} at {datetime.now(UTC):%H:%M} UTC.</b>"


def _said(word: str, outcome: Outcome) -> str:
    """Say how it ended, in the words of what was read back."""
    is_early = outcome.executed and outcome.stopped
    return f"{_ended('Stopped' if is_early else word)} {outcome._repr_html_()}"
