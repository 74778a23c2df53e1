"""The Action that sets the default picture: its setup at the tenant, and what a journal says of it.

The steps that change it: `toolkit.change.action_steps`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from toolkit.change.javascript import action_code, is_edited, recognised
from toolkit.change.run import ActionState
from toolkit.errors import MissingError, SettingsError, UnreadableInputError
from toolkit.tenant.client import Tenant
from toolkit.tenant.models import Action, Binding

NAME: Final = "Default picture (picture-audit)"
"""The Action's name at the tenant."""

DELETED: Final = "the Action was deleted"

# What is overwritten, by whether it was edited.
_OVERWRITTEN: Final = {
    True: "somebody edited the Action by hand; its code is kept in the journal",
    False: "the Action is of another version of picture-audit; its code is kept in the journal",
    None: "the Action is of an early version of picture-audit, whose code does not show whether "
    "somebody edited it; it is kept in the journal",
}

# What a journal keeps of the Action as it was. `draft` is the code of its draft.
_KEPT: Final = ("id", "draft", "deployed", "version", "settings", "running")
_NOT_KEPT: Final = {"version": None, "settings": "", "running": ""}  # in journals of version 1


@dataclass(frozen=True, slots=True)
class Setup:
    """Our Action, and the Actions that run after a login, at one time.

    Attributes:
        action: our Action, or None. From a journal, the hashes of its settings are empty if they
            are not known.
        bindings: the Actions that run after a login, in order.
    """

    action: Action | None
    bindings: tuple[Binding, ...]

    @property
    def times_bound(self) -> int:
        """How often our Action runs after a login."""
        ids = [one.action_id for one in self.bindings]
        return ids.count(self.action.id) if self.action else 0

    @property
    def bound(self) -> bool:
        """Whether our Action runs after a login."""
        return self.times_bound > 0

    @property
    def deployed(self) -> str | None:
        """The code of our Action that runs, or None."""
        return self.action.deployed if self.action else None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the Actions that run after a login."""
        return tuple(one.name for one in self.bindings)

    def as_step(self, code: str) -> dict[str, Any]:
        """Return the journal's first step: this setup, and the new code."""
        found = asdict(self.action) | {"draft": self.action.code} if self.action else {}
        kept = {key: found.get(key) for key in _KEPT}
        bindings = [[one.action_id, one.name] for one in self.bindings]
        return {"step": "former", "code": code, **kept, "bindings": bindings}


def read_setup(tenant: Tenant, action_id: str | None = None) -> Setup:
    """Find our Action (scope `read:actions`) by its id, or by its code, with any name.

    Raises:
        SettingsError: there are several, or another Action has its name.
        TenantError: the tenant refused or did not answer.
    """
    bindings = tuple(tenant.bindings())
    if action_id is None:
        action_id = _found_by_code(tenant.actions(), {one.action_id for one in bindings})
    try:
        # Read by id, as in all later comparisons.
        return Setup(None if action_id is None else tenant.action(action_id), bindings)
    except MissingError:
        return Setup(None, bindings)


def _found_by_code(actions: Sequence[Action], bound: set[str]) -> str | None:
    ours = [one for one in actions if recognised(one.code) or recognised(one.deployed)]
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
    return chosen[0].id if chosen else None


def preview(now: Setup, code: str) -> ActionState:
    """Return what putting the Action in place changes."""
    names = now.names if now.bound else (*now.names, NAME)
    return ActionState(NAME, now.deployed, code, now.names, names, now.action is None)


def overwritten(now: Setup) -> tuple[str, ...]:
    """Return what would be overwritten that the current version did not make."""
    found = []
    if now.action is not None and now.action.deployed is not None:
        policy = recognised(now.action.deployed)
        if policy is None or action_code(policy) != now.action.deployed:
            found.append(_OVERWRITTEN[policy is None or is_edited(now.action.deployed)])
        if now.action.code != now.action.deployed:
            found.append("the Action has a draft that is not deployed; it is kept in the journal")
    return tuple(found)


