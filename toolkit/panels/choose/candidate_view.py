"""Step 1, the picture: an address with its verdicts, and the picture as apps show it."""

import threading
from collections.abc import Callable

import ipywidgets
import traitlets

from toolkit.formatting import render
from toolkit.images.candidate_checks import DARK, LIGHT, Candidate, Level, candidate, checked
from toolkit.panels.background import Latest
from toolkit.panels.widgets import Alert, guarded, muted
from toolkit.sandbox.picture_hosts import Hosts

SHOWN = ((96, LIGHT), (64, LIGHT), (32, LIGHT), (96, DARK), (64, DARK), (32, DARK))
"""Pixels and page of each way in which the picture is shown."""

_TYPING = 0.5  # seconds without a key, after which the host is asked
_ORDER = (Level.FAIL, Level.WARN, Level.OK)


class CandidateView(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """A field for the address, what is found about it, and the picture itself.

    Args:
        hosts: opens whoever answers for pictures; called from a thread.
        alert: the line for what goes wrong.
        picture: the address to begin with.

    Attributes:
        candidate: what was found, once its host was asked; None while it was not.
    """

    candidate = traitlets.Any(allow_none=True)

    def __init__(self, hosts: Callable[[], Hosts], alert: Alert, picture: str) -> None:
        self.alert = alert
        self._hosts = hosts
        self._lock = threading.RLock()
        self.latest = Latest("candidate", self._failed)
        self.url = ipywidgets.Text(
            placeholder="https://…/default-2026.png",
            description="address of the picture",
            value=picture,
        )
        self.url.add_class("pa-field")
        self.url.add_class("pa-wide")
        self.verdicts = ipywidgets.HTML()
        self.shown = ipywidgets.HTML()
        title = ipywidgets.HTML('<div class="pa-title">1 · The picture</div>')
        super().__init__([title, self.url, self.verdicts, self.shown])
        self.url.observe(lambda _: self.type(), "value")
        self.type()

    @guarded
    def type(self) -> None:
        """Judge the address as far as it is typed, and ask its host once typing has paused."""
        with self._lock:
            typed = self.url.value
            self.candidate = None
            self.shown.value = ""
            if not typed.strip():
                self.latest.ask(lambda: None)
                self.verdicts.value = muted("Paste the address of the picture.")
                return
            found = checked(typed)
            words = "asking its host …" if found.usable else "its host is not asked"
            self.verdicts.value = _verdicts(found, words)
            self.latest.ask(lambda: self._look(typed) if found.usable else None, wait=_TYPING)

    def close(self) -> None:
        """Ask nobody any more."""
        self.latest.stop()
        super().close()

    def _failed(self, error: BaseException) -> None:
        with self._lock:
            if not self.latest.superseded:
                self.alert.show(error)

    def _look(self, typed: str) -> None:
        hosts = self._hosts()
        found = candidate(typed, exception=hosts.sandbox, at=hosts.address)
        played = "the sandbox answers in its host's place" if hosts.sandbox else ""
        verdicts, shown = _verdicts(found, played), _shown(found)
        with self._lock:  # or what is typed meanwhile would stand beside another picture
            if self.latest.superseded:
                return
            self.verdicts.value = verdicts
            self.shown.value = shown
            self.candidate = found


def _verdicts(found: Candidate, words: str) -> str:
    return render(
        "panels/choose/verdicts.html.j2",
        levels=[[one for one in found if one.level is level] for level in _ORDER],
        notes=" ".join((*found.notes, *([f"({words})"] if words else ()))),
    )


def _shown(found: Candidate) -> str:
    pages: dict[str, list[tuple[int, bytes]]] = {}
    for size, page in SHOWN:
        png = found.thumbnail(size * 2)
        if png is None:
            return ""
        pages.setdefault(page, []).append((size, png))
    return render("panels/choose/circles.html.j2", pages=pages)
