"""What depends on the system: on Windows as far as it can be tried here, locks, consoles, names.

`tests/windows.py` says what the first tests pretend, and what they cannot show.
"""

import ast
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import matplotlib as mpl
import pytest

import toolkit
from tests.conftest import ROOT
from tests.windows import REFUSED
from toolkit import system
from toolkit.cli import app
from toolkit.sandbox.made_up.tenants import loadable, people
from toolkit.sandbox.server import Sandbox

DATA = ROOT / "data" / "users.ndjson.gz"
NEW = "https://images.example/new.png"
USERS = 120


class Windows:
    """A process that runs commands as if this were Windows; see `tests/windows.py`."""

    def __init__(self, folder, **environment):
        environment = {
            "PYTHONPATH": str(ROOT),
            "PYTHONUTF8": "0",
            "PYTHONWARNDEFAULTENCODING": "1",
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_DATA_HOME": str(folder / "data"),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "MPLCONFIGDIR": mpl.get_cachedir(),  # making it anew takes seconds
            **environment,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.windows"],
            cwd=folder,
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def start(self, *arguments):
        self.process.stdin.write(json.dumps([*map(str, arguments)]).encode() + b"\n")
        self.process.stdin.flush()

    def answer(self):
        """Return the exit code of the command that was started, and what it printed, as bytes."""
        told = []
        threading.Thread(target=lambda: told.append(_until_nul(self.process.stderr))).start()
        printed, _, code = _until_nul(self.process.stdout).rpartition(b"\n")
        while not told:
            time.sleep(0.001)
        return int(code), printed, told[0]

    def run(self, *arguments, code=0):
        self.start(*arguments)
        found, printed, told = self.answer()
        assert found == code, (arguments, found, printed, told)
        assert b"Traceback" not in told
        return printed, told.decode("ascii", "replace")


def _until_nul(stream):
    read = bytearray()
    while (one := stream.read(1)) not in {b"\0", b""}:
        read += one
    return bytes(read)


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(map(loadable, people(USERS))) as sandbox:
        yield sandbox


@pytest.fixture
def folder(tmp_path, no_credentials):
    return tmp_path


def plan(through="root", out="a.plan"):
    new = ("--picture", NEW, "--unseen", "--through", through)
    return ("plan", "s.parquet", *new, "--out", out)


def changing(sandbox, kind, file):
    agreed = ["--yes"] if kind == "apply" else []
    return (kind, file, "--execute", "--confirm", sandbox.domain, "--canary", "0", *agreed)


def test_a_whole_round_works_as_on_windows(folder, sandbox):
    environment = sandbox.environment()
    with Windows(folder, **environment, PYTHONIOENCODING="cp1252") as windows:
        for exports in ([DATA], [DATA, DATA]):  # then everybody twice
            windows.run("ingest", *exports, "--out", "i.parquet")
        windows.run("demo", "--users", "30")
        windows.run("collect")
        for method in ("search", "export", "export"):
            windows.run("collect", "--out", "s.parquet", "--method", method)
        windows.run("collect", "--since", "s.parquet", "--out", "s.parquet")
        for by in ("source", "connection"):
            windows.run("coverage", "s.parquet", "--by", by)
        sheet, _ = windows.run("coverage", "s.parquet", "--format", "csv")
        assert sheet.startswith(b"source,users,share\r\n")
        windows.run("probe", "s.parquet", "--all", "--yes")
        windows.run("findings", "s.parquet")
        windows.run("compare", "s.parquet", "i.parquet", "--anyway")
        windows.run("report", "s.parquet", "--out", "r.html")
        windows.run("redact", "s.parquet", "--out", "shared.parquet")
        windows.run("redact", "i.parquet", "--out", "shared.parquet", "--force")
        windows.run(*plan())
        windows.run("apply", "a.plan")
        windows.run(*changing(sandbox, "apply", "a.plan"))
        windows.run("verify", "a.plan")
        windows.run("undo", "a.plan.journal")
        windows.run(*changing(sandbox, "undo", "a.plan.journal"))
        windows.run(*plan("action", "b.plan"))
        windows.run(*changing(sandbox, "apply", "b.plan"))
        windows.run("verify", "b.plan")
        windows.run(*changing(sandbox, "undo", "b.plan.journal"))
        assert not [one for one in files_in(folder) if one.name.endswith(".lock")]
    for one in files_in(folder):
        assert not REFUSED.fullmatch(one.name), one
        assert not one.name.startswith("."), one


def test_the_sandbox_serves_and_ends_as_on_windows(folder):
    with Windows(folder) as windows:
        windows.start("sandbox", "--users", "10", "--tls")
        told = json.loads(windows.process.stdout.readline())
        assert told["users"] == 10
        windows.process.send_signal(signal.SIGINT)
        code, _, said = windows.answer()
        assert code == 0, said


def files_in(folder):
    return [one for one in folder.rglob("*") if one.is_file()]


def test_of_two_runs_one_is_refused_and_a_killed_one_goes_on_as_on_windows(folder, sandbox):
    environment = sandbox.environment()
    with Windows(folder, **environment) as first, Windows(folder, **environment) as second:
        first.run("collect", "--out", "s.parquet")
        first.run(*plan())
        second.run("apply", "a.plan")  # so that it has imported everything
        apply = changing(sandbox, "apply", "a.plan")
        first.start(*apply, "--rate", "2")
        journal, until = Path("a.plan.journal"), time.monotonic() + 120
        while not journal.exists() or journal.read_bytes().count(b'"done"') < 2:
            assert time.monotonic() < until
            time.sleep(0.01)
        _, told = second.run(*apply, code=2)
        assert "Another process" in told
        first.process.kill()
        first.process.wait()
        printed, _ = second.run(*apply)
        assert b"users changed" in printed
        second.run("verify", "a.plan")
        second.run(*changing(sandbox, "undo", "a.plan.journal"))


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "cp437"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=["cp437", "ascii"],
)
def test_what_commands_print_fits_in_every_encoding(folder, sandbox, environment):
    encoding = environment.get("PYTHONIOENCODING", "ascii")
    name = "Zoë 王 🦊"
    user = {"user_id": "auth0|1", "name": name, "picture": None}
    Path("u.ndjson").write_text(json.dumps(user) + "\n", "utf-8")
    with Windows(folder, **sandbox.environment(), **environment) as windows:
        windows.run("ingest", "u.ndjson", "--out", "u.parquet")
        windows.run("collect", "--out", "s.parquet")
        table, _ = windows.run("coverage", "s.parquet")
        assert ("█" if encoding == "cp437" else "#") * 5 in table.decode(encoding)
        for arguments in (
            ["coverage", "s.parquet", "--by", "connection"],
            ["coverage", "s.parquet", "--format", "csv"],
            ["coverage", "s.parquet", "--format", "json"],
            ["findings", "s.parquet"],
            ["findings", "s.parquet", "--format", "csv"],
            ["compare", "u.parquet", "s.parquet", "--anyway"],
            ["explain", "https://cdn.auth0.com/avatars/zo%C3%AB.png"],
            plan(),
            ["apply", "a.plan"],
            *([one.name or one.callback.__name__, "--help"] for one in app.registered_commands),
            ["--help"],
        ):
            printed, _ = windows.run(*arguments)
            assert printed
            if "csv" not in arguments:
                # Click takes ASCII for a mistake, and writes UTF-8.
                printed.decode("utf-8" if encoding == "ascii" else encoding)
        _, told = windows.run(
            "coverage", "Zo\xeb.parquet" if encoding == "cp437" else "Zo.", code=2
        )
        assert "Zo" in told


