"""The routes of legacy Rules.

Facts: Auth0 docs, "Deprecations and Migrations" (tenants made since 2023-10-16 have none; read-only
since 2024-11-18, when only `enabled` can be changed; they stop running on 2026-11-18); recordings
of the API (what is listed, the refusal, the error of one that is not there).
INFERRED: that they are still listed, and can be switched, after their end.
"""

import hashlib
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from starlette.routing import BaseRoute

from toolkit.sandbox.api.gate import ROOT, Answer, Call, Gate, Handler, query
from toolkit.sandbox.api.lists import listed
from toolkit.sandbox.problem import Problem, bad_body, on_property

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
    """The Rules of one tenant, loaded from mappings: `name`, `script` and maybe `enabled`.

    None: the tenant is so new that it has no right to have Rules.
    """

    def __init__(self, loaded: Iterable[Mapping[str, Any]] | None) -> None:
        self._lock = threading.Lock()
        self._allowed = loaded is not None
        self._rules: dict[str, Rule] = {}
        for order, one in enumerate(loaded or (), start=1):
            # The same ids in every run.
            name = "rul_" + hashlib.sha256(f"rule {order}".encode()).hexdigest()[:_ID_LENGTH]
            enabled = one.get("enabled", True)
            self._rules[name] = Rule(name, enabled, one["script"], one["name"], order)

    def routes(self, gate: Gate) -> list[BaseRoute]:
        """Return the routes."""
        every, one = f"{ROOT}/rules", f"{ROOT}/rules/{{id}}"
        fields = "fields include_fields"
        listed = query(f"page per_page include_totals enabled stage {fields}")

        def allowed(handler: Handler) -> Handler:
            return handler if self._allowed else self.create

        return [
            gate.route("GET", every, allowed(self.rules), "read:rules", query=listed),
            gate.route("POST", every, self.create, "create:rules"),
            gate.route("GET", one, allowed(self.rule), "read:rules", query=query(fields)),
            gate.route("PATCH", one, allowed(self.update), "update:rules"),
        ]

    def rules(self, call: Call) -> Answer:
        """List Rules, in the order in which they run."""
        enabled = call.flag("enabled")
        with self._lock:
            found = [rule for rule in self._rules.values() if enabled in (None, rule.enabled)]
        return listed(call, "rules", call.projected([asdict(rule) for rule in found]))

    def rule(self, call: Call) -> Answer:
        """Read one Rule."""
        with self._lock:
            rule = self._found(call)
        return call.projected([asdict(rule)])[0]

    def update(self, call: Call) -> Answer:
        """Switch a Rule on or off, which is all that can be changed."""
        body = call.document()
        if body.keys() - {"enabled"}:
            raise _not_allowed()
        if not isinstance(body.get("enabled"), bool):
            raise bad_body(on_property("Expected type boolean", "enabled"))
        with self._lock:
            rule = replace(self._found(call), enabled=body["enabled"])
            self._rules[rule.id] = rule
        return asdict(rule)

    def create(self, _: Call) -> Answer:
        """Refuse to create a Rule."""
        raise _not_allowed()

    def _found(self, call: Call) -> Rule:
        """Return the Rule that is asked for; the caller holds the lock."""
        rule = self._rules.get(call.path["id"])
        if rule is None:
            raise Problem(404, "The rule does not exist", "inexistent_rule")
        return rule


def _not_allowed() -> Problem:
    text = "Insufficient privileges to use this deprecated feature."
    return Problem(403, text, "rules_not_allowed")
