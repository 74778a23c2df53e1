"""What to do about it: the findings, and what at the tenant sets the picture people see."""

from html import escape

from toolkit.findings import Finding
from toolkit.report.content import Content
from toolkit.report.parts import moment, name, table
from toolkit.wiring import RULES_END, Setter
from toolkit.wording import percent, shorten, visible

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
