"""The report: one HTML page that explains itself and loads nothing, and its machine twin.

It shows what a snapshot holds and decides nothing. Unless asked for examples it names
no user: groups are connections and months, never people. Page and twin stay below 1 MB
whatever the tenant's size: of more groups than `LISTED` in `report_page` and in `report_content`
the largest are listed, the others are added up, and it says how many they are.
"""

import json
from pathlib import Path

from toolkit.errors import OutputError, SettingsError
from toolkit.reporting.html_report.report_content import Content, content, twin
from toolkit.reporting.html_report.report_page import page
from toolkit.snapshots.snapshot import Snapshot
from toolkit.snapshots.storage import is_same, replacing

__all__ = ["Content", "content", "page", "report", "twin"]


# How every twin begins; what begins otherwise is somebody else's.
_BEGINNING = b'{\n "provenance": {'


def report(snapshot: Snapshot, path: Path | str, *, personal: bool = False) -> None:
    """Write the report of a snapshot: FILE.html, and FILE.json with the same numbers.

    Args:
        snapshot: the snapshot; its file is read piece by piece.
        path: where to write the page. Its twin stands beside it, with the suffix `.json`.
        personal: name a few users for each finding. The report is personal data then.

    Raises:
        SettingsError: the page has the name of its twin.
        OutputError: the files cannot be written there.
        UnreadableInputError: the snapshot's file is damaged.
    """
    place = Path(path)
    if place.suffix.lower() == ".json":
        raise SettingsError(f"{place.name} is what the report's twin is called: name a .html file.")
    _ensure_free(place, snapshot)
    told = content(snapshot)
    text = page(told, twin=place.with_suffix(".json").name, personal=personal)
    values = json.dumps(twin(told, personal=personal), indent=1)
    # Neither takes its place before both are on disk, or nearly.
    with replacing(place) as html, replacing(place.with_suffix(".json")) as machine:
        html.write(text.encode())
        html.flush()
        machine.write(f"{values}\n".encode())


def _ensure_free(place: Path, snapshot: Snapshot) -> None:
    """Make sure that neither file takes the place of somebody's data.

    Raises:
        OutputError: one would.
    """
    machine = place.with_suffix(".json")
    for target in (place, machine):
        if snapshot.path and is_same(target, snapshot.path):
            raise OutputError(f"{target} is the snapshot itself: choose another place with --out.")
    try:
        with machine.open("rb") as file:
            ours = file.read(len(_BEGINNING)) == _BEGINNING
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(f"Cannot write {machine}: {error.strerror or error}.") from error
    if not ours:
        raise OutputError(
            f"{machine} is there and is no report's twin: choose another place with --out."
        )
