"""The journal: whose it is, what it survives, and what it says where it cannot be written."""

import json

import pytest

from tests.change.conftest import journal_of
from toolkit.change import undo, verify
from toolkit.change.edit import Edit, Field
from toolkit.change.journal import Header, State, journal_path, open_journal, read_journal
from toolkit.errors import OutputError, SettingsError, UnreadableInputError

HEADER = Header("tenant.eu.auth0.com", "0123456789abcdef", "root")


def edit(number):
    return Edit(number, f"auth0|{number}", "db", "auth0", Field.ROOT, "https://a.b/c", ())


def test_what_is_begun_and_ended_is_known_again(tmp_path):
    path = tmp_path / "p.journal"
    with open_journal(path, HEADER, write=True) as journal:
        for number in range(4):
            journal.begin(edit(number), f"before {number}")
        journal.end(0, State.DONE)
        journal.end(1, State.REFUSED, "why")
        journal.end(2, State.FAILED, "broken")
        journal.end(7, State.DRIFTED, "moved")
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
    (entry,) = again.entries(State.DONE)
    assert (entry.user_id, entry.before, entry.after) == ("auth0|0", "before 0", "https://a.b/c")


def test_begun_twice_what_stood_there_first_is_what_counts(tmp_path):
    path = tmp_path / "p.journal"
    for before in ("first", "second"):
        with open_journal(path, HEADER, write=True) as journal:
            journal.begin(edit(0), before)
    with open_journal(path, HEADER, write=True) as journal:
        journal.end(0, State.DONE)
    assert [one.before for one in read_journal(path).entries(State.DONE)] == ["first"]


def test_only_its_owner_can_read_it(tmp_path):
    path = tmp_path / "p.journal"
    with open_journal(path, HEADER, write=True):
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_journal_that_others_can_change_is_not_believed(tmp_path):
    path = tmp_path / "p.journal"
    with open_journal(path, HEADER, write=True) as journal:
        journal.begin(edit(0), "before")
    path.chmod(0o620)
    with pytest.raises(SettingsError, match="Others can change"):
        read_journal(path)


@pytest.mark.parametrize("torn", [b'{"n":3,"us', b"{", b'{"n":3,"state":"done","reason":""}'])
def test_a_torn_last_line_is_ignored_and_cut_off(tmp_path, torn):
    path = tmp_path / "p.journal"
    with open_journal(path, HEADER, write=True) as journal:
        journal.begin(edit(3), "before")
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    assert read_journal(path).state(3) is State.BEGUN
    with open_journal(path, HEADER, write=True) as journal:
        assert path.read_bytes() == whole
        journal.end(3, State.DONE)
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
        journal.begin(edit(0), "before")
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
    noted = {one.user_id for one in entries}
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
