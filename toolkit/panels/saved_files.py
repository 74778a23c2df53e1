"""Files that the browser saves: neither a page of Voilà nor a tunnel reaches those of a server."""

from collections.abc import Callable
from importlib.resources import files

import anywidget
import ipywidgets

from toolkit.panels.widgets import Alert, button, guarded
from toolkit.reporting.charts.chart import Chart


class Download(anywidget.AnyWidget):
    """What gives files to the browser; nothing is seen of it."""

    _esm = files("toolkit.panels").joinpath("saved_files.js").read_text("utf-8")

    def give(self, name: str, content: bytes) -> None:
        """Let the browser save a file."""
        self.send({"save": name}, [content])


class SaveChart(ipywidgets.HBox):  # type: ignore[misc] # ipywidgets has no types
    """Buttons that save a chart.

    Args:
        make: makes the chart, when a button is pressed.
        stem: what the file's name begins with.
        alert: shows what goes wrong.
    """

    def __init__(self, make: Callable[[], Chart], stem: str, alert: Alert) -> None:
        self.alert = alert
        self._make, self._stem = make, stem
        self.download = Download()
        self.svg = button("Chart as SVG", "save it; it stays sharp", "auto", self.save_svg)
        self.png = button("Chart as PNG", "save it, for slides", "auto", self.save_png)
        super().__init__([self.svg, self.png, self.download])
        self.add_class("pa-row").add_class("pa-save")

    @guarded
    def save_svg(self) -> None:
        """Give the chart to the browser as SVG."""
        self.download.give(f"{self._stem}.svg", self._make().svg().encode("utf-8"))

    @guarded
    def save_png(self) -> None:
        """Give the chart to the browser as PNG."""
        self.download.give(f"{self._stem}.png", self._make().png())
