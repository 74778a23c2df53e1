"""The scripts at a tenant that set the picture that applications see."""

from collections.abc import Callable

from toolkit.analysis.tenant_wiring import Script, Wiring, wiring
from toolkit.errors import TenantError
from toolkit.tenant.client import Tenant


def read_wiring(tenant: Tenant) -> tuple[Wiring | None, tuple[str, ...]]:
    """Read a tenant's Actions, what runs after a login, and its legacy Rules; judge them.

    Nothing is requested if the token is known to lack the scope (`read:actions`, `read:rules`). A
    failure here becomes a note and does not stop the collection.

    Returns:
        The verdict, or None if nothing could be read, and notes.
    """
    notes: list[str] = []
    actions = _tried(tenant, "read:actions", "Actions", _actions, notes)
    rules = _tried(tenant, "read:rules", "legacy Rules", _rules, notes)
    if actions is None and rules is None:
        return None, tuple(notes)
    judged = wiring(
        [*(rules or ()), *(actions or ())],
        tenant.now(),
        actions=actions is not None,
        rules=rules is not None,
    )
    return judged, tuple(notes)


def _tried(
    tenant: Tenant,
    scope: str,
    what: str,
    read: Callable[[Tenant], list[Script]],
    notes: list[str],
) -> list[Script] | None:
    if tenant.granted(scope) is False:
        notes.append(f"{what} were not read: the token lacks {scope}")
        return None
    try:
        return read(tenant)
    except TenantError as error:
        notes.append(f"{what} were not read: {error}")
        return None


def _actions(tenant: Tenant) -> list[Script]:
    """Return every Action; first those that run, in their order."""
    order = {binding.action_id: place for place, binding in enumerate(tenant.bindings())}
    found = sorted(tenant.actions(), key=lambda one: order.get(one.id, len(order)))
    return [
        Script(
            "action",
            one.name,
            one.code if one.deployed is None else one.deployed,
            one.id in order and one.deployed is not None,
        )
        for one in found
    ]


def _rules(tenant: Tenant) -> list[Script]:
    return [Script("rule", one.name, one.code, one.enabled) for one in tenant.rules()]
