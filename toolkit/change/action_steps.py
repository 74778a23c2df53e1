"""Put the Action in place, or restore what was there before.

Each step is the same: read, compare with the expected state, write once, read again, compare, and
then record it in the journal. What somebody else changed is left as it is and reported. Auth0 has
no conditional write for Actions, so one round trip remains between read and write.

Facts: Auth0 Management API, "Create an action" to "Update trigger bindings": a draft is
deployed once it is `built`; a PATCH of the bindings replaces the whole list and gives new ids;
a bound Action runs its new version at once; an older version can be deployed without the draft
("Roll back to a previous action version").
"""

import time
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Final, TypeVar

from toolkit.change.action import (
    DELETED,
    NAME,
    RecordedChange,
    Setup,
    read_setup,
    recorded_change,
)
from toolkit.change.journal import Journal
from toolkit.errors import (
    CredentialsError,
    ForbiddenError,
    IncompleteError,
    MissingError,
    QueryError,
    SettingsError,
    TenantError,
    UndeployedError,
    UnreadableInputError,
)
from toolkit.progress import Progress
from toolkit.tenant.client import Tenant
from toolkit.tenant.models import Action, Binding

_T = TypeVar("_T")

MOST_BOUND: Final = 20
"""Actions that can be bound to one trigger (Auth0, "Actions Limitations")."""

_PATIENCE = 120.0  # seconds; Auth0's own deploy tool waits as long
_BIND_PATIENCE = 60.0  # seconds until the tenant binds what it deployed
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 5.0
_TRIES = 4
_READINGS = 20  # the most readings of one step
# Seconds for which an answer may be used, and which it may take. The wall clock also counts while a
# computer sleeps.
_FRESH, _SLOWEST = 1.0, 5.0
_LOST = 3.0  # seconds to look for a write whose answer was lost
_READINGS_IF_LOST = 3  # before a deployment whose answer was lost is sent again
_STEPS = 4  # code, build, deployment, binding
_ACTIONS, _BINDINGS = "actions/actions", "actions/triggers/post-login/bindings"
_NO_VERSION = (
    "the version that ran before is gone, as Auth0 keeps 50 of them: its code is in the journal"
)


class ChangedByOthersError(Exception):
    """Somebody else changed what was about to be changed; it is left as it is."""


