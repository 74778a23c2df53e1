"""Tables as CSV that a spreadsheet shows and does not run."""

import pandas as pd

# Fact: OWASP, "CSV Injection": a cell that begins like this is taken for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv(frame: pd.DataFrame) -> str:
    """Write a frame as CSV (header, comma, UTF-8 text, no index).

    Text that a spreadsheet would take for a formula gets a leading `'`, as in
    Auth0's own CSV exports.
    """
    safe = frame.copy()
    for name in safe.columns[[not pd.api.types.is_numeric_dtype(kind) for kind in safe.dtypes]]:
        safe[name] = safe[name].map(_cell, na_action="ignore")
    # Nothing else that a line could end with may stand outside of quotes.
    return safe.to_csv(index=False, lineterminator="\r\n")


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
