"""What can be found out before a plan is made: how the picture looks, and who can be written."""

from collections.abc import Sequence

from toolkit.candidate import Candidate, candidate
from toolkit.connection import Connection
from toolkit.errors import ScopeError, SettingsError
from toolkit.hosts import hosts_of
from toolkit.settings import read_settings
from toolkit.snapshot import Provenance
from toolkit.tenant import connect


def looked_at(picture: str, provenance: Provenance) -> Candidate | None:
    """Load a proposed default picture and judge it.

    Returns:
        The candidate; None where the users are made up and their sandbox has stopped, so
        that nobody can be asked.
    """
    try:
        with hosts_of(provenance) as hosts:
            return candidate(
                picture,
                exception=hosts.sandbox,
                at=None if hosts.sandbox is None else hosts.address,
            )
    except SettingsError:
        return None


def known_connections(domain: str) -> Sequence[Connection] | None:
    """Read the connections of a tenant, if the environment names it and the token may.

    Returns:
        The connections, their options where `read:connections_options` is granted, or None.

    Raises:
        TenantError: the tenant did not go along.
    """
    settings = read_settings()
    if not settings.domain or not settings.base_url.endswith(f"//{domain}"):
        return None
    with connect(settings, scopes=()) as tenant:
        if tenant.granted("read:connections") is False:
            return None
        try:
            return tenant.connections()
        except ScopeError:
            return None