def putting(
    tenant: Tenant,
    code: str,
    journal: Journal,
    now: Setup,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Generator[Progress, None, Setup]:
    """Create or update the Action, deploy it, bind it after all others; return the setup then.

    `clock` (seconds) and `sleep` are for the wait until the tenant binds what it deployed.

    Raises:
        ChangedByOthersError: somebody else changed the Action or its binding.
        IncompleteError: it was not built, deployed or bound.
    """
    if recorded_change(journal.steps) is None:
        if not now.bound and len(now.bindings) >= MOST_BOUND:
            raise SettingsError(
                f"{MOST_BOUND} Actions run after a login already, more than that Auth0 does not "
                "bind: unbind one."
            )
        journal.record_step(now.as_step(code))
    yield Progress(0, _STEPS, note="writing the Action's code")
    recorded = _recorded(journal)
    if "written" not in recorded.steps:
        if recorded.id is None:
            action = _create(tenant, recorded.code)
        else:
            edits = recorded.edits_by_others
            action = _write_draft(tenant, recorded.id, recorded.draft, edits)
        journal.record_step({"step": "written", "id": action.id, "settings": action.settings})
        recorded = _recorded(journal)
    if "deployed" not in recorded.steps:
        action = yield from _deploying(tenant, recorded)
        journal.record_step({"step": "deployed", "id": action.id, "running": action.running})
        recorded = _recorded(journal)
    if "bound" not in recorded.steps:
        yield Progress(3, _STEPS, note="binding")
        yield from _binding(tenant, recorded, clock, sleep)
        journal.record_step({"step": "bound", "id": recorded.action_id})
    after = read_setup(tenant, recorded.action_id)
    _ensure_none(_recorded(journal).changes_by_others(after))
    yield Progress(_STEPS, _STEPS, note="the Action is bound")
    return after


def restoring(
    tenant: Tenant, recorded: RecordedChange, action_id: str, journal: Journal
) -> Generator[Progress, None, tuple[str, ...]]:
    """Restore the old version, draft and binding of the Action, or remove it.

    Bindings of others stay, in the order in which they are now. Returns in words what stays because
    somebody else changed it.

    Raises:
        ChangedByOthersError: somebody else changed the Action before anything was restored.
    """
    former = recorded.former.action
    if former is None:
        # An Action that somebody is editing is neither unbound nor deleted.
        now = read_setup(tenant, action_id)
        _ensure_none(recorded.changes_by_others(now, undoing=True))
    left: list[str] = []

    def attempt(step: Callable[[], object]) -> bool:
        """Do a step, or collect the reason why not; the other steps do not depend on it."""
        try:
            step()
        except ChangedByOthersError as error:
            left.append(str(error))
            return False
        return True

    yield Progress(0, _STEPS, note="unbinding")
    unbind = partial(_set_bound, tenant, action_id, bound=False, was_bound=True)
    if not recorded.former.bound and attempt(unbind):
        journal.record_step({"step": "unbound", "id": action_id})
    if former is None:
        yield Progress(2, _STEPS, note="removing the Action")
        attempt(lambda: _delete(tenant, recorded, action_id))
    else:
        yield Progress(2, _STEPS, note="deploying the former version")
        attempt(lambda: _roll_back(tenant, recorded, former))
        yield Progress(3, _STEPS, note="writing the former draft")
        edits = partial(recorded.edits_of_draft, undoing=True)
        attempt(lambda: _write_draft(tenant, former.id, former.code, edits))
    if not left:
        journal.record_step({"step": "restored" if former else "removed", "id": action_id})
    yield Progress(_STEPS, _STEPS, note="taken back")
    return tuple(left)


def _recorded(journal: Journal) -> RecordedChange:
    recorded = recorded_change(journal.steps)
    if recorded is None:
        raise UnreadableInputError("The journal does not say what was there before.")
    return recorded


def _ensure_none(changes: Sequence[str]) -> None:
    if changes:
        raise ChangedByOthersError("; ".join(changes))


def _step(
    tenant: Tenant,
    turn: tuple[str, str],
    look: Callable[[], _T],
    is_done: Callable[[_T], bool],
    write: Callable[[_T], object],
    patience: float = 0.0,
) -> _T:
    """Do one step: read, compare, write once, read again, compare; return what was read last.

    `turn` is method and path of the write. `is_done` is whether the state is the wanted one; it
    raises `ChangedByOthersError` if it is neither that nor the old one. After so many seconds of
    `patience` the write must be visible.
    """
    wait, tries = _FIRST_WAIT, 0
    for _ in range(_READINGS):
        # Wait for both turns first, so that the write follows the read at once.
        tenant.await_turn(*turn)
        tenant.await_turn("GET", turn[1])
        begun = time.time()
        found = look()
        read = time.time()
        if is_done(found):
            tenant.give_up_turns()
            return found
        now = time.time()
        if abs(now - read) > _FRESH or abs(now - begun) > _SLOWEST:
            continue  # this machine slept, or the answer was slow: the state may be out of date
        failure = _sent(partial(write, found))
        until, pause = time.monotonic() + patience, _FIRST_WAIT
        if failure is not None:
            until = time.monotonic() + min(patience, _LOST)
        while not is_done(found := look()) and time.monotonic() < until:
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_WAIT)
        if is_done(found):
            return found
        if failure is None:
            raise ChangedByOthersError("what was written was changed again at the same moment")
        tries += 1
        if tries == _TRIES:
            raise failure
        time.sleep(wait)
        wait = min(wait * 4, _LONGEST_WAIT)
    raise TenantError(f"{tenant.domain} answers too slowly to change an Action. Try again later.")


