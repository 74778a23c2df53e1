"""Notebooks and panels in a real browser, as a person would use them."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

import pandas as pd
import pytest
from playwright.sync_api import expect, sync_playwright

from tests.npm import installed
from toolkit.launch.notebook_pages import _notebook, served
from toolkit.sandbox.made_up.tenants import loadable, people
from toolkit.sandbox.server import Sandbox

HERE = Path(__file__).parent
FOLDER = HERE.parent / "notebooks"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
REQUIRED = os.environ.get("PICTURE_AUDIT_BROWSER") == "required"
PICTURES = os.environ.get("PICTURE_AUDIT_SCREENSHOTS")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update "
    "--disable-sync --no-first-run"
).split()

# Who waits longer than this waits in vain, even where other tests keep the machine busy.
expect.set_options(timeout=60_000)
# Seconds after which Run All is pressed once more: pressed twice, all runs twice.
_AGAIN = 15

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None and not REQUIRED,
        reason="NO BROWSER: install chromium to test the notebooks as people see them",
    ),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serving(command, port, folder, **environment):
    """A server with settings and folders of its own, and no credentials but those given."""
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    own = {name: str(folder / name) for name in (*names, "JUPYTERLAB_SETTINGS_DIR", "HOME")}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AUTH0_")}
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            command,
            cwd=folder,
            env=kept | own | environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            wait_for(f"http://127.0.0.1:{port}/static/favicon.ico", 120)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(120)


def token_in(folder: Path) -> str:
    """Return the token of a dashboard from the folder that it serves."""
    return json.loads((folder / "access.json").read_text())["token"]


def wait_for(url: str, seconds: float) -> None:
    until = time.monotonic() + seconds
    while True:
        try:
            urlopen(url, timeout=5).close()
        except URLError as error:
            if hasattr(error, "code"):  # it answers
                return
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
        except ConnectionError:
            time.sleep(0.2)
        else:
            return


@pytest.fixture(scope="module")
def slow():
    """A tenant that answers so slowly that there is time to press buttons."""
    made_up = (loadable(person) for person in people(1500))
    with Sandbox(made_up, plan="free") as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab on a copy of the notebooks; beside them stands one with the panels."""
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(FOLDER, folder / "notebooks", ignore=shutil.ignore_patterns(".ipynb_checkpo*"))
    port = free_port()
    options = ["--no-browser", "--allow-root", f"--port={port}", "--IdentityProvider.token="]
    options += ["--ServerApp.port_retries=0"]
    start = f"import sys; from toolkit.launch.notebook_pages import lab; sys.exit(lab({options}))"
    command = [sys.executable, "-c", start]
    with serving(command, port, folder) as url:
        yield url, folder


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def tab(browser, **options):
    """A page that must neither fail nor ask for anything outside of this machine."""
    context = browser.new_context(viewport={"width": 1280, "height": 1250}, **options)
    page = context.new_page()
    page.set_default_timeout(90_000)
    errors, foreign = [], []
    page.on("pageerror", lambda error: errors.append(str(error)))

    def seen(request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in {"http", "https", "ws", "wss"} and parts.hostname != "127.0.0.1":
            foreign.append(request.url)

    page.on("request", seen)
    page.on("websocket", seen)
    yield page
    context.close()
    assert errors == []
    assert foreign == []


def run_all(page, url, seconds=240) -> None:
    """Opens a notebook and runs it to the end of its last cell, or fails with what it says."""
    page.goto(url)
    idle = page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]")
    idle.wait_for(timeout=120_000)
    prompts = page.locator(".jp-CodeCell .jp-InputPrompt")
    errors = page.locator(".jp-RenderedText[data-mime-type*=error]")
    begun = time.monotonic()
    again = begun
    while True:
        said = prompts.all_text_contents()
        waiting = not idle.count() or any("*" in one for one in said)
        if not waiting and re.search(r"\d", said[-1]):
            return
        assert not errors.count(), errors.first.text_content()
        assert time.monotonic() < begun + seconds, said
        if not waiting and time.monotonic() >= again:
            # JupyterLab runs nothing, or not all, and says nothing, while it connects a kernel.
            page.get_by_role("menuitem", name="Run", exact=True).click()
            page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
            again = time.monotonic() + _AGAIN
        page.wait_for_timeout(500)


