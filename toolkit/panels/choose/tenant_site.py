"""What stands at a tenant that a new default picture has to do with, read and never written."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from toolkit.analysis.tenant_wiring import Wiring
from toolkit.change.action import Setup, read_setup
from toolkit.change.javascript import recognised
from toolkit.collection.scripts import read_wiring
from toolkit.errors import CredentialsError, PictureAuditError
from toolkit.tenant.client import Tenant
from toolkit.tenant.models import Connection

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Site:
    """What was read of a tenant.

    Attributes:
        domain: the tenant's domain.
        connections: its connections; None where they could not be read.
        standing: our Action, and what runs after a login; None where it could not be read.
        wiring: what sets the picture that applications see; None where that is unknown.
        notes: what could not be read, and why.
    """

    domain: str
    connections: tuple[Connection, ...] | None
    standing: Setup | None
    wiring: Wiring | None
    notes: tuple[str, ...] = ()

    @property
    def former(self) -> tuple[str, ...]:
        """The default pictures that the deployed Action hands out, which a new one replaces."""
        action = self.standing.action if self.standing else None
        policy = recognised(action.deployed) if action else None
        return (policy.picture, *policy.former) if policy else ()


def warnings(wiring: Wiring | None, site: Site | None) -> tuple[str, ...]:
    """Return scripts that set the picture as well, this tool's own Action excepted, in words.

    Args:
        wiring: what was read with the snapshot; counts where the tenant does not say.
        site: what was read of the tenant since.
    """
    known = site.wiring if site and site.wiring else wiring
    action = site.standing.action if site and site.standing else None
    return tuple(
        f"{one.kind.capitalize()} {one.name!r} sets the picture, too"
        + (": it runs" if one.runs else ": it no longer runs" if one.stopped else ": it is off")
        for one in (known.setters if known else ())
        if not (action and one.kind == "action" and one.name == action.name)
    )


def read_site(tenant: Tenant) -> Site:
    """Read a tenant's connections, Actions and Rules, as far as the token may.

    Raises:
        CredentialsError: the tenant does not take the credentials.
    """
    notes: list[str] = []
    connections = _tried("its connections", lambda: tuple(tenant.connections()), notes)
    stands = _tried("what runs after a login", lambda: read_setup(tenant), notes)
    wiring, unread = read_wiring(tenant)
    return Site(tenant.domain, connections, stands, wiring, (*notes, *unread))


def _tried(what: str, read: Callable[[], _T], notes: list[str]) -> _T | None:
    try:
        return read()
    except CredentialsError:
        raise
    except PictureAuditError as error:
        notes.append(f"{what} could not be read: {error}")
        return None
