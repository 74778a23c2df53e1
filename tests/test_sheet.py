"""Sheets: what people typed stays in its cell."""

import io

import pandas as pd
import pytest

from toolkit.sheet import csv


@pytest.mark.parametrize("name", ["a\r=1+1", "a\n=1+1", "a\r\n=1+1", 'a"\r=1', "=1+1", "@x", "-1"])
def test_a_name_is_one_cell_and_no_formula(name):
    text = csv(pd.DataFrame({"name": [name, "b"], "n": [1, 2]}))
    rows = pd.read_csv(io.StringIO(text, newline=""))
    assert len(rows) == 2
    assert rows["name"][0].lstrip("'") == name
    assert not rows["name"][0].startswith(("=", "+", "-", "@"))
