"""The Action that sets the default picture: put it in place, check it, remove it.

Each step is the same: read, compare with the expected state, write once, read again, compare, and
then record it in the journal. What somebody else changed is left as it is and reported. Auth0 has
no conditional write for Actions, so one round trip remains between read and write.

Facts: Auth0 Management API, "Create an action" to "Update trigger bindings": a draft is
deployed once it is `built`; a PATCH of the bindings replaces the whole list and gives new ids;
a bound Action runs its new version at once; an older version can be deployed without the draft
("Roll back to a previous action version").
"""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from toolkit.change.javascript import action_code, recognised
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
from toolkit.tenant.client import Tenant
from toolkit.tenant.models import Action, Binding

_T = TypeVar("_T")

NAME: Final = "Default picture (picture-audit)"
"""The Action's name at the tenant."""

MOST_BOUND: Final = 20
"""Actions that can be bound to one trigger (Auth0, "Actions Limitations")."""

_PATIENCE = 120.0  # seconds; Auth0's own deploy tool waits as long
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 5.0
_TRIES = 4
_READINGS = 20  # the most readings of one step
# Seconds for which an answer may be used, and which it may take. The wall clock also counts while a
# computer sleeps.
_FRESH, _SLOWEST = 1.0, 5.0
_LOST = 3.0  # seconds to look for a write whose answer was lost
_LOOKS = 3  # readings before a deployment whose answer was lost is sent again
_STEPS = 4  # code, build, deployment, binding
_ACTIONS, _TRIGGERS = "actions/actions", "actions/triggers"


class ChangedByOthersError(Exception):
    """Somebody else changed what was about to be changed; it is left as it is.

    The text says what was changed, for people.
    """


@dataclass(frozen=True, slots=True)
class Former:
    """The state of the tenant before the change.

    Attributes:
        id: the Action's id, or None if there was no Action.
        draft: its draft.
        deployed: its deployed code, or None.
        bindings: (Action's id, display name) of the Actions that ran after a login, in order.
        version: the id of its deployed version; None in journals of version 1, too.
        settings: a hash of the other parts of its draft; None if not known.
        running: the same of its deployed version.
    """

    id: str | None
    draft: str | None
    deployed: str | None
    bindings: tuple[tuple[str, str], ...]
    version: str | None = None
    settings: str | None = None
    running: str | None = None

    def as_step(self, code: str) -> dict[str, Any]:
        """Return the journal's first step: this state, and the new code."""
        return {
            "step": "former",
            "code": code,
            "id": self.id,
            "draft": self.draft,
            "deployed": self.deployed,
            "version": self.version,
            "settings": self.settings,
            "running": self.running,
            "bindings": [list(one) for one in self.bindings],
        }

    @property
    def bound(self) -> bool:
        """Whether the Action ran before."""
        return self.id is not None and self.id in dict(self.bindings)


def former_of(steps: Sequence[Mapping[str, Any]]) -> Former | None:
    """Read the state before the change from a journal's steps.

    Raises:
        UnreadableInputError: the step does not contain it.
    """
    for step in steps:
        if step.get("step") == "former":
            try:
                bindings = tuple((str(one), str(name)) for one, name in step["bindings"])
                # Journals of version 1 do not have these.
                known = [step.get(name) for name in ("version", "settings", "running")]
                former = Former(step["id"], step["draft"], step["deployed"], bindings, *known)
                texts = (former.id, former.draft, former.deployed, *known)
                if all(isinstance(text, str | None) for text in texts):
                    return former
            except (KeyError, TypeError, ValueError):
                pass  # raised below
            raise UnreadableInputError(
                "The journal is damaged: it does not say what stood there before."
            )
    return None


