"""The findings of a snapshot, each with a button that lists whom it concerns."""

from collections.abc import Callable
from html import escape

import ipywidgets

from toolkit.analysis.finding_counts import Finding, Findings
from toolkit.formatting import percent
from toolkit.panels.widgets import button, muted, title


class FindingList(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """What is wrong with the pictures, the most severe first.

    Args:
        show: called with a finding when somebody wants to see its users.
    """

    def __init__(self, show: Callable[[Finding], object]) -> None:
        self._show = show
        self.buttons: dict[str, ipywidgets.Button] = {}
        super().__init__([ipywidgets.HTML(title("What is wrong") + muted("Checking …"))])

    def fill(self, found: Findings) -> None:
        """Show the findings."""
        notes = "".join(map(muted, found.notes))
        words = "What is wrong, and for how many" if found else "Nothing is wrong"
        rows = ipywidgets.HBox([self._row(one) for one in found]).add_class("pa-findings")
        self.children = [ipywidgets.HTML(title(words) + notes), rows]

    def _row(self, finding: Finding) -> ipywidgets.HBox:
        words = (
            f"<b>{escape(finding.title)}</b> <span class='pa-muted'>· {finding.severity} · "
            f"{percent(finding.share, 1)}</span>{muted(finding.meaning)}"
        )
        shown = button(
            f"Show the {finding.users:,}",
            f"List the users of: {finding.title}",
            "130px",
            lambda: self._show(finding),
        )
        self.buttons[finding.id] = shown
        return ipywidgets.HBox([ipywidgets.HTML(words), shown]).add_class("pa-finding")
