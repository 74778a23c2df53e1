"""Coverage as pictures: matplotlib figures made without pyplot, each with its words.

Every chart is a card with its own ground, so that it reads the same on a light
page and on a dark one. The title states what the chart shows, the alternative
text says all of it, and unresolved pictures are striped as well as grey.
"""

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Literal

import matplotlib as mpl
import pandas as pd
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, get_font
from matplotlib.ft2font import LoadFlags
from matplotlib.patches import FancyBboxPatch, Patch, PathPatch, Rectangle
from matplotlib.path import Path as Outline

from toolkit.coverage import ACTIVITY, NONE, UNKNOWN, Coverage, percent, shorten, visible
from toolkit.errors import SettingsError
from toolkit.palette import COLOURS, STRIPE
from toolkit.picture import Source

_PAPER, _INK, _MUTED, _LINE = "#ffffff", "#1f2328", "#59636e", "#d1d9e0"
_ON_DARK, _ON_LIGHT = "#fefefe", "#101418"  # labels on colours, which no theme changes
_HATCHES = {Source.UNRESOLVED: (r"////", STRIPE), Source.INVALID: ("xxxx", "#59606B")}
_EDGES = {Source.PLACEHOLDER: "#8A7F00"}

# Inline in a page, a chart takes the page's colours where the page names them.
_THEME = {_PAPER: "--card", _INK: "--ink", _MUTED: "--muted", _LINE: "--line"}

# A point of the figure is a unit of its one pair of axes, y downwards: layout is
# arithmetic. The fonts are matplotlib's own files, so that every machine draws alike.
_WIDTH, _PAD = 720.0, 24.0
_FONTS = Path(mpl.get_data_path()) / "fonts" / "ttf"
_FILES = {"normal": _FONTS / "DejaVuSans.ttf", "bold": _FONTS / "DejaVuSans-Bold.ttf"}
_TITLE, _TEXT, _SMALL = 15.0, 10.0, 8.5

_Weight = Literal["normal", "bold"]
_Align = Literal["left", "center", "right"]

_SAYS = {
    Source.SOCIAL: "come from a social login",
    Source.ENTERPRISE: "come from an enterprise login",
    Source.GRAVATAR: "are Gravatars",
    Source.METADATA: "are set in user_metadata",
    Source.CUSTOM: "are custom",
    Source.UNRESOLVED: "are unresolved",
    Source.INITIALS: "are Auth0's initials",
    Source.PLACEHOLDER: "are stock images",
    Source.MISSING: "are missing",
    Source.INVALID: "are no usable URL",
}
_PLURALS = {"connection": "connections", "provider": "providers", "cohort": "months"}
_EACH = {
    "connection": "among the users of each connection",
    "provider": "among the users of each provider",
    "cohort": "by month of joining",
    "activity": "by the time since the last login",
}

_HARDLY = {
    "connection": "between connections",
    "provider": "between providers",
    "cohort": "between months of joining",
    "activity": "between active and inactive users",
}

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


def by_source(coverage: Coverage) -> Chart:
    """Draw the users of each source as bars, the largest first, whatever `coverage` is by."""
    total = coverage.users
    users = sorted(coverage.sources.items(), key=lambda pair: -pair[1])
    title = _sources_title(users, total)
    subtitle = f"{total:,} users by the source of their picture"
    row, left, right = 40.0, 268.0, _WIDTH - _PAD - 92
    sheet = _Sheet(title, subtitle, row * len(users))
    for place, (source, n) in enumerate(users):
        middle = sheet.top + row * (place + 0.5)
        sheet.write(_PAD, middle - 7, source, weight="bold")
        sheet.write(_PAD, middle + 7.5, source.meaning, size=7.5, colour=_MUTED)
        width = max((right - left) * n / users[0][1], 1.5)
        sheet.bar(left, middle - 11, width, 22, source, rounded=True)
        label = f"{n:,}"
        sheet.write(left + width + 8, middle, label, weight="bold")
        after = left + width + 14 + _extent(label, _TEXT, "bold")
        sheet.write(after, middle, percent(n / total, 1), colour=_MUTED)
    words = "; ".join(f"{source} {n:,} users, {percent(n / total, 1)}" for source, n in users)
    return Chart(sheet.figure, title, _sentences(title, subtitle, words))


