"""The scripts at a tenant that set the picture that applications see."""

from toolkit.analysis.tenant_wiring import Script, Wiring, wiring
from toolkit.errors import TenantError
from toolkit.tenant.client import Tenant


def read_wiring(tenant: Tenant) -> tuple[Wiring | None, tuple[str, ...]]:
    """Read a tenant's Actions, what runs after a login, and its legacy Rules; judge them.

    Nothing is requested if the token is known to lack the scope (`read:actions`, `read:rules`).

    Returns:
        The verdict, or None if nothing could be read; and notes about what could not.
    """
    notes: list[str] = []
    read: list[list[Script] | None] = []
    for scope, what, reader in (
        ("read:actions", "Actions", _actions),
        ("read:rules", "legacy Rules", _rules),
    ):
        scripts, why = None, f"the token lacks {scope}"
        if tenant.granted(scope) is not False:
            try:
                scripts = reader(tenant)
            except TenantError as error:
                why = str(error)
        read.append(scripts)
        if scripts is None:
            notes.append(f"{what} were not read: {why}")
    actions, rules = read
    if actions is None and rules is None:
        return None, tuple(notes)
    scripts = [*(rules or ()), *(actions or ())]
    judged = wiring(scripts, tenant.now(), actions=actions is not None, rules=rules is not None)
    return judged, tuple(notes)


def _actions(tenant: Tenant) -> list[Script]:
    """Return every Action; first those that run, in their order."""
    order = {binding.action_id: place for place, binding in enumerate(tenant.bindings())}
    found = sorted(tenant.actions(), key=lambda one: order.get(one.id, len(order)))
    scripts = []
    for one in found:
        code = one.code if one.deployed is None else one.deployed
        runs = one.id in order and one.deployed is not None
        scripts.append(Script("action", one.name, code, runs))
    return scripts


def _rules(tenant: Tenant) -> list[Script]:
    return [Script("rule", one.name, one.code, one.enabled) for one in tenant.rules()]
