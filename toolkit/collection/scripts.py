"""The scripts at a tenant that set the picture that applications see."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from toolkit.analysis.tenant_wiring import (
    RULES_ENDED,
    Script,
    Wiring,
    flow_writes_picture,
    hands_users_out,
    wiring,
    writes_picture,
)
from toolkit.errors import TenantError
from toolkit.tenant.client import Tenant

_T = TypeVar("_T")

_POST_LOGIN = "post-login"


def read_wiring(tenant: Tenant) -> tuple[Wiring | None, tuple[str, ...]]:
    """Read a tenant's Actions, what runs after a login, and its legacy Rules; judge them.

    Nothing is requested if the token is known to lack the scope (`read:actions`, `read:rules`,
    `read:flows`, `read:event_streams`). Flows and event streams only write profiles: without them
    the verdict is the same.

    Returns:
        The verdict, or None if nothing could be read; and notes about what could not.
    """
    notes: list[str] = []

    def tried(scope: str, what: str, reader: Callable[[Tenant], _T]) -> _T | None:
        why = f"the token lacks {scope}"
        if tenant.granted(scope) is not False:
            try:
                return reader(tenant)
            except TenantError as error:
                why = str(error)
        notes.append(f"{what} were not read: {why}")
        return None

    actions = tried("read:actions", "Actions", _actions)
    rules = tried("read:rules", "legacy Rules", _rules)
    flows = tried("read:flows", "Flows", _flows)
    streams = tried("read:event_streams", "Event streams", _streams)
    if actions is None and rules is None:
        return None, tuple(notes)
    found, writers = actions or ([], [])
    judged = wiring(
        [*(rules or ()), *found],
        tenant.now(),
        actions=actions is not None,
        rules=rules is not None,
    )
    if judged.stopped:
        count = len(judged.stopped)
        notes.append(f"{RULES_ENDED}; this tenant still lists {'one' if count == 1 else count}")
    named = (*writers, *(flows or ()), *(streams or ()))
    judged = replace(judged, writers=named, flows=flows is not None, streams=streams is not None)
    return judged, tuple(notes)


def _actions(tenant: Tenant) -> tuple[list[Script], list[str]]:
    """Return the Actions that can run after a login, first those that do, in their order.

    Also name the deployed Actions, of any trigger, that write pictures into profiles.
    """
    order = {binding.action_id: place for place, binding in enumerate(tenant.bindings())}
    found = sorted(tenant.actions(every=True), key=lambda one: order.get(one.id, len(order)))
    scripts, writers = [], []
    for one in found:
        code = one.code if one.deployed is None else one.deployed
        if one.trigger in {_POST_LOGIN, ""}:
            runs = one.id in order and one.deployed is not None
            scripts.append(Script("action", one.name, code, runs))
        if one.deployed is not None and writes_picture(code):
            writers.append(f"Action “{one.name}” ({one.trigger or _POST_LOGIN})")
    return scripts, writers


def _flows(tenant: Tenant) -> list[str]:
    """Name the Flows that write pictures into profiles."""
    return [f"Flow “{name}”" for name, flow in tenant.flows() if flow_writes_picture(flow)]


def _streams(tenant: Tenant) -> list[str]:
    """Name the event streams whose destination may write pictures into profiles."""
    return [
        f"Event stream “{one.get('name')}” (perhaps: it sends changed users to another system)"
        for one in tenant.event_streams()
        if hands_users_out(one)
    ]


def _rules(tenant: Tenant) -> list[Script]:
    return [Script("rule", one.name, one.code, one.enabled) for one in tenant.rules()]
