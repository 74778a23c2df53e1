"""Where the notebooks are, and the panels as a page that Voilà serves on this machine only."""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from toolkit import system
from toolkit.errors import OutputError, SettingsError
from toolkit.images.address import is_loopback

PORT = 8866
"""Where the dashboard is served unless told."""

_TEMPLATE = "picture-audit"
# Seconds without a page and without a message after which a kernel ends. What collects or writes
# sends messages all the time, so it goes on after its page was closed.
_KEPT = 600
# A socket's path has at most 103 bytes on macOS, 107 on Linux; a kernel's is
# FOLDER/voila_12345678/kernel-UUID-ipc-5.
_LONGEST_FOLDER = 38
# Voilà's own template, without the icons from the internet.
_PAGE = """
{%- extends 'voila/templates/lab/index.html.j2' -%}
{% import "spinner.macro.html.j2" as spinner %}
{%- block notebook_css -%}
{{ resources.include_js("static/voila-style.js") }}
{{ spinner.css() }}
{{ super.super() }}
<style>.pa-static { display: none } /* what a saved notebook shows without a kernel */</style>
{% if resources.theme == "light" %}
<link id="pa-dark" rel="stylesheet" media="(prefers-color-scheme: dark)"
  href="{{ resources.include_url("static/theme-dark.css") }}">
{% endif %}
{%- endblock notebook_css -%}
{%- block body_header -%}
{{ super() }}
<script>
// Dark where the system is, unless the address names a theme.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const sheet = document.getElementById("pa-dark");
  if (!sheet) return;
  if (new URLSearchParams(location.search).has("theme")) return sheet.remove();
  const follow = () => {
    document.body.dataset.jpThemeLight = String(!dark.matches);
    document.body.classList.toggle("theme-dark", dark.matches);
    document.body.classList.toggle("theme-light", !dark.matches);
  };
  dark.addEventListener("change", follow);
  follow();
})();
// Ask before somebody leaves while something runs. Voilà's own handler is kept from running: it
// cuts the page off from its kernel, even if the person then stays.
addEventListener("beforeunload", (event) => {
  event.stopImmediatePropagation();
  if (document.querySelector(".pa-running b")) event.preventDefault();
});
</script>
{%- endblock body_header -%}
"""

_CELL = """
import os
import toolkit
os.chdir({folder})
toolkit.dashboard(remember=True)
"""


def serve(
    address: str = "127.0.0.1",
    port: int = PORT,
    *,
    open_browser: bool = True,
    expose: bool = False,
    token: bool = True,
) -> int:
    """Serve `toolkit.dashboard()` with Voilà until it is interrupted; print the address on stdout.

    Args:
        address: where to listen: `127.0.0.1`, or another address of loopback.
        port: the port to listen on; 0 takes a free one.
        open_browser: whether to show the page at once.
        expose: whether an address outside of loopback is taken.
        token: whether visitors must know a token, which is made anew each time and is in the
            address. Without it every user of this machine can run code as you.

    Returns:
        Voilà's exit status; 0 after an interrupt.

    Raises:
        SettingsError: Voilà is not installed, or others could reach the address.
    """
    ensure_private(address, expose=expose)
    if not token:
        print(  # noqa: T201 - on stderr, whoever calls this
            "Warning: without a token every user of this machine can open the dashboard and run "
            "code as you, with your credentials.",
            file=sys.stderr,
        )
    if not system.PRIVATE_SOCKETS:
        print(  # noqa: T201 - as above
            "Warning: on Windows, whoever else is signed in to this machine could read what the "
            "panels show.",
            file=sys.stderr,
        )
    with TemporaryDirectory(prefix="picture-audit-") as folder:
        command, environment = served(Path(folder), Path.cwd(), address, port, token=token)
        command += [] if open_browser else ["--no-browser"]
        return _run(command, env=os.environ | environment)


def lab(options: Sequence[str] = ()) -> int:
    """Open the notebooks in JupyterLab until it is interrupted, the first one at once.

    The folder that JupyterLab shows is that of the project, where the notebooks write, too.

    Args:
        options: options of JupyterLab; with a file or a folder among them, only that is opened.

    Returns:
        JupyterLab's exit status; 0 after an interrupt.

    Raises:
        OutputError: the notebooks cannot be written.
    """
    folder = notebook_folder()
    named = any(not one.startswith("-") for one in options)
    # Named as a file, it would make its own folder the root: links to `../out` would lead nowhere.
    first = [] if named else [f"--LabApp.default_url=/lab/tree/{folder.name}/{_FIRST}"]
    settings = [str(_SETTINGS), *filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])]
    return _run(
        [sys.executable, "-m", "jupyterlab", *first, *options],
        cwd=folder.parent,
        env=os.environ | {"JUPYTER_CONFIG_PATH": os.pathsep.join(settings)},
    )


