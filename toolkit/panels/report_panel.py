"""The report of a snapshot by a button, with a link to the page that it made."""

from base64 import b64encode
from html import escape
from pathlib import Path

import ipywidgets
import traitlets

from toolkit.panels.widgets import Alert, button, check, guarded, heading, muted, stylesheet
from toolkit.reporting.html_report import report
from toolkit.snapshots.snapshot import Snapshot


class ReportPanel(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """A button that writes the report beside the snapshot, and a link to download it.

    Attributes:
        done: whether a report was written; observe it.
    """

    done = traitlets.Bool(default_value=False)

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.alert, self.link = Alert(), ipywidgets.HTML()
        self.personal = check("name a few users as examples (then it is personal data)")
        self.make_button = button("Make the report", "write the page", "150px", self.make)
        self.make_button.add_class("pa-primary")
        said = "One page: the answer, by connection and by month, what is wrong and what to do. "
        said += "It opens anywhere and loads nothing."
        head = ipywidgets.HTML(heading("Report", snapshot.provenance) + muted(said))
        card = ipywidgets.VBox([head, self.personal, self.make_button, self.alert, self.link])
        super().__init__([stylesheet(), card.add_class("pa-card")])
        self.add_class("pa-panel")

    @guarded
    def make(self) -> None:
        """Write the page, and show where it is."""
        self.link.value = muted("Writing …", status=True)
        path = self.snapshot.path or Path("snapshot.parquet")
        place = path.with_name(f"report-{path.stem}.html")
        try:
            made = report(self.snapshot, place, personal=self.personal.value)
        except BaseException:
            self.link.value = ""
            raise
        # Neither a page of Voilà nor one behind a tunnel can open a file of this machine.
        data = b64encode(made.page.read_bytes()).decode("ascii")
        named = "It names some users." if self.personal.value else "It names nobody."
        self.link.value = (
            f'<div role="status"><a download="{escape(made.page.name)}" '
            f'href="data:text/html;base64,{data}"><b>Download {escape(made.page.name)}</b></a> '
            f"{named}{muted(f'It is also at {made.page}, and the numbers as JSON at {made.twin}.')}"
            "</div>"
        )
        self.done = True
