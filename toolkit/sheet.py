"""Tables as CSV that a spreadsheet shows and does not run."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pandas import DataFrame

# Fact: OWASP, "CSV Injection" and ASVS 5.0, 1.2.10: a cell that begins like this is taken for a
# formula; where Japanese or Chinese is written, in full width, too.
_FORMULA = "=+\\-@\uff1d\uff0b\uff0d\uff20"
# A spreadsheet whose list separator is a semicolon (most of Europe) or a tab divides the same line
# at other places, and there quotes that stand for ours mean nothing: what follows such a place
# begins a cell, and what follows a line break begins a row. Readers drop quotes and blanks there.
_BEGINS = re.compile(rf"""^(?=[\t\r\n\0])|(^|[;\t\r\n\0])(?=[" ]*[{_FORMULA}])""")


def csv(frame: "DataFrame") -> str:
    """Write a frame as CSV (header, comma, UTF-8 text, no index).

    Text that a spreadsheet would take for a formula gets a leading `'`, as in Auth0's own CSV
    exports; so does what would begin a cell where a semicolon or a tab divides cells, which is
    then within the text.
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
