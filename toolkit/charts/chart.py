"""A chart: a figure and its words, as SVG for a page and as HTML for a notebook."""

import re
from base64 import b64encode
from dataclasses import dataclass
from html import escape
from io import BytesIO
from threading import Lock

import matplotlib as mpl
from matplotlib.figure import Figure

from toolkit.charts.card import INK, LINE, MUTED, PAPER
from toolkit.wording import visible

# Inline in a page, a chart takes the page's colours where the page names them.
_THEME = {PAPER: "--card", INK: "--ink", MUTED: "--muted", LINE: "--line"}

_lock = Lock()


@dataclass(frozen=True, slots=True, eq=False)
class Chart:
    """A figure and its words.

    Attributes:
        figure: the drawing, which no pyplot knows of; `figure.savefig` works.
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

    def inline_svg(self, name: str) -> str:
        """Return the drawing as an `<svg>` element to stand in a page.

        It has a title and a description that screen readers read, identifiers that
        begin with `name`, and the page's colours where the page sets `--card`,
        `--ink`, `--muted` and `--line`.

        Args:
            name: a word that no other chart of the page has; a letter, then letters,
                digits or dashes.
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
        """Show the card in a notebook: its ground is white there, whatever the theme."""
        data = b64encode(self.svg().encode("utf-8")).decode("ascii")
        return (
            '<figure style="margin:0.5em 0"><img style="max-width:100%;border-radius:10px" '
            f'alt="{escape(self.alt)}" src="data:image/svg+xml;base64,{data}"></figure>'
        )


def sentences(*parts: str) -> str:
    """Join what a chart says; what would not be seen, or would move other text, is escaped."""
    return visible(". ".join(part for part in parts if part) + ".")
