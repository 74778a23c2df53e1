"""The columns of a snapshot: one row per user."""

import pyarrow as pa

_TIME = pa.timestamp("ms", tz="UTC")

# What is read off the user object (`toolkit.classification.user_profile.User`, in its order).
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

# What the classification says of it (`toolkit.classification.sources.Verdict`).
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

# Low-cardinality columns, dictionary-encoded.
FEW = ("source", "underlying", "provider", "fallback", "evidence")
# The columns for writing: in these five each distinct value once, and codes.
ENCODED = pa.schema(
    [
        field.with_type(pa.dictionary(pa.int32(), pa.string())) if field.name in FEW else field
        for field in SNAPSHOT
    ]
)
