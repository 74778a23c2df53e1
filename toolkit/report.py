"""The report: one HTML page that explains itself and loads nothing from anywhere.

It shows what coverage holds and decides nothing. It names no user: groups are
connections and providers, never people.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from toolkit.charts import Chart, by_group, cohorts
from toolkit.coverage import ACTIVITY, Coverage, percent, shorten
from toolkit.errors import SettingsError
from toolkit.palette import COLOURS, STRIPE
from toolkit.picture import Source
from toolkit.snapshot import Snapshot, replacing

_LONGEST_NAME = 80

# What people see, from a face to nothing; each with the source that lends its colour.
_SEEN: tuple[tuple[str, Source, frozenset[Source]], ...] = (
    (
        "own picture",
        Source.SOCIAL,
        frozenset(
            {Source.SOCIAL, Source.ENTERPRISE, Source.GRAVATAR, Source.METADATA, Source.CUSTOM}
        ),
    ),
    ("unresolved", Source.UNRESOLVED, frozenset({Source.UNRESOLVED})),
    ("initials", Source.INITIALS, frozenset({Source.INITIALS})),
    ("stock image", Source.PLACEHOLDER, frozenset({Source.PLACEHOLDER})),
    ("none", Source.MISSING, frozenset({Source.MISSING, Source.INVALID})),
)
_OWN = _SEEN[0][2]

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
<main>
{body}
</main>
</body>
</html>
"""


def report_html(coverages: Mapping[str, Coverage], facts: Mapping[str, Any]) -> str:
    """Write the report of one snapshot.

    Args:
        coverages: coverage by what it is by. "source" is needed; "connection",
            "provider", "cohort" and "activity" are shown where they are given.
        facts: how the snapshot was taken, all optional: `tenant`, `taken_at` (ISO 8601),
            `users` (as the tenant counts them), `complete` (true only where every user
            is accounted for), `method`, `windows`, `requests`, `seconds`, `sandbox`,
            `toolkit_version`.

    Returns:
        A whole HTML document: no script, no address outside itself.

    Raises:
        SettingsError: there is no coverage by source.
    """
    if "source" not in coverages:
        raise SettingsError("a report needs coverage by source; count that first")
    whole = coverages["source"]
    parts = [
        _top(whole, facts),
        _cards(whole),
        _sources(whole),
        _groups(coverages.get("connection"), "connection"),
        _groups(coverages.get("provider"), "provider"),
        _joined(coverages.get("cohort")),
        _activity(coverages.get("activity")),
        _method(facts),
    ]
    title = f"Where your users' pictures come from: {_tenant(facts)}"
    return _PAGE.format(
        title=escape(title), style=_style(), body="\n".join(part for part in parts if part)
    )


def report(snapshot: Snapshot, path: Path | str) -> None:
    """Write the report of a snapshot as one HTML file. It holds no personal data.

    Raises:
        OutputError: the file cannot be written there.
    """
    shown = ("source", "connection", "cohort", "activity")
    page = report_html({by: snapshot.coverage(by) for by in shown}, snapshot.provenance.as_dict())
    with replacing(Path(path)) as file:
        file.write(page.encode())


def _style() -> str:
    """Return the style sheet, with one class for the colour of each source."""
    sheet = files("toolkit").joinpath("report.css").read_text("utf-8")
    rules = [f".{source} {{ background: {colour}; }}" for source, colour in COLOURS.items()]
    rules.append(
        f".{Source.UNRESOLVED} {{ background: repeating-linear-gradient(135deg, "
        f"{COLOURS[Source.UNRESOLVED]} 0 5px, {STRIPE} 5px 8px); }}"
    )
    rules.append(f".{Source.PLACEHOLDER} {{ box-shadow: inset 0 0 0 1px #8a7f00; }}")
    return "\n".join([sheet, *rules])


