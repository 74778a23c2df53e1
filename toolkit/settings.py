"""Which tenant, with which credentials: from the environment or a `.env` file."""

import re
from pathlib import Path
from typing import Never, SupportsIndex

from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from toolkit.authority import is_loopback, split
from toolkit.errors import SettingsError

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.IGNORECASE | re.ASCII)
_PORTS = {"http": 80, "https": 443}


class Settings(BaseSettings):
    """Credentials and address of one tenant.

    Secrets are masked wherever it is shown, and it cannot be pickled: what is pickled ends up
    in caches, and on other machines.
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
        """The tenant's address: https, or http where it is loopback (the sandbox).

        Raises:
            SettingsError: AUTH0_DOMAIN is missing or is not a host name.
        """
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
            named = "" if port in (None, _PORTS[scheme]) else f":{port}"
            return f"{scheme}://{f'[{host}]' if ':' in host else host}{named}"
        raise SettingsError(
            "AUTH0_DOMAIN must be a host name such as tenant.eu.auth0.com, without https:// "
            "(an http:// address is taken only for a sandbox on loopback)."
        )


def read_settings() -> Settings:
    """Read the environment, then `.env` of this folder, or of the project for a notebook.

    Raises:
        SettingsError: a value has the wrong form.
    """
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
