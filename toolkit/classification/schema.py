"""The columns of a snapshot: one row per user."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    import pandas as pd

_TIME = pa.timestamp("ms", tz="UTC")

# The fields of `toolkit.classification.user_profile.User`.
PROFILE = pa.schema(
    [
        ("user_id", pa.string()),
        ("email", pa.string()),
        ("name", pa.string()),
        ("connection", pa.string()),
        ("strategy", pa.string()),
        ("created_at", _TIME),
        ("updated_at", _TIME),
        ("last_login", _TIME),
        ("logins_count", pa.int64()),
        ("picture", pa.string()),
        ("metadata_picture", pa.string()),
        ("elsewhere", pa.string()),
        ("elsewhere_from", pa.string()),
    ]
)

# Fields of `toolkit.classification.sources.Verdict`.
CLASSIFICATION = pa.schema(
    [
        ("source", pa.string()),
        ("underlying", pa.string()),
        ("provider", pa.string()),
        ("fallback", pa.string()),
        ("evidence", pa.string()),
        ("expires_at", _TIME),
        ("gravatar_hash", pa.string()),
    ]
)

# Columns that a snapshot of the former version lacks; there they count as null. `content` is what
# was seen when the picture was loaded; `elsewhere` is a picture that the tenant holds and nobody
# shows, and `elsewhere_from` where it stands.
ADDED = pa.schema(
    [
        ("content", pa.string()),
        ("elsewhere", pa.string()),
        ("elsewhere_from", pa.string()),
    ]
)

SNAPSHOT = pa.schema(
    [*(field for field in PROFILE if field.name not in ADDED.names), *CLASSIFICATION, *ADDED]
)

# Columns with few distinct values; for writing, these are dictionary-encoded.
FEW = ("source", "underlying", "provider", "fallback", "evidence", "content", "elsewhere_from")
ENCODED = pa.schema(
    [
        field.with_type(pa.dictionary(pa.int32(), pa.string())) if field.name in FEW else field
        for field in SNAPSHOT
    ]
)


def held(names: Iterable[str]) -> list[str]:
    """Return the columns of `SNAPSHOT` but for those of `ADDED` that are not among the names."""
    there = frozenset(names)
    return [name for name in SNAPSHOT.names if name in there or name not in ADDED.names]


def completed(table: pa.Table, schema: pa.Schema = SNAPSHOT) -> pa.Table:
    """Return the columns of a schema, in its order; of `ADDED`, missing ones are null."""
    for field in schema:
        if field.name in ADDED.names and field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(len(table), field.type))
    return table.select(schema.names)


def to_frame(table: pa.Table | pa.RecordBatch) -> "pd.DataFrame":
    """Return a table as a DataFrame; a nullable count stays one instead of turning into a float."""
    import pandas as pd  # noqa: PLC0415 - slow to import; writing needs none

    frame: pd.DataFrame = table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    return frame
