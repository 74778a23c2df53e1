"""What a page shows, kept by its tab of the browser.

A page of Voilà that is loaded again has a new kernel, which knows nothing.
"""

import json
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from pathlib import Path

import anywidget
import traitlets

from toolkit.analysis.file_header import read
from toolkit.analysis.selection import Selection
from toolkit.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Shown:
    """What a page shows: a snapshot's file, a step, and the filters of the people."""

    snapshot: Path
    step: str
    filters: Selection

    @classmethod
    def from_json(cls, text: str) -> "Shown":
        """Read what `as_json` has written; raise `SettingsError` if it is something else."""
        try:
            return read(cls, json.loads(text))
        except (KeyError, TypeError, ValueError) as error:
            raise SettingsError("What this page showed before cannot be read.") from error

    def as_json(self) -> str:
        """Write it down, without what names people: searches, and lists of their ids."""
        filters = asdict(replace(self.filters, text="", user_ids=()))
        path = str(self.snapshot.resolve())
        return json.dumps({"snapshot": path, "step": self.step, "filters": filters})


class PageMemory(anywidget.AnyWidget):
    """Keeps a text in the page's tab; nothing is seen of it.

    Attributes:
        kept: the text to keep.
        found: what was kept when the page was loaded; observe it.
    """

    _esm = files("toolkit.panels").joinpath("page_memory.js").read_text("utf-8")
    kept = traitlets.Unicode().tag(sync=True)
    found = traitlets.Unicode().tag(sync=True)
