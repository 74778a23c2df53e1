"""What people would use instead: `python -m tests.benchmarks.rival NAME EXPORT`.

Each reads one gzip NDJSON export; what is imported is imported by the one that needs it, as a
script of its own would.
"""

import gzip
import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from pandas import DataFrame

_COLUMNS = {
    "user_id": "VARCHAR",
    "email": "VARCHAR",
    "name": "VARCHAR",
    "identities": "STRUCT(provider VARCHAR, connection VARCHAR)[]",
    "created_at": "TIMESTAMP",
    "updated_at": "TIMESTAMP",
    "last_login": "TIMESTAMP",
    "logins_count": "BIGINT",
    "picture": "VARCHAR",
    "user_metadata": "STRUCT(picture VARCHAR)",
}
_HOSTS = {
    "s.gravatar.com": "gravatar",
    "secure.gravatar.com": "gravatar",
    "www.gravatar.com": "gravatar",
    "cdn.auth0.com": "initials",
    "lh3.googleusercontent.com": "social",
    "platform-lookaside.fbsbx.com": "social",
    "avatars.githubusercontent.com": "social",
    "media.licdn.com": "social",
    "pbs.twimg.com": "social",
}


def duckdb(path: str) -> int:
    """Read the columns of a snapshot with DuckDB, classify nothing, write nothing."""
    import duckdb  # noqa: PLC0415 - see above

    columns = "{" + ", ".join(f"{name}: '{kind}'" for name, kind in _COLUMNS.items()) + "}"
    query = (
        f"SELECT * FROM read_json(?, format = 'newline_delimited', columns = {columns}, "
        "ignore_errors = true)"
    )
    with duckdb.connect() as engine:
        return sum(len(batch) for batch in engine.sql(query, params=[path]).to_arrow_reader())


def polars(path: str) -> int:
    """Read the columns of a snapshot with polars, classify nothing, write nothing."""
    import polars as pl  # noqa: PLC0415 - see above

    text = dict.fromkeys(("user_id", "email", "name", "created_at", "updated_at", "last_login"))
    schema = {
        **dict.fromkeys(text, pl.String),
        "identities": pl.List(pl.Struct({"provider": pl.String, "connection": pl.String})),
        "logins_count": pl.Int64,
        "picture": pl.String,
        "user_metadata": pl.Struct({"picture": pl.String}),
    }
    frame = pl.scan_ndjson(path, schema=schema, ignore_errors=True).collect(engine="streaming")
    return len(frame)


def notebook(path: str) -> int:
    """Do what a notebook does: json, a frame, apply with urllib; count the sources."""
    import pandas as pd  # noqa: PLC0415 - see above

    with gzip.open(path, "rt", encoding="utf-8") as file:
        frame = pd.DataFrame([json.loads(line) for line in file])
    return _applied(frame)


def read_json(path: str) -> int:
    """Do what pandas offers for it: read_json, apply with urllib; count the sources."""
    import pandas as pd  # noqa: PLC0415 - see above

    return _applied(pd.read_json(path, lines=True, compression="gzip"))


def _applied(frame: "DataFrame") -> int:
    def source(picture: object) -> str:
        if not isinstance(picture, str) or not picture:
            return "missing"
        try:
            host = urlsplit(picture).hostname
        except ValueError:
            return "invalid"
        return _HOSTS.get(host or "", "custom")

    frame["source"] = frame["picture"].apply(source)
    return int(frame["source"].value_counts().sum())


RIVALS: dict[str, Callable[[str], int]] = {
    "duckdb": duckdb,
    "polars": polars,
    "notebook": notebook,
    "read_json": read_json,
}


if __name__ == "__main__":
    sys.stdout.write(f"{RIVALS[sys.argv[1]](sys.argv[2])}\n")
