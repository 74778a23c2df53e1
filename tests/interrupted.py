"""Interrupts apply and undo in a real browser at random moments, by hand: no page may be wrong.

`uv run python -m tests.interrupted [SEED [WAY …]]` takes about twenty minutes. Each round applies
a default picture to profiles and undoes it. Either is interrupted once: a reload, a second tab, a
killed kernel, a closed browser, a reload at once after the press. Then a page is opened anew: what
it says is compared with what the tenant holds, and the change is finished from there. At the end
each user has the former picture, and was written to once in each direction.
"""

import os
import random
import re
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser, Page, sync_playwright

from tests.test_browser import CHROMIUM, FLAGS, button, free_port, serving, token_in
from tests.test_browser_admin import NEW, confirm, notebook
from toolkit.launch.notebook_pages import served
from toolkit.sandbox.made_up.tenants import loadable, people
from toolkit.sandbox.server import Sandbox

WAYS = ("reload", "second tab", "killed kernel", "closed browser", "reload at once")
USERS = 90
_LONG = 240_000  # milliseconds


class Round:
    """One page at one dashboard, which can be interrupted and opened again."""

    def __init__(
        self, browser: Browser, url: str, sandbox: Sandbox, before: dict[str, str]
    ) -> None:
        self._browser, self._url, self._sandbox, self._before = browser, url, sandbox, before
        self._context = browser.new_context(viewport={"width": 1280, "height": 1600})
        self.page = self._opened()

    @property
    def changed(self) -> int:
        """How many users have another picture than at first."""
        return sum(
            self._before[one["user_id"]] != one.get("picture") for one in self._sandbox.users()
        )

    def close(self) -> None:
        self._context.close()

    def interrupt(self, way: str) -> None:
        """Do to the page what people and machines do."""
        if way == "killed kernel":
            for pid in kernels(os.getpid()):
                os.kill(pid, signal.SIGKILL)
        if way == "closed browser":
            self._context.close()
            time.sleep(3)
            self._context = self._browser.new_context(viewport={"width": 1280, "height": 1600})
        elif way != "second tab":
            self.page.close()
        self.page = self._opened()

    def said(self) -> str:
        """Wait until the page says what runs or stopped, or that nothing does."""
        text = ""
        for _ in range(60):
            text = " ".join(self.page.locator(".pa-changes").all_inner_texts())
            if re.search("unning: |stopped at", text):
                break
            time.sleep(0.25)
        return " ".join(text.split())

    def end(self, what: str) -> None:
        self.page.locator("[role=status]", has_text=f"{what} at ").last.wait_for(timeout=_LONG)

    def _opened(self) -> Page:
        page = self._context.new_page()
        page.on("dialog", lambda asked: asked.accept())  # whether to leave the page
        page.goto(self._url, timeout=_LONG)
        button(page, "Check").wait_for(state="attached", timeout=_LONG)
        return page


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def kernels(pid: int) -> list[int]:
    """Return the kernels below a process."""
    below = []
    for one in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = int((one / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid:
                words = (one / "cmdline").read_text()
                own = [int(one.name)] if "ipykernel_launcher" in words else []
                below += own or kernels(int(one.name))
    return below


def press(one: Round, sandbox: Sandbox, starts: str) -> None:
    """Confirm what was rehearsed, and press the button that writes."""
    confirm(one.page, sandbox)
    tick = one.page.get_by_label(re.compile("are meant"))
    if tick.count() and tick.is_visible():
        tick.check()
    one.page.locator(".pa-danger:enabled", has_text=re.compile(starts)).click()


def interrupted(one: Round, sandbox: Sandbox, act: str, way: str, moment: int, whole: int) -> None:
    """Begin to apply or to undo, interrupt it, compare what is said, and finish it.

    It is interrupted after `moment` users of the `whole` that are written to.
    """
    starts = "Apply to" if act == "apply" else "Put back"
    press(one, sandbox, starts)
    begun = one.changed
    until = time.monotonic() + 200
    while abs(one.changed - begun) < moment and time.monotonic() < until:
        time.sleep(0.2)
    at = one.changed
    one.interrupt(way)
    said, now = one.said(), one.changed
    _say(f"{act}, {way}, at {at} changed: the page says: {said or '(nothing)'}; true: {now}")
    while "unning: " in one.said():
        time.sleep(2)
    said = one.said()
    if said:
        _say(f"   then: {said}; true: {one.changed}")
        number = re.search(r"stopped at (\d+) of", said)
        held = one.changed if act == "apply" else whole - one.changed
        assert number is not None, said
        assert int(number[1]) == held
        one.page.locator(".pa-changes").get_by_role("button", name="Go on").click()
        one.end("Rehearsed" if act == "apply" else "Undo rehearsed")
        press(one, sandbox, starts)
        one.end("Done" if act == "apply" else "Undone")
    assert one.changed == (whole if act == "apply" else 0)


def patches(sandbox: Sandbox) -> int:
    """Return how many writes of users the tenant accepted."""
    counts = sandbox.requests.counts.items()
    return sum(n for (method, _, status), n in counts if (method, status) == ("PATCH", 200))


def main(seed: int, ways: Sequence[str]) -> None:
    """Do one round for each of these ways."""
    chance = random.Random(seed)
    with (
        Sandbox(map(loadable, people(USERS)), plan="free") as sandbox,
        TemporaryDirectory() as name,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS) as browser,
    ):
        folder = Path(name)
        before = {one["user_id"]: one.get("picture") for one in sandbox.users()}
        for way in ways:
            written = patches(sandbox)
            place = folder / way.replace(" ", "-")
            kept = place / "kept"
            kept.mkdir(parents=True)
            (place / "files").mkdir()
            port = free_port()
            command, paths = served(place / "files", place, "127.0.0.1", port)
            page_file = place / "files" / "page" / "dashboard.ipynb"
            page_file.write_text(notebook(sandbox, kept), "utf-8")
            with serving([*command, "--no-browser"], port, place, **paths) as root:
                url = f"{root}/?token={token_in(place / 'files')}"
                one = Round(browser, url, sandbox, before)
                one.page.locator(".pa-field input").first.fill(NEW)
                one.page.get_by_text("Write it into each profile").click()
                time.sleep(5)  # until the plan of the other way is gone
                apply = one.page.locator(".pa-danger", has_text=re.compile(r"Apply to \d+"))
                apply.wait_for(timeout=_LONG)
                button(one.page, "Rehearse").click(timeout=_LONG)
                one.end("Rehearsed")
                whole = int(re.search(r"(\d+) people", apply.inner_text())[1])
                first, second = (
                    0 if way == "reload at once" else chance.randint(3, whole - 12)
                    for _ in range(2)
                )
                interrupted(one, sandbox, "apply", way, first, whole)
                button(one.page, "Rehearse undo").click(timeout=_LONG)
                one.end("Undo rehearsed")
                interrupted(one, sandbox, "undo", way, second, whole)
                one.close()
            writes = patches(sandbox) - written
            _say(f"   all back: {one.changed == 0}; writes {writes} of {whole * 2}")
            assert one.changed == 0
            assert writes == whole * 2


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1, sys.argv[2:] or WAYS)
