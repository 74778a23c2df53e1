"""What was measured, as a table and a picture: `python -m tests.benchmarks.figure RESULTS.json`."""

import json
import sys
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from toolkit.classification.sources import Source
from toolkit.reporting.charts.chart import INK, MUTED, PAD, WIDTH, Card, Chart
from toolkit.reporting.palette import COLOURS

_Row = dict[str, Any]

_OURS, _OTHERS = COLOURS[Source.SOCIAL], "#B4BBC6"
_TOOLKIT, _MEASURE = "picture-audit ingest", "gzip -dc"
_NAMES = {
    _MEASURE: "gzip -dc: decompresses, no more",
    _TOOLKIT: "picture-audit ingest: to a snapshot",
    "DuckDB, reading only": "DuckDB: reads the columns",
    "polars, reading only": "polars: reads the columns",
    "notebook, pandas.read_json": "notebook: pandas.read_json, apply",
    "notebook, json": "notebook: json, DataFrame, apply",
    "notebook, json, hosts only": "notebook: whose host, no file",
}
_WAYS = {
    "pager": "the SDK's own pages",
    "slide": "a window that slides along `created_at`",
    "search": "`collect --method search`",
    "export": "`collect --method export`",
}
_HEIGHT = 30.0
_HOW = (
    "Median of {}; the notebooks, and beyond two million users everything, once. Fresh processes, "
    "start included. Where others use the machine at the same time, CPU seconds tell more than "
    "seconds."
)
_DATA = (
    "The export is made up by seed: 20,000 people of the sandbox tenant, copied with other ids, "
    "addresses, hashes and tokens; some 630 bytes a user, 117 of them after gzip. Nearly every "
    "piece that is read at once holds lines that have to be read one by one, such as pictures that "
    "are no text."
)
_SMALL = (
    "The same people with little more than the fields that a snapshot holds, as an export job of "
    "this tool asks for them: some 460 bytes a user."
)


def table(results: dict[str, Any]) -> str:
    """Return what was measured as Markdown."""
    rows = results["rows"]
    load = f"load average {results['load_before']:.1f} before and {results['load_after']:.1f} after"
    parts = [
        f"Measured on {results['taken_at']}, {results['machine']}; {load}.",
        _HOW.format(results["repeats"]),
        *(f"Left out: {one}." for one in results["left_out"]),
        *_ingestion(rows, "ingest", "From an export to a snapshot", _DATA),
        *_ingestion(rows, "small", "The same with small records", _SMALL),
        *_analysis(rows),
        *_growth(rows),
        *_start(rows),
        *_panel(rows),
        *_collection(rows),
    ]
    return "\n\n".join(parts) + "\n"


def chart(results: dict[str, Any]) -> Chart | None:
    """Draw the export's way to a snapshot, at the largest size that every rival was run at."""
    rows = _of(results["rows"], "ingest")
    sizes = sorted({row["users"] for row in rows})
    if not sizes:
        return None
    users = max(sizes, key=lambda size: (len(_named(rows, size)), size))
    shown = _named(rows, users)
    base, ours = shown[_MEASURE]["seconds"], shown[_TOOLKIT]["seconds"]
    title = f"{users:,} users are a snapshot after {ours:.1f} s, {ours / base:.1f} times gzip -dc"
    if slow := sorted(shown[name]["seconds"] / ours for name in shown if "notebook" in name):
        title += f"; notebooks take {slow[0]:.0f} to {slow[-1]:.0f} times as long"
    subtitle = (
        f"Seconds from the command to its end, most memory; {results['machine']}; load average "
        f"{results['load_before']:.1f}"
    )
    card = Card(title, subtitle, _HEIGHT * len(shown))
    left, right = 262.0, WIDTH - PAD - 168
    most = max(row["seconds"] for row in shown.values())
    words = []
    for place, (name, row) in enumerate(sorted(shown.items(), key=lambda pair: pair[1]["seconds"])):
        middle = card.top + _HEIGHT * (place + 0.5)
        mine = name == _TOOLKIT
        card.write(PAD, middle, _NAMES[name], bold=mine)
        width = max((right - left) * row["seconds"] / most, 1.5)
        card.plain([(left, middle - 8, width, 16)], _OURS if mine else _OTHERS)
        said = f"{row['seconds']:.1f} s   {row['peak'] / 1e6:,.0f} MB"
        card.write(left + width + 8, middle, said, bold=mine, colour=INK if mine else MUTED)
        words.append(f"{_NAMES[name]}: {said}")
    return card.chart("; ".join(words))


