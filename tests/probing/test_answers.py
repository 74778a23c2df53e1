import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
from datetime import timedelta
from threading import Thread

import platformdirs
import pytest

from toolkit.errors import OutputError
from toolkit.probing.answers import LIFETIME, Answer, Cache, Question

HOST = "gravatar.com"
ANN, BOB = Question("a" * 32), Question("b" * 64, "pg")
ANSWERS = {ANN: Answer.PRESENT, BOB: Answer.ABSENT}


class Clock:
    now = 1_800_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "answers.sqlite3"


def test_what_is_kept_is_known_to_the_next_who_opens_it(path):
    with Cache(path) as cache:
        cache.keep(HOST, ANSWERS)
    with Cache(path) as cache:
        assert cache.known(HOST, [ANN, BOB]) == ANSWERS
        assert cache.known(HOST, [BOB]) == {BOB: Answer.ABSENT}
        assert cache.note == ""


def test_another_host_or_rating_is_another_question(path):
    with Cache(path) as cache:
        cache.keep(HOST, ANSWERS)
        assert cache.known("127.0.0.1:1", [ANN]) == {}
        assert cache.known(HOST, [ANN._replace(rating="x")]) == {}


def test_a_newer_answer_replaces_the_older(path):
    with Cache(path) as cache:
        cache.keep(HOST, ANSWERS)
        cache.keep(HOST, {ANN: Answer.ABSENT})
        assert cache.known(HOST, [ANN]) == {ANN: Answer.ABSENT}


def test_what_is_unclear_is_refused_and_nothing_with_it_is_kept(path):
    with Cache(path) as cache:
        with pytest.raises(ValueError, match="never kept"):
            cache.keep(HOST, {**ANSWERS, Question("c" * 32): Answer.UNCLEAR})
        assert cache.known(HOST, [ANN]) == {}


def test_answers_expire_and_are_removed_by_the_next_who_opens_it(path):
    clock = Clock()
    with Cache(path, clock=clock) as cache:
        cache.keep(HOST, {ANN: Answer.PRESENT})
        clock.now += LIFETIME.total_seconds() / 2
        cache.keep(HOST, {BOB: Answer.ABSENT})
        assert cache.known(HOST, [ANN, BOB]) == ANSWERS
        clock.now += LIFETIME.total_seconds() / 2
        assert cache.known(HOST, [ANN, BOB]) == {BOB: Answer.ABSENT}
    Cache(path, clock=clock).close()
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT hash FROM answers").fetchall() == [(BOB.hash,)]
    database.close()


def test_the_lifetime_may_be_another(path):
    clock = Clock()
    with Cache(path, lifetime=timedelta(seconds=5), clock=clock) as cache:
        cache.keep(HOST, ANSWERS)
        clock.now += 5
        assert cache.known(HOST, [ANN]) == {}


