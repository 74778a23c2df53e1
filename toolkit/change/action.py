"""The Action that hands out the default picture: put in place, looked at, taken back.

Every step first looks at what is there and only then does what is missing, so that the same
command goes on wherever it was interrupted. What stood there before is in the journal's first
step. Facts: Auth0 Management API, "Create an action" to "Update trigger bindings": a draft is
deployed once it is `built`; a PATCH of the bindings replaces the whole list, so it is read
just before and compared just after; what is bound runs its new version at once.
"""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from toolkit.action_code import action_code, recognised
from toolkit.answer import Action, Binding
from toolkit.change.journal import Journal
from toolkit.change.outcome import ActionState
from toolkit.errors import (
    CredentialsError,
    IncompleteError,
    MissingError,
    QueryError,
    ScopeError,
    SettingsError,
    TenantError,
    UnreadableInputError,
)
from toolkit.progress import Progress
from toolkit.tenant import Tenant

_T = TypeVar("_T")

NAME: Final = "Default picture (picture-audit)"
"""What the Action is called at the tenant."""

MOST_BOUND: Final = 20
"""Actions that can be bound to one trigger (Auth0, "Actions Limitations")."""

_PATIENCE = 120.0  # seconds; Auth0's own deploy tool waits as long
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 5.0
_TRIES = 4
_STEPS = 4  # code, build, deployment, binding


@dataclass(frozen=True, slots=True)
class Former:
    """What stood at the tenant before anything was changed.

    Attributes:
        id: the Action's id, or None where there was none.
        draft: its draft.
        deployed: its deployed code, or None.
        bindings: (Action's id, display name) of what ran after a login, in order.
    """

    id: str | None
    draft: str | None
    deployed: str | None
    bindings: tuple[tuple[str, str], ...]

    def as_step(self, code: str) -> dict[str, Any]:
        """Return the journal's first step: this, and the code that is written over it."""
        return {
            "step": "former",
            "code": code,
            "id": self.id,
            "draft": self.draft,
            "deployed": self.deployed,
            "bindings": [list(one) for one in self.bindings],
        }

    @property
    def bound(self) -> bool:
        """Whether the Action ran before."""
        return self.id is not None and self.id in dict(self.bindings)


def written_of(steps: Sequence[Mapping[str, Any]]) -> tuple[str | None, str | None]:
    """Read off a journal's steps which Action was written, and which code."""
    by_name = {str(step.get("step")): step for step in reversed(steps)}
    return by_name.get("written", {}).get("id"), by_name.get("former", {}).get("code")


def former_of(steps: Sequence[Mapping[str, Any]]) -> Former | None:
    """Read what stood there before off a journal's steps.

    Raises:
        UnreadableInputError: the step does not say.
    """
    for step in steps:
        if step.get("step") == "former":
            try:
                bindings = tuple((str(one), str(name)) for one, name in step["bindings"])
                former = Former(step["id"], step["draft"], step["deployed"], bindings)
                texts = (former.id, former.draft, former.deployed)
                if all(isinstance(text, str | None) for text in texts):
                    return former
            except (KeyError, TypeError, ValueError):
                pass  # said below
            raise UnreadableInputError(
                "The journal is damaged: it does not say what stood there before."
            )
    return None


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands at the tenant now.

    Attributes:
        action: our Action, or None.
        bindings: what runs after a login, in order.
    """

    action: Action | None
    bindings: tuple[Binding, ...]

    @property
    def former(self) -> Former:
        """What a journal keeps of it."""
        one = self.action
        bindings = tuple((bound.action_id, bound.name) for bound in self.bindings)
        if one is None:
            return Former(None, None, None, bindings)
        return Former(one.id, one.code, one.deployed, bindings)

    @property
    def bound(self) -> bool:
        """Whether our Action runs after a login."""
        return self.action is not None and any(
            one.action_id == self.action.id for one in self.bindings
        )

    @property
    def names(self) -> tuple[str, ...]:
        """What runs after a login, by name."""
        return tuple(one.name for one in self.bindings)


def standing(tenant: Tenant, action_id: str | None = None) -> Standing:
    """Look for our Action (scope `read:actions`).

    Args:
        tenant: where.
        action_id: its id, where it is known; else it is known by its code, whatever its name.

    Raises:
        SettingsError: there are several, or another one bears its name.
        TenantError: the tenant did not go along.
    """
    actions, bindings = tenant.actions(), tuple(tenant.bindings())
    if action_id is not None:
        return Standing(next((one for one in actions if one.id == action_id), None), bindings)
    ours = [one for one in actions if recognised(one.code) or recognised(one.deployed)]
    bound = {one.action_id for one in bindings}
    chosen = [one for one in ours if one.id in bound] or ours
    if len(chosen) > 1:
        raise SettingsError(
            f"{len(chosen)} Actions of this tool are at the tenant: remove all but one under "
            "Actions > Library in Auth0's dashboard."
        )
    if not chosen and any(one.name == NAME for one in actions):
        raise SettingsError(
            f"Another Action is called {NAME!r}, and this tool did not write its code: rename it."
        )
    return Standing(chosen[0] if chosen else None, bindings)


def preview(now: Standing, code: str) -> ActionState:
    """Say what putting the Action in place changes."""
    names = now.names if now.bound else (*now.names, NAME)
    return ActionState(NAME, now.action.deployed if now.action else None, code, now.names, names)


def edited(now: Standing) -> bool:
    """Whether somebody edited the Action's code since this tool wrote it."""
    if now.action is None or now.action.deployed is None:
        return False
    policy = recognised(now.action.deployed)
    return policy is None or action_code(policy) != now.action.deployed


