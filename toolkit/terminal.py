"""What a terminal shows: the coverage table and the progress of long work."""

import math
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Task, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from toolkit.coverage import Coverage, percent, shorten
from toolkit.palette import COLOURS
from toolkit.picture import Source
from toolkit.progress import Progress
from toolkit.snapshot import Provenance, Snapshot

_WIDTH = 30
_FEWEST_WORDS = 20
_PIPED = 120
_LONGEST_NAME = 40
_EIGHTHS = " ▏▎▍▌▋▊▉"
_SOLID, _STRIPED = "█", "░"
# What nobody knows yet is striped, here as in every chart.
_UNKNOWN = frozenset({Source.UNRESOLVED})


def _bar(part: float, width: int, *, striped: bool) -> str:
    """Draw a bar whose length is a part (0 to 1) of a width; what is not nothing shows."""
    eighths = max(1, round(part * width * 8)) if part else 0
    if striped:
        return _STRIPED * math.ceil(eighths / 8)
    return _SOLID * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def headline(coverage: Coverage, provenance: Provenance) -> Text:
    """Say in one line what was counted, where, and whether it is whole."""
    where = "sandbox" if provenance.sandbox else provenance.tenant
    # What was in a file was not compared with what a tenant counts.
    counted = "complete" if provenance.method == "ingest" else "complete, reconciled"
    whole = counted if provenance.complete else "NOT COMPLETE"
    text = Text(f"Where the pictures of {coverage.users:,} users come from", style="bold")
    text.append(f"   {where} · ", style="dim")
    text.append(whole, style="green" if provenance.complete else "bold red")
    text.append(f" · {provenance.requests:,} requests · {provenance.seconds:.1f} s", style="dim")
    return text


def coverage_table(coverage: Coverage, width: int) -> Table:
    """Draw a coverage so that the answer is seen before it is read.

    Args:
        coverage: what to draw.
        width: columns of the terminal; the numbers are whole at any width, bars and
            words give way.
    """
    return _source_table(coverage, width) if coverage.by == "source" else _group_table(coverage)


def _source_table(coverage: Coverage, width: int) -> Table:
    rows = coverage.table()
    numbers = [
        (f"{users:,}", percent(share, 1))
        for users, share in zip(rows["users"], rows["share"], strict=True)
    ]
    fixed = (
        len("placeholder")
        + sum(max([0, *map(len, column)]) for column in zip(*numbers, strict=True))
        + 10
    )
    bar_width = max(4, min(_WIDTH, width - fixed))
    words = width - fixed - bar_width
    table = Table(box=None, show_header=False, pad_edge=True, padding=(0, 1))
    table.add_column("source", no_wrap=True, min_width=len("placeholder"))
    table.add_column("bar", width=bar_width, no_wrap=True)
    table.add_column(
        "users",
        justify="right",
        no_wrap=True,
        min_width=max([1, *(len(one) for one, _ in numbers)]),
    )
    table.add_column(
        "share",
        justify="right",
        no_wrap=True,
        min_width=max([1, *(len(one) for _, one in numbers)]),
    )
    if words >= _FEWEST_WORDS:
        table.add_column("meaning", style="dim", overflow="ellipsis", no_wrap=True, max_width=words)
    largest = float(rows["share"].max()) if len(rows) else 1.0
    for name, share, told in zip(rows["source"], rows["share"], numbers, strict=True):
        source = Source(name)
        bar = _bar(share / largest, bar_width, striped=source in _UNKNOWN)
        meaning = [source.meaning] if words >= _FEWEST_WORDS else []
        table.add_row(str(source), Text(bar, style=COLOURS[source]), *told, *meaning)
    return table


def _group_table(coverage: Coverage) -> Table:
    table = Table(box=None, pad_edge=True, padding=(0, 1), header_style="dim")
    table.add_column(coverage.by, overflow="fold")
    table.add_column("users", justify="right")
    table.add_column("share", justify="right")
    table.add_column("sources, by share of the group", no_wrap=True)
    for row in coverage.table().to_dict("records"):
        counts = {source: int(row[source]) for source in coverage.sources}
        group = escape(shorten(str(row["group"]), _LONGEST_NAME))
        users = int(row["users"])
        table.add_row(group, f"{users:,}", percent(float(row["share"]), 1), _stack(counts, users))
    legend = Text(" ").join(
        Text(f"{_STRIPED if source in _UNKNOWN else _SOLID} {source} ", style=COLOURS[source])
        for source in coverage.sources
    )
    table.caption = legend
    table.caption_justify = "left"
    return table


def _stack(counts: dict[Source, int], users: int) -> Text:
    """Draw a group's sources as one bar whose parts add up to its width."""
    text = Text()
    done = drawn = 0
    for source, count in counts.items():
        done += count
        cells = round(done / max(users, 1) * _WIDTH) - drawn
        drawn += cells
        text.append((_STRIPED if source in _UNKNOWN else _SOLID) * cells, style=COLOURS[source])
    return text


def _stdout() -> Console:
    # What is piped into a file or a pager is not cut to the width of a terminal.
    return Console(width=None if sys.stdout.isatty() else _PIPED)


def show_coverage(coverage: Coverage, provenance: Provenance) -> None:
    """Print a coverage to stdout."""
    console = _stdout()
    console.print(headline(coverage, provenance), soft_wrap=True)
    console.print()
    console.print(coverage_table(coverage, console.width))


def written(**places: Path | str) -> None:
    """Print to stdout what stands where."""
    line = "      ".join(f"{what}  {place}" for what, place in places.items())
    _stdout().print(f"\n  {line}", style="dim", markup=False, highlight=False, soft_wrap=True)


def collected(snapshot: Snapshot, path: Path) -> None:
    """Print to stderr what was collected."""
    console = Console(stderr=True)
    console.print(headline(snapshot.coverage(), snapshot.provenance), soft_wrap=True)
    for note in snapshot.provenance.notes:
        console.print(note, style="dim", markup=False, highlight=False, soft_wrap=True)
    console.print(f"Snapshot  {path}", style="dim", markup=False, highlight=False, soft_wrap=True)


@contextmanager
def interruptible() -> Iterator[None]:
    """Where the user interrupts, say how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        command = shlex.join(["picture-audit", *sys.argv[1:]])
        Console(stderr=True).print(
            f"\nInterrupted. To go on: {command}", markup=False, highlight=False, soft_wrap=True
        )
        raise


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
        _Left(),
        TextColumn("[dim]{task.fields[note]}"),
    )
    with Bars(*columns, console=console, transient=True) as bars:
        task = bars.add_task(what, total=None, count="", rate="", note="", eta=None)

        def show(progress: Progress) -> None:
            total = "?" if progress.total is None else f"{progress.total:,}"
            about = "≈ " if progress.estimated and progress.total is not None else ""
            bars.update(
                task,
                completed=progress.done,
                total=progress.total,
                count=f"{progress.done:,} of {about}{total}",
                rate=f"{progress.rate:,.0f}/s" if progress.rate else "",
                eta=progress.eta,
                note=progress.note,
            )

        yield show


class _Left(TimeRemainingColumn):
    """Time left, as the work itself reckons it."""

    def render(self, task: Task) -> Text:
        """Draw minutes and seconds."""
        eta = task.fields.get("eta")
        if eta is None:
            return Text("")
        return Text(f"{int(eta) // 60}:{int(eta) % 60:02d} left", style="cyan")
