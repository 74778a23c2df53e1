"""This tool's own Action, as a tenant holds it: its marker, and the policy in its code.

What the Action does follows from its policy alone, so nobody has to guess it from the code.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from toolkit.analysis.file_header import read

MARKER: Final = "// Default picture, made by picture-audit (auth0-picture-audit), version "
"""How the code begins."""

CONFIG: Final = "const CONFIG = "
"""What stands before the policy and the rule table, one JSON object, at the start of a line."""


@dataclass(frozen=True, slots=True)
class LivePolicy:
    """The part of `toolkit.change.policy.Policy` that decides whose picture is replaced."""

    picture: str
    override: bool = False
    expired: bool = True
    former: tuple[str, ...] = ()
    connections: tuple[str, ...] | None = None
    sources: tuple[str, ...] | None = None
    elsewhere: bool = False


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
        # Without it the code names no pictures held elsewhere.
        return None if policy is None else read(LivePolicy, {"elsewhere": False, **policy})
    except (KeyError, TypeError, ValueError):
        return None
