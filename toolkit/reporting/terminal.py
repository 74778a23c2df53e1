"""What a terminal shows: coverage, findings, and the progress of long work."""

import math
import signal
import sys
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as Bars
from rich.table import Column, Table
from rich.text import Text

from toolkit.analysis.groups import Seen
from toolkit.classification.sources import Source
from toolkit.formatting import csv, harmless, numeric, percent, shorten, visible
from toolkit.progress import Progress
from toolkit.reporting.palette import COLOURS, DARK, LETTERS, ON_DARK, ON_LIGHT
from toolkit.system import ENDING, command_line, write_data

# What loads pandas is imported where it is used: progress is drawn without it.
if TYPE_CHECKING:
    from pandas import DataFrame

    from toolkit.analysis.coverage_count import Coverage
    from toolkit.analysis.finding_counts import Findings
    from toolkit.snapshots.comparison import Comparison
    from toolkit.snapshots.snapshot import Provenance, Snapshot

_WIDTH = 30
_FEWEST_WORDS = 20
_PIPED = 120
_LONGEST_NAME, _LONGEST_CELL, _LONGEST_WORD = 40, 200, 32
_OF_COMMANDS = 4  # blanks before a command that is to be copied
_MOST_USERS = 20
_OF_USERS = ("user_id", "email", "connection", "source", "seen")
_WIDE = 100  # columns; below that words stand below the bars, or on two lines
_NARROW_BAR, _FEWEST_CELLS, _SHORTEST_NAME = 12, 8, 20
_OF_GROUPS = ("users", "share", "own picture")
_SEVERITIES = {"high": "bold red", "medium": "yellow", "low": "cyan", "info": "dim"}
_EIGHTHS = " ▏▎▍▌▋▊▉"
_SOLID, _STRIPED, _BROKEN = "█", "░", "▒"


def _table() -> Table:
    return Table(box=None, pad_edge=True, padding=(0, 1), header_style="dim")


def _cells(part: float, width: int) -> int:
    """Return how many cells a part (0 to 1) of a width fills; what is not nothing shows."""
    return max(1, round(part * width)) if part else 0


def _bar(part: float, width: int, *, striped: bool) -> str:
    """Draw a bar whose length is a part (0 to 1) of a width."""
    eighths = _cells(part, width * 8)
    if striped:  # what nobody knows yet, here as in every chart
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
            said[source] = f"{users:,} do not load: a broken image"
    asked = coverage.estimated or provenance.probed_at
    if Source.UNRESOLVED in coverage.sources and not asked:
        said[Source.UNRESOLVED] = "Gravatar or initials? picture-audit probe …"
    if provenance.overrides is False and Source.METADATA in coverage.sources:
        said[Source.METADATA] = "nothing shows these: see findings"
    return said


def coverage_table(
    coverage: "Coverage", width: int, hints: Mapping[Source, str] | None = None
) -> Table:
    """Draw a coverage as bars.

    Args:
        coverage: what to draw. A sample divides the unresolved, with half of its 95 % interval
            behind a ±.
        width: columns of the terminal; in a narrow one bars and words are shorter.
        hints: what to say of a source instead of what it means.
    """
    if coverage.by != "source":
        return _group_table(coverage, width)
    return _source_table(coverage, width, hints or {})


def _source_table(coverage: "Coverage", width: int, hints: Mapping[Source, str]) -> Table:
    from toolkit.analysis.headline_words import deviation, sampled  # noqa: PLC0415 - heavy

    rows = [(Source(row["source"]), int(row["users"])) for _, row in coverage.table().iterrows()]
    total, broken = max(coverage.users, 1), coverage.broken
    estimated = coverage.estimated if sampled(coverage) else {}
    doubts = [deviation(estimated[name]) if name in estimated else None for name, _ in rows]
    numbers = (
        _aligned(
            [f"{users:,}" for _, users in rows],
            ["" if doubt is None else f" ± {doubt:,.0f}" for doubt in doubts],
        ),
        _aligned(
            [percent(users / total, 1) for _, users in rows],
            ["" if doubt is None else f" ± {100 * doubt / total:.1f}" for doubt in doubts],
        ),
    )
    widths = [max(map(len, column), default=1) for column in numbers]
    fixed = len("placeholder") + sum(widths) + 8  # between columns
    narrow = width < _WIDE
    bar_width = max(4, min(_NARROW_BAR if narrow else _WIDTH, width - fixed))
    words = width - fixed - bar_width - 2
    worded = words >= _FEWEST_WORDS
    table = Table(box=None, show_header=False, pad_edge=True, padding=(0, 1))
    table.add_column("source", no_wrap=True, min_width=len("placeholder"))
    table.add_column("bar", width=bar_width, no_wrap=True)
    for column in widths:
        table.add_column(no_wrap=True, min_width=column)
    if worded:
        overflow: Literal["fold", "ellipsis"] = "fold" if narrow else "ellipsis"
        table.add_column("meaning", overflow=overflow, no_wrap=not narrow, max_width=words)
    largest = max([1, *(users for _, users in rows)])
    for (source, users), *told in zip(rows, *numbers, strict=True):
        late = broken.get(source, 0) if source is not Source.INVALID else 0
        striped = source is Source.UNRESOLVED
        bar = Text(_bar((users - late) / largest, bar_width, striped=striped), COLOURS[source])
        bar.append(_BROKEN * _cells(late / largest, bar_width))
        bar.truncate(bar_width)
        meaning = Text(hints[source]) if source in hints else Text(source.meaning, "dim")
        table.add_row(source, bar, *told, *([meaning] if worded else []))
    return table


