"""Who is still as the plan has it: users read again shortly before they are written.

Fifty users a search (`user_id:"…" OR …`), so that it costs two requests for each hundred. A
search is eventually consistent (Auth0, "User Search"), and so it is trusted in one case only:
where it shows a user exactly as expected. Whoever looks different, or is not found, is read
by id, which is consistent at once, before anything is said of them.

What was found is good for less than a minute: after a pause everybody is read by id.

What this cannot see is a change of the last seconds that no search shows yet, or one between
the reading and the writing: Auth0 has no conditional write. Such a change is overwritten, and
the journal holds what was read, not what was overwritten.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from toolkit.change.edit import Edit
from toolkit.errors import MissingError, QueryError, SlowQueryError
from toolkit.tenant import Tenant
from toolkit.way import SURVEYED

_FRESH: Final = 45.0  # seconds; at two writes a second a batch takes 25
_LONGEST: Final = 3_500  # characters of a query; encoded for a URL it doubles at most


def surveyed(
    tenant: Tenant, edits: Iterable[Edit]
) -> Iterator[tuple[Edit, Mapping[str, Any] | None]]:
    """Yield each edit with the user as they are now; None where there is no such user.

    Raises:
        TenantError: the tenant did not go along.
    """
    for some in _batches(edits):
        # The wall clock goes on while a machine sleeps; whoever pauses stops in here, too.
        found, read_at = _found(tenant, some), time.time()
        for edit in some:
            record = found.get(edit.user_id)
            stale = time.time() - read_at > _FRESH
            if stale or record is None or not edit.stands(record):
                record = current(tenant, edit.user_id)
            yield edit, record


def current(tenant: Tenant, user_id: str) -> Mapping[str, Any] | None:
    """Read one user by id; None where there is no such user, or nobody can have such an id."""
    try:
        return tenant.user(user_id)
    except (MissingError, QueryError):
        return None


def _batches(edits: Iterable[Edit]) -> Iterator[list[Edit]]:
    batch: list[Edit] = []
    length = 0
    for edit in edits:
        longer = len(_clause(edit))
        if batch and (len(batch) == SURVEYED or length + longer > _LONGEST):
            yield batch
            batch, length = [], 0
        batch.append(edit)
        length += longer
    if batch:
        yield batch


def _found(tenant: Tenant, edits: Sequence[Edit]) -> Mapping[str, Mapping[str, Any]]:
    """Search for users by their ids; fewer at a time where that is too much for the tenant."""
    try:
        page = tenant.search("".join(map(_clause, edits)).removesuffix(_OR))
    except (SlowQueryError, QueryError):
        if len(edits) == 1:
            return {}  # read by id instead
        half = len(edits) // 2
        return {**_found(tenant, edits[:half]), **_found(tenant, edits[half:])}
    records = (one for one in page.users if isinstance(one, Mapping))
    return {str(one.get("user_id")): one for one in records}


_OR: Final = " OR "


def _clause(edit: Edit) -> str:
    escaped = edit.user_id.replace("\\", "\\\\").replace('"', '\\"')
    return f'user_id:"{escaped}"{_OR}'
