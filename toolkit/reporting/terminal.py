"""What a terminal shows: coverage, findings, and the progress of long work."""

import math
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from toolkit.analysis.groups import Seen
from toolkit.classification.sources import Source
from toolkit.formatting import csv, harmless, percent, shorten, visible
from toolkit.progress import Progress
from toolkit.reporting.palette import COLOURS

# What counts users is heavy, and progress is drawn without it: it is imported where it is used.
if TYPE_CHECKING:
    from pandas import DataFrame

    from toolkit.analysis.coverage_count import Coverage
    from toolkit.analysis.estimate import Interval
    from toolkit.analysis.finding_counts import Findings
    from toolkit.snapshots.provenance import Provenance
    from toolkit.snapshots.snapshot import Snapshot

_WIDTH = 30
_FEWEST_WORDS = 20
_PIPED = 120
_LONGEST_NAME, _LONGEST_CELL = 40, 200
_WIDE = 100  # columns; below that a group's numbers leave no room for its bar
_OWN = "See a picture of their own"
_SEVERITIES = {"high": "bold red", "medium": "yellow", "low": "cyan", "info": "dim"}
_EIGHTHS = " ▏▎▍▌▋▊▉"
_SOLID, _STRIPED, _BROKEN = "█", "░", "▒"
# What nobody knows yet is striped, here as in every chart.
_UNKNOWN = frozenset({Source.UNRESOLVED})


def _bar(part: float, width: int, *, striped: bool) -> str:
    """Draw a bar whose length is a part (0 to 1) of a width; what is not nothing shows."""
    eighths = max(1, round(part * width * 8)) if part else 0
    if striped:
        return _STRIPED * math.ceil(eighths / 8)
    return _SOLID * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def headline(users: int, provenance: "Provenance") -> Text:
    """Say in one line how many users were counted, where, and whether that is all of them."""
    where = "sandbox" if provenance.sandbox else shorten(provenance.tenant, _LONGEST_NAME)
    # What was in a file was not compared with what a tenant counts.
    counted = "complete" if provenance.method == "ingest" else "complete, reconciled"
    whole = counted if provenance.complete else "NOT COMPLETE"
    text = Text(f"Where the pictures of {users:,} users come from", style="bold")
    text.append(f"   {where} · ", style="dim")
    text.append(whole, style="green" if provenance.complete else "bold red")
    text.append(f" · {provenance.requests:,} requests · {provenance.seconds:.1f} s", style="dim")
    return text


def hints(coverage: "Coverage", provenance: "Provenance") -> dict[Source, str]:
    """Say what there is to know or to do about the sources where there is something."""
    said: dict[Source, str] = {}
    for source, users in coverage.broken.items():
        if source not in {Source.INVALID, Source.METADATA}:
            said[source] = f"{users:,} have expired: a broken image"
    if Source.UNRESOLVED in coverage.sources and not coverage.estimated:
        said[Source.UNRESOLVED] = "Gravatar or initials? picture-audit probe …"
    unused = provenance.wiring is not None and provenance.wiring.override is False
    if unused and Source.METADATA in coverage.sources:
        said[Source.METADATA] = "nothing shows these: see findings"
    return said


def coverage_table(
    coverage: "Coverage", width: int, hints: Mapping[Source, str] | None = None
) -> Table:
    """Draw a coverage so that the answer is seen before it is read.

    Args:
        coverage: what to draw. Where a sample was asked for, the sources are as it divides
            the unresolved, with half of its 95 % interval behind a ±.
        width: columns of the terminal; the numbers are whole at any width, bars and
            words give way.
        hints: what to say of a source instead of what it means.
    """
    if coverage.by != "source":
        return _group_table(coverage, width)
    return _source_table(coverage, width, hints or {})


def _source_table(coverage: "Coverage", width: int, hints: Mapping[Source, str]) -> Table:
    from toolkit.analysis.headline_words import sampled  # noqa: PLC0415 - it loads pandas

    rows = [(Source(row["source"]), int(row["users"])) for _, row in coverage.table().iterrows()]
    total, broken = max(coverage.users, 1), coverage.broken
    numbers = _numbers(rows, total, coverage.estimated if sampled(coverage) else {})
    widths = [max([1, *map(len, column)]) for column in zip(*numbers, strict=True)] or [1, 1]
    fixed = len("placeholder") + sum(widths) + 2 * (len(widths) + 2)
    bar_width = max(4, min(_WIDTH, width - fixed))
    words = width - fixed - bar_width - 2
    worded = words >= _FEWEST_WORDS
    table = Table(box=None, show_header=False, pad_edge=True, padding=(0, 1))
    table.add_column("source", no_wrap=True, min_width=len("placeholder"))
    table.add_column("bar", width=bar_width, no_wrap=True)
    for column in widths:
        table.add_column(no_wrap=True, min_width=column)
    if worded:
        table.add_column("meaning", overflow="ellipsis", no_wrap=True, max_width=words)
    largest = max([1, *(users for _, users in rows)])
    for (source, users), told in zip(rows, numbers, strict=True):
        late = broken.get(source, 0) if source is not Source.INVALID else 0
        striped = source in _UNKNOWN
        bar = Text(_bar((users - late) / largest, bar_width, striped=striped), COLOURS[source])
        bar.append(_BROKEN * _cells(late / largest, bar_width))
        bar.truncate(bar_width)
        meaning = Text(hints[source]) if source in hints else Text(source.meaning, "dim")
        table.add_row(str(source), bar, *told, *([meaning] if worded else []))
    return table


