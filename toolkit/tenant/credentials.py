"""The tenant's address and credentials, and a token that renews itself."""

import re
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Never, SupportsIndex
from urllib.parse import urlsplit

import httpx
import jwt
from pydantic import SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from toolkit.errors import SettingsError, TenantError
from toolkit.images.address import PORTS, Refusal, is_loopback, parsed
from toolkit.tenant.refusals import ON_THE_WAY, token_refusal

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.IGNORECASE | re.ASCII)
_API = "/api/v2/"
_AUTH0, _DASHBOARD = ".auth0.com", "manage.auth0.com"
_EXAMPLE = "such as tenant.eu.auth0.com"
# What stands between a tenant's name and auth0.com (Auth0, "Tenant Settings"). Other names of two
# parts may be custom domains.
_REGIONS = frozenset({"us", "eu", "au", "jp", "uk", "ca"})
# Blanks, also those that are not seen, and quotation marks.
_COPIED_ALONG = " \t\r\n\f\v\u00a0\u200b\u200c\u200d\u2060\ufeff\"'`<>,;“”„\u2018\u2019«»"
_RENEW_BEFORE = 30.0  # seconds
# What precedes a domain in a line of settings that was copied whole, or as a link of Markdown.
_LINE = re.compile(
    r"\A(?:(?:export|set)\s+)?\$?(?:env:)?[a-z0-9_]*domain[\"']?\s*[=:]\s*|\A-\s+|\A\[[^\]:]*\]\(",
    re.IGNORECASE,
)
# The beginning of an address, also mistyped or twice.
_BEGINNING = re.compile(r"\A(?:(https?)(?::[/\\]*|[/\\]{2})|[/\\]{2})", re.IGNORECASE)
_OTHER_SCHEME = re.compile(r"[a-z0-9+.-]*://", re.IGNORECASE)
# Auth0's tokens are good for 30 days at most ("Update Access Token Lifetime").
_SHORTEST, _LONGEST, _UNKNOWN = 1.0, 30 * 86400.0, 60.0  # seconds
_MAX_TOKEN = 1 << 16  # characters; servers accept less in a header
_FORM = re.compile(r"[!-~]+")


class Settings(BaseSettings):
    """Credentials and address of one tenant.

    Secrets are masked in its text. It cannot be pickled: pickles are written to other machines.
    """

    # Without hide_input_in_errors a validation error would print the secret.
    model_config = SettingsConfigDict(
        env_prefix="AUTH0_", extra="ignore", hide_input_in_errors=True, env_ignore_empty=True
    )

    domain: str | None = None
    client_id: str | None = None
    client_secret: SecretStr | None = None
    token: SecretStr | None = None
    audience: str | None = None

    def __reduce_ex__(self, protocol: SupportsIndex) -> Never:
        raise TypeError("Settings hold credentials: read them where they are needed")

    @field_validator("*", mode="before")
    @classmethod
    def _bare(cls, value: object) -> object:
        """Remove what is copied along; of nothing else, None is left."""
        return value.strip(_COPIED_ALONG) or None if isinstance(value, str) else value

    @property
    def given(self) -> tuple[str, ...]:
        """The names of the variables for credentials that are set."""
        names = ("client_id", "client_secret", "token", "audience")
        return tuple(f"AUTH0_{name.upper()}" for name in names if getattr(self, name))

    @property
    def base_url(self) -> str:
        """The tenant's address: https, or http where it is loopback (the sandbox).

        AUTH0_DOMAIN is taken in the forms that people copy: a host name, its address with any path,
        the address of Auth0's dashboard.
        """
        if not self.domain:
            given = f", although {self.given[0]} is" if self.given else ""
            raise SettingsError(
                f"AUTH0_DOMAIN is not set{given}: name your tenant (tenant.eu.auth0.com) in the "
                "environment or in .env, or try the embedded tenant with `picture-audit demo`."
            )
        return _base_url(self.domain, other_name=self.audience is not None)

    @property
    def api(self) -> str:
        """The identifier of the tenant's Management API, for which tokens are asked.

        It contains the tenant's own domain, not a custom domain or another name of the host.
        """
        if not self.audience:
            return f"{self.base_url}{_API}"
        address = parsed(self.audience if "://" in self.audience else f"https://{self.audience}")
        if (
            isinstance(address, Refusal)
            or address.credentials
            or address.query is not None
            or address.path.rstrip("/") not in {"", _API.rstrip("/")}
        ):
            raise SettingsError(
                "AUTH0_AUDIENCE must be the identifier of the Management API, such as "
                "https://tenant.eu.auth0.com/api/v2/."
            )
        return f"{address.scheme}://{address.authority}{_API}"


