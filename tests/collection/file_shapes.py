"""The same users in every shape in which people have them: Auth0's own files, and other tools'.

A shape says how a file of it is written, and what of a user it can carry: `carried` is the user as
Auth0 would write it without the rest, so the file must give the snapshot of a plain file of those.
"""

import csv
import gzip
import io
import json
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from functools import partial
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import xlsxwriter
from pyarrow import feather

from toolkit.sandbox.made_up.tenants import loadable, people

User = dict[str, Any]
Row = dict[str, Any]

TIMES = ("created_at", "updated_at", "last_login")
COLUMNS = (
    *("user_id", "email", "name", "picture", *TIMES, "logins_count"),
    *("identities[0].connection", "identities[0].provider", "user_metadata.picture"),
)
"""What a table of users holds, by the paths that Auth0's export job takes."""
DEFAULTS = {
    "user_id": "Id",
    "name": "Name",
    "email": "Email",
    "picture": "Picture",
    "identities[0].connection": "Connection",
    "created_at": "Created At",
    "updated_at": "Updated At",
}
"""What Auth0's import/export extension exports unless told, and how it calls that."""
EAST = timezone(timedelta(hours=5, minutes=30))
MARK = "\ufeff".encode()


class Shape(NamedTuple):
    """How a kind of file is written, and what it can carry."""

    name: str  # of a file
    write: Callable[[list[User]], bytes]
    carried: Callable[[User], User]
    note: str = ""  # a regular expression for what the notes say of it


def made_up(count: int) -> list[User]:
    """Return users as the Management API returns them, each with all attributes that are read."""
    users = []
    for number, person in enumerate(people(count)):
        user = {name: value for name, value in loadable(person).items() if name != "_gravatar"}
        metadata = user.get("user_metadata") or {}
        if not number:  # so that a file of few users has this attribute, too
            metadata = metadata | {"picture": "https://files.example.com/0.png"}
        for one in user["identities"]:  # a column has one type
            one["user_id"] = str(one["user_id"])
        # Tables hold texts, and no difference between an empty one and none.
        override = metadata.pop("picture", None)
        metadata["picture"] = str(override) if override else None
        empty = dict.fromkeys([*TIMES, "email", "name", "picture", "logins_count"])
        # In a table, `undefined` is a cell without a value, as JavaScript programs write it.
        picture = user.get("picture")
        picture = None if picture in ("", "undefined") else picture
        users.append(empty | user | {"picture": picture, "user_metadata": metadata})
    return users


# What is carried


def whole(user: User) -> User:
    """Keep all."""
    return user


def tabled(user: User, columns: Iterable[str] = COLUMNS) -> User:
    """Keep what stands in the columns of a table."""
    row = rowed(user, columns)
    kept = {name: value for name, value in row.items() if "[" not in name and "." not in name}
    begin = "identities[0]."
    first = {name.removeprefix(begin): row[name] for name in row if name.startswith(begin)}
    if first:
        kept["identities"] = [first]
    if "user_metadata.picture" in row:
        kept["user_metadata"] = {"picture": row["user_metadata.picture"]}
    return kept


def in_seconds(user: User) -> User:
    """Keep times to the second."""
    return {name: value and timed(value, seconds) for name, value in _times_of(user)} | {
        name: value for name, value in user.items() if name not in TIMES
    }


def in_windows(user: User) -> User:
    """Keep the letters that Windows-1252 has."""
    name = user["name"]
    return tabled(user | {"name": name and name.encode("cp1252", "replace").decode("cp1252")})


# Rows, titles and times


def rowed(user: User, columns: Iterable[str] = COLUMNS) -> Row:
    """Return a user as a row of a table."""
    first, metadata = user["identities"][0], user["user_metadata"]
    row = {name: user[name] for name in COLUMNS if name in user}
    row |= {f"identities[0].{name}": first[name] for name in ("connection", "provider")}
    row["user_metadata.picture"] = metadata["picture"]
    return {name: row[name] for name in columns}


def titled(row: Mapping[str, Any], titles: Mapping[str, str]) -> Row:
    """Call columns what `titles` says, if it says anything."""
    return {titles.get(name, name): value for name, value in row.items()}


