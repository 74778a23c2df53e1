"""Tables as HTML for notebooks; what people typed stays text."""

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def html_table(words: "pd.DataFrame", caption: str) -> str:
    """Draw a table whose first column names its rows.

    Args:
        words: every value as the text that people read.
        caption: what stands above it.
    """
    head = "".join(f'<th scope="col">{escape(str(name))}</th>' for name in words.columns)
    body = "".join(
        f'<tr><th scope="row">{escape(str(first))}</th>'
        + "".join(f"<td>{escape(str(value))}</td>" for value in rest)
        + "</tr>"
        for first, *rest in words.itertuples(index=False, name=None)
    )
    return (
        f"<table><caption>{escape(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )
