"""One tenant, through Auth0's own SDK: the only module that knows it."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count
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

from toolkit.access import Access, ensure_credentials
from toolkit.answer import PAGE, Action, Binding, Job, Page, Rule
from toolkit.connection import Connection
from toolkit.errors import (
    CredentialsError,
    MissingError,
    QueryError,
    ScopeError,
    SlowQueryError,
    TenantError,
    UnreachableError,
)
from toolkit.pace import Pace
from toolkit.settings import Settings, read_settings
from toolkit.user import FIELDS
from toolkit.wire import Whole, is_loopback, transport

_T = TypeVar("_T")

_POST_LOGIN = "post-login"
# The current version of the trigger, and its runtime (recorded answers of "Get triggers").
_TRIGGER_VERSION, _RUNTIME = "v3", "node22"
_ONCE: RequestOptions = {"max_retries": 0}
_TIMEOUT = httpx.Timeout(60.0, connect=10.0)
_RETRIES = 6
_SCOPE = re.compile(r"\b(?:read|update|create|delete):[a-z_]+\b")
_BAD_REQUEST, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 400, 401, 403, 404
_URI_TOO_LONG, _HEAD_TOO_LONG, _UNAVAILABLE = 414, 431, 503
_TOO_MANY = 429


class Tenant:
    """A tenant. Made by `connect`; a context manager that closes its connections.

    Attributes:
        domain: the tenant's host name.
        sandbox: whether it is on loopback, so nobody's real tenant.
        seed: what its people were made from, where it is the embedded one; else None.
    """

    def __init__(self, settings: Settings, *, ceiling: float | None = None) -> None:
        base_url = settings.base_url
        self.domain = urlsplit(base_url).netloc
        host = urlsplit(base_url).hostname or ""
        self.sandbox = is_loopback(host)
        self.seed: int | None = None
        ensure_credentials(settings)
        self._pace = Pace(transport(host), ceiling=ceiling)
        self._client = httpx.Client(transport=Whole(self._pace), timeout=_TIMEOUT, trust_env=False)
        self._token = Access(settings, base_url, self._client)
        self._closing: list[Callable[[], None]] = [self._client.close]
        self._api = Auth0(
            base_url=f"{base_url}/api/v2",
            token=self._token,
            httpx_client=self._client,
            max_retries=_RETRIES,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        what = "the embedded tenant" if self.sandbox else "Tenant"
        return f"<{what} {self.domain}>"

    def close(self) -> None:
        """Close the connections, then do what `on_close` was given."""
        while self._closing:
            self._closing.pop(0)()

    def on_close(self, action: Callable[[], None]) -> None:
        """Have something done once the connections are closed."""
        self._closing.append(action)

    @property
    def requests(self) -> int:
        """How many requests were sent so far, the token's included."""
        return self._pace.requests

    @property
    def refused(self) -> int:
        """How many of them were answered 429."""
        return self._pace.refused

    def require(self, *scopes: str) -> None:
        """Make sure that the token may do what is about to be done.

        A token that does not say what it may do passes: the tenant decides then.

        Raises:
            ScopeError: a scope is missing; the message names it.
            CredentialsError, UnreachableError, TenantError: there is no token to be had.
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
            SlowQueryError: the tenant gave up on the query; ask for less at a time.
            QueryError: the tenant does not take this query.
            TenantError: anything else that the tenant or the network did.
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
            # The SDK refuses a whole page for one profile of an odd shape;
            # the page itself is at hand all the same.
            return _raw_page(error.body)
        if answer.items is None:
            raise _no_page()
        users = [user.model_dump(exclude_unset=True) for user in answer.items]
        return Page(users, _total(answer.response.total))

    def start_export(self) -> Job:
        """Start an export of all users, of our fields only (scope `read:users`).

        The format is always named: without one Auth0 exports CSV, which cannot carry
        metadata (Auth0, "Bulk User Exports").

        Raises:
            TenantError: the tenant did not go along.
        """
        # Where an answer gets lost the SDK asks again; a second export harms nobody.
        fields = [{"name": name} for name in FIELDS]
        return self._with_fresh_token(
            lambda: _job(self._api.jobs.users_exports.create(format="json", fields=fields))
        )

    def check_export(self) -> None:
        """Find out whether the tenant lets this token ask for jobs, without starting one.

        Raises:
            ScopeError, QueryError: it does not.
            TenantError: the tenant did not go along.
        """
        try:
            self.export_job("job_0000000000000000")
        except MissingError:
            return  # it would have said so

    def export_job(self, job_id: str) -> Job:
        """Ask how an export is getting on; every answer carries a fresh link.

        Raises:
            MissingError: the tenant does not know that job: after 24 hours it is gone.
            TenantError: the tenant did not go along.
        """
        return self._with_fresh_token(lambda: _job(self._api.jobs.get(job_id)))

    def granted(self, scope: str) -> bool | None:
        """Whether the token holds a scope; None where it does not say.

        Raises:
            CredentialsError, UnreachableError, TenantError: there is no token to be had.
        """
        with self._translated():
            self._token()
        return None if self._token.scopes is None else scope in self._token.scopes

    def actions(self) -> list[Action]:
        """Read the Actions of the post-login trigger (scope `read:actions`).

        Raises:
            TenantError: the tenant did not go along.
        """
        return [
            _action(one)
            for one in self._every(partial(self._api.actions.list, trigger_id=_POST_LOGIN))
        ]

    def bindings(self) -> list[Binding]:
        """Read what runs after a login, in order (scope `read:actions`).

        Raises:
            TenantError: the tenant did not go along.
        """
        listed = self._every(partial(self._api.actions.triggers.bindings.list, _POST_LOGIN))
        return [
            Binding(str(one.id), str(one.action.id if one.action else ""), str(one.display_name))
            for one in listed
        ]

    def user(self, user_id: str) -> Mapping[str, Any]:
        """Read one user; unlike a search, this shows at once what was written (`read:users`).

        Raises:
            MissingError: there is no such user.
            QueryError: the tenant does not take this for an id.
            TenantError: the tenant did not go along.
        """
        _ensure_named(user_id)
        get = partial(self._api.users.get, user_id, fields=",".join(FIELDS), include_fields=True)
        return self._with_fresh_token(lambda: _record(get))

    def change_user(
        self, user_id: str, change: Mapping[str, Any], *, tag: str | None = None
    ) -> Mapping[str, Any]:
        """Write to one user (`update:users`); return the user as the tenant then has it.

        The SDK sends it again where the answer is lost: it writes the same once more.

        Args:
            user_id: whom.
            change: `picture`, a text or None, or `user_metadata`, which is merged at its
                first level and in which None removes a key. It must not be empty: an empty
                object would wipe all metadata.
            tag: at most 64 characters that the tenant's logs show (`X-Correlation-ID`).

        Raises:
            MissingError: there is no such user.
            QueryError: the tenant does not take this change for this user.
            TenantError: the tenant did not go along.
        """
        if not change or change.get("user_metadata", True) in ({}, None):
            raise ValueError("an empty change wipes metadata")
        _ensure_named(user_id)
        options: RequestOptions = {"additional_headers": {"X-Correlation-ID": tag}} if tag else {}
        update = partial(self._api.users.update, user_id, **change, request_options=options)
        return self._with_fresh_token(lambda: _record(update))

    def connections(self) -> list[Connection]:
        """Read the connections (`read:connections`; their options need `read:connections_options`).

        Raises:
            TenantError: the tenant did not go along.
        """
        found: list[Connection] = []
        start: str | None = None
        while True:
            call = partial(
                self._api.connections.list,
                from_=start,
                take=PAGE,
                fields="id,name,strategy,options",
                include_fields=True,
            )
            page = self._with_fresh_token(call)
            found += [_connection(one) for one in page.items or []]
            start = getattr(page.response, "next", None)
            if not start:
                return found

    def action(self, action_id: str) -> Action:
        """Read one Action (`read:actions`).

        Raises:
            MissingError: there is no such Action.
            TenantError: the tenant did not go along.
        """
        return self._with_fresh_token(lambda: _action(self._api.actions.get(action_id)))

    def create_action(self, name: str, code: str) -> Action:
        """Create an Action of the post-login trigger (`create:actions`); sent only once.

        Raises:
            TenantError: the tenant did not go along, or its answer was lost: look whether it
                is there before trying again.
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
        return self._with_fresh_token(lambda: _action(create()))

    def update_action(self, action_id: str, code: str) -> Action:
        """Replace the draft of an Action (`update:actions`); what is deployed stays.

        Raises:
            TenantError: the tenant did not go along.
        """
        return self._with_fresh_token(
            lambda: _action(self._api.actions.update(action_id, code=code))
        )

    def deploy_action(self, action_id: str) -> None:
        """Deploy the draft of an Action (`create:actions`); where it is bound, it runs at once.

        Sent only once.

        Raises:
            QueryError: it is not built yet.
            TenantError: the tenant did not go along, or its answer was lost.
        """
        deploy = partial(self._api.actions.deploy, action_id, request_options=_ONCE)
        self._with_fresh_token(deploy)

    def delete_action(self, action_id: str) -> None:
        """Delete an Action that is not bound (`delete:actions`).

        Raises:
            MissingError: it is gone already.
            TenantError: the tenant did not go along.
        """
        self._with_fresh_token(lambda: self._api.actions.delete(action_id))

    def bind(self, bindings: Sequence[Binding]) -> list[Binding]:
        """Replace the whole list of what runs after a login (`update:actions`).

        Args:
            bindings: all that shall run, in order; their ids do not matter.

        Returns:
            The list that the tenant has then, with new ids.

        Raises:
            TenantError: the tenant did not go along.
        """
        wanted = [
            ActionBindingWithRef(
                ref=ActionBindingRef(type="action_id", value=one.action_id), display_name=one.name
            )
            for one in bindings
        ]
        update = self._api.actions.triggers.bindings.update_many
        # Sent once: the list may be out of date by the time it is sent again.
        self._with_fresh_token(lambda: update(_POST_LOGIN, bindings=wanted, request_options=_ONCE))
        return self.bindings()

    def rules(self) -> list[Rule]:
        """Read the legacy Rules, in no particular order (scope `read:rules`).

        Raises:
            TenantError: the tenant did not go along.
        """
        return [
            Rule(str(one.name), str(one.script or ""), bool(one.enabled))
            for one in self._every(self._api.rules.list)
        ]

    def _every(self, list_page: Callable[..., Any]) -> list[Any]:
        """Read all pages of a list; the SDK's own pager does not know where to end."""
        everything: list[Any] = []
        for number in count():
            call = partial(list_page, page=number, per_page=PAGE)
            items = self._with_fresh_token(lambda call=call: call().items or [])  # type: ignore[misc] # bound at once
            everything += items
            if len(items) < PAGE:
                break
        return everything

    def _with_fresh_token(self, call: Callable[[], _T]) -> _T:
        """Call the tenant, once more where the token has run out meanwhile."""
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
        """Turn what the SDK and httpx raise into this package's errors.

        Their texts hold payloads and addresses, so none of it is passed on.
        """
        try:
            yield
        except TenantError as error:
            # Maybe raised while an error of the SDK's was looked at, which shows the whole answer.
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
            # Longer than any address may be, or with half a character in it.
            raise QueryError(
                f"{self.domain} cannot be asked that: no request can hold it."
            ) from None
        except httpx.RequestError as error:
            what = type(error.__cause__ or error).__name__
            raise UnreachableError(
                f"{self.domain} does not answer ({what}): check AUTH0_DOMAIN and the network."
            ) from None


