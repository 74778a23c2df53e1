"""The report: one HTML page that explains itself and loads nothing, and its twin, the same as JSON.

Unless asked for examples it names no user. Page and twin stay below 1 MB whatever the tenant's
size: the largest groups are listed, the others are added up, and it says how many they are.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import OutputError, SettingsError
from toolkit.formatting import render
from toolkit.reporting.html_report.report_page import content, page, twin
from toolkit.snapshots.snapshot import Snapshot
from toolkit.snapshots.storage import is_same, replacing

# How every twin begins; other files are not replaced.
_BEGINNING = b'{\n "provenance": {'


@dataclass(frozen=True, slots=True)
class Report:
    """The files of a report; notebooks show a link to the page.

    Attributes:
        page: the page, which opens anywhere.
        twin: the same numbers as JSON.
    """

    page: Path
    twin: Path

    def _repr_html_(self) -> str:
        return render("reporting/html_report/link.html.j2", page=self.page, twin=self.twin)


def report(snapshot: Snapshot, path: Path | str, *, personal: bool = False) -> Report:
    """Write the report of a snapshot: FILE.html, and FILE.json with the same numbers.

    Args:
        snapshot: the snapshot.
        path: where to write the page. The JSON file is beside it.
        personal: name a few users for each finding. The report is personal data then.

    Returns:
        Where the files are.

    Raises:
        SettingsError: the page has the name of its twin.
        OutputError: the files cannot be written there.
        UnreadableInputError: the snapshot's file is damaged.
    """
    place = Path(path)
    machine = place.with_suffix(".json")
    if place.suffix.lower() == ".json":
        raise SettingsError(f"{place.name} is what the report's twin is called: name a .html file.")
    for target in (place, machine):
        if snapshot.path and is_same(target, snapshot.path):
            raise OutputError(f"{target} is the snapshot itself: choose another place with --out.")
    if not _is_free(machine):
        raise OutputError(
            f"{machine} is there and is no report's twin: choose another place with --out."
        )
    told = content(snapshot)
    text = page(told, twin=machine.name, personal=personal)
    values = json.dumps(twin(told, personal=personal), indent=1)
    # Neither takes its place before both are on disk, or nearly.
    with replacing(place) as html, replacing(machine) as data:
        html.write(text.encode())
        html.flush()
        data.write(f"{values}\n".encode())
    return Report(place, machine)


def _is_free(machine: Path) -> bool:
    try:
        with machine.open("rb") as file:
            return file.read(len(_BEGINNING)) == _BEGINNING
    except FileNotFoundError:
        return True
    except OSError as error:
        raise OutputError(f"Cannot write {machine}: {error.strerror or error}.") from error
