"""How the numbers of a report came about, and what they do not say."""

from html import escape

from toolkit.picture import Source
from toolkit.report.content import Content
from toolkit.report.parts import LONGEST_NAME, moment
from toolkit.wording import shorten

_NOTES, _LONGEST_NOTE = 20, 300
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
    lines += [escape(shorten(note, _LONGEST_NOTE)) for note in notes[:_NOTES]]
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
