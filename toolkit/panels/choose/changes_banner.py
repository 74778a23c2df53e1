"""What runs at the tenant at this moment, and what stopped half-way: said before anything else."""

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

import ipywidgets

from toolkit.change.changes_made import Change, Stage, changes
from toolkit.change.run import holders
from toolkit.change.stop_request import Request, ask
from toolkit.change.ways import Way
from toolkit.errors import SettingsError
from toolkit.formatting import visible
from toolkit.panels.background import Worker
from toolkit.panels.widgets import Alert, button, guarded

_RUNNING, _IDLE = 2.0, 5.0  # seconds between two looks


class ChangesBanner(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """A line for each change that runs or stopped, and what can be done about it.

    Args:
        domain: the tenant's.
        folder: where its plans and journals are.
        go_on, put_back: called with a change that stopped.
        is_own: whether a change has buttons of its own in this page.
        everywhere: whether to show what runs at other tenants, too.
    """

    def __init__(
        self,
        domain: str,
        folder: Path,
        go_on: Callable[[Change], object],
        put_back: Callable[[Change], object],
        *,
        is_own: Callable[[Change], bool] = lambda _: False,
        everywhere: bool = False,
    ) -> None:
        super().__init__()
        self.add_class("pa-changes")
        self.alert = Alert()
        self.children = [self.alert]
        self._domain, self._folder, self._is_own = domain, folder, is_own
        self._go_on, self._put_back, self._everywhere = go_on, put_back, everywhere
        self._shown: list[tuple[Change, str]] = []
        self.worker = Worker("changes", self.alert.show)
        self.look()

    def about(self, domain: str, folder: Path) -> None:
        """Look at the changes of another tenant."""
        self._domain, self._folder = domain, folder
        self.look()

    def look(self) -> None:
        """Read again what there is, in the background."""
        self.worker.ask(self._look)

    def close(self) -> None:
        """Look no more."""
        self.worker.stop()
        self.worker.settled()
        super().close()

    def show(self, found: Sequence[Change]) -> None:
        """Show those of these changes that run or stopped."""
        open_ones = [
            (one, _words(one, at=one.tenant if self._everywhere else ""))
            for one in found
            if self._is_open(one) and not self._is_own(one)
        ]
        if open_ones != self._shown:  # or a button would lose the focus each time
            self._shown = open_ones
            self.children = [self._line(one, words) for one, words in open_ones] + [self.alert]

    def _is_open(self, change: Change) -> bool:
        stopped_here = change.stage is Stage.STOPPED and change.tenant == self._domain
        return stopped_here or change.stage is Stage.RUNNING

    def _look(self) -> None:
        found = changes(self._folder, None if self._everywhere else self._domain)
        self.show(found)
        runs = any(one.stage is Stage.RUNNING for one in found)
        if not self.worker.superseded:
            self.worker.ask(self._look if runs else self._glance, wait=_RUNNING if runs else _IDLE)

    def _glance(self) -> None:
        """Look whether anything has begun to run; reading all journals takes longer."""
        if any(self._everywhere or one.tenant == self._domain for one in holders()):
            self._look()
        elif not self.worker.superseded:
            self.worker.ask(self._glance, wait=_IDLE)

    def _line(self, change: Change, words: str) -> ipywidgets.HBox:
        if change.stage is Stage.RUNNING:
            paused = change.request is Request.PAUSE
            wanted = None if paused else Request.PAUSE
            buttons = [
                button(
                    "Go on" if paused else "Pause",
                    "write to more people" if paused else "write to nobody else for now",
                    "auto",
                    lambda: self.ask(change, wanted),
                ),
                button(
                    "Stop",
                    "end after the people under way; you can go on later",
                    "auto",
                    lambda: self.ask(change, Request.STOP),
                ),
            ]
        else:
            back = "Put the Action back" if change.way == Way.ACTION else _back(change)
            buttons = [button("Go on", "rehearse the rest", "auto", lambda: self._go_on(change))]
            if change.kind == "apply":
                put = button(back, "rehearse the undo", "auto", lambda: self._put_back(change))
                buttons.append(put)
        said = ipywidgets.HTML(f'<b role="status">{escape(visible(words))}</b>')
        return ipywidgets.HBox([said, *buttons]).add_class("pa-row").add_class("pa-doing")

    @guarded
    def ask(self, change: Change, request: Request | None) -> None:
        """Ask whoever runs a change to pause, to stop, or to go on."""
        if all(one.tenant != change.tenant for one in holders()):
            self.look()
            raise SettingsError("This change has ended meanwhile.")
        ask(change.written_journal, request)
        self.look()


def _back(change: Change) -> str:
    return f"Put the {change.done:,} back"


def _words(change: Change, at: str) -> str:
    undo = "undo" if change.kind == "undo" else "change"
    where, by = (f" at {at}", "") if at else ("", " by another page or command")
    if change.stage is Stage.RUNNING:
        since = f", started {change.holder.since:%H:%M} UTC" if change.holder else ""
        asked = {Request.PAUSE: "It is paused.", Request.STOP: "It is stopping."}
        more = asked[change.request] if change.request else ""
        running = "Undo running" if change.kind == "undo" else "Running"
        return f"{running}{where}: {change.count}{since}{by}. {more}".rstrip()
    stopped = f"The {undo} of {change.when} ({change.what}){where} stopped at {change.count}."
    left = change.skipped + change.refused
    return f"{stopped} {left:,} were left as they are." if left else stopped