@dataclass(frozen=True, slots=True)
class Made:
    """What this tool did to the Action, according to a journal.

    Attributes:
        former: the state before.
        code: the new code.
        id: the Action's id, or None if it may not exist yet.
        written: whether the journal says that the draft was written.
        deployed: whether the journal says that the code was deployed.
        bound: whether the journal says that the Action was bound.
        running: a hash of the other parts of the deployed version, if the journal has it.
        settings: a hash of the other parts of the draft, if the journal has it.
    """

    former: Former
    code: str
    id: str | None
    written: bool = False
    deployed: bool = False
    bound: bool = False
    running: str | None = None
    settings: str | None = None

    @property
    def draft(self) -> str | None:
        """The draft at the end: the old one if nothing had to be deployed."""
        return self.former.draft if self.former.deployed == self.code else self.code

    def drafts(self, *, undoing: bool) -> set[str | None]:
        """Return the drafts that are ours or the old one."""
        return {self.draft} if self.written and not undoing else {self.draft, self.former.draft}

    def moved(self, action: Action | None, *, undoing: bool = False) -> tuple[str, ...]:
        """Return which parts of the Action somebody else changed.

        Args:
            action: the Action as it is now, or None if it is gone.
            undoing: whether the old state is accepted, too.
        """
        if action is None:
            gone = self.former.id is None if undoing else self.id is None
            return () if gone else ("the Action was deleted",)
        found = []
        if not self.is_draft(action, undoing=undoing):
            found.append("the Action's draft was changed")
        if not self.is_deployed(action, undoing=undoing):
            found.append("another version of the Action was deployed")
        if undoing and self.former.id is None and action.name != NAME:
            found.append("the Action was renamed")
        return tuple(found)

    def is_draft(self, action: Action, *, undoing: bool) -> bool:
        """Whether nobody else has changed the draft."""
        known = self.settings or self.former.settings
        settings = known is None or action.settings == known
        return settings and action.code in self.drafts(undoing=undoing)

    def is_deployed(self, action: Action, *, undoing: bool) -> bool:
        """Whether nobody else has deployed anything."""
        before = action.deployed == self.former.deployed and (
            self.former.running in {None, action.running}
        )
        ours = action.deployed == self.code and self.running in {None, action.running}
        return ours or (before and (undoing or not self.deployed))


def made_of(steps: Sequence[Mapping[str, Any]]) -> Made | None:
    """Read from a journal's steps what this tool did to the Action; None if nothing.

    Raises:
        UnreadableInputError: the steps do not contain it.
    """
    former = former_of(steps)
    if former is None:
        return None
    noted = {str(step.get("step")): step for step in reversed(steps)}
    code = noted["former"].get("code")
    written, deployed = noted.get("written", {}), noted.get("deployed", {})
    texts = (written.get("id"), written.get("settings"), deployed.get("running"))
    if not isinstance(code, str) or not all(isinstance(one, str | None) for one in texts):
        raise UnreadableInputError("The journal is damaged: it does not say what was written.")
    return Made(
        former,
        code,
        texts[0] or former.id,
        written="written" in noted,
        deployed="deployed" in noted,
        bound="bound" in noted,
        running=texts[2],
        settings=texts[1],
    )


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of the tenant now.

    Attributes:
        action: our Action, or None.
        bindings: the Actions that run after a login, in order.
    """

    action: Action | None
    bindings: tuple[Binding, ...]

    @property
    def former(self) -> Former:
        """The part that a journal keeps."""
        one = self.action
        bindings = tuple((bound.action_id, bound.name) for bound in self.bindings)
        if one is None:
            return Former(None, None, None, bindings)
        return Former(
            one.id, one.code, one.deployed, bindings, one.version, one.settings, one.running
        )

    @property
    def times_bound(self) -> int:
        """How often our Action runs after a login."""
        return 0 if self.action is None else _times(self.bindings, self.action.id)

    @property
    def bound(self) -> bool:
        """Whether our Action runs after a login."""
        return self.times_bound > 0

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the Actions that run after a login."""
        return tuple(one.name for one in self.bindings)


def standing(tenant: Tenant, action_id: str | None = None) -> Standing:
    """Find our Action (scope `read:actions`).

    Args:
        tenant: the tenant.
        action_id: its id, if known; otherwise it is found by its code, with any name.

    Raises:
        SettingsError: there are several, or another Action has its name.
        TenantError: the tenant refused or did not answer.
    """
    bindings = tuple(tenant.bindings())
    if action_id is not None:
        return Standing(_read(tenant, action_id), bindings)
    actions = tenant.actions()
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
    # Read by id, as in all later comparisons.
    return Standing(_read(tenant, chosen[0].id) if chosen else None, bindings)


