"""The dashboard: who can reach it, as other users and pages would try to."""

import errno
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.parse import parse_qs, urljoin, urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener, urlopen

import pytest
from playwright.sync_api import sync_playwright

from tests.test_browser import CHROMIUM, FLAGS, REQUIRED
from toolkit.errors import SettingsError
from toolkit.launch import notebook_pages
from toolkit.launch.notebook_pages import ensure_private, lab, served
from toolkit.launch.page_server import Access, PageServer


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.9", "::1", "localhost"])
def test_this_machine_may_be_served(address):
    ensure_private(address)


@pytest.mark.parametrize("address", ["0.0.0.0", "192.168.1.5", "::", "", "example.com"])
def test_others_are_served_only_by_somebody_who_insists(address):
    with pytest.raises(SettingsError, match=r"personal data.*your credentials.*--expose"):
        ensure_private(address)
    ensure_private(address, expose=True)


def test_without_voila_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "voila", None)
    with pytest.raises(SettingsError, match="uv sync --extra dashboard"):
        ensure_private("127.0.0.1")


def test_what_is_served_loads_nothing_from_elsewhere_and_works_in_this_folder(
    tmp_path, monkeypatch
):
    here = tmp_path / 'it\'s "here"'
    here.mkdir()
    (tmp_path / "page-folder").mkdir()
    command, environment = served(tmp_path / "page-folder", here, "127.0.0.1", 8867)
    assert "--Voila.ip=127.0.0.1" in command
    assert "--port=8867" in command
    secret = json.loads((tmp_path / "page-folder" / "access.json").read_text())
    assert not [word for word in command for one in secret.values() if one in word]
    assert stat.S_IMODE((tmp_path / "page-folder" / "access.json").stat().st_mode) == 0o600
    folder = environment["JUPYTER_PATH"].split(os.pathsep)[0]
    template = tmp_path / "page-folder" / "voila" / "templates" / "picture-audit"
    assert folder == str(tmp_path / "page-folder")
    assert "http" not in (template / "index.html.j2").read_text()
    cell = json.loads((tmp_path / "page-folder" / "page" / "dashboard.ipynb").read_text())["cells"][
        0
    ]
    lines = [line for line in cell["source"].splitlines() if line.startswith(("import", "os."))]
    monkeypatch.chdir(tmp_path)
    exec("\n".join(lines), {})
    assert Path.cwd() == here


@pytest.mark.parametrize("private", [True, False])
def test_kernels_are_reached_by_files_where_the_system_has_private_sockets(
    tmp_path, monkeypatch, private
):
    monkeypatch.setattr("toolkit.system.PRIVATE_SOCKETS", private)
    command, _ = served(tmp_path, tmp_path, "127.0.0.1", 8867)
    assert ("--KernelManager.transport=ipc" in command) is private


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Running(NamedTuple):
    """A dashboard that somebody has opened."""

    process: subprocess.Popen
    port: int
    token: str
    within: str  # the address of the page, with the secret in its path
    kernel: str

    @property
    def secrets(self) -> tuple[str, str]:
        return self.token, self.within.split("/")[3]


def test_jupyterlab_opens_the_first_notebook_and_reaches_what_it_writes(monkeypatch):
    """Fails if the folder of the notebooks is the root: then their links to `../out` are dead."""
    started = []
    monkeypatch.setattr(notebook_pages, "_run", lambda *call, **rest: started.append((call, rest)))
    lab(["--no-browser"])
    lab(["other.ipynb"])
    (((command,), rest), ((named,), _)) = started
    assert "--LabApp.default_url=/lab/tree/notebooks/1_avatar_coverage.ipynb" in command
    assert not [one for one in command[3:] if not one.startswith("-")]
    assert (rest["cwd"] / "notebooks" / "1_avatar_coverage.ipynb").is_file()
    assert not [one for one in named if "default_url" in one]


CODE = """
import sys
from toolkit.launch import notebook_pages
{first}
sys.exit(notebook_pages.serve(port=0, open_browser=False, token={token}))
"""
# A kernel that works in the background, as a change does: its page was closed.
WORKING = """
from pathlib import Path
from threading import Thread
from time import sleep
import ipywidgets
place, shown = Path({place!r}), ipywidgets.HTML()
place.touch()
def work():
    for number in range(24):
        shown.value = str(number)
        sleep(0.5)
    place.unlink()
Thread(target=work).start()
shown
"""