def _numbers(
    rows: list[tuple[Source, int]], total: int, estimated: "Mapping[Source, Interval]"
) -> list[tuple[str, str]]:
    """Write users and shares, and with a sample what follows their ±, so that they line up."""
    from toolkit.analysis.headline_words import deviation  # noqa: PLC0415 - it loads pandas

    doubts = {source: deviation(part) for source, part in estimated.items()}
    people = {source: f" ± {doubt:,.0f}" for source, doubt in doubts.items()}
    points = {source: f" ± {100 * doubt / total:.1f}" for source, doubt in doubts.items()}
    room = [max([0, *map(len, texts.values())]) for texts in (people, points)]
    shown = [(f"{users:,}", percent(users / total, 1)) for _, users in rows]
    wide = [max([1, *map(len, column)]) for column in zip(*shown, strict=True)]
    return [
        (
            users.rjust(wide[0]) + people.get(source, "").ljust(room[0]),
            share.rjust(wide[1]) + points.get(source, "").ljust(room[1]),
        )
        for (source, _), (users, share) in zip(rows, shown, strict=True)
    ]


def _group_table(coverage: "Coverage", width: int) -> Table:
    from toolkit.analysis.headline_words import between  # noqa: PLC0415 - it loads pandas

    table = Table(box=None, pad_edge=True, padding=(0, 1), header_style="dim")
    table.add_column(coverage.by, overflow="fold")
    table.add_column("users", justify="right", no_wrap=True)
    table.add_column("share", justify="right", no_wrap=True)
    table.add_column("own picture", justify="right", no_wrap=True)
    drawn = width >= _WIDE
    if drawn:
        table.add_column("sources, by share of the group", no_wrap=True)
    broken = coverage.counts[coverage.counts["seen"] == Seen.BROKEN]
    late = broken.groupby(["group", "source"])["users"].sum().to_dict()
    for row in coverage.table().to_dict("records"):
        name, users = str(row["group"]), int(row["users"])
        parts = {}
        for source in coverage.sources:
            gone = 0 if source is Source.INVALID else int(late.get((name, source.value), 0))
            parts[source, False] = int(row[source]) - gone
            parts[source, True] = gone
        own = between(float(row["own_low"]), float(row["own_high"]))
        group = escape(shorten(name, _LONGEST_NAME))
        cells = [group, f"{users:,}", percent(float(row["share"]), 1), own]
        table.add_row(*cells, *([_stack(parts, users)] if drawn else []))
    keys = [
        Text(f"{_STRIPED if source in _UNKNOWN else _SOLID} {source} ", style=COLOURS[source])
        for source in coverage.sources
    ]
    if set(coverage.broken) - {Source.INVALID}:
        keys.append(Text(f"{_BROKEN} expired "))
    table.caption = Text(" ").join(keys) if drawn else ""
    table.caption_justify = "left"
    return table


def _stack(parts: Mapping[tuple[Source, bool], int], users: int) -> Text:
    """Draw a group's sources, each with what has expired, as one bar of one width."""
    text = Text()
    done = drawn = 0
    for (source, broken), count in parts.items():
        done += count
        cells = round(done / max(users, 1) * _WIDTH) - drawn
        drawn += cells
        cell = _BROKEN if broken else _STRIPED if source in _UNKNOWN else _SOLID
        text.append(cell * cells, style=COLOURS[source])
    return text


def _cells(part: float, width: int) -> int:
    """Return how many cells a part (0 to 1) of a width fills; what is not nothing shows."""
    return max(1, round(part * width)) if part else 0


def _stdout() -> Console:
    # What is piped into a file or a pager is not cut to the width of a terminal.
    return Console(width=None if sys.stdout.isatty() else _PIPED)


def show_coverage(coverage: "Coverage", provenance: "Provenance") -> None:
    """Print a coverage to stdout."""
    console = _stdout()
    console.print(headline(coverage.users, provenance), soft_wrap=True)
    console.print()
    said = hints(coverage, provenance) if coverage.by == "source" else {}
    beside = console.width >= _WIDE
    console.print(coverage_table(coverage, console.width, said if beside else None))
    console.print()
    if said and not beside:
        for source, words in said.items():
            console.print(Text(f"  {source}: ").append(words, "dim"))
        console.print()
    console.print(own_line(coverage))


