"""Files of Auth0 user objects: one JSON object a line, plain or gzip."""

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from toolkit.errors import UnreadableInputError

_GZIP = b"\x1f\x8b"


def parse(lines: Iterable[str | bytes], name: str) -> Iterator[dict[str, Any]]:
    """Read user objects, one a line; blank lines are skipped.

    Args:
        lines: the lines.
        name: what to call the input in an error.

    Raises:
        UnreadableInputError: a line is no JSON object; the message names the line.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict):
            raise UnreadableInputError(f"{name}, line {number}: not a JSON object.")
        yield record


def read_records(path: Path | str) -> Iterator[dict[str, Any]]:
    """Read a file of user objects; gzip is told by its content, whatever the name.

    Raises:
        UnreadableInputError: the file cannot be opened or is not of this form.
    """
    try:
        with Path(path).open("rb") as file:
            packed = file.read(len(_GZIP)) == _GZIP
        with gzip.open(path) if packed else Path(path).open("rb") as lines:
            yield from parse(lines, str(path))
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or "the gzip data is cut short or damaged"
        raise UnreadableInputError(f"{path} cannot be read: {reason}.") from error
