"""Files that take the place of others once they are whole, and what others left."""

import subprocess
import sys

import pytest

from toolkit.draft import discard_drafts, draft_of, ensure_writable, held, is_same, replacing
from toolkit.errors import OutputError

WRITING = (
    "import sys; from pathlib import Path; from toolkit.draft import replacing\n"
    "with replacing(Path(sys.argv[1])) as file:\n"
    "    print('begun', flush=True); sys.stdin.read(); file.write(b'whole')"
)


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path):
    for name in (".s.parquet.0123abcd", ".s.parquet.mine", "s.parquet", ".t.parquet.0123abcd"):
        (tmp_path / name).write_text("")
    discard_drafts(tmp_path / "s.parquet")
    assert names(tmp_path) == {".s.parquet.mine", "s.parquet", ".t.parquet.0123abcd"}


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
        assert len(names(tmp_path)) == 1
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
    assert len(names(tmp_path)) == 1
    discard_drafts(path)
    assert not names(tmp_path)


def test_a_folder_of_parts_is_removed_once_nobody_holds_it(tmp_path):
    path = tmp_path / "s.parquet"
    folder = tmp_path / ".s.parquet.parts-ab_12xyz"
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
