"""A preview as HTML: two bars, and a table of the kinds of users with their pictures.

All of it is escaped, and pictures are data: the browser asks nobody. Colours that a page names
(`--pa-line`) are taken from there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from toolkit.change.preview.portrait import Portrait, Sight, View
from toolkit.classification.sources import Source
from toolkit.formatting import percent, render
from toolkit.images.decode import thumbnail
from toolkit.reporting.palette import COLOURS, ON_DARK, ON_LIGHT, STRIPE


@dataclass(frozen=True, slots=True)
class Example:
    """One real user.

    Attributes:
        who: the user_id without its middle.
        before: what people see now.
        after: what they would see.
    """

    who: str
    before: View
    after: View


@dataclass(frozen=True, slots=True)
class Kind:
    """The users who are alike in what their picture is.

    Attributes:
        name: in words.
        users: how many.
        changes: how many of them change.
        why: what becomes of them and why, each with its users; the most common first.
        examples: one to three of them.
    """

    name: str
    users: int
    changes: int
    why: tuple[tuple[str, int], ...]
    examples: tuple[Example, ...]


SIZES: Final = (64, 32, 480)
"""Pixels at which apps commonly show pictures; 480 is what Auth0's addresses ask for."""

DEFAULT_COLOUR: Final = "#6A4C93"
"""The colour of the new default: that of no source."""

_NAMED, _NUMBERED = 0.2, 0.06  # shares of a bar in which its name, its number has room


def bars(before: Mapping[Sight, int], after: Mapping[Sight, int]) -> str:
    """Draw what people see before and after as two bars, in HTML.

    Args:
        before: users by what people see now.
        after: users by what they would see.
    """
    present = {**before, **after}
    return render(
        "change/preview/bars.html.j2",
        bars=[_bar("before", before), _bar("after", after)],
        keys=[{"words": one.words, "fill": _fill(one)} for one in Sight if one in present],
    )


def _bar(name: str, sights: Mapping[Sight, int]) -> dict[str, Any]:
    total = max(sum(sights.values()), 1)
    parts = []
    for one, users in sights.items():
        share = users / total
        text = f"{one.words.partition(':')[0]} {percent(share)}"
        parts.append(
            {
                "users": users,
                "title": f"{one.words}: {users:,} people, {percent(share, 1)}",
                "label": text if share > _NAMED else percent(share) if share > _NUMBERED else "",
                "ink": ON_LIGHT if one in _PALE else ON_DARK,
                "fill": _fill(one),
                "ground": _COLOURS[one],
            }
        )
    said = "; ".join(f"{one.words} {percent(n / total, 1)}" for one, n in sights.items())
    return {"name": name, "parts": parts, "said": said}


_COLOURS = {
    Sight.OWN: COLOURS[Source.SOCIAL],
    Sight.EITHER: DEFAULT_COLOUR,
    Sight.DEFAULT: DEFAULT_COLOUR,
    Sight.UNKNOWN: COLOURS[Source.UNRESOLVED],
    Sight.INITIALS: COLOURS[Source.INITIALS],
    Sight.PLACEHOLDER: COLOURS[Source.PLACEHOLDER],
    Sight.BROKEN: COLOURS[Source.CUSTOM],
    Sight.NONE: COLOURS[Source.MISSING],
}
_STRIPES = {
    Sight.EITHER: COLOURS[Source.GRAVATAR],
    Sight.UNKNOWN: STRIPE,
    Sight.BROKEN: "#F2B78F",
}
_PALE = frozenset({Sight.UNKNOWN, Sight.INITIALS, Sight.PLACEHOLDER, Sight.BROKEN})


def _fill(sight: Sight) -> str:
    """Return the background of a part of a bar, as CSS has it."""
    ground = _COLOURS[sight]
    if sight not in _STRIPES:
        return ground
    return f"repeating-linear-gradient(45deg,{ground} 0 6px,{_STRIPES[sight]} 6px 10px)"


def table(
    kinds: Iterable[Kind],
    portraits: Mapping[View, Portrait],
    *,
    size: int = 64,
    ground: str = "",
) -> str:
    """Write the kinds of users as an HTML table with their pictures.

    Args:
        kinds: the kinds, with examples.
        portraits: a picture of each of their views.
        size: pixels of each side; above 64 one example of each kind is shown, and the reason
            below the kind.
        ground: the colour of the page on which pictures stand; "" for the page's own.
    """
    return render(
        "change/preview/kinds.html.j2",
        kinds=list(kinds),
        portraits=portraits,
        small=_small,
        size=size,
        large=size > SIZES[0],
        ground=ground,
    )


@lru_cache(maxsize=512)
def _small(png: bytes, size: int) -> bytes:
    # Twice as many pixels: sharp on screens that have them.
    small = thumbnail(png, min(size * 2, SIZES[-1]))
    return small if isinstance(small, bytes) else png
