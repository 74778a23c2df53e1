"""Changing a tenant: plan, rehearse, apply, verify, undo.

::

    snapshot ─ plan ─▶ PLAN ─ apply ─▶ tenant, PLAN.journal ─ undo ─▶ tenant
                               └────── verify ◀┘

Nothing is written unless it is asked for by `execute` and confirmed by the tenant's name.
"""
