"""Where do the pictures of your Auth0 users come from, and what should the default be?

The path through the package: `picture` (what one URL is) → `audit` (a frame of
users) → `coverage` and `findings` (what it adds up to) → `charts` and `report` (what
people see).

Everything here is imported when it is first used, so that `import toolkit` is quick.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toolkit.audit import audit
    from toolkit.candidate import Candidate, candidate
    from toolkit.change.apply import apply
    from toolkit.change.outcome import Outcome
    from toolkit.change.planning import plan
    from toolkit.change.rows import read_plan
    from toolkit.change.undo import undo
    from toolkit.change.verify import verify
    from toolkit.charts import by_group, by_source, cohorts, own_by_month, what_people_see
    from toolkit.cluster import coverage_on, ingest_on
    from toolkit.collect import collect
    from toolkit.collect.ingestion import ingest
    from toolkit.collect.place import latest_snapshot
    from toolkit.comparison import Comparison, compare
    from toolkit.coverage import Coverage, combine, coverage
    from toolkit.dashboard import dashboard
    from toolkit.embedded import demo, embedded_tenant, open_tenant
    from toolkit.errors import PictureAuditError
    from toolkit.estimate import Estimate, Interval
    from toolkit.explain import explain
    from toolkit.findings import Finding, Findings, findings
    from toolkit.flow import flows, over_time
    from toolkit.gallery import Gallery, gallery
    from toolkit.panels.admin import choose_default_picture
    from toolkit.panels.bar import Bar
    from toolkit.panels.collector import collector
    from toolkit.panels.explorer import explore
    from toolkit.picture import Source, Verdict, classify
    from toolkit.plan import Plan
    from toolkit.probing import outcomes, probe, reach
    from toolkit.progress import Progress
    from toolkit.redaction import redact
    from toolkit.replacement import Policy
    from toolkit.report import report
    from toolkit.sandbox.server import Sandbox
    from toolkit.seen import Seen
    from toolkit.series import Series, series
    from toolkit.snapshot import Snapshot, read_snapshot
    from toolkit.tenant import Tenant, connect
    from toolkit.wiring import Wiring

_HOMES = {
    "Bar": "panels.bar",
    "Candidate": "candidate",
    "Comparison": "comparison",
    "Coverage": "coverage",
    "Estimate": "estimate",
    "Finding": "findings",
    "Findings": "findings",
    "Gallery": "gallery",
    "Interval": "estimate",
    "Outcome": "change",
    "PictureAuditError": "errors",
    "Plan": "plan",
    "Policy": "replacement",
    "Progress": "progress",
    "Sandbox": "sandbox.server",
    "Seen": "seen",
    "Series": "series",
    "Snapshot": "snapshot",
    "Source": "picture",
    "Tenant": "tenant",
    "Verdict": "picture",
    "Wiring": "wiring",
    "apply": "change",
    "audit": "audit",
    "by_group": "charts",
    "by_source": "charts",
    "candidate": "candidate",
    "choose_default_picture": "panels.admin",
    "classify": "picture",
    "cohorts": "charts",
    "collect": "collect",
    "collector": "panels.collector",
    "combine": "coverage",
    "compare": "comparison",
    "connect": "tenant",
    "coverage": "coverage",
    "coverage_on": "cluster",
    "dashboard": "dashboard",
    "demo": "embedded",
    "embedded_tenant": "embedded",
    "explain": "explain",
    "explore": "panels.explorer",
    "findings": "findings",
    "flows": "flow",
    "gallery": "gallery",
    "ingest": "collect.ingestion",
    "ingest_on": "cluster",
    "latest_snapshot": "collect.place",
    "open_tenant": "embedded",
    "outcomes": "probing",
    "over_time": "flow",
    "own_by_month": "charts",
    "plan": "change",
    "probe": "probing",
    "reach": "probing",
    "read_plan": "change",
    "read_snapshot": "snapshot",
    "redact": "redaction",
    "report": "report",
    "series": "series",
    "undo": "change",
    "verify": "change",
    "what_people_see": "charts",
}

__all__ = [
    "Bar",
    "Candidate",
    "Comparison",
    "Coverage",
    "Estimate",
    "Finding",
    "Findings",
    "Gallery",
    "Interval",
    "Outcome",
    "PictureAuditError",
    "Plan",
    "Policy",
    "Progress",
    "Sandbox",
    "Seen",
    "Series",
    "Snapshot",
    "Source",
    "Tenant",
    "Verdict",
    "Wiring",
    "apply",
    "audit",
    "by_group",
    "by_source",
    "candidate",
    "choose_default_picture",
    "classify",
    "cohorts",
    "collect",
    "collector",
    "combine",
    "compare",
    "connect",
    "coverage",
    "coverage_on",
    "dashboard",
    "demo",
    "embedded_tenant",
    "explain",
    "explore",
    "findings",
    "flows",
    "gallery",
    "ingest",
    "ingest_on",
    "latest_snapshot",
    "open_tenant",
    "outcomes",
    "over_time",
    "own_by_month",
    "plan",
    "probe",
    "reach",
    "read_plan",
    "read_snapshot",
    "redact",
    "report",
    "series",
    "undo",
    "verify",
    "what_people_see",
]


class _Package(ModuleType):
    """A package whose functions keep their names beside modules of the same name.

    Importing `toolkit.coverage` would otherwise put that module in the place of the
    function `toolkit.coverage`.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever bears that name
    """Import a public name when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'toolkit' has no attribute {name!r}")
    value = getattr(import_module(f"toolkit.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names."""
    return __all__
