"""Takes the screenshots that stand in the README: `uv run python -m tests.screenshots`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import sync_playwright

import toolkit
from tests.pictures import FOLDER
from tests.test_browser import CHROMIUM, FLAGS

# The picture, and the test and the name under which it is taken.
_TAKEN = {
    "explorer.png": ("tests/test_browser.py", "explorer-voila"),
    "admin.png": ("tests/test_browser_admin.py", "admin-voila"),
}
_SCREEN = {"width": 1080, "height": 1300}


def _of_panels() -> None:
    """Take them while the browser tests run."""
    with TemporaryDirectory() as folder:
        tests = sorted({test for test, _ in _TAKEN.values()})
        command = [sys.executable, "-m", "pytest", "-q", *tests, "-k", "voila"]
        environment = os.environ | {"PICTURE_AUDIT_SCREENSHOTS": folder}
        subprocess.run(command, env=environment, check=True)
        for name, (_, taken) in _TAKEN.items():
            shutil.copyfile(Path(folder) / f"{taken}.png", FOLDER / name)


def _of_report() -> None:
    """Take the first screen of the report on the embedded tenant."""
    with TemporaryDirectory() as folder:
        snapshot = toolkit.demo(folder)
        page_file = Path(folder) / "page.html"
        toolkit.report(snapshot, page_file)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = browser.new_page(viewport=_SCREEN)
            page.goto(page_file.as_uri())
            page.screenshot(path=FOLDER / "report.png")
            browser.close()


if __name__ == "__main__":
    _of_report()
    _of_panels()
