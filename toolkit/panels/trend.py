"""How many see a picture of their own, by when they joined: a small drawing, quickly made."""

from html import escape

from toolkit.coverage import Coverage
from toolkit.group import UNKNOWN
from toolkit.palette import COLOURS
from toolkit.picture import Source
from toolkit.seen import Seen
from toolkit.wording import percent

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
    return f"""
<div class="pa-title">{escape(title)}</div>
<div class="pa-muted">share with a picture of their own, by date of joining; the line is known,
the band is what nobody knows</div>
<div class="pa-trend"><svg viewBox="-2 0 {_WIDTH + 4} {_HEIGHT}" role="img"
 aria-label="{escape(f"{title}. {words}", quote=True)}">
<g stroke="currentColor" opacity=".22">
<path d="M0 {_y(1)}H{_WIDTH}M0 {_y(0.5)}H{_WIDTH}M0 {_y(0)}H{_WIDTH}"/></g>
<polygon points="{_points(low)} {_points(high[::-1])}" fill="{COLOURS[Source.ENTERPRISE]}"
 opacity=".35"/>
<polyline points="{_points(low)}" fill="none" stroke="{COLOURS[Source.SOCIAL]}" stroke-width="3"
 stroke-linejoin="round"/>
<g fill="currentColor" opacity=".75" font-size="11">
<text x="0" y="{_y(1) - 5}">100 %</text><text x="0" y="{_y(0.5) - 5}">50 %</text>
<text x="0" y="{_HEIGHT - 12}">{escape(names[0])}</text>
<text x="{_WIDTH}" y="{_HEIGHT - 12}" text-anchor="end">{escape(names[-1])}</text></g>
</svg></div>"""


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
