"""Comparisons as pictures: who moved from which source to which, and coverage over time."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate

from matplotlib.colors import to_rgba
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from matplotlib.transforms import Bbox

from toolkit.analysis.headline_words import between
from toolkit.classification.sources import Source
from toolkit.formatting import plural
from toolkit.reporting.charts.chart import (
    LINE,
    MUTED,
    PAD,
    PAPER,
    SMALL,
    WIDTH,
    Card,
    Chart,
    extent,
    look,
)
from toolkit.reporting.charts.month_charts import change
from toolkit.reporting.charts.source_charts import SAYS
from toolkit.reporting.palette import COLOURS
from toolkit.snapshots.comparison import Comparison, Move
from toolkit.snapshots.history import Moment, Series

FOLDED = 0.02
"""Moves of a smaller share of all who moved, came or went are drawn as stubs, and summed up."""

_HEIGHT = 330.0  # points for the people of both sides, when nothing is narrowed
_ROW, _GAP = 30.0, 8.0  # points; the least room for the words of a row, and between rows
_NODE = 11.0  # points; how wide the bar of a source is
_STUB = 26.0  # points; how far a move that is not drawn reaches
_NARROWED = (1, 2, 5, 10, 20)  # times
_PART = 0.3  # of the height; what those who moved, came or went have at least
_STAYED, _MOVED = 0.24, 0.8  # opacity
_LEAST = 2.0  # points; a thinner band would be hard to follow
_SEEABLE = 0.03  # points of share; less than that a reader would not see

_HEAD = 24.0  # points; room for the dates of the two sides
_PILL = 13.0  # points; how high a number on a band is
_PLACES = (0.3, 0.7, 0.4, 0.6, 0.5, 0.2, 0.8)  # of the way; where a number may stand

_End = Source | None
# The top and the height of each bar of one side, downwards.
_Bars = Mapping[_End, tuple[float, float]]


class _Stream(Card):
    """A card on which people flow from left to right."""

    left, right = PAD + 92.0, WIDTH - PAD - 116.0

    def ribbon(self, start: float, end: float, thick: float, source: _End, opacity: float) -> None:
        """Draw a move from a y on the left to a y on the right; None is of no source."""
        middle = (self.left + _NODE + self.right - _NODE) / 2
        x0, x1 = self.left + _NODE, self.right - _NODE
        upper = [(x0, start), (middle, start), (middle, end), (x1, end)]
        lower = [(x, y + thick) for x, y in reversed(upper)]
        curve = [Outline.CURVE4] * 3
        codes = [Outline.MOVETO, *curve, Outline.LINETO, *curve, Outline.CLOSEPOLY]
        patch = PathPatch(Outline([*upper, *lower, upper[0]], codes))
        colour = MUTED if source is None else COLOURS[source]
        patch.set(facecolor=to_rgba(colour, opacity), edgecolor=PAPER, linewidth=0.5)
        if source and (hatch := look(source).hatch):
            patch.set(hatch=hatch[0], hatchcolor=to_rgba(hatch[1], min(2 * opacity, 1)))
            patch.set_hatch_linewidth(1.4)
        self._axes.add_patch(patch)

    def stub(self, y: float, thick: float, *, leaving: bool) -> None:
        """Draw the beginning or the end of moves that are too few to be followed."""
        x, reach = (self.left + _NODE, _STUB) if leaving else (self.right - _NODE, -_STUB)
        tip = (x + reach, y + thick / 2)
        patch = PathPatch(Outline([(x, y), tip, (x, y + thick), (x, y)], closed=True))
        patch.set(facecolor=to_rgba(MUTED, _MOVED), linewidth=0)
        self._axes.add_patch(patch)

    def node(self, x: float, y: float, thick: float, source: _End, *, width: float = _NODE) -> None:
        """Draw the bar of a source, or of those who came or went."""
        box = (x, y, width, max(thick, 1.0))
        if source is None:
            self.plain([box], MUTED)
        else:
            self.bar(box, look(source))

    def number(self, start: float, end: float, text: str, source: _End, taken: list[Bbox]) -> None:
        """Write how many moved onto their ribbon, beside its colour, where nothing is written."""
        width, wide = extent(text, SMALL, bold=True) + 16, self.right - self.left - 2 * _NODE
        for t in _PLACES:
            x = self.left + _NODE + wide * (1.5 * t * (1 - t) + t**3)
            y = start + (end - start) * (3 - 2 * t) * t**2
            box = Bbox.from_bounds(x - width / 2, y - _PILL / 2, width, _PILL)
            if not box.count_overlaps(taken):
                taken.append(box.padded(2))
                self.plain([box.bounds], PAPER)
                self.node(box.x0 + 3, y - 4, 8.0, source, width=5.0)
                self.write(box.x0 + 12, y, text, size=SMALL, bold=True)
                return


def flows(comparison: Comparison) -> Chart:
    """Return a chart of who moved from which source to which, who came and who went.

    Each source is a bar on either side, as high as it has users; the bands between them are
    people. Those who stayed are faint; where they would leave hardly any room to the others they
    are drawn narrower, which the subtitle says. Moves of fewer than `FOLDED` of all who moved, came
    or went are grey stubs, summed up below.

    Args:
        comparison: of two snapshots of a tenant.
    """
    changes, total = comparison.changes, sum(one.users for one in comparison.changes)
    kept = comparison.matched - comparison.moved
    enough = (n for n in _NARROWED if total >= _PART * (total + kept / n))
    narrow = next(enough, _NARROWED[-1]) if total else 1
    title, subtitle = _title(comparison), _subtitle(comparison, narrow)
    drawn = {
        one: one.users / (narrow if one.before is one.after else 1) for one in comparison.moves
    }
    before, after = defaultdict[_End, float](float), defaultdict[_End, float](float)
    for one, n in drawn.items():
        before[one.before] += n
        after[one.after] += n
    ends = [end for end in (*Source, None) if end in before or end in after]
    most = [max(before[end], after[end]) for end in ends]
    scale = _HEIGHT / max(sum(most), 1)
    rows = [max(_ROW, n * scale) + _GAP for n in most]
    folded = {one for one in changes if one.users < FOLDED * total}
    tall = _HEAD + sum(rows) if drawn else 0
    made_up = comparison.new.made_up
    card = _Stream(title, subtitle, tall + (20 if folded else 0), made_up=made_up)
    if drawn:
        heights = accumulate(rows[:-1], initial=card.top + _HEAD)
        middles = [top + (row - _GAP) / 2 for top, row in zip(heights, rows, strict=True)]
        places = list(zip(ends, middles, strict=True))
        bars = [
            {end: (y - users[end] * scale / 2, users[end] * scale) for end, y in places}
            for users in (before, after)
        ]
        _draw(card, {one: n * scale for one, n in drawn.items()}, bars, folded)
        _label(card, comparison, bars)
    if folded:
        card.write(PAD, card.top + tall + 8, _folded(folded), size=SMALL, colour=MUTED)
    return card.chart(*_told(comparison))


def over_time(series: Series) -> Chart:
    """Return a chart of the share that sees a picture of their own, by snapshot.

    The line, with a dot for each snapshot, is of those who are known to; the striped band above it
    is of those who perhaps do, or of whom nobody knows.

    Args:
        series: of any number of snapshots.
    """
    moments = series.moments
    subtitle = "Share of people who see a picture of their own"
    if any(one.own_high > one.own_low for one in moments):
        subtitle += "; striped: nobody knows, or nobody has looked"
    if partial := sum(not one.complete for one in moments):
        subtitle += f". {partial:,} of {len(moments):,} snapshots are not complete"
    title = _time_title(moments)
    made_up = any(one.made_up for one in moments)
    card = Card(title, subtitle, 232 if moments else 0, made_up=made_up)
    if moments:
        _draw_time(card, moments)
    words = [
        f"{one.taken_at:%Y-%m-%d}, {one.users:,} users: {between(one.own_low, one.own_high, 1)}"
        for one in moments
    ]
    return card.chart("; ".join(words))


def _draw(
    card: _Stream, thick: Mapping[Move, float], bars: Sequence[_Bars], folded: set[Move]
) -> None:
    """Draw the bands, given how thick they are and the bars of both sides."""
    order = {end: place for place, end in enumerate(bars[0])}
    # Bands leave and arrive in the order of where they go and come from: they cross less.
    starts, stops = {}, {}
    left, right = ({end: top for end, (top, _) in side.items()} for side in bars)
    for one in sorted(thick, key=lambda one: order[one.after]):
        starts[one] = left[one.before]
        left[one.before] += thick[one]
    for one in sorted(thick, key=lambda one: order[one.before]):
        stops[one] = right[one.after]
        right[one.after] += thick[one]
    moving = [one for one in thick if one.before is not one.after]
    for one in thick:
        if one.before is one.after:
            card.ribbon(starts[one], stops[one], thick[one], one.before, _STAYED)
    for one in moving:
        if one in folded:
            card.stub(starts[one], thick[one], leaving=True)
            card.stub(stops[one], thick[one], leaving=False)
        else:
            card.ribbon(starts[one], stops[one], max(thick[one], _LEAST), one.before, _MOVED)
    taken: list[Bbox] = []
    for one in moving:
        if one not in folded:
            half = thick[one] / 2
            card.number(starts[one] + half, stops[one] + half, f"{one.users:,}", one.before, taken)


def _label(card: _Stream, comparison: Comparison, bars: Sequence[_Bars]) -> None:
    """Draw the bars of both sides with their names and users."""
    old, new = comparison.old, comparison.new
    there, here = card.left - 9, card.right + 9
    card.write(there, card.top + 7, f"{old.taken_at:%Y-%m-%d}", align="right", colour=MUTED)
    card.write(here, card.top + 7, f"{new.taken_at:%Y-%m-%d}", colour=MUTED)
    came, went = new.users - comparison.matched, old.users - comparison.matched
    for end, (top, tall) in bars[0].items():
        if tall:
            middle, was = top + tall / 2, old.sources[end] if end else came
            card.node(card.left, top, tall, end)
            card.write(there, middle - 7, end or "new", bold=True, align="right")
            card.write(there, middle + 7, f"{was:,}", align="right", colour=MUTED)
    for end, (top, tall) in bars[1].items():
        if tall:
            middle, became = top + tall / 2, new.sources[end] if end else went
            more = became - old.sources.get(end, 0) if end else 0
            card.node(card.right - _NODE, top, tall, end)
            card.write(here, middle - 7, end or "deleted", bold=True)
            said = f"{became:,} ({more:+,})" if more else f"{became:,}"
            card.write(here, middle + 7, said, colour=MUTED)


def _title(comparison: Comparison) -> str:
    """State the largest change."""
    if not comparison.moves:
        return "There are no users"
    if not comparison.changes:
        return "Nobody moved to another source, is new or was deleted"
    one = comparison.changes[0]
    people = plural(one.users, "person", "people")
    if one.before and one.after:
        return f"{people} moved from {one.before} to {one.after}"
    source = one.before or one.after
    kind = "new" if one.after else "deleted"
    who = plural(one.users, f"{kind} person", f"{kind} people")
    return f"{who}, whose pictures {SAYS[source]}" if source else people


def _subtitle(comparison: Comparison, narrow: int) -> str:
    old, new = comparison.old, comparison.new
    said = f"The sources of {comparison.matched:,} people, before and after; faint: no change"
    said += f", drawn {narrow:,} times narrower" if narrow > 1 else ""
    partial = [name for name, one in (("old", old), ("new", new)) if not one.complete]
    if partial:
        plural = "s are" if len(partial) > 1 else " is"
        said += f". The {' and the '.join(partial)} snapshot{plural} not complete"
    return said


def _folded(moves: Collection[Move]) -> str:
    users = sum(one.users for one in moves)
    together = " together" if len(moves) > 1 else ""
    people = plural(users, "person", "people")
    return f"Grey stubs: {plural(len(moves), 'more move')}, of {people}{together}."


def _told(comparison: Comparison) -> list[str]:
    """Say all moves in words."""
    parts: dict[str, list[str]] = {"Moved": [], "New": [], "Deleted": [], "Stayed": []}
    for one in comparison.moves:
        if one.before and one.after and one.before is not one.after:
            parts["Moved"].append(f"{one.before} to {one.after} {one.users:,}")
        else:
            kind = "New" if not one.before else "Stayed" if one.after else "Deleted"
            parts[kind].append(f"{one.before or one.after} {one.users:,}")
    return [f"{name}: {'; '.join(words)}" for name, words in parts.items() if words]


def _time_title(moments: Sequence[Moment]) -> str:
    """State how the share changed, as far as that is known."""
    if not moments:
        return "There are no snapshots"
    first, last = moments[0], moments[-1]
    was, became = ((one.own_low, one.own_high) for one in (first, last))
    if len(moments) == 1:
        return f"{between(*became)} of people see a picture of their own"
    return change(was, became, f"{first.taken_at:%Y-%m-%d}", _SEEABLE)


def _draw_time(card: Card, moments: Sequence[Moment]) -> None:
    left, wide, tall = PAD + 38, WIDTH - 2 * PAD - 38 - 92, 180.0
    base = card.top + 14 + tall
    card.percents(left, base, tall, wide=wide)
    begin = moments[0].taken_at
    span = (moments[-1].taken_at - begin).total_seconds() or 1.0
    xs = [left + wide * (one.taken_at - begin).total_seconds() / span for one in moments]
    low = [base - tall * one.own_low for one in moments]
    high = [base - tall * one.own_high for one in moments]
    points = list(zip(xs, low, strict=True))
    if len(points) > 1:
        card.band(list(zip(xs, high, strict=True)), low)
        card.line(points, Source.SOCIAL)
    elif low[0] > high[0]:
        card.bar((left - 5, high[0], 10, low[0] - high[0]), look(Source.UNRESOLVED))
    for point in points:
        card.line([point], Source.SOCIAL)
    ends = [between(moments[i].own_low, moments[i].own_high) for i in (0, -1)]
    card.write(left, high[0] - 12, ends[0], bold=True)
    if len(points) > 1:
        card.write(left + wide + 9, (low[-1] + high[-1]) / 2, ends[1], bold=True)
    _dates(card, xs, base, moments)


def _dates(card: Card, xs: Sequence[float], base: float, moments: Sequence[Moment]) -> None:
    """Name the first and the last day below a base line, and between them what has room."""
    texts = [f"{one.taken_at:%Y-%m-%d}" for one in moments]
    half = extent(texts[0], SMALL) / 2
    taken: list[float] = []
    for i in dict.fromkeys([0, len(moments) - 1, *range(len(moments))]):
        x = max(xs[i], PAD + half)
        card.plain([(xs[i] - 0.5, base + 1, 1, 4)], LINE)
        if all(abs(x - other) > 2 * half + 10 for other in taken):
            taken.append(x)
            card.write(x, base + 14, texts[i], size=SMALL, align="center", colour=MUTED)
