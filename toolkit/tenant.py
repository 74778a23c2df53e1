"""One tenant, through Auth0's own SDK: the only module that knows it."""

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import httpx
import jwt
from auth0.management.client import Auth0
from auth0.management.core.api_error import ApiError
from auth0.management.core.parse_error import ParsingError
from auth0.management.core.request_options import RequestOptions
from auth0.management.types.action_binding_ref import ActionBindingRef
from auth0.management.types.action_binding_with_ref import ActionBindingWithRef
from auth0.management.types.action_trigger import ActionTrigger

from toolkit.connection import Connection
from toolkit.errors import (
    CredentialsError,
    MissingError,
    QueryError,
    ScopeError,
    SettingsError,
    SlowQueryError,
    TenantError,
    UnreachableError,
)
from toolkit.pace import Pace
from toolkit.settings import Settings, read_settings
from toolkit.user import FIELDS
from toolkit.wire import is_loopback, transport

_T = TypeVar("_T")

PAGE = 100
"""Users a page: the most that Auth0 gives (Management API, GET /users, per_page)."""

_POST_LOGIN = "post-login"
# The current version of the trigger, and its runtime (recorded answers of "Get triggers").
_TRIGGER_VERSION, _RUNTIME = "v3", "node22"
# What makes a request to be made twice no different from one to be made once.
_IDEMPOTENT = frozenset({"GET", "PATCH"})
_ONCE: RequestOptions = {"max_retries": 0}
_RENEW_BEFORE = 30.0
_TIMEOUT = httpx.Timeout(60.0, connect=10.0)
_RETRIES = 6
_TOKEN_WAITS = (0.2, 1.0, 3.0)  # seconds
_TOKEN = re.compile(r"[!-~]+")
_SCOPE = re.compile(r"\b(?:read|update|create|delete):[a-z_]+\b")
_BAD_REQUEST, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 400, 401, 403, 404
_URI_TOO_LONG, _HEAD_TOO_LONG, _UNAVAILABLE = 414, 431, 503
_TOO_MANY = 429


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a user search.

    Attributes:
        users: Auth0 user objects, as the tenant gave them (whatever it gave).
        total: users that match, as the tenant counts: at 1,000 it stops counting.
    """

    users: Sequence[object]
    total: int


@dataclass(frozen=True, slots=True)
class Job:
    """An export job, as the tenant describes it.

    Attributes:
        id: its id.
        status: `pending`, `completed`, `failed`, or a name that means it is still running.
        percentage: how far it says it is, or None.
        location: where its file is, for 60 seconds, once it is completed. Whoever knows
            it can read every user: it is left out of the text form.
    """

    id: str
    status: str
    percentage: int | None = None
    location: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Action:
    """An Action of the post-login trigger.

    Attributes:
        id: its id.
        name: what the tenant calls it.
        code: the draft, JavaScript.
        deployed: the code that runs, or None where none is deployed.
        status: `pending`, `building`, `packaged`, `built`, `retrying` or `failed`.
        settled: whether the deployment is over; only then can it be bound.
    """

    id: str
    name: str
    code: str
    deployed: str | None
    status: str
    settled: bool = True


@dataclass(frozen=True, slots=True)
class Binding:
    """An Action's place among those that run after a login.

    Attributes:
        id: its id; every change of the list gives new ones.
        action_id: the Action.
        name: what the list calls it.
    """

    id: str
    action_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A legacy Rule.

    Attributes:
        name: what the tenant calls it.
        code: JavaScript.
        enabled: whether it is switched on.
    """

    name: str
    code: str
    enabled: bool


class _NeverAnsweredError(httpx.TransportError):
    """No connection could be made from the start; the SDK does not try that again."""

    def __init__(self) -> None:
        super().__init__("no connection")


