import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from toolkit.dashboard import ensure_private, served
from toolkit.errors import SettingsError


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


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_it_serves_until_it_is_interrupted(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "HOME")
    code = f"""
import sys
from toolkit.dashboard import dashboard
sys.exit(dashboard(port={port}, open_browser=False))
"""
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-c", code],
            env=os.environ | {name: str(tmp_path / name) for name in names},
            stdout=log,
            stderr=log,
        )
        try:
            until = time.monotonic() + 120
            while not answers(port):
                assert time.monotonic() < until
                time.sleep(0.1)
            # A page elsewhere that lets its name mean this machine is turned away.
            asked = Request(f"http://127.0.0.1:{port}/", headers={"Host": "evil.example"})
            with pytest.raises(HTTPError, match="403"):
                urlopen(asked, timeout=90)
        finally:
            server.send_signal(signal.SIGINT)
            assert server.wait(120) == 0
    assert not answers(port)