def _aligned(texts: list[str], doubts: list[str]) -> list[str]:
    """Put what follows the ± behind numbers, so that they line up."""
    wide, room = (max(map(len, column), default=0) for column in (texts, doubts))
    return [text.rjust(wide) + doubt.ljust(room) for text, doubt in zip(texts, doubts, strict=True)]


def _group_table(coverage: "Coverage", width: int) -> Table:
    from toolkit.analysis.headline_words import between  # noqa: PLC0415 - heavy

    table = _table()
    table.add_column(coverage.by, overflow="fold")
    for name in _OF_GROUPS:
        table.add_column(name, justify="right", no_wrap=True)
    rows = coverage.table().to_dict("records")
    told = [_told(row, between(float(row["own_low"]), float(row["own_high"]))) for row in rows]
    beside = sum(max(map(len, column)) + 2 for column in zip(_OF_GROUPS, *told, strict=True)) + 4
    longest = min(_LONGEST_NAME, max(_SHORTEST_NAME, width - beside - _FEWEST_CELLS))
    names = [shorten(str(row["group"]), longest) for row in rows]
    bar = min(_WIDTH, width - beside - max(map(len, [coverage.by, *names])))
    drawn = bar >= _FEWEST_CELLS
    if drawn:
        title = "sources, by share of the group"
        table.add_column(title if bar == _WIDTH else "sources", no_wrap=True, min_width=bar)
    broken = coverage.counts[coverage.counts["seen"] == Seen.BROKEN]
    late = broken.groupby(["group", "source"])["users"].sum().to_dict()
    for row, shown, numbers in zip(rows, names, told, strict=True):
        name, users = str(row["group"]), int(row["users"])
        parts = {}
        for source in coverage.sources:
            gone = 0 if source is Source.INVALID else int(late.get((name, source.value), 0))
            parts[source, False] = int(row[source]) - gone
            parts[source, True] = gone
        stack = [_stack(parts, users, bar)] if drawn else []
        table.add_row(escape(shown), *numbers, *stack)
    keys = [_key(source) for source in coverage.sources]
    if set(coverage.broken) - {Source.INVALID}:
        keys.append(Text("small letters: a broken image"))
    narrow = Text("The bars of the sources need a wider terminal.")
    room = beside + max(map(len, [coverage.by, *names])) + bar
    table.caption = _filled(keys, room) if drawn else narrow
    table.caption_justify = "left"
    table.caption_style = "none"
    return table


def _told(row: Mapping[Hashable, Any], own: str) -> tuple[str, str, str]:
    """Write the numbers of a group."""
    return f"{int(row['users']):,}", percent(float(row["share"]), 1), own


def _key(source: Source) -> Text:
    """Say which letter stands for a source."""
    return Text(LETTERS[source], _ground(source)).append(f" {source}", "none")


def _filled(keys: list[Text], width: int) -> Text:
    """Put the parts of a legend on lines, none of which ends within a part."""
    lines = [Text()]
    for key in keys:
        if lines[-1] and len(lines[-1]) + len(key) + 2 > width:
            lines.append(Text())
        lines[-1].append(" ").append_text(key).append(" ")
    return Text("\n").join(lines)


def _ground(source: Source) -> str:
    """Return the style of a letter on the colour of its source."""
    return f"{ON_DARK if source in DARK else ON_LIGHT} on {COLOURS[source]}"


