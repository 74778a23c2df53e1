"""What a report tells: everything that page and twin show, as one value."""

from collections.abc import Mapping
from dataclasses import dataclass

from toolkit.coverage import Coverage
from toolkit.findings import Findings
from toolkit.snapshot import Provenance, Snapshot
from toolkit.wiring import Setter

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
    return Content(
        snapshot.provenance,
        snapshot.coverage(),
        {by: snapshot.coverage(by) for by in GROUPED},
        snapshot.findings(),
    )