def picture(page, name) -> None:
    if PICTURES:
        page.wait_for_timeout(500)
        page.screenshot(path=Path(PICTURES) / f"{name}.png")


def test_the_first_notebook_runs_to_its_end_and_shows_charts(lab, browser):
    """Fails if a person who presses Run All sees an error, no chart, or a call to the internet."""
    with tab(browser) as page:
        run_all(page, f"{lab[0]}/lab/tree/notebooks/1_avatar_coverage.ipynb?reset")
        outputs = page.locator(".jp-OutputArea")
        outputs.locator(".pa-panel table").first.wait_for(state="attached", timeout=120_000)
        expect(outputs.locator("img[alt]").nth(2)).to_be_attached()
        expect(outputs.locator(".widget-progress, .jupyter-widgets").first).to_be_attached()
        assert page.locator(".jp-RenderedText[data-mime-type*=error]").count() == 0
        outputs.locator("img[alt]").first.scroll_into_view_if_needed()
        picture(page, "notebook")


def test_a_saved_notebook_shows_what_its_panels_said(lab, browser):
    """Fails if who opens a notebook again, without the kernel that ran it, reads only an error."""
    url, folder = lab
    notebook = json.loads(_notebook(folder))
    bar = "toolkit.Bar()(toolkit.progress.Progress(1, 2))"
    notebook["cells"][0]["source"] = f"import toolkit.progress\n{bar}\ntoolkit.collector()"
    saved = folder / "saved.ipynb"
    saved.write_text(json.dumps(notebook), "utf-8")
    with tab(browser) as page:
        run_all(page, f"{url}/lab/tree/saved.ipynb?reset")
        button(page, "Collect").wait_for()
        static = page.get_by_text("Run this cell again to use the panel.")
        expect(static).to_be_hidden()
        page.keyboard.press("Control+s")
        while not json.loads(saved.read_text("utf-8"))["cells"][0]["outputs"]:
            page.wait_for_timeout(200)
        with urlopen(f"{url}/api/sessions") as answer:
            (kernel,) = (one["id"] for one in json.load(answer) if one["name"] == saved.name)
        page.evaluate(
            """async (id) => fetch(`/api/sessions/${id}`, {method: "DELETE",
            headers: {"X-XSRFToken": document.cookie.match(/_xsrf=([^;]*)/)[1]}})""",
            kernel,
        )
        page.goto(f"{url}/lab/tree/saved.ipynb?reset")
        expect(static).to_be_visible(timeout=120_000)
        errors = page.get_by_text("Error displaying widget")
        expect(errors).to_have_count(2)
        expect(errors.and_(page.locator(":visible"))).to_have_count(0)
        # JupyterLab asks nothing over the first screen.
        expect(page.get_by_text("Jupyter news")).to_have_count(0)
        picture(page, "saved")


def with_fewer_people(notebook: str) -> str:
    """Make the embedded tenant of a notebook smaller: each picture takes 10 ms to draw and judge.

    The first notebook has all 5,000 people.
    """
    found = json.loads(notebook)
    (cell,) = found["cells"]
    fewer = "panel.embedded_tenant = partial(panel.embedded_tenant, 1_000)"
    imported = "from functools import partial\nfrom toolkit.panels import collector_panel as panel"
    cell["source"] = f"{imported}\n{fewer}\n{cell['source']}"
    return json.dumps(found)


@pytest.fixture(scope="module", params=["lab", "voila"])
def panel(request, browser, slow, tmp_path_factory):
    """The dashboard's panels in JupyterLab, and the same served by Voilà."""
    tenant = slow.environment()
    if request.param == "lab":
        url, folder = request.getfixturevalue("lab")
        notebook = json.loads(with_fewer_people(_notebook(folder)))
        cell = notebook["cells"][0]
        cell["source"] = f"import os\nos.environ |= {tenant!r}\n{cell['source']}"
        (folder / "panels.ipynb").write_text(json.dumps(notebook), "utf-8")
        with tab(browser) as page:
            run_all(page, f"{url}/lab/tree/panels.ipynb?reset")
            yield ready(page, request.param, folder)
        return
    folder = tmp_path_factory.mktemp("voila")
    (folder / "files").mkdir()
    port = free_port()
    command, paths = served(folder / "files", folder, "127.0.0.1", port)
    shown = folder / "files" / "page" / "dashboard.ipynb"
    shown.write_text(with_fewer_people(shown.read_text("utf-8")), "utf-8")
    command.append("--no-browser")
    with (
        serving(command, port, folder, **tenant, **paths) as url,
        tab(browser) as page,
    ):
        page.goto(f"{url}/?token={token_in(folder / 'files')}&theme=dark")
        yield ready(page, request.param, folder)


