"""The parts of the pages that are made from the code: `uv run python -m tests.pages`.

A made part stands between `<!-- made: NAME -->` and `<!-- end of NAME -->`. A test holds every
page to what is made here.
"""

import ast
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.sandbox.replay import MEASURED, total
from toolkit.change.scopes import SCOPES
from toolkit.change.ways import CEILINGS, EXPLANATIONS, Way, seconds
from toolkit.classification.sources import ON_WORD, RULES, Source

ROOT = Path(__file__).parent.parent
GUIDES = ROOT / "notebooks" / "guides"

_DASH = "\u2013"


def pages() -> list[Path]:
    """Return every page that people read, README first."""
    named = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    return [*named, ROOT / "data" / "README.md", *sorted(GUIDES.glob("*.md"))]


def made(text: str) -> str:
    """Return a page with its made parts as the code has them now."""
    for name, make in PARTS.items():
        part = re.compile(rf"(<!-- made: {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        text = part.sub(lambda found, make=make: f"{found[1]}\n{make()}\n{found[2]}", text)
    return text


def rooms() -> list[str]:
    """Return the folders of the package that hold modules, as paths: `toolkit/change/`."""
    found = sorted(path.parent for path in (ROOT / "toolkit").rglob("__init__.py"))
    return [f"{path.relative_to(ROOT).as_posix()}/" for path in found[1:]]


def storeys() -> list[list[str]]:
    """Return the storeys of pyproject.toml from the top down, each with its rooms and files."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    layers = next(one["layers"] for one in contracts if one["type"] == "layers")
    return [re.findall(r"toolkit\.(\w+)", layer) for layer in layers]


def modules() -> dict[str, str]:
    """Return the first line of the docstring of every module, by its dotted name."""
    found = {}
    for path in sorted((ROOT / "toolkit").rglob("*.py")):
        name = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        words = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
        found[name.removesuffix(".__init__")] = words.partition("\n")[0]
    return found


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _code(text: str) -> str:
    """Write code as a cell of a table."""
    escaped = text.replace("|", "\\|")
    return f"`{escaped}`" if text else ""


def _sources() -> str:
    rows = [[_code(source), source.meaning] for source in Source]
    return _table(["source", "what the person's picture is"], rows)


def _rules() -> str:
    rows = [
        [
            str(number),
            " ".join(map(_code, rule.hosts)),
            *map(_code, (rule.path, rule.source, rule.provider or "")),
            rule.why,
            rule.seen,
        ]
        for number, rule in enumerate(RULES, 1)
    ]
    return _table(
        ["", "host, or any below it", "path begins with", "source", "provider", "why", "seen"], rows
    )


def _on_word() -> str:
    return f"{', '.join(map(_code, sorted(ON_WORD)))}\n"


def scopes() -> str:
    """Return the table of scopes; commands that need nothing share its last row."""
    rows = []
    for row in SCOPES:
        if row.every:
            name = f"{_code(row.command)}{f' ({row.case})' if row.case else ''}"
            named = [", ".join(map(_code, some)) for some in (row.reads, row.writes, row.extras)]
            rows.append([name, *(cell or _DASH for cell in (*named, row.without))])
    rest = ", ".join(_code(row.command) for row in SCOPES if not row.every)
    return _table(
        ["command", "scopes", "also with `--execute`", "also, if granted", "without those"],
        [*rows, [rest, "none", *[_DASH] * 3]],
    )


def _ways() -> str:
    blocks = []
    for way, told in EXPLANATIONS.items():
        facts = {
            "What changes": told.changes,
            "Where it shows": told.shows,
            "For whom": told.whom,
            "From when": told.when,
            "How long": told.lasts,
            "Undo": told.undo,
        }
        lines = "".join(f"- {what}: {words}\n" for what, words in facts.items())
        blocks.append(f"**{_code(way)}**\n\n{lines}")
    return "\n".join(blocks)


def _ceilings() -> str:
    rows = [
        [plan, f"{rate:.1f}", f"{seconds(Way.ROOT, 1_000_000, plan) / 3600:,.0f} hours"]
        for plan, rate in CEILINGS.items()
    ]
    return _table(["Auth0's plan", "writes a second", "a million profiles take"], rows)


def _measured() -> dict[str, Any]:
    return dict(json.loads(MEASURED.read_text("utf-8")))


def _recordings() -> str:
    """How like the recordings the sandbox answers, one row for each endpoint."""
    endpoints = _measured()["endpoints"]
    rows = [
        [name if name == "**all**" else _code(name), str(one["recorded"]), *_shares(one)]
        for name, one in {**endpoints, "**all**": total(endpoints)}.items()
    ]
    head = (
        "endpoint, recorded, replayed, same status, nothing extra or mistyped, same keys and types"
    )
    return _table([*head.split(", "), "errors verbatim"], rows)


def _shares(one: Mapping[str, int]) -> list[str]:
    replayed, errors = one.get("replayed", 0), one.get("errors", 0)
    facts = ("same status", "nothing wrong", "same shape")
    shares = [f"{one[fact] / replayed:.1%}" if replayed else _DASH for fact in facts]
    return [str(replayed), *shares, f"{one['same errors']} of {errors}" if errors else _DASH]


def _left_out() -> str:
    rows = [[_code(name), str(many), told] for name, told, many in _measured()["left"]]
    return _table(["endpoint", "times", "what is left, and why"], rows)


PARTS = {
    "recordings": _recordings,
    "left out": _left_out,
    "sources": _sources,
    "rules": _rules,
    "on word": _on_word,
    "scopes": scopes,
    "ways": _ways,
    "ceilings": _ceilings,
}


if __name__ == "__main__":
    for page in pages():
        page.write_text(made(page.read_text("utf-8")), "utf-8")