@contextmanager
def started(folder: Path, *, token: bool = True, first: str = ""):
    """Start the dashboard as a process, and yield it with its address and what it said."""
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "HOME")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", CODE.format(token=token, first=first)],
            env=os.environ | {name: str(folder / name) for name in names},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            address = process.stdout.readline().rpartition(" ")[2].strip()
            yield process, urlsplit(address)
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(120) == 0
            process.stdout.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A dashboard whose owner has opened the page, so that a kernel runs."""
    with started(tmp_path_factory.mktemp("dashboard")) as (process, address):
        with urlopen(urlunsplit(address), timeout=120) as page:
            kernel = re.search(r'"kernelId": "([0-9a-f-]+)"', page.read().decode())[1]
            within = page.url
        token = parse_qs(address.query)["token"][0]
        yield Running(process, address.port, token, within, kernel)
    assert not answers(address.port)


def test_a_kernel_whose_page_was_closed_ends_when_its_work_has(tmp_path):
    place = tmp_path / "works"
    cell = WORKING.format(place=str(place)).replace("{", "{{").replace("}", "}}")
    first = f"notebook_pages._KEPT, notebook_pages._CELL = 4, {cell!r}"
    with started(tmp_path, first=first) as (_, address):
        with urlopen(urlunsplit(address), timeout=120) as page:
            kernel = re.search(r'"kernelId": "([0-9a-f-]+)"', page.read().decode())[1]
            state = urljoin(page.url, f"api/kernels/{kernel}")
        looked = 0
        while place.exists():
            found = status(state)
            if place.exists():
                assert found == 200
                looked += 1
            time.sleep(1)
        assert looked > 5  # far longer than a kernel is kept that does nothing
        give_up = time.monotonic() + 120
        while status(state) == 200 and time.monotonic() < give_up:
            time.sleep(0.5)
        assert status(state) == 404


def status(url: str, **headers: str) -> int:
    try:
        with urlopen(Request(url, headers=headers), timeout=60) as answer:
            return answer.status
    except HTTPError as error:
        error.close()
        return error.code


def handshake(port: int, path: str, **headers: str) -> str:
    """Try to open a websocket; return the first line of the answer."""
    told = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    upgrade = (
        f"GET {path} HTTP/1.1\r\n{told}Connection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        connection.sendall(upgrade.encode())
        return connection.makefile("rb").readline().decode()


def test_the_token_leads_to_the_page_and_keeps_what_else_was_asked(running):
    url = f"http://127.0.0.1:{running.port}/?theme=dark&token={running.token}"
    with pytest.raises(HTTPError) as led:
        build_opener(NoRedirects).open(url, timeout=60)
    assert led.value.code == 302
    assert led.value.headers["Location"] == f"{running.secrets[1]}/?theme=dark"
    assert "Set-Cookie" not in led.value.headers
    led.value.close()


class NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def everything(kernel: str) -> list[str]:
    """Return the paths that Voilà serves, and some that it serves in other settings."""
    return [
        *("", "?token=", "?token=wrong", "?token=%00", "?token=wrong&token=%ff", "dashboard.ipynb"),
        *("api", "api/kernels", f"api/kernels/{kernel}", f"api/kernels/{kernel}/channels"),
        *("voila/static/voila.js", "voila/templates/picture-audit/static/x", "voila/files/x.png"),
        *(f"voila/api/shutdown/{kernel}", "voila/api/themes/x", "voila/labextensions/x"),
        *(
            f"voila/execution/{kernel}",
            f"voila/query/{kernel}",
            "voila/tree/",
            "voila/api/contents",
        ),
        *("login", "logout", "static/favicon.ico", "metrics", "favicon.ico", "..%2f", "//", "%00"),
    ]


def test_whoever_does_not_say_the_token_is_refused_everywhere(running):
    for path in everything(running.kernel):
        assert status(f"http://127.0.0.1:{running.port}/{path}") == 403, path
    for method in ("POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"):
        for path in ("", f"api/kernels/{running.kernel}", f"voila/api/shutdown/{running.kernel}"):
            url = f"http://127.0.0.1:{running.port}/{path}"
            with pytest.raises(HTTPError) as refused:
                urlopen(Request(url, method=method), timeout=60)
            assert refused.value.code == 403
            refused.value.close()
    host = f"127.0.0.1:{running.port}"
    for kind in ("api/kernels/{}/channels", "voila/execution/{}", "voila/query/{}"):
        line = handshake(running.port, f"/{kind.format(running.kernel)}", Host=host)
        assert " 403 " in line


def test_a_page_of_another_origin_is_refused_even_if_it_knew_the_path(running):
    path = f"/{running.secrets[1]}/api/kernels/{running.kernel}/channels"
    own = f"127.0.0.1:{running.port}"
    for origin in ("http://evil.example", "http://127.0.0.1:1", f"https://evil.{own}", "null"):
        assert " 403 " in handshake(running.port, path, Host=own, Origin=origin)
    assert " 101 " in handshake(running.port, path, Host=own, Origin=f"http://{own}")
    # A page elsewhere that lets its name mean this machine.
    assert status(running.within, Host="evil.example") == 403
    evil = {"Host": "evil.example", "Origin": "http://evil.example"}
    assert " 101 " not in handshake(running.port, path, **evil)


INTRUDER = """
import glob, json, os, socket, sys
from urllib.error import HTTPError
from urllib.request import urlopen

