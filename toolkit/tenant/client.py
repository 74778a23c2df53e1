"""One tenant: its users, export jobs, connections, Actions and Rules."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

from toolkit.classification.user_profile import FIELDS
from toolkit.errors import (
    BusyError,
    MissingError,
    QueryError,
    SlowQueryError,
    StaleError,
    TenantError,
    UnreachableError,
)
from toolkit.tenant.credentials import Settings, read_settings
from toolkit.tenant.management_api import ManagementApi, raw
from toolkit.tenant.models import PAGE, Action, Binding, Connection, Job, Page, Rule
from toolkit.tenant.refusals import ON_THE_WAY

# What is not wanted of a user. Auth0 refuses names in `fields` that are not in a list of its own
# ("Search Users by Email"), and `thumbnailPhotoUrl` is not in it: it comes if others are left out.
_UNWANTED = (
    "phone_number,email_verified,username,nickname,app_metadata,last_ip,blocked,family_name,"
    "given_name"
)
_POST_LOGIN = "post-login"
# The current version of the trigger, and its runtime (recorded answers of "Get triggers").
_TRIGGER_VERSION, _RUNTIME = "v3", "node22"
_RETRIES = 6
_FRESH = 1.0  # seconds between reading a user and writing it
_MOST_STALE = 6  # doublings of that: up to 64 seconds


class Tenant(ManagementApi):
    """A tenant. Made by `connect`; a context manager that closes its connections.

    Methods that ask the tenant raise a `TenantError` if it refused or did not answer: a
    `MissingError` if it does not know an id, a `QueryError` if it does not accept a value. Except
    for `revise_user`, a write is sent only once: after an error, it may have been done. Nothing
    here asks before it writes: `toolkit.change` does.

    Attributes:
        domain: the tenant's host name.
        sandbox: whether it is on loopback, and so not a real tenant.
        seed: the seed of its made-up people if it is the embedded tenant; else None.
    """

    seed: int | None = None

    def __repr__(self) -> str:
        what = "the embedded tenant" if self.sandbox else "Tenant"
        return f"<{what} {self.domain}>"

    def now(self) -> datetime:
        """Return the tenant's time (UTC), from the `Date` of its answers.

        If they have none, this machine's time is used, and `notes` says so.
        """
        if not self._clock.answered:
            # Every answer to a search contains the time.
            with suppress(QueryError, SlowQueryError):
                self.search("created_at:[* TO *]", per_page=1)
        return self._clock.now()

    # Users

    def search(
        self, q: str, *, page: int = 0, per_page: int = PAGE, sort: str | None = None
    ) -> Page:
        """Read one page of the users that match a query (Auth0, "User Search Query Syntax").

        page * per_page must stay under 1,000; `sort` is `field:1` or `field:-1`.
        """
        read = partial(
            self._api.users.list,
            q=q,
            page=page,
            per_page=per_page,
            sort=sort,
            include_totals=True,
            fields=_UNWANTED,
            include_fields=False,
            search_engine="v3",
        )
        return Page.of(self._send(lambda: raw(lambda: read().response)), per_page)

    def user(self, user_id: str) -> Mapping[str, Any]:
        """Read one user (`read:users`); unlike a search, this shows every write at once."""
        _ensure_named(user_id)
        get = partial(self._api.users.get, user_id, fields=_UNWANTED, include_fields=False)
        return _user(self._send(lambda: raw(get)))

    def find_user(self, user_id: str) -> Mapping[str, Any] | None:
        """Read one user; None if there is no such user, or no user can have such an id."""
        try:
            return self.user(user_id)
        except (MissingError, QueryError):
            return None

    def change_user(
        self, user_id: str, change: Mapping[str, Any], *, tag: str | None = None
    ) -> Mapping[str, Any]:
        """Write to one user (`update:users`); return the user after the write.

        `change` has a `picture`, a text or None, or `user_metadata`, which is merged at its first
        level and in which None removes a key. It must not be empty: an empty object would wipe all
        metadata. `tag`: at most 64 characters that the tenant's logs show (`X-Correlation-ID`).
        """
        if not change or change.get("user_metadata", True) in ({}, None):
            raise ValueError("an empty change wipes metadata")
        _ensure_named(user_id)
        update = partial(self._api.users.update, user_id, **change)
        return _user(self._write(lambda **options: raw(partial(update, **options)), tag))

    def revise_user(
        self,
        user_id: str,
        revise: Callable[[Mapping[str, Any] | None], Mapping[str, Any] | None],
        *,
        tag: str | None = None,
    ) -> Mapping[str, Any] | None:
        """Read one user, ask `revise` what to write, and write it within about one round trip.

        Auth0 has no conditional write, so a write by somebody else between the two would be lost:
        all waits for the rate limit come before the read. If more than a second passes anyway, or
        the write must be sent again, the user is read again first. For a tenant that always needs
        longer, the limit doubles after each attempt, up to a minute.

        Args:
            user_id: the user.
            revise: called with each user that was read, or None if there is none; returns what
                to write, as for `change_user`, or None to write nothing.
            tag: as for `change_user`.

        Returns:
            The user after the write; None if nothing was written.
        """
        stale = tried = 0
        while True:
            # One thread at a time: otherwise all threads could reserve a write, and none a read.
            with self._turns:
                self.await_turn("PATCH", "users")
                self.await_turn("GET", "users")
            try:
                change = revise(self.find_user(user_id))
                if change is None:
                    return None
                try:
                    with self._fresh.within(_FRESH * 2**stale):
                        return self.change_user(user_id, change, tag=tag)
                except StaleError:
                    if stale == _MOST_STALE:
                        raise
                    stale += 1
                except (BusyError, SlowQueryError, UnreachableError):
                    if tried == _RETRIES:
                        raise
                    # If the tenant says how long (Retry-After), the rate limit waits longer.
                    time.sleep(2**tried)
                    tried += 1
            finally:
                self.give_up_turns()

    # Export jobs

    def start_export(self) -> Job:
        """Start an export of all users, with our fields only (scope `read:users`)."""
        # If the answer is lost, the request is retried; a second export does no harm. Without a
        # format Auth0 exports CSV, which cannot hold metadata (Auth0, "Bulk User Exports").
        fields = [{"name": name} for name in FIELDS]
        start = partial(self._api.jobs.users_exports.create, format="json", fields=fields)
        return Job.of(self._send(start))

    def check_export(self) -> None:
        """Check that the tenant lets this token use jobs, without starting one."""
        # A missing permission would give another error.
        with suppress(MissingError):
            self.export_job("job_0000000000000000")

    def export_job(self, job_id: str) -> Job:
        """Read the state of an export; every answer has a new link. It is kept for 24 hours."""
        return Job.of(self._send(partial(self._api.jobs.get, job_id)))

    # Connections, Rules and Actions

    def connections(self) -> list[Connection]:
        """Read the connections (`read:connections`, and `read:connections_options` for more)."""
        fields = "id,name,strategy,options"
        read = partial(self._api.connections.list, fields=fields, include_fields=True)
        # Without the scope for them, the tenant omits the options.
        return [
            Connection.of(str(one.name), str(one.strategy), one.options)
            for one in self._every(read, "connections", numbered=False)
        ]

    def rules(self) -> list[Rule]:
        """Read the legacy Rules, in no particular order (scope `read:rules`)."""
        return [
            Rule(str(one.name), str(one.script or ""), bool(one.enabled))
            for one in self._every(self._api.rules.list, "Rules")
        ]

    def actions(self, *, every: bool = False) -> list[Action]:
        """Read the Actions of the post-login trigger, or every one (scope `read:actions`)."""
        read = partial(self._api.actions.list, **({} if every else {"trigger_id": _POST_LOGIN}))
        return [Action.of(one) for one in self._every(read, "Actions")]

    def flows(self) -> list[tuple[str, object]]:
        """Read the Flows (scope `read:flows`): name, and what it is as the tenant sent it."""
        listed = self._every(self._api.flows.list, "Flows")
        return [
            (str(one.name), self._send(partial(raw, partial(self._api.flows.get, str(one.id)))))
            for one in listed
        ]

    def event_streams(self) -> list[dict[str, Any]]:
        """Read the event streams (scope `read:event_streams`), as the tenant sent them."""
        listed = self._every(self._api.event_streams.list, "event streams", numbered=False)
        return [one.model_dump(exclude_unset=True, by_alias=True) for one in listed]

    def action(self, action_id: str) -> Action:
        """Read one Action (`read:actions`)."""
        return Action.of(self._send(partial(self._api.actions.get, action_id)))

    def create_action(self, name: str, code: str) -> Action:
        """Create an Action of the post-login trigger (`create:actions`)."""
        triggers: Any = [{"id": _POST_LOGIN, "version": _TRIGGER_VERSION}]
        create = partial(
            self._api.actions.create,
            name=name,
            code=code,
            runtime=_RUNTIME,
            supported_triggers=triggers,
        )
        return Action.of(self._write(create))

    def update_action(self, action_id: str, code: str) -> Action:
        """Replace the code of an Action's draft (`update:actions`); what is deployed stays."""
        return Action.of(self._write(partial(self._api.actions.update, action_id, code=code)))

    def deploy_action(self, action_id: str) -> None:
        """Deploy the draft of a built Action (`create:actions`); if bound, it runs at once."""
        self._write(partial(self._api.actions.deploy, action_id))

    def versions(self, action_id: str) -> list[tuple[str, str]]:
        """Read the versions of an Action (`read:actions`): id and code, the newest first."""
        listed = self._every(partial(self._api.actions.versions.list, action_id), "versions")
        return [(str(one.id), str(one.code or "")) for one in listed]

    def roll_back_action(self, action_id: str, version: str) -> None:
        """Deploy one of the 50 last versions of an Action (`create:actions`); its draft stays."""
        request: Any = {"update_draft": False}
        deploy = self._api.actions.versions.deploy
        self._write(partial(deploy, action_id, version, request=request))

    def delete_action(self, action_id: str) -> None:
        """Delete an Action that is not bound (`delete:actions`)."""
        self._write(partial(self._api.actions.delete, action_id))

    def bindings(self) -> list[Binding]:
        """Read the Actions that run after a login, in order (scope `read:actions`)."""
        read = partial(self._api.actions.triggers.bindings.list, _POST_LOGIN)
        return [
            Binding(str(one.id), str(one.action.id if one.action else ""), str(one.display_name))
            for one in self._every(read, "bindings")
        ]

    def bind(self, bindings: Sequence[Binding]) -> None:
        """Replace the list of Actions that run after a login (`update:actions`).

        INFERRED: Auth0 refuses an id that is no longer in the list, and so refuses a list that is
        out of date.
        """
        wanted: Any = [
            {
                "ref": {
                    "type": "binding_id" if one.id else "action_id",
                    "value": one.id or one.action_id,
                },
                "display_name": one.name,
            }
            for one in bindings
        ]
        update = self._api.actions.triggers.bindings.update_many
        self._write(partial(update, _POST_LOGIN, bindings=wanted))


def _ensure_named(user_id: str) -> None:
    """Refuse an id that would name another endpoint when it is put into a path."""
    if user_id in {"", ".", ".."}:
        raise MissingError("Without a user_id there is no such user.")


def _user(record: object) -> Mapping[str, Any]:
    if not isinstance(record, Mapping):
        raise TenantError(f"The answer about a user is not a user: {ON_THE_WAY}")
    return record


def connect(
    settings: Settings | None = None,
    *,
    scopes: tuple[str, ...] = ("read:users",),
    ceiling: float | None = None,
) -> Tenant:
    """Open a tenant and check that the token has the needed scopes.

    Args:
        settings: which tenant, with which credentials; by default the environment and `.env`.
        scopes: the scopes that are needed (Auth0's names).
        ceiling: the most requests a second, even if the tenant allows more.

    Returns:
        A tenant; several threads may use it.

    Raises:
        SettingsError: the settings do not name a tenant and credentials.
        UnreachableError, CredentialsError, ScopeError, TenantError: the tenant refused.
    """
    tenant = Tenant(settings or read_settings(), ceiling=ceiling)
    try:
        tenant.require(*scopes)
    except BaseException:
        tenant.close()
        raise
    return tenant
