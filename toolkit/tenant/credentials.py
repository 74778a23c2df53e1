"""The tenant's address and credentials, and a token that renews itself."""

import re
import threading
import time
from pathlib import Path
from typing import Any, Never, SupportsIndex
from urllib.parse import urlsplit

import httpx
import jwt
from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from toolkit.errors import CredentialsError, SettingsError, TenantError
from toolkit.images.address import PORTS, Address, is_loopback, split

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.IGNORECASE | re.ASCII)
_RENEW_BEFORE = 30.0  # seconds
# Auth0's tokens are good for 30 days at most ("Update Access Token Lifetime").
_SHORTEST, _LONGEST, _UNKNOWN = 1.0, 30 * 86400.0, 60.0  # seconds
_MAX_TOKEN = 1 << 16  # characters; servers accept less in a header
_FORM = re.compile(r"[!-~]+")
_TOO_MANY = 429


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

    def __reduce_ex__(self, protocol: SupportsIndex) -> Never:
        raise TypeError("Settings hold credentials: read them where they are needed")

    @property
    def base_url(self) -> str:
        """The tenant's address: https, or http where it is loopback (the sandbox)."""
        if not self.domain:
            raise SettingsError(
                "AUTH0_DOMAIN is not set: name your tenant (tenant.eu.auth0.com) in the "
                "environment or in .env, or try the embedded tenant with `picture-audit demo`."
            )
        scheme = "http" if self.domain.lower().startswith("http://") else "https"
        written = self.domain if scheme == "https" else self.domain[7:].removesuffix("/")
        host, port = split(written) or ("", None)
        fits = _HOST.fullmatch(host) if scheme == "https" else is_loopback(host)
        if fits and port != 0:
            port = port or PORTS[scheme]
            return Address(scheme, host, port, "", None, None, credentials=False).url
        raise SettingsError(
            "AUTH0_DOMAIN must be a host name such as tenant.eu.auth0.com, without https:// "
            "(an http:// address is taken only for a sandbox on loopback)."
        )


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
        host, secret = urlsplit(self._base_url).netloc, self._settings.client_secret
        answer = self._client.post(
            f"{self._base_url}/oauth/token",
            data={
                "grant_type": "client_credentials",
                "client_id": self._settings.client_id,
                "client_secret": secret.get_secret_value() if secret else "",
                "audience": f"{self._base_url}/api/v2/",
            },
        )
        if answer.is_server_error or answer.status_code == _TOO_MANY:
            raise TenantError("The tenant cannot issue a token now. Try again later.")
        if not answer.is_success:
            raise CredentialsError(
                f"{host} does not accept the client's credentials (HTTP "
                f"{answer.status_code}): check AUTH0_CLIENT_ID and AUTH0_CLIENT_SECRET, and that "
                "the application is authorised for the Management API."
            )
        try:
            body: Any = answer.json()
            token, lifetime = body["access_token"], body.get("expires_in")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            token = lifetime = None
        if not (isinstance(token, str) and len(token) <= _MAX_TOKEN and _FORM.fullmatch(token)):
            raise TenantError(
                f"{host} answered the request for a token with something else (HTTP "
                f"{answer.status_code}): check AUTH0_DOMAIN and the network."
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
