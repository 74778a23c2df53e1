"""The ways to change a default picture: what each does, and what it costs, as data.

Facts: Auth0, "Change User Pictures", "Actions Triggers: post-login", "Rate Limit
Configurations" (of Essentials and Professional the limit of the group "Write Users", 200 a
minute, apart from that of "Read Users", 500 a minute; Free and Enterprise have one limit for
all requests; of a private cloud the smallest), "Deprecations and Migrations" (Rules).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Way(StrEnum):
    """How a default picture is brought to people."""

    ACTION = "action"
    ROOT = "root"
    METADATA = "metadata"
    RULE = "rule"

    @property
    def writes_users(self) -> bool:
        """Whether it changes every user by a request of their own."""
        return self in {Way.ROOT, Way.METADATA}


@dataclass(frozen=True, slots=True)
class Explanation:
    """What to know of a way before choosing it, in sentences.

    Attributes:
        changes: what is changed at the tenant.
        shows: where people see it.
        whom: for whom.
        when: from when on.
        lasts: how long it holds.
        undo: how it is undone.
    """

    changes: str
    shows: str
    whom: str
    when: str
    lasts: str
    undo: str


EXPLANATIONS: Final[Mapping[Way, Explanation]] = {
    Way.ACTION: Explanation(
        changes="One post-login Action is created or updated, deployed, and bound after all "
        "others. No profile is written.",
        shows="In the claim `picture` of ID tokens and of /userinfo. The dashboard, searches and "
        "exports keep showing the old picture; SAML and WS-Fed applications do not see it.",
        whom="Everybody who logs in through the chosen connections and has no picture of their "
        "own, people who sign up later included.",
        when="At each person's next login; an application keeps an existing session's picture "
        "until then.",
        lasts="As long as the Action is bound.",
        undo="At once and for everybody: the former code is restored or the Action removed. Each "
        "next login carries the old picture again.",
    ),
    Way.ROOT: Explanation(
        changes="The `picture` of each of these users is read and written, by two requests each.",
        shows="Everywhere: dashboard, searches, exports, tokens.",
        whom="These users only. Not those whose connection overwrites the picture at each login, "
        "and nobody who comes later.",
        when="As soon as each is written; in tokens from the next login on.",
        lasts="Until somebody writes another picture.",
        undo="User by user from the journal, where the picture still stands: as many requests "
        "again. A picture that was missing cannot be removed again from database users, and what "
        "is no absolute web address is not taken back: such users are left alone from the start.",
    ),
    Way.METADATA: Explanation(
        changes="`user_metadata.picture` of each of these users is read and written, by two "
        "requests each; their other metadata stays.",
        shows="Only where an Action or an application reads `user_metadata.picture`: by itself it "
        "does nothing.",
        whom="These users only, of any connection; nobody who comes later.",
        when="As soon as each is written; in tokens from the next login on, where an Action puts "
        "it there.",
        lasts="Until somebody changes it: people can, where an application lets them.",
        undo="User by user from the journal, where it still stands: as many requests again. Who "
        "holds an explicit null there, or empty metadata, is left alone from the start: neither "
        "could be put back for sure.",
    ),
    Way.RULE: Explanation(
        changes="Nothing: two corrected Rules are printed, for tenants that can still run them.",
        shows="Where a Rule runs: in tokens and in `context`.",
        whom="Everybody who logs in.",
        when="Never by this tool: Auth0 stopped running Rules on 2026-11-18. What replaced them "
        "are post-login Actions: choose `action`.",
        lasts="As long as Rules run.",
        undo="Nothing is deployed, so nothing is to be undone.",
    ),
}
"""What to know of each way."""

CEILINGS: Final[Mapping[str, float]] = {
    "free": 2.0,
    "essentials": 200 / 60,
    "enterprise": 16.0,
    "private": 50.0,
}
"""Writes of users that each of Auth0's plans allows, a second."""

SEPARATE: Final = frozenset({"essentials"})
"""Plans whose reads of users have a limit of their own, and so cost writes no time."""

_ACTION_REQUESTS = 12  # read, create, build, deploy and bind, with some polling


def requests(way: Way, changes: int) -> int:
    """Return about how many requests a change of so many users takes."""
    if way.writes_users:
        return 2 * changes  # each user is read right before the write
    return _ACTION_REQUESTS if way is Way.ACTION else 0


def seconds(way: Way, changes: int, plan: str | float) -> float:
    """Return how long that takes.

    Args:
        way: how the picture is brought to people.
        changes: how many people.
        plan: a name in `CEILINGS`, or requests a second, reads and writes together.
    """
    rate = CEILINGS[plan] if isinstance(plan, str) else plan
    if way.writes_users and plan in SEPARATE:
        return changes / rate
    return requests(way, changes) / rate
