"""README, CONTRIBUTING and guides against the code: what they name exists, what they show works."""

import ast
import re
import shlex
import textwrap
import tomllib
from functools import cache
from importlib import import_module
from itertools import pairwise

import pytest
import typer.main

import toolkit
from tests.pages import GUIDES, PARTS, ROOT, made, modules, pages, rooms, storeys
from tests.shell import ran
from toolkit.change.scopes import SCOPES
from toolkit.classification.sources import Source, classify
from toolkit.cli import app
from toolkit.errors import PictureAuditError
from toolkit.sandbox.faults.catalogue import FAULTS
from toolkit.sandbox.server import Sandbox
from toolkit.tenant.credentials import Settings

PAGES = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in pages()}
TEXTS = [pytest.param(name, text, id=name) for name, text in PAGES.items()]
GUIDE = "notebooks/guides"
GROUP = typer.main.get_command(app)
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`([^`\n]+)`")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
# Commands of others that pages show; their own manuals say the rest.
OTHERS = ("pip install ", "uv sync", ".ci/run", "dask ")
OPTIONS_OF_OTHERS = {"--extra", "--group", "--nworkers", "--nthreads"}
# These serve until they are stopped; their own tests do that.
SERVERS = {"lab", "dashboard", "sandbox"}


def blocks(text, *kinds):
    """Return the code blocks of a page, those in lists too, without their indent."""
    return [textwrap.dedent(code) for _, kind, code in BLOCK.findall(text) if kind in kinds]


def prose(text):
    """Return a page without its code blocks."""
    return BLOCK.sub("", text)


def lines(text):
    """Return the lines of a page's shell blocks and the commands in its tables."""
    tables = re.findall(r"\| `((?:uv run|gunzip) .*?)` \|", text)
    shown = [line for code in blocks(text, "sh", "text") for line in code.splitlines()]
    return [line.strip() for line in (*shown, *(one.replace("\\|", "|") for one in tables))]


def command_of(words):
    """Return the name and the arguments of a `picture-audit` command line."""
    arguments = words[words.index("picture-audit") + 1 :]
    return arguments[0], arguments[1:]


def options_of(name):
    known = {option for one in GROUP.params for option in one.opts}
    return known | {option for one in GROUP.commands[name].params for option in one.opts}


def anchors(text):
    """Return the anchors that GitHub gives the headings of a page."""
    heads = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@cache
def names_in(path):
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    return {one.name for one in tree.body if isinstance(one, ast.FunctionDef)}


def section(text, title):
    return text.partition(f"## {title}\n")[2].partition("\n## ")[0]


# What is made from the code


def test_the_made_parts_are_what_the_code_says():
    for name, text in PAGES.items():
        assert text == made(text), f"{name}: run `uv run python -m tests.pages`"
    for part in PARTS:
        assert any(f"<!-- made: {part} -->" in text for text in PAGES.values()), part


def test_every_module_says_what_it_is():
    for name, words in modules().items():
        assert words.endswith((".", "?", "`")), f"{name}: its docstring begins with one whole line"


def test_every_room_and_file_stands_on_exactly_one_storey():
    on_storeys = [name for storey in storeys() for name in storey]
    named = {name.split(".")[1] for name in modules() if name != "toolkit"}
    assert sorted(on_storeys) == sorted(named), "put new rooms into [tool.importlinter]"


def test_every_room_and_every_storey_stands_in_the_architecture_page():
    text = section(PAGES[f"{GUIDE}/architecture.md"], "The rooms")
    assert {*re.findall(r"^\| `(toolkit/[\w/]+/)` \|", text, re.MULTILINE)} == {*rooms()}
    drawn = re.findall(r"^ ?(\d) +(.*)$", blocks(text, "text")[0], re.MULTILINE)
    numbers = [str(number) for number in range(len(storeys()), 0, -1)]
    assert [number for number, _ in drawn] == numbers
    for (_, line), storey in zip(drawn, storeys(), strict=True):
        assert re.findall(r"(\w+)(?:/|\.py)", line) == storey


# Commands


@pytest.mark.parametrize(("name", "text"), TEXTS)
def test_commands_in_blocks_and_tables_are_whole_and_right(name, text):
    for line in lines(text):
        words = shlex.split(line, comments=True)
        if "picture-audit" in words:
            command, arguments = command_of([one for one in words if one != "|"])
            with GROUP.make_context("picture-audit", ["report"], resilient_parsing=True) as above:
                GROUP.commands[command].make_context(command, arguments, parent=above).close()
        elif line.startswith("uv run"):
            assert_ours(words)


