"""The journal: whose it is, what it survives, and what it says where it cannot be written."""

import json
import shutil
from pathlib import Path

import platformdirs
import pytest

from tests.change.conftest import NEW, as_killed, journal_of
from toolkit.change.edit import Edit, Field
from toolkit.change.journal import Header, State, journal_path, open_journal, read_journal
from toolkit.change.undo_journal import undo, undone
from toolkit.change.verify_plan import verify
from toolkit.errors import OutputError, SettingsError, UnreadableInputError

HEADER = Header("tenant.eu.auth0.com", "0123456789abcdef", "root")


def edit(number):
    return Edit(number, f"auth0|{number}", "db", "auth0", Field.ROOT, "https://a.b/c", ())


def test_what_is_begun_and_ended_is_known_again(tmp_path):
    path = tmp_path / "p.journal"
    with open_journal(path, HEADER, write=True) as journal:
        for number in range(4):
            journal.record_begin(edit(number), f"before {number}")
        journal.record_result(0, State.DONE)
        journal.record_result(1, State.REFUSED, "why")
        journal.record_result(2, State.FAILED, "broken")
        journal.record_result(7, State.DRIFTED, "moved")
    again = read_journal(path)
    assert [again.state(number) for number in range(9)] == [
        State.DONE,
        State.REFUSED,
        State.FAILED,
        State.BEGUN,
        None,
        None,
        None,
        State.DRIFTED,
        None,
    ]
    assert again.settled_count == 3
    assert [again.settled(number) for number in (0, 1, 2, 3, 7)] == [True, True, False, False, True]
    assert dict(again.reasons) == {
        (State.DONE, ""): 1,
        (State.REFUSED, "why"): 1,
        (State.DRIFTED, "moved"): 1,
    }
    ((entry, before),) = again.entries(State.DONE)
    assert (entry.user_id, before, entry.after) == ("auth0|0", "before 0", "https://a.b/c")


def test_begun_twice_what_stood_there_first_is_what_counts(tmp_path):
    path = tmp_path / "p.journal"
    for before in ("first", "second"):
        with open_journal(path, HEADER, write=True) as journal:
            journal.record_begin(edit(0), before)
    with open_journal(path, HEADER, write=True) as journal:
        journal.record_result(0, State.DONE)
    assert [before for _, before in read_journal(path).entries(State.DONE)] == ["first"]


def test_only_its_owner_can_read_it(tmp_path):
    path = tmp_path / "p.journal"
    with open_journal(path, HEADER, write=True):
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_journal_that_others_can_change_is_not_believed(tmp_path):
    path = tmp_path / "p.journal"
    with open_journal(path, HEADER, write=True) as journal:
        journal.record_begin(edit(0), "before")
    path.chmod(0o620)
    with pytest.raises(SettingsError, match="Others can change"):
        read_journal(path)


@pytest.mark.parametrize("torn", [b'{"n":3,"us', b"{", b'{"n":3,"state":"done","reason":""}'])
def test_a_torn_last_line_is_ignored_and_cut_off(tmp_path, torn):
    path = tmp_path / "p.journal"
    with open_journal(path, HEADER, write=True) as journal:
        journal.record_begin(edit(3), "before")
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    assert read_journal(path).state(3) is State.BEGUN
    with open_journal(path, HEADER, write=True) as journal:
        assert path.read_bytes() == whole
        journal.record_result(3, State.DONE)
    assert read_journal(path).state(3) is State.DONE


def test_torn_in_its_first_line_it_begins_anew(tmp_path):
    path = tmp_path / "p.journal"
    path.write_bytes(b'{"format":"auth0-pict')
    with open_journal(path, HEADER, write=True) as journal:
        assert journal.settled_count == 0
    assert read_journal(path).header == HEADER