def _read(tenant: Tenant, action_id: str) -> Action | None:
    """Read an Action by id; None if it is gone."""
    try:
        return tenant.action(action_id)
    except MissingError:
        return None


def _times(bindings: Sequence[Binding], action_id: str) -> int:
    return sum(one.action_id == action_id for one in bindings)


def preview(now: Standing, code: str) -> ActionState:
    """Return what putting the Action in place changes."""
    names = now.names if now.bound else (*now.names, NAME)
    return ActionState(NAME, now.action.deployed if now.action else None, code, now.names, names)


def by_hand(now: Standing) -> tuple[str, ...]:
    """Return which edits by hand would be overwritten."""
    found = []
    if now.action is not None and now.action.deployed is not None:
        policy = recognised(now.action.deployed)
        if policy is None or action_code(policy) != now.action.deployed:
            found.append("somebody edited the Action by hand; its code is kept in the journal")
        if now.action.code != now.action.deployed:
            found.append("the Action has a draft that is not deployed; it is kept in the journal")
    return tuple(found)


def moved(made: Made, now: Standing, *, undoing: bool = False) -> tuple[str, ...]:
    """Return what somebody else has changed in the Action and its binding.

    Args:
        made: what this tool did.
        now: the state of the tenant.
        undoing: whether the old state is accepted, too.
    """
    found = list(made.moved(now.action, undoing=undoing))
    if now.action is not None:
        if not now.bound and (made.former.bound or (made.bound and not undoing)):
            found.append("the Action was unbound")
        if now.times_bound > max(1, _times_before(made)):
            found.append("the Action was bound once more")
    return tuple(found)


def _times_before(made: Made) -> int:
    return [one for one, _ in made.former.bindings].count(made.former.id or "")


def putting(
    tenant: Tenant, code: str, journal: Journal, now: Standing
) -> Generator[Progress, None, Standing]:
    """Create or update the Action, deploy it, and bind it after all others.

    Yields:
        Progress in steps.

    Returns:
        The state afterwards.

    Raises:
        ChangedByOthersError: somebody else changed the Action or its binding.
        IncompleteError: it was not built or deployed.
        TenantError: the tenant refused or did not answer.
    """
    if former_of(journal.steps) is None:
        _require_room(now)
        journal.note(now.former.as_step(code))
    yield Progress(0, _STEPS, note="writing the Action's code")
    if not _made(journal).written:
        action = _written(tenant, _made(journal))
        journal.note({"step": "written", "id": action.id, "settings": action.settings})
    if not _made(journal).deployed:
        action = yield from _deploying(tenant, _made(journal))
        journal.note({"step": "deployed", "id": action.id, "running": action.running})
    made = _made(journal)
    action_id = _id_of(made)
    if not made.bound:
        yield Progress(3, _STEPS, note="binding")
        _appended(tenant, made, action_id)
        journal.note({"step": "bound", "id": action_id})
    after = standing(tenant, action_id)
    _ensure(moved(_made(journal), after))
    yield Progress(_STEPS, _STEPS, note="the Action is bound")
    return after


def restoring(
    tenant: Tenant, made: Made, action_id: str, journal: Journal
) -> Generator[Progress, None, tuple[str, ...]]:
    """Restore the old version, draft and binding of the Action, or remove it.

    Bindings of others stay, in the order in which they are now.

    Args:
        tenant: where.
        made: what applying did.
        action_id: the Action's id.
        journal: the journal of the undo.

    Yields:
        Progress in steps.

    Returns:
        What stays because somebody else changed it, in words.

    Raises:
        ChangedByOthersError: somebody else changed the Action before anything was restored.
        TenantError: the tenant refused or did not answer.
    """
    created = made.former.id is None
    if created:
        # An Action that somebody is editing is neither unbound nor deleted.
        _ensure(moved(made, standing(tenant, action_id), undoing=True))
    left: list[str] = []
    yield Progress(0, _STEPS, note="unbinding")
    if not made.former.bound and _tried(left, lambda: _taken_out(tenant, action_id)):
        journal.note({"step": "unbound", "id": action_id})
    if created:
        yield Progress(2, _STEPS, note="removing the Action")
        _tried(left, lambda: _deleted(tenant, made, action_id))
    else:
        yield Progress(2, _STEPS, note="deploying the former version")
        _tried(left, lambda: _rolled_back(tenant, made, action_id))
        yield Progress(3, _STEPS, note="writing the former draft")
        _tried(left, lambda: _redrafted(tenant, made, action_id))
    if not left:
        journal.note({"step": "removed" if created else "restored", "id": action_id})
    yield Progress(_STEPS, _STEPS, note="taken back")
    return tuple(left)