def ready(page, face, folder):
    button(page, "Collect").wait_for(timeout=120_000)
    page.face, page.folder = face, folder
    return page


def button(page, name):
    return page.locator(".pa-panel").get_by_role("button", name=name, exact=True)


def field(page, label):
    fields = page.locator(".pa-field").filter(has=page.get_by_text(label, exact=True))
    return fields.locator("select, input")


def alert(page):
    return page.locator(".pa-panel [role=alert]")


def step(page, name):
    """Press a step on the left."""
    page.locator(".pa-steps button", has_text=name).click()


def settled(page) -> None:
    """Wait until the embedded tenant is collected, and all are asked about."""
    said = page.locator(".pa-stage [role=status]", has_text=re.compile("^Asked: "))
    said.wait_for(timeout=600_000)


def explored(page):
    """The people of a snapshot: collected, unless a test before has done it."""
    if not page.locator(".pa-table table").count():
        step(page, "Connect")
        field(page, "tenant").select_option(label="the embedded tenant (made-up people)")
        button(page, "Collect").click()
        settled(page)
    step(page, "People")
    page.locator(".pa-table table").wait_for(timeout=120_000)
    if button(page, "Show all").is_visible():
        button(page, "Show all").click()
    button(page, "Clear").click()
    expect(page.locator(".pa-big:visible")).to_have_text("1,000 users")
    expect(page.locator(".pa-foot [role=status]")).to_have_text("1 to 25 of 1,000")
    return page


def test_an_error_is_a_line_that_says_what_to_do(panel):
    """Fails if a file that cannot be written leaves a person without a word."""
    out = field(panel, "snapshot file")
    before = out.input_value()
    out.fill("/proc/nowhere/snapshot.parquet")
    out.press("Enter")
    button(panel, "Collect").click()
    expect(alert(panel)).to_contain_text("Cannot write", timeout=90_000)
    picture(panel, f"error-{panel.face}")
    out.fill(before)
    out.press("Enter")


def test_a_collection_runs_to_its_end_and_shows_the_users(panel):
    """Fails if Collect does not end with a chart and a table."""
    explored(panel)
    expect(panel.locator(".pa-panel [role=status]").first).to_contain_text("1,000 users, complete")
    assert alert(panel).count() == 0
    written = list((panel.folder / "out").glob("127.0.0.1-*/*.parquet"))
    assert [path.stat().st_mode & 0o777 for path in written] == [0o600] * len(written) != []
    expect(panel.locator(".pa-table tbody tr")).to_have_count(25)
    picture(panel, f"explorer-{panel.face}")


def test_a_filter_changes_chart_and_table(panel):
    """Fails if choosing a source leaves other users in the bars or in the table."""
    explored(panel)
    everybody = panel.locator(".pa-stack .pa-name").first.inner_text()
    field(panel, "source").select_option(index=1)
    expect(panel.locator(".pa-big:visible")).not_to_have_text("1,000 users")
    expect(panel.locator(".pa-stack .pa-name").first).not_to_have_text(everybody)
    expect(panel.locator(".pa-table tbody tr td:nth-child(4)")).to_have_text(["social"] * 25)
    expect(panel.locator(".pa-legend button")).to_have_count(1)


def test_a_press_on_a_bar_lists_its_users(panel):
    """Fails if a bar is a picture that cannot be pressed."""
    explored(panel)
    part = panel.locator(".pa-bar button.pa-custom").nth(1)
    users = re.search(r"([\d,]+) users of (\S+),", part.get_attribute("title"))
    part.focus()
    panel.keyboard.press("Enter")
    expect(
        panel.locator(".pa-title", has_text=f"The {users[1]} users of {users[2]}")
    ).to_be_visible()
    rows = panel.locator(".pa-table tbody tr")
    some = min(25, int(users[1].replace(",", "")))
    expect(rows.locator("td:nth-child(4)")).to_have_text(["custom"] * some)
    expect(rows.locator("td:nth-child(2)")).to_have_text([users[2]] * some)
    expect(panel.locator(".pa-big:visible")).to_have_text("1,000 users")


