"""What a report tells, as one value, and the same as plain values for JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from toolkit.analysis.coverage_count import Coverage
from toolkit.analysis.finding_counts import Findings
from toolkit.analysis.tenant_wiring import Setter
from toolkit.classification.sources import Source
from toolkit.formatting import shorten
from toolkit.reporting.charts.group_chart import largest
from toolkit.snapshots.query import Roster
from toolkit.snapshots.snapshot import Provenance, Snapshot

GROUPED = ("connection", "cohort", "activity")
"""What a report groups users by."""

_SCRIPTS = 40


@dataclass(frozen=True, slots=True)
class Content:
    """What a report tells.

    Attributes:
        provenance: where the users come from.
        whole: coverage by source.
        groups: coverage by each of `GROUPED`.
        findings: what was found.
    """

    provenance: Provenance
    whole: Coverage
    groups: Mapping[str, Coverage]
    findings: Findings

    @property
    def overrides(self) -> bool | None:
        """Whether `user_metadata.picture` reaches people; None where nobody knows."""
        return self.provenance.wiring.override if self.provenance.wiring else None

    @property
    def scripts(self) -> tuple[tuple[Setter, ...], int]:
        """The scripts that set a picture, the running ones first, and how many more there are."""
        wiring = self.provenance.wiring
        if wiring is None:
            return (), 0
        found = sorted(wiring.setters, key=lambda one: (not one.runs, not one.stopped))
        return tuple(found[:_SCRIPTS]), max(0, len(found) - _SCRIPTS)


def content(snapshot: Snapshot) -> Content:
    """Count what a report tells of a snapshot.

    Raises:
        UnreadableInputError: the snapshot's file is damaged.
    """
    with Roster(snapshot) as roster:  # reads the file once, however many groups are counted
        groups = {by: roster.coverage(by) for by in GROUPED}
    whole = groups[GROUPED[0]].whole
    return Content(snapshot.provenance, whole, groups, snapshot.findings())


LISTED = 500
"""How many groups of a kind are listed; the others are added up."""

_LONGEST_NAME = 80
_LONGEST_NOTE, _NOTES = 500, 40


def twin(content: Content, *, personal: bool = False) -> dict[str, Any]:
    """Return what a report tells as plain JSON values.

    Args:
        content: what it tells.
        personal: name a few users for each finding.

    Returns:
        `provenance` (without what a sample found connection by connection), `sources`
        with users and share (0 to 1), `estimated` (the sources as a sample divides the
        unresolved, or None), `own` (users who see a picture of their own: `low`, `high`,
        `middle`), `seen` (users by what people see), `groups` by connection, cohort and
        activity, each with `groups`, a list of the `LISTED` largest (of months the
        latest), and `others`, what the rest adds up to, or None; and `findings`. Names
        that somebody typed are cut, and their invisible characters are escaped.
    """
    whole, facts = content.whole, content.provenance
    provenance = facts.as_dict()
    for name in ("tenant", "method", "toolkit_version"):
        provenance[name] = shorten(provenance[name], _LONGEST_NAME)
    scripts, more = content.scripts
    if facts.wiring is not None:
        names = [{"name": shorten(one.name, _LONGEST_NAME)} for one in scripts]
        setters = [asdict(one) | name for one, name in zip(scripts, names, strict=True)]
        provenance["wiring"] |= {
            "setters": setters,
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
    provenance["notes"] = [shorten(note, _LONGEST_NOTE) for note in facts.notes[:_NOTES]]
    estimated = {str(name): asdict(users) for name, users in whole.estimated.items()}
    nobody = {source.value: {"users": 0, "share": 0.0} for source in Source}
    return {
        "provenance": provenance,
        "users": whole.users,
        "sources": nobody | whole.as_dict(),
        "estimated": estimated or None,
        "own": asdict(whole.own),
        "seen": {str(name): users for name, users in whole.seen.items()},
        "broken": {str(source): users for source, users in whole.broken.items()},
        "groups": {by: _groups(counted) for by, counted in content.groups.items()},
        "findings": _findings(content, personal=personal),
    }


def _groups(coverage: Coverage) -> dict[str, Any]:
    kept, rest = listed(coverage, LISTED)
    groups = [{"name": shorten(name, _LONGEST_NAME)} | row for name, row in kept.as_dict().items()]
    return {"groups": groups, "others": _others(rest)}


def _others(rest: Coverage) -> dict[str, Any] | None:
    if not rest.users:
        return None
    sources = {str(source): users for source, users in rest.sources.items()}
    own = {"low": rest.own.low / rest.users, "high": rest.own.high / rest.users}
    number = int(rest.counts["group"].nunique())
    return {"number": number, "users": rest.users, "own": own, "sources": sources}


def listed(coverage: Coverage, limit: int) -> tuple[Coverage, Coverage]:
    """Divide a coverage into the groups that are listed and the others.

    Those are the largest; of months, the latest.
    """
    if coverage.by != "cohort":
        return largest(coverage, limit)
    names = sorted(set(coverage.counts["group"]))
    if len(names) <= limit + 1:
        return coverage, Coverage.empty("cohort")
    mine = coverage.counts["group"].isin(names[-limit:])
    kept = Coverage("cohort", coverage.counts[mine], coverage.estimate)
    return kept, Coverage("cohort", coverage.counts[~mine])


def _findings(content: Content, *, personal: bool) -> dict[str, Any]:
    found = content.findings.as_dict(masked=False)
    for row in found["findings"]:
        if personal:
            row["examples"] = [shorten(one, _LONGEST_NOTE) for one in row["examples"]]
        else:
            del row["examples"]
    return found
