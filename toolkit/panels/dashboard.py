"""Everything for people who do not read code: collect above, look around below."""

from pathlib import Path

import ipywidgets

from toolkit.panels.alert import guarded
from toolkit.panels.collector import Collector
from toolkit.panels.explorer import Explorer, explore


class Dashboard(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """A collector, and an explorer of what it collected or opened last.

    Args:
        out: the file to propose for the snapshot.
    """

    def __init__(self, out: Path) -> None:
        self.collector = Collector(out)
        self.alert = self.collector.alert
        self.explorer: Explorer | None = None
        title = ipywidgets.HTML(
            "<h1 style='font-size:22px;margin:8px 0'>Where do your users' pictures come from?</h1>"
        )
        self._above = [title, self.collector]
        super().__init__(self._above)
        self.collector.observe(self._show, "snapshot")

    @guarded
    def _show(self, _: object) -> None:
        before, self.explorer = self.explorer, explore(self.collector.snapshot)
        self.children = [*self._above, self.explorer]
        if before is not None:
            before.close()