@dataclass(frozen=True, slots=True)
class RecordedChange:
    """What this tool did to the Action, according to a journal.

    Attributes:
        former: the setup before.
        code: the new code.
        id: the Action's id, or None if it may not exist yet.
        steps: the names of the recorded steps: `written`, `deployed`, `bound`.
        draft_settings: a hash of the settings of the draft that was written, or None.
        deployed_settings: the same of the version that was deployed.
    """

    former: Setup
    code: str
    id: str | None
    steps: frozenset[str]
    draft_settings: str | None = None
    deployed_settings: str | None = None

    @property
    def action_id(self) -> str:
        """The Action's id; UnreadableInputError if the journal does not contain it."""
        if self.id is None:
            raise UnreadableInputError("The journal does not say which Action was written.")
        return self.id

    @property
    def draft(self) -> str:
        """The draft at the end: the old one if nothing had to be deployed."""
        old = self.former.action
        return old.code if old is not None and old.deployed == self.code else self.code

    def edits_of_draft(self, action: Action, *, undoing: bool) -> list[str]:
        """Return how somebody else has changed the draft."""
        old = self.former.action
        drafts = {self.draft}
        if old is not None and (undoing or "written" not in self.steps):
            drafts.add(old.code)
        settings = self.draft_settings or (old.settings if old else "")
        known = action.code in drafts and settings in {"", action.settings}
        return [] if known else ["the Action's draft was changed"]

    def deployments_by_others(self, action: Action, *, undoing: bool) -> list[str]:
        """Return whether somebody else has deployed anything."""
        settings = self.former.action.running if self.former.action else ""
        is_former = action.deployed == self.former.deployed and settings in {"", action.running}
        is_new = action.deployed == self.code and self.deployed_settings in {None, action.running}
        if is_new or (is_former and (undoing or "deployed" not in self.steps)):
            return []
        return ["another version of the Action was deployed"]

    @property
    def finished(self) -> bool:
        """Whether it came to its last step: the Action runs at each login."""
        return "bound" in self.steps

    def changes_by_others(self, now: Setup, *, undoing: bool = False) -> tuple[str, ...]:
        """Return what somebody else has changed in the Action and its binding.

        While `undoing`, the former setup is accepted, too.
        """
        found = self.edits_by_others(now.action, undoing=undoing)
        if now.action is not None:
            expected = self.former.bound or (self.finished and not undoing)
            if expected and not now.bound:
                found.append("the Action was unbound")
            if now.times_bound > max(1, self.former.times_bound):
                found.append("the Action was bound once more")
        return tuple(found)

    def edits_by_others(self, action: Action | None, *, undoing: bool = False) -> list[str]:
        """Return what somebody else has changed in the Action itself."""
        if action is None:
            was_there = self.former.action is not None if undoing else self.id is not None
            return [DELETED] if was_there else []
        found = self.edits_of_draft(action, undoing=undoing)
        found += self.deployments_by_others(action, undoing=undoing)
        if undoing and self.former.action is None and action.name != NAME:
            found.append("the Action was renamed")
        return found


def recorded_change(steps: Sequence[Mapping[str, Any]]) -> RecordedChange | None:
    """Read from a journal's steps what this tool did to the Action; None if nothing.

    Raises:
        UnreadableInputError: the steps do not contain it.
    """
    first = {str(step.get("step")): step for step in reversed(steps)}
    if "former" not in first:
        return None
    try:
        former = _former_setup(first["former"])
    except (KeyError, TypeError, ValueError):
        raise UnreadableInputError(
            "The journal is damaged: it does not say what was there before."
        ) from None
    code = first["former"].get("code")
    written, deployed = first.get("written", {}), first.get("deployed", {})
    texts = (written.get("id"), written.get("settings"), deployed.get("running"))
    if not isinstance(code, str) or not all(isinstance(one, str | None) for one in texts):
        raise UnreadableInputError("The journal is damaged: it does not say what was written.")
    action_id = texts[0] or (former.action.id if former.action else None)
    return RecordedChange(former, code, action_id, frozenset(first), texts[1], texts[2])


def _former_setup(step: Mapping[str, Any]) -> Setup:
    """Read what `Setup.as_step` wrote; KeyError, TypeError or ValueError if it did not."""
    bindings = tuple(Binding("", str(one), str(name)) for one, name in step["bindings"])
    kept = {key: {**_NOT_KEPT, **step}[key] for key in _KEPT}
    if not all(isinstance(text, str | None) for text in kept.values()):
        raise TypeError("not a text")
    kept |= {"name": NAME, "status": "built", "code": kept.pop("draft")}
    return Setup(Action(**kept) if kept["id"] else None, bindings)
