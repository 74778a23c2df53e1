"""A progress bar for notebooks."""

import ipywidgets
from IPython.display import display

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
    parts = [f"{progress.done:,}"]
    if progress.total is not None:
        parts = [f"{progress.done:,} of {'≈ ' if progress.estimated else ''}{progress.total:,}"]
    if progress.rate:
        parts.append(f"{progress.rate:,.0f}/s")
    if progress.eta is not None:
        parts.append(f"{int(progress.eta) // 60}:{int(progress.eta) % 60:02d} left")
    return " · ".join([*parts, *([progress.note] if progress.note else [])])
