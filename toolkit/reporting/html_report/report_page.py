"""The report's page: HTML that needs no script and asks nobody for anything."""

from html import escape
from importlib.resources import files

from toolkit.analysis.coverage_count import Coverage
from toolkit.analysis.groups import ACTIVITY, Seen
from toolkit.analysis.headline_words import (
    between,
    deviation,
    headline,
    people_see,
    problem,
    sampled,
)
from toolkit.classification.sources import Source
from toolkit.formatting import percent, shorten
from toolkit.reporting.charts.group_chart import by_group
from toolkit.reporting.charts.month_charts import cohorts, own_by_month
from toolkit.reporting.charts.source_charts import LOOKS
from toolkit.reporting.html_report.report_content import Content, listed
from toolkit.reporting.html_report.report_sections import (
    LONGEST_NAME,
    count,
    figure,
    method,
    moment,
    name,
    remedy,
    table,
)
from toolkit.reporting.palette import COLOURS, CROSSES, EDGES, ON_DARK, STRIPE

LISTED = 100
"""How many groups of a kind have a row; the others share one."""

_FITS = 0.13  # of the bar; what its name and share need
_NUMBER_FITS = 0.055

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" \
content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<style>
{style}
</style>
</head>
<body>
{top}
<main>
{body}
</main>
{foot}
</body>
</html>
"""


def page(content: Content, *, twin: str = "", personal: bool = False) -> str:
    """Write the page of a report.

    Args:
        content: what it tells.
        twin: the name of the file that holds the same as JSON.
        personal: name a few users for each finding.

    Returns:
        A whole HTML document: no script, no address outside itself.
    """
    groups = content.groups
    parts = [
        _cards(content),
        _sources(content),
        _connections(groups["connection"], twin),
        _months(groups["cohort"], twin),
        _activity(groups["activity"]),
        remedy(content, personal=personal),
        method(content, twin),
    ]
    named = "The people named as examples make this page personal data."
    people = named if personal else "No personal data in this page."
    version = escape(shorten(content.provenance.toolkit_version, 40))
    title = f"Where your users' pictures come from: {_tenant(content)}"
    return _PAGE.format(
        title=escape(title),
        style=_style(),
        top=_top(content),
        body="\n".join(part for part in parts if part),
        foot=f'<footer class="note">Made by auth0-picture-audit {version}. {people}</footer>',
    )


def _style() -> str:
    """Return the style sheet, with one class for the colour of each source."""
    sheet = files("toolkit.reporting.html_report").joinpath("report.css").read_text("utf-8")
    rules = [f".{source} {{ background: {colour}; }}" for source, colour in COLOURS.items()]
    rules += [
        f".{source}.broken {{ background: {_stripes(45, colour, ON_DARK)}; }}"
        for source, colour in COLOURS.items()
    ]
    plain, crossed = COLOURS[Source.UNRESOLVED], COLOURS[Source.INVALID]
    rules.append(f".{Source.UNRESOLVED} {{ background: {_stripes(135, plain, STRIPE)}; }}")
    rules.append(f".{Source.INVALID} {{ background: {_stripes(90, crossed, CROSSES)}; }}")
    for source, colour in EDGES.items():
        rules.append(f".{source} {{ box-shadow: inset 0 0 0 1px {colour}; }}")
    return "\n".join([sheet, *rules])


def _stripes(angle: int, ground: str, stripe: str) -> str:
    return f"repeating-linear-gradient({angle}deg, {ground} 0 5px, {stripe} 5px 7px)"


def _top(content: Content) -> str:
    facts, whole = content.provenance, content.whole
    line = [
        f"tenant {escape(_tenant(content))}",
        f"{whole.users:,} users",
        f"taken {moment(facts.taken_at)}",
    ]
    alarm = ""
    if facts.sandbox:
        line.append('<span class="tag">sandbox: made-up people</span>')
    if facts.complete:
        line.append(f'<strong class="good">complete</strong>: {_reading(content)}')
    else:
        alarm = (
            '<p class="alarm" role="alert"><strong>Incomplete.</strong> Nothing proves that every '
            "user is in these numbers. Run the same <code>picture-audit collect</code> again: "
            "it goes on where it ended.</p>\n"
        )
        line.append(f"<strong>not complete</strong>: {_reading(content)}")
    return (
        f"<header>\n{alarm}<h1>Where your users' pictures come from</h1>\n"
        f'<p class="facts">{" · ".join(line)}</p>\n</header>'
    )


def _reading(content: Content) -> str:
    """Say in words how the users were read."""
    facts = content.provenance
    words = f"{content.whole.users:,} read, by {shorten(facts.method, 40)}"
    if facts.method != "ingest":
        words += f", reconciled over {count(facts.windows, 'window')}"
        words += f", {count(facts.requests, 'request')}"
    return escape(f"{words}, {facts.seconds:,.1f} s")


def _cards(content: Content) -> str:
    """Answer first: who sees a picture of their own, and how much of that nobody knows."""
    whole, total = content.whole, content.whole.users
    if not total:
        return '<p class="card">There are no users, so there is nothing to show.</p>'
    said, shown = headline(whole), people_see(whole)
    least = '<span class="muted">at least</span> ' if said.share.startswith("at least") else ""
    big = said.share.removeprefix("at least ")
    after = "," if said.doubt.startswith("up") else ""
    doubt = f'{after} <span class="doubt">{said.doubt}</span>' if said.doubt else ""
    bar, keys = [], []
    for seen, users in shown.items():
        look, share = LOOKS[seen], users.middle / total
        style = f"{look.source} broken" if look.broken else str(look.source)
        text = f"{look.name} {percent(share)}" if share >= _FITS else percent(share)
        label = f"<b>{text}</b>" if share >= _NUMBER_FITS else ""
        bar.append(f'<span class="{style}" style="flex:{users.middle:.4f} 0 0">{label}</span>')
        keys.append(
            f'<li><span class="swatch {style}"></span>{look.name} '
            f"<strong>{percent(share, 1)}</strong></li>"
        )
    notes = [_striped(content)]
    if worst := problem(whole, overrides=content.overrides):
        notes.append(f"<strong>{escape(worst)}</strong>")
    lines = "\n".join(keys)
    return (
        '<div class="cards">\n<section class="card"><h2>see a picture of their own</h2>\n'
        f'<p>{least}<span class="big">{big}</span>{doubt}</p>\n'
        f'<p class="muted">{escape(said.people)}</p></section>\n'
        '<section class="card wide"><h2>what people see</h2>\n'
        f'<div class="bar" aria-hidden="true">{"".join(bar)}</div>\n'
        f'<ul class="keys">\n{lines}\n</ul>\n'
        f'<p class="note">{" ".join(note for note in notes if note)}</p></section>\n</div>'
    )


def _striped(content: Content) -> str:
    seen = people_see(content.whole)
    said = []
    if Seen.UNKNOWN in seen:
        said.append("striped grey: nobody has asked what they see")
    if Seen.BROKEN in seen:
        said.append("striped blue: a picture that does not load")
    return f"{'; '.join(said)}.".capitalize() if said else ""


def _sources(content: Content) -> str:
    whole = content.whole
    rows = whole.table().to_dict("records")
    if not rows:
        return ""
    estimated = whole.estimated if sampled(whole) else {}
    broken = whole.broken
    most = max([int(rows[0]["users"]), *(part.high for part in estimated.values())])
    body = []
    for row in rows:
        source, users = Source(row["source"]), int(row["users"])
        late = broken.get(source, 0) if source is not Source.INVALID else 0
        meaning = escape(source.meaning)
        if late:
            word = "broken" if source is Source.METADATA else "expired"
            meaning += f'; <span class="bad">{late:,} {word}</span>'
        if source is Source.METADATA and content.overrides is False:
            meaning += '; <span class="bad">nothing shows these</span>'
        doubt, points, whisker = "", "", ""
        if part := estimated.get(source):
            doubt = f' <span class="muted">± {deviation(part):,.0f}</span>'
            points = f' <span class="muted">± {100 * deviation(part) / whole.users:.1f}</span>'
            whisker = (
                f'<i style="left:{100 * part.low / most:.2f}%;'
                f'width:{100 * (part.high - part.low) / most:.2f}%"></i>'
            )
        bars = f'<span class="{source}" style="width:{100 * (users - late) / most:.2f}%"></span>'
        if late:
            bars += f'<span class="{source} broken" style="width:{100 * late / most:.2f}%"></span>'
        body.append(
            f'<tr><th scope="row">{source}</th><td class="muted">{meaning}</td>'
            f'<td class="number">{users:,}{doubt}</td>'
            f'<td class="number">{percent(users / whole.users, 1)}{points}</td>'
            f'<td class="measure" aria-hidden="true"><div>{bars}{whisker}</div></td></tr>'
        )
    caption = "Each user counts once, under what their picture is"
    if sample := sampled(whole):
        caption += f"; ± is a 95 % interval from {sample}, which divides the unresolved"
    there = {row["source"] for row in rows}
    absent = [source for source in Source if source.value not in there and not estimated]
    note = f'<p class="note">Not found: {", ".join(absent)}.</p>' if absent else ""
    head = [("source", ""), ("what it means", ""), ("users", "number"), ("share", "number")]
    drawn = table(caption, [*head, ("", "")], body)
    return f"<section>\n<h2>By source</h2>\n{drawn}\n{note}</section>"


def _connections(coverage: Coverage, twin: str) -> str:
    if not coverage.users:
        return ""
    caption = "Users of each connection, by source, and the share who see a picture of their own"
    return (
        f"<section>\n<h2>By connection</h2>\n{figure(by_group(coverage), 'connection')}\n"
        f"<details><summary>The same as a table, with the share of own pictures"
        f"</summary>\n{_groups(coverage, 'connection', caption, twin)}</details>\n</section>"
    )


def _months(coverage: Coverage, twin: str) -> str:
    if not coverage.users:
        return ""
    caption = "Users who joined in each month, and the share who see a picture of their own"
    return (
        f"<section>\n<h2>By month of joining</h2>\n{figure(own_by_month(coverage), 'own')}\n"
        f"{figure(cohorts(coverage), 'cohort')}\n"
        "<details><summary>The same as a table, month by month</summary>\n"
        f"{_groups(coverage, 'month', caption, twin)}</details>\n</section>"
    )


def _activity(coverage: Coverage) -> str:
    if not coverage.users:
        return ""
    caption = "Users by their last login, and the share of each group with an own picture"
    drawn = _groups(coverage, "last login", caption, "")
    return f"<section>\n<h2>By activity</h2>\n{drawn}\n</section>"


def _groups(coverage: Coverage, noun: str, caption: str, twin: str) -> str:
    kept, rest = listed(coverage, LISTED)
    sources = list(coverage.sources)
    head = [(noun, ""), *((text, "number") for text in ("users", "share", "own picture"))]
    head += [(str(source), "number") for source in sources]
    body = []
    for group, row in kept.as_dict().items():
        words = ACTIVITY.get(group, group) if coverage.by == "activity" else group
        mine = {source: cell["users"] for source, cell in row["sources"].items()}
        own = between(row["own"]["low"], row["own"]["high"])
        cells = [f"{row['users']:,}", percent(row["share"], 1), own]
        body.append(_row(name(words), [*cells, *_cells(mine, sources)]))
    note = ""
    if rest.users:
        others = rest.counts["group"].nunique()
        own = between(rest.own.low / rest.users, rest.own.high / rest.users)
        cells = [f"{rest.users:,}", percent(rest.users / coverage.users, 1), own]
        mine = {str(source): users for source, users in rest.sources.items()}
        body.append(_row(f"{others:,} others", [*cells, *_cells(mine, sources)]))
        which = "latest" if coverage.by == "cohort" else "largest"
        note = (
            f'<p class="note">The {LISTED} {which} of {LISTED + others:,}. More of them: '
            f"<code>{escape(shorten(twin, LONGEST_NAME))}</code>; all of them: "
            f"<code>picture-audit coverage SNAPSHOT --by {coverage.by} --format csv</code>.</p>"
        )
    return table(caption, head, body, kind="wide-table") + note


def _row(first: str, cells: list[str]) -> str:
    numbers = "".join(f'<td class="number">{cell}</td>' for cell in cells)
    return f'<tr><th scope="row">{first}</th>{numbers}</tr>'


def _cells(users: dict[str, int], sources: list[Source]) -> list[str]:
    return [f"{users[source]:,}" if source in users else "" for source in sources]


def _tenant(content: Content) -> str:
    return shorten(content.provenance.tenant or "not named", LONGEST_NAME)
