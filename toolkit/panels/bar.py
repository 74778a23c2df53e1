"""A progress bar for notebooks."""

import ipywidgets
from IPython.display import display

from toolkit.progress import Progress


class Bar:
    """A progress bar that shows itself when the work begins. Call it with each `Progress`.

    Args:
        what: what is going on.
    """

    def __init__(self, what: str = "Collecting") -> None:
        self._what = what
        self._bar = ipywidgets.IntProgress(min=0, max=1, description=what)
        self._text = ipywidgets.Label()
        self._box = ipywidgets.HBox([self._bar, self._text])
        self._shown = False

    def __call__(self, progress: Progress) -> None:
        """Draw how far it has come."""
        if not self._shown:
            self._shown = True
            display(self._box)  # type: ignore[no-untyped-call] # IPython has no types here
        self._bar.max = max(progress.total or progress.done * 2, progress.done, 1)
        self._bar.value = progress.done
        self._text.value = text(progress)

    def done(self) -> None:
        """Fill the bar: the work has ended well."""
        self._bar.max = self._bar.value = max(self._bar.value, 1)
        self._bar.bar_style = "success"


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