def _top(whole: Coverage, facts: Mapping[str, Any]) -> str:
    taken = _moment(facts.get("taken_at"))
    line = [f"tenant {escape(_tenant(facts))}", f"{whole.users:,} users"]
    if taken:
        line.append(f"taken {escape(taken)}")
    alarm = ""
    if facts.get("sandbox"):
        line.append('<span class="tag">sandbox: made-up people</span>')
    if facts.get("complete") is True:
        line.append(f'<strong class="good">complete</strong>: {_reading(whole, facts)}')
    else:
        alarm = (
            '<p class="alarm" role="alert"><strong>Incomplete.</strong> '
            f"{_missing(whole, facts)} Run the same <code>picture-audit collect</code> again: "
            "it goes on where it ended.</p>\n"
        )
        line.append(f"<strong>not complete</strong>: {_reading(whole, facts)}")
    return (
        f"<header>\n{alarm}<h1>Where your users' pictures come from</h1>\n"
        f'<p class="facts">{" · ".join(line)}</p>\n</header>'
    )


def _missing(whole: Coverage, facts: Mapping[str, Any]) -> str:
    there = facts.get("users")
    if isinstance(there, int) and there > whole.users:
        return f"{there - whole.users:,} of {there:,} users are not in these numbers."
    return "Nothing proves that every user is in these numbers."


def _reading(whole: Coverage, facts: Mapping[str, Any]) -> str:
    """Say in words how the users were read."""
    words = f"{whole.users:,} read"
    there = facts.get("users")
    if isinstance(there, int):
        words += f", {there:,} counted"
    method = facts.get("method")
    if method:
        words += f", by {shorten(str(method), 40)}"
    windows, requests, seconds = (facts.get(k) for k in ("windows", "requests", "seconds"))
    if windows is not None:
        words += f", reconciled over {_count(windows, 'window')}"
    if requests is not None:
        words += f", {_count(requests, 'request')}"
    if seconds is not None:
        words += f", {float(seconds):,.1f} s"
    return escape(words)


def _cards(whole: Coverage) -> str:
    """Answer first: who sees a face, and how much of that nobody knows."""
    total, users = whole.users, whole.sources
    if not total:
        return '<p class="card">There are no users, so there is nothing to show.</p>'
    own = sum(n for source, n in users.items() if source in _OWN)
    open_ = users.get(Source.UNRESOLVED, 0)
    most = own + open_
    if open_:
        answer = (
            f'<p><span class="big">{percent(own / total)}</span> '
            f'<span class="muted">at least</span></p>\n<p class="muted">{own:,} people; up to '
            f"{most:,} ({percent(most / total)}) if each unresolved Gravatar exists</p>"
        )
    else:
        answer = (
            f'<p><span class="big">{percent(own / total)}</span></p>\n'
            f'<p class="muted">{own:,} of {total:,} people</p>'
        )
    counted = [
        (name, colour, n)
        for name, colour, members in _SEEN
        if (n := sum(users.get(source, 0) for source in members))
    ]
    bar = "".join(
        f'<span class="{colour}" style="flex:{n} 0 0"></span>' for _, colour, n in counted
    )
    keys = "\n".join(
        f'<li><span class="swatch {colour}"></span>{name} '
        f"<strong>{percent(n / total)}</strong></li>"
        for name, colour, n in counted
    )
    note = (
        '<p class="note">Striped: unresolved. Each is a Gravatar or its fallback, and nobody '
        "has asked Gravatar which.</p>"
        if open_
        else ""
    )
    return (
        '<div class="cards">\n'
        f'<section class="card"><h2>have a picture of their own</h2>\n{answer}</section>\n'
        '<section class="card wide"><h2>what people see</h2>\n'
        f'<div class="bar" aria-hidden="true">{bar}</div>\n'
        f'<ul class="keys">\n{keys}\n</ul>\n{note}</section>\n</div>'
    )


def _sources(whole: Coverage) -> str:
    rows = list(whole.as_dict().items())
    if not rows:
        return ""
    largest = rows[0][1]["users"]
    body = "\n".join(
        f'<tr><th scope="row">{source}</th>'
        f'<td class="muted">{escape(Source(source).meaning)}</td>'
        f'<td class="number">{row["users"]:,}</td>'
        f'<td class="number">{percent(row["share"], 1)}</td>'
        f'<td class="measure" aria-hidden="true"><span class="{source}" '
        f'style="width:{100 * row["users"] / largest:.2f}%"></span></td></tr>'
        for source, row in rows
    )
    absent = [source for source in Source if source not in whole.sources]
    note = f'<p class="note">Not found: {", ".join(absent)}.</p>' if absent else ""
    return (
        '<section>\n<h2>By source</h2>\n<div class="scroll"><table>\n'
        "<caption>Each user counts once, under what their picture is</caption>\n"
        '<thead><tr><th scope="col">source</th><th scope="col">what it means</th>'
        '<th scope="col" class="number">users</th><th scope="col" class="number">share</th>'
        "<td></td></tr></thead>\n"
        f"<tbody>\n{body}\n</tbody>\n</table></div>\n{note}</section>"
    )


