"""Step 3, before and after: examples with their pictures; what changes at the tenant, and why."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from difflib import unified_diff
from html import escape
from typing import TypeVar

import ipywidgets

from toolkit.analysis.tenant_wiring import Wiring
from toolkit.change.action import Setup, preview, read_setup
from toolkit.change.javascript import recognised
from toolkit.change.plan_summary import Plan
from toolkit.change.preview.gallery_data import SIZES, Gallery, bars, table
from toolkit.change.preview.portrait import Portrait, View, drawn, portraits
from toolkit.change.ways import plan_by
from toolkit.collection.scripts import read_wiring
from toolkit.errors import CredentialsError, PictureAuditError
from toolkit.formatting import render
from toolkit.images.candidate_checks import DARK, LIGHT, NEVER_REFRESHED
from toolkit.panels.background import Worker
from toolkit.panels.widgets import Alert, check, guarded, muted
from toolkit.sandbox.picture_hosts import Hosts
from toolkit.tenant.client import Tenant
from toolkit.tenant.models import Connection

_T = TypeVar("_T")

_CHOOSE = "Choose a picture in step 1. Then you see here who would get it."
_SANDBOX = "these people are made up, and this computer draws their pictures"
_REAL = (
    "off: examples are drawn. On: this computer loads the pictures below from where they are. "
    "Those hosts learn its address, and that somebody looked; Gravatar learns the hashes of these "
    "few people's e-mail addresses. Gravatar never gets the new picture."
)


class GalleryView(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """A gallery with its pictures, at the sizes that apps use, on a light or a dark page.

    `hosts` opens the hosts of pictures and is called from a thread. Showing the pictures of
    a sandbox asks nobody, so they are shown at first.
    """

    def __init__(self, hosts: Callable[[], Hosts], alert: Alert, *, sandbox: bool) -> None:
        self.alert = alert
        self._hosts = hosts
        self._lock = threading.RLock()
        self._gallery: Gallery | None = None
        self._known: dict[View, Portrait] = {}
        self.worker = Worker("portraits", alert.show)
        self.headline = ipywidgets.HTML()
        self.bars = ipywidgets.HTML()
        self.table = ipywidgets.HTML().add_class("pa-table").add_class("pa-gallery")
        self.asked = check("real pictures", value=sandbox)
        about = ipywidgets.HTML(muted(_SANDBOX if sandbox else _REAL))
        self.size = ipywidgets.ToggleButtons(
            options=[(f"{size} px", size) for size in SIZES], tooltips=["size of the pictures"] * 3
        )
        self.page = ipywidgets.ToggleButtons(
            options=[("as here", ""), ("on light", LIGHT), ("on dark", DARK)]
        )
        for one in (self.size, self.page):
            one.style.button_width = "74px"
            one.add_class("pa-toggle").observe(lambda _: self.draw(), "value")
        self.asked.observe(lambda _: self._switch(), "value")
        switches = ipywidgets.HBox([self.size, self.page, self.asked, about]).add_class("pa-row")
        self._below = ipywidgets.VBox([self.bars, switches, self.table])
        super().__init__([self.headline, self._below])
        self.wait()

    def wait(self, words: str = _CHOOSE) -> None:
        """Show words where there is no gallery yet."""
        with self._lock:
            self._gallery = None
            self._below.layout.display = "none"
            self._title(words)

    def show(self, shown: Gallery) -> None:
        """Show a gallery: drawn at once, with pictures as they arrive."""
        with self._lock:
            self._gallery = shown
            self._known = {}
            taken_at = f"{shown.plan.taken_at:%Y-%m-%d %H:%M} UTC"
            self._title(shown.headline, f", counted from the snapshot of {taken_at}")
            self.bars.value = bars(shown.before, shown.after)
            self._draw()
            self._below.layout.display = None
            self._ask()

    @guarded
    def draw(self) -> None:
        """Draw the table again, with the pictures that are known."""
        self._draw()

    def _draw(self) -> None:
        with self._lock:
            shown = self._gallery
            if shown is None:
                return
            known = self._known if self.asked.value else {}
            pictures = {view: known.get(view) or drawn(view, shown.image) for view in shown.views}
            self.table.value = table(
                shown.kinds, pictures, size=self.size.value, ground=self.page.value
            )

    def close(self) -> None:
        """Ask nobody any more."""
        self.worker.stop()
        super().close()

    @guarded
    def _switch(self) -> None:
        with self._lock:
            self._draw()
            self._ask()

    def _ask(self) -> None:
        """Ask for the pictures of what is shown, or for none."""
        shown = self._gallery if self.asked.value else None
        self.worker.ask(lambda: self._fetch(shown))

    def _fetch(self, shown: Gallery | None) -> None:
        if shown is None:
            return
        missing = [view for view in shown.views if view not in self._known]
        picture = shown.plan.policy.picture
        arrived = portraits(missing, self._hosts(), picture=picture, image=shown.image)
        for view, portrait in arrived:
            with self._lock:
                if self.worker.superseded or self._gallery is not shown:
                    return
                self._known[view] = portrait
        self._draw()

    def _title(self, words: str, source: str = "") -> None:
        """Say the answer and its source; without a source, say what is waited for."""
        said = f'<span class="{"pa-answer" if source else "pa-muted"}">{escape(words)}</span>'
        self.headline.value = (
            f'<div class="pa-heading"><span class="pa-title">3 · Before and after{source}</span>'
            f'<span role="status">{said}</span></div>'
        )


@dataclass(frozen=True, slots=True)
class Site:
    """What was read of a tenant; None for what could not be read."""

    connections: tuple[Connection, ...] | None
    standing: Setup | None  # our Action, and what runs after a login
    wiring: Wiring | None  # what sets the picture that applications see
    notes: tuple[str, ...] = ()  # what could not be read, and why
    plan: str | None = None  # whose rate limits it has, a name in `toolkit.change.ways.CEILINGS`

    @property
    def former(self) -> tuple[str, ...]:
        """The default pictures that the deployed Action hands out, which a new one replaces."""
        action = self.standing.action if self.standing else None
        policy = recognised(action.deployed) if action else None
        return (policy.picture, *policy.former) if policy else ()


def warnings(wiring: Wiring | None, site: Site | None) -> tuple[str, ...]:
    """Return in words which scripts set the picture as well, except this tool's own Action.

    What was read of the tenant counts more than the wiring that was read with the snapshot.
    """
    known = site.wiring if site and site.wiring else wiring
    action = site.standing.action if site and site.standing else None
    return tuple(
        f"{one.kind.capitalize()} {one.name!r} "
        + (
            "sets the picture, too: it runs"
            if one.runs
            else "set the picture until Rules ended, by Auth0's schedule; it has no effect now"
            if one.stopped
            else "sets the picture, too: it is off"
        )
        for one in (known.setters if known else ())
        if not (action and one.kind == "action" and one.name == action.name)
    )


def read_site(tenant: Tenant) -> Site:
    """Read a tenant's connections, Actions and Rules, as far as the token may.

    Raises:
        CredentialsError: the tenant does not accept the credentials.
    """
    notes: list[str] = []
    connections = _tried("its connections", lambda: tuple(tenant.connections()), notes)
    stands = _tried("what runs after a login", lambda: read_setup(tenant), notes)
    wiring, unread = read_wiring(tenant)
    plan = plan_by(tenant.limit_of("GET", "connections"))
    return Site(connections, stands, wiring, (*notes, *unread), plan)


def _tried(what: str, read: Callable[[], _T], notes: list[str]) -> _T | None:
    try:
        return read()
    except CredentialsError:
        raise
    except PictureAuditError as error:
        notes.append(f"{what} could not be read: {error}")
        return None


_BEFORE = (
    "this tool's Action runs already: at a login people see its default picture. What is shown "
    "under “before” is the picture in their profile"
)


class ChangeView(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """What a plan changes at the tenant, in text."""

    def __init__(self) -> None:
        self.warnings = ipywidgets.HTML()
        self.bindings = ipywidgets.HTML()
        self.details = ipywidgets.HTML()
        super().__init__([self.warnings, self.bindings, self.details])

    def show(self, plan: Plan | None, site: Site | None, wiring: Wiring | None) -> None:
        """Show a plan, or nothing, beside what was read of the tenant and with the snapshot."""
        if plan is None:
            self.warnings.value = self.bindings.value = self.details.value = ""
            return
        now = site.standing if site else None
        state = preview(now, plan.code) if now and plan.code is not None else None
        # Scripts that run are told below in other words, and step 1 tells what never refreshes.
        notes = [
            note
            for note in plan.notes
            if note != NEVER_REFRESHED and not note.endswith("sets the picture, too")
        ]
        if site and site.former and state and now and now.bound:
            notes.append(_BEFORE)
        notes += site.notes if site else ()
        notes = [*warnings(wiring, site), *notes]
        self.warnings.value = render("panels/choose/warnings.html.j2", notes=notes)
        self.bindings.value = (
            "" if state is None else render("panels/choose/bindings.html.j2", state=state)
        )
        difference: list[str] = []
        if state is not None:
            before, after = ((code or "").splitlines() for code in (state.before, state.after))
            difference += unified_diff(before, after, "deployed", "planned", lineterm="")
        self.details.value = render(
            "panels/choose/details.html.j2", plan=plan, state=state, difference=difference
        )