def by_group(coverage: Coverage, top: int = 12) -> Chart:
    """Draw the share of each source within each group as bars of equal length.

    Args:
        coverage: by connection, provider, cohort or activity.
        top: how many groups, the largest ones, have a bar; the others share one more,
            which says how many they are.

    Raises:
        SettingsError: the coverage has no groups.
    """
    if coverage.by == "source":
        raise SettingsError("coverage by source has no groups to compare; count by connection")
    kept, others = _largest(coverage, top)
    title = _groups_title(coverage, kept)
    subtitle = f"Share of each source {_EACH[coverage.by]}"
    if others is not None:
        plural = _PLURALS.get(coverage.by, "groups")
        subtitle += f"; the {len(kept)} largest of {len(kept) + others[0]:,} {plural}"
    rows = [(_shown(coverage.by, name), row) for name, row in _records(kept)]
    if others is not None:
        rows.append((f"{others[0]:,} others", others[1]))
    row, left, width = 29.0, 252.0, _WIDTH - _PAD - 252
    sources = list(coverage.sources)
    sheet = _Sheet(title, subtitle, row * len(rows), legend=sources)
    for place, (name, counts) in enumerate(rows):
        middle, n = sheet.top + row * (place + 0.5), counts["users"]
        number = f"{n:,}"
        space = left - 20 - _PAD - _extent(number, _TEXT)
        folded = others is not None and place == len(kept)
        sheet.write(_PAD, middle, _cut(name, _TEXT, space), colour=_MUTED if folded else _INK)
        sheet.write(left - 10, middle, number, align="right", colour=_MUTED)
        start = left
        for source in sources:
            part = width * counts[source] / n
            if part:
                sheet.bar(start, middle - 10, part, 20, source)
                sheet.label(start, middle, part, source, percent(counts[source] / n))
            start += part
    lines = [
        f"{shorten(name, 60)}, {counts['users']:,} users: {_told(counts, sources)}"
        for name, counts in rows
    ]
    return Chart(sheet.figure, title, _sentences(title, subtitle, *lines))


def cohorts(coverage: Coverage) -> Chart:
    """Draw the share of each source among those who joined in the same month.

    More than fifteen years of months are drawn as years. Users whose date is not
    known are left out, and the subtitle says how many they are.

    Args:
        coverage: by cohort.

    Raises:
        SettingsError: the coverage is not by cohort.
    """
    if coverage.by != "cohort":
        raise SettingsError(f"coverage by {coverage.by} has no months; count by cohort")
    dated = coverage.counts[coverage.counts["group"] != UNKNOWN]
    months = Coverage("cohort", dated)
    unknown = coverage.users - months.users
    title = _cohorts_title(months)
    step, periods = _periods(months)
    subtitle = f"Share of each source by {step} of joining; below, how many joined"
    if unknown:
        subtitle += f". {unknown:,} without a date are left out"
    sources = list(months.sources)
    sheet = _Sheet(title, subtitle, 264 if len(periods) else 0, legend=sources)
    if len(periods):
        _draw_cohorts(sheet, periods, sources, step)
    years = periods.groupby([name[:4] for name in periods.index]).sum()
    lines = [
        f"{year}, {sum(row.values()):,} users: {_told(row, sources)}"
        for year, row in _records(years.rename_axis("group").reset_index())
        if any(row.values())
    ]
    return Chart(sheet.figure, title, _sentences(title, subtitle, *lines))