def test_only_its_owner_may_read_it(path):
    before = os.umask(0)
    try:
        with Cache(path) as cache:
            cache.keep(HOST, ANSWERS)
            modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes[f"{path.name}-wal"] == 0o600
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_file_that_others_could_read_is_made_private(path):
    Cache(path).close()
    path.chmod(0o644)
    Cache(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_its_place_is_the_users_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    with Cache() as cache:
        assert cache.path.parent == platformdirs.user_cache_path("picture-audit")
        assert tmp_path in cache.path.parents
        assert cache.path.exists()


def _filled(path, count=3000):
    with Cache(path) as cache:
        questions = [Question(f"{number:032x}") for number in range(count)]
        cache.keep(HOST, dict.fromkeys(questions, Answer.PRESENT))
    return questions


def _garbage(path):
    path.write_bytes(b"not a database " * 1000)


def _torn(path):
    os.truncate(path, path.stat().st_size // 2 + 100)


def _scribbled(path):
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(3 * 4096))


@pytest.mark.parametrize("damage", [_garbage, _torn, _scribbled])
def test_a_damaged_file_is_replaced_and_that_is_said(path, damage):
    questions = _filled(path)
    damage(path)
    with Cache(path) as cache:
        assert re.search("was damaged and starts empty", cache.note)
        assert cache.known(HOST, questions) == {}
        cache.keep(HOST, ANSWERS)
    with Cache(path) as cache:
        assert cache.note == ""
        assert cache.known(HOST, [ANN, BOB]) == ANSWERS


def test_a_file_that_is_damaged_while_it_is_open_is_replaced_too(path):
    questions = _filled(path)
    with Cache(path) as cache:
        _garbage(path)
        cache.keep(HOST, ANSWERS)
        assert cache.note
        assert cache.known(HOST, [ANN, BOB]) == ANSWERS
        assert cache.known(HOST, questions[:1]) == {}


def test_what_is_no_database_is_kept_under_another_name(path):
    path.parent.mkdir()
    _garbage(path)
    path.chmod(0o640)
    before = path.read_bytes()
    with Cache(path) as cache:
        assert "kept as" in cache.note
    (kept,) = path.parent.glob("*.[0-9a-f]*[0-9a-f]")
    assert kept.read_bytes() == before
    assert stat.S_IMODE(kept.stat().st_mode) == 0o640


def test_a_damaged_cache_is_not_kept(path):
    _filled(path)
    _scribbled(path)
    with Cache(path) as cache:
        assert "kept as" not in cache.note
    assert {one.name for one in path.parent.iterdir()} == {path.name}


@pytest.mark.parametrize("mark", [0, 1])
@pytest.mark.parametrize("table", ["notes (text)", "answers (question, answer)"])
def test_a_database_of_another_program_stays_as_it_is(path, mark, table):
    path.parent.mkdir()
    with sqlite3.connect(path) as database:
        database.execute(f"CREATE TABLE {table}")
        database.execute("CREATE TABLE others (text)")
        database.execute(f"PRAGMA application_id = {mark}")
    database.close()
    path.chmod(0o640)
    before = path.read_bytes()
    with pytest.raises(OutputError, match="another program"):
        Cache(path)
    assert path.read_bytes() == before
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_cache_is_not_opened_through_a_link(path):
    path.parent.mkdir()
    path.symlink_to(path.parent / "elsewhere")
    with pytest.raises(OutputError):
        Cache(path)
    assert not (path.parent / "elsewhere").exists()


def test_an_empty_file_is_no_damage(path):
    path.parent.mkdir()
    path.touch()
    with Cache(path) as cache:
        assert cache.note == ""


def test_a_table_of_another_form_starts_anew(path):
    path.parent.mkdir()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE answers (something)")
    database.close()
    with Cache(path) as cache:
        cache.keep(HOST, ANSWERS)
        assert cache.known(HOST, [ANN]) == {ANN: Answer.PRESENT}


def test_a_place_that_cannot_be_used_is_an_error_that_names_it(tmp_path):
    (tmp_path / "file").touch()
    for place in (tmp_path, tmp_path / "file" / "cache"):
        with pytest.raises(OutputError, match=r"Cannot use .*: "):
            Cache(place)


def test_threads_may_share_it(path):
    with Cache(path) as cache:
        batches = [{Question(f"{n:032x}"): Answer.ABSENT} for n in range(40)]
        threads = [Thread(target=cache.keep, args=(HOST, batch)) for batch in batches]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(cache.known(HOST, (one for batch in batches for one in batch))) == 40


WRITER = textwrap.dedent("""
    import sys
    from pathlib import Path
    from toolkit.probing.answers import Cache
    from toolkit.probing.answers import Answer, Question

    first, count = map(int, sys.argv[2:])
    with Cache(Path(sys.argv[1])) as cache:
        assert not cache.note, cache.note
        for number in range(first, first + count):
            cache.keep("gravatar.com", {Question(f"{number:032x}"): Answer.PRESENT})
            print(number, flush=True)
""")


def _writer(path, first, count):
    command = [sys.executable, "-c", WRITER, str(path), str(first), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_may_use_it_at_once(path):
    writers = [_writer(path, first, 150) for first in (0, 1000)]
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    with Cache(path) as cache:
        asked = [Question(f"{n:032x}") for first in (0, 1000) for n in range(first, first + 150)]
        assert len(cache.known(HOST, asked)) == 300


def test_what_a_killed_process_said_it_kept_is_kept(path):
    with _writer(path, 0, 1_000_000) as writer:
        told = [int(writer.stdout.readline()) for _ in range(25)]
        writer.send_signal(signal.SIGKILL)
    with Cache(path) as cache:
        assert cache.note == ""
        assert len(cache.known(HOST, [Question(f"{n:032x}") for n in told])) == 25
