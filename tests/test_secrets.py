"""No secret ends up anywhere: everything is run with a canary, then every byte is looked at."""

import base64
import copy
import gzip
import json
import os
import pickle
import re
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar, NamedTuple
from urllib.parse import quote, quote_plus

import nbformat
import pyarrow.parquet as pq
import pytest
from nbclient import NotebookClient

from toolkit.cli import app
from toolkit.errors import CredentialsError
from toolkit.sandbox.api import jobs, tokens
from toolkit.sandbox.made_up import tenants
from toolkit.sandbox.made_up.tenants import loadable, people
from toolkit.sandbox.server import Sandbox
from toolkit.tenant.client import connect
from toolkit.tenant.credentials import Settings
from toolkit.tenant.models import Job

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# With signs that are written differently in addresses, in JSON and in base64.
CANARY = 'kanarien/vogel+"secret"=%s&'
WRONG = CANARY % "wrong-0d5e1f"
PICTURE = "https://assets.example.com/avatars/default-2026.png"
OURS = ("wrong", "people.ndjson")
# Runs each line {"argv", "environment", "stdin", "to"} as the command, in a process of its own
# that has everything imported already, and logs all that anybody wants to log.
PROGRAM = """
import json, logging, os, sys
import toolkit.change.apply_plan, toolkit.change.prepare, toolkit.change.undo_journal
import toolkit.change.verify_plan, toolkit.collection.exports.cluster, toolkit.launch.demo_run
import toolkit.sandbox.conformance.conform_run
import toolkit.collection.exports.ingest_files, toolkit.snapshots.comparison
import toolkit.probing.snapshot_probe, toolkit.reporting.terminal, toolkit.snapshots.redaction
from toolkit.cli import main

for line in sys.stdin:
    task = json.loads(line)
    child = os.fork()
    if child == 0:
        os.environ.update(task["environment"])
        for number, name in ((1, "stdout"), (2, "stderr")):
            kind = os.O_WRONLY | os.O_CREAT
            os.dup2(os.open(f"{task['to']}.{name}", kind, 0o600), number)
        os.dup2(os.open(task["stdin"], os.O_RDONLY), 0)
        sys.stdin = open(0)
        sys.argv = ["picture-audit", *task["argv"]]
        logging.basicConfig(level=logging.DEBUG)
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    print(child, flush=True)
    sys.stdin.readline()  # until then the process id is the child's, even after its end
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
# What a notebook must not show either, even where somebody asks for all that there is.
CURIOUS = """\
%xmode Verbose
import toolkit.tenant.credentials, toolkit.tenant.client
settings = toolkit.tenant.credentials.read_settings()
print(settings, repr(settings), settings.model_dump(), settings.__dict__)
tenant = toolkit.open_tenant()
print(tenant, repr(tenant))
tenant"""
REFUSED = """\
import os
os.environ["AUTH0_CLIENT_SECRET"] = open("../../wrong").read()
toolkit.open_tenant()"""


class Ended(NamedTuple):
    code: int
    stdout: str
    stderr: str


class Runner:
    """Runs commands in a folder and keeps what they say beside it."""

    def __init__(self, base: Path) -> None:
        self.work, self.said = base / "work", base / "said"
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=self.work,
            text=True,
        )

    def __call__(self, *argv, environment, stdin=os.devnull, stop=None, with_=signal.SIGKILL):
        """Run a command with `--debug`; send it a signal once `stop()` is true."""
        to = self.said / f"{len(list(self.said.iterdir())):03}-{argv[0]}"
        task = {"argv": ["--debug", *map(str, argv)], "environment": environment}
        task |= {"stdin": str(stdin), "to": str(to)}
        print(json.dumps(task), file=self._process.stdin, flush=True)
        child = int(self._process.stdout.readline())
        if stop is not None:
            until = time.monotonic() + 120
            while not stop(to):
                assert time.monotonic() < until
                time.sleep(0.01)
            os.kill(child, with_)
        print("wait", file=self._process.stdin, flush=True)
        code = int(self._process.stdout.readline())
        return Ended(
            code,
            *(Path(f"{to}.{name}").read_text(encoding="utf-8") for name in ("stdout", "stderr")),
        )

    def close(self):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


class Loud(BaseHTTPRequestHandler):
    """A tenant that repeats to its client all that it was sent, in every way it can."""

    protocol_version = "HTTP/1.1"
    status, body, refuses = 400, "{}", False
    answered: ClassVar[list[str]] = []

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["content-length"])).decode())

    def do_GET(self):
        self.answer("")

    def answer(self, sent):
        echo = json.dumps(f"{self.headers} {sent}")
        if self.path == "/oauth/token" and not self.refuses:
            status, body = 200, json.dumps({"access_token": self.token, "expires_in": 9})
        else:
            status, body = self.status, self.body.replace("ECHO", echo)
            self.answered.append(self.path)
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@contextmanager
def loud(**ways):
    handler = type("Handler", (Loud,), ways)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Everything(NamedTuple):
    """What one run of everything has left.

    Attributes:
        base: the folder of all files.
        secrets: what must be in none of them.
        asked: the addresses of all requests that the tenant got.
        ended: how each command ended, by its name.
    """

    base: Path
    secrets: list[str]
    asked: list[str]
    ended: dict[str, Ended]


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """Run every command once, those that fail too, and both notebooks."""
    base = tmp_path_factory.mktemp("canary")
    for name in ("work", "said", "jupyter"):
        (base / name).mkdir()
    (base / "wrong").write_text(WRONG)
    secrets, asked, ended = [CANARY % "right-77ab30", WRONG], [], {}
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        _noted(patch, secrets, asked)
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
            patch.setenv(name, str(base / "jupyter" / name))
        for name in ("DOMAIN", "CLIENT_ID", "CLIENT_SECRET", "TOKEN"):
            patch.delenv(f"AUTH0_{name}", raising=False)
        patch.setenv("XDG_DATA_HOME", str(base / "work" / "data"))
        patch.setenv("XDG_CACHE_HOME", str(base / "work" / "cache"))
        sandbox = stack.enter_context(
            Sandbox(
                # A picture that is null cannot be put back, so its user would be left alone.
                (
                    one
                    for one in map(loadable, people(200))
                    if '"picture": null' not in json.dumps(one)
                ),
                client_secret=secrets[0],
                actions=tenants.ACTIONS,
                rules=tenants.RULES,
            )
        )
        run = Runner(base)
        stack.callback(run.close)
        ended |= _works(run, sandbox)
        ended |= _fails(run, sandbox, secrets)
        for name, value in sandbox.environment().items():
            patch.setenv(name, value)
        _notebooks(base)
    return Everything(base, secrets, asked, ended)


def _noted(patch, secrets, asked):
    """Note every token and every signed link that sandboxes give out, and every address."""
    issue, sign, build = tokens.Tokens._issue, jobs.Links._signature, Sandbox._application

    def issued(self, *about):
        answer = issue(self, *about)
        # The signature is what a token is worth; the rest of it is public.
        secrets.append(answer["access_token"].rpartition(".")[2])
        return answer

    def signed(self, *about):
        secrets.append(sign(self, *about))
        return secrets[-1]

    def built(self, store):
        application = build(self, store)

        async def noting(scope, receive, send):
            asked.append(f"{scope['path']}?{scope['query_string'].decode()}")
            await application(scope, receive, send)

        return noting

    patch.setattr(tokens.Tokens, "_issue", issued)
    patch.setattr(jobs.Links, "_signature", signed)
    patch.setattr(Sandbox, "_application", built)


def _works(run, sandbox):
    """Run what works, in the order in which people would; all of it must."""
    environment = sandbox.environment()
    work, ended = run.work, {}
    (run.work.parent / "people.ndjson").write_text("\n".join(map(json.dumps, sandbox.users())))
    people_file = run.work.parent / "people.ndjson"
    executed = ["--execute", "--confirm", sandbox.domain, "--limit", "999"]

    def ok(name, *argv, **how):
        ended[name] = run(*argv, environment=environment, **how)
        assert ended[name].code == 0, (name, ended[name].stderr[-3000:])

    def killed(name, *argv, part):
        state = work / "out" / "k.parquet.part"
        noted = lambda _: state.exists() and part in state.read_bytes()  # noqa: E731 - of one line
        ended[name] = run(*argv, "--rate", 4, environment=environment, stop=noted)
        shutil.copy(state, work / "out" / f"{name}.part")
        ok(f"{name} again", *argv)

    shot = ["collect", "--out", "out/k.parquet", "--method"]
    ok(
        "search",
        "collect",
        "--method",
        "search",
        "--out",
        "out/s.parquet",
        "--redact",
        "out/r.parquet",
    )
    ok("export", "collect", "--method", "export", "--out", "out/e.parquet")
    killed("search killed", *shot, "search", part=b"taken_at")
    killed("export killed", *shot, "export", part=b"job")
    ok("refresh", "collect", "--since", "out/s.parquet", "--out", "out/t.parquet")
    ok("ingest", "ingest", people_file, "--out", "out/i.parquet", "--redact", "out/ir.parquet")
    ok("sample", "probe", "out/s.parquet", "--sample", "20", "--yes")
    ok("all", "probe", "out/s.parquet", "--all", "--yes")
    ok("pictures", "probe", "out/s.parquet", "--pictures", "--sample", "10", "--yes")
    ok("findings", "findings", "out/s.parquet", "--format", "json", "--unmasked")
    ok("coverage", "coverage", "out/s.parquet", "--by", "connection")
    ok("compare", "compare", "out/e.parquet", "out/t.parquet", "--format", "json")
    ok("report", "report", "out/s.parquet", "--out", "out/report.html", "--personal")
    ok("explain", "explain", "-", stdin=people_file)
    ok("redact", "redact", "out/s.parquet", "--out", "out/c.parquet", "--key-file", "out/my.key")
    for way in ("root", "metadata", "action", "rule"):
        plan = f"out/{way}.plan"
        asked = ["--picture", PICTURE, "--through", way, "--out", plan, "--unseen"]
        ok(f"plan {way}", "plan", "out/s.parquet", *asked)
        if way != "rule":
            ok(f"rehearse {way}", "apply", plan)
            ok(f"apply {way}", "apply", plan, *executed)
            ok(f"verify {way}", "verify", plan)
            ok(f"undo {way}", "undo", f"{plan}.journal", *executed)
    ok("conform", "conform", "--yes", "--anyway", "--format", "json")
    ok("demo", "demo", "--users", "100", "--out", "out/demo")
    ok(
        "sandbox",
        *("sandbox", "--users", "10"),
        stop=lambda to: Path(f"{to}.stdout").exists() and Path(f"{to}.stdout").stat().st_size,
        with_=signal.SIGTERM,
    )
    return ended


def _fails(run, sandbox, secrets):
    """Run what cannot work, with a tenant that repeats what it was sent; none of it may."""
    right, ended = sandbox.environment(), {}
    token = f"{'e' * 30}.canary+token/{'f' * 30}"
    secrets.append(token)

    def fail(name, environment, *argv):
        argv = argv or ("collect", "--out", "out/never.parquet")
        ended[name] = run(*argv, environment=environment)
        assert ended[name].code == 1, (name, ended[name])  # a traceback, as with --debug
        assert "Traceback" in ended[name].stderr

    fail("wrong secret", right | {"AUTH0_CLIENT_SECRET": WRONG})
    fail("wrong domain", right | {"AUTH0_DOMAIN": "http://127.0.0.1:9"})
    fail("wrong token", right | {"AUTH0_TOKEN": token})
    fail("torn token", right | {"AUTH0_TOKEN": f"{token}\nX: {token}"})
    fail("address", right | {"AUTH0_DOMAIN": f"https://{quote(WRONG)}@tenant.example"})
    with Sandbox([], client_secret=secrets[0], scopes="read:rules") as poor:
        fail("no scope", poor.environment())
    some = [loadable(person) for person in people(20)]
    with Sandbox(some, client_secret=secrets[0], faults=["job-truncated-always"]) as torn:
        exported = ["collect", "--method", "export", "--out", "out/never.parquet"]
        fail("torn export", torn.environment(), *exported)
    for name, ways in {
        "token refused": {"refuses": True, "status": 403, "body": '{"error_description": ECHO}'},
        "no token": {"refuses": True, "status": 200, "body": '{"access_token": ECHO}'},
        "400": {"status": 400, "body": '{"message": ECHO, "errorCode": ECHO}'},
        "401": {"status": 401, "body": '{"message": ECHO}'},
        "403": {"status": 403, "body": '{"message": ECHO}'},
        "broken": {"status": 200, "body": '{"users": [ECHO'},
        "no page": {"status": 200, "body": "[ECHO]"},
    }.items():
        with loud(token=token, **ways) as address:
            fail(name, right | {"AUTH0_DOMAIN": address})
    # It goes on for minutes, so somebody interrupts it.
    refused = []
    with loud(token=token, status=429, body='{"message": ECHO}', answered=refused) as address:
        argv = ("collect", "--out", "out/never.parquet")
        environment = right | {"AUTH0_DOMAIN": address}
        ended["busy"] = run(
            *argv,
            environment=environment,
            stop=lambda _: len(refused) > 1,
            with_=signal.SIGINT,
        )
        assert ended["busy"].code, ended["busy"]
    return ended


def _notebooks(base):
    """Run the cells of both notebooks, and those of somebody curious, in one kernel."""
    folder = base / "work" / "notebooks"
    folder.mkdir()
    first, *others = (nbformat.read(path, as_version=4) for path in NOTEBOOKS)
    codes = [cell.source for one in others for cell in one.cells if cell.cell_type == "code"]
    first.cells += [nbformat.v4.new_code_cell(code) for code in (*codes, CURIOUS, REFUSED)]
    first.cells[-1].metadata["tags"] = ["raises-exception"]
    NotebookClient(first, timeout=120, resources={"metadata": {"path": folder}}).execute()
    nbformat.write(first, base / "notebooks.ipynb")
    assert first.metadata["widgets"]


def forms(secret):
    """Yield how a secret may be written."""
    raw = secret.encode()
    yield raw
    for written in (quote(secret), quote(secret, safe=""), quote_plus(secret), json.dumps(secret)):
        yield written.strip('"').encode()
    yield raw.hex().encode()
    for begin in range(3):
        # Of base64 the middle, which does not depend on what stands before and behind.
        coded = base64.b64encode(b"\0" * begin + raw)[4 : 4 + (len(raw) + begin) // 3 * 4 - 8]
        yield coded
        yield coded.translate(bytes.maketrans(b"+/", b"-_"))


def contents(path):
    """Yield what is in a file, as it lies there and as it is meant."""
    data = path.read_bytes()
    yield data
    if data[:2] == b"\x1f\x8b":
        yield gzip.decompress(data)
    if data[:4] == b"PAR1":
        table = pq.read_table(path)
        yield repr(table.to_pydict()).encode() + repr(table.schema.metadata).encode()
    if path.suffix == ".ipynb":
        yield repr(json.loads(data)).encode()


def files(everything):
    return [path for path in everything.base.rglob("*") if path.is_file() and path.name not in OURS]


@pytest.mark.filterwarnings("ignore::DeprecationWarning:zmq|jupyter_client|nbclient")
def test_no_secret_is_in_anything_that_was_written_or_said(everything):
    wanted = {form: secret for secret in everything.secrets for form in forms(secret)}
    assert min(map(len, wanted)) >= 12
    assert len(everything.secrets) > 40
    looked = files(everything)
    assert len(looked) > 100
    for path in looked:
        for content in contents(path):
            for form in wanted:
                assert form not in content, (path.name, content.partition(form)[0][-80:])


def test_no_header_with_a_token_is_in_anything_either(everything):
    for path in files(everything):
        for content in contents(path):
            assert not re.search(
                rb"(?i)bearer |authorization['\"]?\s*[:,]|Key-Pair-Id=", content
            ), path


def test_no_secret_is_in_any_address_that_was_asked_for(everything):
    assert any("/users?" in address for address in everything.asked)
    # The links to exports are signed in their address, by the tenant: Auth0 does that.
    own = [address for address in everything.asked if "Signature=" not in address]
    assert len(own) < len(everything.asked)
    for address in own:
        for secret in everything.secrets:
            assert not any(form.decode() in address for form in forms(secret))


def test_the_secret_of_a_sandbox_stands_in_its_first_line_only(everything):
    first, *rest = everything.ended["sandbox"].stdout.splitlines()
    secret = json.loads(first)["client_secret"]
    assert not rest
    for path in files(everything):
        count = path.read_bytes().count(secret.encode())
        assert count == (path.name.endswith("-sandbox.stdout")), path


def test_no_option_takes_a_secret():
    """What is typed stands in the list of processes, and in the shell's history."""
    import typer  # noqa: PLC0415 - only here

    for command in typer.main.get_command(app).commands.values():
        for parameter in command.params:
            if getattr(parameter, "is_flag", False):
                continue  # it takes no value
            assert not re.search("secret|token|password", " ".join(parameter.opts))


