"""What a report tells, as one value, as plain values for JSON, and as a page.

The page is HTML that needs no script and asks nobody for anything. What is counted is made ready
here; how it is said and laid out stands in the templates beside this file, `report.html.j2` first.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any

from toolkit.analysis.coverage_count import Coverage
from toolkit.analysis.finding_counts import Findings
from toolkit.analysis.groups import ACTIVITY, Seen
from toolkit.analysis.headline_words import (
    between,
    deviation,
    headline,
    people_see,
    problem,
    sampled,
)
from toolkit.analysis.tenant_wiring import RULES_ENDED, Setter
from toolkit.classification.sources import Source
from toolkit.formatting import percent, render, shorten
from toolkit.reporting.charts.month_charts import cohorts, own_by_month
from toolkit.reporting.charts.source_charts import LOOKS, by_group, largest
from toolkit.reporting.palette import COLOURS, CROSSES, DEFAULT, DOT, EDGES, LINES, ON_DARK, STRIPE
from toolkit.snapshots.query import Roster
from toolkit.snapshots.snapshot import Provenance, Snapshot, own_totals, totals

LISTED, LISTED_IN_TWIN = 100, 500
"""How many groups of a kind the page and the JSON list; the others are added up."""

_GROUPED = ("connection", "cohort", "activity")
_SCRIPTS = 40
_LONGEST_NAME = 80
_LONGEST_NOTE, _NOTES = 500, 40
_NUMBER_FITS = 0.055  # of the bar; what the share of a part needs


@dataclass(frozen=True, slots=True)
class Content:
    """What a report tells.

    `whole` is by source, `groups` by connection, cohort and activity.
    """

    provenance: Provenance
    whole: Coverage
    groups: Mapping[str, Coverage]
    findings: Findings

    @property
    def scripts(self) -> tuple[tuple[Setter, ...], int]:
        """The scripts that set a picture, the running ones first, and how many more there are."""
        wiring = self.provenance.wiring
        if wiring is None:
            return (), 0
        found = sorted(wiring.setters, key=lambda one: (not one.runs, not one.stopped))
        return tuple(found[:_SCRIPTS]), max(0, len(found) - _SCRIPTS)


def content(snapshot: Snapshot) -> Content:
    """Count what a report tells of a snapshot."""
    with Roster(snapshot) as roster:  # reads the file once, however many groups are counted
        whole, groups = roster.coverage(), {by: roster.coverage(by) for by in _GROUPED}
    return Content(snapshot.provenance, whole, groups, snapshot.findings())


def twin(content: Content, *, personal: bool = False) -> dict[str, Any]:
    """Return what a report tells as plain JSON values.

    Args:
        content: what it tells.
        personal: name a few users for each finding.

    Returns:
        What `Snapshot.summary` does, but without what a sample found connection by connection;
        `broken`, users by source; `groups` by connection, cohort and activity, each with `groups`,
        a list of the largest (of months the latest), and `others`, what the rest adds up to, or
        None; and `findings`. Names that somebody typed are cut, and made visible.
    """
    whole, facts = content.whole, content.provenance
    provenance = facts.as_dict()
    for name in ("tenant", "method", "toolkit_version"):
        provenance[name] = shorten(provenance[name], _LONGEST_NAME)
    scripts, more = content.scripts
    if facts.wiring is not None:
        provenance["wiring"] |= {
            "setters": [
                asdict(one) | {"name": shorten(one.name, _LONGEST_NAME)} for one in scripts
            ],
            "setters_left_out": more,
            "override": facts.wiring.override,
            "default": facts.wiring.default,
        }
    if facts.estimate is not None:
        provenance["estimate"] = {
            "users": facts.estimate.users,
            "asked": facts.estimate.asked,
            "unclear": facts.estimate.unclear,
            "gravatars": asdict(facts.estimate.gravatars),
        }
    if facts.own_sample is not None:
        provenance["own_sample"] = own_totals(facts.own_sample)
    lacking = (one.note for one in (whole, *content.groups.values()) if one.note)
    notes = (*facts.notes[:_NOTES], *lacking)
    provenance["notes"] = [shorten(note, _LONGEST_NOTE) for note in notes]
    counted = totals(whole)
    return {
        "provenance": provenance,
        "users": whole.users,
        **{name: counted[name] for name in ("sources", "estimated", "own", "seen")},
        "broken": {str(source): users for source, users in whole.broken.items()},
        "groups": {by: _listed(counted) for by, counted in content.groups.items()},
        "findings": _findings(content, personal=personal),
    }


def _listed(coverage: Coverage) -> dict[str, Any]:
    kept, rest = largest(coverage, LISTED_IN_TWIN, latest=coverage.by == "cohort")
    groups = [{"name": shorten(name, _LONGEST_NAME)} | row for name, row in kept.as_dict().items()]
    others = {
        "number": int(rest.counts["group"].nunique()),
        "users": rest.users,
        "own": {
            "low": rest.own.low / max(rest.users, 1),
            "high": rest.own.high / max(rest.users, 1),
            "on_word": rest.on_word / max(rest.users, 1),
        },
        "sources": {str(source): users for source, users in rest.sources.items()},
    }
    return {"groups": groups, "others": others if rest.users else None}


def _findings(content: Content, *, personal: bool) -> dict[str, Any]:
    found = content.findings.as_dict(masked=False)
    for row in found["findings"]:
        if personal:
            row["examples"] = [shorten(one, _LONGEST_NOTE) for one in row["examples"]]
        else:
            del row["examples"]
    return found


def page(content: Content, *, twin: str = "", personal: bool = False) -> str:
    """Write the page of a report: a whole HTML document.

    Args:
        content: what it tells.
        twin: the name of the file that holds the same as JSON.
        personal: name a few users for each finding.
    """
    whole = content.whole
    return render(
        "reporting/html_report/report.html.j2",
        content=content,
        facts=content.provenance,
        whole=whole,
        twin=twin,
        personal=personal,
        longest_name=_LONGEST_NAME,
        listed=LISTED,
        rules_ended=RULES_ENDED,
        style=_style(),
        answer=headline(whole) if whole.users else None,
        problem=problem(whole, overrides=content.provenance.overrides) if whole.users else None,
        seen=list(_seen(whole)),
        sources=_sources(whole) if whole.users else None,
        **{by: _groups(counted) for by, counted in content.groups.items()},
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
    dots = f"radial-gradient({DOT} 1px, transparent 1.6px) 0 0 / 6px 6px"
    rules.append(f".{Source.SOCIAL}.on-word {{ background: {dots}, {COLOURS[Source.SOCIAL]}; }}")
    rules.append(f".your-default {{ background: {_stripes(0, DEFAULT, LINES)}; }}")
    for source, colour in EDGES.items():
        rules.append(f".{source} {{ box-shadow: inset 0 0 0 1px {colour}; }}")
    return "\n".join([sheet, *rules])


def _stripes(angle: int, ground: str, stripe: str) -> str:
    return f"repeating-linear-gradient({angle}deg, {ground} 0 5px, {stripe} 5px 7px)"


def _seen(whole: Coverage) -> Iterator[dict[str, Any]]:
    """Return the parts of the bar of what people see."""
    for seen, users in people_see(whole).items() if whole.users else ():
        look, share = LOOKS[seen], users.middle / whole.users
        yield {
            "kind": seen,
            "name": look.name,
            "users": users.middle,
            "share": share,
            "style": " ".join([*_CLASSES.get(seen, (str(look.source),))]),
            "labelled": share >= _NUMBER_FITS,
        }


_CLASSES = {
    Seen.BROKEN: (str(Source.SOCIAL), "broken"),
    Seen.ON_WORD: (str(Source.SOCIAL), "on-word"),
    Seen.DEFAULT: ("your-default",),
}


def _sources(whole: Coverage) -> dict[str, Any]:
    """Return the table of sources; the longest bar has the width of `most` users."""
    found = {Source(row["source"]): int(row["users"]) for row in whole.table().to_dict("records")}
    sample = sampled(whole)
    estimated = whole.estimated if sample else {}
    rows = []
    for source, users in found.items():
        late = whole.broken.get(source, 0) if source is not Source.INVALID else 0
        part = estimated.get(source)
        doubt = deviation(part) if part else 0
        rows.append({"source": source, "users": users, "late": late, "part": part, "doubt": doubt})
    return {
        "sample": sample,
        "rows": rows,
        "most": max([*found.values(), *(part.high for part in estimated.values())]),
        "absent": [source for source in Source if source not in found and not estimated],
    }


def _groups(coverage: Coverage) -> dict[str, Any] | None:
    """Return the charts and the table of users by group; None where there are no users."""
    if not coverage.users:
        return None
    kept, rest = largest(coverage, LISTED, latest=coverage.by == "cohort")
    sources = list(coverage.sources)
    rows = {}
    for group, row in kept.as_dict().items():
        words = ACTIVITY.get(group, group) if coverage.by == "activity" else group
        mine = {source: cell["users"] for source, cell in row["sources"].items()}
        own = between(row["own"]["low"], row["own"]["high"])
        numbers = [f"{row['users']:,}", percent(row["share"], 1), own]
        rows[words] = [*numbers, *_cells(mine, sources)]
    last = []
    if rest.users:
        own = between(rest.own.low / rest.users, rest.own.high / rest.users)
        last = [f"{rest.users:,}", percent(rest.users / coverage.users, 1), own]
        last += _cells(rest.sources, sources)
    charts = []
    if coverage.by == "connection":
        charts = [by_group(coverage)]
    if coverage.by == "cohort":
        charts = [own_by_month(coverage), cohorts(coverage)]
    return {
        "by": coverage.by,
        "note": coverage.note,
        "charts": charts,
        "columns": [(str(source), "number") for source in sources],
        "rows": rows,
        "others": rest.counts["group"].nunique(),
        "rest": last,
    }


def _cells(users: Mapping[Any, int], sources: list[Source]) -> list[str]:
    return [f"{users[source]:,}" if source in users else "" for source in sources]
