"""Frames of users in, frames of classified users out; and why a picture is what it is."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from toolkit.classification.columnwise import classified
from toolkit.classification.schema import CLASSIFICATION, to_frame
from toolkit.classification.sources import classify
from toolkit.classification.user_profile import User, tabulated, user

_DECIDING = ("picture", "metadata_picture", "strategy", "connection")
_ROWS = 131_072  # classified at a time


def profiles(users: Iterable[User]) -> pd.DataFrame:
    """Put users into a frame: one row each, in their order, with the columns of `PROFILE`."""
    return to_frame(tabulated(users))


def audit(frame: pd.DataFrame, at: datetime | None = None) -> pd.DataFrame:
    """Return a frame of users with the classification of each, as `classify` makes it.

    Args:
        frame: any number of rows with `picture`, `metadata_picture`, `strategy` and `connection`
            (a missing column counts as all null); other columns, index and order are kept.
        at: as for `classify`.
    """
    begins = range(0, len(frame), _ROWS)
    verdicts = [_classified(frame.iloc[begin : begin + _ROWS], at) for begin in begins]
    table = pa.concat_tables([CLASSIFICATION.empty_table(), *verdicts])
    kept = frame.drop(columns=CLASSIFICATION.names, errors="ignore")
    joined: pd.DataFrame = kept.join(to_frame(table).set_index(frame.index))
    return joined


def _classified(frame: pd.DataFrame, at: datetime | None) -> pa.Table:
    columns = {name: _texts(frame, name) for name in _DECIDING}
    odd = np.any([which for _, which in columns.values()], axis=0)
    table = classified(*(texts for texts, _ in columns.values()), at=at)
    if not odd.any():
        return table
    rows = np.flatnonzero(odd)
    values = [_objects(frame.iloc[rows], name) for name in _DECIDING]
    verdicts = [
        classify(
            picture,
            metadata_picture=metadata_picture,
            strategy=strategy if isinstance(strategy, str) else None,
            connection=connection if isinstance(connection, str) else None,
            at=at,
        )
        for picture, metadata_picture, strategy, connection in zip(*values, strict=True)
    ]
    exact = pa.Table.from_pylist([asdict(one) for one in verdicts], CLASSIFICATION)
    place = np.arange(len(frame))
    place[rows] = len(frame) + np.arange(len(rows))
    return pa.concat_tables([table, exact]).take(pa.array(place))


def _texts(frame: pd.DataFrame, name: str) -> tuple[pa.StringArray, npt.NDArray[np.bool_]]:
    """Return a column as text, and which rows hold something else; those are null in it."""
    values = _objects(frame, name)
    odd = np.zeros(len(frame), np.bool_)
    if pd.api.types.infer_dtype(values, skipna=True) in {"string", "empty"}:
        try:
            return pa.array(values, pa.string()), odd
        except UnicodeEncodeError:  # a lone surrogate: found below
            pass
    for row, value in enumerate(values):
        if value is not None and not _is_text(value):
            odd[row], values[row] = True, None
    return pa.array(values, pa.string()), odd


def _is_text(value: object) -> bool:
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


def _objects(frame: pd.DataFrame, name: str) -> list[object]:
    """Return a column as plain objects, with None for every kind of null."""
    if name not in frame.columns:
        return [None] * len(frame)
    column = frame[name]
    values: list[object] = column.astype(object).where(column.notna(), None).tolist()
    return values


def explain(subject: str | Mapping[str, Any]) -> dict[str, Any]:
    """Return the classification of one picture URL or one Auth0 user object, and the `reason`.

    An override whose signature has ended by now does not count.

    Args:
        subject: a URL, or a user object as the Management API returns it (then with
            `user_id`, and with `elsewhere` and `elsewhere_from`).
    """
    if isinstance(subject, str):
        verdict, named, spare = classify(subject), {}, {}
    else:
        one = user(subject)
        named = {"user_id": one.user_id}
        spare = {"elsewhere": one.elsewhere, "elsewhere_from": one.elsewhere_from}
        verdict = classify(
            one.picture,
            metadata_picture=one.metadata_picture,
            strategy=one.strategy,
            connection=one.connection,
            at=datetime.now(UTC),
        )
    expires_at = verdict.expires_at.isoformat() if verdict.expires_at else None
    return named | asdict(verdict) | {"expires_at": expires_at} | spare
