"""A chart: a figure drawn on a card, its letters and its words, as SVG and HTML.

Lengths are points: a point of the figure is a unit of its one pair of axes, y downwards. The fonts
are matplotlib's own files, so that every machine draws alike.
"""

import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Literal

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, get_font
from matplotlib.ft2font import LoadFlags
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch, Patch, PathPatch, Polygon, Rectangle
from matplotlib.path import Path as Outline

from toolkit.classification.sources import Source
from toolkit.formatting import visible
from toolkit.reporting.palette import (
    COLOURS,
    CROSSES,
    DARK,
    DEFAULT,
    DOT,
    EDGES,
    LINES,
    ON_DARK,
    ON_LIGHT,
    ON_TAG,
    STRIPE,
    TAG,
)

TITLE, TEXT, SMALL = 15.0, 10.0, 8.5
"""Sizes of letters."""

_FONTS = Path(mpl.get_data_path()) / "fonts" / "ttf"
# By whether letters are bold.
_FILES = {False: _FONTS / "DejaVuSans.ttf", True: _FONTS / "DejaVuSans-Bold.ttf"}


def drawable(text: str) -> str:
    """Make text visible, and write what the font cannot draw as an escape."""
    return "".join(
        c if c.isascii() or _has_glyph(c) else c.encode("unicode_escape").decode("ascii")
        for c in visible(text)
    )


def extent(text: str, size: float, *, bold: bool = False) -> float:
    """Return the width of a line, but for kerning and ligatures, which are narrower."""
    return size * sum(_advance(character, bold) for character in drawable(text))


def cut(text: str, size: float, width: float) -> str:
    """Cut a name to a width, ending in an ellipsis."""
    text = drawable(text[:200])  # no name of which more would fit
    if extent(text, size) <= width:
        return text
    while text and extent(text + "…", size) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def _wrap(text: str, size: float, *, bold: bool = False) -> list[str]:
    """Break a sentence into lines of at most the width of a card."""
    lines = [""]
    for word in drawable(text).split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and extent(longer, size, bold=bold) > WIDTH - 2 * PAD:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


@cache
def _has_glyph(character: str) -> bool:
    return all(get_font(file).get_char_index(ord(character)) for file in _FILES.values())


@cache
def _advance(character: str, bold: bool) -> float:
    """Return how far a character moves the pen, in parts of the font size."""
    face = get_font(_FILES[bold])
    face.set_size(100, 72)
    glyph = face.load_char(ord(character), flags=LoadFlags.NO_HINTING)
    return float(glyph.linearHoriAdvance) / 65536 / 100


PAPER, INK, MUTED, LINE = "#ffffff", "#1f2328", "#59636e", "#d1d9e0"
"""The colours that a page may replace by its own."""

WIDTH, PAD = 720.0, 24.0
"""The width of every card, and the room that it leaves at its edges."""

_MADE_UP, _TAG = "Made-up people", 22  # what a tag says, and the height of its line
_DPI = 216  # three pixels for each point: sharp on slides
_HATCHES = {Source.UNRESOLVED: ("////", STRIPE), Source.INVALID: ("xxxx", CROSSES)}
_BROKEN, _DOTTED, _LINED = (r"\\\\", ON_DARK), ("..", DOT), ("---", LINES)

_Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Look:
    """A part of a chart, with the colour and edge of a source, and its name in a legend.

    Attributes:
        source: whose colour it has; None for your default picture, which is of no source.
        broken: whether it is striped, as what does not load.
        dotted: whether it is dotted, as what nobody has looked at.
    """

    source: Source | None
    name: str
    broken: bool = False
    dotted: bool = False

    @property
    def colour(self) -> str:
        """Its ground."""
        return DEFAULT if self.source is None else COLOURS[self.source]

    @property
    def hatch(self) -> tuple[str, str] | None:
        """The pattern of its stripes and their colour, or None."""
        if self.dotted:
            return _DOTTED
        if self.source is None:
            return _LINED
        return _HATCHES.get(self.source) or (_BROKEN if self.broken else None)


def look(source: Source, *, broken: bool = False) -> Look:
    """Return how the users of a source look, or those of them who see a broken image."""
    return Look(source, "a broken image" if broken else str(source), broken)