def _tried(left: list[str], step: Callable[[], object]) -> bool:
    """Do a step, or collect the reason why not; the other steps do not depend on it."""
    try:
        step()
    except ChangedByOthersError as error:
        left.append(str(error))
        return False
    return True


def _ensure(found: Sequence[str]) -> None:
    if found:
        raise ChangedByOthersError("; ".join(found))


def _made(journal: Journal) -> Made:
    made = made_of(journal.steps)
    if made is None:
        raise UnreadableInputError("The journal does not say what stood there before.")
    return made


def _id_of(made: Made) -> str:
    if made.id is None:
        raise UnreadableInputError("The journal does not say which Action was written.")
    return made.id


def _require_room(now: Standing) -> None:
    if not now.bound and len(now.bindings) >= MOST_BOUND:
        raise SettingsError(
            f"{MOST_BOUND} Actions run after a login already, more than that Auth0 does not bind: "
            "unbind one."
        )


def _step(
    tenant: Tenant,
    turn: tuple[str, str],
    look: Callable[[], _T],
    done: Callable[[_T], bool],
    write: Callable[[_T], object],
    patience: float = 0.0,
) -> _T:
    """Do one step: read, compare, write once, read again, compare.

    Args:
        tenant: the tenant.
        turn: method and path of the write.
        look: reads the current state.
        done: whether the state is the wanted one; raises `ChangedByOthersError` if it is neither
            that nor the old one.
        write: sends the write.
        patience: seconds until the write must be visible.

    Returns:
        The last state that was read.

    Raises:
        ChangedByOthersError: as `done`; or the write was accepted but is not there afterwards.
        TenantError: the tenant refused or did not answer.
    """
    wait, tries = _FIRST_WAIT, 0
    for _ in range(_READINGS):
        # Wait for both turns first, so that the write follows the read at once.
        tenant.await_turn(*turn)
        tenant.await_turn("GET", turn[1])
        begun = time.time()
        found = look()
        read = time.time()
        if done(found):
            tenant.give_up_turns()
            return found
        now = time.time()
        if abs(now - read) > _FRESH or abs(now - begun) > _SLOWEST:
            continue  # this machine slept, or the answer was slow: the state may be out of date
        failure = _sent(lambda found=found: write(found))  # type: ignore[misc] # called at once
        after = _awaited(look, done, patience if failure is None else min(patience, _LOST))
        if done(after):
            return after
        if failure is None:
            raise ChangedByOthersError("what was written was changed again at the same moment")
        tries += 1
        if tries == _TRIES:
            raise failure
        time.sleep(wait)
        wait = min(wait * 4, _LONGEST_WAIT)
    raise TenantError(f"{tenant.domain} answers too slowly to change an Action. Try again later.")


def _awaited(look: Callable[[], _T], done: Callable[[_T], bool], patience: float) -> _T:
    """Read until the step is done, or for so many seconds."""
    until, wait = time.monotonic() + patience, _FIRST_WAIT
    while True:
        found = look()
        if done(found) or time.monotonic() >= until:
            return found
        time.sleep(wait)
        wait = min(wait * 1.5, _LONGEST_WAIT)


def _sent(write: Callable[[], object]) -> TenantError | None:
    """Send a write; return its error, if any. The next read shows whether it was done."""
    try:
        write()
    except (CredentialsError, ScopeError):
        raise
    except TenantError as error:
        return error
    return None


