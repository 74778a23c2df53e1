"""HTML made from templates: all values are escaped, and a name without a value is an error.

A template is a file `NAME.html.j2` beside the module that fills it.
"""

from base64 import b64encode
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

from toolkit.formatting import harmless, percent, shorten, visible

if TYPE_CHECKING:
    import pandas as pd
    from jinja2 import Environment


def render(template: str, **values: object) -> str:
    """Fill a template with values.

    Args:
        template: its path below `toolkit/`, such as `change/plan.html.j2`.
        values: what the template names.

    Returns:
        HTML in which every value is text, unless the template marks it as `safe`.
    """
    return _environment().get_template(template).render(values)


def html_table(words: "pd.DataFrame", caption: str) -> str:
    """Draw a table whose first column names its rows.

    Args:
        words: every value as the text that people read.
        caption: what stands above it.
    """
    rows = list(words.itertuples(index=False, name=None))
    return render("html_table.html.j2", caption=caption, columns=list(words.columns), rows=rows)


@cache
def _environment() -> "Environment":
    """Return the one environment; its filters write values as the rest of the toolkit does."""
    from jinja2 import (  # noqa: PLC0415 - `import toolkit` and most commands draw no HTML
        Environment,
        PackageLoader,
        StrictUndefined,
    )

    made = Environment(
        loader=PackageLoader("toolkit", ""),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "count": "{:,}".format,
        "harmless": harmless,
        "moment": _moment,
        "percent": percent,
        "png_address": _png_address,
        "shorten": shorten,
        "visible": visible,
    }
    return made


def _moment(value: datetime) -> str:
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _png_address(png: bytes) -> str:
    """Write a picture as an address that holds it."""
    return f"data:image/png;base64,{b64encode(png).decode('ascii')}"
