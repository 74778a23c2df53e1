"""The columns of a snapshot: one row per user."""

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

SNAPSHOT = pa.unify_schemas([PROFILE, CLASSIFICATION])

# Columns with few distinct values; for writing, these five are dictionary-encoded.
FEW = ("source", "underlying", "provider", "fallback", "evidence")
ENCODED = pa.schema(
    [
        field.with_type(pa.dictionary(pa.int32(), pa.string())) if field.name in FEW else field
        for field in SNAPSHOT
    ]
)


def to_frame(table: pa.Table | pa.RecordBatch) -> "pd.DataFrame":
    """Return a table as a DataFrame; a nullable count stays one instead of turning into a float."""
    import pandas as pd  # noqa: PLC0415 - slow to import; writing needs none

    frame: pd.DataFrame = table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    return frame