def _stack(parts: Mapping[tuple[Source, bool], int], users: int, width: int) -> Text:
    """Draw a group's sources as one bar of letters; small ones are of what does not load."""
    text = Text()
    done = drawn = 0
    for (source, broken), count in parts.items():
        done += count
        cells = round(done / max(users, 1) * width) - drawn
        drawn += cells
        letter = LETTERS[source].lower() if broken else LETTERS[source]
        text.append(letter * cells, style=_ground(source))
    return text


def _stdout() -> Console:
    # What is piped into a file or a pager is not cut to the width of a terminal.
    return Console(width=None if sys.stdout.isatty() else _PIPED)


def show_coverage(coverage: "Coverage", provenance: "Provenance") -> None:
    """Print a coverage to stdout."""
    console = _stdout()
    console.print(headline(coverage.users, provenance))
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
    from toolkit.analysis.headline_words import between  # noqa: PLC0415 - heavy
    from toolkit.analysis.headline_words import headline as answer  # noqa: PLC0415 - heavy

    said, total = answer(coverage, digits=1), max(coverage.users, 1)
    own = coverage.own
    share = str(said) if "±" in said.doubt else between(own.low / total, own.high / total, 1)
    line = Table.grid(Column(no_wrap=True), Column(no_wrap=True), Column(), padding=(0, 3))
    line.add_row("  See a picture of their own", Text(share, "bold"), Text(said.people, "dim"))
    return line


def show_findings(findings: "Findings") -> None:
    """Print findings to stdout: what it is, how many it concerns, what to do."""
    console = _stdout()
    title = f"What is worth knowing about the pictures of {findings.users:,} users"
    console.print(Text(f"{title}\n", "bold"))
    console.print(findings_table(findings) if len(findings) else "  Nothing.")
    for note in findings.notes:
        console.print(Text(f"\n{visible(note)}", "dim"))


