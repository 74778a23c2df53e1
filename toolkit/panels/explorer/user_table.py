"""The users of a selection, one page at a time, with pictures, and buttons to write them to a file.

The browser asks for no picture: users typed the addresses, so `toolkit.images.download` decides
what is asked, and what is shown was decoded and drawn again.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import ipywidgets
import pandas as pd

from toolkit.analysis.selection import Selection
from toolkit.change.policy import shown_address
from toolkit.classification.sources import Source
from toolkit.formatting import mask, mask_email, render
from toolkit.images.decode import thumbnail
from toolkit.images.download import fetch
from toolkit.panels.background import Worker
from toolkit.panels.widgets import Alert, button, check, guarded, looks, muted
from toolkit.sandbox.picture_hosts import Hosts, hosts_of
from toolkit.snapshots.query import ORDERS, Roster
from toolkit.snapshots.snapshot import Provenance

ROWS = 25
"""Users on a page; the page in the browser never holds more."""

_SHOWN_BY_SANDBOX = "off at first: showing is asking. Here the sandbox answers for every host."
_SHOWN_BY_HOSTS = (
    "off at first: showing is asking. The pictures of the shown page are then loaded from wherever "
    "they are; those hosts learn this machine's address, and that somebody looked."
)
_SIZE = 64  # pixels of each side of a picture: sharp at half of that
_AT_ONCE = 4
_SECONDS = 10.0
_KEPT = 500  # pictures, some kilobytes each


class Thumbnails:
    """Fetches the small pictures that are wanted now, until it is stopped.

    Args:
        provenance: of the snapshot; says who answers for its pictures.
        deliver: called from a thread with what is known by address: PNG bytes, or why there are
            none, in words.
        failed: called from a thread with an exception if nobody can be asked.
    """

    def __init__(
        self,
        provenance: Provenance,
        deliver: Callable[[Mapping[str, bytes | str]], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._provenance, self._deliver = provenance, deliver
        self._worker = Worker("thumbnails", failed)
        self._stack = ExitStack()
        self._hosts: Hosts | None = None
        self._known: dict[str, bytes | str] = {}

    def ask(self, addresses: Sequence[str]) -> None:
        """Want these pictures now, and no others."""
        self._worker.ask(lambda: self._fetch(list(dict.fromkeys(addresses))))

    def stop(self) -> None:
        """Ask for nothing any more."""
        self._worker.stop(self._stack.close)

    def _fetch(self, wanted: Sequence[str]) -> None:
        if self._hosts is None:
            self._hosts = self._stack.enter_context(hosts_of(self._provenance))
        hosts = self._hosts

        def get(address: str) -> bytes | str | None:
            if self._worker.superseded:
                return None
            fetched = fetch(hosts.address(address), exception=hosts.sandbox, seconds=_SECONDS)
            small = thumbnail(fetched.body, _SIZE) if fetched.body else fetched
            return small if isinstance(small, bytes) else small.reason

        with ThreadPoolExecutor(_AT_ONCE, "thumbnail") as pool:
            fetched = {pool.submit(get, one): one for one in wanted if one not in self._known}
            for done, future in enumerate(as_completed(fetched), 1):
                picture = future.result()
                if picture is not None:
                    self._known[fetched[future]] = picture
                if done % _AT_ONCE == 0 and not self._worker.superseded:
                    self._deliver(self._known)
        for old in list(self._known)[: max(len(self._known) - _KEPT, 0)]:
            del self._known[old]
        if not self._worker.superseded:
            self._deliver(self._known)


class Table(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """A page of users with buttons to turn it; who they are is masked until somebody asks."""

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
        about = muted(_SHOWN_BY_SANDBOX if roster.provenance.sandbox else _SHOWN_BY_HOSTS)
        self.order = ipywidgets.Dropdown(options=list(ORDERS), description="sorted")
        self.order.style.description_width = "initial"
        self.order.layout.width = "200px"
        self.rows = ipywidgets.HTML().add_class("pa-table")
        self.where = ipywidgets.HTML()
        self.back = button("Back", "the page before", "84px", lambda: self.turn(-1))
        self.on = button("Next", "the next page", "84px", lambda: self.turn(1))
        self.named.observe(lambda _: self._change(self._draw), "value")
        self.pictured.observe(lambda _: self._change(self._switch_pictures), "value")
        self.order.observe(
            lambda _: self._change(lambda: self.show(self._selection, self._total)), "value"
        )
        switches = ipywidgets.HBox([self.named, self.pictured, ipywidgets.HTML(about)])
        head = ipywidgets.HBox([switches.add_class("pa-row"), self.order])
        foot = ipywidgets.HBox([self.where, ipywidgets.HBox([self.back, self.on])])
        super().__init__([head.add_class("pa-between"), self.rows, foot.add_class("pa-between")])

    def show(self, selection: Selection, total: int) -> None:
        """Show the first page of a selection, which has so many users in total."""
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
        """Ask for no more pictures, and close the table."""
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
            addresses = map(self._address, self._users())
            self._thumbnails.ask([one for one in addresses if one])

    def _draw(self) -> None:
        users = self._users()
        for user in users:
            who, email, source = user["user_id"] or "", user["email"], user["source"]
            if self.named.value:
                user["who"] = [who, email, user["name"]]
            else:
                user["who"] = [mask(who), email and mask_email(email)]
            user["looks"] = looks(Source(str(source))) if source in {*Source} else ""
            address = self._address(user)
            missing = "no picture" if address == "" else "nobody knows which picture shows"
            user["drawn"] = self._pictures.get(address, "…") if address else missing
        self.rows.value = render(
            "panels/explorer/users.html.j2",
            users=users,
            as_of=self._roster.provenance.taken_at,
            pictured=self.pictured.value,
        )

    def _users(self) -> list[dict[str, Any]]:
        return [
            {str(name): None if pd.isna(value) else value for name, value in row.items()}
            for row in self._frame.to_dict("records")
        ]

    def _address(self, user: Mapping[str, Any]) -> str | None:
        origin = self._roster.provenance
        running = origin.wiring.running if origin.wiring else ()
        live = [setter.policy for setter in running if setter.policy is not None]
        return shown_address(user, live, origin.taken_at)

    @guarded
    def _change(self, change: Callable[[], None]) -> None:
        with self._lock:
            change()

    def _switch_pictures(self) -> None:
        if self._thumbnails is not None:
            self._thumbnails.stop()
        self._thumbnails, self._pictures = None, {}
        if self.pictured.value:
            origin = self._roster.provenance
            self._thumbnails = Thumbnails(origin, self._show_pictures, self.alert.show)
        self._read()

    def _show_pictures(self, pictures: Mapping[str, bytes | str]) -> None:
        with self._lock:
            self._pictures = dict(pictures)
            self._draw()


class Writer(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """Writes the rows of `selection` as CSV or Parquet, in the background, and says where.

    The files go to `folder`, and their names begin with `stem`.
    """

    def __init__(self, roster: Roster, folder: Path, stem: str, alert: Alert) -> None:
        self.alert = alert
        self.selection = Selection()
        self._roster, self._folder, self._stem = roster, folder, stem
        self.csv = button("CSV", "write these users as CSV", "90px", lambda: self.start(".csv"))
        self.parquet = button(
            "Parquet",
            "write these users as a snapshot file",
            "90px",
            lambda: self.start(".parquet"),
        )
        self._worker = Worker("writer", self._failed, self._update_buttons)
        self.status = ipywidgets.HTML(
            muted(
                "A file holds the listed users with all columns, names and e-mail addresses "
                "included, whatever is shown here; only you can read it."
            )
        )
        buttons = ipywidgets.HBox([self.csv, self.parquet])
        super().__init__([ipywidgets.HBox([self.status, buttons]).add_class("pa-between")])

    @guarded
    def start(self, suffix: str) -> None:
        """Begin to write a file with this suffix, ".csv" or ".parquet"."""
        if self._worker.working:
            return  # pressed twice
        path, selection = _free(self._folder, self._stem, suffix), self.selection
        write = self._roster.write_csv if suffix == ".csv" else self._roster.write_parquet
        self._say(f"Writing {path} …")
        self._worker.ask(lambda: self._say(f"Wrote {write(path, selection):,} users to {path}"))
        self._update_buttons()

    def _failed(self, error: BaseException) -> None:
        self._say("Nothing was written.")
        self.alert.show(error)

    def _update_buttons(self) -> None:
        self.csv.disabled = self.parquet.disabled = self._worker.working

    def _say(self, words: str) -> None:
        self.status.value = muted(words, status=True)


def _free(folder: Path, stem: str, suffix: str) -> Path:
    """Return a file of the folder that does not exist yet."""
    path, number = folder / f"{stem}-selection{suffix}", 1
    while path.exists():
        number += 1
        path = folder / f"{stem}-selection-{number}{suffix}"
    return path
