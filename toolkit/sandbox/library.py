"""The tenant's Actions, and which of them are bound to its triggers.

Facts: Auth0 docs, "Entity Limit Policy" (100 Actions, 20 bindings of a trigger); recordings
of the API (a new list of bindings replaces the old one and has new ids). Reported against
Auth0's Terraform provider and deploy CLI: the refusals to bind what is not deployed, and to
delete what is bound. INFERRED: the text for one Action too many (that of other entities).
"""

import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from toolkit.sandbox.action import Action, Version, stamp
from toolkit.sandbox.draft import Draft, Secret
from toolkit.sandbox.problem import Problem
from toolkit.sandbox.triggers import POST_LOGIN

_MOST_ACTIONS = 100
_LOADED = frozenset({"name", "code", "deployed", "bound", "secrets"})


@dataclass(frozen=True)
class Binding:
    """An Action's place at a trigger."""

    action: Action
    display_name: str
    created: float
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def document(self, now: float) -> dict[str, Any]:
        """Return the binding as the API shows it."""
        return {
            "id": self.id,
            "trigger_id": self.action.draft.trigger,
            "action": self.action.brief(now),
            "created_at": stamp(self.created),
            "updated_at": stamp(self.created),
            "display_name": self.display_name,
        }


class Library:
    """All Actions of one sandbox and their bindings.

    Whoever reads or changes Actions holds `lock` meanwhile.

    Args:
        loaded: Post-login Actions that are there from the start: mappings with `name`, `code`
            and, unless they are as usual, `deployed` (true), `bound` (true where it is
            deployed) and `secrets` (a mapping from names to values).
        clock: UNIX seconds.

    Raises:
        ValueError: If an Action has other keys, or is bound without being deployed.
    """

    def __init__(self, loaded: Iterable[Mapping[str, Any]], clock: Callable[[], float]) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self._actions: dict[str, Action] = {}
        self._bindings: dict[str, list[Binding]] = {}
        for one in loaded:
            self._load(one)

    def actions(self) -> list[Action]:
        """Return all Actions, the oldest first."""
        return list(self._actions.values())

    def action(self, name: str) -> Action:
        """Return the Action with this id.

        Raises:
            Problem: If there is none.
        """
        if name not in self._actions:
            raise no_such_action()
        return self._actions[name]

    def add(self, draft: Draft) -> Action:
        """Create an Action.

        Raises:
            Problem: If there are too many already.
        """
        if len(self._actions) >= _MOST_ACTIONS:
            text = "You reached the limit of entities of this type for this tenant."
            raise Problem(403, text, "too_many_entities")
        action = Action.of(draft, self.clock())
        self._actions[action.id] = action
        return action

    def remove(self, action: Action, *, force: bool) -> None:
        """Delete an Action, and with `force` its bindings first.

        Raises:
            Problem: If it is bound.
        """
        trigger = action.draft.trigger
        bindings = self.bindings(trigger)
        others = [binding for binding in bindings if binding.action is not action]
        if len(others) < len(bindings) and not force:
            raise Problem(409, "Unable to delete an action bound to a trigger.")
        self._bindings[trigger] = others
        del self._actions[action.id]

    def bindings(self, trigger: str) -> list[Binding]:
        """Return what is bound to a trigger, in the order in which it runs."""
        return list(self._bindings.get(trigger, ()))

    def bind(self, trigger: str, wanted: Sequence[tuple[Action, str]]) -> list[Binding]:
        """Replace what is bound to a trigger, by Actions with the names to show for them.

        Raises:
            Problem: If one of them is not deployed yet.
        """
        now = self.clock()
        for action, _ in wanted:
            if not any(version.is_deployed(now) for version in action.versions):
                text = "Trying to create a binding for an action that has not been deployed yet"
                raise Problem(400, text)
        self._bindings[trigger] = [Binding(action, name, now) for action, name in wanted]
        return self.bindings(trigger)

    def live(self, trigger: str) -> list[Version]:
        """Return the versions that run at a trigger, in order."""
        with self.lock:
            found = [binding.action.live for binding in self.bindings(trigger)]
        return [version for version in found if version]

    def _load(self, one: Mapping[str, Any]) -> None:
        unknown = sorted(one.keys() - _LOADED)
        deployed = one.get("deployed", True)
        bound = one.get("bound", deployed)
        if unknown or (bound and not deployed):
            raise ValueError(f"no such Action can be loaded: {unknown or 'bound, not deployed'}")
        now = self.clock()
        found = one.get("secrets", {})
        secrets = tuple(Secret(name, value, now) for name, value in found.items())
        action = self.add(Draft(one["name"], code=one["code"], secrets=secrets))
        if deployed:
            action.deploy(action.draft, now)
        action.settle()
        if bound:
            self._bindings.setdefault(POST_LOGIN, []).append(Binding(action, one["name"], now))


def no_such_action() -> Problem:
    """Return the refusal to find an Action."""
    return Problem(404, "That action does not exist.")
