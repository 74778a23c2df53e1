"""Ways to read a tenant's users: `python -m tests.benchmarks.collection WAY COUNT`.

All of them read the same made-up tenant, with the rate limits of an enterprise plan. Nobody in
it has a picture that is no text: the SDK refuses the whole page of such a user, which only the
toolkit gets round.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from auth0.management.client import Auth0
from auth0.management.core.api_error import ApiError

from tests.benchmarks.export import SEED
from toolkit.collection.collect_users import collect
from toolkit.sandbox.api.gate import PLANS
from toolkit.sandbox.embedded import settings_of
from toolkit.sandbox.made_up.tenants import loadable, people
from toolkit.sandbox.server import Sandbox
from toolkit.tenant.client import connect

_PLAN = "enterprise"
_PAGE = 100


def _tenant(count: int) -> Iterator[dict[str, Any]]:
    records = (loadable(person) for person in people(2 * count, seed=SEED))
    return islice((one for one in records if isinstance(one.get("picture", ""), str)), count)


@contextmanager
def _client(sandbox: Sandbox) -> Iterator[Auth0]:
    answer = httpx.post(
        f"{sandbox.base_url}/oauth/token",
        data={
            "grant_type": "client_credentials",
            "client_id": sandbox.client_id,
            "client_secret": sandbox.client_secret,
            "audience": f"{sandbox.base_url}/api/v2/",
        },
        trust_env=False,
    )
    token = answer.raise_for_status().json()["access_token"]
    with httpx.Client(trust_env=False) as client:
        yield Auth0(base_url=f"{sandbox.base_url}/api/v2", token=token, httpx_client=client)


def pager(sandbox: Sandbox) -> int:
    """Go through the SDK's own pages until it raises."""
    found = set()
    with _client(sandbox) as client:
        try:
            for one in client.users.list(per_page=_PAGE):
                found.add(one.user_id)
        except ApiError as error:
            sys.stderr.write(f"The pager ended with HTTP {error.status_code}.\n")
    return len(found)


def slide(sandbox: Sandbox) -> int:
    """Sort by created_at, read page after page, begin again where the thousandth was created."""
    found: set[Any] = set()
    begin, page = "*", 0
    with _client(sandbox) as client:
        while True:
            answer = client.users.list(
                q=f"created_at:[{begin} TO *]",
                sort="created_at:1",
                page=page,
                per_page=_PAGE,
                search_engine="v3",
            )
            users = answer.items or []
            found |= {one.user_id for one in users}
            if len(users) < _PAGE:
                return len(found)
            page += 1
            if page * _PAGE >= 1000:
                begin, page = str(users[-1].model_dump(mode="json")["created_at"]), 0


def _toolkit(sandbox: Sandbox, method: str) -> int:
    with TemporaryDirectory() as folder, connect(settings_of(sandbox)) as tenant:
        return len(collect(tenant, out=Path(folder) / "snapshot.parquet", method=method))


def search(sandbox: Sandbox) -> int:
    """Search as the toolkit does, and reconcile."""
    return _toolkit(sandbox, "search")


def export(sandbox: Sandbox) -> int:
    """Export as the toolkit does, and reconcile."""
    return _toolkit(sandbox, "export")


WAYS: dict[str, Callable[[Sandbox], int]] = {
    "pager": pager,
    "slide": slide,
    "search": search,
    "export": export,
}


def measured(way: str, count: int) -> dict[str, float]:
    """Read a tenant in one way.

    Returns:
        `users` that there are, `found`, `requests`, how many of them were `refused`, `seconds`,
        and the `share` of the requests that the plan allows in that time.
    """
    size = PLANS[_PLAN]["everything"]
    with Sandbox(_tenant(count), plan=_PLAN) as sandbox:
        started = time.perf_counter()
        found = WAYS[way](sandbox)
        seconds = time.perf_counter() - started
        asked, refused = sandbox.requests.total, sandbox.requests.limited
    return {
        "users": count,
        "found": found,
        "requests": asked,
        "refused": refused,
        "seconds": seconds,
        "share": (asked - refused) / (size.burst + size.rate * seconds),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measured(sys.argv[1], int(sys.argv[2]))) + "\n")