def _sent(write: Callable[[], object]) -> TenantError | None:
    """Send a write; return its error, if any. The next read shows whether it was done."""
    try:
        write()
    except (CredentialsError, ForbiddenError, UndeployedError):
        raise
    except TenantError as error:
        return error
    return None


def _action(tenant: Tenant, action_id: str) -> Action:
    try:
        return tenant.action(action_id)
    except MissingError:
        raise ChangedByOthersError(DELETED) from None


def _create(tenant: Tenant, code: str) -> Action:
    created: list[str] = []

    def look() -> Action | None:
        # If an answer was lost, the Action is found by its code.
        return read_setup(tenant, created[0] if created else None).action

    def is_done(action: Action | None) -> bool:
        if action is not None and (action.code, action.name) != (code, NAME):
            raise ChangedByOthersError("another Action of this tool was put in place")
        return action is not None

    def write(_: Action | None) -> None:
        created.append(tenant.create_action(NAME, code).id)

    action = _step(tenant, ("POST", _ACTIONS), look, is_done, write)
    if action is None:
        raise ChangedByOthersError(DELETED)
    return action


def _write_draft(
    tenant: Tenant, action_id: str, code: str, edits_by_others: Callable[[Action], Sequence[str]]
) -> Action:
    def is_done(action: Action) -> bool:
        _ensure_none(edits_by_others(action))
        return action.code == code

    turn, look = ("PATCH", f"{_ACTIONS}/{action_id}"), partial(_action, tenant, action_id)
    return _step(tenant, turn, look, is_done, lambda _: tenant.update_action(action_id, code))


def _deploying(tenant: Tenant, recorded: RecordedChange) -> Generator[Progress, None, Action]:
    """Deploy the draft once it is built, wait until it runs, and return the Action then."""
    action_id = recorded.action_id
    path = f"{_ACTIONS}/{action_id}"
    until, wait = time.monotonic() + _PATIENCE, _FIRST_WAIT
    sent, accepted, readings, first = 0, False, 0, None
    while True:
        tenant.await_turn("POST", path)
        tenant.await_turn("GET", path)
        begun = time.time()
        action = _action(tenant, action_id)
        if action.status != "built":
            tenant.give_up_turns()
        _ensure_none(recorded.edits_by_others(action))
        first = first or action
        if action.deployed == recorded.code and action.settled:
            # It may be from an earlier run that was killed.
            _ensure_no_other_version(first, action, max(sent, 1))
            return action
        if action.status == "failed":
            raise IncompleteError("Auth0 could not build the Action: see it in the dashboard.")
        is_fresh = abs(time.time() - begun) <= _SLOWEST
        if action.status == "built" and not accepted and not readings and is_fresh:
            yield Progress(2, _STEPS, note="deploying")
            failure = _sent(lambda: tenant.deploy_action(action_id))
            if not isinstance(failure, QueryError | MissingError):
                sent += 1
                accepted = failure is None
                readings = _READINGS_IF_LOST
        else:
            yield Progress(1, _STEPS, note=f"the Action is {action.status}")
            readings = max(readings - 1, 0)
        if time.monotonic() > until:
            raise IncompleteError(
                f"The Action is still {action.status} after {_PATIENCE:.0f} s: run the command "
                "again later."
            )
        time.sleep(wait)
        wait = min(wait * 1.5, _LONGEST_WAIT)


def _ensure_no_other_version(first: Action, last: Action, sent: int) -> None:
    """Check that our deployments did not replace another version that was deployed meanwhile."""
    if (last.number or 0) - (first.number or 0) > sent:
        raise ChangedByOthersError(
            "another version of the Action was deployed at the same moment, and no longer runs: "
            "see its versions in Auth0's dashboard"
        )


