"""What every template can rely on."""

import re
from datetime import datetime, timedelta, timezone

import pandas as pd
import pytest
from jinja2 import UndefinedError

from toolkit.formatting import _environment, html_table, numeric, render


@pytest.fixture
def fill():
    return lambda text, **values: _environment().from_string(text).render(values)


def test_what_is_filled_in_stays_text(fill):
    assert fill("<b title='{{ a }}'>{{ a }}</b>", a="<i>'\"&") == (
        "<b title='&lt;i&gt;&#39;&#34;&amp;'>&lt;i&gt;&#39;&#34;&amp;</b>"
    )


def test_a_name_without_a_value_is_an_error(fill):
    with pytest.raises(UndefinedError):
        fill("{{ nobody }}")
    with pytest.raises(UndefinedError):
        render("reporting/html_report/report.html.j2")


def test_values_are_written_as_elsewhere(fill):
    late = datetime(2026, 11, 20, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert fill("{{ a|moment }}", a=late) == "2026-11-19 23:30 UTC"
    assert fill("{{ a|count }} {{ b|percent(1) }}", a=1_200, b=0.9999) == "1,200 &gt;99.9 %"
    assert fill("{{ a|visible }} {{ a|shorten(3) }}", a="a\nbcd") == r"a\nbcd a\…"
    assert fill("{{ a|harmless }}", a="a\n\u202e") == "a\n\\u202e"
    assert fill("{{ a|png_address }}", a=b"\x89") == "data:image/png;base64,iQ=="


def test_a_table_has_a_caption_and_heads_for_columns_and_rows():
    words = pd.DataFrame({"source": ["social", "custom"], "users": ["1,200", "3"]})
    assert re.sub(' style="[^"]*"', "", html_table(words, "Where from")) == (
        '<table><caption>Where from</caption><thead><tr><th scope="col">source</th>'
        '<th scope="col">users</th></tr></thead><tbody>'
        '<tr><th scope="row">social</th><td>1,200</td></tr>'
        '<tr><th scope="row">custom</th><td>3</td></tr></tbody></table>'
    )


def test_numbers_stand_to_the_right_on_one_line_and_texts_to_the_left():
    words = pd.DataFrame(
        {"to": ["social", "none"], "share": ["51.3 %", "<0.1 %"], "why": ["3", "x"]}
    )
    html = html_table(words, "Moves")
    for name in ("to", "why"):
        assert f'<th scope="col" style="text-align:left">{name}</th>' in html
    for cell in ("51.3 %", "&lt;0.1 %"):
        assert f'<td style="text-align:right;white-space:nowrap">{cell}</td>' in html


@pytest.mark.parametrize(
    ("texts", "are_numbers"),
    [
        (["1,200", "", "-3"], True),
        (["0 to 86 %", "79 %", ">99.9 %"], True),
        (["+1.5", "0"], True),
        (["", ""], False),
        ([], False),
        (["3 users"], False),
        (["1", "social"], False),
        (["%"], False),
    ],
)
def test_numbers_are_told_from_texts(texts, are_numbers):
    assert numeric(texts) is are_numbers


def test_what_people_typed_stays_text():
    hostile = '<script>&"'
    html = html_table(pd.DataFrame({hostile: [hostile], "b": [hostile]}), hostile)
    assert html.count("&lt;script&gt;&amp;&#34;") == 4
    assert "<script>" not in html
