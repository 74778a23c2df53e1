"""Step 3, before and after: examples with their pictures, and behind them code and reasons."""

import threading
from collections.abc import Callable, Iterable
from difflib import unified_diff
from html import escape

import ipywidgets

from toolkit.analysis.tenant_wiring import Wiring
from toolkit.change.action import preview
from toolkit.change.plan_summary import Plan
from toolkit.change.preview.gallery_data import SIZES, Gallery, bars, table
from toolkit.change.preview.portrait import Portrait, View, drawn, portraits
from toolkit.change.run import ActionState
from toolkit.formatting import render, visible
from toolkit.images.candidate_checks import DARK, LIGHT, NEVER_REFRESHED
from toolkit.panels.background import Latest
from toolkit.panels.choose.tenant_site import Site, warnings
from toolkit.panels.widgets import Alert, check, guarded, muted
from toolkit.sandbox.picture_hosts import Hosts

_SANDBOX = "the sandbox answers for every host: its people are made up"
_REAL = (
    "off: what is known is drawn. On: Gravatar and the hosts of the pictures below are asked, "
    "and learn this machine's address and that somebody looked; Gravatar learns the hashes of "
    "those few people's e-mail addresses. Never is Gravatar shown the new picture."
)


class GalleryView(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """A gallery with its pictures, at the sizes that apps use, on a light or a dark page.

    Args:
        hosts: opens whoever answers for pictures; called from a thread.
        alert: the line for what goes wrong.
        sandbox: whether the people are made up, so that showing their pictures asks nobody.
    """

    def __init__(self, hosts: Callable[[], Hosts], alert: Alert, *, sandbox: bool) -> None:
        self.alert = alert
        self._hosts = hosts
        self._lock = threading.RLock()
        self._gallery: Gallery | None = None
        self._known: dict[View, Portrait] = {}
        self.latest = Latest("portraits", alert.show)
        self.headline = ipywidgets.HTML()
        self.bars = ipywidgets.HTML()
        self.table = ipywidgets.HTML()
        self.table.add_class("pa-table")
        self.table.add_class("pa-gallery")
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
            one.add_class("pa-toggle")
            one.observe(lambda _: self.draw(), "value")
        self.asked.observe(lambda _: self._switched(), "value")
        switches = ipywidgets.HBox([self.size, self.page, self.asked, about])
        switches.add_class("pa-row")
        self._below = ipywidgets.VBox([self.bars, switches, self.table])
        super().__init__([self.headline, self._below])
        self.wait("Choose a picture in step 1: who would see it shows here.")

    def wait(self, words: str) -> None:
        """Show words where there is no gallery yet."""
        with self._lock:
            self._gallery = None
            self._below.layout.display = "none"
            self._title(words, answer=False)

    def show(self, shown: Gallery) -> None:
        """Show a gallery: drawn at once, with pictures as they arrive."""
        with self._lock:
            self._gallery = shown
            self._known = {}
            self._title(shown.headline, answer=True)
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
        self.latest.stop()
        super().close()

    @guarded
    def _switched(self) -> None:
        with self._lock:
            self._draw()
            self._ask()

    def _ask(self) -> None:
        """Want the pictures of what is shown, or none; to be called with the lock held."""
        shown = self._gallery
        if shown is not None and self.asked.value:
            self.latest.ask(lambda: self._fetch(shown))
        else:
            self.latest.ask(lambda: None)

    def _fetch(self, shown: Gallery) -> None:
        missing = [view for view in shown.views if view not in self._known]
        picture = shown.plan.policy.picture
        arrived = portraits(missing, self._hosts(), picture=picture, image=shown.image)
        for view, portrait in arrived:
            if self.latest.superseded:
                return
            with self._lock:
                if self._gallery is not shown:
                    return
                self._known[view] = portrait
        self._draw()

    def _title(self, words: str, *, answer: bool) -> None:
        said = f'<span class="{"pa-answer" if answer else "pa-muted"}">{escape(words)}</span>'
        self.headline.value = (
            '<div class="pa-heading"><span class="pa-title">3 · Before and after</span>'
            f'<span role="status">{said}</span></div>'
        )


_CONTEXT = 3
_BEFORE = (
    "this tool's Action runs already: at a login people see its default picture, and not what "
    "stands under before, which is their profile's"
)


class ChangeView(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """What a plan changes at the tenant, in text."""

    def __init__(self) -> None:
        self.warnings = ipywidgets.HTML()
        self.bindings = ipywidgets.HTML()
        self.details = ipywidgets.HTML()
        super().__init__([self.warnings, self.bindings, self.details])

    def show(self, plan: Plan | None, site: Site | None, wiring: Wiring | None) -> None:
        """Show a plan beside what stands at the tenant, as far as that was read.

        Args:
            plan: the plan, or None for nothing.
            site: what was read of the tenant.
            wiring: what was read with the snapshot.
        """
        if plan is None:
            self.warnings.value = self.bindings.value = self.details.value = ""
            return
        state = None
        if plan.code is not None and site is not None and site.standing is not None:
            state = preview(site.standing, plan.code)
        self.warnings.value = _warnings(plan, site, warnings(wiring, site))
        self.bindings.value = (
            "" if state is None else render("panels/choose/bindings.html.j2", state=state)
        )
        self.details.value = _details(plan, state)


def _warnings(plan: Plan, site: Site | None, scripts: Iterable[str]) -> str:
    # Of scripts that run a plan says what is said of all of them here; step 1 says the rest.
    notes = [
        one
        for one in plan.notes
        if one != NEVER_REFRESHED and not one.endswith("sets the picture, too")
    ]
    if plan.code is not None and site is not None and site.standing is not None:
        notes += [_BEFORE] if site.former and site.standing.bound else []
    shown = [*scripts, *notes, *(site.notes if site else ())]
    items = "".join(
        f'<div class="pa-verdict pa-warn"><b>!</b> {escape(visible(one))}</div>' for one in shown
    )
    return f'<div class="pa-warnings">{items}</div>' if items else ""


def _details(plan: Plan, state: ActionState | None) -> str:
    difference: list[str] = []
    if state is not None:
        before, after = (state.before or "").splitlines(), (state.after or "").splitlines()
        lines = unified_diff(before, after, "deployed", "planned", n=_CONTEXT, lineterm="")
        difference = list(lines)
    return render("panels/choose/details.html.j2", plan=plan, state=state, difference=difference)
