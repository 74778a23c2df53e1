"""Buttons that write the listed users to a file."""

import threading
from collections.abc import Callable
from html import escape
from pathlib import Path

import ipywidgets

from toolkit.panels.alert import Alert, guarded
from toolkit.panels.controls import button
from toolkit.roster import Roster
from toolkit.selection import Selection
from toolkit.wording import visible


class Writer(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """Writes a selection as CSV or Parquet, in the background, and says where.

    Args:
        roster: the users.
        folder: where files go.
        stem: what their names begin with.
        alert: the line for what goes wrong.

    Attributes:
        selection: whose rows are written.
    """

    def __init__(self, roster: Roster, folder: Path, stem: str, alert: Alert) -> None:
        self.alert = alert
        self.selection = Selection()
        self._roster, self._folder, self._stem = roster, folder, stem
        self.csv = button("CSV", "write these users as CSV", "90px")
        self.parquet = button("Parquet", "write these users as a snapshot file", "90px")
        self.said = ipywidgets.HTML(
            '<div class="pa-muted">A file holds the listed users with all columns, names and '
            "e-mail addresses included, whatever is shown here; only you can read it.</div>"
        )
        self.csv.on_click(lambda _: self.start(".csv"))
        self.parquet.on_click(lambda _: self.start(".parquet"))
        row = ipywidgets.HBox([self.said, ipywidgets.HBox([self.csv, self.parquet])])
        row.add_class("pa-between")
        super().__init__([row])

    @guarded
    def start(self, suffix: str) -> None:
        """Begin to write a file of this kind.

        Args:
            suffix: ".csv" or ".parquet".
        """
        if self.csv.disabled:
            return  # pressed twice
        path = _free(self._folder, self._stem, suffix)
        write = self._roster.write_csv if suffix == ".csv" else self._roster.write_parquet
        self.csv.disabled = self.parquet.disabled = True
        self._say(f"Writing {path} …")
        threading.Thread(
            target=self._write, args=(write, path, self.selection), name="writer", daemon=True
        ).start()

    def _write(self, write: Callable[[Path, Selection], int], path: Path, whose: Selection) -> None:
        try:
            users = write(path, whose)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is shown
            self._say("Nothing was written.")
            self.alert.show(error)
        else:
            self._say(f"Wrote {users:,} users to {path}")
        finally:
            self.csv.disabled = self.parquet.disabled = False

    def _say(self, words: str) -> None:
        self.said.value = f'<div class="pa-muted" role="status">{escape(visible(words))}</div>'


def _free(folder: Path, stem: str, suffix: str) -> Path:
    """Return a name in the folder that nothing has."""
    path, number = folder / f"{stem}-selection{suffix}", 1
    while path.exists():
        number += 1
        path = folder / f"{stem}-selection-{number}{suffix}"
    return path