def _action(answer: Any) -> Action:  # noqa: ANN401 - the SDK's model
    version = answer.deployed_version
    deployed = None if version is None or not version.id else str(version.code or "")
    return Action(
        str(answer.id),
        str(answer.name),
        str(answer.code or ""),
        deployed,
        str(answer.status),
        settled=version is None or version.deployed is not False,
    )


def _connection(answer: Any) -> Connection:  # noqa: ANN401 - the SDK's model
    options = answer.options
    # Without the scope for them the tenant leaves the options out.
    return Connection.of(str(answer.name), str(answer.strategy), options)


def _ensure_named(user_id: str) -> None:
    """Refuse an id that a path does not hold as one: these name the folders of the API."""
    if user_id in {"", ".", ".."}:
        raise MissingError("Without a user_id there is no such user.")


def _record(call: Callable[[], Any]) -> Mapping[str, Any]:
    """Return the user that a call answers with, as the tenant gave it."""
    try:
        record = call().model_dump(exclude_unset=True)
    except ParsingError as error:
        # A profile of an odd shape: the SDK's model refuses it, and it is at hand all the same.
        if not 200 <= (error.status_code or 0) < 300:  # noqa: PLR2004 - success, as in HTTP
            raise
        record = error.body
    if not isinstance(record, Mapping):
        raise TenantError("The tenant's answer is not a user.")
    return record


