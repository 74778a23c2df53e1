"""The users of each source, and what people see, as bars."""

from collections.abc import Sequence

from toolkit.analysis.coverage_count import Coverage
from toolkit.analysis.groups import Seen
from toolkit.analysis.headline_words import deviation, headline, people_see, sampled
from toolkit.classification.sources import Source
from toolkit.formatting import percent
from toolkit.reporting.charts.chart import (
    INK,
    MUTED,
    PAD,
    TEXT,
    WIDTH,
    Card,
    Chart,
    Look,
    extent,
    look,
    sentences,
)

SAYS = {
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
"""What a title says of the pictures of each source."""

_ROW = 40.0


def by_source(coverage: Coverage) -> Chart:
    """Draw the users of each source as bars, the largest first, whatever `coverage` is by.

    The part whose pictures have expired is striped. Where a sample was asked for, the
    unresolved are shared out as it divides them, and whiskers are its 95 % interval.

    Args:
        coverage: of anybody; what it is by does not matter.

    Returns:
        The chart, a value that shows itself.
    """
    total, sample = coverage.users, sampled(coverage)
    estimated = coverage.estimated if sample else {}
    known: dict[Source, int] = dict(coverage.sources)
    if estimated:
        del known[Source.UNRESOLVED]
        known |= {source: round(part.middle) for source, part in estimated.items()}
    users = sorted(known.items(), key=lambda pair: -pair[1])
    title = _title(users, total, about=bool(estimated))
    subtitle = f"{total:,} users by the source of their picture"
    if estimated:
        subtitle += f"; with whiskers: from {sample}, 95 % interval"
    broken: dict[Source, int] = coverage.broken
    broken.pop(Source.INVALID, None)
    if broken:
        subtitle += "; striped: a broken image"
    left, right = 268.0, WIDTH - PAD - (136 if estimated else 92)
    card = Card(title, subtitle, _ROW * len(users))
    most = max([1, *(n for _, n in users), *(part.high for part in estimated.values())])
    words = []
    for place, (source, n) in enumerate(users):
        middle = card.top + _ROW * (place + 0.5)
        card.write(PAD, middle - 7, source, weight="bold")
        card.write(PAD, middle + 7.5, source.meaning, size=7.5, colour=MUTED)
        end = left + max((right - left) * n / most, 1.5)
        card.bar((left, middle - 11, end - left, 22), look(source), rounded=True)
        label, share = f"{n:,}", percent(n / total, 1)
        told = f"{source} {n:,} users, {share}"
        if late := broken.get(source):
            part = (left + (end - left) * (1 - late / n), middle - 11, (end - left) * late / n, 22)
            card.bar(part, look(source, broken=True))
            label_of = "expired" if source is not Source.METADATA else "broken"
            card.label(part, look(source, broken=True), f"{late:,} {label_of}", f"{late:,}")
            told += f", of which {late:,} {label_of}"
        if part_of := estimated.get(source):
            ends = [left + (right - left) * users / most for users in (part_of.low, part_of.high)]
            card.whisker(ends[0], ends[1], middle)
            end = max(end, ends[1])
            label += f" ± {deviation(part_of):,.0f}"
            told += f", 95 % interval {part_of.low:,.0f} to {part_of.high:,.0f}"
        card.write(end + 8, middle, label, weight="bold")
        after = end + 14 + extent(label, TEXT, "bold")
        card.write(after, middle, share, colour=MUTED)
        words.append(told)
    return Chart(card.figure, title, sentences(title, subtitle, "; ".join(words)))


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
    Seen.UNKNOWN: Look(Source.UNRESOLVED, "unknown"),
    Seen.INITIALS: Look(Source.INITIALS, "initials"),
    Seen.PLACEHOLDER: Look(Source.PLACEHOLDER, "stock image"),
    Seen.BROKEN: Look(Source.SOCIAL, "broken image", broken=True),
    Seen.NONE: Look(Source.MISSING, "nothing"),
}
"""How each thing that people see looks, in charts and pages."""


def what_people_see(coverage: Coverage) -> Chart:
    """Draw what people see as one bar, from a picture of their own to nothing.

    Args:
        coverage: of anybody; what it is by does not matter. Where a sample was asked for,
            the bar is its best guess.

    Returns:
        The chart, a value that shows itself.
    """
    total, shown = coverage.users, people_see(coverage)
    said = headline(coverage)
    title = f"{said.share[0].upper()}{said.share[1:]}"
    title += f"{', ' if said.doubt.startswith('up') else ' '}{said.doubt}" if said.doubt else ""
    title = f"{title} of people see a picture of their own" if total else "There are no users"
    subtitle = f"What {total:,} people see"
    if sample := sampled(coverage):
        subtitle += f", from {sample}; ± is its 95 % interval, in points"
    card = Card(title, subtitle, 92 if total else 0)
    x, y, words = PAD, card.top + 4, []
    keys = PAD
    line = y + 62
    for name, users in shown.items():
        look, share = LOOKS[name], users.middle / total
        box = (x, y, (WIDTH - 2 * PAD) * share, 38.0)
        card.bar(box, look)
        card.label(box, look, f"{look.name} {percent(share)}", percent(share))
        x += box[2]
        number = percent(share, 1)
        width = 19 + extent(look.name, TEXT) + 5 + extent(number, TEXT, "bold") + 16
        if keys > PAD and keys + width > WIDTH - PAD:
            keys, line = PAD, line + 20
        card.bar((keys, line - 5, 14, 10), look)
        card.write(keys + 19, line, look.name, colour=MUTED)
        after = keys + 24 + extent(look.name, TEXT)
        card.write(after, line, number, weight="bold", colour=INK)
        keys += width
        words.append(f"{look.name} ({name.meaning}) {round(users.middle):,} people, {number}")
    return Chart(card.figure, title, sentences(title, subtitle, "; ".join(words)))
