"""One tenant, through Auth0's own SDK: the only module that imports it."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from hashlib import sha256
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import httpx
from auth0.management.client import Auth0
from auth0.management.core.api_error import ApiError
from auth0.management.core.parse_error import ParsingError
from auth0.management.core.request_options import RequestOptions
from auth0.management.types.action_binding_ref import ActionBindingRef
from auth0.management.types.action_binding_with_ref import ActionBindingWithRef
from auth0.management.types.action_trigger import ActionTrigger
from auth0.management.types.deploy_action_version_request_content import (
    DeployActionVersionRequestContent,
)

from toolkit.classification.user_profile import FIELDS
from toolkit.errors import (
    BusyError,
    CredentialsError,
    MissingError,
    QueryError,
    ScopeError,
    SlowQueryError,
    StaleError,
    TenantError,
    UnreachableError,
)
from toolkit.images.address import is_loopback
from toolkit.tenant.clock import TenantClock
from toolkit.tenant.credentials import Access, Settings, ensure_credentials, read_settings
from toolkit.tenant.http_transport import (
    ENCODINGS,
    ONCE,
    CompleteAnswers,
    FreshWrites,
    Limits,
    Retries,
    UnusableAnswerError,
    received,
    transport,
)
from toolkit.tenant.models import PAGE, Action, Binding, Connection, Job, Page, Rule
from toolkit.tenant.rate_limit import RateLimit

_T = TypeVar("_T")

_API = "/api/v2/"
_POST_LOGIN = "post-login"
# The current version of the trigger, and its runtime (recorded answers of "Get triggers").
_TRIGGER_VERSION, _RUNTIME = "v3", "node22"
_ONCE: RequestOptions = {"additional_headers": {ONCE: "1"}}
_MOST_LISTED = 100_000
"""Items of a list (Actions, bindings, connections, Rules) at most; Auth0 allows far fewer."""
_MOST_PAGES = _MOST_LISTED // PAGE
_LIST_SECONDS = 900.0
"""Seconds that all pages of a list may take together."""
_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_RETRIES = 6
_FRESH = 1.0  # seconds between reading a user and writing it
_MOST_STALE = 6  # doublings of that: about a minute, the longest time of an answer
_SCOPE = re.compile(r"\b(?:read|update|create|delete):[a-z_]+\b")
_BAD_REQUEST, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 400, 401, 403, 404
_URI_TOO_LONG, _HEAD_TOO_LONG, _UNAVAILABLE = 414, 431, 503
_TOO_MANY = 429
_AGAIN = frozenset({408, 409, _TOO_MANY})  # statuses that the SDK retries, besides 500 and above
_BROKEN = 500


class Tenant:
    """A tenant. Made by `connect`; a context manager that closes its connections.

    Attributes:
        domain: the tenant's host name.
        sandbox: whether it is on loopback, and so not a real tenant.
        seed: the seed of its made-up people if it is the embedded tenant; else None.
    """

    def __init__(
        self, settings: Settings, *, ceiling: float | None = None, limits: Limits | None = None
    ) -> None:
        base_url = settings.base_url
        self.domain = urlsplit(base_url).netloc
        host = urlsplit(base_url).hostname or ""
        self.sandbox = is_loopback(host)
        self.seed: int | None = None
        ensure_credentials(settings)
        self._limits = limits = limits or Limits()
        self._fresh = FreshWrites(CompleteAnswers(transport(host), limits))
        self._pace = RateLimit(self._fresh, ceiling=ceiling)
        self._turns = threading.Lock()
        self._clock = TenantClock()
        self._client = httpx.Client(
            transport=Retries(self._pace, limits),
            timeout=limits.timeout,
            headers={"accept-encoding": ENCODINGS},
            trust_env=False,
            event_hooks={"response": [self._clock.hear]},
        )
        self._token = Access(settings, base_url, self._client)
        self._closing: list[Callable[[], None]] = [self._client.close]
        self._api = Auth0(
            base_url=f"{base_url}/api/v2",
            token=self._token,
            httpx_client=self._client,
            max_retries=0,  # `Retries` does that
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        what = "the embedded tenant" if self.sandbox else "Tenant"
        return f"<{what} {self.domain}>"

    def close(self) -> None:
        """Close the connections, then call what `on_close` was given."""
        while self._closing:
            self._closing.pop(0)()

    def on_close(self, action: Callable[[], None]) -> None:
        """Call something once the connections are closed."""
        self._closing.append(action)

    @property
    def requests(self) -> int:
        """How many requests were sent so far, the token's included."""
        return self._pace.requests

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes about the tenant's clock and about ignored headers."""
        clock = self._clock.note
        return (*([clock] if clock else []), *self._pace.notes)

    @property
    def refused(self) -> int:
        """How many of them were answered 429."""
        return self._pace.refused

    def await_turn(self, method: str, path: str) -> None:
        """Wait until a request may be sent at once, and reserve its turn for this thread.

        To read a user right before the write: wait for the turn of the write, read, compare,
        write. Then only one round trip lies between read and write, at any rate limit. A turn that
        is not used within half a minute is released.

        Args:
            method: the HTTP method of the request to come, such as `PATCH`.
            path: its path below `/api/v2/`, such as `users/auth0|1`.
        """
        self._pace.wait_for_turn(method, path)

    def give_up_turns(self) -> None:
        """Release the unused turns that `await_turn` reserved for this thread."""
        self._pace.give_up_turns()

    def now(self) -> datetime:
        """Return the tenant's time (UTC), from the `Date` of its answers.

        If there was no answer yet, the tenant is asked for one user. If its answers have no time,
        this machine's time is used, and `notes` says so.

        Raises:
            TenantError: the tenant refused or did not answer.
        """
        if not self._clock.answered:
            # Every answer to a search contains the time.
            with suppress(QueryError, SlowQueryError):
                self.search("created_at:[* TO *]", per_page=1)
        return self._clock.now()

    def require(self, *scopes: str) -> None:
        """Check that the token has the scopes.

        A token that does not tell its scopes passes: then the tenant decides.

        Raises:
            ScopeError: a scope is missing; the message names it.
            CredentialsError, UnreachableError, TenantError: no token can be obtained.
        """
        with self._translated():
            self._token()
        granted = self._token.scopes
        missing = [scope for scope in scopes if granted is not None and scope not in granted]
        if missing:
            raise _scope_error(self.domain, missing)

    def search(
        self, q: str, *, page: int = 0, per_page: int = PAGE, sort: str | None = None
    ) -> Page:
        """Read one page of the users that match a query.

        Args:
            q: Lucene query (Auth0, "User Search Query Syntax").
            page: page number from 0; page * per_page must stay under 1,000.
            per_page: users a page, at most 100.
            sort: `field:1` or `field:-1`.

        Raises:
            SlowQueryError: the tenant could not finish the query; ask for fewer users.
            QueryError: the tenant does not accept this query.
            TenantError: any other failure of the tenant or the network.
        """
        return self._with_fresh_token(lambda: self._search(q, page, per_page, sort))

    def _search(self, q: str, page: int, per_page: int, sort: str | None) -> Page:
        try:
            answer: Any = self._api.users.list(
                q=q,
                page=page,
                per_page=per_page,
                sort=sort,
                include_totals=True,
                fields=",".join(FIELDS),
                include_fields=True,
                search_engine="v3",
            )
        except ParsingError as error:
            # The SDK refuses a whole page if one profile has an unexpected form, but its error
            # contains the page.
            return _raw_page(error.body, per_page)
        if answer.items is None:
            raise _no_page()
        users = [user.model_dump(exclude_unset=True) for user in answer.items]
        return _page(users, answer.response.total, per_page)

    def start_export(self) -> Job:
        """Start an export of all users, with our fields only (scope `read:users`).

        The format is always given: without it Auth0 exports CSV, which cannot hold metadata (Auth0,
        "Bulk User Exports").

        Raises:
            TenantError: the tenant refused or did not answer.
        """
        # If the answer is lost, the request is retried; a second export does no harm.
        fields = [{"name": name} for name in FIELDS]
        return self._with_fresh_token(
            lambda: _job(self._api.jobs.users_exports.create(format="json", fields=fields))
        )

    def check_export(self) -> None:
        """Check that the tenant lets this token use jobs, without starting one.

        Raises:
            ScopeError, QueryError: it does not.
            TenantError: the tenant refused or did not answer.
        """
        try:
            self.export_job("job_0000000000000000")
        except MissingError:
            return  # a missing permission would give another error

    def export_job(self, job_id: str) -> Job:
        """Read the state of an export; every answer has a new link.

        Raises:
            MissingError: the tenant does not know that job: jobs are deleted after 24 hours.
            TenantError: the tenant refused or did not answer.
        """
        return self._with_fresh_token(lambda: _job(self._api.jobs.get(job_id)))

    def granted(self, scope: str) -> bool | None:
        """Whether the token has a scope; None if the token does not tell.

        Raises:
            CredentialsError, UnreachableError, TenantError: no token can be obtained.
        """
        with self._translated():
            self._token()
        return None if self._token.scopes is None else scope in self._token.scopes

    def actions(self) -> list[Action]:
        """Read the Actions of the post-login trigger (scope `read:actions`).

        Raises:
            TenantError: the tenant refused or did not answer.
        """
        return [
            _action(one)
            for one in self._every(
                partial(self._api.actions.list, trigger_id=_POST_LOGIN), "Actions"
            )
        ]

    def bindings(self) -> list[Binding]:
        """Read the Actions that run after a login, in order (scope `read:actions`).

        Raises:
            TenantError: the tenant refused or did not answer.
        """
        listed = self._every(
            partial(self._api.actions.triggers.bindings.list, _POST_LOGIN), "bindings"
        )
        return [
            Binding(str(one.id), str(one.action.id if one.action else ""), str(one.display_name))
            for one in listed
        ]

    def user(self, user_id: str) -> Mapping[str, Any]:
        """Read one user (`read:users`); unlike a search, this shows every write at once.

        Raises:
            MissingError: there is no such user.
            QueryError: the tenant does not accept this as an id.
            TenantError: the tenant refused or did not answer.
        """
        _ensure_named(user_id)
        get = partial(self._api.users.get, user_id, fields=",".join(FIELDS), include_fields=True)
        return self._with_fresh_token(lambda: _record(get))

    def find_user(self, user_id: str) -> Mapping[str, Any] | None:
        """Read one user; None if there is no such user, or no user can have such an id.

        Raises:
            TenantError: the tenant refused or did not answer.
        """
        try:
            return self.user(user_id)
        except (MissingError, QueryError):
            return None

    def revise_user(
        self,
        user_id: str,
        revise: Callable[[Mapping[str, Any] | None], Mapping[str, Any] | None],
        *,
        tag: str | None = None,
    ) -> Mapping[str, Any] | None:
        """Read one user, ask what to write, and write it within about one round trip.

        Auth0 has no conditional write, so a write by somebody else between the two is lost: the
        time between them is kept short. All waits for the rate limit come before the read. If more
        than a second passes anyway, or the write must be sent again, the user is read again first.
        For a tenant that always needs longer, the limit doubles after each attempt, up to a minute.

        Args:
            user_id: the user.
            revise: called with the current user, or None if there is no such user; returns what
                to write, as for `change_user`, or None to write nothing. It is called again each
                time the user is read again.
            tag: as for `change_user`.

        Returns:
            The user after the write; None if nothing was written.

        Raises:
            MissingError: the user was removed between read and write.
            QueryError, TenantError: as `change_user`, after seven attempts where the same
                request may work later.
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
                    # Wait as long as the SDK would; if the tenant names a time, the rate limit
                    # waits.
                    time.sleep(2**tried)
                    tried += 1
            finally:
                self.give_up_turns()

    def change_user(
        self,
        user_id: str,
        change: Mapping[str, Any],
        *,
        tag: str | None = None,
    ) -> Mapping[str, Any]:
        """Write to one user (`update:users`); return the user after the write.

        It is sent only once: before a second time, the user may have changed.

        Args:
            user_id: whom.
            change: `picture`, a text or None, or `user_metadata`, which is merged at its
                first level and in which None removes a key. It must not be empty: an empty
                object would wipe all metadata.
            tag: at most 64 characters that the tenant's logs show (`X-Correlation-ID`).

        Raises:
            MissingError: there is no such user.
            QueryError: the tenant does not accept this change for this user.
            BusyError, SlowQueryError, UnreachableError: it may work later; if the answer was lost,
                the user may have been written.
            TenantError: the tenant refused or did not answer.
        """
        if not change or change.get("user_metadata", True) in ({}, None):
            raise ValueError("an empty change wipes metadata")
        _ensure_named(user_id)
        headers = {"X-Correlation-ID": tag} if tag else {}
        options: RequestOptions = {"additional_headers": {**headers, ONCE: "1"}}
        update = partial(self._api.users.update, user_id, **change, request_options=options)
        with self._translated():
            text = self._token()
            try:
                return _record(update)
            except ApiError as error:
                if error.status_code != _UNAUTHORIZED or not self._token.renewable:
                    raise
                self._token.forget(text)
        raise BusyError(f"{self.domain} does not accept the token any more: it is renewed.")

    def connections(self) -> list[Connection]:
        """Read the connections (`read:connections`; their options need `read:connections_options`).

        Raises:
            TenantError: the tenant refused or did not answer.
        """

        def page_from(start: str | None) -> tuple[Sequence[Any], str | None]:
            page = self._api.connections.list(
                from_=start,
                take=PAGE,
                fields="id,name,strategy,options",
                include_fields=True,
            )
            return page.items or [], getattr(page.response, "next", None) or None

        return [_connection(one) for one in self._listed(page_from, None, "connections")]

    def action(self, action_id: str) -> Action:
        """Read one Action (`read:actions`).

        Raises:
            MissingError: there is no such Action.
            TenantError: the tenant refused or did not answer.
        """
        return self._with_fresh_token(lambda: _action(self._api.actions.get(action_id)))

    def create_action(self, name: str, code: str) -> Action:
        """Create an Action of the post-login trigger (`create:actions`); sent only once.

        Raises:
            TenantError: the tenant refused or did not answer, or its answer was lost: check whether
                it exists before you try again.
        """
        trigger = ActionTrigger(id=_POST_LOGIN, version=_TRIGGER_VERSION)
        create = partial(
            self._api.actions.create,
            name=name,
            code=code,
            runtime=_RUNTIME,
            supported_triggers=[trigger],
            request_options=_ONCE,
        )
        return self._once(lambda: _action(create()))

    def update_action(self, action_id: str, code: str) -> Action:
        """Replace the code of an Action's draft (`update:actions`); what is deployed stays.

        It is sent only once: before a second time, somebody may have changed the draft.

        Raises:
            TenantError: the tenant refused or did not answer.
        """
        update = partial(self._api.actions.update, action_id, code=code, request_options=_ONCE)
        return self._once(lambda: _action(update()))

    def deploy_action(self, action_id: str) -> None:
        """Deploy the draft of an Action (`create:actions`); if it is bound, it runs at once.

        Sent only once.

        Raises:
            QueryError: it is not built yet.
            TenantError: the tenant refused or did not answer, or its answer was lost.
        """
        self._once(partial(self._api.actions.deploy, action_id, request_options=_ONCE))

    def versions(self, action_id: str) -> list[tuple[str, str]]:
        """Read the versions of an Action (`read:actions`): id and code, the newest first.

        Raises:
            MissingError: there is no such Action.
            TenantError: the tenant refused or did not answer.
        """
        listed = self._every(partial(self._api.actions.versions.list, action_id), "versions")
        return [(str(one.id), str(one.code or "")) for one in listed]

    def roll_back_action(self, action_id: str, version: str) -> None:
        """Deploy an older version of an Action (`create:actions`); its draft stays.

        Sent only once.

        Raises:
            MissingError: there is no such version: Auth0 keeps 50.
            TenantError: the tenant refused or did not answer, or its answer was lost.
        """
        deploy = self._api.actions.versions.deploy
        request = DeployActionVersionRequestContent(update_draft=False)
        self._once(partial(deploy, action_id, version, request=request, request_options=_ONCE))

    def delete_action(self, action_id: str) -> None:
        """Delete an Action that is not bound (`delete:actions`); sent only once.

        Raises:
            MissingError: it is gone already.
            TenantError: the tenant refused or did not answer, or its answer was lost.
        """
        self._once(partial(self._api.actions.delete, action_id, request_options=_ONCE))

    def bind(self, bindings: Sequence[Binding]) -> None:
        """Replace the list of Actions that run after a login (`update:actions`).

        Bindings that have an id are sent by it. INFERRED: Auth0 refuses an id that is no longer in
        the list, and so refuses a list that is out of date.

        Args:
            bindings: all Actions to run, in order.

        Raises:
            TenantError: the tenant refused or did not answer, or its answer was lost.
        """
        wanted = [
            ActionBindingWithRef(
                ref=ActionBindingRef(type="binding_id", value=one.id)
                if one.id
                else ActionBindingRef(type="action_id", value=one.action_id),
                display_name=one.name,
            )
            for one in bindings
        ]
        update = self._api.actions.triggers.bindings.update_many
        # Sent only once: before a second time, the list may be out of date.
        self._once(partial(update, _POST_LOGIN, bindings=wanted, request_options=_ONCE))

    def rules(self) -> list[Rule]:
        """Read the legacy Rules, in no particular order (scope `read:rules`).

        Raises:
            TenantError: the tenant refused or did not answer.
        """
        return [
            Rule(str(one.name), str(one.script or ""), bool(one.enabled))
            for one in self._every(self._api.rules.list, "Rules")
        ]

    def _every(self, list_page: Callable[..., Any], what: str) -> list[Any]:
        """Read all pages of a list by number; the SDK's own pager would not end."""
        last: Sequence[Any] = ()
        read = 0

        def page_at(number: int) -> tuple[Sequence[Any], int | None]:
            nonlocal last, read
            page = list_page(page=number, per_page=PAGE)
            items = page.items or []
            if items and items == last:
                raise self._endless(what)
            last, read = items, read + len(items)
            total = getattr(page.response, "total", None)
            # A tenant may send smaller pages than requested.
            more = len(items) >= PAGE or (isinstance(total, int | float) and total > read)
            return items, number + 1 if items and more else None

        return self._listed(page_at, 0, what)

    def _listed(
        self, page_at: Callable[[Any], tuple[Sequence[Any], Any]], start: object, what: str
    ) -> list[Any]:
        """Read a list page by page, from the first place until the next place is None.

        Raises:
            TenantError: it does not end, or is larger than allowed.
        """
        everything: list[Any] = []
        places: list[object] = []
        until, before = time.monotonic() + _LIST_SECONDS, received()
        place: Any = start
        while True:
            places.append(place)
            items, place = self._with_fresh_token(partial(page_at, place))
            everything += items
            if place is None:
                return everything
            if (
                place in places
                or len(places) >= _MOST_PAGES
                or len(everything) > _MOST_LISTED
                or received() - before > self._limits.listed
                or time.monotonic() > until
            ):
                raise self._endless(what)

    def _endless(self, what: str) -> TenantError:
        return TenantError(
            f"{self.domain} gives a list of {what} that does not end: it repeats itself, or is "
            "longer than any tenant's can be. Try again later."
        )

    def _once(self, call: Callable[[], _T]) -> _T:
        """Write to the tenant, without a retry with a new token: the data would be too old.

        Raises:
            TenantError: also if the token has expired; the next call has a new one.
        """
        with self._translated():
            text = self._token()
            try:
                return call()
            except ApiError as error:
                if error.status_code != _UNAUTHORIZED or not self._token.renewable:
                    raise
            self._token.forget(text)
            raise TenantError(f"The token for {self.domain} has run out: try again.")

    def _with_fresh_token(self, call: Callable[[], _T]) -> _T:
        """Call the tenant; if the token has expired, call again with a new one."""
        with self._translated():
            text = self._token()
            try:
                return call()
            except ApiError as error:
                if error.status_code != _UNAUTHORIZED or not self._token.renewable:
                    raise
            self._token.forget(text)
            return call()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn errors of the SDK and httpx into errors of this package.

        Their texts contain payloads and addresses, so they are not passed on.
        """
        try:
            yield
        except TenantError as error:
            # The context may be an error of the SDK, whose text shows the whole answer.
            raise error from None
        except ApiError as error:
            raise _api_error(self.domain, error) from None
        except ParsingError:
            raise TenantError(f"{self.domain} gave an answer of another form.") from None
        except RecursionError:
            raise TenantError(
                f"{self.domain} gave an answer that is nested too deeply: somebody's metadata. "
                "Export the users in Auth0's dashboard, and read that with picture-audit ingest."
            ) from None
        except (httpx.InvalidURL, UnicodeEncodeError):
            # The address is too long, or contains a lone surrogate.
            raise QueryError(
                f"{self.domain} cannot be asked that: no request can hold it."
            ) from None
        except UnusableAnswerError as error:
            raise TenantError(
                f"{self.domain} was asked for {_asked(error)}, and the answer was {error}. Try "
                "again later."
            ) from None
        except httpx.RequestError as error:
            what = type(error.__cause__ or error).__name__
            raise UnreachableError(
                f"{self.domain} does not answer a request for {_asked(error)} ({what}): check "
                "AUTH0_DOMAIN and the network."
            ) from None
        except ValueError:
            # JSON with a number too long for Python, or text that is not UTF-8.
            raise TenantError(f"{self.domain} gave an answer of another form.") from None


def _asked(error: httpx.RequestError) -> str:
    """Name the topic of a request (users, jobs) without any personal data."""
    path = error.request.url.path
    if not path.startswith(_API):
        return "a token"
    return path.removeprefix(_API).split("/", 1)[0]


def _action(answer: Any) -> Action:  # noqa: ANN401 - the SDK's model
    version = answer.deployed_version
    deployed = None if version is None or not version.id else str(version.code or "")
    number = None if version is None else version.number
    return Action(
        str(answer.id),
        str(answer.name),
        str(answer.code or ""),
        deployed,
        str(answer.status),
        settled=version is None or version.deployed is not False,
        version=None if deployed is None or version is None else str(version.id),
        number=None if number is None else int(number),
        settings=_settings(answer),
        running="" if deployed is None else _settings(version),
    )


def _settings(answer: Any) -> str:  # noqa: ANN401 - the SDK's model
    """Return a hash of the parts of a draft or version, without code and name."""
    dependencies = sorted((str(one.name), str(one.version)) for one in answer.dependencies or ())
    secrets = sorted((str(one.name), str(one.updated_at)) for one in answer.secrets or ())
    text = json.dumps([str(answer.runtime), dependencies, secrets])
    return sha256(text.encode()).hexdigest()[:16]


def _connection(answer: Any) -> Connection:  # noqa: ANN401 - the SDK's model
    options = answer.options
    # Without the scope for them, the tenant omits the options.
    return Connection.of(str(answer.name), str(answer.strategy), options)


def _ensure_named(user_id: str) -> None:
    """Refuse an id that would name another endpoint when it is put into a path."""
    if user_id in {"", ".", ".."}:
        raise MissingError("Without a user_id there is no such user.")


def _record(call: Callable[[], Any]) -> Mapping[str, Any]:
    """Return the user of an answer, unchanged."""
    try:
        record = call().model_dump(exclude_unset=True)
    except ParsingError as error:
        # A profile of unexpected form: the SDK's model refuses it, but the error contains it.
        if not 200 <= (error.status_code or 0) < 300:  # noqa: PLR2004 - success, as in HTTP
            raise
        record = error.body
    if not isinstance(record, Mapping):
        raise TenantError("The tenant's answer is not a user.")
    return record


def _job(answer: Any) -> Job:  # noqa: ANN401 - the SDK's models of two endpoints
    # The answer to a new job has no such fields.
    percentage, location = (getattr(answer, name, None) for name in ("percentage_done", "location"))
    named = isinstance(answer.id, str) and _JOB_ID.fullmatch(answer.id)
    if not (named and isinstance(answer.status, str) and isinstance(location, str | None)):
        raise TenantError("The tenant's answer is not an export job.")
    if not (isinstance(percentage, int | float) and 0 <= percentage <= 100):  # noqa: PLR2004 - percent
        percentage = None
    return Job(answer.id, answer.status, None if percentage is None else int(percentage), location)


def _raw_page(body: object, per_page: int) -> Page:
    users = body.get("users") if isinstance(body, Mapping) else None
    total = body.get("total") if isinstance(body, Mapping) else None
    if not isinstance(users, list):
        raise _no_page()
    return _page(users, total, per_page)


def _page(users: Sequence[object], total: object, per_page: int) -> Page:
    if len(users) > per_page:
        raise _no_page()
    return Page(users, _total(total))


def _total(total: object) -> int:
    if isinstance(total, bool) or not isinstance(total, int | float):
        raise _no_page()
    if not (total >= 0 and total == total // 1):
        raise _no_page()
    return int(total)


def _no_page() -> TenantError:
    return TenantError("The tenant's answer to a user search is not a page of users.")


def _scope_error(domain: str, missing: list[str]) -> ScopeError:
    return ScopeError(
        f"The token for {domain} lacks {' '.join(missing)}: grant it to the application under "
        "APIs → Auth0 Management API → Machine to Machine Applications."
    )


def _api_error(domain: str, error: ApiError) -> TenantError:  # noqa: PLR0911 - one for each status
    status = error.status_code
    body = error.body if isinstance(error.body, Mapping) else {}
    if status == _UNAUTHORIZED:
        return CredentialsError(
            f"{domain} does not accept the token: check AUTH0_TOKEN, or that it has not expired."
        )
    if status == _FORBIDDEN:
        scopes = _SCOPE.findall(str(body.get("message")))
        return _scope_error(domain, scopes or ["a scope that it does not name"])
    if status == _NOT_FOUND:
        return MissingError(f"{domain} does not know what was asked for (HTTP 404).")
    if status == _UNAVAILABLE:
        return SlowQueryError(f"{domain} did not finish a query in time (HTTP 503).")
    if status in (_BAD_REQUEST, _URI_TOO_LONG, _HEAD_TOO_LONG):
        code = re.sub(r"[^a-z_]", "", str(body.get("errorCode") or ""))[:40]
        told = f"HTTP {status}{code and f' {code}'}"
        return QueryError(f"{domain} refused a request ({told}).", code)
    if status == _TOO_MANY:
        return BusyError(
            f"{domain} keeps answering that there are too many requests (HTTP 429): other clients "
            "use up its rate limit. Try again later, or with a lower --rate."
        )
    again = status is not None and (status in _AGAIN or status >= _BROKEN)
    kind = BusyError if again else TenantError
    return kind(f"{domain} answered HTTP {status}. Try again later.")


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
