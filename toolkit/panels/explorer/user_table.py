"""The users of a selection, one page at a time, and buttons that write them to a file."""

import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import ipywidgets
import pandas as pd

from toolkit.analysis.selection import Selection
from toolkit.classification.sources import Source
from toolkit.formatting import mask, mask_email, render
from toolkit.panels.explorer.thumbnails import Thumbnails
from toolkit.panels.style import looks
from toolkit.panels.widgets import Alert, button, check, guarded, muted
from toolkit.snapshots.query import ORDERS, Roster

ROWS = 25
"""Users on a page; the page in the browser never holds more."""


class Table(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """A page of users with buttons to turn it; who they are is masked until somebody asks.

    Args:
        roster: the users.
        alert: the line for what goes wrong.
    """

    def __init__(self, roster: Roster, alert: Alert) -> None:
        self.alert = alert
        self._roster = roster
        self._lock = threading.RLock()
        self._selection, self._total, self._first = Selection(), 0, 0
        self._frame = pd.DataFrame()
        self._pictures: dict[str, bytes | str] = {}
        self._thumbnails: Thumbnails | None = None
        self.named = check("show names and e-mail addresses")
        self.pictured = check("show pictures")
        self.about_pictures = ipywidgets.HTML(_about(roster))
        self.order = ipywidgets.Dropdown(options=list(ORDERS), description="sorted")
        self.order.style.description_width = "initial"
        self.order.layout.width = "200px"
        self.rows = ipywidgets.HTML()
        self.rows.add_class("pa-table")
        self.where = ipywidgets.HTML()
        self.back = button("Back", "the page before", "84px")
        self.on = button("Next", "the next page", "84px")
        self.named.observe(self._switched, "value")
        self.pictured.observe(self._switched_pictures, "value")
        self.order.observe(self._ordered, "value")
        self.back.on_click(lambda _: self.turn(-1))
        self.on.on_click(lambda _: self.turn(1))
        switches = ipywidgets.HBox([self.named, self.pictured, self.about_pictures])
        switches.add_class("pa-row")
        head = ipywidgets.HBox([switches, self.order])
        foot = ipywidgets.HBox([self.where, ipywidgets.HBox([self.back, self.on])])
        for box in (head, foot):
            box.add_class("pa-between")
        super().__init__([head, self.rows, foot])

    def show(self, selection: Selection, total: int) -> None:
        """Show the first page of a selection.

        Args:
            selection: whose.
            total: how many they are.
        """
        with self._lock:
            self._selection, self._total, self._first = selection, total, 0
            self._read()

    @guarded
    def turn(self, pages: int) -> None:
        """Go some pages on, or back."""
        with self._lock:
            last = max(self._total - 1, 0) // ROWS * ROWS
            self._first = min(max(self._first + pages * ROWS, 0), last)
            self._read()

    def close(self) -> None:
        """Stop asking for pictures, and let go of the page."""
        if self._thumbnails is not None:
            self._thumbnails.stop()
        super().close()

    def _read(self) -> None:
        self._frame = self._roster.page(
            self._selection, order=self.order.value, limit=ROWS, offset=self._first
        )
        self._draw()
        last = self._first + len(self._frame)
        span = f"{self._first + 1:,} to {last:,} of" if last else "0 of"
        self.where.value = muted(f"{span} {self._total:,}")
        self.back.disabled, self.on.disabled = self._first == 0, last >= self._total
        if self._thumbnails is not None:
            self._thumbnails.ask([one for one in self._shown() if one])

    def _draw(self) -> None:
        shown = self._shown()
        pictures = [self._pictures.get(one, "…") if one else "no picture" for one in shown]
        self.rows.value = page(
            self._frame,
            as_of=self._roster.provenance.taken_at,
            masked=not self.named.value,
            pictures=pictures if self.pictured.value else None,
        )

    def _shown(self) -> list[str]:
        """Return the address of the picture that people see of each user, or nothing."""
        overrides = self._roster.overrides
        rows = zip(
            self._frame["source"],
            self._frame["picture"],
            self._frame["metadata_picture"],
            strict=True,
        )
        return [
            _text(override if source == Source.METADATA and overrides else picture)
            for source, picture, override in rows
        ]

    @guarded
    def _switched(self, _: object) -> None:
        with self._lock:
            self._draw()

    @guarded
    def _ordered(self, _: object) -> None:
        with self._lock:
            self._first = 0
            self._read()

    @guarded
    def _switched_pictures(self, _: object) -> None:
        with self._lock:
            if self._thumbnails is not None:
                self._thumbnails.stop()
                self._thumbnails = None
            self._pictures = {}
            if self.pictured.value:
                self._thumbnails = Thumbnails(
                    self._roster.provenance, self._arrived, self.alert.show
                )
            self._read()

    def _arrived(self, pictures: Mapping[str, bytes | str]) -> None:
        with self._lock:
            self._pictures = dict(pictures)
            self._draw()


def page(
    frame: pd.DataFrame,
    *,
    as_of: datetime,
    masked: bool,
    pictures: list[bytes | str] | None = None,
) -> str:
    """Write users as an HTML table. What people typed stays text, and is cut where it is long.

    Args:
        frame: the columns of a snapshot.
        as_of: after which a date of expiry is one to come.
        masked: leave out who they are: the middle of the user_id, the e-mail address and
            the name.
        pictures: PNG bytes for each user, or in words why there are none; None shows no
            column for them.
    """
    users: list[dict[Any, Any]] = [
        {name: None if pd.isna(value) else value for name, value in row.items()}
        for row in frame.to_dict("records")
    ]
    for place, row in enumerate(users):
        row["who"] = _who(row, masked)
        row["looks"] = looks(Source(row["source"])) if row["source"] in {*Source} else ""
        row["drawn"] = pictures[place] if pictures is not None else ""
    return render(
        "panels/explorer/users.html.j2", users=users, as_of=as_of, pictured=pictures is not None
    )


def _who(row: Mapping[str, Any], masked: bool) -> list[str]:
    user_id, email = _text(row["user_id"]), _text(row["email"])
    if masked:
        return [mask(user_id), mask_email(email) if email else ""]
    return [user_id, email, _text(row["name"])]


def _text(value: Any) -> str:  # noqa: ANN401 - whatever a column holds
    return "" if pd.isna(value) else str(value)


def _about(roster: Roster) -> str:
    if roster.provenance.sandbox:
        words = "off at first: showing is asking. Here the sandbox answers for every host."
    else:
        words = (
            "off at first: showing is asking. The pictures of the shown page are then loaded from "
            "wherever they are; those hosts learn this machine's address, and that somebody looked."
        )
    return muted(words)


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
            muted(
                "A file holds the listed users with all columns, names and e-mail addresses "
                "included, whatever is shown here; only you can read it."
            )
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
        self.said.value = muted(words, status=True)


def _free(folder: Path, stem: str, suffix: str) -> Path:
    """Return a name in the folder that nothing has."""
    path, number = folder / f"{stem}-selection{suffix}", 1
    while path.exists():
        number += 1
        path = folder / f"{stem}-selection-{number}{suffix}"
    return path
