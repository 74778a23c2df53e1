"""The report's page: HTML that needs no script and asks nobody for anything.

What is counted is made ready here; how it is said and laid out stands in the templates beside
this file, `report.html.j2` first.
"""

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

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
from toolkit.analysis.tenant_wiring import RULES_END
from toolkit.classification.sources import Source
from toolkit.formatting import percent, render, shorten
from toolkit.reporting.charts.group_chart import by_group
from toolkit.reporting.charts.month_charts import cohorts, own_by_month
from toolkit.reporting.charts.source_charts import LOOKS
from toolkit.reporting.html_report.report_content import Content, listed
from toolkit.reporting.palette import COLOURS, CROSSES, EDGES, ON_DARK, STRIPE

LISTED = 100
"""How many groups of a kind have a row; the others share one."""

_LONGEST_NAME = 80
_FITS = 0.13  # of the bar; what its name and share need
_NUMBER_FITS = 0.055


def page(content: Content, *, twin: str = "", personal: bool = False) -> str:
    """Write the page of a report.

    Args:
        content: what it tells.
        twin: the name of the file that holds the same as JSON.
        personal: name a few users for each finding.

    Returns:
        A whole HTML document: no script, no address outside itself.
    """
    whole, groups = content.whole, content.groups
    return render(
        "reporting/html_report/report.html.j2",
        content=content,
        facts=content.provenance,
        whole=whole,
        twin=twin,
        personal=personal,
        longest_name=_LONGEST_NAME,
        listed=LISTED,
        rules_end=f"{RULES_END:%Y-%m-%d}",
        style=_style(),
        tenant=shorten(content.provenance.tenant or "not named", _LONGEST_NAME),
        reading=_reading(content),
        answer=headline(whole) if whole.users else None,
        problem=problem(whole, overrides=content.overrides) if whole.users else None,
        seen=list(_seen(whole)),
        striped=_striped(whole),
        sources=_sources(content) if whole.users else None,
        connection=_groups(groups["connection"]),
        cohort=_groups(groups["cohort"]),
        activity=_groups(groups["activity"]),
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


def _reading(content: Content) -> str:
    """Say in words how the users were read."""
    facts = content.provenance
    words = f"{content.whole.users:,} read, by {shorten(facts.method, 40)}"
    if facts.method != "ingest":
        words += f", reconciled over {_count(facts.windows, 'window')}"
        words += f", {_count(facts.requests, 'request')}"
    return f"{words}, {facts.seconds:,.1f} s"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _seen(whole: Coverage) -> Iterator[dict[str, Any]]:
    """Return the parts of the bar of what people see."""
    for seen, users in people_see(whole).items() if whole.users else ():
        look, share = LOOKS[seen], users.middle / whole.users
        text = f"{look.name} {percent(share)}" if share >= _FITS else percent(share)
        yield {
            "name": look.name,
            "users": users.middle,
            "share": share,
            "style": f"{look.source} broken" if look.broken else str(look.source),
            "label": text if share >= _NUMBER_FITS else "",
        }


def _striped(whole: Coverage) -> str:
    seen = people_see(whole) if whole.users else {}
    said = []
    if Seen.UNKNOWN in seen:
        said.append("striped grey: nobody has asked what they see")
    if Seen.BROKEN in seen:
        said.append("striped blue: a picture that does not load")
    return f"{'; '.join(said)}.".capitalize() if said else ""


def _sources(content: Content) -> dict[str, Any]:
    """Return the table of sources; widths are percents of the longest bar."""
    whole = content.whole
    found = {Source(row["source"]): int(row["users"]) for row in whole.table().to_dict("records")}
    sample = sampled(whole)
    estimated = whole.estimated if sample else {}
    most = max([*found.values(), *(part.high for part in estimated.values())])
    rows = []
    for source, users in found.items():
        late = whole.broken.get(source, 0) if source is not Source.INVALID else 0
        part = estimated.get(source)
        rows.append(
            {
                "source": source,
                "users": users,
                "share": users / whole.users,
                "width": 100 * (users - late) / most,
                "late": late,
                "late_width": 100 * late / most,
                "late_word": "broken" if source is Source.METADATA else "expired",
                "unshown": source is Source.METADATA and content.overrides is False,
                "interval": part
                and {
                    "users": deviation(part),
                    "points": 100 * deviation(part) / whole.users,
                    "left": 100 * part.low / most,
                    "width": 100 * (part.high - part.low) / most,
                },
            }
        )
    caption = "Each user counts once, under what their picture is"
    if sample:
        caption += f"; ± is a 95 % interval from {sample}, which divides the unresolved"
    absent = [source for source in Source if source not in found and not estimated]
    return {"caption": caption, "rows": rows, "absent": absent}


def _groups(coverage: Coverage) -> dict[str, Any] | None:
    """Return the charts and the table of users by group; None where there are no users."""
    if not coverage.users:
        return None
    kept, rest = listed(coverage, LISTED)
    sources = list(coverage.sources)
    rows = {}
    for group, row in kept.as_dict().items():
        words = ACTIVITY.get(group, group) if coverage.by == "activity" else group
        mine = {source: cell["users"] for source, cell in row["sources"].items()}
        own = between(row["own"]["low"], row["own"]["high"])
        rows[words] = [
            f"{row['users']:,}",
            percent(row["share"], 1),
            own,
            *_cells(mine, sources),
        ]
    others, last = 0, []
    if rest.users:
        others = rest.counts["group"].nunique()
        own = between(rest.own.low / rest.users, rest.own.high / rest.users)
        mine = {str(source): users for source, users in rest.sources.items()}
        last = [f"{rest.users:,}", percent(rest.users / coverage.users, 1), own]
        last += _cells(mine, sources)
    charts = {
        "connection": lambda: [by_group(coverage)],
        "cohort": lambda: [own_by_month(coverage), cohorts(coverage)],
    }.get(coverage.by, list)()
    columns = [(str(source), "number") for source in sources]
    return {
        "by": coverage.by,
        "charts": charts,
        "columns": columns,
        "rows": rows,
        "others": others,
        "rest": last,
    }


def _cells(users: dict[str, int], sources: list[Source]) -> list[str]:
    return [f"{users[source]:,}" if source in users else "" for source in sources]
