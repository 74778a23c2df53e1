"""The report in a real browser: readable by everybody, asking nobody for anything."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from tests.npm import installed
from tests.test_browser import CHROMIUM, FLAGS, pytestmark  # noqa: F401 - the same conditions
from toolkit.classification.frames import audit, profiles
from toolkit.classification.user_profile import user
from toolkit.collection.exports.reader import user_objects
from toolkit.reporting.html_report import report
from toolkit.snapshots.snapshot import Provenance, Snapshot

HERE = Path(__file__).parent
HOSTILE = "<img src=x onerror=document.title='pwned'>\u202e=HYPERLINK(1)" + "x" * 10_000


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    people = user_objects(HERE.parent / "data/users.ndjson.gz", "users")
    frame = audit(profiles(map(user, people)))
    frame.loc[:40, "connection"] = HOSTILE
    provenance = Provenance(
        tenant="tenant.example",
        taken_at=datetime(2026, 11, 20, tzinfo=UTC),
        method="search",
        complete=True,
        users=len(frame),
        windows=9,
        requests=60,
        seconds=2.0,
        sandbox=False,
        toolkit_version="0",
    )
    path = tmp_path_factory.mktemp("report") / "report.html"
    report(Snapshot(provenance, frame), path)
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_passes_an_accessibility_check_and_loads_nothing(
    page_file, scheme, request, tmp_path
):
    axe = installed(request.config, "axe-core", HERE / "axe" / "package.json", tmp_path)
    asked, errors = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        context = browser.new_context(color_scheme=scheme, bypass_csp=True)
        page = context.new_page()
        page.on("request", lambda one: asked.append(one.url))
        page.on("pageerror", lambda error: errors.append(error))  # noqa: PLW0108 - Playwright marks what it is given
        page.goto(page_file.as_uri())
        title = page.title()
        for details in page.locator("details").all():
            details.evaluate("one => { one.open = true; }")
        page.add_script_tag(path=axe / "node_modules" / "axe-core" / "axe.min.js")
        found = page.evaluate("axe.run()")
        browser.close()
    assert asked == [page_file.as_uri()]
    assert errors == []
    assert "pwned" not in title
    assert [(one["id"], one["impact"]) for one in found["violations"]] == []


def test_the_report_reads_the_same_without_scripts(page_file):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_context(java_script_enabled=False).new_page()
        page.goto(page_file.as_uri())
        assert page.get_by_role("heading", level=1).inner_text()
        assert page.get_by_role("table").count() >= 3
        browser.close()
    assert "<script" not in page_file.read_text()


def test_closed_tables_are_printed(page_file):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        page.goto(page_file.as_uri())
        table = page.locator("details table").first
        assert not table.is_visible()
        page.emulate_media(media="print")
        assert table.is_visible()
        browser.close()
