"""The command as people run it: its output, its exit code, the files it leaves."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import NamedTuple, get_args

import httpx
import pytest

from toolkit import latest_snapshot
from toolkit.classification.schema import SNAPSHOT, to_frame
from toolkit.cli import _SEED, _USERS, Limits, app, main
from toolkit.errors import PictureAuditError, UnreadableInputError
from toolkit.sandbox.api.gate import PLANS
from toolkit.sandbox.faults.catalogue import FAULTS
from toolkit.sandbox.made_up.tenants import SEED, USERS, loadable, people
from toolkit.sandbox.server import Sandbox
from toolkit.snapshots.snapshot import Provenance, Snapshot, read_snapshot

COMMAND = [sys.executable, "-W", "error", "-c", "from toolkit.cli import main; main()"]


class Answer(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def run(no_credentials, monkeypatch, capfd):
    """Run the command in an empty folder with only the credentials that are given."""

    def run(*arguments, environment=None, text=""):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["picture-audit", *map(str, arguments)])
            patch.setattr(sys, "stdin", TextIOWrapper(BytesIO(text.encode()), encoding="utf-8"))
            for name, value in (environment or {}).items():
                patch.setenv(name, value)
            capfd.readouterr()
            try:
                main()
                code = 0
            except SystemExit as end:
                code = end.code or 0
        return Answer(code, *capfd.readouterr())

    return run


@pytest.fixture
def sandbox():
    with Sandbox(map(loadable, people(300))) as sandbox:
        yield sandbox


def failed(answer, code):
    """Say in one or two lines on stderr what is wrong, and nothing on stdout."""
    assert answer.returncode == code, answer.stderr
    assert answer.stdout == ""
    assert answer.stderr.startswith("Error: ")
    assert len(answer.stderr.splitlines()) <= 2
    assert "Traceback" not in answer.stderr
    return answer.stderr


def test_demo_adds_up_and_writes_what_it_says(run, tmp_path):
    answer = run("demo", "--users", "1000")
    assert answer.returncode == 0, answer.stderr
    assert "Where the pictures of 1,000 users come from" in answer.stdout
    assert "complete, reconciled" in answer.stdout
    folder = tmp_path / "out" / "demo"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["demo"]
    summary = json.loads((folder / "coverage.json").read_text())
    assert summary["complete"] is True
    assert sum(one["users"] for one in summary["sources"].values()) == summary["users"] == 1000
    found = read_snapshot(folder / "snapshot.parquet").coverage()
    assert found.users == 1000
    # Its own sandbox answers for Gravatar, so that a first run ends with an answer.
    assert found.own.high - found.own.low < 20
    assert (folder / "report.html").read_text().startswith("<!doctype html>")


def test_demo_with_the_same_seed_finds_the_same(run, tmp_path):
    for name in ("one", "two"):
        assert run("demo", "--users", 400, "--seed", 7, "--out", name).returncode == 0
    one, two = (read_snapshot(tmp_path / name / "snapshot.parquet") for name in ("one", "two"))
    assert one.users.equals(two.users)


def test_a_demo_of_nobody_is_a_demo(run):
    answer = run("demo", "--users", 0)
    assert answer.returncode == 0, answer.stderr
    assert "0 users" in answer.stdout


def test_collect_and_coverage_on_a_tenant(run, sandbox, tmp_path):
    answer = run(
        "collect", "--out", "t.parquet", "--method", "search", environment=sandbox.environment()
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == ""
    assert "300 users" in answer.stderr
    assert len(read_snapshot(tmp_path / "t.parquet")) == 300
    for by in ("source", "connection", "provider", "cohort", "activity"):
        table = json.loads(run("coverage", "t.parquet", "--by", by, "--format", "json").stdout)
        groups = table["sources"] if by == "source" else table["groups"]
        assert sum(group["users"] for group in groups.values()) == 300
        assert run("coverage", "t.parquet", "--by", by).returncode == 0
    rows = run("coverage", "t.parquet", "--format", "csv").stdout.splitlines()
    assert rows[0] == "source,users,share"


def test_collect_without_a_file_writes_a_new_one_each_time(run, sandbox, tmp_path):
    domain = sandbox.base_url.removeprefix("http://")
    for number in (1, 2):
        answer = run("collect", environment=sandbox.environment())
        assert answer.returncode == 0, answer.stderr
        files = sorted(tmp_path.glob("out/*/*"))
        assert len(files) == number
    assert {path.parent.name for path in files} == {domain.replace(":", "-")}
    assert all(len(read_snapshot(path)) == 300 for path in files)
    assert str(latest_snapshot(domain).path) in answer.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_collection_without_a_file_goes_on_with_the_same_command(
    run, tmp_path, number
):
    made_up = [loadable(person) for person in people(2500)]
    command = [*COMMAND, "collect", "--method", "search"]
    with Sandbox(made_up, plan="free") as slow:
        process = subprocess.Popen(
            command, env=os.environ | slow.environment(), stderr=subprocess.PIPE, text=True
        )
        with process:
            until = time.monotonic() + 120
            while not any(b'"window"' in path.read_bytes() for path in tmp_path.rglob("*.part")):
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.01)
            process.send_signal(number)
            said = process.stderr.read()
        if number != signal.SIGKILL:
            assert process.returncode == (130 if number == signal.SIGINT else 143)
            assert "To go on: picture-audit collect --method search" in said
    (state,) = tmp_path.rglob("*.part")
    port = slow.base_url.rpartition(":")[2]
    with Sandbox(made_up, port=int(port)) as sandbox:
        answer = run("collect", "--method", "search", environment=sandbox.environment())
    assert answer.returncode == 0, answer.stderr
    assert "continued an interrupted collection" in answer.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [state.with_suffix("")]


def test_nobody_replaces_another_tenants_snapshot_without_force(run, sandbox, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(Path.cwd() / "data"))
    Path("users.ndjson").write_text('{"user_id": "auth0|1", "picture": null}', encoding="utf-8")
    environment = sandbox.environment()
    assert run("collect", "--out", "s.parquet", environment=environment).returncode == 0
    with Sandbox([{"user_id": "auth0|9"}]) as other:
        Path("theirs").mkdir()
        assert run("collect", "--out", "o.parquet", environment=other.environment()).returncode == 0
        kept = Path("o.parquet").read_bytes()
        shutil.copy("o.parquet", "theirs/snapshot.parquet")
        for arguments in (
            ["collect", "--out", "o.parquet"],
            ["collect", "--out", "o.parquet", "--method", "export"],
            ["collect", "--out", "o.parquet", "--since", "s.parquet"],
            ["collect", "--out", "n.parquet", "--redact", "o.parquet"],
            ["ingest", "users.ndjson", "--out", "o.parquet"],
            ["ingest", "users.ndjson", "--out", "m.parquet", "--redact", "o.parquet"],
            ["redact", "s.parquet", "--out", "o.parquet"],
            ["demo", "--users", "10", "--out", "theirs"],
        ):
            answer = run(*arguments, environment=environment)
            assert answer.returncode == 2, arguments
            assert "another tenant" in answer.stderr
            assert "--force" in answer.stderr
            assert "Traceback" not in answer.stderr
            assert Path("o.parquet").read_bytes() == kept
            assert Path("theirs/snapshot.parquet").read_bytes() == kept
            assert not list(Path().rglob("*.part"))
            forced = run(*arguments, "--force", environment=environment)
            assert forced.returncode == 0, (arguments, forced.stderr)
            Path("o.parquet").write_bytes(kept)
            Path("theirs/snapshot.parquet").write_bytes(kept)
        # One's own is replaced as ever, and made-up people by made-up people.
        assert run("collect", "--out", "o.parquet", environment=other.environment()).returncode == 0
    assert run("demo", "--users", "10").returncode == 0
    assert run("demo", "--users", "10").returncode == 0


def test_a_token_does_instead_of_a_client(run, sandbox):
    answer = httpx.post(
        f"{sandbox.base_url}/oauth/token",
        json={
            "grant_type": "client_credentials",
            "client_id": sandbox.client_id,
            "client_secret": sandbox.client_secret,
            "audience": f"{sandbox.base_url}/api/v2/",
        },
    )
    token = answer.json()["access_token"]
    environment = {"AUTH0_DOMAIN": sandbox.base_url, "AUTH0_TOKEN": token}
    assert run("collect", "--out", "t.parquet", environment=environment).returncode == 0


def test_without_a_tenant_it_says_how_to_name_one(run):
    assert "AUTH0_DOMAIN" in failed(run("collect", "--out", "t.parquet"), 2)


def test_a_wrong_secret_is_one_line_without_the_secret(run, sandbox):
    environment = sandbox.environment() | {"AUTH0_CLIENT_SECRET": "canary-secret"}
    said = failed(run("collect", "--out", "t.parquet", environment=environment), 2)
    assert "AUTH0_CLIENT_SECRET" in said
    assert "canary" not in said


def test_a_wrong_token_is_one_line_without_the_token(run, sandbox):
    environment = {"AUTH0_DOMAIN": sandbox.base_url, "AUTH0_TOKEN": "canary-token"}
    said = failed(run("collect", "--out", "t.parquet", environment=environment), 2)
    assert "AUTH0_TOKEN" in said
    assert "canary" not in said


def test_a_missing_scope_is_named(run):
    with Sandbox([], scopes="read:connections") as sandbox:
        said = failed(run("collect", "--out", "t.parquet", environment=sandbox.environment()), 2)
    assert "read:users" in said


def test_an_unreachable_tenant_is_one_line(run, sandbox):
    environment = sandbox.environment()
    sandbox.stop()
    said = failed(run("collect", "--out", "t.parquet", environment=environment), 2)
    assert "does not answer" in said


@pytest.mark.parametrize(
    "domain", ["http://tenant.example", "a b", "tenant_1.example", "ftp://tenant.example", "bo@"]
)
def test_a_domain_that_is_no_host_name_is_refused(run, domain):
    environment = {"AUTH0_DOMAIN": domain, "AUTH0_TOKEN": "canary"}
    said = failed(run("collect", "--out", "t.parquet", environment=environment), 2)
    assert "AUTH0_DOMAIN" in said
    assert "such as tenant.eu.auth0.com" in said


def test_a_place_that_cannot_be_written_is_said_before_anything_is_read(run, sandbox, tmp_path):
    (tmp_path / "file").write_text("")
    answer = run("collect", "--out", "file/t.parquet", environment=sandbox.environment())
    assert "Cannot write" in failed(answer, 2)
    assert sandbox.requests.total == 0
    assert "Cannot write" in failed(run("demo", "--out", "file"), 2)


def test_what_is_no_snapshot_is_said_to_be_none(run, tmp_path):
    (tmp_path / "x.parquet").write_text("x")
    assert "x.parquet" in failed(run("coverage", "x.parquet"), 2)
    assert "does not exist" in failed(run("coverage", "nothing.parquet"), 2)


def test_a_place_is_never_asked_for_with_an_option_that_the_command_has_not(run, sandbox, tmp_path):
    environment = sandbox.environment()
    assert run("collect", "--out", "d/s.parquet", environment=environment).returncode == 0
    (tmp_path / "link.parquet").symlink_to(tmp_path / "d" / "s.parquet")
    (tmp_path / "d.parquet").mkdir()
    for arguments in (["probe", "d.parquet", "--all", "--yes"], ["coverage", "d.parquet"]):
        assert "--out" not in failed(run(*arguments, environment=environment), 2)


def test_a_copy_to_share_is_written_with_the_snapshot_or_afterwards(run, sandbox, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(Path.cwd() / "data"))
    environment = sandbox.environment()
    collected = ["collect", "--out", "s.parquet", "--redact", "r.parquet"]
    assert run(*collected, environment=environment).returncode == 0
    again = run("redact", "s.parquet", "--out", "again.parquet")
    other = run("redact", "s.parquet", "--out", "other.parquet", "--key-file", "k.key")
    assert (again.returncode, other.returncode) == (0, 0), again.stderr + other.stderr
    assert "again.parquet" in again.stdout
    first, second, third = (read_snapshot(f"{name}.parquet") for name in ("r", "again", "other"))
    assert first.users.equals(second.users)
    assert first.provenance.redacted == second.provenance.redacted != third.provenance.redacted
    table = run("coverage", "r.parquet", "--format", "csv").stdout
    assert table == run("coverage", "s.parquet", "--format", "csv").stdout
    assert run("compare", "r.parquet", "again.parquet").returncode == 0
    assert "same key" in failed(run("compare", "r.parquet", "other.parquet"), 2)


def test_a_redacted_copy_takes_the_place_of_nothing_that_is_needed(run, sandbox):
    for arguments in (
        ["collect", "--out", "s.parquet", "--redact", "./s.parquet"],
        ["ingest", "users.ndjson", "--out", "s.parquet", "--redact", "users.ndjson"],
        ["redact", "s.parquet", "--out", "k.key", "--key-file", "k.key"],
    ):
        answer = run(*arguments, environment=sandbox.environment())
        assert "named twice" in failed(answer, 2)
    assert not Path("k.key").exists()


def test_exports_are_redacted_as_they_are_read(run, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(Path.cwd() / "data"))
    Path("users.ndjson").write_text(
        '{"user_id": "auth0|1", "name": "Bo", "email": "b@example.com", "picture": null}',
        encoding="utf-8",
    )
    ingested = ["ingest", "users.ndjson", "--out", "s.parquet", "--redact", "r.parquet"]
    assert run(*ingested).returncode == 0
    assert len(read_snapshot("r.parquet")) == 1
    assert b"b@example.com" not in Path("r.parquet").read_bytes()


def test_nothing_that_has_to_find_people_takes_a_redacted_snapshot(run, sandbox, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(Path.cwd() / "data"))
    environment = sandbox.environment()
    collected = ["collect", "--out", "s.parquet", "--redact", "r.parquet"]
    assert run(*collected, environment=environment).returncode == 0
    picture = ["--picture", "https://assets.example.com/x.png", "--through", "root"]
    before = sandbox.requests.total
    for arguments in (
        ["probe", "r.parquet", "--all", "--yes"],
        ["probe", "r.parquet", "--pictures", "--sample", "3", "--yes"],
        ["plan", "r.parquet", *picture, "--out", "a.plan"],
        ["redact", "r.parquet", "--out", "x.parquet"],
    ):
        said = failed(run(*arguments, environment=environment), 2)
        assert "redacted" in said
        assert len(said.splitlines()) == 1
    assert sandbox.requests.total == before
    refreshed = ["collect", "--since", "r.parquet", "--out", "t.parquet"]
    assert "redacted" in failed(run(*refreshed, environment=environment), 2)


def test_a_copy_that_cannot_be_written_is_said_before_anything_is_read(run, sandbox, tmp_path):
    (tmp_path / "file").write_text("")
    asked = ["collect", "--out", "s.parquet", "--redact", "file/r.parquet"]
    assert "Cannot write" in failed(run(*asked, environment=sandbox.environment()), 2)
    assert sandbox.requests.total == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--order", "own,gravatar"], "There is no step 'gravatar' in an order: choose among over"),
        (["--order", ""], "There is no step '' in an order"),
        (["--order", "own,own"], "The order own,own names a step twice"),
        (["--order", "elsewhere"], "Name it, too: elsewhere,own"),
        (["--order", "own", "--override"], "leave out --override and --elsewhere"),
        (["--order", "own", "--elsewhere"], "leave out --override and --elsewhere"),
    ],
)
def test_an_order_that_cannot_be_meant_is_said_in_a_line(run, options, said):
    Path("one.ndjson").write_text('{"user_id": "auth0|1", "picture": null}', encoding="utf-8")
    assert run("ingest", "one.ndjson", "--out", "s.parquet").returncode == 0
    picture = ["--picture", "https://assets.example.com/x.png", "--through", "action", "--unseen"]
    told = failed(run("plan", "s.parquet", *picture, "--out", "a.plan", *options), 2)
    assert said in told
    assert len(told.splitlines()) == 1
    assert not Path("a.plan").exists()


def test_undo_takes_a_canary_as_apply_does(run, sandbox):
    environment = sandbox.environment()
    picture = ["--picture", "https://assets.example.com/x.png", "--through", "root", "--unseen"]
    meant = ["--execute", "--confirm", sandbox.domain]
    for arguments in (
        ["collect", "--out", "s.parquet"],
        ["plan", "s.parquet", *picture, "--out", "a.plan"],
        ["apply", "a.plan", *meant, "--canary", "3"],
    ):
        answer = run(*arguments, environment=environment)
        assert answer.returncode == 0, answer.stderr
    refused = run("undo", "a.plan.journal", "--canary", "-1", environment=environment)
    assert refused.returncode == 2
    before = sandbox.requests.total
    # Reads that settle nobody: those of the canary. --sample reads back one of them at the end.
    undone = ["undo", "a.plan.journal", *meant, "--limit", "7", "--sample", "1", "--canary"]
    assert run(*undone, "4", environment=environment).returncode == 1
    assert sandbox.requests.total - before == 1 + 2 * 7 + 4 + 1  # a token first


def test_what_is_no_table_has_no_form_as_csv(run):
    for arguments in (["apply", "a.plan"], ["verify", "a.plan"], ["undo", "a.plan.journal"]):
        assert run(*arguments, "--format", "csv").returncode == 2


def test_a_traceback_is_shown_only_when_asked_for(run):
    for arguments in (["--debug", "coverage", "x.parquet"], ["coverage", "x.parquet", "--debug"]):
        with pytest.raises(UnreadableInputError):
            run(*arguments)


def test_a_file_is_read_with_names_of_its_own_into_a_new_snapshot(run):
    Path("people.csv").write_text(
        "key,foto\nauth0|1,https://cdn.auth0.com/avatars/ab.png\n", encoding="utf-8"
    )
    given = ["--map", "user_id=key", "--map", "picture=foto"]
    answer = run("ingest", "people.csv", *given)
    assert answer.returncode == 0, answer.stderr
    (written,) = Path("out/people").glob("*.parquet")
    assert f"Snapshot  {written}" in answer.stderr
    assert "user_id from key" in answer.stderr
    assert "picture from foto" in answer.stderr
    for wrong in ("picture", "picture=", "=foto"):
        assert "NAME=COLUMN" in failed(run("ingest", "people.csv", "--map", wrong), 2)


def test_wrong_usage_exits_with_2(run):
    for arguments in (["coverage"], ["ingest"], ["nonsense"], ["coverage", "x", "--by", "moon"]):
        assert run(*arguments).returncode == 2


def test_explain_gives_one_object_a_line_and_the_reason_in_words(run):
    url = "https://lh3.googleusercontent.com/a/x=s96-c"
    one = json.loads(run("explain", url).stdout)
    assert (one["source"], one["provider"], one["evidence"]) == ("social", "google-oauth2", "url")
    assert "Google" in one["reason"]
    users = [json.dumps({"user_id": f"auth0|{n}", "picture": url}) for n in range(3)]
    lines = run("explain", "-", text="\n".join(users)).stdout.splitlines()
    assert [json.loads(line)["user_id"] for line in lines] == ["auth0|0", "auth0|1", "auth0|2"]


def test_explain_names_the_line_that_it_cannot_read(run):
    answer = run("explain", "-", text='{"user_id": "auth0|1"}\nnonsense\n')
    assert answer.returncode == 2
    assert "line 2" in answer.stderr
    assert len(answer.stdout.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_sandbox_announces_itself_and_serves_until_it_is_stopped(tmp_path, number):
    users = tmp_path / "users.ndjson"
    users.write_text('{"user_id": "auth0|1"}\n{"user_id": "auth0|2"}\n')
    command = [*COMMAND, "sandbox", "--load", str(users), "--plan", "free"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        announced = json.loads(server.stdout.readline())
        server.send_signal(number)
        assert server.wait(60) == 0
    assert {"base_url", "domain", "client_id", "client_secret", "users"} <= announced.keys()
    assert announced["users"] == 2


def test_a_file_of_users_that_cannot_be_read_is_said_with_its_line(run, tmp_path):
    (tmp_path / "users.ndjson").write_text('{"user_id": "auth0|1"}\n[1]\n')
    assert "line 2" in failed(run("sandbox", "--load", "users.ndjson"), 2)


def test_every_error_has_an_exit_code():
    def family(kind):
        yield kind
        for below in kind.__subclasses__():
            yield from family(below)

    assert {kind.exit_code for kind in family(PictureAuditError)} == {1, 2}


def test_every_command_has_a_help_text(run):
    listed = run("--help").stdout
    for command in app.registered_commands:
        name = command.name or command.callback.__name__
        assert name in listed
        assert run(name, "--help").returncode == 0


def test_as_a_process_it_ends_with_the_same_output_and_code(tmp_path, no_credentials):
    command = [*COMMAND, "coverage", "nothing.parquet"]
    ended = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=180, check=False
    )
    failed(Answer(ended.returncode, ended.stdout, ended.stderr), 2)


def test_what_the_command_says_of_a_sandbox_is_what_the_sandbox_has():
    assert list(get_args(Limits)) == list(PLANS)
    assert (_USERS, _SEED) == (USERS, SEED)


def test_a_sandbox_says_what_each_fault_does(run):
    said = run("sandbox", "--help").stdout
    for name in FAULTS:
        assert f"{name}: " in said


def test_help_imports_only_what_it_shows():
    script = (
        "import sys\n"
        "from toolkit.cli import app\n"
        "app(['--help'], standalone_mode=False)\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    modules = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stderr
    for heavy in ("pandas", "numpy", "pyarrow", "duckdb", "matplotlib", "starlette", "auth0"):
        assert f"'{heavy}'" not in modules


@pytest.mark.parametrize("closed", [1, 2])
@pytest.mark.parametrize(("arguments", "code"), [(["--version"], 0), (["coverage", "nothing"], 2)])
def test_who_closed_the_output_gets_the_same_exit_code(closed, arguments, code, tmp_path):
    ended = subprocess.run(
        [*COMMAND, *arguments],
        cwd=tmp_path,
        preexec_fn=lambda: os.close(closed),
        check=False,
    )
    assert ended.returncode == code


@pytest.mark.parametrize("output", ["table", "csv", "json"])
def test_coverage_by_what_was_not_exported_says_so(run, tmp_path, output):
    path = tmp_path / "snapshot.parquet"
    facts = Provenance("t.example", datetime.now(UTC), "ingest", True, 0, 1, 0, 1.0, False, "0")
    told = replace(facts, absent=("last_login",))
    Snapshot(told, to_frame(SNAPSHOT.empty_table())).write(path)
    answer = run("coverage", str(path), "--by", "activity", "--format", output)
    sentence = "The users were exported without last_login: last logins are not known."
    assert (answer.returncode, answer.stderr) == (0, f"{sentence}\n")
    if output == "json":
        assert json.loads(answer.stdout)["notes"] == [sentence]
    assert run("coverage", str(path), "--format", output).stderr == ""


def test_conform_says_what_it_would_do_and_asks_nothing_until_somebody_agrees(run, sandbox):
    answer = run("conform", environment=sandbox.environment())
    assert answer.returncode == 0, answer.stderr
    for words in ("9 made-up users", "create:users", "delete:users", "add --yes"):
        assert words in answer.stdout
    assert sandbox.requests.total == 0


def test_conform_prints_every_fact_and_writes_a_recording(run, tmp_path):
    with Sandbox(map(loadable, people(60))) as sandbox:
        answer = run("conform", "--yes", "--format", "json", environment=sandbox.environment())
        assert answer.returncode == 0, answer.stderr
        assert json.loads(answer.stdout)["counts"]["differs"] == 0
        assert "9 made-up users removed. Recording: out/conform.ndjson" in answer.stderr
        assert len((tmp_path / "out" / "conform.ndjson").read_text().splitlines()) > 60
        cleaned = run("conform", "--clean", environment=sandbox.environment())
        assert cleaned.stdout == "0 made-up users removed.\n"
        assert sandbox.user_count == 60


def test_conform_at_a_tenant_of_many_users_needs_to_be_told(run, sandbox):
    told = failed(run("conform", "--yes", environment=sandbox.environment()), 2)
    assert "more than 100 users" in told


def test_explain_speaks_in_words_where_they_are_asked_for(run):
    answer = run("explain", "https://cdn.auth0.com/avatars/bo.png", "--format", "words")
    assert answer.stdout == "initials: Auth0's own initials image\n"
    assert json.loads(run("explain", "https://cdn.auth0.com/avatars/bo.png").stdout)["source"]


def test_collect_and_ingest_say_in_json_what_they_wrote(run, sandbox):
    collected = ["collect", "--out", "s.parquet", "--format", "json"]
    told = json.loads(run(*collected, environment=sandbox.environment()).stdout)
    assert (told["path"], told["users"], told["complete"]) == ("s.parquet", 300, True)
    Path("users.ndjson").write_text('{"user_id": "auth0|1", "picture": null}', encoding="utf-8")
    answer = run("ingest", "users.ndjson", "--out", "i.parquet", "--format", "json")
    told = json.loads(answer.stdout)
    assert (told["path"], told["sources"]["missing"]["users"]) == ("i.parquet", 1)


def test_demo_report_and_redact_say_in_json_what_they_wrote(run):
    told = json.loads(run("demo", "--users", "60", "--out", "d", "--format", "json").stdout)
    files = [told["snapshot"], told["report"]]
    assert (told["users"], told["complete"], told["sources"].keys() > {"social"}) == (
        60,
        True,
        True,
    )
    made = json.loads(run("report", files[0], "--out", "r.html", "--format", "json").stdout)
    assert made == {"report": "r.html", "json": "r.json"}
    copied = ["redact", files[0], "--out", "c.parquet", "--key-file", "k.key"]
    assert json.loads(run(*copied, "--format", "json").stdout) == {"redacted": "c.parquet"}
    assert all(Path(one).is_file() for one in (*files, *made.values(), "c.parquet"))


PLAN = ["--picture", "https://images.example/new.png", "--unseen", "--through", "root"]


def test_every_kind_of_file_is_shown_by_its_content(run, sandbox, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(Path.cwd() / "state"))
    environment = sandbox.environment()
    assert run("collect", "--out", "s", environment=environment).returncode == 0
    made = run("plan", "s", *PLAN, "--out", "p", environment=environment)
    assert made.returncode == 0, made.stderr
    domain = sandbox.base_url.removeprefix("http://")
    confirmed = ["--execute", "--confirm", domain]
    assert run("apply", "p", "--yes", *confirmed, environment=environment).returncode == 0
    assert run("undo", "p.journal", *confirmed, environment=environment).returncode == 0
    assert run("report", "s", "--out", "r.html").returncode == 0
    changed = Path("p.journal").read_text(encoding="utf-8").count('"before":')
    assert changed
    for name, kind, words in (
        ("s", "snapshot", ("Snapshot of", "300 users", "See a picture of their own")),
        ("p", "plan", ("Plan ", "people see another picture", "Who changes", "each way")),
        ("p.journal", "journal", ("Journal: apply", "changed", str(changed), "complete")),
        ("p.journal.undo", "journal", ("Journal: undo", "put back", str(changed))),
        ("r.json", "report", ("Report about", "300 users", "What is worth knowing")),
    ):
        answer = run("show", name)
        assert answer.returncode == 0, answer.stderr
        assert all(word in answer.stdout for word in words), answer.stdout
        shown = run("show", name, "--format", "json").stdout
        assert json.loads(shown)["kind"] == kind
        assert "auth0|" not in answer.stdout + shown
    # What `plan` printed is what stands in its file.
    assert run("show", "p").stdout in made.stdout
    rows = run("plan", "s", *PLAN, "--out", "q", "--format", "csv").stdout.splitlines()
    assert rows[0] == "outcome,reason,users"
    assert sum(int(row.rpartition(",")[2]) for row in rows[1:]) == 300


def test_an_unfinished_collection_is_shown_without_its_users(run):
    head = {"format": "auth0-picture-audit collection", "version": 1, "tenant": "t.example"}
    lines = [
        head | {"method": "search", "taken_at": "2026-11-01T10:00:00+00:00"},
        {"window": {"query": "", "span": None, "users": [["auth0|1"], ["auth0|2"]]}},
        {"method": "export"},
    ]
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    Path("s.part").write_text(text + '{"window', encoding="utf-8")
    answer = run("show", "s.part")
    for words in ("Unfinished collection of t.example", "2 users read so far", "by export"):
        assert words in answer.stdout
    assert "auth0|" not in answer.stdout
    content = json.loads(run("show", "s.part", "--format", "json").stdout)["content"]
    assert content["users"] == 2
    for number, change in enumerate(("taken_at", "tenant", "method")):
        damaged = [lines[0] | {change: [number]}, *lines[1:]]
        broken = "".join(f"{json.dumps(line)}\n" for line in damaged)
        Path("s.part").write_text(broken, encoding="utf-8")
        assert "s.part is no snapshot" in failed(run("show", "s.part"), 2)


@pytest.mark.parametrize(
    "text", ["", "x", "{}", "[]", "null", '{"sources": 1}', "[" * 9999, "PAR1"]
)
def test_what_is_no_file_of_ours_is_said_to_be_none(run, text):
    Path("x").write_text(text, encoding="utf-8")
    assert "x is " in failed(run("show", "x"), 2)
    assert "cannot be read" in failed(run("show", "nothing"), 2)
    assert "cannot be read" in failed(run("show", "."), 2)


def test_an_unexpected_error_is_one_line(run, monkeypatch):
    def fails(_):
        raise KeyError("canary")

    monkeypatch.setattr("toolkit.read_snapshot", fails)
    said = failed(run("coverage", "x"), 2)
    assert said == "Error: Unexpected error (KeyError). Run with --debug and report it.\n"


def test_a_port_that_is_taken_says_what_to_do(run, sandbox):
    port = sandbox.base_url.rpartition(":")[2]
    said = failed(run("sandbox", "--users", 1, "--port", port), 2)
    assert f"port {port}" in said
    assert "--port" in said
