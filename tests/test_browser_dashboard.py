"""The whole job in a real browser, by mouse alone and by keyboard alone."""

import re
import shutil
from dataclasses import replace
from datetime import timedelta
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
    settled,
    step,
    tab,
    token_in,
    with_fewer_people,
)
from toolkit.images.drawing import emblem
from toolkit.launch.notebook_pages import served
from toolkit.snapshots.snapshot import Snapshot, read_snapshot

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


# Whether the browser would ask somebody who leaves the page.
LEAVING = "() => !dispatchEvent(new Event('beforeunload', {cancelable: true}))"


@pytest.fixture
def page(browser, tmp_path):
    """The dashboard in a browser, ready to collect."""
    (tmp_path / "files").mkdir()
    port = free_port()
    command, paths = served(tmp_path / "files", tmp_path, "127.0.0.1", port)
    shown = tmp_path / "files" / "page" / "dashboard.ipynb"
    shown.write_text(with_fewer_people(shown.read_text("utf-8")), "utf-8")
    with (
        serving([*command, "--no-browser"], port, tmp_path, **paths) as url,
        tab(browser, accept_downloads=True) as page,
    ):
        page.goto(f"{url}/?token={token_in(tmp_path / 'files')}")
        button(page, "Collect").wait_for(timeout=120_000)
        yield page


@pytest.fixture
def axe(page, request, tmp_path):
    """Looks at the page when the system is light, and dark; returns what axe finds serious."""
    folder = installed(request.config, "axe-core", HERE / "axe" / "package.json", tmp_path)
    page.add_script_tag(path=folder / "node_modules" / "axe-core" / "axe.min.js")

    def looked(name: str) -> list:
        found = []
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            light = "true" if theme == "light" else "false"
            expect(page.locator("body")).to_have_attribute("data-jp-theme-light", light)
            found.extend((name, theme, *one) for one in page.evaluate(FOUND))
            picture(page, f"frame-{name}-{theme}")
        return found

    return looked


def test_each_step_is_reached_by_mouse_and_readable_by_all(page, axe, tmp_path):
    """Fails if a step has no button, shows an error, or has a serious finding of axe."""
    found: list = []
    expect(page.get_by_text("MADE-UP PEOPLE").first).to_be_visible()
    button(page, "Connect").click()
    expect(page.locator(".pa-rights li")).to_have_count(4)
    found += axe("collect")
    button(page, "Collect").click()
    page.locator(".pa-running b").wait_for(timeout=60_000)
    assert page.evaluate(LEAVING)
    settled(page)
    expect(page.locator(".pa-running")).to_have_text("Nothing is running in this page.")
    assert not page.evaluate(LEAVING)
    found += axe("answer")
    step(page, "People")
    page.locator(".pa-findings button").first.wait_for()
    found += axe("people")
    another(tmp_path)
    step(page, "Compare")
    page.locator(".pa-stage").get_by_role("button", name="Compare", exact=True).click()
    expect(page.get_by_text("points can be chance")).to_be_visible()
    button(page, "Delete …").click()
    found += axe("compare")
    button(page, "Delete for good").click()
    expect(page.get_by_text("Collect once more to compare.")).to_be_visible()
    assert len(list((tmp_path / "out").rglob("*.parquet"))) == 1
    step(page, "Report")
    button(page, "Make the report").click()
    with page.expect_download() as loaded:
        page.get_by_text("Download report").click()
    assert Path(loaded.value.path()).read_text("utf-8").startswith("<!doctype html>")
    found += axe("report")
    step(page, "Default picture")
    expect(button(page, "Rehearse")).to_be_enabled(timeout=120_000)
    found += axe("default")
    button(page, "Rehearse").click()
    page.locator("[role=status]", has_text="Rehearsed at ").wait_for(timeout=120_000)
    found += axe("rehearsed")
    assert alert(page).count() == 0
    assert found == []