def nested_rows(users: Iterable[User], write: Callable[[Any], str]) -> list[Row]:
    """Return rows in which what is nested is a text."""
    kept = (*COLUMNS[:8], "identities", "user_metadata", "thumbnailPhotoUrl")
    return [
        {
            name: write(user[name]) if isinstance(user.get(name), list | dict) else user.get(name)
            for name in kept
        }
        for user in users
    ]


def timed(value: str, write: Callable[[datetime], Any]) -> Any:
    return write(datetime.fromisoformat(value))


def _times_of(row: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(name, row[name]) for name in TIMES if name in row]


def retimed(rows: Iterable[Mapping[str, Any]], write: Callable[[datetime], Any]) -> list[Row]:
    """Write the times of rows, or of users, in another way."""
    return [
        {**row} | {name: value and timed(value, write) for name, value in _times_of(row)}
        for row in rows
    ]


def seconds(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def blank(ending: str) -> Callable[[datetime], str]:
    """Write times with a blank, as warehouses do."""
    return lambda moment: f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03}{ending}"


def milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


# Layouts


def lines(records: Iterable[Any]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def pretty(records: Iterable[Any]) -> bytes:
    """One object after another, each over several lines, as jq writes them."""
    return b"".join(json.dumps(record, indent=2).encode() + b"\n" for record in records)


def array(users: Sequence[User], **how: Any) -> bytes:
    return json.dumps(users, **how).encode()


def pages(users: Sequence[User], size: int = 100) -> list[dict[str, Any]]:
    """Return the pages of the Management API with `include_totals=true`."""
    return [
        {"start": start, "limit": size, "length": len(some), "users": some, "total": len(users)}
        for start in range(0, len(users), size)
        for some in [users[start : start + size]]
    ]


def sheet(rows: Sequence[Row], **how: Any) -> bytes:
    """Write rows as CSV; `how` is for `csv.DictWriter`."""
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(rows[0]), **(how or {"lineterminator": "\n"}))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def escaped(rows: Sequence[Row]) -> bytes:
    """Write rows as Auth0's export job does: texts in quotes, behind an apostrophe."""
    told = [{k: f"'{v}" if isinstance(v, str) else v for k, v in row.items()} for row in rows]
    return sheet(told, quoting=csv.QUOTE_NONNUMERIC)


def rows_of(users: Iterable[User], titles: Mapping[str, str] | None = None) -> list[Row]:
    return [titled(rowed(user), titles or {}) for user in users]


def parquet(rows: Sequence[Row]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), sink)
    return sink.getvalue()


def arrow(rows: Sequence[Row], new: Callable[..., Any]) -> bytes:
    table = pa.Table.from_pylist(list(rows))
    sink = io.BytesIO()
    with new(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=100)
    return sink.getvalue()


def feathered(rows: Sequence[Row]) -> bytes:
    sink = io.BytesIO()
    feather.write_feather(pa.Table.from_pylist(list(rows)), sink)
    return sink.getvalue()


def excel(rows: Sequence[Row], *, dates: bool = False) -> bytes:
    """Write rows as a workbook; with `dates`, times are Excel's, and not texts."""
    sink = io.BytesIO()
    with xlsxwriter.Workbook(sink, {"remove_timezone": True, "strings_to_urls": False}) as book:
        page = book.add_worksheet()
        shown = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss.000"})
        page.write_row(0, 0, list(rows[0]))
        for number, row in enumerate(rows, 1):
            for place, (name, value) in enumerate(row.items()):
                if dates and name in TIMES and value:
                    page.write_datetime(number, place, datetime.fromisoformat(value), shown)
                else:
                    page.write(number, place, value)
    return sink.getvalue()


# Around a file


