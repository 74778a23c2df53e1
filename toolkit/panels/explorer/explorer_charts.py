"""The explorer's charts: bars whose parts are buttons, and own pictures by month of joining."""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from itertools import product
from typing import TypeAlias

import ipywidgets

from toolkit.analysis.coverage_count import Coverage
from toolkit.analysis.groups import ACTIVITY, UNKNOWN, Seen
from toolkit.analysis.headline_words import between
from toolkit.classification.sources import Source
from toolkit.formatting import percent, render, shorten
from toolkit.panels.widgets import looks, muted, title
from toolkit.reporting.palette import COLOURS

GROUPS = {"connection": "connection", "provider": "provider", "activity": "last login"}
"""What users can be grouped by here, and what it is called."""

_ROWS = 9
_LONGEST, _TOLD = 17, 80  # characters of a group's name, beside its bar and in a sentence
_LABELLED = 0.07  # share of a bar in which a number has room

# Users by the source of their picture, and by whether they see a broken image.
_Parts: TypeAlias = Counter[tuple[Source, bool]]


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a bar: users of a group by the source of their picture."""

    group: str | None  # None: everybody
    source: Source
    broken: bool | None = None  # whether they see a broken image; None: both

    @property
    def what(self) -> str:
        """Their pictures, in words."""
        return f"{self.source}{', a broken image' if self.broken else ''}"

    @property
    def whose(self) -> str:
        """The group in words, to stand after "users"; "" for everybody."""
        return "" if self.group is None else f" of {shorten(self.group, _TOLD)}"


class Stacks(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """A chart that can be pressed: a legend with numbers, and a bar for each group."""

    def __init__(self, pick: Callable[[Part], None]) -> None:
        self._pick = pick
        self._title = ipywidgets.HTML()
        self._legend = ipywidgets.HBox().add_class("pa-legend")
        self._names = [ipywidgets.HTML().add_class("pa-name") for _ in range(_ROWS)]
        self._bars = [ipywidgets.HBox().add_class("pa-bar") for _ in range(_ROWS)]
        self._smaller = ipywidgets.HTML()
        # Buttons are made once and used again: making them is what takes time.
        self._buttons: dict[tuple[int | None, Source, bool | None], ipywidgets.Button] = {}
        self._parts: dict[ipywidgets.Button, Part] = {}
        self._rows = [
            ipywidgets.HBox(row).add_class("pa-stack")
            for row in zip(self._names, self._bars, strict=True)
        ]
        super().__init__([self._title, self._legend, *self._rows, self._smaller])

    def show(self, coverage: Coverage, picked: Part | None) -> None:
        """Draw a coverage by connection, provider or activity, with one part as pressed."""
        groups = list(_groups(coverage).items())
        self._parts = {}
        self._title.value = _title(coverage, groups[0][1])
        self._legend.children = [
            self._button(None, Part(None, source), users, coverage.users, picked)
            for source, users in coverage.sources.items()
        ]
        for place, row in enumerate(self._rows):
            row.layout.display = None if place < len(groups) else "none"
        for place, (group, parts) in enumerate(groups[:_ROWS]):
            total = parts.total()
            name = "everybody" if group is None else shorten(group, _LONGEST)
            self._names[place].value = f"<bdi>{escape(name)}</bdi> · {total:,}"
            self._bars[place].children = [
                self._button(place, Part(group, source, broken), users, total, picked)
                for (source, broken), users in parts.items()
            ]
        smaller = [parts.total() for _, parts in groups[_ROWS:]]
        count, users = len(smaller), sum(smaller)
        words = f"… and {count:,} smaller ones with {users:,} users: choose them above."
        self._smaller.value = muted(words) if smaller else ""

    def _button(
        self, place: int | None, part: Part, users: int, total: int, picked: Part | None
    ) -> ipywidgets.Button:
        """Return the button of a part in a row, or in the legend, with its share of a total."""
        key = (place, part.source, part.broken)
        button = self._buttons.get(key)
        if button is None:
            button = self._buttons[key] = ipywidgets.Button()
            button.add_class(looks(part.source, broken=bool(part.broken)))
            button.on_click(lambda pressed: self._pick(self._parts[pressed]))
        self._parts[button] = part
        share = users / total
        if place is None:
            text = f"{part.source} · {users:,} · {percent(share, 1)}"
        else:
            text = percent(share).removesuffix(" %") if share >= _LABELLED else ""
            button.layout.width = f"{share * 100:.2f}%"
        with button.hold_sync():
            button.description = text
            button.tooltip = (
                f"{part.what}: {users:,} users{part.whose}, {percent(share, 1)}. Press to list "
                "them."
            )
        (button.add_class if part == picked else button.remove_class)("pa-picked")
        return button


def _groups(coverage: Coverage) -> dict[str | None, _Parts]:
    """Return the parts of everybody (None), and of each group: the largest first, or in order."""
    found: defaultdict[str, _Parts] = defaultdict(Counter)
    everybody: _Parts = Counter(dict.fromkeys(product(Source, (False, True)), 0))
    for group, source, seen, users in coverage.counts.itertuples(index=False, name=None):
        part = Source(source), seen == Seen.BROKEN
        found[group][part] += users
        everybody[part] += users
    if coverage.by == "activity":
        groups = [name for name in ACTIVITY if name in found]
    else:
        groups = sorted(found, key=lambda name: -found[name].total())
    return {None: +everybody, **{name: found[name] for name in groups}}


def _title(coverage: Coverage, everybody: _Parts) -> str:
    words = "Nobody is left: clear a filter"
    if everybody:
        (source, broken), users = everybody.most_common(1)[0]
        what = f"{source}{', and broken' if broken else ''}"
        words = f"{percent(users / coverage.users)} of these pictures are {what}"
    return (
        f'{title(words)}<div class="pa-muted">source by {GROUPS[coverage.by]}, share of its '
        "users in %; press a part for its people</div>"
        f"{muted(coverage.note) if coverage.note else ''}"
    )


_WIDTH, _HEIGHT, _TOP, _BOTTOM = 520, 190, 26, 160
_MOST = 36  # months; above that, quarters, above that many of them, years
_PERIODS: tuple[Callable[[str], str], ...] = (
    str,
    lambda month: f"{month[:4]} Q{(int(month[5:]) + 2) // 3}",
    lambda month: month[:4],
)


def trend(cohorts: Coverage) -> str:
    """Draw the share that sees a picture of their own, by month of joining, as HTML.

    The line is those who are known to; the band above it, those who perhaps do, or of whom nobody
    knows.
    """
    periods = _periods(cohorts)
    if not periods:
        return "<div class='pa-title'>Nobody's date of joining is known</div>"
    names = list(periods)
    shares = {}
    for name, users in periods.items():
        own, unknown = users[Seen.OWN], users[Seen.UNKNOWN] + users[Seen.ON_WORD]
        shares[name] = own / users.total(), (own + unknown) / users.total()
    told = {name: between(*share) for name, share in shares.items()}
    heading = f"Of those who joined in {names[-1]}, {told[names[-1]]} see a picture of their own"
    if len(names) > 1:
        heading += f"; in {names[0]}, {told[names[0]]}"
    # A single period is drawn as a level line.
    drawn = [*shares.values()] * (2 if len(names) == 1 else 1)
    step = _WIDTH / (len(drawn) - 1)
    low, high = (
        [f"{place * step:.1f},{_y(share[end]):.1f}" for place, share in enumerate(drawn)]
        for end in (0, 1)
    )
    return render(
        "panels/explorer/trend.html.j2",
        title=heading,
        words="; ".join(f"{name}: {share}" for name, share in told.items()),
        first=names[0],
        last=names[-1],
        low=" ".join(low),
        high=" ".join(reversed(high)),
        width=_WIDTH,
        height=_HEIGHT,
        colours=COLOURS,
        y=_y,
    )


def _periods(cohorts: Coverage) -> dict[str, Counter[str]]:
    """Return users by what they see, of each period in order."""
    counts = cohorts.counts[cohorts.counts["group"] != UNKNOWN]
    months = set(counts["group"])
    for named in _PERIODS:
        if len(set(map(named, months))) <= _MOST:
            break
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    rows = zip(counts["group"], counts["seen"], counts["users"].tolist(), strict=True)
    for month, seen, users in rows:
        found[named(month)][seen] += users
    return dict(sorted(found.items()))


def _y(share: float) -> float:
    return round(_BOTTOM - (_BOTTOM - _TOP) * share, 1)
