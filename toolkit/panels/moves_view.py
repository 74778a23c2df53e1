"""The moves between two snapshots, each with a button that lists its people."""

from functools import partial
from html import escape
from pathlib import Path

import ipywidgets

from toolkit.analysis.selection import Selection
from toolkit.formatting import plural
from toolkit.panels.background import Worker
from toolkit.panels.explorer.user_table import Table, Writer
from toolkit.panels.widgets import Alert, button, guarded, muted, title
from toolkit.snapshots.comparison import Comparison, Move, users_moved
from toolkit.snapshots.query import Roster
from toolkit.snapshots.snapshot import Snapshot

_LISTED = 12


class MovesView(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """The moves, the largest first, and below them the people of the one that was pressed."""

    def __init__(self, alert: Alert) -> None:
        self.alert = alert
        self.worker = Worker("moved", self._failed)
        self.buttons: dict[Move, ipywidgets.Button] = {}
        self.rows, self.people = ipywidgets.VBox(), ipywidgets.VBox()
        self.said = ipywidgets.HTML()
        self.table: Table | None = None
        self.writer: Writer | None = None
        self._roster: Roster | None = None
        super().__init__([self.rows, self.said, self.people])

    def fill(self, found: Comparison, old: Snapshot, new: Snapshot) -> None:
        """List the moves of a comparison of two snapshots."""
        self.clear()
        self.buttons = {}
        rows = [self._row(move, old, new) for move in found.changes]
        head = ipywidgets.HTML(title("Who moved"))
        listed, further = [head, *rows[:_LISTED]], rows[_LISTED:]
        if further:
            smaller = plural(len(further), "smaller move")
            all_rows = partial(setattr, self.rows, "children", [head, *rows])
            listed.append(button(f"Show {smaller}", "list every move", "auto", all_rows))
        self.rows.children = listed if rows else []

    def clear(self) -> None:
        """Remove the list of people."""
        self.people.children, self.said.value = (), ""
        if self.table is not None:
            self.table.close()
        if self._roster is not None:
            self._roster.close()
        self.table = self.writer = self._roster = None

    def close(self) -> None:
        """End what is under way, and close the files."""
        self.worker.stop()
        self.worker.settled()
        self.clear()
        super().close()

    def _row(self, move: Move, old: Snapshot, new: Snapshot) -> ipywidgets.HBox:
        words = _words(move)
        show = button(
            f"Show the {move.users:,}",
            f"List the people: {words}",
            "130px",
            lambda: self._show(move, old, new),
        )
        self.buttons[move] = show
        said = ipywidgets.HTML(f"<b>{escape(words)}</b>")
        return ipywidgets.HBox([said, show]).add_class("pa-kept")

    @guarded
    def _show(self, move: Move, old: Snapshot, new: Snapshot) -> None:
        self.said.value = muted("Looking for them …", status=True)
        self.worker.ask(lambda: self._list(move, old, new))

    def _list(self, move: Move, old: Snapshot, new: Snapshot) -> None:
        found = users_moved(old, new, move.before, move.after)
        snapshot = old if move.after is None else new
        chosen = Selection(user_ids=tuple(found["user_id"].dropna()))
        roster = Roster(snapshot)
        self.clear()
        path = snapshot.path or Path("snapshot.parquet")
        self._roster = roster
        table = Table(roster, self.alert, code=_code(move, old, new))
        stem = f"{path.stem}-{move.before or 'new'}-{move.after or 'deleted'}"
        writer = Writer(roster, path.parent, stem, self.alert)
        table.show(chosen, users := roster.users(chosen))
        writer.selection = chosen
        self.table, self.writer = table, writer
        self.people.children = [table, writer]
        self.said.value = title(f"The {plural(users, 'user')} of “{_words(move)}”")

    def _failed(self, error: BaseException) -> None:
        self.said.value = ""
        self.alert.show(error)


def _words(move: Move) -> str:
    return f"{move.before or 'new users'} → {move.after or 'deleted users'}"


def _code(move: Move, old: Snapshot, new: Snapshot) -> str:
    """Return Python that lists the people of a move; snapshots in memory stay names."""
    read = "".join(
        f"{name} = toolkit.read_snapshot({str(one.path)!r})\n"
        for name, one in (("old", old), ("new", new))
        if one.path is not None
    )
    ends = ", ".join(repr(str(end) if end else None) for end in (move.before, move.after))
    return f"import toolkit\n\n{read}users = toolkit.users_moved(old, new, {ends})\n"