def zipped(content: bytes, name: str = "users.ndjson") -> bytes:
    """Zip a file as macOS does, with its own files beside it."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, content)
        file.writestr(f"__MACOSX/._{name}", b"\0\5\26\7\0\2\0\0Mac OS X")
    return sink.getvalue()


def zstandard(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as out:
        out.write(content)
    return sink.getvalue().to_pybytes()


# Tools


def camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


def singer(users: Sequence[User]) -> bytes:
    """Write what a tap prints."""
    schema = {"type": "SCHEMA", "stream": "users", "schema": {}, "key_properties": ["user_id"]}
    state = {"type": "STATE", "value": {"bookmarks": {}}}
    records = [{"type": "RECORD", "stream": "users", "record": user} for user in users]
    return lines([schema, *records, state])


def airbyte(users: Sequence[User], data: Callable[[User], Any] = whole) -> list[Row]:
    return [
        {"_airbyte_ab_id": f"{n:032x}", "_airbyte_emitted_at": 1709287200000}
        | {"_airbyte_data": data(user)}
        for n, user in enumerate(users)
    ]


def steampipe(users: Sequence[User]) -> list[Row]:
    """Return rows of its table `auth0_user`."""
    return [titled(row, {"user_id": "id"}) for row in retimed(users, seconds)]


def posthog(users: Sequence[User]) -> bytes:
    """Write persons, whose properties an application filled with Auth0's attributes."""
    return lines(
        {
            "distinct_ids": [user["user_id"]],
            "properties": user,
            "created_at": "2024-01-01T00:00:00Z",
        }
        for user in users
    )


