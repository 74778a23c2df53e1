"""Where pictures are asked for: at their hosts, or, for made-up people, at a sandbox."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from toolkit.errors import SettingsError
from toolkit.formatting import shorten
from toolkit.images.address import Refusal, askable, is_loopback
from toolkit.sandbox.embedded import embedded_sandbox
from toolkit.sandbox.played_hosts import ROOT, SIGN, played
from toolkit.sandbox.server import sandbox_at
from toolkit.snapshots.snapshot import Provenance
from toolkit.tenant.credentials import read_settings
from toolkit.tenant.host_transport import transport

GRAVATAR = "https://gravatar.com"
"""Where Gravatar answers."""

_PATIENCE = 2.0  # seconds
_LONGEST_NAME = 80
_MOST_USERS = 1_000_000
"""How many people are made up again at most: a file may claim any number."""


@dataclass(frozen=True, slots=True)
class Hosts:
    """The hosts of pictures; with `sandbox`, its base URL, that sandbox plays all of them."""

    sandbox: str | None = None

    @property
    def gravatar(self) -> str:
        """The base URL at which Gravatar answers."""
        return self.sandbox or GRAVATAR

    def address(self, picture: str, *, insecure: bool = False) -> str:
        """Return where to ask for the picture at an address; at `http:` only if `insecure`."""
        if self.sandbox is None or picture.startswith(f"{self.sandbox}/"):
            return picture
        # What would be refused anywhere is refused here, too.
        refused = isinstance(askable(picture, insecure=insecure), Refusal)
        return picture if refused else played(self.sandbox, picture)


@contextmanager
def hosts_of(provenance: Provenance) -> Iterator[Hosts]:
    """Yield where to ask for the pictures of a snapshot.

    The people of a sandbox are made up, and nobody else may be asked about them: that
    sandbox answers, and if it has stopped, a new one with the same people is started.

    Anybody could have written the snapshot, and any service of this machine could be at the port
    that it names. So nothing is sent there unless it is a sandbox of this process, or AUTH0_DOMAIN
    names the same address and a sandbox answers at it.

    Raises:
        SettingsError: the sandbox is neither of these, and its people are not known; or the
            snapshot is redacted.
    """
    provenance.require_people()
    if not provenance.sandbox:
        yield Hosts()
        return
    if running := _running(provenance.tenant):
        yield Hosts(running)
    elif provenance.seed is not None and provenance.users <= _MOST_USERS:
        with embedded_sandbox(provenance.users, seed=provenance.seed) as sandbox:
            yield Hosts(sandbox.base_url)
    else:
        raise SettingsError(
            f"The snapshot is of a sandbox at {shorten(provenance.tenant, _LONGEST_NAME)} that "
            "does not run any more, or that AUTH0_DOMAIN does not name: start it again on that "
            "port with the same users, and set AUTH0_DOMAIN to its address."
        )


def _running(domain: str) -> str | None:
    """Return the base URL of the sandbox at a host and port, if it is known to be one."""
    if here := sandbox_at(domain):
        return here.base_url
    settings = read_settings()
    named = urlsplit(settings.base_url) if settings.domain else None
    if named is None or named.netloc != domain or not is_loopback(named.hostname):
        return None
    return settings.base_url if _is_sandbox(settings.base_url) else None


def _is_sandbox(base_url: str) -> bool:
    """Whether a sandbox answers, and not another service that took its port."""
    made = transport(base_url)
    try:
        with (
            httpx.Client(transport=made, timeout=_PATIENCE, trust_env=False) as client,
            client.stream("GET", f"{base_url}{ROOT}") as answer,
        ):
            # The first bytes are enough: an answer may be endless.
            return next(answer.iter_raw(), b"") == SIGN.encode()
    except httpx.TransportError:
        return False