def test_a_lock_is_held_by_one_and_leaves_no_file(tmp_path):
    place = tmp_path / "a.lock"
    with system.locked(place):
        assert system.is_locked(place)
        assert place.stat().st_mode & 0o777 == 0o600
        with pytest.raises(BlockingIOError), system.locked(place):
            pass
        assert system.is_locked(place)
    assert not system.is_locked(place)
    assert not [*tmp_path.iterdir()]


def test_a_lock_that_was_left_behind_locks_nobody_out(tmp_path):
    place = tmp_path / "a.lock"
    place.touch()
    assert not system.is_locked(place)
    assert not place.exists()
    place.touch()
    with system.locked(place):
        pass
    assert not system.is_locked(tmp_path / "no folder" / "a.lock")


def test_a_lock_can_be_waited_for(tmp_path):
    place, begun, ended = tmp_path / "a.lock", threading.Event(), threading.Event()

    def hold():
        with system.locked(place):
            begun.set()
            assert not ended.wait(0.3)

    thread = threading.Thread(target=hold)
    thread.start()
    begun.wait()
    with system.locked(place, wait=True):
        ended.set()
    thread.join()


def test_where_a_file_is_open_for_a_moment_it_is_replaced_a_little_later(tmp_path, monkeypatch):
    (draft := tmp_path / "draft").write_bytes(b"new")
    refusals, pauses = iter([PermissionError(), PermissionError()]), []
    replace = Path.replace

    def refusing(*paths):
        for error in refusals:
            raise error
        replace(*paths)

    monkeypatch.setattr(Path, "replace", refusing)
    monkeypatch.setattr(system.time, "sleep", pauses.append)
    with pytest.raises(PermissionError):
        system.take_place(draft, tmp_path / "file")
    monkeypatch.setattr(system, "_IS_WINDOWS", True)
    system.take_place(draft, tmp_path / "file")
    assert len(pauses) == 1
    assert (tmp_path / "file").read_bytes() == b"new"
    refusals = iter([PermissionError()] * 10)
    with pytest.raises(PermissionError):
        system.take_place(tmp_path / "file", tmp_path / "other")