def test_names_and_pictures_are_shown_only_when_asked_for(panel):
    """Fails if an address is readable at first, or a picture comes from elsewhere."""
    explored(panel)
    table = panel.locator(".pa-table")
    assert "•••@" in table.inner_text()
    assert table.locator("img").count() == 0
    panel.get_by_text("show names and e-mail addresses").click()
    panel.get_by_text("show pictures", exact=True).click()
    expect(table).not_to_contain_text("•••@")
    table.locator("img").nth(3).wait_for(timeout=90_000)
    sources = {img.get_attribute("src")[:22] for img in table.locator("img").all()}
    assert sources == {"data:image/png;base64,"}
    panel.wait_for_timeout(300)
    picture(panel, f"pictures-{panel.face}")
    panel.get_by_text("show names and e-mail addresses").click()
    panel.get_by_text("show pictures", exact=True).click()
    expect(table).to_contain_text("•••@")


def test_listed_users_are_downloaded(panel):
    """Fails if the CSV button downloads nothing, or others than those in the table."""
    explored(panel)
    panel.locator(".pa-legend button.pa-custom").click()
    expect(panel.locator(".pa-title", has_text="whose picture is custom")).to_be_visible()
    with panel.expect_download(timeout=90_000) as download:
        button(panel, "CSV").click()
    assert download.value.suggested_filename.endswith("-selection.csv")
    assert set(pd.read_csv(download.value.path())["source"]) == {"custom"}
    expect(panel.get_by_text(re.compile(r"^Downloaded [\d,]+ users as "))).to_be_visible()


def test_the_table_is_sorted_opened_and_turned_by_mouse_and_by_keyboard(panel):
    """Fails if a head does not sort, a row does not open, or the focus is lost with a key."""
    explored(panel)
    table, where = panel.locator(".pa-table table"), panel.locator(".pa-foot [role=status]")
    joined = table.locator("th", has_text="joined")
    for state in ("ascending", "descending"):
        joined.locator("button").press("Enter")
        expect(joined).to_have_attribute("aria-sort", state)
        expect(joined.locator("button")).to_be_focused()
    days = table.locator("tbody td:nth-child(5)").all_text_contents()
    assert days == sorted(days, reverse=True)
    people = table.locator("tbody th button")
    people.nth(2).press("Enter")
    expect(people.nth(2)).to_have_attribute("aria-expanded", "true")
    expect(people.nth(2)).to_be_focused()
    expect(table.locator(".pa-why")).to_contain_text("The picture counts as")
    expect(table.locator(".pa-why")).to_contain_text("show names and e-mail addresses to see it")
    people.nth(2).click()
    expect(table.locator(".pa-why")).to_have_count(0)
    button(panel, "Next").press("Enter")
    expect(where).to_have_text("26 to 50 of 1,000")
    button(panel, "Back").click()
    expect(where).to_have_text("1 to 25 of 1,000")
    button(panel, "Copy as Python").click()
    expect(panel.locator(".pa-code")).to_have_value(
        re.compile(r"order='joined', descending=True, limit=1000")
    )
    table.locator("th", has_text="user").locator("button").click()
    picture(panel, f"people-{panel.face}")


