"""The ways to change a default picture: what each does, and what it costs, as data.

Facts: Auth0, "Change User Pictures", "Actions Triggers: post-login", "Rate Limit
Configurations" (Essentials and Professional: 200 a minute for "Write Users" and 500 a minute
for "Read Users"; Free and Enterprise: one limit for all requests; private cloud: the smallest
one), "Deprecations and Migrations" (Rules).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Way(StrEnum):
    """How people get a default picture."""

    ACTION = "action"
    ROOT = "root"
    METADATA = "metadata"
    RULE = "rule"

    @property
    def writes_users(self) -> bool:
        """Whether it writes every user, one by one."""
        return self in {Way.ROOT, Way.METADATA}


@dataclass(frozen=True, slots=True)
class Explanation:
    """What to know about a way before choosing it, in sentences.

    That is: what changes at the tenant, where people see it, who, from when on, how long it lasts,
    and how it is undone.
    """

    changes: str
    shows: str
    whom: str
    when: str
    lasts: str
    undo: str


EXPLANATIONS: Final[Mapping[Way, Explanation]] = {
    Way.ACTION: Explanation(
        changes="Auth0 runs one small script (a post-login Action) at each login, after all your "
        "other Actions. It is created or updated, and deployed. No profile is written.",
        shows="In the claim `picture` of ID tokens and of /userinfo. The dashboard, searches and "
        "exports keep showing the old picture; SAML and WS-Fed applications do not see it.",
        whom="Everybody who logs in through the chosen connections and has no picture of their "
        "own, including people who sign up later.",
        when="At each person's next login; until then, applications keep showing the old picture.",
        lasts="As long as the Action is bound.",
        undo="At once and for everybody: the old code is restored, or the Action is removed. From "
        "their next login on, people see the old picture again.",
    ),
    Way.ROOT: Explanation(
        changes="The `picture` in the profile of each of these users is read and written: two "
        "requests for each user.",
        shows="Everywhere: dashboard, searches, exports, tokens.",
        whom="These users only. Not users whose connection overwrites the picture at each login, "
        "and not people who sign up later.",
        when="As soon as the profile is written; in tokens from the next login on.",
        lasts="Until somebody writes another picture.",
        undo="User by user from the journal, if the picture is still the new one: as many requests "
        "again. Auth0 does not remove a picture from database users, and accepts only absolute web "
        "addresses: users who could not be restored are left alone from the start.",
    ),
    Way.METADATA: Explanation(
        changes="`user_metadata.picture` of each of these users is read and written: two requests "
        "for each user. Other metadata stays as it is.",
        shows="Only if an Action or an application reads `user_metadata.picture`: alone it does "
        "nothing.",
        whom="These users only, of any connection; not people who sign up later.",
        when="As soon as the metadata is written; in tokens from the next login on, if an Action "
        "puts it there.",
        lasts="Until somebody changes it; users can, if an application lets them.",
        undo="User by user from the journal, if the picture is still the new one: as many requests "
        "again. Users with an explicit null there, or with empty metadata, are left alone from "
        "the start, because neither could be restored with certainty.",
    ),
    Way.RULE: Explanation(
        changes="Nothing: two corrected Rules are printed, for tenants that can still run them.",
        shows="Where a Rule runs: in tokens and in `context`.",
        whom="Everybody who logs in.",
        when="Not with this tool: by Auth0's schedule Rules ended on 2026-11-18. Post-login "
        "Actions replaced them: choose `action`.",
        lasts="As long as Rules run.",
        undo="Nothing is deployed, so there is nothing to undo.",
    ),
}
"""What to know about each way."""

CEILINGS: Final[Mapping[str, float]] = {
    "free": 2.0,
    "essentials": 200 / 60,
    "enterprise": 16.0,
    "private": 50.0,
}
"""Writes of users that each of Auth0's plans allows, a second."""

# By how many requests the bucket holds when it is full from which connections are read (its header
# `x-ratelimit-limit`). An Enterprise tenant for tests has 10, and the rate of Free; 50 is also a
# small private cloud, which is faster than what is said then.
_PLANS: Final[Mapping[float, str]] = {2: "free", 5: "essentials", 10: "free", 50: "enterprise"}
_PRIVATE = 250.0

_ACTION_REQUESTS = 12  # read, create, build, deploy and bind, with some polling


def plan_by(limit: float | None) -> str | None:
    """Return the name in `CEILINGS` whose rate a tenant has, or None if that does not tell.

    `limit`: the size of the bucket for reading connections, as the tenant's headers say it.
    """
    if limit is not None and limit >= _PRIVATE:
        return "private"
    return None if limit is None else _PLANS.get(limit)


def requests(way: Way, changes: int) -> int:
    """Return about how many requests a change of so many users takes."""
    if way.writes_users:
        return 2 * changes  # each user is read right before the write
    return _ACTION_REQUESTS if way is Way.ACTION else 0


def seconds(way: Way, changes: int, plan: str | float) -> float:
    """Return how long that takes.

    `plan` is a name in `CEILINGS`, or requests a second, reads and writes together.
    """
    rate = CEILINGS[plan] if isinstance(plan, str) else plan
    if way.writes_users and plan == "essentials":
        return changes / rate  # reads of users have a limit of their own
    return requests(way, changes) / rate
