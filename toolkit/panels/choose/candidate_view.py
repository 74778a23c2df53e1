"""Step 1, the picture: an address or a file, its verdicts, and the picture as apps show it."""

import threading
from collections.abc import Callable

import ipywidgets
import traitlets

from toolkit.formatting import render
from toolkit.images.candidate_checks import (
    DARK,
    LIGHT,
    Candidate,
    Level,
    candidate,
    checked,
    from_disk,
)
from toolkit.panels.background import Worker
from toolkit.panels.widgets import Alert, guarded, muted, title
from toolkit.sandbox.picture_hosts import Hosts

_SIZES = (96, 64, 32)  # pixels of the circles
_TYPING = 0.5  # seconds without a key, after which the host is asked
_ORDER = (Level.FAIL, Level.WARN, Level.OK)


class CandidateView(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """A field for the address, what is found about it, and the picture itself.

    A picture that is not published yet can be tried from a file, as `from_disk` says.

    `hosts` opens the hosts of pictures and is called from a thread.
    """

    candidate = traitlets.Any(allow_none=True)  # None until its host was asked

    def __init__(self, hosts: Callable[[], Hosts], alert: Alert, picture: str) -> None:
        self.alert = alert
        self._hosts = hosts
        self._lock = threading.RLock()
        self.worker = Worker("candidate", self._failed)
        self.url = ipywidgets.Text(
            placeholder="https://…/default-2026.png",
            description="address of the picture",
            value=picture,
        )
        self.url.add_class("pa-field").add_class("pa-wide")
        self.verdicts = ipywidgets.HTML()
        self.shown = ipywidgets.HTML()
        heading = ipywidgets.HTML(title("1 · The picture"))
        self.upload = ipywidgets.FileUpload(
            description="Try a file of yours",
            accept="image/*",
            tooltip="see a picture before it is published; it is sent to nobody",
            layout=ipywidgets.Layout(width="auto"),
        )
        self.upload.observe(self._take, "value")
        row = ipywidgets.HBox([self.url, self.upload]).add_class("pa-row")
        super().__init__([heading, row, self.verdicts, self.shown])
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
                self.worker.ask(lambda: None)
                self.verdicts.value = muted("Paste the address of the picture, or try a file.")
                return
            found = checked(typed)
            words = "asking its host …" if found.usable else "its host is not asked"
            self.verdicts.value = _verdicts(found, words)
            self.worker.ask(lambda: self._look(typed) if found.usable else None, wait=_TYPING)

    @guarded
    def _take(self, _: object) -> None:
        if not self.upload.value:
            return
        (given,) = self.upload.value
        self.upload.value = ()  # a notebook that is saved would hold it
        self.url.value = ""
        found = from_disk(given["name"], bytes(given["content"]))
        self.worker.ask(lambda: self._show(found, "from your computer; it was sent to nobody"))

    def close(self) -> None:
        """Ask nobody any more."""
        self.worker.stop()
        super().close()

    def _failed(self, error: BaseException) -> None:
        with self._lock:
            if not self.worker.superseded:
                self.alert.show(error)

    def _look(self, typed: str) -> None:
        hosts = self._hosts()
        found = candidate(typed, exception=hosts.sandbox, at=hosts.address)
        played = "the sandbox answers in its host's place" if hosts.sandbox else ""
        self._show(found, played)

    def _show(self, found: Candidate, words: str) -> None:
        verdicts, shown = _verdicts(found, words), _shown(found)
        with self._lock:  # or what is typed meanwhile would stand beside another picture
            if self.worker.superseded:
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
    pictures = [(size, found.thumbnail(size * 2)) for size in _SIZES]
    if any(png is None for _, png in pictures):
        return ""
    return render("panels/choose/circles.html.j2", pages=(LIGHT, DARK), pictures=pictures)
