"""Who answers for the hosts of pictures: they themselves, or, for made-up people, a sandbox."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from toolkit.embedded import embedded_sandbox
from toolkit.errors import SettingsError
from toolkit.probe.address import Refusal, askable
from toolkit.probe.gravatar import GRAVATAR
from toolkit.sandbox.hosts import played
from toolkit.settings import read_settings
from toolkit.snapshot import Provenance

_PATIENCE = 2.0


@dataclass(frozen=True, slots=True)
class Hosts:
    """Where pictures are asked for.

    Attributes:
        sandbox: the base URL of the sandbox that plays all hosts, or None for the real ones.
    """

    sandbox: str | None = None

    @property
    def gravatar(self) -> str:
        """The base URL at which Gravatar answers."""
        return self.sandbox or GRAVATAR

    def address(self, picture: str, *, insecure: bool = False) -> str:
        """Return where to ask for a picture.

        Args:
            picture: its address.
            insecure: whether an `http:` address is asked, too.
        """
        if self.sandbox is None or picture.startswith(f"{self.sandbox}/"):
            return picture
        # What would be refused anywhere is refused here, too.
        refused = isinstance(askable(picture, insecure=insecure), Refusal)
        return picture if refused else played(self.sandbox, picture)


@contextmanager
def hosts_of(provenance: Provenance) -> Iterator[Hosts]:
    """Open whoever answers for the pictures of a snapshot.

    The people of a sandbox are made up, and nobody else may be asked about them: that
    sandbox answers, and where it has stopped, one with the same people is started.

    Raises:
        SettingsError: the sandbox has stopped, and nobody knows who its people were; or the
            snapshot is redacted, so that its pictures are nobody's.
    """
    provenance.require_people()
    if not provenance.sandbox:
        yield Hosts()
        return
    settings = read_settings()
    named = settings.base_url if settings.domain else ""
    running = named if named.endswith(f"/{provenance.tenant}") else f"http://{provenance.tenant}"
    if _answers(running):
        yield Hosts(running)
    elif provenance.seed is not None:
        with embedded_sandbox(provenance.users, seed=provenance.seed) as sandbox:
            yield Hosts(sandbox.base_url)
    else:
        raise SettingsError(
            f"The snapshot is of a sandbox at {provenance.tenant} that does not run any more: "
            "start it again on that port, with the same users."
        )


def _answers(base_url: str) -> bool:
    try:
        answer = httpx.get(
            f"{base_url}/avatar/{'0' * 32}?d=404", timeout=_PATIENCE, trust_env=False
        )
    except httpx.TransportError:
        return False
    return answer.status_code in (200, 404)
