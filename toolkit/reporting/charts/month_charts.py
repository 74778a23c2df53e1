"""What changes with the month in which people joined."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

import pandas as pd

from toolkit.analysis.coverage_count import Coverage
from toolkit.analysis.groups import UNKNOWN, Seen
from toolkit.analysis.headline_words import between
from toolkit.classification.sources import Source
from toolkit.errors import SettingsError
from toolkit.formatting import percent
from toolkit.reporting.charts.chart import (
    LINE,
    MUTED,
    PAD,
    SMALL,
    WIDTH,
    Card,
    Chart,
    extent,
    look,
)

_NAMED = 18  # months that all have room for their name
_DRAWN = 180  # months; more are drawn as years
_YEAR = 12
_SEEABLE = 0.03  # of share; less than that a reader would not see
_CHANGED = 0.05  # of share; less than that is no change worth a title
_LABEL = 40.0  # points that a label is wide


def cohorts(coverage: Coverage) -> Chart:
    """Return a chart of the share of each source among those who joined in the same month.

    More than fifteen years of months are drawn as years. Users whose date is not known are left
    out, and the subtitle says how many they are.

    Args:
        coverage: by cohort.

    Raises:
        SettingsError: the coverage is not by cohort.
    """
    months, left_out = _dated(coverage)
    title = _sources_title(months)
    step, periods = _periods(months, "source", [source.value for source in months.sources])
    subtitle = f"Share of each source by {step} of joining; below, how many joined{left_out}"
    legend = [look(source) for source in months.sources]
    card = Card(title, subtitle, 264 if len(periods) else 0, legend, made_up=months.made_up)
    if len(periods):
        _draw_sources(card, periods, step)
    years = periods.groupby([name[:4] for name in periods.index]).sum()
    lines = [
        f"{year}, {row.sum():,} users: {_told(row)}" for year, row in years.iterrows() if row.any()
    ]
    return card.chart(*lines)


def own_by_month(coverage: Coverage) -> Chart:
    """Return a chart of the share that sees a picture of their own, by month of joining.

    Each point is of all who joined in the twelve months up to it (of half the months where there
    are fewer than two years), so that few people in a month do not look like a change. The line is
    of those who are known to; the striped band above it is of those who perhaps do, or of whom
    nobody knows.

    Args:
        coverage: by cohort.

    Raises:
        SettingsError: the coverage is not by cohort.
    """
    months, left_out = _dated(coverage)
    step, periods = _periods(months, "seen", [name.value for name in Seen])
    span = min(_YEAR if step == "month" else 1, max(1, len(periods) // 2))
    summed = periods.rolling(span).sum().dropna()
    users = summed.sum(axis="columns")
    low = (summed[Seen.OWN.value] / users.where(users > 0)).dropna()
    unsure = summed[Seen.UNKNOWN.value] + summed[Seen.ON_WORD.value]
    high = low + (unsure / users).reindex(low.index)
    title = _own_title(low, high, list(periods.index))
    over = f"over the {span} months up to each" if span > 1 else f"by {step} of joining"
    subtitle = f"Share of people who see a picture of their own, {over}"
    subtitle += (
        f"; striped: nobody knows, or nobody has looked{left_out}"
        if (high > low).any()
        else left_out
    )
    card = Card(title, subtitle, 232 if len(low) else 0, made_up=coverage.made_up)
    if len(low):
        _draw_own(card, low, high, list(summed.index), step)
    ends = [n for n in low.index if n[5:] in {"12", ""}]
    lines = [
        f"{name}: {between(low[name], high[name])}"
        for name in dict.fromkeys([*low.index[:1], *ends, *low.index[-1:]])
    ]
    return card.chart("; ".join(lines))


def _draw_own(card: Card, low: pd.Series, high: pd.Series, names: Sequence[str], step: str) -> None:
    left, wide, tall = PAD + 38, WIDTH - 2 * PAD - 38 - 64, 180.0
    base, each = card.top + 14 + tall, wide / max(len(names) - 1, 1)
    place = {name: left + each * i for i, name in enumerate(names)}
    card.percents(left, base, tall, wide=wide)
    for known, names_of_run in groupby(names, low.index.__contains__):
        if not known:
            continue
        run = list(names_of_run)
        points = [(place[name], base - tall * float(low[name])) for name in run]
        if any(high[name] > low[name] for name in run):
            upper = [(place[name], base - tall * float(high[name])) for name in run]
            card.band(upper, [y for _, y in points])
        card.line(points, Source.SOCIAL)
    first, last = low.index[0], low.index[-1]
    # Above whatever the line does below the label.
    near = high[[name for name in high.index if place[name] < place[first] + _LABEL]].max()
    text = between(low[first], high[first])
    card.write(place[first], base - tall * float(near) - 12, text, bold=True)
    if first != last:
        y = base - tall * float(low[last] + high[last]) / 2
        card.write(place[last] + 7, y, between(low[last], high[last]), bold=True)
    _axis(card, left - each / 2, each, base, names, step)


def _own_title(low: pd.Series, high: pd.Series, names: Sequence[str]) -> str:
    if not len(low):
        return "No user's date of joining is known"
    first, last = ((float(low.iloc[i]), float(high.iloc[i])) for i in (0, -1))
    if len(low) == 1:
        return f"{between(*first)} of those who joined in {names[-1]} see a picture of their own"
    since = names[0][:4] if names[0][:4] != names[-1][:4] else names[0]
    return change(first, last, since, _CHANGED, " of those who join")


def change(
    first: tuple[float, float], last: tuple[float, float], since: str, least: float, whom: str = ""
) -> str:
    """State how the share with a picture of their own changed, as far as that is known.

    Lowest and highest of the first and the last share are 0 to 1, and so is the `least` change that
    counts. `whom`: words behind the last share.
    """
    was, became = between(*first), between(*last)
    rise, fall = last[0] - first[1], first[0] - last[1]
    if max(rise, fall) >= least:
        verb = "risen" if rise > 0 else "fallen"
        return f"Coverage has {verb} since {since}: from {was} to {became}{whom}"
    if max(high - low for low, high in (first, last)) < least:
        return f"Coverage has hardly changed since {since}: {was}, and now {became}"
    return f"Not enough is known to say whether coverage changed ({since}: {was}, now: {became})"


def _dated(coverage: Coverage) -> tuple[Coverage, str]:
    """Return the users with a date of joining, and words about the others."""
    if coverage.by != "cohort":
        raise SettingsError(f"coverage by {coverage.by} has no months; count by cohort")
    counts = coverage.counts[coverage.counts["group"] != UNKNOWN]
    months = replace(coverage, counts=counts, estimate=None, looked=None, note="")
    unknown = coverage.users - months.users
    return months, f". {unknown:,} without a date are left out" if unknown else ""


def _periods(months: Coverage, what: str, columns: list[str]) -> tuple[str, pd.DataFrame]:
    """Return "month" or "year", and users by period (gaps filled with 0) and column."""
    table = months.counts.pivot_table(
        index="group", columns=what, values="users", aggfunc="sum", fill_value=0
    )
    table = table.reindex(columns=columns, fill_value=0).astype("int64").sort_index()
    if table.empty:
        return "month", table
    first, last = (_number(name) for name in (table.index[0], table.index[-1]))
    if last - first < _DRAWN:
        names = [f"{n // 12:04d}-{n % 12 + 1:02d}" for n in range(first, last + 1)]
        return "month", table.reindex(names, fill_value=0)
    table = table.groupby([name[:4] for name in table.index]).sum()
    names = [f"{year:04d}" for year in range(first // 12, last // 12 + 1)]
    return "year", table.reindex(names, fill_value=0)


def _number(month: str) -> int:
    return int(month[:4]) * 12 + int(month[5:]) - 1


def _draw_sources(card: Card, periods: pd.DataFrame, step: str) -> None:
    left, wide, high, low = PAD + 38, WIDTH - 2 * PAD - 38, 190.0, 36.0
    joined = periods.sum(axis="columns")
    bottom, each, most = card.top + 4 + high, wide / len(periods), int(joined.max())
    gap = 1.0 if each > 6 else 0.0  # noqa: PLR2004 - points; narrower bars would be half gap
    done = joined * 0.0
    for name in periods.columns:
        share = (periods[name] / joined.where(joined > 0)).fillna(0.0)
        card.area(
            [
                (left + each * i, bottom - high * (below + part), each - gap, high * part)
                for i, (below, part) in enumerate(zip(done, share, strict=True))
                if part
            ],
            look(Source(name)),
        )
        done += share
    card.percents(left, bottom, high)
    base = bottom + 14 + low
    heights = [low * n / most for n in joined]
    card.plain(
        [(left + each * i, base - h, each - gap, h) for i, h in enumerate(heights) if h], MUTED
    )
    card.plain([(left, base, wide, 1)], LINE)
    card.write(left - 6, base - low, f"{most:,}", size=SMALL, align="right", colour=MUTED)
    _axis(card, left, each, base, list(periods.index), step)


def _axis(
    card: Card, left: float, each: float, base: float, names: Sequence[str], step: str
) -> None:
    """Name the periods below a base line, as many as have room."""
    free = 0.0
    for i, name in enumerate(names):
        # Januaries carry their year; where that leaves too few, every month that fits.
        if step == "month" and len(names) > _NAMED and not name.endswith("-01"):
            continue
        text = name[:4] if len(names) > _NAMED else name
        x = left + each * (i + 0.5)
        half = extent(text, SMALL) / 2
        if x - half > free and x + half < WIDTH - 4:
            card.plain([(x - 0.5, base + 1, 1, 4)], LINE)
            card.write(x, base + 14, text, size=SMALL, align="center", colour=MUTED)
            free = x + half + 10


def _sources_title(months: Coverage) -> str:
    counts = months.counts
    if counts.empty:
        return "No user's date of joining is known"
    numbers = counts["group"].map(_number)
    first, last = int(numbers.min()), int(numbers.max())
    span = min(_YEAR, (last - first + 1) // 2)
    if span == 0:
        return f"All users joined in {counts['group'].iloc[0]}"
    early, late = counts[numbers < first + span], counts[numbers > last - span]
    was, now = (
        part.groupby("source")["users"].sum() / part["users"].sum() for part in (early, late)
    )
    changes = [(float(was.get(s, 0)), float(now.get(s, 0)), s) for s in months.sources]
    old, new, source = max(changes, key=lambda change: abs(change[1] - change[0]))
    if abs(new - old) < _SEEABLE:
        begin, end = early["group"].iloc[0], late["group"].iloc[-1]
        return f"The sources have hardly changed between {begin} and {end}"
    verb = "rose" if new > old else "fell"
    size = "12 months" if span == _YEAR else f"{span} months" if span > 1 else "month"
    share = f"{percent(old)} in the first {size} to {percent(new)} in the last"
    return f"{source.capitalize()} pictures {verb} from {share}"


def _told(counts: pd.Series) -> str:
    """Say the sources of one period in words, the largest first."""
    found = counts[counts > 0].sort_values(ascending=False, kind="stable")
    return ", ".join(f"{name} {percent(n / counts.sum())}" for name, n in found.items())
