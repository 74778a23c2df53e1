"""The explorer's charts: bars whose parts are buttons, and own pictures by month of joining."""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

import ipywidgets

from toolkit.analysis.coverage_count import Coverage
from toolkit.analysis.groups import ACTIVITY, UNKNOWN, Seen
from toolkit.classification.sources import Source
from toolkit.formatting import percent, render, shorten
from toolkit.panels.style import looks
from toolkit.panels.widgets import muted
from toolkit.reporting.palette import COLOURS

GROUPS = {"connection": "connection", "provider": "provider", "activity": "last login"}
"""What users can be grouped by here, and what it is called."""

LONGEST = 80
"""Characters of a group's name that are told."""

_ROWS = 9
_LONGEST = 17
_LABELLED = 0.07  # share of a bar in which a number has room


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a bar.

    Attributes:
        group: of whom, or None for everybody.
        source: the source of their pictures.
        broken: those who see a broken image, or those who do not; None for both.
    """

    group: str | None
    source: Source
    broken: bool | None = None


class Stacks(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """A chart that can be pressed: a legend with numbers, and a bar for each group.

    Args:
        picked: called with the part that was pressed.
    """

    def __init__(self, picked: Callable[[Part], None]) -> None:
        self._picked = picked
        self._title = ipywidgets.HTML()
        self._legend = _box("pa-legend")
        self._names = [ipywidgets.HTML() for _ in range(_ROWS)]
        self._bars = [_box("pa-bar") for _ in range(_ROWS)]
        self._rest = ipywidgets.HTML()
        # Buttons are made once and used again: making them is what takes time.
        self._buttons: dict[tuple[int | None, Source, bool | None], ipywidgets.Button] = {}
        self._parts: dict[ipywidgets.Button, Part] = {}
        rows = []
        for name, bar in zip(self._names, self._bars, strict=True):
            name.add_class("pa-name")
            row = ipywidgets.HBox([name, bar])
            row.add_class("pa-stack")
            rows.append(row)
        self._rows = rows
        super().__init__([self._title, self._legend, *rows, self._rest])

    def show(self, coverage: Coverage, picked: Part | None) -> None:
        """Draw a coverage by connection, provider or activity.

        Args:
            coverage: of whom.
            picked: the part to mark as pressed.
        """
        groups = _groups(coverage)
        sums = _whole(groups)
        total = max(coverage.users, 1)
        self._parts = {}
        self._title.value = _title(coverage, sums)
        self._legend.children = [
            self._button(None, Part(None, source), users, users / total, picked)
            for source, users in coverage.sources.items()
        ]
        shown = list(groups.items())[: _ROWS - 1]
        bars: list[tuple[str | None, dict[tuple[Source, bool], int]]] = [(None, sums), *shown]
        for place, row in enumerate(self._rows):
            row.layout.display = None if place < len(bars) else "none"
            if place < len(bars):
                self._show(place, *bars[place], picked)
        left = list(groups.items())[_ROWS - 1 :]
        people = sum(sum(parts.values()) for _, parts in left)
        self._rest.value = (
            muted(f"… and {len(left):,} smaller ones with {people:,} users: choose them above.")
            if left
            else ""
        )

    def button(self, part: Part) -> ipywidgets.Button:
        """Return the button of a part that is shown."""
        return next(button for button, one in self._parts.items() if one == part)

    def _show(
        self,
        place: int,
        group: str | None,
        parts: dict[tuple[Source, bool], int],
        picked: Part | None,
    ) -> None:
        total = sum(parts.values())
        name = "everybody" if group is None else shorten(group, _LONGEST)
        self._names[place].value = f"<bdi>{escape(name)}</bdi> · {total:,}"
        self._bars[place].children = [
            self._button(place, Part(group, source, broken), users, users / max(total, 1), picked)
            for (source, broken), users in parts.items()
        ]

    def _button(
        self, place: int | None, part: Part, users: int, share: float, picked: Part | None
    ) -> ipywidgets.Button:
        key = (place, part.source, part.broken)
        button = self._buttons.get(key)
        if button is None:
            button = self._buttons[key] = ipywidgets.Button()
            button.add_class(looks(part.source, broken=bool(part.broken)))
            button.on_click(self._pressed)
        self._parts[button] = part
        words = f"{part.source}{', a broken image' if part.broken else ''}"
        whose = "" if part.group is None else f" of {shorten(part.group, LONGEST)}"
        if place is None:
            text = f"{part.source} · {users:,} · {percent(share, 1)}"
        else:
            text = percent(share).removesuffix(" %") if share >= _LABELLED else ""
            button.layout.width = f"{share * 100:.2f}%"
        with button.hold_sync():
            button.description = text
            button.tooltip = (
                f"{words}: {users:,} users{whose}, {percent(share, 1)}. Press to list them."
            )
        (button.add_class if part == picked else button.remove_class)("pa-picked")
        return button

    def _pressed(self, button: ipywidgets.Button) -> None:
        self._picked(self._parts[button])


def _box(name: str) -> ipywidgets.HBox:
    box = ipywidgets.HBox()
    box.add_class(name)
    return box


def _groups(coverage: Coverage) -> dict[str, dict[tuple[Source, bool], int]]:
    """Return users by source and whether it is broken, of each group, the largest first."""
    found: dict[str, dict[tuple[Source, bool], int]] = {}
    rows: Any = coverage.counts.itertuples(index=False, name=None)
    for group, source, seen, users in rows:
        parts = found.setdefault(group, {})
        key = (Source(source), seen == Seen.BROKEN)
        parts[key] = parts.get(key, 0) + users
    if coverage.by == "activity":
        return {name: found[name] for name in ACTIVITY if name in found}
    return dict(sorted(found.items(), key=lambda pair: -sum(pair[1].values())))


def _whole(groups: dict[str, dict[tuple[Source, bool], int]]) -> dict[tuple[Source, bool], int]:
    sums: dict[tuple[Source, bool], int] = {}
    for parts in groups.values():
        for key, users in parts.items():
            sums[key] = sums.get(key, 0) + users
    order = list(Source)
    return dict(sorted(sums.items(), key=lambda pair: (order.index(pair[0][0]), pair[0][1])))


def _title(coverage: Coverage, sums: dict[tuple[Source, bool], int]) -> str:
    if not sums:
        title = "Nobody is left: clear a filter"
    else:
        (source, broken), users = max(sums.items(), key=lambda pair: pair[1])
        what = f"{source}{', and broken' if broken else ''}"
        title = f"{percent(users / coverage.users)} of these pictures are {what}"
    return (
        f'<div class="pa-title">{escape(title)}</div><div class="pa-muted">source by '
        f"{GROUPS[coverage.by]}, share of its users in %; press a part for its people</div>"
    )


_WIDTH, _HEIGHT, _TOP, _BOTTOM = 520, 190, 26, 160
_MOST = 36  # months; above that, quarters, above that many of them, years


def trend(cohorts: Coverage) -> str:
    """Draw the share that sees a picture of their own as HTML.

    The line is those who are known to; the band above it, those of whom nobody knows.

    Args:
        cohorts: users by month of joining.
    """
    periods = _periods(cohorts)
    if not periods:
        return "<div class='pa-title'>Nobody's date of joining is known</div>"
    names = list(periods)
    shares = [(own / users, (own + unknown) / users) for own, unknown, users in periods.values()]
    ends = [_between(*shares[0]), _between(*shares[-1])]
    title = f"Of those who joined in {names[-1]}, {ends[1]} see a picture of their own"
    if len(names) > 1:
        title += f"; in {names[0]}, {ends[0]}"
    step = _WIDTH / max(len(names) - 1, 1)
    low = [(place * step, _y(share)) for place, (share, _) in enumerate(shares)]
    high = [(place * step, _y(share)) for place, (_, share) in enumerate(shares)]
    if len(names) == 1:
        low, high = [*low, (_WIDTH, low[0][1])], [*high, (_WIDTH, high[0][1])]
    words = "; ".join(
        f"{name}: {_between(*share)}" for name, share in zip(names, shares, strict=True)
    )
    return render(
        "panels/explorer/trend.html.j2",
        title=title,
        words=words,
        first=names[0],
        last=names[-1],
        low=_points(low),
        high=_points(high[::-1]),
        width=_WIDTH,
        height=_HEIGHT,
        colours=COLOURS,
        y=_y,
    )


def _periods(cohorts: Coverage) -> dict[str, tuple[int, int, int]]:
    """Return users known to see their own, unknown, and all, of each period in order."""
    counts = cohorts.counts[cohorts.counts["group"] != UNKNOWN]
    months = sorted(set(counts["group"]))
    for name in (_month, _quarter, _year):
        if len({name(month) for month in months}) <= _MOST:
            break
    found: dict[str, tuple[int, int, int]] = {}
    rows = zip(counts["group"], counts["seen"], counts["users"].tolist(), strict=True)
    for month, seen, users in rows:
        own, unknown, total = found.get(name(month), (0, 0, 0))
        found[name(month)] = (
            own + users * (seen == Seen.OWN),
            unknown + users * (seen == Seen.UNKNOWN),
            total + users,
        )
    return dict(sorted(found.items()))


def _month(month: str) -> str:
    return month


def _quarter(month: str) -> str:
    return f"{month[:4]} Q{(int(month[5:]) + 2) // 3}"


def _year(month: str) -> str:
    return month[:4]


def _between(low: float, high: float) -> str:
    first, last = percent(low), percent(high)
    return first if first == last else f"{first.removesuffix(' %')} to {last}"


def _y(share: float) -> float:
    return round(_BOTTOM - (_BOTTOM - _TOP) * share, 1)


def _points(points: list[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