def _base_url(domain: str, *, other_name: bool) -> str:
    """Read AUTH0_DOMAIN; `other_name`: whether AUTH0_AUDIENCE names the tenant itself."""
    rest, scheme = _LINE.sub("", domain).strip(f"{_COPIED_ALONG}()\\"), "https"
    while begins := _BEGINNING.match(rest):
        rest, scheme = rest[begins.end() :], (begins[1] or "https").lower()
    # Behind a scheme of another kind, its name would be taken for the host.
    address = parsed("" if _OTHER_SCHEME.match(rest) else f"{scheme}://{rest}")
    if "@" in domain:
        raise SettingsError(
            "AUTH0_DOMAIN contains an @, as an e-mail address does: set it to the tenant's domain, "
            f"{_EXAMPLE}."
        )
    if isinstance(address, Refusal):
        raise SettingsError(f"AUTH0_DOMAIN cannot be read: it must be a host name, {_EXAMPLE}.")
    host, loopback = address.host, is_loopback(address.host)
    if host == _DASHBOARD:
        host = _by_dashboard(address.path)
        return f"https://{host}"
    if not loopback and scheme == "http" and not host.endswith(_AUTH0):
        raise SettingsError(
            f"AUTH0_DOMAIN must be a host name, {_EXAMPLE}: an http:// address is taken only for a "
            "sandbox on loopback."
        )
    name, _, region = host.rpartition(".")
    no_tenant = {"auth0.com", "www.auth0.com", *(f"{one}{_AUTH0}" for one in _REGIONS)}
    if not (loopback or _HOST.fullmatch(host)) or host in no_tenant:
        raise SettingsError(f"AUTH0_DOMAIN is no tenant's domain: it must be one, {_EXAMPLE}.")
    short = not name or (region in _REGIONS and "." not in name and not other_name)
    if not loopback and (short or region == "auth0"):
        meant = f"{host}{_AUTH0}" if name else f"{host}.REGION{_AUTH0} (such as {host}.eu{_AUTH0})"
        meant = f"{host}.com" if region == "auth0" else meant
        raise SettingsError(
            f"AUTH0_DOMAIN is not complete: did you mean {meant}? A custom domain needs "
            "AUTH0_AUDIENCE, too."
        )
    # To a tenant no secret is sent without TLS, whatever was copied.
    if scheme == "http" and not loopback:
        port = PORTS["https"] if address.default_port else address.port
        address = replace(address, scheme="https", port=port)
    return replace(address, path="", query=None).url


def _by_dashboard(path: str) -> str:
    """Return the domain of the tenant that an address of Auth0's dashboard shows."""
    found = re.match(r"/dashboard/([a-z]{2})/([a-z0-9-]+)(?:/|\Z)", path, re.IGNORECASE)
    region, name = (part.lower() for part in found.groups()) if found else ("", "")
    if not name:
        raise SettingsError(
            "AUTH0_DOMAIN is the address of Auth0's dashboard: set it to the tenant's domain, "
            f"{_EXAMPLE}, which stands there under Applications → your application → Domain."
        )
    if region == "us":
        # Tenants made before 2020 have a domain without the region.
        raise SettingsError(
            f"AUTH0_DOMAIN is the address of Auth0's dashboard: set it to {name}.us{_AUTH0}, or "
            f"{name}{_AUTH0} for an old tenant, as your application's settings show under Domain."
        )
    return f"{name}.{region}{_AUTH0}"


def read_settings() -> Settings:
    """Read the environment, then `.env` of this folder, or of the project for a notebook."""
    here = Path.cwd()
    folder = here.parent if here.name == "notebooks" and not (here / ".env").exists() else here
    try:
        # _env_file is pydantic-settings' own keyword.
        return Settings(_env_file=folder / ".env")  # type: ignore[call-arg]
    except (UnicodeDecodeError, OSError):
        raise SettingsError(f"{folder / '.env'} cannot be read: it must be a UTF-8 file.") from None
    except ValidationError as error:
        names = ", ".join(f"AUTH0_{str(one['loc'][0]).upper()}" for one in error.errors())
        raise SettingsError(f"{names} cannot be used: check the environment and .env.") from None


