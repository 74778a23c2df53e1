"""The table of scopes is what each command does with a token of just these scopes."""

import json
import re
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from typer.testing import CliRunner

from tests import pages
from tests.sandbox.conftest import person
from toolkit.change.scopes import SCOPES, Right, help_of, rights, rows_of, scopes_of
from toolkit.change.ways import Way
from toolkit.cli import app
from toolkit.sandbox.server import DEFAULT_SCOPES, Sandbox
from toolkit.snapshots.snapshot import read_snapshot

ROOT = Path(__file__).parents[2]
FIRST, SECOND = (f"https://assets.example.com/default-{name}.png" for name in "ab")
READING = [scope for scope in DEFAULT_SCOPES.split() if scope.startswith("read:")]
CASES = [(row, way) for row in SCOPES for way in row.ways]


class Answer(NamedTuple):
    code: int
    text: str


class Site:
    """A sandbox, and the command with tokens of it that may do just so much."""

    def __init__(self, sandbox, monkeypatch):
        self.sandbox, self._patch = sandbox, monkeypatch

    def token(self, *scopes):
        asked = {
            "grant_type": "client_credentials",
            "client_id": self.sandbox.client_id,
            "client_secret": self.sandbox.client_secret,
            "audience": f"{self.sandbox.base_url}/api/v2/",
            # Without any the sandbox gives all; of this one no change makes use.
            "scope": " ".join(scopes) or "read:rules",
        }
        return httpx.post(f"{self.sandbox.base_url}/oauth/token", json=asked).json()["access_token"]

    def run(self, *arguments, scopes=None):
        """Run a command; with all scopes unless these are named."""
        granted = DEFAULT_SCOPES.split() if scopes is None else scopes
        self._patch.setenv("AUTH0_DOMAIN", self.sandbox.base_url)
        self._patch.setenv("AUTH0_TOKEN", self.token(*granted))
        answer = CliRunner().invoke(app, [str(one) for one in arguments])
        if isinstance(answer.exception, SystemExit) or answer.exception is None:
            return Answer(answer.exit_code, answer.output)
        # As `main` ends it.
        return Answer(getattr(answer.exception, "exit_code", 99), str(answer.exception))

    def requests(self, *, writes=False):
        """Count the requests so far, but those for tokens; or only those that write."""
        counts = Counter()
        for (method, path, _), count in self.sandbox.requests.counts.items():
            if path != "/oauth/token" and not (writes and method == "GET"):
                counts[method, path] += count
        return counts

    def plan(self, way, picture, name):
        asked = ["--through", way, "--picture", picture, "--unseen", "--out", name]
        assert self.run("plan", "all.parquet", *asked).code == 0

    def apply(self, name):
        assert self.run("apply", name, *self.executed).code == 0

    @property
    def executed(self):
        return ["--execute", "--confirm", self.sandbox.domain, "--limit", "9"]


@pytest.fixture
def site(no_credentials, monkeypatch):
    """A tenant of three, with a snapshot in `all.parquet`."""
    with ExitStack() as stack:
        sandbox = stack.enter_context(Sandbox(person(number) for number in range(3)))
        one = Site(sandbox, monkeypatch)
        assert one.run("collect", "--out", "all.parquet").code == 0
        yield one


def ready(site, row, way):
    """Bring a tenant to where the command has something to do; return its arguments."""
    site.plan(way, FIRST, "first.plan")
    if row.command == "apply":
        return ["apply", "first.plan"]
    site.apply("first.plan")
    if row.command == "verify":
        return ["verify", "first.plan"]
    if row.case.endswith("before"):
        site.plan(way, SECOND, "second.plan")
        site.apply("second.plan")
        return ["undo", "second.plan.journal"]
    return ["undo", "first.plan.journal"]


def test_every_command_has_a_row_and_every_row_is_a_command():
    assert {row.command for row in SCOPES} == {one.name for one in app.registered_commands}


@pytest.mark.parametrize("command", dict.fromkeys(row.command for row in SCOPES))
def test_the_help_of_a_command_says_its_scopes(command, monkeypatch):
    monkeypatch.setenv("TERMINAL_WIDTH", "300")
    said = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "300"}).output
    named = set(re.findall(r"\b(?:read|create|update|delete):\w+", said))
    assert named == {scope for row in rows_of(command) for scope in row.every}
    assert ("Scopes: none." in said) is not bool(named)


def test_the_documentation_holds_the_table():
    assert any(pages.scopes() in page.read_text("utf-8") for page in pages.pages())


def test_the_sandbox_gives_all_these_scopes_and_no_other():
    assert {scope for row in SCOPES for scope in row.every} == set(DEFAULT_SCOPES.split())


def test_what_asks_no_tenant_needs_nothing():
    assert scopes_of("apply", Way.RULE).every == ()
    assert help_of("report") == "Scopes: none."
    with pytest.raises(KeyError):
        rows_of("nonsense")


