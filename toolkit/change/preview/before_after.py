"""A preview as HTML: two bars, and a table of the kinds of users with their pictures.

All of it is escaped, and pictures are data: the browser asks nobody. Colours that a page names
(`--pa-line`) are taken from there.
"""

from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from typing import Final

from toolkit.change.preview.portrait import Portrait, Sight, View
from toolkit.classification.sources import Source
from toolkit.formatting import percent, visible
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

_REASONS = 3  # told in a table's row; the others are behind their number
_NAMED, _NUMBERED = 0.2, 0.06  # shares of a bar in which its name, its number has room


def bars(before: Mapping[Sight, int], after: Mapping[Sight, int]) -> str:
    """Draw what people see before and after as two bars, in HTML.

    Args:
        before: users by what people see now.
        after: users by what they would see.
    """
    rows = "".join(_bar(name, sights) for name, sights in (("before", before), ("after", after)))
    present = {**before, **after}
    keys = "".join(
        f'<span style="margin-right:14px;white-space:nowrap"><span style="display:inline-block;'
        f'width:11px;height:11px;border-radius:3px;margin-right:5px;{_fill(one)[0]}"></span>'
        f"{escape(one.words)}</span>"
        for one in Sight
        if one in present
    )
    return f'<div>{rows}<div style="font-size:12px;padding:4px 0 6px 56px">{keys}</div></div>'


def _bar(name: str, sights: Mapping[Sight, int]) -> str:
    total = max(sum(sights.values()), 1)
    parts = []
    for one, users in sights.items():
        fill, ink = _fill(one)
        text = f"{one.words.partition(':')[0]} {percent(users / total)}"
        share = users / total
        label = text if share > _NAMED else percent(share) if share > _NUMBERED else ""
        title = f"{one.words}: {users:,} people, {percent(users / total, 1)}"
        ground = f"background:{_COLOURS[one]};border-radius:4px;padding:0 5px;" if label else ""
        parts.append(
            f'<span title="{escape(title, quote=True)}" style="flex:{users} 1 0;min-width:3px;'
            f"overflow:hidden;white-space:nowrap;text-align:center;color:{ink};{fill}"
            f'border-right:1px solid #fff"><span style="{ground}">{escape(label)}</span></span>'
        )
    said = "; ".join(f"{one.words} {percent(n / total, 1)}" for one, n in sights.items())
    return (
        '<div style="display:flex;align-items:center;margin:3px 0"><span style="width:56px;'
        f'font-size:12px">{name}</span><div role="img" aria-label="{name}: '
        f'{escape(said, quote=True)}" style="display:flex;flex:1;height:32px;line-height:32px;'
        'border-radius:7px;overflow:hidden;font-weight:700;font-size:12.5px">'
        f"{''.join(parts)}</div></div>"
    )


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


def _fill(sight: Sight) -> tuple[str, str]:
    """Return the CSS of a part of a bar, and the colour of letters on it."""
    ink = ON_LIGHT if sight in _PALE else ON_DARK
    ground = _COLOURS[sight]
    if sight not in _STRIPES:
        return f"background:{ground};", ink
    stripes = f"repeating-linear-gradient(45deg,{ground} 0 6px,{_STRIPES[sight]} 6px 10px)"
    return f"background:{stripes};", ink


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
    cell = "padding:7px 10px;border-bottom:1px solid var(--pa-line,#d1d9e0);text-align:left;"
    large = size > SIZES[0]
    names = ("kind of user", "users", "before", "after") + (() if large else ("why",))
    head = "".join(
        f'<th scope="col" style="{cell}text-align:{"right" if name == "users" else "left"}">'
        f"{name}</th>"
        for name in names
    )
    rows, page = [], f"background:{ground}" if ground else ""
    for kind in kinds:
        examples = kind.examples[: 1 if large else None]
        before, after = (
            "".join(_picture(portraits[view], size, who) for view, who in pairs)
            for pairs in (
                [(one.before, one.who) for one in examples],
                [(one.after, one.who) for one in examples],
            )
        )
        why = "".join(_sentences(kind))
        rows.append(
            f'<tr><th scope="row" style="{cell}font-weight:400;min-width:100px">'
            f"{escape(kind.name)}{_below(why) if large else ''}</th>"
            f'<td style="{cell}text-align:right">{kind.users:,}</td>'
            f'<td style="{cell}white-space:nowrap;{page}">{before}</td>'
            f'<td style="{cell}white-space:nowrap;{page}">{after}</td>'
            f"{'' if large else _beside(why, cell)}</tr>"
        )
    return (
        '<table style="border-collapse:collapse;width:100%;font-size:13px"><thead><tr>'
        f"{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _below(why: str) -> str:
    return f'<div style="opacity:.8;font-size:12px;margin-top:6px">{why}</div>'


def _beside(why: str, cell: str) -> str:
    return f'<td style="{cell}white-space:normal;min-width:170px">{why}</td>'


def _sentences(kind: Kind) -> Iterator[str]:
    most, rest = kind.why[:_REASONS], kind.why[_REASONS:]
    for text, users in most:
        count = f"{users:,} " if len(kind.why) > 1 else ""
        yield f"<div>{count}{escape(visible(text))}</div>"
    if rest:
        others = escape(visible("; ".join(f"{n:,} {text}" for text, n in rest)), quote=True)
        left = sum(users for _, users in rest)
        yield f'<div title="{others}">{left:,} for other reasons</div>'


def _picture(portrait: Portrait, size: int, who: str) -> str:
    words = escape(f"{portrait.words} · {who}", quote=True)
    return (
        f'<img alt="{words}" title="{words}" width="{size}" height="{size}" '
        f'style="width:{size}px;height:auto;max-width:36vw;aspect-ratio:1;border-radius:50%;'
        f'margin:0 4px 0 0;display:inline-block" '
        f'src="data:image/png;base64,{_encoded(portrait.png, size)}">'
    )


@lru_cache(maxsize=512)
def _encoded(png: bytes, size: int) -> str:
    # Twice as many pixels: sharp on screens that have them.
    small = thumbnail(png, min(size * 2, SIZES[-1]))
    return b64encode(small if isinstance(small, bytes) else png).decode("ascii")
