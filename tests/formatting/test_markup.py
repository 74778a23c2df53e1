"""Tables as HTML for notebooks."""

import pandas as pd

from toolkit.formatting import html_table


def test_a_table_has_a_caption_and_heads_for_columns_and_rows():
    words = pd.DataFrame({"source": ["social", "custom"], "users": ["1,200", "3"]})
    assert html_table(words, "Where from") == (
        '<table><caption>Where from</caption><thead><tr><th scope="col">source</th>'
        '<th scope="col">users</th></tr></thead><tbody>'
        '<tr><th scope="row">social</th><td>1,200</td></tr>'
        '<tr><th scope="row">custom</th><td>3</td></tr></tbody></table>'
    )


def test_what_people_typed_stays_text():
    hostile = '<script>&"'
    html = html_table(pd.DataFrame({hostile: [hostile], "b": [hostile]}), hostile)
    assert html.count("&lt;script&gt;&amp;&quot;") == 4
    assert "<script>" not in html
