"""How the tenant is asked: through Auth0's own SDK, which only this module imports."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import httpx
from auth0.management.client import Auth0
from auth0.management.core.api_error import ApiError
from auth0.management.core.parse_error import ParsingError

from toolkit.errors import BusyError, QueryError, TenantError, UnreachableError
from toolkit.images.address import is_loopback
from toolkit.images.network_settings import connection_failure
from toolkit.tenant.clock import TenantClock
from toolkit.tenant.credentials import Access, Settings, ensure_credentials
from toolkit.tenant.host_transport import transport
from toolkit.tenant.http_transport import (
    ENCODINGS,
    ONCE,
    CompleteAnswers,
    ForeignAnswerError,
    FreshWrites,
    Limits,
    Retries,
    UnusableAnswerError,
)
from toolkit.tenant.models import PAGE
from toolkit.tenant.rate_limit import RateLimit
from toolkit.tenant.refusals import ON_THE_WAY, refusal, scope_error

_T = TypeVar("_T")

_API = "/api/v2/"
# Items of a list (Actions, bindings, connections, Rules) at most; Auth0 allows far fewer.
_MOST_LISTED = 100_000
_MOST_PAGES = _MOST_LISTED // PAGE
_LIST_SECONDS = 900.0  # for all pages of a list together
_UNAUTHORIZED = 401


class ManagementApi:
    """The Management API of one tenant; a context manager that closes its connections.

    Attributes:
        domain: the tenant's host name.
        sandbox: whether it is on loopback, and so not a real tenant.
    """

    def __init__(
        self, settings: Settings, *, ceiling: float | None = None, limits: Limits | None = None
    ) -> None:
        base_url = settings.base_url
        self.domain = urlsplit(base_url).netloc
        host = urlsplit(base_url).hostname or ""
        # Named by AUTH0_AUDIENCE, a real tenant may be reached through this machine, too.
        self.sandbox = is_loopback(host) and is_loopback(urlsplit(settings.api).hostname)
        ensure_credentials(settings)
        self._limits = limits = limits or Limits()
        self._answers = CompleteAnswers(transport(base_url), limits)
        self._fresh = FreshWrites(self._answers)
        self._pace = RateLimit(self._fresh, ceiling=ceiling)
        self._turns = threading.Lock()
        self._clock = TenantClock()
        self._client = httpx.Client(
            transport=Retries(self._pace, limits),
            timeout=httpx.Timeout(limits.silence, connect=limits.connect),
            headers={"accept-encoding": ENCODINGS},
            trust_env=False,
            event_hooks={"response": [self._clock.hear]},
        )
        self._token = Access(settings, base_url, self._client)
        self._root = f"{base_url}{_API}"
        self._closing: list[Callable[[], None]] = [self._client.close]
        self._api = Auth0(
            base_url=self._root.removesuffix("/"),
            token=self._token,
            httpx_client=self._client,
            max_retries=0,  # `Retries` does that
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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

    def limit_of(self, method: str, path: str) -> float | None:
        """Return the tenant's rate limit for an endpoint, as its headers said it, in requests.

        That is what its full bucket holds; None before an answer, and where no header says it.
        """
        return self._pace.limit_of(method, path)

    @property
    def refused(self) -> int:
        """How many of them were answered 429."""
        return self._pace.refused

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes about the tenant's clock and about ignored headers."""
        clock = self._clock.note
        return (*([clock] if clock else []), *self._pace.notes)

    def await_turn(self, method: str, path: str) -> None:
        """Wait until a request may be sent at once, and reserve its turn for this thread.

        With the turn of the write reserved before the read, only one round trip is between them, at
        any rate limit. A path is below `/api/v2/`, such as `users/auth0|1`.
        """
        self._pace.wait_for_turn(method, path)

    def give_up_turns(self) -> None:
        """Release the unused turns that `await_turn` reserved for this thread."""
        self._pace.give_up_turns()

    def granted(self, scope: str) -> bool | None:
        """Whether the token has a scope; None if the token does not tell."""
        with self._translated():
            self._token()
        return None if self._token.scopes is None else scope in self._token.scopes

    def require(self, *scopes: str) -> None:
        """Raise ScopeError if the token lacks one of the scopes.

        A token that does not tell its scopes passes: then the tenant decides.
        """
        with self._translated():
            self._token()
        missing = [scope for scope in scopes if self.granted(scope) is False]
        if missing:
            raise scope_error(self.domain, missing)

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: object = None,
        again: bool = True,
    ) -> httpx.Response:
        """Send one request past the SDK and return the answer as it came, a refusal too.

        Args:
            method: GET, POST, PATCH or DELETE.
            path: below `/api/v2/`, such as `users/auth0%7C1`.
            query: the parameters of the address.
            body: what to send as JSON; None sends nothing.
            again: whether it may be sent again if no usable answer comes.
        """
        headers = {} if again else {ONCE: "1"}

        def send() -> httpx.Response:
            headers["authorization"] = f"Bearer {self._token()}"
            url = self._root + path
            return self._client.request(method, url, params=query, json=body, headers=headers)

        with self._translated():
            answer = send()
            if answer.status_code == _UNAUTHORIZED and self._token.renewable:
                self._token.forget(self._token())
                answer = send()
            return answer

    def _every(self, read: Callable[..., Any], what: str, *, numbered: bool = True) -> list[Any]:
        """Read all pages of a list, which are numbered or name the next; the SDK's may not end."""
        everything: list[Any] = []
        last: Sequence[Any] = ()
        place: str | None = None
        places = {place}
        until, before = time.monotonic() + _LIST_SECONDS, self._answers.received
        for number in range(_MOST_PAGES):
            where: dict[str, Any] = {"from_": place, "take": PAGE}
            if numbered:
                where = {"page": number, "per_page": PAGE}
            page = self._send(partial(read, **where))
            items = page.items or []
            everything += items
            repeats = bool(items) and items == last
            last = items
            if numbered:
                # A tenant may send smaller pages than requested.
                total = getattr(page.response, "total", None)
                missing = isinstance(total, int | float) and total > len(everything)
                more = bool(items) and (len(items) >= PAGE or missing)
            else:
                place = getattr(page.response, "next", None)
                more = bool(place)
                repeats = repeats or (more and place in places)
                places.add(place)
            if not more and not repeats:
                return everything
            if (
                repeats
                or len(everything) > _MOST_LISTED
                or self._answers.received - before > self._limits.listed
                or time.monotonic() > until
            ):
                break
        raise TenantError(
            f"{self.domain} gives a list of {what} that does not end: it repeats itself, or is "
            "longer than any tenant's can be. Try again later."
        )

    def _write(self, call: Callable[..., _T], tag: str | None = None) -> _T:
        """Write to the tenant once: before a second time, the data may be out of date."""
        headers = {ONCE: "1"} | ({"X-Correlation-ID": tag} if tag else {})
        options = {"additional_headers": headers}
        return self._send(partial(call, request_options=options), again=False)

    def _send(self, call: Callable[[], _T], *, again: bool = True) -> _T:
        """Call the tenant; if the token has expired, renew it and call again or raise BusyError."""
        with self._translated():
            text = self._token()
            try:
                return call()
            except ApiError as error:
                if error.status_code != _UNAUTHORIZED or not self._token.renewable:
                    raise
            self._token.forget(text)
            if again:
                return call()
            raise BusyError(f"The token for {self.domain} has expired: try again.")

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
            raise refusal(
                self.domain,
                error.status_code or 0,
                error.body,
                token=self._token.text,
                renewable=self._token.renewable,
                hide=(self._token.text, self._token.secret),
            ) from None
        except RecursionError:
            raise TenantError(
                f"{self.domain} gave an answer that is nested too deeply: somebody's metadata. "
                "Export the users in Auth0's dashboard, and read that with picture-audit ingest."
            ) from None
        except (httpx.InvalidURL, UnicodeEncodeError):
            # The address is too long, or contains a lone surrogate.
            raise QueryError(
                f"{self.domain} cannot be asked that: it is too long, or cannot be sent as text."
            ) from None
        except UnusableAnswerError as error:
            raise TenantError(
                f"{self.domain} was asked for {_topic(error)}, and the answer was {error}. Try "
                "again later."
            ) from None
        except ForeignAnswerError as error:
            raise UnreachableError(
                f"{self.domain} was asked for {_topic(error)}, and {error}."
            ) from None
        except httpx.RequestError as error:
            what = type(error.__cause__ or error).__name__
            known = connection_failure(error, str(error.request.url))
            raise UnreachableError(
                known
                or f"{self.domain} does not answer a request for {_topic(error)} ({what}): check "
                "AUTH0_DOMAIN, the network, and whether it needs a proxy (HTTPS_PROXY)."
            ) from None
        except (ParsingError, ValueError):
            # Also JSON with a number too long for Python, or text that is not UTF-8.
            raise TenantError(
                f"{self.domain} gave an answer of an unexpected form: {ON_THE_WAY}"
            ) from None


def _topic(error: httpx.RequestError) -> str:
    """Name the topic of a request (users, jobs) without any personal data."""
    path = error.request.url.path
    return path.removeprefix(_API).split("/", 1)[0] if path.startswith(_API) else "a token"


def raw(call: Callable[[], Any]) -> object:
    """Return the SDK's answer as the tenant sent it.

    The SDK refuses a whole answer if one profile has an unexpected form, but its error contains it.
    """
    try:
        answer = call()
    except ParsingError as error:
        if not 200 <= (error.status_code or 0) < 300:  # noqa: PLR2004 - success, as in HTTP
            raise
        return error.body
    return answer.model_dump(exclude_unset=True, by_alias=True)