def _ingestion(rows: Iterable[_Row], part: str, head: str, data: str) -> Iterator[str]:
    mine = _of(rows, part)
    if not mine:
        return
    lines = []
    for row in mine:
        base = _named(mine, row["users"])[_MEASURE]
        times = f"{row['seconds'] / base['seconds']:.2f}", f"{row['cpu'] / base['cpu']:.2f}"
        lines.append((f"{row['users']:,}", row["what"], *_cost(row), *times))
    heads = ("users", "what", "seconds", "CPU seconds", "memory", "times gzip -dc", "its CPU")
    yield f"**{head}**"
    yield data
    yield _grid(heads, lines)


def _analysis(rows: Iterable[_Row]) -> Iterator[str]:
    if mine := _of(rows, "analysis"):
        yield "**Analysis of a snapshot**"
        heads = ("users", "what", "seconds", "CPU seconds", "memory")
        yield _grid(heads, [(f"{row['users']:,}", row["what"], *_cost(row)) for row in mine])


def _growth(rows: Iterable[_Row]) -> Iterator[str]:
    mine = [row for row in rows if row["part"] in {"ingest", "analysis"}]
    sizes = sorted({row["users"] for row in mine})
    if len(sizes) < 2:
        return
    lines = []
    for name in dict.fromkeys(row["what"] for row in mine):
        at = {row["users"]: row for row in mine if row["what"] == name}
        steps = [
            f"{at[more]['seconds'] / at[less]['seconds']:.1f} times, "
            f"memory {at[more]['peak'] / at[less]['peak']:.1f} times"
            if less in at and more in at
            else "not run"
            for less, more in pairwise(sizes)
        ]
        lines.append((name, *steps))
    heads = [f"{less:,} → {more:,}" for less, more in pairwise(sizes)]
    yield "**Growth**"
    yield _grid(("what", *heads), lines)


def _start(rows: Iterable[_Row]) -> Iterator[str]:
    if mine := _of(rows, "start"):
        yield "**Start**"
        heads = ("what", "seconds", "CPU seconds", "memory")
        yield _grid(heads, [(row["what"], *_cost(row)) for row in mine])


def _panel(rows: Iterable[_Row]) -> Iterator[str]:
    if mine := _of(rows, "panel"):
        names = {
            "open": "open",
            "filter": "change a filter",
            "page": "a page of the table",
            "first search": "first search",
            "search": "search",
            "report": "report",
        }
        yield "**Panels and report**, milliseconds (medians)"
        lines = [
            (f"{row['users']:,}", *(f"{1000 * row[one]:,.0f}" for one in names)) for row in mine
        ]
        yield _grid(("users", *names.values()), lines)


def _collection(rows: Iterable[_Row]) -> Iterator[str]:
    mine = _of(rows, "collection")
    if not mine:
        return
    yield (
        f"**Collecting {mine[0]['users']:,} users** of a sandbox with an enterprise plan's limits; "
        "share: of the requests that the plan allows in that time"
    )
    heads = ("what", "users found", "missing", "requests", "for 1,000 users", "seconds", "share")
    lines = [
        (
            _WAYS[row["what"]],
            f"{row['found']:,}",
            f"{row['users'] - row['found']:,}",
            f"{row['requests']:,}",
            f"{1000 * row['requests'] / max(row['found'], 1):.1f}",
            f"{row['seconds']:.1f}",
            f"{100 * row['share']:.0f} %",
        )
        for row in mine
    ]
    yield _grid(heads, lines)


def _cost(row: _Row) -> tuple[str, str, str]:
    return f"{row['seconds']:.2f}", f"{row['cpu']:.2f}", f"{row['peak'] / 1e6:,.0f} MB"


def _of(rows: Iterable[_Row], part: str) -> list[_Row]:
    return [row for row in rows if row["part"] == part]


def _named(rows: Iterable[_Row], users: int) -> dict[str, _Row]:
    return {row["what"]: row for row in rows if row["users"] == users}


def _grid(heads: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    """Return a table in Markdown; what is not the first column of words stands to the right."""
    heads = list(heads)
    marks = ["---" if head == "what" else "---:" for head in heads]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, marks, *lines))


if __name__ == "__main__":
    source = Path(sys.argv[1])
    results = json.loads(source.read_text("utf-8"))
    written = table(results)
    source.with_suffix(".md").write_text(written, "utf-8")
    if drawn := chart(results):
        source.with_suffix(".svg").write_text(drawn.svg(), "utf-8")
    sys.stdout.write(written)
