"""The sources within each group, as bars of equal length."""

from collections.abc import Mapping

import pandas as pd

from toolkit.analysis.coverage_count import Coverage
from toolkit.analysis.groups import ACTIVITY, NONE, Seen
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
    look,
    sentences,
)
from toolkit.reporting.charts.source_charts import SAYS

PLURALS = {"connection": "connections", "provider": "providers", "cohort": "months"}
"""What the groups of each kind are called together."""

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
_ROW = 29.0


def by_group(coverage: Coverage, top: int = 12) -> Chart:
    """Draw the share of each source within each group as bars of equal length.

    What has expired is striped, in the colour of its source.

    Args:
        coverage: by connection, provider, cohort or activity.
        top: how many groups, the largest ones, have a bar; the others share one more,
            which says how many they are.

    Returns:
        The chart, a value that shows itself.

    Raises:
        SettingsError: the coverage has no groups.
    """
    if coverage.by == "source":
        raise SettingsError("coverage by source has no groups to compare; count by connection")
    kept, rest = largest(coverage, top)
    table = kept.table()
    names = [str(name) for name in table["group"]]
    title = _title(coverage, table)
    subtitle = f"Share of each source {_EACH[coverage.by]}"
    others = rest.counts["group"].nunique()
    if others:
        plural = PLURALS.get(coverage.by, "groups")
        subtitle += f"; the {len(names)} largest of {len(names) + others:,} {plural}"
    sums = _sums(kept.counts)
    rows = [(_shown(coverage.by, name), _parts(sums, name)) for name in names]
    if others:
        whole = _sums(rest.counts.assign(group=""))
        rows.append((f"{others:,} others", _parts(whole, "")))
    sources = list(coverage.sources)
    legend = [look(source) for source in sources]
    striped = [s for s in coverage.broken if s is not Source.INVALID]
    legend += [look(source, broken=True) for source in striped[:1]]
    left, width = 252.0, WIDTH - PAD - 252
    card = Card(title, subtitle, _ROW * len(rows), legend=legend)
    for place, (name, parts) in enumerate(rows):
        middle, n = card.top + _ROW * (place + 0.5), sum(parts.values())
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
            card.label(box, part, f"{share} {_word(part)}" if part.broken else share, share)
            start += box[2]
    lines = [
        f"{shorten(name, 60)}, {sum(parts.values()):,} users: {_told(parts)}"
        for name, parts in rows
    ]
    return Chart(card.figure, title, sentences(title, subtitle, *lines))


def largest(coverage: Coverage, top: int) -> tuple[Coverage, Coverage]:
    """Divide a coverage into its largest groups and the others.

    A single other one is kept: the row that would say "1 other" is its own.
    """
    sizes = coverage.counts.groupby("group")["users"].sum()
    if len(sizes) <= top + 1:
        return coverage, Coverage.empty(coverage.by)
    names = set(sizes.nlargest(top).index)
    mine = coverage.counts["group"].isin(names)
    estimate = coverage.estimate
    if estimate is not None and coverage.by == "connection":
        # What a sample says of each connection, it says without the others.
        estimate = estimate.where(lambda one: (one.connection or NONE) in names)
    kept = Coverage(coverage.by, coverage.counts[mine], estimate)
    return kept, Coverage(coverage.by, coverage.counts[~mine])


def _sums(counts: pd.DataFrame) -> dict[tuple[str, str, str], int]:
    """Return users by group, source and what people see."""
    names = ["group", "source", "seen"]
    sums = counts.groupby(names)["users"].sum().reset_index()
    keys = sums[names].itertuples(index=False, name=None)
    return dict(zip(keys, sums["users"], strict=True))


def _parts(sums: Mapping[tuple[str, str, str], int], group: str) -> dict[Look, int]:
    """Return the users of one group by how they look, in the order of `Source`."""
    parts: dict[Look, int] = {}
    for source in Source:
        for name in Seen:
            users = int(sums.get((group, source.value, name.value), 0))
            broken = name is Seen.BROKEN and source is not Source.INVALID
            if users:
                part = look(source, broken=broken)
                parts[part] = parts.get(part, 0) + users
    return dict(sorted(parts.items(), key=lambda pair: _ORDER[pair[0].source] + pair[0].broken))


_ORDER = {source: 2 * place for place, source in enumerate(Source)}


def _word(part: Look) -> str:
    return "broken" if part.source is Source.METADATA else "expired"


def _told(parts: Mapping[Look, int]) -> str:
    """Say the sources of one group in words, the largest first."""
    total, late = sum(parts.values()), {p.source: n for p, n in parts.items() if p.broken}
    sources: dict[Source, int] = {}
    for part, users in parts.items():
        sources[part.source] = sources.get(part.source, 0) + users
    words = []
    for source, users in sorted(sources.items(), key=lambda pair: -pair[1]):
        word = _word(look(source))
        after = f" ({percent(late[source] / total)} {word})" if source in late else ""
        words.append(f"{source} {percent(users / total)}{after}")
    return ", ".join(words)


def _title(coverage: Coverage, kept: pd.DataFrame) -> str:
    """State what the groups differ by most: the source and the group that go together."""
    if kept.empty:
        return "There are no users"
    total, sources = coverage.users, coverage.sources
    rows = kept.to_dict("records")
    # How many users a group has of a source beyond its part of everybody.
    beyond = {
        (source, place): counts.get(source, 0) - counts["users"] * n / total
        for source, n in sources.items()
        for place, counts in enumerate(rows)
    }
    (source, place), most = max(beyond.items(), key=lambda pair: pair[1])
    if most < total / 100:
        return f"The sources hardly differ {_HARDLY[coverage.by]}"
    counts = rows[place]
    n, group = int(counts[source]), str(counts["group"])
    whole, part = n / int(counts["users"]), n / sources[source]
    if part >= whole:
        noun = f"{source} pictures" if source is not Source.MISSING else "users without a picture"
        return f"{percent(part)} of {noun} {_where(coverage.by, group)}"
    return f"{percent(whole)} of pictures of {_whose(coverage.by, group)} {SAYS[source]}"


def _where(by: str, group: str) -> str:
    if by in {"activity", "cohort"}:
        return f"are of {_whose(by, group)}"
    if group == NONE:
        return f"have no {by}"
    name = _brief(group)
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


def _shown(by: str, group: str) -> str:
    return ACTIVITY.get(group, group) if by == "activity" else group


def _brief(group: str) -> str:
    return cut(group, TITLE, 300)