def assert_ours(words):
    """A command of this project's development: pytest and a file, or a module of the tests."""
    if "pytest" in words:
        assert all((ROOT / one).exists() for one in words if one.startswith("tests/"))
    elif "-m" in words:
        module = words[words.index("-m") + 1]
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module
    else:
        tools = {re.split(r"[>=\[]", one)[0] for one in _groups()} | {"lint-imports"}
        assert tools & set(words), words


def _groups():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    return [one for group in project["dependency-groups"].values() for one in group]


@pytest.mark.parametrize(("name", "text"), TEXTS)
def test_commands_and_options_in_prose_exist(name, text):
    everything = {option for command in GROUP.commands for option in options_of(command)}
    for code in CODE.findall(prose(text)):
        words = code.split()
        if code.startswith("--"):
            assert words[0].partition("=")[0] in everything | OPTIONS_OF_OTHERS, code
        elif "picture-audit" in words[:-1] and "|" not in code:
            command, arguments = command_of(words)
            given = {one for one in arguments if one.startswith("--") and "…" not in one}
            assert given <= options_of(command), code


def test_every_command_and_every_option_is_documented():
    told = "\n".join(PAGES.values())
    for command, what in GROUP.commands.items():
        assert f"picture-audit {command}" in told, command
        for option in (option for one in what.params for option in one.opts):
            if option.startswith("--") and option != "--help":
                assert re.search(rf"{option}(?![\w-])", told), f"{command} {option}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the sample tenant in it."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "data").symlink_to(ROOT / "data")
    return folder


@pytest.fixture(scope="module")
def tenant():
    users = [
        {"user_id": f"auth0|{n}", "created_at": f"2024-01-0{n}T00:00:00.000Z"}
        | {"identities": [{"connection": "people", "provider": "auth0", "user_id": str(n)}]}
        | {"picture": f"https://s.gravatar.com/avatar/{n:032x}?d=mp"}
        for n in range(1, 10)
    ]
    with Sandbox(users) as sandbox:
        yield sandbox.environment()


@pytest.mark.parametrize("name", [f"{GUIDE}/analysts.md", f"{GUIDE}/admins.md", "README.md"])
def test_what_a_page_shows_works_from_its_top_to_its_end(
    no_credentials, monkeypatch, folder, tenant, name, capsys
):
    """Shell and Python blocks; those of the README's tables have a test of their own."""
    monkeypatch.chdir(folder)
    for variable, value in tenant.items():
        monkeypatch.setenv(variable, value)
    for kind, code in [(kind, code) for _, kind, code in BLOCK.findall(PAGES[name])]:
        if kind == "python":
            exec(compile(textwrap.dedent(code), name, "exec"), {"__name__": "page"})
            assert capsys.readouterr().out.strip()
        for line in code.splitlines() if kind == "sh" else ():
            words = shlex.split(line)
            if words[:3] == ["uv", "run", "picture-audit"] and not SERVERS & {*words, "demo"}:
                answer = ran(line, tenant)
                assert answer.code == 0, (line, answer.stderr)


# Names


@pytest.mark.parametrize(("name", "text"), TEXTS)
def test_links_pictures_and_anchors_lead_somewhere(name, text):
    page = ROOT / name
    for alt, target in re.findall(r"(!?\[[^\]]*\])\(([^)\s]+)\)", prose(text)):
        path, _, anchor = target.partition("#")
        if path.startswith("https:"):
            continue
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        if name.startswith(GUIDE):
            # JupyterLab, opened in notebooks/, serves nothing from above it.
            assert found.is_relative_to(ROOT / "notebooks"), target
        if anchor:
            assert anchor in anchors(found.read_text("utf-8")), target
        if alt.startswith("!"):
            assert len(alt) > len("![]") + 20, f"{target}: say in words what it shows"


def test_every_guide_can_be_reached_from_the_readme():
    reached, seen = ["README.md"], set()
    while reached:
        name = reached.pop()
        seen.add(name)
        targets = re.findall(r"\]\(([^)#\s]+\.md)", prose(PAGES[name]))
        found = {((ROOT / name).parent / one).resolve() for one in targets if ":" not in one}
        names = {path.relative_to(ROOT).as_posix() for path in found}
        reached += [one for one in names & PAGES.keys() if one not in seen]
    assert {f"{GUIDE}/{path.name}" for path in GUIDES.glob("*.md")} <= seen


@pytest.mark.parametrize(("name", "text"), TEXTS)
def test_names_of_the_package_exist(name, text):
    for dotted in re.findall(r"\btoolkit((?:\.\w+)+)\b", text):
        if dotted.endswith((".js", ".py")):
            continue
        first, *rest = dotted.removeprefix(".").split(".")
        if not rest and first in toolkit.__all__:
            continue
        found = import_module(f"toolkit.{first}")
        for part in rest:
            found = getattr(found, part, None) or import_module(f"{found.__name__}.{part}")