paths, port = json.loads(sys.argv[1]), int(sys.argv[2])
def code(path):
    try:
        return urlopen(f"http://127.0.0.1:{port}/{path}", timeout=60).status
    except HTTPError as error:
        return error.code
code("")  # imports what only root may read
os.setgroups([]); os.setgid(65534); os.setuid(65534)
codes = {path: code(path) for path in paths}
readable, folders = [], []
for name in glob.glob("/proc/[0-9]*/cmdline") + glob.glob("/proc/[0-9]*/environ"):
    try:
        readable.append(open(name, "rb").read().decode("utf-8", "replace"))
    except OSError:
        pass
for name in sys.argv[3:]:
    try:
        folders += os.listdir(name)
    except OSError:
        pass
print(json.dumps([os.getuid(), codes, readable, folders]))
"""


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root can become another user"
)
def test_another_user_of_this_machine_gets_nowhere_and_cannot_read_the_token(running):
    server, kernel = below(running.process.pid)
    folder, connections = server[3], str(Path(kernel[-1]).parent)
    paths = everything(running.kernel)
    asked = [json.dumps(paths), str(running.port), folder, f"{folder}/page", connections]
    done = subprocess.run(
        [sys.executable, "-c", INTRUDER, *asked], capture_output=True, text=True, check=True
    )
    user, codes, readable, entries = json.loads(done.stdout)
    assert user == 65534
    assert codes == dict.fromkeys(paths, 403)
    # What may be read is what everybody can read of a process, and not the secrets.
    assert any("toolkit.launch.page_server" in words for words in readable)
    assert not [words for words in readable for one in running.secrets if one in words]
    assert entries == []


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_nobody_can_connect_to_the_kernel_but_by_files_of_its_owner(running):
    _, kernel = below(running.process.pid)
    connection = Path(kernel[-1])
    assert stat.S_IMODE(connection.stat().st_mode) == 0o600
    assert stat.S_IMODE(connection.parent.stat().st_mode) & 0o077 == 0
    told = json.loads(connection.read_text(encoding="utf-8"))
    assert told["transport"] == "ipc"
    for channel in ("shell", "iopub", "stdin", "control", "hb"):
        socket = Path(f"{told['ip']}-{told[f'{channel}_port']}")
        assert socket.is_socket()
        assert socket.parent == connection.parent
    # ipykernel's own pipe for what its child processes print: it takes nothing without a random
    # number of 128 bits, and gives nothing out (7.x, `ipykernel.iostream.IOPubThread`).
    assert len(listening_at(next(p for p, words in processes().items() if words == kernel))) <= 1


def listening_at(pid: int) -> list[str]:
    """Return the TCP addresses at which a process listens."""
    own = {str(one.readlink()) for one in Path(f"/proc/{pid}/fd").iterdir() if one.is_symlink()}
    tables = [
        Path(f"/proc/net/{name}").read_text(encoding="utf-8").splitlines()[1:]
        for name in ("tcp", "tcp6")
    ]
    rows = [row.split() for table in tables for row in table]
    return [row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in own]


def processes() -> dict[int, list[str]]:
    """Return the command lines of all processes."""
    found = {}
    for one in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            found[int(one.name)] = (one / "cmdline").read_text().split("\0")[:-1]
    return found


def below(pid: int) -> tuple[list[str], list[str]]:
    """Return the command lines of the dashboard's server and of its one kernel."""
    parents = {}
    for one in processes():
        with suppress(OSError):
            parents[one] = int(
                Path(f"/proc/{one}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1]
            )
    (server,) = [one for one, parent in parents.items() if parent == pid]
    (kernel,) = [one for one, parent in parents.items() if parent == server]
    return processes()[server], processes()[kernel]


ATTACK = """<!doctype html><script>
(async () => {
  const [host, kernel] = location.hash.slice(1).split(",");
  const paths = ["", "api/kernels", `api/kernels/${kernel}`, `voila/files/x.png`];
  const read = [];
  for (const path of paths) {
    for (const mode of ["cors", "no-cors"]) {
      try {
        const answer = await fetch(`http://${host}/${path}`, {credentials: "include", mode});
        read.push(await answer.text());
      } catch (_) {}
    }
  }
  const opened = [];
  for (const path of [`api/kernels/${kernel}/channels`, `voila/execution/${kernel}`]) {
    await new Promise(done => {
      const socket = new WebSocket(`ws://${host}/${path}`);
      socket.onopen = () => { opened.push(path); done(); };
      socket.onerror = done;
    });
  }
  document.title = JSON.stringify({read: read.filter(Boolean), opened});
})();
</script>"""


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None and not REQUIRED, reason="NO BROWSER: install chromium")
def test_a_page_of_another_origin_reaches_nothing_and_gets_no_cookie_of_use(running):
    cookies = []

    class Attacker(BaseHTTPRequestHandler):
        def do_GET(self):
            cookies.append(self.headers["Cookie"] or "")
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(ATTACK.encode())

        def log_message(self, *_):
            pass

    with (
        ThreadingHTTPServer(("127.0.0.1", 0), Attacker) as attacker,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS) as browser,
    ):
        threading.Thread(target=attacker.serve_forever).start()
        context = browser.new_context()
        host = f"127.0.0.1:{running.port}"
        owner = context.new_page()
        owner.goto(f"http://{host}/?token={running.token}", wait_until="commit")
        assert running.secrets[1] in owner.url
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{attacker.server_port}/#{host},{running.kernel}")
        page.wait_for_function("document.title")
        assert json.loads(page.title()) == {"read": [], "opened": []}
        context.close()
        attacker.shutdown()
    for cookie in {*cookies}:
        for path in everything(running.kernel):
            assert status(f"http://{host}/{path}", Cookie=cookie) == 403