def _run(
    command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> int:
    """Run a server until it ends; a signal that ends this process ends the server, too."""
    former = {number: signal.signal(number, signal.default_int_handler) for number in system.ENDING}
    with subprocess.Popen(command, cwd=cwd, env=env) as server:  # noqa: S603 - our own commands
        try:
            return server.wait()
        except KeyboardInterrupt:
            server.terminate()
            return 0
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)


def served(
    folder: Path, here: Path, address: str, port: int, *, token: bool = True
) -> tuple[list[str], dict[str, str]]:
    """Write down what Voilà serves, and return the command and the environment that serve it.

    `folder` is empty, and only its owner may enter it; the panels read `.env` and write files
    `here`; the others are as of `serve`.
    """
    page = folder / "page" / "dashboard.ipynb"
    page.parent.mkdir()
    page.write_text(_notebook(here), "utf-8")
    template = folder / "voila" / "templates" / _TEMPLATE
    template.mkdir(parents=True)
    (template / "index.html.j2").write_text(_PAGE.strip(), "utf-8")
    (template / "conf.json").write_text(json.dumps({"base_template": "lab"}), "utf-8")
    if token:
        # Not by the command line, which every user of this machine can read.
        secret = {"token": secrets.token_hex(24), "path": secrets.token_hex(24)}
        with open(
            folder / "access.json", "x", opener=system.private_opener, encoding="ascii"
        ) as file:
            json.dump(secret, file)
    command = [
        *(sys.executable, "-m", "toolkit.launch.page_server", str(folder), str(page)),
        *(f"--template={_TEMPLATE}", f"--Voila.ip={address}", f"--port={port}"),
        *("--show_tracebacks=False", "--strip_sources=True", "--Voila.log_level=WARN"),
        f"--MappingKernelManager.cull_idle_timeout={_KEPT}",
        f"--MappingKernelManager.cull_interval={max(_KEPT // 10, 1)}",
    ]
    if system.PRIVATE_SOCKETS:
        # Anybody could connect to a TCP port of the kernel and read all that it shows: what is
        # sent there is signed, but not encrypted. Sockets in a private folder are the owner's.
        place = f"--Voila.connection_dir_root={_folder_of_sockets()}"
        command += ["--KernelManager.transport=ipc", place]
    paths = [str(folder), *filter(None, [os.environ.get("JUPYTER_PATH")])]
    return command, {"JUPYTER_PATH": os.pathsep.join(paths)}


def _folder_of_sockets() -> str:
    """Return the usual temporary folder; `/tmp` if its path is too long for sockets in it."""
    usual = gettempdir()
    return usual if len(os.fsencode(usual)) <= _LONGEST_FOLDER else "/tmp"  # noqa: S108 - Voilà makes a folder there that only its owner may enter


def ensure_private(address: str, *, expose: bool = False) -> None:
    """Raise `SettingsError` if Voilà is not installed, or others could reach the address."""
    if find_spec("voila") is None:
        raise SettingsError(
            "The dashboard needs Voilà, which is not installed: "
            "uv sync --extra dashboard, or pip install 'auth0-picture-audit[dashboard]'."
        )
    if not is_loopback(address) and not expose:
        raise SettingsError(
            "The dashboard shows personal data, works for every visitor with your credentials and "
            f"is not encrypted, so it is served on 127.0.0.1 only, not on {address}. "
            "Use an SSH tunnel, or --expose behind a proxy that encrypts."
        )


def _notebook(folder: Path) -> str:
    source = _CELL.format(folder=repr(str(folder))).strip()
    cell = {"cell_type": "code", "id": "0", "metadata": {}, "outputs": [], "source": source}
    cells = [{**cell, "execution_count": None}]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel, "title": "picture-audit"}
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


# In a checkout these are links to the notebooks, of which a wheel has copies.
_SAMPLES = Path(__file__).with_name("samples")
_FIRST = "1_avatar_coverage.ipynb"
# Its `labconfig` keeps JupyterLab from asking over the first screen whether to fetch news.
_SETTINGS = Path(__file__).parent


def notebook_folder() -> Path:
    """Return the folder with the notebooks: of the current folder, or of the checkout.

    If there is neither, as with an installed wheel, copies are written to `notebooks` here.

    Raises:
        OutputError: they cannot be written.
    """
    own = Path.cwd() / "notebooks"
    for folder in (own, Path(__file__).parents[2] / "notebooks"):
        if (folder / _FIRST).is_file():
            return folder
    try:
        own.mkdir(exist_ok=True)
        for sample in _SAMPLES.glob("*.ipynb"):
            if not (own / sample.name).exists():
                shutil.copyfile(sample, own / sample.name)
    except OSError as error:
        raise OutputError(
            f"The notebooks cannot be written to {own}: {error.strerror}. "
            "Run this in a folder that you can write to."
        ) from error
    return own
