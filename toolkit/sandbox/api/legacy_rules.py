"""The routes of legacy Rules.

Facts: Auth0 docs, "Deprecations and Migrations" (read-only since 2024-11-18, when only
`enabled` can be changed; they stop running on 2026-11-18); recordings of `GET /rules`.
INFERRED: the refusals, and that they are still listed after their end.
"""

import hashlib
import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from toolkit.sandbox.api.gate import MOST_PER_PAGE, Call, Gate, flag, number, projection
from toolkit.sandbox.api.users import ROOT
from toolkit.sandbox.problem import Problem, bad_body, json_response

_DEFAULT_PER_PAGE = 50
_ID_LENGTH = 16


@dataclass(frozen=True)
class Rule:
    """One Rule, as the API shows it."""

    id: str
    enabled: bool
    script: str
    name: str
    order: int
    stage: str = "login_success"


class Rules:
    """The Rules of one tenant.

    Args:
        loaded: Mappings with `name`, `script` and, where it is not, `enabled`.
    """

    def __init__(self, loaded: Iterable[Mapping[str, Any]]) -> None:
        self._lock = threading.Lock()
        self._rules: dict[str, Rule] = {}
        for order, one in enumerate(loaded, start=1):
            rule = Rule(_id(order), one.get("enabled", True), one["script"], one["name"], order)
            self._rules[rule.id] = rule

    def routes(self, gate: Gate) -> list[BaseRoute]:
        """Return the routes."""
        every, one = f"{ROOT}/rules", f"{ROOT}/rules/{{id}}"
        return [
            gate.route("GET", every, self.list, "read:rules"),
            gate.route("POST", every, self.refuse, "create:rules"),
            gate.route("GET", one, self.get, "read:rules"),
            gate.route("PATCH", one, self.toggle, "update:rules"),
        ]

    def list(self, call: Call) -> Response:
        """List Rules, in the order in which they run."""
        asked = call.request.query_params
        with self._lock:
            found = list(self._rules.values())
        if "enabled" in asked:
            enabled = flag(asked, "enabled", default=True)
            found = [rule for rule in found if rule.enabled == enabled]
        page = number(asked, "page", 0, None)
        per_page = number(asked, "per_page", _DEFAULT_PER_PAGE, MOST_PER_PAGE)
        start = page * per_page
        project = projection(asked) or dict
        shown = [project(asdict(rule)) for rule in found[start : start + per_page]]
        if not flag(asked, "include_totals", default=False):
            return json_response(json.dumps(shown))
        answer = {"total": len(found), "start": start, "limit": per_page, "rules": shown}
        return json_response(json.dumps(answer))

    def get(self, call: Call) -> Response:
        """Read one Rule."""
        with self._lock:
            rule = self._found(call)
        project = projection(call.request.query_params) or dict
        return json_response(json.dumps(project(asdict(rule))))

    def toggle(self, call: Call) -> Response:
        """Switch a Rule on or off, which is all that can be changed."""
        body = call.document()
        if body.keys() - {"enabled"}:
            raise _read_only()
        if not isinstance(body.get("enabled"), bool):
            raise bad_body("'Expected type boolean' on property enabled.")
        with self._lock:
            rule = replace(self._found(call), enabled=body["enabled"])
            self._rules[rule.id] = rule
        return json_response(json.dumps(asdict(rule)))

    def refuse(self, _: Call) -> Response:
        """Refuse to create a Rule."""
        raise _read_only()

    def _found(self, call: Call) -> Rule:
        """Return the Rule that is asked for; the caller holds the lock."""
        rule = self._rules.get(call.request.path_params["id"])
        if rule is None:
            raise Problem(404, "The rule does not exist.", "inexistent_rule")
        return rule


def _id(order: int) -> str:
    """Return `rul_` and 16 characters, the same in every run."""
    return "rul_" + hashlib.sha256(f"rule {order}".encode()).hexdigest()[:_ID_LENGTH]


def _read_only() -> Problem:
    text = "Rules are read-only: they can only be enabled or disabled."
    return Problem(403, text, "operation_not_supported")
