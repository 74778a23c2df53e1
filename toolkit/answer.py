"""What a tenant answers, as values: pages of users, export jobs, Actions and their order, Rules."""

from collections.abc import Sequence
from dataclasses import dataclass, field

PAGE = 100
"""Users a page: the most that Auth0 gives (Management API, GET /users, per_page)."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a user search.

    Attributes:
        users: Auth0 user objects, as the tenant gave them (whatever it gave).
        total: users that match, as the tenant counts: at 1,000 it stops counting.
    """

    users: Sequence[object]
    total: int


@dataclass(frozen=True, slots=True)
class Job:
    """An export job, as the tenant describes it.

    Attributes:
        id: its id.
        status: `pending`, `completed`, `failed`, or a name that means it is still running.
        percentage: how far it says it is, or None.
        location: where its file is, for 60 seconds, once it is completed. Whoever knows
            it can read every user: it is left out of the text form.
    """

    id: str
    status: str
    percentage: int | None = None
    location: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Action:
    """An Action of the post-login trigger.

    Attributes:
        id: its id.
        name: what the tenant calls it.
        code: the draft, JavaScript.
        deployed: the code that runs, or None where none is deployed.
        status: `pending`, `building`, `packaged`, `built`, `retrying` or `failed`.
        settled: whether the deployment is over; only then can it be bound.
        version: the id of the version that runs, or None; every deployment makes a new one.
        number: its number, which grows by one with each deployment; None where it is not told.
        settings: 16 hex of a hash of what else the draft consists of: runtime, dependencies,
            and the names and times of secrets.
        running: the same of the version that runs; empty where none does.
    """

    id: str
    name: str
    code: str
    deployed: str | None
    status: str
    settled: bool = True
    version: str | None = None
    number: int | None = None
    settings: str = ""
    running: str = ""


@dataclass(frozen=True, slots=True)
class Binding:
    """An Action's place among those that run after a login.

    Attributes:
        id: its id, by which the list that was read is known again: every change of the list
            gives new ones. Empty for one that is to be bound.
        action_id: the Action.
        name: what the list calls it.
    """

    id: str
    action_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A legacy Rule.

    Attributes:
        name: what the tenant calls it.
        code: JavaScript.
        enabled: whether it is switched on.
    """

    name: str
    code: str
    enabled: bool