class _Whole(httpx.BaseTransport):
    """Answers that are whole when the SDK gets them.

    The SDK tries again where a connection breaks before the answer, and not where it
    breaks in the middle or takes too long. For requests that only read, and for those that
    write the same however often they are sent (PATCH), all of these are one thing: the
    answer did not come. And a query that the tenant gave up on is not to
    be tried again as it is (Auth0: "refine your search criteria").
    """

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self._transport = inner
        self._answered = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and read its answer whole."""
        try:
            response = self._transport.handle_request(request)
            response.read()
        except httpx.ConnectError as error:
            # Who has never answered is not there: to try again would only take longer to say so.
            if self._answered:
                raise
            raise _NeverAnsweredError from error
        except (httpx.RequestError, httpx.StreamError) as error:
            if request.method not in _IDEMPOTENT:
                raise
            raise httpx.RemoteProtocolError("the answer did not come whole") from error
        self._answered = True
        if response.status_code == _UNAVAILABLE and b"exceeded the timeout" in response.content:
            raise SlowQueryError("The tenant did not finish a query in time (HTTP 503).")
        return response

    def close(self) -> None:
        """Close what really sends."""
        self._transport.close()


class _Token:
    """A Management API token that renews itself, for the SDK to call."""

    def __init__(self, settings: Settings, base_url: str, client: httpx.Client) -> None:
        self._settings = settings
        self._base_url = base_url
        self._client = client
        self._lock = threading.Lock()
        self.renewable = settings.token is None
        self._text = settings.token.get_secret_value() if settings.token else ""
        self._until = 0.0
        self.scopes = _scopes_of(self._text) if self._text else None

    def __call__(self) -> str:
        if self.renewable:
            with self._lock:
                if time.monotonic() >= self._until:
                    self._renew()
        return self._text

    def forget(self, text: str) -> None:
        """Have a token renewed that the tenant does not accept any more."""
        with self._lock:
            if self._text == text:
                self._until = 0.0

    def _ask(self) -> httpx.Response:
        """Ask for a token; no more than a few times where the tenant is out of order."""
        secret = self._settings.client_secret
        for wait in (*_TOKEN_WAITS, None):
            try:
                answer = self._client.post(
                    f"{self._base_url}/oauth/token",
                    data={
                        "grant_type": "client_credentials",
                        "client_id": self._settings.client_id,
                        "client_secret": secret.get_secret_value() if secret else "",
                        "audience": f"{self._base_url}/api/v2/",
                    },
                )
            except (httpx.ConnectError, _NeverAnsweredError):
                raise
            except httpx.TransportError:
                if wait is None:
                    raise
            else:
                if not (answer.is_server_error or answer.status_code == _TOO_MANY):
                    return answer
                if wait is None:
                    break
            time.sleep(wait)
        raise TenantError("The tenant cannot issue a token now. Try again later.")

    def _renew(self) -> None:
        answer = self._ask()
        try:
            body: Any = answer.json() if answer.is_success else {}
            token, lifetime = str(body["access_token"]), float(body["expires_in"])
        except (ValueError, KeyError, TypeError):
            raise CredentialsError(
                f"{self._host} does not accept the client's credentials (HTTP "
                f"{answer.status_code}): check AUTH0_CLIENT_ID and AUTH0_CLIENT_SECRET, and that "
                "the application is authorised for the Management API."
            ) from None
        self._text = token
        # Renewed early enough that a request under way does not outlive its token.
        self._until = time.monotonic() + lifetime - min(_RENEW_BEFORE, lifetime / 4)
        self.scopes = _split_scopes(body.get("scope")) or _scopes_of(token)

    @property
    def _host(self) -> str:
        return urlsplit(self._base_url).netloc


def _split_scopes(text: object) -> frozenset[str] | None:
    return frozenset(text.split()) if isinstance(text, str) and text.strip() else None


def _scopes_of(token: str) -> frozenset[str] | None:
    """Read the scopes off a token without trusting it; None where it does not say."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        return None
    return _split_scopes(claims.get("scope"))


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
        if settings.token is None and not (settings.client_id and settings.client_secret):
            raise SettingsError(
                "No credentials: set AUTH0_CLIENT_ID and AUTH0_CLIENT_SECRET, or AUTH0_TOKEN, in "
                "the environment or in .env."
            )
        # In a header it would break, and what it breaks with repeats it.
        if settings.token and not _TOKEN.fullmatch(settings.token.get_secret_value()):
            raise SettingsError("AUTH0_TOKEN is not a token: it holds characters that none has.")
        self._pace = Pace(transport(host), ceiling=ceiling)
        self._client = httpx.Client(transport=_Whole(self._pace), timeout=_TIMEOUT, trust_env=False)
        self._token = _Token(settings, base_url, self._client)
        self._closing: list[Callable[[], None]] = [self._client.close]
        self._api = Auth0(
            base_url=f"{base_url}/api/v2",
            token=self._token,
            httpx_client=self._client,
            max_retries=_RETRIES,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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
