"""Text in a drawing: how wide it is, where it breaks, what the font cannot draw.

The fonts are matplotlib's own files, so that every machine draws alike. Lengths are
points.
"""

from functools import cache
from pathlib import Path
from typing import Literal

import matplotlib as mpl
from matplotlib.font_manager import FontProperties, get_font
from matplotlib.ft2font import LoadFlags

from toolkit.wording import visible

Weight = Literal["normal", "bold"]
"""How heavy letters are."""

TITLE, TEXT, SMALL = 15.0, 10.0, 8.5
"""Sizes of letters."""

_FONTS = Path(mpl.get_data_path()) / "fonts" / "ttf"
_FILES: dict[Weight, Path] = {
    "normal": _FONTS / "DejaVuSans.ttf",
    "bold": _FONTS / "DejaVuSans-Bold.ttf",
}


@cache
def font(size: float, weight: Weight = "normal") -> FontProperties:
    """Return the font of a size and weight."""
    return FontProperties(fname=_FILES[weight], size=size)


def drawable(text: str) -> str:
    """Make text visible, and write what the font cannot draw as an escape."""
    return "".join(
        c if c.isascii() or _has_glyph(c) else c.encode("unicode_escape").decode("ascii")
        for c in visible(text)
    )


def extent(text: str, size: float, weight: Weight = "normal") -> float:
    """Return the width of a line, but for kerning and ligatures, which are narrower."""
    return size * sum(_advance(character, weight) for character in drawable(text))


def cut(text: str, size: float, width: float) -> str:
    """Cut a name to a width, ending in an ellipsis."""
    text = drawable(text[:200])  # no name of which more would fit
    if extent(text, size) <= width:
        return text
    while text and extent(text + "…", size) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def wrap(text: str, size: float, width: float, weight: Weight = "normal") -> list[str]:
    """Break a sentence into lines of at most a width."""
    lines = [""]
    for word in drawable(text).split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and extent(longer, size, weight) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


@cache
def _has_glyph(character: str) -> bool:
    return all(get_font(file).get_char_index(ord(character)) for file in _FILES.values())


@cache
def _advance(character: str, weight: Weight) -> float:
    """Return how far a character moves the pen, in parts of the font size."""
    face = get_font(_FILES[weight])
    face.set_size(100, 72)
    glyph = face.load_char(ord(character), flags=LoadFlags.NO_HINTING)
    return float(glyph.linearHoriAdvance) / 65536 / 100