def _job(answer: Any) -> Job:  # noqa: ANN401 - the SDK's models of two endpoints
    # The answer to a new job has no such fields yet.
    percentage, location = (getattr(answer, name, None) for name in ("percentage_done", "location"))
    return Job(answer.id, answer.status, percentage, location)


def _raw_page(body: object) -> Page:
    users = body.get("users") if isinstance(body, Mapping) else None
    total = body.get("total") if isinstance(body, Mapping) else None
    if not isinstance(users, list):
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
        code = re.sub(r"[^a-z_]", "", str(body.get("errorCode")))[:40]
        return QueryError(f"{domain} refused a request (HTTP {status} {code}).")
    if status == _TOO_MANY:
        return TenantError(
            f"{domain} keeps answering that there are too many requests (HTTP 429): other clients "
            "use up its rate limit. Try again later, or with a lower --rate."
        )
    return TenantError(f"{domain} answered HTTP {status}. Try again later.")


def connect(
    settings: Settings | None = None,
    *,
    scopes: tuple[str, ...] = ("read:users",),
    ceiling: float | None = None,
) -> Tenant:
    """Open a tenant and make sure that the work ahead is allowed.

    Args:
        settings: which tenant, with which credentials; by default the environment and `.env`.
        scopes: what the work ahead needs (Auth0's scope names).
        ceiling: requests a second never to exceed, whatever the tenant allows.

    Returns:
        A tenant that can be used by several threads at once.

    Raises:
        SettingsError: the settings do not name a tenant and credentials.
        UnreachableError, CredentialsError, ScopeError, TenantError: what the tenant says.
    """
    tenant = Tenant(settings or read_settings(), ceiling=ceiling)
    try:
        tenant.require(*scopes)
    except BaseException:
        tenant.close()
        raise
    return tenant