class _Sheet:
    """A white card with a heading and a legend; draws in points from its upper left corner.

    Attributes:
        figure: the figure.
        top: where the room below heading and legend begins.
    """

    def __init__(
        self, title: str, subtitle: str, height: float, legend: Sequence[Source] = ()
    ) -> None:
        titles, subtitles = _wrap(title, _TITLE, "bold"), _wrap(subtitle, _TEXT)
        self.top = _PAD + 21 * len(titles) + 16 * len(subtitles) + 12
        keys = list(_legend(legend, self.top + 6))
        if keys:
            self.top = keys[-1][2] + 20
        tall = self.top + height + _PAD - 4
        self.figure = Figure(figsize=(_WIDTH / 72, tall / 72), dpi=72, facecolor=_PAPER)
        self._axes = self.figure.add_axes((0, 0, 1, 1))
        self._axes.set_axis_off()
        self._axes.set_xlim(0, _WIDTH)
        self._axes.set_ylim(tall, 0)
        for place, line in enumerate(titles):
            self.write(_PAD, _PAD + 7 + 21 * place, line, size=_TITLE, weight="bold")
        for place, line in enumerate(subtitles):
            self.write(_PAD, _PAD + 8 + 21 * len(titles) + 16 * place, line, colour=_MUTED)
        for source, x, y in keys:
            self.bar(x, y - 5, 14, 10, source)
            self.write(x + 19, y, source, size=9)

    def write(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = _TEXT,
        weight: _Weight = "normal",
        align: _Align = "left",
        colour: str = _INK,
    ) -> None:
        """Write one line, centred on y. A dollar sign is a dollar sign."""
        self._axes.text(
            x,
            y,
            _drawable(text),
            fontproperties=_font(size, weight),
            ha=align,
            va="center_baseline",
            color=colour,
            parse_math=False,
            usetex=False,
        )

    def bar(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        source: Source,
        *,
        rounded: bool = False,
    ) -> None:
        """Draw a rectangle in the colour, stripes and edge of its source."""
        patch: Patch
        if rounded:
            corner = f"round,pad=0,rounding_size={min(3.0, width / 2)}"
            patch = FancyBboxPatch((x, y), width, height, boxstyle=corner)
        else:
            patch = Rectangle((x, y), width, height)
        self._add(patch, source)

    def area(self, boxes: Sequence[tuple[float, float, float, float]], source: Source) -> None:
        """Draw many rectangles (x, y, width, height) of one source as one shape."""
        self._add(_shape(boxes), source, edged=False)

    def plain(self, boxes: Sequence[tuple[float, float, float, float]], colour: str) -> None:
        """Draw rectangles (x, y, width, height) that are of no source."""
        patch = _shape(boxes)
        patch.set(facecolor=colour, linewidth=0)
        self._axes.add_patch(patch)

    def label(self, x: float, middle: float, width: float, source: Source, text: str) -> None:
        """Write inside a bar, if there is room for it."""
        if _extent(text, _SMALL) + 8 <= width:
            colour = _ON_DARK if _luminance(COLOURS[source]) < _HALFWAY else _ON_LIGHT
            if source in _HATCHES:  # stripes behind a number would cross it out
                half = _extent(text, _SMALL) / 2 + 4
                box = (x + width / 2 - half, middle - 7, 2 * half, 14)
                self.plain([box], COLOURS[source])
            self.write(x + width / 2, middle, text, size=_SMALL, align="center", colour=colour)

    def _add(self, patch: Patch, source: Source, *, edged: bool = True) -> None:
        patch.set(facecolor=COLOURS[source], edgecolor=_EDGES.get(source, _PAPER))
        patch.set_linewidth(0.8 if edged else 0)
        if source in _HATCHES:
            hatch, colour = _HATCHES[source]
            patch.set(hatch=hatch, hatchcolor=colour)
            patch.set_hatch_linewidth(1.4)
        self._axes.add_patch(patch)


def _draw_cohorts(
    sheet: _Sheet, periods: pd.DataFrame, sources: Sequence[Source], step: str
) -> None:
    left, wide, high, low = _PAD + 38, _WIDTH - 2 * _PAD - 38, 190.0, 36.0
    top, joined = sheet.top + 4, periods.sum(axis="columns")
    bottom, each, most = top + high, wide / len(periods), int(joined.max())
    gap = 1.0 if each > 6 else 0.0  # noqa: PLR2004 - points; narrower bars would be half gap
    done = joined * 0.0
    for source in sources:
        share = (periods[source] / joined.where(joined > 0)).fillna(0.0)
        sheet.area(
            [
                (left + each * i, bottom - high * (below + part), each - gap, high * part)
                for i, (below, part) in enumerate(zip(done, share, strict=True))
                if part
            ],
            source,
        )
        done += share
    for tick in (0, 50, 100):
        y = bottom - high * tick / 100
        sheet.write(left - 6, y, f"{tick} %", size=_SMALL, align="right", colour=_MUTED)
    base = bottom + 14 + low
    heights = [low * n / most for n in joined]
    sheet.plain(
        [(left + each * i, base - h, each - gap, h) for i, h in enumerate(heights) if h], _MUTED
    )
    sheet.plain([(left, base, wide, 1)], _LINE)
    sheet.write(left - 6, base - low, f"{most:,}", size=_SMALL, align="right", colour=_MUTED)
    free = 0.0
    for i, name in enumerate(periods.index):
        # Januaries carry their year; where that leaves too few, every month that fits.
        if step == "month" and len(periods) > _MONTHS_NAMED and not name.endswith("-01"):
            continue
        text = name[:4] if len(periods) > _MONTHS_NAMED else name
        x = left + each * (i + 0.5)
        half = _extent(text, _SMALL) / 2
        if x - half > free and x + half < _WIDTH - 4:
            sheet.plain([(x - 0.5, base + 1, 1, 4)], _LINE)
            sheet.write(x, base + 14, text, size=_SMALL, align="center", colour=_MUTED)
            free = x + half + 10


