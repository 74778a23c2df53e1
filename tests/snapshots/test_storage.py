"""Files that take the place of others once they are whole, and what others left."""

import os
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from toolkit.change.journal import Header, journal_path, open_journal
from toolkit.collection.place import open_state, state_path
from toolkit.errors import OutputError
from toolkit.snapshots.storage import (
    discard_drafts,
    draft_of,
    drafted,
    ensure_writable,
    held,
    is_same,
    lock_of,
    replacing,
)

WRITING = (
    "import sys; from pathlib import Path; from toolkit.snapshots.storage import replacing\n"
    "with replacing(Path(sys.argv[1])) as file:\n"
    "    print('begun', flush=True); sys.stdin.read(); file.write(b'whole')"
)


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path):
    mark = "picture-audit-0123abcd"
    left = {f".s.parquet.{mark}", f"..s.parquet.{mark}.{mark}", f".s.parquet.{mark}.lock"}
    others = {
        ".s.parquet.0123abcd",
        ".s.parquet.mine",
        "s.parquet",
        f".t.parquet.{mark}",
        f"s.parquet.{mark}",
        f".s.parquet.{mark}.gz",
        f".s.parquet.{mark}\n",
    }
    for name in left | others:
        (tmp_path / name).write_text("")
    (tmp_path / ".s.parquet.picture-audit-00000000").symlink_to(tmp_path / "s.parquet")
    discard_drafts(tmp_path / "s.parquet")
    assert names(tmp_path) == others | {".s.parquet.picture-audit-00000000"}


@pytest.mark.parametrize("name", ["x" * 300, "x" * 250])
def test_a_name_that_no_file_can_have_is_said(tmp_path, name):
    with pytest.raises(OutputError, match="too long"):
        ensure_writable(tmp_path / name)


def test_only_a_file_that_is_there_is_the_same(tmp_path):
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("")
    link.symlink_to(file)
    assert is_same(file, link)
    assert not is_same(file, tmp_path / "none")
    assert not is_same(tmp_path / ("x" * 300), file)