def _written(tenant: Tenant, made: Made) -> Action:
    """Create the Action or write its draft, whichever is missing."""
    if made.id is None:
        return _created(tenant, made)

    def done(action: Action | None) -> bool:
        _ensure(made.moved(action))
        return action is not None and action.code == made.draft

    path = f"{_ACTIONS}/{made.id}"
    action = _step(
        tenant,
        ("PATCH", path),
        lambda: _read(tenant, _id_of(made)),
        done,
        lambda _: tenant.update_action(_id_of(made), made.code),
    )
    return _there(action)


def _created(tenant: Tenant, made: Made) -> Action:
    def done(now: Standing) -> bool:
        # If an answer was lost, the Action is found by its code.
        if now.action is not None and (now.action.code, now.action.name) != (made.code, NAME):
            raise ChangedByOthersError("another Action of this tool was put in place")
        return now.action is not None

    created: list[str] = []

    def look() -> Standing:
        return standing(tenant, created[0] if created else None)

    def write(_: Standing) -> None:
        created.append(tenant.create_action(NAME, made.code).id)

    return _there(_step(tenant, ("POST", _ACTIONS), look, done, write).action)


def _there(action: Action | None) -> Action:
    if action is None:
        raise ChangedByOthersError("the Action was deleted")
    return action


def _deploying(tenant: Tenant, made: Made) -> Generator[Progress, None, Action]:
    """Deploy the draft once it is built, and wait until it runs.

    Returns:
        The Action then.

    Raises:
        ChangedByOthersError: somebody changed the draft, or deployed another version.
        IncompleteError: it was not built or deployed in time.
        TenantError: the tenant refused or did not answer.
    """
    action_id = _id_of(made)
    path = f"{_ACTIONS}/{action_id}"
    until, wait = time.monotonic() + _PATIENCE, _FIRST_WAIT
    asked, looks, first = 0, 0, None
    while True:
        tenant.await_turn("POST", path)
        tenant.await_turn("GET", path)
        begun = time.time()
        action = _there(_read(tenant, action_id))
        if action.status != "built":
            tenant.give_up_turns()
        _ensure(made.moved(action))
        first = first or action
        if action.deployed == made.code and action.settled:
            # It may be from an earlier run that was killed.
            _ensure_ours((action.number or 0) - (first.number or 0), max(asked, 1))
            return action
        if action.status == "failed":
            raise IncompleteError("Auth0 could not build the Action: see it in the dashboard.")
        if action.status == "built" and not looks and abs(time.time() - begun) <= _SLOWEST:
            yield Progress(2, _STEPS, note="deploying")
            failure = _sent(lambda: tenant.deploy_action(action_id))
            if not isinstance(failure, QueryError | MissingError):
                # If the answer was lost, look for the deployment before sending it again.
                asked += 1
                looks = _LOOKS if failure else -1
        else:
            yield Progress(1, _STEPS, note=f"the Action is {action.status}")
            looks = max(looks - 1, 0) if looks >= 0 else looks
        if time.monotonic() > until:
            raise IncompleteError(
                f"The Action is still {action.status} after {_PATIENCE:.0f} s: run the command "
                "again later."
            )
        time.sleep(wait)
        wait = min(wait * 1.5, _LONGEST_WAIT)


def _ensure_ours(grown: int, asked: int) -> None:
    """Check that our version did not replace another one that was deployed meanwhile."""
    if grown > asked:
        raise ChangedByOthersError(
            "another version of the Action was deployed at the same moment, and runs no more: "
            "see its versions in Auth0's dashboard"
        )


def _appended(tenant: Tenant, made: Made, action_id: str) -> None:
    """Bind an Action after all others in the current list."""

    def done(found: Sequence[Binding]) -> bool:
        bound = _times(found, action_id) > 0
        if made.former.bound and not bound:
            raise ChangedByOthersError("the Action was unbound")
        return bound

    _rebound(tenant, done, lambda found: [*found, Binding("", action_id, NAME)])


