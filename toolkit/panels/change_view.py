"""Step 3, behind the pictures: code and its difference, what runs after a login, reasons."""

from collections.abc import Iterable
from difflib import unified_diff
from html import escape

import ipywidgets

from toolkit.candidate import NEVER_REFRESHED
from toolkit.change.action import preview
from toolkit.change.outcome import ActionState
from toolkit.panels.site import Site, warnings
from toolkit.plan import Plan
from toolkit.wiring import Wiring
from toolkit.wording import harmless, visible

_CONTEXT = 3
_BEFORE = (
    "this tool's Action runs already: at a login people see its default picture, and not what "
    "stands under before, which is their profile's"
)


class ChangeView(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """What a plan changes at the tenant, in text."""

    def __init__(self) -> None:
        self.warnings = ipywidgets.HTML()
        self.bindings = ipywidgets.HTML()
        self.details = ipywidgets.HTML()
        super().__init__([self.warnings, self.bindings, self.details])

    def show(self, plan: Plan | None, site: Site | None, wiring: Wiring | None) -> None:
        """Show a plan beside what stands at the tenant, as far as that was read.

        Args:
            plan: the plan, or None for nothing.
            site: what was read of the tenant.
            wiring: what was read with the snapshot.
        """
        if plan is None:
            self.warnings.value = self.bindings.value = self.details.value = ""
            return
        state = None
        if plan.code is not None and site is not None and site.standing is not None:
            state = preview(site.standing, plan.code)
        self.warnings.value = _warnings(plan, site, warnings(wiring, site))
        self.bindings.value = _bindings(state)
        self.details.value = "".join(_details(plan, state))


def _warnings(plan: Plan, site: Site | None, scripts: Iterable[str]) -> str:
    # Of scripts that run a plan says what is said of all of them here; step 1 says the rest.
    notes = [
        one
        for one in plan.notes
        if one != NEVER_REFRESHED and not one.endswith("sets the picture, too")
    ]
    if plan.code is not None and site is not None and site.standing is not None:
        notes += [_BEFORE] if site.former and site.standing.bound else []
    shown = [*scripts, *notes, *(site.notes if site else ())]
    items = "".join(
        f'<div class="pa-verdict pa-warn"><b>!</b> {escape(visible(one))}</div>' for one in shown
    )
    return f'<div class="pa-warnings">{items}</div>' if items else ""


def _bindings(state: ActionState | None) -> str:
    if state is None:
        return ""
    rows = "".join(
        f"<div><span class='pa-muted'>{name}</span> {_chain(names, state.name)}</div>"
        for name, names in (("now", state.bindings_before), ("then", state.bindings_after))
    )
    return f'<div class="pa-bindings"><b>What runs after a login</b>{rows}</div>'


def _chain(names: Iterable[str], ours: str) -> str:
    chips = " → ".join(
        f'<span class="pa-chip{" pa-ours" if name == ours else ""}">{escape(visible(name))}</span>'
        for name in names
    )
    return chips or '<span class="pa-muted">nothing</span>'


def _details(plan: Plan, state: ActionState | None) -> Iterable[str]:
    if plan.code is not None:
        if state is not None:
            yield _folded("Difference from what is deployed", _difference(state))
        yield _folded("The Action's code", f"<pre>{escape(harmless(plan.code))}</pre>")
    for rule in plan.rules:
        yield _folded("A Rule, to copy", f"<pre>{escape(harmless(rule))}</pre>")
    for by in ("reason", "connection", "source"):
        frame = plan.table(by)
        cells = "".join(
            f"<tr>{''.join(f'<td>{_cell(value)}</td>' for value in row)}</tr>"
            for row in frame.itertuples(index=False, name=None)
        )
        heads = "".join(f'<th scope="col">{escape(str(name))}</th>' for name in frame.columns)
        body = f"<table><thead><tr>{heads}</tr></thead><tbody>{cells}</tbody></table>"
        yield _folded(f"Users by {by}", f'<div class="pa-table">{body}</div>')


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else escape(visible(str(value)))


def _folded(name: str, body: str) -> str:
    return f"<details><summary>{name}</summary>{body}</details>"


def _difference(state: ActionState) -> str:
    """Write what changes in the code, line by line; signs say it as well as colours."""
    before, after = (state.before or "").splitlines(), (state.after or "").splitlines()
    if before == after:
        return '<div class="pa-muted">none: this code is deployed already</div>'
    if state.before is None:
        return (
            f'<div class="pa-muted">nothing is deployed yet: all {len(after):,} lines are new</div>'
        )
    lines = unified_diff(before, after, "deployed", "planned", n=_CONTEXT, lineterm="")
    kinds = {"+": "pa-added", "-": "pa-removed"}
    text = "\n".join(
        f'<span class="{kinds.get(line[:1], "")}">{escape(visible(line))}</span>' for line in lines
    )
    return f"<pre>{text}</pre>"
