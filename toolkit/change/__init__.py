"""Changing a tenant: plan, rehearse, apply, verify, undo.

::

    snapshot ─ plan ─▶ PLAN ─ apply ─▶ tenant, PLAN.journal ─ undo ─▶ tenant
                               └────── verify ◀┘

Nothing is written unless it is asked for by `execute` and confirmed by the tenant's name.
"""

from toolkit.change.apply import apply, applying
from toolkit.change.journal import journal_path
from toolkit.change.looking import known_connections, looked_at
from toolkit.change.outcome import Outcome
from toolkit.change.planning import plan, planning, policy_of
from toolkit.change.rows import read_plan
from toolkit.change.safeguards import Safeguards
from toolkit.change.undo import undo, undoing, undone
from toolkit.change.verify import Verification, verify, verifying

__all__ = [
    "Outcome",
    "Safeguards",
    "Verification",
    "apply",
    "applying",
    "journal_path",
    "known_connections",
    "looked_at",
    "plan",
    "planning",
    "policy_of",
    "read_plan",
    "undo",
    "undoing",
    "undone",
    "verify",
    "verifying",
]