def _taken_out(tenant: Tenant, action_id: str) -> None:
    """Remove an Action from the current list."""

    def done(found: Sequence[Binding]) -> bool:
        if _times(found, action_id) > 1:
            raise ChangedByOthersError("the Action was bound once more")
        return not _times(found, action_id)

    _rebound(tenant, done, lambda found: [one for one in found if one.action_id != action_id])


def _rebound(
    tenant: Tenant,
    done: Callable[[Sequence[Binding]], bool],
    change: Callable[[Sequence[Binding]], list[Binding]],
) -> None:
    """Replace the list of Actions that run after a login, and compare the result."""
    wanted: list[Binding] = []

    def write(found: Sequence[Binding]) -> None:
        wanted[:] = change(found)
        try:
            tenant.bind(wanted)
        except (QueryError, MissingError):
            if tenant.bindings() != found:
                raise  # somebody changed the list: read it again
            # INFERRED: the tenant then does not identify bindings by their ids.
            tenant.bind([Binding("", one.action_id, one.name) for one in wanted])

    after = _step(
        tenant, ("PATCH", f"{_TRIGGERS}/post-login/bindings"), tenant.bindings, done, write
    )
    if wanted and _shown(after) != _shown(wanted):
        raise ChangedByOthersError(
            "what runs after a login was changed at the same moment: look at Actions > Triggers > "
            "post-login"
        )


def _shown(bindings: Sequence[Binding]) -> list[tuple[str, str]]:
    return [(one.action_id, one.name) for one in bindings]


def _rolled_back(tenant: Tenant, made: Made, action_id: str) -> None:
    """Deploy the version that ran before, with any draft."""
    former = made.former
    if former.deployed in {None, made.code}:
        return  # nothing ran, or the same
    version = former.version or _version_of(tenant, action_id, former.deployed)
    numbers: list[int] = []

    def done(action: Action | None) -> bool:
        one = _there(action)
        if not made.is_deployed(one, undoing=True):
            raise ChangedByOthersError("another version of the Action was deployed")
        # It takes a moment until the tenant shows the new version as deployed.
        return one.deployed == former.deployed and one.settled

    def write(action: Action | None) -> None:
        numbers.append(_there(action).number or 0)
        tenant.roll_back_action(action_id, version)

    def look() -> Action | None:
        return _read(tenant, action_id)

    turn = ("POST", f"{_ACTIONS}/{action_id}")
    try:
        after = _there(_step(tenant, turn, look, done, write, _PATIENCE))
    except MissingError:
        raise ChangedByOthersError(_NO_VERSION) from None
    if numbers:
        _ensure_ours((after.number or 0) - numbers[0], len(numbers))


_NO_VERSION = (
    "the version that ran before is gone, as Auth0 keeps 50 of them: its code is in the journal"
)


def _version_of(tenant: Tenant, action_id: str, code: str | None) -> str:
    """Find the newest version with this code; journals of version 1 do not name it."""
    for version, found in tenant.versions(action_id):
        if found == code:
            return version
    raise ChangedByOthersError(_NO_VERSION)


def _redrafted(tenant: Tenant, made: Made, action_id: str) -> None:
    """Restore the old draft."""

    def done(action: Action | None) -> bool:
        one = _there(action)
        if not made.is_draft(one, undoing=True):
            raise ChangedByOthersError("the Action's draft was changed")
        return one.code == made.former.draft

    _step(
        tenant,
        ("PATCH", f"{_ACTIONS}/{action_id}"),
        lambda: _read(tenant, action_id),
        done,
        lambda _: tenant.update_action(action_id, made.former.draft or ""),
    )


def _deleted(tenant: Tenant, made: Made, action_id: str) -> None:
    """Delete the Action, unless somebody bound or changed it."""

    def look() -> Standing:
        return standing(tenant, action_id)

    def done(now: Standing) -> bool:
        if now.action is None:
            return True
        _ensure(moved(made, now, undoing=True))
        if now.bound:
            raise ChangedByOthersError("the Action was bound again")
        return False

    _step(
        tenant,
        ("DELETE", f"{_ACTIONS}/{action_id}"),
        look,
        done,
        lambda _: tenant.delete_action(action_id),
    )
