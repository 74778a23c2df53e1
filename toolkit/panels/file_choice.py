"""Choosing a file of users: by its path, or by an upload from the browser."""

import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import ipywidgets

from toolkit.collection.exports.ingest_files import ENDINGS
from toolkit.panels.widgets import Alert, guarded, muted

# Fact: Tornado, below JupyterLab and Voilà, ends a connection over a message of more than 10 MiB
# (`websocket_max_message_size`), and an upload is one message.
_LIMIT = "10 MB"
_LONGEST_NAME = 100


class FileChoice(ipywidgets.HBox):  # type: ignore[misc] # ipywidgets has no types
    """A field for a file's path, which proposes files of the working folder, and an upload.

    Args:
        alert: shows what goes wrong.
        changed: called when another file is chosen.
    """

    def __init__(self, alert: Alert, changed: Callable[[], None]) -> None:
        self.alert = alert
        self._uploaded: Path | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None  # of the uploaded file
        self.file = ipywidgets.Combobox(
            description="file of users", placeholder="export.json", ensure_option=False
        ).add_class("pa-field")
        self.upload = ipywidgets.FileUpload(
            description="Upload", tooltip=f"bring a file from your browser, up to {_LIMIT}"
        )
        hint = ipywidgets.HTML(
            muted(
                f"NDJSON, JSON, CSV, Excel, Parquet; gzip, zip or zstd. An upload takes up to "
                f"{_LIMIT}: of a larger file, give the path."
            )
        )
        super().__init__([self.file, self.upload, hint])
        self.add_class("pa-row")
        self.file.observe(lambda _: changed(), "value")
        self.upload.observe(self._keep, "value")

    @property
    def path(self) -> Path | None:
        """The file that is chosen, or None."""
        text = self.file.value.strip()
        if self._uploaded is not None and text == self._uploaded.name:
            return self._uploaded
        return Path(text) if text else None

    def propose(self) -> None:
        """Propose the files of the working folder whose names end as data do."""
        files = (one for one in Path().iterdir() if one.is_file() and ENDINGS.search(one.name))
        self.file.options = sorted(one.name for one in files)

    def close(self) -> None:
        """Remove an uploaded file, and close the fields."""
        if self._folder is not None:
            self._folder.cleanup()
        super().close()

    @guarded
    def _keep(self, _: object) -> None:
        """Keep an uploaded file in a private folder, and nothing of it in the page."""
        if not self.upload.value:
            return
        (given,) = self.upload.value
        # A notebook that is saved would hold it.
        self.upload.value = ()
        if self._folder is not None:
            self._folder.cleanup()
        self._folder = tempfile.TemporaryDirectory(prefix="picture-audit-")
        name = re.sub(r"[/\\\0]", "_", given["name"]).lstrip(".")[-_LONGEST_NAME:] or "upload"
        self._uploaded = Path(self._folder.name) / name
        self._uploaded.write_bytes(given["content"])
        # For an export without a time of its own, the file's counts.
        changed = given["last_modified"].timestamp()
        os.utime(self._uploaded, (changed, changed))
        self.file.value = name
