"""The explorer's charts: bars whose parts are buttons, and own pictures by month of joining."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from itertools import product
from typing import Any, TypeAlias

import anywidget
import ipywidgets
import traitlets

from toolkit.analysis.coverage_count import Coverage
from toolkit.analysis.groups import ACTIVITY, UNKNOWN, Seen
from toolkit.analysis.headline_words import between
from toolkit.classification.sources import Source
from toolkit.formatting import percent, render, shorten
from toolkit.panels.widgets import looks, muted, title
from toolkit.reporting.charts.source_charts import SAYS
from toolkit.reporting.palette import COLOURS

GROUPS = {"connection": "connection", "provider": "provider", "activity": "last login"}
"""What users can be grouped by here, and what it is called."""

NOBODY = "Nobody is left: remove a filter"
"""The title of a chart of nobody."""

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
        return f"{self.source}{', but does not load' if self.broken else ''}"

    @property
    def whose(self) -> str:
        """The group in words, to stand after "users"; "" for everybody."""
        return "" if self.group is None else f" of {shorten(self.group, _TOLD)}"


class Bars(anywidget.AnyWidget):
    """The bars in the browser.

    Attributes:
        chart: the parts of the legend, the rows (name, words, parts), and the words below.
    """

    _esm = files("toolkit.panels.explorer").joinpath("bars.js").read_text("utf-8")
    chart = traitlets.Dict().tag(sync=True)


class Stacks(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """A chart that can be pressed: a legend with numbers, and a bar for each group.

    Attributes:
        parts: what can be pressed, by its key in the page: the legend first, then each row from
            the left.
    """

    def __init__(self, pick: Callable[[Part], None]) -> None:
        self._pick = pick
        self._title = ipywidgets.HTML()
        self.parts: dict[str, Part] = {}
        self.bars = Bars(chart={"legend": [], "rows": [], "smaller": ""})
        self.bars.on_msg(lambda _, message, __: self.press(message["key"]))
        super().__init__([self._title, self.bars])

    def press(self, key: str) -> None:
        """Pick a part that was pressed in the page, unless all was drawn anew meanwhile."""
        if key in self.parts:
            self._pick(self.parts[key])

    def show(self, coverage: Coverage, picked: Part | None) -> None:
        """Draw a coverage by connection, provider or activity, with one part as pressed."""
        groups = list(_groups(coverage).items())
        self._title.value = _title(coverage)
        self.parts = {}
        smaller = [parts.total() for _, parts in groups[_ROWS:]]
        words = (
            f"… and {len(smaller):,} smaller ones with {sum(smaller):,} users: choose them above."
        )
        legend = {Part(None, source): users for source, users in coverage.sources.items()}
        self.bars.chart = {
            "legend": self._drawn("all", legend, picked),
            "rows": [
                {
                    "name": "everybody" if group is None else shorten(group, _LONGEST),
                    "words": f" · {parts.total():,}",
                    "parts": self._drawn(
                        str(place),
                        {Part(group, *one): users for one, users in parts.items()},
                        picked,
                    ),
                }
                for place, (group, parts) in enumerate(groups[:_ROWS])
            ],
            "smaller": words if smaller else "",
        }

    def _drawn(
        self, row: str, users_of: Mapping[Part, int], picked: Part | None
    ) -> list[dict[str, Any]]:
        """Return how each part of a row looks, and what it says."""
        total, drawn = sum(users_of.values()), []
        for part, users in users_of.items():
            share, look = users / total, looks(part.source, broken=bool(part.broken))
            key = f"{row} {look}"
            self.parts[key] = part
            told = f"{part.what}: {users:,} users{part.whose}, {percent(share, 1)}. Press to list"
            if part.broken is None:
                words = f"{part.source} · {users:,} · {percent(share, 1)}"
            else:
                words = percent(share).removesuffix(" %") if share >= _LABELLED else ""
            drawn.append(
                {
                    "key": key,
                    "words": words,
                    "told": f"{told} them.",
                    "share": share,
                    "looks": look,
                    "picked": part == picked,
                }
            )
        return drawn


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
    # One order in every row, or nobody could compare them.
    return {None: +everybody} | {
        name: +Counter({part: found[name][part] for part in everybody}) for name in groups
    }


def _title(coverage: Coverage) -> str:
    words = NOBODY
    if sources := coverage.sources:
        source, users = max(sources.items(), key=lambda pair: pair[1])
        words = f"{percent(users / coverage.users)} of these pictures {SAYS[source]}"
    return (
        f'{title(words)}<div class="pa-muted">source by {GROUPS[coverage.by]}, share of its '
        "users in %; click a colour to list these people</div>"
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
        return title("Nobody's date of joining is known" if cohorts.users else NOBODY)
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
