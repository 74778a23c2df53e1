"""How long people wait in front of a snapshot: `python -m tests.benchmarks.panel SNAPSHOT`."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from toolkit.analysis.selection import Selection
from toolkit.reporting.html_report import report
from toolkit.snapshots.query import ORDERS, Roster
from toolkit.snapshots.snapshot import read_snapshot

_CHANGES = (
    Selection(sources=("social",)),
    Selection(sources=("unresolved",), activity=("older",)),
    Selection(connections=("google-oauth2",), joined_from="2023-01"),
    Selection(seen=("own",)),
    Selection(connections=("google-oauth2", "facebook"), excluding=("connections",)),
    Selection(),
)
_TIMES = 5


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measured(path: Path) -> dict[str, float]:
    """Measure opening, changing filters, searching, sorting and reporting, in seconds."""
    snapshot = read_snapshot(path)
    started = time.perf_counter()
    with Roster(snapshot) as roster:
        opened = time.perf_counter() - started
        changes = [
            _seconds(lambda one=one: (roster.choices(one), roster.coverage("cohort", one)))
            for one in _CHANGES * _TIMES
        ]
        pages = [_seconds(lambda one=one: roster.page(one)) for one in _CHANGES * _TIMES]
        first = _seconds(lambda: roster.users(Selection(text="ann")))
        loaded = _seconds(lambda: roster.prepare("concerned"))
        findings = [
            _seconds(lambda one=one: roster.users(Selection(finding=one)))
            for one in ("expired", "unresolved", "hash-mismatch")
        ]
        sorts = [
            _seconds(lambda one=one, order=order: roster.page(one, order=order, descending=True))
            for one in _CHANGES
            for order in ORDERS
        ]
        searches = [
            _seconds(lambda text=text: roster.users(Selection(text=text)))
            for text in ("lee", "mail.example", "auth0|5", "o'")
        ]
    with TemporaryDirectory() as folder:
        written = _seconds(lambda: report(snapshot, Path(folder) / "report.html"))
    return {
        "open": opened,
        "filter": median(changes),
        "page": median(pages),
        "first search": first,
        "search": median(searches),
        "load findings": loaded,
        "finding": median(findings),
        "sorted page": median(sorts),
        "report": written,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measured(Path(sys.argv[1]))) + "\n")
