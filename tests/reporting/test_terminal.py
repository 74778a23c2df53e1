import re
import sys
from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO

import pandas as pd
import pytest
from rich.console import Console

from toolkit.analysis.coverage_count import Coverage, coverage
from toolkit.analysis.estimate import Estimate, Stratum
from toolkit.analysis.finding_counts import Finding, Findings
from toolkit.analysis.tenant_wiring import Wiring
from toolkit.classification.sources import Source
from toolkit.progress import Progress
from toolkit.reporting.palette import COLOURS, LETTERS
from toolkit.reporting.terminal import (
    coverage_table,
    findings_table,
    frame_table,
    headline,
    hints,
    own_line,
    progress,
    show_coverage,
    show_findings,
    show_frame,
    show_lines,
    show_parts,
    written,
)
from toolkit.snapshots.snapshot import Provenance

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
    assert google.count("S") == 30


@pytest.mark.parametrize("width", [80, 120])
def test_groups_are_told_apart_without_colours(width):
    by = Coverage("connection", COUNTED.counts.assign(group="db"))
    text = drawn(coverage_table(by, width), width)
    bar = next(line for line in text.splitlines() if line.startswith(" db ")).split()[-1]
    # In proportion: 600 social, 200 of them broken, 100 overrides, 1,000 unknown, 100 initials.
    assert re.fullmatch("S+s+M+[?]+I+", bar)
    for key in ("S social", "M metadata", "? unresolved", "I initials", "small letters: a broken"):
        assert key in text


def test_every_source_has_a_letter_of_its_own():
    assert set(LETTERS) == set(COLOURS)
    assert len({letter.lower() for letter in LETTERS.values()}) == len(LETTERS)


def test_where_there_is_no_room_for_bars_it_says_so():
    by = Coverage("connection", COUNTED.counts.assign(group="a connection's long name"))
    text = drawn(coverage_table(by, 50), 50)
    assert "need a wider terminal" in text.replace("\n", " ")
    assert "1,000" not in text
    assert all(len(line) <= 50 for line in text.splitlines())


def test_no_word_is_broken_in_a_narrow_terminal():
    words = {word for source in Source for word in source.meaning.split()}
    text = drawn(coverage_table(COUNTED, 80), 80)
    meanings = [word for line in text.splitlines() for word in line.split() if word.isalpha()]
    assert meanings
    assert {word for word in meanings if word.islower()} <= words | set(Source)
    assert "…" not in text.replace("GitHub, …", "")


def test_numbers_stand_to_the_right_even_as_texts_and_words_stay_whole(capsys):
    frame = pd.DataFrame({"source": ["placeholder"], "change": ["+39"], "moved to another": [7]})
    show_parts("A title", "A line.", ("A table", frame))
    out = capsys.readouterr().out
    for words in ("A title", "  A line.", "A table", " placeholder ", "    +39 "):
        assert words in out


def test_a_table_with_many_columns_breaks_no_word_in_80_columns():
    names = ["source", "before", "change", "new users", "deleted users"]
    frame = pd.DataFrame([["placeholder", "1,277", "-1,022", "0", "1,022"]], columns=names)
    frame["connection"] = "Username-Password-Authentication"
    text = drawn(frame_table(frame, 80), 80)
    words = {*" ".join([*names, "connection", *frame.iloc[0]]).split()}
    assert {*text.split()} == words
    assert all(len(line) <= 80 for line in text.splitlines())


def test_a_frame_with_room_is_not_squeezed():
    frame = pd.DataFrame({"way": ["action"], "what it does": ["a script runs at each login"]})
    assert len(drawn(frame_table(frame, 80), 80).splitlines()) == 2


def test_lines_end_between_words_on_a_terminal_and_commands_stay_whole(monkeypatch, capsys):
    command = f"    check: picture-audit verify {'x' * 60}.plan"
    said = f"apply of action\n  {'Add role to tokens, ' * 6}\u202e"
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    show_lines(f"{said}\n{command}")
    first, second, *rest, last = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert first == "apply of action"
    assert second.startswith("  Add role")
    assert max(map(len, (second, *rest))) <= 80
    assert second.split()[-1] in {"Add", "role", "to", "tokens,"}
    assert "\\u202e" in " ".join(rest)
    assert last == command


def test_lines_stay_whole_where_they_are_piped(capsys):
    words = f"  {'word ' * 60}".rstrip()
    show_lines(words)
    assert capsys.readouterr().out == f"{words}\n"


def test_a_path_is_never_broken(capsys):
    place = "out/" + "x" * 90 + ".parquet"
    written(Snapshot=place, Report="out/report.html")
    assert capsys.readouterr().out.split("\n") == [
        "",
        f"  Snapshot  {place}",
        "  Report  out/report.html",
        "",
    ]


def test_nobody_is_a_table_too():
    for by in ("source", "connection"):
        assert "0" not in drawn(coverage_table(coverage(USERS[:0], by), 80), 80)