def own_line(coverage: "Coverage") -> Table:
    """Say how many users see a picture of their own, and how sure that is."""
    from toolkit.analysis.headline_words import between  # noqa: PLC0415 - it loads pandas
    from toolkit.analysis.headline_words import headline as answer  # noqa: PLC0415 - the same

    said, total = answer(coverage, digits=1), max(coverage.users, 1)
    share = (
        str(said)
        if "±" in said.doubt
        else between(coverage.own.low / total, coverage.own.high / total, 1)
    )
    line = Table.grid(padding=(0, 3))
    line.add_column(no_wrap=True)
    line.add_column(no_wrap=True)
    line.add_column()
    line.add_row(Text(f"  {_OWN}"), Text(share, "bold"), Text(said.people, "dim"))
    return line


def show_findings(findings: "Findings") -> None:
    """Print findings to stdout: what it is, how many it concerns, what to do."""
    console = _stdout()
    title = Text(f"What is worth knowing about the pictures of {findings.users:,} users", "bold")
    console.print(title)
    console.print()
    console.print(findings_table(findings) if len(findings) else "  Nothing.")
    for note in findings.notes:
        console.print(Text(f"\n{visible(note)}", "dim"))


def findings_table(findings: "Findings") -> Table:
    """Draw findings as rows: severity, users, share, and in words what it is and what to do."""
    table = Table(box=None, pad_edge=True, padding=(0, 1), header_style="dim")
    table.add_column("severity", no_wrap=True)
    table.add_column("users", justify="right", no_wrap=True)
    table.add_column("share", justify="right", no_wrap=True)
    table.add_column("what it is, and what to do")
    for one in findings:
        words = Text(one.title, "bold")
        words.append(f"  {one.id}", "dim")
        words.append(f"\n→ {visible(one.advice)}", "not bold")
        severity = Text(one.severity, _SEVERITIES[one.severity])
        table.add_row(severity, f"{one.users:,}", percent(one.share, 1), words)
    return table


def show_frame(frame: "DataFrame") -> None:
    """Print a frame to stdout; what somebody typed stays text."""
    from pandas.api.types import is_numeric_dtype  # noqa: PLC0415 - heavy

    table = Table(box=None, pad_edge=True, padding=(0, 1), header_style="dim")
    for name in frame.columns:
        number = is_numeric_dtype(frame[name])
        table.add_column(
            Text(shorten(str(name), _LONGEST_NAME)),
            justify="right" if number else "left",
            overflow="fold",
        )
    for row in frame.itertuples(index=False, name=None):
        table.add_row(*(Text(_cell(value)) for value in row))
    _stdout().print(table)


def _cell(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return shorten(str(value), _LONGEST_CELL)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"


def show_sheet(frame: "DataFrame") -> None:
    """Print a frame as CSV to stdout: exactly for programs; for people nothing stays unseen."""
    text = csv(frame)
    sys.stdout.write(harmless(text.replace("\r\n", "\n")) if sys.stdout.isatty() else text)


def written(**places: Path | str) -> None:
    """Print to stdout what stands where."""
    line = "      ".join(f"{what}  {place}" for what, place in places.items())
    _stdout().print(f"\n  {line}", style="dim", markup=False, highlight=False, soft_wrap=True)


def collected(snapshot: "Snapshot", path: Path | None) -> None:
    """Print to stderr what was collected."""
    console = Console(stderr=True)
    console.print(headline(len(snapshot), snapshot.provenance), soft_wrap=True)
    for note in snapshot.provenance.notes:
        console.print(visible(note), style="dim", markup=False, highlight=False, soft_wrap=True)
    console.print(f"Snapshot  {path}", style="dim", markup=False, highlight=False, soft_wrap=True)


@contextmanager
def interruptible() -> Iterator[None]:
    """Where the user interrupts or ends this, say how to go on, and leave no drafts behind."""
    former = signal.signal(signal.SIGTERM, _terminated)
    try:
        yield
    except (KeyboardInterrupt, _TerminatedExit):
        command = shlex.join(["picture-audit", *sys.argv[1:]])
        Console(stderr=True).print(
            f"\nInterrupted. To go on: {command}", markup=False, highlight=False, soft_wrap=True
        )
        raise
    finally:
        signal.signal(signal.SIGTERM, former)


def _terminated(number: int, _frame: object) -> None:
    """End as any other error would, so that everything is closed and removed."""
    raise _TerminatedExit(128 + number)


class _TerminatedExit(SystemExit):
    """Somebody asked this process to end."""


@contextmanager
def progress(what: str, *, off: bool = False) -> Iterator[Callable[[Progress], None]]:
    """Draw progress as a bar on stderr, where that is a terminal.

    Args:
        what: what is going on.
        off: draw nothing at all.

    Yields:
        A function to call with each `Progress`.
    """
    console = Console(stderr=True)
    if off or not console.is_terminal:
        yield lambda _: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[count]}"),
        TextColumn("{task.fields[rate]}"),
        TextColumn("[cyan]{task.fields[left]}"),
        TextColumn("[dim]{task.fields[note]}"),
    )
    with Bars(*columns, console=console, transient=True) as bars:
        task = bars.add_task(what, total=None, count="", rate="", left="", note="")

        def show(progress: Progress) -> None:
            bars.update(
                task,
                completed=progress.done,
                total=progress.total,
                count=progress.count,
                rate=progress.speed,
                left=progress.left,
                note=escape(visible(progress.note)),
            )

        yield show
