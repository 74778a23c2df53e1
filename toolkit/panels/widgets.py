"""What all panels share: their look, a progress bar, a line that says what went wrong, buttons."""

import re
from collections.abc import Callable, Mapping
from functools import wraps
from html import escape, unescape
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

import ipywidgets
from IPython.display import display

from toolkit.classification.sources import Source
from toolkit.errors import PictureAuditError
from toolkit.formatting import render, visible
from toolkit.progress import Progress
from toolkit.reporting.palette import COLOURS, CROSSES, DARK, EDGES, ON_DARK, ON_LIGHT, STRIPE
from toolkit.snapshots.snapshot import Provenance

if TYPE_CHECKING:
    from toolkit.reporting.charts.chart import Chart

_STRIPED = "repeating-linear-gradient(45deg, {0} 0 5px, {1} 5px 9px)"
_CROSSED = (
    "repeating-linear-gradient(45deg, {0} 0 1px, transparent 1px 7px), "
    "repeating-linear-gradient(-45deg, {0} 0 1px, {1} 1px 7px)"
)
_TAG = re.compile("<[^>]*>")
_P = ParamSpec("_P")


class Meter(ipywidgets.HBox):  # type: ignore[misc] # ipywidgets has no types
    """A progress bar and its words, for a panel."""

    def __init__(self, what: str) -> None:
        self.bar = ipywidgets.IntProgress(min=0, max=1, description=what)
        self.words = ipywidgets.Label()
        super().__init__([self.bar, self.words])

    def show(self, progress: Progress) -> None:
        """Draw how far it has come."""
        self.bar.max = max(progress.total or progress.done * 2, progress.done, 1)
        self.bar.bar_style, self.bar.value = "", progress.done
        self.words.value = text(progress)

    def start(self) -> None:
        """Empty the bar: work begins."""
        self.bar.bar_style, self.bar.value, self.words.value = "", 0, ""

    def done(self) -> None:
        """Fill the bar: the work has ended well."""
        self.bar.max = self.bar.value = max(self.bar.value, 1)
        self.bar.bar_style, self.words.value = "success", ""


class Bar:
    """A progress bar that shows itself when the work begins. Call it with each `Progress`.

    Args:
        what: what is going on.
    """

    def __init__(self, what: str = "Collecting") -> None:
        self._meter = Meter(what)
        self._shown = False

    def __call__(self, progress: Progress) -> None:
        """Draw how far it has come."""
        if not self._shown:
            self._shown = True
            _display(self._meter)
        self._meter.show(progress)

    def done(self) -> None:
        """Fill the bar: the work has ended well."""
        self._meter.done()


def text(progress: Progress) -> str:
    """Write progress as people read it: count, rate, time left, note."""
    parts = (progress.count, progress.speed, progress.left, progress.note)
    return " · ".join(filter(None, parts))


class Printed:
    """A panel that shows a static picture of itself where no kernel runs; first among the bases."""

    def static(self) -> tuple[str, Mapping[Source, int]]:
        """Return its first lines as HTML, and users by source to draw; neither names a user."""
        raise NotImplementedError

    def _ipython_display_(self) -> None:
        head, sources = self.static()
        total = max(sum(sources.values()), 1)
        rows = [(source, users, users / total) for source, users in sources.items()]
        _display(self, render("panels/static.html.j2", head=head, rows=rows))


def _display(widget: ipywidgets.Widget, static: str = "") -> None:
    """Show a widget in a cell, and before it what stands for it where no kernel runs.

    Two outputs: in a notebook that was saved and opened again, JupyterLab knows the widget by its
    name alone, and shows an error instead of any HTML of the same output. The first output hides
    itself beside the live widget, and that error without it.
    """
    widget.add_class(f"pa-live-{widget.model_id}")
    drawn = render("panels/output.html.j2", id=widget.model_id, static=static)
    words = " ".join(unescape(_TAG.sub(" ", static)).split())
    live = widget._repr_mimebundle_() | {"text/html": "", "text/plain": ""}
    for output in ({"text/html": drawn, "text/plain": words}, live):
        display(output, raw=True)  # type: ignore[no-untyped-call] # IPython has no types here


class Alert(ipywidgets.HTML):  # type: ignore[misc] # ipywidgets has no types
    """A line of text that screen readers announce; it takes no room while it is empty.

    Attributes:
        error: the exception that is shown, or None.
    """

    def __init__(self) -> None:
        super().__init__()
        self.add_class("pa-alert")
        self.error: BaseException | None = None

    def show(self, error: BaseException, advice: str = "") -> None:
        """Say what went wrong; the words of errors that are not ours may be personal data.

        Args:
            error: what was raised.
            advice: what to do after an error that is not ours.
        """
        self.error = error
        words = str(error)
        if not isinstance(error, PictureAuditError):
            words = (
                f"Unexpected error in this program ({type(error).__name__}). Please report it. "
                f"{advice}"
            ).rstrip()
        self.value = f'<div role="alert">{escape(visible(words))}</div>'

    def clear(self) -> None:
        """Remove the line: all is well."""
        self.error = None
        self.value = ""