def test_the_headline_says_whether_it_is_complete():
    values = ("tenant.example", datetime(2026, 1, 1, tzinfo=UTC), "search")
    for complete, words in ((True, "complete, reconciled"), (False, "NOT COMPLETE")):
        provenance = Provenance(*values, complete, 3, 1, 2, 0.5, False, "0.1.0")
        assert words in headline(len(USERS), provenance).plain


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
        "toolkit.reporting.terminal.Console",
        lambda **_: Console(file=screen, force_terminal=True, width=120),
    )
    with progress("Collecting") as show:
        show(Progress(0))
        show(Progress(1200, 5000, 400.0, 9.5, "3 windows reconciled", estimated=True))
    for words in ("Collecting", "1,200 of ≈ 5,000", "400/s", "0:09 left", "3 windows reconciled"):
        assert words in screen.getvalue()


NOW = datetime(2026, 1, 1, tzinfo=UTC)
FACTS = Provenance("t.example", NOW, "search", True, 3, 1, 2, 0.5, False, "0.1.0")
UNWIRED = replace(FACTS, wiring=Wiring((), actions=True, rules=True, as_of=NOW))
COLUMNS = ["group", "source", "seen", "users"]
ROWS = [
    ("a", "social", "own", 600),
    ("a", "social", "broken", 200),
    ("a", "metadata", "own", 100),
    ("a", "unresolved", "unknown", 1000),
    ("a", "initials", "initials", 100),
]
COUNTED = Coverage("source", pd.DataFrame(ROWS, columns=COLUMNS))
SAMPLED = replace(COUNTED, estimate=Estimate((Stratum("a", Source.INITIALS, 1000, 100, 30),)))


def test_what_can_be_done_stands_beside_what_it_concerns(capsys):
    show_coverage(COUNTED, UNWIRED)
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert "Gravatar or initials? picture-audit probe …" in lines["unresolved"]
    assert "nothing shows these: see findings" in lines["metadata"]
    assert "200 do not load: a broken image" in lines["social"]
    assert "Auth0's letters" in lines["initials"]


def test_hints_do_not_claim_what_nobody_has_read():
    assert Source.METADATA not in hints(COUNTED, FACTS)
    assert Source.UNRESOLVED not in hints(SAMPLED, FACTS)
    assert Source.UNRESOLVED not in hints(COUNTED, replace(FACTS, probed_at=NOW))


def test_what_has_expired_is_drawn_differently():
    social = drawn(coverage_table(COUNTED, 120), 120).splitlines()[1]
    assert "▒" in social
    assert "█" in social


def test_own_pictures_are_a_range_where_nobody_has_asked():
    text = drawn(own_line(COUNTED), 120)
    assert "See a picture of their own   35.0 to 85.0 %" in text
    assert "1,700 if all who are unknown have one" in text


@pytest.mark.parametrize("width", [80, 120])
def test_a_sample_shows_how_sure_it_is(width):
    text = drawn(coverage_table(SAMPLED, width), width)
    assert "unresolved" not in text
    assert "300 ± " in text
    assert all(len(line) <= width for line in text.splitlines())
    assert "50.0 % ± " in drawn(own_line(SAMPLED), 200)
    assert "a sample of 100 probed Gravatars" in drawn(own_line(SAMPLED), 200)


def test_groups_say_how_many_see_a_picture_of_their_own():
    by = Coverage("connection", COUNTED.counts.assign(group="db"))
    for width in (60, 120):
        assert "35 to 85 %" in drawn(coverage_table(by, width), width)


FOUND = Finding(
    "expired",
    "medium",
    "Expired [bold]pictures[/bold]",
    1234,
    0.0256,
    "They do not load.",
    "Rule “[red]x[/red]\u202e”: deploy the Action: picture-audit plan … --through action " * 3,
    ("auth0|1",),
)


@pytest.mark.parametrize("width", [80, 120])
def test_findings_say_what_it_is_how_many_and_what_to_do(width):
    text = drawn(findings_table(Findings((FOUND,), 48213)), width)
    for words in ("medium", "1,234", "2.6 %", "Expired [bold]pictures[/bold]", "[red]x[/red]"):
        assert words in text
    assert "\u202e" not in text
    assert "auth0|1" not in text
    assert all(len(line) <= width for line in text.splitlines())


def test_notes_and_nothing_are_said(capsys):
    show_findings(Findings((), 3, ("Nobody has read [the] Actions.",)))
    out = capsys.readouterr().out
    assert "Nothing." in out
    assert "[the] Actions" in out


def test_a_frame_is_text(capsys):
    show_frame(pd.DataFrame({"host": ["[bold]x[/]\u202e"], "users": [12345], "share": [0.5]}))
    out = capsys.readouterr().out
    for words in ("[bold]x[/]", "\\u202e", "12,345", "0.500"):
        assert words in out
