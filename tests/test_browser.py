"""The notebooks in JupyterLab in a real browser, as a person would use them."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from playwright.sync_api import sync_playwright

FOLDER = Path(__file__).parent.parent / "notebooks"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
REQUIRED = os.environ.get("PICTURE_AUDIT_BROWSER") == "required"
FLAGS = (
    "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update "
    "--disable-sync --no-first-run"
).split()

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None and not REQUIRED,
        reason="NO BROWSER: install chromium to test the notebooks as people see them",
    ),
]


def wait_for(url: str, seconds: float) -> None:
    until = time.monotonic() + seconds
    while True:
        try:
            urlopen(url, timeout=5).close()
        except (URLError, ConnectionError):
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
        else:
            return


@pytest.fixture
def lab(tmp_path, no_credentials):
    """JupyterLab on a copy of the notebooks, with settings of its own."""
    folder = tmp_path / "work" / "notebooks"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    environment = os.environ | {name: str(tmp_path / name) for name in names}
    environment |= {"JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "settings"), "HOME": str(tmp_path)}
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
        *(f"--port={port}", "--IdentityProvider.token=", "--ServerApp.port_retries=0"),
        *("--LabApp.news_url=", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"),
    ]
    with (tmp_path / "lab.log").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            wait_for(f"http://127.0.0.1:{port}/api", 60)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(30)


@pytest.fixture
def page():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.errors, page.foreign = [], []
        page.on("pageerror", lambda error: page.errors.append(str(error)))

        def seen(request) -> None:
            parts = urlsplit(request.url)
            if parts.scheme in {"http", "https", "ws"} and parts.hostname != "127.0.0.1":
                page.foreign.append(request.url)

        page.on("request", seen)
        yield page
        browser.close()


def test_the_first_notebook_runs_to_its_end_and_shows_charts(lab, page):
    """Fails if a person who presses Run All sees an error, no chart, or a call to the internet."""
    page.goto(f"{lab}/lab/tree/1_avatar_coverage.ipynb?reset")
    page.locator(".jp-RenderedMarkdown h1").first.wait_for(timeout=60_000)
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for(timeout=60_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    outputs = page.locator(".jp-OutputArea")
    outputs.locator("img[alt]").nth(2).wait_for(state="attached", timeout=90_000)
    outputs.get_by_text("never", exact=True).first.wait_for(state="attached", timeout=60_000)
    assert outputs.locator(".widget-progress, .jupyter-widgets").count() > 0
    assert page.locator(".jp-RenderedText[data-mime-type*=error]").count() == 0
    if pictures := os.environ.get("PICTURE_AUDIT_SCREENSHOTS"):
        outputs.locator("img[alt]").first.scroll_into_view_if_needed()
        page.wait_for_timeout(1000)
        page.screenshot(path=Path(pictures) / "notebook.png")
    assert page.errors == []
    assert page.foreign == []
