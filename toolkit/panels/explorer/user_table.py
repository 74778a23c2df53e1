"""The users of a selection, one page at a time, with pictures, and buttons to download them.

The browser asks for no picture: users typed the addresses, so `toolkit.images.download` decides
what is asked, and what is shown was decoded and drawn again.
"""

import base64
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote, urlsplit

import anywidget
import ipywidgets
import pandas as pd
import traitlets

from toolkit.analysis.groups import Seen
from toolkit.analysis.selection import Selection
from toolkit.change.policy import shown_address
from toolkit.classification.sources import Source
from toolkit.formatting import mask, mask_email, shorten
from toolkit.images.decode import thumbnail
from toolkit.images.download import fetch
from toolkit.panels.background import Worker
from toolkit.panels.saved_files import Download
from toolkit.panels.widgets import Alert, button, check, guarded, looks, muted
from toolkit.sandbox.picture_hosts import Hosts, hosts_of
from toolkit.snapshots.query import ORDERS, Roster
from toolkit.snapshots.snapshot import Provenance

ROWS = 25
"""Users on a page; the page in the browser never holds more."""

_SHOWN_BY_SANDBOX = (
    "Pictures are hidden. If you show them, the sandbox on this computer draws them."
)
_SHOWN_BY_HOSTS = (
    "Pictures are hidden. If you show them, this computer loads them from where they are; those "
    "hosts learn its address, and that somebody looked."
)
_SIZE = 64  # pixels of each side of a picture: sharp at half of that
_AT_ONCE = 4
_SECONDS = 10.0
_KEPT = 500  # pictures, some kilobytes each
_LONGEST, _LONGEST_ADDRESS = 60, 2_000  # characters of what people typed
_DOWNLOADED = 20_000  # users: about 10 MB of CSV pass through the page
_HEADS = ("user", "connection", "people see", "source", "joined", "last login", "expires")
_BY = {"url": "its address", "identity": "the login", "pixels": "what the picture shows"}


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


class People(anywidget.AnyWidget):
    """The page of people in the browser: what it shows, and what is pressed there.

    Attributes:
        page: the heads, the people (who, cells), the words below, and whether it is the first or
            last page.
        opened: the place of the row that is open, and its facts.
        sort: the head that sorts, or "", and whether downwards.
    """

    _esm = files("toolkit.panels.explorer").joinpath("people_table.js").read_text("utf-8")
    page = traitlets.Dict().tag(sync=True)
    opened = traitlets.Dict().tag(sync=True)
    sort = traitlets.List(["", False]).tag(sync=True)
    orders = traitlets.List(list(ORDERS)).tag(sync=True)