_MONTHS_NAMED = 18
_MONTHS_DRAWN = 180
_HALFWAY = 0.2  # relative luminance; under it white is the better ink, with room to spare


def _periods(months: Coverage) -> tuple[str, pd.DataFrame]:
    """Return "month" or "year", and users by period (gaps filled with 0) and source."""
    table = months.table().set_index("group").drop(columns=["users", "share"])
    if table.empty:
        return "month", table
    first, last = (_number(name) for name in (table.index[0], table.index[-1]))
    if last - first < _MONTHS_DRAWN:
        names = [f"{n // 12:04d}-{n % 12 + 1:02d}" for n in range(first, last + 1)]
        return "month", table.reindex(names, fill_value=0)
    table = table.groupby([name[:4] for name in table.index]).sum()
    names = [f"{year:04d}" for year in range(first // 12, last // 12 + 1)]
    return "year", table.reindex(names, fill_value=0)


def _number(month: str) -> int:
    return int(month[:4]) * 12 + int(month[5:]) - 1


def _largest(
    coverage: Coverage, top: int
) -> tuple[pd.DataFrame, tuple[int, dict[str, int]] | None]:
    """Return the rows of the largest groups in the table's order, and the sum of the others."""
    table = coverage.table().drop(columns="share")
    if len(table) <= top + 1:  # the row that one other would share is its own
        return table, None
    largest = table["users"].nlargest(top).index
    rest = table.drop(index=largest)
    sums = {str(k): int(v) for k, v in rest.drop(columns="group").sum().items()}
    return table.loc[sorted(largest)], (len(rest), sums)


def _sources_title(users: Sequence[tuple[Source, int]], total: int) -> str:
    if not users:
        return "There are no users"
    if len(users) == 1:
        return f"All pictures {_SAYS[users[0][0]]}"
    (first, n), (second, m) = users[:2]
    return f"{percent(n / total)} of pictures {_SAYS[first]}; {percent(m / total)} {_SAYS[second]}"


def _groups_title(coverage: Coverage, kept: pd.DataFrame) -> str:
    """State what the groups differ by most: the source and the group that go together."""
    if kept.empty:
        return "There are no users"
    total, sources = coverage.users, coverage.sources
    # How many users a group has of a source beyond its part of everybody.
    beyond = {
        (source, place): counts[source] - counts["users"] * n / total
        for source, n in sources.items()
        for place, counts in enumerate(kept.to_dict("records"))
    }
    (source, place), most = max(beyond.items(), key=lambda pair: pair[1])
    if most < total / 100:
        return f"The sources hardly differ {_HARDLY[coverage.by]}"
    counts = kept.iloc[place]
    n, group = int(counts[source]), str(counts["group"])
    whole, part = n / int(counts["users"]), n / sources[source]
    if part >= whole:
        noun = f"{source} pictures" if source is not Source.MISSING else "users without a picture"
        return f"{percent(part)} of {noun} {_where(coverage.by, group)}"
    return f"{percent(whole)} of pictures of {_whose(coverage.by, group)} {_SAYS[source]}"


def _where(by: str, group: str) -> str:
    name = _brief(group)
    if by == "activity":
        words = ACTIVITY[group]
        return f"are of people who {words}" if group == "never" else f"are of people {words}"
    if by == "cohort":
        return f"are of people who joined in {name}"
    if group == NONE:
        return f"have no {by}"
    return f"are on {name}" if by == "connection" else f"are of the provider {name}"


def _whose(by: str, group: str) -> str:
    name = _brief(group)
    if by == "activity":
        words = ACTIVITY[group]
        return f"people who {words}" if group == "never" else f"people {words}"
    if by == "cohort":
        return f"people who joined in {name}"
    if group == NONE:
        return f"users without a {by}"
    return f"{name} users" if by == "connection" else f"the provider {name}"


def _cohorts_title(months: Coverage) -> str:
    """State which source changed most between the first year and the last."""
    table = months.table()
    if table.empty:
        return "No user has a date of joining"
    numbers = table["group"].map(_number)
    first, last = int(numbers.min()), int(numbers.max())
    span = min(12, (last - first + 1) // 2)
    if span == 0:
        return f"All users joined in {table['group'].iloc[0]}"
    early, late = table[numbers < first + span], table[numbers > last - span]
    joined, joining = int(early["users"].sum()), int(late["users"].sum())
    changes = [
        (int(early[source].sum()) / joined, int(late[source].sum()) / joining, source)
        for source in months.sources
    ]
    old, new, source = max(changes, key=lambda change: abs(change[1] - change[0]))
    begin, end = early["group"].iloc[0], late["group"].iloc[-1]
    if abs(new - old) < 0.03:  # noqa: PLR2004 - points of share that a reader would not see
        return f"The sources have hardly changed between {begin} and {end}"
    verb = "rose" if new > old else "fell"
    size = "12 months" if span == 12 else f"{span} months" if span > 1 else "month"  # noqa: PLR2004 - a year
    share = f"{percent(old)} in the first {size} to {percent(new)} in the last"
    return f"{source.capitalize()} pictures {verb} from {share}"


def _records(table: pd.DataFrame) -> Iterator[tuple[str, dict[str, int]]]:
    """Yield each row of counts with the name of its group."""
    counts = table.drop(columns="group").to_dict("records")
    for name, row in zip(table["group"], counts, strict=True):
        yield str(name), {str(column): int(n) for column, n in row.items()}


def _told(counts: Mapping[str, int], sources: Sequence[Source]) -> str:
    """Say the sources of one group in words, the largest first."""
    total = sum(counts[source] for source in sources)
    largest = sorted((s for s in sources if counts[s]), key=lambda s: -counts[s])
    return ", ".join(f"{s} {percent(counts[s] / total)}" for s in largest)


def _shown(by: str, group: str) -> str:
    return ACTIVITY.get(group, group) if by == "activity" else group


def _brief(group: str) -> str:
    return _cut(group, _TITLE, 300)


def _sentences(*parts: str) -> str:
    return visible(". ".join(part for part in parts if part) + ".")


def _legend(sources: Sequence[Source], y: float) -> Iterator[tuple[Source, float, float]]:
    """Place the keys of a legend in lines: source, x, y."""
    x = _PAD
    for source in sources:
        width = 19 + _extent(source, 9) + 9
        if x > _PAD and x + width > _WIDTH - _PAD:
            x, y = _PAD, y + 17
        yield source, x, y
        x += width


def _shape(boxes: Sequence[tuple[float, float, float, float]]) -> PathPatch:
    corners = [
        Outline([(x, y), (x + w, y), (x + w, y + h), (x, y + h), (x, y)], closed=True)
        for x, y, w, h in boxes
    ]
    return PathPatch(Outline.make_compound_path(*corners))


@cache
def _font(size: float, weight: _Weight = "normal") -> FontProperties:
    return FontProperties(fname=_FILES[weight], size=size)


@cache
def _has_glyph(character: str) -> bool:
    return all(get_font(file).get_char_index(ord(character)) for file in _FILES.values())


def _drawable(text: str) -> str:
    """Make text visible, and write what the font cannot draw as an escape."""
    return "".join(
        c if c.isascii() or _has_glyph(c) else c.encode("unicode_escape").decode("ascii")
        for c in visible(text)
    )


@cache
def _advance(character: str, weight: _Weight) -> float:
    """Return how far a character moves the pen, in parts of the font size."""
    font = get_font(_FILES[weight])
    font.set_size(100, 72)
    glyph = font.load_char(ord(character), flags=LoadFlags.NO_HINTING)
    return float(glyph.linearHoriAdvance) / 65536 / 100


def _extent(text: str, size: float, weight: _Weight = "normal") -> float:
    """Return the width of a line in points, but for kerning and ligatures, which are narrower."""
    return size * sum(_advance(character, weight) for character in _drawable(text))


def _cut(text: str, size: float, width: float) -> str:
    """Cut a name to a width in points, ending in an ellipsis."""
    text = _drawable(text[:200])  # no name of which more would fit
    if _extent(text, size) <= width:
        return text
    while text and _extent(text + "…", size) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def _wrap(text: str, size: float, weight: _Weight = "normal") -> list[str]:
    """Break a sentence into lines that fit the sheet."""
    lines = [""]
    for word in _drawable(text).split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and _extent(longer, size, weight) > _WIDTH - 2 * _PAD:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _luminance(colour: str) -> float:
    """Return the relative luminance of a colour (0 to 1), as WCAG 2 defines it."""
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4  # noqa: PLR2004 - sRGB
        for c in to_rgb(colour)
    ]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
