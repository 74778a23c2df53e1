from datetime import UTC, datetime
from io import StringIO

import pandas as pd
import pytest
from rich.console import Console

from toolkit.coverage import coverage
from toolkit.palette import COLOURS
from toolkit.progress import Progress
from toolkit.snapshot import Provenance
from toolkit.terminal import coverage_table, headline, progress

USERS = pd.DataFrame(
    {
        "source": ["social"] * 1912 + ["unresolved"] * 900 + ["invalid"],
        "connection": ["google-oauth2"] * 1912 + ["[bold]db[/]\u202e" + "x" * 200] * 901,
    }
)


def drawn(thing, width):
    console = Console(file=StringIO(), width=width)
    console.print(thing)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_numbers_are_whole_at_any_width(width):
    text = drawn(coverage_table(coverage(USERS), width), width)
    for word in ("social", "unresolved", "1,912", "68.0 %", "900", "32.0 %", "<0.1 %"):
        assert word in text
    assert all(len(line) <= width for line in text.splitlines())


def test_the_longest_bar_is_the_largest_source_and_a_single_user_shows():
    social, unresolved, invalid = drawn(coverage_table(coverage(USERS), 100), 100).splitlines()
    assert social.count("█") == 30
    assert unresolved.count("░") == 15
    assert "█" not in unresolved
    assert "▏" in invalid


def test_names_that_somebody_typed_stay_text():
    text = drawn(coverage_table(coverage(USERS, "connection"), 120), 120)
    assert "[bold]db[/]" in text
    assert "\u202e" not in text


def test_a_group_is_a_bar_of_its_sources():
    text = drawn(coverage_table(coverage(USERS, "connection"), 120), 120)
    google = next(line for line in text.splitlines() if "google-oauth2" in line)
    assert google.count("█") == 30


def test_nobody_is_a_table_too():
    for by in ("source", "connection"):
        assert "0" not in drawn(coverage_table(coverage(USERS[:0], by), 80), 80)


def test_the_headline_says_whether_it_is_complete():
    values = ("tenant.example", datetime(2026, 1, 1, tzinfo=UTC), "search")
    for complete, words in ((True, "complete, reconciled"), (False, "NOT COMPLETE")):
        provenance = Provenance(*values, complete, 3, 1, 2, 0.5, False, "0.1.0")
        assert words in headline(coverage(USERS), provenance).plain


def test_every_source_has_a_colour_that_the_terminal_knows():
    table = coverage_table(coverage(pd.DataFrame({"source": list(map(str, COLOURS))})), 100)
    assert table.row_count == len(COLOURS)


def test_progress_draws_nothing_where_there_is_no_terminal(capfd):
    with progress("Collecting") as show:
        show(Progress(1, 2))
    assert capfd.readouterr() == ("", "")


def test_progress_on_a_terminal_shows_count_rate_and_time_left(monkeypatch):
    screen = StringIO()
    monkeypatch.setattr(
        "toolkit.terminal.Console",
        lambda **_: Console(file=screen, force_terminal=True, width=120),
    )
    with progress("Collecting") as show:
        show(Progress(0))
        show(Progress(1200, 5000, 400.0, 9.5, "3 windows reconciled", estimated=True))
    for words in ("Collecting", "1,200 of ≈ 5,000", "400/s", "0:09 left", "3 windows reconciled"):
        assert words in screen.getvalue()
