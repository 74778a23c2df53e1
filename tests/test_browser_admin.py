"""The admin's panel in a real browser, from the picture's address to a login that carries it."""

import json
import re

import httpx
import pytest
from playwright.sync_api import expect

from tests.conftest import settings_of
from tests.sandbox.login import LoginSandbox
from tests.test_browser import (
    CHROMIUM,
    REQUIRED,
    alert,
    browser,
    button,
    field,
    free_port,
    lab,
    picture,
    run_all,
    serving,
    tab,
    token_in,
)
from toolkit.change.apply_plan import apply
from toolkit.change.prepare import plan
from toolkit.collection.collect_users import collect
from toolkit.launch.notebook_pages import served
from toolkit.sandbox.made_up.tenants import ACTIONS, RULES, loadable, people
from toolkit.tenant.client import connect

__all__ = ["browser", "lab"]  # fixtures

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None and not REQUIRED,
        reason="NO BROWSER: install chromium to test the panel as people see it",
    ),
]

NEW = "https://images.example.com/brand/default-7.png"
CELL = """
import os
os.environ |= {environment!r}
import toolkit
from toolkit.panels.choose.admin_panel import choose_default_picture
tenant = toolkit.open_tenant()
choose_default_picture(toolkit.collect(tenant, method="search"), tenant, folder={folder!r})
"""


@pytest.fixture(scope="module")
def sandbox():
    users = map(loadable, people(1200))
    with LoginSandbox(users, actions=ACTIONS, rules=RULES) as sandbox:
        yield sandbox


