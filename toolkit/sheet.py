"""Tables as CSV that a spreadsheet shows and does not run."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pandas import DataFrame

# Fact: OWASP, "CSV Injection" and ASVS 5.0, 1.2.10: a cell that begins like this is taken for a
# formula; where Japanese or Chinese is written, in full width, too.
_FORMULA = tuple("=+-@\t\r\n\0\uff1d\uff0b\uff0d\uff20")


def csv(frame: "DataFrame") -> str:
    """Write a frame as CSV (header, comma, UTF-8 text, no index).

    Text that a spreadsheet would take for a formula gets a leading `'`, as in
    Auth0's own CSV exports.
    """
    from pandas.api.types import is_numeric_dtype  # noqa: PLC0415 - heavy, and few print a table

    safe = frame.copy()
    for name in safe.columns[[not is_numeric_dtype(kind) for kind in safe.dtypes]]:
        safe[name] = safe[name].map(_cell, na_action="ignore")
    # Nothing else that a line could end with may stand outside of quotes.
    return safe.to_csv(index=False, lineterminator="\r\n")


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
