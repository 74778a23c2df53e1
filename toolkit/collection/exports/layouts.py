"""What the beginning of a text tells about the rest: how JSON is laid out, what separates cells.

Fact: Excel reads and writes a first line `sep=;` that says what stands between cells.
"""

import csv
import io
import json
import re
from collections.abc import Iterator

from toolkit.collection.exports.documents import LONGEST, record_of
from toolkit.errors import UnreadableInputError

_LINES = 10
_DELIMITERS = ",;\t|"
# What some files are that hold no users, by their first bytes.
_OTHERS = (
    (re.compile(rb"(?i)<(!doctype html|html|head|body)"), "a web page"),
    (re.compile(rb"<"), "XML"),
    (re.compile(rb"%PDF-"), "a PDF"),
    (re.compile(rb"\x89PNG|\xff\xd8\xff|GIF8"), "a picture"),
    (re.compile(rb"SQLite format 3\0"), "a database of SQLite"),
    (re.compile(rb"7z\xbc\xaf|Rar!"), "an archive of 7-Zip or RAR"),
    (re.compile(rb"(?s).{257}ustar"), "a tar archive"),
    (re.compile(rb"Obj\x01"), "Avro"),
)


def refuse_others(begin: bytes, name: str) -> None:
    """Raise UnreadableInputError if a file begins like one of a known other kind."""
    for pattern, what in _OTHERS:
        if pattern.match(begin):
            raise UnreadableInputError(
                f"{name} looks like {what}: export the users as JSON or CSV, among the fields "
                "user_id and picture."
            )


def is_object(line: bytes) -> bool:
    """Whether a line is an object of JSON."""
    try:
        return isinstance(record_of(line), dict)
    except (ValueError, RecursionError):
        return False


def is_ndjson(begin: bytes) -> bool:
    """Whether a text is NDJSON with a damaged first line; else its objects are written otherwise.

    Args:
        begin: its first lines; the last one may be cut.
    """
    try:
        json.JSONDecoder().raw_decode(begin.decode("utf-8", "replace").lstrip())
    except (ValueError, RecursionError):
        lines = begin.split(b"\n")[1:-1][:_LINES]
        # Some write the comma of an array at the beginning of a line.
        is_array = any(line.lstrip().startswith(b",") for line in lines)
        return any(map(is_object, lines)) and not is_array
    return False


def said_delimiter(line: bytes) -> str:
    """Return what the line says to stand between cells, or "" if it is no such line."""
    said = re.fullmatch(rb'"?sep=(.)"?\s*', line)
    return said[1].decode() if said and said[1] in _DELIMITERS.encode() else ""


def delimiter_of(line: bytes) -> str:
    """Return what stands between the column names in a line."""
    text = line.decode("utf-8", "replace")
    counts = {one: len(next(first_cells(text, one), ())) for one in _DELIMITERS}
    return max(_DELIMITERS, key=counts.__getitem__)


def first_cells(text: str, delimiter: str) -> Iterator[list[str]]:
    """Yield the cells of the first rows of some CSV, up to what cannot be read."""
    csv.field_size_limit(max(LONGEST, csv.field_size_limit()))
    try:
        yield from filter(None, csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error:
        return
