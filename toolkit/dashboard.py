"""The panels as a page of their own, served by Voilà on this machine only."""

import json
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from toolkit.errors import SettingsError
from toolkit.wire import is_loopback

PORT = 8866
"""Where the dashboard is served unless told."""

_TEMPLATE = "picture-audit"
# Voilà's own template, without the icons that it loads from the internet.
_PAGE = """
{%- extends 'voila/templates/lab/index.html.j2' -%}
{% import "spinner.macro.html.j2" as spinner %}
{%- block notebook_css -%}
{{ resources.include_js("static/voila-style.js") }}
{{ spinner.css() }}
{{ super.super() }}
{%- endblock notebook_css -%}
"""

_CELL = """
import os
from pathlib import Path
from toolkit.panels.dashboard import Dashboard
os.chdir({folder})
Dashboard(Path("out/snapshot.parquet"))
"""


def dashboard(
    address: str = "127.0.0.1",
    port: int = PORT,
    *,
    open_browser: bool = True,
    expose: bool = False,
) -> int:
    """Serve the panels with Voilà until it is interrupted.

    Args:
        address: where to listen: `127.0.0.1`, or another address of loopback.
        port: the port to listen on.
        open_browser: whether to show the page at once.
        expose: whether an address outside of loopback is taken.

    Returns:
        Voilà's exit status; 0 after an interrupt.

    Raises:
        SettingsError: Voilà is not installed, or others could reach the address.
    """
    ensure_private(address, expose=expose)
    # Whoever ends this process means the server, too.
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)
    with TemporaryDirectory(prefix="picture-audit-") as folder:
        command, environment = served(Path(folder), Path.cwd(), address, port)
        command += [] if open_browser else ["--no-browser"]
        with subprocess.Popen(command, env=os.environ | environment) as server:  # noqa: S603 - our own command
            try:
                return server.wait()
            except KeyboardInterrupt:
                server.terminate()
                return 0
            finally:
                signal.signal(signal.SIGTERM, former)


def served(folder: Path, here: Path, address: str, port: int) -> tuple[list[str], dict[str, str]]:
    """Write down what Voilà serves, and return the command and the environment that serve it.

    Args:
        folder: an empty folder for the page.
        here: where the panels read `.env` and write files.
        address: where to listen.
        port: the port to listen on.
    """
    page = folder / "page" / "dashboard.ipynb"
    page.parent.mkdir()
    page.write_text(_notebook(here), "utf-8")
    template = folder / "voila" / "templates" / _TEMPLATE
    template.mkdir(parents=True)
    (template / "index.html.j2").write_text(_PAGE.strip(), "utf-8")
    (template / "conf.json").write_text(json.dumps({"base_template": "lab"}), "utf-8")
    command = [
        *(sys.executable, "-m", "voila", str(page), f"--template={_TEMPLATE}"),
        *(f"--Voila.ip={address}", f"--port={port}", "--Voila.port_retries=0"),
        *("--show_tracebacks=False", "--strip_sources=True"),
    ]
    if is_loopback(address):
        # Voilà answers to any name: a page elsewhere that lets its name mean this machine
        # (DNS rebinding) could read all.
        command.append("--Voila.tornado_settings={'allow_remote_access': False}")
    paths = [str(folder), *filter(None, [os.environ.get("JUPYTER_PATH")])]
    return command, {"JUPYTER_PATH": os.pathsep.join(paths)}


def ensure_private(address: str, *, expose: bool = False) -> None:
    """Make sure that the dashboard can be served, and by whom it can be reached.

    Raises:
        SettingsError: Voilà is not installed, or others could reach the address.
    """
    if find_spec("voila") is None:
        raise SettingsError(
            "The dashboard needs Voilà, which is not installed: "
            "uv sync --extra dashboard, or pip install 'auth0-picture-audit[dashboard]'."
        )
    if not is_loopback(address) and not expose:
        raise SettingsError(
            f"The dashboard shows personal data, asks nobody for a password and works for every "
            f"visitor with your credentials, so it is served on 127.0.0.1 only, not on {address}. "
            "Use an SSH tunnel, or --expose behind a proxy that asks who they are."
        )


def _notebook(folder: Path) -> str:
    cell: dict[str, object] = {
        "cell_type": "code",
        "id": "0",
        "metadata": {},
        "execution_count": None,
        "outputs": [],
        "source": _CELL.format(folder=repr(str(folder))).strip(),
    }
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel, "title": "Picture audit"}
    return json.dumps({"cells": [cell], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})