def mongo(users: Sequence[User]) -> bytes:
    """Write what mongoexport does of users that were stored as they are."""

    def date(moment: datetime) -> Any:
        # Before 1970 and after 9999 it is a number in text.
        return {"$date": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")}

    return lines(
        {"_id": {"$oid": f"{number:024x}"}} | user
        for number, user in enumerate(retimed(users, date))
    )


def bigquery(users: Sequence[User]) -> bytes:
    """Write what `bq extract` does: whole numbers are texts."""
    rows = retimed(users, blank(" UTC"))
    for row in rows:
        count = row["logins_count"]
        row["logins_count"] = None if count is None else str(count)
    return lines(rows)


def snowflake(users: Sequence[User]) -> bytes:
    """Write what COPY INTO does: titles in capitals, VARIANT as JSON text."""
    rows = retimed(nested_rows(users, json.dumps), blank(" Z"))
    return gzip.compress(sheet([{k.upper(): v for k, v in row.items()} for row in rows]))


def frame(users: Sequence[User]) -> pd.DataFrame:
    return pd.DataFrame(list(users))


def in_frame(users: Sequence[User]) -> bytes:
    sink = io.BytesIO()
    frame(users).to_parquet(sink)
    return sink.getvalue()


def imported(user: User) -> User:
    """Keep what the schema of a bulk import has."""
    kept = ("user_id", "email", "name", "picture", "user_metadata")
    return {name: user.get(name) for name in kept}


def default_columns(user: User) -> User:
    return tabled(user, DEFAULTS)


def fivetran(users: Sequence[User]) -> list[Row]:
    """Return rows of its table `users`; identities stand in another one."""
    columns = COLUMNS[:8]
    titles = {"user_id": "id"}
    return [
        titled(rowed(user, columns), titles) | {"_fivetran_synced": "2026-01-01 00:00:00 UTC"}
        for user in users
    ]


def defaults(users: Iterable[User]) -> list[Row]:
    return [titled(rowed(user, DEFAULTS), DEFAULTS) for user in users]


TOOLS: dict[str, Shape] = {
    "Auth0's dashboard, JSON": Shape(
        "your-tenant.json.gz", lambda users: gzip.compress(lines(users)), whole
    ),
    "Auth0's dashboard, CSV": Shape(
        "your-tenant.csv.gz", lambda users: gzip.compress(escaped(rows_of(users))), tabled
    ),
    "Auth0's import/export extension, JSON": Shape(
        "users.json", lambda users: lines(defaults(users)), default_columns, "Id"
    ),
    "Auth0's import/export extension, CSV": Shape(
        "users.csv", lambda users: escaped(defaults(users)), default_columns, "Id"
    ),
    "Auth0 CLI": Shape("users.json", partial(array, indent=2), whole),
    "Management API by curl": Shape("pages.json", lambda users: lines(pages(users)), whole),
    "Management API by curl, without totals": Shape("users.json", array, whole),
    "A bulk import file": Shape("import.json", lambda u: array(list(map(imported, u))), imported),
    "jq": Shape("users.json", pretty, whole),
    "Excel": Shape("users.xlsx", lambda u: excel(rows_of(u), dates=True), tabled),
    "Excel in Europe, CSV": Shape(
        "users.csv",
        lambda u: MARK + sheet(rows_of(u), delimiter=";", lineterminator="\r\n"),
        tabled,
    ),
    "Excel, Unicode text": Shape(
        "users.txt",
        lambda u: (
            sheet(rows_of(u), delimiter="\t", lineterminator="\r\n").decode().encode("utf-16")
        ),
        tabled,
    ),
    "pandas to_csv": Shape("users.csv", lambda u: frame(u).to_csv().encode(), whole),
    "pandas to_json": Shape(
        "users.json", lambda u: frame(u).to_json(orient="records").encode(), whole
    ),
    "pandas to_parquet": Shape("users.parquet", in_frame, whole),
    "BigQuery": Shape("users.json", bigquery, whole),
    "Snowflake": Shape("users.csv.gz", snowflake, whole),
    "Singer": Shape("users.jsonl", singer, whole),
    "Airbyte": Shape("users.jsonl", lambda users: lines(airbyte(users)), whole),
    "Fivetran": Shape(
        "users.csv", lambda u: sheet(fivetran(u)), partial(tabled, columns=COLUMNS[:8])
    ),
    "Steampipe": Shape("users.json", lambda u: array(steampipe(u), indent=1), in_seconds),
    "PostHog": Shape("persons.jsonl", posthog, whole),
    "MongoDB": Shape("users.json", mongo, whole),
    "A zip file that came by mail": Shape("users.zip", lambda u: zipped(lines(u)), whole),
}
"""Tools that people have files of, by the names of the guide "Which file do you have?"."""


def _named(write: Callable[[str], str]) -> Callable[[list[User]], bytes]:
    """Write rows as CSV whose titles are those paths, written in another way."""
    return lambda users: sheet(rows_of(users, {name: write(name) for name in COLUMNS}))


def _underscores(name: str) -> str:
    return name.replace("[0].", "_0_").replace(".", "_")


def _spaced(name: str) -> str:
    return name.replace("identities[0].", "").replace("_", " ").title().replace("Id", "ID")


def _timed(write: Callable[[datetime], Any]) -> Callable[[list[User]], bytes]:
    return lambda users: lines(retimed(users, write))


SHAPES: dict[str, Shape] = TOOLS | {
    "NDJSON": Shape("users.ndjson", lines, whole),
    "NDJSON in UTF-8 with a mark": Shape("users.ndjson", lambda u: MARK + lines(u), whole),
    "NDJSON in UTF-16": Shape("u.ndjson", lambda u: lines(u).decode().encode("utf-16"), whole),
    "an array, a user a line": Shape(
        "users.json",
        lambda u: b"[\n" + b",\n".join(lines([one]).strip() for one in u) + b"\n]",
        whole,
    ),
    "one page": Shape("page.json", lambda u: array(pages(u, len(u))[0]), whole),  # type: ignore[arg-type]
    "pages over several lines": Shape("pages.json", lambda u: pretty(pages(u)), whole),
    "arrays one after another": Shape(
        "users.json", lambda u: lines(page["users"] for page in pages(u)), whole
    ),
    "an array of pages": Shape("pages.json", lambda u: array(pages(u)), whole),
    "each in an object `user`": Shape(
        "users.json", lambda u: array([{"user": one, "organizations": []} for one in u]), whole
    ),
    "CSV": Shape("users.csv", lambda u: sheet(rows_of(u)), tabled),
    "CSV, semicolons": Shape("u.csv", lambda u: sheet(rows_of(u), delimiter=";"), tabled),
    "CSV, tabs": Shape("users.tsv", lambda u: sheet(rows_of(u), delimiter="\t"), tabled),
    "CSV, a line sep=": Shape("u.csv", lambda u: b"sep=,\r\n" + sheet(rows_of(u)), tabled),
    "CSV, a line sep=;": Shape(
        "u.csv", lambda u: b"sep=;\r\n" + sheet(rows_of(u), delimiter=";"), tabled
    ),
    "CSV in Windows-1252": Shape(
        "users.csv",
        lambda u: sheet(rows_of(u), delimiter=";").decode().encode("cp1252", "replace"),
        in_windows,
        "Windows-1252",
    ),
    "CSV in zip": Shape("u.zip", lambda u: zipped(sheet(rows_of(u)), "u.csv"), tabled),
    "CSV in zstd": Shape("u.csv.zst", lambda u: zstandard(sheet(rows_of(u))), tabled),
    "NDJSON in zstd": Shape("u.ndjson.zst", lambda u: zstandard(lines(u)), whole),
    "an array in gzip": Shape("u.json.gz", lambda u: gzip.compress(array(u)), whole),
    "gzip in zip": Shape("u.zip", lambda u: zipped(gzip.compress(lines(u)), "u.gz"), whole),
    "Parquet, flat": Shape("users.parquet", lambda u: parquet(rows_of(u)), tabled),
    "Parquet, nested as JSON text": Shape(
        "users.parquet", lambda u: parquet(nested_rows(u, json.dumps)), whole
    ),
    "Parquet, times as times": Shape(
        "users.parquet", lambda u: parquet(retimed(rows_of(u), lambda moment: moment)), tabled
    ),
    "Arrow": Shape("u.arrow", lambda u: arrow(rows_of(u), pa.ipc.new_file), tabled),
    "Arrow, a stream": Shape("u.arrows", lambda u: arrow(rows_of(u), pa.ipc.new_stream), tabled),
    "Feather": Shape("users.feather", lambda u: feathered(rows_of(u)), tabled),
    "Excel, times as texts": Shape("users.xlsx", lambda u: excel(rows_of(u)), tabled),
    "JSON text in columns": Shape("u.csv", lambda u: sheet(nested_rows(u, json.dumps)), whole),
    "Python's text in columns": Shape("u.csv", lambda u: sheet(nested_rows(u, repr)), whole),
    "JSON text in JSON": Shape("u.ndjson", lambda u: lines(nested_rows(u, json.dumps)), whole),
    "titles with underscores": Shape("users.csv", _named(_underscores), tabled),
    "titles with points": Shape("u.csv", _named(lambda n: n.replace("[0]", ".0")), tabled),
    "titles in camel case": Shape("users.csv", _named(camel), tabled),
    "titles in capitals with spaces": Shape("users.csv", _named(_spaced), tabled),
    "camel case": Shape(
        "u.json",
        lambda u: array([titled(one, {name: camel(name) for name in one}) for one in u]),
        whole,
    ),
    "id": Shape("u.json", lambda u: array([titled(one, {"user_id": "id"}) for one in u]), whole),
    "Steampipe, with its columns": Shape(
        "u.json",
        lambda u: array({"columns": [], "rows": steampipe(u)}),
        in_seconds,  # type: ignore[arg-type]
    ),
    "_id": Shape("u.json", lambda u: array([titled(one, {"user_id": "_id"}) for one in u]), whole),
    "Airbyte as CSV": Shape("u.csv", lambda u: sheet(airbyte(u, json.dumps)), whole),
    "milliseconds since 1970": Shape("u.ndjson", _timed(milliseconds), whole),
    "seconds since 1970": Shape("u.json", _timed(lambda m: int(m.timestamp())), in_seconds),
    "times of RFC 2822": Shape("u.json", _timed(format_datetime), in_seconds),
    "times with an offset": Shape(
        "u.json", _timed(lambda m: m.astimezone(EAST).isoformat(sep=" ")), whole
    ),
    "times of Snowflake with an offset": Shape("u.json", _timed(blank(" +0000")), whole),
}
"""All shapes, by what they are called in tests."""

NOW = datetime(2026, 1, 1, tzinfo=UTC)
"""When the users are exported."""
