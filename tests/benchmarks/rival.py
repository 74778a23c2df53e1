"""What people would use instead: `python -m tests.benchmarks.rival NAME EXPORT`.

Each reads one gzip NDJSON export; what is imported is imported by the one that needs it, as a
script of its own would.
"""

import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from pandas import DataFrame, Series

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
_READ = [
    *("user_id", "email", "name", "connection", "strategy", "created_at", "updated_at"),
    *("last_login", "logins_count", "picture", "metadata_picture"),
]
_VERDICT = [
    *("source", "underlying", "provider", "fallback", "evidence", "expires_at", "gravatar_hash"),
]
_SOCIAL = {"google-oauth2", "facebook", "github", "linkedin", "twitter", "apple", "windowslive"}


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
    """Do what a notebook does: json, a frame, apply with urllib, a Parquet file."""
    return _judged(_frame(path))


def read_json(path: str) -> int:
    """Do what pandas offers for it: read_json, apply with urllib, a Parquet file."""
    import pandas as pd  # noqa: PLC0415 - see above

    return _judged(pd.read_json(path, lines=True, compression="gzip"))


def hosts(path: str) -> int:
    """Do the least that a notebook can: json, a frame, apply to pictures; count whose they are."""
    frame = _frame(path)
    frame["host"] = frame["picture"].apply(_host)
    return int(frame["host"].value_counts().sum())


def _frame(path: str) -> "DataFrame":
    import pandas as pd  # noqa: PLC0415 - see above

    with gzip.open(path, "rt", encoding="utf-8") as file:
        return pd.DataFrame([json.loads(line) for line in file])


def _judged(frame: "DataFrame") -> int:
    """Write the columns of a snapshot, as cells of a notebook would."""
    import pandas as pd  # noqa: PLC0415 - see above

    frame["connection"] = frame["identities"].apply(lambda held: held[0]["connection"])
    frame["strategy"] = frame["identities"].apply(lambda held: held[0]["provider"])
    frame["metadata_picture"] = frame["user_metadata"].apply(_override)
    verdicts = frame.apply(_verdict, axis="columns")
    frame[_VERDICT] = pd.DataFrame(verdicts.tolist(), index=frame.index)
    for name in ("email", "name", "picture", "metadata_picture"):
        frame[name] = frame[name].apply(lambda held: held if isinstance(held, str) else None)
    for name in ("created_at", "updated_at", "last_login"):
        frame[name] = pd.to_datetime(frame[name], format="ISO8601", utc=True, errors="coerce")
    frame["expires_at"] = pd.to_datetime(frame["expires_at"], unit="s", utc=True)
    with TemporaryDirectory() as folder:
        frame[[*_READ, *_VERDICT]].to_parquet(Path(folder) / "users.parquet")
    return len(frame)


def _override(metadata: object) -> object:
    return metadata.get("picture") if isinstance(metadata, dict) else None


def _verdict(user: "Series[Any]") -> tuple[object, ...]:
    """Return source, underlying, provider, fallback, evidence, expires_at and gravatar_hash."""
    picture, override = user["picture"], user["metadata_picture"]
    underlying, provider, fallback, evidence, expires, digest = (
        _host(picture),
        None,
        None,
        "url",
        None,
        None,
    )
    if underlying in {"gravatar", "social"}:
        url = urlsplit(picture)
        query = parse_qs(url.query)
    if underlying == "gravatar":
        fallback = "initials" if "cdn.auth0.com" in query.get("d", [""])[0] else "custom"
        digest = url.path.rpartition("/")[2].lower()
        if query.get("f") == ["y"]:
            underlying = "initials" if fallback == "initials" else "placeholder"
    elif underlying == "social":
        provider = user["strategy"]
        expires = int(query["ext"][0]) if "ext" in query else None
    elif underlying == "custom" and user["strategy"] in _SOCIAL:
        underlying, provider, evidence = "social", user["strategy"], "identity"
    usable = isinstance(override, str) and override.startswith("https://")
    source = "metadata" if usable else underlying
    return source, underlying, provider, fallback, evidence, expires, digest


def _host(picture: object) -> str:
    if not isinstance(picture, str) or not picture:
        return "missing"
    try:
        host = urlsplit(picture).hostname
    except ValueError:
        return "invalid"
    return _HOSTS.get(host or "", "custom")


RIVALS: dict[str, Callable[[str], int]] = {
    "duckdb": duckdb,
    "polars": polars,
    "notebook": notebook,
    "read_json": read_json,
    "hosts": hosts,
}


if __name__ == "__main__":
    sys.stdout.write(f"{RIVALS[sys.argv[1]](sys.argv[2])}\n")
