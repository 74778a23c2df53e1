"""Sections of the report: what to do, how the numbers came about; and their pieces."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape

from toolkit.analysis.finding_counts import Finding
from toolkit.analysis.tenant_wiring import RULES_END, Setter
from toolkit.classification.sources import Source
from toolkit.formatting import percent, shorten, visible
from toolkit.reporting.charts.chart import Chart
from toolkit.reporting.html_report.report_content import Content

LONGEST_NAME = 80
"""How many characters of a name that somebody typed are shown."""


def name(text: str) -> str:
    """Write a name that somebody typed: cut, visible, and in a direction of its own."""
    return f"<bdi>{escape(shorten(text, LONGEST_NAME))}</bdi>"


def figure(chart: Chart, identifier: str) -> str:
    """Put a chart into the page, in the page's colours; its words are inside it."""
    svg = chart.inline_svg(f"chart-{identifier}")
    return f'<div class="card figure" {_scrolls(chart.title)}>{svg}</div>'


def table(
    caption: str, head: Sequence[tuple[str, str]], rows: Iterable[str], *, kind: str = ""
) -> str:
    """Return a table that scrolls sideways where it has no room, by keyboard too.

    Args:
        caption: what it shows, as text.
        head: the heading and the class of each column; no heading makes an empty cell.
        rows: the `<tr>` elements.
        kind: a class of the table.
    """
    cells = "".join(
        f'<th scope="col" class="{style}">{escape(text)}</th>' if text else "<td></td>"
        for text, style in head
    )
    style = f' class="{kind}"' if kind else ""
    body = "\n".join(rows)
    return (
        f'<div class="scroll" {_scrolls(caption)}><table{style}>\n'
        f"<caption>{escape(caption)}</caption>\n<thead><tr>{cells}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def moment(value: datetime) -> str:
    """Write a moment to the minute, in UTC."""
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def count(number: int, noun: str) -> str:
    """Write a number of things."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _scrolls(label: str) -> str:
    """Return the attributes of a region that scrolls: one can reach it by keyboard."""
    return f'tabindex="0" role="region" aria-label="{escape(label)}"'


_LONGEST_NOTE = 500


def remedy(content: Content, *, personal: bool) -> str:
    """Return the sections of findings and of Actions and Rules."""
    return f"{_findings(content, personal=personal)}\n{_wiring(content)}"


def _findings(content: Content, *, personal: bool) -> str:
    found = content.findings
    notes = "".join(
        f'<p class="note">{escape(shorten(note, _LONGEST_NOTE))}</p>' for note in found.notes
    )
    heading = "<section>\n<h2>What to do about it</h2>"
    if not found:
        return f"{heading}\n<p>Nothing was found that is worth mending.</p>\n{notes}</section>"
    head = [("finding", ""), ("severity", ""), ("users", "number"), ("what it means", "")]
    head.append(("what to do", ""))
    if personal:
        head.append(("for example", ""))
    rows = [_row(one, personal=personal) for one in found]
    caption = "The most severe first; a user counts under each finding that concerns them"
    drawn = table(caption, head, rows, kind="findings")
    return f"{heading}\n{drawn}\n{notes}</section>"


def _row(one: Finding, *, personal: bool) -> str:
    examples = ""
    if personal:
        names = "<br>".join(name(user) for user in one.examples)
        examples = f'<td class="examples">{names}</td>'
    return (
        f'<tr><th scope="row">{escape(one.title)}<br><code>{escape(one.id)}</code></th>'
        f'<td><span class="severity {one.severity}">{one.severity}</span></td>'
        f'<td class="number">{one.users:,}<br><span class="muted">{percent(one.share, 1)}</span>'
        f'</td><td class="muted">{escape(visible(one.meaning))}</td>'
        f"<td>{_advice(one.advice)}</td>{examples}</tr>"
    )


def _advice(text: str) -> str:
    """Write advice, its command as one."""
    words, command, rest = text.partition("picture-audit ")
    return escape(words) + (f"<code>{escape(command + rest)}</code>" if command else "")


def _wiring(content: Content) -> str:
    wiring = content.provenance.wiring
    heading = "<section>\n<h2>Does a picture of your choosing reach people?</h2>"
    if wiring is None:
        return (
            f"{heading}\n<p><strong>Nobody has looked.</strong> The tenant's Actions and Rules "
            "were not read: collect with the scopes <code>read:actions</code> and "
            "<code>read:rules</code>.</p>\n</section>"
        )
    verdict = {
        True: "<strong>Yes</strong>: something puts <code>user_metadata.picture</code> into the "
        "ID token.",
        False: '<strong class="bad">No</strong>: nothing puts <code>user_metadata.picture</code> '
        "into the ID token. People see the profile's picture, unless your application reads "
        "<code>user_metadata</code> itself.",
        None: "<strong>Not known</strong> of <code>user_metadata.picture</code>: the tenant's "
        "Actions and Rules, as far as they were read, do not settle it.",
    }[wiring.override]
    default = {
        True: "A default picture is set for people.",
        False: "Nothing sets a default picture.",
        None: "Whether anything sets a default picture is not known.",
    }[wiring.default]
    unread = [
        what for what, read in (("Actions", wiring.actions), ("Rules", wiring.rules)) if not read
    ]
    note = f" {' and '.join(unread)} could not be read." if unread else ""
    scripts, more = content.scripts
    drawn = ""
    if scripts:
        head = [("script", ""), ("kind", ""), ("does it run?", ""), ("what it sets", "")]
        caption = f"What sets a picture, as read {moment(wiring.as_of)}"
        drawn = table(caption, head, map(_script, scripts))
        drawn += f'<p class="note">{more:,} more set a picture.</p>' if more else ""
    return f"{heading}\n<p>{verdict} {default}{note}</p>\n{drawn}</section>"


def _script(one: Setter) -> str:
    if one.runs:
        state = '<span class="good">runs</span>'
    elif one.stopped:
        state = f'<span class="bad">stopped on {RULES_END:%Y-%m-%d}, with the end of Rules</span>'
    else:
        state = '<span class="muted">is not switched on</span>'
    sets = {True: "user_metadata.picture", None: "perhaps user_metadata.picture", False: ""}
    default = {True: "a default picture", None: "perhaps a default picture", False: ""}
    what = [words for words in (sets[one.override], default[one.default]) if words]
    spares = ", after a look at the one that the user has" if one.spares else ""
    return (
        f'<tr><th scope="row">{name(one.name)}</th><td>{escape(one.kind)}</td>'
        f"<td>{state}</td><td>{escape(' and '.join(what) + spares)}</td></tr>"
    )


_NOTES, _LONGEST_METHOD_NOTE = 20, 300
_JUDGED = (
    "A picture is judged by its URL; a URL of an unknown host by the login that brought it. No "
    "picture was opened."
)
_EXPIRED = (
    "<strong>expired</strong>: some providers sign their links for a limited time, which stands "
    "in the link. Links whose time was over when the snapshot was taken count as broken; other "
    "links were not tried."
)


def method(content: Content, twin: str) -> str:
    """Return the section on method and limits; what it says is true of this snapshot."""
    lines = [
        _JUDGED,
        _EXPIRED,
        _gravatars(content),
        _overrides(content),
        _complete(content),
    ]
    if twin:
        lines.append(
            f"The same numbers for programs: <code>{escape(shorten(twin, LONGEST_NAME))}</code>, "
            "beside this page."
        )
    notes = content.provenance.notes
    lines += [escape(shorten(note, _LONGEST_METHOD_NOTE)) for note in notes[:_NOTES]]
    if len(notes) > _NOTES:
        lines.append(f"{len(notes) - _NOTES:,} more notes are in the snapshot.")
    items = "\n".join(f"<li>{line}</li>" for line in lines)
    return f"<section>\n<h2>Method and limits</h2>\n<ul>\n{items}\n</ul>\n</section>"


def _gravatars(content: Content) -> str:
    facts = content.provenance
    left = content.whole.sources.get(Source.UNRESOLVED, 0)
    if facts.probed_at is None:
        asked = (
            "Nobody has asked Gravatar, so it is counted as unknown"
            if left
            else ("Gravatar was not asked")
        )
        return (
            "<strong>unresolved</strong> is a Gravatar URL: the URL alone does not say whether "
            f"that Gravatar exists. {asked}."
        )
    when = moment(facts.probed_at)
    if facts.estimate is None:
        still = f" {left:,} users are unresolved: no clear answer, or none since." if left else ""
        return f"Gravatar was asked for every hash, last on {when}.{still}"
    unclear = facts.estimate.unclear
    odd = f" {unclear:,} answers were not clear, and widen the interval." if unclear else ""
    return (
        f"Gravatar was asked on {when} for {facts.estimate.asked:,} of "
        f"{facts.estimate.users:,} unresolved users, drawn at random from each connection. "
        "What ± and ranges give is Wilson's 95 % interval for such a sample, corrected for the "
        f"size of the whole: 19 of 20 such samples hold the truth.{odd} By month and activity "
        "the sample says nothing; there the unresolved are unknown."
    )


def _overrides(content: Content) -> str:
    words = {
        True: "People see it, since an Action puts it into the ID token.",
        False: "Nothing at the tenant shows it, so what people see is judged by the picture "
        "below it.",
        None: "Whether people see it is not known; it counts as known only where the picture "
        "below it is their own, too.",
    }[content.overrides]
    return f"<strong>metadata</strong> is <code>user_metadata.picture</code>. {words}"


def _complete(content: Content) -> str:
    facts = content.provenance
    moment_of = "The picture is the profile's at that moment; a social or enterprise login may "
    moment_of += "bring another."
    if not facts.complete:
        return f"The snapshot is <strong>not complete</strong>: users are missing. {moment_of}"
    how = (
        "that the files were whole; they were not compared with what the tenant counts"
        if facts.method == "ingest"
        else "that every user the tenant counts was read"
    )
    return f"<strong>complete</strong> means {how}. {moment_of}"