def test_a_collection_needs_one_scope_and_says_what_it_misses_without_the_others(site):
    (row,) = rows_of("collect")
    before = site.requests()
    refused = site.run("collect", "--out", "no.parquet", scopes=row.extras)
    assert refused.code == 2
    assert "lacks read:users" in refused.text
    assert site.requests() == before
    assert not Path("no.parquet").exists()

    for lacking in row.extras:
        scopes = [scope for scope in row.every if scope != lacking]
        assert site.run("collect", "--out", "some.parquet", scopes=scopes).code == 0
        notes = read_snapshot("some.parquet").provenance.notes
        assert any(lacking in note for note in notes)

    assert site.run("collect", "--out", "whole.parquet", scopes=row.every).code == 0
    whole = read_snapshot("whole.parquet").provenance
    assert whole.wiring is not None
    assert not any("lacks" in note for note in whole.notes)


def test_a_refresh_needs_what_a_collection_needs(site):
    (row,) = rows_of("collect")
    again = ["collect", "--since", "all.parquet", "--out", "again.parquet"]
    assert site.run(*again, scopes=row.extras).code == 2
    assert site.run(*again, scopes=row.reads).code == 0


def test_a_plan_needs_nothing_and_says_that_it_guessed(site):
    (row,) = rows_of("plan")
    asked = ["--through", "root", "--picture", FIRST, "--unseen", "--format", "json"]
    for scopes, read in (((), False), (row.extras[:1], True), (row.every, True)):
        before = site.requests()
        answer = site.run("plan", "all.parquet", *asked, "--out", "a.plan", scopes=scopes)
        assert answer.code == 0, answer.text
        made = json.loads(answer.text[: answer.text.rindex("}") + 1])
        assert made["connections_read"] is read
        assert bool(site.requests() - before) is read


@pytest.mark.parametrize(("row", "way"), CASES, ids=lambda part: getattr(part, "case", part))
def test_a_change_works_with_its_scopes_and_writes_nothing_with_less(site, row, way):
    arguments = ready(site, row, way)
    executed = site.executed if row.writes else []
    needed = [*row.reads, *row.writes]

    for lacking in needed:
        before = site.requests()
        scopes = [scope for scope in needed if scope != lacking]
        answer = site.run(*arguments, *executed, scopes=scopes)
        assert answer.code == 2, answer.text
        assert f"lacks {lacking}" in answer.text
        assert site.requests() == before

    if row.writes:
        before = site.requests(writes=True)
        refused = site.run(*arguments, *executed, scopes=READING)
        assert refused.code == 2
        assert f"lacks {' '.join(row.writes)}" in refused.text
        rehearsed = site.run(*arguments, scopes=row.reads)
        assert rehearsed.code == 0, rehearsed.text
        assert f"lacks {' '.join(row.writes)}: --execute would not start" in rehearsed.text
        assert site.requests(writes=True) == before

    answer = site.run(*arguments, *executed, scopes=needed)
    assert answer.code == 0, answer.text
    # A request that the token may not make would have been refused.
    refused = [key for key in site.sandbox.requests.counts if key[2] == 403]
    assert refused == []


@pytest.mark.parametrize(
    ("row", "way"),
    [case for case in CASES if case[0].extras and case[1] is Way.ROOT],
    ids=lambda part: getattr(part, "case", part),
)
def test_a_rehearsal_says_that_it_guesses_where_it_may_not_read_connections(site, row, way):
    arguments = ready(site, row, way)
    guessed = site.run(*arguments, scopes=row.reads)
    assert "the token lacks read:connections" in guessed.text
    known = site.run(*arguments, scopes=[*row.reads, *row.extras])
    assert known.code == 0
    assert "read:connections" not in known.text


def test_a_token_is_asked_for_with_the_client_and_nothing_else(no_credentials, monkeypatch):
    """Auth0 takes no `scope` here: what a token holds is what its application was granted."""
    asked = []
    send = httpx.HTTPTransport.handle_request

    def noted(transport, request):
        if request.url.path == "/oauth/token":
            asked.append(httpx.QueryParams(request.read().decode()))
        return send(transport, request)

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", noted)
    with Sandbox([]) as sandbox:
        for name, value in sandbox.environment().items():
            monkeypatch.setenv(name, value)
        assert CliRunner().invoke(app, ["collect", "--out", "a.parquet"]).exit_code == 0
    assert [sorted(one) for one in asked] == [
        ["audience", "client_id", "client_secret", "grant_type"]
    ]


def test_what_a_token_may_do_is_said_with_the_scopes_that_it_lacks():
    reading = {"read:users", "read:actions", "read:rules", "read:flows", "read:event_streams"}
    assert rights(reading.__contains__) == (
        Right("read all users", ()),
        Right("see what else sets a picture", ()),
        Right("set a default picture by an Action", ("create:actions", "update:actions")),
        Right("write a picture into profiles", ("update:users",)),
    )


def test_of_a_token_that_does_not_tell_its_scopes_nothing_is_said():
    assert rights(lambda _: None) == ()
