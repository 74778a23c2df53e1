"""The whole job in a real browser, by mouse alone, on the embedded tenant."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.npm import installed
from tests.test_browser import (
    CHROMIUM,
    REQUIRED,
    alert,
    browser,
    button,
    free_port,
    picture,
    serving,
    step,
    tab,
    token_in,
)
from toolkit.launch.notebook_pages import served

__all__ = ["browser"]  # a fixture

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None and not REQUIRED,
        reason="NO BROWSER: install chromium to test the dashboard as people see it",
    ),
]

HERE = Path(__file__).parent
FOUND = """async () => (await axe.run(".pa-frame")).violations
    .filter(one => ["serious", "critical"].includes(one.impact))
    .map(one => [one.id, one.nodes.map(node => node.html.slice(0, 120))])"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_each_step_is_reached_by_mouse_and_readable_by_all(browser, tmp_path, request, theme):
    """Fails if a step has no button, shows an error, or has a serious finding of axe."""
    axe = installed(request.config, "axe-core", HERE / "axe" / "package.json", tmp_path)
    (tmp_path / "files").mkdir()
    port = free_port()
    command, paths = served(tmp_path / "files", tmp_path, "127.0.0.1", port)
    with (
        serving([*command, "--no-browser"], port, tmp_path, **paths) as url,
        tab(browser) as page,
    ):

        def look(name: str) -> None:
            found.extend((name, *one) for one in page.evaluate(FOUND))
            picture(page, f"frame-{name}-{theme}")

        found: list = []
        page.goto(f"{url}/?token={token_in(tmp_path / 'files')}&theme={theme}")
        button(page, "Collect").wait_for(timeout=120_000)
        page.add_script_tag(path=axe / "node_modules" / "axe-core" / "axe.min.js")
        expect(page.get_by_text("MADE-UP PEOPLE").first).to_be_visible()
        look("collect")
        button(page, "Collect").click()
        button(page, "Ask about 400 people").click(timeout=120_000)
        expect(page.get_by_text(re.compile("^Asked: [0-9]+ % ± "))).to_be_visible(timeout=120_000)
        expect(page.locator(".pa-running")).to_have_text("Nothing is running.")
        look("answer")
        step(page, "Connect")
        button(page, "Collect").click()
        expect(button(page, "Ask about 400 people")).to_be_visible(timeout=120_000)
        step(page, "Compare")
        page.locator(".pa-stage").get_by_role("button", name="Compare", exact=True).click()
        expect(page.get_by_text("not enough is known to say whether it changed")).to_be_visible()
        button(page, "Delete …").click()
        look("compare")
        button(page, "Delete for good").click()
        expect(page.get_by_text("Collect once more to compare.")).to_be_visible()
        assert len(list((tmp_path / "out").rglob("*.parquet"))) == 1
        step(page, "Report")
        button(page, "Make the report").click()
        with page.expect_download() as loaded:
            page.get_by_text("Download report").click()
        assert Path(loaded.value.path()).read_text("utf-8").startswith("<!doctype html>")
        look("report")
        assert alert(page).count() == 0
        assert found == []