class Card:
    """A card with a heading and a legend; draws in points from its upper left corner.

    `height` is the room below heading and legend, which begins at `top`. `made_up`: it says that
    the people are made up.
    """

    def __init__(
        self,
        title: str,
        subtitle: str,
        height: float,
        legend: Sequence[Look] = (),
        *,
        made_up: bool = False,
    ) -> None:
        self._title, self._said = title, [_MADE_UP] * made_up + [title, subtitle]
        titles, subtitles = _wrap(title, TITLE, bold=True), _wrap(subtitle, TEXT)
        begin = PAD + (_TAG if made_up else 0)
        self.top = begin + 21 * len(titles) + 16 * len(subtitles) + 12
        widths = [19 + extent(key.name, 9) + 9 for key in legend]
        keys = list(zip(legend, in_lines(widths, self.top + 6, 17), strict=True))
        if keys:
            self.top = keys[-1][1][1] + 20
        tall = self.top + height + PAD - 4
        self.figure = Figure(figsize=(WIDTH / 72, tall / 72), dpi=72, facecolor=PAPER)
        self._axes = self.figure.add_axes((0, 0, 1, 1))
        self._axes.set_axis_off()
        self._axes.set_xlim(0, WIDTH)
        self._axes.set_ylim(tall, 0)
        for place, line in enumerate(titles):
            self.write(PAD, begin + 7 + 21 * place, line, size=TITLE, bold=True)
        for place, line in enumerate(subtitles):
            self.write(PAD, begin + 8 + 21 * len(titles) + 16 * place, line, colour=MUTED)
        if made_up:
            tag = _MADE_UP.upper()
            self.plain([(PAD, PAD - 9, extent(tag, SMALL, bold=True) + 14, 17)], TAG)
            self.write(PAD + 7, PAD - 0.5, tag, size=SMALL, bold=True, colour=ON_TAG)
        for key, (x, y) in keys:
            self.bar((x, y - 5, 14, 10), key)
            self.write(x + 19, y, key.name, size=9)

    def chart(self, *said: str) -> "Chart":
        """Return the chart; in its words, `said` follows title and subtitle as sentences."""
        words = visible(". ".join(part for part in (*self._said, *said) if part) + ".")
        return Chart(self.figure, self._title, words)

    def write(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = TEXT,
        bold: bool = False,
        align: Literal["left", "center", "right"] = "left",
        colour: str = INK,
    ) -> None:
        """Write one line, centred on y. A dollar sign is a dollar sign."""
        self._axes.text(
            x,
            y,
            drawable(text),
            fontproperties=FontProperties(fname=_FILES[bold], size=size),
            ha=align,
            va="center_baseline",
            color=colour,
            parse_math=False,
            usetex=False,
        )

    def bar(self, box: _Box, look: Look, *, rounded: bool = False) -> None:
        """Draw a rectangle (x, y, width, height) in the colour, stripes and edge of its look."""
        x, y, width, height = box
        corner = f"round,pad=0,rounding_size={min(3.0, width / 2)}"
        patch = FancyBboxPatch((x, y), width, height, boxstyle=corner)
        self._add(patch if rounded else Rectangle((x, y), width, height), look)

    def area(self, boxes: Sequence[_Box], look: Look) -> None:
        """Draw many rectangles (x, y, width, height) of one look as one shape."""
        self._add(_shape(boxes), look, edged=False)

    def plain(self, boxes: Sequence[_Box], colour: str) -> None:
        """Draw rectangles (x, y, width, height) that are of no source."""
        patch = _shape(boxes)
        patch.set(facecolor=colour, linewidth=0)
        self._axes.add_patch(patch)

    def label(self, box: _Box, look: Look, *texts: str) -> None:
        """Write the first of some texts for which there is room inside a bar."""
        x, y, width, height = box
        middle = y + height / 2
        for text in texts:
            half = extent(text, SMALL) / 2 + 4
            if 2 * half > width:
                continue
            colour = ON_DARK if look.source in DARK else ON_LIGHT
            if look.hatch:  # stripes behind a number would cross it out
                self.plain([(x + width / 2 - half, middle - 7, 2 * half, 14)], look.colour)
            self.write(x + width / 2, middle, text, size=SMALL, align="center", colour=colour)
            return

    def percents(self, left: float, base: float, tall: float, *, wide: float = 0) -> None:
        """Write 0, 50 and 100 % beside a base line and above it, with lines if these are wide."""
        for tick in (0, 50, 100):
            y = base - tall * tick / 100
            if wide:
                self.plain([(left, y, wide, 0.8)], LINE)
            self.write(left - 6, y, f"{tick} %", size=SMALL, align="right", colour=MUTED)

    def whisker(self, low: float, high: float, middle: float) -> None:
        """Draw the range from one x to another, with ends, on a ground that parts it from bars."""
        for colour, thick, cap in ((PAPER, 4.0, 6.5), (INK, 1.4, 5.0)):
            half = thick / 2
            self.plain(
                [
                    (low, middle - half, max(high - low, 1.0), thick),
                    (low - half, middle - cap, thick, 2 * cap),
                    (high - half, middle - cap, thick, 2 * cap),
                ],
                colour,
            )

    def band(self, upper: Sequence[tuple[float, float]], lower: Sequence[float]) -> None:
        """Fill what nobody knows between points (x, y) and the ys below them."""
        below = [(x, y) for (x, _), y in zip(upper, lower, strict=True)]
        self._add(Polygon([*upper, *reversed(below)]), look(Source.UNRESOLVED), edged=False)

    def line(self, points: Sequence[tuple[float, float]], source: Source) -> None:
        """Draw a line through points (x, y); a single one is a dot."""
        xs, ys = zip(*points, strict=True)
        dot = "o" if len(points) == 1 else None
        self._axes.add_line(
            Line2D(xs, ys, color=COLOURS[source], linewidth=2.4, marker=dot, markersize=6)
        )

    def _add(self, patch: Patch, look: Look, *, edged: bool = True) -> None:
        edge = EDGES.get(look.source, PAPER) if look.source else PAPER
        patch.set(facecolor=look.colour, edgecolor=edge)
        patch.set_linewidth(0.8 if edged else 0)
        if look.hatch:
            hatch, colour = look.hatch
            patch.set(hatch=hatch, hatchcolor=colour)
            patch.set_hatch_linewidth(1.4)
        self._axes.add_patch(patch)