@pytest.mark.parametrize("line", [b"nonsense\n", b"[]\n", b'{"n":1}\n', b'{"n":1,"state":"x"}\n'])
def test_a_damaged_line_is_said_and_nothing_is_lost(tmp_path, line):
    path = tmp_path / "p.journal"
    with open_journal(path, HEADER, write=True) as journal:
        journal.record_begin(edit(0), "before")
    with path.open("ab") as file:
        file.write(line)
    content = path.read_bytes()
    with pytest.raises(UnreadableInputError, match="damaged"):
        read_journal(path)
    with (
        pytest.raises(UnreadableInputError, match="damaged"),
        open_journal(path, HEADER, write=True),
    ):
        pass
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "stranger",
    [
        Header("other.eu.auth0.com", HEADER.plan, "root"),
        Header(HEADER.tenant, "fedcba9876543210", "root"),
        Header(HEADER.tenant, HEADER.plan, "root", "undo"),
    ],
)
def test_the_journal_of_another_plan_or_tenant_is_refused(tmp_path, stranger):
    path = tmp_path / "p.journal"
    with open_journal(path, HEADER, write=True):
        pass
    for write in (True, False):
        with (
            pytest.raises(SettingsError, match="another plan or tenant"),
            open_journal(path, stranger, write=write),
        ):
            pass


def test_what_is_no_journal_is_not_taken_for_one(tmp_path):
    path = tmp_path / "p.journal"
    for content in (b"", b"hello\n", b"{}\n", b'{"format":"auth0-picture-audit collection"}\n'):
        path.write_bytes(content)
        with pytest.raises(UnreadableInputError, match=r"journal|damaged"):
            read_journal(path)
    with pytest.raises(UnreadableInputError, match="cannot be read"):
        read_journal(tmp_path / "nothing")
    with pytest.raises(OutputError), open_journal(tmp_path / "no" / "p", HEADER, write=True):
        pass


def test_a_plan_whose_journal_stands_there_is_not_overwritten(site_of):
    site = site_of(30)
    made = site.plan("root")
    site.apply(made, limit=3)
    with pytest.raises(OutputError, match="journal"):
        site.plan("root")


def test_an_undo_is_not_undone_by_its_own_journal(site_of):
    site = site_of(30)
    made = site.plan("root")
    site.apply(made, limit=3)
    undo(site.tenant, journal_of(made), execute=True, confirm=site.tenant.domain)
    with pytest.raises(SettingsError, match="journal of an undo"):
        undo(site.tenant, journal_path(journal_of(made)))


FORMER = "https://cdn.auth0.com/avatars/pe.png"


def back(site, made, **options):
    given = {"execute": True, "confirm": site.tenant.domain, **options}
    return undo(site.tenant, journal_of(made), **given)


def lines_of(made):
    return journal_of(made).read_bytes().splitlines(keepends=True)


def changed(site):
    return {name for name in site.users() if site.user(name)["picture"] == NEW}


CHANGES = {
    "removed": lambda lines: [*lines[:3], *lines[4:]],
    "two removed": lambda lines: [*lines[:3], *lines[5:]],
    "moved": lambda lines: [*lines[:3], lines[4], lines[3], *lines[5:]],
    "copied": lambda lines: [*lines[:4], lines[3], *lines[4:]],
    "edited": lambda lines: [line.replace(b"avatars/pe", b"avatars/xx") for line in lines],
    "first edited": lambda lines: [lines[0].replace(b'"root"', b'"root" '), *lines[1:]],
    "end removed and rewritten": lambda lines: [*lines[:-3], lines[-1]],
    "end edited": lambda lines: [*lines[:-1], lines[-1].replace(b"complete", b"Complete")],
    "added after the end": lambda lines: [*lines, lines[3]],
    "link removed": lambda lines: [line.split(b',"link"')[0] + b"}\n" for line in lines],
}


