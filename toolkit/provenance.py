"""Where a snapshot comes from, and whether it is whole."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from types import NoneType
from typing import Any, Self

from toolkit.errors import SettingsError
from toolkit.estimate import Estimate
from toolkit.wiring import Wiring

_FIRST_YEAR, _LAST_YEAR = 1970, 9000


def _time(text: str) -> datetime:
    """Read a time of ours: with a zone, and far enough from the ends of time to reckon with."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None or not _FIRST_YEAR <= time.year <= _LAST_YEAR:
        raise ValueError(text)
    return time


_PARTS: dict[str, Callable[[Any], Any]] = {
    "wiring": Wiring.from_dict,
    "probed_at": _time,
    "estimate": Estimate.from_dict,
}
_KINDS: dict[str, tuple[type, ...]] = {
    "taken_at": (datetime,),
    "complete": (bool,),
    "users": (int,),
    "windows": (int,),
    "requests": (int,),
    "seconds": (int, float),
    "sandbox": (bool,),
    "notes": (tuple,),
    "wiring": (Wiring, NoneType),
    "probed_at": (datetime, NoneType),
    "estimate": (Estimate, NoneType),
    "seed": (int, NoneType),
    "redacted": (str, NoneType),
}


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a snapshot comes from, and whether it is whole.

    Attributes:
        tenant: the tenant's domain.
        taken_at: when the collection began (UTC).
        method: how the users were read (`search`, …).
        complete: true only where what was read was reconciled with what the tenant counts,
            or, of export files, where they were whole.
        users: how many users the snapshot holds.
        windows: into how many windows the reading was divided.
        requests: how many requests that took, retries included, the token's not.
        seconds: how long it took.
        sandbox: whether the tenant is the embedded one.
        toolkit_version: the version that wrote it.
        notes: what else is worth knowing: what is missing, what changed since when.
        wiring: what sets the picture that applications see; None where nobody has read it.
        probed_at: when Gravatar was last asked about these users (UTC), or None.
        estimate: what a sample of the unresolved says of them, or None.
        seed: what the embedded tenant's people were made from, or None for real ones.
        redacted: which key the users' identifiers were replaced with
            (`toolkit.redaction.Key.name`), or None where they are the tenant's own.
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
        """Make sure that its users can be found at the tenant, and their pictures loaded.

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
        return asdict(self) | {
            "taken_at": self.taken_at.isoformat(),
            "wiring": self.wiring.as_dict() if self.wiring else None,
            "probed_at": self.probed_at.isoformat() if self.probed_at else None,
            "estimate": self.estimate.as_dict() if self.estimate else None,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read what `as_dict` wrote; keys of later versions are ignored.

        Raises:
            KeyError, TypeError, ValueError: a value is missing or of another type.
        """
        given = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        given["taken_at"] = _time(values["taken_at"])
        given["notes"] = tuple(str(note) for note in values.get("notes", ()))
        for name, read in _PARTS.items():
            given[name] = None if values.get(name) is None else read(values[name])
        provenance = cls(**given)
        for field in fields(cls):
            kind = _KINDS.get(field.name, (str,))
            value = getattr(provenance, field.name)
            if not isinstance(value, kind) or (isinstance(value, bool) and bool not in kind):
                raise TypeError(f"{field.name} is of another type")
        if not 0 <= provenance.users < 2**63:
            raise ValueError("not a number of users")
        return provenance
