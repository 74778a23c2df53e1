"""Arrow's arrays and constants, made without pandas.

Fact (pyarrow 26, tried): `pyarrow.array`, `pyarrow.scalar` and every plain value given to a
function of `pyarrow.compute` import pandas, which takes as long as reading 100,000 users.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def array(values: npt.NDArray[np.generic], absent: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """Return numbers or truth values (one dimension) as an Arrow array; `absent` ones are null."""
    held = None if absent is None else _bits(~absent)
    if values.dtype == np.bool_:
        return pa.Array.from_buffers(pa.bool_(), len(values), [held, _bits(values.view(np.bool_))])
    kind = pa.from_numpy_dtype(values.dtype)
    data = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(kind, len(values), [held, data])


def values_of(column: pa.Array) -> npt.NDArray[Any]:
    """Return the values of an Arrow array of numbers or truth values.

    Raises:
        ValueError: one is null.
    """
    if column.null_count:
        raise ValueError("a null has no value")
    kind = column.type.to_pandas_dtype()
    if not len(column):
        return np.zeros(0, kind)
    data, end = column.buffers()[1], column.offset + len(column)
    if kind == np.bool_:
        bits = np.unpackbits(np.frombuffer(data, np.uint8), count=end, bitorder="little")
        return bits[column.offset :].view(np.bool_)
    numbers: npt.NDArray[Any] = np.frombuffer(data, kind, end)[column.offset :]
    return numbers


def whole(column: pa.ChunkedArray) -> pa.Array:
    """Return a chunked array as one array, uncopied where it is one chunk."""
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks or [pa.nulls(0, column.type)])


def texts(values: Sequence[str | None]) -> pa.StringArray:
    """Return texts as an Arrow array; meant for few."""
    encoded = [(one or "").encode() for one in values]
    ends = np.fromiter(accumulate(map(len, encoded), initial=0), np.int32)
    held = _bits(np.fromiter((one is not None for one in values), np.bool_, len(values)))
    return pa.StringArray.from_buffers(
        len(values), pa.py_buffer(ends), pa.py_buffer(b"".join(encoded)), held
    )


def text(value: str | None) -> pa.StringScalar:
    """Return one text, or null, as a constant for `pyarrow.compute`."""
    return texts([value])[0]


def flag(value: bool) -> pa.BooleanScalar:
    """Return a truth value as a constant for `pyarrow.compute`."""
    return array(np.array([value]))[0]


def blanked(column: pa.StringArray) -> pa.StringArray:
    """Return texts with empty ones in the place of nulls."""
    return column.fill_null(text(""))


def first_bytes(column: pa.StringArray) -> npt.NDArray[np.uint8]:
    """Return the first byte of each text; 0 where it is empty. A null may hide a text."""
    _, offsets, data = column.buffers()
    if not len(column) or not data:
        return np.zeros(len(column), np.uint8)
    places = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1]
    held = np.frombuffer(data, np.uint8)
    first: npt.NDArray[np.uint8] = held.take(places[:-1], mode="clip")  # the last may be empty
    first *= places[1:] != places[:-1]
    return first


def _bits(values: npt.NDArray[np.bool_]) -> pa.Buffer:
    return pa.py_buffer(np.packbits(values, bitorder="little"))
