"""A piece of a CSV export: some megabytes of whole rows, made into a table of profiles.

Arrow reads the rows, and only the columns that a snapshot keeps. It does so only where it
cannot mean anything else than `csv.reader` and `toolkit.user.user`, which are the truth: every
quote begins or ends a cell or is doubled, every row has as many cells as there are titles, and
all is UTF-8. Anything else is left to them.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from toolkit.arrays import array, text, whole
from toolkit.collect.files import BOM
from toolkit.collect.piece import counts_of, moments_of, strategy_of
from toolkit.columns import PROFILE
from toolkit.user import moment

# The titles that a column of a snapshot may have, the first that holds something counts.
_TITLES = {name: (name,) for name in PROFILE.names} | {
    "connection": ("identities[0].connection", "connection"),
    "strategy": ("identities[0].provider", "provider", "strategy"),
    "metadata_picture": ("user_metadata.picture", "metadata_picture"),
}
# Cells that hold JSON.
_WHOLE = frozenset({"identities", "user_metadata"})
_QUOTE, _COMMA, _END = b'",\n'
_RETURN = ord("\r")


def is_plain(titles: Sequence[str]) -> bool:
    """Whether `read_cells` can read rows with these titles."""
    return len(set(titles)) == len(titles) and not _WHOLE.intersection(titles)


def cut(data: bytes) -> int:
    """Return where the last row ends that is whole, or 0: after a line end outside of quotes."""
    marks = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(marks == _QUOTE)
    place = len(data)
    while place := data.rfind(b"\n", 0, place) + 1:
        before = int(np.searchsorted(quotes, place))
        if before % 2 == 0:
            return place
        # Within a cell: what comes before that cell is looked at next.
        place = int(quotes[before - 1])
    return 0


def read_cells(data: bytes, titles: Sequence[str]) -> pa.Table | None:
    """Read the users of some whole rows.

    Args:
        data: the rows, each with its end.
        titles: what each column is called; they are plain.

    Returns:
        One row a user, the columns of `toolkit.columns.PROFILE`; None where `csv.reader` may
        read the rows in another way.
    """
    if not _is_regular(data):
        return None
    kept = [title for name in PROFILE.names for title in _TITLES[name] if title in titles]
    try:
        table = csv.read_csv(
            pa.BufferReader(data),
            csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=titles),
            csv.ParseOptions(newlines_in_values=True),
            csv.ConvertOptions(column_types=dict.fromkeys(kept, pa.string()), include_columns=kept),
        )
    except pa.ArrowInvalid:  # a row of another length
        return None
    cells = {title: _text(whole(table[title])) for title in kept}
    nothing = pa.nulls(len(table), pa.string())
    columns = {
        name: pc.coalesce(nothing, *(cells[title] for title in _TITLES[name] if title in cells))
        for name in PROFILE.names
    }
    columns["user_id"] = columns["user_id"].fill_null(text(""))
    columns["strategy"] = strategy_of(columns["strategy"], columns["user_id"])
    for name in ("created_at", "updated_at", "last_login"):
        columns[name] = _moments(columns[name])
    columns["logins_count"], _ = counts_of(columns["logins_count"])
    return pa.table([columns[name] for name in PROFILE.names], schema=PROFILE)


def _is_regular(data: bytes) -> bool:
    """Whether the data is UTF-8 and every quote stands where it means one thing only."""
    # Arrow would take a byte order mark away.
    if b"\0" in data or data.startswith(BOM) or data.count(b"\r") != data.count(b"\r\n"):
        return False
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    marks = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(marks == _QUOTE)
    if len(quotes) % 2:
        return False
    begins, ends = quotes[::2], quotes[1::2]
    before = marks[np.maximum(begins - 1, 0)]
    after = marks[ends + 1] if len(ends) and ends[-1] + 1 < len(marks) else None
    if after is None:
        return not len(quotes)
    opened = (begins == 0) | _one_of(before, _COMMA, _END, _QUOTE)
    closed = _one_of(after, _COMMA, _END, _QUOTE, _RETURN)
    return bool(opened.all() and closed.all())


def _one_of(marks: npt.NDArray[np.uint8], *wanted: int) -> npt.NDArray[np.bool_]:
    found = np.zeros(len(marks), np.bool_)
    for mark in wanted:
        found |= marks == mark
    return found


def _text(cells: pa.StringArray) -> pa.StringArray:
    """Return what cells hold: no text, or a text without the quote that Auth0 puts before it."""
    held = pc.if_else(pc.equal(cells, text("")), text(None), cells)
    quoted = pc.starts_with(held, "'")
    return pc.if_else(quoted, pc.utf8_slice_codeunits(held, 1), held)


def _moments(column: pa.StringArray) -> pa.Array:
    found, odd = moments_of(column)
    if not odd.any():
        return found
    exact = [moment(text) for text in column.filter(array(odd)).to_pylist()]
    return pc.replace_with_mask(found, array(odd), pa.array(exact, found.type))