def findings_table(findings: "Findings") -> Table:
    """Draw findings as rows: severity, users, share, and in words what it is and what to do."""
    table = _table()
    table.add_column("severity", no_wrap=True)
    for name in ("users", "share"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("what it is, and what to do")
    for one in findings:
        words = Text(one.title, "bold")
        words.append(f"  {one.id}", "dim")
        words.append(f"\n→ {visible(one.advice)}", "not bold")
        severity = Text(one.severity, _SEVERITIES[one.severity])
        table.add_row(severity, f"{one.users:,}", percent(one.share, 1), words)
    return table


def show_parts(title: str, *parts: "str | tuple[str, DataFrame]") -> None:
    """Print a title, and below it lines and tables, each of which has a heading."""
    console = _stdout()
    console.print(Text(visible(title), "bold"))
    for part in parts:
        if isinstance(part, str):
            console.print(Padding(Text(harmless(part)), (0, 0, 0, 2), expand=False))
        else:
            heading, frame = part
            console.print(Text(f"\n{heading}", "bold"))
            console.print(frame_table(frame, console.width))


def show_comparison(comparison: "Comparison") -> None:
    """Print a comparison to stdout."""
    title, *sums = comparison.lines()
    moves, sources = comparison.tables()
    tables = [("Whose pictures come from another source", moves)] if len(moves) else []
    show_parts(title, *sums, *tables, ("Each source", sources), *comparison.notes)


def show_frame(frame: "DataFrame") -> None:
    """Print a frame to stdout; what somebody typed stays text."""
    console = _stdout()
    console.print(frame_table(frame, console.width))


def frame_table(frame: "DataFrame", room: int) -> Table:
    """Draw a frame: numbers to the right, texts to the left, lines that end between words.

    Args:
        frame: what to draw.
        room: columns of the terminal. No word is broken unless the longest words do not fit.
    """
    rows = [[_cell(value) for value in row] for row in frame.itertuples(index=False, name=None)]
    titles = [shorten(str(name), _LONGEST_NAME) for name in frame.columns]
    columns = [[title, *(row[place] for row in rows)] for place, title in enumerate(titles)]
    most = [max(map(cell_len, cells)) for cells in columns]
    least = [min(_longest_word(cells), _LONGEST_WORD) for cells in columns]
    table = _table()
    table.collapse_padding = sum(most) + 2 * len(columns) > room
    edges = len(columns) + 1 if table.collapse_padding else 2 * len(columns)
    widths = _between(least, most, room - edges)
    if widths and table.collapse_padding:
        widths[0] += 1  # rich leaves out the blank before the first column, and then draws it
    for (title, *cells), width in zip(columns, widths, strict=True):
        side: Literal["left", "right"] = "right" if numeric(cells) else "left"
        table.add_column(Text(title), justify=side, overflow="fold", width=width)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _longest_word(cells: list[str]) -> int:
    return max((cell_len(word) for cell in cells for word in cell.split()), default=1)


def _between(least: list[int], most: list[int], room: int) -> list[int]:
    """Return widths from the least to the most that fill a room: the narrowest grow first."""
    widths = [min(pair) for pair in zip(least, most, strict=True)]
    while sum(widths) < room:
        growing = [place for place, width in enumerate(widths) if width < most[place]]
        if not growing:
            break
        widths[min(growing, key=widths.__getitem__)] += 1
    return widths


def show_lines(text: str) -> None:
    """Print lines to stdout: on a terminal they end between words, elsewhere they stay whole.

    Lines that begin with four blanks hold a command to copy: they stay whole everywhere.
    """
    console = _stdout()
    for line in harmless(text).split("\n"):
        words = line.lstrip(" ")
        indent = len(line) - len(words)
        if console.is_terminal and indent < _OF_COMMANDS:
            console.print(Padding(Text(words), (0, 0, 0, indent), expand=False))
        else:
            sys.stdout.write(f"{line}\n")


def show_users(users: "DataFrame") -> None:
    """Print the first of some users to stdout, and how many more there are."""
    if users.empty:
        _stdout().print("  Nobody.")
        return
    columns = [one for one in _OF_USERS if one in users.columns]
    show_frame(users.head(_MOST_USERS)[columns].astype("object").fillna(""))
    if (more := len(users) - _MOST_USERS) > 0:
        _stdout().print(Text(f"\n  and {more:,} more: --format csv lists all", "dim"))


def _cell(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return shorten(str(value), _LONGEST_CELL)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"


def show_sheet(frame: "DataFrame") -> None:
    """Print a frame as CSV to stdout: exactly for programs; for people nothing stays unseen."""
    text = csv(frame)
    if sys.stdout.isatty():
        sys.stdout.write(harmless(text.replace("\r\n", "\n")))
    else:
        write_data(text)


def written(**places: Path | str) -> None:
    """Print to stdout what stands where."""
    console, parts = _stdout(), [f"{what}  {place}" for what, place in places.items()]
    line = "      ".join(parts)
    if len(line) + 2 > console.width:  # a path is copied: no line ends within it
        line = "\n  ".join(parts)
    console.print(Text(f"\n  {line}", "dim"), soft_wrap=True)


def collected(snapshot: "Snapshot", path: Path | None) -> None:
    """Print to stderr what was collected."""
    console = Console(stderr=True)
    piped = not console.is_terminal
    for line in (
        headline(len(snapshot), snapshot.provenance),
        *(Text(visible(note), "dim") for note in snapshot.provenance.notes),
    ):
        console.print(line, soft_wrap=piped)
    console.print(Text(f"Snapshot  {path}", "dim"), soft_wrap=True)


@contextmanager
def interruptible(then: str = "") -> Iterator[None]:
    """If the user interrupts or ends this, say what to do, and leave no drafts behind.

    That is the same command again, which goes on, or what `then` says.
    """
    former = {number: signal.signal(number, _terminated) for number in ENDING}
    try:
        yield
    except (KeyboardInterrupt, _TerminatedExit):
        then = then or f"To go on: {command_line(['picture-audit', *sys.argv[1:]])}"
        Console(stderr=True).print(Text(f"\nInterrupted. {then}"), soft_wrap=True)
        raise
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _terminated(number: int, _frame: object) -> None:
    """End as any other error would, so that everything is closed and removed."""
    raise _TerminatedExit(128 + number)


class _TerminatedExit(SystemExit):
    """Somebody asked this process to end."""


@contextmanager
def progress(what: str, *, off: bool = False) -> Iterator[Callable[[Progress], None]]:
    """Yield a function that draws each `Progress` as a bar on stderr, if that is a terminal.

    Args:
        what: what is going on.
        off: draw nothing at all.
    """
    console = Console(stderr=True)
    if off or not console.is_terminal:
        yield lambda _: None
        return
    columns = [TextColumn("{task.description}"), BarColumn(), TaskProgressColumn()]
    for style, name in (("", "count"), ("", "rate"), ("[cyan]", "left"), ("[dim]", "note")):
        columns.append(TextColumn(f"{style}{{task.fields[{name}]}}"))
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
