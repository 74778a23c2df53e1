"""The findings of a snapshot, each with buttons: whom it concerns, and how to settle it."""

from collections.abc import Callable
from html import escape

import ipywidgets

from toolkit.analysis.finding_checks import FIXES
from toolkit.analysis.finding_counts import Finding, Findings
from toolkit.formatting import percent
from toolkit.panels.widgets import button, muted, title


class FindingList(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """What is wrong with the pictures, the most severe first.

    Args:
        show: called with a finding when somebody wants to see its users.
        fix: called with a finding that a change would settle, when somebody wants to make it; None
            where nobody can.
    """

    def __init__(
        self, show: Callable[[Finding], object], fix: Callable[[Finding], object] | None = None
    ) -> None:
        self._show, self._fix = show, fix
        self.buttons: dict[str, ipywidgets.Button] = {}
        self.fixes: dict[str, ipywidgets.Button] = {}
        super().__init__([ipywidgets.HTML(title("What is wrong") + muted("Checking …"))])

    def fill(self, found: Findings) -> None:
        """Show the findings."""
        notes = "".join(map(muted, found.notes))
        words = "What is wrong, and for how many" if found else "Nothing is wrong"
        rows = ipywidgets.HBox([self._row(one) for one in found]).add_class("pa-findings")
        self.children = [ipywidgets.HTML(title(words) + notes), rows]

    def _row(self, finding: Finding) -> ipywidgets.HBox:
        share = percent(finding.share, 1).replace(" ", "\N{NO-BREAK SPACE}")
        words = (
            f"<b>{escape(finding.title)}</b> <span class='pa-muted'>· {finding.severity} "
            f"·\N{NO-BREAK SPACE}{share}</span>{muted(finding.meaning)}"
        )
        shown = button(
            f"Show the {finding.users:,}",
            f"List the users of: {finding.title}",
            "130px",
            lambda: self._show(finding),
        )
        self.buttons[finding.id] = shown
        row = [ipywidgets.HTML(words), shown]
        if (fix := self._fix) is not None and finding.id in FIXES:
            made = button(
                "Fix →",
                f"Choose a default picture that settles: {finding.title}",
                "70px",
                lambda: fix(finding),
            )
            self.fixes[finding.id] = made
            row.append(made)
        return ipywidgets.HBox(row).add_class("pa-finding")