def test_every_file_is_its_owners_and_so_is_every_folder_that_was_made(everything):
    work = everything.base / "work"
    made = [path for path in work.rglob("*") if "notebooks" not in path.parts]
    assert len([path for path in made if path.is_file()]) > 20
    for path in made:
        mode = stat.S_IMODE(path.stat().st_mode)
        # Where other programs keep theirs, too.
        if path.name in ("cache", "data") or "matplotlib" in path.parts:
            continue
        assert mode == (0o700 if path.is_dir() else 0o600), (path.relative_to(work), oct(mode))


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_git_ignores_every_file_that_holds_people_or_secrets(everything):
    work = everything.base / "work"
    names = {
        ".env",
        "tenant.parquet",
        ".tenant.parquet.picture-audit-0a1b2c3d",
        "tenant.parquet.part",
    }
    names |= {"tenant.parquet.part.gz", "default.plan", ".default.plan.picture-audit-0a1b2c3d"}
    names |= {"default.plan.journal", "default.plan.journal.undo", "redaction.key"}
    names |= {
        "users.csv",
        "tenant.json.gz",
        "users.ndjson",
        ".tenant.parquet.picture-audit-parts-0a1b/1.parquet",
        ".report.html.picture-audit-0a1b2c3d",
    }
    names |= {str(path.relative_to(work)) for path in (work / "out").rglob("*") if path.is_file()}
    for name in sorted(names):
        asked = ["git", "check-ignore", "--quiet", "--no-index", name]
        assert subprocess.run(asked, cwd=ROOT, check=False).returncode == 0, name