class Table(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """A page of users with buttons to turn it; who they are is masked until somebody asks.

    Args:
        roster: of a snapshot, whose file is `path`.
        alert: shows what goes wrong.
        path: None for a snapshot in memory.
        code: Python that lists these users, where a selection does not say who they are.
    """

    def __init__(
        self, roster: Roster, alert: Alert, *, path: Path | None = None, code: str = ""
    ) -> None:
        self.alert = alert
        self._roster, self._path, self._code = roster, path, code
        self._lock = threading.RLock()
        self._selection, self._total, self._first = Selection(), 0, 0
        self._opened: int | None = None
        self._frame = pd.DataFrame()
        self._pictures: dict[str, bytes | str] = {}
        self._thumbnails: Thumbnails | None = None
        self.named = check("show names and e-mail addresses")
        self.pictured = check("show pictures")
        about = muted(_SHOWN_BY_SANDBOX if roster.provenance.sandbox else _SHOWN_BY_HOSTS)
        self.people = People(page={"heads": list(_HEADS), "people": []}).add_class("pa-table")
        self.people.on_msg(lambda _, message, __: self.answer(message))
        self.people.observe(
            lambda _: self._change(lambda: self.show(self._selection, self._total)), "sort"
        )
        self.named.observe(lambda _: self._change(self._draw), "value")
        self.pictured.observe(lambda _: self._change(self._switch_pictures), "value")
        switches = ipywidgets.HBox([self.named, self.pictured, ipywidgets.HTML(about)])
        super().__init__([switches.add_class("pa-row"), self.people])

    def show(self, selection: Selection, total: int) -> None:
        """Show the first page of a selection, which has so many users in total."""
        with self._lock:
            self._read(selection, total, 0)

    @guarded
    def answer(self, message: Mapping[str, Any]) -> None:
        """Do what was pressed in the page: turn, open a row, or give the code."""
        with self._lock:
            if message.get("want") == "turn":
                last = max(self._total - 1, 0) // ROWS * ROWS
                first = self._first + int(message["pages"]) * ROWS
                self._read(self._selection, self._total, min(max(first, 0), last))
            elif message.get("want") == "open":
                place = int(message["place"])
                is_new = place != self._opened and 0 <= place < len(self._frame)
                self._opened = place if is_new else None
                self._draw()
            elif message.get("want") == "code":
                self.people.send({"code": self.code})

    @property
    def code(self) -> str:
        """Python that lists the same users, in the same order if a selection says who they are."""
        if self._code:
            return self._code
        order, descending = self.people.sort
        chosen = [
            f"{one.name}={getattr(self._selection, one.name)!r}"
            for one in fields(Selection)
            if getattr(self._selection, one.name) != one.default
        ]
        sort = f", order={order!r}, descending={descending!r}" if order else ""
        read = (
            "" if self._path is None else f"snapshot = toolkit.read_snapshot({str(self._path)!r})\n"
        )
        return (
            "import toolkit\n"
            "from toolkit.analysis.selection import Selection\n"
            "from toolkit.snapshots.query import Roster\n\n"
            f"{read}"
            f"chosen = Selection({', '.join(chosen)})\n"
            "with Roster(snapshot) as roster:\n"
            f"    users = roster.page(chosen{sort}, limit={self._total})\n"
        )

    def close(self) -> None:
        """Ask for no more pictures, and close the table."""
        if self._thumbnails is not None:
            self._thumbnails.stop()
        super().close()

    def _read(self, selection: Selection, total: int, first: int) -> None:
        order, descending = self.people.sort
        # First what may fail: the page stays as it was.
        self._frame = self._roster.page(
            selection, order=order, descending=descending, limit=ROWS, offset=first
        )
        self._selection, self._total, self._first = selection, total, first
        self._opened = None
        self._draw()
        if self._thumbnails is not None:
            addresses = map(self._address, self._users())
            self._thumbnails.ask([one for one in addresses if one])

    def _draw(self) -> None:
        users = self._users()
        last = self._first + len(users)
        span = f"{self._first + 1:,} to {last:,}" if last else "0"
        page = {
            "heads": ["picture", *_HEADS] if self.pictured.value else list(_HEADS),
            "people": list(map(self._person, users)),
            "words": f"{span} of {self._total:,}",
            "first": self._first == 0,
            "last": last >= self._total,
        }
        place = self._opened
        opened = {} if place is None else {"place": place, "facts": self._facts(users[place])}
        self.people.set_trait("opened", opened)
        self.people.set_trait("page", page)

    def _person(self, user: Mapping[str, Any]) -> dict[str, Any]:
        who, email, source = user["user_id"] or "", user["email"], user["source"]
        names = [who, email, user["name"]]
        if not self.named.value:
            names = [mask(who), email and mask_email(email)]
        expires, seen = user["expires_at"], user["sight"]
        days = [user[name] for name in ("created_at", "last_login", "expires_at")]
        cells = [
            _cut(user["connection"]),
            SEEN.get(seen, seen or ""),
            _cut(source),
            *(f"{day:%Y-%m-%d}" if day else "" for day in days),
        ]
        address = self._address(user)
        missing = "no picture" if address == "" else "nobody knows which picture shows"
        drawn = self._pictures.get(address, "…") if address else missing
        if isinstance(drawn, bytes):
            drawn = f"data:image/png;base64,{base64.b64encode(drawn).decode('ascii')}"
        return {
            "who": " · ".join(_cut(one) for one in names if one),
            "cells": cells,
            "swatched": 2,
            "looks": looks(Source(str(source))) if source in {*Source} else "",
            "late": bool(expires and expires < self._roster.provenance.taken_at),
            **({"drawn": drawn} if self.pictured.value else {}),
        }

    def _facts(self, user: Mapping[str, Any]) -> list[dict[str, str]]:
        """Say why a user counts as they do, where the picture is, and where to find them."""
        seen, source, expires = user["sight"], user["source"], user["expires_at"]
        provider = f" of {user['provider']}" if user["provider"] else ""
        judged = _BY.get(user["evidence"], "the profile")
        why = f"The picture counts as {source}{provider}, judged by {judged}."
        if source == Source.METADATA:
            why += f" Behind it, the profile's own picture is {user['underlying'] or 'unknown'}."
        if expires:
            over = expires < self._roster.provenance.taken_at
            why += f" Its link {'expired' if over else 'expires'} on {expires:%Y-%m-%d}."
        if user["content"]:
            why += f" Somebody looked: it is {user['content']}."
        facts = {"people see": Seen(seen).meaning if seen in {*Seen} else "not known", "why": why}
        kept = {
            "picture in the profile": user["picture"],
            "user_metadata.picture": user["metadata_picture"],
            "a picture elsewhere": user["elsewhere"],
        }
        hidden = "(show names and e-mail addresses to see it)"
        facts |= {
            name: shorten(one, _LONGEST_ADDRESS) if self.named.value else hidden
            for name, one in kept.items()
            if one
        }
        told = [{"name": name, "words": words} for name, words in facts.items()]
        link = in_dashboard(self._roster.provenance, user["user_id"] or "")
        if link and self.named.value:
            told.append({"name": "Auth0", "words": "open in Auth0's dashboard", "link": link})
        return told

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
        self._read(self._selection, self._total, self._first)

    def _show_pictures(self, pictures: Mapping[str, bytes | str]) -> None:
        with self._lock:
            self._pictures = dict(pictures)
            self._draw()


SEEN: Mapping[str, str] = {
    Seen.OWN: "own picture",
    Seen.ON_WORD: "perhaps their own",
    Seen.UNKNOWN: "not known",
    Seen.DEFAULT: "your default",
    Seen.INITIALS: "initials",
    Seen.PLACEHOLDER: "a placeholder",
    Seen.BROKEN: "broken image",
    Seen.NONE: "nothing",
}
"""What people see, in a cell or a choice."""


def _cut(text: object) -> str:
    return shorten(str(text), _LONGEST) if text else ""


def in_dashboard(origin: Provenance, user_id: str) -> str:
    """Return the address of a user in Auth0's dashboard; "" if it is not known.

    It is known for a real tenant's own domain, TENANT.REGION.auth0.com or TENANT.auth0.com, and
    people who are not redacted. Source: addresses of that form in public repositories (seen, but
    not documented); the user_id is escaped as in an URL, and then in base64 without padding.
    """
    host = urlsplit(f"//{origin.tenant}").hostname or ""
    tenant, _, rest = host.removesuffix(".auth0.com").partition(".")
    real = host.endswith(".auth0.com") and not origin.sandbox and origin.seed is None
    if not (real and tenant and user_id) or origin.redacted is not None or "." in rest:
        return ""
    name = base64.urlsafe_b64encode(quote(user_id, safe="").encode()).decode("ascii").rstrip("=")
    return f"https://manage.auth0.com/dashboard/{rest or 'us'}/{quote(tenant)}/users/{name}"


class Writer(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """Downloads the users of `selection` as CSV or Parquet, in the background, and says so.

    More than `_DOWNLOADED` go to a file in `folder`. The names of files begin with `stem`.
    """

    def __init__(self, roster: Roster, folder: Path, stem: str, alert: Alert) -> None:
        self.alert, self.download = alert, Download()
        self.selection = Selection()
        self._roster, self._folder, self._stem = roster, folder, stem
        self.csv = button("CSV", "download these users", "90px", lambda: self.start(".csv"))
        self.parquet = button(
            "Parquet",
            "download these users as a snapshot file",
            "90px",
            lambda: self.start(".parquet"),
        )
        self._worker = Worker("writer", self._failed, self._update_buttons)
        self.status = ipywidgets.HTML(
            muted(
                "Exports always contain names and e-mail addresses. Up to "
                f"{_DOWNLOADED:,} users are downloaded; more are written to a file beside the "
                "snapshot, which only you can read."
            )
        )
        buttons = ipywidgets.HBox([self.csv, self.parquet, self.download])
        # In lines of their own: the buttons stay where they are when the words change.
        super().__init__([self.status, buttons.add_class("pa-row")])

    @guarded
    def start(self, suffix: str) -> None:
        """Begin to write a file with this suffix, ".csv" or ".parquet"."""
        if self._worker.working:
            return  # pressed twice
        self._say("Writing …")
        selection = self.selection
        self._worker.ask(lambda: self._write(suffix, selection))
        self._update_buttons()

    def settled(self, seconds: float) -> bool:
        """Wait until no file is being written; return whether none is."""
        return self._worker.settled(seconds)

    def _write(self, suffix: str, selection: Selection) -> None:
        write = self._roster.write_csv if suffix == ".csv" else self._roster.write_parquet
        if self._roster.users(selection) > _DOWNLOADED:
            path = _free(self._folder, self._stem, suffix)
            self._say(f"Writing {path} …")
            self._say(f"Wrote {write(path, selection):,} users to {path}")
            return
        with TemporaryDirectory(prefix="picture-audit-") as folder:
            path = Path(folder) / f"{self._stem}-selection{suffix}"
            users = write(path, selection)
            self.download.give(path.name, path.read_bytes())
        self._say(f"Downloaded {users:,} users as {path.name}")

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