def test_who_moved_what_settles_a_finding_and_a_picture_from_disk(page, axe, tmp_path):
    """Fails if a move, a fix or a file has no button, or axe finds something serious there."""

    def saved(name: str) -> tuple[str, bytes]:
        with page.expect_download() as loaded:
            page.get_by_role("button", name=name, exact=True).locator("visible=true").click()
        return loaded.value.suggested_filename, Path(loaded.value.path()).read_bytes()

    found: list = []
    button(page, "Collect").click()
    settled(page)
    assert saved("Chart as PNG")[1].startswith(b"\x89PNG")
    assert b"<svg" in saved("Chart as SVG")[1]
    old = read_snapshot(next((tmp_path / "out").rglob("*.parquet")))
    later, users = old.provenance.taken_at + timedelta(days=30), old.users.copy()
    users.loc[users.index[users["source"] == "initials"][:66], "source"] = "gravatar"
    place = old.path.with_name(f"{later:%Y-%m-%dT%H%M}.parquet")
    Snapshot(replace(old.provenance, taken_at=later), users).write(place)
    step(page, "Compare")
    page.locator(".pa-stage").get_by_role("button", name="Compare", exact=True).click()
    button(page, "Show the 66").click()
    expect(page.get_by_text("The 66 users of “initials → gravatar”")).to_be_visible()
    name, content = saved("CSV")
    assert name.endswith("-initials-gravatar-selection.csv")
    assert content.count(b"\n") == 67
    found += axe("moved")
    step(page, "People")
    row = page.locator(".pa-finding", has_text="Photos that nobody shows")
    row.get_by_role("button", name="Fix →").click()
    expect(page.get_by_text("Chosen below for “Photos that nobody shows”")).to_be_visible()
    expect(page.get_by_label("order of pictures")).to_have_value(re.compile("elsewhere"))
    expect(page.get_by_text("people see another picture").first).to_be_visible()
    found += axe("fix")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Try a file of yours").click()
    chooser.value.set_files({"name": "a.png", "mimeType": "image/png", "buffer": emblem()})
    expect(page.get_by_text("This is only a look")).to_be_visible()
    found += axe("disk")
    assert alert(page).count() == 0
    assert found == []


def another(folder: Path) -> None:
    """Keep a second snapshot, as if it had been collected before."""
    (kept,) = (folder / "out").rglob("*.parquet")
    shutil.copyfile(kept, kept.with_name("2026-01-01T0000.parquet"))


def reach(page, words: str) -> None:
    """Press Tab until what has the focus says these words."""
    said = []
    for _ in range(160):
        named = page.evaluate(
            "(one => one.matches('a, button, input') ? one.innerText || one.placeholder : '')"
            "(document.activeElement)"
        )
        if re.match(words, named.strip()):
            return
        said.append(named[:30])
        page.keyboard.press("Tab")
    raise AssertionError(f"{words} is not reached by Tab: {said}")


def press(page, words: str) -> None:
    reach(page, words)
    page.keyboard.press("Enter")


def entered(page, name: str) -> None:
    """The focus is at the beginning of a task."""
    expect(page.locator(".pa-stage > .pa-entrance")).to_be_focused()
    expect(page.locator(".pa-stage > .pa-entrance")).to_have_text(name)


def test_the_whole_job_is_done_by_keyboard_alone(page, tmp_path):
    """Fails if a step, a list or a button cannot be reached or passed without a mouse."""
    press(page, "Skip to the task")
    entered(page, "Connect and collect")
    press(page, "Connect$")
    expect(page.locator(".pa-rights li")).to_have_count(4)
    press(page, "Collect$")
    settled(page)
    press(page, "Answer$")
    entered(page, "Answer")
    press(page, "People$")
    entered(page, "People")
    page.keyboard.press("Tab")
    press(page, "Skip to the people")
    expect(page.locator(".pa-entrance", has_text="The people")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(page.get_by_label("show names and e-mail addresses")).to_be_checked()
    another(tmp_path)
    press(page, "Compare$")
    entered(page, "Compare")
    press(page, "Compare$")
    expect(page.get_by_text("points can be chance")).to_be_visible()
    press(page, "Report$")
    entered(page, "Report")
    press(page, "Make the report")
    page.get_by_text("Download report").wait_for()
    reach(page, "Download report")
    (folder,) = (tmp_path / "out").iterdir()
    change(page, folder.name.replace("127.0.0.1-", "127.0.0.1:"))
    assert alert(page).count() == 0


def change(page, domain: str) -> None:
    """Choose the default picture that is proposed, apply it, check it and undo it."""

    def ended(what: str) -> None:
        page.locator("[role=status]", has_text=f"{what} at ").wait_for(timeout=120_000)

    press(page, "Default picture$")
    entered(page, "Default picture")
    expect(button(page, "Rehearse")).to_be_enabled(timeout=120_000)
    press(page, "Rehearse$")
    ended("Rehearsed")
    reach(page, "type .* to confirm")
    page.keyboard.type(domain)
    press(page, "Apply to ")
    ended("Done")
    press(page, "Check$")
    ended("Checked")
    press(page, "Rehearse undo$")
    ended("Undo rehearsed")
    reach(page, "type .* to confirm")
    page.keyboard.type(domain)
    press(page, "Remove the default picture")
    ended("Undone")