def test_no_link_is_followed_also_where_the_system_cannot_refuse_it(tmp_path, monkeypatch):
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("theirs", "utf-8")
    link.symlink_to(file)
    for name in ("O_CLOEXEC", "O_NOFOLLOW"):
        with pytest.raises(OSError, match="symbolic link"):
            system.private_opener(str(link), os.O_WRONLY | os.O_TRUNC)
        monkeypatch.delattr(os, name)
    with pytest.raises(OSError, match="symbolic link"):
        system.private_opener(str(link), os.O_WRONLY | os.O_TRUNC)
    assert file.read_text("utf-8") == "theirs"


def test_bytes_for_who_only_reads_files_are_kept_in_a_file_where_there_is_no_memory(monkeypatch):
    for kept in (system.ReadableMemory(), _without(monkeypatch, "memfd_create")):
        for data in (b"long and longer", b"short"):
            kept.hold([data])
            assert Path(kept.path).read_bytes() == data
        kept.close()
        assert not Path(kept.path).exists()


def _without(monkeypatch, name):
    monkeypatch.delattr(os, name)
    return system.ReadableMemory()


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("cp1252", "## ||| .: … -> ± ~ é \\u738b \\U0001f98a"),
        ("cp437", "██ ▌▌▌ ░▒ ... -> ± ≈ é \\u738b \\U0001f98a"),
        ("ascii", "## ||| .: ... -> +- ~ \\xe9 \\u738b \\U0001f98a"),
        ("utf-8", "█▉ ▌▍▏ ░▒ … → ± ≈ é 王 🦊"),
    ],
)
def test_what_an_encoding_lacks_is_shown_by_what_looks_like_it(monkeypatch, encoding, written):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="")
    monkeypatch.setattr(sys, "stdout", stream)
    system.print_anywhere()
    stream.write("█▉ ▌▍▏ ░▒ … → ± ≈ é 王 🦊")
    stream.flush()
    assert stream.buffer.getvalue().decode(encoding) == written


def test_data_on_stdout_is_utf_8_with_the_ends_of_its_lines_in_every_encoding(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="cp1252", newline="\r\n")
    monkeypatch.setattr(sys, "stdout", stream)
    stream.write("before\n")
    system.write_data("é,王\r\n")
    assert stream.buffer.getvalue() == "before\r\né,王\r\n".encode()
    monkeypatch.setattr(sys, "stdout", said := io.StringIO())
    system.write_data("é")
    assert said.getvalue() == "é"


def test_a_command_can_be_pasted_into_the_systems_own_shell(monkeypatch):
    words = ["picture-audit", "plan", "My users.parquet", "it's"]
    assert system.command_line(words) == """picture-audit plan 'My users.parquet' 'it'"'"'s'"""
    monkeypatch.setattr(system, "_IS_WINDOWS", True)
    assert system.command_line(words) == 'picture-audit plan "My users.parquet" it\'s'


def test_a_process_whose_text_is_read_is_told_the_encoding():
    """Ruff checks the same of files (PLW1514)."""
    for path in Path(toolkit.__file__).parent.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(call, ast.Call):
                named = {one.arg for one in call.keywords}
                is_text = named & {"text", "universal_newlines"} and "subprocess" in ast.unparse(
                    call
                )
                assert not is_text or "encoding" in named, (path, call.lineno)
