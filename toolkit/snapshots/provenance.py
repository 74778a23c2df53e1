"""Where a snapshot comes from, and whether it is whole."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from datetime import datetime
from typing import Any, Self

from toolkit.analysis.estimate import Estimate
from toolkit.analysis.file_header import as_json, read
from toolkit.analysis.tenant_wiring import Wiring
from toolkit.errors import SettingsError
from toolkit.images.address import is_loopback, split


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a snapshot comes from, and whether it is whole.

    Attributes:
        tenant: the tenant's domain.
        taken_at: when the collection began (UTC), by the tenant's clock where that is known.
        method: how the users were read (`search`, …).
        complete: true only if the users were reconciled with the tenant's counts, or the export
            files were complete.
        users: how many users the snapshot holds.
        windows: into how many windows the reading was divided.
        requests: number of requests, with retries, without those for tokens.
        seconds: how long it took.
        sandbox: whether the tenant is the embedded one.
        toolkit_version: the version that wrote it.
        notes: other facts: what is missing, what changed and when.
        wiring: what sets the picture that applications see; None if it was not read.
        probed_at: when Gravatar was last asked about these users (UTC), or None.
        estimate: the result of a sample of the unresolved users, or None.
        seed: the seed of the embedded tenant's made-up people, or None for real users.
        redacted: the name of the key that replaced the users' identifiers, or None if they are the
            tenant's own.
    """

    tenant: str
    taken_at: datetime
    method: str
    complete: bool
    users: int
    windows: int
    requests: int
    seconds: float
    sandbox: bool
    toolkit_version: str
    notes: tuple[str, ...] = ()
    wiring: Wiring | None = None
    probed_at: datetime | None = None
    estimate: Estimate | None = None
    seed: int | None = None
    redacted: str | None = None

    def require_people(self) -> None:
        """Check that its users can be found at the tenant, and their pictures loaded.

        Raises:
            SettingsError: the snapshot is redacted.
        """
        if self.redacted is not None:
            raise SettingsError(
                "The snapshot is redacted: nobody in it can be found again. Take the one that it "
                "was made from."
            )

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values; times as ISO 8601."""
        return as_json(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `as_dict` of this version or a former one wrote.

        Raises:
            KeyError, TypeError, ValueError: a value is missing or of another type.
        """
        absent = {one.name: one.default for one in fields(cls) if one.default is not MISSING}
        provenance = read(cls, {**absent, **values})
        # Only a tenant on this machine can be a sandbox.
        place = split(provenance.tenant)
        if provenance.sandbox and not (place and is_loopback(place[0])):
            raise ValueError("a sandbox that is not on this machine")
        return provenance
