"""What a file of this tool is, told by its content, and what stands in it: for people to look at.

Plans, journals and unfinished collections name no user here: they are counted.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow.parquet as pq

from toolkit.analysis.duckdb_engine import ARROW_DAMAGE
from toolkit.analysis.file_header import count, items, moment, text
from toolkit.change.decide import CANNOT, STAY
from toolkit.change.journal import FORMAT as JOURNAL
from toolkit.change.journal import State, read_journal
from toolkit.change.plan_file import read_plan
from toolkit.change.plan_summary import Plan
from toolkit.collection.place import FORMAT as COLLECTION
from toolkit.errors import UnreadableInputError
from toolkit.formatting import lasting, plural
from toolkit.snapshots.snapshot import Snapshot, read_snapshot

Part = str | tuple[str, pd.DataFrame]
"""Lines of text, or a table with its heading."""

_PARQUET: Final = b"PAR1"
_WORDS: Final = {
    State.DONE: "changed",
    State.HELD: "had it already",
    State.DRIFTED: "skipped: changed or deleted meanwhile",
    State.REFUSED: "refused",
    State.FAILED: "failed; the same command tries again",
    State.BEGUN: "begun, with no result: the same command finds out",
}
_MOST_REASONS: Final = 12
_STEPS: Final = {
    "former": "the state before the change was recorded",
    "begun": "begun to take it back",
    "written": "the Action's code was written",
    "deployed": "the Action was deployed",
    "bound": "the Action was bound: it runs at each login",
    "unbound": "the Action was unbound: it no longer runs",
    "restored": "the Action's former version was put back",
    "removed": "the Action was removed",
}


@dataclass(frozen=True, slots=True)
class View:
    """A file as people see it.

    Attributes:
        kind: `plan`, `journal`, `collection` (an unfinished one) or `report`.
        title: one line that says what it is.
        parts: what stands in it.
        content: the same as plain JSON values.
    """

    kind: str
    title: str
    parts: tuple[Part, ...]
    content: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"kind": self.kind, "content": dict(self.content)}


def view(path: Path) -> Snapshot | View:
    """Look at a file that this tool wrote; its name does not matter.

    Raises:
        UnreadableInputError: it does not exist, is damaged, or is of no kind that is known.
        SettingsError: others can change it.
    """
    try:
        with path.open("rb") as file:
            line = file.readline(1 << 20)
    except OSError as error:
        raise UnreadableInputError(f"{path} cannot be read: {error.strerror or error}.") from error
    if line.startswith(_PARQUET):
        try:
            is_plan = b"plan_version" in (pq.read_schema(path).metadata or {})
        except ARROW_DAMAGE:
            is_plan = False  # the other reader says what is wrong
        return plan_view(read_plan(path)) if is_plan else read_snapshot(path)
    form = _object(line).get("format")
    if form == JOURNAL:
        return _journal(path)
    try:
        return _collection(path) if form == COLLECTION else _report(path)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, RecursionError):
        raise UnreadableInputError(
            f"{path} is no snapshot, plan, journal, unfinished collection or JSON of a report; or "
            "it is damaged."
        ) from None


def plan_view(plan: Plan) -> View:
    """Show a plan: who changes and who does not, why, at what cost."""
    ways = plan.table("way")
    ways = ways[ways["way"] != "rule"]
    for name in set(ways.columns) - {"way", "users", "requests"}:
        ways = ways.assign(**{name: [lasting(one) for one in ways[name]]})
    explained = plan.as_dict()["explanation"]
    reasons = plan.table().sort_values("users", ascending=False)
    more = len(reasons) - _MOST_REASONS
    tally = plan.tally
    numbers = (
        f"{plan.changes:,} users change ({plan.share:.0%}), {tally.of(STAY):,} stay as they are, "
        f"{tally.of(CANNOT):,} cannot be changed."
    )
    return View(
        "plan",
        f"Plan {plan.id}: a default picture for {plan.tenant}",
        (
            f"{plan.effect()}.",
            numbers,
            f"picture: {plan.policy.picture}",
            f"way: {plan.way}; the first usable picture is shown: "
            + ", ".join((*plan.policy.order, "default")),
            f"made {_time(plan.made_at)}, from users of {_time(plan.taken_at)}",
            *(f"{name}: {words}" for name, words in explained.items()),
            *(f"note: {note}" for note in plan.notes),
            ("Who changes, and who does not", reasons.head(_MOST_REASONS)),
            *([f"and {plural(more, 'more reason')}"] if more > 0 else []),
            ("What each way would take, at the rates of Auth0's plans", ways),
            *plan.rules,
        ),
        plan.as_dict(),
    )


def _journal(path: Path) -> View:
    journal = read_journal(path)
    head = journal.header
    counts = {state: journal.count(state) for state in State if journal.count(state)}
    why = [(state, reason, users) for (state, reason), users in journal.reasons.items() if reason]
    steps = [str(one.get("step")) for one in journal.steps]
    # A step holds the code that stood there before: only its name is shown.
    parts: list[Part] = [
        f"of plan {head.plan}, through {head.way}",
        f"last written {_time(journal.last_written)}; "
        + (
            f"its last run ended: {journal.last_end}"
            if journal.last_end
            else "its last run did not end"
        ),
    ]
    if journal.incomplete_reason:
        parts.append(f"note: {journal.incomplete_reason}")
    if steps:
        parts += [f"{number}. {_STEPS.get(one, one)}" for number, one in enumerate(steps, 1)]
    if counts:
        rows = [(_words_of(head.kind, state), users) for state, users in counts.items()]
        parts.append(("What was done", pd.DataFrame(rows, columns=["users were", "users"])))
    if why:
        rows_why = [(_words_of(head.kind, state), reason, users) for state, reason, users in why]
        parts.append(("Why", pd.DataFrame(rows_why, columns=["users were", "because", "users"])))
    if not counts and not steps:
        parts.append("Nothing was begun.")
    return View(
        "journal",
        f"Journal: {head.kind} at {head.tenant}",
        tuple(parts),
        asdict(head)
        | {
            "ended": journal.last_end,
            "doubt": journal.incomplete_reason,
            "users": {state.value: users for state, users in counts.items()},
            "reasons": [
                {"state": state.value, "reason": reason, "users": users}
                for state, reason, users in why
            ],
            "steps": steps,
        },
    )


def _words_of(kind: str, state: State) -> str:
    return "put back" if (kind, state) == ("undo", State.DONE) else _WORDS[state]


def _collection(path: Path) -> View:
    documents = _documents(path)
    head = next(documents)
    method, begun = text(head["method"]), datetime.fromisoformat(text(head["taken_at"]))
    tenant, users, windows = text(head["tenant"]), 0, 0
    for document in documents:
        if "window" in document:
            windows += 1
            users += len(list(items(document["window"]["users"])))
        method = text(document.get("method", method))
    return View(
        "collection",
        f"Unfinished collection of {tenant}",
        (
            f"begun {_time(begun)}, by {method}",
            f"{plural(users, 'user')} read so far, in {plural(windows, 'part')}",
            "Run the same picture-audit collect to go on. To begin again, delete the file.",
        ),
        {
            "tenant": tenant,
            "taken_at": begun.isoformat(),
            "method": method,
            "users": users,
            "windows": windows,
        },
    )


def _report(path: Path) -> View:
    content = json.loads(path.read_bytes())
    origin = content.get("provenance", content)
    sources = [
        (text(name), count(one["users"]), f"{100 * float(one['share']):.1f} %")
        for name, one in content["sources"].items()
    ]
    parts: list[Part] = [
        f"{count(content['users']):,} users, read {_time(moment(origin['taken_at']))}",
        ("Where their pictures come from", _frame(sources, ["source", "users", "share"])),
    ]
    if found := content.get("findings"):
        rows = [
            (text(one["severity"]), count(one["users"]), text(one["title"]))
            for one in items(found["findings"])
        ]
        parts.append(("What is worth knowing", _frame(rows, ["severity", "users", "what"])))
    return View("report", f"Report about {text(origin['tenant'])}", tuple(parts), content)


def _documents(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the complete lines."""
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return  # the process was killed while writing it
            document = json.loads(line)
            if not isinstance(document, dict):
                raise TypeError("a line that is no object")
            yield document


def _object(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}  # a report begins with a line that is no document
    return found if isinstance(found, dict) else {}


def _frame(rows: list[Any], columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=columns)


def _time(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