def ensure_credentials(settings: Settings) -> None:
    """Raise SettingsError if there are no credentials, or impossible ones."""
    if settings.token is None and not (settings.client_id and settings.client_secret):
        raise SettingsError(
            "No credentials: set AUTH0_CLIENT_ID and AUTH0_CLIENT_SECRET, or AUTH0_TOKEN, in "
            "the environment or in .env."
        )
    # As a header it would raise an error whose text contains the token.
    if settings.token and not _FORM.fullmatch(settings.token.get_secret_value()):
        raise SettingsError("AUTH0_TOKEN is not a token: it contains characters that no token has.")


class Access:
    """A Management API token for the SDK, renewed in time if it comes from client credentials.

    `scopes` is None if the token does not tell them, or there is none yet.
    """

    def __init__(self, settings: Settings, base_url: str, client: httpx.Client) -> None:
        self._settings = settings
        self._base_url = base_url
        self._client = client
        self._lock = threading.Lock()
        self.renewable = settings.token is None
        self._text = settings.token.get_secret_value() if settings.token else ""
        self._until = 0.0
        self._failure: Exception | None = None
        self._failed_at = 0.0
        self.scopes = _scopes_of(self._text) if self._text else None

    @property
    def text(self) -> str:
        """The token as it is, "" if there is none yet."""
        return self._text

    @property
    def secret(self) -> str:
        """The client's secret, or ""."""
        secret = self._settings.client_secret
        return secret.get_secret_value() if secret else ""

    def __call__(self) -> str:
        """Return the token, renewed if it expires soon."""
        asked = time.monotonic()
        with self._lock:
            if not self.renewable or time.monotonic() < self._until:
                return self._text
            if self._failure is not None and self._failed_at >= asked:
                # Another thread was refused meanwhile: if each thread tried, it would take many
                # times as long.
                raise self._failure
            try:
                self._renew()
            except (httpx.HTTPError, TenantError) as error:
                self._failure, self._failed_at = error, time.monotonic()
                raise
            return self._text

    def forget(self, text: str) -> None:
        """Renew a token that the tenant no longer accepts."""
        with self._lock:
            if self._text == text:
                self._until = 0.0

    def _renew(self) -> None:
        host = urlsplit(self._base_url).netloc
        answer = self._client.post(
            f"{self._base_url}/oauth/token",
            data={
                "grant_type": "client_credentials",
                "client_id": self._settings.client_id,
                "client_secret": self.secret,
                "audience": self._settings.api,
            },
        )
        try:
            body: Any = answer.json()
        except (ValueError, RecursionError):
            body = answer.text
        if not answer.is_success:
            raise token_refusal(
                host,
                answer.status_code,
                body,
                audience=self._settings.audience is not None,
                hide=(self.secret,),
            )
        try:
            token, lifetime = body["access_token"], body.get("expires_in")
        except (KeyError, TypeError, AttributeError):
            token = lifetime = None
        if not (isinstance(token, str) and len(token) <= _MAX_TOKEN and _FORM.fullmatch(token)):
            raise TenantError(
                f"{host} answered the request for a token with something else (HTTP "
                f"{answer.status_code}): {ON_THE_WAY}"
            )
        self._text = token
        seconds = _lifetime(lifetime)
        # Renewed early, so that no token expires during a request.
        self._until = time.monotonic() + seconds - min(_RENEW_BEFORE, seconds / 4)
        self.scopes = _split_scopes(body.get("scope")) or _scopes_of(token)


def _lifetime(told: object) -> float:
    """Return the lifetime of a token in seconds; an impossible value counts as a minute."""
    try:
        seconds = float(told)  # type: ignore[arg-type] # other types are caught
    except (TypeError, ValueError, OverflowError):
        return _UNKNOWN
    return seconds if _SHORTEST <= seconds <= _LONGEST else _UNKNOWN


def _split_scopes(text: object) -> frozenset[str] | None:
    return frozenset(text.split()) if isinstance(text, str) and text.strip() else None


def _scopes_of(token: str) -> frozenset[str] | None:
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        return None
    return _split_scopes(claims.get("scope"))
