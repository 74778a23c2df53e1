"""What people see where a picture belongs, as one bar."""

from toolkit.charts.card import INK, MUTED, PAD, WIDTH, Card, Look
from toolkit.charts.chart import Chart, sentences
from toolkit.charts.lettering import TEXT, extent
from toolkit.coverage import Coverage
from toolkit.headline import headline, people_see, sampled
from toolkit.picture import Source
from toolkit.seen import Seen
from toolkit.wording import percent

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