def putting(
    tenant: Tenant, code: str, journal: Journal, now: Standing
) -> Generator[Progress, None, Standing]:
    """Create or update the Action, deploy it, and bind it after all others.

    Yields:
        Progress in steps.

    Returns:
        What stands there then.

    Raises:
        IncompleteError: it was not built or deployed, or somebody else changes the bindings.
        TenantError: the tenant did not go along.
    """
    if former_of(journal.steps) is None:
        _require_room(now)
        journal.note(now.former.as_step(code))
    yield Progress(0, _STEPS, note="writing the Action's code")
    action = _persistently(lambda: _written(tenant, code))
    journal.note({"step": "written", "id": action.id})
    yield from _deploying(tenant, action.id, code)
    journal.note({"step": "deployed", "id": action.id})
    yield Progress(3, _STEPS, note="binding")
    _persistently(lambda: _appended(tenant, action.id))
    after = standing(tenant, action.id)
    if not after.bound or after.action is None or after.action.deployed != code:
        raise IncompleteError("The Action does not stand as it was written: run the command again.")
    journal.note({"step": "bound", "id": action.id})
    yield Progress(_STEPS, _STEPS, note="the Action is bound")
    return after


def restoring(
    tenant: Tenant, former: Former, action_id: str, journal: Journal
) -> Generator[Progress, None, Standing]:
    """Take the Action back: its former code, or none, and the former bindings.

    Bindings of others stay, in the order in which they are now.

    Yields:
        Progress in steps.

    Returns:
        What stands there then.

    Raises:
        IncompleteError: it was not built or deployed, or somebody else changes the bindings.
        TenantError: the tenant did not go along.
    """
    yield Progress(0, _STEPS, note="unbinding")
    if not former.bound:
        _persistently(lambda: _taken_out(tenant, action_id))
        journal.note({"step": "unbound", "id": action_id})
    if former.id is None:
        yield Progress(2, _STEPS, note="removing the Action")
        try:
            tenant.delete_action(action_id)
        except MissingError:
            yield Progress(3, _STEPS, note="it is gone already")
        journal.note({"step": "removed", "id": action_id})
    else:
        if former.deployed is not None:
            tenant.update_action(action_id, former.deployed)
            yield from _deploying(tenant, action_id, former.deployed)
        if former.draft is not None and former.draft != former.deployed:
            tenant.update_action(action_id, former.draft)
        journal.note({"step": "restored", "id": action_id})
    yield Progress(_STEPS, _STEPS, note="taken back")
    return standing(tenant, action_id)


def _require_room(now: Standing) -> None:
    if not now.bound and len(now.bindings) >= MOST_BOUND:
        raise SettingsError(
            f"{MOST_BOUND} Actions run after a login already, more than that Auth0 does not bind: "
            "unbind one."
        )


def _written(tenant: Tenant, code: str) -> Action:
    """Create the Action or update its draft, whichever is missing."""
    action = standing(tenant).action
    if action is None:
        return tenant.create_action(NAME, code)
    return action if action.code == code else tenant.update_action(action.id, code)


def _appended(tenant: Tenant, action_id: str) -> None:
    """Bind an Action after all others, of the list as it is now."""
    bindings = tenant.bindings()
    if all(one.action_id != action_id for one in bindings):
        _bind(tenant, [*bindings, Binding("", action_id, NAME)])


def _taken_out(tenant: Tenant, action_id: str) -> None:
    """Unbind an Action, of the list as it is now."""
    bindings = tenant.bindings()
    others = [one for one in bindings if one.action_id != action_id]
    if len(others) < len(bindings):
        _bind(tenant, others)


def _persistently(step: Callable[[], _T]) -> _T:
    """Take a step that looks before it acts, again where its answer was lost."""
    wait = _FIRST_WAIT
    for left in reversed(range(_TRIES)):
        try:
            return step()
        except (CredentialsError, QueryError, ScopeError):
            raise
        except TenantError:
            if not left:
                raise
        time.sleep(wait)
        wait = min(wait * 4, _LONGEST_WAIT)
    raise AssertionError("the last try returns or raises")


def _deploying(tenant: Tenant, action_id: str, code: str) -> Generator[Progress, None, None]:
    """Deploy a draft once it is built, and wait until it runs."""
    until, wait, asked = time.monotonic() + _PATIENCE, _FIRST_WAIT, False
    while True:
        action = tenant.action(action_id)
        if action.code != code:
            raise IncompleteError(
                "Somebody else changes the Action at this moment: run the command again later."
            )
        if action.deployed == code and action.settled:
            return
        if action.status == "failed":
            raise IncompleteError("Auth0 could not build the Action: see it in the dashboard.")
        if action.status == "built" and not asked:
            yield Progress(2, _STEPS, note="deploying")
            asked = _asked_to_deploy(tenant, action_id)
        else:
            yield Progress(1, _STEPS, note=f"the Action is {action.status}")
        if time.monotonic() > until:
            raise IncompleteError(
                f"The Action is still {action.status} after {_PATIENCE:.0f} s: run the command "
                "again later."
            )
        time.sleep(wait)
        wait = min(wait * 1.5, _LONGEST_WAIT)


def _asked_to_deploy(tenant: Tenant, action_id: str) -> bool:
    """Ask for a deployment; tell whether the tenant took it."""
    try:
        tenant.deploy_action(action_id)
    except (CredentialsError, ScopeError):
        raise
    except TenantError:
        # Too early, or the answer was lost: the next look shows which.
        return False
    return True


def _bind(tenant: Tenant, wanted: Sequence[Binding]) -> None:
    """Replace the bindings and compare what came of it: nothing else protects the list."""
    found = tenant.bind(wanted)
    if [one.action_id for one in found] != [one.action_id for one in wanted]:
        raise IncompleteError(
            "Somebody else changes what runs after a login at this moment: look at Actions > "
            "Triggers > post-login, then run the command again."
        )