def _roll_back(tenant: Tenant, recorded: RecordedChange, former: Action) -> None:
    """Deploy the version that ran before, with any draft."""
    if former.deployed in {None, recorded.code}:
        return  # nothing ran, or the same
    version = former.version
    if version is None:
        # Journals of version 1 do not name it: take the newest with this code.
        found = (one for one, code in tenant.versions(former.id) if code == former.deployed)
        version = next(found, None)
    if version is None:
        raise ChangedByOthersError(_NO_VERSION)
    before: list[Action] = []

    def is_done(action: Action) -> bool:
        _ensure_none(recorded.deployments_by_others(action, undoing=True))
        # It takes a moment until the tenant shows the new version as deployed.
        return action.deployed == former.deployed and action.settled

    def write(action: Action) -> None:
        before.append(action)
        tenant.roll_back_action(former.id, version)

    turn, look = ("POST", f"{_ACTIONS}/{former.id}"), partial(_action, tenant, former.id)
    try:
        after = _step(tenant, turn, look, is_done, write, _PATIENCE)
    except MissingError:
        raise ChangedByOthersError(_NO_VERSION) from None
    if before:
        _ensure_no_other_version(before[0], after, len(before))


def _delete(tenant: Tenant, recorded: RecordedChange, action_id: str) -> None:
    """Delete the Action, unless somebody bound or changed it."""

    def is_done(now: Setup) -> bool:
        if now.action is None:
            return True
        _ensure_none(recorded.changes_by_others(now, undoing=True))
        if now.bound:
            raise ChangedByOthersError("the Action was bound again")
        return False

    turn, look = ("DELETE", f"{_ACTIONS}/{action_id}"), partial(read_setup, tenant, action_id)
    _step(tenant, turn, look, is_done, lambda _: tenant.delete_action(action_id))


def _binding(
    tenant: Tenant,
    recorded: RecordedChange,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> Generator[Progress, None, None]:
    """Bind the deployed Action.

    For some time after a deployment, Auth0 may refuse: "Trying to create a binding for an action
    that has not been deployed yet" (auth0-deploy-cli#385, terraform-provider-auth0#1590).
    """
    until, wait = clock() + _BIND_PATIENCE, _FIRST_WAIT
    while True:
        try:
            _set_bound(tenant, recorded.action_id, bound=True, was_bound=recorded.former.bound)
        except UndeployedError:
            left = until - clock()
        else:
            return
        if left <= 0:
            raise IncompleteError(
                f"The Action is deployed, but {_BIND_PATIENCE:.0f} s later Auth0 still refuses to "
                "bind it, as if it were not. No login runs it yet: run the same command again."
            )
        yield Progress(3, _STEPS, note="waiting until Auth0 binds what was just deployed")
        sleep(min(wait, left))
        wait = min(wait * 1.5, _LONGEST_WAIT)


def _set_bound(tenant: Tenant, action_id: str, *, bound: bool, was_bound: bool) -> None:
    """Bind an Action after all others in the current list, or remove it from the list."""
    wanted: list[Binding] = []

    def is_done(found: Sequence[Binding]) -> bool:
        times = sum(one.action_id == action_id for one in found)
        if bound and was_bound and not times:
            raise ChangedByOthersError("the Action was unbound")
        if not bound and times > 1:
            raise ChangedByOthersError("the Action was bound once more")
        return bool(times) == bound

    def write(found: Sequence[Binding]) -> None:
        if bound:
            wanted[:] = [*found, Binding("", action_id, NAME)]
        else:
            wanted[:] = [one for one in found if one.action_id != action_id]
        try:
            tenant.bind(wanted)
        except UndeployedError:
            raise
        except (QueryError, MissingError):
            if tenant.bindings() != found:
                raise  # somebody changed the list: read it again
            # INFERRED: the tenant then does not identify bindings by their ids.
            tenant.bind(_without_ids(wanted))

    after = _step(tenant, ("PATCH", _BINDINGS), tenant.bindings, is_done, write)
    if wanted and _without_ids(after) != _without_ids(wanted):
        raise ChangedByOthersError(
            "what runs after a login was changed at the same moment: look at Actions > Triggers > "
            "post-login"
        )


def _without_ids(bindings: Sequence[Binding]) -> list[Binding]:
    return [Binding("", one.action_id, one.name) for one in bindings]
