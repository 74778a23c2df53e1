import csv
import io
import json
import os
import threading
import time
from itertools import product

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.collect import ingestion
from toolkit.collect.cells import cut, is_plain, read_cells
from toolkit.collect.files import exported
from toolkit.errors import IncompleteError
from toolkit.user import tabulated, user

TITLES = [
    *("user_id", "email", "name", "created_at", "last_login", "logins_count", "picture"),
    *("identities[0].connection", "connection", "identities[0].provider", "strategy"),
    *("user_metadata.picture", "nobody keeps this"),
]
TEXTS = [
    *("", "'", "''", "'x", "a|b", "|", "x", "é", "7", "'007", "-1", "1" * 18, "1" * 19, "1.5"),
    *("2024-02-03T04:05:06.789Z", "2024-02-30T00:00:00.000Z", "2024-02-03", "null", " ", "\x0b"),
    *('a"b', "a,b", "a\nb", "a\r\nb", "\ufeff", "https://x.example/a.png"),
]

texts = st.sampled_from(TEXTS) | st.text(max_size=4)
rows = st.lists(st.lists(texts, min_size=len(TITLES), max_size=len(TITLES)), max_size=5)
raw = st.lists(
    st.sampled_from(["a", "'", '"', '""', ",", "\n", "\r", "\r\n", "é", "\0", " ", "\ufeff", "7"])
    | st.binary(max_size=1)
)


def written(rows):
    """Write rows as programs write CSV, quoted where it must be."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue().encode("utf-8", "replace")


def exactly(data, titles):
    """Read rows one by one; and say whether every one could be read."""
    with exported(io.BytesIO(",".join(titles).encode() + b"\n" + data)) as export:
        table = tabulated(user(record) for _, record in export)
        return table, not export.troubles


@given(rows)
def test_rows_mean_what_they_mean_one_by_one(rows):
    data = written(rows)
    table = read_cells(data, TITLES)
    expected, whole = exactly(data, TITLES)
    if table is None:  # a single carriage return, which csv leaves unquoted, or a NUL, or a mark
        assert not data or any(one in data for one in (b"\r", b"\0", b"\xef\xbb\xbf"))
    else:
        assert whole
        assert table.equals(expected)


@given(raw, st.sampled_from([["user_id"], ["user_id", "name"]]))
def test_what_is_read_at_once_is_what_is_read_one_by_one(parts, titles):
    data = b"".join(one.encode() if isinstance(one, str) else one for one in parts) + b"\n"
    table = read_cells(data, titles)
    if table is not None:
        expected, whole = exactly(data, titles)
        assert whole
        assert table.equals(expected)


@given(rows, st.integers(0, 200))
def test_rows_are_cut_between_rows(rows, size):
    data = written(rows)[:size]
    end = cut(data)
    whole = data[:end].count(b'"') % 2 == 0
    assert whole
    assert end == 0 or data[end - 1 : end] == b"\n"
    later = [at for at in range(end, len(data)) if data[at : at + 1] == b"\n"]
    assert all(data[: at + 1].count(b'"') % 2 for at in later)


def test_titles_that_stand_for_json_or_stand_twice_are_not_plain():
    assert is_plain(TITLES)
    assert not is_plain(["user_id", "identities"])
    assert not is_plain(["user_id", "user_metadata"])
    assert not is_plain(["user_id", "name", "name"])


ODD = [b"'odd,x,y\n", b'"odd"x,y\n', b'od"d,y\n', b"\xff,y\n", b'"odd\n', b"odd\rx,y\n"]


@pytest.mark.parametrize(("odd", "size"), list(product(ODD, [40, 100_000])))
def test_an_odd_row_among_many_pieces_costs_nobody_else_anything(odd, size, tmp_path, monkeypatch):
    lines = [f'"\'auth0|{n}","\'N\n{n}"\n'.encode() for n in range(60)]
    content = b"".join([b"\n\nuser_id,name\n", *lines[:30], odd, *lines[30:]])
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with exported(path) as export:
        users = [user(record) for _, record in export]
        troubles = export.troubles
    monkeypatch.setattr(ingestion, "_SHEET", size)
    out = tmp_path / "out.parquet"
    if troubles:
        with pytest.raises(IncompleteError) as error:
            ingestion.ingest([path], out)
        assert troubles[0] in str(error.value)
    else:
        ingestion.ingest([path], out)
    names = tabulated(users).column_names
    found = pq.read_table(out).select(names)
    assert found.to_pylist() == tabulated(users).to_pylist()


@pytest.mark.parametrize("size", [40, 4000])
def test_a_pipe_is_waited_for_behind_an_odd_row(size, tmp_path, monkeypatch):
    monkeypatch.setattr(ingestion, "_SHEET", size)
    lines = [b"a|%d,x\n" % number for number in range(2000)]
    pipe, out = tmp_path / "pipe", tmp_path / "out.parquet"
    os.mkfifo(pipe)

    def write():
        with pipe.open("wb", buffering=0) as file:
            for piece in (b'user_id,name\nb,od"d\n', *lines[:3], b"".join(lines[3:])):
                file.write(piece)
                time.sleep(0.4)  # several times as long as is waited at once
            file.write(b"c,last\n")

    writer = threading.Thread(target=write)
    writer.start()
    users = ingestion.ingest([pipe], out).users
    writer.join()
    assert users["user_id"].tolist() == ["b", *(f"a|{number}" for number in range(2000)), "c"]


def test_a_file_that_ends_without_a_line_end_is_whole(tmp_path):
    path, out = tmp_path / "t.csv", tmp_path / "out.parquet"
    path.write_bytes(b'user_id,logins_count\na|1,5\n"a|2",7')
    users = ingestion.ingest([path], out).users
    assert users["user_id"].tolist() == ["a|1", "a|2"]
    assert users["logins_count"].tolist() == [5, 7]


def test_json_in_cells_is_read_as_json(tmp_path):
    path, out = tmp_path / "t.csv", tmp_path / "out.parquet"
    identities = json.dumps([{"provider": "google-oauth2", "connection": "google"}])
    path.write_bytes(b"user_id,identities\n" + written([["a|1", identities]]))
    assert ingestion.ingest([path], out).users["connection"].tolist() == ["google"]