def notebook(sandbox, folder) -> str:
    source = CELL.format(environment=sandbox.environment(), folder=str(folder))
    cell = {
        "cell_type": "code",
        "id": "0",
        "metadata": {},
        "execution_count": None,
        "outputs": [],
        "source": source.strip(),
    }
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel}
    return json.dumps({"cells": [cell], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


@pytest.fixture(params=["lab", "voila"])
def panel(request, browser, sandbox, tmp_path):
    """The panel in JupyterLab, and the same served by Voilà in the dark."""
    kept = tmp_path / "kept"
    kept.mkdir()
    if request.param == "lab":
        url, folder = request.getfixturevalue("lab")
        (folder / "admin.ipynb").write_text(notebook(sandbox, kept), "utf-8")
        with tab(browser) as page:
            run_all(page, f"{url}/lab/tree/admin.ipynb?reset")
            yield ready(page, request.param)
        return
    port = free_port()
    (tmp_path / "voila").mkdir()
    command, paths = served(tmp_path / "voila", tmp_path, "127.0.0.1", port)
    (tmp_path / "voila" / "page" / "dashboard.ipynb").write_text(notebook(sandbox, kept), "utf-8")
    with serving([*command, "--no-browser"], port, tmp_path, **paths) as url, tab(browser) as page:
        page.goto(f"{url}/?token={token_in(tmp_path / 'voila')}&theme=dark")
        yield ready(page, request.param)


def ready(page, face):
    field(page, "address of the picture").wait_for(timeout=120_000)
    page.face = face
    return page


@pytest.fixture
def claimed(sandbox):
    """Log somebody in whose picture is initials; return the picture in their ID token."""
    someone = next(
        user["user_id"]
        for user in sandbox.users()
        if user.get("picture", "").startswith("https://cdn.auth0.com/avatars/")
    )
    asked = {
        "grant_type": "client_credentials",
        "client_id": sandbox.client_id,
        "client_secret": sandbox.client_secret,
        "audience": f"{sandbox.base_url}/api/v2/",
    }
    with httpx.Client(base_url=sandbox.base_url, trust_env=False) as client:
        token = client.post("/oauth/token", json=asked).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}

        def claimed() -> str:
            answer = client.post("/sandbox/login", json={"user_id": someone}, headers=headers)
            return answer.json()["id_token"]["picture"]

        yield claimed


def confirm(page, sandbox) -> None:
    typed = page.locator(".pa-confirm input:enabled")
    typed.fill(sandbox.domain)


def ended(page, what) -> None:
    said = page.locator(".pa-panel [role=status]", has_text=f"{what} at ")
    said.wait_for(timeout=120_000)


def test_a_default_picture_is_chosen_applied_and_undone(panel, sandbox, claimed):
    """Fails if what an admin clicks does not reach a login, or does not come off again."""
    before = claimed()
    assert before.startswith("https://cdn.auth0.com/avatars/")
    url = field(panel, "address of the picture")
    url.fill("http://images.example.com/brand/default-7.svg?v=2")
    expect(panel.locator(".pa-fail").first).to_contain_text("http: pages served over https")
    expect(panel.locator(".pa-fail", has_text="query string")).to_be_visible()
    expect(button(panel, "Rehearse")).to_be_disabled()
    picture(panel, f"admin-refused-{panel.face}")
    url.fill(NEW)
    answer = panel.locator(".pa-answer")
    expect(answer).to_contain_text("nobody loses a picture of their own", timeout=90_000)
    assert re.match(r"[\d,]+ to [\d,]+ of 1,200 people see another", answer.inner_text())
    panel.locator(".pa-gallery img[alt*='what the host shows']").first.wait_for(timeout=90_000)
    shown = panel.locator(".pa-panel img")
    sources = {shown.nth(number).get_attribute("src")[:22] for number in range(shown.count())}
    assert sources == {"data:image/png;base64,"}
    tall(panel, f"admin-{panel.face}")
    assert claimed() == before

    button(panel, "Rehearse").click()
    ended(panel, "Rehearsed")
    assert claimed() == before
    apply = panel.locator(".pa-danger", has_text="Apply to")
    expect(apply).to_be_disabled()
    confirm(panel, sandbox)
    expect(apply).to_be_enabled()
    picture(panel, f"admin-rehearsed-{panel.face}")
    apply.click()
    ended(panel, "Done")
    assert claimed() == NEW
    button(panel, "Check").click()
    ended(panel, "Checked")
    expect(panel.get_by_text("3 of 3 checked are in place")).to_be_visible()
    tall(panel, f"admin-applied-{panel.face}")

    expect(button(panel, "Undo")).to_be_disabled()
    button(panel, "Rehearse undo").click()
    ended(panel, "Undo rehearsed")
    assert claimed() == NEW
    undo = button(panel, f"Remove the default picture at {sandbox.domain}")
    expect(undo).to_be_disabled()
    confirm(panel, sandbox)
    expect(undo).to_be_enabled()
    tall(panel, f"admin-undoing-{panel.face}")
    undo.click()
    ended(panel, "Undone")
    assert claimed() == before
    assert alert(panel).count() == 0


def tall(page, name) -> None:
    """Take a picture of the whole panel."""
    size = page.viewport_size
    page.set_viewport_size({"width": size["width"], "height": 2300})
    picture(page, name)
    page.set_viewport_size(size)


def test_what_another_process_writes_is_shown_and_stopped_from_the_page(browser, sandbox, tmp_path):
    """Fails if who opens the page while a change runs cannot see it, stop it and put it back."""
    kept = tmp_path / "kept"
    kept.mkdir()
    before = {one["user_id"]: one.get("picture") for one in sandbox.users()}
    with connect(settings_of(sandbox)) as tenant:
        snapshot = collect(tenant, method="search")
        made = plan(snapshot, NEW, through="root", out=kept / "new.plan")
        running = apply.steps(
            tenant, made, execute=True, confirm=tenant.domain, agreed=True, workers=1
        )
        next(running)
        port = free_port()
        (tmp_path / "voila").mkdir()
        command, paths = served(tmp_path / "voila", tmp_path, "127.0.0.1", port)
        page_file = tmp_path / "voila" / "page" / "dashboard.ipynb"
        page_file.write_text(notebook(sandbox, kept), "utf-8")
        with (
            serving([*command, "--no-browser"], port, tmp_path, **paths) as url,
            tab(browser) as page,
        ):
            page.goto(f"{url}/?token={token_in(tmp_path / 'voila')}")
            page.face = "voila"
            banner = page.locator(".pa-changes")
            expect(banner).to_contain_text("Running: ", timeout=120_000)
            picture(page, "admin-running-elsewhere")
            banner.get_by_role("button", name="Stop", exact=True).click()
            expect(banner).to_contain_text("It is stopping.")
            for _ in running:
                pass
            changed = sum(before[one["user_id"]] != one.get("picture") for one in sandbox.users())
            expect(banner).to_contain_text(f"stopped at {changed} of", timeout=30_000)
            banner.get_by_role("button", name=f"Put the {changed} back").click()
            ended(page, "Undo rehearsed")
            picture(page, "admin-stopped-elsewhere")
            confirm(page, sandbox)
            button(page, f"Put back {changed} people at {sandbox.domain}").click()
            ended(page, "Undone")
            expect(banner).not_to_contain_text("stopped at")
    assert {one["user_id"]: one.get("picture") for one in sandbox.users()} == before