def guarded(
    handle: Callable[Concatenate[Any, _P], None],
) -> Callable[Concatenate[Any, _P], None]:
    """Show what a method raises on the `alert` of its object: nobody sees it otherwise.

    An earlier error disappears with the next try.
    """

    @wraps(handle)
    def shown(self: Any, /, *args: _P.args, **kwargs: _P.kwargs) -> None:  # noqa: ANN401 - whatever has an alert
        # Before, and not after: what it starts may have failed by then.
        self.alert.clear()
        try:
            handle(self, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is shown
            self.alert.show(error)

    return shown


def button(words: str, tooltip: str, width: str, press: Callable[[], object]) -> ipywidgets.Button:
    """Return a button with a width in CSS; the tooltip says what pressing it does."""
    layout = ipywidgets.Layout(width=width)
    made = ipywidgets.Button(description=words, tooltip=tooltip, layout=layout)
    made.on_click(lambda _: press())
    return made


def entrance(words: str = "") -> ipywidgets.Label:
    """Return a place that can have the focus: what follows is reached by Tab.

    Its words are for screen readers only.
    """
    # Of the widgets without a control, only a label itself takes the focus.
    return ipywidgets.Label(words, tabbable=False).add_class("pa-entrance")


def skip(words: str, to: ipywidgets.Widget) -> ipywidgets.Button:
    """Return a button for the keyboard, shown while it has the focus, which leads past a list."""
    return button(words, words, "auto", to.focus).add_class("pa-skip")


def title(words: str) -> str:
    """Write the title of a card."""
    return f'<div class="pa-title">{escape(words)}</div>'


MADE_UP = '<span class="pa-made-up">MADE-UP PEOPLE</span>'
"""What every panel says in yellow where nobody is real."""


def heading(words: str, origin: Provenance) -> str:
    """Write the heading of a task, and below which snapshot it is about."""
    state = "complete" if origin.complete else "NOT COMPLETE"
    told = (
        f"{origin.tenant} · {origin.taken_at:%Y-%m-%d %H:%M} UTC · {origin.users:,} users · {state}"
    )
    badge = MADE_UP if origin.sandbox else ""
    head = f'<span class="pa-big">{escape(words)}</span>{badge}'
    return f'<div class="pa-heading">{head}</div>{muted(told)}'


def drawn(chart: "Chart", name: str) -> str:
    """Draw a chart in the colours of the page; `name`: as for `Chart.inline_svg`."""
    return f'<div class="pa-chart">{chart.inline_svg(name)}</div>'


def muted(words: str, *, status: bool = False) -> str:
    """Write a remark in paler letters; screen readers announce a `status` when it changes."""
    role = ' role="status"' if status else ""
    return f'<div class="pa-muted"{role}>{escape(visible(words))}</div>'


def check(words: str = "", *, value: bool = False) -> ipywidgets.Checkbox:
    """Return a box to tick, with words beside it."""
    return ipywidgets.Checkbox(description=words, indent=False, value=value).add_class("pa-check")


def stylesheet() -> ipywidgets.HTML:
    """Return a widget that brings the looks of panels into the page."""
    sheet = files("toolkit.panels").joinpath("panel.css").read_text("utf-8")
    return ipywidgets.HTML(
        f"<style>{sheet}{''.join(map(_rules, Source))}</style>",
        layout=ipywidgets.Layout(display="none"),
    )


def looks(source: Source, *, broken: bool = False) -> str:
    """Return the CSS class of a source, or of those of its users who see a broken image."""
    return f"pa-{source}{'-broken' if broken and source is not Source.INVALID else ''}"


def _rules(source: Source) -> str:
    """Return the CSS of a source; stripes mark what is unknown or broken."""
    ground = COLOURS[source]
    ink = ON_DARK if source in DARK else ON_LIGHT
    edge = f"box-shadow: inset 0 0 0 1px {EDGES[source]};" if source in EDGES else ""
    # Numbers on stripes stand on a ground of their own.
    glow = f"text-shadow: {', '.join([f'0 0 3px {ground}'] * 6)};"
    broken = _STRIPED.format(ground, f"color-mix(in srgb, {ground}, #fff 62%)")
    fill = ground
    if source is Source.UNRESOLVED:
        fill = _STRIPED.format(ground, STRIPE)
    elif source is Source.INVALID:
        fill = broken = _CROSSED.format(CROSSES, ground)
    return "".join(
        f".pa-panel .{looks(source, broken=is_broken)} {{ background: {background} !important; "
        f"color: {ink} !important; {edge} {glow} }}"
        for is_broken, background in ((False, fill), (True, broken))
    )