@pytest.mark.parametrize("change", CHANGES)
def test_lines_that_were_removed_moved_or_changed_are_noticed(site_of, person, change):
    site = site_of([person(number) for number in range(5)])
    made = site.plan("root")
    assert site.apply(made).complete
    journal = journal_of(made)
    content = b"".join(CHANGES[change](lines_of(made)))
    assert content != journal.read_bytes()
    journal.write_bytes(content)
    patches = site.count("PATCH")
    for work in (lambda: back(site, made), lambda: site.apply(made), lambda: read_journal(journal)):
        with pytest.raises(UnreadableInputError, match="damaged"):
            work()
    assert (site.count("PATCH"), journal.read_bytes()) == (patches, content)


@pytest.mark.parametrize("kept", [True, False])
def test_a_journal_cut_at_any_line_is_never_undone_completely(site_of, person, kept):
    site = site_of([person(number) for number in range(4)])
    made = site.plan("root")
    site.apply(made, workers=1)
    whole = lines_of(made)
    assert len(changed(site)) == 4
    for count in range(1, len(whole)):
        if kept:
            journal_of(made).write_bytes(b"".join(whole[:count]))
        else:
            as_killed(journal_of(made), whole[:count])
        named = {json.loads(line).get("user") for line in whole[1:count]} - {None}
        rehearsed = back(site, made, execute=False)
        assert rehearsed.unlisted == len(changed(site) - named)
        assert rehearsed.complete == (len(named) == 4)
        assert "missing" in " ".join(rehearsed.notes)
    outcome = back(site, made)
    assert outcome.complete
    assert changed(site) == set()


def test_who_is_changed_and_not_in_the_journal_is_told_and_left(site_of, person):
    site = site_of([person(number) for number in range(6)])
    made = site.plan("root")
    site.apply(made, workers=1)
    as_killed(journal_of(made), lines_of(made)[:5])
    outcome = back(site, made)
    assert (outcome.done, outcome.unlisted, outcome.complete) == (2, 4, False)
    assert len(changed(site)) == 4
    assert "4 changed, but not in the journal" in repr(outcome)
    assert "no end" in repr(outcome)
    assert not undone(journal_of(made))


def test_without_the_plan_an_undo_of_a_journal_without_an_end_is_not_complete(site_of, person):
    site = site_of([person(number) for number in range(4)])
    made = site.plan("root")
    site.apply(made, workers=1)
    as_killed(journal_of(made), lines_of(made)[:5])
    made.path.rename(made.path.with_name("elsewhere"))
    outcome = back(site, made)
    assert (outcome.done, outcome.planned, outcome.complete) == (2, 2, False)
    assert "put the plan beside the journal" in repr(outcome)
    made.path.with_name("elsewhere").rename(made.path)
    assert back(site, made).unlisted == 2


def test_a_journal_cut_back_to_the_end_of_an_earlier_run_is_noticed(site_of, person):
    site = site_of([person(number) for number in range(6)])
    made = site.plan("root")
    site.apply(made, limit=2)
    first = journal_of(made).read_bytes()
    site.apply(made, limit=2)
    journal_of(made).write_bytes(first)
    outcome = back(site, made)
    assert (outcome.done, outcome.unlisted, outcome.complete) == (2, 2, False)
    assert "lines at the end of the journal are missing" in repr(outcome)
    assert len(changed(site)) == 2


def test_applied_again_over_missing_lines_an_undo_knows_that_they_are_missing(site_of, person):
    site = site_of([person(number) for number in range(6)])
    made = site.plan("root")
    site.apply(made, workers=1)
    journal_of(made).write_bytes(b"".join(lines_of(made)[:5]))
    again = site.apply(made)
    assert (again.done, again.held, again.complete) == (2, 4, True)
    assert "undo does not know" in repr(again)
    outcome = back(site, made)
    assert (outcome.done, outcome.unlisted, outcome.complete) == (2, 4, False)
    assert not undone(journal_of(made))


def test_a_journal_moved_to_another_machine_is_undone_there(site_of, person, monkeypatch, tmp_path):
    site = site_of([person(number) for number in range(4)])
    made = site.plan("root")
    site.apply(made)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))
    assert back(site, made).complete
    assert changed(site) == set()