def test_without_a_token_there_is_a_warning_and_everybody_of_this_machine_gets_in(tmp_path):
    with started(tmp_path, token=False) as (_, address):
        assert address.query == ""
        nobody = "00000000-0000-0000-0000-000000000000"
        assert status(f"http://{address.netloc}/api/kernels/{nobody}") == 404
        assert status(f"http://{address.netloc}/", Host="evil.example") == 403
    assert "run code as you" in (tmp_path / "log").read_text()


def test_a_port_that_is_taken_is_said_in_one_line(capsys, monkeypatch):
    def taken(port, address):
        raise OSError(errno.EADDRINUSE, "Address already in use")

    monkeypatch.setattr("toolkit.launch.page_server.bind_sockets", taken)
    with pytest.raises(SystemExit) as ended:
        PageServer(ip="127.0.0.1", port=8867)._serve()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("Error: Cannot serve on 127.0.0.1, port 8867: Address already in use.")


def test_the_browser_is_led_by_a_file_that_only_its_owner_may_read(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    server = PageServer(ip="127.0.0.1", port=8867)
    server.folder, server.access = tmp_path, Access("the-token", "the-path")
    server.launch_browser()
    for thread in threading.enumerate():
        if thread.name == "browser":
            thread.join(60)
    assert opened == [(tmp_path / "open.html").as_uri()]
    assert "url=http://127.0.0.1:8867/?token=the-token" in (tmp_path / "open.html").read_text()
    assert stat.S_IMODE((tmp_path / "open.html").stat().st_mode) == 0o600
    assert "the-token" not in opened[0]


@pytest.mark.parametrize(("address", "host"), [("::1", "[::1]"), ("127.0.0.9", "127.0.0.9")])
def test_the_address_that_is_printed_can_be_opened(address, host):
    server = PageServer(ip=address, port=8867)
    server.access = Access("the-token", "the-path")
    assert server.display_url == f"http://{host}:8867/?token=the-token"