@pytest.mark.parametrize(("name", "text"), TEXTS)
def test_paths_variables_and_scopes_exist(name, text):
    for path in re.findall(r"`((?:toolkit|tests|notebooks|data|\.ci)/[\w./-]*)`", text):
        assert (ROOT / path).exists(), path
    known = {f"AUTH0_{field.upper()}" for field in Settings.model_fields}
    sources = "".join(
        path.read_text("utf-8") for path in [*(ROOT / "tests").rglob("*.py"), ROOT / ".ci" / "run"]
    )
    for variable in re.findall(r"\bAUTH0_[A-Z_]+\b", text):
        assert variable in known
    for variable in re.findall(r"\bPICTURE_AUDIT_[A-Z_]+\b", text):
        assert variable in sources
    scopes = {scope for row in SCOPES for scope in row.every}
    for scope in re.findall(r"`((?:read|create|update|delete):\w+)`", text):
        assert scope in scopes


# What is proven


@pytest.mark.parametrize(("name", "text"), TEXTS)
def test_the_tests_that_are_named_exist(name, text):
    for path, test in TEST.findall(text):
        assert test in names_in(path), f"{path}::{test}"


def test_every_question_has_a_short_answer_and_a_test_that_shows_it():
    text = PAGES[f"{GUIDE}/what-if.md"]
    questions = text.split("\n### ")[1:]
    assert len(questions) >= 15
    for question in questions:
        head, _, answer = question.partition("\n")
        answer = answer.partition("\n## ")[0]
        assert head.endswith("?"), head
        assert TEST.search(answer), head
        assert len(TEST.sub("", answer).split()) <= 100, head


def test_every_fault_of_the_sandbox_is_in_the_reliability_tables_with_a_test():
    rows = re.findall(
        r"^\| `([\w-]+)` \| (.*?) \| .* \| (.*) \|$", PAGES[f"{GUIDE}/reliability.md"], re.MULTILINE
    )
    assert {name: what for name, what, _ in rows} == dict(FAULTS)
    assert all(TEST.search(shown) for *_, shown in rows)
    assert f"with {len(FAULTS)} faults" in PAGES["README.md"]


def test_other_rows_of_the_reliability_tables_name_a_test():
    part = section(PAGES[f"{GUIDE}/reliability.md"], "Faults that have no name")
    rows = [line for line in part.splitlines() if line.startswith("|")][2:]
    assert len(rows) > 10
    assert all(TEST.search(row) for row in rows)


def test_the_exit_codes_are_those_of_the_errors():
    table = section(PAGES[f"{GUIDE}/analysts.md"], "Exit codes")
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}
    assert codes == {0, 130} | {kind.exit_code for kind in family(PictureAuditError)}


def family(kind):
    yield kind
    for below in kind.__subclasses__():
        yield from family(below)


def test_a_provider_is_added_as_the_architecture_page_says(monkeypatch):
    """Its row of the rule table makes its row of the test pass, and nothing else does."""
    text = PAGES[f"{GUIDE}/architecture.md"].partition("## How to add a provider")[2]
    shape, row = (one.strip("+ \n") for one in blocks(text, "diff"))
    ((strategy, url, source, provider),) = [ast.literal_eval(shape.rstrip(","))]
    assert url in text.partition("```sh")[2].partition("```")[0]
    picture = import_module("toolkit.classification.sources")
    rule = eval(row.rstrip(","), vars(import_module("toolkit.classification.rules")))
    assert classify(url, strategy="auth0").source is Source.CUSTOM
    places = {host: (len(picture.RULES),) for host in rule.hosts}
    monkeypatch.setattr(picture, "RULES", (*picture.RULES, rule))
    monkeypatch.setattr(picture, "OF_HOST", picture.OF_HOST | places)
    found = classify(url, strategy=strategy)
    assert (found.source, found.provider) == (source, provider)
    assert classify(url, strategy="auth0").source == source


# CONTRIBUTING and CHANGELOG


def test_contributing_is_short_and_begins_with_the_tests():
    text = PAGES["CONTRIBUTING.md"]
    assert len(text.splitlines()) <= 60
    assert blocks(text, "sh")[0].startswith("uv run pytest")


def test_contributing_says_why_of_every_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = [one for extra in project["optional-dependencies"].values() for one in extra]
    for one in [*project["dependencies"], *extras]:
        assert f"`{re.split(r'[>=]', one)[0]}`" in PAGES["CONTRIBUTING.md"], one


def test_the_changelog_begins_with_this_version_and_goes_down():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    versions = re.findall(r"^## (\d+)\.(\d+)\.(\d+)", PAGES["CHANGELOG.md"], re.MULTILINE)
    assert ".".join(versions[0]) == project["version"]
    numbers = [tuple(map(int, version)) for version in versions]
    assert all(later > earlier for later, earlier in pairwise(numbers))