def test_a_journal_of_the_former_version_is_undone_and_said_not_to_be_chained(site_of, person):
    site = site_of([person(number) for number in range(6)])
    made = site.plan("root")
    text = (Path(__file__).parent / "version-1.jsonl").read_text()
    text = text.replace("TENANT", site.tenant.domain).replace("PLAN", made.id)
    shutil.copy(made.path, made.path.with_name("copy"))
    for user_id in ("auth0|000000", "auth0|000001", "auth0|000002", "auth0|000003"):
        site.sandbox.change(user_id, {"picture": NEW})
    journal_of(made).touch(mode=0o600)
    journal_of(made).write_text(text)
    site.apply(made, limit=1)
    assert journal_of(made).read_text().startswith(text)
    assert "link" not in journal_of(made).read_text()
    outcome = back(site, made)
    assert (outcome.done, outcome.unlisted, outcome.complete) == (5, 0, True)
    assert "not chained" in repr(outcome)
    assert changed(site) == set()


def test_a_journal_called_unchained_by_hand_is_believed_as_it_stands(site_of, person):
    site = site_of([person(number) for number in range(4)])
    made = site.plan("root")
    site.apply(made, workers=1)
    first, *others = lines_of(made)
    journal_of(made).write_bytes(
        first.replace(b'"version":2', b'"version":1') + b"".join(others[2:])
    )
    outcome = back(site, made)
    assert (outcome.done, outcome.unlisted, outcome.complete) == (3, 1, False)
    assert "not chained" in repr(outcome)


@pytest.mark.parametrize("kept", ["", "nonsense", "[]", '{"lines":"x","link":1}'])
def test_a_kept_length_that_cannot_be_read_is_said(site_of, person, kept):
    site = site_of([person(1)])
    made = site.plan("root")
    site.apply(made)
    name = json.loads(lines_of(made)[0])["id"]
    place = platformdirs.user_state_path("picture-audit") / "journals" / f"{name}.json"
    assert place.stat().st_mode & 0o777 == 0o600
    place.write_text(kept)
    with pytest.raises(UnreadableInputError, match="Delete it"):
        back(site, made)
    place.unlink()
    assert back(site, made).complete


@pytest.mark.parametrize("name", ["../../../etc/passwd", "", 7, None, "0123456789abcdeg"])
def test_an_id_that_no_run_gave_names_no_file(tmp_path, name):
    path = tmp_path / "p.journal"
    with open_journal(path, HEADER, write=True):
        pass
    first, _, rest = path.read_text().partition("\n")
    path.write_text(json.dumps(json.loads(first) | {"id": name}) + "\n" + rest)
    with pytest.raises(UnreadableInputError, match="damaged"):
        read_journal(path)


def test_on_a_full_disk_it_stops_says_so_and_goes_on_later(site_of, other):
    site = site_of(80)
    raw = site.raw()
    made = site.plan("root")
    _, said = other.run(site, "apply", made.path, file_size=6000)
    assert said.startswith("OutputError: Cannot write")
    assert "File too large" in said
    assert "run the same command again" in said
    entries = list(read_journal(journal_of(made)).entries(*State))
    assert 0 < len(entries) < made.changes
    # Whoever was written is in the journal.
    noted = {one.user_id for one, _ in entries}
    assert {name for name, text in site.raw().items() if text != raw[name]} <= noted
    assert site.apply(made).complete
    assert verify(site.tenant, made).complete


def test_the_journal_holds_no_token_and_no_secret(site_of):
    site = site_of(30)
    made = site.plan("root")
    site.apply(made)
    text = journal_of(made).read_text()
    for secret in (site.tenant._token(), site.sandbox.client_secret):
        assert secret not in text
    head = json.loads(text.splitlines()[0])
    assert (head["tenant"], head["plan"], head["kind"]) == (site.tenant.domain, made.id, "apply")