def _groups(coverage: Coverage | None, noun: str) -> str:
    if coverage is None or not coverage.users:
        return ""
    return (
        f"<section>\n<h2>By {noun}</h2>\n{_figure(by_group(coverage), noun)}\n"
        f"<details><summary>The same as a table, every {noun}</summary>\n"
        f"{_table(coverage, noun, f'Users of each {noun}, by source')}</details>\n</section>"
    )


def _joined(coverage: Coverage | None) -> str:
    if coverage is None or not coverage.users:
        return ""
    caption = "Users who joined in each month, by source"
    return (
        f"<section>\n<h2>By month of joining</h2>\n{_figure(cohorts(coverage), 'cohort')}\n"
        "<details><summary>The same as a table, every month</summary>\n"
        f"{_table(coverage, 'month', caption)}</details>\n</section>"
    )


def _activity(coverage: Coverage | None) -> str:
    if coverage is None or not coverage.users:
        return ""
    caption = "Users by the time from their last login to this snapshot"
    return f"<section>\n<h2>By activity</h2>\n{_table(coverage, 'last login', caption)}\n</section>"


def _figure(chart: Chart, name: str) -> str:
    """Put a chart into the page, in the page's colours; its words are inside it."""
    return f'<div class="card figure">{chart.inline_svg(f"chart-{name}")}</div>'


def _table(coverage: Coverage, noun: str, caption: str) -> str:
    sources = list(coverage.sources)
    head = "".join(
        f'<th scope="col" class="number">{name}</th>' for name in ("users", "share", *sources)
    )
    body = []
    for name, row in coverage.as_dict().items():
        mine = row["sources"]
        words = ACTIVITY.get(name, name) if coverage.by == "activity" else name
        cells = [f"{row['users']:,}", percent(row["share"], 1)]
        cells += [f"{mine[s]['users']:,}" if s in mine else "" for s in sources]
        body.append(
            f'<tr><th scope="row"><bdi>{escape(shorten(words, _LONGEST_NAME))}</bdi></th>'
            + "".join(f'<td class="number">{cell}</td>' for cell in cells)
            + "</tr>"
        )
    return (
        f'<div class="scroll"><table class="wide-table">\n<caption>{escape(caption)}</caption>\n'
        f'<thead><tr><th scope="col">{escape(noun)}</th>{head}</tr></thead>\n<tbody>\n'
        + "\n".join(body)
        + "\n</tbody>\n</table></div>"
    )


def _method(facts: Mapping[str, Any]) -> str:
    version = facts.get("toolkit_version")
    by = f" {escape(shorten(str(version), 40))}" if version else ""
    return f"""<section>
<h2>Method and limits</h2>
<ul>
<li>A picture is judged by its URL; a URL of an unknown host by the login that brought it.
No picture was opened.</li>
<li><strong>unresolved</strong> is a Gravatar URL: the URL alone does not say whether that
Gravatar exists. It is counted as unknown, never as a picture and never as none.</li>
<li><strong>metadata</strong> is counted as an own picture. People see it only where your
application, or an Action, shows <code>user_metadata.picture</code>; Auth0 itself does not.</li>
<li>Links to pictures of social providers can expire; this page does not check that they
still load.</li>
<li><strong>complete</strong> means that every user the tenant counts was read. The picture is
the profile's at that moment; a social or enterprise login may bring another.</li>
</ul>
</section>
<footer class="note">Made by auth0-picture-audit{by}. No personal data in this page.</footer>"""


def _tenant(facts: Mapping[str, Any]) -> str:
    return shorten(str(facts.get("tenant") or "not named"), _LONGEST_NAME)


def _moment(value: object) -> str:
    """Write an ISO 8601 moment to the minute in UTC; what is none stays as it is."""
    if not value:
        return ""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return shorten(str(value), 40)
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _count(number: object, noun: str) -> str:
    text = f"{number:,}" if isinstance(number, int) else shorten(str(number), 20)
    return f"{text} {noun}" if number == 1 else f"{text} {noun}s"
