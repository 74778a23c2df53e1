"""Files that are often taken for users, told by their keys.

Facts: recordings of Auth0's SDKs (errors, tokens, jobs, errors of imports, lists); Auth0, "Log
Streams" and "Retrieve Log Events"; the password-hash export as shown in public import tools;
`pandas.DataFrame.to_json` without `orient`; the files that this tool writes.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, NoReturn

from toolkit.errors import UnreadableInputError
from toolkit.formatting import shorten, some_of

_EXPORT = (
    "export the users instead, among the fields user_id, picture, identities and user_metadata "
    "(POST /api/v2/jobs/users-exports)"
)
_USER = "picture identities last_login logins_count"
# The first line of a program, read as the names of columns.
_CODE = re.compile(r"\A\s*(?://|/\*)|=>|\bexports\s*[.=]|\bfunction\b\s*\w*\s*\(")
_SHOWN = 6
_LONGEST_KEY = 24
_REMEMBERED = 1024


class Kind(NamedTuple):
    """A kind of file.

    Attributes:
        name: what it is, with its article.
        keys: the keys that an object of it has, all of them; `a|b` is one of both.
        advice: what to do.
        without: keys that it never has.
    """

    name: str
    keys: str
    advice: str = _EXPORT
    without: str = _USER

    def fits(self, keys: Collection[str]) -> bool:
        """Whether an object with these keys is of this kind."""
        return all(
            any(key in keys for key in one.split("|")) for one in self.keys.split()
        ) and not any(key in keys for key in self.without.split())


_FAILED = "the request failed, its message says why: repeat it with a valid token and its scopes"
_JOB = (
    "get the job again until its status is completed, and download its location within 60 seconds"
)

KINDS = (
    Kind("an error of Auth0's API", "statusCode error message", _FAILED),
    Kind("an error of Auth0's API", "error error_description", _FAILED),
    Kind(
        "an answer with an access token",
        "access_token token_type|expires_in",
        f"delete it, since it opens the tenant to everybody, and {_EXPORT}",
    ),
    Kind("the answer of a job", "type status id created_at", _JOB, f"{_USER} email"),
    Kind(
        "Auth0's error file of an import",
        "user errors",
        f"it lists users that were not imported; {_EXPORT}",
    ),
    Kind(
        "Auth0's export of password hashes",
        "_id|_id.$oid email passwordHash|password_hash",
        f"it has no pictures; {_EXPORT}",
        "picture",
    ),
    Kind("a log stream", "log_id data"),
    Kind("Auth0's log export", "date type log_id|_id|client_id|client_name|ip|user_agent"),
    Kind("Auth0's log export", "log_id type"),
    Kind("a list of clients", "client_id name app_type|callbacks|tenant|grant_types|global"),
    Kind("a list of connections", "id name strategy", without=f"{_USER} email user_id"),
    Kind("a list of organizations", "id name display_name|branding", without=f"{_USER} email"),
    Kind("a list of roles", "id name description", without=f"{_USER} email"),
    *(
        Kind(f"a list of {one}", one, without=f"{_USER} email user_id user users data")
        for one in "clients connections organizations roles actions rules logs".split()
    ),
    Kind(
        "a DataFrame's to_json(orient='split')",
        "columns index data",
        'write it again with to_json(orient="records", lines=True)',
    ),
    Kind(
        "a journal of this tool",
        "format version tenant kind",
        "picture-audit show reads it; ingest reads users",
    ),
    Kind(
        "a plan of this tool",
        "user_id after outcome reason",
        "picture-audit show reads it; ingest reads users",
        "identities last_login",
    ),
    Kind(
        "a report or coverage of this tool",
        "provenance|taken_at users sources",
        "ingest the export that it was made of",
    ),
)
_BY_COLUMN = Kind(
    "a DataFrame's to_json(), column by column",
    "",
    'write it again with to_json(orient="records", lines=True)',
)
_BY_ROW = _BY_COLUMN._replace(name="a DataFrame's to_json(orient='index')")


@lru_cache(_REMEMBERED)
def kind_of(keys: frozenset[str]) -> Kind | None:
    """Return the kind that has these keys, or None."""
    return next((kind for kind in KINDS if kind.fits(keys)), None)


def refuse_if_no_users(records: Sequence[object], name: str) -> NoReturn:
    """Say what a file is in which no record is a user with an id.

    Args:
        records: its first records, as they stand in the file; for a file that is only text, the
            text.
        name: its name in messages.

    Raises:
        UnreadableInputError: always.
    """
    raise UnreadableInputError(f"{name} {_told(records)}.")


def _told(records: Sequence[object]) -> str:
    objects = list(_objects(records))
    for one in objects:
        keys = [key for key in one if isinstance(key, str)]
        if kind := _frame(one) or kind_of(frozenset(keys)):
            told = {part for some in kind.keys.split() for part in some.split("|")}
            seen = [key for key in keys if key in told] or keys
            return f"looks like {kind.name} ({_named(seen)}), not like users: {kind.advice}"
    texts = (one.lstrip("\ufeff \t\r\n").lower() for one in records if isinstance(one, str))
    if any(one.startswith(("<!doctype", "<html", "<?xml", "<head", "<body")) for one in texts):
        return (
            "is a web page, perhaps one that asks to log in: download the file again, signed in; "
            "the link of an export job is valid for 60 seconds"
        )
    if objects and not any(one.get("users") == [] for one in objects):
        seen = list(dict.fromkeys(key for one in objects for key in one if isinstance(key, str)))
        if any(_CODE.search(key) for key in seen):
            return (
                "seems to be a program, such as the code of an Action: picture-audit collect reads "
                f"the tenant's own; {_EXPORT}"
            )
        return (
            f"has no user ids ({_named(seen) if seen else 'empty objects'}): say where they are "
            f"with --map user_id=COLUMN, or {_EXPORT}"
        )
    if objects or all(one == [] for one in records):
        return f"holds an empty list: nobody was found, or nothing was exported; {_EXPORT}"
    return f"holds no objects with names and values, so no users: {_EXPORT}"


def _objects(records: Sequence[object]) -> Iterator[Mapping[str, object]]:
    """Yield the objects among records, also those in lists and in answers of HTTP clients."""
    for one in records:
        if isinstance(one, Mapping):
            yield one
            yield from _objects([one.get("body")])
        elif isinstance(one, list):
            yield from _objects(one)


def _frame(record: Mapping[str, object]) -> Kind | None:
    """Say how pandas wrote a DataFrame, if it is one: objects with the same keys."""
    inside = [list(one) if isinstance(one, Mapping) else [] for one in record.values()]
    if not inside or not inside[0] or any(one != inside[0] for one in inside):
        return None
    kinds = ((inside[0], _BY_COLUMN), (record, _BY_ROW))
    return next((kind for keys, kind in kinds if all(str(key).isdigit() for key in keys)), None)


def _named(keys: Sequence[str]) -> str:
    return "keys " + some_of([f"`{shorten(key, _LONGEST_KEY)}`" for key in keys], _SHOWN)
