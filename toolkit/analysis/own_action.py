"""This tool's own Action, as a tenant holds it: its marker, and the policy in its code.

What the Action does follows from its policy alone, so nobody has to guess it from the code.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from toolkit.analysis.file_header import flag, read

MARKER: Final = "// Default picture, made by picture-audit (auth0-picture-audit), version "
"""How the code begins."""

CONFIG: Final = "const CONFIG = "
"""What stands before the policy and the rule table, one JSON object, at the start of a line."""

FLAGS: Final = ("override", "elsewhere")
"""The steps that former policies switched on, and that the JSON of a plan still names so."""


class Step(StrEnum):
    """A place where a policy looks for somebody's picture; after all of them comes the default."""

    OVERRIDE = "override"
    OWN = "own"
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True, slots=True)
class LivePolicy:
    """The part of `toolkit.change.policy.Policy` that decides whose picture is replaced."""

    picture: str
    order: tuple[Step, ...] = (Step.OWN,)
    expired: bool = True
    former: tuple[str, ...] = ()
    connections: tuple[str, ...] | None = None
    sources: tuple[str, ...] | None = None


def order_of(*, override: bool, elsewhere: bool) -> tuple[Step, ...]:
    """Return the order that the two flags of former policies and of the command line mean."""
    named = ((Step.OVERRIDE, override), (Step.OWN, True), (Step.ELSEWHERE, elsewhere))
    return tuple(step for step, is_named in named if is_named)


def with_order(policy: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a policy with its order, which former versions wrote as two flags.

    Raises:
        KeyError, TypeError, ValueError: it says no order, or two different ones.
    """
    flags = {name: flag(policy[name]) for name in FLAGS if name in policy}
    values = {name: value for name, value in policy.items() if name not in flags}
    if "order" not in values:
        # The first policies had one flag.
        values["order"] = order_of(
            override=flags["override"], elsewhere=flags.get("elsewhere", False)
        )
    if any(named != (name in values["order"]) for name, named in flags.items()):
        raise ValueError("a policy with two orders")
    return values


def policy_in(code: object) -> Mapping[str, Any] | None:
    """Return the policy in an Action's code as plain values, or None if this tool did not make it.

    Never raises. The code may have been edited since.
    """
    if not isinstance(code, str) or not code.startswith(MARKER):
        return None
    start = code.find(f"\n{CONFIG}") + len(f"\n{CONFIG}")
    try:
        found, _ = json.JSONDecoder().raw_decode(code, start)
        policy = found["policy"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    return policy if isinstance(policy, dict) else None


def live_policy(code: object) -> LivePolicy | None:
    """Return the policy of this tool's Action, or None if the code is another or was damaged."""
    policy = policy_in(code)
    try:
        return None if policy is None else read(LivePolicy, with_order(policy))
    except (KeyError, TypeError, ValueError):
        return None
