"""What all panels share: a progress bar, a line that says what went wrong, buttons, boxes."""

from collections.abc import Callable
from functools import wraps
from html import escape
from typing import Any, Concatenate, ParamSpec

import ipywidgets
from IPython.display import display

from toolkit.errors import PictureAuditError
from toolkit.formatting import visible
from toolkit.progress import Progress


class Meter(ipywidgets.HBox):  # type: ignore[misc] # ipywidgets has no types
    """A bar and its words, for a panel.

    Args:
        what: what is going on.
    """

    def __init__(self, what: str = "Collecting") -> None:
        self.bar = ipywidgets.IntProgress(min=0, max=1, description=what)
        self.words = ipywidgets.Label()
        super().__init__([self.bar, self.words])

    def show(self, progress: Progress) -> None:
        """Draw how far it has come."""
        self.bar.max = max(progress.total or progress.done * 2, progress.done, 1)
        self.bar.value = progress.done
        self.words.value = text(progress)

    def start(self) -> None:
        """Empty the bar: work begins."""
        self.bar.bar_style, self.bar.value, self.words.value = "", 0, ""

    def done(self) -> None:
        """Fill the bar: the work has ended well."""
        self.bar.max = self.bar.value = max(self.bar.value, 1)
        self.bar.bar_style = "success"
        self.words.value = ""


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
            display(self._meter)  # type: ignore[no-untyped-call] # IPython has no types here
        self._meter.show(progress)

    def done(self) -> None:
        """Fill the bar: the work has ended well."""
        self._meter.done()


def text(progress: Progress) -> str:
    """Write progress as people read it: count, rate, time left, note."""
    parts = (progress.count, progress.speed, progress.left, progress.note)
    return " · ".join(filter(None, parts))


_P = ParamSpec("_P")


class Alert(ipywidgets.HTML):  # type: ignore[misc] # ipywidgets has no types
    """A line of text that screen readers announce; it takes no room while it is empty.

    Attributes:
        error: the exception that is shown, or None.
    """

    def __init__(self) -> None:
        super().__init__()
        self.add_class("pa-alert")
        self.error: BaseException | None = None

    def show(self, error: BaseException) -> None:
        """Say what went wrong. What an unforeseen exception says may be personal data."""
        self.error = error
        if isinstance(error, PictureAuditError):
            text = str(error)
        else:
            text = (
                f"Something unforeseen happened ({type(error).__name__}), which is an error of "
                "this program: please report it."
            )
        self.value = f'<div role="alert">{escape(visible(text))}</div>'

    def clear(self) -> None:
        """Take the line away: all is well."""
        self.error = None
        self.value = ""


def guarded(
    handle: Callable[Concatenate[Any, _P], None],
) -> Callable[Concatenate[Any, _P], None]:
    """Make what a method raises visible: what handlers of widgets raise, nobody sees.

    It is shown on the object's `alert`. The line of the last error goes away with the next try.
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


def button(words: str, tooltip: str, width: str) -> ipywidgets.Button:
    """Return a button.

    Args:
        words: what it says.
        tooltip: what pressing it does.
        width: as CSS has it.
    """
    layout = ipywidgets.Layout(width=width)
    return ipywidgets.Button(description=words, tooltip=tooltip, layout=layout)


def muted(words: str, *, status: bool = False) -> str:
    """Write a remark, in paler letters.

    Args:
        words: what it says; it stays text.
        status: whether screen readers tell when it changes.
    """
    role = ' role="status"' if status else ""
    return f'<div class="pa-muted"{role}>{escape(visible(words))}</div>'


def check(words: str = "", *, value: bool = False) -> ipywidgets.Checkbox:
    """Return a box to tick, with words beside it."""
    box = ipywidgets.Checkbox(description=words, indent=False, value=value)
    box.add_class("pa-check")
    return box
