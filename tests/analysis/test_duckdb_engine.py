import signal
import threading
from pathlib import Path

import duckdb
import pytest

from toolkit.analysis.duckdb_engine import engine


def told(opened, name):
    return opened.execute("SELECT current_setting(?)", [name]).fetchone()[0]


def test_what_does_not_fit_goes_into_a_private_folder_that_goes_with_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with engine("100MB") as opened:
        folder = Path(told(opened, "temp_directory"))
        assert folder.stat().st_mode & 0o777 == 0o700
        opened.execute("SELECT count(*) FROM (SELECT range AS n FROM range(20000000) ORDER BY -n)")
        assert told(opened, "memory_limit") == "95.3 MiB"
    assert not folder.exists()
    assert not [*tmp_path.iterdir()]
    with pytest.raises(duckdb.ConnectionException):
        opened.execute("SELECT 1")


@pytest.mark.parametrize("ordered", [True, False])
def test_rows_keep_their_order_where_that_is_asked_for(ordered):
    with engine(ordered=ordered) as opened:
        assert told(opened, "preserve_insertion_order") is ordered


def test_a_query_that_the_user_interrupts_ends_as_an_interrupt():
    endless = "SELECT sum(range % 7) FROM range(1000000000000)"
    timer = threading.Timer(0.2, signal.raise_signal, [signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt), engine() as database:
        # Fact (DuckDB 2.0, tried): what another of its threads has begun, it ends first.
        database.execute("SET threads = 1").sql(endless).fetchall()
    timer.join()


def test_other_errors_within_are_left_as_they_are():
    with pytest.raises(RuntimeError, match="another"), engine():
        raise RuntimeError("another")