def test_nothing_that_holds_a_secret_can_be_pickled_or_shows_it():
    secret, token = CANARY % "object", "t0ken-canary"
    settings = Settings(
        domain="http://127.0.0.1:9", client_id="x", client_secret=secret, _env_file=None
    )
    holder = settings.model_copy(update={"token": Settings(token=token, _env_file=None).token})
    tenant_of = [settings, holder, copy.copy(settings)]
    for one in tenant_of:
        shown = f"{one!r}{one}{one.model_dump()}{one.model_dump_json()}{vars(one)}"
        assert secret not in shown
        assert token not in shown
        with pytest.raises(TypeError, match="credentials"):
            pickle.dumps(one)
    with Sandbox([], client_secret=secret) as sandbox:
        real = Settings(
            domain=sandbox.base_url,
            client_id=sandbox.client_id,
            client_secret=secret,
            _env_file=None,
        )
        with connect(real) as tenant:
            assert secret not in f"{tenant!r}{tenant}{vars(tenant)}"
            with pytest.raises(TypeError):
                pickle.dumps(tenant)
        wrong = real.model_copy(
            update={"client_secret": Settings(client_secret=WRONG, _env_file=None).client_secret}
        )
        with pytest.raises(CredentialsError) as refused:
            connect(wrong)
    error = refused.value
    assert WRONG.encode() not in pickle.dumps(error)
    assert WRONG not in f"{error!r}{vars(error)}{error.__cause__!r}"
    assert "Signature" not in repr(Job("job_1", "completed", 100, "https://x/?Signature=abc"))