def test_a_finding_shows_its_users_and_filters_take_more_values_or_their_contrary(panel):
    """Fails if a finding cannot list its people, or a second value replaces the first one."""
    explored(panel)
    row = panel.locator(".pa-finding", has_text="Gravatars of another e-mail address")
    shown = row.get_by_role("button", name=re.compile("^Show the"))
    users = shown.inner_text().removeprefix("Show the ")
    shown.click()
    expect(panel.locator(".pa-title", has_text=f"The {users} users of “Grav")).to_be_visible()
    expect(panel.locator(".pa-foot [role=status]")).to_contain_text(f"of {users}")
    button(panel, "Gravatars of another e-mail address ✕").click()
    expect(panel.locator(".pa-big:visible")).to_have_text("1,000 users")
    counted = panel.locator(".pa-big:visible")
    for name in ("facebook", "linkedin"):
        before = counted.inner_text()
        choices = field(panel, "connection").locator("option").all_inner_texts()
        (index,) = [place for place, one in enumerate(choices) if one.startswith(name)]
        field(panel, "connection").select_option(index=index)
        expect(button(panel, f"{name} ✕")).to_be_visible()
        # The number follows the button after a moment.
        expect(counted).not_to_have_text(before)
    both = counted.inner_text()
    button(panel, "connection is").click()
    expect(button(panel, "connection is not")).to_be_visible()
    expect(counted).not_to_have_text(both)
    numbers = [int(words.split()[0].replace(",", "")) for words in (both, counted.inner_text())]
    assert sum(numbers) == 1000
    picture(panel, f"filters-{panel.face}")


def test_the_people_pass_an_accessibility_check(panel, request, tmp_path):
    """Fails if somebody who cannot see the table, or not well, is told less than others."""
    explored(panel)
    axe = installed(request.config, "axe-core", HERE / "axe" / "package.json", tmp_path)
    panel.locator(".pa-table tbody th button").first.click()
    panel.locator(".pa-why").wait_for()
    source = (axe / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8")
    panel.evaluate(source)
    for part in (".pa-table", ".pa-findings", ".pa-chips"):
        found = panel.evaluate("part => axe.run(part)", part)
        nodes = [(one["id"], node["html"]) for one in found["violations"] for node in one["nodes"]]
        assert nodes == [], part


def test_a_collection_is_paused_cancelled_and_gone_on_with(panel):
    """Fails if a slow collection cannot be stopped, or starts from nothing afterwards."""
    step(panel, "Connect")
    field(panel, "tenant").select_option(index=0)
    out = field(panel, "snapshot file")
    out.fill("out/slow.parquet")
    out.press("Enter")
    button(panel, "Collect").click()
    said = panel.locator(".pa-panel [role=status]").first
    expect(said).to_have_text("Reading …", timeout=90_000)
    button(panel, "Pause").click()
    expect(said).to_contain_text("Paused")
    picture(panel, f"collecting-{panel.face}")
    button(panel, "Go on").click()
    button(panel, "Cancel").click()
    expect(said).to_contain_text("Cancelled", timeout=90_000)
    assert alert(panel).count() == 0
    expect(button(panel, "Collect").or_(button(panel, "Resume"))).to_be_enabled()


def test_a_file_is_uploaded_or_named_and_its_users_are_shown(panel):
    """Fails if a person who has no credentials cannot read a file, or is not told its limit."""
    users = [json.dumps(loadable(person)) for person in people(40)]
    (panel.folder / "named.ndjson").write_text("\n".join(users[:30]))
    mine = panel.folder / "server" / "mailed.ndjson"  # no folder that the panel reads
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("\n".join(users))
    step(panel, "Connect")
    out = field(panel, "snapshot file")
    out.fill("")
    out.press("Enter")
    button(panel, "A file").click()
    expect(field(panel, "tenant")).not_to_be_visible()
    expect(panel.get_by_text("An upload takes up to 10 MB")).to_be_visible()
    proposed = panel.locator(".pa-field datalist option")
    assert "named.ndjson" in [option.get_attribute("value") for option in proposed.all()]
    name = field(panel, "file of users")
    name.fill("nobody.csv")
    name.press("Enter")
    button(panel, "Read").click()
    expect(alert(panel)).to_contain_text("nobody.csv cannot be read")
    name.fill("named.ndjson")
    name.press("Enter")
    button(panel, "Read").click()
    shown = panel.locator(".pa-stage .pa-muted:visible").first
    expect(shown).to_contain_text("30 users")
    assert alert(panel).count() == 0
    step(panel, "Connect")
    with panel.expect_file_chooser() as chooser:
        panel.locator(".pa-panel .jupyter-button", has_text="Upload").click()
    chooser.value.set_files(mine)
    expect(name).to_have_value("mailed.ndjson")
    button(panel, "Read").click()
    expect(shown).to_contain_text("40 users")
    expect(panel.locator(".pa-panel [role=status]").first).to_contain_text("Read 40 users")
    step(panel, "Connect")
    picture(panel, f"file-{panel.face}")
