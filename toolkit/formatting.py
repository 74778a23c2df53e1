"""How values are shown: shares, names, hidden identifiers, tables as CSV, HTML from templates.

What people typed stays text: nothing in it hides or moves other text, and a spreadsheet does
not run it.
"""

import re
import unicodedata
from base64 import b64encode
from collections.abc import Collection, Iterable
from datetime import UTC
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment
    from pandas import DataFrame


_PERCENT = 100
_LONGEST_OF_SOME = 60
_MINUTES = 100  # from here on hours read better
_NUMBER = re.compile(r"([<>+-]?[\d,.]+( to [<>]?[\d,.]+)?( %)?)?")


def percent(share: float, digits: int = 0) -> str:
    """Write a share (0 to 1): never 0 % if there is somebody, nor 100 % if it is not everybody."""
    least = 10.0**-digits
    value = share * _PERCENT
    text = f"{value:.{digits}f}"
    if share > 0 and float(text) == 0:
        text = f"<{least:.{digits}f}"
    elif share < 1 and float(text) == _PERCENT:
        text = f">{_PERCENT - least:.{digits}f}"
    return f"{text} %"


def plural(number: int, one: str, several: str | None = None) -> str:
    """Write how many there are of something: `1 user`, `2 users` (or `several`, if it is given)."""
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"


def lasting(seconds: float) -> str:
    """Write how long something takes, as seconds, minutes or hours."""
    minutes = seconds / 60
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes:.0f} min" if minutes < _MINUTES else f"{minutes / 60:.1f} h"


def visible(text: str) -> str:
    r"""Write what would not be seen, or would move other text, as an escape such as `\u202e`.

    That is: control and format characters (bidi overrides, joiners, line breaks), lone
    surrogates, private and unassigned characters. It is not escaped for HTML.
    """
    return "".join(
        character.encode("unicode_escape").decode("ascii")
        if unicodedata.category(character)[0] == "C" or character in "\u2028\u2029"
        else character
        for character in text
    )


def shorten(text: str, limit: int) -> str:
    """Make a name visible and cut it to `limit` characters, ending in an ellipsis."""
    seen = visible(text[: limit + 1])
    return seen if len(seen) <= limit else seen[: limit - 1] + "…"


def some_of(names: Collection[str], most: int = 12) -> str:
    """List the first of some names, each cut to 60 characters, and say how many more there are."""
    listed = ", ".join(shorten(name, _LONGEST_OF_SOME) for name in islice(names, most))
    return listed + (f" and {len(names) - most:,} more" if len(names) > most else "")


def harmless(text: str) -> str:
    """Return lines in which nothing moves the cursor, or is not seen."""
    return "\n".join(map(visible, text.split("\n")))


_ENDS = 2
_LONGEST = 40


def mask(user_id: str) -> str:
    """Return a user_id with its middle left out: `auth0|5f7c8ec7c33c6c004bbafe82` as `auth0|5f…82`.

    The strategy before the first `|` stays, unless it contains an `@`.
    """
    strategy, bar, rest = user_id.partition("|")
    if not bar or "@" in strategy:
        strategy, bar, rest = "", "", user_id
    short = len(rest) < 4 * _ENDS
    masked = f"{strategy[:_LONGEST]}{bar}{'…' if short else f'{rest[:_ENDS]}…{rest[-_ENDS:]}'}"
    return visible(masked)


def mask_email(email: str) -> str:
    """Return an e-mail address with its name and its domain left out: `c•••@e•••.org`."""
    name, at, domain = email.rpartition("@")
    if not at:
        return "•••"
    host, dot, top = domain.rpartition(".")
    return visible(f"{name[:1]}•••@{host[:1]}•••{dot}{top if dot else ''}")


_PERSONAL = ["name", "picture", "metadata_picture", "gravatar_hash", "elsewhere"]


def masked_users(users: "DataFrame") -> "DataFrame":
    """Return users of a snapshot so that a stranger recognises nobody.

    Identifiers and e-mail addresses are masked; names, addresses of pictures and hashes are left
    out. Whoever has the snapshot can still tell who is meant: `toolkit.redact` is for sharing.
    """
    emails = users["email"].map(mask_email, na_action="ignore")
    hidden = users.assign(user_id=users["user_id"].map(mask), email=emails)
    return hidden.drop(columns=_PERSONAL)


# Fact: OWASP, "CSV Injection" and ASVS 5.0, 1.2.10: a cell that begins like this is taken for a
# formula; where Japanese or Chinese is written, in full width, too.
_FORMULA = "=+\\-@\uff1d\uff0b\uff0d\uff20"
# A spreadsheet with another list separator, a semicolon or a tab, divides the same line at other
# places, whatever our quotes say: a cell begins there and after a line break. Readers drop quotes
# and blanks there.
_BEGINS = re.compile(rf"""^(?=[\t\r\n\0])|(^|[;\t\r\n\0])(?=[" ]*[{_FORMULA}])""")


def csv(frame: "DataFrame") -> str:
    """Write a frame as CSV (header, comma, UTF-8 text, no index).

    Text that a spreadsheet would take for a formula gets a leading `'`, as in Auth0's own CSV
    exports, also within the text, where another separator would begin a cell.
    """
    from pandas.api.types import is_numeric_dtype  # noqa: PLC0415 - heavy, and few print a table

    safe = frame.copy()
    for name in safe.columns[[not is_numeric_dtype(kind) for kind in safe.dtypes]]:
        safe[name] = safe[name].map(_cell, na_action="ignore")
    safe.columns = safe.columns.map(_cell)
    # Nothing else that a line could end with may stand outside of quotes.
    return safe.to_csv(index=False, lineterminator="\r\n")


def _cell(value: object) -> object:
    if isinstance(value, int | float):
        return value
    text = str(value)
    safe = _BEGINS.sub(r"\1'", text)
    return value if safe == text else safe


def render(template: str, **values: object) -> str:
    """Fill a template, by its path below `toolkit/`, such as `change/plan.html.j2`.

    Returns:
        HTML in which every value is text, unless the template marks it as `safe`. A name without a
        value is an error.
    """
    return _environment().get_template(template).render(values)


def html_table(words: "DataFrame", caption: str) -> str:
    """Draw a table of texts as HTML: numbers to the right; its first column names its rows."""
    rows = list(words.itertuples(index=False, name=None))
    # Jupyter aligns every cell to the right, and breaks lines between a number and its %.
    right, left = "text-align:right;white-space:nowrap", "text-align:left"
    cells = [[str(row[place]) for row in rows] for place in range(len(words.columns))]
    styles = [right if numeric(column) else left for column in cells]
    columns = list(zip(words.columns, styles, strict=True))
    return render(
        "analysis/html_table.html.j2", caption=caption, columns=columns, rows=rows, styles=styles
    )


def numeric(texts: Iterable[str]) -> bool:
    """Whether there are texts, all of which are numbers as people write them, or nothing."""
    found = list(texts)
    return any(found) and all(map(_NUMBER.fullmatch, found))


@cache
def _environment() -> "Environment":
    import jinja2  # noqa: PLC0415 - `import toolkit` and most commands draw no HTML

    made = jinja2.Environment(
        loader=jinja2.PackageLoader("toolkit", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "count": "{:,}".format,
        "harmless": harmless,
        "moment": lambda time: f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
        "percent": percent,
        "plural": plural,
        "png_address": lambda png: f"data:image/png;base64,{b64encode(png).decode('ascii')}",
        "shorten": shorten,
        "visible": visible,
    }
    return made