def test_what_another_process_writes_at_this_moment_is_left_to_it(tmp_path):
    path = tmp_path / "s.parquet"
    command = [sys.executable, "-c", WRITING, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        writer.stdout.readline()
        discard_drafts(path)
        assert len(names(tmp_path)) == 2  # the draft and its lock
        writer.communicate()
        assert writer.returncode == 0
    assert path.read_bytes() == b"whole"
    assert names(tmp_path) == {"s.parquet"}


def test_what_a_process_left_that_was_killed_is_removed(tmp_path):
    path = tmp_path / "s.parquet"
    command = [sys.executable, "-c", WRITING, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        writer.stdout.readline()
        writer.kill()
    assert len(names(tmp_path)) == 2
    discard_drafts(path)
    assert not names(tmp_path)


def test_a_folder_of_parts_is_removed_once_nobody_holds_it(tmp_path):
    path = tmp_path / "s.parquet"
    folder = tmp_path / ".s.parquet.picture-audit-parts-ab_12xyz"
    folder.mkdir()
    (folder / "0.parquet").write_text("somebody")
    with held(folder):
        discard_drafts(path)
        assert folder.exists()
    discard_drafts(path)
    assert not names(tmp_path)


def test_a_draft_that_may_not_be_read_is_removed_all_the_same(tmp_path):
    draft = draft_of(tmp_path / "s.parquet")
    draft.touch(mode=0o000)
    discard_drafts(tmp_path / "s.parquet")
    assert not names(tmp_path)


def test_a_failed_write_leaves_the_old_file_and_no_draft(tmp_path):
    path = tmp_path / "s.parquet"
    path.write_bytes(b"old")

    def interrupted():
        with replacing(path) as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interrupted()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == {"s.parquet"}


def test_a_place_that_cannot_be_written_is_found_out_first(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "s.parquet", tmp_path):
        with pytest.raises(OutputError, match="Cannot write"):
            ensure_writable(path)
    ensure_writable(tmp_path / "s.parquet")
    assert names(tmp_path) == {"file"}


@pytest.mark.parametrize("name", ["a.plan.journal", "a.plan.journal.undo"])
def test_nothing_is_written_over_a_journal(tmp_path, name):
    journal = tmp_path / name
    journal.write_text("what was done")
    with pytest.raises(OutputError, match="journals are called that"):
        ensure_writable(journal)
    with pytest.raises(OutputError, match="journals are called that"), replacing(journal):
        pass
    assert journal.read_text() == "what was done"


@pytest.mark.parametrize("name", ["mine.txt", "0.parquet.bak", ".git"])
def test_a_folder_that_holds_anything_but_parts_stays(tmp_path, name):
    folder = tmp_path / ".s.parquet.picture-audit-parts-ab_12xyz"
    folder.mkdir()
    (folder / "0.parquet").write_text("a part")
    (folder / name).write_text("mine")
    discard_drafts(tmp_path / "s.parquet")
    assert (folder / "0.parquet").exists()


def test_a_folder_that_is_a_link_stays_and_so_does_what_it_leads_to(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "0.parquet").write_text("mine")
    (tmp_path / ".s.parquet.picture-audit-parts-ab_12xyz").symlink_to(elsewhere)
    discard_drafts(tmp_path / "s.parquet")
    assert (elsewhere / "0.parquet").exists()
    assert len(names(tmp_path)) == 2


def test_another_users_draft_stays(tmp_path, monkeypatch):
    draft = tmp_path / ".s.parquet.picture-audit-0123abcd"
    draft.write_text("somebody's")
    monkeypatch.setattr("os.geteuid", lambda: draft.stat().st_uid + 1)
    discard_drafts(tmp_path / "s.parquet")
    assert draft.exists()


def write(path):
    with replacing(path) as file:
        file.write(b"new")


@pytest.mark.parametrize("attempt", [write, ensure_writable])
def test_a_link_is_neither_replaced_nor_written_through(tmp_path, attempt):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("mine")
    for place in (target, tmp_path / "nowhere"):
        link.symlink_to(place)
        with pytest.raises(OutputError, match="symbolic link"):
            attempt(link)
        assert link.is_symlink()
        link.unlink()
    assert names(tmp_path) == {"target"}
    assert target.read_text() == "mine"


@pytest.mark.parametrize("attempt", [write, ensure_writable])
def test_a_device_or_a_pipe_is_not_replaced(tmp_path, attempt):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OutputError, match="no regular file"):
        attempt(pipe)
    assert names(tmp_path) == {"pipe"}


@pytest.mark.parametrize("attempt", [write, ensure_writable])
def test_another_users_file_is_not_replaced(tmp_path, monkeypatch, attempt):
    path = tmp_path / "s.parquet"
    path.write_text("somebody's")
    real = Path.lstat

    def lstat(self):
        found = real(self)
        if self != path:
            return found
        return os.stat_result((*found[:4], found.st_uid + 1, *found[5:10]))

    monkeypatch.setattr(Path, "lstat", lstat)
    with pytest.raises(OutputError, match="another user"):
        attempt(path)
    assert path.read_text() == "somebody's"
    assert names(tmp_path) == {"s.parquet"}


@pytest.mark.parametrize("attempt", [write, ensure_writable])
@pytest.mark.parametrize("kind", ["journal", "collection"])
def test_what_could_be_gone_on_with_is_not_replaced_whatever_it_is_called(tmp_path, attempt, kind):
    path = tmp_path / "kept.txt"
    path.write_text(f'{{"format":"auth0-picture-audit {kind}","version":1}}\n')
    before = path.read_bytes()
    with pytest.raises(OutputError, match="journal or an unfinished collection"):
        attempt(path)
    assert path.read_bytes() == before


MINE = [
    b"a note of mine",
    b"a line of mine\nanother",
    b'{"format":"x"}\n',
    b'{"format":',
    b"{",
    b"\n",
    b'{"format":"auth0-other"}\ntorn',
    b"PAR1",
    b"\0" * 100,
]


def state_of(path):
    def now():
        return datetime.now(UTC)

    with open_state(path, tenant="t", method="search", choose=lambda: "search", now=now):
        pass


def journal_of(path):
    with open_journal(journal_path(path), Header("t", "p", "root"), write=True):
        pass


APPENDED = [(state_of, state_path), (journal_of, journal_path)]


@pytest.mark.parametrize("content", MINE)
@pytest.mark.parametrize(("attempt", "named"), APPENDED)
def test_a_file_that_only_ends_so_stays_as_it_is(tmp_path, attempt, named, content):
    path = named(tmp_path / "s.parquet")
    path.write_bytes(content)
    path.chmod(0o640)
    with pytest.raises(OutputError, match="not written by picture-audit"):
        attempt(tmp_path / "s.parquet")
    assert path.read_bytes() == content
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize(("attempt", "named"), APPENDED)
def test_a_state_or_journal_is_not_written_through_a_link(tmp_path, attempt, named):
    target = tmp_path / "target"
    for there in (True, False):
        if there:
            target.write_bytes(b"")
            target.chmod(0o640)
        else:
            target.unlink()
        named(tmp_path / "s").symlink_to(target)
        with pytest.raises(OutputError, match="symbolic link"):
            attempt(tmp_path / "s")
        named(tmp_path / "s").unlink()
        assert target.exists() == there
        assert not there or (target.stat().st_size, stat.S_IMODE(target.stat().st_mode)) == (
            0,
            0o640,
        )


@pytest.mark.parametrize(("attempt", "named"), APPENDED)
def test_a_state_or_journal_is_no_pipe_and_nobody_elses(tmp_path, monkeypatch, attempt, named):
    place = named(tmp_path / "s")
    os.mkfifo(place)
    with pytest.raises(OutputError):
        attempt(tmp_path / "s")
    place.unlink()
    place.touch()
    monkeypatch.setattr("os.geteuid", lambda: place.stat().st_uid + 1)
    with pytest.raises(OutputError, match="another user"):
        attempt(tmp_path / "s")


@pytest.mark.parametrize(("attempt", "named"), APPENDED)
@pytest.mark.parametrize("torn", [0, 17, 21, 31, 40])
def test_a_state_or_journal_torn_in_its_first_line_begins_anew(tmp_path, attempt, named, torn):
    attempt(tmp_path / "s")
    whole = named(tmp_path / "s").read_bytes()
    named(tmp_path / "s").write_bytes(whole[:torn])
    attempt(tmp_path / "s")
    assert len(named(tmp_path / "s").read_bytes()) == len(whole)


def test_a_draft_that_replaces_nothing_is_removed(tmp_path):
    with drafted(tmp_path / "s.parquet") as draft:
        draft.write_bytes(b"for a while")
        discard_drafts(tmp_path / "s.parquet")
        assert names(tmp_path) == {draft.name, lock_of(draft).name}
        assert stat.S_IMODE(draft.stat().st_mode) == 0o600
    assert not names(tmp_path)
