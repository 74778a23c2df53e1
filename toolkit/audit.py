"""Frames of users in, frames of classified users out."""

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

from toolkit.columns import CLASSIFICATION, PROFILE
from toolkit.picture import Verdict, classify
from toolkit.user import User

_DECIDING = ("picture", "metadata_picture", "strategy", "connection")


def profiles(users: Iterable[User]) -> pd.DataFrame:
    """Put users into a frame.

    Args:
        users: any number of users.

    Returns:
        One row per user, in the order given, with the profile columns of a
        snapshot: strings, UTC timestamps to the millisecond, a nullable count.
    """
    rows = list(users)
    columns: Sequence[Sequence[Any]] = list(zip(*rows, strict=True)) or [()] * len(PROFILE)
    return _frame(columns, PROFILE)


def audit(frame: pd.DataFrame) -> pd.DataFrame:
    """Classify every user of a frame as `toolkit.picture.classify` would one by one.

    Args:
        frame: any number of rows with `picture`, `metadata_picture`, `strategy`
            and `connection` (a missing column counts as all null); further
            columns are kept.

    Returns:
        A new frame with the same rows in the same order and the classification
        columns added, or replaced where the frame already had them.
    """
    known: dict[tuple[object, ...], Verdict] = {}
    verdicts = []
    for key in zip(*(_objects(frame, name) for name in _DECIDING), strict=True):
        # Values of the wrong type may be unhashable; their text decides as well.
        hashable = tuple(value if isinstance(value, str | None) else repr(value) for value in key)
        verdict = known.get(hashable)
        if verdict is None:
            picture, metadata_picture, strategy, connection = key
            verdict = known[hashable] = classify(
                picture,
                metadata_picture=metadata_picture,
                strategy=strategy if isinstance(strategy, str) else None,
                connection=connection if isinstance(connection, str) else None,
            )
        verdicts.append(verdict)
    columns = [[getattr(verdict, name) for verdict in verdicts] for name in CLASSIFICATION.names]
    classified = _frame(columns, CLASSIFICATION).set_index(frame.index)
    kept = frame.drop(columns=CLASSIFICATION.names, errors="ignore")
    joined: pd.DataFrame = kept.join(classified)
    return joined


def _objects(frame: pd.DataFrame, name: str) -> list[object]:
    """Return a column as plain objects, with None for every kind of null."""
    if name not in frame.columns:
        return [None] * len(frame)
    column = frame[name]
    values: list[object] = column.astype(object).where(column.notna(), None).tolist()
    return values


def _frame(columns: Sequence[Sequence[Any]], schema: pa.Schema) -> pd.DataFrame:
    arrays = [
        pa.array(column, type=field.type) for column, field in zip(columns, schema, strict=True)
    ]
    table = pa.table(arrays, schema=schema)
    # A nullable count stays a count instead of turning into a float.
    types = {pa.int64(): pd.Int64Dtype()}
    frame: pd.DataFrame = table.to_pandas(types_mapper=types.get)
    return frame