def in_lines(widths: Sequence[float], y: float, step: float) -> Iterator[tuple[float, float]]:
    """Place things of some widths beside each other, as far as the card is wide: x and y."""
    x = PAD
    for width in widths:
        if x > PAD and x + width > WIDTH - PAD:
            x, y = PAD, y + step
        yield x, y
        x += width


def _shape(boxes: Sequence[_Box]) -> PathPatch:
    corners = [
        Outline([(x, y), (x + w, y), (x + w, y + h), (x, y + h), (x, y)], closed=True)
        for x, y, w, h in boxes
    ]
    return PathPatch(Outline.make_compound_path(*corners))


# Inline in a page, a chart takes the page's colours where the page names them.
_THEME = {PAPER: "--card", INK: "--ink", MUTED: "--muted", LINE: "--line"}

_lock = Lock()


@dataclass(frozen=True, slots=True, eq=False)
class Chart:
    """A figure and its words.

    Attributes:
        figure: the drawing; `figure.savefig` works.
        title: what the chart shows, as a sentence.
        alt: all that the chart says, for those who do not see it.
    """

    figure: Figure
    title: str
    alt: str

    def svg(self) -> str:
        """Return the drawing as an SVG document; the same chart gives the same text."""
        out = BytesIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        # The salt of identifiers can only be given through global settings: one at a time.
        with _lock, mpl.rc_context({"svg.hashsalt": "picture audit", "svg.fonttype": "path"}):
            self.figure.savefig(out, format="svg", metadata=nothing)
        return out.getvalue().decode("utf-8")

    def png(self) -> bytes:
        """Return the drawing as a PNG file, 2,160 pixels wide."""
        out = BytesIO()
        with _lock:
            self.figure.savefig(out, format="png", dpi=_DPI, metadata={"Software": None})
        return out.getvalue()

    def inline_svg(self, name: str) -> str:
        """Return the drawing as an `<svg>` element for a page, described for screen readers.

        It takes the page's colours where the page sets `--card`, `--ink`, `--muted` and `--line`.

        Args:
            name: what identifiers begin with; no other chart of the page may have it. A letter,
                then letters, digits or dashes.
        """
        svg = self.svg()
        svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
        svg = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{name}-", svg)
        for colour, variable in _THEME.items():
            svg = svg.replace(f": {colour}", f": var({variable}, {colour})")
        words = (
            f'<title id="{name}-title">{escape(self.title)}</title>'
            f'<desc id="{name}-alt">{escape(self.alt)}</desc>'
        )
        told = f'<svg role="img" aria-labelledby="{name}-title" aria-describedby="{name}-alt"'
        head, _, body = svg.partition(">")
        return head.replace("<svg", told, 1) + ">" + words + body

    def _repr_html_(self) -> str:
        """Show the card in a notebook, on white."""
        data = b64encode(self.svg().encode("utf-8")).decode("ascii")
        return (
            '<figure style="margin:0.5em 0"><img style="max-width:100%;border-radius:10px" '
            f'alt="{escape(self.alt)}" src="data:image/svg+xml;base64,{data}"></figure>'
        )
