"""Pieces of a page: text of tenants made harmless, figures, tables that scroll."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape

from toolkit.charts import Chart
from toolkit.wording import shorten

LONGEST_NAME = 80
"""How many characters of a name that somebody typed are shown."""


def name(text: str) -> str:
    """Write a name that somebody typed: cut, visible, and in a direction of its own."""
    return f"<bdi>{escape(shorten(text, LONGEST_NAME))}</bdi>"


def figure(chart: Chart, identifier: str) -> str:
    """Put a chart into the page, in the page's colours; its words are inside it."""
    svg = chart.inline_svg(f"chart-{identifier}")
    return f'<div class="card figure" {_scrolls(chart.title)}>{svg}</div>'


def table(
    caption: str, head: Sequence[tuple[str, str]], rows: Iterable[str], *, kind: str = ""
) -> str:
    """Return a table that scrolls sideways where it has no room, by keyboard too.

    Args:
        caption: what it shows, as text.
        head: the heading and the class of each column; no heading makes an empty cell.
        rows: the `<tr>` elements.
        kind: a class of the table.
    """
    cells = "".join(
        f'<th scope="col" class="{style}">{escape(text)}</th>' if text else "<td></td>"
        for text, style in head
    )
    style = f' class="{kind}"' if kind else ""
    body = "\n".join(rows)
    return (
        f'<div class="scroll" {_scrolls(caption)}><table{style}>\n'
        f"<caption>{escape(caption)}</caption>\n<thead><tr>{cells}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def moment(value: datetime) -> str:
    """Write a moment to the minute, in UTC."""
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def count(number: int, noun: str) -> str:
    """Write a number of things."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _scrolls(label: str) -> str:
    """Return the attributes of a region that scrolls: one can reach it by keyboard."""
    return f'tabindex="0" role="region" aria-label="{escape(label)}"'
