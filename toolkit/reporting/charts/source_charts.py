"""The users of each source, what people see, and the sources within each group, as bars."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from toolkit.analysis.coverage_count import Coverage
from toolkit.analysis.groups import ACTIVITY, NONE, Seen
from toolkit.analysis.headline_words import deviation, headline, people_see, sampled
from toolkit.classification.sources import Source
from toolkit.errors import SettingsError
from toolkit.formatting import percent, shorten
from toolkit.reporting.charts.chart import (
    INK,
    MUTED,
    PAD,
    TEXT,
    TITLE,
    WIDTH,
    Card,
    Chart,
    Look,
    cut,
    extent,
    in_lines,
    look,
)

SAYS = {
    Source.SOCIAL: "come from a social login",
    Source.ENTERPRISE: "come from an enterprise login",
    Source.GRAVATAR: "are Gravatars",
    Source.METADATA: "are set in user_metadata",
    Source.CUSTOM: "are custom",
    Source.UNRESOLVED: "may be Gravatars",
    Source.INITIALS: "are Auth0's initials",
    Source.PLACEHOLDER: "are placeholders",
    Source.MISSING: "are missing",
    Source.INVALID: "have no usable address",
}
"""What a title says of the pictures of each source."""

_ROW, _GROUP_ROW = 40.0, 29.0  # points


def by_source(coverage: Coverage) -> Chart:
    """Return a chart of the users of each source as bars, the largest first.

    The part whose pictures do not load is striped. A sample divides the unresolved, and whiskers
    are its 95 % interval.

    Args:
        coverage: by anything.
    """
    total, sample = coverage.users, sampled(coverage)
    estimated = coverage.estimated if sample else {}
    table = (coverage.whole if sample else replace(coverage.whole, estimate=None)).table()
    users = [
        (Source(name), int(n)) for name, n in zip(table["source"], table["users"], strict=True)
    ]
    title = _title(users, total, about=bool(estimated))
    subtitle = f"{total:,} users by the source of their picture"
    if estimated:
        subtitle += f"; with whiskers: from {sample}, 95 % interval"
    broken: dict[Source, int] = coverage.broken
    broken.pop(Source.INVALID, None)
    if broken:
        subtitle += "; striped: a broken image"
    left, right = 268.0, WIDTH - PAD - (136 if estimated else 92)
    card = Card(title, subtitle, _ROW * len(users), made_up=coverage.made_up)
    most = max([1, *(n for _, n in users), *(part.high for part in estimated.values())])
    words = []
    for place, (source, n) in enumerate(users):
        middle = card.top + _ROW * (place + 0.5)
        card.write(PAD, middle - 7, source, bold=True)
        card.write(PAD, middle + 7.5, source.meaning, size=7.5, colour=MUTED)
        end = left + max((right - left) * n / most, 1.5)
        card.bar((left, middle - 11, end - left, 22), look(source), rounded=True)
        label, share = f"{n:,}", percent(n / total, 1)
        told = f"{source} {n:,} users, {share}"
        if late := broken.get(source):
            part = (left + (end - left) * (1 - late / n), middle - 11, (end - left) * late / n, 22)
            card.bar(part, striped := look(source, broken=True))
            card.label(part, striped, f"{late:,} broken", f"{late:,}")
            told += f", of which {late:,} broken"
        if part_of := estimated.get(source):
            ends = [left + (right - left) * users / most for users in (part_of.low, part_of.high)]
            card.whisker(ends[0], ends[1], middle)
            end = max(end, ends[1])
            label += f" ± {deviation(part_of):,.0f}"
            told += f", 95 % interval {part_of.low:,.0f} to {part_of.high:,.0f}"
        card.write(end + 8, middle, label, bold=True)
        after = end + 14 + extent(label, TEXT, bold=True)
        card.write(after, middle, share, colour=MUTED)
        words.append(told)
    return card.chart("; ".join(words))


def _title(users: Sequence[tuple[Source, int]], total: int, *, about: bool) -> str:
    if not users:
        return "There are no users"
    if len(users) == 1:
        return f"All pictures {SAYS[users[0][0]]}"
    (first, n), (second, m) = users[:2]
    near = "About " if about else ""
    return (
        f"{near}{percent(n / total)} of pictures {SAYS[first]}; "
        f"{near.lower()}{percent(m / total)} {SAYS[second]}"
    )


LOOKS = {
    Seen.OWN: Look(Source.SOCIAL, "own picture"),
    Seen.ON_WORD: Look(Source.SOCIAL, "perhaps own, not looked at", dotted=True),
    Seen.UNKNOWN: Look(Source.UNRESOLVED, "unknown"),
    Seen.DEFAULT: Look(None, "your default"),
    Seen.INITIALS: Look(Source.INITIALS, "initials"),
    Seen.PLACEHOLDER: Look(Source.PLACEHOLDER, "placeholder"),
    Seen.BROKEN: Look(Source.SOCIAL, "broken image", broken=True),
    Seen.NONE: Look(Source.MISSING, "nothing"),
}
"""How each thing that people see looks, in charts and pages."""


def what_people_see(coverage: Coverage) -> Chart:
    """Return a chart of what people see as one bar, from a picture of their own to nothing.

    Args:
        coverage: by anything. Where a sample was asked for, the bar is its best guess.
    """
    total, shown = coverage.users, people_see(coverage)
    said = headline(coverage)
    title = f"{said.share[0].upper()}{said.share[1:]}"
    title += f"{', ' if said.doubt.startswith('up') else ' '}{said.doubt}" if said.doubt else ""
    title = f"{title} of people see a picture of their own" if total else "There are no users"
    subtitle = f"What {total:,} people see"
    if sample := sampled(coverage):
        subtitle += f", from {sample}; ± is its 95 % interval, in points"
    card = Card(title, subtitle, 92 if total else 0, made_up=coverage.made_up)
    x, words = PAD, []
    parts = [(LOOKS[name], users.middle / total) for name, users in shown.items()]
    numbers = [percent(share, 1) for _, share in parts]
    widths = [
        40 + extent(part.name, TEXT) + extent(number, TEXT, bold=True)
        for (part, _), number in zip(parts, numbers, strict=True)
    ]
    keys = in_lines(widths, card.top + 66, 20)
    for (name, users), (part, share), number, (left, line) in zip(
        shown.items(), parts, numbers, keys, strict=True
    ):
        box = (x, card.top + 4, (WIDTH - 2 * PAD) * share, 38.0)
        card.bar(box, part)
        card.label(box, part, f"{part.name} {percent(share)}", percent(share))
        x += box[2]
        card.bar((left, line - 5, 14, 10), part)
        card.write(left + 19, line, part.name, colour=MUTED)
        card.write(left + 24 + extent(part.name, TEXT), line, number, bold=True)
        words.append(f"{part.name} ({name.meaning}) {round(users.middle):,} people, {number}")
    return card.chart("; ".join(words))


# By kind of groups: the users of one, how they are compared, and between what.
_KINDS = {
    "connection": ("{} users", "among the users of each connection", "connections"),
    "provider": ("the provider {}", "among the users of each provider", "providers"),
    "cohort": ("people who joined in {}", "by month of joining", "months of joining"),
    "activity": ("people {}", "by the time since the last login", "active and inactive users"),
}


def by_group(coverage: Coverage, top: int = 12) -> Chart:
    """Return a chart of the share of each source within each group, as bars of equal length.

    What does not load is striped, in the colour of its source.

    Args:
        coverage: by connection, provider, cohort or activity.
        top: how many groups, the largest ones, have a bar; the others share one more.

    Raises:
        SettingsError: the coverage has no groups.
    """
    if coverage.by == "source":
        raise SettingsError("coverage by source has no groups to compare; count by connection")
    kept, rest = largest(coverage, top)
    table = kept.table()
    names = [str(name) for name in table["group"]]
    title = _group_title(coverage, table)
    _, each, kinds = _KINDS[coverage.by]
    subtitle = f"Share of each source {each}"
    others = rest.counts["group"].nunique()
    if others:
        plural = {"cohort": "months", "activity": "groups"}.get(coverage.by, kinds)
        subtitle += f"; the {len(names)} largest of {len(names) + others:,} {plural}"
    sums, words = _parts(kept.counts), ACTIVITY if coverage.by == "activity" else {}
    rows = [(words.get(name, name), sums[name]) for name in names]
    if others:
        rows.append((f"{others:,} others", _parts(rest.counts.assign(group=""))[""]))
    legend = [look(source) for source in coverage.sources]
    striped = [look(s, broken=True) for s in coverage.broken if s is not Source.INVALID]
    legend += striped[:1]
    left, width = 252.0, WIDTH - PAD - 252
    card = Card(title, subtitle, _GROUP_ROW * len(rows), legend, made_up=coverage.made_up)
    for place, (name, parts) in enumerate(rows):
        middle, n = card.top + _GROUP_ROW * (place + 0.5), sum(parts.values())
        number = f"{n:,}"
        space = left - 20 - PAD - extent(number, TEXT)
        folded = bool(others) and place == len(names)
        card.write(PAD, middle, cut(name, TEXT, space), colour=MUTED if folded else INK)
        card.write(left - 10, middle, number, align="right", colour=MUTED)
        start = left
        for part, users in parts.items():
            box = (start, middle - 10, width * users / n, 20.0)
            share = percent(users / n)
            card.bar(box, part)
            said = f"{share} broken" if part.broken else share
            card.label(box, part, said, share)
            start += box[2]
    lines = [
        f"{shorten(name, 60)}, {sum(parts.values()):,} users: {_told(parts)}"
        for name, parts in rows
    ]
    return card.chart(*lines)


def largest(coverage: Coverage, top: int, *, latest: bool = False) -> tuple[Coverage, Coverage]:
    """Divide a coverage into its largest groups, or its latest months, and the others.

    A single other one is kept: the row that would say "1 other" is its own.
    """
    sizes = coverage.counts.groupby("group")["users"].sum()
    if len(sizes) <= top + 1:
        return coverage, Coverage.empty(coverage.by)
    names = set((sizes.tail(top) if latest else sizes.nlargest(top)).index)
    mine = coverage.counts["group"].isin(names)
    estimate = coverage.estimate
    if estimate is not None and coverage.by == "connection":
        # What a sample says of each connection, it says without the others.
        estimate = estimate.where(lambda one: (one.connection or NONE) in names)
    kept = replace(coverage, counts=coverage.counts[mine], estimate=estimate, looked=None)
    return kept, Coverage(coverage.by, coverage.counts[~mine])


def _parts(counts: pd.DataFrame) -> dict[str, dict[Look, int]]:
    """Return the users of each group by how they look, in the order of `Source`."""
    parts: dict[str, dict[Look, int]] = {}
    for group, name, seen, users in counts.itertuples(index=False, name=None):
        source = Source(name)
        part = look(source, broken=seen == Seen.BROKEN and source is not Source.INVALID)
        mine = parts.setdefault(group, {})
        mine[part] = mine.get(part, 0) + users
    return {
        group: dict(sorted(mine.items(), key=lambda pair: _ORDER[pair[0].source] + pair[0].broken))
        for group, mine in parts.items()
    }


_ORDER: Mapping[Source | None, int] = {source: 2 * place for place, source in enumerate(Source)}


def _told(parts: Mapping[Look, int]) -> str:
    """Say the sources of one group in words, the largest first."""
    total, late = sum(parts.values()), {p.source: n for p, n in parts.items() if p.broken}
    sources: Counter[Source | None] = Counter()
    for part, users in parts.items():
        sources[part.source] += users
    words = []
    for source, users in sources.most_common():
        after = f" ({percent(late[source] / total)} broken)" if source in late else ""
        words.append(f"{source} {percent(users / total)}{after}")
    return ", ".join(words)


def _group_title(coverage: Coverage, kept: pd.DataFrame) -> str:
    """State what the groups differ by most: the source and the group that go together."""
    if kept.empty:
        return "There are no users"
    total, sources = coverage.users, coverage.sources
    rows = kept.to_dict("records")
    if len(rows) == 1:  # it differs from nothing
        source, n = max(sources.items(), key=lambda pair: pair[1])
        group = _whose(coverage.by, str(rows[0]["group"]))
        return f"{percent(n / total)} of pictures of {group} {SAYS[source]}"
    # How many users a group has of a source beyond its part of everybody.
    beyond = {
        (source, place): counts.get(source, 0) - counts["users"] * n / total
        for source, n in sources.items()
        for place, counts in enumerate(rows)
    }
    (source, place), most = max(beyond.items(), key=lambda pair: pair[1])
    if most < total / 100:
        return f"The sources hardly differ between {_KINDS[coverage.by][2]}"
    counts = rows[place]
    n, group = int(counts[source]), str(counts["group"])
    whole, part = n / int(counts["users"]), n / sources[source]
    if part >= whole:
        noun = f"{source} pictures" if source is not Source.MISSING else "users without a picture"
        where = f"are of {_whose(coverage.by, group)}"
        if group == NONE:
            where = f"have no {coverage.by}"
        elif coverage.by == "connection":
            where = f"are on {cut(group, TITLE, 300)}"
        return f"{percent(part)} of {noun} {where}"
    return f"{percent(whole)} of pictures of {_whose(coverage.by, group)} {SAYS[source]}"


def _whose(by: str, group: str) -> str:
    if group == NONE:
        return f"users without a {by}"
    name = ACTIVITY[group] if by == "activity" else cut(group, TITLE, 300)
    return _KINDS[by][0].format(f"who {name}" if group == "never" else name)
